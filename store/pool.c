/* SPDX-License-Identifier: Apache-2.0 */
#include "store/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/ilog_replay.h"
#include "store/mutate.h"
#include "store/pool_internal.h"
#include "store/util.h"

#define CACHE_BYTES_DEFAULT ((size_t)96 << 20)
#define COMMIT_MS_DEFAULT   5000u

void store_error_set(struct store_error *error, const char *fmt, ...)
{
	va_list ap;

	if (!error)
		return;
	va_start(ap, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, ap);
	va_end(ap);
}

struct blkdev *pool_dev(struct pool *pool)
{
	return pool->dev;
}

struct space_map *pool_space(struct pool *pool)
{
	return pool->sm;
}

uint64_t pool_hash_seed(const struct pool *pool)
{
	return pool->hash_seed;
}

void pool_count_error(struct pool *pool)
{
	__atomic_add_fetch(&pool->nr_errors, 1, __ATOMIC_RELAXED);
}

int pool_new(struct blkdev *dev, const struct superblock *sb,
	     const struct pool_options *options, struct pool **out)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	int rc;

	if (!pool)
		return -ENOMEM;
	pool->dev = dev;
	if (options)
		pool->options = *options;
	if (!pool->options.cache_bytes)
		pool->options.cache_bytes = CACHE_BYTES_DEFAULT;
	if (!pool->options.commit_ms)
		pool->options.commit_ms = COMMIT_MS_DEFAULT;
	pool->read_only = pool->options.read_only || dev->read_only;
	memcpy(pool->uuid, sb->uuid, sizeof(pool->uuid));
	pool->id = le_load(sb->uuid, 8);
	memcpy(pool->name, sb->name, POOL_NAME_MAX);
	pool->hash_seed = le64_get(sb->hash_seed);
	pool->created = (int64_t)le64_get(sb->created_sec);
	pool->commit_seq = le64_get(sb->commit_seq);
	pool->next_dataset = le32_get(sb->next_dataset);
	pool->root_tree.root = tree_root_load(&sb->root_tree);
	pool->root_tree.sticky = true;
	pool->space_tree.root = tree_root_load(&sb->space_tree);
	os_mutex_init(&pool->names);
	pool_worker_init(pool);
	rc = txg_init(pool);
	pool->txg.open_txg = le64_get(sb->h.txg) + 1;
	pool->txg.sealed_txg = le64_get(sb->h.txg);
	pool->txg.committed_txg = le64_get(sb->h.txg);
	if (rc == 0) {
		pool->sb = blkdev_buffer_new(BLOCK_SIZE);
		rc = pool->sb ? 0 : -ENOMEM;
	}
	if (rc == 0) {
		memcpy(pool->sb, sb, sizeof(*sb));
		rc = node_cache_new(dev, pool->id, pool->options.cache_bytes,
				    &pool->nc);
	}
	if (rc == 0)
		node_cache_set_newest(pool->nc, le64_get(sb->h.txg));
	if (rc == 0)
		rc = space_map_open(dev, pool->id, sb, &pool->sm);
	if (rc) {
		pool_free(pool);
		return rc;
	}
	space_map_on_full(pool->sm, pool_wait_space, pool);
	*out = pool;
	return 0;
}

void pool_free(struct pool *pool)
{
	pool_worker_release(pool);
	/* the groups hold references to datasets and nodes */
	if (pool->txg.open)
		txg_drop_datasets(pool);
	dataset_free_all(pool);
	ilog_free(pool);
	txg_release(pool);
	node_cache_free(pool->nc);
	space_map_free(pool->sm);
	free(pool->sb);
	os_mutex_release(&pool->names);
	free(pool);
}

/* Ask the worker for what a crash or a close left undone. */
static void resume_work(struct pool *pool)
{
	for (uint32_t b = 0; b < DATASET_BUCKETS; b++)
		for (struct dataset *ds = pool->by_id[b]; ds;
		     ds = ds->next_by_id)
			if ((ds->flags & DATASET_RECOUNT) ||
			    (!ds->snapshot && ds->nr_orphans > 0))
				pool_want_purge(ds);
}

/* What the newest superblock has; nothing is written. */
static int load(struct blkdev *dev, const struct pool_options *options,
		bool read_only, struct pool **out, struct store_error *error)
{
	struct superblock *sb = calloc(1, sizeof(*sb));
	struct pool_options o = {.read_only = false};
	struct pool *pool = NULL;
	int rc;

	if (!sb)
		return -ENOMEM;
	if (options)
		o = *options;
	o.read_only = read_only;
	rc = superblock_read(dev, sb, read_only, error);
	/* T2: who wrote it was perhaps killed before its flush */
	if (rc == 0 && !read_only && !mutated(MUTATE_OPEN_UNFLUSHED))
		rc = blkdev_flush(dev);
	if (rc == 0)
		rc = pool_new(dev, sb, &o, &pool);
	free(sb);
	if (rc)
		return rc;
	rc = dataset_load_all(pool, error);
	if (rc == 0) {
		rc = reaper_open(pool);
		/* who only reads needs nothing of it */
		if (rc && rc != -ENOMEM && pool->read_only)
			rc = 0;
		if (rc == -ENOMEM)
			store_error_set(error, "there is not enough memory to "
					       "open the pool");
		else if (rc)
			store_error_set(error,
					"the pool is damaged: its space tree "
					"cannot be read; 'dbs pool check "
					"--repair' can build it anew");
	}
	if (rc == 0 && !pool->read_only)
		rc = ilog_new(pool);
	if (rc) {
		pool_free(pool);
		return rc;
	}
	if (!pool->read_only)
		pool->sb->flags = le32_of(0);
	*out = pool;
	return 0;
}

/* Who only reads sees the last commit; @why: what is missing then, or "". */
static void look_at_log(struct pool *pool, struct store_error *why)
{
	struct ilog_scan scan;

	if (le32_get(pool->sb->flags) & SUPERBLOCK_CLEAN)
		return;
	if (ilog_scan_device(pool->dev, pool->sb, &scan, why) == 0 &&
	    !scan.damaged && !scan.newer && scan.nr_records > 0)
		store_error_set(why,
				"the pool was not closed, and %" PRIu64
				" log records wait to be replayed, which needs "
				"write access: this is the state of the last "
				"commit",
				scan.nr_records);
}

/* The pool is open, read-only, and older than it should be. */
static void is_older(struct pool *pool, const struct store_error *why,
		     struct store_error *error)
{
	log_warn("pool is open read-only, without its intent log pool=%s: %s",
		 pool->name, why->text);
	snprintf(pool->why, sizeof(pool->why), "%s", why->text);
	if (error)
		*error = *why;
}

/*
 * load(), and what the intent log has beyond that.  A log that cannot be
 * replayed opens the pool read-only, as of the superblock: never silently
 * older.
 */
static int load_and_replay(struct blkdev *dev,
			   const struct pool_options *options, bool read_only,
			   struct pool **out, struct store_error *error)
{
	struct store_error why = {""};
	struct ilog_scan scan;
	struct pool *pool;
	size_t len;
	int rc = load(dev, options, read_only, &pool, error);

	if (rc == 0 && pool->read_only) {
		look_at_log(pool, &why);
		if (why.text[0])
			is_older(pool, &why, error);
	}
	if (rc || pool->read_only) {
		*out = pool;
		return rc;
	}
	rc = ilog_replay(pool, &scan, &why);
	if (rc == 0) {
		*out = pool;
		return 0;
	}
	len = strlen(why.text);
	if (rc == -EUCLEAN || rc == -EBADMSG || rc == -EIO)
		snprintf(why.text + len, sizeof(why.text) - len,
			 "%s'dbs pool check --repair --discard-log' goes on "
			 "without what is lost%s",
			 len ? "; " : "", rc == -EIO ? ", if it stays so" : "");
	if (error)
		*error = why;
	log_error("intent log not replayed pool=%s error=%d: %s", pool->name,
		  -rc, why.text);
	pool_free(pool);
	/* damage stays; an error of the device may go away */
	if (rc != -EUCLEAN && rc != -EBADMSG)
		return rc;
	rc = load(dev, options, true, out, NULL);
	if (rc == 0)
		is_older(*out, &why, error);
	return rc;
}

int pool_replay_until(struct blkdev *dev, struct ilog_place *end,
		      struct store_error *error)
{
	const struct pool_options o = {.no_background = true};
	struct pool *pool;
	int rc = load(dev, &o, false, &pool, error);

	if (rc)
		return rc;
	rc = ilog_replay_until(pool, end, error);
	pool_free(pool);
	return rc;
}

int pool_open_on(struct blkdev *dev, const struct pool_options *options,
		 struct pool **out, struct store_error *error)
{
	bool read_only = (options && options->read_only) || dev->read_only;
	struct pool *pool;
	int rc = load_and_replay(dev, options, read_only, &pool, error);

	if (rc)
		return rc;
	if (!pool->read_only && !pool->options.no_background) {
		rc = txg_start(pool);
		if (rc == 0)
			rc = pool_worker_start(pool);
		if (rc) {
			/* one of its threads may run */
			pool_worker_stop(pool);
			txg_stop(pool);
			pool_free(pool);
			return rc;
		}
	}
	if (!pool->read_only)
		resume_work(pool);
	*out = pool;
	return 0;
}

void pool_settle(const char *path)
{
	const struct pool_options o = {.no_background = true};
	struct superblock *sb = calloc(1, sizeof(*sb));
	struct blkdev *dev = NULL;
	struct store_error why;
	struct ilog_scan scan;
	struct pool *pool;
	bool waits = false;

	if (sb &&
	    blkdev_file_open(path, BLKDEV_READ_ONLY | BLKDEV_NO_LOCK, &dev,
			     NULL) == 0 &&
	    superblock_read(dev, sb, true, NULL) == 0 &&
	    !(le32_get(sb->flags) & SUPERBLOCK_CLEAN))
		waits = ilog_scan_device(dev, sb, &scan, &why) == 0 &&
			scan.nr_records > 0;
	blkdev_close(dev);
	free(sb);
	/* opening it replays; what cannot be is told by who opens it next */
	if (waits && pool_open(path, &o, &pool, NULL) == 0)
		pool_close(pool);
}

int pool_open(const char *path, const struct pool_options *options,
	      struct pool **pool, struct store_error *error)
{
	bool read_only = options && options->read_only;
	struct blkdev *dev;
	int owner = 0, rc;

	if (read_only)
		pool_settle(path);
	rc = blkdev_file_open(path, read_only ? BLKDEV_READ_ONLY : 0, &dev,
			      &owner);
	if (rc == -EBUSY && owner > 0)
		store_error_set(error, "pool '%s' is in use by pid %d", path,
				owner);
	else if (rc == -EBUSY)
		store_error_set(error, "'%s' is in use", path);
	else if (rc == -ENOTBLK)
		store_error_set(error,
				"'%s' is neither a file nor a block device",
				path);
	else if (rc)
		store_error_set(error, "pool '%s' cannot be opened: %s", path,
				strerror(-rc));
	if (rc)
		return rc;
	if (error)
		error->text[0] = '\0';
	rc = pool_open_on(dev, options, pool, error);
	if (rc) {
		struct store_error why = {""};

		if (error)
			why = *error;
		store_error_set(error, "pool '%.200s' cannot be opened: %.280s",
				path, why.text[0] ? why.text : strerror(-rc));
		blkdev_close(dev);
	}
	return rc;
}

struct timespec pool_time(const struct pool *pool)
{
	return pool->replay.on ? pool->replay.now : os_time_now();
}

uint64_t pool_sealed(const struct pool *pool, uint64_t sealed)
{
	return pool->replay.on ? pool->replay.sealed : sealed;
}

int pool_sync(struct pool *pool)
{
	return txg_sync(pool);
}

int pool_close(struct pool *pool)
{
	struct blkdev *dev = pool->dev;
	int rc = 0;

	pool_worker_stop(pool);
	txg_stop(pool);
	if (!pool->read_only) {
		rc = pool_failed(pool) ? pool->txg.error : 0;
		if (rc == 0 &&
		    (txg_anything_open(pool) || pool->nr_commits > 0)) {
			pool->sb->flags = le32_of(SUPERBLOCK_CLEAN);
			rc = txg_commit(pool);
		}
	}
	pool_free(pool);
	blkdev_close(dev);
	return rc;
}

void pool_abandon(struct pool *pool)
{
	struct blkdev *dev = pool->dev;

	pool_worker_stop(pool);
	txg_stop(pool);
	pool_free(pool);
	blkdev_close(dev);
}

/* What no commit changes. */
static void stat_superblock(const struct superblock *sb, struct pool_stat *st)
{
	memcpy(st->name, sb->name, sizeof(st->name) - 1);
	memcpy(st->uuid, sb->uuid, sizeof(st->uuid));
	st->created = (int64_t)le64_get(sb->created_sec);
	st->version = le32_get(sb->version);
	st->compat = le64_get(sb->compat);
	st->ro_compat = le64_get(sb->ro_compat);
	st->incompat = le64_get(sb->incompat);
}

void pool_stat(struct pool *pool, struct pool_stat *st)
{
	struct node_cache_stat nc;
	struct space_map_stat sm;
	struct ilog_stat log;

	memset(st, 0, sizeof(*st));
	space_map_stat(pool->sm, &sm);
	node_cache_stat(pool->nc, &nc);
	os_mutex_lock(&pool->names);
	stat_superblock(pool->sb, st);
	st->nr_datasets = pool->nr_datasets;
	st->nr_snapshots = pool->nr_snapshots;
	os_mutex_unlock(&pool->names);
	os_mutex_lock(&pool->txg.lock);
	st->txg = pool->txg.committed_txg;
	os_mutex_unlock(&pool->txg.lock);
	st->size = sm.nr_blocks << BLOCK_SHIFT;
	st->free = sm.nr_free > sm.nr_reserve
			   ? (sm.nr_free - sm.nr_reserve) << BLOCK_SHIFT
			   : 0;
	st->deferred = sm.nr_deferred << BLOCK_SHIFT;
	st->allocated = (sm.nr_blocks - sm.nr_free - sm.nr_deferred)
			<< BLOCK_SHIFT;
	st->reserved = sm.nr_reserve << BLOCK_SHIFT;
	st->high_water = sm.high_water << BLOCK_SHIFT;
	st->dead = __atomic_load_n(&pool->nr_dead, __ATOMIC_ACQUIRE);
	st->nr_commits = __atomic_load_n(&pool->nr_commits, __ATOMIC_RELAXED);
	st->nr_errors = __atomic_load_n(&pool->nr_errors, __ATOMIC_RELAXED);
	st->cache_bytes = nc.nr_frames * BLOCK_SIZE;
	st->cache_used = nc.nr_used * BLOCK_SIZE;
	st->dirty_bytes = nc.nr_dirty * BLOCK_SIZE;
	st->commit_ns_last =
		__atomic_load_n(&pool->commit_ns_last, __ATOMIC_RELAXED);
	ilog_stat(pool, &log);
	st->log_bytes = log.ring;
	st->log_used = log.used;
	st->nr_batches = log.nr_batches;
	st->nr_log_commits = log.nr_commits;
	st->commit_ns_max =
		__atomic_load_n(&pool->commit_ns_max, __ATOMIC_RELAXED);
	st->failed = pool_failed(pool);
	st->read_only = pool->read_only || st->failed;
	memcpy(st->why, pool->why, sizeof(st->why));
}

int pool_probe(const char *path, struct pool_stat *st,
	       struct store_error *error)
{
	struct superblock *sb = calloc(1, sizeof(*sb));
	struct blkdev *dev = NULL;
	int rc = sb ? blkdev_file_open(path, BLKDEV_READ_ONLY | BLKDEV_NO_LOCK,
				       &dev, NULL)
		    : -ENOMEM;

	memset(st, 0, sizeof(*st));
	if (rc == 0)
		rc = superblock_read(dev, sb, true, error);
	else
		store_error_set(error, "'%s' cannot be opened: %s", path,
				strerror(-rc));
	if (rc == 0) {
		stat_superblock(sb, st);
		st->size = le64_get(sb->nr_blocks) << BLOCK_SHIFT;
		st->txg = le64_get(sb->h.txg);
	}
	blkdev_close(dev);
	free(sb);
	return rc;
}
