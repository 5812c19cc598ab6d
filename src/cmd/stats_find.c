#include "cmd/stats_find.h"

#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/text.h"

static const char suffix[] = ".sock";

static int is_socket_name(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), end = sizeof suffix - 1;

	return len > end && strcmp(entry->d_name + len - end, suffix) == 0;
}

static void take(struct stats_find *out, const char *path)
{
	char owner[64], shown[256];
	int result = place_probe(path);

	if (result == 1 && out->count < STATS_FIND_MAX)
		strcpy(out->paths[out->count++], path);
	if (result == -EACCES)
		snprintf(out->denied, sizeof out->denied, "%s belongs to %s",
			text_escape(path, strlen(path), shown, sizeof shown),
			stats_find_owner(path, owner, sizeof owner));
}

static void look_into(struct stats_find *out, const char *folder)
{
	char path[PLACE_PATH_MAX], why[400];
	int fd = place_open(folder, why, sizeof why), count;
	struct dirent **names;

	if (fd == -EACCES || fd == -ENOTDIR)
		snprintf(out->denied, sizeof out->denied, "%s", why);
	if (fd < 0)
		return;
	count = scandir(folder, &names, is_socket_name, alphasort);
	for (int i = 0; i < count; i++) {
		int len = snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);

		if (len < (int)sizeof path)
			take(out, path);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
	close(fd);
}

void stats_find(struct stats_find *out)
{
	char folder[PLACE_PATH_MAX];

	memset(out, 0, sizeof *out);
	for (unsigned n = 0; n < PLACE_FOLDERS; n++)
		if (place_folder(n, folder, sizeof folder) == 0)
			look_into(out, folder);
}

int stats_find_by_name(const char *name, char *out, size_t cap)
{
	char folder[PLACE_PATH_MAX];

	for (unsigned n = 0; n < PLACE_FOLDERS; n++) {
		if (place_folder(n, folder, sizeof folder) < 0 ||
			snprintf(out, cap, "%s/%s%s", folder, name, suffix) >= (int)cap)
			continue;
		if (access(out, F_OK) == 0)
			return 0;
	}
	return -1;
}

const char *stats_find_name(const char *path, char *out, size_t cap)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t len = strlen(name), end = sizeof suffix - 1;

	if (len > end && strcmp(name + len - end, suffix) == 0)
		len -= end;
	return text_escape(name, len, out, cap);
}

const char *stats_find_owner(const char *path, char *out, size_t cap)
{
	char part[4096], name[64];
	const struct passwd *user;
	struct stat st;
	char *slash;

	snprintf(part, sizeof part, "%s", path);
	while (stat(part, &st) < 0 && (slash = strrchr(part, '/')) && slash != part)
		*slash = '\0';
	if (stat(part, &st) < 0) {
		snprintf(out, cap, "another user");
		return out;
	}
	user = getpwuid(st.st_uid);
	if (user)
		snprintf(out, cap, "%s (user %u)", text_escape(user->pw_name, strlen(user->pw_name),
			name, sizeof name), (unsigned)st.st_uid);
	else
		snprintf(out, cap, "user %u", (unsigned)st.st_uid);
	return out;
}
