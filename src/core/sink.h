#ifndef CORE_SINK_H
#define CORE_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where the log's lines go: stderr, or a file. Lines are collected and written
 * whole, never waiting for who reads them; what does not fit any more is
 * dropped and counted. Internal to core/log.c, which lets one thread in at a time.
 */

/* Appends to the file from now on. 0 or -errno. */
int sink_open(const char *path);
/* Opens the file anew, after it was moved away. 0 or -errno. */
int sink_reopen(void);

bool sink_has_path(void);
bool sink_is_tty(void);
int sink_fd(void);

/* Adds a whole line, its newline included, of at most 4 KiB. */
void sink_add(const char *line, size_t len);

/* Writes what was added, as far as that goes without waiting. */
void sink_flush(void);

/* The same at the end of the process: who reads gets a moment to take it. */
void sink_finish(void);

/* Lines lost because nobody took them. */
uint64_t sink_dropped(void);

/* Nothing waits to be written or to be told of. */
bool sink_is_idle(void);

/* How many of them are to be told of now: once each, when there is room. */
uint64_t sink_news(void);

/* Whole lines to any descriptor, without waiting: the bytes taken. */
size_t sink_write(int fd, const char *data, size_t len);
/* The same for a last word, whose reader gets a moment to take it. */
void sink_say(int fd, const char *data, size_t len);

#endif
