#ifndef MUX_GRANT_H
#define MUX_GRANT_H

#include "mux/session.h"

/*
 * What the streams of a session are granted: each its first credit, whatever
 * happens; what lies beyond comes out of a pool that they share, and is charged
 * as long as the peer may use it, for a limit never falls. So readers that stall
 * hold at most the pool and one first credit each, and the session's window has
 * room for 320 of them. The less is left of the pool the smaller the part that
 * one stream may have, by the square: one has 16 MiB, two 7.5 each, sixteen 1.2
 * each, and who comes after some that stall finds something left. Internal to mux/.
 */

/* A stream of s that is new. */
void grant_begin(struct session *s, struct stream *st);

/* CREDIT of st is about to be written: judges its window and raises its limit. */
void grant_tell(struct session *s, struct stream *st);

/* st->in_final is known: what was granted beyond it is free. */
void grant_final(struct session *s, struct stream *st);

/* Nothing more is received for st: what it was granted is free. */
void grant_end(struct session *s, struct stream *st);

#endif
