/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/curl.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "store/store.h"

/* Its name since 2006. */
#define LIBRARY "libcurl.so.4"

static const struct {
	const char *name;
	size_t at;
} functions[] = {
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
	void *library;

	if (loaded)
		return &api;
	library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
		void *f = dlsym(library, functions[i].name);

		if (!f) {
			dlclose(library);
			return NULL;
		}
		/* POSIX lets a function's address be one of data */
		memcpy((char *)&api + functions[i].at, &f, sizeof(f));
	}
	loaded = !api.global_init(CURL_GLOBAL_DEFAULT);
	return loaded ? &api : NULL;
}
