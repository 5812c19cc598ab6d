#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cursor.h"

/*
 * Watches one relayed connection and tells which HTTP/1.0 and 1.1 exchanges
 * (RFC 9110, RFC 9112) pass on it. It is shown every byte of both directions
 * in order, after the fact: it never delays, changes or keeps payload. What it
 * cannot parse it stops watching; what it said before stays true.
 *
 *	visitor --exchange_request()--> service
 *	visitor <--exchange_response()-- service
 *
 * A request counts as soon as its request line is whole: from then on it has
 * one on_done, whatever happens. Responses belong to requests in their order;
 * one that comes before its request is whole is taken (a 413, a 431).
 *
 * Memory: the struct, an incomplete line (at most HTTP_LINE_MAX) a direction
 * and the requests that wait for their response, together never over
 * EXCHANGE_MEMORY_MAX (more requests waiting: given up); nothing but the struct
 * while no exchange is under way. No clock: times are microseconds of any
 * monotonic clock, given in. What a head may be is http/http.h's to say.
 */
enum {
	EXCHANGE_METHOD_MAX = 24,	/* kept of a method; a longer token is cut */
	EXCHANGE_TARGET_MAX = 1024,	/* kept of a target; the rest is cut */
	EXCHANGE_MEMORY_MAX = 32 * 1024,
};

/* What the connection carries, as far as it is known. */
enum exchange_kind {
	EXCHANGE_UNKNOWN,	/* no byte yet, or the first line is not whole */
	EXCHANGE_HTTP1,
	EXCHANGE_H2,		/* HTTP/2 with prior knowledge (RFC 9113, 3.4): counted only */
	EXCHANGE_OTHER,		/* another protocol from the first byte, or given up */
};

/* How an exchange ended. */
enum exchange_end {
	EXCHANGE_COMPLETE,	/* the response is whole, its body too; the request's may not be */
	EXCHANGE_SWITCHED,	/* 101, or 2xx to CONNECT; the connection then ended */
	EXCHANGE_CUT,		/* the connection ended before */
	EXCHANGE_UNWATCHED,	/* the watch was given up in the middle of it */
};

/* One request and its response. Spans are raw bytes of a peer and live only
 * during the call; what was cut is told. */
struct exchange_info {
	struct span method, target;
	bool target_cut;
	unsigned version;		/* of the request: 10 or 11 */
	unsigned status;		/* of the final response, 101 included; 0: none came */
	uint64_t begun_us;		/* the first byte of the request */
	uint64_t answered_us;		/* the last byte of the final response's head; 0: none */
	uint64_t ended_us;		/* in on_done only */
	uint64_t received, sent;	/* bytes of the request and of the response(s), heads
					 * and framing included, as far as they passed; after
					 * a switch all that pass */
	enum exchange_end end;		/* in on_done only */
};

/* Called from inside the functions below, never NULL; they may ask, but not
 * feed, close or free. on_answer once a request when its final response's head
 * is whole (101 is final, other 1xx are not); on_done once a request in the
 * order of requests, after its on_answer if there was one. */
struct exchange_ops {
	void (*on_answer)(void *owner, const struct exchange_info *info);
	void (*on_done)(void *owner, const struct exchange_info *info);
};

struct exchange;

/* NULL when memory is out. ops and owner are borrowed. */
struct exchange *exchange_new(const struct exchange_ops *ops, void *owner);

/* Calls nothing. NULL is legal. */
void exchange_free(struct exchange *x);

/*
 * Bytes that passed from the visitor to the service, and back. The watch is
 * given up, and all that is under way is done as unwatched, when
 *  - a direction is not HTTP/1, or faulty (http/http.h);
 *  - a response begins and no request waits, so also when the service speaks
 *    first;
 *  - a CONNECT was refused after bytes had followed it: nobody knows whether
 *    they belong to the tunnel or are the next request;
 *  - too many requests wait, or memory is out.
 */
void exchange_request(struct exchange *x, const void *data, size_t len, uint64_t now_us);
void exchange_response(struct exchange *x, const void *data, size_t len, uint64_t now_us);

/* The service closed its direction in good order: that ends a body without a
 * length. */
void exchange_response_end(struct exchange *x, uint64_t now_us);

/* The connection is over: what is under way is done, as cut; once switched the
 * first as switched and what was pipelined behind it as unwatched. The watch
 * ends. Idempotent. */
void exchange_close(struct exchange *x, uint64_t now_us);

enum exchange_kind exchange_kind(const struct exchange *x);

/* True when more bytes would tell nothing: another protocol, HTTP/2, switched,
 * given up, closed. The functions above are then cheap and legal; they still
 * count the bytes of what was switched. */
bool exchange_is_idle(const struct exchange *x);

/* The same without a switch: nothing is counted any more, and x may be freed. */
bool exchange_is_over(const struct exchange *x);

/* Bytes allocated now, the struct included. */
size_t exchange_memory(const struct exchange *x);

#endif
