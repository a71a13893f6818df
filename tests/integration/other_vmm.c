/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMM that knows nothing of vmpoke, and uses KVM the old way: no immediate_exit, a signal of its
 * own that is blocked but for KVM_RUN (KVM_SET_SIGNAL_MASK) and then taken by sigtimedwait(), vCPU
 * threads that end while their descriptors stay. Its guest counts for ever; which counter, the
 * instruction at SITE decides. Commands come by stdin, one a line; each is answered by a line.
 *
 *	counts		the counters of way A (the nop) and way B (the jmp), of all vCPUs
 *	pause, cont	stop all vCPU threads, let them go on
 *	log on|off	dirty logging of the RAM slot
 *	dirty		how many pages the log has
 *	move		take the RAM slot away and put it back, the vCPUs paused
 *	replug		end vCPU 1's thread and begin another one on its descriptor
 *	seen		how often KVM_RUN was interrupted, and ended with an exit
 *	scratch		make a second VM, and close it
 *	fork		let a child use the descriptors, and end
 *	quit
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RAM	 0x400000ull
#define SITE	 0x100000ull
#define COUNTERS 0x180000ull /* A and B of each vCPU */
#define TABLES	 0x200000ull
#define VCPUS	 2
#define KICK	 SIGUSR2

/* rdi: this vCPU's counters. */
static const uint8_t code[] = {
	0x0f,	       0x1f, 0x44, 0x00, 0x00, /* SITE: nop, or jmp SITE + 0x20 */
	0x48,	       0xff, 0x07,	       /* inc qword [rdi] */
	0xeb,	       0xf6,		       /* jmp SITE */
	[0x20] = 0x48, 0xff, 0x47, 0x08,       /* inc qword [rdi + 8] */
	0xeb,	       0xda,		       /* jmp SITE */
};

static struct vcpu {
	int fd, id;
	struct kvm_run *run;
	pthread_t thread;
	atomic_bool stop, out;
} vcpus[VCPUS];

static int kvm, vm;
static uint8_t *ram;
static size_t run_size;
static atomic_uint interrupts, others;
static atomic_bool paused;

static void die(const char *what)
{
	printf("failed: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void must(int rc, const char *what)
{
	if (rc < 0)
		die(what);
}

/* --- a guest in long mode, mapped at itself ------------------------------------------- */

static void make_guest(void)
{
	uint64_t *pml4 = (uint64_t *)(void *)(ram + TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512;

	memcpy(ram + SITE, code, sizeof(code));
	pml4[0] = (TABLES + 0x1000) | 3;
	pdpt[0] = (TABLES + 0x2000) | 3;
	for (uint64_t i = 0; i < RAM >> 21; i++)
		pd[i] = i << 21 | 0x83;
}

static void set_registers(const struct vcpu *c)
{
	struct kvm_regs regs = { .rip = SITE,
				 .rflags = 2,
				 .rdi = COUNTERS + 16u * (unsigned int)c->id };
	struct kvm_segment code64 = {
		.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1
	};
	struct kvm_segment data = { .limit = 0xffffffff,
				    .selector = 16,
				    .type = 3,
				    .present = 1,
				    .s = 1,
				    .db = 1,
				    .g = 1 };
	struct kvm_sregs s;

	must(ioctl(c->fd, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cr0 = 0x80000001;
	s.cr3 = TABLES;
	s.cr4 = 0x20;
	s.efer = 0x500;
	s.cs = code64;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	must(ioctl(c->fd, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	must(ioctl(c->fd, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static uint64_t counter(int id, int which)
{
	uint64_t value;

	memcpy(&value, ram + COUNTERS + 16u * (unsigned int)id + 8u * (unsigned int)which,
	       sizeof(value));
	return value;
}

static void set_slot(uint32_t flags, uint64_t size)
{
	struct kvm_userspace_memory_region m = { .flags = flags,
						 .memory_size = size,
						 .userspace_addr = (uintptr_t)ram };

	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &m), "KVM_SET_USER_MEMORY_REGION");
}

/* --- vCPUs ------------------------------------------------------------------------------- */

static void on_kick(int sig)
{
	(void)sig;
}

static void block_kick(struct vcpu *c)
{
	struct {
		struct kvm_signal_mask head;
		uint8_t rest[8];
	} mask;
	sigset_t set;
	uint64_t none = 0;

	sigemptyset(&set);
	sigaddset(&set, KICK);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	mask.head.len = 8;
	memcpy((uint8_t *)&mask + sizeof(mask.head), &none, 8);
	must(ioctl(c->fd, KVM_SET_SIGNAL_MASK, &mask), "KVM_SET_SIGNAL_MASK");
}

static void eat_kick(void)
{
	struct timespec now = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, KICK);
	while (sigtimedwait(&set, NULL, &now) > 0)
		;
}

/* The guest has no reason for any. */
static void take_exit(struct vcpu *c)
{
	fprintf(stderr, "vCPU %d: exit %u\n", c->id, c->run->exit_reason);
	atomic_fetch_add(&others, 1);
	atomic_store(&c->stop, true);
}

static void *run_vcpu(void *arg)
{
	struct vcpu *c = arg;

	block_kick(c);
	while (!atomic_load(&c->stop)) {
		if (atomic_load(&paused)) {
			atomic_store(&c->out, true);
			usleep(1000);
			continue;
		}
		atomic_store(&c->out, false);
		if (!ioctl(c->fd, KVM_RUN, 0)) {
			take_exit(c);
		} else if (errno == EINTR) {
			atomic_fetch_add(&interrupts, 1);
			eat_kick();
		} else if (errno != EAGAIN) {
			die("KVM_RUN");
		}
	}
	atomic_store(&c->out, true);
	return NULL;
}

static void begin(struct vcpu *c)
{
	atomic_store(&c->stop, false);
	if (pthread_create(&c->thread, NULL, run_vcpu, c))
		die("pthread_create");
}

static void kick_all(void)
{
	for (int i = 0; i < VCPUS; i++)
		pthread_kill(vcpus[i].thread, KICK);
}

static void pause_all(void)
{
	atomic_store(&paused, true);
	for (int i = 0; i < VCPUS; i++)
		while (!atomic_load(&vcpus[i].out)) {
			kick_all();
			usleep(1000);
		}
}

static void end(struct vcpu *c)
{
	atomic_store(&c->stop, true);
	pthread_kill(c->thread, KICK);
	pthread_join(c->thread, NULL);
}

static void make_vcpu(struct vcpu *c, int id)
{
	c->id = id;
	c->fd = ioctl(vm, KVM_CREATE_VCPU, id);
	must(c->fd, "KVM_CREATE_VCPU");
	c->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
	if (c->run == MAP_FAILED)
		die("mmap");
	set_registers(c);
}

/* --- commands -------------------------------------------------------------------------- */

static void dirty(void)
{
	uint8_t bits[RAM >> 15] = { 0 };
	struct kvm_dirty_log log = { .dirty_bitmap = bits };
	unsigned int n = 0;

	must(ioctl(vm, KVM_GET_DIRTY_LOG, &log), "KVM_GET_DIRTY_LOG");
	for (size_t i = 0; i < sizeof(bits); i++)
		n += (unsigned int)__builtin_popcount(bits[i]);
	printf("%u dirty\n", n);
}

static void scratch(void)
{
	int other = ioctl(kvm, KVM_CREATE_VM, 0);

	must(other, "KVM_CREATE_VM");
	must(close(other), "close");
	puts("ok");
}

static void in_child(void)
{
	int status, pid = fork();

	if (!pid) {
		/* KVM lets no other process in (EIO); the library must not wait for its threads. */
		ioctl(vcpus[0].fd, KVM_RUN, 0);
		close(vcpus[0].fd);
		_exit(0);
	}
	must(waitpid(pid, &status, 0), "waitpid");
	puts(WIFEXITED(status) && !WEXITSTATUS(status) ? "ok" : "failed: the child");
}

static int command(const char *line)
{
	if (!strcmp(line, "counts")) {
		printf("%llu %llu\n", (unsigned long long)(counter(0, 0) + counter(1, 0)),
		       (unsigned long long)(counter(0, 1) + counter(1, 1)));
		return 1;
	}
	if (!strcmp(line, "seen")) {
		printf("%u %u\n", atomic_load(&interrupts), atomic_load(&others));
		return 1;
	}
	if (!strcmp(line, "dirty"))
		return dirty(), 1;
	if (!strcmp(line, "scratch"))
		return scratch(), 1;
	if (!strcmp(line, "fork"))
		return in_child(), 1;
	if (!strcmp(line, "quit"))
		return 0;
	if (!strcmp(line, "pause")) {
		pause_all();
	} else if (!strcmp(line, "cont")) {
		atomic_store(&paused, false);
	} else if (!strcmp(line, "log on")) {
		set_slot(KVM_MEM_LOG_DIRTY_PAGES, RAM);
	} else if (!strcmp(line, "log off")) {
		set_slot(0, RAM);
	} else if (!strcmp(line, "move")) {
		pause_all();
		set_slot(0, 0);
		set_slot(0, RAM);
		atomic_store(&paused, false);
	} else if (!strcmp(line, "replug")) {
		end(&vcpus[1]);
		begin(&vcpus[1]);
	} else {
		puts("failed: what?");
		return 1;
	}
	puts("ok");
	return 1;
}

int main(void)
{
	struct sigaction kick = { .sa_handler = on_kick };
	char line[100];

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(KICK, &kick, NULL);
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	must(kvm, "/dev/kvm");
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	must(vm, "KVM_CREATE_VM");
	ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		die("mmap");
	run_size = (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	make_guest();
	set_slot(0, RAM);
	for (int i = 0; i < VCPUS; i++)
		make_vcpu(&vcpus[i], i);
	for (int i = 0; i < VCPUS; i++)
		begin(&vcpus[i]);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!command(line))
			break;
	}
	for (int i = 0; i < VCPUS; i++) {
		end(&vcpus[i]);
		close(vcpus[i].fd);
	}
	close(vm);
	puts("gone");
	return 0;
}
