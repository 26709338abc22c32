/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dataset.h - datasets, snapshots and clones
 *
 * Below: the root tree, txg.  Above: file.h, fs/, tools/.
 *
 * A dataset is a tree of files that can be written; a snapshot is a root of
 * it frozen at one moment.  Both are a struct dataset here and have an id
 * that is never used again.  Datasets are peers: destroying one never asks
 * what was cloned from it.
 *
 * Invariants:
 *  N1  names are unique: dataset names in the pool, snapshot names within
 *      their dataset.
 *  N2  a snapshot's tree never changes.
 *  N3  create, snapshot, clone, restore, rename and destroy are atomic, and
 *      durable when they return.
 */
#ifndef DBS_STORE_DATASET_H
#define DBS_STORE_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "store/pool.h"

#define DATASET_NAME_MAX 200 /* bytes, of either half */
/* "DS@SNAP" and the NUL */
#define DATASET_FULL_NAME_MAX (2 * DATASET_NAME_MAX + 2)

struct dataset;

/**
 * Check a dataset's or snapshot's name: 1 to 200 letters, digits, '.', '_',
 * '-' or ':', no leading dot or dash.
 * Returns NULL when it is good, else why not ("is empty", "starts with '.'").
 */
const char *dataset_name_problem(const char *name);

/* Recordsizes are powers of two. */
#define DATASET_RECORD_SHIFT_MIN     12
#define DATASET_RECORD_SHIFT_MAX     17
#define DATASET_RECORD_SHIFT_DEFAULT 14

struct dataset_properties {
	uint32_t recordsize; /* bytes, 4 KiB to 128 KiB; for new files */
	int compression;     /* COMPRESS_LEVEL_*; 0: off */
	uint64_t quota;	     /* charged bytes, 0: none */
	bool readonly;
};
/** The defaults: 16 KiB, COMPRESS_LEVEL_DEFAULT, no quota, writable. */
void dataset_properties_default(struct dataset_properties *p);

struct dataset_info {
	uint32_t id;
	uint32_t parent; /* a snapshot's dataset, else 0 */
	uint32_t origin; /* snapshot it was cloned from; 0 none or gone */
	char name[DATASET_FULL_NAME_MAX];	 /* "DS" or "DS@SNAP" */
	char origin_name[DATASET_FULL_NAME_MAX]; /* as it was then, or "" */
	bool snapshot;
	bool automatic; /* a snapshot that restore made */
	struct timespec created;
	uint64_t created_txg;
	uint64_t generation; /* raised by restore */
	uint64_t referenced; /* bytes its records take on disk */
	uint64_t logical;    /* bytes of its records, uncompressed */
	uint64_t charged;    /* bytes; snapshots: what the quota counts it */
	uint64_t nr_inodes;
	uint32_t nr_snapshots;
	struct dataset_properties properties;
};

/* -- finding -------------------------------------------------------------- */

/**
 * Find "DS", "DS@SNAP" or "DS@latest" (the newest snapshot, unless one is
 * called so) and take a reference; dataset_put() gives it back.
 * Errors: -ENOENT; -EINVAL malformed
 */
int dataset_open(struct pool *pool, const char *name, struct dataset **ds);
int dataset_open_id(struct pool *pool, uint32_t id, struct dataset **ds);
void dataset_get(struct dataset *ds);
void dataset_put(struct dataset *ds);

void dataset_info(struct dataset *ds, struct dataset_info *info);
uint32_t dataset_id(const struct dataset *ds);
bool dataset_is_snapshot(const struct dataset *ds);
/** Raised by each restore; also changes to UINT64_MAX when destroyed. */
uint64_t dataset_generation(const struct dataset *ds);
struct pool *dataset_pool(const struct dataset *ds);

/**
 * Ids in order of name: datasets when @parent is 0, else the snapshots of
 * dataset @parent in order of creation.
 * @ids: out, malloc'd, the caller's; @nr: out
 */
int dataset_list(struct pool *pool, uint32_t parent, uint32_t **ids,
		 size_t *nr);

/* -- changing ------------------------------------------------------------- */

/** Errors: -EEXIST; -EINVAL name or property; -EDQUOT too many datasets */
int dataset_create(struct pool *pool, const char *name,
		   const struct dataset_properties *p, uint32_t *id);

/**
 * Freeze @ds as DS@@name.  @automatic: made by restore.
 * Cost: O(1) whatever the size, and a commit.
 * Errors: -EEXIST; -EINVAL; -EROFS @ds is a snapshot
 */
int dataset_snapshot(struct dataset *ds, const char *name, bool automatic,
		     uint32_t *id);
/** The same for several datasets at one moment, all with @name. */
int dataset_snapshot_many(struct dataset **ds, size_t nr, const char *name);

/**
 * A new dataset @name with the content of @source, a snapshot or a live
 * dataset, and its properties.  Cost: O(1) and a commit.
 */
int dataset_clone(struct dataset *source, const char *name, uint32_t *id);

#define RESTORE_FORCE 1u /* even while files are open for writing */

/**
 * Put @ds back to @snapshot, any snapshot in the pool (normally its own).
 * @keep: NULL, or the name of an automatic snapshot that keeps what is
 *        replaced, made in the same moment
 * Errors: -EBUSY files are open for writing and no RESTORE_FORCE; -EEXIST
 *         @keep exists; -EROFS readonly
 */
int dataset_restore(struct dataset *ds, struct dataset *snapshot,
		    const char *keep, unsigned flags);

/** New name for a dataset, or for a snapshot (the part after '@'). */
int dataset_rename(struct dataset *ds, const char *name);

#define DESTROY_SNAPSHOTS 1u /* with the dataset's snapshots */
#define DESTROY_FORCE	  2u /* even while files are open */

/**
 * Destroy a dataset or snapshot.  Returns at once; the reaper gives its
 * blocks back.  Operations on handles that are still held give -ESTALE.
 * Errors: -ESTALE somebody else did, and that is durable; -ENOTEMPTY it has
 *         snapshots; -EBUSY open files and no FORCE
 */
int dataset_destroy(struct dataset *ds, unsigned flags);

int dataset_set_properties(struct dataset *ds,
			   const struct dataset_properties *p);
#define DATASET_SET_RECORDSIZE	1u
#define DATASET_SET_COMPRESSION 2u
#define DATASET_SET_QUOTA	4u
#define DATASET_SET_READONLY	8u
/** Set those that @which names; the others stay, whoever else sets them. */
int dataset_change_properties(struct dataset *ds, unsigned which,
			      const struct dataset_properties *p);

/* User properties: keys up to 200 bytes, values up to 1,000. */
int dataset_set_user(struct dataset *ds, const char *key, const char *value);
/** Errors: -ENODATA not set */
int dataset_unset_user(struct dataset *ds, const char *key);
/** @fn is called with each; it must not call the store. */
int dataset_each_user(struct dataset *ds,
		      void (*fn)(void *arg, const char *key, const char *value),
		      void *arg);

/* -- asking --------------------------------------------------------------- */

/**
 * Bytes that come back if all of @ds[0..nr) are destroyed together.
 * Cost: reads every node that only they hold.
 */
int dataset_unique(struct dataset **ds, size_t nr, uint64_t *bytes);

/** For statfs: what this dataset may still write, its quota considered. */
void dataset_space(struct dataset *ds, uint64_t *size, uint64_t *free);

/** Files open in it now: all, and for writing. */
void dataset_open_files(struct dataset *ds, uint32_t *nr, uint32_t *nr_write);

#endif
