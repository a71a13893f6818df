#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A livepatch module (.ko), unchanged, is applied as a hotfix on a stock Debian kernel that takes signed
# modules only, and removed; what cannot be had is refused by name. Then, on a guest that takes any, the
# guest's own livepatch has the same .ko, and is told apart.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"

hotfix_headers generic
common=$(dirname "$headers")/$(basename "${headers%-amd64}")-common

module() { # NAME SOURCE: $tmp/NAME.ko, by the kernel's own kbuild, without debug information
	mkdir "$tmp/$1" && cp "$2" "$tmp/$1/$1.c" && echo "obj-m := $1.o" >"$tmp/$1/Makefile" &&
		make -C "$common" M="$tmp/$1" KBUILD_OUTPUT="$headers" modules >"$tmp/log" 2>&1 &&
		strip --strip-debug -o "$tmp/$1.ko" "$tmp/$1/$1.ko" || { tail "$tmp/log"; return 1; }
}
# The same, changed.
variant() { # NAME SED
	sed "$2" "$here/../livepatch/livepatch_demo.c" >"$tmp/$1.c" && module "$1" "$tmp/$1.c"
}

check "a livepatch module is built" module livepatch_demo "$here/../livepatch/livepatch_demo.c"
check "one with a WARN" variant warns 's/seq_printf(m/WARN_ON(!m); seq_printf(m/'
check "one with callbacks" variant calls \
	's/^static struct klp_func/static int pre(struct klp_object *o) { return 0; }\n&/; s/{ .funcs = funcs }/{ .funcs = funcs, .callbacks = { .pre_patch = pre } }/'
check "one of no function that is there" variant nobody 's/cmdline_proc_show/cmdline_proc_shown/'
check "one for a module" module livepatch_virtio "$here/../livepatch/livepatch_virtio.c"
ko=$tmp/livepatch_demo.ko
cp "$ko" "$tmp/as-built"

# --- a guest that takes signed modules only -------------------------------------------

# The tests' guests are of unsigned packages, and load modules to talk to us: it begins behind that, and cannot
# be taken back (kernel/module/signing.c, bool_enable_only).
guest_start g generic && guest_symbols g
ok "boots" $? || exit 1
check "signatures are enforced from here on" guest_run g \
	'echo 1 >/sys/module/module/parameters/sig_enforce && ! echo 0 >/sys/module/module/parameters/sig_enforce && grep -q Y /sys/module/module/parameters/sig_enforce'
qmp=$(target g qmp)
send() { # GUEST FILE: it goes to /tmp, in pieces
	local piece
	guest_run "$1" "rm -f /tmp/sent" || return
	base64 -w 2000 "$2" >"$tmp/pieces"
	while read -r piece; do
		guest_run "$1" "echo $piece >>/tmp/sent" || return
	done <"$tmp/pieces"
	guest_run "$1" "base64 -d /tmp/sent >/tmp/${2##*/}"
}
says() { [[ "$(guest_run "$1" 'cat /proc/cmdline')" == *"$2"* ]]; }

check "it gets the module" send g "$ko"
check "which it does not load" guest_run g '! insmod /tmp/livepatch_demo.ko && ! lsmod | grep livepatch'
guest_text g "$tmp/before"
check "it fits" vp hotfix check "$qmp" "$ko"
check "it fits by the kernel's file" vp hotfix check --kernel "$("$here/../linux/kernel.sh" generic)/vmlinuz" "$ko"
check "as it does with all its debug information" vp hotfix check "$qmp" "$tmp/livepatch_demo/livepatch_demo.ko"
refused "a WARN is refused by name" '__bug_table of demo_cmdline' hotfix check "$qmp" "$tmp/warns.ko"
refused "callbacks are refused by name" 'callbacks' hotfix apply "$qmp" "$tmp/calls.ko"
refused "an unknown function is" 'cmdline_proc_shown' hotfix check "$qmp" "$tmp/nobody.ko"
refused "expect cannot write into it" 'livepatch module' hotfix expect "$qmp" "$ko"
check "nothing has changed" says g console=ttyS0
check "it is applied" vp hotfix apply "$qmp" "$ko"
check "the guest sees it" says g 'live patched 41'
check "and its data" says g 'live again 42'
check "applied once more is no news" vp hotfix apply "$qmp" "$ko"
vp hotfix list "$qmp" >"$tmp/list"
check "it is listed" grep -q '^  livepatch_demo 1.2 .*applied' "$tmp/list"
refused "it is in no list of the guest's own" 'no' hotfix remove "$qmp" nobody
check "the guest has no livepatch" guest_run g '[ -z "$(ls /sys/kernel/livepatch)" ]'
check "removed" vp hotfix remove "$qmp" livepatch_demo
check "the guest has its own again" says g console=ttyS0
status() { guest_run g 'cat /sys/bus/virtio/devices/virtio0/status'; }
status=$(status)
check "one for a function of a module is applied" vp hotfix apply "$qmp" "$tmp/livepatch_virtio.ko"
check "the guest sees it" grep -q '^patched 0' <(status)
check "and is removed" vp hotfix remove "$qmp" livepatch_virtio
same "the module has its own again" "$(status)" "$status"
guest_text g "$tmp/after"
check "every byte of it" cmp "$tmp/before" "$tmp/after"
check "the .ko is unchanged" cmp "$ko" "$tmp/as-built"
guest_stop g

# --- the guest's own livepatch ---------------------------------------------------------

guest_start own generic && guest_symbols own
ok "a guest that takes any module boots" $? || exit 1
qmp=$(target own qmp)
check "it gets the module" send own "$ko"
check "and loads it" guest_run own 'insmod /tmp/livepatch_demo.ko'
check "its livepatch is in place" until_true 20 says own 'this has been live'
vp hotfix list "$qmp" >"$tmp/list" 2>&1
cat "$tmp/list"
check "list: no hotfix of ours" grep -q '^0 hotfix' "$tmp/list"
check "list: the guest's own, by name" grep -q 'livepatch livepatch_demo.*cmdline_proc_show' "$tmp/list"
vp status "$qmp" >"$tmp/status" 2>&1
check "status: the same" grep -q 'livepatch livepatch_demo.*cmdline_proc_show' "$tmp/status"
refused "the same .ko is refused, by whose the function is" 'livepatch livepatch_demo' hotfix check "$qmp" "$ko"
check "the guest takes its own away" guest_run own \
	'echo 0 >/sys/kernel/livepatch/livepatch_demo/enabled; for i in 1 2 3 4 5 6 7 8 9 10; do [ -d /sys/kernel/livepatch/livepatch_demo ] || break; sleep 1; done; rmmod livepatch_demo'
check "then it fits" vp hotfix check "$qmp" "$ko"
vp hotfix list "$qmp" >"$tmp/list" 2>&1
check "list: nothing" sh -c "! grep -q livepatch '$tmp/list'"
exit $failed
