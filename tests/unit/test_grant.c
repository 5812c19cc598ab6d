#include "duo.h"

#include "mux/grant.h"

enum { MIB = 1024 * 1024 };

/* What streams with the same wish get of the pool, in the end. */
static void the_pool_is_shared(void **unused)
{
	static const struct {
		unsigned streams;
		uint64_t least, most;	/* of each window */
	} rows[] = {
		{ 1, 15 * MIB, 16 * MIB },
		{ 2, 7 * MIB, 8 * MIB },
		{ 16, MIB, 2 * MIB },
		{ 100, 256 * 1024, MIB },
	};
	static struct duo d;

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct session *s = &d.client.session;

		duo_reach(&d, SESSION_OPEN);
		for (unsigned k = 0; k < rows[i].streams; k++)
			duo_open(&d);
		for (unsigned n = 0; n < 200 * rows[i].streams; n++) {
			struct stream *st = d.client.ends[n % rows[i].streams].st;

			/* As if it had taken all it was granted, and wanted more. */
			st->recv.received = st->recv.consumed = st->recv.limit;
			st->recv.window = WINDOW_MOST;
			grant_tell(s, st);
			assert_true(s->granted <= SESSION_POOL);
		}
		for (unsigned k = 0; k < rows[i].streams; k++)
			assert_in_range(d.client.ends[k].st->recv.window, rows[i].least, rows[i].most);
		for (unsigned k = 0; k < rows[i].streams; k++)
			grant_end(s, d.client.ends[k].st);
		assert_int_equal(s->granted, 0);
		duo_fini(&d);
	}
}

/* Where nothing is left, or no memory, there is still the first credit. */
static void the_first_credit_is_certain(void **unused)
{
	static struct duo d;
	struct budget budget = { .most = 256 * MIB };
	struct stream *st;

	(void)unused;
	for (int is_full = 0; is_full < 2; is_full++) {
		duo_reach(&d, SESSION_OPEN);
		st = d.client.ends[duo_open(&d)].st;
		if (is_full) {
			budget.used = budget.most;
			duo_pool.budget = &budget;
		} else {
			d.client.session.granted = SESSION_POOL;
		}
		st->recv.window = WINDOW_MOST;
		st->recv.received = st->recv.consumed = 1000;
		grant_tell(&d.client.session, st);
		assert_in_range(st->recv.limit - 1000, SESSION_STREAM_CREDIT,
			SESSION_STREAM_CREDIT + WINDOW_MARK);
		assert_true(is_full || st->window.charged == 0);
		duo_pool.budget = NULL;
		duo_fini(&d);
	}
}

/* A download of which every piece is taken at once, over a path of 10 ms. */
static void a_window_grows(void **unused)
{
	static struct duo d;
	unsigned i;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	i = duo_open(&d);
	rtt_add(&d.client.session.rtt, 10000, d.now);
	duo_send(&d.server, i, 64 * MIB, true);
	for (int k = 0; k < 400 && !d.client.ends[i].saw_close; k++) {
		while (duo_carry(&d, &d.server, &d.client))
			;
		d.now += 5000;
		duo_carry(&d, &d.client, &d.server);
		d.now += 5000;
	}
	assert_int_equal(d.client.ends[i].saw_close, 1);
	assert_true(d.client.ends[i].st->recv.window >= 4 * SESSION_STREAM_CREDIT);
	/* It may stay half open for hours: that is no part of the pool. */
	assert_false(stream_has_ended(d.client.ends[i].st->out));
	assert_int_equal(d.client.session.granted, 0);
	duo_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_pool_is_shared),
		cmocka_unit_test(the_first_credit_is_certain),
		cmocka_unit_test(a_window_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
