/* SPDX-License-Identifier: Apache-2.0 */
/* The local target: the guest's RAM. The one place where a guest-physical address becomes a
 * pointer.
 */
#include <cpuid.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "target/local_internal.h"

/* --- slots that go --------------------------------------------------------------- */

/*
 * Who looks at RAM says so first, then sees whether a slot is going; who takes one away does it the
 * other way round, so one of them waits for the other. Nobody sleeps in between, so neither waits
 * long.
 */
static void begin_use(struct vp_local *l)
{
	if (!l->ram_moves)
		return;
	for (;;) {
		atomic_fetch_add(&l->ram_users, 1);
		if (!atomic_load(&l->ram_moving))
			return;
		atomic_fetch_sub(&l->ram_users, 1);
		sched_yield();
	}
}

static void end_use(struct vp_local *l)
{
	if (l->ram_moves)
		atomic_fetch_sub(&l->ram_users, 1);
}

/* With table_lock: from here on nobody looks at RAM, until end_moving(). */
static void begin_moving(struct vp_local *l)
{
	atomic_store(&l->ram_moving, true);
	while (atomic_load(&l->ram_users))
		sched_yield();
}

static void end_moving(struct vp_local *l)
{
	atomic_store(&l->ram_moving, false);
}

/* --- slots ------------------------------------------------------------------------ */

/* The slot that holds all @len bytes at @gpa, or NULL. */
static const struct vp_slot_ram *find_slot(struct vp_local *l, vp_gpa gpa, size_t len)
{
	unsigned int n = atomic_load_explicit(&l->nram, memory_order_acquire);

	for (unsigned int i = 0; i < n; i++) {
		const struct vp_slot_ram *r = &l->ram[i];

		if (gpa.v >= r->gpa && gpa.v - r->gpa < r->len && len <= r->len - (gpa.v - r->gpa))
			return r;
	}
	return NULL;
}

void *vp_local_hva(struct vp_local *l, vp_gpa gpa, size_t len)
{
	const struct vp_slot_ram *r = find_slot(l, gpa, len);

	return r ? r->hva + (gpa.v - r->gpa) : NULL;
}

/* Where slots move nobody waits for a batch: the VMM may hold a lock that a vCPU needs. */
static int lock_slots(struct vp_local *l, struct vp_err *err)
{
	int rc = l->ram_moves ? 0 : vp_local_lock(l, err);

	if (!rc)
		pthread_mutex_lock(&l->table_lock);
	return rc;
}

static void unlock_slots(struct vp_local *l)
{
	pthread_mutex_unlock(&l->table_lock);
	if (!l->ram_moves)
		pthread_mutex_unlock(&l->lock);
}

int vp_local_add_ram(struct vp_local *l, vp_gpa gpa, void *hva, size_t len, uint32_t kvm_flags,
		     struct vp_err *err)
{
	unsigned int n;
	int rc;

	if (!hva || !len || gpa.v + len < gpa.v)
		return vp_err_set(err, -EINVAL, "%zu bytes at guest-physical 0x%llx are no RAM",
				  len, (unsigned long long)gpa.v);
	rc = lock_slots(l, err);
	if (rc)
		return rc;
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
		/* Release: pairs with the acquire load in find_slot(). */
		atomic_store_explicit(&l->nram, n + 1, memory_order_release);
	}
	unlock_slots(l);
	return rc;
}

int vp_local_remove_ram(struct vp_local *l, vp_gpa gpa, struct vp_err *err)
{
	unsigned int n, i;

	if (!l->ram_moves)
		return vp_err_set(err, -EINVAL, "this target's RAM does not move");
	lock_slots(l, NULL);
	n = atomic_load(&l->nram);
	for (i = 0; i < n && l->ram[i].gpa != gpa.v; i++)
		;
	if (i < n) {
		const struct vp_slot_ram *last = &l->ram[n - 1];

		begin_moving(l);
		l->ram[i].gpa = last->gpa;
		l->ram[i].len = last->len;
		l->ram[i].hva = last->hva;
		atomic_store(&l->ram[i].flags, atomic_load(&last->flags));
		atomic_store(&l->nram, n - 1);
		end_moving(l);
	}
	unlock_slots(l);
	return i < n ? 0
		     : vp_err_set(err, -ENOENT, "no RAM slot begins at guest-physical 0x%llx",
				  (unsigned long long)gpa.v);
}

int vp_local_set_ram_flags(struct vp_local *l, vp_gpa gpa, uint32_t kvm_flags, struct vp_err *err)
{
	int rc = vp_local_lock(l, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&l->table_lock);
	rc = -ENOENT;
	for (unsigned int i = 0; i < atomic_load(&l->nram); i++) {
		if (l->ram[i].gpa != gpa.v)
			continue;
		atomic_store(&l->ram[i].flags, kvm_flags);
		rc = 0;
	}
	pthread_mutex_unlock(&l->table_lock);
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
 * byte may ever be seen half. Acquire: pairs with vp_local_op_swap_head(); who sees our int3 sees
 * the table.
 */
int vp_local_op_read(struct vp_target *t, vp_gpa gpa, void *buf, size_t len, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	const uint8_t *from;
	uint8_t *to = buf;

	begin_use(l);
	from = vp_local_hva(l, gpa, len);
	for (size_t i = 0; from && i < len; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_ACQUIRE);
	end_use(l);
	return from ? 0 : not_ram(gpa, len, err);
}

/*
 * The bytes at @gpa, if they may be written. A read-only slot may be mapped so that a store kills
 * the VMM, and to the guest it is a device's; what is stored while a slot logs dirty pages would be
 * missing in the log. The flags do not change in mid-batch: vp_local_set_ram_flags() takes the
 * lock.
 */
static int to_write(struct vp_local *l, vp_gpa gpa, size_t len, uint8_t **out, struct vp_err *err)
{
	const struct vp_slot_ram *r = find_slot(l, gpa, len);
	uint32_t flags = r ? atomic_load(&r->flags) : 0;

	if (!r)
		return not_ram(gpa, len, err);
	if (flags & KVM_MEM_READONLY)
		return vp_err_set(err, -EROFS,
				  "guest-physical 0x%llx lies in a read-only slot "
				  "(KVM_MEM_READONLY)",
				  (unsigned long long)gpa.v);
	if (flags & KVM_MEM_LOG_DIRTY_PAGES)
		return vp_err_set(err, -EBUSY,
				  "guest-physical 0x%llx lies in a slot that logs dirty pages",
				  (unsigned long long)gpa.v);
	*out = r->hva + (gpa.v - r->gpa);
	return 0;
}

int vp_local_op_check_write(struct vp_target *t, vp_gpa gpa, size_t len, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	uint8_t *at;
	int rc;

	begin_use(l);
	rc = to_write(l, gpa, len, &at, err);
	end_use(l);
	return rc;
}

int vp_local_op_write(struct vp_target *t, vp_gpa gpa, const void *buf, size_t len,
		      struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	const uint8_t *from = buf;
	uint8_t *to;
	int rc;

	begin_use(l);
	rc = to_write(l, gpa, len, &to, err);
	for (size_t i = 0; i < len && !rc; i++)
		__atomic_store_n(&to[i], from[i], __ATOMIC_RELAXED);
	end_use(l);
	return rc;
}

int vp_local_op_swap_head(struct vp_target *t, vp_gpa gpa, uint8_t expect, uint8_t value,
			  struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	uint8_t *to;
	int rc;

	begin_use(l);
	rc = to_write(l, gpa, 1, &to, err);
	/* Sequentially consistent, so release, too: the trap table is visible before the int3 (S3).
	 */
	if (!rc && !__atomic_compare_exchange_n(to, &expect, value, false, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
		rc = vp_err_set(err, -EAGAIN, "guest-physical 0x%llx holds 0x%02x now",
				(unsigned long long)gpa.v, expect);
	end_use(l);
	return rc;
}

int vp_local_op_swap_word(struct vp_target *t, vp_gpa gpa, uint32_t expect, uint32_t value,
			  struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	uint8_t *to;
	int rc;

	if (gpa.v % sizeof(expect))
		return not_ram(gpa, sizeof(expect), err);
	begin_use(l);
	rc = to_write(l, gpa, sizeof(expect), &to, err);
	if (!rc && !__atomic_compare_exchange_n((uint32_t *)(void *)to, &expect, value, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		rc = vp_err_set(err, -EAGAIN, "guest-physical 0x%llx holds %u now",
				(unsigned long long)gpa.v, expect);
	end_use(l);
	return rc;
}

/* --- several bytes in one compare-and-swap ------------------------------------ */

#define CACHE_LINE 64u

union window {
	uint8_t bytes[16];
	uint64_t half[2];
};

/*
 * A locked access that does not leave its cache line is atomic wherever it begins (SDM vol. 3,
 * 9.1.2.2), and no split lock.
 */
static bool cas_8(uint8_t *at, union window *was, const union window *now)
{
	bool done;

	__asm__ volatile("lock cmpxchgq %3, %1"
			 : "=@ccz"(done), "+m"(*(uint64_t *)(void *)at), "+a"(was->half[0])
			 : "r"(now->half[0])
			 : "memory");
	return done;
}

/* @at is a multiple of 16. */
static bool cas_16(uint8_t *at, union window *was, const union window *now)
{
	bool done;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(done), "+m"(*(unsigned __int128 *)(void *)at),
			   "+a"(was->half[0]), "+d"(was->half[1])
			 : "b"(now->half[0]), "c"(now->half[1])
			 : "memory");
	return done;
}

static bool has_cmpxchg16b(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && c & bit_CMPXCHG16B;
}

/* Eight bytes of one cache line around the @len bytes at @at, or sixteen aligned; 0: neither. */
static size_t find_window(uint8_t *at, size_t len, uint8_t **start)
{
	uintptr_t p = (uintptr_t)at, line = p & ~(uintptr_t)(CACHE_LINE - 1);

	if (len <= 8 && p + len <= line + CACHE_LINE) {
		*start = at - (p & 7);
		if ((p & 7) + len > 8)
			*start = p + 8 <= line + CACHE_LINE ? at : at - (p + 8 - line - CACHE_LINE);
		return 8;
	}
	*start = at - (p & 15);
	return (p & 15) + len <= 16 && has_cmpxchg16b() ? 16 : 0;
}

/* How often the guest may write to the neighbours while we try. */
#define TRIES_MAX 10000

static int swap_in_window(uint8_t *start, size_t size, size_t off, const uint8_t *expect,
			  const uint8_t *value, size_t len)
{
	union window was = { .half = { 0 } }, now;

	for (size_t i = 0; i < size; i++)
		was.bytes[i] = __atomic_load_n(&start[i], __ATOMIC_ACQUIRE);
	for (unsigned int i = 0; i < TRIES_MAX; i++) {
		if (memcmp(was.bytes + off, expect, len))
			return -EAGAIN;
		now = was;
		memcpy(now.bytes + off, value, len);
		if (size == 8 ? cas_8(start, &was, &now) : cas_16(start, &was, &now))
			return 0;
	}
	return -EAGAIN;
}

static int swap_bytes(struct vp_local *l, vp_gpa gpa, const uint8_t *expect, const uint8_t *value,
		      size_t len, struct vp_err *err)
{
	const struct vp_slot_ram *r = find_slot(l, gpa, len);
	uint8_t *at, *start;
	size_t size;
	int rc = to_write(l, gpa, len, &at, err);

	if (rc)
		return rc;
	size = len && len <= VP_INSN_MAX ? find_window(at, len, &start) : 0;
	if (!size || start < r->hva || start + size > r->hva + r->len)
		return vp_err_set(
			err, -EOPNOTSUPP,
			"the %zu bytes at guest-physical 0x%llx cannot be swapped at once", len,
			(unsigned long long)gpa.v);
	rc = swap_in_window(start, size, (size_t)(at - start), expect, value, len);
	return rc ? vp_err_set(err, rc, "guest-physical 0x%llx holds other bytes now",
			       (unsigned long long)gpa.v)
		  : 0;
}

int vp_local_op_swap_bytes(struct vp_target *t, vp_gpa gpa, const uint8_t *expect,
			   const uint8_t *value, size_t len, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	int rc;

	begin_use(l);
	rc = swap_bytes(l, gpa, expect, value, len, err);
	end_use(l);
	return rc;
}

/* --- all of it ---------------------------------------------------------------- */

static int by_gpa(const void *a, const void *b)
{
	vp_gpa x = *(const vp_gpa *)a, y = *(const vp_gpa *)b;

	return (x.v > y.v) - (x.v < y.v);
}

int vp_local_op_ram(struct vp_target *t, int (*fn)(void *arg, vp_gpa start, uint64_t len),
		    void *arg, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	struct {
		vp_gpa start;
		uint64_t len;
	} sorted[VP_LOCAL_SLOTS] = { 0 };
	unsigned int n;
	int rc = 0;

	(void)err;
	begin_use(l);
	n = atomic_load_explicit(&l->nram, memory_order_acquire);
	for (unsigned int i = 0; i < n; i++) {
		sorted[i].start = VP_GPA(l->ram[i].gpa);
		sorted[i].len = l->ram[i].len;
	}
	end_use(l);
	qsort(sorted, n, sizeof(sorted[0]), by_gpa);
	for (unsigned int i = 0; i < n && !rc; i++)
		rc = fn(arg, sorted[i].start, sorted[i].len);
	return rc;
}

/*
 * While the guest is saved most of its RAM is logged; a framebuffer is at all times. A site in a
 * slot that logs is refused by itself (to_write()).
 */
int vp_local_op_writable(struct vp_target *t, struct vp_err *err)
{
	struct vp_local *l = vp_local_of(t);
	uint64_t bytes = 0, logged = 0, at = 0;

	begin_use(l);
	for (unsigned int i = 0; i < atomic_load(&l->nram); i++) {
		const struct vp_slot_ram *r = &l->ram[i];
		uint32_t flags = atomic_load(&r->flags);

		if (flags & KVM_MEM_READONLY)
			continue;
		bytes += r->len;
		if (!(flags & KVM_MEM_LOG_DIRTY_PAGES))
			continue;
		logged += r->len;
		at = r->gpa;
	}
	end_use(l);
	if (logged <= bytes / 2)
		return 0;
	return vp_err_set(err, -EBUSY,
			  "the VMM logs dirty pages at guest-physical 0x%llx (a migration?), which "
			  "our writes would escape; try again when it is over",
			  (unsigned long long)at);
}
