/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The superblock: a valid one with some bytes changed, in one or two slots of
 * a pool, checksum right.  It is read, and the pool behind it is opened.
 *
 * An input is groups of 4 bytes: where (2 bytes; beyond the block: in the
 * other copy of the ring, or a field by its number), what (1), how (1).
 */
#include <string.h>

#include "store/pool_internal.h"
#include "store/util.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/check.h"

struct field {
	uint16_t at, len;
};
#define FIELD(name)                                                            \
	{                                                                      \
		offsetof(struct superblock, name),                             \
			sizeof(((struct superblock *)0)->name)                 \
	}

static const struct field fields[] = {
	FIELD(h.pool_id),
	FIELD(h.txg),
	FIELD(version),
	FIELD(block_size),
	FIELD(compat),
	FIELD(ro_compat),
	FIELD(incompat),
	FIELD(commit_seq),
	FIELD(nr_blocks),
	FIELD(nr_free),
	FIELD(high_water),
	FIELD(created_sec),
	FIELD(committed_sec),
	FIELD(hash_seed),
	FIELD(next_dataset),
	FIELD(flags),
	FIELD(root_tree.level),
	FIELD(root_tree.node.blkno),
	FIELD(root_tree.node.txg),
	FIELD(space_tree.level),
	FIELD(space_tree.node.blkno),
	FIELD(space_tree.node.txg),
	FIELD(ilog_epoch),
	FIELD(ilog_seq),
	FIELD(ilog_pos),
	FIELD(ilog_prev_csum),
	FIELD(delta_log.first),
	FIELD(delta_log.nr),
	FIELD(delta_log_seq),
	FIELD(ilog_skip),
	FIELD(ilog[0].first),
	FIELD(ilog[0].nr),
	FIELD(ilog[1].first),
	FIELD(ilog[1].nr),
	FIELD(space[0].csum),
	FIELD(space[0].txg),
	FIELD(space[0].nr_free),
	FIELD(space[0].slot),
	FIELD(space[0].flags),
};

static const struct fuzz_base *base;

void fuzz_setup(void)
{
	base = fuzz_base();
}

static void change(struct superblock *sb, struct fuzz_input *in)
{
	size_t at = fuzz_take(in, 2);
	uint8_t what = (uint8_t)fuzz_take(in, 1);
	uint8_t how = (uint8_t)fuzz_take(in, 1);
	uint8_t *p = (uint8_t *)sb;

	if (at < BLOCK_SIZE) {
		for (unsigned i = 0; i < 1u + (how & 7) && at + i < BLOCK_SIZE;
		     i++)
			p[at + i] =
				how & 8 ? (uint8_t)(p[at + i] + what) : what;
	} else {
		const struct field *f = &fields[at % ARRAY_SIZE(fields)];
		uint64_t old = le_load(p + f->at, f->len);

		le_store(p + f->at, f->len,
			 how & 1 ? fuzz_odd(what)
				 : old + (uint64_t)(int64_t)(int8_t)what);
	}
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	struct blkdev *dev = fuzz_device(base->bytes, base->size);
	uint64_t how = fuzz_take(&in, 1), other = base->super;
	struct superblock *sb, found;
	struct store_error error = {""};
	struct pool *pool;

	sb = (void *)fuzz_device_block(base->super);
	while (in.left > 0)
		change(sb, &in);
	/* its own slot, or wherever it claims to be */
	if (how & 1)
		other = le64_get(sb->commit_seq) % SUPERBLOCK_RING;
	sb->h.blkno = le64_of(other);
	fuzz_seal(sb, META_SUPERBLOCK);
	memcpy(fuzz_device_block(other), sb, BLOCK_SIZE);
	if (how & 2) {
		other += SUPERBLOCK_COPY_BLKNO;
		sb->h.blkno = le64_of(other);
		fuzz_seal(sb, META_SUPERBLOCK);
		memcpy(fuzz_device_block(other), sb, BLOCK_SIZE);
	} else {
		/* the valid copy would win otherwise */
		memset(fuzz_device_block(other + SUPERBLOCK_COPY_BLKNO), 0,
		       BLOCK_SIZE);
	}
	if (superblock_read(dev, &found, how & 4, &error))
		return;
	pool = fuzz_open(dev, how & 4);
	if (!pool)
		return;
	if (how & 8)
		pool_close(pool);
	else
		pool_abandon(pool);
}
