#include "core/log.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/sink.h"

enum {
	LINE_MAX_LEN = 4096,
	LINES_A_SECOND = 100,
	TAIL = 8,		/* of a record: what always fits behind a value */
};

static struct log_config config = { LOG_INFO, LOG_TERM, LOG_COLOR_AUTO };

/* Lines come from every thread: one holds this while it writes. What is of no
 * interest is found out before, and so is that nothing waits to be written. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool is_waiting;

static void lock(void)
{
	pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
	__atomic_store_n(&is_waiting, !sink_is_idle(), __ATOMIC_RELAXED);
	pthread_mutex_unlock(&mutex);
}

static const struct {
	const char *upper, *lower, *color;
} levels[] = {
	[LOG_ERROR] = { "ERROR", "error", "\033[31m" },
	[LOG_WARN] = { "WARN ", "warn", "\033[33m" },
	[LOG_INFO] = { "INFO ", "info", "\033[36m" },
	[LOG_DEBUG] = { "DEBUG", "debug", "\033[2m" },
};

void log_setup(const struct log_config *wanted)
{
	config = *wanted;
}

int log_open(const char *path)
{
	int err;

	lock();
	err = sink_open(path);
	unlock();
	return err;
}

int log_reopen(void)
{
	int err;

	lock();
	err = sink_reopen();
	unlock();
	return err;
}

static void tell_dropped(void);

static void flush(void)
{
	tell_dropped();
	sink_flush();
}

void log_flush(void)
{
	if (!__atomic_load_n(&is_waiting, __ATOMIC_RELAXED))
		return;
	lock();
	flush();
	unlock();
}

void log_finish(void)
{
	lock();
	tell_dropped();
	sink_finish();
	unlock();
}

bool log_put(int fd, const char *data, size_t len)
{
	bool all;

	lock();
	all = sink_write(fd, data, len) == len;
	unlock();
	return all;
}

uint64_t log_dropped(void)
{
	uint64_t n;

	lock();
	n = sink_dropped();
	unlock();
	return n;
}

bool log_has_level(enum log_level level)
{
	return level <= config.level;
}

bool log_is_term(void)
{
	return config.format == LOG_TERM;
}

bool log_has_color(int fd)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

	if (config.color != LOG_COLOR_AUTO)
		return config.color == LOG_COLOR_ALWAYS;
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

static void add_text(struct line *l, const char *text, size_t len)
{
	size_t room = sizeof l->text - 1 - l->len;

	if (len > room)
		len = room;
	memcpy(l->text + l->len, text, len);
	l->len += len;
}

static void put(struct line *l)
{
	l->text[l->len++] = '\n';
	sink_add(l->text, l->len);
}

/* RFC 3339, in UTC. The second's text is kept: most lines share it. */
static void add_time(struct line *l)
{
	static time_t second = -1;
	static char text[32];
	struct timespec now;
	unsigned ms;
	char tail[] = ".000Z";

	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != second) {
		struct tm tm;

		second = now.tv_sec;
		gmtime_r(&second, &tm);
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	}
	ms = (unsigned)(now.tv_nsec / 1000000);
	tail[1] = (char)('0' + ms / 100);
	tail[2] = (char)('0' + ms / 10 % 10);
	tail[3] = (char)('0' + ms % 10);
	add_text(l, text, strlen(text));
	add_text(l, tail, sizeof tail - 1);
}

/* A value is cut where the record could no longer be closed behind it. */
static void add_quoted(struct line *l, const char *text)
{
	add_text(l, "\"", 1);
	while (*text && sizeof l->text - l->len > 2 * TAIL) {
		size_t room = sizeof l->text - l->len - 2 * TAIL, n = 0;

		while (n < room && (unsigned char)text[n] >= 0x20 && text[n] != '"' &&
			text[n] != '\\')
			n++;
		add_text(l, text, n);
		text += n;
		if (n == room || !*text)
			continue;
		if (*text == '"' || *text == '\\')
			add(l, "\\%c", *text++);
		else
			add(l, "\\u%04x", *text++);
	}
	add_text(l, "\"", 1);
}

static void add_key(struct line *l, const char *name)
{
	bool json = config.format == LOG_JSON;

	if (l->len > 1)
		add_text(l, json ? "," : " ", 1);
	if (json)
		add_text(l, "\"", 1);
	add_text(l, name, strlen(name));
	add_text(l, json ? "\":" : "=", json ? 2 : 1);
}

static bool has_room(const struct line *l, const char *name)
{
	return sizeof l->text - l->len > strlen(name) + 4 * TAIL;
}

static void add_field(struct line *l, const char *name, const char *value)
{
	if (!value || !has_room(l, name))
		return;
	add_key(l, name);
	add_quoted(l, value);
}

/* Up to three decimals, without trailing zeros: a record has several, and
 * printf() took half of the time that one costs. */
static void add_number(struct line *l, const char *name, double value)
{
	char digits[32];
	size_t at = sizeof digits;
	uint64_t thousandths, whole;
	bool point = false;

	if (!has_room(l, name))
		return;
	add_key(l, name);
	if (!(value >= 0 && value < 1e15)) {
		add(l, "%.3f", isfinite(value) ? value : 0);
		return;
	}
	whole = (uint64_t)value;
	thousandths = (uint64_t)((value - (double)whole) * 1000 + 0.5);
	whole += thousandths / 1000;
	thousandths %= 1000;
	for (int i = 0; i < 3; i++, thousandths /= 10) {
		if (!point && thousandths % 10 == 0)
			continue;
		digits[--at] = (char)('0' + thousandths % 10);
		point = true;
	}
	if (point)
		digits[--at] = '.';
	do {
		digits[--at] = (char)('0' + whole % 10);
	} while (whole /= 10);
	add_text(l, digits + at, sizeof digits - at);
}

static void begin_record(struct line *l, enum log_level level)
{
	struct line time = { .len = 0 };

	add_time(&time);
	time.text[time.len] = '\0';
	if (config.format == LOG_JSON)
		add(l, "{");
	add_field(l, "time", time.text);
	add_field(l, "level", levels[level].lower);
}

static void end_record(struct line *l, bool batched)
{
	if (config.format == LOG_JSON)
		add(l, "}");
	put(l);
	if (!batched)
		flush();
}

static void add_people(struct line *l, enum log_level level, const char *who, const char *text)
{
	bool color = log_has_color(sink_fd());

	if (sink_is_tty()) {
		add(l, "│ %s%s%s │ ", color ? levels[level].color : "", levels[level].upper,
			color ? "\033[0m" : "");
	} else {
		add_time(l);
		add(l, " %s%s%s ", color ? levels[level].color : "", levels[level].upper,
			color ? "\033[0m" : "");
	}
	add(l, "%s%s%s", who ? who : "", who ? ": " : "", text);
}

/* The mutex is held. */
static void write_line(enum log_level level, const char *who, const char *text)
{
	struct line l = { .len = 0 };

	if (config.format == LOG_TERM) {
		add_people(&l, level, who, text);
		put(&l);
		flush();
		return;
	}
	begin_record(&l, level);
	add_field(&l, "msg", text);
	add_field(&l, "who", who);
	end_record(&l, false);
}

/* Tells, once there is somebody to read it, of lines that nobody read in time. */
static void tell_dropped(void)
{
	static bool telling;
	uint64_t n = telling || !log_has_level(LOG_WARN) ? 0 : sink_news();
	char text[80];

	if (!n)
		return;
	telling = true;
	snprintf(text, sizeof text, "suppressed %llu lines that nobody read in time",
		(unsigned long long)n);
	write_line(LOG_WARN, NULL, text);
	telling = false;
}

void log_write(enum log_level level, const char *who, const char *format, ...)
{
	char text[LINE_MAX_LEN - 256];
	va_list args;

	if (level > config.level)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	lock();
	write_line(level, who, text);
	unlock();
}

bool log_has_file(void)
{
	return sink_has_path();
}

bool log_wants_events(void)
{
	bool wants;

	if (!log_has_level(LOG_INFO))
		return false;
	lock();
	wants = !log_is_term() || sink_has_path() || !sink_is_tty();
	unlock();
	return wants;
}

static void write_event(const char *msg, const struct log_field *fields, size_t count,
	const char *people)
{
	struct line l = { .len = 0 };

	if (config.format == LOG_TERM) {
		add_people(&l, LOG_INFO, NULL, people);
		put(&l);
		return;
	}
	begin_record(&l, LOG_INFO);
	add_field(&l, "msg", msg);
	for (size_t i = 0; i < count; i++) {
		if (fields[i].text)
			add_field(&l, fields[i].name, fields[i].text);
		else
			add_number(&l, fields[i].name, fields[i].number);
	}
	end_record(&l, true);
}

void log_event(const char *msg, const struct log_field *fields, size_t count, const char *people)
{
	if (!log_has_level(LOG_INFO))
		return;
	lock();
	write_event(msg, fields, count, people);
	unlock();
}

static void write_fatal(const char *command, int exit, const char *hint, const char *text)
{
	struct line l = { .len = 0 };

	sink_flush();
	if (config.format == LOG_TERM) {
		add(&l, "gotunnel%s%s: %s\n", *command ? " " : "", command, text);
		if (hint && *hint)
			add(&l, "  %s\n", hint);
		sink_say(STDERR_FILENO, l.text, l.len);
		return;
	}
	begin_record(&l, LOG_ERROR);
	add_field(&l, "code", command);
	add_number(&l, "exit", exit);
	add_field(&l, "msg", text);
	add_field(&l, "hint", hint);
	end_record(&l, false);
}

int log_fatal(const char *command, int exit, const char *hint, const char *format, ...)
{
	char text[LINE_MAX_LEN - 1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	lock();
	write_fatal(command, exit, hint, text);
	unlock();
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
