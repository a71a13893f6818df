#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The table of coverage.sh, of what it left in a folder. FOLDER/functions gets a line for each function whose
# code changes: its source, its name, what became of it, and the reason; by tabs.
#
#	tests/coverage/report.sh FOLDER <PATHS
set -u
out=$1

folder_of() { echo "$out/${1//\//+}"; } # PATH

# Those whose own code changes, and is not left out: as `hotfix build --why` says. A variant counts as the function
# that it is of.
changed() { # FOLDER
	sed -nE 's/^[^:]*: ([^:]*): (replaced: its code changes|[a-z ]*: it changes, and is ).*/\1/p' \
		"$1/built" | sort -u
}

# Each reason, without the program's name, and without the file's.
reasons() { # FOLDER
	if [ -e "$1/check.code" ]; then
		sed -nE 's/^vmpoke hotfix check: ([^ ]*\.o: )?//p' "$1/check"
	else
		grep -vE ': (left out: |kept )' "$1/build" | sed -nE 's/^vmpoke hotfix build: ([^ ]*\.diff: )?//p'
	fi
}

# What kind of reason that is.
kind() {
	sed -E -e 's/.*(its entry (has no nop|is a call|is none)|is too short to be redirected|has no entry of ftrace).*/no entry of ftrace'\''s: not traced, so not replaced/' \
		-e 's/.*(disabled|DISABLED).*/its entry was disabled by ftrace/' \
		-e 's/.*(symbols (of the kernel )?are named|several (symbols|variables)|ambiguous|which of several|which one is told by|(has|have) the code that|is none of the|are local, or).*/several symbols of the kernel have that name/' \
		-e 's/.*other code stands there.*/other code stands there/' \
		-e 's/.*(what it begins with|its size) changes.*/a variable'\''s initial value or size changes/' \
		-e 's/^struct .* changes:.*/a structure changes/' \
		-e 's/.*the section .* changes.*/a section changes that only the start reads/' \
		-e 's/.*is reached by a pointer.*/a variant is reached by a pointer/' \
		-e 's/.*(no module|module .* not loaded|which is not loaded).*/its module is not loaded/' \
		-e 's/.*(no symbol|not found|no such symbol|has none: unknown symbol).*/the guest has no such symbol/' \
		-e 's/.*faults are repaired by a table.*/a table of faults (user copies in place)/' \
		-e 's/.*sources include it.*/a header that too many sources include/'
}

# The reason that names it; without one, what stands in the way of the others.
reason_of() { # FUNCTION REASONS
	local base=${1%%.*} own
	own=$(grep -m 1 -E "(^|[^A-Za-z0-9_])$base([^A-Za-z0-9_]|\$)" <<<"$2")
	if [ -n "$own" ]; then
		printf '%s\t%s\n' refused "$(kind <<<"$own")"
	else
		printf '%s\t%s\n' beside "$(head -n 1 <<<"$2" | kind)"
	fi
}

rows() { # PATH: a line for each function
	local path=$1 dir function why
	dir=$(folder_of "$path")
	why=$(reasons "$dir")
	for function in $(changed "$dir"); do
		if [ "$(cat "$dir/check.code" 2>/dev/null)" = 0 ]; then
			printf '%s\t%s\tfits\t\n' "$path" "$function"
		else
			printf '%s\t%s\t%s\n' "$path" "$function" "$(reason_of "$function" "$why")"
		fi
	done
}

# What became of a source as a whole.
fate() { # PATH
	local dir
	dir=$(folder_of "$1")
	case $(cat "$dir/build.code" 2>/dev/null) in
	0) [ "$(cat "$dir/check.code" 2>/dev/null)" = 0 ] && echo fits || echo "does not fit" ;;
	1) echo "does not compile alone" ;;
	3)
		if grep -q 'this kernel is built without it' "$dir/build"; then
			echo "this kernel is built without it"
		elif grep -q 'nothing to do' "$dir/build"; then
			echo "no code changes"
		else
			echo "cannot be a hotfix"
		fi
		;;
	*) echo "fails otherwise" ;;
	esac
}

count() { awk -F'\t' "$1 {n++} END {print n + 0}" "$out/functions"; } # CONDITION

mapfile -t paths
for path in "${paths[@]}"; do
	rows "$path"
done >"$out/functions"
for path in "${paths[@]}"; do
	printf '%s\t%s\n' "$(fate "$path")" "$path"
done >"$out/fates"

echo "sources: ${#paths[@]}"
cut -f1 "$out/fates" | sort | uniq -c | sort -rn
all=$(count 1) fit=$(count '$3 == "fits"')
echo "functions that change: $all; in an object that fits the guest: $fit ($((all ? (1000 * fit + all / 2) / all : 0)) of 1000)"
echo "the others, by reason:"
awk -F'\t' '$3 == "refused" {print $4}' "$out/functions" | sort | uniq -c | sort -rn
echo "and $(count '$3 == "beside"') for which there is no reason but another one in their diff:"
awk -F'\t' '$3 == "beside" {print $4}' "$out/functions" | sort | uniq -c | sort -rn
