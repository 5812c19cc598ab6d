#include "wire/bind.h"

#include "wire/control.h"

/* A sequence of type u8, length u16, value, with nothing left over. */
static bool is_option_list(struct span options)
{
	struct reader r = reader_of(options.at, options.len);

	while (!r.bad && r.left) {
		reader_u8(&r);
		reader_span(&r, 2, BIND_OPTIONS_MAX);
	}
	return !r.bad;
}

size_t bind_request_encode(const struct bind_request *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u32(&w, in->id);
	writer_u8(&w, in->kind);
	writer_u16(&w, in->port);
	writer_span(&w, in->host, 1, BIND_HOST_MAX);
	writer_span(&w, in->label, 1, BIND_LABEL_MAX);
	writer_span(&w, in->options, 2, BIND_OPTIONS_MAX);
	return frame_end(&w, out, FRAME_BIND, 0);
}

enum code bind_request_decode(const uint8_t *payload, size_t len, struct bind_request *out)
{
	struct reader r = reader_of(payload, len);
	struct bind_request request = { 0 };

	request.id = reader_u32(&r);
	request.kind = reader_u8(&r);
	request.port = reader_u16(&r);
	request.host = reader_span(&r, 1, BIND_HOST_MAX);
	request.label = reader_span(&r, 1, BIND_LABEL_MAX);
	request.options = reader_span(&r, 2, BIND_OPTIONS_MAX);
	if (!reader_done(&r) || request.id == 0 || request.kind < BIND_TCP ||
		request.kind > BIND_UDP || !span_is_printable(request.host) ||
		!span_is_printable(request.label) || !is_option_list(request.options))
		return CODE_PROTOCOL;
	*out = request;
	return CODE_OK;
}

size_t bind_ok_encode(const struct bind_ok *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u32(&w, in->id);
	writer_u16(&w, in->port);
	writer_u8(&w, in->scope);
	writer_span(&w, in->host, 1, BIND_HOST_MAX);
	return frame_end(&w, out, FRAME_BIND_OK, 0);
}

enum code bind_ok_decode(const uint8_t *payload, size_t len, struct bind_ok *out)
{
	struct reader r = reader_of(payload, len);
	struct bind_ok ok = { 0 };

	ok.id = reader_u32(&r);
	ok.port = reader_u16(&r);
	ok.scope = reader_u8(&r);
	ok.host = reader_span(&r, 1, BIND_HOST_MAX);
	if (!reader_done(&r) || ok.id == 0 || ok.scope > BIND_SCOPE_LOOPBACK ||
		!span_is_printable(ok.host))
		return CODE_PROTOCOL;
	*out = ok;
	return CODE_OK;
}

size_t bind_err_encode(const struct bind_err *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u32(&w, in->id);
	writer_u16(&w, in->code);
	writer_u32(&w, in->retry_ms);
	writer_span(&w, in->text, 2, BIND_TEXT_MAX);
	return frame_end(&w, out, FRAME_BIND_ERR, 0);
}

enum code bind_err_decode(const uint8_t *payload, size_t len, struct bind_err *out)
{
	struct reader r = reader_of(payload, len);
	struct bind_err err = { 0 };

	err.id = reader_u32(&r);
	err.code = reader_u16(&r);
	err.retry_ms = reader_u32(&r);
	if (err.retry_ms > CONTROL_MS_MAX)
		err.retry_ms = CONTROL_MS_MAX;
	err.text = reader_span(&r, 2, BIND_TEXT_MAX);
	if (!reader_done(&r) || err.id == 0)
		return CODE_PROTOCOL;
	*out = err;
	return CODE_OK;
}

size_t bind_unbind_encode(uint32_t id, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u32(&w, id);
	return frame_end(&w, out, FRAME_UNBIND, 0);
}

enum code bind_unbind_decode(const uint8_t *payload, size_t len, uint32_t *id)
{
	struct reader r = reader_of(payload, len);
	uint32_t value = reader_u32(&r);

	if (!reader_done(&r) || value == 0)
		return CODE_PROTOCOL;
	*id = value;
	return CODE_OK;
}
