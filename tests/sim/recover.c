/* SPDX-License-Identifier: Apache-2.0 */
/* recover.c - what a crash left, against what it may leave (world.h, W1-W5) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/sim/sim.h"
#include "tests/sim/world.h"

/* -- W1 -------------------------------------------------------------------- */

static void keep_finding(void *arg, const char *text)
{
	char *first = arg;

	if (!*first)
		snprintf(first, 512, "%s", text);
}

uint64_t must_check(struct world *w, const struct sim_image *image)
{
	char first[512] = "";
	const struct check_options options = {
		.data = true, .report = keep_finding, .arg = first};
	struct check_result result = {0};
	struct store_error error = {""};
	struct blkdev *dev = sim_dev_open(image);

	if (check_run(dev, &options, &result, &error))
		sim_fail("check: %s", error.text);
	if (result.nr_errors || result.blocks_leaked)
		sim_fail("check found %ju errors, %ju leaked blocks: %s",
			 (uintmax_t)result.nr_errors,
			 (uintmax_t)result.blocks_leaked, first);
	blkdev_close(dev);
	w->tally.nr_checks++;
	return result.blocks_used * BLKDEV_ALIGN;
}

/* -- W2, W3 ---------------------------------------------------------------- */

/* Does nothing tell the two apart?  Quick, and may say no too often. */
static bool same_state(const struct model_state *a, const struct model_state *b)
{
	if (a->nr != b->nr)
		return false;
	for (size_t i = 0; i < a->nr; i++) {
		const struct model_root *x = &a->roots[i], *y = &b->roots[i];

		if (x->id != y->id || x->parent != y->parent ||
		    x->tree != y->tree || x->automatic != y->automatic ||
		    strcmp(x->name, y->name) != 0 ||
		    memcmp(x->user, y->user, sizeof(x->user)) != 0 ||
		    memcmp(&x->properties, &y->properties,
			   sizeof(x->properties)) != 0)
			return false;
	}
	return true;
}

/* Datasets called as @c calls its own. */
static size_t nr_own(struct world *w, const struct client *c)
{
	uint32_t *ids = NULL;
	size_t nr = 0, own = 0;

	MUST(dataset_list(w->pool, 0, &ids, &nr) == 0);
	for (size_t i = 0; i < nr; i++) {
		struct dataset_info info;
		struct dataset *ds;

		MUST(dataset_open_id(w->pool, ids[i], &ds) == 0);
		dataset_info(ds, &info);
		dataset_put(ds);
		own += strncmp(info.name, c->prefix, strlen(c->prefix)) == 0;
	}
	free(ids);
	return own;
}

static bool fits(struct world *w, const struct model_state *s, size_t nr,
		 char *why, size_t cap)
{
	for (size_t i = 0; i < s->nr; i++)
		nr -= !s->roots[i].parent;
	if (nr) {
		snprintf(why, cap, "there are %zd datasets more", (ssize_t)nr);
		return false;
	}
	return model_compare_named(s, w->pool, why, cap);
}

static void find_fits(struct world *w, struct client *c)
{
	const struct model_run *run = &c->run;
	const size_t nr = nr_own(w, c);
	char why[512] = "", newest[512] = "";
	bool any = false;

	c->fits = calloc(c->nr_states, sizeof(*c->fits));
	MUST(c->fits);
	for (size_t i = c->must; i < c->nr_states; i++) {
		if (i > c->must &&
		    same_state(&run->states[i], &run->states[i - 1]))
			c->fits[i] = c->fits[i - 1];
		else
			c->fits[i] =
				fits(w, &run->states[i], nr, why, sizeof(why));
		any = any || c->fits[i];
		if (!c->fits[i])
			snprintf(newest, sizeof(newest), "%s", why);
	}
	if (any)
		return;
	for (size_t i = 0; i < c->must; i++)
		if (fits(w, &run->states[i], nr, why, sizeof(why)))
			sim_fail("client %u: the pool holds state %zu, but %zu "
				 "was durable",
				 c->number, i, c->must);
	sim_fail("client %u: the pool holds none of states [%zu, %zu); the "
		 "newest: %s",
		 c->number, c->must, c->nr_states, newest);
}

/* -- W4 -------------------------------------------------------------------- */

/* Choose the first state from @from on that fits. */
static bool choose(struct client *c, size_t from)
{
	for (size_t i = from; i < c->nr_states; i++)
		if (c->fits[i]) {
			c->chosen = i;
			return true;
		}
	return false;
}

/* How far had @d come when what made @c's chosen state began? */
static size_t come_before(const struct client *c, const struct client *d)
{
	const uint64_t begin = c->moments[c->chosen].begin;
	size_t at = 0;

	while (at + 1 < d->nr_states && d->moments[at + 1].end < begin)
		at++;
	return at;
}

/* Returns whether something had to be raised. */
static bool raise_others(struct world *w, const struct client *c)
{
	bool raised = false;

	for (unsigned i = 0; i < w->plan.nr_clients; i++) {
		struct client *d = &w->clients[i];
		const size_t least = come_before(c, d);

		if (d == c || d->chosen >= least)
			continue;
		if (!choose(d, least))
			sim_fail("client %u's state %zu is there, client %u's "
				 "state %zu, which came before it, is not",
				 c->number, c->chosen, d->number, least);
		raised = true;
	}
	return raised;
}

/* -- W5 -------------------------------------------------------------------- */

static void must_hold_no_more(struct world *w)
{
	size_t want = w->start->nr_datasets, nr = 0;
	uint32_t *ids = NULL;

	MUST(dataset_list(w->pool, 0, &ids, &nr) == 0);
	free(ids);
	for (unsigned i = 0; i < w->plan.nr_clients; i++) {
		const struct client *c = &w->clients[i];
		const struct model_state *s = &c->run.states[c->chosen];

		for (size_t j = 0; j < s->nr; j++)
			want += !s->roots[j].parent;
	}
	if (nr != want)
		sim_fail("the pool has %zu datasets, want %zu", nr, want);
}

void must_hold_states(struct world *w)
{
	bool again = true;

	for (unsigned i = 0; i < w->plan.nr_clients; i++) {
		struct client *c = &w->clients[i];

		free(c->fits);
		find_fits(w, c);
		MUST(choose(c, c->must));
	}
	while (again) {
		again = false;
		for (unsigned i = 0; i < w->plan.nr_clients; i++)
			again = raise_others(w, &w->clients[i]) || again;
	}
	must_hold_no_more(w);
	for (unsigned i = 0; i < w->plan.nr_clients; i++)
		sim_note(w->clients[i].number, w->clients[i].chosen);
}
