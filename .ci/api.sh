#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library as others see it: its public functions, all of them and nothing else; its headers,
# each by itself, in C and in C++; a program that links what it needs and no more; docs/api.md.
set -u
cd "$(dirname "$0")/.." || exit 1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
lib=build/libvmpoke.a
failed=0

ok() { # STATUS TEXT; what went wrong is in $dir/log
	if [ "$1" -eq 0 ]; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		head -n 5 "$dir/log"
		failed=1
	fi
}

make --no-print-directory "$lib" >"$dir/log" 2>&1
ok $? "the archive is made"

# --- its names ------------------------------------------------------------------------

patcher/archive.sh --public >"$dir/public"
nm --defined-only --extern-only -j "$lib" | grep -vE ':$|^$' | sort >"$dir/names"
[ "$(wc -l <"$dir/public")" -ge 30 ]
ok $? "the headers declare functions: $(wc -l <"$dir/public")"
comm -23 "$dir/public" "$dir/names" >"$dir/log"
[ ! -s "$dir/log" ]
ok $? "each function of a public header is in the archive"
grep -vE '^vp_private_' "$dir/names" | comm -13 "$dir/public" - >"$dir/log"
[ ! -s "$dir/log" ]
ok $? "each global symbol of the archive is in a public header, or private by name"
uniq -d "$dir/names" >"$dir/log"
[ ! -s "$dir/log" ]
ok $? "no symbol stands in the archive twice"
grep -i ledger "$dir/names" >"$dir/log"
[ ! -s "$dir/log" ]
ok $? "no function of the archive keeps a ledger, as poke.h says"

(cd include && printf '#include <%s>\n' vmpoke/*.h) | gcc -E -P -Iinclude - |
	grep -oE '\b(struct|enum|union) vp_[a-z0-9_]+|\}? ?vp_[a-z0-9_]+;' |
	sed -nE 's/^(struct|enum|union) |^\} (.*);$/\2/p' | sort -u >"$dir/types"
[ "$(wc -l <"$dir/types")" -ge 30 ] && grep -qx vp_gva "$dir/types"
ok $? "the headers declare types: $(wc -l <"$dir/types")"
comm -12 "$dir/types" "$dir/public" >"$dir/log"
[ ! -s "$dir/log" ]
ok $? "no type and function have one name"

# --- docs/api.md ----------------------------------------------------------------------

# The names that it lists; those that are inline are in no archive.
described() { # inline|outside
	grep -oE '^\*\*`vp_[a-z0-9_]+\(\)`.*' docs/api.md |
		grep -oE '`vp_[a-z0-9_]+\(\)`\*\*( \(inline\))?' |
		if [ "$1" = inline ]; then grep inline; else grep -v inline; fi |
		grep -oE 'vp_[a-z0-9_]+' | sort
}
awk -f docs/api.awk include/vmpoke/*.h 2>"$dir/log" | cmp - docs/api.md >>"$dir/log" 2>&1 &&
	[ ! -s "$dir/log" ]
ok $? "docs/api.md is what the headers say, each function with a summary (make api)"
grep -vE '^vp_private_' "$dir/names" >"$dir/theirs"
described outside | diff "$dir/theirs" - >"$dir/log"
ok $? "docs/api.md has every function of the archive, once, and no other"
sed -n 's/^static inline .*\b\(vp_[a-z0-9_]*\)(.*/\1/p' include/vmpoke/*.h | grep -v vp_poke_opts_init |
	sort >"$dir/theirs"
described inline | diff "$dir/theirs" - >"$dir/log"
ok $? "and every inline one of the headers"

# --- its headers ------------------------------------------------------------------------

strict=(-Wall -Wextra -pedantic -Werror -Iinclude -fsyntax-only)
headers_alone() { # LANGUAGE STANDARD COMPILER
	local h
	: >"$dir/log"
	for h in include/vmpoke/*.h; do
		echo "#include <vmpoke/${h##*/}>" | "$3" "${strict[@]}" -x "$1" -std="$2" - >>"$dir/log" 2>&1
	done
	[ ! -s "$dir/log" ]
	ok $? "each header alone: $3 -std=$2"
}
for std in c99 c11 c17; do
	for cc in gcc clang; do headers_alone c $std $cc; done
done

{
	for h in include/vmpoke/*.h; do echo "#include <vmpoke/${h##*/}>"; done
	cat <<'C'
#include <stdio.h>

/* Everything that a macro of the headers makes, as a caller uses it. */
int main(void)
{
	struct vp_poke_opts opts = VP_POKE_OPTS_INIT;
	vp_gva addr = VP_GVA(0x1000);
	vp_gpa phys = VP_GPA(addr.v);

	opts.timeout_ms = VP_TIMEOUT_MS;
	printf("%s %d %d %d\n", VP_VERSION, opts.vcpu, (int)opts.strategy, (int)opts.dry_run);
	printf("%d\n", phys.v == 0x1000 && vp_version()[0] != 0);
C
	echo '	static const void *const all[] = {'
	sed 's/.*/		(const void *)\&&,/' "$dir/public"
	echo '	};'
	# By its bare name: a function of that name would hide it.
	sed 's/.*/	typedef & a_&; (void)(a_& *)0;/' "$dir/types"
	echo '	return all[0] == NULL;'
	echo '}'
} >"$dir/all.cc"
for std in c++11 c++14 c++17 c++20; do
	for cxx in g++ clang++; do
		headers_alone c++ $std $cxx
		"$cxx" "${strict[@]}" -std=$std "$dir/all.cc" >"$dir/log" 2>&1
		ok $? "a C++ program with every macro and function: $cxx -std=$std"
	done
done

# --- a program ----------------------------------------------------------------------------

libs=$(sed -n 's/^Libs:.*-lvmpoke//p' docs/vmpoke.pc.in)
# shellcheck disable=SC2086 # the libraries are words
g++ -std=c++11 -Iinclude -o "$dir/all" "$dir/all.cc" "$lib" $libs -lvirt-qemu -lvirt >"$dir/log" 2>&1 &&
	"$dir/all" >"$dir/log" 2>&1 && grep -qx "$(sed -n 's/^.*VERSION_M[AI][JN]OR //p' \
	include/vmpoke/version.h | paste -sd.)\.[0-9]* -1 0 0" "$dir/log" && grep -qx 1 "$dir/log"
ok $? "it links with the libraries of vmpoke.pc and libvirt, and runs"

cat >"$dir/local.c" <<'C'
#include <vmpoke/local.h>
#include <vmpoke/poke.h>

int main(void)
{
	struct vp_engine *engine = NULL;
	struct vp_local *local = NULL;
	const struct vp_local_config config = { .route = VP_ROUTE_NONE };
	enum vp_trap_route route;
	int rc = vp_local_new(&config, &local, NULL);

	if (!rc)
		rc = vp_engine_new(vp_local_target(local), &engine, NULL);
	if (!rc)
		rc = vp_local_probe(-1, &route, NULL) == 0;
	if (!rc)
		rc = vp_poke(engine, NULL, 0, NULL, NULL, NULL) == 0;
	vp_engine_free(engine);
	vp_local_free(local);
	return rc;
}
C
gcc -Iinclude -o "$dir/local" "$dir/local.c" "$lib" -lZydis -pthread >"$dir/log" 2>&1 && "$dir/local"
ok $? "who pokes the guest of his own VMM links with Zydis alone"
exit $failed
