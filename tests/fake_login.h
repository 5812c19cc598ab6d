/* A login without cryptography, for fuzzers and the simulator: both ends get the same
 * proofs of the same frames; and what an owner does who does nothing. session_ops. */
#ifndef TESTS_FAKE_LOGIN_H
#define TESTS_FAKE_LOGIN_H

#include <string.h>

#include "mux/session.h"

static inline enum code fake_message(void *owner, const struct login_hello *hello, uint8_t out[LOGIN_SPAKE])
{
	(void)owner;
	(void)hello;
	memset(out, 1, LOGIN_SPAKE);
	return CODE_OK;
}

static inline enum code fake_prove(void *owner, const uint8_t peer[LOGIN_SPAKE], struct span hello,
	struct span ack, struct session_proofs *out)
{
	(void)owner;
	(void)peer;
	memset(out, (int)(hello.len + ack.len), sizeof *out);
	return CODE_OK;
}

static inline void fake_random(void *owner, void *out, size_t n)
{
	(void)owner;
	memset(out, 3, n);
}

static inline void fake_nothing(void *owner)
{
	(void)owner;
}

static inline void fake_number(void *owner, uint32_t n)
{
	(void)owner;
	(void)n;
}

static inline void fake_answer(void *owner, struct stream *st)
{
	(void)owner;
	(void)st;
}

static inline void fake_bind_ok(void *owner, const struct bind_ok *ok)
{
	(void)owner;
	(void)ok;
}

static inline void fake_bind_err(void *owner, const struct bind_err *err)
{
	(void)owner;
	(void)err;
}

#endif
