/* SPDX-License-Identifier: Apache-2.0 */
#include "store/dirty_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/extent_map.h"
#include "store/ilog.h"
#include "store/space_map.h"
#include "store/txg.h"

struct dirty_cache *dirty_cache_new(void)
{
	struct dirty_cache *c = calloc(1, sizeof(*c));

	if (c)
		list_init(&c->lru);
	return c;
}

void dirty_cache_free(struct dirty_cache *c)
{
	if (!c)
		return;
	dbs_assert(list_empty(&c->lru));
	dirty_recent_release(c);
	free(c);
}

int dirty_new(struct pool *pool, unsigned record_shift, unsigned flags,
	      struct dirty_record **out)
{
	uint32_t nr_blocks = UINT32_C(1) << (record_shift - BLOCK_SHIFT);
	struct dirty_record *d;
	int rc;

	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->record_shift = (uint8_t)record_shift;
	list_init(&d->lru);
	rc = -ENOMEM;
	d->data = blkdev_buffer_new((size_t)1 << record_shift);
	if (!d->data)
		goto out_free;
	rc = record_alloc(pool, nr_blocks, flags, &d->run);
	if (rc)
		goto out_data;
	rc = op_hold(pool, DIRTY_NODES, flags);
	if (rc)
		goto out_run;
	*out = d;
	return 0;

out_run:
	space_map_unalloc(pool_space(pool), d->run, nr_blocks);
out_data:
	free(d->data);
out_free:
	free(d);
	return rc;
}

/* All but the held nodes. */
static void dirty_give_back(struct pool *pool, struct dirty_record *d)
{
	space_map_unalloc(pool_space(pool), d->run,
			  UINT32_C(1) << (d->record_shift - BLOCK_SHIFT));
	free(d->data);
	free(d);
}

void dirty_free(struct pool *pool, struct dirty_record *d)
{
	if (!d)
		return;
	op_unhold(pool, DIRTY_NODES);
	dirty_give_back(pool, d);
}

static size_t bucket_of(uint64_t ino, uint64_t recno)
{
	return (size_t)((ino * 31 + recno) % DIRTY_BUCKETS);
}

struct dirty_record *dirty_find(const struct dataset *ds, uint64_t ino,
				uint64_t recno)
{
	struct dirty_record *d = ds->cache->bucket[bucket_of(ino, recno)];

	while (d && (d->ino != ino || d->recno != recno))
		d = d->next;
	return d;
}

void dirty_count(const struct dataset *ds, struct inode *inode)
{
	const struct list *head = &ds->cache->lru;

	inode->nr_dirty = 0;
	if (!S_ISREG(inode->mode))
		return;
	for (const struct list *n = head->next; n != head; n = n->next) {
		const struct dirty_record *d =
			container_of(n, struct dirty_record, lru);

		if (d->ino == inode->ino)
			inode->nr_dirty += UINT64_C(1)
					   << (d->record_shift - BLOCK_SHIFT);
	}
}

int64_t dirty_growth(const struct dataset *ds)
{
	return ds->cache->growth;
}

bool dirty_any(const struct dataset *ds)
{
	return !list_empty(&ds->cache->lru);
}

void dirty_insert(struct op *op, struct dataset *ds, struct dirty_record *d,
		  const struct inode *inode, uint64_t recno, bool present)
{
	struct dirty_cache *c = ds->cache;
	struct key key = extent_key(inode, recno);
	size_t b = bucket_of(inode->ino, recno);

	dbs_assert(d->record_shift == inode->record_shift);
	d->ino = inode->ino;
	d->recno = recno;
	d->born = d->version = ++c->serial;
	d->next = c->bucket[b];
	c->bucket[b] = d;
	list_add_tail(&c->lru, &d->lru);
	c->bytes += UINT64_C(1) << d->record_shift;
	c->growth += d->growth;
	c->nr++;
	if (present)
		btree_own(op, &ds->tree, &key);
	else
		extent_put_placeholder(op, ds, inode, recno);
	key = key_of(inode->ino, ITEM_INODE, 0);
	btree_own(op, &ds->tree, &key);
}

void dirty_merge(struct op *op, struct dataset *ds, struct dirty_record *d,
		 size_t from, const void *src, size_t len)
{
	struct dirty_cache *c = ds->cache;

	dbs_assert(from + len <= (size_t)1 << d->record_shift);
	if (src)
		memcpy(d->data + from, src, len);
	else
		memset(d->data + from, 0, len);
	ilog_bytes(op, ds, d->ino, (d->recno << d->record_shift) + from, src,
		   (uint32_t)len);
	d->version = ++c->serial;
	list_del(&d->lru);
	list_add_tail(&c->lru, &d->lru);
	/* an appender has come to its end, and will hardly come back */
	if (!d->filled && d->version > d->born + 1 &&
	    from + len == (size_t)1 << d->record_shift) {
		d->filled = true;
		c->nr_filled++;
	}
}

bool dirty_wants_flush(const struct dataset *ds)
{
	const struct dirty_cache *c = ds->cache;

	return c->nr_filled >= DIRTY_FILLED_MAX ||
	       c->bytes > DIRTY_BYTES_MAX / 2 || c->nr > DIRTY_RECORDS_MAX / 2;
}

void dirty_remove(struct dirty_cache *c, struct dirty_record *d)
{
	struct dirty_record **p = &c->bucket[bucket_of(d->ino, d->recno)];

	while (*p != d)
		p = &(*p)->next;
	*p = d->next;
	list_del(&d->lru);
	c->nr_filled -= d->filled;
	c->bytes -= UINT64_C(1) << d->record_shift;
	c->growth -= d->growth;
	c->nr--;
}

void dirty_drop(struct dataset *ds, uint64_t ino, uint64_t recno)
{
	struct dirty_record *d = dirty_find(ds, ino, recno);

	if (!d)
		return;
	dirty_remove(ds->cache, d);
	dirty_free(ds->pool, d);
}

/* Take back the placeholder, if @d has one: nothing will replace it. */
static void drop_placeholder(struct op *op, struct dataset *ds,
			     const struct dirty_record *d)
{
	struct inode inode = {.ino = d->ino, .record_shift = d->record_shift};
	struct key key = extent_key(&inode, d->recno);
	struct extent e;
	int rc = extent_get(op, ds, &inode, d->recno, &e);

	/* C2; a damaged tree may lack it */
	if (rc == 0 && e.present && e.nr_blocks == 0)
		btree_del(op, &ds->tree, &key);
}

void dirty_discard(struct op *op, struct dataset *ds)
{
	struct list *head = &ds->cache->lru;

	while (!list_empty(head)) {
		struct dirty_record *d =
			list_first(head, struct dirty_record, lru);

		dirty_remove(ds->cache, d);
		if (op) {
			/* the tree goes on to the reaper */
			op_use_held(op, DIRTY_NODES);
			drop_placeholder(op, ds, d);
			dirty_give_back(ds->pool, d);
		} else {
			dirty_free(ds->pool, d);
		}
	}
}
