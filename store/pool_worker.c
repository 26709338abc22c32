/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool's work in the background.  One thread purges unlinked files and
 * counts charged bytes anew, one stores partial records before their cache is
 * full, dataset by dataset, as they are asked to; one writes zeros ahead.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/pool_internal.h"
#include "store/scrub_internal.h"
#include "store/util.h"

static void purge(struct dataset *ds)
{
	bool recount;
	int rc;

	os_rwlock_rdlock(&ds->lock);
	recount = ds->flags & DATASET_RECOUNT;
	os_rwlock_unlock(&ds->lock);
	if (recount)
		dataset_recount(ds);
	if (ds->snapshot)
		return;
	rc = file_purge_orphans(ds);
	if (rc && rc != -ESTALE && rc != -EROFS)
		log_warn("unlinked files cannot be purged dataset=%s error=%d",
			 ds->name, -rc);
}

static void flush(struct dataset *ds)
{
	/* what fails here stays dirty, and the next writer or commit has it */
	(void)dirty_flush_early(ds);
}

void pool_worker_init(struct pool *pool)
{
	os_mutex_init(&pool->work_lock);
	os_cond_init(&pool->work);
	pool->purge = (struct pool_queue){.pool = pool, .work = purge};
	pool->flush = (struct pool_queue){.pool = pool, .work = flush};
}

static void queue_release(struct pool_queue *q)
{
	for (uint32_t i = 0; i < q->nr; i++)
		dataset_put(q->ds[i]);
	free(q->ds);
}

void pool_worker_release(struct pool *pool)
{
	scrub_free(pool);
	queue_release(&pool->purge);
	queue_release(&pool->flush);
	os_mutex_release(&pool->work_lock);
	os_cond_release(&pool->work);
}

static void worker(void *arg)
{
	struct pool_queue *q = arg;
	struct pool *pool = q->pool;

	os_mutex_lock(&pool->work_lock);
	while (!pool->work_stop) {
		struct dataset *ds;

		if (q->nr == 0) {
			os_cond_wait(&pool->work, &pool->work_lock);
			continue;
		}
		ds = q->ds[--q->nr];
		q->busy = true;
		os_mutex_unlock(&pool->work_lock);
		q->work(ds);
		dataset_put(ds);
		os_mutex_lock(&pool->work_lock);
		q->busy = false;
		os_cond_broadcast(&pool->work);
	}
	os_mutex_unlock(&pool->work_lock);
}

static void want(struct pool_queue *q, struct dataset *ds)
{
	struct pool *pool = q->pool;

	/* after replay all that is left is found anyway */
	if (pool->read_only || pool->replay.on)
		return;
	if (pool->options.no_background) {
		q->work(ds);
		return;
	}
	os_mutex_lock(&pool->work_lock);
	for (uint32_t i = 0; i < q->nr; i++)
		if (q->ds[i] == ds)
			goto out;
	if (q->nr == q->cap) {
		uint32_t cap = MAX_OF(2 * q->cap, 16u);
		struct dataset **p = reallocarray(q->ds, cap, sizeof(*p));

		/* then it happens later, at the latest when opened again */
		if (!p)
			goto out;
		q->ds = p;
		q->cap = cap;
	}
	dataset_get(ds);
	q->ds[q->nr++] = ds;
	os_cond_broadcast(&pool->work);
out:
	os_mutex_unlock(&pool->work_lock);
}

void pool_want_purge(struct dataset *ds)
{
	want(&ds->pool->purge, ds);
}

void pool_want_flush(struct dataset *ds)
{
	want(&ds->pool->flush, ds);
}

/*
 * Keep written space ahead of the allocator, in a pool whose file has some
 * left that was never written.
 */
#define ZERO_AHEAD   (UINT64_C(256) << 20 >> BLOCK_SHIFT) /* blocks */
#define ZERO_PIECE   ((size_t)1 << 20)
#define ZERO_LOOK_MS 200u

static int zero_region(struct pool *pool, uint64_t first, uint32_t nr)
{
	uint8_t *zeros = blkdev_buffer_new(ZERO_PIECE);
	int rc = zeros ? 0 : -ENOMEM;

	while (nr > 0 && rc == 0) {
		uint32_t n =
			(uint32_t)MIN_OF((size_t)nr, ZERO_PIECE / BLOCK_SIZE);

		rc = blkdev_write(pool->dev, zeros, (size_t)n * BLOCK_SIZE,
				  first * BLOCK_SIZE);
		first += n;
		nr -= n;
	}
	free(zeros);
	return rc;
}

static void zeroer(void *arg)
{
	struct pool *pool = arg;
	uint64_t first;
	uint32_t nr;

	os_mutex_lock(&pool->work_lock);
	while (!pool->work_stop) {
		int rc;

		os_mutex_unlock(&pool->work_lock);
		if (pool_failed(pool) ||
		    !space_map_zero_begin(pool->sm, ZERO_AHEAD, &first, &nr)) {
			os_mutex_lock(&pool->work_lock);
			if (!pool->work_stop)
				os_cond_wait_ms(&pool->work, &pool->work_lock,
						ZERO_LOOK_MS);
			continue;
		}
		rc = zero_region(pool, first, nr);
		/* without zeros it is slower, and no less right */
		space_map_zero_end(pool->sm);
		if (rc)
			log_warn("space cannot be written ahead block=%llu "
				 "error=%d",
				 (unsigned long long)first, -rc);
		os_mutex_lock(&pool->work_lock);
	}
	os_mutex_unlock(&pool->work_lock);
}

int pool_worker_start(struct pool *pool)
{
	struct space_map_stat st;
	int rc = os_thread_start(&pool->purge.thread, "dbs-purge", worker,
				 &pool->purge);

	if (rc == 0)
		rc = os_thread_start(&pool->flush.thread, "dbs-flush", worker,
				     &pool->flush);

	space_map_stat(pool->sm, &st);
	if (rc == 0 && pool->dev->is_file && st.high_water < st.nr_blocks)
		rc = os_thread_start(&pool->zero_thread, "dbs-zero", zeroer,
				     pool);
	return rc;
}

void pool_worker_stop(struct pool *pool)
{
	scrub_close(pool);
	os_mutex_lock(&pool->work_lock);
	pool->work_stop = true;
	os_cond_broadcast(&pool->work);
	os_mutex_unlock(&pool->work_lock);
	os_thread_join(&pool->purge.thread);
	os_thread_join(&pool->flush.thread);
	os_thread_join(&pool->zero_thread);
}

void pool_worker_wait(struct pool *pool)
{
	os_mutex_lock(&pool->work_lock);
	while ((pool->purge.nr > 0 || pool->purge.busy) && !pool->work_stop)
		os_cond_wait(&pool->work, &pool->work_lock);
	os_mutex_unlock(&pool->work_lock);
}

static int wait_space(struct pool *pool, bool unheld)
{
	struct space_map_stat st;
	bool dead;
	int rc;

	space_map_stat(pool->sm, &st);
	dead = __atomic_load_n(&pool->nr_dead, __ATOMIC_ACQUIRE) > 0;
	if (!txg_anything_open(pool) && st.nr_deferred == 0 && !dead)
		return -ENOSPC;
	scrub_make_room(pool);
	/* what was freed is handed out by a commit that nobody holds up */
	if (unheld)
		space_map_wait_unheld(pool->sm);
	rc = txg_commit(pool);
	/* what a commit reaps on a busy host may be little */
	return rc ? rc : dead;
}

int pool_wait_space(void *pool)
{
	return wait_space(pool, true);
}

int pool_commit_space(struct pool *pool)
{
	return wait_space(pool, false);
}

int pool_wait_reaped(struct pool *pool)
{
	struct space_map_stat st;
	int rc = 0;

	if (pool->read_only)
		return 0;
	while (rc == 0) {
		pool_worker_wait(pool);
		space_map_stat(pool->sm, &st);
		if (__atomic_load_n(&pool->nr_dead, __ATOMIC_ACQUIRE) == 0 &&
		    !txg_anything_open(pool) &&
		    (st.nr_deferred == 0 || space_map_held(pool->sm)))
			return 0;
		rc = txg_commit(pool);
	}
	return rc;
}
