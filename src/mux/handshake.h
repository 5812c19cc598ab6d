#ifndef MUX_HANDSHAKE_H
#define MUX_HANDSHAKE_H

#include "mux/session.h"

/* HELLO to AUTH_OK on both sides. Internal to mux/; handlers as in relay.h;
 * the head stands right before the payload. */

/* Queues the client's HELLO. */
enum code handshake_begin(struct session *s);

enum code handshake_on_hello(struct session *s, const struct frame *f, const uint8_t *payload);
enum code handshake_on_hello_ack(struct session *s, const struct frame *f, const uint8_t *payload);
enum code handshake_on_auth(struct session *s, const struct frame *f, const uint8_t *payload);
enum code handshake_on_auth_ok(struct session *s, const struct frame *f, const uint8_t *payload);
enum code handshake_on_auth_err(struct session *s, const struct frame *f, const uint8_t *payload);

/* Frees what only the login needed. */
void handshake_forget(struct session *s);

#endif
