#include "http/exchange.h"

#include <stdlib.h>

#include "http/http.h"
#include "http/waiting.h"

/* RFC 9113, 3.4. */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum { PREFACE = sizeof preface - 1 };

enum watch {
	OPENING,	/* all bytes so far are the beginning of the preface, or there are none */
	WATCHING,	/* both directions are parsed */
	SWITCHED,	/* the first request's answer turned the connection into another protocol */
	OVER,		/* nothing is looked at any more */
};

struct exchange {
	const struct exchange_ops *ops;
	void *owner;
	enum exchange_kind kind;
	enum watch watch;
	size_t preface;			/* bytes of it that came, while OPENING */
	size_t spoken;			/* bytes of the service's own, while OPENING */
	uint64_t begun_us;		/* the first byte of the request whose line comes in */
	struct http request, response;
	struct waiting_list waiting;
	struct waiting *incoming;	/* the one whose bytes come in, unless it is done already */
	struct waiting *held;		/* a whole CONNECT: what follows it waits for its answer */
	bool passed;			/* bytes followed it */
};

enum {
	WAITING_MAX = EXCHANGE_MEMORY_MAX - (int)sizeof(struct exchange) - 2 * HTTP_LINE_MAX,
};

static bool is_watched(const struct exchange *x)
{
	return x->watch == OPENING || x->watch == WATCHING;
}

/* The parsers hold nothing that could still be wanted. */
static void stop(struct exchange *x, enum exchange_kind kind, enum watch watch)
{
	x->kind = kind;
	x->watch = watch;
	http_fini(&x->request);
	http_fini(&x->response);
}

/* --- telling ------------------------------------------------------------------- */

static void finish_first(struct exchange *x, enum exchange_end end, uint64_t now_us)
{
	struct waiting *w = waiting_take(&x->waiting);
	struct exchange_info info = waiting_info(w);

	if (x->incoming == w)
		x->incoming = NULL;
	if (x->held == w)
		x->held = NULL;
	info.ended_us = now_us;
	info.end = end;
	x->ops->on_done(x->owner, &info);
	free(w);
}

static void finish_all(struct exchange *x, enum exchange_end end, uint64_t now_us)
{
	while (x->waiting.first)
		finish_first(x, end, now_us);
}

static void give_up(struct exchange *x, uint64_t now_us)
{
	stop(x, EXCHANGE_OTHER, OVER);
	finish_all(x, EXCHANGE_UNWATCHED, now_us);
}

/* --- requests ------------------------------------------------------------------ */

static void on_request_line(struct exchange *x, uint64_t now_us)
{
	x->incoming = waiting_add(&x->waiting, &x->request, x->begun_us, WAITING_MAX);
	if (x->incoming)
		x->kind = EXCHANGE_HTTP1;
	else
		give_up(x, now_us);
}

static void on_request_event(struct exchange *x, enum http_event event, uint64_t now_us)
{
	switch (event) {
	case HTTP_MORE:
		break;
	case HTTP_START:
		on_request_line(x, now_us);
		break;
	case HTTP_HEAD:
		/* It has no content (RFC 9110, 9.3.6). */
		if (x->incoming && x->incoming->is_connect)
			http_skip_body(&x->request);
		break;
	case HTTP_END:
		if (x->incoming && x->incoming->is_connect)
			x->held = x->incoming;
		x->incoming = NULL;
		break;
	case HTTP_BAD:
		give_up(x, now_us);
		break;
	}
}

/* Bytes behind a CONNECT that is not answered, passed over. */
static void hold(struct exchange *x, struct reader *in)
{
	x->held->received += in->left;
	x->passed = x->passed || in->left > 0;
	reader_bytes(in, in->left);
}

static void read_requests(struct exchange *x, struct reader *in, uint64_t now_us)
{
	enum http_event event;

	do {
		bool was_idle = http_is_idle(&x->request);

		if (x->held) {
			hold(x, in);
			return;
		}
		event = http_next(&x->request, in);
		if (was_idle && !http_is_idle(&x->request))
			x->begun_us = now_us;
		if (x->incoming && event != HTTP_START)
			x->incoming->received = x->request.size;
		on_request_event(x, event, now_us);
	} while (event != HTTP_MORE && x->watch == WATCHING);
}

/* While all that came is the beginning of the preface it may yet be a request:
 * PRI is a method like any other. It is read when that is sure. */
static void read_opening(struct exchange *x, struct reader *in, uint64_t now_us)
{
	struct reader before;
	uint64_t begun_us = x->preface ? x->begun_us : now_us;
	size_t n = 0;

	while (n < in->left && x->preface + n < PREFACE &&
		in->at[n] == (uint8_t)preface[x->preface + n])
		n++;
	x->begun_us = begun_us;
	if (x->preface + n == PREFACE) {
		stop(x, EXCHANGE_H2, OVER);
	} else if (n == in->left) {
		x->preface += n;
	} else if (x->spoken) {
		give_up(x, now_us);
	} else {
		x->watch = WATCHING;
		before = reader_of(preface, x->preface);
		if (x->preface)
			read_requests(x, &before, begun_us);
		if (x->watch == WATCHING)
			read_requests(x, in, now_us);
	}
}

void exchange_request(struct exchange *x, const void *data, size_t len, uint64_t now_us)
{
	struct reader in = reader_of(data, len);

	if (!len)
		return;
	switch (x->watch) {
	case OPENING:
		read_opening(x, &in, now_us);
		break;
	case WATCHING:
		read_requests(x, &in, now_us);
		break;
	case SWITCHED:
		x->waiting.first->received += len;
		break;
	case OVER:
		break;
	}
}

/* --- responses ----------------------------------------------------------------- */

static bool is_interim(unsigned status)
{
	return status < 200 && status != 101;
}

static void on_answer(struct exchange *x, struct waiting *w, uint64_t now_us)
{
	unsigned status = x->response.head.status;
	struct exchange_info info;

	if (is_interim(status))
		return;
	w->status = status;
	w->answered_us = now_us;
	if (status == 101 || (w->is_connect && status / 100 == 2))
		stop(x, EXCHANGE_HTTP1, SWITCHED);
	else if (w->is_head)
		http_skip_body(&x->response);
	info = waiting_info(w);
	x->ops->on_answer(x->owner, &info);
}

static void on_response_end(struct exchange *x, struct waiting *w, uint64_t now_us)
{
	bool lost = x->held == w && x->passed;

	if (is_interim(x->response.head.status)) {
		w->interim = w->sent;
		return;
	}
	finish_first(x, EXCHANGE_COMPLETE, now_us);
	if (lost)
		give_up(x, now_us);
}

static void on_response_event(struct exchange *x, struct waiting *w, enum http_event event,
	uint64_t now_us)
{
	switch (event) {
	case HTTP_MORE:
	case HTTP_START:
		break;
	case HTTP_HEAD:
		on_answer(x, w, now_us);
		break;
	case HTTP_END:
		on_response_end(x, w, now_us);
		break;
	case HTTP_BAD:
		give_up(x, now_us);
		break;
	}
}

static void read_responses(struct exchange *x, struct reader *in, uint64_t now_us)
{
	enum http_event event;

	do {
		struct waiting *w = x->waiting.first;

		event = http_next(&x->response, in);
		if (event == HTTP_MORE && http_is_idle(&x->response))
			return;
		if (!w) {
			give_up(x, now_us);
			return;
		}
		w->sent = w->interim + x->response.size;
		on_response_event(x, w, event, now_us);
	} while (event != HTTP_MORE && x->watch == WATCHING);
	if (x->watch == SWITCHED)
		x->waiting.first->sent += in->left;
}

/* A service that speaks first is none of HTTP/1; one of HTTP/2 may, and then its
 * preface is a SETTINGS frame (RFC 9113, 3.4): length u24, type 4, no flags, on
 * stream 0. False for all else. */
static bool hear_first(struct exchange *x, const uint8_t *data, size_t len)
{
	static const uint8_t head[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0 };
	enum { LENGTH_LOW = 2 };

	for (; len && x->spoken < sizeof head; data++, len--, x->spoken++)
		if (x->spoken != LENGTH_LOW && *data != head[x->spoken])
			return false;
	return true;
}

void exchange_response(struct exchange *x, const void *data, size_t len, uint64_t now_us)
{
	struct reader in = reader_of(data, len);

	if (!len)
		return;
	switch (x->watch) {
	case OPENING:
		if (!hear_first(x, data, len))
			give_up(x, now_us);
		break;
	case WATCHING:
		read_responses(x, &in, now_us);
		break;
	case SWITCHED:
		x->waiting.first->sent += len;
		break;
	case OVER:
		break;
	}
}

void exchange_response_end(struct exchange *x, uint64_t now_us)
{
	struct waiting *w = x->waiting.first;

	if (x->watch == WATCHING && w && http_finish(&x->response) == HTTP_END)
		on_response_end(x, w, now_us);
}

/* --- the watch ----------------------------------------------------------------- */

struct exchange *exchange_new(const struct exchange_ops *ops, void *owner)
{
	struct exchange *x = malloc(sizeof *x);

	if (!x)
		return NULL;
	*x = (struct exchange){ .ops = ops, .owner = owner };
	http_init(&x->request, HEAD_REQUEST);
	http_init(&x->response, HEAD_RESPONSE);
	return x;
}

void exchange_free(struct exchange *x)
{
	if (!x)
		return;
	waiting_fini(&x->waiting);
	http_fini(&x->request);
	http_fini(&x->response);
	free(x);
}

void exchange_close(struct exchange *x, uint64_t now_us)
{
	bool switched = x->watch == SWITCHED;

	stop(x, x->kind, OVER);
	if (switched)
		finish_first(x, EXCHANGE_SWITCHED, now_us);
	finish_all(x, switched ? EXCHANGE_UNWATCHED : EXCHANGE_CUT, now_us);
}

enum exchange_kind exchange_kind(const struct exchange *x)
{
	return x->kind;
}

bool exchange_is_idle(const struct exchange *x)
{
	return !is_watched(x);
}

bool exchange_is_over(const struct exchange *x)
{
	return x->watch == OVER;
}

size_t exchange_memory(const struct exchange *x)
{
	return sizeof *x + x->waiting.size + http_memory(&x->request) + http_memory(&x->response);
}
