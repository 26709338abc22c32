/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two trees side by side.
 *
 * Both walks stand before subtrees or at items.  Where both stand before the
 * same node, what follows is the same on both sides, and both step over it.
 * Otherwise the one that may hold lower keys is opened, the higher one first
 * where they begin alike, so that they meet again at the level where they
 * share nodes.
 */
#include "store/diff_internal.h"

#include <errno.h>
#include <string.h>

#include "store/util.h"

int tree_node_load(struct node_cache *nc, uint64_t blkno, uint64_t txg,
		   uint8_t level, struct node **node)
{
	int rc;

	if (level >= NODE_LEVEL_MAX)
		return -EUCLEAN;
	rc = node_cache_load(nc, blkno, txg, level, node);
	if (rc)
		return rc;
	if (node_level((*node)->page) == level)
		return 0;
	log_error("node of a wrong level blkno=%llu level=%u",
		  (unsigned long long)blkno, level);
	node_cache_put(nc, *node);
	return -EUCLEAN;
}

void tree_walk_init(struct tree_walk *w, struct node_cache *nc,
		    const struct tree_root *root)
{
	memset(w, 0, sizeof(*w));
	w->nc = nc;
	w->top = root->level;
	w->at = root->blkno ? WALK_SUBTREE : WALK_END;
	w->blkno = root->blkno;
	w->txg = root->txg;
	w->level = root->level;
}

void tree_walk_release(struct tree_walk *w)
{
	for (unsigned l = 0; l < NODE_LEVEL_MAX; l++) {
		if (w->frame[l].node)
			node_cache_put(w->nc, w->frame[l].node);
		w->frame[l].node = NULL;
	}
	w->at = WALK_END;
}

/* To the current slot of @level. */
static int stand_at(struct tree_walk *w, uint8_t level)
{
	const uint8_t *page = w->frame[level].node->page;
	uint32_t slot = w->frame[level].slot;
	struct node_item item;

	node_item(page, slot, &item);
	/*
	 * Keys that do not rise would lead a walk through a node twice (B1).
	 * The first child also takes all that is lower: its key says nothing.
	 */
	if (level > 0 ? slot > 0 && key_compare(&w->low, &item.key) >= 0
		      : w->any && key_compare(&w->last, &item.key) >= 0) {
		log_error("keys are out of order blkno=%llu",
			  (unsigned long long)node_blkno(page));
		return -EUCLEAN;
	}
	if (level > 0) {
		node_child(page, slot, &w->blkno, &w->txg);
		w->level = (uint8_t)(level - 1);
		w->at = WALK_SUBTREE;
		if (slot > 0)
			w->low = item.key;
		return 0;
	}
	w->any = true;
	w->last = item.key;
	w->low = item.key;
	w->item = item;
	w->at = WALK_ITEM;
	return 0;
}

int tree_walk_enter(struct tree_walk *w)
{
	uint8_t level = w->level;
	int rc;

	dbs_assert(w->at == WALK_SUBTREE);
	rc = tree_node_load(w->nc, w->blkno, w->txg, level,
			    &w->frame[level].node);
	if (rc) {
		w->frame[level].node = NULL;
		return rc;
	}
	w->frame[level].slot = 0;
	return stand_at(w, level);
}

int tree_walk_skip(struct tree_walk *w)
{
	unsigned level = w->at == WALK_ITEM ? 0 : w->level + 1u;

	dbs_assert(w->at != WALK_END);
	for (; level <= w->top; level++) {
		struct node *n = w->frame[level].node;

		if (++w->frame[level].slot < node_nr_items(n->page))
			return stand_at(w, (uint8_t)level);
		node_cache_put(w->nc, n);
		w->frame[level].node = NULL;
	}
	w->at = WALK_END;
	return 0;
}

static int enter_to_item(struct tree_walk *w)
{
	int rc = 0;

	while (rc == 0 && w->at == WALK_SUBTREE)
		rc = tree_walk_enter(w);
	return rc;
}

int tree_walk_next_item(struct tree_walk *w)
{
	int rc = 0;

	if (w->at == WALK_ITEM)
		rc = tree_walk_skip(w);
	return rc ? rc : enter_to_item(w);
}

/* The slot of the node just entered that @key belongs to. */
static uint32_t slot_for(const uint8_t *page, uint8_t level,
			 const struct key *key)
{
	uint32_t nr = node_nr_items(page), slot;
	bool exact;

	if (level > 0)
		return node_search_child(page, key);
	slot = node_search(page, key, &exact);
	return slot < nr ? slot : nr - 1;
}

int tree_walk_seek(struct tree_walk *w, struct node_cache *nc,
		   const struct tree_root *root, const struct key *key)
{
	int rc = 0;

	tree_walk_init(w, nc, root);
	while (rc == 0 && w->at == WALK_SUBTREE) {
		uint8_t level = w->level;

		rc = tree_walk_enter(w);
		if (rc)
			break;
		w->frame[level].slot =
			slot_for(w->frame[level].node->page, level, key);
		w->any = false;
		rc = stand_at(w, level);
	}
	/* all of the leaf may be lower */
	if (rc == 0 && w->at == WALK_ITEM && key_compare(&w->item.key, key) < 0)
		rc = tree_walk_next_item(w);
	if (rc)
		tree_walk_release(w);
	return rc;
}

/* ---- two trees ---------------------------------------------------------- */

static bool same_subtree(const struct tree_walk *a, const struct tree_walk *b)
{
	return a->at == WALK_SUBTREE && b->at == WALK_SUBTREE &&
	       a->blkno == b->blkno && a->txg == b->txg && a->level == b->level;
}

/* Open what stands in the way of comparing items.  Returns 1: nothing. */
static int open_one(struct tree_walk *a, struct tree_walk *b)
{
	bool sub_a = a->at == WALK_SUBTREE, sub_b = b->at == WALK_SUBTREE;
	int c, rc;

	if (!sub_a && !sub_b)
		return 1;
	if (b->at == WALK_END)
		return tree_walk_enter(a);
	if (a->at == WALK_END)
		return tree_walk_enter(b);
	c = key_compare(&a->low, &b->low);
	if (sub_a && sub_b) {
		if (c == 0)
			c = a->level > b->level	  ? -1
			    : a->level < b->level ? 1
						  : 0;
		rc = c <= 0 ? tree_walk_enter(a) : 0;
		return rc || c < 0 ? rc : tree_walk_enter(b);
	}
	/* an item below all of the other's subtree is compared first */
	if (sub_a)
		return c <= 0 ? tree_walk_enter(a) : 1;
	return c >= 0 ? tree_walk_enter(b) : 1;
}

static bool same_value(const struct node_item *a, const struct node_item *b)
{
	return a->len == b->len && memcmp(a->value, b->value, a->len) == 0;
}

/* At least one side stands at an item that is the lowest of both. */
static int compare_items(struct tree_walk *a, struct tree_walk *b,
			 tree_diff_fn *fn, void *arg)
{
	int c, rc = 0;

	if (a->at == WALK_END)
		c = 1;
	else if (b->at == WALK_END)
		c = -1;
	else
		c = key_compare(&a->low, &b->low);
	if (c < 0)
		rc = fn(arg, &a->item.key, &a->item, NULL);
	else if (c > 0)
		rc = fn(arg, &b->item.key, NULL, &b->item);
	else if (!same_value(&a->item, &b->item))
		rc = fn(arg, &a->item.key, &a->item, &b->item);
	if (rc == 0 && c <= 0)
		rc = tree_walk_skip(a);
	if (rc == 0 && c >= 0)
		rc = tree_walk_skip(b);
	return rc;
}

int tree_diff(struct node_cache *nc, const struct tree_root *old_root,
	      const struct tree_root *new_root, tree_diff_fn *fn, void *arg)
{
	struct tree_walk a, b;
	int rc = 0;

	tree_walk_init(&a, nc, old_root);
	tree_walk_init(&b, nc, new_root);
	while (rc == 0 && (a.at != WALK_END || b.at != WALK_END)) {
		if (same_subtree(&a, &b)) {
			rc = tree_walk_skip(&a);
			if (rc == 0)
				rc = tree_walk_skip(&b);
			continue;
		}
		rc = open_one(&a, &b);
		if (rc == 1)
			rc = compare_items(&a, &b, fn, arg);
	}
	tree_walk_release(&a);
	tree_walk_release(&b);
	return rc;
}
