#ifndef NET_FILE_H
#define NET_FILE_H

#include <stddef.h>

/* Small files that hold state and secrets. Errors are told in words, for
 * people: "PATH: Permission denied". Blocking, for the start only. */

/* Reads a secret of one line into out (terminated, without the newline). The
 * file must not be readable by group or others. "-" is standard input. 0 or
 * -1 with the reason; -2 when there is no such file. */
int file_read_secret(const char *path, char *out, size_t cap, char *err, size_t err_cap);

/* Replaces a file, all or nothing: written beside it, synced, renamed. 0 or
 * -errno. */
int file_replace(const char *path, const void *data, size_t len, unsigned mode);

/* Makes a folder and those above it, 0700. 0 or -errno. */
int file_make_folder(const char *path);

/* The folder for state: `given`, $STATE_DIRECTORY, /var/lib/gotunnel for
 * root, else ~/.local/state/gotunnel. NULL when there is no home. Static or
 * borrowed. */
const char *file_state_folder(const char *given);

/* ~/.config/gotunnel/NAME in out, or -1 without a home. */
int file_config_path(const char *name, char *out, size_t cap);

#endif
