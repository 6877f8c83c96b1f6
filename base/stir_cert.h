/* base/stir_cert.h - certificates of STIR (RFC 8226): a chain in PEM, as a signer's x5u gives it,
 * held to trust anchors, revocation lists and times; what numbers it speaks for.
 *
 * Path       RFC 5280, strictly: authorities have critical basic constraints, key identifiers are
 *            there. A list of numbers in an authority's certificate bounds those below it (RFC
 *            9060 section 4). Lists by reference are not fetched; a certificate that constrains
 *            claims (RFC 8226 section 8, RFC 9118) is refused, since nobody here could hold a
 *            token to it.
 * Threads    anchors and certificates are immutable and may be shared. */
#ifndef BASE_STIR_CERT_H
#define BASE_STIR_CERT_H

#include <stdbool.h>

#include "base/ec_sign.h"

struct stir_anchors; /* trust anchors and revocation lists; NULL-safe free */
struct stir_cert;    /* a signer's certificate whose chain held */

enum {
    STIR_PEM_MAX = 65536,      /* octets of a chain */
    STIR_CHAIN_MAX = 8,        /* certificates in it */
    STIR_TN_ENTRIES_MAX = 1024 /* in one list of numbers */
};

/* PEM files; crls NULL or "": none. Two kinds of lists: with one of an issuer, every issuer of a
 * signer needs one; an indirect one (RFC 5280 section 5.2.5), signed by a certificate in roots, is
 * about certificates of anybody. A list that is not current refuses whom it might be about.
 * E_PARSE, E_IO, E_NOTFOUND: which file, in why. */
MUST_CHECK enum err stir_anchors_load(const char *roots, const char *crls,
                                      struct stir_anchors **out, char *why, size_t why_bytes);
void stir_anchors_free(struct stir_anchors *a);
/* First certificate: the signer's; intermediates behind it. at_s: seconds since 1970. E_PARSE;
 * E_AUTH (unknown issuer, expired, revoked, no P-256, not allowed to sign): why says which, a
 * literal. */
MUST_CHECK enum err stir_cert_read(struct view pem, const struct stir_anchors *a, uint64_t at_s,
                                   struct stir_cert **out, const char **why);
void stir_cert_free(struct stir_cert *c);
const struct ec_public *stir_cert_key(const struct stir_cert *c);
/* Seconds since 1970: when the whole path is valid. A holder looks for the revocation lists again
 * long before its end. */
void stir_cert_times(const struct stir_cert *c, uint64_t *out_from, uint64_t *out_until);
/* Whether its TNAuthList lets it speak for that canonical number: by a range or number in it; a
 * service provider code speaks for all (SHAKEN). False without the extension. */
bool stir_cert_speaks_for(const struct stir_cert *c, struct view tn);
/* Its first service provider code; "" when there is none. */
const char *stir_cert_spc(const struct stir_cert *c);

#endif
