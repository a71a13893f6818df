#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make coverage` on ten of its sources: what fits, what is refused and why, and what is told apart.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../verdict.sh"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Small ones, of kinds: the kernel's own, of modules, without an entry of ftrace's, a variable whose value
# changes, one that comes out the same, one that does not compile alone, one that this kernel is built without.
fit="fs/omfs/inode.c net/ipv4/arp.c kernel/sys.c net/sched/act_gate.c net/key/af_key.c"
COVERAGE_OUT=$tmp/out "$here/../coverage/coverage.sh" $fit kernel/trace/fgraph.c net/netfilter/xt_connmark.c \
	kernel/time/itimer.c fs/ceph/export.c kernel/power/wakelock.c >"$tmp/said" 2>&1
ok "it runs" $? || cat "$tmp/said"
if grep '^SKIP' "$tmp/said"; then
	exit 0
fi
sed 's/^/#  /' "$tmp/said"

sources() { sed -n "s/^ *\([0-9]*\) $1\$/\1/p" "$tmp/said"; } # FATE
same "those that fit" "$(sources fits)" 5
same "those that cannot be" "$(sources 'cannot be a hotfix')" 2
same "one comes out the same" "$(sources 'no code changes')" 1
same "one does not compile alone" "$(sources 'does not compile alone')" 1
same "one is not of this kernel" "$(sources 'this kernel is built without it')" 1
for path in $fit; do
	same "$path: all its functions fit" "$(awk -F'\t' -v p="$path" '$1 == p {print $3}' "$tmp/out/functions" | sort -u)" fits
done
same "a function without an entry is named" "$(awk -F'\t' '$2 == "register_ftrace_graph" {print $3}' "$tmp/out/functions")" refused
read -r all fitting < <(awk -F'\t' '{n++; f += $3 == "fits"} END {print n, f}' "$tmp/out/functions")
same "the sum is right" "$(sed -n 's/^functions that change: \(.*\) (.*/\1/p' "$tmp/said")" \
	"$all; in an object that fits the guest: $fitting"
exit $failed
