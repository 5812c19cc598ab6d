#include "links.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/worker.h"
#include "tunnel/link.h"
#include "tunnel/pressure.h"

enum { MOST = 1024 * 1024, QUEUED = 1000 };

static void on_end(struct link *l, const struct session_end *end)
{
	(void)l;
	(void)end;
}

static void on_closed(struct link *l)
{
	free(l);
}

static const struct link_ops ops = { .on_end = on_end, .on_closed = on_closed };

static void on_cross(struct budget_total *t)
{
	(void)t;
}

/* A client's link that nobody answers. */
static struct link *open_link(struct worker *w, int *other)
{
	const struct session_config times = {
		.login_us = UINT64_C(1) << 50,
		.dead_us = UINT64_C(1) << 50,
	};

	return links_open(w, &times, &ops, other);
}

static void on_done(struct pipe *p)
{
	*(bool *)p->user = true;
}

/* A stream has stood still for long when another worker fills three quarters of what
 * they share. Whether it is reset when it is looked at. */
static bool is_reset(bool gives_back)
{
	struct budget_total total = { .on_cross = on_cross };
	struct budget another = { .most = MOST, .total = &total };
	static const uint8_t data[QUEUED];
	struct pressure pressure;
	struct worker w;
	uv_loop_t loop;
	struct link *l;
	struct pipe *p;
	bool done = false, was_reset;
	int other;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(worker_init(&w, &loop), 0);
	pressure_init(&pressure, &w, MOST);
	w.budget.total = &total;
	l = open_link(&w, &other);
	p = pipe_new(l);
	assert_non_null(p);
	p->user = &done;
	p->on_done = on_done;
	assert_int_equal(backlog_append(&p->queue, &w.chunks, data, QUEUED), 0);
	p->moved_us = UINT64_MAX;
	budget_take(&another, MOST / 4 * 3);
	budget_look(&w.budget);
	assert_true(w.budget.is_high);
	while (!uv_is_active((uv_handle_t *)&pressure.timer->uv))
		uv_run(&loop, UV_RUN_ONCE);
	if (gives_back)
		budget_give(&another, another.used);
	p->moved_us = 1; /* For long, all at once. */
	while (!done && uv_is_active((uv_handle_t *)&pressure.timer->uv))
		uv_run(&loop, UV_RUN_ONCE);
	was_reset = done || p->state == PIPE_DONE;
	link_abort(l, "test");
	while (!done)
		uv_run(&loop, UV_RUN_ONCE);
	close(other);
	pressure_close(&pressure);
	worker_close(&w);
	uv_run(&loop, UV_RUN_DEFAULT);
	worker_fini(&w);
	assert_int_equal(uv_loop_close(&loop), 0);
	return was_reset;
}

static void a_stalled_stream_goes_only_while_memory_is_short(void **unused)
{
	(void)unused;
	assert_true(is_reset(false));
	assert_false(is_reset(true));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stalled_stream_goes_only_while_memory_is_short),
	};

	setenv("GOTUNNEL_TEST_TIME_SCALE", "1000", 1); /* It is looked at each second. */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
