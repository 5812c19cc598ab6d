#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cursor.h"

/*
 * The lines of an HTTP/1 head (RFC 9112, 3 to 6): the start line, matched byte
 * by byte as it comes, so that what is not HTTP is known at its first wrong
 * byte, and the fields, of which only the framing is kept. Pure.
 */
enum head_kind {
	HEAD_REQUEST,
	HEAD_RESPONSE,
};

/* What Transfer-Encoding said, all its lines together. */
enum head_coding {
	HEAD_CODING_NONE,
	HEAD_CODING_OTHER,	/* codings, but chunked is not the last */
	HEAD_CODING_CHUNKED,	/* chunked once, as the last */
};

struct head {
	enum head_kind kind;
	unsigned version;	/* 10 or 11 */
	unsigned status;	/* 100 to 999; 0 in a request */
	size_t method_len;	/* the line is METHOD SP TARGET SP VERSION */
	size_t target_len;
	uint64_t length;	/* of the body, when has_length */
	bool has_length;
	bool has_field;		/* a line that an obs-fold may continue came before */
	enum head_coding coding;
	uint8_t step;		/* private: how far the start line is matched */
	uint8_t matched;	/* private: within the step */
};

void head_init(struct head *h, enum head_kind kind);

/*
 * Matches the next bytes of the start line and returns how many fit: len, or
 * fewer when the line has ended (head_is_started()) or the byte there cannot
 * be part of it. The LF belongs to the line.
 */
size_t head_start(struct head *h, const uint8_t *bytes, size_t len);
bool head_is_started(const struct head *h);

/*
 * A field line without its line end, not empty. False when it is malformed:
 *
 *	no colon, an empty name, a name that is no token, white space before
 *	the colon (RFC 9112, 5.1); CR, NUL or another control character but
 *	HTAB in the value (RFC 9110, 5.5); Content-Length that is no number
 *	below 2^64 or, in a list or in several lines, differs (RFC 9112, 6.3);
 *	Transfer-Encoding with anything but tokens, or one after chunked
 *
 * A line that begins with white space continues the one before (obs-fold,
 * RFC 9112, 5.2); it is malformed when there is none, or that one is framing.
 */
bool head_field(struct head *h, struct span line);

/* The same in a trailer section, where the framing fields are malformed. */
bool head_trailer(struct head *h, struct span line);

#endif
