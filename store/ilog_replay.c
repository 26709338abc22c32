/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replay: the log records that the superblock does not include, in order.
 *
 * First all runs that they claim are taken, so that what is allocated from
 * then on (nodes, partial records) lies elsewhere.  Then each log record is
 * done again: its files, then its datasets.
 *
 * A commit may become due at any op_begin(), and is then made in this very
 * thread.  Its superblock names the log record that is being replayed as the
 * next one, so after another crash that one is replayed onto what it had done
 * before the commit.  That does no harm, for
 *
 *  - trimming finds less to trim, and comes before all else;
 *  - what one op does is in one txg (P2), claims and bytes included, and where
 *    a log record takes several ops, an extent item that names its run already
 *    is not claimed again (struct ilog_taken);
 *  - a change of datasets is one op and the log record's last; what follows
 *    it, before anything else begins, is the step to the next log record.
 *
 * Only a log record that trims and then takes several ops could trim what it
 * had put.  No op writes such a one; a commit before it makes it certain that
 * none becomes due inside.
 */
#include "store/ilog_replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/ilog_internal.h"
#include "store/ilog_replay_internal.h"
#include "store/util.h"

struct replay {
	struct pool *pool;
	struct ilog_chain chain;
	struct ilog_place end;	 /* what is behind it is left out */
	struct ilog_taken taken; /* by the first log record */
	struct ilog_prefetch *prefetch;
	uint64_t nr_seen; /* log records of the chain, by each_record() */
};

int ilog_mismatch(const struct pool *pool, const char *what, uint64_t number)
{
	log_error("intent log does not fit the pool pool=%s batch=%" PRIu64
		  " record=%" PRIu32 " what='%s' number=%" PRIu64,
		  pool->name, pool->replay.seq, pool->replay.skip, what,
		  number);
	return -EUCLEAN;
}

/* ---- taking runs ----------------------------------------------------------- */

static int remember(struct ilog_taken *t, bool in_use)
{
	if (t->nr == t->cap) {
		size_t cap = MAX_OF(2 * t->cap, (size_t)64);
		uint8_t *p = realloc(t->in_use, cap);

		if (!p)
			return -ENOMEM;
		t->in_use = p;
		t->cap = cap;
	}
	t->in_use[t->nr++] = in_use;
	return 0;
}

static int take_run(struct replay *r, const struct ilog_extent *x, bool first)
{
	struct space_map *sm = r->pool->sm;
	uint64_t blkno = le40_get(x->item.blkno);
	uint32_t nr = ilog_extent_nr(x);
	int rc;

	if (x->run == ILOG_RUN_SHARED) {
		rc = space_map_verify_used(sm, blkno, nr);
		return rc == -EUCLEAN
			       ? ilog_mismatch(r->pool, "a shared run is free",
					       blkno)
			       : rc;
	}
	rc = space_map_take_logged(sm, blkno, nr);
	if (first && (rc == 0 || rc == -EUCLEAN))
		return remember(&r->taken, rc != 0);
	return rc == -EUCLEAN ? ilog_mismatch(r->pool, "a run is in use", blkno)
			      : rc;
}

static int take_record(struct replay *r, const struct ilog_stored *rec,
		       bool first)
{
	const uint8_t *p = rec->parts;
	struct ilog_part part;
	int rc = 0;

	while (rc == 0 && p < rec->end) {
		rc = ilog_part_next(&p, rec->end, &part);
		if (rc == 0 && part.kind == ILOG_EXTENT)
			rc = take_run(r, part.at, first);
	}
	return rc;
}

/* ---- one log record -------------------------------------------------------- */

/* Nothing is born later than the superblock that names it. */
static void raise_txg(struct pool *pool, uint64_t txg)
{
	if (__atomic_load_n(&pool->txg.open_txg, __ATOMIC_ACQUIRE) < txg)
		__atomic_store_n(&pool->txg.open_txg, txg, __ATOMIC_RELEASE);
}

static int replay_record(struct replay *r, const struct ilog_stored *rec,
			 bool first)
{
	static const struct ilog_taken none;
	int rc;

	raise_txg(r->pool, rec->txg);
	ilog_prefetch_done(r->prefetch, r->nr_seen);
	rc = ilog_replay_files(r->pool, rec, first ? &r->taken : &none);
	return rc ? rc : ilog_replay_datasets(r->pool, rec);
}

/* ---- the whole log --------------------------------------------------------- */

/* Y2: all before log record @skip of batch @i is done. */
static void mark(struct replay *r, size_t i, uint32_t skip)
{
	const struct ilog_chain *c = &r->chain;
	struct pool_replay *at = &r->pool->replay;

	at->skip = skip;
	at->seq = i < c->nr ? c->batch[i].seq : c->seq;
	at->pos = i < c->nr ? c->batch[i].pos : c->pos;
	at->prev_csum = i < c->nr ? c->batch[i].prev_csum : c->prev_csum;
}

static bool is_end(const struct replay *r, size_t i, uint32_t n)
{
	uint64_t seq = r->chain.batch[i].seq;

	return seq > r->end.seq || (seq == r->end.seq && n >= r->end.skip);
}

typedef int record_fn(struct replay *r, const struct ilog_stored *rec,
		      bool first);

/* Call @fn with each log record that is not in the superblock. */
static int each_record(struct replay *r, record_fn *fn)
{
	uint32_t done = le32_get(r->pool->sb->ilog_skip);
	struct ilog_chain *c = &r->chain;
	bool first = true;

	r->nr_seen = 0;
	for (size_t i = 0; i < c->nr; i++) {
		const uint8_t *p, *end;
		struct ilog_stored rec;
		bool kept = c->batch[i].payload != NULL;
		int rc;

		mark(r, i, i == 0 ? done : 0);
		rc = ilog_chain_payload(c, i, &p);
		if (rc)
			return rc;
		end = p + c->batch[i].length;
		for (uint32_t n = 0; p < end && rc == 0; n++) {
			if (is_end(r, i, n))
				return 0;
			rc = ilog_stored_next(&p, end, &rec);
			r->nr_seen++;
			if (rc || n < done)
				continue;
			mark(r, i, n);
			rc = fn(r, &rec, first);
			first = false;
		}
		if (rc)
			return rc;
		done = 0;
		mark(r, i + 1, 0);
		if (!kept)
			ilog_chain_drop(c, i);
	}
	return 0;
}

/* Batches of this opening go on where the chain ends. */
static void go_on_behind(struct pool *pool, const struct ilog_chain *c)
{
	struct ilog *l = pool->ilog;

	if (!l)
		return;
	l->next = (struct ilog_mark){
		.seq = c->seq, .pos = c->pos, .prev_csum = c->prev_csum};
	l->head = c->pos;
	l->flushed_seq = c->seq - 1;
}

static int replay_all(struct replay *r, uint64_t nr_records)
{
	struct pool *pool = r->pool;
	struct space_map_stat st;
	int rc = each_record(r, take_record);

	if (rc)
		return rc;
	space_map_stat(pool->sm, &st);
	/* the committer's part of it is left */
	space_map_set_reserve(pool->sm, st.nr_reserve / 4);
	pool->replay.on = true;
	r->prefetch = ilog_prefetch_start(pool, &r->chain, nr_records);
	rc = each_record(r, replay_record);
	ilog_prefetch_stop(r->prefetch);
	pool->replay.on = false;
	space_map_set_reserve(pool->sm, st.nr_reserve);
	if (rc)
		return rc;
	go_on_behind(pool, &r->chain);
	return txg_commit(pool);
}

int ilog_replay_until(struct pool *pool, struct ilog_place *end,
		      struct store_error *error)
{
	struct replay r = {.pool = pool, .end = *end, .taken.first = true};
	struct ilog_scan scan = {0};
	int rc = ilog_chain_read(&r.chain, pool->dev, pool->sb, &scan, error);

	if (rc == -EIO && scan.cut)
		rc = 0;
	if (rc == 0 && scan.newer)
		rc = -EUCLEAN;
	if (rc == 0) {
		mark(&r, 0, le32_get(pool->sb->ilog_skip));
		rc = replay_all(&r, scan.nr_records);
		if (rc)
			*end = (struct ilog_place){.seq = pool->replay.seq,
						   .skip = pool->replay.skip};
	}
	ilog_chain_release(&r.chain);
	free(r.taken.in_use);
	return rc;
}

int ilog_replay(struct pool *pool, struct ilog_scan *scan,
		struct store_error *error)
{
	struct replay r = {
		.pool = pool, .end.seq = UINT64_MAX, .taken.first = true};
	int rc = ilog_chain_read(&r.chain, pool->dev, pool->sb, scan, error);

	if (rc == 0 && (scan->damaged || scan->newer))
		rc = -EUCLEAN;
	else if (rc == 0 && scan->nr_records > 0) {
		rc = replay_all(&r, scan->nr_records);
		if (rc)
			store_error_set(error,
					"the intent log cannot be replayed: %s",
					rc == -EUCLEAN ? "it does not fit the "
							 "pool"
					: rc == -EBADMSG ? "what it changes "
							   "is damaged"
							 : strerror(-rc));
	} else if (rc == 0) {
		go_on_behind(pool, &r.chain);
		/* the same data written there again would bring it back */
		if (r.chain.cut)
			rc = txg_commit(pool);
	}
	ilog_chain_release(&r.chain);
	free(r.taken.in_use);
	return rc;
}
