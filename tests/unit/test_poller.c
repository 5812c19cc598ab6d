#include "unit.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/list.h"
#include "net/poller.h"

/* A loop on which one of each kind has something to say. */
struct rig {
	uv_loop_t loop;
	struct poller poller;
	struct sock sock;
	struct turn turn;
	uv_timer_t timer;
	uv_async_t async;
	uv_thread_t thread;
	int far;		/* the other end of sock */
	unsigned bytes, turns, timers, asyncs;
};

static void close_if_done(struct rig *r)
{
	if (!r->bytes || r->turns < 3 || !r->asyncs)
		return;
	uv_close((uv_handle_t *)&r->timer, NULL);
	uv_close((uv_handle_t *)&r->async, NULL);
	poller_close_sock(&r->sock);
	poller_close(&r->poller);
}

static void on_turn(struct turn *t)
{
	struct rig *r = list_entry(t, struct rig, turn);

	if (++r->turns < 3)
		poller_defer(&r->poller, t); /* Once more, in the next turn. */
	else
		close_if_done(r);
}

static void on_event(struct sock *s)
{
	struct rig *r = list_entry(s, struct rig, sock);
	char c;

	if (!s->readable)
		return;
	while (read(s->fd, &c, 1) == 1)
		r->bytes++;
	assert_int_equal(errno, EAGAIN);
	s->readable = false;
	if (r->bytes)
		poller_defer(&r->poller, &r->turn);
}

static void post(void *arg)
{
	struct rig *r = arg;

	uv_async_send(&r->async);
}

static void on_timer(uv_timer_t *t)
{
	struct rig *r = t->data;

	r->timers++;
	assert_int_equal(write(r->far, "x", 1), 1);
	assert_int_equal(uv_thread_create(&r->thread, post, r), 0);
}

static void on_async(uv_async_t *a)
{
	struct rig *r = a->data;

	r->asyncs++;
	close_if_done(r);
}

static void run(bool embraces)
{
	struct rig r = { .timer.data = &r, .async.data = &r };
	int ends[2];

	assert_int_equal(uv_loop_init(&r.loop), 0);
	assert_int_equal(poller_init(&r.poller, &r.loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	r.far = ends[1];
	assert_int_equal(poller_add(&r.poller, &r.sock, ends[0], on_event), 0);
	poller_turn_init(&r.turn, on_turn);
	uv_timer_init(&r.loop, &r.timer);
	uv_timer_start(&r.timer, on_timer, 1, 0);
	uv_async_init(&r.loop, &r.async, on_async);
	if (embraces)
		assert_int_equal(poller_embrace(&r.poller), 0);
	assert_int_equal(uv_run(&r.loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_thread_join(&r.thread), 0);
	assert_int_equal(r.bytes, 1);
	assert_int_equal(r.turns, 3);
	assert_int_equal(r.timers, 1);
	assert_int_equal(r.asyncs, 1);
	assert_int_equal(uv_loop_close(&r.loop), 0);
	close(r.far);
}

static void sleeps_in_libuv(void **state)
{
	(void)state;
	run(false);
}

static void sleeps_in_its_own_set(void **state)
{
	(void)state;
	run(true);
}

/* Who failed to start has closed before anything ran. */
static void embraces_nothing_when_closed(void **state)
{
	uv_loop_t loop;
	struct poller p;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(poller_init(&p, &loop), 0);
	poller_close(&p);
	assert_int_equal(poller_embrace(&p), 0);
	assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sleeps_in_libuv),
		cmocka_unit_test(sleeps_in_its_own_set),
		cmocka_unit_test(embraces_nothing_when_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
