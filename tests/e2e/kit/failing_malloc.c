/*
 * An allocator whose n-th allocation fails, for LD_PRELOAD. The file that FAILING_MALLOC
 * names is shared with the test: how many allocations are still good before one fails
 * (0: all are), how many there were, how many blocks are allocated now, and their bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

static struct shared {
	long left, calls, live, bytes;
} none, *shared = &none;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAILING_MALLOC");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return;
	((struct shared *)p)->live = none.live;
	((struct shared *)p)->bytes = none.bytes;
	shared = p;
}

static int is_refused(void)
{
	__atomic_add_fetch(&shared->calls, 1, __ATOMIC_RELAXED);
	if (__atomic_load_n(&shared->left, __ATOMIC_RELAXED) <= 0 ||
		__atomic_sub_fetch(&shared->left, 1, __ATOMIC_RELAXED) != 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

/* A block came (n 1) or goes (n -1). */
static void count(void *p, int n)
{
	__atomic_add_fetch(&shared->live, n, __ATOMIC_RELAXED);
	__atomic_add_fetch(&shared->bytes, n * (long)malloc_usable_size(p), __ATOMIC_RELAXED);
}

static void *counted(void *p)
{
	if (p)
		count(p, 1);
	return p;
}

void *malloc(size_t size)
{
	return is_refused() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return is_refused() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
	long before = p ? (long)malloc_usable_size(p) : 0;
	void *q = is_refused() ? NULL : __libc_realloc(p, size);

	if (p && q)
		__atomic_add_fetch(&shared->bytes, (long)malloc_usable_size(q) - before,
			__ATOMIC_RELAXED);
	return p ? q : counted(q);
}

void free(void *p)
{
	if (p)
		count(p, -1);
	__libc_free(p);
}
