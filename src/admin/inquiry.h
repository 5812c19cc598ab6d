#ifndef ADMIN_INQUIRY_H
#define ADMIN_INQUIRY_H

#include "admin/admin.h"
#include "core/list.h"
#include "net/timer.h"
#include "net/worker.h"

/*
 * One connection to the admin endpoint: requests one after the other, each
 * answered before the next is looked at. One answer a turn of the loop, so
 * that ten thousand requests at once cost nobody else a turn.
 */
struct inquiry;

struct inquiry_config {
	struct worker *worker;
	const struct admin_ops *ops;
	void *owner;
	bool is_unix;
	void (*on_closed)(void *data);	/* it is off the list; once */
	void *data;
};

/* Takes fd over and stands on the list from now on. 0 or -errno; fd is closed
 * then and on_closed does not come. */
int inquiry_open(struct list *all, int fd, const struct inquiry_config *config);

/* Closes every one of the list. */
void inquiry_close_all(struct list *all);

#endif
