#ifndef CMD_TOKEN_H
#define CMD_TOKEN_H

#include "auth/secret.h"
#include "cmd/opt.h"

/* Where a token comes from: --token or --token-file (not both), the same from
 * the environment, for a client ~/.config/gotunnel/token. */
struct token {
	char text[SECRET_MAX + 2];	/* "" when there is none */
	char source[600];		/* "--token", a path, "GOTUNNEL_TOKEN" */
};

/* The values as parsed; either may be NULL. What stood on the command line is
 * warned about, and it and the environment are wiped. 0, or the exit code
 * after the error was reported. */
int token_load(struct token *t, const struct opt_table *table, const struct opt_sources *sources,
	const char *given, const char *file, int argc, char **argv);

/* The user's own file, if there is one. 0 or an exit code. */
int token_load_kept(struct token *t, const char *command);

/* Asks at the terminal for the token of a server. 0, or an exit code. */
int token_ask(struct token *t, const char *command, const char *server);

void token_wipe(struct token *t);

#endif
