/* routing/route.h - from what was dialled to where the call may go: one pure step over the
 * snapshot, with every step in words for `headgatectl route test`.
 *
 *   keys -> emergency codes and URNs, provisioning code (nothing can capture them)
 *        -> dial rules, of lines' calls: longest prefix, then rank; digit limits; blocked; strip,
 *           add; feature. The number that comes out is shown to the rules with a '+' once more, so
 *           that what "+1900" blocks is blocked however it is dialled
 *        -> built-in dial plan: E.164, or the keys as they are ("*72...", "411")
 *        -> line that has the number, else routes: longest prefix, priority, weight
 *
 * A route counts when its time has come, its trunk is not disabled and is not the one that the call
 * comes from, and usable() (health, channels: the caller's) agrees. Shorter prefixes follow after
 * longer ones: targets stand in the order in which the call tries them. Among equals in prefix and
 * priority the draw decides as in RFC 2782. Keys match a route's prefix of digits alone only as a
 * whole ("411"), one with * or # as a prefix, and after a feature rule any.
 *
 * Emergency  the routes of the code or URN, then those of urn:service:sos, then those of the other
 * codes; what is unusable now goes to the end and is tried all the same.
 * Memory     none is taken, all arrays are bounded; views point into the snapshot, which the caller
 * pins. Threads    safe. */
#ifndef ROUTING_ROUTE_H
#define ROUTING_ROUTE_H

#include "routing/dialplan.h"
#include "routing/snapshot.h"

#define ROUTE_TARGETS_MAX 8
#define ROUTE_STEPS_MAX   32
#define ROUTE_STEP_BYTES  200
#define ROUTE_NUMBER_MAX  64 /* octets of a number or service URN with NUL */

enum route_outcome {
    ROUTED_PROVISIONING, /* 611 */
    ROUTED_EMERGENCY,    /* maybe without a target: the configuration has PSAPs too */
    ROUTED_LINE,         /* line_id */
    ROUTED_TARGETS,      /* at least one target */
    ROUTED_NOWHERE,      /* no route matches: 404 */
    ROUTED_UNUSABLE,     /* routes match, and none can be used now: 503 */
    ROUTED_BLOCKED,      /* by a dial rule: 403 */
    ROUTED_NO_TRANSIT,   /* from a trunk that reaches only our lines: 404 */
    ROUTED_INVALID       /* neither a number nor keys that a route knows: 404 */
};

struct route_target {
    const struct route *route;
    const struct trunk *trunk;     /* NULL: route->next_hop */
    char called[ROUTE_NUMBER_MAX]; /* as this target wants it; a URN or short number as it is */
};

struct route_query {
    const struct snapshot *snap; /* NULL: nothing is known */
    const struct dialplan *plan;
    struct view keys;         /* as for dialplan_classify() */
    bool from_trunk;          /* or gateway: no dial rules, and transit only as may_transit says */
    const struct trunk *from; /* with from_trunk; NULL: one that has no row, no transit */
    uint64_t now_s;           /* wall clock, seconds since 1970 UTC */
    /* A draw in [0, below) for weights; NULL: the heaviest first. */
    uint32_t (*draw)(void *arg, uint32_t below);
    /* Health and channels: NULL when it can be used, else why not, in words that stay. t is NULL
     * for a plain next hop. No function: all can. */
    const char *(*usable)(void *arg, const struct route *r, const struct trunk *t);
    void *arg;
    bool explain; /* fill steps */
};

struct route_decision {
    enum route_outcome outcome;
    struct dialled dialled;       /* what the keys mean after the rules */
    bool is_feature;              /* keys that stay as they are, in dialled.e164 */
    const struct dial_rule *rule; /* the last that was applied; NULL */
    uint64_t line_id;             /* ROUTED_LINE */
    unsigned n_targets;
    struct route_target targets[ROUTE_TARGETS_MAX];
    unsigned n_steps;
    bool steps_cut; /* there were more */
    char steps[ROUTE_STEPS_MAX][ROUTE_STEP_BYTES];
};

/* Always decides; the whole of *out is written (n_steps 0 without explain). */
void route_decide(const struct route_query *q, struct route_decision *out);
const char *route_outcome_name(enum route_outcome o); /* "emergency" */

/* Whether the time has come; always: true. */
bool route_time_matches(const struct route_time *t, uint64_t now_s);
/* A called number as the trunk wants it: an E.164 number in its form, then strip, then add; keys
 * and URNs as they are. National form of a number abroad: international prefix and number. NULL
 * trunk: unchanged. False, and empty: nothing is left or it does not fit. */
bool route_called_for(const struct trunk *t, const struct dialplan *plan, struct view number,
                      char out[ROUTE_NUMBER_MAX]);
/* A calling number in the trunk's form, without strip and add; of an empty one the trunk's
 * default_number; "" when there is none. */
void route_caller_for(const struct trunk *t, const struct dialplan *plan, struct view number,
                      char out[ROUTE_NUMBER_MAX]);

#endif
