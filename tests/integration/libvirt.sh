#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Domains of a real libvirt: list, info, poke, revert by name; refusals; kill -9 and recover.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-libvirt.sh"
library=${PRELOAD:-$here/../../build/libvmpoke-kvm.so}

# --- a libvirt, and domains --------------------------------------------------

libvirt_define
define old i686 "$(command -v qemu-system-i386)" "" ""

# What the list knows of web beyond what libvirt says.
counted() { vp list --connect $uri --json | jq -c '.[] | select(.target | endswith(":web")) | [.kernel, .pokes]'; }
listed() { vp list --connect $uri --json | jq -r ".[] | select(.target | endswith(\":$1\")) | .state"; }

refused "a domain that is shut off" "shut off" info $to
refused "a domain that is shut off: poke" "shut off" poke $to 0xffffffff81000000 --old 90 --new 90
same "list shows it" "$(listed web)" "shut off"
same "what is not known of it is not 0" "$(counted)" '[null,null]'
export LIBVIRT_DEFAULT_URI=$uri
refused "a domain by its bare name" "write libvirt:web" info web
unset LIBVIRT_DEFAULT_URI
refused "no such domain" "no domain" info libvirt+$uri:nobody
refused "a domain's name with a wrong letter" "did you mean libvirt+$uri:web?" info libvirt+$uri:wed

libvirt_start
check "the other one starts" virsh start old
refused "a domain that is not x86-64" "i386" info libvirt+$uri:old
refused "a domain that is not x86-64: poke" "i386" poke libvirt+$uri:old 0xc0000000 --old 90 --new 90
same "it runs on" "$(domain old)" running
virsh destroy old >/dev/null

# --- the preload library --------------------------------------------------------

# A TCG guest has none that serves, which is told; that one serves is shown by preload.sh and the rig of VMX.
doctor() { # TEXT PART DOMAIN
	vp doctor libvirt+$uri:"$3" >"$tmp/out" 2>&1
	same "$1: exit code" $? 6
	ok "$1" "$(grep -q -- "$2" "$tmp/out"; echo $?)" || sed 's/^/#  /' "$tmp/out"
}
doctor "doctor: no library in its XML" "not started with libvmpoke-kvm.so" web
refused "doctor: no such domain" "no domain" doctor libvirt+$uri:nobody
refused "doctor: no domain of libvirt" "write libvirt:NAME" doctor web
define lib x86_64 "$tmp/qemu" "" ""
cp "$library" "$tmp/libvmpoke-kvm.so"
chmod 755 "$tmp/libvmpoke-kvm.so"
sed -i "s|<domain type='qemu'>|<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>|
	s|</domain>|<qemu:commandline><qemu:env name='LD_PRELOAD' value='$tmp/libvmpoke-kvm.so'/><qemu:env name=\"VMPOKE_SOCKET\" value=\"$tmp/state/lib\"/></qemu:commandline></domain>|" "$tmp/lib.xml"
virsh undefine lib >/dev/null
check "a domain has it" virsh define "$tmp/lib.xml"
doctor "doctor: its next start will have it" "next start will have" lib
check "it starts" virsh start lib
doctor "doctor: nobody answers, as it is TCG" "$tmp/state/lib.*nobody listens\|nobody answers.*$tmp/state/lib" lib
vp info libvirt+$uri:lib >"$tmp/out" 2>&1
ok "info goes by libvirt, and says so" "$(grep -q 'libvmpoke-kvm.so does not answer .*by libvirt, with a stop' "$tmp/out"; echo $?)" ||
	sed 's/^/#  /' "$tmp/out"
virsh destroy lib >/dev/null
mv "$tmp/libvmpoke-kvm.so" "$tmp/elsewhere.so"
doctor "doctor: the library is not there" "library is not there: $tmp/libvmpoke-kvm.so" lib
mv "$tmp/elsewhere.so" "$tmp/libvmpoke-kvm.so"

# --- looking -----------------------------------------------------------------

check "info" vp info $to --json
cp "$tmp/check" "$tmp/info"
same "info: name" "$(jq -r .name "$tmp/info")" web
same "info: identity is the domain's UUID" "$(jq -r .identity "$tmp/info")" "$(virsh domuuid web)"
same "info: release" "$(jq -r .release "$tmp/info")" "$(guest_run web 'uname -r')"
same "info: vcpus" "$(jq .vcpus "$tmp/info")" 2
ok "info: pinning" "$(jq -r .pinning "$tmp/info" | grep -q '^0:0.* 1:0'; echo $?)"
same "list shows it running" "$(listed web)" running
check "the default URI" env LIBVIRT_DEFAULT_URI=$uri VMPOKE="$tmp/vmpoke" "${user[@]}" \
	"$tmp/vmpoke" sym libvirt:web schedule

# --- writing -----------------------------------------------------------------

func=__x64_sys_sched_get_priority_max
hex=$(vp read $to $func --len 64 --json | jq -r .hex)
read -r site old <<<"$(find_mov "$hex")"
site=$func+$site

guest_run web 'load start'
check "the witness is at work" until_true 60 guest_saw web 99
check "poke" vp poke $to "$site" --old "$old" --new "${old:0:2}2a000000"
check "poke: a program in the guest sees it" until_true 60 guest_saw web "99 42"
same "poke: libvirt calls it running" "$(domain web)" running
check "poke: the lease is held" leased
same "list counts it" "$(vp list --connect $uri --json |
	jq -r '.[] | select(.target | endswith(":web")) | .pokes')" 1
check "revert" vp revert $to
check "revert: a program in the guest sees it" until_true 60 guest_saw web "99 42 99"
check "key set on" vp key set $to sched_schedstats on
same "the guest has it on" "$(guest_schedstats web)" 1
check "key set off" vp key set $to sched_schedstats off
same "the guest has it off" "$(guest_schedstats web)" 0
check "key set: the lease is held" leased
virsh qemu-monitor-command web --hmp 'info chardev' >"$tmp/chardevs"
ok "no gdbstub is left open" "$(grep -q 'serial0' "$tmp/chardevs" && ! grep -q vmpoke "$tmp/chardevs"; echo $?)"

# --- what is left in QEMU ------------------------------------------------------

# libvirt is connected all the time, so QEMU drops nothing because its last client went.
descriptors() { find "/proc/$(cat "$tmp/xdg/libvirt/qemu/run/web.pid")/fd" -mindepth 1 | wc -l; }
descriptors_are() { [ "$(descriptors)" = "$1" ]; } # NUMBER

were=$(descriptors)
for _ in {1..10}; do
	vp info $to >"$tmp/out" 2>&1 || break
done
check "info, ten times" vp info $to
same "no descriptor is left in QEMU, which had $were" "$(until_true 20 descriptors_are "$were"; descriptors)" "$were"

# --- paused by its owner -----------------------------------------------------

counted=$(counted)
virsh suspend web >/dev/null
same "list shows it paused" "$(listed web)" paused
same "list knows its kernel and its pokes all the same" "$(counted)" "$counted"
check "and they are known" jq -e 'all(. != null)' <<<"$counted"
refused "a domain that is paused: poke" "resume it" poke $to "$site" --old "$old" --new "${old:0:2}2a000000"
same "it stays paused" "$(domain web)" paused
ok "its lease is given back" "$(! leased; echo $?)"
virsh resume web >/dev/null
same "nothing was written" "$(vp read $to $func --len 64 --json | jq -r .hex)" "$hex"

# --- killed, and hung --------------------------------------------------------

# Kill a poke a few ms after its mark has come (docs/qemu.md), until the domain is found stopped.
killed_while_stopped() {
	local mark pid try end
	mark="$VMPOKE_STATE_DIR/$(virsh domuuid web)-*.mark"
	for try in {0..39}; do
		"${user[@]}" "$tmp/vmpoke" key set $to sched_schedstats on >"$tmp/out" 2>&1 </dev/null &
		pid=$!
		end=$((SECONDS + 30))
		until compgen -G "$mark" >/dev/null || [ $SECONDS -ge $end ]; do sleep 0.002; done
		sleep 0.0$((try % 10))
		kill -9 $pid 2>/dev/null
		wait $pid 2>/dev/null
		[ "$(domain web)" = paused ] && return
		vp recover $to >"$tmp/out" 2>&1
		vp key set $to sched_schedstats off >"$tmp/out" 2>&1
	done
	cat "$tmp/out"
	return 1
}

killed_while_stopped
ok "killed while it holds the domain" $?
vp key set $to sched_schedstats on 2>"$tmp/err"
same "the next one may not write" "$?" 9
check "and says what to do" grep -q "vmpoke recover" "$tmp/err"
check "it can be looked at" vp info $to
check "its memory, too" vp read $to vfs_read
check "and its keys" vp key list $to
same "list says what is to be done" "$(vp list --connect $uri --json |
	jq -r '.[] | select(.target | endswith(":web")) | .attention' | grep -c "vmpoke recover")" 1
same "looking left it as it was" "$(domain web)" paused
check "recover" vp recover $to
same "it runs" "$(domain web)" running
check "recover: the lease is held" leased
now=$(guest_schedstats web)
ok "the whole batch or nothing of it" "$([ "$now" = 0 ] || [ "$now" = 1 ]; echo $?)"
check "all works again" vp key set $to sched_schedstats on
check "and back" vp key set $to sched_schedstats off
same "the guest lives" "$(guest_run web 'cat /proc/sys/kernel/sched_schedstats')" 0

# libvirt stops answering while a poke is at work, for longer than a call may take: what it does late is
# waited for and undone, or carried on with; nothing stops the domain behind vmpoke's last word.
waited=0
hang_once() { # MILLISECONDS behind the mark
	local mark pid end code
	mark="$VMPOKE_STATE_DIR/$(virsh domuuid web)-*.mark"
	"${user[@]}" "$tmp/vmpoke" key set $to sched_schedstats on --timeout 1000 >"$tmp/out" 2>&1 </dev/null &
	pid=$!
	end=$((SECONDS + 30))
	until compgen -G "$mark" >/dev/null || [ $SECONDS -ge $end ]; do sleep 0.002; done
	sleep "0.$1"
	kill -STOP "$daemon"
	sleep 2.5 # which is longer than the 1000 ms
	compgen -G "$mark" >/dev/null && kill -0 $pid 2>/dev/null && waited=$((waited + 1))
	kill -CONT "$daemon"
	wait $pid
	code=$?
	echo "#  $1: exit code $code: $(tail -n 1 "$tmp/out")"
	[ "$(domain web)" = running ] || { echo "left $(domain web)"; return 1; }
	! compgen -G "$mark" || return 1
	now=$(guest_schedstats web)
	case $code in
	0) [ "$now" = 1 ] ;;
	*) [ "$now" = 0 ] ;;
	esac || { echo "exit code $code, and the key is $now"; return 1; }
	[ "$now" = 0 ] || vp key set $to sched_schedstats off
}
for ms in 000 004 012 025 050 080 160 320; do
	check "libvirt hangs amid a key set, $ms ms behind the mark: it runs, whole, without a mark" hang_once $ms
	grep '^#  ' "$tmp/check"
done
ok "it was waited for ($waited of 8)" "$([ $waited -gt 0 ]; echo $?)"
check "the lease is held" leased

kill -STOP "$daemon"
refused "libvirt hangs" "answer" info $to
kill -CONT "$daemon"
check "libvirt hangs no more" until_true 60 vp info $to

# --- when it is off -----------------------------------------------------------

vp status $to --history --json >"$tmp/on"
uuid=$(virsh domuuid web)
virsh destroy web >/dev/null
refused "off again" "shut off" status $to
ok "its history, while it is off" "$(vp status $to --history --json | cmp - "$tmp/on" && [ "$(jq length "$tmp/on")" -gt 2 ]; echo $?)"
virsh undefine web >/dev/null
refused "libvirt knows it no more" "no domain" status $to --history
ok "its history by the UUID" "$(vp status libvirt+$uri:$uuid --history --json | cmp - "$tmp/on"; echo $?)"

exit $failed
