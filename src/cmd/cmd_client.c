#include "cmd/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/client.h"
#include "cmd/common.h"
#include "cmd/token.h"
#include "core/addr.h"
#include "core/log.h"
#include "net/file.h"
#include "net/term.h"

struct options {
	struct common common;
	const char *server, *local, *name, *state_dir;
	const char *token, *token_file, *tls_ca;
	bool tls, plaintext, no_reconnect;
	uint64_t retries, remote_port, drain;
	const char *admin;
	bool no_request_log;
};

#define AT(member) offsetof(struct options, member)

static const struct opt options[] = {
	{ "local", 0, OPT_TEXT, AT(local), "HOST:PORT", NULL, 0, 0, NULL, true,
		"the service to expose; a bare port is one of localhost" },
	{ "server", 0, OPT_TEXT, AT(server), "HOST:PORT", "localhost:9000", 0, 0, NULL, true,
		"where gotunnel server runs; port 9000 if not given" },
	{ "token", 0, OPT_TEXT, AT(token), "TOKEN", NULL, 0, 0, NULL, false,
		"the server's token; better in a file" },
	{ "token-file", 0, OPT_TEXT, AT(token_file), "FILE", NULL, 0, 0, NULL, true,
		"a file with the token, mode 0600; - is standard input" },
	{ "remote-port", 0, OPT_UINT, AT(remote_port), "PORT", NULL, 1, 65535, NULL, true,
		"the public port, in the server's range; any free one if not given" },
	{ "name", 0, OPT_TEXT, AT(name), "NAME", NULL, 0, 0, NULL, false,
		"what the server calls this client; HOSTNAME:LOCALPORT if not given" },
	{ "tls", 0, OPT_BOOL, AT(tls), NULL, NULL, 0, 0, NULL, true,
		"check the server's certificate (encrypted it is anyway)" },
	{ "tls-ca", 0, OPT_TEXT, AT(tls_ca), "FILE", NULL, 0, 0, NULL, false,
		"who signed it; system: the system's roots" },
	{ "plaintext", 0, OPT_BOOL, AT(plaintext), NULL, NULL, 0, 0, NULL, false,
		"no encryption, for a link that is private already" },
	{ "no-reconnect", 0, OPT_BOOL, AT(no_reconnect), NULL, NULL, 0, 0, NULL, false,
		"end when the session is lost" },
	{ "retries", 0, OPT_UINT, AT(retries), "N", "10", 0, 1000000, NULL, false,
		"attempts to connect in a row; 0: without end" },
	{ "state-dir", 0, OPT_TEXT, AT(state_dir), "DIR", NULL, 0, 0, NULL, false,
		"where the instance of the name is kept; see FILES in the manual" },
	{ "admin", 0, OPT_TEXT, AT(admin), "HOST:PORT", NULL, 0, 0, NULL, false,
		"serve metrics and status on this loopback address, too; off: nowhere" },
	{ "no-request-log", 0, OPT_BOOL, AT(no_request_log), NULL, NULL, 0, 0, NULL, false,
		"do not watch requests, and write no line for each" },
	{ "drain", 0, OPT_DURATION, AT(drain), "TIME", "5s", 0, 0, NULL, false,
		"how long open streams may finish after a signal" },
	COMMON_OPTS(struct options),
};

const struct opt_table cmd_client_options = {
	.command = "client",
	.about = "Exposes a local service on a public port of a gotunnel server.",
	.example = "gotunnel client --server tunnel.example.com --local localhost:3000",
	.opts = options,
	.count = sizeof options / sizeof options[0],
};

enum kind { KIND_GIVEN, KIND_TCP, KIND_HTTP };

static int usage(const char *hint, const char *what, const char *why)
{
	return log_fatal("client", 2, hint, "%s: %s", what, why);
}

static int read_server(const struct options *o, bool given, struct addr *server,
	struct client_config *config)
{
	const char *why;

	if (addr_parse(o->server, server, &why) < 0)
		return usage("try: --server HOST or HOST:9000", "--server", why);
	if (server->has_port && server->port == 0)
		return usage("the control port is 9000 if the server was started without --addr",
			"--server", "port 0 is none");
	config->server_host = server->host[0] ? server->host : "localhost";
	config->server_port = server->has_port ? server->port : 9000;
	config->server_given = given;
	return 0;
}

static int read_local(const struct options *o, enum kind kind, struct addr *local,
	struct client_config *config)
{
	bool is_http;
	const char *why;

	if (!o->local)
		return log_fatal("client", 2, "try: gotunnel client --local localhost:3000",
			"--local is missing");
	if (addr_parse_target(o->local, local, &is_http, &why) < 0)
		return usage("try: --local localhost:3000", "--local", why);
	config->local_host = local->host;
	config->local_port = local->port;
	config->is_http = kind == KIND_HTTP || (kind == KIND_GIVEN && is_http);
	return 0;
}

/* HOSTNAME:LOCALPORT, or --name; 1 to 64 printable characters. */
static int read_name(const struct options *o, char name[65], struct client_config *config)
{
	char host[256] = "";

	if (o->name) {
		if (strlen(o->name) > 64)
			return usage("at most 64 characters", "--name", "it is too long");
		for (const char *p = o->name; *p; p++)
			if (*p < 0x20 || *p > 0x7e)
				return usage("letters, digits and punctuation", "--name",
					"it has a character that is not printable ASCII");
		snprintf(name, 65, "%s", o->name);
	} else {
		if (gethostname(host, sizeof host - 1) < 0 || !host[0])
			strcpy(host, "client");
		snprintf(name, 65, "%.58s:%u", host, config->local_port);
	}
	config->name = name;
	return 0;
}

static int find_token(const struct options *o, const struct opt_sources *sources,
	struct token *token, struct client_config *config, int argc, char **argv)
{
	char server[ADDR_HOST_MAX + 16];
	int err = token_load(token, &cmd_client_options, sources, o->token, o->token_file, argc, argv);

	if (!err && !token->text[0])
		err = token_load_kept(token, "client");
	if (!err && !token->text[0] && !addr_is_loopback_host(config->server_host) &&
		term_is(STDIN_FILENO)) {
		err = token_ask(token, "client", addr_join(config->server_host,
			config->server_port, server, sizeof server));
		config->token_typed = !err;
	}
	if (!token->text[0])
		return err;
	config->token = token->text;
	config->token_source = token->source;
	return err;
}

static int run(int argc, char **argv, enum kind kind, const char *target)
{
	struct options o = { 0 };
	struct opt_sources sources;
	struct client_config config = { .program_version = GOTUNNEL_VERSION };
	struct token token = { 0 };
	struct addr server, local, admin;
	char name[65];
	enum opt_result result = opt_parse(&cmd_client_options, argc, argv, &o, &sources);
	int err;

	if (result != OPT_GO_ON)
		return result == OPT_HELPED ? 0 : 2;
	if (target && o.local && opt_source(&cmd_client_options, &sources, "local")[0] == '-')
		return usage("leave one out", "--local", "the service was named already");
	if (target)
		o.local = target;
	if (o.tls && o.plaintext)
		return usage("leave one out", "--tls", "it excludes --plaintext");
	if (o.tls_ca && !o.tls)
		return usage("add --tls", "--tls-ca", "it is of use only with --tls");
	config.tls = o.tls;
	config.tls_ca = o.tls_ca;
	config.plaintext = o.plaintext;
	config.reconnect = !o.no_reconnect;
	config.retries = (unsigned)o.retries;
	config.remote_port = (uint16_t)o.remote_port;
	config.state_dir = file_state_folder(o.state_dir);
	config.drain_ms = o.drain;
	config.drain_given = opt_source(&cmd_client_options, &sources, "drain") != NULL;
	config.quiet = o.common.quiet;
	config.request_log = !o.no_request_log;
	err = common_apply(&o.common, "client");
	if (!err)
		err = read_server(&o, opt_source(&cmd_client_options, &sources, "server") != NULL,
			&server, &config);
	if (!err)
		err = read_local(&o, kind, &local, &config);
	if (!err)
		err = common_admin(o.admin, "client", &admin, &config.admin_socket,
			&config.admin_host, &config.admin_port);
	if (!err && config.admin_host && config.admin_port == config.local_port &&
		addr_is_loopback_host(config.local_host))
		return usage("name the service's own port", "--local",
			"that is the admin endpoint, which no tunnel may expose");
	if (!err)
		err = read_name(&o, name, &config);
	if (!err)
		err = find_token(&o, &sources, &token, &config, argc, argv);
	if (!err)
		err = client_run(&config);
	token_wipe(&token);
	return err;
}

int cmd_client(int argc, char **argv)
{
	return run(argc, argv, KIND_GIVEN, NULL);
}

/* `gotunnel http 3000 [OPTION]...`: the target is the first word. */
static int run_short(int argc, char **argv, enum kind kind)
{
	char hint[64];

	if (argc >= 2 && argv[1][0] != '-')
		return run(argc - 1, argv + 1, kind, argv[1]);
	if (argc >= 2)
		return run(argc, argv, kind, NULL);
	snprintf(hint, sizeof hint, "try: gotunnel %s 3000", argv[0]);
	return log_fatal(argv[0], 2, hint, "the service is missing");
}

int cmd_client_tcp(int argc, char **argv)
{
	return run_short(argc, argv, KIND_TCP);
}

int cmd_client_http(int argc, char **argv)
{
	return run_short(argc, argv, KIND_HTTP);
}
