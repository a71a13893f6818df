#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The control socket and the commands that use it, against a guest written from docs/guest-abi.md:
# the good dialogue, every bad input, and clients that are killed in the middle of a batch.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
vmpoke=${VMPOKE:-$root/build/vmpoke}
rig=$root/build/tests/qmp_rig
tmp=$(mktemp -d)
. "$root/tests/verdict.sh"
pid=
trap '[ -n "$pid" ] && kill -9 "$pid" 2>/dev/null; rm -rf "$tmp"' EXIT
chmod 711 "$tmp"
export VMPOKE_RUNTIME_DIR=$tmp/run VMPOKE_STATE_DIR=$tmp/state
sock=$tmp/run/t
nop=0f1f440000
mov=b811223344

holds() { # TEXT STRING PART
	case $2 in
	*"$3"*) ok "$1" 0 ;;
	*)
		ok "$1" 1
		printf '#  no %q in %q\n' "$3" "$2"
		;;
	esac
}

vmpoke_as=("$vmpoke") # as whom refused() runs it

vp() { timeout 60 "$vmpoke" "$@" </dev/null; }
bytes() { vp read t "$1" --len "${2:-5}" --json | sed 's/.*"hex": "\([0-9a-f]*\)".*/\1/'; }
text() { bytes site_0 1400; } # all of the guest's text that matters here

# A command that must fail: its exit code, one line on stderr that holds a part, text unchanged.
refused() { # TEXT CODE PART ARGS...
	local what=$1 want=$2 part=$3 before code
	shift 3
	before=$(text)
	timeout 60 "${vmpoke_as[@]}" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	code=$?
	cat "$tmp/err" >>"$tmp/all"
	same "$what: exit code" "$code" "$want"
	same "$what: one line" "$(wc -l <"$tmp/err")" 1
	holds "$what: says why" "$(cat "$tmp/err")" "$part"
	[ -n "$before" ] && [ "$(text)" = "$before" ]
	ok "$what: the guest's text is untouched" $?
}

start() {
	"$vmpoke" run --kernel "$tmp/sites.elf" --name t --vcpus 2 >"$tmp/console" 2>"$tmp/messages" \
		</dev/null &
	pid=$!
	for _ in $(seq 300); do
		[ -S "$sock" ] && grep -q up "$tmp/console" && return
		sleep 0.1
	done
	ok "the guest starts" 1
	cat "$tmp/messages"
	exit 1
}

${CC:-gcc} -nostdlib -static -no-pie -I"$root/include" -Wl,--build-id=none \
	-Wl,-z,max-page-size=4096 -Wl,-T,"$root/tests/guests/guest.ld" \
	-o "$tmp/sites.elf" "$root/tests/guests/sites.S" || { ok "build the guest" 1; exit 1; }
start

# --- the good dialogue ---

same "the socket's mode is 600" "$(stat -c %a "$sock")" 600
info=$(vp info t)
holds "info names the guest" "$info" "name        t"
holds "info by path" "$(vp info "$sock" --json)" '"strategies": ["int3", "stop"]'
holds "read shows instructions and symbols" "$(vp read t site_3 --insns 1)" \
	"<site_3>:  0x$nop"
same "read shows bytes" "$(bytes site_3)" $nop
original=$(text)

same "a dry run says what it did" "$(vp poke t site_3 --old $nop --new $mov --dry-run)" \
	"1 site(s) checked, nothing written"
same "and writes nothing" "$(text)" "$original"
same "poke by symbol, and how it is taken back" "$(vp poke t site_3 --old $nop --new $mov)" \
	"poke 1: 1 site(s) applied, 3 syncs
  to take it back: vmpoke revert t 1"
holds "read shows the new instruction" "$(vp read t site_3 --insns 1)" "mov eax, 0x44332211"
holds "imm takes a negative number" "$(vp imm t site_3 -1 --dry-run)" "could become -1 (0xffffffff)"
holds "imm --was takes the constant with its sign or without" \
	"$(vp imm t site_3 -1 --was 0x44332211 --dry-run)$(vp imm t site_3 7 --was 5 --dry-run 2>&1)" \
	"is 1144201745 (0x44332211), not 5"
holds "and one with --" "$(vp imm t site_3 --dry-run -- -1)" "could become -1 (0xffffffff)"
holds "status is a summary" "$(vp status t)" "int3  1 site(s) (site_3), stands"
same "without the sites" "$(vp status t | grep -c -e '->')" 0
holds "status --sites lists it" "$(vp status t --sites)" "site_3  0x$nop -> 0x$mov  park  stands"
holds "and what serializing has cost" "$(vp status t)" "serialized by $(vp info t --json | jq -r .serializer): syncs "
same "for each vCPU, too" \
	"$(vp status t --json | jq '.serializing | .syncs >= 3 and ([.vcpus[].kicks] | add) == .kicks')" true
holds "poke to a jump, emulated" \
	"$(vp poke t site_4 --old $nop --new jmp:site_7 --resume emulate)" "poke 2:"
holds "it jumps there" "$(vp read t site_4 --insns 1)" "<site_7>"
holds "poke with a fixup, by the symbols of a file" \
	"$(vp poke t site_5 --old $nop --new call:far_away --fixup far_away --elf "$tmp/sites.elf" \
		--strategy stop)" "poke 3:"
holds "the strategy is noted" "$(vp status t --json)" '"strategy": "stop"'
refused "an id that is not there" 3 "99" revert t 99
holds "revert by id" "$(vp revert t 2)" "1 site(s) reverted"
same "nop again" "$(bytes site_4)" $nop
vp poke t site_3 --old $mov --new b899999999 >/dev/null
refused "revert under a newer poke" 3 "newer" revert t 1
same "revert --all, each with its number, newest first" \
	"$(vp revert t --all | sed -n 's/^poke \([0-9]*\): 1 site(s) reverted, .*/\1/p; t; /^[0-9]/p')" \
	"4
3
1
3 poke(s) reverted"
same "restores every byte" "$(text)" "$original"
refused "nothing left to revert" 3 "revert" revert t

same "stop" "$(vp stop t)" paused
same "a stopped guest can be patched" "$(vp poke t site_9 --old $nop --new $mov --json |
	grep -c '"syncs"')" 1
refused "a stopped guest cannot give up a vCPU" 3 "paused" vcpu remove t 1 --timeout 200
same "cont" "$(vp cont t)" running
vp revert t >/dev/null
same "add a vCPU" "$(vp vcpu add t)" "vCPU 2 added"
holds "it is there" "$(vp status t)" "3 vCPUs (0, 1, 2)"
same "remove it" "$(vp vcpu remove t 2 --timeout 20000)" "vCPU 2 removed"
refused "remove one that is not there" 3 "" vcpu remove t 2

cat >"$tmp/good.json" <<END
{"sites": [{"addr": "site_10", "old": "$nop", "new": "$mov"},
           {"addr": "site_11", "old": "$nop", "new": "jmp:site_12", "resume": "emulate"},
           {"addr": "site_13", "old": "$nop", "new": "$mov", "resume": "fixup", "fixup": "site_14"}]}
END
holds "a batch of three" "$(vp poke t --batch "$tmp/good.json")" "3 site(s) applied, 3 syncs"
vp revert t --all >/dev/null

# --- what is so already, marks, times, colours ---

records() { vp status t --history --json | jq length; }
vp poke t site_3 --old $nop --new $mov >/dev/null
lines=$(records)
id=$(vp status t --json | jq '.pokes[0].id')
for old in $nop $mov; do
	same "a poke that changes nothing, --old $old: already so, and by whom" \
		"$(vp poke t site_3 --old $old --new $mov)" \
		"already so: the new bytes stand there, by poke $id; nothing is written"
done
holds "the same as a dry run" "$(vp poke t site_3 --old $nop --new $mov --dry-run)" "already so"
same "the same in JSON" "$(vp poke t site_3 --old $nop --new $mov --json | jq -c '[.id, .sites, .already, .by]')" \
	"[0,0,true,$id]"
holds "imm: the same" "$(vp imm t site_3 0x44332211)" "already so: 1144201745 (0x44332211) stands there, by poke $id"
holds "imm: whatever it was to be before" "$(vp imm t site_3 0x44332211 --was 7)" "already so"
holds "nobody's doing is nobody's" "$(vp poke t site_4 --old $nop --new $nop)" "by no poke that is recorded"
same "none of it is recorded" "$(records)" "$lines"
printf '{"sites": [{"addr": "site_3", "old": "%s", "new": "%s"}, {"addr": "site_4", "old": "%s", "new": "%s"}]}' \
	$nop $mov $nop $mov >"$tmp/bad.json"
refused "a batch that is so in part" 3 "1 of the 2 sites" poke t --batch "$tmp/bad.json"

same "read marks what is poked" "$(vp read t site_3 --insns 1 | grep -o '<- .*')" "<- poke $id"
same "so does a dump" "$(vp read t site_3 --len 5 | grep -o '<- .*')" "<- poke $id"
same "and nothing else" "$(vp read t site_4 --insns 1 | grep -c '<- poke')" 0
same "in JSON" "$(vp read t site_3 --insns 1 --json | jq -c '.insns[0] | [.poke, .stands]')" "[$id,true]"
same "a dump has addresses with 0x" "$(vp read t site_3 --len 40 | grep -cE '^0x[0-9a-f]{16}  ([0-9a-f]{2} )+')" 3
holds "AT&T syntax" "$(vp read t site_3 --insns 1 --att)" 'mov $0x44332211, %eax'
refused "AT&T syntax of a dump" 2 "--att" read t site_3 --len 5 --att
same "read stops where the symbol ends" "$(vp read t site_3 --json | jq -c '[.insns[].where]')" \
	"$(vp read t site_3 --insns 20 --json | jq -c '[.insns[].where | select(startswith("site_3"))]')"
same "unless more is asked for" "$(vp read t site_3 --insns 20 | wc -l)" 20
same "no address without 0x" "$(vp sym t --all | grep -vcE '^0x[0-9a-f]{16} ')" 0

holds "the ledger is a table" "$(TZ=XYZ-1 vp status t --history)" "ID  WHEN "
same "with the time and its zone, who, what, and what became of it" \
	"$(TZ=XYZ-1 vp status t --history | grep -cE "^ +1  $(TZ=XYZ-1 date +%Y)-[0-9-]+ [0-9:]+ \+0100  $(id -un) +poke +1  reverted$")" 1
same "in JSON it is what it was, with ISO times" \
	"$(vp status t --history --json | jq '.[0] | .event == "begin" and (.when | todate) == .time')" true
same "and so are pokes" "$(vp status t --json | jq '.pokes[0] | (.when | todate) == .time')" true

# As on a terminal: script(1) has one.
shown() { # ARGUMENTS-OF-ENV...
	script -qec "env $*" /dev/null </dev/null
}
escape=$'\e['
holds "on a terminal the mark has a colour" "$(shown -u NO_COLOR TERM=xterm "$vmpoke" read t site_3 --insns 1)" "$escape"
same "not with NO_COLOR" "$(shown NO_COLOR=1 TERM=xterm "$vmpoke" read t site_3 --insns 1 | grep -cF "$escape")" 0
same "nor on a dumb one" "$(shown -u NO_COLOR TERM=dumb "$vmpoke" read t site_3 --insns 1 | grep -cF "$escape")" 0
same "nor in JSON" "$(shown -u NO_COLOR TERM=xterm "$vmpoke" read t site_3 --insns 1 --json | grep -cF "$escape")" 0
same "nor in a pipe" "$(env -u NO_COLOR TERM=xterm "$vmpoke" read t site_3 --insns 1 | grep -cF "$escape")" 0
again=$(vp revert t | sed -n 's/.*to have it again: vmpoke //p')
check "a revert says how it is taken back, and that does it" vp $again
same "the poke is there again" "$(bytes site_3)" $mov
vp revert t >/dev/null

# --- bad input ---

refused "wrong old bytes" 3 "" poke t site_3 --old 0f1f440001 --new $mov
refused "new bytes that do not decode" 3 "" poke t site_3 --old $nop --new 0606060606
refused "new bytes that end inside an instruction" 3 "" poke t site_3 --old $nop --new 90e9000000
refused "new bytes that are half an instruction" 3 "" poke t site_3 --old $nop --new 48b8000000
refused "two instructions" 3 "" poke t two_insns --old 31c0ffc0 --new 66666690
refused "an unmapped address" 3 "0x10" poke t 0x10 --old 90 --new 90
refused "a non-canonical address" 3 "" poke t 0x800000000000 --old 90 --new 90
refused "an address that is not executable" 3 "" poke t data --old 0100 --new 6690
refused "a fixup outside text" 3 "" poke t site_3 --old $nop --new $mov --fixup data
refused "a fixup that is not mapped" 3 "" poke t site_3 --old $nop --new $mov --fixup 0x10
refused "resume fixup without an address" 2 "fixup" poke t site_3 --old $nop --new $mov \
	--resume fixup
refused "a site on a foreign int3" 3 "int3" poke t own_int3 --old cc --new 90
refused "a foreign int3 where something else is expected" 3 "int3" poke t own_int3 --old 90 --new f4
refused "an unknown symbol" 3 "nosuch" poke t nosuch+4 --old 90 --new 90
check "symbols by a pattern" grep -q " site_0$" <("$vmpoke" sym t 'site_?')
check "symbols by a regular expression" grep -q " site_0$" <("$vmpoke" sym t --regex '^site_[0-9]+$')
check "the same, in JSON" jq -e 'length > 1 and all(.name | startswith("site_"))' <<<"$("$vmpoke" sym t 'site_*' --json)"
refused "a pattern that names nothing" 3 "no symbol matches" sym t 'nosuch*'
refused "no regular expression" 2 "no regular expression" sym t --regex '('
refused "a symbol misspelt" 3 'did you mean "site_0"' poke t siet_0 --old 90 --new 90
refused "bad hex" 2 "hex" poke t site_3 --old 0g --new 90
refused "a call too short" 3 "" poke t start --old 4889f5 --new call:site_0
refused "a rule that cannot emulate" 3 "emulate" poke t site_3 --old $nop --new 488d442408 \
	--resume emulate
refused "old and new of different length" 3 "length" poke t site_3 --old $nop --new 90
refused "reading what is not mapped" 3 "0x10" read t 0x10
refused "no such target" 4 "nothere" info nothere
refused "a target misspelt" 4 "did you mean t?" info u
refused "bad options" 2 "--frob" poke t --frob
refused "a command misspelt" 2 'did you mean "poke"' pok t
refused "a command of hotfix misspelt" 2 'did you mean "apply"' hotfix aply t
refused "an option misspelt" 2 "did you mean --json" poke t --jsn
refused "an operand that is missing" 2 "WHERE is missing" imm t
check "help of a command" grep -q "vmpoke imm TARGET WHERE" <("$vmpoke" help imm)
check "help of a command of hotfix" grep -q "vmpoke hotfix apply TARGET" <("$vmpoke" help hotfix apply)
check "version" grep -qE '^vmpoke [0-9]+\.[0-9]' <("$vmpoke" version)
refused "an address that is not text" 3 "UTF-8" read t $'\xff'
refused "a line end in an argument" 2 "a?b" poke t site_0 --old 90 --new 90 --resume $'a\nb'
refused "a strategy that is not text" 2 "int3 or stop" revert t --dry-run --strategy $'\xff'
refused "a bad number" 2 "--len" read t site_0 --len 0x
refused "a bad strategy" 2 "swap" poke t site_3 --old $nop --new $mov --strategy swap

batch() { # SITES: what stands in the array
	printf '{"sites": [%s]}' "$1" >"$tmp/bad.json"
}
one="\"old\": \"$nop\", \"new\": \"$mov\""
batch "{\"addr\": \"site_3\", $one}, {\"addr\": \"site_3\", $one}"
refused "overlapping sites" 3 "" poke t --batch "$tmp/bad.json"
batch "{\"addr\": \"site_3\", $one}, {\"addr\": \"site_4\", \"old\": \"$mov\", \"new\": \"$nop\"}"
refused "one bad site in a batch" 3 "" poke t --batch "$tmp/bad.json"
batch "{\"addr\": \"site_3\", $one, \"colour\": 1}"
refused "an unknown key" 7 "colour" poke t --batch "$tmp/bad.json"
batch "{\"addr\": 3, $one}"
refused "a number for a text" 7 "site 0" poke t --batch "$tmp/bad.json"
batch ""
refused "an empty batch" 7 "empty" poke t --batch "$tmp/bad.json"
echo '{"sites": [' >"$tmp/bad.json"
refused "a broken batch file" 7 "bad.json" poke t --batch "$tmp/bad.json"
refused "no batch file" 7 "nofile" poke t --batch "$tmp/nofile"

head -c 300 "$tmp/sites.elf" >"$tmp/short.elf"
cp "$tmp/sites.elf" "$tmp/arm.elf"
printf '\xb7' | dd of="$tmp/arm.elf" bs=1 seek=18 conv=notrunc 2>/dev/null
for kind in short arm; do
	refused "--elf $kind.elf" 7 "$kind.elf" poke t site_3 --old $nop --new $mov \
		--elf "$tmp/$kind.elf"
	refused "run $kind.elf" 7 "$kind.elf" run --kernel "$tmp/$kind.elf"
done
refused "no such kernel" 7 "nofile" run --kernel "$tmp/nofile"
check "run --detach returns when the guest answers" "$vmpoke" run --kernel "$tmp/sites.elf" --name d \
	--detach --console "$tmp/d-console" --memory 64M
holds "it answers" "$(vp info d)" "name        d"
refused "--detach, and the name is in use" 4 "in use" run --kernel "$tmp/sites.elf" --name d --detach
check "its console is where it was asked for" grep -q up "$tmp/d-console"
check "quit ends it" vp quit d
check "it is gone" timeout 20 sh -c "while [ -e '$tmp/run/d' ]; do sleep 0.1; done"
refused "a size that is none" 2 "--memory" run --kernel "$tmp/sites.elf" --memory 1T
refused "--detach without a name" 2 "--name" run --kernel "$tmp/sites.elf" --detach
refused "a name in use" 4 "in use" run --kernel "$tmp/sites.elf" --name t
refused "no /dev/kvm" 6 "nokvm" run --kernel "$tmp/sites.elf" --kvm "$tmp/nokvm"
: >"$tmp/kvm"
chmod 000 "$tmp/kvm"
if [ "$(id -u)" -eq 0 ]; then
	cp "$vmpoke" "$tmp/vmpoke"
	chmod 755 "$tmp/vmpoke" "$tmp/run"
	chmod 644 "$tmp/sites.elf"
	vmpoke_as=(setpriv --reuid 65534 --regid 65534 --clear-groups "$tmp/vmpoke")
	refused "no permission on /dev/kvm" 6 "ermission" run --kernel "$tmp/sites.elf" --kvm "$tmp/kvm"
	refused "the socket of another user" 4 "ermission" info "$sock"
	chmod 666 "$sock"
	refused "the same, opened to all" 4 "uid 65534" poke "$sock" site_3 --old $nop --new $mov
	refused "the folder of another user" 4 "only you can write" info t
	vmpoke_as=("$vmpoke")
	chmod 600 "$sock"
	chmod 700 "$tmp/run"
else
	refused "no permission on /dev/kvm" 6 "ermission" run --kernel "$tmp/sites.elf" --kvm "$tmp/kvm"
	echo "SKIP: the socket of another user: needs root"
fi

# --- the wire ---

raw() { timeout 60 "$rig" "$sock" "$1"; }
ready='{"execute":"qmp_capabilities"}'
holds "garbage gets one error" "$(echo GET / | raw 9 | tail -n 1)" '"errno": "EPROTO"'
head -c 524288 /dev/urandom >"$tmp/noise"
same "half a megabyte of noise: greeting, error, end" "$(raw 9 <"$tmp/noise" | wc -l)" 2
same "the same after the negotiation" "$( (echo "$ready"; cat "$tmp/noise") | raw 9 | wc -l)" 3
same "half a megabyte of an endless text" \
	"$( (printf '{"x": "'; tr -c a-z a <"$tmp/noise") | raw 9 | grep -c EMSGSIZE)" 1
same "hostile arguments are refused, each of them" "$(echo "$ready"'{"execute":"read-memory","arguments":{"addr":-1,"len":4}}
	{"execute":"read-memory","arguments":{"addr":"site_0","len":1099511627776}}
	{"execute":"vcpu-remove","arguments":{"id":4294967296}}{"execute":"poke","arguments":
	{"sites":[{"addr":"site_0","old":"0f","new":"\u0000"}]}}{"execute":"revert","arguments":
	{"id":-1}}{"execute":"query-vm","arguments":{"x":1}}' | raw 8 | grep -c EINVAL)" 6
talk=$(echo "$ready"'{"execute":"stop"}{"execute":"query-status","id":"x"}{"execute":"cont"}' | raw 7)
holds "QMP: STOP" "$talk" '"event": "STOP"'
holds "QMP: paused, with the id" "$talk" '"status": "paused"}, "id": "x"}'
holds "QMP: RESUME" "$talk" '"event": "RESUME"'
talk=$(echo "$ready"'{"execute":"poke","arguments":{"sites":[{"addr":"site_0","old":"'$nop'",
	"new":"'$mov'"}]}}{"execute":"revert"}' | raw 12)
same "QMP: the phases of a poke and a revert, in order" \
	"$(grep -o '"phase": "[a-z-]*"' <<<"$talk" | cut -d'"' -f4 | tr '\n' ' ')" \
	"planned capped tailed applied planned capped tailed applied "
same "the text is as it was at first" "$(text)" "$original"

# --- clients that are killed ---

new_batch() { # FILE OLD NEW
	local i sep=
	{
		printf '{"sites": ['
		for ((i = 0; i < 256; i++)); do
			printf '%s{"addr": "site_%d", "old": "%s", "new": "%s"}' "$sep" $i "$2" "$3"
			sep=,
		done
		printf ']}'
	} >"$1"
}
new_batch "$tmp/forward.json" $nop $mov
new_batch "$tmp/back.json" $mov $nop
all_old=$(for ((i = 0; i < 256; i++)); do printf $nop; done)
all_new=$(for ((i = 0; i < 256; i++)); do printf $mov; done)

for file in forward back; do # the same as the client says it, without its preparations
	{
		printf '%s{"execute":"poke","arguments":' "$ready"
		cat "$tmp/$file.json"
		printf '}'
	} >"$tmp/$file.qmp"
done

# Start a poke of all sites in the background, by the client or by its bare words.
start_poke() { # KIND FILE
	if [ "$1" = client ]; then
		"$vmpoke" poke t --batch "$tmp/$2.json" >/dev/null 2>&1 </dev/null &
	else
		"$rig" "$sock" 999 >/dev/null 2>&1 <"$tmp/$2.qmp" &
	fi
	client=$!
}

begin=$(date +%s%N)
vp poke t --batch "$tmp/forward.json" >/dev/null && vp poke t --batch "$tmp/back.json" >/dev/null
ok "256 sites there and back" $?
usual=$((($(date +%s%N) - begin) / 2000)) # microseconds a poke takes
applied=0
for kind in client words; do
	capped=0
	for ((k = 0; k < 100; k++)); do
		now=$(bytes site_0 1280)
		file=forward
		[ "$now" = "$all_new" ] && file=back
		start_poke $kind $file
		sleep "$(printf '0.%06d' $(((RANDOM * 32768 + RANDOM) % usual)))"
		kill -9 $client 2>/dev/null
		wait $client 2>/dev/null
		killed=$?
		after=$(bytes site_0 1280)
		[ "$after" = "$all_old" ] || [ "$after" = "$all_new" ] || capped=$((capped + 1))
		[ $killed -eq 137 ] && [ "$after" != "$now" ] && applied=$((applied + 1))
	done
	same "$kind killed 100 times at random moments: no batch is half done" $capped 0
done
[ $applied -ge 10 ]
ok "in mid-batch, too: their batch was done all the same" $?
echo "# $applied died after their batch had begun and before its answer"
now=$(bytes site_0 1280)
if [ "$now" = "$all_new" ]; then
	vp poke t --batch "$tmp/back.json" >/dev/null
else
	vp poke t --batch "$tmp/forward.json" >/dev/null
fi
ok "a fresh poke works" $?

# --- the end ---

talk=$(echo "$ready"'{"execute":"quit"}' | raw 9)
holds "QMP: quit ends with SHUTDOWN" "$talk" '"event": "SHUTDOWN", "data": {"guest": false'
wait "$pid"
same "the VM ends with code 0" $? 0
pid=
same "without a word" "$(cat "$tmp/messages")" ""
[ ! -e "$sock" ]
ok "its socket is gone" $?
# A VM that was killed leaves its socket behind: the next one takes the name over.
start
kill -9 "$pid"
wait "$pid" 2>/dev/null
[ -S "$sock" ]
ok "a killed VM leaves its socket" $?
vp info t >/dev/null 2>"$tmp/err"
same "nobody answers there: exit code" $? 4
rm -f "$tmp/console"
start
holds "the name can be used again" "$(vp info t)" "name        t"
kill -TERM "$pid"
wait "$pid"
same "SIGTERM ends it with code 0" $? 0
pid=

# --- a guest that does not answer, and two VMs of one base name ---

vms=()
begin() { # GUEST ARGS...: another VM; its number is in $!
	local guest=$1
	shift
	"$vmpoke" run --kernel "$tmp/$guest.elf" "$@" >"$tmp/out.$guest" 2>&1 </dev/null &
	vms+=($!)
}
answers() { # TARGET: within 30 seconds
	local _
	for _ in $(seq 300); do
		vp info "$1" >/dev/null 2>&1 && return
		sleep 0.1
	done
	return 1
}
trap 'for p in $pid "${vms[@]}"; do kill -9 "$p" 2>/dev/null; done; rm -rf "$tmp"' EXIT

${CC:-gcc} -nostdlib -static -no-pie -I"$root/include" -Wl,--build-id=none \
	-Wl,-z,max-page-size=4096 -Wl,-T,"$root/tests/guests/guest.ld" \
	-o "$tmp/deaf.elf" "$root/tests/guests/deaf.S"
ok "build the guest that does not look" $?
begin deaf --name deaf --vcpus 2
check "it runs" answers deaf
# Both in one piece: when the first is answered, the second is being carried out.
printf '%s{"execute":"query-status"}{"execute":"vcpu-remove","arguments":{"id":1,"timeout":%s},"id":"slow"}' \
	"$ready" 600000 >"$tmp/slow.qmp"
"$rig" "$tmp/run/deaf" 99 <"$tmp/slow.qmp" >"$tmp/slow" 2>&1 &
slow=$!
for _ in $(seq 300); do
	[ "$(wc -l <"$tmp/slow")" -ge 3 ] && break
	sleep 0.1
done
holds "a slow vcpu remove: what came before it is answered" "$(cat "$tmp/slow")" '"status": "running"'
check "another client is answered meanwhile: info" vp info deaf
check "status" vp status deaf
same "and stop" "$(vp stop deaf)" paused
same "and cont" "$(vp cont deaf)" running
check "while the guest is still being asked" kill -0 $slow
same "which says nothing" "$(grep -c '"id": "slow"' "$tmp/slow")" 0
kill -TERM "${vms[0]}"
wait "${vms[0]}"
same "SIGTERM ends the VM all the same, with code 0" $? 0
wait $slow

mkdir -m 700 "$tmp/a" "$tmp/b"
begin sites --socket "$tmp/a/x"
begin sites --socket "$tmp/b/x"
for vm in a b; do
	check "$vm/x runs" answers "$tmp/$vm/x"
	holds "$vm/x can be patched" "$(vp poke "$tmp/$vm/x" site_3 --old $nop --new $mov)" "poke 1:"
done
for vm in a b; do
	holds "$vm/x has its own record" "$(vp status "$tmp/$vm/x" --sites)" "site_3  0x$nop -> 0x$mov"
	holds "$vm/x is reverted by itself" "$(vp revert "$tmp/$vm/x")" "1 site(s) reverted"
done
for vm in "${vms[@]:1}"; do
	kill -TERM "$vm"
	wait "$vm"
	same "and ends" $? 0
done
vms=()

# --- a guest that was begun just now ---

# Nothing says that it is there yet; every second time a socket is left of one that was killed.
answered=0 rounds=20
for n in $(seq $rounds); do
	begin sites --name early
	vp info early >"$tmp/out" 2>"$tmp/err" && answered=$((answered + 1))
	kill -$((n % 2 ? 9 : 15)) "${vms[0]}"
	wait "${vms[0]}" 2>/dev/null
	vms=()
done
same "it is waited for, $rounds times" $answered $rounds || sed 's/^/#  /' "$tmp/err"
"$vmpoke" run --kernel "$root/README.md" --name early 2>"$tmp/err"
same "what is no kernel is refused" $? 7
ok "and leaves no socket" "$([ ! -e "$tmp/run/early" ]; echo $?)"
holds "a name that nobody has" "$(vp info nobody 2>&1)" "nobody listens there"

for cmd in info read poke status revert stop cont vcpu; do
	holds "$cmd --help" "$(vp $cmd --help)" "usage: vmpoke $cmd"
done
[ -n "${VERBOSE-}" ] && cat "$tmp/all"
exit $failed
