/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator: which blocks may be handed out, and which are taken next.
 *
 * Data comes from a cursor that moves through one region after the other, so
 * that what is written together lies together; nodes come from a stash of
 * small runs that is filled ahead, so that an apply never looks for space.
 * Only regions below the high-water mark are used: they were written once, so
 * that a flush of what goes there costs the host's file system no journal.
 * The next region is the lowest one that is an eighth free: a pool in a
 * sparse file stays small.
 */
#include "store/space_map_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/util.h"

#define REGION_WORTHWHILE (REGION_BLOCKS / 8)
#define STASH_CHUNK	  64u
#define SCRAP_BLOCKS	  3u

/* ---- runs of bits in one region; lock held ------------------------------ */

static bool bit_test(const struct region *reg, uint32_t i)
{
	return reg->bit[i / 64] >> i % 64 & 1;
}

/* First set bit at or after @i, or REGION_BLOCKS. */
static uint32_t next_set(const struct region *reg, uint32_t i)
{
	while (i < REGION_BLOCKS) {
		uint64_t w = reg->bit[i / 64] >> i % 64;

		if (w)
			return i + (uint32_t)__builtin_ctzll(w);
		i = (i / 64 + 1) * 64;
	}
	return REGION_BLOCKS;
}

static uint32_t run_length(const struct region *reg, uint32_t i, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && i + n < REGION_BLOCKS && bit_test(reg, i + n))
		n++;
	return n;
}

/*
 * The first run of @nr bits from @start on, else the longest; its length is
 * returned, at most @nr.
 */
static uint32_t find_run(struct region *reg, uint32_t start, uint32_t nr,
			 uint32_t *at)
{
	uint32_t best = 0, i = start;

	while ((i = next_set(reg, i)) < REGION_BLOCKS) {
		uint32_t n = run_length(reg, i, nr);

		if (n > best) {
			best = n;
			*at = i;
			if (n == nr)
				return n;
		}
		i += n;
	}
	if (start == 0)
		reg->max_run = best;
	return best;
}

static void take_bits(struct space_map *sm, uint32_t r, uint32_t at,
		      uint32_t nr)
{
	struct region *reg = sm->region[r];
	for (uint32_t i = at; i < at + nr; i++) {
		dbs_assert(bit_test(reg, i));
		reg->bit[i / 64] &= ~(UINT64_C(1) << i % 64);
	}
	reg->nr_bits -= nr;
	sm->nr_avail -= nr;
}

static void give_bits(struct space_map *sm, uint64_t first, uint32_t nr)
{
	while (nr > 0) {
		struct region *reg = sm->region[region_of(first)];
		uint32_t at = (uint32_t)(first % REGION_BLOCKS);

		dbs_assert(reg);
		dbs_assert(!bit_test(reg, at));
		if (!(sm->leaf[region_of(first)].flags &
		      SPACE_ENTRY_DAMAGED)) { /* S5 */
			reg->bit[at / 64] |= UINT64_C(1) << at % 64;
			reg->nr_bits++;
			reg->max_run = REGION_BLOCKS;
			sm->nr_avail++;
		}
		first++;
		nr--;
	}
}

/* ---- choosing a region -------------------------------------------------- */

static bool region_may_have(struct space_map *sm, uint32_t r, uint32_t want,
			    uint32_t run)
{
	struct region *reg = sm->region[r];

	if (sm->leaf[r].flags & SPACE_ENTRY_DAMAGED)
		return false;
	if (!reg && sm->loading[r] == REGION_UNREADABLE)
		return false;
	if (reg)
		return reg->nr_bits >= want && reg->max_run >= run;
	return sm->leaf[r].nr_free >= want;
}

/*
 * No run in the open regions is longer.  Exact where a longer one was looked
 * for and not found, so asking again with it ends.
 */
static uint32_t longest_run(struct space_map *sm)
{
	uint32_t longest = 0;

	for (uint32_t r = 0; r < sm->nr_open; r++) {
		struct region *reg = sm->region[r];
		uint32_t bound = reg ? MIN_OF(reg->max_run, reg->nr_bits)
				     : sm->leaf[r].nr_free;

		if (region_may_have(sm, r, 1, 0))
			longest = MAX_OF(longest, bound);
	}
	return longest;
}

/*
 * Let regions be used that nobody has filled with zeros yet, one at a time;
 * false: there are none.  Called with the lock.
 */
static bool open_region(struct space_map *sm)
{
	while (sm->zeroing)
		os_cond_wait(&sm->loaded, &sm->lock);
	if (sm->nr_open >= sm->nr_regions)
		return false;
	sm->nr_open++;
	return true;
}

/* Forget which regions could not be read; false: there were none. */
static bool read_again(struct space_map *sm)
{
	bool any = false;

	for (uint32_t r = 0; r < sm->nr_regions; r++)
		if (sm->loading[r] == REGION_UNREADABLE) {
			sm->loading[r] = 0;
			any = true;
		}
	return any;
}

/*
 * Find a run of @nr in some region and take it; @nr may come out shorter.
 * Called with the lock, which is dropped while a region is read.
 */
static int take_run(struct space_map *sm, uint32_t *cursor, uint32_t *block,
		    uint32_t nr, uint64_t *first, uint32_t *got)
{
	/* a run at least this long is good enough in the current region */
	uint32_t enough = MIN_OF(nr, RECORD_BLOCKS_MAX), at = 0, n;
	uint32_t wants[2] = {REGION_WORTHWHILE, 1};

again:
	if (*cursor < sm->nr_open && sm->region[*cursor] &&
	    region_may_have(sm, *cursor, 1, 0)) {
		struct region *reg = sm->region[*cursor];

		n = find_run(reg, *block, nr, &at);
		if (n < enough && (*block > 0) && reg->max_run >= enough)
			n = find_run(reg, 0, nr, &at);
		if (n >= enough) {
			take_bits(sm, *cursor, at, n);
			*block = at + n;
			*first = (uint64_t)*cursor * REGION_BLOCKS + at;
			*got = n;
			return 0;
		}
	}
	for (unsigned pass = 0; pass < 2; pass++)
		for (uint32_t r = 0; r < sm->nr_open; r++) {
			if (!region_may_have(sm, r, MAX_OF(wants[pass], enough),
					     enough))
				continue;
			if (!sm->region[r]) {
				os_mutex_unlock(&sm->lock);
				/* a damaged one marks itself */
				n = (uint32_t)-space_region_load(sm, r);
				os_mutex_lock(&sm->lock);
				if (n == ENOMEM)
					return -ENOMEM;
			}
			if (!sm->region[r])
				continue;
			*cursor = r;
			*block = 0;
			if (sm->region[r]->max_run >= enough &&
			    find_run(sm->region[r], 0, nr, &at) >= enough)
				goto again;
		}
	if (open_region(sm))
		goto again;
	/* nowhere is a run that long: the longest of all, then */
	enough = MIN_OF(longest_run(sm), enough);
	if (enough == 0)
		return read_again(sm) ? -EIO : -ENOSPC;
	goto again;
}

/* Give back what was set aside for nodes and nobody has reserved. */
static void stash_trim(struct space_map *sm)
{
	while (sm->nr_stash > 0) {
		struct freed_run *run = &sm->stash[sm->nr_stash - 1];

		if (sm->stash_blocks - run->nr < sm->stash_reserved)
			break;
		give_bits(sm, run->first, run->nr);
		sm->stash_blocks -= run->nr;
		sm->nr_stash--;
	}
}

/*
 * A pool that is full has its last free blocks in pieces, and a record needs
 * them in one.  So a few runs are set aside while there are some.
 */
static void keep_spare(struct space_map *sm)
{
	/* replay has no reserve, and the last block may be the one it needs */
	while (sm->nr_spare < SPARE_RUNS && !sm->no_spare && sm->nr_reserve &&
	       sm->nr_avail > 2 * sm->nr_reserve) {
		uint32_t cursor = sm->cursor, block = sm->cursor_block, got;
		uint64_t first;

		if (take_run(sm, &cursor, &block, SPARE_BLOCKS, &first, &got)) {
			sm->no_spare = true;
		} else if (got < SPARE_BLOCKS) {
			give_bits(sm, first, got);
			sm->no_spare = true;
		} else if (sm->nr_spare == SPARE_RUNS) {
			/* take_run() drops the lock: others were here */
			give_bits(sm, first, got);
		} else {
			sm->spare[sm->nr_spare++] = first;
		}
	}
}

static bool take_spare(struct space_map *sm, uint32_t nr, uint64_t *first)
{
	if (sm->nr_spare == 0 || nr > SPARE_BLOCKS)
		return false;
	*first = sm->spare[--sm->nr_spare];
	if (nr < SPARE_BLOCKS)
		give_bits(sm, *first + nr, SPARE_BLOCKS - nr);
	return true;
}

static int alloc(struct space_map *sm, uint32_t nr, bool use_reserve,
		 uint64_t *first, uint32_t *got)
{
	int rc, more;

	dbs_assert(nr > 0 && nr <= SPACE_MAP_MAX_RUN);
	for (unsigned try = 0;;) {
		uint64_t keep;

		os_mutex_lock(&sm->lock);
		/* below what ordinary ops may take for nodes, and above what
		 * deletes and the committer have to themselves */
		keep_spare(sm);
		keep = use_reserve ? sm->nr_reserve * 3 / 8 : sm->nr_reserve;
		keep -= MIN_OF(keep, (uint64_t)sm->nr_spare * SPARE_BLOCKS);
		if (sm->nr_avail < keep + nr)
			stash_trim(sm);
		if (sm->nr_avail < keep + nr)
			rc = -ENOSPC;
		else
			rc = take_run(sm, &sm->cursor, &sm->cursor_block, nr,
				      first, got);
		if (use_reserve && (rc || *got < nr)) {
			uint64_t piece = *first;

			if (take_spare(sm, nr, first)) {
				if (rc == 0)
					give_bits(sm, piece, *got);
				*got = nr;
				rc = 0;
			}
		}
		os_mutex_unlock(&sm->lock);
		/* what was freed a moment ago comes back with the commit */
		if (rc != -ENOSPC || try >= 2 || !sm->wait_full)
			return rc;
		more = sm->wait_full(sm->wait_arg);
		if (more < 0)
			return rc;
		try += !more;
	}
}

int space_map_alloc(struct space_map *sm, uint32_t nr, uint64_t *first,
		    uint32_t *got)
{
	return alloc(sm, nr, false, first, got);
}

int space_map_alloc_reserve(struct space_map *sm, uint32_t nr, uint64_t *first,
			    uint32_t *got)
{
	return alloc(sm, nr, true, first, got);
}

void space_map_unalloc(struct space_map *sm, uint64_t first, uint32_t nr)
{
	os_mutex_lock(&sm->lock);
	give_bits(sm, first, nr);
	os_mutex_unlock(&sm->lock);
}

int space_map_take(struct space_map *sm, uint64_t first, uint32_t nr)
{
	uint32_t r = region_of(first), at = (uint32_t)(first % REGION_BLOCKS);
	int rc = space_region_load(sm, r);

	if (rc)
		return rc;
	os_mutex_lock(&sm->lock);
	if (run_length(sm->region[r], at, nr) == nr)
		take_bits(sm, r, at, nr);
	else
		rc = -ENOSPC;
	os_mutex_unlock(&sm->lock);
	return rc;
}

/* ---- replay of the intent log -------------------------------------------- */

/* Is [@first, @first + @nr) a run as data can have?  0: its region is loaded;
 * 1: the region is damaged. */
static int logged_run(struct space_map *sm, uint64_t first, uint32_t nr)
{
	uint32_t at = (uint32_t)(first % REGION_BLOCKS);
	int rc;

	if (nr == 0 || first >= sm->nr_blocks || nr > sm->nr_blocks - first ||
	    at < region_reserved(region_of(first)) || nr > REGION_BLOCKS - at)
		return -EUCLEAN;
	rc = space_region_load(sm, region_of(first));
	return is_damage(rc) ? 1 : rc;
}

int space_map_take_logged(struct space_map *sm, uint64_t first, uint32_t nr)
{
	uint32_t r = region_of(first), at = (uint32_t)(first % REGION_BLOCKS);
	int rc = logged_run(sm, first, nr);

	if (rc)
		return rc < 0 ? rc : 0;
	os_mutex_lock(&sm->lock);
	if (run_length(sm->region[r], at, nr) == nr) {
		take_bits(sm, r, at, nr);
		/* or the one who writes zeros ahead would write over it */
		sm->nr_open = MAX_OF(sm->nr_open, r + 1);
	} else {
		rc = -EUCLEAN;
	}
	os_mutex_unlock(&sm->lock);
	return rc;
}

int space_map_verify_used(struct space_map *sm, uint64_t first, uint32_t nr)
{
	uint32_t r = region_of(first), at = (uint32_t)(first % REGION_BLOCKS);
	int rc = logged_run(sm, first, nr);

	if (rc)
		return rc < 0 ? rc : 0;
	os_mutex_lock(&sm->lock);
	for (uint32_t i = at; i < at + nr && rc == 0; i++)
		rc = bit_test(sm->region[r], i) ? -EUCLEAN : 0;
	os_mutex_unlock(&sm->lock);
	return rc;
}

uint64_t space_map_set_reserve(struct space_map *sm, uint64_t nr_blocks)
{
	uint64_t was;

	os_mutex_lock(&sm->lock);
	was = sm->nr_reserve;
	sm->nr_reserve = nr_blocks;
	os_mutex_unlock(&sm->lock);
	return was;
}

void space_map_on_full(struct space_map *sm, int (*wait)(void *arg), void *arg)
{
	sm->wait_full = wait;
	sm->wait_arg = arg;
}

/* ---- blocks for nodes --------------------------------------------------- */

/* The first run in region @r that is no longer than a scrap. */
static bool find_scrap(struct region *reg, uint32_t *at, uint32_t *nr)
{
	for (uint32_t i = 0; (i = next_set(reg, i)) < REGION_BLOCKS; i += *nr) {
		*at = i;
		*nr = run_length(reg, i, SCRAP_BLOCKS + 1);
		if (*nr <= SCRAP_BLOCKS)
			return true;
		*nr = run_length(reg, i, REGION_BLOCKS);
	}
	return false;
}

/*
 * A node fits anywhere.  So where space is short nodes get the pieces that
 * are too short for most records.
 */
static int take_for_nodes(struct space_map *sm, uint64_t room, uint64_t *first,
			  uint32_t *got)
{
	uint32_t block = 0, at;

	for (uint32_t r = 0;
	     sm->nr_avail < 2 * sm->nr_reserve && r < sm->nr_open; r++) {
		if (!sm->region[r] || !region_may_have(sm, r, 1, 0) ||
		    !find_scrap(sm->region[r], &at, got))
			continue;
		take_bits(sm, r, at, *got);
		*first = (uint64_t)r * REGION_BLOCKS + at;
		return 0;
	}
	return take_run(sm, &sm->node_cursor, &block,
			(uint32_t)MIN_OF((uint64_t)STASH_CHUNK, room), first,
			got);
}

int space_map_reserve_nodes(struct space_map *sm, uint32_t nr, unsigned flags)
{
	/*
	 * Ordinary ops leave half of the reserve to those that free space, and
	 * those a quarter to the committer, without whom nothing comes back.
	 */
	uint32_t quarters = flags & SPACE_COMMITTER	? 0
			    : flags & SPACE_USE_RESERVE ? 1
							: 2;
	/* the same for runs, which free space in single blocks uses up */
	uint32_t runs = STASH_RUNS - STASH_RUNS / 4 * quarters;
	uint64_t keep;
	int rc = 0;

	os_mutex_lock(&sm->lock);
	keep = sm->nr_reserve / 4 * quarters; /* it may grow */
	while (sm->stash_blocks - sm->stash_reserved < nr && rc == 0) {
		uint64_t room = sm->nr_avail > keep ? sm->nr_avail - keep : 0;
		bool short_of =
			room < nr - (sm->stash_blocks - sm->stash_reserved);
		uint64_t first;
		uint32_t got;

		if (short_of && flags && sm->nr_spare > 0) {
			give_bits(sm, sm->spare[--sm->nr_spare], SPARE_BLOCKS);
		} else if (short_of) {
			rc = -ENOSPC;
		} else if (sm->nr_stash >= runs) {
			rc = -ENOSPC;
		} else {
			rc = take_for_nodes(sm, room, &first, &got);
			if (rc == 0 && sm->nr_stash >= runs) {
				give_bits(sm, first, got);
				rc = -ENOSPC;
			} else if (rc == 0) {
				sm->stash[sm->nr_stash++] =
					(struct freed_run){first, got};
				sm->stash_blocks += got;
			}
		}
	}
	if (rc == 0)
		sm->stash_reserved += nr;
	os_mutex_unlock(&sm->lock);
	return rc;
}

void space_map_unreserve_nodes(struct space_map *sm, uint32_t nr)
{
	os_mutex_lock(&sm->lock);
	dbs_assert(sm->stash_reserved >= nr);
	sm->stash_reserved -= nr;
	os_mutex_unlock(&sm->lock);
}

uint64_t space_map_take_node(struct space_map *sm)
{
	struct freed_run *run;
	uint64_t blkno;

	os_mutex_lock(&sm->lock);
	dbs_assert(sm->stash_reserved > 0 && sm->nr_stash > 0);
	/* the oldest chunk first keeps neighbours together */
	run = &sm->stash[0];
	blkno = run->first++;
	sm->stash_blocks--;
	sm->stash_reserved--;
	if (--run->nr == 0) {
		sm->nr_stash--;
		memmove(sm->stash, sm->stash + 1,
			sm->nr_stash * sizeof(sm->stash[0]));
	}
	os_mutex_unlock(&sm->lock);
	return blkno;
}

/* ---- zeros ahead --------------------------------------------------------- */

bool space_map_zero_begin(struct space_map *sm, uint64_t ahead, uint64_t *first,
			  uint32_t *nr)
{
	uint64_t free = 0;
	bool go;

	os_mutex_lock(&sm->lock);
	os_mutex_lock(&sm->count_lock);
	for (uint32_t r = 0; r < sm->nr_open; r++)
		free += sm->region[r] ? sm->region[r]->nr_bits
				      : sm->leaf[r].nr_free;
	os_mutex_unlock(&sm->count_lock);
	go = sm->nr_open < sm->nr_regions && free < ahead && !sm->zeroing;
	if (go) {
		uint32_t skip = region_reserved(sm->nr_open);

		/* not its slots: growing the pool may have written some */
		sm->zeroing = true;
		*first = (uint64_t)sm->nr_open * REGION_BLOCKS + skip;
		*nr = region_length(sm, sm->nr_open) - skip;
	}
	os_mutex_unlock(&sm->lock);
	return go;
}

void space_map_zero_end(struct space_map *sm)
{
	os_mutex_lock(&sm->lock);
	sm->zeroing = false;
	sm->nr_open++;
	os_cond_broadcast(&sm->loaded);
	os_mutex_unlock(&sm->lock);
}

/* ---- after the commit --------------------------------------------------- */

static void thin_out_counts(struct space_map *sm)
{
	os_mutex_lock(&sm->lock);
	os_mutex_lock(&sm->count_lock);
	for (uint32_t r = 0;
	     r < sm->nr_regions && sm->nr_counts > sm->counts_kept; r++) {
		struct region *reg = sm->region[r];

		if (!reg || !reg->counts || reg->dirty ||
		    sm->loading[r] == REGION_LOADING)
			continue;
		if (reg->used) {
			reg->used = false;
			continue;
		}
		free(reg->counts);
		reg->counts = NULL;
		sm->nr_counts--;
	}
	os_mutex_unlock(&sm->count_lock);
	os_mutex_unlock(&sm->lock);
}

void space_map_hold(struct space_map *sm)
{
	__atomic_add_fetch(&sm->nr_holds, 1, __ATOMIC_SEQ_CST);
}

void space_map_unhold(struct space_map *sm)
{
	uint32_t was = __atomic_fetch_sub(&sm->nr_holds, 1, __ATOMIC_SEQ_CST);

	dbs_assert(was > 0);
	if (was > 1)
		return;
	os_mutex_lock(&sm->lock);
	sm->nr_unheld++;
	os_cond_broadcast(&sm->unheld);
	os_mutex_unlock(&sm->lock);
}

void space_map_wait_unheld(struct space_map *sm)
{
	uint64_t before;

	os_mutex_lock(&sm->lock);
	before = sm->nr_unheld;
	sm->nr_waiting++;
	while (space_map_held(sm) && sm->nr_unheld == before &&
	       os_cond_wait_ms(&sm->unheld, &sm->lock, 10000))
		;
	sm->nr_waiting--;
	os_mutex_unlock(&sm->lock);
}

bool space_map_held(struct space_map *sm)
{
	return __atomic_load_n(&sm->nr_holds, __ATOMIC_SEQ_CST) > 0;
}

void space_map_committed(struct space_map *sm)
{
	if (space_map_held(sm))
		return;
	os_mutex_lock(&sm->lock);
	for (size_t i = 0; i < sm->nr_freed; i++)
		give_bits(sm, sm->freed[i].first, sm->freed[i].nr);
	read_again(sm);
	sm->no_spare = false;
	/* with the lock: no block counts as free and as deferred */
	__atomic_store_n(&sm->nr_deferred, 0, __ATOMIC_RELEASE);
	os_mutex_unlock(&sm->lock);
	sm->nr_freed = 0;
	thin_out_counts(sm);
}

void space_map_stat(struct space_map *sm, struct space_map_stat *st)
{
	memset(st, 0, sizeof(*st));
	os_mutex_lock(&sm->lock);
	st->nr_blocks = sm->nr_blocks;
	st->nr_free = sm->nr_avail + sm->stash_blocks - sm->stash_reserved +
		      sm->nr_spare * SPARE_BLOCKS;
	st->nr_reserve = sm->nr_reserve;
	st->high_water =
		MIN_OF((uint64_t)sm->nr_open * REGION_BLOCKS, sm->nr_blocks);
	for (uint32_t r = 0; r < sm->nr_regions; r++)
		if (sm->region[r])
			st->memory += sizeof(struct region);
	os_mutex_lock(&sm->count_lock);
	st->nr_damaged = sm->nr_damaged;
	st->memory += (uint64_t)sm->nr_counts * BLOCK_SIZE +
		      (uint64_t)sm->nr_regions *
			      (sizeof(struct entry) + sizeof(void *));
	st->nr_deferred = __atomic_load_n(&sm->nr_deferred, __ATOMIC_ACQUIRE);
	os_mutex_unlock(&sm->count_lock);
	os_mutex_unlock(&sm->lock);
}
