/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_check_fs.c - the offline check: trees, files and datasets
 */
#include "tests/unit/check_image.h"

/* ---- trees --------------------------------------------------------------- */

/* Pointer number @i of inner node @page. */
static struct node_ptr *child_ptr(uint8_t *page, uint32_t i)
{
	struct node_item item;

	node_item(page, i, &item);
	return (void *)(uintptr_t)item.value;
}

static void check__finds_node_that_points_to_itself(void **state)
{
	uint8_t *root = tree_of("prod");

	(void)state;
	CHECK(node_level(root) > 0);
	child_ptr(root, 0)->blkno = le40_of(node_blkno(root));
	child_ptr(root, 0)->txg = le40_of(node_txg(root));
	node_seal(root);
	run_check(false);
	CHECK_FOUND("elsewhere as one of level");
}

static void check__finds_node_that_is_in_a_tree_twice(void **state)
{
	uint8_t *root = tree_of("prod");

	(void)state;
	CHECK(node_level(root) > 0);
	*child_ptr(root, 1) = *child_ptr(root, 0);
	node_seal(root);
	run_check(false);
	CHECK_FOUND("outside of its range");
}

static void check__finds_stale_pointer(void **state)
{
	uint8_t *root = tree_of("prod");

	(void)state;
	child_ptr(root, 0)->txg =
		le40_of(le40_get(child_ptr(root, 0)->txg) - 1);
	node_seal(root);
	run_check(false);
	CHECK(nr_findings > 0);
	CHECK(found("elsewhere as one of level") ||
	      found("is not what belongs there"));
}

/* ---- files --------------------------------------------------------------- */

static void check__finds_wrong_link_count(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	uint64_t ino = ino_of(tree, INO_ROOT, "log", NULL);

	(void)state;
	inode_item(tree, ino, &leaf)->nlink = le32_of(3);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("its link count is 3, but it has 2 names");
	CHECK(found("'log'") || found("'db/log2'"));
}

static void check__finds_entry_without_an_inode(void **state)
{
	uint8_t *tree = tree_of("prod");
	uint64_t ino = ino_of(tree, 16, "sock", NULL);

	(void)state;
	remove_item(tree, key_of(ino, ITEM_INODE, 0));
	run_check(false);
	CHECK_FOUND("'db/sock'");
	CHECK_FOUND("names it, but it does not exist");
	CHECK_FOUND("inodes, but it has");
}

static void check__finds_inode_without_a_name(void **state)
{
	uint8_t *tree = tree_of("prod");
	struct key at;

	(void)state;
	ino_of(tree, 16, "sock", &at);
	remove_item(tree, at);
	run_check(false);
	CHECK_FOUND("its link count is 1, but it has 0 names");
	CHECK_FOUND("entries, but has");
}

static void check__finds_wrong_number_of_blocks(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	uint64_t ino = ino_of(tree, 16, "t1.ibd", NULL);

	(void)state;
	inode_item(tree, ino, &leaf)->nr_blocks = le64_of(1);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("the inode says that it has 1 blocks");
	CHECK_FOUND("'db/t1.ibd'");
}

static void check__finds_record_behind_the_end(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	uint64_t ino = ino_of(tree, 16, "t1.ibd", NULL);

	(void)state;
	inode_item(tree, ino, &leaf)->size = le64_of(RECORD + 1);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("behind the file's end at 16385");
}

static void check__finds_directory_in_the_wrong_place(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");

	(void)state;
	inode_item(tree, 16, &leaf)->parent = le64_of(16);
	inode_item(tree, 16, &leaf)->nr_subdirs = le32_of(2);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND(
		"the directory's parent is inode 16, but it lies in inode 1");
	CHECK_FOUND("says that it has 2 subdirectories, but has 0");
}

static void check__finds_directory_in_itself(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	uint64_t ino = ino_of(tree, 16, "sock", NULL);
	struct dirent_item *e;
	struct key at;

	(void)state;
	/* the entry 'db/sock' becomes one for 'db', the other one goes */
	ino_of(tree, 16, "sock", &at);
	e = value_of(tree, at, &leaf);
	e->ino = le40_of(16);
	e->type = S_IFDIR >> 12;
	node_seal(leaf);
	CHECK_UINT(ino_of(tree, INO_ROOT, "db", &at), 16);
	remove_item(tree, at);
	run_check(false);
	CHECK_FOUND("cannot be reached from the root directory");
	(void)ino;
}

static void check__finds_wrong_type_in_an_entry(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	struct dirent_item *e;
	struct key at;

	(void)state;
	ino_of(tree, 16, "t1.ibd", &at);
	e = value_of(tree, at, &leaf);
	e->type = S_IFLNK >> 12;
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("says that it is of type 10, but it is of type 8");
}

static void check__finds_name_at_the_wrong_hash(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	struct dirent_item *e;
	struct key at;

	(void)state;
	ino_of(tree, 16, "t1.ibd", &at);
	e = value_of(tree, at, &leaf);
	((char *)(e + 1))[0] = 'u';
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("'u1.ibd' is not where its name's hash belongs");
}

static void check__finds_name_that_is_there_twice(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	uint8_t entry[sizeof(struct dirent_item) + 4];
	struct key at;

	(void)state;
	ino_of(tree, 16, "sock", &at);
	memcpy(entry, value_of(tree, at, &leaf), sizeof(entry));
	/* as if its hash were also another name's */
	at.offset++;
	insert_item(tree, at, entry, sizeof(entry));
	run_check(false);
	CHECK_FOUND("the entry 'sock' is there twice");
	CHECK_FOUND("its link count is 1, but it has 2 names");
}

static void check__finds_name_of_the_root_directory(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	struct dirent_item *e;
	struct key at;

	(void)state;
	ino_of(tree, 16, "sock", &at);
	e = value_of(tree, at, &leaf);
	e->ino = le40_of(INO_ROOT);
	e->type = S_IFDIR >> 12;
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("the root directory has a name");
}

static void check__finds_entries_of_what_is_no_directory(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");

	(void)state;
	inode_item(tree, 16, &leaf)->mode = le32_of(S_IFREG | 0644);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("it has directory entries, but is none");
}

static void check__finds_inode_with_a_reserved_number(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	uint64_t ino = ino_of(tree, 16, "sock", NULL);
	struct inode_item copy = *inode_item(tree, ino, &leaf);

	(void)state;
	insert_item(tree, key_of(INO_FIRST - 1, ITEM_INODE, 0), &copy,
		    sizeof(copy));
	run_check(false);
	CHECK_FOUND("the inode number is reserved");
}

/* The item of a compressed record of a file that nobody shares. */
static struct extent_item *compressed_record(uint8_t **leaf)
{
	uint8_t *tree = tree_of("ci");
	uint64_t ino = ino_of(tree, 16, "t7.ibd", NULL);

	for (uint64_t recno = 3; recno < 8; recno++) {
		struct extent_item *e = value_of(
			tree, key_of(ino, ITEM_EXTENT, 4 * recno), leaf);

		if (e->meta >> 5 == EXTENT_ZSTD)
			return e;
	}
	check_failed("no compressed record", __FILE__, __LINE__);
	return NULL;
}

static void check__finds_record_that_cannot_be_decompressed(void **state)
{
	uint8_t *leaf, *data;
	struct extent_item *e = compressed_record(&leaf);

	(void)state;
	data = block(le40_get(e->blkno));
	memset(data + 4, 0xee, 64);
	e->csum = le64_of(csum_of(
		data, ((e->meta & 31u) + 1) * (size_t)BLOCK_SIZE, META_RECORD));
	node_seal(leaf);
	run_check(true);
	CHECK_FOUND("cannot be decompressed, though its checksum matches");
}

static void check__finds_record_that_says_compressed_but_is_not(void **state)
{
	uint8_t *leaf;
	struct extent_item *e = compressed_record(&leaf);

	(void)state;
	e->meta = EXTENT_ZSTD << 5 | (RECORD / BLOCK_SIZE - 1);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("is compressed, but not smaller for it");
}

static void check__finds_part_of_an_attribute_missing(void **state)
{
	uint8_t *tree = tree_of("prod");
	uint64_t ino = ino_of(tree, INO_ROOT, "log", NULL);
	struct key at = next_key(tree, key_of(ino, ITEM_XATTR, 0));

	(void)state;
	/* the big one is that with a second chunk */
	for (;;) {
		struct key second = at;
		uint8_t *leaf;
		bool exact;

		second.offset++;
		leaf = leaf_for(tree, &second);
		node_search(leaf, &second, &exact);
		if (exact) {
			remove_item(tree, second);
			break;
		}
		at.offset = (at.offset | 0xff) + 1;
		at = next_key(tree, at);
	}
	run_check(false);
	CHECK(found("bytes short") ||
	      found("a part of an extended attribute does not belong there"));
}

static void check__finds_unlinked_inode_that_will_not_be_purged(void **state)
{
	uint8_t *tree = tree_of("tuesday");
	struct key at = next_key(tree, key_of(0, ITEM_ORPHAN, 0));

	(void)state;
	remove_item(tree, at);
	run_check(false);
	CHECK_FOUND("its link count is 0, but it is not marked as unlinked");
	CHECK_FOUND("orphans, but it has 0");
	CHECK_FOUND("'prod@tuesday'");
}

/* ---- datasets ------------------------------------------------------------ */

static void check__finds_wrong_counters_of_a_dataset(void **state)
{
	uint8_t *leaf;
	struct dataset_item *d = dataset_item("ci", &leaf);

	(void)state;
	d->referenced = le64_of(le64_get(d->referenced) + 1);
	d->logical = le64_of(le64_get(d->logical) + 2);
	d->fresh = le64_of(le64_get(d->fresh) + 3);
	d->nr_inodes = le64_of(le64_get(d->nr_inodes) + 4);
	d->next_ino = le64_of(17);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("blocks referenced, but it has");
	CHECK_FOUND("bytes of records, but it has");
	CHECK_FOUND("fresh blocks, but it has");
	CHECK_FOUND("inodes, but it has");
	CHECK_FOUND("its next inode number is 17");
	CHECK_UINT(nr_findings, 5);
}

static void check__finds_two_datasets_with_one_name(void **state)
{
	uint8_t *leaf;
	struct dataset_item *d = dataset_item("idle", &leaf);

	(void)state;
	memcpy(d + 1, "prod", 4);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("are both called 'prod'");
}

static void check__finds_snapshot_without_a_dataset(void **state)
{
	uint8_t *leaf;
	struct dataset_item *d = dataset_item("monday", &leaf);

	(void)state;
	d->parent = le32_of(4711);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("it is a snapshot of dataset 4711, which does not exist");
}

static void check__names_every_dataset_that_a_bad_record_is_in(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	uint64_t ino = ino_of(tree, 16, "t1.ibd", NULL);
	struct extent_item *e =
		value_of(tree, key_of(ino, ITEM_EXTENT, 4), &leaf);

	(void)state;
	block(le40_get(e->blkno))[77] ^= 4;
	run_check(true);
	CHECK_FOUND("'prod', 'db/t1.ibd' (inode 18): the record at offset "
		    "16384");
	CHECK_FOUND("'prod@monday', 'db/t1.ibd' (inode 18): the record at");
	CHECK_FOUND("'prod@tuesday', 'db/t1.ibd' (inode 18): the record at");
	CHECK_FOUND("'ci', 'db/t1.ibd' (inode 18): the record at");
	CHECK_FOUND("'idle': its tree is that of 'prod@monday', with all its "
		    "damage");
	CHECK_UINT(nr_findings, 5);
}

static void check__names_the_files_of_a_lost_node(void **state)
{
	uint8_t *page, *tree = tree_of("ci");
	uint64_t t7 = ino_of(tree, 16, "t7.ibd", NULL);
	struct key key = key_of(t7, ITEM_EXTENT, 0);
	struct node_item first, last;
	char text[128];

	(void)state;
	page = leaf_for(tree, &key);
	node_item(page, 0, &first);
	node_item(page, node_nr_items(page) - 1, &last);
	CHECK(first.key.ino < t7 && last.key.ino > t7);
	page[2000] ^= 1;
	run_check(false);
	CHECK_FOUND("'ci', 'db/t7.ibd' (inode 24): it is lost, or a part of");
	/* the first of them begins in the leaf before */
	CHECK_UINT(first.key.type, ITEM_EXTENT);
	snprintf(text, sizeof(text),
		 "(inode %llu): its data from offset %llu on is lost",
		 (unsigned long long)first.key.ino,
		 (unsigned long long)first.key.offset << BLOCK_SHIFT);
	if (!found(text))
		print_findings();
	CHECK(found(text));
}

static void check__calls_a_file_without_a_path_by_its_number(void **state)
{
	uint8_t *leaf, *tree = tree_of("ci");
	struct key at;
	uint64_t ino = ino_of(tree, 16, "t7.ibd", &at);

	(void)state;
	inode_item(tree, ino, &leaf)->nr_blocks = le64_of(1);
	node_seal(leaf);
	remove_item(tree, at);
	run_check(false);
	CHECK_FOUND("'ci', (ino 24): the inode says that it has 1 blocks");
}

static void check__finding_cannot_send_control_characters(void **state)
{
	uint8_t *leaf;
	struct dataset_item *d = dataset_item("ci", &leaf);

	(void)state;
	memcpy(d + 1, "\033\n", 2);
	d->nr_inodes = le64_of(0);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("'?"
		    "?'");
	CHECK_FOUND("its name has a character other than");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(check__finds_node_that_points_to_itself),
		TEST(check__finds_node_that_is_in_a_tree_twice),
		TEST(check__finds_stale_pointer),
		TEST(check__finds_wrong_link_count),
		TEST(check__finds_entry_without_an_inode),
		TEST(check__finds_inode_without_a_name),
		TEST(check__finds_wrong_number_of_blocks),
		TEST(check__finds_record_behind_the_end),
		TEST(check__finds_directory_in_the_wrong_place),
		TEST(check__finds_directory_in_itself),
		TEST(check__finds_wrong_type_in_an_entry),
		TEST(check__finds_name_at_the_wrong_hash),
		TEST(check__finds_name_that_is_there_twice),
		TEST(check__finds_name_of_the_root_directory),
		TEST(check__finds_entries_of_what_is_no_directory),
		TEST(check__finds_inode_with_a_reserved_number),
		TEST(check__finds_record_that_cannot_be_decompressed),
		TEST(check__finds_record_that_says_compressed_but_is_not),
		TEST(check__finds_part_of_an_attribute_missing),
		TEST(check__finds_unlinked_inode_that_will_not_be_purged),
		TEST(check__finds_wrong_counters_of_a_dataset),
		TEST(check__finds_two_datasets_with_one_name),
		TEST(check__finds_snapshot_without_a_dataset),
		TEST(check__names_every_dataset_that_a_bad_record_is_in),
		TEST(check__names_the_files_of_a_lost_node),
		TEST(check__calls_a_file_without_a_path_by_its_number),
		TEST(check__finding_cannot_send_control_characters),
	};

	return cmocka_run_group_tests(tests, make_pool, free_pool);
}
