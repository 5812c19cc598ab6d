#include "client/uplink.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/secret.h"
#include "client/banner.h"
#include "core/log.h"
#include "core/text.h"
#include "mux/binding.h"

enum {
	LOGIN_US = 10 * 1000 * 1000,
	BIND_MS = 10 * 1000,
	HEARTBEAT_US = 10 * 1000 * 1000,
	DEAD_US = 25 * 1000 * 1000,
	STUCK_US = 30 * 1000 * 1000,
	SYNC_US = COMEBACK_PATIENCE_MS * 1000,
	BIND_ID = 1,
};

/* --- up ----------------------------------------------------------------------------- */

static const char *encryption(const struct client *c)
{
	if (c->config->plaintext)
		return "disabled (--plaintext)";
	return c->checks_certificate ? "enabled ✓ (certificate verified)" :
		"enabled ✓ (both ends proved by the token)";
}

/* Rounded up: nobody is away for 0 s. */
static uint64_t seconds_since(const struct client *c, uint64_t us)
{
	return (worker_now(&c->worker) - us + 999999) / 1000000;
}

static void show(struct client *c, const struct bind_ok *ok, bool changed)
{
	const struct client_config *config = c->config;
	char server[ADDR_HOST_MAX + 16];
	struct banner b = {
		.version = config->program_version,
		.server = addr_join(config->server_host, config->server_port, server, sizeof server),
		.encryption = encryption(c),
		.reconnects = config->reconnect,
		.lanes = config->lanes,
		.is_http = config->is_http,
		.host = c->host,
		.port = ok->port,
		.only_on_server = ok->scope == BIND_SCOPE_LOOPBACK,
		.local = c->local.text,
		.quiet = config->quiet,
	};
	char away[32];

	if (c->was_up)
		log_info(NULL, "Connected successfully, away %s, %s address",
			text_elapsed(seconds_since(c, c->lost_us) * 1000, away, sizeof away),
			changed ? "new" : "same");
	else if (c->has_failed)
		log_info(NULL, "Connected successfully");
	if (changed)
		banner_print(&b, !c->was_up);
}

static void on_bind_ok(struct link *l, const struct bind_ok *ok)
{
	struct client *c = l->owner;
	char host[ADDR_HOST_MAX + 1];
	bool changed;

	if (ok->id != BIND_ID || c->state != CLIENT_JOINING)
		return;
	if (ok->scope == BIND_SCOPE_LOOPBACK)
		strcpy(host, "127.0.0.1");
	else if (ok->host.len)
		text_escape(ok->host.at, ok->host.len, host, sizeof host);
	else
		strcpy(host, c->config->server_host);
	changed = !c->was_up || ok->port != c->port || strcmp(host, c->host) != 0;
	log_debug(NULL, "granted %s:%u", host, ok->port);
	strcpy(c->host, host);
	c->port = ok->port;
	timer_stop(c->timer);
	c->state = CLIENT_UP;
	c->pages.state = "ready";
	c->pages.host = c->host;
	c->pages.traffic->port = ok->port;
	c->pages.was_ready = true;
	c->pages.link = c->link;
	shard_set(&c->worker.metrics.sessions_open, 1);
	if (c->was_up)
		shard_add(&c->worker.metrics.reconnects, 1);
	show(c, ok, changed);
	retry_success(&c->retry, worker_now(&c->worker));
	c->was_up = true;
	c->has_failed = false;
	keep_offer(&c->keep);
	lanes_begin(c);
}

static void ask(struct client *c, uint16_t port)
{
	struct bind_request request = {
		.id = BIND_ID,
		.kind = c->config->is_http ? BIND_HTTP : BIND_TCP,
		.port = port,
		.label = span_of(c->local.text),
	};

	c->asked = port;
	log_debug(NULL, "asking for port %u%s", port, port ? "" : " (any)");
	binding_ask(&c->link->session, &request);
}

/* The server has this very port no longer; another one may do. */
static bool is_port_gone(const struct bind_err *err)
{
	return err->code == CODE_PORT_TAKEN || err->code == CODE_PORT_RANGE ||
		err->code == CODE_FORBIDDEN;
}

static void on_bind_err(struct link *l, const struct bind_err *err)
{
	struct client *c = l->owner;
	bool ours = c->asked && c->asked != c->config->remote_port;

	if (err->id != BIND_ID || (c->state != CLIENT_JOINING && c->state != CLIENT_UP))
		return;
	if (c->state == CLIENT_JOINING && ours && is_port_gone(err)) {
		log_warn(NULL, "port %u, which this tunnel had, is %s; taking another", c->asked,
			err->code == CODE_PORT_TAKEN ? "in use" :
			err->code == CODE_PORT_RANGE ? "outside the server's range" : "refused");
		ask(c, 0);
		return;
	}
	failure_of_bind(&c->failure, c->config, err, c->asked);
	if (err->code == CODE_REPLACED)
		c->failure.cause = RETRY_REFUSED; /* Final: two of us would take turns for ever. */
	c->lost_us = worker_now(&c->worker);
	c->state = CLIENT_ENDING;
	session_finish(&l->session);
}

static void on_login(struct link *l)
{
	struct client *c = l->owner;
	char text[64];

	shard_add(&c->worker.metrics.logins, 1);
	log_debug(NULL, "login accepted (%s)", conn_describe(&l->conn, text, sizeof text));
	if (c->state != CLIENT_JOINING)
		return;
	timer_start(c->timer, BIND_MS);
	ask(c, c->config->remote_port ? c->config->remote_port : c->port);
}

/* --- streams ---------------------------------------------------------------------------- */

static void on_drained(struct link *l)
{
	uplink_drained(l->owner);
}

/* A server that drains closes by itself; a client that stops does it here. */
void uplink_drained(struct client *c)
{
	if (c->state == CLIENT_STOPPING && c->link && link_is_drained(c->link) &&
		lanes_are_drained(c))
		session_finish(&c->link->session);
}

static enum code on_open(struct link *l, struct stream *st, const struct flow_open *open)
{
	return uplink_open(l->owner, l, st, open);
}

enum code uplink_open(struct client *c, struct link *l, struct stream *st,
	const struct flow_open *open)
{
	if (open->bind_id != BIND_ID)
		return CODE_FORBIDDEN;
	return local_open(&c->local, l, st, &open->peer);
}

/* --- the link --------------------------------------------------------------------------- */

static void end_up(struct client *c)
{
	if (c->pages.link)
		shard_set(&c->worker.metrics.sessions_open, 0);
	shard_set(&c->worker.metrics.sessions_held, 0);
	c->pages.link = NULL;
	comeback_end(c);
	lanes_end(c);
}

static void explain(struct client *c, const struct link *l, const struct session_end *end)
{
	char what[600] = "", hint[300] = "";
	struct failure_facts facts = {
		.end = end,
		.was_known = l->is_known,
		.heard = l->conn.received > 0,
		.plain = c->config->plaintext,
		.certificate_what = what,
		.certificate_hint = hint,
	};

	facts.bad_certificate = link_explain(l, what, sizeof what, hint, sizeof hint);
	failure_of_end(&c->failure, c->config, &facts);
}

static void on_end(struct link *l, const struct session_end *end)
{
	struct client *c = l->owner;
	bool is_serving = c->state == CLIENT_UP || c->state == CLIENT_RESUMING;

	log_debug(NULL, "session over; last round trip %" PRIu64 " us", l->session.rtt_us);
	if (l != c->link)
		return; /* Another one took its place. */
	end_up(c);
	if (is_serving)
		c->lost_us = c->state == CLIENT_UP ? worker_now(&c->worker) : l->session.lost_us;
	if (is_serving && end->code != CODE_SHUTTING_DOWN)
		shard_add(&c->worker.metrics.sessions_lost, 1);
	if (end->code == CODE_AUTH_FAILED)
		shard_add(&c->worker.metrics.logins_refused, 1);
	if (c->state != CLIENT_JOINING && !is_serving)
		return;
	explain(c, l, end);
	c->state = CLIENT_ENDING;
}

static void on_closed(struct link *l)
{
	struct client *c = l->owner;

	free(l);
	if (l != c->link)
		return;
	c->link = NULL;
	if (lanes_are_gone(c))
		uplink_gone(c);
}

void uplink_gone(struct client *c)
{
	if (c->state == CLIENT_STOPPING)
		client_finish(c, 0);
	else if (c->state == CLIENT_ENDING)
		client_failed(c);
}

/* --- without a connection ------------------------------------------------------------- */

static void on_detach(struct link *l, const char *why)
{
	struct client *c = l->owner;

	if (c->state == CLIENT_UP || c->state == CLIENT_RESUMING) {
		c->state = CLIENT_RESUMING;
		c->pages.state = "resuming";
		shard_set(&c->worker.metrics.sessions_held, 1);
		if (!c->comeback.is_moving && !lanes_take_uplink(c))
			comeback_begin(c, why);
	}
}

static void on_resumed(struct link *l)
{
	struct client *c = l->owner;

	c->state = CLIENT_UP;
	c->pages.state = "ready";
	shard_set(&c->worker.metrics.sessions_held, 0);
	shard_add(&c->worker.metrics.resumes, 1);
	comeback_done(c);
	lanes_begin(c);
	session_measure(&l->session);
}

static void on_resume_refused(struct link *l, enum code code)
{
	struct client *c = l->owner;

	shard_add(&c->worker.metrics.resumes_refused, 1);
	comeback_refused(c, code);
}

void uplink_refused(struct client *c, const struct session_end *end)
{
	if (c->state != CLIENT_RESUMING)
		return;
	explain(c, c->link, end);
	c->state = CLIENT_ENDING;
	shard_add(&c->worker.metrics.logins_refused, 1);
	link_abort(c->link, end->text);
}

static void on_shutdown(struct link *l, uint32_t drain_ms)
{
	(void)l;
	(void)drain_ms;
	log_info(NULL, "The server is shutting down; open streams may finish");
}

static const struct link_ops link_ops = {
	.on_login = on_login,
	.on_bind_ok = on_bind_ok,
	.on_bind_err = on_bind_err,
	.on_open = on_open,
	.on_shutdown = on_shutdown,
	.on_drained = on_drained,
	.on_detach = on_detach,
	.on_resumed = on_resumed,
	.on_resume_refused = on_resume_refused,
	.on_end = on_end,
	.on_closed = on_closed,
};

static const char *token(const struct client *c)
{
	return c->config->token ? c->config->token : SECRET_DEV;
}

/* How a connection to the server is logged in on. */
static void configure(struct client *c, struct link_config *out)
{
	const struct client_config *config = c->config;
	/* Who does not want to reconnect does not want to come back either. */
	uint64_t hold_ms = config->reconnect ? config->hold_ms : 0;

	*out = (struct link_config){
		.session = {
			.role = SESSION_CLIENT,
			.capabilities = (hold_ms ? LOGIN_CAN_RESUME : 0) |
				(config->lanes > 1 && hold_ms ? LOGIN_CAN_LANES : 0),
			.hold_ms = (uint32_t)hold_ms,
			.sync_us = SYNC_US,
			.max_frame = FRAME_DATA_DEFAULT,
			.stream_credit = SESSION_STREAM_CREDIT,
			.login_us = LOGIN_US,
			.heartbeat_us = HEARTBEAT_US,
			.dead_us = DEAD_US,
			.stuck_us = STUCK_US,
			.name = config->name,
			.instance = c->instance.bytes,
			.key_id = secret_key_id(token(c)),
			.version = config->program_version,
		},
		.mode = config->plaintext ? CONN_PLAIN : CONN_TLS_CLIENT,
		.context = c->tls,
		.host = config->server_host,
		.secret = (const uint8_t *)token(c),
		.secret_len = strlen(token(c)),
	};
}

struct link *uplink_log_in(struct client *c, int fd, const struct link_ops *ops, void *owner)
{
	struct link *l = malloc(sizeof *l);
	struct link_config config;

	if (!l) {
		close(fd);
		return NULL;
	}
	configure(c, &config);
	if (link_open(l, &c->worker, fd, &config, ops, owner) == 0)
		return l;
	free(l);
	return NULL;
}

void uplink_no_bind_ok(struct link *l, const struct bind_ok *ok)
{
	(void)ok;
	session_fail(&l->session, CODE_PROTOCOL, "BIND_OK without a BIND");
}

void uplink_no_bind_err(struct link *l, const struct bind_err *err)
{
	(void)err;
	session_fail(&l->session, CODE_PROTOCOL, "BIND_ERR without a BIND");
}

/* The session is over there, or is about to be: that will be heard of. */
void uplink_no_shutdown(struct link *l, uint32_t drain_ms)
{
	(void)drain_ms;
	session_abandon(&l->session, "the server is shutting down");
}

void uplink_join(struct client *c, int fd)
{
	log_debug(NULL, "connected; logging in as %s with key %s", c->config->name,
		secret_key_id(token(c)));
	c->state = CLIENT_JOINING;
	c->link = uplink_log_in(c, fd, &link_ops, c);
	if (!c->link)
		client_finish(c, log_fatal(c->config->command, 1, NULL, "out of memory"));
}

void uplink_succeed(struct client *c, struct link *fresh)
{
	struct link *old = c->link;

	end_up(c);
	shard_add(&c->worker.metrics.sessions_lost, 1);
	c->lost_us = old->session.lost_us;
	log_warn(NULL, "Session lost: the server does not have it any more; its streams are reset");
	c->link = fresh;
	fresh->ops = &link_ops;
	fresh->owner = c;
	c->state = CLIENT_JOINING;
	c->pages.state = "reconnecting";
	link_abort(old, "the server does not have the session any more");
	on_login(fresh);
}
