# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced, behind checks.sh: the hotfixes of tests/hotfixes on the guest g, whose programs see
# (./shows) what they change. What a source needs is in its first comment: "Release: RELEASE", "Module:
# NAME", "Over: NAME" (that hotfix is to be there first), "Inverse" (it breaks what is right).
#
#	hotfix_names KERNEL	those for a kernel of kernel.sh, in the order they are applied in
#	hotfix_build NAME...	$tmp/NAME.o
#	hotfix_apply NAME	by vmpoke, with its report in $tmp/apply
#	hotfix_remove NAME
#	hotfix_shows NAME...	what the guest's program says: "broken" or "fixed", one word each
#	hotfix_before NAME	what it is to say before it is applied, and after it is removed
#	hotfix_meanwhile NAME
#	hotfix_memory		how much memory is free, in KB; nobody must make use of the guest
#	check_hotfix TARGET TEXT OBJECT	what was built of three-together.c, for whatever kernel it runs
#	hotfix_texts FILE	the code of the guest: its kernel's, and what of modules is replaced

export GUEST_PROGRAMS="shows ${GUEST_PROGRAMS-}"
. "$guest_here/checks-modules.sh"
hotfix_folder=$guest_here/../hotfixes
to=${VMPOKE_HOTFIX_TARGET:-qmp}

said() { # NAME WHAT
	sed -n "s/^ \* $2: //p" "$hotfix_folder/$1.c"
}

hotfix_names() { # KERNEL
	local name over=()
	for name in $(cd "$hotfix_folder" && LC_ALL=C ls ./*.c); do
		name=${name#./} name=${name%.c}
		[ "$(said "$name" Release)" = "$(echo "$1" | grep '^[0-9]')" ] || continue
		if [ -n "$(said "$name" Over)" ]; then
			over+=("$name")
		else
			echo "$name"
		fi
	done
	[ ${#over[@]} -eq 0 ] || printf '%s\n' "${over[@]}"
}

hotfix_build() { # NAME...
	local name module
	for name; do
		module=$(said "$name" Module)
		vp hotfix build "$hotfix_folder/$name.c" --headers "$headers" -o "$tmp/$name.o" \
			${module:+--module "$module"} || return
	done
}

hotfix_apply() { # NAME [ARG...]
	vp hotfix apply "$(target g "$to")" "$tmp/$1.o" "${@:2}" --json >"$tmp/apply" ||
		{ cat "$tmp/apply" && return 1; }
}
hotfix_remove() { # NAME [ARG...]
	vp hotfix remove "$(target g "$to")" "$@" --json >"$tmp/remove" ||
		{ cat "$tmp/remove" && return 1; }
}

hotfix_shows() { # [--again] NAME...
	local again=
	[ "$1" != --again ] || { again=again && shift; }
	# shellcheck disable=SC2086
	guest_run g "for name in $*; do shows \${name%-inverse} $again; done" | tr '\n' ' ' | sed 's/ $//'
}

hotfix_before() { # NAME
	grep -q '^ \* Inverse$' "$hotfix_folder/$1.c" && echo fixed || echo broken
}
hotfix_meanwhile() { # NAME
	[ "$(hotfix_before "$1")" = broken ] && echo fixed || echo broken
}

# The most of some looks: what is free in lists of each CPU comes and goes.
hotfix_memory() {
	local i
	for i in 1 2 3 4 5 6; do
		guest_run g 'sync; echo 3 >/proc/sys/vm/drop_caches; usleep 200000; sed -n "s/MemFree: *\([0-9]*\).*/\1/p" /proc/meminfo'
	done | sort -n | tail -n 1
}

# "42" or "own": whose numbers /proc/loadavg shows; another word is a mixture.
hotfix_loadavg() {
	guest_run g 'cat /proc/loadavg' | tr '\n' ' ' |
		sed -E 's|^(42\.00 ){3}42/[0-9]+ [0-9]+ all 42 $|42|; s|^([0-9]+\.[0-9]{2} ){3}[0-9]+/[0-9]+ [0-9]+ $|own|'
}
check_hotfix() { # TARGET TEXT OBJECT
	same "$2: before the hotfix" "$(hotfix_loadavg)" own
	check "$2: it is applied" vp hotfix apply "$1" "$3" --json
	same "$2: the guest sees it" "$(hotfix_loadavg)" 42
	same "$2: it is listed" "$(vp hotfix list "$1" --json | jq -r '.hotfixes[] | "\(.name) \(.stands)"')" \
		"three-together applied"
	check "$2: it is removed" vp hotfix remove "$1" three-together --json
	same "$2: after it" "$(hotfix_loadavg)" own
}

hotfix_texts() { # FILE
	local module addr
	guest_text g "$1" || return
	for module in $(sed -n 's/^ \* Module: //p' "$hotfix_folder"/*.c | sort -u); do
		addr=$(guest_run g "cat /sys/module/$module/sections/.text") &&
			guest_qmp g "$(printf '{"execute":"memsave","arguments":{"val":%d,"size":4096,"filename":"%s"}}' \
				$((addr)) "$tmp/module")" >"$tmp/memsave" && cat "$tmp/module" >>"$1" || return
	done
}

# The log without what uptime-warn is there for.
hotfix_warnings() {
	guest_warnings g | awk '
		/cut here/ { block = 1; text = ""; ours = 0 }
		block { text = text $0 "\n"; ours = ours || /uptime-warn\.c/ }
		block && /end trace/ { if (!ours) printf "%s", text; block = 0; next }
		!block { print }
		END { if (block) printf "%s", text }'
}
hotfix_warned() { # TEXT: are there any that $tmp/warnings does not have?
	hotfix_warnings >"$tmp/warnings.now"
	check "$1: no new warning in the guest's log" diff "$tmp/warnings" "$tmp/warnings.now"
}
