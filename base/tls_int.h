/* base/tls_int.h - what tls.c and tls_cred.c share. */
#ifndef BASE_TLS_INT_H
#define BASE_TLS_INT_H

#include <openssl/ssl.h>

#include "base/tls_cred.h"

/* Certificate, chain, key and trust store into a context; false: the library refused. */
bool tls_cred_apply(const struct tls_cred *c, SSL_CTX *to, bool is_server);

#endif
