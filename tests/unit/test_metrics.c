#include "unit.h"

#include "core/metrics.h"
#include "core/prometheus.h"

static char *text_of(struct buf *b)
{
	assert_false(b->failed);
	buf_add(b, "", 1);
	return b->data;
}

/* Each member by its name in the list, so that none is left out of a sum. */
static void fill(struct metrics *m, uint64_t from)
{
#define X(member, kind, name, help) m->member = from++;
	METRICS_PROCESS(X)
#undef X
#define X(member, kind, name, help) m->gone.member = from++;
	METRICS_TRAFFIC(X)
#undef X
	m->gone.resets[CODE_CANCELLED] = from++;
	metrics_answer(&m->gone, 200, 1000);
	metrics_answer(&m->gone, 404, 3000);
	metrics_answer(&m->gone, 99, 5000);
	metrics_answer(&m->gone, 600, 7000);
}

static void shards_add_up(void **state)
{
	struct metrics a = { 0 }, b = { 0 }, sum = { 0 };
	uint64_t want = 1 + 1000;

	(void)state;
	fill(&a, 1);
	fill(&b, 1000);
	metrics_add(&sum, &a);
	metrics_add(&sum, &b);
#define X(member, kind, name, help)                                                              \
	assert_int_equal(sum.member, want);                                                      \
	want += 2;
	METRICS_PROCESS(X)
#undef X
#define X(member, kind, name, help)                                                              \
	assert_int_equal(sum.gone.member, want);                                                 \
	want += 2;
	METRICS_TRAFFIC(X)
#undef X
	assert_int_equal(sum.gone.resets[CODE_CANCELLED], want);
	assert_int_equal(sum.gone.http->status[200 - METRICS_STATUS_MIN], 2);
	assert_int_equal(sum.gone.http->status[404 - METRICS_STATUS_MIN], 2);
	assert_int_equal(sum.gone.http->latency.count, 8);
	assert_int_equal(sum.gone.http->latency.sum, 2 * 16000);
	metrics_fini(&a);
	metrics_fini(&b);
	metrics_fini(&sum);
}

static void every_code_has_its_place(void **state)
{
	(void)state;
#define X(name, number, text) assert_true(number < METRICS_CODES);
	CODE_LIST(X)
#undef X
}

static void json_names_all(void **state)
{
	struct metrics m = { 0 };
	struct buf b = { .max = 1 << 20 };
	struct json j = json_of(&b);
	char *text;

	(void)state;
	fill(&m, 1);
	json_begin_object(&j, NULL);
	metrics_json(&m, &j);
	json_begin_object(&j, "totals");
	metrics_json_traffic(&m.gone, &j);
	json_end(&j);
	json_end(&j);
	text = text_of(&b);
#define X(member, kind, name, help) assert_non_null(strstr(text, "\"" #member "\":"));
	METRICS_PROCESS(X)
	METRICS_TRAFFIC(X)
#undef X
	assert_non_null(strstr(text, "\"status\":{\"200\":1,\"404\":1}"));
	assert_non_null(strstr(text, "\"resets\":{\"CANCELLED\":"));
	assert_non_null(strstr(text, "\"latency\":{\"count\":4,\"mean_us\":4000,\"min_us\":1000,"
		"\"max_us\":7000,"));
	buf_fini(&b);
	metrics_fini(&m);
}

static void json_of_nothing(void **state)
{
	struct metrics_traffic t = { 0 };
	struct buf b = { .max = 1 << 20 };
	struct json j = json_of(&b);

	(void)state;
	json_begin_object(&j, NULL);
	metrics_json_traffic(&t, &j);
	json_end(&j);
	assert_non_null(strstr(text_of(&b), "\"status\":{},\"resets\":{}}"));
	buf_fini(&b);
}

static void page(void **state)
{
	struct metrics m = { 0 };
	struct metrics_traffic t = { .streams = 7, .sent_bytes = 12345678901ull }, idle = { 0 };
	struct prometheus_row row = { &t, 1500, 10007, false }, web = { &idle, 0, 10008, true };
	struct prometheus_about about = { "server", "1.2.3", 61500, 2, true };
	struct buf b = { .max = 1 << 20 };
	static const char *const wanted[] = {
		"gotunnel_build_info{role=\"server\",version=\"1.2.3\"} 1\n",
		"gotunnel_uptime_seconds 61.500\n",
		"gotunnel_ready 1\n",
		"gotunnel_tunnels 2\n",
		"gotunnel_http_responses_total{port=\"10008\",class=\"2xx\"} 0\n",
		"gotunnel_http_latency_seconds_count{port=\"10008\"} 0\n",
		"gotunnel_streams_total{port=\"10007\"} 7\n",
		"gotunnel_sent_bytes_total{port=\"10007\"} 12345678901\n",
		"gotunnel_streams_total{port=\"0\"} 10\n",
		"gotunnel_stream_resets_total{port=\"10007\",code=\"STALLED\"} 3\n",
		"gotunnel_http_responses_total{port=\"10007\",class=\"5xx\"} 1\n",
		"gotunnel_http_latency_seconds_bucket{port=\"10007\",le=\"0.1\"} 0\n",
		"gotunnel_http_latency_seconds_bucket{port=\"10007\",le=\"0.5\"} 1\n",
		"gotunnel_http_latency_seconds_bucket{port=\"10007\",le=\"+Inf\"} 1\n",
		"gotunnel_http_latency_seconds_sum{port=\"10007\"} 0.300000\n",
		"gotunnel_round_trip_seconds{port=\"10007\"} 0.001500\n",
	};
	char *text;

	(void)state;
	t.resets[CODE_STALLED] = 3;
	m.gone.streams = 10;
	metrics_answer(&t, 503, 300000);
	prometheus_write(&m, (struct prometheus_row[]){ row, web }, 2, &about, &b);
	text = text_of(&b);
	for (size_t i = 0; i < COUNT(wanted); i++)
		assert_non_null(strstr(text, wanted[i]));
#define X(member, kind, name, help)                                                              \
	assert_non_null(strstr(text, "# HELP " name " " help "\n# TYPE " name " " #kind "\n"));
	METRICS_PROCESS(X)
	METRICS_TRAFFIC(X)
#undef X
	buf_fini(&b);
	metrics_fini_traffic(&t);
}

static void summary(void **state)
{
	struct metrics_traffic t = { .streams = 3, .received_bytes = 5, .sent_bytes = 6 };
	struct summary s;

	(void)state;
	metrics_answer(&t, 200, 100);
	metrics_answer(&t, 404, 300);
	metrics_answer(&t, 404, 500);
	metrics_summarise(&t, &s);
	assert_int_equal(s.streams, 3);
	assert_int_equal(s.received, 5);
	assert_int_equal(s.latency.mean, 300);
	assert_int_equal(s.latency.least, 100);
	assert_int_equal(s.latency.most, 500);
	assert_int_equal(s.code_count, 2);
	assert_int_equal(s.codes[0].status, 404);
	assert_int_equal(s.codes[0].count, 2);
	metrics_fini_traffic(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shards_add_up),
		cmocka_unit_test(every_code_has_its_place),
		cmocka_unit_test(json_names_all),
		cmocka_unit_test(json_of_nothing),
		cmocka_unit_test(page),
		cmocka_unit_test(summary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
