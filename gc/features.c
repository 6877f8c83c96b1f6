/* The codes, and which of them the gate takes for itself. */
#include "gc/features.h"

enum { OTHERS_MAX = 16 };

static const struct feature features[] = {
    {"*67", FEATURE_HIDES, "the call that follows hides its number"},
    {"*82", FEATURE_SHOWS, "the call that follows shows its number"},
};

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
