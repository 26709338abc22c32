/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_image.h - a pool to be damaged at known places
 *
 * Below: the store.  Above: test_check*.c, each of which is one program.
 *
 * One pool with something of everything is made once, in memory.  Each test
 * damages a copy of it, with checksums made good again where the damage is to
 * be one that checksums do not show, and looks for the sentence.
 */
#ifndef DBS_TESTS_CHECK_IMAGE_H
#define DBS_TESTS_CHECK_IMAGE_H

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "store/csum.h"
#include "store/dataset_internal.h"
#include "store/node.h"
#include "store/store.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/lib/rnd.h"

#define POOL_SIZE (UINT64_C(64) << 20)
#define RECORD	  16384u

static uint8_t *pristine; /* the pool as it was made */
static struct blkdev *dev;
static uint8_t *image; /* dev's bytes */

/* ---- what the check said ------------------------------------------------ */

static char findings[64][512];
static size_t nr_findings;
static struct check_result result;

static inline void keep_finding(void *arg, const char *text)
{
	(void)arg;
	if (nr_findings < ARRAY_SIZE(findings))
		snprintf(findings[nr_findings], sizeof(findings[0]), "%s",
			 text);
	nr_findings++;
}

static char last_note[512];

static inline void keep_note(void *arg, const char *text)
{
	(void)arg;
	snprintf(last_note, sizeof(last_note), "%s", text);
}

static inline void run_check(bool data)
{
	struct check_options o = {
		.data = data, .report = keep_finding, .note = keep_note};
	struct store_error error = {""};

	nr_findings = 0;
	CHECK_OK(check_run(dev, &o, &result, &error));
	CHECK_UINT(result.nr_errors, nr_findings);
}

static inline bool found(const char *part)
{
	for (size_t i = 0; i < nr_findings && i < ARRAY_SIZE(findings); i++)
		if (strstr(findings[i], part))
			return true;
	return false;
}

static inline void print_findings(void)
{
	for (size_t i = 0; i < nr_findings && i < ARRAY_SIZE(findings); i++)
		print_message("finding: %s\n", findings[i]);
}

/* The check finds something that says @part. */
#define CHECK_FOUND(part)                                                      \
	do {                                                                   \
		if (!found(part)) {                                            \
			print_findings();                                      \
			check_failed("not found: " part, __FILE__, __LINE__);  \
		}                                                              \
	} while (0)

static inline void check_clean(void)
{
	run_check(true);
	if (nr_findings > 0)
		print_findings();
	CHECK_UINT(nr_findings, 0);
}

/* ---- the pool ------------------------------------------------------------ */

static inline struct pool *pool_of(struct blkdev *d)
{
	struct pool_options o = {.no_background = true};
	struct store_error error = {""};
	struct pool *pool = NULL;

	CHECK_OK(pool_open_on(blkdev_borrow(d), &o, &pool, &error));
	return pool;
}

static inline uint64_t make(struct dataset *ds, uint64_t dir, const char *name,
			    uint32_t mode, const char *target)
{
	struct file_new n = {.mode = mode, .target = target};
	struct file_attr attr;

	CHECK_OK(file_create(ds, dir, name, strlen(name), &n, &attr));
	return attr.ino;
}

static inline void fill(struct dataset *ds, uint64_t ino, uint64_t offset,
			size_t len, uint64_t seed)
{
	struct rnd r = {seed};
	uint8_t *buf = malloc(len);

	/* half of it compresses */
	CHECK(buf);
	memset(buf, 'x', len);
	for (size_t at = 0; at < len; at += 2 * RECORD)
		rnd_fill(&r, buf + at, MIN_OF(len - at, (size_t)RECORD));
	CHECK_OK(file_write(ds, ino, offset, buf, len, 0));
	free(buf);
}

static inline struct dataset *open_ds(struct pool *pool, const char *name)
{
	struct dataset *ds;

	CHECK_OK(dataset_open(pool, name, &ds));
	return ds;
}

/* Directories, files, links, attributes, orphans, snapshots, clones. */
static inline void populate(struct pool *pool)
{
	struct dataset_properties p;
	struct dataset *ds, *snap, *clone;
	struct file_attr attr;
	uint64_t db, ino;
	uint32_t id;
	char value[3000], name[32];

	dataset_properties_default(&p);
	CHECK_OK(dataset_create(pool, "prod", &p, &id));
	ds = open_ds(pool, "prod");
	CHECK_OK(dataset_set_user(ds, "owner", "ci"));
	db = make(ds, INO_ROOT, "db", S_IFDIR | 0755, NULL);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "t%u.ibd", i);
		ino = make(ds, db, name, S_IFREG | 0644, NULL);
		fill(ds, ino, 0, 20 * RECORD, i);
	}
	ino = make(ds, INO_ROOT, "log", S_IFREG | 0600, NULL);
	for (unsigned i = 0; i < 6; i++)
		fill(ds, ino, 512 * i, 512, i);
	CHECK_OK(file_link(ds, ino, db, "log2", 4, &attr));
	make(ds, db, "link", S_IFLNK | 0777, "../log");
	make(ds, db, "sock", S_IFSOCK | 0600, NULL);
	memset(value, 'v', sizeof(value));
	CHECK_OK(file_setxattr(ds, ino, "user.big", value, sizeof(value), 0));
	CHECK_OK(file_setxattr(ds, ino, "user.small", value, 5, 0));
	CHECK_OK(dataset_snapshot(ds, "monday", false, &id));
	snap = open_ds(pool, "prod@monday");
	CHECK_OK(dataset_clone(snap, "ci", &id));
	CHECK_OK(dataset_clone(snap, "idle", &id));
	clone = open_ds(pool, "ci");
	CHECK_OK(file_lookup(clone, db, "t7.ibd", 6, &attr));
	fill(clone, attr.ino, 3 * RECORD, 5 * RECORD, 1000);
	CHECK_OK(file_unlink(clone, db, "t8.ibd", 6, NULL));
	/* an open file that a snapshot catches without a name */
	CHECK_OK(file_lookup(ds, db, "t9.ibd", 6, &attr));
	CHECK_OK(file_open(ds, attr.ino, true));
	CHECK_OK(file_unlink(ds, db, "t9.ibd", 6, NULL));
	CHECK_OK(dataset_snapshot(ds, "tuesday", false, &id));
	file_close(ds, attr.ino, true);
	dataset_put(clone);
	dataset_put(snap);
	dataset_put(ds);
}

/* Some more, after a repair. */
static inline void populate_more(struct pool *pool)
{
	struct dataset *ds = open_ds(pool, "prod");

	for (unsigned i = 0; i < 8; i++) {
		char name[16];

		snprintf(name, sizeof(name), "more%u", i);
		fill(ds, make(ds, INO_ROOT, name, S_IFREG | 0600, NULL), 0,
		     20 * RECORD, 100 + i);
	}
	dataset_put(ds);
}

static inline void destroy(struct pool *pool, const char *name)
{
	struct dataset *ds = open_ds(pool, name);

	CHECK_OK(dataset_destroy(ds, DESTROY_FORCE));
	dataset_put(ds);
}

/* A tree of more nodes than the reaper drops in one commit. */
static inline void make_big_tree(struct pool *pool)
{
	static char value[XATTR_VALUE_MAX];
	struct dataset_properties p;
	struct dataset *ds;
	char name[16];

	dataset_properties_default(&p);
	CHECK_OK(dataset_create(pool, "big", &p, NULL));
	ds = open_ds(pool, "big");
	for (unsigned i = 0; i < 270; i++) {
		uint64_t ino;

		snprintf(name, sizeof(name), "f%u", i);
		ino = make(ds, INO_ROOT, name, S_IFREG | 0644, NULL);
		CHECK_OK(file_setxattr(ds, ino, "user.x", value, sizeof(value),
				       0));
		fill(ds, ino, 0, 4096, i);
	}
	dataset_put(ds);
	CHECK_OK(pool_sync(pool));
}

static inline void destroy_big_tree(struct pool *pool)
{
	make_big_tree(pool);
	destroy(pool, "big");
	CHECK_OK(pool_sync(pool));
}

static inline void new_device(uint64_t size)
{
	struct pool_create_options o = {.name = "test"};
	struct store_error error = {""};

	CHECK_OK(blkdev_mem_open(size, &dev));
	CHECK_OK(pool_create_on(dev, &o, &error));
	image = blkdev_mem_data(dev);
}

static inline int make_pool(void **state)
{
	struct pool *pool;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	new_device(POOL_SIZE);
	pool = pool_of(dev);
	populate(pool);
	CHECK_OK(pool_close(pool));
	pristine = malloc(POOL_SIZE);
	CHECK(pristine);
	memcpy(pristine, image, POOL_SIZE);
	return 0;
}

static inline int free_pool(void **state)
{
	(void)state;
	blkdev_close(dev);
	free(pristine);
	return 0;
}

static inline int restore_pool(void **state)
{
	(void)state;
	memcpy(image, pristine, POOL_SIZE);
	return 0;
}

/* ---- finding places in the image ---------------------------------------- */

static inline uint8_t *block(uint64_t blkno)
{
	CHECK(blkno < POOL_SIZE / BLOCK_SIZE);
	return image + blkno * BLOCK_SIZE;
}

/* The current superblock: its first copy. */
static inline struct superblock *superblock(void)
{
	struct superblock *best = NULL;

	for (unsigned i = 0; i < SUPERBLOCK_RING; i++) {
		struct superblock *sb = (void *)block(i);

		if (le32_get(sb->h.type) == META_SUPERBLOCK &&
		    (!best ||
		     le64_get(sb->commit_seq) > le64_get(best->commit_seq)))
			best = sb;
	}
	CHECK(best);
	return best;
}

static inline void seal_meta(void *page, uint32_t type)
{
	struct meta_header *h = page;

	h->csum = le64_of(csum_of((uint8_t *)page + 8, BLOCK_SIZE - 8, type));
}

/* Make both copies of the superblock whole again. */
static inline void seal_superblock(struct superblock *sb)
{
	uint64_t slot = le64_get(sb->h.blkno);
	struct superblock *copy = (void *)block(SUPERBLOCK_COPY_BLKNO + slot);

	seal_meta(sb, META_SUPERBLOCK);
	*copy = *sb;
	copy->h.blkno = le64_of(SUPERBLOCK_COPY_BLKNO + slot);
	seal_meta(copy, META_SUPERBLOCK);
}

static inline uint8_t *root_of(const struct tree_ptr *tree)
{
	return block(le40_get(tree->node.blkno));
}

/* The leaf for @key, from the node @page on. */
static inline uint8_t *leaf_for(uint8_t *page, const struct key *key)
{
	while (node_level(page) > 0) {
		uint64_t blkno, txg;

		node_child(page, node_search_child(page, key), &blkno, &txg);
		page = block(blkno);
	}
	return page;
}

/* The value of @key in the tree under @root; @leaf: out. */
static inline void *value_of(uint8_t *root, struct key key, uint8_t **leaf)
{
	struct node_item item;
	uint32_t i;
	bool exact;

	*leaf = leaf_for(root, &key);
	i = node_search(*leaf, &key, &exact);
	CHECK(exact);
	node_item(*leaf, i, &item);
	return (void *)(uintptr_t)item.value;
}

static inline void remove_item(uint8_t *root, struct key key)
{
	uint8_t *leaf = leaf_for(root, &key);
	uint32_t i;
	bool exact;

	i = node_search(leaf, &key, &exact);
	CHECK(exact);
	node_remove(leaf, i);
	node_seal(leaf);
}

/* @value becomes one more item of the leaf that @key belongs to. */
static inline void insert_item(uint8_t *root, struct key key, const void *value,
			       uint32_t len)
{
	uint8_t *leaf = leaf_for(root, &key);
	uint32_t i;
	bool exact;

	i = node_search(leaf, &key, &exact);
	CHECK(!exact);
	CHECK(node_insert(leaf, i, &key, value, len));
	node_seal(leaf);
}

/* The first item of a type and inode at or after @from in its leaf. */
static inline struct key next_key(uint8_t *root, struct key from)
{
	uint8_t *leaf = leaf_for(root, &from);
	struct node_item item;
	bool exact;

	node_item(leaf, node_search(leaf, &from, &exact), &item);
	CHECK_UINT(item.key.ino, from.ino);
	CHECK_UINT(item.key.type, from.type);
	return item.key;
}

/* The only dead tree there is, and the leaf that has it; NULL: none. */
static inline struct dead_item *find_dead(uint8_t **leaf)
{
	struct key key = key_of(0, ITEM_DEAD, 0);
	struct node_item item;
	uint32_t i;
	bool exact;

	if (le40_get(superblock()->space_tree.node.blkno) == 0)
		return NULL;
	*leaf = leaf_for(root_of(&superblock()->space_tree), &key);
	i = node_search(*leaf, &key, &exact);
	if (i == node_nr_items(*leaf))
		return NULL;
	node_item(*leaf, i, &item);
	return (void *)(uintptr_t)item.value;
}

/* Dataset number @nr (ids start at 1): its item and the leaf that has it. */
static inline struct dataset_item *dataset_item(const char *name,
						uint8_t **leaf)
{
	uint8_t *root = root_of(&superblock()->root_tree);

	for (uint32_t id = 1; id < le32_get(superblock()->next_dataset); id++) {
		struct dataset_item *d;

		d = value_of(root, key_of(id, ITEM_DATASET, 0), leaf);
		if (d->name_len == strlen(name) &&
		    memcmp(d + 1, name, d->name_len) == 0)
			return d;
	}
	check_failed("no such dataset", __FILE__, __LINE__);
	return NULL;
}

/* Root node of a dataset's or (by the part after '@') snapshot's tree. */
static inline uint8_t *tree_of(const char *name)
{
	uint8_t *leaf;

	return root_of(&dataset_item(name, &leaf)->tree);
}

/* Inode number of @name in directory @dir of the tree under @root. */
static inline uint64_t ino_of(uint8_t *root, uint64_t dir, const char *name,
			      struct key *at)
{
	struct key key = key_of(dir, ITEM_DIRENT, 0);

	for (;;) {
		uint8_t *leaf = leaf_for(root, &key);
		struct node_item item;
		bool exact;
		uint32_t i = node_search(leaf, &key, &exact);

		for (; i < node_nr_items(leaf); i++) {
			const struct dirent_item *e;

			node_item(leaf, i, &item);
			CHECK(item.key.ino == dir &&
			      item.key.type == ITEM_DIRENT);
			e = (const void *)item.value;
			if (e->name_len == strlen(name) &&
			    memcmp(e + 1, name, e->name_len) == 0) {
				if (at)
					*at = item.key;
				return le40_get(e->ino);
			}
		}
		/* entries that go on in the next leaf */
		key = key_next(&item.key);
		if (leaf_for(root, &key) == leaf)
			break;
	}
	check_failed("no such name", __FILE__, __LINE__);
	return 0;
}

static inline struct inode_item *inode_item(uint8_t *root, uint64_t ino,
					    uint8_t **leaf)
{
	return value_of(root, key_of(ino, ITEM_INODE, 0), leaf);
}

/* ---- the space map in the image ------------------------------------------ */

static inline struct space_entry *index2_entry(void)
{
	return &superblock()->space[0];
}

static inline struct space_index *index_block(const struct space_entry *e,
					      uint64_t slots)
{
	CHECK(le64_get(e->txg) != 0);
	return (void *)block(slots + e->slot);
}

static inline struct space_entry *region_entry(uint64_t r)
{
	struct space_index *i2 =
		index_block(index2_entry(), space_index_blkno(2, 0, 0));
	struct space_index *i1 =
		index_block(&i2->entry[0], space_index_blkno(1, 0, 0));

	return &i1->entry[r];
}

static inline struct space_region *region(uint64_t r)
{
	struct space_entry *e = region_entry(r);

	CHECK(le64_get(e->txg) != 0);
	return (void *)block(region_counts_blkno(r, e->slot));
}

/* Checksums all the way up, after region @r was changed. */
static inline void seal_space(uint64_t r)
{
	struct space_index *i2 =
		index_block(index2_entry(), space_index_blkno(2, 0, 0));
	struct space_index *i1 =
		index_block(&i2->entry[0], space_index_blkno(1, 0, 0));

	seal_meta(region(r), META_SPACE_REGION);
	i1->entry[r].csum = region(r)->h.csum;
	seal_meta(i1, META_SPACE_INDEX);
	i2->entry[0].csum = i1->h.csum;
	seal_meta(i2, META_SPACE_INDEX);
	index2_entry()->csum = i2->h.csum;
	seal_superblock(superblock());
}

static inline uint8_t *count_of(uint64_t blkno)
{
	return &region(blkno / REGION_BLOCKS)->count[blkno % REGION_BLOCKS];
}

/* A block that some region counts as free. */
static inline uint64_t free_block(void)
{
	for (uint64_t b = 0; b < POOL_SIZE / BLOCK_SIZE; b++)
		if (le64_get(region_entry(b / REGION_BLOCKS)->txg) != 0 &&
		    *count_of(b) == 0)
			return b;
	check_failed("no free block", __FILE__, __LINE__);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, restore_pool)

#endif
