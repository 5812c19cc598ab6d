#include "mux/intake.h"

#include <stdio.h>
#include <stdlib.h>

#include "mux/binding.h"
#include "mux/handshake.h"
#include "mux/relay.h"
#include "mux/resume.h"
#include "mux/sync.h"
#include "mux/upkeep.h"

#define FROM_CLIENT 1u
#define FROM_SERVER 2u
#define FROM_BOTH   3u

#define IN(state) (1u << (state))
#define IN_FORWARDING (IN(SESSION_BIND) | IN(SESSION_OPEN) | IN(SESSION_DRAIN))
#define IN_RESUMING (IN(SESSION_ASKING) | IN(SESSION_SYNCING))
#define IN_ANY (IN(SESSION_HELLO) | IN(SESSION_AUTH) | IN_FORWARDING | IN_RESUMING)

enum place { ON_SESSION = 1, ON_STREAM = 2, ON_EITHER = 3 };

/* Who may send a frame, in which states of the receiver, where, how long it
 * may be, and what it does. Anything else ends the session. STREAM_DATA is
 * handled as it arrives and has no handler here. */
static const struct rule {
	enum code (*handle)(struct session *, const struct frame *, const uint8_t *payload);
	unsigned from;
	unsigned allowed;
	enum place place;
	uint32_t max_len;
} rules[] = {
	[FRAME_HELLO] = { handshake_on_hello, FROM_CLIENT, IN(SESSION_HELLO), ON_SESSION,
		FRAME_CONTROL_MAX },
	[FRAME_HELLO_ACK] = { handshake_on_hello_ack, FROM_SERVER, IN(SESSION_HELLO), ON_SESSION,
		FRAME_CONTROL_MAX },
	[FRAME_AUTH] = { handshake_on_auth, FROM_CLIENT, IN(SESSION_AUTH), ON_SESSION,
		LOGIN_BEARER_MAX },
	[FRAME_AUTH_OK] = { handshake_on_auth_ok, FROM_SERVER, IN(SESSION_AUTH), ON_SESSION, 128 },
	[FRAME_AUTH_ERR] = { handshake_on_auth_err, FROM_SERVER,
		IN(SESSION_HELLO) | IN(SESSION_AUTH), ON_SESSION, 1024 },
	[FRAME_BIND] = { binding_on_bind, FROM_CLIENT, IN_FORWARDING, ON_SESSION,
		FRAME_CONTROL_MAX },
	[FRAME_BIND_OK] = { binding_on_ok, FROM_SERVER, IN_FORWARDING, ON_SESSION, 512 },
	[FRAME_HEARTBEAT] = { upkeep_on_heartbeat, FROM_BOTH, IN_FORWARDING | IN_RESUMING |
		IN(SESSION_GIVEN), ON_SESSION, 9 },
	[FRAME_ERROR] = { upkeep_on_error, FROM_BOTH, IN_ANY, ON_SESSION, 1024 },
	[FRAME_BIND_ERR] = { binding_on_err, FROM_SERVER, IN_FORWARDING, ON_SESSION, 1024 },
	[FRAME_UNBIND] = { binding_on_unbind, FROM_CLIENT, IN_FORWARDING, ON_SESSION, 4 },
	[FRAME_SHUTDOWN] = { upkeep_on_shutdown, FROM_BOTH, IN_FORWARDING, ON_SESSION, 8 },
	[FRAME_RESUME] = { resume_on_resume, FROM_CLIENT, IN_FORWARDING, ON_SESSION, 64 },
	[FRAME_STATE] = { sync_on_state, FROM_BOTH, IN_RESUMING, ON_SESSION, FRAME_CONTROL_MAX },
	[FRAME_RESUME_ERR] = { resume_on_refusal, FROM_SERVER, IN(SESSION_ASKING), ON_SESSION, 2 },
	[FRAME_STREAM_OPEN] = { relay_on_open, FROM_SERVER, IN(SESSION_OPEN) | IN(SESSION_DRAIN),
		ON_STREAM, 64 },
	[FRAME_STREAM_DATA] = { NULL, FROM_BOTH, IN(SESSION_OPEN) | IN(SESSION_DRAIN), ON_STREAM,
		FRAME_DATA_MAX },
	[FRAME_STREAM_CLOSE] = { relay_on_close, FROM_BOTH, IN(SESSION_OPEN) | IN(SESSION_DRAIN),
		ON_STREAM, 8 },
	[FRAME_STREAM_RESET] = { relay_on_reset, FROM_BOTH, IN(SESSION_OPEN) | IN(SESSION_DRAIN),
		ON_STREAM, 10 },
	[FRAME_STREAM_CREDIT] = { relay_on_credit, FROM_BOTH, IN_FORWARDING, ON_EITHER, 16 },
	[FRAME_JOIN] = { resume_on_join, FROM_CLIENT, IN(SESSION_BIND), ON_SESSION, 64 },
	[FRAME_ACK] = { upkeep_on_ack, FROM_BOTH, IN_FORWARDING, ON_SESSION, 8 },
};

enum { NRULES = sizeof rules / sizeof rules[0] };

static bool is_proved(const struct session *s)
{
	return (IN(s->state) & (IN_FORWARDING | IN_RESUMING)) != 0;
}

/* Types that this version does not know are skipped, once both are proved. */
static bool is_unknown(const struct frame *f)
{
	return f->type >= NRULES || rules[f->type].from == 0;
}

/* Judges a frame by its head alone, before a byte of it is kept. */
static enum code judge(const struct session *s, const struct frame *f)
{
	unsigned from = s->config.role == SESSION_SERVER ? FROM_CLIENT : FROM_SERVER;
	const struct rule *r = &rules[f->type % NRULES];

	if (f->version != FRAME_VERSION)
		return CODE_VERSION;
	if (is_unknown(f))
		return is_proved(s) && f->len <= s->max_frame ? CODE_OK : CODE_PROTOCOL;
	if (!(r->from & from) || !(r->allowed & IN(s->state)) || f->len > r->max_len)
		return CODE_PROTOCOL;
	if (!(r->place & (f->stream ? ON_STREAM : ON_SESSION)))
		return CODE_PROTOCOL;
	if (f->type == FRAME_STREAM_DATA && f->len > s->max_frame)
		return CODE_PROTOCOL;
	return CODE_OK;
}

static void fail(struct session *s, const struct frame *f, enum code code)
{
	char text[96];

	if (s->state == SESSION_DEAD)
		return;
	snprintf(text, sizeof text, "%s: %s", frame_name(f->type), code_text(code));
	session_fail(s, code, text);
}

/* Begins a frame whose bytes are taken as they come: DATA or an unknown one.
 * False for all others. */
static bool begin_flow(struct session *s, const struct frame *f)
{
	enum code code;

	if (is_unknown(f)) {
		s->skip_left = f->len;
		return true;
	}
	if (f->type != FRAME_STREAM_DATA)
		return false;
	code = relay_begin_data(s, f);
	if (code)
		fail(s, f, code);
	return true;
}

/* Takes the rest of a DATA frame, or of one that is skipped. */
static size_t flow(struct session *s, const uint8_t *data, size_t len)
{
	size_t n = s->data_left ? s->data_left : s->skip_left;

	if (n > len)
		n = len;
	if (s->data_left)
		relay_data(s, data, n);
	else
		s->skip_left -= (uint32_t)n;
	return n;
}

/* Takes one frame off the front: the bytes taken, 0 when it is incomplete. */
static size_t take_frame(struct session *s, const uint8_t *data, size_t len)
{
	struct frame f;
	enum code code;

	if (len < FRAME_HEAD)
		return 0;
	f = frame_get(data);
	code = judge(s, &f);
	if (code) {
		fail(s, &f, code);
		return FRAME_HEAD;
	}
	if (begin_flow(s, &f))
		return FRAME_HEAD;
	if (f.len > len - FRAME_HEAD)
		return 0;
	code = rules[f.type].handle(s, &f, data + FRAME_HEAD);
	if (code)
		fail(s, &f, code);
	return FRAME_HEAD + f.len;
}

/* Nothing more is taken from this transport. */
static bool is_over(const struct session *s)
{
	return s->state == SESSION_DEAD || s->state == SESSION_LOST;
}

/* Takes all it can in place. Returns what was taken. */
static size_t take(struct session *s, const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at < len && !is_over(s)) {
		size_t n = s->data_left || s->skip_left ? flow(s, data + at, len - at) :
			take_frame(s, data + at, len - at);

		if (n == 0)
			break;
		at += n;
	}
	return at;
}

static void forget_partial(struct session *s)
{
	free(s->partial);
	s->partial = NULL;
	s->partial_len = 0;
}

/* How long the frame is of which `have` bytes are kept, as far as is known. */
static size_t wanted(const uint8_t *frame, size_t have)
{
	return have < FRAME_HEAD ? FRAME_HEAD : FRAME_HEAD + frame_get(frame).len;
}

/* Adds to the kept beginning of a frame until it is whole. Returns the bytes
 * taken from data. */
static size_t complete(struct session *s, const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (s->partial && at < len) {
		size_t n = wanted(s->partial, s->partial_len) - s->partial_len;

		if (n > len - at)
			n = len - at;
		memcpy(s->partial + s->partial_len, data + at, n);
		s->partial_len += n;
		at += n;
		/* A whole head may already be refused, or begin a flow. */
		if (take(s, s->partial, s->partial_len) || is_over(s))
			forget_partial(s);
	}
	return at;
}

/* Keeps the incomplete frame at the end of the input. Its head was judged if
 * it is whole, so its length is within FRAME_CONTROL_MAX. */
static void keep(struct session *s, const uint8_t *data, size_t len)
{
	s->partial = malloc(FRAME_HEAD + FRAME_CONTROL_MAX);
	if (!s->partial) {
		session_abandon(s, "no memory for a frame");
		return;
	}
	memcpy(s->partial, data, len);
	s->partial_len = len;
}

void intake_forget(struct session *s)
{
	forget_partial(s);
	s->data_stream = NULL;
	s->data_left = s->skip_left = 0;
	s->taken = s->taken_told = s->told_us = 0;
}

void intake_feed(struct session *s, const uint8_t *data, size_t len)
{
	size_t at = s->partial ? complete(s, data, len) : 0;

	if (!is_over(s))
		at += take(s, data + at, len - at);
	if (at < len && !is_over(s))
		keep(s, data + at, len - at);
	if (is_over(s))
		forget_partial(s);
}
