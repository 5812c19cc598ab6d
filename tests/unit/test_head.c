#include "unit.h"

#include "http/head.h"

/* Where a start line is seen to be none: the first byte that cannot be right.
 * The table of exchanges has the whole lines. */
static void start_lines(void **state)
{
	static const struct {
		enum head_kind kind;
		const char *text;
		size_t good;
		bool started;
	} rows[] = {
		{ HEAD_REQUEST, "GET / HTTP/1.1\r\nHost", 16, true },
		{ HEAD_REQUEST, "GET / HTTP/1.0\nHost", 15, true },
		{ HEAD_REQUEST, "GET / HTTP/1.1\r", 15, false },
		{ HEAD_REQUEST, "SSH-2.0-x\r\n", 9, false },
		{ HEAD_REQUEST, "*1\r\n", 2, false },
		{ HEAD_REQUEST, "\x16\x03\x01", 0, false },
		{ HEAD_REQUEST, "get key\r\n", 7, false },
		{ HEAD_REQUEST, "INVITE sip:a SIP/2.0\r\n", 13, false },
		{ HEAD_REQUEST, "GET / HTTP/2.0\r\n", 11, false },
		{ HEAD_REQUEST, "GET / HTTP/1.2\r\n", 13, false },
		{ HEAD_REQUEST, "GET  /", 4, false },
		{ HEAD_REQUEST, " /", 0, false },
		{ HEAD_REQUEST, "GET / HTTP/1.1\r\r", 15, false },
		{ HEAD_RESPONSE, "HTTP/1.1 200 OK\r\nA", 17, true },
		{ HEAD_RESPONSE, "HTTP/1.0 404\r\n", 14, true },
		{ HEAD_RESPONSE, "HTTP/1.1 200\n", 13, true },
		{ HEAD_RESPONSE, "HTTP/1.1 200 x\xc3\xa4\t\r\n", 19, true },
		{ HEAD_RESPONSE, "HTTP/1.1 099", 9, false },
		{ HEAD_RESPONSE, "HTTP/1.1 2000", 12, false },
		{ HEAD_RESPONSE, "HTTP/1.1 20 ", 11, false },
		{ HEAD_RESPONSE, "ICY 200", 0, false },
		{ HEAD_RESPONSE, "http/1.1", 0, false },
		{ HEAD_RESPONSE, "HTTP/1.1 200 a\x01", 14, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t len = strlen(rows[i].text), good;
		uint8_t *copy = unit_copy(rows[i].text, len);
		struct head h;

		head_init(&h, rows[i].kind);
		good = head_start(&h, copy, len);
		if (good != rows[i].good || head_is_started(&h) != rows[i].started)
			fail_msg("%s: %zu fit", rows[i].text, good);
		free(copy);
	}
}

static void start_line_parts(void **state)
{
	static const char request[] = "M-SEARCH /a?b HTTP/1.0\r\n";
	static const char response[] = "HTTP/1.1 503 x\r\n";
	struct head h;

	(void)state;
	head_init(&h, HEAD_REQUEST);
	assert_int_equal(head_start(&h, (const uint8_t *)request, 24), 24);
	assert_int_equal(h.method_len, 8);
	assert_int_equal(h.target_len, 4);
	assert_int_equal(h.version, 10);
	assert_int_equal(h.status, 0);
	head_init(&h, HEAD_RESPONSE);
	assert_int_equal(head_start(&h, (const uint8_t *)response, 16), 16);
	assert_int_equal(h.version, 11);
	assert_int_equal(h.status, 503);
}

/* Every byte in the place where one class of bytes is wanted. */
static void every_byte(void **state)
{
	static const char token[] = "!#$%&'*+-.^_`|~0123456789"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		uint8_t name[] = { 'a', (uint8_t)c, ':', 'x' };
		uint8_t value[] = { 'a', ':', 'b', (uint8_t)c, 'c' };
		bool is_token = c && strchr(token, (int)c);
		bool is_text = c == '\t' || (c >= ' ' && c != 0x7f);
		struct head h;
		uint8_t byte = (uint8_t)c;

		head_init(&h, HEAD_REQUEST);
		assert_int_equal(head_start(&h, &byte, 1), is_token);
		head_init(&h, HEAD_REQUEST);
		assert_int_equal(head_start(&h, (const uint8_t *)"G ", 2), 2);
		assert_int_equal(head_start(&h, &byte, 1), !!(c && !strchr(" \t\r\n", (int)c)));
		head_init(&h, HEAD_REQUEST);
		assert_int_equal(head_field(&h, (struct span){ name, sizeof name }),
			is_token || c == ':');
		assert_int_equal(head_field(&h, (struct span){ value, sizeof value }), is_text);
	}
}

enum { BAD = -1, NONE = HEAD_CODING_NONE, OTHER = HEAD_CODING_OTHER, CHUNKED = HEAD_CODING_CHUNKED };

/* Lines of one head, and the framing they come to. */
static void framing(void **state)
{
	static const struct {
		const char *lines[4];
		int coding;
		bool has_length;
		uint64_t length;
	} rows[] = {
		{ { "Host: h" }, NONE, false, 0 },
		{ { "Content-Length: 0" }, NONE, true, 0 },
		{ { "content-length:18446744073709551615" }, NONE, true, UINT64_MAX },
		{ { "Content-Length: 18446744073709551616" }, BAD, false, 0 },
		{ { "Content-Length: 99999999999999999999" }, BAD, false, 0 },
		{ { "Content-Length:\t000007\t " }, NONE, true, 7 },
		{ { "Content-Length: 7", "A: b", "Content-Length: 7,07" }, NONE, true, 7 },
		{ { "Content-Length: 7", "Content-Length: 8" }, BAD, false, 0 },
		{ { "Content-Length: 7,,7" }, BAD, false, 0 },
		{ { "Content-Length: 7;" }, BAD, false, 0 },
		{ { "Content-Length: " }, BAD, false, 0 },
		{ { "Content-Length: 7", " 7" }, BAD, false, 0 },
		{ { "Content-Lengthy: x" }, NONE, false, 0 },
		{ { "XContent-Length: x" }, NONE, false, 0 },
		{ { "Transfer-Encoding: chunked" }, CHUNKED, false, 0 },
		{ { "transfer-encoding:\tChUnKeD \t" }, CHUNKED, false, 0 },
		{ { "Transfer-Encoding: gzip,\tchunked" }, CHUNKED, false, 0 },
		{ { "Transfer-Encoding: gzip", "Transfer-Encoding: chunked" }, CHUNKED, false, 0 },
		{ { "Transfer-Encoding: gzip" }, OTHER, false, 0 },
		{ { "Transfer-Encoding: chunke" }, OTHER, false, 0 },
		{ { "Transfer-Encoding: chunked, gzip" }, BAD, false, 0 },
		{ { "Transfer-Encoding: chunked", "Transfer-Encoding: gzip" }, BAD, false, 0 },
		{ { "Transfer-Encoding: chunked", "Transfer-Encoding: chunked" }, BAD, false, 0 },
		{ { "Transfer-Encoding: gzip chunked" }, BAD, false, 0 },
		{ { "Transfer-Encoding: ,chunked" }, BAD, false, 0 },
		{ { "Transfer-Encoding: gzip, , chunked" }, BAD, false, 0 },
		{ { "Transfer-Encoding: chunked ," }, BAD, false, 0 },
		{ { "Transfer-Encoding: gzip;q=0.5" }, BAD, false, 0 },
		{ { "Transfer-Encoding:" }, BAD, false, 0 },
		{ { "Transfer-Encoding: chunked", "\tx" }, BAD, false, 0 },
		{ { "Content-Length: 7", "Transfer-Encoding: chunked" }, CHUNKED, true, 7 },
		{ { "A: b", " c", "\td: e" }, NONE, false, 0 },
		{ { " A: b" }, BAD, false, 0 },
		{ { "A" }, BAD, false, 0 },
		{ { ":" }, BAD, false, 0 },
		{ { "A :b" }, BAD, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool good = true;
		struct head h;

		head_init(&h, HEAD_RESPONSE);
		for (size_t k = 0; k < COUNT(rows[i].lines) && rows[i].lines[k]; k++) {
			size_t len = strlen(rows[i].lines[k]);
			uint8_t *copy = unit_copy(rows[i].lines[k], len);

			good = good && head_field(&h, (struct span){ copy, len });
			free(copy);
		}
		if (good != (rows[i].coding != BAD))
			fail_msg("%s: %d", rows[i].lines[0], good);
		if (good && ((int)h.coding != rows[i].coding || h.has_length != rows[i].has_length ||
				    h.length != rows[i].length))
			fail_msg("%s: coding %d, length %ju", rows[i].lines[0], h.coding,
				(uintmax_t)h.length);
	}
}

static void trailers(void **state)
{
	struct head h;

	(void)state;
	head_init(&h, HEAD_REQUEST);
	assert_false(head_trailer(&h, span_of(" a")));
	assert_true(head_trailer(&h, span_of("Digest: x")));
	assert_true(head_trailer(&h, span_of(" y")));
	assert_false(head_trailer(&h, span_of("no colon")));
	assert_false(head_trailer(&h, span_of("Content-Length: 1")));
	assert_false(head_trailer(&h, span_of("Transfer-Encoding: chunked")));
	assert_false(h.has_length);
	assert_int_equal(h.coding, HEAD_CODING_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(start_lines),
		cmocka_unit_test(start_line_parts),
		cmocka_unit_test(every_byte),
		cmocka_unit_test(framing),
		cmocka_unit_test(trailers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
