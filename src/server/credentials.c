#include "server/credentials.h"

#include <stdio.h>
#include <string.h>

#include "auth/proof.h"
#include "core/addr.h"
#include "core/log.h"
#include "net/file.h"

/* A token that is lost with the process would lock every client out. */
static void warn_none(const char *path, const char *why)
{
	log_warn(NULL, "no token: %s cannot be written (%s); only dev-token is accepted, from this "
		"machine; try: --state-dir DIR or --token-file FILE", path, why);
}

static void make(struct credentials *c, const struct server_config *config)
{
	unsigned char random[15];
	char made[SECRET_MADE], line[SECRET_MADE + 1];
	int err = file_make_folder(config->state_dir);

	proof_random(random, sizeof random);
	secret_make(random, made);
	snprintf(line, sizeof line, "%s\n", made);
	memcpy(c->token, made, sizeof made);
	if (!err)
		err = file_replace(c->path, line, strlen(line), 0600);
	if (err) {
		warn_none(c->path, strerror(-err));
		c->token[0] = c->path[0] = '\0';
	} else {
		log_info(NULL, "made a token, kept in %s", c->path);
	}
	c->is_new = !err;
	proof_wipe(random, sizeof random);
	proof_wipe(made, sizeof made);
	proof_wipe(line, sizeof line);
}

/* Only this machine can come. */
static bool is_private(const struct server_config *config)
{
	return config->addr_host && addr_is_loopback_host(config->addr_host);
}

int credentials_load(struct credentials *c, const struct server_config *config)
{
	char err[600];
	int result;

	/* dev-token by hand is what there is without one. */
	if (config->token && strcmp(config->token, SECRET_DEV) == 0) {
		*c = (struct credentials){ .accepts_dev = true };
		log_warn(NULL, "%s gives dev-token, which works from this machine only",
			config->token_source);
		return 0;
	}
	*c = (struct credentials){ .accepts_dev = !config->token };
	if (config->token) {
		snprintf(c->token, sizeof c->token, "%s", config->token);
		return 0;
	}
	if (!config->state_dir) {
		if (!is_private(config))
			warn_none("its file", "HOME is not set");
		return 0;
	}
	snprintf(c->path, sizeof c->path, "%s/token", config->state_dir);
	result = file_read_secret(c->path, c->token, sizeof c->token, err, sizeof err);
	if (result == 0 && secret_is_token(c->token))
		return 0;
	c->token[0] = '\0';
	if (result == 0)
		return log_fatal("server", 3, "remove it and a new one is made",
			"%s: holds no token", c->path);
	if (result == -1)
		return log_fatal("server", 3, NULL, "%s", err);
	if (is_private(config))
		c->path[0] = '\0';
	else
		make(c, config);
	return 0;
}

void credentials_wipe(struct credentials *c)
{
	proof_wipe(c, sizeof *c);
}

static bool is_id(const void *key_id, size_t len, const char *name)
{
	return len == strlen(name) && memcmp(key_id, name, len) == 0;
}

const char *credentials_find(const struct credentials *c, const void *key_id, size_t len,
	bool from_loopback)
{
	if (is_id(key_id, len, "default") && c->token[0])
		return c->token;
	if (is_id(key_id, len, "dev") && c->accepts_dev && from_loopback)
		return SECRET_DEV;
	return NULL;
}
