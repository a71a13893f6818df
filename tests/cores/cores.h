/* SPDX-License-Identifier: Apache-2.0 */
/* What cores.c tells kvm.c. */
#ifndef VP_TESTS_CORES_H
#define VP_TESTS_CORES_H

#include <vmpoke/local.h>

extern enum vp_serializer cores_serializer; /* before the guest is made; not AUTO */

#endif /* VP_TESTS_CORES_H */
