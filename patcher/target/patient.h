/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of a library that has no timeouts, with one: on a thread of its own, left behind if late.
 */
#ifndef VP_TARGET_PATIENT_H
#define VP_TARGET_PATIENT_H

#include <vmpoke/types.h>

/*
 * Run @fn(@arg) and wait for it. 0: it is done, @arg is the caller's again. -ETIMEDOUT: it is not,
 * and may be for ever; it keeps @arg, and calls @discard(@arg) should it ever end. -EAGAIN: it was
 * not begun (no thread to be had); @arg is the caller's.
 */
int vp_patient_call(void (*fn)(void *arg), void *arg, void (*discard)(void *arg),
		    unsigned int timeout_ms);

#endif /* VP_TARGET_PATIENT_H */
