/* SPDX-License-Identifier: Apache-2.0 */
/* world.c - the lives of a pool: work, crash, recovery */
#include "tests/sim/world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/sim/sim.h"

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
	p->full = rnd_one_in(&w->rnd, 6);
	w->start = w->starts[p->full];
}

/* -- the crash ------------------------------------------------------------- */

static void crash_now(void *arg)
{
	struct world *w = arg;

	if (w->crashed)
		return;
	w->crashed = true;
	w->stop = true;
	sim_dev_crash(w->dev,
		      (enum sim_crash)rnd_below(&w->rnd, SIM_NR_CRASHES),
		      &w->crash);
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

	w->faults = rnd_one_in(&w->rnd, 3);
	if (w->faults) {
		const uint64_t kind = rnd_below(&w->rnd, 4);
		const unsigned rate = 1u << rnd_below(&w->rnd, 8);

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

static void open_pool(struct world *w, const struct sim_image *image)
{
	const struct pool_options options = {
		.cache_bytes = w->plan.cache_bytes,
		.commit_ms = w->plan.commit_ms,
	};
	struct store_error error = {""};
	int rc;

	w->dev = sim_dev_open(image);
	if (w->plan.ignore_flushes)
		sim_dev_ignore_flushes(w->dev);
	rc = pool_open_on(blkdev_borrow(w->dev), &options, &w->pool, &error);
	if (rc)
		sim_fail("open: %d %s", rc, error.text);
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
	disarm_crash(w);
	pool_abandon(w->pool);
	blkdev_close(w->dev);
	w->pool = NULL;
}

/* All that was done is durable when this returns. */
static void close_pool(struct world *w)
{
	int rc;

	for (unsigned i = 0; i < w->plan.nr_clients; i++) {
		struct client *c = &w->clients[i];

		c->must = c->run.nr_states - 1;
	}
	rc = pool_close(w->pool);
	if (rc)
		sim_fail("close: %d", rc);
	sim_dev_crash(w->dev,
		      (enum sim_crash)rnd_below(&w->rnd, SIM_NR_CRASHES),
		      &w->crash);
	blkdev_close(w->dev);
	w->pool = NULL;
	w->tally.nr_closes++;
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
	set_faults(w);
	arm_crash(w);
	for (unsigned i = 0; i < w->plan.nr_clients; i++)
		MUST(os_thread_start(&w->clients[i].thread,
				     w->clients[i].prefix, client_main,
				     &w->clients[i]) == 0);
	for (unsigned i = 0; i < w->plan.nr_clients; i++)
		os_thread_join(&w->clients[i].thread);
	sim_dev_fail(w->dev, &(struct sim_faults){.at_most = 0});
	if (!w->crashed && !failed(w) && rnd_one_in(&w->rnd, 2)) {
		disarm_crash(w);
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

/* Open what is left, and go on from the states that it holds. */
static void recover(struct world *w)
{
	struct sim_image image = w->crash;

	must_check(w, &image);
	open_pool(w, &image);
	must_hold_states(w);
	sim_image_release(&image);
	for (unsigned i = 0; i < w->plan.nr_clients; i++) {
		struct client *c = &w->clients[i];

		model_state_release(&c->state);
		model_state_copy(&c->state, &c->run.states[c->chosen]);
		client_end(c);
	}
}

/* -- all of them ----------------------------------------------------------- */

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
	sim_image_init(&image, w->start->base, w->start->nr_blocks);
	open_pool(w, &image);
	sim_image_release(&image);
}

/* Nothing is lost or kept that nobody has: allocated is what check counts. */
static void must_add_up(struct world *w)
{
	(void)w;
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
