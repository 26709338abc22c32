/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node.h - one node of a B+tree as a page of 4 KiB
 *
 * Below: format.h, csum.  Above: node cache, btree, check.
 *
 * The functions work on a page that node_verify() has passed, or that
 * node_init() made; they know nothing of caches, txgs or I/O.
 *
 * Invariants:
 *  M1  items are in strictly rising key order.
 *  M2  every key starts with the node's prefix.
 *  M3  slots and items do not overlap; free space lies between them.
 */
#ifndef DBS_STORE_NODE_H
#define DBS_STORE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/btree.h"
#include "store/format.h"

struct node_item {
	struct key key;
	const uint8_t *value;
	uint32_t len;
};

void key_encode(const struct key *k, uint8_t out[KEY_SIZE]);
struct key key_decode(const uint8_t in[KEY_SIZE]);

/** An empty node, header filled in but for the checksum. */
void node_init(uint8_t *page, uint64_t pool_id, uint64_t blkno, uint64_t txg,
	       uint8_t level, uint32_t owner);
/** The same content at a new place and in a new txg. */
void node_move(uint8_t *page, uint64_t blkno, uint64_t txg, uint32_t owner);
/** Put the checksum in, before the page is written. */
void node_seal(uint8_t *page);

/**
 * Is @page the node that the pointer (@blkno, @txg) at @level meant, and sound
 * in itself?  Checks everything the functions below rely on.
 * Returns 0; -EBADMSG checksum or identity; -EUCLEAN malformed.
 */
int node_verify(const uint8_t *page, uint64_t pool_id, uint64_t blkno,
		uint64_t txg, uint8_t level);

uint32_t node_nr_items(const uint8_t *page);
uint8_t node_level(const uint8_t *page);
uint64_t node_blkno(const uint8_t *page);
uint64_t node_txg(const uint8_t *page);
/** Item @i of [0, nr_items). */
void node_item(const uint8_t *page, uint32_t i, struct node_item *out);
/** The child that item @i of an inner node names. */
void node_child(const uint8_t *page, uint32_t i, uint64_t *blkno,
		uint64_t *txg);

/**
 * The first slot with a key >= @key (nr_items: none).
 * @exact: out, whether it is equal
 */
uint32_t node_search(const uint8_t *page, const struct key *key, bool *exact);
/** In an inner node: the slot of the child that @key belongs to. */
uint32_t node_search_child(const uint8_t *page, const struct key *key);

/** Insert at slot @i what belongs there; false: it does not fit as it is. */
bool node_insert(uint8_t *page, uint32_t i, const struct key *key,
		 const void *value, uint32_t len);
/** Overwrite item @i's value by one of the same length. */
void node_replace(uint8_t *page, uint32_t i, const void *value);
void node_remove(uint8_t *page, uint32_t i);

/** Bytes that slots and items take. */
uint32_t node_used(const uint8_t *page);
/** Bytes that @items would take in one node. */
uint32_t node_size_of(const struct node_item *items, uint32_t nr,
		      uint8_t level);
#define NODE_CAPACITY (BLOCK_SIZE - (uint32_t)sizeof(struct node_header))
/** No two nodes together have as many items. */
#define NODE_ITEMS_MAX 1700u
/** Replace the content by @items, whose values lie outside @page. */
void node_fill(uint8_t *page, const struct node_item *items, uint32_t nr);

#endif
