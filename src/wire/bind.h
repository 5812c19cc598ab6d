#ifndef WIRE_BIND_H
#define WIRE_BIND_H

#include "core/code.h"
#include "core/cursor.h"
#include "wire/frame.h"

/* BIND, BIND_OK, BIND_ERR, UNBIND. The contract of encoders and decoders is
 * that of wire/login.h. All travel on stream 0. */
enum { BIND_HOST_MAX = 253, BIND_LABEL_MAX = 255, BIND_TEXT_MAX = 512, BIND_OPTIONS_MAX = 1024 };

enum bind_kind { BIND_TCP = 1, BIND_HTTP = 2, BIND_TLS = 3, BIND_UDP = 4 };
enum bind_scope { BIND_SCOPE_ANY = 0, BIND_SCOPE_LOOPBACK = 1 };

/* bind id u32, kind u8, port u16 (0: any free one), host (u8 length), label
 * of the local target (u8 length), options (u16 length): a sequence of type
 * u8, length u16, value, none defined yet, unknown ones skipped. Bind id 0,
 * an unknown kind and a malformed option list are `protocol`. Host and label
 * are printable ASCII. */
struct bind_request {
	uint32_t id;
	uint8_t kind;
	uint16_t port;
	struct span host;
	struct span label;
	struct span options;
};

/* bind id u32, port u16, scope u8, host (u8 length). */
struct bind_ok {
	uint32_t id;
	uint16_t port;
	uint8_t scope;
	struct span host;
};

/* bind id u32, code u16, retry-after ms u32 (clamped to CONTROL_MS_MAX by the
 * decoder), text (u16 length). */
struct bind_err {
	uint32_t id;
	uint16_t code;
	uint32_t retry_ms;
	struct span text;
};

size_t bind_request_encode(const struct bind_request *in, uint8_t *out, size_t cap);
enum code bind_request_decode(const uint8_t *payload, size_t len, struct bind_request *out);
size_t bind_ok_encode(const struct bind_ok *in, uint8_t *out, size_t cap);
enum code bind_ok_decode(const uint8_t *payload, size_t len, struct bind_ok *out);
size_t bind_err_encode(const struct bind_err *in, uint8_t *out, size_t cap);
enum code bind_err_decode(const uint8_t *payload, size_t len, struct bind_err *out);
size_t bind_unbind_encode(uint32_t id, uint8_t *out, size_t cap);
enum code bind_unbind_decode(const uint8_t *payload, size_t len, uint32_t *id);

#endif
