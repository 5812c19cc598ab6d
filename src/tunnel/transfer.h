#ifndef TUNNEL_TRANSFER_H
#define TUNNEL_TRANSFER_H

#include "tunnel/link.h"

/* How a link gets another connection, and another worker. */

/*
 * A session that lost its connection goes on over the one of `fresh`, a link on
 * which a login was made for that. None of these may be called from inside a
 * callback of `fresh`. 0 or negative: -ENOTCONN if fresh has no connection any
 * more; else both have none.
 */

/* Client: asks the server. on_resumed or on_resume_refused follows. */
int transfer_ask(struct link *l, struct link *fresh);

/* Server: what RESUME asked for, which was checked. An old connection that l still has
 * is cut off first. */
int transfer_adopt(struct link *l, struct link *fresh, uint32_t epoch);

/* The connection alone changes hands: l's own is closed. After a refusal the
 * client gives it back by this and lets the session made for the login go on. */
int transfer_take_over(struct link *l, struct link *fresh);
void transfer_go_on(struct link *fresh);

/*
 * To another worker, before there are any streams: transfer_park() when that is decided, also
 * from inside a callback, which reads nothing more; then, not from inside one,
 * transfer_leave() on the old thread and transfer_arrive() on the new one, and nothing in
 * between. transfer_arrive() returns 0 or -errno, and link_abort() is due then.
 */
void transfer_park(struct link *l, bool parked);
void transfer_leave(struct link *l);
int transfer_arrive(struct link *l, struct worker *w);

/* Ends a link whose connection was taken over: on_closed follows, on_end does
 * not. */
void transfer_retire(struct link *l);

#endif
