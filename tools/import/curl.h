/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl.h - libcurl, loaded when a URL is read
 *
 * It brings thirty libraries with it.
 *
 * Below: libcurl, library.h.  Above: http.c.
 */
#ifndef DBS_TOOLS_IMPORT_CURL_H
#define DBS_TOOLS_IMPORT_CURL_H

#include <curl/curl.h>

struct curl_api {
	CURLcode (*global_init)(long flags);
	CURL *(*init)(void);
	void (*cleanup)(CURL *curl);
	CURLcode (*setopt)(CURL *curl, CURLoption option, ...);
	CURLcode (*getinfo)(CURL *curl, CURLINFO info, ...);
	CURLcode (*perform)(CURL *curl);
	const char *(*strerror)(CURLcode code);
};

/**
 * Its functions, with curl_global_init() done.  NULL: it cannot be loaded, and
 * dlerror(3) says why.  Not for several threads at once.
 */
const struct curl_api *curl_load(void);

#endif
