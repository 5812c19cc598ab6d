#include "core/prometheus.h"

/* A page under way: the rows of the tunnels, then the one of those gone. */
struct page {
	const struct prometheus_row *rows;
	size_t count;
	struct prometheus_row gone;
	struct buf *out;
};

static const struct prometheus_row *row(const struct page *p, size_t i)
{
	return i < p->count ? &p->rows[i] : &p->gone;
}

static void family(struct page *p, const char *name, const char *type, const char *help)
{
	buf_format(p->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void lone(struct page *p, const char *name, const char *type, const char *help,
	uint64_t value)
{
	family(p, name, type, help);
	buf_format(p->out, "%s %llu\n", name, (unsigned long long)value);
}

/* Most of a page is such lines, and the loop stands still while it is written:
 * they are put together without a format string. */
static void number(struct buf *out, uint64_t v)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + v % 10);
	} while (v /= 10);
	buf_add(out, digits + at, sizeof digits - at);
}

/* name{port="N" */
static void begin_row(struct page *p, const char *name, uint16_t port)
{
	buf_text(p->out, name);
	buf_text(p->out, "{port=\"");
	number(p->out, port);
	buf_text(p->out, "\"");
}

static void end_row(struct page *p, const char *before, uint64_t value)
{
	buf_text(p->out, before);
	buf_text(p->out, "} ");
	number(p->out, value);
	buf_text(p->out, "\n");
}

static void write_counts(struct page *p)
{
#define X(member, kind, name, help)                                                              \
	family(p, name, #kind, help);                                                            \
	for (size_t i = 0; i <= p->count; i++) {                                                 \
		begin_row(p, name, row(p, i)->port);                                                  \
		end_row(p, "", shard_get(&row(p, i)->traffic->member));                            \
	}
	METRICS_TRAFFIC(X)
#undef X
}

static void write_resets(struct page *p)
{
	static const char name[] = "gotunnel_stream_resets_total";

	family(p, name, "counter", "Streams that ended by a reset, by its code.");
	for (size_t i = 0; i <= p->count; i++) {
		for (unsigned c = 0; c < METRICS_CODES; c++) {
			uint64_t n = shard_get(&row(p, i)->traffic->resets[c]);

			if (!n)
				continue;
			begin_row(p, name, row(p, i)->port);
			buf_text(p->out, ",code=\"");
			buf_text(p->out, code_name(c));
			end_row(p, "\"", n);
		}
	}
}

/* An increase can only be seen of a series that was there before it. */
static const struct metrics_http *http_of(const struct page *p, size_t i)
{
	static const struct metrics_http none;

	if (!row(p, i)->traffic->http && row(p, i)->is_http)
		return &none;
	return row(p, i)->traffic->http;
}

static void write_classes(struct page *p)
{
	static const char name[] = "gotunnel_http_responses_total";

	family(p, name, "counter", "HTTP/1 responses by the class of their status.");
	for (size_t i = 0; i <= p->count; i++) {
		const struct metrics_http *http = http_of(p, i);

		for (unsigned class = 0; http && class < METRICS_STATUSES / 100; class++) {
			const char text[] = { (char)('1' + class), 'x', 'x', '"', '\0' };
			uint64_t n = 0;

			for (unsigned s = 0; s < 100; s++)
				n += shard_get(&http->status[class * 100 + s]);
			begin_row(p, name, row(p, i)->port);
			buf_text(p->out, ",class=\"");
			end_row(p, text, n);
		}
	}
}

/* Bounds of the latency's buckets. */
static const struct {
	uint64_t us;
	const char *le;
} bounds[] = {
	{ 1000, "0.001" }, { 2500, "0.0025" }, { 5000, "0.005" }, { 10000, "0.01" },
	{ 25000, "0.025" }, { 50000, "0.05" }, { 100000, "0.1" }, { 250000, "0.25" },
	{ 500000, "0.5" }, { 1000000, "1" }, { 2500000, "2.5" }, { 5000000, "5" },
	{ 10000000, "10" }, { 30000000, "30" }, { 60000000, "60" },
};

enum { BOUNDS = sizeof bounds / sizeof bounds[0] };

static void write_latency(struct page *p)
{
	static const char name[] = "gotunnel_http_latency_seconds";
	static const char bucket[] = "gotunnel_http_latency_seconds_bucket";

	family(p, name, "histogram", "From the first byte of a request to the head of its answer.");
	for (size_t i = 0; i <= p->count; i++) {
		const struct metrics_http *http = http_of(p, i);
		uint16_t port = row(p, i)->port;

		if (!http)
			continue;
		for (unsigned b = 0; b <= BOUNDS; b++) {
			begin_row(p, bucket, port);
			buf_text(p->out, ",le=\"");
			buf_text(p->out, b < BOUNDS ? bounds[b].le : "+Inf");
			end_row(p, "\"", b < BOUNDS ? histogram_below(&http->latency, bounds[b].us) :
				http->latency.count);
		}
		buf_format(p->out, "%s_sum{port=\"%u\"} %.6f\n", name, port,
			(double)http->latency.sum / 1e6);
		buf_format(p->out, "%s_count{port=\"%u\"} %llu\n", name, port,
			(unsigned long long)http->latency.count);
	}
}

static void write_round_trips(struct page *p)
{
	static const char name[] = "gotunnel_round_trip_seconds";

	family(p, name, "gauge", "The last round trip measured on the tunnel's session.");
	for (size_t i = 0; i < p->count; i++)
		if (p->rows[i].round_trip_us)
			buf_format(p->out, "%s{port=\"%u\"} %.6f\n", name, p->rows[i].port,
				(double)p->rows[i].round_trip_us / 1e6);
}

static void write_process(struct page *p, const struct metrics *m,
	const struct prometheus_about *about)
{
	family(p, "gotunnel_build_info", "gauge", "The program, as labels.");
	buf_format(p->out, "gotunnel_build_info{role=\"%s\",version=\"%s\"} 1\n", about->role,
		about->version);
	family(p, "gotunnel_uptime_seconds", "gauge", "Seconds since the start.");
	buf_format(p->out, "gotunnel_uptime_seconds %.3f\n", (double)about->uptime_ms / 1e3);
	lone(p, "gotunnel_ready", "gauge", "1 when visitors can come.", about->is_ready);
	lone(p, "gotunnel_tunnels", "gauge", "Tunnels there are now.", about->tunnels);
#define X(member, kind, name, help) lone(p, name, #kind, help, shard_get(&m->member));
	METRICS_PROCESS(X)
#undef X
}

void prometheus_write(const struct metrics *m, const struct prometheus_row *rows, size_t count,
	const struct prometheus_about *about, struct buf *out)
{
	struct page p = { rows, count, { &m->gone, 0, 0, false }, out };

	write_process(&p, m, about);
	write_counts(&p);
	write_resets(&p);
	write_classes(&p);
	write_latency(&p);
	write_round_trips(&p);
}
