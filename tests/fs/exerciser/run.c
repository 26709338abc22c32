/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - one run: a new pool, operations from a seed or a list, the end */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"
#include "tests/fs/exerciser/ex.h"

#define ASIDE_MAX 4u
#define PHASE_MAX 160u /* operations of a worker */
#define HANGS_S	  900  /* a run that takes so long does not end */
#define COMM_MAX  16

static _Thread_local struct ex_worker *this_worker;

static void on_sigbus(int sig)
{
	(void)sig;
	/* it came from a mapping that this thread was at */
	if (this_worker)
		ex_fail(this_worker, "SIGBUS");
	_exit(1);
}

/* -- phases ---------------------------------------------------------------- */

/* What a worker does in a phase: operations of a list, or so many new ones. */
struct share {
	struct ex_worker *w;
	const struct ex_list *list;
	size_t from, to;
	uint64_t nr;
};

static void worker_generate(struct ex_worker *w, uint64_t nr)
{
	char *path = malloc(EX_PATH_MAX), *path2 = malloc(EX_PATH_MAX);
	struct ex_op op = {.path = path, .path2 = path2};

	MUST(path && path2);
	for (uint64_t i = 0; i < nr; i++) {
		op.path = path;
		op.path2 = path2;
		ex_gen(w, &op);
		ex_exec(w, &op);
	}
	free(path);
	free(path2);
}

static void *worker_main(void *arg)
{
	struct share *s = arg;

	this_worker = s->w;
	if (!s->list)
		worker_generate(s->w, s->nr);
	for (size_t i = s->from; s->list && i < s->to; i++)
		if (s->list->ops[i].worker == (int)s->w->n)
			ex_exec(s->w, &s->list->ops[i]);
	atomic_fetch_sub(&s->w->run->nr_busy, 1);
	return NULL;
}

/* Does one before it make the same? */
static bool is_taken(struct ex_aside *asides, size_t i)
{
	asides[i].id = 0;
	for (size_t k = 0; k < i; k++)
		if (asides[k].op->kind == asides[i].op->kind &&
		    strcmp(asides[k].op->path2, asides[i].op->path2) == 0)
			return true;
	return false;
}

/* Commands that run beside the workers' operations [from, to) of @list. */
static void run_phase(struct ex_run *run, const struct ex_list *list,
		      size_t from, size_t to, uint64_t nr,
		      struct ex_aside *asides, size_t nr_asides)
{
	pthread_t threads[EX_WORKERS_MAX];
	struct share shares[EX_WORKERS_MAX];
	uint64_t base = 0;

	run->aside = nr_asides > 0;
	if (run->aside)
		ex_msync_all(run);
	atomic_store(&run->nr_busy, run->s.workers);
	for (unsigned i = 0; i < run->s.workers; i++) {
		ex_states_trim(&run->w[i]);
		base += atomic_load(&run->w[i].done);
		shares[i] = (struct share){&run->w[i], list, from, to, nr};
	}
	for (unsigned i = 0; i < run->s.workers; i++)
		MUST(pthread_create(&threads[i], NULL, worker_main,
				    &shares[i]) == 0);
	for (size_t i = 0; i < nr_asides; i++)
		if (!is_taken(asides, i))
			ex_aside_run(run, &asides[i], base);
	for (unsigned i = 0; i < run->s.workers; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < nr_asides; i++)
		if (asides[i].id)
			ex_aside_compare(run, &asides[i]);
}

static bool is_aside(const struct ex_op *op)
{
	return op->kind == EX_SNAPRUN || op->kind == EX_CLONERUN;
}

static void log_op(struct ex_run *run, const struct ex_op *op)
{
	ex_list_add(&run->log, op);
	if (run->s.verbose)
		fprintf(stderr, "%s\n", ex_op_text(op));
}

/* -- operations from a list ------------------------------------------------ */

static void run_list(struct ex_run *run, const struct ex_list *list)
{
	struct ex_aside asides[ASIDE_MAX];
	size_t nr_asides = 0, end;

	for (size_t i = 0; i < list->nr; i = end) {
		const struct ex_op *op = &list->ops[i];

		end = i + 1;
		if (op->worker < 0) {
			log_op(run, op);
			if (!is_aside(op))
				ex_exec_root(run, op);
			else if (nr_asides < ASIDE_MAX)
				asides[nr_asides++].op = op;
			continue;
		}
		while (end < list->nr && list->ops[end].worker >= 0)
			end++;
		run_phase(run, list, i, end, 0, asides, nr_asides);
		nr_asides = 0;
	}
}

/* -- operations from a seed ------------------------------------------------ */

static void root_op(struct ex_run *run, struct ex_op *op,
		    struct ex_list *asides)
{
	log_op(run, op);
	if (is_aside(op))
		ex_list_add(asides, op);
	else
		ex_exec_root(run, op);
}

static void create_first(struct ex_run *run)
{
	static const int64_t sizes[] = {16384, 4096, 131072};
	char name[EX_PATH_MAX], empty[] = "";

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct ex_op op = {.worker = -1,
				   .kind = EX_CREATE,
				   .a = sizes[i],
				   .path = name,
				   .path2 = empty};

		snprintf(name, sizeof(name), "d%u", i);
		root_op(run, &op, NULL);
	}
}

static void run_seed(struct ex_run *run)
{
	char path[EX_PATH_MAX], path2[EX_PATH_MAX];
	struct ex_aside asides[ASIDE_MAX];
	struct ex_list aside_ops = {0};
	struct ex_op op;
	uint64_t nr, left;

	create_first(run);
	while (run->log.nr < run->s.nr_ops) {
		left = (run->s.nr_ops - run->log.nr) / run->s.workers + 1;
		nr = rnd_between(&run->rnd, 1, PHASE_MAX);
		run_phase(run, NULL, 0, 0, MIN_OF(nr, left), asides,
			  aside_ops.nr);
		ex_list_free(&aside_ops);
		for (uint64_t n = rnd_below(&run->rnd, 3) + 1; n > 0; n--) {
			op.path = path;
			op.path2 = path2;
			ex_gen_root(run, &op);
			if (!is_aside(&op) || aside_ops.nr < ASIDE_MAX)
				root_op(run, &op, &aside_ops);
		}
		for (size_t i = 0; i < aside_ops.nr; i++)
			asides[i].op = &aside_ops.ops[i];
	}
	ex_list_free(&aside_ops);
}

/* -- begin and end --------------------------------------------------------- */

static void run_init(struct ex_run *run, const struct ex_settings *s)
{
	struct sigaction sa = {.sa_handler = on_sigbus};

	*run = (struct ex_run){.s = *s};
	run->rnd.state = s->seed;
	run->log.workers = s->workers;
	run->log.commit_ms = s->commit_ms;
	pthread_mutex_init(&run->lock, NULL);
	snprintf(run->mount, PATH_MAX, "%s", s->plain ? s->plain : "");
	if (!s->plain)
		snprintf(run->mount, PATH_MAX, "%s/mnt", s->work);
	snprintf(run->pool, PATH_MAX, "%s/pool", s->work);
	snprintf(run->socket, PATH_MAX, "%s/socket", s->work);
	snprintf(run->pid_file, PATH_MAX, "%s/dbsfs.pid", s->work);
	snprintf(run->list, PATH_MAX, "%s/failed.ops", s->work);
	for (unsigned i = 0; i < s->workers; i++)
		ex_worker_init(&run->w[i], run, i);
	sigaction(SIGBUS, &sa, NULL);
	umask(0);
}

static void run_release(struct ex_run *run)
{
	uint64_t ops = 0, failed = 0, skipped = 0;

	for (unsigned i = 0; i < run->s.workers; i++) {
		ops += run->w[i].nr_ops;
		failed += run->w[i].nr_failed;
		skipped += run->w[i].nr_skipped;
		ex_worker_release(&run->w[i]);
	}
	printf("seed %ju, %u workers: %ju operations, %ju of them refused, "
	       "%ju skipped; %ju commands, %ju remounts, %ju kills, %ju lost "
	       "something\n",
	       (uintmax_t)run->s.seed, run->s.workers, (uintmax_t)ops,
	       (uintmax_t)failed, (uintmax_t)skipped, (uintmax_t)run->nr_roots,
	       (uintmax_t)run->nr_remounts, (uintmax_t)run->nr_kills,
	       (uintmax_t)run->nr_prefix);
	fflush(stdout);
	ex_list_free(&run->log);
	pthread_mutex_destroy(&run->lock);
}

void ex_run(const struct ex_settings *s)
{
	static struct ex_run run;

	run_init(&run, s);
	if (!s->plain) {
		ex_pool_create(&run);
		ex_mount(&run);
	}
	if (s->replay)
		run_list(&run, s->replay);
	else
		run_seed(&run);
	ex_msync_all(&run);
	ex_verify_all(&run, 0);
	for (unsigned i = 0; i < s->workers; i++)
		ex_handles_close_all(&run.w[i]);
	if (!s->plain) {
		ex_unmount(&run);
		ex_check(&run);
	}
	run_release(&run);
}

/* -- in a child ------------------------------------------------------------ */

/* A run that failed leaves its mount and its daemon. */
static void clean_up(const struct ex_settings *s)
{
	char path[PATH_MAX], comm[COMM_MAX + 1] = "";
	int pid = 0;
	FILE *f;

	if (s->plain)
		return;
	snprintf(path, sizeof(path), "%s/dbsfs.pid", s->work);
	f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%d", &pid) != 1)
			pid = 0;
		fclose(f);
	}
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = pid > 1 ? fopen(path, "r") : NULL;
	if (f) {
		if (fscanf(f, "%16s", comm) == 1 && strcmp(comm, "dbsfs") == 0)
			kill(pid, SIGKILL);
		fclose(f);
	}
	snprintf(path, sizeof(path), "%s/mnt", s->work);
	while (umount2(path, MNT_DETACH) == 0)
		;
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static int wait_child(pid_t pid)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	int status;

	for (uint64_t i = 0; i < HANGS_S * UINT64_C(200); i++) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			if (WIFSIGNALED(status))
				fprintf(stderr, "FAILED signal %d\n",
					WTERMSIG(status));
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		}
		nanosleep(&pause, NULL);
	}
	fprintf(stderr, "FAILED it does not end\n");
	kill(pid, SIGKILL);
	return 1;
}

int ex_run_child(const struct ex_settings *s, bool quiet)
{
	pid_t pid;
	int code;

	fflush(NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		/* not inherited */
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		if (quiet && (!freopen("/dev/null", "w", stdout) ||
			      !freopen("/dev/null", "w", stderr)))
			_exit(2);
		ex_run(s);
		exit(0);
	}
	code = wait_child(pid);
	clean_up(s);
	return code;
}
