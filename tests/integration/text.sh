#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What guests, their VMs and their files call themselves never controls a terminal: every command, as
# text and as JSON, against a control socket that lies, a guest whose symbols are escape sequences, and a
# QEMU with such a name; and the ledger.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
vmpoke=${VMPOKE:-$root/build/vmpoke}
tmp=$(mktemp -d)
. "$root/tests/verdict.sh"
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null; rm -rf "$tmp"' EXIT
chmod 711 "$tmp"
export VMPOKE_RUNTIME_DIR=$tmp/run VMPOKE_STATE_DIR=$tmp/state
nop=0f1f440000
mov=b811223344
evil=$'evil\e[31m\e]0;t\a"\'\x7f\xc2\x9b2J\xe2\x80\xae\xff\xc0\xaf\x9b'
commands=0 shown=0

# Nothing but lines of UTF-8 without anything that controls?
clean() { # FILE
	! LC_ALL=C grep -qaP '[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8b-\x8f\xa8-\xae]|\xef\xbb\xbf' "$1" &&
		iconv -f UTF-8 -t UTF-8 "$1" >/dev/null 2>&1
}

# says WORD ARGS...: run it; all that it prints is clean, JSON is JSON, and errors are one line
says() {
	local word=$1 json=0 code
	shift
	timeout 60 "$vmpoke" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
	[[ " $* " != *" --json "* ]] || [ $code -ne 0 ] || { jq . "$tmp/out" >/dev/null 2>&1 || json=1; }
	clean "$tmp/out" && clean "$tmp/err" && [ $json -eq 0 ] && [ $code -lt 124 ] &&
		[ "$(wc -l <"$tmp/err")" -le 1 ]
	ok "$word: ${*//[^[:print:]]/?}: exit code $code, and nothing that controls" $?
	commands=$((commands + 1))
	grep -qa -e LIE -e evil "$tmp/out" "$tmp/err" && shown=$((shown + 1))
}

both() { # WORD ARGS...
	says "$@"
	says "$@" --json
}

until_there() { # FILE
	for _ in $(seq 300); do
		[ -e "$1" ] && return
		sleep 0.1
	done
	ok "${1##*/} comes up" 1
	exit 1
}

build() { # SOURCE OUTPUT
	${CC:-gcc} -nostdlib -static -no-pie -I"$root/include" -Wl,--build-id=none \
		-Wl,-z,max-page-size=4096 -Wl,-T,"$root/tests/guests/guest.ld" \
		-o "$2" "$root/tests/guests/$1"
}

all_commands() { # WORD TARGET SYMBOL
	both "$1" list
	both "$1" info "$2"
	both "$1" status "$2"
	both "$1" sym "$2" --all
	both "$1" sym "$2" "$3"
	both "$1" sym "$2" "nobody$evil"
	both "$1" read "$2" "$3" --insns 3
	both "$1" read "$2" "$3" --att
	says "$1" read "$2" "$3" --len 40
	both "$1" regs "$2"
	both "$1" key "$2" list
	both "$1" poke "$2" "$3" --old $nop --new $mov --dry-run
	both "$1" poke "$2" "$3" --old $mov --new $nop # already so
	says "$1" poke "$2" "$3" --old $nop --new $mov
	both "$1" status "$2"
	says "$1" status "$2" --sites
	both "$1" status "$2" --history
	says "$1" imm "$2" "$3" 7
	both "$1" revert "$2" 99
	says "$1" revert "$2" --all
	both "$1" stop "$2"
	both "$1" cont "$2"
	says "$1" vcpu add "$2"
	says "$1" vcpu remove "$2" 63 --timeout 100
	says "$1" recover "$2"
}

# --- a guest whose file and symbols are called so ------------------------------------------

kernel=$tmp/"kernel $evil.elf"
build sites.S "$tmp/sites.elf" && objcopy --redefine-sym site_3="$evil" "$tmp/sites.elf" "$kernel"
ok "a guest is built with such names" $?
"$vmpoke" run --kernel "$kernel" --name t >"$tmp/console" 2>"$tmp/messages" </dev/null &
pids+=($!) && disown
until_there "$tmp/run/t"
all_commands guest t "0x$(nm "$tmp/sites.elf" | sed -n 's/ . site_3$//p')"
for ledger in "$VMPOKE_STATE_DIR"/ledger/*; do
	grep -qa evil "$ledger" && clean "$ledger" && jq . "$ledger" >/dev/null
	ok "the ledger has the name, and nothing that controls" $?
done
[ $shown -ge 8 ]
ok "$shown of $commands commands showed such a name" $?

# --- a control socket that lies ----------------------------------------------------------

"$vmpoke" run --kernel "$tmp/sites.elf" --name honest >"$tmp/console" 2>"$tmp/messages" </dev/null &
pids+=($!) && disown
until_there "$tmp/run/honest"
for mode in json raw; do
	"$root/build/tests/liar" "$tmp/run/honest" "$tmp/run/$mode" $mode >"$tmp/liar.log" 2>&1 &
	pids+=($!) && disown
	until_there "$tmp/run/$mode"
	shown=0 commands=0
	all_commands "liar, $mode" $mode site_3
	[ $mode = raw ] || [ $shown -ge 10 ]
	ok "liar, $mode: $shown of $commands commands showed what it said" $?
done

# --- a guest that dies, and its last words -------------------------------------------------

build triple.S "$tmp/triple.elf" &&
	objcopy $(nm "$tmp/triple.elf" | awk '$2 ~ /[Tt]/ { print $3 }' |
		sed 's/.*/--redefine-sym &=SYM_&/') "$tmp/triple.elf" "$tmp/triple-evil.elf" &&
	LC_ALL=C sed -i 's/SYM_/\x1b[\xff\xc2/g' "$tmp/triple-evil.elf"
ok "a guest is built that dies in such a function" $?
timeout 60 "$vmpoke" run --kernel "$tmp/triple-evil.elf" --vcpus 2 >"$tmp/out" 2>"$tmp/err" </dev/null
grep -q 'triple fault' "$tmp/err" && clean "$tmp/err"
ok "the report of a triple fault is clean" $?

# --- a QEMU that is called so ----------------------------------------------------------------

name=$'evil\e[31m"\x7f\xc2\x9b2J\xe2\x80\xae'
qemu-system-x86_64 -name "$name" -nodefaults -no-user-config -display none -accel tcg -m 64 \
	-gdb "unix:$tmp/gdb,server=on,wait=off" -qmp "unix:$tmp/qmp,server=on,wait=off" \
	</dev/null >"$tmp/qemu.log" 2>&1 &
pids+=($!) && disown
until_there "$tmp/qmp"
until_there "$tmp/gdb"
shown=0 commands=0
for to in qemu+qmp:$tmp/qmp qemu+gdb:$tmp/gdb; do
	both qemu info "$to"
	both qemu status "$to"
	both qemu sym "$to" "nobody$evil"
	both qemu regs "$to"
	both qemu key "$to" list
	says qemu poke "$to" "$evil" --old 90 --new c3
	says qemu recover "$to"
done
[ $shown -ge 2 ]
ok "$shown of $commands commands showed its name" $?
exit $failed
