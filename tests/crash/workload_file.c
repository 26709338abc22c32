/* SPDX-License-Identifier: Apache-2.0 */
/* workload_file.c - what servers and people do to files */
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>

#include "tests/crash/workload_internal.h"
#include "tests/lib/check.h"

#define PAGE  16384u /* InnoDB's */
#define PAGES 24u
#define REDO  (UINT64_C(192) << 10)

/* -- create: a directory of small files ------------------------------------ */

void create_setup(struct scene *s)
{
	const uint32_t id = scene_dataset(s, "d", 16384);

	for (unsigned i = 0; i < 3; i++) {
		char name[NAME_CAP];

		snprintf(name, sizeof(name), "dir%u", i);
		s->ino[i] =
			act_create(s->l, id, ACT_ROOT, name, S_IFDIR | 0755);
	}
	s->nr_ino = 3;
}

void create_step(struct scene *s)
{
	const uint32_t id = s->ds[0];
	const uint64_t dir =
		rnd_one_in(s->rnd, 3) ? ACT_ROOT : s->ino[rnd_below(s->rnd, 3)];
	char name[NAME_CAP];
	uint64_t ino;

	snprintf(name, sizeof(name), "f%u", s->serial++);
	ino = act_create(s->l, id, dir, name, S_IFREG | 0644);
	for (uint64_t i = rnd_below(s->rnd, 3); i > 0; i--)
		act_write(s->l, id, ino, act_size(s->l, id, ino),
			  rnd_between(s->rnd, 1, 6000), ACT_TEXT);
	if (rnd_one_in(s->rnd, 3))
		act_fsync(s->l, id, ino);
	if (rnd_one_in(s->rnd, 3) && scene_pick_name(s, id, name))
		act_remove(s->l, id, ACT_ROOT, name);
	if (rnd_one_in(s->rnd, 6)) {
		snprintf(name, sizeof(name), "sub%u", s->serial++);
		ino = act_create(s->l, id, dir, name, S_IFDIR | 0700);
		if (rnd_one_in(s->rnd, 2))
			act_fsync(s->l, id, ino);
		if (rnd_one_in(s->rnd, 2))
			act_remove(s->l, id, dir, name);
	}
}

/* -- rename: write anew, then rename over; move and exchange --------------- */

void rename_setup(struct scene *s)
{
	create_setup(s);
}

void rename_step(struct scene *s)
{
	const uint32_t id = s->ds[0];
	const uint64_t a = s->ino[rnd_below(s->rnd, 3)];
	const uint64_t b = s->ino[rnd_below(s->rnd, 3)];
	char name[NAME_CAP], other[NAME_CAP];
	uint64_t ino, x, y;

	snprintf(name, sizeof(name), "conf%u", (unsigned)rnd_below(s->rnd, 4));
	snprintf(other, sizeof(other), "conf%u",
		 (unsigned)rnd_below(s->rnd, 4));
	x = act_find(s->l, id, a, name);
	y = act_find(s->l, id, b, other);
	if (x && y && x != y && rnd_one_in(s->rnd, 3)) {
		act_rename(s->l, id, a, name, b, other,
			   rnd_one_in(s->rnd, 2) ? RENAME_EXCHANGE : 0);
		return;
	}
	if (x && rnd_one_in(s->rnd, 4)) {
		snprintf(other, sizeof(other), "old%u", s->serial++);
		act_rename(s->l, id, a, name, b, other, 0);
		return;
	}
	ino = act_create(s->l, id, a, "tmp", S_IFREG | 0644);
	act_write(s->l, id, ino, 0, rnd_between(s->rnd, 1, 9000), ACT_TEXT);
	if (!rnd_one_in(s->rnd, 3))
		act_fsync(s->l, id, ino);
	act_rename(s->l, id, a, "tmp", a, name, 0);
	if (rnd_one_in(s->rnd, 3))
		act_fsync(s->l, id, a);
}

/* -- overwrite: pages of a table file -------------------------------------- */

void overwrite_setup(struct scene *s)
{
	const uint32_t id = scene_dataset(s, "d", PAGE);

	scene_file(s, id, PAGES * PAGE);
	act_sync(s->l);
}

void overwrite_step(struct scene *s)
{
	const uint32_t id = s->ds[0];

	for (uint64_t i = rnd_between(s->rnd, 1, 4); i > 0; i--)
		act_write(s->l, id, s->ino[0], rnd_below(s->rnd, PAGES) * PAGE,
			  PAGE * rnd_between(s->rnd, 1, 3),
			  rnd_one_in(s->rnd, 2) ? ACT_TEXT : ACT_RANDOM);
	if (rnd_one_in(s->rnd, 2))
		act_fsync(s->l, id, s->ino[0]);
}

/* -- redo: a ring of log blocks and a growing log, fsync after each -------- */

void redo_setup(struct scene *s)
{
	const uint32_t id = scene_dataset(s, "d", 16384);

	scene_file(s, id, REDO);
	scene_file(s, id, 0);
	act_sync(s->l);
}

void redo_step(struct scene *s)
{
	const uint32_t id = s->ds[0];
	const uint64_t ring = s->ino[0], binlog = s->ino[1];
	const size_t len = (size_t)rnd_between(s->rnd, 1, 5000);

	if (s->pos[0] + len > REDO)
		s->pos[0] = 0;
	act_write(s->l, id, ring, s->pos[0], len, ACT_RANDOM);
	/* the next commit writes the last block once more */
	s->pos[0] += round_down(len, (size_t)512);
	if (rnd_one_in(s->rnd, 3))
		act_write(s->l, id, binlog, act_size(s->l, id, binlog),
			  rnd_between(s->rnd, 1, 700), ACT_TEXT);
	act_fsync(s->l, id, ring);
	if (rnd_one_in(s->rnd, 3))
		act_fsync(s->l, id, binlog);
	if (act_size(s->l, id, binlog) > 50000)
		act_truncate(s->l, id, binlog, 0);
}

/* -- truncate: sizes, holes and edges -------------------------------------- */

void truncate_setup(struct scene *s)
{
	const uint32_t id =
		scene_dataset(s, "d", 4096u << rnd_below(s->rnd, 6));

	for (unsigned i = 0; i < 3; i++)
		scene_file(s, id, 60000);
	act_sync(s->l);
}

void truncate_step(struct scene *s)
{
	static const int modes[] = {0,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE};
	const uint32_t id = s->ds[0];
	const uint64_t ino = s->ino[rnd_below(s->rnd, 3)];
	const uint64_t size = act_size(s->l, id, ino);

	switch (rnd_below(s->rnd, 4)) {
	case 0:
		act_truncate(s->l, id, ino, rnd_below(s->rnd, size + 5000));
		break;
	case 1:
		act_fallocate(s->l, id, ino, modes[rnd_below(s->rnd, 4)],
			      rnd_below(s->rnd, 60000),
			      rnd_between(s->rnd, 1, 40000));
		break;
	case 2:
		act_write(s->l, id, ino, rnd_below(s->rnd, size + 1),
			  rnd_between(s->rnd, 1, 20000), ACT_RANDOM);
		break;
	default:
		if (size > 150000)
			act_truncate(s->l, id, ino, 0);
		act_write(s->l, id, ino,
			  size > 150000 ? 0 : size + rnd_below(s->rnd, 9000),
			  rnd_between(s->rnd, 1, 3000), ACT_TEXT);
	}
	if (rnd_one_in(s->rnd, 3))
		act_fsync(s->l, id, ino);
}

/* -- unlinked: files that are open and have no name ------------------------ */

void unlinked_setup(struct scene *s)
{
	const uint32_t id = scene_dataset(s, "d", 16384);

	scene_file(s, id, 30000);
	act_sync(s->l);
}

void unlinked_step(struct scene *s)
{
	const uint32_t id = s->ds[0];
	char name[NAME_CAP];
	uint64_t ino;

	/* what was opened some steps ago */
	if (s->nr_ino > 5 || (s->nr_ino > 1 && rnd_one_in(s->rnd, 3)))
		act_close(s->l, id, s->ino[--s->nr_ino]);
	if (rnd_one_in(s->rnd, 2)) {
		ino = act_create_unnamed(s->l, id);
	} else {
		snprintf(name, sizeof(name), "u%u", s->serial++);
		ino = act_create(s->l, id, ACT_ROOT, name, S_IFREG | 0600);
		act_open(s->l, id, ino);
		act_write(s->l, id, ino, 0, rnd_between(s->rnd, 1, 40000),
			  ACT_RANDOM);
		act_remove(s->l, id, ACT_ROOT, name);
	}
	act_write(s->l, id, ino, rnd_below(s->rnd, 20000),
		  rnd_between(s->rnd, 1, 20000), ACT_TEXT);
	s->ino[s->nr_ino++] = ino;
	if (rnd_one_in(s->rnd, 2)) {
		scene_scribble(s, id);
		act_fsync(s->l, id, ino);
	}
	if (rnd_one_in(s->rnd, 8)) {
		snprintf(name, sizeof(name), "named%u", s->serial++);
		scene_scribble(s, id);
		act_create(s->l, id, ACT_ROOT, name, S_IFREG | 0600);
	}
}

/* -- attr: xattrs, links, symlinks, modes ---------------------------------- */

void attr_setup(struct scene *s)
{
	const uint32_t id = scene_dataset(s, "d", 16384);

	for (unsigned i = 0; i < 4; i++)
		scene_file(s, id, 100);
	act_sync(s->l);
}

void attr_step(struct scene *s)
{
	const uint32_t id = s->ds[0];
	const uint64_t ino = s->ino[rnd_below(s->rnd, 4)];
	const struct model_inode *in =
		model_inode(model_find(&s->l->run.now, id)->tree, ino);
	char name[NAME_CAP], target[1500];

	switch (rnd_below(s->rnd, 5)) {
	case 0:
		snprintf(name, sizeof(name), "user.x%u",
			 (unsigned)rnd_below(s->rnd, 5));
		act_xattr(s->l, id, ino, name,
			  rnd_below(s->rnd, rnd_one_in(s->rnd, 4) ? 6000 : 90));
		break;
	case 1:
		if (in->nr_xattrs)
			act_xattr(s->l, id, ino,
				  strcpy(name, in->xattrs[0].name), SIZE_MAX);
		break;
	case 2:
		act_mode(s->l, id, ino, (uint32_t)rnd_below(s->rnd, 01000));
		break;
	case 3:
		snprintf(name, sizeof(name), "l%u", s->serial++);
		act_link(s->l, id, ino, ACT_ROOT, name);
		break;
	default:
		snprintf(name, sizeof(name), "s%u", s->serial++);
		memset(target, 't', sizeof(target));
		target[rnd_between(s->rnd, 1, sizeof(target))] = '\0';
		act_symlink(s->l, id, ACT_ROOT, name, target);
		act_remove(s->l, id, ACT_ROOT, name);
	}
	if (s->serial % 7 == 6 && scene_pick_name(s, id, name) &&
	    name[0] == 'l')
		act_remove(s->l, id, ACT_ROOT, name);
	if (rnd_one_in(s->rnd, 3))
		act_fsync(s->l, id, ino);
}

/* -- full: what was freed is soon written again ----------------------------- */

#define FULL_LEFT (UINT64_C(3) << 19)
#define LARGE	  131072u /* one record is many blocks */

void full_setup(struct scene *s)
{
	const uint32_t id = scene_dataset(s, "d", LARGE);
	const uint32_t filler = scene_dataset(s, "filler", LARGE);
	struct pool_stat st;
	uint64_t ino;

	scene_file(s, id, 3 * LARGE);
	scene_file(s, id, 0);
	ino = scene_file(s, filler, 0);
	for (pool_stat(s->l->run.pool, &st); st.free > FULL_LEFT;
	     pool_stat(s->l->run.pool, &st))
		act_write(s->l, filler, ino, act_size(s->l, filler, ino),
			  MIN_OF(st.free - FULL_LEFT + 4096, 1u << 20),
			  ACT_RANDOM);
	act_sync(s->l);
}

void full_step(struct scene *s)
{
	const uint32_t id = s->ds[0];

	for (unsigned i = 0; i < 4; i++)
		act_write(s->l, id, s->ino[0], rnd_below(s->rnd, 3) * LARGE,
			  LARGE, ACT_RANDOM);
	act_write(s->l, id, s->ino[1], rnd_below(s->rnd, 9000),
		  rnd_between(s->rnd, 1, 4000), ACT_RANDOM);
	if (rnd_one_in(s->rnd, 3))
		act_fsync(s->l, id, s->ino[0]);
}

/* -- wrap: the log's ring comes to its end and starts again ---------------- */

void wrap_setup(struct scene *s)
{
	const uint32_t id = scene_dataset(s, "d", 16384);
	const uint64_t ino = scene_file(s, id, 64);

	/* two blocks of log each, of 1,024 that a small pool's ring has */
	for (unsigned i = 0; i < 480; i++) {
		act_write(s->l, id, ino, (i % 8) * 16384 + 100, 7000,
			  ACT_RANDOM);
		act_fsync(s->l, id, ino);
	}
}

void wrap_step(struct scene *s)
{
	const uint32_t id = s->ds[0];

	act_write(s->l, id, s->ino[0], rnd_below(s->rnd, 9) * 16384 + 90,
		  rnd_between(s->rnd, 4000, 14000), ACT_RANDOM);
	if (!rnd_one_in(s->rnd, 4))
		act_fsync(s->l, id, s->ino[0]);
}
