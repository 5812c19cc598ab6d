/*
 * Cases 21, 30: two sessions in memory whose n-th allocation fails, for every n of each
 * script. What ends is as small as it can be: a stream where a stream can end, else the
 * session; no direction ends in good order with bytes missing; and nothing is left
 * allocated, which is counted here and seen by the sanitizer, too.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "duo.h"

/* --- memory that runs out ------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void __wrap_free(void *p);

static bool watched;		/* the code under test is running */
static unsigned allocations;	/* of it, so far */
static unsigned fails_at;	/* the first to fail; 0: none */
static unsigned fail_run;	/* and how many in a row */
static long live;		/* allocated by it and not freed */

static bool is_refused(void)
{
	return watched && ++allocations >= fails_at && allocations < fails_at + fail_run;
}

static void *counted(void *p)
{
	if (watched && p)
		live++;
	return p;
}

void *__wrap_malloc(size_t size)
{
	return is_refused() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return is_refused() ? NULL : counted(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t size)
{
	void *q = is_refused() ? NULL : __real_realloc(p, size);

	if (watched && q && !p)
		live++;
	return q;
}

void __wrap_free(void *p)
{
	if (watched && p)
		live--;
	__real_free(p);
}

/* --- the world -------------------------------------------------------------------- */

static struct duo duo;
static bool streams_failed;	/* the server had no memory for a visitor */

/* Bytes from one side to the other, in pieces of at most `piece`. */
static size_t carry(struct duo_side *from, struct duo_side *to, size_t piece)
{
	static uint8_t out[DUO_OUT];
	size_t n, at = 0;

	watched = true;
	n = flat_compose(&from->session, out, sizeof out, duo.now);
	watched = false;
	while (at < n) {
		size_t part = n - at < piece ? n - at : piece;
		uint8_t *copy = unit_copy(out + at, part);

		watched = true;
		session_feed(&to->session, copy, part, duo.now);
		watched = false;
		free(copy);
		at += part;
	}
	return n;
}

static void settle(size_t piece)
{
	for (int i = 0; i < 2000; i++) {
		size_t n = carry(&duo.client, &duo.server, piece);

		n += carry(&duo.server, &duo.client, piece);
		duo.now += 1000;
		if (!n)
			return;
	}
	fail_msg("two sessions talk without end");
}

static bool is_alive(void)
{
	return !duo.client.ends_told && !duo.server.ends_told;
}

static void start(struct duo_side *side, enum session_role role)
{
	static const uint8_t instance[LOGIN_INSTANCE] = { 1 };
	const struct session_config config = {
		.role = role,
		.max_frame = FRAME_DATA_DEFAULT,
		.pool = &duo_pool,
		.stream_credit = SESSION_STREAM_CREDIT,
		.login_us = 5000000,
		.heartbeat_us = 10000000,
		.dead_us = 25000000,
		.stuck_us = 30000000,
		.name = "memory",
		.instance = instance,
		.key_id = "default",
		.version = "0",
	};
	enum code code;

	watched = true;
	code = session_init(&side->session, &config, &duo_ops, side, duo.now);
	if (code) /* As its owner does. */
		session_lost(&side->session, code_text(code), duo.now);
	watched = false;
}

/* Both ends with a tunnel, if memory lets them. */
static void begin(size_t piece)
{
	struct bind_request request = { .id = DUO_BIND, .kind = BIND_TCP };

	memset(&duo, 0, sizeof duo);
	duo.now = 1000000;
	streams_failed = false;
	start(&duo.client, SESSION_CLIENT);
	start(&duo.server, SESSION_SERVER);
	settle(piece);
	if (!is_alive())
		return;
	watched = true;
	binding_ask(&duo.client.session, &request);
	watched = false;
	settle(piece);
}

/* A visitor, who sends `up` bytes and gets `down`; false: no memory for it. */
static bool visit(uint64_t up, uint64_t down)
{
	struct flow_open open = { .bind_id = DUO_BIND, .peer = { .family = 4 },
		.local = { .family = 4 } };
	struct duo_end *e = &duo.server.ends[duo.server.opened];

	e->left = up;
	e->closes = true;
	duo.client.ends[duo.server.opened].left = down;
	duo.client.ends[duo.server.opened].closes = true;
	watched = true;
	e->st = stream_open(&duo.server.session, &open, e);
	if (e->st)
		stream_ready(&duo.server.session, e->st);
	watched = false;
	if (!e->st)
		streams_failed = true;
	else
		duo.server.opened++;
	return e->st != NULL;
}

/* The client's services answer all that came. */
static void serve(void)
{
	watched = true;
	for (unsigned i = 0; i < duo.client.opened; i++) {
		struct duo_end *e = &duo.client.ends[i];

		if (e->saw_reset)
			continue;
		stream_answer(&duo.client.session, e->st);
		stream_ready(&duo.client.session, e->st);
	}
	watched = false;
}

static void end(void)
{
	watched = true;
	duo_fini(&duo);
	watched = false;
	watched = true;
	chunk_pool_trim(&duo_pool);
	watched = false;
}

/* --- the scripts -------------------------------------------------------------------- */

static void log_in_and_bind(void)
{
	begin(SIZE_MAX);
}

/* Every head and frame comes in two pieces or more. */
static void log_in_byte_by_byte(void)
{
	begin(7);
}

static void one_after_another(void)
{
	begin(SIZE_MAX);
	for (int i = 0; i < 12 && is_alive(); i++) {
		visit(100000, 3000);
		settle(SIZE_MAX);
		serve();
		settle(SIZE_MAX);
	}
}

/* The tables grow and shrink. */
static void many_at_once(void)
{
	begin(SIZE_MAX);
	for (int i = 0; i < 60 && is_alive(); i++)
		visit(5000, 5000);
	settle(1000);
	serve();
	settle(1000);
}

static void resets_and_goodbye(void)
{
	begin(SIZE_MAX);
	for (int i = 0; i < 20 && is_alive(); i++)
		visit(300000, 300000);
	carry(&duo.server, &duo.client, 4096);
	watched = true;
	for (unsigned i = 0; i < duo.server.opened; i += 2)
		if (!duo.server.ends[i].saw_reset)
			stream_reset(&duo.server.session, duo.server.ends[i].st, CODE_CANCELLED);
	session_shutdown(&duo.client.session, 1000);
	watched = false;
	settle(4096);
	serve();
	settle(4096);
}

/* Heartbeats, and a queue of control frames that is not taken for a while. */
static void much_to_say(void)
{
	begin(SIZE_MAX);
	for (int i = 0; i < 6 && is_alive(); i++) {
		watched = true;
		for (int k = 0; k < 50; k++)
			session_measure(&duo.client.session);
		duo.now += 11000000;
		session_tick(&duo.client.session, 0, duo.now);
		session_tick(&duo.server.session, 0, duo.now);
		watched = false;
		settle(100);
	}
}

static const struct script {
	const char *name;
	void (*run)(void);
	unsigned least;		/* allocations that it makes */
} scripts[] = {
	{ "log in and bind", log_in_and_bind, 6 },
	{ "log in byte by byte", log_in_byte_by_byte, 8 },
	{ "one visitor after another", one_after_another, 40 },
	{ "many visitors at once", many_at_once, 130 },
	{ "resets and goodbye", resets_and_goodbye, 40 },
	{ "much to say", much_to_say, 16 },
};

/* --- what must come of it ------------------------------------------------------------ */

/* FIN is earned: never with bytes missing. */
static void check_endings(const char *name, const struct duo_end *from, const struct duo_end *to)
{
	if (to->saw_close && (to->got != from->sent || from->left))
		fail_msg("%s, allocation %u: a clean end after %ju of %ju bytes", name, fails_at,
			(uintmax_t)to->got, (uintmax_t)(from->sent + from->left));
	assert_true(to->got <= from->sent);
	assert_true(to->saw_reset <= 1 && to->saw_close <= 1);
}

static void check(const char *name)
{
	for (unsigned i = 0; i < duo.client.opened; i++) {
		check_endings(name, &duo.client.ends[i], &duo.server.ends[i]);
		check_endings(name, &duo.server.ends[i], &duo.client.ends[i]);
	}
	assert_true(duo.client.ends_told <= 1 && duo.server.ends_told <= 1);
	/* A visitor for whom there is no memory is the only one to notice. */
	if (streams_failed && is_alive())
		for (unsigned i = 0; i < duo.server.opened; i++)
			assert_true(duo.server.ends[i].saw_close || duo.server.ends[i].saw_reset ||
				duo.server.ends[i].st->out == STREAM_CUT ||
				duo.server.ends[i].st->out == STREAM_RESET);
	end();
	if (live)
		fail_msg("%s, allocation %u: %ld blocks are left", name, fails_at, live);
}

/* Runs a script with the n-th allocation (and the next in_a_row - 1) failing.
 * Returns how many it made. */
static unsigned attempt(const struct script *script, unsigned n, unsigned in_a_row)
{
	allocations = 0;
	fails_at = n ? n : UINT32_MAX;
	fail_run = n ? in_a_row : 0;
	live = 0;
	script->run();
	check(script->name);
	return allocations;
}

static void run_scripts(unsigned in_a_row)
{
	for (size_t k = 0; k < COUNT(scripts); k++) {
		unsigned count = attempt(&scripts[k], 0, 0), survived = 0, n;

		assert_true(count >= scripts[k].least);
		for (n = 1; attempt(&scripts[k], n, in_a_row) >= n; n++)
			survived += is_alive();
		assert_true(n > scripts[k].least / 2);
		print_message("%s: %u allocations fail in turn, %u of the sessions live\n",
			scripts[k].name, n - 1, survived);
	}
}

static void test_the_scripts_work(void **state)
{
	(void)state;
	for (size_t k = 0; k < COUNT(scripts); k++) {
		fails_at = UINT32_MAX;
		fail_run = 0;
		live = 0;
		scripts[k].run();
		assert_true(is_alive());
		assert_int_equal(duo.client.bind_oks, 1);
		if (scripts[k].run == one_after_another || scripts[k].run == many_at_once)
			for (unsigned i = 0; i < duo.server.opened; i++) {
				assert_int_equal(duo.server.ends[i].saw_close, 1);
				assert_int_equal(duo.client.ends[i].saw_close, 1);
				assert_int_equal(duo.client.ends[i].left, 0);
			}
		end();
		assert_int_equal(live, 0);
	}
}

/* Case 30. */
static void test_each_allocation_fails(void **state)
{
	(void)state;
	run_scripts(1);
}

/* Case 30: and no memory comes back for what would be said about it. */
static void test_memory_stays_out(void **state)
{
	(void)state;
	run_scripts(8);
}

/* Cases 21, 30: a visitor without memory for its stream is not opened, the others
 * get all they were sent. */
static void test_only_the_visitor_ends(void **state)
{
	unsigned before;

	(void)state;
	fails_at = UINT32_MAX;
	fail_run = 0;
	live = 0;
	begin(SIZE_MAX);
	assert_true(visit(100000, 100000));
	carry(&duo.server, &duo.client, SIZE_MAX);
	before = duo.server.opened;
	allocations = 0;
	fails_at = 2; /* The first is for its frame. */
	fail_run = 1;
	assert_false(visit(10, 10));
	fails_at = UINT32_MAX;
	assert_int_equal(duo.server.opened, before);
	settle(SIZE_MAX);
	serve();
	settle(SIZE_MAX);
	assert_true(is_alive());
	assert_int_equal(duo.server.ends[0].got, 100000);
	assert_int_equal(duo.client.ends[0].got, 100000);
	assert_true(duo.server.ends[0].saw_close && duo.client.ends[0].saw_close);
	end();
	assert_int_equal(live, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_scripts_work),
		cmocka_unit_test(test_each_allocation_fails),
		cmocka_unit_test(test_memory_stays_out),
		cmocka_unit_test(test_only_the_visitor_ends),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
