#ifndef CORE_TIDE_H
#define CORE_TIDE_H

#include <stddef.h>

/*
 * Watches how much of something there is, in bytes, and says when much of it
 * is gone: the allocator then holds memory that the system could have back.
 *
 *	        peak
 *	      /      \
 *	     /        \  half of the peak: on_ebb, and that is the new peak
 *	    /          \_______
 *
 * A peak below TIDE_WORTH is not worth a word. on_ebb is called from wherever
 * memory is given back: it may only note that there is something to do. A
 * zeroed tide says nothing.
 */
enum { TIDE_WORTH = 512 * 1024 };

struct tide {
	size_t peak;		/* the most there was since the last ebb */
	void (*on_ebb)(struct tide *t); /* or NULL */
	void *owner;
};

/* There are so many bytes now. */
void tide_at(struct tide *t, size_t level);

#endif
