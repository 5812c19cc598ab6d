#include "http/waiting.h"

#include <stdlib.h>
#include <string.h>

static size_t cut(size_t len, size_t max)
{
	return len < max ? len : max;
}

static size_t size_of(const struct waiting *w)
{
	return sizeof *w + w->method_len + w->target_len;
}

struct waiting *waiting_add(struct waiting_list *l, const struct http *request, uint64_t begun_us,
	size_t max)
{
	struct span method = http_method(request), target = http_target(request);
	size_t method_len = cut(method.len, EXCHANGE_METHOD_MAX);
	size_t target_len = cut(target.len, EXCHANGE_TARGET_MAX);
	size_t size = sizeof(struct waiting) + method_len + target_len;
	struct waiting *w = size <= max - l->size ? malloc(size) : NULL;

	if (!w)
		return NULL;
	*w = (struct waiting){
		.begun_us = begun_us,
		.received = request->size,
		.version = request->head.version,
		.is_head = span_equal(method, span_of("HEAD")),
		.is_connect = span_equal(method, span_of("CONNECT")),
		.target_cut = target_len < target.len,
		.method_len = method_len,
		.target_len = target_len,
	};
	memcpy(w->text, method.at, method_len);
	memcpy(w->text + method_len, target.at, target_len);
	if (l->last)
		l->last->next = w;
	else
		l->first = w;
	l->last = w;
	l->size += size;
	return w;
}

struct waiting *waiting_take(struct waiting_list *l)
{
	struct waiting *w = l->first;

	if (!w)
		return NULL;
	l->first = w->next;
	if (!l->first)
		l->last = NULL;
	l->size -= size_of(w);
	return w;
}

void waiting_fini(struct waiting_list *l)
{
	struct waiting *w;

	while ((w = waiting_take(l)))
		free(w);
}

struct exchange_info waiting_info(const struct waiting *w)
{
	return (struct exchange_info){
		.method = { w->text, w->method_len },
		.target = { w->text + w->method_len, w->target_len },
		.target_cut = w->target_cut,
		.version = w->version,
		.status = w->status,
		.begun_us = w->begun_us,
		.answered_us = w->answered_us,
		.received = w->received,
		.sent = w->sent,
	};
}
