/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fs/fs_test.h"

#include <dirent.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static char answer[1 << 20];

static const char *env(const char *name)
{
	const char *v = getenv(name);

	if (!v) {
		fprintf(stderr, "%s is not set: run me by mounted.sh\n", name);
		exit(2);
	}
	return v;
}

const char *fs_mount(void)
{
	return env("DBS_TEST_MOUNT");
}

bool fs_is_plain(void)
{
	return getenv("DBS_TEST_PLAIN") != NULL;
}

bool fs_long(void)
{
	const char *v = getenv("DBS_TEST_LONG");

	return v && *v;
}

const char *fs_dataset(void)
{
	static char path[PATH_MAX];

	if (fs_is_plain())
		return env("DBS_TEST_PLAIN");
	snprintf(path, sizeof(path), "%s/ds", fs_mount());
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int fs_test_setup(void **state)
{
	static unsigned nr;
	char *dir;

	umask(022);
	if (asprintf(&dir, "%s/t%u-%d", fs_dataset(), ++nr, getpid()) < 0)
		return -1;
	if (mkdir(dir, 0755) || chdir(dir)) {
		perror(dir);
		return -1;
	}
	*state = dir;
	return 0;
}

int fs_test_teardown(void **state)
{
	char *dir = *state;

	umask(022);
	if (chdir("/"))
		return -1;
	/* a test that restored the dataset has lost it */
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(dir);
	return 0;
}

static int connect_control(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s",
		 env("DBS_TEST_SOCKET"));
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		perror(addr.sun_path);
		exit(2);
	}
	return fd;
}

int fs_command(const char *command, const char *arguments)
{
	static int fd = -1;
	size_t have = 0;
	char *text, *code;
	ssize_t n;
	int len;

	if (fd < 0)
		fd = connect_control();
	len = asprintf(&text,
		       "{\"v\":1,\"command\":\"%s\",\"arguments\":{%s}}\n",
		       command, arguments);
	MUST(len > 0);
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	MUST(write(fd, text, (size_t)len) == len);
	free(text);
	do {
		n = read(fd, answer + have, sizeof(answer) - 1 - have);
		MUST(n > 0);
		have += (size_t)n;
	} while (answer[have - 1] != '\n');
	answer[have] = '\0';
	if (strstr(answer, "\"ok\":true"))
		return 0;
	code = strstr(answer, "\"code\":");
	MUST(code);
	return atoi(code + strlen("\"code\":"));
}

const char *fs_answer(void)
{
	return answer;
}

void fs_put(const char *name, const char *content)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK(fd >= 0);
	CHECK_INT(write(fd, content, strlen(content)),
		  (ssize_t)strlen(content));
	CHECK_SYS(close(fd));
}

const char *fs_get(const char *name)
{
	static char buf[65536];
	int fd = open(name, O_RDONLY);
	ssize_t n;

	CHECK(fd >= 0);
	n = read(fd, buf, sizeof(buf) - 1);
	CHECK(n >= 0);
	CHECK_SYS(close(fd));
	buf[n] = '\0';
	return buf;
}

bool fs_exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

void fs_fill(void *buf, size_t len, unsigned seed)
{
	unsigned char *p = buf;
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (unsigned char)(x >> 24);
	}
}

int fs_count(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int nr = 0;

	CHECK(d);
	while ((e = readdir(d)))
		nr += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return nr;
}

bool fs_lists(const char *dir, const char *name)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	bool found = false;

	CHECK(d);
	while ((e = readdir(d)))
		found |= strcmp(e->d_name, name) == 0;
	closedir(d);
	return found;
}

static int child_result(pid_t pid)
{
	int status;

	CHECK(pid > 0);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

int fs_as(uid_t uid, gid_t gid, int (*fn)(void))
{
	return fs_as_member(uid, gid, NULL, 0, fn);
}

int fs_as_member(uid_t uid, gid_t gid, const gid_t *groups, size_t nr,
		 int (*fn)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		if (setgroups(nr, groups) || setgid(gid) || setuid(uid))
			_exit(99);
		_exit(fn());
	}
	return child_result(pid);
}

int fs_child(int (*fn)(void))
{
	pid_t pid;

	if (geteuid() == 0)
		return fs_as(FS_USER, FS_USER, fn);
	pid = fork();
	if (pid == 0)
		_exit(fn());
	return child_result(pid);
}

void fs_give(const char *name)
{
	if (geteuid() == 0)
		CHECK_SYS(lchown(name, FS_USER, FS_USER));
}

struct stat fs_lstat(const char *name)
{
	struct stat st;

	CHECK_SYS(lstat(name, &st));
	return st;
}

int fs_time_cmp(struct timespec a, struct timespec b)
{
	if (a.tv_sec != b.tv_sec)
		return a.tv_sec < b.tv_sec ? -1 : 1;
	return (a.tv_nsec > b.tv_nsec) - (a.tv_nsec < b.tv_nsec);
}

void fs_tick(void)
{
	const struct timespec pause = {.tv_nsec = 1000 * 1000};
	struct timespec before;
	struct stat st;
	int fd;

	/* next to the test's directory, whose own times must not move */
	fd = open("..", O_TMPFILE | O_RDWR, 0600);
	CHECK(fd >= 0);
	CHECK_SYS(fstat(fd, &st));
	before = st.st_ctim;
	do {
		nanosleep(&pause, NULL);
		CHECK_SYS(fchmod(fd, 0600));
		CHECK_SYS(fstat(fd, &st));
	} while (fs_time_cmp(st.st_ctim, before) <= 0);
	close(fd);
}

void fs_must_errno(int err, const char *what, const char *file, int line)
{
	if (errno == err)
		return;
	fprintf(stderr, "got %s, want ", strerror(errno));
	fprintf(stderr, "%s\n", strerror(err));
	must_failed(what, file, line);
}
