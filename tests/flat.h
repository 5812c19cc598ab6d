/* What a session has to say as one row of bytes, for tests. */
#ifndef TESTS_FLAT_H
#define TESTS_FLAT_H

#include <stdlib.h>
#include <string.h>

#include "mux/session.h"

/* Composes up to cap bytes, at least SESSION_COMPOSE_MIN; returns how many. */
static inline size_t flat_compose(struct session *s, uint8_t *out, size_t cap, uint64_t now_us)
{
	static uint8_t storage[64 * 1024];
	struct batch b;
	size_t n = 0;

	batch_init(&b, storage, sizeof storage, cap);
	session_compose(s, &b, now_us);
	if (b.total > cap)
		abort();
	for (unsigned i = 0; i < b.count; i++) {
		memcpy(out + n, b.segments[i].data, b.segments[i].len);
		n += b.segments[i].len;
	}
	batch_drop(&b);
	return n;
}

#endif
