#include "core/budget.h"

static size_t high(const struct budget *b)
{
	return b->most / 4 * 3;
}

static size_t room(const struct budget *b)
{
	return b->most / 8 * 7;
}

size_t budget_used(const struct budget *b)
{
	return b->total ? __atomic_load_n(&b->total->used, __ATOMIC_RELAXED) : b->used;
}

static void rise(struct budget *b, size_t used)
{
	if (used >= b->most)
		b->is_full = true;
	if (b->is_high || used < high(b))
		return;
	b->is_high = true;
	if (b->on_high)
		b->on_high(b);
}

static void ease(struct budget *b, size_t used)
{
	if (b->is_high && used < high(b))
		b->is_high = false;
	if (!b->is_full || used >= room(b))
		return;
	b->is_full = false;
	if (b->on_room)
		b->on_room(b);
}

/* Of those that share a total only the one whose step led over a mark sees it:
 * each step is one addition, so there is exactly one. */
static void take_shared(struct budget *b, size_t n)
{
	struct budget_total *t = b->total;
	size_t used = __atomic_add_fetch(&t->used, n, __ATOMIC_RELAXED);

	if (!b->most)
		return;
	rise(b, used);
	if (used >= high(b) && used - n < high(b))
		t->on_cross(t);
}

static void give_shared(struct budget *b, size_t n)
{
	struct budget_total *t = b->total;
	size_t used = __atomic_sub_fetch(&t->used, n, __ATOMIC_RELAXED);

	ease(b, used);
	if (b->most && used < room(b) && used + n >= room(b))
		t->on_cross(t);
}

void budget_take(struct budget *b, size_t n)
{
	b->used += n;
	tide_at(&b->tide, b->used);
	if (b->total)
		take_shared(b, n);
	else if (b->most)
		rise(b, b->used);
}

void budget_give(struct budget *b, size_t n)
{
	b->used -= n;
	tide_at(&b->tide, b->used);
	if (b->total)
		give_shared(b, n);
	else
		ease(b, b->used);
}

void budget_look(struct budget *b)
{
	size_t used = budget_used(b);

	if (!b->most)
		return;
	ease(b, used);
	if (used >= high(b))
		rise(b, used);
}
