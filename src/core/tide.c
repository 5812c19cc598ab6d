#include "core/tide.h"

void tide_at(struct tide *t, size_t level)
{
	if (level > t->peak)
		t->peak = level;
	if (t->peak < TIDE_WORTH || level > t->peak / 2)
		return;
	t->peak = level;
	if (t->on_ebb)
		t->on_ebb(t);
}
