/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool's own trees: the root tree, which names datasets and snapshots;
 * the space tree, which has large counts and dead trees.
 */
#include "store/check_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/namehash.h"
#include "store/util.h"

#define ROOT_TREE  "the root tree"
#define SPACE_TREE "the space tree"
#define ID_MAX	   ((1u << 24) - 1)

/* ---- root tree ---------------------------------------------------------- */

/* One more element of an array that is doubled when its length says so. */
static void *array_add(void *array, size_t nr, size_t size)
{
	if (nr < 16 ? nr != 0 : (nr & (nr - 1)) != 0)
		return array;
	return reallocarray(array, nr < 16 ? 16 : 2 * nr, size);
}

static int add_dataset(struct check *c, uint32_t id,
		       const struct dataset_item *item, const char *name)
{
	struct check_dataset *d;

	d = array_add(c->datasets, c->nr_datasets, sizeof(*d));
	if (!d)
		return -ENOMEM;
	c->datasets = d;
	d += c->nr_datasets++;
	memset(d, 0, sizeof(*d));
	d->id = id;
	d->item = *item;
	snprintf(d->name, sizeof(d->name), "%s", name);
	return 0;
}

static int dataset_found(struct check *c, const struct node_item *it)
{
	const struct dataset_item *item = (const void *)it->value;
	char name[DATASET_NAME_MAX + 1] = "";
	const char *problem;

	if (it->len < sizeof(*item) || it->key.offset != 0 ||
	    it->len != sizeof(*item) + item->name_len + item->origin_len) {
		check_report(c,
			     "the item of dataset %llu is malformed; its tree "
			     "was not walked",
			     ULL(it->key.ino));
		check_incomplete(c);
		return 0;
	}
	if (it->key.ino == 0 || it->key.ino > ID_MAX ||
	    it->key.ino >= le32_get(c->sb.next_dataset))
		check_report(c,
			     "dataset %llu: ids end at %u, so it cannot exist",
			     ULL(it->key.ino), le32_get(c->sb.next_dataset));
	if (item->name_len <= DATASET_NAME_MAX)
		memcpy(name, it->value + sizeof(*item), item->name_len);
	problem = strlen(name) != item->name_len ? "holds a NUL or is too long"
						 : dataset_name_problem(name);
	if (problem)
		check_report(c, "dataset %llu: its name %s", ULL(it->key.ino),
			     problem);
	return add_dataset(c, (uint32_t)it->key.ino, item, name);
}

static void property_found(struct check *c, const struct node_item *it)
{
	const struct property_item *p = (const void *)it->value;
	size_t key_len;

	if (it->len < sizeof(*p) || it->len != sizeof(*p) +
						       le16_get(p->key_len) +
						       le16_get(p->value_len)) {
		check_report(c, "dataset %llu: a property is malformed",
			     ULL(it->key.ino));
		return;
	}
	key_len = le16_get(p->key_len);
	if (namehash_dirent(c->hash_seed, (const char *)it->value + sizeof(*p),
			    key_len) != it->key.offset >> NAMEHASH_DIRENT_SHIFT)
		check_report(c,
			     "dataset %llu: a property is not where its key's "
			     "hash belongs",
			     ULL(it->key.ino));
	/* datasets sort before their properties */
	if (c->nr_datasets == 0 ||
	    c->datasets[c->nr_datasets - 1].id != it->key.ino)
		check_report(c,
			     "dataset %llu has a property, but does not exist",
			     ULL(it->key.ino));
}

static int root_item(struct walk *w, const struct node_item *it, bool first)
{
	(void)first;
	switch (it->key.type) {
	case ITEM_DATASET:
		return dataset_found(w->c, it);
	case ITEM_PROPERTY:
		property_found(w->c, it);
		return 0;
	case ITEM_SCRUB:
		/* for people only: nothing depends on it */
		return 0;
	default:
		check_report(
			w->c,
			"%s: an item of inode %llu has the unknown type %u",
			w->label, ULL(it->key.ino), it->key.type);
		return 0;
	}
}

static int compare_id(const void *key, const void *elem)
{
	uint32_t id = *(const uint32_t *)key;
	const struct check_dataset *d = elem;

	return id < d->id ? -1 : id > d->id;
}

static const struct check_dataset *find_dataset(const struct check *c,
						uint32_t id)
{
	if (c->nr_datasets == 0)
		return NULL;
	return bsearch(&id, c->datasets, c->nr_datasets, sizeof(*c->datasets),
		       compare_id);
}

/* Names that findings use; snapshots without a dataset. */
static void label_datasets(struct check *c)
{
	for (size_t i = 0; i < c->nr_datasets; i++) {
		struct check_dataset *d = &c->datasets[i];
		const struct check_dataset *parent;

		if (!(le32_get(d->item.flags) & DATASET_SNAPSHOT)) {
			snprintf(d->label, sizeof(d->label), "'%s'", d->name);
			continue;
		}
		parent = find_dataset(c, le32_get(d->item.parent));
		snprintf(d->label, sizeof(d->label), "'%s@%s'",
			 parent ? parent->name : "?", d->name);
		if (!parent)
			check_report(c,
				     "%s: it is a snapshot of dataset %u, "
				     "which does not exist",
				     d->label, le32_get(d->item.parent));
		else if (le32_get(parent->item.flags) & DATASET_SNAPSHOT)
			check_report(c,
				     "%s: it is a snapshot of %u, which is a "
				     "snapshot itself",
				     d->label, parent->id);
	}
}

static int compare_label(const void *a, const void *b)
{
	const struct check_dataset *const *x = a, *const *y = b;

	return strcmp((*x)->label, (*y)->label);
}

/* N1 */
static int check_names(struct check *c)
{
	const struct check_dataset **by_label;

	by_label = calloc(c->nr_datasets + 1, sizeof(*by_label));
	if (!by_label)
		return -ENOMEM;
	for (size_t i = 0; i < c->nr_datasets; i++)
		by_label[i] = &c->datasets[i];
	qsort(by_label, c->nr_datasets, sizeof(*by_label), compare_label);
	for (size_t i = 1; i < c->nr_datasets; i++)
		if (strcmp(by_label[i - 1]->label, by_label[i]->label) == 0)
			check_report(c, "datasets %u and %u are both called %s",
				     by_label[i - 1]->id, by_label[i]->id,
				     by_label[i]->label);
	free(by_label);
	return 0;
}

/* ---- space tree --------------------------------------------------------- */

static int overflow_found(struct check *c, const struct node_item *it)
{
	uint64_t count = le_load(it->value, 4);
	struct check_count *o;

	if (it->key.offset == 0 || it->key.offset >= c->nr_blocks) {
		check_report(c,
			     "%s: it has a count for block %llu, which is not "
			     "in the pool",
			     SPACE_TREE, ULL(it->key.offset));
		return 0;
	}
	if (count <= SPACE_COUNT_MAX)
		check_report(c,
			     "%s: its count of block %llu is %llu, which its "
			     "own byte could hold",
			     SPACE_TREE, ULL(it->key.offset), ULL(count));
	o = idmap_add(&c->overflow, it->key.offset, NULL);
	if (!o)
		return -ENOMEM;
	o->count = count;
	return 0;
}

static int dead_found(struct check *c, const struct node_item *it)
{
	struct check_dead *d;

	if (it->len != sizeof(d->item)) {
		check_report(c, "%s: dead tree %llu is malformed", SPACE_TREE,
			     ULL(it->key.offset));
		check_incomplete(c);
		return 0;
	}
	d = array_add(c->dead, c->nr_dead, sizeof(*d));
	if (!d)
		return -ENOMEM;
	c->dead = d;
	d += c->nr_dead++;
	d->serial = it->key.offset;
	memcpy(&d->item, it->value, sizeof(d->item));
	return 0;
}

static int space_item(struct walk *w, const struct node_item *it, bool first)
{
	(void)first;
	if (it->key.ino == 0 && it->key.type == ITEM_OVERFLOW)
		return overflow_found(w->c, it);
	if (it->key.ino == 0 && it->key.type == ITEM_DEAD)
		return dead_found(w->c, it);
	check_report(w->c, "%s: an item has the unknown key (%llu, %u, %llu)",
		     w->label, ULL(it->key.ino), it->key.type,
		     ULL(it->key.offset));
	return 0;
}

/* All nodes that were met so far are the space tree's. */
static int keep_space_nodes(struct check *c)
{
	c->space_nodes = calloc(c->nodes.nr + 1, sizeof(*c->space_nodes));
	if (!c->space_nodes)
		return -ENOMEM;
	for (const struct check_node *n = NULL;
	     (n = idmap_next(&c->nodes, n)) != NULL;)
		c->space_nodes[c->nr_space_nodes++] = n->blkno;
	return 0;
}

int check_pool_trees(struct check *c)
{
	struct walk w = {
		.c = c, .label = SPACE_TREE, .count = true, .item = space_item};
	int rc;

	c->part = CHECK_SPACE_TREE;
	rc = check_walk(&w, &c->sb.space_tree);
	if (rc == 0)
		rc = keep_space_nodes(c);
	if (rc)
		return rc;
	c->part = CHECK_TREES;
	w = (struct walk){
		.c = c, .label = ROOT_TREE, .count = true, .item = root_item};
	rc = check_walk(&w, &c->sb.root_tree);
	if (rc)
		return rc;
	label_datasets(c);
	return check_names(c);
}

/* ---- dead trees --------------------------------------------------------- */

/* Only what holds blocks matters: nobody will read the rest again. */
static int dead_tree_item(struct walk *w, const struct node_item *it,
			  bool first)
{
	const char *bad;
	int rc;

	if (it->key.type != ITEM_EXTENT)
		return 0;
	rc = check_extent(w->c, it, first, 0, &bad);
	if (rc == 0 && bad && first)
		check_report(w->c,
			     "%s: the record of inode %llu at offset %llu %s",
			     w->label, ULL(it->key.ino),
			     ULL(it->key.offset << BLOCK_SHIFT), bad);
	return rc;
}

static bool skip_all(struct walk *w, const struct extent_sum *sum, uint64_t txg)
{
	(void)w;
	(void)sum;
	(void)txg;
	return true;
}

int check_dead_trees(struct check *c)
{
	c->part = CHECK_DEAD_TREES;
	for (size_t i = 0; i < c->nr_dead; i++) {
		char label[48];
		struct walk w = {.c = c,
				 .label = label,
				 .count = true,
				 .item = dead_tree_item,
				 .skip = skip_all};
		int rc;

		snprintf(label, sizeof(label), "dead tree %llu",
			 ULL(c->dead[i].serial));
		rc = check_walk_dead(&w, &c->dead[i].item);
		if (rc)
			return rc;
	}
	return 0;
}
