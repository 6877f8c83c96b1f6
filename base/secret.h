/* base/secret.h - key material in one type that nothing can print.
 *
 * There is no conversion to text and no log field for it: LOG(KV("k", secret)) does not compile.
 * Every holder wipes on every path: secret_wipe() is safe on the zero value and twice.
 * Long-lived holders allocate with secret_alloc(): locked and excluded from core dumps where the
 * kernel allows. Threads: safe on distinct objects. */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

#define SECRET_MAX 64

struct secret {
    uint8_t b[SECRET_MAX];
    size_t n; /* octets in use; 0 = no key */
};

MUST_CHECK enum err secret_set(struct secret *s, const void *p, size_t n); /* E_RANGE: n > 64 */
MUST_CHECK enum err secret_random(struct secret *s, size_t n);             /* E_CRYPTO */
bool secret_eq(const struct secret *a, const struct secret *b);            /* constant time */
void secret_wipe(struct secret *s);
void wipe(void *p, size_t n);                          /* cannot be optimised away */
bool bytes_eq(const void *a, const void *b, size_t n); /* constant time */

/* Zeroed memory for long-lived keys: own pages, MADV_DONTDUMP, mlock when allowed. NULL: no memory.
 */
void *secret_alloc(size_t n);
void secret_release(void *p, size_t n); /* wipes first; NULL is fine */

/* Reads a key file: refuses symlinks, anything but a regular file, group/other permissions (unless
 * `any_mode`), and more than max octets. E_NOTFOUND, E_DENIED (mode), E_RANGE, E_IO.
 * out_n gets the length; the buffer is the caller's to wipe. */
MUST_CHECK enum err secret_file_read(const char *path, bool any_mode, void *dst, size_t max,
                                     size_t *out_n);

#endif
