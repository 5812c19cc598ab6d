#ifndef MUX_KEPT_H
#define MUX_KEPT_H

#include "mux/session.h"

/*
 * The bytes of a stream that were sent and that the far end's destination has
 * not taken: kept as the chunks they were read into, so that they can be sent
 * once more when the transport is lost. Internal to mux/.
 *
 *	consumed          again          sent
 *	|  [chunk] [chunk] | [chunk]      |
 *	     on the way      to be sent once more (again == sent: nothing)
 */

/* Whether the session keeps what it sends. */
bool kept_is_wanted(const struct session *s);

/* c, held by the caller until now, follows on what is kept. */
void kept_add(struct stream *st, struct chunk *c);

/* Copies the bytes of c, which follow, behind those of the last chunk; false
 * when they have no room there. */
bool kept_append(struct stream *st, const struct chunk *c);

/* Lets go of what the destination has taken, or of all. */
void kept_acknowledge(struct stream *st);
void kept_forget(struct stream *st);

/* The chunk in which the byte at `offset` lies, which was sent and not taken. */
struct chunk *kept_find(const struct stream *st, uint64_t offset);

/* Whether a part of it has to be sent once more. */
static inline bool kept_is_due(const struct stream *st)
{
	return st->again < st->send.sent;
}

#endif
