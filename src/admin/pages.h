#ifndef ADMIN_PAGES_H
#define ADMIN_PAGES_H

#include "admin/admin.h"
#include "admin/request.h"

/* What there is to ask for. */

struct pages_answer {
	unsigned status;
	const char *type;	/* of the content */
	struct buf body;	/* the caller's to free; failed: too large, or no memory */
};

/* Fills an answer that is zero but for the bound of its body. A path that is
 * not known gets a 404 with the list of those that are. */
void pages_write(const struct request_text *path, const struct admin_ops *ops, void *owner,
	struct pages_answer *a);

/* A page of one line for a status that is not 200. */
void pages_refuse(unsigned status, const char *why, struct pages_answer *a);

/* "Not Found". */
const char *pages_reason(unsigned status);

#endif
