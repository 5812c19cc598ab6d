#include "unit.h"

#include "mux/credit.h"

static void sending(void **state)
{
	struct credit_send c;
	bool opened;

	(void)state;
	credit_send_init(&c, 1000);
	assert_int_equal(credit_send_open(&c), 1000);
	credit_send_add(&c, 600);
	assert_int_equal(credit_send_open(&c), 400);
	assert_int_equal(credit_send_pending(&c), 600);

	/* Lower and equal limits are idle repetitions. */
	assert_int_equal(credit_send_update(&c, 500, 100, &opened), CODE_OK);
	assert_false(opened);
	assert_int_equal(c.limit, 1000);
	assert_int_equal(c.consumed, 100);
	assert_int_equal(credit_send_update(&c, 1000, 50, &opened), CODE_OK);
	assert_int_equal(c.consumed, 100);

	assert_int_equal(credit_send_update(&c, 1600, 600, &opened), CODE_OK);
	assert_true(opened);
	assert_int_equal(credit_send_open(&c), 1000);
	assert_int_equal(credit_send_pending(&c), 0);

	/* Nobody consumed what was not sent; no limit lies below that. */
	assert_int_equal(credit_send_update(&c, 2000, 601, &opened), CODE_FLOW_CONTROL);
	assert_int_equal(credit_send_update(&c, 599, 600, &opened), CODE_FLOW_CONTROL);

	/* The largest limits overflow nothing. */
	assert_int_equal(credit_send_update(&c, UINT64_MAX, 600, &opened), CODE_OK);
	assert_int_equal(credit_send_open(&c), UINT64_MAX - 600);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(credit_send_update(&c, UINT64_MAX, 600, &opened), CODE_OK);
	assert_false(opened);
}

static void receiving(void **state)
{
	struct credit_recv c;

	(void)state;
	credit_recv_init(&c, 1000, 1000);
	assert_int_equal(credit_recv_open(&c), 1000);
	assert_false(credit_recv_has_news(&c));
	assert_false(credit_recv_is_due(&c));
	credit_recv_take(&c, 1000);
	assert_int_equal(credit_recv_open(&c), 0);
	credit_recv_consume(&c, 249);
	assert_true(credit_recv_has_news(&c));
	assert_false(credit_recv_is_due(&c));
	credit_recv_consume(&c, 1);
	assert_true(credit_recv_is_due(&c)); /* A quarter of the window. */
	credit_recv_tell(&c);
	assert_false(credit_recv_has_news(&c));
	assert_int_equal(c.limit, 1250);
	assert_int_equal(credit_recv_open(&c), 250);
	assert_int_equal(credit_recv_pending(&c), 750);
}

/* A window that is wider than the first limit is told at once. */
static void raising(void **state)
{
	struct credit_recv c;

	(void)state;
	credit_recv_init(&c, 1000, 64000);
	assert_true(credit_recv_is_due(&c));
	credit_recv_tell(&c);
	assert_int_equal(c.limit, 64000);
	assert_false(credit_recv_is_due(&c));
	/* Beyond the limit, as the floor of a stream may: nothing wraps. */
	credit_recv_take(&c, 65000);
	assert_int_equal(credit_recv_open(&c), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sending),
		cmocka_unit_test(receiving),
		cmocka_unit_test(raising),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
