/* SPDX-License-Identifier: Apache-2.0 */
/* conform_dir.c - reading directories, also while they change; inotify */
#include "tests/fs/fs_test.h"

#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

static void name_of(char *name, size_t cap, int i)
{
	snprintf(name, cap, "d/entry-%06d", i);
}

static void fill(int from, int to)
{
	char name[32];

	if (from == 0)
		CHECK_SYS(mkdir("d", 0755));
	for (int i = from; i < to; i++) {
		name_of(name, sizeof(name), i);
		CHECK_SYS(mknod(name, S_IFREG | 0644, 0));
	}
}

/* Number of the entry, or -1. */
static int number_of(const struct dirent *e)
{
	int i;

	return sscanf(e->d_name, "entry-%d", &i) == 1 ? i : -1;
}

/* Reads on from where @d is; counts each entry it sees in @seen. */
static void read_rest(DIR *d, unsigned char *seen, int nr)
{
	struct dirent *e;

	for (;;) {
		int i;

		errno = 0;
		e = readdir(d);
		if (!e)
			break;
		i = number_of(e);
		if (i >= 0 && i < nr)
			seen[i]++;
	}
	CHECK_INT(errno, 0);
}

/* -- what is listed ------------------------------------------------------- */

static void readdir__lists_dots_inodes_and_types(void **state)
{
	static const struct {
		const char *name;
		unsigned char type;
	} want[] = {
		{"f", DT_REG},	{"s", DT_DIR}, {"l", DT_LNK},  {"p", DT_FIFO},
		{"u", DT_SOCK}, {".", DT_DIR}, {"..", DT_DIR},
	};
	unsigned seen = 0;
	struct dirent *e;
	struct stat st;
	DIR *d;

	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	fs_put("d/f", "x");
	CHECK_SYS(mkdir("d/s", 0755));
	CHECK_SYS(symlink("x", "d/l"));
	CHECK_SYS(mkfifo("d/p", 0644));
	CHECK_SYS(mknod("d/u", S_IFSOCK | 0644, 0));
	d = opendir("d");
	while ((e = readdir(d)))
		for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
			if (strcmp(e->d_name, want[i].name))
				continue;
			CHECK(!(seen & 1u << i));
			seen |= 1u << i;
			CHECK_INT(e->d_type, want[i].type);
			CHECK_SYS(fstatat(dirfd(d), e->d_name, &st,
					  AT_SYMLINK_NOFOLLOW));
			CHECK_UINT(e->d_ino, st.st_ino);
		}
	CHECK_UINT(seen, (1u << sizeof(want) / sizeof(want[0])) - 1);
	closedir(d);
}

static void readdir__of_a_small_buffer_is_einval(void **state)
{
	char buf[8];
	int fd = open(".", O_RDONLY | O_DIRECTORY);

	(void)state;
	CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, sizeof(buf)), EINVAL);
	close(fd);
	fs_put("f", "x");
	fd = open("f", O_RDONLY);
	CHECK_ERRNO(syscall(SYS_getdents64, fd, buf, sizeof(buf)), ENOTDIR);
	close(fd);
}

static void readdir__of_the_longest_names_works(void **state)
{
	char name[256];
	int nr = 0;

	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(chdir("d"));
	for (int i = 0; i < 200; i++) {
		memset(name, 'a' + i % 26, 255);
		name[255] = '\0';
		name[0] = (char)('A' + i / 26);
		CHECK_SYS(mknod(name, S_IFREG | 0644, 0));
	}
	nr = fs_count(".");
	CHECK_SYS(chdir(".."));
	CHECK_INT(nr, 200);
}

static void readdir__lists_100000_entries_once_each(void **state)
{
	int nr = fs_long() ? 100000 : 5000;
	unsigned char *seen = calloc(1, (size_t)nr);
	char name[32];
	DIR *d;

	(void)state;
	fill(0, nr);
	d = opendir("d");
	read_rest(d, seen, nr);
	for (int i = 0; i < nr; i++)
		CHECK_INT(seen[i], 1);
	rewinddir(d);
	memset(seen, 0, (size_t)nr);
	read_rest(d, seen, nr);
	for (int i = 0; i < nr; i++)
		CHECK_INT(seen[i], 1);
	closedir(d);
	for (int i = 0; i < nr; i += 977) {
		name_of(name, sizeof(name), i);
		CHECK(fs_exists(name));
	}
	CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
	free(seen);
}

/* -- positions ------------------------------------------------------------ */

#define NR 600

static void telldir__leads_back_to_the_same_entry(void **state)
{
	long at[NR + 2];
	char names[NR + 2][32];
	struct dirent *e;
	int nr = 0;
	DIR *d;

	(void)state;
	fill(0, NR);
	d = opendir("d");
	for (;;) {
		long here = telldir(d);

		e = readdir(d);
		if (!e)
			break;
		at[nr] = here;
		snprintf(names[nr++], 32, "%.31s", e->d_name);
	}
	CHECK_INT(nr, NR + 2);
	for (int i = nr - 1; i >= 0; i -= 7) {
		seekdir(d, at[i]);
		e = readdir(d);
		CHECK(e);
		CHECK_STR(e->d_name, names[i]);
	}
	closedir(d);
}

/* Half of the entries go and others come, behind and before the position. */
static void telldir__stays_good_while_entries_come_and_go(void **state)
{
	unsigned char seen[2 * NR] = {0};
	struct dirent *e;
	char name[32];
	long here;
	DIR *d;

	(void)state;
	fill(0, NR);
	d = opendir("d");
	for (int n = 0; n < NR / 2 && (e = readdir(d)); n++)
		if (number_of(e) >= 0)
			seen[number_of(e)]++;
	here = telldir(d);
	for (int i = 0; i < NR; i += 2) {
		name_of(name, sizeof(name), i);
		CHECK_SYS(unlink(name));
	}
	fill(NR, 2 * NR);
	/* forget what was read ahead */
	seekdir(d, 0);
	seekdir(d, here);
	read_rest(d, seen, 2 * NR);
	/* what stayed all the time is seen once, what came or went at most */
	for (int i = 0; i < NR; i++)
		CHECK(seen[i] == 1 || (i % 2 == 0 && seen[i] == 0));
	for (int i = NR; i < 2 * NR; i++)
		CHECK(seen[i] <= 1);
	closedir(d);
}

static void rewinddir__sees_what_is_new(void **state)
{
	unsigned char seen[4] = {0};
	DIR *d;

	(void)state;
	fill(0, 2);
	d = opendir("d");
	read_rest(d, seen, 4);
	fill(2, 4);
	rewinddir(d);
	memset(seen, 0, sizeof(seen));
	read_rest(d, seen, 4);
	for (int i = 0; i < 4; i++)
		CHECK_INT(seen[i], 1);
	closedir(d);
}

static void readdir__and_unlink_in_turn_empty_a_directory(void **state)
{
	struct dirent *e;
	DIR *d;

	(void)state;
	fill(0, NR);
	d = opendir("d");
	while ((e = readdir(d)))
		if (number_of(e) >= 0)
			CHECK_SYS(unlinkat(dirfd(d), e->d_name, 0));
	closedir(d);
	CHECK_SYS(rmdir("d"));
}

struct renamer {
	atomic_bool stop;
	unsigned nr;
};

static void *rename_all_the_time(void *arg)
{
	struct renamer *r = arg;
	char a[32], b[32];

	for (unsigned i = 0; !atomic_load(&r->stop); i++) {
		snprintf(a, sizeof(a), "d/moving-%u", i);
		snprintf(b, sizeof(b), "d/moving-%u", i + 1);
		MUST(rename(a, b) == 0);
		r->nr++;
	}
	return NULL;
}

static void readdir__during_renames_misses_nothing_that_stays(void **state)
{
	struct renamer r = {0};
	pthread_t thread;

	(void)state;
	fill(0, NR);
	CHECK_SYS(mknod("d/moving-0", S_IFREG | 0644, 0));
	CHECK_INT(pthread_create(&thread, NULL, rename_all_the_time, &r), 0);
	for (int round = 0; round < 20; round++) {
		unsigned char seen[NR] = {0};
		DIR *d = opendir("d");

		read_rest(d, seen, NR);
		closedir(d);
		for (int i = 0; i < NR; i++)
			CHECK_INT(seen[i], 1);
	}
	atomic_store(&r.stop, true);
	pthread_join(thread, NULL);
	CHECK(r.nr > 0);
}

static void dir__of_two_descriptors_have_two_positions(void **state)
{
	unsigned char a_seen[NR] = {0}, b_seen[NR] = {0};
	DIR *a, *b;

	(void)state;
	fill(0, NR);
	a = opendir("d");
	b = opendir("d");
	for (int i = 0; i < 100; i++)
		CHECK(readdir(a));
	read_rest(b, b_seen, NR);
	for (int i = 0; i < NR; i++)
		CHECK_INT(b_seen[i], 1);
	rewinddir(a);
	read_rest(a, a_seen, NR);
	for (int i = 0; i < NR; i++)
		CHECK_INT(a_seen[i], 1);
	closedir(a);
	closedir(b);
}

static void dir__of_deep_paths_works(void **state)
{
	int depth = 0, fd = open(".", O_RDONLY | O_DIRECTORY);

	for (; depth < 300; depth++) {
		CHECK_SYS(mkdir("deep-directory", 0755));
		CHECK_SYS(chdir("deep-directory"));
	}
	fs_put("f", "x");
	for (; depth > 0; depth--) {
		CHECK_SYS(depth == 300 ? unlink("f") : 0);
		CHECK_SYS(chdir(".."));
		CHECK_SYS(rmdir("deep-directory"));
	}
	CHECK_SYS(fchdir(fd));
	CHECK_SYS(chdir(*state));
	close(fd);
}

/* -- inotify -------------------------------------------------------------- */

/* All events that wait, as one set; a move must be complete. */
static uint32_t events_of(int fd)
{
	_Alignas(struct inotify_event) char buf[4096];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint32_t set = 0;
	ssize_t n;

	while (poll(&p, 1, 0) == 1) {
		n = read(fd, buf, sizeof(buf));
		CHECK(n > 0);
		for (char *at = buf; at < buf + n;) {
			struct inotify_event *e = (void *)at;

			set |= e->mask & IN_ALL_EVENTS;
			at += sizeof(*e) + e->len;
		}
	}
	return set;
}

static void inotify__tells_of_all_that_happens(void **state)
{
	int fd = inotify_init1(IN_CLOEXEC), f;

	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(mkdir("e", 0755));
	CHECK_SYS(inotify_add_watch(fd, "d", IN_ALL_EVENTS));
	f = open("d/f", O_CREAT | O_RDWR, 0644);
	CHECK_UINT(events_of(fd), IN_CREATE | IN_OPEN);
	CHECK_INT(write(f, "x", 1), 1);
	CHECK_UINT(events_of(fd), IN_MODIFY);
	CHECK_SYS(ftruncate(f, 0));
	CHECK_UINT(events_of(fd), IN_MODIFY);
	CHECK_SYS(fchmod(f, 0600));
	CHECK_UINT(events_of(fd), IN_ATTRIB);
	close(f);
	CHECK_UINT(events_of(fd), IN_CLOSE_WRITE);
	CHECK_SYS(link("d/f", "d/g"));
	CHECK(events_of(fd) & IN_CREATE);
	CHECK_SYS(rename("d/f", "d/h"));
	CHECK_UINT(events_of(fd), IN_MOVED_FROM | IN_MOVED_TO);
	CHECK_SYS(rename("d/h", "e/h"));
	CHECK_UINT(events_of(fd), IN_MOVED_FROM);
	CHECK_SYS(rename("e/h", "d/h"));
	CHECK_UINT(events_of(fd), IN_MOVED_TO);
	CHECK_SYS(unlink("d/g"));
	CHECK(events_of(fd) & IN_DELETE);
	CHECK_SYS(mkdir("d/s", 0755));
	CHECK(events_of(fd) & IN_CREATE);
	CHECK_SYS(rmdir("d/s"));
	CHECK(events_of(fd) & IN_DELETE);
	CHECK_SYS(unlink("d/h"));
	CHECK(events_of(fd) & IN_DELETE);
	CHECK_SYS(rmdir("d"));
	CHECK(events_of(fd) & IN_DELETE_SELF);
	close(fd);
}

static void inotify__of_a_file_tells_of_its_end(void **state)
{
	int fd = inotify_init1(IN_CLOEXEC);

	(void)state;
	fs_put("a", "x");
	fs_put("b", "x");
	CHECK_SYS(inotify_add_watch(fd, "a", IN_DELETE_SELF | IN_MOVE_SELF));
	CHECK_SYS(rename("a", "c"));
	CHECK_UINT(events_of(fd), IN_MOVE_SELF);
	CHECK_SYS(rename("b", "c"));
	CHECK_UINT(events_of(fd), IN_DELETE_SELF);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(readdir__lists_dots_inodes_and_types),
		FS_TEST(readdir__of_a_small_buffer_is_einval),
		FS_TEST(readdir__of_the_longest_names_works),
		FS_TEST(readdir__lists_100000_entries_once_each),
		FS_TEST(telldir__leads_back_to_the_same_entry),
		FS_TEST(telldir__stays_good_while_entries_come_and_go),
		FS_TEST(rewinddir__sees_what_is_new),
		FS_TEST(readdir__and_unlink_in_turn_empty_a_directory),
		FS_TEST(readdir__during_renames_misses_nothing_that_stays),
		FS_TEST(dir__of_two_descriptors_have_two_positions),
		FS_TEST(dir__of_deep_paths_works),
		FS_TEST(inotify__tells_of_all_that_happens),
		FS_TEST(inotify__of_a_file_tells_of_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
