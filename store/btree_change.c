/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing trees: the apply half.  Every node on the way is in the cache
 * (touched, or born in the open group), so nothing here can fail.
 *
 * Going down, every node that the tree does not own is shadowed; what is
 * changed afterwards is changed in place.
 */
#include "store/btree_internal.h"

#include <errno.h>
#include <string.h>

#include "store/ilog.h"
#include "store/util.h"

/* A node smaller than this looks for a sibling to merge with. */
#define MERGE_BELOW (NODE_CAPACITY / 3)
/* Merged nodes stay this much below the capacity, not to split at once. */
#define MERGE_LIMIT (NODE_CAPACITY - NODE_CAPACITY / 8)

/* A node that must be in the cache; not held: it is touched or dirty. */
static struct node *must_node(struct op *op, uint64_t blkno, uint64_t txg)
{
	struct node *n = node_cache_peek(op->pool->nc, blkno, txg);

	if (n) {
		node_cache_put(op->pool->nc, n);
		return n;
	}
	/*
	 * A map that counts nodes as free made the allocator hand out this
	 * one's block after it was touched.  Held it is readable all the same.
	 */
	for (uint32_t i = 0; i < op->nr_touched && !n; i++)
		if (op->touched[i]->blkno == blkno &&
		    op->touched[i]->txg == txg)
			n = op->touched[i];
	dbs_assert(n);
	return n;
}

static struct node *must_child(struct op *op, const struct node *n, uint32_t i)
{
	uint64_t blkno, txg;

	node_child(n->page, i, &blkno, &txg);
	return must_node(op, blkno, txg);
}

static struct node_ptr ptr_to(const struct node *n)
{
	return (struct node_ptr){.blkno = le40_of(n->blkno),
				 .txg = le40_of(n->txg)};
}

static void set_root(struct btree *bt, const struct node *n)
{
	bt->root.blkno = n->blkno;
	bt->root.txg = n->txg;
	bt->root.level = node_level(n->page);
}

static struct node *new_node(struct op *op, struct btree *bt, uint8_t level)
{
	struct node *n = op_new_node(op, bt);

	node_init(n->page, op->pool->id, n->blkno, n->txg, level, bt->owner);
	return n;
}

/* @old's copy in a new place; @parent names it from now on. */
static struct node *shadow(struct op *op, struct btree *bt, struct node *old,
			   struct node *parent, uint32_t slot)
{
	struct node *n = op_new_node(op, bt);
	struct node_ptr ptr = ptr_to(n);

	/* not the checksum: the committer may be putting it in */
	memcpy(n->page + 8, old->page + 8, BLOCK_SIZE - 8);
	node_move(n->page, n->blkno, n->txg, bt->owner);
	op_note_shadow(op, old);
	if (parent)
		node_replace(parent->page, slot, &ptr);
	else
		set_root(bt, n);
	return n;
}

/*
 * The path to @key's leaf with everything on it owned, from the root down to
 * level @down; below it, @p has the nodes as they are.
 */
static void path_own(struct op *op, struct btree *bt, const struct key *key,
		     uint8_t down, struct btree_path *p)
{
	struct node *n = must_node(op, bt->root.blkno, bt->root.txg);
	struct node *parent = NULL;

	memset(p, 0, sizeof(*p));
	for (uint8_t l = bt->root.level;; l--) {
		if (l >= down && !btree_owns(op, bt, n))
			n = shadow(op, bt, n, parent,
				   parent ? p->slot[l + 1] : 0);
		p->node[l] = n;
		if (l == 0)
			return;
		p->slot[l] = node_search_child(n->page, key);
		parent = n;
		n = must_child(op, n, p->slot[l]);
	}
}

/* ---- splitting ---------------------------------------------------------- */

/* The items of a page and perhaps one more, their values in a copy of it. */
struct item_array {
	uint32_t nr;
	struct node_item item[NODE_ITEMS_MAX];
	uint8_t copy[2][BLOCK_SIZE];
};

static void array_add(struct item_array *a, const uint8_t *page, unsigned copy)
{
	uint32_t nr = node_nr_items(page);

	memcpy(a->copy[copy] + 8, page + 8, BLOCK_SIZE - 8);
	for (uint32_t i = 0; i < nr; i++)
		node_item(a->copy[copy], i, &a->item[a->nr++]);
}

static void array_insert(struct item_array *a, uint32_t at,
			 const struct key *key, const void *value, uint32_t len)
{
	memmove(&a->item[at + 1], &a->item[at],
		(a->nr - at) * sizeof(a->item[0]));
	a->item[at] = (struct node_item){*key, value, len};
	a->nr++;
}

/*
 * Where to cut @a in two, given that the item at @at is new: behind all the
 * old ones when it is the last (what grows at its end stays full), else where
 * the halves are most alike.
 */
static uint32_t split_point(const struct item_array *a, uint32_t at,
			    uint8_t level)
{
	uint32_t best, best_size = UINT32_MAX, half = 0, sum = 0;

	if (at == a->nr - 1 &&
	    node_size_of(a->item, a->nr - 1, level) <= NODE_CAPACITY)
		return a->nr - 1;
	if (at == 0 &&
	    node_size_of(a->item + 1, a->nr - 1, level) <= NODE_CAPACITY &&
	    node_size_of(a->item, a->nr, level) >
		    2 * NODE_CAPACITY - NODE_CAPACITY / 8)
		return 1;
	/* half of the values' bytes first: nearly always that fits */
	for (uint32_t s = 0; s < a->nr; s++)
		half += a->item[s].len + KEY_SIZE;
	half /= 2;
	for (best = 0; best < a->nr - 1 && sum < half; best++)
		sum += a->item[best].len + KEY_SIZE;
	best = MAX_OF(best, 1u);
	if (node_size_of(a->item, best, level) <= NODE_CAPACITY &&
	    node_size_of(a->item + best, a->nr - best, level) <= NODE_CAPACITY)
		return best;
	for (uint32_t s = 1; s < a->nr; s++) {
		uint32_t left = node_size_of(a->item, s, level);
		uint32_t right = node_size_of(a->item + s, a->nr - s, level);
		uint32_t size = MAX_OF(left, right);

		if (size < best_size) {
			best_size = size;
			best = s;
		}
	}
	dbs_assert(best_size <= NODE_CAPACITY);
	return best;
}

static void insert_at(struct op *op, struct btree *bt, struct btree_path *p,
		      uint8_t level, uint32_t slot, const struct key *key,
		      const void *value, uint32_t len,
		      const struct key *first_key);

/*
 * The first child of a node also takes what is lower than its key, so when it
 * is split the new key may be lower than that.  Keys must rise (M1): then the
 * first gets @lowest, which is in the child and below @key.
 */
static const struct key *first_key_for(const struct node *parent,
				       const struct key *lowest,
				       const struct key *key)
{
	struct node_item item;

	node_item(parent->page, 0, &item);
	return key_compare(&item.key, key) < 0 ? NULL : lowest;
}

/* @n was split: its upper part, which starts with @key, is now in @right. */
static void add_sibling(struct op *op, struct btree *bt, struct btree_path *p,
			uint8_t level, const struct key *lowest,
			const struct key *key, const struct node *right)
{
	struct node_ptr ptr = ptr_to(right), left = ptr_to(p->node[level]);
	struct btree_path above = {0};
	struct node *top;

	if (level < bt->root.level) {
		insert_at(op, bt, p, (uint8_t)(level + 1),
			  p->slot[level + 1] + 1, key, &ptr, sizeof(ptr),
			  first_key_for(p->node[level + 1], lowest, key));
		return;
	}
	dbs_assert(level + 1u < NODE_LEVEL_MAX);
	top = new_node(op, bt, (uint8_t)(level + 1));
	above.node[level + 1] = top;
	insert_at(op, bt, &above, (uint8_t)(level + 1), 0, lowest, &left,
		  sizeof(left), NULL);
	insert_at(op, bt, &above, (uint8_t)(level + 1), 1, key, &ptr,
		  sizeof(ptr), NULL);
	set_root(bt, top);
}

/*
 * Rewrite the owned node @n with one item more; returns the new node that
 * took its upper part, or NULL when all fits.  @lowest, @first: out, the keys
 * that the two start with.
 * A function of its own: the array is large, and insert_at() recurses.
 */
static __attribute__((noinline)) struct node *
rewrite(struct op *op, struct btree *bt, struct node *n, uint8_t level,
	uint32_t slot, const struct node_item *item,
	const struct key *first_key, struct key *lowest, struct key *first)
{
	struct item_array a;
	struct node *right;
	uint32_t s;

	a.nr = 0;
	array_add(&a, n->page, 0);
	if (first_key)
		a.item[0].key = *first_key;
	array_insert(&a, slot, &item->key, item->value, item->len);
	if (node_size_of(a.item, a.nr, level) <= NODE_CAPACITY) {
		node_fill(n->page, a.item, a.nr);
		return NULL;
	}
	s = split_point(&a, slot, level);
	*lowest = a.item[0].key;
	*first = a.item[s].key;
	right = new_node(op, bt, level);
	node_fill(right->page, a.item + s, a.nr - s);
	node_fill(n->page, a.item, s);
	return right;
}

/*
 * Insert into the owned node at @level of the path, splitting as needed.
 * @first_key: NULL, or the key that the first item has from now on
 */
static void insert_at(struct op *op, struct btree *bt, struct btree_path *p,
		      uint8_t level, uint32_t slot, const struct key *key,
		      const void *value, uint32_t len,
		      const struct key *first_key)
{
	const struct node_item item = {*key, value, len};
	struct node *n = p->node[level], *right;
	struct key lowest, first;

	if (!first_key && node_insert(n->page, slot, key, value, len))
		return;
	right = rewrite(op, bt, n, level, slot, &item, first_key, &lowest,
			&first);
	if (right)
		add_sibling(op, bt, p, level, &lowest, &first, right);
}

/* B3: an extent item that goes or changes drops its reference. */
static void unref_extent(struct op *op, const struct key *key,
			 const uint8_t *value)
{
	const struct extent_item *e = (const struct extent_item *)value;

	/* blkno 0: a placeholder of a dirty record (record.h, R3) */
	if (key->type == ITEM_EXTENT && le40_get(e->blkno))
		op_unref(op, le40_get(e->blkno), (e->meta & 31u) + 1);
}

/* Write path 6 of 9; next: seal(), in the committer */
void btree_put(struct op *op, struct btree *bt, const struct key *key,
	       const void *value, size_t len)
{
	struct btree_path p;
	struct node_item old;
	uint32_t i;
	bool exact;

	dbs_assert(op->ready && len <= NODE_ITEM_MAX);
	ilog_put(op, bt, key, value, len);
	if (!bt->root.blkno) {
		struct node *leaf = new_node(op, bt, 0);

		node_insert(leaf->page, 0, key, value, (uint32_t)len);
		set_root(bt, leaf);
		return;
	}
	path_own(op, bt, key, 0, &p);
	i = node_search(p.node[0]->page, key, &exact);
	if (exact) {
		node_item(p.node[0]->page, i, &old);
		/* the same run again: only what is said of it changes */
		if (key->type != ITEM_EXTENT ||
		    memcmp(old.value, value, sizeof(struct le40)) != 0)
			unref_extent(op, key, old.value);
		if (old.len == len) {
			node_replace(p.node[0]->page, i, value);
			return;
		}
		if (node_nr_items(p.node[0]->page) > 1)
			node_remove(p.node[0]->page, i);
		else
			node_init(p.node[0]->page, op->pool->id,
				  p.node[0]->blkno, p.node[0]->txg, 0,
				  bt->owner);
	}
	insert_at(op, bt, &p, 0, i, key, value, (uint32_t)len, NULL);
}

/* ---- merging ------------------------------------------------------------ */

static void free_node(struct op *op, const struct node *n)
{
	op_note(op, NOTE_FREE_NODE, n->blkno, 1);
}

/* The references of @n, which leaves the tree, have moved to another node. */
static void retire(struct op *op, const struct btree *bt, struct node *n)
{
	if (btree_owns(op, bt, n))
		free_node(op, n);
	else
		op_note_shadow(op, n);
}

/* A root with one child gives way to it. */
static void collapse(struct op *op, struct btree *bt, struct node *root)
{
	while (node_level(root->page) > 0 && node_nr_items(root->page) == 1) {
		uint64_t blkno, txg;
		struct node *child;

		node_child(root->page, 0, &blkno, &txg);
		bt->root.blkno = blkno;
		bt->root.txg = txg;
		bt->root.level--;
		retire(op, bt, root);
		/* not touched, perhaps: then it waits for the next change */
		child = btree_node(op, blkno, txg, bt->root.level);
		if (!child)
			return;
		btree_put_node(op, child);
		root = child;
	}
}

/* Do keys rise (M1) where two nodes meet?  In a damaged tree they may not, and
 * whoever walked such a leaf would come by the same keys again and again. */
static bool joins(const struct item_array *a, uint32_t middle)
{
	return key_compare(&a->item[middle - 1].key, &a->item[middle].key) <
		       0 &&
	       (middle + 1 == a->nr ||
		key_compare(&a->item[middle].key, &a->item[middle + 1].key) <
			0);
}

/* Merge the small owned node at @level with a sibling if that fits.  Not
 * inline: the array is large, and who calls it recurses. */
static __attribute__((noinline)) bool merge(struct op *op, struct btree *bt,
					    struct btree_path *p, uint8_t level)
{
	struct node *n = p->node[level], *parent = p->node[level + 1];
	uint32_t slot = p->slot[level + 1];
	uint32_t nr = node_nr_items(parent->page);
	struct item_array a;

	for (unsigned right = 0; right < 2; right++) {
		uint64_t blkno, txg;
		struct node_ptr ptr = ptr_to(n);
		struct node_item above;
		struct node *sib;
		uint32_t middle;

		if (right ? slot + 1 >= nr : slot == 0)
			continue;
		node_child(parent->page, right ? slot + 1 : slot - 1, &blkno,
			   &txg);
		sib = btree_node(op, blkno, txg, level);
		if (!sib)
			continue;
		a.nr = 0;
		array_add(&a, right ? n->page : sib->page, 0);
		middle = a.nr;
		array_add(&a, right ? sib->page : n->page, 1);
		/* the right one's first key said nothing, its parent's does */
		if (level > 0) {
			node_item(parent->page, right ? slot + 1 : slot,
				  &above);
			a.item[middle].key = above.key;
		}
		if (a.nr < NODE_ITEMS_MAX && joins(&a, middle) &&
		    node_size_of(a.item, a.nr, level) <= MERGE_LIMIT) {
			node_fill(n->page, a.item, a.nr);
			retire(op, bt, sib);
			btree_put_node(op, sib);
			/* the left key stays, the right one goes */
			if (right) {
				node_remove(parent->page, slot + 1);
			} else {
				node_replace(parent->page, slot - 1, &ptr);
				node_remove(parent->page, slot);
			}
			return true;
		}
		btree_put_node(op, sib);
	}
	return false;
}

/* Take the child at the path's slot out of the owned node at @level. */
static void remove_child(struct op *op, struct btree *bt, struct btree_path *p,
			 uint8_t level);

/* The owned node at @level has lost something. */
static void settle(struct op *op, struct btree *bt, struct btree_path *p,
		   uint8_t level)
{
	for (;; level++) {
		struct node *n = p->node[level];

		if (node_nr_items(n->page) == 0) {
			free_node(op, n);
			if (level == bt->root.level)
				bt->root = (struct tree_root){0};
			else
				remove_child(op, bt, p, (uint8_t)(level + 1));
			return;
		}
		if (level == bt->root.level) {
			collapse(op, bt, n);
			return;
		}
		if (node_used(n->page) >= MERGE_BELOW ||
		    !merge(op, bt, p, level))
			return;
	}
}

static void remove_child(struct op *op, struct btree *bt, struct btree_path *p,
			 uint8_t level)
{
	node_remove(p->node[level]->page, p->slot[level]);
	settle(op, bt, p, level);
}

/* Does the tree have @key?  All on the way is in the cache. */
static bool has_key(struct op *op, const struct btree *bt,
		    const struct key *key)
{
	struct node *n = must_node(op, bt->root.blkno, bt->root.txg);
	bool exact;

	while (node_level(n->page) > 0)
		n = must_child(op, n, node_search_child(n->page, key));
	node_search(n->page, key, &exact);
	return exact;
}

bool btree_del(struct op *op, struct btree *bt, const struct key *key)
{
	struct btree_path p;
	struct node_item item;
	uint32_t i;
	bool exact;

	dbs_assert(op->ready);
	if (!bt->root.blkno || !has_key(op, bt, key))
		return false;
	ilog_del(op, bt, key);
	path_own(op, bt, key, 0, &p);
	i = node_search(p.node[0]->page, key, &exact);
	node_item(p.node[0]->page, i, &item);
	unref_extent(op, key, item.value);
	node_remove(p.node[0]->page, i);
	settle(op, bt, &p, 0);
	return true;
}

/* ---- ranges ------------------------------------------------------------- */

typedef void trim_fn(void *arg, const struct key *key, const uint8_t *value,
		     uint32_t len);

/* Delete the leaf at the end of @key's path as a whole. */
static void drop_leaf(struct op *op, struct btree *bt, const struct key *key)
{
	struct btree_path p;
	struct node *leaf;

	path_own(op, bt, key, 1, &p);
	leaf = p.node[0];
	if (btree_owns(op, bt, leaf)) {
		for (uint32_t i = node_nr_items(leaf->page); i-- > 0;) {
			struct node_item item;

			node_item(leaf->page, i, &item);
			unref_extent(op, &item.key, item.value);
		}
		free_node(op, leaf);
	} else {
		op_note_drop(op, leaf);
	}
	if (bt->root.level == 0)
		bt->root = (struct tree_root){0};
	else
		remove_child(op, bt, &p, 1);
}

static void trim_part(struct op *op, struct btree *bt, const struct key *first,
		      const struct key *to)
{
	struct btree_path p;
	uint32_t from, i;
	bool exact;

	path_own(op, bt, first, 0, &p);
	from = node_search(p.node[0]->page, first, &exact);
	i = node_search(p.node[0]->page, to, &exact);
	while (i-- > from) {
		struct node_item item;

		node_item(p.node[0]->page, i, &item);
		unref_extent(op, &item.key, item.value);
		node_remove(p.node[0]->page, i);
	}
	settle(op, bt, &p, 0);
}

int btree_trim(struct op *op, struct btree *bt, const struct key *from,
	       const struct key *to, trim_fn *fn, void *arg, uint32_t *nr)
{
	struct btree_cursor cur;
	struct node_item item;
	struct key first;
	uint32_t end;
	bool exact, whole;
	int rc;

	*nr = 0;
	rc = btree_seek(op, bt, from, &cur);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	first = cur.key;
	end = node_search(cur.leaf->page, to, &exact);
	if (end <= cur.slot) {
		btree_release(op, &cur);
		return 0;
	}
	rc = btree_touch(op, bt, &first);
	if (rc == 0)
		rc = op_ready(op);
	if (rc) {
		btree_release(op, &cur);
		return rc;
	}
	whole = cur.slot == 0 && end == node_nr_items(cur.leaf->page);
	for (uint32_t i = cur.slot; i < end; i++) {
		node_item(cur.leaf->page, i, &item);
		if (fn)
			fn(arg, &item.key, item.value, item.len);
	}
	*nr = end - cur.slot;
	ilog_trim(op, bt, &first, &item.key);
	btree_release(op, &cur);
	if (whole)
		drop_leaf(op, bt, &first);
	else
		trim_part(op, bt, &first, to);
	return 0;
}

void btree_own(struct op *op, struct btree *bt, const struct key *key)
{
	struct btree_path p;

	dbs_assert(op->ready);
	if (bt->root.blkno)
		path_own(op, bt, key, 0, &p);
}
