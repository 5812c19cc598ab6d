#ifndef CORE_BUDGET_H
#define CORE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

#include "core/tide.h"

/*
 * How many bytes a process may hold for its streams in all: what they have sent
 * and keep, and what waits for a destination. Counted as what is allocated.
 *
 *	0 ....... high (3/4) ....... most
 *	          on_high, once      full: who needs memory waits
 *	                   on_room <- below 7/8 again
 *
 * The calls are made from wherever memory is taken or given back: they may
 * only note that there is something to do. A zeroed budget has no limit.
 */
struct budget {
	size_t used;
	size_t most;		/* 0: no limit */
	bool is_high, is_full;
	void (*on_high)(struct budget *b);
	void (*on_room)(struct budget *b);
	struct tide tide;	/* of what is used */
	void *owner;
};

void budget_take(struct budget *b, size_t n);
void budget_give(struct budget *b, size_t n);

#endif
