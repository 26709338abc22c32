/* SPDX-License-Identifier: Apache-2.0 */
/* model_run.c - steps and states */
#include "tests/lib/model_run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/model_run_internal.h"

#define BUF_SIZE (1u << 20)

_Noreturn void run_fail(const struct model_run *run, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "FAILED seed=%ju op=%ju: %s\n", (uintmax_t)run->o.seed,
		(uintmax_t)run->nr_ops, run->what);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

void run_what(struct model_run *run, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(run->what, sizeof(run->what), fmt, ap);
	va_end(ap);
	if (run->o.verbose)
		fprintf(stderr, "%ju %s\n", (uintmax_t)run->nr_ops, run->what);
}

bool run_faulted(struct model_run *run, int rc)
{
	if (rc == 0 || !run->o.is_fault || !run->o.is_fault(run->o.arg, rc))
		return false;
	run->fault = rc;
	return true;
}

void run_quiet(struct model_run *run, bool on)
{
	if (run->o.quiet)
		run->o.quiet(run->o.arg, on);
}

bool run_expect(struct model_run *run, int rc, int want)
{
	if (rc != want && run_faulted(run, rc))
		return false;
	if (rc == -ENOSPC && run->o.full_ok) {
		run->nr_full++;
		return false;
	}
	if (rc != want)
		run_fail(run, "got %d (%s), want %d (%s)", rc, strerror(-rc),
			 want, strerror(-want));
	return rc == 0;
}

/* -- states ---------------------------------------------------------------- */

void run_keep(struct model_run *run)
{
	if (run->nr_states == run->cap_states) {
		run->cap_states = run->cap_states ? 2 * run->cap_states : 64;
		run->states = realloc(run->states,
				      run->cap_states * sizeof(*run->states));
		if (!run->states)
			abort();
	}
	model_state_copy(&run->states[run->nr_states++], &run->now);
}

static void drop_states(struct model_run *run, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		model_state_release(&run->states[i]);
	run->nr_states -= nr;
	memmove(run->states, run->states + nr,
		run->nr_states * sizeof(*run->states));
}

/* States from index @at on are durable, or one that came later. */
static void durable_from(struct model_run *run, size_t at)
{
	run->durable = MAX_OF(run->durable, at);
	if (!run->o.keep_states) {
		drop_states(run, run->durable);
		run->durable = 0;
	}
	if (run->o.on_durable)
		run->o.on_durable(run->o.arg, run->durable);
}

/* The step's own state counts too, whether it is kept by now or not. */
void run_durable(struct model_run *run)
{
	run_keep(run);
	durable_from(run, run->nr_states - 1);
}

void run_durable_root(struct model_run *run, uint32_t id)
{
	const struct model_tree *tree = model_find(&run->now, id)->tree;
	const struct model_root *r;
	size_t at;

	run_keep(run);
	for (at = run->nr_states - 1; at > run->durable; at--) {
		r = model_find(&run->states[at - 1], id);
		if (!r || !model_tree_same(r->tree, tree))
			break;
	}
	durable_from(run, at);
}

size_t model_run_find(const struct model_run *run, size_t from, size_t to,
		      struct pool *pool, char *why, size_t cap)
{
	for (size_t i = to; i-- > from;) {
		if (model_compare(&run->states[i], pool, why, cap))
			return i;
		if (run->o.verbose)
			fprintf(stderr, "not state %zu: %s\n", i, why);
	}
	return SIZE_MAX;
}

/* -- picking --------------------------------------------------------------- */

struct dataset *run_open(struct model_run *run, uint32_t id)
{
	struct dataset *ds;
	int rc;

	run_quiet(run, true);
	rc = dataset_open_id(run->pool, id, &ds);
	run_quiet(run, false);
	if (rc)
		run_fail(run, "open of root %u: %d", id, rc);
	return ds;
}

static struct model_root *pick(struct model_run *run,
			       bool (*fits)(const struct model_root *r))
{
	size_t nr = 0, at;

	for (size_t i = 0; i < run->now.nr; i++)
		nr += fits(&run->now.roots[i]);
	if (!nr)
		return NULL;
	at = rnd_below(&run->rnd, nr);
	for (size_t i = 0;; i++)
		if (fits(&run->now.roots[i]) && at-- == 0)
			return &run->now.roots[i];
}

static bool fits_any(const struct model_root *r)
{
	return r != NULL;
}

static bool fits_dataset(const struct model_root *r)
{
	return !r->parent;
}

static bool fits_snapshot(const struct model_root *r)
{
	return r->parent;
}

static bool fits_writable(const struct model_root *r)
{
	return !r->parent && !r->properties.readonly;
}

struct model_root *run_pick_root(struct model_run *run)
{
	return pick(run, fits_any);
}

struct model_root *run_pick_dataset(struct model_run *run)
{
	return pick(run, fits_dataset);
}

struct model_root *run_pick_snapshot(struct model_run *run)
{
	return pick(run, fits_snapshot);
}

struct model_root *run_pick_writable(struct model_run *run)
{
	return pick(run, fits_writable);
}

/* -- handles --------------------------------------------------------------- */

unsigned run_count(const struct model_run *run, uint32_t root, bool write)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < MODEL_HANDLES; i++)
		nr += run->handles[i].ds && run->handles[i].root == root &&
		      (run->handles[i].write || !write);
	return nr;
}

void run_close_handles(struct model_run *run, uint32_t root)
{
	for (unsigned i = 0; i < MODEL_HANDLES; i++) {
		struct model_handle *h = &run->handles[i];

		if (!h->ds || (root && h->root != root))
			continue;
		file_close(h->ds, h->ino, h->write);
		dataset_put(h->ds);
		h->ds = NULL;
	}
}

/* -- a step ---------------------------------------------------------------- */

static run_op_fn *pick_op(struct model_run *run, const struct run_op *ops)
{
	unsigned sum = 0, at;

	for (const struct run_op *o = ops; o->fn; o++)
		sum += o->weight;
	at = (unsigned)rnd_below(&run->rnd, sum);
	for (; at >= ops->weight; ops++)
		at -= ops->weight;
	return ops->fn;
}

void model_run_step(struct model_run *run)
{
	const uint64_t kind = rnd_below(&run->rnd, 100);

	run->nr_ops++;
	run_what(run, "nothing");
	if (run->now.nr == 0)
		run_create_dataset(run);
	else if (kind < 12)
		pick_op(run, run_root_ops)(run);
	else if (kind < 55)
		pick_op(run, run_data_ops)(run);
	else
		pick_op(run, run_name_ops)(run);
	run_keep(run);
}

void model_run_sync(struct model_run *run)
{
	const int rc = pool_sync(run->pool);

	if (run_faulted(run, rc))
		return;
	if (rc)
		run_fail(run, "sync: %d", rc);
	run_durable(run);
}

void model_run_verify(struct model_run *run)
{
	char why[512];

	run_quiet(run, true);
	if (!model_compare(&run->now, run->pool, why, sizeof(why)))
		run_fail(run, "the pool differs: %s", why);
	run_quiet(run, false);
}

void model_run_verify_one(struct model_run *run)
{
	const struct model_root *r = run_pick_root(run);
	struct dataset *ds;
	char why[512];

	if (!r)
		return;
	ds = run_open(run, r->id);
	run_quiet(run, true);
	if (!model_compare_tree(r->tree, ds, why, sizeof(why)))
		run_fail(run, "the pool differs: %s", why);
	run_quiet(run, false);
	dataset_put(ds);
}

void model_run_close_handles(struct model_run *run)
{
	run_close_handles(run, 0);
}

void model_run_start_from(struct model_run *run, const struct model_state *s)
{
	model_state_release(&run->now);
	model_state_copy(&run->now, s);
	model_drop_unnamed(&run->now);
	drop_states(run, run->nr_states);
	/* new names must not all be taken */
	run->serial = 100000;
	run_durable(run);
}

void model_run_reopen(struct model_run *run, bool crash)
{
	char why[512];
	size_t at;

	run_what(run, crash ? "abandon and open" : "close and open");
	/* a close purges what has no name, a crash lets the next open do it */
	run_close_handles(run, 0);
	if (!crash) {
		run_keep(run);
		run->durable = run->nr_states - 1;
	}
	run->pool = run->o.reopen(run->o.arg, run->pool, crash);
	at = model_run_find(run, run->durable, run->nr_states, run->pool, why,
			    sizeof(why));
	if (at == SIZE_MAX)
		run_fail(run, "none of %zu states fits; the oldest: %s",
			 run->nr_states - run->durable, why);
	model_state_release(&run->now);
	model_state_copy(&run->now, &run->states[at]);
	model_drop_unnamed(&run->now);
	run_durable(run);
}

void model_run_destroy_all(struct model_run *run)
{
	run_what(run, "destroy all");
	run_close_handles(run, 0);
	while (run->now.nr) {
		const struct model_root *r = &run->now.roots[0];

		run_destroy(run, r->parent ? r->parent : r->id);
	}
	run_expect(run, pool_wait_reaped(run->pool), 0);
	model_run_sync(run);
}

void model_run_init(struct model_run *run, struct pool *pool,
		    const struct model_run_options *options)
{
	*run = (struct model_run){.o = *options, .pool = pool};
	run->rnd.state = options->seed;
	run->buf = malloc(BUF_SIZE);
	if (!run->buf)
		abort();
	run_keep(run);
}

void model_run_release(struct model_run *run)
{
	run_close_handles(run, 0);
	drop_states(run, run->nr_states);
	model_state_release(&run->now);
	free(run->states);
	free(run->buf);
}
