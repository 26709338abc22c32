/* SPDX-License-Identifier: Apache-2.0 */
/* act_internal.h - shared by act.c and act_root.c */
#ifndef DBS_TESTS_CRASH_ACT_INTERNAL_H
#define DBS_TESTS_CRASH_ACT_INTERNAL_H

#include "tests/crash/act.h"
#include "tests/lib/model_run_internal.h"

/* An operation under way on one root. */
struct act {
	struct model_run *run;
	struct model_root *root;
	struct dataset *ds; /* a reference */
};

struct act act_begin(struct lane *l, uint32_t id);
void act_end(struct lane *l, struct act *a);
/** @rc is 0, or the program ends. */
void act_must(struct act *a, int rc);

#endif
