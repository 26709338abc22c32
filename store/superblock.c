/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The superblock ring: two copies of sixteen slots.  Commit n goes to slot
 * n % 16 of both; the valid one with the highest commit number wins.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/csum.h"
#include "store/pool_internal.h"
#include "store/util.h"

#define KNOWN_INCOMPAT	UINT64_C(0)
#define KNOWN_RO_COMPAT UINT64_C(0)

/* Numbers that only rise, far beyond what a pool lives to see, and far from
 * where they would wrap; pointers have 40 bits for a txg. */
#define TXG_MAX	       (LE40_MAX / 2)
#define COMMIT_SEQ_MAX (UINT64_MAX / 2)

static uint64_t slot_blkno(unsigned copy, uint64_t seq)
{
	return (copy ? SUPERBLOCK_COPY_BLKNO : 0) + seq % SUPERBLOCK_RING;
}

/* Whole and untouched?  Says nothing yet of what the fields mean. */
static bool intact(const struct superblock *sb, uint64_t blkno)
{
	return memcmp(sb->magic, SUPERBLOCK_MAGIC, sizeof(sb->magic)) == 0 &&
	       le32_get(sb->h.type) == META_SUPERBLOCK &&
	       le64_get(sb->h.blkno) == blkno &&
	       le64_get(sb->h.csum) == csum_of((const uint8_t *)sb + 8,
					       BLOCK_SIZE - 8, META_SUPERBLOCK);
}

int superblock_verify(const struct superblock *sb, uint64_t dev_size,
		      struct store_error *error)
{
	uint64_t nr = le64_get(sb->nr_blocks);
	uint64_t regions = div_round_up(nr, REGION_BLOCKS);

	if (nr > dev_size / BLOCK_SIZE) {
		store_error_set(error,
				"the pool is truncated: it says %llu bytes, "
				"the device has %llu",
				(unsigned long long)nr * BLOCK_SIZE,
				(unsigned long long)dev_size);
		return -EUCLEAN;
	}
	if (nr < POOL_SIZE_MIN / BLOCK_SIZE / 2 ||
	    regions > (uint64_t)SPACE_INDEX2_MAX * SPACE_INDEX_FANOUT *
			      SPACE_INDEX_FANOUT ||
	    nr - (regions - 1) * REGION_BLOCKS <=
		    region_reserved(regions - 1) ||
	    le64_get(sb->high_water) > nr || le64_get(sb->nr_free) > nr ||
	    sb->name[POOL_NAME_MAX] != 0 || le32_get(sb->next_dataset) == 0 ||
	    le32_get(sb->next_dataset) > DATASET_ID_END ||
	    le64_get(sb->h.txg) > TXG_MAX ||
	    le64_get(sb->commit_seq) > COMMIT_SEQ_MAX ||
	    sb->root_tree.level >= NODE_LEVEL_MAX ||
	    sb->space_tree.level >= NODE_LEVEL_MAX)
		goto damaged;
	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX; i++) {
		uint64_t first = le64_get(sb->ilog[i].first);
		uint32_t len = le32_get(sb->ilog[i].nr);

		if (first > nr || len > nr - first)
			goto damaged;
	}
	return 0;
damaged:
	store_error_set(
		error,
		"the pool is damaged: its superblock contradicts itself");
	return -EUCLEAN;
}

/* Can this version of dbs work with what @sb asks for? */
static int supported(const struct superblock *sb, bool read_only,
		     struct store_error *error)
{
	uint64_t incompat = le64_get(sb->incompat) & ~KNOWN_INCOMPAT;
	uint64_t ro = le64_get(sb->ro_compat) & ~KNOWN_RO_COMPAT;

	if (le32_get(sb->version) != SUPERBLOCK_VERSION ||
	    le32_get(sb->block_size) != BLOCK_SIZE) {
		store_error_set(
			error,
			"the pool has format version %u and %u-byte blocks, "
			"this dbs knows version %u and %u: use a newer dbs",
			le32_get(sb->version), le32_get(sb->block_size),
			SUPERBLOCK_VERSION, BLOCK_SIZE);
		return -ENOTSUP;
	}
	if (incompat) {
		store_error_set(error,
				"the pool uses features that this dbs does not "
				"know (incompat 0x%llx): use a newer dbs",
				(unsigned long long)incompat);
		return -ENOTSUP;
	}
	if (ro && !read_only) {
		store_error_set(error,
				"the pool uses features that this dbs can only "
				"read (ro_compat 0x%llx): open it read-only or "
				"use a newer dbs",
				(unsigned long long)ro);
		return -ENOTSUP;
	}
	return 0;
}

int superblock_read(struct blkdev *dev, struct superblock *out, bool read_only,
		    struct store_error *error)
{
	struct superblock *sb = blkdev_buffer_new(BLOCK_SIZE);
	bool found = false, magic = false, unreadable[SUPERBLOCK_RING] = {0};
	int rc, lost = 0;

	if (!sb)
		return -ENOMEM;
	for (unsigned copy = 0; copy < 2; copy++)
		for (uint64_t i = 0; i < SUPERBLOCK_RING; i++) {
			uint64_t blkno = slot_blkno(copy, i);

			if ((blkno + 1) * BLOCK_SIZE > dev->size)
				break;
			rc = blkdev_read(dev, sb, BLOCK_SIZE,
					 blkno * BLOCK_SIZE);
			if (rc) {
				/* in both copies: it may be the newest */
				if (unreadable[i])
					lost = rc;
				unreadable[i] = true;
				continue;
			}
			magic |= memcmp(sb->magic, SUPERBLOCK_MAGIC,
					sizeof(sb->magic)) == 0;
			if (!intact(sb, blkno))
				continue;
			if (!found || le64_get(sb->commit_seq) >
					      le64_get(out->commit_seq))
				*out = *sb;
			found = true;
		}
	free(sb);
	if (lost && !(found && read_only)) {
		store_error_set(error,
				found ? "the newest superblock may be one that "
					"cannot be read: open the pool "
					"read-only to see what an older one has"
				      : "its superblocks cannot be read");
		return lost;
	}
	if (!found) {
		store_error_set(error, magic ? "the pool is damaged: none of "
					       "its superblocks is valid"
					     : "there is no pool on it");
		return magic ? -EUCLEAN : -EINVAL;
	}
	rc = supported(out, read_only, error);
	return rc ? rc : superblock_verify(out, dev->size, error);
}

int superblock_write(struct blkdev *dev, struct superblock *sb)
{
	uint64_t seq = le64_get(sb->commit_seq);
	int rc = 0;

	memcpy(sb->magic, SUPERBLOCK_MAGIC, sizeof(sb->magic));
	sb->h.type = le32_of(META_SUPERBLOCK);
	memcpy(sb->h.pool_id.b, sb->uuid, sizeof(sb->h.pool_id.b));
	for (unsigned copy = 0; copy < 2 && rc == 0; copy++) {
		uint64_t blkno = slot_blkno(copy, seq);

		sb->h.blkno = le64_of(blkno);
		sb->h.csum = le64_of(csum_of((uint8_t *)sb + 8, BLOCK_SIZE - 8,
					     META_SUPERBLOCK));
		rc = blkdev_write(dev, sb, BLOCK_SIZE, blkno * BLOCK_SIZE);
	}
	return rc;
}
