/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From notes to counts.
 *
 * The notes of a group lie in the order in which the operations were applied
 * (per dataset; between datasets any order that their locks allowed, which is
 * as good: what two datasets share is guarded by a count above 1 until one of
 * them has its own).  Each is done completely before the next, so a count
 * never passes through a value that no state of the pool had.
 *
 * The two rules of Rodeh's lazy counting are here and nowhere else:
 *  - a node shadowed while others still name it keeps its children, and the
 *    copy is one more parent to each of them;
 *  - a node whose last name goes frees its children in turn (reaper.c when it
 *    is a whole tree).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/node.h"
#include "store/pool_internal.h"
#include "store/util.h"

/* Every child of an inner node, every run of a leaf, gets one more. */
static void inc_children(struct pool *pool, struct op *op, const uint8_t *page)
{
	uint32_t nr = node_nr_items(page);

	for (uint32_t i = 0; i < nr; i++) {
		struct node_item item;
		uint64_t blkno;

		node_item(page, i, &item);
		if (node_level(page) == 0 && item.key.type != ITEM_EXTENT)
			continue;
		/* both values start with the block number */
		blkno = le_load(item.value, 5);
		space_map_inc(pool->sm, op, &pool->space_tree, blkno);
	}
}

void reaper_free_node(struct pool *pool, struct op *op, uint64_t blkno)
{
	struct txg_group *g = op->group;
	struct node *n;

	if (!space_map_dec(pool->sm, op, &pool->space_tree, blkno, 1))
		return;
	/* someone may still walk to it: let it be written and read */
	if (space_map_held(pool->sm))
		return;
	/* whatever its txg: the block is free, the node is nobody's */
	n = node_cache_peek_any(pool->nc, blkno);
	if (!n)
		return;
	/* born in the open group: a damaged tree named a free block */
	if (n->txg > __atomic_load_n(&pool->txg.sealed_txg, __ATOMIC_ACQUIRE)) {
		node_cache_put(pool->nc, n);
		return;
	}
	os_mutex_lock(&g->lock);
	if (!list_empty(&n->dirty_link)) {
		list_del(&n->dirty_link);
		g->nr_dirty_nodes--;
	}
	os_mutex_unlock(&g->lock);
	node_cache_forget(pool->nc, blkno);
	node_cache_put(pool->nc, n);
}

static void drop_leaf(struct pool *pool, struct op *op, const struct node *n)
{
	if (space_map_is_last(pool->sm, op, &pool->space_tree, n->blkno)) {
		uint32_t nr = node_nr_items(n->page);

		for (uint32_t i = 0; i < nr; i++) {
			const struct extent_item *e;
			struct node_item item;

			node_item(n->page, i, &item);
			if (item.key.type != ITEM_EXTENT)
				continue;
			e = (const struct extent_item *)item.value;
			space_map_dec(pool->sm, op, &pool->space_tree,
				      le40_get(e->blkno), (e->meta & 31u) + 1);
		}
	}
	reaper_free_node(pool, op, n->blkno);
}

static void apply_note(struct pool *pool, struct op *op, const struct note *n)
{
	struct btree *tree = &pool->space_tree;

	switch ((enum note_kind)n->kind) {
	case NOTE_CLAIM:
		space_map_claim(pool->sm, n->first, n->nr);
		break;
	case NOTE_REF:
		space_map_inc(pool->sm, op, tree, n->first);
		break;
	case NOTE_UNREF:
		space_map_dec(pool->sm, op, tree, n->first, n->nr);
		break;
	case NOTE_SHADOW:
		if (!space_map_is_last(pool->sm, op, tree, n->first))
			inc_children(pool, op, n->node->page);
		reaper_free_node(pool, op, n->first);
		break;
	case NOTE_DROP:
		drop_leaf(pool, op, n->node);
		break;
	case NOTE_FREE_NODE:
		reaper_free_node(pool, op, n->first);
		break;
	case NOTE_KILL:
		if (space_map_is_last(pool->sm, op, tree, n->first))
			reaper_add(pool, op, n);
		else
			reaper_free_node(pool, op, n->first);
		break;
	case NOTE_DEFER:
		break;
	}
}

static bool holds_node(const struct note *n)
{
	return (n->kind == NOTE_SHADOW || n->kind == NOTE_DROP) && n->node;
}

/* Write path 8 of 9; next: write_group() */
void txg_apply_notes(struct pool *pool, struct txg_group *group, struct op *op)
{
	/* the committer's own changes append to the list while it is read */
	while (group->applied_chunk || group->first_chunk) {
		if (!group->applied_chunk)
			group->applied_chunk = group->first_chunk;
		while (group->applied < group->applied_chunk->nr) {
			struct note *n =
				&group->applied_chunk->note[group->applied++];

			apply_note(pool, op, n);
			/* its frame may be wanted for the space tree (C2) */
			if (holds_node(n)) {
				node_cache_put_noted(pool->nc, n->node);
				n->node = NULL;
			}
		}
		if (!group->applied_chunk->next)
			return;
		group->applied_chunk = group->applied_chunk->next;
		group->applied = 0;
	}
}

void txg_free_notes(struct pool *pool, struct txg_group *group)
{
	for (struct note_chunk *c = group->first_chunk; c; c = c->next)
		for (uint32_t i = 0; i < c->nr; i++) {
			struct note *n = &c->note[i];

			if (holds_node(n))
				node_cache_put_noted(pool->nc, n->node);
			else if (n->kind == NOTE_DEFER)
				free(n->buf);
		}
}
