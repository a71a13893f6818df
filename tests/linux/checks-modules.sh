# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced, behind checks.sh and before the guest g is started: what its allocator of module memory
# has given out. Addresses, which are hashed otherwise, tell what is a module's.
#
#	guest_modules FILE	a line each, without the addresses
#	guest_modules_are FILE	is it still so? Shows the difference

export GUEST_APPEND="no_hash_pointers ${GUEST_APPEND-}"

# What is freed may be there for a moment: the kernel purges in batches.
guest_modules() { # FILE
	guest_run g 'cat /proc/vmallocinfo' |
		awk '$1 ~ /^0xffffffff/ {$1 = ""; print}' | LC_ALL=C sort >"$1"
	[ -s "$1" ]
}

guest_modules_are() { # FILE
	guest_modules "$tmp/modules.now" && diff "$1" "$tmp/modules.now"
}
