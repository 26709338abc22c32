/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool library_load(const char *library, bool global,
		  const struct library_symbol *symbols, size_t nr, void *table)
{
	void *handle =
		dlopen(library, RTLD_NOW | (global ? RTLD_GLOBAL : RTLD_LOCAL));

	if (!handle)
		return false;
	for (size_t i = 0; i < nr; i++) {
		void *f = dlsym(handle, symbols[i].name);

		if (!f)
			return false; /* it stays: dlclose() forgets the error */
		/* POSIX lets a function's address be one of data */
		memcpy((char *)table + symbols[i].at, &f, sizeof(f));
	}
	return true;
}

void library_need(const char *library, bool global,
		  const struct library_symbol *symbols, size_t nr, void *table)
{
	if (library_load(library, global, symbols, nr, table))
		return;
	fprintf(stderr, "dbs: cannot load '%s', install it again: %s\n",
		library, dlerror());
	exit(2);
}
