/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pool.c - create, open, close, grow; full pools; failing devices
 */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/pool_internal.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

#define MIB (UINT64_C(1) << 20)

static struct store_error error;
static struct file_pool fp;

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

/* -- in files ------------------------------------------------------------------------- */

static char dir[64], path[96];

static int make_dir_for_files(void **state)
{
	(void)state;
	log_set_sink(NULL);
	error.text[0] = '\0';
	strcpy(dir, "/tmp/dbs-test-pool-XXXXXX");
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/pool", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(path);
	rmdir(dir);
	return 0;
}

static void create_file(uint64_t size)
{
	const struct pool_create_options o = {.name = "files", .size = size};

	CHECK_OK(pool_create(path, &o, &error));
}

static struct pool *open_file(const struct pool_options *o)
{
	struct pool *pool;

	CHECK_OK(pool_open(path, o, &pool, &error));
	return pool;
}

static void check_file(void)
{
	const struct check_options o = {.data = true};
	struct check_result result;

	CHECK_OK(check_pool(path, &o, &result, &error));
	CHECK_UINT(result.nr_errors, 0);
}

static void pool__create_refuses_what_it_must(void **state)
{
	struct pool_create_options o = {.size = POOL_SIZE_MIN - 4096};
	char name[POOL_NAME_MAX + 2];

	(void)state;
	CHECK_INT(pool_create(path, &o, &error), -EINVAL);
	CHECK(error.text[0]);
	CHECK_INT(access(path, F_OK), -1); /* removed again */
	o.size = POOL_SIZE_MIN;
	o.name = "a/b";
	CHECK_INT(pool_create(path, &o, &error), -EINVAL);
	memset(name, 'n', sizeof(name));
	name[POOL_NAME_MAX + 1] = '\0';
	o.name = name;
	CHECK_INT(pool_create(path, &o, &error), -EINVAL);
	name[POOL_NAME_MAX] = '\0';
	CHECK_OK(pool_create(path, &o, &error));
	CHECK_INT(pool_create(path, &o, &error), -EEXIST);
	o.force = true;
	CHECK_OK(pool_create(path, &o, &error));
	check_file();
}

static void pool__second_open_is_refused(void **state)
{
	const struct pool_options quiet = {.no_background = true};
	const struct pool_create_options force = {.size = POOL_SIZE_MIN,
						  .force = true};
	struct pool *pool, *second;
	struct pool_stat st;

	(void)state;
	create_file(POOL_SIZE_MIN);
	pool = open_file(&quiet);
	CHECK_INT(pool_open(path, &quiet, &second, &error), -EBUSY);
	CHECK(error.text[0]);
	CHECK_INT(pool_create(path, &force, &error), -EBUSY);
	/* looking is allowed */
	CHECK_OK(pool_probe(path, &st, &error));
	CHECK_STR(st.name, "files");
	CHECK_OK(pool_close(pool));
	CHECK_OK(pool_close(open_file(&quiet)));
}

static void pool__what_is_none_says_so(void **state)
{
	struct pool *pool;
	FILE *f;

	(void)state;
	CHECK_INT(pool_open(path, NULL, &pool, &error), -ENOENT);
	CHECK(strstr(error.text, path));
	f = fopen(path, "w");
	CHECK(f);
	CHECK_OK(ftruncate(fileno(f), (off_t)POOL_SIZE_MIN));
	fclose(f);
	CHECK_INT(pool_open(path, NULL, &pool, &error), -EINVAL);
	CHECK(strstr(error.text, "no pool"));
	CHECK_INT(pool_open(dir, NULL, &pool, &error) < 0, 1);
	CHECK_OK(truncate(path, 100));
	CHECK(pool_open(path, NULL, &pool, &error) < 0);
}

static void pool__a_truncated_file_says_so(void **state)
{
	struct pool *pool;

	(void)state;
	create_file(POOL_SIZE_MIN);
	CHECK_OK(truncate(path, (off_t)(POOL_SIZE_MIN - 4096)));
	CHECK_INT(pool_open(path, NULL, &pool, &error), -EUCLEAN);
	CHECK(strstr(error.text, "truncated"));
}

static void pool__opened_and_closed_is_not_changed(void **state)
{
	struct stat before, after;
	struct pool_options o = {0};

	(void)state;
	create_file(POOL_SIZE_MIN);
	CHECK_OK(stat(path, &before));
	CHECK_OK(pool_close(open_file(&o)));
	o.read_only = true;
	CHECK_OK(pool_close(open_file(&o)));
	CHECK_OK(stat(path, &after));
	CHECK_INT(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
	CHECK_INT(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void pool__read_only_changes_nothing_and_reads_all(void **state)
{
	const struct pool_options ro = {.read_only = true};
	const struct pool_options quiet = {.no_background = true};
	struct pool *pool, *second;
	struct pool_stat st;
	struct dataset *ds;
	uint64_t ino, bytes;

	(void)state;
	create_file(POOL_SIZE_MIN);
	pool = open_file(&quiet);
	CHECK_OK(dataset_create(pool, "a", NULL, NULL));
	CHECK_OK(dataset_open(pool, "a", &ds));
	ino = make_file(ds, INO_ROOT, "f");
	write_at(ds, ino, 0, "content", 7);
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	pool = open_file(&ro);
	/* and so may a second */
	second = open_file(&ro);
	CHECK_OK(pool_close(second));
	pool_stat(pool, &st);
	CHECK(st.read_only && !st.failed);
	CHECK_OK(dataset_open(pool, "a", &ds));
	read_is(ds, ino, 0, "content", 7);
	CHECK_INT(file_write(ds, ino, 0, "x", 1, 0), -EROFS);
	CHECK_INT(dataset_create(pool, "b", NULL, NULL), -EROFS);
	CHECK_INT(dataset_destroy(ds, 0), -EROFS);
	CHECK_INT(pool_grow(pool, 2 * POOL_SIZE_MIN, &error), -EROFS);
	CHECK_OK(pool_sync(pool));
	CHECK_OK(pool_wait_reaped(pool));
	CHECK_OK(dataset_unique(&ds, 1, &bytes));
	CHECK(bytes > 0);
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
}

/* A pool with a snapshot that only its intent log has, after a crash. */
static void create_crashed(void)
{
	const struct pool_options quiet = {.no_background = true};
	struct pool_stat st;
	struct dataset *ds;
	struct pool *pool;

	create_file(POOL_SIZE_MIN);
	pool = open_file(&quiet);
	CHECK_OK(dataset_create(pool, "a", NULL, NULL));
	CHECK_OK(dataset_open(pool, "a", &ds));
	CHECK_OK(dataset_snapshot(ds, "s", false, NULL));
	dataset_put(ds);
	pool_stat(pool, &st);
	CHECK(st.nr_batches > 0);
	pool_abandon(pool);
}

static void pool__who_only_reads_sees_what_was_acknowledged(void **state)
{
	const struct pool_options ro = {.read_only = true};
	struct pool_stat st;
	struct dataset *ds;
	struct pool *pool;

	(void)state;
	create_crashed();
	pool = open_file(&ro);
	CHECK_STR(error.text, "");
	CHECK_OK(dataset_open(pool, "a@s", &ds));
	dataset_put(ds);
	pool_stat(pool, &st);
	CHECK(st.read_only);
	CHECK_STR(st.why, "");
	CHECK_OK(pool_close(pool));
}

static void pool__what_cannot_be_replayed_is_said(void **state)
{
	const struct pool_options ro = {.read_only = true};
	struct pool_stat st;
	struct blkdev *dev;
	struct dataset *ds;
	struct pool *pool;

	(void)state;
	log_set_sink(no_log);
	create_crashed();
	CHECK_OK(blkdev_file_open(path, BLKDEV_READ_ONLY, &dev, NULL));
	CHECK_OK(pool_open_on(dev, &ro, &pool, &error));
	CHECK(strstr(error.text, "log records wait"));
	pool_stat(pool, &st);
	CHECK_STR(st.why, error.text);
	CHECK_INT(dataset_open(pool, "a@s", &ds), -ENOENT);
	CHECK_OK(pool_close(pool));
}

/* In a new file only zeroed space is used; the zeros run ahead. */
static void pool__high_water_stays_ahead_of_what_is_used(void **state)
{
	const struct pool_options o = {.commit_ms = 50};
	struct pool *pool;
	struct pool_stat st;
	struct dataset *ds;
	uint8_t *buf = malloc(MIB);
	struct rnd r = {1};
	uint64_t ino, before;

	(void)state;
	CHECK(buf);
	create_file(320 * MIB);
	pool = open_file(&o);
	pool_stat(pool, &st);
	before = st.high_water;
	CHECK(before < st.size);
	CHECK_OK(dataset_create(pool, "a", NULL, NULL));
	CHECK_OK(dataset_open(pool, "a", &ds));
	ino = make_file(ds, INO_ROOT, "f");
	for (uint64_t i = 0; i < 100; i++) {
		rnd_fill(&r, buf, MIB);
		write_at(ds, ino, i * MIB, buf, MIB);
		pool_stat(pool, &st);
		CHECK(st.allocated <= st.high_water);
	}
	CHECK(st.high_water > before);
	free(buf);
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	CHECK_OK(pool_probe(path, &st, &error));
	check_file();
}

static void pool__commits_by_itself_after_a_while(void **state)
{
	const struct pool_options o = {.commit_ms = 20};
	struct pool *pool;
	struct dataset *ds;
	uint64_t start = os_monotonic_ns();
	struct pool_stat st;

	(void)state;
	create_file(POOL_SIZE_MIN);
	pool = open_file(&o);
	CHECK_OK(dataset_create(pool, "a", NULL, NULL));
	CHECK_OK(dataset_open(pool, "a", &ds));
	make_file(ds, INO_ROOT, "f");
	dataset_put(ds);
	while (txg_anything_open(pool)) {
		CHECK(os_monotonic_ns() - start < UINT64_C(5000000000));
		usleep(5000);
	}
	pool_stat(pool, &st);
	pool_abandon(pool);
	pool = open_file(&o);
	CHECK_OK(dataset_open(pool, "a", &ds));
	CHECK(find_name(ds, INO_ROOT, "f") > 0);
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
}

static void pool__a_file_grows_and_only_grows(void **state)
{
	const struct pool_options quiet = {.no_background = true};
	struct pool *pool;
	struct pool_stat st;
	struct dataset *ds;
	uint8_t *buf = malloc(MIB);
	struct rnd r = {1};
	uint64_t ino;

	(void)state;
	CHECK(buf);
	create_file(POOL_SIZE_MIN);
	pool = open_file(&quiet);
	CHECK_INT(pool_grow(pool, POOL_SIZE_MIN, &error), -EINVAL);
	CHECK_INT(pool_grow(pool, MIB, &error), -EINVAL);
	CHECK_INT(pool_grow(pool, 0, &error), -EINVAL);
	CHECK(strstr(error.text, "only grow"));
	CHECK_OK(pool_grow(pool, 3 * POOL_SIZE_MIN, &error));
	pool_stat(pool, &st);
	CHECK(st.size > 2 * POOL_SIZE_MIN);
	CHECK_OK(dataset_create(pool, "a", NULL, NULL));
	CHECK_OK(dataset_open(pool, "a", &ds));
	ino = make_file(ds, INO_ROOT, "f");
	for (uint64_t i = 0; i < 150; i++) {
		rnd_fill(&r, buf, MIB);
		write_at(ds, ino, i * MIB, buf, MIB);
	}
	free(buf);
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	check_file();
	pool = open_file(&quiet);
	pool_stat(pool, &st);
	CHECK(st.size > 2 * POOL_SIZE_MIN);
	CHECK_OK(pool_close(pool));
}

/* -- in memory ------------------------------------------------------------------------- */

static int setup_faulty(void **state)
{
	struct blkdev *mem, *dev;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(blkdev_mem_open(POOL_SIZE_MIN, &mem));
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

/* A write fails at every place of a creation: an error, never half a pool
 * that says nothing. */
static void pool__a_failed_create_is_an_error(void **state)
{
	const struct pool_create_options o = {.name = "x", .force = true};
	const struct pool_options quiet = {.no_background = true};
	struct blkdev *mem, *dev;
	struct pool *pool;
	uint64_t nth;
	int rc;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(blkdev_mem_open(POOL_SIZE_MIN, &mem));
	CHECK_OK(blkdev_faulty_open(mem, &dev));
	for (nth = 1;; nth++) {
		struct blkdev *b = blkdev_borrow(dev);

		memset(blkdev_mem_data(mem), 0, 10 * MIB);
		blkdev_faulty_fail(dev, BLKDEV_CALL_WRITE | BLKDEV_CALL_FLUSH,
				   nth, -EIO, true, nth % 2);
		rc = pool_create_on(b, &o, &error);
		blkdev_faulty_fail(dev, 0, 0, 0, false, false);
		if (rc == 0) {
			blkdev_close(b);
			break;
		}
		CHECK_INT(rc, -EIO);
		CHECK(error.text[0]);
		/* whole or none */
		if (pool_open_on(b, &quiet, &pool, &error) == 0)
			CHECK_OK(pool_close(pool));
		else
			blkdev_close(b);
	}
	CHECK(nth > 5);
	blkdev_close(dev);
}

static void
pool__failed_flush_makes_it_read_only_and_every_later_fsync_fails(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	struct pool_stat st;
	char got[6];
	size_t n;

	(void)state;
	write_at(fp.ds, ino, 0, "acked!", 6);
	CHECK_OK(file_fsync(fp.ds, ino));
	write_at(fp.ds, ino, 0, "unsure", 6);
	blkdev_faulty_fail(fp.mem, BLKDEV_CALL_FLUSH, 1, -EIO, false, false);
	CHECK_INT(file_fsync(fp.ds, ino), -EIO);
	/* the device is well again; that proves nothing */
	for (unsigned i = 0; i < 5; i++)
		CHECK_INT(file_fsync(fp.ds, ino), -EIO);
	CHECK_INT(pool_sync(fp.pool), -EIO);
	CHECK_INT(file_write(fp.ds, ino, 0, "x", 1, 0), -EROFS);
	CHECK_INT(dataset_create(fp.pool, "x", NULL, NULL), -EROFS);
	CHECK_INT(pool_grow(fp.pool, 0, &error), -EROFS);
	CHECK(pool_wait_reaped(fp.pool) < 0);
	pool_stat(fp.pool, &st);
	CHECK(st.failed && st.read_only);
	read_is(fp.ds, ino, 0, "unsure", 6);
	dataset_put(fp.ds);
	CHECK_INT(pool_close(fp.pool), -EIO);
	file_pool_check(&fp);
	{
		const struct pool_options quiet = {.no_background = true};

		CHECK_OK(pool_open_on(blkdev_borrow(fp.mem), &quiet, &fp.pool,
				      &error));
		CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
	}
	/* what was not acknowledged may be there: all of it or nothing */
	CHECK_OK(file_read(fp.ds, ino, 0, got, sizeof(got), &n));
	CHECK_UINT(n, 6);
	CHECK(memcmp(got, "acked!", 6) == 0 || memcmp(got, "unsure", 6) == 0);
	write_at(fp.ds, ino, 0, "again!", 6);
	CHECK_OK(file_fsync(fp.ds, ino));
}

/* A node that cannot be read once does not leave an unlinked file behind. */
static void pool__a_purge_that_failed_is_tried_again(void **state)
{
	unsigned unlinked = 0;

	(void)state;
	for (uint64_t nth = 1; nth < 9; nth++) {
		uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
		int rc;

		for (uint64_t i = 0; i < 600; i++)
			write_at(fp.ds, ino, i << 14, "x", 1);
		file_pool_reopen(&fp, false);
		blkdev_faulty_fail(fp.mem, BLKDEV_CALL_READ, nth, -EIO, false,
				   false);
		rc = file_unlink(fp.ds, INO_ROOT, "f", 1, NULL);
		blkdev_faulty_fail(fp.mem, 0, 0, 0, false, false);
		unlinked += rc == 0;
		if (rc) {
			CHECK_INT(rc, -EIO);
			CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
		}
		CHECK_UINT(info_of(fp.ds).nr_inodes, 1);
		CHECK_UINT(info_of(fp.ds).referenced, 0);
	}
	CHECK(unlinked > 0);
}

/* Until there is no space. */
static uint64_t fill_up(uint64_t ino, uint64_t from)
{
	uint8_t *buf = malloc(MIB);
	struct rnd r = {from + 1};
	size_t len = MIB;

	CHECK(buf);
	for (;;) {
		int rc;

		rnd_fill(&r, buf, len);
		rc = file_write(fp.ds, ino, from, buf, len, 0);
		if (rc == 0) {
			from += len;
			continue;
		}
		CHECK_INT(rc, -ENOSPC);
		if (len == 4096)
			break;
		len /= 2;
	}
	free(buf);
	return from;
}

static void pool__a_full_one_gets_its_space_back_without_a_reopen(void **state)
{
	uint64_t first = 0;

	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		uint64_t ino = make_file(fp.ds, INO_ROOT, "f"), end;
		struct pool_stat st;

		end = fill_up(ino, 0);
		CHECK(end > 40 * MIB);
		if (round == 0)
			first = end;
		CHECK(end + MIB > first);
		pool_stat(fp.pool, &st);
		CHECK(st.free < MIB && !st.failed);
		/* what is there can be read, and space is left to say so */
		CHECK_OK(pool_sync(fp.pool));
		switch (round % 3) {
		case 0:
			CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
			break;
		case 1:
			set_size(fp.ds, ino, 0);
			CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
			break;
		default:
			file_pool_reopen(&fp, true);
			CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
		}
	}
}

/*
 * Deleting in a clone takes space before it gives any back: every leaf is
 * shared.  However full the pool, commits and deletes go on.
 */
static void pool__a_full_one_deletes_in_clones(void **state)
{
	uint64_t ino, nr = 0;
	struct dataset *s, *c;
	struct pool_stat st;
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 6000; i++) {
		snprintf(name, sizeof(name), "small%u", i);
		make_file(fp.ds, INO_ROOT, name);
	}
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	CHECK_OK(dataset_open(fp.pool, "ds@s", &s));
	CHECK_OK(dataset_clone(s, "c", NULL));
	CHECK_OK(dataset_open(fp.pool, "c", &c));
	ino = make_file(fp.ds, INO_ROOT, "big");
	fill_up(ino, 0);
	/* all that an ordinary op can get, too */
	for (unsigned i = 0; i < 3000; i++) {
		int rc = file_setxattr(c, find_name(c, INO_ROOT, "small7"),
				       "user.x", "y", 1, 0);

		CHECK(rc == 0 || rc == -ENOSPC);
	}
	for (unsigned i = 0; i < 6000; i += 7) {
		int rc;

		snprintf(name, sizeof(name), "small%u", i);
		rc = file_unlink(c, INO_ROOT, name, strlen(name), NULL);
		CHECK(rc == 0 || rc == -ENOSPC);
		nr += rc == 0;
	}
	CHECK(nr > 100);
	pool_stat(fp.pool, &st);
	CHECK(!st.failed);
	CHECK_OK(pool_sync(fp.pool));
	CHECK_OK(dataset_destroy(c, 0));
	dataset_put(c);
	CHECK_OK(dataset_destroy(s, 0));
	dataset_put(s);
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "big", 3, NULL));
	CHECK_OK(pool_wait_reaped(fp.pool));
	pool_stat(fp.pool, &st);
	CHECK(st.free > 40 * MIB);
}

/* Random writes into a clone of a pool that is nearly full. */
static void pool__a_full_one_refuses_and_stays_whole(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f"), end;
	struct rnd r = {77};
	uint8_t buf[4096];
	unsigned refused = 0;
	struct pool_stat st;

	(void)state;
	end = fill_up(ino, 0);
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	for (unsigned i = 0; i < 3000; i++) {
		int rc;

		rnd_fill(&r, buf, sizeof(buf));
		rc = file_write(fp.ds, ino, rnd_below(&r, end / 4096) * 4096,
				buf, sizeof(buf), 0);
		CHECK(rc == 0 || rc == -ENOSPC);
		refused += rc != 0;
		if (i % 500 == 0)
			file_pool_reopen(&fp, i % 1000);
	}
	CHECK(refused > 0);
	pool_stat(fp.pool, &st);
	CHECK(!st.failed);
}

static void open_again(void)
{
	const struct pool_options quiet = {.no_background = true};

	CHECK_OK(pool_open_on(blkdev_borrow(fp.mem), &quiet, &fp.pool, &error));
	CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
}

/* S5: what a region has free is lost with its counts; its data is not. */
static void pool__without_a_regions_counts_reads_all_and_goes_on(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	uint64_t other = make_file(fp.ds, INO_ROOT, "g");
	uint8_t *zeros = blkdev_buffer_new(2 * BLOCK_SIZE);
	uint8_t *want = malloc(MIB);
	struct rnd r = {1};
	struct pool_stat before, after;

	(void)state;
	CHECK(zeros && want);
	rnd_fill(&r, want, MIB);
	write_at(fp.ds, ino, 0, want, MIB);
	pool_stat(fp.pool, &before);
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	/* where all of this lies */
	CHECK_OK(blkdev_write(fp.mem, zeros, 2 * BLOCK_SIZE,
			      region_counts_blkno(0, 0) * BLOCK_SIZE));
	free(zeros);
	for (unsigned round = 0; round < 3; round++) {
		open_again();
		read_is(fp.ds, ino, 0, want, MIB);
		/* elsewhere there is space */
		write_at(fp.ds, other, 0, want, MIB);
		write_at(fp.ds, ino, round * UINT64_C(16384), want, 16384);
		memcpy(want + round * 16384, want, 16384);
		CHECK_OK(dataset_snapshot(fp.ds,
					  (char[]){'s', (char)('0' + round), 0},
					  false, NULL));
		read_is(fp.ds, other, 0, want, round ? 16384 : MIB);
		pool_stat(fp.pool, &after);
		CHECK(after.free + 8 * MIB < before.free);
		CHECK(!after.failed);
		dataset_put(fp.ds);
		CHECK_OK(pool_close(fp.pool));
	}
	free(want);
	blkdev_close(fp.mem);
}

static void pool__without_an_index_opens_and_reads_all(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	uint64_t at = space_index_blkno(1, 0, 0) * BLOCK_SIZE;
	uint8_t *zeros = blkdev_buffer_new(2 * BLOCK_SIZE);
	uint8_t *was = blkdev_buffer_new(2 * BLOCK_SIZE);
	uint8_t *want = malloc(MIB);
	struct rnd r = {1};
	struct pool_stat st;

	(void)state;
	CHECK(zeros && was && want);
	rnd_fill(&r, want, MIB);
	write_at(fp.ds, ino, 0, want, MIB);
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	CHECK_OK(blkdev_read(fp.mem, was, 2 * BLOCK_SIZE, at));
	CHECK_OK(blkdev_write(fp.mem, zeros, 2 * BLOCK_SIZE, at));
	open_again();
	read_is(fp.ds, ino, 0, want, MIB);
	CHECK_INT(file_write(fp.ds, ino, 0, want + 5, MIB / 2, 0), -ENOSPC);
	CHECK_INT(dataset_create(fp.pool, "new", NULL, NULL), -ENOSPC);
	read_is(fp.ds, ino, 0, want, MIB);
	pool_stat(fp.pool, &st);
	CHECK_UINT(st.free, 0);
	CHECK(!st.failed);
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	/* nothing was written: with its index it is whole again */
	CHECK_OK(blkdev_write(fp.mem, was, 2 * BLOCK_SIZE, at));
	free(zeros);
	free(was);
	free(want);
	open_again();
}

/* -- growing beside writers -------------------------------------------------------------- */

struct writer {
	uint64_t ino;
	bool stop; /* atomic */
};

static void write_often(void *arg)
{
	struct writer *w = arg;
	struct rnd r = {3};
	uint8_t buf[16384];

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		uint64_t bytes;
		int rc;

		rnd_fill(&r, buf, sizeof(buf));
		rc = file_write(fp.ds, w->ino,
				rnd_below(&r, 3000) * sizeof(buf), buf,
				sizeof(buf), 0);
		MUST(rc == 0 || rc == -ENOSPC);
		if (rnd_one_in(&r, 50))
			MUST(dataset_unique(&fp.ds, 1, &bytes) == 0);
	}
}

static void pool__grows_beside_writers(void **state)
{
	const struct pool_create_options create = {.name = "grow",
						   .size = POOL_SIZE_MIN};
	const struct pool_options o = {.commit_ms = 10};
	struct os_thread t[2] = {0};
	struct writer w[2] = {0};
	struct pool_stat st;
	struct blkdev *dev;

	(void)state;
	log_set_sink(NULL);
	CHECK_OK(blkdev_mem_open(4 * POOL_SIZE_MIN, &fp.mem));
	dev = blkdev_borrow(fp.mem);
	CHECK_OK(pool_create_on(dev, &create, &error));
	CHECK_OK(pool_open_on(dev, &o, &fp.pool, &error));
	CHECK_OK(dataset_create(fp.pool, FILE_POOL_DATASET, NULL, NULL));
	CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
	for (unsigned i = 0; i < 2; i++) {
		w[i].ino = make_file(fp.ds, INO_ROOT, i ? "a" : "b");
		CHECK_OK(os_thread_start(&t[i], "write", write_often, &w[i]));
	}
	for (uint64_t size = POOL_SIZE_MIN + MIB; size <= 4 * POOL_SIZE_MIN;
	     size += 12 * MIB) {
		usleep(10000);
		MUST(pool_grow(fp.pool, size, &error) == 0);
	}
	for (unsigned i = 0; i < 2; i++)
		__atomic_store_n(&w[i].stop, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 2; i++)
		os_thread_join(&t[i]);
	pool_stat(fp.pool, &st);
	CHECK(st.size > 3 * POOL_SIZE_MIN);
	file_pool_release(&fp);
}

#define TEST_FILE(name)                                                        \
	cmocka_unit_test_setup_teardown(name, make_dir_for_files, remove_dir)
#define TEST_FAULTY(name)                                                      \
	cmocka_unit_test_setup_teardown(name, setup_faulty, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_FILE(pool__create_refuses_what_it_must),
		TEST_FILE(pool__second_open_is_refused),
		TEST_FILE(pool__what_is_none_says_so),
		TEST_FILE(pool__a_truncated_file_says_so),
		TEST_FILE(pool__opened_and_closed_is_not_changed),
		TEST_FILE(pool__read_only_changes_nothing_and_reads_all),
		TEST_FILE(pool__who_only_reads_sees_what_was_acknowledged),
		TEST_FILE(pool__what_cannot_be_replayed_is_said),
		TEST_FILE(pool__high_water_stays_ahead_of_what_is_used),
		TEST_FILE(pool__commits_by_itself_after_a_while),
		TEST_FILE(pool__a_file_grows_and_only_grows),
		cmocka_unit_test(pool__a_failed_create_is_an_error),
		TEST_FAULTY(
			pool__failed_flush_makes_it_read_only_and_every_later_fsync_fails),
		TEST_FAULTY(
			pool__a_full_one_gets_its_space_back_without_a_reopen),
		TEST_FAULTY(pool__a_purge_that_failed_is_tried_again),
		TEST_FAULTY(pool__a_full_one_deletes_in_clones),
		TEST_FAULTY(pool__a_full_one_refuses_and_stays_whole),
		cmocka_unit_test_setup(
			pool__without_a_regions_counts_reads_all_and_goes_on,
			setup_faulty),
		TEST_FAULTY(pool__without_an_index_opens_and_reads_all),
		cmocka_unit_test(pool__grows_beside_writers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
