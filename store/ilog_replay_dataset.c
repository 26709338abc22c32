/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replay of what was done to datasets: the call is made again, with the ids,
 * times and numbers that the log record says.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/ilog_replay_internal.h"

#define USER_KEY_MAX   200u
#define USER_VALUE_MAX 1000u

/* What a call is not refused for when the log fits the pool. */
static int outcome(struct pool *pool, const char *what, uint32_t id, int rc)
{
	switch (rc) {
	case 0:
	case -EIO:
	case -EBADMSG:
	case -ENOMEM:
	case -ENOSPC:
		return rc;
	default:
		if (pool_failed(pool))
			return txg_error(pool);
		return ilog_mismatch(pool, what, id);
	}
}

static struct timespec time_load(const struct timespec_item *t)
{
	return (struct timespec){
		.tv_sec = (time_t)(int64_t)le64_get(t->sec),
		.tv_nsec = (long)le32_get(t->nsec),
	};
}

/* The next call happens at @time; it ends txg @sealed. */
static void set_moment(struct pool *pool, const struct timespec_item *time,
		       uint64_t sealed)
{
	struct txg_state *t = &pool->txg;

	pool->replay.now = time_load(time);
	pool->replay.sealed = sealed;
	/* the number it really ends must not be lower: births go up to it */
	if (__atomic_load_n(&t->open_txg, __ATOMIC_ACQUIRE) < sealed)
		__atomic_store_n(&t->open_txg, sealed, __ATOMIC_RELEASE);
}

/* The next dataset or snapshot gets @id. */
static int set_next_id(struct pool *pool, struct le32 id)
{
	if (le32_get(id) < pool->next_dataset)
		return ilog_mismatch(pool, "an id is used twice", le32_get(id));
	pool->next_dataset = le32_get(id);
	return 0;
}

static int find(struct pool *pool, struct le32 id, struct dataset **ds)
{
	int rc = dataset_open_id(pool, le32_get(id), ds);

	return rc ? ilog_mismatch(pool, "no such dataset", le32_get(id)) : 0;
}

/* The name behind a part. */
static void name_of(const struct ilog_part *part,
		    char name[DATASET_NAME_MAX + 1])
{
	memcpy(name, part->more, part->more_len);
	name[part->more_len] = '\0';
}

static struct dataset_properties
properties_load(const struct ilog_properties *p)
{
	return (struct dataset_properties){
		.recordsize = UINT32_C(1) << p->record_shift,
		.compression = (int32_t)le32_get(p->compression),
		.quota = le64_get(p->quota),
		.readonly = p->readonly,
	};
}

/* ---- snapshots, which come together ---------------------------------------- */

/* Those of one moment, all with one name. */
struct moment {
	struct dataset **ds;
	size_t nr, cap;
	const struct ilog_snapshot *first;
	char name[DATASET_NAME_MAX + 1];
};

static int moment_add(struct pool *pool, struct moment *m,
		      const struct ilog_part *part)
{
	const struct ilog_snapshot *s = part->at;
	char name[DATASET_NAME_MAX + 1];
	int rc;

	name_of(part, name);
	if (m->nr == 0) {
		m->first = s;
		strcpy(m->name, name);
	} else if (strcmp(name, m->name) != 0 ||
		   le32_get(s->id) != le32_get(m->first->id) + m->nr ||
		   le40_get(s->sealed) != le40_get(m->first->sealed) ||
		   s->automatic || m->first->automatic ||
		   le32_get(s->dataset) <= dataset_id(m->ds[m->nr - 1])) {
		return ilog_mismatch(pool, "snapshots of several moments",
				     le32_get(s->id));
	}
	if (m->nr == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 8;
		struct dataset **p = reallocarray(m->ds, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		m->ds = p;
		m->cap = cap;
	}
	rc = find(pool, s->dataset, &m->ds[m->nr]);
	if (rc == 0)
		m->nr++;
	return rc;
}

static int moment_replay(struct pool *pool, struct moment *m)
{
	const struct ilog_snapshot *s = m->first;
	uint32_t id;
	int rc = set_next_id(pool, s->id);

	if (rc)
		return rc;
	set_moment(pool, &s->time, le40_get(s->sealed));
	if (m->nr == 1)
		rc = dataset_snapshot(m->ds[0], m->name, s->automatic, &id);
	else
		rc = dataset_snapshot_many(m->ds, m->nr, m->name);
	return outcome(pool, "snapshot", le32_get(s->id), rc);
}

static void moment_release(struct moment *m)
{
	for (size_t i = 0; i < m->nr; i++)
		dataset_put(m->ds[i]);
	free(m->ds);
}

/* ---- the others ------------------------------------------------------------ */

static int replay_create(struct pool *pool, const struct ilog_part *part,
			 uint64_t txg)
{
	const struct ilog_create *c = part->at;
	struct dataset_properties p = properties_load(&c->properties);
	char name[DATASET_NAME_MAX + 1];
	int rc = set_next_id(pool, c->id);

	if (rc)
		return rc;
	name_of(part, name);
	set_moment(pool, &c->time, txg);
	rc = dataset_create(pool, name, &p, NULL);
	return outcome(pool, "create", le32_get(c->id), rc);
}

static int replay_clone(struct pool *pool, const struct ilog_part *part)
{
	const struct ilog_clone *c = part->at;
	char name[DATASET_NAME_MAX + 1];
	struct dataset *source;
	int rc = set_next_id(pool, c->id);

	if (rc == 0)
		rc = find(pool, c->source, &source);
	if (rc)
		return rc;
	name_of(part, name);
	set_moment(pool, &c->time, le40_get(c->sealed));
	rc = dataset_clone(source, name, NULL);
	dataset_put(source);
	return outcome(pool, "clone", le32_get(c->id), rc);
}

static int replay_restore(struct pool *pool, const struct ilog_part *part)
{
	const struct ilog_restore *x = part->at;
	bool keep = le32_get(x->keep) != 0;
	char name[DATASET_NAME_MAX + 1];
	struct dataset *ds, *snap;
	int rc = keep ? set_next_id(pool, x->keep) : 0;

	if (rc == 0)
		rc = find(pool, x->dataset, &ds);
	if (rc)
		return rc;
	rc = find(pool, x->snapshot, &snap);
	if (rc == 0) {
		name_of(part, name);
		set_moment(pool, &x->time, le40_get(x->sealed));
		rc = dataset_restore(ds, snap, keep ? name : NULL,
				     RESTORE_FORCE);
		rc = outcome(pool, "restore", le32_get(x->dataset), rc);
		dataset_put(snap);
	}
	dataset_put(ds);
	return rc;
}

static int replay_destroy(struct pool *pool, const struct ilog_part *part)
{
	const struct ilog_destroy *d = part->at;
	struct dataset *ds;
	int rc = find(pool, d->id, &ds);

	if (rc)
		return rc;
	rc = dataset_destroy(
		ds, DESTROY_FORCE | (d->snapshots ? DESTROY_SNAPSHOTS : 0));
	dataset_put(ds);
	return outcome(pool, "destroy", le32_get(d->id), rc);
}

static int replay_rename(struct pool *pool, const struct ilog_part *part)
{
	const struct ilog_rename *x = part->at;
	char name[DATASET_NAME_MAX + 1];
	struct dataset *ds;
	int rc = find(pool, x->id, &ds);

	if (rc)
		return rc;
	name_of(part, name);
	rc = dataset_rename(ds, name);
	dataset_put(ds);
	return outcome(pool, "rename", le32_get(x->id), rc);
}

static int replay_set(struct pool *pool, const struct ilog_part *part)
{
	const struct ilog_set *s = part->at;
	struct dataset_properties p = properties_load(&s->properties);
	struct dataset *ds;
	int rc = find(pool, s->id, &ds);

	if (rc)
		return rc;
	rc = dataset_set_properties(ds, &p);
	dataset_put(ds);
	return outcome(pool, "set", le32_get(s->id), rc);
}

static int replay_user(struct pool *pool, const struct ilog_part *part)
{
	const struct ilog_user *u = part->at;
	uint32_t key_len = le16_get(u->key_len);
	uint32_t value_len = part->more_len - key_len;
	char key[USER_KEY_MAX + 1], value[USER_VALUE_MAX + 1];
	struct dataset *ds;
	int rc = find(pool, u->id, &ds);

	if (rc)
		return rc;
	memcpy(key, part->more, key_len);
	key[key_len] = '\0';
	memcpy(value, part->more + key_len, value_len);
	value[value_len] = '\0';
	if (le32_get(u->value_len) == ILOG_USER_UNSET)
		rc = dataset_unset_user(ds, key);
	else
		rc = dataset_set_user(ds, key, value);
	dataset_put(ds);
	return outcome(pool, "user property", le32_get(u->id), rc);
}

static int replay_part(struct pool *pool, const struct ilog_part *part,
		       uint64_t txg)
{
	switch (part->kind) {
	case ILOG_CREATE:
		return replay_create(pool, part, txg);
	case ILOG_CLONE:
		return replay_clone(pool, part);
	case ILOG_RESTORE:
		return replay_restore(pool, part);
	case ILOG_DESTROY:
		return replay_destroy(pool, part);
	case ILOG_RENAME:
		return replay_rename(pool, part);
	case ILOG_SET:
		return replay_set(pool, part);
	case ILOG_USER:
		return replay_user(pool, part);
	default:
		return -EUCLEAN;
	}
}

int ilog_replay_datasets(struct pool *pool, const struct ilog_stored *r)
{
	const uint8_t *p = r->parts;
	struct moment m = {.nr = 0};
	struct ilog_part part;
	int rc = 0;

	while (rc == 0 && p < r->end) {
		rc = ilog_part_next(&p, r->end, &part);
		if (rc || ilog_part_is_file(&part))
			continue;
		if (part.kind == ILOG_SNAPSHOT)
			rc = moment_add(pool, &m, &part);
		else
			rc = replay_part(pool, &part, r->txg);
	}
	if (rc == 0 && m.nr > 0)
		rc = moment_replay(pool, &m);
	moment_release(&m);
	return rc;
}
