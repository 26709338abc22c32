/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - a pool: everything behind one superblock
 *
 * Below: txg, space map, trees, datasets.  Above: fs/, tools/, tests/.
 *
 * All functions return 0 or -errno.  Where a sentence can say more than the
 * errno, it is put into a struct store_error that the caller may pass.
 *
 * Errors common to all calls that change something: -EROFS the pool is or has
 * become read-only (a write or flush failed); -ENOSPC; -ENOMEM; -EIO,
 * -EBADMSG (checksum) and -EUCLEAN (inconsistent) when something needed could
 * not be read.  Nothing was changed then.
 */
#ifndef DBS_STORE_POOL_H
#define DBS_STORE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/blkdev.h"

struct pool;

struct store_error {
	char text[512]; /* one sentence without full stop, or "" */
};

#define POOL_SIZE_MIN (UINT64_C(64) << 20)

struct pool_create_options {
	const char *name; /* at most POOL_NAME_MAX bytes; NULL: "pool" */
	uint64_t size;	  /* bytes; 0: all of the device */
	bool sparse;	  /* a file: do not preallocate */
	bool force;	  /* overwrite a device that holds something */
	/* called while the device is written; not 0, -errno, gives up */
	int (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
};

/**
 * Make a pool on the file @path, which is created, or on a block device.
 * Errors: -EEXIST there is a file, or a device holding a file system or a
 *         pool, and no @force; -EINVAL size under POOL_SIZE_MIN; -EBUSY;
 *         -ENOSPC the host's disk is full; what @progress returned (each time
 *         the file is removed again)
 */
int pool_create(const char *path, const struct pool_create_options *options,
		struct store_error *error);
/** The same on an open device, which stays the caller's. */
int pool_create_on(struct blkdev *dev,
		   const struct pool_create_options *options,
		   struct store_error *error);

struct pool_options {
	bool read_only;	    /* changes nothing, but see pool_settle() */
	size_t cache_bytes; /* node cache; 0: 96 MiB */
	uint32_t commit_ms; /* longest life of an open txg; 0: 5,000 */
	bool no_background; /* tests: no threads; commits only by pool_sync */
};

/**
 * Open the pool on @path and lock it.
 * Errors: -EBUSY it is in use (the text names the pid); -EINVAL it is not a
 *         pool; -EUCLEAN it is one but truncated or damaged; -ENOTSUP an
 *         unknown version or feature; any errno of open(2)
 * @error:  set in success, too, where the pool is older than what was
 *         acknowledged, since its intent log could not be replayed
 */
int pool_open(const char *path, const struct pool_options *options,
	      struct pool **pool, struct store_error *error);
/** The same on an open device; the pool owns it from success on.  What is
 * opened read-only so is not settled. */
int pool_open_on(struct blkdev *dev, const struct pool_options *options,
		 struct pool **pool, struct store_error *error);
/**
 * Replay what a crash left in the intent log, for who will only read the pool.
 * Nothing happens where it was closed, is in use, or cannot be written: who
 * opens it is told then.
 */
void pool_settle(const char *path);
/**
 * Commit, stop the threads, free.  Every struct dataset must have been put.
 * Returns the error of the last commit; the pool is gone all the same.
 */
int pool_close(struct pool *pool);
/** Free without a commit, as a crash would leave it (tests, and on panic). */
void pool_abandon(struct pool *pool);

/** All that returned before is durable when this returns 0. */
int pool_sync(struct pool *pool);
/** Let the pool use @size bytes of its device or file (0: all of it). */
int pool_grow(struct pool *pool, uint64_t size, struct store_error *error);

struct pool_stat {
	char name[64];
	uint8_t uuid[16];
	uint64_t size;	     /* bytes */
	uint64_t free;	     /* bytes that can be allocated for data now */
	uint64_t allocated;  /* bytes in use, all metadata included */
	uint64_t reserved;   /* bytes held back for commits and deletes */
	uint64_t deferred;   /* bytes freed, free after the next commits */
	uint64_t dead;	     /* destroyed trees the reaper still has */
	uint64_t txg;	     /* last committed */
	uint64_t nr_commits; /* since open */
	uint64_t nr_datasets, nr_snapshots;
	uint64_t cache_bytes, cache_used, dirty_bytes;
	uint64_t nr_errors; /* checksum and I/O errors since open */
	int64_t created;    /* seconds since 1970 */
	uint32_t version;
	uint64_t compat, ro_compat, incompat;
	uint64_t high_water; /* bytes */
	uint64_t log_bytes;  /* of the intent log's ring */
	uint64_t log_used;   /* of it, what opening after a crash would read */
	uint64_t nr_batches; /* written to it since open */
	uint64_t nr_log_commits; /* fsyncs and such that needed a commit */
	uint64_t commit_ns_last, commit_ns_max;
	bool read_only;
	bool failed; /* read-only because a write failed */
	/* "", or why it is read-only and what it lacks, one sentence */
	char why[512];
};
void pool_stat(struct pool *pool, struct pool_stat *st);
/** Wait until the reaper has nothing left to do and its frees committed. */
int pool_wait_reaped(struct pool *pool);

/** What a superblock says, without opening or locking the pool. */
int pool_probe(const char *path, struct pool_stat *st,
	       struct store_error *error);

#endif
