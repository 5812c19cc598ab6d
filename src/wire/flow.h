#ifndef WIRE_FLOW_H
#define WIRE_FLOW_H

#include "core/code.h"
#include "core/cursor.h"
#include "wire/frame.h"

/* STREAM_OPEN, STREAM_CLOSE, STREAM_RESET, STREAM_CREDIT. The contract of
 * encoders and decoders is that of wire/login.h. STREAM_DATA is a bare head
 * and its bytes, see frame_put(). */

/* An IP endpoint: family u8 (4 or 6), address (4 or 16 bytes), port u16. */
struct flow_addr {
	uint8_t family;
	uint8_t ip[16];
	uint16_t port;
};

/* bind id u32, the visitor's endpoint, the listener's endpoint. */
struct flow_open {
	uint32_t bind_id;
	struct flow_addr peer;
	struct flow_addr local;
};

/* code u16, final offset u64 of the sender's direction. */
struct flow_reset {
	uint16_t code;
	uint64_t final;
};

/* limit u64 (absolute), consumed u64; consumed <= limit. Stream 0 is the
 * session's. */
struct flow_credit {
	uint64_t limit;
	uint64_t consumed;
};

size_t flow_open_encode(uint32_t stream, const struct flow_open *in, uint8_t *out, size_t cap);
enum code flow_open_decode(const uint8_t *payload, size_t len, struct flow_open *out);
/* The end of this direction at `final` bytes. */
size_t flow_close_encode(uint32_t stream, uint64_t final, uint8_t *out, size_t cap);
enum code flow_close_decode(const uint8_t *payload, size_t len, uint64_t *final);
size_t flow_reset_encode(uint32_t stream, const struct flow_reset *in, uint8_t *out, size_t cap);
enum code flow_reset_decode(const uint8_t *payload, size_t len, struct flow_reset *out);
size_t flow_credit_encode(uint32_t stream, const struct flow_credit *in, uint8_t *out, size_t cap);
enum code flow_credit_decode(const uint8_t *payload, size_t len, struct flow_credit *out);

#endif
