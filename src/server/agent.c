#include "server/agent.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/text.h"
#include "mux/binding.h"
#include "mux/resume.h"
#include "net/sys.h"
#include "server/binds.h"
#include "server/door.h"
#include "server/expose.h"
#include "server/lane.h"
#include "server/member.h"
#include "server/moving.h"
#include "server/rejoin.h"

enum {
	LOGIN_US = 5 * 1000 * 1000,
	BIND_US = 15 * 1000 * 1000,	/* since it connected */
	HEARTBEAT_US = 10 * 1000 * 1000,
	DEAD_US = 25 * 1000 * 1000,
	STUCK_US = 30 * 1000 * 1000,
};

static struct agent *agent_of(struct link *l)
{
	return l->owner;
}

/* --- login -------------------------------------------------------------------- */

/* Before the proof is begun, which is what a login costs. */
static enum code admit(struct link *l, uint32_t *retry_ms)
{
	*retry_ms = door_try(agent_of(l));
	return *retry_ms ? CODE_CALM_DOWN : CODE_OK;
}

static size_t find_secret(struct link *l, const struct login_hello *hello, const uint8_t **secret)
{
	struct agent *a = agent_of(l);
	bool local = addr_is_loopback((struct sockaddr *)&a->peer);
	const struct credentials *known = &a->hub->house->credentials;
	const char *token = credentials_find(known, hello->key_id.at, hello->key_id.len, local);

	moving_begin(a); /* Whoever it is: what it says next is heard there. */
	if (!token)
		return 0;
	a->is_dev = token != known->token;
	*secret = (const uint8_t *)token;
	return strlen(token);
}

static void on_login(struct link *l)
{
	struct agent *a = agent_of(l);
	const struct session *s = &l->session;
	char transport[64];

	house_lock(a->hub->house);
	a->is_known = a->is_counted = true;
	house_unlock(a->hub->house);
	text_escape(s->peer_name, strlen(s->peer_name), a->name, sizeof a->name);
	log_debug(a->who, "login over %s", conn_describe(&l->conn, transport, sizeof transport));
	door_login(a);
	shard_add(&a->hub->worker.metrics.logins, 1);
	shard_add(&a->hub->worker.metrics.sessions_open, 1);
	a->asks_left = BINDS_AT_ONCE;
	a->asks_us = worker_now(l->worker);
	if (a->hub->is_stopping)
		agent_shutdown(a, 0);
	else
		member_be_a_guest(a);
}

/* --- end -------------------------------------------------------------------------- */

static void on_shutdown(struct link *l, uint32_t drain_ms)
{
	struct agent *a = agent_of(l);

	(void)drain_ms;
	for (struct list *n = a->exposes.next; n != &a->exposes; n = n->next)
		expose_stop(list_entry(n, struct expose, of_agent));
}

/* A client that drains closes by itself; a server that stops does it here. */
static void on_drained(struct link *l)
{
	struct agent *a = agent_of(l);

	/* Who rides on it would lose its streams: it wakes l when it has none any more. */
	if (a->hub->is_stopping && lane_are_drained(a) && list_is_empty(&l->riders))
		session_finish(&l->session);
}

static bool is_neighbour(const struct hub *h, const struct agent *a)
{
	for (const struct list *n = h->agents.next; n != &h->agents; n = n->next) {
		const struct agent *other = list_entry(n, struct agent, node);

		if (other->is_known && addr_is_same_host((const struct sockaddr *)&a->peer,
			(const struct sockaddr *)&other->peer))
			return true;
	}
	return false;
}

/* Whether a client that is logged in comes from the same address: one that lost its
 * connection tries more than one way at once, and drops all but the first. */
static bool has_neighbour(const struct agent *a)
{
	struct house *house = a->hub->house;
	bool has = false;

	house_lock(house);
	for (unsigned i = 0; i < house->count && !has; i++)
		has = is_neighbour(&house->hubs[i], a);
	house_unlock(house);
	return has;
}

static void log_stranger(struct agent *a, const struct session_end *end)
{
	struct hub *h = a->hub;
	bool is_refused = end->kind == SESSION_FAILED && end->code == CODE_AUTH_FAILED;
	char text[sizeof end->text * 4];

	text_escape(end->text, strlen(end->text), text, sizeof text);
	if (end->kind == SESSION_GONE && has_neighbour(a)) {
		log_debug(a->who, "left before a login: %s", text);
		return;
	}
	if (is_refused || a->caller.stage == SOURCES_TRYING) {
		shard_add(&h->worker.metrics.logins_refused, 1);
		if (hub_may_log(h, &h->house->refused_log))
			log_warn(NULL, "%s: login %s%s", a->who, is_refused ? "refused" :
				"broken off: ", is_refused ? "" : text);
		return;
	}
	if (end->kind == SESSION_FAILED && end->code == CODE_CALM_DOWN) {
		log_debug(a->who, "told to wait for %u ms after failed logins", end->retry_ms);
		return;
	}
	shard_add(&h->worker.metrics.strangers, 1);
	if (hub_may_log(h, &h->house->stranger_log))
		log_info(NULL, "%s left before a login: %s", a->who, text);
}

static void log_end(struct agent *a, const struct session_end *end)
{
	struct metrics *m = &a->hub->worker.metrics;
	char text[sizeof end->text * 4];

	if (a->is_counted)
		shard_sub(&m->sessions_open, 1);
	a->is_counted = false;
	if (a->is_away)
		shard_sub(&m->sessions_held, 1);
	/* A lane ends with its first, and is not counted as a session. */
	if (end->kind == SESSION_GONE && end->code != CODE_SHUTTING_DOWN && !a->first)
		shard_add(&m->sessions_lost, 1);
	if (!a->is_told || !hub_may_log(a->hub, &a->hub->house->end_log))
		return;
	text_escape(end->text, strlen(end->text), text, sizeof text);
	switch (end->kind) {
	case SESSION_FINISHED:
		log_info(NULL, "%s (%s) left", a->who, a->name);
		break;
	case SESSION_GONE:
		/* Without a tunnel, as when its port was refused, nothing is lost. */
		if (end->code == CODE_SHUTTING_DOWN || list_is_empty(&a->exposes))
			log_info(NULL, "%s (%s) left", a->who, a->name);
		else
			log_warn(NULL, "%s (%s) lost: %s", a->who, a->name, text);
		break;
	case SESSION_FAILED:
		log_warn(NULL, "%s (%s) dropped: %s", a->who, a->name, text);
		break;
	case SESSION_REFUSED:
		log_warn(NULL, "%s (%s) ended the session: %s", a->who, a->name, text);
		break;
	}
}

static void on_end(struct link *l, const struct session_end *end)
{
	struct agent *a = agent_of(l);
	/* A client that says goodbye gives its ports back at once; when it is the
	 * server that does, they are kept for when it is back. */
	bool left = !a->hub->is_stopping &&
		(end->code == CODE_SHUTTING_DOWN || end->kind == SESSION_FINISHED);
	struct list *n;

	rejoin_forget(a);
	log_debug(a->who, "session over; last round trip %" PRIu64 " us", l->session.rtt_us);
	if (a->is_known) {
		log_end(a, end);
	} else {
		log_stranger(a, end);
		door_fail(a);
	}
	while ((n = list_first(&a->exposes)))
		expose_close(list_entry(n, struct expose, of_agent), !left);
	lane_end(a);
}

static const char *guess(const uint8_t *data, size_t len)
{
	if (len >= 4 && memcmp(data, "SSH-", 4) == 0)
		return "SSH";
	return *data >= 'A' && *data <= 'Z' ? "HTTP" : "something else";
}

/* People look whether the server is up with a browser or curl. */
static void on_stranger(struct link *l, const uint8_t *data, size_t len)
{
	static const char answer[] =
		"HTTP/1.0 400 Bad Request\r\n"
		"Content-Type: text/plain\r\n"
		"Connection: close\r\n"
		"\r\n"
		"gotunnel control port; use: gotunnel client --server HOST:PORT\n";
	struct agent *a = agent_of(l);
	const char *what = guess(data, len);

	shard_add(&a->hub->worker.metrics.strangers, 1);
	if (hub_may_log(a->hub, &a->hub->house->stranger_log))
		log_info(NULL, "%s speaks %s, not the gotunnel protocol", a->who, what);
	if (strcmp(what, "HTTP") == 0)
		conn_say(&l->conn, answer, sizeof answer - 1);
}

static void on_closed(struct link *l)
{
	struct agent *a = agent_of(l);
	struct hub *h = a->hub;

	rejoin_forget(a);
	list_remove(&a->rejoin.node);
	door_leave(a);
	house_lock(h->house);
	member_leave_guests(a);
	member_leave(a);
	moving_forget(a);
	list_remove(&a->node);
	h->house->agents--;
	house_unlock(h->house);
	free(a);
	hub_settle(h);
}

static const struct link_ops ops = {
	.admit = admit,
	.secret = find_secret,
	.on_login = on_login,
	.on_bind = binds_asked,
	.on_unbind = binds_given_up,
	.on_answer = binds_answered,
	.on_shutdown = on_shutdown,
	.on_drained = on_drained,
	.on_stranger = on_stranger,
	.on_detach = rejoin_lost,
	.on_resumed = rejoin_done,
	.on_resume = rejoin_asked,
	.on_ride = rejoin_beside,
	.on_join = lane_join,
	.on_end = on_end,
	.on_closed = on_closed,
};

void agent_accept(struct hub *h, int fd, const struct sockaddr_storage *peer)
{
	struct link_config config = {
		.session = {
			.role = SESSION_SERVER,
			.capabilities = LOGIN_CAN_LANES | (h->config->hold_ms ? LOGIN_CAN_RESUME : 0),
			.hold_ms = (uint32_t)h->config->hold_ms,
			.max_frame = FRAME_DATA_DEFAULT,
			.stream_credit = SESSION_STREAM_CREDIT,
			.login_us = LOGIN_US,
			.bind_us = BIND_US,
			.heartbeat_us = HEARTBEAT_US,
			.dead_us = DEAD_US,
			.stuck_us = STUCK_US,
			.version = h->config->program_version,
		},
		.mode = CONN_SNIFF,
		.refuse_plain = !h->config->plaintext,
		.context = h->house->tls,
	};
	struct agent *a = calloc(1, sizeof *a);

	if (!a) {
		close(fd);
		return;
	}
	a->hub = h;
	a->peer = *peer;
	list_init(&a->exposes);
	list_init(&a->node);
	list_init(&a->rejoin.node);
	list_init(&a->moving.node);
	list_init(&a->eviction);
	list_init(&a->lanes);
	list_init(&a->lane);
	addr_format((const struct sockaddr *)peer, a->who, sizeof a->who);
	if (!door_admit(a)) {
		sys_linger_reset(fd, true); /* Nothing of it stays, in the kernel neither. */
		close(fd);
		free(a);
		return;
	}
	log_debug(a->who, "control connection accepted");
	if (link_open(&a->link, &h->worker, fd, &config, &ops, a) < 0) {
		door_leave(a);
		free(a);
		return;
	}
	house_lock(h->house);
	list_append(&h->agents, &a->node);
	h->house->agents++;
	house_unlock(h->house);
}

void agent_shutdown(struct agent *a, uint32_t drain_ms)
{
	for (struct list *n = a->exposes.next; n != &a->exposes; n = n->next)
		expose_stop(list_entry(n, struct expose, of_agent));
	if (!a->is_known || resume_is_held(&a->link.session)) {
		link_abort(&a->link, "the server is shutting down");
		return;
	}
	session_shutdown(&a->link.session, drain_ms);
	link_wake(&a->link);
}

void agent_abort(struct agent *a, const char *why)
{
	link_abort(&a->link, why);
}
