/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks one tree.  A node that several trees share is counted once per
 * pointer, its children only the first time.  Later visits are made only to
 * see a dataset's files as a whole, and skip what is known to be nothing but
 * extents of one file: the great part of every database.
 *
 * Levels fall by one from parent to child, so nothing can be reached from
 * itself; that every key must lie in its parent's range keeps a node from
 * being walked twice in one tree.
 */
#include "store/check_internal.h"

#include <errno.h>
#include <string.h>

#include "store/util.h"

/* Keys that may stand in a node: [lo, hi). */
struct range {
	struct key lo, hi;
	bool open; /* no hi */
};

static bool in_range(const struct range *r, const struct key *k)
{
	return key_compare(k, &r->lo) >= 0 &&
	       (r->open || key_compare(k, &r->hi) < 0);
}

/* Of child @i. */
static struct range child_range(const struct range *r, const uint8_t *page,
				uint32_t i)
{
	struct range sub = *r;
	struct node_item it;

	if (i > 0) {
		node_item(page, i, &it);
		sub.lo = it.key;
	}
	if (i + 1 < node_nr_items(page)) {
		node_item(page, i + 1, &it);
		sub.hi = it.key;
		sub.open = false;
	}
	return sub;
}

void extent_sum_add(struct extent_sum *sum, const struct key *key,
		    uint64_t nr_extents, uint64_t nr_blocks)
{
	if (sum->nr_extents == 0)
		sum->first = key->offset;
	sum->ino = key->ino;
	sum->last = key->offset;
	sum->nr_extents += nr_extents;
	sum->nr_blocks += nr_blocks;
}

/* Child @sub is the next part of @sum; @pure: as long as it is one. */
static void sum_child(struct extent_sum *sum, const struct extent_sum *sub,
		      bool *pure)
{
	if (sub->ino == 0 || (sum->nr_extents && sum->ino != sub->ino)) {
		*pure = false;
		return;
	}
	if (sum->nr_extents == 0) {
		*sum = *sub;
		return;
	}
	sum->last = sub->last;
	sum->nr_extents += sub->nr_extents;
	sum->nr_blocks += sub->nr_blocks;
}

static int read_node(struct walk *w, uint64_t blkno, uint64_t txg,
		     uint8_t level)
{
	struct check *c = w->c;
	uint8_t *page = c->page[level];
	int rc = blkdev_read(c->dev, page, BLOCK_SIZE, blkno * BLOCK_SIZE);

	return rc ? rc : node_verify(page, c->pool_id, blkno, txg, level);
}

/*
 * The node is there and is what was meant?  Counts it in a first pass.
 * @n: out, NULL: no, reported; @first: out
 */
static int meet(struct walk *w, uint64_t blkno, uint64_t txg, uint8_t level,
		bool count, struct check_node **n, bool *first)
{
	struct check *c = w->c;
	int rc;

	*first = false;
	*n = NULL;
	if (!count) {
		*n = idmap_find(&c->nodes, blkno);
	} else if (blkno == 0 || blkno >= c->nr_blocks || txg == 0 ||
		   txg > c->txg) {
		check_report(c,
			     "%s: a pointer to a node of level %u names block "
			     "%llu of txg %llu, which cannot be",
			     w->label, level, ULL(blkno), ULL(txg));
		return 0;
	} else {
		rc = check_count_node(c, w->label, blkno, txg, level, n, first);
		if (rc)
			return rc;
	}
	if (*n && ((*n)->txg != txg || (*n)->level != level)) {
		if (w->count)
			check_report(c,
				     "%s: block %llu is named as a node of "
				     "level %u and txg %llu, elsewhere as one "
				     "of level %u and txg %llu",
				     w->label, ULL(blkno), level, ULL(txg),
				     (*n)->level, ULL((*n)->txg));
		*n = NULL;
	}
	return 0;
}

static int visit(struct walk *w, uint64_t blkno, uint64_t txg, uint8_t level,
		 const struct range *r, bool count, struct extent_sum *sum);

static int visit_leaf(struct walk *w, const struct range *r, bool first,
		      struct extent_sum *sum)
{
	const uint8_t *page = w->c->page[0];
	uint32_t nr = node_nr_items(page);
	bool pure = true;

	for (uint32_t i = 0; i < nr; i++) {
		struct node_item it;
		int rc;

		node_item(page, i, &it);
		if (!in_range(r, &it.key)) {
			if (w->count)
				check_report(w->c,
					     "%s: an item of inode %llu, type "
					     "%u, offset %llu stands in leaf "
					     "%llu, outside of its range",
					     w->label, ULL(it.key.ino),
					     it.key.type, ULL(it.key.offset),
					     ULL(node_blkno(page)));
			w->bad = true;
			check_incomplete(w->c);
			pure = false;
			continue;
		}
		rc = w->item(w, &it, first);
		if (rc)
			return rc;
		if (it.key.type != ITEM_EXTENT || it.key.ino == 0 ||
		    (sum->nr_extents && sum->ino != it.key.ino)) {
			pure = false;
		} else if (pure) {
			const struct extent_item *e = (const void *)it.value;

			extent_sum_add(sum, &it.key, 1, (e->meta & 31u) + 1u);
		}
	}
	if (!pure)
		sum->ino = 0;
	return 0;
}

/* Children [from, nr) of the inner node in page[level]. */
static int visit_children(struct walk *w, uint8_t level, uint32_t from,
			  const struct range *r, bool count,
			  struct extent_sum *sum)
{
	const uint8_t *page = w->c->page[level];
	uint32_t nr = node_nr_items(page);
	bool pure = true;

	for (uint32_t i = from; i < nr; i++) {
		struct range child = child_range(r, page, i);
		struct extent_sum sub = {0};
		uint64_t blkno, txg;
		int rc;

		if (i > 0 && !in_range(r, &child.lo)) {
			if (w->count)
				check_report(
					w->c,
					"%s: key %u of the node in block %llu "
					"lies outside of the node's range",
					w->label, i, ULL(node_blkno(page)));
			w->bad = true;
			check_incomplete(w->c);
			pure = false;
			continue;
		}
		node_child(page, i, &blkno, &txg);
		rc = visit(w, blkno, txg, (uint8_t)(level - 1), &child, count,
			   &sub);
		if (rc)
			return rc;
		sum_child(sum, &sub, &pure);
	}
	if (!pure)
		sum->ino = 0;
	return 0;
}

/* The subtree holds only extents, was read before and may be passed over. */
static bool passed_over(struct walk *w, const struct check_node *n,
			const struct range *r)
{
	struct key k = key_of(n->sum.ino, ITEM_EXTENT, n->sum.first);

	/* a file of this dataset's, too, has what is damaged */
	if (n->harmed && w->count)
		return false;
	if (n->sum.ino == 0 || !w->skip || !in_range(r, &k))
		return false;
	k.offset = n->sum.last;
	return in_range(r, &k) && w->skip(w, &n->sum, n->txg);
}

static int lose(struct walk *w, uint64_t blkno, const struct range *r)
{
	return w->lost && w->count
		       ? w->lost(w, blkno, &r->lo, r->open ? NULL : &r->hi)
		       : 0;
}

/*
 * @count: the pointer that leads here counts, so nobody met its node before
 * @sum:   in: zero, out: of what is below
 */
static int visit(struct walk *w, uint64_t blkno, uint64_t txg, uint8_t level,
		 const struct range *r, bool count, struct extent_sum *sum)
{
	struct check_node *n;
	bool first, bad_before = w->bad, harmed_before = w->harmed;
	int rc;

	rc = meet(w, blkno, txg, level, count, &n, &first);
	if (rc)
		return rc;
	if (!n) {
		w->bad = true;
		check_incomplete(w->c);
		return lose(w, blkno, r);
	}
	if (!first && passed_over(w, n, r)) {
		*sum = n->sum;
		return 0;
	}
	/* what was unreadable was reported where it was met first */
	rc = !first && n->bad && level == 0 ? -EIO
					    : read_node(w, blkno, txg, level);
	if (rc) {
		if (first) {
			check_report(
				w->c,
				"%s: the node in block %llu (level %u, from "
				"inode %llu, type %u, offset %llu on) %s",
				w->label, ULL(blkno), level, ULL(r->lo.ino),
				r->lo.type, ULL(r->lo.offset), check_errno(rc));
			n->bad = true;
		}
		w->bad = true;
		check_incomplete(w->c);
		return lose(w, blkno, r);
	}
	if (first) {
		w->c->result->nr_nodes++;
		check_progress(w->c, 1);
	}
	w->bad = w->harmed = false;
	rc = level == 0 ? visit_leaf(w, r, first, sum)
			: visit_children(w, level, 0, r, first, sum);
	if (rc)
		return rc;
	if (first) {
		/* the table may have moved */
		n = idmap_find(&w->c->nodes, blkno);
		n->bad = w->bad;
		n->harmed = w->harmed;
		if (!w->bad)
			n->sum = *sum;
	}
	w->bad |= bad_before;
	w->harmed |= harmed_before;
	return 0;
}

static const struct range everything = {.open = true};

/* Is @tree's level possible? */
static bool tree_is_sane(struct walk *w, const struct tree_ptr *tree)
{
	if (tree->level < NODE_LEVEL_MAX)
		return true;
	if (w->count)
		check_report(w->c,
			     "%s: its tree has %u levels, at most %u can be",
			     w->label, tree->level + 1u, NODE_LEVEL_MAX);
	w->bad = true;
	check_incomplete(w->c);
	return false;
}

int check_walk(struct walk *w, const struct tree_ptr *tree)
{
	uint64_t blkno = le40_get(tree->node.blkno);
	struct extent_sum sum = {0};

	if (w->count)
		w->c->result->nr_trees++;
	if (blkno == 0 || !tree_is_sane(w, tree))
		return 0;
	return visit(w, blkno, le40_get(tree->node.txg), tree->level,
		     &everything, w->count, &sum);
}

int check_walk_again(struct walk *w, const struct tree_ptr *tree)
{
	struct check_node *n;
	bool first;
	int rc;

	w->c->result->nr_trees++;
	if (!tree_is_sane(w, tree))
		return 0;
	rc = meet(w, le40_get(tree->node.blkno), le40_get(tree->node.txg),
		  tree->level, true, &n, &first);
	if (rc == 0 && !n) {
		w->bad = true;
		check_incomplete(w->c);
	}
	return rc;
}

/* ---- dead trees --------------------------------------------------------- */

static bool same_node(const struct node_ptr *a, uint64_t blkno, uint64_t txg)
{
	return le40_get(a->blkno) == blkno && le40_get(a->txg) == txg;
}

/* The rest of a leaf whose items [0, from) are dropped. */
static int dead_leaf(struct walk *w, uint32_t from, const struct range *r)
{
	const uint8_t *page = w->c->page[0];

	for (uint32_t i = from; i < node_nr_items(page); i++) {
		struct node_item it;
		int rc;

		node_item(page, i, &it);
		if (!in_range(r, &it.key)) {
			check_incomplete(w->c);
			continue;
		}
		rc = w->item(w, &it, true);
		if (rc)
			return rc;
	}
	return 0;
}

/* Frame @f of the cursor: a node of which a part is dropped. */
static int dead_frame(struct walk *w, const struct dead_item *d, uint8_t f,
		      const struct range *r)
{
	const struct dead_frame *frame = &d->stack[f];
	uint8_t level = (uint8_t)(d->tree.level - f);
	uint32_t next = le16_get(frame->next);
	uint64_t blkno = le40_get(frame->node.blkno);
	uint64_t txg = le40_get(frame->node.txg);
	const uint8_t *page = w->c->page[level];
	struct extent_sum sum = {0};
	struct check_node *n;
	bool first;
	int rc;

	rc = meet(w, blkno, txg, level, true, &n, &first);
	if (rc)
		return rc;
	if (!n)
		goto bad;
	if (!first) {
		check_report(w->c,
			     "%s: block %llu is being dropped, but something "
			     "else uses it",
			     w->label, ULL(blkno));
		goto bad;
	}
	/* never to be taken for a whole subtree */
	n->bad = true;
	rc = read_node(w, blkno, txg, level);
	if (rc) {
		check_report(w->c, "%s: the node in block %llu (level %u) %s",
			     w->label, ULL(blkno), level, check_errno(rc));
		goto bad;
	}
	w->c->result->nr_nodes++;
	check_progress(w->c, 1);
	if (next > node_nr_items(page) || (f + 1 < d->depth && next == 0)) {
		check_report(w->c,
			     "%s: the reaper's cursor stands at item %u of "
			     "block %llu, which has %u",
			     w->label, next, ULL(blkno), node_nr_items(page));
		goto bad;
	}
	if (level == 0)
		return dead_leaf(w, next, r);
	if (f + 1 < d->depth) {
		/* the reaper is in the child that it stepped over last */
		struct range child = child_range(r, page, next - 1);

		node_child(page, next - 1, &blkno, &txg);
		if (!same_node(&d->stack[f + 1].node, blkno, txg)) {
			check_report(w->c,
				     "%s: the reaper's cursor leaves its way "
				     "at block %llu",
				     w->label, ULL(blkno));
			goto bad;
		}
		rc = dead_frame(w, d, (uint8_t)(f + 1), &child);
		if (rc)
			return rc;
	}
	return visit_children(w, level, next, r, true, &sum);
bad:
	w->bad = true;
	check_incomplete(w->c);
	return 0;
}

int check_walk_dead(struct walk *w, const struct dead_item *d)
{
	uint64_t blkno = le40_get(d->tree.node.blkno);
	struct range r = everything;

	if (d->depth == 0)
		return check_walk(w, &d->tree);
	w->c->result->nr_trees++;
	if (!tree_is_sane(w, &d->tree))
		return 0;
	if (d->depth > d->tree.level + 1 ||
	    !same_node(&d->stack[0].node, blkno, le40_get(d->tree.node.txg))) {
		check_report(w->c, "%s: the reaper's cursor is not in the tree",
			     w->label);
		w->bad = true;
		check_incomplete(w->c);
		return 0;
	}
	return dead_frame(w, d, 0, &r);
}
