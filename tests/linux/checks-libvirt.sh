# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced, behind checks.sh: a libvirt of our own, with a lock manager, and a domain `web` of a
# stock kernel. Says SKIP and ends where libvirt is not installed.
#
#	libvirt_define [KERNEL-ARG...]	the daemons, and the domain
#	libvirt_start	the domain runs
#	virsh, vp	as the user whose libvirt it is, on $uri
#	to	the domain, as vmpoke's target
#	define NAME ARCH EMULATOR OS-ELEMENTS DEVICES
#	domain NAME	its state, as libvirt says
#	leased	does virtlockd hold the lease on its disk?
#	daemon	the process of libvirtd
#
# libvirtd runs as an ordinary user (root becomes `nobody`) with all its folders in a fresh one:
# nothing of the machine's own libvirt is seen or touched.

uri=qemu:///session
to=libvirt+$uri:web
daemon= lockd=

for tool in libvirtd virtlockd virsh setpriv; do
	command -v $tool >/dev/null || { echo "SKIP: $tool is not installed"; exit 0; }
done

user=()
[ "$(id -u)" -ne 0 ] || user=(setpriv --reuid=65534 --regid=65534 --clear-groups)

as_user() { "${user[@]}" "$@"; }
virsh() { as_user timeout 60 virsh -q -c $uri "$@" </dev/null; }
vp() { as_user timeout --kill-after=5 "${VP_LIMIT:-60}" "$tmp/vmpoke" "$@" </dev/null; }
domain() { virsh domstate "$1"; }
leased() { grep -q "POSIX .*WRITE $lockd .*:$(stat -c %i "$tmp/disk") " /proc/locks; }

libvirt_cleanup() {
	local domain
	if [ -n "$daemon" ]; then
		kill -CONT "$daemon"
		for domain in $(virsh list --name); do
			virsh destroy "$domain" >/dev/null
		done
		kill "$daemon"
		wait "$daemon" 2>/dev/null
	fi
	[ -z "$lockd" ] || { kill "$lockd"; wait "$lockd" 2>/dev/null; }
	guest_cleanup
	rm -rf "$tmp"
}
trap 'libvirt_cleanup' EXIT

theirs() { [ ${#user[@]} -eq 0 ] || chown -R 65534:65534 "$@"; }

# A folder of its own, and the programs in it.
libvirt_folder() {
	cp "$vmpoke" "$tmp/"
	mkdir "$tmp/xdg" "$tmp/config" "$tmp/cache" "$tmp/data" "$tmp/web" "$tmp/state"
	export XDG_RUNTIME_DIR=$tmp/xdg XDG_CONFIG_HOME=$tmp/config XDG_CACHE_HOME=$tmp/cache \
		XDG_DATA_HOME=$tmp/data HOME=$tmp/home VMPOKE_STATE_DIR=$tmp/state LC_ALL=C
	export LIBVIRT_AUTOSTART=0 # whoever finds no daemon starts none
	guest_tmp=$tmp # where guest_run finds the domain's sockets

	# libvirt has no word for it: on one host thread, for tests/linux/guest.sh says why.
	printf '#!/bin/bash\nexec %s "${@/#tcg/tcg,thread=single}"\n' \
		"${GUEST_QEMU:-qemu-system-x86_64}" >"$tmp/qemu"
	chmod 755 "$tmp" "$tmp/qemu" "$tmp/vmpoke"
	mkdir -p "$tmp/config/libvirt"
	# With a lock manager: who runs a domain holds a lease on its disk.
	echo 'lock_manager = "lockd"' >"$tmp/config/libvirt/qemu.conf"
	truncate -s 1M "$tmp/disk"
	theirs "$tmp"
	chmod 700 "$tmp/xdg" "$tmp/state"
}

libvirt_daemons() {
	"${user[@]}" virtlockd >"$tmp/virtlockd.log" 2>&1 </dev/null &
	lockd=$! # setpriv becomes it: no shell stands between
	until_true 60 test -S "$tmp/xdg/libvirt/virtlockd-sock"
	"${user[@]}" libvirtd >"$tmp/libvirtd.log" 2>&1 </dev/null &
	daemon=$!
	until_true 60 test -S "$tmp/xdg/libvirt/libvirt-sock"
	check "libvirtd answers" until_true 60 virsh version
	[ $failed -eq 0 ] || { tail -n 5 "$tmp/libvirtd.log" | sed 's/^/#  /'; exit 1; }
}

define() { # NAME ARCH EMULATOR OS-ELEMENTS DEVICES
	cat >"$tmp/$1.xml" <<END
<domain type='qemu'>
  <name>$1</name>
  <memory unit='MiB'>512</memory>
  <vcpu>2</vcpu>
  <os><type arch='$2' machine='pc'>hvm</type>$4</os>
  <features><acpi/></features>
  <devices>
    <emulator>$3</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    $5
  </devices>
</domain>
END
	check "domain $1 is defined" virsh define "$tmp/$1.xml"
}

libvirt_define() { # [KERNEL-ARG...]
	local kernel
	kernel=$("$guest_here/kernel.sh" generic) || { echo "not ok - a kernel"; exit 1; }
	guest_initrd "$kernel" "$tmp/initrd"
	cp "$kernel/vmlinuz" "$tmp/"
	libvirt_folder
	libvirt_daemons
	define web x86_64 "$tmp/qemu" \
		"<kernel>$tmp/vmlinuz</kernel><initrd>$tmp/initrd</initrd><cmdline>console=ttyS0 quiet $*</cmdline>" \
		"<disk type='file'><driver name='qemu' type='raw'/><source file='$tmp/disk'/>
		   <target dev='vda' bus='virtio'/></disk>
		 <serial type='file'><source path='$tmp/console'/></serial>
		 <channel type='unix'><source mode='bind' path='$tmp/web/shell'/>
		   <target type='virtio' name='shell'/></channel>"
}

libvirt_start() {
	check "it starts" virsh start web
	[ $failed -eq 0 ] || exit 1
	check "virtlockd holds the lease on its disk" leased
	check "it boots" until_true "$GUEST_LIMIT" grep -q '^GUEST READY' "$tmp/console"
	[ $failed -eq 0 ] || exit 1
}
