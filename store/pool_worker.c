/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool's worker: one thread that purges unlinked files and counts charged
 * bytes anew, dataset by dataset, as it is asked to.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/pool_internal.h"
#include "store/util.h"

void pool_worker_init(struct pool *pool)
{
	os_mutex_init(&pool->purge_lock);
	os_cond_init(&pool->purge_work);
}

void pool_worker_release(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->nr_purge; i++)
		dataset_put(pool->purge[i]);
	free(pool->purge);
	os_mutex_release(&pool->purge_lock);
	os_cond_release(&pool->purge_work);
}

static void work_on(struct dataset *ds)
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

static void worker(void *arg)
{
	struct pool *pool = arg;

	os_mutex_lock(&pool->purge_lock);
	while (!pool->purge_stop) {
		struct dataset *ds;

		if (pool->nr_purge == 0) {
			os_cond_wait(&pool->purge_work, &pool->purge_lock);
			continue;
		}
		ds = pool->purge[--pool->nr_purge];
		pool->purge_busy = true;
		os_mutex_unlock(&pool->purge_lock);
		work_on(ds);
		dataset_put(ds);
		os_mutex_lock(&pool->purge_lock);
		pool->purge_busy = false;
		os_cond_broadcast(&pool->purge_work);
	}
	os_mutex_unlock(&pool->purge_lock);
}

void pool_want_purge(struct dataset *ds)
{
	struct pool *pool = ds->pool;

	/* after replay all that is left is found anyway */
	if (pool->read_only || pool->replay.on)
		return;
	if (pool->options.no_background) {
		work_on(ds);
		return;
	}
	os_mutex_lock(&pool->purge_lock);
	for (uint32_t i = 0; i < pool->nr_purge; i++)
		if (pool->purge[i] == ds)
			goto out;
	if (pool->nr_purge == pool->cap_purge) {
		uint32_t cap = MAX_OF(2 * pool->cap_purge, 16u);
		struct dataset **p = reallocarray(pool->purge, cap, sizeof(*p));

		/* then it happens when the pool is opened again */
		if (!p)
			goto out;
		pool->purge = p;
		pool->cap_purge = cap;
	}
	dataset_get(ds);
	pool->purge[pool->nr_purge++] = ds;
	os_cond_broadcast(&pool->purge_work);
out:
	os_mutex_unlock(&pool->purge_lock);
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

	os_mutex_lock(&pool->purge_lock);
	while (!pool->purge_stop) {
		int rc;

		os_mutex_unlock(&pool->purge_lock);
		if (pool_failed(pool) ||
		    !space_map_zero_begin(pool->sm, ZERO_AHEAD, &first, &nr)) {
			os_mutex_lock(&pool->purge_lock);
			if (!pool->purge_stop)
				os_cond_wait_ms(&pool->purge_work,
						&pool->purge_lock,
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
		os_mutex_lock(&pool->purge_lock);
	}
	os_mutex_unlock(&pool->purge_lock);
}

int pool_worker_start(struct pool *pool)
{
	struct space_map_stat st;
	int rc =
		os_thread_start(&pool->purge_thread, "dbs-purge", worker, pool);

	space_map_stat(pool->sm, &st);
	if (rc == 0 && pool->dev->is_file && st.high_water < st.nr_blocks)
		rc = os_thread_start(&pool->zero_thread, "dbs-zero", zeroer,
				     pool);
	return rc;
}

void pool_worker_stop(struct pool *pool)
{
	os_mutex_lock(&pool->purge_lock);
	pool->purge_stop = true;
	os_cond_broadcast(&pool->purge_work);
	os_mutex_unlock(&pool->purge_lock);
	os_thread_join(&pool->purge_thread);
	os_thread_join(&pool->zero_thread);
}

void pool_worker_wait(struct pool *pool)
{
	os_mutex_lock(&pool->purge_lock);
	while ((pool->nr_purge > 0 || pool->purge_busy) && !pool->purge_stop)
		os_cond_wait(&pool->purge_work, &pool->purge_lock);
	os_mutex_unlock(&pool->purge_lock);
}

int pool_wait_space(void *arg)
{
	struct pool *pool = arg;
	struct space_map_stat st;

	space_map_stat(pool->sm, &st);
	if (!txg_anything_open(pool) && st.nr_deferred == 0 &&
	    __atomic_load_n(&pool->nr_dead, __ATOMIC_ACQUIRE) == 0)
		return -ENOSPC;
	return txg_commit(pool);
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
