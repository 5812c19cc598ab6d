#include "server/lobby.h"

#include <stdlib.h>

#include "server/expose.h"

struct seat {
	struct visitor visitor;
	uint64_t until_us;
};

void lobby_init(struct lobby *l, struct expose *e)
{
	*l = (struct lobby){ .expose = e };
}

static uint64_t now(const struct lobby *l)
{
	return worker_now(&l->expose->hub->worker);
}

static void clear(struct lobby *l)
{
	timer_free(l->timer);
	l->timer = NULL;
	free(l->seats);
	l->seats = NULL;
}

bool lobby_call(struct lobby *l, struct visitor *out)
{
	if (!l->count)
		return false;
	*out = l->seats[l->first].visitor;
	l->first = (l->first + 1) % LOBBY_SEATS;
	if (--l->count == 0)
		clear(l);
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

	while (l->count) {
		uint64_t at = now(l), until = l->seats[l->first].until_us;
		struct visitor v;

		if (until > at) {
			timer_start(l->timer, (until - at + 999) / 1000);
			break;
		}
		lobby_call(l, &v);
		turn_away(l, &v);
	}
	expose_update(l->expose);
}

static bool furnish(struct lobby *l)
{
	l->seats = calloc(LOBBY_SEATS, sizeof *l->seats);
	l->timer = timer_new(l->expose->hub->worker.loop, on_timer, l);
	if (l->seats && l->timer) {
		timer_start(l->timer, LOBBY_WAIT_MS);
		return true;
	}
	clear(l);
	return false;
}

int lobby_seat(struct lobby *l, const struct visitor *v)
{
	if (lobby_is_full(l) || (!l->count && !furnish(l)))
		return -1;
	l->seats[(l->first + l->count++) % LOBBY_SEATS] =
		(struct seat){ *v, now(l) + LOBBY_WAIT_MS * 1000 };
	return 0;
}

void lobby_close(struct lobby *l)
{
	struct visitor v;

	while (lobby_call(l, &v))
		turn_away(l, &v);
}
