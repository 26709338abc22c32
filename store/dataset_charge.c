/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting a dataset's fresh blocks anew, after a snapshot in its lineage was
 * destroyed.
 *
 * The tree is walked without a lock while the dataset goes on; what its ops
 * add to or take from the counter meanwhile is kept: the new value is the sum
 * found plus the counter's change since the moment the walked root was the
 * dataset's.  The flag stays set until the value is, so a crash only repeats
 * the walk.  Nodes as old as the lineage's last snapshot are skipped.
 */
#include <errno.h>

#include "store/dataset_table.h"
#include "store/node.h"
#include "store/util.h"

static int count_node(struct pool *pool, uint64_t blkno, uint64_t txg,
		      uint8_t level, uint64_t after, int64_t *sum)
{
	struct node *n;
	uint32_t nr;
	int rc;

	if (txg <= after)
		return 0;
	rc = node_cache_load(pool->nc, blkno, txg, level, &n);
	if (rc)
		return rc;
	nr = node_nr_items(n->page);
	for (uint32_t i = 0; i < nr && rc == 0; i++) {
		const struct extent_item *e;
		struct node_item item;
		uint64_t child, child_txg;

		if (level > 0) {
			node_child(n->page, i, &child, &child_txg);
			rc = count_node(pool, child, child_txg,
					(uint8_t)(level - 1), after, sum);
			continue;
		}
		node_item(n->page, i, &item);
		e = (const struct extent_item *)item.value;
		if (item.key.type == ITEM_EXTENT && le40_get(e->birth) > after)
			*sum += (e->meta & 31) + 1;
	}
	node_cache_put(pool->nc, n);
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
		struct tree_root root;
		int64_t sum = 0;

		rc = dataset_hold_counted(ds, &root, &a.count);
		if (rc)
			break;
		rc = count_node(ds->pool, root.blkno, root.txg, root.level,
				a.count.previous_txg, &sum);
		dataset_release_root(ds->pool, &root);
		a.change = sum - a.count.fresh;
		if (rc == 0)
			rc = dataset_change_root(ds->pool, 1, OP_USE_RESERVE,
						 recount_body, &a);
	}
	if (rc && rc != -ESTALE)
		log_warn("charged bytes cannot be counted dataset=%s error=%d: "
			 "counted again when the pool is opened",
			 ds->name, -rc);
	return rc;
}
