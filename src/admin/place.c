#include "admin/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/text.h"
#include "net/sys.h"

/* $XDG_RUNTIME_DIR, or NULL: after sudo -E it is another user's, and whoever
 * keeps it beyond a session has none. */
static const char *runtime_folder(void)
{
	const char *path = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (!path || *path != '/' || stat(path, &st) < 0)
		return NULL;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() ? path : NULL;
}

int place_folder(unsigned n, char *out, size_t cap)
{
	const char *given = getenv("RUNTIME_DIRECTORY"), *runtime = runtime_folder();
	char path[4096];
	int len = -1;

	if (given && *given == '/')
		len = n ? -1 : snprintf(path, sizeof path, "%.*s", (int)strcspn(given, ":"), given);
	else if (runtime && n-- == 0)
		len = snprintf(path, sizeof path, "%s/gotunnel", runtime);
	else if (n == 0 && geteuid() == 0)
		len = snprintf(path, sizeof path, "/run/gotunnel");
	else if (n == 0)
		len = snprintf(path, sizeof path, "/tmp/gotunnel-%u", (unsigned)geteuid());
	if (len < 0 || (size_t)len >= sizeof path || (size_t)len >= cap)
		return -1;
	memcpy(out, path, (size_t)len + 1);
	return 0;
}

static int say(char *why, size_t cap, const char *folder, const char *what, int err)
{
	char shown[PLACE_PATH_MAX * 2];

	snprintf(why, cap, "%s%s%s", text_escape(folder, strlen(folder), shown, sizeof shown),
		*what == ' ' ? "" : ": ", what);
	return err;
}

/* Who holds the lock holds it for moments; after that it goes without. */
static void lock(int fd)
{
	for (int tries = 0; tries < 20 && flock(fd, LOCK_EX | LOCK_NB) < 0; tries++)
		usleep(5000);
}

static int check(int fd, const char *folder, bool is_own, char *why, size_t cap)
{
	struct stat st;
	char text[64];

	if (fstat(fd, &st) < 0)
		return say(why, cap, folder, strerror(errno), -errno);
	if (st.st_uid != geteuid() && (is_own || geteuid() != 0)) {
		snprintf(text, sizeof text, " belongs to user %u", (unsigned)st.st_uid);
		return say(why, cap, folder, text, -EACCES);
	}
	if (st.st_mode & 022)
		return say(why, cap, folder, " can be written by others; run: chmod 700 on it", -EACCES);
	if (is_own && (st.st_mode & 07777) != 0700 && fchmod(fd, 0700) < 0)
		return say(why, cap, folder, strerror(errno), -errno);
	return 0;
}

static int open_checked(const char *folder, bool is_own, char *why, size_t cap)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int err;

	if (fd < 0) {
		err = -errno;
		if (lstat(folder, &st) == 0 && S_ISLNK(st.st_mode))
			return say(why, cap, folder, " is a symbolic link", -ENOTDIR);
		return say(why, cap, folder, strerror(-err), err);
	}
	err = check(fd, folder, is_own, why, cap);
	if (err) {
		close(fd);
		return err;
	}
	lock(fd);
	return fd;
}

int place_open(const char *folder, char *why, size_t cap)
{
	return open_checked(folder, false, why, cap);
}

int place_make(const char *folder, char *why, size_t cap)
{
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return say(why, cap, folder, strerror(errno), -errno);
	return open_checked(folder, true, why, cap);
}

int place_probe(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	fd = sys_connect_unix(path);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 || fd == -EAGAIN)
		return 1;
	if (fd != -ECONNREFUSED)
		return fd;
	/* Root looks at others' folders, too, and takes nothing away there. */
	if (st.st_uid == geteuid() && unlink(path) < 0)
		return -errno;
	return 0;
}
