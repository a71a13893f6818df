#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The KVM tests on a real upstream KVM: a stock Debian kernel with kvm-intel on a host that Bochs
# emulates, VMX and all. Two such hosts at once, with one CPU and with two.
#
#	tests/rigs/vmx.sh [CPUS...]	default: 1 2
#
# Bochs' VMX leaves a guest for the host's interrupts only while the guest's own are on, so guests that
# loop must have them on: the test guest has, the small guests get another entry for it (vmx/sti.S).
# The kernel is kept in build/rigs; consoles are in build/log/rig-vmx-*.console.
set -u
cd "$(dirname "$0")/../.." || exit 1
rig=tests/rigs/vmx
kernel=build/rigs/kernel
vmpoke=${VMPOKE:-build/vmpoke}
limit=${VMX_LIMIT:-840} # seconds until a host counts as hung
tests=("$rig/inside.sh" tests/integration/vmm.sh)
tmp=$(mktemp -d)
root=$tmp/root
hosts=()
trap 'kill "${hosts[@]}" 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

give_up() { # TEXT [LOG]
	echo "not ok - vmx: $1"
	[ $# -gt 1 ] && sed 's/^/# /' "$2"
	exit 1
}

# The newest stock kernel for virtual machines: smaller, and its kvm-intel is a module, too.
fetch_kernel() {
	local package module log=$tmp/log new=$kernel.$$
	package=$(apt-cache depends linux-image-cloud-amd64 2>"$log" |
		awk '/Depends: linux-image-/ {print $2; exit}')
	[ -n "$package" ] || give_up "apt knows no linux-image-cloud-amd64: run apt-get update" "$log"
	(cd "$tmp" && apt-get download "$package") >"$log" 2>&1 ||
		give_up "cannot download $package" "$log"
	dpkg -x "$tmp/$package"_*.deb "$tmp/package" || give_up "cannot unpack $package"
	mkdir -p "$new"
	cp "$tmp"/package/boot/vmlinuz-* "$new/vmlinuz"
	# Without type information and symbols, which take a third of the boot to read.
	for module in virt/lib/irqbypass arch/x86/kvm/kvm arch/x86/kvm/kvm-intel; do
		objcopy -g -R .BTF "$tmp"/package/lib/modules/*/kernel/$module.ko \
			"$new/${module##*/}.ko" || give_up "$package has no $module.ko"
	done
	mv -T "$new" "$kernel" 2>/dev/null || rm -rf "$new" # somebody else was faster
}

build_guests() {
	local flags src name entry
	flags=(-nostdlib -static -no-pie -Iinclude -Wl,--build-id=none -Wl,-z,max-page-size=4096)
	mkdir -p "$root/rig/guests"
	for src in tests/guests/*.S "$rig/late.S"; do
		name=$(basename "$src" .S)
		# abi looks at the flags that it is entered with.
		[ "$name" = abi ] && entry=() || entry=(-Wl,-e,rig_start "$rig/sti.S")
		"${CC:-gcc}" "${flags[@]}" -Wl,-T,tests/guests/guest.ld \
			-o "$root/rig/guests/$name.elf" "$src" "${entry[@]}" || return
	done
	"${CC:-gcc}" "${flags[@]}" -Wl,-Ttext=0x1000 -Wl,-e,start \
		-o "$root/rig/guests/low.elf" tests/guests/halt.S
}

# A program, and the libraries that it names to the same places.
copy_program() { # PROGRAM DESTINATION
	local file
	install -D "$1" "$root$2" || return
	for file in $(ldd "$1" | grep -o '/[^ ]*'); do
		install -D "$file" "$root$file" || return
	done
}

build_root() {
	install -D "$rig/cc" "$root/rig/cc" && install "$rig/init" "$root/init" &&
		install -D /bin/busybox "$root/bin/busybox" &&
		copy_program "$(command -v bash)" /bin/bash &&
		copy_program "$(command -v setpriv)" /bin/setpriv &&
		copy_program "$vmpoke" /vmpoke/build/vmpoke &&
		strip "$root/vmpoke/build/vmpoke" &&
		cp "$kernel"/*.ko "$root/rig/" &&
		"${CC:-gcc}" -O1 -static -o "$root/rig/bp" "$rig/bp.c" || return
	mkdir "$root/vmpoke/tests" "$tmp/iso"
	cp -r tests/rigs tests/integration tests/guests "$root/vmpoke/tests/"
	printf '%s\n' "${tests[@]}" >"$root/rig/tests"
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$tmp/iso/initrd"
}

# Left out of the boot: self-tests of ciphers, and certificates, which take longer than all the rest.
build_iso() {
	cp "$kernel/vmlinuz" /usr/lib/ISOLINUX/isolinux.bin \
		/usr/lib/syslinux/modules/bios/ldlinux.c32 "$tmp/iso/"
	tr '\n' ' ' >"$tmp/append" <<-END
		console=ttyS0,115200 quiet nokaslr mitigations=off audit=0 ipv6.disable=1
		cryptomgr.notests initcall_blacklist=load_system_certificate_list
	END
	cat >"$tmp/iso/isolinux.cfg" <<-END
		DEFAULT rig
		PROMPT 0
		LABEL rig
		 KERNEL vmlinuz
		 INITRD initrd
		 APPEND $(cat "$tmp/append")
	END
	xorriso -as mkisofs -quiet -o "$tmp/rig.iso" -b isolinux.bin -no-emul-boot \
		-boot-load-size 4 -boot-info-table "$tmp/iso" 2>"$tmp/log"
}

start_host() { # CPUS
	local name=build/log/rig-vmx-$1
	rm -f "$name.console"
	sed -e "s|@CPUS@|$1|" -e "s|@ISO@|$tmp/rig.iso|" -e "s|@CONSOLE@|$name.console|" \
		-e "s|@LOG@|$name.bochs|" "$rig/bochsrc.in" >"$tmp/bochsrc-$1"
	echo c >"$tmp/continue" # Debian's Bochs is the one with a debugger
	timeout --kill-after=5 "$limit" bochs -q -f "$tmp/bochsrc-$1" -rc "$tmp/continue" \
		>"$name.out" 2>&1 </dev/null &
	hosts+=($!)
}

# Judge what the host showed, pass on what its tests said, and look whether it came to its end.
report() { # CPUS
	local console=build/log/rig-vmx-$1.console text=$tmp/text
	tr -d '\r' <"$console" >"$text"
	"$rig/judge.sh" "$1" "$text" 2>&1
	grep -E '^(ok|not ok|SKIP|#)' "$text"
	if grep -q '^RIG DONE' "$text"; then
		echo "ok - the host came to its end"
	else
		echo "not ok - the host hung or died; the end of $console:"
		tail -n 20 "$text" | sed 's/^/# /'
	fi
}

for program in bochs xorriso cpio busybox jq setpriv objcopy; do
	command -v $program >/dev/null || give_up "$program is missing: run .ci/deps.sh --tests"
done
mkdir -p build/log build/rigs
[ -d "$kernel" ] || fetch_kernel
build_guests && build_root || give_up "cannot build the initramfs"
build_iso || give_up "cannot make the ISO" "$tmp/log"
[ $# -gt 0 ] || set -- 1 2
for cpus; do
	start_host "$cpus"
done
wait "${hosts[@]}"
hosts=()
for cpus; do
	report "$cpus" | sed -E "s/^(ok - |not ok - |SKIP: |# )/\1CPUs $cpus: /"
done | tee "$tmp/report"
! grep -q '^not ok' "$tmp/report"
