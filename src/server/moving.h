#ifndef SERVER_MOVING_H
#define SERVER_MOVING_H

#include "server/agent.h"

/*
 * A control connection goes to the worker where its identity is at home (see
 * server/homes.h), as soon as it has said who it is: with HELLO. Until the answer
 * to it is sent the client can say nothing that counts, so nothing is read
 * meanwhile, and there is no stream, no port and no session yet that would have to
 * move as well.
 *
 *	worker that accepted it			worker that is its home
 *	TLS handshake, HELLO
 *	moving_begin(): reads no more
 *	a turn later: leaves its loop -->	arrives on the other loop
 *						AUTH, and all that follows
 *
 * The server's answer is sent by whichever comes first to it.
 */

/* Claims a home for a, whose HELLO has come, and begins to move it there if that
 * is elsewhere. With one worker nothing happens. */
void moving_begin(struct agent *a);

/* a is gone. The house's mutex is held. */
void moving_forget(struct agent *a);

#endif
