/* Where a new call goes: what routing decided, made into targets. */
#include <stdio.h>
#include <string.h>

#include "gc/divert.h"
#include "gc/trunks.h"

enum { PS_PATIENCE_MS = 3000, HOP_PATIENCE_MS = 4000 };

/* ---- the decision ------------------------------------------------------------------------------
 */
static uint32_t draw(void *arg, uint32_t below)
{
    return (uint32_t)(worker_draw(arg) % below);
}

static const char *usable(void *arg, const struct route *r, const struct trunk *t)
{
    struct worker *w = arg;

    return trunk_obstacle(w->ws->trunks, r, t, loop_now_ms(w->loop));
}

/* Who preempts finds room on a full trunk: displace.c decides. */
static const char *usable_when_full(void *arg, const struct route *r, const struct trunk *t)
{
    const char *why = usable(arg, r, t);

    return why != NULL && strcmp(why, TRUNK_FULL_TEXT) == 0 ? NULL : why;
}

/* Other domains are not ours to reach. */
static bool is_ours(const struct worker *w, const struct sip_uri *uri)
{
    return uri->scheme == SIP_SCHEME_TEL || uri->scheme == SIP_SCHEME_URN || worker_is_us(w, uri);
}

struct route_query way_query(struct worker *w, const struct snapshot *snap)
{
    return (struct route_query){.snap = snap,
                                .plan = &w->plan->dialplan,
                                .now_s = worker_now_us(w) / 1000000,
                                .draw = draw,
                                .usable = usable,
                                .arg = w};
}

void way_decide(struct worker *w, struct setup *s, struct route_decision *out)
{
    struct sip_uri uri;
    struct route_query q = way_query(w, s->snap);

    q.from_trunk = s->in->proof.class == PROOF_TRUSTED;
    q.from = trunk_row(w, s->in->proof.who.trunk);
    if (sip_uri_parse(s->in->m->uri, &uri) == E_OK &&
        (is_ours(w, &uri) || s->dialled.class == DIAL_EMERGENCY ||
         s->dialled.class == DIAL_PROVISIONING)) {
        q.keys = view_of(s->keys);
    }
    route_decide(&q, out);
    if (out->outcome == ROUTED_UNUSABLE && s->preempts) {
        q.usable = usable_when_full;
        route_decide(&q, out);
    }
    s->dialled = out->dialled;
}

/* ---- targets -----------------------------------------------------------------------------------
 */
static struct target target_of_hop(const struct gc_next_hop *hop)
{
    return (struct target){.who = {.kind = PARTY_GATEWAY, .ip = hop->address},
                           .flow = {.proto = hop->proto, .remote = hop->address}};
}

static unsigned target_of_next_hop(const struct route_target *t, bool is_emergency,
                                   struct target *out)
{
    struct gc_next_hop hop;
    char address[NET_TEXT_MAX];

    if (gc_next_hop_parse(t->route->next_hop, &hop) != E_OK) {
        LOG(LV_ERROR, "route.unusable", KV("route", t->route->name));
        return 0;
    }
    *out = target_of_hop(&hop);
    out->route_id = t->route->route_id;
    out->route_channels = t->route->max_channels;
    net_text(&out->flow.remote, address);
    if (!is_emergency && !number_uri(out->uri, t->called, address)) {
        return 0;
    }
    return 1;
}

static unsigned targets_of(struct worker *w, const struct route_target *t, bool is_emergency,
                           struct target *out, unsigned max)
{
    const struct trunk_ask ask = {.trunk = t->trunk,
                                  .number = is_emergency ? NULL : t->called,
                                  .route_id = t->route->route_id,
                                  .route_channels = t->route->max_channels,
                                  .is_emergency = is_emergency};

    return t->trunk != NULL ? trunk_targets(w, &ask, out, max)
                            : target_of_next_hop(t, is_emergency, out);
}

static void targets_of_routes(struct worker *w, const struct route_decision *d, struct ctx *c,
                              unsigned max, struct way *y)
{
    for (unsigned i = 0; i < d->n_targets && y->n < max; i++) {
        const struct route *r = d->targets[i].route;
        unsigned n = targets_of(w, &d->targets[i], d->outcome == ROUTED_EMERGENCY, c->target + y->n,
                                max - y->n);
        if (y->n == 0) { /* what the call is recorded under */
            snprintf(y->route, sizeof y->route, "%.*s", (int)r->name.n, r->name.p);
        }
        y->n += n;
    }
}

/* ---- ways --------------------------------------------------------------------------------------
 */
/* What did not answer of late comes after everything else: it may be the last hope. */
static void put_down_last(struct ctx *c, unsigned n)
{
    struct target one;
    unsigned kept = 0;

    for (unsigned i = 0; i < n; i++) {
        if (!c->target[i].is_down) {
            one = c->target[i];
            memmove(&c->target[kept + 1], &c->target[kept], (i - kept) * sizeof one);
            c->target[kept++] = one;
        }
    }
}

static void way_to_emergency(struct worker *w, const struct route_decision *d, struct ctx *c,
                             struct way *y)
{
    const struct gc_plan *plan = w->plan;
    unsigned ours = plan->n_emergency < TARGETS_MAX / 2 ? plan->n_emergency : TARGETS_MAX / 2;

    targets_of_routes(w, d, c, TARGETS_MAX - ours, y);
    for (unsigned i = 0; i < plan->n_emergency && y->n < TARGETS_MAX; i++) {
        c->target[y->n++] = target_of_hop(&plan->emergency[i]);
    }
    put_down_last(c, y->n);
    c->is_emergency = true;
    c->patience_ms = HOP_PATIENCE_MS;
    y->status = 503;
    snprintf(y->route, sizeof y->route, "emergency");
}

static void way_to_provisioning(struct worker *w, const struct setup *s, struct ctx *c,
                                struct way *y)
{
    y->n = pool_targets(w, s->in->m->call_id, c->target, TARGETS_MAX);
    c->is_provisioning = true;
    c->patience_ms = PS_PATIENCE_MS;
    y->status = 503;
    snprintf(y->route, sizeof y->route, "provisioning");
}

void way_to_gateway(struct worker *w, const struct route_decision *d, struct ctx *c, struct way *y)
{
    y->n = 0;
    y->callee_line = 0;
    y->status = 503;
    c->is_parallel = false;
    targets_of_routes(w, d, c, TARGETS_MAX, y);
    c->patience_ms = HOP_PATIENCE_MS;
}

void way_to_phones(struct worker *w, uint64_t line_id, struct ctx *c, struct way *y)
{
    snprintf(y->route, sizeof y->route, "local");
    y->callee_line = line_id;
    y->status = 480;
    c->is_parallel = true;
    c->patience_ms = 0;
    y->n = targets_of_line(w, line_id, c->target, TARGETS_MAX);
}

static bool forwards(const struct line *l)
{
    return l->forward[FORWARD_ALWAYS].n + l->forward[FORWARD_BUSY].n +
               l->forward[FORWARD_NO_ANSWER].n >
           0;
}

static void way_to_line(struct worker *w, const struct setup *s, const struct route_decision *d,
                        struct ctx *c, struct way *y)
{
    const struct line *called = snapshot_line(s->snap, d->line_id);

    /* Whoever calls back from a PSAP wants this line's people, not those it forwards to. */
    if (called != NULL && !called->barred && !s->is_call_back && forwards(called)) {
        divert_begin(w, s, d, c, y);
        return;
    }
    way_to_phones(w, d->line_id, c, y);
    /* A barred line can still be called back by those whom it may call: emergency services. */
    if (called == NULL || (called->barred && s->in->proof.class != PROOF_TRUSTED)) {
        y->n = 0;
    }
}

/* docs/protocol.md section 13: from TLS to TLS, or not at all. Emergency calls go through as they
 * are: to be heard matters more. */
void way_keep_safe(struct ctx *c, const struct sip_msg *m, struct way *y)
{
    bool has_keys = has_media_keys(m);
    bool is_sips = view_starts_nocase(m->uri, VIEW("sips:")); /* RFC 5630: TLS or not at all */
    unsigned kept = 0;

    if (c->is_emergency || y->n == 0 || (!has_keys && !is_sips)) {
        return;
    }
    for (unsigned i = 0; i < y->n; i++) {
        if (may_carry_keys(&c->from_flow, &c->target[i].flow)) {
            c->target[kept++] = c->target[i];
        }
    }
    y->n = kept;
    if (kept == 0) {
        y->status = has_keys ? 488 : 480;
        y->reason = has_keys ? "Media keys need TLS on both sides" : NULL;
    }
}

void way_find(struct worker *w, const struct setup *s, const struct route_decision *d,
              struct ctx *c, struct way *y)
{
    *y = (struct way){.outcome = d->outcome, .status = 404};
    switch (d->outcome) {
    case ROUTED_EMERGENCY:
        way_to_emergency(w, d, c, y);
        break;
    case ROUTED_PROVISIONING:
        way_to_provisioning(w, s, c, y);
        break;
    case ROUTED_LINE:
        way_to_line(w, s, d, c, y);
        break;
    case ROUTED_TARGETS:
        way_to_gateway(w, d, c, y);
        break;
    case ROUTED_UNUSABLE:
        y->status = 503;
        break;
    case ROUTED_BLOCKED:
        y->status = 403;
        y->reason = "Blocked by the dial plan";
        break;
    case ROUTED_NOWHERE:
    case ROUTED_NO_TRANSIT:
    case ROUTED_INVALID:
        break;
    }
    way_keep_safe(c, s->in->m, y);
}
