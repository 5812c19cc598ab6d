#include "cmd/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/proof.h"
#include "core/log.h"
#include "net/file.h"
#include "net/sys.h"
#include "net/term.h"

void token_wipe(struct token *t)
{
	proof_wipe(t, sizeof *t);
}

static int check(const struct token *t, const char *command)
{
	if (secret_is_token(t->text))
		return 0;
	return log_fatal(command, 3, "a token is 1 to 1024 printable characters without spaces",
		"the token from %s is not a valid token", t->source);
}

static int read_file(struct token *t, const char *command, const char *path)
{
	char err[700];

	snprintf(t->source, sizeof t->source, "%s", strcmp(path, "-") ? path : "standard input");
	if (file_read_secret(path, t->text, sizeof t->text, err, sizeof err) == 0)
		return check(t, command);
	return log_fatal(command, 3, "try: --token-file FILE with the server's token",
		"--token-file %s", err);
}

/* Nobody who lists processes, or reads their environment, shall see it. */
static void wipe_text(char *text)
{
	if (text)
		proof_wipe(text, strlen(text));
}

static void wipe_arguments(int argc, char **argv)
{
	static const char name[] = "-token";

	for (int i = 1; i < argc; i++) {
		char *arg = argv[i] + (strncmp(argv[i], "--", 2) == 0);

		if (strncmp(arg, name, sizeof name - 1) != 0)
			continue;
		if (arg[sizeof name - 1] == '=')
			wipe_text(arg + sizeof name);
		else if (!arg[sizeof name - 1] && i + 1 < argc)
			wipe_text(argv[i + 1]);
	}
}

static void wipe_variables(void)
{
	static const char *const names[] = {
		"GOTUNNEL_TOKEN", "GOTUNNEL_CLIENT_TOKEN", "GOTUNNEL_SERVER_TOKEN",
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		wipe_text(getenv(names[i]));
		unsetenv(names[i]);
	}
}

int token_load(struct token *t, const struct opt_table *table, const struct opt_sources *sources,
	const char *given, const char *file, int argc, char **argv)
{
	const char *from = opt_source(table, sources, "token");
	const char *file_from = opt_source(table, sources, "token-file");
	bool flag = given && *from == '-', file_flag = file && *file_from == '-';
	int err;

	*t = (struct token){ 0 };
	sys_no_core();
	if (flag && file_flag)
		return log_fatal(table->command, 2, "leave one out",
			"--token and --token-file exclude each other");
	if (!given && !file)
		return 0;
	/* A flag beats the environment; there the token beats the file. */
	if (file_flag || !given) {
		err = read_file(t, table->command, file);
	} else {
		snprintf(t->source, sizeof t->source, "%s", from);
		snprintf(t->text, sizeof t->text, "%s", given);
		err = check(t, table->command);
	}
	if (given && flag)
		wipe_arguments(argc, argv);
	wipe_variables();
	if (!err && flag)
		log_warn(NULL, "a token on the command line is seen by other users and "
			"kept in the shell's history; use --token-file or GOTUNNEL_TOKEN");
	return err;
}

int token_load_kept(struct token *t, const char *command)
{
	char path[512], err[600];
	int result;

	if (file_config_path("token", path, sizeof path) < 0)
		return 0;
	result = file_read_secret(path, t->text, sizeof t->text, err, sizeof err);
	if (result == -2)
		return 0;
	snprintf(t->source, sizeof t->source, "%s", path);
	if (result == 0)
		return check(t, command);
	return log_fatal(command, 3, NULL, "%s", err);
}

int token_ask(struct token *t, const char *command, const char *server)
{
	char question[400];

	snprintf(question, sizeof question, "Token for %s: ", server);
	snprintf(t->source, sizeof t->source, "the prompt");
	if (term_ask_secret(question, t->text, sizeof t->text) < 0)
		return log_fatal(command, 4, "try: --token-file FILE or GOTUNNEL_TOKEN",
			"no token given");
	return check(t, command);
}
