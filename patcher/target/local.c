/* SPDX-License-Identifier: Apache-2.0 */
/* The local target: its life, its RAM, its vCPUs. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "target/local_internal.h"
#include "target/serialize.h"
#include "target/wait.h"

const char *vp_route_name(enum vp_trap_route route)
{
	switch (route) {
	case VP_ROUTE_DEBUG:
		return "KVM_EXIT_DEBUG";
	case VP_ROUTE_INTERNAL_ERROR:
		return "KVM_EXIT_INTERNAL_ERROR";
	case VP_ROUTE_NONE:
		break;
	}
	return "none";
}

/* --- RAM --------------------------------------------------------------------- */

/* The one place where a guest-physical address becomes a pointer. */
void *vp_local_hva(struct vp_local *l, vp_gpa gpa, size_t len)
{
	unsigned int n = atomic_load_explicit(&l->nram, memory_order_acquire);

	for (unsigned int i = 0; i < n; i++) {
		const struct vp_slot_ram *r = &l->ram[i];

		if (gpa.v >= r->gpa && gpa.v - r->gpa < r->len && len <= r->len - (gpa.v - r->gpa))
			return r->hva + (gpa.v - r->gpa);
	}
	return NULL;
}

int vp_local_add_ram(struct vp_local *l, vp_gpa gpa, void *hva, size_t len, uint32_t kvm_flags,
		     struct vp_err *err)
{
	unsigned int n;
	int rc = 0;

	pthread_mutex_lock(&l->lock);
	n = atomic_load(&l->nram);
	for (unsigned int i = 0; i < n && !rc; i++)
		if (gpa.v < l->ram[i].gpa + l->ram[i].len && l->ram[i].gpa < gpa.v + len)
			rc = vp_err_set(err, -EEXIST, "RAM at guest-physical 0x%llx overlaps",
					(unsigned long long)gpa.v);
	if (!rc && n == VP_LOCAL_SLOTS)
		rc = vp_err_set(err, -ENOSPC, "more than %d RAM slots", VP_LOCAL_SLOTS);
	if (!rc) {
		struct vp_slot_ram *r = &l->ram[n];

		r->gpa = gpa.v;
		r->len = len;
		r->hva = hva;
		atomic_store(&r->flags, kvm_flags);
		/* Release: pairs with the acquire load in vp_local_hva(). */
		atomic_store_explicit(&l->nram, n + 1, memory_order_release);
	}
	pthread_mutex_unlock(&l->lock);
	return rc;
}

int vp_local_set_ram_flags(struct vp_local *l, vp_gpa gpa, uint32_t kvm_flags, struct vp_err *err)
{
	int rc = -ENOENT;

	pthread_mutex_lock(&l->lock);
	for (unsigned int i = 0; i < atomic_load(&l->nram); i++) {
		if (l->ram[i].gpa != gpa.v)
			continue;
		atomic_store(&l->ram[i].flags, kvm_flags);
		rc = 0;
	}
	pthread_mutex_unlock(&l->lock);
	if (rc)
		vp_err_set(err, rc, "no RAM slot begins at guest-physical 0x%llx",
			   (unsigned long long)gpa.v);
	return rc;
}

static int not_ram(vp_gpa gpa, size_t len, struct vp_err *err)
{
	return vp_err_set(err, -EFAULT, "guest-physical 0x%llx (%zu bytes) is not RAM",
			  (unsigned long long)gpa.v, len);
}

/*
 * Bytes are moved one by one with atomics: the guest and other threads use the same memory, and no
 * byte may ever be seen half. Acquire: pairs with op_swap_head(); who sees our int3 sees the table.
 */
static int op_read(struct vp_target *t, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	const uint8_t *from = vp_local_hva(vp_local_of(t), gpa, len);
	uint8_t *to = buf;

	if (!from)
		return not_ram(gpa, len, err);
	for (size_t i = 0; i < len; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_ACQUIRE);
	return 0;
}

static int op_write(struct vp_target *t, vp_gpa gpa, const void *buf, size_t len,
		    struct vp_err *err)
{
	uint8_t *to = vp_local_hva(vp_local_of(t), gpa, len);
	const uint8_t *from = buf;

	if (!to)
		return not_ram(gpa, len, err);
	for (size_t i = 0; i < len; i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
	return 0;
}

static int op_swap_head(struct vp_target *t, vp_gpa gpa, uint8_t expect, uint8_t value,
			struct vp_err *err)
{
	uint8_t *to = vp_local_hva(vp_local_of(t), gpa, 1);

	if (!to)
		return not_ram(gpa, 1, err);
	/* Sequentially consistent, so release, too: the trap table is visible before the int3 (S3).
	 */
	if (__atomic_compare_exchange_n(to, &expect, value, false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST))
		return 0;
	return vp_err_set(err, -EAGAIN, "guest-physical 0x%llx holds 0x%02x now",
			  (unsigned long long)gpa.v, expect);
}

static int op_swap_word(struct vp_target *t, vp_gpa gpa, uint32_t expect, uint32_t value,
			struct vp_err *err)
{
	uint32_t *to = gpa.v % sizeof(*to) ? NULL : vp_local_hva(vp_local_of(t), gpa, sizeof(*to));

	if (!to)
		return not_ram(gpa, sizeof(*to), err);
	if (__atomic_compare_exchange_n(to, &expect, value, false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST))
		return 0;
	return vp_err_set(err, -EAGAIN, "guest-physical 0x%llx holds %u now",
			  (unsigned long long)gpa.v, expect);
}

static int by_gpa(const void *a, const void *b)
{
	vp_gpa x = *(const vp_gpa *)a, y = *(const vp_gpa *)b;

	return (x.v > y.v) - (x.v < y.v);
}

static int op_ram(struct vp_target *t, int (*fn)(void *arg, vp_gpa start, uint64_t len), void *arg,
		  struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	struct {
		vp_gpa start;
		uint64_t len;
	} sorted[VP_LOCAL_SLOTS] = { 0 };
	unsigned int n = atomic_load_explicit(&l->nram, memory_order_acquire);
	int rc = 0;

	(void)err;
	for (unsigned int i = 0; i < n; i++) {
		sorted[i].start = VP_GPA(l->ram[i].gpa);
		sorted[i].len = l->ram[i].len;
	}
	qsort(sorted, n, sizeof(sorted[0]), by_gpa);
	for (unsigned int i = 0; i < n && !rc; i++)
		rc = fn(arg, sorted[i].start, sorted[i].len);
	return rc;
}

static int op_writable(struct vp_target *t, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);

	for (unsigned int i = 0; i < atomic_load(&l->nram); i++)
		if (atomic_load(&l->ram[i].flags) & KVM_MEM_LOG_DIRTY_PAGES)
			return vp_err_set(err, -EBUSY,
					  "the VMM logs dirty pages at guest-physical 0x%llx (a "
					  "migration?), which our writes would escape; try again "
					  "when it is over",
					  (unsigned long long)l->ram[i].gpa);
	return 0;
}

/* --- life -------------------------------------------------------------------- */

static int op_lock(struct vp_target *t, struct vp_err *err)
{
	(void)err;
	pthread_mutex_lock(&vp_local_of(t)->lock);
	return 0;
}

static void op_unlock(struct vp_target *t)
{
	pthread_mutex_unlock(&vp_local_of(t)->lock);
}

/* Held for ever: no write of ours to RAM can fail half way, so this is not reached. */
static void op_abandon(struct vp_target *t)
{
	(void)t;
}

static const struct vp_target_ops local_ops = {
	.name = "local",
	.serializer = "kick",
	.lock = op_lock,
	.unlock = op_unlock,
	.read = op_read,
	.write = op_write,
	.swap_head = op_swap_head,
	.swap_word = op_swap_word,
	.ram = op_ram,
	.writable = op_writable,
	.hold = vp_local_op_hold,
	.release = vp_local_op_release,
	.arm = vp_local_op_arm,
	.disarm = vp_local_op_disarm,
	.sync = vp_local_op_sync,
	.quiesce = vp_local_op_quiesce,
	.unpark = vp_local_op_unpark,
	.stop = vp_local_op_stop,
	.resume = vp_local_op_resume,
	.abandon = op_abandon,
};

static void on_kick(int sig)
{
	(void)sig; /* interrupting KVM_RUN is all it does */
}

int vp_local_new(enum vp_trap_route route, struct vp_local **out, struct vp_err *err)
{
	struct sigaction kick = { .sa_handler = on_kick };
	struct vp_local *l = calloc(1, sizeof(*l));

	if (!l)
		return vp_err_set(err, -ENOMEM, "no memory for a target");
	sigemptyset(&kick.sa_mask);
	sigaction(VP_KICK_SIGNAL, &kick, NULL);
	l->target.ops = &local_ops;
	l->route = route;
	/* A KVM that emulates kernel mode in software runs user mode on the CPU, unwatched. */
	l->target.kernel_traps_only = route == VP_ROUTE_INTERNAL_ERROR;
	atomic_store(&l->epoch, 1);
	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->wait_lock, NULL);
	vp_cond_init(&l->answered);
	vp_cond_init(&l->changed);
	*out = l;
	return 0;
}

void vp_local_free(struct vp_local *l)
{
	if (!l)
		return;
	pthread_cond_destroy(&l->changed);
	pthread_cond_destroy(&l->answered);
	pthread_mutex_destroy(&l->wait_lock);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

struct vp_target *vp_local_target(struct vp_local *l)
{
	return &l->target;
}

/* --- vCPUs ------------------------------------------------------------------- */

int vp_local_vcpu_attach(struct vp_local *l, unsigned int id, int fd, struct kvm_run *run,
			 struct vp_local_vcpu **out, struct vp_err *err)
{
	struct vp_local_vcpu *v;
	int rc = 0;

	if (id >= VP_VCPU_MAX)
		return vp_err_set(err, -ENOSPC, "vCPU %u: at most %d are supported", id,
				  VP_VCPU_MAX);
	v = calloc(1, sizeof(*v));
	if (!v)
		return vp_err_set(err, -ENOMEM, "no memory for vCPU %u", id);
	v->l = l;
	v->id = id;
	v->fd = fd;
	v->run = run;
	v->tid = gettid();
	/* The lock makes a vCPU that comes in mid-batch wait for the end of it (S10). */
	pthread_mutex_lock(&l->lock);
	if (l->vcpus[id]) {
		rc = vp_err_set(err, -EEXIST, "vCPU %u is there already", id);
	} else {
		l->vcpus[id] = v;
		l->nvcpus++;
	}
	pthread_mutex_unlock(&l->lock);
	if (rc)
		free(v);
	else
		*out = v;
	return rc;
}

void vp_local_vcpu_detach(struct vp_local_vcpu *v)
{
	struct vp_local *l = v->l;

	pthread_mutex_lock(&l->lock);
	l->vcpus[v->id] = NULL;
	l->nvcpus--;
	pthread_mutex_unlock(&l->lock);
	free(v);
}

unsigned int vp_local_vcpu_count(struct vp_local *l)
{
	unsigned int n;

	pthread_mutex_lock(&l->lock);
	n = l->nvcpus;
	pthread_mutex_unlock(&l->lock);
	return n;
}
