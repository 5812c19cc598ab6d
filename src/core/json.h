#ifndef CORE_JSON_H
#define CORE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"

/*
 * Writes JSON (RFC 8259) as it goes, without building it first. Commas are its
 * own affair. A key is NULL inside an array and at the top. Text may be any
 * bytes: control characters are escaped, what is not UTF-8 becomes U+FFFD.
 * Errors are the buffer's. No name is one of jansson's, which reads JSON and
 * lives in the same executable.
 *
 *	struct json j = json_of(&buf);
 *	json_begin_object(&j, NULL);
 *	json_uint(&j, "port", 10000);
 *	json_end(&j);
 */
enum { JSON_DEPTH = 16 };

struct json {
	struct buf *out;
	unsigned depth;
	char closers[JSON_DEPTH];
	bool has_items[JSON_DEPTH + 1];
};

struct json json_of(struct buf *out);

void json_begin_object(struct json *j, const char *key);
void json_begin_array(struct json *j, const char *key);
/* Closes the innermost object or array. */
void json_end(struct json *j);

void json_text(struct json *j, const char *key, const char *text);
void json_bytes(struct json *j, const char *key, const void *bytes, size_t len);
void json_uint(struct json *j, const char *key, uint64_t value);
void json_number(struct json *j, const char *key, double value); /* NaN and infinity: null */
void json_bool(struct json *j, const char *key, bool value);
void json_nil(struct json *j, const char *key);

#endif
