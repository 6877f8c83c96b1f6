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

enum { PRIORITY_TEXT_MAX = 256, PRIORITY_VALUE_MAX = 40 };

struct priority_plan; /* namespaces in use and their order; immutable, made from the settings */

/* namespaces: "ets wps q735 dsn drsn esnet" or fewer; order: lowest first, r-values, "" built-in.
 */
MUST_CHECK enum err priority_plan_new(struct view namespaces, struct view order,
                                      struct priority_plan **out, char *why, size_t why_bytes);
void priority_plan_free(struct priority_plan *p);

struct priority_ask {
    bool is_present, is_known; /* a Resource-Priority; one of its namespaces is ours */
    unsigned rank;             /* of the highest known r-value */
    bool preempts; /* its namespace's algorithm is preemption, or local policy says so */
    char value[PRIORITY_VALUE_MAX]; /* "ets.0", in lower case */
};
/* list: the values of all Resource-Priority headers, joined by commas. E_PARSE: malformed, or a
 * namespace twice. */
MUST_CHECK enum err priority_read(const struct priority_plan *p, struct view list,
                                  struct priority_ask *out);
/* Whether a sender whose record entitles it to `entitled` ("ets.1 dsn.flash": the highest of each
 * namespace, separated by spaces; empty: nothing) may ask that. */
bool priority_may(const struct priority_plan *p, struct view entitled,
                  const struct priority_ask *ask);
unsigned priority_rank(const struct priority_plan *p, struct view r_value); /* 0: unknown */
/* Accept-Resource-Priority: all r-values of the plan. */
size_t priority_accept(const struct priority_plan *p, char *dst, size_t dst_bytes);

#endif
