#include "unit.h"

#include <string.h>

#include "core/backlog.h"

static uint64_t rng;

static uint32_t chance(uint32_t below)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(rng >> 33) % below;
}

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 131 >> 3 ^ offset);
}

struct wire {
	struct chunk_pool pool;
	struct backlog b;
	uint64_t in, out;
};

static void append(struct wire *w, size_t n)
{
	static uint8_t data[300 * 1024];

	for (size_t i = 0; i < n; i++)
		data[i] = byte_at(w->in + i);
	assert_int_equal(backlog_append(&w->b, &w->pool, data, n), 0);
	w->in += n;
}

static void check(struct wire *w, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(data[i], byte_at(w->out + i));
	w->out += n;
}

static void drop(struct wire *w, size_t n)
{
	struct iovec pieces[3];
	unsigned count = backlog_pieces(&w->b, pieces, 3);
	size_t seen = 0;

	for (unsigned i = 0; i < count && seen < n; i++) {
		size_t part = pieces[i].iov_len < n - seen ? pieces[i].iov_len : n - seen;

		assert_true(part > 0);
		check(w, pieces[i].iov_base, part);
		seen += part;
	}
	backlog_drop(&w->b, seen);
}

static void take(struct wire *w, size_t n)
{
	static uint8_t out[300 * 1024];
	size_t left = backlog_len(&w->b), got = backlog_take(&w->b, out, n);

	assert_int_equal(got, n < left ? n : left);
	check(w, out, got);
}

static void keeps_order(void **state)
{
	static const uint32_t sizes[] = { 1, 100, 5000, 20000, 70000, 300000 };

	(void)state;
	for (unsigned seed = 0; seed < 200; seed++) {
		struct wire w = { 0 };

		rng = seed;
		for (int i = 0; i < 100; i++) {
			uint32_t n = chance(sizes[chance(6)]);
			unsigned what = chance(4);

			if (what < 2 && backlog_len(&w.b) < 1 << 20)
				append(&w, n);
			else if (what == 2)
				drop(&w, n < backlog_len(&w.b) ? n : backlog_len(&w.b));
			else
				take(&w, n);
			assert_int_equal(backlog_len(&w.b), w.in - w.out);
			/* What it occupies stays near what it holds. */
			assert_true(w.pool.used <= 2 * backlog_len(&w.b) + 330 * 1024);
			if (!backlog_len(&w.b))
				assert_int_equal(w.pool.used, 0);
			else if (backlog_len(&w.b) <= 1 && !w.out)
				assert_int_equal(backlog_piece(&w.b), backlog_len(&w.b));
		}
		backlog_fini(&w.b);
		assert_int_equal(w.pool.used, 0);
		chunk_pool_trim(&w.pool);
	}
}

/* Who reads a head in it needs it in one piece, however it came. */
static void a_small_one_is_whole(void **state)
{
	static const size_t steps[] = { 1, 7, 1000, 4096, 30000 };

	(void)state;
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		struct wire w = { 0 };

		while (w.in + steps[i] <= BACKLOG_WHOLE) {
			append(&w, steps[i]);
			assert_int_equal(backlog_piece(&w.b), backlog_len(&w.b));
			assert_true(w.pool.used <= 4 * w.in + 8 * 1024);
		}
		take(&w, steps[i] / 2);
		append(&w, steps[i] / 2);
		assert_int_equal(backlog_piece(&w.b), backlog_len(&w.b));
		append(&w, 2 * BACKLOG_WHOLE);
		take(&w, w.in);
		assert_int_equal(w.pool.used, 0);
		chunk_pool_trim(&w.pool);
	}
}

/* Nothing is copied again, however large it becomes: what goes in stays where it is. */
static void a_large_one_is_not_moved(void **state)
{
	struct wire w = { 0 };
	const uint8_t *first;

	(void)state;
	append(&w, 100000);
	first = backlog_data(&w.b);
	for (int i = 0; i < 40; i++)
		append(&w, 100000);
	assert_ptr_equal(backlog_data(&w.b), first);
	drop(&w, 1000);
	append(&w, 100000);
	assert_ptr_equal(backlog_data(&w.b), first + 1000);
	backlog_fini(&w.b);
	chunk_pool_trim(&w.pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_order),
		cmocka_unit_test(a_small_one_is_whole),
		cmocka_unit_test(a_large_one_is_not_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
