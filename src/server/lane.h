#ifndef SERVER_LANE_H
#define SERVER_LANE_H

#include "server/agent.h"

/*
 * A client with several connections at once: each is an agent with a session of
 * its own. The first has the tunnels; the others joined it, have streams only,
 * and end with it. All are on one worker, as connections of one identity are. See
 * mux/carrier.h; internal to server/.
 */

/* link_ops.on_join. */
enum code lane_join(struct link *l, const struct state_join *join);

/* The agent that has the tunnels of a: a itself if it joined nobody. */
struct agent *lane_first(struct agent *a);

/* The link that the next stream of `first` goes over, NULL while none can have one:
 * of those on connections of their own the one with the fewest streams. */
struct link *lane_pick(struct agent *first);

/* The streams of `first` and of all that joined it. */
unsigned lane_streams(const struct agent *first);

/* Whether those that joined a have no streams any more; a is woken when one ends. */
bool lane_are_drained(const struct agent *a);

/* The session of a is over: it leaves its first, or ends who joined it. */
void lane_end(struct agent *a);

#endif
