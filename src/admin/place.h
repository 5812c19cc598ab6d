#ifndef ADMIN_PLACE_H
#define ADMIN_PLACE_H

#include <stddef.h>

/*
 * Where the unix sockets of this user's processes stand. Blocking, for the
 * start and for `gotunnel stats`.
 *
 *	$RUNTIME_DIRECTORY		alone, where systemd set it
 *	$XDG_RUNTIME_DIR/gotunnel	if that is this user's own folder
 *	/run/gotunnel			for root
 *	/tmp/gotunnel-UID		else
 */
enum { PLACE_FOLDERS = 2, PLACE_PATH_MAX = 108 };

/* The n-th folder where this user's sockets can be, from 0; the first is the
 * one to make them in. 0, or -1 when there is no n-th or its path is too
 * long. */
int place_folder(unsigned n, char *out, size_t cap);

/* Opens a folder and locks it against others who look for dead sockets:
 * nobody takes a socket for dead that is only not listening yet. It must be
 * this user's (root: may be anybody's), no symbolic link, and not writable for
 * others. A descriptor to close, or -errno with the reason in words in why:
 * ENOENT, EACCES (not permitted, or another's), ENOTDIR. */
int place_open(const char *folder, char *why, size_t cap);

/* place_open() of one that is made first, 0700 in any case. Not even root gets
 * another's. */
int place_make(const char *folder, char *why, size_t cap);

/* Whether somebody listens: 1, or 0 when the socket was a dead process's and
 * is removed; -errno when that cannot be told (EACCES, ENOENT, ENOTSOCK). The
 * folder is held open. */
int place_probe(const char *path);

#endif
