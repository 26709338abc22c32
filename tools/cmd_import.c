/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_import.c - dbs import
 */
#include "tools/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "tools/import/import.h"
#include "tools/out.h"

static void print_proof(const json_t *proof)
{
	const json_t *left = json_object_get(proof, "left_out");
	char size[OUT_TEXT_MAX];

	if (!proof)
		return;
	out_line("proof: %" PRIu64 " originals in none of %s of %" PRIu64
		 " files%s; left out: %" PRIu64 " short, %" PRIu64
		 " not text, %" PRIu64 " words of kept text, %" PRIu64
		 " that are results too",
		 out_get_int(proof, "nr_values"),
		 out_size(size, out_get_int(proof, "bytes")),
		 out_get_int(proof, "nr_files"),
		 out_get_int(proof, "sampled_1_in") > 1 ? " (a sample)" : "",
		 out_get_int(left, "short"), out_get_int(left, "binary"),
		 out_get_int(left, "words"), out_get_int(left, "results"));
}

static void print_report(const json_t *report)
{
	const json_t *dump = json_object_get(report, "dump");
	char time[OUT_TEXT_MAX];

	out_line("%s", out_get_text(report, "snapshot"));
	out_line("%zu tables, %" PRIu64 " rows, %" PRIu64
		 " values masked, in %s",
		 json_object_size(json_object_get(
			 json_object_get(report, "manifest"), "tables")),
		 out_get_int(report, "nr_rows"),
		 out_get_int(report, "nr_masked"),
		 out_duration(time, out_get_int(report, "duration_ms") *
					    UINT64_C(1000000)));
	print_proof(json_object_get(report, "proof"));
	if (*out_get_text(report, "kept"))
		out_line("kept what was replaced as '%s'",
			 out_get_text(report, "kept"));
	if (dump)
		out_line("dump: %s", out_get_text(dump, "file"));
}

/*
 * "env:NAME" is what the variable has: a URL may be a key, and arguments can be
 * seen by everybody.  None of the programs that are started gets it.
 */
static int resolve_from(struct invocation *inv, char **from)
{
	const char *text = inv_value(inv, "from"), *value = text;
	const bool env = text && !strncmp(text, "env:", 4);

	if (env)
		value = getenv(text + 4);
	if (!text)
		return fail_usage(inv->cmd, "import: --from is missing");
	if (!value || !*value)
		return fail_usage(inv->cmd,
				  "--from %s: there is no such variable in the "
				  "environment",
				  text);
	*from = strdup(value);
	if (env)
		unsetenv(text + 4);
	return *from ? CTL_OK : fail(CTL_FAILED, "out of memory");
}

static int import_from(struct invocation *inv, const char *from)
{
	const struct import_options options = {
		.dataset = inv_operand(inv, 0),
		.source = {.from = from,
			   .ca = inv_value(inv, "ca"),
			   .password_file = inv_value(inv, "password-file")},
		.rules = inv_value(inv, "rules"),
		.snapshot = inv_value(inv, "snapshot"),
		.publish = inv_value(inv, "publish"),
		.database = inv_value(inv, "database")
				    ? inv_value(inv, "database")
				    : inv_operand(inv, 0),
		.server = inv_value(inv, "server"),
	};
	json_t *report = NULL;
	int code;

	if (strpbrk(options.dataset, "@/*?[") ||
	    dataset_name_problem(options.dataset))
		return fail_usage(inv->cmd, "'%s' is no name of a dataset",
				  options.dataset);
	if (options.snapshot && strpbrk(options.snapshot, "@/*?["))
		return fail_usage(inv->cmd, "'%s' is no name of a snapshot",
				  options.snapshot);
	code = import_run(inv, &options, &report);
	if (inv->json && (code == CTL_OK || code == CTL_CHECK_FAILED ||
			  out_get_bool(report, "switched")))
		out_json(json_incref(report));
	else if (code == CTL_OK)
		print_report(report);
	json_decref(report);
	return code;
}

int run_import(struct invocation *inv)
{
	char *from = NULL;
	int code = resolve_from(inv, &from);

	if (code == CTL_OK)
		code = import_from(inv, from);
	free(from);
	return code;
}
