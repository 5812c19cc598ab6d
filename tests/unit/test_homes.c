#include "unit.h"

#include "server/homes.h"

enum { WORKERS = 4, MANY = 5000 };

static const uint64_t key[2] = { 7, 9 };

static struct portpool_identity who(unsigned n)
{
	unsigned char instance[16] = { 0 };
	struct portpool_identity id;

	memcpy(instance, &n, sizeof n);
	portpool_identify(&id, "default", "desk:1", instance);
	return id;
}

/* All of one identity are where the first of them is, wherever they come in. */
static void one_identity(void **state)
{
	struct homes *t = homes_new(key, WORKERS);
	struct portpool_identity a = who(1), b = who(2);
	struct home *first = homes_join(t, &a, 2), *second, *other;

	(void)state;
	assert_int_equal(homes_worker(first), 2); /* Among equals: where it is. */
	second = homes_join(t, &a, 0);
	assert_ptr_equal(first, second);
	other = homes_join(t, &b, 2);
	assert_int_not_equal(homes_worker(other), 2); /* Others have fewer. */
	homes_leave(t, first);
	assert_int_equal(homes_worker(homes_join(t, &a, 3)), 2); /* One of it was left. */
	homes_leave(t, first);
	homes_leave(t, first);
	first = homes_join(t, &a, 3); /* It is new again. */
	assert_int_equal(homes_worker(first), 3);
	homes_leave(t, first);
	homes_leave(t, other);
	homes_free(t);
}

/* Spread evenly, whoever accepts them all. */
static void spread(void **state)
{
	static struct home *homes[MANY];
	struct homes *t = homes_new(key, WORKERS);
	unsigned loads[WORKERS] = { 0 };

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		struct portpool_identity id = who(i);

		homes[i] = homes_join(t, &id, 1);
		assert_non_null(homes[i]);
		loads[homes_worker(homes[i])]++;
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(loads[i], MANY / WORKERS);
	for (unsigned i = 0; i < MANY; i++) { /* Each is still found. */
		struct portpool_identity id = who(i);

		assert_ptr_equal(homes_join(t, &id, 0), homes[i]);
		homes_leave(t, homes[i]);
	}
	/* When one worker's are gone, newcomers go there. */
	for (unsigned i = 0; i < MANY; i++)
		if (homes_worker(homes[i]) == 3) {
			homes_leave(t, homes[i]);
			homes[i] = NULL;
		}
	for (unsigned i = 0; i < MANY / WORKERS; i++) {
		struct portpool_identity id = who(MANY + i);
		struct home *home = homes_join(t, &id, 0);

		assert_int_equal(homes_worker(home), 3);
	}
	for (unsigned i = 0; i < MANY / WORKERS; i++) {
		struct portpool_identity id = who(MANY + i);
		struct home *home = homes_join(t, &id, 0);

		homes_leave(t, home);
		homes_leave(t, home);
	}
	for (unsigned i = 0; i < MANY; i++)
		if (homes[i])
			homes_leave(t, homes[i]);
	homes_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_identity),
		cmocka_unit_test(spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
