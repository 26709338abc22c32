/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is charged for a block, and counting it anew after a snapshot was
 * destroyed.
 *
 * Snapshots and the head of a dataset form trees: each goes on from the
 * snapshot `previous`, or (0) from nothing that is left.  What was born up to
 * previous_txg is charged there or nowhere; all that is younger is fresh, but
 * for what an older snapshot that goes on from the same one has too, and is
 * charged for: its kin.  So each extent is charged once, to the first that
 * holds it.
 *
 * Whoever goes on from a snapshot has nothing younger that others have.  Only
 * when several went on from one (a restore), and that one is destroyed, do
 * its heirs have kin.  A head looks into the trees of its kin for what it is
 * about to lose; if they cannot be read then, it is counted anew later.
 *
 * Counting anew: the tree is walked without a lock while the dataset goes on;
 * what its ops add to or take from the counter meanwhile is kept: the new
 * value is the sum found plus the counter's change since the moment the
 * walked root was the dataset's.  The flag stays set until the value is, so a
 * crash only repeats the walk.  Nodes as old as previous_txg are skipped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/dataset_table.h"
#include "store/diff_internal.h"
#include "store/node.h"
#include "store/record.h"
#include "store/util.h"

/* ---- kin ---------------------------------------------------------------- */

bool dataset_is_kin(const struct dataset *ds, const struct dataset *q)
{
	/* ids rise with time; a head is younger than all its snapshots */
	return q != ds && q->previous == ds->previous &&
	       q->created_txg > ds->previous_txg &&
	       (!ds->snapshot || q->id < ds->id);
}

void dataset_find_kin(struct dataset *ds, struct dataset **room)
{
	dataset_forget_kin(ds);
	free(ds->kin);
	ds->kin = room;
	for (struct list *l = ds->snapshots.next; l != &ds->snapshots;
	     l = l->next) {
		struct dataset *q = container_of(l, struct dataset, sibling);

		if (!dataset_is_kin(ds, q))
			continue;
		ds->kin[ds->nr_kin++] = q;
		ds->kin_txg = MAX_OF(ds->kin_txg, q->created_txg);
	}
}

void dataset_forget_kin(struct dataset *ds)
{
	ds->nr_kin = 0;
	ds->kin_txg = 0;
}

int dataset_copy_kin(const struct dataset *ds, struct dataset_count *count)
{
	const struct dataset *head = ds;

	if (ds->snapshot)
		head = dataset_find_id(ds->pool, ds->parent);
	free(count->kin);
	count->nr_kin = 0;
	count->kin = calloc(head ? head->nr_snapshots + (size_t)1 : 1,
			    sizeof(*count->kin));
	if (!count->kin)
		return -ENOMEM;
	for (struct list *l = head ? head->snapshots.next : NULL;
	     l && l != &head->snapshots; l = l->next) {
		struct dataset *q = container_of(l, struct dataset, sibling);

		if (dataset_is_kin(ds, q))
			count->kin[count->nr_kin++] = (struct dataset_kin){
				q->tree.root, q->previous_txg, q->created_txg};
	}
	return 0;
}

/* Would kin with these bounds be charged for what was born at @birth? */
static bool in_bounds(uint64_t birth, uint64_t previous_txg,
		      uint64_t created_txg)
{
	return birth > previous_txg && birth <= created_txg;
}

int dataset_charge_of(struct op *op, const struct dataset *ds,
		      const struct key *key, const struct extent *e,
		      uint8_t *charge)
{
	struct extent_item item;

	*charge = CHARGE_HERE;
	if (e->nr_blocks == 0 ||
	    !in_bounds(e->birth, ds->previous_txg, ds->kin_txg))
		return 0;
	/* their destroyer locks @ds too */
	for (uint32_t i = 0; i < ds->nr_kin; i++) {
		const struct dataset *q = ds->kin[i];
		int rc;

		if (!in_bounds(e->birth, q->previous_txg, q->created_txg))
			continue;
		rc = btree_get(op, &q->tree, key, &item, sizeof(item), NULL);
		if (rc == 0 && le40_get(item.blkno) == e->blkno &&
		    le40_get(item.birth) == e->birth) {
			*charge = CHARGE_ELSEWHERE;
			return 0;
		}
		if (rc != -EAGAIN)
			continue;
		op->miss_optional = true;
		if (!op->ready && !op->without)
			return rc;
		op->miss_blkno = 0;
		*charge = CHARGE_UNSURE;
	}
	return 0;
}

void dataset_charge_unsure(struct dataset *ds)
{
	ds->flags |= DATASET_RECOUNT;
	/* a count under way knows nothing of it */
	ds->lineage++;
}

/* ---- counting ----------------------------------------------------------- */

struct counting {
	struct pool *pool;
	const struct dataset_count *from;
	int64_t sum;
};

/* Is one of the kin charged for this extent?  1: yes */
static int charged_to_kin(const struct counting *c, const struct node_item *it)
{
	const struct extent_item *e = (const void *)it->value;
	uint64_t birth = le40_get(e->birth);
	int rc = 0;

	for (size_t i = 0; i < c->from->nr_kin && rc == 0; i++) {
		const struct dataset_kin *q = &c->from->kin[i];
		const struct extent_item *there;
		struct tree_walk w;

		if (!in_bounds(birth, q->previous_txg, q->created_txg))
			continue;
		rc = tree_walk_seek(&w, c->pool->nc, &q->root, &it->key);
		if (rc)
			break;
		there = (const void *)w.item.value;
		rc = w.at == WALK_ITEM &&
		     key_compare(&w.item.key, &it->key) == 0 &&
		     le40_get(there->blkno) == le40_get(e->blkno) &&
		     le40_get(there->birth) == birth;
		tree_walk_release(&w);
	}
	return rc;
}

static int count_item(struct counting *c, const struct node_item *it)
{
	const struct extent_item *e = (const void *)it->value;
	int rc;

	/* a placeholder has no blocks yet (R3) */
	if (it->key.type != ITEM_EXTENT || le40_get(e->blkno) == 0 ||
	    le40_get(e->birth) <= c->from->previous_txg)
		return 0;
	rc = charged_to_kin(c, it);
	if (rc == 0)
		c->sum += (e->meta & 31) + 1;
	return rc < 0 ? rc : 0;
}

static int count_node(struct counting *c, uint64_t blkno, uint64_t txg,
		      uint8_t level)
{
	struct node *n;
	uint32_t nr;
	int rc;

	if (txg <= c->from->previous_txg)
		return 0;
	rc = tree_node_load(c->pool->nc, blkno, txg, level, &n);
	if (rc)
		return rc;
	nr = node_nr_items(n->page);
	for (uint32_t i = 0; i < nr && rc == 0; i++) {
		struct node_item item;
		uint64_t child, child_txg;

		if (level > 0) {
			node_child(n->page, i, &child, &child_txg);
			rc = count_node(c, child, child_txg,
					(uint8_t)(level - 1));
		} else {
			node_item(n->page, i, &item);
			rc = count_item(c, &item);
		}
	}
	node_cache_put(c->pool->nc, n);
	return rc;
}

struct recount_arg {
	struct dataset *ds;
	struct dataset_count count; /* when the walked root was taken */
	int64_t change;
	bool again;
};

static int recount_body(struct op *op, void *arg)
{
	struct recount_arg *a = arg;
	struct dataset *ds = a->ds, *parent = NULL;
	int rc;

	os_rwlock_wrlock(&ds->lock);
	rc = dataset_generation(ds) == UINT64_MAX ? -ESTALE
						  : dataset_touch(op, ds);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		goto out;
	/* a snapshot may have come and gone, and the counter begun anew */
	a->again = ds->lineage != a->count.lineage;
	if (!a->again) {
		ds->fresh += a->change;
		ds->flags &= (uint32_t)~DATASET_RECOUNT;
		if (ds->snapshot)
			parent = dataset_find_id(op->pool, ds->parent);
		if (parent)
			__atomic_add_fetch(&parent->held, a->change,
					   __ATOMIC_RELAXED);
	}
	dataset_mark_dirty(op, ds);
out:
	os_rwlock_unlock(&ds->lock);
	return rc;
}

int dataset_recount(struct dataset *ds)
{
	struct recount_arg a = {.ds = ds, .again = true};
	int rc = 0;

	while (a.again && rc == 0) {
		struct counting c = {.pool = ds->pool, .from = &a.count};
		struct tree_root root;

		rc = dataset_hold_counted(ds, &root, &a.count);
		if (rc)
			break;
		rc = count_node(&c, root.blkno, root.txg, root.level);
		dataset_release_root(ds->pool, &root);
		a.change = c.sum - a.count.fresh;
		if (rc == 0)
			rc = dataset_change_root(ds->pool, 1, OP_USE_RESERVE,
						 recount_body, &a);
	}
	free(a.count.kin);
	if (rc && rc != -ESTALE)
		log_warn("charged bytes cannot be counted dataset=%s error=%d: "
			 "counted again when the pool is opened",
			 ds->name, -rc);
	return rc;
}
