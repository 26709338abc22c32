/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the exerciser: random file operations on a mount, and a model
 *
 *	exerciser --work DIR [--seed S] [--seeds N] [--ops N] [--workers N]
 *		  [--commit MS] [--long] [--verbose]
 *	exerciser --work DIR --replay LIST...	each in turn
 *	exerciser --work DIR --reduce LIST [--tries N]
 *	exerciser --plain DIR ...	on a folder of any file system
 *	exerciser --mistake ...		the model is wrong: it must be found
 *
 * DBSFS is the daemon.  A difference is reduced to a short list of
 * operations, which is printed and stays in DIR/reduced.ops; the whole is in
 * DIR/failed.ops.  Exits 0 when there was none, 1 when there was, 2 when it
 * could not run.
 *
 * Source: the ideas of fsx (Apple, 1991), which checks one file's bytes, and
 * of fsstress (SGI), which works on trees; here both, several workers, and a
 * model that knows every attribute, and comes along through snapshots and
 * kills.
 */
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fs/exerciser/ex.h"

#define LONG_SEEDS 100u
#define LONG_OPS   10000u
#define SHOWN_MAX  40u /* operations of a list */

struct options {
	struct ex_settings s;
	uint64_t seeds;
	const char *reduce;
	bool replay;
	unsigned tries;
	bool any_workers, any_commit;
};

static uint64_t number(const char *text)
{
	char *end;
	const uint64_t n = strtoull(text, &end, 0);

	if (*end || end == text) {
		fprintf(stderr, "exerciser: '%s' is not a number\n", text);
		exit(2);
	}
	return n;
}

static bool parse_one(struct options *o, int c)
{
	switch (c) {
	case 'w':
		o->s.work = optarg;
		return true;
	case 's':
		o->s.seed = number(optarg);
		return true;
	case 'n':
		o->seeds = number(optarg);
		return true;
	case 'o':
		o->s.nr_ops = number(optarg);
		return true;
	case 't':
		o->s.workers = (unsigned)number(optarg);
		o->any_workers = false;
		return o->s.workers >= 1 && o->s.workers <= EX_WORKERS_MAX;
	case 'c':
		o->s.commit_ms = (unsigned)number(optarg);
		o->any_commit = false;
		return true;
	case 'l':
		o->seeds = LONG_SEEDS;
		o->s.nr_ops = LONG_OPS;
		return true;
	case 'r':
		o->replay = true;
		return true;
	case 'R':
		o->reduce = optarg;
		return true;
	case 'T':
		o->tries = (unsigned)number(optarg);
		return true;
	case 'p':
		o->s.plain = optarg;
		return true;
	case 'm':
		o->s.mistake = true;
		return true;
	case 'v':
		o->s.verbose = true;
		return true;
	default:
		return false;
	}
}

static bool parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{"work", required_argument, NULL, 'w'},
		{"seed", required_argument, NULL, 's'},
		{"seeds", required_argument, NULL, 'n'},
		{"ops", required_argument, NULL, 'o'},
		{"workers", required_argument, NULL, 't'},
		{"commit", required_argument, NULL, 'c'},
		{"long", no_argument, NULL, 'l'},
		{"replay", no_argument, NULL, 'r'},
		{"reduce", required_argument, NULL, 'R'},
		{"tries", required_argument, NULL, 'T'},
		{"plain", required_argument, NULL, 'p'},
		{"mistake", no_argument, NULL, 'm'},
		{"verbose", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (!parse_one(o, c))
			return false;
	o->s.dbsfs = getenv("DBSFS");
	return o->s.work && (o->s.plain || o->s.dbsfs);
}

/* -- after a failure ------------------------------------------------------- */

static void show(const struct ex_list *list)
{
	size_t from = list->nr > SHOWN_MAX ? list->nr - SHOWN_MAX : 0;

	fprintf(stderr, "workers %u commit %u\n", list->workers,
		list->commit_ms);
	if (from)
		fprintf(stderr, "(%zu operations before)\n", from);
	for (size_t i = from; i < list->nr; i++)
		fprintf(stderr, "%s\n", ex_op_text(&list->ops[i]));
}

/* What the first run said, last: it may not fail again. */
static void show_reason(const char *path)
{
	char line[PATH_MAX];
	FILE *f = fopen(path, "r");

	fprintf(stderr, "-- the first time it said:\n");
	if (!f) {
		fprintf(stderr, "nothing\n");
		return;
	}
	while (fgets(line, sizeof(line), f))
		fputs(line, stderr);
	fclose(f);
}

static void reduce(const struct options *o, const char *path)
{
	struct ex_settings s = o->s;
	char out[PATH_MAX];
	struct ex_list list;

	if (o->tries == 0 || s.plain)
		return;
	snprintf(out, sizeof(out), "%s/reduced.ops", s.work);
	ex_list_load(&list, path);
	fprintf(stderr, "reducing %zu operations\n", list.nr);
	ex_reduce(&s, &list, o->tries);
	ex_list_save(&list, out);
	fprintf(stderr, "-- %s\n", out);
	show(&list);
	s.replay = &list;
	s.workers = list.workers;
	s.commit_ms = list.commit_ms;
	fprintf(stderr, "-- it says:\n");
	ex_run_child(&s, false);
	ex_list_free(&list);
}

static int failed(const struct options *o, int code)
{
	char path[PATH_MAX], kept[PATH_MAX], reason[PATH_MAX];

	if (code != 1)
		return code;
	snprintf(path, sizeof(path), "%s/failed.ops.txt", o->s.work);
	snprintf(reason, sizeof(reason), "%s/failed-%ju.txt", o->s.work,
		 (uintmax_t)o->s.seed);
	rename(path, reason);
	snprintf(path, sizeof(path), "%s/failed.ops", o->s.work);
	snprintf(kept, sizeof(kept), "%s/failed-%ju.ops", o->s.work,
		 (uintmax_t)o->s.seed);
	if (rename(path, kept) == 0)
		reduce(o, kept);
	show_reason(reason);
	return code;
}

/* -- runs ------------------------------------------------------------------ */

static int replay(struct options *o, const char *path)
{
	struct ex_list list;
	int code;

	ex_list_load(&list, path);
	o->s.replay = &list;
	o->s.workers = list.workers;
	o->s.commit_ms = list.commit_ms;
	printf("%s: ", path);
	code = ex_run_child(&o->s, false);
	ex_list_free(&list);
	o->s.replay = NULL;
	return code;
}

/* What a seed is run with, unless it was said. */
static void vary(struct options *o)
{
	if (o->any_workers)
		o->s.workers = o->s.seed % 2 ? 1 : 4;
	if (o->any_commit)
		o->s.commit_ms = o->s.seed % 3 ? 50 : 5000;
}

int main(int argc, char **argv)
{
	struct options o = {
		.s = {.seed = 1, .nr_ops = 2000, .workers = 1, .commit_ms = 50},
		.seeds = 1,
		.tries = 600,
		.any_workers = true,
		.any_commit = true,
	};
	char path[PATH_MAX];
	int code = 0;

	if (!parse(&o, argc, argv)) {
		fprintf(stderr, "usage: see the head of main.c\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/mnt", o.s.work);
	if (mkdir(path, 0755) && access(path, F_OK) && !o.s.plain) {
		perror(path);
		return 2;
	}
	if (o.reduce) {
		reduce(&o, o.reduce);
		return 1;
	}
	for (int i = optind; o.replay && i < argc && code == 0; i++)
		code = failed(&o, replay(&o, argv[i]));
	for (uint64_t i = 0; !o.replay && i < o.seeds && code == 0; i++) {
		vary(&o);
		code = failed(&o, ex_run_child(&o.s, false));
		o.s.seed++;
	}
	return code;
}
