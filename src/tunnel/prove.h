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

#endif
