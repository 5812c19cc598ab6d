#ifndef WIRE_CONTROL_H
#define WIRE_CONTROL_H

#include "core/code.h"
#include "core/cursor.h"
#include "wire/frame.h"

/* HEARTBEAT, ERROR, SHUTDOWN, ACK. The contract of encoders and decoders is
 * that of wire/login.h. All travel on stream 0. */
enum { CONTROL_TEXT_MAX = 512, CONTROL_MS_MAX = 3600 * 1000 };

/* opaque u64, reply u8 (0 or 1). */
struct control_heartbeat {
	uint64_t opaque;
	bool is_reply;
};

/* code u16, retry-after ms u32, text (u16 length). */
struct control_error {
	uint16_t code;
	uint32_t retry_ms;
	struct span text;
};

/* drain ms u32, last stream accepted u32. */
struct control_shutdown {
	uint32_t drain_ms;
	uint32_t last_stream;
};

/* Durations are clamped to CONTROL_MS_MAX by the decoders. */
size_t control_heartbeat_encode(const struct control_heartbeat *in, uint8_t *out, size_t cap);
enum code control_heartbeat_decode(const uint8_t *payload, size_t len, struct control_heartbeat *out);
size_t control_error_encode(const struct control_error *in, uint8_t *out, size_t cap);
enum code control_error_decode(const uint8_t *payload, size_t len, struct control_error *out);
size_t control_shutdown_encode(const struct control_shutdown *in, uint8_t *out, size_t cap);
enum code control_shutdown_decode(const uint8_t *payload, size_t len, struct control_shutdown *out);
/* Payload bytes of stream frames taken off this transport so far. */
size_t control_ack_encode(uint64_t taken, uint8_t *out, size_t cap);
enum code control_ack_decode(const uint8_t *payload, size_t len, uint64_t *taken);

#endif
