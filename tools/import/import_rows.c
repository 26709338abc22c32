/* SPDX-License-Identifier: Apache-2.0 */
/* import_rows.c - what happens to the rows of a dump */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/import_internal.h"

/* ---- rows ---------------------------------------------------------------- */

/* Buffers for as many masked columns as a row has. */
static int need_bufs(struct import *im, unsigned nr)
{
	struct mask_buf *bufs;

	if (nr <= im->nr_bufs)
		return 0;
	bufs = reallocarray(im->bufs, nr, sizeof(*bufs));
	if (!bufs)
		return -ENOMEM;
	im->bufs = bufs;
	for (; im->nr_bufs < nr; im->nr_bufs++) {
		int err = mask_buf_init(&bufs[im->nr_bufs], im->key);

		if (err)
			return err;
	}
	return 0;
}

static int map_columns(struct import *im, const struct sql_insert *insert)
{
	const unsigned nr = insert->columns ? insert->nr_columns
					    : insert->table->nr_columns;

	if (nr > im->cap_map) {
		unsigned *map = reallocarray(im->map, nr, sizeof(*map));

		if (!map)
			return -ENOMEM;
		im->map = map;
		im->cap_map = nr;
	}
	im->nr_map = nr;
	for (unsigned i = 0; i < nr && !insert->columns; i++)
		if (insert->table->columns[i].invisible)
			return REFUSE(
				im, CTL_FAILED,
				"the dump has rows of table '%s' without "
				"names of columns, and one of its columns "
				"is invisible (dump with "
				"--complete-insert)",
				im->current->full);
	for (unsigned i = 0; i < nr; i++) {
		int at = insert->columns ? sql_table_column(insert->table,
							    insert->columns[i])
					 : (int)i;

		if (at < 0)
			return REFUSE(im, CTL_FAILED,
				      "the dump has rows for column '%s' of "
				      "table '%s', which its CREATE TABLE does "
				      "not have",
				      insert->columns[i], im->current->full);
		im->map[i] = (unsigned)at;
	}
	return 0;
}

int import_on_insert(void *arg, const struct sql_insert *insert)
{
	struct import *im = arg;
	struct import_table *t = import_table_find(im, &insert->name);
	int err;

	im->current = t;
	if (!im->rules)
		return SQL_ROWS_KEEP;
	if (!t || !t->table || !insert->table)
		return REFUSE(im, CTL_FAILED,
			      "the dump has rows of table '%s' before its "
			      "CREATE TABLE, so no rule can be kept",
			      insert->name.table);
	if (t->plan->data == DATA_SKIP || t->plan->data == DATA_STRUCTURE)
		return SQL_ROWS_DROP;
	if (t->is_altered)
		return REFUSE(im, CTL_FAILED,
			      "the dump has rows of table '%s' after an ALTER "
			      "TABLE, so no rule can be kept",
			      t->full);
	if (!t->is_row_wise)
		return SQL_ROWS_KEEP;
	err = map_columns(im, insert);
	if (!err && t->plan->nr_masked)
		err = need_bufs(im, t->plan->nr_columns + 1);
	if (!err && t->plan->data == DATA_SHARE)
		err = need_bufs(im, 1);
	return err ? err : SQL_ROWS_LOOK;
}

static int bad_value(struct import *im, const struct sql_event *row,
		     unsigned column, int err)
{
	const struct import_table *t = im->current;
	const char *name = t->table->columns[column].name;

	switch (err) {
	case -ENOMEM:
		return err;
	case -ENOTSUP:
		return REFUSE(im, CTL_FAILED,
			      "column '%s' of row %" PRIu64 " of table '%s' is "
			      "an expression, which no mask can be used on",
			      name, row->row, t->full);
	case -EOVERFLOW:
		return REFUSE(im, CTL_FAILED,
			      "the mask of column '%s' finds no room in row "
			      "%" PRIu64 " of table '%s'",
			      name, row->row, t->full);
	case -ENOMSG:
		return REFUSE(im, CTL_CHECK_FAILED,
			      "the mask of column '%s' leaves the original of "
			      "row %" PRIu64 " of table '%s' in its result",
			      name, row->row, t->full);
	default:
		return REFUSE(im, CTL_FAILED,
			      "column '%s' of row %" PRIu64 " of table '%s' is "
			      "not what its mask is for (no JSON document?)",
			      name, row->row, t->full);
	}
}

/* What the proof has to know of a value and its result. */
static int prove(struct import *im, const struct mask *mask, int column,
		 const struct mask_value *in, const struct mask_buf *out)
{
	const enum mask_kind kind = mask_kind(mask);
	int err;

	if (!im->proof || in->kind == VALUE_NULL || !in->len)
		return 0;
	if (column < 0) {
		proof_binary(im->proof);
		return 0;
	}
	err = proof_value(im->proof, column, in, out);
	/* a fixed text may be what somebody has */
	if (err == -EBADMSG)
		err = kind == MASK_FIXED ? 0 : -ENOMSG;
	return err;
}

static int mask_value(struct import *im, const struct sql_event *row,
		      unsigned i, struct sql_cell *cell)
{
	const struct import_table *t = im->current;
	const unsigned column = im->map[i];
	const struct mask *mask = t->plan->masks[column];
	const struct sql_value *v = &row->values[i];
	struct mask_buf *out = &im->bufs[column];
	struct mask_value in;
	int err;

	if (v->kind == SQL_DEFAULT ||
	    (v->kind == SQL_NULL && mask_kind(mask) != MASK_FIXED))
		return 0;
	err = sql_value_bytes(v, &im->scratch, &in.bytes, &in.len);
	if (err)
		return bad_value(im, row, column, err);
	in.kind = v->kind == SQL_NULL	  ? VALUE_NULL
		  : v->kind == SQL_NUMBER ? VALUE_NUMBER
		  : v->kind == SQL_STRING ? VALUE_STRING
					  : VALUE_BINARY;
	/* NULL has no bytes; an empty text may have none either */
	if (!in.bytes) {
		in.bytes = "";
		in.len = 0;
	}
	err = mask_apply(mask, &t->plan->columns[column], &in, out);
	if (!err)
		err = prove(im, mask, t->proof ? t->proof[column] : -1, &in,
			    out);
	if (err)
		return bad_value(im, row, column, err);
	im->nr_masked++;
	cell->kind = out->kind == VALUE_NULL ? SQL_CELL_NULL : SQL_CELL_BYTES;
	cell->bytes = out->bytes ? out->bytes : ""; /* NULL is no text */
	cell->len = out->len;
	return 0;
}

/* Is the row one of those that stay?  1, 0 or -errno */
static int stays(struct import *im, const struct sql_event *row)
{
	const struct import_table *t = im->current;
	struct mask_value v = {"", 0, VALUE_NULL};
	int err;

	if (t->plan->data == DATA_ROWS)
		return t->nr_rows < t->plan->nr_rows;
	if (t->plan->data != DATA_SHARE)
		return 1;
	for (unsigned i = 0; i < row->nr_values && i < im->nr_map; i++) {
		if (im->map[i] != t->plan->sample_column)
			continue;
		err = sql_value_bytes(&row->values[i], &im->scratch, &v.bytes,
				      &v.len);
		if (err)
			return bad_value(im, row, im->map[i], err);
		v.kind = v.bytes ? VALUE_STRING : VALUE_NULL;
		if (!v.bytes)
			v.bytes = "";
	}
	return mask_sample(&im->bufs[0], &v, t->plan->per_million);
}

static int look_at(struct import *im, const struct sql_event *row)
{
	const struct import_table *t = im->current;
	int err = sql_plan_decode(&im->decoded, t->table, row->insert,
				  row->values, row->nr_values);

	if (err == -EBADMSG)
		return REFUSE(im, CTL_FAILED,
			      "row %" PRIu64 " of table '%s' does not fit its "
			      "CREATE TABLE",
			      row->row, t->full);
	if (!err)
		gate_row(t->gate, im->decoded.values, t->table->nr_columns);
	return err;
}

int import_on_row(void *arg, const struct sql_event *row,
		  struct sql_cell *cells)
{
	struct import *im = arg;
	struct import_table *t = im->current;
	int err = stays(im, row);
	bool changed = false;

	t->nr_seen++;
	if (err <= 0)
		return err < 0 ? err : SQL_ROW_DROP;
	err = 0;
	if (row->nr_values > im->nr_map)
		return REFUSE(im, CTL_FAILED,
			      "row %" PRIu64 " of table '%s' has more values "
			      "than there are columns",
			      row->row, t->full);
	if (gate_next(t->gate))
		err = look_at(im, row);
	if (im->proof)
		proof_row(im->proof);
	for (unsigned i = 0; i < row->nr_values && !err; i++) {
		const struct mask *mask = t->plan->masks[im->map[i]];
		const struct sql_value *v = &row->values[i];

		if (mask && mask_kind(mask) != MASK_KEEP) {
			err = mask_value(im, row, i, &cells[i]);
			changed = changed || cells[i].kind != SQL_CELL_KEEP;
		} else if (im->proof && v->kind == SQL_STRING) {
			proof_text(im->proof, v->text + v->body, v->body_len);
		}
	}
	t->nr_rows++;
	return err ? err : changed ? SQL_ROW_CHANGED : SQL_ROW_KEEP;
}
