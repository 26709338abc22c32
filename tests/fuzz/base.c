/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The valid pool that harnesses damage: small, with something of everything,
 * and left as a crash leaves it.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "store/dataset_internal.h"
#include "store/node.h"
#include "store/store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/lib/rnd.h"

#define BASE_SIZE POOL_SIZE_MIN
#define RECORD	  16384u
/* of the log, that stay in it */
#define RING_BLOCKS 96u

static struct fuzz_base base;
static struct blkdev *base_dev; /* stays: what it holds is what is shown */

static void silence(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

struct pool *fuzz_open(struct blkdev *dev, bool read_only)
{
	const struct pool_options o = {.read_only = read_only,
				       .cache_bytes = 1,
				       .no_background = true};
	struct store_error error = {""};
	struct pool *pool;

	return pool_open_on(dev, &o, &pool, &error) ? NULL : pool;
}

/* ---- making it ----------------------------------------------------------- */

static uint64_t make(struct dataset *ds, uint64_t dir, const char *name,
		     uint32_t mode, const char *target)
{
	struct file_new n = {.mode = mode, .target = target};
	struct file_attr attr;

	MUST(file_create(ds, dir, name, strlen(name), &n, &attr) == 0);
	return attr.ino;
}

/* Records that compress, that do not, and the smallest. */
static void fill(struct dataset *ds, uint64_t ino, uint64_t offset, size_t len)
{
	struct rnd r = {ino + offset};
	uint8_t *buf = malloc(len);

	MUST(buf);
	memset(buf, 'x', len);
	for (size_t at = 0; at < len; at += 2 * RECORD)
		rnd_fill(&r, buf + at, MIN_OF(len - at, (size_t)RECORD));
	MUST(file_write(ds, ino, offset, buf, len, 0) == 0);
	free(buf);
}

static struct dataset *open_ds(struct pool *pool, const char *name)
{
	struct dataset *ds;

	MUST(dataset_open(pool, name, &ds) == 0);
	return ds;
}

static struct dataset *create(struct pool *pool, const char *name,
			      uint32_t recordsize)
{
	struct dataset_properties p;
	uint32_t id;

	dataset_properties_default(&p);
	p.recordsize = recordsize;
	MUST(dataset_create(pool, name, &p, &id) == 0);
	return open_ds(pool, name);
}

static uint64_t lookup(struct dataset *ds, uint64_t dir, const char *name)
{
	struct file_attr attr;

	MUST(file_lookup(ds, dir, name, strlen(name), &attr) == 0);
	return attr.ino;
}

static void unlink_name(struct dataset *ds, uint64_t dir, const char *name)
{
	MUST(file_unlink(ds, dir, name, strlen(name), NULL) == 0);
}

static void populate_prod(struct dataset *ds)
{
	struct file_attr attr;
	char target[SYMLINK_MAX + 1], value[3000], name[32];
	uint64_t db, ino;

	MUST(dataset_set_user(ds, "owner", "ci") == 0);
	db = make(ds, INO_ROOT, "db", S_IFDIR | 0755, NULL);
	for (unsigned i = 0; i < 14; i++) {
		snprintf(name, sizeof(name), "t%u.ibd", i);
		ino = make(ds, db, name, S_IFREG | 0644, NULL);
		fill(ds, ino, 0, 3 * RECORD);
	}
	ino = make(ds, INO_ROOT, "log", S_IFREG | 0600, NULL);
	for (unsigned i = 0; i < 6; i++)
		fill(ds, ino, 512 * i, 512);
	MUST(file_link(ds, ino, db, "log2", 4, &attr) == 0);
	make(ds, db, "link", S_IFLNK | 0777, "../log");
	memset(target, 't', SYMLINK_MAX);
	target[SYMLINK_MAX] = '\0';
	make(ds, db, "long", S_IFLNK | 0777, target);
	make(ds, db, "sock", S_IFSOCK | 0600, NULL);
	make(ds, db, "dir", S_IFDIR | 0755, NULL);
	memset(value, 'v', sizeof(value));
	MUST(file_setxattr(ds, ino, "user.big", value, sizeof(value), 0) == 0);
	MUST(file_setxattr(ds, ino, "user.small", value, 5, 0) == 0);
}

/* Its tree has so many leaves that the reaper ends its step among them. */
static void populate_dead(struct pool *pool)
{
	struct dataset *ds = create(pool, "dead", RECORD);
	uint64_t ino = make(ds, INO_ROOT, "f", S_IFREG | 0644, NULL);
	uint8_t *value = calloc(1, XATTR_VALUE_MAX);

	MUST(value);
	for (unsigned i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "user.%u", i);
		MUST(file_setxattr(ds, ino, name, value, XATTR_VALUE_MAX, 0) ==
		     0);
	}
	free(value);
	fill(ds, ino, 0, 4 * RECORD);
	MUST(pool_sync(pool) == 0);
	MUST(dataset_destroy(ds, 0) == 0);
	dataset_put(ds);
}

static void populate(struct pool *pool)
{
	struct dataset *ds = create(pool, "prod", RECORD), *snap, *clone;
	uint64_t db, ino;
	uint32_t id;

	populate_prod(ds);
	db = lookup(ds, INO_ROOT, "db");
	MUST(dataset_snapshot(ds, "monday", false, &id) == 0);
	snap = open_ds(pool, "prod@monday");
	MUST(dataset_clone(snap, "ci", &id) == 0);
	clone = open_ds(pool, "ci");
	fill(clone, lookup(clone, db, "t7.ibd"), RECORD, RECORD);
	unlink_name(clone, db, "t8.ibd");
	/* an open file that a snapshot catches without a name */
	ino = lookup(ds, db, "t9.ibd");
	MUST(file_open(ds, ino, true) == 0);
	unlink_name(ds, db, "t9.ibd");
	MUST(dataset_snapshot(ds, "tuesday", false, &id) == 0);
	dataset_put(clone);
	clone = create(pool, "small", 4096);
	ino = make(clone, INO_ROOT, "f", S_IFREG | 0644, NULL);
	fill(clone, ino, 0, 4 * RECORD);
	MUST(file_fallocate(clone, ino,
			    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192,
			    8192, 0) == 0);
	/* so many names for one block that its count is in the space tree */
	for (unsigned i = 0; i < 256; i++) {
		uint64_t copied;

		MUST(file_copy(clone, ino, 0, clone, ino, 65536 + 4096 * i,
			       4096, 0, &copied) == 0);
	}
	populate_dead(pool);
	/* the reaper does 15 steps of it with each commit, down or up */
	for (unsigned i = 0; i < 3; i++) {
		fill(ds, lookup(ds, INO_ROOT, "log"), 9000 + i, 1);
		MUST(pool_sync(pool) == 0);
	}
	dataset_put(clone);
	dataset_put(snap);
	dataset_put(ds);
}

/* ---- finding places in it ------------------------------------------------ */

static uint8_t *block(uint64_t blkno)
{
	MUST(blkno < base.size / BLOCK_SIZE);
	return base.bytes + blkno * BLOCK_SIZE;
}

const struct superblock *fuzz_base_super(const struct fuzz_base *b)
{
	return (const void *)(b->bytes + b->super * BLOCK_SIZE);
}

static const struct space_entry *entry_of(const struct fuzz_base *b,
					  enum fuzz_class class, uint32_t i)
{
	const struct space_index *above;

	if (class == FUZZ_INDEX2)
		return &fuzz_base_super(b)->space[i];
	above = (const void *)(b->bytes +
			       BLOCK_SIZE *
				       fuzz_base_slot(b,
						      class == FUZZ_REGION
							      ? FUZZ_INDEX1
							      : FUZZ_INDEX2,
						      i / SPACE_INDEX_FANOUT));
	return &above->entry[i % SPACE_INDEX_FANOUT];
}

uint64_t fuzz_base_slot(const struct fuzz_base *b, enum fuzz_class class,
			uint32_t i)
{
	uint8_t slot = entry_of(b, class, i)->slot;

	if (class == FUZZ_REGION)
		return region_counts_blkno(i, slot);
	return space_index_blkno(class == FUZZ_INDEX1 ? 1 : 2, i, slot);
}

static void add(enum fuzz_class class, uint64_t blkno)
{
	for (uint64_t i = 0; i < base.nr[class]; i++)
		if (base.block[class][i] == blkno)
			return;
	MUST(base.nr[class] < FUZZ_BLOCKS_MAX);
	base.block[class][base.nr[class]++] = blkno;
}

static void add_tree(uint64_t blkno, bool pools, enum fuzz_class class)
{
	uint8_t *page = block(blkno);

	if (pools)
		add(class, blkno);
	else
		add(node_level(page) ? FUZZ_INNER : FUZZ_LEAF, blkno);
	for (uint32_t i = 0; i < node_nr_items(page); i++) {
		struct node_item item;
		uint64_t child, txg;

		node_item(page, i, &item);
		if (node_level(page)) {
			node_child(page, i, &child, &txg);
			add_tree(child, pools, class);
		} else if (item.key.type == ITEM_DATASET) {
			const struct dataset_item *d = (const void *)item.value;

			if (le40_get(d->tree.node.blkno))
				add_tree(le40_get(d->tree.node.blkno), false,
					 class);
		} else if (item.key.type == ITEM_DEAD) {
			const struct dead_item *d = (const void *)item.value;

			/* what it has freed may be something else by now */
			MUST(d->depth > 1);
			for (unsigned f = 0; f < d->depth; f++)
				add(f + 1 < d->depth ? FUZZ_INNER : FUZZ_LEAF,
				    le40_get(d->stack[f].node.blkno));
		}
	}
}

static void find_super(void)
{
	uint64_t best = 0;

	for (uint64_t i = 0; i < SUPERBLOCK_RING; i++) {
		const struct superblock *sb = (const void *)block(i);

		if (le32_get(sb->h.type) == META_SUPERBLOCK &&
		    le64_get(sb->commit_seq) >= best) {
			best = le64_get(sb->commit_seq);
			base.super = i;
		}
	}
	MUST(best > 0);
}

/* Every open reads the whole ring: most of it is left out, and leaks. */
static void shorten_ring(void)
{
	struct superblock *sb;

	for (unsigned copy = 0; copy < 2; copy++) {
		sb = (void *)block(base.super + copy * SUPERBLOCK_COPY_BLKNO);
		MUST(le32_get(sb->ilog[0].nr) > RING_BLOCKS);
		MUST(le64_get(sb->ilog_pos) < RING_BLOCKS);
		sb->ilog[0].nr = le32_of(RING_BLOCKS);
		fuzz_seal(sb, META_SUPERBLOCK);
	}
}

static void find_blocks(void)
{
	const struct superblock *sb;
	uint64_t regions;

	find_super();
	shorten_ring();
	sb = fuzz_base_super(&base);
	add_tree(le40_get(sb->root_tree.node.blkno), true, FUZZ_ROOT_TREE);
	/* a count beyond 254 and a dead tree */
	MUST(le40_get(sb->space_tree.node.blkno));
	add_tree(le40_get(sb->space_tree.node.blkno), true, FUZZ_SPACE_TREE);
	MUST(node_nr_items(block(base.block[FUZZ_SPACE_TREE][0])) >= 2);
	regions = div_round_up(le64_get(sb->nr_blocks), REGION_BLOCKS);
	add(FUZZ_INDEX2, fuzz_base_slot(&base, FUZZ_INDEX2, 0));
	add(FUZZ_INDEX1, fuzz_base_slot(&base, FUZZ_INDEX1, 0));
	for (uint32_t r = 0; r < regions; r++)
		if (le64_get(entry_of(&base, FUZZ_REGION, r)->txg))
			add(FUZZ_REGION, fuzz_base_slot(&base, FUZZ_REGION, r));
}

const struct fuzz_base *fuzz_base(void)
{
	const struct pool_create_options o = {.name = "fuzz"};
	struct store_error error = {""};
	struct pool *pool;

	if (base.bytes)
		return &base;
	log_set_sink(silence);
	log_set_level(LOG_LEVEL_ERROR);
	MUST(blkdev_mem_open(BASE_SIZE, &base_dev) == 0);
	MUST(pool_create_on(base_dev, &o, &error) == 0);
	pool = fuzz_open(blkdev_borrow(base_dev), false);
	MUST(pool);
	populate(pool);
	pool_abandon(pool);
	base.size = BASE_SIZE;
	base.bytes = blkdev_mem_data(base_dev);
	find_blocks();
	return &base;
}
