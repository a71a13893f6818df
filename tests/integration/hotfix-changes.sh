#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Real changes of Debian's kernel (tests/hotfixes/changes), each a hotfix of its diff alone, on a guest of the
# version before: all are to be built, to fit or to say why not; some are applied and removed under load, and a
# program of the guest tells the change where one can.
#
#	tests/integration/hotfix-changes.sh		the first ones, which a program tells, as `make check` does
#	tests/integration/hotfix-changes.sh all		all: about 10 minutes on two idle cores
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-hotfix.sh"
. "$here/../linux/loaded.sh"
old=6.1.0-50-amd64 new=6.1.0-56-amd64
table=$here/../hotfixes/changes
: "${JOBS:=2}"

fetch() { # SCRIPT RELEASE; $fetched
	fetched=$("$here/../linux/$1" "$2" 2>"$tmp/log")
	case $? in
	0) ;;
	77) echo "SKIP: hotfix-changes: $(tail -n 1 "$tmp/log")" && exit 0 ;;
	*) ok "$1 $2" 1 || { cat "$tmp/log" && exit 1; } ;;
	esac
}
fetch headers.sh $old && headers=$fetched
fetch source.sh $old && before=$fetched
fetch source.sh $new && after=$fetched

# --- the table -----------------------------------------------------------------------------

whats=() shows=() subjects=()
while IFS='|' read -r what how subject; do
	[[ $what != '#'* ]] || continue
	read -r what <<<"$what" && read -r how <<<"$how" && read -r subject <<<"$subject"
	[ "${1-}" = all ] || [[ $how == real-* ]] || continue
	whats+=("$what") shows+=("$how") subjects+=("$subject")
done <"$table"

# The hunks of a diff with these numbers: 1,2; all without any.
hunks() { # [NUMBERS]
	awk -v wanted=",${1-}," '/^@@ / {n++} !n || wanted == ",," || index(wanted, "," n ",")'
}

make_diff() { # NUMBER
	local file=${whats[$1]%@*} only=
	[[ ${whats[$1]} != *@* ]] || only=${whats[$1]#*@}
	echo "Subject: ${subjects[$1]}"
	diff -u --label "a/$file" --label "b/$file" "$before/$file" "$after/$file" | hunks "$only"
}

# --- building ------------------------------------------------------------------------------

build_one() { # NUMBER
	local dir=$tmp/$1 kept name=${whats[$1]%@*}
	mkdir -p "$dir/tmp" && make_diff "$1" >"$dir/change$1.diff" || return
	TMPDIR=$dir/tmp VP_LIMIT=600 vp hotfix build --source "$before" --headers "$headers" --patch "$dir/change$1.diff" \
		--why --keep -o "$dir/object" >"$dir/why" 2>"$dir/said"
	echo $? >"$dir/code"
	kept=$(echo "$dir"/tmp/*/tree)/${name%.c}
	cp "$kept.after.o" "$dir/after.o" && sed -n "s/.* -DMODULE .*-DKBUILD_MODNAME='\"\([a-z0-9_]*\)\"'.*/\1/p" \
		"${kept%/*}/.${kept##*/}.o.cmd" >"$dir/module"
	rm -rf "$dir/tmp"
}

# What the functions that are replaced touch: of WARN, a static key, copies from and to user space, per-CPU data.
kinds() { # NUMBER
	local function
	for function in $(sed -n 's/^[^:]*: \([^:]*\): replaced: .*/\1/p' "$tmp/$1/why"); do
		readelf -rW "$tmp/$1/after.o" | awk -v f=".text.$function" '
			/^Relocation section/ {at = $3; gsub(/\x27/, "", at)}
			at == ".rela__bug_table" && $5 == f {print "WARN"}
			at == ".rela__jump_table" && $5 == f {print "key"}
			at == ".rela" f && $5 ~ /^(_copy_(from|to)_user|__(get|put)_user_)/ {print "user"}
			at == ".rela" f && $5 ~ /^(this_cpu_off|pcpu_hot|cpu_number|.*_stat(e|es|istics)?|current_task|__per_cpu)/ {print "percpu"}'
	done | sort -u | paste -sd, -
}

for ((i = 0; i < ${#whats[@]}; i++)); do
	[ "$(jobs -rp | wc -l)" -lt "$JOBS" ] || wait -n
	build_one $i &
done
wait

# --- in a guest ----------------------------------------------------------------------------

mapfile -t modules < <(cat "$tmp"/*/module | sort -u)
if [ ${#modules[@]} -gt 0 ]; then
	fetch modules.sh $old
	loaded_gather $old "${modules[@]}"
fi
guest_start g $old -m 1024 && guest_symbols g
ok "boots" $? || exit 1
[ ${#modules[@]} -eq 0 ] || loaded_now "${modules[@]}"

fitting=0 special=0
for ((i = 0; i < ${#whats[@]}; i++)); do
	kind=$(kinds $i)
	said=$tmp/$i/said
	if [ "$(cat "$tmp/$i/code")" = 0 ]; then
		said=$tmp/$i/check
		vp hotfix check "$(target g qmp)" "$tmp/$i/object" >"$tmp/out" 2>"$said" && verdict=fits || verdict=refused
	else
		verdict="not built"
	fi
	[ "$verdict" != fits ] || { fitting=$((fitting + 1)) && mv "$tmp/$i/object" "$tmp/change$i.o"; }
	[ -z "$kind" ] || special=$((special + 1))
	echo "# ${whats[$i]}: ${subjects[$i]}: $verdict${kind:+ ($kind)}"
	[ "$verdict" = fits ] || grep -E '^vmpoke|error:' "$said" | grep -v 'kept ' | head -n 3 | sed 's/^/#    /'
done
if [ "${1-}" = all ]; then
	ok "at least 40 changes: ${#whats[@]}" $((${#whats[@]} < 40))
	ok "at least 32 of them fit: $fitting" $((fitting < 32))
	ok "at least 10 touch WARN, static keys, user copies or per-CPU data: $special" $((special < 10))
else
	same "they fit" "$fitting" "${#whats[@]}"
fi

check "the load is at work" guest_run g 'load start; load settle'
guest_warnings g >"$tmp/warnings"
applied=0
for ((i = 0; i < ${#whats[@]}; i++)); do
	[ "${shows[$i]}" != - ] && [ -e "$tmp/change$i.o" ] || continue
	program=${shows[$i]}
	[ "$program" = apply ] || same "${whats[$i]}: fails before" "$(hotfix_shows "$program")" broken
	check "${whats[$i]}: is applied" hotfix_apply "change$i"
	[ "$program" = apply ] || same "${whats[$i]}: passes" "$(hotfix_shows "$program")" fixed
	check "${whats[$i]}: the load goes on" guest_run g 'load check'
	check "${whats[$i]}: is removed" hotfix_remove "change$i"
	[ "$program" = apply ] || same "${whats[$i]}: fails again" "$(hotfix_shows "$program")" broken
	applied=$((applied + 1))
done
[ "${1-}" != all ] || ok "at least 12 are applied and removed under load: $applied" $((applied < 12))
guest_run g 'load stop'
guest_warnings g >"$tmp/warnings.now"
check "no new warning in the guest's log" diff "$tmp/warnings" "$tmp/warnings.now"
same "it runs" "$(guest_status g)" running

exit $failed
