/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ilog.c - the intent log while the pool is open: L2, L3, L5, L6.
 *
 * What opening after a crash makes of it: test_ilog_replay.c, tests/crash/.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "store/ilog_internal.h"
#include "store/pool_internal.h"
#include "tests/lib/file_pool.h"

static struct file_pool fp;
static struct blkdev *faulty;
static uint64_t file;

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static int setup(void **state)
{
	struct blkdev *mem;

	(void)state;
	log_set_sink(NULL);
	CHECK_OK(blkdev_mem_open(UINT64_C(64) << 20, &mem));
	CHECK_OK(blkdev_faulty_open(mem, &faulty));
	file_pool_init_on(&fp, faulty, NULL);
	file = make_file(fp.ds, INO_ROOT, "f");
	/* the log's epoch is on disk from the first commit on */
	CHECK_OK(pool_sync(fp.pool));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	file_pool_release(&fp);
	return 0;
}

static uint64_t flushes(void)
{
	return blkdev_faulty_calls(faulty, BLKDEV_CALL_FLUSH);
}

static uint64_t writes(void)
{
	return blkdev_faulty_calls(faulty, BLKDEV_CALL_WRITE);
}

static struct ilog_stat stat_of(void)
{
	struct ilog_stat st;

	ilog_stat(fp.pool, &st);
	return st;
}

static void fill(uint64_t offset, size_t len, int byte)
{
	uint8_t buf[65536];

	memset(buf, byte, sizeof(buf));
	write_at(fp.ds, file, offset, buf, len);
}

static void ilog__fsync_is_one_write_and_one_flush(void **state)
{
	uint64_t nr_flushes, nr_writes, commits = fp.pool->nr_commits;

	(void)state;
	fill(0, 500, 'a');
	nr_flushes = flushes();
	nr_writes = writes();
	CHECK_OK(file_fsync(fp.ds, file));
	CHECK_UINT(flushes(), nr_flushes + 1);
	CHECK_UINT(writes(), nr_writes + 1);
	CHECK_UINT(fp.pool->nr_commits, commits);
	CHECK_UINT(stat_of().nr_batches, 1);
}

static void ilog__nothing_new_needs_no_flush(void **state)
{
	uint64_t before;

	(void)state;
	fill(0, 500, 'a');
	CHECK_OK(file_fsync(fp.ds, file));
	before = flushes();
	CHECK_OK(file_fsync(fp.ds, file));
	CHECK_OK(file_fsync(fp.ds, INO_ROOT));
	CHECK_UINT(flushes(), before);
	fill(0, 1, 'b');
	CHECK_OK(pool_sync(fp.pool));
	before = flushes();
	CHECK_OK(file_fsync(fp.ds, file));
	CHECK_UINT(flushes(), before);
}

static void ilog__datasets_change_with_one_flush(void **state)
{
	struct dataset *snap, *clone;
	uint64_t before = flushes(), commits = fp.pool->nr_commits;

	(void)state;
	fill(0, 500, 'a');
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET "@s", &snap));
	CHECK_OK(dataset_clone(snap, "c", NULL));
	CHECK_OK(dataset_restore(fp.ds, snap, "kept", 0));
	CHECK_OK(dataset_open(fp.pool, "c", &clone));
	CHECK_OK(dataset_rename(clone, "d"));
	CHECK_OK(dataset_set_user(clone, "user:k", "v"));
	CHECK_OK(dataset_destroy(clone, 0));
	dataset_put(clone);
	dataset_put(snap);
	CHECK_UINT(flushes(), before + 6);
	CHECK_UINT(fp.pool->nr_commits, commits);
}

static void ilog__full_ring_makes_a_commit_instead(void **state)
{
	uint64_t batches = stat_of().ring / BLOCK_SIZE;

	(void)state;
	for (uint64_t i = 0; i < batches + 10; i++) {
		fill(i % 1000, 1, (int)i);
		CHECK_OK(file_fsync(fp.ds, file));
		CHECK(stat_of().used <= stat_of().ring);
	}
	CHECK(stat_of().nr_commits > 0);
	CHECK(stat_of().nr_batches > batches / 2);
}

static void ilog__failed_flush_fails_every_fsync_after_it(void **state)
{
	(void)state;
	log_set_sink(no_log);
	fill(0, 500, 'a');
	blkdev_faulty_fail(faulty, BLKDEV_CALL_FLUSH, 1, -EIO, false, false);
	CHECK_INT(file_fsync(fp.ds, file), -EIO);
	CHECK_INT(file_fsync(fp.ds, file), -EIO);
	CHECK_INT(pool_sync(fp.pool), -EIO);
	CHECK(pool_failed(fp.pool));
	file_pool_reopen(&fp, true);
}

static void ilog__a_lost_log_record_is_made_durable_by_a_commit(void **state)
{
	uint64_t commits = fp.pool->nr_commits;
	struct ilog *l = fp.pool->ilog;

	(void)state;
	fill(0, 500, 'a');
	list_first(&l->gathered, struct ilog_record, link)->lost = true;
	fill(500, 500, 'a');
	CHECK_OK(file_fsync(fp.ds, file));
	CHECK_UINT(fp.pool->nr_commits, commits + 1);
	CHECK_UINT(stat_of().nr_batches, 0);
}

static void ilog__suspended_writes_no_batch_before_a_commit(void **state)
{
	uint64_t commits = fp.pool->nr_commits;

	(void)state;
	fill(0, 500, 'a');
	ilog_suspend(fp.pool);
	CHECK_OK(file_fsync(fp.ds, file));
	CHECK_UINT(stat_of().nr_batches, 0);
	CHECK_UINT(fp.pool->nr_commits, commits + 1);
	fill(0, 500, 'b');
	CHECK_OK(file_fsync(fp.ds, file));
	CHECK_UINT(stat_of().nr_batches, 1);
}

static void ilog__commit_drops_what_was_not_written(void **state)
{
	(void)state;
	fill(0, 500, 'a');
	CHECK(stat_of().gathered > 500);
	CHECK_OK(pool_sync(fp.pool));
	CHECK_UINT(stat_of().gathered, 0);
	CHECK_UINT(stat_of().nr_batches, 0);
}

/* -- several threads -------------------------------------------------------- */

#define THREADS 4
#define ROUNDS	200

static void *sync_often(void *arg)
{
	uint64_t ino = (uint64_t)(uintptr_t)arg;

	for (int i = 0; i < ROUNDS; i++) {
		write_at(fp.ds, ino, (uint64_t)i * 7, "0123456", 7);
		CHECK_OK(file_fsync(fp.ds, ino));
	}
	return NULL;
}

static void ilog__threads_that_wait_share_batches(void **state)
{
	pthread_t thread[THREADS];
	uint64_t ino[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		char name[8] = {(char)('a' + i)};

		ino[i] = make_file(fp.ds, INO_ROOT, name);
		CHECK(pthread_create(&thread[i], NULL, sync_often,
				     (void *)(uintptr_t)ino[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	CHECK(stat_of().nr_batches <= THREADS * ROUNDS);
	CHECK(stat_of().nr_records >= THREADS * ROUNDS);
	file_pool_reopen(&fp, true);
	for (int i = 0; i < THREADS; i++)
		CHECK_UINT(attr_of(fp.ds, ino[i]).size, ROUNDS * 7);
}

struct destroyer {
	struct dataset *ds;
	int rc;
	bool done; /* atomic */
};

static void *destroy_one(void *arg)
{
	struct destroyer *d = arg;

	d->rc = dataset_destroy(d->ds, 0);
	__atomic_store_n(&d->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static uint32_t nr_waiting(struct ilog *l)
{
	uint32_t nr;

	os_mutex_lock(&l->lock);
	nr = l->waiting;
	os_mutex_unlock(&l->lock);
	return nr;
}

/* L6, for who finds it gone too: nobody may tell his user that it is. */
static void ilog__a_destroyed_dataset_is_gone_for_good(void **state)
{
	struct ilog *l = fp.pool->ilog;
	struct destroyer d[2] = {0};
	pthread_t thread[2];
	bool early = false;

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "x", NULL, NULL));
	for (unsigned i = 0; i < 2; i++)
		CHECK_OK(dataset_open(fp.pool, "x", &d[i].ds));
	/* as while another batch is being flushed */
	os_mutex_lock(&l->lock);
	l->busy = true;
	os_mutex_unlock(&l->lock);
	for (uint32_t i = 0; i < 2; i++) {
		CHECK(pthread_create(&thread[i], NULL, destroy_one, &d[i]) ==
		      0);
		while (nr_waiting(l) < i + 1 &&
		       !__atomic_load_n(&d[i].done, __ATOMIC_ACQUIRE))
			sched_yield();
		early |= __atomic_load_n(&d[i].done, __ATOMIC_ACQUIRE);
	}
	os_mutex_lock(&l->lock);
	l->busy = false;
	os_cond_broadcast(&l->done);
	os_mutex_unlock(&l->lock);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		dataset_put(d[i].ds);
	}
	CHECK(!early);
	CHECK_INT(d[0].rc, 0);
	CHECK_INT(d[1].rc, -ESTALE);
}

#define ILOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ILOG_TEST(ilog__fsync_is_one_write_and_one_flush),
		ILOG_TEST(ilog__nothing_new_needs_no_flush),
		ILOG_TEST(ilog__datasets_change_with_one_flush),
		ILOG_TEST(ilog__full_ring_makes_a_commit_instead),
		ILOG_TEST(ilog__failed_flush_fails_every_fsync_after_it),
		ILOG_TEST(ilog__a_lost_log_record_is_made_durable_by_a_commit),
		ILOG_TEST(ilog__suspended_writes_no_batch_before_a_commit),
		ILOG_TEST(ilog__commit_drops_what_was_not_written),
		ILOG_TEST(ilog__threads_that_wait_share_batches),
		ILOG_TEST(ilog__a_destroyed_dataset_is_gone_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
