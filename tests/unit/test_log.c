#include "unit.h"

#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

#include "core/log.h"

/* What was written since the last call; the log goes to a file. */
static char *written(void)
{
	static char text[1 << 20];
	static off_t at;
	static int fd = -1;
	ssize_t n;

	if (fd < 0) {
		fd = open(getenv("LOG_TEST_FILE"), O_RDONLY);
		assert_true(fd >= 0);
	}
	log_flush();
	n = pread(fd, text, sizeof text - 1, at);
	assert_true(n >= 0);
	text[n] = '\0';
	at += n;
	return text;
}

static void set(enum log_format format, enum log_level level)
{
	struct log_config config = { level, format, LOG_COLOR_NEVER };

	log_setup(&config);
}

static char *filled(size_t len, const char *with)
{
	char *text = malloc(len + 1);
	size_t n = strlen(with);

	assert_non_null(text);
	for (size_t i = 0; i < len; i++)
		text[i] = with[i % n];
	text[len] = '\0';
	return text;
}

/* However long and whatever its values, a record is one line that parses. */
static void records_stay_whole(void **state)
{
	static const char *const values[] = {
		"", "plain", "with \"quotes\" and \\", "\"\"\"\"", "\\", "a\tb\nc\rd\x1b",
	};

	(void)state;
	set(LOG_JSON, LOG_INFO);
	for (size_t len = 0; len < 9000; len += len < 3000 ? 977 : len < 4300 ? 13 : 1500) {
		for (size_t v = 1; v < COUNT(values); v++) {
			char *value = filled(len, values[v]);
			struct log_field fields[] = {
				{ .name = "first", .text = value },
				{ .name = "number", .number = 12.345 },
				{ .name = "second", .text = value },
				{ .name = "last", .number = 7 },
			};
			char *line;
			json_t *parsed;

			log_event("event", fields, COUNT(fields), "");
			line = written();
			assert_true(strlen(line) <= 4096);
			assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
			parsed = json_loads(line, 0, NULL);
			assert_non_null(parsed);
			assert_string_equal(json_string_value(json_object_get(parsed, "msg")), "event");
			if (len < 900) {
				assert_string_equal(json_string_value(json_object_get(parsed,
					"first")), value);
				assert_true(json_number_value(json_object_get(parsed, "last")) == 7);
			}
			json_decref(parsed);
			free(value);
		}
	}
}

static void numbers(void **state)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = {
		{ 0, "=0\n" }, { 1, "=1\n" }, { 0.001, "=0.001\n" }, { 0.0004, "=0\n" },
		{ 0.5, "=0.5\n" }, { 1.25, "=1.25\n" }, { 10, "=10\n" }, { 100.01, "=100.01\n" },
		{ 123456789012345.0, "=123456789012345\n" }, { -1, "=-1.000\n" },
		{ 1e15, "=1000000000000000.000\n" },
	};

	(void)state;
	set(LOG_LOGFMT, LOG_INFO);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct log_field field = { .name = "n", .number = rows[i].value };
		char *line;

		log_event("x", &field, 1, "");
		line = written();
		assert_non_null(strstr(line, " msg=\"x\" n"));
		assert_string_equal(strstr(line, " n=") + 2, rows[i].text);
	}
}

static void levels(void **state)
{
	(void)state;
	set(LOG_TERM, LOG_WARN);
	log_info(NULL, "hidden");
	log_event("x", NULL, 0, "hidden, too");
	assert_string_equal(written(), "");
	assert_false(log_wants_events());
	log_warn("who", "shown %d", 5);
	assert_non_null(strstr(written(), "Z WARN  who: shown 5\n"));
	set(LOG_TERM, LOG_INFO);
	assert_true(log_wants_events());
	log_event("x", NULL, 0, "a line");
	assert_non_null(strstr(written(), "Z INFO  a line\n"));
}

/* Lines of events leave together, and never after a later line. */
static void order(void **state)
{
	char *text;

	(void)state;
	set(LOG_TERM, LOG_INFO);
	log_event("x", NULL, 0, "first");
	log_info(NULL, "second");
	log_event("x", NULL, 0, "third");
	text = written();
	assert_true(strstr(text, "first") < strstr(text, "second"));
	assert_true(strstr(text, "second") < strstr(text, "third"));
}

static void limit(void **state)
{
	struct log_limit l = { 0 };
	unsigned suppressed, passed = 0;

	(void)state;
	for (int i = 0; i < 150; i++)
		passed += log_limit_pass(&l, 5000 + (uint64_t)i, &suppressed);
	assert_int_equal(passed, 100);
	assert_true(log_limit_pass(&l, 6000, &suppressed));
	assert_int_equal(suppressed, 50);
	assert_true(log_limit_pass(&l, 6001, &suppressed));
	assert_int_equal(suppressed, 0);
}

static int setup(void **state)
{
	static char path[] = "/tmp/test_log.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0)
		return -1;
	close(fd);
	setenv("LOG_TEST_FILE", path, 1);
	return log_open(path);
}

static int teardown(void **state)
{
	(void)state;
	return unlink(getenv("LOG_TEST_FILE"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_stay_whole),
		cmocka_unit_test(numbers),
		cmocka_unit_test(levels),
		cmocka_unit_test(order),
		cmocka_unit_test(limit),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
