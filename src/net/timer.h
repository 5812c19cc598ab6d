#ifndef NET_TIMER_H
#define NET_TIMER_H

#include <stdint.h>
#include <uv.h>

/*
 * One-shot timers, and the clock that agrees with them.
 *
 * For tests the environment variable GOTUNNEL_TEST_TIME_SCALE (1 to 1000, read once)
 * makes this clock run so much faster than the wall's: a promise of 60 s is
 * kept, and seen, in 6 s. All durations that the program measures or waits for
 * are in this scaled time.
 */
struct timer {
	uv_timer_t uv;
	void (*on_fire)(struct timer *t);
	void *data;
};

/* NULL when memory is out. */
struct timer *timer_new(uv_loop_t *loop, void (*on_fire)(struct timer *t), void *data);

/* (Re)starts: on_fire once after ms milliseconds. */
void timer_start(struct timer *t, uint64_t ms);
/* NULL is legal. */
void timer_stop(struct timer *t);

/* No callback comes any more; the memory goes when libuv lets go of it. NULL
 * is legal. */
void timer_free(struct timer *t);

/* Monotonic microseconds since some start, never 0. */
uint64_t timer_now_us(const uv_loop_t *loop);

#endif
