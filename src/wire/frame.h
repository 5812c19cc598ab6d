#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cursor.h"

/*
 * The frame of protocol version 1, see gotunnel-protocol(7):
 *
 *	version u8 | type u8 | stream u32 | length u32 | payload
 *
 * big-endian; stream 0 is control.
 */
enum {
	FRAME_VERSION = 1,
	FRAME_HEAD = 10,
	FRAME_CONTROL_MAX = 4096,	/* payload of every frame but DATA */
	FRAME_DATA_DEFAULT = 256 * 1024,
	FRAME_DATA_MAX = 1024 * 1024,	/* no negotiation goes above */
	FRAME_DATA_MIN = 4096,		/* nor below */
};

#define FRAME_LIST(X)                                                          \
	X(HELLO, 0x01)                                                         \
	X(HELLO_ACK, 0x02)                                                     \
	X(AUTH, 0x03)                                                          \
	X(AUTH_OK, 0x04)                                                       \
	X(AUTH_ERR, 0x05)                                                      \
	X(BIND, 0x06)                                                          \
	X(BIND_OK, 0x07)                                                       \
	X(HEARTBEAT, 0x08)                                                     \
	X(ERROR, 0x09)                                                         \
	X(BIND_ERR, 0x0A)                                                      \
	X(UNBIND, 0x0B)                                                        \
	X(SHUTDOWN, 0x0C)                                                      \
	X(RESUME, 0x0D)                                                        \
	X(STATE, 0x0E)                                                         \
	X(RESUME_ERR, 0x0F)                                                    \
	X(STREAM_OPEN, 0x10)                                                   \
	X(STREAM_DATA, 0x11)                                                   \
	X(STREAM_CLOSE, 0x12)                                                  \
	X(STREAM_RESET, 0x13)                                                  \
	X(STREAM_CREDIT, 0x14)                                                 \
	X(ACK, 0x15)                                                           \
	X(JOIN, 0x16)                                                          \
	X(LANE, 0x17)                                                          \
	X(DATAGRAM, 0x20)

enum frame_type {
#define X(name, number) FRAME_##name = number,
	FRAME_LIST(X)
#undef X
};

struct frame {
	uint8_t version;
	uint8_t type;
	uint32_t stream;
	uint32_t len; /* of the payload that follows */
};

/* Writes the head of a frame of our version. */
void frame_put(uint8_t out[FRAME_HEAD], enum frame_type type, uint32_t stream, uint32_t len);

/* Reads a head. Every ten bytes are one: the session judges the fields. */
struct frame frame_get(const uint8_t in[FRAME_HEAD]);

/* For the encoders of control frames: a writer behind the room for a head,
 * and its end, which fills the head in and returns the length of the frame, or
 * 0 when the payload did not fit. */
struct writer frame_begin(uint8_t *out, size_t cap);
size_t frame_end(const struct writer *w, uint8_t *out, enum frame_type type, uint32_t stream);

/* "STREAM_DATA"; "unknown" for a number without a name. */
const char *frame_name(unsigned type);

#endif
