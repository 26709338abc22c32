/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets in memory: all of them, from open to close.  A few hundred bytes
 * each; thousands are no burden, and a name is found without a tree.
 *
 * Charged bytes (what a quota counts) of a dataset are its head's fresh
 * blocks, born after the snapshot its lineage passed last, and those that
 * were fresh in each of its snapshots when they were made: every block counts
 * once, where it is first seen (dataset_charge.c).
 */
#include "store/dataset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/compress.h"
#include "store/csum.h"
#include "store/dataset_table.h"
#include "store/inode.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "store/util.h"

const char *dataset_name_problem(const char *name)
{
	size_t len = strlen(name);

	if (len == 0)
		return "is empty";
	if (len > DATASET_NAME_MAX)
		return "is longer than 200 bytes";
	if (name[0] == '.')
		return "starts with '.'";
	if (name[0] == '-')
		return "starts with '-'";
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || strchr("._-:", c)))
			return "has a character other than letters, digits, "
			       "'.', '_', '-' and ':'";
	}
	return NULL;
}

void dataset_properties_default(struct dataset_properties *p)
{
	*p = (struct dataset_properties){
		.recordsize = 1u << DATASET_RECORD_SHIFT_DEFAULT,
		.compression = COMPRESS_LEVEL_DEFAULT,
	};
}

/* ---- tables; pool->names held ------------------------------------------- */

static struct dataset **id_bucket(struct pool *pool, uint32_t id)
{
	return &pool->by_id[id % DATASET_BUCKETS];
}

static struct dataset **name_bucket(struct pool *pool, const char *name)
{
	return &pool->by_name[csum_of(name, strlen(name), 0) % DATASET_BUCKETS];
}

struct dataset *dataset_find_id(struct pool *pool, uint32_t id)
{
	struct dataset *ds = *id_bucket(pool, id);

	while (ds && ds->id != id)
		ds = ds->next_by_id;
	return ds;
}

struct dataset *dataset_find_name(struct pool *pool, const char *name)
{
	struct dataset *ds = *name_bucket(pool, name);

	while (ds && strcmp(ds->name, name) != 0)
		ds = ds->next_by_name;
	return ds;
}

struct dataset *dataset_find_snapshot(struct dataset *ds, const char *name)
{
	for (struct list *l = ds->snapshots.next; l != &ds->snapshots;
	     l = l->next) {
		struct dataset *s = container_of(l, struct dataset, sibling);

		if (strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

void dataset_name_add(struct dataset *ds)
{
	struct dataset **b = name_bucket(ds->pool, ds->name);

	ds->next_by_name = *b;
	*b = ds;
}

void dataset_name_remove(struct dataset *ds)
{
	struct dataset **b = name_bucket(ds->pool, ds->name);

	while (*b != ds)
		b = &(*b)->next_by_name;
	*b = ds->next_by_name;
}

void dataset_insert(struct dataset *ds)
{
	struct pool *pool = ds->pool;
	struct dataset **b = id_bucket(pool, ds->id), *parent;

	ds->next_by_id = *b;
	*b = ds;
	if (!ds->snapshot) {
		dataset_name_add(ds);
		pool->nr_datasets++;
		return;
	}
	parent = dataset_find_id(pool, ds->parent);
	dbs_assert(parent);
	list_add_tail(&parent->snapshots, &ds->sibling);
	parent->nr_snapshots++;
	__atomic_add_fetch(&parent->held, ds->fresh, __ATOMIC_RELAXED);
	pool->nr_snapshots++;
}

void dataset_remove(struct dataset *ds)
{
	struct pool *pool = ds->pool;
	struct dataset **b = id_bucket(pool, ds->id), *parent;

	while (*b != ds)
		b = &(*b)->next_by_id;
	*b = ds->next_by_id;
	if (!ds->snapshot) {
		dataset_name_remove(ds);
		pool->nr_datasets--;
		return;
	}
	parent = dataset_find_id(pool, ds->parent);
	if (parent) {
		list_del(&ds->sibling);
		parent->nr_snapshots--;
		__atomic_sub_fetch(&parent->held, ds->fresh, __ATOMIC_RELAXED);
	}
	pool->nr_snapshots--;
}

/* ---- objects ------------------------------------------------------------ */

int dataset_new(struct pool *pool, struct dataset **out)
{
	struct dataset *ds = calloc(1, sizeof(*ds));
	int rc;

	if (!ds)
		return -ENOMEM;
	ds->pool = pool;
	ds->refs = 1;
	os_rwlock_init(&ds->lock);
	list_init(&ds->dirty_link);
	list_init(&ds->snapshots);
	list_init(&ds->sibling);
	rc = file_state_new(ds);
	if (rc) {
		os_rwlock_release(&ds->lock);
		free(ds);
		return rc;
	}
	*out = ds;
	return 0;
}

void dataset_get(struct dataset *ds)
{
	__atomic_add_fetch(&ds->refs, 1, __ATOMIC_RELAXED);
}

void dataset_put(struct dataset *ds)
{
	if (!ds || __atomic_sub_fetch(&ds->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	file_state_free(ds);
	os_rwlock_release(&ds->lock);
	free(ds->kin);
	free(ds);
}

uint32_t dataset_id(const struct dataset *ds)
{
	return ds->id;
}

bool dataset_is_snapshot(const struct dataset *ds)
{
	return ds->snapshot;
}

uint64_t dataset_generation(const struct dataset *ds)
{
	return __atomic_load_n(&ds->generation, __ATOMIC_ACQUIRE);
}

struct pool *dataset_pool(const struct dataset *ds)
{
	return ds->pool;
}

/* ---- finding ------------------------------------------------------------ */

int dataset_open_id(struct pool *pool, uint32_t id, struct dataset **ds)
{
	os_mutex_lock(&pool->names);
	*ds = dataset_find_id(pool, id);
	if (*ds)
		dataset_get(*ds);
	os_mutex_unlock(&pool->names);
	return *ds ? 0 : -ENOENT;
}

int dataset_open(struct pool *pool, const char *name, struct dataset **out)
{
	char copy[DATASET_FULL_NAME_MAX], *at;
	struct dataset *ds;

	if (strlen(name) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, name);
	at = strchr(copy, '@');
	if (at)
		*at++ = '\0';
	if (dataset_name_problem(copy) || (at && dataset_name_problem(at)))
		return -EINVAL;
	os_mutex_lock(&pool->names);
	ds = dataset_find_name(pool, copy);
	if (ds && at) {
		struct dataset *s = dataset_find_snapshot(ds, at);

		if (!s && strcmp(at, "latest") == 0 &&
		    !list_empty(&ds->snapshots))
			s = container_of(ds->snapshots.prev, struct dataset,
					 sibling);
		ds = s;
	}
	if (ds)
		dataset_get(ds);
	os_mutex_unlock(&pool->names);
	*out = ds;
	return ds ? 0 : -ENOENT;
}

static int compare_names(const void *a, const void *b)
{
	const struct dataset *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

int dataset_list(struct pool *pool, uint32_t parent, uint32_t **ids, size_t *nr)
{
	struct dataset **all, *ds;
	size_t n = 0;

	*ids = NULL;
	*nr = 0;
	os_mutex_lock(&pool->names);
	all = calloc(pool->nr_datasets + (size_t)pool->nr_snapshots + 1,
		     sizeof(struct dataset *));
	*ids = calloc(pool->nr_datasets + (size_t)pool->nr_snapshots + 1,
		      sizeof(**ids));
	if (!all || !*ids)
		goto nomem;
	if (parent) {
		ds = dataset_find_id(pool, parent);
		for (struct list *l = ds ? ds->snapshots.next : NULL;
		     ds && l != &ds->snapshots; l = l->next)
			all[n++] = container_of(l, struct dataset, sibling);
	} else {
		for (uint32_t b = 0; b < DATASET_BUCKETS; b++)
			for (ds = pool->by_name[b]; ds; ds = ds->next_by_name)
				all[n++] = ds;
		qsort(all, n, sizeof(struct dataset *), compare_names);
	}
	for (size_t i = 0; i < n; i++)
		(*ids)[i] = all[i]->id;
	*nr = n;
	os_mutex_unlock(&pool->names);
	free(all);
	return 0;
nomem:
	os_mutex_unlock(&pool->names);
	free(all);
	free(*ids);
	*ids = NULL;
	return -ENOMEM;
}

static uint64_t blocks_to_bytes(int64_t blocks)
{
	return blocks > 0 ? (uint64_t)blocks << BLOCK_SHIFT : 0;
}

void dataset_info(struct dataset *ds, struct dataset_info *info)
{
	struct pool *pool = ds->pool;
	struct dataset *parent;
	int64_t held;

	memset(info, 0, sizeof(*info));
	os_mutex_lock(&pool->names);
	parent = ds->snapshot ? dataset_find_id(pool, ds->parent) : NULL;
	if (parent) {
		size_t len = strlen(parent->name);

		memcpy(info->name, parent->name, len);
		info->name[len] = '@';
		strcpy(info->name + len + 1, ds->name);
	} else {
		strcpy(info->name, ds->name);
	}
	strcpy(info->origin_name, ds->origin_name);
	info->origin = dataset_find_id(pool, ds->origin) ? ds->origin : 0;
	info->nr_snapshots = ds->nr_snapshots;
	info->created = ds->created;
	info->created_txg = ds->created_txg;
	os_rwlock_rdlock(&ds->lock);
	held = __atomic_load_n(&ds->held, __ATOMIC_RELAXED);
	info->charged = blocks_to_bytes(ds->fresh + (ds->snapshot ? 0 : held));
	info->referenced = ds->referenced << BLOCK_SHIFT;
	info->logical = ds->logical;
	info->nr_inodes = ds->nr_inodes;
	info->automatic = ds->flags & DATASET_AUTOMATIC;
	info->properties = ds->properties;
	os_rwlock_unlock(&ds->lock);
	os_mutex_unlock(&pool->names);
	info->id = ds->id;
	info->parent = ds->parent;
	info->snapshot = ds->snapshot;
	info->generation = dataset_generation(ds);
}

void dataset_space(struct dataset *ds, uint64_t *size, uint64_t *free)
{
	struct space_map_stat st;
	struct dataset_info info;

	space_map_stat(ds->pool->sm, &st);
	dataset_info(ds, &info);
	*size = st.nr_blocks << BLOCK_SHIFT;
	*free = st.nr_free > st.nr_reserve
			? (st.nr_free - st.nr_reserve) << BLOCK_SHIFT
			: 0;
	if (info.properties.quota) {
		uint64_t left = info.properties.quota > info.charged
					? info.properties.quota - info.charged
					: 0;

		*free = MIN_OF(*free, left);
		*size = MIN_OF(*size,
			       MAX_OF(info.properties.quota, info.charged));
	}
}

/* ---- may it be changed -------------------------------------------------- */

int dataset_may_change(const struct dataset *ds)
{
	if (dataset_generation(ds) == UINT64_MAX)
		return -ESTALE;
	if (ds->snapshot || ds->properties.readonly)
		return -EROFS;
	return 0;
}

int dataset_check_quota(const struct dataset *ds, uint64_t nr_blocks)
{
	uint64_t quota = ds->properties.quota >> BLOCK_SHIFT;
	int64_t charged =
		ds->fresh + __atomic_load_n(&ds->held, __ATOMIC_RELAXED);

	if (ds->properties.quota == 0)
		return 0;
	/* what is in memory yet was accepted, and will be charged */
	charged += dirty_growth(ds);
	return (charged > 0 ? (uint64_t)charged : 0) + nr_blocks > quota
		       ? -EDQUOT
		       : 0;
}

void dataset_mark_dirty(struct op *op, struct dataset *ds)
{
	struct txg_group *g = op->group;

	ds->changed_lsn = MAX_OF(ds->changed_lsn, op->lsn);
	if (ds->dirty)
		return;
	ds->dirty = true;
	dataset_get(ds);
	os_mutex_lock(&g->lock);
	list_add_tail(&g->dirty_datasets, &ds->dirty_link);
	g->nr_dirty_datasets++;
	os_mutex_unlock(&g->lock);
}

/* ---- the item in the root tree ------------------------------------------ */

int dataset_touch(struct op *op, struct dataset *ds)
{
	struct key key = key_of(ds->id, ITEM_DATASET, 0);

	return btree_touch(op, &op->pool->root_tree, &key);
}

static struct timespec_item time_store(struct timespec t)
{
	return (struct timespec_item){
		.sec = le64_of((uint64_t)t.tv_sec),
		.nsec = le32_of((uint32_t)t.tv_nsec),
	};
}

static struct timespec time_load(const struct timespec_item *t)
{
	return (struct timespec){
		.tv_sec = (time_t)le64_get(t->sec),
		.tv_nsec = (long)le32_get(t->nsec),
	};
}

static size_t origin_length(const struct dataset *ds)
{
	/* the length is a byte, and it is only for people */
	return MIN_OF(strlen(ds->origin_name), (size_t)255);
}

bool dataset_store_fits(struct op *op, const struct dataset *ds)
{
	struct key key = key_of(ds->id, ITEM_DATASET, 0);
	size_t len = 0;
	uint8_t byte;

	return dataset_generation(ds) == UINT64_MAX ||
	       (btree_get(op, &op->pool->root_tree, &key, &byte, 1, &len) ==
			0 &&
		len == sizeof(struct dataset_item) + strlen(ds->name) +
				origin_length(ds));
}

void dataset_store(struct op *op, struct dataset *ds)
{
	uint8_t buf[sizeof(struct dataset_item) + DATASET_NAME_MAX +
		    DATASET_FULL_NAME_MAX];
	struct key key = key_of(ds->id, ITEM_DATASET, 0);
	struct dataset_item *d = (struct dataset_item *)buf;
	size_t name_len = strlen(ds->name);
	size_t origin_len = origin_length(ds);

	/* destroyed in this very group: there is nothing to say of it */
	if (dataset_generation(ds) == UINT64_MAX)
		return;
	memset(d, 0, sizeof(*d));
	d->tree = tree_root_store(&ds->tree.root);
	d->flags = le32_of(ds->flags | (ds->snapshot ? DATASET_SNAPSHOT : 0) |
			   (ds->properties.readonly ? DATASET_READONLY : 0));
	d->parent = le32_of(ds->parent);
	d->origin = le32_of(ds->origin);
	d->previous = le32_of(ds->previous);
	d->created_txg = le64_of(ds->created_txg);
	d->previous_txg = le64_of(ds->previous_txg);
	d->created = time_store(ds->created);
	d->next_ino = le64_of(ds->next_ino);
	d->generation = le64_of(dataset_generation(ds));
	d->referenced = le64_of(ds->referenced);
	d->logical = le64_of(ds->logical);
	d->fresh = le64_of((uint64_t)ds->fresh);
	d->nr_inodes = le64_of(ds->nr_inodes);
	d->nr_orphans = le64_of(ds->nr_orphans);
	d->quota = le64_of(ds->properties.quota);
	d->compression = le32_of((uint32_t)ds->properties.compression);
	d->record_shift = (uint8_t)__builtin_ctz(ds->properties.recordsize);
	d->origin_len = (uint8_t)origin_len;
	d->name_len = (uint8_t)name_len;
	memcpy(buf + sizeof(*d), ds->name, name_len);
	memcpy(buf + sizeof(*d) + name_len, ds->origin_name, origin_len);
	btree_put(op, &op->pool->root_tree, &key, buf,
		  sizeof(*d) + name_len + origin_len);
}

/* Blocks: far more than there are, and a million of it can be summed. */
#define FRESH_MAX (INT64_C(1) << 42)

static int item_verify(const struct dataset_item *d, uint32_t len,
		       uint64_t nr_blocks)
{
	const char *name = (const char *)(d + 1);
	char copy[DATASET_NAME_MAX + 1];
	int64_t fresh;

	if (len < sizeof(*d) || d->name_len > DATASET_NAME_MAX ||
	    len != sizeof(*d) + d->name_len + d->origin_len)
		return -EUCLEAN;
	memcpy(copy, name, d->name_len);
	copy[d->name_len] = '\0';
	fresh = (int64_t)le64_get(d->fresh);
	if (strlen(copy) != d->name_len || dataset_name_problem(copy) ||
	    memchr(name + d->name_len, 0, d->origin_len) ||
	    d->record_shift < DATASET_RECORD_SHIFT_MIN ||
	    d->record_shift > DATASET_RECORD_SHIFT_MAX ||
	    (int32_t)le32_get(d->compression) < COMPRESS_LEVEL_MIN ||
	    (int32_t)le32_get(d->compression) > COMPRESS_LEVEL_MAX ||
	    d->tree.level >= NODE_LEVEL_MAX ||
	    le40_get(d->tree.node.blkno) == 0 ||
	    le40_get(d->tree.node.blkno) >= nr_blocks ||
	    le64_get(d->generation) == UINT64_MAX ||
	    le64_get(d->next_ino) < INO_FIRST ||
	    le64_get(d->next_ino) > INO_MAX + 1 ||
	    le32_get(d->created.nsec) >= 1000000000 || fresh < -FRESH_MAX ||
	    fresh > FRESH_MAX)
		return -EUCLEAN;
	return 0;
}

static int load_one(struct pool *pool, const struct btree_cursor *cur,
		    uint64_t nr_blocks, struct dataset **out)
{
	const struct dataset_item *d = (const struct dataset_item *)cur->value;
	struct dataset *ds;
	int rc = item_verify(d, cur->len, nr_blocks);

	if (rc || cur->key.ino == 0 || cur->key.ino >= pool->next_dataset ||
	    cur->key.offset != 0)
		return -EUCLEAN;
	rc = dataset_new(pool, &ds);
	if (rc)
		return rc;
	ds->id = (uint32_t)cur->key.ino;
	ds->flags = le32_get(d->flags) &
		    (uint32_t) ~(DATASET_SNAPSHOT | DATASET_READONLY);
	ds->snapshot = le32_get(d->flags) & DATASET_SNAPSHOT;
	ds->parent = le32_get(d->parent);
	ds->origin = le32_get(d->origin);
	ds->previous = le32_get(d->previous);
	ds->previous_txg = le64_get(d->previous_txg);
	ds->created_txg = le64_get(d->created_txg);
	ds->created = time_load(&d->created);
	ds->generation = le64_get(d->generation);
	ds->tree.root = tree_root_load(&d->tree);
	ds->tree.owner = ds->id;
	ds->next_ino = le64_get(d->next_ino);
	ds->referenced = le64_get(d->referenced);
	ds->logical = le64_get(d->logical);
	ds->fresh = (int64_t)le64_get(d->fresh);
	ds->nr_inodes = le64_get(d->nr_inodes);
	ds->nr_orphans = le64_get(d->nr_orphans);
	ds->properties = (struct dataset_properties){
		.recordsize = 1u << d->record_shift,
		.compression = (int32_t)le32_get(d->compression),
		.quota = le64_get(d->quota),
		.readonly = le32_get(d->flags) & DATASET_READONLY,
	};
	memcpy(ds->name, d + 1, d->name_len);
	memcpy(ds->origin_name, (const char *)(d + 1) + d->name_len,
	       d->origin_len);
	*out = ds;
	return 0;
}

static int compare_created(const void *a, const void *b)
{
	const struct dataset *const *x = a, *const *y = b;

	/* datasets before snapshots, those by creation; ids rise with time */
	if ((*x)->snapshot != (*y)->snapshot)
		return (*x)->snapshot ? 1 : -1;
	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

/* May @ds join those already in the tables?  -EUCLEAN: the pool lies. */
static int may_insert(struct pool *pool, struct dataset *ds)
{
	struct dataset *parent;

	if (!ds->snapshot)
		return dataset_find_name(pool, ds->name) ? -EUCLEAN : 0;
	parent = dataset_find_id(pool, ds->parent);
	if (!parent || parent->snapshot ||
	    dataset_find_snapshot(parent, ds->name))
		return -EUCLEAN;
	return 0;
}

/* Of each dataset that has some. */
static int find_all_kin(struct pool *pool)
{
	for (uint32_t b = 0; b < DATASET_BUCKETS; b++)
		for (struct dataset *ds = pool->by_name[b]; ds;
		     ds = ds->next_by_name) {
			struct dataset **room;

			if (ds->nr_snapshots == 0)
				continue;
			room = calloc(ds->nr_snapshots, sizeof(*room));
			if (!room)
				return -ENOMEM;
			dataset_find_kin(ds, room);
		}
	return 0;
}

int dataset_load_all(struct pool *pool, struct store_error *error)
{
	struct key key = key_of(0, 0, 0);
	struct dataset **all = NULL;
	size_t nr = 0, cap = 0;
	struct btree_cursor cur;
	struct op op;
	int rc = op_begin(&op, pool, 0, OP_READ);

	while (rc == 0) {
		do {
			rc = btree_seek(&op, &pool->root_tree, &key, &cur);
			rc = op_retry(&op, rc);
		} while (rc == -EAGAIN);
		if (rc)
			break;
		/* the root tree stays in memory: see btree.sticky */
		node_cache_stick(pool->nc, cur.leaf);
		if (cur.key.type == ITEM_DATASET) {
			if (nr == cap) {
				struct dataset **p;

				cap = MAX_OF(2 * cap, (size_t)64);
				p = reallocarray(all, cap, sizeof(*p));
				if (!p)
					rc = -ENOMEM;
				else
					all = p;
			}
			if (rc == 0)
				rc = load_one(pool, &cur,
					      pool->dev->size / BLOCK_SIZE,
					      &all[nr]);
			nr += rc == 0;
		}
		btree_release(&op, &cur);
		key = key_next(&cur.key);
		/* the largest key stays what it is */
		if (key_compare(&key, &cur.key) == 0)
			break;
	}
	op_end(&op);
	if (rc == -ENOENT)
		rc = 0;
	if (rc == 0 && nr)
		qsort(all, nr, sizeof(struct dataset *), compare_created);
	for (size_t i = 0; i < nr; i++) {
		if (rc == 0)
			rc = may_insert(pool, all[i]);
		if (rc == 0)
			dataset_insert(all[i]);
		else
			dataset_put(all[i]);
	}
	free(all);
	if (rc == 0)
		rc = find_all_kin(pool);
	if (rc)
		store_error_set(error, "the pool is damaged: its list of "
				       "datasets cannot be read");
	return rc;
}

void dataset_free_all(struct pool *pool)
{
	for (uint32_t b = 0; b < DATASET_BUCKETS; b++)
		while (pool->by_id[b]) {
			struct dataset *ds = pool->by_id[b];

			pool->by_id[b] = ds->next_by_id;
			dataset_put(ds);
		}
}
