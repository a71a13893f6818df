#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The README's commands for a VM of our own, as they stand there, one after the other.
set -u
cd "$(dirname "$0")/../.." || exit 1
tmp=$(mktemp -d)
. tests/verdict.sh
export VMPOKE_RUNTIME_DIR=$tmp/run VMPOKE_STATE_DIR=$tmp/state PATH=$PWD/build:$PATH
trap 'vmpoke quit g1 2>/dev/null; rm -rf "$tmp"' EXIT

awk '/^## A VM of our own/ { here = 1 }
	here && /^```$/ { exit }
	here && block { print }
	here && /^```sh$/ { block = 1 }' README.md >"$tmp/commands"
lines=$(grep -vc '\.\.\.' "$tmp/commands")
[ "$lines" -ge 8 ]
ok "it has commands ($lines)" $?
# What has dots in it is for a kernel of the reader's own.
while read -r command; do
	timeout 60 bash -c "$command" >"$tmp/out" 2>&1 </dev/null
	code=$?
	ok "${command%%#*}" $code
	[ $code -eq 0 ] || sed 's/^/#  /' "$tmp/out"
done < <(grep -v '\.\.\.' "$tmp/commands")
timeout 20 sh -c 'while [ -e "$VMPOKE_RUNTIME_DIR/g1" ]; do sleep 0.1; done'
ok "the guest is gone" $?
exit $failed
