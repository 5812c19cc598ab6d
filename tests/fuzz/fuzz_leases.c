/*
 * STATE/leases.PORT: whatever stands there, a port is leased only by a record
 * that is whole, to whom it names, and what was read is written so that it is
 * read again, as the same. No fuzzer guesses checksums: after an even first
 * byte every record gets the right one.
 */
#include <stdlib.h>
#include <string.h>

#include "server/leases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	FIRST = 10000,
	LAST = 10100,
	MAGIC = 18,
	IDENTIFIED = 2 + PORTPOOL_IDENTITY,
	RECORD = IDENTIFIED + 4,
	INPUT_MAX = 32 * 1024,
	UNTIL = 1000,
};

static void must(bool what)
{
	if (!what)
		abort();
}

/* By a table, which leases.c has not (ISO 3309). */
static uint32_t crc32(const uint8_t *p, size_t len)
{
	static uint32_t table[256];
	uint32_t crc = UINT32_MAX;

	for (uint32_t i = 0; !table[1] && i < 256; i++) {
		uint32_t row = 255 - i; /* Row 1 comes late: it says that all are there. */

		table[row] = row;
		for (int bit = 0; bit < 8; bit++)
			table[row] = table[row] & 1 ? table[row] >> 1 ^ 0xedb88320 : table[row] >> 1;
	}
	while (len--)
		crc = table[(crc ^ *p++) & 255] ^ crc >> 8;
	return ~crc;
}

static uint32_t number(const uint8_t *p, size_t width)
{
	uint32_t n = 0;

	while (width--)
		n = n << 8 | *p++;
	return n;
}

static void sign(uint8_t *text, size_t len)
{
	for (size_t at = MAGIC; at + RECORD <= len; at += RECORD) {
		uint32_t crc = crc32(text + at, IDENTIFIED);

		for (int i = 0; i < 4; i++)
			text[at + IDENTIFIED + i] = (uint8_t)(crc >> (24 - 8 * i));
	}
}

/* The last good record of a port says whose it is. */
static const uint8_t *record_of(const uint8_t *text, size_t len, uint16_t port)
{
	const uint8_t *last = NULL;

	for (size_t at = MAGIC; at + RECORD <= len; at += RECORD)
		if (number(text + at, 2) == port &&
			number(text + at + IDENTIFIED, 4) == crc32(text + at, IDENTIFIED))
			last = text + at + 2;
	return last;
}

static void check_pool(const struct portpool *pool, const uint8_t *text, size_t len)
{
	for (uint16_t port = FIRST; port <= LAST; port++) {
		const struct portpool_identity *who = portpool_owner(pool, port, 0);
		const uint8_t *record = record_of(text, len, port);

		must(!who == !record);
		must(!who || memcmp(who->bytes, record, PORTPOOL_IDENTITY) == 0);
		must(!portpool_owner(pool, port, UNTIL)); /* Not for ever. */
	}
}

static void check_again(const struct portpool *pool)
{
	struct buf one = { .max = 1 << 20 }, two = { .max = 1 << 20 };
	struct portpool again;

	must(portpool_init(&again, FIRST, LAST) == 0);
	leases_encode(pool, 0, &one);
	must(!one.failed && (one.len - MAGIC) % RECORD == 0);
	must(leases_decode(&again, one.data, one.len, UNTIL) ==
		(int)((one.len - MAGIC) / RECORD));
	leases_encode(&again, 0, &two);
	must(one.len == two.len && memcmp(one.data, two.data, one.len) == 0);
	buf_fini(&one);
	buf_fini(&two);
	portpool_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct portpool pool;
	uint8_t *text;
	int count;

	if (size < 2 || size > INPUT_MAX)
		return 0;
	text = malloc(size - 1); /* Its own block: a read beyond it is seen. */
	must(text && portpool_init(&pool, FIRST, LAST) == 0);
	memcpy(text, data + 1, size - 1);
	if (!(data[0] & 1))
		sign(text, size - 1);
	count = leases_decode(&pool, text, size - 1, UNTIL);
	must(count >= -1 && count <= (int)(size / RECORD));
	check_pool(&pool, text, count < 0 ? 0 : size - 1);
	check_again(&pool);
	portpool_fini(&pool);
	free(text);
	return 0;
}
