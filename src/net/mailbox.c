#include "net/mailbox.h"

/* The mutex is held. */
static struct letter *take_first(struct mailbox *m)
{
	struct letter *l = m->first;

	m->first = l->next;
	l->next = NULL;
	l->is_posted = false;
	return l;
}

/* Opens up to the one that is the newest now: what is posted again from within
 * open() waits for the next round, or the loop came to nothing else. Who closes the
 * mailbox from within open() has opened the rest then. False when there was none. */
static bool open_all(struct mailbox *m)
{
	bool any, more;

	uv_mutex_lock(&m->mutex);
	any = more = m->first != NULL;
	for (struct letter *l, *newest = m->newest; more && m->first;) {
		l = take_first(m);
		more = l != newest;
		uv_mutex_unlock(&m->mutex);
		l->open(l);
		uv_mutex_lock(&m->mutex);
	}
	uv_mutex_unlock(&m->mutex);
	return any;
}

static void on_async(uv_async_t *async)
{
	open_all(async->data);
}

int mailbox_init(struct mailbox *m, uv_loop_t *loop)
{
	int err = uv_mutex_init(&m->mutex);

	if (err)
		return err;
	m->first = m->newest = NULL;
	err = uv_async_init(loop, &m->async, on_async);
	m->async.data = m;
	if (err)
		uv_mutex_destroy(&m->mutex);
	return err;
}

void mailbox_post(struct mailbox *m, struct letter *l)
{
	uv_mutex_lock(&m->mutex);
	if (!l->is_posted) {
		l->is_posted = true;
		l->next = NULL;
		if (m->first)
			m->newest->next = l;
		else
			m->first = l;
		m->newest = l;
		/* Under the mutex: a mailbox that was emptied may be closed. */
		uv_async_send(&m->async);
	}
	uv_mutex_unlock(&m->mutex);
}

void mailbox_close(struct mailbox *m)
{
	while (open_all(m))
		;
	uv_close((uv_handle_t *)&m->async, NULL);
}

void mailbox_fini(struct mailbox *m)
{
	uv_mutex_destroy(&m->mutex);
}
