#include "wire/login.h"

static bool is_named(struct span s)
{
	return s.len > 0 && span_is_printable(s);
}

static bool is_frame_size(uint32_t n)
{
	return n >= FRAME_DATA_MIN && n <= FRAME_DATA_MAX;
}

size_t login_hello_encode(const struct login_hello *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u8(&w, in->role);
	writer_u8(&w, in->method);
	writer_u64(&w, in->capabilities);
	writer_u32(&w, in->max_frame);
	writer_u32(&w, in->initial_credit);
	writer_span(&w, in->name, 1, LOGIN_NAME_LEN);
	writer_bytes(&w, in->instance, sizeof in->instance);
	writer_span(&w, in->key_id, 1, LOGIN_KEY_ID_MAX);
	if (in->caveat_count > LOGIN_CAVEATS_MAX)
		return 0;
	writer_u8(&w, (uint8_t)in->caveat_count);
	for (unsigned i = 0; i < in->caveat_count; i++) {
		writer_u8(&w, in->caveats[i].type);
		writer_span(&w, in->caveats[i].value, 2, FRAME_CONTROL_MAX);
	}
	writer_bytes(&w, in->spake, sizeof in->spake);
	writer_span(&w, in->version, 1, LOGIN_VERSION_MAX);
	return frame_end(&w, out, FRAME_HELLO, 0);
}

static void decode_caveats(struct reader *r, struct login_hello *hello)
{
	unsigned count = reader_u8(r);

	if (count > LOGIN_CAVEATS_MAX)
		r->bad = true;
	for (unsigned i = 0; i < count && !r->bad; i++) {
		hello->caveats[i].type = reader_u8(r);
		hello->caveats[i].value = reader_span(r, 2, FRAME_CONTROL_MAX);
		hello->caveat_count = i + 1;
	}
}

enum code login_hello_decode(const uint8_t *payload, size_t len, struct login_hello *out)
{
	struct reader r = reader_of(payload, len);
	struct login_hello hello = { 0 };

	hello.role = reader_u8(&r);
	hello.method = reader_u8(&r);
	hello.capabilities = reader_u64(&r);
	hello.max_frame = reader_u32(&r);
	hello.initial_credit = reader_u32(&r);
	hello.name = reader_span(&r, 1, LOGIN_NAME_LEN);
	reader_copy(&r, hello.instance, sizeof hello.instance);
	hello.key_id = reader_span(&r, 1, LOGIN_KEY_ID_MAX);
	decode_caveats(&r, &hello);
	reader_copy(&r, hello.spake, sizeof hello.spake);
	hello.version = reader_span(&r, 1, LOGIN_VERSION_MAX);
	if (!reader_done(&r) || hello.role != LOGIN_ROLE_CLIENT || hello.method == 0 ||
		!is_frame_size(hello.max_frame) || !is_named(hello.name) ||
		!is_named(hello.key_id) || !span_is_printable(hello.version))
		return CODE_PROTOCOL;
	*out = hello;
	return CODE_OK;
}

size_t login_hello_ack_encode(const struct login_hello_ack *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u64(&w, in->capabilities);
	writer_u32(&w, in->max_frame);
	writer_u32(&w, in->initial_credit);
	writer_u32(&w, in->heartbeat_ms);
	writer_u32(&w, in->hold_ms);
	writer_bytes(&w, in->spake, sizeof in->spake);
	return frame_end(&w, out, FRAME_HELLO_ACK, 0);
}

enum code login_hello_ack_decode(const uint8_t *payload, size_t len, struct login_hello_ack *out)
{
	struct reader r = reader_of(payload, len);
	struct login_hello_ack ack = { 0 };

	ack.capabilities = reader_u64(&r);
	ack.max_frame = reader_u32(&r);
	ack.initial_credit = reader_u32(&r);
	ack.heartbeat_ms = reader_u32(&r);
	ack.hold_ms = reader_u32(&r);
	reader_copy(&r, ack.spake, sizeof ack.spake);
	if (!reader_done(&r) || !is_frame_size(ack.max_frame))
		return CODE_PROTOCOL;
	*out = ack;
	return CODE_OK;
}

size_t login_auth_encode(struct span credential, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	if (credential.len == 0 || credential.len > LOGIN_BEARER_MAX)
		return 0;
	writer_bytes(&w, credential.at, credential.len);
	return frame_end(&w, out, FRAME_AUTH, 0);
}

enum code login_auth_decode(const uint8_t *payload, size_t len, uint8_t method, struct span *out)
{
	if (len == 0 || len > LOGIN_BEARER_MAX)
		return CODE_PROTOCOL;
	if (method == LOGIN_METHOD_SPAKE2 && len != LOGIN_PROOF)
		return CODE_PROTOCOL;
	*out = (struct span){ payload, len };
	return CODE_OK;
}

size_t login_ok_encode(const struct login_ok *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_bytes(&w, in->proof, sizeof in->proof);
	writer_bytes(&w, in->session_id, sizeof in->session_id);
	writer_u32(&w, in->epoch);
	writer_span(&w, in->version, 1, LOGIN_VERSION_MAX);
	return frame_end(&w, out, FRAME_AUTH_OK, 0);
}

enum code login_ok_decode(const uint8_t *payload, size_t len, struct login_ok *out)
{
	struct reader r = reader_of(payload, len);
	struct login_ok ok = { 0 };

	reader_copy(&r, ok.proof, sizeof ok.proof);
	reader_copy(&r, ok.session_id, sizeof ok.session_id);
	ok.epoch = reader_u32(&r);
	ok.version = reader_span(&r, 1, LOGIN_VERSION_MAX);
	if (!reader_done(&r) || !span_is_printable(ok.version))
		return CODE_PROTOCOL;
	*out = ok;
	return CODE_OK;
}

size_t login_err_encode(const struct login_err *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u16(&w, in->code);
	writer_span(&w, in->text, 2, LOGIN_TEXT_MAX);
	return frame_end(&w, out, FRAME_AUTH_ERR, 0);
}

enum code login_err_decode(const uint8_t *payload, size_t len, struct login_err *out)
{
	struct reader r = reader_of(payload, len);
	struct login_err err = { 0 };

	err.code = reader_u16(&r);
	err.text = reader_span(&r, 2, LOGIN_TEXT_MAX);
	if (!reader_done(&r))
		return CODE_PROTOCOL;
	*out = err;
	return CODE_OK;
}
