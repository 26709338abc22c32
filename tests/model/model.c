/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.c - random operations on a pool, compared with a model in memory
 *
 *	store-model [--ops N] [--seed S] [--seeds N] [--size MIB] [--background]
 *		    [--full] [--verbose]
 *
 * After every commit, and after every close or crash and open, everything in
 * the pool is read and compared byte by byte.  At the end the pool must check
 * clean, and when all datasets are destroyed its space must have come back.
 *
 * --background lets the pool commit by itself, from its own threads; --full
 * uses a pool so small that operations run out of space all the time.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/lib/model_run.h"

struct world {
	struct blkdev *dev; /* in memory, outlives the pool */
	struct pool_options options;
	const struct model_run *check; /* check before the next open; or NULL */
};

static void print_finding(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "check: %s\n", text);
}

static void must_check(const struct model_run *run, struct blkdev *dev)
{
	const struct check_options options = {.data = true,
					      .report = print_finding};
	struct check_result result;
	struct store_error error = {""};
	struct blkdev *view = blkdev_borrow(dev);
	const int rc = check_run(view, &options, &result, &error);

	if (rc || result.nr_errors || result.blocks_leaked) {
		fprintf(stderr,
			"FAILED seed=%ju op=%ju: check: rc %d %s, %ju errors, "
			"%ju leaked\n",
			(uintmax_t)run->o.seed, (uintmax_t)run->nr_ops, rc,
			error.text, (uintmax_t)result.nr_errors,
			(uintmax_t)result.blocks_leaked);
		abort();
	}
	blkdev_close(view);
}

static struct pool *must_open(struct world *w)
{
	struct store_error error = {""};
	struct pool *pool;
	const int rc =
		pool_open_on(blkdev_borrow(w->dev), &w->options, &pool, &error);

	if (rc) {
		fprintf(stderr, "FAILED open: %d %s\n", rc, error.text);
		abort();
	}
	return pool;
}

static struct pool *reopen(void *arg, struct pool *pool, bool crash)
{
	struct world *w = arg;

	if (crash)
		pool_abandon(pool);
	else
		MUST(pool_close(pool) == 0);
	if (w->check)
		must_check(w->check, w->dev);
	w->check = NULL;
	return must_open(w);
}

struct settings {
	uint64_t ops, seed, seeds, size;
	bool background, full, verbose;
};

/* What is in use when nothing is in the pool, commits' leftovers aside. */
static uint64_t allocated(struct pool *pool)
{
	struct pool_stat st;

	/* a second commit lets go of what the first one replaced */
	MUST(pool_sync(pool) == 0);
	MUST(pool_sync(pool) == 0);
	pool_stat(pool, &st);
	return st.allocated - st.deferred;
}

static void one_run(const struct settings *s, uint64_t seed)
{
	const struct model_run_options options = {
		.seed = seed,
		.max_roots = 18,
		.max_inodes = 40,
		.max_file = s->full ? 3000000 : 160000,
		.full_ok = s->full,
		.fill = s->full,
		.verbose = s->verbose,
		.reopen = reopen,
	};
	const struct pool_create_options create = {.name = "model"};
	struct model_run_options o = options;
	struct store_error error = {""};
	struct world w = {.options = {.cache_bytes = 4u << 20,
				      .commit_ms = 20,
				      .no_background = !s->background}};
	struct model_run run;
	uint64_t before, after;

	MUST(blkdev_mem_open(s->size << 20, &w.dev) == 0);
	MUST(pool_create_on(w.dev, &create, &error) == 0);
	o.arg = &w;
	model_run_init(&run, must_open(&w), &o);
	before = allocated(run.pool);
	while (run.nr_ops < s->ops) {
		const uint64_t dice = rnd_below(&run.rnd, 1000);

		model_run_step(&run);
		if (dice < 12) {
			model_run_sync(&run);
			model_run_verify(&run);
		} else if (dice < 16) {
			model_run_reopen(&run, dice < 14);
			model_run_verify(&run);
		} else if (dice == 16) {
			w.check = &run;
			model_run_reopen(&run, true);
		} else if (dice < 100) {
			model_run_verify_one(&run);
		}
	}
	model_run_reopen(&run, false);
	model_run_verify(&run);
	model_run_destroy_all(&run);
	after = allocated(run.pool);
	if (after != before) {
		fprintf(stderr,
			"FAILED seed=%ju: %ju bytes in use, %ju before\n",
			(uintmax_t)seed, (uintmax_t)after, (uintmax_t)before);
		abort();
	}
	MUST(pool_close(run.pool) == 0);
	run.pool = NULL;
	must_check(&run, w.dev);
	printf("seed %ju: %ju operations, %ju found the pool full\n",
	       (uintmax_t)seed, (uintmax_t)run.nr_ops, (uintmax_t)run.nr_full);
	fflush(stdout);
	model_run_release(&run);
	blkdev_close(w.dev);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || *end || end == text) {
		fprintf(stderr, "store-model: '%s' is not a number\n", text);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"ops", required_argument, NULL, 'o'},
		{"seed", required_argument, NULL, 's'},
		{"seeds", required_argument, NULL, 'n'},
		{"size", required_argument, NULL, 'z'},
		{"background", no_argument, NULL, 'b'},
		{"full", no_argument, NULL, 'f'},
		{"verbose", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0}};
	struct settings s = {.ops = 2000, .seed = 1, .seeds = 1, .size = 1024};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'o':
			s.ops = number(optarg);
			break;
		case 's':
			s.seed = number(optarg);
			break;
		case 'n':
			s.seeds = number(optarg);
			break;
		case 'z':
			s.size = number(optarg);
			break;
		case 'b':
			s.background = true;
			break;
		case 'f':
			s.full = true;
			s.size = 64;
			break;
		case 'v':
			s.verbose = true;
			break;
		default:
			return 2;
		}
	}
	for (uint64_t i = 0; i < s.seeds; i++)
		one_run(&s, s.seed + i);
	return 0;
}
