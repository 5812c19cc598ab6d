#include "core/json.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/text.h"

struct json json_of(struct buf *out)
{
	return (struct json){ .out = out };
}

static void quoted(struct json *j, const unsigned char *p, size_t len)
{
	size_t from = 0, i = 0;

	buf_add(j->out, "\"", 1);
	while (i < len) {
		size_t n = text_sequence(p + i, len - i);
		bool plain = n && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\' && p[i] != 0x7f;

		if (plain) {
			i += n;
			continue;
		}
		buf_add(j->out, p + from, i - from);
		if (!n)
			buf_text(j->out, "\\ufffd");
		else if (p[i] == '"' || p[i] == '\\')
			buf_format(j->out, "\\%c", p[i]);
		else
			buf_format(j->out, "\\u%04x", p[i]);
		from = ++i;
	}
	buf_add(j->out, p + from, len - from);
	buf_add(j->out, "\"", 1);
}

/* What stands before a value: a comma, and the key. */
static void begin(struct json *j, const char *key)
{
	if (j->has_items[j->depth])
		buf_add(j->out, ",", 1);
	j->has_items[j->depth] = true;
	if (!key)
		return;
	quoted(j, (const unsigned char *)key, strlen(key));
	buf_add(j->out, ":", 1);
}

static void enter(struct json *j, const char *key, const char *opener, char closer)
{
	assert(j->depth < JSON_DEPTH);
	begin(j, key);
	buf_text(j->out, opener);
	j->closers[j->depth++] = closer;
	j->has_items[j->depth] = false;
}

void json_begin_object(struct json *j, const char *key)
{
	enter(j, key, "{", '}');
}

void json_begin_array(struct json *j, const char *key)
{
	enter(j, key, "[", ']');
}

void json_end(struct json *j)
{
	assert(j->depth > 0);
	buf_add(j->out, &j->closers[--j->depth], 1);
}

void json_bytes(struct json *j, const char *key, const void *bytes, size_t len)
{
	begin(j, key);
	quoted(j, bytes, len);
}

void json_text(struct json *j, const char *key, const char *text)
{
	json_bytes(j, key, text, strlen(text));
}

void json_uint(struct json *j, const char *key, uint64_t value)
{
	begin(j, key);
	buf_format(j->out, "%llu", (unsigned long long)value);
}

void json_number(struct json *j, const char *key, double value)
{
	begin(j, key);
	if (isfinite(value))
		buf_format(j->out, "%.9g", value);
	else
		buf_text(j->out, "null");
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin(j, key);
	buf_text(j->out, value ? "true" : "false");
}

void json_nil(struct json *j, const char *key)
{
	begin(j, key);
	buf_text(j->out, "null");
}
