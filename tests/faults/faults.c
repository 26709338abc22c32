/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faults.c - what happens when any one call of the store fails?
 *
 *	faults [--device] [--memory] [--create] [--check] [--long]
 *	       [--stride N] [--steps N] [--seed S] [--seeds N] [--jobs N]
 *	       [--only NAME:N] [--verbose]
 *
 * A run of operations (play.h) is played once for every call that it makes,
 * and that call fails: a read, a write or a flush of the device, or an
 * allocation; once, or with all that follow.  --create does the same with
 * making a pool, --check with the offline check.  --stride takes every N-th
 * call only; --long every call, of several seeds.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/faults/hooks.h"
#include "tests/faults/play.h"
#include "tests/faults/small.h"
#include "tests/lib/check.h"

#define JOBS_MAX  64u
#define ALL_CALLS (BLKDEV_CALL_READ | BLKDEV_CALL_WRITE | BLKDEV_CALL_FLUSH)

static const struct mode {
	const char *name;
	struct plan plan; /* all but nth */
} modes[] = {
	{"read", {false, BLKDEV_CALL_READ, 0, 1, -EIO, false}},
	{"reads", {false, BLKDEV_CALL_READ, 0, UINT64_MAX, -EIO, false}},
	{"write", {false, BLKDEV_CALL_WRITE, 0, 1, -EIO, false}},
	{"write-torn", {false, BLKDEV_CALL_WRITE, 0, 1, -EIO, true}},
	{"write-full", {false, BLKDEV_CALL_WRITE, 0, 1, -ENOSPC, true}},
	{"writes", {false, BLKDEV_CALL_WRITE, 0, UINT64_MAX, -EIO, true}},
	{"flush", {false, BLKDEV_CALL_FLUSH, 0, 1, -EIO, false}},
	{"flushes", {false, BLKDEV_CALL_FLUSH, 0, UINT64_MAX, -ENOSPC, false}},
	{"device", {false, ALL_CALLS, 0, UINT64_MAX, -EIO, true}},
	{"memory", {true, 0, 0, 1, 0, false}},
	{"memory-3", {true, 0, 0, 3, 0, false}},
	{"memory-all", {true, 0, 0, UINT64_MAX, 0, false}},
};

struct settings {
	bool device, memory, create, check, verbose;
	uint64_t stride, steps, seed, seeds, jobs;
	const char *only_name;
	uint64_t only_nth;
};

/* What a worker is at, and what it counted; shared with the parent. */
struct worker {
	char at[64];
	struct tally tally;
};

static uint64_t nr_calls(const struct reference *ref, const struct plan *p)
{
	uint64_t nr = 0;

	if (p->memory)
		return ref->nr_memory;
	if (p->calls & BLKDEV_CALL_READ)
		nr += ref->nr_reads;
	if (p->calls & BLKDEV_CALL_WRITE)
		nr += ref->nr_writes;
	if (p->calls & BLKDEV_CALL_FLUSH)
		nr += ref->nr_flushes;
	return nr;
}

static bool wanted(const struct settings *s, const struct mode *m)
{
	if (s->only_name)
		return strcmp(s->only_name, m->name) == 0;
	return m->plan.memory ? s->memory : s->device;
}

static void work(const struct settings *s, const struct reference *ref,
		 const struct mode *m, uint64_t job, struct worker *me)
{
	const uint64_t nr = nr_calls(ref, &m->plan);
	struct plan plan = m->plan;

	for (uint64_t i = job; i * s->stride < nr; i += s->jobs) {
		plan.nth = i * s->stride + 1;
		if (s->only_name && s->only_nth != plan.nth)
			continue;
		snprintf(me->at, sizeof(me->at), "--seed %ju --only %s:%ju",
			 (uintmax_t)ref->seed, m->name, (uintmax_t)plan.nth);
		play(ref, &plan, &me->tally);
	}
	me->at[0] = '\0';
}

static void tally_add(struct tally *to, const struct tally *from)
{
	to->injected += from->injected;
	to->errors += from->errors;
	to->unnoticed += from->unnoticed;
	to->read_only += from->read_only;
	to->lossy += from->lossy;
	to->opens += from->opens;
	to->steps += from->steps;
}

/* Returns how many workers failed. */
static unsigned run_mode(const struct settings *s, const struct reference *ref,
			 const struct mode *m, struct tally *sum)
{
	struct worker *workers =
		mmap(NULL, s->jobs * sizeof(*workers), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct tally t = {0};
	unsigned failed = 0;
	pid_t pid[JOBS_MAX];
	int status;

	MUST(workers != MAP_FAILED);
	fflush(stdout);
	for (uint64_t job = 0; job < s->jobs; job++) {
		pid[job] = fork();
		MUST(pid[job] >= 0);
		if (pid[job] == 0) {
			/* the store says what it thinks of each fault */
			if (!s->verbose)
				hooks_log_quiet();
			work(s, ref, m, job, &workers[job]);
			exit(0);
		}
	}
	for (uint64_t job = 0; job < s->jobs; job++) {
		MUST(waitpid(pid[job], &status, 0) == pid[job]);
		if (!WIFEXITED(status) || WEXITSTATUS(status)) {
			failed++;
			printf("FAILED (status %#x): repeat with --steps %ju "
			       "%s --verbose\n",
			       (unsigned)status, (uintmax_t)s->steps,
			       workers[job].at);
		}
		tally_add(&t, &workers[job].tally);
	}
	munmap(workers, s->jobs * sizeof(*workers));
	printf("seed %ju %-10s %6ju calls, %6ju failed once or more: %6ju "
	       "errors, %4ju opens refused, %5ju pools read-only, %3ju lost "
	       "free space, %5ju unnoticed\n",
	       (uintmax_t)ref->seed, m->name,
	       (uintmax_t)nr_calls(ref, &m->plan), (uintmax_t)t.injected,
	       (uintmax_t)t.errors, (uintmax_t)t.opens, (uintmax_t)t.read_only,
	       (uintmax_t)t.lossy, (uintmax_t)t.unnoticed);
	tally_add(sum, &t);
	return failed;
}

static unsigned run_seed(const struct settings *s, uint64_t seed,
			 struct tally *sum)
{
	struct reference ref = {.seed = seed, .nr_steps = (unsigned)s->steps};
	unsigned failed = 0;

	reference_play(&ref);
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		if (wanted(s, &modes[i]))
			failed += run_mode(s, &ref, &modes[i], sum);
	reference_release(&ref);
	return failed;
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || *end || end == text) {
		fprintf(stderr, "faults: '%s' is not a number\n", text);
		exit(2);
	}
	return n;
}

static void only(struct settings *s, char *text)
{
	char *colon = strchr(text, ':');

	if (!colon) {
		fprintf(stderr, "faults: '%s' is not NAME:N\n", text);
		exit(2);
	}
	*colon = '\0';
	s->only_name = text;
	s->only_nth = number(colon + 1);
	s->stride = s->jobs = 1;
}

static int run_all(const struct settings *s)
{
	struct tally sum = {0};
	unsigned failed = 0;

	for (uint64_t i = 0; i < s->seeds; i++)
		if (s->device || s->memory || s->only_name)
			failed += run_seed(s, s->seed + i, &sum);
	if (s->create)
		sum.injected += small_create(s->stride);
	if (s->check)
		sum.injected += small_check(s->stride);
	printf("%ju calls made to fail: %u crashes or false answers\n",
	       (uintmax_t)sum.injected, failed);
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"device", no_argument, NULL, 'd'},
		{"memory", no_argument, NULL, 'm'},
		{"create", no_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"long", no_argument, NULL, 'l'},
		{"stride", required_argument, NULL, 't'},
		{"steps", required_argument, NULL, 'p'},
		{"seed", required_argument, NULL, 's'},
		{"seeds", required_argument, NULL, 'n'},
		{"jobs", required_argument, NULL, 'j'},
		{"only", required_argument, NULL, 'o'},
		{"verbose", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0}};
	struct settings s = {
		.stride = 1, .steps = 150, .seed = 1, .seeds = 1, .jobs = 2};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'd')
			s.device = true;
		else if (c == 'm')
			s.memory = true;
		else if (c == 'c')
			s.create = true;
		else if (c == 'k')
			s.check = true;
		else if (c == 'l')
			s.seeds = 5;
		else if (c == 't')
			s.stride = number(optarg);
		else if (c == 'p')
			s.steps = number(optarg);
		else if (c == 's')
			s.seed = number(optarg);
		else if (c == 'n')
			s.seeds = number(optarg);
		else if (c == 'j')
			s.jobs = number(optarg);
		else if (c == 'o')
			only(&s, optarg);
		else if (c == 'v')
			s.verbose = true;
		else
			return 2;
	}
	if (!s.stride || !s.jobs || s.jobs > JOBS_MAX)
		return 2;
	if (!s.device && !s.memory && !s.create && !s.check && !s.only_name)
		s.device = s.memory = s.create = s.check = true;
	return run_all(&s);
}
