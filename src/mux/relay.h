#ifndef MUX_RELAY_H
#define MUX_RELAY_H

#include "mux/session.h"

/* Streams of a session: what their frames do, and when they are over.
 * Internal to mux/. Handlers get a whole payload and return the code that
 * ends the session, or CODE_OK. */
enum code relay_on_open(struct session *s, const struct frame *f, const uint8_t *payload);
enum code relay_on_close(struct session *s, const struct frame *f, const uint8_t *payload);
enum code relay_on_reset(struct session *s, const struct frame *f, const uint8_t *payload);
enum code relay_on_credit(struct session *s, const struct frame *f, const uint8_t *payload);

/* The head of a DATA frame came; then its bytes, in any pieces. */
enum code relay_begin_data(struct session *s, const struct frame *f);
void relay_data(struct session *s, const uint8_t *data, size_t len);

/* Server: the client has reacted to the OPEN of st; told once. */
void relay_answered(struct session *s, struct stream *st);

/* The peer's direction of st ends at `final`, now or when its last byte came. */
void relay_peer_ends(struct session *s, struct stream *st, uint64_t final);

/* The peer has reset st. It may be over, and freed, after this. */
void relay_peer_reset(struct session *s, struct stream *st, enum code code);

/* The session ended: every stream is reset with code. */
void relay_end_all(struct session *s, enum code code);

#endif
