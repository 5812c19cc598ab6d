#ifndef CORE_CURSOR_H
#define CORE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Big-endian reading and writing inside fixed bounds. Both cursors turn bad
 * when they would leave their bounds and stay bad: a caller checks once, at
 * the end. A bad reader yields zeros, a bad writer writes nothing more.
 */
struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

struct writer {
	uint8_t *at;
	size_t left;
	bool bad;
};

/* Text or bytes that live inside somebody else's buffer, not terminated. */
struct span {
	const uint8_t *at;
	size_t len;
};

static inline struct reader reader_of(const void *data, size_t len)
{
	return (struct reader){ data, len, false };
}

/* The next n bytes in place, or NULL when fewer are left. */
static inline const uint8_t *reader_bytes(struct reader *r, size_t n)
{
	const uint8_t *at = r->at;

	if (r->bad || n > r->left) {
		r->bad = true;
		return NULL;
	}
	r->at += n;
	r->left -= n;
	return at;
}

static inline uint64_t reader_uint(struct reader *r, size_t width)
{
	const uint8_t *p = reader_bytes(r, width);
	uint64_t v = 0;

	for (size_t i = 0; p && i < width; i++)
		v = v << 8 | p[i];
	return v;
}

static inline uint8_t reader_u8(struct reader *r)
{
	return (uint8_t)reader_uint(r, 1);
}

static inline uint16_t reader_u16(struct reader *r)
{
	return (uint16_t)reader_uint(r, 2);
}

static inline uint32_t reader_u32(struct reader *r)
{
	return (uint32_t)reader_uint(r, 4);
}

static inline uint64_t reader_u64(struct reader *r)
{
	return reader_uint(r, 8);
}

/* Copies n bytes out; zeros when fewer are left. */
static inline void reader_copy(struct reader *r, void *out, size_t n)
{
	const uint8_t *p = reader_bytes(r, n);

	if (p)
		memcpy(out, p, n);
	else
		memset(out, 0, n);
}

/* A length of `width` bytes, then that many bytes, at most `max`. */
static inline struct span reader_span(struct reader *r, size_t width, size_t max)
{
	struct span s = { NULL, (size_t)reader_uint(r, width) };

	if (s.len > max)
		r->bad = true;
	s.at = reader_bytes(r, s.len);
	if (!s.at)
		s.len = 0;
	return s;
}

/* True when everything was read, nothing was short and nothing is left. */
static inline bool reader_done(const struct reader *r)
{
	return !r->bad && r->left == 0;
}

static inline struct writer writer_of(void *data, size_t cap)
{
	return (struct writer){ data, cap, false };
}

/* Room for n bytes to be filled by the caller, or NULL. */
static inline uint8_t *writer_room(struct writer *w, size_t n)
{
	uint8_t *at = w->at;

	if (w->bad || n > w->left) {
		w->bad = true;
		return NULL;
	}
	w->at += n;
	w->left -= n;
	return at;
}

static inline void writer_bytes(struct writer *w, const void *data, size_t n)
{
	uint8_t *p = writer_room(w, n);

	if (p && n)
		memcpy(p, data, n);
}

static inline void writer_uint(struct writer *w, uint64_t v, size_t width)
{
	uint8_t *p = writer_room(w, width);

	for (size_t i = width; p && i-- > 0; v >>= 8)
		p[i] = (uint8_t)v;
}

static inline void writer_u8(struct writer *w, uint8_t v)
{
	writer_uint(w, v, 1);
}

static inline void writer_u16(struct writer *w, uint16_t v)
{
	writer_uint(w, v, 2);
}

static inline void writer_u32(struct writer *w, uint32_t v)
{
	writer_uint(w, v, 4);
}

static inline void writer_u64(struct writer *w, uint64_t v)
{
	writer_uint(w, v, 8);
}

/* The counterpart of reader_span(): bad when len exceeds max. */
static inline void writer_span(struct writer *w, struct span s, size_t width, size_t max)
{
	if (s.len > max)
		w->bad = true;
	writer_uint(w, s.len, width);
	writer_bytes(w, s.at, s.len);
}

static inline struct span span_of(const char *text)
{
	return (struct span){ (const uint8_t *)text, strlen(text) };
}

/* Whether every byte is printable ASCII, 0x20 to 0x7e. */
static inline bool span_is_printable(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] < 0x20 || s.at[i] > 0x7e)
			return false;
	return true;
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

#endif
