/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A B+tree of pages that each are sound, but whose keys, levels, txgs and
 * pointers are whatever the input says: looked up in, walked both ways,
 * changed, split, merged, shared, committed and reaped.
 *
 * An input: how many pages, each with its level, txg and items, then calls.
 */
#include <string.h>

#include "store/dataset_internal.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "store/store.h"
#include "store/util.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/use.h"
#include "tests/lib/check.h"

#define PAGES_MAX 8u
#define CALLS_MAX 40u
#define STEPS_MAX 60u

static const struct fuzz_base *base;
static uint8_t value[NODE_ITEM_MAX];

struct tree {
	uint64_t blkno[PAGES_MAX];
	uint64_t txg[PAGES_MAX];
	uint8_t level[PAGES_MAX];
	unsigned nr;
};

void fuzz_setup(void)
{
	base = fuzz_base();
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 11);
}

static struct key any_key(uint64_t v)
{
	static const uint8_t types[] = {ITEM_INODE, ITEM_XATTR, ITEM_DIRENT,
					ITEM_EXTENT};

	return (struct key){
		.ino = v & 0x8000 ? fuzz_odd(v) & INO_MAX : v & 7,
		.type = types[v >> 3 & 3],
		.offset = v & 0x4000 ? fuzz_odd(v >> 5) & OFFSET_MAX
				     : v >> 5 & 511,
	};
}

/* ---- the tree ------------------------------------------------------------ */

static uint32_t leaf_len(const struct key *key, uint8_t v)
{
	return key->type == ITEM_EXTENT ? sizeof(struct extent_item) : v * 5u;
}

static void add_item(struct tree *t, unsigned page_nr, struct key key,
		     uint8_t v)
{
	uint8_t *page = fuzz_device_block(t->blkno[page_nr]);
	struct extent_item extent = {.blkno = le40_of(v), .meta = v};
	struct node_ptr ptr = {
		.blkno = le40_of(t->blkno[v % t->nr]),
		.txg = le40_of(t->txg[v % t->nr]),
	};
	bool exact;
	uint32_t i = node_search(page, &key, &exact);

	if (exact)
		return;
	/* now and then a node of another tree */
	if (v >= 250) {
		uint64_t b = base->block[FUZZ_LEAF][v - 250];
		const struct meta_header *h =
			(const void *)(base->bytes + b * BLOCK_SIZE);

		ptr.blkno = le40_of(b);
		ptr.txg = le40_of(le64_get(h->txg));
	}
	if (t->level[page_nr] > 0)
		node_insert(page, i, &key, &ptr, sizeof(ptr));
	else if (key.type == ITEM_EXTENT)
		node_insert(page, i, &key, &extent, sizeof(extent));
	else
		node_insert(page, i, &key, value, leaf_len(&key, v));
}

static void build(struct tree *t, struct fuzz_input *in)
{
	const struct superblock *sb = fuzz_base_super(base);
	uint64_t now = le64_get(sb->h.txg);

	t->nr = 1 + fuzz_take(in, 1) % PAGES_MAX;
	for (unsigned i = 0; i < t->nr; i++) {
		uint8_t v = (uint8_t)fuzz_take(in, 1);

		/* blocks that count as used, in one of two places */
		t->blkno[i] = base->block[v & 128 ? FUZZ_LEAF : FUZZ_INNER]
					 [i % base->nr[FUZZ_INNER]];
		t->level[i] = v & 7;
		t->txg[i] = v & 64 ? now + (v >> 3 & 3) : now - (v >> 3 & 3);
	}
	for (unsigned i = 0; i < t->nr; i++) {
		unsigned nr = (unsigned)fuzz_take(in, 1);

		node_init(fuzz_device_block(t->blkno[i]),
			  le64_get(sb->h.pool_id), t->blkno[i], t->txg[i],
			  t->level[i], 1);
		if (nr < 64) {
			for (unsigned k = 0; k < nr; k++) {
				struct key key = any_key(fuzz_take(in, 2));

				add_item(t, i, key, (uint8_t)fuzz_take(in, 1));
			}
		} else {
			/* a page that is full, or nearly */
			uint64_t first = fuzz_take(in, 2);
			uint8_t v = (uint8_t)fuzz_take(in, 1);

			for (unsigned k = 0; k < 3 * (nr - 64); k++)
				add_item(t, i, any_key(first + 32 * k), v);
		}
		node_seal(fuzz_device_block(t->blkno[i]));
	}
}

/* ---- what is done to it -------------------------------------------------- */

struct call {
	struct key key, end;
	uint32_t len, steps;
	bool forward, del;
	uint32_t nr; /* out */
};

static int get_body(struct op *op, struct dataset *ds, void *arg)
{
	uint8_t buf[NODE_ITEM_MAX];
	struct call *c = arg;
	size_t len = 0;
	int rc = btree_get(op, &ds->tree, &c->key, buf, sizeof(buf), &len);

	MUST(len <= NODE_ITEM_MAX);
	return rc;
}

static int walk_body(struct op *op, struct dataset *ds, void *arg)
{
	struct call *c = arg;
	struct btree_cursor cur;
	struct key before = c->key;
	unsigned sum = 0;
	int rc = c->forward ? btree_seek(op, &ds->tree, &c->key, &cur)
			    : btree_seek_last(op, &ds->tree, &c->key, &cur);

	for (unsigned i = 0; i < c->steps && rc == 0; i++) {
		int order = key_compare(&cur.key, &before);

		/* whatever the tree is like: never back, never twice */
		MUST(c->forward ? order > 0 || (i == 0 && order == 0)
				: order < 0 || (i == 0 && order == 0));
		before = cur.key;
		for (uint32_t k = 0; k < cur.len; k++)
			sum += cur.value[k];
		rc = c->forward ? btree_next(op, &ds->tree, &cur)
				: btree_prev(op, &ds->tree, &cur);
	}
	MUST(sum < UINT32_MAX);
	btree_release(op, &cur);
	return rc;
}

static int change_body(struct op *op, struct dataset *ds, void *arg)
{
	struct call *c = arg;
	int rc = btree_touch(op, &ds->tree, &c->key);

	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	if (c->del)
		btree_del(op, &ds->tree, &c->key);
	else
		btree_put(op, &ds->tree, &c->key, value, c->len);
	return 0;
}

static void trimmed(void *arg, const struct key *key, const uint8_t *v,
		    uint32_t len)
{
	struct call *c = arg;

	(void)v;
	(void)len;
	MUST(key_compare(&c->key, key) <= 0 && key_compare(key, &c->end) < 0);
}

static int trim_body(struct op *op, struct dataset *ds, void *arg)
{
	struct call *c = arg;

	return btree_trim(op, &ds->tree, &c->key, &c->end, trimmed, c, &c->nr);
}

static void call_tree(struct dataset *ds, struct fuzz_input *in)
{
	uint8_t what = (uint8_t)fuzz_take(in, 1);
	struct call c = {.key = any_key(fuzz_take(in, 2))};
	uint8_t v = (uint8_t)fuzz_take(in, 1);
	char name[8];
	uint32_t id;

	switch (what % 8) {
	case 0:
		op_read(ds, get_body, &c);
		break;
	case 1:
	case 2:
		c.forward = what & 1;
		c.steps = v % STEPS_MAX;
		op_read(ds, walk_body, &c);
		break;
	case 3:
	case 4:
		if (c.key.type == ITEM_EXTENT)
			c.key.type = ITEM_SYMLINK;
		c.len = leaf_len(&c.key, v);
		op_change(ds, 1, 0, change_body, &c);
		break;
	case 5:
		c.del = true;
		op_change(ds, 1, OP_USE_RESERVE, change_body, &c);
		break;
	case 6:
		c.end = c.key;
		c.end.ino += v & 3;
		c.end.offset = MIN_OF(c.end.offset + v, OFFSET_MAX);
		for (unsigned i = 0; i < 4; i++)
			if (op_change(ds, 1, OP_USE_RESERVE, trim_body, &c) ||
			    c.nr == 0)
				break;
		break;
	default:
		snprintf(name, sizeof(name), "s%u", v & 7);
		if (v & 8)
			dataset_snapshot(ds, name, false, &id);
		else if (v & 16)
			dataset_clone(ds, name, &id);
		else
			pool_sync(ds->pool);
	}
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	struct blkdev *dev = fuzz_device(base->bytes, base->size);
	uint8_t how = (uint8_t)fuzz_take(&in, 1);
	struct tree t = {.nr = 0};
	struct dataset *ds;
	struct pool *pool;

	build(&t, &in);
	pool = fuzz_open(dev, false);
	if (!pool)
		return;
	if (dataset_open(pool, "small", &ds) == 0) {
		ds->tree.root =
			(struct tree_root){t.blkno[0], t.txg[0], t.level[0]};
		for (unsigned i = 0; i < CALLS_MAX && in.left > 0; i++)
			call_tree(ds, &in);
		if (how & 1)
			dataset_destroy(ds, DESTROY_FORCE | DESTROY_SNAPSHOTS);
		dataset_put(ds);
	}
	if (how & 2) {
		pool_sync(pool);
		pool_sync(pool);
		pool_close(pool);
		if (how & 4)
			fuzz_check(dev, false);
	} else {
		pool_abandon(pool);
	}
}
