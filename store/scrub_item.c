/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State and findings, as items of the root tree with ino 0.  They are
 * information only: who loses them begins anew.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/diff_internal.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "store/scrub_internal.h"
#include "store/util.h"

/* ---- reading ------------------------------------------------------------- */

static bool load_state(struct scrub *s, const struct node_item *it)
{
	const struct scrub_item *i = (const void *)it->value;
	struct scrub_status *st = &s->st;

	if (it->len != sizeof(*i) || i->state > SCRUB_FAILED ||
	    i->phase > SCRUB_PHASE_DATASETS)
		return false;
	st->state = i->state;
	st->started = (int64_t)le64_get(i->started);
	st->ended = (int64_t)le64_get(i->ended);
	st->rate = le64_get(i->rate);
	st->done = le64_get(i->done);
	st->total = le64_get(i->total);
	st->nr_nodes = le64_get(i->nr_nodes);
	st->nr_records = le64_get(i->nr_records);
	st->nr_errors = le64_get(i->nr_errors);
	st->nr_found = le64_get(i->nr_found);
	st->active_ms = le64_get(i->active_ms);
	s->start_txg = le64_get(i->start_txg);
	s->phase = i->phase;
	s->done_dataset = le32_get(i->dataset);
	s->done_key = key_decode(i->key);
	s->nr_saved =
		MIN_OF((uint32_t)le16_get(i->nr_kept), SCRUB_FINDINGS_MAX);
	return true;
}

static int load_finding(struct scrub *s, const struct node_item *it)
{
	const struct scrub_finding_item *i = (const void *)it->value;
	struct scrub_finding *f = &s->found[s->nr_kept];
	uint32_t len;

	if (it->len < sizeof(*i) || s->nr_kept == SCRUB_FINDINGS_MAX)
		return 0;
	len = le16_get(i->path_len);
	if (it->len != sizeof(*i) + len || len >= SCRUB_PATH_MAX ||
	    i->kind < SCRUB_FOUND_RECORD || i->kind > SCRUB_FOUND_SPACE_MAP)
		return 0;
	*f = (struct scrub_finding){
		.kind = i->kind,
		.level = i->level,
		.dataset = le32_get(i->dataset),
		.ino = le64_get(i->ino),
		.ino_end = le64_get(i->ino_end),
		.offset = le64_get(i->offset),
		.blkno = le64_get(i->blkno),
		.nr_blocks = le32_get(i->nr_blocks),
	};
	memcpy(f->path, i + 1, len);
	s->nr_kept++;
	return !idmap_add(&s->bad, f->blkno + 1, NULL) ? -ENOMEM : 0;
}

int scrub_load(struct scrub *s)
{
	struct key key = key_of(0, ITEM_SCRUB, 0);
	struct tree_walk w;
	int rc = scrub_look(s);

	if (rc)
		return rc;
	rc = tree_walk_seek(&w, s->pool->nc, &s->now.root_tree, &key);
	if (rc == 0 && w.at == WALK_ITEM &&
	    key_compare(&w.item.key, &key) == 0 && load_state(s, &w.item))
		rc = tree_walk_next_item(&w);
	while (rc == 0 && w.at == WALK_ITEM && w.item.key.ino == 0 &&
	       w.item.key.type == ITEM_SCRUB &&
	       w.item.key.offset <= s->nr_saved) {
		rc = load_finding(s, &w.item);
		if (rc == 0)
			rc = tree_walk_next_item(&w);
	}
	tree_walk_release(&w);
	return rc;
}

/* ---- writing ------------------------------------------------------------- */

struct save {
	uint32_t number; /* of the item */
	uint8_t value[sizeof(struct scrub_finding_item) + SCRUB_PATH_MAX];
	size_t len; /* 0: delete it */
};

static int save_body(struct op *op, const struct save *v)
{
	struct key key = key_of(0, ITEM_SCRUB, v->number);
	struct btree *tree = &op->pool->root_tree;
	int rc = btree_touch(op, tree, &key);

	if (rc == 0)
		rc = op_ready(op);
	if (rc == 0 && v->len)
		btree_put(op, tree, &key, v->value, v->len);
	else if (rc == 0)
		btree_del(op, tree, &key);
	return rc;
}

/* The next commit makes it durable; nobody waits for that. */
static int save_one(struct pool *pool, const struct save *v)
{
	struct op op;
	int rc = op_begin(&op, pool, 1, OP_USE_RESERVE);

	if (rc)
		return rc;
	do {
		os_mutex_lock(&pool->names);
		op_enter(&op);
		rc = save_body(&op, v);
		op_leave(&op);
		os_mutex_unlock(&pool->names);
		rc = op_retry(&op, rc);
	} while (rc == -EAGAIN);
	op_end(&op);
	return rc;
}

static void store_state(struct scrub *s, struct save *v)
{
	struct scrub_item *i = (struct scrub_item *)v->value;
	const struct scrub_status *st = &s->st;

	memset(i, 0, sizeof(*i));
	v->len = sizeof(*i);
	os_mutex_lock(&s->lock);
	i->state = (uint8_t)st->state;
	i->phase = (uint8_t)s->phase;
	i->nr_kept = le16_of((uint16_t)s->nr_kept);
	i->started = le64_of((uint64_t)st->started);
	i->ended = le64_of((uint64_t)st->ended);
	i->rate = le64_of(st->rate);
	i->done = le64_of(st->done);
	i->total = le64_of(st->total);
	i->nr_nodes = le64_of(st->nr_nodes);
	i->nr_records = le64_of(st->nr_records);
	i->nr_errors = le64_of(st->nr_errors);
	i->nr_found = le64_of(st->nr_found);
	i->active_ms = le64_of(st->active_ms);
	os_mutex_unlock(&s->lock);
	i->start_txg = le64_of(s->start_txg);
	/* one that is still finding its way back has not come further */
	if (s->dataset < s->done_dataset ||
	    (s->dataset == s->done_dataset &&
	     key_compare(&s->key, &s->done_key) < 0)) {
		i->dataset = le32_of(s->done_dataset);
		key_encode(&s->done_key, i->key);
	} else {
		i->dataset = le32_of(s->dataset);
		key_encode(&s->key, i->key);
	}
}

static void store_finding(struct scrub *s, uint32_t number, struct save *v)
{
	struct scrub_finding_item *i = (struct scrub_finding_item *)v->value;
	const struct scrub_finding *f = &s->found[number - 1];
	size_t len;

	memset(i, 0, sizeof(*i));
	v->number = number;
	os_mutex_lock(&s->lock);
	len = strlen(f->path);
	i->kind = (uint8_t)f->kind;
	i->level = f->level;
	i->path_len = le16_of((uint16_t)len);
	i->dataset = le32_of(f->dataset);
	i->ino = le64_of(f->ino);
	i->ino_end = le64_of(f->ino_end);
	i->offset = le64_of(f->offset);
	i->blkno = le64_of(f->blkno);
	i->nr_blocks = le32_of(f->nr_blocks);
	memcpy(i + 1, f->path, len);
	os_mutex_unlock(&s->lock);
	v->len = sizeof(*i) + len;
}

int scrub_save(struct scrub *s)
{
	struct save *v;
	uint32_t nr_kept;
	int rc = 0;

	if (s->pool->read_only)
		return 0;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	os_mutex_lock(&s->lock);
	nr_kept = s->nr_kept;
	os_mutex_unlock(&s->lock);
	/* those of a scrub before, when one begins */
	while (s->nr_saved > nr_kept && rc == 0) {
		v->number = s->nr_saved;
		rc = save_one(s->pool, v);
		if (rc == 0)
			s->nr_saved--;
	}
	while (s->nr_saved < nr_kept && rc == 0) {
		store_finding(s, s->nr_saved + 1, v);
		rc = save_one(s->pool, v);
		if (rc == 0)
			s->nr_saved++;
	}
	if (rc == 0) {
		v->number = 0;
		store_state(s, v);
		rc = save_one(s->pool, v);
	}
	free(v);
	return rc;
}
