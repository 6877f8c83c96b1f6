/* gc/preempt.h - calls that end for others: by an administrator, or for a call of higher rank
 * (gc/displace.h); what their ends and their record are told (RFC 4411, RFC 4412).
 *
 * Way        a victim is chosen (gc/holdings.h) and its worker told by its queue; there both ends
 * get BYE (early: CANCEL forward, 480 back) with Reason: preemption;cause=N;text="..." (RFC 4411):
 * 2 for a call that displaced it, 3 for an administrator, 3 to lines in both cases when
 * priority.hides_reason is set. The record says by whom, and so does the ladder.
 * Threads    any, except what says so. */
#ifndef GC_PREEMPT_H
#define GC_PREEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"
#include "gc/holdings.h"

struct call;
struct party;
struct worker;
struct workers;

enum preempt_scope { PREEMPT_CALL, PREEMPT_NUMBER, PREEMPT_TRUNK, PREEMPT_REGION };

enum {
    PREEMPT_ID_MAX = HOLDING_CALL_ID_BYTES,
    PREEMPT_TEXT_MAX = 200,
    PREEMPT_PREFIXES_MAX = 16,
    PREEMPT_ROWS_MAX = 1000,
    PREEMPT_BY_BYTES = HOLDING_BY_BYTES,
    PREEMPT_REASON_BYTES = 80
};

/* By an administrator (control op "preempt"). */
struct preempt_order {
    char id[40];                     /* of core.preemption: goes into record, trace and log */
    char who[PREEMPT_TEXT_MAX];      /* the principal */
    char approved[PREEMPT_TEXT_MAX]; /* the second person; empty: none was needed */
    enum preempt_scope scope;
    char what[PREEMPT_ID_MAX];             /* call id or Call-ID, E.164 number */
    uint64_t trunk_id;                     /* PREEMPT_TRUNK */
    char prefix[PREEMPT_PREFIXES_MAX][24]; /* PREEMPT_REGION: of either number */
    unsigned n_prefixes;
    unsigned max;   /* calls to end at most; 0: all */
    unsigned below; /* only calls of a rank below this; 0: all ranks */
    bool dry_run;   /* only say which */
};

struct preempt_row {
    char call[HOLDING_ID_BYTES]; /* our id */
    char call_id[HOLDING_CALL_ID_BYTES];
    char caller[HOLDING_NUMBER_BYTES], called[HOLDING_NUMBER_BYTES];
    char had_by[PREEMPT_BY_BYTES]; /* "taken": who has it */
    unsigned rank;
    const char *outcome; /* "ended" (told to end), "would end", "emergency", "provisioning", "taken"
                            (by somebody else), "gone" (it ended meanwhile), "busy" (its worker
                            could not be told) */
};
struct preempt_found {
    size_t rows;  /* filled in; those that end first, lowest rank, newest */
    size_t calls; /* told to end, or would be; all of them, also past the rows */
    bool cut;     /* there were more than rows */
};
/* Control thread. E_NOMEM: nothing was done. */
MUST_CHECK enum err preempt_run(struct workers *w, const struct preempt_order *o,
                                struct preempt_row *rows, size_t max, struct preempt_found *out);

/* ---- between displace.c and the victim's worker ------------------------------------------------
 */
struct preempt_why {
    bool is_administrator;
    char by[PREEMPT_BY_BYTES]; /* "call ID", "preemption ID of WHO": for record and ladder */
    bool has_waiter;           /* told by park_answer() when the victim is out of the way */
    uint16_t waiter;
    uint64_t ticket;
};
/* Tells the victim's worker. False: its queue is full, and the victim is let go. */
bool preempt_kill(struct workers *ws, const struct victim *v, const struct preempt_why *why);
/* The victim's worker: of a RECORD_PREEMPT. */
void preempt_take(struct worker *w, struct view record);
/* Value of a Reason header for that end of a preempted call; to NULL: whoever. False: it was not
 * preempted. */
bool preempt_reason(const struct call *c, const struct party *to, char out[PREEMPT_REASON_BYTES]);

#endif
