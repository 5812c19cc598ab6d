#include "wire/state.h"

size_t state_resume_encode(const struct state_resume *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_bytes(&w, in->session_id, sizeof in->session_id);
	writer_u32(&w, in->epoch);
	writer_u8(&w, in->lane);
	writer_bytes(&w, in->proof, sizeof in->proof);
	return frame_end(&w, out, FRAME_RESUME, 0);
}

enum code state_resume_decode(const uint8_t *payload, size_t len, struct state_resume *out)
{
	struct reader r = reader_of(payload, len);
	struct state_resume resume = { 0 };

	reader_copy(&r, resume.session_id, sizeof resume.session_id);
	resume.epoch = reader_u32(&r);
	resume.lane = reader_u8(&r);
	reader_copy(&r, resume.proof, sizeof resume.proof);
	if (!reader_done(&r))
		return CODE_PROTOCOL;
	*out = resume;
	return CODE_OK;
}

size_t state_join_encode(const struct state_join *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	if (in->lane == 0 || in->lane >= STATE_LANES_MAX)
		return 0;
	writer_bytes(&w, in->session_id, sizeof in->session_id);
	writer_u8(&w, in->lane);
	writer_bytes(&w, in->proof, sizeof in->proof);
	return frame_end(&w, out, FRAME_JOIN, 0);
}

enum code state_join_decode(const uint8_t *payload, size_t len, struct state_join *out)
{
	struct reader r = reader_of(payload, len);
	struct state_join join = { 0 };

	reader_copy(&r, join.session_id, sizeof join.session_id);
	join.lane = reader_u8(&r);
	reader_copy(&r, join.proof, sizeof join.proof);
	if (!reader_done(&r) || join.lane == 0 || join.lane >= STATE_LANES_MAX)
		return CODE_PROTOCOL;
	*out = join;
	return CODE_OK;
}

size_t state_lane_encode(uint32_t lane, uint32_t epoch, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u32(&w, epoch);
	return frame_end(&w, out, FRAME_LANE, lane);
}

enum code state_lane_decode(const uint8_t *payload, size_t len, uint32_t *epoch)
{
	struct reader r = reader_of(payload, len);
	uint32_t value = reader_u32(&r);

	if (!reader_done(&r))
		return CODE_PROTOCOL;
	*epoch = value;
	return CODE_OK;
}

static void encode_entry(struct writer *w, const struct state_entry *e)
{
	writer_u32(w, e->stream);
	writer_u64(w, e->wanted);
	writer_u64(w, e->consumed);
	writer_u64(w, e->limit);
	writer_u64(w, e->final);
	writer_u16(w, e->reset);
}

static struct state_entry decode_entry(struct reader *r)
{
	struct state_entry e;

	e.stream = reader_u32(r);
	e.wanted = reader_u64(r);
	e.consumed = reader_u64(r);
	e.limit = reader_u64(r);
	e.final = reader_u64(r);
	e.reset = reader_u16(r);
	return e;
}

size_t state_frame_encode(const struct state_frame *in, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	if (in->count > STATE_ENTRIES_MAX)
		return 0;
	writer_u8(&w, in->is_last);
	writer_u32(&w, in->highest);
	writer_u64(&w, in->limit);
	writer_u64(&w, in->consumed);
	for (unsigned i = 0; i < in->count; i++)
		encode_entry(&w, &in->entries[i]);
	return frame_end(&w, out, FRAME_STATE, 0);
}

/* Entries rise by stream, and their offsets are in order. */
static bool follows(const struct state_entry *e, uint32_t previous)
{
	return e->stream > previous && e->consumed <= e->wanted && e->wanted <= e->limit;
}

enum code state_frame_decode(const uint8_t *payload, size_t len, struct state_frame *out)
{
	struct reader r = reader_of(payload, len);
	struct state_frame frame = { 0 };
	uint32_t previous = 0;
	uint8_t last = reader_u8(&r);

	frame.is_last = last == 1;
	frame.highest = reader_u32(&r);
	frame.limit = reader_u64(&r);
	frame.consumed = reader_u64(&r);
	if (last > 1 || frame.consumed > frame.limit)
		return CODE_PROTOCOL;
	while (!r.bad && r.left && frame.count < STATE_ENTRIES_MAX) {
		struct state_entry *e = &frame.entries[frame.count++];

		*e = decode_entry(&r);
		if (!follows(e, previous) || e->stream > frame.highest)
			return CODE_PROTOCOL;
		previous = e->stream;
	}
	if (!reader_done(&r))
		return CODE_PROTOCOL;
	*out = frame;
	return CODE_OK;
}

size_t state_resume_err_encode(uint16_t code, uint8_t *out, size_t cap)
{
	struct writer w = frame_begin(out, cap);

	writer_u16(&w, code);
	return frame_end(&w, out, FRAME_RESUME_ERR, 0);
}

enum code state_resume_err_decode(const uint8_t *payload, size_t len, uint16_t *code)
{
	struct reader r = reader_of(payload, len);
	uint16_t value = reader_u16(&r);

	if (!reader_done(&r))
		return CODE_PROTOCOL;
	*code = value;
	return CODE_OK;
}
