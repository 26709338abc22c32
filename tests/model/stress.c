/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stress.c - many threads on one pool; made for ThreadSanitizer
 *
 *	store-stress [--ops N] [--threads N] [--seed S]
 *
 * Writers work on files of shared datasets, each file with one writer and any
 * readers, so that what a reader sees can be checked: every block of a file
 * says who wrote it, where, and a number that only rises.  Meanwhile one
 * thread snapshots, clones, restores and destroys, one renames, links and
 * unlinks in a directory they all share, and one syncs.  At the end the pool
 * must check clean.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/os.h"
#include "store/store.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/lib/rnd.h"

#define NR_DATASETS 3u
#define NR_BLOCKS   64u
#define BLOCK	    4096u
#define THREADS_MAX 16u
#define ROOT_INO    UINT64_C(1)

struct stamp {
	uint64_t writer, index, number;
};

struct world {
	struct pool *pool;
	struct dataset *ds[NR_DATASETS];
	uint64_t ops, seed;
	unsigned nr_writers;
	/* by dataset and writer; immutable after start */
	uint64_t ino[NR_DATASETS][THREADS_MAX];
};

struct worker {
	struct world *world;
	struct rnd rnd;
	unsigned n;
	struct os_thread thread;
};

/* A block is whole, of one write, and in its place. */
static void must_be_stamped(const uint8_t *block, uint64_t writer,
			    uint64_t index)
{
	struct stamp s;

	memcpy(&s, block, sizeof(s));
	if (s.number == 0) {
		for (unsigned i = 0; i < BLOCK; i++)
			MUST(block[i] == 0);
		return;
	}
	MUST(s.writer == writer && s.index == index);
	for (unsigned i = sizeof(s); i < BLOCK; i++)
		MUST(block[i] == (uint8_t)s.number);
}

static void fill_block(uint8_t *block, uint64_t writer, uint64_t index,
		       uint64_t number)
{
	const struct stamp s = {writer, index, number};

	memset(block, (uint8_t)number, BLOCK);
	memcpy(block, &s, sizeof(s));
}

static void read_some(struct worker *w, struct dataset *ds, unsigned d)
{
	const unsigned writer =
		(unsigned)rnd_below(&w->rnd, w->world->nr_writers);
	const uint64_t index = rnd_below(&w->rnd, NR_BLOCKS);
	uint8_t buf[4 * BLOCK];
	size_t len = 0;

	MUST(file_read(ds, w->world->ino[d][writer], index * BLOCK, buf,
		       sizeof(buf), &len) == 0);
	for (size_t i = 0; i < len / BLOCK; i++)
		must_be_stamped(buf + i * BLOCK, writer, index + i);
}

static void writer_main(void *arg)
{
	struct worker *w = arg;
	struct world *world = w->world;
	uint8_t buf[8 * BLOCK];

	for (uint64_t op = 1; op <= world->ops; op++) {
		const unsigned d = (unsigned)rnd_below(&w->rnd, NR_DATASETS);
		const uint64_t ino = world->ino[d][w->n];
		const uint64_t index = rnd_below(&w->rnd, NR_BLOCKS - 8);
		const uint64_t nr = rnd_between(&w->rnd, 1, 9);

		for (uint64_t i = 0; i < nr; i++)
			fill_block(buf + i * BLOCK, w->n, index + i, op);
		MUST(file_write(world->ds[d], ino, index * BLOCK, buf,
				nr * BLOCK, 0) == 0);
		read_some(w, world->ds[d], d);
		if (rnd_one_in(&w->rnd, 50))
			MUST(file_fsync(world->ds[d], ino) == 0);
	}
}

/* Freeze, look at what is frozen, clone, write to the clone, destroy. */
static void snapshot_main(void *arg)
{
	struct worker *w = arg;
	struct world *world = w->world;

	for (uint64_t op = 0; op < world->ops / 20; op++) {
		const unsigned d = (unsigned)rnd_below(&w->rnd, NR_DATASETS);
		struct dataset *snap, *clone;
		char name[32], clone_name[32];
		uint8_t block[BLOCK];
		uint32_t id, clone_id;

		snprintf(name, sizeof(name), "s%ju", (uintmax_t)op);
		snprintf(clone_name, sizeof(clone_name), "c%ju", (uintmax_t)op);
		MUST(dataset_snapshot(world->ds[d], name, false, &id) == 0);
		MUST(dataset_open_id(world->pool, id, &snap) == 0);
		read_some(w, snap, d);
		MUST(dataset_clone(rnd_one_in(&w->rnd, 2) ? snap : world->ds[d],
				   clone_name, &clone_id) == 0);
		MUST(dataset_open_id(world->pool, clone_id, &clone) == 0);
		for (unsigned i = 0; i < 5; i++) {
			fill_block(block, w->n, i, op + 1);
			MUST(file_write(clone, world->ino[d][0], i * BLOCK,
					block, BLOCK, 0) == 0);
		}
		if (rnd_one_in(&w->rnd, 3))
			MUST(dataset_restore(clone, snap, NULL,
					     RESTORE_FORCE) == 0);
		if (rnd_one_in(&w->rnd, 2)) {
			MUST(dataset_destroy(snap, 0) == 0);
			MUST(dataset_destroy(clone, 0) == 0);
		} else {
			MUST(dataset_destroy(clone, 0) == 0);
			MUST(dataset_destroy(snap, 0) == 0);
		}
		dataset_put(clone);
		dataset_put(snap);
	}
}

/* Names that several threads fight for: any of these errors is right. */
static void names_main(void *arg)
{
	struct worker *w = arg;
	struct world *world = w->world;
	const struct file_new n = {.mode = S_IFREG | 0644};

	for (uint64_t op = 0; op < world->ops; op++) {
		struct dataset *ds = world->ds[rnd_below(&w->rnd, NR_DATASETS)];
		struct file_attr attr;
		char a[16], b[16];
		int rc;

		snprintf(a, sizeof(a), "n%u", (unsigned)rnd_below(&w->rnd, 20));
		snprintf(b, sizeof(b), "n%u", (unsigned)rnd_below(&w->rnd, 20));
		switch (rnd_below(&w->rnd, 5)) {
		case 0:
			rc = file_create(ds, ROOT_INO, a, strlen(a), &n, &attr);
			MUST(rc == 0 || rc == -EEXIST);
			break;
		case 1:
			rc = file_unlink(ds, ROOT_INO, a, strlen(a), NULL);
			MUST(rc == 0 || rc == -ENOENT);
			break;
		case 2:
			rc = file_rename(ds, ROOT_INO, a, strlen(a), ROOT_INO,
					 b, strlen(b), 0, NULL);
			MUST(rc == 0 || rc == -ENOENT);
			break;
		case 3:
			rc = file_lookup(ds, ROOT_INO, a, strlen(a), &attr);
			MUST(rc == 0 || rc == -ENOENT);
			if (rc == 0)
				rc = file_link(ds, attr.ino, ROOT_INO, b,
					       strlen(b), &attr);
			MUST(rc == 0 || rc == -ENOENT || rc == -EEXIST);
			break;
		default:
			rc = file_lookup(ds, ROOT_INO, a, strlen(a), &attr);
			MUST(rc == 0 || rc == -ENOENT);
			if (rc == 0)
				rc = file_write(ds, attr.ino,
						rnd_below(&w->rnd, 9000), a,
						strlen(a), 0);
			MUST(rc == 0 || rc == -ENOENT);
		}
	}
}

static void sync_main(void *arg)
{
	struct worker *w = arg;
	struct pool_stat st;
	uint64_t unique;

	for (uint64_t op = 0; op < w->world->ops / 50; op++) {
		const unsigned d = (unsigned)rnd_below(&w->rnd, NR_DATASETS);

		MUST(pool_sync(w->world->pool) == 0);
		pool_stat(w->world->pool, &st);
		MUST(dataset_unique(&w->world->ds[d], 1, &unique) == 0);
	}
}

static void make_files(struct world *world)
{
	const struct file_new n = {.mode = S_IFREG | 0644};
	struct dataset_properties p;
	struct file_attr attr;
	uint32_t id;

	dataset_properties_default(&p);
	for (unsigned d = 0; d < NR_DATASETS; d++) {
		char name[16];

		snprintf(name, sizeof(name), "ds%u", d);
		/* the last one's records hold several of our blocks */
		p.recordsize = d == 0 ? 4096 : d == 1 ? 16384 : 131072;
		MUST(dataset_create(world->pool, name, &p, &id) == 0);
		MUST(dataset_open_id(world->pool, id, &world->ds[d]) == 0);
		for (unsigned i = 0; i < world->nr_writers; i++) {
			snprintf(name, sizeof(name), "file%u", i);
			MUST(file_create(world->ds[d], ROOT_INO, name,
					 strlen(name), &n, &attr) == 0);
			world->ino[d][i] = attr.ino;
		}
	}
}

static void print_finding(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "check: %s\n", text);
}

static void run(struct world *world)
{
	const struct pool_create_options create = {.name = "stress"};
	const struct pool_options options = {.cache_bytes = 4u << 20,
					     .commit_ms = 10};
	const struct check_options check = {.data = true,
					    .report = print_finding};
	static void (*const mains[])(void *) = {snapshot_main, names_main,
						names_main, sync_main};
	struct worker workers[THREADS_MAX] = {0};
	struct check_result result;
	struct store_error error = {""};
	struct blkdev *dev;
	unsigned nr = 0;

	MUST(blkdev_mem_open(UINT64_C(1) << 30, &dev) == 0);
	MUST(pool_create_on(dev, &create, &error) == 0);
	MUST(pool_open_on(blkdev_borrow(dev), &options, &world->pool, &error) ==
	     0);
	make_files(world);
	for (; nr < world->nr_writers + ARRAY_SIZE(mains); nr++) {
		struct worker *w = &workers[nr];

		w->world = world;
		w->n = nr;
		w->rnd.state = world->seed * 100 + nr;
		MUST(os_thread_start(&w->thread, "stress",
				     nr < world->nr_writers
					     ? writer_main
					     : mains[nr - world->nr_writers],
				     w) == 0);
	}
	for (unsigned i = 0; i < nr; i++)
		os_thread_join(&workers[i].thread);
	for (unsigned d = 0; d < NR_DATASETS; d++)
		dataset_put(world->ds[d]);
	MUST(pool_wait_reaped(world->pool) == 0);
	MUST(pool_close(world->pool) == 0);
	MUST(check_run(dev, &check, &result, &error) == 0);
	MUST(result.nr_errors == 0 && result.blocks_leaked == 0);
	blkdev_close(dev);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"ops", required_argument, NULL, 'o'},
		{"threads", required_argument, NULL, 't'},
		{"seed", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0}};
	struct world world = {.ops = 500, .nr_writers = 4, .seed = 1};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		const uint64_t n = optarg ? strtoull(optarg, NULL, 0) : 0;

		if (c == 'o')
			world.ops = n;
		else if (c == 't' && n >= 1 && n <= THREADS_MAX - 4)
			world.nr_writers = (unsigned)n;
		else if (c == 's')
			world.seed = n;
		else
			return 2;
	}
	run(&world);
	printf("seed %ju: %u writers, %ju operations each\n",
	       (uintmax_t)world.seed, world.nr_writers, (uintmax_t)world.ops);
	return 0;
}
