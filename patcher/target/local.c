/* SPDX-License-Identifier: Apache-2.0 */
/* The local target: its life, its RAM, its vCPUs. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "target/local_internal.h"
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

static void *zalloc_aligned(size_t size)
{
	void *p = aligned_alloc(VP_CACHE_LINE, size);

	return p ? memset(p, 0, size) : NULL;
}

/* --- life -------------------------------------------------------------------- */

static int op_lock(struct vp_target *t, struct vp_err *err)
{
	return vp_local_lock(vp_local_of(t), err);
}

static void op_unlock(struct vp_target *t)
{
	vp_local_end_gathering(vp_local_of(t));
	pthread_mutex_unlock(&vp_local_of(t)->lock);
}

static const struct vp_target_ops local_ops = {
	.name = "local",
	.lock = op_lock,
	.unlock = op_unlock,
	.read = vp_local_op_read,
	.write = vp_local_op_write,
	.swap_head = vp_local_op_swap_head,
	.swap_bytes = vp_local_op_swap_bytes,
	.swap_word = vp_local_op_swap_word,
	.ram = vp_local_op_ram,
	.writable = vp_local_op_writable,
	.check_write = vp_local_op_check_write,
	.hold = vp_local_op_hold,
	.release = vp_local_op_release,
	.arm = vp_local_op_arm,
	.disarm = vp_local_op_disarm,
	.sync = vp_local_op_sync,
	.quiesce = vp_local_op_quiesce,
	.let_run = vp_local_op_let_run,
	.unpark = vp_local_op_unpark,
	.stop = vp_local_op_stop,
	.resume = vp_local_op_resume,
	.abandon = vp_local_op_abandon,
	.breaks = &vp_local_break_ops,
};

/* One that tells a thread that has it already. */
static void init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

int vp_local_new(const struct vp_local_config *config, struct vp_local **out, struct vp_err *err)
{
	struct vp_local *l = zalloc_aligned(sizeof(*l));
	int rc;

	if (!l)
		return vp_err_set(err, -ENOMEM, "no memory for a target");
	l->kick_signal = config->kick_signal ? config->kick_signal : SIGRTMIN + 1;
	l->route = config->route;
	l->ram_moves = config->ram_moves;
	rc = vp_local_choose_serializer(l, config->serializer, err);
	if (!rc)
		rc = vp_local_take_signal(l->kick_signal, err);
	if (rc) {
		free(l);
		return rc;
	}
	l->target.ops = &local_ops;
	if (config->route == VP_ROUTE_NONE)
		l->target.no_int3 = "this host's KVM does not report a guest's int3";
	/* A KVM that emulates kernel mode in software runs user mode on the CPU, unwatched. */
	l->target.kernel_traps_only = config->route == VP_ROUTE_INTERNAL_ERROR;
	atomic_store(&l->epoch, 1);
	init_lock(&l->lock);
	pthread_mutex_init(&l->table_lock, NULL);
	pthread_mutex_init(&l->wait_lock, NULL);
	vp_cond_init(&l->has_answer);
	*out = l;
	return 0;
}

int vp_local_free(struct vp_local *l)
{
	bool used;

	if (!l)
		return 0;
	/* With the lock: who has just detached has let it go. */
	if (vp_local_lock(l, NULL))
		return -EBUSY;
	used = atomic_load(&l->nvcpus) || __atomic_load_n(&l->target.sink.handle, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&l->lock);
	if (used)
		return -EBUSY;
	pthread_cond_destroy(&l->has_answer);
	pthread_mutex_destroy(&l->table_lock);
	pthread_mutex_destroy(&l->wait_lock);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return 0;
}

int vp_local_kick_signal(const struct vp_local *l)
{
	return l->kick_signal;
}

struct vp_target *vp_local_target(struct vp_local *l)
{
	return &l->target;
}

/* --- vCPUs ------------------------------------------------------------------- */

/* With the lock. */
static void put(struct vp_local *l, unsigned int id, struct vp_local_vcpu *v)
{
	pthread_mutex_lock(&l->table_lock);
	l->vcpus[id] = v;
	if (id >= l->top)
		l->top = id + 1;
	pthread_mutex_unlock(&l->table_lock);
	if (v)
		atomic_fetch_add(&l->nvcpus, 1);
	else
		atomic_fetch_sub(&l->nvcpus, 1);
}

int vp_local_vcpu_attach(struct vp_local *l, unsigned int id, int fd, struct kvm_run *run,
			 struct vp_local_vcpu **out, struct vp_err *err)
{
	struct vp_local_vcpu *v;
	int rc;

	if (id >= VP_VCPU_MAX)
		return vp_err_set(err, -ENOSPC, "vCPU %u: at most %d are supported", id,
				  VP_VCPU_MAX);
	rc = vp_local_check_mask(l, id, err);
	if (rc)
		return rc;
	v = zalloc_aligned(sizeof(*v));
	if (!v)
		return vp_err_set(err, -ENOMEM, "no memory for vCPU %u", id);
	v->l = l;
	v->id = id;
	v->fd = fd;
	v->run = run;
	v->thread = pthread_self();
	v->tid = gettid();
	/* The lock makes a vCPU that comes in mid-batch wait for the end of it (S10). */
	rc = vp_local_lock(l, err);
	if (!rc) {
		if (l->vcpus[id])
			rc = vp_err_set(err, -EEXIST, "vCPU %u is there already", id);
		else
			put(l, id, v);
		pthread_mutex_unlock(&l->lock);
	}
	if (rc)
		free(v);
	else
		*out = v;
	return rc;
}

void vp_local_vcpu_detach(struct vp_local_vcpu *v)
{
	struct vp_local *l = v->l;
	int rc;

	/* Whoever waits for it with the lock held is told before. */
	atomic_store(&v->leaving, true);
	vp_local_notify(l);
	rc = vp_local_lock(l, NULL);
	put(l, v->id, NULL);
	if (!rc)
		pthread_mutex_unlock(&l->lock);
	free(v);
}

unsigned int vp_local_vcpu_count(struct vp_local *l)
{
	return atomic_load(&l->nvcpus);
}

static void add_vcpu(struct vp_local_counts *to, struct vp_local_vcpu *v)
{
	to->kicks += atomic_load_explicit(&v->kicks, memory_order_relaxed);
	to->stayed += atomic_load_explicit(&v->stayed, memory_order_relaxed);
}

void vp_local_stats(struct vp_local *l, struct vp_local_counts *out)
{
	*out = (struct vp_local_counts){
		.syncs = atomic_load_explicit(&l->syncs, memory_order_relaxed),
		.barriers = atomic_load_explicit(&l->barriers, memory_order_relaxed),
		.wakes = atomic_load_explicit(&l->wakes, memory_order_relaxed),
	};
	pthread_mutex_lock(&l->table_lock);
	for (unsigned int i = 0; i < VP_VCPU_MAX; i++)
		if (l->vcpus[i])
			add_vcpu(out, l->vcpus[i]);
	pthread_mutex_unlock(&l->table_lock);
}

int vp_local_vcpu_stats(struct vp_local *l, unsigned int id, struct vp_local_counts *out)
{
	struct vp_local_vcpu *v = NULL;

	*out = (struct vp_local_counts){ 0 };
	pthread_mutex_lock(&l->table_lock);
	if (id < VP_VCPU_MAX)
		v = l->vcpus[id];
	if (v)
		add_vcpu(out, v);
	pthread_mutex_unlock(&l->table_lock);
	return v ? 0 : -ENOENT;
}
