/* gc/priority.h - Resource-Priority (RFC 4412, RFC 7135): what a request asks, what its sender may,
 * and one local total order over all namespaces that are configured.
 *
 * Rank       0: routine, what everybody has; higher: more. The order is that of the setting
 * priority.order, or a built-in one; one that contradicts a namespace is refused at start (RFC 4412
 * section 8).
 * Pure functions over their input; threads: any. */
#ifndef GC_PRIORITY_H
#define GC_PRIORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum {
    PRIORITY_TEXT_MAX = 512, /* of Accept-Resource-Priority */
    PRIORITY_VALUE_MAX = 40,
    PRIORITY_NAMESPACES = 6,  /* that are known */
    PRIORITY_VALUES_MAX = 32, /* in one request */
    PRIORITY_LEVELS_MAX = 6   /* of one namespace */
};

struct priority_plan { /* namespaces in use and their order; made from the settings */
    bool is_on;        /* false: the extension is switched off, and nothing else counts */
    bool uses[PRIORITY_NAMESPACES], preempts[PRIORITY_NAMESPACES];
    uint8_t rank[PRIORITY_NAMESPACES][PRIORITY_LEVELS_MAX]; /* lowest value first; 0: left out */
};

struct priority_texts {
    struct view namespaces; /* "ets wps q735 dsn drsn esnet" or fewer, by spaces or commas */
    struct view preempting; /* those that preempt by local policy, beside dsn, drsn and q735 */
    struct view order;      /* lowest first: "dsn.routine ets.4=q735.4 dsn.priority ..."; values at
                               "=" are equal; one that is left out is not known; empty: built-in */
};
/* E_PARSE with `why`. */
MUST_CHECK enum err priority_plan_read(const struct priority_texts *t, struct priority_plan *out,
                                       char *why, size_t why_bytes);

struct priority_ask {
    bool is_present, is_known; /* a Resource-Priority; one of its values is ours */
    bool is_foreign;  /* a registered namespace that is not in use here: not to be passed on */
    unsigned rank;    /* of the highest known r-value */
    unsigned defends; /* rank below which it is no victim: drsn.flash-override-override is one of
                         its equals (RFC 4412 section 10.3) */
    bool preempts;    /* its namespace's algorithm is preemption, or local policy says so */
    uint8_t asked[PRIORITY_NAMESPACES]; /* value + 1 of each namespace */
    char value[PRIORITY_VALUE_MAX];     /* "ets.0", in lower case; empty: none is known */
};
/* list: the values of all Resource-Priority headers, joined by commas. E_PARSE: malformed, or a
 * namespace twice. */
MUST_CHECK enum err priority_read(const struct priority_plan *p, struct view list,
                                  struct priority_ask *out);
/* Whether a sender whose record entitles it to `entitled` ("ets.1 dsn.flash": the highest of each
 * namespace, separated by spaces; empty: nothing) may ask all that is known of it. */
bool priority_may(const struct priority_plan *p, struct view entitled,
                  const struct priority_ask *ask);
unsigned priority_rank(const struct priority_plan *p, struct view r_value); /* 0: unknown */
/* Accept-Resource-Priority: all r-values of the plan. 0: none, or no room. */
size_t priority_accept(const struct priority_plan *p, char *dst, size_t dst_bytes);

#endif
