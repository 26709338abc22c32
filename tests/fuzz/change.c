/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/change.h"

#include <string.h>

#include "store/node.h"
#include "store/util.h"
#include "tests/lib/check.h"

static const struct fuzz_base *base;
static struct fuzz_base now; /* places only: changes may add some */

/* What a change is about. */
struct change {
	enum fuzz_class class;
	uint64_t blkno;
	uint8_t *page;
	uint16_t which, at, value;
};

static uint8_t *page_of(uint64_t blkno)
{
	return fuzz_device_block(blkno);
}

static struct superblock *super(void)
{
	return (void *)page_of(base->super);
}

static uint64_t pick(enum fuzz_class class, uint64_t i)
{
	return now.nr[class] ? now.block[class][i % now.nr[class]] : 0;
}

/* Any node, of any tree. */
static uint64_t pick_node(uint64_t i)
{
	static const enum fuzz_class of[] = {FUZZ_LEAF, FUZZ_INNER,
					     FUZZ_ROOT_TREE, FUZZ_SPACE_TREE};
	uint64_t n = 0;

	for (size_t c = 0; c < ARRAY_SIZE(of); c++)
		n += now.nr[of[c]];
	i %= n;
	for (size_t c = 0; c < ARRAY_SIZE(of); c++) {
		if (i < now.nr[of[c]])
			return now.block[of[c]][i];
		i -= now.nr[of[c]];
	}
	return 0;
}

static bool is_node(enum fuzz_class class)
{
	return class <= FUZZ_LEAF;
}

/* A page that the functions of node.h may be used on. */
static bool is_sound(const struct change *c)
{
	const struct meta_header *h = (const void *)c->page;

	if (!is_node(c->class))
		return false;
	node_seal(c->page);
	return node_verify(c->page, le64_get(h->pool_id), le64_get(h->blkno),
			   le64_get(h->txg), node_level(c->page)) == 0;
}

/* ---- bytes and numbers anywhere ------------------------------------------ */

static void change_byte(const struct change *c)
{
	c->page[c->at % BLOCK_SIZE] = (uint8_t)c->value;
}

static void change_number(const struct change *c)
{
	static const uint8_t widths[] = {1, 2, 4, 5, 8};
	unsigned w = widths[c->value >> 8 & 3];
	size_t at = 40 + c->at % (BLOCK_SIZE - 48);

	if (c->value & 0x8000)
		le_store(c->page + at, w,
			 le_load(c->page + at, w) +
				 (uint64_t)(int64_t)(int8_t)c->value);
	else
		le_store(c->page + at, w, fuzz_odd(c->value));
}

static void change_copy(const struct change *c)
{
	const uint8_t *from = page_of(pick(c->class, c->value));
	size_t at = 40 + c->at % (BLOCK_SIZE - 40);
	size_t len = MIN_OF((size_t)1 + c->value / 256, BLOCK_SIZE - at);

	memmove(c->page + at, from + at, len);
}

/* The block is there, but another one's content. */
static void change_swap(const struct change *c)
{
	const uint8_t *from = page_of(pick(c->class, c->value));
	size_t from_at = c->at & 1 ? 40 : sizeof(struct meta_header) - 8;

	memmove(c->page + from_at, from + from_at, BLOCK_SIZE - from_at);
}

/* ---- nodes --------------------------------------------------------------- */

static void change_node_header(const struct change *c)
{
	struct node_header *h = (void *)c->page;

	switch (c->at % 7) {
	case 0:
		h->level = (uint8_t)c->value;
		break;
	case 1:
		h->prefix_len = (uint8_t)(c->value % 16);
		break;
	case 2:
		h->nr_items = le16_of(
			(uint16_t)(le16_get(h->nr_items) + (int8_t)c->value));
		break;
	case 3:
		h->heap = le16_of(
			(uint16_t)(le16_get(h->heap) + (int8_t)c->value));
		break;
	case 4:
		h->garbage = le16_of(
			(uint16_t)(le16_get(h->garbage) + (int8_t)c->value));
		break;
	case 5:
		h->owner = le32_of((uint32_t)fuzz_odd(c->value));
		break;
	default:
		h->prefix[c->value % NODE_PREFIX_MAX] =
			(uint8_t)(c->value >> 8);
	}
}

static uint8_t *item_value(const struct change *c, uint32_t *len)
{
	struct node_item item;

	node_item(c->page, c->at % node_nr_items(c->page), &item);
	*len = item.len;
	return (uint8_t *)(uintptr_t)item.value;
}

/* A number in an item's value. */
static void change_value(const struct change *c)
{
	static const uint8_t widths[] = {1, 1, 2, 4, 5, 8, 8, 1};
	unsigned w = widths[c->value & 7];
	uint8_t *v;
	uint32_t len, at;

	if (!is_sound(c))
		return;
	v = item_value(c, &len);
	if (len < w)
		return;
	at = (c->value >> 3 & 127) % (len - w + 1);
	if (c->which & 0x8000)
		le_store(v + at, w, le_load(v + at, w) + 1 - (c->which & 2));
	else
		le_store(v + at, w, fuzz_odd(c->which >> 6));
}

/* A pointer to some node, of the right txg or of any. */
static void change_pointer(const struct change *c)
{
	uint64_t to = pick_node(c->value);
	const struct meta_header *h = (const void *)page_of(to);
	struct node_ptr ptr = {
		.blkno = le40_of(to),
		.txg = le40_of(le64_get(h->txg) + (c->which >> 14 == 3)),
	};
	struct node_item item;
	uint32_t len;
	uint8_t *v;

	if (!is_sound(c))
		return;
	v = item_value(c, &len);
	node_item(c->page, c->at % node_nr_items(c->page), &item);
	if (node_level(c->page) > 0 || item.key.type == ITEM_DATASET)
		memcpy(v, &ptr, sizeof(ptr));
	else if (item.key.type == ITEM_DEAD)
		memcpy(v + (c->which >> 12 & 3 ? 16 : 0), &ptr, sizeof(ptr));
	/* the level with it, or not */
	if (item.key.type == ITEM_DATASET && (c->which & 0x100))
		v[10] = node_level(page_of(to));
}

static void change_remove(const struct change *c)
{
	if (is_sound(c) && node_nr_items(c->page) > 1)
		node_remove(c->page, c->at % node_nr_items(c->page));
}

/* A key like one that is there, with the value of another. */
static void change_insert(const struct change *c)
{
	static uint8_t value[BLOCK_SIZE];
	struct node_item item, from;
	struct key key;
	uint32_t i;
	bool exact;

	if (!is_sound(c))
		return;
	node_item(c->page, c->at % node_nr_items(c->page), &item);
	node_item(c->page, c->value % node_nr_items(c->page), &from);
	key = item.key;
	switch (c->which >> 12) {
	case 0:
		key.offset = fuzz_odd(c->value >> 6) & OFFSET_MAX;
		break;
	case 1:
		key.ino = fuzz_odd(c->value >> 6) & INO_MAX;
		break;
	case 2:
		key.ino += c->value >> 8;
		break;
	case 3:
		key = key_of(0, ITEM_ORPHAN, INO_FIRST + (c->value & 31));
		break;
	default:
		key.offset = (key.offset + 1 + (c->value >> 8)) & OFFSET_MAX;
	}
	memcpy(value, from.value, from.len);
	i = node_search(c->page, &key, &exact);
	/* values of a fixed length are not for other types */
	if (!exact &&
	    (node_level(c->page) > 0 || key.type == from.key.type ||
	     (from.key.type != ITEM_EXTENT && key.type != ITEM_EXTENT &&
	      key.type != ITEM_OVERFLOW && from.key.type != ITEM_OVERFLOW)))
		node_insert(c->page, i, &key, value, from.len);
}

/* The bytes of a key, prefix or not. */
static void change_key(const struct change *c)
{
	const struct node_header *h = (const void *)c->page;
	uint32_t offset;

	if (!is_sound(c))
		return;
	offset = (uint32_t)le_load(
		c->page + sizeof(*h) + 2 * (c->at % node_nr_items(c->page)), 2);
	c->page[offset + c->value % (KEY_SIZE - h->prefix_len)] =
		(uint8_t)(c->value >> 8);
}

/* A root above a root: a tree that is higher than it was. */
static void change_raise(const struct change *c)
{
	struct superblock *sb = super();
	uint64_t blkno = base->size / BLOCK_SIZE - 1 - c->value % 8;
	struct tree_ptr *tree =
		c->which & 0x8000 ? &sb->root_tree : &sb->space_tree;
	struct node_ptr child;
	struct key key = key_of(0, 0, 0);
	struct node_item item;
	uint8_t *page = page_of(blkno);
	uint32_t len;

	if (c->which & 0x4000) {
		if (!is_sound(c) || node_level(c->page) > 0)
			return;
		node_item(c->page, c->at % node_nr_items(c->page), &item);
		if (item.key.type != ITEM_DATASET)
			return;
		tree = (void *)item_value(c, &len);
	}
	child = tree->node;
	node_init(page, le64_get(sb->h.pool_id), blkno, le40_get(child.txg),
		  (uint8_t)(tree->level + 1), 0);
	node_insert(page, 0, &key, &child, sizeof(child));
	for (unsigned i = 1; i < (c->value >> 4 & 3u); i++) {
		key.ino = i * 8;
		node_insert(page, i, &key, &child, sizeof(child));
	}
	tree->node.blkno = le40_of(blkno);
	tree->level++;
	if (now.nr[FUZZ_INNER] < FUZZ_BLOCKS_MAX)
		now.block[FUZZ_INNER][now.nr[FUZZ_INNER]++] = blkno;
}

/* A node of the time to come, and whoever points to it says so too. */
static void change_txg(const struct change *c)
{
	const struct superblock *sb = super();
	uint64_t txg = le64_get(sb->h.txg) + c->value % 4;
	struct node_ptr from = {.blkno = le40_of(c->blkno)}, to = from;

	if (!is_sound(c))
		return;
	from.txg = le40_of(node_txg(c->page));
	to.txg = le40_of(txg);
	if (memcmp(&from, &to, sizeof(to)) == 0)
		return;
	((struct meta_header *)(void *)c->page)->txg = le64_of(txg);
	for (unsigned class = 0; class <= FUZZ_LEAF; class ++)
		for (uint64_t i = 0; i < now.nr[class]; i++) {
			uint8_t *page = page_of(now.block[class][i]);
			uint8_t *p = page + sizeof(struct node_header);

			while ((p = memmem(p, (size_t)(page + BLOCK_SIZE - p),
					   &from, sizeof(from))))
				memcpy(p, &to, sizeof(to));
		}
	if (memcmp(&super()->root_tree.node, &from, sizeof(from)) == 0)
		super()->root_tree.node = to;
	if (memcmp(&super()->space_tree.node, &from, sizeof(from)) == 0)
		super()->space_tree.node = to;
}

/* ---- superblock and space map -------------------------------------------- */

struct field {
	uint16_t at, len;
};
#define FIELD(name)                                                            \
	{                                                                      \
		offsetof(struct superblock, name),                             \
			sizeof(((struct superblock *)0)->name)                 \
	}

static const struct field fields[] = {
	FIELD(h.txg),
	FIELD(commit_seq),
	FIELD(nr_blocks),
	FIELD(nr_free),
	FIELD(high_water),
	FIELD(hash_seed),
	FIELD(next_dataset),
	FIELD(flags),
	FIELD(root_tree.level),
	FIELD(root_tree.node.blkno),
	FIELD(root_tree.node.txg),
	FIELD(space_tree.level),
	FIELD(space_tree.node.blkno),
	FIELD(space_tree.node.txg),
	FIELD(ilog_epoch),
	FIELD(ilog_seq),
	FIELD(ilog_pos),
	FIELD(ilog_prev_csum),
	FIELD(ilog_skip),
	FIELD(ilog[0].first),
	FIELD(ilog[0].nr),
	FIELD(ilog[1].first),
	FIELD(ilog[1].nr),
	FIELD(space[0].txg),
	FIELD(space[0].nr_free),
	FIELD(space[0].slot),
	FIELD(space[0].flags),
	FIELD(space[1].txg),
};

static void change_super(const struct change *c)
{
	const struct field *f = &fields[c->at % ARRAY_SIZE(fields)];
	uint8_t *p = (uint8_t *)super() + f->at;

	if (c->value & 0x8000)
		le_store(p, f->len,
			 le_load(p, f->len) +
				 (uint64_t)(int64_t)(int8_t)c->value);
	else
		le_store(p, f->len, fuzz_odd(c->value));
}

static struct space_index *index_page(enum fuzz_class class, uint32_t i)
{
	return (void *)page_of(fuzz_base_slot(base, class, i));
}

static uint32_t nr_regions(void)
{
	return (uint32_t)div_round_up(
		le64_get(fuzz_base_super(base)->nr_blocks), REGION_BLOCKS);
}

static void change_entry(const struct change *c)
{
	uint32_t i = c->which % nr_regions();
	struct space_entry *e = c->at & 1
					? &index_page(FUZZ_INDEX1, 0)->entry[i]
					: &index_page(FUZZ_INDEX2, 0)->entry[0];

	switch (c->at / 2 % 6) {
	case 0:
		e->slot = (uint8_t)c->value;
		break;
	case 1:
		e->flags = (uint8_t)c->value;
		break;
	case 2:
		e->txg = le64_of(fuzz_odd(c->value));
		break;
	case 3:
		e->nr_free = le32_of((uint32_t)fuzz_odd(c->value));
		break;
	case 4:
		e->nr_free = le32_of(le32_get(e->nr_free) + c->value - 128);
		break;
	default:
		e->csum = le64_of(fuzz_odd(c->value));
	}
}

/* The count of a block that means something, or of any. */
static void change_count(const struct change *c)
{
	uint64_t blkno = pick_node(c->which);
	struct space_region *r;

	switch (c->value >> 14) {
	case 0:
		break;
	case 1:
		blkno = le64_get(fuzz_base_super(base)->ilog[0].first);
		break;
	default: /* where data lies */
		blkno = 8 * REGION_BLOCKS - 1 - c->at;
		blkno = MAX_OF(blkno, UINT64_C(1)) %
			(nr_regions() * REGION_BLOCKS);
	}
	if (le64_get(index_page(FUZZ_INDEX1, 0)
			     ->entry[blkno / REGION_BLOCKS]
			     .txg) == 0)
		return;
	r = (void *)page_of(fuzz_base_slot(base, FUZZ_REGION,
					   (uint32_t)(blkno / REGION_BLOCKS)));
	r->count[blkno % REGION_BLOCKS] =
		(uint8_t)(c->value & 256 ? 255 : c->value);
}

/* Many counts at once: nearly full, or in pieces. */
static void change_counts(const struct change *c)
{
	uint32_t at = c->which % REGION_BLOCKS;
	struct space_region *r;
	uint32_t nr = 1 + c->value % 2048, step = 1 + (c->value >> 11) % 4;

	if (now.nr[FUZZ_REGION] == 0)
		return;
	r = (void *)page_of(pick(FUZZ_REGION, c->at >> 4));
	for (uint32_t i = at; i < REGION_BLOCKS && nr-- > 0; i += step)
		r->count[i] = (uint8_t)(c->at & 3);
}

/* ---- all ----------------------------------------------------------------- */

static void (*const changes[])(const struct change *c) = {
	change_byte,	change_number,	change_copy,   change_swap,
	change_value,	change_value,	change_value,  change_node_header,
	change_pointer, change_pointer, change_remove, change_txg,
	change_insert,	change_insert,	change_key,    change_raise,
	change_super,	change_entry,	change_count,  change_counts,
};

static void (*const space_changes[])(const struct change *c) = {
	change_entry, change_count,  change_counts,
	change_super, change_number, change_value,
};

static struct change next(struct fuzz_input *in, uint8_t *how)
{
	struct change c = {0};
	uint8_t class;

	*how = (uint8_t)fuzz_take(in, 1);
	class = (uint8_t)fuzz_take(in, 1);
	c.which = (uint16_t)fuzz_take(in, 2);
	c.at = (uint16_t)fuzz_take(in, 2);
	c.value = (uint16_t)fuzz_take(in, 2);
	c.class = class % FUZZ_NR_CLASSES;
	c.blkno = pick(c.class, c.which);
	if (c.blkno == 0) {
		c.class = FUZZ_ROOT_TREE;
		c.blkno = pick(c.class, c.which);
	}
	c.page = page_of(c.blkno);
	return c;
}

void fuzz_change_begin(const struct fuzz_base *b)
{
	base = b;
	now = *b;
}

void fuzz_change(struct fuzz_input *in)
{
	uint8_t how;
	struct change c = next(in, &how);

	changes[how % ARRAY_SIZE(changes)](&c);
}

void fuzz_change_space(struct fuzz_input *in)
{
	uint8_t how;
	struct change c = next(in, &how);

	if (c.class != FUZZ_SPACE_TREE && c.class < FUZZ_REGION) {
		c.class = FUZZ_REGION;
		c.page = page_of(pick(c.class, c.which));
	}
	space_changes[how % ARRAY_SIZE(space_changes)](&c);
}

/* A region's free blocks agree with what its entry says, unless it was the
 * entry that changed. */
static void seal_region(uint32_t r, struct space_entry *e,
			const struct space_entry *was)
{
	uint64_t blkno = fuzz_base_slot(base, FUZZ_REGION, r);
	struct space_region *page;
	uint32_t nr_free = 0;

	if (le64_get(was->txg) == 0)
		return;
	page = (void *)page_of(blkno);
	for (uint32_t i = 0; i < REGION_BLOCKS; i++)
		nr_free += page->count[i] == 0;
	fuzz_seal(page, META_SPACE_REGION);
	if (memcmp(e, was, sizeof(*e)) == 0)
		e->nr_free = le32_of(nr_free);
	if (le64_get(e->csum) == le64_get(was->csum))
		e->csum = page->h.csum;
}

static void seal_space(void)
{
	struct superblock *sb = super();
	struct space_index *index1 = index_page(FUZZ_INDEX1, 0);
	struct space_index *index2 = index_page(FUZZ_INDEX2, 0);
	const struct space_index *was =
		(const void *)(base->bytes +
			       BLOCK_SIZE *
				       fuzz_base_slot(base, FUZZ_INDEX1, 0));

	for (uint32_t r = 0; r < nr_regions(); r++)
		seal_region(r, &index1->entry[r], &was->entry[r]);
	fuzz_seal(index1, META_SPACE_INDEX);
	if (le64_get(index2->entry[0].csum) == le64_get(was->h.csum))
		index2->entry[0].csum = index1->h.csum;
	was = (const void *)(base->bytes +
			     BLOCK_SIZE * fuzz_base_slot(base, FUZZ_INDEX2, 0));
	fuzz_seal(index2, META_SPACE_INDEX);
	if (le64_get(sb->space[0].csum) == le64_get(was->h.csum))
		sb->space[0].csum = index2->h.csum;
}

void fuzz_change_end(void)
{
	struct superblock *sb = super();
	uint8_t *copy = page_of(base->super + SUPERBLOCK_COPY_BLKNO);

	for (unsigned class = 0; class <= FUZZ_LEAF; class ++)
		for (uint64_t i = 0; i < now.nr[class]; i++)
			if (fuzz_device_changed(now.block[class][i]))
				node_seal(page_of(now.block[class][i]));
	seal_space();
	sb->h.blkno = le64_of(base->super);
	fuzz_seal(sb, META_SUPERBLOCK);
	memcpy(copy, sb, BLOCK_SIZE);
	((struct superblock *)copy)->h.blkno =
		le64_of(base->super + SUPERBLOCK_COPY_BLKNO);
	fuzz_seal(copy, META_SUPERBLOCK);
}
