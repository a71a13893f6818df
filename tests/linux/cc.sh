#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# This machine's compiler for the headers of a kernel that a newer one has built: without what it does
# not know. For tests: what comes of it is right, but not as that kernel's own would have it.
args=()
for arg; do
	case $arg in
	-fmin-function-alignment=*) args+=("-falign-functions=${arg#*=}") ;; # gcc 14
	*) args+=("$arg") ;;
	esac
done
exec gcc "${args[@]}"
