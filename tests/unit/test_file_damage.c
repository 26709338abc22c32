/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items that nobody wrote like that: a pool image is hostile input.  Each
 * item of a small tree is garbled in many ways, and every call of file.h must
 * give some answer.  The sanitizers say whether it was a good one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "store/dataset_internal.h"
#include "store/extent_map.h"
#include "store/file_internal.h"
#include "store/format.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

#define RS    16384u
#define ITEMS 64u

static struct file_pool fp;
static struct rnd rnd = {.state = 99};
static uint8_t bytes[6 * RS];
static uint64_t dir, file, link_ino, ring_a, ring_b;

struct saved {
	struct key key;
	uint8_t value[NODE_ITEM_MAX];
	size_t len;
};
static struct saved items[ITEMS];
static unsigned nr_items;

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static int collect(struct op *op, struct dataset *ds, void *arg)
{
	struct key key = key_of(0, 0, 0);
	struct btree_cursor cur;
	int rc;

	(void)arg;
	nr_items = 0;
	for (rc = btree_seek(op, &ds->tree, &key, &cur); rc == 0;
	     rc = btree_next(op, &ds->tree, &cur)) {
		struct saved *s = &items[nr_items++];

		MUST(nr_items < ITEMS);
		s->key = cur.key;
		s->len = cur.len;
		memcpy(s->value, cur.value, cur.len);
	}
	return rc == -ENOENT ? 0 : rc;
}

static int replace(struct op *op, struct dataset *ds, void *arg)
{
	const struct saved *s = arg;
	int rc = btree_touch(op, &ds->tree, &s->key);

	if (rc == 0)
		rc = op_ready(op);
	if (rc == 0 && s->len)
		btree_put(op, &ds->tree, &s->key, s->value, s->len);
	else if (rc == 0)
		btree_del(op, &ds->tree, &s->key);
	return rc;
}

/* Fill a dataset, once; each try sees it through a view of its own. */
static int build(void **state)
{
	struct file_new n = {.mode = S_IFLNK | 0777, .target = "somewhere"};
	struct file_attr attr;

	(void)state;
	file_pool_init(&fp, 64, NULL);
	rnd_fill(&rnd, bytes, sizeof(bytes));
	memset(bytes + RS, 'z', RS);
	dir = make_dir(fp.ds, INO_ROOT, "dir");
	file = make_file(fp.ds, dir, "file");
	make_file(fp.ds, dir, "other");
	CHECK_OK(file_create(fp.ds, INO_ROOT, "link", 4, &n, &attr));
	link_ino = attr.ino;
	CHECK_OK(file_setxattr(fp.ds, file, "user.x", bytes, 3000, 0));
	CHECK_OK(file_setxattr(fp.ds, file, "security.capability", "c", 1, 0));
	write_at(fp.ds, file, 0, bytes, sizeof(bytes));
	ring_a = make_dir(fp.ds, INO_ROOT, "a");
	ring_b = make_dir(fp.ds, ring_a, "b");
	CHECK_OK(op_read(fp.ds, collect, NULL));
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	log_set_sink(no_log);
	return 0;
}

static int drop(void **state)
{
	(void)state;
	log_set_sink(NULL);
	blkdev_close(fp.mem);
	return 0;
}

static void open_view(void)
{
	const struct pool_options options = {.no_background = true,
					     .cache_bytes = 4u << 20};
	struct store_error error = {""};

	CHECK_OK(pool_open_on(
		blkdev_view_open(blkdev_mem_data(fp.mem), fp.mem->size),
		&options, &fp.pool, &error));
	CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
}

static void close_view(void)
{
	dataset_put(fp.ds);
	pool_abandon(fp.pool);
}

static int ignore_entry(void *arg, const char *name, size_t len,
			const struct file_attr *attr, uint64_t cookie)
{
	(void)arg;
	(void)name;
	(void)len;
	(void)attr;
	(void)cookie;
	return 0;
}

static void read_everything(void)
{
	static uint8_t buf[XATTR_VALUE_MAX];
	struct file_attr attr;
	uint64_t at;
	size_t n;

	(void)file_getattr(fp.ds, file, &attr);
	(void)file_lookup(fp.ds, dir, "file", 4, &attr);
	(void)file_lookup(fp.ds, dir, "..", 2, &attr);
	(void)file_readdir(fp.ds, dir, 0, true, ignore_entry, NULL);
	(void)file_readdir(fp.ds, INO_ROOT, 0, true, ignore_entry, NULL);
	(void)file_readlink(fp.ds, link_ino, (char *)buf, SYMLINK_MAX + 1);
	for (uint64_t i = 0; i < 6; i++)
		(void)file_read(fp.ds, file, i * RS + 10, buf, RS, &n);
	(void)file_read(fp.ds, file, 0, buf, sizeof(buf), &n);
	(void)file_seek(fp.ds, file, 0, SEEK_HOLE, &at);
	(void)file_seek(fp.ds, file, 100, SEEK_DATA, &at);
	(void)file_getxattr(fp.ds, file, "user.x", buf, sizeof(buf), &n);
	(void)file_listxattr(fp.ds, file, (char *)buf, sizeof(buf), &n);
}

static void change_everything(void)
{
	const struct file_attr attr = {.size = 2 * RS + 100};
	uint64_t copied;

	(void)file_write(fp.ds, file, 100, bytes, 3 * RS, FILE_KILL_PRIV);
	(void)file_copy(fp.ds, file, 0, fp.ds, file, 16 * RS, 4 * RS, 0,
			&copied);
	(void)file_fallocate(fp.ds, file,
			     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100,
			     2 * RS, 0);
	(void)file_setattr(fp.ds, file, FILE_SET_SIZE, &attr, NULL);
	(void)dirty_flush(fp.ds);
	(void)file_setxattr(fp.ds, file, "user.x", bytes, 5000, 0);
	(void)file_removexattr(fp.ds, file, "user.x");
	(void)file_rename(fp.ds, dir, "file", 4, INO_ROOT, "file", 4, 0, NULL);
	(void)file_rename(fp.ds, INO_ROOT, "dir", 3, dir, "dir", 3, 0, NULL);
	(void)file_unlink(fp.ds, INO_ROOT, "link", 4, NULL);
	(void)file_unlink(fp.ds, INO_ROOT, "file", 4, NULL);
	(void)file_unlink(fp.ds, dir, "file", 4, NULL);
	(void)file_rmdir(fp.ds, INO_ROOT, "dir", 3, NULL);
	(void)file_purge_orphans(fp.ds);
}

/* Garble @s in a way that @how picks. */
static void garble(struct saved *s, unsigned how)
{
	size_t at = rnd_below(&rnd, s->len);

	/* what a run is called is the space map's business, not ours */
	if (s->key.type == ITEM_EXTENT) {
		at = 5 + rnd_below(&rnd, s->len - 5);
		how = how % 2;
	}
	switch (how % 6) {
	case 0:
		s->value[at] ^= (uint8_t)(1u << rnd_below(&rnd, 8));
		break;
	case 1:
		s->value[at] = 0xff;
		break;
	case 2:
		s->value[at] = 0;
		break;
	case 3:
		s->len = at + 1;
		break;
	case 4:
		s->len = MIN_OF(s->len + 9, NODE_ITEM_MAX - KEY_SIZE - 8);
		break;
	case 5:
		s->len = 0; /* delete it */
		break;
	}
}

static void calls__survive_garbled_items(void **state)
{
	(void)state;
	CHECK(nr_items > 15);
	for (unsigned i = 0; i < nr_items; i++) {
		for (unsigned how = 0; how < 100; how++) {
			struct saved s = items[i];

			open_view();
			garble(&s, how);
			CHECK_OK(op_change(fp.ds, 1, 0, replace, &s));
			read_everything();
			change_everything();
			read_everything();
			close_view();
		}
	}
}

static void ring_of_parents__does_not_hang_rename(void **state)
{
	struct inode_item item;

	(void)state;
	open_view();
	for (unsigned i = 0; i < nr_items; i++) {
		struct saved s = items[i];

		if (s.key.ino != ring_a || s.key.type != ITEM_INODE)
			continue;
		memcpy(&item, s.value, sizeof(item));
		item.parent = le64_of(ring_b);
		memcpy(s.value, &item, sizeof(item));
		CHECK_OK(op_change(fp.ds, 1, 0, replace, &s));
	}
	CHECK_INT(
		file_rename(fp.ds, INO_ROOT, "dir", 3, ring_b, "x", 1, 0, NULL),
		-EUCLEAN);
	close_view();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls__survive_garbled_items),
		cmocka_unit_test(ring_of_parents__does_not_hang_rename),
	};

	return cmocka_run_group_tests(tests, build, drop);
}
