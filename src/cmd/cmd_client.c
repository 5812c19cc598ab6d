#include "cmd/command.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
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
	uint64_t retries, remote_port, drain, resume_hold, lanes;
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
		"who signed it, or system; certs/ca-cert.pem if it exists, else system" },
	{ "plaintext", 0, OPT_BOOL, AT(plaintext), NULL, NULL, 0, 0, NULL, false,
		"no encryption, for a link that is private already" },
	{ "no-reconnect", 0, OPT_BOOL, AT(no_reconnect), NULL, NULL, 0, 0, NULL, false,
		"end when the session is lost" },
	{ "retries", 0, OPT_UINT, AT(retries), "N", "10", 0, 1000000, NULL, false,
		"attempts to connect in a row; 0: without end" },
	{ "resume-hold", 0, OPT_DURATION, AT(resume_hold), "TIME", "60s", 0, 3600000, NULL, false,
		"how long streams outlive a lost connection; 0: they do not" },
	{ "lanes", 0, OPT_UINT, AT(lanes), "N", "1", 1, 8, NULL, false,
		"connections at once; for a long path on which one is slow" },
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

const struct opt_table cmd_client_tcp_options = {
	.command = "tcp",
	.base = "client",
	.word = "local",
	.about = "Exposes a local TCP service on a public port of a gotunnel server.",
	.example = "gotunnel tcp 22 --server tunnel.example.com",
	.opts = options,
	.count = sizeof options / sizeof options[0],
};

const struct opt_table cmd_client_http_options = {
	.command = "http",
	.base = "client",
	.word = "local",
	.about = "Exposes a local web service on a public port of a gotunnel server.",
	.example = "gotunnel http 3000 --server tunnel.example.com",
	.opts = options,
	.count = sizeof options / sizeof options[0],
};

/* A client under way: which of the tables it was called by, what was given. */
struct call {
	const struct opt_table *table;
	struct options o;
	struct opt_sources sources;
};

/* Where a bad value was set: "--local", the variable, or "the service". */
static const char *source(const struct call *c, const char *name)
{
	return opt_source(c->table, &c->sources, name);
}

static bool is_flag(const struct call *c, const char *name)
{
	const char *from = source(c, name);

	return from && *from == '-';
}

static int usage(const struct call *c, const char *hint, const char *name, const char *why)
{
	return log_fatal(c->table->command, 2, hint, "%s: %s", source(c, name), why);
}

static int read_server(const struct call *c, struct addr *server, struct client_config *config)
{
	const char *why;

	if (addr_parse(c->o.server, server, &why) < 0)
		return usage(c, "try: --server HOST or HOST:9000", "server", why);
	if (server->has_port && server->port == 0)
		return usage(c, "the control port is 9000 if the server was started without --addr",
			"server", "a port is a number from 1 to 65535");
	config->server_host = server->host[0] ? server->host : "localhost";
	config->server_port = server->has_port ? server->port : 9000;
	config->server_given = source(c, "server") != NULL;
	return 0;
}

static int missing(const struct call *c)
{
	char hint[64];

	snprintf(hint, sizeof hint, "try: gotunnel %s %s", c->table->command,
		c->table->word ? "3000" : "--local localhost:3000");
	return log_fatal(c->table->command, 2, hint, "%s is missing",
		c->table->word ? "the service" : "--local");
}

static int read_local(const struct call *c, struct addr *local, struct client_config *config)
{
	bool wants_http = c->table == &cmd_client_http_options, is_http;
	const char *why;
	char hint[ADDR_HOST_MAX + 64];

	if (!c->o.local)
		return missing(c);
	if (addr_parse_target(c->o.local, local, &is_http, &why) < 0)
		return usage(c, c->table->word ? "try: localhost:3000" : "try: --local localhost:3000",
			"local", why);
	if (wants_http && strncasecmp(c->o.local, "https:", 6) == 0) {
		snprintf(hint, sizeof hint, "try: gotunnel tcp %s", c->o.local);
		return usage(c, hint, "local", "https:// is passed through untouched, not as http");
	}
	config->local_host = local->host;
	config->local_port = local->port;
	config->is_http = wants_http || (c->table == &cmd_client_options && is_http);
	return 0;
}

static int read_admin(const struct call *c, struct addr *admin, struct client_config *config)
{
	int err = common_admin(c->o.admin, source(c, "admin"), c->table->command, admin,
		&config->admin_socket, &config->admin_host, &config->admin_port);

	if (!err && config->admin_host && config->admin_port == config->local_port &&
		addr_is_loopback_host(config->local_host))
		return usage(c, "name the service's own port", "local",
			"that is the admin endpoint, which no tunnel may expose");
	return err;
}

/* HOSTNAME:LOCALPORT, or --name; 1 to 64 printable characters. */
static int read_name(const struct call *c, char name[65], struct client_config *config)
{
	const char *given = c->o.name;
	char host[256] = "";

	if (given) {
		if (strlen(given) > 64)
			return usage(c, "at most 64 characters", "name", "it is too long");
		for (const char *p = given; *p; p++)
			if (*p < 0x20 || *p > 0x7e)
				return usage(c, "letters, digits and punctuation", "name",
					"it has a character that is not printable ASCII");
		snprintf(name, 65, "%s", given);
	} else {
		if (gethostname(host, sizeof host - 1) < 0 || !host[0])
			strcpy(host, "client");
		snprintf(name, 65, "%.58s:%u", host, config->local_port);
	}
	config->name = name;
	return 0;
}

/* A flag that does nothing, or against another, is a mistake; a variable may
 * be meant for another client, and gives way. */
static int read_encryption(struct call *c, struct client_config *config)
{
	struct options *o = &c->o;

	if (o->tls && o->plaintext && is_flag(c, "tls") == is_flag(c, "plaintext"))
		return log_fatal(c->table->command, 2, "leave one out", "%s: it excludes %s",
			source(c, "tls"), source(c, "plaintext"));
	if (o->tls && o->plaintext)
		*(is_flag(c, "tls") ? &o->plaintext : &o->tls) = false;
	if (!o->tls && is_flag(c, "tls-ca"))
		return usage(c, "add --tls", "tls-ca", "it is of use only with --tls");
	config->tls = o->tls;
	config->tls_ca = o->tls ? o->tls_ca : NULL;
	config->plaintext = o->plaintext;
	return 0;
}

/* What a lane that is lost has in flight goes on over another one by being resumed. */
static int read_lanes(const struct call *c, struct client_config *config)
{
	const char *against = !config->reconnect ? "no-reconnect" : !config->hold_ms ? "resume-hold" :
		NULL;

	config->lanes = (unsigned)c->o.lanes;
	if (config->lanes < 2 || !against)
		return 0;
	return log_fatal(c->table->command, 2, "leave one out", "%s: it needs sessions that are "
		"resumed, against %s", source(c, "lanes"), source(c, against));
}

static int find_token(const struct call *c, struct token *token, struct client_config *config,
	int argc, char **argv)
{
	const char *command = c->table->command;
	char server[ADDR_HOST_MAX + 16];
	int err = token_load(token, c->table, &c->sources, c->o.token, c->o.token_file, argc, argv);

	if (!err && !token->text[0])
		err = token_load_kept(token, command);
	if (!err && !token->text[0] && !addr_is_loopback_host(config->server_host) &&
		term_is(STDIN_FILENO)) {
		err = token_ask(token, command, addr_join(config->server_host,
			config->server_port, server, sizeof server));
		config->token_typed = !err;
	}
	if (!token->text[0])
		return err;
	config->token = token->text;
	config->token_source = token->source;
	return err;
}

static int run(struct call *c, int argc, char **argv)
{
	const struct options *o = &c->o;
	struct client_config config = {
		.command = c->table->command,
		.reconnect = !o->no_reconnect,
		.retries = (unsigned)o->retries,
		.remote_port = (uint16_t)o->remote_port,
		.state_dir = file_state_folder(o->state_dir),
		.drain_ms = o->drain,
		.hold_ms = o->resume_hold,
		.drain_given = source(c, "drain") != NULL,
		.quiet = o->common.quiet,
		.request_log = !o->no_request_log,
		.program_version = GOTUNNEL_VERSION,
	};
	struct token token = { 0 };
	struct addr server, local, admin;
	char name[65];
	int err = common_apply(&o->common, c->table->command);

	if (!err)
		err = read_encryption(c, &config);
	if (!err)
		err = read_lanes(c, &config);
	if (!err)
		err = read_server(c, &server, &config);
	if (!err)
		err = read_local(c, &local, &config);
	if (!err)
		err = read_admin(c, &admin, &config);
	if (!err)
		err = read_name(c, name, &config);
	if (!err)
		err = find_token(c, &token, &config, argc, argv);
	if (!err)
		err = client_run(&config);
	token_wipe(&token);
	return err;
}

static int start(const struct opt_table *table, int argc, char **argv)
{
	struct call c = { .table = table };

	switch (opt_parse(table, argc, argv, &c.o, &c.sources)) {
	case OPT_GO_ON:
		return run(&c, argc, argv);
	case OPT_HELPED:
		return 0;
	default:
		return 2;
	}
}

int cmd_client(int argc, char **argv)
{
	return start(&cmd_client_options, argc, argv);
}

/* `gotunnel http 3000 [OPTION]...`: the service is a word of its own. */
int cmd_client_tcp(int argc, char **argv)
{
	return start(&cmd_client_tcp_options, argc, argv);
}

int cmd_client_http(int argc, char **argv)
{
	return start(&cmd_client_http_options, argc, argv);
}
