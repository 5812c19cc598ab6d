#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "server/leases.h"

enum { UNTIL = 1000, CHANGES = 6000 };

static struct portpool pool, other;
static struct portpool_identity ann, bob;

static int prepare(void **state)
{
	static const unsigned char one[16] = { 1 }, two[16] = { 2 };

	(void)state;
	portpool_identify(&ann, "default", "laptop:3000", one);
	portpool_identify(&bob, "default", "laptop:3000", two);
	return portpool_init(&pool, 10000, 10009) + portpool_init(&other, 10000, 10009);
}

static int clean(void **state)
{
	(void)state;
	portpool_fini(&pool);
	portpool_fini(&other);
	return 0;
}

static struct buf encoded(void)
{
	struct buf b = { .max = 1 << 20 };

	portpool_use(&pool, 10001, &ann);
	portpool_use(&pool, 10005, &bob);
	portpool_use(&pool, 10006, &bob);
	portpool_release(&pool, 10006, 500);	/* a lease that lasts */
	portpool_use(&pool, 10007, &bob);
	portpool_release(&pool, 10007, 50);	/* one that is over */
	portpool_use(&pool, 10008, &bob);
	portpool_release(&pool, 10008, 0);	/* given back */
	leases_encode(&pool, 100, &b);
	assert_false(b.failed);
	return b;
}

static void there_and_back(void **state)
{
	struct buf b = encoded();

	(void)state;
	assert_int_equal(leases_decode(&other, b.data, b.len, UNTIL), 3);
	assert_memory_equal(portpool_owner(&other, 10001, 0), &ann, sizeof ann);
	assert_memory_equal(portpool_owner(&other, 10005, 0), &bob, sizeof bob);
	assert_memory_equal(portpool_owner(&other, 10006, 0), &bob, sizeof bob);
	for (uint16_t port = 10000; port < 10010; port++)
		if (port != 10001 && port != 10005 && port != 10006)
			assert_null(portpool_owner(&other, port, 0));
	/* Kept for their owners, and not for ever. */
	assert_int_equal(portpool_kept_us(&other, 10001, &ann, 0), 0);
	assert_int_equal(portpool_kept_us(&other, 10001, &bob, 0), UNTIL);
	assert_null(portpool_owner(&other, 10001, UNTIL));
	buf_fini(&b);
}

static void cut_anywhere(void **state)
{
	struct buf b = encoded();
	size_t record = (b.len - 18) / 3;

	(void)state;
	for (size_t len = 0; len <= b.len; len++) {
		uint8_t *copy = unit_copy(b.data, len);
		int want = len < 18 ? -1 : (int)((len - 18) / record);

		assert_int_equal(leases_decode(&other, copy, len, UNTIL), want);
		free(copy);
	}
	buf_fini(&b);
}

static void each_wrong_byte_costs_one_record(void **state)
{
	struct buf b = encoded();

	(void)state;
	for (size_t at = 0; at < b.len; at++) {
		b.data[at] ^= 0x40;
		assert_int_equal(leases_decode(&other, b.data, b.len, UNTIL), at < 18 ? -1 : 2);
		b.data[at] ^= 0x40;
	}
	buf_fini(&b);
}

static void ports_outside_the_range_are_left_out(void **state)
{
	struct buf b = encoded();
	struct portpool small;

	(void)state;
	assert_int_equal(portpool_init(&small, 10004, 10005), 0);
	assert_int_equal(leases_decode(&small, b.data, b.len, UNTIL), 1);
	portpool_fini(&small);
	buf_fini(&b);
}

/* --- on disk, by another thread ----------------------------------------------------- */

static uv_loop_t loop;
static struct worker worker;
static struct leases leases;
static struct timer *clock_hand;
static unsigned changes;
static char folder[] = "/tmp/gotunnel-leases-XXXXXX";

static void change(struct timer *t)
{
	uint16_t port = (uint16_t)(10000 + changes % 9);

	portpool_use(&pool, port, changes & 16 ? &ann : &bob);
	leases_touch(&leases);
	if (changes++ < CHANGES)
		timer_start(t, 20); /* A tenth of the time that a change waits for others. */
}

static int prepare_disk(void **state)
{
	if (prepare(state) || !mkdtemp(folder) || uv_loop_init(&loop) ||
		worker_init(&worker, &loop))
		return -1;
	changes = 0;
	clock_hand = timer_new(&loop, change, NULL);
	return leases_open(&leases, &worker, &pool, folder, 9000, UNTIL);
}

static int clean_disk(void **state)
{
	unlink(leases.path);
	if (rmdir(folder) < 0) /* Something was left beside it. */
		return -1;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	worker_fini(&worker);
	return clean(state) + uv_loop_close(&loop);
}

/* What closing leaves to the loop. */
static void run_out(void)
{
	timer_free(clock_hand);
	leases_close(&leases);
	worker_close(&worker);
	uv_run(&loop, UV_RUN_DEFAULT);
}

static void assert_kept(void)
{
	struct leases again;
	struct buf a = { .max = 1 << 20 }, b = { .max = 1 << 20 };

	assert_int_equal(leases_open(&again, &worker, &other, folder, 9000, UINT64_MAX), 0);
	leases_close(&again);
	uv_run(&loop, UV_RUN_DEFAULT);
	leases_encode(&pool, 0, &a);
	leases_encode(&other, 0, &b);
	assert_true(a.len > 18);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	buf_fini(&a);
	buf_fini(&b);
}

/* The pool changes all the time, also while a thread writes what it was: it is
 * written again and again, and the last state wins. */
static void changes_without_a_pause_are_written(void **state)
{
	unsigned written = 0;

	(void)state;
	timer_start(clock_hand, 0);
	while (written < 3 && changes < CHANGES) {
		bool was_writing = leases.is_writing;

		uv_run(&loop, UV_RUN_ONCE);
		written += was_writing && !leases.is_writing;
	}
	assert_int_equal(written, 3);
	changes = CHANGES;
	while (leases.is_dirty || leases.is_writing)
		uv_run(&loop, UV_RUN_ONCE);
	run_out();
	assert_int_equal(leases.err, 0);
	assert_kept();
}

/* The server ends in the middle of it: the writing is waited for, and what
 * came later is saved behind it. */
static void closed_while_it_is_written(void **state)
{
	(void)state;
	timer_start(clock_hand, 0);
	while (!leases.is_writing)
		uv_run(&loop, UV_RUN_ONCE);
	portpool_use(&pool, 10009, &ann);
	leases_touch(&leases);
	run_out();
	assert_false(leases.is_writing);
	assert_true(leases.is_dirty);
	leases_save(&leases);
	assert_kept();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(there_and_back, prepare, clean),
		cmocka_unit_test_setup_teardown(cut_anywhere, prepare, clean),
		cmocka_unit_test_setup_teardown(each_wrong_byte_costs_one_record, prepare, clean),
		cmocka_unit_test_setup_teardown(ports_outside_the_range_are_left_out, prepare, clean),
		cmocka_unit_test_setup_teardown(changes_without_a_pause_are_written,
			prepare_disk, clean_disk),
		cmocka_unit_test_setup_teardown(closed_while_it_is_written, prepare_disk, clean_disk),
	};

	setenv("GOTUNNEL_TEST_TIME_SCALE", "4", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
