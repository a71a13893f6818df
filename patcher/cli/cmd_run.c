/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke run: boot a guest and serve its control socket until one of them ends. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/options.h"
#include "vmm/control.h"
#include "vmm/vm.h"

#define KERNEL_MAX     (256u << 20)
#define MEMORY_MAX_MIB 3072

static const char help[] =
	"usage: vmpoke run --kernel FILE [--name NAME | --socket PATH] [OPTION...]\n"
	"\n"
	"Boot the guest FILE, an ELF64 x86-64 kernel that follows docs/guest-abi.md. Its\n"
	"serial console goes to standard output.\n"
	"\n"
	"  --kernel FILE   the guest\n"
	"  --name NAME     serve a control socket, so that `vmpoke poke NAME ...` and the others\n"
	"                  reach this guest; it lies in $VMPOKE_RUNTIME_DIR, or\n"
	"                  $XDG_RUNTIME_DIR/vmpoke, or /run/vmpoke (root), or /tmp/vmpoke-UID\n"
	"  --socket PATH   the same, with the socket at PATH\n"
	"                  With neither there is no control socket: the guest cannot be patched.\n"
	"  --vcpus N       1 to 64 (default 1)\n"
	"  --memory MIB    16 to 3072, even (default 64)\n"
	"  --kvm PATH      default /dev/kvm\n"
	"\n"
	"Ends with the guest's exit code (its low 8 bits) when the guest exits; 0 after SIGINT,\n"
	"SIGTERM or the command quit on the control socket; 8 if the guest died, with its\n"
	"registers on standard error; 2 bad options; 6 KVM or memory missing; 7 bad FILE;\n"
	"4 the socket cannot be made.\n";

struct run_args {
	const char *kernel, *name, *socket, *kvm;
	uint64_t vcpus, memory_mib;
};

/* Returns an exit code, or -1 to go on. */
static int parse(int argc, char **argv, struct run_args *a)
{
	const struct vp_option options[] = {
		VP_TEXT("kernel", &a->kernel),
		VP_TEXT("name", &a->name),
		VP_TEXT("socket", &a->socket),
		VP_NUMBER("vcpus", &a->vcpus, 1, VP_VCPU_MAX),
		VP_NUMBER("memory", &a->memory_mib, 16, MEMORY_MAX_MIB),
		VP_TEXT("kvm", &a->kvm),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 0, 0);

	if (code >= 0)
		return code;
	if (!a->kernel)
		return vp_cmd_fail("run", VP_EXIT_USAGE, "--kernel FILE is missing; see --help");
	if (a->memory_mib % 2)
		return vp_cmd_fail("run", VP_EXIT_USAGE, "--memory must be an even number of MiB");
	if (a->name && strchr(a->name, '/'))
		return vp_cmd_fail("run", VP_EXIT_USAGE, "--name %s has a '/': use --socket",
				   a->name);
	if (a->name && a->socket)
		return vp_cmd_fail("run", VP_EXIT_USAGE, "--name and --socket exclude each other");
	return -1;
}

/* vp_vm_create() failed: a bad file, or the host's fault. */
static int create_exit_code(int rc)
{
	return rc == -ENOEXEC ? VP_EXIT_FILE : rc == -EINVAL ? VP_EXIT_USAGE : VP_EXIT_HOST;
}

#define SETTLE_EVERY_MS 1000

/* Block the signals that end us, in this and all later threads; they are read from the fd. */
static int signals_open(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN); /* a reader of the console that went away is no reason to die */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/*
 * Wait until the guest ends or a signal ends it. Now and then finish a batch that a vCPU kept
 * waiting: its sites stay guarded until then.
 */
static void wait_end(struct vp_vm *vm, int signal_fd, struct vp_vm_status *st)
{
	struct pollfd fds[2] = {
		{ .fd = vp_vm_end_fd(vm), .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
	};

	for (;;) {
		int n = poll(fds, 2, SETTLE_EVERY_MS);

		if (n > 0)
			break;
		if (n == 0)
			vp_engine_settle(vp_vm_engine(vm), SETTLE_EVERY_MS, NULL);
	}
	if (!fds[0].revents)
		vp_vm_quit(vm);
	vp_vm_wait(vm, -1, st);
}

static int report_end(const struct vp_vm_status *st)
{
	switch (st->end) {
	case VP_VM_GUEST_EXIT:
		return (int)(st->code & 0xff);
	case VP_VM_TRIPLE_FAULT:
	case VP_VM_ERROR:
		fprintf(stderr, "vmpoke run: %s\n", st->text); /* a report of several lines */
		return VP_EXIT_GUEST;
	case VP_VM_RUNNING:
	case VP_VM_HOST_QUIT:
		break;
	}
	return VP_EXIT_OK;
}

static int run_vm(struct vp_vm *vm, const char *socket_path, int signal_fd)
{
	struct vp_control *control = NULL;
	struct vp_vm_status st = { .end = VP_VM_HOST_QUIT };
	struct vp_err err = { "" };
	int code;

	/* The socket first: a name that is taken must be found out before the guest runs. */
	if (*socket_path && vp_control_listen(vm, socket_path, &control, &err))
		return vp_cmd_fail("run", VP_EXIT_UNREACHABLE, "%s", err.text);
	if (vp_vm_start(vm, &err) || (control && vp_control_serve(control, &err))) {
		code = vp_cmd_fail("run", VP_EXIT_HOST, "%s", err.text);
	} else {
		wait_end(vm, signal_fd, &st);
		code = report_end(&st);
	}
	if (control)
		vp_control_stop(control, &st);
	return code;
}

int vp_cmd_run(int argc, char **argv)
{
	struct run_args a = { .vcpus = 1, .memory_mib = 64 };
	struct vp_vm_config cfg;
	struct vp_vm *vm = NULL;
	struct vp_err err = { "" };
	char socket_path[256] = "";
	void *image = NULL;
	size_t len;
	int signal_fd = -1;
	int code = parse(argc, argv, &a);
	int rc;

	if (code >= 0)
		return code;
	if ((a.name || a.socket) && vp_cmd_socket_path(a.name ? a.name : a.socket, a.name != NULL,
						       socket_path, sizeof(socket_path), &err))
		return vp_cmd_fail("run", VP_EXIT_UNREACHABLE, "%s", err.text);
	if (vp_cmd_read_file(a.kernel, KERNEL_MAX, &image, &len, &err))
		return vp_cmd_fail("run", VP_EXIT_FILE, "%s", err.text);
	signal_fd = signals_open();
	cfg = (struct vp_vm_config){
		.name = a.name,
		.kvm_path = a.kvm,
		.image = image,
		.image_len = len,
		.image_what = a.kernel,
		.vcpus = (unsigned int)a.vcpus,
		.ram_bytes = a.memory_mib << 20,
		.console_fd = STDOUT_FILENO,
	};
	rc = signal_fd < 0 ? -errno : vp_vm_create(&cfg, &vm, &err);
	if (signal_fd < 0)
		vp_err_set(&err, rc, "signalfd: %s", strerror(-rc));
	code = rc ? vp_cmd_fail("run", create_exit_code(rc), "%s", err.text)
		  : run_vm(vm, socket_path, signal_fd);
	vp_vm_destroy(vm);
	if (signal_fd >= 0)
		close(signal_fd);
	free(image);
	return code;
}
