#include "wire/control.h"

/* A duration that a peer names is bounded before anybody calculates. */
static uint32_t clamp_ms(uint32_t ms)
{
	return ms < CONTROL_MS_MAX ? ms : CONTROL_MS_MAX;
}

size_t control_heartbeat_encode(const struct control_heartbeat *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u64(&w, in->opaque);
	writer_u8(&w, in->is_reply);
	return frame_end(&w, out, FRAME_HEARTBEAT, 0);
}

enum code control_heartbeat_decode(const uint8_t *payload, size_t len, struct control_heartbeat *out)
{
	struct reader r = reader_of(payload, len);
	uint64_t opaque = reader_u64(&r);
	uint8_t reply = reader_u8(&r);

	if (!reader_done(&r) || reply > 1)
		return CODE_PROTOCOL;
	*out = (struct control_heartbeat){ opaque, reply == 1 };
	return CODE_OK;
}

size_t control_error_encode(const struct control_error *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u16(&w, in->code);
	writer_u32(&w, in->retry_ms);
	writer_span(&w, in->text, 2, CONTROL_TEXT_MAX);
	return frame_end(&w, out, FRAME_ERROR, 0);
}

enum code control_error_decode(const uint8_t *payload, size_t len, struct control_error *out)
{
	struct reader r = reader_of(payload, len);
	struct control_error error = { 0 };

	error.code = reader_u16(&r);
	error.retry_ms = clamp_ms(reader_u32(&r));
	error.text = reader_span(&r, 2, CONTROL_TEXT_MAX);
	if (!reader_done(&r))
		return CODE_PROTOCOL;
	*out = error;
	return CODE_OK;
}

size_t control_shutdown_encode(const struct control_shutdown *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u32(&w, in->drain_ms);
	writer_u32(&w, in->last_stream);
	return frame_end(&w, out, FRAME_SHUTDOWN, 0);
}

enum code control_shutdown_decode(const uint8_t *payload, size_t len, struct control_shutdown *out)
{
	struct reader r = reader_of(payload, len);
	struct control_shutdown shutdown = { 0 };

	shutdown.drain_ms = clamp_ms(reader_u32(&r));
	shutdown.last_stream = reader_u32(&r);
	if (!reader_done(&r))
		return CODE_PROTOCOL;
	*out = shutdown;
	return CODE_OK;
}

size_t control_ack_encode(uint64_t taken, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u64(&w, taken);
	return frame_end(&w, out, FRAME_ACK, 0);
}

enum code control_ack_decode(const uint8_t *payload, size_t len, uint64_t *taken)
{
	struct reader r = reader_of(payload, len);
	uint64_t value = reader_u64(&r);

	if (!reader_done(&r))
		return CODE_PROTOCOL;
	*taken = value;
	return CODE_OK;
}
