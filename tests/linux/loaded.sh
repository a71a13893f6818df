# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# To be sourced, behind checks.sh: the guest g with modules of its kernel that the tests' guests do not have
# otherwise. Give it more memory than they have: `-m 1024`.
#
#	loaded_gather RELEASE MODULE...	before it is started: the modules, and those that they need, for its
#					/lib/modules
#	loaded_now MODULE...		load them; says which are not

# Also what libcrc32c needs, though no table of symbols says so.
loaded_extra=crc32c_generic

loaded_gather() { # RELEASE MODULE...
	local release=$1 from name file
	shift
	from=$("$guest_here/modules.sh" "$release") || return
	export GUEST_MODULES=$tmp/modules
	mkdir -p "$GUEST_MODULES/$release" && cp "$from/modules.dep" "$GUEST_MODULES/$release/" || return
	for name in $loaded_extra "$@"; do
		for file in $(grep -E "^[^:]*/${name//_/[_-]}\.ko:" "$from/modules.dep" | tr -d :); do
			mkdir -p "$GUEST_MODULES/$release/${file%/*}" &&
				cp "$from/$file" "$GUEST_MODULES/$release/$file" || return
		done
	done
}

loaded_now() { # MODULE...
	local name
	for name in $loaded_extra "$@"; do
		guest_run g "modprobe $name" >"$tmp/loaded" || echo "# $name is not loaded: $(tail -n 1 "$tmp/loaded")"
	done
}
