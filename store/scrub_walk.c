/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees and records.
 *
 * A tree is walked from a key on, until the slice is over.  A node that was
 * read, with all below it, gets a bit, and so does the first block of each
 * record: what other datasets share is not read again.  A bit says that the
 * block was good at some time since the scrub began.  It may have been freed
 * and reused meanwhile, but what is in it then is younger than the scrub; a
 * node that is younger is always entered, since what hangs below it may not be.
 *
 * Nodes come from the device, not from the cache, which may have them better
 * than they are there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/csum.h"
#include "store/diff_internal.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "store/scrub_internal.h"
#include "store/util.h"

/* Keys below a node: [lo, hi). */
struct span {
	struct key lo, hi;
	bool open; /* no hi */
};

struct scrub_tree {
	struct scrub *s;
	struct tree_root root;
	uint32_t dataset; /* 0: one of the pool's own */
	struct key from;  /* what is before was dealt with */
	struct key mark;  /* what is before was read by an earlier life */
	bool stop;	  /* the slice is over; from is where to go on */
};

/* ---- what was read -------------------------------------------------------- */

/* The bits of the region of @blkno; NULL: not in the pool, or no memory. */
static uint8_t *seen_region(struct scrub *s, uint64_t blkno)
{
	uint64_t r = blkno / REGION_BLOCKS;
	uint64_t nr = div_round_up(s->now.nr_blocks, REGION_BLOCKS);

	if (r >= nr)
		return NULL;
	if (r >= s->nr_seen) {
		uint8_t **p = reallocarray(s->seen, nr, sizeof(*p));

		if (!p)
			return NULL;
		memset(p + s->nr_seen, 0, (nr - s->nr_seen) * sizeof(*p));
		s->seen = p;
		s->nr_seen = nr;
	}
	if (!s->seen[r])
		s->seen[r] = calloc(REGION_BLOCKS / 8, 1);
	return s->seen[r];
}

static bool was_seen(const struct scrub *s, uint64_t blkno)
{
	uint64_t r = blkno / REGION_BLOCKS, at = blkno % REGION_BLOCKS;

	return r < s->nr_seen && s->seen[r] && s->seen[r][at / 8] >> at % 8 & 1;
}

/* Without memory it is read again where it is shared. */
static void mark_seen(struct scrub *s, uint64_t blkno)
{
	uint64_t at = blkno % REGION_BLOCKS;
	uint8_t *bits = seen_region(s, blkno);

	if (bits)
		bits[at / 8] |= (uint8_t)(1u << at % 8);
}

void scrub_seen_release(struct scrub *s)
{
	for (uint64_t r = 0; r < s->nr_seen; r++)
		free(s->seen[r]);
	free(s->seen);
	s->seen = NULL;
	s->nr_seen = 0;
}

/* Can a pointer name these blocks? */
static bool possible(const struct scrub *s, uint64_t blkno, uint32_t nr)
{
	return blkno < s->now.nr_blocks && nr <= s->now.nr_blocks - blkno &&
	       blkno % REGION_BLOCKS >= region_reserved(blkno / REGION_BLOCKS);
}

/* ---- findings ------------------------------------------------------------ */

static int node_bad(struct scrub_tree *t, uint64_t blkno, uint8_t level,
		    const struct span *span)
{
	struct scrub_finding f = {
		.kind = t->dataset ? SCRUB_FOUND_NODE : SCRUB_FOUND_POOL_NODE,
		.level = level,
		.dataset = t->dataset,
		.blkno = blkno,
		.nr_blocks = 1,
	};

	if (t->dataset) {
		f.ino = span->lo.ino;
		f.ino_end = span->open ? INO_MAX + 1
				       : span->hi.ino + (span->hi.type ||
							 span->hi.offset);
		if (span->lo.type == ITEM_EXTENT)
			f.offset = span->lo.offset << BLOCK_SHIFT;
	}
	return scrub_found(t->s, t->dataset ? &t->root : NULL, &f);
}

/* ---- records -------------------------------------------------------------- */

static int record_bad(struct scrub_tree *t, const struct scrub_extent *e)
{
	struct scrub_finding f = {
		.kind = SCRUB_FOUND_RECORD,
		.dataset = t->dataset,
		.ino = e->ino,
		.offset = e->offset << BLOCK_SHIFT,
		.blkno = e->blkno,
		.nr_blocks = e->nr,
	};

	return scrub_found(t->s, &t->root, &f);
}

static int compare_extents(const void *a, const void *b)
{
	const struct scrub_extent *x = a, *y = b;

	return x->blkno < y->blkno ? -1 : x->blkno > y->blkno;
}

static bool record_good(const struct scrub_extent *e, const uint8_t *bytes)
{
	return csum_of(bytes, (size_t)e->nr * BLOCK_SIZE, META_RECORD) ==
	       e->csum;
}

/* Records that lie next to each other, with one read if that works. */
static int read_records(struct scrub_tree *t, const struct scrub_extent *e,
			uint32_t nr, uint32_t nr_blocks, bool *clean)
{
	struct scrub *s = t->s;
	uint64_t first = e->blkno;
	int failed, rc = 0;

	failed =
		blkdev_read(s->pool->dev, s->buf,
			    (size_t)nr_blocks * BLOCK_SIZE, first * BLOCK_SIZE);
	for (uint32_t i = 0; i < nr && rc == 0; i++) {
		uint8_t *bytes = s->buf + (e[i].blkno - first) * BLOCK_SIZE;
		int err = failed;

		if (failed && nr > 1)
			err = blkdev_read(s->pool->dev, bytes,
					  (size_t)e[i].nr * BLOCK_SIZE,
					  e[i].blkno * BLOCK_SIZE);
		scrub_count(s, e[i].nr);
		s->nr_records++;
		if (err == 0 && record_good(&e[i], bytes)) {
			mark_seen(s, e[i].blkno);
			continue;
		}
		*clean = false;
		rc = record_bad(t, &e[i]);
	}
	return rc;
}

/* The extents that were gathered, in order of their blocks. */
static int read_extents(struct scrub_tree *t, uint32_t nr, bool *clean)
{
	struct scrub_extent *e = t->s->extents;
	int rc = 0;

	qsort(e, nr, sizeof(*e), compare_extents);
	for (uint32_t i = 0, n; i < nr && rc == 0; i += n) {
		uint32_t nr_blocks = e[i].nr;

		for (n = 1; i + n < nr; n++) {
			if (e[i + n].blkno != e[i].blkno + nr_blocks ||
			    nr_blocks + e[i + n].nr >
				    SCRUB_READ_BYTES / BLOCK_SIZE)
				break;
			nr_blocks += e[i + n].nr;
		}
		rc = read_records(t, e + i, n, nr_blocks, clean);
	}
	return rc;
}

/* Its items belong where it was found?  Else it was forged. */
static bool leaf_in_span(const uint8_t *page, const struct span *span)
{
	struct node_item first, last;

	node_item(page, 0, &first);
	node_item(page, node_nr_items(page) - 1, &last);
	return key_compare(&first.key, &span->lo) >= 0 &&
	       (span->open || key_compare(&last.key, &span->hi) < 0);
}

static int walk_leaf(struct scrub_tree *t, const struct span *span, bool *clean)
{
	struct scrub *s = t->s;
	const uint8_t *page = s->page[0];
	uint32_t nr = 0;
	int rc = 0;

	if (!leaf_in_span(page, span)) {
		*clean = false;
		return node_bad(t, node_blkno(page), 0, span);
	}
	if (t->dataset == 0)
		return 0;
	for (uint32_t i = 0; i < node_nr_items(page) && rc == 0; i++) {
		const struct extent_item *x;
		struct scrub_extent *e = &s->extents[nr];
		struct node_item it;

		node_item(page, i, &it);
		if (it.key.type != ITEM_EXTENT)
			continue;
		x = (const void *)it.value;
		*e = (struct scrub_extent){
			.blkno = le40_get(x->blkno),
			.csum = le64_get(x->csum),
			.ino = it.key.ino,
			.offset = it.key.offset,
			.nr = (x->meta & 31u) + 1,
		};
		if (!possible(s, e->blkno, e->nr)) {
			*clean = false;
			rc = record_bad(t, e);
		} else if (was_seen(s, e->blkno)) {
			continue;
		} else if (key_compare(&it.key, &t->mark) >= 0) {
			nr++;
		} else if (idmap_find(&s->bad, e->blkno + 1)) {
			*clean = false;
		} else {
			mark_seen(s, e->blkno);
		}
	}
	return rc ? rc : read_extents(t, nr, clean);
}

/* ---- nodes ---------------------------------------------------------------- */

/* Of child @i of the node in page[@level]. */
static struct span child_span(const uint8_t *page, uint32_t i,
			      const struct span *span)
{
	struct span sub = *span;
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

/* Is the span empty, or beside its parent's?  Then somebody forged it. */
static bool in_parent(const struct span *sub, const struct span *span)
{
	return key_compare(&sub->lo, &span->lo) >= 0 &&
	       (sub->open || key_compare(&sub->lo, &sub->hi) < 0) &&
	       (span->open ||
		(!sub->open && key_compare(&sub->hi, &span->hi) <= 0));
}

static int walk_node(struct scrub_tree *t, uint64_t blkno, uint64_t txg,
		     uint8_t level, const struct span *span, bool *clean);

static int walk_children(struct scrub_tree *t, uint8_t level,
			 const struct span *span, bool *clean)
{
	const uint8_t *page = t->s->page[level];
	uint64_t here = node_blkno(page), blkno, txg;
	uint32_t i = 0;

	if (key_compare(&t->from, &span->lo) > 0) {
		/* what comes before was dealt with, well or not */
		*clean = false;
		i = node_search_child(page, &t->from);
	}
	for (; i < node_nr_items(page) && !t->stop; i++) {
		struct span sub = child_span(page, i, span);
		bool good = true;
		int rc;

		if (!in_parent(&sub, span)) {
			*clean = false;
			return node_bad(t, here, level, span);
		}
		node_child(page, i, &blkno, &txg);
		rc = walk_node(t, blkno, txg, (uint8_t)(level - 1), &sub,
			       &good);
		if (rc)
			return rc;
		*clean &= good;
	}
	if (i < node_nr_items(page))
		*clean = false;
	return 0;
}

/* @clean: out: it was entered at its start, left at its end, and all of it is
 * as it should be */
static int walk_node(struct scrub_tree *t, uint64_t blkno, uint64_t txg,
		     uint8_t level, const struct span *span, bool *clean)
{
	struct scrub *s = t->s;
	uint8_t *page = s->page[level];
	int rc;

	*clean = true;
	if (txg <= s->start_txg && was_seen(s, blkno))
		goto next;
	rc = -EUCLEAN;
	if (possible(s, blkno, 1) && txg <= s->now.txg)
		rc = blkdev_read(s->pool->dev, page, BLOCK_SIZE,
				 blkno * BLOCK_SIZE);
	if (rc == 0)
		rc = node_verify(page, s->pool->id, blkno, txg, level);
	if (key_compare(&span->lo, &t->mark) >= 0) {
		scrub_count(s, 1);
		s->nr_nodes++;
	} else {
		/* an earlier life counted it */
		s->slice_bytes += BLOCK_SIZE;
	}
	if (rc) {
		*clean = false;
		rc = node_bad(t, blkno, level, span);
	} else if (level > 0) {
		rc = walk_children(t, level, span, clean);
	} else {
		rc = walk_leaf(t, span, clean);
	}
	if (rc)
		return rc;
	if (*clean)
		mark_seen(s, blkno);
	if (level > 0 && t->stop)
		return 0;
next:
	if (!span->open && key_compare(&t->from, &span->hi) < 0)
		t->from = span->hi;
	if (!t->stop && t->dataset && !span->open && scrub_slice_over(s))
		t->stop = true;
	return 0;
}

static int walk_tree(struct scrub_tree *t)
{
	const struct span all = {.open = true};
	bool clean;

	if (t->root.blkno == 0)
		return 0;
	if (t->root.level >= NODE_LEVEL_MAX)
		return node_bad(t, t->root.blkno, t->root.level, &all);
	return walk_node(t, t->root.blkno, t->root.txg, t->root.level, &all,
			 &clean);
}

int scrub_pool_trees(struct scrub *s)
{
	struct scrub_tree t = {.s = s, .root = s->now.root_tree};
	int rc = walk_tree(&t);

	if (rc)
		return rc;
	t = (struct scrub_tree){.s = s, .root = s->now.space_tree};
	return walk_tree(&t);
}

/* ---- datasets -------------------------------------------------------------- */

/*
 * The first dataset at or after s->dataset, to @t->root; -ENOENT: none.
 * Looked up through the cache: what is damaged there was found before.
 */
static int next_dataset(struct scrub *s, struct scrub_tree *t)
{
	struct key key = key_of(s->dataset, ITEM_DATASET, 0);
	struct tree_walk w;
	int rc = tree_walk_seek(&w, s->pool->nc, &s->now.root_tree, &key);

	while (rc == 0 && w.at == WALK_ITEM && w.item.key.type != ITEM_DATASET)
		rc = tree_walk_next_item(&w);
	if (rc == 0 && w.at != WALK_ITEM)
		rc = -ENOENT;
	if (rc == 0 && w.item.len < sizeof(struct dataset_item))
		rc = -EUCLEAN;
	if (rc == 0) {
		const struct dataset_item *d = (const void *)w.item.value;

		t->dataset = (uint32_t)w.item.key.ino;
		t->root = tree_root_load(&d->tree);
	}
	tree_walk_release(&w);
	return rc;
}

/* Until its end or the slice's. */
static int walk_dataset(struct scrub *s, struct scrub_tree *t)
{
	int rc;

	if (t->dataset != s->dataset) {
		s->dataset = t->dataset;
		s->key = key_of(0, 0, 0);
	}
	t->s = s;
	t->from = s->key;
	if (t->dataset < s->done_dataset)
		t->mark = key_of(INO_MAX, UINT8_MAX, OFFSET_MAX);
	else if (t->dataset == s->done_dataset)
		t->mark = s->done_key;
	rc = walk_tree(t);
	s->key = t->from;
	if (rc == 0 && !t->stop) {
		s->dataset = t->dataset + 1;
		s->key = key_of(0, 0, 0);
	}
	return rc;
}

int scrub_datasets(struct scrub *s, bool *done)
{
	*done = false;
	while (!scrub_slice_over(s)) {
		struct scrub_tree t = {.s = s};
		int rc = next_dataset(s, &t);

		if (rc == -ENOMEM)
			return rc;
		/* what cannot be found was said when the root tree was read */
		if (rc || t.dataset >= s->end_id) {
			*done = rc || s->extended;
			/* what was made meanwhile may hold what is gone */
			s->extended = true;
			s->end_id = s->now.next_dataset;
			if (*done)
				return 0;
			continue;
		}
		rc = walk_dataset(s, &t);
		if (rc)
			return rc;
	}
	return 0;
}
