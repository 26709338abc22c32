/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor_idle.c - has anybody used the server?
 *
 * Asked now and then, by a connection of our own: who is connected, how many
 * have connected, and how many rows were written.  The monitor does nothing
 * else meanwhile, so it does not wait long for the answer.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/cmd.h"
#include "tools/instance/monitor_internal.h"
#include "tools/instance/sql.h"
#include "tools/out.h"

#define ASK_MOST_S  60 /* between two questions */
#define ASK_OFTEN   10 /* so many in the time after which it is idle */
#define NS_PER_S    UINT64_C(1000000000)
#define NR_COUNTERS 3

static uint64_t counter(struct sql *sql, const char *statement, bool *ok)
{
	char value[32] = "";

	*ok = *ok && sql_row(sql, statement, 1, value, sizeof(value), -1, NULL,
			     0) == CTL_OK;
	return strtoull(value, NULL, 10);
}

/* False: it does not answer, which counts as use. */
static bool ask(const struct monitor *m, uint64_t *connected,
		struct monitor_use *use)
{
	static const char *const rows[NR_COUNTERS] = {
		"SHOW GLOBAL STATUS LIKE 'Innodb_rows_inserted'",
		"SHOW GLOBAL STATUS LIKE 'Innodb_rows_updated'",
		"SHOW GLOBAL STATUS LIKE 'Innodb_rows_deleted'"};
	struct sql *sql;
	bool ok = true;

	if (sql_open(&m->inst, &sql) != CTL_OK)
		return false;
	*connected = counter(sql,
			     "SHOW GLOBAL STATUS LIKE "
			     "'Threads_connected'",
			     &ok);
	use->connections =
		counter(sql, "SHOW GLOBAL STATUS LIKE 'Connections'", &ok);
	use->rows = 0;
	for (int i = 0; i < NR_COUNTERS; i++)
		use->rows += counter(sql, rows[i], &ok);
	sql_close(sql);
	return ok;
}

bool monitor_is_idle(struct monitor *m)
{
	uint64_t idle_s = out_get_int(m->inst.record, "idle_s");
	uint64_t now = now_ns(), connected = 0;
	struct monitor_use use = {0};

	if (!idle_s || !m->pid) {
		m->used_ns = 0;
		return false;
	}
	if (!m->used_ns)
		m->used_ns = now;
	if (now < m->ask_ns)
		return false;
	m->ask_ns = now + MIN_OF(MAX_OF(idle_s / ASK_OFTEN, UINT64_C(1)),
				 (uint64_t)ASK_MOST_S) *
				  NS_PER_S;
	/* one connection more is ours, and so is one that is there */
	if (!ask(m, &connected, &use) || connected > 1 ||
	    use.connections != m->use.connections + 1 ||
	    use.rows != m->use.rows)
		m->used_ns = now;
	m->use = use;
	return now - m->used_ns >= idle_s * NS_PER_S;
}
