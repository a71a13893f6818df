#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `vmpoke hotfix build --patch` on the source of a stock Debian kernel: what becomes of each kind of diff,
# that the source is left alone and nothing is left behind; and a real change, built of its diff alone,
# that a guest is seen to get and to lose.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-hotfix.sh"
release=6.1.0-50-amd64

fetch() { # SCRIPT RELEASE; $fetched
	fetched=$("$here/../linux/$1" "$2" 2>"$tmp/log")
	case $? in
	0) ;;
	77)
		echo "SKIP: hotfix-diff: $(tail -n 1 "$tmp/log")"
		exit 0
		;;
	*)
		ok "$1 $2" 1
		cat "$tmp/log"
		exit 1
		;;
	esac
}
fetch headers.sh $release && headers=$fetched
fetch source.sh $release && source=$fetched
fetch kernel.sh $release && kernel=$fetched/vmlinuz

mkdir "$tmp/tmp"
export TMPDIR=$tmp/tmp # what is left in it was forgotten
touch "$tmp/begin"

# --- diffs ---------------------------------------------------------------------------------

# A diff of one file, by a script of sed: NAME FILE SCRIPT...
write_diff() {
	local name=$1 file=$2
	shift 2
	sed -E "$@" "$source/$file" >"$tmp/new.c"
	diff -u --label "a/$file" --label "b/$file" "$source/$file" "$tmp/new.c" >>"$tmp/$name.diff"
	[ -s "$tmp/$name.diff" ] || ok "$name: there is a diff of $file" 1
}

build() { # NAME ARG...
	VP_LIMIT=300 vp hotfix build --source "$source" --headers "$headers" --patch "$tmp/$1.diff" -o "$tmp/$1.o" "${@:2}"
}

# It builds, replaces these functions and no others, and fits the kernel's file.
builds() { # NAME FUNCTION...
	local name=$1
	shift
	check "$name: builds" build "$name"
	vp hotfix check --kernel "$kernel" "$tmp/$name.o" >"$tmp/check" 2>&1
	ok "$name: fits the kernel" $? || cat "$tmp/check"
	same "$name: replaces what changes" "$(sed -n 's/^  replaces \([^ ]*\) .*/\1/p' "$tmp/check" | sort | paste -sd' ')" "$*"
}

not_built() { # NAME EXIT-CODE PART
	rm -f "$tmp/$1.o"
	VP_LIMIT=300 vp hotfix build --source "$source" --headers "$headers" --patch "$tmp/$1.diff" -o "$tmp/$1.o" \
		>"$tmp/out" 2>"$tmp/err"
	same "$1: exit code" $? "$2"
	grep -q -- "$3" "$tmp/err" && [ ! -e "$tmp/$1.o" ]
	ok "$1: says why" $?
	sed 's/^/#  /' "$tmp/err"
}

# What Debian changed between this kernel and a later one.
write_diff auxv kernel/sys.c 's/memcpy\(mm->saved_auxv, user_auxv, len\)/memcpy(mm->saved_auxv, user_auxv, sizeof(user_auxv))/'
write_diff auxv-again kernel/sys.c 's/memcpy\(mm->saved_auxv, user_auxv, len\)/memcpy(mm->saved_auxv, user_auxv, sizeof(user_auxv) - 8)/'
write_diff two-files kernel/sys.c 's/memcpy\(mm->saved_auxv, user_auxv, len\)/memcpy(mm->saved_auxv, user_auxv, sizeof(user_auxv))/'
write_diff two-files ipc/util.c '/^struct kern_ipc_perm \*ipc_obtain_object_check/,/^}/s/ERR_PTR\(-EINVAL\)/ERR_PTR(-EIDRM)/'
# Lines move in a file that is full of WARN and __LINE__: only the one function changes.
write_diff lines fs/ext4/inode.c -e '1a /* one more line */' -e '/^static int ext4_nonda_switch/,/^}/s/return 0;/return 2;/'
write_diff new-data kernel/utsname_sysctl.c \
	-e '/^static int proc_do_uts_string/,/^}/s/^(\tint r;)/\1\n\n\tif (!++asked)\n\t\treturn -EBUSY;/' \
	-e 's/^static int proc_do_uts_string/static unsigned long asked;\n&/'
write_diff header-code ipc/util.h '/^static inline int ipc_checkid/,/^}/s/return /return id < 0 || /'
write_diff private-header ipc/util.h 's|^(struct ipc_params \{)|\1 /* of a new object */|'
# Names that several of the kernel's symbols have: a function that is replaced (s_show: four), and a function and a
# variable that are used (set_is_seen: three; set_root: four).
write_diff twin kernel/kallsyms.c '/^static int s_show/,/^}/s/(%px %c %s)(\\n", value,$)/\1 +\2/'
write_diff twins-used ipc/ipc_sysctl.c '/^bool setup_ipc_sysctls/,/^}/s/^\t\tfor .*\{$/&\n\t\t\ttbl[i].mode = 0400;/'
write_diff comment kernel/sys.c '1a /* nothing */'
write_diff value kernel/panic.c 's/^int panic_timeout = .*/int panic_timeout = 17;/'
write_diff start-up kernel/panic.c '/^static int __init oops_setup/,/^}/s/return -EINVAL/return -ENOENT/'
write_diff structure ipc/util.h 's/^(struct ipc_params \{)/\1\n\tlong more;/'
write_diff everywhere include/linux/sched.h '/^static inline pid_t task_pid_nr\(/,/^}/s/return tsk->pid;/return tsk->pid + 0;/'
write_diff broken kernel/sys.c 's/memcpy\(mm->saved_auxv, user_auxv, len\)/no_such(mm)/'
write_diff not-built arch/x86/kernel/../../../mm/kmemleak.c '1a int x;'
sed 's|arch/x86/kernel/../../../||' "$tmp/not-built.diff" >"$tmp/other" && mv "$tmp/other" "$tmp/not-built.diff"
sed 's/task_unlock(current)/task_unlock(current_task)/' "$tmp/auxv.diff" >"$tmp/elsewhere.diff"
sed 's|/kernel/sys.c|/../kernel/sys.c|' "$tmp/auxv.diff" >"$tmp/dots.diff"
sed '/^+++/s|/kernel/sys.c|/kernel/../../sys.c|' "$tmp/auxv.diff" >"$tmp/dots-inside.diff"
sed 's|[ab]/kernel/sys.c|/etc/passwd|' "$tmp/auxv.diff" >"$tmp/absolute.diff"
sed 's|/kernel/sys.c|/kernel/Makefile|' "$tmp/auxv.diff" >"$tmp/makefile.diff"
echo hello >"$tmp/no-diff.diff"

# --- what becomes of them ------------------------------------------------------------------------

builds auxv prctl_set_auxv
same "it is called as the diff" "$(vp hotfix check --kernel "$kernel" "$tmp/auxv.o" | head -n 1 | cut -d: -f1)" "auxv 1"
cp "$tmp/auxv.o" "$tmp/first.o"
# A compiler that leaves a trace.
printf '#!/bin/sh\ntouch %q\nexec gcc-12 "$@"\n' "$tmp/compiled" >"$tmp/cc" && chmod +x "$tmp/cc"
check "once more, by another compiler" build auxv --name auxv --cc "$tmp/cc"
ok "which is called" "$([ -e "$tmp/compiled" ]; echo $?)"
check "the same bytes" cmp "$tmp/first.o" "$tmp/auxv.o"
builds auxv-again prctl_set_auxv
why() { # NAME: what becomes of each function
	build "$1" --why 2>/dev/null | sed -n "s/^[a-z_/]*\.c: \([^:]*: [^:]*\): .*/\1/p" | sort
}
same "--why of it" "$(why auxv)" "prctl_set_auxv: replaced"
same "--why of it in JSON" "$(build auxv --why --json | jq -r '.why[] | "\(.name) \(.how) \(.changed)"')" \
	"prctl_set_auxv replaced true"
same "--why of what is compiled into others" "$(why header-code)" \
	"$(printf '%s\n' "ipc_obtain_object_check: replaced" "ipcctl_obtain_check: replaced")"
same "--why of what is refused" "$(why value)" ""
same "--why of what is left out" "$(why start-up)" "oops_setup: left out"
# The first is compiled into the second.
builds two-files ipc_obtain_object_check ipcctl_obtain_check prctl_set_auxv
check "lines: builds" build lines
same "lines: one function of a module" "$(readelf -x .vmpoke.symbols "$tmp/lines.o" >/dev/null && readelf -sW "$tmp/lines.o" |
	awk '$4 == "FUNC" && $8 !~ /cold/ {print $8}')" ext4_nonda_switch
builds new-data proc_do_uts_string
builds header-code ipc_obtain_object_check ipcctl_obtain_check
builds twin s_show
builds twins-used setup_ipc_sysctls
same "twins-used: says by whose code they are told" "$(readelf -p .vmpoke.strings "$tmp/twins-used.o" | grep -cE ' set_(is_seen|root)$')" 2
ok "twins-used: which is there" "$(readelf -S "$tmp/twins-used.o" | grep -q '\.vmpoke\.uses'; echo $?)"

not_built comment 3 'nothing to do: no code that this kernel runs changes'
not_built private-header 3 'nothing to do'
not_built value 3 'panic_timeout: what it begins with changes'
not_built start-up 3 'oops_setup: left out: it runs when the kernel starts'
not_built structure 3 'struct ipc_params changes'
not_built everywhere 3 'include/linux/sched.h: [0-9]* sources include it'
not_built not-built 3 'left out: this kernel is built without it'
not_built makefile 3 'neither a C source nor a header'
not_built broken 1 'kernel/sys.c does not compile'
not_built elsewhere 7 'does not apply: kernel/sys.c: hunk 1 (line [0-9]*) is not found'
not_built dots 7 'a path leads out of the source tree'
not_built dots-inside 7 'a path leads out of the source tree'
not_built absolute 7 'a path leads out of the source tree'
not_built no-diff 7 'not a unified diff'

headers=$("$here/../linux/headers.sh" generic) not_built auxv 7 'both must be of the kernel that the guest runs'
source=$here not_built auxv 7 'no source of a kernel'
# Before the compiler runs: the one that was seen above.
rm -f "$tmp/compiled"
vp hotfix build --source "$source" --headers "$("$here/../linux/headers.sh" generic)" --patch "$tmp/auxv.diff" \
	--cc "$tmp/cc" -o "$tmp/never.o" >"$tmp/out" 2>"$tmp/err"
same "another version: exit code" $? 7
[ ! -e "$tmp/compiled" ] && [ ! -e "$tmp/never.o" ]
ok "another version is refused before the compiler runs" $?

# --- what is left behind -----------------------------------------------------------------------------

for signal in TERM INT; do
	timeout --preserve-status -s $signal 3 "$vmpoke" hotfix build --source "$source" --headers "$headers" \
		--patch "$tmp/lines.diff" -o "$tmp/killed.o" >"$tmp/out" 2>&1
	[ ! -e "$tmp/killed.o" ] && [ -z "$(ls -A "$TMPDIR")" ]
	ok "SIG$signal in the middle leaves nothing" $?
done
same "nothing is left in the temporary folder" "$(ls -A "$TMPDIR")" ""
same "the source is as it was" "$(find "$source" -newer "$tmp/begin" | head -n 3)" ""

check "--keep leaves the folder" build auxv --keep
kept=$(echo "$TMPDIR"/vmpoke-build-*)
vp hotfix diff "$kept/tree/kernel/sys.before.o" "$kept/tree/kernel/sys.after.o" >"$tmp/diff"
same "which shows what differs: exit code" $? 1
same "the function" "$(sed -n 's/^\([^ ]*\): changed, first at .*/\1/p' "$tmp/diff")" prctl_set_auxv
same "and two instructions" "$(grep -c '^  [-+] ' "$tmp/diff")" 2
same "and what becomes of it" "$(grep -c '^prctl_set_auxv: replaced: its code changes$' "$tmp/diff")" 1
check "an object differs from itself in nothing" vp hotfix diff "$kept/tree/kernel/sys.after.o" "$kept/tree/kernel/sys.after.o"
rm -rf "$kept"

# --- in a guest ----------------------------------------------------------------------------------------

guest_start g $release && guest_symbols g
ok "boots" $? || exit 1
for name in auxv auxv-again two-files new-data header-code twin twins-used; do
	check "$name: fits the guest" vp hotfix check "$(target g qmp)" "$tmp/$name.o"
done
same "fails before" "$(hotfix_shows real-prctl-auxv)" broken
check "is applied" hotfix_apply auxv
same "passes" "$(hotfix_shows real-prctl-auxv)" fixed
check "another one of the same function, over it" hotfix_apply auxv-again
check "which goes" hotfix_remove auxv-again
same "passes still" "$(hotfix_shows real-prctl-auxv)" fixed
check "is removed" hotfix_remove auxv
same "fails again" "$(hotfix_shows real-prctl-auxv)" broken

# The right ones of several are meant: only they say what /proc/kallsyms shows; the tables of a new namespace are
# not seen by another's set_is_seen.
listed() { guest_run g 'head -n 1 /proc/kallsyms | grep -c " +$"'; }
new_modes() { guest_run g 'unshare -i stat -c %a /proc/sys/kernel/msgmax /proc/sys/kernel/shmmni' | paste -sd' '; }
same "twin: before" "$(listed) $(new_modes)" "0 644 644"
check "twin: is applied" hotfix_apply twin
check "twins-used: is applied" hotfix_apply twins-used
same "twin: is seen" "$(listed) $(new_modes)" "1 400 400"
check "twin: is removed" hotfix_remove twin
check "twins-used: is removed" hotfix_remove twins-used
same "twin: after" "$(listed) $(new_modes)" "0 644 644"

exit $failed
