/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead of replay: threads look up what the next log records will
 * change, so that the nodes, and the records that pieces of bytes are merged
 * into, are in memory when replay gets there.
 *
 * Nothing depends on it.  They read as anybody may who holds a dataset's lock
 * for reading; what changes meanwhile, replay itself finds changed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/dirty.h"
#include "store/extent_map.h"
#include "store/ilog_replay_internal.h"
#include "store/util.h"

#define THREADS	    16u
#define AHEAD	    1024u /* log records: a bounded part of the node cache */
#define WORTH_WHILE 256u

struct ilog_prefetch {
	struct pool *pool;
	const struct ilog_chain *chain;
	size_t nr_batches; /* whose payloads stay in memory throughout */
	struct os_thread thread[THREADS];

	struct os_mutex lock;
	struct os_cond go;
	/* under lock */
	size_t batch;
	const uint8_t *p, *end; /* in it */
	uint64_t taken, done;	/* log records: by threads, by replay */
	bool stop;
};

/* lock held: the next log record that is not too far ahead; false: stop */
static bool next_record(struct ilog_prefetch *f, struct ilog_stored *r)
{
	for (;;) {
		const struct ilog_chain *c = f->chain;

		if (f->stop)
			return false;
		if (f->taken >= f->done + AHEAD) {
			os_cond_wait(&f->go, &f->lock);
			continue;
		}
		/* replay has come past: nothing there is worth reading */
		if (f->p < f->end) {
			if (ilog_stored_next(&f->p, f->end, r))
				return false;
			if (f->taken++ >= f->done)
				return true;
			continue;
		}
		if (f->batch == f->nr_batches)
			return false;
		f->p = c->batch[f->batch].payload;
		f->end = f->p + c->batch[f->batch].length;
		f->batch++;
	}
}

static int touch_body(struct op *op, struct dataset *ds, void *arg)
{
	const struct key *key = arg;
	uint8_t byte;
	int rc = btree_get(op, &ds->tree, key, &byte, 1, NULL);

	return rc == -ENOENT ? 0 : rc;
}

/* The record that a piece of bytes is merged into. */
struct base {
	uint64_t ino, offset;
	struct inode inode;
	uint64_t recno;
	struct extent e;
	uint8_t *bytes;
};

static int base_body(struct op *op, struct dataset *ds, void *arg)
{
	struct base *b = arg;
	int rc = inode_get_file(op, ds, b->ino, &b->inode);

	b->e.nr_blocks = 0;
	if (rc)
		return rc;
	b->recno = b->offset >> b->inode.record_shift;
	if (dirty_find(ds, b->ino, b->recno))
		return 0;
	return extent_get(op, ds, &b->inode, b->recno, &b->e);
}

static void base_keep(struct dataset *ds, const struct base *b)
{
	os_rwlock_wrlock(&ds->lock);
	dirty_recent_keep(ds->cache, b->ino, b->recno, b->inode.record_shift,
			  b->bytes, &b->e);
	os_rwlock_unlock(&ds->lock);
}

static void fetch_base(struct dataset *ds, const struct ilog_bytes *piece)
{
	size_t len = (size_t)RECORD_BLOCKS_MAX * BLOCK_SIZE;
	struct base b = {.ino = le40_get(piece->ino),
			 .offset = le64_get(piece->offset)};
	uint8_t *in;

	if (op_read(ds, base_body, &b) || b.e.nr_blocks == 0)
		return;
	in = scratch_get(len);
	b.bytes = scratch_get(len);
	if (in && b.bytes && record_read(ds->pool, &b.e, in) == 0 &&
	    record_decode(&b.e, in, b.inode.record_shift, b.bytes) == 0)
		base_keep(ds, &b);
	scratch_put(in, len);
	scratch_put(b.bytes, len);
}

static void fetch(struct ilog_prefetch *f, const struct ilog_stored *r)
{
	struct dataset *ds = NULL;
	const uint8_t *p = r->parts;
	struct ilog_part part;

	while (p < r->end && ilog_part_next(&p, r->end, &part) == 0 &&
	       ilog_part_is_file(&part)) {
		const struct ilog_dataset *d = part.at;

		if (part.kind == ILOG_DATASET) {
			dataset_put(ds);
			/* it may be made by a log record before this one */
			if (dataset_open_id(f->pool, le32_get(d->id), &ds))
				return;
		} else if (part.kind == ILOG_BYTES) {
			fetch_base(ds, part.at);
		} else {
			(void)op_read(ds, touch_body, &part.key);
		}
	}
	dataset_put(ds);
}

static void prefetcher(void *arg)
{
	struct ilog_prefetch *f = arg;
	struct ilog_stored r;

	os_mutex_lock(&f->lock);
	while (next_record(f, &r)) {
		os_mutex_unlock(&f->lock);
		fetch(f, &r);
		os_mutex_lock(&f->lock);
	}
	os_mutex_unlock(&f->lock);
}

struct ilog_prefetch *ilog_prefetch_start(struct pool *pool,
					  const struct ilog_chain *chain,
					  uint64_t nr_records)
{
	struct ilog_prefetch *f;

	if (pool->options.no_background || nr_records < WORTH_WHILE)
		return NULL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->pool = pool;
	f->chain = chain;
	/* replay reads the others again, and drops them, while we run */
	while (f->nr_batches < chain->nr && chain->batch[f->nr_batches].payload)
		f->nr_batches++;
	os_mutex_init(&f->lock);
	os_cond_init(&f->go);
	/* with fewer threads it takes longer */
	for (unsigned i = 0; i < THREADS; i++)
		(void)os_thread_start(&f->thread[i], "dbs-replay", prefetcher,
				      f);
	return f;
}

void ilog_prefetch_done(struct ilog_prefetch *f, uint64_t nr)
{
	if (!f || nr % 64)
		return;
	os_mutex_lock(&f->lock);
	f->done = nr;
	os_cond_broadcast(&f->go);
	os_mutex_unlock(&f->lock);
}

void ilog_prefetch_stop(struct ilog_prefetch *f)
{
	if (!f)
		return;
	os_mutex_lock(&f->lock);
	f->stop = true;
	os_cond_broadcast(&f->go);
	os_mutex_unlock(&f->lock);
	for (unsigned i = 0; i < THREADS; i++)
		os_thread_join(&f->thread[i]);
	os_mutex_release(&f->lock);
	os_cond_release(&f->go);
	free(f);
}
