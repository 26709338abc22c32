/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutate.h - mistakes on purpose, for the crash prover to find
 *
 * Below: nothing.  Above: the few places that ask mutated().
 *
 * The library is built without DBS_MUTATIONS: mutated() is false there and
 * none of this is in it.  tests/crash/ compiles the files that ask once more
 * with it, into a program that must find each of the mistakes.
 */
#ifndef DBS_STORE_MUTATE_H
#define DBS_STORE_MUTATE_H

#include <stdbool.h>
#include <stdint.h>

struct entry;
struct space_map;

enum mutation {
	MUTATE_NOTHING,
	MUTATE_COMMIT_UNFLUSHED,  /* no flush before the superblock */
	MUTATE_LOG_UNFLUSHED,	  /* a batch counts as durable once written */
	MUTATE_SUPERBLOCK_FIRST,  /* before what it names */
	MUTATE_REUSED_EARLY,	  /* freed blocks do not wait for the commit */
	MUTATE_SLOT_BY_STAMP,	  /* the space map's newer slot is taken */
	MUTATE_LOG_CSUM_IGNORED,  /* of a batch's log records */
	MUTATE_LOG_EPOCH_IGNORED, /* batches of an older opening count */
	MUTATE_OPEN_UNFLUSHED,	  /* and built on what may be in a cache */
	NR_MUTATIONS
};

#ifdef DBS_MUTATIONS

extern enum mutation mutation_chosen;

static inline bool mutated(enum mutation m)
{
	return mutation_chosen == m;
}

/** Make mistake @m from now on; false: this build makes none. */
static inline bool mutation_choose(enum mutation m)
{
	mutation_chosen = m;
	return true;
}

/** Entry @i of @level (0: a region) was loaded: is its other slot newer? */
void mutate_entry(const struct space_map *sm, uint32_t level, uint32_t i,
		  struct entry *e);
/** The run lost a reference that is not counted yet: free it now. */
void mutate_free_early(struct space_map *sm, uint64_t first, uint32_t nr);
/** Did mutate_free_early() free @blkno?  Asked once. */
bool mutate_was_freed(const struct space_map *sm, uint64_t blkno);

#else

static inline bool mutated(enum mutation m)
{
	(void)m;
	return false;
}

static inline bool mutation_choose(enum mutation m)
{
	(void)m;
	return false;
}

static inline void mutate_entry(const struct space_map *sm, uint32_t level,
				uint32_t i, struct entry *e)
{
	(void)sm;
	(void)level;
	(void)i;
	(void)e;
}

static inline void mutate_free_early(struct space_map *sm, uint64_t first,
				     uint32_t nr)
{
	(void)sm;
	(void)first;
	(void)nr;
}

static inline bool mutate_was_freed(const struct space_map *sm, uint64_t blkno)
{
	(void)sm;
	(void)blkno;
	return false;
}

#endif

#endif
