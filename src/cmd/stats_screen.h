#ifndef CMD_STATS_SCREEN_H
#define CMD_STATS_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

/*
 * A page of lines for standard output, shown at once. On a terminal each line
 * is cut to its width. A page that is drawn again and again stands at the top
 * of the terminal and is cut to its height; elsewhere nothing is cut and no
 * cursor is moved.
 */
enum stats_style { STATS_PLAIN, STATS_BOLD, STATS_GOOD, STATS_WARNING, STATS_FAINT };

struct stats_screen {
	bool again;		/* drawn in place */
	bool color;
	unsigned width, rows;	/* 0: no bound */
	unsigned lines;
	struct buf out;
};

/* again: wanted, where it can be. */
void stats_screen_begin(struct stats_screen *s, bool again);

/* A line, or several with newlines between them. The text is fit for a
 * terminal. */
void stats_screen_add(struct stats_screen *s, enum stats_style style, const char *text);

/* Lines that still fit. */
unsigned stats_screen_left(const struct stats_screen *s);

/* Writes it out. 0, or -1 when nobody reads it any more. */
int stats_screen_end(struct stats_screen *s);

/* Columns that a text takes on a terminal: East Asian wide characters and
 * emoji two, combining marks none. */
size_t stats_screen_columns(const char *text, size_t len);

#endif
