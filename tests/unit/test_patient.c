/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that may never return. */
#include "unit.h"

#include "target/patient.h"

#include <semaphore.h>
#include <unistd.h>

struct job {
	sem_t go, gone;
	int value;
};

static void work(void *arg)
{
	struct job *j = arg;

	sem_wait(&j->go);
	j->value++;
}

static void discard(void *arg)
{
	struct job *j = arg;

	assert_int_equal(j->value, 1); /* it had ended */
	sem_post(&j->gone);
}

static void test_in_time(void **state)
{
	struct job j = { .value = 0 };

	(void)state;
	sem_init(&j.go, 0, 1);
	sem_init(&j.gone, 0, 0);
	assert_int_equal(vp_patient_call(work, &j, discard, 20000), 0);
	assert_int_equal(j.value, 1);
	assert_int_equal(sem_trywait(&j.gone), -1); /* still ours */
}

static void test_late(void **state)
{
	struct job j = { .value = 0 };

	(void)state;
	sem_init(&j.go, 0, 0);
	sem_init(&j.gone, 0, 0);
	assert_int_equal(vp_patient_call(work, &j, discard, 10), -ETIMEDOUT);
	assert_int_equal(vp_patient_call(work, &j, discard, 0), -ETIMEDOUT);
	assert_int_equal(sem_trywait(&j.gone), -1);
	/* The first that ends sees 1; the other one would see 2, so only one is let go at a time.
	 */
	sem_post(&j.go);
	sem_wait(&j.gone);
	j.value = 0;
	sem_post(&j.go);
	sem_wait(&j.gone);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_time),
		cmocka_unit_test(test_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
