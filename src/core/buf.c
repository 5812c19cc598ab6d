#include "core/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for len more bytes, or NULL. */
static char *room(struct buf *b, size_t len)
{
	size_t cap = b->cap ? b->cap : 256;
	char *p;

	if (b->failed || len > b->max - b->len) {
		b->failed = true;
		return NULL;
	}
	while (cap - b->len < len)
		cap *= 2;
	if (cap != b->cap) {
		p = realloc(b->data, cap);
		if (!p) {
			b->failed = true;
			return NULL;
		}
		b->data = p;
		b->cap = cap;
	}
	return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	char *p = len ? room(b, len) : NULL;

	if (!p)
		return;
	memcpy(p, data, len);
	b->len += len;
}

void buf_text(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void buf_format(struct buf *b, const char *format, ...)
{
	char small[256], *p = small;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(small, sizeof small, format, args);
	va_end(args);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if ((size_t)n < sizeof small) {
		buf_add(b, p, (size_t)n);
		return;
	}
	p = room(b, (size_t)n + 1); /* vsnprintf() ends it with a zero. */
	if (!p)
		return;
	va_start(args, format);
	vsnprintf(p, (size_t)n + 1, format, args);
	va_end(args);
	b->len += (size_t)n;
}

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .max = b->max };
}
