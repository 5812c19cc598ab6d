#ifndef CMD_STATS_SHOW_H
#define CMD_STATS_SHOW_H

#include "cmd/stats_read.h"
#include "cmd/stats_screen.h"

/* Draws what /api/stats says, for people: who it is, the summary, a line a
 * tunnel. `since` is the sample before, for rates a second; NULL: none are
 * shown yet but their places are kept if `has_rates`. */
void stats_show(struct stats_screen *screen, const struct stats *now, const struct stats *since,
	bool has_rates);

/* Whether two samples are of one process, in this order: then their
 * differences mean something. */
bool stats_show_is_later(const struct stats *now, const struct stats *since);

#endif
