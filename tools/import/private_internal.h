/* SPDX-License-Identifier: Apache-2.0 */
/* private_internal.h - what private.c and private_new.c share */
#ifndef DBS_TOOLS_IMPORT_PRIVATE_INTERNAL_H
#define DBS_TOOLS_IMPORT_PRIVATE_INTERNAL_H

#include "tools/import/private.h"

/** @dir/@file; "" where that is too long. */
void private_path(char out[PATH_MAX], const char *dir, const char *file);
/** The server does not start on a copy: the next import makes one anew. */
void private_new_forget(const struct private_server *p);

#endif
