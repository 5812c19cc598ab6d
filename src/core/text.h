#ifndef CORE_TEXT_H
#define CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reading and writing the words of options and screens. Parsers return 0 or
 * -1, take the whole text or nothing, and write *out only on success. */

/* Decimal digits only, min <= *out <= max. */
int text_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* "30s", "1m30s", "500ms", "2h"; a lone 0 needs no unit. In milliseconds; -2
 * for more than a year. */
int text_duration(const char *text, uint64_t *ms);

/* true, false, 1, 0, yes, no, on, off. */
int text_bool(const char *text, bool *out);

/* "4s", "1m 30s", "2h 5m", "3d 4h". Returns out. */
const char *text_elapsed(uint64_t ms, char *out, size_t cap);

/* A time that somebody has set, to the millisecond below a minute: "1.5s".
 * Returns out. */
const char *text_period(uint64_t ms, char *out, size_t cap);

/* "512 B", "12 kB", "3.4 MB", powers of 1000. Returns out. */
const char *text_size(uint64_t bytes, char *out, size_t cap);

/*
 * The one place that makes bytes of a peer fit for a terminal, a log or a
 * page: printable UTF-8 stays; control characters, DEL, C1 controls, invisible and
 * bidirectional formatting, line separators, the backslash and whatever is
 * not UTF-8 become \xNN (a byte at a time). Cut with "..." at cap. Returns out.
 */
const char *text_escape(const void *bytes, size_t len, char *out, size_t cap);

/* The length of the well-formed UTF-8 sequence (RFC 3629) at p, 0 when there
 * is none; left > 0. */
size_t text_sequence(const void *p, size_t left);

/* The columns that well-formed text takes on a terminal: two for what East
 * Asian scripts and pictures need, as wcwidth() has it, otherwise one a character. */
unsigned text_columns(const char *text);

/* Cuts text in place to at most so many columns, its end then "...". */
void text_cut(char *text, unsigned columns);

/* The entry of names[count] that is nearest to word, or NULL when none is
 * near (it begins with word, or at most a third of word is mistyped). */
const char *text_nearest(const char *word, const char *const *names, size_t count);

#endif
