#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Signed hotfixes: keys, signatures in both directions with minisign, and each reason for which an object is refused
# before a guest is looked at: there is none of the name that is given, and who is refused is not told so.
set -u
cd "$(dirname "$0")/../.." || exit 1
tmp=$(mktemp -d)
. tests/verdict.sh
root=$PWD vmpoke=$PWD/build/vmpoke
export VMPOKE_RUNTIME_DIR=$tmp/run VMPOKE_STATE_DIR=$tmp/state
unset VMPOKE_KEYRING
trap '"$vmpoke" quit g1 2>/dev/null; rm -rf "$tmp"' EXIT
for program in minisign script unshare; do
	command -v $program >/dev/null || { echo "SKIP: $program is missing: .ci/deps.sh --tests"; exit 0; }
done

object=build/tests/objects/run.o # a hotfix of the unit tests
[ -e "$object" ] || make -s "$object"
cp "$object" "$tmp/fix.o" || { ok "an object is compiled" 1; exit 1; }
cd "$tmp" || exit 1

# says CODE PART COMMAND...: it ends so, with one line that has PART.
says() {
	local want=$1 part=$2
	shift 2
	timeout 120 "$@" >out 2>err </dev/null
	local got=$?
	[ "$got" = "$want" ] && [ "$(wc -l <err)" -eq 1 ] && grep -qF -e "$part" err
	ok "\"$part\"" $? || echo "#  $*: exit code $got, wanted $want: $(head -c 300 err)"
}
# The object is taken: the next thing is the guest, which is not there.
taken() { # TEXT COMMAND...
	local text=$1
	shift
	timeout 120 "$@" >out 2>err </dev/null
	local got=$?
	[ $got -eq 4 ] && grep -q 'no VM of' err
	ok "$text" $? || echo "#  $*: exit code $got: $(head -c 300 err)"
}
apply=("$vmpoke" hotfix apply nosuch)

# --- keys ---------------------------------------------------------------------------------
check "keygen" "$vmpoke" hotfix keygen alice --no-password
same "the secret key is its owner's alone" "$(stat -c %a alice.key)" 600
cp alice.key before.key
says 7 "alice.pub: File exists" "$vmpoke" hotfix keygen alice --no-password
check "... and nothing is written over" cmp alice.key before.key
rm alice.pub
says 7 "alice.key: File exists" "$vmpoke" hotfix keygen alice --no-password
check "... and no half of a pair is left" test ! -e alice.pub
rm alice.key
"$vmpoke" hotfix keygen alice --no-password >/dev/null
"$vmpoke" hotfix keygen mallory --no-password >/dev/null
says 2 "there is none" setsid "$vmpoke" hotfix keygen carol
mkdir ring && cp alice.pub ring

# --- to minisign ----------------------------------------------------------------------------
check "sign" "$vmpoke" hotfix sign fix.o --key alice.key --expires 2099-12-31
check "minisign takes what we have signed" minisign -Vqm fix.o -p alice.pub
check "... with its comment" grep -q $'^trusted comment: timestamp:[0-9]*\tfile:fix.o\thashed\texpires:2099-12-31$' fix.o.minisig
taken "so do we" "${apply[@]}" fix.o --keyring ring
cp fix.o bare.o
cp fix.o.minisig keep.minisig
rm fix.o.minisig
check "sign --embed" "$vmpoke" hotfix sign fix.o --key alice.key --embed
taken "a signature in the object is taken" "${apply[@]}" fix.o --keyring ring
# As docs/signing.md has it.
n=$(tail -n 1 fix.o | tr -dc 0-9 | sed 's/^0*//')
head -c "$n" fix.o >split.o
tail -c +$((n + 1)) fix.o | head -n 4 >split.o.minisig
check "split by hand, it is the object" cmp split.o bare.o
check "... and minisign takes its signature" minisign -Vqm split.o -p alice.pub
says 7 "has a signature in it" "$vmpoke" hotfix sign fix.o --key alice.key
cp keep.minisig fix.o.minisig
says 7 "in it, and one beside it" "${apply[@]}" fix.o --keyring ring
rm fix.o.minisig
cp fix.o embedded.o
check "sign --detach" "$vmpoke" hotfix sign fix.o --detach
check "... gives the object" cmp fix.o bare.o
check "... and the signature" cmp fix.o.minisig split.o.minisig
says 7 "no signature in it" "$vmpoke" hotfix sign fix.o --detach

# --- from minisign ----------------------------------------------------------------------------
minisign -GWf -p mini.pub -s mini.key >/dev/null 2>&1
chmod 644 mini.pub && cp mini.pub ring
for how in -H -l; do
	rm -f fix.o.minisig
	minisign -Sqm fix.o -s mini.key $how
	taken "minisign's signature is taken, $how" "${apply[@]}" fix.o --keyring ring
done
rm -f fix.o.minisig
check "we sign with minisign's key" "$vmpoke" hotfix sign fix.o --key mini.key
check "... and minisign takes it" minisign -Vqm fix.o -p mini.pub
minisign -Sqm fix.o -s alice.key -t $'expires:2099-01-01'
taken "minisign signs with our key" "${apply[@]}" fix.o --keyring ring

# A password: 1 GB of memory and some seconds for each try.
if [ "$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)" -gt 1500000 ]; then
	typed() { # TEXT COMMAND: on a terminal of its own, slower than it asks
		{ sleep 2; printf '%s\n' "$1"; sleep 2; printf '%s\n' "$1"; sleep 8; } |
			timeout 60 script -qefc "$2" typescript >/dev/null
	}
	typed xyzzy "$vmpoke hotfix keygen dave"
	check "keygen with a password" test -s dave.key
	check "... which is not shown" bash -c '! grep -q xyzzy typescript'
	check "... and hides the key" grep -q '^untrusted comment: minisign encrypted secret key$' dave.key
	says 2 "a password is asked for" setsid "$vmpoke" hotfix sign fix.o --key dave.key
	rm -f fix.o.minisig
	typed xyzzy "$vmpoke hotfix sign fix.o --key dave.key"
	check "sign with it" minisign -Vqm fix.o -p dave.pub
	rm -f fix.o.minisig
	typed wrong "$vmpoke hotfix sign fix.o --key dave.key"
	check "a wrong one" grep -q 'wrong password' typescript
	check "... signs nothing" test ! -e fix.o.minisig
	printf 'xyzzy\n' | timeout 60 minisign -Sqm fix.o -s dave.key >/dev/null 2>&1
	check "minisign opens our key" minisign -Vqm fix.o -p dave.pub
else
	echo "SKIP: passwords: less than 1.5 GB of memory are free"
fi

# --- refused ------------------------------------------------------------------------------------
export VMPOKE_KEYRING=$tmp/ring
rm -f fix.o.minisig
says 3 "it is not signed" "${apply[@]}" fix.o
cp keep.minisig fix.o.minisig
taken "the same, signed" "${apply[@]}" fix.o
{ head -c 200 bare.o; printf x; tail -c +202 bare.o; } >fix.o
says 3 "it was altered" "${apply[@]}" fix.o
cp bare.o fix.o
{ cat bare.o; printf x; } >fix.o
says 3 "it was altered" "${apply[@]}" fix.o
cp bare.o fix.o
sed 's/2099-12-31/2199-12-31/' keep.minisig >fix.o.minisig
says 3 "trusted comment was altered" "${apply[@]}" fix.o
minisign -Sqm fix.o -s alice.key -t "expires:2020-01-31"
says 3 "has expired on 2020-01-31" "${apply[@]}" fix.o
minisign -Sqm fix.o -s alice.key -t "expires:tomorrow"
says 3 "must have one expires:YYYY-MM-DD" "${apply[@]}" fix.o
minisign -Sqm fix.o -s alice.key -t "timestamp:99999999999"
says 3 "set the clock" "${apply[@]}" fix.o
minisign -Sqm fix.o -s mallory.key
says 3 "which is not in the keyring" "${apply[@]}" fix.o
cp alice.pub other.o # whatever it is, it has a signature
minisign -Sqm other.o -s alice.key
cp other.o.minisig fix.o.minisig
says 3 "of another object, other.o" "${apply[@]}" fix.o
echo x >fix.o.minisig
says 3 "none of minisign" "${apply[@]}" fix.o
head -c 5000 /dev/zero >fix.o.minisig
says 7 "more than 4096 bytes" "${apply[@]}" fix.o
rm fix.o.minisig && mkdir fix.o.minisig
says 7 "fix.o.minisig is no file" "${apply[@]}" fix.o
rmdir fix.o.minisig && mkfifo fix.o.minisig
says 7 "fix.o.minisig is no file" timeout 20 "${apply[@]}" fix.o
rm fix.o.minisig
head -c -3 embedded.o >fix.o
says 3 "it is not signed" "${apply[@]}" fix.o
sed '$s/ 0/ 9/' embedded.o >fix.o
says 7 "the signature at its end is damaged" "${apply[@]}" fix.o
cp bare.o fix.o
cp keep.minisig fix.o.minisig
says 3 "there is no key in it" "${apply[@]}" fix.o --keyring "$(mktemp -d -p "$tmp")"
says 3 "No such file or directory" "${apply[@]}" fix.o --keyring nosuch
chmod g+w ring/mini.pub
says 3 "mini.pub is not a file that only root or you can write" "${apply[@]}" fix.o
chmod g-w ring/mini.pub
echo x >ring/broken.pub
says 3 "broken.pub: it is no public key" "${apply[@]}" fix.o
rm ring/broken.pub
awk 'NR == 2 { $0 = substr($0, 1, 90) (substr($0, 91, 1) == "A" ? "B" : "A") substr($0, 92) } { print }' mini.key >broken.key
says 3 "the key is damaged" "$vmpoke" hotfix sign fix.o --key broken.key
says 7 "it is no secret key" "$vmpoke" hotfix sign fix.o --key alice.pub
says 7 "not an ELF file" "$vmpoke" hotfix sign alice.pub --key alice.key
says 2 "is no day" "$vmpoke" hotfix sign fix.o --key alice.key --expires 2027-02-30
says 2 "that day is over" "$vmpoke" hotfix sign fix.o --key alice.key --expires 2020-01-01
says 4 "no VM of" "${apply[@]}" fix.o

# --- guests of `vmpoke run`: its process asks, with a keyring of its own -------------------------------
unset VMPOKE_KEYRING
if [ -w /dev/kvm ]; then
	guest=$root/build/guest/testguest.elf
	check "a guest runs" "$vmpoke" run --kernel "$guest" --name g1 --keyring ring --detach >run-says
	cp embedded.o fix.o
	rm -f fix.o.minisig
	says 3 "the guest does not run Linux" "$vmpoke" hotfix apply g1 fix.o # taken
	says 3 "it is not signed" "$vmpoke" hotfix apply g1 bare.o
	mkdir his && cp mallory.pub his
	says 3 "fix.o: it is signed by the key" "$vmpoke" hotfix apply g1 fix.o --keyring his
	rm -r ring
	says 3 "ring: No such file" "$vmpoke" hotfix apply g1 fix.o
	mkdir ring && cp alice.pub mini.pub ring && chmod 644 ring/*
	"$vmpoke" quit g1
else
	echo "SKIP: guests of vmpoke run: no /dev/kvm"
fi
cp bare.o fix.o
cp keep.minisig fix.o.minisig

# --- the system's keyring: /etc as only this one process sees it -----------------------------------
if unshare -rm true 2>/dev/null; then
	# in_etc COMMAND PROGRAM...: with /etc/vmpoke/keyring, which COMMAND fills
	cat >in_etc <<'SCRIPT'
#!/bin/sh
exec unshare -rm sh -c 'mount -t tmpfs none /etc && mkdir -p /etc/vmpoke/keyring && eval "$1" && shift && exec "$@"' - "$@"
SCRIPT
	chmod +x in_etc
	unset VMPOKE_KEYRING
	hers='cp alice.pub /etc/vmpoke/keyring/'
	taken "the system's keyring takes it" ./in_etc "$hers" "${apply[@]}" fix.o
	minisign -Sqm fix.o -s mallory.key
	says 3 "not in the keyring /etc/vmpoke/keyring" ./in_etc "$hers" "${apply[@]}" fix.o
	mkdir bad && cp mallory.pub bad
	taken "mallory's own keyring alone takes his" "${apply[@]}" fix.o --keyring bad
	says 3 "not in the keyring /etc/vmpoke/keyring" ./in_etc "$hers" "${apply[@]}" fix.o --keyring bad
	says 3 "not in the keyring /etc/vmpoke/keyring" ./in_etc "$hers" env VMPOKE_KEYRING=bad "${apply[@]}" fix.o
	rm fix.o.minisig
	says 3 "it is not signed" ./in_etc "$hers" "${apply[@]}" fix.o --force
	says 3 "there is no key in it" ./in_etc true "${apply[@]}" embedded.o
	says 3 "/etc/vmpoke/keyring: No such file" ./in_etc 'rmdir /etc/vmpoke/keyring && ln -s nosuch /etc/vmpoke/keyring' \
		"${apply[@]}" embedded.o
	taken "none is configured" ./in_etc 'rmdir /etc/vmpoke/keyring' "${apply[@]}" fix.o
else
	echo "SKIP: the system's keyring: no user namespaces here"
fi
exit $failed
