#ifndef NET_SIGNALS_H
#define NET_SIGNALS_H

#include <stdbool.h>
#include <uv.h>

/*
 * SIGINT, SIGTERM, SIGHUP and SIGUSR2 as events. SIGHUP with a controlling
 * terminal means SIGTERM, so that a closed window closes the tunnel (not
 * under nohup, where it is ignored and stays so); otherwise it asks for a reload.
 * SIGUSR1 is ignored.
 */
enum signals_event { SIGNALS_STOP, SIGNALS_RELOAD, SIGNALS_REPORT };

struct signals {
	uv_signal_t handles[4];
	unsigned open;
	bool has_terminal;	/* at the start: a closed one cannot be asked */
	void (*on_event)(struct signals *s, enum signals_event event, int signum);
	void *data;
};

void signals_open(struct signals *s, uv_loop_t *loop,
	void (*on_event)(struct signals *s, enum signals_event event, int signum));

/* The struct must live until the loop has run the close. Idempotent. */
void signals_close(struct signals *s);

#endif
