/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill_client.c - commits that are written down, and the proof that they stay
 *
 *   kill-client wait SOCKET PID              until the server answers or is gone
 *   kill-client schema SOCKET WRITERS        tables
 *   kill-client load SOCKET RECORD WRITERS [binlog]
 *                                            commit until the server is gone
 *   kill-client verify SOCKET RECORD [RECORD-LATER [binlog]]
 *                                            all of RECORD is there, nothing
 *                                            that RECORD-LATER does not explain
 *
 * Exit codes: 0 as it should be, 1 something is lost or wrong, 2 could not run.
 */
#include "tests/e2e/kill_client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define WAIT_MS 120000

MYSQL *kill_connect(const char *socket, const char *db, bool loud)
{
	MYSQL *my = mysql_init(NULL);

	if (my && mysql_real_connect(my, NULL, "root", NULL, db, 0, socket,
				     CLIENT_MULTI_STATEMENTS))
		return my;
	if (loud)
		fprintf(stderr, "kill-client: connect: %s\n",
			my ? mysql_error(my) : "no memory");
	if (my)
		mysql_close(my);
	return NULL;
}

int kill_run(MYSQL *my, const char *sql, const char *what)
{
	bool ok = mysql_query(my, sql) == 0;

	while (ok) {
		MYSQL_RES *rows = mysql_store_result(my);
		int rc;

		if (rows)
			mysql_free_result(rows);
		rc = mysql_next_result(my);
		/* no more; from mysql_query() it is an error */
		if (rc == -1)
			return 0;
		ok = rc == 0;
	}
	fprintf(stderr, "kill-client: %s: error %u: %s\n", what,
		mysql_errno(my), mysql_error(my));
	return -1;
}

uint64_t kill_number(MYSQL *my, const char *sql, uint64_t otherwise)
{
	uint64_t number = otherwise;
	MYSQL_RES *rows;
	MYSQL_ROW row;

	if (mysql_query(my, sql) != 0)
		return otherwise;
	rows = mysql_store_result(my);
	if (!rows)
		return otherwise;
	row = mysql_fetch_row(rows);
	if (row && row[0])
		number = strtoull(row[0], NULL, 10);
	mysql_free_result(rows);
	return number;
}

void kill_read_acked(const char *path,
		     struct kill_acked acked[KILL_WRITERS_MAX])
{
	FILE *f = fopen(path, "re");
	unsigned w, n;

	memset(acked, 0, KILL_WRITERS_MAX * sizeof(*acked));
	if (!f) {
		fprintf(stderr, "kill-client: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	while (fscanf(f, "%u %u\n", &w, &n) == 2) {
		if (w >= KILL_WRITERS_MAX) {
			fprintf(stderr, "kill-client: %s: writer %u\n", path,
				w);
			exit(2);
		}
		if (!acked[w].known)
			acked[w].first = n;
		acked[w].known = true;
		acked[w].last = n;
	}
	fclose(f);
}

int kill_schema(const char *socket, unsigned writers)
{
	MYSQL *my = kill_connect(socket, NULL, true);
	char sql[64];
	int rc;

	if (!my)
		return 2;
	rc = kill_run(my,
		      "CREATE DATABASE " KILL_DB "; USE " KILL_DB ";"
		      "CREATE TABLE counter (w INT PRIMARY KEY,"
		      " n INT UNSIGNED NOT NULL) ENGINE=InnoDB;"
		      "CREATE TABLE a (w INT NOT NULL, n INT UNSIGNED NOT NULL,"
		      " gen INT UNSIGNED NOT NULL, text VARCHAR(600) NOT NULL,"
		      " PRIMARY KEY (w, n), KEY (text(20))) ENGINE=InnoDB"
		      " CHARSET=latin1;"
		      "CREATE TABLE b (w INT NOT NULL, n INT UNSIGNED NOT NULL,"
		      " gen INT UNSIGNED NOT NULL, sum INT UNSIGNED NOT NULL,"
		      " PRIMARY KEY (w, n), KEY (sum)) ENGINE=InnoDB",
		      "schema");
	for (unsigned w = 0; w < writers && rc == 0; w++) {
		snprintf(sql, sizeof(sql), "INSERT INTO counter VALUES (%u, 0)",
			 w);
		rc = kill_run(my, sql, "schema");
	}
	mysql_close(my);
	return rc ? 2 : 0;
}

static int kill_wait(const char *socket, pid_t pid)
{
	for (int ms = 0; ms < WAIT_MS; ms += 20) {
		MYSQL *my = kill_connect(socket, NULL, false);

		if (my) {
			mysql_close(my);
			return 0;
		}
		if (kill(pid, 0) != 0 && errno == ESRCH) {
			fprintf(stderr, "kill-client: the server ended\n");
			return 2;
		}
		usleep(20000);
	}
	fprintf(stderr, "kill-client: the server does not answer\n");
	return 2;
}

static int usage(void)
{
	fprintf(stderr, "usage: kill-client wait SOCKET PID\n"
			"       kill-client schema SOCKET WRITERS\n"
			"       kill-client load SOCKET RECORD WRITERS "
			"[binlog]\n"
			"       kill-client verify SOCKET RECORD "
			"[RECORD-LATER [binlog]]\n");
	return 2;
}

static bool is_binlog(int argc, char **argv, int at)
{
	return argc > at && strcmp(argv[at], "binlog") == 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 3 ? argv[1] : "";
	int rc;

	if (mysql_library_init(0, NULL, NULL) != 0)
		return 2;
	if (!strcmp(command, "wait"))
		rc = kill_wait(argv[2], (pid_t)atoi(argv[3]));
	else if (!strcmp(command, "schema"))
		rc = kill_schema(argv[2], (unsigned)atoi(argv[3]));
	else if (!strcmp(command, "load") && argc > 4)
		rc = kill_load(argv[2], argv[3], (unsigned)atoi(argv[4]),
			       is_binlog(argc, argv, 5));
	else if (!strcmp(command, "verify"))
		rc = kill_verify(argv[2], argv[3], argc > 4 ? argv[4] : argv[3],
				 is_binlog(argc, argv, 5));
	else
		rc = usage();
	mysql_library_end();
	return rc;
}
