/*
 * Requests to the admin endpoint: whole and in pieces they are judged the same,
 * what is found lies inside of the head, and nobody passes the gate whose host
 * is not this machine's. The first byte says where the pieces end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "admin/gate.h"
#include "admin/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct request_text *t, const char *head, size_t len)
{
	if (!t->at)
		return;
	if (t->at < head || t->len > len || (size_t)(t->at - head) > len - t->len)
		abort();
	for (size_t i = 0; i < t->len; i++)
		if (t->at[i] <= 0x20 || t->at[i] >= 0x7f)
			abort();
}

static void check_gate(const struct request *r)
{
	const char *why = NULL;
	unsigned status = gate_check(r, false, &why);

	if ((status != 0) != (why != NULL))
		abort();
	if (status || !r->host.at)
		return;
	if (*r->host.at != '[' && memcmp(r->host.at, "127.", 4) != 0 &&
		strncasecmp(r->host.at, "localhost", 9) != 0)
		abort();
}

static enum request_result in_pieces(struct request *r, const char *p, size_t len, size_t piece,
	unsigned *status)
{
	enum request_result result = REQUEST_MORE;

	for (size_t n = 0; n < len && result == REQUEST_MORE;) {
		n = len - n > piece ? n + piece : len;
		result = request_parse(r, p, n, status);
	}
	return result;
}

/* Returns how long the head is, or 0. */
static size_t one(const char *bytes, size_t len, size_t piece)
{
	/* Of its own, so that a read beyond it is seen. */
	char *p = malloc(len);
	struct request a = { 0 }, b = { 0 };
	unsigned status = 0, other = 0;
	enum request_result result;
	size_t taken = 0;

	if (!p)
		abort();
	memcpy(p, bytes, len);
	result = request_parse(&a, p, len, &status);
	if (result != in_pieces(&b, p, len, piece, &other))
		abort();
	if (result == REQUEST_BAD && (status != other ||
		(status != 400 && status != 413 && status != 505)))
		abort();
	if (result == REQUEST_WHOLE) {
		if (a.len != b.len || a.method != b.method || a.keep_alive != b.keep_alive ||
			a.path.at != b.path.at || a.host.at != b.host.at || a.host.len != b.host.len)
			abort();
		if (!a.path.at != (a.method == REQUEST_OTHER))
			abort();
		check_text(&a.path, p, a.len);
		check_text(&a.host, p, a.len);
		check_text(&a.origin, p, a.len);
		check_gate(&a);
		taken = a.len;
	}
	free(p);
	return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece, taken;

	if (size < 2 || size > 16 * 1024)
		return 0;
	piece = (size_t)data[0] + 1;
	data++;
	size--;
	while (size && (taken = one((const char *)data, size, piece))) {
		data += taken;
		size -= taken;
	}
	return 0;
}
