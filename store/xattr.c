/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xattr.c - extended attributes
 *
 * An attribute is a row of chunks: the first starts with a header and the
 * name, the value runs on through all of them.  Its place is the name's hash
 * and a number that tells collisions apart.
 */
#include "store/file_internal.h"

#include <string.h>
#include <sys/xattr.h>

#include "store/namehash.h"
#include "store/txg.h"

#define XATTR_CHUNK_BITS 8u
#define XATTR_CAPABILITY "security.capability"

/* A first chunk, taken apart. */
struct xattr_head {
	uint32_t value_len;
	uint8_t name_len;
	const char *name;
	const uint8_t *value; /* the part in this chunk */
	uint32_t here;	      /* its length */
};

static uint32_t nr_chunks_of(size_t name_len, size_t value_len)
{
	return (uint32_t)div_round_up(
		sizeof(struct xattr_item) + name_len + value_len, CHUNK_SIZE);
}

static int head_load(const struct dataset *ds, const struct btree_cursor *cur,
		     struct xattr_head *h)
{
	struct xattr_item item;
	size_t head;

	if (cur->len < sizeof(item) + 1)
		return inode_damaged(ds, cur->key.ino, "xattr");
	memcpy(&item, cur->value, sizeof(item));
	head = sizeof(item) + item.name_len;
	h->value_len = le32_get(item.value_len);
	h->name_len = item.name_len;
	h->name = (const char *)cur->value + sizeof(item);
	if (h->name_len == 0 || h->value_len > XATTR_VALUE_MAX ||
	    cur->len != MIN_OF(CHUNK_SIZE, head + h->value_len) ||
	    cur->len < head || memchr(h->name, 0, h->name_len))
		return inode_damaged(ds, cur->key.ino, "xattr");
	h->value = cur->value + head;
	h->here = cur->len - (uint32_t)head;
	return 0;
}

static struct key chunk_key(uint64_t ino, uint64_t offset, uint32_t chunk)
{
	return key_of(ino, ITEM_XATTR, offset + chunk);
}

/* Key of the item where the attribute after that of @offset may start. */
static struct key next_attribute(uint64_t ino, uint64_t offset)
{
	uint64_t next = ((offset >> XATTR_CHUNK_BITS) + 1) << XATTR_CHUNK_BITS;

	if (next > OFFSET_MAX)
		return key_of(ino, ITEM_XATTR + 1, 0);
	return key_of(ino, ITEM_XATTR, next);
}

/* Find @name; not found is not an error (@place->nr_chunks 0). */
static int xattr_find(struct op *op, const struct dataset *ds, uint64_t ino,
		      const char *name, size_t len, struct xattr_place *place)
{
	uint64_t hash = namehash_xattr(pool_hash_seed(ds->pool), name, len);
	uint64_t first = hash << NAMEHASH_XATTR_SHIFT, free_offset = first;
	struct key key = key_of(ino, ITEM_XATTR, first);
	struct btree_cursor cur;
	struct xattr_head h;
	int rc;

	for (;;) {
		rc = btree_seek(op, &ds->tree, &key, &cur);
		if (rc)
			break;
		if (cur.key.ino != ino || cur.key.type != ITEM_XATTR ||
		    cur.key.offset >> NAMEHASH_XATTR_SHIFT != hash) {
			btree_release(op, &cur);
			break;
		}
		rc = head_load(ds, &cur, &h);
		if (rc == 0 && h.name_len == len &&
		    memcmp(h.name, name, len) == 0) {
			place->offset = cur.key.offset;
			place->value_len = h.value_len;
			place->nr_chunks = nr_chunks_of(len, h.value_len);
			btree_release(op, &cur);
			return 0;
		}
		btree_release(op, &cur);
		if (rc)
			return rc;
		if (cur.key.offset == free_offset)
			free_offset += UINT64_C(1) << XATTR_CHUNK_BITS;
		key = next_attribute(ino, cur.key.offset);
	}
	if (rc && rc != -ENOENT)
		return rc;
	if (free_offset >> NAMEHASH_XATTR_SHIFT != hash)
		free_offset = UINT64_MAX;
	*place = (struct xattr_place){.offset = free_offset};
	return 0;
}

static int xattr_name_len(const char *name, size_t *len)
{
	*len = strnlen(name, NAME_LEN_MAX + 1);
	if (*len == 0)
		return -EINVAL;
	return *len > NAME_LEN_MAX ? -ERANGE : 0;
}

/* ---- get and list ------------------------------------------------------- */

struct xattr_get {
	uint64_t ino;
	const char *name;
	size_t name_len;
	uint8_t *buf;
	size_t cap, len;
};

static int get_value(struct op *op, const struct dataset *ds,
		     const struct xattr_get *g, const struct xattr_place *place)
{
	uint8_t chunk[CHUNK_SIZE];
	size_t head = sizeof(struct xattr_item) + g->name_len;
	size_t done = 0;

	for (uint32_t i = 0; i < place->nr_chunks; i++) {
		struct key key = chunk_key(g->ino, place->offset, i);
		size_t len, skip = i == 0 ? head : 0;
		int rc = btree_get(op, &ds->tree, &key, chunk, sizeof(chunk),
				   &len);

		if (rc == -EAGAIN)
			return rc;
		if (rc || len < skip || len > sizeof(chunk) ||
		    len - skip > g->len - done)
			return inode_damaged(ds, g->ino, "xattr");
		memcpy(g->buf + done, chunk + skip, len - skip);
		done += len - skip;
	}
	return done == g->len ? 0 : inode_damaged(ds, g->ino, "xattr");
}

static int get_body(struct op *op, struct dataset *ds, void *arg)
{
	struct xattr_get *g = arg;
	struct xattr_place place;
	struct inode inode;
	int rc = inode_get(op, ds, g->ino, &inode);

	if (rc == 0 && inode.nr_xattrs == 0)
		return -ENODATA;
	if (rc == 0)
		rc = xattr_find(op, ds, g->ino, g->name, g->name_len, &place);
	if (rc)
		return rc;
	if (place.nr_chunks == 0)
		return -ENODATA;
	g->len = place.value_len;
	if (g->cap == 0)
		return 0;
	if (g->len > g->cap)
		return -ERANGE;
	return get_value(op, ds, g, &place);
}

int file_getxattr(struct dataset *ds, uint64_t ino, const char *name,
		  void *value, size_t cap, size_t *len)
{
	struct xattr_get g = {
		.ino = ino,
		.name = name,
		.buf = value,
		.cap = cap,
	};
	int rc = xattr_name_len(name, &g.name_len);

	if (rc == 0)
		rc = op_read(ds, get_body, &g);
	if (rc == 0)
		*len = g.len;
	return rc;
}

static int list_body(struct op *op, struct dataset *ds, void *arg)
{
	struct xattr_get *g = arg;
	struct key key = key_of(g->ino, ITEM_XATTR, 0);
	struct btree_cursor cur;
	struct xattr_head h;
	struct inode inode;
	int rc = inode_get(op, ds, g->ino, &inode);

	g->len = 0;
	if (rc || inode.nr_xattrs == 0)
		return rc;
	for (;;) {
		rc = btree_seek(op, &ds->tree, &key, &cur);
		if (rc)
			return rc == -ENOENT ? 0 : rc;
		if (cur.key.ino != g->ino || cur.key.type != ITEM_XATTR) {
			btree_release(op, &cur);
			return 0;
		}
		rc = head_load(ds, &cur, &h);
		if (rc == 0 && g->cap && g->len + h.name_len + 1 > g->cap)
			rc = -ERANGE;
		if (rc == 0 && g->cap) {
			memcpy(g->buf + g->len, h.name, h.name_len);
			g->buf[g->len + h.name_len] = 0;
		}
		btree_release(op, &cur);
		if (rc)
			return rc;
		g->len += h.name_len + 1u;
		key = next_attribute(g->ino, cur.key.offset);
	}
}

int file_listxattr(struct dataset *ds, uint64_t ino, char *list, size_t cap,
		   size_t *len)
{
	struct xattr_get g = {.ino = ino, .buf = (uint8_t *)list, .cap = cap};
	int rc = op_read(ds, list_body, &g);

	if (rc == 0)
		*len = g.len;
	return rc;
}

/* ---- set and remove ----------------------------------------------------- */

struct xattr_set {
	uint64_t ino;
	const char *name;
	size_t name_len;
	const uint8_t *value;
	size_t len;
	int flags;
	bool remove;
};

static int touch_chunks(struct op *op, const struct dataset *ds, uint64_t ino,
			uint64_t offset, uint32_t nr)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < nr; i++) {
		struct key key = chunk_key(ino, offset, i);

		rc = btree_touch(op, &ds->tree, &key);
	}
	return rc;
}

static void del_chunks(struct op *op, struct dataset *ds, uint64_t ino,
		       uint64_t offset, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		struct key key = chunk_key(ino, offset, i);

		btree_del(op, &ds->tree, &key);
	}
}

static void put_chunks(struct op *op, struct dataset *ds,
		       const struct xattr_set *s, uint64_t offset, uint32_t nr)
{
	uint8_t chunk[CHUNK_SIZE];
	struct xattr_item item = {
		.value_len = le32_of((uint32_t)s->len),
		.name_len = (uint8_t)s->name_len,
	};
	size_t used = sizeof(item) + s->name_len, done = 0;

	memcpy(chunk, &item, sizeof(item));
	memcpy(chunk + sizeof(item), s->name, s->name_len);
	for (uint32_t i = 0; i < nr; i++) {
		struct key key = chunk_key(s->ino, offset, i);
		size_t n = MIN_OF(CHUNK_SIZE - used, s->len - done);

		if (n)
			memcpy(chunk + used, s->value + done, n);
		btree_put(op, &ds->tree, &key, chunk, used + n);
		done += n;
		used = 0;
	}
}

static int set_check(const struct xattr_set *s, const struct xattr_place *p)
{
	bool found = p->nr_chunks > 0;

	if (found && s->flags & XATTR_CREATE)
		return -EEXIST;
	if (!found && (s->remove || s->flags & XATTR_REPLACE))
		return -ENODATA;
	return !found && p->offset == UINT64_MAX ? -ENOSPC : 0;
}

static int set_body(struct op *op, struct dataset *ds, void *arg)
{
	const struct xattr_set *s = arg;
	uint32_t nr = s->remove ? 0 : nr_chunks_of(s->name_len, s->len);
	struct xattr_place place;
	struct inode inode;
	int rc = inode_get(op, ds, s->ino, &inode);

	if (rc == 0)
		rc = xattr_find(op, ds, s->ino, s->name, s->name_len, &place);
	if (rc == 0)
		rc = set_check(s, &place);
	if (rc == 0)
		rc = touch_chunks(op, ds, s->ino, place.offset,
				  MAX_OF(nr, place.nr_chunks));
	if (rc == 0)
		rc = inode_touch(op, ds, s->ino);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	put_chunks(op, ds, s, place.offset, nr);
	del_chunks(op, ds, s->ino, place.offset, nr, place.nr_chunks);
	if (place.nr_chunks == 0)
		inode.nr_xattrs++;
	else if (s->remove && inode.nr_xattrs > 0)
		inode.nr_xattrs--;
	inode.ctime = os_time_now();
	inode_put(op, ds, &inode);
	return 0;
}

int file_setxattr(struct dataset *ds, uint64_t ino, const char *name,
		  const void *value, size_t len, int flags)
{
	struct xattr_set s = {
		.ino = ino,
		.name = name,
		.value = value,
		.len = len,
		.flags = flags,
	};
	int rc = xattr_name_len(name, &s.name_len);

	if (rc)
		return rc;
	if (flags & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	if (len > XATTR_VALUE_MAX)
		return -E2BIG;
	return op_change(ds, nr_chunks_of(s.name_len, len) + 1, 0, set_body,
			 &s);
}

int file_removexattr(struct dataset *ds, uint64_t ino, const char *name)
{
	struct xattr_set s = {.ino = ino, .name = name, .remove = true};
	int rc = xattr_name_len(name, &s.name_len);

	return rc ? rc : op_change(ds, 1, OP_USE_RESERVE, set_body, &s);
}

/* ---- privileges --------------------------------------------------------- */

int file_priv_prepare(struct op *op, const struct dataset *ds,
		      const struct inode *inode, unsigned flags,
		      struct file_priv *priv)
{
	int rc;

	*priv = (struct file_priv){.wanted = flags & FILE_KILL_PRIV};
	if (!priv->wanted || inode->nr_xattrs == 0)
		return 0;
	rc = xattr_find(op, ds, inode->ino, XATTR_CAPABILITY,
			strlen(XATTR_CAPABILITY), &priv->capability);
	if (rc)
		return rc;
	return touch_chunks(op, ds, inode->ino, priv->capability.offset,
			    priv->capability.nr_chunks);
}

void file_priv_apply(struct op *op, struct dataset *ds, struct inode *inode,
		     const struct file_priv *priv)
{
	if (!priv->wanted)
		return;
	inode->mode &= ~(uint32_t)S_ISUID;
	/* without group execution setgid means something else: locking */
	if (inode->mode & S_IXGRP)
		inode->mode &= ~(uint32_t)S_ISGID;
	if (priv->capability.nr_chunks == 0)
		return;
	del_chunks(op, ds, inode->ino, priv->capability.offset, 0,
		   priv->capability.nr_chunks);
	if (inode->nr_xattrs > 0)
		inode->nr_xattrs--;
}
