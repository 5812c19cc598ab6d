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

enum { RESERVED_FDS = 64, CERT_SOON_DAYS = 14, WORKERS_DEFAULT_MOST = 8 };

/* --- shutdown --------------------------------------------------------------------- */

/* Begins to close what the loops wait for. */
static void close_house(struct house *house)
{
	house->is_closing = true;
	if (house->is_stopping)
		server_pages_summary(house, false);
	server_pages_close(house);
	house_end(house);
	leases_close(&house->leases);
	timer_free(house->drain);
	house->drain = NULL;
	signals_close(&house->signals);
	hub_close(&house->hubs[0]);
}

/* Nothing is left that a shutdown waits for? */
static void on_settle(struct letter *l)
{
	struct house *house = list_entry(l, struct house, settle);
	bool is_empty;

	if (!house->is_stopping || house->is_closing)
		return;
	house_lock(house);
	is_empty = house->agents == 0;
	house_unlock(house);
	if (is_empty)
		close_house(house);
}

static void abort_all(struct hub *h)
{
	for (struct list *n = h->agents.next, *next; n != &h->agents; n = next) {
		next = n->next;
		agent_abort(list_entry(n, struct agent, node), "the server is shutting down");
	}
}

static void on_drained(struct timer *t)
{
	struct house *house = t->data;

	house_halt(house);
	for (unsigned i = 0; i < house->count; i++)
		abort_all(&house->hubs[i]);
	house_go(house);
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

static void stop_hub(struct hub *h)
{
	uint32_t drain_ms = (uint32_t)h->config->drain_ms;

	h->is_stopping = true;
	listener_close(&h->control);
	for (struct list *n = h->agents.next, *next; n != &h->agents; n = next) {
		next = n->next;
		agent_shutdown(list_entry(n, struct agent, node), drain_ms);
	}
}

/* An agent that is between two workers is told when it arrives. */
static void stop(struct house *house)
{
	unsigned open = 0;
	char text[32];

	house_halt(house);
	house->is_stopping = true;
	for (unsigned i = 0; i < house->count; i++)
		open += streams(&house->hubs[i]);
	if (open)
		log_info(NULL, "Shutting down: %u stream%s open, waiting up to %s (Ctrl-C again to stop now)",
			open, open == 1 ? "" : "s",
			text_period(house->config->drain_ms, text, sizeof text));
	else
		log_info(NULL, "Shutting down");
	timer_start(house->drain, house->config->drain_ms);
	for (unsigned i = 0; i < house->count; i++)
		stop_hub(&house->hubs[i]);
	house_go(house);
	hub_settle(&house->hubs[0]);
}

static void on_signal(struct signals *s, enum signals_event event, int signum)
{
	struct house *house = s->data;

	if (event == SIGNALS_RELOAD) {
		log_reopen();
		return;
	}
	if (event == SIGNALS_REPORT)
		server_pages_summary(house, true);
	if (event != SIGNALS_STOP)
		return;
	if (house->is_stopping)
		_exit(128 + signum); /* Sockets with SO_LINGER{1,0} end in RST. */
	stop(house);
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

static int listen_failed(const struct server_config *c, int err)
{
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
static void check_tls_files(const struct house *house)
{
	const struct server_config *c = house->config;
	char doubt[200];
	struct stat st;

	if (!c->tls)
		return;
	if (tls_context_doubt(house->tls, CERT_SOON_DAYS, doubt, sizeof doubt))
		log_warn(NULL, "--tls-cert %s: %s", c->tls_cert, doubt);
	if (stat(c->tls_key, &st) == 0 && (st.st_mode & S_IROTH))
		log_warn(NULL, "--tls-key %s: every user of this machine can read it; run: chmod o-r %s",
			c->tls_key, c->tls_key);
}

static int open_tls(struct house *house)
{
	const struct server_config *c = house->config;
	char err[600];

	if (tls_context_server(&house->tls, c->tls ? c->tls_cert : NULL, c->tls ? c->tls_key : NULL, err,
		sizeof err) == 0) {
		check_tls_files(house);
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
		sys_listen((const struct sockaddr *)&addr, 1, 0);
	if (fd < 0)
		return log_fatal("server", 7, fd == -EADDRNOTAVAIL ? "no interface of this machine has "
			"it; without --bind-host public ports listen on all" : NULL,
			"cannot listen on %s: %s", c->bind_host, strerror(-fd));
	close(fd);
	return 0;
}

/* With several workers each listens. Whether somebody else does there already is
 * found out before, by a listener that does not share. */
static int listen_all(struct house *house)
{
	const struct server_config *c = house->config;
	const char *host = numeric(c->addr_host);
	uint16_t port = c->addr_port;
	unsigned how = house->count > 1 ? SYS_SHARED : 0;
	int err = 0;

	if (how && port)
		err = listener_probe(host, port);
	for (unsigned i = 0; i < house->count && !err; i++) {
		struct hub *h = &house->hubs[i];

		err = listener_open(&h->control, &h->worker, host, port, how, on_control);
		h->control.data = h;
		h->control.on_starved = on_starved;
		if (!err)
			port = listener_port(&h->control); /* Which the kernel may have picked. */
	}
	return err ? listen_failed(c, err) : 0;
}

static void on_touch(struct letter *l)
{
	leases_touch(&list_entry(l, struct house, touch)->leases);
}

/* What all workers share and guard. False when memory is out. */
static bool furnish(struct house *house)
{
	const struct server_config *c = house->config;
	uint64_t key[2];

	house->conns_max = most_conns(c);
	house->members_max = c->max_sessions ? c->max_sessions : sys_file_limit() / 4;
	house->drain = timer_new(&house->hubs[0].loop, on_drained, house);
	proof_random(key, sizeof key);
	house->sources = sources_new(key);
	if (house->count > 1)
		house->homes = homes_new(key, house->count);
	return house->drain && house->sources && (house->count == 1 || house->homes) &&
		portpool_init(&house->ports, c->start_port, c->end_port) == 0;
}

static int open_leases(struct house *house)
{
	struct hub *h = &house->hubs[0];

	if (leases_open(&house->leases, &h->worker, &house->ports, house->config->state_dir,
		listener_port(&h->control), worker_now(&h->worker) + HUB_LEASE_US) < 0)
		return -1;
	if (house->count > 1)
		house->leases.mutex = &house->mutex;
	return 0;
}

/* The exit code, after the error was told. */
static int open_house(struct house *house)
{
	int err = check_bind_host(house->config);

	if (!err)
		err = open_tls(house);
	if (!err && !furnish(house))
		err = log_fatal("server", 1, NULL, "out of memory");
	if (!err)
		err = listen_all(house);
	/* A token is printed only when it is made: not by a server that does not start. */
	if (!err)
		err = credentials_load(&house->credentials, house->config);
	if (err)
		return err;
	if (open_leases(house) < 0)
		return log_fatal("server", 1, NULL, "out of memory");
	return server_pages_open(house);
}

static int init_hubs(struct house *house)
{
	int err = 0;

	for (unsigned i = 0; i < house->count && !err; i++)
		err = hub_init(&house->hubs[i], house, i);
	return err;
}

static unsigned worker_count(const struct server_config *c)
{
	unsigned n = c->workers ? c->workers : uv_available_parallelism();

	if (!c->workers && n > WORKERS_DEFAULT_MOST)
		n = WORKERS_DEFAULT_MOST;
	return n;
}

static int fail_to_start(int err)
{
	return log_fatal("server", 1, err == UV_EMFILE ?
		"each worker takes some: raise the limit (ulimit -n), or try: --workers 1" : NULL,
		"cannot start: %s", strerror(-err));
}

/* Opens what there is to open, and says so. */
static int begin(struct house *house)
{
	int err = open_house(house);

	if (err)
		return err;
	err = house_start(house);
	if (err)
		return fail_to_start(err);
	start_screen_print(house);
	log_info(NULL, "Ready for connections");
	return 0;
}

static int run(struct house *house)
{
	struct hub *h = &house->hubs[0];
	int err = init_hubs(house);

	if (err && !h->is_open)
		return fail_to_start(err);
	house->touch.open = on_touch;
	house->settle.open = on_settle;
	house->signals.data = house;
	signals_open(&house->signals, &h->loop, on_signal);
	house->exit = err ? fail_to_start(err) : begin(house);
	if (house->exit)
		close_house(house);
	hub_run(h);
	leases_save(&house->leases);
	return house->exit;
}

int server_run(const struct server_config *config)
{
	struct house house;
	unsigned count = worker_count(config);
	int exit, err = house_init(&house, config, count);

	if (err)
		return fail_to_start(err);
	exit = run(&house);
	log_finish();
	for (unsigned i = 0; i < count; i++)
		hub_fini(&house.hubs[i]);
	house_fini(&house);
	return exit;
}
