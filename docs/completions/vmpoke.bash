# SPDX-License-Identifier: Apache-2.0
# Completion for bash: vmpoke itself tells which words may stand there.
_vmpoke() {
	local line typed=${COMP_LINE:0:COMP_POINT} words cur
	# Not COMP_WORDS: a target has a colon in it, which ends a word there.
	read -ra words <<<"$typed"
	[[ $typed != *[[:space:]] ]] || words+=("")
	cur=${words[-1]}
	COMPREPLY=()
	while IFS= read -r line; do
		if [ "$line" = ":files" ]; then
			compopt -o filenames 2>/dev/null
			mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$cur")
		else
			COMPREPLY+=("${line%%$'\t'*}")
		fi
	done < <("${words[0]}" complete "${words[@]:1}" 2>/dev/null)
	[[ $cur != *:* || $COMP_WORDBREAKS != *:* ]] || COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}")
}
complete -F _vmpoke vmpoke
