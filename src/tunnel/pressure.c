#include "tunnel/pressure.h"

#include "core/log.h"
#include "net/sys.h"
#include "tunnel/link.h"

enum {
	LOOK_MS = 1000,
	/* Long enough that what comes and goes in waves keeps its pages. */
	CALM_MS = 10 * 1000,
	STALLED_US = 10 * 1000 * 1000,
};

/* Since when the stream of p takes nothing that waits for it, at this end or at
 * the far one; UINT64_MAX: nothing waits. */
static uint64_t stalled_since(const struct pipe *p)
{
	uint64_t since = UINT64_MAX;

	if (backlog_len(&p->queue))
		since = p->moved_us;
	if (p->stream && p->stream->kept && p->stream->taken_us < since)
		since = p->stream->taken_us;
	return since;
}

static struct pipe *longest_stalled(const struct pressure *p, uint64_t now)
{
	uint64_t first = now - STALLED_US;
	struct pipe *found = NULL;

	for (struct list *i = p->links.next; i != &p->links; i = i->next) {
		struct link *l = list_entry(i, struct link, of_worker);

		for (struct list *n = l->pipes.next; n != &l->pipes; n = n->next) {
			struct pipe *pipe = list_entry(n, struct pipe, node);
			uint64_t since = stalled_since(pipe);

			if (pipe->state != PIPE_DONE && since <= first) {
				first = since;
				found = pipe;
			}
		}
	}
	return found;
}

/* One line a second, whoever it was. */
static void tell(struct pressure *p, unsigned ended)
{
	if (ended)
		log_warn(NULL, "%u stream%s that took nothing for 10s reset: %zu of %zu MiB are held "
			"for streams", ended, ended == 1 ? "" : "s",
			budget_used(&p->worker->budget) >> 20, p->worker->budget.most >> 20);
}

/* Another worker may have given back what it was short of, and said nothing: only
 * room is news. */
static bool is_short(struct pressure *p)
{
	budget_look(&p->worker->budget);
	return p->worker->budget.is_high;
}

static void on_timer(struct timer *t)
{
	struct pressure *p = t->data;
	uint64_t now = worker_now(p->worker);
	unsigned ended = 0;
	struct pipe *pipe;

	while (is_short(p) && now > STALLED_US && (pipe = longest_stalled(p, now))) {
		pipe_reset(pipe, CODE_STALLED);
		shard_add(&p->worker->metrics.streams_stalled, 1);
		ended++;
	}
	tell(p, ended);
	if (is_short(p))
		timer_start(p->timer, LOOK_MS);
}

/* Some wait for room, or it is time to look who could make some. */
static void on_turn(struct turn *turn)
{
	struct pressure *p = list_entry(turn, struct pressure, turn);

	if (p->worker->budget.is_high && p->timer)
		timer_start(p->timer, LOOK_MS);
	for (struct list *i = p->links.next; i != &p->links; i = i->next) {
		struct link *l = list_entry(i, struct link, of_worker);

		if (l->has_begun)
			session_relieve(&l->session);
		link_wake(l);
	}
}

static void on_change(struct budget *b)
{
	struct pressure *p = b->owner;

	poller_defer(&p->worker->poller, &p->turn);
}

/* What the allocator keeps of it would stay with the process. */
static void on_calm_timer(struct timer *t)
{
	struct pressure *p = t->data;

	worker_trim(p->worker);
	sys_trim_memory();
}

static void on_ebb(struct tide *t)
{
	struct pressure *p = t->owner;

	if (p->calm)
		timer_start(p->calm, CALM_MS);
}

void pressure_init(struct pressure *p, struct worker *w, size_t most)
{
	*p = (struct pressure){ .worker = w };
	list_init(&p->links);
	poller_turn_init(&p->turn, on_turn);
	p->timer = timer_new(w->loop, on_timer, p); /* Without it streams only wait. */
	p->calm = timer_new(w->loop, on_calm_timer, p);
	w->budget.tide = w->tide = (struct tide){ .on_ebb = on_ebb, .owner = p };
	w->budget.most = most;
	w->budget.owner = p;
	w->budget.on_high = w->budget.on_room = on_change;
	w->pressure = p;
}

void pressure_close(struct pressure *p)
{
	timer_free(p->timer);
	timer_free(p->calm);
	p->timer = p->calm = NULL;
	list_remove(&p->turn.node);
	p->worker->budget.on_high = p->worker->budget.on_room = NULL;
	p->worker->budget.tide.on_ebb = p->worker->tide.on_ebb = NULL;
	p->worker->pressure = NULL;
}

/* One more, or one less, to have a part of what several workers share. */
static void share(struct pressure *p, int more)
{
	struct budget_total *total = p->worker->budget.total;

	if (total)
		__atomic_add_fetch(&total->sharers, (unsigned)more, __ATOMIC_RELAXED);
}

void pressure_join(struct pressure *p, struct link *l)
{
	list_init(&l->of_worker);
	if (!p)
		return;
	list_append(&p->links, &l->of_worker);
	p->count++;
	share(p, 1);
}

void pressure_leave(struct pressure *p, struct link *l)
{
	if (!list_is_on(&l->of_worker))
		return;
	list_remove(&l->of_worker);
	if (!p)
		return;
	p->count--;
	share(p, -1);
}

bool pressure_holds(const struct pressure *p, const struct link *l)
{
	const struct budget *b = &l->worker->budget;
	unsigned sharers;

	if (!p || !b->is_full)
		return false;
	sharers = b->total ? __atomic_load_n(&b->total->sharers, __ATOMIC_RELAXED) : p->count;
	return credit_recv_pending(&l->session.recv) > b->most / sharers;
}
