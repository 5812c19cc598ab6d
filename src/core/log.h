#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The process's log: the only global state. Lines go to stderr, or to a file.
 *
 *	term	│ INFO  │ text		on a terminal
 *		2026-01-13T18:00:00Z INFO  text	otherwise
 *	logfmt	time=… level=info msg="text" who="…"
 *	json	{"time":"…","level":"info","msg":"text","who":"…"}
 *
 * Text of a peer must have gone through text_escape() before; a line is cut
 * at 4 KiB, a record so that it stays well-formed. Nothing here fails or waits:
 * what cannot be written now is dropped, and counted (log_dropped()). Every thread
 * may call all but log_setup(), which comes before there are any; log_limits
 * belong to one.
 */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TERM, LOG_LOGFMT, LOG_JSON };
enum log_color { LOG_COLOR_AUTO, LOG_COLOR_ALWAYS, LOG_COLOR_NEVER };

struct log_config {
	enum log_level level;
	enum log_format format;
	enum log_color color;
};

void log_setup(const struct log_config *config);

/* Appends to the file from now on. 0 or -errno. */
int log_open(const char *path);
/* Opens the file anew, after it was moved away. 0 or -errno. */
int log_reopen(void);

/* who: the prefix that names an object, or NULL. */
void log_write(enum log_level level, const char *who, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

/* A value of a record. `text` NULL: `number`. Names are ours. */
struct log_field {
	const char *name;
	const char *text;
	double number;
};

/*
 * A line for each event of the traffic, at level info: the fields as a record
 * behind time, level and msg, or `people` in the term format. Lines to a file or a
 * pipe are collected and leave with log_flush(), at the latest at 64 KiB.
 */
void log_event(const char *msg, const struct log_field *fields, size_t count, const char *people);

/* Writes what log_event() collected; once a turn of the loop. */
void log_flush(void);

/* The log goes to a file. */
bool log_has_file(void);

/* Whether log_event() would write: level info, and not to a terminal, which has
 * lines of its own look. */
bool log_wants_events(void);

/* Writes to a descriptor without waiting: whole or not at all. */
bool log_put(int fd, const char *data, size_t len);

/* Lines lost because nobody took them. */
uint64_t log_dropped(void);

/* The last words of a command ("" before one was chosen):
 * "gotunnel COMMAND: what" and an indented hint
 * (NULL: none), or one record with code, exit, msg and hint. Returns exit. */
int log_fatal(const char *command, int exit, const char *hint, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The last flush: waits up to 2 s for who reads. */
void log_finish(void);

/* Whether lines of this level are written at all. */
bool log_has_level(enum log_level level);
/* Whether lines of the terminal's look are wanted: the format is term. */
bool log_is_term(void);
/* Whether to colour what goes to this descriptor. */
bool log_has_color(int fd);

/* For lines that a peer can cause: at most 100 a second of a kind, then one
 * "suppressed n" when the second is over. Zero-initialised, one a kind. */
struct log_limit {
	uint64_t second;
	unsigned passed, suppressed;
};

/* Whether a line may go; *suppressed is the count to tell first, or 0. */
bool log_limit_pass(struct log_limit *l, uint64_t now_ms, unsigned *suppressed);

#endif
