/*
 * Both directions of a connection get whatever bytes, in the portions of the
 * input and in smaller ones: the same is told, and what is told keeps what
 * exchange.h promises. The first byte says how portions are cut; then each is
 *
 *	0 visitor, 1 service, 2 the service closes: u8 | length u16 | bytes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/exchange.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct story {
	struct exchange *x;
	char text[1 << 16];
	size_t len, idle;
	unsigned answered;		/* status of the answer that was not done yet */
	uint64_t now, received, sent;	/* all that passed and was not told as done */
};

static void demand(bool kept, const char *promise)
{
	if (kept)
		return;
	fprintf(stderr, "broken: %s\n", promise);
	abort();
}

static void tell(struct story *s, int what, const struct exchange_info *i)
{
	int n;

	demand(i->method.len && i->method.len <= EXCHANGE_METHOD_MAX, "method");
	demand(i->target.len && i->target.len <= EXCHANGE_TARGET_MAX, "target");
	demand(i->version == 10 || i->version == 11, "version");
	demand(i->begun_us && i->begun_us <= s->now, "begun");
	demand((i->status != 0) == (i->answered_us != 0), "status and time of the answer");
	demand(!i->answered_us || i->answered_us <= s->now, "answered");
	demand(i->received <= s->received && i->sent <= s->sent, "bytes");
	if (s->len + i->method.len + i->target.len + 300 > sizeof s->text)
		return;
	n = snprintf(s->text + s->len, sizeof s->text - s->len,
		"%c %.*s %.*s %d %u %u at %ju %ju %ju bytes %ju %ju\n", what, (int)i->method.len,
		(const char *)i->method.at, (int)i->target.len, (const char *)i->target.at,
		i->target_cut, i->version, i->status, (uintmax_t)i->begun_us,
		(uintmax_t)i->answered_us, (uintmax_t)i->ended_us, (uintmax_t)i->received,
		(uintmax_t)i->sent);
	s->len += (size_t)n;
}

static void on_answer(void *owner, const struct exchange_info *i)
{
	struct story *s = owner;

	demand(!s->answered, "one answer before it is done");
	demand(i->status == 101 || i->status >= 200, "a final status");
	s->answered = i->status;
	tell(s, 'a', i);
}

static void on_done(void *owner, const struct exchange_info *i)
{
	struct story *s = owner;

	demand(i->status == s->answered, "done in the order of answers");
	demand(i->ended_us == s->now, "ended");
	demand(i->end != EXCHANGE_COMPLETE || i->status >= 200, "complete with a response");
	demand(i->end != EXCHANGE_SWITCHED || i->status == 101 || i->status / 100 == 2,
		"switched by a switch");
	demand(i->end != EXCHANGE_UNWATCHED || exchange_is_idle(s->x), "unwatched");
	s->answered = 0;
	tell(s, "csxu"[i->end], i);
	s->received -= i->received;
	s->sent -= i->sent;
}

static const struct exchange_ops ops = { on_answer, on_done };

static void pass(struct story *s, unsigned from, const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	demand(copy, "memory");
	memcpy(copy, data, len);
	if (from == 0) {
		s->received += len;
		exchange_request(s->x, copy, len, s->now);
	} else if (from == 1) {
		s->sent += len;
		exchange_response(s->x, copy, len, s->now);
	} else {
		exchange_response_end(s->x, s->now);
	}
	free(copy);
	demand(exchange_memory(s->x) <= EXCHANGE_MEMORY_MAX, "memory");
}

static void run(const uint8_t *data, size_t size, unsigned seed, struct story *s)
{
	unsigned draw = seed;

	*s = (struct story){ .x = exchange_new(&ops, s) };
	demand(s->x, "memory");
	s->idle = exchange_memory(s->x);
	while (size >= 3) {
		unsigned from = data[0] % 3;
		size_t len = (size_t)data[1] << 8 | data[2], n;

		data += 3;
		size -= 3;
		len = len < size ? len : size;
		s->now++;
		if (from == 2)
			len = 0;
		for (size_t at = 0; at < len || (!at && !len); at += n) {
			draw = draw * 1103515245 + 12345;
			n = seed ? 1 + (draw >> 16) % (seed % 64 + 1) : len;
			n = len - at < n ? len - at : n;
			pass(s, from, data + at, n);
			if (!len)
				break;
		}
		data += len;
		size -= len;
	}
	s->now++;
	exchange_close(s->x, s->now);
	demand(exchange_memory(s->x) == s->idle, "memory given back");
	demand(exchange_is_idle(s->x) && !s->answered, "all is done");
	exchange_free(s->x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct story whole, cut;

	if (size < 1)
		return 0;
	run(data + 1, size - 1, 0, &whole);
	run(data + 1, size - 1, 1 + data[0], &cut);
	if (whole.len != cut.len || memcmp(whole.text, cut.text, cut.len) != 0) {
		fprintf(stderr, "whole\n%.*scut\n%.*s", (int)whole.len, whole.text, (int)cut.len,
			cut.text);
		abort();
	}
	return 0;
}
