/* base/tls_cred.h - our certificate with its chain and key, and the authorities that we believe.
 *
 * Files      PEM. certificate: ours first, then its chain; key: its private key (RSA or EC, not
 * encrypted), mode 0600 as other key files; ca: the authorities that peers' certificates must lead
 * to. Certificate and key go together; each of the two parts may be missing.
 * Use        tls_ctx_certify() makes a context use it; contexts need it no longer afterwards.
 * Threads    immutable once it is loaded. */
#ifndef BASE_TLS_CRED_H
#define BASE_TLS_CRED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define TLS_WHY_MAX 256

struct tls_cred;

struct tls_files { /* NULL or empty: none */
    const char *certificate, *key, *ca;
};

/* why: names the file and the reason. E_NOTFOUND, E_DENIED (mode of the key), E_PARSE, E_RANGE (the
 * key is not that of the certificate, or one of the two is missing), E_CRYPTO (too weak). */
MUST_CHECK enum err tls_cred_load(const struct tls_files *f, struct tls_cred **out,
                                  char why[TLS_WHY_MAX]);
void tls_cred_free(struct tls_cred *c); /* NULL is fine */
bool tls_cred_has_certificate(const struct tls_cred *c);
bool tls_cred_has_ca(const struct tls_cred *c);
/* Wall time when our certificate, or one of its chain, ends; 0: no certificate. */
uint64_t tls_cred_expires_us(const struct tls_cred *c);

#endif
