#ifndef MUX_BINDING_H
#define MUX_BINDING_H

#include "mux/session.h"

/* Tunnels as a session agrees on them. What they mean is the owner's. */

/* Client: asks for a tunnel. on_bind_ok or on_bind_err follows. */
void binding_ask(struct session *s, const struct bind_request *request);
void binding_end(struct session *s, uint32_t bind_id);

/* Server: answers on_bind. binding_refuse() also ends a tunnel later. */
void binding_grant(struct session *s, const struct bind_ok *ok);
void binding_refuse(struct session *s, const struct bind_err *err);

/* Handlers, internal to mux/, as in relay.h. */
enum code binding_on_bind(struct session *s, const struct frame *f, const uint8_t *payload);
enum code binding_on_unbind(struct session *s, const struct frame *f, const uint8_t *payload);
enum code binding_on_ok(struct session *s, const struct frame *f, const uint8_t *payload);
enum code binding_on_err(struct session *s, const struct frame *f, const uint8_t *payload);

#endif
