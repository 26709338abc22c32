/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_root_tree.c - properties of datasets, people's own too, and what the root
 * tree says when it was made to harm
 */
#include <errno.h>

#include "store/dataset_table.h"
#include "store/namehash.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/file_pool.h"

static struct file_pool fp;

static int setup(void **state)
{
	(void)state;
	log_set_sink(NULL);
	file_pool_init(&fp, 64, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	file_pool_release(&fp);
	return 0;
}

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static struct dataset *must_open(const char *name)
{
	struct dataset *ds;

	CHECK_OK(dataset_open(fp.pool, name, &ds));
	return ds;
}

/* -- properties -------------------------------------------------------------------------- */

static void property__readonly_refuses_every_change(void **state)
{
	struct dataset_properties p = info_of(fp.ds).properties;
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	struct dataset *s, *c;

	(void)state;
	write_at(fp.ds, ino, 0, "dirty", 5);
	p.readonly = true;
	CHECK_OK(dataset_set_properties(fp.ds, &p));
	CHECK_INT(file_write(fp.ds, ino, 0, "x", 1, 0), -EROFS);
	CHECK_INT(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL), -EROFS);
	/* what was written before is not lost by it */
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	s = must_open("ds@s");
	read_is(s, ino, 0, "dirty", 5);
	CHECK_INT(dataset_restore(fp.ds, s, NULL, 0), -EROFS);
	/* a clone is there to be written */
	CHECK_OK(dataset_clone(s, "c", NULL));
	c = must_open("c");
	write_at(c, ino, 0, "clone", 5);
	dataset_put(c);
	dataset_put(s);
	file_pool_reopen(&fp, true);
	CHECK(info_of(fp.ds).properties.readonly);
	CHECK_INT(file_write(fp.ds, ino, 0, "x", 1, 0), -EROFS);
	p.readonly = false;
	CHECK_OK(dataset_set_properties(fp.ds, &p));
	write_at(fp.ds, ino, 0, "x", 1);
}

/* Two who set one each have both, whatever they had read before. */
static void property__set_alone_leaves_the_others(void **state)
{
	struct dataset_properties mine = info_of(fp.ds).properties;
	struct dataset_properties yours = mine, now;

	(void)state;
	mine.quota = UINT64_C(1) << 30;
	yours.compression = 7;
	yours.recordsize = 4096;
	yours.readonly = true;
	CHECK_OK(dataset_change_properties(fp.ds, DATASET_SET_QUOTA, &mine));
	CHECK_OK(dataset_change_properties(fp.ds, DATASET_SET_COMPRESSION,
					   &yours));
	file_pool_reopen(&fp, true);
	now = info_of(fp.ds).properties;
	CHECK_UINT(now.quota, mine.quota);
	CHECK_INT(now.compression, 7);
	CHECK_UINT(now.recordsize, mine.recordsize);
	CHECK(!now.readonly);
}

static void property__values_out_of_range_are_refused(void **state)
{
	struct dataset_properties good = info_of(fp.ds).properties, p;
	static const uint32_t sizes[] = {0,	1,	2048,	   4097,
					 12288, 262144, UINT32_MAX};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = good;
		p.recordsize = sizes[i];
		CHECK_INT(dataset_set_properties(fp.ds, &p), -EINVAL);
		CHECK_INT(dataset_create(fp.pool, "x", &p, NULL), -EINVAL);
	}
	p = good;
	p.compression = COMPRESS_LEVEL_MAX + 1;
	CHECK_INT(dataset_set_properties(fp.ds, &p), -EINVAL);
	p.compression = COMPRESS_LEVEL_MIN - 1;
	CHECK_INT(dataset_set_properties(fp.ds, &p), -EINVAL);
	for (unsigned s = DATASET_RECORD_SHIFT_MIN;
	     s <= DATASET_RECORD_SHIFT_MAX; s++) {
		p = good;
		p.recordsize = 1u << s;
		CHECK_OK(dataset_set_properties(fp.ds, &p));
		make_file(fp.ds, INO_ROOT, (char[]){(char)('a' + s), '\0'});
	}
}

/* -- user properties ----------------------------------------------------------------------- */

struct users {
	unsigned nr;
	char text[4096];
};

static void see_user(void *arg, const char *key, const char *value)
{
	struct users *u = arg;

	u->nr++;
	strncat(u->text, key, 40);
	strcat(u->text, "=");
	strncat(u->text, value, 40);
	strcat(u->text, ";");
}

static struct users users_of(struct dataset *ds)
{
	struct users u = {0};

	CHECK_OK(dataset_each_user(ds, see_user, &u));
	return u;
}

static void user__properties_come_back_as_they_were_set(void **state)
{
	struct dataset *s;
	char key[202], value[1002];

	(void)state;
	CHECK_OK(dataset_set_user(fp.ds, "owner", "dev"));
	CHECK_OK(dataset_set_user(fp.ds, "owner", "ops"));
	CHECK_OK(dataset_set_user(fp.ds, "empty", ""));
	memset(key, 'k', 201);
	memset(value, 'v', 1001);
	key[201] = value[1001] = '\0';
	CHECK_INT(dataset_set_user(fp.ds, key, "x"), -EINVAL);
	CHECK_INT(dataset_set_user(fp.ds, "x", value), -EINVAL);
	CHECK_INT(dataset_set_user(fp.ds, "", "x"), -EINVAL);
	key[200] = value[1000] = '\0';
	CHECK_OK(dataset_set_user(fp.ds, key, value));
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	s = must_open("ds@s");
	CHECK_UINT(users_of(s).nr, 0);
	CHECK_OK(dataset_set_user(s, "why", "release"));
	CHECK_STR(users_of(s).text, "why=release;");
	dataset_put(s);
	file_pool_reopen(&fp, true);
	CHECK_UINT(users_of(fp.ds).nr, 3);
	CHECK(strstr(users_of(fp.ds).text, "owner=ops;"));
	CHECK(strstr(users_of(fp.ds).text, "empty=;"));
	CHECK_OK(dataset_unset_user(fp.ds, key));
	CHECK_INT(dataset_unset_user(fp.ds, key), -ENODATA);
	CHECK_OK(dataset_unset_user(fp.ds, "owner"));
	CHECK_OK(dataset_unset_user(fp.ds, "empty"));
	CHECK_UINT(users_of(fp.ds).nr, 0);
}

/* Another key's item where @name's hash points, @n places on. */
struct squat {
	const char *name;
	unsigned n;
	bool leave;
};

static int squat_body(struct op *op, void *arg)
{
	const struct squat *s = arg;
	const uint64_t hash = namehash_dirent(pool_hash_seed(fp.pool), s->name,
					      strlen(s->name));
	const struct key key = key_of(dataset_id(fp.ds), ITEM_PROPERTY,
				      (hash << NAMEHASH_DIRENT_SHIFT) + s->n);
	struct {
		struct property_item p;
		char key[4], value[1];
	} item = {{le16_of(4), le16_of(1)}, "", "v"};
	int rc = btree_touch(op, &op->pool->root_tree, &key);

	memcpy(item.key,
	       (char[]){'s', (char)('a' + s->n / 26), (char)('a' + s->n % 26),
			'x'},
	       4);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	if (s->leave)
		btree_del(op, &op->pool->root_tree, &key);
	else
		btree_put(op, &op->pool->root_tree, &key, &item, sizeof(item));
	return 0;
}

static void squat(const char *name, unsigned n, bool leave)
{
	struct squat s = {name, n, leave};

	CHECK_OK(dataset_change_root(fp.pool, 1, 0, squat_body, &s));
}

static void user__keys_with_one_hash_are_told_apart(void **state)
{
	(void)state;
	squat("owner", 0, false);
	squat("owner", 1, false);
	CHECK_OK(dataset_set_user(fp.ds, "owner", "1"));
	CHECK_UINT(users_of(fp.ds).nr, 3);
	CHECK(strstr(users_of(fp.ds).text, "owner=1;"));
	/* a hole before it: it stays the only one */
	squat("owner", 0, true);
	CHECK_OK(dataset_set_user(fp.ds, "owner", "2"));
	CHECK_UINT(users_of(fp.ds).nr, 2);
	CHECK(strstr(users_of(fp.ds).text, "owner=2;"));
	CHECK_OK(dataset_unset_user(fp.ds, "owner"));
	CHECK_UINT(users_of(fp.ds).nr, 1);
	squat("owner", 1, true);
}

static void user__too_many_keys_with_one_hash_are_refused(void **state)
{
	(void)state;
	for (unsigned n = 0; n < HASH_COLLISIONS_MAX; n++)
		squat("owner", n, false);
	CHECK_INT(dataset_set_user(fp.ds, "owner", "1"), -ENOSPC);
	squat("owner", 255, true);
	CHECK_OK(dataset_set_user(fp.ds, "owner", "1"));
	CHECK_OK(dataset_unset_user(fp.ds, "owner"));
	for (unsigned n = 0; n < HASH_COLLISIONS_MAX - 1; n++)
		squat("owner", n, true);
	CHECK_UINT(users_of(fp.ds).nr, 0);
}

/* -- hostile root trees ---------------------------------------------------------------------- */

static uint32_t own_id;

/* Change one dataset's item, and see whether the pool opens. */
static int open_with(void (*change)(struct dataset_item *d))
{
	const struct pool_options o = {.no_background = true};
	struct store_error e = {""};
	struct superblock *sb = calloc(1, sizeof(*sb));
	const struct key key = key_of(dataset_id(fp.ds), ITEM_DATASET, 0);
	uint8_t *page, *was = malloc(BLOCK_SIZE);
	struct node_item item;
	struct blkdev *dev;
	bool exact;
	uint32_t i;
	int rc;

	CHECK(sb && was);
	own_id = (uint32_t)key.ino;
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	CHECK_OK(superblock_read(fp.mem, sb, true, &e));
	page = blkdev_mem_data(fp.mem) +
	       le40_get(sb->root_tree.node.blkno) * BLOCK_SIZE;
	free(sb);
	CHECK_UINT(node_level(page), 0);
	memcpy(was, page, BLOCK_SIZE);
	i = node_search(page, &key, &exact);
	CHECK(exact);
	node_item(page, i, &item);
	change((struct dataset_item *)(uintptr_t)item.value);
	node_seal(page);
	dev = blkdev_borrow(fp.mem);
	rc = pool_open_on(dev, &o, &fp.pool, &e);
	if (rc == 0) {
		struct dataset_info info;
		struct dataset *ds;
		uint64_t size, left;

		/* whatever it says, asking does no harm */
		CHECK_OK(dataset_open_id(fp.pool, (uint32_t)key.ino, &ds));
		dataset_info(ds, &info);
		dataset_space(ds, &size, &left);
		(void)dataset_check_quota(ds, 1);
		dataset_put(ds);
		pool_abandon(fp.pool);
	} else {
		CHECK(e.text[0]);
		blkdev_close(dev);
	}
	memcpy(page, was, BLOCK_SIZE);
	free(was);
	CHECK_OK(pool_open_on(blkdev_borrow(fp.mem), &o, &fp.pool, &e));
	CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
	return rc;
}

static void no_name(struct dataset_item *d)
{
	((char *)(d + 1))[0] = '.';
}

static void nul_in_name(struct dataset_item *d)
{
	((char *)(d + 1))[1] = '\0';
}

static void long_name(struct dataset_item *d)
{
	d->name_len = 255;
}

static void no_parent(struct dataset_item *d)
{
	d->flags = le32_of(DATASET_SNAPSHOT);
	d->parent = le32_of(12345);
}

static void own_parent(struct dataset_item *d)
{
	d->flags = le32_of(DATASET_SNAPSHOT);
	d->parent = le32_of(own_id);
}

static void root_at_0(struct dataset_item *d)
{
	d->tree.node.blkno = le40_of(0);
}

static void root_outside(struct dataset_item *d)
{
	d->tree.node.blkno = le40_of(LE40_MAX);
}

static void root_too_high(struct dataset_item *d)
{
	d->tree.level = NODE_LEVEL_MAX;
}

static void odd_record_size(struct dataset_item *d)
{
	d->record_shift = 31;
}

static void odd_compression(struct dataset_item *d)
{
	d->compression = le32_of(INT32_MAX);
}

static void destroyed_generation(struct dataset_item *d)
{
	d->generation = le64_of(UINT64_MAX);
}

static void first_inode_number(struct dataset_item *d)
{
	d->next_ino = le64_of(0);
}

static void huge_fresh(struct dataset_item *d)
{
	d->fresh = le64_of(INT64_MAX);
	d->quota = le64_of(4096);
}

static void lowest_fresh(struct dataset_item *d)
{
	d->fresh = le64_of((uint64_t)INT64_MIN);
	d->quota = le64_of(4096);
}

static void huge_counters(struct dataset_item *d)
{
	d->referenced = d->logical = d->nr_inodes = le64_of(UINT64_MAX);
	d->quota = le64_of(UINT64_MAX);
}

static void pool__hostile_dataset_items_are_errors_not_crashes(void **state)
{
	static void (*const bad[])(struct dataset_item *) = {
		no_name,	 nul_in_name,	       long_name,
		no_parent,	 own_parent,	       root_at_0,
		root_outside,	 root_too_high,	       odd_record_size,
		odd_compression, destroyed_generation, first_inode_number,
		huge_fresh,	 lowest_fresh};

	(void)state;
	log_set_sink(no_log);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(open_with(bad[i]), -EUCLEAN);
	CHECK_OK(open_with(huge_counters));
}

/* Two items that say they are the same dataset. */
static int double_body(struct op *op, void *arg)
{
	const struct key from = key_of(dataset_id(fp.ds), ITEM_DATASET, 0);
	const struct key to = key_of(dataset_id(fp.ds), ITEM_DATASET, 1);
	uint8_t value[NODE_ITEM_MAX];
	size_t len;
	int rc = btree_get(op, &op->pool->root_tree, &from, value,
			   sizeof(value), &len);

	(void)arg;
	if (rc == 0)
		rc = btree_touch(op, &op->pool->root_tree, &to);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	/* its name is "ds" */
	value[sizeof(struct dataset_item) + 1] = 't';
	btree_put(op, &op->pool->root_tree, &to, value, len);
	return 0;
}

static void pool__one_dataset_twice_is_damage(void **state)
{
	const struct pool_options o = {.no_background = true};
	struct store_error e = {""};
	struct blkdev *dev;
	struct pool *pool;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(dataset_change_root(fp.pool, 1, 0, double_body, NULL));
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	dev = blkdev_borrow(fp.mem);
	CHECK_INT(pool_open_on(dev, &o, &pool, &e), -EUCLEAN);
	blkdev_close(dev);
	blkdev_close(fp.mem);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(property__readonly_refuses_every_change),
		TEST(property__set_alone_leaves_the_others),
		TEST(property__values_out_of_range_are_refused),
		TEST(user__properties_come_back_as_they_were_set),
		TEST(user__keys_with_one_hash_are_told_apart),
		TEST(user__too_many_keys_with_one_hash_are_refused),
		TEST(pool__hostile_dataset_items_are_errors_not_crashes),
		cmocka_unit_test_setup(pool__one_dataset_twice_is_damage,
				       setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
