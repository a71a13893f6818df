/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "fake_local.h"
#include "unit.h"

#define w fake_local

struct fake_local fake_local;

/* --- the guest ------------------------------------------------------------------- */

static uint8_t *at(uint64_t gva)
{
	uint64_t page = gva >> 12 & 0x1ff, in = gva & 0xfff;

	return w.ram + (page == 2 ? 0x9000 : CODE) + in;
}

static uint8_t byte_at(uint64_t gva)
{
	return __atomic_load_n(at(gva), __ATOMIC_SEQ_CST);
}

static uint32_t imm32(uint64_t gva)
{
	uint32_t v = 0;

	for (unsigned int i = 0; i < 4; i++)
		v |= (uint32_t)byte_at(gva + i) << 8 * i;
	return v;
}

/* One instruction. False: an int3. */
static bool step(struct kvm_regs *r)
{
	switch (byte_at(r->rip)) {
	case 0x90:
		r->rip++;
		return true;
	case 0xb8:
		r->rax = imm32(r->rip + 1);
		r->rip += 5;
		return true;
	case 0xc3:
		memcpy(&r->rip, at(r->rsp), 8);
		r->rsp += 8;
		return true;
	case 0xeb:
		if (r->rip == TEXT + SPIN + 1)
			atomic_store(&w.spinning, true);
		r->rip += 2 + (uint64_t)(int64_t)(int8_t)byte_at(r->rip + 1);
		return true;
	default:
		return false;
	}
}

static bool signalled(void)
{
	const struct timespec nap = { .tv_nsec = 50000 };
	sigset_t set;

	nanosleep(&nap, NULL);
	sigpending(&set);
	return sigismember(&set, vp_local_kick_signal(w.l)) || sigismember(&set, SIGUSR1);
}

static int runs(struct fake_kvm_vcpu *c)
{
	if (c->events.exception.injected) { /* the guest's own int3, and its handler */
		c->events.exception.injected = 0;
		atomic_fetch_add(&w.own, 1);
		c->regs.rip++;
	}
	while (!signalled())
		for (unsigned int i = 0; i < 100; i++) {
			if (step(&c->regs))
				continue;
			atomic_fetch_add(&w.unarmed, !atomic_load(&c->armed));
			c->run.exit_reason = KVM_EXIT_DEBUG;
			c->run.debug.arch.exception = BP_VECTOR;
			return 0;
		}
	return -1;
}

/* --- the VMM --------------------------------------------------------------------- */

static void *vcpu_main(void *arg)
{
	const struct fake_local_thread *th = arg;
	struct vp_local_vcpu *v = NULL;

	assert_int_equal(vp_local_vcpu_attach(w.l, th->vcpu, FAKE_KVM_FD + (int)th->vcpu,
					      &fake_kvm[th->vcpu].run, &v, NULL),
			 0);
	while (!atomic_load(&w.stop)) {
		assert_int_equal(vp_local_run(v, NULL), -EINTR);
		atomic_fetch_add(&w.interrupts, 1);
	}
	vp_local_vcpu_detach(v);
	return NULL;
}

void fake_local_inside(unsigned int vcpu)
{
	const struct timespec nap = { .tv_nsec = 1000000 };

	for (unsigned int i = 0; i < 20000 && !atomic_load(&fake_kvm[vcpu].inside); i++)
		nanosleep(&nap, NULL);
	assert_true(atomic_load(&fake_kvm[vcpu].inside));
}

void fake_local_start(unsigned int vcpu, uint64_t rip)
{
	struct fake_local_thread *th = &w.threads[vcpu];
	struct fake_kvm_vcpu *c = &fake_kvm[vcpu];

	c->guest = runs;
	c->regs.rip = rip;
	c->regs.rsp = STACKS + 0xff8 - 0x800ull * vcpu;
	c->regs.rflags = IF;
	c->regs.rbx = 0x1111 * (vcpu + 1);
	c->sregs.cs.selector = 0x10;
	th->vcpu = vcpu;
	th->there = true;
	assert_int_equal(pthread_create(&th->id, NULL, vcpu_main, th), 0);
	fake_local_inside(vcpu);
}

void fake_local_end_all(void)
{
	atomic_store(&w.stop, true);
	for (unsigned int i = 0; i < FAKE_KVM_VCPUS; i++)
		vp_local_vcpu_interrupt(w.l, i);
	for (unsigned int i = 0; i < FAKE_KVM_VCPUS; i++)
		if (w.threads[i].there)
			pthread_join(w.threads[i].id, NULL);
	memset(w.threads, 0, sizeof(w.threads));
}

static void put(uint64_t gpa, uint64_t value)
{
	memcpy(w.ram + gpa, &value, sizeof(value));
}

static void code(unsigned int where, const char *bytes, size_t n)
{
	memcpy(w.ram + CODE + where, bytes, n);
}

int fake_local_new(enum vp_trap_route route)
{
	const struct vp_local_config config = { .route = route, .serializer = VP_SERIALIZER_KICK };

	memset(&w, 0, sizeof(w));
	fake_kvm_reset();
	w.ram = calloc(1, RAM + 0x1000);
	put(0x1000 + 8 * 511, 0x2000 | FLAGS);
	put(0x2000 + 8 * 510, 0x3000 | FLAGS);
	put(0x3000, 0x4000 | FLAGS);
	put(0x4000, CODE | FLAGS);
	put(0x4008, CODE | FLAGS);
	put(0x4010, 0x9000 | FLAGS);
	put(0x4018, ROM | FLAGS);
	code(SAFE, "\x90\x90\xeb\xfc", 4);
	code(FN, "\xb8\x2a\0\0\0\xc3", 6);
	code(SPIN, "\x90\xeb\xfe\xc3", 4);
	code(OWN, "\xcc\xb8\x07\0\0\0\xc3", 7);
	code(IDLE, "\xeb\xfe", 2);
	code(PAD - 4, "\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc", 8);
	code(OOPS, "\x90\xeb\xfe", 3);
	memcpy(w.before, w.ram + CODE, sizeof(w.before));
	assert_int_equal(vp_local_new(&config, &w.l, NULL), 0);
	w.t = vp_local_target(w.l);
	assert_int_equal(vp_local_add_ram(w.l, VP_GPA(0), w.ram, RAM, 0, NULL), 0);
	return vp_local_add_ram(w.l, VP_GPA(ROM), w.ram + RAM, 0x1000, KVM_MEM_READONLY, NULL);
}

void fake_local_free(void)
{
	/* A test that failed has the lock still; who has not is refused (local.c). */
	w.t->ops->unlock(w.t);
	fake_local_end_all();
	assert_int_equal(vp_local_free(w.l), 0);
	free(w.ram);
}

void fake_local_clean(void)
{
	assert_memory_equal(w.ram + CODE, w.before, sizeof(w.before));
	assert_int_equal(atomic_load(&w.unarmed), 0);
}
