#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make demo` where there is no KVM: its second part is all there is. What it says, when it is a success,
# and that nothing is left of it, after Ctrl-C neither.
set -u
cd "$(dirname "$0")/../.." || exit 1
tmp=$(mktemp -d) || exit 1
. tests/verdict.sh
release=6.1.0-50-cloud-amd64
child=
trap '[ -z "$child" ] || kill -9 -- "-$child" 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

for get in kernel headers; do
	"tests/linux/$get.sh" $release >"$tmp/out" 2>"$tmp/err"
	case $? in
	0) ;;
	77) echo "SKIP: demo-linux: $(head -n 1 "$tmp/err")" && exit 0 ;;
	*) ok "$get.sh $release: $(head -n 1 "$tmp/err")" 1 || exit 1 ;;
	esac
done

# A process group of its own, as a shell gives it to a job of a terminal, that SIGINT ends; its
# temporary files in $tmp/files. Its output is in $tmp/out, its exit code in `code`.
begin() { # COMMAND...
	rm -f "$tmp/out"
	mkdir -p "$tmp/files"
	TMPDIR=$tmp/files setsid env --default-signal=INT timeout --foreground 300 "$@" >"$tmp/out" 2>&1 </dev/null &
	child=$!
}
end() {
	wait "$child"
	code=$?
}
demo() { begin "$@" && end; }

says() { # TEXT PATTERN
	grep -qE -- "$2" "$tmp/out"
	ok "$1" $? || sed 's/^/#  /' "$tmp/out"
}

# Of the process group: a zombie is no process any more.
nothing_left() { # TEXT
	local end=$((SECONDS + 20)) left
	while left=$(ps -e -o pgid=,stat=,args= | awk -v group="$child" '$1 == group && $2 !~ /^Z/') &&
		[ -n "$left" ] && [ $SECONDS -lt $end ]; do
		sleep 0.1
	done
	same "$1: no process is left" "$left" ""
	same "$1: no file is left" "$(ls -A "$tmp/files")" ""
	child=
}

# --- it is shown ----------------------------------------------------------------

demo make --no-print-directory demo KVM=/nonexistent
same "make demo without KVM: exit code 0" $code 0
[ $code -eq 0 ] || sed 's/^/#  /' "$tmp/out"
same "one line says that part 1 is left out, and why" "$(grep -cE '^Part 1 is left out: .*/nonexistent' "$tmp/out")" 1
same "what the guest's program says, before, meanwhile and after" \
	"$(sed -nE 's/^guest: [0-9]+\.[0-9]{3} ([a-z]+) - .*/\1/p' "$tmp/out" | tr '\n' ' ')" "broken fixed broken "
same "it says so in that order of time" "$(grep '^guest: ' "$tmp/out")" "$(grep '^guest: ' "$tmp/out" | sort -n -k2)"
same "each command that is run" "$(sed -nE 's/^host\$ vmpoke (hotfix [a-z]+).*/\1/p' "$tmp/out" | tr '\n' ' ')" \
	"hotfix build hotfix apply hotfix remove "
same "the pauses that each change has cost" "$(grep -cE '^ .*[1-9][0-9]* pause\(s\), [0-9.]+ ms the longest' "$tmp/out")" 2
says "it ends with ok" '^ok: '
lines=$(wc -l <"$tmp/out")
[ "$lines" -ge 15 ] && [ "$lines" -le 30 ]
ok "15 to 30 lines ($lines)" $?
nothing_left "the demo"

# --- Ctrl-C ----------------------------------------------------------------------

# interrupted TEXT LINE: as soon as it has said that
interrupted() {
	begin make --no-print-directory demo KVM=/nonexistent
	timeout 200 sh -c "until grep -qsE '$2' '$tmp/out'; do kill -0 $child || exit; sleep 0.1; done"
	ok "$1" $?
	kill -INT -- "-$child"
	end
	[ $code -ne 0 ] && [ $code -ne 124 ]
	ok "$1: Ctrl-C ends it, with exit code $code" $?
	nothing_left "$1"
}
interrupted "while the VM boots" '^  Debian.* boots, '
interrupted "after the hole was shown" '^guest: .* broken '

# --- what cannot be shown -----------------------------------------------------------

GUEST_QEMU=/nonexistent/qemu demo tests/demo.sh /nonexistent
same "without KVM and QEMU nothing is shown: exit code 1" $code 1
says "one line says what is missing, and what installs it" '^Part 2 is left out: .*/nonexistent/qemu here; .*deps\.sh'
nothing_left "without QEMU"

# A copy that has no kernel yet, on a machine that reaches no network.
mkdir -p "$tmp/tree/build" "$tmp/bin"
cp -r tests "$tmp/tree/tests"
printf '#!/bin/sh\necho "E: no network" >&2\nexit 100\n' >"$tmp/bin/apt-get"
chmod +x "$tmp/bin/apt-get"
VMPOKE=$PWD/build/vmpoke PATH=$tmp/bin:$PATH demo "$tmp/tree/tests/demo.sh" /nonexistent
same "without KVM and network nothing is shown: exit code 1" $code 1
same "one line says so, and what to do" \
	"$(grep -cE '^Part 2 is left out: cannot download .*; no network; once, a network is needed' "$tmp/out")" 1
nothing_left "without a network"

exit $failed
