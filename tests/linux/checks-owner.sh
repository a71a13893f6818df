# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced, behind checks.sh and checks-kill.sh: the owner of the guest g is at work, too.
#
#	check_reader TEXT	who reads what vmpoke prints goes away: the VM runs, its owner's gdbstub is
#				as it was
#	check_cont TEXT		the owner lets the VM go on amid windows: all or nothing, as the exit code
#				says, and nothing hangs. `owner` is a process to be killed at the end
#	marks			the marks that vmpokes have left, whatever their names

owner=

marks() { find "$VMPOKE_STATE_DIR" -maxdepth 1 -type f -size +0; }

# --- a reader that goes away --------------------------------------------------

# What the owner's stub answers to a packet, if it is like that.
stub_says() { # PACKET REGEX
	local reply
	printf '+$%s' "$1" >&"$link_in"
	while IFS= read -r -d '#' -t 20 reply <&"$link_out"; do
		[[ $reply =~ [$]($2)$ ]] && echo "${BASH_REMATCH[1]}" && return
	done
}

# What addresses are to that stub, 0: virtual, 1: physical. To ask is to stop the VM; it goes on.
stub_mode() { # NAME
	local link_in link_out link_pid
	guest_connect "$1" gdb
	stub_says 'qqemu.PhyMemMode#2c' '[01]'
	stub_says 'D;1#b0' OK >"$tmp/detached"
	guest_disconnect
}

check_reader() { # TEXT
	"$vmpoke" sym --all "$(target g gdb)" 2>"$tmp/err" | head -n 1 >"$tmp/out"
	same "$1: a reader goes away amid the symbols: he had a line" "$(wc -l <"$tmp/out")" 1
	same "$1: the VM runs" "$(guest_status g)" running
	same "$1: its owner's stub is as it was" "$(stub_mode g)" 0
	same "$1: and the VM runs" "$(guest_status g)" running
	same "$1: no mark is left" "$(marks)" ""
}

# --- an owner who sends cont ----------------------------------------------------

# Every few ms, on a monitor of the owner's own; as long as somebody listens.
send_cont() {
	echo '{"execute":"qmp_capabilities"}'
	while echo '{"execute":"query-status"}{"execute":"cont"}'; do sleep 0.002; done 2>/dev/null
}

# Switch meanwhile. What the exit code says must be so: done; the old bytes stand, and nothing is held; or
# it is for recover.
switch_amid_cont() { # ON|OFF
	local code before=$now
	send_cont | socat - UNIX-CONNECT:"$(guest_dir g)/watch" >"$tmp/cont" 2>&1 &
	owner=$!
	until_true 20 grep -q return "$tmp/cont"
	VP_LIMIT=120 key_set "$1"
	code=$?
	kill $owner
	wait $owner 2>/dev/null
	owner=
	broken=$((broken + $(grep -c '"running": false' "$tmp/cont"))) codes+=" $code"
	cat "$tmp/out"
	case $code in
	0 | 3 | 5) [ -z "$(marks)" ] || { echo "exit code $code, but there is a mark"; return 1; } ;;
	4 | 9) [ -z "$(marks)" ] || vp recover "$to" || return ;;
	*) echo "exit code $code"; return 1 ;;
	esac
	whole || return
	case $code in
	0) [ "$now" = "$1" ] || { echo "done, it says, but it is $now"; return 1; } ;;
	3 | 4 | 5) [ "$now" = "$before" ] || { echo "exit code $code, but it is $now"; return 1; } ;;
	esac
}

check_cont() { # TEXT
	local proto i what broken codes
	for proto in qmp gdb; do
		to=$(target g $proto)
		for now in on off; do
			key_set $now && guest_text g "$tmp/$now"
			ok "$1, $proto: key set $now" $?
		done
		broken=0 codes=
		for ((i = 0; i < 20 && (i < 4 || broken == 0); i++)); do
			[ "$now" = on ] && what=off || what=on
			switch_amid_cont $what >"$tmp/check" 2>&1 && continue
			ok "$1, $proto: its owner lets it go on amid key set $what" 1
			sed 's/^/#  /' "$tmp/check"
			vp recover "$to" | sed 's/^/#  /'
		done
		ok "$1, $proto: its owner let it go on amid windows, $broken times (exit codes$codes)" \
			"$([ $broken -gt 0 ]; echo $?)"
		check "$1, $proto: it can be switched off" key_set off
		check "$1, $proto: all sites are as the key says, and the VM runs" whole
	done
}
