/* authz/passport_int.h - what the files of authz/passport.h share. */
#ifndef AUTHZ_PASSPORT_INT_H
#define AUTHZ_PASSPORT_INT_H

#include "authz/passport.h"

enum {
    PASSPORT_PART_MAX = PASSPORT_MAX / 4 * 3, /* octets of a decoded header or payload */
    PASSPORT_SIGNATURE_CHARS = 86,            /* base64url of 64 octets */
    PASSPORT_UUID_CHARS = 36
};

/* The last second of the year 9999: RFC 7519 NumericDate has no limit, dates do. */
#define PASSPORT_IAT_MAX 253402300799u

/* base64url without padding (RFC 7515 section 2). Reading refuses everything else, unused bits that
 * are not zero too: one spelling for one content. False: malformed, or more than max octets. */
bool base64url_get(struct view text, void *dst, size_t max, size_t *out_n);
size_t base64url_put(struct view in, char *dst); /* dst: (in.n * 4 + 2) / 3 octets, no NUL */

bool passport_is_tn(struct view v); /* canonical: 1..19 of 0-9 # * */
bool passport_is_uri(
    struct view v); /* scheme ":" and printable octets that need no escape in JSON */
bool passport_is_x5u(struct view v); /* such a URI, https */
bool passport_is_uuid(struct view v);
bool passport_same_party(const struct passport_party *a, const struct passport_party *b);
const char *passport_ppt(enum passport_type type); /* "" for BASE; NULL for OTHER */

#endif
