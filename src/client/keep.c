#include "client/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/proof.h"
#include "auth/secret.h"
#include "core/log.h"
#include "net/file.h"

void keep_init(struct keep *k, struct worker *w, const struct client_config *config)
{
	*k = (struct keep){ .config = config, .worker = w, .tty.fd = -1 };
}

void keep_close(struct keep *k)
{
	poller_close_sock(&k->tty);
}

static void save(struct keep *k)
{
	char folder[sizeof k->path], line[SECRET_MAX + 2];
	int err;

	snprintf(folder, sizeof folder, "%s", k->path);
	*strrchr(folder, '/') = '\0';
	snprintf(line, sizeof line, "%s\n", k->config->token);
	err = file_make_folder(folder);
	if (!err)
		err = file_replace(k->path, line, strlen(line), 0600);
	proof_wipe(line, sizeof line);
	if (err)
		log_warn(NULL, "%s: %s; the token was not kept", k->path, strerror(-err));
	else
		log_info(NULL, "Token kept in %s", k->path);
}

static void on_answer(struct sock *s)
{
	struct keep *k = list_entry(s, struct keep, tty);
	char answer[64];
	ssize_t n = read(s->fd, answer, sizeof answer);

	if (n < 0 && errno == EAGAIN) {
		s->readable = false;
		return;
	}
	if (n > 0 && (answer[0] == 'y' || answer[0] == 'Y'))
		save(k);
	keep_close(k);
}

void keep_offer(struct keep *k)
{
	char question[sizeof k->path + 32];
	const char *home;
	size_t len;
	int fd;

	if (k->asked || !k->config->token_typed ||
		file_config_path("token", k->path, sizeof k->path) < 0)
		return;
	k->asked = true;
	fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	home = getenv("HOME");
	len = home ? strlen(home) : 0;
	snprintf(question, sizeof question, "Keep it in %s%s? [y/N] ",
		len && strncmp(k->path, home, len) == 0 ? "~" : "",
		len && strncmp(k->path, home, len) == 0 ? k->path + len : k->path);
	if (write(fd, question, strlen(question)) < 0 ||
		poller_add(&k->worker->poller, &k->tty, fd, on_answer) < 0)
		close(fd);
}
