#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy (.clang-tidy) and cppcheck (.ci/cppcheck.txt) over what is shipped and the fuzzers.
# A file that clang-tidy liked is not looked at again until its preprocessed text changes.
#
#	.ci/lint.sh [FILE or FOLDER...]
#
#	LINT_NODES=N	how far its analyzer follows one function (75000 states; by itself it would
#			225000, and take three times as long)
set -u
cd "$(dirname "$0")/.." || exit 1
export cache=build/lint nodes=${LINT_NODES:-75000}
mkdir -p $cache

tidy() {
	local flags=(-std=gnu11 -D_GNU_SOURCE -Iinclude -Ipatcher -I.) key out
	key=$(echo "$nodes" | cat - .clang-tidy .ci/lint.h <(clang -E "${flags[@]}" "$1") | sha256sum)
	key=$cache/${key%% *}
	[ -e "$key" ] && return
	# err.c defines what lint.h describes.
	[ "$1" = patcher/base/err.c ] || flags+=(-include .ci/lint.h)
	if out=$(clang-tidy --quiet --extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang \
		--extra-arg=max-nodes="$nodes" "$1" -- "${flags[@]}" 2>&1); then
		touch "$key"
	else
		echo "$out" | grep -v 'warnings generated'
		echo "not ok - clang-tidy $1"
	fi
}
export -f tidy

[ $# -gt 0 ] || set -- patcher vmm guest examples tests/fuzz
files=$(find "$@" -name '*.c' | sort)
# One file a process: several in one make clang-tidy 14 doubt every va_list.
bad=$(xargs -P "$(nproc)" -I '{}' bash -c 'tidy {}' <<<"$files")
[ -n "$bad" ] && echo "$bad" || echo "ok - clang-tidy: $(wc -l <<<"$files") files"

bad2=$(cppcheck -q --enable=warning,performance,portability --error-exitcode=1 -j"$(nproc)" \
	--suppressions-list=.ci/cppcheck.txt --std=c11 -D__x86_64__ -D_GNU_SOURCE \
	--include=.ci/cppcheck.h \
	-Iinclude -Ipatcher -I. "$@" 2>&1)
if [ $? -eq 0 ]; then
	echo "ok - cppcheck"
else
	printf '%s\nnot ok - cppcheck\n' "$bad2"
fi
[ -z "$bad" ] && [ -z "$bad2" ]
