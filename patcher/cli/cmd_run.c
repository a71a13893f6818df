/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke run: boot a guest and serve its control socket until one of them ends. */
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/detach.h"
#include "cli/options.h"
#include "control/ledger.h"
#include "cli/terminal.h"
#include "control/paths.h"
#include "vmm/control.h"
#include "vmm/vm.h"

#define FILE_MAX       (1024u << 20)
#define MEMORY_MAX_MIB 3072

static const char help[] =
	"usage: vmpoke run --kernel FILE [--name NAME | --socket PATH] [OPTION...]\n"
	"\n"
	"Boot FILE: a Linux kernel (bzImage, or vmlinux as linked), or an ELF64 kernel that "
	"follows\n"
	"docs/guest-abi.md; its content tells which. Its serial port is standard output and, for\n"
	"Linux, standard input: on a terminal " VP_TERMINAL_HELP ".\n"
	"\n"
	"  --kernel FILE   the guest\n"
	"  --initrd FILE   Linux: the initial RAM disk\n"
	"  --append TEXT   Linux: added to the command line, which begins `console=ttyS0`\n"
	"  --no-reboot     Linux: end instead of starting again when the guest reboots\n"
	"  --name NAME     serve a control socket, so that `vmpoke poke NAME ...` and the others\n"
	"                  reach this guest; it lies in $VMPOKE_RUNTIME_DIR, or\n"
	"                  $XDG_RUNTIME_DIR/vmpoke, or /run/vmpoke (root), or /tmp/vmpoke-UID\n"
	"  --socket PATH   the same, with the socket at PATH\n"
	"                  With neither there is no control socket: the guest cannot be patched.\n"
	"  --detach        return as soon as the guest answers there, and print which process it\n"
	"                  is; it goes on until that is ended. Nothing is typed to it\n"
	"  --console FILE  what the guest prints goes there, in place of standard output; with\n"
	"                  --detach nowhere by default\n"
	"  --vcpus N       1 to 64 (default 1)\n"
	"  --memory SIZE   in MiB, or 512M, 1G: 16 MiB to 3 GiB, even (default 64; Linux 512)\n"
	"  --serializer HOW  how vCPUs are made to serialize between the steps of a patch: auto,\n"
	"                  kick, kick-membarrier or membarrier (default auto: the best that is\n"
	"                  right on this host; docs/serialization.md)\n"
	"  --keyring DIR   take hotfixes only if a key in DIR has signed them, too; default\n"
	"                  $VMPOKE_KEYRING (docs/signing.md)\n"
	"  --kvm PATH      default /dev/kvm\n"
	"\n"
	"Ends with 0 when Linux switches itself off, or the guest's exit code (its low 8 bits) "
	"when\n"
	"another guest exits; 0 after SIGINT, SIGTERM or the command quit on the control socket;\n"
	"8 if the guest died, with its registers on standard error; 2 bad options; 6 KVM or "
	"memory\n"
	"missing; 7 bad FILE; 4 the socket cannot be made.\n";

struct run_args {
	const char *kernel, *initrd, *append, *name, *socket, *console, *memory, *kvm, *serializer;
	uint64_t vcpus, memory_mib;
	bool no_reboot, detach;
	unsigned int lives; /* that the guest had before */
	int console_fd;
	struct vp_detach detached;
};

/* In MiB, or with a unit. */
static int parse_memory(struct run_args *a)
{
	size_t len = a->memory ? strlen(a->memory) : 0;
	bool gib = len && strchr("gG", a->memory[len - 1]);
	char digits[16] = "";

	if (!len)
		return -1;
	if (gib || strchr("mM", a->memory[len - 1]))
		len--;
	if (len < sizeof(digits))
		memcpy(digits, a->memory, len);
	if (vp_cmd_number(digits, gib ? 1 : 16, gib ? MEMORY_MAX_MIB / 1024 : MEMORY_MAX_MIB,
			  &a->memory_mib))
		return vp_cmd_fail("run", VP_EXIT_USAGE, "--memory %s is no size from 16M to %dG",
				   a->memory, MEMORY_MAX_MIB / 1024);
	if (gib)
		a->memory_mib *= 1024;
	if (a->memory_mib % 2)
		return vp_cmd_fail("run", VP_EXIT_USAGE, "--memory must be an even number of MiB");
	return -1;
}

/* Returns an exit code, or -1 to go on. */
static int parse(int argc, char **argv, struct run_args *a)
{
	const struct vp_option options[] = {
		VP_TEXT("kernel", &a->kernel),
		VP_TEXT("initrd", &a->initrd),
		VP_TEXT("append", &a->append),
		VP_FLAG("no-reboot", &a->no_reboot),
		VP_TEXT("name", &a->name),
		VP_TEXT("socket", &a->socket),
		VP_FLAG("detach", &a->detach),
		VP_TEXT("console", &a->console),
		VP_NUMBER("vcpus", &a->vcpus, 1, VP_VCPU_MAX),
		VP_TEXT("memory", &a->memory),
		VP_CHOICE("serializer", &a->serializer, vp_serializer_choices),
		VP_TEXT("keyring", &vp_common.keyring),
		VP_TEXT("kvm", &a->kvm),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 0, 1);

	if (code >= 0)
		return code;
	if (vp_options_operand(0))
		return vp_cmd_fail("run", VP_EXIT_USAGE, "what is \"%s\"? write --kernel FILE",
				   vp_options_operand(0));
	if (!a->kernel)
		return vp_cmd_fail("run", VP_EXIT_USAGE, "--kernel FILE is missing; see --help");
	code = parse_memory(a);
	if (code >= 0)
		return code;
	if (a->name && strchr(a->name, '/'))
		return vp_cmd_fail("run", VP_EXIT_USAGE, "--name %s has a '/': use --socket",
				   a->name);
	if (a->name && (*a->name == '-' || strpbrk(a->name, ": \t")))
		return vp_cmd_fail(
			"run", VP_EXIT_USAGE,
			"--name \"%s\": no name of a VM begins with '-' or has a colon or a "
			"blank: other commands would not know it",
			a->name);
	if (a->name && a->socket)
		return vp_cmd_fail("run", VP_EXIT_USAGE, "--name and --socket exclude each other");
	if (a->detach && !a->name && !a->socket)
		return vp_cmd_fail(
			"run", VP_EXIT_USAGE,
			"--detach wants --name or --socket: nothing else reaches the guest");
	return -1;
}

/* vp_vm_create() failed: a bad file, or the host's fault. */
static int create_exit_code(int rc)
{
	return rc == -ENOEXEC ? VP_EXIT_FILE : rc == -EINVAL ? VP_EXIT_USAGE : VP_EXIT_HOST;
}

#define SETTLE_EVERY_MS 1000
#define INPUT_EVERY_MS	20 /* while the guest does not take what was typed */

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
 * Wait until the guest ends, or a signal or the user ends it. Now and then finish what a vCPU
 * kept waiting: a batch, whose sites stay guarded until then, or a call.
 */
static void wait_end(struct vp_vm *vm, int signal_fd, struct vp_terminal *terminal,
		     struct vp_vm_status *st)
{
	struct pollfd fds[3] = {
		{ .fd = vp_vm_end_fd(vm), .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
		{ .events = POLLIN },
	};

	for (;;) {
		int n;

		fds[2].fd = vp_terminal_poll_fd(terminal);
		n = poll(fds, 3, terminal->nwaiting ? INPUT_EVERY_MS : SETTLE_EVERY_MS);
		if (n > 0 && (fds[0].revents || fds[1].revents))
			break;
		if (!vp_terminal_pump(terminal, vm, n > 0 && fds[2].revents))
			break;
		if (n == 0)
			vp_vm_settle(vm, SETTLE_EVERY_MS);
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
	case VP_VM_POWER_OFF:
	case VP_VM_RESET:
	case VP_VM_HOST_QUIT:
		break;
	}
	return VP_EXIT_OK;
}

/* One life of the guest, from power-on to power-off or reset: @st tells. */
static int run_vm(struct vp_vm *vm, struct run_args *a, struct vp_vm_control *control,
		  int signal_fd, struct vp_vm_status *st)
{
	struct vp_terminal terminal;
	struct vp_err err = { "" };

	if (control && vp_vm_control_attach(control, vm, &err))
		return vp_cmd_fail("run", VP_EXIT_UNREACHABLE, "%s", err.text);
	if (vp_vm_start(vm, &err) || (control && vp_vm_control_serve(control, &err)))
		return vp_cmd_fail("run", VP_EXIT_HOST, "%s", err.text);
	vp_detach_tell(&a->detached, a->console_fd);
	vp_terminal_open(&terminal, vp_vm_is_linux(vm) ? STDIN_FILENO : -1);
	wait_end(vm, signal_fd, &terminal, st);
	vp_terminal_close(&terminal);
	return report_end(st);
}

/*
 * Make the VM and run it. The socket comes first: a name that is taken is found out before there is
 * a guest, and who asks for a VM that was begun just now is not told that there is none.
 */
static int run_life(const struct vp_vm_config *cfg, struct run_args *a,
		    const struct vp_vm_control_config *socket, int signal_fd,
		    struct vp_vm_status *st)
{
	struct vp_vm_control *control = NULL;
	struct vp_err err = { "" };
	struct vp_vm *vm = NULL;
	int rc, code;

	if (socket && vp_vm_control_listen(socket, &control, &err))
		return vp_cmd_fail("run", VP_EXIT_UNREACHABLE, "%s", err.text);
	rc = vp_vm_create(cfg, &vm, &err);
	if (!rc && !a->lives++ && vp_vm_notice(vm))
		fprintf(stderr, "vmpoke run: %s\n", vp_vm_notice(vm));
	code = rc ? vp_cmd_fail("run", create_exit_code(rc), "%s", err.text)
		  : run_vm(vm, a, control, signal_fd, st);
	if (control)
		vp_vm_control_stop(control, st);
	vp_vm_destroy(vm);
	return code;
}

/* A reboot is a new VM: nothing of the old one can be left over in it. */
static int run_lives(const struct vp_vm_config *cfg, struct run_args *a,
		     const struct vp_vm_control_config *socket)
{
	int code, signal_fd = signals_open();
	struct vp_vm_status st;

	if (signal_fd < 0)
		return vp_cmd_fail("run", VP_EXIT_HOST, "signalfd: %s", strerror(errno));
	do {
		st = (struct vp_vm_status){ .end = VP_VM_HOST_QUIT };
		code = run_life(cfg, a, socket, signal_fd, &st);
	} while (st.end == VP_VM_RESET && !a->no_reboot);
	close(signal_fd);
	return code;
}

/* The control socket, and the files that go with it. */
struct sockets {
	struct vp_vm_control_config config;
	char path[256], ledger[512], keyring[PATH_MAX];
};

/* It is read for each hotfix, from wherever this process is then. */
static int keyring_choose(struct sockets *s, struct vp_err *err)
{
	const char *folder = vp_cmd_keyring(vp_common.keyring);

	if (!folder)
		return 0;
	if (!realpath(folder, s->keyring))
		return vp_err_set(err, -errno, "the keyring %.100s: %s", folder, strerror(errno));
	s->config.keyring = s->keyring;
	return 0;
}

static int sockets_choose(const struct run_args *a, struct sockets *s, struct vp_err *err)
{
	char state[256];
	int rc = vp_socket_path(a->name ? a->name : a->socket, a->name != NULL, s->path,
				sizeof(s->path), err);

	if (!rc)
		rc = vp_state_dir(state, sizeof(state), err);
	if (!rc)
		rc = vp_ledger_path_for(state, s->path, s->ledger, sizeof(s->ledger), err);
	if (rc)
		return rc;
	s->config = (struct vp_vm_control_config){ .path = s->path, .ledger = s->ledger };
	return 0;
}

/* Where what the guest prints goes. */
static int open_console(struct run_args *a)
{
	const char *file = a->console ? a->console : "/dev/null";

	a->console_fd = STDOUT_FILENO;
	if (!a->console && !a->detach)
		return VP_EXIT_OK;
	a->console_fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (a->console_fd < 0)
		return vp_cmd_fail("run", VP_EXIT_FILE, "--console %s: %s", file, strerror(errno));
	return VP_EXIT_OK;
}

/* -1: go on, and @cfg has all that is read from files. */
static int prepare(struct run_args *a, struct vp_vm_config *cfg, void **image, void **initrd)
{
	struct vp_err err = { "" };
	int code;

	if (vp_cmd_read_file(a->kernel, FILE_MAX, image, &cfg->image_len, &err) ||
	    (a->initrd && vp_cmd_read_file(a->initrd, FILE_MAX, initrd, &cfg->initrd_len, &err)))
		return vp_cmd_fail("run", VP_EXIT_FILE, "%s", err.text);
	code = open_console(a);
	if (code || !a->detach)
		return code ? code : -1;
	code = vp_detach_begin(&a->detached, "run");
	if (!code)
		printf("%s runs, process %d; `kill %d` ends it\n", a->name ? a->name : a->socket,
		       (int)a->detached.child, (int)a->detached.child);
	return code;
}

int vp_cmd_run(int argc, char **argv)
{
	struct run_args a = { .vcpus = 1, .detached.fd = -1 };
	struct vp_vm_config cfg = { 0 };
	struct vp_err err = { "" };
	struct sockets sockets;
	void *image = NULL, *initrd = NULL;
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	if ((a.name || a.socket) && sockets_choose(&a, &sockets, &err))
		return vp_cmd_fail("run", VP_EXIT_UNREACHABLE, "%s", err.text);
	if ((a.name || a.socket) && keyring_choose(&sockets, &err))
		return vp_cmd_fail("run", VP_EXIT_FILE, "%s", err.text);
	code = prepare(&a, &cfg, &image, &initrd);
	if (code < 0) {
		cfg.name = a.name;
		cfg.kvm_path = a.kvm;
		cfg.image = image;
		cfg.image_what = a.kernel;
		cfg.initrd = initrd;
		cfg.append = a.append;
		cfg.vcpus = (unsigned int)a.vcpus;
		cfg.serializer = vp_options_serializer(a.serializer);
		cfg.ram_bytes = a.memory_mib << 20;
		cfg.console_fd = a.console_fd;
		code = run_lives(&cfg, &a, a.name || a.socket ? &sockets.config : NULL);
	}
	free(initrd);
	free(image);
	return code;
}
