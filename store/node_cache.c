/* SPDX-License-Identifier: Apache-2.0 */
#include "store/node_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "store/format.h"
#include "store/node.h"
#include "store/os.h"

#define NR_SHARDS  64u
#define FRAMES_MIN 4096u
/*
 * Nodes that notes hold.  Where all counts below a shadowed leaf come to be
 * large ones, they fill a leaf of the space tree: as many nodes more, which a
 * quarter of the largest reserve has room for.  In a small pool there cannot
 * be more large counts than a quarter of its reserve has room for.
 */
#define NOTED_MAX 15000u

struct shard {
	struct os_mutex lock;
	struct node **bucket;
	uint64_t hits, misses;
} __attribute__((aligned(64)));

struct node_cache {
	/* immutable */
	struct blkdev *dev;
	uint64_t pool_id;
	uint32_t nr_frames;
	uint32_t nr_buckets; /* per shard, a power of two */
	uint8_t *arena;
	struct node *nodes;
	struct shard shard[NR_SHARDS];

	/* under lock */
	struct os_mutex lock;
	struct node *free;
	uint32_t nr_free;
	uint32_t hand; /* of the clock */

	/* atomic */
	uint32_t nr_dirty, nr_reserved, nr_noted;
	uint64_t newest; /* C4; UINT64_MAX: not known */
};

static uint64_t hash_blkno(uint64_t blkno)
{
	blkno *= UINT64_C(0x9e3779b97f4a7c15);
	return blkno ^ blkno >> 29;
}

static struct shard *shard_of(struct node_cache *nc, uint64_t blkno)
{
	return &nc->shard[hash_blkno(blkno) % NR_SHARDS];
}

static struct node **bucket_of(struct node_cache *nc, struct shard *s,
			       uint64_t blkno)
{
	return &s->bucket[(hash_blkno(blkno) >> 8) & (nc->nr_buckets - 1)];
}

int node_cache_new(struct blkdev *dev, uint64_t pool_id, size_t bytes,
		   struct node_cache **cache)
{
	struct node_cache *nc = calloc(1, sizeof(*nc));
	size_t frames = MAX_OF(bytes / BLOCK_SIZE, (size_t)FRAMES_MIN);

	if (!nc)
		return -ENOMEM;
	nc->dev = dev;
	nc->pool_id = pool_id;
	nc->nr_frames = (uint32_t)MIN_OF(frames, (size_t)1 << 24);
	nc->nr_buckets = 16;
	while (nc->nr_buckets * NR_SHARDS < nc->nr_frames)
		nc->nr_buckets *= 2;
	os_mutex_init(&nc->lock);
	for (uint32_t i = 0; i < NR_SHARDS; i++)
		os_mutex_init(&nc->shard[i].lock);
	nc->arena = mmap(NULL, (size_t)nc->nr_frames * BLOCK_SIZE,
			 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	if (nc->arena == MAP_FAILED) {
		nc->arena = NULL;
		goto nomem;
	}
	nc->nodes = calloc(nc->nr_frames, sizeof(*nc->nodes));
	if (!nc->nodes)
		goto nomem;
	for (uint32_t i = 0; i < NR_SHARDS; i++) {
		nc->shard[i].bucket =
			calloc(nc->nr_buckets, sizeof(struct node *));
		if (!nc->shard[i].bucket)
			goto nomem;
	}
	for (uint32_t i = nc->nr_frames; i-- > 0;) {
		struct node *n = &nc->nodes[i];

		n->page = nc->arena + (size_t)i * BLOCK_SIZE;
		list_init(&n->dirty_link);
		n->next = nc->free;
		nc->free = n;
	}
	nc->nr_free = nc->nr_frames;
	nc->newest = UINT64_MAX;
	*cache = nc;
	return 0;
nomem:
	node_cache_free(nc);
	return -ENOMEM;
}

void node_cache_set_newest(struct node_cache *nc, uint64_t txg)
{
	__atomic_store_n(&nc->newest, txg, __ATOMIC_RELEASE);
}

void node_cache_free(struct node_cache *nc)
{
	if (!nc)
		return;
	for (uint32_t i = 0; i < NR_SHARDS; i++) {
		free(nc->shard[i].bucket);
		os_mutex_release(&nc->shard[i].lock);
	}
	free(nc->nodes);
	if (nc->arena)
		munmap(nc->arena, (size_t)nc->nr_frames * BLOCK_SIZE);
	os_mutex_release(&nc->lock);
	free(nc);
}

/* Shard locked. */
static struct node *find_locked(struct node_cache *nc, struct shard *s,
				uint64_t blkno)
{
	struct node *n = *bucket_of(nc, s, blkno);

	while (n && n->blkno != blkno)
		n = n->next;
	return n;
}

static void unhash_locked(struct node_cache *nc, struct shard *s,
			  struct node *n)
{
	struct node **p = bucket_of(nc, s, n->blkno);

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	n->next = NULL;
	__atomic_store_n(&n->hashed, false, __ATOMIC_RELAXED);
	n->sticky = false;
	if (n->dirty) {
		n->dirty = false;
		__atomic_sub_fetch(&nc->nr_dirty, 1, __ATOMIC_RELAXED);
	}
}

static void frame_free(struct node_cache *nc, struct node *n)
{
	os_mutex_lock(&nc->lock);
	n->forgotten = false;
	n->next = nc->free;
	nc->free = n;
	nc->nr_free++;
	os_mutex_unlock(&nc->lock);
}

/* Take frame @i out of the cache if nobody needs it now; @sticky: also a
 * node that was to stay. */
static bool try_evict(struct node_cache *nc, uint32_t i, bool sticky)
{
	struct node *n = &nc->nodes[i];
	/* may be stale; looked at again under the lock */
	uint64_t blkno = __atomic_load_n(&n->blkno, __ATOMIC_RELAXED);
	struct shard *s = shard_of(nc, blkno);
	bool took = false;

	os_mutex_lock(&s->lock);
	if (__atomic_load_n(&n->blkno, __ATOMIC_RELAXED) == blkno &&
	    __atomic_load_n(&n->hashed, __ATOMIC_RELAXED) && n->holds == 0 &&
	    !n->dirty && (sticky || !n->sticky)) {
		if (n->referenced) {
			n->referenced = false;
		} else {
			unhash_locked(nc, s, n);
			took = true;
		}
	}
	os_mutex_unlock(&s->lock);
	return took;
}

static struct node *frame_get(struct node_cache *nc)
{
	struct node *n = NULL;

	os_mutex_lock(&nc->lock);
	if (nc->free) {
		n = nc->free;
		nc->free = n->next;
		nc->nr_free--;
	} else {
		/*
		 * Two rounds, the first of which may only clear 'referenced';
		 * then two that take sticky nodes too: a pool's own trees may
		 * be larger than the cache.
		 */
		for (uint64_t i = 0; i < 4 * (uint64_t)nc->nr_frames; i++) {
			uint32_t hand = nc->hand;
			bool sticky = i >= 2 * (uint64_t)nc->nr_frames;

			nc->hand = (hand + 1) % nc->nr_frames;
			if (try_evict(nc, hand, sticky)) {
				n = &nc->nodes[hand];
				break;
			}
		}
	}
	os_mutex_unlock(&nc->lock);
	if (n)
		n->next = NULL;
	return n;
}

struct node *node_cache_peek(struct node_cache *nc, uint64_t blkno,
			     uint64_t txg)
{
	struct shard *s = shard_of(nc, blkno);
	struct node *n;

	os_mutex_lock(&s->lock);
	n = find_locked(nc, s, blkno);
	if (n && n->txg == txg) {
		n->holds++;
		n->referenced = true;
		s->hits++;
	} else {
		n = NULL;
		s->misses++;
	}
	os_mutex_unlock(&s->lock);
	return n;
}

struct node *node_cache_peek_any(struct node_cache *nc, uint64_t blkno)
{
	struct shard *s = shard_of(nc, blkno);
	struct node *n;

	os_mutex_lock(&s->lock);
	n = find_locked(nc, s, blkno);
	if (n)
		n->holds++;
	os_mutex_unlock(&s->lock);
	return n;
}

/* Put a filled frame into the hash; another thread's copy wins.  NULL: what
 * was read is older than what is in the cache. */
static struct node *insert(struct node_cache *nc, struct node *n)
{
	struct shard *s = shard_of(nc, n->blkno);
	struct node *other, **bucket;
	bool gone;

	os_mutex_lock(&s->lock);
	other = find_locked(nc, s, n->blkno);
	if (other && other->txg == n->txg && !n->dirty) {
		other->holds++;
		os_mutex_unlock(&s->lock);
		frame_free(nc, n);
		return other;
	}
	/* a block that was freed and used again: its old node is dead */
	if (other && !n->dirty && (other->dirty || other->txg > n->txg)) {
		os_mutex_unlock(&s->lock);
		frame_free(nc, n);
		return NULL;
	}
	dbs_assert(!other || !other->dirty);
	/* said now: who holds it may put it as soon as the lock is free */
	gone = other && other->holds == 0;
	if (other) {
		unhash_locked(nc, s, other);
		other->forgotten = !gone;
	}
	bucket = bucket_of(nc, s, n->blkno);
	n->next = *bucket;
	*bucket = n;
	__atomic_store_n(&n->hashed, true, __ATOMIC_RELAXED);
	n->referenced = true;
	os_mutex_unlock(&s->lock);
	if (gone)
		frame_free(nc, other);
	return n;
}

int node_cache_load(struct node_cache *nc, uint64_t blkno, uint64_t txg,
		    uint8_t level, struct node **node)
{
	struct node *n = node_cache_peek(nc, blkno, txg);
	int rc;

	if (n)
		goto found;
	n = frame_get(nc);
	if (!n)
		return -ENOMEM;
	if (blkno == 0 || blkno >= blkdev_size(nc->dev) / BLOCK_SIZE ||
	    txg > __atomic_load_n(&nc->newest, __ATOMIC_ACQUIRE))
		rc = -EUCLEAN;
	else
		rc = blkdev_read(nc->dev, n->page, BLOCK_SIZE,
				 blkno * BLOCK_SIZE);
	if (rc == 0)
		rc = node_verify(n->page, nc->pool_id, blkno, txg, level);
	if (rc) {
		frame_free(nc, n);
		return rc;
	}
	__atomic_store_n(&n->blkno, blkno, __ATOMIC_RELAXED);
	n->txg = txg;
	n->holds = 1;
	n->dirty = n->sticky = n->forgotten = false;
	n = insert(nc, n);
	if (!n)
		return -EUCLEAN;
found:
	/* a damaged tree may name one node at two levels */
	if (node_level(n->page) != level) {
		node_cache_put(nc, n);
		return -EUCLEAN;
	}
	*node = n;
	return 0;
}

void node_cache_hold(struct node_cache *nc, struct node *n)
{
	struct shard *s = shard_of(nc, n->blkno);

	os_mutex_lock(&s->lock);
	n->holds++;
	os_mutex_unlock(&s->lock);
}

void node_cache_put(struct node_cache *nc, struct node *n)
{
	struct shard *s = shard_of(nc, n->blkno);
	bool gone;

	os_mutex_lock(&s->lock);
	dbs_assert(n->holds > 0);
	n->holds--;
	gone = n->holds == 0 && n->forgotten;
	os_mutex_unlock(&s->lock);
	if (gone)
		frame_free(nc, n);
}

void node_cache_hold_noted(struct node_cache *nc, struct node *n)
{
	__atomic_add_fetch(&nc->nr_noted, 1, __ATOMIC_ACQ_REL);
	node_cache_hold(nc, n);
}

void node_cache_put_noted(struct node_cache *nc, struct node *n)
{
	node_cache_put(nc, n);
	__atomic_sub_fetch(&nc->nr_noted, 1, __ATOMIC_ACQ_REL);
}

bool node_cache_reserve(struct node_cache *nc, uint32_t nr, bool committer)
{
	uint32_t limit = nc->nr_frames / 3;
	uint32_t noted = MIN_OF(limit, NOTED_MAX);
	uint32_t now =
		__atomic_add_fetch(&nc->nr_reserved, nr, __ATOMIC_ACQ_REL);

	if (committer ||
	    (now + __atomic_load_n(&nc->nr_dirty, __ATOMIC_ACQUIRE) <= limit &&
	     __atomic_load_n(&nc->nr_noted, __ATOMIC_ACQUIRE) <= noted))
		return true;
	__atomic_sub_fetch(&nc->nr_reserved, nr, __ATOMIC_ACQ_REL);
	return false;
}

void node_cache_unreserve(struct node_cache *nc, uint32_t nr)
{
	uint32_t was =
		__atomic_fetch_sub(&nc->nr_reserved, nr, __ATOMIC_ACQ_REL);

	dbs_assert(was >= nr);
}

struct node *node_cache_add(struct node_cache *nc, uint64_t blkno, uint64_t txg,
			    bool sticky)
{
	struct node *n = frame_get(nc);

	dbs_assert(n);
	__atomic_store_n(&n->blkno, blkno, __ATOMIC_RELAXED);
	n->txg = txg;
	n->holds = 0;
	n->forgotten = false;
	n->dirty = true;
	n->sticky = sticky;
	list_init(&n->dirty_link);
	__atomic_add_fetch(&nc->nr_dirty, 1, __ATOMIC_ACQ_REL);
	node_cache_unreserve(nc, 1);
	return insert(nc, n);
}

void node_cache_forget(struct node_cache *nc, uint64_t blkno)
{
	struct shard *s = shard_of(nc, blkno);
	struct node *n;
	bool gone = false;

	os_mutex_lock(&s->lock);
	n = find_locked(nc, s, blkno);
	if (n) {
		unhash_locked(nc, s, n);
		gone = n->holds == 0;
		n->forgotten = !gone;
	}
	os_mutex_unlock(&s->lock);
	if (gone)
		frame_free(nc, n);
}

void node_cache_clean(struct node_cache *nc, struct node *n)
{
	struct shard *s = shard_of(nc, n->blkno);

	/* the committer's alone; before the node can be evicted */
	if (n->txg > __atomic_load_n(&nc->newest, __ATOMIC_RELAXED))
		node_cache_set_newest(nc, n->txg);
	os_mutex_lock(&s->lock);
	if (n->dirty) {
		n->dirty = false;
		__atomic_sub_fetch(&nc->nr_dirty, 1, __ATOMIC_ACQ_REL);
	}
	os_mutex_unlock(&s->lock);
}

void node_cache_stick(struct node_cache *nc, struct node *n)
{
	struct shard *s = shard_of(nc, n->blkno);

	os_mutex_lock(&s->lock);
	n->sticky = true;
	os_mutex_unlock(&s->lock);
}

void node_cache_stat(struct node_cache *nc, struct node_cache_stat *st)
{
	*st = (struct node_cache_stat){.nr_frames = nc->nr_frames};
	for (uint32_t i = 0; i < NR_SHARDS; i++) {
		os_mutex_lock(&nc->shard[i].lock);
		st->hits += nc->shard[i].hits;
		st->misses += nc->shard[i].misses;
		os_mutex_unlock(&nc->shard[i].lock);
	}
	os_mutex_lock(&nc->lock);
	st->nr_used = nc->nr_frames - nc->nr_free;
	os_mutex_unlock(&nc->lock);
	st->nr_dirty = __atomic_load_n(&nc->nr_dirty, __ATOMIC_ACQUIRE);
	st->nr_reserved = __atomic_load_n(&nc->nr_reserved, __ATOMIC_ACQUIRE);
	st->nr_noted = __atomic_load_n(&nc->nr_noted, __ATOMIC_ACQUIRE);
}
