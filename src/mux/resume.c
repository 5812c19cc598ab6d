#include "mux/resume.h"

#include <stdio.h>

#include "mux/intake.h"
#include "mux/kept.h"
#include "mux/output.h"
#include "mux/sync.h"

/* The server's patience with a client that got its session back and says
 * nothing; the client's own is in its configuration. */
enum { SYNC_US = 5 * 1000 * 1000 };

bool resume_is_possible(const struct session *s)
{
	if (!kept_is_wanted(s) || !s->hold_us || s->is_doomed)
		return false;
	return s->state == SESSION_OPEN || resume_is_held(s);
}

bool resume_is_held(const struct session *s)
{
	return s->state == SESSION_LOST || s->state == SESSION_ASKING || s->state == SESSION_SYNCING;
}

/* --- the transport goes ----------------------------------------------------------- */

/* Forgets what belonged to the transport alone. */
static void forget_transport(struct session *s)
{
	intake_forget(s);
	output_forget(s);
}

void resume_detach(struct session *s, const char *text)
{
	if (!resume_is_held(s)) {
		s->lost_us = s->now_us;
		snprintf(s->lost_text, sizeof s->lost_text, "%s", text);
	}
	forget_transport(s);
	s->state = SESSION_LOST;
	s->ops->on_detach(s->owner, text);
}

static void give_up(struct session *s)
{
	char text[sizeof s->lost_text + 48];

	snprintf(text, sizeof text, "not resumed within %us: %s",
		(unsigned)(s->hold_us / 1000000), s->lost_text);
	session_abandon(s, text);
}

uint64_t resume_tick(struct session *s)
{
	uint64_t patience = s->config.role == SESSION_CLIENT ? s->config.sync_us : SYNC_US;
	uint64_t end_us = s->lost_us + s->hold_us;

	if (patience < 4 * s->rtt_us)
		patience = 4 * s->rtt_us;
	if (s->now_us >= end_us) {
		give_up(s);
		return UINT64_MAX;
	}
	if (s->state == SESSION_LOST)
		return end_us;
	if (s->now_us - s->attached_us >= patience) {
		resume_detach(s, "no answer while resuming");
		return s->state == SESSION_LOST ? end_us : UINT64_MAX;
	}
	return s->attached_us + patience < end_us ? s->attached_us + patience : end_us;
}

/* --- a new one ----------------------------------------------------------------------- */

static void attach(struct session *s, enum session_state state, uint32_t epoch)
{
	forget_transport(s);
	s->state = state;
	s->epoch = epoch;
	s->attached_us = s->heard_us = s->now_us;
	s->sync_last = 0;
	s->sync_pending = 0;
}

void resume_ask(struct session *s, struct session *via, const struct state_resume *resume,
	uint64_t now_us)
{
	uint8_t *out;

	s->now_us = now_us;
	attach(s, SESSION_ASKING, resume->epoch);
	out = output_reserve(via);
	if (out)
		output_commit(via, state_resume_encode(resume, out, OUTPUT_FRAME_MAX));
}

void resume_adopt(struct session *s, uint32_t epoch, uint64_t now_us)
{
	enum code code;

	s->now_us = now_us;
	if (!resume_is_held(s)) {
		s->lost_us = now_us;
		snprintf(s->lost_text, sizeof s->lost_text, "replaced by a newer connection");
	}
	attach(s, SESSION_SYNCING, epoch);
	code = sync_say(s);
	if (code)
		session_fail(s, code, code_text(code));
}

void resume_inherit(struct session *s, struct session *from)
{
	s->partial = from->partial;
	s->partial_len = from->partial_len;
	s->skip_left = from->skip_left;
	from->partial = NULL;
	from->partial_len = from->skip_left = 0;
}

/* --- what the other side says ---------------------------------------------------------- */

static void say_refusal(struct session *s, enum code code)
{
	uint8_t *out = output_reserve(s);

	if (out)
		output_commit_reply(s, state_resume_err_encode((uint16_t)code, out, OUTPUT_FRAME_MAX));
}

static void say_lane(struct session *s, uint8_t lane, uint32_t epoch)
{
	uint8_t *out = output_reserve(s);

	if (out)
		output_commit(s, state_lane_encode(lane, epoch, out, OUTPUT_FRAME_MAX));
}

/* RESUME of another session, which is to go on beside this one. Its answer is heard
 * there: it is a frame of that lane. */
static enum code on_ride(struct session *s, const struct state_resume *resume)
{
	enum code code;

	if (!(s->capabilities & LOGIN_CAN_LANES) || resume->lane >= STATE_LANES_MAX ||
		resume->lane == s->lane)
		return CODE_PROTOCOL;
	code = s->ops->on_ride ? s->ops->on_ride(s->owner, resume) : CODE_RESUME_UNKNOWN;
	if (!code)
		return CODE_OK;
	say_lane(s, resume->lane, resume->epoch);
	say_refusal(s, code);
	say_lane(s, s->lane, s->epoch);
	return CODE_OK;
}

enum code resume_on_join(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct state_join join;
	enum code code = state_join_decode(payload, f->len, &join);

	if (code)
		return code;
	if (!(s->capabilities & LOGIN_CAN_LANES) || !s->ops->on_join)
		return CODE_PROTOCOL;
	s->lane = join.lane;
	code = s->ops->on_join(s->owner, &join);
	if (!code && s->state == SESSION_BIND)
		s->state = SESSION_OPEN;
	return code;
}

enum code resume_on_resume(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct state_resume resume;
	enum code code = state_resume_decode(payload, f->len, &resume);

	if (code)
		return code;
	if (s->state != SESSION_BIND)
		return on_ride(s, &resume);
	code = s->ops->on_resume ? s->ops->on_resume(s->owner, &resume) : CODE_RESUME_UNKNOWN;
	if (code)
		say_refusal(s, code);
	else
		s->state = SESSION_GIVEN;
	return CODE_OK;
}

enum code resume_on_refusal(struct session *s, const struct frame *f, const uint8_t *payload)
{
	uint16_t code;
	enum code err = state_resume_err_decode(payload, f->len, &code);

	if (err)
		return err;
	forget_transport(s);
	s->state = SESSION_LOST;
	s->ops->on_resume_refused(s->owner, code ? (enum code)code : CODE_RESUME_UNKNOWN);
	return CODE_OK;
}
