/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dataset_table.h - the pool's datasets in memory, for dataset*.c
 *
 * The caller holds pool->names.
 */
#ifndef DBS_STORE_DATASET_TABLE_H
#define DBS_STORE_DATASET_TABLE_H

#include "store/pool_internal.h"

/** An object in no table, with one reference.  Errors: -ENOMEM */
int dataset_new(struct pool *pool, struct dataset **ds);
struct dataset *dataset_find_id(struct pool *pool, uint32_t id);
struct dataset *dataset_find_name(struct pool *pool, const char *name);
struct dataset *dataset_find_snapshot(struct dataset *ds, const char *name);
/** Into the tables, which take over the caller's reference; and out. */
void dataset_insert(struct dataset *ds);
void dataset_remove(struct dataset *ds);
void dataset_name_add(struct dataset *ds);
void dataset_name_remove(struct dataset *ds);

/**
 * Run @body as an op on the root tree with pool->names held, then make it
 * durable.  Takes the lock itself.
 */
int dataset_change_root(struct pool *pool, uint32_t nr_puts, unsigned flags,
			int (*body)(struct op *op, void *arg), void *arg);

/* A snapshot that may hold what is fresh in another. */
struct dataset_kin {
	struct tree_root root;
	uint64_t previous_txg, created_txg;
};

/* Fields of one moment. */
struct dataset_count {
	int64_t fresh;
	uint64_t previous_txg;
	uint64_t lineage;
	struct dataset_kin *kin; /* malloc'd */
	size_t nr_kin;
};

/** May snapshot @q be charged for what @ds holds too?  (dataset_charge.c) */
bool dataset_is_kin(const struct dataset *ds, const struct dataset *q);
/** Look for head @ds's kin again, its lock held for writing.
 * @room: malloc'd, for all of its snapshots; becomes @ds's */
void dataset_find_kin(struct dataset *ds, struct dataset **room);
/** Its kin are charged for nothing that it has from now on. */
void dataset_forget_kin(struct dataset *ds);
/** The kin of @ds as they are now, of a head or a snapshot.  -ENOMEM */
int dataset_copy_kin(const struct dataset *ds, struct dataset_count *count);

/** dataset_hold_root(), and @count (may be NULL) at the same moment. */
int dataset_hold_counted(struct dataset *ds, struct tree_root *root,
			 struct dataset_count *count);

#endif
