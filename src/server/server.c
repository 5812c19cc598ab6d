#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "auth/proof.h"
#include "core/addr.h"
#include "core/text.h"
#include "net/sys.h"
#include "server/agent.h"
#include "server/hub.h"
#include "server/server_pages.h"
#include "server/start_screen.h"

enum { RESERVED_FDS = 64, CERT_SOON_DAYS = 14 };

/* --- shutdown --------------------------------------------------------------------- */

static void abort_all(struct hub *h)
{
	for (struct list *n = h->agents.next, *next; n != &h->agents; n = next) {
		next = n->next;
		agent_abort(list_entry(n, struct agent, node), "the server is shutting down");
	}
}

static void on_drained(struct timer *t)
{
	abort_all(t->data);
}

static unsigned streams(const struct hub *h)
{
	unsigned n = 0;

	for (struct list *i = h->agents.next; i != &h->agents; i = i->next) {
		struct agent *a = list_entry(i, struct agent, node);

		/* Those that are away are not waited for. */
		n += a->is_known && !a->is_away ? session_streams(&a->link.session) : 0;
	}
	return n;
}

static void stop(struct hub *h)
{
	unsigned open = streams(h);
	char text[32];

	h->is_stopping = true;
	listener_close(&h->control);
	if (open)
		log_info(NULL, "Shutting down: %u stream%s open, waiting up to %s (Ctrl-C again to stop now)",
			open, open == 1 ? "" : "s", text_period(h->config->drain_ms, text, sizeof text));
	else
		log_info(NULL, "Shutting down");
	timer_start(h->drain, h->config->drain_ms);
	for (struct list *n = h->agents.next, *next; n != &h->agents; n = next) {
		next = n->next;
		agent_shutdown(list_entry(n, struct agent, node), (uint32_t)h->config->drain_ms);
	}
	hub_settle(h);
}

static void on_signal(struct signals *s, enum signals_event event, int signum)
{
	struct hub *h = s->data;

	if (event == SIGNALS_RELOAD) {
		log_reopen();
		return;
	}
	if (event == SIGNALS_REPORT)
		server_pages_summary(h, true);
	if (event != SIGNALS_STOP)
		return;
	if (h->is_stopping)
		_exit(128 + signum); /* Sockets with SO_LINGER{1,0} end in RST. */
	stop(h);
}

/* --- start -------------------------------------------------------------------------- */

static void on_control(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
	agent_accept(l->data, fd, peer);
}

static void on_starved(struct listener *l, int error)
{
	hub_starved(l->data, error);
}

static int listen_failed(const struct hub *h, int err)
{
	const struct server_config *c = h->config;
	char where[ADDR_HOST_MAX + 16], hint[256];

	addr_join(c->addr_host ? c->addr_host : "", c->addr_port, where, sizeof where);
	if (err == -EACCES)
		return log_fatal("server", 1, hub_setcap(hint, sizeof hint), "cannot listen on %s: %s",
			where, strerror(-err));
	if (err == -EADDRINUSE)
		snprintf(hint, sizeof hint, "ss -ltnp 'sport = :%u' shows who; or --addr :%u",
			c->addr_port, c->addr_port + 1);
	else if (err == -EADDRNOTAVAIL)
		snprintf(hint, sizeof hint, "no interface of this machine has it; --addr :%u listens on all",
			c->addr_port);
	else
		snprintf(hint, sizeof hint, "--addr takes a numeric address or localhost, as 127.0.0.1:9000");
	return log_fatal("server", err == -EINVAL ? 2 : 7, hint, "cannot listen on %s: %s", where,
		err == -EINVAL ? "not an address" : strerror(-err));
}

/* What will lock clients out, or lets others in, is told in time. */
static void check_tls_files(const struct hub *h)
{
	const struct server_config *c = h->config;
	char doubt[200];
	struct stat st;

	if (!c->tls)
		return;
	if (tls_context_doubt(h->tls, CERT_SOON_DAYS, doubt, sizeof doubt))
		log_warn(NULL, "--tls-cert %s: %s", c->tls_cert, doubt);
	if (stat(c->tls_key, &st) == 0 && (st.st_mode & S_IROTH))
		log_warn(NULL, "--tls-key %s: every user of this machine can read it; run: chmod o-r %s",
			c->tls_key, c->tls_key);
}

static int open_tls(struct hub *h)
{
	const struct server_config *c = h->config;
	char err[600];

	if (tls_context_server(&h->tls, c->tls ? c->tls_cert : NULL, c->tls ? c->tls_key : NULL, err,
		sizeof err) == 0) {
		check_tls_files(h);
		return 0;
	}
	return log_fatal("server", 3, c->tls ? "try: gotunnel gencert --host NAME, or leave out --tls "
		"(the tunnel is encrypted anyway)" : NULL, "%s", err);
}

static unsigned most_conns(const struct server_config *c)
{
	unsigned files = sys_file_limit();
	unsigned share = files / 5 * 4;
	unsigned most = files > 2 * RESERVED_FDS ? files - RESERVED_FDS : files / 2;

	if (share < most)
		most = share;
	return c->max_conns && c->max_conns < most ? c->max_conns : most;
}

static const char *numeric(const char *host)
{
	return host && strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
}

/* Whether public ports can be opened is not left to the first client. */
static int check_bind_host(const struct server_config *c)
{
	struct sockaddr_storage addr;
	int fd;

	if (!c->bind_host)
		return 0;
	fd = addr_numeric(c->bind_host, 0, &addr) < 0 ? -EINVAL :
		sys_listen((const struct sockaddr *)&addr, 1, false, false);
	if (fd < 0)
		return log_fatal("server", 7, fd == -EADDRNOTAVAIL ? "no interface of this machine has "
			"it; without --bind-host public ports listen on all" : NULL,
			"cannot listen on %s: %s", c->bind_host, strerror(-fd));
	close(fd);
	return 0;
}

static int open_hub(struct hub *h, uv_loop_t *loop)
{
	int err = check_bind_host(h->config);
	uint64_t key[2];

	if (!err)
		err = open_tls(h);
	if (!err)
		err = credentials_load(&h->credentials, h->config);
	if (err)
		return err;
	h->conns_max = most_conns(h->config);
	h->members_max = h->config->max_sessions ? h->config->max_sessions : sys_file_limit() / 4;
	h->drain = timer_new(loop, on_drained, h);
	proof_random(key, sizeof key);
	h->sources = sources_new(key);
	if (!h->drain || !h->sources ||
		portpool_init(&h->ports, h->config->start_port, h->config->end_port) < 0)
		return log_fatal("server", 1, NULL, "out of memory");
	err = listener_open(&h->control, &h->worker, numeric(h->config->addr_host),
		h->config->addr_port, false, on_control);
	h->control.data = h;
	h->control.on_starved = on_starved;
	if (err)
		return listen_failed(h, err);
	if (leases_open(&h->leases, &h->worker, &h->ports, h->config->state_dir,
		listener_port(&h->control), worker_now(&h->worker) + HUB_LEASE_US) < 0)
		return log_fatal("server", 1, NULL, "out of memory");
	return server_pages_open(h);
}

static void close_hub(struct hub *h)
{
	hub_forget_traffics(h);
	portpool_fini(&h->ports);
	sources_free(h->sources);
	tls_context_free(h->tls);
	credentials_wipe(&h->credentials);
	worker_fini(&h->worker);
}

int server_run(const struct server_config *config)
{
	struct hub h = { .config = config, .control.sock.fd = -1 };
	struct trace_config trace = { config->request_log, true, config->quiet };
	uv_loop_t loop;
	int err;

	uv_loop_init(&loop);
	list_init(&h.agents);
	list_init(&h.exposes);
	list_init(&h.traffics);
	err = worker_init(&h.worker, &loop);
	if (err)
		return log_fatal("server", 1, NULL, "cannot start: %s", strerror(-err));
	pressure_init(&h.pressure, &h.worker, config->max_buffered);
	h.signals.data = &h;
	signals_open(&h.signals, &loop, on_signal);
	trace_init(&h.trace, &h.worker, &trace);
	h.exit = open_hub(&h, &loop);
	if (h.exit) {
		hub_close(&h);
	} else {
		start_screen_print(&h);
		log_info(NULL, "Ready for connections");
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	leases_save(&h.leases);
	log_finish();
	close_hub(&h);
	uv_loop_close(&loop);
	return h.exit;
}
