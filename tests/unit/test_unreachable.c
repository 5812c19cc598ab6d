#include "unit.h"

#include <stdbool.h>

#include "client/unreachable.h"

static void visitors(void **state)
{
	static const struct {
		const char *data;
		enum unreachable_visitor kind;
	} rows[] = {
		{ "G", UNREACHABLE_WAIT },
		{ "GET / HTTP/1.1", UNREACHABLE_WAIT },
		{ "GET / HTTP/1.1\r\n", UNREACHABLE_HTTP },
		{ "\r\nPATCH * HTTP/1.0\r\nHost", UNREACHABLE_HTTP },
		{ "SSH-2.0-OpenSSH\r\n", UNREACHABLE_OTHER },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UNREACHABLE_OTHER },
		{ "\026\003\001", UNREACHABLE_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t len = strlen(rows[i].data);
		uint8_t *copy = unit_copy(rows[i].data, len);

		assert_int_equal(unreachable_judge(copy, len), rows[i].kind);
		free(copy);
	}
}

static void answers(void **state)
{
	static const struct {
		const char *request;
		enum code code;
		const char *error;
		bool has_body;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n", CODE_DIAL_REFUSED, "dial_refused", true },
		{ "HEAD / HTTP/1.1\r\n", CODE_DIAL_TIMEOUT, "dial_timeout", false },
		{ "\r\nHEAD / HTTP/1.1\r\n", CODE_DIAL_TIMEOUT, "dial_timeout", false },
		{ "HEADING / HTTP/1.1\r\n", CODE_DIAL_UNAVAILABLE, "dial_unavailable", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char out[UNREACHABLE_MAX + 1], want[64], *body;
		size_t n = unreachable_answer((const uint8_t *)rows[i].request,
			strlen(rows[i].request), "localhost:3000", "Connection refused",
			rows[i].code, out);

		out[n] = '\0';
		assert_int_equal(strlen(out), n);
		assert_memory_equal(out, "HTTP/1.1 502 Bad Gateway\r\n", 26);
		snprintf(want, sizeof want, "\r\nGotunnel-Error: %s\r\n", rows[i].error);
		assert_non_null(strstr(out, want));
		body = strstr(out, "\r\n\r\n") + 4;
		assert_int_equal(strlen(body) > 0, rows[i].has_body);
		if (rows[i].has_body) {
			snprintf(want, sizeof want, "\r\nContent-Length: %zu\r\n", strlen(body));
			assert_non_null(strstr(out, want));
			assert_non_null(strstr(body, "localhost:3000: Connection refused\n"));
		}
	}
}

static void long_names_fit(void **state)
{
	char out[UNREACHABLE_MAX], target[600];

	(void)state;
	memset(target, 'a', sizeof target);
	target[sizeof target - 1] = '\0';
	assert_true(unreachable_answer((const uint8_t *)"GET ", 4, target, target,
		CODE_DIAL_REFUSED, out) < sizeof out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(visitors),
		cmocka_unit_test(answers),
		cmocka_unit_test(long_names_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
