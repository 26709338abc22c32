/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/nightly/nightly.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/cmd.h"
#include "tools/instance/instance.h"
#include "tools/nightly/nightly_internal.h"
#include "tools/out.h"

/* ---- one step ------------------------------------------------------------------ */

static void set_text(json_t *record, const char *key, const char *text)
{
	json_object_set_new(record, key, text ? out_text(text) : json_null());
}

static void set_now(json_t *record, const char *key)
{
	char now[OUT_TEXT_MAX];

	set_text(record, key, out_time(now, time(NULL)));
}

static void set_ms(json_t *record, uint64_t begin)
{
	json_object_set_new(
		record, "duration_ms",
		json_integer((json_int_t)((now_ns() - begin) / 1000000)));
}

static bool is_kind(const json_t *step, const char *kind)
{
	return !strcmp(out_get_text(step, "kind"), kind);
}

/* The step that imported what @step works on; NULL: nothing does. */
static const json_t *import_of(const struct nightly *n, const json_t *step)
{
	const char *dataset = out_get_text(step, "dataset");
	const json_t *other;
	size_t i;

	json_array_foreach(n->steps, i, other)
	{
		if (*dataset && is_kind(other, "import") &&
		    !strcmp(out_get_text(other, "dataset"), dataset))
			return other;
	}
	return NULL;
}

static char *text_of(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
static char *text_of(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return text;
}

/* Why @step is not to be done; NULL: it is.  NI2 */
static char *reason_to_skip(const struct nightly *n, const json_t *step)
{
	const json_t *import = import_of(n, step);
	const char *name = out_get_text(step, "instance");
	struct instance inst;
	char *why = NULL;

	if (n->signal)
		return text_of("interrupted by signal %d", n->signal);
	if (import && import != step &&
	    strcmp(out_get_text(import, "result"), "ok"))
		return text_of("there is nothing new: '%s' did not succeed",
			       out_get_text(import, "name"));
	if (!*name || !instance_exists(name))
		return NULL;
	if (instance_open(name, 0, &inst) == CTL_OK && instance_leased(&inst)) {
		const json_t *lease = json_object_get(inst.record, "lease");

		why = text_of("instance '%s' is held until %s (%s)", name,
			      out_get_text(lease, "until"),
			      out_get_text(lease, "reason"));
	}
	instance_close(&inst);
	return why;
}

/* An instance goes to its own origin's newest, which must be the dataset's. */
static int check_origin(const json_t *step, struct step_said *said)
{
	const char *name = out_get_text(step, "instance");
	const char *dataset = out_get_text(step, "dataset"), *from;
	struct instance inst;
	int code = CTL_OK;

	if (!*name || !instance_exists(name))
		return CTL_OK;
	if (instance_open(name, 0, &inst) == CTL_OK) {
		from = out_get_text(inst.record, "dataset_from");
		if (strncmp(from, dataset, strlen(dataset)) ||
		    from[strlen(dataset)] != '@') {
			code = CTL_CONFIG;
			said->error = text_of(
				"instance '%s' was made from '%s', not from "
				"'%s'; see '%s'",
				name, from, dataset, config_path());
		}
	}
	instance_close(&inst);
	return code;
}

static int do_publish(const struct nightly *n, const json_t *step,
		      struct step_said *said)
{
	const char *full = out_get_text(import_of(n, step), "snapshot");
	const char *at = strchr(full, '@');

	return published_keep(out_get_text(step, "dir"), at ? at + 1 : NULL,
			      (unsigned)out_get_int(step, "keep"),
			      &said->answer, &said->error);
}

static int do_step(struct nightly *n, json_t *step, struct step_said *said)
{
	int code;

	*said = (struct step_said){NULL, NULL};
	code = is_kind(step, "publish") ? do_publish(n, step, said)
					: check_origin(step, said);
	if (code != CTL_OK)
		note("%s", said->error ? said->error : "out of memory");
	else if (!is_kind(step, "publish"))
		code = step_run(n, step, said);
	return code;
}

static void run_step(struct nightly *n, json_t *step)
{
	char *skip = reason_to_skip(n, step);
	const uint64_t begin = now_ns();
	struct step_said said;
	int code;

	if (skip) {
		set_text(step, "result", "skipped");
		set_text(step, "error", skip);
		free(skip);
		return;
	}
	set_text(step, "result", "running");
	set_now(step, "begin");
	code = do_step(n, step, &said);
	set_text(step, "result", code == CTL_OK ? "ok" : "failed");
	json_object_set_new(step, "code", json_integer(code));
	set_text(step, "error", said.error);
	if (is_kind(step, "import") &&
	    (code == CTL_OK || out_get_bool(said.answer, "switched")))
		set_text(step, "snapshot",
			 out_get_text(said.answer, "snapshot"));
	/* which is in the data directory, and long */
	json_object_del(said.answer, "manifest");
	json_object_set(step, "answer",
			said.answer ? said.answer : json_null());
	set_now(step, "end");
	set_ms(step, begin);
	step_said_release(&said);
}

/* ---- all of them ----------------------------------------------------------------- */

static int signals_fd(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction action;
	sigset_t set;

	sigemptyset(&set);
	/* nohup(1) has them ignored, which a blocked signal is not */
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (!sigaction(signals[i], NULL, &action) &&
		    action.sa_handler != SIG_IGN)
			sigaddset(&set, signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The run's code and sentence; says it. */
static int judge(struct nightly *n)
{
	const json_t *step, *first = NULL;
	size_t i, nr_failed = 0;
	int code = CTL_OK;
	char *error = NULL;

	json_array_foreach(n->steps, i, step)
	{
		if (strcmp(out_get_text(step, "result"), "failed"))
			continue;
		nr_failed++;
		first = first ? first : step;
	}
	if (first) {
		code = (int)out_get_int(first, "code");
		error = text_of("%s: %s", out_get_text(first, "name"),
				out_get_text(first, "error"));
	} else if (n->signal) {
		code = CTL_FAILED;
		error = text_of("interrupted by signal %d", n->signal);
	}
	set_text(n->record, "result", code == CTL_OK ? "ok" : "failed");
	json_object_set_new(n->record, "code", json_integer(code));
	set_text(n->record, "error", error);
	if (nr_failed)
		fail(code, "%s (%zu of %zu steps failed; see '%s')", error,
		     nr_failed, json_array_size(n->steps),
		     nightly_result_path());
	else if (error)
		fail(code, "%s", error);
	free(error);
	return code;
}

int nightly_run(json_t *steps, const struct nightly_options *options,
		json_t **result)
{
	struct nightly n = {.steps = steps, .lock = -1};
	const uint64_t begin = now_ns();
	json_t *step;
	size_t i;
	int code, written = CTL_OK;

	*result = NULL;
	n.signals = signals_fd();
	code = n.signals < 0 ? fail(CTL_FAILED, "signalfd: %m")
			     : record_open(&n);
	if (code == CTL_OK) {
		json_array_foreach(steps, i, step)
		{
			step_take_signals(&n);
			run_step(&n, step);
			/* the end tells whether it can be written */
			record_write(&n);
			if (options->step_done)
				options->step_done(step);
		}
		step_take_signals(&n);
		code = judge(&n);
		set_now(n.record, "end");
		set_ms(n.record, begin);
		json_object_set_new(n.record, "pid", json_null());
		written = record_write(&n);
		*result = record_shown(&n);
	}
	record_close(&n);
	if (n.signals >= 0)
		close(n.signals);
	return code == CTL_OK ? written : code;
}
