#include "unit.h"

#include "client/retry.h"

enum { SECOND = 1000 * 1000 };

static struct retry make(bool enabled, unsigned attempts)
{
	struct retry_config config = { enabled, attempts };
	struct retry r;

	retry_init(&r, &config);
	return r;
}

static void waits_grow(void **state)
{
	static const uint64_t most[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	struct retry r = make(true, 0);

	(void)state;
	for (size_t i = 0; i < COUNT(most); i++) {
		uint64_t wait = 0, full;
		struct retry copy = r;

		/* Jittered downwards, by a quarter at most. */
		assert_int_equal(retry_failure(&copy, RETRY_UNREACHABLE, 1, 0, &full), RETRY_AGAIN);
		assert_int_equal(full, most[i]);
		assert_int_equal(retry_failure(&r, RETRY_UNREACHABLE, 1, 1023, &wait), RETRY_AGAIN);
		assert_true(wait < most[i] && wait >= most[i] * 3 / 4);
	}
}

static void what_is_final(void **state)
{
	static const struct {
		enum retry_cause cause;
		enum retry_verdict before, after; /* a first success */
	} rows[] = {
		{ RETRY_UNREACHABLE, RETRY_AGAIN, RETRY_AGAIN },
		{ RETRY_NO_NETWORK, RETRY_AGAIN, RETRY_AGAIN },
		{ RETRY_REFUSED, RETRY_FINAL, RETRY_FINAL },
		{ RETRY_CERTIFICATE, RETRY_FINAL, RETRY_AGAIN },
		{ RETRY_PORT, RETRY_FINAL, RETRY_AGAIN },
		{ RETRY_USAGE, RETRY_FINAL, RETRY_AGAIN },
		{ RETRY_TOLD, RETRY_AGAIN, RETRY_AGAIN },
	};
	uint64_t wait;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct retry r = make(true, 10);

		assert_int_equal(retry_failure(&r, rows[i].cause, 1, 0, &wait), rows[i].before);
		r = make(true, 10);
		retry_success(&r, 1);
		retry_failure(&r, RETRY_UNREACHABLE, 2, 0, &wait);
		assert_int_equal(retry_failure(&r, rows[i].cause, 3, 0, &wait), rows[i].after);
	}
}

static void counts(void **state)
{
	struct retry r = make(true, 3);
	uint64_t wait;

	(void)state;
	assert_int_equal(retry_failure(&r, RETRY_UNREACHABLE, 1, 0, &wait), RETRY_AGAIN);
	assert_int_equal(retry_failure(&r, RETRY_TOLD, 1, 0, &wait), RETRY_AGAIN); /* counts not */
	assert_int_equal(retry_failure(&r, RETRY_UNREACHABLE, 1, 0, &wait), RETRY_AGAIN);
	assert_int_equal(retry_failure(&r, RETRY_UNREACHABLE, 1, 0, &wait), RETRY_GIVE_UP);
	assert_int_equal(r.failed, 3);
}

/* After a first success, time without a network counts not. */
static void no_network(void **state)
{
	struct retry r = make(true, 2);
	uint64_t wait;

	(void)state;
	retry_success(&r, 1);
	assert_int_equal(retry_failure(&r, RETRY_UNREACHABLE, 2, 0, &wait), RETRY_AGAIN);
	for (int i = 0; i < 50; i++)
		assert_int_equal(retry_failure(&r, RETRY_NO_NETWORK, 3, 0, &wait), RETRY_AGAIN);
	r = make(true, 2);
	retry_failure(&r, RETRY_NO_NETWORK, 3, 0, &wait);
	assert_int_equal(retry_failure(&r, RETRY_NO_NETWORK, 3, 0, &wait), RETRY_GIVE_UP);
}

/* A session of a minute makes the count begin anew; a shorter one does not. */
static void calm(void **state)
{
	struct retry r = make(true, 3);
	uint64_t wait;

	(void)state;
	retry_failure(&r, RETRY_UNREACHABLE, 1, 0, &wait);
	retry_failure(&r, RETRY_UNREACHABLE, 1, 0, &wait);
	retry_success(&r, 10 * SECOND);
	retry_failure(&r, RETRY_UNREACHABLE, 69 * SECOND, 0, &wait);
	assert_int_equal(r.failed, 2);
	retry_success(&r, 100 * SECOND);
	retry_failure(&r, RETRY_UNREACHABLE, 160 * SECOND, 0, &wait);
	assert_int_equal(r.failed, 0);
	assert_int_equal(wait, 1000);
}

/* A server that takes every login and drops it soon: waits grow all the same,
 * attempts are not used up, and a calm minute forgets it. */
static void flapping(void **state)
{
	static const uint64_t most[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	struct retry r = make(true, 3);
	uint64_t wait, now = SECOND;

	(void)state;
	for (size_t i = 0; i < COUNT(most); i++) {
		retry_success(&r, now);
		now += SECOND;
		assert_int_equal(retry_failure(&r, RETRY_UNREACHABLE, now, 0, &wait), RETRY_AGAIN);
		assert_int_equal(wait, most[i]);
	}
	retry_success(&r, now);
	now += 60 * SECOND;
	assert_int_equal(retry_failure(&r, RETRY_UNREACHABLE, now, 0, &wait), RETRY_AGAIN);
	assert_int_equal(wait, 1000);
}

static void not_at_all(void **state)
{
	struct retry r = make(false, 10);
	uint64_t wait;

	(void)state;
	assert_int_equal(retry_failure(&r, RETRY_UNREACHABLE, 1, 0, &wait), RETRY_GIVE_UP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_grow),
		cmocka_unit_test(what_is_final),
		cmocka_unit_test(counts),
		cmocka_unit_test(no_network),
		cmocka_unit_test(calm),
		cmocka_unit_test(flapping),
		cmocka_unit_test(not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
