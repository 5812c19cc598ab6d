#include "mux/stream.h"

#include <assert.h>
#include <stdlib.h>

#include "mux/grant.h"
#include "mux/kept.h"
#include "mux/output.h"

struct stream *stream_new(struct session *s, uint32_t id, uint32_t bind_id)
{
	struct stream *st = calloc(1, sizeof *st);

	if (!st)
		return NULL;
	st->id = id;
	st->bind_id = bind_id;
	st->in_final = STATE_NO_FINAL;
	st->lately_us = s->now_us;
	list_init(&st->ready);
	list_init(&st->due);
	credit_send_init(&st->send, s->peer_credit);
	grant_begin(s, st);
	if (map_put(&s->streams, id, st) < 0) {
		free(st);
		return NULL;
	}
	s->highest = id;
	s->counts.streams++;
	return st;
}

void stream_free(struct session *s, struct stream *st)
{
	if (s->data_stream == st)
		s->data_stream = NULL;
	list_remove(&st->ready);
	list_remove(&st->due);
	kept_forget(st);
	free(st);
}

bool stream_has_ended(enum stream_half half)
{
	return half == STREAM_CLOSED || half == STREAM_RESET;
}

/* Nothing more will travel on st in either direction. */
static bool is_over(const struct stream *st)
{
	if (!stream_has_ended(st->out) || !stream_has_ended(st->in))
		return false;
	/* A RESET is answered, or who lost it with a transport takes the end for
	 * one in good order; unless the peer was through before it came. */
	if (st->out == STREAM_RESET && st->in == STREAM_RESET)
		return true;
	if (st->in == STREAM_RESET || (st->out == STREAM_RESET && !st->has_closed))
		return false;
	/* Orderly on both sides: the last byte is acknowledged, each way. */
	return credit_send_pending(&st->send) == 0 && st->recv.told == st->recv.received;
}

static bool is_live(const struct session *s, const struct stream *st)
{
	return map_get(&s->streams, st->id) == st;
}

void stream_settle(struct session *s, struct stream *st)
{
	bool ends = is_live(s, st) && is_over(st);
	uint64_t pending = credit_recv_pending(&st->recv);

	if (ends) {
		/* What the session owes is what its live streams do. */
		credit_recv_consume(&st->recv, pending);
		stream_drop(s, pending);
		map_remove(&s->streams, st->id);
		grant_end(s, st);
		list_remove(&st->ready);
		list_remove(&st->due);
	}
	if (!st->is_owned && !is_live(s, st))
		stream_free(s, st);
	if (ends)
		s->ops->on_over(s->owner);
}

/* Bytes that no destination will take are taken for the session's sake. */
void stream_drop(struct session *s, uint64_t n)
{
	credit_recv_consume(&s->recv, n);
	if (output_session_credit_is_due(s))
		output_wake(s);
}

/* Our own reset, without asking whether there is anything to tell. */
void stream_cut(struct session *s, struct stream *st, enum code code)
{
	if (st->out == STREAM_FLOWING || st->out == STREAM_ENDING) {
		st->out = STREAM_CUT;
		st->reset_code = code;
	}
	if (st->in == STREAM_FLOWING)
		st->in = STREAM_CUT;
	/* What was not sent once more never is. */
	s->send.sent -= st->send.sent - st->again;
	st->send.sent = st->again;
	kept_forget(st);
	output_delist(st);
	if (st->out == STREAM_CUT)
		output_due(s, st);
}

void stream_announce(struct session *s, const struct stream *st)
{
	uint8_t *out = output_reserve(s);

	if (out)
		output_commit(s, flow_open_encode(st->id, &st->open, out, OUTPUT_FRAME_MAX));
}

struct stream *stream_open(struct session *s, const struct flow_open *open, void *user)
{
	struct stream *st;

	if (s->state != SESSION_OPEN || s->streams.len >= SESSION_STREAMS_MAX)
		return NULL;
	if (s->highest >= UINT32_MAX - 1) {
		/* Ids are never used again: a new session begins with new ones. */
		session_shutdown(s, CONTROL_MS_MAX);
		return NULL;
	}
	st = output_reserve(s) ? stream_new(s, s->highest + 1, open->bind_id) : NULL;
	if (!st)
		return NULL;
	st->user = user;
	st->is_owned = true;
	st->open = *open;
	stream_announce(s, st);
	return st;
}

void stream_answer(struct session *s, struct stream *st)
{
	if (!is_live(s, st))
		return;
	st->is_answered = st->wants_credit = true;
	output_due(s, st);
}

void stream_ready(struct session *s, struct stream *st)
{
	if (st->is_ready || !is_live(s, st))
		return;
	st->is_ready = true;
	output_enlist(s, st);
}

/* Others spent the session's credit: the peer sends up to the floor of st and
 * then waits to hear that it was taken. */
static bool lives_on_its_floor(const struct session *s, const struct stream *st)
{
	return credit_recv_open(&s->recv) < SESSION_FLOOR &&
		st->recv.received - st->recv.told >= SESSION_FLOOR / 2;
}

void stream_consumed(struct session *s, struct stream *st, size_t n)
{
	if (!is_live(s, st))
		return; /* It was settled when the stream ended. */
	credit_recv_consume(&st->recv, n);
	window_consumed(&st->window, &st->recv);
	stream_drop(s, n);
	if (!credit_recv_has_news(&st->recv))
		return;
	if (window_is_due(&st->window, &st->recv) || lives_on_its_floor(s, st) ||
		(st->in == STREAM_CLOSED && credit_recv_pending(&st->recv) == 0))
		output_due(s, st);
	else if (st->in == STREAM_FLOWING)
		output_late(s, st);
}

void stream_close(struct session *s, struct stream *st)
{
	if (st->out != STREAM_FLOWING)
		return;
	st->out = STREAM_ENDING;
	if (!is_live(s, st))
		return;
	output_due(s, st);
}

void stream_reset(struct session *s, struct stream *st, enum code code)
{
	if (!is_live(s, st))
		return;
	if (st->out == STREAM_CLOSED) {
		/* What we sent ended in good order, but the peer must learn that
		 * what it sends, or sent, does not arrive. If that ended, too,
		 * what is on the way still counts, and is kept. */
		if (st->in != STREAM_FLOWING && !credit_recv_pending(&st->recv))
			return;
		st->out = STREAM_CUT;
		st->reset_code = code;
	}
	stream_cut(s, st, code);
}

void stream_release(struct session *s, struct stream *st)
{
	uint64_t pending = credit_recv_pending(&st->recv);

	assert(st->is_owned);
	if (pending || st->out == STREAM_FLOWING || st->in == STREAM_FLOWING)
		stream_reset(s, st, CODE_CANCELLED);
	st->is_owned = false;
	if (pending && is_live(s, st)) {
		credit_recv_consume(&st->recv, pending);
		stream_drop(s, pending);
	}
	stream_settle(s, st);
}

