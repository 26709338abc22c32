/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - a URL's bytes into a pipe, by a thread of their own
 *
 * Below: libcurl.  Above: source.h.
 *
 * A transfer that breaks off goes on where it was with a range request, if the
 * server still has the same file (ETag, Last-Modified), HTTP_TRIES times
 * without any byte between them.  TLS is verified always.
 */
#ifndef DBS_TOOLS_IMPORT_HTTP_H
#define DBS_TOOLS_IMPORT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_TRIES 6

struct http;

/** Is it a URL? */
bool http_is_url(const char *text);

/** To be called before all that follows.  Errors: -ENOSYS, and @why */
int http_load(char *why, size_t cap);
/** Begin.  @fd: out, where the bytes come; the caller's.  Errors: -errno */
int http_open(const char *url, const char *ca, struct http **out, int *fd);
/** Of the whole file; 0: not known (yet). */
uint64_t http_size(const struct http *http);
/** How many times it went on after a break. */
unsigned http_resumed(const struct http *http);
/** Nobody wants the rest: http_close() then does not wait for it. */
void http_stop(struct http *http);
/**
 * End.  @why: out, what went wrong
 * Returns 0, or -errno: -ENOENT, -EACCES, -EIO
 */
int http_close(struct http *http, char *why, size_t cap);
/**
 * Get a small file.
 *
 * @stops: asked at least once a second; NULL: never
 *
 * Errors: -ENOENT it is not there; -ECANCELED @stops said so; -EIO with @why
 */
int http_get(const char *url, const char *ca, bool (*stops)(void), char *buf,
	     size_t cap, char *why, size_t why_cap);

#endif
