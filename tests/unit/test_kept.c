#include "unit.h"

#include "mux/kept.h"

static struct chunk_pool pool;

static struct chunk *add(struct stream *st, uint32_t len)
{
	struct chunk *c = chunk_take(&pool, 100);

	assert_non_null(c);
	c->offset = st->send.sent;
	c->len = len;
	st->send.sent += len;
	kept_add(st, c);
	return c;
}

static unsigned count(const struct stream *st)
{
	unsigned n = 0;

	for (const struct chunk *c = st->kept; c; c = c->next)
		n++;
	return n;
}

static void what_was_taken_is_let_go(void **unused)
{
	static const struct {
		uint64_t consumed;
		unsigned left;
	} rows[] = { { 0, 3 }, { 9, 3 }, { 10, 2 }, { 11, 2 }, { 29, 2 }, { 30, 1 }, { 59, 1 },
		{ 60, 0 } };
	struct stream st = { 0 };

	(void)unused;
	add(&st, 10);
	add(&st, 20);
	add(&st, 30);
	for (size_t i = 0; i < COUNT(rows); i++) {
		st.send.consumed = rows[i].consumed;
		kept_acknowledge(&st);
		assert_int_equal(count(&st), rows[i].left);
	}
	assert_int_equal(pool.used, 0);
	assert_null(st.kept_end);
	/* It goes on after that. */
	add(&st, 5);
	add(&st, 5);
	assert_int_equal(count(&st), 2);
	kept_forget(&st);
	assert_int_equal(pool.used, 0);
	assert_null(st.kept_end);
	kept_forget(&st);
	add(&st, 5);
	assert_int_equal(count(&st), 1);
	kept_forget(&st);
	chunk_pool_trim(&pool);
}

static void a_byte_is_found_in_its_chunk(void **unused)
{
	struct stream st = { 0 };
	struct chunk *a = add(&st, 10), *b = add(&st, 1), *c = add(&st, 30);

	(void)unused;
	assert_ptr_equal(kept_find(&st, 0), a);
	assert_ptr_equal(kept_find(&st, 9), a);
	assert_ptr_equal(kept_find(&st, 10), b);
	assert_ptr_equal(kept_find(&st, 11), c);
	assert_ptr_equal(kept_find(&st, 40), c);
	assert_null(kept_find(&st, 41));
	kept_forget(&st);
	assert_null(kept_find(&st, 0));
	chunk_pool_trim(&pool);
}

/* Who still sends a chunk holds it on. */
static void a_chunk_on_its_way_stays(void **unused)
{
	struct stream st = { 0 };
	struct chunk *c = chunk_hold(add(&st, 10));

	(void)unused;
	kept_forget(&st);
	assert_int_equal(c->refs, 1);
	assert_int_equal(pool.used, chunk_size(c));
	chunk_drop(c);
	assert_int_equal(pool.used, 0);
	chunk_pool_trim(&pool);
}

static void it_is_due_until_all_is_sent(void **unused)
{
	struct stream st = { .send = { .sent = 10 }, .again = 9 };

	(void)unused;
	assert_true(kept_is_due(&st));
	st.again = 10;
	assert_false(kept_is_due(&st));
}

static void both_ends_must_want_it(void **unused)
{
	struct session s = { .capabilities = 0 };

	(void)unused;
	assert_false(kept_is_wanted(&s));
	s.capabilities = LOGIN_CAN_RESUME;
	assert_true(kept_is_wanted(&s));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_taken_is_let_go),
		cmocka_unit_test(a_byte_is_found_in_its_chunk),
		cmocka_unit_test(a_chunk_on_its_way_stays),
		cmocka_unit_test(it_is_due_until_all_is_sent),
		cmocka_unit_test(both_ends_must_want_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
