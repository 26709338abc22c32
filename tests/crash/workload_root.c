/* SPDX-License-Identifier: Apache-2.0 */
/* workload_root.c - what is done with datasets, snapshots and clones */
#include <stdio.h>
#include <string.h>

#include "tests/crash/workload_internal.h"
#include "tests/lib/check.h"

#define RECORD 16384u

/* A dataset that is worth a snapshot: some files, on disk. */
static uint32_t filled(struct scene *s, const char *prefix)
{
	const uint32_t id = scene_dataset(s, prefix, RECORD);

	scene_file(s, id, 3 * RECORD + 500);
	scene_file(s, id, 2000);
	return id;
}

static void forget_snap(struct scene *s, unsigned at)
{
	s->nr_snap--;
	memmove(&s->snap[at], &s->snap[at + 1],
		(s->nr_snap - at) * sizeof(s->snap[0]));
}

static void forget_dataset(struct scene *s, unsigned at)
{
	s->nr_ds--;
	memmove(&s->ds[at], &s->ds[at + 1], (s->nr_ds - at) * sizeof(s->ds[0]));
}

static void snapshot(struct scene *s, uint32_t id)
{
	char name[NAME_CAP];

	snprintf(name, sizeof(name), "s%u", s->serial++);
	s->snap[s->nr_snap++] = act_snapshot(s->l, id, name);
}

/* -- snapshot -------------------------------------------------------------- */

void snapshot_setup(struct scene *s)
{
	filled(s, "d");
	filled(s, "d");
	act_sync(s->l);
}

void snapshot_step(struct scene *s)
{
	char name[NAME_CAP];

	scene_scribble(s, s->ds[0]);
	if (rnd_one_in(s->rnd, 2))
		scene_scribble(s, s->ds[1]);
	if (rnd_one_in(s->rnd, 6)) {
		snprintf(name, sizeof(name), "m%u", s->serial++);
		act_snapshot_two(s->l, s->ds[0], s->ds[1], name);
		for (unsigned i = 0; i < 2; i++)
			act_destroy(s->l, model_find_name(&s->l->run.now,
							  s->ds[i], name)
						  ->id);
		return;
	}
	snapshot(s, s->ds[rnd_below(s->rnd, 2)]);
	scene_scribble(s, s->ds[0]);
	if (s->nr_snap > 4) {
		const unsigned at = (unsigned)rnd_below(s->rnd, s->nr_snap);

		act_destroy(s->l, s->snap[at]);
		forget_snap(s, at);
	}
}

/* -- clone ----------------------------------------------------------------- */

void clone_setup(struct scene *s)
{
	const uint32_t id = filled(s, "d");

	snapshot(s, id);
	scene_scribble(s, id);
	act_sync(s->l);
}

void clone_step(struct scene *s)
{
	const uint32_t from =
		rnd_one_in(s->rnd, 2) ? s->snap[0] : scene_pick_dataset(s);
	char name[NAME_CAP];
	uint32_t id;

	scene_scribble(s, scene_pick_dataset(s));
	scene_name(s, name, "c", s->serial++);
	id = act_clone(s->l, from, name);
	s->ds[s->nr_ds++] = id;
	scene_scribble(s, id);
	if (rnd_one_in(s->rnd, 2))
		scene_scribble(s, s->ds[0]);
	if (rnd_one_in(s->rnd, 3)) {
		scene_name(s, name, "r", s->serial++);
		act_rename_root(s->l, id, name);
	}
	if (rnd_one_in(s->rnd, 3)) {
		snprintf(name, sizeof(name), "v%u", s->serial++);
		act_user(s->l, id, (unsigned)rnd_below(s->rnd, 3), name);
	}
	if (rnd_one_in(s->rnd, 5))
		act_recordsize(s->l, id, 4096u << rnd_below(s->rnd, 6));
	if (s->nr_ds > 4) {
		const unsigned at = (unsigned)rnd_between(s->rnd, 1, s->nr_ds);

		act_destroy(s->l, s->ds[at]);
		forget_dataset(s, at);
	}
}

/* -- restore --------------------------------------------------------------- */

void restore_setup(struct scene *s)
{
	const uint32_t id = filled(s, "d");

	for (unsigned i = 0; i < 2; i++) {
		snapshot(s, id);
		scene_scribble(s, id);
	}
	act_sync(s->l);
}

void restore_step(struct scene *s)
{
	const uint32_t id = s->ds[0];
	char name[NAME_CAP];

	for (uint64_t i = rnd_below(s->rnd, 4); i > 0; i--)
		scene_scribble(s, id);
	if (rnd_one_in(s->rnd, 3)) {
		snprintf(name, sizeof(name), "n%u", s->serial++);
		act_create(s->l, id, ACT_ROOT, name, S_IFREG | 0644);
	}
	snprintf(name, sizeof(name), "k%u", s->serial++);
	if (s->nr_snap < 4 && rnd_one_in(s->rnd, 2)) {
		act_restore(s->l, id, s->snap[rnd_below(s->rnd, s->nr_snap)],
			    name);
		s->snap[s->nr_snap++] =
			model_find_name(&s->l->run.now, id, name)->id;
	} else {
		act_restore(s->l, id, s->snap[rnd_below(s->rnd, s->nr_snap)],
			    NULL);
	}
	scene_scribble(s, id);
	if (s->nr_snap > 3) {
		act_destroy(s->l, s->snap[1]);
		forget_snap(s, 1);
	}
}

/* -- destroy: trees that take the reaper several commits -------------------- */

void destroy_setup(struct scene *s)
{
	const uint32_t id = filled(s, "d");

	for (unsigned i = 0; i < 30; i++) {
		char name[NAME_CAP];
		uint64_t ino;

		snprintf(name, sizeof(name), "x%u", i);
		ino = act_create(s->l, id, ACT_ROOT, name, S_IFREG | 0644);
		act_xattr(s->l, id, ino, "user.a", 1000);
		act_xattr(s->l, id, ino, "user.b", 1000);
	}
	act_sync(s->l);
}

void destroy_step(struct scene *s)
{
	char name[NAME_CAP];
	uint32_t id;

	scene_name(s, name, "c", s->serial++);
	id = act_clone(s->l, s->ds[0], name);
	/* every leaf becomes the clone's own */
	for (unsigned i = 0; i < 30; i += 2) {
		snprintf(name, sizeof(name), "x%u", i);
		act_xattr(s->l, id, act_find(s->l, id, ACT_ROOT, name),
			  "user.a", 900);
	}
	scene_scribble(s, id);
	act_sync(s->l);
	act_destroy(s->l, id);
	for (unsigned i = 0; i < 4; i++) {
		scene_scribble(s, s->ds[0]);
		act_fsync(s->l, s->ds[0], s->ino[0]);
		if (rnd_one_in(s->rnd, 2))
			act_sync(s->l);
	}
}

/* -- reflink: files that share records, within and between datasets -------- */

void reflink_setup(struct scene *s)
{
	for (unsigned i = 0; i < 2; i++) {
		const uint32_t id = filled(s, "d");

		scene_file(s, id, 4 * RECORD);
	}
	act_sync(s->l);
}

void reflink_step(struct scene *s)
{
	/* each dataset has three files */
	const unsigned a = (unsigned)rnd_below(s->rnd, 6);
	const unsigned b = (unsigned)rnd_below(s->rnd, 6);
	const uint32_t from = s->ds[a / 3], to = s->ds[b / 3];
	const uint64_t size = act_size(s->l, from, s->ino[a]);
	uint64_t at = rnd_below(s->rnd, 3) * RECORD;

	if (a != b && at < size) {
		if (rnd_one_in(s->rnd, 4))
			at = rnd_below(s->rnd, size);
		act_copy(s->l, from, s->ino[a], at, to, s->ino[b],
			 rnd_below(s->rnd, 4) * RECORD,
			 rnd_between(s->rnd, 1, 4 * RECORD));
	}
	scene_scribble(s, rnd_one_in(s->rnd, 2) ? from : to);
	if (rnd_one_in(s->rnd, 5))
		act_truncate(s->l, to, s->ino[b],
			     rnd_below(s->rnd, 4 * RECORD));
	if (rnd_one_in(s->rnd, 2))
		act_fsync(s->l, to, s->ino[b]);
}

/* -- threads: each on its own datasets, commits in flight ------------------ */

void threads_setup(struct scene *s)
{
	filled(s, "");
}

void threads_step(struct scene *s)
{
	const uint32_t id = s->ds[0];
	char name[NAME_CAP];

	scene_scribble(s, id);
	switch (rnd_below(s->rnd, 8)) {
	case 0:
		snapshot(s, id);
		break;
	case 1:
		if (s->nr_ds < 3) {
			scene_name(s, name, "c", s->serial++);
			s->ds[s->nr_ds++] = act_clone(s->l, id, name);
			scene_scribble(s, s->ds[s->nr_ds - 1]);
		} else {
			act_destroy(s->l, s->ds[--s->nr_ds]);
		}
		break;
	case 2:
		if (s->nr_snap)
			act_restore(s->l, id, s->snap[0], NULL);
		break;
	case 3:
		snprintf(name, sizeof(name), "n%u", s->serial++);
		act_create(s->l, id, ACT_ROOT, name, S_IFREG | 0644);
		break;
	default:
		act_fsync(s->l, id, s->ino[0]);
	}
	if (s->nr_snap > 2) {
		act_destroy(s->l, s->snap[1]);
		forget_snap(s, 1);
	}
}

/* -- reopen: pools that were closed or crashed before ----------------------- */

void reopen_setup(struct scene *s)
{
	filled(s, "d");
	act_sync(s->l);
}

void reopen_step(struct scene *s)
{
	const uint32_t id = s->ds[0];

	for (uint64_t i = rnd_between(s->rnd, 1, 6); i > 0; i--) {
		scene_scribble(s, id);
		if (rnd_one_in(s->rnd, 2))
			act_fsync(s->l, id, s->ino[0]);
	}
	if (rnd_one_in(s->rnd, 2))
		return;
	lane_begin(s->l);
	model_run_reopen(&s->l->run, !rnd_one_in(s->rnd, 3));
	lane_end(s->l);
}

/* -- retry: whole records, each after a fresh open --------------------------- */

void retry_setup(struct scene *s)
{
	const uint32_t id = scene_dataset(s, "d", RECORD);

	scene_file(s, id, 0);
	act_sync(s->l);
}

/*
 * What is written first after an open goes to the same blocks as what a client
 * writes again when it was lost (trial.c), as long as nothing was freed.
 */
void retry_step(struct scene *s)
{
	const uint32_t id = s->ds[0];
	const uint64_t nr = rnd_between(s->rnd, 2, 5);

	lane_begin(s->l);
	model_run_reopen(&s->l->run, true);
	lane_end(s->l);
	for (uint64_t i = 0; i < nr; i++) {
		act_write(s->l, id, s->ino[0], act_size(s->l, id, s->ino[0]),
			  RECORD, ACT_RANDOM);
		act_fsync(s->l, id, s->ino[0]);
	}
}
