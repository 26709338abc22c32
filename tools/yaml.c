/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml.c - a YAML file as a tree, from libyaml's events
 */
#include "tools/yaml_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yaml.h>

#include "store/store.h"

/* ---- sentences ------------------------------------------------------------------ */

/* Y1: nothing that drives a terminal or ends a line. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

__attribute__((format(printf, 4, 0))) static int
refuse_v(const char *path, unsigned line, struct yaml_error *error,
	 const char *fmt, va_list ap)
{
	int n = snprintf(error->text, sizeof(error->text), "%.256s:%u: ", path,
			 line);

	vsnprintf(error->text + n, sizeof(error->text) - (size_t)n, fmt, ap);
	clean(error->text);
	return -EINVAL;
}

int yaml_refuse(const struct yaml_file *file, const struct yaml_item *at,
		struct yaml_error *error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	refuse_v(file->path, at->line, error, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* ---- events ------------------------------------------------------------------------ */

struct builder {
	struct yaml_file *file;
	yaml_parser_t parser;
	yaml_event_t event;
	struct yaml_error *error;
};

__attribute__((format(printf, 2, 3))) static int
refuse_event(struct builder *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	refuse_v(b->file->path, (unsigned)b->event.start_mark.line + 1,
		 b->error, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int refuse_empty(struct builder *b)
{
	refuse_event(b, "the file is empty");
	return -ENODATA;
}

/* The parser's own words, without what it quotes. */
static int refuse_syntax(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	size_t line = p->problem_mark.line;

	if (p->error == YAML_MEMORY_ERROR) {
		snprintf(b->error->text, sizeof(b->error->text),
			 "out of memory");
		return -ENOMEM;
	}
	if (p->error == YAML_READER_ERROR) /* has an offset only */
		for (size_t i = line = 0;
		     i < p->problem_offset && i < b->file->len; i++)
			line += b->file->bytes[i] == '\n';
	b->event.start_mark.line = line;
	return refuse_event(b, "not YAML: %s",
			    p->problem ? p->problem : "cannot be read");
}

static int next(struct builder *b)
{
	yaml_event_delete(&b->event);
	if (!yaml_parser_parse(&b->parser, &b->event))
		return refuse_syntax(b);
	return 0;
}

static bool is_tagged(const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return e->data.scalar.anchor || e->data.scalar.tag;
	case YAML_SEQUENCE_START_EVENT:
		return e->data.sequence_start.anchor ||
		       e->data.sequence_start.tag;
	case YAML_MAPPING_START_EVENT:
		return e->data.mapping_start.anchor ||
		       e->data.mapping_start.tag;
	default:
		return e->type == YAML_ALIAS_EVENT;
	}
}

static int build_text(struct builder *b, struct yaml_item *item)
{
	const char *text = (const char *)b->event.data.scalar.value;
	const size_t len = b->event.data.scalar.length;

	if (memchr(text, 0, len))
		return refuse_event(b, "a text has a NUL in it");
	item->kind = YAML_TEXT;
	item->text = strdup(text);
	item->quoted = b->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	return item->text ? 0 : -ENOMEM;
}

static struct yaml_item *add_item(struct yaml_item *to)
{
	struct yaml_item *items;

	if (!(to->nr & (to->nr - 1))) { /* 0, 1, 2, 4, 8 ... */
		items = reallocarray(to->items, to->nr ? 2 * to->nr : 1,
				     sizeof(*items));
		if (!items)
			return NULL;
		to->items = items;
	}
	to->items[to->nr] = (struct yaml_item){0};
	return &to->items[to->nr++];
}

static int by_key(const void *a, const void *b)
{
	const struct yaml_item *const *x = a, *const *y = b;
	const int order = strcmp((*x)->key, (*y)->key);

	if (order)
		return order;
	return (*x)->line < (*y)->line ? -1 : (*x)->line > (*y)->line;
}

/* Y2 */
static int check_twice(struct builder *b, const struct yaml_item *map)
{
	const struct yaml_item **sorted =
		reallocarray(NULL, map->nr + 1, sizeof(struct yaml_item *));
	int err = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < map->nr; i++)
		sorted[i] = &map->items[i];
	qsort(sorted, map->nr, sizeof(struct yaml_item *), by_key);
	for (size_t i = 1; i < map->nr && !err; i++)
		if (!strcmp(sorted[i - 1]->key, sorted[i]->key))
			err = yaml_refuse(b->file, sorted[i], b->error,
					  "'%s' stands there twice (first in "
					  "line %u)",
					  sorted[i]->key, sorted[i - 1]->line);
	free(sorted);
	return err;
}

static int build(struct builder *b, struct yaml_item *item, unsigned depth);

static int build_list(struct builder *b, struct yaml_item *item, unsigned depth)
{
	struct yaml_item *entry;
	int err;

	item->kind = YAML_LIST;
	while (!(err = next(b)) && b->event.type != YAML_SEQUENCE_END_EVENT) {
		entry = add_item(item);
		err = entry ? build(b, entry, depth) : -ENOMEM;
		if (err)
			break;
	}
	return err;
}

static int build_map(struct builder *b, struct yaml_item *item, unsigned depth)
{
	struct yaml_item *member, key = {0};
	unsigned line;
	int err;

	item->kind = YAML_MAP;
	while (!(err = next(b)) && b->event.type != YAML_MAPPING_END_EVENT) {
		line = (unsigned)b->event.start_mark.line + 1;
		if (b->event.type != YAML_SCALAR_EVENT || is_tagged(&b->event))
			return refuse_event(b, "a key must be a plain text");
		err = build_text(b, &key);
		if (err)
			return err;
		member = add_item(item);
		if (!member) {
			free((char *)(uintptr_t)key.text);
			return -ENOMEM;
		}
		member->key = key.text;
		err = next(b);
		if (!err)
			err = build(b, member, depth);
		member->line = member->key_line = line;
		if (err)
			return err;
	}
	return err ? err : check_twice(b, item);
}

static int build(struct builder *b, struct yaml_item *item, unsigned depth)
{
	item->line = (unsigned)b->event.start_mark.line + 1;
	if (is_tagged(&b->event))
		return refuse_event(b, "anchors (&), aliases (*) and tags (!) "
				       "are not taken (write it out, or quote "
				       "the text)");
	if (depth == YAML_DEPTH_MAX)
		return refuse_event(b, "nested too deep (%u levels)",
				    YAML_DEPTH_MAX);
	switch (b->event.type) {
	case YAML_SCALAR_EVENT:
		return build_text(b, item);
	case YAML_SEQUENCE_START_EVENT:
		return build_list(b, item, depth + 1);
	case YAML_MAPPING_START_EVENT:
		return build_map(b, item, depth + 1);
	default:
		return refuse_empty(b);
	}
}

/* Stream and document start, the root, document and stream end. */
static int build_file(struct builder *b)
{
	int err = next(b);

	if (!err)
		err = next(b);
	if (!err && b->event.type != YAML_DOCUMENT_START_EVENT)
		return refuse_empty(b);
	if (!err)
		err = next(b);
	if (!err)
		err = build(b, &b->file->root, 0);
	if (!err)
		err = next(b);
	if (!err)
		err = next(b);
	if (!err && b->event.type != YAML_STREAM_END_EVENT)
		return refuse_event(b, "a second document (only one is taken)");
	return err;
}

/* ---- files --------------------------------------------------------------------------- */

static void release(struct yaml_item *item)
{
	for (size_t i = 0; i < item->nr; i++)
		release(&item->items[i]);
	free(item->items);
	free((char *)(uintptr_t)item->key);
	free((char *)(uintptr_t)item->text);
}

void yaml_close(struct yaml_file *file)
{
	if (!file)
		return;
	release(&file->root);
	free(file->path);
	free(file->bytes);
	free(file);
}

/* Takes @bytes, always. */
static int parse(const char *path, char *bytes, size_t len,
		 struct yaml_file **file, struct yaml_error *error)
{
	struct builder b = {.error = error};
	int err;

	b.file = calloc(1, sizeof(*b.file));
	if (!b.file || !(b.file->path = strdup(path))) {
		free(bytes);
		free(b.file);
		snprintf(error->text, sizeof(error->text), "out of memory");
		return -ENOMEM;
	}
	b.file->bytes = bytes;
	b.file->len = len;
	if (!yaml_parser_initialize(&b.parser)) {
		err = -ENOMEM;
	} else {
		yaml_parser_set_input_string(&b.parser,
					     (const unsigned char *)bytes, len);
		err = build_file(&b);
		yaml_event_delete(&b.event);
		yaml_parser_delete(&b.parser);
	}
	if (!err) {
		*file = b.file;
		return 0;
	}
	if (err == -ENOMEM)
		snprintf(error->text, sizeof(error->text), "out of memory");
	yaml_close(b.file);
	return err;
}

int yaml_parse(const char *path, const char *bytes, size_t len,
	       struct yaml_file **file, struct yaml_error *error)
{
	char *copy = malloc(len + 1);

	if (!copy) {
		snprintf(error->text, sizeof(error->text), "out of memory");
		return -ENOMEM;
	}
	memcpy(copy, bytes, len);
	return parse(path, copy, len, file, error);
}

static int say_file(struct yaml_error *error, const char *path, int err,
		    const char *what)
{
	snprintf(error->text, sizeof(error->text), "%.256s: %s", path, what);
	clean(error->text);
	return err;
}

/* All of an open file; @bytes: out, the caller's */
static int read_all(int fd, char **bytes, size_t *len)
{
	char *buf = malloc(YAML_FILE_MAX + 1);
	size_t done = 0;
	ssize_t n = 1;

	if (!buf)
		return -ENOMEM;
	while (n && done <= YAML_FILE_MAX) {
		n = read(fd, buf + done, YAML_FILE_MAX + 1 - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			n = -errno;
			free(buf);
			return (int)n;
		}
		done += (size_t)n;
	}
	*bytes = buf;
	*len = done;
	return 0;
}

int yaml_open(const char *path, struct yaml_file **file,
	      struct yaml_error *error)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *bytes = NULL;
	size_t len = 0;
	int err;

	if (fd < 0)
		return say_file(error, path, -errno, strerror(errno));
	err = read_all(fd, &bytes, &len);
	close(fd);
	if (err)
		return say_file(error, path, err, strerror(-err));
	if (len > YAML_FILE_MAX) {
		free(bytes);
		return say_file(error, path, -EINVAL,
				"larger than 4 MiB, so hardly a configuration");
	}
	return parse(path, bytes, len, file, error);
}

const char *yaml_path(const struct yaml_file *file)
{
	return file->path;
}

const struct yaml_item *yaml_root(const struct yaml_file *file)
{
	return &file->root;
}

const struct yaml_item *yaml_get(const struct yaml_item *map, const char *key)
{
	for (size_t i = 0; map->kind == YAML_MAP && i < map->nr; i++)
		if (!strcmp(map->items[i].key, key))
			return &map->items[i];
	return NULL;
}

const char *yaml_kind_name(enum yaml_kind kind)
{
	static const char *const names[] = {"a text", "a list", "a mapping"};

	return names[kind];
}

int yaml_bool(const struct yaml_item *item, bool *value)
{
	static const char *const words[] = {"false", "true", "no",
					    "yes",   "off",  "on"};

	if (item->kind != YAML_TEXT || item->quoted)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcasecmp(item->text, words[i])) {
			*value = i % 2;
			return 0;
		}
	}
	return -EINVAL;
}
