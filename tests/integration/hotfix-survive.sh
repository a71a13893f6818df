#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Hotfixes that are in a guest's memory, and in no ledger that is at hand: after loadvm, and after a
# migration to another QEMU. `hotfix list` and `status` show them there, programs of the guest still see
# them, `hotfix remove` takes them out.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/checks.sh"
. "$here/../linux/checks-hotfix.sh"

hmp() { # NAME COMMAND: what it says; nothing is good
	guest_qmp "$1" "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"$2\"}}" |
		jq -r .return | tr -d '\r'
}

# Another host: it has no ledger of this VM.
elsewhere() {
	VMPOKE_RUNTIME_DIR=$tmp/run$1 VMPOKE_STATE_DIR=$tmp/state$1
}

# "NAME STANDS", oldest first
listed() { # TARGET
	vp hotfix list "$1" --json 2>"$tmp/err" | jq -r '.hotfixes[] | .name + " " + .stands'
	cat "$tmp/err"
}

shown() { # NAME HOTFIX...
	local name=$1
	shift
	guest_run "$name" "for name in $*; do shows \$name again; done" | tr '\n' ' ' | sed 's/ $//'
}

names_both() { # the last status
	grep -q proc-version "$tmp/status" && grep -q three-together "$tmp/status" || { cat "$tmp/status" && return 1; }
}

both="proc-version three-together"
both_are="proc-version applied
three-together applied"

hotfix_headers generic
check "two hotfixes are built" hotfix_build $both
# What is written to it goes to a qcow2 that QEMU makes and forgets: room for snapshots.
truncate -s 64M "$tmp/disk"
disk=(-drive if=none,id=disk,file="$tmp/disk",format=raw,snapshot=on)
guest_start g generic "${disk[@]}" && guest_symbols g
ok "boots" $? || exit 1
check "the load is at work" guest_run g 'load start; load settle'
guest_run g 'load stop'
hotfix_warnings >"$tmp/warnings"
guest_text g "$tmp/before"
for name in $both; do
	check "$name is applied" hotfix_apply "$name"
done
same "both are seen" "$(shown g $both)" "fixed fixed"

# --- savevm, loadvm ----------------------------------------------------------------

same "savevm" "$(hmp g 'savevm one')" ""
check "three-together is removed" hotfix_remove three-together
same "it is not seen" "$(shown g $both)" "fixed broken"
same "loadvm" "$(hmp g 'loadvm one')" ""
same "the guest runs" "$(guest_status g)" running
same "both are seen after loadvm" "$(shown g $both)" "fixed fixed"
same "both are listed, though the ledger says that one was removed" "$(listed "$(target g qmp)")" "$both_are"
check "three-together is removed again" hotfix_remove three-together
same "it is not seen" "$(shown g $both)" "fixed broken"
same "and not listed" "$(listed "$(target g qmp)")" "proc-version applied"

elsewhere 2
same "loadvm" "$(hmp g 'loadvm one')" ""
same "without a ledger: both are listed" "$(listed "$(target g gdb)")" "$both_are"
vp status "$(target g gdb)" >"$tmp/status" 2>&1
ok "without a ledger: status" $?
check "without a ledger: status names both" names_both
check "without a ledger: three-together is removed" hotfix_remove three-together
same "it is not seen" "$(shown g $both)" "fixed broken"
check "it is applied again" hotfix_apply three-together
same "both are seen" "$(shown g $both)" "fixed fixed"

# --- migration -----------------------------------------------------------------------

elsewhere 3
guest_await d g generic "${disk[@]}"
ok "another QEMU waits" $?
guest_qmp g "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"unix:$(guest_dir d)/in\"}}" >"$tmp/out"
migrated() { [ "$(guest_qmp g '{"execute":"query-migrate"}' | jq -r .return.status)" = completed ]; }
check "the guest migrates to it" until_true "$GUEST_LIMIT" migrated
runs_there() { [ "$(guest_status d)" = running ]; }
check "and runs there" until_true 60 runs_there
guest_stop g
cp "$tmp/g.symbols" "$tmp/d.symbols" && cp "$tmp/g.phys" "$tmp/d.phys"
same "both are seen there" "$(shown d $both)" "fixed fixed"
same "both are listed there" "$(listed "$(target d qmp)")" "$both_are"
vp status "$(target d qmp)" >"$tmp/status" 2>&1
ok "status there" $?
check "status names both" names_both
check "the first one is removed there" vp hotfix remove "$(target d qmp)" proc-version
same "it is not seen" "$(shown d $both)" "broken fixed"
check "and the other one" vp hotfix remove "$(target d gdb)" three-together
same "nothing is seen" "$(shown d $both)" "broken broken"
same "nothing is listed" "$(listed "$(target d qmp)")" ""
guest_text d "$tmp/after"
check "the guest's code is as it was, byte for byte" cmp "$tmp/before" "$tmp/after"
check "the guest works" guest_run d 'load start; load check'
guest_warnings d >"$tmp/warnings.now"
check "no new warning in the guest's log" diff "$tmp/warnings" "$tmp/warnings.now"
exit $failed
