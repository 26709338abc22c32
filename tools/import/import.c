/* SPDX-License-Identifier: Apache-2.0 */
/* import.c - runs an import from the source to the switch */
#include "tools/import/import.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tools/import/import_internal.h"

#define TICK_NS UINT64_C(200000000)

/* ---- from time to time ------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_signal(int signo)
{
	interrupted = signo;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static bool is_interrupted(void)
{
	return interrupted != 0;
}

static void draw(struct import *im, uint64_t now)
{
	const uint64_t total = source_size(im->source);
	const uint64_t taken = source_taken(im->source);
	const double s = (double)(now - im->start_ns) / 1e9;
	char done[OUT_TEXT_MAX], all[OUT_TEXT_MAX], rate[OUT_TEXT_MAX];
	char left[OUT_TEXT_MAX];

	if (!im->drawn)
		return;
	out_size(done, taken);
	out_size(rate, (uint64_t)((double)taken / s));
	fprintf(stderr, "\rloading %s", done);
	if (total)
		fprintf(stderr, " of %s (%.0f %%)", out_size(all, total),
			100.0 * (double)taken / (double)total);
	fprintf(stderr, ", %s/s, %" PRIu64 " rows", rate, im->nr_rows);
	if (total && taken && taken < total)
		fprintf(stderr, ", %s left",
			out_duration(left,
				     (uint64_t)((double)(now - im->start_ns) *
						(double)(total - taken) /
						(double)taken)));
	fputs("\033[K", stderr);
}

/* A new line after what was drawn. */
static void undraw(struct import *im)
{
	if (im->drawn && im->drawn_ns)
		fputs("\r\033[K", stderr);
	im->drawn_ns = 0;
}

int import_tick(struct import *im)
{
	const uint64_t now = now_ns();

	if (interrupted)
		return -ECANCELED;
	if (now - im->tick_ns < TICK_NS)
		return 0;
	im->tick_ns = now;
	if (import_store_is_full(im)) {
		im->no_space = true;
		return -ENOSPC;
	}
	draw(im, now);
	im->drawn_ns = now;
	return 0;
}

/* ---- what is said where it fails ------------------------------------------------ */

#define ER_DUP_ENTRY	      1062
#define CR_SERVER_GONE_ERROR  2006
#define CR_SERVER_LOST	      2013
#define ER_DUP_ENTRY_WITH_KEY 1586

static const struct import_table *table_of(const struct import *im,
					   const char *full)
{
	for (const struct import_table *t = im->tables; t; t = t->next)
		if (!strcmp(t->full, full))
			return t;
	return NULL;
}

/* The server refused a statement: why, where in the dump, which. */
static int fail_server(struct import *im)
{
	const struct load_error *e = load_error(im->load);
	const struct import_table *t = table_of(im, e->table);
	const bool masked = t && t->plan && t->plan->nr_masked;

	if (im->no_space || import_store_is_full(im))
		return fail(CTL_NO_SPACE, "the pool is full: '%s' is as it was",
			    im->options->dataset);
	/* its connections go a moment before it is gone */
	if (e->number == CR_SERVER_GONE_ERROR || e->number == CR_SERVER_LOST)
		for (int i = 0; i < 100 && !private_ended(&im->server); i++)
			usleep(50000);
	if (private_ended(&im->server)) {
		fail(CTL_FAILED, "the import's server ended; its log says:");
		server_show_log(im->server.log, 0);
		return CTL_FAILED;
	}
	if (e->number == ER_DUP_ENTRY || e->number == ER_DUP_ENTRY_WITH_KEY)
		return fail(CTL_FAILED, "table '%s' has a duplicate key%s: %s",
			    e->table,
			    masked ? " after masking (a mask that makes equal "
				     "what was not, or 'fixed' in a unique "
				     "column)"
				   : "",
			    e->text);
	if (e->offset)
		return fail(CTL_FAILED,
			    "the server refuses the dump's statement at byte "
			    "%" PRIu64 ": error %u: %s: '%s'",
			    e->offset, e->number, e->text, e->statement);
	return fail(CTL_FAILED, "the server refuses: error %u: %s: '%s'",
		    e->number, e->text, e->statement);
}

int import_fail(struct import *im, int err)
{
	undraw(im);
	if (im->code != CTL_OK)
		return im->code;
	if (interrupted)
		return fail(CTL_FAILED, "interrupted: '%s' is as it was",
			    im->options->dataset);
	switch (err) {
	case -ENOSPC:
		if (im->dump && *import_dump_error(im->dump))
			break;
		return fail(CTL_NO_SPACE, "the pool is full: '%s' is as it was",
			    im->options->dataset);
	case -EREMOTEIO:
		return fail_server(im);
	case -ENOMEM:
		return fail(CTL_FAILED, "out of memory");
	case -ENOTSUP:
		return fail(CTL_FAILED,
			    "the dump has an INSERT with ON DUPLICATE KEY "
			    "UPDATE that is too long to be one statement");
	default:
		break;
	}
	if (im->dump && *import_dump_error(im->dump))
		return fail(err == -ENOSPC || err == -EDQUOT ? CTL_NO_SPACE
							     : CTL_FAILED,
			    "%s", import_dump_error(im->dump));
	return fail(CTL_FAILED, "the import: %s", strerror(-err));
}

/* The reader failed: the source broke off, else the dump is wrong. */
static int fail_reader(struct import *im)
{
	const struct sql_error *e = sql_reader_error(im->reader);
	char why[256];
	int code;

	undraw(im);
	if (interrupted)
		return import_fail(im, -ECANCELED);
	snprintf(why, sizeof(why), "%s", source_error(im->source));
	code = source_end(im->source, false);
	if (code != CTL_OK)
		return code;
	if (!*why)
		return fail(CTL_FAILED, "'%s': %s",
			    im->part->path ? im->part->path
					   : source_text(im->source),
			    e->text);
	if (*e->table)
		return fail(CTL_FAILED,
			    "'%s': %s; the last whole row is number %" PRIu64
			    " of table '%s'",
			    source_text(im->source), why, e->row, e->table);
	return fail(CTL_FAILED, "'%s': %s", source_text(im->source), why);
}

/* ---- load ------------------------------------------------------------------------ */

static int publish_begin(struct import *im)
{
	struct sql_buf b = {0};
	int err = 0;

	/* the parts of a directory know their database by their names */
	if (!im->dump || !im->part->db)
		return 0;
	err = sql_buf_text(&b, "USE ");
	if (!err)
		err = import_quote(&b, NULL, im->part->db);
	if (!err)
		err = sql_buf_text(&b, im->part->ends_at_line
					       ? ";\nDELIMITER ;;\n"
					       : ";\n");
	if (!err)
		err = import_dump_write(im->dump, b.p, b.len);
	sql_buf_release(&b);
	return err;
}

static int publish_end(struct import *im)
{
	static const char usual[] = "DELIMITER ;\n";

	return im->dump && im->part->ends_at_line
		       ? import_dump_write(im->dump, usual, strlen(usual))
		       : 0;
}

/* As a session of the part's database begins. */
static int session_begin(struct import *im)
{
	struct sql_buf b = {0};
	int err;

	if (!im->part->db)
		return 0;
	err = sql_buf_text(&b, "USE ");
	if (!err)
		err = import_quote(&b, NULL, im->part->db);
	if (!err)
		err = load_session(im->load, b.p, b.len, 0);
	sql_buf_release(&b);
	return err;
}

static int load_part(struct import *im)
{
	const struct sql_reader_options options = {
		.read = source_read,
		.arg = im->source,
		.db = im->part->db ? im->part->db : im->options->database,
		.ends_at_line = im->part->ends_at_line,
		.find_table = import_on_find,
		.find_arg = im,
	};
	struct sql_rewriter *rw = NULL;
	int err = session_begin(im), code = CTL_OK;

	if (!err)
		err = publish_begin(im);
	if (!err)
		err = sql_reader_new(&options, &im->reader);
	if (!err)
		err = sql_rewriter_new(im->reader, &import_ops, im, 0, &rw);
	if (!err)
		err = sql_rewriter_run(rw);
	if (!err)
		err = publish_end(im);
	if (im->reader && sql_reader_error(im->reader))
		code = fail_reader(im);
	else if (err)
		code = import_fail(im, err);
	else if (sql_reader_ending(im->reader) == SQL_ENDING_TRUNCATED) {
		undraw(im);
		code = source_end(im->source, true);
		if (code == CTL_OK)
			code = fail(CTL_FAILED,
				    "'%s' is cut off: its last line, 'Dump "
				    "completed', is not there",
				    source_text(im->source));
	}
	if (im->reader)
		im->nr_bytes += sql_reader_offset(im->reader);
	sql_rewriter_free(rw);
	sql_reader_free(im->reader);
	im->reader = NULL;
	return code;
}

/* Of this thread, which reads and masks. */
static uint64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static int load_parts(struct import *im)
{
	const uint64_t cpu = cpu_ms();
	int code = CTL_OK;

	im->start_ns = now_ns();
	for (unsigned i = 0; i < source_nr_parts(im->source) && code == CTL_OK;
	     i++) {
		im->part = source_part(im->source, i);
		code = source_begin(im->source, i);
		if (code == CTL_OK)
			code = load_part(im);
		if (code == CTL_OK)
			code = source_end(im->source, true);
	}
	undraw(im);
	if (code == CTL_OK && !im->tables && !im->nr_rows)
		code = fail(CTL_FAILED, "'%s' has no CREATE TABLE in it",
			    source_text(im->source));
	if (code == CTL_OK && load_drain(im->load))
		code = import_fail(im, -EREMOTEIO);
	im->read_cpu_ms = cpu_ms() - cpu;
	im->load_ms = (now_ns() - im->start_ns) / 1000000;
	return code;
}

static int add_keys(struct import *im)
{
	const uint64_t start = now_ns();
	int err = import_add_keys(im);

	im->keys_ms = (now_ns() - start) / 1000000;
	return err ? import_fail(im, err) : CTL_OK;
}

/* Make the server what an instance finds. */
static int end_server(struct import *im)
{
	static const char smaller[] =
		"SET GLOBAL innodb_log_file_size=100663296";
	static const char smaller_mysql[] =
		"SET GLOBAL innodb_redo_log_capacity=104857600";
	const struct server_binary *bin = &im->server.bin;
	const uint64_t start = now_ns();
	int err = 0, code;

	if (bin->mariadb && bin->version >= SERVER_VERSION(10, 9))
		err = load_alone(im->load, smaller, strlen(smaller), 0);
	else if (!bin->mariadb && bin->version >= SERVER_VERSION(8, 1))
		err = load_alone(im->load, smaller_mysql, strlen(smaller_mysql),
				 0);
	if (err)
		return import_fail(im, err);
	load_close(im->load);
	im->load = NULL;
	code = private_stop(&im->server);
	im->stop_ms = (now_ns() - start) / 1000000;
	if (code != CTL_OK && import_store_is_full(im))
		code = fail(CTL_NO_SPACE, "the pool is full: '%s' is as it was",
			    im->options->dataset);
	return code;
}

/* ---- proof ------------------------------------------------------------------------- */

static void report_proof(struct import *im)
{
	const struct proof_stats *s = proof_stats(im->proof);

	json_object_set_new(
		im->report, "proof",
		json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:{s:I, s:I, s:I, "
			  "s:I}}",
			  "nr_masked", (json_int_t)s->nr_seen, "nr_values",
			  (json_int_t)s->nr_values, "sampled_1_in",
			  (json_int_t)s->nr_sampled, "nr_files",
			  (json_int_t)s->nr_files, "bytes",
			  (json_int_t)s->bytes, "scan_ms", s->scan_ms,
			  "left_out", "short", (json_int_t)s->nr_short,
			  "binary", (json_int_t)s->nr_binary, "words",
			  (json_int_t)s->nr_words, "results",
			  (json_int_t)s->nr_dense));
}

static int on_scan(void *arg, uint64_t bytes)
{
	progress_show(arg, bytes, 0);
	return interrupted ? -ECANCELED : 0;
}

static int prove(struct import *im)
{
	const uint64_t start = now_ns();
	struct progress progress;
	struct proof_hit hit;
	int err;

	if (!im->proof)
		return CTL_OK;
	progress_begin(&progress, "looking for originals", true);
	err = proof_scan(im->proof, im->datadir, &hit, on_scan, &progress);
	progress_end(&progress);
	im->proof_ms = (now_ns() - start) / 1000000;
	report_proof(im);
	if (interrupted)
		return import_fail(im, -ECANCELED);
	if (err < 0)
		return fail(CTL_FAILED, "'%s/%s': %s", im->datadir, hit.file,
			    strerror(-err));
	if (!err)
		return CTL_OK;
	json_object_set_new(im->report, "hit",
			    json_pack("{s:o, s:I, s:o}", "file",
				      out_text(hit.file), "offset",
				      (json_int_t)hit.offset, "column",
				      out_text(hit.column)));
	return fail(CTL_CHECK_FAILED,
		    "an original value of column %s is in file '%s' at byte "
		    "%" PRIu64 "; nothing was published",
		    hit.column, hit.file, hit.offset);
}

/* ---- begin -------------------------------------------------------------------------- */

static int code_of_rules(int err)
{
	return err == -EINVAL			 ? CTL_CONFIG
	       : err == -ENOENT			 ? CTL_NOT_FOUND
	       : err == -EACCES || err == -EPERM ? CTL_NOT_PERMITTED
						 : CTL_FAILED;
}

static int open_rules(struct import *im)
{
	struct yaml_error error;
	const char *path;
	char why[512];
	int err;

	if (!im->options->rules)
		return CTL_OK;
	err = rules_load(im->options->rules, &im->rules, &error);
	if (err)
		return fail(code_of_rules(err), "%s", error.text);
	im->gate = gate_new();
	if (!im->gate)
		return fail(CTL_FAILED, "out of memory");
	path = rules_key_path(im->rules);
	if (rules_need_key(im->rules)) {
		if (!path)
			return fail(CTL_CONFIG,
				    "the rules need a secret key: name its "
				    "file in key_file or $%s",
				    RULES_KEY_ENV);
		err = mask_key_load(path, &im->key, why, sizeof(why));
		if (err)
			return fail(code_of_rules(err), "%s", why);
	} else {
		/* null and fixed are masks too: any key does */
		char any[32];

		if (getrandom(any, sizeof(any), 0) != sizeof(any) ||
		    !(im->key = mask_key_new(any, sizeof(any))))
			return fail(CTL_FAILED, "out of memory");
	}
	if (rules_mask(im->rules) && proof_new(&im->proof))
		return fail(CTL_FAILED, "out of memory");
	return CTL_OK;
}

static unsigned nr_connections(void)
{
	const long nr = sysconf(_SC_NPROCESSORS_ONLN);

	return nr < 2 ? 2 : nr > 8 ? 8 : (unsigned)nr;
}

static int on_wait(void *arg)
{
	return import_tick(arg);
}

static int begin_server(struct import *im)
{
	const uint64_t start = now_ns();
	int code;

	im->server.packed = source_size(im->source);
	code = private_init(&im->server, im->datadir);

	if (code == CTL_OK && im->proof && proof_learn(im->proof, im->datadir))
		code = fail(CTL_FAILED, "'%s' cannot be read", im->datadir);
	if (code == CTL_OK)
		code = private_start(&im->server);
	if (code == CTL_OK && load_open(im->server.socket, im->server.user,
					nr_connections(), &im->load))
		code = fail(CTL_FAILED, "the import's server: %s",
			    im->load ? load_error(im->load)->text
				     : "out of memory");
	if (code == CTL_OK)
		load_set_tick(im->load, on_wait, im);
	im->init_ms = (now_ns() - start) / 1000000;
	return code;
}

static int open_source(struct import *im)
{
	struct source_options options = im->options->source;

	options.stops = is_interrupted;
	return source_open(&options, &im->source);
}

static int begin(struct import *im)
{
	const struct import_options *o = im->options;
	int code = open_rules(im);

	if (code == CTL_OK)
		code = open_source(im);
	if (code == CTL_OK)
		code = client_open(im->inv, NULL, &im->client);
	if (code == CTL_OK)
		code = private_open(o->dataset, o->server, &im->server);
	if (code == CTL_OK)
		code = import_store_begin(im);
	if (code == CTL_OK)
		code = import_manifest_know(im);
	if (code == CTL_OK && o->publish)
		code = import_dump_open(o->publish, im->snapshot, &im->dump);
	if (code == CTL_OK)
		code = import_store_make(im);
	if (code == CTL_OK)
		code = begin_server(im);
	return code;
}

/* ---- all of it ------------------------------------------------------------------------ */

static int publish(struct import *im)
{
	json_t *properties = NULL;
	int code = import_manifest_write(im, &properties);

	if (code == CTL_OK && im->dump)
		code = import_dump_finish(im->dump);
	if (code == CTL_OK)
		code = import_store_switch(im, properties);
	json_decref(properties);
	json_object_set_new(im->report, "switched", json_boolean(im->switched));
	if (code == CTL_OK && im->dump)
		code = import_dump_publish(im->dump, im->options->dataset,
					   im->report);
	return code;
}

static void release(struct import *im, int code)
{
	/* else a statement under way would be waited for */
	if (code != CTL_OK)
		private_kill(&im->server);
	load_close(im->load);
	private_close(&im->server, code == CTL_OK);
	source_close(im->source);
	import_dump_close(im->dump);
	import_store_end(im);
	import_tables_free(im);
	proof_free(im->proof);
	gate_free(im->gate);
	rules_free(im->rules);
	mask_key_free(im->key);
}

static void put_number(struct import *im, const char *key, uint64_t value)
{
	json_object_set_new(im->report, key, json_integer((json_int_t)value));
}

static void report(struct import *im)
{
	struct rusage usage = {0};

	getrusage(RUSAGE_SELF, &usage);
	put_number(im, "nr_rows", im->nr_rows);
	put_number(im, "nr_masked", im->nr_masked);
	put_number(im, "dump_bytes", im->nr_bytes);
	put_number(im, "init_ms", im->init_ms);
	put_number(im, "read_cpu_ms", im->read_cpu_ms);
	put_number(im, "load_ms", im->load_ms);
	put_number(im, "keys_ms", im->keys_ms);
	put_number(im, "stop_ms", im->stop_ms);
	put_number(im, "proof_ms", im->proof_ms);
	put_number(im, "memory_peak", (uint64_t)usage.ru_maxrss * 1024);
}

int import_run(const struct invocation *inv,
	       const struct import_options *options, json_t **out)
{
	struct import im = {.inv = inv, .options = options};
	const uint64_t start = now_ns();
	char now[OUT_TEXT_MAX];
	int code;

	im.server.lock = im.hold = -1;
	im.last_table = &im.tables;
	im.drawn = isatty(STDERR_FILENO);
	snprintf(im.snapshot, sizeof(im.snapshot), "%s",
		 options->snapshot ? options->snapshot
				   : out_time(now, time(NULL)));
	im.report =
		json_pack("{s:o}", "snapshot",
			  json_sprintf("%s@%s", options->dataset, im.snapshot));
	catch_signals();
	code = begin(&im);
	if (code == CTL_OK)
		code = load_parts(&im);
	if (code == CTL_OK)
		code = import_check_rules(&im);
	if (code == CTL_OK)
		code = add_keys(&im);
	if (code == CTL_OK)
		code = end_server(&im);
	if (code == CTL_OK)
		code = prove(&im);
	if (code == CTL_OK)
		code = publish(&im);
	report(&im);
	release(&im, code);
	if (im.client)
		code = client_close(im.client, code);
	json_object_set_new(
		im.report, "duration_ms",
		json_integer((json_int_t)((now_ns() - start) / 1000000)));
	*out = im.report;
	return code;
}
