#ifndef WIRE_LOGIN_H
#define WIRE_LOGIN_H

#include "core/code.h"
#include "core/cursor.h"
#include "wire/frame.h"

/*
 * HELLO, HELLO_ACK, AUTH, AUTH_OK, AUTH_ERR.
 *
 * Every encoder of wire/ writes a whole frame, head included, and returns its
 * length, or 0 when it does not fit into cap or a field exceeds its bound.
 * Every decoder takes a payload and returns CODE_OK or the code to send; it
 * is pure, writes *out only on success, and spans of *out point into the
 * payload. Trailing bytes are an error: there is one encoding of a value.
 */
enum {
	LOGIN_NAME_LEN = 64,
	LOGIN_KEY_ID_MAX = 64,
	LOGIN_VERSION_MAX = 32,
	LOGIN_INSTANCE = 16,
	LOGIN_SPAKE = 32,	/* SPAKE2 over edwards25519, BoringSSL's */
	LOGIN_PROOF = 32,	/* HMAC-SHA-256 */
	LOGIN_SESSION_ID = 16,
	LOGIN_CAVEATS_MAX = 32,
	LOGIN_BEARER_MAX = 2048,
	LOGIN_TEXT_MAX = 512,
};

/* Bits of the capabilities. */
#define LOGIN_CAN_RESUME UINT64_C(1) /* the session outlives its transport */
#define LOGIN_CAN_LANES UINT64_C(2) /* and may have several; see mux/carrier.h */

enum login_role { LOGIN_ROLE_CLIENT = 1 };
enum login_method { LOGIN_METHOD_SPAKE2 = 1, LOGIN_METHOD_BEARER = 2 };

struct login_caveat {
	uint8_t type;
	struct span value; /* length u16 on the wire */
};

/* role u8, method u8, capabilities u64, max frame u32, initial credit u32,
 * name (u8 length), instance 16, key id (u8 length), caveat count u8 and the
 * caveats (type u8, length u16, value), SPAKE2 message 32, version (u8 length).
 * A role, a method of 0 or a caveat count above LOGIN_CAVEATS_MAX is
 * `protocol`; whether a method is offered here is for the session to say.
 * Name, key id and version are printable ASCII 0x20..0x7e; name and key id
 * are not empty. max frame lies in FRAME_DATA_MIN..FRAME_DATA_MAX. */
struct login_hello {
	uint8_t role;
	uint8_t method;
	uint64_t capabilities;
	uint32_t max_frame;
	uint32_t initial_credit;
	struct span name;
	uint8_t instance[LOGIN_INSTANCE];
	struct span key_id;
	unsigned caveat_count;
	struct login_caveat caveats[LOGIN_CAVEATS_MAX];
	uint8_t spake[LOGIN_SPAKE];
	struct span version;
};

/* capabilities u64, max frame u32, initial credit u32, heartbeat ms u32,
 * resume hold ms u32, SPAKE2 message 32. */
struct login_hello_ack {
	uint64_t capabilities;
	uint32_t max_frame;
	uint32_t initial_credit;
	uint32_t heartbeat_ms;
	uint32_t hold_ms;
	uint8_t spake[LOGIN_SPAKE];
};

/* confirmation 32, session id 16, epoch u32, version (u8 length). */
struct login_ok {
	uint8_t proof[LOGIN_PROOF];
	uint8_t session_id[LOGIN_SESSION_ID];
	uint32_t epoch;
	struct span version;
};

/* code u16, text (u16 length, <= LOGIN_TEXT_MAX). */
struct login_err {
	uint16_t code;
	struct span text;
};

size_t login_hello_encode(const struct login_hello *in, uint8_t *out, size_t cap);
enum code login_hello_decode(const uint8_t *payload, size_t len, struct login_hello *out);

size_t login_hello_ack_encode(const struct login_hello_ack *in, uint8_t *out, size_t cap);
enum code login_hello_ack_decode(const uint8_t *payload, size_t len, struct login_hello_ack *out);

/* AUTH is the bare confirmation (32 bytes) after SPAKE2, or a bearer
 * credential of 1..LOGIN_BEARER_MAX bytes; HELLO's method says which. */
size_t login_auth_encode(struct span credential, uint8_t *out, size_t cap);
enum code login_auth_decode(const uint8_t *payload, size_t len, uint8_t method, struct span *out);

size_t login_ok_encode(const struct login_ok *in, uint8_t *out, size_t cap);
enum code login_ok_decode(const uint8_t *payload, size_t len, struct login_ok *out);

size_t login_err_encode(const struct login_err *in, uint8_t *out, size_t cap);
enum code login_err_decode(const uint8_t *payload, size_t len, struct login_err *out);

#endif
