#include "server/homes.h"

#include <stdlib.h>
#include <string.h>

#include "auth/siphash.h"
#include "core/list.h"
#include "core/table.h"

struct home {
	struct table_node node;
	struct portpool_identity who;
	unsigned worker;
	unsigned connections;
};

struct homes {
	uint64_t key[2];
	struct table table;
	unsigned workers;
	unsigned loads[];	/* connections at home on each */
};

struct homes *homes_new(const uint64_t key[2], unsigned workers)
{
	struct homes *t = calloc(1, sizeof *t + workers * sizeof t->loads[0]);

	if (!t)
		return NULL;
	if (table_init(&t->table) < 0) {
		free(t);
		return NULL;
	}
	t->workers = workers;
	memcpy(t->key, key, sizeof t->key);
	return t;
}

void homes_free(struct homes *t)
{
	if (!t)
		return;
	table_fini(&t->table);
	free(t);
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
	for (struct table_node *n = table_find(&t->table, hash); n; n = table_again(n)) {
		struct home *home = list_entry(n, struct home, node);

		if (memcmp(&home->who, who, sizeof *who) == 0)
			return home;
	}
	return NULL;
}

struct home *homes_join(struct homes *t, const struct portpool_identity *who, unsigned here)
{
	uint64_t hash = siphash(t->key, who, sizeof *who);
	struct home *home = find(t, who, hash);

	if (!home) {
		home = calloc(1, sizeof *home);
		if (!home)
			return NULL;
		home->who = *who;
		home->worker = least_loaded(t, here);
		table_add(&t->table, &home->node, hash);
	}
	home->connections++;
	t->loads[home->worker]++;
	return home;
}

void homes_leave(struct homes *t, struct home *home)
{
	t->loads[home->worker]--;
	if (--home->connections)
		return;
	table_remove(&t->table, &home->node);
	free(home);
}

unsigned homes_worker(const struct home *home)
{
	return home->worker;
}
