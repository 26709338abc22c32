/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts: what the committer does with an op's notes.
 *
 * A byte a block; 255 says that the count is in the space tree.  That tree
 * belongs to the committer alone and its nodes are never shared, so changing
 * it changes no count above 1 and the recursion ends there.
 *
 * A count that cannot be read or kept (S5, or no entry for a 255) is taken to
 * be too large to ever reach 0: blocks leak until a repair, nothing is lost.
 */
#include "store/space_map_internal.h"

#include <errno.h>
#include <stdlib.h>

#include "store/btree.h"
#include "store/mutate.h"
#include "store/txg.h"
#include "store/util.h"

/*
 * The region's counts in memory, or NULL when they are damaged, or when there
 * can be none: the number may come from a damaged tree.
 */
static struct region *counts_of(struct space_map *sm, uint64_t blkno)
{
	uint32_t r;
	struct region *reg;
	unsigned tries = 0;
	int rc;

	if (blkno >= sm->nr_blocks ||
	    blkno % REGION_BLOCKS < region_reserved(region_of(blkno))) {
		log_error("a tree names an impossible block blkno=%llu",
			  (unsigned long long)blkno);
		return NULL;
	}
	r = region_of(blkno);
	/* others may be loading it; once there, only we take counts away */
	os_mutex_lock(&sm->count_lock);
	reg = sm->region[r];
	if (reg && !reg->counts)
		reg = NULL;
	if (reg)
		reg->used = true;
	os_mutex_unlock(&sm->count_lock);
	if (reg)
		return reg;
	do {
		rc = space_region_load(sm, r);
	} while (rc == -ENOMEM && os_wait_memory(&tries));
	if (rc == 0)
		return sm->region[r];
	/*
	 * What is skipped now is missing in the counts for good.  So the mark
	 * that the region is damaged goes to disk with this commit, or there
	 * is no commit.
	 */
	if (rc == -ENOMEM) {
		sm->lost = rc;
	} else {
		space_region_lose(sm, r, rc);
		sm->index1[r / SPACE_INDEX_FANOUT].dirty = true;
	}
	return NULL;
}

static void set_count(struct space_map *sm, struct region *reg, uint64_t blkno,
		      uint8_t count)
{
	uint32_t at = (uint32_t)(blkno % REGION_BLOCKS);
	struct entry *e = &sm->leaf[region_of(blkno)];

	os_mutex_lock(&sm->count_lock);
	if (reg->counts->count[at] == 0 && count != 0)
		e->nr_free--;
	else if (reg->counts->count[at] != 0 && count == 0)
		e->nr_free++;
	reg->counts->count[at] = count;
	reg->dirty = true;
	sm->index1[region_of(blkno) / SPACE_INDEX_FANOUT].dirty = true;
	os_mutex_unlock(&sm->count_lock);
}

static uint8_t get_count(const struct region *reg, uint64_t blkno)
{
	return reg->counts->count[blkno % REGION_BLOCKS];
}

/* Is a block that a tree names counted?  If not, a tree or the map is
 * damaged; the block stays as it is. */
static bool is_counted(uint64_t blkno, uint32_t count)
{
	if (count == 0)
		log_error("a block in use counts as free blkno=%llu",
			  (unsigned long long)blkno);
	return count > 0;
}

/* Change the item of a large count; the committer may do I/O. */
static int overflow_read(struct op *op, const struct btree *tree,
			 uint64_t blkno, uint32_t *count)
{
	struct key key = key_of(0, ITEM_OVERFLOW, blkno);
	struct le32 value;
	int rc;

	do {
		rc = btree_get(op, tree, &key, &value, sizeof(value), NULL);
		rc = op_retry(op, rc);
	} while (rc == -EAGAIN);
	*count = rc ? 0 : le32_get(value);
	return rc;
}

/* @count 0: delete the item. */
static int overflow_write(struct op *op, struct btree *tree, uint64_t blkno,
			  uint32_t count)
{
	struct key key = key_of(0, ITEM_OVERFLOW, blkno);
	struct le32 value = le32_of(count);
	int rc;

	do {
		rc = btree_touch(op, tree, &key);
		if (rc == 0)
			rc = op_ready(op);
		rc = op_retry(op, rc);
	} while (rc == -EAGAIN);
	if (rc)
		return rc;
	if (count)
		btree_put(op, tree, &key, &value, sizeof(value));
	else
		btree_del(op, tree, &key);
	op_again(op);
	return 0;
}

int space_map_get(struct space_map *sm, uint64_t blkno, uint32_t *count)
{
	uint32_t r = region_of(blkno);
	int rc = 0;

	for (;;) {
		os_mutex_lock(&sm->lock);
		os_mutex_lock(&sm->count_lock);
		if (blkno >= sm->nr_blocks) {
			rc = -EUCLEAN;
		} else if (sm->region[r] && sm->region[r]->counts) {
			*count = get_count(sm->region[r], blkno);
			rc = 1;
		}
		os_mutex_unlock(&sm->count_lock);
		os_mutex_unlock(&sm->lock);
		if (rc)
			return rc < 0 ? rc : 0;
		rc = space_region_load(sm, r);
		if (rc)
			return rc;
	}
}

void space_map_claim(struct space_map *sm, uint64_t first, uint32_t nr)
{
	for (uint32_t i = 0; i < nr; i++) {
		struct region *reg = counts_of(sm, first + i);

		if (!reg)
			continue;
		dbs_assert(get_count(reg, first + i) == 0);
		set_count(sm, reg, first + i, 1);
	}
}

void space_map_inc(struct space_map *sm, struct op *op, struct btree *tree,
		   uint64_t blkno)
{
	struct region *reg = counts_of(sm, blkno);
	uint32_t count;
	int rc;

	if (!reg)
		return;
	count = get_count(reg, blkno);
	if (!is_counted(blkno, count))
		return;
	if (count < SPACE_COUNT_MAX) {
		set_count(sm, reg, blkno, (uint8_t)(count + 1));
		return;
	}
	if (count == SPACE_COUNT_MAX) {
		/* the byte says 'in the tree' even if the tree fails us */
		set_count(sm, reg, blkno, SPACE_COUNT_OVERFLOW);
		overflow_write(op, tree, blkno, SPACE_COUNT_MAX + 1);
		return;
	}
	rc = overflow_read(op, tree, blkno, &count);
	if (rc == 0)
		rc = overflow_write(op, tree, blkno, count + 1);
	/* a count too low frees what is in use; no entry counts for ever */
	if (rc && rc != -ENOENT)
		pool_fail(op->pool, rc, "raising a reference count");
}

static int compare_runs(const void *a, const void *b)
{
	const struct freed_run *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Join what lies next to each other, where there is no memory for more. */
static void freed_compact(struct space_map *sm)
{
	size_t n = 0;

	qsort(sm->freed, sm->nr_freed, sizeof(*sm->freed), compare_runs);
	for (size_t i = 0; i < sm->nr_freed; i++) {
		struct freed_run *run = &sm->freed[i];

		if (n > 0 &&
		    sm->freed[n - 1].first + sm->freed[n - 1].nr == run->first)
			sm->freed[n - 1].nr += run->nr;
		else
			sm->freed[n++] = *run;
	}
	sm->nr_freed = n;
}

static bool freed_make_room(struct space_map *sm)
{
	struct freed_run *f;

	if (sm->nr_freed < sm->cap_freed)
		return true;
	f = reallocarray(sm->freed, 2 * sm->cap_freed, sizeof(*f));
	if (f) {
		sm->freed = f;
		sm->cap_freed *= 2;
		return true;
	}
	freed_compact(sm);
	return sm->nr_freed < sm->cap_freed;
}

static void freed_add(struct space_map *sm, uint64_t first, uint32_t nr)
{
	struct freed_run *last =
		sm->nr_freed ? &sm->freed[sm->nr_freed - 1] : NULL;

	if (mutated(MUTATE_REUSED_EARLY) && mutate_was_freed(sm, first))
		return;
	__atomic_add_fetch(&sm->nr_deferred, nr, __ATOMIC_ACQ_REL);
	if (last && last->first + last->nr == first) {
		last->nr += nr;
		return;
	}
	if (!freed_make_room(sm)) {
		/* free on disk, found again at the next open */
		log_warn("out of memory: freed blocks wait for the next open "
			 "first=%llu nr=%u",
			 (unsigned long long)first, nr);
		return;
	}
	sm->freed[sm->nr_freed++] = (struct freed_run){first, nr};
}

bool space_map_is_last(struct space_map *sm, struct op *op, struct btree *tree,
		       uint64_t blkno)
{
	struct region *reg = counts_of(sm, blkno);

	(void)op;
	(void)tree;
	return reg && get_count(reg, blkno) == 1;
}

bool space_map_dec(struct space_map *sm, struct op *op, struct btree *tree,
		   uint64_t first, uint32_t nr)
{
	struct region *reg = counts_of(sm, first);
	uint32_t count;

	if (!reg)
		return false;
	count = get_count(reg, first);
	if (!is_counted(first, count))
		return false;
	if (count == SPACE_COUNT_OVERFLOW) {
		if (overflow_read(op, tree, first, &count))
			return false;
		if (count > SPACE_COUNT_MAX + 1) {
			overflow_write(op, tree, first, count - 1);
		} else if (overflow_write(op, tree, first, 0) == 0) {
			reg = counts_of(sm, first);
			if (reg)
				set_count(sm, reg, first, SPACE_COUNT_MAX);
		}
		return false;
	}
	if (count > 1) {
		set_count(sm, reg, first, (uint8_t)(count - 1));
		return false;
	}
	for (uint32_t i = 0; i < nr; i++) {
		reg = counts_of(sm, first + i);
		/* S3, unless two runs overlap: then it is somebody else's */
		if (!reg || get_count(reg, first + i) != 1)
			continue;
		set_count(sm, reg, first + i, 0);
		freed_add(sm, first + i, 1);
	}
	return true;
}
