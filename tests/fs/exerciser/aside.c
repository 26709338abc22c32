/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aside.c - snapshots and clones while the workers go on
 *
 * What each worker sees in it must be one of the states that it had from when
 * the command was given to when it was done.
 */
#include <time.h>

#include "tests/fs/exerciser/ex.h"

static uint64_t done_sum(struct ex_run *run)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < run->s.workers; i++)
		sum += atomic_load(&run->w[i].done);
	return sum;
}

/* The workers have done so many operations, or all there are. */
static void wait_done(struct ex_run *run, uint64_t target)
{
	const struct timespec pause = {.tv_nsec = 100000};

	while (done_sum(run) < target && atomic_load(&run->nr_busy))
		nanosleep(&pause, NULL);
}

/* Nothing that its name or source stands in the way of. */
static bool is_possible(struct ex_run *run, const struct ex_op *op)
{
	const struct model_root *src = ex_find_root(&run->w[0], op->path);
	char name[256];

	if (!src || src->parent)
		return false;
	if (op->kind == EX_SNAPRUN)
		snprintf(name, sizeof(name), "%s@%s", op->path, op->path2);
	else
		snprintf(name, sizeof(name), "%s", op->path2);
	return !ex_find_root(&run->w[0], name);
}

void ex_aside_run(struct ex_run *run, struct ex_aside *a, uint64_t base)
{
	const char *id;
	char answer[4096];
	int code;

	if (!is_possible(run, a->op))
		return;
	wait_done(run, base + (uint64_t)a->op->a);
	for (unsigned i = 0; i < run->s.workers; i++)
		a->from[i] = atomic_load(&run->w[i].done);
	if (a->op->kind == EX_SNAPRUN)
		code = ex_ask(run, answer, sizeof(answer), "snapshot",
			      "'name':'%s@%s'", a->op->path, a->op->path2);
	else
		code = ex_ask(run, answer, sizeof(answer), "clone",
			      "'source':'%s','name':'%s'", a->op->path,
			      a->op->path2);
	/* one may have begun and be there by now */
	for (unsigned i = 0; i < run->s.workers; i++)
		a->to[i] = atomic_load(&run->w[i].done) + 1;
	id = strstr(answer, "\"id\":");
	if (code || !id)
		ex_fail_run(run, "beside the workers: %s: %d, %s",
			    ex_op_text(a->op), code, answer);
	a->id = (uint32_t)strtoul(id + strlen("\"id\":"), NULL, 10);
}
