#include "unit.h"

#include "core/batch.h"

static size_t read_all(const struct batch *b, char *out)
{
	size_t n = 0;

	for (unsigned i = 0; i < b->count; i++) {
		memcpy(out + n, b->segments[i].data, b->segments[i].len);
		n += b->segments[i].len;
	}
	assert_int_equal(n, b->total);
	return n;
}

static struct chunk *filled(struct chunk_pool *pool, const char *text)
{
	struct chunk *c = chunk_take(pool, strlen(text));

	assert_non_null(c);
	memcpy(c->data, text, strlen(text));
	return c;
}

static void fill(struct batch *b, struct chunk *c)
{
	writer_bytes(&b->w, "one ", 4);
	batch_add(b, c, c->data, 4);
	batch_add(b, c, c->data + 4, 6);
	writer_bytes(&b->w, "four", 4);
	batch_seal(b);
	batch_seal(b);
}

static void keeps_the_order(void **unused)
{
	struct chunk_pool pool = { 0 };
	struct chunk *c = filled(&pool, "two three ");
	uint8_t storage[64];
	char out[64];
	struct batch b;

	(void)unused;
	batch_init(&b, storage, sizeof storage, 1000);
	assert_int_equal(batch_left(&b), 1000);
	fill(&b, c);
	assert_int_equal(b.count, 4);
	assert_int_equal(batch_left(&b), 1000 - 18);
	assert_int_equal(read_all(&b, out), 18);
	assert_memory_equal(out, "one two three four", 18);
	assert_int_equal(c->refs, 3);
	batch_drop(&b);
	assert_int_equal(c->refs, 1);
	assert_int_equal(b.total, 0);
	chunk_drop(c);
	chunk_pool_trim(&pool);
}

/* Whatever part leaves first, the rest is the rest. */
static void leaves_in_parts(void **unused)
{
	static const char all[] = "one two three four";

	(void)unused;
	for (size_t first = 0; first <= 18; first++) {
		struct chunk_pool pool = { 0 };
		struct chunk *c = filled(&pool, "two three ");
		uint8_t storage[64];
		char out[64];
		struct batch b;

		batch_init(&b, storage, sizeof storage, 64);
		fill(&b, c);
		chunk_drop(c);
		batch_advance(&b, first);
		assert_int_equal(read_all(&b, out), 18 - first);
		assert_memory_equal(out, &all[first], 18 - first);
		assert_int_equal(pool.used > 0, first < 14);
		batch_advance(&b, 18 - first);
		assert_int_equal(b.count, 0);
		assert_int_equal(pool.used, 0);
		chunk_pool_trim(&pool);
	}
}

/* Chunks leave less room for the storage, and never more than there is. */
static void the_room_is_shared(void **unused)
{
	struct chunk_pool pool = { 0 };
	struct chunk *c = chunk_take(&pool, 100);
	uint8_t storage[64];
	struct batch b;

	(void)unused;
	memset(c->data, 0, 100);
	batch_init(&b, storage, sizeof storage, 120);
	assert_int_equal(b.w.left, 64);
	batch_add(&b, c, c->data, 100);
	assert_int_equal(batch_left(&b), 20);
	assert_int_equal(b.w.left, 20);
	while (batch_has_place(&b))
		batch_add(&b, c, c->data, 0);
	assert_true(b.count + 2 <= BATCH_SEGMENTS);
	batch_drop(&b);
	chunk_drop(c);
	chunk_pool_trim(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_the_order),
		cmocka_unit_test(leaves_in_parts),
		cmocka_unit_test(the_room_is_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
