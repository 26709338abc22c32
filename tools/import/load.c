/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/load.h"
#include "tools/lib_mysql.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PACKET_MAX	 (1ul << 30)
#define ER_DURING_COMMIT 1180
#define TICK_NS		 200000000

struct job {
	struct job *next;
	uint64_t offset;
	size_t len;
	char *table; /* behind the statement; NULL: none */
	char sql[];
};

struct worker {
	struct load *load;
	pthread_t thread;
	bool started;
	MYSQL *mysql;
	/* under the load's lock */
	struct job *first, **last;
	size_t bytes;
	bool busy;
	uint64_t given; /* bytes of tables */
};

/* Which worker a table was given. */
struct owner {
	char *table;
	unsigned worker;
};

struct load {
	unsigned nr;
	struct worker workers[LOAD_NR_MAX];
	/* the giving thread's */
	struct owner *owners;
	size_t nr_owners, cap_owners, last_owner;
	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t given, done;
	int (*tick)(void *arg);
	void *tick_arg;
	bool ends, stopped;
	struct load_error error;
};

/* ---- connections --------------------------------------------------------- */

static void keep_error(struct load *load, MYSQL *mysql, const struct job *job)
{
	struct load_error *e = &load->error;
	size_t len = 0;

	pthread_mutex_lock(&load->lock);
	if (!e->number && !load->stopped) {
		e->number = lib_mysql()->mysql_errno(mysql)
				    ? lib_mysql()->mysql_errno(mysql)
				    : 1;
		snprintf(e->text, sizeof(e->text), "%s",
			 lib_mysql()->mysql_error(mysql));
		if (job)
			len = job->len < sizeof(e->statement) - 4
				      ? job->len
				      : sizeof(e->statement) - 4;
		if (job)
			memcpy(e->statement, job->sql, len);
		strcpy(e->statement + len, job && len < job->len ? "..." : "");
		snprintf(e->table, sizeof(e->table), "%s",
			 job && job->table ? job->table : "");
		e->offset = job ? job->offset : 0;
	}
	load->stopped = true;
	pthread_cond_broadcast(&load->given);
	pthread_cond_broadcast(&load->done);
	pthread_mutex_unlock(&load->lock);
}

/*
 * MariaDB fills an empty table in bulk where unique_checks are off, and then
 * says no more of a duplicate key than that the COMMIT failed.  Nothing of the
 * statement is there; the same with checks says what it is.
 */
static int run_statement(MYSQL *mysql, const struct job *job)
{
	const unsigned long len = (unsigned long)job->len;

	if (!lib_mysql()->mysql_real_query(mysql, job->sql, len))
		return 0;
	if (lib_mysql()->mysql_errno(mysql) != ER_DURING_COMMIT ||
	    lib_mysql()->mysql_query(mysql, "SET SESSION unique_checks=1") ||
	    lib_mysql()->mysql_real_query(mysql, job->sql, len))
		return -EREMOTEIO;
	return lib_mysql()->mysql_query(mysql, "SET SESSION unique_checks=0")
		       ? -EREMOTEIO
		       : 0;
}

static int execute(struct load *load, MYSQL *mysql, const struct job *job)
{
	MYSQL_RES *rows;
	int more;

	if (run_statement(mysql, job)) {
		keep_error(load, mysql, job);
		return -EREMOTEIO;
	}
	do {
		rows = lib_mysql()->mysql_store_result(mysql);
		if (rows)
			lib_mysql()->mysql_free_result(rows);
		more = lib_mysql()->mysql_next_result(mysql);
	} while (more == 0);
	if (more > 0) {
		keep_error(load, mysql, job);
		return -EREMOTEIO;
	}
	return 0;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct load *load = w->load;
	struct job *job;

	lib_mysql()->mysql_thread_init();
	pthread_mutex_lock(&load->lock);
	for (;;) {
		while (!w->first && !load->ends && !load->stopped)
			pthread_cond_wait(&load->given, &load->lock);
		if (!w->first || load->stopped)
			break;
		job = w->first;
		w->busy = true;
		pthread_mutex_unlock(&load->lock);
		execute(load, w->mysql, job);
		pthread_mutex_lock(&load->lock);
		w->busy = false;
		w->first = job->next;
		if (!w->first)
			w->last = &w->first;
		w->bytes -= job->len;
		free(job);
		pthread_cond_broadcast(&load->done);
	}
	pthread_mutex_unlock(&load->lock);
	lib_mysql()->mysql_thread_end();
	return NULL;
}

static int open_worker(struct load *load, struct worker *w, const char *socket,
		       const char *user)
{
	unsigned long packet = PACKET_MAX;
	unsigned no = 0;

	w->load = load;
	w->last = &w->first;
	w->mysql = lib_mysql()->mysql_init(NULL);
	if (!w->mysql)
		return -ENOMEM;
	lib_mysql()->mysql_options(w->mysql, MYSQL_OPT_MAX_ALLOWED_PACKET,
				   &packet);
	lib_mysql()->mysql_options(w->mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	/* a dump must not ask for our files */
	lib_mysql()->mysql_options(w->mysql, MYSQL_OPT_LOCAL_INFILE, &no);
	if (!lib_mysql()->mysql_real_connect(w->mysql, NULL, user, "", NULL, 0,
					     socket, CLIENT_MULTI_RESULTS) ||
	    lib_mysql()->mysql_query(
		    w->mysql, "SET SESSION unique_checks=0, "
			      "foreign_key_checks=0, wait_timeout=604800, "
			      "net_read_timeout=86400")) {
		keep_error(load, w->mysql, NULL);
		return -ECONNREFUSED;
	}
	if (pthread_create(&w->thread, NULL, work, w))
		return -ENOMEM;
	w->started = true;
	return 0;
}

int load_open(const char *socket, const char *user, unsigned nr,
	      struct load **out)
{
	struct load *load = calloc(1, sizeof(*load));
	int err = 0;

	if (!load)
		return -ENOMEM;
	*out = load;
	pthread_mutex_init(&load->lock, NULL);
	pthread_cond_init(&load->given, NULL);
	pthread_cond_init(&load->done, NULL);
	load->nr = nr < 1 ? 1 : nr > LOAD_NR_MAX ? LOAD_NR_MAX : nr;
	for (unsigned i = 0; i < load->nr && !err; i++)
		err = open_worker(load, &load->workers[i], socket, user);
	return err;
}

void load_stop(struct load *load)
{
	pthread_mutex_lock(&load->lock);
	load->stopped = true;
	pthread_cond_broadcast(&load->given);
	pthread_cond_broadcast(&load->done);
	pthread_mutex_unlock(&load->lock);
}

void load_close(struct load *load)
{
	if (!load)
		return;
	pthread_mutex_lock(&load->lock);
	load->ends = true;
	load->stopped = true;
	pthread_cond_broadcast(&load->given);
	pthread_mutex_unlock(&load->lock);
	for (unsigned i = 0; i < load->nr; i++) {
		struct worker *w = &load->workers[i];

		if (w->started)
			pthread_join(w->thread, NULL);
		while (w->first) {
			struct job *job = w->first;

			w->first = job->next;
			free(job);
		}
		if (w->mysql)
			lib_mysql()->mysql_close(w->mysql);
	}
	for (size_t i = 0; i < load->nr_owners; i++)
		free(load->owners[i].table);
	free(load->owners);
	pthread_mutex_destroy(&load->lock);
	pthread_cond_destroy(&load->given);
	pthread_cond_destroy(&load->done);
	free(load);
}

const struct load_error *load_error(const struct load *load)
{
	return &load->error;
}

/* ---- queues -------------------------------------------------------------- */

void load_set_tick(struct load *load, int (*tick)(void *arg), void *arg)
{
	load->tick = tick;
	load->tick_arg = arg;
}

/* Until something is done, or for a moment; with the lock. */
static void wait_done(struct load *load)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += TICK_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&load->done, &load->lock, &until);
	if (!load->tick)
		return;
	pthread_mutex_unlock(&load->lock);
	if (load->tick(load->tick_arg))
		load_stop(load);
	pthread_mutex_lock(&load->lock);
}

static struct job *job_new(const char *sql, size_t len, const char *table,
			   uint64_t offset)
{
	const size_t more = table ? strlen(table) + 1 : 0;
	struct job *job = malloc(sizeof(*job) + len + 1 + more);

	if (!job)
		return NULL;
	job->next = NULL;
	job->offset = offset;
	job->len = len;
	job->table = table ? job->sql + len + 1 : NULL;
	memcpy(job->sql, sql, len);
	job->sql[len] = '\0';
	if (table)
		memcpy(job->table, table, more);
	return job;
}

/* Give @job, once there is room. */
static int give(struct load *load, struct worker *w, struct job *job)
{
	int err = 0;

	if (!job)
		return -ENOMEM;
	pthread_mutex_lock(&load->lock);
	while (w->first && w->bytes + job->len > LOAD_QUEUE_BYTES &&
	       !load->stopped)
		wait_done(load);
	if (load->stopped) {
		free(job);
		err = -EREMOTEIO;
	} else {
		*w->last = job;
		w->last = &job->next;
		w->bytes += job->len;
		pthread_cond_broadcast(&load->given);
	}
	pthread_mutex_unlock(&load->lock);
	return err;
}

int load_session(struct load *load, const char *sql, size_t len,
		 uint64_t offset)
{
	int err = 0;

	for (unsigned i = 0; i < load->nr && !err; i++)
		err = give(load, &load->workers[i],
			   job_new(sql, len, NULL, offset));
	return err;
}

/* The one with least to do. */
static unsigned least(struct load *load)
{
	unsigned best = 0;

	pthread_mutex_lock(&load->lock);
	for (unsigned i = 1; i < load->nr; i++) {
		const struct worker *w = &load->workers[i];
		const struct worker *b = &load->workers[best];

		if (w->bytes < b->bytes ||
		    (w->bytes == b->bytes && w->given < b->given))
			best = i;
	}
	pthread_mutex_unlock(&load->lock);
	return best;
}

static struct owner *owner_of(struct load *load, const char *table)
{
	struct owner *o;

	/* mostly the last one */
	if (load->last_owner < load->nr_owners &&
	    !strcmp(load->owners[load->last_owner].table, table))
		return &load->owners[load->last_owner];
	for (size_t i = 0; i < load->nr_owners; i++) {
		if (!strcmp(load->owners[i].table, table)) {
			load->last_owner = i;
			return &load->owners[i];
		}
	}
	if (load->nr_owners == load->cap_owners) {
		const size_t cap = 2 * load->cap_owners + 64;

		o = reallocarray(load->owners, cap, sizeof(*o));
		if (!o)
			return NULL;
		load->owners = o;
		load->cap_owners = cap;
	}
	o = &load->owners[load->nr_owners];
	o->table = strdup(table);
	o->worker = least(load);
	if (!o->table)
		return NULL;
	load->last_owner = load->nr_owners++;
	return o;
}

int load_table(struct load *load, const char *table, const char *sql,
	       size_t len, uint64_t offset)
{
	const struct owner *o = owner_of(load, table);

	if (!o)
		return -ENOMEM;
	load->workers[o->worker].given += len;
	return give(load, &load->workers[o->worker],
		    job_new(sql, len, table, offset));
}

int load_anyone(struct load *load, const char *table, const char *sql)
{
	struct job *job = job_new(sql, strlen(sql), table, 0);
	unsigned i;

	if (!job)
		return -ENOMEM;
	/* an index takes long: no more than one waits behind another */
	pthread_mutex_lock(&load->lock);
	for (;;) {
		for (i = 0; i < load->nr && load->workers[i].first; i++)
			;
		if (i < load->nr || load->stopped)
			break;
		wait_done(load);
	}
	pthread_mutex_unlock(&load->lock);
	return give(load, &load->workers[i < load->nr ? i : 0], job);
}

int load_drain(struct load *load)
{
	int err;

	pthread_mutex_lock(&load->lock);
	for (unsigned i = 0; i < load->nr && !load->stopped;) {
		if (!load->workers[i].first) {
			i++;
			continue;
		}
		wait_done(load);
	}
	err = load->stopped ? -EREMOTEIO : 0;
	pthread_mutex_unlock(&load->lock);
	return err;
}

int load_alone(struct load *load, const char *sql, size_t len, uint64_t offset)
{
	int err = load_drain(load);

	if (!err)
		err = give(load, &load->workers[0],
			   job_new(sql, len, NULL, offset));
	return err ? err : load_drain(load);
}

int load_query(struct load *load, const char *sql, char *buf, size_t cap)
{
	MYSQL *mysql = load->workers[0].mysql;
	MYSQL_RES *rows = NULL;
	MYSQL_ROW row;
	int err = load_drain(load);

	buf[0] = '\0';
	if (err)
		return err;
	if (lib_mysql()->mysql_query(mysql, sql) ||
	    !(rows = lib_mysql()->mysql_store_result(mysql))) {
		keep_error(load, mysql, NULL);
		return -EREMOTEIO;
	}
	row = lib_mysql()->mysql_fetch_row(rows);
	if (row && row[0])
		snprintf(buf, cap, "%s", row[0]);
	lib_mysql()->mysql_free_result(rows);
	return 0;
}
