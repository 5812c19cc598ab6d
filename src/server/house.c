#include "server/house.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "server/hub.h"

int house_init(struct house *house, const struct server_config *config, unsigned count)
{
	*house = (struct house){ .config = config, .count = count };
	house->hubs = calloc(count, sizeof *house->hubs);
	if (!house->hubs)
		return -ENOMEM;
	uv_mutex_init_recursive(&house->mutex);
	uv_mutex_init(&house->gate);
	uv_cond_init(&house->halted_cond);
	uv_cond_init(&house->go_cond);
	return 0;
}

void house_fini(struct house *house)
{
	homes_free(house->homes);
	portpool_fini(&house->ports);
	sources_free(house->sources);
	tls_context_free(house->tls);
	credentials_wipe(&house->credentials);
	uv_cond_destroy(&house->go_cond);
	uv_cond_destroy(&house->halted_cond);
	uv_mutex_destroy(&house->gate);
	uv_mutex_destroy(&house->mutex);
	free(house->hubs);
}

void house_lock(struct house *house)
{
	if (house->count > 1)
		uv_mutex_lock(&house->mutex);
}

void house_unlock(struct house *house)
{
	if (house->count > 1)
		uv_mutex_unlock(&house->mutex);
}

/* --- threads ----------------------------------------------------------------- */

static void run(void *arg)
{
	hub_run(arg);
}

int house_start(struct house *house)
{
	sigset_t all, before;
	int err = 0;

	/* Signals are worker 0's affair: the others never run a handler. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 1; i < house->count && !err; i++) {
		struct hub *h = &house->hubs[i];

		err = uv_thread_create(&h->thread, run, h);
		h->has_thread = !err;
		house->has_threads |= h->has_thread;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

static void on_quit(struct letter *l)
{
	hub_close(list_entry(l, struct hub, quit));
}

void house_end(struct house *house)
{
	for (unsigned i = 1; i < house->count; i++) {
		struct hub *h = &house->hubs[i];

		if (!h->is_open)
			continue;
		if (h->has_thread) {
			h->quit.open = on_quit;
			mailbox_post(&h->mailbox, &h->quit);
			uv_thread_join(&h->thread);
		} else {
			hub_close(h);
			hub_run(h);
		}
		h->has_thread = false;
	}
	house->has_threads = false;
}

/* --- halting ------------------------------------------------------------------- */

static void on_halt(struct letter *l)
{
	struct house *house = list_entry(l, struct hub, halt)->house;

	uv_mutex_lock(&house->gate);
	house->halted++;
	uv_cond_signal(&house->halted_cond);
	while (house->is_shut)
		uv_cond_wait(&house->go_cond, &house->gate);
	house->halted--;
	uv_cond_signal(&house->halted_cond);
	uv_mutex_unlock(&house->gate);
}

static void await(struct house *house, unsigned halted)
{
	while (house->halted != halted)
		uv_cond_wait(&house->halted_cond, &house->gate);
}

void house_halt(struct house *house)
{
	if (!house->has_threads)
		return;
	uv_mutex_lock(&house->gate);
	house->is_shut = true;
	for (unsigned i = 1; i < house->count; i++) {
		house->hubs[i].halt.open = on_halt;
		mailbox_post(&house->hubs[i].mailbox, &house->hubs[i].halt);
	}
	await(house, house->count - 1);
	uv_mutex_unlock(&house->gate);
}

/* Waits for the last to leave, so that the next halt counts from none. */
void house_go(struct house *house)
{
	if (!house->has_threads)
		return;
	uv_mutex_lock(&house->gate);
	house->is_shut = false;
	uv_cond_broadcast(&house->go_cond);
	await(house, 0);
	uv_mutex_unlock(&house->gate);
}
