#ifndef TUNNEL_LINK_PARTS_H
#define TUNNEL_LINK_PARTS_H

#include "tunnel/link.h"

/* What link.c shares with upcalls.c, transfer.c and ride.c. Internal to tunnel/. */

enum {
	LINK_LAST_WORDS_US = 2 * 1000 * 1000, /* patience for an ERROR to leave */
	LINK_COST = 12 * 1024,	/* what one occupies with its session and TLS, about */
};

/* The callbacks of a connection, and of the timer. */
extern const struct conn_ops link_conn_ops;
void link_on_timer(struct timer *t);

/* When the session is next due; UINT64_MAX changes nothing. */
void link_arm(struct link *l, uint64_t at_us);

/* Closes for good; on_closed follows when its pipes are gone. Idempotent. */
void link_close(struct link *l);

/* Reads on or not, as things are. */
void link_read(struct link *l);

#endif
