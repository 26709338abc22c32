/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the deterministic simulator
 *
 *	store-sim [--seed S] [--seeds N] [--jobs N] [--twice N] [--long]
 *		  [--no-known] [--mutate flush] [--verbose] [--trace]
 *
 * Runs the seeds that failed once (known_seeds.h), then seeds S to S + N - 1,
 * each in a process of its own; --long is 10,000 seeds.  A seed has a digest:
 * of every step of the scheduler, every byte that went to or came from the
 * device, and every recovery.  Every --twice-th seed runs twice, and both must
 * have the same digest.
 *
 * --mutate flush makes the device lie, and then a seed must fail.  --verbose
 * prints every operation, --trace everything that goes into the digest.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/util.h"
#include "tests/lib/check.h"
#include "tests/sim/known_seeds.h"
#include "tests/sim/sim.h"
#include "tests/sim/world.h"

#define POOL_SIZE  (UINT64_C(64) << 20)
#define LONG_SEEDS 10000u
#define JOBS_MAX   64u

struct settings {
	uint64_t seed, seeds, jobs, twice;
	bool known, verbose, trace, mutate_flush;
};

/* What a seed's process says, in memory that all share. */
struct outcome {
	uint64_t seed, digest;
	struct tally tally;
	size_t repeats; /* index of the outcome that must be the same, or own */
	bool done;
};

struct runs {
	const struct settings *settings;
	struct start empty, full;
	struct outcome *outcomes;
	size_t nr;
};

/* -- one seed -------------------------------------------------------------- */

static void drop_message(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static void run_seed(const struct runs *runs, struct outcome *out)
{
	struct world w = {.starts = {&runs->empty, &runs->full}};

	w.plan.verbose = runs->settings->verbose;
	w.plan.trace = runs->settings->trace;
	w.plan.ignore_flushes = runs->settings->mutate_flush;
	world_run(&w, out->seed);
	out->digest = sim_digest();
	out->tally = w.tally;
	out->done = true;
}

static pid_t start_seed(const struct runs *runs, struct outcome *out)
{
	const pid_t pid = fork();

	MUST(pid >= 0);
	if (pid > 0)
		return pid;
	if (runs->settings->mutate_flush)
		MUST(freopen("/dev/null", "w", stderr));
	run_seed(runs, out);
	exit(0);
}

/* -- all seeds ------------------------------------------------------------- */

static void list_seeds(struct runs *runs)
{
	const struct settings *s = runs->settings;
	const size_t nr_known = s->known ? ARRAY_SIZE(known_seeds) : 0;
	const size_t most = 2 * (nr_known + s->seeds);
	size_t n = 0;

	runs->outcomes =
		mmap(NULL, most * sizeof(*runs->outcomes),
		     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(runs->outcomes != MAP_FAILED);
	for (size_t i = 0; i < nr_known + s->seeds; i++) {
		const uint64_t seed =
			i < nr_known ? known_seeds[i] : s->seed + i - nr_known;

		runs->outcomes[n] =
			(struct outcome){.seed = seed, .repeats = n};
		n++;
		if (s->twice && i % s->twice == 0) {
			runs->outcomes[n] = (struct outcome){.seed = seed,
							     .repeats = n - 1};
			n++;
		}
	}
	runs->nr = n;
}

static void run_seeds(struct runs *runs)
{
	const size_t jobs = MIN_OF(runs->settings->jobs, runs->nr);
	size_t started = 0, running = 0;

	fflush(stdout);
	while (started < runs->nr || running) {
		if (started < runs->nr && running < jobs) {
			start_seed(runs, &runs->outcomes[started++]);
			running++;
			continue;
		}
		MUST(wait(NULL) > 0);
		running--;
	}
}

static void add(struct tally *sum, const struct tally *t)
{
	sum->nr_ops += t->nr_ops;
	sum->nr_full += t->nr_full;
	sum->nr_crashes += t->nr_crashes;
	sum->nr_closes += t->nr_closes;
	sum->nr_again += t->nr_again;
	sum->nr_checks += t->nr_checks;
	sum->nr_faults += t->nr_faults;
	sum->nr_failed += t->nr_failed;
	sum->nr_commits += t->nr_commits;
	sum->nr_writes += t->nr_writes;
	sum->steps += t->steps;
}

static void print_tally(const struct tally *t)
{
	printf("%ju operations (%ju on a full pool), %ju commits, %ju writes, "
	       "%ju steps\n"
	       "%ju crashes, %ju of them while a pool was opened, %ju closes, "
	       "%ju checks\n"
	       "%ju faults, %ju pools became read-only\n",
	       (uintmax_t)t->nr_ops, (uintmax_t)t->nr_full,
	       (uintmax_t)t->nr_commits, (uintmax_t)t->nr_writes,
	       (uintmax_t)t->steps, (uintmax_t)t->nr_crashes,
	       (uintmax_t)t->nr_again, (uintmax_t)t->nr_closes,
	       (uintmax_t)t->nr_checks, (uintmax_t)t->nr_faults,
	       (uintmax_t)t->nr_failed);
}

/* Returns how many seeds failed. */
static size_t judge(const struct runs *runs)
{
	struct tally sum = {0};
	uint64_t digest = 0;
	size_t failed = 0;

	for (size_t i = 0; i < runs->nr; i++) {
		const struct outcome *o = &runs->outcomes[i];
		const struct outcome *first = &runs->outcomes[o->repeats];
		const bool same = !first->done || o->digest == first->digest;

		if (o->done && same) {
			add(&sum, &o->tally);
			digest = digest * 31 + o->digest;
			continue;
		}
		failed++;
		if (!runs->settings->mutate_flush)
			printf("seed %ju %s; repeat: store-sim --no-known "
			       "--twice 0 --seed %ju --verbose\n",
			       (uintmax_t)o->seed,
			       o->done ? "gave another digest the second time"
				       : "failed",
			       (uintmax_t)o->seed);
	}
	print_tally(&sum);
	printf("%zu runs, %zu failed, digest %016jx\n", runs->nr, failed,
	       (uintmax_t)digest);
	return failed;
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || *end || end == text) {
		fprintf(stderr, "store-sim: '%s' is not a number\n", text);
		exit(2);
	}
	return n;
}

static void parse(int argc, char **argv, struct settings *s)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'},
		{"seeds", required_argument, NULL, 'n'},
		{"jobs", required_argument, NULL, 'j'},
		{"twice", required_argument, NULL, 't'},
		{"mutate", required_argument, NULL, 'm'},
		{"long", no_argument, NULL, 'l'},
		{"no-known", no_argument, NULL, 'k'},
		{"verbose", no_argument, NULL, 'v'},
		{"trace", no_argument, NULL, 'r'},
		{NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's')
			s->seed = number(optarg);
		else if (c == 'n')
			s->seeds = number(optarg);
		else if (c == 'j')
			s->jobs = number(optarg);
		else if (c == 't')
			s->twice = number(optarg);
		else if (c == 'm' && strcmp(optarg, "flush") == 0)
			s->mutate_flush = true;
		else if (c == 'l')
			s->seeds = LONG_SEEDS;
		else if (c == 'k')
			s->known = false;
		else if (c == 'v')
			s->verbose = true;
		else if (c == 'r')
			s->trace = true;
		else
			exit(2);
	}
	if (!s->jobs || s->jobs > JOBS_MAX || s->seeds > UINT32_MAX)
		exit(2);
}

int main(int argc, char **argv)
{
	struct settings s = {
		.seed = 1, .seeds = 1, .jobs = 2, .twice = 10, .known = true};
	struct runs runs = {.settings = &s};
	const struct rlimit none = {0, 0};
	size_t failed;

	parse(argc, argv, &s);
	setrlimit(RLIMIT_CORE, &none);
	if (!s.verbose)
		log_set_sink(drop_message);
	start_make(&runs.empty, POOL_SIZE, false);
	start_make(&runs.full, POOL_SIZE, true);
	list_seeds(&runs);
	run_seeds(&runs);
	failed = judge(&runs);
	start_release(&runs.empty);
	start_release(&runs.full);
	munmap(runs.outcomes, runs.nr * sizeof(*runs.outcomes));
	if (s.mutate_flush)
		printf("the mutation was %s\n", failed ? "found" : "missed");
	return s.mutate_flush ? failed == 0 : failed != 0;
}
