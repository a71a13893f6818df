#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Completion: every option that --help tells is offered, and the other way round; and what three shells make of it.
set -u
cd "$(dirname "$0")/../.." || exit 1
tmp=$(mktemp -d)
. tests/verdict.sh
export VMPOKE_RUNTIME_DIR=$tmp/run VMPOKE_STATE_DIR=$tmp/state PATH=$PWD/build:$PATH
trap 'vmpoke quit web1 2>/dev/null; rm -rf "$tmp"' EXIT

vmpoke run --kernel build/guest/testguest.elf --name web1 --detach >"$tmp/run-says" || { ok "a guest runs" 1; exit 1; }
pid=$(grep -oE 'process [0-9]+' "$tmp/run-says" | grep -oE '[0-9]+')

offered() { # WORDS...: the words alone
	vmpoke complete "$@" | cut -f 1
}

same_options() { # COMMAND...
	local told
	told=$(vmpoke "$@" --help | grep -oE '^  (--?[a-z][a-z-]*)' | tr -d ' ' | sort)
	same "$*: the options of --help" "$(offered "$@" - | sort)" "$told"
}

commands=$(offered "" | grep -v '^hotfix$')
for command in $commands; do
	same_options "$command"
done
for command in $(offered hotfix ""); do
	same_options hotfix "$command"
done
[ "$(wc -w <<<"$commands")" -ge 19 ]
ok "there are some" $?

same "a command" "$(vmpoke complete inf)" $'info\tdescribe a running guest and its kernel'
same "a target" "$(offered info we)" web1
same "... and no other one in its place" "$(offered info nobody)" ""
same "an object behind it" "$(offered hotfix apply web1 "")" :files
same "a choice" "$(offered poke web1 x --resume em)" emulate
same "a file" "$(offered run --kernel "")" :files
kill -STOP "$pid"
same "a guest that does not answer is a target" "$(timeout 5 build/vmpoke complete revert w)" web1
kill -CONT "$pid"
same "words between operands" "$(offered key set web1 some_key "" | xargs)" "on off"
same "an option's value is no operand" "$(offered read --len 5 web)" web1
same "nothing behind all operands" "$(offered stop web1 "")" ""

in_bash() { # LINE
	bash --norc -c '. docs/completions/vmpoke.bash; COMP_LINE=$1 COMP_POINT=${#1}; _vmpoke; printf "%s\n" "${COMPREPLY[@]}"' - "$1"
}
same "bash: a command" "$(in_bash 'vmpoke stat')" status
same "bash: a target" "$(in_bash 'vmpoke info ')" web1
same "bash: a file" "$(in_bash 'vmpoke hotfix apply web1 READM')" README.md
same "fish: a command" "$(fish -N -c 'source docs/completions/vmpoke.fish; complete -C "vmpoke stat"')" $'status\tlist the applied pokes and the counters'
same "fish: a target" "$(fish -N -c 'source docs/completions/vmpoke.fish; complete -C "vmpoke info "' | cut -f 1)" web1

# What zsh's own functions would be given.
in_zsh() { # WORD...
	zsh -f -c '_describe() { print -l -- ${(P)2} }; _files() { print files }; _call_program() { shift; eval "$@" }
		words=(vmpoke "$@") CURRENT=${#words} PREFIX=${words[-1]}; . docs/completions/_vmpoke' - "$@"
}
same "zsh: a command" "$(in_zsh stat)" "status:list the applied pokes and the counters"
same "zsh: a target" "$(in_zsh info '')" "web1:"
same "zsh: a file" "$(in_zsh run --kernel '')" files
exit $failed
