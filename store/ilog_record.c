/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes into a log record.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/ilog_internal.h"
#include "store/node.h"
#include "store/pool_internal.h"

#define RECORD_BYTES 448u /* to begin with: most need no more */

int ilog_record_new(struct op *op)
{
	struct ilog_record *r;

	op->record = NULL;
	if (!op->pool->ilog || op->pool->replay.on)
		return 0;
	r = malloc(sizeof(*r) + RECORD_BYTES);
	if (!r)
		return -ENOMEM;
	*r = (struct ilog_record){.cap = RECORD_BYTES};
	r->bytes = r->inline_bytes;
	list_init(&r->link);
	op->record = r;
	return 0;
}

void ilog_record_discard(struct ilog_record *r)
{
	if (r->bytes != r->inline_bytes)
		free(r->bytes);
	free(r);
}

void ilog_record_free(struct op *op)
{
	if (op->record && !op->record->queued)
		ilog_record_discard(op->record);
	op->record = NULL;
}

/* Room for @len bytes at the record's end, or NULL: the record is lost. */
static uint8_t *extend(struct ilog_record *r, size_t len)
{
	size_t want = r->len + len;
	uint8_t *p;

	if (r->lost)
		return NULL;
	if (want > r->cap) {
		size_t cap = MAX_OF(2 * (size_t)r->cap, want);

		p = r->bytes == r->inline_bytes ? malloc(cap)
						: realloc(r->bytes, cap);
		if (!p) {
			r->lost = true;
			return NULL;
		}
		if (r->bytes == r->inline_bytes)
			memcpy(p, r->bytes, r->len);
		r->bytes = p;
		r->cap = (uint32_t)cap;
	}
	p = r->bytes + r->len;
	r->len += (uint32_t)len;
	return p;
}

/* A part of @len bytes and up to two strings of bytes behind it. */
static void add2(struct op *op, const void *part, size_t len, const void *a,
		 size_t a_len, const void *b, size_t b_len)
{
	uint8_t *p;

	if (!op->record)
		return;
	dbs_assert(op->ready);
	p = extend(op->record, len + a_len + b_len);
	if (!p)
		return;
	memcpy(p, part, len);
	if (a_len)
		memcpy(p + len, a, a_len);
	if (b_len)
		memcpy(p + len + a_len, b, b_len);
}

static void add(struct op *op, const void *part, size_t len, const void *more,
		size_t more_len)
{
	add2(op, part, len, more, more_len, NULL, 0);
}

/* ---- a dataset's tree ---------------------------------------------------- */

/* The pool's own trees are not logged: what is in them follows. */
static bool is_logged(const struct op *op, const struct btree *bt)
{
	return op->record && bt->owner != 0 && !op->unlogged;
}

static void name_dataset(struct op *op, uint32_t id)
{
	struct ilog_dataset part = {.kind = ILOG_DATASET, .id = le32_of(id)};

	if (op->record->dataset == id)
		return;
	op->record->dataset = id;
	add(op, &part, sizeof(part), NULL, 0);
}

static struct ilog_key key_store(const struct key *key)
{
	struct ilog_key k;

	key_encode(key, k.b);
	return k;
}

static void put_extent(struct op *op, const struct key *key, const void *value)
{
	struct ilog_extent part = {.kind = ILOG_EXTENT, .key = key_store(key)};
	uint64_t blkno;

	memcpy(&part.item, value, sizeof(part.item));
	blkno = le40_get(part.item.blkno);
	if (blkno == 0)
		return; /* a placeholder: the bytes are logged */
	if (blkno != op->claimed)
		part.run = ILOG_RUN_SHARED;
	else if (op->sealing)
		part.run = ILOG_RUN_SEALED;
	else
		part.run = ILOG_RUN_NEW;
	if (part.run == ILOG_RUN_NEW)
		op->record->nr_data += (part.item.meta & 31u) + 1;
	add(op, &part, sizeof(part), NULL, 0);
}

void ilog_put(struct op *op, const struct btree *bt, const struct key *key,
	      const void *value, size_t len)
{
	struct ilog_put part = {.kind = ILOG_PUT,
				.len = le16_of((uint16_t)len)};

	if (!is_logged(op, bt))
		return;
	name_dataset(op, bt->owner);
	if (key->type == ITEM_EXTENT) {
		put_extent(op, key, value);
		return;
	}
	part.key = key_store(key);
	add(op, &part, sizeof(part), value, len);
}

void ilog_del(struct op *op, const struct btree *bt, const struct key *key)
{
	struct ilog_del part = {.kind = ILOG_DEL};

	if (!is_logged(op, bt))
		return;
	name_dataset(op, bt->owner);
	part.key = key_store(key);
	add(op, &part, sizeof(part), NULL, 0);
}

void ilog_trim(struct op *op, const struct btree *bt, const struct key *first,
	       const struct key *last)
{
	struct ilog_trim part = {.kind = ILOG_TRIM};

	if (!is_logged(op, bt))
		return;
	name_dataset(op, bt->owner);
	part.first = key_store(first);
	part.last = key_store(last);
	add(op, &part, sizeof(part), NULL, 0);
}

void ilog_bytes(struct op *op, const struct dataset *ds, uint64_t ino,
		uint64_t offset, const void *src, uint32_t len)
{
	struct ilog_bytes part = {
		.kind = ILOG_BYTES,
		.zero = src == NULL,
		.ino = le40_of(ino),
		.offset = le64_of(offset),
		.len = le32_of(len),
	};

	if (!is_logged(op, &ds->tree))
		return;
	name_dataset(op, ds->id);
	add(op, &part, sizeof(part), src, src ? len : 0);
}

/* ---- datasets ------------------------------------------------------------ */

static struct timespec_item time_store(struct timespec t)
{
	return (struct timespec_item){
		.sec = le64_of((uint64_t)(int64_t)t.tv_sec),
		.nsec = le32_of((uint32_t)t.tv_nsec),
	};
}

static struct ilog_properties
properties_store(const struct dataset_properties *p)
{
	return (struct ilog_properties){
		.quota = le64_of(p->quota),
		.compression = le32_of((uint32_t)p->compression),
		.record_shift = (uint8_t)__builtin_ctz(p->recordsize),
		.readonly = p->readonly,
	};
}

void ilog_create(struct op *op, const struct dataset *ds)
{
	struct ilog_create part = {
		.kind = ILOG_CREATE,
		.id = le32_of(ds->id),
		.time = time_store(ds->created),
		.properties = properties_store(&ds->properties),
		.name_len = (uint8_t)strlen(ds->name),
	};

	add(op, &part, sizeof(part), ds->name, part.name_len);
}

void ilog_snapshot(struct op *op, const struct dataset *ds,
		   const struct dataset *snap)
{
	struct ilog_snapshot part = {
		.kind = ILOG_SNAPSHOT,
		.dataset = le32_of(ds->id),
		.id = le32_of(snap->id),
		.sealed = le40_of(snap->created_txg),
		.time = time_store(snap->created),
		.automatic = (snap->flags & DATASET_AUTOMATIC) != 0,
		.name_len = (uint8_t)strlen(snap->name),
	};

	add(op, &part, sizeof(part), snap->name, part.name_len);
}

void ilog_clone(struct op *op, const struct dataset *source,
		const struct dataset *clone)
{
	struct ilog_clone part = {
		.kind = ILOG_CLONE,
		.source = le32_of(source->id),
		.id = le32_of(clone->id),
		.sealed = le40_of(clone->created_txg),
		.time = time_store(clone->created),
		.name_len = (uint8_t)strlen(clone->name),
	};

	add(op, &part, sizeof(part), clone->name, part.name_len);
}

void ilog_restore(struct op *op, const struct dataset *ds,
		  const struct dataset *snap, const struct dataset *keep,
		  uint64_t sealed)
{
	struct ilog_restore part = {
		.kind = ILOG_RESTORE,
		.dataset = le32_of(ds->id),
		.snapshot = le32_of(snap->id),
		.sealed = le40_of(sealed),
	};

	if (keep) {
		part.keep = le32_of(keep->id);
		part.time = time_store(keep->created);
		part.name_len = (uint8_t)strlen(keep->name);
	}
	add(op, &part, sizeof(part), keep ? keep->name : NULL, part.name_len);
}

void ilog_destroy(struct op *op, const struct dataset *ds, bool snapshots)
{
	struct ilog_destroy part = {
		.kind = ILOG_DESTROY,
		.id = le32_of(ds->id),
		.snapshots = snapshots,
	};

	add(op, &part, sizeof(part), NULL, 0);
}

void ilog_rename(struct op *op, const struct dataset *ds)
{
	struct ilog_rename part = {
		.kind = ILOG_RENAME,
		.id = le32_of(ds->id),
		.name_len = (uint8_t)strlen(ds->name),
	};

	add(op, &part, sizeof(part), ds->name, part.name_len);
}

void ilog_set(struct op *op, const struct dataset *ds)
{
	struct ilog_set part = {
		.kind = ILOG_SET,
		.id = le32_of(ds->id),
		.properties = properties_store(&ds->properties),
	};

	add(op, &part, sizeof(part), NULL, 0);
}

void ilog_user(struct op *op, const struct dataset *ds, const char *key,
	       const char *value)
{
	size_t key_len = strlen(key), value_len = value ? strlen(value) : 0;
	struct ilog_user part = {
		.kind = ILOG_USER,
		.id = le32_of(ds->id),
		.key_len = le16_of((uint16_t)key_len),
		.value_len =
			le32_of(value ? (uint32_t)value_len : ILOG_USER_UNSET),
	};

	add2(op, &part, sizeof(part), key, key_len, value, value_len);
}
