/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_flip.c - a byte that changes on the device is never taken for data
 *
 *	test_flip [--long]
 *
 * In every block that a small pool's superblock reaches, bytes are flipped,
 * one at a time.  Reading everything then gives what was written or an error;
 * a scrub finds it; so does a check.  Two bytes of each block are tried; with
 * --long 64, and all of the first block of each kind.
 */
#include "tests/unit/check_image.h"

#define TRIES	   2u
#define TRIES_LONG 64u
#define KINDS	   6u
#define BLOCKS_MAX 4096u
#define LIST_MAX   2048u

enum kind { SUPERBLOCK, INDEX, REGION, POOL_NODE, NODE, RECORDS };
static const char *const kind_names[KINDS] = {"superblock", "index", "region",
					      "pool node",  "node",  "record"};

struct place {
	uint64_t blkno;
	enum kind kind;
};

static struct place places[BLOCKS_MAX];
static size_t nr_places;
static bool is_long;

/* ---- a small pool -------------------------------------------------------- */

static void populate_small(struct pool *pool)
{
	struct dataset_properties p;
	struct dataset *ds, *clone;
	char name[32], value[3000];
	uint64_t dir, ino = 0;

	dataset_properties_default(&p);
	CHECK_OK(dataset_create(pool, "prod", &p, NULL));
	ds = open_ds(pool, "prod");
	CHECK_OK(dataset_set_user(ds, "owner", "ci"));
	dir = make(ds, INO_ROOT, "db", S_IFDIR | 0755, NULL);
	memset(value, 'v', sizeof(value));
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "t%u.ibd", i);
		ino = make(ds, dir, name, S_IFREG | 0644, NULL);
		fill(ds, ino, 0, 6 * RECORD, i);
		CHECK_OK(file_setxattr(ds, ino, "user.big", value,
				       sizeof(value), 0));
	}
	make(ds, dir, "link", S_IFLNK | 0777, "../somewhere");
	CHECK_OK(dataset_snapshot(ds, "monday", false, NULL));
	CHECK_OK(dataset_clone(ds, "ci", NULL));
	clone = open_ds(pool, "ci");
	fill(clone, ino, RECORD, 2 * RECORD, 77);
	dataset_put(clone);
	dataset_put(ds);
	/* a count that is in the space tree */
	CHECK_OK(dataset_create(pool, "tiny", &p, NULL));
	ds = open_ds(pool, "tiny");
	make(ds, INO_ROOT, "file", S_IFREG | 0644, NULL);
	for (unsigned i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		CHECK_OK(dataset_clone(ds, name, NULL));
	}
	dataset_put(ds);
}

/* ---- what it reaches ------------------------------------------------------ */

static void add_place(uint64_t blkno, enum kind kind)
{
	for (size_t i = 0; i < nr_places; i++)
		if (places[i].blkno == blkno)
			return;
	CHECK(nr_places < BLOCKS_MAX);
	places[nr_places++] = (struct place){blkno, kind};
}

static void add_tree(const uint8_t *page, enum kind kind)
{
	add_place(node_blkno(page), kind);
	for (uint32_t i = 0; i < node_nr_items(page); i++) {
		const struct extent_item *e;
		struct node_item it;
		uint64_t blkno, txg;

		node_item(page, i, &it);
		if (node_level(page) > 0) {
			node_child(page, i, &blkno, &txg);
			add_tree(block(blkno), kind);
		} else if (it.key.type == ITEM_EXTENT && kind == NODE) {
			e = (const void *)it.value;
			for (uint32_t k = 0; k <= (e->meta & 31u); k++)
				add_place(le40_get(e->blkno) + k, RECORDS);
		} else if (it.key.type == ITEM_DATASET && kind == POOL_NODE) {
			const struct dataset_item *d = (const void *)it.value;

			add_tree(root_of(&d->tree), NODE);
		}
	}
}

static void find_places(void)
{
	uint64_t slot = le64_get(superblock()->h.blkno);
	struct space_index *i2 =
		index_block(index2_entry(), space_index_blkno(2, 0, 0));

	add_place(slot, SUPERBLOCK);
	add_place(SUPERBLOCK_COPY_BLKNO + slot, SUPERBLOCK);
	add_place(le64_get(i2->h.blkno), INDEX);
	add_place(space_index_blkno(1, 0, i2->entry[0].slot), INDEX);
	for (uint64_t r = 0; r * REGION_BLOCKS < POOL_SIZE / BLOCK_SIZE; r++)
		if (le64_get(region_entry(r)->txg) != 0)
			add_place(region_counts_blkno(r, region_entry(r)->slot),
				  REGION);
	add_tree(root_of(&superblock()->root_tree), POOL_NODE);
	add_tree(root_of(&superblock()->space_tree), POOL_NODE);
}

/* ---- reading everything ---------------------------------------------------- */

/* What a read of the whole pool gave: a digest a step, 0 for an error. */
struct reading {
	uint64_t digest[LIST_MAX];
	size_t nr;
	unsigned nr_errors;
};

static struct reading good, now;
static uint8_t *buffer;

static bool is_damage(int rc)
{
	return rc == -EIO || rc == -EBADMSG || rc == -EUCLEAN;
}

/* One step: @rc, and what was read if that is 0. */
static void step(struct reading *r, int rc, const void *bytes, size_t len)
{
	CHECK(r->nr < LIST_MAX);
	if (rc == 0) {
		r->digest[r->nr++] = csum_of(bytes, len, 1) | 1;
		return;
	}
	/* not ENOENT: what is there does not just go away */
	if (!is_damage(rc))
		check_int(rc, -EIO, "an error that says so", __FILE__,
			  __LINE__);
	r->digest[r->nr++] = 0;
	r->nr_errors++;
}

/* Names of a directory, added up so that their order does not matter. */
static int add_name(void *arg, const char *name, size_t len,
		    const struct file_attr *attr, uint64_t cookie)
{
	uint64_t *sum = arg;

	(void)cookie;
	*sum += csum_of(name, len, attr->ino);
	return 0;
}

static void read_names(struct reading *r, struct dataset *ds, uint64_t dir)
{
	uint64_t sum = 0;
	int rc = file_readdir(ds, dir, 0, true, add_name, &sum);

	step(r, rc, &sum, sizeof(sum));
}

static void read_file(struct reading *r, struct dataset *ds, uint64_t dir,
		      const char *name)
{
	struct file_attr attr = {0};
	size_t len = 0;
	int rc;

	rc = file_lookup(ds, dir, name, strlen(name), &attr);
	step(r, rc, &attr, sizeof(attr));
	/* the number is known all the same, as to somebody who has it open */
	if (rc)
		attr.ino = good.nr ? 17 + (uint64_t)(name[1] - '0') : 0;
	rc = file_getattr(ds, attr.ino, &attr);
	step(r, rc, &attr, sizeof(attr));
	rc = file_read(ds, attr.ino, 0, buffer, 8 * RECORD, &len);
	step(r, rc, buffer, len);
	rc = file_getxattr(ds, attr.ino, "user.big", buffer, 4096, &len);
	step(r, rc, buffer, len);
	rc = file_listxattr(ds, attr.ino, (char *)buffer, 4096, &len);
	step(r, rc, buffer, len);
}

static void read_tables(struct reading *r, struct dataset *ds)
{
	char name[16], target[SYMLINK_MAX + 1] = "";
	struct file_attr attr = {0};
	int rc;

	read_names(r, ds, INO_ROOT);
	read_names(r, ds, INO_FIRST);
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "t%u.ibd", i);
		read_file(r, ds, INO_FIRST, name);
	}
	rc = file_lookup(ds, INO_FIRST, "link", 4, &attr);
	step(r, rc, &attr, sizeof(attr));
	rc = file_readlink(ds, 25, target, sizeof(target));
	step(r, rc, target, strlen(target));
}

static void add_property(void *arg, const char *key, const char *value)
{
	uint64_t *sum = arg;

	*sum += csum_of(key, strlen(key), csum_of(value, strlen(value), 0));
}

static void read_pool(struct reading *r, struct pool *pool)
{
	static const char *const names[] = {"prod", "prod@monday", "ci"};
	uint64_t sum = 0;
	uint32_t *ids = NULL;
	size_t nr = 0;
	struct dataset *ds;
	int rc;

	r->nr = 0;
	r->nr_errors = 0;
	CHECK_OK(dataset_list(pool, 0, &ids, &nr));
	step(r, 0, ids, nr * sizeof(*ids));
	free(ids);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		ds = open_ds(pool, names[i]);
		read_tables(r, ds);
		dataset_put(ds);
	}
	ds = open_ds(pool, "prod");
	rc = dataset_each_user(ds, add_property, &sum);
	step(r, rc, &sum, sizeof(sum));
	dataset_put(ds);
	ds = open_ds(pool, "c100");
	read_names(r, ds, INO_ROOT);
	dataset_put(ds);
}

/* ---- one flip --------------------------------------------------------------- */

static struct blkdev *flipped(uint64_t at, uint8_t bits)
{
	struct blkdev *view = blkdev_view_open(pristine, POOL_SIZE);
	uint64_t start = at / BLOCK_SIZE * BLOCK_SIZE;
	uint8_t page[BLOCK_SIZE];

	memcpy(page, pristine + start, BLOCK_SIZE);
	page[at - start] ^= bits;
	blkdev_view_write(view, page, BLOCK_SIZE, start);
	return view;
}

/* NULL: it cannot be opened, and says so. */
static struct pool *open_flipped(struct blkdev *view)
{
	struct pool_options o = {.no_background = true, .cache_bytes = 1};
	struct blkdev *borrowed = blkdev_borrow(view);
	struct store_error error = {""};
	struct pool *pool = NULL;
	int rc = pool_open_on(borrowed, &o, &pool, &error);

	if (rc == 0)
		return pool;
	CHECK(is_damage(rc));
	CHECK(*error.text);
	blkdev_close(borrowed);
	return NULL;
}

/* Reading gives what was written, or an error.  Returns whether any. */
static bool check_reading(struct blkdev *view)
{
	struct pool *pool = open_flipped(view);

	if (!pool)
		return true;
	read_pool(&now, pool);
	pool_abandon(pool);
	CHECK_UINT(now.nr, good.nr);
	for (size_t i = 0; i < now.nr; i++)
		if (now.digest[i])
			CHECK_UINT(now.digest[i], good.digest[i]);
	return now.nr_errors > 0;
}

static void check_scrub(struct blkdev *view)
{
	struct pool *pool = open_flipped(view);
	struct scrub_status st;

	if (!pool)
		return;
	CHECK_OK(pool_scrub_start(pool, 0));
	CHECK_OK(pool_scrub_status(pool, &st));
	CHECK_INT(st.state, SCRUB_FINISHED);
	CHECK(st.nr_errors > 0);
	pool_abandon(pool);
}

static void check_check(struct blkdev *view, enum kind kind)
{
	struct check_options o = {.data = true};
	struct store_error error = {""};

	CHECK_OK(check_run(view, &o, &result, &error));
	/* one copy of the superblock alone is no damage for sure */
	if (kind == SUPERBLOCK)
		CHECK(result.nr_notes > 0);
	else
		CHECK(result.nr_errors > 0);
}

static unsigned tried[KINDS], nr_failed_reads[KINDS];

static void try_flip(const struct place *p, uint64_t offset, uint8_t bits)
{
	uint64_t at = p->blkno * BLOCK_SIZE + offset;
	struct blkdev *view = flipped(at, bits);

	nr_failed_reads[p->kind] += check_reading(view);
	blkdev_close(view);
	view = flipped(at, bits);
	check_check(view, p->kind);
	check_scrub(view);
	blkdev_close(view);
	tried[p->kind]++;
}

static void flip__of_any_byte_is_found_and_never_data(void **state)
{
	bool whole[KINDS] = {false};
	struct rnd r = {4711};

	(void)state;
	for (size_t i = 0; i < nr_places; i++) {
		const struct place *p = &places[i];
		uint64_t tries = is_long ? TRIES_LONG : TRIES;

		if (is_long && !whole[p->kind])
			tries = BLOCK_SIZE;
		for (uint64_t t = 0; t < tries; t++)
			try_flip(p,
				 tries == BLOCK_SIZE
					 ? t
					 : rnd_below(&r, BLOCK_SIZE),
				 (uint8_t)(1u << rnd_below(&r, 8)));
		whole[p->kind] = true;
	}
	for (unsigned k = 0; k < KINDS; k++) {
		print_message("%s: %u bytes flipped, %u times reading failed\n",
			      kind_names[k], tried[k], nr_failed_reads[k]);
		CHECK(tried[k] > 0);
	}
	/* or nothing was read */
	CHECK_UINT(nr_failed_reads[RECORDS], tried[RECORDS]);
	CHECK(nr_failed_reads[NODE] > 0);
}

static void flip__without_one_everything_is_read(void **state)
{
	struct pool *pool;
	struct blkdev *view = blkdev_view_open(pristine, POOL_SIZE);

	(void)state;
	pool = open_flipped(view);
	CHECK(pool);
	read_pool(&good, pool);
	pool_abandon(pool);
	CHECK_UINT(good.nr_errors, 0);
	CHECK(good.nr > 100);
	CHECK(!check_reading(view));
	blkdev_close(view);
	check_clean();
}

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static int make_small(void **state)
{
	struct pool *pool;

	(void)state;
	new_device(POOL_SIZE);
	pool = pool_of(dev);
	populate_small(pool);
	CHECK_OK(pool_close(pool));
	pristine = malloc(POOL_SIZE);
	buffer = malloc(8 * RECORD);
	CHECK(pristine && buffer);
	memcpy(pristine, image, POOL_SIZE);
	find_places();
	log_set_sink(no_log);
	return 0;
}

static int free_small(void **state)
{
	free(buffer);
	return free_pool(state);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flip__without_one_everything_is_read),
		cmocka_unit_test(flip__of_any_byte_is_found_and_never_data),
	};

	is_long = argc > 1 && strcmp(argv[1], "--long") == 0;
	return cmocka_run_group_tests(tests, make_small, free_small);
}
