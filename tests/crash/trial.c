/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/trial.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "tests/crash/act.h"
#include "tests/crash/clock.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"

/* what comes after a crash is later than all before it */
#define AFTER_CRASH 1000000u

static const struct pool_options options = {.cache_bytes = 4u << 20,
					    .no_background = true};

static bool violation(struct trial *t, const char *what, const char *why)
{
	snprintf(t->what, sizeof(t->what), "%s", what);
	snprintf(t->why, sizeof(t->why), "%s", why);
	return false;
}

/* -- looking at an image --------------------------------------------------- */

static void keep_finding(void *arg, const char *text)
{
	char *first = arg;

	if (!*first)
		snprintf(first, 512, "%s", text);
}

/* Every record of a full pool is read now and then only. */
static bool is_clean(struct trial *t, struct blkdev *dev, struct rnd *rnd)
{
	char first[512] = "";
	const struct check_options check = {.data = !t->w->full ||
						    rnd_one_in(rnd, 8),
					    .report = keep_finding,
					    .arg = first};
	struct check_result result = {0};
	struct store_error error = {""};
	struct blkdev *view = blkdev_borrow(dev);
	const int rc = check_run(view, &check, &result, &error);

	blkdev_close(view);
	if (rc)
		return violation(t, "check", error.text);
	if (result.nr_errors || result.blocks_leaked)
		return violation(t, "check found",
				 *first ? first : "leaked blocks");
	return true;
}

struct lanes {
	const struct recording *rec;
	uint64_t digest[CRASH_LANES];
	char stranger[DATASET_FULL_NAME_MAX];
};

static void see_root(void *arg, const char *name, uint64_t digest)
{
	struct lanes *l = arg;
	const unsigned lane = recording_lane_of(l->rec, name);

	if (lane < l->rec->nr_lanes)
		l->digest[lane] += digest;
	else
		snprintf(l->stranger, sizeof(l->stranger), "%s", name);
}

/* Which of @rec's promised states does @pool hold? */
static bool is_promised(struct trial *t, struct pool *pool,
			const struct recording *rec,
			const struct promise *promise, struct rnd *rnd,
			size_t *state)
{
	struct lanes lanes = {.rec = rec};
	char why[512] = "", differs[512] = "";
	struct model_state want = {0};
	size_t newest[CRASH_LANES];
	struct pool_stat st;
	bool found;

	pool_stat(pool, &st);
	if (st.read_only || st.failed)
		return violation(t, "open", "the pool is read-only");
	if (model_digest_pool(pool, recording_watches, see_root, &lanes, why,
			      sizeof(why)))
		return violation(t, "read", why);
	if (lanes.stranger[0])
		return violation(t, "state", lanes.stranger);
	found = recording_find(rec, promise, lanes.digest, state, why,
			       sizeof(why));
	/* a digest is believed because it is looked into now and then */
	if (found && (t->w->full || !rnd_one_in(rnd, 16)))
		return true;
	/* if not found: what differs from the newest that it may be? */
	for (unsigned i = 0; i < rec->nr_lanes; i++)
		newest[i] =
			MIN_OF(promise[i].hi, rec->lanes[i].run.nr_states - 1);
	recording_state(rec, found ? state : newest, &want);
	if (!model_compare(&want, pool, differs, sizeof(differs)))
		found = false;
	model_state_release(&want);
	if (found)
		return true;
	violation(t, "state", why);
	snprintf(t->why, sizeof(t->why), "%s; compared: %s", why, differs);
	return false;
}

static void save_image(const struct trial *t, struct blkdev *dev)
{
	uint8_t *block = blkdev_buffer_new(BLKDEV_ALIGN);
	FILE *f = fopen(t->save, "we");

	MUST(f && block);
	for (uint64_t at = 0; at < CRASH_DEVICE_SIZE; at += BLKDEV_ALIGN) {
		MUST(blkdev_read(dev, block, BLKDEV_ALIGN, at) == 0);
		MUST(fwrite(block, BLKDEV_ALIGN, 1, f) == 1);
	}
	MUST(fclose(f) == 0);
	free(block);
}

/* -- the second crash ------------------------------------------------------ */

/* Some operations, made durable or not. */
static void go_on(struct lane *l, struct rnd *rnd)
{
	const uint64_t nr = rnd_between(rnd, 1, 8);
	const uint64_t sync = rnd_below(rnd, nr + 2);

	for (uint64_t i = 0; i < nr; i++) {
		lane_begin(l);
		model_run_step(&l->run);
		if (i == sync)
			model_run_sync(&l->run);
		lane_end(l);
	}
}

/* Write to @l's @id what @b, a file there, has more than @a; true: it had. */
static bool repeat_write(struct lane *l, uint32_t id,
			 const struct model_inode *a,
			 const struct model_inode *b)
{
	uint64_t first = UINT64_MAX, last = 0;
	uint8_t bytes[MODEL_PIECE];

	for (size_t i = 0; i < b->nr_pieces; i++) {
		const struct model_piece *p = &b->pieces[i];

		model_data_read(a, p->index * MODEL_PIECE, bytes, MODEL_PIECE);
		if (memcmp(bytes, p->chunk->bytes, MODEL_PIECE) == 0)
			continue;
		first = MIN_OF(first, p->index);
		last = p->index;
	}
	if (first > last || last - first > 200)
		return false;
	first *= MODEL_PIECE;
	last = MIN_OF((last + 1) * MODEL_PIECE, b->attr.size);
	if (first >= last)
		return false;
	act_write_as(l, id, b, first, (size_t)(last - first));
	return true;
}

/*
 * A client that lost its last write does it again: the same bytes, and maybe
 * to the same blocks, which what the log has left of the first time names.
 */
static void repeat_lost(const struct trial *t, struct lane *l,
			const size_t *state, struct rnd *rnd)
{
	const unsigned nr = (unsigned)rnd_below(rnd, t->rec->nr_lanes);
	const struct lane *from = &t->rec->lanes[nr];
	const size_t next = recording_next(from, state[nr]);
	const struct model_state *s;

	if (next >= from->run.nr_states)
		return;
	s = &from->run.states[next];
	for (size_t i = 0; i < s->nr; i++) {
		const struct model_root *r =
			model_find(&l->run.now, s->roots[i].id);
		const struct model_tree *tree = s->roots[i].tree;

		if (!r || r->parent || r->properties.readonly)
			continue;
		for (size_t k = 0; k < tree->nr; k++) {
			const struct model_inode *b = tree->inodes[k];
			const struct model_inode *a =
				model_inode(r->tree, b->attr.ino);

			if (a && a->attr.nlink && S_ISREG(a->attr.mode) &&
			    a != b && repeat_write(l, r->id, a, b))
				return;
		}
	}
}

/*
 * What was not flushed before the first crash is taken for durable by the
 * second.  So it must be, before the opening builds on it: when the first
 * crash was only a kill, it was in the device's cache (T2).
 */
static bool is_flushed_first(struct trial *t, const struct recording *again)
{
	for (size_t i = 0; i < again->nr_events; i++) {
		if (again->events[i]->kind == BLKDEV_EVENT_FLUSH)
			return true;
		if (again->events[i]->kind == BLKDEV_EVENT_WRITE)
			return violation(t, "open",
					 "written to before a flush of what "
					 "was there");
	}
	return true;
}

/* The image once more, as @again left it at its event @m. */
static bool second_image(struct trial *t, struct rnd rnd, unsigned shape,
			 const struct recording *again, struct rnd *more)
{
	const size_t m = rnd_below(more, again->nr_events + 1);
	struct promise promise[CRASH_LANES] = {{0, 0}};
	struct blkdev *dev = image_open(t->base, t->rec, t->n, shape, &rnd);
	struct store_error error = {""};
	struct pool *pool;
	size_t state;
	bool ok;

	image_apply(t->base, dev, again, m,
		    rnd_one_in(more, 2) ? SHAPE_PREFIX : SHAPE_RANDOM, more);
	for (size_t i = 0; i < m; i++)
		recording_promise(again, again->events[i], promise);
	t->nr_images++;
	ok = is_clean(t, dev, more);
	if (ok && pool_open_on(blkdev_borrow(dev), &options, &pool, &error)) {
		ok = violation(t, "open", error.text);
	} else if (ok) {
		ok = is_promised(t, pool, again, promise, more, &state);
		if (ok && rnd_one_in(more, 4)) {
			MUST(pool_close(pool) == 0);
			ok = is_clean(t, dev, more);
		} else {
			pool_abandon(pool);
		}
	}
	if (!ok) {
		const size_t len = strlen(t->why);

		snprintf(t->why + len, sizeof(t->why) - len,
			 " (crashed again at event %zu of %zu)", m,
			 again->nr_events);
		if (t->save)
			save_image(t, dev);
	}
	blkdev_close(dev);
	return ok;
}

bool trial_run(struct trial *t)
{
	const unsigned shape = !t->variant		       ? SHAPE_PREFIX
			       : t->w->again && t->variant % 2 ? SHAPE_LOG_ONLY
							       : SHAPE_RANDOM;
	const struct rnd rnd = {.state = (t->seed * 1000003 + t->n) * 64 +
					 t->variant};
	struct rnd of_image = rnd, more = {.state = ~rnd.state};
	struct store_error error = {""};
	size_t state[CRASH_LANES];
	struct model_state start = {0};
	struct recording again;
	struct blkdev *dev;
	bool ok;

	clock_reset(rnd.state, AFTER_CRASH, 0);
	dev = image_open(t->base, t->rec, t->n, shape, &of_image);
	t->nr_images = 1;
	t->what[0] = '\0';
	ok = is_clean(t, dev, &more);
	if (!ok && t->save)
		save_image(t, dev);
	if (!ok) {
		blkdev_close(dev);
		return false;
	}
	if (recording_open(&again, dev, &options, 1, rnd_next(&more), &error))
		return violation(t, "open", error.text);
	again.lanes[0].run.o.verbose = t->verbose;
	again.lanes[0].run.o.full_ok = t->w->full;
	ok = is_promised(t, again.pool, t->rec, t->promise, &more, state);
	if (ok) {
		recording_state(t->rec, state, &start);
		model_run_start_from(&again.lanes[0].run, &start);
		if (t->w->again || (!t->w->full && rnd_one_in(&more, 3)))
			repeat_lost(t, &again.lanes[0], state, &more);
		go_on(&again.lanes[0], &more);
	} else if (t->save) {
		save_image(t, dev);
	}
	recording_end(&again, t->rec->digests);
	if (ok)
		ok = is_flushed_first(t, &again);
	if (ok)
		ok = second_image(t, rnd, shape, &again, &more);
	recording_release(&again);
	model_state_release(&start);
	return ok;
}
