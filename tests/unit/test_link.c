#include "links.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/worker.h"
#include "tunnel/link.h"

static unsigned ended, closed;

static void on_end(struct link *l, const struct session_end *end)
{
	(void)l;
	(void)end;
	ended++;
}

static void on_closed(struct link *l)
{
	closed++;
	free(l);
}

static const struct link_ops ops = {
	.on_end = on_end,
	.on_closed = on_closed,
};

/* A client's link on a socket whose other end is not spoken for. */
static struct link *open_link(struct worker *w, uint64_t login_us, int *other)
{
	const struct session_config times = {
		.login_us = login_us,
		.heartbeat_us = 1000,
		.dead_us = 3000,
		.stuck_us = 3000,
	};

	return links_open(w, &times, &ops, other);
}

/* The loop runs timers before deferred turns: one that is due when the link
 * is closed must not end it beside the turn that is to end it. */
static void a_link_ends_once_although_its_timer_is_due(void **state)
{
	uv_loop_t loop;
	struct worker w;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(worker_init(&w, &loop), 0);
	for (unsigned turns = 0; turns < 4; turns++) {
		int other;
		struct link *l = open_link(&w, 1000, &other);

		ended = closed = 0;
		for (unsigned i = 0; i < turns; i++)
			uv_run(&loop, UV_RUN_NOWAIT);
		usleep(2500); /* The timer is overdue in the next turn. */
		link_abort(l, "test");
		for (int i = 0; i < 5; i++)
			uv_run(&loop, UV_RUN_NOWAIT);
		assert_int_equal(ended, 1);
		assert_int_equal(closed, 1);
		close(other);
	}
	worker_close(&w);
	uv_run(&loop, UV_RUN_DEFAULT);
	worker_fini(&w);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* The other end is gone, or says nothing: told once, then free to go. */
static void a_link_ends_by_its_peer_or_its_timer(void **state)
{
	uv_loop_t loop;
	struct worker w;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(worker_init(&w, &loop), 0);
	for (int silent = 0; silent < 2; silent++) {
		int other;

		ended = closed = 0;
		open_link(&w, 1000, &other);
		if (!silent)
			close(other);
		while (!closed)
			uv_run(&loop, UV_RUN_ONCE);
		assert_int_equal(ended, 1);
		if (silent)
			close(other);
	}
	worker_close(&w);
	uv_run(&loop, UV_RUN_DEFAULT);
	worker_fini(&w);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* What a session has to say at its end is in the way of nothing: a peer that takes
 * no byte has two seconds for it. */
static void last_words_that_nobody_takes(void **state)
{
	static char much[256 * 1024];
	uint64_t deadline = uv_hrtime() + UINT64_C(15000000000);
	uv_loop_t loop;
	struct worker w;
	struct link *l;
	int other;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(worker_init(&w, &loop), 0);
	ended = closed = 0;
	l = open_link(&w, 1000, &other);
	while (send(l->conn.sock.fd, much, sizeof much, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		;
	while (!closed && uv_hrtime() < deadline) {
		uv_run(&loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
	assert_int_equal(ended, 1);
	assert_int_equal(closed, 1);
	close(other);
	worker_close(&w);
	uv_run(&loop, UV_RUN_DEFAULT);
	worker_fini(&w);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_ends_once_although_its_timer_is_due),
		cmocka_unit_test(a_link_ends_by_its_peer_or_its_timer),
		cmocka_unit_test(last_words_that_nobody_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
