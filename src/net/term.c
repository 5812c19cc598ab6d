#include "net/term.h"

#include <errno.h>
#include <fcntl.h>
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

static int read_line(int fd, char *out, size_t cap)
{
	size_t len = 0;
	char c;

	while (len + 1 < cap) {
		ssize_t n = read(fd, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		if (c == '\n' || c == '\r')
			break;
		out[len++] = c;
	}
	out[len] = '\0';
	return 0;
}

int term_ask_secret(const char *question, char *out, size_t cap)
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios old, quiet;
	int err = -1;

	if (fd < 0)
		return -1;
	if (write(fd, question, strlen(question)) > 0 && tcgetattr(fd, &old) == 0) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		/* ISIG stays: Ctrl-C ends the program; echo comes back with the
		 * shell, which resets it. */
		tcsetattr(fd, TCSAFLUSH, &quiet);
		err = read_line(fd, out, cap);
		tcsetattr(fd, TCSAFLUSH, &old);
		if (write(fd, "\n", 1) < 0)
			err = -1;
	}
	close(fd);
	return err;
}
