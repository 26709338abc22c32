/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The intent log while the pool is open: gathering, group commit, the ring.
 *
 *	op_ready()      a log record gets its number and its place
 *	op_leave()      it is complete
 *	ilog_sync()     who finds nobody at it writes a batch for all that wait
 *	txg's commit    drops what the superblock includes, frees the ring
 *
 * A waiter makes a commit instead where the log cannot help: before the first
 * superblock of this opening is on disk (its epoch is what batches carry),
 * when the ring is full, and when a log record was lost for want of memory.
 */
#include "store/ilog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/csum.h"
#include "store/ilog_internal.h"
#include "store/mutate.h"
#include "store/pool_internal.h"

/*
 * What a txg may gather before it asks for its commit, and before ops wait
 * for that.  Bytes are also bounded by the ring, which holds three txgs.
 */
#define OPEN_BYTES_MAX	 (UINT64_C(16) << 20)
#define OPEN_RECORDS_MAX 40000u

/* ---- life ----------------------------------------------------------------- */

int ilog_new(struct pool *pool)
{
	const struct superblock *sb = pool->sb;
	struct ilog *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX; i++) {
		l->segment[i] = sb->ilog[i];
		l->nr_ring += le32_get(sb->ilog[i].nr);
	}
	l->epoch = le64_get(sb->ilog_epoch) + 1;
	os_mutex_init(&l->lock);
	os_cond_init(&l->done);
	list_init(&l->gathered);
	l->next_lsn = 1;
	l->next.seq = le64_get(sb->ilog_seq);
	l->next.pos = le64_get(sb->ilog_pos);
	l->next.prev_csum = le64_get(sb->ilog_prev_csum);
	l->head = l->next.pos;
	l->flushed_seq = l->next.seq - 1;
	pool->ilog = l;
	return 0;
}

static void drop_record(struct ilog *l, struct ilog_record *r)
{
	list_del(&r->link);
	l->gathered_bytes -= r->len;
	ilog_record_discard(r);
}

void ilog_free(struct pool *pool)
{
	struct ilog *l = pool->ilog;

	if (!l)
		return;
	while (!list_empty(&l->gathered))
		drop_record(l,
			    list_first(&l->gathered, struct ilog_record, link));
	free(l->buf);
	os_mutex_release(&l->lock);
	os_cond_release(&l->done);
	free(l);
	pool->ilog = NULL;
}

/* ---- gathering ------------------------------------------------------------ */

/* Nobody writes: all that is not gathered any more is durable.  lock held. */
static void settle(struct ilog *l)
{
	uint64_t durable = l->next_lsn - 1;

	if (l->busy)
		return;
	if (!list_empty(&l->gathered))
		durable = list_first(&l->gathered, struct ilog_record, link)
				  ->lsn -
			  1;
	l->durable = MAX_OF(l->durable, durable);
}

void ilog_record_begin(struct op *op)
{
	struct ilog *l = op->pool->ilog;
	struct ilog_record *r = op->record;

	if (!r)
		return;
	dbs_assert(!r->queued);
	r->group = op->group->seq;
	r->txg = op->txg;
	os_mutex_lock(&l->lock);
	r->lsn = op->lsn = l->next_lsn++;
	r->queued = true;
	list_add_tail(&l->gathered, &r->link);
	os_mutex_unlock(&l->lock);
}

void ilog_record_end(struct op *op)
{
	struct ilog *l = op->pool->ilog;
	struct ilog_record *r = op->record;
	bool first;

	if (!r || !r->queued)
		return;
	op->record = NULL; /* the list's */
	os_mutex_lock(&l->lock);
	r->done = true;
	first = list_first(&l->gathered, struct ilog_record, link) == r;
	l->gathered_bytes += r->len;
	/* who throttles reads them without the lock */
	__atomic_store_n(&l->open_bytes,
			 l->open_bytes + r->len +
				 sizeof(struct ilog_record_header),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&l->open_records, l->open_records + 1,
			 __ATOMIC_RELAXED);
	if (r->len == 0 && !r->lost) {
		drop_record(l, r);
		settle(l);
	}
	/* who writes a batch wakes all; else it was this one they waited for */
	if (l->waiting && first && !l->busy)
		os_cond_broadcast(&l->done);
	os_mutex_unlock(&l->lock);
}

/* Has the open group gathered more than the @part-th part of its budget? */
static bool open_is_above(struct pool *pool, unsigned part)
{
	const struct ilog *l = pool->ilog;
	uint64_t max;

	if (!l)
		return false;
	max = MIN_OF(OPEN_BYTES_MAX, l->nr_ring * BLOCK_SIZE / 4);
	return __atomic_load_n(&l->open_bytes, __ATOMIC_RELAXED) > max / part ||
	       __atomic_load_n(&l->open_records, __ATOMIC_RELAXED) >
		       OPEN_RECORDS_MAX / part;
}

bool ilog_wants_commit(struct pool *pool)
{
	return open_is_above(pool, 2);
}

bool ilog_needs_commit(struct pool *pool)
{
	return open_is_above(pool, 1);
}

/* ---- the ring -------------------------------------------------------------- */

/* Segment by segment. */
int ilog_ring_write(struct pool *pool, uint64_t pos, const void *buf,
		    uint32_t nr)
{
	const struct ilog *l = pool->ilog;
	const uint8_t *p = buf;
	int rc = 0;

	dbs_assert(pos + nr <= l->nr_ring);
	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX && nr > 0 && rc == 0; i++) {
		uint64_t len = le32_get(l->segment[i].nr), n, offset;

		if (pos >= len) {
			pos -= len;
			continue;
		}
		n = MIN_OF(len - pos, (uint64_t)nr);
		offset = (le64_get(l->segment[i].first) + pos) * BLOCK_SIZE;
		rc = blkdev_write(pool->dev, p, n * BLOCK_SIZE, offset);
		p += n * BLOCK_SIZE;
		nr -= (uint32_t)n;
		pos = 0;
	}
	return rc;
}

struct le64 ilog_stamp(const struct pool *pool, uint64_t epoch, uint64_t seq,
		       uint64_t pos)
{
	struct le64 in[3] = {le64_of(epoch), le64_of(seq), le64_of(pos)};

	return le64_of(csum_of(in, sizeof(in), pool->hash_seed));
}

/* ---- writing a batch -------------------------------------------------------- */

/* What is taken from the list to be written together. */
struct batch {
	struct list records;
	uint32_t nr;
	uint64_t group, txg;
	size_t length; /* of the log records with their headers */
	uint32_t nr_blocks;
	struct ilog_mark at;
};

/* lock held: whole records of one group, as many as go into a batch. */
static void take_records(struct ilog *l, struct batch *b)
{
	uint64_t nr_data = 0;

	list_init(&b->records);
	b->nr = 0;
	b->length = 0;
	while (!list_empty(&l->gathered)) {
		struct ilog_record *r =
			list_first(&l->gathered, struct ilog_record, link);
		size_t len;

		/* until then it is its op's */
		if (!r->done || r->lost)
			break;
		len = sizeof(struct ilog_record_header) + r->len;
		if (b->nr &&
		    (r->group != b->group ||
		     b->length + len > ILOG_BATCH_BYTES ||
		     nr_data + r->nr_data > ILOG_BATCH_DATA / BLOCK_SIZE))
			break;
		if (b->nr == 0)
			b->txg = r->txg;
		b->group = r->group;
		b->length += len;
		nr_data += r->nr_data;
		b->nr++;
		list_del(&r->link);
		list_add_tail(&b->records, &r->link);
	}
	b->nr_blocks = (uint32_t)div_round_up(
		sizeof(struct ilog_batch) + b->length, BLOCK_SIZE);
}

/* lock held: where the batch goes.  -ENOSPC: the ring is full (L3) */
static int find_place(struct ilog *l, struct batch *b)
{
	uint64_t at = l->next.pos % l->nr_ring;

	b->at = l->next;
	if (at + b->nr_blocks > l->nr_ring)
		b->at.pos += l->nr_ring - at; /* the ring's end is skipped */
	if (b->at.pos + b->nr_blocks - l->head > l->nr_ring)
		return -ENOSPC;
	return 0;
}

static int batch_buffer(struct ilog *l, size_t len)
{
	uint8_t *p;

	if (len <= l->buf_len)
		return 0;
	p = blkdev_buffer_new(
		round_up(MAX_OF(len, 2 * l->buf_len), UINT64_C(64) << 10));
	if (!p)
		return -ENOMEM;
	free(l->buf);
	l->buf = p;
	l->buf_len = round_up(MAX_OF(len, 2 * l->buf_len), UINT64_C(64) << 10);
	return 0;
}

/* Put the log records into the buffer, behind the batch's header. */
static void fill_batch(struct pool *pool, const struct batch *b)
{
	struct ilog *l = pool->ilog;
	size_t at = sizeof(struct ilog_batch);

	for (const struct list *i = b->records.next; i != &b->records;
	     i = i->next) {
		const struct ilog_record *r =
			container_of(i, const struct ilog_record, link);
		struct ilog_record_header h = {
			.length = le32_of((uint32_t)sizeof(h) + r->len),
			.txg = le40_of(r->txg),
		};

		memcpy(l->buf + at, &h, sizeof(h));
		memcpy(l->buf + at + sizeof(h), r->bytes, r->len);
		at += sizeof(h) + r->len;
	}
	memset(l->buf + at, 0, b->nr_blocks * (size_t)BLOCK_SIZE - at);
}

static void head_batch(struct pool *pool, const struct batch *b,
		       uint64_t flushed_seq, uint64_t committed_txg)
{
	struct ilog *l = pool->ilog;
	struct ilog_batch *h = (struct ilog_batch *)l->buf;
	uint64_t pos = b->at.pos % l->nr_ring;

	memset(h, 0, sizeof(*h));
	h->h.type = le32_of(META_ILOG_BATCH);
	h->h.pool_id = le64_of(pool->id);
	h->h.blkno = le64_of(pos);
	h->h.txg = le64_of(b->txg);
	memcpy(h->uuid, pool->uuid, sizeof(h->uuid));
	h->epoch = le64_of(l->epoch);
	h->seq = le64_of(b->at.seq);
	h->prev_csum = le64_of(b->at.prev_csum);
	h->flushed_seq = le64_of(flushed_seq);
	h->committed_txg = le64_of(committed_txg);
	h->nr_blocks = le32_of(b->nr_blocks);
	h->nr_records = le32_of(b->nr);
	h->length = le64_of(b->length);
	h->payload_csum = le64_of(csum_of(h + 1, b->length, META_ILOG_BATCH));
	h->stamp = ilog_stamp(pool, l->epoch, b->at.seq, pos);
	h->h.csum = le64_of(csum_of(l->buf + sizeof(h->h.csum),
				    BLOCK_SIZE - sizeof(h->h.csum),
				    META_ILOG_BATCH));
}

static void put_back(struct ilog *l, struct batch *b)
{
	while (!list_empty(&b->records)) {
		struct list *r = b->records.prev;

		list_del(r);
		list_add_tail(l->gathered.next, r);
	}
}

/* lock held, busy ours: the batch is durable. */
static void batch_done(struct ilog *l, struct batch *b)
{
	const struct ilog_batch *h = (const struct ilog_batch *)l->buf;

	if (l->first_group != b->group) {
		l->first_group = b->group;
		l->first = b->at;
	}
	l->flushed_seq = b->at.seq;
	l->next.seq = b->at.seq + 1;
	l->next.pos = b->at.pos + b->nr_blocks;
	l->next.prev_csum = le64_get(h->h.csum);
	l->nr_batches++;
	l->nr_bytes += b->nr_blocks * (uint64_t)BLOCK_SIZE;
	while (!list_empty(&b->records))
		drop_record(l,
			    list_first(&b->records, struct ilog_record, link));
}

/*
 * Write what has gathered and flush.  lock held, not busy; drops it meanwhile.
 * -ENOSPC: there is no room.  -ENODATA: what comes first was lost.
 */
static int write_batch(struct pool *pool)
{
	struct ilog *l = pool->ilog;
	uint64_t flushed_seq, committed = txg_committed(pool);
	struct batch b;
	int rc;

	take_records(l, &b);
	if (b.nr == 0)
		return -ENODATA;
	rc = find_place(l, &b);
	if (rc == 0)
		rc = batch_buffer(l, b.nr_blocks * (size_t)BLOCK_SIZE);
	if (rc) {
		put_back(l, &b);
		return rc == -ENOMEM ? -ENODATA : rc;
	}
	l->busy = true;
	flushed_seq = l->flushed_seq;
	os_mutex_unlock(&l->lock);
	fill_batch(pool, &b);
	head_batch(pool, &b, flushed_seq, committed);
	rc = ilog_ring_write(pool, b.at.pos % l->nr_ring, l->buf, b.nr_blocks);
	if (rc == 0 && !mutated(MUTATE_LOG_UNFLUSHED))
		rc = blkdev_flush(pool->dev);
	if (rc)
		pool_fail(pool, rc, "writing the intent log");
	os_mutex_lock(&l->lock);
	l->busy = false;
	if (rc == 0) {
		batch_done(l, &b);
		settle(l);
	} else {
		put_back(l, &b);
	}
	os_cond_broadcast(&l->done);
	return rc;
}

/* ---- durability -------------------------------------------------------------- */

/* lock held: may a batch be written, and is its first log record complete? */
static bool can_write(const struct ilog *l)
{
	return !list_empty(&l->gathered) &&
	       list_first(&l->gathered, struct ilog_record, link)->done;
}

/* A commit does it instead; lock held, dropped meanwhile. */
static int commit_instead(struct pool *pool)
{
	struct ilog *l = pool->ilog;
	int rc;

	l->nr_commits++;
	os_mutex_unlock(&l->lock);
	rc = txg_sync(pool);
	os_mutex_lock(&l->lock);
	return rc;
}

int ilog_sync(struct pool *pool, uint64_t lsn)
{
	struct ilog *l = pool->ilog;
	int rc = 0;

	if (!l || pool->replay.on)
		return 0;
	os_mutex_lock(&l->lock);
	for (;;) {
		if (pool_failed(pool)) {
			rc = txg_error(pool);
			break;
		}
		settle(l);
		if (l->durable >= lsn)
			break;
		if (!l->active || l->nr_ring == 0) {
			rc = commit_instead(pool);
			if (rc)
				break;
			continue;
		}
		/* a commit is not to wait for batch after batch */
		if (l->busy || l->wanted || !can_write(l)) {
			l->waiting++;
			os_cond_wait(&l->done, &l->lock);
			l->waiting--;
			continue;
		}
		rc = write_batch(pool);
		if (rc == -ENOSPC || rc == -ENODATA)
			rc = commit_instead(pool);
		if (rc)
			break;
	}
	os_mutex_unlock(&l->lock);
	return rc;
}

int ilog_sync_all(struct pool *pool)
{
	struct ilog *l = pool->ilog;
	uint64_t lsn;

	if (!l)
		return 0;
	os_mutex_lock(&l->lock);
	lsn = l->next_lsn - 1;
	os_mutex_unlock(&l->lock);
	return ilog_sync(pool, lsn);
}

/* ---- commit -------------------------------------------------------------------- */

void ilog_sealed(struct pool *pool)
{
	struct ilog *l = pool->ilog;

	if (!l)
		return;
	os_mutex_lock(&l->lock);
	__atomic_store_n(&l->open_bytes, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&l->open_records, 0, __ATOMIC_RELAXED);
	os_mutex_unlock(&l->lock);
}

void ilog_commit_begin(struct pool *pool, uint64_t seq, struct superblock *sb)
{
	struct ilog *l = pool->ilog;
	struct ilog_mark mark;
	bool dropped = false;

	if (!l)
		return;
	if (pool->replay.on) {
		/* in the old epoch, as the batches that are left */
		sb->ilog_seq = le64_of(pool->replay.seq);
		sb->ilog_pos = le64_of(pool->replay.pos);
		sb->ilog_prev_csum = le64_of(pool->replay.prev_csum);
		sb->ilog_skip = le32_of(pool->replay.skip);
		return;
	}
	os_mutex_lock(&l->lock);
	l->wanted = true;
	while (l->busy)
		os_cond_wait(&l->done, &l->lock);
	l->wanted = false;
	while (!list_empty(&l->gathered)) {
		struct ilog_record *r =
			list_first(&l->gathered, struct ilog_record, link);

		if (r->group > seq)
			break;
		drop_record(l, r);
		dropped = true;
	}
	mark = l->first_group > seq ? l->first : l->next;
	/* batches of this opening, but none before its epoch is on disk */
	l->busy = dropped || !l->active;
	l->held = l->busy;
	l->head_next = mark.pos;
	os_cond_broadcast(&l->done);
	os_mutex_unlock(&l->lock);
	sb->ilog_epoch = le64_of(l->epoch);
	sb->ilog_seq = le64_of(mark.seq);
	sb->ilog_pos = le64_of(l->nr_ring ? mark.pos % l->nr_ring : 0);
	sb->ilog_prev_csum = le64_of(mark.prev_csum);
	sb->ilog_skip = le32_of(0);
}

void ilog_commit_end(struct pool *pool, bool ok)
{
	struct ilog *l = pool->ilog;

	if (!l || pool->replay.on)
		return;
	os_mutex_lock(&l->lock);
	if (l->held)
		l->busy = l->held = false;
	if (ok) {
		l->active = true;
		l->head = l->head_next;
		settle(l);
	}
	os_cond_broadcast(&l->done);
	os_mutex_unlock(&l->lock);
}

void ilog_suspend(struct pool *pool)
{
	struct ilog *l = pool->ilog;

	if (!l)
		return;
	os_mutex_lock(&l->lock);
	while (l->busy)
		os_cond_wait(&l->done, &l->lock);
	l->active = false;
	os_mutex_unlock(&l->lock);
}

void ilog_stat(struct pool *pool, struct ilog_stat *st)
{
	struct ilog *l = pool->ilog;

	memset(st, 0, sizeof(*st));
	if (!l)
		return;
	os_mutex_lock(&l->lock);
	*st = (struct ilog_stat){
		.ring = l->nr_ring * BLOCK_SIZE,
		.used = (l->next.pos - l->head) * BLOCK_SIZE,
		.gathered = l->gathered_bytes,
		.nr_records = l->next_lsn - 1,
		.nr_batches = l->nr_batches,
		.nr_bytes = l->nr_bytes,
		.nr_commits = l->nr_commits,
	};
	os_mutex_unlock(&l->lock);
}
