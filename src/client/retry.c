#include "client/retry.h"

enum { FIRST_MS = 1000, MOST_MS = 30000, CALM_US = 60 * 1000 * 1000 };

void retry_init(struct retry *r, const struct retry_config *config)
{
	*r = (struct retry){ .config = *config };
}

void retry_success(struct retry *r, uint64_t now_us)
{
	r->succeeded = true;
	r->connected_us = now_us;
}

static uint64_t wait_for(unsigned failed, uint32_t random)
{
	uint64_t ms = FIRST_MS;

	while (failed-- > 1 && ms < MOST_MS)
		ms *= 2;
	if (ms > MOST_MS)
		ms = MOST_MS;
	return ms - ms * (random % 1024) / 4096;
}

static bool is_final(const struct retry *r, enum retry_cause cause)
{
	switch (cause) {
	case RETRY_REFUSED:
		return true;
	case RETRY_CERTIFICATE:
	case RETRY_PORT:
	case RETRY_USAGE:
		return !r->succeeded;
	default:
		return false;
	}
}

enum retry_verdict retry_failure(struct retry *r, enum retry_cause cause, uint64_t now_us,
	uint32_t random, uint64_t *wait_ms)
{
	bool counts = cause != RETRY_TOLD && !(cause == RETRY_NO_NETWORK && r->succeeded);

	if (r->connected_us && now_us - r->connected_us >= CALM_US)
		r->failed = r->flaps = 0;
	else if (r->connected_us)
		r->flaps++;
	/* The loss of a session is no failed attempt: the first wait is short. */
	if (r->connected_us)
		counts = false;
	r->connected_us = 0;
	if (is_final(r, cause))
		return RETRY_FINAL;
	if (!r->config.enabled)
		return RETRY_GIVE_UP;
	if (counts)
		r->failed++;
	if (r->config.attempts && r->failed >= r->config.attempts)
		return RETRY_GIVE_UP;
	*wait_ms = wait_for(r->failed > r->flaps ? r->failed : r->flaps, random);
	return RETRY_AGAIN;
}
