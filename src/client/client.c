#include "client/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "auth/proof.h"
#include "client/client_state.h"
#include "client/uplink.h"
#include "core/log.h"
#include "core/text.h"
#include "net/term.h"

/* Bytes held for streams. */
#define MOST_BUFFERED ((size_t)256 << 20)

enum {
	DIAL_MS = 10 * 1000,
	CTRL_C_DRAIN_MS = 2000,
	CLOSING_TURNS = 16,
};

static void attempt(struct client *c);

/* --- the end --------------------------------------------------------------------- */

static void close_all(struct client *c)
{
	c->state = CLIENT_DONE;
	comeback_end(c);
	lanes_end(c);
	dial_cancel(c->dial);
	c->dial = NULL;
	timer_free(c->timer);
	c->timer = NULL;
	keep_close(&c->keep);
	client_pages_close(&c->pages);
	local_close(&c->local);
	signals_close(&c->signals);
	pressure_close(&c->pressure);
	worker_close(&c->worker);
}

void client_finish(struct client *c, int exit)
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
		client_finish(c, log_fatal(config->command, 5, NULL,
			"gave up after %u attempt%s; --retries 0 tries without end",
			config->retries, config->retries == 1 ? "" : "s"));
	else if (was_up)
		client_finish(c, log_fatal(config->command, f->exit, f->hint, "%s: session lost: %s",
			addr_join(config->server_host, config->server_port, server, sizeof server),
			f->what));
	else
		client_finish(c, log_fatal(config->command, f->exit, f->hint, "%s", f->what));
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
void client_failed(struct client *c)
{
	const struct failure *f = &c->failure;
	bool was_up = c->retry.connected_us != 0;
	uint64_t now = worker_now(&c->worker), wait_ms = 0;
	uint32_t random;

	proof_random(&random, sizeof random);
	switch (retry_failure(&c->retry, f->cause, now, random, &wait_ms)) {
	case RETRY_FINAL:
		client_finish(c, log_fatal(c->config->command, f->exit, f->hint, "%s", f->what));
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
	c->state = CLIENT_WAITING;
	timer_start(c->timer, wait_ms);
}

/* --- attempts ------------------------------------------------------------------------ */

static void on_dialled(void *owner, const struct dial_result *r)
{
	struct client *c = owner;

	c->dial = NULL;
	if (r->fd >= 0) {
		uplink_join(c, r->fd);
		return;
	}
	failure_of_dial(&c->failure, c->config, r, DIAL_MS);
	client_failed(c);
}

static void attempt(struct client *c)
{
	struct dial_target target = {
		.host = c->config->server_host,
		.port = c->config->server_port,
		.timeout_ms = DIAL_MS,
	};
	char n[32];

	c->state = CLIENT_DIALLING;
	if (c->retry.succeeded && c->failure.cause != RETRY_NO_NETWORK)
		log_info(NULL, "Connection attempt %s...", attempts_text(c, c->retry.failed + 1, n));
	c->dial = dial_start(&c->worker, &target, on_dialled, c);
	if (!c->dial)
		client_finish(c, log_fatal(c->config->command, 1, NULL, "out of memory"));
}

/* --- signals ------------------------------------------------------------------------------ */

static uint64_t drain_ms(const struct client *c, int signum)
{
	bool ctrl_c = signum == SIGINT && term_is(STDIN_FILENO) && !c->config->drain_given;

	return ctrl_c ? CTRL_C_DRAIN_MS : c->config->drain_ms;
}

static void drain(struct client *c, uint64_t ms)
{
	unsigned open = session_streams(&c->link->session) + lanes_streams(c);
	char text[32];

	if (open)
		log_info(NULL, "Shutting down: %u stream%s open, waiting up to %s (Ctrl-C again to stop now)",
			open, open == 1 ? "" : "s", text_period(ms, text, sizeof text));
	else
		log_info(NULL, "Shutting down");
	c->state = CLIENT_STOPPING;
	c->pages.state = "draining";
	timer_start(c->timer, ms);
	session_shutdown(&c->link->session, (uint32_t)ms);
	lanes_shutdown(c, (uint32_t)ms);
	link_wake(c->link);
}

static void stop(struct client *c, int signum)
{
	if (c->state == CLIENT_UP) {
		drain(c, drain_ms(c, signum));
		return;
	}
	log_info(NULL, "Shutting down");
	comeback_end(c);
	if (c->link) {
		c->state = CLIENT_STOPPING;
		link_abort(c->link, "interrupted");
	} else {
		client_finish(c, 0);
	}
}

static void on_signal(struct signals *s, enum signals_event event, int signum)
{
	struct client *c = s->data;

	if (event == SIGNALS_RELOAD)
		log_reopen();
	if (event == SIGNALS_REPORT && c->state != CLIENT_DONE)
		client_pages_summary(&c->pages, true);
	if (event != SIGNALS_STOP || c->state == CLIENT_DONE)
		return;
	if (c->state == CLIENT_STOPPING)
		_exit(128 + signum); /* Sockets with SO_LINGER{1,0} end in RST. */
	stop(c, signum);
}

static void on_timer(struct timer *t)
{
	struct client *c = t->data;

	if (c->state == CLIENT_WAITING)
		attempt(c);
	else if (c->state == CLIENT_STOPPING && c->link)
		link_finish(c->link, "the time to drain is over"); /* And the lanes with it. */
	else if (c->state == CLIENT_JOINING && c->link)
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
	poller_embrace(&c->worker.poller);
	while (c->state != CLIENT_DONE && uv_run(&c->loop, UV_RUN_ONCE))
		;
	for (int i = 0; i < CLOSING_TURNS && uv_run(&c->loop, UV_RUN_NOWAIT); i++)
		;
	if (!uv_loop_alive(&c->loop))
		return;
	log_finish();
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
	comeback_init(c);
	lanes_init(c);
	uv_loop_init(&c->loop);
	err = worker_init(&c->worker, &c->loop);
	if (err) {
		free(c);
		return log_fatal(config->command, 1, NULL, "cannot start: %s", strerror(-err));
	}
	pressure_init(&c->pressure, &c->worker, MOST_BUFFERED);
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
	log_finish();
	tls_context_free(c->tls);
	worker_fini(&c->worker);
	instance_close(&c->instance);
	uv_loop_close(&c->loop);
	exit = c->exit;
	free(c);
	return exit;
}
