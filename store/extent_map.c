/* SPDX-License-Identifier: Apache-2.0 */
#include "store/extent_map.h"

#include <errno.h>

int extent_get(struct op *op, const struct dataset *ds,
	       const struct inode *inode, uint64_t recno, struct extent *e)
{
	struct key key = extent_key(inode, recno);
	struct extent_item item;
	size_t len;
	int rc;

	*e = (struct extent){.present = false};
	rc = btree_get(op, &ds->tree, &key, &item, sizeof(item), &len);
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return rc;
	rc = extent_load((const uint8_t *)&item, len, inode->record_shift, e);
	if (rc)
		return inode_damaged(ds, inode->ino, "extent");
	return dataset_charge_of(op, ds, &key, e, &e->charge);
}

int extent_each(struct op *op, const struct dataset *ds,
		const struct inode *inode, uint64_t first, uint64_t end,
		extent_fn *fn, void *arg)
{
	unsigned shift = inode->record_shift - BLOCK_SHIFT;
	struct key key = extent_key(inode, first);
	struct key stop = extent_key(inode, end);
	struct btree_cursor cur;
	struct extent e;
	int rc;

	if (first >= end)
		return 0;
	for (rc = btree_seek(op, &ds->tree, &key, &cur); rc == 0;
	     rc = btree_next(op, &ds->tree, &cur)) {
		if (key_compare(&cur.key, &stop) >= 0) {
			btree_release(op, &cur);
			return 0;
		}
		if (extent_load(cur.value, cur.len, inode->record_shift, &e) ||
		    cur.key.offset != cur.key.offset >> shift << shift)
			rc = inode_damaged(ds, inode->ino, "extent");
		else
			rc = fn(arg, cur.key.offset >> shift, &e);
		if (rc) {
			btree_release(op, &cur);
			return rc;
		}
	}
	return rc == -ENOENT ? 0 : rc;
}

int extent_touch(struct op *op, const struct dataset *ds,
		 const struct inode *inode, uint64_t recno)
{
	struct key key = extent_key(inode, recno);

	return btree_touch(op, &ds->tree, &key);
}

static bool is_fresh(const struct dataset *ds, const struct extent *e)
{
	return e->birth > ds->previous_txg && e->charge == CHARGE_HERE;
}

int64_t extent_growth(const struct dataset *ds, const struct extent *from,
		      const struct extent *to)
{
	int64_t growth = to->nr_blocks;

	if (is_fresh(ds, from))
		growth -= from->nr_blocks;
	return growth;
}

int extent_check_quota(const struct dataset *ds, int64_t growth)
{
	if (growth <= 0)
		return 0;
	return dataset_check_quota(ds, (uint64_t)growth);
}

/* A counter from a damaged disk may be too small: it stays at 0 then. */
static void lower(uint64_t *counter, uint64_t by)
{
	*counter -= MIN_OF(*counter, by);
}

void extent_forget(struct dataset *ds, struct inode *inode,
		   const struct extent *e)
{
	if (e->nr_blocks == 0)
		return;
	lower(&inode->nr_blocks, e->nr_blocks);
	lower(&ds->referenced, e->nr_blocks);
	lower(&ds->logical, inode_recordsize(inode));
	if (is_fresh(ds, e))
		ds->fresh -= e->nr_blocks;
	else if (e->charge == CHARGE_UNSURE)
		dataset_charge_unsure(ds);
}

static void account_add(struct dataset *ds, struct inode *inode,
			const struct extent *e)
{
	inode->nr_blocks += e->nr_blocks;
	ds->referenced += e->nr_blocks;
	ds->logical += inode_recordsize(inode);
	if (is_fresh(ds, e))
		ds->fresh += e->nr_blocks;
}

void extent_set(struct op *op, struct dataset *ds, struct inode *inode,
		uint64_t recno, const struct extent *from,
		const struct extent *to)
{
	struct key key = extent_key(inode, recno);
	struct extent born = *to;
	struct extent_item item;

	extent_forget(ds, inode, from);
	if (to->nr_blocks == 0) {
		if (from->present)
			btree_del(op, &ds->tree, &key);
		return;
	}
	born.birth = op->txg;
	born.charge = CHARGE_HERE;
	account_add(ds, inode, &born);
	item = extent_store(&born);
	btree_put(op, &ds->tree, &key, &item, sizeof(item));
}

void extent_put_placeholder(struct op *op, struct dataset *ds,
			    const struct inode *inode, uint64_t recno)
{
	struct key key = extent_key(inode, recno);
	struct extent none = {.birth = op->txg};
	struct extent_item item = extent_store(&none);

	btree_put(op, &ds->tree, &key, &item, sizeof(item));
}
