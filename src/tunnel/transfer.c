#include "tunnel/transfer.h"

#include <errno.h>
#include <string.h>

#include "mux/resume.h"
#include "tunnel/link_parts.h"
#include "tunnel/pressure.h"
#include "tunnel/prove.h"
#include "tunnel/ride.h"

/* --- moving to another connection ------------------------------------------------- */

int transfer_take_over(struct link *l, struct link *fresh)
{
	int err;

	if (l->is_closed || fresh->is_closed || fresh->conn.is_closed)
		return -ENOTCONN;
	ride_cut_off(l);
	/* One that rode on it may have ended by that, and others with it. */
	if (l->is_closed || fresh->is_closed)
		return -ENOTCONN;
	err = conn_take_over(&l->conn, &fresh->conn, &link_conn_ops);
	carrier_take_over(&l->carrier, &fresh->carrier, &l->session);
	l->lowat = fresh->lowat;
	l->is_torn = false;
	timer_stop(fresh->timer);
	if (err)
		session_lost(&l->session, strerror(-err), worker_now(l->worker));
	return err;
}

/* The session has its transport; when is it out of patience with it? */
static void resume(struct link *l, struct link *fresh)
{
	resume_inherit(&l->session, &fresh->session);
	/* The login that stands behind this connection. */
	memcpy(l->session.proofs.binding, fresh->session.proofs.binding,
		sizeof l->session.proofs.binding);
	link_arm(l, session_tick(&l->session, 0, worker_now(l->worker)));
	link_wake(l);
}

int transfer_ask(struct link *l, struct link *fresh)
{
	struct state_resume r;
	int err = prove_say(l, fresh, &r);

	if (!err)
		err = transfer_take_over(l, fresh);
	if (err)
		return err;
	resume_ask(&l->session, &l->session, &r, worker_now(l->worker));
	resume(l, fresh);
	return 0;
}

int transfer_adopt(struct link *l, struct link *fresh, uint32_t epoch)
{
	int err = transfer_take_over(l, fresh);

	if (err)
		return err;
	resume_adopt(&l->session, epoch, worker_now(l->worker));
	resume(l, fresh);
	return 0;
}

void transfer_go_on(struct link *fresh)
{
	fresh->timer_due_us = UINT64_MAX;
	link_arm(fresh, session_tick(&fresh->session, 0, worker_now(fresh->worker)));
	link_wake(fresh);
}

void transfer_retire(struct link *l)
{
	l->is_finishing = true;
	link_close(l);
}

/* --- moving to another worker ----------------------------------------------------- */

void transfer_park(struct link *l, bool parked)
{
	l->is_parked = parked;
	link_read(l);
}

void transfer_leave(struct link *l)
{
	list_remove(&l->flush.node);
	timer_free(l->timer);
	l->timer = NULL;
	pressure_leave(l->worker->pressure, l);
	worker_shrank(l->worker, LINK_COST);
	conn_leave(&l->conn);
	l->worker = NULL;
}

int transfer_arrive(struct link *l, struct worker *w)
{
	int err = conn_arrive(&l->conn, w);

	l->worker = w;
	l->is_parked = false;
	l->session.config.pool = l->config.session.pool = &w->chunks;
	pressure_join(w->pressure, l);
	worker_grew(w, LINK_COST);
	l->timer = timer_new(w->loop, link_on_timer, l);
	if (err || !l->timer)
		return err ? err : -ENOMEM;
	link_arm(l, l->timer_due_us);
	link_wake(l);
	return 0;
}
