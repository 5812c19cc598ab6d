#include "cmd/command.h"

#include <stdio.h>

static void print_all(void)
{
	const struct command *commands;
	size_t count;

	puts("gotunnel exposes a local TCP service on a public port of a server of yours.\n");
	puts("  gotunnel server                      on the server; prints the client's command");
	puts("  gotunnel client --server HOST --local localhost:3000\n");
	commands = command_table(&count);
	for (size_t i = 0; i < count; i++)
		printf("  %-12s %s\n", commands[i].name, commands[i].summary);
	puts("\ngotunnel help COMMAND, or man gotunnel, say more.");
}

int cmd_help(int argc, char **argv)
{
	const struct command *c;

	if (argc < 2 || command_is_help(argv[1])) {
		print_all();
		return 0;
	}
	c = command_find(argv[1]);
	if (!c)
		return command_unknown(argv[1]);
	if (c->options)
		opt_help(c->options, true);
	else
		printf("gotunnel %s: %s\n", c->name, c->summary);
	return 0;
}
