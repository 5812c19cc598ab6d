#include "server/lobby.h"

#include <stdlib.h>

#include "server/expose.h"

struct seat {
	struct visitor visitor;
	uint64_t until_us;
	struct list node;
};

void lobby_init(struct lobby *l, struct expose *e)
{
	*l = (struct lobby){ .expose = e };
	list_init(&l->seats);
}

static uint64_t now(const struct lobby *l)
{
	return worker_now(&l->expose->hub->worker);
}

bool lobby_call(struct lobby *l, struct visitor *out)
{
	struct list *n = list_first(&l->seats);
	struct seat *seat;

	if (!n)
		return false;
	seat = list_entry(n, struct seat, node);
	*out = seat->visitor;
	list_remove(n);
	free(seat);
	if (--l->count == 0) {
		timer_free(l->timer);
		l->timer = NULL;
	}
	return true;
}

static void turn_away(struct lobby *l, const struct visitor *v)
{
	shard_add(&l->expose->hub->worker.metrics.waits_in_vain, 1);
	expose_turn_away(l->expose, v);
}

/* The first has waited long enough, and others may have, too. */
static void on_timer(struct timer *t)
{
	struct lobby *l = t->data;
	struct list *n;

	while ((n = list_first(&l->seats))) {
		const struct seat *seat = list_entry(n, struct seat, node);
		struct visitor v;
		uint64_t at = now(l);

		if (seat->until_us > at) {
			timer_start(l->timer, (seat->until_us - at + 999) / 1000);
			break;
		}
		lobby_call(l, &v);
		turn_away(l, &v);
	}
	expose_update(l->expose);
}

int lobby_seat(struct lobby *l, const struct visitor *v)
{
	struct seat *seat = calloc(1, sizeof *seat);

	if (!seat)
		return -1;
	if (!l->timer) {
		l->timer = timer_new(l->expose->hub->worker.loop, on_timer, l);
		if (!l->timer) {
			free(seat);
			return -1;
		}
		timer_start(l->timer, LOBBY_WAIT_MS);
	}
	list_init(&seat->node);
	seat->visitor = *v;
	seat->until_us = now(l) + LOBBY_WAIT_MS * 1000;
	list_append(&l->seats, &seat->node);
	l->count++;
	return 0;
}

void lobby_close(struct lobby *l)
{
	struct visitor v;

	while (lobby_call(l, &v))
		turn_away(l, &v);
}
