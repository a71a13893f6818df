/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the VMM calls in place of the C library: ioctl() and close(). Our own files are linked with
 * --wrap, so that they call the next one of that name, not these.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "preload/preload.h"

#define EXPORT __attribute__((visibility("default")))

static int (*next_ioctl)(int fd, unsigned long request, ...);
static int (*next_close)(int fd);
static _Atomic bool any; /* a VM was made here */

int __wrap_close(int fd);

/* Who passes an argument or none: it is in the same register (System V ABI, 3.2.3). */
int vp_preload_next_ioctl(int fd, unsigned long request, void *arg) __asm__("__wrap_ioctl");
EXPORT int vp_preload_ioctl(int fd, unsigned long request, void *arg) __asm__("ioctl");

/* --- the next ones ------------------------------------------------------------------ */

static void find_next(void)
{
	next_ioctl = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	next_close = (int (*)(int))dlsym(RTLD_NEXT, "close");
}

int vp_preload_next_ioctl(int fd, unsigned long request, void *arg)
{
	if (!next_ioctl)
		find_next();
	return next_ioctl(fd, request, arg);
}

int __wrap_close(int fd)
{
	if (!next_close)
		find_next();
	return next_close(fd);
}

/* --- what the VMM calls ---------------------------------------------------------------- */

static int on_followed(struct vp_preload_file *file, unsigned long request, void *arg)
{
	int before = errno, rc;

	if (!vp_preload_is_parent())
		return next_ioctl(file->fd, request, arg);
	if (file->kind == VP_PRELOAD_VCPU)
		rc = vp_preload_vcpu_ioctl((struct vp_preload_vcpu *)(void *)file, request, arg);
	else
		rc = vp_preload_vm_ioctl((struct vp_preload_vm *)(void *)file, request, arg);
	if (rc >= 0)
		errno = before;
	return rc;
}

static int make_vm(int fd, void *arg)
{
	int vm = next_ioctl(fd, KVM_CREATE_VM, arg), before = errno;

	if (vm >= 0 && vp_preload_is_parent()) {
		atomic_store(&any, true);
		vp_preload_vm_made(fd, vm, (unsigned long)arg);
	}
	errno = before;
	return vm;
}

int vp_preload_ioctl(int fd, unsigned long request, void *arg)
{
	struct vp_preload_file *file = vp_preload_followed(fd);

	request = (unsigned int)request; /* as the kernel does: some pass it as an int */
	if (file && request == KVM_RUN && file->kind == VP_PRELOAD_VCPU && vp_preload_is_parent())
		return vp_preload_vcpu_run((struct vp_preload_vcpu *)(void *)file);
	if (file)
		return on_followed(file, request, arg);
	if (!next_ioctl)
		find_next();
	switch (request) {
	case KVM_CREATE_VM:
		return make_vm(fd, arg);
	case UFFDIO_WRITEPROTECT:
		return vp_preload_is_parent() ? vp_preload_write_protect(fd, arg)
					      : next_ioctl(fd, request, arg);
	default:
		return next_ioctl(fd, request, arg);
	}
}

EXPORT int close(int fd)
{
	struct vp_preload_file *file = vp_preload_followed(fd);
	int before = errno;

	if (vp_preload_is_parent())
		vp_preload_protector_closed(fd);
	if (file && vp_preload_is_parent()) {
		vp_preload_follow(fd, NULL);
		if (file->kind == VP_PRELOAD_VCPU)
			vp_preload_vcpu_closed((struct vp_preload_vcpu *)(void *)file);
		else
			vp_preload_vm_closed((struct vp_preload_vm *)(void *)file);
		errno = before;
	}
	if (!next_close)
		find_next();
	return next_close(fd);
}

/* --- what it says of itself ------------------------------------------------------------ */

/* Of a VMM that one expects it of: what a shell began on its way is nobody's concern. */
__attribute__((destructor)) static void leave(void)
{
	if (!vp_preload_is_parent())
		return;
	vp_preload_unlink();
	if (!atomic_load(&any) &&
	    !strncmp(program_invocation_short_name, "qemu-system", strlen("qemu-system")))
		vp_preload_log("stepped aside: this QEMU has made no VM of KVM's (was it TCG?)");
}
