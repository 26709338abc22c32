/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - who works on the pool */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"
#include "tests/lib/model_run_internal.h"
#include "tests/sim/sim.h"
#include "tests/sim/world.h"

#define PAUSE_NS UINT64_C(3000000)

static bool pool_has_failed(struct world *w)
{
	struct pool_stat st;

	pool_stat(w->pool, &st);
	return st.failed;
}

/* A read that failed explains what failed since; a write all that follows. */
static bool is_fault(void *arg, int rc)
{
	struct client *c = arg;
	struct sim_dev_stat st;

	if (!c->world->faults || (rc != -EIO && rc != -EROFS))
		return false;
	sim_dev_stat(c->world->dev, &st);
	if (rc == -EIO && st.nr_read_faults &&
	    st.last_read_fault >= c->began_at)
		return true;
	return pool_has_failed(c->world);
}

static void quiet(void *arg, bool on)
{
	struct client *c = arg;

	sim_dev_spare(c->world->dev, on);
}

/* The states that were added since belong to the step under way. */
static void time_states(struct client *c)
{
	const size_t nr = c->run.nr_states;

	c->world->moments++;
	if (nr > c->cap_moments) {
		c->cap_moments = 2 * nr;
		c->moments = reallocarray(c->moments, c->cap_moments,
					  sizeof(*c->moments));
		MUST(c->moments);
	}
	for (; c->nr_timed < nr; c->nr_timed++)
		c->moments[c->nr_timed] =
			(struct moment){c->step_begin, c->world->moments};
}

/* Somebody's sync covers what all have done before it began. */
static void sync_pool(struct client *c)
{
	struct world *w = c->world;
	size_t done[CLIENTS_MAX];

	for (unsigned i = 0; i < w->plan.nr_clients; i++)
		done[i] = w->clients[i].run.nr_states - 1;
	run_what(&c->run, "sync of all");
	model_run_sync(&c->run);
	if (c->run.fault)
		return;
	for (unsigned i = 0; i < w->plan.nr_clients; i++) {
		struct model_run *run = &w->clients[i].run;

		run->durable = MAX_OF(run->durable, done[i]);
	}
}

static void sync_dataset(struct client *c)
{
	struct model_root *r = run_pick_dataset(&c->run);
	struct dataset *ds;
	uint32_t id;

	if (!r)
		return;
	id = r->id;
	run_what(&c->run, "fsync of %s", r->name);
	ds = run_open(&c->run, id);
	if (run_expect(&c->run, file_fsync(ds, MODEL_ROOT_INO), 0))
		run_durable_root(&c->run, id);
	dataset_put(ds);
}

/* After a failed write or flush nobody is told that anything is durable. */
static void must_refuse_sync(struct client *c)
{
	const struct model_root *r = run_pick_root(&c->run);
	struct dataset *ds;

	if (pool_sync(c->world->pool) == 0)
		run_fail(&c->run, "the pool failed, but syncs");
	if (!r)
		return;
	ds = run_open(&c->run, r->id);
	if (!r->parent && file_fsync(ds, MODEL_ROOT_INO) == 0)
		run_fail(&c->run, "the pool failed, but fsync does not");
	dataset_put(ds);
}

static void one_step(struct client *c)
{
	const uint64_t dice = rnd_below(&c->rnd, 100);

	if (dice < 3)
		sync_pool(c);
	else if (dice < 9)
		sync_dataset(c);
	else if (dice < 13)
		model_run_verify_one(&c->run);
	else
		model_run_step(&c->run);
}

void client_main(void *arg)
{
	struct client *c = arg;
	struct world *w = c->world;

	while (!w->stop && c->steps_left-- > 0) {
		c->step_begin = ++w->moments;
		c->began_at = sim_steps();
		c->run.fault = 0;
		one_step(c);
		time_states(c);
		sim_note(c->number, c->run.nr_states);
		w->tally.nr_ops++;
		if (w->faults && pool_has_failed(w)) {
			must_refuse_sync(c);
			break;
		}
		if (rnd_one_in(&c->rnd, 4))
			sim_sleep(rnd_below(&c->rnd, PAUSE_NS));
		else
			sim_yield();
	}
	model_run_close_handles(&c->run);
	w->nr_working--;
}

void client_begin(struct client *c)
{
	struct world *w = c->world;
	const struct model_run_options options = {
		.seed = w->plan.seed, /* for messages */
		.prefix = c->prefix,
		.max_roots = 7,
		.max_inodes = 16,
		.max_file = w->plan.full ? 400000 : 60000,
		.full_ok = w->plan.full,
		.fill = w->plan.full,
		.plain = !rnd_one_in(&c->rnd, 3),
		.one_piece = true,
		.keep_states = true,
		.verbose = w->plan.verbose,
		.is_fault = is_fault,
		.quiet = quiet,
		.arg = c,
	};

	model_run_init(&c->run, w->pool, &options);
	c->run.rnd.state = rnd_next(&c->rnd);
	model_run_start_from(&c->run, &c->state);
	c->run.serial = c->serial;
	c->nr_timed = 0;
	c->step_begin = 0;
	c->steps_left = rnd_between(&c->rnd, 1, w->plan.nr_steps + 1);
	time_states(c);
}

void client_end(struct client *c)
{
	c->serial = c->run.serial;
	model_run_release(&c->run);
	free(c->moments);
	free(c->fits);
	c->moments = NULL;
	c->fits = NULL;
	c->cap_moments = 0;
}
