#include "tunnel/ride.h"

#include <errno.h>

#include "mux/resume.h"
#include "net/sys.h"
#include "tunnel/link_parts.h"
#include "tunnel/prove.h"

/* --- without a connection ---------------------------------------------------------- */

void ride_leave(struct link *l)
{
	struct link *host = l->host;

	if (host == l)
		return;
	list_remove(&l->ride);
	l->host = l;
	if (!carrier_remove(&host->carrier, &l->session))
		host->is_torn = true;
	link_wake(host);
}

void ride_drop_all(struct link *l)
{
	struct list *n;

	carrier_clear(&l->carrier);
	while ((n = list_first(&l->riders))) {
		struct link *rider = list_entry(n, struct link, ride);

		ride_leave(rider);
		session_lost(&rider->session, "the lane beside it was lost", worker_now(l->worker));
		link_wake(rider);
	}
}

/* What the kernel has of it is of no use to anybody: it is all kept here. */
void ride_cut_off(struct link *l)
{
	ride_leave(l);
	if (!l->conn.is_closed && l->conn.sock.fd >= 0)
		sys_linger_reset(l->conn.sock.fd, true);
	conn_close(&l->conn);
	ride_drop_all(l);
}

/* --- beside another lane ------------------------------------------------------------ */

bool ride_can_carry(const struct link *l)
{
	const struct session *s = &l->session;

	return !l->is_closed && !l->is_finishing && l->host == l && !l->conn.is_closed &&
		s->state == SESSION_OPEN && (s->capabilities & LOGIN_CAN_LANES);
}

/* l, which has no connection, goes over the one of host. */
static int get_on(struct link *l, struct link *host)
{
	if (l->is_closed || !ride_can_carry(host))
		return -ENOTCONN;
	ride_cut_off(l);
	/* One that rode on it may have ended by that, and others with it. */
	if (l->is_closed || !ride_can_carry(host))
		return -ENOTCONN;
	if (!carrier_add(&host->carrier, &l->session))
		return -EBUSY;
	l->host = host;
	list_append(&host->riders, &l->ride);
	return 0;
}

static void ride(struct link *l)
{
	link_arm(l, session_tick(&l->session, 0, worker_now(l->worker)));
	link_wake(l);
	link_wake(l->host);
}

int ride_ask(struct link *l, struct link *host)
{
	struct state_resume r;
	int err = prove_say(l, host, &r);

	if (!err)
		err = get_on(l, host);
	if (err)
		return err;
	resume_ask(&l->session, &host->session, &r, worker_now(l->worker));
	ride(l);
	return 0;
}

int ride_adopt(struct link *l, struct link *host, uint32_t epoch)
{
	int err = get_on(l, host);

	if (err)
		return err;
	resume_adopt(&l->session, epoch, worker_now(l->worker));
	ride(l);
	return 0;
}

bool ride_is_on(const struct link *l)
{
	return l->host != l;
}
