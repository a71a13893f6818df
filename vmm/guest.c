/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's part of a new VM: its files go into RAM, before anything of KVM is made. */
#include "vmm/kernel.h"
#include <errno.h>
#include <stdlib.h>

static int make_linux(struct vp_vm *vm, const struct vp_vm_config *cfg, struct vp_err *err)
{
	const struct vp_linux_boot boot = { cfg->initrd, cfg->initrd_len, cfg->append, cfg->vcpus };
	int rc;

	vm->kernel = calloc(1, sizeof(*vm->kernel));
	if (!vm->kernel)
		return vp_err_set(err, -ENOMEM, "out of memory");
	rc = vp_kernel_load(cfg->image, cfg->image_len, vm->image_what, &vm->ram, vm->kernel, err);
	return rc ? rc : vp_linux_write(&vm->ram, vm->kernel, &boot, err);
}

static int make_abi_guest(struct vp_vm *vm, const struct vp_vm_config *cfg, struct vp_err *err)
{
	int rc;

	if (cfg->initrd || cfg->append)
		return vp_err_set(err, -EINVAL,
				  "%s is not Linux: it takes no initrd and no command line",
				  vm->image_what);
	rc = vp_boot_init(&vm->boot, vm->ram, err);
	if (!rc)
		rc = vp_image_load(cfg->image, cfg->image_len, vm->image_what, &vm->boot,
				   &vm->image, err);
	if (!rc)
		vp_boot_write(&vm->boot, cfg->vcpus);
	return rc;
}

static int make_symbols(struct vp_vm *vm, const struct vp_vm_config *cfg, struct vp_err *err)
{
	/* Linux' are found in its memory, once it has decided where it runs. */
	if (vm->is_linux)
		return vp_symtab_make(NULL, 0, &vm->symbols, err);
	return vp_symtab_load(cfg->image, cfg->image_len, vm->image_what, &vm->symbols, err);
}

int vp_guest_make(struct vp_vm *vm, const struct vp_vm_config *cfg, struct vp_err *err)
{
	int rc = make_symbols(vm, cfg, err);

	if (rc)
		return rc;
	return vm->is_linux ? make_linux(vm, cfg, err) : make_abi_guest(vm, cfg, err);
}
