#include "cmd/command.h"

#include <string.h>

#include "cmd/common.h"
#include "cmd/token.h"
#include "core/addr.h"
#include "core/log.h"
#include "net/file.h"
#include "server/server.h"

struct options {
	struct common common;
	const char *addr, *bind_host, *public_host;
	uint64_t start_port, end_port;
	bool tls, plaintext;
	const char *tls_cert, *tls_key;
	const char *token, *token_file, *state_dir;
	uint64_t workers, max_conns, max_conns_per_address, max_unauthenticated, max_buffered,
		max_sessions, drain, resume_hold;
	const char *admin;
	bool no_request_log;
};

enum { PUBLIC_HOST_MAX = 253 };

#define AT(member) offsetof(struct options, member)

static const struct opt options[] = {
	{ "addr", 0, OPT_TEXT, AT(addr), "HOST:PORT", ":9000", 0, 0, NULL, true,
		"where clients connect; :0 picks a port" },
	{ "start-port", 0, OPT_UINT, AT(start_port), "PORT", "10000", 1, 65535, NULL, true,
		"the first public port" },
	{ "end-port", 0, OPT_UINT, AT(end_port), "PORT", NULL, 1, 65535, NULL, false,
		"the last one; start + 100 if not given" },
	{ "bind-host", 0, OPT_TEXT, AT(bind_host), "ADDRESS", NULL, 0, 0, NULL, false,
		"where public ports listen; every address if not given" },
	{ "public-host", 0, OPT_TEXT, AT(public_host), "NAME", NULL, 0, 0, NULL, true,
		"the name visitors use, for what is printed" },
	{ "token", 0, OPT_TEXT, AT(token), "TOKEN", NULL, 0, 0, NULL, false,
		"what clients must know; better in a file" },
	{ "token-file", 0, OPT_TEXT, AT(token_file), "FILE", NULL, 0, 0, NULL, true,
		"a file with the token, mode 0600; - is standard input" },
	{ "tls", 0, OPT_BOOL, AT(tls), NULL, NULL, 0, 0, NULL, true,
		"show a certificate (encrypted it is anyway)" },
	{ "tls-cert", 0, OPT_TEXT, AT(tls_cert), "FILE", "certs/server-cert.pem", 0, 0, NULL,
		false, "certificate chain for --tls" },
	{ "tls-key", 0, OPT_TEXT, AT(tls_key), "FILE", "certs/server-key.pem", 0, 0, NULL, false,
		"its private key" },
	{ "plaintext", 0, OPT_BOOL, AT(plaintext), NULL, NULL, 0, 0, NULL, false,
		"accept clients without encryption, too" },
	{ "state-dir", 0, OPT_TEXT, AT(state_dir), "DIR", NULL, 0, 0, NULL, false,
		"for its token and whose each port is; see FILES in the manual" },
	{ "resume-hold", 0, OPT_DURATION, AT(resume_hold), "TIME", "60s", 0, 3600000, NULL, false,
		"how long streams outlive a lost connection; 0: they do not" },
	{ "workers", 0, OPT_UINT, AT(workers), "N", "0", 0, 64, NULL, false,
		"threads; 0: as many as processors, at most 8" },
	{ "max-conns", 0, OPT_UINT, AT(max_conns), "N", "0", 0, 1000000, NULL, false,
		"public connections at once; 0: by the descriptor limit" },
	{ "max-conns-per-address", 0, OPT_UINT, AT(max_conns_per_address), "N", "1000", 0, 1000000,
		NULL, false, "of these from one address; 0: any number" },
	{ "max-unauthenticated", 0, OPT_UINT, AT(max_unauthenticated), "N", "128", 1, 100000, NULL,
		false, "control connections that are not logged in yet, at once" },
	{ "max-sessions", 0, OPT_UINT, AT(max_sessions), "N", "0", 0, 1000000, NULL, false,
		"clients with tunnels at once; 0: by the descriptor limit" },
	{ "max-buffered", 0, OPT_UINT, AT(max_buffered), "MIB", "256", 16, 1048576, NULL, false,
		"memory for bytes of streams that wait or may be sent again" },
	{ "admin", 0, OPT_TEXT, AT(admin), "HOST:PORT", NULL, 0, 0, NULL, false,
		"serve metrics and status on this loopback address, too; off: nowhere" },
	{ "no-request-log", 0, OPT_BOOL, AT(no_request_log), NULL, NULL, 0, 0, NULL, false,
		"do not watch requests, and write no line for each" },
	{ "drain", 0, OPT_DURATION, AT(drain), "TIME", "30s", 0, 0, NULL, false,
		"how long open streams may finish after a signal" },
	COMMON_OPTS(struct options),
};

const struct opt_table cmd_server_options = {
	.command = "server",
	.about = "Accepts clients and opens a public port for each of their tunnels.",
	.example = "gotunnel server --public-host tunnel.example.com",
	.opts = options,
	.count = sizeof options / sizeof options[0],
};

static int usage(const char *hint, const char *what, const char *why)
{
	return log_fatal("server", 2, hint, "%s: %s", what, why);
}

/* Where a bad value was set: "--addr", or the variable. */
static const char *source(const struct opt_sources *sources, const char *name)
{
	return opt_source(&cmd_server_options, sources, name);
}

static int read_addresses(const struct options *o, const struct opt_sources *sources,
	struct addr *addr, struct server_config *config)
{
	const char *why;

	if (addr_parse(o->addr, addr, &why) < 0)
		return usage("try: --addr :9000", source(sources, "addr"), why);
	/* A bare number is a port of every address here, not of localhost. */
	if (strspn(o->addr, "0123456789") == strlen(o->addr))
		addr->host[0] = '\0';
	config->addr_host = addr->host[0] ? addr->host : NULL;
	config->addr_port = addr->has_port ? addr->port : 9000;
	config->start_port = (uint16_t)o->start_port;
	config->end_port = (uint16_t)(o->end_port ? o->end_port :
		o->start_port + 100 > 65535 ? 65535 : o->start_port + 100);
	if (config->end_port < config->start_port)
		return usage("--end-port is the last public port, --start-port the first",
			source(sources, "end-port"), "it lies before --start-port");
	return 0;
}

/* What visitors type: a host name or an address, which is printed and sent. */
static int read_public_host(const struct options *o, const struct opt_sources *sources,
	struct addr *host, struct server_config *config)
{
	const char *why = "a name or an address, without a port";

	if (!o->public_host)
		return 0;
	if (addr_parse(o->public_host, host, &why) < 0 || host->has_port || !host->host[0] ||
		strlen(host->host) > PUBLIC_HOST_MAX)
		return usage("try: --public-host tunnel.example.com", source(sources, "public-host"),
			why);
	config->public_host = host->host;
	return 0;
}

static int read_bind_host(const struct options *o, const struct opt_sources *sources,
	struct server_config *config)
{
	struct sockaddr_storage unused;

	if (!o->bind_host)
		return 0;
	config->bind_host = strcmp(o->bind_host, "localhost") == 0 ? "127.0.0.1" : o->bind_host;
	if (addr_numeric(config->bind_host, 0, &unused) == 0)
		return 0;
	return usage("try: --bind-host 127.0.0.1", source(sources, "bind-host"),
		"not a numeric address");
}

/* A flag that does nothing is a mistake; a variable may be meant for others. */
static int check_tls(const struct options *o, const struct opt_sources *sources)
{
	static const char *const names[] = { "tls-cert", "tls-key" };

	for (size_t i = 0; !o->tls && i < sizeof names / sizeof names[0]; i++) {
		const char *from = source(sources, names[i]);

		if (from && *from == '-')
			return usage("add --tls", from, "it is of use only with --tls");
	}
	return 0;
}

static int run(const struct options *o, const struct opt_sources *sources, struct token *token)
{
	struct server_config config = {
		.tls = o->tls,
		.tls_cert = o->tls_cert,
		.tls_key = o->tls_key,
		.plaintext = o->plaintext,
		.token = token->text[0] ? token->text : NULL,
		.token_source = token->source,
		.state_dir = file_state_folder(o->state_dir),
		.workers = (unsigned)o->workers,
		.max_conns = (unsigned)o->max_conns,
		.max_conns_per_address = (unsigned)o->max_conns_per_address,
		.max_unauthenticated = (unsigned)o->max_unauthenticated,
		.max_sessions = (unsigned)o->max_sessions,
		.max_buffered = (size_t)o->max_buffered << 20,
		.drain_ms = o->drain,
		.hold_ms = o->resume_hold,
		.quiet = o->common.quiet,
		.request_log = !o->no_request_log,
		.program_version = GOTUNNEL_VERSION,
	};
	struct addr addr, host, admin;
	int err = read_addresses(o, sources, &addr, &config);

	if (!err)
		err = common_admin(o->admin, source(sources, "admin"), "server", &admin,
			&config.admin_socket, &config.admin_host, &config.admin_port);
	if (!err)
		err = read_public_host(o, sources, &host, &config);
	if (!err)
		err = read_bind_host(o, sources, &config);
	if (!err)
		err = check_tls(o, sources);
	return err ? err : server_run(&config);
}

int cmd_server(int argc, char **argv)
{
	struct options o = { 0 };
	struct opt_sources sources;
	struct token token;
	enum opt_result result = opt_parse(&cmd_server_options, argc, argv, &o, &sources);
	int err;

	if (result != OPT_GO_ON)
		return result == OPT_HELPED ? 0 : 2;
	err = common_apply(&o.common, "server");
	if (!err)
		err = token_load(&token, &cmd_server_options, &sources, o.token, o.token_file, argc,
			argv);
	if (!err)
		err = run(&o, &sources, &token);
	token_wipe(&token);
	return err;
}
