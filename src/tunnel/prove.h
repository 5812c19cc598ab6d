#ifndef TUNNEL_PROVE_H
#define TUNNEL_PROVE_H

#include "tunnel/link.h"

/* The login of a link: messages, proofs, and the proof of a resume. Internal to
 * tunnel/; the first two are session_ops, with the link as owner. */
enum code prove_message(void *owner, const struct login_hello *hello, uint8_t out[LOGIN_SPAKE]);
enum code prove_login(void *owner, const uint8_t peer[LOGIN_SPAKE], struct span hello,
	struct span ack, struct session_proofs *out);

/* What shows that whoever logged in on `fresh` is the client of `old`. 0 or -1. */
int prove_resume(const struct link *old, const struct link *fresh, uint32_t epoch,
	uint8_t out[LOGIN_PROOF]);

/* The RESUME with which the client of l asks for it on the connection of `on`. */
int prove_say(const struct link *l, const struct link *on, struct state_resume *r);

/* The same for JOIN, where `first` has lane 0: RESUME's proof with an epoch of 0, which none
 * of those has. */
int prove_join(const struct link *first, const struct link *fresh, uint8_t lane,
	uint8_t out[LOGIN_PROOF]);

#endif
