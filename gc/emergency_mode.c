/* Emergency modes of the snapshot by the clock: who is limited, and what is shown of them. */
#include "gc/emergency_mode.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/call.h"
#include "routing/snapshot.h"

struct emergency_modes {
    pthread_mutex_t lock; /* over all of it */
    size_t n;
    struct mode_shown v[EMERGENCY_MODES_MAX];
};

enum err emergency_modes_new(struct emergency_modes **out)
{
    struct emergency_modes *m = mem_zalloc(sizeof *m);

    if (m == NULL) {
        return FAIL(E_NOMEM);
    }
    BUG_ON(pthread_mutex_init(&m->lock, NULL) != 0);
    *out = m;
    return E_OK;
}

void emergency_modes_free(struct emergency_modes *m)
{
    if (m != NULL) {
        pthread_mutex_destroy(&m->lock);
        mem_free(m);
    }
}

/* ---- lists -------------------------------------------------------------------------------------
 */
static bool next_word(struct view *rest, struct view *out)
{
    size_t at = 0;

    *rest = view_trim(*rest);
    at = view_find(*rest, ' ', &at) ? at : rest->n;
    *out = view_sub(*rest, 0, at);
    *rest = view_sub(*rest, at, rest->n);
    return out->n > 0;
}

static bool has_id(struct view list, uint64_t id)
{
    struct view word;
    uint64_t one = 0;

    while (id != 0 && next_word(&list, &word)) {
        if (view_to_u64(word, UINT64_MAX, &one) == E_OK && one == id) {
            return true;
        }
    }
    return false;
}

static bool has_number(struct view prefixes, struct view a, struct view b)
{
    struct view word;

    while (next_word(&prefixes, &word)) {
        if (view_starts(a, word) || view_starts(b, word)) {
            return true;
        }
    }
    return false;
}

static bool is_in_force(const struct emergency_mode *m, uint64_t now_us)
{
    return now_us < m->ends_us;
}

/* ---- who is limited ----------------------------------------------------------------------------
 */
struct region { /* calls of a worker that a mode of scope region is about */
    const struct emergency_mode *m;
    size_t n;
};

static void count_region(void *arg, const struct holding *x)
{
    struct region *r = arg;

    r->n += x->rank == 0 && x->spared == SPARED_NOT &&
            has_number(r->m->prefixes, view_of(x->caller), view_of(x->called));
}

static struct region_count *region_of(struct worker *w, const struct emergency_mode *m)
{
    return &w->regions[m->mode_id % REGION_COUNTS];
}

/* All calls are gone through once a tick, not for each new call: there are many of both just when
 * somebody declared a mode. What ended since then leaves its place at the next tick. */
static size_t calls_of_region(struct worker *w, const struct emergency_mode *m)
{
    struct region_count *c = region_of(w, m);
    uint64_t now = loop_now_ms(w->loop);
    struct region r = {.m = m};

    if (c->mode != m->mode_id || now >= c->until_ms) {
        holdings_each(w->ws->holdings, w->index, count_region, &r);
        *c = (struct region_count){m->mode_id, now + TICK_MS, r.n};
    }
    return c->n;
}

static bool is_full(struct worker *w, const struct emergency_mode *m, const struct mode_question *q)
{
    uint64_t most = w->set->max_calls * m->share / 100;

    switch (m->scope) {
    case MODE_ALL:
        return w->n_routine >= most;
    case MODE_REGION:
        return has_number(m->prefixes, q->caller, q->called) &&
               (most == 0 || (w->n_routine >= most && calls_of_region(w, m) >= most));
    case MODE_TRUNKS:
        break;
    }
    return false;
}

/* It begins: also an exempt call counts. */
static void count_in(struct worker *w, const struct snapshot *snap, const struct mode_question *q)
{
    for (size_t i = 0; i < snapshot_modes(snap); i++) {
        const struct emergency_mode *m = snapshot_mode_at(snap, i);
        struct region_count *c = region_of(w, m);
        c->n += m->scope == MODE_REGION && c->mode == m->mode_id &&
                has_number(m->prefixes, q->caller, q->called);
    }
}

uint64_t emergency_mode_refuses(struct worker *w, const struct mode_question *q)
{
    const struct snapshot *snap = worker_snapshot(w);
    size_t n = snap != NULL ? snapshot_modes(snap) : 0;
    const struct line *called = n > 0 ? snapshot_line_of_number(snap, q->called) : NULL;
    uint64_t now = n > 0 ? worker_now_us(w) : 0;

    for (size_t i = 0; i < n; i++) {
        const struct emergency_mode *m = snapshot_mode_at(snap, i);
        bool is_exempt = has_id(m->exempt_lines, q->line) || has_id(m->exempt_trunks, q->trunk) ||
                         (called != NULL && has_id(m->exempt_lines, called->line_id));
        if (is_in_force(m, now) && !is_exempt && is_full(w, m, q)) {
            return m->mode_id;
        }
    }
    if (n > 0) {
        count_in(w, snap, q);
    }
    return 0;
}

bool emergency_mode_share(const struct call *c, const struct trunk *row, uint32_t *most)
{
    const struct snapshot *snap = worker_snapshot(c->w);
    size_t n = snap != NULL && c->is_routine && row->max_channels != 0 ? snapshot_modes(snap) : 0;
    uint64_t now = n > 0 ? worker_now_us(c->w) : 0;
    bool any = false;

    for (size_t i = 0; i < n; i++) {
        const struct emergency_mode *m = snapshot_mode_at(snap, i);
        bool is_meant =
            m->scope == MODE_ALL || (m->scope == MODE_TRUNKS && has_id(m->trunks, row->trunk_id));
        uint32_t share = (uint32_t)((uint64_t)row->max_channels * m->share / 100);
        if (!is_meant || !is_in_force(m, now) || has_id(m->exempt_trunks, row->trunk_id) ||
            has_id(m->exempt_lines, c->caller_line) || has_id(m->exempt_lines, c->routed_line)) {
            continue;
        }
        *most = any && *most < share ? *most : share;
        any = true;
    }
    return any;
}

/* ---- what is shown -----------------------------------------------------------------------------
 */
static const char *scope_name(enum mode_scope s)
{
    return s == MODE_ALL ? "all" : s == MODE_REGION ? "region" : "trunks";
}

static void show(const struct emergency_mode *m, struct mode_shown *out)
{
    *out = (struct mode_shown){.id = m->mode_id,
                               .declared_us = m->declared_us,
                               .ends_us = m->ends_us,
                               .share = m->share,
                               .scope = scope_name(m->scope)};
    snprintf(out->declared_by, sizeof out->declared_by, "%.*s", (int)m->declared_by.n,
             m->declared_by.n > 0 ? m->declared_by.p : "");
    snprintf(out->reason, sizeof out->reason, "%.*s", (int)m->reason.n,
             m->reason.n > 0 ? m->reason.p : "");
}

static bool has_mode(const struct mode_shown *v, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i].id == id) {
            return true;
        }
    }
    return false;
}

static const char *event_of(bool begins)
{
    if (begins) {
        return "emergency_mode.begin";
    }
    return "emergency_mode.end";
}

/* Those of a that b has not. */
static void tell(const struct mode_shown *a, size_t n_a, const struct mode_shown *b, size_t n_b,
                 bool begins)
{
    for (size_t i = 0; i < n_a; i++) {
        if (!has_mode(b, n_b, a[i].id)) {
            LOG(LV_WARN, event_of(begins), KV("id", a[i].id), KV("scope", a[i].scope),
                KV("share", a[i].share), KV("by", (const char *)a[i].declared_by),
                KV("reason", (const char *)a[i].reason));
        }
    }
}

static void gauges(struct worker *w, const struct mode_shown *v, size_t n)
{
    unsigned share = 100;

    for (size_t i = 0; i < n; i++) {
        share = strcmp(v[i].scope, "all") == 0 && v[i].share < share ? v[i].share : share;
    }
    metric_set(w->ws->cfg.metrics, w->index, w->ws->meter_base + METER_MODES, (int64_t)n);
    metric_set(w->ws->cfg.metrics, w->index, w->ws->meter_base + METER_MODE_SHARE, share);
}

void emergency_modes_tick(struct worker *w)
{
    struct emergency_modes *m = w->ws->modes;
    const struct snapshot *snap = worker_snapshot(w);
    struct mode_shown now[EMERGENCY_MODES_MAX];
    size_t n = 0, all = snap != NULL ? snapshot_modes(snap) : 0;
    uint64_t now_us = worker_now_us(w);

    for (size_t i = 0; i < all && n < EMERGENCY_MODES_MAX; i++) {
        if (is_in_force(snapshot_mode_at(snap, i), now_us)) {
            show(snapshot_mode_at(snap, i), &now[n++]);
        }
    }
    tell(now, n, m->v, m->n, true); /* nobody else writes them */
    tell(m->v, m->n, now, n, false);
    BUG_ON(pthread_mutex_lock(&m->lock) != 0);
    memcpy(m->v, now, n * sizeof now[0]);
    m->n = n;
    BUG_ON(pthread_mutex_unlock(&m->lock) != 0);
    gauges(w, now, n);
}

size_t emergency_modes_view(struct workers *ws, struct mode_shown *out, size_t max)
{
    struct emergency_modes *m = ws->modes;
    uint64_t now_us = clock_wall_us(ws->cfg.clock);
    size_t n = 0;

    BUG_ON(pthread_mutex_lock(&m->lock) != 0);
    for (size_t i = 0; i < m->n && n < max; i++) {
        if (now_us < m->v[i].ends_us) {
            out[n++] = m->v[i];
        }
    }
    BUG_ON(pthread_mutex_unlock(&m->lock) != 0);
    return n;
}
