#include "unit.h"

#include "core/text.h"
#include "tunnel/line.h"

static struct traffic tunnel = { .name = "vm:3000", .port = 10000 };
static const char visitor[] = "203.0.113.9:51122", visitor6[] = "[2001:db8::7]:443";

static void requests(void **state)
{
	static const struct {
		const char *method, *target;
		unsigned status;
		uint64_t latency_us;
		struct line_style style;
		const char *line;
	} rows[] = {
		/* As in the manual. */
		{ "GET", "/api/users", 200, 45000, { true, false, false, 80 },
			"│ HTTP  │ ✓ GET    /api/users                  200 OK           45ms" },
		{ "GET", "/api/users", 200, 45000, { true, false, false, 100 },
			"│ HTTP  │ ✓ GET    /api/users                  200 OK           45ms"
			"  peer=203.0.113.9:51122" },
		{ "POST", "/login", 401, 999, { true, false, false, 80 },
			"│ HTTP  │ ⚠ POST   /login                      401 Unauthorized  999µs" },
		{ "DELETE", "/x", 500, 12345678, { true, false, false, 80 },
			"│ HTTP  │ ✗ DELETE /x                          500 Error       12.3s" },
		{ "GET", "/ws", 101, 1000, { true, false, false, 80 },
			"│ HTTP  │ ✓ GET    /ws                         101 Switching Protocols    1ms" },
		{ "GET", "/moved", 302, 1000, { true, false, false, 80 },
			"│ HTTP  │ ✓ GET    /moved                      302 Found         1ms" },
		/* The path gives way first, and keeps its end sign. */
		{ "GET", "/a/very/long/path/that/goes/on/and/on", 200, 45000,
			{ true, false, false, 60 },
			"│ HTTP  │ ✓ GET    /a/very/long/pat... 200 OK           45ms" },
		/* A long one may use a wide screen. */
		{ "GET", "/a/very/long/path/that/goes/on/and/on", 200, 45000,
			{ true, false, false, 99 },
			"│ HTTP  │ ✓ GET    /a/very/long/path/that/goes/on/and/on 200 OK           45ms" },
		/* Nothing of a peer reaches the terminal as it is. */
		{ "GET", "/\033]0;x\a\r\n\342\200\256", 200, 1000, { true, false, false, 99 },
			"│ HTTP  │ ✓ GET    /\\x1b]0;x\\x07\\x0d\\x0a\\xe2\\x80\\xae 200 OK            1ms" },
		{ "GET", "/日本", 200, 1000, { true, false, false, 80 },
			"│ HTTP  │ ✓ GET    /日本                       200 OK            1ms" },
		{ "GET", "/", 200, 45000, { true, true, false, 80 },
			"│ HTTP  │ \033[32m✓\033[0m GET    /                           "
			"\033[32m200 OK        \033[0m   45ms" },
		/* A server names the tunnel, whatever the width. */
		{ "GET", "/", 200, 45000, { true, false, true, 80 },
			"│ HTTP  │ ✓ GET    /           200 OK           45ms"
			"  vm:3000  203.0.113.9:51122" },
		{ "GET", "/", 200, 45000, { false, false, true, 0 },
			"HTTP  ✓ GET    /                           200 OK           45ms"
			"  tunnel=vm:3000  peer=203.0.113.9:51122" },
		/* Not answered. */
		{ "GET", "/slow", 0, 0, { true, false, false, 80 },
			"│ HTTP  │ ✗ GET    /slow                       reset by visitor  30.5s" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct line_request r = {
			.traffic = &tunnel,
			.peer = visitor,
			.method = span_of(rows[i].method),
			.target = span_of(rows[i].target),
			.status = rows[i].status,
			.end = "reset by visitor",
			.latency_us = rows[i].latency_us,
			.duration_us = 30500000,
		};
		char out[LINE_TEXT_MAX];

		assert_string_equal(line_request(&r, &rows[i].style, out), rows[i].line);
		if (rows[i].style.columns && !rows[i].style.color)
			assert_true(text_columns(out) <= rows[i].style.columns);
	}
}

static void a_cut_target_says_so(void **state)
{
	char target[3000], out[LINE_TEXT_MAX];
	struct line_request r = {
		.traffic = &tunnel,
		.peer = visitor6,
		.method = span_of("GET"),
		.target = { (uint8_t *)target, sizeof target },
		.target_cut = true,
		.status = 200,
	};
	struct line_style style = { .names_tunnel = true };

	(void)state;
	memset(target, 0x1b, sizeof target);
	line_request(&r, &style, out);
	assert_true(strlen(out) < sizeof out - 1);
	assert_non_null(strstr(out, "\\x1b... 200 OK"));
	assert_non_null(strstr(out, "peer=[2001:db8::7]:443"));
	r.target.len = 4;
	memcpy(target, "/abc", 4);
	assert_non_null(strstr(line_request(&r, &style, out), "/abc... "));
}

static void connections(void **state)
{
	static const struct {
		struct line_connection c;
		struct line_style style;
		const char *line;
	} rows[] = {
		{ { &tunnel, visitor, "tcp", false, "closed", LINE_GOOD, 35000000, 12000, 4000 },
			{ true, false, false, 80 },
			"│ TCP   │ ✓ 203.0.113.9:51122   closed   ↑ 12 kB ↓ 4.0 kB   35.0s" },
		{ { &tunnel, visitor, "h2", false, "reset by service", LINE_BAD, 5000, 0, 1 },
			{ true, false, false, 80 },
			"│ H2    │ ✗ 203.0.113.9:51122   reset by service   ↑ 0 B ↓ 1 B   5ms" },
		{ { &tunnel, visitor, "tcp", false, "reset by service", LINE_BAD, 5000, 41, 1 },
			{ true, true, false, 50 },
			"│ TCP   │ \033[31m✗\033[0m 203.0.113.9:51122   reset by servic..." },
		{ { &tunnel, visitor6, "tcp", true, NULL, LINE_GOOD, 0, 0, 0 },
			{ true, false, true, 80 },
			"│ TCP   │ ✓ [2001:db8::7]:443   open  vm:3000" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char out[LINE_TEXT_MAX];

		assert_string_equal(line_connection(&rows[i].c, &rows[i].style, out), rows[i].line);
	}
}

static void peers(void **state)
{
	static const struct {
		struct flow_addr addr;
		const char *text;
	} rows[] = {
		{ { 4, { 203, 0, 113, 9 }, 51122 }, visitor },
		{ { 6, { 0x20, 1, 0xd, 0xb8, [15] = 7 }, 443 }, visitor6 },
		{ { 4, { 0 }, 0 }, "0.0.0.0:0" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(line_peer(&rows[i].addr, out), rows[i].text);
}

static void marks(void **state)
{
	static const struct {
		unsigned status;
		enum line_mark mark;
	} rows[] = {
		{ 0, LINE_BAD }, { 99, LINE_BAD }, { 100, LINE_GOOD }, { 200, LINE_GOOD },
		{ 399, LINE_GOOD }, { 400, LINE_ODD }, { 499, LINE_ODD }, { 500, LINE_BAD },
		{ 999, LINE_BAD },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(line_mark_of(rows[i].status), rows[i].mark);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(a_cut_target_says_so),
		cmocka_unit_test(connections),
		cmocka_unit_test(peers),
		cmocka_unit_test(marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
