#include "client/reach.h"

#include "client/client_state.h"
#include "client/uplink.h"
#include "core/log.h"

enum { DIAL_MS = 10 * 1000 };

static void on_login(struct link *l)
{
	struct lane *lane = l->owner;

	lane->is_in = true;
	lanes_wake(lane->client);
}

static void on_end(struct link *l, const struct session_end *end)
{
	struct lane *lane = l->owner;

	log_debug(NULL, "no connection for lane %u: %s", lane->number, lanes_words(end));
	if (lane->fresh != l)
		return;
	lane->fresh = NULL;
	lane->is_in = false;
	lanes_calm(lane, (uint64_t)end->retry_ms * 1000, lanes_words(end));
}

static const struct link_ops ops = {
	.on_login = on_login,
	.on_bind_ok = uplink_no_bind_ok,
	.on_bind_err = uplink_no_bind_err,
	.on_shutdown = uplink_no_shutdown,
	.on_end = on_end,
	.on_closed = lanes_on_closed,
};

static void on_dialled(void *owner, const struct dial_result *r)
{
	struct lane *lane = owner;
	struct client *c = lane->client;
	char text[128];

	lane->dial = NULL;
	if (r->fd < 0) {
		lanes_calm(lane, 0, dial_text(r, DIAL_MS, text, sizeof text));
		return;
	}
	lane->fresh = uplink_log_in(c, r->fd, &ops, lane);
	if (lane->fresh)
		c->lanes.links++;
	else
		lanes_calm(lane, 0, "out of memory");
}

void reach_begin(struct lane *lane)
{
	struct client *c = lane->client;
	struct dial_target target = {
		.host = c->config->server_host,
		.port = c->config->server_port,
		.timeout_ms = DIAL_MS,
	};

	lane->dial = dial_start(&c->worker, &target, on_dialled, lane);
	if (!lane->dial)
		lanes_calm(lane, 0, "out of memory");
}

void reach_end(struct lane *lane)
{
	struct link *fresh = lane->fresh;

	dial_cancel(lane->dial);
	lane->dial = NULL;
	lane->fresh = NULL;
	lane->is_in = false;
	if (fresh)
		link_abort(fresh, "no longer needed");
}
