#ifndef NET_SYS_H
#define NET_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* What differs between systems, in small functions. Results are 0 or a
 * descriptor, or -errno. Every descriptor is non-blocking and close-on-exec. */

int sys_socket(int family);
int sys_accept(int fd, struct sockaddr_storage *peer);

enum {
	SYS_DUAL = 1,	/* an IPv6 socket takes IPv4, too */
	SYS_RESET = 2,	/* accepted sockets have SO_LINGER{1,0} */
	SYS_SHARED = 4,	/* others of this user may listen there, too, and all of them have
			 * said so: the kernel spreads connections (SO_REUSEPORT) */
};

/* Binds and listens, with SO_REUSEADDR: a port with connections in TIME_WAIT
 * is free, one with a listener is not (Linux). Accepted sockets inherit TCP_NODELAY.
 * how: SYS_ bits. */
int sys_listen(const struct sockaddr *addr, int backlog, unsigned how);

/* The same for a unix socket at path, which must not exist; 0600 before the
 * first connection can come. */
int sys_listen_unix(const char *path, int backlog);
/* Connects to one, at once or not: -ECONNREFUSED when nobody listens there,
 * -EAGAIN when the backlog is full. */
int sys_connect_unix(const char *path);
/* The process at the other end of a unix socket; -ENOTSUP where the system
 * cannot tell. pid 0: not known. */
int sys_peer(int fd, uid_t *uid, pid_t *pid);

void sys_nodelay(int fd);
/* Keepalive and TCP_USER_TIMEOUT for a control connection. */
void sys_keepalive(int fd, unsigned dead_ms);
/* TCP_NOTSENT_LOWAT: how much unsent data the kernel takes. */
void sys_notsent_lowat(int fd, unsigned bytes);
/* SO_LINGER{1,0}: close() sends RST. */
void sys_linger_reset(int fd, bool on);
/* SO_ERROR as -errno, 0 when there is none. */
int sys_error(int fd);
/* Bytes the kernel still has to send (SIOCOUTQ), 0 when unknown. */
size_t sys_unsent(int fd);
bool sys_is_self_connected(int fd);
uint16_t sys_local_port(int fd);
/* No core file of this process, which would have its secrets in it. Who wants
 * one all the same can raise the limit from outside (prlimit). */
void sys_no_core(void);
/* The soft limit of open files, raised to the hard one first. */
unsigned sys_file_limit(void);

/* Gives freed memory back to the system, where the allocator can. */
void sys_trim_memory(void);
/* Gives the whole pages of a buffer back, which stays: what was in it is lost. */
void sys_forget(void *buffer, size_t len);

#endif
