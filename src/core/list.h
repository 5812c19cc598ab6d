#ifndef CORE_LIST_H
#define CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/*
 * An intrusive doubly linked ring. A node that is on no list points at
 * itself, so removing it twice is harmless and list_is_on() can tell. Nodes
 * must be initialised with list_init() before any other use.
 */
struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *n)
{
	n->next = n->prev = n;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

/* Whether a node stands on some list. */
static inline bool list_is_on(const struct list *n)
{
	return n->next != n;
}

static inline void list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

/* Moves n to the end of the list; it may stand on another one, or on this. */
static inline void list_append(struct list *head, struct list *n)
{
	list_remove(n);
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

/* Moves n to the front. */
static inline void list_prepend(struct list *head, struct list *n)
{
	list_remove(n);
	list_append(head->next, n);
}

/* The first node, or NULL. */
static inline struct list *list_first(const struct list *head)
{
	return list_is_empty(head) ? NULL : head->next;
}

/* Moves all nodes of `from` to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
	struct list *n;

	while ((n = list_first(from)))
		list_append(to, n);
}

#define list_entry(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))

#endif
