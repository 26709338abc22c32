/* SPDX-License-Identifier: Apache-2.0 */
#include "store/op.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/mutate.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "store/util.h"

/* beyond a node per put: new roots and upper nodes that split */
#define SPLITS_EXTRA (NODE_LEVEL_MAX + 2)
/* a leaf's worth of references dropped one by one, and path notes */
#define NOTES_BASE 512u
/* what comes with a held node: its claim, its shadow, and what it is for */
#define NOTES_PER_NODE 4u

static int reserve_nodes(struct op *op, uint32_t nr)
{
	/*
	 * An op that holds a reservation and needs more does not wait: two
	 * such could wait for each other.  What it adds is little.
	 */
	bool at_once = (op->flags & OP_COMMITTER) || op->nr_reserved > 0;
	unsigned space = op->flags & OP_COMMITTER     ? SPACE_COMMITTER
			 : op->flags & OP_USE_RESERVE ? SPACE_USE_RESERVE
						      : 0;
	int rc;

	while (!node_cache_reserve(op->pool->nc, nr, at_once)) {
		rc = txg_wait_for_room(op->pool);
		if (rc)
			return rc;
	}
	rc = space_map_reserve_nodes(op->pool->sm, nr, space);
	/* what was freed a moment ago comes back with the commit */
	for (unsigned try = 0;
	     rc == -ENOSPC && try < 2 && !(op->flags & OP_COMMITTER);) {
		int more = op->flags & OP_HOLDER ? pool_commit_space(op->pool)
						 : pool_wait_space(op->pool);

		if (more < 0)
			break;
		try += !more;
		rc = space_map_reserve_nodes(op->pool->sm, nr, space);
	}
	if (rc)
		node_cache_unreserve(op->pool->nc, nr);
	else
		op->nr_reserved += nr;
	return rc;
}

/* Give back what was reserved and not used. */
static void unreserve_nodes(struct op *op)
{
	uint32_t left = op->nr_reserved - op->nr_used;

	if (left) {
		node_cache_unreserve(op->pool->nc, left);
		space_map_unreserve_nodes(op->pool->sm, left);
	}
	op->nr_reserved = op->nr_used = 0;
}

/* Write path 4 of 9; next: write_body(), under the locks */
int op_begin(struct op *op, struct pool *pool, uint32_t nr_puts, unsigned flags)
{
	int rc;

	memset(op, 0, sizeof(*op));
	op->pool = pool;
	op->flags = flags;
	if (flags & OP_READ)
		return 0;
	if (pool->read_only || pool_failed(pool))
		return -EROFS;
	op->nr_splits = nr_puts + SPLITS_EXTRA;
	op->nr_notes = NOTES_BASE + 4 * nr_puts;
	if (!(flags & OP_COMMITTER)) {
		rc = txg_throttle(pool);
		if (rc)
			return rc;
	}
	rc = txg_reserve_notes(pool, op->nr_notes);
	if (rc)
		return rc;
	rc = reserve_nodes(op, op->nr_splits + NODE_LEVEL_MAX);
	if (rc == 0 && !(flags & OP_COMMITTER)) {
		rc = ilog_record_new(op);
		if (rc)
			unreserve_nodes(op);
	}
	if (rc)
		txg_unreserve_notes(pool, op->nr_notes);
	return rc;
}

static void drop_touched(struct op *op)
{
	for (uint32_t i = 0; i < op->nr_touched; i++)
		node_cache_put(op->pool->nc, op->touched[i]);
	op->nr_touched = 0;
}

static void drop_pins(struct op *op)
{
	drop_touched(op);
	for (uint32_t i = 0; i < op->nr_pins; i++)
		node_cache_put(op->pool->nc, op->pins[i]);
	op->nr_pins = 0;
}

/* Room for one more in an array of held nodes. */
static int grow(struct node ***nodes, uint32_t nr, uint32_t *cap)
{
	struct node **p;

	if (nr < *cap)
		return 0;
	p = reallocarray(*nodes, MAX_OF(2 * *cap, 16u), sizeof(*p));
	if (!p)
		return -ENOMEM;
	*nodes = p;
	*cap = MAX_OF(2 * *cap, 16u);
	return 0;
}

int op_touch(struct op *op, struct node *n, bool owned)
{
	int rc;

	for (uint32_t i = op->nr_touched; i-- > 0;)
		if (op->touched[i] == n) {
			node_cache_put(op->pool->nc, n);
			return 0;
		}
	rc = grow(&op->touched, op->nr_touched, &op->cap_touched);
	if (rc) {
		node_cache_put(op->pool->nc, n);
		return rc;
	}
	op->touched[op->nr_touched++] = n;
	if (!owned)
		op->nr_shadows++;
	return 0;
}

void op_end(struct op *op)
{
	drop_pins(op);
	free(op->pins);
	free(op->touched);
	op->pins = op->touched = NULL;
	op->cap_pins = op->cap_touched = 0;
	if (op->flags & OP_READ)
		return;
	ilog_record_free(op);
	unreserve_nodes(op);
	txg_unreserve_notes(op->pool, op->nr_notes);
	op->nr_notes = 0;
}

void op_enter(struct op *op)
{
	struct txg_state *t = &op->pool->txg;

	drop_touched(op);
	os_rwlock_rdlock(&t->hold);
	op->group = t->open;
	op->sealed_txg = __atomic_load_n(&t->sealed_txg, __ATOMIC_ACQUIRE);
	op->txg = 0;
	op->nr_shadows = 0;
	op->ready = false;
	op->miss_blkno = 0;
}

void op_leave(struct op *op)
{
	ilog_record_end(op);
	os_rwlock_unlock(&op->pool->txg.hold);
	op->group = NULL;
	op->ready = false;
}

void op_stamp(struct op *op)
{
	if (!op->txg)
		op->txg = __atomic_load_n(&op->pool->txg.open_txg,
					  __ATOMIC_ACQUIRE);
}

int op_resolve(struct op *op)
{
	uint32_t need = op->nr_shadows + op->nr_splits;
	uint32_t have = op->nr_reserved - op->nr_used;
	struct node *n;
	int rc;

	drop_touched(op);
	op->nr_shadows = 0;
	if (op->miss_blkno) {
		rc = node_cache_load(op->pool->nc, op->miss_blkno, op->miss_txg,
				     op->miss_level, &n);
		if ((rc == -EBADMSG || rc == -EUCLEAN) &&
		    (op->bad_blkno != op->miss_blkno ||
		     op->bad_txg != op->miss_txg)) {
			/*
			 * It may have been replaced, and its block used again,
			 * after the locks were dropped: only what the tree
			 * still names then is damaged.
			 */
			op->bad_blkno = op->miss_blkno;
			op->bad_txg = op->miss_txg;
			op->miss_blkno = 0;
			return 0;
		}
		if (rc && op->miss_optional) {
			op->without = true;
			op->miss_blkno = 0;
			return 0;
		}
		if (rc) {
			pool_count_error(op->pool);
			log_error("node unreadable blkno=%llu txg=%llu "
				  "level=%u error=%d",
				  (unsigned long long)op->miss_blkno,
				  (unsigned long long)op->miss_txg,
				  op->miss_level, -rc);
			return rc == -EAGAIN ? -EIO : rc;
		}
		op->miss_blkno = 0;
		rc = grow(&op->pins, op->nr_pins, &op->cap_pins);
		if (rc) {
			node_cache_put(op->pool->nc, n);
			return rc;
		}
		op->pins[op->nr_pins++] = n;
		return 0;
	}
	if ((op->flags & OP_READ) || have >= need)
		return 0;
	/* a node more is some notes more */
	rc = txg_reserve_notes(op->pool, NOTES_PER_NODE * (need - have));
	if (rc)
		return rc;
	op->nr_notes += NOTES_PER_NODE * (need - have);
	return reserve_nodes(op, need - have);
}

int op_retry(struct op *op, int rc)
{
	if (rc == -EAGAIN) {
		rc = op_resolve(op);
		rc = rc ? rc : -EAGAIN;
	}
	if (rc == -ENOMEM && op->flags & OP_COMMITTER &&
	    os_wait_memory(&op->nr_waits))
		rc = -EAGAIN;
	return rc;
}

int op_ready(struct op *op)
{
	op_stamp(op);
	if (op->flags & OP_COMMITTER) {
		/* it holds no locks: make sure of a spare chunk */
		int rc = txg_reserve_notes(op->pool, NOTES_PER_CHUNK);

		if (rc)
			return rc;
		txg_unreserve_notes(op->pool, NOTES_PER_CHUNK);
	}
	if (op->nr_reserved - op->nr_used < op->nr_shadows + op->nr_splits)
		return -EAGAIN;
	op->ready = true;
	if (!(op->flags & OP_COMMITTER))
		ilog_record_begin(op);
	return 0;
}

void op_again(struct op *op)
{
	drop_pins(op);
	op->nr_shadows = 0;
	op->ready = false;
}

/* ---- notes -------------------------------------------------------------- */

static struct note_chunk *chunk_take(struct txg_state *t)
{
	struct note_chunk *c;

	os_mutex_lock(&t->note_lock);
	c = t->spare;
	dbs_assert(c);
	t->spare = c->next;
	t->nr_spare--;
	os_mutex_unlock(&t->note_lock);
	c->next = NULL;
	c->nr = 0;
	return c;
}

struct note *op_note(struct op *op, enum note_kind kind, uint64_t first,
		     uint32_t nr)
{
	struct txg_group *g = op->group;
	struct note_chunk *c;
	struct note *n;

	os_mutex_lock(&g->lock);
	c = g->last_chunk;
	if (!c || c->nr == NOTES_PER_CHUNK) {
		c = chunk_take(&op->pool->txg);
		if (g->last_chunk)
			g->last_chunk->next = c;
		else
			g->first_chunk = c;
		g->last_chunk = c;
	}
	n = &c->note[c->nr];
	*n = (struct note){.first = first, .nr = nr, .kind = (uint8_t)kind};
	c->nr++;
	g->nr_notes++;
	os_mutex_unlock(&g->lock);
	return n;
}

void op_claim(struct op *op, uint64_t first, uint32_t nr)
{
	dbs_assert(op->ready);
	op->claimed = first;
	op_note(op, NOTE_CLAIM, first, nr);
}

void op_ref(struct op *op, uint64_t first, uint32_t nr)
{
	dbs_assert(op->ready);
	op_note(op, NOTE_REF, first, nr);
}

void op_unref(struct op *op, uint64_t first, uint32_t nr)
{
	dbs_assert(op->ready);
	op_note(op, NOTE_UNREF, first, nr);
	if (mutated(MUTATE_REUSED_EARLY))
		mutate_free_early(op->pool->sm, first, nr);
}

/*
 * Only this group's committer reads the notes, and only after the group was
 * sealed, so filling a note in after op_note() is safe.
 */
void op_note_shadow(struct op *op, struct node *old)
{
	struct note *n = op_note(op, NOTE_SHADOW, old->blkno, 1);

	node_cache_hold_noted(op->pool->nc, old);
	n->node = old;
}

void op_note_drop(struct op *op, struct node *node)
{
	struct note *n = op_note(op, NOTE_DROP, node->blkno, 1);

	node_cache_hold_noted(op->pool->nc, node);
	n->node = node;
}

void op_note_kill(struct op *op, const struct tree_root *root)
{
	struct note *n;

	if (!root->blkno)
		return;
	n = op_note(op, NOTE_KILL, root->blkno, 1);
	n->txg = root->txg;
	n->level = root->level;
}

struct node *op_new_node(struct op *op, const struct btree *bt)
{
	struct txg_group *g = op->group;
	uint64_t blkno;
	struct node *n;

	dbs_assert(op->ready && op->nr_used < op->nr_reserved);
	op->nr_used++;
	blkno = space_map_take_node(op->pool->sm);
	n = node_cache_add(op->pool->nc, blkno, op->txg, bt->sticky);
	op_note(op, NOTE_CLAIM, blkno, 1);
	os_mutex_lock(&g->lock);
	list_add_tail(&g->dirty_nodes, &n->dirty_link);
	g->nr_dirty_nodes++;
	os_mutex_unlock(&g->lock);
	return n;
}

/* ---- reservations that outlive an op ------------------------------------ */

int op_hold(struct pool *pool, uint32_t nr_nodes, unsigned flags)
{
	struct op op = {.pool = pool, .flags = flags};
	int rc;

	if (pool->read_only || pool_failed(pool))
		return -EROFS;
	rc = txg_reserve_notes(pool, NOTES_PER_NODE * (uint64_t)nr_nodes);
	if (rc)
		return rc;
	rc = reserve_nodes(&op, nr_nodes);
	if (rc)
		txg_unreserve_notes(pool, NOTES_PER_NODE * (uint64_t)nr_nodes);
	return rc;
}

void op_unhold(struct pool *pool, uint32_t nr_nodes)
{
	node_cache_unreserve(pool->nc, nr_nodes);
	space_map_unreserve_nodes(pool->sm, nr_nodes);
	txg_unreserve_notes(pool, NOTES_PER_NODE * (uint64_t)nr_nodes);
}

void op_use_held(struct op *op, uint32_t nr_nodes)
{
	op->nr_reserved += nr_nodes;
	op->nr_notes += NOTES_PER_NODE * nr_nodes;
}

/* ---- on one dataset ----------------------------------------------------- */

int op_change(struct dataset *ds, uint32_t nr_puts, unsigned flags,
	      op_body_fn *body, void *arg)
{
	struct op op;
	int rc = op_begin(&op, ds->pool, nr_puts, flags);

	if (rc)
		return rc;
	do {
		op_enter(&op);
		os_rwlock_wrlock(&ds->lock);
		rc = dataset_may_change(ds);
		if (rc == -EROFS && flags & OP_SETTLE && !ds->snapshot)
			rc = 0;
		if (rc == 0)
			rc = body(&op, ds, arg);
		if (op.ready && rc == 0)
			dataset_mark_dirty(&op, ds);
		os_rwlock_unlock(&ds->lock);
		op_leave(&op);
		rc = op_retry(&op, rc);
	} while (rc == -EAGAIN);
	op_end(&op);
	return rc;
}

int op_read(struct dataset *ds, op_body_fn *body, void *arg)
{
	struct op op;
	int rc = op_begin(&op, ds->pool, 0, OP_READ);

	if (rc)
		return rc;
	do {
		op.miss_blkno = 0;
		os_rwlock_rdlock(&ds->lock);
		rc = __atomic_load_n(&ds->generation, __ATOMIC_ACQUIRE) ==
				     UINT64_MAX
			     ? -ESTALE
			     : body(&op, ds, arg);
		os_rwlock_unlock(&ds->lock);
		rc = op_retry(&op, rc);
	} while (rc == -EAGAIN);
	op_end(&op);
	return rc;
}
