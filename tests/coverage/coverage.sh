#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# How much of what Debian changes in its kernel can be had as a hotfix, of the diff alone? Of all C sources in
# net/, fs/, kernel/ and mm/ that differ between two versions of linux-source-6.1 some are chosen; of each the
# whole difference is made a hotfix, and held against a guest that runs the older version, with the modules that
# it needs. What is counted is functions whose code changes: an object fits or does not, with all of them.
#
#	make coverage [FILES=60] [SEED=1] [JOBS=2] [KEEP=1: what was built before is only checked anew]
#	tests/coverage/coverage.sh [FILE...]	these: net/ipv4/arp.c
#
# Prints a table (report.sh); all that was seen stays in build/coverage (COVERAGE_OUT), a folder for each source.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/linux/checks.sh
. tests/linux/loaded.sh
old=6.1.0-50-amd64 new=6.1.0-56-amd64
: "${FILES:=60}" "${SEED:=1}" "${JOBS:=2}"
out=${COVERAGE_OUT:-$PWD/build/coverage}
folders="net fs kernel mm"

fetch() { # SCRIPT RELEASE; $fetched
	fetched=$("tests/linux/$1" "$2" 2>"$tmp/log")
	case $? in
	0) ;;
	77) echo "SKIP: coverage: $(tail -n 1 "$tmp/log")" && exit 0 ;;
	*) cat "$tmp/log" >&2 && exit 1 ;;
	esac
}

# --- which sources -----------------------------------------------------------

differing() {
	local folder
	for folder in $folders; do
		(cd "$before" && diff -rq "$folder" "$after/$folder") |
			sed -n 's/^Files \([^ ]*\.c\) and .* differ$/\1/p'
	done | LC_ALL=C sort
}

# The same ones for the same seed, whatever else differs: each source has its number.
choose() {
	local path
	while read -r path; do
		echo "$(echo "$SEED $path" | sha256sum | cut -c1-16) $path"
	done | LC_ALL=C sort | head -n "$FILES" | cut -d' ' -f2 | LC_ALL=C sort
}

# --- one source --------------------------------------------------------------

folder_of() { echo "$out/${1//\//+}"; } # PATH

# Its object, and what was said of each of its functions, into its folder.
build_one() { # PATH
	local path=$1 dir kept
	dir=$(folder_of "$path")
	[ -z "${KEEP-}" ] || [ ! -s "$dir/build.code" ] || return 0
	rm -rf "$dir" && mkdir -p "$dir/tmp" || return
	diff -u --label "a/$path" --label "b/$path" "$before/$path" "$after/$path" >"$dir/fix.diff"
	TMPDIR=$dir/tmp VP_LIMIT=900 vp hotfix build --source "$before" --headers "$headers" --patch "$dir/fix.diff" \
		--why --keep -o "$dir/fix.o" >"$dir/built" 2>"$dir/build"
	echo $? >"$dir/build.code"
	kept=$dir/tmp/$(ls "$dir/tmp")/tree/${path%.c}
	sed -n "s/.* -DMODULE .*-DKBUILD_MODNAME='\"\([a-z0-9_]*\)\"'.*/\1/p" "${kept%/*}/.${kept##*/}.o.cmd" \
		>"$dir/module" 2>/dev/null
	rm -rf "$dir/tmp"
	echo "# $path: $(cat "$dir/build.code")"
}

build_all() { # PATH...
	local path
	for path; do
		while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do
			wait -n # of some that ended before, with KEEP
		done
		build_one "$path" &
	done
	wait
}

# --- the guest ---------------------------------------------------------------

# With the modules that the sources are of.
boot() { # PATH...
	local names
	mapfile -t names < <(for path; do cat "$(folder_of "$path")/module"; done | sort -u)
	loaded_gather $old "${names[@]}" && guest_start g $old -m 1024 && loaded_now "${names[@]}"
}

check_one() { # PATH
	local dir
	dir=$(folder_of "$1")
	[ -e "$dir/fix.o" ] || return 0
	VP_LIMIT=120 vp hotfix check "$(target g qmp)" "$dir/fix.o" >"$dir/fits" 2>"$dir/check"
	echo $? >"$dir/check.code"
}

# -----------------------------------------------------------------------------

fetch source.sh $old && before=$fetched
fetch source.sh $new && after=$fetched
fetch headers.sh $old && headers=$fetched
fetch modules.sh $old
differing >"$tmp/differing"
if [ $# -gt 0 ]; then
	paths=("$@")
else
	mapfile -t paths < <(choose <"$tmp/differing")
fi
echo "# ${#paths[@]} of the $(wc -l <"$tmp/differing") sources in $folders that differ between ${before##*/} and ${after##*/}, seed $SEED"
mkdir -p "$out"
build_all "${paths[@]}"
boot "${paths[@]}" || exit 1
for path in "${paths[@]}"; do
	check_one "$path"
done
printf '%s\n' "${paths[@]}" | tests/coverage/report.sh "$out" | tee "$out/report"
