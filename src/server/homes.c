#include "server/homes.h"

#include <stdlib.h>
#include <string.h>

#include "auth/siphash.h"

enum { BUCKETS_MIN = 64 };

struct home {
	struct home *next;	/* in its bucket */
	uint64_t hash;
	struct portpool_identity who;
	unsigned worker;
	unsigned connections;
};

struct homes {
	uint64_t key[2];
	struct home **buckets;
	size_t nbuckets;	/* a power of two */
	size_t count;
	unsigned workers;
	unsigned loads[];	/* connections at home on each */
};

struct homes *homes_new(const uint64_t key[2], unsigned workers)
{
	struct homes *t = calloc(1, sizeof *t + workers * sizeof t->loads[0]);

	if (!t)
		return NULL;
	t->buckets = calloc(BUCKETS_MIN, sizeof(struct home *));
	if (!t->buckets) {
		free(t);
		return NULL;
	}
	t->nbuckets = BUCKETS_MIN;
	t->workers = workers;
	memcpy(t->key, key, sizeof t->key);
	return t;
}

void homes_free(struct homes *t)
{
	if (!t)
		return;
	free(t->buckets);
	free(t);
}

static struct home **bucket(const struct homes *t, uint64_t hash)
{
	return &t->buckets[hash & (t->nbuckets - 1)];
}

/* Without memory the old table stays: slower, not wrong. */
static void grow(struct homes *t)
{
	size_t nold = t->nbuckets, n = nold * 2;
	struct home **old = t->buckets;
	struct home **new = calloc(n, sizeof(struct home *));

	if (!new)
		return;
	t->buckets = new;
	t->nbuckets = n;
	for (size_t i = 0; i < nold; i++) {
		for (struct home *home = old[i], *next; home; home = next) {
			struct home **at = bucket(t, home->hash);

			next = home->next;
			home->next = *at;
			*at = home;
		}
	}
	free(old);
}

static unsigned least_loaded(const struct homes *t, unsigned here)
{
	unsigned best = here;

	for (unsigned i = 0; i < t->workers; i++)
		if (t->loads[i] < t->loads[best])
			best = i;
	return best;
}

static struct home *find(const struct homes *t, const struct portpool_identity *who, uint64_t hash)
{
	struct home *home = *bucket(t, hash);

	while (home && (home->hash != hash || memcmp(&home->who, who, sizeof *who) != 0))
		home = home->next;
	return home;
}

struct home *homes_join(struct homes *t, const struct portpool_identity *who, unsigned here)
{
	uint64_t hash = siphash(t->key, who, sizeof *who);
	struct home *home = find(t, who, hash);

	if (!home) {
		home = calloc(1, sizeof *home);
		if (!home)
			return NULL;
		if (t->count >= t->nbuckets)
			grow(t);
		home->hash = hash;
		home->who = *who;
		home->worker = least_loaded(t, here);
		home->next = *bucket(t, hash);
		*bucket(t, hash) = home;
		t->count++;
	}
	home->connections++;
	t->loads[home->worker]++;
	return home;
}

void homes_leave(struct homes *t, struct home *home)
{
	struct home **at = bucket(t, home->hash);

	t->loads[home->worker]--;
	if (--home->connections)
		return;
	while (*at != home)
		at = &(*at)->next;
	*at = home->next;
	t->count--;
	free(home);
}

unsigned homes_worker(const struct home *home)
{
	return home->worker;
}
