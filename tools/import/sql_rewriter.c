/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/sql_rewriter.h"

#include <errno.h>
#include <stdlib.h>

#define OUT_BYTES (256u << 10)

struct sql_rewriter {
	struct sql_reader *reader;
	struct sql_rewriter_ops ops;
	void *arg;
	size_t statement_bytes;
	struct sql_rewriter_stats stats;

	struct sql_buf out; /* to be written */
	bool drops;	    /* the statement that goes on */
	bool unlocked;	    /* its LOCK TABLES was dropped: UNLOCK goes too */

	/* the last table that was asked for */
	struct sql_buf asked; /* db NUL table NUL */
	int verdict;

	/* the INSERT that goes on */
	struct sql_buf head, st, tuple;
	int rows;	  /* enum sql_rows_verdict */
	bool known;	  /* rows is good for an INSERT with the same head */
	bool any;	  /* a row of it was kept */
	bool was_cut;	  /* part of it was given to statement */
	uint64_t st_rows; /* in st */
	uint64_t st_offset;
	struct sql_cell *cells;
	unsigned nr_cells;
};

int sql_rewriter_new(struct sql_reader *reader,
		     const struct sql_rewriter_ops *ops, void *arg,
		     size_t statement_bytes, struct sql_rewriter **out)
{
	struct sql_rewriter *rw = calloc(1, sizeof(*rw));

	if (!rw)
		return -ENOMEM;
	rw->reader = reader;
	rw->ops = *ops;
	rw->arg = arg;
	rw->statement_bytes =
		statement_bytes ? statement_bytes : SQL_STATEMENT_BYTES;
	*out = rw;
	return 0;
}

void sql_rewriter_free(struct sql_rewriter *rw)
{
	if (!rw)
		return;
	sql_buf_release(&rw->out);
	sql_buf_release(&rw->asked);
	sql_buf_release(&rw->head);
	sql_buf_release(&rw->st);
	sql_buf_release(&rw->tuple);
	free(rw->cells);
	free(rw);
}

const struct sql_rewriter_stats *
sql_rewriter_stats(const struct sql_rewriter *rw)
{
	return &rw->stats;
}

/* ---- output -------------------------------------------------------------- */

static int flush(struct sql_rewriter *rw)
{
	const size_t len = rw->out.len;

	rw->out.len = 0;
	return len > 0 ? rw->ops.write(rw->arg, rw->out.p, len) : 0;
}

static int put(struct sql_rewriter *rw, const char *p, size_t len)
{
	int err;

	if (!rw->ops.write || len == 0)
		return 0;
	rw->stats.bytes_written += len;
	if (rw->out.len + len > OUT_BYTES) {
		err = flush(rw);
		if (err)
			return err;
		if (len > OUT_BYTES)
			return rw->ops.write(rw->arg, p, len);
	}
	return sql_buf_add(&rw->out, p, len);
}

static int give(struct sql_rewriter *rw, struct sql_statement *st)
{
	if (!rw->ops.statement)
		return 0;
	while (st->len > 0 && sql_is_space(st->sql[st->len - 1]))
		st->len--;
	rw->stats.nr_statements++;
	return rw->ops.statement(rw->arg, st);
}

/* ---- statements without rows --------------------------------------------- */

static int ask(struct sql_rewriter *rw, const struct sql_name *name)
{
	const char *db = name->db ? name->db : "";
	const size_t db_len = strlen(db) + 1;
	const size_t table_len = strlen(name->table) + 1;
	struct sql_buf *b = &rw->asked;
	int err;

	if (!rw->ops.verdict)
		return SQL_TABLE_KEEP;
	if (b->len == db_len + table_len && !memcmp(b->p, db, db_len) &&
	    !memcmp(b->p + db_len, name->table, table_len))
		return rw->verdict;
	b->len = 0;
	rw->verdict = rw->ops.verdict(rw->arg, name);
	if (rw->verdict < 0)
		return rw->verdict;
	err = sql_buf_add(b, db, db_len);
	if (!err)
		err = sql_buf_add(b, name->table, table_len);
	return err ? err : rw->verdict;
}

/* Does the statement go, with its table?  1, 0 or -errno. */
static int goes(struct sql_rewriter *rw, const struct sql_event *ev)
{
	const struct sql_what *what = &ev->what;
	int verdict;

	if (what->verb == SQL_VERB_UNLOCK && rw->unlocked) {
		rw->unlocked = false;
		return 1;
	}
	if (!what->name.table || what->many)
		return 0;
	verdict = ask(rw, &what->name);
	if (verdict < 0)
		return verdict;
	if (what->verb == SQL_VERB_LOCK)
		rw->unlocked = verdict == SQL_TABLE_SKIP;
	return verdict == SQL_TABLE_SKIP;
}

static int on_statement(struct sql_rewriter *rw, const struct sql_event *ev)
{
	struct sql_statement st = {
		.sql = ev->bytes,
		.len = ev->len,
		.verb = ev->what.verb,
		.data = ev->what.data || (ev->table && ev->table->has_data),
		.name = ev->what.name.table ? &ev->what.name : NULL,
		.table = ev->table,
		.offset = ev->offset,
	};
	int err = goes(rw, ev);

	if (!err && rw->ops.leave_out)
		err = rw->ops.leave_out(rw->arg, ev);
	rw->known = false;
	if (err < 0)
		return err;
	rw->drops = err;
	if (rw->drops)
		return 0;
	err = 0;
	if (st.data && rw->ops.opaque)
		err = rw->ops.opaque(rw->arg, ev);
	if (!err && ev->table && rw->ops.create)
		err = rw->ops.create(rw->arg, ev->table);
	if (!err)
		err = put(rw, ev->bytes, ev->len);
	return err ? err : give(rw, &st);
}

/* ---- rows ---------------------------------------------------------------- */

static int rows_verdict(struct sql_rewriter *rw, const struct sql_event *ev)
{
	const int verdict = ask(rw, &ev->insert->name);

	if (verdict < 0)
		return verdict;
	if (verdict != SQL_TABLE_KEEP)
		return SQL_ROWS_DROP;
	if (rw->ops.insert)
		return rw->ops.insert(rw->arg, ev->insert);
	return rw->ops.row ? SQL_ROWS_LOOK : SQL_ROWS_KEEP;
}

static int on_insert(struct sql_rewriter *rw, const struct sql_event *ev)
{
	int err;

	rw->any = rw->was_cut = false;
	rw->st.len = 0;
	rw->st_rows = 0;
	rw->st_offset = ev->offset;
	if (rw->known && rw->head.len == ev->len &&
	    !memcmp(rw->head.p, ev->bytes, ev->len))
		return 0;
	rw->head.len = 0;
	err = sql_buf_add(&rw->head, ev->bytes, ev->len);
	if (err)
		return err;
	rw->rows = rows_verdict(rw, ev);
	rw->known = rw->rows >= 0;
	return rw->known ? 0 : rw->rows;
}

/* Give what is in st, with @tail behind it. */
static int give_rows(struct sql_rewriter *rw, const struct sql_insert *insert,
		     const char *tail, size_t len)
{
	struct sql_statement st = {
		.verb = SQL_VERB_INSERT,
		.name = &insert->name,
		.nr_rows = rw->st_rows,
		.offset = rw->st_offset,
	};
	int err;

	if (rw->st_rows == 0)
		return 0;
	err = sql_buf_add(&rw->st, tail, len);
	if (err)
		return err;
	st.sql = rw->st.p;
	st.len = rw->st.len;
	err = give(rw, &st);
	rw->st.len = 0;
	rw->st_rows = 0;
	/* one that was large is not kept */
	if (rw->st.cap > 4 * rw->statement_bytes)
		sql_buf_release(&rw->st);
	return err;
}

static int add_to_statement(struct sql_rewriter *rw, const struct sql_event *ev,
			    const char *tuple, size_t len)
{
	int err = 0;

	if (!rw->ops.statement)
		return 0;
	if (rw->st_rows > 0 && rw->st.len + len >= rw->statement_bytes) {
		err = give_rows(rw, ev->insert, "", 0);
		rw->was_cut = true;
	}
	if (err)
		return err;
	if (rw->st_rows == 0) {
		rw->st_offset = ev->offset;
		err = sql_buf_add(&rw->st, rw->head.p, rw->head.len);
	} else {
		err = sql_buf_add(&rw->st, ",", 1);
	}
	if (!err)
		err = sql_buf_add(&rw->st, tuple, len);
	rw->st_rows++;
	return err;
}

static int keep_row(struct sql_rewriter *rw, const struct sql_event *ev,
		    const char *tuple, size_t len)
{
	int err;

	if (!rw->any)
		err = put(rw, rw->head.p, rw->head.len);
	else
		err = put(rw, ev->bytes, ev->lead);
	rw->any = true;
	if (!err)
		err = put(rw, tuple, len);
	return err ? err : add_to_statement(rw, ev, tuple, len);
}

/* The row with its cells in place of the values, into rw->tuple. */
static int change(struct sql_rewriter *rw, const struct sql_event *ev)
{
	const char *p = ev->bytes + ev->lead;
	struct sql_buf *b = &rw->tuple;
	int err = 0;

	b->len = 0;
	for (unsigned i = 0; i < ev->nr_values && !err; i++) {
		const struct sql_value *v = &ev->values[i];
		const struct sql_cell *c = &rw->cells[i];

		if (c->kind == SQL_CELL_KEEP)
			continue;
		err = sql_buf_add(b, p, (size_t)(v->text - p));
		if (!err)
			err = sql_value_encode(
				b, v,
				c->kind == SQL_CELL_NULL ? NULL : c->bytes,
				c->len);
		p = v->text + v->len;
	}
	if (!err)
		err = sql_buf_add(b, p, (size_t)(ev->bytes + ev->len - p));
	return err;
}

static int clear_cells(struct sql_rewriter *rw, unsigned nr)
{
	if (nr > rw->nr_cells) {
		struct sql_cell *cells =
			realloc(rw->cells, nr * sizeof(*cells));

		if (!cells)
			return -ENOMEM;
		rw->cells = cells;
		rw->nr_cells = nr;
	}
	if (nr > 0)
		memset(rw->cells, 0, nr * sizeof(*rw->cells));
	return 0;
}

static int on_row(struct sql_rewriter *rw, const struct sql_event *ev)
{
	int verdict = SQL_ROW_KEEP, err;

	rw->stats.nr_rows++;
	if (rw->rows == SQL_ROWS_DROP) {
		rw->stats.nr_dropped++;
		return 0;
	}
	if (rw->rows == SQL_ROWS_LOOK && rw->ops.row) {
		err = clear_cells(rw, ev->nr_values);
		if (err)
			return err;
		verdict = rw->ops.row(rw->arg, ev, rw->cells);
	}
	if (verdict < 0)
		return verdict;
	if (verdict == SQL_ROW_DROP) {
		rw->stats.nr_dropped++;
		return 0;
	}
	if (verdict == SQL_ROW_KEEP)
		return keep_row(rw, ev, ev->bytes + ev->lead,
				ev->len - ev->lead);
	rw->stats.nr_changed++;
	err = change(rw, ev);
	return err ? err : keep_row(rw, ev, rw->tuple.p, rw->tuple.len);
}

static int on_insert_end(struct sql_rewriter *rw, const struct sql_event *ev)
{
	int err;

	rw->drops = !rw->any;
	if (rw->drops)
		return 0;
	if (rw->was_cut && ev->lead < ev->len)
		return -ENOTSUP;
	/* values stand there too, and no other callback sees them */
	if (rw->rows == SQL_ROWS_LOOK && ev->lead < ev->len && rw->ops.opaque) {
		err = rw->ops.opaque(rw->arg, ev);
		if (err)
			return err;
	}
	err = put(rw, ev->bytes, ev->len);
	return err ? err : give_rows(rw, ev->insert, ev->bytes, ev->len);
}

/* ---- between statements --------------------------------------------------- */

static bool is_marker(enum sql_comment kind, const char *p, size_t len)
{
	static const char *const markers[] = {
		"-- MySQL dump", "-- MariaDB dump", "-- Dump completed"};

	for (size_t i = 0; i < sizeof(markers) / sizeof(*markers); i++)
		if (len >= strlen(markers[i]) &&
		    !memcmp(p, markers[i], strlen(markers[i])))
			return true;
	return kind == SQL_COMMENT_SANDBOX;
}

/* White space and DELIMITER lines; a comment may have anything in it. */
static int put_space(struct sql_rewriter *rw, const struct sql_event *ev)
{
	const char *p = ev->bytes, *end = p + ev->len, *q;
	int err = 0;

	for (; p < end && !ev->comment && !err; p = q) {
		const enum sql_comment kind = sql_comment_at(p, end, true);

		q = p + 1;
		if (kind == SQL_COMMENT_NONE ||
		    kind == SQL_COMMENT_EXECUTABLE) {
			if ((*p | 0x20) == 'd' &&
			    (q = memchr(p, '\n', (size_t)(end - p))))
				q++;
			q = q ? q : end;
			err = put(rw, p, (size_t)(q - p));
			continue;
		}
		q = sql_comment_end(kind, p, end, true);
		q = q ? q : end;
		if (is_marker(kind, p, (size_t)(q - p)))
			err = put(rw, p, (size_t)(q - p));
		else if (kind == SQL_COMMENT_LINE)
			err = put(rw, "\n", 1);
	}
	return err;
}

/* ---- the run ------------------------------------------------------------- */

int sql_rewriter_step(struct sql_rewriter *rw)
{
	struct sql_event ev;
	int err = sql_reader_next(rw->reader, &ev);

	if (err)
		return err;
	switch (ev.kind) {
	case SQL_END:
		return rw->ops.write ? flush(rw) : 0;
	case SQL_SPACE:
		err = rw->ops.no_comments ? put_space(rw, &ev)
					  : put(rw, ev.bytes, ev.len);
		break;
	case SQL_INSERT:
		err = on_insert(rw, &ev);
		break;
	case SQL_ROW:
		err = on_row(rw, &ev);
		break;
	case SQL_INSERT_END:
		err = on_insert_end(rw, &ev);
		break;
	case SQL_DELIMITER:
		if (!rw->drops)
			err = put(rw, ev.bytes, ev.len);
		break;
	default:
		err = on_statement(rw, &ev);
		break;
	}
	return err ? err : 1;
}

int sql_rewriter_run(struct sql_rewriter *rw)
{
	int more;

	do
		more = sql_rewriter_step(rw);
	while (more > 0);
	return more;
}
