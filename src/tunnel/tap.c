#include "tunnel/tap.h"

#include <stdlib.h>

#include "core/addr.h"
#include "http/exchange.h"

struct tap {
	struct trace *trace;
	struct traffic *traffic;
	struct flow_addr peer;
	enum exchange_kind kind;	/* as far as it is known */
	bool is_over;			/* more bytes would tell nothing */
	bool was_http;			/* it has had a line already */
	struct exchange *exchange;	/* NULL before the first byte, and when it is over */
	struct trace_young young;
	uint64_t begun_us;
	const char *end;		/* once the stream is over */
	const char *closer;		/* who ended its direction first */
	const char *ours;		/* the answer is ours, and this is why */
};

/* How a stream ended, in the words of the lines. */
static const struct {
	const char *text;
	enum line_mark mark;
} endings[] = {
	[CODE_OK] = { "closed", LINE_GOOD },
	[CODE_CANCELLED] = { "reset by visitor", LINE_ODD },
	[CODE_LOCAL_RESET] = { "reset by service", LINE_BAD },
	[CODE_DIAL_REFUSED] = { "service refused", LINE_BAD },
	[CODE_DIAL_TIMEOUT] = { "service silent", LINE_BAD },
	[CODE_DIAL_UNAVAILABLE] = { "service not available", LINE_BAD },
	[CODE_INTERNAL] = { "tunnel lost", LINE_BAD },
	[CODE_SHUTTING_DOWN] = { "tunnel closed", LINE_ODD },
};

static const char *end_text(enum code code)
{
	if (code < sizeof endings / sizeof endings[0] && endings[code].text)
		return endings[code].text;
	return code_text(code);
}

static enum line_mark end_mark(enum code code)
{
	if (code < sizeof endings / sizeof endings[0] && endings[code].text)
		return endings[code].mark;
	return LINE_BAD;
}

/* --- requests ------------------------------------------------------------------- */

static struct line_request request_of(const struct tap *t, const struct exchange_info *info,
	char peer[ADDR_TEXT_MAX])
{
	return (struct line_request){
		.traffic = t->traffic,
		.peer = line_peer(&t->peer, peer),
		.method = info->method,
		.target = info->target,
		.target_cut = info->target_cut,
		.status = info->status,
		.latency_us = info->answered_us ? info->answered_us - info->begun_us : 0,
		.received = info->received,
		.sent = info->sent,
	};
}

static void on_answer(void *owner, const struct exchange_info *info)
{
	struct tap *t = owner;
	char peer[ADDR_TEXT_MAX];
	struct line_request r = request_of(t, info, peer);

	t->was_http = true;
	if (t->ours)
		metrics_status(&t->traffic->counts, info->status);
	else
		metrics_answer(&t->traffic->counts, info->status, r.latency_us);
	trace_answer(t->trace, &r);
}

static const char *request_end(const struct tap *t, enum exchange_end end)
{
	switch (end) {
	case EXCHANGE_COMPLETE:
		return t->ours ? t->ours : "complete";
	case EXCHANGE_SWITCHED:
		return "switched";
	case EXCHANGE_UNWATCHED:
		return "unwatched";
	case EXCHANGE_CUT:
		break;
	}
	return t->end;
}

static void on_done(void *owner, const struct exchange_info *info)
{
	struct tap *t = owner;
	char peer[ADDR_TEXT_MAX];
	struct line_request r = request_of(t, info, peer);

	/* What could not be parsed is no failure: the connection has its line. */
	if (info->end == EXCHANGE_UNWATCHED) {
		shard_add(&t->traffic->counts.http_unwatched, 1);
		if (!info->status)
			return;
	}
	t->was_http = true;
	shard_add(&t->traffic->counts.http_requests, 1);
	rate_add(&t->traffic->requests, info->ended_us);
	if (!info->status)
		shard_add(&t->traffic->counts.http_unanswered, 1);
	r.duration_us = info->ended_us - info->begun_us;
	r.end = request_end(t, info->end);
	trace_request(t->trace, &r);
}

static const struct exchange_ops exchange_ops = { .on_answer = on_answer, .on_done = on_done };

/* --- connections ------------------------------------------------------------------ */

static const char *proto(const struct tap *t)
{
	return t->kind == EXCHANGE_H2 ? "h2" : "tcp";
}

static void on_old(struct trace_young *y)
{
	struct tap *t = list_entry(y, struct tap, young);
	char peer[ADDR_TEXT_MAX];
	struct line_connection c = {
		.traffic = t->traffic,
		.peer = line_peer(&t->peer, peer),
		.proto = proto(t),
		.is_open = true,
		.mark = LINE_GOOD,
	};

	trace_connection(t->trace, &c);
}

/* The watch ends, and what is idle for hours holds nothing for it. */
static void stop(struct tap *t)
{
	exchange_free(t->exchange);
	t->exchange = NULL;
	t->is_over = true;
}

/* Whether there is anybody to be shown bytes. */
static bool watches(struct tap *t)
{
	if (!t || t->is_over)
		return false;
	if (!t->exchange)
		t->exchange = exchange_new(&exchange_ops, t);
	if (!t->exchange)
		t->is_over = true; /* Without memory for it the rest passes unseen. */
	return !t->is_over;
}

/* HTTP/1 has lines of its own; all else is told of when it is old. */
static void notice(struct tap *t)
{
	t->kind = exchange_kind(t->exchange);
	if (t->kind == EXCHANGE_HTTP1)
		list_remove(&t->young.node);
	if (exchange_is_over(t->exchange))
		stop(t);
}

struct tap *tap_new(struct trace *trace, struct traffic *traffic, const struct flow_addr *visitor)
{
	struct tap *t = trace->is_on ? calloc(1, sizeof *t) : NULL;

	if (!t)
		return NULL;
	t->trace = trace;
	t->traffic = traffic;
	t->peer = *visitor;
	t->begun_us = worker_now(trace->worker);
	t->young.on_old = on_old;
	list_init(&t->young.node);
	trace_watch(trace, &t->young, t->begun_us);
	return t;
}

void tap_received(struct tap *t, const void *data, size_t len)
{
	if (!watches(t))
		return;
	exchange_request(t->exchange, data, len, worker_now(t->trace->worker));
	notice(t);
}

void tap_sent(struct tap *t, const void *data, size_t len)
{
	if (!watches(t))
		return;
	exchange_response(t->exchange, data, len, worker_now(t->trace->worker));
	notice(t);
}

void tap_received_end(struct tap *t)
{
	if (t && !t->closer)
		t->closer = "closed by visitor";
}

void tap_sent_end(struct tap *t)
{
	if (!t)
		return;
	if (!t->closer)
		t->closer = "closed by service";
	if (t->exchange)
		exchange_response_end(t->exchange, worker_now(t->trace->worker));
}

void tap_ours(struct tap *t, enum code code)
{
	if (t)
		t->ours = end_text(code);
}

void tap_close(struct tap *t, enum code code, uint64_t received, uint64_t sent)
{
	struct line_connection c;
	char peer[ADDR_TEXT_MAX];
	uint64_t now;

	if (!t)
		return;
	now = worker_now(t->trace->worker);
	t->end = code == CODE_OK && t->closer ? t->closer : end_text(code);
	if (t->exchange)
		exchange_close(t->exchange, now);
	/* HTTP has had its lines; a connection that said nothing gets one. */
	if (!t->was_http || t->kind != EXCHANGE_HTTP1) {
		c = (struct line_connection){
			.traffic = t->traffic,
			.peer = line_peer(&t->peer, peer),
			.proto = proto(t),
			.end = end_text(code),
			.mark = end_mark(code),
			.duration_us = now - t->begun_us,
			.received = received,
			.sent = sent,
		};
		trace_connection(t->trace, &c);
	}
	list_remove(&t->young.node);
	stop(t);
	free(t);
}
