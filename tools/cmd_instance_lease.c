/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance_lease.c - dbs hold
 */
#include "tools/cmd.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/cmd_instance.h"
#include "tools/out.h"

#define REASON_MAX 200

int instance_guard(const char *pattern)
{
	char *ds = strndup(pattern, strcspn(pattern, "@"));
	json_t *names = instance_names(), *name;
	int code = CTL_OK;
	size_t i;

	json_array_foreach(names, i, name)
	{
		struct instance inst;

		if (code != CTL_OK || !ds ||
		    fnmatch(ds, json_string_value(name), 0))
			continue;
		if (instance_open(json_string_value(name), 0, &inst) == CTL_OK)
			code = instance_check_lease(&inst);
		instance_close(&inst);
	}
	json_decref(names);
	free(ds);
	return code;
}

/* "8h" from now, or a time. */
static int hold_until(const struct invocation *inv, int64_t *until)
{
	const char *text = inv_value(inv, "until");
	int64_t now = (int64_t)time(NULL), seconds;
	int code;

	if (!text)
		return fail_usage(inv->cmd, "hold: --until is missing");
	*until = instance_parse_time(text);
	if (!*until) {
		code = parse_duration(inv->cmd, text, &seconds);
		if (code != CTL_OK)
			return code;
		*until = now + seconds;
	}
	if (*until <= now)
		return fail_usage(inv->cmd, "'%s' is in the past", text);
	return CTL_OK;
}

static int hold_set(const struct invocation *inv, struct instance *inst)
{
	const char *reason = inv_value(inv, "reason");
	char text[OUT_TEXT_MAX];
	int64_t until = 0;
	int code = hold_until(inv, &until);

	if (code != CTL_OK)
		return code;
	if (!reason || !*reason || strlen(reason) > REASON_MAX)
		return fail_usage(inv->cmd,
				  "hold: --reason is missing, or has over %d "
				  "bytes",
				  REASON_MAX);
	json_object_set_new(inst->record, "lease",
			    json_pack("{s:s, s:o}", "until",
				      out_time(text, (time_t)until), "reason",
				      out_text(reason)));
	return CTL_OK;
}

int run_hold(struct invocation *inv)
{
	struct instance inst;
	int code = instance_open(inv_operand(inv, 0), INSTANCE_LOCK, &inst);

	if (code == CTL_OK && inv_has(inv, "release"))
		json_object_del(inst.record, "lease");
	else if (code == CTL_OK)
		code = hold_set(inv, &inst);
	if (code == CTL_OK)
		code = instance_save(&inst);
	if (code == CTL_OK && inv->json)
		out_json(instance_json(&inst));
	instance_close(&inst);
	return code;
}
