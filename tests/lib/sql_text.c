/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/sql_text.h"

#include <inttypes.h>

#include "tests/lib/check.h"

ssize_t sql_source_read(void *arg, void *buf, size_t len)
{
	struct sql_source *s = arg;
	size_t n = s->len - s->at;

	if (n > len)
		n = len;
	if (s->piece && n > s->piece)
		n = s->piece;
	if (s->rnd.state && n > 1)
		n = 1 + rnd_below(&s->rnd, n);
	if (n > 0)
		memcpy(buf, s->p + s->at, n);
	s->at += n;
	return (ssize_t)n;
}

static const char *const verbs[] = {
	[SQL_VERB_OTHER] = "other",
	[SQL_VERB_SET] = "set",
	[SQL_VERB_USE] = "use",
	[SQL_VERB_CREATE_DATABASE] = "create-database",
	[SQL_VERB_CREATE_TABLE] = "create-table",
	[SQL_VERB_CREATE_VIEW] = "create-view",
	[SQL_VERB_CREATE_TRIGGER] = "create-trigger",
	[SQL_VERB_CREATE_OTHER] = "create",
	[SQL_VERB_DROP_TABLE] = "drop-table",
	[SQL_VERB_DROP_VIEW] = "drop-view",
	[SQL_VERB_DROP_OTHER] = "drop",
	[SQL_VERB_ALTER_TABLE] = "alter-table",
	[SQL_VERB_LOCK] = "lock",
	[SQL_VERB_UNLOCK] = "unlock",
	[SQL_VERB_INSERT] = "insert",
	[SQL_VERB_HARMLESS] = "harmless",
};

static void print_name(FILE *f, const struct sql_name *name)
{
	if (name->table)
		fprintf(f, " %s%s%s", name->db ? name->db : "",
			name->db ? "." : "", name->table);
}

static void print_bytes(FILE *f, const char *p, size_t len)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)p[i] >= ' ' && (unsigned char)p[i] <= '~') {
			putc_unlocked(p[i], f);
			continue;
		}
		putc_unlocked('\\', f);
		putc_unlocked('x', f);
		putc_unlocked(hex[(unsigned char)p[i] >> 4], f);
		putc_unlocked(hex[p[i] & 15], f);
	}
}

static void print_value(FILE *f, const struct sql_value *v)
{
	static const char letters[] = {
		[SQL_STRING] = 's', [SQL_NUMBER] = 'n',	    [SQL_HEX] = 'x',
		[SQL_BIT] = 'b',    [SQL_EXPRESSION] = 'e',
	};
	struct sql_buf scratch = {0};
	const char *bytes, *charset;
	size_t len;

	fputc(' ', f);
	switch (v->kind) {
	case SQL_NULL:
		fprintf(f, "NULL");
		return;
	case SQL_DEFAULT:
		fprintf(f, "DEFAULT");
		return;
	case SQL_EXPRESSION:
		bytes = v->text;
		len = v->len;
		MUST(len > 0);
		break;
	default:
		MUST(sql_value_bytes(v, &scratch, &bytes, &len) == 0);
		MUST(len <= v->len);
		break;
	}
	charset = sql_value_charset(v, &len);
	if (charset) {
		fputc('_', f);
		print_bytes(f, charset, len);
	}
	if (v->kind != SQL_EXPRESSION)
		MUST(sql_value_bytes(v, &scratch, &bytes, &len) == 0);
	else
		len = v->len;
	fprintf(f, "%c'", letters[v->kind]);
	print_bytes(f, bytes, len);
	fputc('\'', f);
	sql_buf_release(&scratch);
}

static void print_row(FILE *f, const struct sql_event *ev)
{
	const char *at = ev->bytes + ev->lead;

	MUST(*at == '(' && ev->bytes[ev->len - 1] == ')');
	fprintf(f, "row %" PRIu64 ":", ev->row);
	for (unsigned i = 0; i < ev->nr_values; i++) {
		const struct sql_value *v = &ev->values[i];

		MUST(v->text > at || (i > 0 && v->text == at));
		at = v->text + v->len;
		MUST(at < ev->bytes + ev->len);
		MUST(v->body + v->body_len <= v->len);
		print_value(f, v);
	}
}

static void print_table(FILE *f, const struct sql_table *t)
{
	fprintf(f, "table");
	print_name(f, &t->name);
	fprintf(f, " (");
	for (unsigned i = 0; i < t->nr_columns; i++)
		fprintf(f, "%s%s", i ? "," : "", t->columns[i].name);
	fprintf(f, ")");
}

static void print_insert(FILE *f, const struct sql_insert *in)
{
	fprintf(f, "%s%s", in->replace ? "replace" : "insert",
		in->ignore ? " ignore" : "");
	print_name(f, &in->name);
	for (unsigned i = 0; i < in->nr_columns; i++)
		fprintf(f, "%c%s", i ? ',' : '(', in->columns[i]);
	if (in->columns)
		fprintf(f, in->nr_columns ? ")" : "()");
	if (in->table)
		fprintf(f, " known");
}

static void print_event(FILE *f, const struct sql_event *ev)
{
	switch (ev->kind) {
	case SQL_SPACE:
	case SQL_END:
		return;
	case SQL_CREATE_TABLE:
		print_table(f, ev->table);
		break;
	case SQL_INSERT:
		print_insert(f, ev->insert);
		break;
	case SQL_ROW:
		print_row(f, ev);
		break;
	case SQL_INSERT_END:
		fprintf(f, "end ");
		MUST(ev->lead <= ev->len);
		print_bytes(f, ev->bytes + ev->lead, ev->len - ev->lead);
		break;
	case SQL_DELIMITER:
		print_bytes(f, ev->bytes, ev->len);
		break;
	default:
		fprintf(f, "%s%s", verbs[ev->what.verb],
			ev->what.data ? "!" : "");
		print_name(f, &ev->what.name);
		fprintf(f, "%s <", ev->what.many ? " many" : "");
		print_bytes(f, ev->bytes, ev->len);
		fprintf(f, ">");
	}
	fputc('\n', f);
}

static void print_end(FILE *f, const struct sql_reader *r)
{
	static const char *const endings[] = {
		[SQL_ENDING_UNKNOWN] = "",
		[SQL_ENDING_COMPLETE] = " complete",
		[SQL_ENDING_TRUNCATED] = " truncated",
	};
	const struct sql_error *e = sql_reader_error(r);

	if (e)
		fprintf(f, "error %d: %s\n", e->code, e->text);
	else
		fprintf(f, "eof%s\n", endings[sql_reader_ending(r)]);
}

char *sql_events(const struct sql_reader_options *options, const char *dump,
		 size_t len, const struct sql_cut *cut)
{
	struct sql_source source = {
		.p = dump,
		.len = len,
		.piece = cut->piece,
		.rnd = {cut->seed},
	};
	struct sql_reader_options o = *options;
	struct sql_reader *r;
	struct sql_event ev;
	size_t at = 0, size;
	char *text;
	FILE *f = open_memstream(&text, &size);
	int err;

	MUST(f);
	o.read = sql_source_read;
	o.arg = &source;
	o.buffer = cut->buffer;
	MUST(sql_reader_new(&o, &r) == 0);
	do {
		err = sql_reader_next(r, &ev);
		if (err)
			break;
		MUST(ev.offset == at && ev.len <= len - at);
		MUST(ev.len == 0 || !memcmp(ev.bytes, dump + at, ev.len));
		MUST(ev.len > 0 || ev.kind == SQL_END ||
		     ev.kind == SQL_INSERT_END);
		at += ev.len;
		print_event(f, &ev);
	} while (ev.kind != SQL_END);
	MUST(err || at == len);
	MUST(!err == !sql_reader_error(r));
	print_end(f, r);
	sql_reader_free(r);
	fclose(f);
	return text;
}

char *sql_events_any_cut(const struct sql_reader_options *options,
			 const char *dump, size_t len)
{
	static const size_t pieces[] = {1, 2, 3, 7, 4096};
	static const size_t buffers[] = {16, 17, 23, 64, 300, 4096};
	const struct sql_cut plain = {0};
	char *want = sql_events(options, dump, len, &plain);

	for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++)
		for (size_t b = 0; b < sizeof(buffers) / sizeof(*buffers);
		     b++) {
			const struct sql_cut cut = {buffers[b], pieces[p],
						    p == 4 ? b + 1 : 0};
			char *got = sql_events(options, dump, len, &cut);

			if (strcmp(got, want) != 0)
				fprintf(stderr, "got:\n%swant:\n%s", got, want);
			MUST(!strcmp(got, want));
			free(got);
		}
	return want;
}
