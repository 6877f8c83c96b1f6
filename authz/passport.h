/* authz/passport.h - PASSporT tokens (RFC 8225, 8588, 8946) and the Identity header that carries
 * them (RFC 8224): made, read strictly, and verified with a public key. Pure: no clock, no network,
 * no policy; certificates are base/stir_cert.h.
 *
 * Shape      tokens in full form, ES256. Reading bounds everything and refuses what RFC 8225 does
 *            not allow: numbers as strings, duplicate keys, unknown alg, other types than passport.
 *            A signature is checked over the octets as they came.
 * Ownership  views point into the text that was read, or into struct passport itself.
 * Threads    safe. */
#ifndef AUTHZ_PASSPORT_H
#define AUTHZ_PASSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ec_sign.h"
#include "base/err.h"
#include "base/view.h"

enum {
    PASSPORT_MAX = 2048,  /* octets of a token */
    PASSPORT_TN_MAX = 20, /* canonical digits, # and *, with NUL (RFC 8224 section 8.3) */
    PASSPORT_URI_MAX = 256,
    PASSPORT_DEST_MAX = 8,
    PASSPORT_X5U_MAX = 512,
    PASSPORT_PPT_MAX = 16,
    PASSPORT_ORIGID_MAX = 40 /* a UUID with NUL */
};

enum passport_type { PASSPORT_BASE, PASSPORT_SHAKEN, PASSPORT_DIV, PASSPORT_OTHER };

struct passport_party { /* one of tn and uri is empty */
    char tn[PASSPORT_TN_MAX];
    char uri[PASSPORT_URI_MAX];
};

struct passport {
    enum passport_type type;         /* by ppt; OTHER: a ppt that we do not know */
    char ppt[PASSPORT_PPT_MAX];      /* read: as the token has it, "" for none */
    char x5u[PASSPORT_X5U_MAX];      /* an https URI */
    struct passport_party orig, div; /* div: PASSPORT_DIV */
    unsigned n_dest;
    struct passport_party dest[PASSPORT_DEST_MAX];
    uint64_t iat;                     /* seconds since 1970 */
    char attest;                      /* PASSPORT_SHAKEN: 'A', 'B' or 'C' */
    char origid[PASSPORT_ORIGID_MAX]; /* PASSPORT_SHAKEN */
    struct view signing_input;        /* read: header "." payload as they came */
    uint8_t signature[64];            /* read: r, s */
};

struct identity_header { /* RFC 8224 section 4 */
    struct view token;
    struct view info;     /* the URI without < > */
    struct view alg, ppt; /* without quotes; empty: not there */
    bool is_compact;      /* ".." before the signature */
};

/* The token in full form: keys in order, no blanks; NUL at its end. E_RANGE: it does not fit;
 * E_STATE: claims that make no token (no dest, bad attest, number that is not canonical);
 * E_CRYPTO. */
MUST_CHECK enum err passport_make(const struct passport *p, const struct ec_key *key, char *out,
                                  size_t out_bytes);
/* E_PARSE: why gets the first rule that is broken, a literal. E_RANGE: past a bound. The order of
 * keys and blanks between them are not looked at: the signature covers the octets as they are. */
MUST_CHECK enum err passport_read(struct view token, struct passport *out, const char **why);
/* E_OK; E_AUTH: the signature is another's. ECDSA lets anybody turn a signature into another one
 * that verifies: who remembers tokens, remembers signing_input. */
MUST_CHECK enum err passport_verify(const struct passport *p, const struct ec_public *key);
/* One value of an Identity header. E_PARSE. */
MUST_CHECK enum err identity_header_read(struct view value, struct identity_header *out,
                                         const char **why);
/* RFC 8224 section 4.1: info is the token's x5u, ppt its ppt. Else false, and why says which. */
bool identity_header_agrees(const struct identity_header *h, const struct passport *p,
                            const char **why);
/* "Identity: token;info=<x5u>;alg=ES256;ppt=\"shaken\"". E_RANGE. */
MUST_CHECK enum err identity_header_write(const struct passport *p, const char *token, char *out,
                                          size_t out_bytes);
/* Canonical number of "+1 (212) 555-0101", "12125550101": digits with country code, no plus; keys
 * that are no E.164 number stay ("911", "*69"). No plan is applied: "2125550101" stays as it is.
 * False: nothing is left, it is too long, or there is more than a number in it (letters). */
bool passport_canonical_tn(struct view number, char out[PASSPORT_TN_MAX]);
/* RFC 8946 section 4: whether `div` continues the chain of the tokens before it: its div is among
 * an earlier one's dest and its orig is theirs. */
bool passport_continues(const struct passport *div, const struct passport *earlier, unsigned n);

#endif
