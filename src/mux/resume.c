#include "mux/resume.h"

#include <stdio.h>
#include <stdlib.h>

#include "mux/grant.h"
#include "mux/intake.h"
#include "mux/kept.h"
#include "mux/output.h"
#include "mux/relay.h"

/* The server's patience with a client that got its session back and says
 * nothing; the client's own is in its configuration. */
enum { SYNC_US = 5 * 1000 * 1000 };

/* More than any two ends can owe each other. */
#define OFFSETS_MAX (UINT64_C(1) << 62)

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

static int by_id(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The ids of the live streams as they rise, to be freed; NULL when memory is
 * out. They may go one by one while the list is walked. */
static uint32_t *list_live(const struct session *s, size_t *count)
{
	uint32_t *ids = malloc((s->streams.len + 1) * sizeof *ids);
	struct stream *st;
	size_t at = 0, n = 0;

	if (!ids)
		return NULL;
	while ((st = map_next(&s->streams, &at)))
		ids[n++] = st->id;
	qsort(ids, n, sizeof *ids, by_id);
	*count = n;
	return ids;
}

/* What this side says of st; it counts as written. */
static struct state_entry describe(struct session *s, struct stream *st)
{
	struct state_entry e = { .stream = st->id, .final = STATE_NO_FINAL };

	/* Of a stream that was cut only what was told before was really taken. */
	if (st->out != STREAM_CUT && st->out != STREAM_RESET)
		grant_tell(s, st);
	e.wanted = st->recv.received;
	e.consumed = st->recv.consumed;
	e.limit = st->recv.limit;
	if (st->out == STREAM_CUT) {
		st->out = STREAM_RESET;
		s->counts.resets_sent++;
	}
	if (st->out == STREAM_RESET) {
		e.reset = (uint16_t)(st->reset_code ? st->reset_code : CODE_CANCELLED);
		/* A CLOSE may be lost, and this STATE: who has the stream answers, and
		 * before that it is not over. */
		st->has_closed = false;
	}
	if (st->out == STREAM_CLOSED || st->out == STREAM_RESET)
		e.final = st->send.sent;
	return e;
}

static bool say(struct session *s, struct state_frame *frame, bool is_last)
{
	uint8_t *out = output_reserve(s);

	frame->is_last = is_last;
	if (out)
		output_commit(s, state_frame_encode(frame, out, OUTPUT_FRAME_MAX));
	frame->count = 0;
	return out != NULL;
}

/* All that this side knows, in as many frames as it takes. */
static enum code say_state(struct session *s)
{
	size_t count = 0;
	uint32_t *ids = list_live(s, &count);
	struct state_frame frame = { .highest = s->highest };

	if (!ids)
		return CODE_OVERLOADED;
	credit_recv_tell(&s->recv);
	frame.limit = s->recv.limit;
	frame.consumed = s->recv.consumed;
	for (size_t i = 0; i < count; i++) {
		struct stream *st = map_get(&s->streams, ids[i]);

		if (frame.count == STATE_ENTRIES_MAX && !say(s, &frame, false))
			break;
		/* None is over by this alone: it stays for what the peer says of it, and
		 * a RESET among that is answered. */
		frame.entries[frame.count++] = describe(s, st);
	}
	free(ids);
	return say(s, &frame, true) ? CODE_OK : CODE_OVERLOADED;
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
	code = say_state(s);
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
	uint8_t *out;

	if (!(s->capabilities & LOGIN_CAN_LANES) || resume->lane >= STATE_LANES_MAX ||
		resume->lane == s->lane)
		return CODE_PROTOCOL;
	code = s->ops->on_ride ? s->ops->on_ride(s->owner, resume) : CODE_RESUME_UNKNOWN;
	if (!code)
		return CODE_OK;
	say_lane(s, resume->lane, resume->epoch);
	out = output_reserve(s);
	if (out)
		output_commit_reply(s, state_resume_err_encode((uint16_t)code, out,
			OUTPUT_FRAME_MAX));
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
	uint8_t *out;

	if (code)
		return code;
	if (s->state != SESSION_BIND)
		return on_ride(s, &resume);
	code = s->ops->on_resume ? s->ops->on_resume(s->owner, &resume) : CODE_RESUME_UNKNOWN;
	if (!code) {
		s->state = SESSION_GIVEN;
		return CODE_OK;
	}
	out = output_reserve(s);
	if (out)
		output_commit_reply(s, state_resume_err_encode((uint16_t)code, out,
			OUTPUT_FRAME_MAX));
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

/* Whether what the peer has of st can be true. */
static bool is_plausible(const struct stream *st, const struct state_entry *e)
{
	if (e->wanted > st->send.sent || e->consumed < st->send.consumed)
		return false;
	if (e->final == STATE_NO_FINAL)
		return !e->reset && !stream_has_ended(st->in);
	if (e->final < st->recv.received)
		return false;
	return e->reset || st->in != STREAM_CLOSED || e->final == st->recv.received;
}

/* Where our direction goes on. */
static void go_on_from(struct session *s, struct stream *st, const struct state_entry *e)
{
	bool opened;

	st->again = e->wanted;
	if (st->out == STREAM_CUT || st->out == STREAM_RESET)
		st->send.sent = e->wanted; /* The rest is gone. */
	(void)credit_send_update(&st->send, e->limit, e->consumed, &opened);
	kept_acknowledge(st);
	if (st->is_answered && s->config.role == SESSION_CLIENT)
		st->wants_credit = true; /* The answer to the OPEN may have been lost. */
}

static enum code apply(struct session *s, const struct state_entry *e)
{
	struct stream *st = map_get(&s->streams, e->stream);

	if (!st) /* Over here, or an OPEN that was lost: then it comes again. */
		return e->stream > s->highest && s->config.role == SESSION_SERVER ?
			CODE_RESUME_OFFSET : CODE_OK;
	if (!is_plausible(st, e))
		return CODE_RESUME_OFFSET;
	st->seen = s->epoch;
	go_on_from(s, st, e);
	if (e->final != STATE_NO_FINAL)
		relay_answered(s, st);
	if (e->reset)
		relay_peer_reset(s, st, (enum code)e->reset);
	else if (e->final != STATE_NO_FINAL && st->in_final == STATE_NO_FINAL)
		relay_peer_ends(s, st, e->final);
	st = map_get(&s->streams, e->stream);
	if (st)
		stream_settle(s, st); /* The last acknowledgement may be among it. */
	return CODE_OK;
}

/* The peer has no such stream any more. It ended there in good order, or by the
 * RESETs of both. */
static enum code apply_absent(struct session *s, struct stream *st)
{
	relay_answered(s, st);
	if (st->out == STREAM_CUT || st->out == STREAM_RESET || st->in == STREAM_RESET) {
		st->out = st->in = STREAM_RESET;
		stream_settle(s, st);
		return CODE_OK;
	}
	if (st->out != STREAM_CLOSED || credit_recv_pending(&st->recv) ||
		(st->in_final != STATE_NO_FINAL && st->in_final != st->recv.received))
		return CODE_RESUME_OFFSET;
	st->send.consumed = st->again = st->send.sent;
	kept_forget(st);
	st->recv.told = st->recv.received;
	if (st->in == STREAM_FLOWING)
		relay_peer_ends(s, st, st->recv.received);
	else
		stream_settle(s, st);
	return CODE_OK;
}

/* Its OPEN was lost, with all that followed. */
static enum code announce_again(struct session *s, struct stream *st)
{
	/* Who spoke of it has heard of it; and of what it took nothing is kept. */
	if (st->is_answered || st->seen)
		return CODE_RESUME_OFFSET;
	stream_announce(s, st);
	st->again = 0;
	st->has_closed = false;
	if (st->out == STREAM_RESET)
		st->out = STREAM_CUT;
	if (st->out == STREAM_CUT)
		st->send.sent = 0;
	if (st->out == STREAM_CLOSED)
		st->out = STREAM_ENDING;
	return CODE_OK;
}

/* Those that no STATE named. */
static enum code apply_rest(struct session *s, uint32_t highest, const uint32_t *ids, size_t count)
{
	enum code code = CODE_OK;

	for (size_t i = 0; i < count && !code && s->state == SESSION_SYNCING; i++) {
		struct stream *st = map_get(&s->streams, ids[i]);

		if (!st || st->seen == s->epoch)
			continue;
		if (st->id <= highest)
			code = apply_absent(s, st);
		else
			code = announce_again(s, st);
	}
	return code;
}

/* The session's own count of sent bytes: what the peer has, and what is sent
 * once more. What was lost with streams that are over is in neither. */
static void reckon(struct session *s, const struct state_frame *frame)
{
	uint64_t sent = frame->consumed + s->sync_pending;
	struct stream *st;
	size_t at = 0;

	while ((st = map_next(&s->streams, &at)))
		sent += st->send.sent - st->again;
	s->send.sent = sent;
	s->send.consumed = frame->consumed;
	if (frame->limit > s->send.limit)
		s->send.limit = frame->limit;
}

/* Each stream takes its place again. */
static void wake_all(struct session *s, const uint32_t *ids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct stream *st = map_get(&s->streams, ids[i]);

		if (!st)
			continue;
		output_delist(st);
		output_enlist(s, st);
		if (st->out == STREAM_CUT || st->out == STREAM_ENDING || st->wants_credit)
			output_due(s, st);
	}
	output_wake(s);
}

static enum code finish(struct session *s, const struct state_frame *frame)
{
	size_t count = 0;
	uint32_t *ids = list_live(s, &count);
	enum code code = ids ? apply_rest(s, frame->highest, ids, count) : CODE_OVERLOADED;

	if (!code && s->state == SESSION_SYNCING) {
		reckon(s, frame);
		s->state = SESSION_OPEN;
		s->counts.resumes++;
		wake_all(s, ids, count);
		s->ops->on_resumed(s->owner);
	}
	free(ids);
	return code;
}

/* The sums of one frame; what does not add up is a lie. */
static bool adds_up(struct session *s, const struct state_frame *frame)
{
	bool is_client = s->config.role == SESSION_CLIENT;

	if (is_client ? frame->highest < s->highest : frame->highest > s->highest)
		return false;
	if (frame->consumed < s->send.consumed || frame->consumed > s->send.sent)
		return false;
	for (unsigned i = 0; i < frame->count; i++) {
		const struct state_entry *e = &frame->entries[i];

		if (e->stream <= s->sync_last || e->wanted > OFFSETS_MAX)
			return false;
		s->sync_last = e->stream;
		s->sync_pending += e->wanted - e->consumed;
		if (s->sync_pending > OFFSETS_MAX)
			return false;
	}
	return true;
}

enum code resume_on_state(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct state_frame frame;
	enum code code = state_frame_decode(payload, f->len, &frame);

	if (code)
		return code;
	if (s->state == SESSION_ASKING) {
		s->state = SESSION_SYNCING;
		code = say_state(s); /* As it is, before it is touched. */
		if (code)
			return code;
	}
	if (!adds_up(s, &frame))
		return CODE_RESUME_OFFSET;
	for (unsigned i = 0; i < frame.count && !code && s->state == SESSION_SYNCING; i++)
		code = apply(s, &frame.entries[i]);
	if (code || !frame.is_last || s->state != SESSION_SYNCING)
		return code;
	return finish(s, &frame);
}
