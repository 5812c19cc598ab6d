#ifndef CLIENT_UNREACHABLE_H
#define CLIENT_UNREACHABLE_H

#include <stddef.h>
#include <stdint.h>

#include "core/code.h"

/*
 * What a visitor is told when the web service behind `gotunnel http` cannot be
 * reached: one fixed 502 (RFC 9110, 15.6.3) if what it sent begins an HTTP/1
 * request. Pure.
 */
enum unreachable_visitor {
	UNREACHABLE_WAIT,	/* the first line is not whole yet */
	UNREACHABLE_HTTP,	/* a request: the answer is understood */
	UNREACHABLE_OTHER,	/* anything else: RST */
};

enum unreachable_visitor unreachable_judge(const uint8_t *data, size_t len);

enum { UNREACHABLE_MAX = 1024 };

/* The answer to the request in data: target "localhost:3000", why "Connection
 * refused", code for the field Gotunnel-Error. Without a body for HEAD.
 * Returns the length in out, of UNREACHABLE_MAX bytes. */
size_t unreachable_answer(const uint8_t *data, size_t len, const char *target, const char *why,
	enum code code, char *out);

#endif
