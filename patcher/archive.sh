#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library as it is installed: what include/vmpoke/ declares, and no other name of ours.
#
#   patcher/archive.sh OUT.a OBJECT...	make it; CC, LD, AR, OBJCOPY, NM as usual
#   patcher/archive.sh --public		list the public functions
#
# The objects become one for each room (below), and a name that only the room uses is local to it. So
# who pokes the guest of his own VMM need not have what Linux, QEMU or libvirt take. What one room
# needs of another without being public is called vp_private_*, and is no promise.
set -eu
include=$(dirname "$0")/../include
: "${CC:=gcc}" "${LD:=ld}" "${AR:=ar}" "${OBJCOPY:=objcopy}" "${NM:=nm}"

room_of() { # OBJECT
	case $1 in
	*/target/*libvirt*) echo libvirt ;;
	*/target/local* | */target/serialize.o | */target/wait.o) echo local ;;
	*/target/*) echo qemu ;;
	*/linux/*) echo linux ;;
	*/hotfix/*) echo hotfix ;;
	*/elf/*) echo elf ;;
	*) echo engine ;;
	esac
}

public() { # the names with a list of parameters behind them; `(*` is a pointer to a function
	(cd "$include" && printf '#include <%s>\n' vmpoke/*.h) | "$CC" -E -P -I "$include" - |
		sed '/^static /d' | # those are whole in the headers
		sed -E 's/\b(vp_[a-z0-9_]+) ?\([^*]/\n=\1\n/g' |
		sed -n 's/^=//p' | sort -u
}

if [ "$1" = --public ]; then
	public
	exit
fi
out=$1
shift
dir=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$dir"' EXIT
public >"$dir/public"

# Only what the public functions need: `ld -t` names what it took.
"$AR" rcsT "$dir/all.a" "$@"
mapfile -t roots < <(sed 's/^/-u/' "$dir/public")
"$LD" -r -t -o "$dir/whole.o" "${roots[@]}" "$dir/all.a" | grep -oE '[^()]+\.o$' | sort -u >"$dir/members"
while read -r object; do
	echo "$object" >>"$dir/$(room_of "$object").list"
done <"$dir/members"

for list in "$dir"/*.list; do
	xargs "$LD" -r -o "${list%.list}.o" <"$list"
	"$NM" --undefined-only -j "${list%.list}.o" >>"$dir/wanted"
	"$NM" --defined-only --extern-only -j "${list%.list}.o" >>"$dir/defined"
done
rm "$dir/whole.o"
# Between the rooms.
sort -u "$dir/wanted" | comm -12 - <(sort "$dir/defined") | comm -23 - "$dir/public" >"$dir/private"
sed -E 's/^(vp_)?(.*)/\0 vp_private_\2/' "$dir/private" >"$dir/rename"
sed -E 's/^(vp_)?/vp_private_/' "$dir/private" | cat - "$dir/public" >"$dir/keep"
for o in "$dir"/*.o; do
	"$OBJCOPY" --redefine-syms="$dir/rename" "$o"
	"$OBJCOPY" --keep-global-symbols="$dir/keep" "$o"
done
rm -f "$out"
"$AR" rcs "$out" "$dir"/*.o
