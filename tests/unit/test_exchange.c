#include "unit.h"

#include "exchanges.h"
#include "http/http.h"

#define GET_LINE  "GET / HTTP/1.1\r\n"
#define GET_FIELD GET_LINE "A: "

/* --- memory that runs out ------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool watched;		/* allocations of the code under test are counted */
static unsigned allocations;
static unsigned fails_at;	/* the first to fail; 0: none */

static bool is_refused(void)
{
	return watched && ++allocations == fails_at;
}

void *__wrap_malloc(size_t size)
{
	return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return is_refused() ? NULL : __real_realloc(p, size);
}

/* What a watch told, in short as in the table and in full. */
struct told {
	struct exchange *x;
	char events[4096];
	char full[16384];
	size_t idle, most;	/* bytes of memory */
};

static void tell(struct told *t, const char *event, const struct exchange_info *info)
{
	size_t at = strlen(t->events);

	snprintf(t->events + at, sizeof t->events - at, "%s%s", at ? " " : "", event);
	at = strlen(t->full);
	if (info)
		snprintf(t->full + at, sizeof t->full - at,
			"%s %.*s %.*s cut %d version %u at %ju %ju %ju bytes %ju %ju\n", event,
			(int)info->method.len, (const char *)info->method.at, (int)info->target.len,
			(const char *)info->target.at, info->target_cut, info->version,
			(uintmax_t)info->begun_us, (uintmax_t)info->answered_us,
			(uintmax_t)info->ended_us, (uintmax_t)info->received, (uintmax_t)info->sent);
}

static void on_answer(void *owner, const struct exchange_info *info)
{
	char event[16];

	snprintf(event, sizeof event, "a%u", info->status);
	tell(owner, event, info);
}

static void on_done(void *owner, const struct exchange_info *info)
{
	char event[16];

	snprintf(event, sizeof event, "%c%u", "csxu"[info->end], info->status);
	tell(owner, event, info);
}

static const struct exchange_ops ops = { on_answer, on_done };

static void start(struct told *t)
{
	t->events[0] = t->full[0] = 0;
	t->most = 0;
	t->x = exchange_new(&ops, t);
	assert_non_null(t->x);
	t->idle = exchange_memory(t->x);
}

/* From a block of its own, so that the sanitizer sees a read beyond it. */
static void pass(struct told *t, char from, const void *bytes, size_t len, uint64_t now)
{
	uint8_t *copy = unit_copy(bytes, len);

	watched = true;
	if (from == '>')
		exchange_request(t->x, copy, len, now);
	else if (from == '<')
		exchange_response(t->x, copy, len, now);
	else
		exchange_response_end(t->x, now);
	watched = false;
	free(copy);
	if (exchange_memory(t->x) > t->most)
		t->most = exchange_memory(t->x);
}

static void pass_text(struct told *t, char from, const char *text, uint64_t now)
{
	pass(t, from, text, strlen(text), now);
}

/* Ends the watch. Memory is given back as soon as nothing is under way. */
static void stop(struct told *t, uint64_t now)
{
	enum exchange_kind kind = exchange_kind(t->x);
	size_t before = exchange_memory(t->x), told;

	tell(t, "|", NULL);
	told = strlen(t->events);
	exchange_close(t->x, now);
	if (kind != EXCHANGE_UNKNOWN && strlen(t->events) == told)
		assert_int_equal(before, t->idle);
	assert_true(exchange_is_idle(t->x) && exchange_is_over(t->x));
	assert_int_equal(exchange_kind(t->x), kind);
	assert_int_equal(exchange_memory(t->x), t->idle);
	told = strlen(t->events);
	exchange_close(t->x, now);
	exchange_request(t->x, "x", 1, now);
	exchange_response(t->x, "x", 1, now);
	exchange_response_end(t->x, now);
	assert_int_equal(strlen(t->events), told);
	assert_int_equal(exchange_memory(t->x), t->idle);
	assert_true(t->most <= EXCHANGE_MEMORY_MAX);
	exchange_free(t->x);
}

/* --- the table ----------------------------------------------------------------- */

/* Runs a row with portion `which` cut at `at`, or all in steps of `step`. */
static void run(const struct row *row, size_t which, size_t at, size_t step, struct told *t)
{
	start(t);
	for (size_t i = 0; i < COUNT(row->portions) && row->portions[i].from; i++) {
		const struct portion *p = &row->portions[i];

		if (p->from == '.' || (i != which && !step)) {
			pass(t, p->from, p->bytes, p->len, i + 1);
		} else if (step) {
			for (size_t k = 0; k < p->len; k += step)
				pass(t, p->from, p->bytes + k, 1, i + 1);
		} else {
			pass(t, p->from, p->bytes, at, i + 1);
			pass(t, p->from, p->bytes + at, p->len - at, i + 1);
		}
	}
	if (exchange_kind(t->x) != row->kind)
		fail_msg("%s: kind %d", row->name, exchange_kind(t->x));
	stop(t, 100);
}

static void same(const struct row *row, const struct told *t, const struct told *whole,
	const char *how, size_t at)
{
	if (strcmp(t->full, whole->full) != 0 || strcmp(t->events, whole->events) != 0)
		fail_msg("%s, %s %zu:\n%s\n%swant\n%s\n%s", row->name, how, at, t->events, t->full,
			whole->events, whole->full);
}

static void every_row(void **state)
{
	static struct told whole, t;

	(void)state;
	assert_true(COUNT(rows) >= 150);
	for (size_t r = 0; r < COUNT(rows); r++) {
		const struct row *row = &rows[r];

		run(row, SIZE_MAX, 0, 0, &whole);
		if (strcmp(whole.events, row->events) != 0)
			fail_msg("%s: %s, want %s\n%s", row->name, whole.events, row->events,
				whole.full);
		run(row, SIZE_MAX, 0, 1, &t);
		same(row, &t, &whole, "byte by byte", 0);
		for (size_t i = 0; i < COUNT(row->portions) && row->portions[i].from; i++)
			for (size_t at = 1; at < row->portions[i].len; at++) {
				run(row, i, at, 0, &t);
				same(row, &t, &whole, "cut at", at);
			}
	}
}

/* --- limits -------------------------------------------------------------------- */

/* len bytes: head, then filling, then tail. Freed by the caller. */
static char *filled(const char *head, size_t len, const char *tail)
{
	size_t a = strlen(head), b = strlen(tail);
	char *p = malloc(len + 1);

	assert_non_null(p);
	assert_true(a + b <= len);
	memcpy(p, head, a);
	memset(p + a, 'x', len - a - b);
	memcpy(p + len - b, tail, b + 1);
	return p;
}

/* A request whose parts have the given lengths: whole, and in steps. */
static void expect(const char *request, const char *events)
{
	static const size_t steps[] = { SIZE_MAX, 1, 7, 1000, HTTP_LINE_MAX, HTTP_LINE_MAX - 1 };
	static struct told t;

	for (size_t i = 0; i < COUNT(steps); i++) {
		size_t len = strlen(request);

		start(&t);
		for (size_t at = 0, n; at < len; at += n) {
			n = len - at < steps[i] ? len - at : steps[i];
			pass(&t, '>', request + at, n, 1);
		}
		if (exchange_kind(t.x) == EXCHANGE_HTTP1)
			pass_text(&t, '<', OK, 2);
		stop(&t, 3);
		if (strcmp(t.events, events) != 0)
			fail_msg("%.40s... in steps of %zu: %s, want %s", request, steps[i], t.events,
				events);
	}
}

static void lines(void **state)
{
	char *target, *field;

	(void)state;
	target = filled("GET /", HTTP_LINE_MAX, " HTTP/1.1\r\n");
	field = filled(target, HTTP_LINE_MAX + 2, "\r\n");
	expect(field, "a200 c200 |");
	free(field);
	free(target);

	target = filled("GET /", HTTP_LINE_MAX + 1, " HTTP/1.1\r\n");
	expect(target, "|");
	free(target);

	field = filled(GET_FIELD, strlen(GET_LINE) + HTTP_LINE_MAX + 2, "\r\n\r\n");
	expect(field, "a200 c200 |");
	free(field);

	field = filled(GET_FIELD, strlen(GET_LINE) + HTTP_LINE_MAX + 3, "\r\n\r\n");
	expect(field, "u0 |");
	free(field);

	field = filled(GET_FIELD, 20 * 1024, "\r\n\r\n");
	expect(field, "u0 |");
	free(field);
}

static void heads(void **state)
{
	(void)state;
	for (size_t extra = 0; extra < 2; extra++) {
		char *first = filled(GET_FIELD, 2000, "\r\nB: ");
		char *second = filled(first, 9000, "\r\nC: ");
		char *all = filled(second, HTTP_HEAD_MAX + extra, "\r\n\r\n");

		expect(all, extra ? "u0 |" : "a200 c200 |");
		free(all);
		free(second);
		free(first);
	}
	for (size_t extra = 0; extra < 2; extra++) {
		size_t before = strlen(PUT "0\r\n");
		char *first = filled(PUT "0\r\nA: ", before + 6000, "\r\nB: ");
		char *second = filled(first, before + 12000, "\r\nC: ");
		char *all = filled(second, before + HTTP_HEAD_MAX + extra, "\r\n\r\n");

		expect(all, extra ? "u0 |" : "a200 c200 |");
		free(all);
		free(second);
		free(first);
	}
	for (int n = HTTP_FIELDS_MAX; n < HTTP_FIELDS_MAX + 2; n++) {
		static char text[HTTP_HEAD_MAX];

		strcpy(text, GET_LINE);
		for (int i = 0; i < n; i++)
			strcat(text, i == 5 ? " fold\r\n" : "a: b\r\n");
		strcat(text, "\r\n");
		expect(text, n > HTTP_FIELDS_MAX ? "u0 |" : "a200 c200 |");
		strcpy(text, PUT "0\r\n");
		for (int i = 0; i < n; i++)
			strcat(text, "a: b\r\n");
		strcat(text, "\r\n");
		expect(text, n > HTTP_FIELDS_MAX ? "u0 |" : "a200 c200 |");
	}
}

static void chunk_sizes(void **state)
{
	(void)state;
	for (size_t extra = 0; extra < 2; extra++) {
		char *size = filled(PUT "1;", strlen(PUT) + HTTP_LINE_MAX + extra, "\r\n");
		char *all = filled(size, strlen(size) + 8, "\r\n0\r\n\r\n");

		expect(all, extra ? "u0 |" : "a200 c200 |");
		free(all);
		free(size);
	}
}

/* Both directions hold the longest incomplete line, and as many requests wait
 * as may. */
static void the_most_memory(void **state)
{
	static struct told t;
	char *line = filled("a: ", HTTP_LINE_MAX - 2, "");
	size_t n = 0;

	(void)state;
	start(&t);
	while (n < 1000 && !exchange_is_idle(t.x)) {
		size_t before = exchange_memory(t.x);

		pass_text(&t, '>', "GET / HTTP/1.1\r\n", 1);
		pass_text(&t, '>', line, 1);
		assert_true(exchange_memory(t.x) > before || exchange_is_idle(t.x));
		if (n == 0) {
			pass_text(&t, '<', "HTTP/1.1 200 OK\r\n", 1);
			pass_text(&t, '<', line, 1);
		}
		pass_text(&t, '>', "\r\n\r\n", 1);
		n++;
	}
	free(line);
	/* Pipelining in earnest is some tens. */
	assert_in_range(n, 64, 999);
	assert_int_equal(exchange_kind(t.x), EXCHANGE_OTHER);
	assert_in_range(t.most, EXCHANGE_MEMORY_MAX - 200, EXCHANGE_MEMORY_MAX);
	stop(&t, 2);
	assert_int_equal(strlen(t.events), 3 * (n - 1) + 1);
}

/* Who may be freed early: nothing of it is counted any more. */
static void over(void **state)
{
	static const struct {
		const char *request, *response;
		bool is_idle, is_over;
	} cases[] = {
		{ "SSH-2.0-x\r\n", "", true, true },
		{ "", "220 mail\r\n", true, true },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", true, true },
		{ "PRI *", "", false, false },
		{ GET, "", false, false },
		{ GET, OK, false, false },
		{ "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", OK, true, false },
	};
	static struct told t;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		start(&t);
		pass_text(&t, '>', cases[i].request, 1);
		pass_text(&t, '<', cases[i].response, 1);
		assert_int_equal(exchange_is_idle(t.x), cases[i].is_idle);
		assert_int_equal(exchange_is_over(t.x), cases[i].is_over);
		if (cases[i].is_over)
			assert_int_equal(exchange_memory(t.x), t.idle);
		stop(&t, 2);
	}
}

static void pipelined(void **state)
{
	static struct told t;

	(void)state;
	start(&t);
	for (int i = 0; i < 10000; i++)
		pass_text(&t, '>', GET, 1);
	assert_int_equal(exchange_kind(t.x), EXCHANGE_OTHER);
	assert_int_equal(exchange_memory(t.x), t.idle);
	stop(&t, 2);

	/* The same with some answers on the way. */
	start(&t);
	pass_text(&t, '>', GET GET GET GET GET, 1);
	for (int i = 0; i < 10000; i++) {
		t.events[0] = t.full[0] = 0;
		pass_text(&t, '>', GET, 1);
		pass_text(&t, '<', OK, 1);
		assert_string_equal(t.events, "a200 c200");
	}
	assert_true(exchange_memory(t.x) < t.idle + 1024);
	for (int i = 0; i < 5; i++)
		pass_text(&t, '<', OK, 1);
	stop(&t, 2);
}

/* --- what is told --------------------------------------------------------------- */

static void words_are_cut(void **state)
{
	static struct told t;
	char *target = filled("M23456789012345678901234X /", 2000, " HTTP/1.0\r\n\r\n");
	char *at;

	(void)state;
	start(&t);
	pass_text(&t, '>', target, 1);
	pass_text(&t, '<', OK, 2);
	stop(&t, 3);
	at = strchr(t.full, ' ');
	assert_non_null(at);
	assert_memory_equal(at, " M23456789012345678901234 /xx", 29);
	at = strchr(at + 1, ' ');
	assert_int_equal(strcspn(at + 1, " "), EXCHANGE_TARGET_MAX);
	at += 1 + EXCHANGE_TARGET_MAX;
	assert_memory_equal(at, " cut 1 version 10 ", 18);
	free(target);
}

static void times_and_bytes(void **state)
{
	static struct told t;

	(void)state;
	start(&t);
	pass_text(&t, '>', "\r\n", 1);
	pass_text(&t, '>', "P", 2);		/* Which might be the preface. */
	pass_text(&t, '>', "OST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n1", 3);
	pass_text(&t, '>', "23GET /b HTTP/1.0\r\n", 4);
	pass_text(&t, '<', GO_ON, 5);
	pass_text(&t, '<', "\r\nHTTP/1.1 200 OK\r\n", 6);
	pass_text(&t, '<', CRLF "h", 7);
	pass_text(&t, '>', "\r\n", 8);
	pass_text(&t, '<', "ello", 9);
	exchange_response_end(t.x, 10);
	stop(&t, 11);
	assert_string_equal(t.full,
		"a200 POST /a cut 0 version 11 at 2 7 0 bytes 42 44\n"
		"c200 POST /a cut 0 version 11 at 2 7 10 bytes 42 49\n"
		"x0 GET /b cut 0 version 10 at 4 0 11 bytes 19 0\n");

	start(&t);
	pass_text(&t, '>', "P", 2);
	pass_text(&t, '>', UPGRADE, 3);
	stop(&t, 4);
	assert_string_equal(t.full, "x0 PGET /ws cut 0 version 11 at 2 0 4 bytes 71 0\n");

	start(&t);
	pass_text(&t, '>', "P", 2);
	pass_text(&t, '>', "R", 3);
	pass_text(&t, '>', "OPFIND / HTTP/1.1\r\n", 4);
	stop(&t, 5);
	assert_string_equal(t.full, "x0 PROPFIND / cut 0 version 11 at 2 0 5 bytes 21 0\n");

	start(&t);
	pass_text(&t, '>', UPGRADE, 1);
	pass_text(&t, '<', SWITCH "12", 2);
	pass_text(&t, '>', "345", 3);
	pass_text(&t, '<', "4567", 4);
	stop(&t, 5);
	assert_string_equal(t.full,
		"a101 GET /ws cut 0 version 11 at 1 2 0 bytes 70 56\n"
		"s101 GET /ws cut 0 version 11 at 1 2 5 bytes 73 62\n");
}

/* Found by fuzz_exchange: the response of the first was counted again. */
static void bytes_of_no_message(void **state)
{
	static struct told t;

	(void)state;
	start(&t);
	pass_text(&t, '>', "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", 1);
	pass_text(&t, '<', EMPTY, 2);
	pass_text(&t, '<', "\r\r", 3);
	stop(&t, 4);
	assert_string_equal(t.full,
		"a200 GET /1 cut 0 version 11 at 1 2 0 bytes 19 38\n"
		"c200 GET /1 cut 0 version 11 at 1 2 2 bytes 19 38\n"
		"u0 GET /2 cut 0 version 11 at 1 0 3 bytes 19 0\n");
}

static void free_in_the_middle(void **state)
{
	static struct told t;

	(void)state;
	exchange_free(NULL);
	start(&t);
	pass_text(&t, '>', GET GET "GET /", 1);
	pass_text(&t, '<', "HTTP/1.1 20", 1);
	exchange_free(t.x);
	assert_string_equal(t.events, "");
}

/* Every allocation fails once: the watch ends, and what was said stays. */
static void no_memory(void **state)
{
	static const char all[] = "a200 c200 a200 c200 |";
	static struct told t;
	bool failed = true;

	(void)state;
	for (fails_at = 1; failed; fails_at++) {
		allocations = 0;
		start(&t);
		pass_text(&t, '>', "GET /1 HT", 1);
		pass_text(&t, '>', "TP/1.1\r\nA: ", 1);
		pass_text(&t, '>', "b\r\n\r\n", 1);
		pass_text(&t, '<', "HTTP/1.1 200 OK\r\nContent-Le", 1);
		pass_text(&t, '<', "ngth: 0\r\n\r\n", 1);
		pass_text(&t, '>', PUT "1;", 1);
		pass_text(&t, '>', "a\r\nx\r\n0\r\nA", 1);
		pass_text(&t, '>', ": b\r\n\r\n", 1);
		pass_text(&t, '<', OK, 1);
		failed = allocations >= fails_at;
		if (failed)
			assert_int_equal(exchange_kind(t.x), EXCHANGE_OTHER);
		stop(&t, 2);
		if (failed)
			assert_string_not_equal(t.events, all);
		else
			assert_string_equal(t.events, all);
	}
	assert_int_equal(fails_at, 9);
	fails_at = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row),
		cmocka_unit_test(lines),
		cmocka_unit_test(heads),
		cmocka_unit_test(chunk_sizes),
		cmocka_unit_test(the_most_memory),
		cmocka_unit_test(over),
		cmocka_unit_test(pipelined),
		cmocka_unit_test(words_are_cut),
		cmocka_unit_test(times_and_bytes),
		cmocka_unit_test(bytes_of_no_message),
		cmocka_unit_test(free_in_the_middle),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
