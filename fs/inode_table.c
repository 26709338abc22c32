/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/inode_table.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NR_SHARDS     64
#define SHARD_BUCKETS 256 /* to begin with; doubles when full */

struct shard {
	pthread_mutex_t lock;
	/* under lock */
	struct node **buckets;
	size_t nr_buckets, nr_nodes;
};

struct inode_table {
	/* immutable */
	struct pool *pool;
	struct node top;
	struct shard shards[NR_SHARDS];
	struct view_slot *slots;
	/* atomic */
	_Atomic unsigned nr_slots;
	/* under views_lock */
	pthread_mutex_t views_lock;
	pthread_cond_t resumed;
	struct view *views;
	uint32_t *paused; /* ids that a restore works on */
	size_t nr_paused, cap_paused;
};

/* -- hashing -------------------------------------------------------------- */

static uint64_t node_hash(const struct view *view, uint64_t ino)
{
	uint64_t h = (uint64_t)(uintptr_t)view >> 4;

	h = (h ^ ino) * UINT64_C(0x9e3779b97f4a7c15);
	h ^= h >> 32;
	return h * UINT64_C(0xd6e8feb86659fd93);
}

static struct shard *shard_of(struct inode_table *table, uint64_t hash)
{
	return &table->shards[hash >> 58];
}

static void shard_grow(struct shard *shard)
{
	size_t nr = shard->nr_buckets * 2;
	struct node **grown = calloc(nr, sizeof(*grown));
	struct node *node, *next;

	if (!grown)
		return; /* longer chains are no error */
	for (size_t i = 0; i < shard->nr_buckets; i++) {
		for (node = shard->buckets[i]; node; node = next) {
			size_t to = node_hash(node->view, node->ino) & (nr - 1);

			next = node->next;
			node->next = grown[to];
			grown[to] = node;
		}
	}
	free(shard->buckets);
	shard->buckets = grown;
	shard->nr_buckets = nr;
}

/* -- the table ------------------------------------------------------------ */

int inode_table_new(struct pool *pool, struct inode_table **out)
{
	struct inode_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->pool = pool;
	table->top.kind = NODE_TOP;
	table->top.ino = 1;
	pthread_mutex_init(&table->views_lock, NULL);
	pthread_cond_init(&table->resumed, NULL);
	if (posix_memalign((void **)&table->slots, 64,
			   VIEW_SLOTS_MAX * sizeof(*table->slots))) {
		table->slots = NULL;
		goto fail;
	}
	memset(table->slots, 0, VIEW_SLOTS_MAX * sizeof(*table->slots));
	for (int i = 0; i < NR_SHARDS; i++) {
		struct shard *shard = &table->shards[i];

		pthread_mutex_init(&shard->lock, NULL);
		shard->nr_buckets = SHARD_BUCKETS;
		shard->buckets = calloc(SHARD_BUCKETS, sizeof(struct node *));
		if (!shard->buckets)
			goto fail;
	}
	*out = table;
	return 0;
fail:
	inode_table_free(table);
	return -ENOMEM;
}

static void view_free(struct view *view)
{
	dataset_put(view->ds);
	free(view);
}

static void node_free(struct node *node)
{
	if (atomic_load(&node->held))
		file_unhold(node->view->ds, node->ino);
	free(node);
}

void inode_table_free(struct inode_table *table)
{
	struct view *view, *next_view;
	struct node *node, *next;

	if (!table)
		return;
	for (int i = 0; i < NR_SHARDS; i++) {
		struct shard *shard = &table->shards[i];

		for (size_t b = 0; shard->buckets && b < shard->nr_buckets;
		     b++) {
			for (node = shard->buckets[b]; node; node = next) {
				next = node->next;
				node_free(node);
			}
		}
		free(shard->buckets);
	}
	for (view = table->views; view; view = next_view) {
		next_view = view->next;
		view_free(view);
	}
	free(table->paused);
	free(table->slots);
	free(table);
}

struct node *node_of_id(struct inode_table *table, uint64_t id)
{
	if (id == NODE_ID_TOP)
		return &table->top;
	return (struct node *)(uintptr_t)id;
}

/* -- nodes ---------------------------------------------------------------- */

static enum node_kind kind_of_ino(uint64_t ino)
{
	if (ino == INO_DBS)
		return NODE_DBS;
	if (ino == INO_SNAPSHOTS)
		return NODE_SNAPSHOTS;
	return NODE_FILE;
}

/* Where the node is, or the end of the chain that it would be in. */
static struct node **node_find_locked(struct shard *shard, uint64_t hash,
				      const struct view *view, uint64_t ino)
{
	struct node **at = &shard->buckets[hash & (shard->nr_buckets - 1)];

	while (*at && ((*at)->view != view || (*at)->ino != ino))
		at = &(*at)->next;
	return at;
}

int node_lookup(struct inode_table *table, struct view *view, uint64_t ino,
		struct node **out)
{
	uint64_t hash = node_hash(view, ino);
	struct shard *shard = shard_of(table, hash);
	struct node **at, *node;

	pthread_mutex_lock(&shard->lock);
	at = node_find_locked(shard, hash, view, ino);
	node = *at;
	if (!node) {
		node = calloc(1, sizeof(*node));
		if (!node) {
			pthread_mutex_unlock(&shard->lock);
			return -ENOMEM;
		}
		node->view = view;
		node->ino = ino;
		node->kind = kind_of_ino(ino);
		*at = node;
		atomic_fetch_add(&view->refs, 1);
		if (++shard->nr_nodes > shard->nr_buckets)
			shard_grow(shard);
	}
	node->nr_lookups++;
	pthread_mutex_unlock(&shard->lock);
	*out = node;
	return 0;
}

int node_hold(struct inode_table *table, struct view *view, uint64_t ino)
{
	uint64_t hash = node_hash(view, ino);
	struct shard *shard = shard_of(table, hash);
	struct node *node;
	int rc = 0;

	pthread_mutex_lock(&shard->lock);
	node = *node_find_locked(shard, hash, view, ino);
	if (node)
		node->nr_lookups++; /* keeps it while we are at it */
	pthread_mutex_unlock(&shard->lock);
	if (!node)
		return 0; /* the kernel does not know it */
	if (!atomic_load(&node->held)) {
		rc = file_hold(view->ds, ino);
		if (rc == 0 && atomic_exchange(&node->held, true))
			file_unhold(view->ds, ino);
	}
	node_forget(table, node, 1);
	return rc;
}

void node_forget(struct inode_table *table, struct node *node,
		 uint64_t nr_lookups)
{
	struct node **at;
	struct shard *shard;
	struct view *view;
	uint64_t hash;

	if (node->kind == NODE_TOP)
		return;
	view = node->view;
	hash = node_hash(view, node->ino);
	shard = shard_of(table, hash);
	pthread_mutex_lock(&shard->lock);
	dbs_assert(node->nr_lookups >= nr_lookups);
	node->nr_lookups -= nr_lookups;
	if (node->nr_lookups) {
		pthread_mutex_unlock(&shard->lock);
		return;
	}
	at = &shard->buckets[hash & (shard->nr_buckets - 1)];
	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	shard->nr_nodes--;
	pthread_mutex_unlock(&shard->lock);
	node_free(node);
	view_close(table, view);
}

bool node_is_known(struct inode_table *table, struct view *view, uint64_t ino)
{
	uint64_t hash = node_hash(view, ino);
	struct shard *shard = shard_of(table, hash);
	bool known;

	pthread_mutex_lock(&shard->lock);
	known = *node_find_locked(shard, hash, view, ino) != NULL;
	pthread_mutex_unlock(&shard->lock);
	return known;
}

uint64_t node_find_id(struct inode_table *table, uint32_t id, uint64_t ino)
{
	struct view *view;
	struct shard *shard;
	struct node *node;
	uint64_t hash, found = 0;

	pthread_mutex_lock(&table->views_lock);
	for (view = table->views; view; view = view->next)
		if (view->id == id && atomic_load(&view->state) != VIEW_STALE)
			break;
	if (view)
		atomic_fetch_add(&view->refs, 1);
	pthread_mutex_unlock(&table->views_lock);
	if (!view)
		return 0;
	hash = node_hash(view, ino);
	shard = shard_of(table, hash);
	pthread_mutex_lock(&shard->lock);
	node = *node_find_locked(shard, hash, view, ino);
	if (node)
		found = node_id(node);
	pthread_mutex_unlock(&shard->lock);
	view_close(table, view);
	return found;
}

static bool node_is_stale_in_use(struct node *node, uint32_t id)
{
	return node->view->id == id &&
	       atomic_load(&node->view->state) == VIEW_STALE &&
	       (node->ino == INO_DATASET_ROOT || atomic_load(&node->nr_open));
}

static bool node_is_file_of(struct node *node, uint32_t id)
{
	return node->view->id == id && node->kind == NODE_FILE;
}

/* Ids of the nodes that @is_wanted says yes to. */
static int node_list(struct inode_table *table, uint32_t id,
		     bool (*is_wanted)(struct node *node, uint32_t id),
		     uint64_t **ids, size_t *nr)
{
	uint64_t *list = NULL, *grown;
	size_t n = 0, cap = 0;

	for (int i = 0; i < NR_SHARDS; i++) {
		struct shard *shard = &table->shards[i];

		pthread_mutex_lock(&shard->lock);
		for (size_t b = 0; b < shard->nr_buckets; b++) {
			struct node *node = shard->buckets[b];

			for (; node; node = node->next) {
				if (!is_wanted(node, id))
					continue;
				if (n == cap) {
					cap = cap ? 2 * cap : 64;
					grown = reallocarray(list, cap,
							     sizeof(*list));
					if (!grown) {
						pthread_mutex_unlock(
							&shard->lock);
						free(list);
						return -ENOMEM;
					}
					list = grown;
				}
				list[n++] = node_id(node);
			}
		}
		pthread_mutex_unlock(&shard->lock);
	}
	*ids = list;
	*nr = n;
	return 0;
}

int node_list_stale(struct inode_table *table, uint32_t id, uint64_t **ids,
		    size_t *nr)
{
	return node_list(table, id, node_is_stale_in_use, ids, nr);
}

int node_list_files(struct inode_table *table, uint32_t id, uint64_t **ids,
		    size_t *nr)
{
	return node_list(table, id, node_is_file_of, ids, nr);
}

/* -- views ---------------------------------------------------------------- */

static bool is_paused_locked(struct inode_table *table, uint32_t id)
{
	for (size_t i = 0; i < table->nr_paused; i++)
		if (table->paused[i] == id)
			return true;
	return false;
}

int view_open(struct inode_table *table, struct dataset *ds, struct view **out)
{
	uint32_t id = dataset_id(ds);
	struct dataset_info info;
	struct view *view;
	uint64_t generation;
	int rc = 0;

	dataset_info(ds, &info);

	pthread_mutex_lock(&table->views_lock);
	while (is_paused_locked(table, id))
		pthread_cond_wait(&table->resumed, &table->views_lock);
	generation = dataset_generation(ds);
	for (view = table->views; view; view = view->next)
		if (view->id == id && view->generation == generation &&
		    !view->left)
			break;
	if (view) {
		atomic_fetch_add(&view->refs, 1);
	} else {
		view = calloc(1, sizeof(*view));
		if (view) {
			view->ds = ds;
			view->id = id;
			view->generation = generation;
			view->snapshot = info.snapshot;
			view->parent = info.parent;
			atomic_init(&view->refs, 1);
			view->next = table->views;
			table->views = view;
			ds = NULL;
		} else {
			rc = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&table->views_lock);
	if (ds)
		dataset_put(ds);
	*out = view;
	return rc;
}

void view_close(struct inode_table *table, struct view *view)
{
	uint64_t refs = atomic_load(&view->refs);
	struct view **at;

	while (refs > 1)
		if (atomic_compare_exchange_weak(&view->refs, &refs, refs - 1))
			return;
	pthread_mutex_lock(&table->views_lock);
	if (atomic_fetch_sub(&view->refs, 1) > 1) {
		pthread_mutex_unlock(&table->views_lock);
		return;
	}
	for (at = &table->views; *at != view; at = &(*at)->next)
		;
	*at = view->next;
	pthread_mutex_unlock(&table->views_lock);
	view_free(view);
}

struct view_slot *view_slot_take(struct inode_table *table)
{
	unsigned n = atomic_fetch_add(&table->nr_slots, 1);

	if (n >= VIEW_SLOTS_MAX) {
		atomic_fetch_sub(&table->nr_slots, 1);
		return NULL;
	}
	return &table->slots[n];
}

void view_wait_resumed(struct inode_table *table, struct view *view)
{
	pthread_mutex_lock(&table->views_lock);
	while (atomic_load(&view->state) == VIEW_PAUSED)
		pthread_cond_wait(&table->resumed, &table->views_lock);
	pthread_mutex_unlock(&table->views_lock);
}

int view_enter_both(struct inode_table *table, struct view_slot *slot,
		    struct view *a, struct view *b)
{
	unsigned state;
	int rc;

	for (;;) {
		rc = view_enter(table, slot, a);
		if (rc || a == b)
			return rc;
		atomic_store(&slot->in[1], b);
		state = atomic_load(&b->state);
		if (state == VIEW_OPEN)
			return 0;
		view_leave(slot);
		if (state == VIEW_STALE)
			return -ESTALE;
		view_wait_resumed(table, b);
	}
}

static bool anybody_inside(struct inode_table *table, uint32_t id)
{
	unsigned nr = atomic_load(&table->nr_slots);
	struct view *view;

	/* views_lock is held: a view on the list cannot be freed meanwhile */
	for (unsigned i = 0; i < nr && i < VIEW_SLOTS_MAX; i++) {
		for (int k = 0; k < 2; k++) {
			view = atomic_load(&table->slots[i].in[k]);
			for (struct view *v = table->views; view && v;
			     v = v->next)
				if (v == view && v->id == id)
					return true;
		}
	}
	return false;
}

void view_pause(struct inode_table *table, uint32_t id)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000};
	struct view *view;

	pthread_mutex_lock(&table->views_lock);
	while (is_paused_locked(table, id))
		pthread_cond_wait(&table->resumed, &table->views_lock);
	if (table->nr_paused == table->cap_paused) {
		size_t cap = table->cap_paused ? 2 * table->cap_paused : 16;
		uint32_t *grown =
			reallocarray(table->paused, cap, sizeof(*grown));

		dbs_assert(grown);
		table->paused = grown;
		table->cap_paused = cap;
	}
	table->paused[table->nr_paused++] = id;
	for (view = table->views; view; view = view->next)
		if (view->id == id && atomic_load(&view->state) == VIEW_OPEN)
			atomic_store(&view->state, VIEW_PAUSED);
	while (anybody_inside(table, id)) {
		pthread_mutex_unlock(&table->views_lock);
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&table->views_lock);
	}
	pthread_mutex_unlock(&table->views_lock);
}

void view_resume(struct inode_table *table, uint32_t id, bool stale)
{
	struct view *view;

	pthread_mutex_lock(&table->views_lock);
	for (view = table->views; view; view = view->next) {
		if (view->id == id && atomic_load(&view->state) == VIEW_PAUSED)
			atomic_store(&view->state,
				     stale ? VIEW_STALE : VIEW_OPEN);
		if (stale && view->parent == id)
			view->left = true;
	}
	for (size_t i = 0; i < table->nr_paused; i++)
		if (table->paused[i] == id) {
			table->paused[i] = table->paused[--table->nr_paused];
			break;
		}
	pthread_cond_broadcast(&table->resumed);
	pthread_mutex_unlock(&table->views_lock);
}

void view_mark_stale(struct inode_table *table, uint32_t id)
{
	struct view *view;

	pthread_mutex_lock(&table->views_lock);
	for (view = table->views; view; view = view->next)
		if (view->id == id)
			atomic_store(&view->state, VIEW_STALE);
	pthread_cond_broadcast(&table->resumed);
	pthread_mutex_unlock(&table->views_lock);
}
