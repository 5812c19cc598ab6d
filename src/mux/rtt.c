#include "mux/rtt.h"

void rtt_add(struct rtt *r, uint64_t sample_us, uint64_t now_us)
{
	uint64_t age_us = now_us - r->since_us;

	if (sample_us == 0)
		sample_us = 1; /* The clock was too coarse for it. */
	if (!r->newer_us || age_us >= RTT_SPAN_US) {
		/* What was measured long before a silence says nothing any more. */
		r->older_us = age_us < 2 * RTT_SPAN_US ? r->newer_us : 0;
		r->newer_us = sample_us;
		r->since_us = now_us;
	}
	if (sample_us < r->newer_us)
		r->newer_us = sample_us;
}

uint64_t rtt_smallest(const struct rtt *r)
{
	return r->older_us && r->older_us < r->newer_us ? r->older_us : r->newer_us;
}
