#ifndef CORE_BUF_H
#define CORE_BUF_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Text that grows while it is written, up to a bound. When memory or the bound
 * is out it turns failed and stays so: what was there is kept, nothing more is
 * added, and the caller checks once, at the end. A struct that is zero but for
 * `max` is an empty one.
 */
struct buf {
	char *data;		/* not terminated */
	size_t len, cap;
	size_t max;
	bool failed;
};

void buf_add(struct buf *b, const void *data, size_t len);
void buf_text(struct buf *b, const char *text);
void buf_format(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Frees the memory; the buffer is empty and usable again. */
void buf_fini(struct buf *b);

#endif
