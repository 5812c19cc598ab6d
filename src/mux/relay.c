#include "mux/relay.h"

#include <stdlib.h>

#include "mux/grant.h"
#include "mux/kept.h"
#include "mux/output.h"

/* --- what the peer sends ----------------------------------------------- */

void relay_answered(struct session *s, struct stream *st)
{
	if (s->config.role != SESSION_SERVER || st->is_answered)
		return;
	st->is_answered = true;
	s->ops->on_answer(s->owner, st);
}

/* Finds the stream of a frame: *out is NULL for one that is over. */
static enum code find(struct session *s, const struct frame *f, struct stream **out)
{
	if (f->stream > s->highest)
		return CODE_PROTOCOL;
	*out = map_get(&s->streams, f->stream);
	if (*out)
		relay_answered(s, *out);
	return CODE_OK;
}

enum code relay_on_open(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct flow_open open;
	struct stream *st;
	enum code code = flow_open_decode(payload, f->len, &open);

	if (code)
		return code;
	if (f->stream == 0 || f->stream - 1 != s->highest)
		return CODE_PROTOCOL;
	if (s->streams.len >= SESSION_STREAMS_MAX)
		return CODE_LIMIT;
	st = stream_new(s, f->stream, open.bind_id);
	if (!st)
		return CODE_OVERLOADED;
	st->is_owned = true;
	code = s->state == SESSION_DRAIN ? CODE_REFUSED : s->ops->on_open(s->owner, st, &open);
	if (code) {
		st->is_owned = false;
		stream_cut(s, st, code);
	}
	return CODE_OK;
}

/* All bytes of the peer's direction are here. */
static void end_in(struct session *s, struct stream *st)
{
	bool tells = st->in == STREAM_FLOWING && st->is_owned;

	st->in = STREAM_CLOSED;
	if (!tells) {
		stream_settle(s, st);
		return;
	}
	/* What was consumed must be told to the end, so that it can be over. */
	if (credit_recv_pending(&st->recv) == 0 && st->recv.told != st->recv.received)
		output_due(s, st);
	s->ops->on_close(s->owner, st);
}

void relay_peer_ends(struct session *s, struct stream *st, uint64_t final)
{
	st->in_final = final;
	grant_final(s, st);
	if (final == st->recv.received && !stream_has_ended(st->in))
		end_in(s, st);
}

enum code relay_on_close(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct stream *st;
	uint64_t final;
	enum code code = flow_close_decode(payload, f->len, &final);

	if (code || (code = find(s, f, &st)) || !st)
		return code;
	if (stream_has_ended(st->in) || st->in_final != STATE_NO_FINAL ||
		final != st->recv.received)
		return CODE_PROTOCOL;
	relay_peer_ends(s, st, final);
	return CODE_OK;
}

void relay_peer_reset(struct session *s, struct stream *st, enum code code)
{
	/* The owner knows of the end already if it was we who cut the stream. */
	bool told = st->out == STREAM_CUT || st->out == STREAM_RESET || !st->is_owned;

	if (st->in == STREAM_RESET)
		return;
	s->counts.resets_received++;
	st->in = STREAM_RESET;
	if (st->out == STREAM_CLOSED)
		st->out = STREAM_CUT; /* It is answered all the same. */
	if (!st->reset_code)
		st->reset_code = code ? code : CODE_CANCELLED;
	stream_cut(s, st, code ? code : CODE_CANCELLED);
	stream_settle(s, st); /* Before the upcall, in which st may be released. */
	if (!told)
		s->ops->on_reset(s->owner, st, code);
}

enum code relay_on_reset(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct flow_reset reset;
	struct stream *st;
	enum code code = flow_reset_decode(payload, f->len, &reset);

	if (code || (code = find(s, f, &st)) || !st)
		return code;
	if (st->in == STREAM_RESET || reset.final != st->recv.received)
		return CODE_PROTOCOL;
	relay_peer_reset(s, st, (enum code)reset.code);
	return CODE_OK;
}

static enum code session_credit(struct session *s, const struct flow_credit *credit)
{
	bool opened;
	enum code code = credit_send_update(&s->send, credit->limit, credit->consumed, &opened);

	if (!code && opened)
		output_feed_starved(s);
	return code;
}

enum code relay_on_credit(struct session *s, const struct frame *f, const uint8_t *payload)
{
	struct flow_credit credit;
	struct stream *st;
	bool opened;
	enum code code = flow_credit_decode(payload, f->len, &credit);

	if (code)
		return code;
	if (f->stream == 0)
		return session_credit(s, &credit);
	if ((code = find(s, f, &st)) || !st)
		return code;
	if (credit.consumed > st->again)
		return CODE_FLOW_CONTROL; /* The peer does not have it again yet. */
	if (credit.consumed > st->send.consumed)
		st->taken_us = s->now_us;
	code = credit_send_update(&st->send, credit.limit, credit.consumed, &opened);
	if (code)
		return code;
	kept_acknowledge(st);
	output_enlist(s, st);
	stream_settle(s, st);
	return CODE_OK;
}

enum code relay_begin_data(struct session *s, const struct frame *f)
{
	struct stream *st;
	enum code code = find(s, f, &st);

	if (code)
		return code;
	if (st) {
		if (stream_has_ended(st->in))
			return CODE_PROTOCOL;
		if (f->len > credit_recv_open(&st->recv))
			return CODE_FLOW_CONTROL;
		if (f->len > st->in_final - st->recv.received)
			return CODE_PROTOCOL;
	}
	if (f->len > credit_recv_open(&s->recv) &&
		(!st || f->len + credit_recv_pending(&st->recv) > SESSION_FLOOR))
		return CODE_FLOW_CONTROL;
	s->data_stream = st;
	s->data_left = f->len;
	return CODE_OK;
}

static void arrived(struct session *s, struct stream *st, size_t len)
{
	uint64_t echo_us;

	credit_recv_take(&st->recv, len);
	if (window_arrived(&st->window, &st->recv, s->data_left == 0, s->now_us, &echo_us))
		rtt_add(&s->rtt, echo_us, s->now_us);
}

void relay_data(struct session *s, const uint8_t *data, size_t len)
{
	struct stream *st = s->data_stream;

	s->data_left -= (uint32_t)len;
	s->taken += len;
	credit_recv_take(&s->recv, len);
	if (st)
		arrived(s, st, len);
	if (st && st->is_owned && st->in == STREAM_FLOWING) {
		s->ops->on_data(s->owner, st, data, len);
	} else {
		s->counts.late_bytes += len;
		if (st)
			credit_recv_consume(&st->recv, len);
		stream_drop(s, len);
	}
	/* The owner may have ended the session; then there is no stream. */
	if (st && s->data_stream == st && st->in_final == st->recv.received)
		relay_peer_ends(s, st, st->in_final);
	if (output_ack_is_due(s))
		output_wake(s);
}

void relay_end_all(struct session *s, enum code code)
{
	struct map live = s->streams;
	struct stream *st;
	size_t at = 0;

	/* Off the session first: the callbacks release streams. */
	s->streams = (struct map){ 0 };
	s->data_stream = NULL;
	while ((st = map_next(&live, &at))) {
		bool told = st->out == STREAM_CUT || st->out == STREAM_RESET;

		list_remove(&st->ready);
		list_remove(&st->due);
		kept_forget(st);
		grant_end(s, st);
		st->out = st->in = STREAM_RESET;
		if (!st->is_owned)
			stream_free(s, st);
		else if (!told)
			s->ops->on_reset(s->owner, st, code);
	}
	map_fini(&live);
}
