/* SPDX-License-Identifier: Apache-2.0 */
/* workload.c - the list of workloads, and how one is recorded */
#include "tests/crash/workload.h"

#include <stdio.h>
#include <string.h>

#include "store/os.h"
#include "tests/crash/clock.h"
#include "tests/crash/slow.h"
#include "tests/crash/workload_internal.h"
#include "tests/lib/check.h"

/* operations after which a recording ends however little was written */
#define OPS_MAX 3000u

static void mix_setup(struct scene *s)
{
	scene_dataset(s, "d", 16384);
}

/* Anything that model_run.h knows. */
static void mix_step(struct scene *s)
{
	lane_begin(s->l);
	model_run_step(&s->l->run);
	lane_end(s->l);
}

static void background_step(struct scene *s)
{
	if (rnd_one_in(s->rnd, 3))
		create_step(s);
	else
		scene_scribble(s, s->ds[0]);
}

const struct workload workloads[] = {
	{.name = "create",
	 .what = "small files and directories",
	 .setup = create_setup,
	 .step = create_step},
	{.name = "rename",
	 .what = "write anew and rename over; move; exchange",
	 .setup = rename_setup,
	 .step = rename_step},
	{.name = "overwrite",
	 .what = "pages of a table file",
	 .setup = overwrite_setup,
	 .step = overwrite_step},
	{.name = "redo",
	 .what = "appends to logs, an fsync each",
	 .setup = redo_setup,
	 .step = redo_step},
	{.name = "truncate",
	 .what = "truncate, punch, zero, partial records",
	 .setup = truncate_setup,
	 .step = truncate_step},
	{.name = "unlinked",
	 .what = "open files without a name",
	 .setup = unlinked_setup,
	 .step = unlinked_step},
	{.name = "attr",
	 .what = "xattrs, links, symlinks, modes",
	 .setup = attr_setup,
	 .step = attr_step},
	{.name = "snapshot",
	 .what = "snapshots of one and of two datasets",
	 .setup = snapshot_setup,
	 .step = snapshot_step},
	{.name = "clone",
	 .what = "clones, renamed, written to, destroyed",
	 .setup = clone_setup,
	 .step = clone_step},
	{.name = "restore",
	 .what = "restore, with and without what was there",
	 .setup = restore_setup,
	 .step = restore_step},
	{.name = "destroy",
	 .what = "the reaper over several commits",
	 .setup = destroy_setup,
	 .step = destroy_step,
	 .clock_ns = 25000000},
	{.name = "reflink",
	 .what = "records shared within and between datasets",
	 .setup = reflink_setup,
	 .step = reflink_step},
	{.name = "full",
	 .what = "a full pool, where freed blocks are soon taken again",
	 .setup = full_setup,
	 .step = full_step,
	 .full = true},
	{.name = "wrap",
	 .what = "the log's ring starts again",
	 .setup = wrap_setup,
	 .step = wrap_step},
	{.name = "reopen",
	 .what = "pools that were closed or crashed before",
	 .setup = reopen_setup,
	 .step = reopen_step},
	{.name = "retry",
	 .what = "what was lost in a crash is written again",
	 .setup = retry_setup,
	 .step = retry_step,
	 .again = true},
	{.name = "mix",
	 .what = "everything, at random",
	 .setup = mix_setup,
	 .step = mix_step},
	{.name = "background",
	 .what = "commits by the pool's own thread",
	 .setup = create_setup,
	 .step = background_step,
	 .background = true},
	{.name = "threads",
	 .what = "three clients and commits in flight",
	 .setup = threads_setup,
	 .step = threads_step,
	 .nr_lanes = 3,
	 .background = true},
};
const unsigned nr_workloads = ARRAY_SIZE(workloads);

/* -- scenes ---------------------------------------------------------------- */

void scene_name(const struct scene *s, char *name, const char *prefix,
		unsigned n)
{
	if (s->l->rec->nr_lanes > 1)
		snprintf(name, NAME_CAP, "t%u-%s%u", s->l->nr, prefix, n);
	else
		snprintf(name, NAME_CAP, "%s%u", prefix, n);
}

uint32_t scene_dataset(struct scene *s, const char *prefix, uint32_t recordsize)
{
	char name[NAME_CAP];
	uint32_t id;

	MUST(s->nr_ds < ARRAY_SIZE(s->ds));
	scene_name(s, name, prefix, s->serial++);
	id = act_dataset(s->l, name, recordsize);
	s->ds[s->nr_ds++] = id;
	return id;
}

uint32_t scene_pick_dataset(struct scene *s)
{
	return s->ds[rnd_below(s->rnd, s->nr_ds)];
}

uint64_t scene_file(struct scene *s, uint32_t id, size_t len)
{
	char name[NAME_CAP];
	uint64_t ino;

	MUST(s->nr_ino < ARRAY_SIZE(s->ino));
	snprintf(name, sizeof(name), "file%u", s->serial++);
	ino = act_create(s->l, id, ACT_ROOT, name, S_IFREG | 0644);
	if (len)
		act_write(s->l, id, ino, 0, len, ACT_TEXT);
	s->ino[s->nr_ino++] = ino;
	return ino;
}

static const struct model_tree *tree_of(const struct scene *s, uint32_t id)
{
	return model_find(&s->l->run.now, id)->tree;
}

bool scene_pick_name(struct scene *s, uint32_t id, char *name)
{
	const struct model_tree *t = tree_of(s, id);
	const struct model_inode *dir = model_inode(t, ACT_ROOT);
	const size_t start = rnd_below(s->rnd, dir->nr_names);

	for (size_t i = 0; i < dir->nr_names; i++) {
		const struct model_name *n =
			&dir->names[(start + i) % dir->nr_names];

		if (!S_ISREG(model_inode(t, n->ino)->attr.mode))
			continue;
		snprintf(name, NAME_CAP, "%s", n->name);
		return true;
	}
	return false;
}

void scene_scribble(struct scene *s, uint32_t id)
{
	const bool page = rnd_one_in(s->rnd, 3);
	char name[NAME_CAP];
	uint64_t ino, size;

	if (!scene_pick_name(s, id, name))
		return;
	ino = act_find(s->l, id, ACT_ROOT, name);
	size = act_size(s->l, id, ino);
	act_write(s->l, id, ino,
		  page ? rnd_below(s->rnd, 4) * 16384
		       : rnd_below(s->rnd, MIN_OF(size, 60000u) + 1),
		  page ? 16384 : rnd_between(s->rnd, 1, 3000),
		  rnd_one_in(s->rnd, 2) ? ACT_TEXT : ACT_RANDOM);
}

/* -- recording ------------------------------------------------------------- */

struct client {
	struct scene scene;
	const struct workload *w;
	uint64_t until; /* writes of the device */
	struct os_thread thread;
};

static bool enough(const struct client *c)
{
	return c->scene.l->run.nr_ops > OPS_MAX ||
	       blkdev_faulty_calls(c->scene.l->rec->faulty,
				   BLKDEV_CALL_WRITE) >= c->until;
}

static void client_main(void *arg)
{
	struct client *c = arg;

	while (!enough(c)) {
		c->w->step(&c->scene);
		/* a full pool commits when it needs to */
		if (rnd_one_in(c->scene.rnd, c->w->full ? 100 : 12))
			act_sync(c->scene.l);
	}
}

void workload_record(const struct workload *w, uint64_t seed,
		     uint64_t nr_writes, struct recording *rec, uint8_t **base)
{
	const struct pool_options options = {.cache_bytes = 4u << 20,
					     .commit_ms = 2,
					     .no_background = !w->background};
	const unsigned nr = MAX_OF(w->nr_lanes, 1u);
	struct client clients[CRASH_LANES] = {0};
	struct store_error error = {""};
	struct blkdev *dev;

	clock_reset(seed, 0, w->clock_ns);
	dev = recording_new_pool(base);
	if (w->background)
		dev = slow_open(dev);
	MUST(recording_open(rec, dev, &options, nr, seed, &error) == 0);
	for (unsigned i = 0; i < nr; i++) {
		clients[i].w = w;
		clients[i].scene.l = &rec->lanes[i];
		clients[i].scene.rnd = &rec->lanes[i].run.rnd;
		w->setup(&clients[i].scene);
	}
	rec->first = blkdev_faulty_nr_events(rec->faulty);
	for (unsigned i = 0; i < nr; i++) {
		struct client *c = &clients[i];

		c->until = nr_writes +
			   blkdev_faulty_calls(rec->faulty, BLKDEV_CALL_WRITE);
		if (nr == 1)
			client_main(c);
		else
			MUST(os_thread_start(&c->thread, "client", client_main,
					     c) == 0);
	}
	for (unsigned i = 0; i < nr; i++)
		os_thread_join(&clients[i].thread);
	recording_end(rec, NULL);
}
