#ifndef SERVER_SOURCES_H
#define SERVER_SOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/list.h"

/*
 * Where connections come from, and what each place is answerable for. A source
 * is an IPv4 address or an IPv6 /64. 127.0.0.1 and ::1 are none: nothing is
 * counted or held against them (the rest of 127/8 is as any other address).
 *
 * Failed logins: the first SOURCES_FREE cost nothing, the one that fills the
 * measure and each further one put the next try off: 15 s, 30 s, 60 s ... 10 min.
 * Logins under way count as failed until they succeed, so that nobody has
 * more guesses by making them at once. A login that succeeds clears the
 * account; one that is live keeps it clear. It is forgotten 10 min after the
 * last failure's wait.
 *
 * What is live bounds the table: there is a descriptor for each. Sources that
 * only their failures keep are at most SOURCES_MAX more. For one above that
 * the one with the fewest failures goes, of these the oldest: who wants to be
 * rid of a wait must earn as long a one from 65,536 other sources.
 *
 * No socket and no clock: times are microseconds of any monotonic clock.
 */
enum {
	SOURCES_MAX = 65536,
	SOURCES_STRANGERS = 8,	/* connections of a source that are not logged in */
	SOURCES_FREE = 8,	/* failed logins */
	SOURCES_MEASURED = 14,	/* failed logins from which a wait grows no more */
};

struct sources;
struct source;

enum sources_stage {
	SOURCES_OUT,	/* not counted (yet, or any more) */
	SOURCES_IN,	/* connected */
	SOURCES_TRYING,	/* may prove itself */
	SOURCES_LIVE,	/* has */
};

/* A control connection, in its owner's storage, zeroed before the first use. */
struct sources_caller {
	struct source *source;	/* NULL: of none */
	enum sources_stage stage;
	struct list node;	/* of its source's, as long as it may have to make room */
};

enum sources_verdict {
	SOURCES_WELCOME,
	SOURCES_KNOWN,		/* welcome: a session of its source is live */
	SOURCES_FULL,		/* SOURCES_STRANGERS are there already */
	SOURCES_PUT_OFF,	/* failed before, and was told a moment ago */
	SOURCES_NO_MEMORY,
};

/* key: random. NULL when memory is out. */
struct sources *sources_new(const uint64_t key[2]);
/* Every caller has left, every visitor gone. NULL is legal. */
void sources_free(struct sources *t);

/* A connection was accepted. Counts the welcome ones only. Of a source that
 * must wait one a second is welcome, to be told so by sources_try(). */
enum sources_verdict sources_enter(struct sources *t, struct sources_caller *c,
	const struct sockaddr *addr, uint64_t now_us);

/* Who has to go when `c`, just let in, is one too many: the oldest of the source
 * that has the most which have not begun to prove themselves, so that a crowd
 * costs the crowd, and of equal sources the one that has had its for longest.
 * NULL: c itself, where no other source has as many as its own. Never one of a
 * source with a live session, nor one that is trying: such have few tries. */
struct sources_caller *sources_crowd(const struct sources *t, const struct sources_caller *c);

/* It wants to log in. 0: it may; else the time to wait. Once a connection. */
uint64_t sources_try(struct sources_caller *c, uint64_t now_us);

/* It has proved itself. */
void sources_login(struct sources_caller *c);

/* Both have proved themselves: each goes on as the other, where it comes from. */
void sources_swap(struct sources_caller *a, struct sources_caller *b);

/* It tried in vain; it is still there. blame: that was a failed login. Returns the wait
 * that this begins for its source, or 0. Before it hears of it: its next try, which
 * another thread may see first, must find the account settled. */
uint64_t sources_give_up(struct sources_caller *c, bool blame, uint64_t now_us);

/* It is over; if it was trying, it gave up. */
uint64_t sources_leave(struct sources *t, struct sources_caller *c, bool blame, uint64_t now_us);

/* Failed logins on the account. */
unsigned sources_failures(const struct sources_caller *c);

/* A visitor came to a public port. False when its source has `most` already
 * (0: any number), or without memory. *out is for sources_part(); NULL for a visitor of no
 * source. */
bool sources_visit(struct sources *t, struct source **out, const struct sockaddr *addr,
	unsigned most, uint64_t now_us);
void sources_part(struct sources *t, struct source *s, uint64_t now_us);

/* How many sources are remembered. */
size_t sources_count(const struct sources *t);

/* Random early drop, as MaxStartups of OpenSSH has it: below a quarter of
 * `most` nobody is dropped, from there on 30 % rising to all at `most`.
 * waiting: how many are not logged in; random: evenly spread. */
bool sources_drop_early(unsigned waiting, unsigned most, uint32_t random);

#endif
