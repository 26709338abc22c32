/* SPDX-License-Identifier: Apache-2.0 */
/* world.c - the lives of a pool: work, crash, recovery */
#include "tests/sim/world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/pool_internal.h"
#include "store/space_map_internal.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/sim/sim.h"

#define NS_PER_MS UINT64_C(1000000)

static void make_plan(struct world *w, uint64_t seed)
{
	static const uint32_t commit_ms[] = {3, 20, 200, 5000};
	struct plan *p = &w->plan;

	w->rnd.state = seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
	p->seed = seed;
	p->nr_clients = (unsigned)rnd_between(&w->rnd, 1, CLIENTS_MAX + 1);
	p->nr_lives = (unsigned)rnd_between(&w->rnd, 2, 5);
	p->nr_steps = (unsigned)rnd_between(&w->rnd, 10, 90);
	p->cache_bytes = (size_t)1 << rnd_between(&w->rnd, 20, 24);
	p->commit_ms = commit_ms[rnd_below(&w->rnd, 4)];
	p->few_counts = seed % 2;
	p->watched = rnd_one_in(&w->rnd, 3);
	p->full = rnd_one_in(&w->rnd, 6);
	w->start = w->starts[p->full];
}

/* -- the crash ------------------------------------------------------------- */

static enum sim_crash pick_crash(struct world *w)
{
	return (enum sim_crash)rnd_below(&w->rnd, SIM_NR_CRASHES);
}

static void crash_now(void *arg)
{
	struct world *w = arg;

	if (w->crashed)
		return;
	w->crashed = true;
	w->stop = true;
	sim_dev_crash(w->dev, pick_crash(w), &w->crash);
	if (rnd_one_in(&w->rnd, 2))
		sim_dev_crash(w->dev, pick_crash(w), &w->other);
	for (unsigned i = 0; i < w->plan.nr_clients; i++)
		w->clients[i].must = w->clients[i].run.durable;
	sim_note(sim_steps(), w->crashed);
}

/* Between two steps, or where the device is in the middle of something. */
static void arm_crash(struct world *w)
{
	const uint64_t dice = rnd_below(&w->rnd, 10);
	const uint64_t scale = UINT64_C(1) << rnd_below(&w->rnd, 5);

	if (dice < 6)
		sim_dev_alarm(w->dev, rnd_between(&w->rnd, 1, 40 * scale),
			      crash_now, w);
	else if (dice < 8)
		sim_alarm(rnd_between(&w->rnd, 1, 10000 * scale), crash_now, w);
	/* else when the clients are done */
}

static void disarm_crash(struct world *w)
{
	sim_alarm(0, NULL, NULL);
	sim_dev_alarm(w->dev, 0, NULL, NULL);
}

static void set_faults(struct world *w)
{
	struct sim_faults faults = {.at_most = 0};

	w->faults = rnd_one_in(&w->rnd, 2);
	if (w->faults) {
		const uint64_t kind = rnd_below(&w->rnd, 4);
		const unsigned rate = 1u << rnd_between(&w->rnd, 1, 8);

		faults.at_most = (unsigned)rnd_between(&w->rnd, 1, 6);
		if (kind == 0 || kind == 3)
			faults.read_one_in = rate;
		if (kind == 1 || kind == 3)
			faults.write_one_in = 10 * rate;
		if (kind == 2)
			faults.flush_one_in = rate;
	}
	sim_dev_fail(w->dev, &faults);
}

/* -- a life ---------------------------------------------------------------- */

/* @meanwhile: NULL, or called at some moment from now on. */
static void open_pool(struct world *w, const struct sim_image *image,
		      void (*meanwhile)(void *world))
{
	const struct pool_options options = {
		.cache_bytes = w->plan.cache_bytes,
		.commit_ms = w->plan.commit_ms,
	};
	struct store_error error = {""};
	struct pool_stat st;
	int rc;

	w->dev = sim_dev_open(image);
	if (w->plan.ignore_flushes)
		sim_dev_ignore_flushes(w->dev);
	if (meanwhile)
		sim_dev_alarm(w->dev, rnd_between(&w->rnd, 1, 30), meanwhile,
			      w);
	rc = pool_open_on(blkdev_borrow(w->dev), &options, &w->pool, &error);
	if (rc)
		sim_fail("open: %d %s", rc, error.text);
	if (w->plan.few_counts)
		w->pool->sm->counts_kept = 1;
	pool_stat(w->pool, &st);
	if (st.read_only)
		sim_fail("the pool opens read-only: %s", error.text);
}

/* As a crash leaves it. */
static void abandon_pool(struct world *w)
{
	pool_abandon(w->pool);
	blkdev_close(w->dev);
	w->pool = NULL;
}

static void leave_pool(struct world *w)
{
	struct sim_dev_stat st;
	struct pool_stat pool;

	sim_dev_stat(w->dev, &st);
	pool_stat(w->pool, &pool);
	w->tally.nr_faults += st.nr_read_faults + st.nr_write_faults;
	w->tally.nr_writes += st.nr_writes;
	w->tally.nr_commits += pool.nr_commits;
	w->tally.nr_failed += pool.failed;
	abandon_pool(w);
}

/*
 * All that was done is durable when this returns, unless a write or flush that
 * was under way before it failed: then what was durable before.
 */
static void close_pool(struct world *w)
{
	struct sim_dev_stat st;
	int rc;

	rc = pool_close(w->pool);
	sim_dev_stat(w->dev, &st);
	if (rc && (rc != -EIO || !st.nr_write_faults))
		sim_fail("close: %d", rc);
	for (unsigned i = 0; i < w->plan.nr_clients; i++) {
		struct client *c = &w->clients[i];

		c->must = rc ? c->run.durable : c->run.nr_states - 1;
	}
	sim_dev_crash(w->dev, pick_crash(w), &w->crash);
	blkdev_close(w->dev);
	w->pool = NULL;
	w->tally.nr_faults += st.nr_read_faults + st.nr_write_faults;
	w->tally.nr_failed += rc != 0;
	w->tally.nr_closes += rc == 0;
}

static bool failed(const struct world *w)
{
	struct pool_stat st;

	pool_stat(w->pool, &st);
	return st.failed;
}

/* The clients work until they are done or the power goes. */
static void live(struct world *w)
{
	w->stop = w->crashed = false;
	for (unsigned i = 0; i < w->plan.nr_clients; i++)
		client_begin(&w->clients[i]);
	w->nr_working = w->plan.nr_clients;
	w->watcher.running = false;
	set_faults(w);
	arm_crash(w);
	for (unsigned i = 0; i < w->plan.nr_clients; i++)
		MUST(os_thread_start(&w->clients[i].thread,
				     w->clients[i].prefix, client_main,
				     &w->clients[i]) == 0);
	if (w->plan.watched)
		MUST(os_thread_start(&w->watcher, "watcher", watcher_main, w) ==
		     0);
	for (unsigned i = 0; i < w->plan.nr_clients; i++)
		os_thread_join(&w->clients[i].thread);
	os_thread_join(&w->watcher);
	disarm_crash(w);
	sim_dev_fail(w->dev, &(struct sim_faults){.at_most = 0});
	if (!w->crashed && !failed(w) && rnd_one_in(&w->rnd, 2)) {
		close_pool(w);
	} else {
		crash_now(w);
		w->tally.nr_crashes++;
		leave_pool(w);
	}
	for (unsigned i = 0; i < w->plan.nr_clients; i++) {
		struct client *c = &w->clients[i];

		c->nr_states = c->run.nr_states;
		w->tally.nr_full += c->run.nr_full;
	}
}

static void crash_again(void *arg)
{
	struct world *w = arg;

	sim_dev_crash(w->dev, pick_crash(w), &w->again);
	w->tally.nr_again++;
}

/*
 * What is on @image must be one of the states that the crash may leave; with
 * @same the one that was found before.  The power may go once more meanwhile:
 * then w->again is what that left.
 */
static void open_and_look(struct world *w, const struct sim_image *image,
			  bool same)
{
	size_t before[CLIENTS_MAX];

	for (unsigned i = 0; i < w->plan.nr_clients; i++)
		before[i] = w->clients[i].chosen;
	must_check(w, image);
	open_pool(w, image, rnd_one_in(&w->rnd, 3) ? crash_again : NULL);
	must_hold_states(w);
	sim_dev_alarm(w->dev, 0, NULL, NULL);
	for (unsigned i = 0; same && i < w->plan.nr_clients; i++)
		if (w->clients[i].chosen != before[i])
			sim_fail("client %u: state %zu after one recovery, %zu "
				 "after a crash in it",
				 i, before[i], w->clients[i].chosen);
}

/* Open what is left, and go on from the states that it holds. */
static void recover(struct world *w)
{
	if (w->other.blocks) {
		/* the same moment, other writes lost */
		open_and_look(w, &w->other, false);
		sim_image_release(&w->other);
		sim_image_release(&w->again);
		abandon_pool(w);
	}
	open_and_look(w, &w->crash, false);
	while (w->again.blocks) {
		sim_image_release(&w->crash);
		w->crash = w->again;
		w->again.blocks = NULL;
		abandon_pool(w);
		open_and_look(w, &w->crash, true);
	}
	sim_image_release(&w->crash);
	for (unsigned i = 0; i < w->plan.nr_clients; i++) {
		struct client *c = &w->clients[i];

		model_state_release(&c->state);
		model_state_copy(&c->state, &c->run.states[c->chosen]);
		client_end(c);
	}
}

/* -- all of them ----------------------------------------------------------- */

/* What is in use, commits' leftovers aside. */
static uint64_t allocated(struct world *w)
{
	struct pool_stat st;

	/* longer than any txg lives: the background has nothing left to do */
	sim_sleep((2 * w->plan.commit_ms + 1000) * NS_PER_MS);
	MUST(pool_wait_reaped(w->pool) == 0);
	/* a second commit lets go of what the first one replaced */
	MUST(pool_sync(w->pool) == 0);
	MUST(pool_sync(w->pool) == 0);
	pool_stat(w->pool, &st);
	return st.allocated;
}

static void begin(struct world *w)
{
	struct sim_image image;

	for (unsigned i = 0; i < w->plan.nr_clients; i++) {
		struct client *c = &w->clients[i];

		c->world = w;
		c->number = i;
		snprintf(c->prefix, sizeof(c->prefix), "c%u", i);
		c->rnd.state = rnd_next(&w->rnd);
	}
	w->watch_rnd.state = rnd_next(&w->rnd);
	sim_image_init(&image, w->start->base, w->start->nr_blocks);
	open_pool(w, &image, NULL);
	sim_image_release(&image);
	w->allocated = allocated(w);
}

static void destroy_all(struct world *w, const struct model_state *s)
{
	for (size_t i = 0; i < s->nr; i++) {
		struct dataset *ds;

		if (s->roots[i].parent)
			continue;
		MUST(dataset_open_id(w->pool, s->roots[i].id, &ds) == 0);
		MUST(dataset_destroy(ds, DESTROY_SNAPSHOTS) == 0);
		dataset_put(ds);
	}
}

/*
 * The last close.  What the pool says is allocated is what check counts, and
 * when everything is destroyed, what was allocated in the beginning.
 */
static void must_add_up(struct world *w)
{
	const bool destroy = rnd_one_in(&w->rnd, 2);
	uint64_t used, says;

	for (unsigned i = 0; destroy && i < w->plan.nr_clients; i++)
		destroy_all(w, &w->clients[i].state);
	says = allocated(w);
	if (destroy && says != w->allocated)
		sim_fail("%ju bytes are allocated, %ju were in the beginning",
			 (uintmax_t)says, (uintmax_t)w->allocated);
	close_pool(w);
	used = must_check(w, &w->crash);
	open_pool(w, &w->crash, NULL);
	sim_image_release(&w->crash);
	says = allocated(w);
	if (says != used)
		sim_fail("%ju bytes are allocated, check counts %ju",
			 (uintmax_t)says, (uintmax_t)used);
}

void world_run(struct world *w, uint64_t seed)
{
	struct sim_options options = {.seed = seed};

	make_plan(w, seed);
	options.switch_one_in = 1u << rnd_below(&w->rnd, 8);
	options.priorities = rnd_one_in(&w->rnd, 3);
	options.trace = w->plan.trace;
	sim_start(&options);
	begin(w);
	for (unsigned life = 0; life < w->plan.nr_lives; life++) {
		live(w);
		recover(w);
	}
	must_add_up(w);
	leave_pool(w);
	for (unsigned i = 0; i < w->plan.nr_clients; i++)
		model_state_release(&w->clients[i].state);
	w->tally.steps = sim_steps();
	sim_stop();
}
