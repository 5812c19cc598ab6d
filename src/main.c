#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"

/* "/usr/bin/gotunnel-server" means server: what follows "gotunnel-". */
static const char *command_of(const char *path)
{
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	return strncmp(base, "gotunnel-", 9) == 0 ? base + 9 : NULL;
}

static int run(const char *name, int argc, char **argv)
{
	const struct command *c = command_find(name);

	return c ? c->run(argc, argv) : command_unknown(name);
}

static int is_any(const char *word, const char *a, const char *b, const char *c)
{
	return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

/* Descriptors 0 to 2 that are closed would become sockets, and be written to. */
static void open_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	const char *name = argc ? command_of(argv[0]) : NULL;

	open_standard();
	signal(SIGPIPE, SIG_IGN);
	if (name && command_find(name))
		return run(name, argc, argv);
	if (argc < 2)
		return command_missing();
	if (is_any(argv[1], "-h", "--help", "-help"))
		return run("help", 1, argv);
	if (is_any(argv[1], "-V", "--version", "-version") || (argc == 2 && !strcmp(argv[1], "-v")))
		return run("version", 1, argv);
	if (argv[1][0] == '-')
		return run("client", argc, argv); /* gotunnel --local localhost:3000 */
	return run(argv[1], argc - 1, argv + 1);
}
