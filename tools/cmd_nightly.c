/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_nightly.c - dbs nightly
 */
#include "tools/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/config.h"
#include "tools/nightly/nightly.h"
#include "tools/out.h"

/* ---- what is printed ------------------------------------------------------------ */

static void print_plan(const json_t *steps)
{
	json_t *step, *arg;
	size_t i, k;

	json_array_foreach((json_t *)(uintptr_t)steps, i, step)
	{
		const char *dir = out_get_text(step, "dir");
		uint64_t keep = out_get_int(step, "keep");

		out_line("%s", out_get_text(step, "name"));
		fputs("   ", stdout);
		json_array_foreach(json_object_get(step, "command"), k, arg)
		{
			putchar(' ');
			out_escaped(stdout, json_string_value(arg));
		}
		if (*dir) {
			fputs(" look for the dump in ", stdout);
			out_escaped(stdout, dir);
			if (keep)
				printf(", keep the newest %u", (unsigned)keep);
		}
		putchar('\n');
	}
}

static void print_step(const json_t *step)
{
	const char *snapshot = out_get_text(step, "snapshot");
	const char *error = out_get_text(step, "error");
	char time[OUT_TEXT_MAX] = "";

	if (json_is_integer(json_object_get(step, "duration_ms")))
		out_duration(time, out_get_int(step, "duration_ms") *
					   UINT64_C(1000000));
	out_line("%s: %s%s%s%s%s%s%s", out_get_text(step, "name"),
		 out_get_text(step, "result"), *snapshot ? ", " : "", snapshot,
		 *time ? ", in " : "", time, *error ? ": " : "", error);
	/* it may be long until the next */
	fflush(stdout);
}

/* ---- the configuration ------------------------------------------------------------ */

/* --config is for the steps too, wherever they run. */
static int choose_config(const struct invocation *inv)
{
	const char *path = inv_value(inv, "config");
	char *absolute;
	int code = CTL_OK;

	if (!path)
		return CTL_OK;
	absolute = realpath(path, NULL);
	if (!absolute || access(absolute, R_OK))
		code = fail((int)ctl_code_of_errno(-errno), "'%s': %m", path);
	else if (setenv("DBS_CONFIG", absolute, 1))
		code = fail(CTL_FAILED, "out of memory");
	free(absolute);
	return code;
}

static int run_plan(const struct invocation *inv,
		    const struct nightly_options *options, json_t *steps)
{
	json_t *result = NULL;
	int code = CTL_OK;

	if (!json_array_size(steps))
		return fail(CTL_CONFIG,
			    "'%s' says nothing of what is to be done at "
			    "night; see dbs.yaml(5)",
			    config_path());
	if (inv_has(inv, "dry-run")) {
		if (inv->json)
			result = nightly_shown(steps);
		else
			print_plan(steps);
	} else {
		code = nightly_run(steps, options, &result);
	}
	if (inv->json && result)
		out_json(json_incref(result));
	json_decref(result);
	return code;
}

int run_nightly(struct invocation *inv)
{
	const struct nightly_options options = {
		.pool = inv_value(inv, "pool"),
		.socket = inv_value(inv, "socket"),
		.step_done = inv->json ? NULL : print_step,
	};
	struct config config;
	json_t *steps;
	int code = choose_config(inv);

	if (code == CTL_OK)
		code = config_open(&config);
	if (code != CTL_OK)
		return code;
	steps = nightly_plan(&config, &options);
	code = run_plan(inv, &options, steps);
	json_decref(steps);
	config_release(&config);
	return code;
}
