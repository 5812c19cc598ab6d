#ifndef CLIENT_INSTANCE_H
#define CLIENT_INSTANCE_H

#include <stdint.h>

/*
 * The instance of a name: 16 random bytes that tell this client from another
 * with the same name and token, kept in STATE so that it stays the same over
 * restarts. Each running process has its own, held by a lock on its file: the
 * second process of one name takes the next file, so that it, too, is itself
 * again after a restart.
 *
 *	STATE/instance-NAME.0, .1, ...
 */
struct instance {
	uint8_t bytes[16];
	int fd;		/* holds the lock; -1: not kept */
};

/* Always gives an instance; one that cannot be kept (state_dir NULL or not
 * writable) lives as long as the process. */
void instance_open(struct instance *i, const char *state_dir, const char *name);
void instance_close(struct instance *i);

#endif
