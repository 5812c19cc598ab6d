#ifndef MUX_RESUME_H
#define MUX_RESUME_H

#include "mux/session.h"

/*
 * A session that outlives its transport:
 *
 *	client				server
 *	OPEN -> LOST			OPEN -> LOST (or it has not noticed)
 *	new transport, login on a session made for it
 *	     -> ASKING  RESUME ->	that session -> GIVEN, ours -> SYNCING
 *	     -> SYNCING	<- STATE
 *			STATE ->
 *	     -> OPEN			     -> OPEN
 *
 * What both say in STATE decides where each direction of each stream goes on,
 * and what is known from it is not said again: ends of streams, resets, credit.
 * Whoever proves to be the session's client, and fences its old transport, is
 * the owner. See gotunnel-protocol(7), Resuming.
 */

/* Whether the loss of the transport is survived now. */
bool resume_is_possible(const struct session *s);

/* Client, after on_detach: goes on over another transport; resume.proof is bound to the
 * login that was made on it. `via` sends RESUME: s itself over one that becomes its own,
 * else the open session that it is. */
void resume_ask(struct session *s, struct session *via, const struct state_resume *resume,
	uint64_t now_us);

/* Server: goes on over the transport of a RESUME, which was checked. The one
 * it had, if it had one, was closed. */
void resume_adopt(struct session *s, uint32_t epoch, uint64_t now_us);

/* After one of these: takes what `from`, whose transport it was, has of a frame
 * that is not whole yet. */
void resume_inherit(struct session *s, struct session *from);

/* The transport is lost: keeps what there is and tells the owner. */
void resume_detach(struct session *s, const char *text);

/* Whether it is without streams' frames: LOST, ASKING or SYNCING. */
bool resume_is_held(const struct session *s);

/* The timers of a held session: when the next is due, UINT64_MAX if it ended. */
uint64_t resume_tick(struct session *s);

/* Handlers, internal to mux/, as in relay.h. */
enum code resume_on_resume(struct session *s, const struct frame *f, const uint8_t *payload);
enum code resume_on_join(struct session *s, const struct frame *f, const uint8_t *payload);
enum code resume_on_refusal(struct session *s, const struct frame *f, const uint8_t *payload);

#endif
