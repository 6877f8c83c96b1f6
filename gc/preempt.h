/* gc/preempt.h - which calls hold what, who is the victim, and what happens to it (RFC 4411, 4412).
 *
 * Holdings   one shared table of this node's live calls: lines, numbers, trunks, rank, beginning,
 * worker. A call is put in when it is admitted and taken out when it ends (a lock held for some
 * loads and stores; nothing else of a call's way changes).
 * Victims    of the same resource, of strictly lower rank, not an emergency call, nor one with 611,
 * not taken by somebody else: lowest rank first, newest first. Taking one is atomic: of two who
 * want it one gets the next. Who is tapped is not known here and changes no choice. Then       the
 * victim's worker sends BYE to both ends (early: CANCEL forward, 480 back) with Reason:
 * preemption;cause=N;text="..." (RFC 4411), and its record says by whom. Threads    any, except
 * what says so. */
#ifndef GC_PREEMPT_H
#define GC_PREEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

struct workers;

enum preempt_scope { PREEMPT_CALL, PREEMPT_NUMBER, PREEMPT_TRUNK, PREEMPT_REGION };

enum {
    PREEMPT_ID_MAX = 128,
    PREEMPT_TEXT_MAX = 200,
    PREEMPT_PREFIXES_MAX = 16,
    PREEMPT_ROWS_MAX = 1000
};

/* By an administrator (control op "preempt"). */
struct preempt_order {
    char id[40];                     /* of core.preemption: goes into record, trace and log */
    char who[PREEMPT_TEXT_MAX];      /* the principal */
    char approved[PREEMPT_TEXT_MAX]; /* the second person; empty: none was needed */
    enum preempt_scope scope;
    char what[PREEMPT_ID_MAX];             /* call id, E.164 number, trunk name */
    char prefix[PREEMPT_PREFIXES_MAX][24]; /* PREEMPT_REGION: of either number */
    unsigned n_prefixes;
    unsigned max;   /* calls to end at most; 0: all */
    unsigned below; /* only calls of a rank below this; 0: all ranks */
    bool dry_run;   /* only say which */
};

struct preempt_row {
    char call[PREEMPT_ID_MAX]; /* our id */
    char caller[24], called[24];
    unsigned rank;
    const char *outcome; /* "ended" (told to end), "would end", "emergency", "taken" (by somebody
                            else), "provisioning" */
};

/* Control thread. Returns rows filled in; *cut when there were more. */
size_t preempt_run(struct workers *w, const struct preempt_order *o, struct preempt_row *rows,
                   size_t max, bool *cut);

#endif
