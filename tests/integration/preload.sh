#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# libvmpoke-kvm.so in a VMM that knows nothing of it (tests/integration/other_vmm.c): its guest is patched, and
# the VMM sees none of it; whatever it does meanwhile. And in QEMUs, where the library steps aside, or serves.
# Stock QEMU with a stock kernel: tests/rigs/vmx-qemu.sh.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
vmpoke=${VMPOKE:-$root/build/vmpoke}
library=${PRELOAD:-$root/build/libvmpoke-kvm.so}
other=$root/build/tests/other_vmm
tmp=$(mktemp -d)
. "$root/tests/verdict.sh"
pid=
trap '[ -n "$pid" ] && kill -9 "$pid" 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
export VMPOKE_RUNTIME_DIR=$tmp/run VMPOKE_STATE_DIR=$tmp/state
site=0x100000 nop=0f1f440000

vp() { timeout 60 "$vmpoke" "$@" </dev/null; }
quietly() { "$@" >"$tmp/said" 2>&1 || { sed 's/^/#  /' "$tmp/said" && false; }; }
to_jmp() { vp poke o "$site" --old $nop --new jmp:0x100020 "$@"; }

# refused TEXT CODE PART COMMAND...: one line that holds PART.
refused() {
	local text=$1 want=$2 part=$3 code
	shift 3
	"$@" >"$tmp/out" 2>"$tmp/err"
	code=$?
	same "$text: exit code" $code "$want"
	grep -q -- "$part" "$tmp/err"
	ok "$text: says why" $? || sed 's/^/#  /' "$tmp/err"
}

# --- the VMM ----------------------------------------------------------------------

start() { # [ENVIRONMENT...]
	: >"$tmp/out.vmm"
	mkfifo "$tmp/in"
	env VMPOKE_NAME=o "$@" LD_PRELOAD="$library" "$other" <"$tmp/in" >"$tmp/out.vmm" 2>"$tmp/err.vmm" &
	pid=$!
	exec 8>"$tmp/in"
	rm "$tmp/in"
	answered=0
	answer
	same "the VMM starts" "$said" ready
}

# The VMM's next line, in `said`.
answered=0
answer() {
	local i
	answered=$((answered + 1)) said=
	for ((i = 0; i < 600; i++)); do
		[ "$(wc -l <"$tmp/out.vmm")" -ge $answered ] && break
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	said=$(sed -n "${answered}p" "$tmp/out.vmm")
}

vmm() { # COMMAND...
	echo "$*" >&8
	answer
}

stop() {
	[ -n "$pid" ] || return
	vmm quit
	exec 8>&-
	wait "$pid"
	same "the VMM ends as it would" $? 0
	pid=
}

# Which way does the guest count now? A, B, both, or none.
counts() { # TEXT WANTED
	local a b now_a now_b
	vmm counts
	read -r a b <<<"$said"
	sleep 0.3
	vmm counts
	read -r now_a now_b <<<"$said"
	case $((now_a > a + 2))$((now_b > b + 2)) in # each vCPU may be behind the site
	10) same "$1" A "$2" ;;
	01) same "$1" B "$2" ;;
	11) same "$1" both "$2" ;;
	*) same "$1" none "$2" ;;
	esac
}

# --- its guest is patched -------------------------------------------------------------

start
grep -q "o can be patched at $tmp/run/o" "$tmp/err.vmm"
ok "the library says where" $? || sed 's/^/#  /' "$tmp/err.vmm"
same "the socket is its owner's alone" "$(stat -c %a "$tmp/run/o")" 600
vp list >"$tmp/list"
grep -q '^o  *running  *2 ' "$tmp/list"
ok "list shows it" $? || sed 's/^/#  /' "$tmp/list"
counts "before" A
check "poke" quietly to_jmp
counts "then" B
check "the same again is done already" quietly to_jmp
vp status o >"$tmp/status"
grep -q '1 poke(s) applied' "$tmp/status"
ok "status knows it" $?
check "revert" quietly vp revert o
counts "after" A
for rule in park emulate "fixup --fixup 0x100005"; do
	# shellcheck disable=SC2086
	check "poke by --resume $rule" quietly to_jmp --resume $rule
	check "revert" quietly vp revert o
done
refused "other bytes" 3 "holds\|stand" vp poke o $site --old 0f1f440008 --new 0f1f440010

# --- whatever the VMM does meanwhile ---------------------------------------------------

flip_for() { # SECONDS: pokes and reverts, as fast as they go; how many in `flips`
	local end=$((SECONDS + $1))
	flips=0
	while [ $SECONDS -lt $end ]; do
		to_jmp >/dev/null 2>"$tmp/flip" || return
		vp revert o >/dev/null 2>"$tmp/flip" || return
		flips=$((flips + 2))
	done
}
flip_for 3 &
flipper=$!
for ((i = 0; i < 10; i++)); do
	for command in pause cont replug move; do
		vmm "$command"
		[ "$said" = ok ] || break 2
	done
done
same "paused, replugged, slots moved, 10 times, amid pokes" "$i" 10
wait $flipper
code=$?
# A slot that is away just now is no RAM: such a poke is refused, and nothing else.
[ $code -eq 0 ] || grep -q "is not RAM\|outside RAM\|no vCPU\|being saved" "$tmp/flip"
ok "the pokes went on" $? || sed 's/^/#  /' "$tmp/flip"
vp revert o >/dev/null 2>&1
counts "the guest counts on" A
vmm scratch
same "a second VM is made and closed" "$said" ok
vmm fork
same "a child of the VMM is none of ours" "$said" ok
check "and the first one is patched as before" quietly to_jmp
check "revert" quietly vp revert o

vmm pause
vp status o >"$tmp/status"
grep -q '^paused' "$tmp/status"
ok "paused by its VMM: status says so" $?
check "a poke goes all the same" quietly to_jmp
vmm cont
counts "and the guest runs the new code" B
check "revert" quietly vp revert o

# --- what saves the guest ----------------------------------------------------------------

vmm "log on"
vmm dirty
refused "while dirty pages are logged" 3 "logs dirty pages" to_jmp
counts "nothing was written" A
vmm "log off"
check "then it goes" quietly to_jmp
check "revert" quietly vp revert o

vmm seen
read -r _ others <<<"$said"
same "no exit came to the VMM that it does not know" "$others" 0
stop
[ ! -e "$tmp/run/o" ]
ok "the socket goes with the VM" $?

# --- the library steps aside --------------------------------------------------------------

start VMPOKE_SOCKET=/nowhere/at/all
grep -q "stepped aside: .*nowhere" "$tmp/err.vmm"
ok "no socket can be made: one line" $? || sed 's/^/#  /' "$tmp/err.vmm"
counts "and the VMM runs" A
stop

tcg() { # QEMU NAME
	timeout 30 env LD_PRELOAD="$library" $1 -accel tcg -machine none -display none -serial none -monitor stdio \
		<<<quit >"$tmp/qemu" 2>&1
	same "$2, TCG: ends as it would" $? 0
	grep -q "vmpoke-kvm: stepped aside" "$tmp/qemu"
	ok "$2, TCG: steps aside, and says why" $? || sed 's/^/#  /' "$tmp/qemu"
}
tcg qemu-system-x86_64 "this machine's QEMU"
for suite in trixie sid; do
	qemu=$("$root/tests/linux/qemu.sh" $suite 2>"$tmp/log")
	case $? in
	0) tcg "$qemu" "QEMU of $suite" ;;
	*) echo "SKIP: QEMU of $suite: $(tail -n 1 "$tmp/log")" ;;
	esac
done
exit $failed
