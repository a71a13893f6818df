/* SPDX-License-Identifier: Apache-2.0 */
/* Which descriptors of the VMM's we follow, and how we leave off. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "preload/preload.h"

_Atomic(struct vp_preload_file *) vp_preload_files[VP_PRELOAD_FDS];
_Atomic bool vp_preload_forked;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A process that was forked has the VM's descriptors, and none of its threads. */
static void child(void)
{
	atomic_store(&vp_preload_forked, true);
}

static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, child);
}

bool vp_preload_follow(int fd, struct vp_preload_file *file)
{
	pthread_once(&once, watch_forks);
	if (fd < 0 || (unsigned int)fd >= VP_PRELOAD_FDS)
		return false;
	atomic_store(&vp_preload_files[fd], file);
	return true;
}

void vp_preload_log(const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dprintf(STDERR_FILENO, "vmpoke-kvm: %s\n", text);
}

void vp_preload_step_aside(struct vp_preload_vm *vm, const char *fmt, ...)
{
	va_list ap;

	if (atomic_load(&vm->aside))
		return;
	va_start(ap, fmt);
	vsnprintf(vm->why, sizeof(vm->why), fmt, ap);
	va_end(ap);
	atomic_store(&vm->aside, true);
	vp_preload_log("stepped aside: %s", vm->why);
}
