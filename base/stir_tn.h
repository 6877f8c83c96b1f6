/* base/stir_tn.h - the TN Authorization List of RFC 8226 section 9: read from DER, asked for
 * numbers. Pure. Threads: immutable once read. */
#ifndef BASE_STIR_TN_H
#define BASE_STIR_TN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum { STIR_TN_TEXT_MAX = 32 };

enum stir_tn_kind { STIR_SPC, STIR_RANGE, STIR_ONE }; /* their context tags */

struct stir_tn {
    enum stir_tn_kind kind;
    char text[STIR_TN_TEXT_MAX]; /* code, first number, number */
    uint64_t count;              /* STIR_RANGE: 2 or more */
};
struct stir_tn_list {
    struct stir_tn *v; /* owned; stir_tn_free() */
    size_t n;
};

/* E_PARSE: not DER of such a list; E_RANGE: more than max entries; E_NOMEM. */
MUST_CHECK enum err stir_tn_read(struct view der, size_t max, struct stir_tn_list *out);
void stir_tn_free(struct stir_tn_list *l);
bool stir_tn_has(const struct stir_tn_list *l, struct view tn);
/* Whether everything in `inner` is in `outer`, as far as codes of providers let one see: the
 * numbers of a code are known to its provider, so a list with a code holds every number. */
bool stir_tn_holds(const struct stir_tn_list *outer, const struct stir_tn_list *inner);
/* One entry as DER, for issuing: returns its octets, 0 when it is none (dst: 64). */
size_t stir_tn_write(const struct stir_tn *one, uint8_t dst[64]);

#endif
