/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml.h - YAML files: a tree with line numbers, or a struct by a schema
 *
 * Below: libyaml, libcyaml.  Above: rules.c, what reads /etc/dbs/dbs.yaml.
 * Files: yaml.c (the tree), yaml_schema.c (checks the tree by libcyaml's schema,
 * then lets libcyaml fill the struct).  Why libcyaml's own messages are not
 * used: docs/decisions/0093-yaml.md.
 *
 * Invariants:
 *  Y1  what is refused is refused with one sentence, "FILE:LINE: what (what is
 *      allowed)", of printable text whatever is in the file.
 *  Y2  no mapping has a key twice; no key is anything but a plain text.
 *  Y3  one document, no anchors, aliases or tags, at most YAML_FILE_MAX bytes
 *      and YAML_DEPTH_MAX deep: what it makes is no larger than the file.
 */
#ifndef DBS_TOOLS_YAML_H
#define DBS_TOOLS_YAML_H

#include <stdbool.h>
#include <stddef.h>

#define YAML_FILE_MAX  (4u << 20)
#define YAML_DEPTH_MAX 32u

struct cyaml_schema_value;

struct yaml_error {
	char text[768];
};

enum yaml_kind {
	YAML_TEXT,
	YAML_LIST,
	YAML_MAP,
};

/* A value; a member of a map has its key in @key. */
struct yaml_item {
	enum yaml_kind kind;
	unsigned line;	   /* from 1; of the key, for a member of a map */
	unsigned key_line; /* the same, or 0 outside a map */
	const char *key;
	const char *text; /* YAML_TEXT */
	bool quoted;	  /* so "null" and "1" are texts */
	size_t nr;
	struct yaml_item *items;
};

struct yaml_file; /* owns the tree */

/**
 * Read and parse a file.
 *
 * Errors: -ENOENT, -EACCES ...: it cannot be read; -EINVAL: it is not YAML as
 *         Y1 to Y3 say; -ENODATA: there is nothing in it, or only comments;
 *         @error has the sentence, always
 */
int yaml_open(const char *path, struct yaml_file **file,
	      struct yaml_error *error);
/** The same from memory; @path is what messages call it. */
int yaml_parse(const char *path, const char *bytes, size_t len,
	       struct yaml_file **file, struct yaml_error *error);
void yaml_close(struct yaml_file *file);
const char *yaml_path(const struct yaml_file *file);
const struct yaml_item *yaml_root(const struct yaml_file *file);

/** The member @key of a map, or NULL. */
const struct yaml_item *yaml_get(const struct yaml_item *map, const char *key);
/** "a text", "a list", "a mapping" */
const char *yaml_kind_name(enum yaml_kind kind);
/** A boolean: true, false, yes, no, on, off.  Errors: -EINVAL */
int yaml_bool(const struct yaml_item *item, bool *value);

/** Write "FILE:LINE: <sentence>"; returns -EINVAL. */
int yaml_refuse(const struct yaml_file *file, const struct yaml_item *at,
		struct yaml_error *error, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- by a schema of libcyaml ------------------------------------------------------ */

/**
 * Load @path into what @schema describes: a mapping with CYAML_FLAG_POINTER.
 *
 * @data: out, freed with yaml_schema_free()
 *
 * Enumerations, unknown and missing keys, types, ranges, lengths and counts
 * are checked with their line; a boolean must be one, an enumeration is always
 * strict.  Flags, bit fields and ignored keys are not for a configuration:
 * the schema must not have them.
 *
 * Errors: as yaml_open()
 */
int yaml_load(const char *path, const struct cyaml_schema_value *schema,
	      void **data, struct yaml_error *error);
void yaml_schema_free(const struct cyaml_schema_value *schema, void *data);

#endif
