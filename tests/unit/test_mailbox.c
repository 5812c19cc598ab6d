#include "unit.h"

#include "core/list.h"
#include "net/mailbox.h"

enum { SENDERS = 4, EACH = 2000 };

/* --- one thread ------------------------------------------------------------ */

struct note {
	struct letter letter;
	int number;
	int *log, *count;
	struct mailbox *again;	/* posted once more from within open(), or NULL */
};

static void on_note(struct letter *l)
{
	struct note *n = list_entry(l, struct note, letter);
	struct mailbox *again = n->again;

	n->log[(*n->count)++] = n->number;
	n->again = NULL;
	if (again)
		mailbox_post(again, l);
}

static void in_order_and_once(void **state)
{
	struct note notes[3];
	int log[8], count = 0;
	struct mailbox m;
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	assert_int_equal(mailbox_init(&m, &loop), 0);
	for (int i = 0; i < 3; i++)
		notes[i] = (struct note){ { NULL, false, on_note }, i, log, &count, NULL };
	mailbox_post(&m, &notes[2].letter);
	mailbox_post(&m, &notes[0].letter);
	mailbox_post(&m, &notes[2].letter); /* On its way already. */
	assert_int_equal(count, 0); /* Not from inside post. */
	uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(count, 2);
	assert_int_equal(log[0], 2);
	assert_int_equal(log[1], 0);

	notes[1].again = &m;
	mailbox_post(&m, &notes[1].letter);
	uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(count, 3); /* What it posts waits for the next round. */
	uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(count, 4);

	notes[0].again = &m;
	mailbox_post(&m, &notes[0].letter);
	mailbox_close(&m); /* Nothing stays in it. */
	assert_int_equal(count, 6);
	uv_run(&loop, UV_RUN_DEFAULT);
	mailbox_fini(&m);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void on_close(struct letter *l)
{
	struct note *n = list_entry(l, struct note, letter);

	n->log[(*n->count)++] = n->number;
	mailbox_close(n->again);
}

/* As when the last word to a server is behind the one that ends it. */
static void closed_from_within(void **state)
{
	struct note notes[3];
	int log[8], count = 0;
	struct mailbox m;
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	assert_int_equal(mailbox_init(&m, &loop), 0);
	for (int i = 0; i < 3; i++) {
		notes[i] = (struct note){ { NULL, false, i ? on_note : on_close }, i, log, &count,
			i ? NULL : &m };
		mailbox_post(&m, &notes[i].letter);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(count, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(log[i], i);
	mailbox_fini(&m);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* --- several ----------------------------------------------------------------- */

struct reader {
	struct mailbox box;
	uint64_t sum;
	unsigned opened, left;
	uint32_t next[SENDERS];
};

struct parcel {
	struct letter letter;
	struct reader *to;
	unsigned from;
	uint32_t number;
};

struct sender {
	uv_thread_t thread;
	struct reader *to;
	struct parcel parcels[EACH];
	unsigned index;
};

static void on_parcel(struct letter *l)
{
	struct parcel *p = list_entry(l, struct parcel, letter);
	struct reader *r = p->to;

	assert_int_equal(p->number, r->next[p->from]); /* In each sender's order. */
	r->next[p->from]++;
	r->sum += p->number;
	r->opened++;
	if (r->opened == SENDERS * EACH)
		mailbox_close(&r->box);
}

static void send_all(void *arg)
{
	struct sender *s = arg;

	for (uint32_t i = 0; i < EACH; i++) {
		s->parcels[i] = (struct parcel){ { NULL, false, on_parcel }, s->to, s->index, i };
		mailbox_post(&s->to->box, &s->parcels[i].letter);
	}
}

/* What was written before a post is there when the letter is opened: no sender
 * does anything else to hand a parcel over, and ThreadSanitizer watches. */
static void from_many_threads(void **state)
{
	static struct sender senders[SENDERS];
	struct reader r = { 0 };
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	assert_int_equal(mailbox_init(&r.box, &loop), 0);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i].to = &r;
		senders[i].index = i;
		assert_int_equal(uv_thread_create(&senders[i].thread, send_all, &senders[i]), 0);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	for (unsigned i = 0; i < SENDERS; i++)
		uv_thread_join(&senders[i].thread);
	mailbox_fini(&r.box);
	assert_int_equal(r.opened, SENDERS * EACH);
	assert_int_equal(r.sum, (uint64_t)SENDERS * EACH * (EACH - 1) / 2);
	assert_int_equal(uv_loop_close(&loop), 0);
}

/* One letter that many threads post says "look": after the last post comes an
 * open() that sees what was written before it. */
struct bell {
	struct letter letter;
	struct mailbox box;
	uint64_t rung;		/* atomic: what there is to look at */
	unsigned opened;
};

static void on_bell(struct letter *l)
{
	struct bell *b = list_entry(l, struct bell, letter);

	b->opened++;
	if (__atomic_load_n(&b->rung, __ATOMIC_RELAXED) == SENDERS * EACH)
		uv_stop(b->box.async.loop);
}

static void ring(void *arg)
{
	struct bell *b = arg;

	for (int i = 0; i < EACH; i++) {
		__atomic_fetch_add(&b->rung, 1, __ATOMIC_RELAXED);
		mailbox_post(&b->box, &b->letter);
	}
}

static void none_is_missed(void **state)
{
	struct bell b = { .letter.open = on_bell };
	uv_thread_t threads[SENDERS];
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	assert_int_equal(mailbox_init(&b.box, &loop), 0);
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(uv_thread_create(&threads[i], ring, &b), 0);
	uv_run(&loop, UV_RUN_DEFAULT);
	for (unsigned i = 0; i < SENDERS; i++)
		uv_thread_join(&threads[i]);
	assert_in_range(b.opened, 1, SENDERS * EACH);
	mailbox_close(&b.box);
	uv_run(&loop, UV_RUN_DEFAULT);
	mailbox_fini(&b.box);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order_and_once),
		cmocka_unit_test(closed_from_within),
		cmocka_unit_test(from_many_threads),
		cmocka_unit_test(none_is_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
