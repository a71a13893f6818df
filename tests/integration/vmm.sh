#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The VMM against small guests that were written from docs/guest-abi.md alone (tests/guests).
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
vmpoke=${VMPOKE:-$root/build/vmpoke}
tmp=$(mktemp -d)
export VMPOKE_STATE_DIR=$tmp/state
. "$root/tests/verdict.sh"
pid=
trap '[ -n "$pid" ] && kill -9 "$pid" 2>/dev/null; rm -rf "$tmp"' EXIT

holds() { # TEXT FILE STRING
	grep -qF -- "$3" "$2"
	ok "$1" $?
	grep -qF -- "$3" "$2" || { echo "# no \"$3\" in:"; sed 's/^/#  /' "$2"; }
}

# Run a guest to its end: console to $tmp/out, messages to $tmp/err.
run() { # GUEST ARGS...
	local guest=$1
	shift
	timeout 60 "$vmpoke" run --kernel "$tmp/$guest.elf" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
}

# Wait until the console holds a text.
wait_for() { # STRING
	local i
	for ((i = 0; i < 600; i++)); do
		grep -qF -- "$1" "$tmp/out" && return 0
		kill -0 "$pid" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

start() { # GUEST ARGS...
	local guest=$1
	shift
	: >"$tmp/out" # now, not when the child comes to it: wait_for must not see old output
	"$vmpoke" run --kernel "$tmp/$guest.elf" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null &
	pid=$!
}

# End the guest with a signal; its exit code.
end_by() { # SIGNAL
	local i
	kill -"$1" "$pid"
	for ((i = 0; i < 300; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -9 "$pid" 2>/dev/null
	wait "$pid"
	code=$?
	pid=
}

for src in "$root"/tests/guests/*.S; do
	name=$(basename "$src" .S)
	${CC:-gcc} -nostdlib -static -no-pie -I"$root/include" -Wl,--build-id=none \
		-Wl,-z,max-page-size=4096 -Wl,-T,"$root/tests/guests/guest.ld" \
		-o "$tmp/$name.elf" "$src" || { ok "build the guest $name" 1; exit 1; }
done

run abi
code=$?
same "the entry state is as docs/guest-abi.md says" "$(cat "$tmp/out")" "abi checked"
same "the guest's exit code is ours" "$code" 0
run smp --vcpus 4
code=$?
same "four vCPUs start at once" "$(cat "$tmp/out")" "all here"
same "an exit from one ends all" "$code" 7

run triple --vcpus 2
same "a triple fault ends the run with code 8" "$?" 8
same "what was printed before is there" "$(cat "$tmp/out")" "about to die"
holds "the report names the vCPU" "$tmp/err" "vCPU 1: triple fault at rip=0xffffffff80"
holds "and the symbol" "$tmp/err" "(the_end+0x1)"
holds "it shows the registers" "$tmp/err" "r15=0x1122334455667788"
holds "it shows the code bytes and the instruction" "$tmp/err" "0f 0b  ud2"

run nx
same "executing a segment without PF_X is a fault" "$?" 8
holds "there" "$tmp/err" "(not_code+0x0)"
run readonly
same "writing a segment without PF_W is a fault" "$?" 8
holds "there" "$tmp/err" "(wr+0x0)"
same "the direct map is writable" "$(cat "$tmp/out")" "direct map written"

for signal in INT TERM; do
	start halt --vcpus 3
	wait_for "good night"
	ok "a line without its end is printed" $?
	kill -0 "$pid"
	ok "the VM waits while all its vCPUs have halted" $?
	end_by "$signal"
	same "SIG$signal ends it cleanly" "$code" 0
	same "without a word" "$(cat "$tmp/err")" ""
done

start deaf --vcpus 2
wait_for deaf
end_by TERM
same "SIGTERM ends vCPUs that never exit" "$code" 0

run tick --vcpus 2
code=$?
same "PIT and local APIC timer wake vCPUs from hlt" "$(cat "$tmp/out")" \
	"$(printf 'PIT ticked\nAPIC timer ticked')"
same "and the guest goes on" "$code" 33

# vCPUs come and go.
vcpu() { # ACTION ARGS...
	local action=$1
	shift
	timeout 60 "$vmpoke" vcpu "$action" "$tmp/socket" "$@" >"$tmp/vcpu" 2>&1
}

start topology --vcpus 2 --socket "$tmp/socket"
wait_for "all here"
ok "two vCPUs run" $?
vcpu add && vcpu add
ok "two more are added" $?
vcpu remove 2
ok "the guest gives one up" $?
vcpu remove 2
same "it is gone" "$?" 3
vcpu add && vcpu remove 3 && vcpu remove 1 && vcpu remove 2
ok "its number is used again, and all others are given up" $?
vcpu remove 0
same "the last one stays" "$?" 3
vcpu add
vcpu remove 0 --timeout 60000 & # the guest answers this by its exit
remover=$!
wait "$pid"
same "the guest has seen two vCPUs in the end" "$?" 2
pid=
wait "$remover"

start deaf --vcpus 2 --socket "$tmp/socket"
wait_for deaf
vcpu remove 1 --timeout 200
same "a guest that does not look keeps its vCPU" "$?" 5
vcpu remove 1 --timeout 200 --force
ok "unless by force" $?
end_by TERM
same "and goes on without it" "$code" 0

start deaf --vcpus 2 --socket "$tmp/socket"
wait_for deaf
timeout 60 "$vmpoke" stop "$tmp/socket" >"$tmp/vcpu" 2>&1
ok "the guest is held" $?
end_by TERM
same "SIGTERM ends a guest that is held" "$code" 0

# Someone reads the console no more: the guest ends all the same.
timeout 60 "$vmpoke" run --kernel "$tmp/abi.elf" 2>"$tmp/err" </dev/null | true
same "a console reader that is gone does not hurt" "${PIPESTATUS[0]}" 0

# One line, a code of its own, for what cannot be.
refused() { # TEXT CODE STRING ARGS...
	local text=$1 want=$2 string=$3
	shift 3
	timeout 60 "$vmpoke" run "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	same "$text: exit code" "$?" "$want"
	same "$text: one line" "$(wc -l <"$tmp/err")" 1
	holds "$text: says why" "$tmp/err" "$string"
}

refused "no /dev/kvm" 6 "is missing: load kvm-intel or kvm-amd" --kernel "$tmp/abi.elf" \
	--kvm "$tmp/no-kvm"
refused "not KVM" 6 "is not KVM" --kernel "$tmp/abi.elf" --kvm /dev/null
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$tmp"
	cp "$vmpoke" "$tmp/vmpoke"
	cp "$tmp/abi.elf" "$tmp/abi-readable.elf"
	chmod 644 "$tmp/abi-readable.elf"
	: >"$tmp/kvm"
	chmod 600 "$tmp/kvm"
	vmpoke_was=$vmpoke
	vmpoke=$tmp/as-nobody
	printf '#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups "%s" "$@"\n' \
		"$tmp/vmpoke" >"$vmpoke"
	chmod 755 "$vmpoke"
	refused "no permission on KVM" 6 "join the group kvm" --kernel "$tmp/abi-readable.elf" \
		--kvm "$tmp/kvm"
	vmpoke=$vmpoke_was
else
	: >"$tmp/kvm"
	chmod 0 "$tmp/kvm"
	refused "no permission on KVM" 6 "join the group kvm" --kernel "$tmp/abi.elf" \
		--kvm "$tmp/kvm"
fi

head -c 100 "$tmp/abi.elf" >"$tmp/cut.elf"
refused "a truncated ELF file" 7 "truncated" --kernel "$tmp/cut.elf"
cp "$tmp/abi.elf" "$tmp/other.elf"
printf '\xb7\x00' | dd of="$tmp/other.elf" bs=1 seek=18 conv=notrunc status=none # EM_AARCH64
refused "an ELF file for another machine" 7 "another machine" --kernel "$tmp/other.elf"
echo hello >"$tmp/text.elf"
refused "not an ELF file" 7 "not an ELF" --kernel "$tmp/text.elf"
${CC:-gcc} -nostdlib -static -no-pie -I"$root/include" -Wl,--build-id=none -Wl,-Ttext=0x1000 \
	-Wl,-e,start -o "$tmp/low.elf" "$root/tests/guests/halt.S"
refused "an image in low memory" 7 "lie outside" --kernel "$tmp/low.elf"

exit $failed
