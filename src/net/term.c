#include "net/term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

bool term_is(int fd)
{
	return isatty(fd) == 1;
}

unsigned term_width(int fd, unsigned fallback)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col)
		return size.ws_col;
	return fallback;
}

unsigned term_height(int fd, unsigned fallback)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_row)
		return size.ws_row;
	return fallback;
}

/* The signal that came while asking, to be delivered when echo is back. */
static volatile sig_atomic_t interrupted;

static void on_signal(int signum)
{
	interrupted = signum;
}

/* Signals come only inside ppoll(): one that comes earlier is not slept over. */
static int wait_for_input(int fd, const sigset_t *mask)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (ppoll(&p, 1, NULL, mask) < 0)
		if (errno != EINTR || interrupted)
			return -1;
	return 0;
}

static int read_line(int fd, char *out, size_t cap, const sigset_t *mask)
{
	size_t len = 0;
	char c;

	while (len + 1 < cap) {
		if (wait_for_input(fd, mask) < 0 || read(fd, &c, 1) <= 0)
			return -1;
		if (c == '\n' || c == '\r')
			break;
		out[len++] = c;
	}
	out[len] = '\0';
	return 0;
}

static const int fatal[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
enum { FATAL = sizeof fatal / sizeof fatal[0] };

static int ask_quietly(int fd, const char *question, char *out, size_t cap, const sigset_t *mask)
{
	struct termios old, quiet;
	int err = -1;

	if (tcgetattr(fd, &old) < 0)
		return -1;
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	/* Not flushing: a token that is piped or pasted ahead counts. */
	tcsetattr(fd, TCSANOW, &quiet);
	if (write(fd, question, strlen(question)) > 0)
		err = read_line(fd, out, cap, mask);
	tcsetattr(fd, TCSANOW, &old);
	return write(fd, "\n", 1) < 0 ? -1 : err;
}

int term_ask_secret(const char *question, char *out, size_t cap)
{
	struct sigaction catch = { .sa_handler = on_signal }, old[FATAL];
	sigset_t blocked, mask;
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -1;
	interrupted = 0;
	sigemptyset(&blocked);
	for (int i = 0; i < FATAL; i++)
		sigaddset(&blocked, fatal[i]);
	sigprocmask(SIG_BLOCK, &blocked, &mask);
	for (int i = 0; i < FATAL; i++)
		sigaction(fatal[i], &catch, &old[i]);
	err = ask_quietly(fd, question, out, cap, &mask);
	for (int i = 0; i < FATAL; i++)
		sigaction(fatal[i], &old[i], NULL);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	close(fd);
	if (interrupted)
		raise(interrupted);
	return err;
}
