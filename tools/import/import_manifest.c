/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_manifest.c - what a snapshot was made of
 *
 * All of it is in the file dbs-import.json of the data directory, what one asks
 * for often in properties of the snapshot, user:dbs.import.*.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/import/import_internal.h"
#include "tools/lib_crypto.h"

#define VALUE_MAX 200u

/* ---- the last one -------------------------------------------------------------- */

int import_manifest_know(struct import *im)
{
	char path[PATH_MAX + sizeof(MANIFEST_FILE) + DATASET_NAME_MAX + 2];
	json_t *last, *table, *columns, *column;
	const char *name;
	size_t i;
	int fd, err = 0;

	if (!im->gate || !im->exists)
		return CTL_OK;
	snprintf(path, sizeof(path), "%s/%s/%s", im->mount,
		 im->options->dataset, MANIFEST_FILE);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return CTL_OK;
	last = json_loadfd(fd, 0, NULL);
	close(fd);
	/* the first under strict rules has nothing to be new against */
	if (!*out_get_text(last, "rules_hash")) {
		json_decref(last);
		return CTL_OK;
	}
	json_object_foreach(json_object_get(last, "tables"), name, table)
	{
		columns = json_object_get(table, "columns");
		json_array_foreach(columns, i, column)
		{
			char full[1024];

			snprintf(full, sizeof(full), "%s.%s", name,
				 json_string_value(column));
			if (!err)
				err = gate_know(im->gate, full);
		}
	}
	json_decref(last);
	return err ? fail(CTL_FAILED, "out of memory") : CTL_OK;
}

/* ---- this one ------------------------------------------------------------------- */

/* Names and definitions of all tables, in the dump's order. */
static void schema_hash(const struct import *im, char hex[65])
{
	EVP_MD_CTX *digest = lib_crypto()->EVP_MD_CTX_new();
	unsigned char sum[32] = {0};

	if (digest && lib_crypto()->EVP_DigestInit_ex(
			      digest, lib_crypto()->EVP_sha256(), NULL)) {
		for (struct import_table *t = im->tables; t; t = t->next) {
			if (!t->table)
				continue;
			lib_crypto()->EVP_DigestUpdate(digest, t->full,
						       strlen(t->full) + 1);
			for (unsigned i = 0; i < t->table->nr_defs; i++) {
				const struct sql_def *d = &t->table->defs[i];

				lib_crypto()->EVP_DigestUpdate(
					digest, t->table->text + d->start,
					d->end - d->start);
				lib_crypto()->EVP_DigestUpdate(digest, "", 1);
			}
		}
		lib_crypto()->EVP_DigestFinal_ex(digest, sum, NULL);
	}
	lib_crypto()->EVP_MD_CTX_free(digest);
	for (unsigned i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}

/* "2026-11-22 02:10:00" of the dump's last comment, as it stands there. */
static const char *dump_time(const struct import *im, char buf[24])
{
	const char *at = strstr(source_tail(im->source), "Dump completed on ");

	buf[0] = '\0';
	if (at) {
		snprintf(buf, 24, "%.20s", at + strlen("Dump completed on "));
		buf[strcspn(buf, "\r\n")] = '\0';
	}
	return buf;
}

static json_t *table_json(const struct import_table *t, json_t *all_masked)
{
	json_t *columns = json_array(), *masked = json_object();

	for (unsigned i = 0; i < t->table->nr_columns; i++) {
		const char *name = t->table->columns[i].name;
		const struct mask *mask = t->plan ? t->plan->masks[i] : NULL;

		json_array_append_new(columns, out_text(name));
		if (!mask || mask_kind(mask) == MASK_KEEP)
			continue;
		json_object_set_new(
			masked, name,
			json_string(mask_kind_name(mask_kind(mask))));
		json_array_append_new(all_masked,
				      json_sprintf("%s.%s", t->full, name));
	}
	return json_pack("{s:I, s:I, s:o, s:o}", "rows", (json_int_t)t->nr_rows,
			 "rows_in_dump", (json_int_t)t->nr_seen, "columns",
			 columns, "masked", masked);
}

static json_t *manifest_json(struct import *im, json_t *all_masked)
{
	json_t *tables = json_object();
	char hash[65], when[24], now[OUT_TEXT_MAX], title[128];

	schema_hash(im, hash);
	out_time(now, time(NULL));
	for (struct import_table *t = im->tables; t; t = t->next)
		if (t->table)
			json_object_set_new(tables, t->full,
					    table_json(t, all_masked));
	return json_pack(
		"{s:i, s:o, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:O}", "version",
		1, "source", out_text(source_text(im->source)), "dump_time",
		dump_time(im, when), "imported", now, "rules_hash",
		im->rules ? rules_hash(im->rules) : "", "schema_hash", hash,
		"server", server_title(&im->server.bin, title, sizeof(title)),
		"nr_rows", (json_int_t)im->nr_rows, "tables", tables, "masked",
		all_masked);
}

/* What a property holds: the beginning of what is longer. */
static void set_text(json_t *properties, const char *key, const char *value)
{
	char name[64], text[VALUE_MAX + 4];

	if (!value || !*value)
		return;
	snprintf(name, sizeof(name), "user:dbs.import.%s", key);
	snprintf(text, sizeof(text), "%.*s%s", (int)VALUE_MAX, value,
		 strlen(value) > VALUE_MAX ? "..." : "");
	json_object_set_new(properties, name, out_text(text));
}

static void set_properties(json_t *properties, const json_t *m)
{
	static const char *const texts[] = {"source",	  "dump_time",
					    "rules_hash", "schema_hash",
					    "server",	  "imported"};
	char masked[2 * VALUE_MAX] = "", number[32];
	json_t *column;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++)
		set_text(properties, texts[i], out_get_text(m, texts[i]));
	snprintf(number, sizeof(number), "%" PRIu64, out_get_int(m, "nr_rows"));
	set_text(properties, "rows", number);
	snprintf(number, sizeof(number), "%zu",
		 json_object_size(json_object_get(m, "tables")));
	set_text(properties, "tables", number);
	json_array_foreach(json_object_get(m, "masked"), i, column)
	{
		size_t len = strlen(masked);

		snprintf(masked + len, sizeof(masked) - len, "%s%s",
			 i ? " " : "", json_string_value(column));
	}
	set_text(properties, "masked", masked);
}

int import_manifest_write(struct import *im, json_t **properties)
{
	json_t *masked = json_array(), *m = manifest_json(im, masked);
	char path[PATH_MAX + sizeof(MANIFEST_FILE) + 1];
	int fd, code = CTL_OK;

	json_decref(masked);
	*properties = json_object();
	snprintf(path, sizeof(path), "%s/%s", im->datadir, MANIFEST_FILE);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		  0640);
	if (fd < 0 || json_dumpfd(m, fd, JSON_INDENT(1) | JSON_SORT_KEYS) ||
	    (!geteuid() && fchown(fd, im->server.uid, im->server.gid)))
		code = fail(CTL_FAILED, "'%s': %m", path);
	if (fd >= 0)
		close(fd);
	if (code == CTL_OK)
		set_properties(*properties, m);
	json_object_set(im->report, "manifest", m);
	json_decref(m);
	return code;
}
