/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/instance/quiesce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cmd.h"
#include "tools/instance/instance.h"
#include "tools/instance/server.h"
#include "tools/instance/sql.h"
#include "tools/out.h"

#define POSITION_MAX 512
/* What waits for a lock keeps others waiting that came after it. */
#define LOCK_WAIT "SET SESSION lock_wait_timeout=30"
#define READ_S	  60

struct quiesce {
	struct sql *sql;
	bool mariadb;
	char server[128];
	char gtid[POSITION_MAX], file[POSITION_MAX], position[32];
};

/* Up to where nothing commits: MariaDB's BACKUP STAGE, 10.4 and later. */
static int hold_mariadb(struct quiesce *q)
{
	static const char *const stages[] = {
		"BACKUP STAGE START", "BACKUP STAGE FLUSH",
		"BACKUP STAGE BLOCK_DDL", "BACKUP STAGE BLOCK_COMMIT"};
	int code = CTL_OK;

	for (size_t i = 0; i < ARRAY_SIZE(stages) && code == CTL_OK; i++)
		code = sql_run(q->sql, stages[i]);
	if (code == CTL_OK)
		code = sql_row(q->sql, "SELECT @@gtid_current_pos", 0, q->gtid,
			       sizeof(q->gtid), -1, NULL, 0);
	if (code == CTL_OK)
		code = sql_row(q->sql, "SHOW MASTER STATUS", 0, q->file,
			       sizeof(q->file), 1, q->position,
			       sizeof(q->position));
	return code;
}

/*
 * MySQL 8 and later.  The first lock is against changes of tables, the second
 * against commits, which would be in the position and not in the snapshot;
 * log_status gives one position that holds for all of the server.
 */
static int hold_mysql(struct quiesce *q)
{
	int code = sql_run(q->sql, "LOCK INSTANCE FOR BACKUP");

	if (code == CTL_OK)
		code = sql_run(q->sql, "FLUSH TABLES WITH READ LOCK");
	if (code == CTL_OK)
		code = sql_row(q->sql,
			       "SELECT @@GLOBAL.gtid_executed, "
			       "LOCAL->>'$.binary_log_file' FROM "
			       "performance_schema.log_status",
			       0, q->gtid, sizeof(q->gtid), 1, q->file,
			       sizeof(q->file));
	if (code == CTL_OK)
		code = sql_row(q->sql,
			       "SELECT LOCAL->>'$.binary_log_position' FROM "
			       "performance_schema.log_status",
			       0, q->position, sizeof(q->position), -1, NULL,
			       0);
	return code;
}

int quiesce_begin(const char *name, struct quiesce **out)
{
	struct quiesce *q = calloc(1, sizeof(*q));
	struct instance inst;
	const json_t *b;
	int code;

	*out = NULL;
	if (!q)
		return fail(CTL_FAILED, "out of memory");
	code = instance_open(name, 0, &inst);
	if (code == CTL_OK && !instance_server(&inst))
		code = fail(CTL_UNREACHABLE,
			    "instance '%s' does not run, so it need not be "
			    "held still",
			    name);
	if (code == CTL_OK)
		code = sql_open_within(&inst, READ_S, &q->sql);
	if (code == CTL_OK)
		code = sql_run(q->sql, LOCK_WAIT);
	if (code == CTL_OK) {
		b = json_object_get(inst.record, "binary");
		q->mariadb = out_get_bool(b, "mariadb");
		snprintf(q->server, sizeof(q->server), "%s %s",
			 q->mariadb ? "MariaDB" : "MySQL",
			 out_get_text(b, "text"));
		code = q->mariadb ? hold_mariadb(q) : hold_mysql(q);
	}
	instance_close(&inst);
	if (code == CTL_OK)
		*out = q;
	else
		quiesce_end(q);
	return code;
}

json_t *quiesce_properties(const struct quiesce *q)
{
	json_t *p = json_pack("{s:s, s:s}", "user:dbs.consistency", "quiesced",
			      "user:dbs.server", q->server);

	if (*q->gtid)
		json_object_set_new(p, "user:dbs.gtid", out_text(q->gtid));
	if (*q->file)
		json_object_set_new(
			p, "user:dbs.binlog",
			json_sprintf("%s:%s", q->file, q->position));
	return p;
}

void quiesce_end(struct quiesce *q)
{
	if (!q)
		return;
	/* who holds it ends with the connection, whatever happens */
	sql_close(q->sql);
	free(q);
}
