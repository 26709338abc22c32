/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prover.c - is every crash survived?
 *
 *	crash-prover [--images N] [--seed S] [--jobs N] [--writes N]
 *		     [--variants N] [--workload NAME]... [--list] [--long]
 *		     [--only EVENT[:VARIANT]] [--save FILE]
 *	crash-mutated --mutation NAME ...
 *
 * After a crash at any point the pool opens, and its state is that after some
 * prefix of the operations, which includes everything that any fsync,
 * snapshot, clone, restore or destroy has returned for.
 *
 * Each workload is recorded: what the device was told to write and flush, and
 * what the workload was told is durable.  For every write of the recording the
 * device is put together as a crash right before it leaves it: once as the
 * prefix, and --variants times with some of what no flush had covered lost,
 * torn or out of order (image.h).  Each such image is checked, opened, compared
 * with the model, written to and crashed again (trial.h): two images.
 *
 * Workloads are recorded again with other seeds until there are N images.  A
 * line a workload says how many were tried and how many broke the promise; of
 * those the first few are printed with the command that repeats them.  (What
 * several threads do is another recording each time; --save keeps the image.)
 *
 * crash-mutated is built with a store that makes a mistake on purpose, and
 * wants one violation.
 *
 * Exits 0 when all held (a mutation was found), 1 when not, 2 for wrong usage.
 *
 * Source: "All file systems are not created equal" (Pillai et al., OSDI 2014);
 * the double crashes and the model are ours.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/mutate.h"
#include "store/util.h"
#include "tests/crash/trial.h"
#include "tests/lib/check.h"

#define IMAGES_CI   5100u
#define IMAGES_LONG 500000u
#define WRITES_CI   120u
#define WRITES_LONG 400u
#define JOBS_MAX    64u
#define SHOWN_MAX   5u	 /* violations printed of a workload */
#define HANG_S	    300u /* no image takes that long */
#define KEPT_BYTES  (256 << 20)

struct settings {
	uint64_t images, seed, jobs, writes, variants;
	size_t only;
	unsigned only_variant;
	bool all;	 /* not only one image */
	uint64_t chosen; /* workloads, by bit */
	const char *save;
	const char *mutation; /* NULL, or what one violation is wanted of */
};

/* Shared by the jobs of a workload. */
struct tally {
	/* atomic */
	uint64_t images, violations, commits, batches;
	/* by job: where it is */
	struct {
		uint64_t slot;
		size_t n;
		unsigned variant;
	} at[JOBS_MAX];
};

/* A recording that is tried by several jobs. */
struct proof {
	const struct settings *s;
	const struct workload *w;
	struct recording rec;
	struct image_base base;
	uint64_t seed;
	size_t *points; /* events */
	size_t nr_points;
	uint64_t nr_slots; /* points by variants */
	uint64_t nr_tried; /* of the slots, spread evenly */
	struct tally *tally;
};

static void print_repeat(const struct proof *p, size_t n, unsigned variant)
{
	fprintf(stderr,
		"repeat: crash-prover --workload %s --seed %ju --writes %ju "
		"--only %zu:%u%s\n",
		p->w->name, (uintmax_t)p->seed, (uintmax_t)p->s->writes, n,
		variant,
		p->w->background ? " (differs a little each time)" : "");
}

/* -- a job ----------------------------------------------------------------- */

static bool is_tried(const struct proof *p, uint64_t slot)
{
	return slot * p->nr_tried / p->nr_slots !=
	       (slot + 1) * p->nr_tried / p->nr_slots;
}

/* More violations would say nothing new. */
static bool is_enough(const struct settings *s, const struct tally *tally)
{
	const uint64_t nr =
		__atomic_load_n(&tally->violations, __ATOMIC_RELAXED);

	return nr > (s->mutation ? 0 : SHOWN_MAX);
}

static void run_trial(struct proof *p, size_t n, unsigned variant,
		      const struct promise *promise)
{
	struct trial t = {.w = p->w,
			  .rec = &p->rec,
			  .base = &p->base,
			  .seed = p->seed,
			  .n = n,
			  .variant = variant,
			  .promise = promise,
			  .verbose = !p->s->all,
			  .save = p->s->save};
	const bool ok = trial_run(&t);
	uint64_t nr;

	__atomic_add_fetch(&p->tally->images, t.nr_images, __ATOMIC_RELAXED);
	if (ok)
		return;
	nr = __atomic_add_fetch(&p->tally->violations, 1, __ATOMIC_RELAXED);
	if (nr > (p->s->mutation ? 1 : SHOWN_MAX))
		return;
	fprintf(stderr, "FAILED %s: %s: %s\n", p->w->name, t.what, t.why);
	print_repeat(p, n, variant);
}

/* Every jobs-th of the slots, from @from on. */
static void run_job(struct proof *p, uint64_t job, uint64_t from)
{
	struct promise promise[CRASH_LANES] = {{0, 0}};
	const uint64_t variants = p->s->variants + 1;
	size_t n = 0;

	for (uint64_t slot = 0; slot < p->nr_slots; slot++) {
		const size_t point = p->points[slot / variants];
		const unsigned variant = (unsigned)(slot % variants);

		for (; n < point; n++) {
			recording_promise(&p->rec, p->rec.events[n], promise);
			image_base_advance(&p->base, &p->rec, p->rec.events[n]);
		}
		if (slot < from || slot % p->s->jobs != job)
			continue;
		if (is_enough(p->s, p->tally))
			return;
		if (p->s->all ? !is_tried(p, slot)
			      : point != p->s->only ||
					variant != p->s->only_variant)
			continue;
		p->tally->at[job].slot = slot;
		p->tally->at[job].n = n;
		p->tally->at[job].variant = variant;
		alarm(HANG_S);
		run_trial(p, n, variant, promise);
	}
}

static pid_t start_job(struct proof *p, uint64_t job, uint64_t from)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		run_job(p, job, from);
		/* the parent's memory is no leak of the child's */
		_exit(0);
	}
	return pid;
}

static void died(struct tally *tally, const char *what, const char *of,
		 int status)
{
	__atomic_add_fetch(&tally->violations, 1, __ATOMIC_RELAXED);
	fprintf(stderr, "FAILED %s: %s died of %s %d\n", of, what,
		WIFSIGNALED(status) ? "signal" : "exit code",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static bool ended_well(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A job that dies found a violation, and another one goes on behind it. */
static void run_jobs(struct proof *p)
{
	pid_t pid[JOBS_MAX];
	uint64_t running = p->s->jobs;
	int status;

	for (uint64_t job = 0; job < p->s->jobs; job++)
		pid[job] = start_job(p, job, 0);
	while (running) {
		const pid_t ended = wait(&status);
		uint64_t job = 0;

		while (job < p->s->jobs && pid[job] != ended)
			job++;
		MUST(job < p->s->jobs);
		if (!ended_well(status)) {
			p->tally->images++;
			died(p->tally, "a job", p->w->name, status);
			print_repeat(p, p->tally->at[job].n,
				     p->tally->at[job].variant);
		}
		if (ended_well(status) || is_enough(p->s, p->tally))
			running--;
		else
			pid[job] =
				start_job(p, job, p->tally->at[job].slot + 1);
	}
}

/* -- a workload ------------------------------------------------------------ */

/* A crash right before each write, and one at the end. */
static void find_points(struct proof *p)
{
	const struct recording *rec = &p->rec;

	p->points = calloc(rec->nr_events + 1, sizeof(*p->points));
	MUST(p->points);
	for (size_t i = rec->first; i < rec->nr_events; i++)
		if (rec->events[i]->kind == BLKDEV_EVENT_WRITE)
			p->points[p->nr_points++] = i;
	p->points[p->nr_points++] = rec->nr_events;
}

/* Record once and try up to @images; adds to @tally. */
static void prove_once(const struct settings *s, const struct workload *w,
		       uint64_t seed, uint64_t images, struct tally *tally)
{
	struct proof p = {.s = s, .w = w, .seed = seed, .tally = tally};
	uint8_t *bytes;

	workload_record(w, seed, s->writes, &p.rec, &bytes);
	image_base_init(&p.base, bytes);
	find_points(&p);
	tally->commits += p.rec.nr_commits;
	tally->batches += p.rec.nr_batches;
	p.nr_slots = p.nr_points * (s->variants + 1);
	p.nr_tried = MIN_OF(p.nr_slots, div_round_up(images, TRIAL_IMAGES));
	run_jobs(&p);
	recording_release(&p.rec);
	free(bytes);
	free(p.points);
}

/* In a process of its own: what goes wrong in it is counted, too. */
static void prove_apart(const struct settings *s, const struct workload *w,
			uint64_t seed, uint64_t images, struct tally *tally)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		prove_once(s, w, seed, images, tally);
		exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	if (!ended_well(status))
		died(tally, "the recording", w->name, status);
}

/* Returns the number of violations. */
static uint64_t prove(const struct settings *s, const struct workload *w,
		      uint64_t images)
{
	struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t violations, rounds = 0;

	MUST(tally != MAP_FAILED);
	do {
		prove_apart(s, w, s->seed + rounds, images - tally->images,
			    tally);
		rounds++;
	} while (s->all && tally->images < images && !is_enough(s, tally));
	violations = tally->violations;
	printf("figure: %-10s %7ju images, %ju violations (%ju recordings of "
	       "%ju "
	       "commits and %ju batches)\n",
	       w->name, (uintmax_t)tally->images, (uintmax_t)violations,
	       (uintmax_t)rounds, (uintmax_t)tally->commits,
	       (uintmax_t)tally->batches);
	fflush(stdout);
	munmap(tally, sizeof(*tally));
	return violations;
}

static int prove_all(const struct settings *s)
{
	uint64_t violations = 0;
	uint64_t nr = (uint64_t)__builtin_popcountll(s->chosen);

	for (unsigned i = 0; i < nr_workloads; i++)
		if (s->chosen & UINT64_C(1) << i &&
		    !(s->mutation && violations))
			violations += prove(s, &workloads[i],
					    div_round_up(s->images, nr));
	if (s->mutation) {
		printf("figure: mutation %s was %s\n", s->mutation,
		       violations ? "found" : "missed");
		return violations ? 0 : 1;
	}
	printf("figure: %ju violations\n", (uintmax_t)violations);
	return violations ? 1 : 0;
}

/* -- options --------------------------------------------------------------- */

static _Noreturn void usage(const char *why, const char *what)
{
	fprintf(stderr, "crash-prover: %s '%s'\n", why, what);
	exit(2);
}

static uint64_t number(const char *text, char end)
{
	char *stop;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &stop, 0);
	if (errno || stop == text || (*stop && *stop != end))
		usage("not a number:", text);
	return n;
}

static void choose(struct settings *s, const char *name)
{
	for (unsigned i = 0; i < nr_workloads; i++)
		if (strcmp(workloads[i].name, name) == 0) {
			s->chosen |= UINT64_C(1) << i;
			return;
		}
	usage("no such workload:", name);
}

static void choose_only(struct settings *s, const char *text)
{
	const char *colon = strchr(text, ':');

	s->all = false;
	s->only = number(text, ':');
	s->only_variant = colon ? (unsigned)number(colon + 1, '\0') : 0;
}

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

/* Only crash-mutated has them; a store that is broken has a lot to say. */
static void choose_mutation(struct settings *s, const char *name)
{
	static const char *const names[] = {
		[MUTATE_COMMIT_UNFLUSHED] = "commit-unflushed",
		[MUTATE_LOG_UNFLUSHED] = "log-unflushed",
		[MUTATE_SUPERBLOCK_FIRST] = "superblock-first",
		[MUTATE_REUSED_EARLY] = "reused-early",
		[MUTATE_SLOT_BY_STAMP] = "slot-by-stamp",
		[MUTATE_LOG_CSUM_IGNORED] = "log-csum-ignored",
		[MUTATE_LOG_EPOCH_IGNORED] = "log-epoch-ignored",
		[MUTATE_OPEN_UNFLUSHED] = "open-unflushed",
	};

	for (unsigned i = 1; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0 &&
		    mutation_choose((enum mutation)i))
			s->mutation = name;
	if (!s->mutation)
		usage("no such mutation here:", name);
	log_set_sink(no_log);
}

static void list_workloads(void)
{
	for (unsigned i = 0; i < nr_workloads; i++)
		printf("%-12s %s\n", workloads[i].name, workloads[i].what);
	exit(0);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"images", required_argument, NULL, 'i'},
		{"seed", required_argument, NULL, 's'},
		{"jobs", required_argument, NULL, 'j'},
		{"writes", required_argument, NULL, 'n'},
		{"variants", required_argument, NULL, 'v'},
		{"workload", required_argument, NULL, 'w'},
		{"only", required_argument, NULL, 'o'},
		{"save", required_argument, NULL, 'f'},
		{"mutation", required_argument, NULL, 'm'},
		{"list", no_argument, NULL, 'l'},
		{"long", no_argument, NULL, 'L'},
		{NULL, 0, NULL, 0}};
	struct settings s = {.images = IMAGES_CI,
			     .seed = 1,
			     .jobs = 2,
			     .writes = WRITES_CI,
			     .variants = 2,
			     .all = true};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'i')
			s.images = number(optarg, '\0');
		else if (c == 's')
			s.seed = number(optarg, '\0');
		else if (c == 'j')
			s.jobs = number(optarg, '\0');
		else if (c == 'n')
			s.writes = number(optarg, '\0');
		else if (c == 'v')
			s.variants = number(optarg, '\0');
		else if (c == 'w')
			choose(&s, optarg);
		else if (c == 'o')
			choose_only(&s, optarg);
		else if (c == 'f')
			s.save = optarg;
		else if (c == 'm')
			choose_mutation(&s, optarg);
		else if (c == 'l')
			list_workloads();
		else if (c == 'L')
			s.images = IMAGES_LONG, s.writes = WRITES_LONG;
		else
			return 2;
	}
	if (!s.jobs || s.jobs > JOBS_MAX || s.variants > 63)
		usage("out of range:", "--jobs or --variants");
	/* what an image needs the next one needs too: four times as fast */
	mallopt(M_MMAP_THRESHOLD, KEPT_BYTES / 8);
	mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
	if (!s.chosen)
		s.chosen = (UINT64_C(1) << nr_workloads) - 1;
	if (!s.all) {
		s.jobs = 1;
		s.variants = MAX_OF(s.variants, (uint64_t)s.only_variant);
	}
	return prove_all(&s);
}
