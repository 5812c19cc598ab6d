#ifndef TUNNEL_PRESSURE_H
#define TUNNEL_PRESSURE_H

#include "core/list.h"
#include "net/timer.h"
#include "net/worker.h"

/*
 * What is done when the streams of a worker hold much memory:
 *
 *	three quarters of the budget: streams that took nothing for 10 s are reset
 *	as stalled, the longest first, until it is less;
 *	all of it: nothing is read for streams beyond 16 KiB each, and no more
 *	from the connections of sessions that have queued more than their share.
 *
 * Below that a stalled stream is left alone, as TCP leaves a paused download.
 * Workers that share a budget look each at its own streams: the longest stalled
 * of each goes first, not of all.
 *
 * And when they held much a while ago, the system gets it back: allocators keep what
 * is freed, for the next time.
 */
struct pressure {
	struct worker *worker;
	struct list links;
	unsigned count;		/* of links */
	struct timer *timer;	/* while memory is short */
	struct timer *calm;	/* since much was given back; then the system gets it */
	struct turn turn;	/* acts on what the budget said */
};

struct link;

void pressure_init(struct pressure *p, struct worker *w, size_t most);
void pressure_close(struct pressure *p);

/* A link of this worker, from its begin to its end. p may be NULL. */
void pressure_join(struct pressure *p, struct link *l);
void pressure_leave(struct pressure *p, struct link *l);

/* Whether l has queued more than its share, and there is no room. */
bool pressure_holds(const struct pressure *p, const struct link *l);

#endif
