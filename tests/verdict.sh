# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# What test scripts say, for them to source: `ok - TEXT` or `not ok - TEXT`, which tests/run.sh counts.
# `failed` is the exit code of the script.
failed=0

ok() { # TEXT STATUS: which it returns
	if [ "$2" -eq 0 ]; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		failed=1
	fi
	return "$2"
}

same() { # TEXT GOT WANTED
	[ "$2" = "$3" ]
	ok "$1" $?
	[ "$2" = "$3" ] || printf '#  got:    %q\n#  wanted: %q\n' "$2" "$3"
}

# check TEXT COMMAND...: does COMMAND succeed?
check() {
	local text=$1
	shift
	"$@"
	ok "$text" $?
}
