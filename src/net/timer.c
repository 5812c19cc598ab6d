#include "net/timer.h"

#include <stdlib.h>

static unsigned scale(void)
{
	static unsigned factor;
	const char *text;

	if (!factor) {
		text = getenv("GOTUNNEL_TEST_TIME_SCALE");
		factor = text ? (unsigned)strtoul(text, NULL, 10) : 1;
		if (factor < 1 || factor > 1000)
			factor = 1;
	}
	return factor;
}

struct timer *timer_new(uv_loop_t *loop, void (*on_fire)(struct timer *t), void *data)
{
	struct timer *t = malloc(sizeof *t);

	if (!t)
		return NULL;
	uv_timer_init(loop, &t->uv);
	t->uv.data = t;
	t->on_fire = on_fire;
	t->data = data;
	return t;
}

static void on_timer(uv_timer_t *uv)
{
	struct timer *t = uv->data;

	t->on_fire(t);
}

void timer_start(struct timer *t, uint64_t ms)
{
	uint64_t real = (ms + scale() - 1) / scale();

	/* The loop's idea of now is as old as this turn. */
	uv_update_time(t->uv.loop);
	uv_timer_start(&t->uv, on_timer, real, 0);
}

void timer_stop(struct timer *t)
{
	if (t)
		uv_timer_stop(&t->uv);
}

static void on_close(uv_handle_t *handle)
{
	free(handle->data);
}

void timer_free(struct timer *t)
{
	if (t)
		uv_close((uv_handle_t *)&t->uv, on_close);
}

uint64_t timer_now_us(const uv_loop_t *loop)
{
	(void)loop;
	return uv_hrtime() / 1000 * scale() + 1;
}
