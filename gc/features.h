/* gc/features.h - codes that a line dials: *67 and *82 before a number, and those that the gate
 * itself answers (*57 *69 *72 *73 *77 *87 *90 *91 *92 *93).
 *
 * A route or a dial rule that an operator made for a code wins over its meaning here.
 * Threads    feature_of(): any; the rest: the worker's. */
#ifndef GC_FEATURES_H
#define GC_FEATURES_H

#include "gc/store.h"

enum feature_does {
    FEATURE_HIDES, /* the call that follows is private */
    FEATURE_SHOWS  /* the call that follows is shown, whatever the line's default */
};

struct feature {
    const char *code;
    enum feature_does does;
    const char *words; /* what it does, for people */
};

/* The code that the keys begin with, and what follows it. NULL: none of ours. */
const struct feature *feature_of(const struct snapshot *snap, struct view keys, struct view *rest);

#endif
