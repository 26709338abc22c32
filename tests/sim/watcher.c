/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watcher.c - who looks at everybody's datasets while they change
 *
 * What it sees is not compared with anything: its calls are made at all the
 * wrong moments, and must give one of the errors that they may give.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/check.h"
#include "tests/sim/sim.h"
#include "tests/sim/world.h"

#define PAUSE_NS UINT64_C(5000000)
#define BUF_SIZE 65536u

struct look {
	struct world *world;
	struct dataset *ds[2];
	uint64_t ino; /* a file that was seen in ds[0] */
	uint8_t *buf;
};

/* Gone meanwhile, or a fault. */
static void may_fail(const struct look *l, int rc, const char *what)
{
	if (rc == 0 || rc == -ENOENT || rc == -ESTALE || rc == -ENXIO)
		return;
	if (l->world->faults && (rc == -EIO || rc == -EROFS))
		return;
	sim_fail("the watcher's %s gives %d", what, rc);
}

/* A random dataset or snapshot; NULL when there is none any more. */
static struct dataset *pick(struct world *w)
{
	struct rnd *rnd = &w->watch_rnd;
	struct dataset *ds = NULL;
	uint32_t *ids = NULL, id = 0;
	size_t nr = 0;

	if (dataset_list(w->pool, 0, &ids, &nr) == 0 && nr)
		id = ids[rnd_below(rnd, nr)];
	free(ids);
	ids = NULL;
	if (id && rnd_one_in(rnd, 2) &&
	    dataset_list(w->pool, id, &ids, &nr) == 0 && nr)
		id = ids[rnd_below(rnd, nr)];
	free(ids);
	return id && dataset_open_id(w->pool, id, &ds) == 0 ? ds : NULL;
}

static int see_entry(void *arg, const char *name, size_t len,
		     const struct file_attr *attr, uint64_t cookie)
{
	struct look *l = arg;

	(void)name;
	(void)len;
	(void)cookie;
	if (S_ISREG(attr->mode) && rnd_one_in(&l->world->watch_rnd, 2))
		l->ino = attr->ino;
	return 0;
}

static int see_diff(void *arg, const struct diff_entry *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static void look_at_files(struct look *l)
{
	uint64_t at;
	size_t len;

	may_fail(l,
		 file_readdir(l->ds[0], MODEL_ROOT_INO, 0,
			      rnd_one_in(&l->world->watch_rnd, 2), see_entry,
			      l),
		 "readdir");
	if (!l->ino)
		return;
	may_fail(l,
		 file_read(l->ds[0], l->ino,
			   rnd_below(&l->world->watch_rnd, BUF_SIZE), l->buf,
			   BUF_SIZE, &len),
		 "read");
	may_fail(l, file_seek(l->ds[0], l->ino, 0, SEEK_HOLE, &at), "seek");
}

static void look(struct look *l)
{
	struct dataset_info info;
	struct pool_stat st;
	uint64_t bytes;

	switch (rnd_below(&l->world->watch_rnd, 5)) {
	case 0:
		may_fail(l, dataset_unique(l->ds, l->ds[1] ? 2 : 1, &bytes),
			 "unique");
		break;
	case 1:
		if (l->ds[1])
			may_fail(l,
				 dataset_diff(l->ds[0], l->ds[1], see_diff, l),
				 "diff");
		break;
	case 2:
		dataset_info(l->ds[0], &info);
		pool_stat(l->world->pool, &st);
		break;
	default:
		look_at_files(l);
	}
}

void watcher_main(void *arg)
{
	struct world *w = arg;
	struct look l = {.world = w, .buf = malloc(BUF_SIZE)};

	MUST(l.buf);
	while (!w->stop && w->nr_working > 0) {
		l.ino = 0;
		l.ds[0] = pick(w);
		l.ds[1] = pick(w);
		/* one of two equal ones would not be unique */
		if (l.ds[1] == l.ds[0]) {
			dataset_put(l.ds[1]);
			l.ds[1] = NULL;
		}
		if (l.ds[0])
			look(&l);
		dataset_put(l.ds[0]);
		dataset_put(l.ds[1]);
		sim_sleep(rnd_below(&w->watch_rnd, PAUSE_NS));
	}
	free(l.buf);
}
