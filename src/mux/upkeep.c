#include "mux/upkeep.h"

#include <stdio.h>

#include "mux/output.h"
#include "mux/resume.h"

void upkeep_beat(struct session *s)
{
	struct control_heartbeat beat = { .opaque = s->now_us };
	uint8_t *out = output_reserve(s);

	if (!out)
		return;
	s->beat_us = s->now_us;
	output_commit(s, control_heartbeat_encode(&beat, out, OUTPUT_FRAME_MAX));
}

static void learn_rtt(struct session *s, uint64_t us)
{
	s->rtt_us = us;
	gauge_heard(&s->path.gauge, us, s->now_us);
	rtt_add(&s->rtt, us, s->now_us);
}

enum code upkeep_on_heartbeat(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct control_heartbeat beat;
	enum code code = control_heartbeat_decode(payload, f->len, &beat);
	uint8_t *out;

	if (code)
		return code;
	if (beat.is_reply) {
		/* Only the answer to the last one says how long it took. */
		if (beat.opaque == s->beat_us && beat.opaque != 0)
			learn_rtt(s, s->now_us - s->beat_us);
		return CODE_OK;
	}
	/* Nothing goes behind a RESUME until it is answered, nor after one that
	 * was heard: the connection is another session's then. */
	if (resume_is_held(s) || s->state == SESSION_GIVEN)
		return CODE_OK;
	beat.is_reply = true;
	out = output_reserve(s);
	if (out)
		output_commit_reply(s, control_heartbeat_encode(&beat, out, OUTPUT_FRAME_MAX));
	return CODE_OK;
}

enum code upkeep_on_error(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct control_error error;
	enum code code = control_error_decode(payload, f->len, &error);

	if (!code)
		session_end_by_peer(s, (enum code)error.code, error.retry_ms, error.text);
	return code;
}

enum code upkeep_on_shutdown(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct control_shutdown shutdown;
	enum code code = control_shutdown_decode(payload, f->len, &shutdown);

	if (code)
		return code;
	s->state = SESSION_DRAIN;
	if (s->drain_heard)
		return CODE_OK;
	s->drain_heard = true;
	s->ops->on_shutdown(s->owner, shutdown.drain_ms);
	return CODE_OK;
}

enum code upkeep_on_ack(struct session *s, const struct frame *f, const uint8_t *payload)
{
	uint64_t taken;
	enum code code = control_ack_decode(payload, f->len, &taken);

	if (code)
		return code;
	if (taken > s->path.gauge.put || taken < s->path.gauge.acked)
		return CODE_PROTOCOL;
	path_acked(&s->path, taken, s->now_us);
	output_flows(s);
	return CODE_OK;
}

static bool has_passed(const struct session *s, uint64_t since_us, uint64_t limit_us)
{
	return limit_us && s->now_us - since_us >= limit_us;
}

/* Ends the session when one of its patiences is over. A peer that is silent may
 * come back; one that lives and takes nothing is given up. */
static bool expire(struct session *s, uint64_t blocked_us)
{
	bool logging_in = s->state == SESSION_HELLO || s->state == SESSION_AUTH, stuck = false;
	char text[64] = "";

	if (logging_in && has_passed(s, s->begun_us, s->config.login_us))
		snprintf(text, sizeof text, "no login within %us",
			(unsigned)(s->config.login_us / 1000000));
	else if (s->state == SESSION_BIND && has_passed(s, s->begun_us, s->config.bind_us))
		snprintf(text, sizeof text, "asked for no tunnel within %us",
			(unsigned)(s->config.bind_us / 1000000));
	else if (has_passed(s, s->heard_us, s->config.dead_us))
		snprintf(text, sizeof text, "no answer for %us",
			(unsigned)(s->config.dead_us / 1000000));
	else if (blocked_us && has_passed(s, blocked_us, s->config.stuck_us)) {
		snprintf(text, sizeof text, "took no data for %us",
			(unsigned)(s->config.stuck_us / 1000000));
		stuck = true;
	}
	if (stuck)
		session_abandon(s, text);
	else if (text[0])
		session_lost(s, text, s->now_us);
	return s->state == SESSION_DEAD;
}

static void earlier(uint64_t *next, uint64_t at)
{
	if (at < *next)
		*next = at;
}

static uint64_t next_tick(const struct session *s, uint64_t blocked_us)
{
	uint64_t next = s->heard_us + s->config.dead_us;
	uint64_t calm = s->heard_us > s->beat_us ? s->heard_us : s->beat_us;

	if (s->state == SESSION_HELLO || s->state == SESSION_AUTH) {
		if (s->config.login_us)
			earlier(&next, s->begun_us + s->config.login_us);
		return next;
	}
	if (s->state == SESSION_BIND && s->config.bind_us)
		earlier(&next, s->begun_us + s->config.bind_us);
	earlier(&next, calm + s->config.heartbeat_us);
	earlier(&next, s->credit_us);
	if (blocked_us && s->config.stuck_us)
		earlier(&next, blocked_us + s->config.stuck_us);
	return next;
}

/* What waits in the kernel for a peer that reads nothing does not block the
 * transport: the cap is below what the kernel has room for. */
static uint64_t stuck_since(const struct session *s, uint64_t blocked_us)
{
	uint64_t unheard_us = gauge_stuck_us(&s->path.gauge);

	return blocked_us && (!unheard_us || blocked_us < unheard_us) ? blocked_us : unheard_us;
}

uint64_t upkeep_tick(struct session *s, uint64_t blocked_us)
{
	struct list *n;

	blocked_us = stuck_since(s, blocked_us);
	if (s->state == SESSION_DEAD || s->state == SESSION_GIVEN)
		return UINT64_MAX;
	if (!resume_is_held(s) && expire(s, blocked_us))
		return UINT64_MAX;
	if (resume_is_held(s))
		return resume_tick(s);
	if (s->state != SESSION_HELLO && s->state != SESSION_AUTH &&
		has_passed(s, s->heard_us, s->config.heartbeat_us) &&
		has_passed(s, s->beat_us, s->config.heartbeat_us))
		upkeep_beat(s);
	gauge_rest(&s->path.gauge, s->now_us);
	if (s->now_us >= s->credit_us) {
		s->credit_us = UINT64_MAX;
		while ((n = list_first(&s->late)))
			output_due(s, list_entry(n, struct stream, due));
	}
	return next_tick(s, blocked_us);
}
