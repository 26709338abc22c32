/* SPDX-License-Identifier: Apache-2.0 */
/*
 * User properties: items beside the dataset's in the root tree, by a hash of
 * the key; keys with one hash are told apart by a collision number.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/dataset_table.h"
#include "store/namehash.h"
#include "store/util.h"

#define KEY_MAX	  200u
#define VALUE_MAX 1000u

struct user_arg {
	struct dataset *ds;
	const char *name, *value; /* value NULL: unset */
};

static uint64_t offset_of(const struct pool *pool, const char *name)
{
	return namehash_dirent(pool->hash_seed, name, strlen(name))
	       << NAMEHASH_DIRENT_SHIFT;
}

static bool is_item(const struct btree_cursor *cur, const char *name)
{
	const struct property_item *p =
		(const struct property_item *)cur->value;

	return cur->len >= sizeof(*p) && le16_get(p->key_len) == strlen(name) &&
	       cur->len >= sizeof(*p) + le16_get(p->key_len) &&
	       memcmp(p + 1, name, strlen(name)) == 0;
}

/*
 * The key of @name's item: 0 found, -ENOENT @key is where it can go,
 * -ENOSPC no place.
 */
static int find(struct op *op, struct user_arg *a, struct key *key)
{
	struct btree *tree = &op->pool->root_tree;
	uint64_t first = offset_of(op->pool, a->name), hole = first;
	struct btree_cursor cur;
	int rc;

	*key = key_of(a->ds->id, ITEM_PROPERTY, first);
	while ((rc = btree_seek(op, tree, key, &cur)) == 0) {
		bool same = cur.key.ino == a->ds->id &&
			    cur.key.type == ITEM_PROPERTY &&
			    cur.key.offset >> 8 == first >> 8;
		bool found = same && is_item(&cur, a->name);

		*key = cur.key;
		btree_release(op, &cur);
		if (found)
			return 0;
		if (!same)
			break;
		if (key->offset == hole)
			hole++;
		*key = key_next(key);
	}
	if (rc && rc != -ENOENT)
		return rc;
	*key = key_of(a->ds->id, ITEM_PROPERTY, hole);
	return hole >> 8 == first >> 8 ? -ENOENT : -ENOSPC;
}

static int user_body(struct op *op, void *arg)
{
	uint8_t buf[sizeof(struct property_item) + KEY_MAX + VALUE_MAX];
	struct property_item *p = (struct property_item *)buf;
	struct user_arg *a = arg;
	size_t key_len = strlen(a->name);
	size_t len = a->value ? strlen(a->value) : 0;
	struct key key;
	int rc;

	if (dataset_generation(a->ds) == UINT64_MAX)
		return -ESTALE;
	rc = find(op, a, &key);
	if (rc == -ENOENT && !a->value)
		return -ENODATA;
	if (rc && rc != -ENOENT)
		return rc;
	rc = btree_touch(op, &op->pool->root_tree, &key);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	p->key_len = le16_of((uint16_t)key_len);
	p->value_len = le16_of((uint16_t)len);
	memcpy(p + 1, a->name, key_len);
	if (a->value) {
		memcpy(buf + sizeof(*p) + key_len, a->value, len);
		btree_put(op, &op->pool->root_tree, &key, buf,
			  sizeof(*p) + key_len + len);
	} else {
		btree_del(op, &op->pool->root_tree, &key);
	}
	ilog_user(op, a->ds, a->name, a->value);
	return 0;
}

int dataset_set_user(struct dataset *ds, const char *key, const char *value)
{
	struct user_arg a = {.ds = ds, .name = key, .value = value};

	if (!*key || strlen(key) > KEY_MAX || strlen(value) > VALUE_MAX)
		return -EINVAL;
	return dataset_change_root(ds->pool, 1, 0, user_body, &a);
}

int dataset_unset_user(struct dataset *ds, const char *key)
{
	struct user_arg a = {.ds = ds, .name = key};

	if (!*key || strlen(key) > KEY_MAX)
		return -ENODATA;
	return dataset_change_root(ds->pool, 1, OP_USE_RESERVE, user_body, &a);
}

/* One item after @key, copied out; names and the txg held meanwhile. */
static int next_item(struct dataset *ds, struct key *key, char *name,
		     char *value)
{
	struct pool *pool = ds->pool;
	const struct property_item *p;
	struct btree_cursor cur;
	struct op op;
	int rc = op_begin(&op, pool, 0, OP_READ);

	if (rc)
		return rc;
	do {
		os_mutex_lock(&pool->names);
		op_enter(&op);
		rc = btree_seek(&op, &pool->root_tree, key, &cur);
		if (rc == 0 &&
		    (cur.key.ino != ds->id || cur.key.type != ITEM_PROPERTY)) {
			btree_release(&op, &cur);
			rc = -ENOENT;
		}
		if (rc == 0) {
			size_t key_len, len;

			p = (const struct property_item *)cur.value;
			key_len = cur.len >= sizeof(*p) ? le16_get(p->key_len)
							: UINT16_MAX;
			len = cur.len >= sizeof(*p) ? le16_get(p->value_len)
						    : 0;
			if (key_len > KEY_MAX || len > VALUE_MAX ||
			    cur.len != sizeof(*p) + key_len + len) {
				rc = -EUCLEAN;
			} else {
				memcpy(name, p + 1, key_len);
				name[key_len] = '\0';
				memcpy(value, (const char *)(p + 1) + key_len,
				       len);
				value[len] = '\0';
				*key = key_next(&cur.key);
			}
			btree_release(&op, &cur);
		}
		op_leave(&op);
		os_mutex_unlock(&pool->names);
		rc = op_retry(&op, rc);
	} while (rc == -EAGAIN);
	op_end(&op);
	return rc;
}

int dataset_each_user(struct dataset *ds,
		      void (*fn)(void *arg, const char *key, const char *value),
		      void *arg)
{
	struct key key = key_of(ds->id, ITEM_PROPERTY, 0);
	char name[KEY_MAX + 1], value[VALUE_MAX + 1];
	int rc;

	while ((rc = next_item(ds, &key, name, value)) == 0)
		fn(arg, name, value);
	return rc == -ENOENT ? 0 : rc;
}
