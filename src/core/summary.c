#include "core/summary.h"

#include <stdio.h>

#include "core/text.h"

const char *summary_latency(uint64_t us, char *out, size_t cap)
{
	if (us < 1000)
		snprintf(out, cap, "%uµs", (unsigned)us);
	else if (us < 10000000)
		snprintf(out, cap, "%ums", (unsigned)((us + 500) / 1000));
	else if (us < 60000000)
		snprintf(out, cap, "%.1fs", (double)us / 1e6);
	else
		text_elapsed(us / 1000, out, cap);
	return out;
}

/* Keeps the most frequent, in order. */
void summary_add_code(struct summary *s, unsigned status, uint64_t count)
{
	size_t at = s->code_count;

	if (!count)
		return;
	while (at && s->codes[at - 1].count < count)
		at--;
	if (s->code_count == SUMMARY_CODES)
		s->other_codes += at == SUMMARY_CODES ? count : s->codes[SUMMARY_CODES - 1].count;
	else
		s->code_count++;
	if (at == SUMMARY_CODES)
		return;
	for (size_t i = s->code_count - 1; i > at; i--)
		s->codes[i] = s->codes[i - 1];
	s->codes[at].status = status;
	s->codes[at].count = count;
}

static void row(struct buf *out, const char *name, const char *value)
{
	buf_format(out, "%-23s %s\n", name, value);
}

static void row_number(struct buf *out, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	row(out, name, text);
}

static void row_size(struct buf *out, const char *name, uint64_t bytes)
{
	char text[24];

	row(out, name, text_size(bytes, text, sizeof text));
}

static void latencies(const struct summary *s, bool with_quantiles, struct buf *out)
{
	char a[24], b[24], c[24], text[80];

	snprintf(text, sizeof text, "%s / %s / %s", summary_latency(s->latency.mean, a, sizeof a),
		summary_latency(s->latency.least, b, sizeof b),
		summary_latency(s->latency.most, c, sizeof c));
	row(out, "Avg / Min / Max Latency", s->latency.count ? text : "-");
	if (!with_quantiles)
		return;
	snprintf(text, sizeof text, "%s / %s / %s", summary_latency(s->latency.p50, a, sizeof a),
		summary_latency(s->latency.p90, b, sizeof b),
		summary_latency(s->latency.p99, c, sizeof c));
	row(out, "p50 / p90 / p99", s->latency.count ? text : "-");
}

static void codes(const struct summary *s, struct buf *out)
{
	buf_format(out, "%-23s ", "Status Codes");
	for (size_t i = 0; i < s->code_count; i++)
		buf_format(out, "%s%u: %llu", i ? ", " : "", s->codes[i].status,
			(unsigned long long)s->codes[i].count);
	if (s->other_codes)
		buf_format(out, ", other: %llu", (unsigned long long)s->other_codes);
	if (s->http_unanswered)
		buf_format(out, "%sno answer: %llu", s->code_count ? ", " : "",
			(unsigned long long)s->http_unanswered);
	buf_text(out, s->code_count || s->http_unanswered ? "\n" : "-\n");
}

void summary_write(const struct summary *s, bool with_quantiles, struct buf *out)
{
	char text[32];

	buf_text(out, "Metrics Summary\n");
	row_number(out, "Active Streams", s->streams_open);
	row_number(out, "Total Streams", s->streams);
	row_number(out, "Total Connections", s->connections);
	row_size(out, "Data Sent", s->sent);
	row_size(out, "Data Received", s->received);
	row_size(out, "Total Transfer", s->sent + s->received);
	row_number(out, "HTTP Requests", s->http_requests);
	latencies(s, with_quantiles, out);
	codes(s, out);
	row(out, "Uptime", text_elapsed(s->uptime_ms, text, sizeof text));
}
