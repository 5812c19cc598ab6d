#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "cmd/opt.h"

/* The commands of the executable. run() gets argv with the command's own name
 * at argv[0] and returns the exit code. */
struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
	const struct opt_table *options; /* NULL: it takes words, not options */
};

/* All of them, in the order of help; *count is set. */
const struct command *command_table(size_t *count);

/* By name, or NULL. */
const struct command *command_find(const char *name);

/* Whether a word asks for help: -h, --help. */
bool command_is_help(const char *word);

/* "gotunnel: unknown command X", with the nearest. Returns 2. */
int command_unknown(const char *name);

/* "gotunnel: no command", with examples. Returns 2. */
int command_missing(void);

/* One file a command. */
int cmd_client(int argc, char **argv);
int cmd_client_tcp(int argc, char **argv);
int cmd_client_http(int argc, char **argv);
int cmd_completion(int argc, char **argv);
int cmd_gencert(int argc, char **argv);
int cmd_help(int argc, char **argv);
int cmd_server(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_version(int argc, char **argv);

extern const struct opt_table cmd_client_options;
extern const struct opt_table cmd_client_http_options;
extern const struct opt_table cmd_client_tcp_options;
extern const struct opt_table cmd_gencert_options;
extern const struct opt_table cmd_server_options;
extern const struct opt_table cmd_stats_options;

#endif
