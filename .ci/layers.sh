#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The layers of docs/architecture.md: who may include, and call, whom; no circle of files; and the
# engine links against nothing but x86 and a target that makes no system call.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0

# Each folder may use, besides <...>, itself and base, only these.
declare -A uses=(
	[base]=""
	[x86]=""
	[elf]=""
	[core]="x86"
	[linux]="x86 elf"
	[hotfix]="x86 elf linux"
	[target]="x86"
	[sign]=""
	[diff]="x86 elf hotfix"
	[build]="x86 elf hotfix diff"
	[control]="x86 elf core linux hotfix target sign"
	[preload]="x86 elf core linux hotfix target sign control"
	[vmm]="x86 elf core linux hotfix target sign control"
	[cli]="x86 elf core linux hotfix diff build target sign control vmm guest"
	[guest]=""
)

complain() {
	echo "layers: $*"
	bad=1
}

# --- what the files include ----------------------------------------------------------

# "A B" for each include of a file of ours; folders of patcher/ are named without it, as includes are.
includes() {
	grep -rn '#include "' --include='*.[ch]' patcher vmm |
		sed -E 's|^(patcher/)?([^:]+):[0-9]+:#include "([^"]+)".*|\2 \3|'
}

while read -r file inc; do
	[[ "$inc" == */* ]] || { # of the same folder
		complain "$file includes \"$inc\": give its folder, as the others do"
		continue
	}
	from=${file%%/*} to=${inc%/*}
	[[ " ${uses[$from]?} $from base " == *" $to "* ]] || complain "$file may not include $inc"
done < <(includes)

only() { # PATTERN FILES-THAT-MAY WHAT
	local hits
	hits=$(grep -rlE "$1" --include='*.[ch]' patcher vmm include | grep -vxE "$2")
	[ -z "$hits" ] || complain "$3 belongs in one place, not in: $hits"
}
only '#include <Zydis' 'patcher/x86/decode.c' "Zydis"
only '#include <(gelf|libelf)' 'patcher/elf/image.c' "libelf"
only '#include <bpf/' 'patcher/linux/module_layout.c' "libbpf"
only '\bvp_(qmp|remote)_call\(' 'patcher/cli/client.[ch]|patcher/(target/(qmp|monitor)|control/remote).*' \
	"what prints asks through vp_client_ask(), which makes texts printable: that"
only '#include <sodium' 'patcher/sign/.*' "libsodium"
only '#include <jansson' 'patcher/target/qmp.*|patcher/control/.*|patcher/cli/.*|patcher/preload/server.c' "JSON"

# A circle on stdin ("A B": A needs B) is told as such. tsort does not say which edges close it.
no_circle() { # WHAT
	local loops
	loops=$(tsort 2>&1 >/dev/null | sed -n 's/^tsort: //p' | sed 's/-: input contains a loop:/;/' | tr '\n' ' ')
	[ -z "$loops" ] || complain "$1 in a circle: ${loops#;}"
}
no_circle "headers include each other" < <(
	includes | grep '\.h .*\.h$'
	grep -rn '#include <vmpoke/' include | sed -E 's|^include/([^:]+):[0-9]+:#include <([^>]+)>.*|\1 \2|'
)

# --- what the objects need -------------------------------------------------------------

objects() { # FOLDERS... of what is in the tree now
	find "$@" -name '*.c' -o -name '*.S' | sort | sed -E 's|(.*)\.[cS]$|build/obj/\1.o|'
}

# "A B symbol": A needs a symbol that B defines.
needs() {
	objects patcher vmm guest/embed.S | xargs nm -A | awk '
		{ file = $1; sub(/:.*/, "", file); sub(/^build\/obj\/(patcher\/)?/, "", file); sub(/\.o$/, "", file) }
		# What a VMM calls in the place of the C library: nobody of ours does (--wrap).
		file == "preload/interpose" && $NF ~ /^(__wrap_)?(ioctl|close)$/ { next }
		$(NF - 1) ~ /^[A-TV-Z]$/ { home[$NF] = file }
		$(NF - 1) == "U" { wanted[file " " $NF] }
		END {
			for (w in wanted) {
				split(w, part, " ")
				if (part[2] in home && home[part[2]] != part[1])
					print part[1], home[part[2]], part[2]
			}
		}' | sort
}

make --no-print-directory -j"$(nproc)" all build/tests/test_poke >build/layers.log 2>&1 || {
	tail -n 20 build/layers.log
	complain "the tree does not build, and the objects are looked at, too"
	exit 1
}
needs >build/needs.txt
[ -s build/needs.txt ] || complain "no object needs another: this check sees nothing"
while read -r file other symbol; do
	from=${file%%/*} to=${other%%/*}
	[[ " ${uses[$from]?} $from base " == *" $to "* ]] || complain "$file may not call $symbol of $other"
done <build/needs.txt
no_circle "files need each other" < <(cut -d ' ' -f 1,2 build/needs.txt | sort -u)

# The engine makes no system call of its own: what it links against, apart from memory and strings.
allowed='calloc|strlen|strnlen|free|reallocarray|qsort|memcmp|memcpy|memmove|memset|strncpy|vsnprintf|__.*|_GLOBAL_OFFSET_TABLE_|vp_.*'
mapfile -t core < <(objects patcher/core patcher/base)
calls=$(nm -u "${core[@]}" | awk '$1 == "U" {print $2}' | sort -u | grep -vxE "$allowed")
[ -z "$calls" ] || complain "the engine calls: $calls"
# And it links with the fake target alone.
mapfile -t x86 < <(objects patcher/x86)
gcc -o build/core-alone build/obj/tests/unit/test_poke.o build/obj/tests/unit/fake.o \
	"${core[@]}" "${x86[@]}" -lZydis -lcmocka || bad=1

[ $bad -eq 0 ] && echo "ok - layers"
exit $bad
