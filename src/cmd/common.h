#ifndef CMD_COMMON_H
#define CMD_COMMON_H

#include <stdbool.h>

#include "cmd/opt.h"
#include "core/addr.h"

/* What the long-running commands have in common: how they log. */
struct common {
	const char *log_level;
	const char *log_format;
	const char *log_file;
	const char *color;
	bool verbose;
	bool quiet;
};

/* The rows for a table whose struct has a `struct common common`. */
#define COMMON_OPTS(type)                                                                      \
	{ "log-level", 0, OPT_CHOICE, offsetof(type, common.log_level), "LEVEL", "info", 0, 0, \
		"error|warn|info|debug", false, "error, warn, info or debug" },                \
	{ "verbose", 'v', OPT_BOOL, offsetof(type, common.verbose), NULL, NULL, 0, 0, NULL,    \
		false, "the same as --log-level debug" },                                      \
	{ "log-format", 0, OPT_CHOICE, offsetof(type, common.log_format), "FORMAT", "term", 0, \
		0, "term|logfmt|json", false, "term, logfmt or json" },                        \
	{ "log-file", 0, OPT_TEXT, offsetof(type, common.log_file), "FILE", NULL, 0, 0, NULL,  \
		false, "append the log to FILE; SIGHUP opens it anew" },                       \
	{ "color", 0, OPT_CHOICE, offsetof(type, common.color), "WHEN", "auto", 0, 0,          \
		"auto|always|never", false, "auto, always or never" },                         \
	{ "quiet", 'q', OPT_BOOL, offsetof(type, common.quiet), NULL, NULL, 0, 0, NULL, false, \
		"print no more than the address and warnings" }

/* Reads --admin: "off" is no endpoint at all, NULL the unix socket alone, an
 * address that and the socket. source: where it was set. addr is the caller's,
 * for the host. 0, or the exit code after the error was reported. */
int common_admin(const char *text, const char *source, const char *command, struct addr *addr,
	bool *socket, const char **host, uint16_t *port);

/* Sets the log up. 0, or the exit code after the error was reported. */
int common_apply(const struct common *c, const char *command);

#endif
