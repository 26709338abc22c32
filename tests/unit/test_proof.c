/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/check.h"
#include "tools/import/proof.h"

#define MIB (1u << 20)

struct dir {
	char path[64], file[96];
	struct proof *proof;
};

static void dir_begin(struct dir *d)
{
	snprintf(d->path, sizeof(d->path), "/tmp/dbs-proof.XXXXXX");
	MUST(mkdtemp(d->path));
	snprintf(d->file, sizeof(d->file), "%s/a.ibd", d->path);
	MUST(!proof_new(&d->proof));
}

static void dir_end(struct dir *d)
{
	proof_free(d->proof);
	unlink(d->file);
	rmdir(d->path);
}

static void put(const struct dir *d, off_t at, const char *text, off_t size)
{
	int fd = open(d->file, O_WRONLY | O_CREAT, 0600);

	MUST(fd >= 0);
	MUST(pwrite(fd, text, strlen(text), at) == (ssize_t)strlen(text));
	MUST(!ftruncate(fd, size));
	close(fd);
}

static int value(struct proof *proof, int column, const char *in,
		 const char *out)
{
	const struct mask_value v = {in, strlen(in), VALUE_STRING};
	const struct mask_buf buf = {
		.bytes = (char *)out, .len = strlen(out), .kind = VALUE_STRING};

	return proof_value(proof, column, &v, &buf);
}

static void proof__finds_a_value_wherever_it_stands(void **state)
{
	static const off_t places[] = {
		0,	 1,   MIB - 70, MIB - 64,    MIB - 63,
		MIB - 1, MIB, MIB + 1,	2 * MIB - 7, 3 * MIB - 22};

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct proof_hit hit;
		struct dir d;

		dir_begin(&d);
		MUST(proof_column(d.proof, "s.c.email", false, false, false) ==
		     0);
		CHECK_OK(value(d.proof, 0, "mary.smith@example.org", "x@y.z"));
		put(&d, places[i], "mary.smith@example.org", 3 * MIB);
		CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 1);
		CHECK_UINT(hit.offset, places[i]);
		CHECK_STR(hit.file, "a.ibd");
		CHECK_STR(hit.column, "s.c.email");
		dir_end(&d);
	}
}

/* A file full of data, so that no hole is passed over. */
static void proof__finds_a_value_across_reads(void **state)
{
	struct proof_hit hit;
	char *junk = malloc(3 * MIB);
	struct dir d;
	int fd;

	(void)state;
	MUST(junk);
	for (size_t i = 0; i < 3 * MIB; i++)
		junk[i] = (char)('0' + i % 7);
	dir_begin(&d);
	proof_column(d.proof, "s.c.n", false, false, false);
	CHECK_OK(value(d.proof, 0, "An Avenue of some length 17", "y"));
	memcpy(junk + MIB - 5, "An Avenue of some length 17", 27);
	fd = open(d.file, O_WRONLY | O_CREAT, 0600);
	MUST(write(fd, junk, 3 * MIB) == 3 * MIB);
	close(fd);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 1);
	CHECK_UINT(hit.offset, MIB - 5);
	dir_end(&d);
	free(junk);
}

/* Threads take pieces of 32 MiB. */
static void proof__finds_a_value_across_pieces(void **state)
{
	static const off_t places[] = {32 * MIB - 7, 32 * MIB, 64 * MIB - 1};

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct proof_hit hit;
		struct dir d;

		dir_begin(&d);
		proof_column(d.proof, "s.c.n", false, false, false);
		CHECK_OK(value(d.proof, 0, "An Avenue of some length", "y"));
		put(&d, 20 * MIB, "something else", 70 * MIB);
		put(&d, places[i], "An Avenue of some length", 70 * MIB);
		CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 1);
		CHECK_UINT(hit.offset, places[i]);
		dir_end(&d);
	}
}

/* Beginnings of all kinds, so that the map of four bytes is a large one. */
static void proof__finds_each_of_many_values(void **state)
{
	struct proof_hit hit;
	char text[32];
	struct dir d;

	(void)state;
	dir_begin(&d);
	proof_column(d.proof, "s.c.n", false, false, false);
	for (uint64_t i = 1; i < 200000; i++) {
		snprintf(
			text, sizeof(text), "%016llx",
			(unsigned long long)(i * UINT64_C(0x9e3779b97f4a7c15)));
		MUST(!value(d.proof, 0, text, "y"));
	}
	for (uint64_t i = 1; i < 200000; i += 19997) {
		snprintf(
			text, sizeof(text), "%016llx",
			(unsigned long long)(i * UINT64_C(0x9e3779b97f4a7c15)));
		unlink(d.file);
		put(&d, (off_t)(4096 + i), text, 3 * MIB);
		CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 1);
		CHECK_UINT(hit.offset, 4096 + i);
	}
	unlink(d.file);
	put(&d, 4096, "0123456789abcdeg", 3 * MIB);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 0);
	dir_end(&d);
}

static void proof__a_hole_after_a_value_hides_nothing(void **state)
{
	struct proof_hit hit;
	struct dir d;

	(void)state;
	dir_begin(&d);
	proof_column(d.proof, "s.c.n", false, false, false);
	CHECK_OK(value(d.proof, 0, "+49 30 5550100", "+49 30 1234567"));
	put(&d, 65536 - 14, "+49 30 5550100", 8 * MIB);
	put(&d, 7 * MIB, "something else", 8 * MIB);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 1);
	CHECK_UINT(hit.offset, 65536 - 14);
	dir_end(&d);
}

static void proof__what_is_short_is_left_out_and_counted(void **state)
{
	struct proof_hit hit;
	struct dir d;

	(void)state;
	dir_begin(&d);
	proof_column(d.proof, "s.c.n", false, false, false);
	CHECK_OK(value(d.proof, 0, "Mary", "Kelo"));
	CHECK_OK(value(d.proof, 0, "123456789", "987654321"));
	put(&d, 100, "Mary 123456789", 4096);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 0);
	CHECK_UINT(proof_stats(d.proof)->nr_short, 2);
	CHECK_UINT(proof_stats(d.proof)->nr_values, 0);
	CHECK_UINT(proof_stats(d.proof)->bytes, 4096);
	CHECK_UINT(proof_stats(d.proof)->nr_files, 1);
	dir_end(&d);
}

static void proof__a_word_of_kept_text_is_left_out_and_others_not(void **state)
{
	struct proof_hit hit;
	struct dir d;

	(void)state;
	dir_begin(&d);
	proof_column(d.proof, "s.c.n", false, false, false);
	CHECK_OK(value(d.proof, 0, "VIRGINIA", "Kelo"));
	CHECK_OK(value(d.proof, 0, "GEORGINA", "Kola"));
	proof_row(d.proof);
	proof_text(d.proof, "VIRGINIAN PLUTO", 15);
	put(&d, 100, "VIRGINIAN PLUTO", 4096);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 0);
	CHECK_UINT(proof_stats(d.proof)->nr_words, 1);
	put(&d, 2000, "GEORGINA", 4096);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 1);
	CHECK_UINT(hit.offset, 2000);
	dir_end(&d);
}

static void proof__words_that_two_texts_make_are_known(void **state)
{
	struct proof_hit hit;
	struct dir d;

	(void)state;
	dir_begin(&d);
	proof_column(d.proof, "s.c.n", false, false, false);
	CHECK_OK(value(d.proof, 0, "RODRIQUEZ", "Kelo"));
	proof_row(d.proof);
	proof_text(d.proof, "LA RODRI", 8);
	proof_text(d.proof, "QUEZ", 4);
	put(&d, 100, "LA RODRIQUEZ", 4096);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 0);
	/* but not those of two rows */
	CHECK_OK(value(d.proof, 0, "HOLLOWAY", "Kelo"));
	proof_row(d.proof);
	proof_text(d.proof, "HOLLO", 5);
	proof_row(d.proof);
	proof_text(d.proof, "WAY", 3);
	put(&d, 300, "HOLLOWAY", 4096);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 1);
	dir_end(&d);
}

static void proof__a_mail_address_in_kept_text_is_found(void **state)
{
	struct proof_hit hit;
	struct dir d;

	(void)state;
	dir_begin(&d);
	proof_column(d.proof, "s.c.email", false, false, false);
	CHECK_OK(value(d.proof, 0, "a.b@example.org", "x@y.z"));
	proof_row(d.proof);
	proof_text(d.proof, "write to a.b@example.org", 24);
	put(&d, 100, "write to a.b@example.org", 4096);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 1);
	dir_end(&d);
}

static void proof__a_phone_that_is_also_a_result_is_left_out(void **state)
{
	struct proof_hit hit;
	struct dir d;

	(void)state;
	dir_begin(&d);
	proof_column(d.proof, "s.c.phone", false, true, false);
	CHECK_OK(value(d.proof, 0, "14033335568", "28303384290"));
	CHECK_OK(value(d.proof, 0, "28303384290", "17276547320"));
	put(&d, 100, "28303384290 17276547320", 4096);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 0);
	CHECK_UINT(proof_stats(d.proof)->nr_dense, 1);
	put(&d, 500, "14033335568", 4096);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 1);
	dir_end(&d);
}

static void proof__a_result_that_has_its_original_is_refused(void **state)
{
	struct dir d;

	(void)state;
	dir_begin(&d);
	proof_column(d.proof, "s.c.n", false, false, false);
	CHECK_INT(value(d.proof, 0, "RODRIQUEZ", "xRODRIQUEZ"), -EBADMSG);
	CHECK_INT(value(d.proof, 0, "RODRIQUEZ", "RODRIQUEZ"), -EBADMSG);
	CHECK_OK(value(d.proof, 0, "RODRIQUEZ", "RODRIQUE"));
	dir_end(&d);
}

static void proof__latin1_is_looked_for_too(void **state)
{
	struct proof_hit hit;
	struct dir d;

	(void)state;
	dir_begin(&d);
	proof_column(d.proof, "s.c.n", false, false, true);
	CHECK_OK(value(d.proof, 0,
		       "M\xc3\xbcllerstra\xc3\x9f"
		       "e 17",
		       "y"));
	put(&d, 77,
	    "M\xfcllerstra\xdf"
	    "e 17",
	    4096);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 1);
	CHECK_UINT(hit.offset, 77);
	dir_end(&d);
}

/* More than there is room for: a share of them, and said so. */
static void proof__past_the_budget_a_sample_stays(void **state)
{
	struct proof_hit hit;
	char text[64];
	struct dir d;
	uint64_t nr;

	(void)state;
	dir_begin(&d);
	proof_column(d.proof, "s.c.n", false, false, false);
	for (unsigned i = 0; i < 2 * PROOF_VALUES_MAX; i++) {
		snprintf(text, sizeof(text), "user%u@example.org", i);
		MUST(!value(d.proof, 0, text, "y"));
	}
	put(&d, 0, "nothing", 4096);
	CHECK_INT(proof_scan(d.proof, d.path, &hit, NULL, NULL), 0);
	nr = proof_stats(d.proof)->nr_values;
	CHECK(nr > PROOF_VALUES_MAX / 3 && nr <= PROOF_VALUES_MAX);
	CHECK(proof_stats(d.proof)->nr_sampled >= 2);
	dir_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proof__finds_a_value_wherever_it_stands),
		cmocka_unit_test(proof__finds_a_value_across_reads),
		cmocka_unit_test(proof__finds_a_value_across_pieces),
		cmocka_unit_test(proof__finds_each_of_many_values),
		cmocka_unit_test(proof__a_hole_after_a_value_hides_nothing),
		cmocka_unit_test(proof__what_is_short_is_left_out_and_counted),
		cmocka_unit_test(
			proof__a_word_of_kept_text_is_left_out_and_others_not),
		cmocka_unit_test(proof__words_that_two_texts_make_are_known),
		cmocka_unit_test(proof__a_mail_address_in_kept_text_is_found),
		cmocka_unit_test(
			proof__a_phone_that_is_also_a_result_is_left_out),
		cmocka_unit_test(
			proof__a_result_that_has_its_original_is_refused),
		cmocka_unit_test(proof__latin1_is_looked_for_too),
		cmocka_unit_test(proof__past_the_budget_a_sample_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
