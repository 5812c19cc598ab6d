#include "cmd/command.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/text.h"

static const struct command commands[] = {
	{ "server", cmd_server, "run on a machine that others can reach", &cmd_server_options },
	{ "client", cmd_client, "expose a local service through a server", &cmd_client_options },
	{ "tcp", cmd_client_tcp, "client for HOST:PORT or a port, as: gotunnel tcp 22",
		&cmd_client_tcp_options },
	{ "http", cmd_client_http, "client for a web service, as: gotunnel http 3000",
		&cmd_client_http_options },
	{ "stats", cmd_stats, "show the traffic of what runs on this machine", &cmd_stats_options },
	{ "gencert", cmd_gencert, "make a CA and a server certificate for --tls",
		&cmd_gencert_options },
	{ "version", cmd_version, "print the version", NULL },
	{ "completion", cmd_completion, "print completions for bash, zsh or fish", NULL },
	{ "help", cmd_help, "help [COMMAND]", NULL },
};

enum { COUNT = sizeof commands / sizeof commands[0] };

const struct command *command_table(size_t *count)
{
	*count = COUNT;
	return commands;
}

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

bool command_is_help(const char *word)
{
	return strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0 ||
		strcmp(word, "-help") == 0;
}

int command_missing(void)
{
	return log_fatal("", 2, "try: gotunnel server on the machine that others can reach,\n"
		"  and: gotunnel client --local localhost:3000 beside the service",
		"name a command");
}

int command_unknown(const char *name)
{
	const char *names[COUNT], *near;
	char shown[128], hint[160] = "see: gotunnel help";

	for (size_t i = 0; i < COUNT; i++)
		names[i] = commands[i].name;
	near = text_nearest(name, names, COUNT);
	if (near)
		snprintf(hint, sizeof hint, "did you mean gotunnel %s?", near);
	text_escape(name, strlen(name), shown, sizeof shown);
	return log_fatal("", 2, hint, "unknown command %s", shown);
}
