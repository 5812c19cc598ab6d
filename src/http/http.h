#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cursor.h"
#include "core/queue.h"
#include "http/head.h"

/*
 * The HTTP/1.0 and 1.1 messages of one direction (RFC 9112), from bytes that
 * come in any portions: what happens depends on the bytes alone, never on how
 * they were cut. Bodies are skipped, not looked at. Pure.
 *
 *	IDLE -> START -> FIELDS -> HEAD? -> body -> END -> IDLE ...
 *
 * A line that lies whole in the input is read in place; the beginning of one
 * is kept until the rest comes, and is all that is ever allocated.
 *
 * Where RFC 9112 leaves a choice, this reader
 *  - takes a lone LF as the end of a line of a head or a trailer section (2.2),
 *    but not of a chunk's size;
 *  - skips empty lines before a start line (2.2), in both directions;
 *  - wants single spaces in a start line (3), takes any method token, any
 *    visible or non-ASCII byte in a target and a status line without the space
 *    after the code (4);
 *  - knows HTTP/1.0 and HTTP/1.1, no other version;
 *  - refuses a message with both Transfer-Encoding and Content-Length (6.3),
 *    and a request whose last coding is not chunked;
 *  - takes Transfer-Encoding in a message of HTTP/1.0 at its word (6.1);
 *  - passes over chunk extensions, and over white space after the size (7.1.1).
 */
enum {
	HTTP_LINE_MAX = 8 * 1024,	/* with its line end */
	HTTP_HEAD_MAX = 16 * 1024,	/* start line, fields and empty line; a trailer section */
	HTTP_FIELDS_MAX = 100,		/* lines of either */
};

enum http_event {
	HTTP_MORE,	/* the input is used up */
	HTTP_START,	/* the start line is whole: http_method() and http_target() */
	HTTP_HEAD,	/* the head is whole: http_skip_body() is possible */
	HTTP_END,	/* the message is whole */
	HTTP_BAD,	/* not HTTP, faulty, over a limit, no memory; so for ever */
};

struct http {
	struct head head;	/* of the message under way */
	uint64_t size;		/* bytes of it so far, without empty lines before it */

	/* private */
	uint8_t phase;
	unsigned fields;
	size_t room;		/* left for lines of this section */
	uint64_t left;		/* of the body or the chunk */
	struct queue partial;	/* the beginning of a line */
	struct span line;	/* the start line, during HTTP_START */
};

void http_init(struct http *h, enum head_kind kind);
void http_fini(struct http *h);

/* Takes bytes off *in as far as the next event. To be called until it says
 * HTTP_MORE, also with nothing left to read. */
enum http_event http_next(struct http *h, struct reader *in);

/* No more bytes will come. HTTP_END when that ends a body without a length,
 * HTTP_MORE between messages, else HTTP_BAD. */
enum http_event http_finish(struct http *h);

/* At HTTP_HEAD: the message has no body whatever its fields say. For the
 * responses to HEAD and CONNECT and for a request of CONNECT; that 1xx, 204 and
 * 304 have none is known here. */
void http_skip_body(struct http *h);

/* At HTTP_START of a request, until the next call. */
struct span http_method(const struct http *h);
struct span http_target(const struct http *h);

/* Between two messages: no byte of the next one came. */
bool http_is_idle(const struct http *h);

/* Bytes allocated. */
size_t http_memory(const struct http *h);

#endif
