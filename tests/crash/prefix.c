/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefix.c - does the pool open, clean and complete, after a crash anywhere?
 *
 *	crash-prefix [--commits N] [--seed S] [--second N] [--second-stride N]
 *		     [--jobs N] [--mutate order|flush] [--only PREFIX]
 *
 * A random run (model_run.h) of N commits is recorded: every write, every
 * flush, and a mark for each state that the store has acknowledged.  Then for
 * every prefix of the recording's writes the device is put together as it
 * would be after a crash there, checked, opened and compared: it must hold a
 * state at or after the last acknowledged one.  A second image keeps only
 * some of the writes since the last flush, and cuts some short at a sector.
 *
 * From each state so found (or every N-th, --second-stride) the run goes on
 * for a few commits, is recorded again, and crashes again at N of its
 * prefixes.
 *
 * --mutate breaks the recording as a wrong commit would, so that a run which
 * then finds nothing fails: 'order' writes superblocks before what they name,
 * 'flush' leaves out the flush before a superblock.
 *
 * Source: the idea of trying every prefix is SQLite's and ALICE's (Pillai et
 * al., "All file systems are not created equal", OSDI 2014).
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/format.h"
#include "store/store.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/lib/model_run.h"

#define DEVICE_SIZE (UINT64_C(64) << 20)
#define SECTOR	    512u
#define NO_PREFIX   SIZE_MAX

enum mutation { MUTATE_NOTHING, MUTATE_ORDER, MUTATE_FLUSH };

struct settings {
	uint64_t commits, seed, second, second_stride, jobs, only;
	enum mutation mutation;
};

/* A run and what the device saw of it. */
struct recording {
	struct blkdev *faulty;
	struct model_run run;
	struct blkdev_event *events; /* of @faulty, maybe mutated */
	size_t nr_events;
	struct pool_options options;
	uint64_t nr_commits; /* before the last reopen */
};

/* How an image is made: for messages. */
struct place {
	const struct settings *settings;
	size_t first, second; /* events; NO_PREFIX: no second crash */
	bool some;	      /* only some of the unflushed writes */
};

_Noreturn static void crash_fail(const struct place *at, const char *what,
				 const char *why)
{
	fprintf(stderr,
		"FAILED seed=%ju prefix=%zu then %zd%s: %s: %s\n"
		"repeat: crash-prefix --seed %ju --commits %ju --second %ju "
		"--only %zu\n",
		(uintmax_t)at->settings->seed, at->first, (ssize_t)at->second,
		at->some ? " (some writes lost)" : "", what, why,
		(uintmax_t)at->settings->seed, (uintmax_t)at->settings->commits,
		(uintmax_t)at->settings->second, at->first);
	exit(1);
}

/* -- recording ------------------------------------------------------------- */

/* How many states there are now, and the last that is durable. */
static void mark(void *arg, size_t durable)
{
	struct recording *rec = arg;

	blkdev_faulty_mark(rec->faulty,
			   (uint64_t)rec->run.nr_states << 32 | durable);
}

static struct pool *reopen(void *arg, struct pool *pool, bool crash)
{
	struct recording *rec = arg;
	struct store_error error = {""};
	struct pool_stat st;

	pool_stat(pool, &st);
	rec->nr_commits += st.nr_commits;
	if (crash)
		pool_abandon(pool);
	else
		MUST(pool_close(pool) == 0);
	MUST(pool_open_on(blkdev_borrow(rec->faulty), &rec->options, &pool,
			  &error) == 0);
	return pool;
}

static uint64_t nr_commits(const struct recording *rec)
{
	struct pool_stat st;

	pool_stat(rec->run.pool, &st);
	return rec->nr_commits + st.nr_commits;
}

/* Start to record on @faulty, which it owns then, and open the pool on it. */
static void recording_open(struct recording *rec, struct blkdev *below,
			   uint64_t seed, const struct place *at)
{
	const struct model_run_options options = {.seed = seed,
						  .max_roots = 10,
						  .max_inodes = 14,
						  .max_file = 40000,
						  .full_ok = true,
						  .plain = true,
						  .keep_states = true,
						  .reopen = reopen,
						  .on_durable = mark,
						  .arg = rec};
	struct store_error error = {""};
	struct pool *pool;

	*rec = (struct recording){
		.options = {.cache_bytes = 4u << 20, .no_background = true}};
	MUST(blkdev_faulty_open(below, &rec->faulty) == 0);
	blkdev_faulty_record(rec->faulty, true);
	if (pool_open_on(blkdev_borrow(rec->faulty), &rec->options, &pool,
			 &error))
		crash_fail(at, "open", error.text);
	model_run_init(&rec->run, pool, &options);
}

/* Leave the pool as a crash would and take the events. */
static void recording_stop(struct recording *rec)
{
	model_run_close_handles(&rec->run);
	pool_abandon(rec->run.pool);
	rec->run.pool = NULL;
	rec->nr_events = blkdev_faulty_nr_events(rec->faulty);
	rec->events = calloc(rec->nr_events + 1, sizeof(*rec->events));
	MUST(rec->events);
	for (size_t i = 0; i < rec->nr_events; i++)
		rec->events[i] = *blkdev_faulty_event(rec->faulty, i);
}

static void recording_release(struct recording *rec)
{
	model_run_release(&rec->run);
	free(rec->events);
	blkdev_close(rec->faulty);
}

static bool is_superblock(const struct blkdev_event *e)
{
	const uint64_t blkno = e->offset / BLKDEV_ALIGN;

	return e->kind == BLKDEV_EVENT_WRITE &&
	       (blkno < SUPERBLOCK_RING ||
		(blkno >= SUPERBLOCK_COPY_BLKNO &&
		 blkno < SUPERBLOCK_COPY_BLKNO + SUPERBLOCK_RING));
}

/* Move each superblock ahead of the writes before the flush it followed. */
static void mutate_order(struct recording *rec)
{
	size_t start = 0, flush = NO_PREFIX;

	for (size_t i = 0; i < rec->nr_events; i++) {
		const struct blkdev_event e = rec->events[i];

		if (e.kind == BLKDEV_EVENT_FLUSH) {
			start = flush == NO_PREFIX ? start : flush + 1;
			flush = i;
		}
		if (!is_superblock(&e) || flush == NO_PREFIX)
			continue;
		memmove(&rec->events[start + 1], &rec->events[start],
			(i - start) * sizeof(e));
		rec->events[start] = e;
		flush++;
		start++;
	}
}

/* Drop each flush that a superblock follows. */
static void mutate_flush(struct recording *rec)
{
	size_t n = 0;

	for (size_t i = 0; i < rec->nr_events; i++) {
		if (rec->events[i].kind == BLKDEV_EVENT_FLUSH) {
			if (i + 1 < rec->nr_events &&
			    is_superblock(&rec->events[i + 1]))
				continue;
			rec->events[i].offset = n;
		}
		rec->events[n++] = rec->events[i];
	}
	rec->nr_events = n;
}

/* -- images ---------------------------------------------------------------- */

static void apply(struct blkdev *dev, const struct blkdev_event *e)
{
	if (e->kind == BLKDEV_EVENT_WRITE)
		blkdev_view_write(dev, e->data, e->length, e->offset);
}

/* Write only the first sectors of @e; the rest keeps what was there. */
static void apply_torn(struct blkdev *dev, const struct blkdev_event *e,
		       struct rnd *rnd)
{
	const size_t keep = rnd_below(rnd, e->length / SECTOR) * SECTOR;
	uint8_t *buf = blkdev_buffer_new(e->length);

	MUST(buf);
	MUST(blkdev_read(dev, buf, e->length, e->offset) == 0);
	memcpy(buf, e->data, keep);
	MUST(blkdev_write(dev, buf, e->length, e->offset) == 0);
	free(buf);
}

/* Apply events [from, to); with @rnd each may be lost or torn. */
static void apply_range(struct blkdev *dev, const struct blkdev_event *events,
			size_t from, size_t to, struct rnd *rnd)
{
	for (size_t i = from; i < to; i++) {
		const uint64_t dice = rnd ? rnd_below(rnd, 5) : 0;

		if (events[i].kind != BLKDEV_EVENT_WRITE)
			continue;
		if (dice < 3)
			apply(dev, &events[i]);
		else if (dice == 3)
			apply_torn(dev, &events[i], rnd);
	}
}

/* The states that a crash after [0, n) events may leave: [*from, *to). */
static void allowed_states(const struct recording *rec, size_t n, size_t *from,
			   size_t *to)
{
	*from = 0;
	*to = rec->run.nr_states;
	for (size_t i = n; i-- > 0;)
		if (rec->events[i].kind == BLKDEV_EVENT_MARK) {
			*from = (size_t)(rec->events[i].offset & UINT32_MAX);
			break;
		}
	for (size_t i = n; i < rec->nr_events; i++)
		if (rec->events[i].kind == BLKDEV_EVENT_MARK) {
			*to = (size_t)(rec->events[i].offset >> 32);
			break;
		}
}

static void keep_finding(void *arg, const char *text)
{
	char *first = arg;

	if (!*first)
		snprintf(first, 512, "%s", text);
}

static void must_check(const struct place *at, struct blkdev *dev)
{
	char first[512] = "";
	const struct check_options options = {
		.data = true, .report = keep_finding, .arg = first};
	struct check_result result = {0};
	struct store_error error = {""};
	struct blkdev *view = blkdev_borrow(dev);

	if (check_run(view, &options, &result, &error))
		crash_fail(at, "check", error.text);
	if (result.nr_errors || result.blocks_leaked)
		crash_fail(at, "check found", *first ? first : "leaked blocks");
	blkdev_close(view);
}

/*
 * Check the image on @dev, open it and find the state of @rec that it holds
 * after event @n.
 */
static size_t must_hold_state(const struct place *at, struct blkdev *dev,
			      const struct recording *rec, size_t n)
{
	/* for writing, since only that replays the intent log */
	const struct pool_options options = {.no_background = true};
	struct store_error error = {""};
	struct pool *pool;
	size_t from, to, found;
	char why[512] = "", text[640];

	must_check(at, dev);
	if (pool_open_on(blkdev_borrow(dev), &options, &pool, &error))
		crash_fail(at, "open", error.text);
	allowed_states(rec, n, &from, &to);
	found = model_run_find(&rec->run, from, to, pool, why, sizeof(why));
	if (found == SIZE_MAX) {
		char other[512];

		/* any other state, to tell lost from torn */
		found = model_run_find(&rec->run, 0, rec->run.nr_states, pool,
				       other, sizeof(other));
		snprintf(text, sizeof(text),
			 "not one of [%zu, %zu): %s; of all states %zd fits",
			 from, to, why, (ssize_t)found);
		crash_fail(at, "state", text);
	}
	pool_abandon(pool);
	return found;
}

/* -- crashes --------------------------------------------------------------- */

/* The bytes that all of a prefix's images share, and the events to come. */
struct progress {
	uint8_t *base;	/* all events before @flushed are in it */
	size_t flushed; /* events that a flush has covered */
};

static struct blkdev *image_open(const struct progress *p,
				 const struct recording *rec, size_t n,
				 struct rnd *rnd)
{
	struct blkdev *dev = blkdev_view_open(p->base, DEVICE_SIZE);

	apply_range(dev, rec->events, p->flushed, n, rnd);
	return dev;
}

/* Go on from state @state of prefix @n, crash again, and look again. */
static void crash_again(const struct settings *s, const struct progress *p,
			const struct recording *rec, size_t n, size_t state)
{
	struct place at = {.settings = s, .first = n, .second = 0};
	struct rnd rnd = {.state = s->seed * 1000003 + n};
	struct recording again;
	struct blkdev *dev;

	recording_open(&again, image_open(p, rec, n, NULL), rnd_next(&rnd),
		       &at);
	model_run_start_from(&again.run, &rec->run.states[state]);
	/* someone looks into one failure: what leads to it? */
	again.run.o.verbose = s->only != NO_PREFIX;
	while (nr_commits(&again) < 3 && again.run.nr_ops < 60)
		model_run_step(&again.run);
	model_run_sync(&again.run);
	recording_stop(&again);
	for (uint64_t i = 0; i < s->second; i++) {
		const size_t m = rnd_below(&rnd, again.nr_events + 1);

		at.second = m;
		dev = image_open(p, rec, n, NULL);
		apply_range(dev, again.events, 0, m, NULL);
		must_hold_state(&at, dev, &again, m);
		blkdev_close(dev);
	}
	recording_release(&again);
}

static void crash_at(const struct settings *s, const struct progress *p,
		     const struct recording *rec, size_t n, size_t serial)
{
	struct place at = {.settings = s, .first = n, .second = NO_PREFIX};
	struct rnd rnd = {.state = s->seed * 7919 + n};
	struct blkdev *dev = image_open(p, rec, n, NULL);
	const size_t state = must_hold_state(&at, dev, rec, n);

	blkdev_close(dev);
	at.some = true;
	dev = image_open(p, rec, n, &rnd);
	must_hold_state(&at, dev, rec, n);
	blkdev_close(dev);
	if (s->second && serial % s->second_stride == 0)
		crash_again(s, p, rec, n, state);
}

/* Worker @job tries every jobs-th prefix; exits 1 at the first failure. */
static void try_prefixes(const struct settings *s, struct recording *rec,
			 uint8_t *base, uint64_t job)
{
	struct progress p = {.base = base};
	size_t serial = 0;

	for (size_t n = 0; n <= rec->nr_events; n++) {
		const struct blkdev_event *e = n ? &rec->events[n - 1] : NULL;

		if (e && e->kind == BLKDEV_EVENT_FLUSH)
			for (; p.flushed < e->offset; p.flushed++) {
				const struct blkdev_event *w =
					&rec->events[p.flushed];

				if (w->kind == BLKDEV_EVENT_WRITE)
					memcpy(base + w->offset, w->data,
					       w->length);
			}
		/* only a write or a mark makes a new image or a new promise */
		if (e && e->kind == BLKDEV_EVENT_FLUSH)
			continue;
		serial++;
		if (s->only == NO_PREFIX ? serial % s->jobs == job
					 : s->only == n)
			crash_at(s, &p, rec, n, serial / s->jobs);
	}
}

static int run_workers(const struct settings *s, struct recording *rec,
		       uint8_t *base)
{
	int status, failed = 0;

	fflush(stdout);
	for (uint64_t job = 0; job < s->jobs; job++) {
		const pid_t pid = fork();

		MUST(pid >= 0);
		if (pid == 0) {
			if (s->mutation != MUTATE_NOTHING)
				MUST(freopen("/dev/null", "w", stderr));
			try_prefixes(s, rec, base, job);
			/* the parent's memory is no leak of the child's */
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	return failed;
}

/* The image before the first event. */
static uint8_t *new_pool(struct blkdev **dev)
{
	const struct pool_create_options create = {.name = "crash"};
	struct store_error error = {""};
	uint8_t *base = malloc(DEVICE_SIZE);

	MUST(base);
	MUST(blkdev_mem_open(DEVICE_SIZE, dev) == 0);
	MUST(pool_create_on(*dev, &create, &error) == 0);
	memcpy(base, blkdev_mem_data(*dev), DEVICE_SIZE);
	return base;
}

static int run_all(const struct settings *s)
{
	const struct place at = {.settings = s, .second = NO_PREFIX};
	struct recording rec;
	struct blkdev *dev;
	uint8_t *base = new_pool(&dev);
	size_t nr_writes = 0, nr_flushes = 0;
	uint64_t commits;
	int failed;

	recording_open(&rec, dev, s->seed, &at);
	while (nr_commits(&rec) < s->commits) {
		model_run_step(&rec.run);
		if (rnd_one_in(&rec.run.rnd, 400))
			model_run_reopen(&rec.run, rnd_one_in(&rec.run.rnd, 2));
	}
	commits = nr_commits(&rec);
	recording_stop(&rec);
	if (s->mutation == MUTATE_ORDER)
		mutate_order(&rec);
	if (s->mutation == MUTATE_FLUSH)
		mutate_flush(&rec);
	for (size_t i = 0; i < rec.nr_events; i++) {
		nr_writes += rec.events[i].kind == BLKDEV_EVENT_WRITE;
		nr_flushes += rec.events[i].kind == BLKDEV_EVENT_FLUSH;
	}
	printf("recorded %ju commits of %ju operations: %zu writes, %zu "
	       "flushes\n",
	       (uintmax_t)commits, (uintmax_t)rec.run.nr_ops, nr_writes,
	       nr_flushes);
	failed = run_workers(s, &rec, base);
	if (s->mutation == MUTATE_NOTHING)
		printf("%s\n", failed ? "a crash was not survived"
				      : "all crashes survived");
	else
		printf("the mutation was %s\n", failed ? "found" : "missed");
	recording_release(&rec);
	free(base);
	return s->mutation == MUTATE_NOTHING ? failed != 0 : failed == 0;
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || *end || end == text) {
		fprintf(stderr, "crash-prefix: '%s' is not a number\n", text);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"commits", required_argument, NULL, 'c'},
		{"seed", required_argument, NULL, 's'},
		{"second", required_argument, NULL, '2'},
		{"second-stride", required_argument, NULL, 't'},
		{"jobs", required_argument, NULL, 'j'},
		{"only", required_argument, NULL, 'o'},
		{"mutate", required_argument, NULL, 'm'},
		{NULL, 0, NULL, 0}};
	struct settings s = {.commits = 100,
			     .seed = 1,
			     .second = 1,
			     .second_stride = 1,
			     .jobs = 2,
			     .only = NO_PREFIX};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'c')
			s.commits = number(optarg);
		else if (c == 's')
			s.seed = number(optarg);
		else if (c == '2')
			s.second = number(optarg);
		else if (c == 't')
			s.second_stride = number(optarg);
		else if (c == 'j')
			s.jobs = number(optarg);
		else if (c == 'o')
			s.only = number(optarg);
		else if (c == 'm' && strcmp(optarg, "order") == 0)
			s.mutation = MUTATE_ORDER;
		else if (c == 'm' && strcmp(optarg, "flush") == 0)
			s.mutation = MUTATE_FLUSH;
		else
			return 2;
	}
	if (!s.jobs || !s.second_stride)
		return 2;
	if (s.only != NO_PREFIX)
		s.jobs = 1;
	return run_all(&s);
}
