/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens between looking something up and using it: the device calls
 * back in the middle of an operation, and the test changes the file there.
 */
#include <errno.h>

#include "store/dataset_internal.h"
#include "store/dirty.h"
#include "store/file_internal.h"
#include "store/format.h"
#include "store/orphan.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

#define RS 16384u

static struct file_pool fp;
static struct blkdev *mem;
static struct rnd rnd = {.state = 7};
static uint8_t old[8 * RS], new[8 * RS], expect[8 * RS];

/* ---- a device that calls back ------------------------------------------- */

static struct {
	void (*on_read)(void);
	void (*on_write)(void);
	unsigned nr; /* calls made */
	bool inside;
} hook;

static void call(void (*fn)(void))
{
	if (!fn || hook.inside)
		return;
	hook.inside = true;
	hook.nr++;
	fn();
	hook.inside = false;
}

static int hook_preadv(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		       uint64_t offset)
{
	(void)dev;
	call(hook.on_read);
	return blkdev_preadv(mem, iov, nr_iov, offset);
}

static int hook_pwritev(struct blkdev *dev, const struct iovec *iov, int nr_iov,
			uint64_t offset)
{
	(void)dev;
	call(hook.on_write);
	return blkdev_pwritev(mem, iov, nr_iov, offset);
}

static int hook_flush(struct blkdev *dev)
{
	(void)dev;
	return blkdev_flush(mem);
}

static int hook_discard(struct blkdev *dev, uint64_t offset, uint64_t length)
{
	(void)dev;
	return blkdev_discard(mem, offset, length);
}

static void hook_close(struct blkdev *dev)
{
	(void)dev;
	blkdev_close(mem);
}

static const struct blkdev_ops hook_ops = {
	.preadv = hook_preadv,
	.pwritev = hook_pwritev,
	.flush = hook_flush,
	.discard = hook_discard,
	.close = hook_close,
};
static struct blkdev hook_dev;

static int setup(void **state)
{
	(void)state;
	CHECK_OK(blkdev_mem_open(UINT64_C(128) << 20, &mem));
	memset(&hook, 0, sizeof(hook));
	hook_dev = *mem;
	hook_dev.ops = &hook_ops;
	file_pool_init_on(&fp, &hook_dev, NULL);
	/* neither compresses */
	rnd_fill(&rnd, old, sizeof(old));
	rnd_fill(&rnd, new, sizeof(new));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	memset(&hook, 0, sizeof(hook));
	file_pool_release(&fp);
	return 0;
}

/* ---- races --------------------------------------------------------------- */

static uint64_t ino;

/* Replace the first record; its old blocks are used for something else. */
static void replace_and_reuse(void)
{
	uint8_t *at;

	hook.on_read = NULL;
	write_at(fp.ds, ino, 0, new, RS);
	MUST(pool_sync(fp.pool) == 0);
	at = memmem(blkdev_mem_data(mem), mem->size, old, 512);
	MUST(at);
	memset(at, 0x77, RS);
}

static void read__of_a_record_replaced_meanwhile_returns_the_new(void **state)
{
	(void)state;
	ino = make_file(fp.ds, INO_ROOT, "f");
	write_at(fp.ds, ino, 0, old, 2 * RS);
	CHECK_OK(pool_sync(fp.pool));
	hook.on_read = replace_and_reuse;
	memcpy(expect, new, RS);
	memcpy(expect + RS, old + RS, RS);
	read_is(fp.ds, ino, 0, expect, 2 * RS);
	CHECK_UINT(hook.nr, 1);
}

static void write__of_a_part_merges_with_what_came_meanwhile(void **state)
{
	(void)state;
	ino = make_file(fp.ds, INO_ROOT, "f");
	write_at(fp.ds, ino, 0, old, 2 * RS);
	CHECK_OK(pool_sync(fp.pool));
	hook.on_read = replace_and_reuse;
	write_at(fp.ds, ino, 1000, "part", 4);
	CHECK_UINT(hook.nr, 1);
	memcpy(expect, new, RS);
	memcpy(expect + 1000, "part", 4);
	read_is(fp.ds, ino, 0, expect, RS);
}

static void cut_short(void)
{
	hook.on_read = NULL;
	set_size(fp.ds, ino, 100);
}

static void write__of_a_part_sees_a_truncation_meanwhile(void **state)
{
	(void)state;
	ino = make_file(fp.ds, INO_ROOT, "f");
	write_at(fp.ds, ino, 0, old, 2 * RS);
	CHECK_OK(pool_sync(fp.pool));
	hook.on_read = cut_short;
	write_at(fp.ds, ino, RS + 1000, "part", 4);
	memset(expect, 0, 2 * RS);
	memcpy(expect, old, 100);
	memcpy(expect + RS + 1000, "part", 4);
	CHECK_UINT(attr_of(fp.ds, ino).size, RS + 1004);
	read_is(fp.ds, ino, 0, expect, RS + 1004);
}

static uint8_t count;

static void write_more(void)
{
	count++;
	write_at(fp.ds, ino, 50, &count, 1);
}

static void flush__of_a_record_that_keeps_changing_ends(void **state)
{
	(void)state;
	ino = make_file(fp.ds, INO_ROOT, "f");
	write_at(fp.ds, ino, 0, old, 5000);
	hook.on_write = write_more;
	count = 0;
	CHECK_OK(dirty_flush(fp.ds));
	hook.on_write = NULL;
	CHECK(hook.nr > 1);
	CHECK(!dirty_any(fp.ds));
	memcpy(expect, old, 5000);
	expect[50] = count;
	read_is(fp.ds, ino, 0, expect, 5000);
	CHECK_UINT(info_of(fp.ds).logical, RS);
}

static void read_all(void)
{
	hook.on_write = NULL;
	read_is(fp.ds, ino, 0, old, RS + 5000);
}

static void read__during_a_commit_finds_deferred_records(void **state)
{
	(void)state;
	ino = make_file(fp.ds, INO_ROOT, "f");
	write_at(fp.ds, ino, 0, old, RS + 5000);
	CHECK(dirty_any(fp.ds));
	hook.on_write = read_all;
	CHECK_OK(pool_sync(fp.pool));
	CHECK_UINT(hook.nr, 1);
	CHECK(!dirty_any(fp.ds));
	read_all();
}

static void write_again(void)
{
	hook.on_write = NULL;
	write_at(fp.ds, ino, 10, "again", 5);
}

static void write__during_a_commit_goes_into_the_next(void **state)
{
	(void)state;
	ino = make_file(fp.ds, INO_ROOT, "f");
	write_at(fp.ds, ino, 0, old, 5000);
	hook.on_write = write_again;
	CHECK_OK(pool_sync(fp.pool));
	CHECK(dirty_any(fp.ds));
	memcpy(expect, old, 5000);
	memcpy(expect + 10, "again", 5);
	read_is(fp.ds, ino, 0, expect, 5000);
	file_pool_reopen(&fp, true);
	read_is(fp.ds, ino, 0, old, 5000);
}

static void only_count(void)
{
}

static void append__after_a_sync_does_not_read_the_record_again(void **state)
{
	(void)state;
	ino = make_file(fp.ds, INO_ROOT, "f");
	hook.on_read = only_count;
	for (unsigned i = 0; i < 100; i++) {
		write_at(fp.ds, ino, i * 500, old + i * 500, 500);
		CHECK_OK(file_fsync(fp.ds, ino));
	}
	CHECK_UINT(hook.nr, 0);
	read_is(fp.ds, ino, 0, old, 50000);
	/* what was overwritten as a whole is not taken for the old */
	write_at(fp.ds, ino, 2 * RS, new, RS);
	CHECK_OK(pool_sync(fp.pool));
	write_at(fp.ds, ino, 2 * RS + 7, "part", 4);
	memcpy(expect, old, 50000);
	memcpy(expect + 2 * RS, new, RS);
	memcpy(expect + 2 * RS + 7, "part", 4);
	read_is(fp.ds, ino, 0, expect, 50000);
}

/* ---- unfinished truncations ----------------------------------------------- */

/* What the first op of a large truncation leaves behind. */
static int half_truncate(struct op *op, struct dataset *ds, void *arg)
{
	struct inode inode;
	int rc = inode_get(op, ds, ino, &inode);

	(void)arg;
	if (rc == 0)
		rc = inode_touch(op, ds, ino);
	if (rc == 0)
		rc = orphan_touch(op, ds, ino);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	inode.size = RS;
	orphan_put_truncate(op, ds, &inode);
	inode_put(op, ds, &inode);
	return 0;
}

static void make_half_truncated(void)
{
	ino = make_file(fp.ds, INO_ROOT, "f");
	write_at(fp.ds, ino, 0, old, 8 * RS);
	write_at(fp.ds, ino, 5 * RS + 5, "dirty", 5);
	CHECK_OK(op_change(fp.ds, 2, 0, half_truncate, NULL));
	CHECK_UINT(fp.ds->nr_orphans, 1);
}

static void truncate__cut_short_is_finished_before_a_write(void **state)
{
	(void)state;
	make_half_truncated();
	CHECK_OK(pool_sync(fp.pool));
	write_at(fp.ds, ino, 7 * RS, "x", 1);
	CHECK_UINT(fp.ds->nr_orphans, 0);
	memset(expect, 0, sizeof(expect));
	memcpy(expect, old, RS);
	expect[7 * RS] = 'x';
	read_is(fp.ds, ino, 0, expect, 7 * RS + 1);
}

static void truncate__cut_short_is_finished_before_it_grows(void **state)
{
	(void)state;
	make_half_truncated();
	set_size(fp.ds, ino, 8 * RS);
	CHECK_UINT(fp.ds->nr_orphans, 0);
	memset(expect, 0, sizeof(expect));
	memcpy(expect, old, RS);
	read_is(fp.ds, ino, 0, expect, 8 * RS);
}

static void truncate__cut_short_is_finished_when_it_is_unlinked(void **state)
{
	(void)state;
	make_half_truncated();
	CHECK_OK(file_open(fp.ds, ino, false));
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
	CHECK_UINT(fp.ds->nr_orphans, 1);
	CHECK_UINT(info_of(fp.ds).logical, RS);
	file_close(fp.ds, ino, false);
	CHECK_UINT(fp.ds->nr_orphans, 0);
	CHECK_UINT(info_of(fp.ds).logical, 0);
}

static void truncate__cut_short_by_a_crash_is_finished_at_open(void **state)
{
	(void)state;
	make_half_truncated();
	CHECK_OK(pool_sync(fp.pool));
	file_pool_reopen(&fp, true);
	CHECK_UINT(fp.ds->nr_orphans, 0);
	CHECK_UINT(info_of(fp.ds).logical, RS);
	read_is(fp.ds, ino, 0, old, RS);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(read__of_a_record_replaced_meanwhile_returns_the_new),
		T(write__of_a_part_merges_with_what_came_meanwhile),
		T(write__of_a_part_sees_a_truncation_meanwhile),
		T(flush__of_a_record_that_keeps_changing_ends),
		T(read__during_a_commit_finds_deferred_records),
		T(write__during_a_commit_goes_into_the_next),
		T(append__after_a_sync_does_not_read_the_record_again),
		T(truncate__cut_short_is_finished_before_a_write),
		T(truncate__cut_short_is_finished_before_it_grows),
		T(truncate__cut_short_is_finished_when_it_is_unlinked),
		T(truncate__cut_short_by_a_crash_is_finished_at_open),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
