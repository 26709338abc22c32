/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib_crypto.h"

#include <pthread.h>

#include "store/store.h"
#include "tools/library.h"

#define LIBRARY "libcrypto.so.3"

static struct lib_crypto table;

static void load(void)
{
#define X(f) {#f, offsetof(struct lib_crypto, f)},
	static const struct library_symbol symbols[] = {
		LIB_CRYPTO_FUNCTIONS(X)};
#undef X

	library_need(LIBRARY, false, symbols, ARRAY_SIZE(symbols), &table);
}

const struct lib_crypto *lib_crypto(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load);
	return &table;
}
