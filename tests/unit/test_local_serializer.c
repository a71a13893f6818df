/* SPDX-License-Identifier: Apache-2.0 */
/* How vCPUs are made to serialize: the choice, and whom a sync leaves alone. */
#include <sys/resource.h>

#include "fake_local.h"
#include "unit.h"

#define w fake_local

static struct vp_local_counts stats(void)
{
	struct vp_local_counts s;

	vp_local_stats(w.l, &s);
	return s;
}

static int sync_all(enum vp_sync what, unsigned int timeout_ms)
{
	int rc;

	w.t->ops->lock(w.t, NULL);
	rc = w.t->ops->sync(w.t, what, timeout_ms, NULL);
	w.t->ops->unlock(w.t);
	return rc;
}

/* --- the choice ------------------------------------------------------------------ */

static int make(enum vp_trap_route route, enum vp_serializer s, const char **name,
		struct vp_err *err)
{
	const struct vp_local_config config = { .route = route, .serializer = s };
	struct vp_local *l = NULL;
	int rc = vp_local_new(&config, &l, err);

	if (rc)
		return rc;
	*name = vp_local_target(l)->serializer;
	return vp_local_free(l);
}

/* A KVM that emulates kernel mode may be in the middle of an instruction. */
static void test_emulating_host(void **state)
{
	static const enum vp_serializer faster[] = { VP_SERIALIZER_KICK_MEMBARRIER,
						     VP_SERIALIZER_MEMBARRIER };
	const char *name;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct vp_err err = { "" };

		assert_int_equal(make(VP_ROUTE_INTERNAL_ERROR, faster[i], &name, &err),
				 -EOPNOTSUPP);
		assert_non_null(strstr(err.text, vp_serializer_name(faster[i])));
		assert_non_null(strstr(err.text, "emulates"));
		assert_int_equal(make(VP_ROUTE_NONE, faster[i], &name, NULL), -EOPNOTSUPP);
	}
	assert_int_equal(make(VP_ROUTE_INTERNAL_ERROR, VP_SERIALIZER_AUTO, &name, NULL), 0);
	assert_string_equal(name, "kick");
	assert_int_equal(make(VP_ROUTE_INTERNAL_ERROR, VP_SERIALIZER_KICK, &name, NULL), 0);
	assert_string_equal(name, "kick");
}

/* Whatever this host is: what is right can be had, what is not is refused, and AUTO is right. */
static void test_this_host(void **state)
{
	const char *name;

	(void)state;
	for (unsigned int s = VP_SERIALIZER_KICK; s <= VP_SERIALIZER_MEMBARRIER; s++) {
		struct vp_err err = { "" };
		const char *why = vp_serializer_why_not(s, VP_ROUTE_DEBUG);
		int rc = make(VP_ROUTE_DEBUG, s, &name, &err);

		assert_int_equal(rc, why ? -EOPNOTSUPP : 0);
		if (why)
			assert_non_null(strstr(err.text, why));
		else
			assert_string_equal(name, vp_serializer_name(s));
	}
	assert_null(vp_serializer_why_not(vp_serializer_best(VP_ROUTE_DEBUG), VP_ROUTE_DEBUG));
	assert_int_equal(make(VP_ROUTE_DEBUG, VP_SERIALIZER_AUTO, &name, NULL), 0);
	assert_string_equal(name, vp_serializer_name(vp_serializer_best(VP_ROUTE_DEBUG)));
	assert_int_equal(make(VP_ROUTE_DEBUG, VP_SERIALIZER_MEMBARRIER + 1, &name, NULL), -EINVAL);
}

/* --- who is left alone ------------------------------------------------------------- */

/* Who is out of the guest is not called; it serializes before it enters. */
static void test_out_is_left_alone(void **state)
{
	(void)state;
	fake_local_start(0, TEXT + IDLE);
	fake_local_inside(0);
	assert_int_equal(sync_all(VP_SYNC_CORE, 10000), 0);
	assert_int_equal(stats().kicks, 1);
	fake_local_inside(0);
	w.t->ops->lock(w.t, NULL);
	assert_int_equal(w.t->ops->stop(w.t, 10000, NULL), 0);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(w.t->ops->sync(w.t, VP_SYNC_EXIT, 10000, NULL), 0);
	w.t->ops->resume(w.t);
	w.t->ops->unlock(w.t);
	assert_int_equal(stats().kicks, 1);
	assert_int_equal(stats().syncs, 11);
	assert_int_equal(stats().barriers, 0);
}

/* The second batch of a stream pays no arming. */
static void test_stays_armed(void **state)
{
	uint64_t kicks;

	(void)state;
	fake_local_start(0, TEXT + IDLE);
	fake_local_inside(0);
	w.t->ops->lock(w.t, NULL);
	assert_int_equal(w.t->ops->arm(w.t, 10000, NULL), 0);
	w.t->ops->disarm(w.t);
	w.t->ops->unlock(w.t);
	fake_local_inside(0);
	kicks = stats().kicks;
	assert_int_equal(kicks, 1);
	w.t->ops->lock(w.t, NULL);
	assert_int_equal(w.t->ops->arm(w.t, 10000, NULL), 0);
	w.t->ops->disarm(w.t);
	w.t->ops->unlock(w.t);
	assert_int_equal(stats().kicks, kicks);
}

static void test_stats_of_one(void **state)
{
	struct vp_local_counts s;

	(void)state;
	fake_local_start(0, TEXT + IDLE);
	fake_local_inside(0);
	assert_int_equal(sync_all(VP_SYNC_CORE, 10000), 0);
	assert_int_equal(vp_local_vcpu_stats(w.l, 0, &s), 0);
	assert_int_equal(s.kicks, 1);
	assert_int_equal(s.syncs, 0);
	assert_int_equal(vp_local_vcpu_stats(w.l, 1, &s), -ENOENT);
	assert_int_equal(vp_local_vcpu_stats(w.l, VP_VCPU_MAX, &s), -ENOENT);
}

/* --- a signal that cannot be sent ---------------------------------------------------- */

/* It is said, no answer is taken for granted, and it is sent when there is room again. */
static void test_no_room_for_signals(void **state)
{
	struct rlimit was, none;

	(void)state;
	fake_local_start(0, TEXT + IDLE);
	fake_local_inside(0);
	assert_int_equal(getrlimit(RLIMIT_SIGPENDING, &was), 0);
	none = was;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &none), 0);
	assert_int_equal(sync_all(VP_SYNC_CORE, 1), -ETIMEDOUT);
	assert_int_equal(vp_local_vcpu_interrupt(w.l, 0), -EAGAIN);
	assert_int_equal(setrlimit(RLIMIT_SIGPENDING, &was), 0);
	assert_int_equal(sync_all(VP_SYNC_CORE, 10000), 0);
}

/* --------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	(void)state;
	return fake_local_new(VP_ROUTE_DEBUG);
}

static int teardown(void **state)
{
	(void)state;
	fake_local_free();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_emulating_host),
		cmocka_unit_test(test_this_host),
		cmocka_unit_test_setup_teardown(test_out_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stays_armed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stats_of_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room_for_signals, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
