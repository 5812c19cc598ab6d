#ifndef SERVER_HOMES_H
#define SERVER_HOMES_H

#include <stdint.h>

#include "server/portpool.h"

/*
 * On which worker the connections of an identity are. All of one identity are on
 * the same: a session and who resumes it, a tunnel and who takes it over, meet on
 * one thread and need no word between workers. A new identity goes to the worker
 * that has the fewest connections.
 *
 *	identity --> home { worker, how many connections of it }
 *
 * An identity counts as soon as it is claimed, in HELLO, and until the last
 * connection that claims it is gone. Whoever claims one that is not its own is
 * refused by the login, on that worker.
 *
 * No socket, no clock and no lock here. A home costs about 200 bytes, and there is
 * a connection for each.
 */
struct homes;
struct home;

/* key: random. NULL when memory is out. */
struct homes *homes_new(const uint64_t key[2], unsigned workers);
/* Every home was left. NULL is legal. */
void homes_free(struct homes *t);

/* A connection of `who`, which is on the worker `here` now, has its home where
 * homes_worker() says. `here` wins among equals. NULL when memory is out. */
struct home *homes_join(struct homes *t, const struct portpool_identity *who, unsigned here);
void homes_leave(struct homes *t, struct home *home);

unsigned homes_worker(const struct home *home);

#endif
