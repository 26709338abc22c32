/* SPDX-License-Identifier: Apache-2.0 */
/* source_command.c - mysql://user@host/db: a dump by mariadb-dump or mysqldump */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

static int read_password(const char *path, char *buf, size_t cap)
{
	struct stat st;
	size_t n;
	FILE *f;

	buf[0] = '\0';
	if (!path) {
		const char *env = getenv("MYSQL_PWD");

		snprintf(buf, cap, "%s", env ? env : "");
		return CTL_OK;
	}
	f = fopen(path, "re");
	if (!f)
		return fail(errno == ENOENT ? CTL_NOT_FOUND : CTL_NOT_PERMITTED,
			    "'%s': %m", path);
	if (!fstat(fileno(f), &st) && st.st_mode & 077) {
		fclose(f);
		return fail(CTL_NOT_PERMITTED,
			    "'%s' can be read by others; chmod 600 it", path);
	}
	n = fread(buf, 1, cap - 1, f);
	fclose(f);
	buf[n] = '\0';
	buf[strcspn(buf, "\r\n")] = '\0';
	return CTL_OK;
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

/* In memory, ours only; V: no password in an argument. */
static int options_file(const struct source *s, int *fd)
{
	char password[1024];
	int code = read_password(s->options.password_file, password,
				 sizeof(password));
	FILE *f;

	if (code != CTL_OK)
		return code;
	*fd = memfd_create("dbs-client", 0);
	f = *fd < 0 || fchmod(*fd, 0600) ? NULL : fdopen(dup(*fd), "w");
	if (!f) {
		explicit_bzero(password, sizeof(password));
		return fail(CTL_FAILED, "an options' file in memory: %m");
	}
	fputs("[client]\n", f);
	write_quoted(f, "user", s->server.user);
	write_quoted(f, "host", s->server.host);
	fprintf(f, "port=%u\n", s->server.port);
	if (*password)
		write_quoted(f, "password", password);
	explicit_bzero(password, sizeof(password));
	fclose(f);
	lseek(*fd, 0, SEEK_SET);
	return CTL_OK;
}

/* ---- the command ----------------------------------------------------------------- */

static const char *find_command(bool *mariadb)
{
	static const char *const places[] = {
		"/usr/bin/mariadb-dump", "/usr/local/bin/mariadb-dump",
		"/usr/bin/mysqldump", "/usr/local/bin/mysqldump",
		"/usr/local/mysql/bin/mysqldump"};
	const char *chosen = getenv("DBS_DUMP_COMMAND");

	for (size_t i = 0; !chosen && i < ARRAY_SIZE(places); i++)
		if (!access(places[i], X_OK))
			chosen = places[i];
	*mariadb = chosen && strstr(chosen, "mariadb");
	return chosen;
}

static void run_command(const struct source *s, const char *command,
			bool mariadb, int options)
{
	char file[64];
	const char *argv[20] = {command, file};
	size_t n = 2;

	snprintf(file, sizeof(file), "--defaults-extra-file=/proc/self/fd/%d",
		 options);
	argv[n++] = "--single-transaction";
	argv[n++] = "--quick";
	argv[n++] = "--hex-blob";
	argv[n++] = "--routines";
	argv[n++] = "--triggers";
	argv[n++] = "--default-character-set=utf8mb4";
	argv[n++] = mariadb ? "--compress"
			    : "--compression-algorithms=zstd,"
			      "zlib,uncompressed";
	if (!mariadb)
		argv[n++] = "--set-gtid-purged=OFF";
	argv[n++] = "--databases";
	argv[n++] = s->server.db;
	argv[n] = NULL;
	unsetenv("MYSQL_PWD");
	execv(command, (char *const *)argv);
}

int source_server_start(struct source *s, int *fd)
{
	int fds[2], options, code;
	bool mariadb;
	const char *command = find_command(&mariadb);

	if (!command)
		return fail(CTL_NOT_FOUND,
			    "neither mariadb-dump nor mysqldump is installed");
	code = options_file(s, &options);
	if (code != CTL_OK)
		return code;
	s->child_errors = memfd_create("dbs-errors", MFD_CLOEXEC);
	if (pipe2(fds, O_CLOEXEC)) {
		close(options);
		return fail(CTL_FAILED, "a pipe: %m");
	}
	s->child = fork();
	if (!s->child) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(s->child_errors, STDERR_FILENO);
		signal(SIGPIPE, SIG_DFL);
		run_command(s, command, mariadb, options);
		dprintf(STDERR_FILENO, "%s: %s\n", command, strerror(errno));
		_exit(127);
	}
	close(options);
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
