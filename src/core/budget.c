#include "core/budget.h"

void budget_take(struct budget *b, size_t n)
{
	b->used += n;
	tide_at(&b->tide, b->used);
	if (!b->most)
		return;
	if (b->used >= b->most)
		b->is_full = true;
	if (b->is_high || b->used < b->most / 4 * 3)
		return;
	b->is_high = true;
	if (b->on_high)
		b->on_high(b);
}

void budget_give(struct budget *b, size_t n)
{
	b->used -= n;
	tide_at(&b->tide, b->used);
	if (b->is_high && b->used < b->most / 4 * 3)
		b->is_high = false;
	if (!b->is_full || b->used >= b->most / 8 * 7)
		return;
	b->is_full = false;
	if (b->on_room)
		b->on_room(b);
}
