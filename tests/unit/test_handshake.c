#include "duo.h"

static unsigned messages, asked;
static enum code verdict;

static enum code admit(void *owner, uint32_t *retry_ms)
{
	(void)owner;
	asked++;
	*retry_ms = 40000;
	return verdict;
}

static enum code count_message(void *owner, const struct login_hello *hello,
	uint8_t out[LOGIN_SPAKE])
{
	messages++;
	return duo_message(owner, hello, out);
}

/* Whom the owner puts off is told when to come again, and costs no proof. */
static void put_off(void **state)
{
	static const struct {
		enum code verdict;
		unsigned messages;
	} rows[] = { { CODE_OK, 1 }, { CODE_CALM_DOWN, 0 } };
	static struct duo d;
	struct session_ops ops = duo_ops;

	(void)state;
	ops.admit = admit;
	ops.message = count_message;
	for (size_t i = 0; i < COUNT(rows); i++) {
		messages = asked = 0;
		verdict = rows[i].verdict;
		duo_init(&d);
		d.server.session.ops = &ops;
		duo_settle(&d);
		assert_int_equal(asked, 1);
		assert_int_equal(messages, rows[i].messages);
		assert_int_equal(d.client.logins, rows[i].messages);
		if (verdict) {
			assert_int_equal(d.server.end.kind, SESSION_FAILED);
			assert_int_equal(d.server.end.code, verdict);
			assert_int_equal(d.client.end.kind, SESSION_REFUSED);
			assert_int_equal(d.client.end.code, verdict);
			assert_int_equal(d.client.end.retry_ms, 40000);
			assert_string_equal(d.client.end.text, "too many attempts");
		}
		duo_fini(&d);
	}
}

/* What is refused by the HELLO itself is not a try. */
static void not_asked_for_nonsense(void **state)
{
	static struct duo d;
	struct session_ops ops = duo_ops;

	(void)state;
	ops.admit = admit;
	verdict = CODE_CALM_DOWN;
	asked = 0;
	duo_init(&d);
	d.server.session.ops = &ops;
	d.server.session.config.refuse = CODE_ENCRYPTION_REQUIRED;
	duo_settle(&d);
	assert_int_equal(asked, 0);
	assert_int_equal(d.client.end.code, CODE_ENCRYPTION_REQUIRED);
	duo_fini(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_off),
		cmocka_unit_test(not_asked_for_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
