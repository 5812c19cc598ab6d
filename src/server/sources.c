#include "server/sources.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "auth/siphash.h"
#include "core/table.h"

#define SECOND_US UINT64_C(1000000)
#define FIRST_WAIT_US (15 * SECOND_US)
#define MOST_WAIT_US (600 * SECOND_US)
#define FORGET_US (600 * SECOND_US)
#define TELL_EVERY_US SECOND_US
/* A login under way is over by then, whatever becomes of it. */
#define LOGIN_US (5 * SECOND_US)

enum { PURGE_AT_ONCE = 8, DROP_RATE = 30 };

/* The network part of an address; IPv4 in IPv6 is IPv4. */
struct place {
	uint8_t net[8];
	uint8_t is_v6;
};

struct source {
	struct sources *table;
	struct table_node node;
	struct list idle;	/* on sources->idle[failures]: nothing of it is live */
	struct place place;
	uint8_t failures;
	uint16_t strangers, trying;
	uint16_t idlers;	/* how many stand on `callers` */
	struct list callers;	/* neither known nor trying yet, the oldest first */
	struct list crowd;	/* on sources->crowds[idlers], when nothing of it is known */
	unsigned sessions, visitors;
	uint64_t until_us;	/* the end of the wait after the last failure */
	uint64_t told_us;	/* when somebody was let in to be told of the wait */
};

struct sources {
	uint64_t key[2];
	struct table table;
	size_t nidle;
	struct list idle[SOURCES_MEASURED + 1]; /* by failures, the longest idle first */
	struct list crowds[SOURCES_STRANGERS + 1]; /* by idlers, the longest there first */
};

/* --- the table -------------------------------------------------------------------- */

struct sources *sources_new(const uint64_t key[2])
{
	struct sources *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	if (table_init(&t->table) < 0) {
		free(t);
		return NULL;
	}
	memcpy(t->key, key, sizeof t->key);
	for (size_t i = 0; i <= SOURCES_MEASURED; i++)
		list_init(&t->idle[i]);
	for (size_t i = 0; i <= SOURCES_STRANGERS; i++)
		list_init(&t->crowds[i]);
	return t;
}

void sources_free(struct sources *t)
{
	struct table_node *n;
	size_t at = 0;

	if (!t)
		return;
	while ((n = table_take(&t->table, &at)))
		free(list_entry(n, struct source, node));
	table_fini(&t->table);
	free(t);
}

size_t sources_count(const struct sources *t)
{
	return t->table.count;
}

/* False for what is no source. */
static bool place_of(const struct sockaddr *addr, struct place *out)
{
	const struct sockaddr_in6 *v6 = (const void *)addr;
	const struct sockaddr_in *v4 = (const void *)addr;
	const void *ip = NULL;

	memset(out, 0, sizeof *out);
	if (addr->sa_family == AF_INET)
		ip = &v4->sin_addr;
	else if (addr->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		ip = v6->sin6_addr.s6_addr + 12;
	if (ip) {
		memcpy(out->net, ip, 4);
		return memcmp(out->net, "\x7f\0\0\1", 4) != 0;
	}
	if (addr->sa_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr))
		return false;
	memcpy(out->net, v6->sin6_addr.s6_addr, sizeof out->net);
	out->is_v6 = 1;
	return true;
}

static void drop(struct sources *t, struct source *s)
{
	table_remove(&t->table, &s->node);
	if (list_is_on(&s->idle)) {
		list_remove(&s->idle);
		t->nidle--;
	}
	free(s);
}

static void forgive(struct source *s, uint64_t now_us)
{
	if (s->failures && now_us >= s->until_us + FORGET_US)
		s->failures = 0;
}

static struct source *oldest(struct sources *t, unsigned failures)
{
	struct list *n = list_first(&t->idle[failures]);

	return n ? list_entry(n, struct source, idle) : NULL;
}

/* Forgets some of those whose time is over; what a full table costs to look
 * through is spread over the calls. */
static void purge(struct sources *t, uint64_t now_us)
{
	unsigned left = PURGE_AT_ONCE;
	struct source *s;

	for (unsigned i = 1; i <= SOURCES_MEASURED; i++)
		for (; left && (s = oldest(t, i)) && now_us >= s->until_us + FORGET_US; left--)
			drop(t, s);
}

static void evict(struct sources *t)
{
	for (unsigned i = 1; i <= SOURCES_MEASURED; i++) {
		struct source *s = oldest(t, i);

		if (!s)
			continue;
		drop(t, s);
		return;
	}
}

static struct source *find(const struct sources *t, const struct place *place, uint64_t hash)
{
	for (struct table_node *n = table_find(&t->table, hash); n; n = table_again(n)) {
		struct source *s = list_entry(n, struct source, node);

		if (memcmp(&s->place, place, sizeof *place) == 0)
			return s;
	}
	return NULL;
}

/* The source of a place, made if need be, and on no list: the caller makes
 * something of it live, or gives it to settle(). NULL without memory. */
static struct source *get(struct sources *t, const struct place *place, uint64_t now_us)
{
	uint64_t hash = siphash(t->key, place, sizeof *place);
	struct source *s = find(t, place, hash);

	if (s) {
		if (list_is_on(&s->idle)) {
			list_remove(&s->idle);
			t->nidle--;
		}
		forgive(s, now_us);
		return s;
	}
	purge(t, now_us);
	s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->table = t;
	s->place = *place;
	list_init(&s->idle);
	list_init(&s->callers);
	list_init(&s->crowd);
	table_add(&t->table, &s->node, hash);
	return s;
}

/* Something of it may have ended: what neither lives nor failed is forgotten.
 * Who failed last is never the one to give way. */
static void settle(struct sources *t, struct source *s, uint64_t now_us)
{
	if (s->strangers || s->sessions || s->visitors)
		return;
	forgive(s, now_us);
	if (!s->failures) {
		drop(t, s);
		return;
	}
	if (t->nidle >= SOURCES_MAX)
		evict(t);
	list_append(&t->idle[s->failures], &s->idle);
	t->nidle++;
}

/* --- crowds -------------------------------------------------------------------------- */

static void rank(struct source *s)
{
	if (s->idlers && !s->sessions)
		list_append(&s->table->crowds[s->idlers], &s->crowd);
	else
		list_remove(&s->crowd);
}

static void join_crowd(struct source *s, struct sources_caller *c)
{
	list_append(&s->callers, &c->node);
	s->idlers++;
	rank(s);
}

static void part_from_crowd(struct source *s, struct sources_caller *c)
{
	if (!list_is_on(&c->node))
		return;
	list_remove(&c->node);
	s->idlers--;
	rank(s);
}

struct sources_caller *sources_crowd(const struct sources *t, const struct sources_caller *c)
{
	unsigned own = c->source ? c->source->idlers : 1;

	for (unsigned n = SOURCES_STRANGERS; n && n >= own; n--) {
		struct list *first = list_first(&t->crowds[n]);
		struct source *s = first ? list_entry(first, struct source, crowd) : NULL;
		struct sources_caller *oldest;

		if (!s)
			continue;
		oldest = list_entry(list_first(&s->callers), struct sources_caller, node);
		return oldest == c ? NULL : oldest;
	}
	return NULL;
}

/* --- logins -------------------------------------------------------------------------- */

static bool must_wait(const struct source *s, uint64_t now_us)
{
	return !s->sessions && s->failures >= SOURCES_FREE && now_us < s->until_us;
}

static enum sources_verdict judge(struct source *s, uint64_t now_us)
{
	if (s->strangers >= SOURCES_STRANGERS)
		return SOURCES_FULL;
	if (s->sessions)
		return SOURCES_KNOWN;
	if (!must_wait(s, now_us))
		return SOURCES_WELCOME;
	if (s->told_us && now_us < s->told_us + TELL_EVERY_US)
		return SOURCES_PUT_OFF;
	s->told_us = now_us;
	return SOURCES_WELCOME;
}

enum sources_verdict sources_enter(struct sources *t, struct sources_caller *c,
	const struct sockaddr *addr, uint64_t now_us)
{
	enum sources_verdict verdict = SOURCES_WELCOME;
	struct source *s = NULL;
	struct place place;

	if (place_of(addr, &place)) {
		s = get(t, &place, now_us);
		verdict = s ? judge(s, now_us) : SOURCES_NO_MEMORY;
		if (verdict == SOURCES_FULL || verdict == SOURCES_PUT_OFF)
			settle(t, s, now_us);
		if (verdict != SOURCES_WELCOME && verdict != SOURCES_KNOWN)
			return verdict;
		s->strangers++;
	}
	c->source = s;
	c->stage = SOURCES_IN;
	list_init(&c->node);
	if (s && verdict == SOURCES_WELCOME)
		join_crowd(s, c);
	return verdict;
}

uint64_t sources_try(struct sources_caller *c, uint64_t now_us)
{
	struct source *s = c->source;

	if (s) {
		forgive(s, now_us);
		if (must_wait(s, now_us))
			return s->until_us - now_us;
		if (!s->sessions && s->trying && s->failures + s->trying >= SOURCES_FREE)
			return LOGIN_US;
		s->trying++;
		part_from_crowd(s, c);
	}
	c->stage = SOURCES_TRYING;
	return 0;
}

void sources_swap(struct sources_caller *a, struct sources_caller *b)
{
	struct source *s = a->source;

	assert(a->stage == SOURCES_LIVE && b->stage == SOURCES_LIVE);
	a->source = b->source;
	b->source = s;
}

void sources_login(struct sources_caller *c)
{
	struct source *s = c->source;

	if (s) {
		s->strangers--;
		s->trying--;
		s->sessions++;
		s->failures = 0;
		rank(s);
	}
	c->stage = SOURCES_LIVE;
}

/* Returns the wait that it begins. */
static uint64_t fail(struct source *s, uint64_t now_us)
{
	uint64_t wait = 0;

	forgive(s, now_us);
	if (s->failures < SOURCES_MEASURED)
		s->failures++;
	if (s->failures >= SOURCES_FREE)
		wait = FIRST_WAIT_US << (s->failures - SOURCES_FREE);
	if (wait > MOST_WAIT_US)
		wait = MOST_WAIT_US;
	s->until_us = now_us + wait;
	return wait;
}

uint64_t sources_give_up(struct sources_caller *c, bool blame, uint64_t now_us)
{
	struct source *s = c->source;

	if (c->stage != SOURCES_TRYING)
		return 0;
	c->stage = SOURCES_IN;
	if (!s)
		return 0;
	s->trying--;
	return blame && !s->sessions ? fail(s, now_us) : 0;
}

uint64_t sources_leave(struct sources *t, struct sources_caller *c, bool blame, uint64_t now_us)
{
	uint64_t wait = sources_give_up(c, blame, now_us);
	enum sources_stage stage = c->stage;
	struct source *s = c->source;

	if (s && stage != SOURCES_OUT)
		part_from_crowd(s, c);
	*c = (struct sources_caller){ 0 };
	if (!s || stage == SOURCES_OUT)
		return 0;
	if (stage == SOURCES_LIVE) {
		s->sessions--;
		rank(s);
	} else {
		s->strangers--;
	}
	settle(t, s, now_us);
	return wait;
}

unsigned sources_failures(const struct sources_caller *c)
{
	return c->source ? c->source->failures : 0;
}

/* --- visitors --------------------------------------------------------------------------- */

bool sources_visit(struct sources *t, struct source **out, const struct sockaddr *addr,
	unsigned most, uint64_t now_us)
{
	struct place place;
	struct source *s;

	*out = NULL;
	if (!place_of(addr, &place))
		return true;
	s = get(t, &place, now_us);
	if (!s)
		return false;
	if (most && s->visitors >= most) {
		settle(t, s, now_us);
		return false;
	}
	s->visitors++;
	*out = s;
	return true;
}

void sources_part(struct sources *t, struct source *s, uint64_t now_us)
{
	if (!s)
		return;
	s->visitors--;
	settle(t, s, now_us);
}

/* --- early drop ---------------------------------------------------------------------------- */

bool sources_drop_early(unsigned waiting, unsigned most, uint32_t random)
{
	unsigned begin = most / 4 + (most % 4 != 0);
	uint64_t percent;

	if (waiting >= most)
		return true;
	if (waiting < begin)
		return false;
	percent = DROP_RATE + (uint64_t)(100 - DROP_RATE) * (waiting - begin) / (most - begin);
	return ((uint64_t)random * 100) >> 32 < percent;
}
