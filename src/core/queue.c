#include "core/queue.h"

#include <stdlib.h>
#include <string.h>

enum { QUEUE_FIRST = 4096 };

static int reserve(struct queue *q, size_t n)
{
	size_t len = queue_len(q);
	size_t cap = q->cap ? q->cap : QUEUE_FIRST;
	uint8_t *p;

	if (n <= q->cap - q->end)
		return 0;
	if (n > SIZE_MAX / 4 - len)
		return -1;
	if (len)
		memmove(q->data, q->data + q->at, len);
	q->at = 0;
	q->end = len;
	if (n <= q->cap - len)
		return 0;
	while (cap - len < n)
		cap *= 2;
	p = realloc(q->data, cap);
	if (!p)
		return -1;
	q->data = p;
	q->cap = cap;
	return 0;
}

int queue_append(struct queue *q, const void *data, size_t n)
{
	if (n == 0)
		return 0;
	if (reserve(q, n) < 0)
		return -1;
	memcpy(q->data + q->end, data, n);
	q->end += n;
	return 0;
}

void queue_drop(struct queue *q, size_t n)
{
	q->at += n;
	if (q->at == q->end)
		queue_fini(q);
}

void queue_fini(struct queue *q)
{
	free(q->data);
	*q = (struct queue){ 0 };
}
