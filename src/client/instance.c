#include "client/instance.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "auth/proof.h"
#include "net/file.h"

enum { SLOTS = 64 };

/* A file name: what is not a letter, digit, '-' or '.' becomes %XX. */
static int slot_path(const char *dir, const char *name, int slot, char *out, size_t cap)
{
	int at = snprintf(out, cap, "%s/instance-", dir);

	for (; *name && at > 0 && (size_t)at + 8 < cap; name++) {
		bool plain = isalnum((unsigned char)*name) || *name == '-' || *name == '.';

		at += snprintf(out + at, cap - (size_t)at, plain ? "%c" : "%%%02X",
			(unsigned char)*name);
	}
	if (*name || at < 0 || (size_t)at + 8 >= cap)
		return -1;
	snprintf(out + at, cap - (size_t)at, ".%d", slot);
	return 0;
}

/* Reads what the file holds, or fills it. */
static bool load(int fd, uint8_t bytes[16])
{
	if (read(fd, bytes, 16) == 16)
		return true;
	proof_random(bytes, 16);
	return ftruncate(fd, 0) == 0 && pwrite(fd, bytes, 16, 0) == 16;
}

void instance_open(struct instance *i, const char *state_dir, const char *name)
{
	char path[4096];

	i->fd = -1;
	for (int slot = 0; state_dir && slot < SLOTS; slot++) {
		if (file_make_folder(state_dir) < 0 ||
			slot_path(state_dir, name, slot, path, sizeof path) < 0)
			break;
		i->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (i->fd < 0)
			break;
		if (flock(i->fd, LOCK_EX | LOCK_NB) == 0 && load(i->fd, i->bytes))
			return;
		instance_close(i);
	}
	proof_random(i->bytes, sizeof i->bytes);
}

void instance_close(struct instance *i)
{
	if (i->fd >= 0)
		close(i->fd);
	i->fd = -1;
}
