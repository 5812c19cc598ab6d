#include "unit.h"

#include "http/http.h"

/* Reads what there is, and notes the events: S a start line, H a head, E a
 * message, B bad, each with the bytes before it. */
static void note(struct http *h, const char *bytes, size_t len, size_t before, bool skip, char *out)
{
	uint8_t *copy = unit_copy(bytes, len);
	struct reader in = reader_of(copy, len);
	enum http_event event;

	while ((event = http_next(h, &in)) != HTTP_MORE) {
		size_t at = strlen(out);

		snprintf(out + at, 256 - at, "%s%c%zu", at ? " " : "", "?SHEB"[event],
			before + len - in.left);
		if (event == HTTP_BAD)
			break;
		if (event == HTTP_HEAD && skip)
			http_skip_body(h);
	}
	if (event == HTTP_MORE)
		assert_int_equal(in.left, 0);
	free(copy);
}

struct row {
	enum head_kind kind;
	bool skip;
	const char *bytes;
	const char *events;
	enum http_event finish;
};

static const struct row rows[] = {
	{ HEAD_REQUEST, false, "", "", HTTP_MORE },
	{ HEAD_REQUEST, false, "\r\n", "", HTTP_MORE },
	{ HEAD_REQUEST, false, "\r", "", HTTP_MORE },
	{ HEAD_REQUEST, false, "\ra", "B2", HTTP_BAD },
	{ HEAD_REQUEST, false, "\n", "", HTTP_MORE },
	{ HEAD_REQUEST, false, "G", "", HTTP_BAD },
	{ HEAD_REQUEST, false, "G(", "B2", HTTP_BAD },
	{ HEAD_REQUEST, false, "G / HTTP/1.1\r\n", "S14", HTTP_BAD },
	{ HEAD_REQUEST, false, "G / HTTP/1.1\r\n\r\n", "S14 H16 E16", HTTP_MORE },
	{ HEAD_REQUEST, false, "G / HTTP/1.1\n\nG / HTTP/1.1\n\n", "S13 H14 E14 S27 H28 E28",
		HTTP_MORE },
	{ HEAD_REQUEST, false, "G / HTTP/1.1\nA: b\n\n\r\n", "S13 H19 E19", HTTP_MORE },
	{ HEAD_REQUEST, false, "G / HTTP/1.1\nA b\nC: d\n\n", "S13 B17", HTTP_BAD },
	{ HEAD_REQUEST, false, "G / HTTP/1.1\nContent-Length: 3\n\nabc", "S13 H32 E35", HTTP_MORE },
	{ HEAD_REQUEST, false, "G / HTTP/1.1\nContent-Length: 3\n\nab", "S13 H32", HTTP_BAD },
	{ HEAD_REQUEST, true, "G / HTTP/1.1\nContent-Length: 3\n\n", "S13 H32 E32", HTTP_MORE },
	{ HEAD_REQUEST, false, "G / HTTP/1.1\nTransfer-Encoding: chunked\n\n1\r\na\r\n0\r\n\r\n",
		"S13 H41 E52", HTTP_MORE },
	{ HEAD_REQUEST, true, "G / HTTP/1.1\nTransfer-Encoding: chunked\n\n\n", "S13 H41 E41",
		HTTP_MORE },
	{ HEAD_REQUEST, false, "G / HTTP/1.1\nTransfer-Encoding: chunked\n\n0\r\nA: b\n", "S13 H41",
		HTTP_BAD },
	{ HEAD_REQUEST, false, "G / HTTP/1.1\nTransfer-Encoding: gzip\n\n", "S13 B38", HTTP_BAD },
	{ HEAD_RESPONSE, false, "HTTP/1.0 200\n\n", "S13 H14", HTTP_END },
	{ HEAD_RESPONSE, false, "HTTP/1.0 200\n\nHTTP/1.0 200\n\n", "S13 H14", HTTP_END },
	{ HEAD_RESPONSE, true, "HTTP/1.0 200\n\nHTTP/1.0 304\n\n", "S13 H14 E14 S27 H28 E28",
		HTTP_MORE },
	{ HEAD_RESPONSE, false, "HTTP/1.0 100\n\nHTTP/1.0 101\n\nHTTP/1.0 204\n\n",
		"S13 H14 E14 S27 H28 E28 S41 H42 E42", HTTP_MORE },
	{ HEAD_RESPONSE, false, "HTTP/1.0 200\nTransfer-Encoding: gzip\n\nabc", "S13 H38", HTTP_END },
	{ HEAD_RESPONSE, false, "HTTP/1.0 200\nContent-Length: 1\nTransfer-Encoding: gzip\n\n",
		"S13 B56", HTTP_BAD },
	{ HEAD_RESPONSE, false, "HTTP/1.0 2000\n", "B13", HTTP_BAD },
};

static void messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *row = &rows[i];
		size_t len = strlen(row->bytes);

		for (size_t cut = 0; cut <= len; cut++) {
			struct http h;
			char events[256] = "";

			http_init(&h, row->kind);
			note(&h, row->bytes, cut, 0, row->skip, events);
			if (!strchr(events, 'B'))
				note(&h, row->bytes + cut, len - cut, cut, row->skip, events);
			if (strcmp(events, row->events) != 0)
				fail_msg("row %zu cut at %zu: %s, want %s", i, cut, events,
					row->events);
			assert_int_equal(http_finish(&h), row->finish);
			/* What has ended stays so. */
			if (row->finish == HTTP_BAD)
				assert_int_equal(http_finish(&h), HTTP_BAD);
			http_fini(&h);
			assert_int_equal(http_memory(&h), 0);
		}
	}
}

static void words(void **state)
{
	static const char text[] = "\r\nPATCH /a/b?c HTTP/1.0\r\nA: b\r\n\r\n";

	(void)state;
	for (size_t cut = 0; cut < sizeof text - 1; cut++) {
		struct reader in = reader_of(text, cut);
		enum http_event event;
		struct http h;

		http_init(&h, HEAD_REQUEST);
		event = http_next(&h, &in);
		if (event == HTTP_MORE) {
			in = reader_of(text + cut, sizeof text - 1 - cut);
			event = http_next(&h, &in);
		}
		assert_int_equal(event, HTTP_START);
		assert_true(span_equal(http_method(&h), span_of("PATCH")));
		assert_true(span_equal(http_target(&h), span_of("/a/b?c")));
		assert_int_equal(h.head.version, 10);
		/* The empty line before is not of the message. */
		assert_int_equal(h.size, 23);
		http_fini(&h);
	}
}

/* Whole lines are read in place; a part of one is kept until it is whole. */
static void memory(void **state)
{
	static const char text[] = "PUT / HTTP/1.1\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
				   "5;x\r\n12345\r\n0\r\nT: u\r\n\r\n";
	char events[256] = "";
	struct http h;

	(void)state;
	http_init(&h, HEAD_REQUEST);
	for (size_t at = 0; text[at];) {
		size_t n = strcspn(text + at, "\n") + 1;

		note(&h, text + at, n, at, false, events);
		assert_int_equal(http_memory(&h), 0);
		at += n;
	}
	assert_true(http_is_idle(&h));
	for (size_t at = 0; text[at]; at++) {
		note(&h, text + at, 1, at, false, events);
		assert_true(http_memory(&h) <= HTTP_LINE_MAX);
		if (text[at] == '\n')
			assert_int_equal(http_memory(&h), 0);
	}
	assert_string_equal(events, "S16 H52 E75 S16 H52 E75");
	http_fini(&h);
}

/* A body is skipped without a look: there are no bytes where it says. */
static void bodies_are_not_touched(void **state)
{
	static const char *const heads[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(heads); i++) {
		char events[256] = "";
		uint64_t before;
		struct http h;

		http_init(&h, HEAD_RESPONSE);
		note(&h, heads[i], strlen(heads[i]), 0, false, events);
		before = h.size;
		for (uint64_t n = 1; n <= 100000; n++) {
			struct reader in = { (const uint8_t *)4096, (size_t)1 << 40, false };

			assert_int_equal(http_next(&h, &in), HTTP_MORE);
			assert_int_equal(in.left, 0);
			assert_true(h.size == before + (n << 40));
		}
		assert_int_equal(http_memory(&h), 0);
		http_fini(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages),
		cmocka_unit_test(words),
		cmocka_unit_test(memory),
		cmocka_unit_test(bodies_are_not_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
