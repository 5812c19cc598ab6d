#include "mux/sync.h"

#include <stdlib.h>

#include "mux/grant.h"
#include "mux/kept.h"
#include "mux/output.h"
#include "mux/relay.h"

/* More than any two ends can owe each other. */
#define OFFSETS_MAX (UINT64_C(1) << 62)

/* --- what this side says -------------------------------------------------------------- */

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
	window_lost(&st->window);
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
enum code sync_say(struct session *s)
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

/* --- what the other side says ---------------------------------------------------------- */

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

enum code sync_on_state(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct state_frame frame;
	enum code code = state_frame_decode(payload, f->len, &frame);

	if (code)
		return code;
	if (s->state == SESSION_ASKING) {
		s->state = SESSION_SYNCING;
		code = sync_say(s); /* As it is, before it is touched. */
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
