#include "unit.h"

#include "core/summary.h"

static void is_text(struct buf *b, const char *wanted)
{
	char *text = calloc(1, b->len + 1);

	assert_non_null(text);
	memcpy(text, b->data, b->len);
	assert_string_equal(text, wanted);
	free(text);
	buf_fini(b);
}

static void latencies(void **state)
{
	static const struct {
		uint64_t us;
		const char *text;
	} rows[] = {
		{ 0, "0µs" }, { 999, "999µs" }, { 1000, "1ms" }, { 1499, "1ms" }, { 1500, "2ms" },
		{ 45000, "45ms" }, { 9999499, "9999ms" }, { 10000000, "10.0s" }, { 12340000, "12.3s" },
		{ 60000000, "1m 0s" }, { 125000000, "2m 5s" }, { 3600000000, "1h 0m" },
	};
	char out[24];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(summary_latency(rows[i].us, out, sizeof out), rows[i].text);
}

static void empty(void **state)
{
	struct buf b = { .max = 4096 };
	struct summary s = { 0 };

	(void)state;
	summary_write(&s, true, &b);
	is_text(&b, "Metrics Summary\n"
		"Active Streams          0\n"
		"Total Streams           0\n"
		"Total Connections       0\n"
		"Data Sent               0 B\n"
		"Data Received           0 B\n"
		"Total Transfer          0 B\n"
		"HTTP Requests           0\n"
		"Avg / Min / Max Latency -\n"
		"p50 / p90 / p99         -\n"
		"Status Codes            -\n"
		"Uptime                  0ms\n");
}

static void full(void **state)
{
	struct buf b = { .max = 4096 };
	struct summary s = {
		.streams_open = 2, .streams = 30, .connections = 28,
		.received = 12000, .sent = 3400000, .http_requests = 120,
		.latency = { .count = 120, .mean = 45000, .least = 850, .most = 1200000,
			.p50 = 40000, .p90 = 90000, .p99 = 1100000 },
		.uptime_ms = 7500000,
	};

	(void)state;
	summary_add_code(&s, 404, 3);
	summary_add_code(&s, 200, 110);
	summary_add_code(&s, 500, 7);
	summary_write(&s, false, &b);
	is_text(&b, "Metrics Summary\n"
		"Active Streams          2\n"
		"Total Streams           30\n"
		"Total Connections       28\n"
		"Data Sent               3.4 MB\n"
		"Data Received           12 kB\n"
		"Total Transfer          3.4 MB\n"
		"HTTP Requests           120\n"
		"Avg / Min / Max Latency 45ms / 850µs / 1200ms\n"
		"Status Codes            200: 110, 500: 7, 404: 3\n"
		"Uptime                  2h 5m\n");
}

/* Whatever the order they come in: the most frequent, and the sum of the rest. */
static void more_codes_than_fit(void **state)
{
	enum { CODES = 40 };

	(void)state;
	for (unsigned step = 1; step < CODES; step += 2) {
		struct summary s = { 0 };
		uint64_t sum = 0;

		if (step % 5 == 0) /* It has to reach every one. */
			continue;
		for (unsigned i = 0; i < CODES; i++) {
			unsigned n = i * step % CODES;

			summary_add_code(&s, 100 + n, n);
		}
		assert_int_equal(s.code_count, SUMMARY_CODES);
		for (unsigned i = 0; i < SUMMARY_CODES; i++) {
			assert_int_equal(s.codes[i].status, 100 + CODES - 1 - i);
			assert_int_equal(s.codes[i].count, CODES - 1 - i);
		}
		for (unsigned n = 0; n < CODES - SUMMARY_CODES; n++)
			sum += n;
		assert_int_equal(s.other_codes, sum);
	}
}

static void others_are_told(void **state)
{
	struct buf b = { .max = 4096 };
	struct summary s = { 0 };

	(void)state;
	for (unsigned i = 0; i < SUMMARY_CODES + 2; i++)
		summary_add_code(&s, 200 + i, 5);
	summary_write(&s, false, &b);
	buf_add(&b, "", 1);
	assert_non_null(strstr(b.data, "Status Codes            200: 5, 201: 5, "));
	assert_non_null(strstr(b.data, ", 215: 5, other: 10\n"));
	buf_fini(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(latencies),
		cmocka_unit_test(empty),
		cmocka_unit_test(full),
		cmocka_unit_test(more_codes_than_fit),
		cmocka_unit_test(others_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
