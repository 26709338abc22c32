/* SPDX-License-Identifier: Apache-2.0 */
#include "store/inode.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "store/btree.h"
#include "store/format.h"
#include "store/txg.h"

#define DIRENT_SHOWN_SIZE 32u /* what a directory's entry adds to st_size */

int inode_damaged(const struct dataset *ds, uint64_t ino, const char *what)
{
	log_error("damaged item dataset=%s id=%" PRIu32 " ino=%" PRIu64
		  " what='%s'",
		  ds->name, ds->id, ino, what);
	pool_count_error(ds->pool);
	return -EUCLEAN;
}

static struct timespec time_load(const struct timespec_item *t)
{
	return (struct timespec){
		.tv_sec = (time_t)(int64_t)le64_get(t->sec),
		.tv_nsec = (long)le32_get(t->nsec),
	};
}

static struct timespec_item time_store(struct timespec t)
{
	return (struct timespec_item){
		.sec = le64_of((uint64_t)(int64_t)t.tv_sec),
		.nsec = le32_of((uint32_t)t.tv_nsec),
	};
}

static bool time_is_valid(const struct timespec_item *t)
{
	return le32_get(t->nsec) < 1000000000u;
}

/* What is wrong with @i, or NULL. */
static const char *inode_item_problem(const struct inode_item *i)
{
	switch (le32_get(i->mode) & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	default:
		return "inode of an unknown type";
	}
	if (i->record_shift < DATASET_RECORD_SHIFT_MIN ||
	    i->record_shift > DATASET_RECORD_SHIFT_MAX)
		return "inode with an impossible recordsize";
	if (le64_get(i->size) > FILE_SIZE_MAX)
		return "inode with an impossible size";
	if (!time_is_valid(&i->atime) || !time_is_valid(&i->mtime) ||
	    !time_is_valid(&i->ctime) || !time_is_valid(&i->btime))
		return "inode with an impossible time";
	return NULL;
}

static struct inode inode_load(uint64_t ino, const struct inode_item *i)
{
	return (struct inode){
		.ino = ino,
		.mode = le32_get(i->mode),
		.uid = le32_get(i->uid),
		.gid = le32_get(i->gid),
		.nlink = le32_get(i->nlink),
		.rdev_major = le32_get(i->rdev_major),
		.rdev_minor = le32_get(i->rdev_minor),
		.size = le64_get(i->size),
		.nr_blocks = le64_get(i->nr_blocks),
		.atime = time_load(&i->atime),
		.mtime = time_load(&i->mtime),
		.ctime = time_load(&i->ctime),
		.btime = time_load(&i->btime),
		.parent = le64_get(i->parent),
		.flags = le32_get(i->flags),
		.nr_xattrs = le32_get(i->nr_xattrs),
		.nr_subdirs = le32_get(i->nr_subdirs),
		.record_shift = i->record_shift,
	};
}

struct inode_item inode_item_of(const struct inode *inode)
{
	return (struct inode_item){
		.mode = le32_of(inode->mode),
		.uid = le32_of(inode->uid),
		.gid = le32_of(inode->gid),
		.nlink = le32_of(inode->nlink),
		.rdev_major = le32_of(inode->rdev_major),
		.rdev_minor = le32_of(inode->rdev_minor),
		.size = le64_of(inode->size),
		.nr_blocks = le64_of(inode->nr_blocks),
		.atime = time_store(inode->atime),
		.mtime = time_store(inode->mtime),
		.ctime = time_store(inode->ctime),
		.btime = time_store(inode->btime),
		.parent = le64_of(inode->parent),
		.flags = le32_of(inode->flags),
		.nr_xattrs = le32_of(inode->nr_xattrs),
		.nr_subdirs = le32_of(inode->nr_subdirs),
		.record_shift = inode->record_shift,
	};
}

struct inode inode_new_root(uint8_t record_shift, struct timespec now)
{
	return (struct inode){
		.ino = INO_ROOT,
		.mode = S_IFDIR | 0755,
		.nlink = 2,
		.atime = now,
		.mtime = now,
		.ctime = now,
		.btime = now,
		.parent = INO_ROOT,
		.record_shift = record_shift,
	};
}

const char *inode_decode(uint64_t ino, const void *value, size_t len,
			 struct inode *inode)
{
	struct inode_item item;
	const char *problem;

	if (len != sizeof(item))
		return "inode of a wrong length";
	memcpy(&item, value, sizeof(item));
	problem = inode_item_problem(&item);
	if (!problem)
		*inode = inode_load(ino, &item);
	return problem;
}

int inode_get(struct op *op, const struct dataset *ds, uint64_t ino,
	      struct inode *inode)
{
	struct inode_item item;
	struct key key;
	const char *problem;
	size_t len;
	int rc;

	if (ino == 0 || ino > INO_MAX)
		return -ENOENT;
	key = key_of(ino, ITEM_INODE, 0);
	rc = btree_get(op, &ds->tree, &key, &item, sizeof(item), &len);
	if (rc)
		return rc;
	problem = inode_decode(ino, &item, len, inode);
	return problem ? inode_damaged(ds, ino, problem) : 0;
}

int inode_get_dir(struct op *op, const struct dataset *ds, uint64_t ino,
		  struct inode *inode)
{
	int rc = inode_get(op, ds, ino, inode);

	if (rc)
		return rc;
	return S_ISDIR(inode->mode) ? 0 : -ENOTDIR;
}

int inode_get_file(struct op *op, const struct dataset *ds, uint64_t ino,
		   struct inode *inode)
{
	int rc = inode_get(op, ds, ino, inode);

	if (rc)
		return rc;
	if (S_ISDIR(inode->mode))
		return -EISDIR;
	return S_ISREG(inode->mode) ? 0 : -EINVAL;
}

int inode_touch(struct op *op, const struct dataset *ds, uint64_t ino)
{
	struct key key = key_of(ino, ITEM_INODE, 0);

	return btree_touch(op, &ds->tree, &key);
}

void inode_put(struct op *op, struct dataset *ds, const struct inode *inode)
{
	struct key key = key_of(inode->ino, ITEM_INODE, 0);
	struct inode_item item = inode_item_of(inode);

	btree_put(op, &ds->tree, &key, &item, sizeof(item));
}

void inode_del(struct op *op, struct dataset *ds, uint64_t ino)
{
	struct key key = key_of(ino, ITEM_INODE, 0);

	/* a damaged tree may not find again what it just showed */
	if (!btree_del(op, &ds->tree, &key))
		inode_damaged(ds, ino, "inode gone when deleted");
}

void inode_attr(const struct inode *inode, struct file_attr *attr)
{
	*attr = (struct file_attr){
		.ino = inode->ino,
		.mode = inode->mode,
		.uid = inode->uid,
		.gid = inode->gid,
		.nlink = inode->nlink,
		.rdev_major = inode->rdev_major,
		.rdev_minor = inode->rdev_minor,
		.size = inode->size,
		.blocks = inode->nr_blocks * (BLOCK_SIZE / 512),
		.recordsize = inode_recordsize(inode),
		.atime = inode->atime,
		.mtime = inode->mtime,
		.ctime = inode->ctime,
		.btime = inode->btime,
	};
	if (inode->nr_dirty) {
		uint64_t most = div_round_up(inode->size, BLOCK_SIZE);
		uint64_t nr = inode->nr_blocks + inode->nr_dirty;

		nr = MAX_OF(inode->nr_blocks, MIN_OF(nr, most));
		attr->blocks = nr * (BLOCK_SIZE / 512);
	}
	if (S_ISDIR(inode->mode)) {
		uint64_t nr = MIN_OF(inode->size, UINT64_C(1) << 40) + 2;

		attr->size = round_up(nr * DIRENT_SHOWN_SIZE, BLOCK_SIZE);
		attr->blocks = attr->size / 512;
	}
}
