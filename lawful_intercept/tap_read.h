/* lawful_intercept/tap_read.h - headgate-li reads a tap (tap.h): from the oldest record that is
 * there, or from where it was, each in its order, and is told how many it missed.
 *
 * Trust      the writer is another program: sizes and kinds are checked before anything is used.
 * Threads    one. */
#ifndef LAWFUL_INTERCEPT_TAP_READ_H
#define LAWFUL_INTERCEPT_TAP_READ_H

#include "lawful_intercept/tap.h"

struct tap_reader;

struct tap_position {  /* may be kept, and be used after a restart of the reader */
    uint8_t start[16]; /* of which start of the writer */
    uint64_t at[TAP_RINGS_MAX], number[TAP_RINGS_MAX]; /* behind the last record that was read */
};

/* E_NOTFOUND: there is no such file; E_PARSE: it is no tap of this version; E_IO, E_NOMEM. Begins
 * with the oldest records. */
MUST_CHECK enum err tap_attach(const char *path, struct tap_reader **out);
void tap_detach(struct tap_reader *t); /* NULL is fine */
unsigned tap_rings(const struct tap_reader *t);
/* False: the position is of another start; nothing is changed. */
bool tap_resume(struct tap_reader *t, const struct tap_position *p);
void tap_position_of(const struct tap_reader *t, struct tap_position *out);
/* Whether the writer has made another file since (it was started again): read this one to its end,
 * then attach anew. */
bool tap_is_replaced(const struct tap_reader *t);

/* The next record of a ring. E_NOTFOUND: none now. *lost: how many before it were overwritten
 * before they were read. A message is without what others say of interception (base/laes.h): no
 * agency is told of another's order. Views live until the next call. E_PARSE: the ring holds what
 * no writer writes: it is read no further. */
MUST_CHECK enum err tap_next(struct tap_reader *t, unsigned ring, struct tap_record *out,
                             uint64_t *number, uint64_t *lost);

#endif
