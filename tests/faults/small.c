/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/faults/small.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/format.h"
#include "tests/faults/hooks.h"
#include "tests/faults/play.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"

/* One call of something, on a device of its own. */
struct small {
	const char *name;
	const uint8_t *image;
	const struct plan *plan;
	struct blkdev *view, *faulty;
	int rc;		/* what it returned */
	bool clean;	/* check: it found nothing */
	uint64_t calls; /* of the kind that is to fail */
	bool failed;	/* did one fail? */
	int (*fn)(struct small *s);
	/* what must hold afterwards; nothing fails any more */
	void (*verify)(struct small *s);
};

static void small_fail(const struct small *s, const char *what)
{
	fprintf(stderr, "FAILED %s %s call %ju: %s (rc %d)\n", s->name,
		s->plan->memory ? "memory" : "device", (uintmax_t)s->plan->nth,
		what, s->rc);
	abort();
}

static void run_small(void *arg)
{
	struct small *s = arg;
	const struct plan *p = s->plan;

	play_drain_buffers();
	hooks_random_reset();
	s->view = blkdev_view_open(s->image, PLAY_DEVICE_SIZE);
	MUST(blkdev_faulty_open(s->view, &s->faulty) == 0);
	hooks_memory_fail(p->memory ? p->nth : 0, p->nr);
	if (!p->memory)
		blkdev_faulty_fail(s->faulty, p->calls, p->nth, p->error,
				   p->nr > 1, p->torn);
	hooks_memory_pause(false);
	s->rc = s->fn(s);
	hooks_memory_pause(true);
	s->calls = p->memory ? hooks_memory_calls()
			     : blkdev_faulty_calls(s->faulty, p->calls);
	s->failed = p->nth > 0 && s->calls >= p->nth;
	hooks_memory_fail(0, 0);
	blkdev_faulty_fail(s->faulty, 0, 0, 0, false, false);
	s->verify(s);
	blkdev_close(s->faulty);
}

/* Let every @stride-th call fail that @fn makes; returns how many. */
static uint64_t run_plans(struct small *s, uint64_t stride)
{
	static const struct plan plans[] = {
		{false, BLKDEV_CALL_READ, 0, 1, -EIO, false},
		{false, BLKDEV_CALL_READ, 0, UINT64_MAX, -EIO, false},
		{false, BLKDEV_CALL_WRITE, 0, 1, -ENOSPC, true},
		{false, BLKDEV_CALL_WRITE, 0, UINT64_MAX, -EIO, false},
		{false, BLKDEV_CALL_FLUSH, 0, 1, -EIO, false},
		{true, 0, 0, 1, 0, false},
		{true, 0, 0, UINT64_MAX, 0, false},
	};
	uint64_t nr = 0;

	for (size_t i = 0; i < sizeof(plans) / sizeof(*plans); i++) {
		struct plan plan = plans[i];
		uint64_t calls;

		s->plan = &plan;
		play_in_thread(run_small, s);
		if (s->rc)
			small_fail(s, "fails without a fault");
		calls = s->calls;
		for (plan.nth = 1; plan.nth <= calls; plan.nth += stride) {
			play_in_thread(run_small, s);
			if (!s->failed)
				small_fail(s, "the call was never made");
			nr++;
		}
	}
	printf("%s: %ju calls failed\n", s->name, (uintmax_t)nr);
	return nr;
}

/* -- making a pool ----------------------------------------------------------- */

static int create(struct blkdev *dev, bool force)
{
	const struct pool_create_options options = {.name = "small",
						    .force = force};
	struct store_error error = {""};

	return pool_create_on(dev, &options, &error);
}

static int create_it(struct small *s)
{
	return create(s->faulty, false);
}

/* Opens @s's pool and closes it; returns whether it opened. */
static bool opens(struct small *s)
{
	const struct pool_options options = {.cache_bytes = 1,
					     .no_background = true};
	struct blkdev *dev = blkdev_borrow(s->view);
	struct store_error error = {""};
	struct pool *pool;

	if (pool_open_on(dev, &options, &pool, &error)) {
		blkdev_close(dev);
		return false;
	}
	if (pool_sync(pool) || pool_close(pool))
		small_fail(s, "the pool cannot be used");
	return true;
}

static void verify_create(struct small *s)
{
	if (s->rc && !s->failed)
		small_fail(s, "fails without a fault");
	if (s->rc == 0 && s->failed && !s->plan->memory)
		small_fail(s, "succeeds though the device failed");
	if (opens(s))
		play_must_check(s->view);
	else if (s->rc == 0)
		small_fail(s, "made, but it does not open");
	if (s->rc == 0)
		return;
	if (create(s->view, true) || !opens(s))
		small_fail(s, "cannot be made again");
	play_must_check(s->view);
}

uint64_t small_create(uint64_t stride)
{
	struct small s = {
		.name = "create", .fn = create_it, .verify = verify_create};
	uint8_t *zeros = calloc(1, PLAY_DEVICE_SIZE);
	uint64_t nr;

	MUST(zeros);
	s.image = zeros;
	nr = run_plans(&s, stride);
	free(zeros);
	return nr;
}

/* -- checking one ------------------------------------------------------------- */

static int check_it(struct small *s)
{
	const struct check_options options = {.data = true};
	struct check_result result = {0};
	struct store_error error = {""};
	struct blkdev *dev = blkdev_borrow(s->faulty);
	int rc = check_run(dev, &options, &result, &error);

	blkdev_close(dev);
	s->clean = rc == 0 && !result.nr_errors && !result.blocks_leaked;
	return rc;
}

static void verify_check(struct small *s)
{
	if (!s->failed && !s->clean)
		small_fail(s, "finds something in a clean pool");
	/* of a superblock there is a copy */
	if (s->failed && s->clean && !s->plan->memory &&
	    (s->plan->nr > 1 || s->plan->nth > 2 * SUPERBLOCK_RING))
		small_fail(s, "finds nothing though it could not read all");
	play_must_check(s->view);
}

/* A pool with a bit of everything in it. */
static void fill(void *arg)
{
	const struct model_run_options options = {.seed = 7,
						  .max_roots = 10,
						  .max_inodes = 14,
						  .max_file = 60000};
	const struct pool_options quiet = {.no_background = true};
	struct blkdev *view = blkdev_view_open(arg, PLAY_DEVICE_SIZE);
	struct store_error error = {""};
	struct model_run run;
	struct pool *pool;
	uint8_t *buf;

	MUST(pool_open_on(blkdev_borrow(view), &quiet, &pool, &error) == 0);
	model_run_init(&run, pool, &options);
	for (unsigned i = 0; i < 300; i++)
		model_run_step(&run);
	model_run_close_handles(&run);
	MUST(pool_close(pool) == 0);
	run.pool = NULL;
	model_run_release(&run);
	buf = blkdev_buffer_new(PLAY_DEVICE_SIZE);
	MUST(buf && blkdev_read(view, buf, PLAY_DEVICE_SIZE, 0) == 0);
	memcpy(arg, buf, PLAY_DEVICE_SIZE);
	free(buf);
	blkdev_close(view);
}

uint64_t small_check(uint64_t stride)
{
	struct small s = {
		.name = "check", .fn = check_it, .verify = verify_check};
	uint8_t *image = play_new_image();
	uint64_t nr;

	play_in_thread(fill, image);
	s.image = image;
	nr = run_plans(&s, stride);
	free(image);
	return nr;
}
