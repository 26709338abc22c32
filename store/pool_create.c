/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a pool and making it bigger.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/pool_internal.h"
#include "store/util.h"

#define ILOG_BYTES_MIN (UINT64_C(4) << 20)
#define ILOG_BYTES_MAX (UINT64_C(256) << 20)
/* what a region offers to the log behind its reserved blocks */
#define ILOG_FIRST   2u /* region */
#define ILOG_SEGMENT (REGION_BLOCKS - 2u)
#define ZERO_BYTES   ((size_t)1 << 20)
/* regions zeroed at creation, beside the log's */
#define REGIONS_AHEAD 8u

/* Blocks that a pool of @size bytes has: no useless stump at the end. */
static uint64_t usable_blocks(uint64_t size)
{
	uint64_t nr = size / BLOCK_SIZE, tail = nr % REGION_BLOCKS;

	return tail <= region_reserved(nr / REGION_BLOCKS) ? nr - tail : nr;
}

/* What is written with zeros, and who wants to know how far that is. */
struct zeroing {
	struct blkdev *dev;
	const struct pool_create_options *options;
	uint64_t done, total; /* blocks */
};

static int write_zeros(struct zeroing *z, uint64_t first, uint64_t nr)
{
	const struct pool_create_options *o = z->options;
	uint8_t *zeros = blkdev_buffer_new(ZERO_BYTES);
	int rc = zeros ? 0 : -ENOMEM;

	if (zeros)
		memset(zeros, 0, ZERO_BYTES);
	while (nr > 0 && rc == 0) {
		uint64_t n = MIN_OF(nr, (uint64_t)ZERO_BYTES / BLOCK_SIZE);

		rc = blkdev_write(z->dev, zeros, n * BLOCK_SIZE,
				  first * BLOCK_SIZE);
		first += n;
		nr -= n;
		z->done += n;
		if (rc == 0 && o->progress)
			rc = o->progress(o->arg, z->done * BLOCK_SIZE,
					 z->total * BLOCK_SIZE);
	}
	free(zeros);
	return rc;
}

/* The log's segments: from region 2 on, one a region. */
static void lay_out_log(struct superblock *sb, uint64_t nr_blocks)
{
	uint64_t left =
		MIN_OF(MAX_OF(nr_blocks * BLOCK_SIZE / 64, ILOG_BYTES_MIN),
		       ILOG_BYTES_MAX) /
		BLOCK_SIZE;

	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX && left > 0; i++) {
		uint64_t first = (ILOG_FIRST + (uint64_t)i) * REGION_BLOCKS +
				 region_reserved(ILOG_FIRST + i);
		uint64_t nr = MIN_OF(left, (uint64_t)ILOG_SEGMENT);

		if (first + nr > nr_blocks)
			break;
		sb->ilog[i].first = le64_of(first);
		sb->ilog[i].nr = le32_of((uint32_t)nr);
		left -= nr;
	}
}

/*
 * Where the high-water mark starts: a preallocated file is zeroed that far,
 * the log and a little to begin with; anything else has no such mark.
 */
static uint64_t first_high_water(const struct superblock *sb,
				 const struct blkdev *dev, bool sparse,
				 uint64_t nr_blocks)
{
	uint64_t regions = 2 + REGIONS_AHEAD;

	if (!dev->is_file || sparse)
		return nr_blocks;
	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX; i++)
		regions += le32_get(sb->ilog[i].nr) > 0;
	return MIN_OF(regions * REGION_BLOCKS, nr_blocks);
}

/* The log is written once, whatever the device, and never sparse. */
static int zero_first(struct zeroing *z, const struct superblock *sb)
{
	int rc = 0;

	if (z->dev->is_file && !z->options->sparse) {
		z->total += le64_get(sb->high_water);
		return write_zeros(z, 0, le64_get(sb->high_water));
	}
	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX; i++)
		z->total += le32_get(sb->ilog[i].nr);
	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX && rc == 0; i++)
		rc = write_zeros(z, le64_get(sb->ilog[i].first),
				 le32_get(sb->ilog[i].nr));
	return rc;
}

/* Claim the log's blocks in the first txg. */
static int claim_log(struct pool *pool)
{
	const struct superblock *sb = pool->sb;
	struct op op;
	int rc = op_begin(&op, pool, ILOG_SEGMENTS_MAX, OP_USE_RESERVE);

	if (rc)
		return rc;
	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX && rc == 0; i++) {
		uint64_t first = le64_get(sb->ilog[i].first);
		uint32_t nr = le32_get(sb->ilog[i].nr);

		if (nr == 0)
			continue;
		rc = space_map_take(pool->sm, first, nr);
		if (rc)
			break;
		op_enter(&op);
		rc = op_ready(&op);
		if (rc == 0)
			op_claim(&op, first, nr);
		op_leave(&op);
	}
	op_end(&op);
	return rc;
}

/* Something that a careless command should not overwrite? */
static bool holds_something(struct blkdev *dev)
{
	uint8_t *buf = blkdev_buffer_new(ZERO_BYTES);
	size_t len = MIN_OF(ZERO_BYTES, (size_t)dev->size);
	bool found = false;

	if (!buf || blkdev_read(dev, buf, len, 0))
		found = true;
	for (size_t i = 0; i < len && !found; i++)
		found = buf[i] != 0;
	free(buf);
	return found;
}

int pool_create_on(struct blkdev *dev,
		   const struct pool_create_options *options,
		   struct store_error *error)
{
	const char *name = options->name ? options->name : "pool";
	uint64_t size = options->size ? options->size : dev->size;
	struct pool_options quiet = {.cache_bytes = 1, .no_background = true};
	struct zeroing zeroing = {
		.dev = dev,
		.options = options,
		.total = 2 * SUPERBLOCK_RING,
	};
	struct superblock *sb = NULL;
	struct pool *pool = NULL;
	uint64_t nr_blocks;
	int rc;

	if (size > dev->size || size < POOL_SIZE_MIN) {
		store_error_set(error,
				"the size must be between %llu bytes and the "
				"device's %llu",
				(unsigned long long)POOL_SIZE_MIN,
				(unsigned long long)dev->size);
		return -EINVAL;
	}
	if (strlen(name) > POOL_NAME_MAX || dataset_name_problem(name)) {
		store_error_set(error,
				"the pool's name is malformed: use at most %d "
				"letters, digits, '.', '_', '-' and ':'",
				POOL_NAME_MAX);
		return -EINVAL;
	}
	if (!options->force && holds_something(dev)) {
		store_error_set(error,
				"'%s' holds something already: use --force to "
				"overwrite it",
				dev->name);
		return -EEXIST;
	}
	nr_blocks = usable_blocks(size);
	/* superblocks of an older pool would win */
	rc = write_zeros(&zeroing, 0, SUPERBLOCK_RING);
	if (rc == 0)
		rc = write_zeros(&zeroing, SUPERBLOCK_COPY_BLKNO,
				 SUPERBLOCK_RING);
	if (rc == 0) {
		sb = calloc(1, sizeof(*sb));
		rc = sb ? 0 : -ENOMEM;
	}
	if (rc == 0) {
		sb->version = le32_of(SUPERBLOCK_VERSION);
		sb->block_size = le32_of(BLOCK_SIZE);
		os_random(sb->uuid, sizeof(sb->uuid));
		os_random(&sb->hash_seed, sizeof(sb->hash_seed));
		/* a random UUID as RFC 4122 marks it */
		sb->uuid[6] = (uint8_t)((sb->uuid[6] & 0x0f) | 0x40);
		sb->uuid[8] = (uint8_t)((sb->uuid[8] & 0x3f) | 0x80);
		memcpy(sb->name, name, strlen(name));
		sb->nr_blocks = le64_of(nr_blocks);
		sb->created_sec = le64_of((uint64_t)os_time_now().tv_sec);
		sb->next_dataset = le32_of(1);
		sb->ilog_epoch = le64_of(1);
		sb->ilog_seq = le64_of(1);
		lay_out_log(sb, nr_blocks);
		sb->high_water = le64_of(
			first_high_water(sb, dev, options->sparse, nr_blocks));
		rc = zero_first(&zeroing, sb);
	}
	if (rc == 0)
		rc = pool_new(dev, sb, &quiet, &pool);
	free(sb);
	if (rc == 0)
		rc = claim_log(pool);
	if (rc == 0) {
		pool->sb->flags = le32_of(SUPERBLOCK_CLEAN);
		rc = txg_commit(pool);
	}
	if (pool)
		pool_free(pool);
	if (rc)
		store_error_set(error, "'%s' cannot be made a pool: %s",
				dev->name, strerror(-rc));
	return rc;
}

int pool_create(const char *path, const struct pool_create_options *options,
		struct store_error *error)
{
	struct blkdev *dev;
	bool created = false;
	int owner = 0, rc;

	rc = blkdev_file_open(path, 0, &dev, &owner);
	if (rc == -ENOENT) {
		rc = blkdev_file_open(path, BLKDEV_CREATE, &dev, &owner);
		created = rc == 0;
	} else if (rc == 0 && dev->is_file && !options->force) {
		store_error_set(error,
				"'%s' exists: use --force to overwrite it",
				path);
		blkdev_close(dev);
		return -EEXIST;
	}
	if (rc == -EBUSY && owner > 0)
		store_error_set(error, "'%s' is in use by pid %d", path, owner);
	else if (rc)
		store_error_set(error, "'%s' cannot be opened: %s", path,
				rc == -EBUSY ? "it is in use or mounted"
					     : strerror(-rc));
	if (rc)
		return rc;
	if (created && options->size < POOL_SIZE_MIN) {
		store_error_set(error,
				"a pool in a file needs a size of at least "
				"%llu bytes: use --size",
				(unsigned long long)POOL_SIZE_MIN);
		rc = -EINVAL;
	}
	if (rc == 0 && dev->is_file && options->size > dev->size) {
		rc = blkdev_resize(dev, round_down(options->size, BLOCK_SIZE),
				   !options->sparse);
		if (rc)
			store_error_set(
				error,
				"'%s' cannot be made %llu bytes long: %s", path,
				(unsigned long long)options->size,
				strerror(-rc));
	}
	if (rc == 0) {
		struct pool_create_options o = *options;

		o.size = round_down(o.size, BLOCK_SIZE);
		rc = pool_create_on(dev, &o, error);
	}
	blkdev_close(dev);
	if (rc && created)
		unlink(path);
	return rc;
}

int pool_grow(struct pool *pool, uint64_t size, struct store_error *error)
{
	struct space_map_stat st;
	uint64_t nr_blocks;
	int rc = 0;

	if (pool->read_only || pool_failed(pool)) {
		store_error_set(error, "the pool is read-only");
		return -EROFS;
	}
	if (size == 0)
		size = blkdev_size(pool->dev);
	size = round_down(size, BLOCK_SIZE);
	nr_blocks = usable_blocks(size);
	space_map_stat(pool->sm, &st);
	if (nr_blocks <= st.nr_blocks) {
		store_error_set(
			error,
			"the pool has %llu bytes already: it can only grow",
			(unsigned long long)st.nr_blocks << BLOCK_SHIFT);
		return -EINVAL;
	}
	if (size > blkdev_size(pool->dev))
		rc = pool->dev->is_file ? blkdev_resize(pool->dev, size, true)
					: -ENOSPC;
	if (rc) {
		store_error_set(error,
				"the device cannot be made %llu bytes long: %s",
				(unsigned long long)size, strerror(-rc));
		return rc;
	}
	rc = txg_grow(pool, nr_blocks);
	if (rc)
		store_error_set(error, "the pool cannot grow: %s",
				strerror(-rc));
	return rc;
}
