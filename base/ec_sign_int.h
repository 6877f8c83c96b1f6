/* base/ec_sign_int.h - for base/stir_cert.c: the key of a certificate as one that verifies. */
#ifndef BASE_EC_SIGN_INT_H
#define BASE_EC_SIGN_INT_H

#include <openssl/evp.h>

#include "base/ec_sign.h"

/* Takes its own reference to the key. E_PARSE: not P-256. */
MUST_CHECK enum err ec_public_of(EVP_PKEY *key, struct ec_public **out);

#endif
