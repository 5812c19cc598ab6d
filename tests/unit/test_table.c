#include "unit.h"

#include <stdlib.h>

#include "core/list.h"
#include "core/table.h"

enum { ITEMS = 5000 };

struct item {
	struct table_node node;
	unsigned number;
	bool is_in;
};

static struct item items[ITEMS];

/* Several share each hash, and many a bucket. */
static uint64_t hash_of(unsigned number)
{
	return (uint64_t)(number / 3) * 64;
}

static struct item *find(const struct table *t, unsigned number)
{
	for (struct table_node *n = table_find(t, hash_of(number)); n; n = table_again(n)) {
		struct item *i = list_entry(n, struct item, node);

		assert_int_equal(hash_of(i->number), hash_of(number));
		if (i->number == number)
			return i;
	}
	return NULL;
}

static void finds_what_is_in(void **state)
{
	struct table t;
	size_t count = 0, most = 0;
	uint64_t rng = 1;

	(void)state;
	assert_int_equal(table_init(&t), 0);
	for (unsigned step = 0; step < 60000; step++) {
		/* It fills, and later on it empties. */
		bool adds;
		unsigned k;

		rng = rng * 6364136223846793005u + 1442695040888963407u;
		k = (unsigned)(rng >> 33) % ITEMS;
		adds = (rng >> 20) % 100 < (step < 30000 ? 90 : 5);
		items[k].number = k;
		if (adds && !items[k].is_in) {
			table_add(&t, &items[k].node, hash_of(k));
			items[k].is_in = true;
			count++;
		} else if (!adds && items[k].is_in) {
			table_remove(&t, &items[k].node);
			items[k].is_in = false;
			count--;
		}
		most = t.nbuckets > most ? t.nbuckets : most;
		k = (unsigned)(rng >> 10) % ITEMS;
		assert_ptr_equal(find(&t, k), items[k].is_in ? &items[k] : NULL);
		assert_int_equal(t.count, count);
	}
	assert_true(most >= ITEMS / 2); /* It grew, */
	assert_true(t.nbuckets <= most / 4); /* and shrank again. */
	for (unsigned k = 0; k < ITEMS; k++)
		assert_ptr_equal(find(&t, k), items[k].is_in ? &items[k] : NULL);
	table_fini(&t);
}

static void can_be_emptied(void **state)
{
	struct table_node *n;
	struct table t;
	size_t at = 0, taken = 0;

	(void)state;
	assert_int_equal(table_init(&t), 0);
	for (unsigned k = 0; k < ITEMS; k++) {
		items[k] = (struct item){ .number = k, .is_in = true };
		table_add(&t, &items[k].node, hash_of(k));
	}
	while ((n = table_take(&t, &at))) {
		struct item *i = list_entry(n, struct item, node);

		assert_true(i->is_in); /* Each once. */
		i->is_in = false;
		taken++;
	}
	assert_int_equal(taken, ITEMS);
	assert_int_equal(t.count, 0);
	table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_is_in),
		cmocka_unit_test(can_be_emptied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
