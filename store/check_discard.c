/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving up what the intent log has and cannot be replayed.
 *
 * A log that is damaged, or that does not fit what is there, keeps a pool
 * read-only: it would be older than what was acknowledged.  Whoever accepts
 * that gets as much of it as is whole: the log records up to the damage, which
 * is the state after some prefix of the operations, like any other.
 *
 * Not so where superblocks were lost.  What their commits included was never
 * written to the log any more, so that it lacks operations in its middle, and
 * a commit while it is replayed would hide that.  And what they freed was used
 * again.  Then the last superblock that is left is gone back to, as it is.
 *
 * Where a log record cannot be replayed is found out by trying it on an
 * overlay, which forgets what was written; so it is known, and told, before
 * anything is changed.  Then the same is done to the device.
 *
 * A crash leaves the old log, damaged as it was, and maybe more of it replayed
 * (Y2); or the commit that makes all of it old.  Only then is what cannot be
 * read in the ring written anew: an opening has to read where the log goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/check_internal.h"
#include "store/util.h"

/* Numbers of a log that somebody forged would leave no room for ours. */
#define NUMBER_MAX UINT64_C(0xffffffffff)

/* ---- what is kept ----------------------------------------------------------- */

static int keep_run(struct idmap *kept, const struct ilog_extent *e)
{
	uint64_t first = le40_get(e->item.blkno);
	uint32_t nr = e->run == ILOG_RUN_SHARED ? 0 : ilog_extent_nr(e);

	for (uint32_t i = 0; i < nr; i++)
		if (!idmap_add(kept, first + i, NULL))
			return -ENOMEM;
	return 0;
}

/* The runs of a batch's log records. */
static int keep_batch(struct idmap *kept, const uint8_t *p, const uint8_t *end)
{
	struct ilog_stored rec;
	struct ilog_part part;
	int rc = 0;

	while (rc == 0 && p < end) {
		const uint8_t *at;

		rc = ilog_stored_next(&p, end, &rec);
		for (at = rec.parts; rc == 0 && at < rec.end;) {
			rc = ilog_part_next(&at, rec.end, &part);
			if (rc == 0 && part.kind == ILOG_EXTENT)
				rc = keep_run(kept, part.at);
		}
	}
	return rc;
}

int check_log_keep(const struct check *c, struct idmap *kept)
{
	struct store_error why = {""};
	struct ilog_scan scan = {0};
	struct ilog_chain chain;
	int rc = ilog_chain_read(&chain, c->dev, &c->sb, &scan, &why);

	if (rc == -EIO && scan.cut)
		rc = 0;
	for (size_t i = 0; rc == 0 && i < chain.nr; i++) {
		const uint8_t *p;

		rc = ilog_chain_payload(&chain, i, &p);
		if (rc == 0)
			rc = keep_batch(kept, p, p + chain.batch[i].length);
		ilog_chain_drop(&chain, i);
	}
	ilog_chain_release(&chain);
	return rc;
}

/* ---- what is given up ------------------------------------------------------- */

bool check_discard_needed(const struct check *c)
{
	return c->options->discard_log &&
	       (c->log_unclear || c->result->nr_batches > 0);
}

int check_discard_init(struct check *c, struct check_discard *d,
		       struct superblock *sb)
{
	uint64_t seq = le64_get(sb->commit_seq);
	int rc = ilog_survey(c->dev, &c->sb, le64_get(c->sb.ilog_seq),
			     &d->survey);

	if (rc)
		return rc;
	if (d->survey.max_epoch > NUMBER_MAX ||
	    d->survey.max_txg > NUMBER_MAX / 4)
		return -EUCLEAN;
	/* the scan ends at the first damage */
	c->scan.newer |= d->survey.newer;
	if (!c->scan.newer)
		return 0;
	/* what lost commits wrote passes for none of ours */
	sb->h.txg = le64_of(MAX_OF(le64_get(sb->h.txg), d->survey.max_txg + 1));
	/* and none of theirs comes back as the newest */
	sb->commit_seq = le64_of(seq + SUPERBLOCK_RING);
	return 0;
}

void check_discard_drop(const struct check_discard *d, struct superblock *sb)
{
	uint64_t seq = le64_get(sb->ilog_seq);

	sb->ilog_epoch = le64_of(d->survey.max_epoch + 1);
	sb->ilog_seq = le64_of(seq > NUMBER_MAX ? 1 : seq);
	sb->ilog_pos = le64_of(0);
	sb->ilog_prev_csum = le64_of(0);
	sb->ilog_skip = le32_of(0);
	sb->flags = le32_of(0);
}

int check_discard_mend(const struct check *c)
{
	uint8_t *page = blkdev_buffer_new(BLOCK_SIZE);
	bool written = false;
	int rc = page ? 0 : -ENOMEM;

	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX; i++) {
		uint64_t first = le64_get(c->sb.ilog[i].first);
		uint64_t nr = le32_get(c->sb.ilog[i].nr);

		for (uint64_t b = first; b < first + nr && rc == 0; b++) {
			if (blkdev_read(c->dev, page, BLOCK_SIZE,
					b * BLOCK_SIZE) == 0)
				continue;
			memset(page, 0, BLOCK_SIZE);
			written = true;
			rc = blkdev_write(c->dev, page, BLOCK_SIZE,
					  b * BLOCK_SIZE);
		}
	}
	free(page);
	return rc || !written ? rc : blkdev_flush(c->dev);
}

/* Try to replay up to @end on what @on shows. */
static int try_until(struct blkdev *on, struct ilog_place *end,
		     struct store_error *error)
{
	struct blkdev *trial;
	int rc = blkdev_overlay_open(on, &trial);

	if (rc)
		return rc;
	rc = pool_replay_until(trial, end, error);
	blkdev_close(trial);
	return rc;
}

static bool same_place(const struct ilog_place *a, const struct ilog_place *b)
{
	return a->seq == b->seq && a->skip == b->skip;
}

/* How far is it replayed without an error? */
static int find_end(struct blkdev *on, struct ilog_place *end,
		    struct store_error *error)
{
	struct ilog_place before;
	int rc;

	do {
		before = *end;
		rc = try_until(on, end, error);
	} while (rc && rc != -ENOMEM && !same_place(&before, end));
	return rc;
}

/* Of the chain's log records, how many lie before @end? */
static uint64_t count_until(const struct ilog_chain *chain, uint32_t skip,
			    const struct ilog_place *end)
{
	uint64_t nr = 0;

	for (size_t i = 0; i < chain->nr; i++) {
		const struct ilog_found *b = &chain->batch[i];

		if (b->seq < end->seq)
			nr += b->nr_records;
		else if (b->seq == end->seq)
			nr += MIN_OF(b->nr_records, end->skip);
	}
	return nr - MIN_OF(nr, skip);
}

/* The part that is replayed, and the one that is given up. */
static int count_parts(struct check *c, struct check_discard *d,
		       struct check_log_plan *p)
{
	struct ilog_survey rest;
	struct ilog_chain chain;
	struct ilog_scan scan;
	int rc = ilog_chain_read(&chain, c->dev, &c->sb, &scan, NULL);

	if (rc == -EIO && scan.cut)
		rc = 0;
	if (rc == 0 && !c->scan.newer)
		p->nr_replayed =
			count_until(&chain, le32_get(c->sb.ilog_skip), &d->end);
	/* all of it is replayed, and nothing is behind it */
	d->whole = d->end.seq >= chain.seq && !c->log_unclear;
	if (d->end.seq > chain.seq)
		d->end = (struct ilog_place){.seq = chain.seq};
	ilog_chain_release(&chain);
	if (rc == 0)
		rc = ilog_survey(c->dev, &c->sb, c->scan.newer ? 0 : d->end.seq,
				 &rest);
	if (rc)
		return rc;
	p->nr_batches = rest.nr_batches;
	p->nr_records = rest.nr_records - MIN_OF(rest.nr_records, d->end.skip);
	p->lost_txg = c->scan.newer ? d->survey.max_txg : 0;
	return 0;
}

int check_discard_plan(struct check *c, struct blkdev *on,
		       struct check_discard *d, struct check_log_plan *p,
		       struct store_error *error)
{
	int rc;

	*p = (struct check_log_plan){
		.txg = c->txg,
		.time = (int64_t)le64_get(c->sb.committed_sec),
	};
	d->end = (struct ilog_place){.seq = UINT64_MAX};
	rc = find_end(on, &d->end, error);
	if (c->scan.newer)
		d->end = (struct ilog_place){.seq = 0};
	if (rc == 0)
		rc = count_parts(c, d, p);
	p->discard = rc == 0 && !d->whole;
	d->drop = p->discard && p->nr_replayed == 0;
	return rc;
}
