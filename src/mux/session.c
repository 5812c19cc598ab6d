#include "mux/session.h"

#include <stdlib.h>

#include "mux/handshake.h"
#include "mux/intake.h"
#include "mux/output.h"
#include "mux/relay.h"
#include "mux/resume.h"
#include "mux/upkeep.h"

enum code session_init(struct session *s, const struct session_config *config,
	const struct session_ops *ops, void *owner, uint64_t now_us)
{
	*s = (struct session){
		.config = *config,
		.ops = ops,
		.owner = owner,
		.now_us = now_us,
		.begun_us = now_us,
		.heard_us = now_us,
		.credit_us = UINT64_MAX,
		.max_frame = config->max_frame,
	};
	list_init(&s->fresh);
	list_init(&s->bulk);
	list_init(&s->starved);
	list_init(&s->due);
	list_init(&s->late);
	path_init(&s->path);
	credit_send_init(&s->send, SESSION_FIRST_CREDIT);
	credit_recv_init(&s->recv, SESSION_FIRST_CREDIT, SESSION_WINDOW);
	return config->role == SESSION_CLIENT ? handshake_begin(s) : CODE_OK;
}

void session_fini(struct session *s)
{
	relay_end_all(s, CODE_CANCELLED);
	handshake_forget(s);
	intake_forget(s);
	output_forget(s);
	s->state = SESSION_DEAD;
}

void session_feed(struct session *s, const uint8_t *data, size_t len, uint64_t now_us)
{
	if (s->state == SESSION_DEAD || s->state == SESSION_LOST || len == 0)
		return;
	s->now_us = s->heard_us = now_us;
	intake_feed(s, data, len);
	session_check(s);
}

bool session_may_feed(const struct session *s)
{
	return s->replies < SESSION_REPLIES_MAX;
}

void session_compose(struct session *s, struct batch *b, uint64_t now_us)
{
	s->now_us = now_us;
	session_check(s);
	output_compose(s, b);
}

bool session_has_output(const struct session *s)
{
	return output_is_pending(s);
}

uint64_t session_tick(struct session *s, uint64_t blocked_us, uint64_t now_us)
{
	s->now_us = now_us;
	session_check(s);
	return upkeep_tick(s, blocked_us);
}

void session_check(struct session *s)
{
	if (s->is_doomed)
		session_abandon(s, "too much to say, or no memory for it");
}

void session_measure(struct session *s)
{
	if (s->state == SESSION_BIND || s->state == SESSION_OPEN || s->state == SESSION_DRAIN)
		upkeep_beat(s);
}

static void copy_text(struct session_end *end, struct span text)
{
	size_t n = text.len < sizeof end->text - 1 ? text.len : sizeof end->text - 1;

	if (n)
		memcpy(end->text, text.at, n);
	end->text[n] = '\0';
}

/* The one door: whatever ends a session comes through here, once. */
static void end(struct session *s, enum session_end_kind kind, enum code code, uint32_t retry_ms,
	struct span text)
{
	if (s->state == SESSION_DEAD)
		return;
	s->state = SESSION_DEAD;
	s->end = (struct session_end){ kind, code, retry_ms, "" };
	copy_text(&s->end, text);
	handshake_forget(s);
	relay_end_all(s, code ? code : CODE_INTERNAL);
	s->ops->on_end(s->owner, &s->end);
}

void session_lost(struct session *s, const char *text, uint64_t now_us)
{
	s->now_us = now_us;
	if (resume_is_possible(s))
		resume_detach(s, text);
	else
		session_abandon(s, text);
}

void session_abandon(struct session *s, const char *text)
{
	end(s, SESSION_GONE, s->state == SESSION_DRAIN ? CODE_SHUTTING_DOWN : CODE_OK, 0,
		span_of(text));
}

void session_end_by_peer(struct session *s, enum code code, uint32_t retry_ms, struct span text)
{
	end(s, SESSION_REFUSED, code, retry_ms, text);
}

void session_finish(struct session *s)
{
	session_shutdown(s, 0); /* Else the peer would wait for us to come back. */
	end(s, SESSION_FINISHED, CODE_OK, 0, span_of(""));
}

/* Whether a stranger may be told the reason: see States in the manual. */
static bool may_tell(const struct session *s, enum code code)
{
	if (s->config.role != SESSION_SERVER || (s->state != SESSION_HELLO && s->state != SESSION_AUTH))
		return true;
	return code == CODE_VERSION || code == CODE_ENCRYPTION_REQUIRED || code == CODE_CALM_DOWN;
}

static void say_refused(struct session *s)
{
	struct login_err err = { CODE_AUTH_FAILED, span_of(code_text(CODE_AUTH_FAILED)) };
	uint8_t *out = output_reserve(s);

	if (out)
		output_commit(s, login_err_encode(&err, out, OUTPUT_FRAME_MAX));
}

static void say_error(struct session *s, enum code code, uint32_t retry_ms, const char *text)
{
	struct control_error error = { (uint16_t)code, retry_ms, span_of(text) };
	uint8_t *out = output_reserve(s);

	if (out)
		output_commit(s, control_error_encode(&error, out, OUTPUT_FRAME_MAX));
}

void session_fail_retry(struct session *s, enum code code, uint32_t retry_ms, const char *text)
{
	if (s->state == SESSION_DEAD)
		return;
	/* What is queued would only delay the reason, unless a part of it left. */
	if (s->control_at == 0)
		s->control_len = 0;
	if (s->config.role == SESSION_SERVER && code == CODE_AUTH_FAILED)
		say_refused(s);
	else if (may_tell(s, code))
		say_error(s, code, retry_ms, text);
	end(s, SESSION_FAILED, code, retry_ms, span_of(text));
}

void session_fail(struct session *s, enum code code, const char *text)
{
	session_fail_retry(s, code, 0, text);
}

void session_shutdown(struct session *s, uint32_t drain_ms)
{
	struct control_shutdown shutdown = { drain_ms, s->highest };
	uint8_t *out;

	if (s->drain_sent || (s->state != SESSION_BIND && s->state != SESSION_OPEN &&
		s->state != SESSION_DRAIN))
		return;
	s->drain_sent = true;
	s->state = SESSION_DRAIN;
	out = output_reserve(s);
	if (out)
		output_commit(s, control_shutdown_encode(&shutdown, out, OUTPUT_FRAME_MAX));
}

void session_join(struct session *s, const struct state_join *join)
{
	uint8_t *out = output_reserve(s);

	if (!out)
		return;
	s->lane = join->lane;
	s->state = SESSION_OPEN;
	output_commit(s, state_join_encode(join, out, OUTPUT_FRAME_MAX));
}

bool session_is_amid_frame(const struct session *s)
{
	return s->control_at != 0;
}

void session_relieve(struct session *s)
{
	output_feed_starved(s);
}

unsigned session_streams(const struct session *s)
{
	return (unsigned)s->streams.len;
}
