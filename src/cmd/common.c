#include "cmd/common.h"

#include <string.h>

#include "core/log.h"

/* The place of word in the choices "a|b|c". */
static unsigned place(const char *choices, const char *word)
{
	size_t len = strlen(word);
	unsigned n = 0;

	while (strcspn(choices, "|") != len || strncmp(choices, word, len) != 0) {
		choices += strcspn(choices, "|") + 1;
		n++;
	}
	return n;
}

int common_admin(const char *text, const char *source, const char *command, struct addr *addr,
	bool *socket, const char **host, uint16_t *port)
{
	const char *why = "it is not an address of this machine alone";

	*socket = !text || strcmp(text, "off") != 0;
	*host = NULL;
	*port = 0;
	if (!text || !*socket)
		return 0;
	if (addr_parse(text, addr, &why) < 0 || !addr->has_port ||
		!addr_is_loopback_host(addr->host))
		return log_fatal(command, 2, "try: --admin 127.0.0.1:4040", "%s %s: %s", source, text,
			addr->has_port ? why : "the port is missing");
	if (strcmp(addr->host, "localhost") == 0)
		strcpy(addr->host, "127.0.0.1");
	*host = addr->host;
	*port = addr->port;
	return 0;
}

int common_apply(const struct common *c, const char *command)
{
	struct log_config config = {
		.level = c->verbose ? LOG_DEBUG : (enum log_level)place("error|warn|info|debug",
			c->log_level),
		.format = (enum log_format)place("term|logfmt|json", c->log_format),
		.color = (enum log_color)place("auto|always|never", c->color),
	};
	int err;

	if (c->quiet && config.level == LOG_INFO)
		config.level = LOG_WARN;
	log_setup(&config);
	err = c->log_file ? log_open(c->log_file) : 0;
	if (!err)
		return 0;
	return log_fatal(command, 3, "name a file in a folder that this user can write",
		"--log-file %s: %s", c->log_file, strerror(-err));
}
