/* SPDX-License-Identifier: Apache-2.0 */
#include "store/node.h"

#include <errno.h>
#include <string.h>

#include "store/csum.h"
#include "store/util.h"

#define HEADER ((uint32_t)sizeof(struct node_header))

static struct node_header *header(uint8_t *page)
{
	return (struct node_header *)page;
}

static const struct node_header *header_const(const uint8_t *page)
{
	return (const struct node_header *)page;
}

/* Length of values whose type fixes it; 0: it is stored. */
static uint32_t fixed_len(uint8_t level, uint8_t type)
{
	if (level > 0)
		return sizeof(struct node_ptr);
	if (type == ITEM_EXTENT)
		return sizeof(struct extent_item);
	if (type == ITEM_OVERFLOW)
		return sizeof(struct le32);
	return 0;
}

void key_encode(const struct key *k, uint8_t out[KEY_SIZE])
{
	for (unsigned i = 0; i < 5; i++)
		out[i] = (uint8_t)(k->ino >> (8 * (4 - i)));
	out[5] = k->type;
	for (unsigned i = 0; i < 7; i++)
		out[6 + i] = (uint8_t)(k->offset >> (8 * (6 - i)));
}

struct key key_decode(const uint8_t in[KEY_SIZE])
{
	struct key k = {.type = in[5]};

	for (unsigned i = 0; i < 5; i++)
		k.ino = k.ino << 8 | in[i];
	for (unsigned i = 6; i < KEY_SIZE; i++)
		k.offset = k.offset << 8 | in[i];
	return k;
}

int key_compare(const struct key *a, const struct key *b)
{
	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	if (a->offset != b->offset)
		return a->offset < b->offset ? -1 : 1;
	return 0;
}

struct key key_next(const struct key *k)
{
	struct key n = *k;

	if (n.offset < OFFSET_MAX) {
		n.offset++;
	} else if (n.type < UINT8_MAX) {
		n.type++;
		n.offset = 0;
	} else if (n.ino < INO_MAX) {
		n.ino++;
		n.type = 0;
		n.offset = 0;
	}
	return n;
}

void node_init(uint8_t *page, uint64_t pool_id, uint64_t blkno, uint64_t txg,
	       uint8_t level, uint32_t owner)
{
	struct node_header *h = header(page);

	memset(page, 0, BLOCK_SIZE);
	h->h.type = le32_of(META_NODE);
	h->h.pool_id = le64_of(pool_id);
	h->h.blkno = le64_of(blkno);
	h->h.txg = le64_of(txg);
	h->level = level;
	h->heap = le16_of(BLOCK_SIZE);
	h->owner = le32_of(owner);
}

void node_move(uint8_t *page, uint64_t blkno, uint64_t txg, uint32_t owner)
{
	struct node_header *h = header(page);

	h->h.blkno = le64_of(blkno);
	h->h.txg = le64_of(txg);
	h->owner = le32_of(owner);
}

void node_seal(uint8_t *page)
{
	header(page)->h.csum =
		le64_of(csum_of(page + 8, BLOCK_SIZE - 8, META_NODE));
}

uint32_t node_nr_items(const uint8_t *page)
{
	return le16_get(header_const(page)->nr_items);
}

uint8_t node_level(const uint8_t *page)
{
	return header_const(page)->level;
}

uint64_t node_blkno(const uint8_t *page)
{
	return le64_get(header_const(page)->h.blkno);
}

uint64_t node_txg(const uint8_t *page)
{
	return le64_get(header_const(page)->h.txg);
}

static uint32_t slot_get(const uint8_t *page, uint32_t i)
{
	return (uint32_t)le_load(page + HEADER + 2 * i, 2);
}

static void slot_set(uint8_t *page, uint32_t i, uint32_t offset)
{
	le_store(page + HEADER + 2 * i, 2, offset);
}

/* The whole key of the item at @offset. */
static void item_key(const uint8_t *page, uint32_t offset,
		     uint8_t out[KEY_SIZE])
{
	const struct node_header *h = header_const(page);

	memcpy(out, h->prefix, h->prefix_len);
	memcpy(out + h->prefix_len, page + offset, KEY_SIZE - h->prefix_len);
}

static uint8_t item_type(const uint8_t *page, uint32_t offset)
{
	const struct node_header *h = header_const(page);

	return h->prefix_len > 5 ? h->prefix[5]
				 : page[offset + 5 - h->prefix_len];
}

/* Where the value of the item at @offset starts, and its length. */
static uint32_t item_value(const uint8_t *page, uint32_t offset, uint32_t *len)
{
	const struct node_header *h = header_const(page);
	uint32_t at = offset + KEY_SIZE - h->prefix_len;
	uint32_t fixed = fixed_len(h->level, item_type(page, offset));

	if (fixed) {
		*len = fixed;
		return at;
	}
	*len = (uint32_t)le_load(page + at, 2);
	return at + 2;
}

/* Bytes of an item in the heap. */
static uint32_t item_size(uint8_t level, uint8_t type, uint32_t prefix_len,
			  uint32_t len)
{
	return KEY_SIZE - prefix_len + (fixed_len(level, type) ? 0 : 2) + len;
}

/* Mark bytes [@at, @end) as used; false: some were already (M3). */
static bool take_bytes(uint64_t used[BLOCK_SIZE / 64], uint32_t at,
		       uint32_t end)
{
	while (at < end) {
		uint32_t n = MIN_OF(64 - at % 64, end - at);
		uint64_t mask = (UINT64_MAX >> (64 - n)) << at % 64;

		if (used[at / 64] & mask)
			return false;
		used[at / 64] |= mask;
		at += n;
	}
	return true;
}

static int verify_items(const uint8_t *page)
{
	uint64_t used[BLOCK_SIZE / 64] = {0};
	const struct node_header *h = header_const(page);
	uint32_t nr = le16_get(h->nr_items);
	uint32_t heap = le16_get(h->heap);
	uint32_t suffix = KEY_SIZE - h->prefix_len;
	uint64_t bytes = 0;
	uint8_t key[KEY_SIZE], before[KEY_SIZE];

	for (uint32_t i = 0; i < nr; i++) {
		uint32_t offset = slot_get(page, i), at, len;

		/* room for the key and a stored length */
		if (offset < heap || offset + suffix + 2 > BLOCK_SIZE)
			return -EUCLEAN;
		at = item_value(page, offset, &len);
		if (at + len > BLOCK_SIZE || len > NODE_ITEM_MAX ||
		    !take_bytes(used, offset, at + len))
			return -EUCLEAN;
		/* block 0 means no node: lookups would look for nothing */
		if (h->level > 0 && le_load(page + at, 5) == 0)
			return -EUCLEAN;
		bytes += at - offset + len;
		item_key(page, offset, key);
		if (i > 0 && memcmp(before, key, KEY_SIZE) >= 0)
			return -EUCLEAN;
		memcpy(before, key, KEY_SIZE);
	}
	if (bytes + le16_get(h->garbage) != BLOCK_SIZE - heap)
		return -EUCLEAN;
	return 0;
}

int node_verify(const uint8_t *page, uint64_t pool_id, uint64_t blkno,
		uint64_t txg, uint8_t level)
{
	const struct node_header *h = header_const(page);
	uint32_t nr = le16_get(h->nr_items);
	uint32_t heap = le16_get(h->heap);

	if (le32_get(h->h.type) != META_NODE ||
	    le64_get(h->h.pool_id) != pool_id ||
	    le64_get(h->h.blkno) != blkno || le64_get(h->h.txg) != txg)
		return -EBADMSG;
	if (le64_get(h->h.csum) != csum_of(page + 8, BLOCK_SIZE - 8, META_NODE))
		return -EBADMSG;
	if (h->level != level || h->level >= NODE_LEVEL_MAX)
		return -EUCLEAN;
	if (nr == 0 || h->prefix_len > NODE_PREFIX_MAX || heap > BLOCK_SIZE ||
	    HEADER + 2 * nr > heap)
		return -EUCLEAN;
	return verify_items(page);
}

void node_item(const uint8_t *page, uint32_t i, struct node_item *out)
{
	uint8_t key[KEY_SIZE];
	uint32_t offset = slot_get(page, i);

	item_key(page, offset, key);
	out->key = key_decode(key);
	out->value = page + item_value(page, offset, &out->len);
}

void node_child(const uint8_t *page, uint32_t i, uint64_t *blkno, uint64_t *txg)
{
	uint32_t len;
	const uint8_t *v = page + item_value(page, slot_get(page, i), &len);

	*blkno = le_load(v, 5);
	*txg = le_load(v + 5, 5);
}

uint32_t node_search(const uint8_t *page, const struct key *key, bool *exact)
{
	const struct node_header *h = header_const(page);
	uint32_t p = h->prefix_len, lo = 0, hi = le16_get(h->nr_items);
	uint8_t k[KEY_SIZE];
	int c;

	*exact = false;
	key_encode(key, k);
	c = memcmp(k, h->prefix, p);
	if (c != 0)
		return c < 0 ? 0 : hi;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		c = memcmp(page + slot_get(page, mid), k + p, KEY_SIZE - p);
		if (c == 0) {
			*exact = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t node_search_child(const uint8_t *page, const struct key *key)
{
	bool exact;
	uint32_t i = node_search(page, key, &exact);

	return exact || i == 0 ? i : i - 1;
}

uint32_t node_used(const uint8_t *page)
{
	const struct node_header *h = header_const(page);

	return 2 * (uint32_t)le16_get(h->nr_items) + BLOCK_SIZE -
	       le16_get(h->heap) - le16_get(h->garbage);
}

/* Squeeze the garbage out of the heap. */
static void compact(uint8_t *page)
{
	struct node_header *h = header(page);
	uint32_t nr = le16_get(h->nr_items), top = BLOCK_SIZE;
	uint8_t old[BLOCK_SIZE];

	memcpy(old, page, BLOCK_SIZE);
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t offset = slot_get(old, i), len;
		uint32_t size = item_value(old, offset, &len) - offset + len;

		top -= size;
		memcpy(page + top, old + offset, size);
		slot_set(page, i, top);
	}
	h->heap = le16_of((uint16_t)top);
	h->garbage = le16_of(0);
	memset(page + HEADER + 2 * nr, 0, top - HEADER - 2 * nr);
}

bool node_insert(uint8_t *page, uint32_t i, const struct key *key,
		 const void *value, uint32_t len)
{
	struct node_header *h = header(page);
	uint32_t nr = le16_get(h->nr_items), p = h->prefix_len;
	uint32_t size = item_size(h->level, key->type, p, len);
	uint32_t heap = le16_get(h->heap), at;
	uint8_t k[KEY_SIZE];

	key_encode(key, k);
	if (nr == 0) {
		/* a first item takes the longest prefix */
		h->prefix_len = NODE_PREFIX_MAX;
		memcpy(h->prefix, k, NODE_PREFIX_MAX);
		p = NODE_PREFIX_MAX;
		size = item_size(h->level, key->type, p, len);
	} else if (memcmp(k, h->prefix, p) != 0) {
		return false;
	}
	if (HEADER + 2 * (nr + 1) + size > heap) {
		if (HEADER + 2 * (nr + 1) + size > heap + le16_get(h->garbage))
			return false;
		compact(page);
		heap = le16_get(h->heap);
	}
	at = heap - size;
	memcpy(page + at, k + p, KEY_SIZE - p);
	h->heap = le16_of((uint16_t)at);
	at += KEY_SIZE - p;
	if (!fixed_len(h->level, key->type)) {
		le_store(page + at, 2, len);
		at += 2;
	}
	memcpy(page + at, value, len);
	memmove(page + HEADER + 2 * (i + 1), page + HEADER + 2 * i,
		2 * (nr - i));
	slot_set(page, i, heap - size);
	h->nr_items = le16_of((uint16_t)(nr + 1));
	return true;
}

void node_replace(uint8_t *page, uint32_t i, const void *value)
{
	uint32_t len, at = item_value(page, slot_get(page, i), &len);

	memcpy(page + at, value, len);
}

void node_remove(uint8_t *page, uint32_t i)
{
	struct node_header *h = header(page);
	uint32_t nr = le16_get(h->nr_items), len;
	uint32_t offset = slot_get(page, i);
	uint32_t size = item_value(page, offset, &len) - offset + len;

	/* freed names and data do not stay readable in the page */
	memset(page + offset, 0, size);
	memmove(page + HEADER + 2 * i, page + HEADER + 2 * (i + 1),
		2 * (nr - i - 1));
	slot_set(page, nr - 1, 0);
	h->nr_items = le16_of((uint16_t)(nr - 1));
	h->garbage = le16_of((uint16_t)(le16_get(h->garbage) + size));
	if (nr == 1) {
		h->heap = le16_of(BLOCK_SIZE);
		h->garbage = le16_of(0);
		h->prefix_len = 0;
		memset(h->prefix, 0, NODE_PREFIX_MAX);
	}
}

/* Length of the prefix that the keys of sorted @items share. */
static uint32_t prefix_of(const struct node_item *items, uint32_t nr,
			  uint8_t first[KEY_SIZE])
{
	uint8_t last[KEY_SIZE];
	uint32_t p = 0;

	key_encode(&items[0].key, first);
	key_encode(&items[nr - 1].key, last);
	while (p < NODE_PREFIX_MAX && first[p] == last[p])
		p++;
	return p;
}

uint32_t node_size_of(const struct node_item *items, uint32_t nr, uint8_t level)
{
	uint8_t first[KEY_SIZE];
	uint32_t p, size = 0;

	if (nr == 0)
		return 0;
	p = prefix_of(items, nr, first);
	for (uint32_t i = 0; i < nr; i++)
		size += 2 +
			item_size(level, items[i].key.type, p, items[i].len);
	return size;
}

void node_fill(uint8_t *page, const struct node_item *items, uint32_t nr)
{
	struct node_header *h = header(page);
	uint8_t first[KEY_SIZE], k[KEY_SIZE];
	uint32_t p = prefix_of(items, nr, first), top = BLOCK_SIZE;

	memset(page + HEADER, 0, NODE_CAPACITY);
	memset(h->prefix, 0, NODE_PREFIX_MAX);
	memcpy(h->prefix, first, p);
	h->prefix_len = (uint8_t)p;
	h->nr_items = le16_of((uint16_t)nr);
	h->garbage = le16_of(0);
	for (uint32_t i = 0; i < nr; i++) {
		uint32_t at;

		top -= item_size(h->level, items[i].key.type, p, items[i].len);
		dbs_assert(top >= HEADER + 2 * nr);
		slot_set(page, i, top);
		key_encode(&items[i].key, k);
		memcpy(page + top, k + p, KEY_SIZE - p);
		at = top + KEY_SIZE - p;
		if (!fixed_len(h->level, items[i].key.type)) {
			le_store(page + at, 2, items[i].len);
			at += 2;
		}
		memcpy(page + at, items[i].value, items[i].len);
	}
	h->heap = le16_of((uint16_t)top);
}
