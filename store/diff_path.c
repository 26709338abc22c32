/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of inodes in a held tree.
 *
 * A directory's inode says in which directory it lies, a file's does not, so
 * for files whose names are not known all directory entries are read once,
 * and only the names that are wanted are kept.
 */
#include "store/diff_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/util.h"

/* longer ones are cut off at the front */
#define PATH_LENGTH_MAX (64u << 10)

void path_finder_init(struct path_finder *p, struct node_cache *nc,
		      const struct tree_root *root)
{
	*p = (struct path_finder){.nc = nc, .root = *root};
	idmap_init(&p->names, sizeof(struct path_name));
}

void path_finder_release(struct path_finder *p)
{
	for (struct path_name *n = NULL;
	     (n = idmap_next(&p->names, n)) != NULL;)
		free(n->name);
	idmap_release(&p->names);
}

static int set_name(struct path_finder *p, struct path_name *n, uint64_t dir,
		    const char *name, size_t len)
{
	n->name = strndup(name, len);
	if (!n->name)
		return -ENOMEM;
	n->dir = dir;
	if (n->wanted)
		p->nr_wanted--;
	n->wanted = false;
	return 0;
}

int path_finder_know(struct path_finder *p, uint64_t ino, uint64_t dir,
		     const char *name, size_t len)
{
	struct path_name *n = idmap_add(&p->names, ino, NULL);

	if (!n)
		return -ENOMEM;
	return n->name ? 0 : set_name(p, n, dir, name, len);
}

int path_finder_want(struct path_finder *p, uint64_t ino, bool is_dir)
{
	struct path_name *n;

	if (ino == INO_ROOT)
		return 0;
	n = idmap_add(&p->names, ino, NULL);
	if (!n)
		return -ENOMEM;
	n->is_dir = is_dir;
	/* directories are found by their parents */
	if (!n->name && !is_dir && !n->wanted) {
		n->wanted = true;
		p->nr_wanted++;
	}
	return 0;
}

const struct dirent_item *tree_dirent(const struct node_item *it)
{
	const struct dirent_item *e = (const void *)it->value;

	if (it->len < sizeof(*e) || it->len != sizeof(*e) + e->name_len ||
	    e->name_len == 0 || le40_get(e->ino) == 0 ||
	    memchr(it->value + sizeof(*e), '/', e->name_len) ||
	    memchr(it->value + sizeof(*e), '\0', e->name_len))
		return NULL;
	return e;
}

int tree_inode(struct node_cache *nc, const struct tree_root *root,
	       uint64_t ino, struct inode_item *item)
{
	struct key key = key_of(ino, ITEM_INODE, 0);
	struct tree_walk w;
	int rc;

	rc = tree_walk_seek(&w, nc, root, &key);
	if (rc)
		return rc;
	if (w.at != WALK_ITEM || key_compare(&w.item.key, &key) != 0)
		rc = -ENOENT;
	else if (w.item.len != sizeof(*item))
		rc = -EUCLEAN;
	else
		memcpy(item, w.item.value, sizeof(*item));
	tree_walk_release(&w);
	return rc;
}

/*
 * Read the entries of directory @dir, or of all (0), and keep the names of
 * those that are wanted.
 */
static int scan(struct path_finder *p, uint64_t dir)
{
	struct key key = key_of(dir, ITEM_DIRENT, 0);
	struct tree_walk w;
	int rc = tree_walk_seek(&w, p->nc, &p->root, &key);

	while (rc == 0 && p->nr_wanted > 0 && w.at == WALK_ITEM) {
		const struct dirent_item *e;
		struct path_name *n;

		if (dir && w.item.key.ino != dir)
			break;
		if (w.item.key.type != ITEM_DIRENT) {
			/* past what is no directory's in one step */
			key = key_of(w.item.key.ino, ITEM_DIRENT, 0);
			if (w.item.key.type > ITEM_DIRENT)
				key.ino++;
			if (key.ino > INO_MAX)
				break;
			tree_walk_release(&w);
			rc = tree_walk_seek(&w, p->nc, &p->root, &key);
			continue;
		}
		e = tree_dirent(&w.item);
		n = e ? idmap_find(&p->names, le40_get(e->ino)) : NULL;
		if (n && n->wanted)
			rc = set_name(p, n, w.item.key.ino,
				      (const char *)w.item.value + sizeof(*e),
				      e->name_len);
		if (rc == 0)
			rc = tree_walk_next_item(&w);
	}
	/* releasing twice does nothing */
	tree_walk_release(&w);
	return rc;
}

int path_finder_find(struct path_finder *p)
{
	return p->nr_wanted > 0 ? scan(p, 0) : 0;
}

/* The name of directory @ino, from the entries of its parent. */
static int find_directory(struct path_finder *p, uint64_t ino)
{
	struct path_name *n = idmap_add(&p->names, ino, NULL);
	struct inode_item item;
	int rc;

	if (!n)
		return -ENOMEM;
	if (n->name || n->wanted)
		return 0;
	rc = tree_inode(p->nc, &p->root, ino, &item);
	if (rc || !S_ISDIR(le32_get(item.mode)))
		return rc == -ENOENT ? 0 : rc;
	n->wanted = true;
	p->nr_wanted++;
	rc = scan(p, le64_get(item.parent));
	n = idmap_find(&p->names, ino);
	if (n->wanted)
		p->nr_wanted--;
	n->wanted = false;
	return rc;
}

/* Put @name before what starts at @buf[at]; returns the new start, or @at when
 * there is no room. */
static size_t prepend(char *buf, size_t at, const char *name)
{
	size_t len = strlen(name);

	if (at < len + 1)
		return at;
	if (buf[at])
		buf[--at] = '/';
	return (size_t)((char *)memcpy(buf + at - len, name, len) - buf);
}

int path_finder_path(struct path_finder *p, uint64_t ino, char **path)
{
	char *buf = malloc(PATH_LENGTH_MAX), lost[40];
	size_t at = PATH_LENGTH_MAX - 1, before = 0;
	int rc = 0;

	if (!buf)
		return -ENOMEM;
	buf[at] = '\0';
	while (ino != INO_ROOT && at != before) {
		const struct path_name *n = idmap_find(&p->names, ino);

		if (!n || !n->name) {
			rc = find_directory(p, ino);
			n = idmap_find(&p->names, ino);
		}
		if (rc)
			break;
		before = at;
		if (!n || !n->name) {
			snprintf(lost, sizeof(lost), "(inode %" PRIu64 ")",
				 ino);
			at = prepend(buf, at, lost);
			break;
		}
		at = prepend(buf, at, n->name);
		ino = n->dir;
	}
	*path = rc ? NULL : strdup(buf[at] ? buf + at : ".");
	free(buf);
	return rc || *path ? rc : -ENOMEM;
}
