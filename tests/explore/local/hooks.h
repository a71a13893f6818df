/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Included before all else into the files of the local target, as they are: every access to what
 * threads share, every lock, signal and ioctl becomes a step that the explorer decides about.
 */
#ifndef VP_EXPLORE_LOCAL_HOOKS_H
#define VP_EXPLORE_LOCAL_HOOKS_H

/* All that they include, before the names below mean something else. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <linux/futex.h>
#include <linux/kvm.h>
#include <linux/membarrier.h>

/* A part of the state. */
#define VP_LOCAL_SLOTS 4

enum x_access { X_LOAD, X_STORE };

/* The running thread is about to make this access; others may run before it does. */
void x_step(const volatile void *at, enum x_access how);

int x_ioctl(int fd, unsigned long request, uintptr_t arg);
int x_tgkill(int pid, int tid, int sig);
int x_futex(_Atomic uint32_t *at, int op, uint32_t value, const struct timespec *limit);
long x_membarrier(int command);
int x_sigaction(int sig, const struct sigaction *to, struct sigaction *was);
pthread_t x_self(void);
pid_t x_tid(void);
void x_mutex_init(pthread_mutex_t *m, bool checks);
int x_mutex_lock(pthread_mutex_t *m);
int x_mutex_unlock(pthread_mutex_t *m);
int x_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
void x_cond_broadcast(pthread_cond_t *c);

/* --- atomics: all of them are sequentially consistent ---------------------------- */

#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_fetch_add
#undef atomic_fetch_sub
#define X_AT(p, how, access)                             \
	__extension__({                                  \
		x_step((const volatile void *)(p), how); \
		access;                                  \
	})
#define atomic_load(p)	      X_AT(p, X_LOAD, atomic_load_explicit(p, memory_order_seq_cst))
#define atomic_store(p, x)    X_AT(p, X_STORE, atomic_store_explicit(p, x, memory_order_seq_cst))
#define atomic_exchange(p, x) X_AT(p, X_STORE, atomic_exchange_explicit(p, x, memory_order_seq_cst))
#define atomic_fetch_add(p, x) \
	X_AT(p, X_STORE, atomic_fetch_add_explicit(p, x, memory_order_seq_cst))
#define atomic_fetch_sub(p, x) \
	X_AT(p, X_STORE, atomic_fetch_sub_explicit(p, x, memory_order_seq_cst))
#define __atomic_load_n(p, order)	X_AT(p, X_LOAD, __atomic_load_n(p, order))
#define __atomic_or_fetch(p, x, order)	X_AT(p, X_STORE, __atomic_or_fetch(p, x, order))
#define __atomic_and_fetch(p, x, order) X_AT(p, X_STORE, __atomic_and_fetch(p, x, order))

/* Nothing depends on counters, and states would differ by them. */
#define vp_local_count(counter, n) ((void)(counter))
#define VP_LOCAL_LOOK_US	   0 /* one look is as good as many */

/* --- threads ---------------------------------------------------------------------- */

/* What each thread has of its own is copied as threads take turns (host.c). */
#define __thread __attribute__((section("explore_tls")))

#define pthread_mutex_init(m, attr)	   x_mutex_init(m, (attr) != NULL)
#define pthread_mutex_destroy(m)	   ((void)(m))
#define pthread_mutex_lock(m)		   x_mutex_lock(m)
#define pthread_mutex_unlock(m)		   x_mutex_unlock(m)
#define pthread_cond_timedwait(c, m, when) ((void)(when), x_cond_wait(c, m))
#define pthread_cond_broadcast(c)	   x_cond_broadcast(c)
#define pthread_cond_destroy(c)		   ((void)(c))
#define pthread_self()			   x_self()
#define gettid()			   x_tid()
#define pthread_sigmask(how, set, was)	   ((void)(was), 1) /* nothing is blocked */
#define nanosleep(nap, left)		   ((void)(nap))

/* --- the kernel ------------------------------------------------------------------- */

#define ioctl(fd, request, arg)			       x_ioctl(fd, request, (uintptr_t)(arg))
#define sigaction(sig, to, was)			       x_sigaction(sig, to, was)
#define syscall(number, ...)			       X_##number(__VA_ARGS__)
#define X_SYS_tgkill(pid, tid, sig)		       x_tgkill(pid, tid, sig)
#define X_SYS_membarrier(command, flags, cpu)	       x_membarrier(command)
#define X_SYS_futex(at, op, value, limit, at2, value3) x_futex(at, op, value, limit)

#endif /* VP_EXPLORE_LOCAL_HOOKS_H */
