/* SPDX-License-Identifier: Apache-2.0 */
#include "store/dir.h"

#include <errno.h>
#include <string.h>

#include "store/namehash.h"
#include "store/txg.h"

int dir_name_verify(const struct dir_name *name)
{
	if (name->len == 0)
		return -EINVAL;
	if (name->len > NAME_LEN_MAX)
		return -ENAMETOOLONG;
	if (memchr(name->s, '/', name->len) || memchr(name->s, 0, name->len))
		return -EINVAL;
	return 0;
}

bool dir_name_is_dots(const struct dir_name *name)
{
	return (name->len == 1 && name->s[0] == '.') ||
	       (name->len == 2 && name->s[0] == '.' && name->s[1] == '.');
}

int dir_entry_load(const struct dataset *ds, const struct btree_cursor *cur,
		   struct dir_entry *e)
{
	struct dirent_item item;
	struct dir_name name;

	if (cur->len <= sizeof(item))
		return inode_damaged(ds, cur->key.ino, "directory entry");
	memcpy(&item, cur->value, sizeof(item));
	*e = (struct dir_entry){
		.offset = cur->key.offset,
		.ino = le40_get(item.ino),
		.type = item.type,
		.name_len = item.name_len,
		.name = (const char *)cur->value + sizeof(item),
	};
	name = (struct dir_name){e->name, e->name_len};
	if (cur->len != sizeof(item) + e->name_len || e->ino == 0 ||
	    dir_name_verify(&name) || dir_name_is_dots(&name))
		return inode_damaged(ds, cur->key.ino, "directory entry");
	return 0;
}

static bool same_name(const struct dir_entry *e, const struct dir_name *name)
{
	return e->name_len == name->len &&
	       memcmp(e->name, name->s, name->len) == 0;
}

int dir_find(struct op *op, const struct dataset *ds, uint64_t dir,
	     const struct dir_name *name, bool *found, struct dir_entry *e)
{
	uint64_t hash, first, free_offset;
	struct btree_cursor cur;
	struct key key;
	int rc;

	hash = namehash_dirent(pool_hash_seed(ds->pool), name->s, name->len);
	first = hash << NAMEHASH_DIRENT_SHIFT;
	free_offset = first;
	*found = false;
	key = key_of(dir, ITEM_DIRENT, first);
	for (rc = btree_seek(op, &ds->tree, &key, &cur); rc == 0;
	     rc = btree_next(op, &ds->tree, &cur)) {
		if (cur.key.ino != dir || cur.key.type != ITEM_DIRENT ||
		    cur.key.offset >> NAMEHASH_DIRENT_SHIFT != hash) {
			btree_release(op, &cur);
			break;
		}
		rc = dir_entry_load(ds, &cur, e);
		if (rc || same_name(e, name)) {
			*found = rc == 0;
			btree_release(op, &cur);
			return rc;
		}
		if (cur.key.offset == free_offset)
			free_offset++;
	}
	if (rc && rc != -ENOENT)
		return rc;
	if (free_offset - first >= HASH_COLLISIONS_MAX)
		free_offset = 0;
	*e = (struct dir_entry){.offset = free_offset};
	return 0;
}

int dir_lookup(struct op *op, const struct dataset *ds, uint64_t dir,
	       const struct dir_name *name, struct dir_entry *e)
{
	bool found;
	int rc = dir_find(op, ds, dir, name, &found, e);

	return rc == 0 && !found ? -ENOENT : rc;
}

int dir_lookup_free(struct op *op, const struct dataset *ds, uint64_t dir,
		    const struct dir_name *name, struct dir_entry *e)
{
	bool found;
	int rc = dir_find(op, ds, dir, name, &found, e);

	if (rc)
		return rc;
	if (found)
		return -EEXIST;
	return e->offset == 0 ? -ENOSPC : 0;
}

int dir_touch(struct op *op, const struct dataset *ds, uint64_t dir,
	      uint64_t offset)
{
	struct key key = key_of(dir, ITEM_DIRENT, offset);

	return btree_touch(op, &ds->tree, &key);
}

void dir_put(struct op *op, struct dataset *ds, uint64_t dir, uint64_t offset,
	     const struct dir_name *name, const struct inode *inode)
{
	struct key key = key_of(dir, ITEM_DIRENT, offset);
	uint8_t value[sizeof(struct dirent_item) + NAME_LEN_MAX];
	struct dirent_item item = {
		.ino = le40_of(inode->ino),
		.type = (uint8_t)(inode->mode >> 12),
		.name_len = (uint8_t)name->len,
	};

	memcpy(value, &item, sizeof(item));
	memcpy(value + sizeof(item), name->s, name->len);
	btree_put(op, &ds->tree, &key, value, sizeof(item) + name->len);
}

void dir_del(struct op *op, struct dataset *ds, uint64_t dir, uint64_t offset)
{
	struct key key = key_of(dir, ITEM_DIRENT, offset);

	/* a damaged tree may not find again what it just showed */
	if (!btree_del(op, &ds->tree, &key))
		inode_damaged(ds, dir, "entry gone when deleted");
}

void dir_count(struct inode *dir, int by, uint32_t mode, struct timespec now)
{
	/* a damaged count does not fall below what it can be */
	if (by > 0)
		dir->size++;
	else if (dir->size > 0)
		dir->size--;
	if (S_ISDIR(mode)) {
		if (by > 0)
			dir->nr_subdirs++;
		else if (dir->nr_subdirs > 0)
			dir->nr_subdirs--;
		dir->nlink = 2 + dir->nr_subdirs;
	}
	dir->mtime = now;
	dir->ctime = now;
}
