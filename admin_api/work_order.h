/* admin_api/work_order.h - the number of a work order (seed, step 307): made here, shown once, and
 * kept as a keyed hash only.
 *
 * Shape      12 decimal digits; digest = HMAC-SHA-256(work-order key, digits), as headgate-prov
 * computes it of what was keyed in; hint = the last two digits, for people.
 * Ownership  the caller wipes the digits.
 * Errors     E_NOTFOUND, E_DENIED, E_IO: the key file; E_RANGE: it is not 32 octets; E_CRYPTO.
 * Threads    any. */
#ifndef ADMIN_API_WORK_ORDER_H
#define ADMIN_API_WORK_ORDER_H

#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"

enum {
    WORK_ORDER_DIGITS = 12, /* 10^12 possibilities against three tries and a lock-out */
    WORK_ORDER_HINT = 2,
    WORK_ORDER_HOURS = 168, /* unless said otherwise */
    WORK_ORDER_HOURS_MAX = 99999
};

struct work_order {
    char digits[WORK_ORDER_DIGITS + 1];
    uint8_t digest[SHA256_BYTES];
};

MUST_CHECK enum err work_order_make(const char *key_file, struct work_order *out);
const char *work_order_hint(const struct work_order *w); /* into w */

#endif
