#ifndef CORE_QUEUE_H
#define CORE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Bytes in order. An empty queue holds no memory: a zeroed struct is one.
 * The caller bounds it; the queue only grows as far as it is filled.
 *
 *	data: [ taken | queued ......... | free ]
 *	              at               end     cap
 */
struct queue {
	uint8_t *data;
	size_t at, end, cap;
};

static inline size_t queue_len(const struct queue *q)
{
	return q->end - q->at;
}

static inline const uint8_t *queue_data(const struct queue *q)
{
	return q->data + q->at;
}

/* Adds n bytes. -1 when memory is out; the queue is then unchanged. */
int queue_append(struct queue *q, const void *data, size_t n);

/* Takes n bytes off the front, n <= queue_len(). Frees the memory at 0. */
void queue_drop(struct queue *q, size_t n);

void queue_fini(struct queue *q);

#endif
