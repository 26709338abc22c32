/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/xattr.h>

#include "store/dataset_internal.h"
#include "store/format.h"
#include "tests/lib/file_pool.h"

static struct file_pool fp;
static uint8_t bytes[70000], got[70000];

static int setup(void **state)
{
	(void)state;
	file_pool_init(&fp, 128, NULL);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	file_pool_release(&fp);
	return 0;
}

/* ---- open and unlinked -------------------------------------------------- */

static void unlink__of_an_open_file_frees_it_at_the_last_close(void **state)
{
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	struct file_attr attr;
	uint32_t nr, nr_write;

	(void)state;
	write_at(fp.ds, f, 0, bytes, sizeof(bytes));
	CHECK_OK(file_open(fp.ds, f, true));
	CHECK_OK(file_open(fp.ds, f, false));
	dataset_open_files(fp.ds, &nr, &nr_write);
	CHECK_UINT(nr, 1);
	CHECK_UINT(nr_write, 1);
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
	CHECK_UINT(attr_of(fp.ds, f).nlink, 0);
	write_at(fp.ds, f, 10, "still", 5);
	memcpy(bytes + 10, "still", 5);
	read_is(fp.ds, f, 0, bytes, sizeof(bytes));
	file_close(fp.ds, f, true);
	CHECK_OK(file_getattr(fp.ds, f, &attr));
	file_close(fp.ds, f, false);
	CHECK_INT(file_getattr(fp.ds, f, &attr), -ENOENT);
	CHECK_INT(file_open(fp.ds, f, false), -ENOENT);
	CHECK_UINT(info_of(fp.ds).referenced, 0);
	CHECK_UINT(info_of(fp.ds).nr_inodes, 1);
	CHECK_UINT(fp.ds->nr_orphans, 0);
}

static void hold__keeps_an_unlinked_inode_and_is_no_open_file(void **state)
{
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	struct file_attr attr;
	uint32_t nr, nr_write;

	(void)state;
	write_at(fp.ds, f, 0, bytes, sizeof(bytes));
	CHECK_OK(file_hold(fp.ds, f));
	CHECK_OK(file_hold(fp.ds, f));
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
	dataset_open_files(fp.ds, &nr, &nr_write);
	CHECK_UINT(nr, 0);
	read_is(fp.ds, f, 0, bytes, sizeof(bytes));
	/* who comes back to it may open it */
	CHECK_OK(file_open(fp.ds, f, true));
	file_unhold(fp.ds, f);
	file_unhold(fp.ds, f);
	dataset_open_files(fp.ds, &nr, &nr_write);
	CHECK_UINT(nr, 1);
	read_is(fp.ds, f, 0, bytes, sizeof(bytes));
	CHECK_OK(file_hold(fp.ds, f));
	file_close(fp.ds, f, true);
	CHECK_OK(file_getattr(fp.ds, f, &attr));
	file_unhold(fp.ds, f);
	CHECK_INT(file_getattr(fp.ds, f, &attr), -ENOENT);
	CHECK_INT(file_hold(fp.ds, f), -ENOENT);
	CHECK_UINT(info_of(fp.ds).referenced, 0);
}

static void unlink__an_orphan_of_a_crash_is_purged(void **state)
{
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	struct file_attr attr;

	(void)state;
	write_at(fp.ds, f, 0, bytes, sizeof(bytes));
	CHECK_OK(file_open(fp.ds, f, false));
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
	CHECK_OK(pool_sync(fp.pool));
	file_pool_reopen(&fp, true);
	CHECK_OK(file_purge_orphans(fp.ds));
	CHECK_INT(file_getattr(fp.ds, f, &attr), -ENOENT);
	CHECK_UINT(fp.ds->nr_orphans, 0);
	CHECK_UINT(info_of(fp.ds).referenced, 0);
}

static void unlink__of_a_file_with_many_leaves_gives_all_back(void **state)
{
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");

	(void)state;
	CHECK_OK(file_setxattr(fp.ds, f, "user.a", bytes, 60000, 0));
	for (uint64_t i = 0; i < 3000; i++)
		write_at(fp.ds, f, i * 65536, bytes, 16384);
	CHECK_OK(pool_sync(fp.pool));
	write_at(fp.ds, f, 100, "dirty", 5);
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
	CHECK_UINT(info_of(fp.ds).referenced, 0);
	CHECK_UINT(info_of(fp.ds).logical, 0);
	CHECK_UINT(info_of(fp.ds).nr_inodes, 1);
}

static void tmpfile__gets_a_name_or_goes_at_close(void **state)
{
	const struct file_new n = {.mode = S_IFREG | 0600, .open_write = true};
	struct file_attr a, b;

	(void)state;
	CHECK_OK(file_create_unnamed(fp.ds, INO_ROOT, &n, &a));
	CHECK_OK(file_create_unnamed(fp.ds, INO_ROOT, &n, &b));
	CHECK_UINT(a.nlink, 0);
	write_at(fp.ds, a.ino, 0, bytes, 100);
	CHECK_OK(file_link(fp.ds, a.ino, INO_ROOT, "named", 5, &a));
	CHECK_UINT(a.nlink, 1);
	file_close(fp.ds, a.ino, true);
	file_close(fp.ds, b.ino, true);
	read_is(fp.ds, a.ino, 0, bytes, 100);
	CHECK_INT(file_getattr(fp.ds, b.ino, &b), -ENOENT);
	CHECK_UINT(fp.ds->nr_orphans, 0);
}

static void create__opened_is_held_from_the_start(void **state)
{
	const struct file_new n = {.mode = S_IFREG | 0600, .opened = true};
	struct file_attr attr;
	uint32_t nr, nr_write;

	(void)state;
	CHECK_OK(file_create(fp.ds, INO_ROOT, "f", 1, &n, &attr));
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
	CHECK_OK(file_getattr(fp.ds, attr.ino, &attr));
	dataset_open_files(fp.ds, &nr, &nr_write);
	CHECK_UINT(nr, 1);
	CHECK_UINT(nr_write, 0);
	file_close(fp.ds, attr.ino, false);
}

static void open__of_many_inodes_counts_them(void **state)
{
	uint64_t ino[500];
	char name[16];
	uint32_t nr, nr_write;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "%u", i);
		ino[i] = make_file(fp.ds, INO_ROOT, name);
		CHECK_OK(file_open(fp.ds, ino[i], i % 2));
	}
	dataset_open_files(fp.ds, &nr, &nr_write);
	CHECK_UINT(nr, 500);
	CHECK_UINT(nr_write, 250);
	for (unsigned i = 0; i < 500; i++)
		file_close(fp.ds, ino[i], i % 2);
	dataset_open_files(fp.ds, &nr, &nr_write);
	CHECK_UINT(nr, 0);
	CHECK_UINT(nr_write, 0);
}

static void open__of_a_snapshot_is_for_reading_only(void **state)
{
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	struct file_attr attr;
	struct dataset *snap;
	uint32_t id;

	(void)state;
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, &id));
	CHECK_OK(dataset_open_id(fp.pool, id, &snap));
	CHECK_INT(file_open(snap, f, true), -EROFS);
	CHECK_OK(file_open(snap, f, false));
	CHECK_INT(file_unlink(snap, INO_ROOT, "f", 1, NULL), -EROFS);
	attr.uid = 1;
	CHECK_INT(file_setattr(snap, f, FILE_SET_UID, &attr, NULL), -EROFS);
	attr.size = 1;
	CHECK_INT(file_setattr(snap, f, FILE_SET_SIZE, &attr, NULL), -EROFS);
	file_close(snap, f, false);
	dataset_put(snap);
}

/* ---- counters ----------------------------------------------------------- */

static void quota__is_not_exceeded_by_writes(void **state)
{
	struct dataset_properties p = info_of(fp.ds).properties;
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	int rc = 0;

	(void)state;
	p.quota = 1u << 20;
	p.compression = 0;
	CHECK_OK(dataset_set_properties(fp.ds, &p));
	for (unsigned i = 0; rc == 0 && i < 100; i++)
		rc = file_write(fp.ds, f, i * 65536ull, bytes, 65536, 0);
	CHECK_INT(rc, -EDQUOT);
	CHECK(info_of(fp.ds).referenced <= 1u << 20);
	/* overwriting needs no more, deleting gives back */
	CHECK_OK(file_write(fp.ds, f, 0, bytes, 65536, 0));
	set_size(fp.ds, f, 0);
	CHECK_OK(file_write(fp.ds, f, 0, bytes, 65536, 0));
}

static void full_pool__writes_fail_and_deletes_succeed(void **state)
{
	uint64_t f = make_file(fp.ds, INO_ROOT, "f"), offset = 0;
	static uint8_t noise[1u << 20];
	int rc = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * i * 31 + (i >> 7) * 17 + (i >> 3));
	while (rc == 0) {
		for (size_t i = 0; i < sizeof(noise); i += 64)
			memcpy(noise + i, &offset, sizeof(offset));
		rc = file_write(fp.ds, f, offset, noise, sizeof(noise), 0);
		offset += sizeof(noise);
		MUST(offset < (uint64_t)1 << 30);
	}
	CHECK_INT(rc, -ENOSPC);
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
	CHECK_OK(pool_sync(fp.pool));
	f = make_file(fp.ds, INO_ROOT, "g");
	CHECK_OK(file_write(fp.ds, f, 0, noise, sizeof(noise), 0));
}

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static void failed_write__makes_the_pool_read_only_but_readable(void **state)
{
	struct file_pool broken;
	struct blkdev *mem, *dev;
	struct pool_stat st;
	uint64_t f;

	(void)state;
	CHECK_OK(blkdev_mem_open(UINT64_C(64) << 20, &mem));
	CHECK_OK(blkdev_faulty_open(mem, &dev));
	file_pool_init_on(&broken, dev, NULL);
	f = make_file(broken.ds, INO_ROOT, "f");
	write_at(broken.ds, f, 0, bytes, sizeof(bytes));
	CHECK_OK(file_fsync(broken.ds, f));
	log_set_sink(no_log);
	blkdev_faulty_fail(dev, BLKDEV_CALL_WRITE, 1, -EIO, false, true);
	CHECK_INT(file_write(broken.ds, f, 0, bytes + 1, 65536, 0), -EIO);
	CHECK_INT(file_write(broken.ds, f, 0, bytes + 1, 65536, 0), -EROFS);
	CHECK(file_fsync(broken.ds, f) != 0);
	CHECK_INT(file_unlink(broken.ds, INO_ROOT, "f", 1, NULL), -EROFS);
	pool_stat(broken.pool, &st);
	CHECK(st.failed && st.read_only);
	read_is(broken.ds, f, 0, bytes, sizeof(bytes));
	dataset_put(broken.ds);
	pool_abandon(broken.pool);
	log_set_sink(NULL);
	blkdev_close(dev);
}

static void destroy__of_a_dataset_makes_its_handles_stale(void **state)
{
	struct dataset_properties p = info_of(fp.ds).properties;
	struct file_attr attr;
	struct dataset *ds;
	uint64_t f, n64;
	uint32_t id;
	size_t n;

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "other", &p, &id));
	CHECK_OK(dataset_open_id(fp.pool, id, &ds));
	f = make_file(ds, INO_ROOT, "f");
	write_at(ds, f, 0, bytes, sizeof(bytes));
	CHECK_OK(file_open(ds, f, true));
	CHECK_INT(dataset_destroy(ds, 0), -EBUSY);
	CHECK_OK(dataset_destroy(ds, DESTROY_FORCE));
	CHECK_INT(file_getattr(ds, f, &attr), -ESTALE);
	CHECK_INT(file_write(ds, f, 0, "x", 1, 0), -ESTALE);
	CHECK_INT(file_read(ds, f, 0, got, 10, &n), -ESTALE);
	CHECK_INT(file_copy(ds, f, 0, fp.ds, INO_ROOT, 0, 1, 0, &n64), -EISDIR);
	file_close(ds, f, true);
	dataset_put(ds);
	CHECK_OK(pool_wait_reaped(fp.pool));
}

/* ---- extended attributes ------------------------------------------------ */

static void xattr__values_of_all_sizes_read_back(void **state)
{
	static const size_t lens[] = {0,    1,	  1000, 1012,
				      1013, 1014, 5000, 65536};
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		CHECK_OK(file_setxattr(fp.ds, f, "user.v", bytes, lens[i], 0));
		CHECK_OK(file_getxattr(fp.ds, f, "user.v", got, sizeof(got),
				       &n));
		CHECK_UINT(n, lens[i]);
		CHECK_MEM(got, bytes, n);
		CHECK_OK(file_getxattr(fp.ds, f, "user.v", NULL, 0, &n));
		CHECK_UINT(n, lens[i]);
	}
	CHECK_INT(file_getxattr(fp.ds, f, "user.v", got, 10, &n), -ERANGE);
	CHECK_OK(file_setxattr(fp.ds, f, "user.v", bytes + 3, 4, 0));
	file_pool_reopen(&fp, false);
	CHECK_OK(file_getxattr(fp.ds, f, "user.v", got, sizeof(got), &n));
	CHECK_UINT(n, 4);
	CHECK_MEM(got, bytes + 3, 4);
	CHECK_INT(file_setxattr(fp.ds, f, "user.v", bytes, 65537, 0), -E2BIG);
}

static void xattr__create_replace_remove_and_list(void **state)
{
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	char list[64];
	size_t n;

	(void)state;
	CHECK_INT(file_getxattr(fp.ds, f, "user.a", got, 9, &n), -ENODATA);
	CHECK_INT(file_setxattr(fp.ds, f, "user.a", "x", 1, XATTR_REPLACE),
		  -ENODATA);
	CHECK_OK(file_setxattr(fp.ds, f, "user.a", "x", 1, XATTR_CREATE));
	CHECK_INT(file_setxattr(fp.ds, f, "user.a", "x", 1, XATTR_CREATE),
		  -EEXIST);
	CHECK_OK(file_setxattr(fp.ds, f, "user.bb", "y", 1, 0));
	CHECK_OK(file_listxattr(fp.ds, f, NULL, 0, &n));
	CHECK_UINT(n, 15);
	CHECK_INT(file_listxattr(fp.ds, f, list, 14, &n), -ERANGE);
	CHECK_OK(file_listxattr(fp.ds, f, list, sizeof(list), &n));
	CHECK_UINT(n, 15);
	CHECK(memmem(list, n, "user.a", 7) && memmem(list, n, "user.bb", 8));
	CHECK_OK(file_removexattr(fp.ds, f, "user.a"));
	CHECK_INT(file_removexattr(fp.ds, f, "user.a"), -ENODATA);
	CHECK_OK(file_listxattr(fp.ds, f, list, sizeof(list), &n));
	CHECK_UINT(n, 8);
}

static void kill_priv__takes_capabilities_and_setuid_on_write(void **state)
{
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	struct file_attr attr = {.mode = 06755};
	size_t n;

	(void)state;
	CHECK_OK(file_setattr(fp.ds, f, FILE_SET_MODE, &attr, NULL));
	CHECK_OK(file_setxattr(fp.ds, f, "security.capability", "c", 1, 0));
	CHECK_OK(file_setxattr(fp.ds, f, "user.a", "x", 1, 0));
	write_at(fp.ds, f, 0, "a", 1);
	CHECK_UINT(attr_of(fp.ds, f).mode & 07777, 06755);
	CHECK_OK(file_write(fp.ds, f, 0, "a", 1, FILE_KILL_PRIV));
	CHECK_UINT(attr_of(fp.ds, f).mode & 07777, 0755);
	CHECK_INT(file_getxattr(fp.ds, f, "security.capability", NULL, 0, &n),
		  -ENODATA);
	CHECK_OK(file_getxattr(fp.ds, f, "user.a", NULL, 0, &n));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(unlink__of_an_open_file_frees_it_at_the_last_close),
		T(hold__keeps_an_unlinked_inode_and_is_no_open_file),
		T(unlink__an_orphan_of_a_crash_is_purged),
		T(unlink__of_a_file_with_many_leaves_gives_all_back),
		T(tmpfile__gets_a_name_or_goes_at_close),
		T(create__opened_is_held_from_the_start),
		T(open__of_many_inodes_counts_them),
		T(open__of_a_snapshot_is_for_reading_only),
		T(quota__is_not_exceeded_by_writes),
		T(full_pool__writes_fail_and_deletes_succeed),
		T(failed_write__makes_the_pool_read_only_but_readable),
		T(destroy__of_a_dataset_makes_its_handles_stale),
		T(xattr__values_of_all_sizes_read_back),
		T(xattr__create_replace_remove_and_list),
		T(kill_priv__takes_capabilities_and_setuid_on_write),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
