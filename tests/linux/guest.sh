#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Stock Debian kernels under QEMU TCG, for tests to source. By hand: tests/linux/try.sh FLAVOUR.
#
#	guest_start NAME FLAVOUR [QEMU-ARG...]	boot one and wait until it is ready
#	guest_await NAME FROM FLAVOUR [QEMU-ARG...]	a QEMU like that of FROM, that waits to be what FROM
#				is now: `migrate` to unix:$(guest_dir NAME)/in
#	guest_launch NAME QEMU-ARG...	a QEMU with the same sockets that runs something else
#	guest_run NAME COMMAND		run a line of shell in it: its output and exit code
#	guest_dir NAME			its folder: gdb, qmp, console, shell (sockets), console.log
#	guest_qmp NAME JSON		a command to QEMU, on a socket of the tests' own: its answer
#	guest_status NAME		what QEMU says of it: running, paused, ...
#	guest_pid NAME			its QEMU
#	guest_show NAME			its state, the end of its console, what QEMU said
#	guest_stop NAME			kill it
#	guest_cleanup			kill all and remove their folders: for the EXIT trap
#
# A guest has KASLR, 512 MB, no disk and no network card. What the environment may say:
#
#	GUEST_QEMU	the QEMU to start; from another suite of Debian: "$(tests/linux/qemu.sh sid)"
#	GUEST_VCPUS	how many (2)
#	GUEST_ACCEL	QEMU's -accel: kvm instead of tcg
#	GUEST_CPU	QEMU's -cpu
#	GUEST_THREAD	multi: a host thread for each vCPU. Else all run on one, as the guest's own
#			patching hangs about once in 100 rounds in QEMU 7.2 otherwise
#	GUEST_PROGRAMS	more of our programs in it: "shows" (./shows)
#	GUEST_MODULES	a folder to be its /lib/modules, for `modprobe`
#	GUEST_APPEND	added to the guest's command line ("pti=on"), as QEMU-ARGs are to QEMU's
#	GUEST_LIMIT	how many seconds anything may take
#
# In the guest: `load start`, `load check`, `load stop` (./load), `witness`, the modules in /modules.

guest_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
guest_tmp=
: "${GUEST_LIMIT:=180}" "${GUEST_VCPUS:=2}"

guest_dir() { echo "$guest_tmp/$1"; }
guest_pid() { cat "$guest_tmp/$1/pid"; }

# A program is a source, or a folder of sources.
guest_programs() { # ROOT
	local program
	for program in witness ${GUEST_PROGRAMS-}; do
		if [ -d "$guest_here/$program" ]; then
			set -- "$1" "$guest_here/$program"/*.c
		else
			set -- "$1" "$guest_here/$program.c"
		fi
		"${CC:-gcc}" -O2 -D_GNU_SOURCE -static -s -o "$1/bin/$program" "${@:2}" || return
	done
}

# The file system that the guest starts from.
guest_initrd() { # KERNEL-FOLDER OUTPUT
	local kernel=$1 out=$2 root=$2.root
	mkdir -p "$root/bin" "$root/modules" &&
		cp /bin/busybox "$guest_here/load" "$root/bin/" &&
		cp "$guest_here/init" "$root/init" &&
		guest_programs "$root" &&
		cp "$kernel"/modules/*.ko "$root/modules/" &&
		{ [ -z "${GUEST_MODULES-}" ] || { mkdir "$root/lib" && cp -r "$GUEST_MODULES" "$root/lib/modules"; }; } &&
		(cd "$root" && find . | cpio -o -H newc --quiet) >"$out" &&
		rm -r "$root"
}

# Start a QEMU, whatever it runs.
guest_launch() { # NAME QEMU-ARG...
	local name=$1 dir
	shift
	[ -n "$guest_tmp" ] || guest_tmp=$(mktemp -d) || return
	dir=$guest_tmp/$name
	mkdir -p "$dir" || return
	"${GUEST_QEMU:-qemu-system-x86_64}" -name "$name" \
		-nodefaults -no-user-config -display none -no-reboot -no-shutdown \
		-accel "${GUEST_ACCEL:-tcg,thread=${GUEST_THREAD:-single}}" \
		${GUEST_CPU:+-cpu "$GUEST_CPU"} -smp "$GUEST_VCPUS" -m 512 \
		-gdb unix:"$dir/gdb",server=on,wait=off \
		-qmp unix:"$dir/qmp",server=on,wait=off \
		-qmp unix:"$dir/watch",server=on,wait=off \
		"$@" </dev/null >"$dir/qemu.log" 2>&1 &
	echo $! >"$dir/pid"
}

# A QEMU that boots a kernel. Without no_timer_check a guest under TCG panics at boot when the host is too busy for its timer.
guest_boot() { # NAME KERNEL-FOLDER INITRD QEMU-ARG...
	local name=$1 dir=$guest_tmp/$1 kernel=$2 initrd=$3
	shift 3
	guest_launch "$name" -kernel "$kernel/vmlinuz" -initrd "$initrd" \
		-append "console=ttyS0 quiet panic=0 no_timer_check ${GUEST_APPEND-}" \
		-chardev "socket,id=con,path=$dir/console,server=on,wait=off,logfile=$dir/console.log" \
		-serial chardev:con \
		-chardev socket,id=shell,path="$dir/shell",server=on,wait=off \
		-device virtio-serial,max_ports=2 -device virtserialport,chardev=shell,name=shell "$@"
}

guest_await() { # NAME FROM FLAVOUR [QEMU-ARG...]
	local kernel end
	kernel=$("$guest_here/kernel.sh" "$3") && mkdir "$guest_tmp/$1" || return
	guest_boot "$1" "$kernel" "$guest_tmp/$2/initrd" -incoming unix:"$guest_tmp/$1/in" "${@:4}" || return
	end=$((SECONDS + GUEST_LIMIT))
	until [ -S "$guest_tmp/$1/in" ]; do
		[ $SECONDS -lt $end ] && kill -0 "$(guest_pid "$1")" 2>/dev/null || return
		sleep 0.1
	done
}

guest_start() { # NAME FLAVOUR [QEMU-ARG...]
	local name=$1 flavour=$2 kernel dir end i
	shift 2
	kernel=$("$guest_here/kernel.sh" "$flavour") || return
	[ -n "$guest_tmp" ] || guest_tmp=$(mktemp -d) || return
	dir=$guest_tmp/$name
	mkdir "$dir" && guest_initrd "$kernel" "$dir/initrd" || return
	guest_boot "$name" "$kernel" "$dir/initrd" "$@" || return
	end=$((SECONDS + GUEST_LIMIT))
	for ((i = 1; SECONDS < end; i++)); do
		grep -qs '^GUEST READY' "$dir/console.log" && return
		grep -qs 'Kernel panic' "$dir/console.log" && break
		kill -0 "$(guest_pid "$name")" 2>/dev/null || break
		# A triple fault says nothing on the console. No answer is none: QEMU may just have begun.
		[ $((i % 25)) -ne 0 ] || [ "$(guest_status "$name")" != shutdown ] || break
		sleep 0.2
	done
	echo "guest $name does not come up" >&2
	guest_show "$name" >&2
	return 1
}

# All there is to see of one that is not as it should be. One that panicked or reset itself is still there.
guest_show() { # NAME
	local dir=$guest_tmp/$1
	echo "# its state: $(guest_status "$1" 2>/dev/null); QEMU says:"
	sed 's/^/#   /' "$dir/qemu.log"
	guest_qmp "$1" '{"execute":"human-monitor-command","arguments":{"command-line":"info registers -a"}}' |
		jq -r .return | tr -d '\r' | grep -E '^(CPU|RIP|RSP|CR0|CS )|RIP=|RSP=' | sed 's/^/#   /'
	echo "# its console says:"
	tail -n 40 "$dir/console.log" | tr -d '\r' | sed 's/^/#   /'
}

# A connection to one of its sockets: LINK[0] to read from, LINK[1] to write to.
guest_connect() { # NAME SOCKET
	coproc LINK { exec socat - UNIX-CONNECT:"$guest_tmp/$1/$2" 2>&1; }
	link_in=${LINK[1]:--} link_out=${LINK[0]:--} link_pid=${LINK_PID-} # nobody listens: it may be gone
}

# SIGKILL: socat may lose a SIGTERM that comes just before it waits, and then stays for ever.
guest_disconnect() {
	kill -9 "$link_pid" 2>/dev/null
	wait "$link_pid" 2>/dev/null
}

# 125: the guest does not answer (GUEST_LIMIT).
guest_run() { # NAME COMMAND
	local link_in link_out link_pid code size
	[[ $2 != *$'\n'* ]] || { echo "guest_run: not a line: $2" >&2 && return 125; }
	guest_connect "$1" shell
	printf '%s\n' "$2" >&"$link_in"
	if IFS=' ' read -r -t "$GUEST_LIMIT" code size <&"$link_out"; then
		head -c "$size" <&"$link_out"
	else
		echo "guest $1 does not answer to: $2" >&2
		code=125
	fi
	guest_disconnect
	return "$code"
}

guest_qmp() { # NAME JSON
	local link_in link_out link_pid line="" answers=0
	guest_connect "$1" watch
	printf '%s\n' '{"execute":"qmp_capabilities"}' "$2" >&"$link_in"
	while [ $answers -lt 2 ] && IFS= read -r -t "$GUEST_LIMIT" line <&"$link_out"; do
		case $line in # not the greeting, not events
		'{"return"'* | '{"error"'*) answers=$((answers + 1)) ;;
		esac
	done
	guest_disconnect
	echo "$line"
	[ $answers -eq 2 ] && [ "${line#'{"return"'}" != "$line" ]
}

guest_status() { # NAME
	guest_qmp "$1" '{"execute":"query-status"}' | jq -r .return.status
}

guest_stop() { # NAME
	local pid
	pid=$(guest_pid "$1") && kill -9 "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	rm -rf "${guest_tmp:?}/$1"
}

guest_cleanup() {
	local dir
	[ -n "$guest_tmp" ] || return 0
	for dir in "$guest_tmp"/*/; do
		[ -e "$dir/pid" ] && guest_stop "$(basename "$dir")"
	done
	rm -rf "$guest_tmp"
	guest_tmp=
}
