#ifndef SERVER_AGENT_H
#define SERVER_AGENT_H

#include <stdbool.h>
#include <sys/socket.h>

#include "core/addr.h"
#include "server/homes.h"
#include "server/hub.h"
#include "tunnel/link.h"

/* A client as the server sees it, from accept to the last byte. Internal to
 * server/. */
struct agent {
	struct hub *hub;
	struct link link;
	struct sockaddr_storage peer;
	char who[ADDR_TEXT_MAX];	/* the peer's address */
	char name[LOGIN_NAME_LEN * 4 + 1]; /* escaped, after the login */
	struct sources_caller caller;	/* what its source answers for */
	bool is_stranger;		/* one of house->strangers */
	bool is_known;			/* logged in */
	bool is_counted;		/* in the sessions that are open */
	bool is_told;			/* the log has its login: it asked for a tunnel, */
	bool is_member;			/* and is one of house->members */
	bool is_guest;			/* logged in, one of house->guests */
	bool is_away;			/* its connection is lost, its session is held */
	bool has_told_away;		/* and the log has it */
	bool is_replaced;		/* a newer session of its owner took a tunnel over, */
	uint32_t bind_id;		/* this one */
	struct agent *rejoins;		/* whose session is to get this connection, */
	uint32_t rejoin_epoch;		/* with that epoch, */
	struct turn rejoin;		/* in this turn; */
	struct agent *heir;		/* the other end of `rejoins` */
	bool is_dev;			/* with dev-token */
	struct list exposes;
	unsigned asks_left;		/* BINDs that are looked at now, */
	uint64_t asks_us;		/* as of then */
	struct list node;		/* on hub->agents */
	struct agent *first;		/* the one it joined, or NULL; see server/lane.h */
	struct list lanes, lane;	/* those that joined it; on the first's lanes */
	/* With more than one worker, see server/moving.h. */
	struct home *home;		/* since HELLO, */
	struct turn moving;		/* in which it leaves for there, */
	struct letter arrival;		/* and as what it comes; */
	bool is_moving;			/* between both: on no loop, on no list */
	struct list eviction;		/* on hub->evicted: it is to end */
};

/* Takes an accepted control connection over. */
void agent_accept(struct hub *h, int fd, const struct sockaddr_storage *peer);

/* Says SHUTDOWN and ends when its streams have. */
void agent_shutdown(struct agent *a, uint32_t drain_ms);

/* Ends it now: streams are reset. */
void agent_abort(struct agent *a, const char *why);

#endif
