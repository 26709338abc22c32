/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a scrub.
 *
 *	none ──start──► running ──at its end──► finished
 *	                 │  ▲ └──give up──► stopped
 *	             pause  start, resume
 *	                 ▼  │
 *	                paused          (a close leaves it running, to be resumed)
 *
 * The work is done in slices.  For the length of one the space map is held:
 * what the last superblock reaches stays where it is, whatever is committed
 * meanwhile.  Between two the map is let go, and if commits had no luck for
 * some seconds one is made, so that freed blocks come back.
 *
 * A scrub that goes on after the pool was closed has lost its bits.  It walks
 * again through the nodes of what it had read, a two-hundredth of the data,
 * and sets them.
 */
#include "store/scrub.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/diff_internal.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "store/scrub_internal.h"
#include "store/util.h"

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

#define SLICE_NS	(500 * NS_PER_MS)
#define SLICE_BYTES	(UINT64_C(64) << 20)
#define SLICE_BYTES_MIN (UINT64_C(1) << 20)
/* where space is short it is not held for long */
#define SLICE_NS_FULL	(50 * NS_PER_MS)
#define SAVE_NS		(10 * NS_PER_S)
#define RELEASE_NS	(3 * NS_PER_S)
#define SLEEP_MS_MAX	1000u
#define FINDINGS_LOGGED 100u

/* ---- objects --------------------------------------------------------------- */

static int scrub_new(struct pool *pool, struct scrub **out)
{
	struct scrub *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->pool = pool;
	os_mutex_init(&s->lock);
	os_cond_init(&s->cond);
	idmap_init(&s->bad, sizeof(uint64_t));
	s->found = calloc(SCRUB_FINDINGS_MAX, sizeof(*s->found));
	*out = s;
	return s->found ? 0 : -ENOMEM;
}

static void scrub_delete(struct scrub *s)
{
	if (!s)
		return;
	scrub_seen_release(s);
	idmap_release(&s->bad);
	os_mutex_release(&s->lock);
	os_cond_release(&s->cond);
	free(s->found);
	free(s);
}

/* The pool's scrub; made, and what was kept is read, when first asked for. */
static int scrub_get(struct pool *pool, struct scrub **out)
{
	struct scrub *s = __atomic_load_n(&pool->scrub, __ATOMIC_ACQUIRE);
	struct scrub *none = NULL;
	int rc;

	*out = s;
	if (s)
		return 0;
	rc = scrub_new(pool, &s);
	if (rc == 0)
		rc = scrub_load(s);
	/* somebody else may have been quicker */
	if (rc == 0 &&
	    __atomic_compare_exchange_n(&pool->scrub, &none, s, false,
					__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		*out = s;
		return 0;
	}
	scrub_delete(s);
	*out = none;
	return rc;
}

void scrub_free(struct pool *pool)
{
	scrub_delete(pool->scrub);
	pool->scrub = NULL;
}

/* ---- findings --------------------------------------------------------------- */

/* "(ino N)" where it cannot be found. */
static void find_path(struct scrub *s, const struct tree_root *root,
		      struct scrub_finding *f)
{
	struct path_finder finder;
	struct inode_item inode;
	char *path = NULL;
	bool is_dir;
	int rc;

	snprintf(f->path, sizeof(f->path), "(ino %" PRIu64 ")", f->ino);
	path_finder_init(&finder, s->pool->nc, root);
	is_dir = tree_inode(s->pool->nc, root, f->ino, &inode) == 0 &&
		 S_ISDIR(le32_get(inode.mode));
	rc = path_finder_want(&finder, f->ino, is_dir);
	if (rc == 0)
		rc = path_finder_find(&finder);
	if (rc == 0)
		rc = path_finder_path(&finder, f->ino, &path);
	/* nothing of it was found?  That is said in another way there */
	if (rc == 0 && (strchr(path, '/') || path[0] != '('))
		snprintf(f->path, sizeof(f->path), "%s", path);
	free(path);
	path_finder_release(&finder);
}

static void find_name(struct pool *pool, struct scrub_finding *f)
{
	struct dataset_info info;
	struct dataset *ds;

	if (f->dataset == 0)
		return;
	if (dataset_open_id(pool, f->dataset, &ds)) {
		snprintf(f->name, sizeof(f->name),
			 "(destroyed, id %" PRIu32 ")", f->dataset);
		return;
	}
	dataset_info(ds, &info);
	dataset_put(ds);
	memcpy(f->name, info.name, sizeof(f->name));
}

int scrub_found(struct scrub *s, const struct tree_root *root,
		struct scrub_finding *f)
{
	char text[SCRUB_PATH_MAX + DATASET_FULL_NAME_MAX + 256];
	bool added;

	/* 0: the first superblock */
	if (!idmap_add(&s->bad, f->blkno + 1, &added))
		return -ENOMEM;
	if (root && f->ino)
		find_path(s, root, f);
	find_name(s->pool, f);
	os_mutex_lock(&s->lock);
	s->st.nr_errors += added;
	s->st.nr_found++;
	if (s->nr_kept < SCRUB_FINDINGS_MAX)
		s->found[s->nr_kept++] = *f;
	added = s->st.nr_found <= FINDINGS_LOGGED;
	os_mutex_unlock(&s->lock);
	pool_count_error(s->pool);
	if (added) {
		scrub_finding_text(f, text, sizeof(text));
		log_error("scrub found damage blkno=%" PRIu64 ": %s", f->blkno,
			  text);
	}
	return 0;
}

void scrub_finding_text(const struct scrub_finding *f, char *buf, size_t cap)
{
	unsigned long long blkno = f->blkno, offset = f->offset, ino = f->ino;

	switch (f->kind) {
	case SCRUB_FOUND_RECORD:
		snprintf(buf, cap,
			 "'%s', '%s' (inode %llu), offset %llu: the record in "
			 "block %llu cannot be read or does not match its "
			 "checksum",
			 f->name, f->path, ino, offset, blkno);
		return;
	case SCRUB_FOUND_NODE:
		snprintf(buf, cap,
			 "'%s', '%s' (inode %llu), from offset %llu, and "
			 "inodes up to %llu: the node in block %llu (level %u) "
			 "cannot be read or does not match its checksum",
			 f->name, f->path, ino, offset,
			 (unsigned long long)f->ino_end - 1, blkno, f->level);
		return;
	case SCRUB_FOUND_POOL_NODE:
		snprintf(buf, cap,
			 "the pool: a node of its own trees in block %llu "
			 "(level %u) cannot be read or does not match its "
			 "checksum",
			 blkno, f->level);
		return;
	case SCRUB_FOUND_SUPERBLOCK:
		snprintf(buf, cap,
			 "the pool: the copy of the superblock in block %llu "
			 "is not whole; one of the next 16 commits writes it "
			 "anew",
			 blkno);
		return;
	case SCRUB_FOUND_SPACE_MAP:
		snprintf(buf, cap,
			 "the space map: %s %llu in block %llu cannot be read "
			 "or is not what was written",
			 f->level ? "index block" : "region", ino, blkno);
		return;
	}
	snprintf(buf, cap, "block %llu is damaged", blkno);
}

/* ---- one slice ---------------------------------------------------------------- */

bool scrub_slice_over(const struct scrub *s)
{
	return s->slice_bytes >= s->slice_max ||
	       os_monotonic_ns() >= s->slice_end_ns ||
	       __atomic_load_n(&s->want_room, __ATOMIC_RELAXED);
}

void scrub_count(struct scrub *s, uint32_t nr)
{
	s->slice_bytes += (uint64_t)nr * BLOCK_SIZE;
	s->bytes += (uint64_t)nr * BLOCK_SIZE;
}

int scrub_look(struct scrub *s)
{
	struct pool *pool = s->pool;
	struct txg_state *t = &pool->txg;
	int rc;

	os_mutex_lock(&t->lock);
	while (t->committing)
		os_cond_wait(&t->done, &t->lock);
	rc = t->error;
	s->now = (struct scrub_committed){
		.root_tree = tree_root_load(&pool->sb->root_tree),
		.space_tree = tree_root_load(&pool->sb->space_tree),
		.commit_seq = le64_get(pool->sb->commit_seq),
		.txg = le64_get(pool->sb->h.txg),
		.nr_blocks = le64_get(pool->sb->nr_blocks),
		.next_dataset = le32_get(pool->sb->next_dataset),
	};
	os_mutex_unlock(&t->lock);
	return rc;
}

static int do_phase(struct scrub *s, bool *finished)
{
	bool done = true;
	int rc = 0;

	*finished = false;
	switch (s->phase) {
	case SCRUB_PHASE_SUPERBLOCKS:
		rc = scrub_superblocks(s);
		break;
	case SCRUB_PHASE_SPACE:
		rc = scrub_slots(s, &done);
		break;
	case SCRUB_PHASE_POOL_TREES:
		rc = scrub_pool_trees(s);
		break;
	case SCRUB_PHASE_DATASETS:
		rc = scrub_datasets(s, finished);
		return rc;
	}
	if (rc == 0 && done)
		s->phase++;
	return rc;
}

/* Is the scrub still where it was before the pool was closed? */
static bool goes_back(const struct scrub *s)
{
	return s->dataset < s->done_dataset ||
	       (s->dataset == s->done_dataset &&
		key_compare(&s->key, &s->done_key) < 0);
}

static void set_budget(struct scrub *s, uint64_t rate)
{
	s->slice_max = rate ? MIN_OF(MAX_OF(rate, SLICE_BYTES_MIN), SLICE_BYTES)
			    : SLICE_BYTES;
	s->slice_end_ns = os_monotonic_ns() + SLICE_NS;
	s->slice_bytes = 0;
	s->bytes = s->nr_nodes = s->nr_records = 0;
}

static void set_in_slice(struct scrub *s, bool on)
{
	os_mutex_lock(&s->lock);
	s->in_slice = on;
	os_mutex_unlock(&s->lock);
}

static int do_slice(struct scrub *s, bool *finished)
{
	int rc;

	*finished = false;
	set_in_slice(s, true);
	space_map_hold(s->pool->sm);
	rc = scrub_look(s);
	while (rc == 0 && !*finished && !scrub_slice_over(s))
		rc = do_phase(s, finished);
	space_map_unhold(s->pool->sm);
	set_in_slice(s, false);
	return rc;
}

/* ---- its life ------------------------------------------------------------------ */

static int buffers_new(struct scrub *s)
{
	for (unsigned i = 0; i < NODE_LEVEL_MAX; i++) {
		s->page[i] = blkdev_buffer_new(BLOCK_SIZE);
		if (!s->page[i])
			return -ENOMEM;
	}
	s->buf = blkdev_buffer_new(SCRUB_READ_BYTES);
	s->extents = calloc(NODE_ITEMS_MAX, sizeof(*s->extents));
	return s->buf && s->extents ? 0 : -ENOMEM;
}

static void buffers_free(struct scrub *s)
{
	for (unsigned i = 0; i < NODE_LEVEL_MAX; i++) {
		free(s->page[i]);
		s->page[i] = NULL;
	}
	free(s->buf);
	free(s->extents);
	s->buf = NULL;
	s->extents = NULL;
}

/* Bytes that a scrub will read, about. */
static uint64_t estimate(struct pool *pool)
{
	uint64_t blocks, nr_regions, fixed = 0;
	struct space_map_stat sm;

	space_map_stat(pool->sm, &sm);
	nr_regions = div_round_up(sm.nr_blocks, REGION_BLOCKS);
	blocks = sm.nr_blocks - sm.nr_free - sm.nr_deferred;
	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX; i++)
		fixed += le32_get(pool->sb->ilog[i].nr);
	/* slots, of which one of two is read: about all that is reserved */
	fixed += nr_regions;
	return blocks > fixed ? (blocks - fixed) * BLOCK_SIZE : BLOCK_SIZE;
}

/* s->lock held. */
static void begin_anew_locked(struct scrub *s, uint64_t rate)
{
	s->st = (struct scrub_status){
		.started = os_time_now().tv_sec,
		.rate = rate == SCRUB_RATE_SAME ? SCRUB_RATE_DEFAULT : rate,
		.total = estimate(s->pool),
	};
	s->phase = SCRUB_PHASE_SUPERBLOCKS;
	s->nr_kept = 0;
	s->done_dataset = 0;
	s->done_key = key_of(0, 0, 0);
	s->start_txg = 0;
}

/* What a new scrub and one that goes on have in common; s->lock held. */
static void begin_locked(struct scrub *s)
{
	s->st.state = SCRUB_RUNNING;
	s->st.active = true;
	s->st.speed = 0;
	s->want_pause = s->want_stop = s->want_room = false;
	s->next_slot = 0;
	s->dataset = 0;
	s->key = key_of(0, 0, 0);
	s->extended = false;
	/* slots are read from their start again */
	if (s->phase < SCRUB_PHASE_DATASETS)
		s->phase = SCRUB_PHASE_SUPERBLOCKS;
}

/* After a slice: what it did becomes visible. */
static void publish_work(struct scrub *s)
{
	struct scrub_status *st = &s->st;
	struct scrub_finding f = {.dataset = s->dataset};

	if (s->phase == SCRUB_PHASE_DATASETS)
		find_name(s->pool, &f);
	os_mutex_lock(&s->lock);
	st->done += s->bytes;
	st->total = MAX_OF(st->total, st->done);
	st->nr_nodes += s->nr_nodes;
	st->nr_records += s->nr_records;
	memcpy(st->at, f.name, sizeof(st->at));
	os_mutex_unlock(&s->lock);
}

/* After the rest that followed it: how fast it goes, all in all. */
static void publish_time(struct scrub *s, uint64_t ns)
{
	struct scrub_status *st = &s->st;
	uint64_t now = s->slice_bytes * NS_PER_MS / MAX_OF(ns / 1000, 1u);

	os_mutex_lock(&s->lock);
	st->active_ms += ns / NS_PER_MS;
	st->speed = st->speed ? (3 * st->speed + now) / 4 : now;
	os_mutex_unlock(&s->lock);
}

/* Sleep for as long as the rate asks; false: somebody wants it to stop. */
static bool go_on(struct scrub *s, uint64_t start_ns)
{
	uint64_t end = start_ns, now;
	bool stop;

	os_mutex_lock(&s->lock);
	if (s->st.rate)
		end += s->slice_bytes * NS_PER_MS /
		       MAX_OF(s->st.rate / 1000, UINT64_C(1));
	while (!(stop = s->want_pause || s->want_stop || s->closing) &&
	       (now = os_monotonic_ns()) < end)
		os_cond_wait_ms(&s->cond, &s->lock,
				(uint32_t)MIN_OF((end - now) / NS_PER_MS + 1,
						 (uint64_t)SLEEP_MS_MAX));
	os_mutex_unlock(&s->lock);
	return !stop;
}

/* Whoever waits for space looks again. */
static void room_made(struct scrub *s)
{
	os_mutex_lock(&s->lock);
	__atomic_store_n(&s->want_room, false, __ATOMIC_RELAXED);
	os_cond_broadcast(&s->cond);
	os_mutex_unlock(&s->lock);
}

/* Freed blocks come back with a commit, if the map is not held just then. */
static int let_blocks_go(struct scrub *s, uint64_t *last_ns)
{
	bool wanted = __atomic_load_n(&s->want_room, __ATOMIC_RELAXED);
	struct space_map_stat sm;
	int rc = 0;

	space_map_stat(s->pool->sm, &sm);
	if (sm.nr_deferred == 0 && !wanted)
		*last_ns = os_monotonic_ns();
	else if (!s->pool->read_only &&
		 (wanted || os_monotonic_ns() - *last_ns >= RELEASE_NS)) {
		*last_ns = os_monotonic_ns();
		rc = txg_commit(s->pool);
	}
	if (wanted)
		room_made(s);
	return rc;
}

void scrub_make_room(struct pool *pool)
{
	struct scrub *s = __atomic_load_n(&pool->scrub, __ATOMIC_ACQUIRE);

	if (!s)
		return;
	os_mutex_lock(&s->lock);
	if (s->in_slice)
		__atomic_store_n(&s->want_room, true, __ATOMIC_RELAXED);
	while (s->want_room && s->st.active)
		os_cond_wait(&s->cond, &s->lock);
	os_mutex_unlock(&s->lock);
}

/* In a full pool it is not kept, and the scrub goes on all the same. */
static void keep_state(struct scrub *s)
{
	int rc = scrub_save(s);

	if (rc && rc != -EROFS && rc != -ENOSPC)
		log_warn("the state of the scrub cannot be kept pool=%s "
			 "error=%d",
			 s->pool->name, -rc);
}

static int run_slices(struct scrub *s, bool *finished)
{
	uint64_t saved = os_monotonic_ns(), released = saved, rate;
	int rc;

	*finished = false;
	for (;;) {
		uint64_t start = os_monotonic_ns();
		uint32_t nr_kept = s->nr_kept;
		bool more;

		os_mutex_lock(&s->lock);
		rate = s->st.rate;
		os_mutex_unlock(&s->lock);
		set_budget(s, rate);
		rc = do_slice(s, finished);
		if (rc == 0)
			rc = let_blocks_go(s, &released);
		publish_work(s);
		more = rc == 0 && !*finished && go_on(s, start);
		publish_time(s, os_monotonic_ns() - start);
		if (!more)
			return rc;
		if (s->nr_kept != nr_kept ||
		    os_monotonic_ns() - saved >= SAVE_NS) {
			keep_state(s);
			saved = os_monotonic_ns();
		}
	}
}

/* Where a new one starts: all that is committed now is older. */
static int set_start(struct scrub *s)
{
	int rc = scrub_look(s);

	if (s->start_txg == 0)
		s->start_txg = s->now.txg;
	s->end_id = s->now.next_dataset;
	return rc;
}

static void end(struct scrub *s, int rc, bool finished)
{
	struct scrub_status *st = &s->st;

	os_mutex_lock(&s->lock);
	if (rc)
		st->state = SCRUB_FAILED;
	else if (finished)
		st->state = SCRUB_FINISHED;
	else if (s->want_stop)
		st->state = SCRUB_STOPPED;
	else if (s->want_pause)
		st->state = SCRUB_PAUSED;
	if (finished)
		st->total = st->done;
	if (st->state != SCRUB_RUNNING && st->state != SCRUB_PAUSED)
		st->ended = os_time_now().tv_sec;
	st->at[0] = '\0';
	os_mutex_unlock(&s->lock);
	if (rc)
		log_error("scrub failed pool=%s error=%d", s->pool->name, -rc);
	keep_state(s);
	/* as far as it came, for when it goes on */
	if (!goes_back(s)) {
		s->done_dataset = s->dataset;
		s->done_key = s->key;
	}
	os_mutex_lock(&s->lock);
	st->active = false;
	s->want_room = false;
	os_cond_broadcast(&s->cond);
	os_mutex_unlock(&s->lock);
}

static void scrubber(void *arg)
{
	struct scrub *s = arg;
	bool finished = false;
	int rc = buffers_new(s);

	if (rc == 0)
		rc = set_start(s);
	if (rc == 0) {
		keep_state(s);
		rc = run_slices(s, &finished);
	}
	scrub_seen_release(s);
	buffers_free(s);
	end(s, rc, finished);
}

/* ---- what others ask ------------------------------------------------------------ */

static int start(struct scrub *s)
{
	struct os_thread *t = &s->thread;
	int rc;

	if (s->pool->options.no_background) {
		scrubber(s);
		return 0;
	}
	rc = os_thread_start(t, "dbs-scrub", scrubber, s);
	if (rc) {
		os_mutex_lock(&s->lock);
		s->st.active = false;
		os_mutex_unlock(&s->lock);
	}
	return rc;
}

int pool_scrub_start(struct pool *pool, uint64_t rate)
{
	struct scrub *s;
	int rc = scrub_get(pool, &s);
	bool goes_on;

	if (rc)
		return rc;
	if (pool_failed(pool))
		return -EROFS;
	os_mutex_lock(&s->lock);
	if (s->st.active || s->closing) {
		if (rate != SCRUB_RATE_SAME)
			s->st.rate = rate;
		os_mutex_unlock(&s->lock);
		return -EALREADY;
	}
	goes_on = s->st.state == SCRUB_PAUSED || s->st.state == SCRUB_RUNNING;
	if (!goes_on) {
		begin_anew_locked(s, rate);
		idmap_release(&s->bad);
		idmap_init(&s->bad, sizeof(uint64_t));
	} else if (rate != SCRUB_RATE_SAME) {
		s->st.rate = rate;
	}
	begin_locked(s);
	os_mutex_unlock(&s->lock);
	/* the last one's, which has ended */
	os_thread_join(&s->thread);
	return start(s);
}

int pool_scrub_resume(struct pool *pool)
{
	struct scrub_status st;
	int rc;

	if (pool->read_only)
		return 0;
	rc = pool_scrub_status(pool, &st);
	if (rc || st.state != SCRUB_RUNNING || st.active)
		return rc;
	rc = pool_scrub_start(pool, SCRUB_RATE_SAME);
	return rc == -EALREADY ? 0 : rc;
}

int pool_scrub_pause(struct pool *pool, bool give_up)
{
	struct scrub *s;
	int rc = scrub_get(pool, &s);
	bool idle;

	if (rc)
		return rc;
	os_mutex_lock(&s->lock);
	rc = s->st.active ? 0 : -ESRCH;
	/* paused, or cut short: nobody is at it, but it can be given up */
	idle = rc &&
	       (s->st.state == SCRUB_PAUSED || s->st.state == SCRUB_RUNNING);
	if (idle) {
		s->st.state = give_up ? SCRUB_STOPPED : SCRUB_PAUSED;
		if (give_up)
			s->st.ended = os_time_now().tv_sec;
		s->dataset = s->done_dataset;
		s->key = s->done_key;
	} else if (give_up) {
		s->want_stop = true;
	} else {
		s->want_pause = true;
	}
	os_cond_broadcast(&s->cond);
	while (s->st.active)
		os_cond_wait(&s->cond, &s->lock);
	os_mutex_unlock(&s->lock);
	return idle ? scrub_save(s) : rc;
}

int pool_scrub_wait(struct pool *pool, uint32_t timeout_ms)
{
	uint64_t end_ns = os_monotonic_ns() + timeout_ms * NS_PER_MS, now;
	struct scrub *s;
	int rc = scrub_get(pool, &s);

	if (rc)
		return rc;
	os_mutex_lock(&s->lock);
	while (s->st.active && !s->closing &&
	       (now = os_monotonic_ns()) < end_ns)
		os_cond_wait_ms(&s->cond, &s->lock,
				(uint32_t)((end_ns - now) / NS_PER_MS + 1));
	rc = s->st.active ? -ETIMEDOUT : 0;
	os_mutex_unlock(&s->lock);
	return rc;
}

int pool_scrub_status(struct pool *pool, struct scrub_status *status)
{
	struct scrub *s;
	uint64_t speed;
	int rc = scrub_get(pool, &s);

	memset(status, 0, sizeof(*status));
	if (rc)
		return rc;
	os_mutex_lock(&s->lock);
	*status = s->st;
	os_mutex_unlock(&s->lock);
	status->eta_ms = UINT64_MAX;
	/* in its first slice it is expected to keep to its limit */
	speed = status->speed ? status->speed : status->rate;
	if (status->active && speed)
		status->eta_ms = (status->total - status->done) /
				 MAX_OF(speed / 1000, UINT64_C(1));
	return 0;
}

int pool_scrub_findings(struct pool *pool,
			void (*fn)(void *arg, const struct scrub_finding *f),
			void *arg)
{
	struct scrub_finding *found;
	struct scrub *s;
	uint32_t nr;
	int rc = scrub_get(pool, &s);

	if (rc)
		return rc;
	found = calloc(SCRUB_FINDINGS_MAX, sizeof(*found));
	if (!found)
		return -ENOMEM;
	os_mutex_lock(&s->lock);
	nr = s->nr_kept;
	memcpy(found, s->found, nr * sizeof(*found));
	os_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < nr; i++) {
		find_name(pool, &found[i]);
		fn(arg, &found[i]);
	}
	free(found);
	return 0;
}

void scrub_close(struct pool *pool)
{
	struct scrub *s = __atomic_load_n(&pool->scrub, __ATOMIC_ACQUIRE);

	if (!s)
		return;
	os_mutex_lock(&s->lock);
	s->closing = true;
	os_cond_broadcast(&s->cond);
	os_mutex_unlock(&s->lock);
	os_thread_join(&s->thread);
}
