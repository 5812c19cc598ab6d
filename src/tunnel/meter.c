#include "tunnel/meter.h"

void meter_init(struct meter *m, bool of_visitor, uint64_t now_us)
{
	*m = (struct meter){ .of_visitor = of_visitor, .begun_us = now_us };
}

void meter_open(struct meter *m, struct trace *trace, struct traffic *traffic,
	const struct flow_addr *visitor)
{
	m->traffic = traffic_ref(traffic);
	shard_add(&traffic->counts.streams, 1);
	shard_add(&traffic->counts.streams_open, 1);
	m->tap = tap_new(trace, traffic, visitor);
}

void meter_connected(struct meter *m, uint64_t now_us)
{
	if (!m->traffic)
		return;
	shard_add(&m->traffic->counts.connections, 1);
	rate_add(&m->traffic->conns, now_us);
}

/* Whether bytes of this direction come from the visitor. */
static bool is_received(const struct meter *m, bool of_socket)
{
	return of_socket == m->of_visitor;
}

void meter_show(struct meter *m, bool of_socket, const void *data, size_t len)
{
	if (is_received(m, of_socket))
		tap_received(m->tap, data, len);
	else
		tap_sent(m->tap, data, len);
}

void meter_count(struct meter *m, bool of_socket, size_t len)
{
	if (of_socket)
		m->up += len;
	else
		m->down += len;
	if (!m->traffic)
		return;
	if (is_received(m, of_socket))
		shard_add(&m->traffic->counts.received_bytes, len);
	else
		shard_add(&m->traffic->counts.sent_bytes, len);
}

void meter_queue(struct meter *m, size_t len)
{
	if (m->traffic && len != m->queued)
		shard_add(&m->traffic->counts.buffered_bytes, (uint64_t)len - m->queued);
	m->queued = len;
}

void meter_end(struct meter *m, bool of_socket)
{
	if (is_received(m, of_socket))
		tap_received_end(m->tap);
	else
		tap_sent_end(m->tap);
}

void meter_close(struct meter *m, enum code code, uint64_t now_us)
{
	uint64_t received = m->of_visitor ? m->up : m->down;
	uint64_t sent = m->of_visitor ? m->down : m->up;

	tap_close(m->tap, code, received, sent);
	m->tap = NULL;
	if (!m->traffic)
		return;
	meter_queue(m, 0);
	traffic_ended(m->traffic, code, now_us - m->begun_us);
	traffic_unref(m->traffic);
	m->traffic = NULL;
}
