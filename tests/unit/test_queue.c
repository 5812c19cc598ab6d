#include "unit.h"

#include "core/list.h"
#include "core/queue.h"

static void keeps_order(void **state)
{
	struct queue q = { 0 };
	uint64_t rng = 7;
	uint32_t in = 0, out = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint8_t data[300];
		size_t n;

		rng = rng * 6364136223846793005u + 1442695040888963407u;
		n = (rng >> 33) % sizeof data;
		if (rng >> 63) {
			for (size_t k = 0; k < n; k++)
				data[k] = (uint8_t)in++;
			assert_int_equal(queue_append(&q, data, n), 0);
		} else {
			if (n > queue_len(&q))
				n = queue_len(&q);
			for (size_t k = 0; k < n; k++)
				assert_int_equal(queue_data(&q)[k], (uint8_t)out++);
			queue_drop(&q, n);
		}
		assert_int_equal(queue_len(&q), in - out);
	}
	queue_drop(&q, queue_len(&q));
	assert_null(q.data); /* Empty, it holds no memory. */
	queue_fini(&q);
}

static void lists(void **state)
{
	struct list a, b, n[4];

	(void)state;
	list_init(&a);
	list_init(&b);
	for (int i = 0; i < 4; i++)
		list_init(&n[i]);
	assert_null(list_first(&a));
	list_append(&a, &n[0]);
	list_append(&a, &n[1]);
	list_prepend(&a, &n[2]);
	list_prepend(&a, &n[2]); /* It is there already. */
	assert_ptr_equal(a.next, &n[2]);
	assert_ptr_equal(n[2].next, &n[0]);
	assert_ptr_equal(a.prev, &n[1]);
	list_append(&b, &n[0]); /* From one list to the other. */
	list_append(&b, &n[3]);
	assert_ptr_equal(n[2].next, &n[1]);
	list_splice(&a, &b);
	assert_true(list_is_empty(&b));
	assert_ptr_equal(a.prev, &n[3]);
	list_remove(&n[1]);
	list_remove(&n[1]);
	assert_false(list_is_on(&n[1]));
	assert_true(list_is_on(&n[3]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_order),
		cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
