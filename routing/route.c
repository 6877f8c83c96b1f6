/* The decision, in the order in which the header tells it. */
#include "routing/route.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "routing/plan_time.h"

#define CANDIDATES_MAX 64 /* routes looked at for one call; the longest prefixes are first */
#define RULES_MAX      32
#define SOS            "urn:service:sos"
#define V(view)        (int)(view).n, (view).p

struct decide {
    const struct route_query *q;
    struct route_decision *d;
    char keys[DIAL_E164_MAX];
};

__attribute__((format(printf, 2, 3))) static void say(const struct decide *c, const char *format,
                                                      ...)
{
    struct route_decision *d = c->d;
    va_list ap;

    if (!c->q->explain) {
        return;
    }
    if (d->n_steps == ROUTE_STEPS_MAX) {
        d->steps_cut = true;
        return;
    }
    va_start(ap, format);
    (void)vsnprintf(d->steps[d->n_steps], sizeof d->steps[0], format, ap);
    va_end(ap);
    d->n_steps++;
}

const char *route_outcome_name(enum route_outcome o)
{
    static const char *const names[] = {
        [ROUTED_PROVISIONING] = "provisioning",
        [ROUTED_EMERGENCY] = "emergency",
        [ROUTED_LINE] = "line",
        [ROUTED_TARGETS] = "targets",
        [ROUTED_NOWHERE] = "no route",
        [ROUTED_UNUSABLE] = "no usable route",
        [ROUTED_BLOCKED] = "blocked",
        [ROUTED_NO_TRANSIT] = "no transit",
        [ROUTED_INVALID] = "no number",
    };
    return names[o];
}

/* ---- candidates --------------------------------------------------------------------------------
 */
struct candidates {
    const struct route *v[CANDIDATES_MAX];
    size_t n;
};

static const struct trunk *trunk_of(const struct decide *c, const struct route *r)
{
    return r->trunk_id != 0 ? snapshot_trunk(c->q->snap, r->trunk_id) : NULL;
}

/* NULL: it can be used now. */
static const char *obstacle(const struct decide *c, const struct route *r)
{
    const struct trunk *t = trunk_of(c, r);

    if (!route_time_matches(&r->when, c->q->now_s)) {
        return "it is not its time";
    }
    if (t && t->disabled) {
        return "its trunk is disabled";
    }
    if (t && c->q->from && t->trunk_id == c->q->from->trunk_id) {
        return "the call comes from its trunk";
    }
    return c->q->usable ? c->q->usable(c->q->arg, r, t) : NULL;
}

static bool add_target(const struct decide *c, const struct route *r)
{
    struct route_decision *d = c->d;
    const struct trunk *t = trunk_of(c, r);

    if (d->n_targets == ROUTE_TARGETS_MAX) {
        say(c, "route %.*s: not tried, %d others come before it", V(r->name), ROUTE_TARGETS_MAX);
        return false;
    }
    struct route_target *to = &d->targets[d->n_targets];
    if (!route_called_for(t, c->q->plan, view_of(d->dialled.e164), to->called)) {
        say(c, "route %.*s: trunk %.*s leaves nothing of %s", V(r->name), V(t->name),
            d->dialled.e164);
        return false;
    }
    to->route = r;
    to->trunk = t;
    d->n_targets++;
    say(c, "choice %u: route %.*s (prefix %.*s, priority %" PRIu32 "), %s %.*s, called as %s",
        d->n_targets, V(r->name), V(r->prefix), r->priority, t ? "trunk" : "next hop",
        V(t ? t->name : r->next_hop), to->called);
    return true;
}

static uint32_t weight_of(const struct route *r)
{
    return r->weight == 0 ? 1 : r->weight;
}

/* RFC 2782: of those left in the group, one by a draw over the sum of their weights. */
static size_t drawn(const struct decide *c, const struct route *const *v, size_t n)
{
    uint32_t sum = 0, at = 0;
    size_t best = 0;

    for (size_t i = 0; i < n; i++) {
        sum += weight_of(v[i]);
        best = weight_of(v[i]) > weight_of(v[best]) ? i : best;
    }
    if (!c->q->draw || n == 1) {
        return best;
    }
    at = c->q->draw(c->q->arg, sum);
    for (size_t i = 0; i + 1 < n; i++) {
        if (at < weight_of(v[i])) {
            return i;
        }
        at -= weight_of(v[i]);
    }
    return n - 1;
}

static void add_group(const struct decide *c, const struct route **v, size_t n)
{
    if (n > 1) {
        say(c, "%zu routes with prefix %.*s and priority %" PRIu32 ": ordered by weight", n,
            V(v[0]->prefix), v[0]->priority);
    }
    while (n > 0) {
        size_t i = drawn(c, v, n);
        (void)add_target(c, v[i]);
        for (n--; i < n; i++) {
            v[i] = v[i + 1];
        }
    }
}

static void say_obstacle(const struct decide *c, const struct route *r, const char *why)
{
    char hours[ROUTE_TIME_TEXT_MAX] = "";

    if (!route_time_matches(&r->when, c->q->now_s)) {
        route_time_text(&r->when, hours);
    }
    say(c, "route %.*s (prefix %.*s): not now, %s%s%s", V(r->name), V(r->prefix), why,
        hours[0] != 0 ? ": " : "", hours);
}

/* Those of `all` whose usability is `want`, group by group. */
static void add_targets(const struct decide *c, const struct candidates *all, bool want)
{
    const struct route *group[CANDIDATES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < all->n; i++) {
        const struct route *r = all->v[i];
        const char *why = obstacle(c, r);
        if (n > 0 && (!view_eq(group[0]->prefix, r->prefix) || group[0]->priority != r->priority)) {
            add_group(c, group, n);
            n = 0;
        }
        if (why && want) {
            say_obstacle(c, r, why);
        }
        if ((why == NULL) == want) {
            group[n++] = r;
        }
    }
    add_group(c, group, n);
}

/* ---- emergency ---------------------------------------------------------------------------------
 */
static bool is_among(const struct candidates *all, const struct route *r)
{
    for (size_t i = 0; i < all->n; i++) {
        if (all->v[i] == r) {
            return true;
        }
    }
    return false;
}

static void collect_emergency(const struct decide *c, struct view code, struct candidates *all)
{
    const struct route *v[CANDIDATES_MAX];
    size_t n = snapshot_routes(c->q->snap, ROUTE_EMERGENCY, code, v, CANDIDATES_MAX);

    for (size_t i = 0; i < n && all->n < CANDIDATES_MAX; i++) {
        if (!is_among(all, v[i])) {
            all->v[all->n++] = v[i];
        }
    }
}

static void to_emergency(const struct decide *c)
{
    const struct dialplan *plan = c->q->plan;
    const unsigned max = sizeof plan->emergency / sizeof *plan->emergency;
    struct candidates all = {.n = 0};

    c->d->outcome = ROUTED_EMERGENCY;
    say(c, "emergency call (%s): no rule, limit or transit applies", c->d->dialled.e164);
    if (!c->q->snap) {
        return;
    }
    collect_emergency(c, view_of(c->d->dialled.e164), &all);
    collect_emergency(c, VIEW(SOS), &all);
    for (unsigned i = 0; i < plan->n_emergency && i < max; i++) {
        collect_emergency(c, plan->emergency[i], &all);
    }
    add_targets(c, &all, true);
    add_targets(c, &all, false);
    if (all.n == 0) {
        say(c, "no emergency route: the next hops of the configuration remain");
    }
}

/* ---- routes ------------------------------------------------------------------------------------
 */
static bool has_star(struct view v)
{
    return view_find(v, '*', &(size_t){0}) || view_find(v, '#', &(size_t){0});
}

/* Keys without a feature rule: "411" is a short number and no prefix of "4115551212". */
static void keep_keys_routes(const struct decide *c, struct candidates *all)
{
    struct view keys = view_of(c->d->dialled.e164);
    size_t n = 0;

    for (size_t i = 0; i < all->n; i++) {
        if (has_star(all->v[i]->prefix) || all->v[i]->prefix.n == keys.n) {
            all->v[n++] = all->v[i];
        }
    }
    all->n = n;
}

static void to_routes(const struct decide *c, bool whole_keys)
{
    struct route_decision *d = c->d;
    struct candidates all = {.n = 0};
    struct view number = view_of(d->dialled.e164);

    all.n = snapshot_routes(c->q->snap, ROUTE_NEXT_HOP, number, all.v, CANDIDATES_MAX);
    if (whole_keys) {
        keep_keys_routes(c, &all);
    }
    if (all.n == 0) {
        d->outcome = whole_keys ? ROUTED_INVALID : ROUTED_NOWHERE;
        say(c,
            whole_keys ? "no route knows %s: neither a number nor a feature code"
                       : "no route has a prefix of %s",
            d->dialled.e164);
        return;
    }
    if (c->q->from_trunk && (!c->q->from || !c->q->from->may_transit)) {
        d->outcome = ROUTED_NO_TRANSIT;
        say(c, "the call comes from a trunk that may not transit: it reaches our lines only");
        return;
    }
    add_targets(c, &all, true);
    d->outcome = d->n_targets > 0 ? ROUTED_TARGETS : ROUTED_UNUSABLE;
}

/* ---- dial rules --------------------------------------------------------------------------------
 */
static size_t key_count(struct view keys)
{
    return keys.n - (keys.n > 0 && keys.p[0] == '+');
}

static bool in_limits(const struct dial_rule *r, struct view keys)
{
    size_t n = key_count(keys);

    return (r->min_digits == 0 && r->max_digits == 0) || (n >= r->min_digits && n <= r->max_digits);
}

static const struct dial_rule *rule_for(const struct decide *c, struct view keys, bool plus_only)
{
    const struct dial_rule *v[RULES_MAX];
    size_t n = c->q->snap ? snapshot_rules(c->q->snap, keys, v, RULES_MAX) : 0;

    for (size_t i = 0; i < n; i++) {
        const struct dial_rule *r = v[i];
        if (plus_only && (r->prefix.n == 0 || r->prefix.p[0] != '+')) {
            continue;
        }
        if (in_limits(r, keys)) {
            return r;
        }
        say(c, "dial rule %.*s (prefix %.*s): %zu keys, it wants %u to %u", V(r->name),
            V(r->prefix), key_count(keys), r->min_digits, r->max_digits);
    }
    return NULL;
}

/* False: blocked, or nothing is left. The result is in c->keys. */
static bool apply_rule(struct decide *c, const struct dial_rule *r, struct view keys)
{
    char made[DIAL_E164_MAX];
    struct view rest = view_sub(keys, r->strip, keys.n);

    c->d->rule = r;
    if (r->blocked) {
        say(c, "dial rule %.*s (prefix %.*s): blocks %.*s", V(r->name), V(r->prefix), V(keys));
        c->d->outcome = ROUTED_BLOCKED;
        return false;
    }
    int n = snprintf(made, sizeof made, "%.*s%.*s", V(r->add), V(rest));
    if (n <= 0 || (size_t)n >= sizeof made) {
        say(c, "dial rule %.*s (prefix %.*s): leaves no number of %.*s", V(r->name), V(r->prefix),
            V(keys));
        c->d->outcome = ROUTED_INVALID;
        return false;
    }
    memcpy(c->keys, made, sizeof made);
    say(c, "dial rule %.*s (prefix %.*s): strip %" PRIu32 ", add \"%.*s\": %s%s", V(r->name),
        V(r->prefix), r->strip, V(r->add), c->keys, r->is_feature ? ", a feature code" : "");
    return true;
}

/* Sets what the keys mean. A rule can lead to an emergency number ("9911"), never to 611. */
static bool classify(struct decide *c, bool is_feature)
{
    struct route_decision *d = c->d;

    d->dialled = dialplan_classify(c->q->plan, view_of(c->keys));
    if (d->dialled.class == DIAL_EMERGENCY) {
        return true;
    }
    if (d->dialled.class == DIAL_PROVISIONING) {
        say(c, "no rule leads to the provisioning number");
        d->outcome = ROUTED_INVALID;
        return false;
    }
    if (is_feature || d->dialled.class == DIAL_INVALID) {
        d->is_feature = true;
        d->dialled.class = DIAL_INVALID;
        memcpy(d->dialled.e164, c->keys, sizeof d->dialled.e164);
        say(c, "built-in dial plan: %s stays as it is", c->keys);
        return true;
    }
    d->is_feature = false;
    say(c, "built-in dial plan: %s is %s", c->keys, d->dialled.e164);
    return true;
}

/* False: decided already. */
static bool by_rules(struct decide *c)
{
    const struct dial_rule *first = rule_for(c, view_of(c->keys), false);
    const struct dial_rule *second = NULL;
    bool is_feature = first && first->is_feature;

    if (first && !apply_rule(c, first, view_of(c->keys))) {
        return false;
    }
    if (!classify(c, is_feature)) {
        return false;
    }
    if (c->d->dialled.class != DIAL_SUBSCRIBER) {
        return true;
    }
    second = rule_for(c, view_of(c->d->dialled.e164), true);
    if (!second || second == first) {
        return true;
    }
    return apply_rule(c, second, view_of(c->d->dialled.e164)) && classify(c, second->is_feature);
}

/* ---- the whole ---------------------------------------------------------------------------------
 */
static void to_number(struct decide *c)
{
    struct route_decision *d = c->d;
    const struct line *line = NULL;

    if (!c->q->snap) {
        d->outcome = ROUTED_UNUSABLE;
        say(c, "nothing is known yet of lines and routes");
        return;
    }
    if (d->dialled.class == DIAL_SUBSCRIBER) {
        line = snapshot_line_of_number(c->q->snap, view_of(d->dialled.e164));
    }
    if (line) {
        d->outcome = ROUTED_LINE;
        d->line_id = line->line_id;
        say(c, "%s belongs to line %" PRIu64, d->dialled.e164, line->line_id);
        return;
    }
    if (d->dialled.class == DIAL_SUBSCRIBER) {
        say(c, "%s belongs to no line of ours", d->dialled.e164);
    }
    to_routes(c, d->is_feature && !(d->rule && d->rule->is_feature));
}

static void decide(struct decide *c)
{
    struct route_decision *d = c->d;

    d->dialled = dialplan_classify(c->q->plan, c->q->keys);
    if (d->dialled.class == DIAL_EMERGENCY) {
        to_emergency(c);
        return;
    }
    if (d->dialled.class == DIAL_PROVISIONING) {
        d->outcome = ROUTED_PROVISIONING;
        say(c, "the provisioning number: to a provisioning server");
        return;
    }
    if (d->dialled.class == DIAL_SUBSCRIBER || d->dialled.e164[0] != 0) {
        IGNORE(view_to_cstr(c->q->keys, c->keys, sizeof c->keys), "too long stays empty");
    }
    if (c->keys[0] == 0) {
        d->outcome = ROUTED_INVALID;
        say(c, "neither a telephone number nor keys of a telephone");
        return;
    }
    say(c, "dialled %s: no emergency and no provisioning number", c->keys);
    if (c->q->from_trunk) {
        say(c, "the call comes from a trunk: dial rules are for our lines");
    }
    if (c->q->from_trunk ? !classify(c, false) : !by_rules(c)) {
        return;
    }
    if (d->dialled.class == DIAL_EMERGENCY) {
        to_emergency(c);
    } else {
        to_number(c);
    }
}

void route_decide(const struct route_query *q, struct route_decision *out)
{
    struct decide c = {.q = q, .d = out};

    out->outcome = ROUTED_INVALID;
    out->is_feature = false;
    out->rule = NULL;
    out->line_id = 0;
    out->n_targets = out->n_steps = 0;
    out->steps_cut = false;
    decide(&c);
    say(&c, "decision: %s", route_outcome_name(out->outcome));
}
