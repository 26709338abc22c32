/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nightly.h - what the configuration's section 'nightly' says, done once
 *
 * Below: config.h, 'dbs' itself as a child process a step.
 * Above: cmd_nightly.c.
 * Files: nightly.c (the run), plan.c (its steps), step.c (the child of one),
 * published.c (dumps that go), record.c (lock and result file).
 *
 * Its files are /var/lib/dbs/nightly.lock and nightly.json, or with
 * $DBS_STATE_DIR in there:
 *
 *   {version: 1, result: "running"|"ok"|"failed", code, pid, begin,
 *   end|null, duration_ms, error|null, last_ok|null (end of the last run
 *   that was ok), steps: [STEP...]}
 *
 * STEP: {name, kind: "import"|"prune"|"publish"|"refresh", dataset|null,
 * instance (of refresh), dir and keep: N|0 (of publish), command: [...]|null, result: "pending"|"running"|"ok"|"failed"|"skipped",
 * code|null, pid|null, begin|null, end|null, duration_ms|null, error|null,
 * snapshot|null, answer|null: what the command prints with --json, without
 * the manifest}
 *
 * Invariants:
 *  NI1  one run at a time; the result file is the run's that has the lock, and
 *       is replaced whole, by rename, as each step begins and ends.
 *  NI2  of a dataset whose import did not succeed nothing else is done.
 *  NI3  a step that crashes, or is killed, takes no other with it; a run that
 *       is killed ends its step.
 *  NI4  what the section names is pruned as it says there, and by no pattern.
 */
#ifndef DBS_TOOLS_NIGHTLY_NIGHTLY_H
#define DBS_TOOLS_NIGHTLY_NIGHTLY_H

#include <stdbool.h>

#include <jansson.h>

#include "tools/config.h"

struct nightly_options {
	const char *pool, *socket; /* --pool and --socket, or NULL */
	/* called after each step; may be NULL */
	void (*step_done)(const json_t *step);
};

/**
 * The steps that @config asks for, none of them done: [STEP...].
 * Owner: the caller drops it
 */
json_t *nightly_plan(const struct config *config,
		     const struct nightly_options *options);

/** What --dry-run prints of @steps: {dry_run: true, steps}; the caller's. */
json_t *nightly_shown(const json_t *steps);

/**
 * Do @steps.
 *
 * @result: out, what the result file says; the caller's; NULL: nothing was
 *          done
 *
 * Returns CTL_OK, or the exit code of the first step that failed, and has
 * said why.
 * Errors: CTL_CONFLICT another run goes on; CTL_FAILED interrupted; those of
 *         the steps
 */
int nightly_run(json_t *steps, const struct nightly_options *options,
		json_t **result);

/** Where the result file is. */
const char *nightly_result_path(void);

#endif
