/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/faults/play.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/os.h"
#include "store/record.h"
#include "store/space_map.h"
#include "store/txg.h"
#include "store/util.h"
#include "tests/faults/hooks.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/lib/model_run_internal.h"

#define POOL_SIZE  (UINT64_C(64) << 20)
#define TRIES	   3u /* of a step before what makes it fail is mended */
#define STEPS_MORE 20u

struct world {
	const struct reference *ref;
	struct reference *making; /* the same without a plan, else NULL */
	const struct plan *plan;
	struct tally *tally;
	struct blkdev *view, *faulty;
	struct model_run run;
	unsigned step;
	unsigned quiet; /* > 0: the test's own calls */
	bool mended;	/* the plan is no longer in force */
	bool lossy;	/* a part of the space map is marked as damaged */
};

/* -- the device: the faulty one, or none in between for the test's calls --- */

struct gate_dev {
	struct blkdev dev;
	struct world *w;
};

static struct blkdev *gate_below(struct blkdev *dev)
{
	const struct world *w = container_of(dev, struct gate_dev, dev)->w;

	return w->quiet ? w->view : w->faulty;
}

static int gate_preadv(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		       uint64_t offset)
{
	return blkdev_preadv(gate_below(dev), iov, nr_iov, offset);
}

static int gate_pwritev(struct blkdev *dev, const struct iovec *iov, int nr_iov,
			uint64_t offset)
{
	return blkdev_pwritev(gate_below(dev), iov, nr_iov, offset);
}

static int gate_flush(struct blkdev *dev)
{
	return blkdev_flush(gate_below(dev));
}

static int gate_resize(struct blkdev *dev, uint64_t size, bool preallocate)
{
	(void)preallocate;
	return size <= dev->size ? 0 : -ENOTSUP;
}

static int gate_discard(struct blkdev *dev, uint64_t offset, uint64_t length)
{
	return blkdev_discard(gate_below(dev), offset, length);
}

static void gate_close(struct blkdev *dev)
{
	free(container_of(dev, struct gate_dev, dev));
}

static const struct blkdev_ops gate_ops = {
	.preadv = gate_preadv,
	.pwritev = gate_pwritev,
	.flush = gate_flush,
	.resize = gate_resize,
	.discard = gate_discard,
	.close = gate_close,
};

static struct blkdev *gate_open(struct world *w)
{
	struct gate_dev *g = calloc(1, sizeof(*g));

	MUST(g);
	g->w = w;
	g->dev.ops = &gate_ops;
	g->dev.size = blkdev_size(w->view);
	g->dev.name = "gate";
	return &g->dev;
}

/* -- the plan --------------------------------------------------------------- */

static void quiet(void *arg, bool on)
{
	struct world *w = arg;

	w->quiet += on ? 1 : -1u;
	hooks_memory_pause(w->quiet > 0);
}

static void arm(struct world *w)
{
	const struct plan *p = w->plan;

	hooks_memory_fail(p->memory ? p->nth : 0, p->nr);
	if (!p->memory)
		blkdev_faulty_fail(w->faulty, p->calls, p->nth, p->error,
				   p->nr > 1, p->torn);
}

/* How many calls have failed. */
static uint64_t hits(const struct world *w)
{
	const struct plan *p = w->plan;
	uint64_t calls;

	if (p->memory)
		return hooks_memory_failed();
	calls = blkdev_faulty_calls(w->faulty, p->calls);
	if (p->nth == 0 || calls < p->nth)
		return 0;
	return p->nr == 1 ? 1 : calls - p->nth + 1;
}

/* From now on all succeeds. */
static void mend(struct world *w)
{
	w->mended = true;
	if (w->plan->memory)
		hooks_memory_pause(true);
	else
		blkdev_faulty_fail(w->faulty, 0, 0, 0, false, false);
	w->quiet += w->plan->memory;
}

static bool has_failed(const struct world *w)
{
	struct pool_stat st;

	pool_stat(w->run.pool, &st);
	return st.failed;
}

/* Only what cannot be read at all costs free space. */
static bool is_lossy(struct world *w)
{
	struct space_map_stat st;

	if (w->plan->nr == 1 || !(w->plan->calls & BLKDEV_CALL_READ))
		return false;
	space_map_stat(pool_space(w->run.pool), &st);
	w->lossy |= st.nr_damaged > 0;
	return w->lossy;
}

static bool is_fault(void *arg, int rc)
{
	struct world *w = arg;

	if (hits(w) == 0)
		return false;
	if (rc == (w->plan->memory ? -ENOMEM : w->plan->error))
		return true;
	if (rc == -ENOSPC && is_lossy(w))
		return true;
	return has_failed(w) && (rc == -EROFS || rc == -EIO);
}

/* -- opening and closing ---------------------------------------------------- */

static int try_open(struct world *w, struct pool **pool)
{
	const struct pool_options options = {.cache_bytes = 1,
					     .no_background = true};
	struct blkdev *dev = gate_open(w);
	struct store_error error = {""};
	int rc = pool_open_on(dev, &options, pool, &error);

	if (rc)
		blkdev_close(dev);
	return rc;
}

/* Open the pool, again and again while calls fail. */
static struct pool *must_open(struct world *w)
{
	struct pool *pool;
	unsigned tries = 0;

	for (;;) {
		const uint64_t before = hits(w);
		const int rc = try_open(w, &pool);

		if (rc == 0)
			return pool;
		if (hits(w) == before)
			run_fail(&w->run, "open: %d without a fault", rc);
		w->tally->opens++;
		if (++tries == TRIES)
			mend(w);
	}
}

/* @arg: how many findings are about more than free space. */
static void print_finding(void *arg, const char *text)
{
	uint64_t *nr = arg;

	if (strncmp(text, "space map", 9) == 0)
		return;
	++*nr;
	fprintf(stderr, "check: %s\n", text);
}

static void must_check(struct blkdev *dev, bool lossy)
{
	uint64_t nr = 0;
	const struct check_options options = {
		.data = true, .report = print_finding, .arg = &nr};
	struct blkdev *view = blkdev_borrow(dev);
	struct store_error error = {""};
	struct check_result result = {0};
	const int rc = check_run(view, &options, &result, &error);

	if (rc || nr ||
	    (!lossy && (result.nr_errors || result.blocks_leaked))) {
		fprintf(stderr,
			"FAILED check: rc %d %s, %ju errors, %ju "
			"leaked\n",
			rc, error.text, (uintmax_t)result.nr_errors,
			(uintmax_t)result.blocks_leaked);
		abort();
	}
	blkdev_close(view);
}

void play_must_check(struct blkdev *dev)
{
	must_check(dev, false);
}

/* Take over the state that the pool holds, which must be one it may hold. */
static void adopt_state(struct world *w, bool maybe_done)
{
	struct model_run *run = &w->run;
	struct model_state found;
	char why[512];
	size_t at;

	quiet(w, true);
	at = model_run_find(run, run->durable, run->nr_states, run->pool, why,
			    sizeof(why));
	if (at != SIZE_MAX) {
		model_state_copy(&found, &run->states[at]);
	} else {
		char other[512];

		if (!maybe_done ||
		    !model_compare(&w->ref->state[w->step], run->pool, other,
				   sizeof(other)))
			run_fail(run, "none of %zu states fits; the oldest: %s",
				 run->nr_states - run->durable, why);
		model_state_copy(&found, &w->ref->state[w->step]);
	}
	model_state_release(&run->now);
	run->now = found;
	model_drop_unnamed(&run->now);
	run_durable(run);
	quiet(w, false);
}

/* A step: close or abandon the pool and open it again. */
static void reopen(struct world *w, bool crash)
{
	struct model_run *run = &w->run;

	run_what(run, crash ? "abandon and open" : "close and open");
	model_run_close_handles(run);
	if (crash) {
		pool_abandon(run->pool);
	} else if (pool_close(run->pool) == 0) {
		run_durable(run);
	} else if (hits(w) == 0) {
		run_fail(run, "close failed without a fault");
	} else {
		w->tally->errors++;
		mend(w);
		must_check(w->view, w->lossy);
	}
	run->pool = must_open(w);
	adopt_state(w, false);
}

/* -- steps ------------------------------------------------------------------ */

static void read_all(struct world *w)
{
	const uint64_t before = hits(w);
	char why[512];

	run_what(&w->run, "read all");
	if (model_compare(&w->run.now, w->run.pool, why, sizeof(why)))
		return;
	if (hits(w) == before)
		run_fail(&w->run, "the pool differs: %s", why);
	w->run.fault = -EIO;
}

static void grow(struct world *w)
{
	struct store_error error = {""};

	run_what(&w->run, "grow");
	run_expect(&w->run, pool_grow(w->run.pool, 0, &error), 0);
}

static void one_step(struct world *w)
{
	if (w->step == 27)
		grow(w);
	else if (w->step % 12 == 0)
		reopen(w, w->step / 12 % 2 == 0);
	else if (w->step % 5 == 0)
		model_run_sync(&w->run);
	else if (w->step % 12 == 1)
		read_all(w);
	else
		model_run_step(&w->run);
}

/* Do a step until it succeeds; false: the pool has failed or lost space. */
static bool must_step(struct world *w)
{
	struct model_run *run = &w->run;
	const struct rnd rnd = run->rnd;
	const unsigned serial = run->serial;

	hooks_clock_set(w->step);
	for (unsigned tries = 1;; tries++) {
		run->fault = 0;
		one_step(w);
		w->tally->steps++;
		w->tally->errors += run->fault != 0;
		if (w->plan && w->plan->memory && has_failed(w))
			run_fail(run, "short of memory the pool became "
				      "read-only");
		if (has_failed(w) || is_lossy(w))
			return false;
		if (!run->fault)
			break;
		if (tries > TRIES)
			run_fail(run, "error %d after the fault is gone",
				 run->fault);
		model_run_verify(run);
		run->rnd = rnd;
		run->serial = serial;
		if (tries == TRIES && !w->mended)
			mend(w);
	}
	if (hits(w) > 0 && !w->mended)
		mend(w);
	if (w->making)
		model_state_copy(&w->making->state[w->step], &run->now);
	return true;
}

/* -- a pool that failed ------------------------------------------------------ */

static void must_refuse_in(struct world *w, uint32_t id)
{
	const struct file_new n = {.mode = S_IFREG | 0644};
	struct model_run *run = &w->run;
	struct file_attr attr;
	struct dataset *ds;
	uint32_t made;
	int rc;

	quiet(w, true);
	rc = dataset_open_id(run->pool, id, &ds);
	quiet(w, false);
	if (rc) /* the step was to destroy it */
		return;
	if (file_fsync(ds, MODEL_ROOT_INO) == 0)
		run_fail(run, "an fsync succeeds though the pool has failed");
	if (file_create(ds, MODEL_ROOT_INO, "new", 3, &n, &attr) == 0)
		run_fail(run, "a create succeeds though the pool has failed");
	if (dataset_snapshot(ds, "new", false, &made) == 0)
		run_fail(run, "a snapshot succeeds though the pool has failed");
	dataset_put(ds);
}

static void go_on(struct world *w)
{
	const struct model_run_options options = {
		.seed = w->ref->seed + w->step,
		.max_roots = w->run.o.max_roots,
		.max_inodes = w->run.o.max_inodes,
		.max_file = w->run.o.max_file,
	};
	struct pool *pool = w->run.pool;
	struct model_state state;
	struct model_run *run = &w->run;

	model_state_copy(&state, &run->now);
	model_run_release(run);
	model_run_init(run, pool, &options);
	model_run_start_from(run, &state);
	model_state_release(&state);
	for (unsigned i = 0; i < STEPS_MORE; i++)
		model_run_step(run);
	model_run_sync(run);
	model_run_verify(run);
}

/* Free space was lost: the rest of the pool is as it was. */
static void after_loss(struct world *w)
{
	struct model_run *run = &w->run;

	w->tally->lossy++;
	if (!w->mended)
		mend(w);
	if (run->fault)
		model_run_verify(run);
	model_run_close_handles(run);
	pool_abandon(run->pool);
	run->pool = NULL;
	must_check(w->view, true);
	run->pool = must_open(w);
	adopt_state(w, run->fault != 0);
}

static void after_failure(struct world *w)
{
	struct model_run *run = &w->run;
	char why[512], other[512];
	bool fits;

	w->tally->read_only++;
	quiet(w, true);
	fits = model_compare(&run->now, run->pool, why, sizeof(why)) ||
	       (run->fault && model_compare(&w->ref->state[w->step], run->pool,
					    other, sizeof(other)));
	quiet(w, false);
	if (!fits)
		run_fail(run, "the failed pool differs: %s", why);
	if (pool_sync(run->pool) == 0)
		run_fail(run, "a sync succeeds though the pool has failed");
	for (size_t i = 0; i < run->now.nr; i++)
		if (!run->now.roots[i].parent)
			must_refuse_in(w, run->now.roots[i].id);
	model_run_close_handles(run);
	if (w->plan->nth % 2 == 0)
		pool_abandon(run->pool);
	else if (pool_close(run->pool) == 0)
		run_fail(run, "the failed pool closes as if it had not");
	run->pool = NULL;
	if (!w->mended)
		mend(w);
	must_check(w->view, w->lossy);
	run->pool = must_open(w);
	adopt_state(w, run->fault != 0);
	if (!is_lossy(w))
		go_on(w);
}

/* -- a run ------------------------------------------------------------------ */

/* What is in use when nothing is in the pool, commits' leftovers aside. */
static uint64_t allocated(struct pool *pool)
{
	struct pool_stat st;

	MUST(pool_sync(pool) == 0);
	MUST(pool_sync(pool) == 0);
	pool_stat(pool, &st);
	return st.allocated - st.deferred;
}

static void must_be_empty(struct world *w)
{
	const uint64_t want = w->ref->allocated;
	uint64_t got;

	model_run_destroy_all(&w->run);
	got = allocated(w->run.pool);
	if (w->making)
		w->making->allocated = got;
	else if (got != want)
		run_fail(&w->run, "%ju bytes in use at the end, want %ju",
			 (uintmax_t)got, (uintmax_t)want);
}

static void begin(struct world *w)
{
	const struct model_run_options options = {.seed = w->ref->seed,
						  .max_roots = 10,
						  .max_inodes = 14,
						  .max_file = 60000,
						  .is_fault = is_fault,
						  .quiet = quiet,
						  .arg = w};

	play_drain_buffers();
	hooks_clock_set(0);
	hooks_random_reset();
	w->view = blkdev_view_open(w->ref->image, PLAY_DEVICE_SIZE);
	MUST(blkdev_faulty_open(w->view, &w->faulty) == 0);
	hooks_memory_pause(false);
	arm(w);
	w->run.o = options; /* should the open fail */
	model_run_init(&w->run, must_open(w), &options);
}

static void end(struct world *w)
{
	model_run_close_handles(&w->run);
	MUST(pool_close(w->run.pool) == 0);
	w->run.pool = NULL;
	must_check(w->view, w->lossy);
	model_run_release(&w->run);
	blkdev_close(w->faulty);
	hooks_memory_pause(false);
	hooks_memory_fail(0, 0);
}

static void count_calls(struct world *w)
{
	struct reference *ref = w->making;

	ref->nr_memory = hooks_memory_calls();
	ref->nr_reads = blkdev_faulty_calls(w->faulty, BLKDEV_CALL_READ);
	ref->nr_writes = blkdev_faulty_calls(w->faulty, BLKDEV_CALL_WRITE);
	ref->nr_flushes = blkdev_faulty_calls(w->faulty, BLKDEV_CALL_FLUSH);
}

static void play_world(void *arg)
{
	struct world *w = arg;
	const uint64_t before = w->tally->errors + w->tally->opens;
	bool failed = false;

	begin(w);
	for (w->step = 1; w->step <= w->ref->nr_steps && !failed; w->step++) {
		failed = !must_step(w);
		if (failed && has_failed(w))
			after_failure(w);
		else if (failed)
			after_loss(w);
	}
	w->tally->injected += hits(w) > 0;
	if (w->making)
		count_calls(w);
	else if (hits(w) == 0)
		run_fail(&w->run, "the run did not come to call %ju",
			 (uintmax_t)w->plan->nth);
	w->tally->unnoticed +=
		w->tally->errors + w->tally->opens == before && !failed;
	if (!failed && !w->mended)
		mend(w);
	if (!failed) {
		model_run_verify(&w->run);
		must_be_empty(w);
	}
	end(w);
}

void play_in_thread(void (*fn)(void *arg), void *arg)
{
	struct os_thread thread = {0};

	hooks_memory_pause(true);
	MUST(os_thread_start(&thread, "play", fn, arg) == 0);
	os_thread_join(&thread);
	hooks_memory_pause(false);
}

void play(const struct reference *ref, const struct plan *plan,
	  struct tally *tally)
{
	struct world w = {.ref = ref, .plan = plan, .tally = tally};

	play_in_thread(play_world, &w);
}

void reference_play(struct reference *ref)
{
	const struct plan nothing = {0};
	struct tally tally = {0};
	struct world w = {
		.ref = ref, .making = ref, .plan = &nothing, .tally = &tally};

	ref->image = play_new_image();
	ref->state = calloc(ref->nr_steps + 1, sizeof(*ref->state));
	MUST(ref->state);
	play_in_thread(play_world, &w);
}

void reference_release(struct reference *ref)
{
	for (unsigned i = 0; i <= ref->nr_steps; i++)
		model_state_release(&ref->state[i]);
	free(ref->state);
	free(ref->image);
}

/* More of each size than one thread has in use at a time. */
void play_drain_buffers(void)
{
	static const size_t sizes[] = {4096, 200u << 10};
	void *buf[4];

	for (unsigned s = 0; s < 2; s++) {
		for (unsigned i = 0; i < 4; i++)
			buf[i] = scratch_get(sizes[s]);
		for (unsigned i = 0; i < 4; i++)
			free(buf[i]);
	}
}

uint8_t *play_new_image(void)
{
	const struct pool_create_options create = {.name = "faults",
						   .size = POOL_SIZE};
	struct store_error error = {""};
	uint8_t *image = malloc(PLAY_DEVICE_SIZE);
	struct blkdev *dev;

	hooks_random_reset();
	MUST(image && blkdev_mem_open(PLAY_DEVICE_SIZE, &dev) == 0);
	MUST(pool_create_on(dev, &create, &error) == 0);
	memcpy(image, blkdev_mem_data(dev), PLAY_DEVICE_SIZE);
	blkdev_close(dev);
	return image;
}
