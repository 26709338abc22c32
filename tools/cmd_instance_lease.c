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

/* Does @pattern mean @inst, or the snapshot that it goes back to? */
static bool is_meant(const struct instance *inst, const char *pattern,
		     const char *ds)
{
	const char *from = out_get_text(inst->record, "dataset_from");
	const char *at = strchr(pattern, '@');
	char *from_ds;
	bool meant;

	if (!fnmatch(ds, inst->name, 0))
		return true;
	if (!*from)
		return false;
	if (at && strcmp(at, "@latest"))
		return !fnmatch(pattern, from, 0);
	/* with its dataset, or as perhaps the newest of it */
	from_ds = strndup(from, strcspn(from, "@"));
	meant = !from_ds || !fnmatch(ds, from_ds, 0);
	free(from_ds);
	return meant;
}

/* One that is gone needs nothing; one that cannot be read may need it. */
static int guard_one(const char *name, const char *pattern, const char *ds)
{
	struct instance inst;
	int code;

	if (!instance_exists(name))
		return CTL_OK;
	code = instance_open(name, 0, &inst);
	if (code == CTL_OK && is_meant(&inst, pattern, ds))
		code = instance_check_lease(&inst);
	instance_close(&inst);
	return code == CTL_NOT_FOUND ? CTL_OK : code;
}

int instance_guard(const char *pattern)
{
	char *ds = strndup(pattern, strcspn(pattern, "@"));
	json_t *names = instance_names(), *name;
	int code = ds ? CTL_OK : fail(CTL_FAILED, "out of memory");
	size_t i;

	json_array_foreach(names, i, name)
	{
		if (code == CTL_OK)
			code = guard_one(json_string_value(name), pattern, ds);
	}
	json_decref(names);
	free(ds);
	return code;
}

/* The year has four digits in what is recorded. */
static bool reads_back(int64_t until)
{
	char text[OUT_TEXT_MAX];

	return instance_parse_time(out_time(text, (time_t)until)) == until;
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
	if (!reads_back(*until))
		return fail_usage(inv->cmd, "'%s' is after the year 9999",
				  text);
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
