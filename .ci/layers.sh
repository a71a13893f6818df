#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The layers of docs/architecture.md: who may include whom; and the engine links against nothing but
# x86 and a target that makes no system call.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0

# A rule: files of FOLDER may include, besides <...> and their own folder, only these folders.
rule() {
	local folder=$1 allowed=$2 line inc
	while IFS= read -r line; do
		inc=${line##*\"$'\t'}
		inc=$(sed -E 's/.*#include "([^"]+)".*/\1/' <<<"$line")
		case "$inc" in */*) ;; *) continue ;; esac
		[[ " $allowed ${folder#patcher/} " == *" ${inc%/*} "* ]] && continue
		echo "layers: $line: $folder may not include $inc"
		bad=1
	done < <(grep -rn '#include "' --include='*.[ch]' "$folder" 2>/dev/null)
}

rule patcher/x86 ""
rule patcher/elf ""
rule patcher/core "x86"
rule patcher/linux "x86 elf"
rule patcher/hotfix "x86 elf"
rule patcher/target "x86"
rule patcher/control "x86 elf core linux target"
rule patcher/cli "x86 elf core linux hotfix target control vmm guest"
rule vmm "x86 elf core linux hotfix target control"

only() { # PATTERN FILES-THAT-MAY WHAT
	local hits
	hits=$(grep -rlE "$1" --include='*.[ch]' patcher vmm include | grep -vxE "$2")
	[ -z "$hits" ] && return
	echo "layers: $3 belongs in one place, not in: $hits"
	bad=1
}
only '#include <Zydis' 'patcher/x86/decode.c' "Zydis"
only '#include <(gelf|libelf)' 'patcher/elf/image.c' "libelf"
only '#include <bpf/' 'patcher/linux/module_layout.c' "libbpf"
only '#include <jansson' 'patcher/target/(qmp|monitor|hmp).*|patcher/control/.*|patcher/cli/.*|vmm/control.*' "JSON"

# The engine makes no system call of its own: what it links against, apart from memory and strings.
allowed='calloc|strlen|free|reallocarray|qsort|memcmp|memcpy|memmove|memset|strncpy|vsnprintf|__.*|_GLOBAL_OFFSET_TABLE_|vp_.*'
objs=(build/obj/patcher/core/*.o)
if [ -e "${objs[0]}" ]; then
	calls=$(nm -u "${objs[@]}" | awk '$1 == "U" {print $2}' | sort -u | grep -vxE "$allowed")
	if [ -n "$calls" ]; then
		echo "layers: patcher/core calls: $calls"
		bad=1
	fi
	# And it links with the fake target alone.
	gcc -o build/core-alone build/obj/tests/unit/test_poke.o build/obj/tests/unit/fake.o \
		"${objs[@]}" build/obj/patcher/x86/*.o -lZydis -lcmocka || bad=1
fi
[ $bad -eq 0 ] && echo "ok - layers"
exit $bad
