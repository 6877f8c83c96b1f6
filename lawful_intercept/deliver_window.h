/* lawful_intercept/deliver_window.h - what of a spool went out on a connection, and how far that
 * can be called delivered. No clock and no socket: octets and milliseconds come from outside.
 *
 * Steps      sent: in the hands of TCP; confirmed: the peer's TCP has it; settled: it need not go
 * again. Between the last two lies what a peer's kernel may hold for a program that is killed
 * before it read it: so a record is settled when
 *   - settle_ms have passed since it was confirmed, and either resend_bytes that were sent after it
 *     are confirmed too (more than a kernel holds for a program that does not read), or the program
 *     itself has answered something that lay behind it (li_window_answered: X2 keepalives); or
 *   - settle_late_ms have passed: a protocol without answers, and a quiet case.
 * Memory     flat: neighbours are put together when there are many, which settles them later.
 * Numbers    of the spool, rising. confirmed never falls: after a break records go again that wait
 * for nobody.
 * Threads    one. */
#ifndef LAWFUL_INTERCEPT_DELIVER_WINDOW_H
#define LAWFUL_INTERCEPT_DELIVER_WINDOW_H

#include <stddef.h>
#include <stdint.h>

enum { LI_MARKS = 512 };

struct li_mark {         /* some records, one after the other */
    uint64_t number;     /* of the last */
    uint64_t begin, end; /* octets of the connection: before the first, behind the last */
    uint64_t first_us;   /* wall: when what the first tells of happened */
    uint64_t acked_ms;   /* mono: confirmed; 0: not yet */
};

struct li_window {
    uint64_t resend_bytes, settle_ms, settle_late_ms;
    uint64_t confirmed; /* number; over all connections */
    uint64_t answered;  /* octets of this connection that the peer's program has read */
    uint64_t acked;     /* octets of it that the peer's TCP has */
    struct li_mark mark[LI_MARKS];
    size_t n;
};

void li_window_clear(struct li_window *w); /* another connection */
void li_window_sent(struct li_window *w, uint64_t number, uint64_t at_us, uint64_t begin,
                    uint64_t end);
void li_window_acked(struct li_window *w, uint64_t octets, uint64_t now_ms);
void li_window_answered(struct li_window *w, uint64_t octets);
/* The number up to which all is settled; 0: no more than before. It is forgotten then. */
uint64_t li_window_settle(struct li_window *w, uint64_t now_ms);
/* Time of the oldest record here that was never confirmed; 0: none. */
uint64_t li_window_oldest(const struct li_window *w);

#endif
