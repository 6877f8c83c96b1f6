/* base/base64.h - base64 (RFC 4648 section 4), as keys stand in session descriptions (RFC 4568
 * section 6.1). What was decoded on the way is wiped. Pure; threads: safe. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

size_t base64_put(const uint8_t *p, size_t n, char *dst); /* with NUL: 4 * ((n + 2) / 3) + 1 */
/* Exactly n octets, at most 64; padding may be left out. E_PARSE: not that. */
MUST_CHECK enum err base64_get(struct view text, uint8_t *dst, size_t n);

#endif
