#include "net/worker.h"

#include <errno.h>
#include <stdlib.h>

#include "net/sys.h"
#include "net/timer.h"

/*
 * Linux copies to and from a process by `rep movsb` where the processor says that
 * it is quick (FSRM). AMD's is, but for a destination 1 to 31 bytes behind its
 * source modulo 4 KiB, which takes 15 times as long (0.4-0.6 s/GB, not 0.025). What
 * the kernel has of a bulk begins at a page or a little behind, and malloc() gives
 * large buffers 16 bytes behind one: ours begin half a page behind instead.
 */
enum { PAGE = 4096, ASIDE = PAGE / 2 };

static uint8_t *make(size_t cap)
{
	void *page;

	return posix_memalign(&page, PAGE, ASIDE + cap) ? NULL : (uint8_t *)page + ASIDE;
}

static void destroy(uint8_t *buffer)
{
	if (buffer)
		free(buffer - ASIDE);
}

int worker_init(struct worker *w, uv_loop_t *loop)
{
	int err;

	*w = (struct worker){ .loop = loop };
	w->chunks.budget = &w->budget;
	w->raw = make(WORKER_SCRATCH);
	w->plain = make(WORKER_SCRATCH);
	err = w->raw && w->plain ? poller_init(&w->poller, loop) : -ENOMEM;
	if (err)
		worker_fini(w);
	return err;
}

void worker_close(struct worker *w)
{
	poller_close(&w->poller);
}

static void free_spares(struct worker *w)
{
	for (size_t i = 0; i < sizeof w->spare / sizeof w->spare[0]; i++) {
		destroy(w->spare[i]);
		w->spare[i] = NULL;
	}
	chunk_pool_trim(&w->chunks);
}

void worker_trim(struct worker *w)
{
	free_spares(w);
	sys_forget(w->raw, WORKER_SCRATCH);
	sys_forget(w->plain, WORKER_SCRATCH);
}

void worker_fini(struct worker *w)
{
	free_spares(w);
	metrics_fini(&w->metrics);
	destroy(w->raw);
	destroy(w->plain);
	w->raw = w->plain = NULL;
}

void worker_grew(struct worker *w, size_t n)
{
	w->objects += n;
	tide_at(&w->tide, w->objects);
}

void worker_shrank(struct worker *w, size_t n)
{
	w->objects -= n;
	tide_at(&w->tide, w->objects);
}

uint8_t *worker_take(struct worker *w)
{
	for (size_t i = 0; i < sizeof w->spare / sizeof w->spare[0]; i++) {
		uint8_t *p = w->spare[i];

		w->spare[i] = NULL;
		if (p)
			return p;
	}
	return make(WORKER_OUT);
}

void worker_give(struct worker *w, uint8_t *buffer)
{
	for (size_t i = 0; i < sizeof w->spare / sizeof w->spare[0]; i++) {
		if (w->spare[i])
			continue;
		w->spare[i] = buffer;
		return;
	}
	destroy(buffer);
}

uint64_t worker_now(const struct worker *w)
{
	return timer_now_us(w->loop);
}
