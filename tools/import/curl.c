/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/curl.h"

#include <stdbool.h>
#include <stddef.h>

#include "store/store.h"
#include "tools/library.h"

/* Its name since 2006. */
#define LIBRARY "libcurl.so.4"

static const struct library_symbol functions[] = {
	{"curl_global_init", offsetof(struct curl_api, global_init)},
	{"curl_easy_init", offsetof(struct curl_api, init)},
	{"curl_easy_cleanup", offsetof(struct curl_api, cleanup)},
	{"curl_easy_setopt", offsetof(struct curl_api, setopt)},
	{"curl_easy_getinfo", offsetof(struct curl_api, getinfo)},
	{"curl_easy_perform", offsetof(struct curl_api, perform)},
	{"curl_easy_strerror", offsetof(struct curl_api, strerror)},
};

const struct curl_api *curl_load(void)
{
	static struct curl_api api;
	static bool loaded;

	if (!loaded)
		loaded = library_load(LIBRARY, false, functions,
				      ARRAY_SIZE(functions), &api) &&
			 !api.global_init(CURL_GLOBAL_DEFAULT);
	return loaded ? &api : NULL;
}
