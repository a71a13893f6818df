#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What people type wrong, and the answer that each gets: one line that names what is wrong, or the right word;
# the exit code that the manual says; and never the bare text of a library, an errno, "Invalid argument".
set -u
cd "$(dirname "$0")/../.." || exit 1
tmp=$(mktemp -d)
. tests/verdict.sh
vmpoke=$PWD/build/vmpoke guest=$PWD/build/guest/testguest.elf
export VMPOKE_RUNTIME_DIR=$tmp/run VMPOKE_STATE_DIR=$tmp/state
unset LIBVIRT_DEFAULT_URI
trap '"$vmpoke" quit g1 2>/dev/null; rm -rf "$tmp"' EXIT

"$vmpoke" run --kernel "$guest" --name g1 --detach >"$tmp/out" 2>&1 || { cat "$tmp/out"; ok "a guest runs" 1; exit 1; }
cd "$tmp" || exit 1
cp "$guest" kernel.elf
echo '{"sites": []}' >empty.json
printf '{"sites": [\n{"addr": "x"' >cut.json
echo '{"sites": [{"addr": "tg_jmp5_site", "bogus": 1}]}' >bogus.json
echo '{"sites": [{"addr": "tg_jmp5_site", "old": "0f1f4400zz", "new": "b811223344"}]}' >digits.json
echo 'not an object' >fix.o
echo 'int x;' >fix.c
mkdir folder

bare='Invalid argument|errno|\bE[A-Z]{3,}\b|[Ee]rror code|expected near|Expected object|internal error|Unmatched|virDomain|json_|Success'
n=0
# CODE | ARGUMENTS | what the answer must match (extended regular expression)
while IFS='|' read -r code args want; do
	[[ $code =~ ^[0-9] ]] || continue
	read -r code <<<"$code"
	args=${args# } args=${args% } want=${want# }
	eval "timeout 60 \"\$vmpoke\" $args" >out 2>err </dev/null
	got=$?
	[ "$got" = "$code" ] && [ "$(wc -l <err)" -eq 1 ] && grep -qE -e "$want" err && [[ $(<err) == "vmpoke"*": "* ]]
	ok "vmpoke $args" $? || echo "#  exit code $got, wanted $code and $want: $(head -c 300 err)"
	# Behind our own words, and a colon, others may say why.
	own=$(sed -E 's/^vmpoke[^:]*: //; s/: .*//' err)
	! grep -qE "$bare" <<<"$own" && ! grep -qE 'Invalid argument|errno|internal error' err
	ok "... in our own words" $? || echo "#  $(head -c 300 err)"
	n=$((n + 1))
done <<'TABLE'
2 | inf g1 | no command "inf"; did you mean "info"\?
2 | xyzzy | no command "xyzzy"; see --help
2 | --nosuch | no command "--nosuch"
2 | help stauts | did you mean "status"\?
2 | info | TARGET is missing
2 | info g1 g2 | what is "g2"\?
2 | info g1 --jsn | no --jsn; did you mean --json\?
2 | info g1 -x | no -x
2 | revert g1 --al | options are written out: did you mean --all\?
2 | read g1 tg_jmp5_site --le 5 | did you mean --len\?
2 | read g1 tg_jmp5_site --le=5 | did you mean --len\?
2 | info g1 --json=yes | --json takes no value
2 | info g1 --kernel | --kernel wants a value
4 | info nosuch | no VM of `vmpoke run` is nosuch .*nobody listens there\); see `vmpoke list`
4 | info g2 | did you mean g1\?
2 | info libvirt: | "libvirt:" is no target: write .*libvirt:NAME
2 | info libvirt+web1 | write libvirt\+URI:NAME
2 | info foo:bar | foo:bar is no target: write the name or socket
2 | info LIBVIRT:web1 | LIBVIRT:web1: write libvirt:web1$
4 | info libvirt/web1 | write libvirt:web1$
4 | poke tg_jmp5_site g1 --old 0f1f440000 --new 90 | is no TARGET, which comes first; is it g1\?
4 | sym tg_jmp5_site qemu+qmp:/x | is it qemu\+qmp:/x\?
2 | key | list or set is missing
2 | run build/guest.elf | write --kernel FILE
2 | info qemu:sock | write qemu\+qmp:PATH or qemu\+gdb:PATH
4 | info qemu+qmp:/nosuch | /nosuch: No such file or directory: nobody listens there
4 | info "qemu+qmp:$VMPOKE_RUNTIME_DIR/g1" | vmpoke
4 | info --connect nosuch:///x web1 | libvirt at nosuch:///x cannot be reached
3 | info libvirt+test:///default:test | libvirt at test:///default has no QEMU domains but those of 'TEST'
2 | info --connect qemu:///system qemu+qmp:/x | --connect goes with a domain of libvirt, and qemu\+qmp:/x is none
2 | recover g1 | VMs of `vmpoke run`.* need no recovery
2 | info g1 --kernel nosuch | `vmpoke run` knows its own kernel
4 | list --connect nosuch:///x | libvirt at nosuch:///x cannot be reached
2 | list --names --json | exclude each other
3 | read g1 nosuchsymbol | unknown symbol "nosuchsymbol"
3 | read g1 tg_jmp5_sit | did you mean "tg_jmp5_site"\?
2 | read g1 0xzz | "0xzz" is not a number
2 | read g1 0xffffffff80200000+4 | offsets go with symbols
2 | read g1 ffffffff80200000+4 | offsets go with symbols
3 | poke g1 tg_jmp5_site --old 0f1f4400 --new jmp:tg_jmp5_target | made of 4 bytes, which --old has
2 | read g1 tg_jmp5_site+ | lacks its offset
2 | read g1 tg_jmp5_site+ff | write 0xff
2 | read g1 tg_jmp5_site+010 | octal or decimal\?
2 | read g1 "" | neither an address nor a symbol
2 | read g1 tg_jmp5_site --len 0 | --len 0 is not a number from 1 to
2 | read g1 tg_jmp5_site --len 5 --insns 5 | exclude each other
2 | read g1 tg_jmp5_site --len 5 --att | --att goes without --len
3 | read g1 0xdead000000000000 | not a canonical
2 | sym g1 --regex '(' | --regex \( is no regular expression
3 | sym g1 'nosuch*' | no symbol matches nosuch\*
2 | poke g1 tg_jmp5_site | --old and --new are needed
2 | poke g1 tg_jmp5_site --old zz --new 90 | old: byte 0 is not two hex digits
2 | poke g1 tg_jmp5_site --old 0f1 --new 90 | old: byte 1 is not two hex digits
3 | poke g1 tg_jmp5_site --old 90 --new 9090 | make them the same length
3 | poke g1 tg_jmp5_site --old b811223344 --new b855667788 | 0x0f1f440000 stands there, not the old bytes 0xb811223344
2 | poke g1 tg_jmp5_site --old 0f1f440000 --new "jmp tg_jmp5_target" | write nop, jmp:WHERE, call:WHERE
3 | poke g1 tg_jmp5_site --old 0f1f440000 --new jmp:nosuch | unknown symbol "nosuch"
3 | poke g1 tg_jmp5_site --old 0f1f440000 --new jmp:tg_sites | its jump leads to 0x[0-9a-f]*: no code can run there
3 | poke g1 tg_jmp5_site --old 0f1f440000 --new call:tg_jmp5_site+2 | its call leads to 0x[0-9a-f]*: that is inside site 0
2 | poke g1 tg_jmp5_site --old 0f1f440000 --new b811223344 --resume wait | --resume wait is not park, emulate or fixup
2 | poke g1 tg_jmp5_site --old 0f1f440000 --new b811223344 --resume fixup | --resume fixup wants --fixup WHERE
7 | poke g1 --batch nosuch.json | nosuch.json: No such file
7 | poke g1 --batch cut.json | cut.json is no JSON, in line 2
7 | poke g1 --batch empty.json | empty.json is no batch
7 | poke g1 --batch bogus.json | bogus.json: site 0 is not as it must be
7 | poke g1 --batch digits.json | old: byte 4 is not two hex digits
3 | imm g1 tg_jmp5_site+1 1 | inside the instruction at tg_jmp5_site\+0x0
2 | imm g1 tg_jmp5_site many | VALUE many is not a number of 64 bits
3 | imm g1 tg_jmp5_site 5 | is not a mov, add, .* of a constant
2 | key g1 | "g1" is not list or set
2 | key set g1 some_key maybe | "maybe" is not on or off
3 | key list g1 | the guest does not run Linux
2 | revert g1 newest | "newest" is not the number of a poke
3 | revert g1 999 | no batch 999 is applied
2 | vcpu remove g1 | remove takes a TARGET and an ID
3 | vcpu remove g1 63 | no vCPU 63
2 | hotfix aply g1 fix.o | no command "aply"; did you mean "apply"\?
2 | hotfix apply g1 | OBJECT is missing
7 | hotfix apply g1 fix.o | fix.o: not an ELF file
3 | hotfix apply g1 fix.o --keyring nosuch | fix.o: it is not signed, and the keyring nosuch wants that
2 | hotfix apply g1 fix.o --keyrng x | did you mean --keyring\?
2 | hotfix keygen | NAME is missing
7 | hotfix keygen nosuch/x --no-password | nosuch/x.pub: No such file
2 | hotfix sign fix.o | --key FILE is missing
7 | hotfix sign fix.o --key fix.o | fix.o: not an ELF file
7 | hotfix sign nosuch.o --key fix.o | nosuch.o: No such file
2 | hotfix sign fix.o --key fix.o --expires 2027-02-30 | --expires 2027-02-30 is no day
2 | hotfix sign fix.o --key fix.o --expires 1999-01-01 | that day is over
2 | hotfix sign fix.o --detach --embed | --detach goes with none of
7 | run --kernel kernel.elf --name g2 --keyring nosuch | the keyring nosuch: No such file
7 | hotfix check g1 kernel.elf | not a relocatable ELF object
2 | hotfix build fix.c | --headers is missing
7 | hotfix build fix.c --headers folder | folder
2 | hotfix build --headers folder | either SOURCE.c, or --source and --patch
2 | hotfix build --patch fix.diff | either SOURCE.c, or --source and --patch
2 | hotfix build fix.c --source folder --patch fix.diff | either SOURCE.c, or --source and --patch
2 | hotfix build fix.c --headers folder --name x | --name is for --patch
2 | hotfix build fix.c --headers folder --why | --why is for --patch
2 | hotfix build --source folder --patch fix.diff --name a/b | --name is to be of letters
7 | hotfix build --source folder --patch fix.diff | folder
2 | hotfix diff fix.o | NEW.o is missing
7 | hotfix diff kernel.elf kernel.elf | not a relocatable ELF object
2 | run | --kernel FILE is missing
7 | run --kernel nosuch | nosuch: No such file
7 | run --kernel folder | folder: Is a directory
7 | run --kernel fix.c | fix.c: not an ELF file
2 | run --kernel kernel.elf --memory 5T | --memory 5T is no size from 16M to 3G
2 | run --kernel kernel.elf --name libvirt:x | no name of a VM .* has a colon
2 | run --kernel kernel.elf --vcpus 02 | --vcpus 02 is not a number
2 | imm g1 tg_jmp5_site 040 | VALUE 040 is not a number
2 | run --kernel kernel.elf --detach | --detach wants --name or --socket
4 | run --kernel kernel.elf --name g1 | is in use by a running VM
6 | run --kernel kernel.elf --kvm /dev/null | /dev/null is not KVM
2 | demo --strategy fast | --strategy fast is not int3 or stop
2 | demo --serializer fast | --serializer fast is not auto, kick, kick-membarrier or membarrier
6 | demo --kvm /nosuch | /nosuch is missing: load kvm-intel or kvm-amd
2 | bench --only spped | --only spped is not latency, sites, kept, exits or demo
2 | bench --run 3 | options are written out: did you mean --runs\?
2 | bench --runs 0 | --runs 0 is not a number from 1 to 1000
2 | bench --key x | --key, --site and --kernel want a TARGET
2 | bench g1 --only sites | with a TARGET there is no .*--only
2 | bench g1 --key x --site y --old 90 --new 90 | --key or --site, not both
2 | bench g1 --site tg_jmp5_site --old 0f1f440000 | --site, --old and --new go together
2 | bench --only demo | --only demo wants --against FILE
7 | bench --against nosuch | nosuch: No such file
7 | bench --from nosuch | nosuch: No such file
7 | bench --from fix.c | fix.c is no JSON, in line 1
7 | bench --from empty.json | empty.json is not what `vmpoke bench --json` writes
4 | bench nosuch | no VM of `vmpoke run` is nosuch
6 | bench --kvm /nosuch | /nosuch is missing: load kvm-intel or kvm-amd
2 | complete | the last one is missing
TABLE
[ $n -ge 40 ]
ok "$n wrong inputs" $?
VMPOKE_TIMEOUT=soon "$vmpoke" info libvirt:web1 2>err
same "a limit that is none: the exit code" $? 2
grep -q "VMPOKE_TIMEOUT=soon is not a number from 1 to" err
ok "... and the answer" $?
exit $failed
