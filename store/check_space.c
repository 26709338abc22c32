/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recomputed counts, and the space map they are compared with.
 *
 * One byte a block says what the walk found there:
 *
 *	STATE_FREE   nothing
 *	STATE_TAIL   part of a run, but not its first block
 *	STATE_FIXED  superblocks, slots, logs
 *	STATE_NODE   a node: its count is in check->nodes
 *	others       the first block of a run, with its count; a run ends where
 *	             the STATE_TAILs do; STATE_LARGE: the count is in
 *	             check->large
 *
 * The space map is read at the end, a region at a time, and never kept.
 */
#include "store/check_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/csum.h"
#include "store/util.h"

#define STATE_FREE  0u
#define STATE_TAIL  1u
#define STATE_FIXED 2u
#define STATE_NODE  3u
#define STATE_RUN   4u /* a run with count 1 */
#define STATE_LARGE 255u

int check_counts_init(struct check *c)
{
	idmap_init(&c->nodes, sizeof(struct check_node));
	idmap_init(&c->large, sizeof(struct check_count));
	idmap_init(&c->overflow, sizeof(struct check_count));
	c->state = calloc(c->nr_blocks, 1);
	return c->state ? 0 : -ENOMEM;
}

void check_counts_release(struct check *c)
{
	idmap_release(&c->nodes);
	idmap_release(&c->large);
	idmap_release(&c->overflow);
	free(c->state);
}

static const char *state_name(uint8_t state)
{
	switch (state) {
	case STATE_TAIL:
		return "inside a record";
	case STATE_FIXED:
		return "reserved";
	case STATE_NODE:
		return "a node";
	case STATE_FREE:
		return "free";
	default:
		return "the start of a record";
	}
}

/* ---- counting ----------------------------------------------------------- */

static void fix(struct check *c, uint64_t first, uint64_t nr, const char *what)
{
	if (first >= c->nr_blocks || nr > c->nr_blocks - first) {
		check_report(c, "%s: blocks [%llu, %llu) are not in the pool",
			     what, ULL(first), ULL(first + nr));
		check_incomplete(c);
		return;
	}
	for (uint64_t b = first; b < first + nr; b++) {
		if (c->state[b] != STATE_FREE) {
			check_report(c, "%s: block %llu is also %s", what,
				     ULL(b), state_name(c->state[b]));
			check_incomplete(c);
			return;
		}
		c->state[b] = STATE_FIXED;
	}
	check_progress(c, nr);
}

void check_counts_fixed(struct check *c)
{
	const struct superblock *sb = &c->sb;
	uint64_t nr_delta = le32_get(sb->delta_log.nr);

	for (uint64_t b = 0; b < c->nr_blocks; b += REGION_BLOCKS)
		fix(c, b,
		    MIN_OF(c->nr_blocks - b,
			   (uint64_t)region_reserved(b / REGION_BLOCKS)),
		    "reserved blocks");
	for (uint32_t i = 0; i < ILOG_SEGMENTS_MAX; i++) {
		uint64_t nr = le32_get(sb->ilog[i].nr);

		if (nr > 0)
			fix(c, le64_get(sb->ilog[i].first), nr, "the log ring");
	}
	if (nr_delta > 0)
		fix(c, le64_get(sb->delta_log.first), nr_delta,
		    "the delta log");
}

int check_count_node(struct check *c, const char *label, uint64_t blkno,
		     uint64_t txg, uint8_t level, struct check_node **n,
		     bool *first)
{
	uint8_t state = c->state[blkno];

	*n = NULL;
	*first = false;
	if (state != STATE_FREE && state != STATE_NODE) {
		check_report(c,
			     "%s: block %llu is used as a node (level %u), but "
			     "is also %s",
			     label, ULL(blkno), level, state_name(state));
		return 0;
	}
	*n = idmap_add(&c->nodes, blkno, first);
	if (!*n)
		return -ENOMEM;
	if (*first) {
		c->state[blkno] = STATE_NODE;
		(*n)->txg = txg;
		(*n)->level = level;
	}
	(*n)->count++;
	return 0;
}

/* Blocks of the run that starts at @blkno, looking no further than @max. */
static uint64_t run_length(const struct check *c, uint64_t blkno, uint64_t max)
{
	uint64_t n = 1;

	while (n < max && blkno + n < c->nr_blocks &&
	       c->state[blkno + n] == STATE_TAIL)
		n++;
	return n;
}

static int run_once_more(struct check *c, uint64_t blkno)
{
	uint8_t state = c->state[blkno];
	struct check_count *large;

	if (state + 1u < STATE_LARGE) {
		c->state[blkno]++;
		return 0;
	}
	large = idmap_add(&c->large, blkno, NULL);
	if (!large)
		return -ENOMEM;
	if (state != STATE_LARGE) {
		large->count = state - STATE_RUN + 1u;
		c->state[blkno] = STATE_LARGE;
	}
	large->count++;
	return 0;
}

int check_count_run(struct check *c, uint64_t blkno, uint32_t nr, bool *first,
		    const char **bad)
{
	*first = false;
	*bad = NULL;
	if (blkno == 0 || blkno >= c->nr_blocks || nr > c->nr_blocks - blkno) {
		*bad = "names blocks that are not in the pool";
		return 0;
	}
	if (c->state[blkno] >= STATE_RUN) {
		if (run_length(c, blkno, nr + 1) == nr)
			return run_once_more(c, blkno);
		*bad = "shares only a part of its blocks with another record";
		return 0;
	}
	for (uint64_t b = blkno; b < blkno + nr; b++) {
		switch (c->state[b]) {
		case STATE_FREE:
			continue;
		case STATE_FIXED:
			*bad = "names reserved blocks";
			return 0;
		case STATE_NODE:
			*bad = "names a block that is a node";
			return 0;
		default:
			*bad = "names a block that is in another record too";
			return 0;
		}
	}
	c->state[blkno] = STATE_RUN;
	memset(c->state + blkno + 1, STATE_TAIL, nr - 1);
	*first = true;
	return 0;
}

uint64_t check_count_wanted(const struct check *c, uint64_t b)
{
	uint8_t state = c->state[b];

	switch (state) {
	case STATE_FREE:
		return 0;
	case STATE_TAIL:
	case STATE_FIXED:
		return 1;
	case STATE_NODE:
		return ((struct check_node *)idmap_find(&c->nodes, b))->count;
	case STATE_LARGE:
		return ((struct check_count *)idmap_find(&c->large, b))->count;
	default:
		return state - STATE_RUN + 1u;
	}
}

int check_count_new_node(struct check *c, uint64_t b, bool use)
{
	struct check_node *n;

	if (!use) {
		c->state[b] = STATE_FREE;
		return 0;
	}
	n = idmap_add(&c->nodes, b, NULL);
	if (!n)
		return -ENOMEM;
	*n = (struct check_node){.blkno = b, .count = 1};
	c->state[b] = STATE_NODE;
	return 0;
}

/* ---- comparing ---------------------------------------------------------- */

/* Adjacent blocks with the same difference are one finding. */
struct difference {
	uint64_t first, nr;
	uint64_t got, want;
	uint8_t state;
};

static void report_difference(struct check *c, struct difference *d)
{
	uint64_t a = d->first, b = d->first + d->nr;

	if (d->nr == 0)
		return;
	if (d->want == 0)
		check_report(c,
			     "blocks [%llu, %llu) have count %llu, but nothing "
			     "uses them",
			     ULL(a), ULL(b), ULL(d->got));
	else if (d->got == 0)
		check_report(c, "blocks [%llu, %llu) count as free, but are %s",
			     ULL(a), ULL(b), state_name(d->state));
	else
		check_report(c,
			     "block %llu is %s with %llu references, but its "
			     "count is %llu",
			     ULL(a), state_name(d->state), ULL(d->want),
			     ULL(d->got));
	d->nr = 0;
}

static void differ(struct check *c, struct difference *d, uint64_t b,
		   uint64_t got, uint64_t want)
{
	uint8_t state = c->state[b];
	bool joins;

	joins = d->nr > 0 && d->first + d->nr == b && d->got == got &&
		(want == 0 || got == 0) && (d->want == 0) == (want == 0);
	if (joins) {
		d->nr++;
		return;
	}
	report_difference(c, d);
	*d = (struct difference){b, 1, got, want, state};
}

/* The real count behind byte @byte of block @b. */
static uint64_t count_stored(struct check *c, uint64_t b, uint8_t byte)
{
	struct check_count *o;

	if (byte != SPACE_COUNT_OVERFLOW)
		return byte;
	o = idmap_find(&c->overflow, b);
	if (!o) {
		check_report(c,
			     "block %llu: its count is said to be in the space "
			     "tree, but is not there",
			     ULL(b));
		return byte;
	}
	o->seen = 1;
	return o->count;
}

static void compare_region(struct check *c, uint64_t r,
			   const struct space_region *s, struct difference *d)
{
	uint64_t base = r * REGION_BLOCKS;

	for (uint32_t i = 0; i < REGION_BLOCKS; i++) {
		uint64_t b = base + i, got, want;

		if (b >= c->nr_blocks) {
			if (s->count[i] == 0) {
				check_report(c,
					     "block %llu counts as free, but "
					     "lies beyond the pool's end",
					     ULL(b));
				return;
			}
			continue;
		}
		got = count_stored(c, b, s->count[i]);
		want = check_count_wanted(c, b);
		c->result->blocks_used += want > 0;
		c->result->shared_blocks += want > 1;
		if (got == want)
			continue;
		c->result->blocks_leaked += want == 0;
		/* the rest may be in what could not be read */
		if (!c->incomplete || got < want)
			differ(c, d, b, got, want);
	}
}

int check_read_slot(struct check *c, const struct space_entry *e,
		    uint64_t first_slot, uint32_t type, void *page)
{
	uint64_t blkno = first_slot + e->slot;
	const struct meta_header *h = page;
	int rc;

	if (e->slot > 1 || le64_get(e->txg) > c->txg)
		return -EUCLEAN;
	rc = blkdev_read(c->dev, page, BLOCK_SIZE, blkno * BLOCK_SIZE);
	if (rc)
		return rc;
	if (le64_get(h->csum) !=
		    csum_of((uint8_t *)page + 8, BLOCK_SIZE - 8, type) ||
	    le64_get(h->csum) != le64_get(e->csum) ||
	    le64_get(h->txg) != le64_get(e->txg) || le32_get(h->type) != type ||
	    le64_get(h->pool_id) != c->pool_id || le64_get(h->blkno) != blkno)
		return -EBADMSG;
	return 0;
}

void check_region_unwritten(const struct check *c, uint64_t r,
			    struct space_region *s)
{
	uint64_t left = c->nr_blocks - r * REGION_BLOCKS;
	uint32_t len = (uint32_t)MIN_OF(left, (uint64_t)REGION_BLOCKS);

	memset(s, 0, sizeof(*s));
	memset(s->count, 1, MIN_OF(len, region_reserved(r)));
	memset(s->count + len, 1, REGION_BLOCKS - len);
}

/* Was what @e names ever written?  NULL: not even the entry was. */
static bool is_written(const struct space_entry *e)
{
	return e && le64_get(e->txg) != 0;
}

/*
 * Free blocks of region @r.
 * @e: its entry, NULL if its index block was never written; @s: a buffer
 */
static uint64_t check_region(struct check *c, uint64_t r,
			     const struct space_entry *e,
			     struct space_region *s, struct difference *d)
{
	uint64_t nr_free = 0;
	int rc = 0;

	if (e && e->flags & SPACE_ENTRY_DAMAGED) {
		check_report(c,
			     "space map: region %llu is marked as damaged; its "
			     "blocks are lost until it is repaired",
			     ULL(r));
		return le32_get(e->nr_free);
	}
	if (is_written(e))
		rc = check_read_slot(c, e, region_counts_blkno(r, 0),
				     META_SPACE_REGION, s);
	else
		check_region_unwritten(c, r, s);
	if (rc) {
		check_report(c, "space map: slot %u of region %llu %s", e->slot,
			     ULL(r), check_errno(rc));
		return le32_get(e->nr_free);
	}
	for (uint32_t i = 0; i < REGION_BLOCKS; i++)
		nr_free += s->count[i] == 0;
	if (is_written(e) && le16_get(s->nr_free) != nr_free)
		check_report(c,
			     "space map: region %llu says that it has %u free "
			     "blocks, but has %llu",
			     ULL(r), le16_get(s->nr_free), ULL(nr_free));
	if (e && le32_get(e->nr_free) != nr_free)
		check_report(c,
			     "space map: the index says that region %llu has "
			     "%u free blocks, but it has %llu",
			     ULL(r), le32_get(e->nr_free), ULL(nr_free));
	compare_region(c, r, s, d);
	return nr_free;
}

/* Regions that one entry covers which names a block of @level; 0: counts. */
static uint64_t regions_below(uint8_t level)
{
	uint64_t nr = 1;

	while (level-- > 0)
		nr *= SPACE_INDEX_FANOUT;
	return nr;
}

/* A block of each level, the one being looked at. */
struct space_pages {
	struct space_index index[2]; /* [level - 1] */
	struct space_region region;
};

/* Free blocks below @e, which names number @i of @level; NULL as above. */
static uint64_t check_entry(struct check *c, uint8_t level, uint64_t i,
			    const struct space_entry *e,
			    struct space_pages *pages, struct difference *d)
{
	uint64_t nr_regions = div_round_up(c->nr_blocks, REGION_BLOCKS);
	uint64_t slots, sum = 0;
	struct space_index *index;
	int rc = 0;

	if (level == 0)
		return check_region(c, i, e, &pages->region, d);
	if (e && e->flags & SPACE_ENTRY_DAMAGED) {
		check_report(
			c,
			"space map: level-%u index block %llu is marked as "
			"damaged; what lies below it is lost until it is "
			"repaired",
			level, ULL(i));
		return le32_get(e->nr_free);
	}
	index = &pages->index[level - 1];
	slots = space_index_blkno(level, i, 0);
	if (is_written(e))
		rc = check_read_slot(c, e, slots, META_SPACE_INDEX, index);
	if (rc == 0 && is_written(e) && index->level != level)
		rc = -EUCLEAN;
	if (rc) {
		check_report(c,
			     "space map: slot %u of level-%u index block %llu "
			     "%s; the counts below it were not compared",
			     e->slot, level, ULL(i), check_errno(rc));
		return le32_get(e->nr_free);
	}
	for (uint64_t k = 0; k < SPACE_INDEX_FANOUT; k++) {
		uint64_t sub = i * SPACE_INDEX_FANOUT + k;

		if (sub * regions_below((uint8_t)(level - 1)) >= nr_regions)
			break;
		sum += check_entry(c, (uint8_t)(level - 1), sub,
				   is_written(e) ? &index->entry[k] : NULL,
				   pages, d);
	}
	if (e && sum != le32_get(e->nr_free))
		check_report(c,
			     "space map: the entry of level-%u index block "
			     "%llu says %u free blocks, below it are %llu",
			     level, ULL(i), le32_get(e->nr_free), ULL(sum));
	return sum;
}

static void report_unused_overflow(struct check *c)
{
	for (struct check_count *o = NULL;
	     (o = idmap_next(&c->overflow, o)) != NULL;)
		if (!o->seen)
			check_report(c,
				     "space tree: it has a count of %llu for "
				     "block %llu, whose own count is not large",
				     ULL(o->count), ULL(o->blkno));
}

int check_space(struct check *c)
{
	uint64_t each = regions_below(2) * REGION_BLOCKS, sum = 0;
	struct space_pages *pages = blkdev_buffer_new(sizeof(*pages));
	struct difference d = {0};

	if (!pages)
		return -ENOMEM;
	for (uint64_t i = 0; i < SPACE_INDEX2_MAX && i * each < c->nr_blocks;
	     i++)
		sum += check_entry(c, 2, i, &c->sb.space[i], pages, &d);
	report_difference(c, &d);
	report_unused_overflow(c);
	if (sum != le64_get(c->sb.nr_free))
		check_report(c,
			     "the superblock says that %llu blocks are free, "
			     "the space map has %llu",
			     ULL(le64_get(c->sb.nr_free)), ULL(sum));
	if (c->incomplete && c->result->blocks_leaked > 0)
		check_report(c,
			     "%llu blocks are counted that nothing readable "
			     "uses; they may belong to what is damaged",
			     ULL(c->result->blocks_leaked));
	free(pages);
	return 0;
}
