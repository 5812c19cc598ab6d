#include "net/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int say(char *err, size_t cap, const char *path, const char *why)
{
	snprintf(err, cap, "%s: %s", path, why);
	return -1;
}

/* A pipe or a terminal is as private as its maker wants it to be. */
static int check_mode(int fd, const char *path, char *err, size_t cap)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return say(err, cap, path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return say(err, cap, path, strerror(EISDIR));
	if (S_ISREG(st.st_mode) && (st.st_mode & 077)) {
		snprintf(err, cap, "%s: others can read it; run: chmod 600 %s", path, path);
		return -1;
	}
	return 0;
}

static int read_line(int fd, const char *path, char *out, size_t cap, char *err, size_t err_cap)
{
	size_t len = 0;
	ssize_t n;

	while (len < cap && (n = read(fd, out + len, cap - len)) != 0) {
		if (n < 0 && errno != EINTR)
			return say(err, err_cap, path, strerror(errno));
		if (n > 0)
			len += (size_t)n;
	}
	if (len == cap)
		return say(err, err_cap, path, "too long for a token");
	while (len && strchr("\r\n\t ", out[len - 1]))
		len--;
	out[len] = '\0';
	return len ? 0 : say(err, err_cap, path, "is empty");
}

int file_read_secret(const char *path, char *out, size_t cap, char *err, size_t err_cap)
{
	int fd, result;

	if (strcmp(path, "-") == 0)
		return read_line(STDIN_FILENO, "standard input", out, cap, err, err_cap);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		say(err, err_cap, path, strerror(errno));
		return errno == ENOENT || errno == ENOTDIR ? -2 : -1;
	}
	result = check_mode(fd, path, err, err_cap);
	if (result == 0)
		result = read_line(fd, path, out, cap, err, err_cap);
	close(fd);
	return result;
}

static int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int file_replace(const char *path, const void *data, size_t len, unsigned mode)
{
	char beside[4096];
	int fd, err;

	if (snprintf(beside, sizeof beside, "%s.%d.new", path, (int)getpid()) >= (int)sizeof beside)
		return -ENAMETOOLONG;
	/* A new one, for certain: nobody may have laid it ready for us. */
	unlink(beside);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	err = write_all(fd, data, len);
	close(fd);
	if (!err && rename(beside, path) < 0)
		err = -errno;
	if (err)
		unlink(beside);
	return err;
}

int file_make_folder(const char *path)
{
	char part[4096];
	size_t len = strlen(path);
	struct stat st;

	if (len >= sizeof part)
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return -errno;
	}
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return access(path, W_OK | X_OK) < 0 ? -errno : 0;
}

const char *file_state_folder(const char *given)
{
	static char path[4096];
	const char *service = getenv("STATE_DIRECTORY");
	const char *home = getenv("HOME");

	if (given)
		return given;
	if (service && *service) {
		/* systemd gives a list with colons; the first is ours. */
		snprintf(path, sizeof path, "%.*s", (int)strcspn(service, ":"), service);
		return path;
	}
	if (geteuid() == 0)
		return "/var/lib/gotunnel";
	if (!home || !*home)
		return NULL;
	snprintf(path, sizeof path, "%s/.local/state/gotunnel", home);
	return path;
}

int file_config_path(const char *name, char *out, size_t cap)
{
	const char *config = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");

	if (config && *config)
		snprintf(out, cap, "%s/gotunnel/%s", config, name);
	else if (home && *home)
		snprintf(out, cap, "%s/.config/gotunnel/%s", home, name);
	else
		return -1;
	return 0;
}
