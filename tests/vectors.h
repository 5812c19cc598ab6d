/*
 * One good frame of every type, from its struct. The manual page names the
 * same bytes; the fuzzer begins with them.
 */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include <string.h>

#include "wire/bind.h"
#include "wire/control.h"
#include "wire/flow.h"
#include "wire/login.h"
#include "wire/state.h"

enum { VECTOR_MAX = FRAME_HEAD + FRAME_CONTROL_MAX };

/* Bytes that count up from `first`. */
static inline void vector_fill(uint8_t *out, size_t n, uint8_t first)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(first + i);
}

static inline size_t vector_hello(uint8_t *out, size_t cap)
{
	struct login_hello v = {
		.role = LOGIN_ROLE_CLIENT,
		.method = LOGIN_METHOD_SPAKE2,
		.capabilities = 0,
		.max_frame = FRAME_DATA_DEFAULT,
		.initial_credit = 262144,
		.name = span_of("laptop:3000"),
		.key_id = span_of("default"),
		.version = span_of("0.1.0"),
	};

	vector_fill(v.instance, sizeof v.instance, 0x10);
	vector_fill(v.spake, sizeof v.spake, 0x40);
	return login_hello_encode(&v, out, cap);
}

static inline size_t vector_hello_caveats(uint8_t *out, size_t cap)
{
	struct login_hello v = {
		.role = LOGIN_ROLE_CLIENT,
		.method = LOGIN_METHOD_BEARER,
		.capabilities = UINT64_C(0x8000000000000001),
		.max_frame = FRAME_DATA_MIN,
		.initial_credit = 65536,
		.name = span_of("n"),
		.key_id = span_of("k"),
		.caveat_count = 2,
		.caveats = { { 1, span_of("10000-10010") }, { 7, { NULL, 0 } } },
		.version = span_of(""),
	};

	return login_hello_encode(&v, out, cap);
}

static inline size_t vector_hello_ack(uint8_t *out, size_t cap)
{
	struct login_hello_ack v = {
		.capabilities = 0,
		.max_frame = FRAME_DATA_DEFAULT,
		.initial_credit = 262144,
		.heartbeat_ms = 10000,
		.hold_ms = 60000,
	};

	vector_fill(v.spake, sizeof v.spake, 0x60);
	return login_hello_ack_encode(&v, out, cap);
}

static inline size_t vector_auth(uint8_t *out, size_t cap)
{
	uint8_t proof[LOGIN_PROOF];

	vector_fill(proof, sizeof proof, 0x80);
	return login_auth_encode((struct span){ proof, sizeof proof }, out, cap);
}

static inline size_t vector_auth_ok(uint8_t *out, size_t cap)
{
	struct login_ok v = { .epoch = 1, .version = span_of("0.1.0") };

	vector_fill(v.proof, sizeof v.proof, 0xa0);
	vector_fill(v.session_id, sizeof v.session_id, 0x01);
	return login_ok_encode(&v, out, cap);
}

static inline size_t vector_auth_err(uint8_t *out, size_t cap)
{
	struct login_err v = { CODE_AUTH_FAILED, span_of("credentials refused") };

	return login_err_encode(&v, out, cap);
}

static inline size_t vector_bind(uint8_t *out, size_t cap)
{
	static const uint8_t option[] = { 9, 0, 2, 0xab, 0xcd };
	struct bind_request v = {
		.id = 1,
		.kind = BIND_HTTP,
		.port = 10005,
		.host = span_of(""),
		.label = span_of("localhost:3000"),
		.options = { option, sizeof option },
	};

	return bind_request_encode(&v, out, cap);
}

static inline size_t vector_bind_ok(uint8_t *out, size_t cap)
{
	struct bind_ok v = { 1, 10005, BIND_SCOPE_ANY, span_of("tunnel.example.com") };

	return bind_ok_encode(&v, out, cap);
}

static inline size_t vector_heartbeat(uint8_t *out, size_t cap)
{
	struct control_heartbeat v = { UINT64_C(0x0102030405060708), true };

	return control_heartbeat_encode(&v, out, cap);
}

static inline size_t vector_error(uint8_t *out, size_t cap)
{
	struct control_error v = { CODE_CALM_DOWN, 40000, span_of("too many attempts") };

	return control_error_encode(&v, out, cap);
}

static inline size_t vector_bind_err(uint8_t *out, size_t cap)
{
	struct bind_err v = { 1, CODE_PORT_TAKEN, 0, span_of("port in use") };

	return bind_err_encode(&v, out, cap);
}

static inline size_t vector_unbind(uint8_t *out, size_t cap)
{
	return bind_unbind_encode(1, out, cap);
}

static inline size_t vector_shutdown(uint8_t *out, size_t cap)
{
	struct control_shutdown v = { 30000, 17 };

	return control_shutdown_encode(&v, out, cap);
}

static inline size_t vector_resume(uint8_t *out, size_t cap)
{
	struct state_resume v = { .epoch = 2, .lane = 0 };

	vector_fill(v.session_id, sizeof v.session_id, 0x01);
	vector_fill(v.proof, sizeof v.proof, 0xc0);
	return state_resume_encode(&v, out, cap);
}

static inline size_t vector_join(uint8_t *out, size_t cap)
{
	struct state_join v = { .lane = 2 };

	vector_fill(v.session_id, sizeof v.session_id, 0x01);
	vector_fill(v.proof, sizeof v.proof, 0xc0);
	return state_join_encode(&v, out, cap);
}

static inline size_t vector_lane(uint8_t *out, size_t cap)
{
	return state_lane_encode(2, 3, out, cap);
}

static inline size_t vector_state(uint8_t *out, size_t cap)
{
	static struct state_frame v = {
		.is_last = true,
		.highest = 9,
		.limit = 67108864,
		.consumed = 4096,
		.count = 2,
		.entries = {
			{ 3, 2048, 1024, 263168, STATE_NO_FINAL, 0 },
			{ 9, 7, 7, 262151, 7, CODE_LOCAL_RESET },
		},
	};

	return state_frame_encode(&v, out, cap);
}

static inline size_t vector_resume_err(uint8_t *out, size_t cap)
{
	return state_resume_err_encode(CODE_RESUME_UNKNOWN, out, cap);
}

static inline size_t vector_stream_open(uint8_t *out, size_t cap)
{
	struct flow_open v = {
		.bind_id = 1,
		.peer = { 4, { 203, 0, 113, 9 }, 51122 },
		.local = { 6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 }, 10005 },
	};

	return flow_open_encode(1, &v, out, cap);
}

static inline size_t vector_stream_data(uint8_t *out, size_t cap)
{
	if (cap < FRAME_HEAD + 5)
		return 0;
	frame_put(out, FRAME_STREAM_DATA, 1, 5);
	memcpy(out + FRAME_HEAD, "hello", 5);
	return FRAME_HEAD + 5;
}

static inline size_t vector_stream_close(uint8_t *out, size_t cap)
{
	return flow_close_encode(1, 5, out, cap);
}

static inline size_t vector_stream_reset(uint8_t *out, size_t cap)
{
	struct flow_reset v = { CODE_LOCAL_RESET, 5 };

	return flow_reset_encode(1, &v, out, cap);
}

static inline size_t vector_stream_credit(uint8_t *out, size_t cap)
{
	struct flow_credit v = { 262149, 5 };

	return flow_credit_encode(1, &v, out, cap);
}

static inline size_t vector_ack(uint8_t *out, size_t cap)
{
	return control_ack_encode(1048576, out, cap);
}

static const struct vector {
	const char *name;
	size_t (*make)(uint8_t *out, size_t cap);
} vectors[] = {
	{ "HELLO", vector_hello },
	{ "HELLO with caveats", vector_hello_caveats },
	{ "HELLO_ACK", vector_hello_ack },
	{ "AUTH", vector_auth },
	{ "AUTH_OK", vector_auth_ok },
	{ "AUTH_ERR", vector_auth_err },
	{ "BIND", vector_bind },
	{ "BIND_OK", vector_bind_ok },
	{ "HEARTBEAT", vector_heartbeat },
	{ "ERROR", vector_error },
	{ "BIND_ERR", vector_bind_err },
	{ "UNBIND", vector_unbind },
	{ "SHUTDOWN", vector_shutdown },
	{ "RESUME", vector_resume },
	{ "STATE", vector_state },
	{ "RESUME_ERR", vector_resume_err },
	{ "STREAM_OPEN", vector_stream_open },
	{ "STREAM_DATA", vector_stream_data },
	{ "STREAM_CLOSE", vector_stream_close },
	{ "STREAM_RESET", vector_stream_reset },
	{ "STREAM_CREDIT", vector_stream_credit },
	{ "ACK", vector_ack },
	{ "JOIN", vector_join },
	{ "LANE", vector_lane },
};

enum { VECTORS = sizeof vectors / sizeof vectors[0] };

/*
 * Decodes a payload of a type and encodes what came out: the length of the
 * frame in out, 0 when the payload was refused. STREAM_DATA has no decoder.
 */
static inline size_t vector_again(const struct frame *f, const uint8_t *payload, uint8_t *out,
	size_t cap)
{
	union {
		struct login_hello hello;
		struct login_hello_ack hello_ack;
		struct login_ok ok;
		struct login_err login_err;
		struct bind_request bind;
		struct bind_ok bind_ok;
		struct bind_err bind_err;
		struct control_heartbeat heartbeat;
		struct control_error error;
		struct control_shutdown shutdown;
		struct state_resume resume;
		struct state_join join;
		struct state_frame state;
		struct flow_open open;
		struct flow_reset reset;
		struct flow_credit credit;
		struct span span;
		uint64_t u64;
		uint32_t u32;
		uint16_t u16;
	} v;

#define AGAIN(decode, encode) return (decode) ? 0 : (encode)
	switch (f->type) {
	case FRAME_HELLO:
		AGAIN(login_hello_decode(payload, f->len, &v.hello),
			login_hello_encode(&v.hello, out, cap));
	case FRAME_HELLO_ACK:
		AGAIN(login_hello_ack_decode(payload, f->len, &v.hello_ack),
			login_hello_ack_encode(&v.hello_ack, out, cap));
	case FRAME_AUTH:
		AGAIN(login_auth_decode(payload, f->len, LOGIN_METHOD_SPAKE2, &v.span),
			login_auth_encode(v.span, out, cap));
	case FRAME_AUTH_OK:
		AGAIN(login_ok_decode(payload, f->len, &v.ok), login_ok_encode(&v.ok, out, cap));
	case FRAME_AUTH_ERR:
		AGAIN(login_err_decode(payload, f->len, &v.login_err),
			login_err_encode(&v.login_err, out, cap));
	case FRAME_BIND:
		AGAIN(bind_request_decode(payload, f->len, &v.bind),
			bind_request_encode(&v.bind, out, cap));
	case FRAME_BIND_OK:
		AGAIN(bind_ok_decode(payload, f->len, &v.bind_ok),
			bind_ok_encode(&v.bind_ok, out, cap));
	case FRAME_HEARTBEAT:
		AGAIN(control_heartbeat_decode(payload, f->len, &v.heartbeat),
			control_heartbeat_encode(&v.heartbeat, out, cap));
	case FRAME_ERROR:
		AGAIN(control_error_decode(payload, f->len, &v.error),
			control_error_encode(&v.error, out, cap));
	case FRAME_BIND_ERR:
		AGAIN(bind_err_decode(payload, f->len, &v.bind_err),
			bind_err_encode(&v.bind_err, out, cap));
	case FRAME_UNBIND:
		AGAIN(bind_unbind_decode(payload, f->len, &v.u32),
			bind_unbind_encode(v.u32, out, cap));
	case FRAME_SHUTDOWN:
		AGAIN(control_shutdown_decode(payload, f->len, &v.shutdown),
			control_shutdown_encode(&v.shutdown, out, cap));
	case FRAME_RESUME:
		AGAIN(state_resume_decode(payload, f->len, &v.resume),
			state_resume_encode(&v.resume, out, cap));
	case FRAME_STATE:
		AGAIN(state_frame_decode(payload, f->len, &v.state),
			state_frame_encode(&v.state, out, cap));
	case FRAME_RESUME_ERR:
		AGAIN(state_resume_err_decode(payload, f->len, &v.u16),
			state_resume_err_encode(v.u16, out, cap));
	case FRAME_STREAM_OPEN:
		AGAIN(flow_open_decode(payload, f->len, &v.open),
			flow_open_encode(f->stream, &v.open, out, cap));
	case FRAME_STREAM_CLOSE:
		AGAIN(flow_close_decode(payload, f->len, &v.u64),
			flow_close_encode(f->stream, v.u64, out, cap));
	case FRAME_STREAM_RESET:
		AGAIN(flow_reset_decode(payload, f->len, &v.reset),
			flow_reset_encode(f->stream, &v.reset, out, cap));
	case FRAME_STREAM_CREDIT:
		AGAIN(flow_credit_decode(payload, f->len, &v.credit),
			flow_credit_encode(f->stream, &v.credit, out, cap));
	case FRAME_ACK:
		AGAIN(control_ack_decode(payload, f->len, &v.u64),
			control_ack_encode(v.u64, out, cap));
	case FRAME_JOIN:
		AGAIN(state_join_decode(payload, f->len, &v.join),
			state_join_encode(&v.join, out, cap));
	case FRAME_LANE:
		AGAIN(state_lane_decode(payload, f->len, &v.u32),
			state_lane_encode(f->stream, v.u32, out, cap));
	}
#undef AGAIN
	return 0;
}

#endif
