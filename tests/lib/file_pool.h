/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_pool.h - a pool in memory with one dataset, for the file tests
 *
 * Below: the store's public functions, blkdev_view.h.  Above: tests/unit/.
 */
#ifndef DBS_TESTS_FILE_POOL_H
#define DBS_TESTS_FILE_POOL_H

#include "store/store.h"
#include "tests/lib/check.h"

#define FILE_POOL_DATASET "ds"

struct file_pool {
	struct blkdev *mem; /* outlives the pool */
	struct pool *pool;
	struct dataset *ds; /* FILE_POOL_DATASET */
};

/** A fresh pool of @mib MiB; NULL @p: the default properties. */
void file_pool_init(struct file_pool *fp, unsigned mib,
		    const struct dataset_properties *p);
/** The same on @dev, which becomes @fp's. */
void file_pool_init_on(struct file_pool *fp, struct blkdev *dev,
		       const struct dataset_properties *p);
/** Put everything, check the pool offline (it must be clean), free. */
void file_pool_release(struct file_pool *fp);
/** Close or abandon the pool and open it again. */
void file_pool_reopen(struct file_pool *fp, bool crash);
/** The offline check, between a close and an open; it must be clean. */
void file_pool_check(struct file_pool *fp);

/* Short forms; each must succeed. */
uint64_t make_file(struct dataset *ds, uint64_t dir, const char *name);
uint64_t make_dir(struct dataset *ds, uint64_t dir, const char *name);
/** 0: there is no such name. */
uint64_t find_name(struct dataset *ds, uint64_t dir, const char *name);
struct file_attr attr_of(struct dataset *ds, uint64_t ino);
void write_at(struct dataset *ds, uint64_t ino, uint64_t offset,
	      const void *buf, size_t len);
/** [@offset, @offset + @len) reads as @want, and no further than the end. */
void read_is(struct dataset *ds, uint64_t ino, uint64_t offset,
	     const void *want, size_t len);
void set_size(struct dataset *ds, uint64_t ino, uint64_t size);
struct dataset_info info_of(struct dataset *ds);

#endif
