/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op_xattr.c - extended attributes, and ioctl
 *
 * user.* as the kernel lets them; trusted.* for root only; security.* read by
 * all (the kernel itself reads security.capability) and changed by root; the
 * rest, POSIX ACLs among it, is refused.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/xattr.h>
#include <linux/xattr.h>

#include "fs/fs_ops.h"

static bool has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int name_check(fuse_req_t req, const char *name, bool change)
{
	bool root = fuse_req_ctx(req)->uid == 0;

	if (strlen(name) > XATTR_NAME_MAX)
		return -ERANGE;
	if (strcmp(name, XATTR_USER_PREFIX) == 0 ||
	    strcmp(name, XATTR_TRUSTED_PREFIX) == 0 ||
	    strcmp(name, XATTR_SECURITY_PREFIX) == 0)
		return -EINVAL;
	if (has_prefix(name, XATTR_USER_PREFIX))
		return 0;
	if (has_prefix(name, XATTR_TRUSTED_PREFIX)) {
		if (root)
			return 0;
		return change ? -EPERM : -ENODATA;
	}
	if (has_prefix(name, XATTR_SECURITY_PREFIX))
		return root || !change ? 0 : -EPERM;
	return -EOPNOTSUPP;
}

static int enter(fuse_req_t req, const struct node *node, const char *name,
		 bool change)
{
	int rc;

	rc = node->kind == NODE_FILE ? name_check(req, name, change)
	     : change		     ? -EPERM
				     : -ENODATA;
	return rc ? rc : fs_enter(worker_self(), node);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		 const char *value, size_t size, int flags)
{
	struct worker *w = worker_self();
	struct node *node = fs_node(w, ino);
	int rc;

	rc = enter(req, node, name, true);
	if (rc == 0) {
		if (has_prefix(name, XATTR_SECURITY_PREFIX))
			fs_note_privs(node);
		rc = file_setxattr(node->view->ds, node->ino, name, value, size,
				   flags);
		if (has_prefix(name, XATTR_SECURITY_PREFIX))
			fs_note_privs(node);
		fs_leave(w);
	}
	if (rc == 0)
		fs_forget_attr(w, node); /* ctime */
	fuse_reply_err(req, -rc);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct worker *w = worker_self();
	const struct node *node = fs_node(w, ino);
	char key[XATTR_NAME_MAX + 1];
	size_t len = 0;
	int rc;

	/* what the kernel asks before it lets a file be written */
	if (fs_has_no_privs(node) && strcmp(name, XATTR_NAME_CAPS) == 0) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	rc = enter(req, node, name, false);
	if (rc == 0) {
		/* @name lies where the value goes, and may be needed again */
		strcpy(key, name);
		rc = file_getxattr(node->view->ds, node->ino, key, w->data,
				   MIN_OF(size, (size_t)SESSION_IO_MAX), &len);
		fs_leave(w);
	}
	if (rc)
		fuse_reply_err(req, -rc);
	else if (size == 0)
		fuse_reply_xattr(req, len);
	else
		fuse_reply_buf(req, (const char *)w->data, len);
}

/* Drop the names that only root may see; returns the length left. */
static size_t list_filter(char *list, size_t len)
{
	size_t from, to = 0, n;

	for (from = 0; from < len; from += n) {
		n = strnlen(list + from, len - from) + 1;
		if (n > len - from)
			break;
		if (has_prefix(list + from, XATTR_TRUSTED_PREFIX))
			continue;
		memmove(list + to, list + from, n);
		to += n;
	}
	return to;
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct worker *w = worker_self();
	const struct node *node = fs_node(w, ino);
	size_t len = 0;
	int rc = 0;

	if (node->kind == NODE_FILE) {
		rc = fs_enter(w, node);
		if (rc == 0) {
			/* all of it, to know what is left after the filter */
			rc = file_listxattr(node->view->ds, node->ino,
					    (char *)w->data, SESSION_IO_MAX,
					    &len);
			fs_leave(w);
		}
	}
	if (rc == 0 && fuse_req_ctx(req)->uid != 0)
		len = list_filter((char *)w->data, len);
	if (rc == 0 && size && len > size)
		rc = -ERANGE;
	if (rc)
		fuse_reply_err(req, -rc);
	else if (size == 0)
		fuse_reply_xattr(req, len);
	else
		fuse_reply_buf(req, (const char *)w->data, len);
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct worker *w = worker_self();
	struct node *node = fs_node(w, ino);
	int rc;

	/*
	 * The kernel takes capabilities away in the name of whoever writes to
	 * the file; from others it wants CAP_SETFCAP.
	 */
	rc = enter(req, node, name, strcmp(name, XATTR_NAME_CAPS) != 0);
	if (rc == 0) {
		rc = file_removexattr(node->view->ds, node->ino, name);
		if (rc == 0 && strcmp(name, XATTR_NAME_CAPS) == 0)
			atomic_store(&node->caps_taken_by,
				     (uint32_t)fuse_req_ctx(req)->pid);
		fs_leave(w);
	}
	if (rc == 0)
		fs_forget_attr(w, node); /* ctime */
	fuse_reply_err(req, -rc);
}

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in_buf,
	      size_t in_size, size_t out_size)
{
	(void)ino;
	(void)cmd;
	(void)arg;
	(void)fi;
	(void)flags;
	(void)in_buf;
	(void)in_size;
	(void)out_size;
	fuse_reply_err(req, ENOTTY);
}
