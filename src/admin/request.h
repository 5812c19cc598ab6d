#ifndef ADMIN_REQUEST_H
#define ADMIN_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The head of a request (RFC 9112), read strictly: lines end in CR LF, no field
 * is folded, none that matters stands twice. Pure: bytes go in, a head comes
 * out. The texts point into the bytes, are not terminated, and hold visible
 * ASCII alone; NULL is what was not there.
 */
enum { REQUEST_FIELDS_MAX = 100 };

enum request_method { REQUEST_GET, REQUEST_HEAD, REQUEST_OTHER };

struct request_text {
	const char *at;
	size_t len;
};

struct request {
	/* Where the next look begins: zero before the first. */
	size_t line, begin;
	bool has_line;

	enum request_method method;
	struct request_text path;	/* begins with '/', without the query; NULL for other methods */
	struct request_text host;	/* of the target, else of the field */
	struct request_text origin;
	bool has_field_host;
	bool is_old;			/* HTTP/1.0 */
	bool keep_alive;
	bool has_length;
	size_t len;			/* of the head, when it is whole */
};

enum request_result {
	REQUEST_MORE,	/* not whole yet */
	REQUEST_WHOLE,	/* filled, and no body follows */
	REQUEST_BAD,	/* answer the status and close: where the next begins is not known */
};

/* Looks at all bytes that are there; call it again with more of them, from the
 * same beginning. Zero *r before the first call, and set *status only for
 * REQUEST_BAD: 400, 413 for a body, 505 for another version. */
enum request_result request_parse(struct request *r, const char *data, size_t len,
	unsigned *status);

/* Whether a text is the same as a word, letter for letter. */
bool request_is(const struct request_text *t, const char *word);

#endif
