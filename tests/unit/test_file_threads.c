/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads on a few files, with the pool's own threads behind them.
 */
#include <errno.h>
#include <linux/falloc.h>

#include "store/dataset_internal.h"
#include "store/format.h"
#include "store/os.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

#define LANES	 4u
#define LANE	 700u /* bytes; a record has parts of many lanes */
#define ROWS	 60u
#define ROUNDS	 400u
#define ROW_SIZE ((uint64_t)LANES * LANE)

static struct file_pool fp;
static struct dataset *other;
static uint64_t shared, victim, copies[2];

struct worker {
	unsigned n;
	struct os_thread thread;
	uint8_t last[ROWS]; /* value written last to each of its places */
};

static bool fine(int rc)
{
	return rc == 0;
}

/* Write to its own lane of the shared file, and check what is there. */
static void lane_worker(void *arg)
{
	struct worker *w = arg;
	struct rnd rnd = {.state = w->n};
	uint8_t buf[LANE], got[LANE];
	size_t n;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned row = (unsigned)rnd_below(&rnd, ROWS);
		uint64_t at = row * ROW_SIZE + w->n * LANE;

		if (w->last[row]) {
			MUST(fine(file_read(fp.ds, shared, at, got, LANE, &n)));
			memset(buf, w->last[row], LANE);
			MUST(n == LANE && memcmp(buf, got, LANE) == 0);
		}
		w->last[row] = (uint8_t)(1 + rnd_below(&rnd, 255));
		memset(buf, w->last[row], LANE);
		MUST(fine(file_write(fp.ds, shared, at, buf, LANE, 0)));
		if (rnd_one_in(&rnd, 40))
			MUST(fine(file_fsync(fp.ds, shared)));
	}
}

/* All that may happen to one file at once; its end is what matters. */
static void victim_worker(void *arg)
{
	static const uint8_t noise[70000] = {1, 2, 3};
	const struct worker *w = arg;
	struct rnd rnd = {.state = 100 + w->n};
	uint8_t buf[5000];
	uint64_t copied;
	size_t n;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t at = rnd_below(&rnd, 2u << 20);
		const struct file_attr attr = {.size = at};

		switch (rnd_below(&rnd, 7)) {
		case 0:
			MUST(fine(file_setattr(fp.ds, victim, FILE_SET_SIZE,
					       &attr, NULL)));
			break;
		case 1:
			MUST(fine(file_fallocate(fp.ds, victim,
						 FALLOC_FL_PUNCH_HOLE |
							 FALLOC_FL_KEEP_SIZE,
						 at, 100000, 0)));
			break;
		case 2:
			MUST(fine(file_read(fp.ds, victim, at, buf, sizeof(buf),
					    &n)));
			break;
		case 3:
			MUST(fine(file_copy(fp.ds, victim, 0, fp.ds, copies[0],
					    0, 1u << 20, 0, &copied)));
			break;
		default:
			MUST(fine(file_write(fp.ds, victim, at, noise,
					     1 + rnd_below(&rnd, 69999), 0)));
			break;
		}
	}
}

/* Between two datasets, both ways. */
static void copy_worker(void *arg)
{
	const struct worker *w = arg;
	struct rnd rnd = {.state = 200 + w->n};
	uint64_t copied;

	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		uint64_t at = rnd_below(&rnd, 10) << 14;

		if (w->n % 2)
			MUST(fine(file_copy(fp.ds, shared, at, other, copies[1],
					    at, 1u << 18, 0, &copied)));
		else
			MUST(fine(file_copy(other, copies[1], at, fp.ds,
					    copies[0], at, 1u << 18, 0,
					    &copied)));
	}
}

static void name_worker(void *arg)
{
	const struct worker *w = arg;
	const struct file_new new = {.mode = S_IFREG | 0600, .opened = true};
	struct file_attr attr;
	char name[32];

	for (unsigned i = 0; i < ROUNDS; i++) {
		int n = snprintf(name, sizeof(name), "t%u-%u", w->n, i);

		MUST(fine(file_create(fp.ds, INO_ROOT, name, (size_t)n, &new,
				      &attr)));
		MUST(fine(file_write(fp.ds, attr.ino, 0, name, (size_t)n, 0)));
		MUST(fine(file_rename(fp.ds, INO_ROOT, name, (size_t)n,
				      INO_ROOT, "common", 6, 0, NULL)));
		if (i % 3 == 0)
			/* another thread may have replaced or removed it */
			(void)file_unlink(fp.ds, INO_ROOT, "common", 6, NULL);
		file_close(fp.ds, attr.ino, false);
	}
}

static void snapshot_worker(void *arg)
{
	struct dataset *snap;
	char name[32];
	uint32_t id;

	(void)arg;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		MUST(fine(dataset_snapshot(fp.ds, name, false, &id)));
		MUST(fine(dataset_open_id(fp.pool, id, &snap)));
		if (i % 2)
			MUST(fine(dataset_destroy(snap, 0)));
		dataset_put(snap);
	}
}

static void start(struct worker *w, unsigned n, void (*fn)(void *))
{
	w->n = n;
	CHECK_OK(os_thread_start(&w->thread, "test", fn, w));
}

static void threads__on_one_file_lose_nothing(void **state)
{
	static struct worker w[LANES + 9];
	unsigned nr = 0;
	uint8_t want[LANE];

	(void)state;
	memset(w, 0, sizeof(w));
	for (; nr < LANES; nr++)
		start(&w[nr], nr, lane_worker);
	for (unsigned i = 0; i < 2; i++, nr++) {
		start(&w[nr], i, victim_worker);
		start(&w[++nr], i, copy_worker);
		start(&w[++nr], i, name_worker);
	}
	start(&w[nr++], 0, snapshot_worker);
	for (unsigned i = 0; i < nr; i++)
		os_thread_join(&w[i].thread);
	for (unsigned i = 0; i < LANES; i++) {
		for (unsigned row = 0; row < ROWS; row++) {
			if (!w[i].last[row])
				continue;
			memset(want, w[i].last[row], LANE);
			read_is(fp.ds, shared, row * ROW_SIZE + i * LANE, want,
				LANE);
		}
	}
}

static int setup(void **state)
{
	const struct pool_options options = {.commit_ms = 20};
	struct store_error error = {""};
	uint32_t id;

	(void)state;
	file_pool_init(&fp, 256, NULL);
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	CHECK_OK(pool_open_on(blkdev_borrow(fp.mem), &options, &fp.pool,
			      &error));
	CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
	CHECK_OK(dataset_create(fp.pool, "other", NULL, &id));
	CHECK_OK(dataset_open_id(fp.pool, id, &other));
	shared = make_file(fp.ds, INO_ROOT, "shared");
	victim = make_file(fp.ds, INO_ROOT, "victim");
	copies[0] = make_file(fp.ds, INO_ROOT, "copy");
	copies[1] = make_file(other, INO_ROOT, "copy");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	CHECK_UINT(fp.ds->nr_orphans, 0);
	dataset_put(other);
	file_pool_release(&fp);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			threads__on_one_file_lose_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
