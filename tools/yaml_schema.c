/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_schema.c - a YAML file as a struct, by a schema of libcyaml
 *
 * The schema is walked twice: here beside the tree, which knows every line, and
 * by libcyaml, which fills the struct and then has nothing left to refuse.
 */
#include "tools/yaml_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cyaml/cyaml.h>

#include "store/store.h"

struct checker {
	const struct yaml_file *file;
	struct yaml_error *error;
};

/* "a, b, c", cut where it gets long. */
struct words {
	char text[400];
	size_t len;
};

static void words_add(struct words *w, const char *word)
{
	const size_t room = sizeof(w->text) - w->len;
	const int n = snprintf(w->text + w->len, room, "%s%s",
			       w->len ? ", " : "", word);

	if ((size_t)n < room)
		w->len += (size_t)n;
	else
		w->text[w->len] = '\0';
}

/* How a value is called in a message. */
static const char *name_of(const struct yaml_item *item)
{
	return item->key ? item->key : "entry";
}

static int check(struct checker *c, const struct yaml_item *item,
		 const struct cyaml_schema_value *schema);

/* ---- texts ----------------------------------------------------------------------- */

static int check_integer(struct checker *c, const struct yaml_item *item,
			 const struct cyaml_schema_value *schema)
{
	const unsigned bits = 8 * schema->data_size;
	const bool is_signed = schema->type == CYAML_INT;
	const uint64_t max = UINT64_MAX >> (64 - bits + (is_signed ? 1u : 0u));
	const char *text = item->text;
	const bool negative = is_signed && *text == '-';
	char *end;
	uint64_t v;

	text += negative;
	errno = 0;
	v = strtoull(text, &end, 0);
	if (*text < '0' || *text > '9' || *end || errno ||
	    v > max + (negative ? 1u : 0u))
		return yaml_refuse(c->file, item, c->error,
				   "'%s' is '%s' (a whole number from %s%llu "
				   "to %llu)",
				   name_of(item), item->text,
				   is_signed ? "-" : "",
				   is_signed ? (unsigned long long)max + 1 : 0,
				   (unsigned long long)max);
	return 0;
}

static int check_float(struct checker *c, const struct yaml_item *item)
{
	char *end;
	const double v = strtod(item->text, &end);

	if (!*item->text || *end || !isfinite(v))
		return yaml_refuse(c->file, item, c->error,
				   "'%s' is '%s' (a number)", name_of(item),
				   item->text);
	return 0;
}

static int check_enum(struct checker *c, const struct yaml_item *item,
		      const struct cyaml_schema_value *schema)
{
	struct words words = {.len = 0};

	for (uint32_t i = 0; i < schema->enumeration.count; i++) {
		const char *word = schema->enumeration.strings[i].str;

		if (!strcmp(word, item->text))
			return 0;
		words_add(&words, word);
	}
	return yaml_refuse(c->file, item, c->error, "'%s' is '%s' (%s)",
			   name_of(item), item->text, words.text);
}

static int check_string(struct checker *c, const struct yaml_item *item,
			const struct cyaml_schema_value *schema)
{
	const size_t len = strlen(item->text);

	if (len < schema->string.min)
		return yaml_refuse(c->file, item, c->error,
				   "'%s' is too short (at least %u bytes)",
				   name_of(item), schema->string.min);
	if (len > schema->string.max)
		return yaml_refuse(c->file, item, c->error,
				   "'%s' is too long (at most %u bytes)",
				   name_of(item), schema->string.max);
	return 0;
}

static int check_scalar(struct checker *c, const struct yaml_item *item,
			const struct cyaml_schema_value *schema)
{
	bool value;

	if (item->kind != YAML_TEXT)
		return yaml_refuse(c->file, item, c->error,
				   "'%s' is %s (a text or number)",
				   name_of(item), yaml_kind_name(item->kind));
	switch (schema->type) {
	case CYAML_INT:
	case CYAML_UINT:
		return check_integer(c, item, schema);
	case CYAML_FLOAT:
		return check_float(c, item);
	case CYAML_ENUM:
		return check_enum(c, item, schema);
	case CYAML_BOOL:
		if (!yaml_bool(item, &value))
			return 0;
		return yaml_refuse(c->file, item, c->error,
				   "'%s' is '%s' (true, false)", name_of(item),
				   item->text);
	default:
		return check_string(c, item, schema);
	}
}

/* ---- lists and mappings --------------------------------------------------------------- */

static int check_list(struct checker *c, const struct yaml_item *item,
		      const struct cyaml_schema_value *schema)
{
	int err = 0;

	if (item->kind != YAML_LIST)
		return yaml_refuse(c->file, item, c->error,
				   "'%s' is %s (a list)", name_of(item),
				   yaml_kind_name(item->kind));
	if (item->nr < schema->sequence.min)
		return yaml_refuse(c->file, item, c->error,
				   "'%s' has %zu entries (at least %u)",
				   name_of(item), item->nr,
				   schema->sequence.min);
	if (item->nr > schema->sequence.max)
		return yaml_refuse(c->file, item, c->error,
				   "'%s' has %zu entries (at most %u)",
				   name_of(item), item->nr,
				   schema->sequence.max);
	for (size_t i = 0; i < item->nr && !err; i++)
		err = check(c, &item->items[i], schema->sequence.entry);
	return err;
}

static const struct cyaml_schema_field *
field_of(const struct cyaml_schema_value *schema, const char *key)
{
	const struct cyaml_schema_field *f = schema->mapping.fields;

	for (; f->key; f++)
		if (!strcmp(f->key, key))
			return f;
	return NULL;
}

static int refuse_key(struct checker *c, const struct yaml_item *member,
		      const struct cyaml_schema_value *schema)
{
	const struct cyaml_schema_field *f = schema->mapping.fields;
	struct words words = {.len = 0};

	for (; f->key; f++)
		words_add(&words, f->key);
	return yaml_refuse(c->file, member, c->error,
			   "'%s' is not known here (%s)", member->key,
			   words.text);
}

static int check_map(struct checker *c, const struct yaml_item *item,
		     const struct cyaml_schema_value *schema)
{
	const struct cyaml_schema_field *f;
	int err = 0;

	if (item->kind != YAML_MAP)
		return yaml_refuse(c->file, item, c->error,
				   "%s is %s (a mapping)",
				   item->key ? item->key : "this",
				   yaml_kind_name(item->kind));
	for (size_t i = 0; i < item->nr && !err; i++) {
		f = field_of(schema, item->items[i].key);
		err = f ? check(c, &item->items[i], &f->value)
			: refuse_key(c, &item->items[i], schema);
	}
	for (f = schema->mapping.fields; f->key && !err; f++)
		if (!(f->value.flags & CYAML_FLAG_OPTIONAL) &&
		    !yaml_get(item, f->key))
			err = yaml_refuse(c->file, item, c->error,
					  "'%s' is missing", f->key);
	return err;
}

static int check(struct checker *c, const struct yaml_item *item,
		 const struct cyaml_schema_value *schema)
{
	switch (schema->type) {
	case CYAML_MAPPING:
		return check_map(c, item, schema);
	case CYAML_SEQUENCE:
	case CYAML_SEQUENCE_FIXED:
		return check_list(c, item, schema);
	case CYAML_FLAGS:
	case CYAML_BITFIELD:
	case CYAML_IGNORE:
		util_assert_failed("no such type in a configuration", __FILE__,
				   __LINE__);
	default:
		return check_scalar(c, item, schema);
	}
}

/* ---- libcyaml ---------------------------------------------------------------------------- */

static const cyaml_config_t config = {
	.mem_fn = cyaml_mem,
	.flags = CYAML_CFG_NO_ALIAS,
	.log_level = CYAML_LOG_ERROR,
};

int yaml_load(const char *path, const struct cyaml_schema_value *schema,
	      void **data, struct yaml_error *error)
{
	struct checker c = {.error = error};
	struct yaml_file *file;
	cyaml_data_t *loaded = NULL;
	cyaml_err_t result;
	int err = yaml_open(path, &file, error);

	if (err)
		return err;
	c.file = file;
	err = check(&c, &file->root, schema);
	if (!err) {
		result =
			cyaml_load_data((const uint8_t *)file->bytes, file->len,
					&config, schema, &loaded, NULL);
		if (result == CYAML_ERR_OOM)
			err = -ENOMEM;
		if (result != CYAML_OK) {
			yaml_refuse(file, &file->root, error, "%s",
				    cyaml_strerror(result));
			err = err ? err : -EINVAL;
		}
	}
	yaml_close(file);
	if (!err)
		*data = loaded;
	return err;
}

void yaml_schema_free(const struct cyaml_schema_value *schema, void *data)
{
	if (data)
		cyaml_free(&config, schema, data, 0);
}
