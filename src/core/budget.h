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
 *
 * Several threads share one limit by a budget each, all tied to the same total.
 * What one takes may make it high for the others, what one gives may be the room
 * that another waits for: on_cross says so, on the thread that did it, and then
 * each calls budget_look() on its own.
 */
struct budget_total {
	size_t used;		/* atomic: sum of the budgets' `used` */
	unsigned sharers;	/* atomic: who is to have a fair part, counted by the owner */
	void (*on_cross)(struct budget_total *t);
	void *owner;
};

struct budget {
	size_t used;
	size_t most;		/* 0: no limit; the same in all that share a total */
	bool is_high, is_full;
	void (*on_high)(struct budget *b);
	void (*on_room)(struct budget *b);
	struct tide tide;	/* of what is used */
	void *owner;
	struct budget_total *total; /* NULL: it is alone */
};

void budget_take(struct budget *b, size_t n);
void budget_give(struct budget *b, size_t n);

/* What all that share the limit use. */
size_t budget_used(const struct budget *b);

/* What others did may have made it high, or room. */
void budget_look(struct budget *b);

#endif
