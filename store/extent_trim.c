/* SPDX-License-Identifier: Apache-2.0 */
#include "store/extent_trim.h"

#include <errno.h>

#include "store/dirty.h"
#include "store/extent_map.h"
#include "store/node.h"
#include "store/node_cache.h"

int extent_in_one_leaf(struct op *op, const struct dataset *ds,
		       const struct key *from, const struct key *last,
		       bool *any, bool *one)
{
	struct btree_cursor first_cur, last_cur;
	int rc;

	*any = *one = false;
	rc = btree_seek(op, &ds->tree, from, &first_cur);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (key_compare(&first_cur.key, last) > 0)
		goto out;
	*any = true;
	rc = btree_seek_last(op, &ds->tree, last, &last_cur);
	if (rc)
		goto out;
	*one = first_cur.leaf == last_cur.leaf;
	btree_release(op, &last_cur);
out:
	btree_release(op, &first_cur);
	return rc;
}

/* Have in memory what says who is charged for the items of the first leaf. */
static int look_for_charges(struct op *op, const struct dataset *ds,
			    const struct inode *inode, const struct key *from,
			    const struct key *to)
{
	struct btree_cursor cur;
	struct node_item item;
	struct extent e;
	uint32_t nr;
	int rc;

	if (ds->nr_kin == 0)
		return 0;
	rc = btree_seek(op, &ds->tree, from, &cur);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	nr = node_nr_items(cur.leaf->page);
	for (uint32_t i = cur.slot; i < nr && rc == 0; i++) {
		node_item(cur.leaf->page, i, &item);
		if (key_compare(&item.key, to) >= 0)
			break;
		if (item.key.type == ITEM_EXTENT &&
		    extent_load(item.value, item.len, inode->record_shift,
				&e) == 0)
			rc = dataset_charge_of(op, ds, &item.key, &e,
					       &e.charge);
	}
	btree_release(op, &cur);
	return rc;
}

struct trim {
	struct op *op;
	struct dataset *ds;
	struct inode *inode;
};

static void trim_one(void *arg, const struct key *key, const uint8_t *value,
		     uint32_t len)
{
	const struct trim *t = arg;
	unsigned shift = t->inode->record_shift;
	struct extent e;

	if (key->type != ITEM_EXTENT)
		return;
	dirty_drop(t->ds, key->ino, key->offset >> (shift - BLOCK_SHIFT));
	/* a damaged one counts for nothing; it goes all the same */
	if (extent_load(value, len, shift, &e))
		return;
	/* in the apply half: it cannot fail */
	(void)dataset_charge_of(t->op, t->ds, key, &e, &e.charge);
	extent_forget(t->ds, t->inode, &e);
}

int extent_trim(struct op *op, struct dataset *ds, struct inode *inode,
		const struct key *from, const struct key *last)
{
	struct trim t = {.op = op, .ds = ds, .inode = inode};
	struct key to = key_next(last);
	uint32_t nr;
	int rc = look_for_charges(op, ds, inode, from, &to);

	if (rc == 0)
		rc = btree_trim(op, &ds->tree, from, &to, trim_one, &t, &nr);
	if (rc)
		return rc;
	return op->ready ? 0 : op_ready(op);
}
