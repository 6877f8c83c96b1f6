/* base/tls_names.h - the SIP domain identities of an X.509 certificate (RFC 5922 section 7).
 *
 * Rule       hosts of sip: URIs without a user part in subjectAltName; when there is none of these,
 * its DNS names; the common name only when the certificate has no subjectAltName at all. Whatever
 * is no plain host name (wildcards, a NUL inside, other alphabets) is no identity. Names are equal
 * when they are the same characters, case aside: no wildcard, no suffix (section 7.2).
 * Whether a certificate can be believed is not judged here. Threads    pure. */
#ifndef BASE_TLS_NAMES_H
#define BASE_TLS_NAMES_H

#include "base/err.h"
#include "base/view.h"

#define TLS_NAMES_MAX 8
#define TLS_NAME_MAX  254 /* with its NUL (RFC 1035: 253 characters) */

struct tls_names { /* a value */
    unsigned n;
    char v[TLS_NAMES_MAX][TLS_NAME_MAX];
};

/* The first TLS_NAMES_MAX identities; n 0: it has none. E_PARSE: no certificate. */
MUST_CHECK enum err tls_names_of(struct view der, struct tls_names *out);
/* Whether any identity of the certificate, however many it has, is one of `wanted`. */
bool tls_names_match(struct view der, const struct tls_names *wanted);
/* E_FULL; E_RANGE: no host name. */
MUST_CHECK enum err tls_names_add(struct tls_names *to, struct view name);
bool tls_names_have(const struct tls_names *names, struct view name);

#endif
