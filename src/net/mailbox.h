#ifndef NET_MAILBOX_H
#define NET_MAILBOX_H

#include <stdbool.h>
#include <uv.h>

/*
 * How one loop asks another one for something: a letter is put in from any
 * thread, and opened on the thread of the mailbox's loop. Letters are opened in
 * the order in which they were put in.
 *
 *	any thread: mailbox_post()  -->  [ letter, letter ]  -->  letter->open()
 *						its loop's thread
 *
 * A letter lies within what it is about, so that posting allocates nothing and
 * cannot fail. One that is on its way already is not put in twice: it says that
 * there is something to look at, and who opens it looks at all there is. What
 * was written before a mailbox_post() is seen by the open() that follows it.
 */
struct letter {
	struct letter *next;
	bool is_posted;		/* under the mailbox's mutex */
	/* It may be posted again from here on, also to another mailbox, or freed. */
	void (*open)(struct letter *l);
};

struct mailbox {
	uv_async_t async;
	uv_mutex_t mutex;
	struct letter *first, *newest;
};

/* 0 or a negative code of libuv. */
int mailbox_init(struct mailbox *m, uv_loop_t *loop);

/* From any thread, also from within open(). */
void mailbox_post(struct mailbox *m, struct letter *l);

/* Opens what is still there and begins to close the handle: on the loop's
 * thread, also from within open(), when nobody posts any more. Run the loop, then
 * mailbox_fini(). */
void mailbox_close(struct mailbox *m);
void mailbox_fini(struct mailbox *m);

#endif
