#ifndef NET_TERM_H
#define NET_TERM_H

#include <stdbool.h>
#include <stddef.h>

/* The controlling terminal, asked directly. Blocking, for the start only. */

bool term_is(int fd);

/* Columns of the terminal on fd, or fallback. */
unsigned term_width(int fd, unsigned fallback);
/* Rows. */
unsigned term_height(int fd, unsigned fallback);

/* Shows the question and reads a line without echo into out (terminated, no
 * newline). 0, or -1 at the end of input, an interrupt or without a terminal. */
int term_ask_secret(const char *question, char *out, size_t cap);

#endif
