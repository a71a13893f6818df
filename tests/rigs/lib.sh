# SPDX-License-Identifier: Apache-2.0
# To be sourced: what the rigs build their emulated hosts with, and the hosts that Bochs emulates.
# Whoever sources it sets: vmpoke (the program), tmp (a folder of its own).

give_up() { # TEXT [LOG]
	echo "not ok - $(basename "$0" .sh): $1"
	[ $# -gt 1 ] && sed 's/^/# /' "$2"
	exit 1
}

need() { # PROGRAM...
	local program
	for program; do
		command -v "$program" >/dev/null ||
			give_up "$program is missing: run .ci/deps.sh --tests"
	done
}

# --- initial file systems --------------------------------------------------------

# A program, and the libraries that it names to the same places.
copy_program() { # ROOT PROGRAM DESTINATION
	local file
	install -D "$2" "$1$3" || return
	for file in $(ldd "$2" | grep -o '/[^ ]*'); do
		install -D "$file" "$1$file" || return
	done
}

# busybox and bash; vmpoke; the scripts of the rigs, and what every test is built of.
host_root() { # ROOT
	install -D /bin/busybox "$1/bin/busybox" &&
		copy_program "$1" "$(command -v bash)" /bin/bash &&
		copy_program "$1" "$vmpoke" /vmpoke/build/vmpoke &&
		strip "$1/vmpoke/build/vmpoke" &&
		mkdir -p "$1/vmpoke/tests" && cp -r tests/rigs tests/verdict.sh "$1/vmpoke/tests/"
}

# This machine's QEMU and its firmware.
copy_qemu() { # ROOT
	local file
	copy_program "$1" "$(command -v qemu-system-x86_64)" /usr/bin/qemu-system-x86_64 || return
	for file in qemu/kvmvapic.bin qemu/linuxboot_dma.bin qemu/linuxboot.bin seabios/bios-256k.bin; do
		install -D -m 644 "/usr/share/$file" "$1/usr/share/$file" || return
	done
}

# A Linux guest for our own VMM: /inner/vmlinuz, /inner/initrd.
inner_guest() { # ROOT KERNEL-FOLDER
	local inner=$tmp/inner
	install -D /bin/busybox "$inner/bin/busybox" &&
		install tests/rigs/linux/init "$inner/init" &&
		install tests/linux/load "$inner/bin/load" &&
		"${CC:-gcc}" -O2 -D_GNU_SOURCE -static -s -o "$inner/bin/witness" \
			tests/linux/witness.c &&
		"${CC:-gcc}" -O2 -static -s -o "$inner/bin/exits" tests/rigs/linux/exits.c &&
		"${CC:-gcc}" -O2 -D_GNU_SOURCE -static -s -o "$inner/bin/gap" tests/rigs/linux/gap.c &&
		install -D "$2/vmlinuz" "$1/inner/vmlinuz" && pack "$inner" "$1/inner/initrd"
}

# A hotfix of three functions for the kernel of a guest: on the hosts is no compiler.
three_together() { # FLAVOUR OBJECT
	local headers
	headers=$(tests/linux/headers.sh "$1" 2>"$tmp/log") && mkdir -p "$(dirname "$2")" &&
		"$vmpoke" hotfix build tests/hotfixes/three-together.c --headers "$headers" \
			--cc "$PWD/tests/linux/cc.sh" -o "$2" >"$tmp/log" 2>&1
}

# The kernel inside a bzImage that is compressed with xz (boot.rst, payload_offset): a vmlinux.
extract_vmlinux() { # BZIMAGE OUTPUT
	local sectors offset length
	sectors=$(od -An -tu1 -j $((0x1f1)) -N 1 "$1")
	offset=$(od -An -tu4 -j $((0x248)) -N 4 "$1")
	length=$(od -An -tu4 -j $((0x24c)) -N 4 "$1")
	# Behind the compressed data stand 4 bytes, its size.
	tail -c +$(((sectors + 1) * 512 + offset + 1)) "$1" | head -c $((length - 4)) |
		xz -dc --single-stream >"$2"
}

pack() { # ROOT OUTPUT
	(cd "$1" && find . | cpio -o -H newc --quiet) >"$2"
}

# --- what came of it -------------------------------------------------------------

# Pass on what the tests of a host said, and look whether it came to its end.
report_host() { # CONSOLE
	local text=$tmp/text
	tr -d '\r' <"$1" >"$text"
	# A guest writes what it likes on a console.
	grep -aE '^(ok|not ok|SKIP|#)' "$text"
	if grep -aq '^RIG DONE' "$text"; then
		echo "ok - the host came to its end"
	else
		echo "not ok - the host hung or died; the end of $1:"
		tail -n 20 "$text" | sed 's/^/# /'
		grep -hs -A 12 "Triple fault" "${1%.console}.resets" | sed 's/^/# /'
		tail -n 1 "${1%.console}.qemu" 2>/dev/null | sed 's/^/# /'
	fi
}

# --- hosts with SVM, emulated by QEMU ---------------------------------------------

# Its first process, which runs these scripts, with what is in /rig/settings.
svm_init() { # ROOT SCRIPT...
	local root=$1
	shift
	install tests/rigs/svm/init "$root/init" && mkdir -p "$root/rig" &&
		printf '%s\n' "$@" >"$root/rig/tests" && touch "$root/rig/settings"
}

# What emulates them: HOST_QEMU, or trixie's. On the SVM of 7.2 guests hang or die by themselves (docs/qemu.md).
svm_qemu() {
	[ -z "${HOST_QEMU-}" ] || return 0
	HOST_QEMU=$(tests/linux/qemu.sh trixie 2>"$tmp/log")
	case $? in
	0) ;;
	77) echo "SKIP: $(basename "$0" .sh): $(tail -n 1 "$tmp/log")" && exit 0 ;;
	*) give_up "no QEMU of trixie" "$tmp/log" ;;
	esac
}

# Run one to its end: a stock kernel that starts from INITRD.
#
# With a thread for each CPU, as on one thread guests of the host hang. Without SMAP: QEMU 7.2's iretq at
# CPL 3 reads the user's stack as the kernel would, and faults. Without XSAVE: its xsetbv is not
# intercepted, so KVM does not know the sizes that CPUID is to tell.
svm_host() { # NAME MEGABYTES KERNEL INITRD SECONDS
	rm -f "build/log/$1.console"
	timeout --kill-after=5 "$5" "$HOST_QEMU" -nodefaults -no-user-config -display none \
		-no-reboot -accel tcg,thread=multi -cpu EPYC,+svm,+npt,-smap,-xsave -smp 2 -m "$2" \
		-kernel "$3" -initrd "$4" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off audit=0" \
		-d cpu_reset -D "build/log/$1.resets" \
		-serial file:"build/log/$1.console" </dev/null >"build/log/$1.qemu" 2>&1 &
	host=$!
	wait $host
	echo "the host's QEMU ended with $?" >>"build/log/$1.qemu"
	host=
}

# --- hosts with VMX, emulated by Bochs --------------------------------------------

# Left out of the boot: self-tests of ciphers, and certificates, which take longer than all the rest.
bochs_iso() { # KERNEL ROOT OUTPUT
	local iso=$tmp/iso
	mkdir -p "$iso"
	pack "$2" "$iso/initrd" && cp "$1" "$iso/vmlinuz" &&
		cp /usr/lib/ISOLINUX/isolinux.bin \
			/usr/lib/syslinux/modules/bios/ldlinux.c32 "$iso/" || return
	tr '\n' ' ' >"$tmp/append" <<-END
		console=ttyS0,115200 quiet nokaslr mitigations=off audit=0 ipv6.disable=1
		cryptomgr.notests initcall_blacklist=load_system_certificate_list
	END
	cat >"$iso/isolinux.cfg" <<-END
		DEFAULT rig
		PROMPT 0
		LABEL rig
		 KERNEL vmlinuz
		 INITRD initrd
		 APPEND $(cat "$tmp/append")
	END
	xorriso -as mkisofs -quiet -o "$3" -b isolinux.bin -no-emul-boot \
		-boot-load-size 4 -boot-info-table "$iso" 2>"$tmp/log"
}

# Starts it in the background. Console: NAME.console, Bochs' own words: NAME.bochs, NAME.out.
bochs_start() { # NAME CPUS MEGABYTES ISO SECONDS
	local rc=$tmp/bochsrc-$2
	rm -f "$1.console"
	sed -e "s|@CPUS@|$2|" -e "s|@MEGS@|$3|" -e "s|@ISO@|$4|" -e "s|@CONSOLE@|$1.console|" \
		-e "s|@LOG@|$1.bochs|" tests/rigs/vmx/bochsrc.in >"$rc"
	echo c >"$tmp/continue" # Debian's Bochs is the one with a debugger
	timeout --kill-after=5 "$5" bochs -q -f "$rc" -rc "$tmp/continue" \
		>"$1.out" 2>&1 </dev/null &
}
