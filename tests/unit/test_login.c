#include "unit.h"

#include "wire/bind.h"
#include "wire/control.h"
#include "wire/flow.h"
#include "wire/login.h"
#include "wire/state.h"

static struct login_hello good_hello(void)
{
	return (struct login_hello){
		.role = LOGIN_ROLE_CLIENT,
		.method = LOGIN_METHOD_SPAKE2,
		.max_frame = FRAME_DATA_DEFAULT,
		.initial_credit = 262144,
		.name = span_of("n"),
		.key_id = span_of("k"),
	};
}

static enum code there(const struct login_hello *hello)
{
	uint8_t frame[FRAME_HEAD + FRAME_CONTROL_MAX];
	size_t len = login_hello_encode(hello, frame, sizeof frame);
	struct login_hello out;

	return len ? login_hello_decode(frame + FRAME_HEAD, len - FRAME_HEAD, &out) : CODE_LIMIT;
}

static struct span repeat(char c, size_t n)
{
	static uint8_t bytes[8192];

	memset(bytes, c, n);
	return (struct span){ bytes, n };
}

/* Each field at its bound and one beyond. */
static void hello_bounds(void **state)
{
	struct login_hello h = good_hello();

	(void)state;
	assert_int_equal(there(&h), CODE_OK);
#define BAD(change, back)                                                      \
	do {                                                                   \
		change;                                                        \
		assert_int_not_equal(there(&h), CODE_OK);                      \
		back;                                                          \
		assert_int_equal(there(&h), CODE_OK);                          \
	} while (0)
	BAD(h.role = 0, h.role = LOGIN_ROLE_CLIENT);
	BAD(h.role = 2, h.role = LOGIN_ROLE_CLIENT);
	BAD(h.method = 0, h.method = 200);
	BAD(h.max_frame = FRAME_DATA_MIN - 1, h.max_frame = FRAME_DATA_MIN);
	BAD(h.max_frame = FRAME_DATA_MAX + 1, h.max_frame = FRAME_DATA_MAX);
	BAD(h.name = repeat('a', 0), h.name = repeat('a', LOGIN_NAME_LEN));
	BAD(h.name = repeat('a', LOGIN_NAME_LEN + 1), h.name = span_of("x"));
	BAD(h.name = span_of("a\033b"), h.name = span_of("a b"));
	BAD(h.name = span_of("a\x7f"), h.name = span_of("a~"));
	BAD(h.key_id = repeat('k', 0), h.key_id = repeat('k', LOGIN_KEY_ID_MAX));
	BAD(h.key_id = repeat('k', LOGIN_KEY_ID_MAX + 1), h.key_id = span_of("k"));
	BAD(h.version = repeat('v', LOGIN_VERSION_MAX + 1), h.version = repeat('v', LOGIN_VERSION_MAX));
	BAD(h.version = span_of("\n"), h.version = span_of(""));
	BAD(h.caveat_count = LOGIN_CAVEATS_MAX + 1, h.caveat_count = LOGIN_CAVEATS_MAX);
	BAD(h.caveats[0].value = repeat('c', FRAME_CONTROL_MAX), h.caveats[0].value = repeat('c', 3000));
#undef BAD
}

static void caveats_that_lie(void **state)
{
	struct login_hello h = good_hello(), out = { .role = 77 };
	uint8_t frame[512];
	size_t len;

	(void)state;
	h.caveat_count = 1;
	h.caveats[0].type = 1;
	h.caveats[0].value = span_of("abc");
	len = login_hello_encode(&h, frame, sizeof frame);
	assert_true(len > 0);
	/* Its length field points beyond the payload. */
	for (size_t i = FRAME_HEAD; i + 5 < len; i++) {
		if (memcmp(frame + i, "\x01\x01\x00\x03" "abc", 7) != 0)
			continue;
		frame[i + 2] = 0xff;
		assert_int_equal(login_hello_decode(frame + FRAME_HEAD, len - FRAME_HEAD, &out),
			CODE_PROTOCOL);
		assert_int_equal(out.role, 77); /* Written only on success. */
		return;
	}
	fail_msg("the caveat was not found");
}

static void credentials(void **state)
{
	uint8_t bytes[LOGIN_BEARER_MAX + 1] = { 0 };
	struct span out;

	(void)state;
	assert_int_equal(login_auth_decode(bytes, LOGIN_PROOF, LOGIN_METHOD_SPAKE2, &out), CODE_OK);
	assert_int_equal(login_auth_decode(bytes, LOGIN_PROOF - 1, LOGIN_METHOD_SPAKE2, &out),
		CODE_PROTOCOL);
	assert_int_equal(login_auth_decode(bytes, LOGIN_PROOF + 1, LOGIN_METHOD_SPAKE2, &out),
		CODE_PROTOCOL);
	assert_int_equal(login_auth_decode(bytes, 0, LOGIN_METHOD_BEARER, &out), CODE_PROTOCOL);
	assert_int_equal(login_auth_decode(bytes, LOGIN_BEARER_MAX, LOGIN_METHOD_BEARER, &out), CODE_OK);
	assert_int_equal(login_auth_decode(bytes, LOGIN_BEARER_MAX + 1, LOGIN_METHOD_BEARER, &out),
		CODE_PROTOCOL);
}

/* Payloads as bytes, and whether they are taken. */
static void bytes_of_others(void **state)
{
	static const struct {
		uint8_t type;
		const char *payload;
		size_t len;
		bool good;
	} rows[] = {
		{ FRAME_HEARTBEAT, "\0\0\0\0\0\0\0\1\0", 9, true },
		{ FRAME_HEARTBEAT, "\0\0\0\0\0\0\0\1\2", 9, false },
		{ FRAME_UNBIND, "\0\0\0\0", 4, false },
		{ FRAME_UNBIND, "\0\0\0\1", 4, true },
		{ FRAME_STREAM_CREDIT, "\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\5", 16, true },
		{ FRAME_STREAM_CREDIT, "\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0\5", 16, false },
		{ FRAME_STREAM_OPEN, "\0\0\0\1\4\1\2\3\4\0\1\4\1\2\3\4\0\2", 18, true },
		{ FRAME_STREAM_OPEN, "\0\0\0\0\4\1\2\3\4\0\1\4\1\2\3\4\0\2", 18, false },
		{ FRAME_STREAM_OPEN, "\0\0\0\1\5\1\2\3\4\0\1\4\1\2\3\4\0\2", 18, false },
		{ FRAME_BIND, "\0\0\0\1\1\0\0\0\0\0\0", 11, true },
		{ FRAME_BIND, "\0\0\0\0\1\0\0\0\0\0\0", 11, false },
		{ FRAME_BIND, "\0\0\0\1\0\0\0\0\0\0\0", 11, false },
		{ FRAME_BIND, "\0\0\0\1\5\0\0\0\0\0\0", 11, false },
		{ FRAME_BIND, "\0\0\0\1\1\0\0\0\0\0\2\1\0", 13, false },
		{ FRAME_BIND, "\0\0\0\1\1\0\0\0\0\0\3\1\0\0", 14, true },
		{ FRAME_BIND_OK, "\0\0\0\1\0\1\2\0", 8, false },
		{ FRAME_STATE, "\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 21, false },
		{ FRAME_STATE, "\1\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2", 21, false },
	};
	union {
		struct control_heartbeat heartbeat;
		struct flow_credit credit;
		struct flow_open open;
		struct bind_request bind;
		struct bind_ok bind_ok;
		struct state_frame state;
		uint32_t id;
	} v;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t *p = unit_copy(rows[i].payload, rows[i].len);
		enum code code = CODE_INTERNAL;

		switch (rows[i].type) {
		case FRAME_HEARTBEAT:
			code = control_heartbeat_decode(p, rows[i].len, &v.heartbeat);
			break;
		case FRAME_UNBIND:
			code = bind_unbind_decode(p, rows[i].len, &v.id);
			break;
		case FRAME_STREAM_CREDIT:
			code = flow_credit_decode(p, rows[i].len, &v.credit);
			break;
		case FRAME_STREAM_OPEN:
			code = flow_open_decode(p, rows[i].len, &v.open);
			break;
		case FRAME_BIND:
			code = bind_request_decode(p, rows[i].len, &v.bind);
			break;
		case FRAME_BIND_OK:
			code = bind_ok_decode(p, rows[i].len, &v.bind_ok);
			break;
		case FRAME_STATE:
			code = state_frame_decode(p, rows[i].len, &v.state);
			break;
		}
		free(p);
		if ((code == CODE_OK) != rows[i].good)
			fail_msg("row %zu: %s", i, code_name(code));
	}
}

static void durations_are_clamped(void **state)
{
	struct control_error e = { CODE_CALM_DOWN, UINT32_MAX, span_of("") };
	struct control_shutdown s = { UINT32_MAX, 1 };
	uint8_t frame[64];
	size_t len = control_error_encode(&e, frame, sizeof frame);

	(void)state;
	assert_int_equal(control_error_decode(frame + FRAME_HEAD, len - FRAME_HEAD, &e), CODE_OK);
	assert_int_equal(e.retry_ms, CONTROL_MS_MAX);
	len = control_shutdown_encode(&s, frame, sizeof frame);
	assert_int_equal(control_shutdown_decode(frame + FRAME_HEAD, len - FRAME_HEAD, &s), CODE_OK);
	assert_int_equal(s.drain_ms, CONTROL_MS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_bounds),
		cmocka_unit_test(caveats_that_lie),
		cmocka_unit_test(credentials),
		cmocka_unit_test(bytes_of_others),
		cmocka_unit_test(durations_are_clamped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
