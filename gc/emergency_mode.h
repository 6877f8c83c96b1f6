/* gc/emergency_mode.h - while an administrator has declared one, calls without priority get a
 * share: of limits.calls (scope all: all of them; scope region: those of or to its numbers), and of
 * the channels of trunks (scope all, and the trunks of scope trunks).
 *
 * Ends       by the clock of this node, whatever the database does: modes are rows of the snapshot.
 * Exempt     calls of and to exempt lines, calls from exempt trunks and the channels of these. They
 *            are counted, and never refused. Emergency calls, 611, PSAPs that call back and calls
 *            of any priority are neither.
 * Threads    as said. */
#ifndef GC_EMERGENCY_MODE_H
#define GC_EMERGENCY_MODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum { EMERGENCY_MODES_MAX = 16, EMERGENCY_MODE_TEXT = 128 };

struct call;
struct trunk;
struct worker;
struct workers;

/* What is shown of those in force. */
struct emergency_modes;
MUST_CHECK enum err emergency_modes_new(struct emergency_modes **out);
void emergency_modes_free(struct emergency_modes *m); /* NULL is fine */
/* Worker 0, each second: says which begin and end. */
void emergency_modes_tick(struct worker *w);

struct mode_shown {
    uint64_t id, declared_us, ends_us; /* wall */
    unsigned share;                    /* percent */
    const char *scope;                 /* "all", "region", "trunks" */
    char declared_by[EMERGENCY_MODE_TEXT], reason[EMERGENCY_MODE_TEXT];
};
/* Any thread. Those in force by now, up to max. */
size_t emergency_modes_view(struct workers *ws, struct mode_shown *out, size_t max);

struct mode_question {    /* one call without priority, before it begins */
    uint64_t line, trunk; /* it comes from; 0: none */
    struct view caller, called;
};
/* The worker's. 0: it may begin; else the id of the mode that has no room for it. */
uint64_t emergency_mode_refuses(struct worker *w, const struct mode_question *q);
/* The worker's. Whether a mode limits the call on that trunk, to so many calls without priority. */
bool emergency_mode_share(const struct call *c, const struct trunk *row, uint32_t *most);

#endif
