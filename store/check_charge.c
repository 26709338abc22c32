/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dataset or snapshot with kin is charged for: what is fresh in it,
 * but for what an older snapshot beside it is charged for (dataset_charge.c
 * has the rule).  Its tree and theirs are read once more.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/check_internal.h"
#include "store/util.h"

/* A snapshot beside it, and the way to where it was last looked into. */
struct check_kin {
	struct tree_root root;
	uint64_t previous_txg, created_txg;
	uint8_t *page[NODE_LEVEL_MAX];
	uint64_t blkno[NODE_LEVEL_MAX]; /* of what is in page[] */
};

struct charge {
	struct check *c;
	uint64_t previous_txg;
	struct check_kin *kin;
	size_t nr_kin;
	uint64_t fresh;
	bool unsure; /* not all could be read */
};

static bool is_kin(const struct check_dataset *d, const struct check_dataset *q)
{
	bool snapshot = le32_get(d->item.flags) & DATASET_SNAPSHOT;
	uint32_t dataset = snapshot ? le32_get(d->item.parent) : d->id;

	return q != d && le32_get(q->item.flags) & DATASET_SNAPSHOT &&
	       le32_get(q->item.parent) == dataset &&
	       le32_get(q->item.previous) == le32_get(d->item.previous) &&
	       le64_get(q->item.created_txg) > le64_get(d->item.previous_txg) &&
	       (!snapshot || q->id < d->id);
}

static int kin_node(struct charge *a, struct check_kin *q, uint64_t blkno,
		    uint64_t txg, uint8_t level)
{
	struct check *c = a->c;
	int rc;

	if (!q->page[level])
		q->page[level] = blkdev_buffer_new(BLOCK_SIZE);
	if (!q->page[level])
		return -ENOMEM;
	if (q->blkno[level] == blkno)
		return 0;
	q->blkno[level] = 0;
	if (blkno == 0 || blkno >= c->nr_blocks)
		return -EUCLEAN;
	rc = blkdev_read(c->dev, q->page[level], BLOCK_SIZE,
			 blkno * BLOCK_SIZE);
	if (rc == 0)
		rc = node_verify(q->page[level], c->pool_id, blkno, txg, level);
	if (rc == 0)
		q->blkno[level] = blkno;
	return rc;
}

/* Does @q hold just this extent?  1: yes; 0: no; else it cannot be read. */
static int kin_has(struct charge *a, struct check_kin *q,
		   const struct node_item *it)
{
	const struct extent_item *e = (const void *)it->value, *there;
	uint64_t blkno = q->root.blkno, txg = q->root.txg;
	struct node_item found;
	uint32_t i;
	bool exact;

	for (uint8_t l = q->root.level;; l--) {
		int rc = kin_node(a, q, blkno, txg, l);

		if (rc)
			return rc;
		if (l == 0)
			break;
		node_child(q->page[l], node_search_child(q->page[l], &it->key),
			   &blkno, &txg);
	}
	i = node_search(q->page[0], &it->key, &exact);
	if (!exact)
		return 0;
	node_item(q->page[0], i, &found);
	there = (const void *)found.value;
	return le40_get(there->blkno) == le40_get(e->blkno) &&
	       le40_get(there->birth) == le40_get(e->birth);
}

static int charge_item(struct walk *w, const struct node_item *it, bool first)
{
	const struct extent_item *e = (const void *)it->value;
	struct charge *a = w->arg;
	uint64_t birth;
	int rc = 0;

	(void)first;
	if (it->key.type != ITEM_EXTENT || le40_get(e->blkno) == 0)
		return 0;
	birth = le40_get(e->birth);
	if (birth <= a->previous_txg)
		return 0;
	for (size_t i = 0; i < a->nr_kin && rc == 0; i++)
		if (birth > a->kin[i].previous_txg &&
		    birth <= a->kin[i].created_txg)
			rc = kin_has(a, &a->kin[i], it);
	if (rc == -ENOMEM)
		return rc;
	a->unsure |= rc < 0;
	if (rc == 0)
		a->fresh += (e->meta & 31u) + 1;
	return 0;
}

/* A subtree whose node was born in @txg has nothing younger. */
static bool charge_skip(struct walk *w, const struct extent_sum *sum,
			uint64_t txg)
{
	const struct charge *a = w->arg;

	(void)sum;
	return txg <= a->previous_txg;
}

static int kin_add(struct charge *a, const struct check_dataset *q)
{
	struct check_kin *p =
		reallocarray(a->kin, a->nr_kin + 1, sizeof(*a->kin));

	if (!p)
		return -ENOMEM;
	a->kin = p;
	a->unsure |= q->item.tree.level >= NODE_LEVEL_MAX;
	p[a->nr_kin++] = (struct check_kin){
		.root = tree_root_load(&q->item.tree),
		.previous_txg = le64_get(q->item.previous_txg),
		.created_txg = le64_get(q->item.created_txg),
	};
	return 0;
}

int check_charge(struct check *c, const struct check_dataset *d,
		 struct tree_totals *t)
{
	struct charge a = {.c = c,
			   .previous_txg = le64_get(d->item.previous_txg)};
	struct walk w = {.c = c,
			 .label = d->label,
			 .item = charge_item,
			 .skip = charge_skip,
			 .arg = &a};
	int rc = 0;

	for (size_t i = 0; i < c->nr_datasets && rc == 0; i++)
		if (is_kin(d, &c->datasets[i]))
			rc = kin_add(&a, &c->datasets[i]);
	if (rc == 0 && a.nr_kin > 0 && !a.unsure) {
		rc = check_walk(&w, &d->item.tree);
		t->fresh = a.fresh;
		t->fresh_after = a.previous_txg;
	}
	/* then it is not compared */
	if (a.unsure || w.bad)
		t->fresh_after = UINT64_MAX;
	for (size_t i = 0; i < a.nr_kin; i++)
		for (unsigned l = 0; l < NODE_LEVEL_MAX; l++)
			free(a.kin[i].page[l]);
	free(a.kin);
	return rc;
}
