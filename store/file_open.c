/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_open.c - which inodes are open, and the file layer's state of a dataset
 *
 * An open is counted under the dataset's lock, so that an unlink or purge
 * that holds it for writing sees either the open or an inode that is gone
 * (F3).
 */
#include "store/file_internal.h"

#include <stdlib.h>

#include "store/orphan.h"

#define OPEN_BUCKETS_MIN 64u

struct open_entry {
	struct open_entry *next;
	uint64_t ino;
	uint32_t nr, nr_write;
	uint32_t nr_held; /* file_hold() */
};

struct open_table {
	struct os_mutex lock;
	/* under lock */
	struct open_entry **bucket;
	size_t nr_buckets; /* a power of two */
	uint32_t nr_entries;
	uint32_t nr_open;  /* inodes that are open */
	uint32_t nr_write; /* inodes open for writing */
};

int file_state_new(struct dataset *ds)
{
	struct open_table *t = calloc(1, sizeof(*t));

	ds->cache = dirty_cache_new();
	if (t)
		t->bucket =
			calloc(OPEN_BUCKETS_MIN, sizeof(struct open_entry *));
	if (!t || !t->bucket || !ds->cache) {
		if (t)
			free(t->bucket);
		free(t);
		dirty_cache_free(ds->cache);
		ds->cache = NULL;
		return -ENOMEM;
	}
	t->nr_buckets = OPEN_BUCKETS_MIN;
	os_mutex_init(&t->lock);
	ds->open = t;
	return 0;
}

void file_state_free(struct dataset *ds)
{
	struct open_table *t = ds->open;

	if (ds->cache)
		dirty_discard(NULL, ds);
	dirty_cache_free(ds->cache);
	ds->cache = NULL;
	if (!t)
		return;
	for (size_t i = 0; i < t->nr_buckets; i++) {
		struct open_entry *e, *next;

		for (e = t->bucket[i]; e; e = next) {
			next = e->next;
			free(e);
		}
	}
	free(t->bucket);
	os_mutex_release(&t->lock);
	free(t);
	ds->open = NULL;
}

static struct open_entry **slot_of(struct open_table *t, uint64_t ino)
{
	struct open_entry **p = &t->bucket[ino & (t->nr_buckets - 1)];

	while (*p && (*p)->ino != ino)
		p = &(*p)->next;
	return p;
}

/* Double the buckets; without memory the chains just get longer. */
static void table_grow(struct open_table *t)
{
	size_t nr = t->nr_buckets * 2;
	struct open_entry **bucket = calloc(nr, sizeof(*bucket));

	if (!bucket)
		return;
	for (size_t i = 0; i < t->nr_buckets; i++) {
		struct open_entry *e, *next;

		for (e = t->bucket[i]; e; e = next) {
			next = e->next;
			e->next = bucket[e->ino & (nr - 1)];
			bucket[e->ino & (nr - 1)] = e;
		}
	}
	free(t->bucket);
	t->bucket = bucket;
	t->nr_buckets = nr;
}

bool file_is_open(const struct dataset *ds, uint64_t ino)
{
	struct open_table *t = ds->open;
	bool open;

	os_mutex_lock(&t->lock);
	open = *slot_of(t, ino) != NULL;
	os_mutex_unlock(&t->lock);
	return open;
}

struct open_entry *file_open_reserve(void)
{
	return calloc(1, sizeof(struct open_entry));
}

/* The entry of @ino, made of *@spare where there is none. */
static struct open_entry *entry_get_locked(struct open_table *t, uint64_t ino,
					   struct open_entry **spare)
{
	struct open_entry **p = slot_of(t, ino), *e = *p;

	if (e)
		return e;
	e = *spare;
	*spare = NULL;
	e->ino = ino;
	e->next = NULL;
	*p = e;
	if (++t->nr_entries > t->nr_buckets)
		table_grow(t);
	return e;
}

/* True: it was the last that held the inode. */
static bool entry_put_locked(struct open_table *t, struct open_entry **p)
{
	struct open_entry *e = *p;

	if (e->nr || e->nr_held)
		return false;
	*p = e->next;
	t->nr_entries--;
	free(e);
	return true;
}

void file_open_commit(struct dataset *ds, uint64_t ino, bool for_writing,
		      struct open_entry **spare)
{
	struct open_table *t = ds->open;
	struct open_entry *e;

	os_mutex_lock(&t->lock);
	e = entry_get_locked(t, ino, spare);
	if (e->nr++ == 0)
		t->nr_open++;
	if (for_writing && e->nr_write++ == 0)
		t->nr_write++;
	os_mutex_unlock(&t->lock);
}

static void hold_commit(struct dataset *ds, uint64_t ino,
			struct open_entry **spare)
{
	struct open_table *t = ds->open;

	os_mutex_lock(&t->lock);
	entry_get_locked(t, ino, spare)->nr_held++;
	os_mutex_unlock(&t->lock);
}

struct open_arg {
	uint64_t ino;
	bool for_writing, hold;
	struct open_entry *spare;
};

static int open_body(struct op *op, struct dataset *ds, void *arg)
{
	struct open_arg *a = arg;
	struct inode inode;
	int rc = inode_get(op, ds, a->ino, &inode);

	if (rc)
		return rc;
	/* nobody may come back to an inode that is about to be purged */
	if (inode.nlink == 0 && !file_is_open(ds, a->ino))
		return -ENOENT;
	if (a->for_writing && ds->snapshot)
		return -EROFS;
	if (a->hold)
		hold_commit(ds, a->ino, &a->spare);
	else
		file_open_commit(ds, a->ino, a->for_writing, &a->spare);
	return 0;
}

static int open_or_hold(struct dataset *ds, struct open_arg *a)
{
	int rc;

	a->spare = file_open_reserve();
	if (!a->spare)
		return -ENOMEM;
	rc = op_read(ds, open_body, a);
	free(a->spare);
	return rc;
}

int file_open(struct dataset *ds, uint64_t ino, bool for_writing)
{
	struct open_arg a = {.ino = ino, .for_writing = for_writing};

	return open_or_hold(ds, &a);
}

int file_hold(struct dataset *ds, uint64_t ino)
{
	struct open_arg a = {.ino = ino, .hold = true};

	return open_or_hold(ds, &a);
}

/* Nobody holds @ino any more: an unlinked one waited for this. */
static void let_go(struct dataset *ds, uint64_t ino)
{
	if (!ds->snapshot &&
	    __atomic_load_n(&ds->nr_orphans, __ATOMIC_RELAXED) > 0)
		orphan_purge_soon(ds, ino);
}

void file_close(struct dataset *ds, uint64_t ino, bool for_writing)
{
	struct open_table *t = ds->open;
	struct open_entry **p, *e;
	bool last;

	os_mutex_lock(&t->lock);
	p = slot_of(t, ino);
	e = *p;
	dbs_assert(e && e->nr > 0 && (!for_writing || e->nr_write > 0));
	if (for_writing && --e->nr_write == 0)
		t->nr_write--;
	if (--e->nr == 0)
		t->nr_open--;
	last = entry_put_locked(t, p);
	os_mutex_unlock(&t->lock);
	if (last)
		let_go(ds, ino);
}

void file_unhold(struct dataset *ds, uint64_t ino)
{
	struct open_table *t = ds->open;
	struct open_entry **p;
	bool last;

	os_mutex_lock(&t->lock);
	p = slot_of(t, ino);
	dbs_assert(*p && (*p)->nr_held > 0);
	(*p)->nr_held--;
	last = entry_put_locked(t, p);
	os_mutex_unlock(&t->lock);
	if (last)
		let_go(ds, ino);
}

void dataset_open_files(struct dataset *ds, uint32_t *nr, uint32_t *nr_write)
{
	struct open_table *t = ds->open;

	os_mutex_lock(&t->lock);
	*nr = t->nr_open;
	*nr_write = t->nr_write;
	os_mutex_unlock(&t->lock);
}
