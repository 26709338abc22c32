/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/source.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/cmd.h"
#include "tools/config.h"
#include "tools/import/source_internal.h"

static int code_of(int err)
{
	switch (err) {
	case ENOENT:
	case ENOTDIR:
		return CTL_NOT_FOUND;
	case EACCES:
	case EPERM:
		return CTL_NOT_PERMITTED;
	default:
		return CTL_FAILED;
	}
}

/* ---- which --------------------------------------------------------------- */

/* A URL without the password in it and what may be one in its query. */
static void set_url_text(struct source *s, const char *url)
{
	const char *start = strstr(url, "://") + 3;
	const char *at = start + strcspn(start, "/?#");

	while (at > start && *at != '@')
		at--;
	if (*at == '@')
		at++;
	snprintf(s->text, sizeof(s->text), "%.*s%.*s", (int)(start - url), url,
		 (int)strcspn(at, "?#"), at);
}

static int add_whole(struct source *s, uint64_t size)
{
	s->parts = calloc(1, sizeof(*s->parts));
	if (!s->parts)
		return fail(CTL_FAILED, "out of memory");
	s->nr_parts = 1;
	s->parts[0].size = s->size = size;
	return CTL_OK;
}

static int open_url(struct source *s)
{
	char why[256];

	if (config_url_has_password(s->options.from))
		return fail(CTL_USAGE,
			    "a password in an argument can be seen by "
			    "everybody: put it into ~/.netrc");
	if (http_load(why, sizeof(why)))
		return fail(CTL_FAILED, "URLs are read by libcurl: %s", why);
	return add_whole(s, 0);
}

static int open_path(struct source *s)
{
	const char *from = s->options.from;
	struct stat st;

	if (stat(from, &st))
		return fail(code_of(errno), "'%s': %m", from);
	if (S_ISDIR(st.st_mode)) {
		s->kind = SOURCE_DIR;
		return source_dir_list(s);
	}
	if (access(from, R_OK))
		return fail(code_of(errno), "'%s': %m", from);
	s->kind = SOURCE_FILE;
	return add_whole(s, S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
}

int source_open(const struct source_options *options, struct source **out)
{
	struct source *s = calloc(1, sizeof(*s));
	const char *from = options->from;
	int code;

	*out = s;
	if (!s)
		return fail(CTL_FAILED, "out of memory");
	s->options = *options;
	s->child_errors = s->child_options = -1;
	snprintf(s->text, sizeof(s->text), "%s", from);
	if (!strcmp(from, "-")) {
		s->kind = SOURCE_STDIN;
		snprintf(s->text, sizeof(s->text), "standard input");
		code = add_whole(s, 0);
	} else if (http_is_url(from)) {
		s->kind = SOURCE_URL;
		set_url_text(s, from);
		code = open_url(s);
	} else if (!strncasecmp(from, "mysql://", 8)) {
		s->kind = SOURCE_SERVER;
		code = source_server_parse(from, &s->server);
		if (code == CTL_OK)
			code = source_server_prepare(s);
		if (code == CTL_OK)
			code = add_whole(s, 0);
	} else {
		code = open_path(s);
	}
	return code;
}

void source_close(struct source *s)
{
	if (!s)
		return;
	source_end(s, false);
	if (s->child_options >= 0)
		close(s->child_options);
	for (unsigned i = 0; i < s->nr_parts; i++) {
		free(s->parts[i].path);
		free(s->parts[i].db);
	}
	free(s->parts);
	free(s);
}

unsigned source_nr_parts(const struct source *s)
{
	return s->nr_parts;
}

const struct source_part *source_part(const struct source *s, unsigned i)
{
	return &s->parts[i];
}

uint64_t source_size(const struct source *s)
{
	return s->http ? http_size(s->http) : s->size;
}

const char *source_text(const struct source *s)
{
	return s->text;
}

/* ---- a part -------------------------------------------------------------- */

/* The checksum beside a URL: "HEX" or "HEX  name". */
static int get_checksum(struct source *s)
{
	char url[4096], text[512], why[256];
	size_t n;
	int err;

	/* what follows the path may be a ticket for one file */
	n = strcspn(s->options.from, "?#");
	if (snprintf(url, sizeof(url), "%.*s.sha256%.*s", (int)n,
		     s->options.from, (int)strcspn(s->options.from + n, "#"),
		     s->options.from + n) >= (int)sizeof(url))
		return CTL_OK;
	err = http_get(url, s->options.ca, s->options.stops, text, sizeof(text),
		       why, sizeof(why));
	if (err == -ENOENT)
		return CTL_OK;
	if (err == -ECANCELED)
		return fail(CTL_FAILED,
			    "interrupted while waiting for '%s.sha256'",
			    s->text);
	if (err)
		return fail(CTL_FAILED, "'%s.sha256': %s", s->text, why);
	for (n = 0; isxdigit((unsigned char)text[n]); n++)
		text[n] = (char)tolower((unsigned char)text[n]);
	if (n != UNPACK_SHA256 - 1)
		return fail(CTL_FAILED, "'%s.sha256' has no SHA-256 in it",
			    s->text);
	text[n] = '\0';
	memcpy(s->expected, text, UNPACK_SHA256);
	return CTL_OK;
}

static int begin_url(struct source *s, int *fd)
{
	int code = get_checksum(s);

	if (code == CTL_OK &&
	    http_open(s->options.from, s->options.ca, &s->http, fd))
		code = fail(CTL_FAILED, "out of memory");
	return code;
}

int source_begin(struct source *s, unsigned i)
{
	const char *path =
		s->parts[i].path ? s->parts[i].path : s->options.from;
	int fd = -1, code = CTL_OK;

	snprintf(s->what, sizeof(s->what), "%s",
		 s->parts[i].path ? s->parts[i].path : s->text);
	if (s->kind == SOURCE_STDIN)
		fd = dup(STDIN_FILENO);
	else if (s->kind == SOURCE_URL)
		code = begin_url(s, &fd);
	else if (s->kind == SOURCE_SERVER)
		code = source_server_start(s, &fd);
	else
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (code != CTL_OK)
		return code;
	if (fd < 0)
		return fail(code_of(errno), "'%s': %m", s->what);
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (unpack_open(fd, &s->unpack))
		return fail(CTL_FAILED, "out of memory");
	return CTL_OK;
}

ssize_t source_read(void *source, void *buf, size_t len)
{
	struct source *s = source;
	size_t have = strlen(s->tail), add;
	ssize_t n;

	while ((n = unpack_read(s->unpack, buf, len)) == -EAGAIN)
		if (s->options.stops && s->options.stops())
			return -ECANCELED;

	s->at_end = n == 0;
	if (n <= 0)
		return n;
	add = MIN_OF((size_t)n, (size_t)TAIL_BYTES);
	if (have + add > TAIL_BYTES) {
		memmove(s->tail, s->tail + have + add - TAIL_BYTES,
			TAIL_BYTES - add);
		have = TAIL_BYTES - add;
	}
	for (size_t i = 0; i < add; i++) {
		const char c = ((const char *)buf)[(size_t)n - add + i];

		s->tail[have + i] = c ? c : ' ';
	}
	s->tail[have + add] = '\0';
	return n;
}

const char *source_tail(const struct source *s)
{
	return s->tail;
}

const char *source_error(const struct source *s)
{
	return s->unpack ? unpack_error(s->unpack) : "";
}

uint64_t source_taken(const struct source *s)
{
	return s->taken + (s->unpack ? unpack_taken(s->unpack) : 0);
}

static int end_url(struct source *s, bool whole, const char *sum)
{
	const unsigned resumed = http_resumed(s->http);
	char why[512];
	int err;

	if (!whole)
		http_stop(s->http);
	err = http_close(s->http, why, sizeof(why));
	s->http = NULL;
	if (err)
		return fail(err == -ENOENT   ? CTL_NOT_FOUND
			    : err == -EACCES ? CTL_NOT_PERMITTED
					     : CTL_FAILED,
			    "'%s': %s", s->text, why);
	if (whole && *s->expected && strcmp(s->expected, sum))
		return fail(CTL_FAILED,
			    "'%s' is not what its .sha256 says: it has %s",
			    s->text, sum);
	if (resumed)
		note("'%s' broke off %u time%s and went on", s->text, resumed,
		     resumed == 1 ? "" : "s");
	return CTL_OK;
}

int source_end(struct source *s, bool whole)
{
	char sum[UNPACK_SHA256] = "";
	int code = CTL_OK;

	/* what was read to its end broke off by itself, not by us */
	whole = whole || s->at_end;
	s->at_end = false;
	if (s->unpack) {
		s->taken += unpack_taken(s->unpack);
		if (whole)
			unpack_sha256(s->unpack, sum);
		unpack_close(s->unpack);
		s->unpack = NULL;
	}
	if (s->http)
		code = end_url(s, whole, sum);
	if (s->child > 0)
		code = source_server_end(s, whole);
	return code;
}
