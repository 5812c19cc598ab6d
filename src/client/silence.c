#include "client/silence.h"

#include "client/client_state.h"
#include "tunnel/ride.h"

enum { ASK_US = 2 * 1000 * 1000, PATIENCE_US = 4 * 1000 * 1000, ROUND_TRIPS = 8 };

/* The n-th lane's link if it has a connection of its own, else NULL. */
static struct link *lane_on_its_own(struct client *c, unsigned n)
{
	struct link *l = n ? c->lanes.lanes[n].link : c->link;

	return l && ride_can_carry(l) ? l : NULL;
}

/* Whether another lane was heard of after that time. */
static bool hears_another(struct client *c, const struct link *but, uint64_t since_us)
{
	for (unsigned i = 0; i < c->config->lanes; i++) {
		const struct link *l = lane_on_its_own(c, i);

		if (l && l != but && l->session.heard_us > since_us)
			return true;
	}
	return false;
}

static void check(struct client *c, struct link *l)
{
	struct session *s = &l->session;
	uint64_t now = worker_now(&c->worker), patience = ROUND_TRIPS * s->rtt_us;

	if (patience < PATIENCE_US)
		patience = PATIENCE_US;
	if (s->heard_us >= s->beat_us && now - s->heard_us >= ASK_US) {
		session_measure(s);
		link_wake(l);
	} else if (s->heard_us < s->beat_us && now - s->beat_us >= patience &&
		hears_another(c, l, s->beat_us)) {
		session_lost(s, "silent, while another lane answers", now);
	}
}

void silence_check(struct client *c)
{
	for (unsigned i = 0; i < c->config->lanes; i++) {
		struct link *l = lane_on_its_own(c, i);

		if (l)
			check(c, l);
	}
}
