/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/file_pool.h"

#include <errno.h>
#include "tests/lib/blkdev_view.h"

static void open_pool(struct file_pool *fp)
{
	const struct pool_options options = {.no_background = true};
	struct store_error error = {""};
	int rc = pool_open_on(blkdev_borrow(fp->mem), &options, &fp->pool,
			      &error);

	if (rc)
		print_error("open: %s\n", error.text);
	CHECK_OK(rc);
	CHECK_OK(dataset_open(fp->pool, FILE_POOL_DATASET, &fp->ds));
}

void file_pool_init(struct file_pool *fp, unsigned mib,
		    const struct dataset_properties *p)
{
	struct blkdev *dev;

	CHECK_OK(blkdev_mem_open((uint64_t)mib << 20, &dev));
	file_pool_init_on(fp, dev, p);
}

void file_pool_init_on(struct file_pool *fp, struct blkdev *mem,
		       const struct dataset_properties *p)
{
	const struct pool_options options = {.no_background = true};
	struct pool_create_options create = {.name = "test"};
	struct dataset_properties defaults;
	struct store_error error = {""};
	struct blkdev *dev;
	uint32_t id;
	int rc;

	dataset_properties_default(&defaults);
	fp->mem = mem;
	dev = blkdev_borrow(fp->mem);
	rc = pool_create_on(dev, &create, &error);
	if (rc)
		print_error("create: %s\n", error.text);
	CHECK_OK(rc);
	blkdev_close(dev);
	CHECK_OK(pool_open_on(blkdev_borrow(fp->mem), &options, &fp->pool,
			      &error));
	CHECK_OK(dataset_create(fp->pool, FILE_POOL_DATASET, p ? p : &defaults,
				&id));
	CHECK_OK(dataset_open(fp->pool, FILE_POOL_DATASET, &fp->ds));
}

static void report(void *arg, const char *text)
{
	(void)arg;
	print_error("check: %s\n", text);
}

void file_pool_check(struct file_pool *fp)
{
	const struct check_options options = {.data = true, .report = report};
	struct blkdev *dev = blkdev_borrow(fp->mem);
	struct store_error error = {""};
	struct check_result result;

	CHECK_OK(check_run(dev, &options, &result, &error));
	CHECK_UINT(result.nr_errors, 0);
	CHECK_UINT(result.blocks_leaked, 0);
	blkdev_close(dev);
}

void file_pool_release(struct file_pool *fp)
{
	dataset_put(fp->ds);
	CHECK_OK(pool_close(fp->pool));
	file_pool_check(fp);
	blkdev_close(fp->mem);
}

void file_pool_reopen(struct file_pool *fp, bool crash)
{
	dataset_put(fp->ds);
	if (crash)
		pool_abandon(fp->pool);
	else
		CHECK_OK(pool_close(fp->pool));
	file_pool_check(fp);
	open_pool(fp);
}

static uint64_t make(struct dataset *ds, uint64_t dir, const char *name,
		     uint32_t mode)
{
	const struct file_new n = {.mode = mode, .uid = 7, .gid = 8};
	struct file_attr attr;

	CHECK_OK(file_create(ds, dir, name, strlen(name), &n, &attr));
	return attr.ino;
}

uint64_t make_file(struct dataset *ds, uint64_t dir, const char *name)
{
	return make(ds, dir, name, S_IFREG | 0644);
}

uint64_t make_dir(struct dataset *ds, uint64_t dir, const char *name)
{
	return make(ds, dir, name, S_IFDIR | 0755);
}

uint64_t find_name(struct dataset *ds, uint64_t dir, const char *name)
{
	struct file_attr attr;
	int rc = file_lookup(ds, dir, name, strlen(name), &attr);

	if (rc == -ENOENT)
		return 0;
	CHECK_OK(rc);
	return attr.ino;
}

struct file_attr attr_of(struct dataset *ds, uint64_t ino)
{
	struct file_attr attr;

	CHECK_OK(file_getattr(ds, ino, &attr));
	return attr;
}

void write_at(struct dataset *ds, uint64_t ino, uint64_t offset,
	      const void *buf, size_t len)
{
	CHECK_OK(file_write(ds, ino, offset, buf, len, 0));
}

void read_is(struct dataset *ds, uint64_t ino, uint64_t offset,
	     const void *want, size_t len)
{
	uint8_t *got = malloc(len + 1);
	size_t n;

	MUST(got);
	memset(got, 0x5a, len + 1);
	CHECK_OK(file_read(ds, ino, offset, got, len, &n));
	CHECK_UINT(n, len);
	CHECK_MEM(got, want, len);
	CHECK_UINT(got[len], 0x5a);
	free(got);
}

void set_size(struct dataset *ds, uint64_t ino, uint64_t size)
{
	const struct file_attr attr = {.size = size};

	CHECK_OK(file_setattr(ds, ino, FILE_SET_SIZE, &attr, NULL));
}

struct dataset_info info_of(struct dataset *ds)
{
	struct dataset_info info;

	dataset_info(ds, &info);
	return info;
}
