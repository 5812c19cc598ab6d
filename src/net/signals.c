#include "net/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR2 };

static bool has_terminal(void)
{
	int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool is_ignored(int signum)
{
	struct sigaction action;

	return sigaction(signum, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void on_signal(uv_signal_t *handle, int signum)
{
	struct signals *s = handle->data;
	enum signals_event event = SIGNALS_STOP;

	if (signum == SIGUSR2)
		event = SIGNALS_REPORT;
	else if (signum == SIGHUP && !s->has_terminal)
		event = SIGNALS_RELOAD;
	s->on_event(s, event, signum);
}

void signals_open(struct signals *s, uv_loop_t *loop,
	void (*on_event)(struct signals *s, enum signals_event event, int signum))
{
	s->on_event = on_event;
	s->open = 0;
	s->has_terminal = has_terminal();
	/* Reserved; who sends it by mistake, or for a report, ends nothing. */
	signal(SIGUSR1, SIG_IGN);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		if (numbers[i] == SIGHUP && is_ignored(SIGHUP))
			continue;
		uv_signal_init(loop, &s->handles[s->open]);
		s->handles[s->open].data = s;
		uv_signal_start(&s->handles[s->open], on_signal, numbers[i]);
		uv_unref((uv_handle_t *)&s->handles[s->open]);
		s->open++;
	}
}

void signals_close(struct signals *s)
{
	while (s->open > 0)
		uv_close((uv_handle_t *)&s->handles[--s->open], NULL);
}
