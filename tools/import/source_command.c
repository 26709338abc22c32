/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_command.c - mysql://user@host/db: a dump by mariadb-dump or mysqldump
 *
 * It reads one option file, in memory: what the host and the caller have in
 * theirs (TLS, say), then account, address and password.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/cmd.h"
#include "tools/import/source_internal.h"

/* ---- the address ----------------------------------------------------------- */

/* %XX of a URL, in place. */
static void unescape(char *text)
{
	char *out = text, hex[3] = "";

	for (; *text; text++) {
		if (*text == '%' && text[1] && text[2]) {
			memcpy(hex, text + 1, 2);
			*out++ = (char)strtoul(hex, NULL, 16);
			text += 2;
		} else {
			*out++ = *text;
		}
	}
	*out = '\0';
}

int source_server_parse(const char *text, struct source_server *server)
{
	const char *p = text + strlen("mysql://"), *at = strchr(p, '@');
	const char *host = at ? at + 1 : p, *slash = strchr(host, '/');
	size_t host_len = slash ? (size_t)(slash - host) : 0;
	const char *colon = slash ? memchr(host, ':', host_len) : NULL;

	*server = (struct source_server){.port = 3306};
	if (!at || at == p || !slash || !host_len || !slash[1] ||
	    strchr(slash + 1, '/'))
		return fail(CTL_USAGE, "a server is given as "
				       "mysql://user@host[:port]/database");
	if (memchr(p, ':', (size_t)(at - p)))
		return fail(CTL_USAGE,
			    "a password in an argument can be seen by "
			    "everybody: give it by --password-file or in "
			    "$MYSQL_PWD");
	if (colon) {
		host_len = (size_t)(colon - host);
		server->port = (unsigned)strtoul(colon + 1, NULL, 10);
	}
	if ((size_t)(at - p) >= sizeof(server->user) ||
	    host_len >= sizeof(server->host) ||
	    strlen(slash + 1) >= sizeof(server->db) || !server->port ||
	    server->port > 65535)
		return fail(CTL_USAGE,
			    "'%s' has a part that is too long, or "
			    "no port",
			    text);
	snprintf(server->user, sizeof(server->user), "%.*s", (int)(at - p), p);
	snprintf(server->host, sizeof(server->host), "%.*s", (int)host_len,
		 host);
	snprintf(server->db, sizeof(server->db), "%s", slash + 1);
	unescape(server->user);
	unescape(server->db);
	if (server->db[0] == '-' || server->user[0] == '-')
		return fail(CTL_USAGE, "'%s': no name begins with '-'", text);
	return CTL_OK;
}

/* ---- the options' file ------------------------------------------------------- */

static int password_from_file(const char *path, char *buf, size_t cap)
{
	struct stat st;
	size_t n;
	FILE *f = fopen(path, "re");

	if (!f)
		return fail(errno == ENOENT ? CTL_NOT_FOUND : CTL_NOT_PERMITTED,
			    "'%s': %m", path);
	if (!fstat(fileno(f), &st) && st.st_mode & 077) {
		fclose(f);
		return fail(CTL_NOT_PERMITTED,
			    "'%s' can be read by others; chmod 600 it", path);
	}
	setvbuf(f, NULL, _IONBF, 0);
	n = fread(buf, 1, cap - 1, f);
	fclose(f);
	buf[n] = '\0';
	return CTL_OK;
}

/* From who sits at the terminal, without an echo. */
static int password_from_terminal(const struct source_server *server, char *buf,
				  size_t cap)
{
	struct termios old, silent;
	ssize_t n;
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || tcgetattr(fd, &old)) {
		if (fd >= 0)
			close(fd);
		return CTL_OK;
	}
	silent = old;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ICANON | ECHONL;
	/* an answer that comes at once is neither shown nor lost */
	tcsetattr(fd, TCSAFLUSH, &silent);
	dprintf(fd, "password of %s at %s: ", server->user, server->host);
	n = read(fd, buf, cap - 1);
	tcsetattr(fd, TCSAFLUSH, &old);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n > 0 ? CTL_OK
		     : fail(CTL_NOT_PERMITTED, "no password was given");
}

/* "": there is none, or an option file has it. */
static int read_password(const struct source *s, char *buf, size_t cap)
{
	const char *env = getenv("MYSQL_PWD");
	int code = CTL_OK;

	buf[0] = '\0';
	if (s->options.password_file)
		code = password_from_file(s->options.password_file, buf, cap);
	else if (env)
		snprintf(buf, cap, "%s", env);
	else if (isatty(STDIN_FILENO))
		code = password_from_terminal(&s->server, buf, cap);
	buf[strcspn(buf, "\r\n")] = '\0';
	return code;
}

static void write_quoted(FILE *f, const char *key, const char *value)
{
	fprintf(f, "%s=\"", key);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', f);
		if (*value != '\n' && *value != '\r')
			fputc(*value, f);
	}
	fputs("\"\n", f);
}

/* What the command would read by itself; ours, which follow, count. */
static void include_options(FILE *f)
{
	static const char *const places[] = {"/etc/my.cnf",
					     "/etc/mysql/my.cnf"};
	const char *home = getenv("HOME");
	char own[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (!access(places[i], R_OK))
			fprintf(f, "!include %s\n", places[i]);
	snprintf(own, sizeof(own), "%s/.my.cnf", home ? home : "");
	if (home && !strchr(home, '\n') && !access(own, R_OK))
		fprintf(f, "!include %s\n", own);
}

/* In memory, ours only: SO2. */
int source_server_prepare(struct source *s)
{
	char password[1024];
	int code = read_password(s, password, sizeof(password)), fd;
	FILE *f;

	if (code != CTL_OK)
		return code;
	s->child_options = fd = memfd_create("dbs-client", MFD_CLOEXEC);
	f = fd < 0 || fchmod(fd, 0600) ? NULL : fdopen(dup(fd), "w");
	if (!f) {
		explicit_bzero(password, sizeof(password));
		return fail(CTL_FAILED, "an option file in memory: %m");
	}
	include_options(f);
	fputs("[client]\n", f);
	write_quoted(f, "user", s->server.user);
	write_quoted(f, "host", s->server.host);
	fprintf(f, "port=%u\n", s->server.port);
	if (*password)
		write_quoted(f, "password", password);
	explicit_bzero(password, sizeof(password));
	fclose(f);
	return CTL_OK;
}

/* ---- the command ----------------------------------------------------------------- */

static const char *find_command(void)
{
	static const char *const places[] = {
		"/usr/bin/mariadb-dump", "/usr/local/bin/mariadb-dump",
		"/usr/bin/mysqldump", "/usr/local/bin/mysqldump",
		"/usr/local/mysql/bin/mysqldump"};
	const char *chosen = getenv("DBS_DUMP_COMMAND");

	for (size_t i = 0; !chosen && i < ARRAY_SIZE(places); i++)
		if (!access(places[i], X_OK))
			chosen = places[i];
	return chosen;
}

/* MariaDB's, by either name?  It has other options. */
static bool is_mariadb(const char *command)
{
	char text[512] = "";
	ssize_t n = 0;
	pid_t pid;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return strstr(command, "mariadb") != NULL;
	pid = fork();
	if (!pid) {
		dup2(fds[1], STDOUT_FILENO);
		execl(command, command, "--version", NULL);
		_exit(127);
	}
	close(fds[1]);
	if (pid > 0)
		n = read(fds[0], text, sizeof(text) - 1);
	close(fds[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "MariaDB") != NULL;
}

static void run_command(const struct source *s, const char *command,
			bool mariadb)
{
	static const char *const all[] = {
		"--single-transaction", "--quick",
		"--hex-blob",		"--routines",
		"--triggers",		"--events",
		"--no-tablespaces",	"--default-character-set=utf8mb4"};
	static const char *const mysql[] = {
		"--loose-compression-algorithms=zstd,zlib,uncompressed",
		"--loose-skip-column-statistics", "--set-gtid-purged=OFF"};
	char file[64];
	const char *argv[20] = {command, file};
	size_t n = 2;

	fcntl(s->child_options, F_SETFD, 0);
	snprintf(file, sizeof(file), "--defaults-file=/proc/self/fd/%d",
		 s->child_options);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		argv[n++] = all[i];
	if (mariadb)
		argv[n++] = "--compress";
	for (size_t i = 0; i < ARRAY_SIZE(mysql) && !mariadb; i++)
		argv[n++] = mysql[i];
	argv[n++] = "--databases";
	argv[n++] = s->server.db;
	argv[n] = NULL;
	unsetenv("MYSQL_PWD");
	execv(command, (char *const *)argv);
}

int source_server_start(struct source *s, int *fd)
{
	int fds[2];
	const char *command = find_command();
	bool mariadb;

	if (!command)
		return fail(CTL_NOT_FOUND,
			    "neither mariadb-dump nor mysqldump is installed");
	mariadb = is_mariadb(command);
	s->child_errors = memfd_create("dbs-errors", MFD_CLOEXEC);
	if (pipe2(fds, O_CLOEXEC))
		return fail(CTL_FAILED, "a pipe: %m");
	s->child = fork();
	if (!s->child) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(s->child_errors, STDERR_FILENO);
		signal(SIGPIPE, SIG_DFL);
		run_command(s, command, mariadb);
		dprintf(STDERR_FILENO, "%s: %s\n", command, strerror(errno));
		_exit(127);
	}
	close(fds[1]);
	*fd = fds[0];
	return s->child > 0 ? CTL_OK : fail(CTL_FAILED, "fork: %m");
}

/* The last line of what it said. */
static void last_line(int fd, char *buf, size_t cap)
{
	const off_t size = lseek(fd, 0, SEEK_END);
	const off_t at = size > (off_t)cap - 1 ? size - (off_t)cap + 1 : 0;
	ssize_t n = pread(fd, buf, cap - 1, at);
	char *newline;

	buf[n > 0 ? n : 0] = '\0';
	while (n > 0 && buf[n - 1] == '\n')
		buf[--n] = '\0';
	newline = strrchr(buf, '\n');
	if (newline)
		memmove(buf, newline + 1, strlen(newline));
}

int source_server_end(struct source *s, bool whole)
{
	char text[512];
	int status = 0;

	if (!whole)
		kill(s->child, SIGTERM);
	waitpid(s->child, &status, 0);
	s->child = 0;
	last_line(s->child_errors, text, sizeof(text));
	close(s->child_errors);
	s->child_errors = -1;
	if (!WIFEXITED(status) && !whole)
		return CTL_OK;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return CTL_OK;
	return fail(CTL_FAILED, "dump of '%s': %s", s->text,
		    *text ? text : "the dump command was killed");
}
