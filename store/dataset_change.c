/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Create, snapshot, clone, restore, rename, properties.
 *
 * Each is one op on the root tree under pool->names, and one log record.  What
 * shares a tree costs one reference on its root, whatever hangs below.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/compress.h"
#include "store/dataset_table.h"
#include "store/inode.h"
#include "store/util.h"

#define MAX_DATASETS 1000000u

/* @lsn: out, the log record's */
static int change_root(struct pool *pool, uint32_t nr_puts, unsigned flags,
		       int (*body)(struct op *op, void *arg), void *arg,
		       uint64_t *lsn)
{
	struct op op;
	int rc = op_begin(&op, pool, nr_puts, flags);

	if (rc)
		return rc;
	do {
		os_mutex_lock(&pool->names);
		op_enter(&op);
		rc = body(&op, arg);
		op_leave(&op);
		os_mutex_unlock(&pool->names);
		rc = op_retry(&op, rc);
	} while (rc == -EAGAIN);
	op_end(&op);
	*lsn = op.lsn;
	return rc;
}

int dataset_change_root(struct pool *pool, uint32_t nr_puts, unsigned flags,
			int (*body)(struct op *op, void *arg), void *arg)
{
	uint64_t lsn;
	int rc = change_root(pool, nr_puts, flags, body, arg, &lsn);

	return rc ? rc : ilog_sync(pool, lsn);
}

static int touch_id(struct op *op, uint32_t id)
{
	struct key key = key_of(id, ITEM_DATASET, 0);

	return btree_touch(op, &op->pool->root_tree, &key);
}

/* The next id, which is used up when the op is applied. */
static int new_id(struct pool *pool, uint32_t more, uint32_t *id)
{
	if (pool->next_dataset + more > DATASET_ID_END)
		return -EDQUOT;
	if (pool->nr_datasets + pool->nr_snapshots + more > MAX_DATASETS)
		return -EDQUOT;
	*id = pool->next_dataset;
	return 0;
}

static int properties_problem(const struct dataset_properties *p)
{
	if (p->recordsize < 1u << DATASET_RECORD_SHIFT_MIN ||
	    p->recordsize > 1u << DATASET_RECORD_SHIFT_MAX ||
	    (p->recordsize & (p->recordsize - 1)) ||
	    p->compression < COMPRESS_LEVEL_MIN ||
	    p->compression > COMPRESS_LEVEL_MAX)
		return -EINVAL;
	return 0;
}

/* ---- create ------------------------------------------------------------- */

struct create_arg {
	struct dataset *ds;
	uint32_t id;
};

static int create_body(struct op *op, void *arg)
{
	struct create_arg *a = arg;
	struct dataset *ds = a->ds;
	struct pool *pool = op->pool;
	struct inode root;
	struct inode_item item;
	struct key key = key_of(INO_ROOT, ITEM_INODE, 0);
	int rc = new_id(pool, 1, &a->id);

	if (rc)
		return rc;
	if (dataset_find_name(pool, ds->name))
		return -EEXIST;
	rc = touch_id(op, a->id);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	pool->next_dataset++;
	ds->id = a->id;
	ds->tree.owner = a->id;
	ds->created = pool_time(pool);
	ds->created_txg = pool_sealed(pool, op->txg);
	ds->next_ino = INO_FIRST;
	ds->nr_inodes = 1;
	root = inode_new_root((uint8_t)__builtin_ctz(ds->properties.recordsize),
			      ds->created);
	item = inode_item_of(&root);
	op->unlogged = true;
	btree_put(op, &ds->tree, &key, &item, sizeof(item));
	ilog_create(op, ds);
	dataset_store(op, ds);
	dataset_get(ds);
	dataset_insert(ds);
	dataset_mark_dirty(op, ds);
	return 0;
}

int dataset_create(struct pool *pool, const char *name,
		   const struct dataset_properties *p, uint32_t *id)
{
	struct dataset_properties defaults;
	struct create_arg a = {0};
	int rc;

	dataset_properties_default(&defaults);
	p = p ? p : &defaults;
	if (dataset_name_problem(name) || properties_problem(p))
		return -EINVAL;
	rc = dataset_new(pool, &a.ds);
	if (rc)
		return rc;
	strcpy(a.ds->name, name);
	a.ds->properties = *p;
	rc = dataset_change_root(pool, 2, 0, create_body, &a);
	if (rc == 0 && id)
		*id = a.id;
	dataset_put(a.ds);
	return rc;
}

/* ---- sharing ------------------------------------------------------------ */

/* @to starts as what @from is now. */
static void copy_content(struct dataset *to, const struct dataset *from)
{
	to->tree.root = from->tree.root;
	to->next_ino = from->next_ino;
	to->referenced = from->referenced;
	to->logical = from->logical;
	to->nr_inodes = from->nr_inodes;
	__atomic_store_n(&to->nr_orphans, from->nr_orphans, __ATOMIC_RELAXED);
	to->properties = from->properties;
}

/* The op's apply half: freeze @ds, whose lock is held, as @snap, at @now. */
static void freeze(struct op *op, struct dataset *ds, struct dataset *snap,
		   struct timespec now)
{
	snap->id = op->pool->next_dataset++;
	snap->snapshot = true;
	snap->parent = ds->id;
	snap->tree.owner = snap->id;
	copy_content(snap, ds);
	snap->created = now;
	snap->previous = ds->previous;
	snap->previous_txg = ds->previous_txg;
	snap->fresh = ds->fresh;
	snap->generation = 0;
	/* a count that was still to be made is the snapshot's */
	snap->flags |= ds->flags & DATASET_RECOUNT;
	ds->flags &= (uint32_t)~DATASET_RECOUNT;
	ds->previous = snap->id;
	ds->fresh = 0;
	dataset_forget_kin(ds);
	ds->lineage++;
	dataset_get(snap);
	dataset_insert(snap);
}

static void recount_if_marked(struct dataset *snap)
{
	bool marked;

	os_rwlock_rdlock(&snap->lock);
	marked = snap->flags & DATASET_RECOUNT;
	os_rwlock_unlock(&snap->lock);
	if (marked)
		pool_want_purge(snap);
}

/* What @ds has now is shared from here on. */
static void share(struct op *op, struct dataset *ds, uint64_t sealed)
{
	ds->tree.shared_txg = sealed;
	dataset_mark_dirty(op, ds);
}

/* ---- snapshot ----------------------------------------------------------- */

struct snapshot_arg {
	struct dataset **ds;
	struct dataset **snap;
	size_t nr;
	const char *name;
};

static int snapshot_body(struct op *op, void *arg)
{
	struct snapshot_arg *a = arg;
	struct pool *pool = op->pool;
	struct timespec now;
	uint64_t sealed;
	uint32_t id = 0;
	size_t i, locked;
	int rc = new_id(pool, (uint32_t)a->nr, &id);

	for (locked = 0; locked < a->nr; locked++)
		os_rwlock_wrlock(&a->ds[locked]->lock);
	for (i = 0; i < a->nr && rc == 0; i++) {
		struct dataset *ds = a->ds[i];

		if (dataset_generation(ds) == UINT64_MAX)
			rc = -ESTALE;
		else if (ds->snapshot)
			rc = -EROFS;
		else if (dataset_find_snapshot(ds, a->name))
			rc = -EEXIST;
		else
			rc = touch_id(op, ds->id);
		if (rc == 0)
			rc = touch_id(op, id + (uint32_t)i);
	}
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		goto out;
	/* one moment, one time */
	now = pool_time(pool);
	for (i = 0; i < a->nr; i++) {
		dirty_seal(op, a->ds[i]);
		freeze(op, a->ds[i], a->snap[i], now);
		op_ref(op, a->snap[i]->tree.root.blkno, 1);
	}
	sealed = txg_seal_births(op);
	for (i = 0; i < a->nr; i++) {
		a->snap[i]->created_txg = pool_sealed(pool, sealed);
		a->ds[i]->previous_txg = a->snap[i]->created_txg;
		share(op, a->ds[i], sealed);
		dataset_store(op, a->snap[i]);
		ilog_snapshot(op, a->ds[i], a->snap[i]);
	}
out:
	while (locked-- > 0)
		os_rwlock_unlock(&a->ds[locked]->lock);
	return rc;
}

static int compare_ids(const void *a, const void *b)
{
	const struct dataset *const *x = a, *const *y = b;

	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

static int snapshot_of(struct dataset **list, size_t nr, const char *name,
		       bool automatic, uint32_t *id)
{
	struct snapshot_arg a = {.nr = nr, .name = name};
	int rc = 0;

	if (nr == 0)
		return 0;
	if (dataset_name_problem(name))
		return -EINVAL;
	a.ds = calloc(nr, sizeof(struct dataset *));
	a.snap = calloc(nr, sizeof(struct dataset *));
	if (!a.ds || !a.snap)
		rc = -ENOMEM;
	for (size_t i = 0; i < nr && rc == 0; i++) {
		a.ds[i] = list[i];
		rc = dataset_new(list[i]->pool, &a.snap[i]);
		if (rc == 0) {
			strcpy(a.snap[i]->name, name);
			a.snap[i]->flags = automatic ? DATASET_AUTOMATIC : 0;
			if (!list[i]->snapshot)
				rc = dirty_flush(list[i]);
		}
		if (rc == -ESTALE || rc == -EROFS)
			rc = 0; /* the body has the better answer */
	}
	if (rc == 0) {
		qsort(a.ds, nr, sizeof(struct dataset *), compare_ids);
		for (size_t i = 1; i < nr && rc == 0; i++)
			if (a.ds[i] == a.ds[i - 1])
				rc = -EINVAL;
	}
	if (rc == 0)
		rc = dataset_change_root(list[0]->pool, 2 * (uint32_t)nr, 0,
					 snapshot_body, &a);
	if (rc == 0 && id)
		*id = a.snap[0]->id;
	for (size_t i = 0; a.snap && i < nr; i++) {
		if (rc == 0)
			recount_if_marked(a.snap[i]);
		dataset_put(a.snap[i]);
	}
	free(a.snap);
	free(a.ds);
	return rc;
}

int dataset_snapshot(struct dataset *ds, const char *name, bool automatic,
		     uint32_t *id)
{
	return snapshot_of(&ds, 1, name, automatic, id);
}

int dataset_snapshot_many(struct dataset **ds, size_t nr, const char *name)
{
	return snapshot_of(ds, nr, name, false, NULL);
}

/* ---- clone -------------------------------------------------------------- */

struct clone_arg {
	struct dataset *source, *clone;
	uint32_t id;
};

static int clone_body(struct op *op, void *arg)
{
	struct clone_arg *a = arg;
	struct dataset *src = a->source, *c = a->clone;
	struct pool *pool = op->pool;
	uint64_t sealed;
	int rc = new_id(pool, 1, &a->id);

	if (rc)
		return rc;
	os_rwlock_wrlock(&src->lock);
	if (dataset_generation(src) == UINT64_MAX)
		rc = -ESTALE;
	else if (dataset_find_name(pool, c->name))
		rc = -EEXIST;
	else
		rc = touch_id(op, a->id);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		goto out;
	if (!src->snapshot)
		dirty_seal(op, src);
	pool->next_dataset++;
	c->id = a->id;
	c->tree.owner = a->id;
	copy_content(c, src);
	c->properties.readonly = false;
	c->origin = src->id;
	c->created = pool_time(pool);
	op_ref(op, c->tree.root.blkno, 1);
	sealed = txg_seal_births(op);
	c->created_txg = pool_sealed(pool, sealed);
	c->previous_txg = c->created_txg;
	c->tree.shared_txg = sealed;
	if (!src->snapshot)
		share(op, src, sealed);
	ilog_clone(op, src, c);
	dataset_store(op, c);
	dataset_get(c);
	dataset_insert(c);
	dataset_mark_dirty(op, c);
out:
	os_rwlock_unlock(&src->lock);
	return rc;
}

int dataset_clone(struct dataset *source, const char *name, uint32_t *id)
{
	struct clone_arg a = {.source = source};
	struct dataset_info info;
	int rc;

	if (dataset_name_problem(name))
		return -EINVAL;
	if (!source->snapshot) {
		rc = dirty_flush(source);
		if (rc && rc != -ESTALE && rc != -EROFS)
			return rc;
	}
	rc = dataset_new(source->pool, &a.clone);
	if (rc)
		return rc;
	dataset_info(source, &info);
	strcpy(a.clone->name, name);
	strcpy(a.clone->origin_name, info.name);
	rc = dataset_change_root(source->pool, 2, 0, clone_body, &a);
	if (rc == 0 && id)
		*id = a.id;
	if (rc == 0 && a.clone->nr_orphans > 0)
		pool_want_purge(a.clone);
	dataset_put(a.clone);
	return rc;
}

/* ---- restore ------------------------------------------------------------ */

struct restore_arg {
	struct dataset *ds, *snapshot, *keep;
	unsigned flags;
};

static int restore_check(struct op *op, struct restore_arg *a)
{
	struct dataset *ds = a->ds;
	uint32_t nr, nr_write, id;
	int rc;

	if (dataset_generation(ds) == UINT64_MAX ||
	    dataset_generation(a->snapshot) == UINT64_MAX)
		return -ESTALE;
	if (ds->snapshot || ds->properties.readonly)
		return -EROFS;
	dataset_open_files(ds, &nr, &nr_write);
	if (nr_write > 0 && !(a->flags & RESTORE_FORCE))
		return -EBUSY;
	if (a->keep && dataset_find_snapshot(ds, a->keep->name))
		return -EEXIST;
	rc = new_id(op->pool, 1, &id);
	if (rc == 0)
		rc = touch_id(op, ds->id);
	if (rc == 0 && a->keep)
		rc = touch_id(op, id);
	return rc ? rc : op_ready(op);
}

static int restore_body(struct op *op, void *arg)
{
	struct restore_arg *a = arg;
	struct dataset *ds = a->ds, *snap = a->snapshot;
	struct dataset_properties properties;
	uint64_t next_ino, sealed;
	int rc;

	os_rwlock_wrlock(&ds->lock);
	rc = restore_check(op, a);
	if (rc)
		goto out;
	properties = ds->properties;
	next_ino = ds->next_ino;
	if (a->keep) {
		/* the head's reference to its root becomes the snapshot's */
		dirty_seal(op, ds);
		freeze(op, ds, a->keep, pool_time(op->pool));
	} else {
		op->unlogged = true;
		dirty_discard(op, ds);
		op_note_kill(op, &ds->tree.root);
	}
	/* a snapshot never changes: its lock is not needed (N2) */
	copy_content(ds, snap);
	ds->properties = properties;
	ds->next_ino = MAX_OF(next_ino, ds->next_ino);
	op_ref(op, ds->tree.root.blkno, 1);
	sealed = txg_seal_births(op);
	if (a->keep) {
		a->keep->created_txg = pool_sealed(op->pool, sealed);
		dataset_store(op, a->keep);
	}
	ilog_restore(op, ds, snap, a->keep, sealed);
	ds->previous = snap->parent == ds->id ? snap->id : 0;
	ds->previous_txg = pool_sealed(op->pool, sealed);
	ds->fresh = 0;
	dataset_forget_kin(ds);
	ds->lineage++;
	__atomic_add_fetch(&ds->generation, 1, __ATOMIC_ACQ_REL);
	share(op, ds, sealed);
out:
	os_rwlock_unlock(&ds->lock);
	return rc;
}

int dataset_restore(struct dataset *ds, struct dataset *snapshot,
		    const char *keep, unsigned flags)
{
	struct restore_arg a = {.ds = ds, .snapshot = snapshot, .flags = flags};
	int rc = 0;

	if (!snapshot->snapshot || (keep && dataset_name_problem(keep)))
		return -EINVAL;
	if (keep) {
		rc = dataset_new(ds->pool, &a.keep);
		if (rc)
			return rc;
		strcpy(a.keep->name, keep);
		a.keep->flags = DATASET_AUTOMATIC;
	}
	rc = dataset_change_root(ds->pool, 3, 0, restore_body, &a);
	if (rc == 0 && __atomic_load_n(&ds->nr_orphans, __ATOMIC_RELAXED) > 0)
		pool_want_purge(ds);
	if (rc == 0 && a.keep)
		recount_if_marked(a.keep);
	dataset_put(a.keep);
	return rc;
}

/* ---- rename and properties ---------------------------------------------- */

struct rename_arg {
	struct dataset *ds;
	const char *name;
};

static int rename_body(struct op *op, void *arg)
{
	struct rename_arg *a = arg;
	struct dataset *ds = a->ds;
	struct pool *pool = op->pool;
	struct dataset *other;
	int rc;

	os_rwlock_wrlock(&ds->lock);
	if (dataset_generation(ds) == UINT64_MAX) {
		rc = -ESTALE;
		goto out;
	}
	other = ds->snapshot
			? dataset_find_snapshot(
				  dataset_find_id(pool, ds->parent), a->name)
			: dataset_find_name(pool, a->name);
	rc = other && other != ds ? -EEXIST : touch_id(op, ds->id);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		goto out;
	if (!ds->snapshot)
		dataset_name_remove(ds);
	strcpy(ds->name, a->name);
	if (!ds->snapshot)
		dataset_name_add(ds);
	ilog_rename(op, ds);
	dataset_mark_dirty(op, ds);
out:
	os_rwlock_unlock(&ds->lock);
	return rc;
}

int dataset_rename(struct dataset *ds, const char *name)
{
	struct rename_arg a = {.ds = ds, .name = name};

	if (dataset_name_problem(name))
		return -EINVAL;
	return dataset_change_root(ds->pool, 1, 0, rename_body, &a);
}

struct set_arg {
	struct dataset *ds;
	unsigned which; /* DATASET_SET_* */
	const struct dataset_properties *properties;
};

static void set(struct dataset_properties *to, const struct set_arg *a)
{
	const struct dataset_properties *from = a->properties;

	if (a->which & DATASET_SET_RECORDSIZE)
		to->recordsize = from->recordsize;
	if (a->which & DATASET_SET_COMPRESSION)
		to->compression = from->compression;
	if (a->which & DATASET_SET_QUOTA)
		to->quota = from->quota;
	if (a->which & DATASET_SET_READONLY)
		to->readonly = from->readonly;
}

static int set_body(struct op *op, void *arg)
{
	struct set_arg *a = arg;
	struct dataset *ds = a->ds;
	int rc;

	os_rwlock_wrlock(&ds->lock);
	rc = dataset_generation(ds) == UINT64_MAX ? -ESTALE
	     : ds->snapshot			  ? -EROFS
						  : touch_id(op, ds->id);
	if (rc == 0)
		rc = op_ready(op);
	if (rc == 0) {
		set(&ds->properties, a);
		ilog_set(op, ds);
		dataset_mark_dirty(op, ds);
	}
	os_rwlock_unlock(&ds->lock);
	return rc;
}

int dataset_change_properties(struct dataset *ds, unsigned which,
			      const struct dataset_properties *p)
{
	struct set_arg a = {.ds = ds, .which = which, .properties = p};

	if (properties_problem(p))
		return -EINVAL;
	return dataset_change_root(ds->pool, 1, 0, set_body, &a);
}

int dataset_set_properties(struct dataset *ds,
			   const struct dataset_properties *p)
{
	return dataset_change_properties(ds, ~0u, p);
}

/* ---- holding a root while it is walked ---------------------------------- */

struct hold_arg {
	struct dataset *ds;
	struct tree_root *root;
	struct dataset_count *count; /* NULL, or what is counted from */
};

static int hold_body(struct op *op, void *arg)
{
	struct hold_arg *a = arg;
	struct dataset *ds = a->ds;
	int rc;

	os_rwlock_wrlock(&ds->lock);
	rc = dataset_generation(ds) == UINT64_MAX ? -ESTALE : 0;
	if (rc == 0 && a->count)
		rc = dataset_copy_kin(ds, a->count);
	if (rc == 0)
		rc = op_ready(op);
	if (rc == 0) {
		if (!ds->snapshot)
			dirty_seal(op, ds);
		*a->root = ds->tree.root;
		if (a->count) {
			a->count->fresh = ds->fresh;
			a->count->previous_txg = ds->previous_txg;
			a->count->lineage = ds->lineage;
		}
		/* what is held must not be changed in place */
		ds->tree.shared_txg = txg_seal_births(op);
	}
	os_rwlock_unlock(&ds->lock);
	return rc;
}

int dataset_hold_root(struct dataset *ds, struct tree_root *root)
{
	return dataset_hold_counted(ds, root, NULL);
}

int dataset_hold_counted(struct dataset *ds, struct tree_root *root,
			 struct dataset_count *count)
{
	struct pool *pool = ds->pool;
	struct hold_arg a = {.ds = ds, .root = root, .count = count};
	uint64_t lsn;
	int rc;

	space_map_hold(pool->sm);
	if (pool->read_only) {
		/* nothing changes, so all that is there stays */
		*root = ds->tree.root;
		return 0;
	}
	rc = change_root(pool, 0, OP_USE_RESERVE | OP_HOLDER, hold_body, &a,
			 &lsn);
	/* whoever walks reads nodes from disk and trusts the counts */
	if (rc == 0)
		rc = txg_sync(pool);
	if (rc)
		space_map_unhold(pool->sm);
	return rc;
}

void dataset_release_root(struct pool *pool, const struct tree_root *root)
{
	(void)root;
	space_map_unhold(pool->sm);
}
