/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/http.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "tools/import/curl.h"

#define VALIDATOR_MAX 256
#define WAIT_MAX_S    8

struct http {
	char *url, *ca;
	int fd; /* of the pipe, to write */
	pthread_t thread;
	/* the thread's */
	CURL *curl;
	uint64_t got;
	char validator[VALIDATOR_MAX]; /* ETag, else Last-Modified */
	char seen[VALIDATOR_MAX];      /* of this answer */
	bool closed;		       /* nobody reads any more */
	bool changed;		       /* it cannot go on */
	bool checked;		       /* the status of this answer was */
	int err;
	char why[512];
	/* atomic */
	_Atomic uint64_t size;
	atomic_uint resumed;
	atomic_bool stops;
};

/* since http_load() */
static const struct curl_api *api;

int http_load(char *why, size_t cap)
{
	const char *error;

	api = curl_load();
	if (api)
		return 0;
	error = dlerror();
	snprintf(why, cap, "%s", error ? error : "libcurl cannot begin");
	return -ENOSYS;
}

bool http_is_url(const char *text)
{
	return !strncasecmp(text, "https://", 8) ||
	       !strncasecmp(text, "http://", 7);
}

static CURL *curl_for(const char *url, const char *ca)
{
	CURL *curl = api->init();

	if (!curl)
		return NULL;
	api->setopt(curl, CURLOPT_URL, url);
	api->setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	api->setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "https");
	if (!strncasecmp(url, "http://", 7))
		api->setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	api->setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	api->setopt(curl, CURLOPT_MAXREDIRS, 5L);
	api->setopt(curl, CURLOPT_FAILONERROR, 1L);
	api->setopt(curl, CURLOPT_NOSIGNAL, 1L);
	api->setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L);
	/* a server that says nothing for a minute has gone */
	api->setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	api->setopt(curl, CURLOPT_LOW_SPEED_TIME, 60L);
	api->setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL);
	api->setopt(curl, CURLOPT_USERAGENT, "dbs");
	if (ca)
		api->setopt(curl, CURLOPT_CAINFO, ca);
	return curl;
}

/* ---- one answer ---------------------------------------------------------- */

static size_t on_header(char *p, size_t size, size_t nr, void *arg)
{
	struct http *h = arg;
	const size_t len = size * nr;
	size_t skip = 0;

	/* a redirection's answer begins anew */
	if (len > 5 && !strncasecmp(p, "HTTP/", 5))
		h->seen[0] = '\0';
	if (len > 6 && !strncasecmp(p, "etag: ", 6))
		skip = 6;
	else if (len > 15 && !strncasecmp(p, "last-modified: ", 15) &&
		 !h->seen[0])
		skip = 15;
	if (skip) {
		snprintf(h->seen, sizeof(h->seen), "%.*s", (int)(len - skip),
			 p + skip);
		h->seen[strcspn(h->seen, "\r\n")] = '\0';
	}
	return len;
}

/* The first bytes of an answer: is it the one that goes on? */
static bool check_answer(struct http *h)
{
	long status = 0;
	curl_off_t length = -1;

	api->getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	api->getinfo(h->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	h->checked = true;
	if (h->got == 0) {
		snprintf(h->validator, sizeof(h->validator), "%s", h->seen);
		if (length > 0)
			atomic_store(&h->size, (uint64_t)length);
		return true;
	}
	if (status == 206 && !strcmp(h->validator, h->seen))
		return true;
	h->changed = true;
	snprintf(h->why, sizeof(h->why),
		 status == 206
			 ? "it broke off, and is another file now"
			 : "it broke off, and the server does not give the "
			   "rest (no range requests)");
	return false;
}

static size_t on_bytes(char *p, size_t size, size_t nr, void *arg)
{
	struct http *h = arg;
	const size_t len = size * nr;
	size_t done = 0;

	if (!h->checked && !check_answer(h))
		return 0;
	while (done < len) {
		const ssize_t n = write(h->fd, p + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			h->closed = true;
			return 0;
		}
		done += (size_t)n;
		h->got += (size_t)n;
	}
	return len;
}

/* At least once a second, also when nothing comes. */
static int on_progress(void *arg, curl_off_t all, curl_off_t now,
		       curl_off_t up_all, curl_off_t up)
{
	struct http *h = arg;

	(void)all, (void)now, (void)up_all, (void)up;
	return atomic_load(&h->stops);
}

/* ---- all of it ----------------------------------------------------------- */

/* Is it of use to try again? */
static bool is_break(struct http *h, CURLcode code)
{
	const uint64_t size = atomic_load(&h->size);

	switch (code) {
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return true;
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
		return h->got > 0;
	case CURLE_OK:
		return size && h->got < size;
	default:
		return false;
	}
}

static int verdict(struct http *h, CURLcode code)
{
	long status = 0;

	if (code == CURLE_OK)
		return 0;
	api->getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_HTTP_RETURNED_ERROR)
		snprintf(h->why, sizeof(h->why), "the server answers %ld",
			 status);
	else if (code == CURLE_RANGE_ERROR)
		snprintf(h->why, sizeof(h->why),
			 "it broke off after %llu bytes, and the server does "
			 "not give the rest (no range requests)",
			 (unsigned long long)h->got);
	else if (!h->changed)
		snprintf(h->why, sizeof(h->why), "%s after %llu bytes",
			 api->strerror(code), (unsigned long long)h->got);
	if (code == CURLE_HTTP_RETURNED_ERROR &&
	    (status == 404 || status == 410))
		return -ENOENT;
	if (code == CURLE_HTTP_RETURNED_ERROR &&
	    (status == 401 || status == 403))
		return -EACCES;
	return -EIO;
}

static void *run(void *arg)
{
	struct http *h = arg;
	unsigned tries = 0;
	CURLcode code;

	for (;;) {
		const uint64_t before = h->got;

		h->checked = false;
		api->setopt(h->curl, CURLOPT_RESUME_FROM_LARGE,
			    (curl_off_t)h->got);
		code = api->perform(h->curl);
		if (h->closed || h->changed || atomic_load(&h->stops) ||
		    !is_break(h, code))
			break;
		tries = h->got > before ? 1 : tries + 1;
		if (tries >= HTTP_TRIES) {
			if (code == CURLE_OK)
				code = CURLE_PARTIAL_FILE;
			break;
		}
		for (unsigned s = 1;
		     s < tries && s <= WAIT_MAX_S && !atomic_load(&h->stops);
		     s++)
			sleep(1);
		if (h->got)
			atomic_fetch_add(&h->resumed, 1);
	}
	h->err = h->closed || code == CURLE_ABORTED_BY_CALLBACK
			 ? 0
			 : verdict(h, code);
	close(h->fd);
	return NULL;
}

static void http_free(struct http *h)
{
	if (h->curl)
		api->cleanup(h->curl);
	free(h->url);
	free(h->ca);
	free(h);
}

int http_open(const char *url, const char *ca, struct http **out, int *fd)
{
	struct http *h = calloc(1, sizeof(*h));
	int fds[2];

	if (!h || pipe2(fds, O_CLOEXEC)) {
		free(h);
		return -ENOMEM;
	}
	fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
	h->fd = fds[1];
	h->url = strdup(url);
	h->ca = ca ? strdup(ca) : NULL;
	h->curl = h->url ? curl_for(h->url, h->ca) : NULL;
	if (h->curl) {
		api->setopt(h->curl, CURLOPT_WRITEFUNCTION, on_bytes);
		api->setopt(h->curl, CURLOPT_WRITEDATA, h);
		api->setopt(h->curl, CURLOPT_HEADERFUNCTION, on_header);
		api->setopt(h->curl, CURLOPT_HEADERDATA, h);
		api->setopt(h->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
		api->setopt(h->curl, CURLOPT_XFERINFODATA, h);
		api->setopt(h->curl, CURLOPT_NOPROGRESS, 0L);
	}
	if (!h->curl || pthread_create(&h->thread, NULL, run, h)) {
		close(fds[0]);
		close(fds[1]);
		http_free(h);
		return -ENOMEM;
	}
	*out = h;
	*fd = fds[0];
	return 0;
}

uint64_t http_size(const struct http *h)
{
	return atomic_load(&h->size);
}

unsigned http_resumed(const struct http *h)
{
	return atomic_load(&h->resumed);
}

void http_stop(struct http *h)
{
	atomic_store(&h->stops, true);
}

int http_close(struct http *h, char *why, size_t cap)
{
	int err;

	pthread_join(h->thread, NULL);
	err = h->err;
	snprintf(why, cap, "%s", h->why);
	http_free(h);
	return err;
}

/* ---- small files --------------------------------------------------------- */

struct small {
	char *buf;
	size_t len, cap;
	bool (*stops)(void);
};

static size_t on_small(char *p, size_t size, size_t nr, void *arg)
{
	struct small *s = arg;
	size_t len = size * nr;

	if (len > s->cap - 1 - s->len)
		return 0;
	memcpy(s->buf + s->len, p, len);
	s->len += len;
	s->buf[s->len] = '\0';
	return len;
}

/* As on_progress(). */
static int on_wait(void *arg, curl_off_t all, curl_off_t now, curl_off_t up_all,
		   curl_off_t up)
{
	const struct small *s = arg;

	(void)all, (void)now, (void)up_all, (void)up;
	return s->stops && s->stops();
}

int http_get(const char *url, const char *ca, bool (*stops)(void), char *buf,
	     size_t cap, char *why, size_t why_cap)
{
	struct small s = {buf, 0, cap, stops};
	long status = 0;
	CURLcode code;
	CURL *curl;

	buf[0] = '\0';
	curl = curl_for(url, ca);
	if (!curl)
		return -ENOMEM;
	api->setopt(curl, CURLOPT_WRITEFUNCTION, on_small);
	api->setopt(curl, CURLOPT_WRITEDATA, &s);
	api->setopt(curl, CURLOPT_XFERINFOFUNCTION, on_wait);
	api->setopt(curl, CURLOPT_XFERINFODATA, &s);
	api->setopt(curl, CURLOPT_NOPROGRESS, 0L);
	code = api->perform(curl);
	api->getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	snprintf(why, why_cap, "%s",
		 code == CURLE_OK ? "" : api->strerror(code));
	api->cleanup(curl);
	if (code == CURLE_OK)
		return 0;
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return -ECANCELED;
	return code == CURLE_HTTP_RETURNED_ERROR && status < 500 ? -ENOENT
								 : -EIO;
}
