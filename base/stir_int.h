/* base/stir_int.h - what base/stir_anchors.c and base/stir_cert.c share. */
#ifndef BASE_STIR_INT_H
#define BASE_STIR_INT_H

#include <openssl/x509.h>
#include <time.h>

#include "base/stir_cert.h"

struct stir_anchors {
    X509_STORE *store;
    STACK_OF(X509) * roots;  /* those of the store, in the file's order */
    STACK_OF(X509_CRL) * pa; /* indirect lists, each signed by one of the roots */
    bool by_issuer;          /* the store has lists of issuers: each issuer needs one */
};

/* After a PEM_read_bio_...() that gave nothing: n were read before, and the text is at its end. */
bool stir_pem_ended(size_t n);
time_t stir_time(uint64_t at_s); /* not beyond the year 9999 */
/* Whether no certificate of the path but its anchor is on an indirect list, and these are current.
 * E_AUTH. */
MUST_CHECK enum err stir_not_listed(const struct stir_anchors *a, STACK_OF(X509) * path,
                                    uint64_t at_s, const char **why);

#endif
