#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A new user, in a Debian 12 that has nothing but gcc, make and git, pastes every box of commands of the README and of
# docs/quickstart.md into one shell, in order: each command must succeed, and say what the page says.
#
# He goes to the quickstart where the README first points there, but for its "When you are done", which comes last of all, and
# uses the VM that it makes where the README says libvirt:web1. Two rules say what of the README is not run as it stands:
#
#	make check	is what runs this script
#	CAPITALS	are the reader's own; here they are what `own` says. What that does not have is a failure
#
# In the quickstart nothing is the reader's own.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/verdict.sh
. tests/first-hour/pages.sh
. tests/first-hour/root.sh

# For the reader's shell. The site is the constant of sched_get_priority_max(), found as find_mov of checks.sh does.
declare -A own=(
	[SYMBOL+OFF]='$site' [OLD]='$old' [NEW]='${old:0:2}2a000000'
	[FIX.c]=tests/hotfixes/proc-version.c [NAME]=proc-version
	[HEADERS]='$(tests/linux/headers.sh cloud)'
	[VMLINUZ]=/var/lib/libvirt/boot/web1.vmlinuz [INITRD]=/var/lib/libvirt/boot/web1.initrd
)
find_site='read -r site old < <(vmpoke read libvirt:web1 __x64_sys_sched_get_priority_max |
	sed -nE "s/.*<(.*)>: *(0x)?(b[89abef]63000000) .*/\1 \3/p")'

# What the README's commands say, by how they begin: a pattern of grep -E.
promises='
make demo|^ok: closed and opened again
export PATH|
vmpoke list|^libvirt:web1 .* running .* 6\.1\.0-.*-cloud-amd64
vmpoke info libvirt:web1|6\.1\.0-.*-cloud-amd64
vmpoke sym|do_syscall_64$
vmpoke read libvirt:web1|<do_syscall_64>: 
vmpoke key set libvirt:web1 sched_schedstats on|^sched_schedstats is on
vmpoke poke libvirt:web1|applied
vmpoke imm  libvirt:web1|: 42 \(0x2a\) became 64 \(0x40\)$
vmpoke status libvirt:web1|^3 poke
vmpoke revert libvirt:web1|1 site\(s\) reverted
vmpoke hotfix build|^fix\.o: 1 function
vmpoke hotfix check|^proc-version 1: 
vmpoke hotfix keygen|^me\.key: the secret key
vmpoke hotfix sign|^fix\.o\.minisig
vmpoke hotfix apply|^proc-version 1: applied
vmpoke hotfix list|proc-version 1
vmpoke hotfix remove|^proc-version 1: removed
vmpoke verify|nothing differs|first look
vmpoke run --kernel build|^g1 runs
vmpoke info g1|^name +g1
vmpoke read g1|<tg_jmp5_site>: 
vmpoke poke g1|applied
vmpoke status g1|^1 poke
vmpoke revert g1|1 site\(s\) reverted
vmpoke vcpu add g1|^vCPU 2 added
vmpoke quit g1|
vmpoke run --kernel|^linux runs
'

if [ "$(id -u)" -ne 0 ]; then
	echo "SKIP: first-hour: only root can have a root file system of his own"
	exit 0
fi
tmp=$(mktemp -d)
root_pid=
trap '[ -z "$root_pid" ] || kill -9 "$root_pid"; rm -rf "$tmp"' EXIT
trap 'ok "he was still at it: $(tail -n 1 "$tmp/out/times")" 1; exit 1' INT TERM
mkdir "$tmp/out"
root_have 2>"$tmp/log"
case $? in
0) ;;
77) echo "SKIP: first-hour: $(tail -n 1 "$tmp/log")"; exit 0 ;;
*) sed 's/^/#  /' "$tmp/log"; ok "a Debian 12 is made" 1; exit 1 ;;
esac

# --- the reader's shell --------------------------------------------------------

# The next commands, which $tmp/ID.sh has.
type_in() { # ID TITLE
	printf '%s\t%s\n' "$1" "$2" >>"$tmp/typed"
	printf 'at=%s; exec >/out/%s.out 2>&1; echo $at $SECONDS >>/out/times\n' "$1" "$1" >>"$tmp/out/reader"
	cat "$tmp/$1.sh" >>"$tmp/out/reader"
}

# A line of the README, with the reader's own words.
mine() { # LINE
	local words i
	read -ra words <<<"$1"
	for i in "${!words[@]}"; do
		[[ ${words[i]} =~ ^[A-Z]{2}[A-Za-z0-9+.]*$ ]] || continue
		[ -n "${own[${words[i]}]-}" ] || return
		words[i]=${own[${words[i]}]}
	done
	echo "${words[*]}"
}

type_readme() { # ID
	local line n=0
	while IFS= read -r line; do
		line=$(sed -E 's/(^| )+#.*//' <<<"$line")
		[ -n "${line// /}" ] || continue # the comment goes on
		if [[ $line == 'make check'* ]]; then
			echo "# README: $line: is what runs this script"
			continue
		fi
		n=$((n + 1))
		if mine "$line" >"$tmp/$1-$n.sh"; then
			type_in "$1-$n" "README: $line"
		else
			ok "README: $line: all its words in capitals are known here" 1
		fi
	done <"$tmp/$1.sh"
}

type_quickstart() { # all that is not done | done
	local id heading when
	while IFS=$'\t' read -r id heading; do
		when=before
		[ "$heading" != 'When you are done' ] || when=done
		[ $when != "$1" ] || type_in "$id" "quickstart: $heading"
	done < <(page_boxes docs/quickstart.md "$tmp")
}

echo 'trap '\''echo "$at: $BASH_COMMAND: exit code $?" >/out/failed; exit 1'\'' ERR' >"$tmp/out/reader"
while IFS=$'\t' read -r id heading; do
	if [ "$id" = visit ]; then
		type_quickstart before
		echo "$find_site" >>"$tmp/out/reader"
	else
		type_readme "$id"
	fi
done < <(page_boxes README.md "$tmp")
type_quickstart done
echo 'echo >/out/end' >>"$tmp/out/reader"

# --- he types, we look ------------------------------------------------------------

root_run "$tmp/out" bash /out/reader </dev/null >"$tmp/run" 2>&1
wait "$root_pid"
code=$?
root_pid=

# The pattern for a command of the README.
promised() { # COMMAND
	local begin pattern
	while IFS='|' read -r begin pattern; do
		[ -n "$begin" ] && [[ $1 == "$begin"* ]] && echo "$pattern" && return
	done <<<"$promises"
	return 1
}

says() { # ID TITLE
	local pattern
	if [ -e "$tmp/$1.text" ]; then
		page_says "$tmp/out/$1.out" "$tmp/$1.text"
	elif pattern=$(promised "${2#README: }"); then
		[ -z "$pattern" ] || grep -qE -- "$pattern" "$tmp/out/$1.out" ||
			{ echo "#  it does not say: $pattern" && false; }
	else
		echo "#  nobody says what comes out"
		return 1
	fi
}

typed=0
while IFS=$'\t' read -r id title; do
	[ -e "$tmp/out/$id.out" ] || { ok "$title: is reached" 1; continue; }
	typed=$((typed + 1))
	! grep -qs "^$id: " "$tmp/out/failed"
	ok "$title: every command succeeds" $? || sed 's/^/#  /' "$tmp/out/failed"
	says "$id" "$title"
	ok "$title: says what the page says" $? || { tail -n 30 "$tmp/out/$id.out" | cut -c1-200 | sed 's/^/#  /'; }
done <"$tmp/typed"
[ -e "$tmp/out/end" ]
ok "he is through, after $typed boxes and commands" $? || { echo "#  exit code $code"; sed 's/^/#  /' "$tmp/run"; }
sed 's/^/# seconds before: /' "$tmp/out/times"
! grep -q " $root_cache/" /proc/self/mounts
ok "nothing is left mounted" $?
exit $failed
