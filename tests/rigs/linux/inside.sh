# SPDX-License-Identifier: Apache-2.0
# To be sourced on an emulated host: a Linux guest in our own VMM, or in `guest_vmm`, which has the guest's
# console on its standard input and output.
#
#	guest_boot ARG...	start it (`vmpoke run` with these) and wait until it answers
#	guest_resume ARG...	the same for one that goes on from where it was saved
#	guest COMMAND		run a shell command in it: its output and exit code
#	guest_end		wait for the VMM's end: its exit code
#	ok TEXT COMMAND...	one line that says whether COMMAND succeeded
dir=$(mktemp -d)
sock=$dir/vm.sock
vmpoke=/vmpoke/build/vmpoke
guest_limit=${GUEST_LIMIT:-240} # seconds until a guest counts as hung
guest_vmm=("$vmpoke" run --socket "$sock")
failed=0

ok() { # TEXT COMMAND...
	local text=$1
	shift
	if "$@"; then
		echo "ok - $text"
	else
		echo "not ok - $text"
		failed=1
	fi
}

# Wait for answer number $1, the $2nd of that number, and give its exit code.
guest_wait() { # NUMBER [TIMES]
	local i code times=${2-1}
	for ((i = 0; i < guest_limit * 10; i++)); do
		code=$(tr -d '\r' <"$dir/console" | sed -n "s/^=$1= \([0-9]*\)$/\1/p" | sed -n "${times}p")
		[ -z "$code" ] || return "$code"
		kill -0 "$guest_pid" 2>/dev/null || break
		sleep 0.1
	done
	echo "# the guest does not answer; vmpoke says, then its console:" >&2
	tail -n 30 "$dir/messages" "$dir/console" | sed 's/^/# /' >&2
	return 125
}

guest_boot() { # ARG...
	: >"$dir/console"
	guest_resume "$@"
	guest_wait 0
}

guest_resume() { # ARG...
	rm -f "$dir/input" "$sock"
	mkfifo "$dir/input"
	# The host's own commands come first: emulated hosts are slow.
	(
		renice -n 10 -p $BASHPID >/dev/null
		exec "${guest_vmm[@]}" "$@"
	) <"$dir/input" >>"$dir/console" 2>"$dir/messages" &
	guest_pid=$!
	exec 7>"$dir/input"
}

guest_send() { # COMMAND
	printf '%s\n' "$1" >&7
}

# The number of the last answer on the console, counted since the guest's last boot.
guest_last() {
	sed -n 's/^=\([0-9]*\)= .*/\1/p' "$dir/console" | tail -n 1
}

guest() { # COMMAND
	local code number times
	number=$(($(guest_last) + 1))
	times=$(($(grep -c "^=$number= " "$dir/console") + 1))
	guest_send "$1"
	guest_wait "$number" "$times"
	code=$?
	[ $code -ne 125 ] || return
	# After a reboot numbers come again: the last answer of this number.
	tr -d '\r' <"$dir/console" | awk -v last="=$((number - 1))=" -v this="=$number=" '
		$1 == this { answer = text }
		{ text = text $0 "\n" }
		$1 == last { text = "" }
		END { printf "%s", answer }'
	return $code
}

guest_end() {
	local i
	for ((i = 0; i < guest_limit * 10; i++)); do
		kill -0 "$guest_pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -9 "$guest_pid" 2>/dev/null
	wait "$guest_pid"
	local code=$?
	exec 7>&-
	return $code
}

# Run vmpoke and show what it says, each line behind "# NAME> "; the text is also in $dir/NAME.
show() { # NAME COMMAND...
	local name=$1
	shift
	timeout 300 "$@" >"$dir/$name" 2>&1
	local code=$?
	sed "s/^/# $name> /" "$dir/$name"
	return $code
}

# Is a shell of the guest another process than its parent, by getpid and getppid?
parent() {
	local pids
	read -r -a pids <<<"$(guest 'sh -c "echo \$PPID \$\$"')"
	[ ${#pids[@]} -eq 2 ] && [ "${pids[0]}" != "${pids[1]}" ]
}
