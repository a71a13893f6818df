#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `vmpoke hotfix build` with the headers of a stock Debian kernel: what each kind of source becomes,
# seen with readelf; that two builds are equal; and that what cannot be built is told in one line.
set -u
cd "$(dirname "$0")/../.." || exit 1
vmpoke=$PWD/build/vmpoke
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

ok() { # STATUS TEXT; what went wrong is in $dir/log
	if [ "$1" -eq 0 ]; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		head -n 10 "$dir/log" | sed 's/^/# /'
		failed=1
	fi
}

headers=$(tests/linux/headers.sh generic 2>"$dir/log")
case $? in
0) ;;
77)
	echo "SKIP: hotfix-build: $(tail -n 1 "$dir/log")"
	exit 0
	;;
*)
	ok 1 "the headers are fetched"
	exit 1
	;;
esac
release=$(basename "$headers" | sed 's/^linux-headers-//')
mkdir "$dir/tmp" # what is left in it was forgotten
export TMPDIR=$dir/tmp

build() { # SOURCE ARG...
	"$vmpoke" hotfix build "$@" --headers "$headers" >"$dir/out" 2>"$dir/log"
}

sections() { readelf -SW "$1" | sed -nE 's/^ *\[ *[0-9]+\] ([^ ]+) .*/\1/p'; }
undefined() { readelf -sW "$1" | awk '$7 == "UND" && $8 {print $8}'; }

# Nothing in it that only the kernel's own build or boot could serve.
plain_sections() { # OBJECT
	! sections "$1" | grep -vE '^(\.rela)?\.(text|rodata|data|bss|vmpoke)(\..*)?$|^\.(symtab|strtab|shstrtab)$' |
		grep . >"$dir/log"
}

# --- the suite of hotfixes -----------------------------------------------------------------

# What a source needs is in its first comment: "Module: NAME", "Release: RELEASE" (the kernel's own
# headers are then fetched; else any will do).
said() { # SOURCE WHAT
	sed -n "s/^ \* $2: //p" "$1"
}

for source in tests/hotfixes/*.c; do
	name=${source##*/} name=${name%.c}
	module=$(said "$source" Module) wanted=$(said "$source" Release)
	folder=$headers
	if [ -n "$wanted" ] && ! folder=$(tests/linux/headers.sh "$wanted" 2>"$dir/log"); then
		echo "SKIP: hotfix-build: $name: $(tail -n 1 "$dir/log")"
		continue
	fi
	"$vmpoke" hotfix build "$source" -o "$dir/$name.o" ${module:+--module "$module"} --headers "$folder" \
		>"$dir/out" 2>"$dir/log"
	ok $? "$name builds"
	[ ! -s "$dir/log" ]
	ok $? "$name: the compiler has nothing to say"
	plain_sections "$dir/$name.o"
	ok $? "$name: no section but code, data and what vmpoke reads"
	readelf -p .vmpoke.info "$dir/$name.o" >"$dir/log" && grep -qE "for=${wanted:-$release}\$" "$dir/log"
	ok $? "$name says which kernel it is for"
done

# --- what each kind of source becomes --------------------------------------------------------

probe() { # NAME: its source is on stdin; $object is built
	{
		cat
		echo '#include <vmpoke/hotfix.h>'
		echo "VMPOKE_HOTFIX(\"$1\", \"1\", \"a test\");"
		echo 'VMPOKE_REPLACE(old, fixed);'
	} >"$dir/$1.c"
	object=$dir/$1.o
	rm -f "$object"
	build "$dir/$1.c" -o "$object"
	ok $? "$1 builds"
	plain_sections "$object"
	ok $? "$1: no section but code, data and what vmpoke reads"
}

wants() { # SYMBOL...
	local symbol
	undefined "$object" >"$dir/log"
	for symbol; do
		grep -qxE "$symbol" "$dir/log" || return 1
	done
}

probe warn <<'C'
#include <linux/kernel.h>
#include <linux/bug.h>
void fixed(int n) { WARN_ON(n == 1); WARN_ON_ONCE(n == 2); WARN_ONCE(n == 3, "n %d\n", n); BUG_ON(n == 4); }
C
wants __warn __warn_printk _printk && ! wants warn_slowpath_fmt
ok $? "warn: calls __warn"
[ "$(readelf -sW "$object" | grep -c 'OBJECT.* vmpoke_warned')" -ge 1 ]
ok $? "warn: _ONCE has flags of its own"
objdump -d "$object" | grep -q '\bud2\b'
ok $? "warn: BUG is a ud2"

probe key <<'C'
#include <linux/jump_label.h>
DECLARE_STATIC_KEY_FALSE(some_key);
DECLARE_STATIC_KEY_TRUE(other_key);
int fixed(void) { return static_branch_unlikely(&some_key) + 2 * static_branch_likely(&other_key); }
C
wants some_key other_key
ok $? "key: reads the keys"

probe trace <<'C'
#include <linux/sched.h>
#include <linux/printk.h>
#include <trace/events/sched.h>
void fixed(struct task_struct *p) { trace_sched_wakeup(p); pr_debug("woken\n"); }
C
wants __tracepoint_sched_wakeup '__SCT__tp_func_sched_wakeup|__traceiter_sched_wakeup'
ok $? "trace: tests the tracepoint and calls it"
! strings -a "$object" | grep -q woken
ok $? "trace: pr_debug is silent"

probe table <<'C'
#include <linux/kernel.h>
#pragma GCC optimize("jump-tables")
extern int f(int), g(int), h(int), i(int), j(int), k(int);
int fixed(int n)
{
	switch (n) {
	case 1: return f(n) + 1;
	case 2: return g(n) * 2;
	case 3: return h(n) - 3;
	case 4: return i(n) ^ 4;
	case 5: return j(n) | 5;
	case 6: return k(n) & 6;
	}
	return 0;
}
C
[ "$(readelf -rW "$object" | grep -cE 'R_X86_64_64 .*\.text')" -ge 6 ]
ok $? "table: a jump table in .rodata"

probe data <<'C'
#include <linux/percpu.h>
#include <linux/sched.h>
DECLARE_PER_CPU(unsigned long, process_counts);
unsigned long fixed(int cpu)
{
	static unsigned long calls;
	static const char *const names[] = { "even", "odd" };

	calls++;
	pr_info("%s\n", names[calls & 1]);
	return this_cpu_read(process_counts) + per_cpu(process_counts, cpu);
}
C
wants process_counts __per_cpu_offset && sections "$object" | grep -q '^\.bss\.calls'
ok $? "data: static locals, and the kernel's per-cpu data"

probe user <<'C'
#include <linux/uaccess.h>
int fixed(int __user *p) { int n; return get_user(n, p) ? -EFAULT : put_user(n + 1, p); }
C
wants __get_user_4 __put_user_4
ok $? "user: get_user and put_user are calls"

probe calls <<'C'
#include <linux/static_call.h>
#include <linux/cpufeature.h>
#include <linux/atomic.h>
extern void some_function(int);
DECLARE_STATIC_CALL(some_call, some_function);
void fixed(atomic_t *a) { atomic_inc(a); static_call(some_call)(boot_cpu_has(X86_FEATURE_FXSR) + static_cpu_has(X86_FEATURE_SMAP)); }
C
wants __SCT__some_call boot_cpu_data && ! wants __SCK__some_call
ok $? "calls: a static call goes through its trampoline"

# --- does a static key mean what it means in the kernel? -------------------------------------

# The compiled functions, in a program: each kind of branch, with keys of each value.
probe keys <<'C'
#include <linux/jump_label.h>
DECLARE_STATIC_KEY_FALSE(f);
DECLARE_STATIC_KEY_TRUE(t);
int fixed(void)
{
	return static_branch_likely(&f) | static_branch_unlikely(&f) << 1 |
	       static_branch_likely(&t) << 2 | static_branch_unlikely(&t) << 3;
}
C
cat >"$dir/main.c" <<'C'
#include <stdio.h>
struct { int enabled; void *more; } f, t;
extern int fixed(void);
__asm__(".text\n__fentry__: .globl __fentry__\n ret\n__x86_return_thunk: .globl __x86_return_thunk\n ret\n");
int main(void)
{
	for (int n = -1; n <= 2; n++)
		for (int m = -1; m <= 2; m++) {
			f.enabled = n, t.enabled = m;
			if (fixed() != (n > 0 ? 3 : 0) + (m > 0 ? 12 : 0))
				return printf("keys %d %d: %x\n", n, m, fixed());
		}
	return 0;
}
C
gcc -no-pie -z noexecstack -o "$dir/keys" "$dir/main.c" "$object" >"$dir/log" 2>&1 && "$dir/keys" >"$dir/log"
ok $? "a branch on a static key goes where the kernel's goes, for each kind and value"

# --- equal bytes ------------------------------------------------------------------------------

mkdir -p "$dir/one" "$dir/two far away/and deeper"
cp "$dir/warn.c" "$dir/one/same.c" && cp "$dir/warn.c" "$dir/two far away/and deeper/same.c"
build "$dir/one/same.c" -o "$dir/one/o" && mkdir "$dir/tmp/elsewhere" &&
	(cd "$dir/two far away" && TMPDIR=$dir/tmp/elsewhere build and\ deeper/same.c -o ../two) &&
	cmp "$dir/one/o" "$dir/two" >"$dir/log"
ok $? "two builds, of two places, are equal byte for byte"
rmdir "$dir/tmp/elsewhere"
! grep -qF "$dir" "$dir/one/o" && ! strings -a "$dir/one/o" | grep -E '/tmp|vmpoke-build|/usr/src'
ok $? "no path of this machine is in it"
! sections "$dir/one/o" | grep -q debug
ok $? "no debug information is in it"
build "$dir/one/same.c" -o "$dir/one/debug" --keep-debug && sections "$dir/one/debug" | grep -q '^\.debug_info'
ok $? "with --keep-debug it is"

# --- where sources may be ------------------------------------------------------------------------

odd="$dir/odd \$(touch pwned) 'quote' \"x\" #;"$'\n'"line"
mkdir -p "$odd/sub" "$dir/up"
echo '#define ANSWER 41' >"$odd/answer.h"
echo '#define MORE 1' >"$odd/sub/more.h"
cp "$odd/answer.h" "$dir/answer-up.h"
cat >"$odd/my fix.c" <<'C'
#include <vmpoke/hotfix.h>
#include "answer.h"
#include "sub/more.h"
#include "../answer-up.h"
int fixed(void) { return ANSWER + MORE; }
VMPOKE_HOTFIX("odd", "1", "a test");
VMPOKE_REPLACE(old, fixed);
C
build "$odd/my fix.c" -o "$odd/my fix.o" && [ -s "$odd/my fix.o" ]
ok $? "any path will do, and files beside the source are included"
[ "$(find "$odd" -mindepth 1 -printf x)" = xxxxx ]
ok $? "nothing but the object is written beside it"
(cd "$odd" && build "my fix.c" && [ -s "my fix.o" ])
ok $? "-o is the source's name with .o, here"

cat >"$dir/bad.c" <<'C'
#include "bad.h"
int fixed(void) { return nothing; }
C
echo 'int early(void) { return neither; }' >"$dir/bad.h"
(cd "$dir/one" && build ../bad.c)
[ $? -eq 1 ] && grep -q '^\.\./bad\.c:2:26: error: ' "$dir/log" && grep -q '^\.\./bad\.h:1:26: error: ' "$dir/log" &&
	! grep -q vmpoke-build "$dir/log" && [ "$(tail -n 1 "$dir/log")" = "vmpoke hotfix build: ../bad.c does not compile" ] &&
	[ ! -e "$dir/one/bad.o" ]
ok $? "the compiler's errors are told with the user's own paths: exit code 1, no object"

# --- errors -------------------------------------------------------------------------------------------

refused() { # CODE PATTERN TEXT COMMAND...: one line, no object
	local code=$1 pattern=$2 text=$3 rc
	shift 3
	rm -f "$dir/refused.o"
	"$@" >"$dir/out" 2>"$dir/log"
	rc=$?
	[ $rc -eq "$code" ] && [ "$(wc -l <"$dir/log")" -eq 1 ] && grep -qE "^vmpoke hotfix( build)?: .*$pattern" "$dir/log" &&
		[ ! -e "$dir/refused.o" ]
	ok $? "$text: exit code $code"
}
with=("$vmpoke" hotfix build "$dir/warn.c" -o "$dir/refused.o")
refused 7 'nowhere: No such' "no such folder of headers" "${with[@]}" --headers "$dir/nowhere"
refused 7 'no headers of a kernel' "a folder that holds no headers" "${with[@]}" --headers "$dir"
refused 7 'no headers of a kernel' "the half of Debian's headers that is common" \
	"${with[@]}" --headers "${headers%-amd64}-common"
refused 7 'not a folder' "a file for a folder" "${with[@]}" --headers "$dir/warn.c"
ln -s "$headers" "$dir/a link"
build "$dir/warn.c" -o "$dir/linked.o" && "${with[@]}" --headers "$dir/a link" >"$dir/log" 2>&1 &&
	cmp "$dir/linked.o" "$dir/refused.o" >"$dir/log"
ok $? "a link to the headers, with a blank in its name, will do"
refused 6 'there is no compiler no-such-cc' "no such compiler" "${with[@]}" --headers "$headers" --cc no-such-cc
refused 2 'only letters' "a compiler with odd characters" "${with[@]}" --headers "$headers" --cc 'gcc;reboot'
refused 6 'there is no .*, which built this kernel' "the kernel's compiler is not here" \
	env PATH=/nowhere "${with[@]}" --headers "$headers"
mkdir "$dir/bin" && ln -s "$(command -v gcc-12 || command -v gcc)" "$dir/bin/gcc-12"
refused 6 'there is no make' "no make" env PATH="$dir/bin" "${with[@]}" --headers "$headers" --cc gcc-12
refused 6 'TMPDIR .*a blank' "a temporary folder that make cannot take" \
	env TMPDIR="$dir/tmp/a blank" "${with[@]}" --headers "$headers"
refused 7 'none.c: No such' "no such source" "$vmpoke" hotfix build "$dir/none.c" -o "$dir/refused.o" --headers "$headers"
mkdir "$dir/dir.c"
refused 7 'not a file' "a folder for a source" "$vmpoke" hotfix build "$dir/dir.c" -o "$dir/refused.o" --headers "$headers"
refused 2 'ends in .c' "a source that is no C" "$vmpoke" hotfix build "$dir/warn.o" --headers "$headers"
refused 7 'cannot be written' "an object that cannot be written" \
	"$vmpoke" hotfix build "$dir/warn.c" -o "$dir/no/such.o" --headers "$headers"
refused 2 '--headers is missing' "no headers given" "$vmpoke" hotfix build "$dir/warn.c"
refused 2 'no name of a module' "an odd name of a module" "${with[@]}" --headers "$headers" --module 'a b'
refused 2 'there is no command "paint"' "no such subcommand" "$vmpoke" hotfix paint
echo 'int fixed(void) { return 1; }' >"$dir/nothing.c"
refused 3 'no VMPOKE_HOTFIX' "a source that does not say what it is" \
	"$vmpoke" hotfix build "$dir/nothing.c" -o "$dir/refused.o" --headers "$headers"

# What compiles and cannot be a hotfix: every reason, each in a line, with the function it is about.
cannot() { # NAME PATTERN...: the source is on stdin
	local name=$1 pattern rc
	shift
	{
		echo '#include <vmpoke/hotfix.h>'
		cat
	} >"$dir/$name.c"
	rm -f "$dir/refused.o"
	build "$dir/$name.c" -o "$dir/refused.o"
	rc=$?
	[ $rc -eq 3 ] && [ ! -e "$dir/refused.o" ] && [ "$(grep -c '^vmpoke hotfix build: ' "$dir/log")" -ge $# ]
	rc=$?
	for pattern; do
		grep -qE "$pattern" "$dir/log" || rc=1
	done
	ok $rc "$name: refused, exit code 3"
}
cannot own-percpu 'data\.\.percpu: per-CPU data of its own' <<'C'
#include <linux/percpu.h>
static DEFINE_PER_CPU(int, mine);
void fixed(void) { this_cpu_inc(mine); }
VMPOKE_HOTFIX("x", "1", "a test"); VMPOKE_REPLACE(old, fixed);
C
cannot exception-table '__ex_table of fixed' <<'C'
#include <linux/uaccess.h>
int fixed(int __user *p)
{
	if (!user_access_begin(p, 4))
		return 1;
	unsafe_put_user(1, p, bad);
	user_access_end();
	return 0;
bad:
	user_access_end();
	return 1;
}
VMPOKE_HOTFIX("x", "1", "a test"); VMPOKE_REPLACE(old, fixed);
C
cannot several '___ksymtab\+fixed' '\.init\.text: nothing runs' <<'C'
#include <linux/init.h>
#include <linux/export.h>
int fixed(void) { return 1; }
EXPORT_SYMBOL(fixed);
int __init start(void) { return 2; }
VMPOKE_HOTFIX("x", "1", "a test"); VMPOKE_REPLACE(old, fixed);
C
cannot own-static-call 'static_call' <<'C'
#include <linux/static_call.h>
int fixed(void) { return 1; }
DEFINE_STATIC_CALL(mine, fixed);
VMPOKE_HOTFIX("x", "1", "a test"); VMPOKE_REPLACE(old, fixed);
C
cannot no-function 'function' <<'C'
int fixed(void) { return 1; }
VMPOKE_HOTFIX("x", "1", "a test");
C
cannot odd-name 'name "a b"' <<'C'
int fixed(void) { return 1; }
VMPOKE_HOTFIX("a b", "1", "a test"); VMPOKE_REPLACE(old, fixed);
C
cannot twice 'old' <<'C'
int fixed(void) { return 1; }
VMPOKE_HOTFIX("x", "1", "a test"); VMPOKE_REPLACE(old, fixed); VMPOKE_REPLACE(old, fixed);
C

# --- ended in the middle ------------------------------------------------------------------------------

# A compiler that takes its time, and says that it has begun.
cat >"$dir/bin/slow" <<SH
#!/bin/sh
[ "\$1" = --version ] && exec echo slow 1.0
echo \$\$ >"$dir/began"
sleep 60
SH
chmod +x "$dir/bin/slow"
for signal in INT TERM HUP; do
	rm -f "$dir/began"
	# With job control, or the shell makes it ignore SIGINT.
	set -m
	"${with[@]}" --headers "$headers" --cc "$dir/bin/slow" >"$dir/out" 2>"$dir/log" &
	pid=$!
	set +m
	for ((i = 0; i < 200; i++)); do
		[ -s "$dir/began" ] && break
		sleep 0.05
	done
	kill -$signal $pid
	wait $pid
	rc=$?
	# Killed it is; to be gone may take it a moment.
	for ((i = 0; i < 100; i++)); do
		kill -0 "$(cat "$dir/began")" 2>/dev/null || break
		sleep 0.05
	done
	[ $rc -eq $((128 + $(kill -l $signal))) ] && [ -s "$dir/began" ] && ! kill -0 "$(cat "$dir/began")" 2>>"$dir/log" &&
		[ ! -e "$dir/refused.o" ]
	ok $? "SIG$signal ends it and its compiler; it dies of the signal"
done

# --- the rest -----------------------------------------------------------------------------------------

build "$dir/warn.c" -o "$dir/json.o" --json && jq -e --arg r "$release" \
	'.release == $r and .functions == 1 and .bytes > 1000 and (.compiler | length > 3)' "$dir/out" >"$dir/log"
ok $? "--json tells the release, the compiler and the size"
build "$dir/warn.c" -o "$dir/kept.o" --keep && kept=$(sed -n 's/^vmpoke hotfix build: kept //p' "$dir/log") &&
	[ -s "$kept/warn.o" ] && rm -r "$kept"
ok $? "--keep leaves the temporary folder, and says where"
"$vmpoke" hotfix --help >"$dir/log" && grep -q '^  build' "$dir/log" && "$vmpoke" hotfix build --help | grep -q -- --headers
ok $? "--help"
ls -A "$dir/tmp" >"$dir/log"
[ ! -s "$dir/log" ]
ok $? "no temporary file is left"
exit $failed
