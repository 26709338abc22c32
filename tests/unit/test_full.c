/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_full.c - what a full pool still does
 *
 * A pool is filled in several ways until not even a name can be added.  What
 * was accepted can then be made durable, everything that gives space back
 * works, and the space does come back, without the pool being opened anew.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <sched.h>

#include "store/format.h"
#include "store/pool_internal.h"
#include "store/record.h"
#include "store/space_map_internal.h"
#include "store/util.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

#define MIB	  (UINT64_C(1) << 20)
#define NR_FILES  40u
#define NR_CUT	  10u
#define NR_CLONES 300u

static struct file_pool fp;
static struct rnd rnd;
static unsigned serial; /* of names */
static uint8_t noise[1u << 20];

/* os_monotonic_ns(), by the linker's --wrap: time can be made to fly */
uint64_t __real_os_monotonic_ns(void);
uint64_t __wrap_os_monotonic_ns(void);
static uint64_t hurry_ns; /* atomic: per call; 0: the real one */

uint64_t __wrap_os_monotonic_ns(void)
{
	static uint64_t flown;
	uint64_t step = __atomic_load_n(&hurry_ns, __ATOMIC_ACQUIRE);

	return __real_os_monotonic_ns() +
	       __atomic_add_fetch(&flown, step, __ATOMIC_ACQ_REL);
}

static int setup(void **state)
{
	struct dataset_properties p;

	(void)state;
	dataset_properties_default(&p);
	p.compression = 0;
	rnd.state = 1;
	rnd_fill(&rnd, noise, sizeof(noise));
	file_pool_init(&fp, 64, &p);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	file_pool_release(&fp);
	return 0;
}

static bool must_fit(int rc)
{
	if (rc && rc != -ENOSPC)
		print_error("got %d\n", rc);
	CHECK(rc == 0 || rc == -ENOSPC);
	return rc == 0;
}

static const char *numbered(const char *prefix, unsigned i)
{
	static char name[32];

	snprintf(name, sizeof(name), "%s%u", prefix, i);
	return name;
}

static bool try_make(struct dataset *ds, const char *name, uint64_t *ino)
{
	const struct file_new n = {.mode = S_IFREG | 0644};
	struct file_attr attr;
	int rc = file_create(ds, INO_ROOT, name, strlen(name), &n, &attr);

	*ino = rc ? 0 : attr.ino;
	return must_fit(rc);
}

static struct dataset *clone_no(unsigned i)
{
	struct dataset *ds;

	return dataset_open(fp.pool, numbered("c", i), &ds) ? NULL : ds;
}

/* -- ways to fill it ---------------------------------------------------------- */

/* All that is left, in ever smaller writes, then names and attributes. */
static void fill_rest(struct dataset *ds)
{
	uint64_t ino = find_name(ds, INO_ROOT, "rest"), at = 0;
	unsigned refused = 0;

	if (!ino && !try_make(ds, "rest", &ino))
		return;
	for (size_t len = sizeof(noise); len >= 512; len /= 2)
		while (must_fit(file_write(ds, ino, at, noise, len, 0)))
			at += round_up(len, 4096);
	for (unsigned i = 0; refused < 20 && i < 20000; i++) {
		uint64_t new_ino;

		if (!try_make(ds, numbered("name", serial++), &new_ino))
			refused++;
		if (!must_fit(file_setxattr(ds, ino, numbered("user.", i % 50),
					    noise, 100, 0)))
			refused++;
	}
}

static void fill_big(void)
{
	for (unsigned i = 0; i < NR_FILES; i++) {
		uint64_t ino, at = 0;

		if (!try_make(fp.ds, numbered("f", i), &ino))
			break;
		while (at < 3 * MIB &&
		       must_fit(file_write(fp.ds, ino, at, noise, MIB, 0)))
			at += MIB;
	}
}

static void fill_small(void)
{
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t ino;

		if (!try_make(fp.ds, numbered("f", i), &ino) ||
		    !must_fit(file_write(fp.ds, ino, 0, noise + i, 5000, 0)))
			break;
	}
}

static void fill_xattrs(void)
{
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t ino;

		if (!try_make(fp.ds, numbered("f", i), &ino) ||
		    !must_fit(file_write(fp.ds, ino, 0, noise, 20000, 0)) ||
		    !must_fit(file_setxattr(fp.ds, ino, "user.big", noise,
					    60000, 0)))
			break;
	}
}

/* Clones of one snapshot, each rewriting a part of it. */
static void fill_clones(void)
{
	struct dataset *s, *c;
	uint64_t ino;

	for (unsigned i = 0; i < 8; i++) {
		CHECK(try_make(fp.ds, numbered("f", i), &ino));
		write_at(fp.ds, ino, 0, noise, MIB);
	}
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	CHECK_OK(dataset_open(fp.pool, "ds@s", &s));
	for (unsigned i = 0; i < NR_CLONES; i++) {
		bool fits = must_fit(dataset_clone(s, numbered("c", i), NULL));

		c = fits ? clone_no(i) : NULL;
		for (unsigned k = 0; k < 20 && fits; k++) {
			ino = find_name(c, INO_ROOT, numbered("f", k % 8));
			fits = must_fit(file_write(c, ino,
						   rnd_below(&rnd, 64) << 14,
						   noise, 16384, 0));
		}
		if (c)
			dataset_put(c);
		if (!fits)
			break;
	}
	dataset_put(s);
}

/* -- what must work then ------------------------------------------------------ */

static uint64_t free_now(void)
{
	struct pool_stat st;

	CHECK_OK(pool_wait_reaped(fp.pool));
	CHECK_OK(pool_sync(fp.pool));
	CHECK_OK(pool_sync(fp.pool));
	pool_stat(fp.pool, &st);
	CHECK(!st.failed);
	return st.free;
}

static void must_sync(void)
{
	CHECK_OK(file_fsync(fp.ds, find_name(fp.ds, INO_ROOT, "rest")));
	CHECK_OK(pool_sync(fp.pool));
}

/* Each file to a size in the middle of a record, and of a block. */
static void must_truncate(void)
{
	for (unsigned i = 0; i < NR_CUT; i++) {
		uint64_t ino = find_name(fp.ds, INO_ROOT, numbered("f", i));
		uint8_t got[4999];
		size_t len;

		if (!ino || attr_of(fp.ds, ino).size == 0)
			continue;
		set_size(fp.ds, ino, 4999);
		CHECK_OK(file_read(fp.ds, ino, 0, got, sizeof(got), &len));
		CHECK_UINT(len, 4999);
	}
	set_size(fp.ds, find_name(fp.ds, INO_ROOT, "rest"), 0);
}

static void must_punch(void)
{
	for (unsigned i = 0; i < NR_CUT; i++) {
		uint64_t ino = find_name(fp.ds, INO_ROOT, numbered("f", i));

		if (ino)
			CHECK_OK(file_fallocate(fp.ds, ino,
						FALLOC_FL_PUNCH_HOLE |
							FALLOC_FL_KEEP_SIZE,
						100, MIB - 1000, 0));
	}
}

static int collect(void *arg, const char *name, size_t len,
		   const struct file_attr *attr, uint64_t cookie)
{
	char(*names)[32] = arg;
	unsigned i = 0;

	(void)cookie;
	if (attr->ino == INO_ROOT || name[0] == '.')
		return 0;
	while (i < 100 && names[i][0])
		i++;
	if (i == 100)
		return 1;
	memcpy(names[i], name, len);
	return 0;
}

static void remove_all(struct dataset *ds)
{
	char names[100][32];

	for (;;) {
		memset(names, 0, sizeof(names));
		CHECK_OK(file_readdir(ds, INO_ROOT, 0, false, collect, names));
		if (!names[0][0])
			break;
		for (unsigned i = 0; i < 100 && names[i][0]; i++)
			CHECK_OK(file_unlink(ds, INO_ROOT, names[i],
					     strlen(names[i]), NULL));
	}
}

/* rm -rf, in the clones too, and the snapshot. */
static void must_remove(void)
{
	struct dataset *s;

	remove_all(fp.ds);
	for (unsigned i = 0; i < NR_CLONES; i++) {
		struct dataset *c = clone_no(i);

		if (!c)
			break;
		remove_all(c);
		dataset_put(c);
	}
	if (dataset_open(fp.pool, "ds@s", &s) == 0) {
		CHECK_OK(dataset_destroy(s, 0));
		dataset_put(s);
	}
}

static void must_destroy(void)
{
	struct dataset_properties p = info_of(fp.ds).properties;
	uint32_t id;

	for (unsigned i = 0; i < NR_CLONES; i++) {
		struct dataset *c = clone_no(i);

		if (!c)
			break;
		CHECK_OK(dataset_destroy(c, 0));
		dataset_put(c);
	}
	CHECK_OK(dataset_destroy(fp.ds, DESTROY_SNAPSHOTS));
	dataset_put(fp.ds);
	CHECK_OK(pool_wait_reaped(fp.pool));
	CHECK_OK(dataset_create(fp.pool, FILE_POOL_DATASET, &p, &id));
	CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
}

static void must_reopen(void)
{
	file_pool_reopen(&fp, false);
	file_pool_reopen(&fp, true);
	must_remove();
}

struct way {
	const char *name;
	void (*fill)(void);
};

static const struct way ways[] = {
	{"big files", fill_big},
	{"small files", fill_small},
	{"xattrs", fill_xattrs},
	{"clones", fill_clones},
};

/* Fill the pool in each way, do @relief, and write again. */
static void each_way(void (*relief)(void), uint64_t gives_back)
{
	void *state = NULL;

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		uint64_t before, after, ino;

		if (i) {
			teardown(&state);
			setup(&state);
		}
		ways[i].fill();
		fill_rest(fp.ds);
		/* what the commit brought back, too */
		CHECK_OK(pool_sync(fp.pool));
		fill_rest(fp.ds);
		before = free_now();
		CHECK(before < 4 * MIB);
		relief();
		after = free_now();
		if (after < before + gives_back)
			print_error("%s: %ju bytes free, %ju before\n",
				    ways[i].name, (uintmax_t)after,
				    (uintmax_t)before);
		CHECK(after >= before + gives_back);
		if (gives_back) {
			CHECK(try_make(fp.ds, "again", &ino));
			write_at(fp.ds, ino, 0, noise, MIB / 2);
			CHECK_OK(file_fsync(fp.ds, ino));
		}
	}
}

static void full__what_was_accepted_can_be_synced(void **state)
{
	(void)state;
	each_way(must_sync, 0);
}

static void full__files_can_be_cut_inside_a_record(void **state)
{
	(void)state;
	each_way(must_truncate, 0);
}

static void full__holes_can_be_punched(void **state)
{
	(void)state;
	each_way(must_punch, 0);
}

static void full__everything_can_be_removed(void **state)
{
	(void)state;
	each_way(must_remove, 40 * MIB);
}

static void full__datasets_can_be_destroyed(void **state)
{
	(void)state;
	each_way(must_destroy, 40 * MIB);
}

static void full__it_can_be_closed_and_opened(void **state)
{
	(void)state;
	each_way(must_reopen, 40 * MIB);
}

#define NR_COUNTED (30 * 120u) /* records of 30 leaves or so */
#define NR_LATE	   5u

/* false: there is no more room */
static bool shadow_all_leaves(struct dataset *c)
{
	uint64_t ino = find_name(c, INO_ROOT, "counted");
	int rc = 0;

	for (uint64_t at = 0; at < NR_COUNTED && rc == 0; at += 60)
		rc = file_fallocate(c, ino,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    at << 12, 1u << 12, 0);
	return must_fit(rc);
}

/* Some 3,500 counts pass 254 in one commit, which has only the reserve. */
static void full__large_counts_of_one_commit_find_room(void **state)
{
	struct dataset_properties p = info_of(fp.ds).properties;
	struct pool_stat st;
	struct dataset *c;
	bool fits = true;
	uint64_t ino;

	(void)state;
	p.recordsize = 4096;
	CHECK_OK(dataset_set_properties(fp.ds, &p));
	ino = make_file(fp.ds, INO_ROOT, "counted");
	for (uint64_t at = 0; at < NR_COUNTED; at += 120)
		write_at(fp.ds, ino, at << 12, noise, 120u << 12);
	/* the head's leaf, and those of 253 clones */
	for (unsigned i = 0; i < 253 + NR_LATE; i++) {
		CHECK_OK(dataset_clone(fp.ds, numbered("c", i), NULL));
		if (i >= 253)
			continue;
		c = clone_no(i);
		CHECK(shadow_all_leaves(c));
		dataset_put(c);
	}
	CHECK_OK(pool_sync(fp.pool));
	fill_rest(fp.ds);
	CHECK_OK(pool_sync(fp.pool));
	fill_rest(fp.ds);
	for (unsigned i = 253; fits && i < 253 + NR_LATE; i++) {
		c = clone_no(i);
		fits = shadow_all_leaves(c);
		dataset_put(c);
	}
	CHECK(fits);
	CHECK_OK(pool_sync(fp.pool));
	pool_stat(fp.pool, &st);
	CHECK(!st.failed);
	for (unsigned i = 0; i < 253 + NR_LATE; i++) {
		c = clone_no(i);
		CHECK_OK(dataset_destroy(c, 0));
		dataset_put(c);
	}
	CHECK(free_now() > 20 * MIB);
}

/* Each commit has the time to reap 16 nodes, of some hundred. */
static void full__a_writer_waits_for_a_slow_reaper(void **state)
{
	struct dataset_properties p = info_of(fp.ds).properties;
	struct dataset *other;
	uint64_t ino;
	uint32_t id;

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "other", &p, &id));
	CHECK_OK(dataset_open(fp.pool, "other", &other));
	make_file(other, INO_ROOT, "kept");
	for (unsigned i = 0; try_make(fp.ds, numbered("f", i), &ino); i++)
		if (!must_fit(file_write(fp.ds, ino, 0, noise, 16384, 0)))
			break;
	CHECK_OK(pool_sync(fp.pool));
	__atomic_store_n(&hurry_ns, UINT64_C(60) * 1000 * 1000,
			 __ATOMIC_RELEASE);
	CHECK_OK(dataset_destroy(fp.ds, 0));
	dataset_put(fp.ds);
	ino = find_name(other, INO_ROOT, "kept");
	for (unsigned i = 0; i < 24; i++)
		CHECK_OK(file_write(other, ino, i * MIB, noise, MIB, 0));
	__atomic_store_n(&hurry_ns, 0, __ATOMIC_RELEASE);
	dataset_put(other);
	CHECK_OK(pool_wait_reaped(fp.pool));
	CHECK_OK(dataset_create(fp.pool, FILE_POOL_DATASET, &p, &id));
	CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
}

/* All that is free is single blocks, but for what the reaper will bring. */
static void full__a_record_waits_for_what_is_reaped(void **state)
{
	struct dataset_properties p = info_of(fp.ds).properties;
	struct space_map *sm = fp.pool->sm;
	uint64_t *taken = calloc(64 * MIB / 4096, sizeof(*taken));
	uint64_t reserve, first, ino;
	size_t nr = 0, kept = 0;
	struct dataset *other;
	uint32_t got;

	(void)state;
	CHECK(taken);
	CHECK_OK(dataset_create(fp.pool, "other", &p, NULL));
	CHECK_OK(dataset_open(fp.pool, "other", &other));
	ino = make_file(other, INO_ROOT, "f");
	write_at(other, ino, 0, noise, MIB);
	CHECK_OK(pool_sync(fp.pool));
	CHECK_OK(pool_sync(fp.pool));
	reserve = space_map_set_reserve(sm, 0);
	while (space_map_alloc(sm, 1, &taken[nr], &got) == 0)
		nr++;
	/* all the nodes that it needs from then on fit in between */
	for (size_t i = 0; i < nr; i++)
		if (taken[i] & 1)
			space_map_unalloc(sm, taken[i], 1);
		else
			taken[kept++] = taken[i];
	space_map_set_reserve(sm, reserve);
	CHECK_INT(record_alloc(fp.pool, 4, 0, &first), -ENOSPC);
	CHECK_OK(dataset_destroy(other, 0));
	dataset_put(other);
	CHECK_OK(record_alloc(fp.pool, 4, 0, &first));
	space_map_unalloc(sm, first, 4);
	for (size_t i = 0; i < kept; i++)
		space_map_unalloc(sm, taken[i], 1);
	free(taken);
}

struct writer {
	struct dataset *ds;
	uint64_t ino;
	int rc;	  /* of what did not fit, or 0 */
	bool end; /* atomic */
};

static void write_more(void *arg)
{
	struct writer *w = arg;

	for (unsigned i = 0; i < 24 && w->rc == 0; i++)
		w->rc = file_write(w->ds, w->ino, i * MIB, noise, MIB, 0);
	__atomic_store_n(&w->end, true, __ATOMIC_RELEASE);
}

static bool somebody_waits(void)
{
	struct space_map *sm = fp.pool->sm;
	bool waits;

	os_mutex_lock(&sm->lock);
	waits = sm->nr_waiting > 0;
	os_mutex_unlock(&sm->lock);
	return waits;
}

/* What a diff or a recount keeps back is waited for. */
static void full__a_writer_waits_for_who_holds_the_map(void **state)
{
	struct writer w = {.ds = fp.ds};
	struct os_thread t = {0};
	struct tree_root root;
	uint64_t ino;

	(void)state;
	fill_big();
	CHECK_OK(pool_sync(fp.pool));
	w.ino = make_file(fp.ds, INO_ROOT, "more");
	CHECK_OK(dataset_hold_root(fp.ds, &root));
	for (unsigned i = 0;
	     (ino = find_name(fp.ds, INO_ROOT, numbered("f", i))) != 0; i++)
		set_size(fp.ds, ino, 0);
	CHECK_OK(pool_sync(fp.pool));
	CHECK_OK(os_thread_start(&t, "more", write_more, &w));
	while (!somebody_waits() && !__atomic_load_n(&w.end, __ATOMIC_ACQUIRE))
		sched_yield();
	dataset_release_root(fp.pool, &root);
	os_thread_join(&t);
	CHECK_INT(w.rc, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(full__what_was_accepted_can_be_synced),
		TEST(full__files_can_be_cut_inside_a_record),
		TEST(full__holes_can_be_punched),
		TEST(full__everything_can_be_removed),
		TEST(full__datasets_can_be_destroyed),
		TEST(full__it_can_be_closed_and_opened),
		TEST(full__a_writer_waits_for_a_slow_reaper),
		TEST(full__a_record_waits_for_what_is_reaped),
		TEST(full__a_writer_waits_for_who_holds_the_map),
		TEST(full__large_counts_of_one_commit_find_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
