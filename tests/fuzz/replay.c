/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c - run a harness on files, or on random bytes, without libFuzzer
 *
 *   fuzz-NAME [--random N] [--seed S] [--verbose] [FILE | FOLDER]...
 *
 * Whatever the harness finds ends the program: an assert, a sanitizer's
 * report, or the alarm when an input takes longer than any should.
 */
#include <dirent.h>
#include <getopt.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/lib/check.h"
#include "tests/lib/rnd.h"

#define INPUT_MAX (1u << 20)
#define SECONDS	  300u /* hundreds of times what one input takes */

static uint64_t nr_inputs;
static bool verbose;

static void run(const char *name, const uint8_t *data, size_t len)
{
	if (verbose)
		fprintf(stderr, "%s: %zu bytes\n", name, len);
	alarm(SECONDS);
	fuzz_one(data, len);
	alarm(0);
	nr_inputs++;
}

static void run_file(const char *path)
{
	uint8_t *data = malloc(INPUT_MAX);
	FILE *f = fopen(path, "rb");
	size_t len;

	if (!f || !data) {
		fprintf(stderr, "cannot read '%s'\n", path);
		exit(2);
	}
	len = fread(data, 1, INPUT_MAX, f);
	fclose(f);
	/* of its own length, so that reading past its end is seen */
	data = realloc(data, len ? len : 1);
	MUST(data);
	run(path, data, len);
	free(data);
}

static int compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void run_path(const char *path)
{
	struct dirent **entries;
	char name[4096];
	struct stat st;
	int nr;

	if (stat(path, &st)) {
		fprintf(stderr, "there is no '%s'\n", path);
		exit(2);
	}
	if (!S_ISDIR(st.st_mode)) {
		run_file(path);
		return;
	}
	nr = scandir(path, &entries, NULL, compare);
	MUST(nr >= 0);
	for (int i = 0; i < nr; i++) {
		if (entries[i]->d_name[0] != '.') {
			snprintf(name, sizeof(name), "%s/%s", path,
				 entries[i]->d_name);
			run_file(name);
		}
		free(entries[i]);
	}
	free(entries);
}

static void run_random(uint64_t seed, uint64_t nr)
{
	char name[64];

	for (uint64_t i = 0; i < nr; i++) {
		struct rnd r = {seed + i};
		size_t len = 1 + rnd_below(&r, rnd_one_in(&r, 4) ? 600 : 120);
		uint8_t *data = malloc(len);

		MUST(data);
		rnd_fill(&r, data, len);
		snprintf(name, sizeof(name), "seed %" PRIu64, seed + i);
		run(name, data, len);
		free(data);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"random", required_argument, NULL, 'n'},
		{"seed", required_argument, NULL, 's'},
		{"verbose", no_argument, NULL, 'v'},
		{0},
	};
	uint64_t nr_random = 0, seed = 1;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 'n':
			nr_random = strtoull(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'v':
			verbose = true;
			break;
		default:
			return 64;
		}
	fuzz_setup();
	for (int i = optind; i < argc; i++)
		run_path(argv[i]);
	run_random(seed, nr_random);
	printf("%" PRIu64 " inputs\n", nr_inputs);
	/* a corpus that is not there proves nothing */
	return nr_inputs > 0 ? 0 : 2;
}
