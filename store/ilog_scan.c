/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the batches of the intent log that the superblock does not include.
 *
 * They form a chain: each has the superblock's epoch, the next number and the
 * checksum of the one before, and lies right behind it, or at the ring's start
 * where it did not fit.  The chain ends where there is none.  What lies behind
 * is read too: what goes on behind a gap was flushed once, so the gap is
 * damage, and not the log's end.
 *
 * Only the last batch may lie there without the data that it names: each is
 * written after the one before it was flushed (L2).
 *
 * A block that cannot be read is an error, in the chain or behind it: what
 * shows that the chain's end is damage may be in it.  Only who gives up what
 * may be there goes on with what was found before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/csum.h"
#include "store/ilog_replay_internal.h"
#include "store/mutate.h"
#include "store/record.h"
#include "store/util.h"

#define WINDOW_BLOCKS 1024u
/* read behind the chain's end: 64 MiB, many times a batch */
#define AHEAD_BLOCKS 16384u
/* pool creation makes no longer ring */
#define RING_BLOCKS_MAX 65536u
/* log records kept in memory until they are replayed */
#define KEPT_BYTES_MAX (UINT64_C(64) << 20)
#define DATA_BLOCKS    256u /* read at once */

static int damaged(struct ilog_scan *scan, struct store_error *error,
		   const char *why, uint64_t seq)
{
	if (!scan->damaged)
		store_error_set(error,
				"the intent log is damaged: %s (batch %llu)",
				why, (unsigned long long)seq);
	scan->damaged = true;
	return -EUCLEAN;
}

/* A superblock that was written after @sb's is gone: never silently older. */
static void newer(struct ilog_scan *scan, struct store_error *error)
{
	if (!scan->newer)
		store_error_set(error,
				"the newest superblock is lost: the intent log "
				"is from after the one that is left");
	scan->newer = true;
}

/* ---- the ring ------------------------------------------------------------- */

static int ring_read(struct ilog_chain *c, uint64_t pos, uint8_t *buf,
		     uint32_t nr)
{
	const struct block_run *s = c->sb->ilog;
	int rc = 0;

	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX && nr > 0 && rc == 0; i++) {
		uint64_t len = le32_get(s[i].nr), n;

		if (pos >= len) {
			pos -= len;
			continue;
		}
		n = MIN_OF(len - pos, (uint64_t)nr);
		rc = blkdev_read(c->dev, buf, n * BLOCK_SIZE,
				 (le64_get(s[i].first) + pos) * BLOCK_SIZE);
		buf += n * BLOCK_SIZE;
		nr -= (uint32_t)n;
		pos = 0;
	}
	return rc;
}

/* The block at @pos, valid until the next call. */
static int ring_block(struct ilog_chain *c, uint64_t pos, const uint8_t **block)
{
	if (pos < c->window_pos || pos >= c->window_pos + c->window_nr) {
		uint64_t first = round_down(pos, WINDOW_BLOCKS);
		uint32_t nr = (uint32_t)MIN_OF(c->nr_ring - first,
					       (uint64_t)WINDOW_BLOCKS);
		int rc = -EIO;

		c->window_nr = 0;
		if (c->bad_window != first)
			rc = ring_read(c, first, c->window, nr);
		if (rc) {
			/* one of its blocks, or not this one */
			c->bad_window = first;
			first = pos;
			nr = 1;
			rc = ring_read(c, first, c->window, nr);
		}
		if (rc)
			return rc;
		c->window_pos = first;
		c->window_nr = nr;
	}
	*block = c->window + (pos - c->window_pos) * BLOCK_SIZE;
	return 0;
}

/* Copy @len bytes from offset @from of the blocks at @pos on. */
static int ring_copy(struct ilog_chain *c, uint64_t pos, size_t from,
		     uint8_t *out, uint64_t len)
{
	while (len > 0) {
		const uint8_t *block;
		size_t n = MIN_OF(BLOCK_SIZE - from, len);
		int rc = ring_block(c, pos, &block);

		if (rc)
			return rc;
		memcpy(out, block + from, n);
		out += n;
		len -= n;
		from = 0;
		pos++;
	}
	return 0;
}

/* ---- one batch ------------------------------------------------------------ */

/* Does a batch of this pool, of whatever epoch, start in this block? */
static bool is_header(const struct ilog_chain *c, const uint8_t *block,
		      uint64_t pos)
{
	const struct ilog_batch *h = (const struct ilog_batch *)block;
	struct le64 in[3] = {h->epoch, h->seq, le64_of(pos)};

	return le32_get(h->h.type) == META_ILOG_BATCH &&
	       memcmp(h->h.pool_id.b, c->sb->uuid, sizeof(h->h.pool_id)) == 0 &&
	       memcmp(h->uuid, c->sb->uuid, sizeof(h->uuid)) == 0 &&
	       le64_get(h->h.blkno) == pos &&
	       le64_get(h->stamp) ==
		       csum_of(in, sizeof(in), le64_get(c->sb->hash_seed)) &&
	       le64_get(h->h.csum) == csum_of(block + sizeof(h->h.csum),
					      BLOCK_SIZE - sizeof(h->h.csum),
					      META_ILOG_BATCH);
}

/* Do the fields say what a batch at its place can say? */
static bool header_is_sound(const struct ilog_chain *c,
			    const struct ilog_batch *h)
{
	uint64_t length = le64_get(h->length), pos = le64_get(h->h.blkno);
	uint32_t nr = le32_get(h->nr_blocks);

	return nr > 0 && nr <= c->nr_ring - pos && length > 0 &&
	       length <= (uint64_t)nr * BLOCK_SIZE - sizeof(*h) &&
	       nr == div_round_up(sizeof(*h) + length, BLOCK_SIZE) &&
	       le32_get(h->nr_records) > 0 &&
	       le64_get(h->h.txg) <= ILOG_TXG_MAX &&
	       nr <= c->nr_ring - c->nr_blocks;
}

static int batch_add(struct ilog_chain *c, const struct ilog_batch *h,
		     uint8_t *payload)
{
	if (c->nr == c->cap) {
		size_t cap = MAX_OF(2 * c->cap, (size_t)64);
		struct ilog_found *p = reallocarray(c->batch, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		c->batch = p;
		c->cap = cap;
	}
	c->batch[c->nr++] = (struct ilog_found){
		.seq = le64_get(h->seq),
		.pos = le64_get(h->h.blkno),
		.prev_csum = le64_get(h->prev_csum),
		.csum = le64_get(h->h.csum),
		.flushed_seq = le64_get(h->flushed_seq),
		.length = le64_get(h->length),
		.payload_csum = le64_get(h->payload_csum),
		.nr_blocks = le32_get(h->nr_blocks),
		.nr_records = le32_get(h->nr_records),
		.payload = payload,
	};
	c->nr_blocks += le32_get(h->nr_blocks);
	c->kept += le64_get(h->length);
	c->seq = le64_get(h->seq) + 1;
	c->pos = le64_get(h->h.blkno) + le32_get(h->nr_blocks);
	c->prev_csum = le64_get(h->h.csum);
	return 0;
}

/* Are the log records of @payload sound, and as many as the header says? */
static bool records_are_sound(const uint8_t *payload, uint64_t length,
			      uint32_t nr_records)
{
	const uint8_t *p = payload, *end = payload + length;
	struct ilog_stored r;
	uint32_t nr = 0;

	while (p < end) {
		if (ilog_stored_next(&p, end, &r) || ilog_stored_verify(&r))
			return false;
		nr++;
	}
	return nr == nr_records;
}

enum look { LOOK_NONE, LOOK_BATCH, LOOK_TORN };

/* The next batch of the chain at @pos?  -EUCLEAN: one that cannot be it. */
static int look_at(struct ilog_chain *c, uint64_t pos, enum look *look,
		   struct ilog_scan *scan, struct store_error *error)
{
	const uint8_t *block;
	struct ilog_batch h;
	uint8_t *payload;
	uint64_t length;
	int rc = ring_block(c, pos, &block);

	*look = LOOK_NONE;
	if (rc || !is_header(c, block, pos))
		return rc;
	memcpy(&h, block, sizeof(h));
	if ((le64_get(h.epoch) != le64_get(c->sb->ilog_epoch) &&
	     !mutated(MUTATE_LOG_EPOCH_IGNORED)) ||
	    le64_get(h.seq) != c->seq)
		return 0;
	if (le64_get(h.prev_csum) != c->prev_csum || !header_is_sound(c, &h))
		return damaged(scan, error,
			       "a batch does not follow the one "
			       "before it",
			       c->seq);
	if (le64_get(h.committed_txg) > le64_get(c->sb->h.txg))
		newer(scan, error);
	length = le64_get(h.length);
	payload = malloc(length);
	if (!payload)
		return -ENOMEM;
	rc = ring_copy(c, pos, sizeof(h), payload, length);
	if (rc == 0 &&
	    csum_of(payload, length, META_ILOG_BATCH) !=
		    le64_get(h.payload_csum) &&
	    !mutated(MUTATE_LOG_CSUM_IGNORED)) {
		*look = LOOK_TORN;
	} else if (rc == 0) {
		*look = LOOK_BATCH;
		if (!records_are_sound(payload, length, le32_get(h.nr_records)))
			rc = damaged(scan, error, "a log record is malformed",
				     c->seq);
		if (rc == 0)
			rc = batch_add(c, &h, payload);
		if (rc == 0) {
			if (c->kept > KEPT_BYTES_MAX)
				ilog_chain_drop(c, c->nr - 1);
			return 0;
		}
	}
	free(payload);
	return rc;
}

/* Follow the chain to its end; @torn: where half a batch lies, or nr_ring. */
static int follow(struct ilog_chain *c, uint64_t *torn, struct ilog_scan *scan,
		  struct store_error *error)
{
	enum look look;
	int rc;

	*torn = c->nr_ring;
	for (;;) {
		uint64_t pos = c->pos % c->nr_ring;

		rc = look_at(c, pos, &look, scan, error);
		/* the ring's end is skipped where a batch does not fit */
		if (rc == 0 && look == LOOK_NONE && pos != 0) {
			pos = 0;
			rc = look_at(c, pos, &look, scan, error);
		}
		if (rc)
			return rc;
		if (look == LOOK_TORN)
			*torn = pos;
		if (look != LOOK_BATCH)
			return 0;
	}
}

/* ---- the rest of the ring ------------------------------------------------- */

/* A batch outside of the chain must be an old one, or the torn last one. */
static void judge(struct ilog_chain *c, const struct ilog_batch *h, bool torn,
		  uint64_t *flushed, struct ilog_scan *scan,
		  struct store_error *error)
{
	uint64_t epoch = le64_get(h->epoch), seq = le64_get(h->seq);
	uint64_t ours = le64_get(c->sb->ilog_epoch);

	if (epoch > ours || le64_get(h->committed_txg) > le64_get(c->sb->h.txg))
		newer(scan, error);
	else if (epoch < ours || seq < c->seq)
		return;
	else if (seq == c->seq && torn)
		/* L2: it was written after the one before it was flushed */
		*flushed = seq - 1;
	else
		damaged(scan, error, "it goes on behind a gap", c->seq);
}

/*
 * What lies behind the chain, up to where it starts.  Batches follow each other
 * without a gap, so whatever was written after the chain's end begins there:
 * far less than AHEAD_BLOCKS would show it.
 * @flushed: out, the last batch that a torn one says was flushed, or 0
 */
static int scan_rest(struct ilog_chain *c, uint64_t torn, uint64_t *flushed,
		     struct ilog_scan *scan, struct store_error *error)
{
	uint64_t nr = MIN_OF(c->nr_ring, (uint64_t)AHEAD_BLOCKS);
	uint64_t pos = c->pos % c->nr_ring;

	*flushed = 0;
	for (; nr > 0 && !(c->nr && pos == c->batch[0].pos); nr--) {
		const uint8_t *block;
		int rc = ring_block(c, pos, &block);

		if (rc)
			return rc;
		if (is_header(c, block, pos))
			judge(c, (const struct ilog_batch *)block, pos == torn,
			      flushed, scan, error);
		pos = pos + 1 == c->nr_ring ? 0 : pos + 1;
	}
	return 0;
}

/* ---- the last batch's data (Y3) ------------------------------------------- */

struct data_run {
	uint64_t blkno, csum;
	uint32_t nr;
};

struct data_list {
	struct data_run *run;
	size_t nr, cap;
};

static int data_add(struct data_list *l, const struct extent_item *item)
{
	if (l->nr == l->cap) {
		size_t cap = MAX_OF(2 * l->cap, (size_t)256);
		struct data_run *p = reallocarray(l->run, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		l->run = p;
		l->cap = cap;
	}
	l->run[l->nr++] = (struct data_run){
		.blkno = le40_get(item->blkno),
		.csum = le64_get(item->csum),
		.nr = (item->meta & 31u) + 1,
	};
	return 0;
}

/* The runs with data of log records @skip and up. */
static int data_collect(const uint8_t *payload, uint64_t length, uint32_t skip,
			struct data_list *l)
{
	const uint8_t *p = payload, *end = payload + length;
	struct ilog_stored r;
	struct ilog_part part;
	int rc = 0;

	while (rc == 0 && p < end && !ilog_stored_next(&p, end, &r)) {
		const uint8_t *q = r.parts;

		if (skip > 0) {
			skip--;
			continue;
		}
		while (rc == 0 && q < r.end &&
		       !ilog_part_next(&q, r.end, &part)) {
			const struct ilog_extent *x = part.at;

			if (part.kind == ILOG_EXTENT && x->run == ILOG_RUN_NEW)
				rc = data_add(l, &x->item);
		}
	}
	return rc;
}

static int compare_runs(const void *a, const void *b)
{
	const struct data_run *x = a, *y = b;

	return x->blkno < y->blkno ? -1 : x->blkno > y->blkno;
}

/* Read runs that lie next to each other with one call; @there: all are. */
static int data_check(struct ilog_chain *c, const struct data_list *l,
		      bool *there)
{
	uint64_t nr_blocks = le64_get(c->sb->nr_blocks);
	uint8_t *buf = blkdev_buffer_new(DATA_BLOCKS * BLOCK_SIZE);
	int rc = buf ? 0 : -ENOMEM;
	size_t i = 0, j;

	*there = true;
	while (rc == 0 && *there && i < l->nr) {
		uint64_t first = l->run[i].blkno, end = first;

		if (first >= nr_blocks || l->run[i].nr > nr_blocks - first)
			break; /* taking it will fail */
		for (j = i; j < l->nr && l->run[j].blkno == end &&
			    end + l->run[j].nr - first <= DATA_BLOCKS &&
			    end + l->run[j].nr <= nr_blocks;
		     j++)
			end += l->run[j].nr;
		/* what cannot be read will say so when somebody reads it */
		if (blkdev_read(c->dev, buf, (end - first) * BLOCK_SIZE,
				first * BLOCK_SIZE) == 0)
			for (; i < j && *there; i++)
				*there = csum_of(buf + (l->run[i].blkno -
							first) * BLOCK_SIZE,
						 (size_t)l->run[i].nr *
							 BLOCK_SIZE,
						 META_RECORD) == l->run[i].csum;
		i = j;
	}
	free(buf);
	return rc;
}

/* Drop the last batch if its data did not get to the disk. */
static int verify_last(struct ilog_chain *c, struct ilog_scan *scan,
		       struct store_error *error)
{
	uint32_t skip = c->nr == 1 ? le32_get(c->sb->ilog_skip) : 0;
	struct ilog_found *b = &c->batch[c->nr - 1];
	struct data_list l = {0};
	const uint8_t *payload;
	bool there = true;
	int rc = ilog_chain_payload(c, c->nr - 1, &payload);

	if (rc == 0)
		rc = data_collect(payload, b->length, skip, &l);
	if (rc == 0 && l.nr) {
		qsort(l.run, l.nr, sizeof(*l.run), compare_runs);
		rc = data_check(c, &l, &there);
	}
	free(l.run);
	if (rc || there)
		return rc;
	/* Y1: what is in the superblock in part was there once */
	if (skip > 0)
		damaged(scan, error, "data of a batch is gone", b->seq);
	ilog_chain_drop(c, c->nr - 1);
	c->cut = true;
	c->nr--;
	c->nr_blocks -= b->nr_blocks;
	c->seq = b->seq;
	c->pos = b->pos;
	c->prev_csum = b->prev_csum;
	return 0;
}

/* ---- all of it ------------------------------------------------------------ */

static int chain_init(struct ilog_chain *c, struct blkdev *dev,
		      const struct superblock *sb, struct ilog_scan *scan,
		      struct store_error *error)
{
	memset(c, 0, sizeof(*c));
	memset(scan, 0, sizeof(*scan));
	c->dev = dev;
	c->sb = sb;
	c->bad_window = UINT64_MAX;
	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX; i++)
		c->nr_ring += le32_get(sb->ilog[i].nr);
	c->seq = le64_get(sb->ilog_seq);
	c->pos = le64_get(sb->ilog_pos);
	c->prev_csum = le64_get(sb->ilog_prev_csum);
	scan->last_seq = c->seq - 1;
	if (c->nr_ring == 0)
		return 0;
	if (c->nr_ring > RING_BLOCKS_MAX || c->pos > c->nr_ring ||
	    c->seq > UINT64_MAX / 2)
		return damaged(scan, error,
			       "the superblock names no place in "
			       "it",
			       c->seq);
	c->window = blkdev_buffer_new(WINDOW_BLOCKS * BLOCK_SIZE);
	return c->window ? 0 : -ENOMEM;
}

static void summarize(const struct ilog_chain *c, struct ilog_scan *scan)
{
	uint64_t skip = le32_get(c->sb->ilog_skip);

	scan->nr_batches = c->nr;
	scan->nr_bytes = c->nr_blocks * BLOCK_SIZE;
	scan->last_seq = c->seq - 1;
	for (size_t i = 0; i < c->nr; i++)
		scan->nr_records += c->batch[i].nr_records;
	scan->nr_records -= MIN_OF(scan->nr_records, skip);
}

int ilog_chain_read(struct ilog_chain *c, struct blkdev *dev,
		    const struct superblock *sb, struct ilog_scan *scan,
		    struct store_error *error)
{
	uint32_t skip = le32_get(sb->ilog_skip);
	uint64_t torn, flushed;
	int rc = chain_init(c, dev, sb, scan, error);

	if (rc || c->nr_ring == 0)
		return scan->damaged ? 0 : rc;
	rc = follow(c, &torn, scan, error);
	if (rc == 0)
		rc = scan_rest(c, torn, &flushed, scan, error);
	if (rc == -EIO) {
		/* the last one that is left may be the last one */
		scan->cut = true;
		if (c->nr > 0 && verify_last(c, scan, error) == -ENOMEM)
			rc = -ENOMEM;
	}
	if (skip > 0 && (c->nr == 0 || skip > c->batch[0].nr_records)) {
		if (rc == 0)
			rc = damaged(scan, error,
				     "a batch that is replayed in part is gone",
				     le64_get(sb->ilog_seq));
		/* what is left does not follow */
		while (c->nr > 0)
			ilog_chain_drop(c, --c->nr);
	}
	if (rc == 0 && c->nr > 0 && flushed != c->seq - 1 && !scan->damaged)
		rc = verify_last(c, scan, error);
	summarize(c, scan);
	if (rc == -EUCLEAN && scan->damaged)
		return 0;
	if (rc)
		store_error_set(error, "the intent log cannot be read: %s",
				strerror(-rc));
	return rc;
}

int ilog_chain_payload(struct ilog_chain *c, size_t i, const uint8_t **payload)
{
	struct ilog_found *b = &c->batch[i];
	int rc = 0;

	if (!b->payload) {
		uint8_t *p = malloc(b->length);

		rc = p ? ring_copy(c, b->pos, sizeof(struct ilog_batch), p,
				   b->length)
		       : -ENOMEM;
		/* it was verified, but other bytes may come this time */
		if (rc == 0 &&
		    ((csum_of(p, b->length, META_ILOG_BATCH) !=
			      b->payload_csum &&
		      !mutated(MUTATE_LOG_CSUM_IGNORED)) ||
		     !records_are_sound(p, b->length, b->nr_records)))
			rc = -EUCLEAN;
		if (rc) {
			free(p);
			return rc;
		}
		b->payload = p;
		c->kept += b->length;
	}
	*payload = b->payload;
	return 0;
}

void ilog_chain_drop(struct ilog_chain *c, size_t i)
{
	struct ilog_found *b = &c->batch[i];

	if (b->payload)
		c->kept -= b->length;
	free(b->payload);
	b->payload = NULL;
}

void ilog_chain_release(struct ilog_chain *c)
{
	for (size_t i = 0; i < c->nr; i++)
		ilog_chain_drop(c, i);
	free(c->batch);
	free(c->window);
}

int ilog_scan_device(struct blkdev *dev, const struct superblock *sb,
		     struct ilog_scan *scan, struct store_error *error)
{
	struct ilog_chain c;
	int rc = ilog_chain_read(&c, dev, sb, scan, error);

	ilog_chain_release(&c);
	return rc;
}

/* Is @h of a batch that sb, as of batch @seq, knows nothing of? */
static bool is_later(const struct superblock *sb, const struct ilog_batch *h,
		     uint64_t seq)
{
	uint64_t epoch = le64_get(h->epoch), ours = le64_get(sb->ilog_epoch);

	return epoch > ours || (epoch == ours && le64_get(h->seq) >= seq);
}

int ilog_survey(struct blkdev *dev, const struct superblock *sb, uint64_t seq,
		struct ilog_survey *out)
{
	struct ilog_scan scan;
	struct ilog_chain c;
	int rc = chain_init(&c, dev, sb, &scan, NULL);

	*out = (struct ilog_survey){
		.max_epoch = le64_get(sb->ilog_epoch),
		.max_txg = le64_get(sb->h.txg),
	};
	/* a superblock that names no place in a ring of that length */
	if (rc == -EUCLEAN && c.nr_ring <= RING_BLOCKS_MAX) {
		c.window = blkdev_buffer_new(WINDOW_BLOCKS * BLOCK_SIZE);
		rc = c.window ? 0 : -ENOMEM;
	}
	for (uint64_t pos = 0; rc == 0 && pos < c.nr_ring; pos++) {
		const struct ilog_batch *h;
		const uint8_t *block;
		uint64_t committed;

		if (ring_block(&c, pos, &block) || !is_header(&c, block, pos))
			continue;
		h = (const struct ilog_batch *)block;
		out->max_epoch = MAX_OF(out->max_epoch, le64_get(h->epoch));
		committed = le64_get(h->committed_txg);
		out->newer |= le64_get(h->epoch) > le64_get(sb->ilog_epoch) ||
			      committed > le64_get(sb->h.txg);
		out->max_txg = MAX_OF(out->max_txg, committed);
		out->max_txg = MAX_OF(out->max_txg, le64_get(h->h.txg));
		if (!is_later(sb, h, seq))
			continue;
		out->nr_batches++;
		out->nr_records += le32_get(h->nr_records);
	}
	ilog_chain_release(&c);
	return rc;
}
