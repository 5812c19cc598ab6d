#include "net/worker.h"

#include <errno.h>
#include <stdlib.h>

#include "net/timer.h"

int worker_init(struct worker *w, uv_loop_t *loop)
{
	int err;

	*w = (struct worker){ .loop = loop };
	w->chunks.budget = &w->budget;
	w->raw = malloc(WORKER_SCRATCH);
	w->plain = malloc(WORKER_SCRATCH);
	err = w->raw && w->plain ? poller_init(&w->poller, loop) : -ENOMEM;
	if (err)
		worker_fini(w);
	return err;
}

void worker_close(struct worker *w)
{
	poller_close(&w->poller);
}

void worker_trim(struct worker *w)
{
	for (size_t i = 0; i < sizeof w->spare / sizeof w->spare[0]; i++) {
		free(w->spare[i]);
		w->spare[i] = NULL;
	}
	chunk_pool_trim(&w->chunks);
}

void worker_fini(struct worker *w)
{
	worker_trim(w);
	metrics_fini(&w->metrics);
	free(w->raw);
	free(w->plain);
	w->raw = w->plain = NULL;
}

uint8_t *worker_take(struct worker *w)
{
	for (size_t i = 0; i < sizeof w->spare / sizeof w->spare[0]; i++) {
		uint8_t *p = w->spare[i];

		w->spare[i] = NULL;
		if (p)
			return p;
	}
	return malloc(WORKER_OUT);
}

void worker_give(struct worker *w, uint8_t *buffer)
{
	for (size_t i = 0; i < sizeof w->spare / sizeof w->spare[0]; i++) {
		if (w->spare[i])
			continue;
		w->spare[i] = buffer;
		return;
	}
	free(buffer);
}

uint64_t worker_now(const struct worker *w)
{
	return timer_now_us(w->loop);
}
