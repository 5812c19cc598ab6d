#ifndef MUX_SYNC_H
#define MUX_SYNC_H

#include "mux/session.h"

/*
 * STATE: what each side of a session that has a new transport says of its streams, and what
 * the other makes of that. See gotunnel-protocol(7), RESUMING; internal to mux/.
 */

/* Says all that this side knows, in as many frames as it takes; what it says counts as
 * written. CODE_OK, or why the session is to end. */
enum code sync_say(struct session *s);

/* Handler, as in relay.h: the last STATE opens the session again. */
enum code sync_on_state(struct session *s, const struct frame *f, const uint8_t *payload);

#endif
