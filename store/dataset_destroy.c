/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Destroying a dataset or snapshot: its names and its root's reference go in
 * one op; the reaper does the rest.
 *
 * When a snapshot goes, those whose lineage passed it pass the one before.
 * What was fresh in it and still is in them becomes fresh in them, and in
 * those that had it for kin: marked by DATASET_RECOUNT and worked out in the
 * background (dataset_charge.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/dataset_table.h"
#include "store/util.h"

struct destroy_arg {
	struct dataset *ds;
	unsigned flags;
	/* all that goes: snapshots, then the dataset */
	struct dataset **list;
	size_t nr, cap;
	/* whose fresh blocks must be counted again */
	struct dataset **recount;
	size_t nr_recount, cap_recount;
	/* NULL, or the head among them, and room for its kin */
	struct dataset *head, **kin;
	/* all of both, by id, locked when the log record gets its place */
	struct dataset **locked;
	size_t nr_locked;
	bool applied; /* each of @recount has a reference of ours */
};

static int collect(struct destroy_arg *a)
{
	struct dataset *ds = a->ds;
	size_t want = (size_t)ds->nr_snapshots + 1;

	if (want > a->cap) {
		struct dataset **p = reallocarray(a->list, want, sizeof(*p));

		if (!p)
			return -ENOMEM;
		a->list = p;
		a->cap = want;
	}
	a->nr = 0;
	for (struct list *l = ds->snapshots.next; l != &ds->snapshots;
	     l = l->next)
		a->list[a->nr++] = container_of(l, struct dataset, sibling);
	a->list[a->nr++] = ds;
	return 0;
}

/* The items of @ds in the root tree; @touch: prepare, else delete. */
static int each_item(struct op *op, struct dataset *ds, bool touch)
{
	struct btree *tree = &op->pool->root_tree;
	struct key key = key_of(ds->id, 0, 0);
	struct btree_cursor cur;
	int rc;

	while ((rc = btree_seek(op, tree, &key, &cur)) == 0) {
		key = cur.key;
		btree_release(op, &cur);
		if (key.ino != ds->id)
			return 0;
		if (touch) {
			rc = btree_touch(op, tree, &key);
			if (rc)
				return rc;
		} else {
			btree_del(op, tree, &key);
		}
		key = key_next(&key);
	}
	return rc == -ENOENT ? 0 : rc;
}

static int check(struct op *op, struct destroy_arg *a)
{
	int rc = 0;

	if (dataset_generation(a->ds) == UINT64_MAX)
		return -ESTALE;
	if (a->ds->nr_snapshots && !(a->flags & DESTROY_SNAPSHOTS))
		return -ENOTEMPTY;
	rc = collect(a);
	for (size_t i = 0; i < a->nr && rc == 0; i++) {
		uint32_t nr, nr_write;

		dataset_open_files(a->list[i], &nr, &nr_write);
		if (nr > 0 && !(a->flags & DESTROY_FORCE))
			return -EBUSY;
		rc = each_item(op, a->list[i], true);
	}
	return rc;
}

static int recount_add(struct destroy_arg *a, struct dataset *ds)
{
	if (a->nr_recount == a->cap_recount) {
		size_t cap = MAX_OF(2 * a->cap_recount, (size_t)8);
		struct dataset **p = reallocarray(a->recount, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		a->recount = p;
		a->cap_recount = cap;
	}
	a->recount[a->nr_recount++] = ds;
	return 0;
}

/* Does @ds go on from the snapshot @gone, or have it for kin? */
static bool is_heir(const struct dataset *ds, const struct dataset *gone)
{
	return ds->previous == gone->id || dataset_is_kin(ds, gone);
}

/* Who is behind the snapshot that goes: heads and snapshots of its dataset. */
static int find_heirs(struct op *op, struct destroy_arg *a)
{
	struct dataset *gone = a->ds, *ds;
	int rc = 0;

	a->nr_recount = 0;
	a->head = NULL;
	if (!gone->snapshot)
		return 0;
	ds = dataset_find_id(op->pool, gone->parent);
	if (!ds)
		return 0;
	if (is_heir(ds, gone)) {
		struct dataset **room =
			reallocarray(a->kin, ds->nr_snapshots, sizeof(*room));

		if (!room)
			return -ENOMEM;
		a->kin = room;
		a->head = ds;
		rc = recount_add(a, ds);
		rc = rc ? rc : dataset_touch(op, ds);
	}
	for (struct list *l = ds->snapshots.next;
	     l != &ds->snapshots && rc == 0; l = l->next) {
		struct dataset *s = container_of(l, struct dataset, sibling);

		if (s == gone || !is_heir(s, gone))
			continue;
		rc = recount_add(a, s);
		rc = rc ? rc : dataset_touch(op, s);
	}
	return rc;
}

static int compare_ids(const void *a, const void *b)
{
	const struct dataset *const *x = a, *const *y = b;

	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

static int lock_all(struct destroy_arg *a)
{
	size_t nr = a->nr + a->nr_recount;
	struct dataset **p = reallocarray(a->locked, nr, sizeof(*p));

	if (!p)
		return -ENOMEM;
	a->locked = p;
	a->nr_locked = nr;
	memcpy(p, a->list, a->nr * sizeof(*p));
	if (a->nr_recount)
		memcpy(p + a->nr, a->recount, a->nr_recount * sizeof(*p));
	qsort(p, nr, sizeof(*p), compare_ids);
	for (size_t i = 0; i < nr; i++)
		os_rwlock_wrlock(&p[i]->lock);
	return 0;
}

static void unlock_all(struct destroy_arg *a)
{
	while (a->nr_locked > 0)
		os_rwlock_unlock(&a->locked[--a->nr_locked]->lock);
}

/* The apply half. */
static void destroy(struct op *op, struct destroy_arg *a)
{
	a->applied = true;
	op->unlogged = true;
	ilog_destroy(op, a->ds, a->flags & DESTROY_SNAPSHOTS);
	for (size_t i = 0; i < a->nr_recount; i++) {
		struct dataset *heir = a->recount[i];

		if (heir->previous == a->ds->id) {
			heir->previous = a->ds->previous;
			heir->previous_txg = a->ds->previous_txg;
		}
		heir->lineage++;
		heir->flags |= DATASET_RECOUNT;
		dataset_get(heir);
		dataset_mark_dirty(op, heir);
	}
	for (size_t i = 0; i < a->nr; i++) {
		struct dataset *ds = a->list[i];

		each_item(op, ds, false);
		if (!ds->snapshot)
			dirty_discard(op, ds);
		op_note_kill(op, &ds->tree.root);
		ds->tree.root = (struct tree_root){0};
		__atomic_store_n(&ds->generation, UINT64_MAX, __ATOMIC_RELEASE);
		dataset_forget_kin(ds);
		dataset_remove(ds);
	}
	if (a->head) {
		dataset_find_kin(a->head, a->kin);
		a->kin = NULL;
	}
}

static int destroy_body(struct op *op, void *arg)
{
	struct destroy_arg *a = arg;
	int rc = check(op, a);

	if (rc == 0)
		rc = find_heirs(op, a);
	if (rc == 0)
		rc = lock_all(a);
	if (rc == 0)
		rc = op_ready(op);
	if (rc == 0)
		destroy(op, a);
	unlock_all(a);
	for (size_t i = 0; i < a->nr && rc == 0; i++)
		dataset_put(a->list[i]); /* the tables' reference */
	return rc;
}

int dataset_destroy(struct dataset *ds, unsigned flags)
{
	struct destroy_arg a = {.ds = ds, .flags = flags};
	struct dataset_info info;
	int rc;

	/* the notes of as many trees; a few more may come meanwhile */
	dataset_info(ds, &info);
	rc = dataset_change_root(ds->pool, info.nr_snapshots + 1,
				 OP_USE_RESERVE, destroy_body, &a);
	/* who is told that it is gone may count on that */
	if (rc == -ESTALE) {
		rc = ilog_sync_all(ds->pool);
		rc = rc ? rc : -ESTALE;
	}
	for (size_t i = 0; a.applied && i < a.nr_recount; i++) {
		if (rc == 0)
			pool_want_purge(a.recount[i]);
		dataset_put(a.recount[i]);
	}
	/* its blocks are wanted back */
	if (rc == 0 && !ds->pool->options.no_background && !ds->pool->replay.on)
		txg_kick(ds->pool);
	free(a.kin);
	free(a.locked);
	free(a.recount);
	free(a.list);
	return rc;
}
