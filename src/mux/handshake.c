#include "mux/handshake.h"

#include <stdlib.h>

#include "mux/output.h"

/* The smallest window with which a stream makes good progress. */
enum { CREDIT_MIN = 4 * SESSION_FRAME_MIN };

void handshake_forget(struct session *s)
{
	free(s->transcript);
	s->transcript = NULL;
	s->hello_len = s->ack_len = 0;
}

/* Appends a frame, head included, to what both proofs cover. */
static enum code remember(struct session *s, const uint8_t *frame, size_t len)
{
	size_t have = s->hello_len + s->ack_len;
	uint8_t *p = realloc(s->transcript, have + len);

	if (!p)
		return CODE_INTERNAL;
	memcpy(p + have, frame, len);
	s->transcript = p;
	return CODE_OK;
}

static void copy_text(char *out, size_t cap, struct span text)
{
	size_t n = text.len < cap - 1 ? text.len : cap - 1;

	if (n)
		memcpy(out, text.at, n);
	out[n] = '\0';
}

static enum code prove(struct session *s, const uint8_t peer[LOGIN_SPAKE])
{
	struct span hello = { s->transcript, s->hello_len };
	struct span ack = { s->transcript + s->hello_len, s->ack_len };

	return s->ops->prove(s->owner, peer, hello, ack, &s->proofs);
}

enum code handshake_begin(struct session *s)
{
	struct login_hello hello = {
		.role = LOGIN_ROLE_CLIENT,
		.method = LOGIN_METHOD_SPAKE2,
		.capabilities = s->config.capabilities,
		.max_frame = s->config.max_frame,
		.initial_credit = s->config.stream_credit,
		.name = span_of(s->config.name),
		.key_id = span_of(s->config.key_id),
		.version = span_of(s->config.version),
	};
	uint8_t *out = output_reserve(s);
	enum code code;

	if (!out)
		return CODE_INTERNAL;
	memcpy(hello.instance, s->config.instance, LOGIN_INSTANCE);
	code = s->ops->message(s->owner, NULL, hello.spake);
	if (code)
		return code;
	s->method = LOGIN_METHOD_SPAKE2;
	s->hello_len = login_hello_encode(&hello, out, OUTPUT_FRAME_MAX);
	if (!s->hello_len)
		return CODE_INTERNAL;
	s->transcript = malloc(s->hello_len);
	if (!s->transcript)
		return CODE_INTERNAL;
	memcpy(s->transcript, out, s->hello_len);
	output_commit(s, s->hello_len);
	return CODE_OK;
}

static void keep_identity(struct session *s, const struct login_hello *hello)
{
	copy_text(s->peer_name, sizeof s->peer_name, hello->name);
	copy_text(s->peer_key_id, sizeof s->peer_key_id, hello->key_id);
	copy_text(s->peer_version, sizeof s->peer_version, hello->version);
	memcpy(s->peer_instance, hello->instance, sizeof s->peer_instance);
}

static enum code agree(struct session *s, uint64_t capabilities, uint32_t max_frame, uint32_t credit,
	uint32_t hold_ms)
{
	if (credit < CREDIT_MIN || max_frame < FRAME_DATA_MIN)
		return CODE_PROTOCOL;
	s->capabilities = s->config.capabilities & capabilities;
	s->max_frame = s->config.max_frame < max_frame ? s->config.max_frame : max_frame;
	s->peer_credit = credit;
	if (s->capabilities & LOGIN_CAN_RESUME)
		s->hold_us = (uint64_t)(hold_ms < s->config.hold_ms ? hold_ms : s->config.hold_ms) * 1000;
	return CODE_OK;
}

/* Both frames are in the transcript: HELLO_ACK follows HELLO there. */
static enum code send_hello_ack(struct session *s, const struct login_hello *hello)
{
	struct login_hello_ack ack = {
		.capabilities = s->capabilities,
		.max_frame = s->max_frame,
		.initial_credit = s->config.stream_credit,
		.heartbeat_ms = (uint32_t)(s->config.heartbeat_us / 1000),
		.hold_ms = s->capabilities & LOGIN_CAN_RESUME ? s->config.hold_ms : 0,
	};
	uint8_t *out = output_reserve(s);
	enum code code = out ? s->ops->message(s->owner, hello, ack.spake) : CODE_INTERNAL;
	size_t len;

	if (code)
		return code;
	len = login_hello_ack_encode(&ack, out, OUTPUT_FRAME_MAX);
	code = remember(s, out, len);
	if (code)
		return code;
	s->ack_len = len;
	output_commit(s, len);
	return CODE_OK;
}

/* Whether the owner lets a login be tried; if not it has ended. */
static bool is_admitted(struct session *s)
{
	uint32_t retry_ms = 0;
	enum code code = s->ops->admit ? s->ops->admit(s->owner, &retry_ms) : CODE_OK;

	if (code)
		session_fail_retry(s, code, retry_ms, code_text(code));
	return !code;
}

enum code handshake_on_hello(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct login_hello hello;
	enum code code = login_hello_decode(payload, f->len, &hello);

	if (code)
		return code;
	if (s->config.refuse)
		return s->config.refuse;
	if (hello.method != LOGIN_METHOD_SPAKE2 || hello.caveat_count)
		return CODE_AUTH_FAILED;
	code = agree(s, hello.capabilities, hello.max_frame, hello.initial_credit,
		s->config.hold_ms);
	if (code)
		return code;
	if (!is_admitted(s))
		return CODE_OK;
	keep_identity(s, &hello);
	s->method = hello.method;
	code = remember(s, payload - FRAME_HEAD, FRAME_HEAD + f->len);
	if (code)
		return code;
	s->hello_len = FRAME_HEAD + f->len;
	code = send_hello_ack(s, &hello);
	if (!code)
		code = prove(s, hello.spake);
	if (!code)
		s->state = SESSION_AUTH;
	return code;
}

enum code handshake_on_hello_ack(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct login_hello_ack ack;
	enum code code = login_hello_ack_decode(payload, f->len, &ack);
	uint8_t *out;

	if (code)
		return code;
	if ((ack.capabilities & ~s->config.capabilities) || ack.max_frame > s->config.max_frame)
		return CODE_PROTOCOL;
	code = agree(s, ack.capabilities, ack.max_frame, ack.initial_credit, ack.hold_ms);
	if (!code)
		code = remember(s, payload - FRAME_HEAD, FRAME_HEAD + f->len);
	if (code)
		return code;
	s->ack_len = FRAME_HEAD + f->len;
	code = prove(s, ack.spake);
	out = code ? NULL : output_reserve(s);
	if (!out)
		return code ? code : CODE_INTERNAL;
	output_commit(s, login_auth_encode((struct span){ s->proofs.client, LOGIN_PROOF }, out,
		OUTPUT_FRAME_MAX));
	s->state = SESSION_AUTH;
	return CODE_OK;
}

/* The login is good on this side. */
static void enter(struct session *s)
{
	handshake_forget(s);
	s->state = SESSION_BIND;
	s->ops->on_login(s->owner);
}

enum code handshake_on_auth(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct login_ok ok = { .version = span_of(s->config.version) };
	struct span proof;
	uint8_t *out;
	enum code code = login_auth_decode(payload, f->len, s->method, &proof);

	if (code)
		return code;
	if (proof.len != LOGIN_PROOF || !s->ops->equal(proof.at, s->proofs.client, LOGIN_PROOF))
		return CODE_AUTH_FAILED;
	s->ops->random(s->owner, s->id, sizeof s->id);
	out = output_reserve(s);
	if (!out)
		return CODE_INTERNAL;
	s->epoch = 1;
	memcpy(ok.proof, s->proofs.server, LOGIN_PROOF);
	memcpy(ok.session_id, s->id, sizeof s->id);
	ok.epoch = s->epoch;
	output_commit(s, login_ok_encode(&ok, out, OUTPUT_FRAME_MAX));
	enter(s);
	return CODE_OK;
}

enum code handshake_on_auth_ok(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct login_ok ok;
	enum code code = login_ok_decode(payload, f->len, &ok);

	if (code)
		return code;
	if (!s->ops->equal(ok.proof, s->proofs.server, LOGIN_PROOF))
		return CODE_AUTH_FAILED;
	copy_text(s->peer_version, sizeof s->peer_version, ok.version);
	memcpy(s->id, ok.session_id, sizeof s->id);
	s->epoch = ok.epoch;
	enter(s);
	return CODE_OK;
}

enum code handshake_on_auth_err(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct login_err err;
	enum code code = login_err_decode(payload, f->len, &err);

	if (code)
		return code;
	session_end_by_peer(s, (enum code)err.code, 0, err.text);
	return CODE_OK;
}
