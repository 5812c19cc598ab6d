#ifndef CLIENT_REACH_H
#define CLIENT_REACH_H

#include "client/lanes.h"

/* A connection of its own for a lane: lane->dial, then lane->fresh, the login on it, and
 * lane->is_in when that is done; lanes_calm() when it failed. Internal to client/. */
void reach_begin(struct lane *lane);

/* Gives that up. Idempotent. */
void reach_end(struct lane *lane);

#endif
