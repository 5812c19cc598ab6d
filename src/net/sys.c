#include "net/sys.h"

#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/sockios.h>
#endif

int sys_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

int sys_accept(int fd, struct sockaddr_storage *peer)
{
	socklen_t len = sizeof *peer;
	int conn = accept4(fd, (struct sockaddr *)peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return conn < 0 ? -errno : conn;
}

static void set_int(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof value);
}

static socklen_t addr_len(const struct sockaddr *addr)
{
	return addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

int sys_listen(const struct sockaddr *addr, int backlog, unsigned how)
{
	int fd = sys_socket(addr->sa_family);
	int err;

	if (fd < 0)
		return fd;
	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (addr->sa_family == AF_INET6)
		set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, !(how & SYS_DUAL));
	if (how & SYS_SHARED)
		set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	sys_nodelay(fd);
	if (how & SYS_RESET)
		sys_linger_reset(fd, true);
	if (bind(fd, addr, addr_len(addr)) == 0 && listen(fd, backlog) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int unix_addr(struct sockaddr_un *out, const char *path)
{
	size_t len = strlen(path);

	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len >= sizeof out->sun_path)
		return -ENAMETOOLONG;
	memcpy(out->sun_path, path, len + 1);
	return 0;
}

int sys_listen_unix(const char *path, int backlog)
{
	struct sockaddr_un addr;
	int err = unix_addr(&addr, path);
	int fd = err ? err : sys_socket(AF_UNIX);

	if (fd < 0)
		return fd;
	if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	if (chmod(path, 0600) == 0 && listen(fd, backlog) == 0)
		return fd;
	err = -errno;
	unlink(path);
	close(fd);
	return err;
}

int sys_connect_unix(const char *path)
{
	struct sockaddr_un addr;
	int err = unix_addr(&addr, path);
	int fd = err ? err : sys_socket(AF_UNIX);

	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int sys_peer(int fd, uid_t *uid, pid_t *pid)
{
#ifdef SO_PEERCRED
	struct ucred peer;
	socklen_t len = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	*uid = peer.uid;
	*pid = peer.pid;
	return 0;
#else
	(void)fd;
	(void)uid;
	(void)pid;
	return -ENOTSUP;
#endif
}

void sys_nodelay(int fd)
{
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

void sys_keepalive(int fd, unsigned dead_ms)
{
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef TCP_USER_TIMEOUT
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)dead_ms);
#else
	(void)dead_ms;
#endif
}

void sys_notsent_lowat(int fd, unsigned bytes)
{
#ifdef TCP_NOTSENT_LOWAT
	set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)bytes);
#else
	(void)fd;
	(void)bytes;
#endif
}

void sys_linger_reset(int fd, bool on)
{
	struct linger linger = { .l_onoff = on, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

int sys_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof err;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	return -err;
}

size_t sys_unsent(int fd)
{
#ifdef SIOCOUTQ
	int n = 0;

	if (ioctl(fd, SIOCOUTQ, &n) == 0 && n > 0)
		return (size_t)n;
#else
	(void)fd;
#endif
	return 0;
}

bool sys_is_self_connected(int fd)
{
	struct sockaddr_storage a, b;
	socklen_t alen = sizeof a, blen = sizeof b;

	memset(&a, 0, sizeof a);
	memset(&b, 0, sizeof b);
	return getsockname(fd, (struct sockaddr *)&a, &alen) == 0 &&
		getpeername(fd, (struct sockaddr *)&b, &blen) == 0 && alen == blen &&
		memcmp(&a, &b, alen) == 0;
}

uint16_t sys_local_port(int fd)
{
	struct sockaddr_storage a = { 0 };
	socklen_t len = sizeof a;

	if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return 0;
	/* The kernel has filled it, which the analyzer cannot see. */
	if (a.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&a)->sin6_port); /* NOLINT(clang-analyzer-core.*) */
	return ntohs(((struct sockaddr_in *)&a)->sin_port); /* NOLINT(clang-analyzer-core.*) */
}

void sys_no_core(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) < 0)
		return;
	limit.rlim_cur = 0;
	setrlimit(RLIMIT_CORE, &limit);
}

unsigned sys_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t soft = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			limit.rlim_cur = soft;
	}
	return limit.rlim_cur > 1u << 20 ? 1u << 20 : (unsigned)limit.rlim_cur;
}

void sys_trim_memory(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

void sys_forget(void *buffer, size_t len)
{
#ifdef MADV_DONTNEED
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t skip = (page - (uintptr_t)buffer % page) % page;

	if (len >= skip + page)
		madvise((char *)buffer + skip, (len - skip) / page * page, MADV_DONTNEED);
#else
	(void)buffer;
	(void)len;
#endif
}
