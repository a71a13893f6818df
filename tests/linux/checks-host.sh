# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced, behind checks.sh: what vmpoke does to the QEMU of the guest g, and while that does
# something else. Behind checks-guest.sh, too.
#
#	check_leaks TEXT	nothing of it is left in QEMU, or in the folders of vmpoke
#	check_migration TEXT	while it migrates and afterwards nothing is written, and it never runs
#				twice. Its end: the guest stands still, as its copy would be running

# --- what is left behind -----------------------------------------------------

# All that a client of QEMU can leave in it; and in vmpoke's folders, where a ledger that has become long
# is put aside now and then (*.jsonl.N).
residue() {
	echo "descriptors: $(find "/proc/$(guest_pid g)/fd" -mindepth 1 | wc -l)"
	for what in query-chardev query-fdsets; do
		echo "$what: $(guest_qmp g "{\"execute\":\"$what\"}" | jq -c '.return | length')"
	done
	echo "marks: $(find "$VMPOKE_STATE_DIR" -name '*.mark' | wc -l)"
	echo "files: $(find "$VMPOKE_RUNTIME_DIR" "$VMPOKE_STATE_DIR" -type f ! -name '*.jsonl.*' 2>/dev/null | wc -l)"
}

# QEMU drops what a client had a moment after he is gone.
residue_is() { # FILE
	residue >"$tmp/residue.now"
	diff "$1" "$tmp/residue.now"
}

check_leaks() { # TEXT
	local to proto i link_in link_out link_pid
	for proto in gdb qmp; do
		to=$(target g $proto)
		vp info "$to" >"$tmp/out" 2>&1
		residue >"$tmp/residue"
		for ((i = 0; i < 3; i++)); do
			vp info "$to" >"$tmp/out" 2>&1 || break
		done
		same "$1, $proto: info, 3 times" $i 3
		check "$1, $proto: nothing of it is left in QEMU" until_true 20 residue_is "$tmp/residue"
	done

	# QEMU keeps some things as long as any monitor is connected.
	guest_connect g watch
	for ((i = 0; i < 2; i++)); do
		vp info "$to" >"$tmp/out" 2>&1 && vp key set "$to" sched_schedstats on >"$tmp/out" 2>&1 &&
			vp key set "$to" sched_schedstats off >"$tmp/out" 2>&1 || break
	done
	find "/proc/$(guest_pid g)/fd" -mindepth 1 | wc -l >"$tmp/descriptors"
	guest_disconnect
	same "$1: info and key set, 2 times, while another monitor is connected" $i 2
	[ $i -eq 2 ] || sed 's/^/#  /' "$tmp/out"
	check "$1: nothing of it is left in QEMU" until_true 20 residue_is "$tmp/residue"
	ok "$1: nothing was there while the other monitor was, but that monitor" \
		"$([ $(($(cat "$tmp/descriptors") - $(sed -n 's/descriptors: //p' "$tmp/residue"))) -le 1 ]; echo $?)"
}

# --- migration ---------------------------------------------------------------

migration() { guest_qmp g '{"execute":"query-migrate"}' | jq -r '.return.status // "none"'; }

migration_is() { [ "$(migration)" = "$1" ]; } # STATUS

migrate_bandwidth() { # BYTES-PER-SECOND
	guest_qmp g "$(printf '{"execute":"migrate-set-parameters","arguments":{%s:%d,%s:20000}}' \
		'"max-bandwidth"' "$1" '"downtime-limit"')" >"$tmp/out"
}

check_migration() { # TEXT
	local proto to mov imm codes
	# What nobody else owns, so that the migration is the only reason.
	mov=$(find_mov "$(vp read "$(target g qmp)" $func --len 64 --json | jq -r .hex)")
	ok "$1: a mov to poke: ${mov:-none}" "$([ -n "$mov" ]; echo $?)"
	imm=${mov#* } mov=$func+${mov% *}
	guest_text g "$tmp/before"
	migrate_bandwidth 100000 &&
		guest_qmp g '{"execute":"migrate","arguments":{"uri":"exec:cat >/dev/null"}}' >"$tmp/out"
	check "$1: a migration begins" until_true 60 migration_is active
	for proto in qmp gdb; do
		to=$(target g $proto)
		refused "$1, $proto: while it migrates: key set" "migrat" key set "$to" sched_schedstats on
		refused "$1, $proto: while it migrates: poke" "migrat" \
			poke "$to" "$mov" --old "$imm" --new "${imm:0:2}2a000000"
		same "$1, $proto: it migrates, and runs" "$(migration) $(guest_status g)" "active running"
	done
	guest_text g "$tmp/after"
	check "$1: nothing was written" cmp "$tmp/before" "$tmp/after"
	same "$1: the guest sees nothing" "$(guest_schedstats g)" 0

	migrate_bandwidth 10000000000
	check "$1: the migration ends" until_true "$GUEST_LIMIT" migration_is completed
	guest_text g "$tmp/before"
	for proto in qmp gdb; do
		to=$(target g $proto)
		refused "$1, $proto: after it: key set" "is paused" key set "$to" sched_schedstats on
		codes=$exit_code
		refused "$1, $proto: after it: poke" "is paused" \
			poke "$to" "$mov" --old "$imm" --new "${imm:0:2}2a000000"
		codes+=$exit_code
		# All say that not a byte was changed. From QEMU 8.1 on a stub announces nothing, so
		# that it is only after connecting, or in the window, that such a VM turns out to be
		# none to use.
		case $proto-$codes in
		qmp-33 | gdb-33 | gdb-44 | gdb-55) ok "$1, $proto: after it: by exit codes $codes" 0 ;;
		*) ok "$1, $proto: after it: by exit codes $codes" 1 ;;
		esac
		same "$1, $proto: the source does not run" "$(guest_status g)" postmigrate
		vp info "$to" >"$tmp/out" 2>&1
		same "$1, $proto: nor after info" "$(guest_status g)" postmigrate
	done
	guest_text g "$tmp/after"
	check "$1: nothing was written" cmp "$tmp/before" "$tmp/after"
}
