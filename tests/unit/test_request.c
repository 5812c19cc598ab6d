#include "unit.h"

#include "admin/request.h"

#define HOST "Host: localhost\r\n"
#define MORE(bytes)	 { .text = (bytes), .result = REQUEST_MORE }
#define BAD(code, bytes) { .text = (bytes), .result = REQUEST_BAD, .status = (code) }

static const struct {
	const char *text;
	enum request_result result;
	unsigned status;
	enum request_method method;
	const char *path, *host, *origin;
	bool is_old, keep_alive;
} rows[] = {
	{ "GET / HTTP/1.1\r\n" HOST "\r\n", REQUEST_WHOLE, 0, REQUEST_GET, "/", "localhost", NULL,
		false, true },
	{ "HEAD /metrics HTTP/1.1\r\n" HOST "\r\n", REQUEST_WHOLE, 0, REQUEST_HEAD, "/metrics",
		"localhost", NULL, false, true },
	{ "GET /a?b=c&d HTTP/1.1\r\n" HOST "\r\n", REQUEST_WHOLE, 0, REQUEST_GET, "/a", "localhost",
		NULL, false, true },
	{ "GET / HTTP/1.0\r\n\r\n", REQUEST_WHOLE, 0, REQUEST_GET, "/", NULL, NULL, true, false },
	{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", REQUEST_WHOLE, 0, REQUEST_GET, "/", NULL,
		NULL, true, true },
	{ "GET / HTTP/1.1\r\n" HOST "Connection: x, close\r\n\r\n", REQUEST_WHOLE, 0, REQUEST_GET, "/",
		"localhost", NULL, false, false },
	{ "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", REQUEST_WHOLE, 0, REQUEST_GET, "/", "localhost",
		NULL, false, true },
	{ "GET / HTTP/1.1\r\nhOST:\t [::1]:40 \t\r\nOrigin:http://a\r\n\r\n", REQUEST_WHOLE, 0,
		REQUEST_GET, "/", "[::1]:40", "http://a", false, true },
	{ "GET http://a.b:1/c?d HTTP/1.1\r\n" HOST "\r\n", REQUEST_WHOLE, 0, REQUEST_GET, "/c", "a.b:1",
		NULL, false, true },
	{ "GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", REQUEST_WHOLE, 0, REQUEST_GET, "/",
		"localhost", NULL, false, true },
	{ "GET / HTTP/1.1\r\nX: \xc3\xa4\r\nY:\r\n\r\n", REQUEST_WHOLE, 0, REQUEST_GET, "/", NULL, NULL,
		false, true },
	{ "POST / HTTP/1.1\r\n" HOST "\r\n", REQUEST_WHOLE, 0, REQUEST_OTHER, NULL, "localhost", NULL,
		false, true },
	{ "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", REQUEST_WHOLE, 0, REQUEST_OTHER, NULL, "localhost",
		NULL, false, true },
	{ "get / HTTP/1.1\r\n" HOST "\r\n", REQUEST_WHOLE, 0, REQUEST_OTHER, NULL, "localhost", NULL,
		false, true },

	MORE(""),
	MORE("\r\n\r\n\r\n"),
	MORE("GET / HTTP/1.1\r\n" HOST),
	MORE("GET / HTTP/1.1\r\n" HOST "\r"),

	BAD(400, "\n"),
	BAD(400, "GET / HTTP/1.1\n"),
	BAD(400, "GET / HTTP/1.1\r\nHost: a\n"),
	BAD(400, "GET /\r\n\r\n"),
	BAD(400, "GET  / HTTP/1.1\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1 \r\n\r\n"),
	BAD(400, " GET / HTTP/1.1\r\n\r\n"),
	BAD(400, "G(T / HTTP/1.1\r\n\r\n"),
	BAD(400, "GET a HTTP/1.1\r\n\r\n"),
	BAD(400, "GET * HTTP/1.1\r\n\r\n"),
	BAD(400, "GET /a#b HTTP/1.1\r\n\r\n"),
	BAD(400, "GET /\xc3\xa4 HTTP/1.1\r\n\r\n"),
	BAD(400, "GET /\x1b HTTP/1.1\r\n\r\n"),
	BAD(400, "GET http://a HTTP/1.1\r\n\r\n"),
	BAD(400, "GET / http/1.1\r\n\r\n"),
	BAD(400, "GET / HTTP/1.x\r\n\r\n"),
	BAD(505, "GET / HTTP/2.0\r\n\r\n"),
	BAD(505, "PRI * HTTP/2.0\r\n\r\n"),
	BAD(400, "\x16\x03\x01\x02\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nHost\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\n: a\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nX: \x7f\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nOrigin: http://a\r\nOrigin: http://a\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nOrigin:\r\n\r\n"),
	BAD(413, "GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"),
	BAD(413, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nContent-Length: 1\r\nX\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nContent-Length:\r\n\r\n"),
	BAD(400, "GET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: x\r\n\r\n"),
};

static void same(const struct request_text *t, const char *wanted)
{
	if (wanted)
		assert_true(request_is(t, wanted));
	else
		assert_null(t->at);
}

static void check(const struct request *r, enum request_result result, unsigned status, size_t row)
{
	assert_int_equal(result, rows[row].result);
	if (result == REQUEST_BAD)
		assert_int_equal(status, rows[row].status);
	if (result != REQUEST_WHOLE)
		return;
	assert_int_equal(r->method, rows[row].method);
	assert_int_equal(r->is_old, rows[row].is_old);
	assert_int_equal(r->keep_alive, rows[row].keep_alive);
	assert_int_equal(r->len, strlen(rows[row].text));
	same(&r->path, rows[row].path);
	same(&r->host, rows[row].host);
	same(&r->origin, rows[row].origin);
}

static void whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct request r = { 0 };
		size_t len = strlen(rows[i].text);
		uint8_t *copy = unit_copy(rows[i].text, len);
		unsigned status = 0;
		enum request_result result = request_parse(&r, (char *)copy, len, &status);

		check(&r, result, status, i);
		free(copy);
	}
}

/* The same verdict when the bytes come one at a time, as soon as it can be. */
static void byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct request r = { 0 };
		size_t len = strlen(rows[i].text);
		enum request_result result = REQUEST_MORE;
		char *copy = (char *)unit_copy(rows[i].text, len);
		unsigned status = 0;

		for (size_t n = 1; n <= len && result == REQUEST_MORE; n++)
			result = request_parse(&r, copy, n, &status);
		check(&r, result, status, i);
		free(copy);
	}
}

static void what_follows_is_left(void **state)
{
	static const char text[] = "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n\r\n";
	struct request r = { 0 };
	unsigned status;

	(void)state;
	assert_int_equal(request_parse(&r, text, sizeof text - 1, &status), REQUEST_WHOLE);
	assert_memory_equal(text + r.len, "GET /b", 6);
}

static void a_zero_byte_is_refused(void **state)
{
	static const char path[] = "GET /\0 HTTP/1.1\r\n\r\n";
	static const char value[] = "GET / HTTP/1.1\r\nX:\0\r\n\r\n";
	static const char *const texts[] = { path, value };
	static const size_t lens[] = { sizeof path - 1, sizeof value - 1 };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct request r = { 0 };
		unsigned status;

		assert_int_equal(request_parse(&r, texts[i], lens[i], &status), REQUEST_BAD);
		assert_int_equal(status, 400);
	}
}

static void many_fields(void **state)
{
	(void)state;
	for (unsigned extra = 0; extra < 2; extra++) {
		struct request r = { 0 };
		char text[2048] = "GET / HTTP/1.1\r\n";
		unsigned status = 0;

		for (unsigned i = 0; i < REQUEST_FIELDS_MAX + extra; i++)
			strcat(text, "X: a\r\n");
		strcat(text, "\r\n");
		assert_int_equal(request_parse(&r, text, strlen(text), &status),
			extra ? REQUEST_BAD : REQUEST_WHOLE);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(what_follows_is_left),
		cmocka_unit_test(a_zero_byte_is_refused),
		cmocka_unit_test(many_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
