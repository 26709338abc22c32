/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What would be freed if some datasets and snapshots were destroyed.
 *
 * The reaper's walk, without changing anything: dropping a pointer takes one
 * from the count of what it names, and what reaches 0 is free and drops its
 * own pointers.  Lowered counts are kept in a table; those that were 1 need no
 * place in it, so it holds only the border between what goes and what stays.
 *
 * The roots are held, so what they reach can be read; counts are those of the
 * last commit.  A dataset that is written to meanwhile gives back some of what
 * the walk still sees: that counts as freed, which it will be.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/dataset_internal.h"
#include "store/diff_internal.h"
#include "store/pool_internal.h"
#include "store/util.h"

struct dropped {
	uint64_t blkno;
	uint32_t nr; /* pointers dropped */
	bool freed;
};

struct unique {
	struct pool *pool;
	struct idmap dropped; /* struct dropped */
	uint64_t nr_blocks;
};

/* Drop one pointer to the node or run at @blkno.  @last: out, it is free. */
static int drop(struct unique *u, uint64_t blkno, bool *last)
{
	struct dropped *d;
	uint32_t count;
	int rc;

	*last = false;
	rc = space_map_get(u->pool->sm, blkno, &count);
	/* in a damaged region nothing is ever freed (S5) */
	if (rc == -EUCLEAN || rc == -EIO || rc == -EBADMSG)
		return 0;
	if (rc)
		return rc;
	/* 0: given back since the root was held */
	if (count <= 1) {
		*last = true;
		return 0;
	}
	/* may be any larger count */
	if (count == SPACE_COUNT_OVERFLOW)
		return 0;
	d = idmap_add(&u->dropped, blkno, NULL);
	if (!d)
		return -ENOMEM;
	d->nr++;
	*last = !d->freed && d->nr >= count;
	d->freed |= *last;
	return 0;
}

static int drop_item(struct unique *u, const struct node_item *it)
{
	const struct extent_item *e = (const void *)it->value;
	uint64_t blkno = le40_get(e->blkno);
	bool last;
	int rc;

	/* a placeholder has no blocks yet (R3) */
	if (it->key.type != ITEM_EXTENT || blkno == 0)
		return 0;
	rc = drop(u, blkno, &last);
	if (rc == 0 && last)
		u->nr_blocks += (e->meta & 31u) + 1;
	return rc;
}

static int drop_tree(struct unique *u, const struct tree_root *root)
{
	struct tree_walk w;
	int rc = 0;

	tree_walk_init(&w, u->pool->nc, root);
	while (rc == 0 && w.at != WALK_END) {
		bool last;

		if (w.at == WALK_ITEM) {
			rc = drop_item(u, &w.item);
			if (rc == 0)
				rc = tree_walk_skip(&w);
			continue;
		}
		rc = drop(u, w.blkno, &last);
		if (rc)
			break;
		u->nr_blocks += last;
		rc = last ? tree_walk_enter(&w) : tree_walk_skip(&w);
	}
	tree_walk_release(&w);
	return rc;
}

int dataset_unique(struct dataset **ds, size_t nr, uint64_t *bytes)
{
	struct tree_root *root;
	struct unique u;
	size_t held;
	int rc = 0;

	*bytes = 0;
	if (nr == 0)
		return 0;
	u = (struct unique){.pool = ds[0]->pool};
	idmap_init(&u.dropped, sizeof(struct dropped));
	root = calloc(nr, sizeof(*root));
	if (!root)
		return -ENOMEM;
	for (held = 0; held < nr; held++) {
		rc = ds[held]->pool == u.pool
			     ? dataset_hold_root(ds[held], &root[held])
			     : -EXDEV;
		if (rc)
			break;
	}
	for (size_t i = 0; i < nr && rc == 0; i++)
		rc = drop_tree(&u, &root[i]);
	while (held-- > 0)
		dataset_release_root(u.pool, &root[held]);
	idmap_release(&u.dropped);
	free(root);
	if (rc == 0)
		*bytes = u.nr_blocks << BLOCK_SHIFT;
	return rc;
}
