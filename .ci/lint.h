/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clang-tidy must know and cannot see across files; .ci/lint.sh includes it first.
 * vp_err_set() returns the code that it gets, which is never 0: whoever returns it has failed.
 */
#include <vmpoke/types.h>

#define vp_err_set(err, code, ...)                               \
	({                                                       \
		int lint_code = (code);                          \
		if (lint_code >= 0)                              \
			__builtin_unreachable();                 \
		(void)vp_err_set((err), lint_code, __VA_ARGS__); \
		lint_code;                                       \
	})
