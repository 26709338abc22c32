/* SPDX-License-Identifier: Apache-2.0 */
#include "store/ilog_part.h"

#include <errno.h>
#include <string.h>

#include "store/dataset.h"
#include "store/file.h"
#include "store/inode.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "store/record.h"
#include "store/util.h"

#define USER_KEY_MAX   200u
#define USER_VALUE_MAX 1000u

int ilog_stored_next(const uint8_t **p, const uint8_t *end,
		     struct ilog_stored *r)
{
	struct ilog_record_header h;
	uint32_t len;

	if ((size_t)(end - *p) < sizeof(h))
		return -EUCLEAN;
	memcpy(&h, *p, sizeof(h));
	len = le32_get(h.length);
	if (len <= sizeof(h) || len > (size_t)(end - *p))
		return -EUCLEAN;
	r->txg = le40_get(h.txg);
	r->parts = *p + sizeof(h);
	r->end = *p + len;
	*p = r->end;
	return r->txg > 0 && r->txg <= ILOG_TXG_MAX ? 0 : -EUCLEAN;
}

/* ---- how long is a part? -------------------------------------------------- */

static size_t struct_size(uint8_t kind)
{
	switch (kind) {
	case ILOG_DATASET:
		return sizeof(struct ilog_dataset);
	case ILOG_PUT:
		return sizeof(struct ilog_put);
	case ILOG_DEL:
		return sizeof(struct ilog_del);
	case ILOG_TRIM:
		return sizeof(struct ilog_trim);
	case ILOG_EXTENT:
		return sizeof(struct ilog_extent);
	case ILOG_BYTES:
		return sizeof(struct ilog_bytes);
	case ILOG_CREATE:
		return sizeof(struct ilog_create);
	case ILOG_SNAPSHOT:
		return sizeof(struct ilog_snapshot);
	case ILOG_CLONE:
		return sizeof(struct ilog_clone);
	case ILOG_RESTORE:
		return sizeof(struct ilog_restore);
	case ILOG_DESTROY:
		return sizeof(struct ilog_destroy);
	case ILOG_RENAME:
		return sizeof(struct ilog_rename);
	case ILOG_SET:
		return sizeof(struct ilog_set);
	case ILOG_USER:
		return sizeof(struct ilog_user);
	default:
		return 0;
	}
}

/* Bytes behind the struct. */
static uint64_t more_size(uint8_t kind, const void *at)
{
	const struct ilog_bytes *bytes = at;
	const struct ilog_user *user = at;
	uint64_t value;

	switch (kind) {
	case ILOG_PUT:
		return le16_get(((const struct ilog_put *)at)->len);
	case ILOG_BYTES:
		return bytes->zero ? 0 : le32_get(bytes->len);
	case ILOG_CREATE:
		return ((const struct ilog_create *)at)->name_len;
	case ILOG_SNAPSHOT:
		return ((const struct ilog_snapshot *)at)->name_len;
	case ILOG_CLONE:
		return ((const struct ilog_clone *)at)->name_len;
	case ILOG_RESTORE:
		return ((const struct ilog_restore *)at)->name_len;
	case ILOG_RENAME:
		return ((const struct ilog_rename *)at)->name_len;
	case ILOG_USER:
		value = le32_get(user->value_len);
		return le16_get(user->key_len) +
		       (value == ILOG_USER_UNSET ? 0 : value);
	default:
		return 0;
	}
}

static void load_keys(struct ilog_part *part)
{
	const struct ilog_trim *trim = part->at;

	switch (part->kind) {
	case ILOG_PUT:
		part->key =
			key_decode(((const struct ilog_put *)part->at)->key.b);
		break;
	case ILOG_DEL:
		part->key =
			key_decode(((const struct ilog_del *)part->at)->key.b);
		break;
	case ILOG_EXTENT:
		part->key = key_decode(
			((const struct ilog_extent *)part->at)->key.b);
		break;
	case ILOG_TRIM:
		part->key = key_decode(trim->first.b);
		part->last = key_decode(trim->last.b);
		break;
	default:
		break;
	}
}

int ilog_part_next(const uint8_t **p, const uint8_t *end,
		   struct ilog_part *part)
{
	size_t left = (size_t)(end - *p), size;
	uint64_t more;

	memset(part, 0, sizeof(*part));
	size = left ? struct_size(**p) : 0;
	if (size == 0 || size > left)
		return -EUCLEAN;
	more = more_size(**p, *p);
	if (more > left - size)
		return -EUCLEAN;
	part->kind = **p;
	part->at = *p;
	part->more = *p + size;
	part->more_len = (uint32_t)more;
	load_keys(part);
	*p += size + more;
	return 0;
}

/* ---- parts that change files ---------------------------------------------- */

static bool extent_key_is_sound(const struct key *key)
{
	return key->ino > 0 && key->type == ITEM_EXTENT &&
	       key->offset <= (uint64_t)FILE_SIZE_MAX >> BLOCK_SHIFT;
}

static bool put_is_sound(const struct ilog_part *part)
{
	const struct orphan_item *orphan = (const void *)part->more;
	const struct dirent_item *dirent = (const void *)part->more;
	const struct key *key = &part->key;
	struct inode inode;

	if (part->more_len == 0 || part->more_len > NODE_ITEM_MAX - KEY_SIZE)
		return false;
	switch (key->type) {
	case ITEM_INODE:
		return key->ino > 0 && key->offset == 0 &&
		       !inode_decode(key->ino, part->more, part->more_len,
				     &inode);
	case ITEM_XATTR:
	case ITEM_SYMLINK:
		return key->ino > 0;
	case ITEM_DIRENT:
		return key->ino > 0 && part->more_len > sizeof(*dirent) &&
		       part->more_len == sizeof(*dirent) + dirent->name_len;
	case ITEM_ORPHAN:
		return key->ino == 0 && key->offset > 0 &&
		       key->offset <= INO_MAX &&
		       part->more_len == sizeof(*orphan) &&
		       (orphan->kind == ORPHAN_UNLINKED ||
			orphan->kind == ORPHAN_TRUNCATE);
	default:
		return false;
	}
}

static bool del_is_sound(const struct ilog_part *part)
{
	const struct key *key = &part->key;

	switch (key->type) {
	case ITEM_INODE:
		return key->ino > 0 && key->offset == 0;
	case ITEM_XATTR:
	case ITEM_SYMLINK:
	case ITEM_DIRENT:
		return key->ino > 0;
	case ITEM_EXTENT:
		return extent_key_is_sound(key);
	case ITEM_ORPHAN:
		return key->ino == 0 && key->offset > 0 &&
		       key->offset <= INO_MAX;
	default:
		return false;
	}
}

static bool trim_is_sound(const struct ilog_part *part)
{
	return part->key.ino > 0 && part->key.ino == part->last.ino &&
	       part->key.type >= ITEM_XATTR && part->last.type <= ITEM_EXTENT &&
	       key_compare(&part->key, &part->last) <= 0;
}

static bool extent_is_sound(const struct ilog_part *part, uint64_t txg)
{
	const struct ilog_extent *x = part->at;
	struct extent e;

	return extent_key_is_sound(&part->key) &&
	       (x->run == ILOG_RUN_NEW || x->run == ILOG_RUN_SHARED ||
		x->run == ILOG_RUN_SEALED) &&
	       extent_load((const uint8_t *)&x->item, sizeof(x->item),
			   DATASET_RECORD_SHIFT_MAX, &e) == 0 &&
	       e.blkno > 0 && e.birth <= txg &&
	       (x->run != ILOG_RUN_SEALED || e.encoding == EXTENT_RAW);
}

static bool bytes_is_sound(const struct ilog_part *part)
{
	const struct ilog_bytes *b = part->at;
	uint64_t offset = le64_get(b->offset);
	uint32_t len = le32_get(b->len);

	/* within one record of the largest size at least */
	return b->zero <= 1 && le40_get(b->ino) > 0 && len > 0 &&
	       len <= 1u << DATASET_RECORD_SHIFT_MAX &&
	       offset <= (uint64_t)FILE_SIZE_MAX &&
	       offset >> DATASET_RECORD_SHIFT_MAX ==
		       (offset + len - 1) >> DATASET_RECORD_SHIFT_MAX;
}

/* ---- parts that change datasets ------------------------------------------- */

static bool name_is_sound(const uint8_t *name, size_t len)
{
	char copy[DATASET_NAME_MAX + 1];

	if (len > DATASET_NAME_MAX || memchr(name, 0, len))
		return false;
	memcpy(copy, name, len);
	copy[len] = '\0';
	return !dataset_name_problem(copy);
}

static bool id_is_sound(struct le32 id)
{
	return le32_get(id) > 0 && le32_get(id) < DATASET_ID_END;
}

static bool time_is_sound(const struct timespec_item *t)
{
	return le32_get(t->nsec) < 1000000000u;
}

static bool properties_are_sound(const struct ilog_properties *p)
{
	return p->record_shift >= DATASET_RECORD_SHIFT_MIN &&
	       p->record_shift <= DATASET_RECORD_SHIFT_MAX && p->readonly <= 1;
}

static bool create_is_sound(const struct ilog_part *part)
{
	const struct ilog_create *c = part->at;

	return id_is_sound(c->id) && time_is_sound(&c->time) &&
	       properties_are_sound(&c->properties) &&
	       name_is_sound(part->more, part->more_len);
}

static bool snapshot_is_sound(const struct ilog_part *part)
{
	const struct ilog_snapshot *s = part->at;

	return id_is_sound(s->dataset) && id_is_sound(s->id) &&
	       le40_get(s->sealed) <= ILOG_TXG_MAX && time_is_sound(&s->time) &&
	       s->automatic <= 1 && name_is_sound(part->more, part->more_len);
}

static bool clone_is_sound(const struct ilog_part *part)
{
	const struct ilog_clone *c = part->at;

	return id_is_sound(c->source) && id_is_sound(c->id) &&
	       le40_get(c->sealed) <= ILOG_TXG_MAX && time_is_sound(&c->time) &&
	       name_is_sound(part->more, part->more_len);
}

static bool restore_is_sound(const struct ilog_part *part)
{
	const struct ilog_restore *r = part->at;
	bool keep = le32_get(r->keep) != 0;

	return id_is_sound(r->dataset) && id_is_sound(r->snapshot) &&
	       le40_get(r->sealed) <= ILOG_TXG_MAX && time_is_sound(&r->time) &&
	       (keep ? id_is_sound(r->keep) &&
				name_is_sound(part->more, part->more_len)
		     : part->more_len == 0);
}

static bool user_is_sound(const struct ilog_part *part)
{
	const struct ilog_user *u = part->at;
	uint32_t key_len = le16_get(u->key_len);

	return id_is_sound(u->id) && key_len > 0 && key_len <= USER_KEY_MAX &&
	       part->more_len - key_len <= USER_VALUE_MAX &&
	       !memchr(part->more, 0, part->more_len);
}

static bool dataset_part_is_sound(const struct ilog_part *part)
{
	switch (part->kind) {
	case ILOG_CREATE:
		return create_is_sound(part);
	case ILOG_SNAPSHOT:
		return snapshot_is_sound(part);
	case ILOG_CLONE:
		return clone_is_sound(part);
	case ILOG_RESTORE:
		return restore_is_sound(part);
	case ILOG_DESTROY:
		return id_is_sound(((const struct ilog_destroy *)part->at)->id);
	case ILOG_RENAME:
		return id_is_sound(
			       ((const struct ilog_rename *)part->at)->id) &&
		       name_is_sound(part->more, part->more_len);
	case ILOG_SET:
		return id_is_sound(((const struct ilog_set *)part->at)->id) &&
		       properties_are_sound(&((const struct ilog_set *)part->at)
						     ->properties);
	case ILOG_USER:
		return user_is_sound(part);
	default:
		return false;
	}
}

/* ---- a whole log record --------------------------------------------------- */

static bool file_part_is_sound(const struct ilog_part *part, uint64_t txg)
{
	switch (part->kind) {
	case ILOG_DATASET:
		return id_is_sound(((const struct ilog_dataset *)part->at)->id);
	case ILOG_PUT:
		return put_is_sound(part);
	case ILOG_DEL:
		return del_is_sound(part);
	case ILOG_TRIM:
		return trim_is_sound(part);
	case ILOG_EXTENT:
		return extent_is_sound(part, txg);
	case ILOG_BYTES:
		return bytes_is_sound(part);
	default:
		return false;
	}
}

int ilog_stored_verify(const struct ilog_stored *r)
{
	const uint8_t *p = r->parts;
	bool named = false;
	uint8_t last = 0; /* kind of the part on datasets */
	struct ilog_part part;

	while (p < r->end) {
		int rc = ilog_part_next(&p, r->end, &part);

		if (rc)
			return rc;
		if (ilog_part_is_file(&part)) {
			named |= part.kind == ILOG_DATASET;
			if (!named || last ||
			    !file_part_is_sound(&part, r->txg))
				return -EUCLEAN;
			continue;
		}
		/* only snapshots come in numbers */
		if ((last && (last != ILOG_SNAPSHOT || part.kind != last)) ||
		    !dataset_part_is_sound(&part))
			return -EUCLEAN;
		last = part.kind;
	}
	return 0;
}
