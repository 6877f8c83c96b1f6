/* The table of trunks and routes in use: counts of calls, addresses with their health. */
#include "gc/trunks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gc/trunks_int.h"
#include "routing/snapshot.h"

void trunks_lock(struct trunks *t)
{
    BUG_ON(pthread_mutex_lock(&t->lock) != 0);
}

void trunks_unlock(struct trunks *t)
{
    BUG_ON(pthread_mutex_unlock(&t->lock) != 0);
}

enum err trunks_new(struct trunks **out)
{
    struct trunks *t = mem_zalloc(sizeof *t);

    if (t == NULL) {
        return FAIL(E_NOMEM);
    }
    BUG_ON(pthread_mutex_init(&t->lock, NULL) != 0);
    *out = t;
    return E_OK;
}

/* ---- the table ---------------------------------------------------------------------------------
 */
static struct trunk_state *find(struct trunks *t, uint64_t trunk_id)
{
    for (struct hlink *p = t->trunk[trunk_id % TRUNK_HEADS]; p != NULL; p = p->next) {
        struct trunk_state *s = HLIST_OF(p, struct trunk_state, by_id);
        if (s->trunk_id == trunk_id) {
            return s;
        }
    }
    return NULL;
}

static struct trunk_state *find_or_make(struct trunks *t, uint64_t trunk_id)
{
    struct trunk_state *s = find(t, trunk_id);

    if (s == NULL && (s = mem_zalloc(sizeof *s)) != NULL) {
        s->t = t;
        s->trunk_id = trunk_id;
        s->resolved = E_STATE;
        hlist_push(&t->trunk[trunk_id % TRUNK_HEADS], &s->by_id);
        t->n++;
    }
    return s;
}

static void forget(struct trunk_state *s)
{
    hlist_drop(&s->by_id);
    hlist_drop(&s->in_list);
    s->t->n--;
    mem_free(s);
}

/* Of a trunk that was removed already: with its last call. */
static void let_trunk_go(struct trunk_state *s)
{
    if (s->live == 0 && s->kept == 0 && !s->is_listed) {
        forget(s);
    }
}

static struct route_state *find_route(struct trunks *t, uint64_t route_id, bool make)
{
    struct hlink **head = &t->route[route_id % TRUNK_HEADS];
    struct route_state *r = NULL;

    for (struct hlink *p = *head; p != NULL; p = p->next) {
        r = HLIST_OF(p, struct route_state, by_id);
        if (r->route_id == route_id) {
            return r;
        }
    }
    r = make ? mem_zalloc(sizeof *r) : NULL;
    if (r != NULL) {
        r->route_id = route_id;
        hlist_push(head, &r->by_id);
    }
    return r;
}

static void let_route_go(struct route_state *r)
{
    if (r != NULL && r->live == 0 && r->kept == 0) {
        hlist_drop(&r->by_id);
        mem_free(r);
    }
}

void trunks_free(struct trunks *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < TRUNK_HEADS; i++) {
        while (t->trunk[i] != NULL) {
            forget(HLIST_OF(t->trunk[i], struct trunk_state, by_id));
        }
        while (t->route[i] != NULL) {
            struct route_state *r = HLIST_OF(t->route[i], struct route_state, by_id);
            r->live = r->kept = 0;
            let_route_go(r);
        }
    }
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
}

void trunks_each(struct trunks *t, void (*fn)(struct trunk_state *s, void *arg), void *arg)
{
    struct hlink *next = NULL;

    for (struct hlink *p = t->listed; p != NULL; p = next) {
        next = p->next;
        fn(HLIST_OF(p, struct trunk_state, in_list), arg);
    }
}

/* ---- calls -------------------------------------------------------------------------------------
 */
static void refill(struct trunk_state *s, uint32_t cps, uint64_t now_ms)
{
    uint64_t ms = now_ms > s->cps_ms ? now_ms - s->cps_ms : 0;
    uint64_t back = ms > 1000 ? s->cps_milli : ms * cps;

    s->cps_milli -= back < s->cps_milli ? (uint32_t)back : s->cps_milli;
    s->cps_ms = now_ms;
}

/* What is kept for others is not free. */
static bool is_full(uint32_t live, uint32_t kept, uint32_t most, bool is_kept)
{
    uint32_t others = kept - (is_kept && kept > 0);

    return most != 0 && (uint64_t)live + others >= most;
}

static enum trunk_lack lack_of(struct trunk_state *s, const struct route_state *r,
                               const struct trunk_room *room, uint64_t now_ms)
{
    if (room->always) {
        return TRUNK_HAS_ROOM;
    }
    if (s != NULL && (is_full(s->live, s->kept, room->channels, room->kept_trunk) ||
                      (room->is_shared && s->routine >= room->routine_most))) {
        return TRUNK_LACKS_TRUNK;
    }
    if (r != NULL && is_full(r->live, r->kept, room->route_channels, room->kept_route)) {
        return TRUNK_LACKS_ROUTE;
    }
    if (s != NULL && room->cps != 0) {
        refill(s, room->cps, now_ms);
        return (uint64_t)s->cps_milli + 1000 <= (uint64_t)room->cps * 1000 ? TRUNK_HAS_ROOM
                                                                           : TRUNK_LACKS_RATE;
    }
    return TRUNK_HAS_ROOM;
}

static enum err has_room(struct trunk_state *s, const struct route_state *r,
                         const struct trunk_room *room, uint64_t now_ms)
{
    enum trunk_lack lack = lack_of(s, r, room, now_ms);

    return lack == TRUNK_HAS_ROOM ? E_OK : lack == TRUNK_LACKS_RATE ? E_DENIED : E_FULL;
}

static void count_in(struct trunk_state *s, struct route_state *r, const struct trunk_room *room,
                     bool is_routine)
{
    if (s != NULL) {
        s->live += !room->only_rate;
        s->routine += !room->only_rate && is_routine;
        s->calls_total += !room->only_rate;
        s->cps_milli += room->cps != 0 && s->cps_milli < UINT32_MAX - 1000 ? 1000 : 0;
    }
    if (r != NULL) {
        r->live++;
    }
}

enum err trunks_take(struct trunks *t, struct trunk_use *use, const struct trunk_room *room,
                     uint64_t now_ms)
{
    struct trunk_state *s = NULL;
    struct route_state *r = NULL;
    enum err e = E_OK;

    trunks_lock(t);
    s = use->trunk != 0 ? find_or_make(t, use->trunk) : NULL;
    r = use->route != 0 ? find_route(t, use->route, true) : NULL;
    if ((s == NULL && use->trunk != 0) || (r == NULL && use->route != 0)) {
        let_route_go(r);
        e = room->always ? E_OK : FAIL(E_NOMEM);
        *use = (struct trunk_use){.trunk = 0};
    } else {
        e = has_room(s, r, room, now_ms);
        if (e == E_OK) {
            count_in(s, r, room, use->is_routine);
        } else {
            let_route_go(r);
            if (s != NULL) {
                s->refused_total++;
            }
        }
    }
    trunks_unlock(t);
    return e;
}

void trunks_give(struct trunks *t, struct trunk_use *use)
{
    struct trunk_state *s = NULL;
    struct route_state *r = NULL;

    if (use->trunk == 0 && use->route == 0) {
        return;
    }
    trunks_lock(t);
    s = use->trunk != 0 ? find(t, use->trunk) : NULL;
    r = use->route != 0 ? find_route(t, use->route, false) : NULL;
    BUG_ON((use->trunk != 0 && (s == NULL || s->live == 0)) ||
           (use->route != 0 && (r == NULL || r->live == 0)));
    if (s != NULL) {
        s->live--;
        s->routine -= use->is_routine;
        let_trunk_go(s);
    }
    if (r != NULL) {
        r->live--;
        let_route_go(r);
    }
    trunks_unlock(t);
    *use = (struct trunk_use){.trunk = 0};
}

void trunks_keep(struct trunks *t, const struct trunk_use *use)
{
    struct trunk_state *s = NULL;
    struct route_state *r = NULL;

    trunks_lock(t);
    s = use->trunk != 0 ? find_or_make(t, use->trunk) : NULL;
    r = use->route != 0 ? find_route(t, use->route, true) : NULL;
    if (s != NULL) { /* without memory nothing is kept: others may be faster */
        s->kept++;
    }
    if (r != NULL) {
        r->kept++;
    }
    trunks_unlock(t);
}

void trunks_unkeep(struct trunks *t, struct trunk_use *use)
{
    struct trunk_state *s = NULL;
    struct route_state *r = NULL;

    if (use->trunk == 0 && use->route == 0) {
        return;
    }
    trunks_lock(t);
    s = use->trunk != 0 ? find(t, use->trunk) : NULL;
    r = use->route != 0 ? find_route(t, use->route, false) : NULL;
    if (s != NULL) {
        s->kept -= s->kept > 0;
        let_trunk_go(s);
    }
    if (r != NULL) {
        r->kept -= r->kept > 0;
        let_route_go(r);
    }
    trunks_unlock(t);
    *use = (struct trunk_use){.trunk = 0};
}

enum trunk_lack trunks_lack(struct trunks *t, const struct trunk_use *use,
                            const struct trunk_room *room, uint64_t now_ms)
{
    enum trunk_lack lack = TRUNK_HAS_ROOM;

    trunks_lock(t);
    lack = lack_of(use->trunk != 0 ? find(t, use->trunk) : NULL,
                   use->route != 0 ? find_route(t, use->route, false) : NULL, room, now_ms);
    trunks_unlock(t);
    return lack;
}

static const char *no_address(const struct trunk_state *s)
{
    for (unsigned i = 0; s != NULL && i < s->n; i++) {
        if (!s->place[i].is_down) {
            return NULL;
        }
    }
    return s == NULL || s->n == 0 ? "no address is known" : "no address answers";
}

const char *trunk_obstacle(struct trunks *t, const struct route *r, const struct trunk *row,
                           uint64_t now_ms)
{
    struct trunk_room room = {.route_channels = r->max_channels,
                              .always = r->kind == ROUTE_EMERGENCY};
    struct trunk_state *s = NULL;
    const char *why = NULL;
    enum err e = E_OK;

    if (row != NULL) {
        room.channels = row->max_channels;
        room.cps = row->max_cps;
    }
    trunks_lock(t);
    s = row != NULL ? find(t, row->trunk_id) : NULL;
    why = row != NULL ? no_address(s) : NULL;
    e = has_room(s, find_route(t, r->route_id, false), &room, now_ms);
    trunks_unlock(t);
    return why != NULL     ? why
           : e == E_FULL   ? TRUNK_FULL_TEXT
           : e == E_DENIED ? "too many new calls this second"
                           : NULL;
}

/* ---- addresses ---------------------------------------------------------------------------------
 */
static struct trunk_address shown(const struct trunk_place *p, uint64_t now_ms)
{
    return (struct trunk_address){.where = p->where,
                                  .is_down = p->is_down,
                                  .is_suspect = p->suspect_until_ms > now_ms,
                                  .missed = p->missed,
                                  .last_answer_us = p->last_answer_us};
}

/* 0 as good as any, 1 suspect, 2 down. */
static unsigned worth(const struct trunk_address *a)
{
    return a->is_down ? 2 : a->is_suspect ? 1 : 0;
}

void trunks_addresses(struct trunks *t, uint64_t trunk_id, uint64_t random, uint64_t now_ms,
                      struct trunk_addresses *out)
{
    struct sip_places places = {.n = 0};
    struct trunk_address all[LOCATE_MAX];
    uint8_t order[LOCATE_MAX];
    const struct trunk_state *s = NULL;

    *out = (struct trunk_addresses){.n = 0};
    trunks_lock(t);
    s = find(t, trunk_id);
    places.n = s != NULL ? s->n : 0;
    for (unsigned i = 0; i < places.n; i++) {
        places.p[i] = s->place[i].where;
        all[i] = shown(&s->place[i], now_ms);
    }
    trunks_unlock(t);
    (void)sip_places_order(&places, random, order);
    for (unsigned level = 0; level < 3; level++) {
        for (unsigned i = 0; i < places.n; i++) {
            if (worth(&all[order[i]]) == level) {
                out->a[out->n++] = all[order[i]];
            }
        }
        out->n_usable = level == 1 ? out->n : out->n_usable;
    }
}

void trunks_suspect(struct trunks *t, uint64_t trunk_id, const struct net_addr *address,
                    uint64_t now_ms)
{
    struct trunk_state *s = NULL;

    trunks_lock(t);
    s = find(t, trunk_id);
    for (unsigned i = 0; s != NULL && i < s->n; i++) {
        if (net_eq(&s->place[i].where.address, address)) {
            s->place[i].suspect_until_ms = now_ms + TRUNK_SUSPECT_MS;
        }
    }
    if (s != NULL) {
        s->failed_total++;
    }
    trunks_unlock(t);
}

/* ---- keeping up with the snapshot: worker 0 ----------------------------------------------------
 */
static bool same_ask(const struct trunk_state *s, const struct sip_locate_ask *ask)
{
    return view_eq(view_of(s->host), ask->host) && s->ask.port == ask->port &&
           s->ask.has_proto == ask->has_proto && s->ask.proto == ask->proto &&
           s->ask.only_tls == ask->only_tls && s->ask.with_ipv4 == ask->with_ipv4 &&
           s->ask.with_ipv6 == ask->with_ipv6;
}

/* Addresses of a family in which we have no listener are of no use. */
static void families(const struct worker *w, struct sip_locate_ask *ask)
{
    for (unsigned i = 0; i < w->live->n_own; i++) {
        ask->with_ipv4 = ask->with_ipv4 || w->live->own[i].address.family == 4;
        ask->with_ipv6 = ask->with_ipv6 || w->live->own[i].address.family == 6;
    }
}

static void take_row(struct trunks *t, const struct trunk *row)
{
    struct sip_locate_ask ask = {.host = row->host,
                                 .port = row->port,
                                 .has_proto = row->proto != 0,
                                 .proto =
                                     row->proto != 0 ? (enum sip_proto)(row->proto - 1) : SIP_UDP,
                                 .only_tls = row->auth == TRUNK_BY_NAME};
    struct trunk_state *s = NULL;
    bool is_new = false;

    families(t->w, &ask);
    trunks_lock(t);
    s = find_or_make(t, row->trunk_id);
    if (s != NULL) {
        s->is_known = s->is_seen = true;
        if (!s->is_listed) {
            s->is_listed = true;
            hlist_push(&t->listed, &s->in_list);
        }
        snprintf(s->name, sizeof s->name, "%.*s", (int)row->name.n, row->name.p);
        s->ping_s = row->ping_s;
        is_new = !same_ask(s, &ask);
    }
    trunks_unlock(t);
    if (is_new) {
        trunk_resolve_stop(s);
        if (view_to_cstr(ask.host, s->host, sizeof s->host) == E_OK) {
            s->ask = ask;
            s->resolve_ms = 0;
        }
    }
}

static void unsee(struct trunk_state *s, void *arg)
{
    (void)arg;
    s->is_seen = false;
}

static void sweep(struct trunk_state *s, void *arg)
{
    struct trunks *t = arg;

    if (s->is_seen) {
        return;
    }
    if (s->is_known || s->n > 0) {
        trunk_resolve_stop(s);
        trunk_health_stop(s);
    }
    trunks_lock(t);
    s->is_known = false;
    s->n = 0;
    if (s->live == 0 && s->kept == 0) {
        forget(s);
    }
    trunks_unlock(t);
}

static void sync(struct trunks *t, const struct snapshot *snap)
{
    trunks_each(t, unsee, NULL);
    for (size_t i = 0; i < snapshot_trunks(snap); i++) {
        take_row(t, snapshot_trunk_at(snap, i));
    }
}

static void tick_one(struct trunk_state *s, void *arg)
{
    const uint64_t *now_ms = arg;

    if (s->is_known) {
        trunk_resolve(s, *now_ms);
        trunk_health_tick(s, *now_ms);
    }
}

static bool is_news(const struct trunks *t, const struct snapshot *snap)
{
    return snap != NULL && (!t->has_synced || snapshot_id(snap) != t->snapshot_id);
}

void trunks_follow(struct worker *w)
{
    if (is_news(w->ws->trunks, worker_snapshot(w))) {
        trunks_tick(w);
    }
}

void trunks_tick(struct worker *w)
{
    struct trunks *t = w->ws->trunks;
    const struct snapshot *snap = worker_snapshot(w);
    uint64_t now_ms = loop_now_ms(w->loop);

    t->w = w;
    if (is_news(t, snap)) {
        sync(t, snap);
        t->has_synced = true;
        t->snapshot_id = snapshot_id(snap);
    }
    trunks_each(t, tick_one, &now_ms);
    if (t->has_synced) {
        trunks_each(t, sweep, t);
    }
}

static void stop_one(struct trunk_state *s, void *arg)
{
    (void)arg;
    trunk_resolve_stop(s);
    trunk_health_stop(s);
}

/* The resolver is made before the threads run. Without one, trunks with numeric addresses work. */
void trunks_start(struct worker *w)
{
    const struct gc_plan *plan = w->plan;
    struct dns_cfg cfg = {.servers = plan->dns, .n_servers = plan->n_dns};
    enum err e = w->ws->seam.send == NULL ? dns_new(w->loop, &cfg, &w->ws->trunks->dns) : E_OK;

    w->ws->trunks->w = w;
    if (e != E_OK) {
        LOG(LV_ERROR, "dns.unavailable", KV_ERR(e));
    }
}

void trunks_stop(struct worker *w)
{
    struct trunks *t = w->ws->trunks;

    trunks_each(t, stop_one, NULL);
    dns_free(t->dns);
    t->dns = NULL;
}

/* ---- the operator's view -----------------------------------------------------------------------
 */
static void view_of_state(const struct trunk_state *s, uint64_t now_ms, struct trunk_view *v)
{
    *v = (struct trunk_view){.trunk_id = s->trunk_id,
                             .calls = s->live,
                             .calls_total = s->calls_total,
                             .refused_total = s->refused_total,
                             .failed_total = s->failed_total,
                             .is_known = s->is_known,
                             .is_stale = s->is_stale,
                             .resolved = s->resolved,
                             .n = s->n};
    memcpy(v->name, s->name, sizeof v->name);
    for (unsigned i = 0; i < s->n; i++) {
        v->a[i] = shown(&s->place[i], now_ms);
    }
}

size_t trunks_view(struct trunks *t, uint64_t now_ms, struct trunk_view *out, size_t max)
{
    size_t n = 0;

    trunks_lock(t);
    for (size_t i = 0; i < TRUNK_HEADS; i++) {
        for (struct hlink *p = t->trunk[i]; p != NULL && n < max; p = p->next) {
            view_of_state(HLIST_OF(p, struct trunk_state, by_id), now_ms, &out[n++]);
        }
    }
    trunks_unlock(t);
    return n;
}

/* ---- metrics -----------------------------------------------------------------------------------
 */
static uint64_t addresses_down(const struct trunk_view *v)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < v->n; i++) {
        n += v->a[i].is_down;
    }
    return n;
}

static const struct {
    const char *name, *kind, *help;
} families_of_metrics[] = {
    {"headgate_trunk_calls", "gauge", "Live calls over a trunk, both ways"},
    {"headgate_trunk_calls_total", "counter", "Calls over a trunk"},
    {"headgate_trunk_refused_total", "counter", "Calls that a limit of the trunk kept from it"},
    {"headgate_trunk_failed_total", "counter",
     "Calls that an address of the trunk did not answer, or that could not be sent"},
    {"headgate_trunk_addresses", "gauge", "Addresses known of a trunk"},
    {"headgate_trunk_addresses_down", "gauge", "Addresses of a trunk that do not answer"},
    {"headgate_trunk_dns_stale", "gauge", "1 while DNS is away and old addresses are in use"},
};

static uint64_t value_of(const struct trunk_view *v, size_t family)
{
    const uint64_t values[] = {v->calls, v->calls_total,    v->refused_total,   v->failed_total,
                               v->n,     addresses_down(v), v->is_stale ? 1 : 0};

    return values[family];
}

static int by_id(const void *va, const void *vb)
{
    const struct trunk_view *a = va, *b = vb;

    return (a->trunk_id > b->trunk_id) - (a->trunk_id < b->trunk_id);
}

size_t trunks_metrics(void *t, char *dst, size_t dst_bytes)
{
    const size_t families = sizeof families_of_metrics / sizeof families_of_metrics[0];
    struct trunk_view *all = mem_zalloc_array(TRUNK_METRICS_MAX, sizeof *all);
    size_t n = all != NULL ? trunks_view(t, 0, all, TRUNK_METRICS_MAX) : 0, used = 0;

    if (n > 0) {
        qsort(all, n, sizeof *all, by_id);
    }
    for (size_t f = 0; f < families && n > 0; f++) {
        for (size_t i = 0; i <= n; i++) { /* the head first */
            char *to = used < dst_bytes ? dst + used : NULL;
            size_t room = used < dst_bytes ? dst_bytes - used : 0;
            int bytes =
                i == 0 ? snprintf(to, room, "# HELP %s %s\n# TYPE %s %s\n",
                                  families_of_metrics[f].name, families_of_metrics[f].help,
                                  families_of_metrics[f].name, families_of_metrics[f].kind)
                       : snprintf(to, room, "%s{trunk=\"%s\"} %llu\n", families_of_metrics[f].name,
                                  all[i - 1].name, (unsigned long long)value_of(&all[i - 1], f));
            used += bytes > 0 ? (size_t)bytes : 0;
        }
    }
    mem_free(all);
    return used;
}
