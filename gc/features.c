/* The codes, and which of them the gate takes for itself. */
#include "gc/features.h"

enum { OTHERS_MAX = 16 };

static const struct feature features[] = {
    {"*67", FEATURE_HIDES, 0, "", "the call that follows hides its number"},
    {"*82", FEATURE_SHOWS, 0, "", "the call that follows shows its number"},
    {"*57", FEATURE_TRACES, 0, "", "records who called the line last, for a trace"},
    {"*69", FEATURE_RETURNS, 0, "", "calls back whoever called the line last"},
    {"*72", FEATURE_SETS_NUMBER, LINE_SET_FORWARD_ALWAYS, "", "forwards all calls to the number"},
    {"*73", FEATURE_SETS, LINE_SET_FORWARD_ALWAYS, "", "ends the forwarding of all calls"},
    {"*77", FEATURE_SETS, LINE_SET_REJECTS_ANONYMOUS, "yes", "refuses anonymous calls"},
    {"*87", FEATURE_SETS, LINE_SET_REJECTS_ANONYMOUS, "", "takes anonymous calls again"},
    {"*90", FEATURE_SETS_NUMBER, LINE_SET_FORWARD_BUSY, "", "forwards calls when busy"},
    {"*91", FEATURE_SETS, LINE_SET_FORWARD_BUSY, "", "ends the forwarding when busy"},
    {"*92", FEATURE_SETS_NUMBER, LINE_SET_FORWARD_NO_ANSWER, "",
     "forwards calls that nobody answers"},
    {"*93", FEATURE_SETS, LINE_SET_FORWARD_NO_ANSWER, "", "ends the forwarding without answer"},
};

const struct feature feature_call_trace = {"call-trace", FEATURE_TRACES_DIALOG, 0, "",
                                           "records who called in that dialog, for a trace"};

static bool is_code(struct view prefix)
{
    return prefix.n > 0 && prefix.p[0] == '*';
}

/* An operator made something else of it. */
static bool is_taken(const struct snapshot *snap, struct view keys)
{
    const struct route *routes[OTHERS_MAX];
    const struct dial_rule *rules[OTHERS_MAX];
    size_t n = snapshot_routes(snap, ROUTE_NEXT_HOP, keys, routes, OTHERS_MAX);

    for (size_t i = 0; i < n; i++) {
        if (is_code(routes[i]->prefix)) {
            return true;
        }
    }
    n = snapshot_rules(snap, keys, rules, OTHERS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (is_code(rules[i]->prefix)) {
            return true;
        }
    }
    return false;
}

const struct feature *feature_of(const struct snapshot *snap, struct view keys, struct view *rest)
{
    for (size_t i = 0; snap != NULL && i < sizeof features / sizeof features[0]; i++) {
        struct view code = view_of(features[i].code);
        if (view_starts(keys, code) && !is_taken(snap, keys)) {
            *rest = view_sub(keys, code.n, keys.n);
            return &features[i];
        }
    }
    return NULL;
}

bool feature_is_answered(const struct feature *f)
{
    return f != NULL && f->does != FEATURE_HIDES && f->does != FEATURE_SHOWS;
}
