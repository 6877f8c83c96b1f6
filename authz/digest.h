/* authz/digest.h - SIP Digest: reading credentials, computing and checking responses.
 *
 * Standard   RFC 3261 section 22, RFC 7616, RFC 8760 (SHA-256; MD5 where it is allowed). qop auth
 *            and auth-int; responses without qop (RFC 2069) are not taken. No userhash, no "-sess".
 * Shape      value of Authorization or Proxy-Authorization: Digest name=token | name="quoted", ...
 *            Texts are views into that value, without their quotes, escapes as written: RFC 7616
 *            hashes them so. An escaped username is nobody's.
 * Limits     DIGEST_PARAMS_MAX parameters, DIGEST_TEXT_MAX octets each, a uri of DIGEST_URI_MAX.
 * Errors     parse: E_NOTFOUND another scheme; E_PARSE malformed, a parameter twice or missing, or
 *            an algorithm or qop that we do not know; E_RANGE over a limit. check: E_AUTH.
 * Threads    pure. Security: responses are compared in constant time; HA1 is as good as the
 *            password within its realm. */
#ifndef AUTHZ_DIGEST_H
#define AUTHZ_DIGEST_H

#include "base/crypto.h"

#define DIGEST_PARAMS_MAX     32
#define DIGEST_TEXT_MAX       256
#define DIGEST_URI_MAX        512
#define DIGEST_HEX_MAX        (2 * SHA256_BYTES + 1)
#define DIGEST_PASSWORD_BYTES 33 /* of a derived password, with its NUL */

enum digest_qop { DIGEST_NO_QOP, DIGEST_AUTH, DIGEST_AUTH_INT };

struct digest_auth {
    struct view username, realm, nonce, uri, response, cnonce, opaque;
    struct view nc_text; /* 8 hex digits */
    uint32_t nc;
    enum hash_kind hash; /* HASH_MD5 when no algorithm is named (RFC 7616 section 3.3) */
    enum digest_qop qop; /* DIGEST_NO_QOP: none was sent, and neither nc nor cnonce */
};

/* What a response is computed over, besides the parameters. */
struct digest_request {
    struct view method, body;
};

bool digest_is(struct view header_value); /* the scheme is Digest, in any case */
MUST_CHECK enum err digest_parse(struct view header_value, struct digest_auth *out);

/* H(username ":" realm ":" password). */
MUST_CHECK enum err digest_ha1(enum hash_kind hash, struct view username, struct view realm,
                               struct view password, struct secret *out);
/* The response, in hex digits, for the uri, nonce, nc_text, cnonce, qop and hash of a. */
MUST_CHECK enum err digest_response(const struct digest_auth *a, const struct secret *ha1,
                                    const struct digest_request *r, char out[DIGEST_HEX_MAX]);
/* Whether a.response is that. E_AUTH; E_RANGE: an HA1 of another algorithm's length. */
MUST_CHECK enum err digest_check(const struct digest_auth *a, const struct secret *ha1,
                                 const struct digest_request *r);

/* Credentials derived from a session (docs/protocol.md "Digest credentials of a session"): the
 * password for a phone behind the BTI that holds it. key: "session digest". */
MUST_CHECK enum err digest_session_password(const struct secret *key,
                                            char out[DIGEST_PASSWORD_BYTES]);

#endif
