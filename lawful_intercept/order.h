/* lawful_intercept/order.h - a court's order as far as it decides what is delivered: whom, what,
 * from when to when. Values; the table is an array that is exchanged as a whole.
 *
 * Matching   on what headgate proved: the line; of calls that come over a trunk or go to one, the
 * number, or the address that the peer there asserts. An order on a number that is a line's is one
 * on that line, and no trunk can claim it. Threads: pure functions. */
#ifndef LAWFUL_INTERCEPT_ORDER_H
#define LAWFUL_INTERCEPT_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

/* Bits: what may be delivered (18 USC 3121 ff., 2510 ff., 50 USC 1801 ff.). */
enum li_type {
    LI_PEN_REGISTER = 1,   /* calls that the subject makes: who, when, how; no content */
    LI_TRAP_AND_TRACE = 2, /* calls to the subject: the same */
    LI_PEN_AND_TRAP = 3,
    LI_CONTENT = 7 /* both, with media and what decrypts them */
};

enum {
    LI_CASE_MAX = 26,
    LI_ELEMENT_MAX = 16,
    LI_NUMBER_MAX = 24,
    LI_URI_MAX = 128,
    LI_XID_BYTES = 16
};

struct li_order {
    uint64_t id;
    uint8_t xid[LI_XID_BYTES]; /* the task, for X2; random */
    enum li_type type;
    uint64_t line;               /* the subject; 0: none of ours */
    char number[LI_NUMBER_MAX];  /* E.164; empty: none. Counts when line is 0 */
    char uri[LI_URI_MAX];        /* user@host, as li_uri_read() writes it; the same */
    uint64_t starts_us, ends_us; /* wall */
    char case_id[LI_CASE_MAX];   /* VisibleString */
    uint32_t version;            /* of PCESP for its agency: 3, 4 */
    bool wants_digits;           /* dialled digit extraction (version 4) */
};

struct li_orders {
    const struct li_order *v;
    size_t n;
};

bool li_order_runs(const struct li_order *o, uint64_t at_us);
/* The subject is that party. number, uri: of the party, as headgate and the peer know it. */
bool li_order_is_of(const struct li_order *o, uint64_t line, struct view number, struct view uri);
const struct li_order *li_order_find(const struct li_orders *all, uint64_t id); /* NULL */

/* "sip:user@host", with or without angle brackets, port and parameters: user@host, the host in
 * lower case; only letters, digits and "-._~+%=" in the user. False: not that, or too long; out is
 * empty then. */
bool li_uri_read(struct view text, char out[LI_URI_MAX]);
/* The E.164 number that its user part is; empty: none. Points into uri. */
struct view li_uri_number(struct view uri);

#endif
