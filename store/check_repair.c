/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rebuilding the space map.
 *
 * Once every tree that something names was walked without damage, all counts
 * are known: what the map says can be thrown away.  Where a tree is damaged
 * nobody knows what its lost part uses, and nothing is done.  Trees that were
 * destroyed are no reason to refuse: if one of them, or the space tree that
 * names them, is damaged, they are all given back at once.
 *
 * What the intent log waits to add is not in the counts: the map is rebuilt as
 * of the last superblock, and the log waits on, with all that it names left as
 * it is.  Replay could not come first: it needs the map.  A log that is damaged
 * would be taken for a good one after another commit: only who gives it up gets
 * a repair (check_discard.c).
 *
 * Nothing that the last superblock reaches is overwritten: counts go to the
 * other slots, nodes of a new space tree to blocks that were free.  The
 * superblock of the next txg then makes it all current (S4).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/check_internal.h"
#include "store/csum.h"
#include "store/ilog_part.h"
#include "store/ilog_replay_internal.h"
#include "store/pool_internal.h"
#include "store/util.h"

/* What is known of an entry of the old map. */
enum entry_state {
	ENTRY_READABLE,
	ENTRY_UNWRITTEN,
	ENTRY_LOST, /* or what it names cannot be read */
};

struct tree_item {
	struct key key;
	union {
		struct le32 count;
		struct dead_item dead;
	};
};

struct new_node {
	uint64_t blkno;
	struct key first;
	struct node_ptr ptr;
	uint8_t *page;
};

struct repair {
	struct check *c; /* has the counts as they are to be */
	struct check_repair plan;
	struct check_discard discard;
	struct superblock *sb; /* the next one */
	struct blkdev *to;     /* NULL: only the plan is made */
	bool changed;	       /* the map is not what it should be */

	/* the new space tree */
	struct tree_item *items;
	size_t nr_items;
	struct new_node *nodes; /* level by level, the root is the last */
	size_t nr_nodes;
	struct idmap kept; /* blocks that the last superblock reaches */
	uint64_t next_free;

	/* pages: one of each level, the one being looked at */
	struct space_index *old_index[2], *new_index[2];
	struct space_region *old, *new;
};

/* ---- the old map --------------------------------------------------------- */

/* Read what @e names to @page; a level-0 page that is unwritten is made up. */
static enum entry_state old_page(struct repair *x, uint8_t level, uint64_t i,
				 const struct space_entry *e, void *page)
{
	struct check *c = x->c;
	uint64_t slots = level ? space_index_blkno(level, i, 0)
			       : region_counts_blkno(i, 0);
	uint32_t type = level ? META_SPACE_INDEX : META_SPACE_REGION;

	if (e->flags & SPACE_ENTRY_DAMAGED)
		return ENTRY_LOST;
	if (le64_get(e->txg) == 0) {
		if (level == 0)
			check_region_unwritten(c, i, page);
		else
			memset(page, 0, BLOCK_SIZE);
		return ENTRY_UNWRITTEN;
	}
	if (check_read_slot(c, e, slots, type, page) ||
	    (level && ((struct space_index *)page)->level != level))
		return ENTRY_LOST;
	return ENTRY_READABLE;
}

/* Region @r's counts to x->old, going down from the superblock. */
static enum entry_state old_counts(struct repair *x, uint64_t r)
{
	uint64_t i1 = r / SPACE_INDEX_FANOUT, i2 = i1 / SPACE_INDEX_FANOUT;
	enum entry_state st;

	st = old_page(x, 2, i2, &x->c->sb.space[i2], x->old_index[1]);
	if (st != ENTRY_LOST)
		st = old_page(x, 1, i1,
			      &x->old_index[1]->entry[i1 % SPACE_INDEX_FANOUT],
			      x->old_index[0]);
	if (st != ENTRY_LOST)
		st = old_page(x, 0, r,
			      &x->old_index[0]->entry[r % SPACE_INDEX_FANOUT],
			      x->old);
	return st;
}

/* ---- a new space tree ----------------------------------------------------- */

static int compare_items(const void *a, const void *b)
{
	const struct tree_item *x = a, *y = b;

	return key_compare(&x->key, &y->key);
}

static void add_count(struct repair *x, uint64_t blkno, uint64_t count)
{
	if (count <= SPACE_COUNT_MAX)
		return;
	x->items[x->nr_items++] = (struct tree_item){
		.key = key_of(0, ITEM_OVERFLOW, blkno),
		.count = le32_of((uint32_t)MIN_OF(count, UINT32_MAX)),
	};
	x->plan.nr_large++;
}

/* All that the space tree is to hold. */
static int collect_items(struct repair *x, bool dead)
{
	struct check *c = x->c;

	x->items = calloc(c->nodes.nr + c->large.nr + c->nr_dead + 1,
			  sizeof(*x->items));
	if (!x->items)
		return -ENOMEM;
	for (const struct check_node *n = NULL;
	     (n = idmap_next(&c->nodes, n)) != NULL;)
		add_count(x, n->blkno, n->count);
	for (const struct check_count *n = NULL;
	     (n = idmap_next(&c->large, n)) != NULL;)
		add_count(x, n->blkno, n->count);
	for (size_t i = 0; i < c->nr_dead && dead; i++)
		x->items[x->nr_items++] = (struct tree_item){
			.key = key_of(0, ITEM_DEAD, c->dead[i].serial),
			.dead = c->dead[i].item,
		};
	qsort(x->items, x->nr_items, sizeof(*x->items), compare_items);
	return 0;
}

/* Are the large counts that the tree has those that it should have? */
static bool tree_is_right(const struct repair *x)
{
	uint64_t nr = 0;

	for (size_t i = 0; i < x->nr_items; i++) {
		const struct check_count *o;

		if (x->items[i].key.type != ITEM_OVERFLOW)
			continue;
		o = idmap_find(&x->c->overflow, x->items[i].key.offset);
		if (!o || o->count != le32_get(x->items[i].count))
			return false;
		nr++;
	}
	return nr == x->c->overflow.nr;
}

/* A block that is free in both maps, as far as the old one can be read. */
static int find_block(struct repair *x, uint64_t *blkno)
{
	uint64_t end = le64_get(x->c->sb.high_water);
	uint64_t loaded = UINT64_MAX;
	enum entry_state st = ENTRY_LOST;

	for (uint64_t b = x->next_free; b < end; b++) {
		uint64_t r = b / REGION_BLOCKS;
		uint32_t at = (uint32_t)(b % REGION_BLOCKS);

		if (at < region_reserved(r) || check_count_wanted(x->c, b) ||
		    idmap_find(&x->kept, b))
			continue;
		if (r != loaded)
			st = old_counts(x, r);
		loaded = r;
		if (st != ENTRY_LOST && x->old->count[at] != 0)
			continue;
		x->next_free = b + 1;
		*blkno = b;
		return check_count_new_node(x->c, b, true);
	}
	return -ENOSPC;
}

/* One more node of @level with @items. */
static int add_node(struct repair *x, uint8_t level,
		    const struct node_item *items, uint32_t nr)
{
	uint64_t txg = le64_get(x->sb->h.txg);
	struct new_node *n;
	int rc;

	n = reallocarray(x->nodes, x->nr_nodes + 1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	x->nodes = n;
	n += x->nr_nodes;
	memset(n, 0, sizeof(*n));
	n->page = blkdev_buffer_new(BLOCK_SIZE);
	if (!n->page)
		return -ENOMEM;
	x->nr_nodes++;
	rc = find_block(x, &n->blkno);
	if (rc)
		return rc;
	node_init(n->page, x->c->pool_id, n->blkno, txg, level, 0);
	node_fill(n->page, items, nr);
	node_seal(n->page);
	n->first = items[0].key;
	n->ptr.blkno = le40_of(n->blkno);
	n->ptr.txg = le40_of(txg);
	return 0;
}

static int add_level(struct repair *x, uint8_t level,
		     const struct node_item *items, size_t nr)
{
	int rc = 0;

	while (nr > 0 && rc == 0) {
		uint32_t n = 1;

		while (n < nr && n < NODE_ITEMS_MAX &&
		       node_size_of(items, n + 1, level) <= NODE_CAPACITY)
			n++;
		rc = add_node(x, level, items, n);
		items += n;
		nr -= n;
	}
	return rc;
}

static void item_of(const struct tree_item *t, struct node_item *out)
{
	*out = (struct node_item){.key = t->key};
	if (t->key.type == ITEM_OVERFLOW) {
		out->value = t->count.b;
		out->len = sizeof(t->count);
	} else {
		out->value = (const uint8_t *)&t->dead;
		out->len = sizeof(t->dead);
	}
}

static int build_tree(struct repair *x)
{
	size_t nr = x->nr_items, first = 0;
	struct node_item *items = calloc(nr + 1, sizeof(*items));
	struct node_ptr *ptrs = calloc(nr + 1, sizeof(*ptrs));
	uint8_t level = 0;
	int rc = items && ptrs ? 0 : -ENOMEM;

	for (size_t i = 0; i < nr && rc == 0; i++)
		item_of(&x->items[i], &items[i]);
	x->sb->space_tree = (struct tree_ptr){0};
	while (nr > 0 && rc == 0) {
		rc = add_level(x, level, items, nr);
		nr = x->nr_nodes - first;
		if (rc || nr == 1)
			break;
		for (size_t i = 0; i < nr; i++) {
			ptrs[i] = x->nodes[first + i].ptr;
			items[i] = (struct node_item){
				.key = x->nodes[first + i].first,
				.value = (const uint8_t *)&ptrs[i],
				.len = sizeof(ptrs[i]),
			};
		}
		first = x->nr_nodes;
		if (++level == NODE_LEVEL_MAX)
			rc = -EFBIG;
	}
	if (rc == 0 && x->nr_nodes) {
		x->sb->space_tree.node = x->nodes[x->nr_nodes - 1].ptr;
		x->sb->space_tree.level = level;
	}
	free(items);
	free(ptrs);
	return rc;
}

/* Make the new tree in memory; the old one's blocks will be free. */
static int replace_tree(struct repair *x, bool dead)
{
	struct check *c = x->c;

	x->plan.space_tree = true;
	x->plan.nr_dead = dead ? 0 : c->nr_dead;
	for (size_t i = 0; i < c->nr_space_nodes; i++) {
		if (!idmap_add(&x->kept, c->space_nodes[i], NULL))
			return -ENOMEM;
		check_count_new_node(c, c->space_nodes[i], false);
	}
	return build_tree(x);
}

/* ---- slots ---------------------------------------------------------------- */

/* Which slot to write where no entry says what the other one is: one that
 * holds nothing, or what is older. */
static uint8_t older_slot(struct repair *x, uint64_t slots, uint32_t type,
			  void *page)
{
	const struct meta_header *h = page;
	uint64_t txg[2] = {0};

	for (uint8_t s = 0; s < 2; s++) {
		if (blkdev_read(x->c->dev, page, BLOCK_SIZE,
				(slots + s) * BLOCK_SIZE) == 0 &&
		    le32_get(h->type) == type &&
		    le64_get(h->csum) ==
			    csum_of((uint8_t *)page + 8, BLOCK_SIZE - 8, type))
			txg[s] = le64_get(h->txg);
	}
	return txg[0] <= txg[1] ? 0 : 1;
}

/*
 * Write @page to the slot that is not current and make @e name it.
 * @scratch: a page that may be overwritten
 */
static int write_slot(struct repair *x, uint64_t slots, uint32_t type,
		      void *page, struct space_entry *e, void *scratch)
{
	struct meta_header *h = page;
	uint64_t txg = le64_get(x->sb->h.txg), blkno;
	uint8_t slot;

	slot = le64_get(e->txg) ? (e->slot & 1) ^ 1
				: older_slot(x, slots, type, scratch);
	blkno = slots + slot;
	h->type = le32_of(type);
	h->reserved = le32_of(0);
	h->pool_id = le64_of(x->c->pool_id);
	h->blkno = le64_of(blkno);
	h->txg = le64_of(txg);
	h->csum = le64_of(csum_of((uint8_t *)page + 8, BLOCK_SIZE - 8, type));
	e->csum = h->csum;
	e->txg = h->txg;
	e->slot = slot;
	e->flags = 0;
	x->changed = true;
	if (!x->to)
		return 0;
	return blkdev_write(x->to, page, BLOCK_SIZE, blkno * BLOCK_SIZE);
}

/* The counts that region @r should have, to x->new; returns the free ones. */
static uint32_t new_counts(struct repair *x, uint64_t r)
{
	uint64_t base = r * REGION_BLOCKS;
	uint32_t nr_free = 0;

	memset(x->new, 0, sizeof(*x->new));
	for (uint32_t i = 0; i < REGION_BLOCKS; i++) {
		uint64_t n = base + i < x->c->nr_blocks
				     ? check_count_wanted(x->c, base + i)
				     : 1;

		x->new->count[i] =
			n > SPACE_COUNT_MAX ? SPACE_COUNT_OVERFLOW : (uint8_t)n;
		nr_free += n == 0;
	}
	x->new->nr_free = le16_of((uint16_t)nr_free);
	return nr_free;
}

static void plan_region(struct repair *x, enum entry_state st)
{
	x->plan.nr_regions++;
	for (uint32_t i = 0; i < REGION_BLOCKS; i++) {
		uint8_t was = x->old->count[i], is = x->new->count[i];

		if (st == ENTRY_LOST)
			x->plan.nr_unknown++;
		else if (was == is)
			continue;
		else if (was == 0)
			x->plan.nr_claimed++;
		else if (is == 0)
			x->plan.nr_freed++;
		else
			x->plan.nr_changed++;
	}
}

/* @e: in: the old entry, out: the new one */
static int repair_region(struct repair *x, uint64_t r, struct space_entry *e)
{
	enum entry_state st = old_page(x, 0, r, e, x->old);
	uint32_t nr_free = new_counts(x, r);

	e->nr_free = le32_of(nr_free);
	if (st != ENTRY_LOST &&
	    memcmp(x->old->count, x->new->count, REGION_BLOCKS) == 0 &&
	    (st == ENTRY_UNWRITTEN || le16_get(x->old->nr_free) == nr_free))
		return 0;
	plan_region(x, st);
	return write_slot(x, region_counts_blkno(r, 0), META_SPACE_REGION,
			  x->new, e, x->old);
}

/* The same for index block @i of @level and all below. */
static int repair_index(struct repair *x, uint8_t level, uint64_t i,
			struct space_entry *e)
{
	uint64_t nr_regions = div_round_up(x->c->nr_blocks, REGION_BLOCKS);
	uint64_t each = level == 1 ? 1 : SPACE_INDEX_FANOUT, sum = 0;
	struct space_index *old = x->old_index[level - 1];
	struct space_index *new = x->new_index[level - 1];
	enum entry_state st = old_page(x, level, i, e, old);
	bool differs = st == ENTRY_LOST;
	int rc = 0;

	memset(new, 0, sizeof(*new));
	new->level = level;
	if (st == ENTRY_READABLE)
		memcpy(new->entry, old->entry, sizeof(new->entry));
	for (uint64_t k = 0; k < SPACE_INDEX_FANOUT && rc == 0; k++) {
		uint64_t sub = i * SPACE_INDEX_FANOUT + k;

		if (sub * each >= nr_regions)
			break;
		rc = level == 1 ? repair_region(x, sub, &new->entry[k])
				: repair_index(x, 1, sub, &new->entry[k]);
		sum += le32_get(new->entry[k].nr_free);
		if (st == ENTRY_UNWRITTEN)
			differs |= le64_get(new->entry[k].txg) != 0;
	}
	/* what lies below has its own page of each kind */
	if (st == ENTRY_READABLE && rc == 0)
		differs = memcmp(new->entry, old->entry, sizeof(new->entry));
	e->nr_free = le32_of((uint32_t)sum);
	if (rc || !differs)
		return rc;
	return write_slot(x, space_index_blkno(level, i, 0), META_SPACE_INDEX,
			  new, e, old);
}

/* Plan or write all slots; x->sb then names them. */
static int repair_map(struct repair *x)
{
	uint64_t each = (uint64_t)SPACE_INDEX_FANOUT * SPACE_INDEX_FANOUT *
			REGION_BLOCKS;
	uint64_t sum = 0;
	int rc = 0;

	x->plan.nr_regions = x->plan.nr_claimed = x->plan.nr_freed = 0;
	x->plan.nr_changed = x->plan.nr_unknown = 0;
	memcpy(x->sb->space, x->c->sb.space, sizeof(x->sb->space));
	for (uint64_t i = 0; i * each < x->c->nr_blocks && rc == 0; i++) {
		rc = repair_index(x, 2, i, &x->sb->space[i]);
		sum += le32_get(x->sb->space[i].nr_free);
	}
	x->sb->nr_free = le64_of(sum);
	x->changed |=
		memcmp(x->sb->space, x->c->sb.space, sizeof(x->sb->space));
	x->changed |= sum != le64_get(x->c->sb.nr_free);
	return rc;
}

static int write_nodes(struct repair *x)
{
	int rc = 0;

	for (size_t i = 0; i < x->nr_nodes && rc == 0; i++)
		rc = blkdev_write(x->to, x->nodes[i].page, BLOCK_SIZE,
				  x->nodes[i].blkno * BLOCK_SIZE);
	return rc;
}

/* As a commit does it: everything, flush, superblock, flush. */
static int write_all(struct repair *x, struct blkdev *to,
		     struct store_error *error)
{
	int rc = 0;

	x->to = to;
	if (x->plan.map)
		rc = write_nodes(x);
	if (rc == 0 && x->plan.map)
		rc = repair_map(x);
	if (rc == 0)
		rc = blkdev_flush(to);
	if (rc == 0)
		rc = superblock_write(to, x->sb);
	if (rc == 0)
		rc = blkdev_flush(to);
	x->to = NULL;
	if (rc)
		store_error_set(error,
				"the repair of '%s' could not be written: %s; "
				"the pool is as it was",
				to->name, strerror(-rc));
	return rc;
}

__attribute__((format(printf, 2, 3))) static void
refuse(struct check_result *result, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(result->why, sizeof(result->why), fmt, ap);
	va_end(ap);
	result->repaired = CHECK_REPAIR_REFUSED;
}

/* What of the log has to be given up, once the map is right. */
static int plan_log(struct repair *x, struct check *asked,
		    struct store_error *error)
{
	struct store_error why = {""};
	struct blkdev *on;
	int rc = blkdev_overlay_open(x->c->dev, &on);

	if (rc)
		return rc;
	if (asked->scan.newer)
		check_discard_drop(&x->discard, x->sb);
	if (x->plan.map || asked->scan.newer)
		rc = write_all(x, on, error);
	if (rc == 0) {
		rc = check_discard_plan(asked, on, &x->discard, &x->plan.log,
					&why);
		if (rc && rc != -ENOMEM)
			refuse(asked->result,
			       "without its intent log it cannot be opened "
			       "either: %s",
			       why.text[0] ? why.text : strerror(-rc));
	}
	blkdev_close(on);
	return rc;
}

/* Both parts, in this order: replay needs the map. */
static int carry_out(struct repair *x, struct store_error *error)
{
	struct blkdev *dev = x->c->dev;
	struct store_error why = {""};
	int rc = 0;

	if (x->discard.drop)
		check_discard_drop(&x->discard, x->sb);
	if (x->plan.map || x->discard.drop)
		rc = write_all(x, dev, error);
	if (rc || !x->plan.log.discard)
		return rc;
	if (!x->discard.drop)
		rc = pool_replay_until(dev, &x->discard.end, &why);
	if (rc) {
		store_error_set(error,
				"the intent log of '%s' could not be replayed: "
				"%s; it is still there",
				dev->name,
				why.text[0] ? why.text : strerror(-rc));
		return rc;
	}
	rc = check_discard_mend(x->c);
	if (rc)
		store_error_set(error,
				"what cannot be read in the intent log of '%s' "
				"could not be written anew: %s",
				dev->name, strerror(-rc));
	return rc;
}

/* ---- one repair ------------------------------------------------------------ */

static int repair_init(struct repair *x)
{
	idmap_init(&x->kept, sizeof(uint64_t));
	for (unsigned i = 0; i < 2; i++) {
		x->old_index[i] = blkdev_buffer_new(BLOCK_SIZE);
		x->new_index[i] = blkdev_buffer_new(BLOCK_SIZE);
		if (!x->old_index[i] || !x->new_index[i])
			return -ENOMEM;
	}
	x->old = blkdev_buffer_new(BLOCK_SIZE);
	x->new = blkdev_buffer_new(BLOCK_SIZE);
	x->sb = blkdev_buffer_new(BLOCK_SIZE);
	if (!x->old || !x->new || !x->sb)
		return -ENOMEM;
	*x->sb = x->c->sb;
	x->sb->h.txg = le64_of(x->c->txg + 1);
	x->sb->commit_seq = le64_of(le64_get(x->c->sb.commit_seq) + 1);
	x->sb->committed_sec = le64_of((uint64_t)os_time_now().tv_sec);
	return 0;
}

static void repair_release(struct repair *x)
{
	idmap_release(&x->kept);
	for (unsigned i = 0; i < 2; i++) {
		free(x->old_index[i]);
		free(x->new_index[i]);
	}
	free(x->old);
	free(x->new);
	free(x->sb);
	free(x->items);
	for (size_t i = 0; i < x->nr_nodes; i++)
		free(x->nodes[i].page);
	free(x->nodes);
}

/* What is to be changed in the map: x->plan. */
static int plan_map(struct repair *x, bool dead)
{
	int rc = check_log_keep(x->c, &x->kept);

	if (rc == 0)
		rc = collect_items(x, dead);
	if (rc == 0 && (!dead || !tree_is_right(x)))
		rc = replace_tree(x, dead);
	if (rc == 0)
		rc = repair_map(x);
	x->plan.map = x->changed || x->plan.space_tree;
	return rc;
}

/*
 * @c: all trees that count were walked.
 * @map: without damage
 * @dead: what is dead is among them
 */
static int repair_from(struct check *c, struct check *asked, bool map,
		       bool dead, struct store_error *error)
{
	const struct check_options *o = asked->options;
	struct check_result *result = asked->result;
	struct repair x = {.c = c, .next_free = 1};
	bool log = check_discard_needed(asked);
	int rc = repair_init(&x);

	if (rc == 0 && log)
		rc = check_discard_init(asked, &x.discard, x.sb);
	if (rc == -EUCLEAN) {
		refuse(result, "the numbers in the intent log are out of "
			       "bounds");
		rc = 0;
		goto out;
	}
	if (rc == 0 && map)
		rc = plan_map(&x, dead);
	if (rc == -ENOSPC)
		store_error_set(error,
				"the space map of '%s' cannot be rebuilt: no "
				"block is certain to be free",
				c->dev->name);
	if (rc == 0 && log)
		rc = plan_log(&x, asked, error);
	if (result->repaired == CHECK_REPAIR_REFUSED)
		rc = 0;
	if (rc || result->repaired == CHECK_REPAIR_REFUSED ||
	    (!x.plan.map && !x.plan.log.discard))
		goto out;
	result->repaired = CHECK_REPAIR_DECLINED;
	if (!o->repair(o->arg, &x.plan) || o->dry_run)
		goto out;
	rc = carry_out(&x, error);
	if (rc == 0)
		result->repaired = CHECK_REPAIR_DONE;
out:
	repair_release(&x);
	return rc;
}

/* Walk again without what is dead: it will not be there any more. */
static int repair_live(struct check *asked, struct store_error *error)
{
	static const struct check_options quiet;
	struct check_result ignored = {0};
	struct check c = {
		.dev = asked->dev,
		.options = &quiet,
		.result = &ignored,
		.sb = asked->sb,
	};
	int rc = check_init(&c);

	if (rc == 0)
		rc = check_walk_all(&c, true);
	if (rc == 0)
		rc = repair_from(&c, asked, true, false, error);
	check_release(&c);
	return rc;
}

/* What a check finds after the repair. */
static int check_again(struct check *c)
{
	const struct check_options quiet = {.data = c->options->data};
	struct check_result again;
	int rc = check_run(c->dev, &quiet, &again, NULL);

	c->result->nr_left = again.nr_errors;
	return rc;
}

/* Why the map cannot be rebuilt, or NULL. */
static const char *why_not(const struct check *c)
{
	if (c->damaged[CHECK_TREES])
		return "trees are damaged, and what their lost parts use can "
		       "only be guessed";
	if (c->log_unclear && !c->options->discard_log)
		return "the intent log is damaged, and what it would add can "
		       "only be guessed; --discard-log gives it up";
	return NULL;
}

int check_repair(struct check *c, struct store_error *error)
{
	bool dead_damaged =
		c->damaged[CHECK_SPACE_TREE] || c->damaged[CHECK_DEAD_TREES];
	const char *why = why_not(c);
	int rc;

	if (why && !check_discard_needed(c)) {
		/* a pool without damage needs no excuse */
		if (c->result->nr_errors > 0)
			refuse(c->result, "%s", why);
		return 0;
	}
	if (dead_damaged && !why)
		rc = repair_live(c, error);
	else
		rc = repair_from(c, c, !why, true, error);
	if (rc == 0 && why && c->result->repaired == CHECK_REPAIR_NONE)
		refuse(c->result, "%s", why);
	if (rc == 0 && c->result->repaired == CHECK_REPAIR_DONE)
		rc = check_again(c);
	return rc;
}
