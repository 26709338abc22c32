/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_crypto.h - OpenSSL's libcrypto, loaded when it is needed
 *
 * Below: library.h.  Above: whatever calls one of its functions.
 */
#ifndef DBS_TOOLS_LIB_CRYPTO_H
#define DBS_TOOLS_LIB_CRYPTO_H

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define LIB_CRYPTO_FUNCTIONS(X)                                                \
	X(EVP_CIPHER_CTX_free)                                                 \
	X(EVP_CIPHER_CTX_new)                                                  \
	X(EVP_CIPHER_CTX_set_padding)                                          \
	X(EVP_Digest)                                                          \
	X(EVP_DigestFinal_ex)                                                  \
	X(EVP_DigestInit_ex)                                                   \
	X(EVP_DigestUpdate)                                                    \
	X(EVP_EncryptInit_ex)                                                  \
	X(EVP_EncryptUpdate)                                                   \
	X(EVP_MD_CTX_free)                                                     \
	X(EVP_MD_CTX_new)                                                      \
	X(EVP_aes_128_cbc)                                                     \
	X(EVP_aes_128_ecb)                                                     \
	X(EVP_sha256)                                                          \
	X(HMAC)                                                                \
	X(OPENSSL_cleanse)

#define X(f) __typeof__(f) *f;
struct lib_crypto {
	LIB_CRYPTO_FUNCTIONS(X)
};
#undef X

/** Its functions, by their own names; loaded at the first call, which ends the
 * process where that fails.  From any thread. */
const struct lib_crypto *lib_crypto(void);

#endif
