#ifndef HTTP_WAITING_H
#define HTTP_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/exchange.h"
#include "http/http.h"

/* The requests of one connection whose response is not whole, in their order.
 * A zeroed list is an empty one. */
struct waiting {
	struct waiting *next;
	uint64_t begun_us, answered_us;
	uint64_t received, sent;
	uint64_t interim;	/* of sent: whole 1xx responses */
	unsigned version, status;
	bool is_head, is_connect, target_cut;
	size_t method_len, target_len;
	uint8_t text[];		/* method, then target */
};

struct waiting_list {
	struct waiting *first, *last;
	size_t size;		/* bytes allocated */
};

/* Adds the request that is at HTTP_START. NULL when the list would grow beyond
 * max bytes or memory is out. */
struct waiting *waiting_add(struct waiting_list *l, const struct http *request, uint64_t begun_us,
	size_t max);

/* Takes off the first, which the caller frees; NULL when there is none. */
struct waiting *waiting_take(struct waiting_list *l);

void waiting_fini(struct waiting_list *l);

/* What is told of it, but for the end. */
struct exchange_info waiting_info(const struct waiting *w);

#endif
