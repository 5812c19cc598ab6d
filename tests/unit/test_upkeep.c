#include "duo.h"

enum { SECOND = 1000000 };

static void a_heartbeat_measures_the_round_trip(void **unused)
{
	static struct duo d;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	d.now += 10 * SECOND;
	session_tick(&d.client.session, 0, d.now);
	duo_carry(&d, &d.client, &d.server);
	d.now += 42000;
	duo_carry(&d, &d.server, &d.client);
	assert_int_equal(d.client.session.rtt_us, 42000);
	duo_fini(&d);
}

static void bytes_of_the_peer_spare_the_heartbeat(void **unused)
{
	static struct duo d;
	uint64_t at;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	d.now += 9 * SECOND;
	session_shutdown(&d.client.session, 0);
	duo_settle(&d);
	d.now += 2 * SECOND;
	at = session_tick(&d.server.session, 0, d.now);
	assert_false(session_has_output(&d.server.session));
	assert_int_equal(at, d.now + 8 * SECOND);
	duo_fini(&d);
}

static const struct silence {
	enum session_state state;
	uint64_t passed_us, blocked_us;
	bool ends;
	const char *text;
} silences[] = {
	{ SESSION_HELLO, 5 * SECOND - 1, 0, false, "" },
	{ SESSION_HELLO, 5 * SECOND, 0, true, "no login within 5s" },
	{ SESSION_AUTH, 5 * SECOND, 0, true, "no login within 5s" },
	{ SESSION_OPEN, 25 * SECOND - 1, 0, false, "" },
	{ SESSION_OPEN, 25 * SECOND, 0, true, "no answer for 25s" },
	{ SESSION_OPEN, 20 * SECOND, 20 * SECOND, false, "" },
	{ SESSION_OPEN, 1 * SECOND, 30 * SECOND, true, "took no data for 30s" },
};

static void silence_ends_it(void **unused)
{
	static struct duo d;

	(void)unused;
	for (size_t i = 0; i < COUNT(silences); i++) {
		const struct silence *c = &silences[i];
		uint64_t next;

		duo_reach(&d, c->state);
		d.now += 60 * SECOND; /* so that "since 30 s" is a time, too */
		d.server.session.heard_us = d.server.session.begun_us = d.now - c->passed_us;
		next = session_tick(&d.server.session, c->blocked_us ? d.now - c->blocked_us : 0, d.now);
		assert_int_equal(d.server.ends_told, c->ends);
		assert_string_equal(d.server.end.text, c->text);
		assert_true(c->ends ? next == UINT64_MAX : next > d.now);
		duo_fini(&d);
	}
}

static void an_ack_of_bytes_never_sent_is_refused(void **unused)
{
	static struct duo d;
	uint8_t frame[64];

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	session_feed(&d.server.session, frame, control_ack_encode(1, frame, sizeof frame), d.now);
	assert_int_equal(d.server.end.code, CODE_PROTOCOL);
	duo_fini(&d);
}

static void shutdown_is_told_once_and_opens_nothing(void **unused)
{
	static struct duo d;
	struct flow_open open = { .bind_id = DUO_BIND, .peer = { .family = 4 },
		.local = { .family = 4 } };

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	session_shutdown(&d.client.session, 5000);
	session_shutdown(&d.client.session, 5000);
	duo_settle(&d);
	assert_int_equal(d.server.shutdowns, 1);
	assert_null(stream_open(&d.server.session, &open, NULL));
	duo_fini(&d);
}

static void the_peer_says_why(void **unused)
{
	static struct duo d;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	session_fail_retry(&d.server.session, CODE_REPLACED, 7000, "by another");
	duo_carry(&d, &d.server, &d.client);
	assert_int_equal(d.client.end.kind, SESSION_REFUSED);
	assert_int_equal(d.client.end.code, CODE_REPLACED);
	assert_int_equal(d.client.end.retry_ms, 7000);
	assert_string_equal(d.client.end.text, "by another");
	assert_int_equal(d.client.ends_told, 1);
	assert_int_equal(d.server.ends_told, 1);
	duo_fini(&d);
}

static void shutdown_is_told_once(void **unused)
{
	static struct duo d;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	for (int i = 0; i < 3; i++) {
		session_shutdown(&d.server.session, 1000);
		duo_settle(&d);
		d.server.session.drain_sent = false; /* As a peer that repeats it. */
	}
	assert_int_equal(d.client.shutdowns, 1);
	duo_fini(&d);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_heartbeat_measures_the_round_trip),
		cmocka_unit_test(bytes_of_the_peer_spare_the_heartbeat),
		cmocka_unit_test(silence_ends_it),
		cmocka_unit_test(an_ack_of_bytes_never_sent_is_refused),
		cmocka_unit_test(shutdown_is_told_once_and_opens_nothing),
		cmocka_unit_test(the_peer_says_why),
		cmocka_unit_test(shutdown_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
