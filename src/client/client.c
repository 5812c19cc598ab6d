#include "client/client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "auth/proof.h"
#include "auth/secret.h"
#include "client/banner.h"
#include "client/client_pages.h"
#include "client/failure.h"
#include "client/instance.h"
#include "client/keep.h"
#include "client/local.h"
#include "client/retry.h"
#include "core/addr.h"
#include "core/log.h"
#include "core/text.h"
#include "mux/binding.h"
#include "net/signals.h"
#include "net/term.h"
#include "net/timer.h"
#include "net/tls.h"
#include "net/worker.h"
#include "tunnel/link.h"

enum {
	DIAL_MS = 10 * 1000,
	LOGIN_US = 10 * 1000 * 1000,
	BIND_MS = 10 * 1000,
	HEARTBEAT_US = 10 * 1000 * 1000,
	DEAD_US = 25 * 1000 * 1000,
	STUCK_US = 30 * 1000 * 1000,
	BIND_ID = 1,
	CTRL_C_DRAIN_MS = 2000,
	CLOSING_TURNS = 16,
};

enum state {
	DIALLING,	/* towards the server */
	JOINING,	/* connected: TLS, login, bind */
	UP,		/* visitors can come */
	ENDING,		/* the link is going; what next depends on the failure */
	WAITING,	/* for the next attempt */
	STOPPING,	/* after a signal: streams are drained */
	DONE,		/* everything is closing */
};

struct client {
	const struct client_config *config;
	struct worker worker;
	uv_loop_t loop;
	enum state state;
	int exit;
	struct tls_context *tls;
	bool checks_certificate;
	struct instance instance;
	struct local local;
	struct retry retry;
	struct signals signals;
	struct keep keep;
	struct client_pages pages;
	struct timer *timer;		/* the next attempt, or the end of the drain */
	struct dial *dial;
	struct link *link;
	struct failure failure;		/* why the last attempt or session ended */
	bool has_failed;
	uint16_t port;			/* the public port we have or had */
	uint16_t asked;			/* of the BIND under way */
	char host[ADDR_HOST_MAX + 1];	/* for visitors, as last shown */
	bool was_up;
	uint64_t lost_us;
};

static void attempt(struct client *c);

/* --- the end --------------------------------------------------------------------- */

static void close_all(struct client *c)
{
	c->state = DONE;
	dial_cancel(c->dial);
	c->dial = NULL;
	timer_free(c->timer);
	c->timer = NULL;
	keep_close(&c->keep);
	client_pages_close(&c->pages);
	local_close(&c->local);
	signals_close(&c->signals);
	worker_close(&c->worker);
}

static void finish(struct client *c, int exit)
{
	c->exit = exit;
	close_all(c);
}

static const char *attempts_text(const struct client *c, unsigned n, char out[32])
{
	if (c->config->retries)
		snprintf(out, 32, "%u/%u", n, c->config->retries);
	else
		snprintf(out, 32, "%u", n);
	return out;
}

static void give_up(struct client *c, bool was_up)
{
	const struct client_config *config = c->config;
	const struct failure *f = &c->failure;
	char server[ADDR_HOST_MAX + 16];

	if (config->reconnect)
		finish(c, log_fatal(config->command, 5, NULL,
			"gave up after %u attempt%s; --retries 0 tries without end",
			config->retries, config->retries == 1 ? "" : "s"));
	else if (was_up)
		finish(c, log_fatal(config->command, f->exit, f->hint, "%s: session lost: %s",
			addr_join(config->server_host, config->server_port, server, sizeof server),
			f->what));
	else
		finish(c, log_fatal(config->command, f->exit, f->hint, "%s", f->what));
}

static void log_attempt(const struct client *c, uint64_t wait_ms, bool first)
{
	const struct failure *f = &c->failure;
	char n[32], wait[32] = "";

	if (f->cause == RETRY_TOLD) {
		log_warn(NULL, "%s", f->what);
		return;
	}
	if (wait_ms)
		text_elapsed((wait_ms + 999) / 1000 * 1000, wait, sizeof wait);
	log_warn(NULL, "Connection attempt %s failed: %s%s%s", attempts_text(c, c->retry.failed, n),
		f->what, wait_ms ? "; next in " : "", wait);
	if (first && f->hint[0])
		log_warn(NULL, "%s", f->hint);
}

/* An attempt failed or the session was lost, as c->failure says. */
static void failed(struct client *c)
{
	const struct failure *f = &c->failure;
	bool was_up = c->retry.connected_us != 0;
	uint64_t now = worker_now(&c->worker), wait_ms = 0;
	uint32_t random;

	proof_random(&random, sizeof random);
	switch (retry_failure(&c->retry, f->cause, now, random, &wait_ms)) {
	case RETRY_FINAL:
		finish(c, log_fatal(c->config->command, f->exit, f->hint, "%s", f->what));
		return;
	case RETRY_GIVE_UP:
		if (was_up)
			log_warn(NULL, "Session lost: %s", f->what);
		else if (c->config->reconnect)
			log_attempt(c, 0, !c->has_failed);
		give_up(c, was_up);
		return;
	case RETRY_AGAIN:
		break;
	}
	if (f->retry_ms > wait_ms)
		wait_ms = f->retry_ms;
	if (was_up) {
		c->lost_us = now;
		log_warn(NULL, "Session lost: %s", f->what);
		log_warn(NULL, "Connection lost, attempting to reconnect...");
	} else if (f->cause == RETRY_NO_NETWORK && c->retry.succeeded) {
		if (!c->has_failed)
			log_warn(NULL, "no network, waiting");
	} else {
		log_attempt(c, wait_ms, !c->has_failed);
	}
	c->has_failed = !was_up;
	c->pages.state = c->was_up ? "reconnecting" : "connecting";
	c->state = WAITING;
	timer_start(c->timer, wait_ms);
}

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

	if (ok->id != BIND_ID || c->state != JOINING)
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
	c->state = UP;
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

	if (err->id != BIND_ID || (c->state != JOINING && c->state != UP))
		return;
	if (c->state == JOINING && ours && is_port_gone(err)) {
		log_warn(NULL, "port %u, which this tunnel had, is %s; taking another", c->asked,
			err->code == CODE_PORT_TAKEN ? "in use" :
			err->code == CODE_PORT_RANGE ? "outside the server's range" : "refused");
		ask(c, 0);
		return;
	}
	failure_of_bind(&c->failure, c->config, err, c->asked);
	if (err->code == CODE_REPLACED)
		c->failure.cause = RETRY_REFUSED; /* Final: two of us would take turns for ever. */
	c->state = ENDING;
	session_finish(&l->session);
}

static void on_login(struct link *l)
{
	struct client *c = l->owner;
	char text[64];

	shard_add(&c->worker.metrics.logins, 1);
	log_debug(NULL, "login accepted (%s)", conn_describe(&l->conn, text, sizeof text));
	if (c->state != JOINING)
		return;
	timer_start(c->timer, BIND_MS);
	ask(c, c->config->remote_port ? c->config->remote_port : c->port);
}

/* --- streams ---------------------------------------------------------------------------- */

/* A server that drains closes by itself; a client that stops does it here. */
static void on_drained(struct link *l)
{
	struct client *c = l->owner;

	if (c->state == STOPPING)
		session_finish(&l->session);
}

static enum code on_open(struct link *l, struct stream *st, const struct flow_open *open)
{
	struct client *c = l->owner;

	if (open->bind_id != BIND_ID)
		return CODE_FORBIDDEN;
	return local_open(&c->local, l, st, &open->peer);
}

/* --- the link --------------------------------------------------------------------------- */

static void on_end(struct link *l, const struct session_end *end)
{
	struct client *c = l->owner;
	char what[600] = "", hint[300] = "";
	struct failure_facts facts = {
		.end = end,
		.was_known = l->is_known,
		.heard = l->conn.received > 0,
		.plain = c->config->plaintext,
		.certificate_what = what,
		.certificate_hint = hint,
	};

	log_debug(NULL, "session over; last round trip %" PRIu64 " us", l->session.rtt_us);
	if (c->pages.link)
		shard_set(&c->worker.metrics.sessions_open, 0);
	c->pages.link = NULL;
	if (c->state == UP)
		shard_add(&c->worker.metrics.sessions_lost, 1);
	if (end->code == CODE_AUTH_FAILED)
		shard_add(&c->worker.metrics.logins_refused, 1);
	if (c->state != JOINING && c->state != UP)
		return;
	facts.bad_certificate = link_explain(l, what, sizeof what, hint, sizeof hint);
	failure_of_end(&c->failure, c->config, &facts);
	c->state = ENDING;
}

static void on_closed(struct link *l)
{
	struct client *c = l->owner;

	free(l);
	c->link = NULL;
	if (c->state == STOPPING)
		finish(c, 0);
	else
		failed(c);
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
	.on_end = on_end,
	.on_closed = on_closed,
};

static const char *token(const struct client *c)
{
	return c->config->token ? c->config->token : SECRET_DEV;
}

static void join(struct client *c, int fd)
{
	const struct client_config *config = c->config;
	struct link_config link = {
		.session = {
			.role = SESSION_CLIENT,
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

	log_debug(NULL, "connected; logging in as %s with key %s", config->name, link.session.key_id);
	c->state = JOINING;
	c->link = malloc(sizeof *c->link);
	if (c->link && link_open(c->link, &c->worker, fd, &link, &link_ops, c) == 0)
		return;
	if (!c->link)
		close(fd);
	free(c->link);
	c->link = NULL;
	finish(c, log_fatal(c->config->command, 1, NULL, "out of memory"));
}

static void on_dialled(void *owner, const struct dial_result *r)
{
	struct client *c = owner;

	c->dial = NULL;
	if (r->fd >= 0) {
		join(c, r->fd);
		return;
	}
	failure_of_dial(&c->failure, c->config, r, DIAL_MS);
	failed(c);
}

static void attempt(struct client *c)
{
	struct dial_target target = {
		.host = c->config->server_host,
		.port = c->config->server_port,
		.timeout_ms = DIAL_MS,
	};
	char n[32];

	c->state = DIALLING;
	if (c->retry.succeeded && c->failure.cause != RETRY_NO_NETWORK)
		log_info(NULL, "Connection attempt %s...", attempts_text(c, c->retry.failed + 1, n));
	c->dial = dial_start(&c->worker, &target, on_dialled, c);
	if (!c->dial)
		finish(c, log_fatal(c->config->command, 1, NULL, "out of memory"));
}

/* --- signals ------------------------------------------------------------------------------ */

static uint64_t drain_ms(const struct client *c, int signum)
{
	bool ctrl_c = signum == SIGINT && term_is(STDIN_FILENO) && !c->config->drain_given;

	return ctrl_c ? CTRL_C_DRAIN_MS : c->config->drain_ms;
}

static void drain(struct client *c, uint64_t ms)
{
	unsigned open = session_streams(&c->link->session);
	char text[32];

	if (open)
		log_info(NULL, "Shutting down: %u stream%s open, waiting up to %s (Ctrl-C again to stop now)",
			open, open == 1 ? "" : "s", text_period(ms, text, sizeof text));
	else
		log_info(NULL, "Shutting down");
	c->state = STOPPING;
	c->pages.state = "draining";
	timer_start(c->timer, ms);
	session_shutdown(&c->link->session, (uint32_t)ms);
	link_wake(c->link);
}

static void stop(struct client *c, int signum)
{
	if (c->state == UP) {
		drain(c, drain_ms(c, signum));
		return;
	}
	log_info(NULL, "Shutting down");
	if (c->link) {
		c->state = STOPPING;
		link_abort(c->link, "interrupted");
	} else {
		finish(c, 0);
	}
}

static void on_signal(struct signals *s, enum signals_event event, int signum)
{
	struct client *c = s->data;

	if (event == SIGNALS_RELOAD)
		log_reopen();
	if (event == SIGNALS_REPORT && c->state != DONE)
		client_pages_summary(&c->pages);
	if (event != SIGNALS_STOP || c->state == DONE)
		return;
	if (c->state == STOPPING)
		_exit(128 + signum); /* Sockets with SO_LINGER{1,0} end in RST. */
	stop(c, signum);
}

static void on_timer(struct timer *t)
{
	struct client *c = t->data;

	if (c->state == WAITING)
		attempt(c);
	else if (c->state == STOPPING && c->link)
		link_abort(c->link, "the time to drain is over");
	else if (c->state == JOINING && c->link)
		link_abort(c->link, "no answer to the request for a port in 10s");
}

/* --- start ---------------------------------------------------------------------------------- */

/* --tls alone means certs/ca-cert.pem if it is there, else the system's. */
static const char *choose_ca(const struct client_config *config)
{
	static const char beside[] = "certs/ca-cert.pem";

	if (!config->tls)
		return NULL;
	if (config->tls_ca)
		return config->tls_ca;
	return access(beside, F_OK) == 0 ? beside : "system";
}

static int prepare(struct client *c)
{
	const struct client_config *config = c->config;
	struct retry_config retry = { config->reconnect, config->retries };
	const char *ca = choose_ca(config);
	char err[600];

	c->checks_certificate = ca != NULL;
	if (!config->plaintext && tls_context_client(&c->tls, ca, err, sizeof err) < 0)
		return log_fatal(config->command, 3, "copy the server's ca-cert.pem; public certificate: "
			"--tls-ca system; no certificates: leave out --tls", "%s", err);
	c->timer = timer_new(&c->loop, on_timer, c);
	if (!c->timer)
		return log_fatal(config->command, 1, NULL, "out of memory");
	retry_init(&c->retry, &retry);
	return 0;
}

/*
 * Runs until all is closed. A resolver that does not answer cannot be
 * interrupted, and the process would wait for it in exit(), too: then it ends
 * here.
 */
static void run_loop(struct client *c)
{
	while (c->state != DONE && uv_run(&c->loop, UV_RUN_ONCE))
		;
	for (int i = 0; i < CLOSING_TURNS && uv_run(&c->loop, UV_RUN_NOWAIT); i++)
		;
	if (!uv_loop_alive(&c->loop))
		return;
	log_flush();
	fflush(NULL);
	_exit(c->exit);
}

int client_run(const struct client_config *config)
{
	struct client *c = calloc(1, sizeof *c);
	int exit, err;

	if (!c)
		return log_fatal(config->command, 1, NULL, "out of memory");
	c->config = config;
	uv_loop_init(&c->loop);
	err = worker_init(&c->worker, &c->loop);
	if (err) {
		free(c);
		return log_fatal(config->command, 1, NULL, "cannot start: %s", strerror(-err));
	}
	instance_open(&c->instance, config->state_dir, config->name);
	keep_init(&c->keep, &c->worker, config);
	local_init(&c->local, &c->worker, config->local_host, config->local_port);
	c->signals.data = c;
	signals_open(&c->signals, &c->loop, on_signal);
	c->exit = client_pages_open(&c->pages, &c->worker, config, c->local.text);
	c->local.pages = &c->pages;
	if (!c->exit)
		c->exit = prepare(c);
	if (c->exit) {
		close_all(c);
	} else {
		local_probe(&c->local);
		attempt(c);
	}
	run_loop(c);
	log_flush();
	tls_context_free(c->tls);
	worker_fini(&c->worker);
	instance_close(&c->instance);
	uv_loop_close(&c->loop);
	exit = c->exit;
	free(c);
	return exit;
}
