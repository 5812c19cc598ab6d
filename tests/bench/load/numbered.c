/* Bulk whose every block says which it is, so that loss shows. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <sys/socket.h>

ssize_t send_bulk(struct conn *c)
{
	size_t into = c->sent % BLOCK, n = CHUNK - into;
	ssize_t done;

	for (unsigned i = 0; i < CHUNK / BLOCK; i++)
		chunk[i * BLOCK] = (uint8_t)(c->sent / BLOCK + i);
	if (n > c->size - c->sent)
		n = (size_t)(c->size - c->sent);
	done = send(c->fd, chunk + into, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (done > 0)
		c->sent += (uint64_t)done;
	return done;
}

bool take_bulk(struct conn *c, const uint8_t *data, size_t n)
{
	uint64_t next = (c->got + BLOCK - 1) / BLOCK * BLOCK;

	for (; next < c->got + n; next += BLOCK)
		if (data[next - c->got] != (uint8_t)(next / BLOCK))
			return false;
	c->got += n;
	return true;
}

size_t read_bulk(struct conn *c)
{
	ssize_t n = receive(c->fd, trash, CHUNK);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		die("a stream broke before its last byte");
	if (n == 0)
		lost("a stream ended at %llu of its %llu bytes", (unsigned long long)c->got,
			(unsigned long long)c->size);
	if (!take_bulk(c, trash, (size_t)n))
		lost("bytes were lost or out of order");
	return (size_t)n;
}
