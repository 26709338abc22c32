/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_btree_model.c - B+trees against sorted arrays
 *
 * Random puts, deletes and trims on the trees of several datasets, which are
 * snapshotted, cloned and destroyed meanwhile, so that nodes are shared in all
 * ways.  After every commit and reopen each tree is read forward, backward
 * and by key, and compared with its array.
 *
 * The keys are those of xattrs of inodes that don't exist: the tree does not
 * mind, the check does, so it is not run here (tests/model/ does).
 *
 * A failing seed is printed; 'test_btree_model SEED' runs it alone.
 */
#include <errno.h>

#include "store/btree.h"
#include "store/dataset_internal.h"
#include "store/format.h"
#include "store/store.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/lib/rnd.h"

#define NR_TREES  6u
#define FIRST_INO UINT64_C(1000)
#define VALUE_MAX (NODE_ITEM_MAX - KEY_SIZE - 2)
#define PUTS_MAX  8u

/* A value is made from its seed, so an item is small. */
struct item {
	struct key key;
	uint32_t seed;
	uint32_t len;
};

struct array {
	struct item *items; /* by key */
	size_t nr, cap;
};

struct tree {
	uint32_t id; /* of its dataset or snapshot; 0: not used */
	bool snapshot;
	struct array now, committed;
};

struct world {
	struct blkdev *dev;
	struct pool *pool;
	struct rnd rnd;
	uint64_t seed;
	struct tree trees[NR_TREES];
	unsigned serial;
	/* what this run's keys and values are like */
	uint64_t nr_inos, nr_offsets, value_max;
};

/* -- arrays ---------------------------------------------------------------- */

static size_t array_find(const struct array *a, const struct key *key)
{
	size_t lo = 0, hi = a->nr;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (key_compare(&a->items[mid].key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool array_has(const struct array *a, size_t i, const struct key *key)
{
	return i < a->nr && key_compare(&a->items[i].key, key) == 0;
}

static void array_put(struct array *a, const struct item *item)
{
	const size_t i = array_find(a, &item->key);

	if (array_has(a, i, &item->key)) {
		a->items[i] = *item;
		return;
	}
	if (a->nr == a->cap) {
		a->cap = a->cap ? 2 * a->cap : 256;
		a->items = realloc(a->items, a->cap * sizeof(*a->items));
		MUST(a->items);
	}
	memmove(&a->items[i + 1], &a->items[i],
		(a->nr - i) * sizeof(*a->items));
	a->items[i] = *item;
	a->nr++;
}

static void array_remove(struct array *a, size_t from, size_t nr)
{
	a->nr -= nr;
	memmove(&a->items[from], &a->items[from + nr],
		(a->nr - from) * sizeof(*a->items));
}

static void array_copy(struct array *to, const struct array *from)
{
	free(to->items);
	to->nr = to->cap = from->nr;
	to->items = malloc((from->nr + 1) * sizeof(*to->items));
	MUST(to->items);
	if (from->nr)
		memcpy(to->items, from->items, from->nr * sizeof(*to->items));
}

static void value_make(const struct item *item, uint8_t *value)
{
	struct rnd rnd = {.state = item->seed};

	rnd_fill(&rnd, value, item->len);
}

/* -- reading --------------------------------------------------------------- */

/* What a reading body is told; the first difference ends it with -EUCLEAN. */
struct reading {
	const struct array *want;
	struct key key;
	size_t nr;
};

static bool same_item(const struct btree_cursor *cur, const struct item *want)
{
	uint8_t value[VALUE_MAX];

	value_make(want, value);
	return key_compare(&cur->key, &want->key) == 0 &&
	       cur->len == want->len &&
	       memcmp(cur->value, value, want->len) == 0;
}

static int read_forward(struct op *op, struct dataset *ds, void *arg)
{
	struct reading *r = arg;
	const struct key first = key_of(FIRST_INO, 0, 0);
	struct btree_cursor cur;
	int rc = btree_seek(op, &ds->tree, &first, &cur);

	r->nr = 0;
	while (rc == 0) {
		if (r->nr == r->want->nr ||
		    !same_item(&cur, &r->want->items[r->nr])) {
			btree_release(op, &cur);
			return -EUCLEAN;
		}
		r->nr++;
		rc = btree_next(op, &ds->tree, &cur);
	}
	if (rc == -ENOENT)
		rc = r->nr == r->want->nr ? 0 : -EUCLEAN;
	return rc;
}

static int read_backward(struct op *op, struct dataset *ds, void *arg)
{
	struct reading *r = arg;
	const struct key last = key_of(INO_MAX, UINT8_MAX, OFFSET_MAX);
	struct btree_cursor cur;
	int rc = btree_seek_last(op, &ds->tree, &last, &cur);

	r->nr = r->want->nr;
	while (rc == 0 && cur.key.ino >= FIRST_INO) {
		if (r->nr == 0 ||
		    !same_item(&cur, &r->want->items[r->nr - 1])) {
			btree_release(op, &cur);
			return -EUCLEAN;
		}
		r->nr--;
		rc = btree_prev(op, &ds->tree, &cur);
	}
	if (rc == 0)
		btree_release(op, &cur);
	if (rc == 0 || rc == -ENOENT)
		rc = r->nr == 0 ? 0 : -EUCLEAN;
	return rc;
}

/* Get and seek of one key, there or not. */
static int read_key(struct op *op, struct dataset *ds, void *arg)
{
	const struct reading *r = arg;
	const size_t i = array_find(r->want, &r->key);
	const bool has = array_has(r->want, i, &r->key);
	uint8_t got[VALUE_MAX], want[VALUE_MAX];
	struct btree_cursor cur;
	size_t len = 0;
	bool same;
	int rc = btree_get(op, &ds->tree, &r->key, got, sizeof(got), &len);

	if (rc == -EAGAIN)
		return rc;
	if (rc != (has ? 0 : -ENOENT))
		return -EUCLEAN;
	if (has) {
		value_make(&r->want->items[i], want);
		if (len != r->want->items[i].len || memcmp(got, want, len))
			return -EUCLEAN;
	}
	rc = btree_seek(op, &ds->tree, &r->key, &cur);
	if (rc == -ENOENT)
		return i == r->want->nr ? 0 : -EUCLEAN;
	if (rc)
		return rc;
	same = i < r->want->nr && same_item(&cur, &r->want->items[i]);
	btree_release(op, &cur);
	return same ? 0 : -EUCLEAN;
}

static struct key pick_key(struct world *w)
{
	return key_of(FIRST_INO + rnd_below(&w->rnd, w->nr_inos), ITEM_XATTR,
		      rnd_below(&w->rnd, w->nr_offsets));
}

static struct dataset *must_open(struct world *w, uint32_t id)
{
	struct dataset *ds;

	CHECK_OK(dataset_open_id(w->pool, id, &ds));
	return ds;
}

static void compare_tree(struct world *w, struct tree *t)
{
	struct reading r = {.want = &t->now};
	struct dataset *ds = must_open(w, t->id);

	CHECK_OK(op_read(ds, read_forward, &r));
	CHECK_OK(op_read(ds, read_backward, &r));
	for (unsigned i = 0; i < 20; i++) {
		r.key = pick_key(w);
		CHECK_OK(op_read(ds, read_key, &r));
	}
	dataset_put(ds);
}

static void compare_all(struct world *w)
{
	for (unsigned i = 0; i < NR_TREES; i++)
		if (w->trees[i].id)
			compare_tree(w, &w->trees[i]);
}

/* -- changing -------------------------------------------------------------- */

struct change {
	struct item items[PUTS_MAX];
	bool del[PUTS_MAX], deleted[PUTS_MAX];
	uint32_t nr;
};

static int change_body(struct op *op, struct dataset *ds, void *arg)
{
	struct change *c = arg;
	uint8_t value[VALUE_MAX];
	int rc;

	for (uint32_t i = 0; i < c->nr; i++) {
		rc = btree_touch(op, &ds->tree, &c->items[i].key);
		if (rc)
			return rc;
	}
	rc = op_ready(op);
	if (rc)
		return rc;
	/* items that no file has: the intent log would not replay them */
	op->unlogged = true;
	for (uint32_t i = 0; i < c->nr; i++) {
		const struct item *item = &c->items[i];

		if (c->del[i]) {
			c->deleted[i] = btree_del(op, &ds->tree, &item->key);
			continue;
		}
		value_make(item, value);
		btree_put(op, &ds->tree, &item->key, value, item->len);
	}
	dataset_mark_dirty(op, ds);
	return 0;
}

/* One op of several puts and deletes, of which some may be of one key. */
static void change(struct world *w, struct tree *t, bool mostly_del)
{
	struct dataset *ds = must_open(w, t->id);
	struct change c = {.nr = (uint32_t)rnd_between(&w->rnd, 1, PUTS_MAX)};

	for (uint32_t i = 0; i < c.nr; i++) {
		c.items[i] =
			(struct item){.key = pick_key(w),
				      .seed = (uint32_t)rnd_next(&w->rnd),
				      .len = (uint32_t)rnd_between(
					      &w->rnd, 1, w->value_max + 1)};
		c.del[i] = rnd_below(&w->rnd, 10) < (mostly_del ? 8 : 3);
	}
	CHECK_OK(op_change(ds, c.nr, 0, change_body, &c));
	for (uint32_t i = 0; i < c.nr; i++) {
		const size_t at = array_find(&t->now, &c.items[i].key);
		const bool had = array_has(&t->now, at, &c.items[i].key);

		if (!c.del[i]) {
			array_put(&t->now, &c.items[i]);
			continue;
		}
		CHECK_INT(c.deleted[i], had);
		if (had)
			array_remove(&t->now, at, 1);
	}
	dataset_put(ds);
}

struct trimming {
	struct key from, to;
	uint32_t nr, nr_seen;
};

static void see_trimmed(void *arg, const struct key *key, const uint8_t *value,
			uint32_t len)
{
	struct trimming *t = arg;

	(void)value;
	(void)len;
	MUST(key_compare(key, &t->from) >= 0 && key_compare(key, &t->to) < 0);
	t->nr_seen++;
}

static int trim_body(struct op *op, struct dataset *ds, void *arg)
{
	struct trimming *t = arg;
	int rc;

	op->unlogged = true;
	rc = btree_trim(op, &ds->tree, &t->from, &t->to, see_trimmed, t,
			&t->nr);

	if (rc == 0 && t->nr)
		dataset_mark_dirty(op, ds);
	return rc;
}

/* Delete a range, a leaf at a time. */
static void trim(struct world *w, struct tree *t)
{
	struct dataset *ds = must_open(w, t->id);
	struct trimming trimming = {.from = pick_key(w)};
	size_t from, to, nr = 0;

	trimming.to = trimming.from;
	trimming.to.offset += rnd_below(&w->rnd, w->nr_offsets);
	if (rnd_one_in(&w->rnd, 4))
		trimming.to.ino += rnd_below(&w->rnd, 3);
	from = array_find(&t->now, &trimming.from);
	to = array_find(&t->now, &trimming.to);
	do {
		trimming.nr = trimming.nr_seen = 0;
		CHECK_OK(op_change(ds, 1, 0, trim_body, &trimming));
		CHECK_UINT(trimming.nr, trimming.nr_seen);
		nr += trimming.nr;
	} while (trimming.nr);
	CHECK_UINT(nr, to - from);
	array_remove(&t->now, from, nr);
	dataset_put(ds);
}

/* -- datasets -------------------------------------------------------------- */

static void committed(struct world *w)
{
	for (unsigned i = 0; i < NR_TREES; i++)
		array_copy(&w->trees[i].committed, &w->trees[i].now);
}

static struct tree *pick_tree(struct world *w, bool writable)
{
	for (;;) {
		struct tree *t = &w->trees[rnd_below(&w->rnd, NR_TREES)];

		if (t->id && !(writable && t->snapshot))
			return t;
	}
}

/* A snapshot or clone of a random tree takes the place of another. */
static void share(struct world *w)
{
	struct tree *to = &w->trees[rnd_between(&w->rnd, 1, NR_TREES)];
	struct tree *from = pick_tree(w, false);
	struct dataset *ds;
	char name[32];

	if (to == from)
		return;
	if (to->id) {
		ds = must_open(w, to->id);
		/* its snapshots go with it, so it must have none of ours */
		if (!to->snapshot)
			for (unsigned i = 0; i < NR_TREES; i++) {
				struct dataset_info info;
				struct dataset *other;

				if (!w->trees[i].snapshot)
					continue;
				other = must_open(w, w->trees[i].id);
				dataset_info(other, &info);
				dataset_put(other);
				if (info.parent == to->id) {
					dataset_put(ds);
					return;
				}
			}
		CHECK_OK(dataset_destroy(ds, 0));
		dataset_put(ds);
	}
	snprintf(name, sizeof(name), "t%u", w->serial++);
	ds = must_open(w, from->id);
	to->snapshot = !from->snapshot && rnd_one_in(&w->rnd, 2);
	if (to->snapshot)
		CHECK_OK(dataset_snapshot(ds, name, false, &to->id));
	else
		CHECK_OK(dataset_clone(ds, name, &to->id));
	dataset_put(ds);
	CHECK_OK(pool_sync(w->pool));
	array_copy(&to->now, &from->now);
	committed(w);
}

static void open_pool(struct world *w)
{
	/* a cache far smaller than the trees, so that -EAGAIN happens */
	const struct pool_options options = {.cache_bytes = 1u << 20,
					     .no_background = true};
	struct store_error error = {""};

	CHECK_OK(pool_open_on(blkdev_borrow(w->dev), &options, &w->pool,
			      &error));
}

static void reopen(struct world *w, bool crash)
{
	if (crash) {
		pool_abandon(w->pool);
		/* without threads only these two commit */
		for (unsigned i = 0; i < NR_TREES; i++)
			array_copy(&w->trees[i].now, &w->trees[i].committed);
	} else {
		CHECK_OK(pool_close(w->pool));
		committed(w);
	}
	open_pool(w);
}

static void step(struct world *w, bool shrinking)
{
	const uint64_t dice = rnd_below(&w->rnd, 1000);

	if (dice < 15) {
		share(w);
	} else if (dice < 25) {
		CHECK_OK(pool_sync(w->pool));
		committed(w);
		compare_all(w);
	} else if (dice < 29) {
		reopen(w, dice < 27);
		compare_all(w);
	} else if (dice < (shrinking ? 100 : 40)) {
		trim(w, pick_tree(w, true));
	} else {
		change(w, pick_tree(w, true), shrinking);
	}
}

static uint64_t only_seed;

/* Grow, shrink, grow again; then destroy all but an empty tree. */
static void run(uint64_t seed, uint64_t nr_inos, uint64_t nr_offsets,
		uint64_t value_max, unsigned nr_steps)
{
	struct world w = {.seed = seed,
			  .rnd = {.state = seed},
			  .nr_inos = nr_inos,
			  .nr_offsets = nr_offsets,
			  .value_max = value_max};
	const struct pool_create_options create = {.name = "btree"};
	struct dataset_properties p;
	struct store_error error = {""};

	if (only_seed)
		w.rnd.state = w.seed = only_seed;
	print_message("seed %ju\n", (uintmax_t)w.seed);
	dataset_properties_default(&p);
	CHECK_OK(blkdev_mem_open(UINT64_C(1) << 29, &w.dev));
	CHECK_OK(pool_create_on(w.dev, &create, &error));
	open_pool(&w);
	CHECK_OK(dataset_create(w.pool, "first", &p, &w.trees[0].id));
	for (unsigned i = 0; i < nr_steps; i++)
		step(&w, i / (nr_steps / 4) == 2);
	CHECK_OK(pool_sync(w.pool));
	compare_all(&w);
	CHECK_OK(pool_close(w.pool));
	for (unsigned i = 0; i < NR_TREES; i++) {
		free(w.trees[i].now.items);
		free(w.trees[i].committed.items);
	}
	blkdev_close(w.dev);
}

static void btree__many_small_items_agree_with_an_array(void **state)
{
	(void)state;
	run(101, 8, 4000, 40, 8000);
}

static void btree__large_items_agree_with_an_array(void **state)
{
	(void)state;
	run(202, 4, 1000, VALUE_MAX, 4000);
}

static void btree__few_keys_that_come_and_go_agree_with_an_array(void **state)
{
	(void)state;
	run(303, 2, 60, 300, 8000);
}

static void btree__dense_keys_with_long_prefixes_agree(void **state)
{
	(void)state;
	run(404, 1, 20000, 19, 8000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(btree__many_small_items_agree_with_an_array),
		cmocka_unit_test(btree__large_items_agree_with_an_array),
		cmocka_unit_test(
			btree__few_keys_that_come_and_go_agree_with_an_array),
		cmocka_unit_test(btree__dense_keys_with_long_prefixes_agree),
	};

	if (argc > 1)
		only_seed = strtoull(argv[1], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
