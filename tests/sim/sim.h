/* What simulators by seeds have in common: chance that follows from the seed, and an end
 * that says how to replay it. SIM_NAME is defined by who includes it. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed, rng;

static uint32_t chance(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % below;
}

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "seed %llu: ", (unsigned long long)seed);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nreplay: " SIM_NAME " %llu 1\n", (unsigned long long)seed);
	exit(1);
}

#define CHECK(what)                                                            \
	do {                                                                   \
		if (!(what))                                                   \
			fail("line %d: %s", __LINE__, #what);                  \
	} while (0)

#endif
