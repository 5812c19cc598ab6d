/*
 * The parser of one direction gets whatever bytes, whole and in portions: the
 * same happens. The first byte of the input says which direction and whether
 * bodies are skipped, the second how the rest is cut.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What happened, as text. */
struct story {
	char text[1 << 16];
	size_t len;
};

static void tell(struct story *s, const struct http *h, enum http_event event, uint64_t at)
{
	struct span method = { 0 }, target = { 0 };
	int n;

	if (event == HTTP_START && h->head.kind == HEAD_REQUEST) {
		method = http_method(h);
		target = http_target(h);
	}
	if (s->len + method.len + target.len + 200 > sizeof s->text)
		return;
	n = snprintf(s->text + s->len, sizeof s->text - s->len,
		"%d at %ju size %ju version %u status %u '%.*s' '%.*s'\n", event, (uintmax_t)at,
		(uintmax_t)h->size, h->head.version, h->head.status, (int)method.len,
		(const char *)method.at, (int)target.len, (const char *)target.at);
	s->len += (size_t)n;
}

static void read_all(struct http *h, struct story *s, const uint8_t *data, size_t len,
	uint64_t before, bool skip)
{
	/* A block of its own, so that a read beyond it is seen. */
	uint8_t *copy = malloc(len ? len : 1);
	struct reader in = reader_of(copy, len);
	enum http_event event;

	if (!copy)
		abort();
	memcpy(copy, data, len);
	while ((event = http_next(h, &in)) != HTTP_MORE && event != HTTP_BAD) {
		tell(s, h, event, before + len - in.left);
		if (event == HTTP_HEAD && skip)
			http_skip_body(h);
	}
	if (event == HTTP_MORE && in.left)
		abort();
	if (http_memory(h) > HTTP_LINE_MAX || (http_is_idle(h) && http_memory(h)))
		abort();
	free(copy);
}

/* In portions of a length that is drawn, or whole when seed is 0. */
static void run(const uint8_t *data, size_t size, enum head_kind kind, bool skip, unsigned seed,
	struct story *s)
{
	struct http h;
	unsigned draw = seed;

	s->len = 0;
	http_init(&h, kind);
	for (size_t at = 0, n; at < size; at += n) {
		draw = draw * 1103515245 + 12345;
		n = seed ? 1 + (draw >> 16) % (seed % 64 + 1) : size;
		n = size - at < n ? size - at : n;
		read_all(&h, s, data + at, n, at, skip);
	}
	tell(s, &h, http_finish(&h), 0);
	http_fini(&h);
	if (http_memory(&h))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct story whole, cut;
	enum head_kind kind;
	bool skip;

	if (size < 2)
		return 0;
	kind = data[0] & 1 ? HEAD_RESPONSE : HEAD_REQUEST;
	skip = data[0] & 2;
	run(data + 2, size - 2, kind, skip, 0, &whole);
	run(data + 2, size - 2, kind, skip, 1 + data[1], &cut);
	if (whole.len != cut.len || memcmp(whole.text, cut.text, cut.len) != 0) {
		fprintf(stderr, "whole\n%.*scut\n%.*s", (int)whole.len, whole.text, (int)cut.len,
			cut.text);
		abort();
	}
	return 0;
}
