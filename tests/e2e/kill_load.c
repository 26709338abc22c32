/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill_load.c - several connections commit until the server is gone
 */
#include "tests/e2e/kill_client.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SQL_MAX (64u * 1024)

struct writer {
	const char *socket;
	int record;
	uint32_t w, n;
	pthread_t thread;
};

struct text {
	size_t len;
	char buf[SQL_MAX];
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t,
						      const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->len, sizeof(t->buf) - t->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(t->buf) - t->len)
		abort();
	t->len += (size_t)n;
}

/* All of transaction @n but its COMMIT. */
static void transaction(struct text *t, uint32_t w, uint32_t n)
{
	uint32_t rows[KILL_AGAIN_MAX];
	char text[KILL_TEXT_MAX + 1];
	unsigned nr = kill_rows_again(w, n, rows);

	t->len = 0;
	kill_text(w, n, n, text);
	add(t, "START TRANSACTION; INSERT INTO a VALUES (%u, %u, %u, '%s');", w,
	    n, n, text);
	add(t, "INSERT INTO b VALUES (%u, %u, %u, CRC32('%s'));", w, n, n,
	    text);
	for (unsigned i = 0; i < nr; i++) {
		kill_text(w, rows[i], n, text);
		add(t,
		    "UPDATE a SET gen = %u, text = '%s' WHERE w = %u AND "
		    "n = %u;",
		    n, text, w, rows[i]);
		add(t,
		    "UPDATE b SET gen = %u, sum = CRC32('%s') WHERE w = %u AND "
		    "n = %u;",
		    n, text, w, rows[i]);
	}
	if (n > KILL_WINDOW)
		add(t,
		    "DELETE FROM a WHERE w = %u AND n = %u;"
		    "DELETE FROM b WHERE w = %u AND n = %u;",
		    w, n - KILL_WINDOW, w, n - KILL_WINDOW);
	/* kill_verify.c looks for this one in the binary log */
	add(t, "UPDATE counter SET n = %u WHERE w = %u", n, w);
}

/* One write, so that a kill leaves whole lines. */
static void record(int fd, uint32_t w, uint32_t n)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "%u %u\n", w, n);

	if (write(fd, line, (size_t)len) != len) {
		perror("kill-client: record");
		exit(2);
	}
}

static void *writer_run(void *arg)
{
	struct writer *me = arg;
	struct text *t = malloc(sizeof(*t));
	MYSQL *my;

	mysql_thread_init();
	my = kill_connect(me->socket, KILL_DB, true);
	while (my && t) {
		transaction(t, me->w, ++me->n);
		if (kill_run(my, t->buf, "transaction") != 0 ||
		    kill_run(my, "COMMIT", "commit") != 0)
			break;
		record(me->record, me->w, me->n);
	}
	if (my)
		mysql_close(my);
	mysql_thread_end();
	free(t);
	return NULL;
}

static void *ddl_run(void *arg)
{
	struct writer *me = arg;
	char sql[256];
	MYSQL *my;

	mysql_thread_init();
	my = kill_connect(me->socket, KILL_DB, true);
	while (my) {
		kill_ddl(++me->n, sql);
		if (kill_run(my, sql, sql) != 0)
			break;
		record(me->record, me->w, me->n);
		/* so that there is time for the others */
		usleep(20000);
	}
	if (my)
		mysql_close(my);
	mysql_thread_end();
	return NULL;
}

/* KILL_DDL starts from nothing. */
static int ddl_begin(MYSQL *my, int fd)
{
	char name[16], sql[64];
	int rc = 0;

	for (unsigned i = 0; i < KILL_DDL_TABLES && rc == 0; i++) {
		kill_ddl_name(i, name);
		snprintf(sql, sizeof(sql), "DROP TABLE IF EXISTS %s", name);
		rc = kill_run(my, sql, sql);
	}
	if (rc == 0)
		record(fd, KILL_DDL, 0);
	return rc;
}

/* Where the writers stand, into the record. */
static int load_begin(const char *socket, struct writer *all, unsigned writers,
		      bool binlog)
{
	MYSQL *my = kill_connect(socket, KILL_DB, true);
	char sql[64];
	int rc = 0;

	if (!my)
		return -1;
	if (binlog)
		rc = kill_run(my, "RESET MASTER", "reset master");
	for (unsigned w = 0; w < writers && rc == 0; w++) {
		uint64_t n;

		snprintf(sql, sizeof(sql), "SELECT n FROM counter WHERE w = %u",
			 w);
		n = kill_number(my, sql, UINT64_MAX);
		if (n > UINT32_MAX)
			rc = -1;
		all[w].n = (uint32_t)n;
		record(all[w].record, w, all[w].n);
	}
	if (rc == 0)
		rc = ddl_begin(my, all[0].record);
	mysql_close(my);
	return rc;
}

int kill_load(const char *socket, const char *path, unsigned writers,
	      bool binlog)
{
	struct writer all[KILL_WRITERS_MAX] = {0};
	struct writer *ddl = &all[KILL_DDL];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC,
		      0644);

	if (fd < 0 || writers > KILL_DDL) {
		perror("kill-client: record");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	for (unsigned w = 0; w < KILL_WRITERS_MAX; w++) {
		all[w].socket = socket;
		all[w].record = fd;
		all[w].w = w;
	}
	if (load_begin(socket, all, writers, binlog) != 0)
		return 2;
	for (unsigned w = 0; w < writers; w++)
		if (pthread_create(&all[w].thread, NULL, writer_run, &all[w]))
			return 2;
	if (pthread_create(&ddl->thread, NULL, ddl_run, ddl))
		return 2;
	for (unsigned w = 0; w < writers; w++)
		pthread_join(all[w].thread, NULL);
	pthread_join(ddl->thread, NULL);
	close(fd);
	return 0;
}
