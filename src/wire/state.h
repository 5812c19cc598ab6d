#ifndef WIRE_STATE_H
#define WIRE_STATE_H

#include "core/code.h"
#include "core/cursor.h"
#include "wire/frame.h"
#include "wire/login.h"

/* RESUME, STATE, RESUME_ERR: how a session moves to a new transport; JOIN, LANE: how
 * it has several. The contract of encoders and decoders is that of wire/login.h. */

enum { STATE_LANES_MAX = 8 };	/* lane numbers are below this */

/* session id 16, epoch u32, lane u8, proof 32. */
struct state_resume {
	uint8_t session_id[LOGIN_SESSION_ID];
	uint32_t epoch;
	uint8_t lane;
	uint8_t proof[LOGIN_PROOF];
};

/* session id 16 (of lane 0), lane u8 (1..7), proof 32. */
struct state_join {
	uint8_t session_id[LOGIN_SESSION_ID];
	uint8_t lane;
	uint8_t proof[LOGIN_PROOF];
};

/* LANE, whose stream is the lane: epoch u32. */
enum { STATE_LANE_FRAME = FRAME_HEAD + 4 };

/* stream u32 (not 0), wanted u64, consumed u64, limit u64, final offset u64
 * or all ones, reset code u16. consumed <= wanted <= limit. */
struct state_entry {
	uint32_t stream;
	uint64_t wanted;
	uint64_t consumed;
	uint64_t limit;
	uint64_t final;
	uint16_t reset;
};

#define STATE_NO_FINAL UINT64_MAX

enum {
	STATE_FIXED = 1 + 4 + 8 + 8,
	STATE_ENTRY = 4 + 8 + 8 + 8 + 8 + 2,
	STATE_ENTRIES_MAX = (FRAME_CONTROL_MAX - STATE_FIXED) / STATE_ENTRY,
};

/* last u8 (0 or 1), highest stream u32, session limit u64, session consumed
 * u64, then entries in rising order of stream until the end of the frame. */
struct state_frame {
	bool is_last;
	uint32_t highest;
	uint64_t limit;
	uint64_t consumed;
	unsigned count;
	struct state_entry entries[STATE_ENTRIES_MAX];
};

size_t state_resume_encode(const struct state_resume *in, uint8_t *out, size_t cap);
enum code state_resume_decode(const uint8_t *payload, size_t len, struct state_resume *out);
size_t state_join_encode(const struct state_join *in, uint8_t *out, size_t cap);
enum code state_join_decode(const uint8_t *payload, size_t len, struct state_join *out);
size_t state_lane_encode(uint32_t lane, uint32_t epoch, uint8_t *out, size_t cap);
enum code state_lane_decode(const uint8_t *payload, size_t len, uint32_t *epoch);
size_t state_frame_encode(const struct state_frame *in, uint8_t *out, size_t cap);
enum code state_frame_decode(const uint8_t *payload, size_t len, struct state_frame *out);
size_t state_resume_err_encode(uint16_t code, uint8_t *out, size_t cap);
enum code state_resume_err_decode(const uint8_t *payload, size_t len, uint16_t *code);

#endif
