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
