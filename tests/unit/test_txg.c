/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_txg.c - commits: T1 to T4, P2 and P3, with calls that fail and threads
 */
#include <errno.h>
#include <time.h>

#include "store/pool_internal.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

static struct file_pool fp;

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

/* -- a device with a gate ------------------------------------------------------------ */

/* Passes everything on; writes wait while the gate is shut, flushes take long. */
struct gate_dev {
	struct blkdev dev;
	struct blkdev *below;
	struct os_mutex lock;
	struct os_cond changed;
	/* under lock */
	bool shut;
	unsigned waiting;
	unsigned flush_us;
	uint64_t nr_flushes;
};

static struct gate_dev gate;

static int gate_preadv(struct blkdev *dev, const struct iovec *iov, int nr,
		       uint64_t offset)
{
	(void)dev;
	return blkdev_preadv(gate.below, iov, nr, offset);
}

static int gate_pwritev(struct blkdev *dev, const struct iovec *iov, int nr,
			uint64_t offset)
{
	(void)dev;
	os_mutex_lock(&gate.lock);
	gate.waiting++;
	os_cond_broadcast(&gate.changed);
	while (gate.shut)
		os_cond_wait(&gate.changed, &gate.lock);
	gate.waiting--;
	os_mutex_unlock(&gate.lock);
	return blkdev_pwritev(gate.below, iov, nr, offset);
}

static int gate_flush(struct blkdev *dev)
{
	struct timespec t = {0};

	(void)dev;
	os_mutex_lock(&gate.lock);
	t.tv_nsec = (long)gate.flush_us * 1000;
	gate.nr_flushes++;
	os_mutex_unlock(&gate.lock);
	nanosleep(&t, NULL);
	return blkdev_flush(gate.below);
}

static void gate_close(struct blkdev *dev)
{
	(void)dev;
	blkdev_close(gate.below);
	os_mutex_release(&gate.lock);
	os_cond_release(&gate.changed);
}

static const struct blkdev_ops gate_ops = {
	.preadv = gate_preadv,
	.pwritev = gate_pwritev,
	.flush = gate_flush,
	.close = gate_close,
};

static void gate_set(bool shut)
{
	os_mutex_lock(&gate.lock);
	gate.shut = shut;
	os_cond_broadcast(&gate.changed);
	os_mutex_unlock(&gate.lock);
}

/* Until someone stands before the gate. */
static void gate_wait(void)
{
	os_mutex_lock(&gate.lock);
	while (gate.waiting == 0)
		os_cond_wait(&gate.changed, &gate.lock);
	os_mutex_unlock(&gate.lock);
}

static int setup_gate(void **state)
{
	(void)state;
	log_set_sink(NULL);
	memset(&gate, 0, sizeof(gate));
	CHECK_OK(blkdev_mem_open(UINT64_C(64) << 20, &gate.below));
	gate.dev.ops = &gate_ops;
	gate.dev.size = blkdev_size(gate.below);
	gate.dev.name = "gate";
	os_mutex_init(&gate.lock);
	os_cond_init(&gate.changed);
	file_pool_init_on(&fp, &gate.dev, NULL);
	return 0;
}

static int setup_faulty(void **state)
{
	struct blkdev *mem, *dev;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(blkdev_mem_open(UINT64_C(64) << 20, &mem));
	CHECK_OK(blkdev_faulty_open(mem, &dev));
	file_pool_init_on(&fp, dev, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	file_pool_release(&fp);
	return 0;
}

/* -- order of writes ------------------------------------------------------------------- */

static bool is_superblock(const struct blkdev_event *e)
{
	uint64_t b = e->offset / BLOCK_SIZE;

	return b < SUPERBLOCK_RING ||
	       (b >= SUPERBLOCK_COPY_BLKNO &&
		b < SUPERBLOCK_COPY_BLKNO + SUPERBLOCK_RING);
}

/* T2 */
static void txg__superblocks_stand_between_two_flushes(void **state)
{
	unsigned nr_sb = 0, nr_others = 0;
	bool flushed = true;
	uint64_t ino;

	(void)state;
	blkdev_faulty_record(fp.mem, true);
	ino = make_file(fp.ds, INO_ROOT, "f");
	for (unsigned i = 0; i < 10; i++) {
		write_at(fp.ds, ino, i * 100, "0123456789", 10);
		CHECK_OK(pool_sync(fp.pool));
	}
	blkdev_faulty_record(fp.mem, false);
	for (size_t i = 0; i < blkdev_faulty_nr_events(fp.mem); i++) {
		const struct blkdev_event *e = blkdev_faulty_event(fp.mem, i);

		if (e->kind == BLKDEV_EVENT_FLUSH) {
			flushed = true;
			CHECK(nr_sb % 2 == 0);
			nr_others = 0;
		} else if (is_superblock(e)) {
			/* nothing unflushed lies before it */
			CHECK(flushed);
			CHECK_UINT(nr_others, 0);
			CHECK_UINT(e->length, BLOCK_SIZE);
			nr_sb++;
		} else {
			nr_others++;
		}
	}
	CHECK_UINT(nr_sb, 20);
	/* the last word is a flush's */
	CHECK_INT(
		blkdev_faulty_event(fp.mem, blkdev_faulty_nr_events(fp.mem) - 1)
			->kind,
		BLKDEV_EVENT_FLUSH);
}

static void mark_used(struct pool *pool, uint8_t *used)
{
	for (uint64_t b = 0; b < (UINT64_C(64) << 20) / BLOCK_SIZE; b++) {
		uint32_t count = 1;

		if (b % REGION_BLOCKS >= region_reserved(b / REGION_BLOCKS))
			CHECK_OK(space_map_get(pool_space(pool), b, &count));
		else
			count = 0;
		used[b] = count > 0;
	}
}

/* T1: while a commit writes, the last one's blocks are not touched. */
static void txg__no_block_in_use_is_overwritten(void **state)
{
	static uint8_t used[(64u << 20) / BLOCK_SIZE];
	struct rnd r = {3};
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	uint8_t buf[16384];

	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		CHECK_OK(pool_sync(fp.pool));
		mark_used(fp.pool, used);
		blkdev_faulty_record(fp.mem, true);
		for (unsigned i = 0; i < 20; i++) {
			rnd_fill(&r, buf, sizeof(buf));
			write_at(fp.ds, ino,
				 rnd_below(&r, 40) * 8192 + rnd_below(&r, 9),
				 buf, (size_t)rnd_between(&r, 1, 16384));
		}
		CHECK_OK(pool_sync(fp.pool));
		blkdev_faulty_record(fp.mem, false);
		for (size_t i = 0; i < blkdev_faulty_nr_events(fp.mem); i++) {
			const struct blkdev_event *e =
				blkdev_faulty_event(fp.mem, i);

			if (e->kind != BLKDEV_EVENT_WRITE)
				continue;
			for (uint32_t at = 0; at < e->length; at += BLOCK_SIZE)
				CHECK(!used[(e->offset + at) / BLOCK_SIZE]);
		}
	}
}

static void txg__nothing_to_commit_writes_nothing(void **state)
{
	uint64_t calls;

	(void)state;
	CHECK_OK(pool_sync(fp.pool));
	calls = blkdev_faulty_calls(fp.mem,
				    BLKDEV_CALL_WRITE | BLKDEV_CALL_FLUSH);
	CHECK_OK(pool_sync(fp.pool));
	CHECK_OK(file_fsync(fp.ds, INO_ROOT));
	CHECK_UINT(blkdev_faulty_calls(fp.mem,
				       BLKDEV_CALL_WRITE | BLKDEV_CALL_FLUSH),
		   calls);
}

static void txg__fsync_of_an_unchanged_dataset_is_free(void **state)
{
	struct dataset *other;
	uint64_t calls;

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "other", NULL, NULL));
	CHECK_OK(dataset_open(fp.pool, "other", &other));
	CHECK_OK(pool_sync(fp.pool));
	make_file(fp.ds, INO_ROOT, "f");
	calls = blkdev_faulty_calls(fp.mem, BLKDEV_CALL_FLUSH);
	CHECK_OK(file_fsync(other, INO_ROOT));
	CHECK_UINT(blkdev_faulty_calls(fp.mem, BLKDEV_CALL_FLUSH), calls);
	CHECK_OK(file_fsync(fp.ds, INO_ROOT));
	CHECK_UINT(blkdev_faulty_calls(fp.mem, BLKDEV_CALL_FLUSH), calls + 1);
	dataset_put(other);
}

/* -- calls that fail -------------------------------------------------------------------- */

/* Some of everything that a commit writes; the version is in three places. */
static int make_version(uint64_t ino, uint64_t version)
{
	uint64_t buf[2048]; /* a whole record */
	char name[32];
	struct file_attr attr;
	const struct file_new n = {.mode = S_IFREG | 0600};
	int rc;

	for (unsigned i = 0; i < ARRAY_SIZE(buf); i++)
		buf[i] = version;
	rc = file_write(fp.ds, ino, 0, buf, sizeof(buf), 0);
	/* a part of another */
	if (rc == 0)
		rc = file_write(fp.ds, ino, 20000, &version, 8, 0);
	snprintf(name, sizeof(name), "v%ju", (uintmax_t)version);
	if (rc == 0)
		rc = file_create(fp.ds, INO_ROOT, name, strlen(name), &n,
				 &attr);
	return rc ? rc : pool_sync(fp.pool);
}

static uint64_t version_of(uint64_t ino)
{
	uint64_t buf[2048], part;
	char name[32];
	size_t n;

	CHECK_OK(file_read(fp.ds, ino, 0, buf, sizeof(buf), &n));
	CHECK_UINT(n, sizeof(buf));
	for (unsigned i = 1; i < ARRAY_SIZE(buf); i++)
		CHECK_UINT(buf[i], buf[0]);
	CHECK_OK(file_read(fp.ds, ino, 20000, &part, 8, &n));
	CHECK_UINT(n, 8);
	snprintf(name, sizeof(name), "v%ju", (uintmax_t)part);
	CHECK(find_name(fp.ds, INO_ROOT, name) > 0);
	/* without a sync the three calls may be cut apart */
	return MIN_OF(buf[0], part);
}

static void fail_each(unsigned calls, bool sticky, bool torn)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f"), acked = 1, nth;

	CHECK_OK(make_version(ino, 1));
	for (nth = 1;; nth++) {
		struct pool_stat st;
		uint64_t version = acked + 1, got;
		int rc;

		blkdev_faulty_fail(fp.mem, calls, nth, -EIO, sticky, torn);
		rc = make_version(ino, version);
		blkdev_faulty_fail(fp.mem, 0, 0, 0, false, false);
		if (rc == 0)
			break;
		/* T4: read-only, says so, and never again a success */
		pool_stat(fp.pool, &st);
		CHECK(st.failed && st.read_only);
		CHECK(file_fsync(fp.ds, ino) < 0);
		CHECK(pool_sync(fp.pool) < 0);
		CHECK_INT(file_write(fp.ds, ino, 0, &got, 8, 0), -EROFS);
		CHECK_INT(dataset_snapshot(fp.ds, "s", false, NULL), -EROFS);
		/* reading goes on */
		CHECK(find_name(fp.ds, INO_ROOT, "v1") > 0);
		dataset_put(fp.ds);
		CHECK(pool_close(fp.pool) < 0);
		/* and what was promised is there */
		{
			const struct pool_options o = {.no_background = true};
			struct store_error e = {""};

			file_pool_check(&fp);
			CHECK_OK(pool_open_on(blkdev_borrow(fp.mem), &o,
					      &fp.pool, &e));
			CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET,
					      &fp.ds));
		}
		got = version_of(ino);
		CHECK(got == acked || got == version);
		acked = got;
		{
			char name[32];

			/* may be of a version that was not acknowledged */
			snprintf(name, sizeof(name), "v%ju",
				 (uintmax_t)acked + 1);
			CHECK_UINT(find_name(fp.ds, INO_ROOT, name), 0);
		}
	}
	CHECK(nth > (calls == BLKDEV_CALL_FLUSH ? 2 : 5));
	file_pool_reopen(&fp, true);
	CHECK_UINT(version_of(ino), acked + 1);
}

static void txg__a_failing_write_is_no_success(void **state)
{
	(void)state;
	fail_each(BLKDEV_CALL_WRITE, false, false);
}

static void txg__a_torn_write_is_no_success(void **state)
{
	(void)state;
	fail_each(BLKDEV_CALL_WRITE, true, true);
}

static void txg__a_failing_flush_is_no_success(void **state)
{
	(void)state;
	fail_each(BLKDEV_CALL_FLUSH, false, false);
}

/* A read that fails once fails one call at most; nothing is changed by it. */
static void txg__a_failing_read_fails_one_op_and_not_the_pool(void **state)
{
	uint64_t ino[20], nth;
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		ino[i] = make_file(fp.ds, INO_ROOT, name);
		for (unsigned k = 0; k < 200; k++)
			write_at(fp.ds, ino[i], k * UINT64_C(65536), "x", 1);
	}
	for (nth = 1; nth < 40; nth++) {
		struct pool_stat st;
		unsigned failed = 0;
		uint32_t count;

		file_pool_reopen(&fp, false);
		/* counts that can't be read are given up (S5): have them */
		for (uint64_t r = 0; r < 4; r++)
			CHECK_OK(space_map_get(pool_space(fp.pool),
					       r * REGION_BLOCKS + 100,
					       &count));
		blkdev_faulty_fail(fp.mem, BLKDEV_CALL_READ, nth, -EIO, false,
				   false);
		for (unsigned i = 0; i < 20; i++) {
			int rc = file_write(fp.ds, ino[i], nth * 65536, "y", 1,
					    0);

			CHECK(rc == 0 || rc == -EIO);
			failed += rc != 0;
		}
		blkdev_faulty_fail(fp.mem, 0, 0, 0, false, false);
		CHECK(failed <= 1);
		CHECK_OK(pool_sync(fp.pool));
		pool_stat(fp.pool, &st);
		CHECK(!st.failed);
		for (unsigned i = 0; i < 20; i++)
			write_at(fp.ds, ino[i], nth * 65536, "z", 1);
	}
	for (unsigned i = 0; i < 20; i++)
		read_is(fp.ds, ino[i], 39 * UINT64_C(65536), "z", 1);
}

/* Opening reads much; whichever read fails, there is an error and no harm. */
static void txg__a_failing_read_at_open_is_an_error_and_no_harm(void **state)
{
	uint64_t nth, opened = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "d%u", i);
		CHECK_OK(dataset_create(fp.pool, name, NULL, NULL));
	}
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	for (nth = 1; nth < 60; nth++) {
		const struct pool_options o = {.no_background = true};
		struct store_error e = {""};
		struct blkdev *dev = blkdev_borrow(fp.mem);
		struct pool *pool;
		int rc;

		blkdev_faulty_fail(fp.mem, BLKDEV_CALL_READ, nth, -EIO, false,
				   false);
		rc = pool_open_on(dev, &o, &pool, &e);
		blkdev_faulty_fail(fp.mem, 0, 0, 0, false, false);
		if (rc == 0) {
			opened++;
			CHECK_OK(pool_close(pool));
		} else {
			CHECK(e.text[0] || rc == -EIO);
			blkdev_close(dev);
		}
	}
	CHECK(opened > 0 && opened < 59);
	file_pool_check(&fp);
	{
		const struct pool_options o = {.no_background = true};
		struct store_error e = {""};

		CHECK_OK(pool_open_on(blkdev_borrow(fp.mem), &o, &fp.pool, &e));
		CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
	}
}

/* -- threads ------------------------------------------------------------------------------ */

#define NR_THREADS 8u
#define NR_FSYNCS  25u

static void fsync_often(void *arg)
{
	uint64_t ino = (uint64_t)(uintptr_t)arg;

	for (unsigned i = 0; i < NR_FSYNCS; i++) {
		MUST(file_write(fp.ds, ino, i * 512, "commit", 6, 0) == 0);
		MUST(file_fsync(fp.ds, ino) == 0);
	}
}

static void txg__fsyncs_of_many_threads_share_batches(void **state)
{
	struct os_thread t[NR_THREADS] = {0};
	struct pool_stat before, after;
	char name[16];

	(void)state;
	gate.flush_us = 1000;
	CHECK_OK(pool_sync(fp.pool));
	pool_stat(fp.pool, &before);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		CHECK_OK(os_thread_start(
			&t[i], "fsync", fsync_often,
			(void *)(uintptr_t)make_file(fp.ds, INO_ROOT, name)));
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		os_thread_join(&t[i]);
	pool_stat(fp.pool, &after);
	CHECK(after.nr_batches - before.nr_batches >= NR_FSYNCS);
	CHECK(after.nr_batches - before.nr_batches <
	      NR_THREADS * NR_FSYNCS / 2);
	file_pool_reopen(&fp, true);
	for (unsigned i = 0; i < NR_THREADS; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		read_is(fp.ds, find_name(fp.ds, INO_ROOT, name),
			(NR_FSYNCS - 1) * 512, "commit", 6);
	}
}

static void sync_pool(void *arg)
{
	(void)arg;
	MUST(pool_sync(fp.pool) == 0);
}

static void txg__ops_go_on_while_a_commit_writes(void **state)
{
	struct os_thread t = {0};
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");

	(void)state;
	write_at(fp.ds, ino, 100, "before", 6);
	gate_set(true);
	CHECK_OK(os_thread_start(&t, "sync", sync_pool, NULL));
	gate_wait();
	/* it is on its way to disk, and not there yet */
	read_is(fp.ds, ino, 100, "before", 6);
	make_file(fp.ds, INO_ROOT, "g");
	make_file(fp.ds, INO_ROOT, "h");
	CHECK_OK(file_rename(fp.ds, INO_ROOT, "g", 1, INO_ROOT, "i", 1, 0,
			     NULL));
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "h", 1, NULL));
	write_at(fp.ds, ino, 100, "after!", 6);
	read_is(fp.ds, ino, 100, "after!", 6);
	gate_set(false);
	os_thread_join(&t);
	/* what came later is not in that commit */
	file_pool_reopen(&fp, true);
	read_is(fp.ds, ino, 100, "before", 6);
	CHECK_UINT(find_name(fp.ds, INO_ROOT, "i"), 0);
}

/* A write of several records at once; the snapshot has all of one or none. */
#define NR_RECORDS 4u

struct writer {
	uint64_t ino;
	bool stop; /* atomic */
	unsigned nr;
};

/* C2: a third of the cache is free for what the counts need. */
static void txg__what_notes_hold_is_let_go_when_they_are_counted(void **state)
{
	struct node_cache_stat st;
	struct os_thread t = {0};

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		make_file(fp.ds, INO_ROOT, name);
	}
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	CHECK_OK(pool_sync(fp.pool));
	for (unsigned i = 0; i < 300; i += 5)
		set_size(fp.ds, INO_FIRST + i, 1);
	node_cache_stat(fp.pool->nc, &st);
	CHECK(st.nr_noted > 5);
	gate_set(true);
	CHECK_OK(os_thread_start(&t, "sync", sync_pool, NULL));
	gate_wait();
	node_cache_stat(fp.pool->nc, &st);
	CHECK_UINT(st.nr_noted, 0);
	gate_set(false);
	os_thread_join(&t);
}

static void write_stripes(void *arg)
{
	struct writer *w = arg;
	uint8_t *buf = malloc(NR_RECORDS * 16384 + 100);

	MUST(buf);
	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		memset(buf, (int)(1 + w->nr++ % 250), NR_RECORDS * 16384 + 100);
		/* the last one in part */
		MUST(file_write(fp.ds, w->ino, 0, buf, NR_RECORDS * 16384 + 100,
				0) == 0);
	}
	free(buf);
}

static void snapshot__has_whole_writes_only(void **state)
{
	struct writer w = {.ino = make_file(fp.ds, INO_ROOT, "f")};
	struct os_thread t = {0};
	uint8_t *buf = malloc(NR_RECORDS * 16384 + 100);
	unsigned different = 0;
	uint8_t last = 0;

	(void)state;
	CHECK(buf);
	memset(buf, 0xff, NR_RECORDS * 16384 + 100);
	write_at(fp.ds, w.ino, 0, buf, NR_RECORDS * 16384 + 100);
	CHECK_OK(os_thread_start(&t, "stripes", write_stripes, &w));
	for (unsigned i = 0; i < 60; i++) {
		struct dataset *snap;
		char name[16];
		size_t n;

		snprintf(name, sizeof(name), "s%u", i);
		MUST(dataset_snapshot(fp.ds, name, false, NULL) == 0);
		snprintf(name, sizeof(name), "ds@s%u", i);
		MUST(dataset_open(fp.pool, name, &snap) == 0);
		MUST(file_read(snap, w.ino, 0, buf, NR_RECORDS * 16384 + 100,
			       &n) == 0);
		MUST(n == NR_RECORDS * 16384 + 100);
		for (size_t k = 1; k < n; k++)
			MUST(buf[k] == buf[0]);
		different += buf[0] != last;
		last = buf[0];
		if (i % 3)
			MUST(dataset_destroy(snap, 0) == 0);
		dataset_put(snap);
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELEASE);
	os_thread_join(&t);
	free(buf);
	CHECK(different > 5);
}

/* Statistics, lists and walks beside changes; for the sanitizers. */
static void look_around(void *arg)
{
	struct writer *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		struct dataset_info info;
		struct pool_stat st;
		uint64_t bytes;
		uint32_t *ids;
		size_t nr;

		pool_stat(fp.pool, &st);
		MUST(st.allocated <= st.size && st.free <= st.size);
		dataset_info(fp.ds, &info);
		MUST(dataset_list(fp.pool, info.id, &ids, &nr) == 0);
		free(ids);
		MUST(dataset_unique(&fp.ds, 1, &bytes) == 0);
		w->nr++;
	}
}

static void txg__looking_and_growing_beside_changes_is_safe(void **state)
{
	struct writer w = {.ino = make_file(fp.ds, INO_ROOT, "f")}, l = {0};
	struct os_thread t = {0}, u = {0};

	(void)state;
	CHECK_OK(os_thread_start(&t, "stripes", write_stripes, &w));
	CHECK_OK(os_thread_start(&u, "look", look_around, &l));
	for (unsigned i = 0; i < 40; i++) {
		struct dataset *c;

		MUST(dataset_clone(fp.ds, "c", NULL) == 0);
		MUST(dataset_open(fp.pool, "c", &c) == 0);
		MUST(file_unlink(c, INO_ROOT, "f", 1, NULL) == 0);
		MUST(dataset_rename(c, "d") == 0);
		MUST(dataset_destroy(c, 0) == 0);
		dataset_put(c);
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELEASE);
	__atomic_store_n(&l.stop, true, __ATOMIC_RELEASE);
	os_thread_join(&t);
	os_thread_join(&u);
	CHECK(w.nr > 0 && l.nr > 0);
}

/* What a device that lost power has: of the superblocks those that were
 * flushed, of all else everything. */
static void lose_superblocks(uint8_t *image)
{
	size_t nr = blkdev_faulty_nr_events(fp.mem), flushed = 0;

	for (size_t i = 0; i < nr; i++)
		if (blkdev_faulty_event(fp.mem, i)->kind == BLKDEV_EVENT_FLUSH)
			flushed = i;
	for (size_t i = 0; i < nr; i++) {
		const struct blkdev_event *e = blkdev_faulty_event(fp.mem, i);
		uint64_t b = e->offset / BLOCK_SIZE;
		bool is_superblock =
			b < 2 * SUPERBLOCK_COPY_BLKNO &&
			b % SUPERBLOCK_COPY_BLKNO < SUPERBLOCK_RING;

		if (e->kind == BLKDEV_EVENT_WRITE &&
		    (!is_superblock || i < flushed))
			memcpy(image + e->offset, e->data, e->length);
	}
}

static void fill_file(uint64_t ino, uint64_t mib, uint64_t seed)
{
	uint8_t *buf = malloc(1 << 20);
	struct rnd r = {seed};

	CHECK(buf);
	for (uint64_t i = 0; i < mib; i++) {
		rnd_fill(&r, buf, 1 << 20);
		write_at(fp.ds, ino, i << 20, buf, 1 << 20);
	}
	free(buf);
}

/*
 * T1 where the last superblock is one that a killed process wrote and did not
 * flush: it is, before what it freed is used again.
 */
static void txg__a_kill_and_then_a_power_cut_lose_nothing(void **state)
{
	size_t size = (size_t)fp.mem->size, n;
	uint8_t *image = blkdev_buffer_new(size), *buf = malloc(1 << 20);
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	const struct pool_options o = {.no_background = true};
	struct store_error e = {""};
	struct dataset *ds;
	struct blkdev *dev;
	struct pool *pool;

	(void)state;
	CHECK(image && buf);
	fill_file(f, 1, 1);
	CHECK_OK(pool_sync(fp.pool));
	CHECK_OK(blkdev_read(fp.mem, image, size, 0));
	blkdev_faulty_record(fp.mem, true);
	fill_file(f, 1, 2);
	/* killed between a superblock and its flush */
	log_set_sink(no_log);
	blkdev_faulty_fail(fp.mem, BLKDEV_CALL_FLUSH, 2, -EIO, false, false);
	CHECK(pool_sync(fp.pool) < 0);
	blkdev_faulty_fail(fp.mem, 0, 0, 0, false, false);
	log_set_sink(NULL);
	file_pool_reopen(&fp, true);
	fill_file(make_file(fp.ds, INO_ROOT, "g"), 8, 3);
	lose_superblocks(image);
	blkdev_faulty_record(fp.mem, false);
	dev = blkdev_view_open(image, size);
	CHECK_OK(pool_open_on(blkdev_borrow(dev), &o, &pool, &e));
	CHECK_OK(dataset_open(pool, FILE_POOL_DATASET, &ds));
	CHECK_OK(file_read(ds, f, 0, buf, 1 << 20, &n));
	CHECK_UINT(n, 1 << 20);
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	blkdev_close(dev);
	free(image);
	free(buf);
}

#define TEST_FAULTY(name)                                                      \
	cmocka_unit_test_setup_teardown(name, setup_faulty, teardown)
#define TEST_GATE(name)                                                        \
	cmocka_unit_test_setup_teardown(name, setup_gate, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_FAULTY(txg__superblocks_stand_between_two_flushes),
		TEST_FAULTY(txg__no_block_in_use_is_overwritten),
		TEST_FAULTY(txg__a_kill_and_then_a_power_cut_lose_nothing),
		TEST_FAULTY(txg__nothing_to_commit_writes_nothing),
		TEST_FAULTY(txg__fsync_of_an_unchanged_dataset_is_free),
		TEST_FAULTY(txg__a_failing_write_is_no_success),
		TEST_FAULTY(txg__a_torn_write_is_no_success),
		TEST_FAULTY(txg__a_failing_flush_is_no_success),
		TEST_FAULTY(txg__a_failing_read_fails_one_op_and_not_the_pool),
		TEST_FAULTY(
			txg__a_failing_read_at_open_is_an_error_and_no_harm),
		TEST_GATE(txg__fsyncs_of_many_threads_share_batches),
		TEST_GATE(txg__ops_go_on_while_a_commit_writes),
		TEST_GATE(txg__what_notes_hold_is_let_go_when_they_are_counted),
		TEST_GATE(snapshot__has_whole_writes_only),
		TEST_GATE(txg__looking_and_growing_beside_changes_is_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
