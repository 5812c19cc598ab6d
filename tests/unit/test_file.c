#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/file.h"

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/gotunnel-test-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

static const char *in(const char *name, char out[128])
{
	snprintf(out, 128, "%s/%s", folder, name);
	return out;
}

static void make(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	fchmod(fd, 0666);
	close(fd);
}

static void holds(const char *path, const char *text)
{
	char have[64] = "";
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_true(read(fd, have, sizeof have - 1) >= 0);
	close(fd);
	assert_string_equal(have, text);
}

static void is_ours_alone(const char *path, const char *beside)
{
	struct stat st;

	assert_int_equal(file_replace(path, "secret", 6, 0600), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	holds(path, "secret");
	assert_int_equal(lstat(beside, &st), -1);
	unlink(path);
}

/* Somebody who knows our process's number laid the temporary file ready, to
 * have the secret through a second name of it, or as a link to another file. */
static void a_file_laid_ready_is_not_written_to(void **state)
{
	char path[128], beside[128], other[128], name[64];

	(void)state;
	snprintf(name, sizeof name, "token.%d.new", (int)getpid());
	in("token", path);
	in("other", other);
	make(other, "other");
	assert_int_equal(link(other, in(name, beside)), 0);
	is_ours_alone(path, beside);
	holds(other, "other");
	assert_int_equal(symlink(other, beside), 0);
	is_ours_alone(path, beside);
	holds(other, "other");
	unlink(other);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_laid_ready_is_not_written_to),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
