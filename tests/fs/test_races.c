/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_races.c - copies of files that are being written: each equals a state
 * that the files had
 *
 * A writer makes a known sequence of requests: what its n-th one does follows
 * from n alone, and every page that it writes says n.  So a copy tells which
 * requests it has, and the state after these can be computed and compared.
 * Ticks of one clock, taken before and after each request, say what had
 * returned before the copy began and what had not begun when it was done.
 *
 *	mounted.sh test_races [--long]
 */
#include "tests/fs/fs_test.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE	   4096u
#define RECORD	   (16u << 10) /* the dataset's recordsize */
#define NR_PAGES   256u	       /* of a file: 1 MiB */
#define NR_FILES   2u	       /* of a writer */
#define NR_WRITERS 2u
#define NR_OPS_MAX 400000u
#define MARK_EVERY 16u
#define MARKS_KEPT 8u

struct writer {
	unsigned id;
	pthread_t thread;
	int dir;
	int fd[NR_FILES];
	uint8_t *buf;
	_Atomic uint64_t begun, ended; /* requests: numbers from 1 */
	uint64_t *start, *end;	       /* ticks of each */
};

static _Atomic uint64_t clock_tick = 1;
static _Atomic bool stopping;
static struct writer writers[NR_WRITERS];
static int times = 1; /* 20 with --long */

/* -- the sequence --------------------------------------------------------- */

enum kind { WRITE, PUNCH, MARK };

struct request {
	enum kind kind;
	unsigned file, first, nr; /* pages */
};

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= UINT64_C(0x9e3779b97f4a7c15);
	x ^= x >> 29;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	return x ^ x >> 32;
}

/* What request @n of writer @id is. */
static struct request request_of(unsigned id, uint64_t n)
{
	const unsigned per = RECORD / PAGE;
	uint64_t dice = mix(n * NR_WRITERS + id);
	struct request r = {.kind = WRITE, .file = dice & 1};

	if (n % MARK_EVERY == 0) {
		r.kind = MARK;
		return r;
	}
	r.first = (unsigned)(dice >> 8) % NR_PAGES;
	switch (dice >> 1 & 7) {
	case 0: /* a part of a record */
	case 1:
		r.nr = 1;
		return r;
	case 2: /* parts of two */
		r.nr = 3;
		break;
	case 3:
		r.kind = PUNCH;
		r.nr = per;
		r.first -= r.first % per;
		return r;
	case 4: /* many records, not at their borders */
		r.nr = 37;
		break;
	case 5:
		r.nr = 4 * per;
		r.first -= r.first % per;
		break;
	default:
		r.nr = per;
		r.first -= r.first % per;
	}
	if (r.first + r.nr > NR_PAGES)
		r.first = NR_PAGES - r.nr;
	return r;
}

/* -- writing -------------------------------------------------------------- */

static void stamp(uint8_t *page, uint64_t id, uint64_t n)
{
	uint64_t words[PAGE / 8];

	for (unsigned i = 0; i < PAGE / 8; i++)
		words[i] = n << 8 | id;
	memcpy(page, words, PAGE);
}

/* The number in a page, 0 for one of zeros; it must be the same all over. */
static uint64_t stamp_of(const uint8_t *page, unsigned id)
{
	uint64_t first, word;

	memcpy(&first, page, 8);
	for (unsigned i = 8; i < PAGE; i += 8) {
		memcpy(&word, page + i, 8);
		CHECK_UINT(word, first);
	}
	CHECK_UINT(first & 0xff, first ? id : 0);
	return first >> 8;
}

static void mark_name(char name[32], unsigned id, uint64_t n)
{
	snprintf(name, 32, "m%u-%llu", id, (unsigned long long)n);
}

static void do_request(struct writer *w, uint64_t n)
{
	struct request r = request_of(w->id, n);
	char name[32];
	int fd;

	if (r.kind == MARK) {
		mark_name(name, w->id, n);
		fd = openat(w->dir, name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		MUST(fd >= 0);
		close(fd);
		return;
	}
	if (r.kind == PUNCH) {
		MUST(fallocate(w->fd[r.file],
			       FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       r.first * PAGE, r.nr * PAGE) == 0);
		return;
	}
	for (unsigned i = 0; i < r.nr; i++)
		stamp(w->buf + i * PAGE, w->id, n);
	MUST(pwrite(w->fd[r.file], w->buf, r.nr * PAGE, r.first * PAGE) ==
	     (ssize_t)(r.nr * PAGE));
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	char name[32];

	for (uint64_t n = 1; n < NR_OPS_MAX && !stopping; n++) {
		w->start[n] = clock_tick++;
		w->begun = n;
		do_request(w, n);
		w->end[n] = clock_tick++;
		w->ended = n;
		if (n % MARK_EVERY || n <= MARKS_KEPT * MARK_EVERY)
			continue;
		mark_name(name, w->id, n - MARKS_KEPT * MARK_EVERY);
		MUST(unlinkat(w->dir, name, 0) == 0);
	}
	MUST(stopping); /* else: raise NR_OPS_MAX */
	return NULL;
}

static void file_name(char name[32], unsigned id, unsigned file)
{
	snprintf(name, 32, "f%u-%u", id, file);
}

static void writers_begin(unsigned nr)
{
	char name[32];

	stopping = false;
	for (unsigned i = 0; i < nr; i++) {
		struct writer *w = &writers[i];

		*w = (struct writer){.id = i + 1};
		w->dir = open(".", O_PATH | O_DIRECTORY);
		w->start = calloc(NR_OPS_MAX, 8);
		w->end = calloc(NR_OPS_MAX, 8);
		w->buf = aligned_alloc(PAGE, 64 * PAGE);
		CHECK(w->dir >= 0 && w->start && w->end && w->buf);
		for (unsigned f = 0; f < NR_FILES; f++) {
			file_name(name, w->id, f);
			w->fd[f] =
				open(name, O_CREAT | O_RDWR | O_DIRECT, 0644);
			CHECK_SYS(w->fd[f]);
			CHECK_SYS(ftruncate(w->fd[f], NR_PAGES * PAGE));
		}
		CHECK_OK(pthread_create(&w->thread, NULL, writer_main, w));
		while (w->ended < 200)
			sched_yield();
	}
}

static void writers_end(unsigned nr)
{
	stopping = true;
	for (unsigned i = 0; i < nr; i++) {
		struct writer *w = &writers[i];

		CHECK_OK(pthread_join(w->thread, NULL));
		for (unsigned f = 0; f < NR_FILES; f++)
			close(w->fd[f]);
		close(w->dir);
		free(w->start);
		free(w->end);
		free(w->buf);
	}
}

/* -- judging -------------------------------------------------------------- */

/* When a copy was made, and what each writer had done around it. */
struct moment {
	uint64_t tick[2];
	uint64_t ended[NR_WRITERS]; /* when it began */
	uint64_t begun[NR_WRITERS]; /* when it was done */
};

static void moment_begin(struct moment *m)
{
	m->tick[0] = clock_tick++;
	for (unsigned i = 0; i < NR_WRITERS; i++)
		m->ended[i] = writers[i].ended;
}

static void moment_end(struct moment *m)
{
	for (unsigned i = 0; i < NR_WRITERS; i++)
		m->begun[i] = writers[i].begun;
	m->tick[1] = clock_tick++;
}

typedef uint64_t pages_of[NR_FILES][NR_PAGES];

/* Carry @s, the state after the first @from requests, on to @to. */
static void replay(unsigned id, uint64_t from, uint64_t to, pages_of s)
{
	for (uint64_t n = from + 1; n <= to; n++) {
		struct request r = request_of(id, n);

		for (unsigned i = 0; i < r.nr; i++)
			s[r.file][r.first + i] = r.kind == PUNCH ? 0 : n;
	}
}

static void read_file(int dir, const char *name, unsigned id,
		      uint64_t pages[NR_PAGES])
{
	static uint8_t buf[NR_PAGES * PAGE];
	int fd = openat(dir, name, O_RDONLY);

	CHECK_SYS(fd);
	CHECK_INT(read(fd, buf, sizeof(buf)), sizeof(buf));
	CHECK_INT(read(fd, buf, 1), 0);
	close(fd);
	for (unsigned p = 0; p < NR_PAGES; p++)
		pages[p] = stamp_of(buf + p * PAGE, id);
}

static bool marks_are(int dir, unsigned id, uint64_t n)
{
	uint64_t last = n - n % MARK_EVERY;
	char name[32];

	mark_name(name, id, last);
	if (last && faccessat(dir, name, F_OK, 0))
		return false;
	mark_name(name, id, last + MARK_EVERY);
	return faccessat(dir, name, F_OK, 0) != 0;
}

/*
 * How many of writer @w's requests are in @got: those up to some number, and
 * nothing of later ones.  @most: out, as many if those that change nothing (a
 * hole punched once more) are counted too.
 */
static uint64_t prefix_of(const struct writer *w, int dir, pages_of got,
			  const struct moment *m, uint64_t *most)
{
	uint64_t n = m->ended[w->id - 1];
	pages_of want = {{0}};

	replay(w->id, 0, n, want);
	for (;;) {
		if (memcmp(want, got, sizeof(pages_of)) == 0 &&
		    marks_are(dir, w->id, n)) {
			*most = n;
			do
				replay(w->id, *most, *most + 1, want);
			while (++*most <= m->begun[w->id - 1] &&
			       memcmp(want, got, sizeof(pages_of)) == 0 &&
			       marks_are(dir, w->id, *most));
			--*most;
			return n;
		}
		if (n == m->begun[w->id - 1])
			break;
		replay(w->id, n, n + 1, want);
		n++;
	}
	print_error("writer %u: no state between requests %llu and %llu\n",
		    w->id, (unsigned long long)m->ended[w->id - 1],
		    (unsigned long long)n);
	fail();
	return 0;
}

/*
 * All files in @dir are as they were at one moment: no request is in them that
 * began after one had returned which is not.
 */
static void judge_moment(const char *path, const struct moment *m)
{
	uint64_t has[NR_WRITERS], most[NR_WRITERS];
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	char name[32];
	pages_of got;

	CHECK_SYS(dir);
	for (unsigned i = 0; i < NR_WRITERS; i++) {
		for (unsigned f = 0; f < NR_FILES; f++) {
			file_name(name, i + 1, f);
			read_file(dir, name, i + 1, got[f]);
		}
		has[i] = prefix_of(&writers[i], dir, got, m, &most[i]);
	}
	close(dir);
	for (unsigned i = 0; i < NR_WRITERS; i++) {
		for (unsigned k = 0; k < NR_WRITERS; k++) {
			const struct writer *a = &writers[i], *b = &writers[k];
			uint64_t left_out = b->end[most[k] + 1];

			if (left_out) /* it has returned by now */
				CHECK(a->start[has[i]] < left_out);
		}
	}
}

/* Every page of the copy is one that the file had while it was copied. */
static void judge_pages(const struct writer *w, unsigned file,
			const uint64_t got[NR_PAGES], const struct moment *m)
{
	bool may[NR_PAGES] = {false};
	uint64_t n = m->ended[w->id - 1];
	pages_of s = {{0}};

	replay(w->id, 0, n, s);
	for (;;) {
		for (unsigned p = 0; p < NR_PAGES; p++)
			may[p] |= s[file][p] == got[p];
		if (n == m->begun[w->id - 1])
			break;
		replay(w->id, n, n + 1, s);
		n++;
	}
	for (unsigned p = 0; p < NR_PAGES; p++) {
		if (!may[p])
			print_error("page %u has %llu\n", p,
				    (unsigned long long)got[p]);
		CHECK(may[p]);
	}
}

/* The whole file is as it was at one moment. */
static void judge_file(const struct writer *w, unsigned file,
		       const uint64_t got[NR_PAGES], const struct moment *m)
{
	uint64_t n = m->ended[w->id - 1];
	pages_of s = {{0}};

	replay(w->id, 0, n, s);
	while (memcmp(s[file], got, sizeof(s[file])) != 0) {
		CHECK(n < m->begun[w->id - 1]); /* no such state */
		replay(w->id, n, n + 1, s);
		n++;
	}
}

/* -- snapshots and clones ------------------------------------------------- */

/* Where the test's directory is in another view of the dataset. */
static void path_in(char path[PATH_MAX], const char *top)
{
	char cwd[PATH_MAX / 2];

	CHECK(getcwd(cwd, sizeof(cwd)));
	CHECK(snprintf(path, PATH_MAX, "%s%s", top,
		       cwd + strlen(fs_dataset())) < PATH_MAX);
}

static void snapshot__of_files_being_written_is_one_moment(void **state)
{
	char name[PATH_MAX / 2], path[PATH_MAX];
	struct moment m;

	(void)state;
	writers_begin(NR_WRITERS);
	for (int i = 0; i < 12 * times; i++) {
		moment_begin(&m);
		CHECK_INT(fs_command("snapshot", "'name':'ds@race'"), 0);
		moment_end(&m);
		snprintf(name, sizeof(name), "%s/.dbs/snapshot/race",
			 fs_dataset());
		path_in(path, name);
		judge_moment(path, &m);
		CHECK_INT(fs_command("rm", "'names':['ds@race']"), 0);
	}
	writers_end(NR_WRITERS);
}

static void clone__of_files_being_written_is_one_moment(void **state)
{
	char name[PATH_MAX / 2], path[PATH_MAX];
	struct moment m;

	(void)state;
	writers_begin(NR_WRITERS);
	for (int i = 0; i < 12 * times; i++) {
		moment_begin(&m);
		CHECK_INT(fs_command("clone", "'source':'ds','name':'race'"),
			  0);
		moment_end(&m);
		snprintf(name, sizeof(name), "%s/race", fs_mount());
		path_in(path, name);
		judge_moment(path, &m);
		CHECK_INT(fs_command("rm", "'names':['race']"), 0);
	}
	writers_end(NR_WRITERS);
}

/* -- pages through the cache ---------------------------------------------- */

#define WHOLE_AT (512u << 10)

struct whole {
	int fd, sources[2];
	_Atomic bool stop;
};

/* A file whose bytes are all @c, on the host. */
static int source_of(char c)
{
	static char bytes[RECORD];
	char path[PATH_MAX];
	const char *tmp = getenv("TMPDIR");
	int fd;

	snprintf(path, sizeof(path), "%s/dbs-whole.XXXXXX",
		 tmp ? tmp : "/var/tmp");
	fd = mkstemp(path);
	CHECK_SYS(fd);
	unlink(path);
	memset(bytes, c, sizeof(bytes));
	CHECK_INT(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	CHECK_SYS(fsync(fd));
	return fd;
}

/*
 * Buffered writes from memory whose second half has to be fetched first: where
 * the kernel made two requests of one write, it would do so here.
 */
static void *write_whole(void *arg)
{
	struct whole *w = arg;

	for (unsigned k = 0; !w->stop; k++) {
		const int source = w->sources[k % 2];
		volatile char *p;

		MUST(!posix_fadvise(source, RECORD / 2, RECORD / 2,
				    POSIX_FADV_DONTNEED));
		p = mmap(NULL, RECORD, PROT_READ, MAP_PRIVATE, source, 0);
		MUST(p != MAP_FAILED);
		MUST(!madvise((void *)p, RECORD, MADV_RANDOM));
		(void)p[0];
		MUST(pwrite(w->fd, (const void *)p, RECORD, WHOLE_AT) ==
		     RECORD);
		munmap((void *)p, RECORD);
	}
	return NULL;
}

static void snapshot__has_a_buffered_page_whole_or_not_at_all(void **state)
{
	static char bytes[2 * WHOLE_AT], got[RECORD];
	struct whole w = {.fd = open("whole", O_CREAT | O_RDWR, 0644)};
	char top[PATH_MAX / 2], dir[PATH_MAX], path[PATH_MAX + 8];
	pthread_t thread;

	(void)state;
	CHECK_SYS(w.fd);
	w.sources[0] = source_of('a');
	w.sources[1] = source_of('b');
	memset(bytes, 'a', sizeof(bytes));
	CHECK_INT(write(w.fd, bytes, sizeof(bytes)), sizeof(bytes));
	/* into the cache in pieces as large as the kernel likes */
	CHECK_SYS(posix_fadvise(w.fd, 0, 0, POSIX_FADV_DONTNEED));
	CHECK_INT(pread(w.fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	CHECK_INT(pthread_create(&thread, NULL, write_whole, &w), 0);
	snprintf(top, sizeof(top), "%s/.dbs/snapshot/race", fs_dataset());
	path_in(dir, top);
	snprintf(path, sizeof(path), "%s/whole", dir);
	for (int i = 0; i < 40 * times; i++) {
		int fd;

		CHECK_INT(fs_command("snapshot", "'name':'ds@race'"), 0);
		fd = open(path, O_RDONLY);
		CHECK_SYS(fd);
		CHECK_INT(pread(fd, got, RECORD, WHOLE_AT), RECORD);
		close(fd);
		for (unsigned k = 0; k < RECORD; k++)
			CHECK_INT(got[k], got[0]);
		CHECK_INT(fs_command("rm", "'names':['ds@race']"), 0);
	}
	w.stop = true;
	pthread_join(thread, NULL);
	close(w.fd);
	close(w.sources[0]);
	close(w.sources[1]);
}

/* -- copies --------------------------------------------------------------- */

static void copy_range__is_one_moment_of_the_file(void **state)
{
	uint64_t got[NR_PAGES];
	char name[32];
	struct moment m;

	(void)state;
	writers_begin(NR_WRITERS);
	for (unsigned i = 0; i < 30u * (unsigned)times; i++) {
		struct writer *w = &writers[i % NR_WRITERS];
		unsigned file = i / NR_WRITERS % NR_FILES;
		int from, to;
		ssize_t n;

		file_name(name, w->id, file);
		from = open(name, O_RDONLY);
		to = open("copy", O_CREAT | O_WRONLY | O_TRUNC, 0644);
		CHECK(from >= 0 && to >= 0);
		moment_begin(&m);
		n = copy_file_range(from, NULL, to, NULL, NR_PAGES * PAGE, 0);
		moment_end(&m);
		CHECK_INT(n, NR_PAGES * PAGE);
		close(from);
		close(to);
		read_file(AT_FDCWD, "copy", w->id, got);
		judge_file(w, file, got, &m);
	}
	writers_end(NR_WRITERS);
}

static void run_cp(const char *option, const char *from)
{
	int status;
	pid_t pid = fork();

	CHECK_SYS(pid);
	if (pid == 0) {
		execlp("cp", "cp", option, from, "copy", (char *)NULL);
		_exit(127);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
}

static void cp_with(const char *option)
{
	uint64_t got[NR_PAGES];
	char name[32];
	struct moment m;

	writers_begin(NR_WRITERS);
	for (unsigned i = 0; i < 8u * (unsigned)times; i++) {
		struct writer *w = &writers[i % NR_WRITERS];
		unsigned file = i / NR_WRITERS % NR_FILES;

		file_name(name, w->id, file);
		unlink("copy");
		moment_begin(&m);
		run_cp(option, name);
		moment_end(&m);
		read_file(AT_FDCWD, "copy", w->id, got);
		judge_pages(w, file, got, &m);
	}
	writers_end(NR_WRITERS);
}

static void cp__sparse_has_only_pages_that_the_file_had(void **state)
{
	(void)state;
	cp_with("--sparse=always");
}

static void cp__reflink_has_only_pages_that_the_file_had(void **state)
{
	(void)state;
	cp_with("--reflink=auto");
}

/* -- holes ---------------------------------------------------------------- */

#define NR_SLOTS (NR_PAGES * PAGE / RECORD)

/* Of four records the first is rewritten, the second comes and goes, the
 * third is written in parts, and the fourth is a hole for ever. */
static void *slots_main(void *arg)
{
	uint8_t *buf = aligned_alloc(PAGE, RECORD);
	int fd = *(int *)arg;

	memset(buf, 'x', RECORD);
	for (unsigned n = 0; !stopping; n++) {
		unsigned slot = (unsigned)(mix(n) % NR_SLOTS);
		off_t at = (off_t)slot * RECORD;

		switch (slot % 4) {
		case 0:
			MUST(pwrite(fd, buf, RECORD, at) == RECORD);
			break;
		case 1:
			if (n & 1)
				MUST(pwrite(fd, buf, RECORD, at) == RECORD);
			else
				MUST(fallocate(fd,
					       FALLOC_FL_PUNCH_HOLE |
						       FALLOC_FL_KEEP_SIZE,
					       at, RECORD) == 0);
			break;
		case 2:
			MUST(pwrite(fd, buf, PAGE, at + PAGE) == PAGE);
			break;
		}
	}
	free(buf);
	return NULL;
}

/* Walk by SEEK_DATA and SEEK_HOLE; note which records were said to be data. */
static void scan(int fd, bool data[NR_SLOTS])
{
	off_t at = 0, end;

	memset(data, 0, NR_SLOTS);
	for (;;) {
		at = lseek(fd, at, SEEK_DATA);
		if (at < 0)
			break;
		end = lseek(fd, at, SEEK_HOLE);
		/* punched in between: a hole at once */
		CHECK(end >= at);
		for (off_t o = at; o < end; o += PAGE)
			data[o / RECORD] = true;
		at = end > at ? end : at + PAGE;
		if (at >= (off_t)NR_SLOTS * RECORD)
			return;
	}
	CHECK_INT(errno, ENXIO);
}

static void seek__never_calls_data_a_hole(void **state)
{
	static uint8_t buf[RECORD];
	bool data[NR_SLOTS];
	pthread_t thread;
	unsigned came = 0;
	int fd, writer;

	(void)state;
	writer = open("f", O_CREAT | O_RDWR | O_DIRECT, 0644);
	fd = open("f", O_RDWR);
	CHECK(fd >= 0 && writer >= 0);
	CHECK_SYS(ftruncate(fd, NR_SLOTS * RECORD));
	memset(buf, 'y', sizeof(buf));
	for (unsigned s = 0; s < NR_SLOTS; s++)
		if (s % 4 == 0 || s % 4 == 2)
			CHECK_INT(pwrite(fd, buf, RECORD, s * RECORD), RECORD);
	CHECK_SYS(fsync(fd));
	stopping = false;
	CHECK_OK(pthread_create(&thread, NULL, slots_main, &writer));
	for (int i = 0; i < 150 * times; i++) {
		scan(fd, data);
		for (unsigned s = 0; s < NR_SLOTS; s++) {
			if (s % 2 == 0)
				CHECK(data[s]);
			else if (s % 4 == 3)
				CHECK(!data[s]);
			else
				came += data[s];
		}
	}
	stopping = true;
	CHECK_OK(pthread_join(thread, NULL));
	CHECK(came > 0 && came < 150u * (unsigned)times * NR_SLOTS / 4);
	close(fd);
	close(writer);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(snapshot__of_files_being_written_is_one_moment),
		FS_TEST(snapshot__has_a_buffered_page_whole_or_not_at_all),
		FS_TEST(clone__of_files_being_written_is_one_moment),
		FS_TEST(copy_range__is_one_moment_of_the_file),
		FS_TEST(cp__sparse_has_only_pages_that_the_file_had),
		FS_TEST(cp__reflink_has_only_pages_that_the_file_had),
		FS_TEST(seek__never_calls_data_a_hole),
	};

	if (argc > 1 && strcmp(argv[1], "--long") == 0)
		times = 20;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
