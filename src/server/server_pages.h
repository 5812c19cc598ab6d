#ifndef SERVER_SERVER_PAGES_H
#define SERVER_SERVER_PAGES_H

#include "server/hub.h"

/* What a server tells of itself: the admin endpoint's answers, and the summary
 * at its end. Internal to server/. */

/* Opens the endpoint that the options ask for. 0, or the exit code after the
 * error was reported. */
int server_pages_open(struct hub *h);
void server_pages_close(struct hub *h);

/* The Metrics Summary of all tunnels, those gone included. */
void server_pages_summary(struct hub *h, bool asked);

#endif
