#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What ../svm.sh runs on the emulated host.
set -u
. /vmpoke/tests/rigs/linux/inside.sh
kernel=(--kernel /inner/vmlinuz --initrd /inner/initrd)

echo "# $("$vmpoke" doctor | grep -E 'module|route' | tr -s '\n ' ' ')"
ok "a stock kernel boots to a shell" guest_boot "${kernel[@]}" --vcpus 2 --append quiet
[ $failed = 0 ] || exit 1
echo "# after $(guest 'cut -d" " -f1 /proc/uptime') s of its own time"
ok "two CPUs work" test "$(guest nproc)" = 2
ok "the clock is KVM's" test \
	"$(guest 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource')" = kvm-clock
ok "a long line comes in whole" test "$(guest "echo $(printf '%01000d' 7) | wc -c")" = 1001
ok "memory is as asked for" test \
	"$(guest 'awk "/MemTotal/ {print int(\$2 / 100000)}" /proc/meminfo')" = 4
ok "the clock of the board tells the host's time" test "$(guest 'date +%Y%m%d')" = "$(date +%Y%m%d)"

out=$("$vmpoke" vcpu add "$sock" 2>&1)
ok "vCPU hotplug is refused" test $? = 3
ok "in one clear line" test "$(grep -c 'runs Linux, which keeps the 2 vCPUs' <<<"$out")" = 1

show info "$vmpoke" info "$sock"
ok "the kernel is known" grep -q "^Linux *$(guest 'uname -r')$" "$dir/info"
where=$(guest "awk '\$3 == \"__x64_sys_getppid\" {print \$1}' /proc/kallsyms")
ok "its symbols are where it says" eval 'show sym "$vmpoke" sym "$sock" __x64_sys_getppid | grep -q "${where:-none}"'

# getppid goes on in getpid. Both begin with the nop that ftrace may use.
poke=("$vmpoke" poke "$sock" __x64_sys_getppid --old 0f1f440000 --new jmp:__x64_sys_getpid)
ok "before: a shell has a parent" parent
ok "int3 is refused here" eval '! show poke "${poke[@]}" --strategy int3'
ok "a poke with strategy stop" show poke "${poke[@]}" --strategy stop
ok "the guest runs the new code: it is its own parent" eval '! parent'
ok "status shows it" eval 'show status "$vmpoke" status "$sock" | grep -q getppid'
ok "the revert" show revert "$vmpoke" revert "$sock" --strategy stop
ok "and the old code again" parent
for value in on off; do
	ok "key set $value" show key "$vmpoke" key set "$sock" sched_schedstats $value --strategy stop
	ok "the guest sees it" test "$(guest 'cat /proc/sys/kernel/sched_schedstats')" = \
		"$([ $value = on ] && echo 1 || echo 0)"
done
guest 'dmesg -r | grep -E "^<[0-4]>"' >"$dir/dmesg"
sed 's/^/# guest: /' "$dir/dmesg"
ok "the guest's kernel does not complain" \
	eval '! grep -E "WARNING: CPU|BUG:|Oops|stall|lockup|ACPI.*Error" "$dir/dmesg"'

"$vmpoke" stop "$sock" && sleep 1
guest_send 'echo typed while it was held'
sleep 1
ok "stopped, the guest does not answer" eval '! grep -q typed "$dir/console"'
ok "it goes on" "$vmpoke" cont "$sock"
guest true
ok "with what was typed meanwhile" grep -q typed "$dir/console"

guest_send 'reboot -f'
ok "a reboot starts the guest again" guest_wait 0 2
ok "with two CPUs" test "$(guest nproc)" = 2
guest_send 'poweroff -f'
guest_end
ok "power off ends vmpoke with 0" test $? = 0
ok "without a word" eval '! grep . "$dir/messages"'

# The second vCPU is never woken: it waits in KVM for its SIPI, and must answer all the same.
ok "a vmlinux boots, too" guest_boot --kernel /inner/vmlinux --initrd /inner/initrd --no-reboot \
	--vcpus 2 --append "quiet maxcpus=1"
ok "on one CPU" test "$(guest nproc)" = 1
ok "a poke with a vCPU that was never started" show poke "${poke[@]}" --strategy stop
ok "the guest runs the new code" eval '! parent'
ok "the registers of both vCPUs can be read" eval 'test "$("$vmpoke" regs "$sock" --json | grep -o "\"cs\"" | wc -l)" = 2'
guest_send 'reboot -f'
guest_end
ok "with --no-reboot a reboot ends it, with 0" test $? = 0
exit $failed
