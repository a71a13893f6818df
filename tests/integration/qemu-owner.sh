#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The owner of a VM is at work, too; and VMs that are easily taken for one another. Nothing is left
# stopped, nothing is left in QEMU, no half batch is called done, and it is the VM that was named.
#
#	tests/integration/qemu-owner.sh [SUITE...]	on this machine's QEMU, then on those of other
#							suites of Debian (sid)
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-host.sh"
. "$here/../linux/checks-kill.sh"
. "$here/../linux/checks-owner.sh"
trap '[ -z "$owner" ] || kill $owner; guest_cleanup; rm -rf "$tmp"' EXIT
uuid=11111111-2222-3333-4444-555555555555
mkdir "$tmp/a" "$tmp/b"

# The owner's gdbstub of a guest: none, or at that path.
stub_at() { # NAME PATH|none
	local what=$2
	[ "$2" = none ] || what="unix:$2,server=on,wait=off"
	guest_qmp "$1" "$(printf '{"execute":"human-monitor-command","arguments":{"command-line":"%s"}}' \
		"gdbserver $what")" >"$tmp/hmp"
	grep -qE 'Disabled|Waiting' "$tmp/hmp" || cat "$tmp/hmp"
}

# --- a gdbstub that is another VM's -----------------------------------------------

# Neither is written to, and both run.
untouched() { # TEXT
	guest_text g "$tmp/text" && cmp "$tmp/off" "$tmp/text"
	ok "$1: nothing was written to it" $?
	same "$1: both run" "$(guest_status g) $(guest_status b)" "running running"
	same "$1: no mark is left" "$(marks)" ""
}

# Of the two who listen at one path the later one answers.
check_stranger() { # TEXT
	stub_at g none && stub_at b none
	stub_at g "$tmp/stub" && stub_at b "$tmp/stub"
	refused "$1: another VM answers at its gdbstub's path" "another process answers" \
		key set "$(target g qmp)" sched_schedstats on
	untouched "$1"
	stub_at b none && stub_at g none && stub_at g "$(guest_dir g)/gdb"
}

# Of two relative paths that of our folder is the other's.
check_relative() { # TEXT
	stub_at g none && stub_at b none
	stub_at g gdb.sock && stub_at b gdb.sock
	ok "$1: gdbstubs of one relative path, in two folders" \
		"$([ -S "$tmp/a/gdb.sock" ] && [ -S "$tmp/b/gdb.sock" ]; echo $?)"
	cd "$tmp/b" || return
	refused "$1: from the folder of the other" "relative path" \
		key set "$(target g qmp)" sched_schedstats on
	cd "$here" || return
	untouched "$1"
	guest_text b "$tmp/text" && cmp "$tmp/off" "$tmp/text"
	ok "$1: nor to the other" $?
	stub_at b none && stub_at g none && stub_at g "$(guest_dir g)/gdb"
}

# --- the mark of another, and of one that is no more --------------------------------

# Kill a vmpoke as soon as QEMU says for the Nth time that the VM stands, until that was in time.
kill_holding() { # N ARGUMENT...
	local link_in link_out link_pid line pid i stops times=$1
	shift
	for ((i = 0; i < 20; i++)); do
		guest_connect g watch
		echo '{"execute":"qmp_capabilities"}' >&"$link_in"
		"$vmpoke" "$@" >"$tmp/out" 2>&1 </dev/null &
		pid=$!
		stops=0
		while [ $stops -lt "$times" ] && kill -0 $pid 2>/dev/null; do
			IFS= read -r -t 0.5 line <&"$link_out" && [[ $line == *'"STOP"'* ]] &&
				stops=$((stops + 1))
		done
		kill -9 $pid 2>/dev/null
		wait $pid 2>/dev/null
		guest_disconnect
		[ "$(guest_status g)" = running ] || break
		vp recover "$to" >"$tmp/out" 2>&1
		key_set off
	done
	[ -n "$(marks)" ]
}

state() { (cd "$VMPOKE_STATE_DIR" && find . -type f -size +0 -exec md5sum {} + | sort); }

check_clone() { # TEXT
	local was
	to=$(target g qmp)
	check "$1: a vmpoke is killed while it holds the VM" \
		kill_holding 1 key set "$to" sched_schedstats on
	was=$(guest_status g)
	state >"$tmp/state.before"
	check "$1: recover of its clone" vp recover "$(target b qmp)"
	check "$1: mark and ledger are left alone" diff "$tmp/state.before" <(state)
	same "$1: both are as they were" "$(guest_status g) $(guest_status b)" "$was running"
	check "$1: recover" vp recover "$to"
	check "$1: the whole batch or nothing of it, and it runs" whole
	same "$1: no mark is left" "$(marks)" ""
}

check_new() { # TEXT
	local was proto
	to=$(target g gdb)
	check "$1: a vmpoke is killed while it holds the VM to write" \
		kill_holding 2 key set "$to" sched_schedstats on
	guest_stop g
	guest_launch g -uuid $uuid -S
	until_true 60 guest_qmp g '{"execute":"query-status"}' >"$tmp/out"
	was=$(guest_status g)
	for proto in qmp gdb; do
		vp recover "$(target g $proto)" 2>&1 | sed 's/^/#  /'
		same "$1: recover by $proto does not let go on a new VM that its owner holds" \
			"$(guest_status g)" "$was"
	done
}

# --- by QEMU ---------------------------------------------------------------------

version() { "${GUEST_QEMU:-qemu-system-x86_64}" --version | grep -o '[0-9.]*' | head -n 1; }

# g in the folder a, b in the folder b, at the same addresses; b is a guest, too, or firmware.
boot() { # TEXT guest|firmware
	local pid=
	export GUEST_APPEND=nokaslr VMPOKE_STATE_DIR=$tmp/state-$1
	guest_tmp=$(mktemp -d)
	cd "$tmp/b" || return
	if [ "$2" = guest ]; then
		guest_start b cloud -uuid $uuid &
		pid=$!
	else
		guest_launch b -uuid $uuid
		until_true 60 guest_qmp b '{"execute":"query-status"}' >"$tmp/out"
	fi
	cd "$tmp/a" && guest_start g cloud -uuid $uuid && guest_symbols g && { [ -z "$pid" ] || wait $pid; }
	ok "$1: boots" $? || return
	cd "$here" || return
	cp "$tmp/g.symbols" "$tmp/b.symbols" && cp "$tmp/g.phys" "$tmp/b.phys"
}

check_owner() { # TEXT
	check_reader "$1"
	check_cont "$1"
	check_leaks "$1"
	check_stranger "$1, one path"
}

text=$(version)
boot "$text" guest || exit 1
check_owner "$text"
check_relative "$text, a relative path"
check_clone "$text, a clone"
check_new "$text, after its end"
guest_cleanup

[ $# -gt 0 ] || set -- sid
for suite; do
	if ! qemu=$("$here/../linux/qemu.sh" "$suite" 2>"$tmp/err"); then
		echo "SKIP: QEMU of $suite: $(head -n 1 "$tmp/err")"
		continue
	fi
	export GUEST_QEMU=$qemu
	text=$(version)
	boot "$text" firmware && check_owner "$text"
	guest_cleanup
done
exit $failed
