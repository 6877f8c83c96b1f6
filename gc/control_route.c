/* `headgatectl route test`: the decision on the live snapshot, in words. Nothing is sent and
 * nothing changes. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gc/control_int.h"
#include "gc/features.h"
#include "gc/store.h"
#include "routing/plan_time.h"
#include "routing/route.h"
#include "signaling/sip_uri.h"

#define KEYS_MAX 256

struct test {
    struct route_query q;
    struct route_decision d;
    char keys[KEYS_MAX];
    const struct line *caller; /* NULL: not known */
    struct view from;
    const struct feature *code; /* NULL: none */
};

/* A number with or without visual separators, a tel: or sip: URI, a service URN. */
static bool read_keys(const struct control_cfg *cfg, struct view v, char keys[KEYS_MAX])
{
    struct sip_uri u = {.scheme = SIP_SCHEME_TEL, .user = v};
    struct view context = {0};
    char digits[KEYS_MAX];

    if (view_starts_nocase(v, VIEW("urn:")) || view_starts_nocase(v, VIEW("service:sos"))) {
        return view_to_cstr(v, keys, KEYS_MAX) == E_OK;
    }
    if (view_find(v, ':', &(size_t){0}) && sip_uri_parse(v, &u) != E_OK) {
        return false;
    }
    (void)sip_uri_phone_context(&u, &context);
    return sip_uri_digits(&u, digits, sizeof digits) == E_OK && digits[0] != 0 &&
           dialplan_keys(cfg->dialplan, view_of(digits), context, view_of(cfg->domain), keys,
                         KEYS_MAX) == E_OK;
}

static struct view field(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return view_from(json_string_value(v), json_string_length(v));
}

/* Who calls: "from" a number of ours, or "from_trunk" a name. */
static const char *read_caller(struct test *t, const struct control_cfg *cfg, const json_t *request)
{
    struct view trunk = field(request, "from_trunk");
    struct dialled d;
    char keys[KEYS_MAX];

    t->from = field(request, "from");
    if (trunk.n > 0) {
        t->q.from_trunk = true;
        t->q.from = snapshot_trunk_of_name(t->q.snap, trunk);
        return t->q.from ? NULL : "the gate controller knows no such trunk";
    }
    if (t->from.n == 0) {
        return NULL;
    }
    if (!read_keys(cfg, t->from, keys)) {
        return "from: no number";
    }
    d = dialplan_classify(cfg->dialplan, view_of(keys));
    t->caller =
        d.class == DIAL_SUBSCRIBER ? snapshot_line_of_number(t->q.snap, view_of(d.e164)) : NULL;
    return t->caller ? NULL : "from: belongs to no line";
}

static json_t *targets_of(const struct route_decision *d)
{
    json_t *all = json_array();

    for (unsigned i = 0; all && i < d->n_targets; i++) {
        const struct route_target *t = &d->targets[i];
        json_t *o = json_object();
        control_put(o, "route", control_text(t->route->name));
        control_put(o, "prefix", control_text(t->route->prefix));
        control_put(o, "trunk", t->trunk ? control_text(t->trunk->name) : json_null());
        control_put(o, "next_hop", t->trunk ? json_null() : control_text(t->route->next_hop));
        control_put(o, "called", control_text(view_of(t->called)));
        control_add(all, o);
    }
    return all;
}

static void say_caller(const struct test *t, json_t *steps)
{
    char text[160];

    if (t->q.from) {
        (void)snprintf(text, sizeof text, "the call comes from trunk %.*s%s",
                       (int)t->q.from->name.n, t->q.from->name.p,
                       t->q.from->disabled ? ", which is disabled: it is not accepted" : "");
    } else if (t->caller) {
        (void)snprintf(text, sizeof text, "the caller is line %" PRIu64 "%s", t->caller->line_id,
                       t->caller->barred
                           ? ", which is barred: only the provisioning number and emergency calls"
                           : "");
    } else {
        (void)snprintf(text, sizeof text, "the caller is some line of ours");
    }
    control_add(steps, control_text(view_of(text)));
}

static bool is_refused(const struct test *t)
{
    bool always = t->d.outcome == ROUTED_EMERGENCY || t->d.outcome == ROUTED_PROVISIONING;

    return !always && ((t->caller && t->caller->barred) || (t->q.from && t->q.from->disabled));
}

/* A code of ours: what follows it is what is decided on, or the gate answers it itself. */
static void read_code(struct test *t, const struct control_cfg *cfg)
{
    struct view rest;
    char keys[KEYS_MAX];

    t->code = t->q.from_trunk ? NULL : feature_of(t->q.snap, view_of(t->keys), &rest);
    if (t->code == NULL || feature_is_answered(t->code)) {
        return;
    }
    if (dialplan_keys(cfg->dialplan, rest, VIEW(""), view_of(cfg->domain), keys, sizeof keys) !=
        E_OK) {
        keys[0] = 0;
    }
    memcpy(t->keys, keys, sizeof keys);
}

static void say_code(const struct test *t, json_t *steps)
{
    char text[160];

    if (t->code == NULL) {
        return;
    }
    (void)snprintf(text, sizeof text, "%s is a feature code: it %s%s", t->code->code,
                   t->code->words,
                   feature_is_answered(t->code) ? "; the gate controller answers it itself" : "");
    control_add(steps, control_text(view_of(text)));
}

static void tell(const struct test *t, json_t *answer)
{
    const struct route_decision *d = &t->d;
    json_t *steps = json_array();
    bool is_own = feature_is_answered(t->code);

    say_caller(t, steps);
    say_code(t, steps);
    for (unsigned i = 0; i < d->n_steps && !is_own; i++) {
        control_add(steps, control_text(view_of(d->steps[i])));
    }
    if (d->steps_cut) {
        control_add(steps, json_string("more steps are left out"));
    }
    control_put(answer, "outcome",
                json_string(is_refused(t) ? "refused"
                            : is_own      ? "feature"
                                          : route_outcome_name(d->outcome)));
    control_put(answer, "number", control_text(view_of(d->dialled.e164)));
    control_put(answer, "rule", d->rule ? control_text(d->rule->name) : json_null());
    control_put(answer, "line",
                d->outcome == ROUTED_LINE ? json_integer((json_int_t)d->line_id) : json_null());
    control_put(answer, "targets", targets_of(d));
    control_put(answer, "steps", steps);
}

void control_op_route(struct control_ask *a, json_t *answer)
{
    struct test *t = mem_zalloc(sizeof *t);
    json_int_t at = json_integer_value(json_object_get(a->request, "at"));

    if (!t) {
        a->error = "out of memory";
        return;
    }
    t->q = (struct route_query){.snap = store_snapshot(a->cfg->store),
                                .plan = a->cfg->dialplan,
                                .now_s =
                                    at > 0 ? (uint64_t)at : clock_wall_us(clock_system()) / 1000000,
                                .explain = true,
                                .usable = a->cfg->route_usable,
                                .arg = a->cfg->route_arg};
    if (!read_keys(a->cfg, field(a->request, "number"), t->keys)) {
        a->error = "number: neither a telephone number nor a service URN";
    } else {
        a->error = read_caller(t, a->cfg, a->request);
    }
    if (!a->error) {
        read_code(t, a->cfg);
        t->q.keys = view_of(t->keys);
        route_decide(&t->q, &t->d);
        tell(t, answer);
    }
    store_quiescent(a->cfg->store, a->cfg->n_workers);
    mem_free(t);
}
