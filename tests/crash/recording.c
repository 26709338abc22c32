/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/recording.h"

#include <errno.h>

#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/lib/model_run_internal.h"

/* A mark: kind, lane, and a state's number. */
enum { MARK_BEGIN = 1, MARK_END, MARK_DURABLE };
#define MARK_STATE_BITS 48
#define MARK_LANE_BITS	8

static uint64_t mark_of(uint64_t kind, uint64_t lane, uint64_t state)
{
	return (kind << MARK_LANE_BITS | lane) << MARK_STATE_BITS | state;
}

static unsigned mark_kind(const struct blkdev_event *e)
{
	return (unsigned)(e->offset >> (MARK_STATE_BITS + MARK_LANE_BITS));
}

static unsigned mark_lane(const struct blkdev_event *e)
{
	return (unsigned)(e->offset >> MARK_STATE_BITS) &
	       ((1u << MARK_LANE_BITS) - 1);
}

static size_t mark_state(const struct blkdev_event *e)
{
	return (size_t)(e->offset & ((UINT64_C(1) << MARK_STATE_BITS) - 1));
}

/* -- while it runs --------------------------------------------------------- */

static void mark_durable(void *arg, size_t durable)
{
	struct lane *l = arg;

	blkdev_faulty_mark(l->rec->faulty,
			   mark_of(MARK_DURABLE, l->nr, durable));
}

void lane_begin(struct lane *l)
{
	blkdev_faulty_mark(l->rec->faulty,
			   mark_of(MARK_BEGIN, l->nr, l->run.nr_states));
}

void lane_end(struct lane *l)
{
	const size_t nr = l->run.nr_states + 1;

	run_keep(&l->run);
	blkdev_faulty_mark(l->rec->faulty, mark_of(MARK_END, l->nr, nr - 1));
	l->what = reallocarray(l->what, nr, sizeof(*l->what));
	MUST(l->what);
	for (; l->nr_what < nr; l->nr_what++)
		l->what[l->nr_what] = strdup(l->run.what);
}

/* The pool is about to go. */
static void count_work(struct recording *rec)
{
	struct pool_stat st;

	pool_stat(rec->pool, &st);
	rec->nr_commits += st.nr_commits;
	rec->nr_batches += st.nr_batches;
}

static struct pool *reopen(void *arg, struct pool *pool, bool crash)
{
	const struct lane *l = arg;
	struct recording *rec = l->rec;
	struct store_error error = {""};

	MUST(rec->nr_lanes == 1);
	count_work(rec);
	if (crash)
		pool_abandon(pool);
	else
		MUST(pool_close(pool) == 0);
	MUST(pool_open_on(blkdev_borrow(rec->faulty), &rec->options, &rec->pool,
			  &error) == 0);
	return rec->pool;
}

struct blkdev *recording_new_pool(uint8_t **base)
{
	const struct pool_create_options create = {.name = "crash"};
	struct store_error error = {""};
	struct blkdev *dev;

	MUST(blkdev_mem_open(CRASH_DEVICE_SIZE, &dev) == 0);
	MUST(pool_create_on(dev, &create, &error) == 0);
	*base = malloc(CRASH_DEVICE_SIZE);
	MUST(*base);
	memcpy(*base, blkdev_mem_data(dev), CRASH_DEVICE_SIZE);
	return dev;
}

int recording_open(struct recording *rec, struct blkdev *below,
		   const struct pool_options *options, unsigned nr_lanes,
		   uint64_t seed, struct store_error *error)
{
	int rc;

	MUST(nr_lanes <= CRASH_LANES);
	*rec = (struct recording){.options = *options, .nr_lanes = nr_lanes};
	MUST(blkdev_faulty_open(below, &rec->faulty) == 0);
	blkdev_faulty_record(rec->faulty, true);
	rc = pool_open_on(blkdev_borrow(rec->faulty), options, &rec->pool,
			  error);
	if (rc) {
		blkdev_close(rec->faulty);
		return rc;
	}
	for (unsigned i = 0; i < nr_lanes; i++) {
		struct lane *l = &rec->lanes[i];
		const struct model_run_options o = {.seed = seed + i * 7919,
						    .max_roots = 10,
						    .max_inodes = 14,
						    .max_file = 40000,
						    .plain = true,
						    .keep_states = true,
						    .reopen = reopen,
						    .on_durable = mark_durable,
						    .arg = l};

		l->rec = rec;
		l->nr = i;
		model_run_init(&l->run, rec->pool, &o);
	}
	return 0;
}

/* -- when it has ended ----------------------------------------------------- */

/* When states begin and end; what begins or ends with one has its mark. */
static void lane_times(struct lane *l)
{
	const struct recording *rec = l->rec;
	const size_t nr = l->run.nr_states;
	size_t begun = 0, ended = 0;

	l->begin = calloc(nr, sizeof(*l->begin));
	l->end = calloc(nr, sizeof(*l->end));
	MUST(l->begin && l->end);
	for (size_t i = 0; i < rec->nr_events; i++) {
		const struct blkdev_event *e = rec->events[i];

		if (e->kind != BLKDEV_EVENT_MARK || mark_lane(e) != l->nr)
			continue;
		if (mark_kind(e) == MARK_BEGIN)
			for (; begun < MIN_OF(mark_state(e) + 1, nr); begun++)
				l->begin[begun] = i;
		else if (mark_kind(e) == MARK_END)
			for (; ended < MIN_OF(mark_state(e) + 1, nr); ended++)
				l->end[ended] = i;
	}
	/* a step may have kept one state more than it was begun for */
	for (; begun < nr; begun++)
		l->begin[begun] = begun ? l->begin[begun - 1] : 0;
	for (; ended < nr; ended++)
		l->end[ended] = SIZE_MAX;
}

static uint64_t state_digest(struct recording *rec, const struct model_state *s)
{
	uint64_t digest = 0;

	for (size_t i = 0; i < s->nr; i++) {
		const struct model_root *r = &s->roots[i];
		const struct model_root *ds =
			r->parent ? model_find(s, r->parent) : r;

		if (recording_watches(ds->name))
			digest += model_digest_root(rec->digests, r);
	}
	return digest;
}

void recording_end(struct recording *rec, const struct model_digests *below)
{
	for (unsigned i = 0; i < rec->nr_lanes; i++)
		model_run_close_handles(&rec->lanes[i].run);
	count_work(rec);
	pool_abandon(rec->pool);
	rec->pool = NULL;
	rec->nr_events = blkdev_faulty_nr_events(rec->faulty);
	rec->events = calloc(rec->nr_events + 1, sizeof(*rec->events));
	MUST(rec->events);
	for (size_t i = 0; i < rec->nr_events; i++)
		rec->events[i] = blkdev_faulty_event(rec->faulty, i);
	rec->digests = model_digests_new(below);
	for (unsigned i = 0; i < rec->nr_lanes; i++) {
		struct lane *l = &rec->lanes[i];

		lane_times(l);
		l->digest = calloc(l->run.nr_states, sizeof(*l->digest));
		MUST(l->digest);
		for (size_t k = 0; k < l->run.nr_states; k++)
			l->digest[k] = state_digest(rec, &l->run.states[k]);
	}
}

void recording_release(struct recording *rec)
{
	for (unsigned i = 0; i < rec->nr_lanes; i++) {
		struct lane *l = &rec->lanes[i];

		model_run_release(&l->run);
		for (size_t k = 0; k < l->nr_what; k++)
			free(l->what[k]);
		free(l->what);
		free(l->digest);
		free(l->begin);
		free(l->end);
	}
	model_digests_free(rec->digests);
	free(rec->events);
	blkdev_close(rec->faulty);
}

/* -- asking ---------------------------------------------------------------- */

void recording_promise(const struct recording *rec,
		       const struct blkdev_event *e, struct promise *promise)
{
	struct promise *p = &promise[mark_lane(e)];

	if (e->kind != BLKDEV_EVENT_MARK)
		return;
	MUST(mark_lane(e) < rec->nr_lanes);
	if (mark_kind(e) == MARK_BEGIN)
		p->hi = mark_state(e);
	else if (mark_kind(e) == MARK_DURABLE)
		p->lo = MAX_OF(p->lo, mark_state(e));
	/* states that are kept twice may be promised by their later number */
	p->hi = MAX_OF(p->hi, p->lo);
}

bool recording_watches(const char *name)
{
	return strncmp(name, "filler", strlen("filler")) != 0;
}

unsigned recording_lane_of(const struct recording *rec, const char *name)
{
	if (rec->nr_lanes == 1)
		return 0;
	/* "t0", "t0-clone@snap" */
	if (name[0] == 't' && name[1] >= '0' &&
	    name[1] < '0' + (int)rec->nr_lanes)
		return (unsigned)(name[1] - '0');
	return UINT32_MAX;
}

/* The newest state of @l in [from, to] with @digest, or SIZE_MAX. */
static size_t lane_find(const struct lane *l, size_t from, size_t to,
			uint64_t digest)
{
	to = MIN_OF(to + 1, l->run.nr_states);
	for (size_t i = to; i-- > from;)
		if (l->digest[i] == digest)
			return i;
	return SIZE_MAX;
}

/* The first of the states around @state that are all the same. */
static size_t lane_first(const struct lane *l, size_t state)
{
	while (state && l->digest[state - 1] == l->digest[state])
		state--;
	return state;
}

size_t recording_next(const struct lane *l, size_t state)
{
	const uint64_t digest = l->digest[state];

	while (state < l->run.nr_states && l->digest[state] == digest)
		state++;
	return state;
}

static const char *what_of(const struct lane *l, size_t state)
{
	return state < l->nr_what ? l->what[state] : "the start";
}

/*
 * An operation of one lane that is there began after one of another lane, that
 * is not, had returned: no prefix of any order has that.
 */
static bool out_of_order(const struct recording *rec, const size_t *state,
			 char *why, size_t cap)
{
	for (unsigned a = 0; a < rec->nr_lanes; a++)
		for (unsigned b = 0; b < rec->nr_lanes; b++) {
			const struct lane *in = &rec->lanes[a];
			const struct lane *out = &rec->lanes[b];
			const size_t has = lane_first(in, state[a]);
			const size_t lacks = recording_next(out, state[b]);

			if (a == b || !has || lacks == out->run.nr_states ||
			    in->begin[has] < out->end[lacks])
				continue;
			snprintf(why, cap,
				 "it has state %zu of lane %u (%s) but not %zu "
				 "of lane %u (%s), which was before",
				 has, a, what_of(in, has), lacks, b,
				 what_of(out, lacks));
			return true;
		}
	return false;
}

/*
 * Choose states for lanes [@nr, nr_lanes) so that all are in order.  A restore
 * leads back to a state that was there before, so a lane may have several.
 */
static bool find_in_order(const struct recording *rec,
			  const struct promise *promise, const uint64_t *digest,
			  unsigned nr, size_t *state, char *why, size_t cap)
{
	size_t to = promise[nr].hi;

	if (nr == rec->nr_lanes)
		return !out_of_order(rec, state, why, cap);
	for (;;) {
		const struct lane *l = &rec->lanes[nr];

		state[nr] = lane_find(l, promise[nr].lo, to, digest[nr]);
		if (state[nr] == SIZE_MAX)
			return false;
		if (find_in_order(rec, promise, digest, nr + 1, state, why,
				  cap))
			return true;
		to = lane_first(l, state[nr]);
		if (to == 0)
			return false;
		to--;
	}
}

bool recording_find(const struct recording *rec, const struct promise *promise,
		    const uint64_t *digest, size_t *state, char *why,
		    size_t cap)
{
	for (unsigned i = 0; i < rec->nr_lanes; i++) {
		const struct lane *l = &rec->lanes[i];
		const struct promise *p = &promise[i];

		if (lane_find(l, p->lo, p->hi, digest[i]) != SIZE_MAX)
			continue;
		state[i] = lane_find(l, 0, l->run.nr_states, digest[i]);
		if (state[i] == SIZE_MAX)
			snprintf(why, cap,
				 "lane %u is in no state it ever had, let "
				 "alone one of [%zu, %zu]",
				 i, p->lo, p->hi);
		else
			snprintf(why, cap,
				 "lane %u is in state %zu (%s), not in one of "
				 "[%zu, %zu]",
				 i, state[i], what_of(l, state[i]), p->lo,
				 p->hi);
		return false;
	}
	return find_in_order(rec, promise, digest, 0, state, why, cap);
}

void recording_state(const struct recording *rec, const size_t *state,
		     struct model_state *out)
{
	model_state_copy(out, &rec->lanes[0].run.states[state[0]]);
	for (unsigned i = 1; i < rec->nr_lanes; i++) {
		const struct model_state *s =
			&rec->lanes[i].run.states[state[i]];

		for (size_t k = 0; k < s->nr; k++) {
			struct model_root *r = &s->roots[k];
			struct model_root *to = model_add(out, r->id, r->parent,
							  r->name, r->tree);
			struct model_tree *tree = to->tree;

			*to = *r;
			to->tree = tree;
		}
	}
}
