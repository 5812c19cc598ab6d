#include "wire/flow.h"

static size_t ip_len(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

static void encode_addr(struct writer *w, const struct flow_addr *a)
{
	writer_u8(w, a->family);
	writer_bytes(w, a->ip, ip_len(a->family));
	writer_u16(w, a->port);
}

static void decode_addr(struct reader *r, struct flow_addr *a)
{
	a->family = reader_u8(r);
	if (a->family != 4 && a->family != 6)
		r->bad = true;
	reader_copy(r, a->ip, ip_len(a->family));
	a->port = reader_u16(r);
}

size_t flow_open_encode(uint32_t stream, const struct flow_open *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u32(&w, in->bind_id);
	encode_addr(&w, &in->peer);
	encode_addr(&w, &in->local);
	return frame_end(&w, out, FRAME_STREAM_OPEN, stream);
}

enum code flow_open_decode(const uint8_t *payload, size_t len, struct flow_open *out)
{
	struct reader r = reader_of(payload, len);
	struct flow_open open = { 0 };

	open.bind_id = reader_u32(&r);
	decode_addr(&r, &open.peer);
	decode_addr(&r, &open.local);
	if (!reader_done(&r) || open.bind_id == 0)
		return CODE_PROTOCOL;
	*out = open;
	return CODE_OK;
}

size_t flow_close_encode(uint32_t stream, uint64_t final, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u64(&w, final);
	return frame_end(&w, out, FRAME_STREAM_CLOSE, stream);
}

enum code flow_close_decode(const uint8_t *payload, size_t len, uint64_t *final)
{
	struct reader r = reader_of(payload, len);
	uint64_t value = reader_u64(&r);

	if (!reader_done(&r))
		return CODE_PROTOCOL;
	*final = value;
	return CODE_OK;
}

size_t flow_reset_encode(uint32_t stream, const struct flow_reset *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u16(&w, in->code);
	writer_u64(&w, in->final);
	return frame_end(&w, out, FRAME_STREAM_RESET, stream);
}

enum code flow_reset_decode(const uint8_t *payload, size_t len, struct flow_reset *out)
{
	struct reader r = reader_of(payload, len);
	struct flow_reset reset = { 0 };

	reset.code = reader_u16(&r);
	reset.final = reader_u64(&r);
	if (!reader_done(&r))
		return CODE_PROTOCOL;
	*out = reset;
	return CODE_OK;
}

size_t flow_credit_encode(uint32_t stream, const struct flow_credit *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u64(&w, in->limit);
	writer_u64(&w, in->consumed);
	return frame_end(&w, out, FRAME_STREAM_CREDIT, stream);
}

enum code flow_credit_decode(const uint8_t *payload, size_t len, struct flow_credit *out)
{
	struct reader r = reader_of(payload, len);
	struct flow_credit credit = { 0 };

	credit.limit = reader_u64(&r);
	credit.consumed = reader_u64(&r);
	if (!reader_done(&r) || credit.consumed > credit.limit)
		return CODE_PROTOCOL;
	*out = credit;
	return CODE_OK;
}
