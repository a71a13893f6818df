#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No source file over 600 lines: split by responsibility before it grows there. And each says its
# licence in the same words, in its first line, or the second behind `#!` or zsh's `#compdef`.
set -u
cd "$(dirname "$0")/.." || exit 1
bad=0
while IFS= read -r f; do
	n=$(wc -l <"$f")
	[ "$n" -le 600 ] && continue
	echo "not ok - $f has $n lines"
	bad=1
done < <(git ls-files --cached --others --exclude-standard '*.c' '*.cc' '*.h' '*.S' '*.sh')
[ $bad -eq 0 ] && echo "ok - no file over 600 lines"

licence='SPDX-License-Identifier: Apache-2.0'
of_the_kernel='SPDX-License-Identifier: GPL-2.0' # a hotfix is the kernel's function, changed
says_licence() { # FILE
	local first second
	{ read -r first && read -r second; } <"$1"
	case $1 in
	tests/hotfixes/*.[ch]) [ "$first" = "/* $of_the_kernel */" ] ;;
	*.[chS] | *.cc | *.ld | *.inc) [ "$first" = "/* $licence */" ] ;;
	*.1) [ "$first" = ".\\\" $licence" ] ;;
	*) [ "$first" = "# $licence" ] || { [[ $first == '#!'* || $first == '#compdef '* ]] && [ "$second" = "# $licence" ]; } ;;
	esac
}
bad2=0
while IFS= read -r f; do
	case $f in
	*.md | LICENSE | .gitignore | *.txt | *.in | tests/fuzz/corpus/* | tests/golden/*) continue ;;
	esac
	says_licence "$f" && continue
	echo "not ok - $f does not begin with: $licence, as the others write it"
	bad2=1
done < <(git ls-files --cached --others --exclude-standard)
[ $bad2 -eq 0 ] && echo "ok - each file says its licence"
[ $bad -eq 0 ] && [ $bad2 -eq 0 ]
