#ifndef CLIENT_KEEP_H
#define CLIENT_KEEP_H

#include "client/client.h"
#include "net/worker.h"

/*
 * After a good login with a token that was typed at the prompt: "Keep it in
 * ~/.config/gotunnel/token? [y/N]", asked while the tunnel is already in use.
 * Internal to client/.
 */
struct keep {
	const struct client_config *config;
	struct worker *worker;
	struct sock tty;
	char path[512];
	bool asked;
};

void keep_init(struct keep *k, struct worker *w, const struct client_config *config);

/* Asks, once, if there is something to ask. */
void keep_offer(struct keep *k);

void keep_close(struct keep *k);

#endif
