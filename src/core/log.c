#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_LEN = 4096, LINES_A_SECOND = 100 };

static struct {
	struct log_config config;
	char *path;
	int fd;
} sink = { .config = { LOG_INFO, LOG_TERM, LOG_COLOR_AUTO }, .fd = STDERR_FILENO };

static const struct {
	const char *upper, *lower, *color;
} levels[] = {
	[LOG_ERROR] = { "ERROR", "error", "\033[31m" },
	[LOG_WARN] = { "WARN ", "warn", "\033[33m" },
	[LOG_INFO] = { "INFO ", "info", "\033[36m" },
	[LOG_DEBUG] = { "DEBUG", "debug", "\033[2m" },
};

void log_setup(const struct log_config *config)
{
	sink.config = *config;
}

static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);

	return fd < 0 ? -errno : fd;
}

int log_open(const char *path)
{
	int fd = open_file(path);

	if (fd < 0)
		return fd;
	free(sink.path);
	sink.path = strdup(path);
	sink.fd = fd;
	return 0;
}

int log_reopen(void)
{
	int fd = sink.path ? open_file(sink.path) : 0;

	if (!sink.path || fd < 0)
		return fd;
	close(sink.fd);
	sink.fd = fd;
	return 0;
}

bool log_is_term(void)
{
	return sink.config.format == LOG_TERM;
}

bool log_has_color(int fd)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

	if (sink.config.color != LOG_COLOR_AUTO)
		return sink.config.color == LOG_COLOR_ALWAYS;
	return isatty(fd) && !(none && *none) && !(term && strcmp(term, "dumb") == 0);
}

/* A line under construction; what does not fit is dropped. */
struct line {
	char text[LINE_MAX_LEN];
	size_t len;
};

static void add(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct line *l, const char *format, ...)
{
	size_t room = sizeof l->text - 1 - l->len; /* The newline always fits. */
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(l->text + l->len, room, format, args);
	va_end(args);
	if (n > 0)
		l->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void put(struct line *l)
{
	l->text[l->len++] = '\n';
	if (write(sink.fd, l->text, l->len) < 0)
		return; /* Nobody is left to tell. */
}

static void add_time(struct line *l)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	add(l, "%s.%03dZ", text, (int)(now.tv_nsec / 1000000));
}

static void add_quoted(struct line *l, const char *text)
{
	add(l, "\"");
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			add(l, "\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			add(l, "\\u%04x", *text);
		else
			add(l, "%c", *text);
	}
	add(l, "\"");
}

static void add_field(struct line *l, const char *name, const char *value)
{
	if (!value)
		return;
	if (sink.config.format == LOG_JSON)
		add(l, "%s\"%s\":", l->len > 1 ? "," : "", name);
	else
		add(l, "%s%s=", l->len ? " " : "", name);
	add_quoted(l, value);
}

static void begin_record(struct line *l, enum log_level level)
{
	struct line time = { .len = 0 };

	add_time(&time);
	if (sink.config.format == LOG_JSON)
		add(l, "{");
	add_field(l, "time", time.text);
	add_field(l, "level", levels[level].lower);
}

static void end_record(struct line *l)
{
	if (sink.config.format == LOG_JSON)
		add(l, "}");
	put(l);
}

static void write_people(enum log_level level, const char *who, const char *text)
{
	struct line l = { .len = 0 };
	bool color = log_has_color(sink.fd);

	if (isatty(sink.fd)) {
		add(&l, "│ %s%s%s │ ", color ? levels[level].color : "", levels[level].upper,
			color ? "\033[0m" : "");
	} else {
		add_time(&l);
		add(&l, " %s%s%s ", color ? levels[level].color : "", levels[level].upper,
			color ? "\033[0m" : "");
	}
	add(&l, "%s%s%s", who ? who : "", who ? ": " : "", text);
	put(&l);
}

void log_write(enum log_level level, const char *who, const char *format, ...)
{
	struct line l = { .len = 0 };
	char text[LINE_MAX_LEN - 256];
	va_list args;

	if (level > sink.config.level)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (sink.config.format == LOG_TERM) {
		write_people(level, who, text);
		return;
	}
	begin_record(&l, level);
	add_field(&l, "msg", text);
	add_field(&l, "who", who);
	end_record(&l);
}

int log_fatal(const char *command, int exit, const char *hint, const char *format, ...)
{
	struct line l = { .len = 0 };
	char text[LINE_MAX_LEN - 1024];
	char number[12];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	snprintf(number, sizeof number, "%d", exit);
	if (sink.config.format == LOG_TERM) {
		fprintf(stderr, "gotunnel%s%s: %s\n", *command ? " " : "", command, text);
		if (hint && *hint)
			fprintf(stderr, "  %s\n", hint);
		return exit;
	}
	begin_record(&l, LOG_ERROR);
	add_field(&l, "code", command);
	add_field(&l, "exit", number);
	add_field(&l, "msg", text);
	add_field(&l, "hint", hint);
	end_record(&l);
	return exit;
}

bool log_limit_pass(struct log_limit *l, uint64_t now_ms, unsigned *suppressed)
{
	*suppressed = 0;
	if (now_ms / 1000 != l->second) {
		*suppressed = l->suppressed;
		*l = (struct log_limit){ .second = now_ms / 1000 };
	}
	if (l->passed >= LINES_A_SECOND) {
		l->suppressed++;
		return false;
	}
	l->passed++;
	return true;
}
