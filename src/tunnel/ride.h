#ifndef TUNNEL_RIDE_H
#define TUNNEL_RIDE_H

#include "tunnel/link.h"

/*
 * Lanes, see mux/carrier.h: a session that lost its connection goes on over the one of
 * another lane, beside that one's own session. 0 or -errno; then it has none.
 */

/* Whether the connection of l can carry others. */
bool ride_can_carry(const struct link *l);

/* Client: asks the server. on_resumed or on_resume_refused follows. */
int ride_ask(struct link *l, struct link *host);

/* Server: what RESUME asked for, which was checked; from inside host's on_ride, too. */
int ride_adopt(struct link *l, struct link *host, uint32_t epoch);

/* Whether l goes over another lane's connection. */
bool ride_is_on(const struct link *l);

/* l leaves the connection that it rides on, if it does. */
void ride_leave(struct link *l);

/* Those that ride on the connection of l are without one. */
void ride_drop_all(struct link *l);

/* The transport of l is of no use any more: it leaves the one that it rides on, or its
 * own is closed with RST, and nobody rides on that any longer. */
void ride_cut_off(struct link *l);

#endif
