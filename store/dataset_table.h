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

/* Fields of one moment. */
struct dataset_count {
	int64_t fresh;
	uint64_t previous_txg;
	uint64_t lineage;
};
/** dataset_hold_root(), and @count (may be NULL) at the same moment. */
int dataset_hold_counted(struct dataset *ds, struct tree_root *root,
			 struct dataset_count *count);

#endif
