/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One page of a B+tree: a valid one is built, bytes are changed, the checksum
 * is made right, and it is verified.  If it passes, everything that the
 * functions of node.h do has to stay inside it, and leave a page that passes
 * again.
 */
#include <errno.h>
#include <string.h>

#include "store/node.h"
#include "store/util.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/check.h"

#define POOL_ID UINT64_C(0x1122334455667788)
#define BLKNO	UINT64_C(5000)
#define TXG	UINT64_C(77)

static uint8_t junk[NODE_ITEM_MAX];

void fuzz_setup(void)
{
	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (uint8_t)(i * 7);
}

static uint8_t any_type(uint64_t v)
{
	static const uint8_t types[] = {
		ITEM_INODE,
		ITEM_XATTR,
		ITEM_SYMLINK,
		ITEM_DIRENT,
		ITEM_EXTENT,
		ITEM_ORPHAN,
		ITEM_DATASET,
		ITEM_PROPERTY,
		ITEM_OVERFLOW,
		ITEM_DEAD,
		0,
		255,
	};

	return types[v % ARRAY_SIZE(types)];
}

/* Few different keys, some of them far apart. */
static struct key any_key(struct fuzz_input *in)
{
	uint64_t v = fuzz_take(in, 2);

	return (struct key){
		.ino = v & 8 ? fuzz_odd(v >> 4) & INO_MAX : v & 7,
		.type = any_type(v >> 4),
		.offset = v & 0x8000 ? fuzz_odd(v >> 8) & OFFSET_MAX : v >> 8,
	};
}

static uint32_t any_len(struct fuzz_input *in, uint8_t level, uint8_t type)
{
	uint32_t len = (uint32_t)fuzz_take(in, 1) * 5;

	if (level > 0)
		return sizeof(struct node_ptr);
	if (type == ITEM_EXTENT)
		return sizeof(struct extent_item);
	if (type == ITEM_OVERFLOW)
		return sizeof(struct le32);
	return len;
}

static void insert(uint8_t *page, struct fuzz_input *in)
{
	struct key key = any_key(in);
	uint32_t len = any_len(in, node_level(page), key.type), i;
	bool exact;

	i = node_search(page, &key, &exact);
	if (exact)
		node_remove(page, i);
	i = node_search(page, &key, &exact);
	MUST(!exact);
	if (node_insert(page, i, &key, junk, len)) {
		MUST(node_search(page, &key, &exact) == i && exact);
		return;
	}
	MUST(node_nr_items(page) > 0);
}

static void build(uint8_t *page, struct fuzz_input *in)
{
	uint8_t head = (uint8_t)fuzz_take(in, 1);

	node_init(page, POOL_ID, BLKNO, TXG, head >> 5, 3);
	for (unsigned i = 0; i < (head & 31u); i++)
		insert(page, in);
}

static void change(uint8_t *page, struct fuzz_input *in)
{
	struct node_header *h = (void *)page;
	uint8_t how = (uint8_t)fuzz_take(in, 1);
	uint64_t at = fuzz_take(in, 2), v = fuzz_take(in, 2);

	switch (how % 8) {
	case 0:
		page[at % BLOCK_SIZE] = (uint8_t)v;
		break;
	case 1: /* a slot */
		le_store(page + sizeof(*h) + 2 * (at % 64), 2, v);
		break;
	case 2:
		h->prefix_len = (uint8_t)v;
		break;
	case 3:
		h->nr_items = le16_of((uint16_t)v);
		break;
	case 4:
		h->heap = le16_of((uint16_t)v);
		break;
	case 5:
		h->garbage =
			le16_of((uint16_t)(le16_get(h->garbage) + (int8_t)v));
		break;
	case 6: /* near the end, where the items lie */
		page[BLOCK_SIZE - 1 - at % 512] = (uint8_t)v;
		break;
	default:
		h->prefix[at % NODE_PREFIX_MAX] = (uint8_t)v;
		break;
	}
}

static void verify(uint8_t *page)
{
	if (node_nr_items(page) == 0)
		return;
	node_seal(page);
	MUST(node_verify(page, POOL_ID, BLKNO, TXG, node_level(page)) == 0);
}

/* Each item is found again, by its key and by its slot. */
static void look(const uint8_t *page)
{
	uint32_t nr = node_nr_items(page);
	struct node_item item;
	uint64_t blkno, txg, sum = 0;
	bool exact;

	for (uint32_t i = 0; i < nr; i++) {
		node_item(page, i, &item);
		for (uint32_t k = 0; k < item.len; k++)
			sum += item.value[k];
		MUST(node_search(page, &item.key, &exact) == i && exact);
		MUST(node_search_child(page, &item.key) == i);
		if (node_level(page) > 0)
			node_child(page, i, &blkno, &txg);
	}
	/* so that the reads are made */
	MUST(sum < UINT64_MAX);
	MUST(node_used(page) <= NODE_CAPACITY);
}

/* As many items as a split or a merge moves, into a page of their own. */
static void copy_half(const uint8_t *page, struct fuzz_input *in)
{
	static struct node_item items[NODE_ITEMS_MAX];
	static uint8_t to[BLOCK_SIZE];
	uint32_t nr = node_nr_items(page), from, end;

	MUST(nr <= NODE_ITEMS_MAX);
	from = (uint32_t)fuzz_take(in, 1) % nr;
	end = from + 1 + (uint32_t)fuzz_take(in, 1) % (nr - from);
	for (uint32_t i = from; i < end; i++)
		node_item(page, i, &items[i - from]);
	MUST(node_size_of(items, end - from, node_level(page)) <=
	     NODE_CAPACITY);
	node_init(to, POOL_ID, BLKNO, TXG, node_level(page), 3);
	node_fill(to, items, end - from);
	verify(to);
	look(to);
}

static void use(uint8_t *page, struct fuzz_input *in)
{
	uint8_t how = (uint8_t)fuzz_take(in, 1);
	uint32_t nr = node_nr_items(page);
	struct key key;
	bool exact;

	if (how % 4 == 0 || nr == 0) {
		insert(page, in);
	} else if (how % 4 == 1) {
		node_remove(page, (uint32_t)fuzz_take(in, 2) % nr);
	} else if (how % 4 == 2) {
		key = any_key(in);
		MUST(node_search(page, &key, &exact) <= nr);
		MUST(node_search_child(page, &key) < nr);
		node_replace(page, (uint32_t)fuzz_take(in, 2) % nr, junk);
	} else {
		copy_half(page, in);
	}
	verify(page);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	uint8_t *page = malloc(BLOCK_SIZE);
	unsigned nr;

	MUST(page);
	build(page, &in);
	nr = fuzz_take(&in, 1) & 15;
	for (unsigned i = 0; i < nr; i++)
		change(page, &in);
	node_seal(page);
	if (node_verify(page, POOL_ID, BLKNO, TXG, node_level(page)) == 0) {
		look(page);
		while (in.left > 0)
			use(page, &in);
		if (node_nr_items(page) > 0)
			look(page);
	}
	free(page);
}
