/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_attr.c - getattr, setattr, fsync
 */
#include "store/file_internal.h"

#include "store/ilog.h"

struct attr_arg {
	uint64_t ino;
	unsigned mask;
	const struct file_attr *attr;
	struct inode inode; /* out */
	uint64_t lsn;	    /* out */
};

static int getattr_body(struct op *op, struct dataset *ds, void *arg)
{
	struct attr_arg *a = arg;
	int rc = inode_get(op, ds, a->ino, &a->inode);

	if (rc == 0)
		dirty_count(ds, &a->inode);
	return rc;
}

int file_getattr(struct dataset *ds, uint64_t ino, struct file_attr *attr)
{
	struct attr_arg a = {.ino = ino};
	int rc = op_read(ds, getattr_body, &a);

	if (rc == 0)
		inode_attr(&a.inode, attr);
	return rc;
}

void file_apply_attr(struct inode *inode, unsigned mask,
		     const struct file_attr *attr, struct timespec now)
{
	if (mask & FILE_SET_MODE)
		inode->mode = (inode->mode & S_IFMT) | (attr->mode & 07777);
	if (mask & FILE_SET_UID)
		inode->uid = attr->uid;
	if (mask & FILE_SET_GID)
		inode->gid = attr->gid;
	if (mask & FILE_SET_ATIME)
		inode->atime = attr->atime;
	if (mask & FILE_SET_ATIME_NOW)
		inode->atime = now;
	if (mask & FILE_SET_MTIME)
		inode->mtime = attr->mtime;
	if (mask & FILE_SET_MTIME_NOW)
		inode->mtime = now;
	inode->ctime = mask & FILE_SET_CTIME ? attr->ctime : now;
}

static int setattr_body(struct op *op, struct dataset *ds, void *arg)
{
	struct attr_arg *a = arg;
	struct file_priv priv;
	int rc = inode_get(op, ds, a->ino, &a->inode);

	if (rc == 0)
		rc = inode_touch(op, ds, a->ino);
	if (rc == 0)
		rc = file_priv_prepare(op, ds, &a->inode, a->mask, &priv);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	file_apply_attr(&a->inode, a->mask, a->attr, os_time_now());
	file_priv_apply(op, ds, &a->inode, &priv);
	inode_put(op, ds, &a->inode);
	dirty_count(ds, &a->inode);
	return 0;
}

static bool time_is_valid(struct timespec t)
{
	return t.tv_nsec >= 0 && t.tv_nsec < 1000000000L;
}

static int attr_verify(unsigned mask, const struct file_attr *attr)
{
	if ((mask & FILE_SET_ATIME && !time_is_valid(attr->atime)) ||
	    (mask & FILE_SET_MTIME && !time_is_valid(attr->mtime)) ||
	    (mask & FILE_SET_CTIME && !time_is_valid(attr->ctime)))
		return -EINVAL;
	if (mask & FILE_SET_SIZE && attr->size > FILE_SIZE_MAX)
		return -EFBIG;
	return 0;
}

int file_setattr(struct dataset *ds, uint64_t ino, unsigned mask,
		 const struct file_attr *attr, struct file_attr *out)
{
	struct attr_arg a = {.ino = ino, .mask = mask, .attr = attr};
	int rc = attr_verify(mask, attr);

	if (rc == 0 && mask & FILE_SET_SIZE)
		rc = file_truncate(ds, ino, mask, attr, &a.inode);
	else if (rc == 0)
		rc = op_change(ds, 1 + FILE_PRIV_PUTS, 0, setattr_body, &a);
	if (rc == 0 && out)
		inode_attr(&a.inode, out);
	return rc;
}

static int fsync_body(struct op *op, struct dataset *ds, void *arg)
{
	struct attr_arg *a = arg;

	/* a file that is gone has nothing to lose */
	(void)op;
	a->lsn = ds->changed_lsn;
	return 0;
}

int file_fsync(struct dataset *ds, uint64_t ino)
{
	struct attr_arg a = {.ino = ino};
	int rc;

	if (ds->snapshot)
		return 0;
	rc = op_read(ds, fsync_body, &a);
	return rc ? rc : ilog_sync(ds->pool, a.lsn);
}
