/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a txg, and the committer that ends it.
 *
 * Ops hold txg.hold shared while they apply, so whoever has it alone sees no
 * op half done.  The committer takes it alone for as long as it takes to put
 * the changed datasets' roots into the root tree and to hand out a new group:
 * memory only.  Everything that follows (counts, reaper, writes, flushes)
 * goes on beside the ops of the next group.
 *
 * Commit, in order (docs/life-of-a-write.md has it with crash points):
 *  1 seal: roots into the root tree, new group
 *  2 notes to counts, then a bounded step of the reaper
 *  3 write deferred records, nodes, space-map slots; flush
 *  4 write the superblock twice; flush
 *  5 blocks freed in the group may be handed out; waiters wake
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/io_batch.h"
#include "store/mutate.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "store/util.h"

/* Notes in the open group: from the first on a commit is asked for, from the
 * second on ops wait for it. */
#define NOTES_SOFT 100000u
#define NOTES_HARD 400000u
/* commits in a row that may leave the reaper to the next one */
#define REAP_SKIPPED_MAX 16u
/*
 * After a step of the reaper that nobody waits for, its thread rests for so
 * many times as long as the commit took: others need the disk and the cores.
 */
#define REAPER_REST 2u
/* spare chunks kept for good */
#define SPARE_KEPT 64u

static struct txg_group *group_new(uint64_t seq)
{
	struct txg_group *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->seq = seq;
	os_mutex_init(&g->lock);
	list_init(&g->dirty_nodes);
	list_init(&g->dirty_datasets);
	return g;
}

static void group_free(struct pool *pool, struct txg_group *g)
{
	struct txg_state *t = &pool->txg;

	if (!g)
		return;
	txg_free_notes(pool, g);
	while (g->first_chunk) {
		struct note_chunk *c = g->first_chunk;

		g->first_chunk = c->next;
		os_mutex_lock(&t->note_lock);
		if (t->nr_spare < SPARE_KEPT) {
			c->next = t->spare;
			t->spare = c;
			t->nr_spare++;
			c = NULL;
		}
		os_mutex_unlock(&t->note_lock);
		free(c);
	}
	os_mutex_release(&g->lock);
	free(g);
}

static bool group_empty(struct txg_group *g)
{
	bool empty;

	os_mutex_lock(&g->lock);
	empty = g->nr_notes == 0 && g->nr_dirty_datasets == 0;
	os_mutex_unlock(&g->lock);
	return empty;
}

int txg_init(struct pool *pool)
{
	struct txg_state *t = &pool->txg;

	os_rwlock_init(&t->hold);
	os_mutex_init(&t->lock);
	os_mutex_init(&t->note_lock);
	os_cond_init(&t->work);
	os_cond_init(&t->done);
	t->open = group_new(1);
	return t->open ? 0 : -ENOMEM;
}

void txg_release(struct pool *pool)
{
	struct txg_state *t = &pool->txg;

	group_free(pool, t->syncing);
	group_free(pool, t->open);
	t->open = t->syncing = NULL;
	while (t->spare) {
		struct note_chunk *c = t->spare;

		t->spare = c->next;
		free(c);
	}
	os_rwlock_release(&t->hold);
	os_mutex_release(&t->lock);
	os_mutex_release(&t->note_lock);
	os_cond_release(&t->work);
	os_cond_release(&t->done);
}

/* ---- reservations and waiting ------------------------------------------- */

int txg_reserve_notes(struct pool *pool, uint64_t nr)
{
	struct txg_state *t = &pool->txg;

	os_mutex_lock(&t->note_lock);
	t->notes_reserved += nr;
	/* a chunk begun in each group, and one to spare */
	while ((uint64_t)t->nr_spare * NOTES_PER_CHUNK <
	       t->notes_reserved + 3 * NOTES_PER_CHUNK) {
		struct note_chunk *c = malloc(sizeof(*c));

		if (!c) {
			t->notes_reserved -= nr;
			os_mutex_unlock(&t->note_lock);
			return -ENOMEM;
		}
		c->next = t->spare;
		t->spare = c;
		t->nr_spare++;
	}
	os_mutex_unlock(&t->note_lock);
	return 0;
}

void txg_unreserve_notes(struct pool *pool, uint64_t nr)
{
	struct txg_state *t = &pool->txg;

	os_mutex_lock(&t->note_lock);
	dbs_assert(t->notes_reserved >= nr);
	t->notes_reserved -= nr;
	os_mutex_unlock(&t->note_lock);
}

void txg_kick(struct pool *pool)
{
	struct txg_state *t = &pool->txg;

	os_mutex_lock(&t->lock);
	t->kicked = true;
	os_cond_signal(&t->work);
	os_mutex_unlock(&t->lock);
}

int txg_throttle(struct pool *pool)
{
	struct txg_state *t = &pool->txg;
	uint64_t nr;

	os_rwlock_rdlock(&t->hold);
	os_mutex_lock(&t->open->lock);
	nr = t->open->nr_notes;
	os_mutex_unlock(&t->open->lock);
	os_rwlock_unlock(&t->hold);
	if (nr >= NOTES_HARD || ilog_needs_commit(pool))
		return txg_sync(pool);
	if ((nr >= NOTES_SOFT || ilog_wants_commit(pool)) &&
	    !pool->options.no_background)
		txg_kick(pool);
	return 0;
}

static int commit_locked(struct pool *pool, bool reap);

/* Wait until group @seq is on disk; t->lock held. */
static int wait_committed_locked(struct pool *pool, uint64_t seq)
{
	struct txg_state *t = &pool->txg;

	/* who finds nobody at it commits for all that wait: no thread switch */
	while (t->committed_seq < seq && !t->error)
		if (t->committing)
			os_cond_wait(&t->done, &t->lock);
		else
			/* the reaper has nothing that they wait for */
			commit_locked(pool, !t->thread.running ||
						    t->reap_skipped >=
							    REAP_SKIPPED_MAX);
	return t->committed_seq >= seq ? 0 : t->error;
}

int txg_sync(struct pool *pool)
{
	struct txg_state *t = &pool->txg;
	uint64_t seq;
	int rc;

	if (pool->read_only)
		return 0;
	os_mutex_lock(&t->lock);
	/* an empty group has nothing to wait for but the one before it */
	seq = group_empty(t->open) ? t->open->seq - 1 : t->open->seq;
	rc = t->error ? t->error : wait_committed_locked(pool, seq);
	os_mutex_unlock(&t->lock);
	return rc;
}

int txg_wait_for_room(struct pool *pool)
{
	struct txg_state *t = &pool->txg;
	bool empty;

	os_mutex_lock(&t->lock);
	empty = group_empty(t->open) && !t->syncing;
	if (empty)
		os_cond_wait_ms(&t->done, &t->lock, 1);
	os_mutex_unlock(&t->lock);
	return empty ? 0 : txg_sync(pool);
}

uint64_t txg_committed(struct pool *pool)
{
	struct txg_state *t = &pool->txg;
	uint64_t txg;

	os_mutex_lock(&t->lock);
	txg = t->committed_txg;
	os_mutex_unlock(&t->lock);
	return txg;
}

int txg_error(struct pool *pool)
{
	return __atomic_load_n(&pool->txg.error, __ATOMIC_ACQUIRE);
}

void pool_fail(struct pool *pool, int error, const char *what)
{
	struct txg_state *t = &pool->txg;
	bool first;

	os_mutex_lock(&t->lock);
	first = t->error == 0;
	if (first)
		__atomic_store_n(&t->error, error < 0 ? error : -EIO,
				 __ATOMIC_RELEASE);
	os_cond_broadcast(&t->done);
	os_cond_signal(&t->work);
	os_mutex_unlock(&t->lock);
	if (first) {
		pool_count_error(pool);
		log_error("pool is read-only from now on: %s failed pool=%s "
			  "error=%d",
			  what, pool->name, -error);
	}
}

bool pool_failed(const struct pool *pool)
{
	return __atomic_load_n(&pool->txg.error, __ATOMIC_ACQUIRE) != 0;
}

uint64_t txg_seal_births(struct op *op)
{
	dbs_assert(op->ready);
	/* later ops load a number above what is returned */
	return __atomic_fetch_add(&op->pool->txg.open_txg, 1, __ATOMIC_ACQ_REL);
}

/* ---- deferred writes ---------------------------------------------------- */

void txg_defer_write(struct op *op, uint64_t first, void *buf, uint32_t nr)
{
	struct txg_group *g = op->group;
	struct note *n = op_note(op, NOTE_DEFER, first, nr);

	os_mutex_lock(&g->lock);
	n->buf = buf;
	n->next_deferred = g->deferred[first % DEFER_BUCKETS];
	g->deferred[first % DEFER_BUCKETS] = n;
	__atomic_add_fetch(&g->nr_deferred, 1, __ATOMIC_RELEASE);
	os_mutex_unlock(&g->lock);
}

static bool deferred_in(struct txg_group *g, uint64_t first, void *buf,
			uint32_t nr)
{
	const struct note *n;

	if (!g || __atomic_load_n(&g->nr_deferred, __ATOMIC_ACQUIRE) == 0)
		return false;
	os_mutex_lock(&g->lock);
	n = g->deferred[first % DEFER_BUCKETS];
	while (n && n->first != first)
		n = n->next_deferred;
	if (n)
		memcpy(buf, n->buf, (size_t)MIN_OF(nr, n->nr) * BLOCK_SIZE);
	os_mutex_unlock(&g->lock);
	return n != NULL;
}

bool txg_deferred_read(struct pool *pool, uint64_t first, void *buf,
		       uint32_t nr)
{
	struct txg_state *t = &pool->txg;
	bool found;

	os_mutex_lock(&t->lock);
	found = deferred_in(t->open, first, buf, nr) ||
		deferred_in(t->syncing, first, buf, nr);
	os_mutex_unlock(&t->lock);
	return found;
}

/* ---- commit ------------------------------------------------------------- */

/* What the root tree needs for the group's datasets; hold is ours alone. */
static int touch_datasets(struct op *op, struct txg_group *g)
{
	op->nr_splits = NODE_LEVEL_MAX;
	for (struct list *l = g->dirty_datasets.next; l != &g->dirty_datasets;
	     l = l->next) {
		struct dataset *ds =
			container_of(l, struct dataset, dirty_link);
		int rc = dataset_touch(op, ds);

		if (rc)
			return rc;
		/* or a full pool would need a block for each dataset */
		op->nr_splits += !dataset_store_fits(op, ds);
	}
	return op_ready(op);
}

static void store_datasets(struct op *op, struct txg_group *g)
{
	while (!list_empty(&g->dirty_datasets)) {
		struct dataset *ds = list_first(&g->dirty_datasets,
						struct dataset, dirty_link);

		os_rwlock_wrlock(&ds->lock);
		list_del(&ds->dirty_link);
		ds->dirty = false;
		dirty_seal(op, ds);
		dataset_store(op, ds);
		os_rwlock_unlock(&ds->lock);
		dataset_put(ds);
	}
	/* what they were is in notes now: group_empty() looks without hold */
	os_mutex_lock(&g->lock);
	g->nr_dirty_datasets = 0;
	os_mutex_unlock(&g->lock);
}

/*
 * End the open group.  On success @op goes on as the committer's, on the
 * sealed group; the superblock's fields are set to what was sealed.
 */
/* Write path 7 of 9; next: txg_apply_notes() */
static int seal(struct pool *pool, struct op *op)
{
	struct txg_state *t = &pool->txg;
	struct txg_group *fresh;
	uint64_t txg;
	int rc;

	while (!(fresh = group_new(t->open->seq + 1)))
		if (!os_wait_memory(&op->nr_waits))
			return -ENOMEM;
	/* partial records that are stored now are logged like any op */
	do {
		rc = ilog_record_new(op);
	} while (rc && os_wait_memory(&op->nr_waits));
	if (rc) {
		group_free(pool, fresh);
		return rc;
	}
	for (;;) {
		os_rwlock_wrlock(&t->hold);
		op->group = t->open;
		op->sealed_txg = t->sealed_txg;
		op->txg = __atomic_load_n(&t->open_txg, __ATOMIC_ACQUIRE);
		op->nr_shadows = 0;
		rc = touch_datasets(op, t->open);
		if (rc == 0)
			break;
		os_rwlock_unlock(&t->hold);
		rc = op_retry(op, rc);
		if (rc != -EAGAIN) {
			group_free(pool, fresh);
			return rc;
		}
	}
	ilog_record_begin(op);
	store_datasets(op, t->open);
	ilog_record_end(op);
	ilog_sealed(pool);
	txg = op->txg;
	pool->sb->h.txg = le64_of(txg);
	pool->sb->root_tree = tree_root_store(&pool->root_tree.root);
	pool->sb->next_dataset = le32_of(pool->next_dataset);
	os_mutex_lock(&t->lock);
	t->syncing = t->open;
	t->open = fresh;
	t->kicked = false;
	os_mutex_unlock(&t->lock);
	__atomic_store_n(&t->sealed_txg, txg, __ATOMIC_RELEASE);
	__atomic_store_n(&t->open_txg, txg + 1, __ATOMIC_RELEASE);
	os_rwlock_unlock(&t->hold);
	op_again(op);
	op->nr_splits = 1 + NODE_LEVEL_MAX;
	return 0;
}

/* Have memory for all that queue_writes() does, before it changes anything. */
static int batch_new(struct pool *pool, const struct txg_group *g,
		     struct io_batch **io)
{
	unsigned tries = 0;
	int rc;

	do {
		rc = io_batch_new(io);
		if (rc == 0)
			rc = io_batch_reserve(
				*io, g->nr_deferred + g->nr_dirty_nodes,
				space_map_nr_writes(pool->sm));
		if (rc)
			io_batch_free(*io);
	} while (rc && os_wait_memory(&tries));
	return rc;
}

static int queue_writes(struct pool *pool, struct txg_group *g,
			struct io_batch *io)
{
	int rc = 0;

	for (struct note_chunk *c = g->first_chunk; c && rc == 0; c = c->next)
		for (uint32_t i = 0; i < c->nr && rc == 0; i++)
			if (c->note[i].kind == NOTE_DEFER)
				rc = io_batch_add(io, c->note[i].first,
						  c->note[i].buf,
						  c->note[i].nr);
	for (struct list *l = g->dirty_nodes.next;
	     l != &g->dirty_nodes && rc == 0; l = l->next) {
		struct node *n = container_of(l, struct node, dirty_link);

		node_seal(n->page);
		rc = io_batch_add(io, n->blkno, n->page, 1);
	}
	if (rc)
		return rc;
	pool->sb->space_tree = tree_root_store(&pool->space_tree.root);
	return space_map_write(pool->sm, le64_get(pool->sb->h.txg), io,
			       pool->sb);
}

static int write_superblock(struct pool *pool, struct txg_group *g)
{
	ilog_commit_begin(pool, g->seq, pool->sb);
	/* a batch that failed may be in the ring: a superblock that counts on
	 * its place being empty would have it replayed once more */
	if (pool_failed(pool))
		return -EIO;
	pool->sb->commit_seq = le64_of(++pool->commit_seq);
	pool->sb->committed_sec = le64_of((uint64_t)os_time_now().tv_sec);
	return superblock_write(pool->dev, pool->sb);
}

/* Write path 9 of 9 */
static int write_group(struct pool *pool, struct txg_group *g)
{
	struct io_batch *io;
	const char *what = "preparing a commit";
	int rc = batch_new(pool, g, &io);

	if (rc)
		goto out;
	rc = queue_writes(pool, g, io);
	if (rc == 0 && mutated(MUTATE_SUPERBLOCK_FIRST))
		rc = write_superblock(pool, g);
	if (rc == 0) {
		what = "writing a commit";
		rc = io_batch_write(io, pool->dev);
	}
	if (rc == 0 && !mutated(MUTATE_COMMIT_UNFLUSHED)) {
		what = "flushing a commit";
		rc = blkdev_flush(pool->dev);
	}
	if (rc == 0 && !mutated(MUTATE_SUPERBLOCK_FIRST)) {
		what = "writing a superblock";
		rc = write_superblock(pool, g);
	}
	if (rc == 0) {
		what = "flushing a superblock";
		rc = blkdev_flush(pool->dev);
	}
	io_batch_free(io);
out:
	if (rc)
		pool_fail(pool, rc, what);
	ilog_commit_end(pool, rc == 0);
	return rc;
}

static void finish_group(struct pool *pool, struct txg_group *g)
{
	struct txg_state *t = &pool->txg;

	while (!list_empty(&g->dirty_nodes)) {
		struct node *n =
			list_first(&g->dirty_nodes, struct node, dirty_link);

		list_del(&n->dirty_link);
		node_cache_clean(pool->nc, n);
	}
	space_map_committed(pool->sm);
	os_mutex_lock(&t->lock);
	t->syncing = NULL;
	t->committed_seq = g->seq;
	t->committed_txg = le64_get(pool->sb->h.txg);
	os_mutex_unlock(&t->lock);
	group_free(pool, g);
}

static int commit_once(struct pool *pool, bool reap)
{
	struct txg_state *t = &pool->txg;
	uint64_t start = os_monotonic_ns(), sealed_before = t->sealed_txg, ns;
	struct txg_group *g;
	unsigned tries = 0;
	struct op op;
	int rc;

	/* nothing was begun: what memory is short of now, it may have soon */
	do {
		rc = op_begin(&op, pool, 0, OP_COMMITTER);
	} while (rc == -ENOMEM && os_wait_memory(&tries));
	if (rc == 0) {
		rc = seal(pool, &op);
		if (rc)
			op_end(&op);
	}
	if (rc) {
		pool_fail(pool, rc, "sealing a txg");
		return rc;
	}
	g = t->syncing;
	op.group = g;
	op.sealed_txg = sealed_before;
	op.txg = le64_get(pool->sb->h.txg);
	txg_apply_notes(pool, g, &op);
	if (reap) {
		reaper_step(pool, &op);
		txg_apply_notes(pool, g, &op);
	}
	op_end(&op);
	rc = pool_failed(pool) ? -EIO : write_group(pool, g);
	if (rc)
		return rc;
	finish_group(pool, g);
	ns = os_monotonic_ns() - start;
	__atomic_store_n(&pool->commit_ns_last, ns, __ATOMIC_RELAXED);
	if (ns > __atomic_load_n(&pool->commit_ns_max, __ATOMIC_RELAXED))
		__atomic_store_n(&pool->commit_ns_max, ns, __ATOMIC_RELAXED);
	__atomic_add_fetch(&pool->nr_commits, 1, __ATOMIC_RELAXED);
	return 0;
}

/*
 * t->lock held, nobody committing; drops it meanwhile.  Without @reap the
 * committer's thread is left what there is to reap.
 */
static int commit_locked(struct pool *pool, bool reap)
{
	struct txg_state *t = &pool->txg;
	int rc;

	t->committing = true;
	os_mutex_unlock(&t->lock);
	rc = commit_once(pool, reap);
	os_mutex_lock(&t->lock);
	t->committing = false;
	t->reap_skipped = reap ? 0 : t->reap_skipped + 1;
	if (!reap && __atomic_load_n(&pool->nr_dead, __ATOMIC_ACQUIRE) > 0)
		os_cond_signal(&t->work);
	os_cond_broadcast(&t->done);
	return rc;
}

int txg_commit(struct pool *pool)
{
	struct txg_state *t = &pool->txg;
	int rc;

	os_mutex_lock(&t->lock);
	while (t->committing)
		os_cond_wait(&t->done, &t->lock);
	rc = t->error ? t->error : commit_locked(pool, true);
	os_mutex_unlock(&t->lock);
	return rc;
}

bool txg_anything_open(struct pool *pool)
{
	struct txg_state *t = &pool->txg;
	bool any;

	os_mutex_lock(&t->lock);
	any = t->syncing || !group_empty(t->open);
	os_mutex_unlock(&t->lock);
	return any;
}

int txg_grow(struct pool *pool, uint64_t nr_blocks)
{
	struct txg_state *t = &pool->txg;
	int rc;

	/* as the committer, who alone may change the counts */
	os_mutex_lock(&t->lock);
	while (t->committing)
		os_cond_wait(&t->done, &t->lock);
	rc = t->error;
	t->committing = rc == 0;
	os_mutex_unlock(&t->lock);
	if (rc)
		return rc;
	/* the last superblock has no blocks beyond the old end */
	ilog_suspend(pool);
	rc = space_map_grow(pool->sm, nr_blocks, !pool->dev->is_file);
	if (rc == 0)
		rc = commit_once(pool, true);
	os_mutex_lock(&t->lock);
	t->committing = false;
	os_cond_broadcast(&t->done);
	os_mutex_unlock(&t->lock);
	return rc;
}

void txg_drop_datasets(struct pool *pool)
{
	struct txg_group *g = pool->txg.open;

	while (!list_empty(&g->dirty_datasets)) {
		struct dataset *ds = list_first(&g->dirty_datasets,
						struct dataset, dirty_link);

		list_del(&ds->dirty_link);
		dataset_put(ds);
	}
}

/* ---- the committer's thread --------------------------------------------- */

static void committer(void *arg)
{
	struct pool *pool = arg;
	struct txg_state *t = &pool->txg;
	uint32_t period = pool->options.commit_ms;
	uint64_t rests_until = 0, waited_ms = 0;

	os_mutex_lock(&t->lock);
	while (!t->stop) {
		bool dead =
			__atomic_load_n(&pool->nr_dead, __ATOMIC_ACQUIRE) > 0;
		uint64_t start = os_monotonic_ns(), end;
		bool rested = start >= rests_until;

		if (t->error ||
		    (!t->kicked && !(dead && rested) &&
		     (waited_ms < period || group_empty(t->open)))) {
			uint64_t ms = period;

			/* all waits together are one period */
			if (waited_ms < period)
				ms -= waited_ms;
			else
				waited_ms = 0;
			if (dead && !rested)
				ms = MIN_OF((rests_until - start) / 1000000 + 1,
					    ms);
			waited_ms = os_cond_wait_ms(&t->work, &t->lock,
						    (uint32_t)ms)
					    ? 0
					    : waited_ms + ms;
			continue;
		}
		waited_ms = 0;
		if (t->committing) {
			os_cond_wait(&t->done, &t->lock);
			continue;
		}
		commit_locked(pool, rested);
		end = os_monotonic_ns();
		if (dead && rested)
			rests_until = end + REAPER_REST * (end - start);
	}
	os_mutex_unlock(&t->lock);
}

int txg_start(struct pool *pool)
{
	return os_thread_start(&pool->txg.thread, "dbs-commit", committer,
			       pool);
}

int txg_stop(struct pool *pool)
{
	struct txg_state *t = &pool->txg;

	os_mutex_lock(&t->lock);
	t->stop = true;
	os_cond_signal(&t->work);
	os_mutex_unlock(&t->lock);
	os_thread_join(&t->thread);
	return 0;
}
