/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirty_flush.c - how dirty records get into the tree
 *
 * At the seal there is no time to compress, no I/O and no failing: a record
 * is stored raw in the run that it has had from the start (dirty_store()).
 * Otherwise it is compressed and written like any other, and only if somebody
 * keeps changing it, or there is no space for a second run, stored raw too.
 */
#include "store/dirty_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/csum.h"
#include "store/extent_map.h"
#include "store/space_map.h"
#include "store/txg.h"

#define FLUSH_TRIES 3

/*
 * Apply half: make @d an item, raw, its write the committer's.  Takes it out
 * of the cache; uses what it held.
 */
static void dirty_store(struct op *op, struct dataset *ds,
			struct dirty_record *d)
{
	size_t len = (size_t)1 << d->record_shift;
	uint32_t nr_run = (uint32_t)(len / BLOCK_SIZE);
	struct extent old, e = {.present = true, .encoding = EXTENT_RAW};
	struct inode inode;
	int rc;

	/* C2: both are in the cache */
	rc = inode_get(op, ds, d->ino, &inode);
	if (rc == 0)
		rc = extent_get(op, ds, &inode, d->recno, &old);
	dirty_remove(ds->cache, d);
	if (rc || !old.present) {
		/* a damaged tree has them in two places */
		pool_fail(ds->pool, rc ? rc : -EUCLEAN,
			  "storing a partial record");
		dirty_free(ds->pool, d);
		return;
	}
	op_use_held(op, DIRTY_NODES);
	/* beyond the end: it has just not been trimmed yet */
	if (d->recno << d->record_shift < inode.size)
		e.nr_blocks = record_raw_blocks(d->data, len);
	if (e.nr_blocks) {
		e.blkno = d->run;
		e.csum = csum_of(d->data, (size_t)e.nr_blocks * BLOCK_SIZE,
				 META_RECORD);
		op_claim(op, e.blkno, e.nr_blocks);
	}
	if (e.nr_blocks < nr_run)
		space_map_unalloc(pool_space(ds->pool), d->run + e.nr_blocks,
				  nr_run - e.nr_blocks);
	/* replay has the bytes from the log records before */
	op->sealing = true;
	extent_set(op, ds, &inode, d->recno, &old, &e);
	op->sealing = false;
	inode_put(op, ds, &inode);
	if (e.nr_blocks)
		dirty_recent_keep(ds->cache, d->ino, d->recno, d->record_shift,
				  d->data, &e);
	if (e.nr_blocks)
		txg_defer_write(op, e.blkno, d->data, e.nr_blocks);
	else
		free(d->data);
	free(d);
}

void dirty_seal(struct op *op, struct dataset *ds)
{
	struct list *head = &ds->cache->lru;

	while (!list_empty(head))
		dirty_store(op, ds, list_first(head, struct dirty_record, lru));
}

/* One record to be written out. */
struct flush {
	uint64_t ino, recno;
	bool raw;
	/* prepared */
	uint64_t version;
	uint8_t record_shift;
	int level;
	uint8_t *bytes;
	struct extent e;
	/* out */
	bool found, changed;
};

static int flush_copy_body(struct op *op, struct dataset *ds, void *arg)
{
	struct flush *f = arg;
	const struct dirty_record *d = dirty_find(ds, f->ino, f->recno);

	(void)op;
	f->found = d != NULL;
	if (!d)
		return 0;
	f->version = d->version;
	f->record_shift = d->record_shift;
	f->level = ds->properties.compression;
	memcpy(f->bytes, d->data, (size_t)1 << d->record_shift);
	return 0;
}

static int flush_store_body(struct op *op, struct dataset *ds, void *arg)
{
	struct flush *f = arg;
	struct dirty_record *d = dirty_find(ds, f->ino, f->recno);
	struct inode inode;
	struct extent old;
	int rc;

	f->found = d != NULL;
	f->changed = d && !f->raw && d->version != f->version;
	if (!d || f->changed)
		return 0;
	rc = inode_get(op, ds, f->ino, &inode);
	if (rc == 0)
		rc = extent_get(op, ds, &inode, f->recno, &old);
	if (rc == 0)
		rc = extent_touch(op, ds, &inode, f->recno);
	if (rc == 0)
		rc = inode_touch(op, ds, f->ino);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	if (f->raw) {
		dirty_store(op, ds, d);
		return 0;
	}
	if (f->e.nr_blocks)
		op_claim(op, f->e.blkno, f->e.nr_blocks);
	extent_set(op, ds, &inode, f->recno, &old, &f->e);
	inode_put(op, ds, &inode);
	dirty_drop(ds, f->ino, f->recno);
	f->e.blkno = 0; /* claimed */
	return 0;
}

/* Compress and write the copy; -ENOSPC when there is no second run. */
static int flush_write(struct pool *pool, struct flush *f, uint8_t *out)
{
	int rc;

	record_encode(f->bytes, f->record_shift, f->level, out, &f->e);
	rc = record_alloc_many(pool, &f->e, 1);
	if (rc || f->e.nr_blocks == 0)
		return rc;
	rc = blkdev_write_cached(pool_dev(pool), out,
				 (size_t)f->e.nr_blocks * BLOCK_SIZE,
				 f->e.blkno << BLOCK_SHIFT);
	if (rc == 0)
		return 0;
	pool_fail(pool, rc, "record");
	record_unalloc_many(pool, &f->e, 1);
	return rc;
}

static int flush_try(struct dataset *ds, struct flush *f, uint8_t *out)
{
	int rc;

	f->e = (struct extent){.present = false};
	if (!f->raw) {
		rc = op_read(ds, flush_copy_body, f);
		if (rc || !f->found)
			return rc;
		rc = flush_write(ds->pool, f, out);
		if (rc == -ENOSPC)
			f->raw = true;
		else if (rc)
			return rc;
	}
	rc = op_change(ds, 2, OP_SETTLE | (f->raw ? OP_USE_RESERVE : 0),
		       flush_store_body, f);
	if (rc || !f->found || f->changed)
		record_unalloc_many(ds->pool, &f->e, 1);
	return rc;
}

int dirty_flush_record(struct dataset *ds, uint64_t ino, uint64_t recno)
{
	struct flush f = {.ino = ino, .recno = recno};
	size_t len = (size_t)RECORD_BLOCKS_MAX * BLOCK_SIZE;
	uint8_t *out = scratch_get(len);
	int rc = -ENOMEM;

	f.bytes = scratch_get(len);
	if (!f.bytes || !out)
		goto out;
	for (int i = 0; i <= FLUSH_TRIES; i++) {
		f.raw = f.raw || i == FLUSH_TRIES;
		rc = flush_try(ds, &f, out);
		if (rc == -ENOSPC && !f.raw) {
			f.raw = true;
			continue;
		}
		if (rc || !f.found || !f.changed)
			break;
	}
out:
	scratch_put(f.bytes, len);
	scratch_put(out, len);
	return rc;
}

/* The oldest record that is to be written out. */
struct flush_pick {
	uint64_t max_bytes; /* none while the cache holds no more than that, */
	uint32_t max_nr;    /* in as many records */
	bool filled;	    /* but filled ones always */
	uint64_t born_max;  /* 0: set at the first call */
	/* out */
	bool found, is_filled;
	uint64_t ino, recno;
};

static int flush_pick_body(struct op *op, struct dataset *ds, void *arg)
{
	struct flush_pick *p = arg;
	const struct dirty_cache *c = ds->cache;
	bool enough;

	(void)op;
	p->found = false;
	if (p->born_max == 0)
		p->born_max = c->serial;
	enough = c->bytes <= p->max_bytes && c->nr <= p->max_nr;
	if (enough && !(p->filled && c->nr_filled > 0))
		return 0;
	for (const struct list *l = c->lru.next; l != &c->lru; l = l->next) {
		const struct dirty_record *d =
			container_of(l, const struct dirty_record, lru);

		if (d->born > p->born_max || (enough && !d->filled))
			continue;
		p->found = true;
		p->is_filled = d->filled;
		p->ino = d->ino;
		p->recno = d->recno;
		return 0;
	}
	return 0;
}

static int flush_picked(struct dataset *ds, struct flush_pick *p)
{
	for (;;) {
		int rc = op_read(ds, flush_pick_body, p);

		if (rc || !p->found)
			return rc;
		/* its writer is as many further on by now */
		if (p->filled && p->is_filled)
			dirty_read_ahead(ds, p->ino,
					 p->recno + DIRTY_FILLED_MAX + 2);
		rc = dirty_flush_record(ds, p->ino, p->recno);
		if (rc)
			return rc;
	}
}

int dirty_flush(struct dataset *ds)
{
	struct flush_pick p = {.max_bytes = 0};

	return flush_picked(ds, &p);
}

int dirty_flush_early(struct dataset *ds)
{
	struct flush_pick p = {
		.max_bytes = DIRTY_BYTES_MAX / 4,
		.max_nr = DIRTY_RECORDS_MAX / 4,
		.filled = true,
	};
	bool wanted;

	os_rwlock_rdlock(&ds->lock);
	wanted = dirty_wants_flush(ds);
	os_rwlock_unlock(&ds->lock);
	return wanted ? flush_picked(ds, &p) : 0;
}

int dirty_make_room(struct dataset *ds, size_t len)
{
	struct flush_pick p = {
		.max_bytes = DIRTY_BYTES_MAX - len,
		.max_nr = DIRTY_RECORDS_MAX - 1,
	};

	return flush_picked(ds, &p);
}
