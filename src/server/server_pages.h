#ifndef SERVER_SERVER_PAGES_H
#define SERVER_SERVER_PAGES_H

#include "server/house.h"

/* What a server tells of itself: the admin endpoint's answers, and the summary
 * at its end. Internal to server/. */

/* Opens the endpoint that the options ask for. 0, or the exit code after the
 * error was reported. */
int server_pages_open(struct house *house);
void server_pages_close(struct house *house);

/* The Metrics Summary of all tunnels, those gone included. */
void server_pages_summary(struct house *house, bool asked);

#endif
