/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask_json.c - masks what is at some paths of a JSON document
 *
 * A path is "$" and steps: ".key", ".\"any key\"", ".*", "[3]", "[*]".  An
 * object or array at its end is masked in all its leaves.
 */
#include "tools/import/mask_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "store/store.h"

#define STEPS_MAX 32u
#define FLAGS_IN  (JSON_DECODE_ANY | JSON_ALLOW_NUL)
#define FLAGS_OUT (JSON_ENCODE_ANY | JSON_REAL_PRECISION(17))

/* ---- paths ----------------------------------------------------------------------- */

void json_path_release(struct mask_path *path)
{
	for (size_t i = 0; i < path->nr_steps; i++)
		free(path->steps[i].key);
	free(path->steps);
	free(path->text);
	mask_free(path->mask);
}

/* One step at @p; NULL: there is none. */
static const char *step_parse(const char *p, struct mask_step *step)
{
	const char *end, *key;
	char *number_end;

	if (!strncmp(p, ".*", 2)) {
		step->kind = STEP_ANY_KEY;
		return p + 2;
	}
	if (!strncmp(p, "[*]", 3)) {
		step->kind = STEP_ANY_INDEX;
		return p + 3;
	}
	if (*p == '[' && p[1] >= '0' && p[1] <= '9') {
		step->kind = STEP_INDEX;
		step->index = strtoul(p + 1, &number_end, 10);
		return *number_end == ']' ? number_end + 1 : NULL;
	}
	if (*p != '.')
		return NULL;
	key = p[1] == '"' ? p + 2 : p + 1;
	end = key + strcspn(key, p[1] == '"' ? "\"" : ".[\"");
	if (end == key || (p[1] == '"' && !*end))
		return NULL;
	step->kind = STEP_KEY;
	step->key = strndup(key, (size_t)(end - key));
	return p[1] == '"' ? end + 1 : end;
}

int json_path_parse(struct mask_path *path, char *why, size_t why_size)
{
	const char *p = path->text;

	path->steps = calloc(STEPS_MAX, sizeof(*path->steps));
	if (!path->steps)
		return -ENOMEM;
	p = *p == '$' ? p + 1 : NULL;
	while (p && *p && path->nr_steps < STEPS_MAX) {
		struct mask_step *step = &path->steps[path->nr_steps];

		p = step_parse(p, step);
		if (p && step->kind == STEP_KEY && !step->key)
			return -ENOMEM;
		if (p)
			path->nr_steps++;
	}
	if (p && !*p)
		return 0;
	snprintf(why, why_size,
		 "'%s' is not a path in JSON (such as $.user.emails[*])",
		 path->text);
	return -EINVAL;
}

/* ---- values ------------------------------------------------------------------------ */

struct job {
	const struct mask *mask; /* of the path that is at work */
	struct mask_column column;
	struct mask_buf *inner;
};

static json_t *masked_string(const struct mask_buf *buf)
{
	return json_stringn(buf->bytes, buf->len);
}

/* A number if it still is one, for readers that expect it. */
static json_t *masked_number(const struct mask_buf *buf)
{
	json_t *value = json_loadb(buf->bytes, buf->len, FLAGS_IN, NULL);

	if (value && json_is_number(value))
		return value;
	json_decref(value);
	return masked_string(buf);
}

static int mask_leaf(struct job *job, const json_t *leaf, json_t **result)
{
	struct mask_value in = {.kind = VALUE_STRING};
	char *number = NULL;
	int err;

	if (json_is_string(leaf)) {
		in.bytes = json_string_value(leaf);
		in.len = json_string_length(leaf);
	} else {
		number = json_dumps(leaf, FLAGS_OUT);
		if (!number)
			return -ENOMEM;
		in.bytes = number;
		in.len = strlen(number);
	}
	err = mask_apply(job->mask, &job->column, &in, job->inner);
	free(number);
	if (err)
		return err;
	if (job->inner->kind == VALUE_NULL)
		*result = json_null();
	else if (json_is_string(leaf))
		*result = masked_string(job->inner);
	else
		*result = masked_number(job->inner);
	return *result ? 0 : -ENOMEM;
}

/* @result: what stands for @value; the same where it was changed in place. */
static int mask_value_of(struct job *job, json_t *value, json_t **result)
{
	const bool whole =
		job->mask->kind == MASK_NULL || job->mask->kind == MASK_FIXED;
	json_t *item, *masked;
	const char *key;
	void *next;
	size_t i;
	int err = 0;

	*result = json_incref(value);
	if (json_is_null(value) || (json_is_boolean(value) && !whole))
		return 0;
	if (whole || !(json_is_object(value) || json_is_array(value))) {
		json_decref(value);
		return mask_leaf(job, value, result);
	}
	json_object_foreach_safe(value, next, key, item)
	{
		if (!err)
			err = mask_value_of(job, item, &masked);
		if (!err)
			json_object_set_new_nocheck(value, key, masked);
	}
	for (i = 0; i < json_array_size(value) && !err; i++) {
		err = mask_value_of(job, json_array_get(value, i), &masked);
		if (!err)
			json_array_set_new(value, i, masked);
	}
	if (err)
		json_decref(value);
	return err;
}

static int walk(struct job *job, const struct mask_step *step, size_t nr,
		json_t *value, json_t **result);

static int walk_object(struct job *job, const struct mask_step *step, size_t nr,
		       json_t *object)
{
	const char *key;
	json_t *item, *masked;
	void *next;
	int err = 0;

	json_object_foreach_safe(object, next, key, item)
	{
		if (err || (step->kind == STEP_KEY && strcmp(step->key, key)) ||
		    (step->kind != STEP_KEY && step->kind != STEP_ANY_KEY))
			continue;
		err = walk(job, step + 1, nr - 1, item, &masked);
		if (!err)
			json_object_set_new_nocheck(object, key, masked);
	}
	return err;
}

static int walk_array(struct job *job, const struct mask_step *step, size_t nr,
		      json_t *array)
{
	json_t *masked;
	int err = 0;

	for (size_t i = 0; i < json_array_size(array) && !err; i++) {
		if (step->kind != STEP_ANY_INDEX &&
		    (step->kind != STEP_INDEX || step->index != i))
			continue;
		err = walk(job, step + 1, nr - 1, json_array_get(array, i),
			   &masked);
		if (!err)
			json_array_set_new(array, i, masked);
	}
	return err;
}

static int walk(struct job *job, const struct mask_step *step, size_t nr,
		json_t *value, json_t **result)
{
	int err = 0;

	if (!nr)
		return mask_value_of(job, value, result);
	if (json_is_object(value))
		err = walk_object(job, step, nr, value);
	else if (json_is_array(value))
		err = walk_array(job, step, nr, value);
	*result = err ? NULL : json_incref(value);
	return err;
}

static int put_json(const json_t *doc, struct mask_buf *out)
{
	const size_t len = json_dumpb(doc, NULL, 0, FLAGS_OUT);
	int err = len ? buf_reserve(out, len) : -ENOMEM;

	if (err)
		return err;
	out->len = json_dumpb(doc, out->bytes, len, FLAGS_OUT);
	return out->len == len ? 0 : -ENOMEM;
}

int json_mask(const struct mask *mask, const struct mask_column *column,
	      const struct mask_value *in, struct mask_buf *out)
{
	struct job job = {
		.inner = ctx_inner(out->ctx),
		.column = {.class = CLASS_TEXT, .nullable = true},
	};
	json_t *doc = json_loadb(in->bytes, in->len, FLAGS_IN, NULL), *masked;
	int err = 0;

	(void)column;
	if (!doc)
		return -EBADMSG;
	for (size_t i = 0; i < mask->nr_paths && !err; i++) {
		job.mask = mask->paths[i].mask;
		err = walk(&job, mask->paths[i].steps, mask->paths[i].nr_steps,
			   doc, &masked);
		if (err)
			break;
		json_decref(doc);
		doc = masked;
	}
	if (!err)
		err = put_json(doc, out);
	out->kind = in->kind;
	json_decref(doc);
	return err;
}
