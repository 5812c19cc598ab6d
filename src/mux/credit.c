#include "mux/credit.h"

#include <assert.h>

void credit_send_init(struct credit_send *c, uint64_t limit)
{
	*c = (struct credit_send){ .limit = limit };
}

uint64_t credit_send_open(const struct credit_send *c)
{
	return c->limit > c->sent ? c->limit - c->sent : 0;
}

uint64_t credit_send_pending(const struct credit_send *c)
{
	return c->sent - c->consumed;
}

void credit_send_add(struct credit_send *c, uint64_t n)
{
	c->sent += n;
}

enum code credit_send_update(struct credit_send *c, uint64_t limit, uint64_t consumed, bool *opened)
{
	*opened = false;
	if (consumed > c->sent || limit < consumed)
		return CODE_FLOW_CONTROL;
	if (consumed > c->consumed)
		c->consumed = consumed;
	if (limit > c->limit) {
		c->limit = limit;
		*opened = true;
	}
	return CODE_OK;
}

void credit_recv_init(struct credit_recv *c, uint64_t limit, uint64_t window)
{
	*c = (struct credit_recv){ .limit = limit, .window = window };
}

uint64_t credit_recv_open(const struct credit_recv *c)
{
	return c->limit > c->received ? c->limit - c->received : 0;
}

void credit_recv_take(struct credit_recv *c, uint64_t n)
{
	c->received += n;
}

void credit_recv_consume(struct credit_recv *c, uint64_t n)
{
	assert(n <= credit_recv_pending(c));
	c->consumed += n;
}

uint64_t credit_recv_pending(const struct credit_recv *c)
{
	return c->received - c->consumed;
}

bool credit_recv_has_news(const struct credit_recv *c)
{
	return c->consumed > c->told || c->consumed + c->window > c->limit;
}

bool credit_recv_is_due(const struct credit_recv *c)
{
	if (c->consumed == 0)
		return c->window > c->limit;
	return c->consumed - c->told >= c->window / 4;
}

void credit_recv_tell(struct credit_recv *c)
{
	if (c->consumed + c->window > c->limit)
		c->limit = c->consumed + c->window;
	c->told = c->consumed;
}
