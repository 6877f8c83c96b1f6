/* Keeping the snapshot current. A NOTIFY names a key: its rows are read at once, and who lost
 * rights by them is put out at once; the new snapshot follows when it is built. The numbered table
 * is read every two seconds, so that nothing is missed while a connection was away. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "gc/store_int.h"

#define POLL_ROWS        "20001" /* one more than KEYS_MAX */
#define STATEMENT_MAX_MS 5000
#define SILENT_MAX_MS    8000 /* an answer that takes longer: the connection is dead */
#define DEBOUNCE_MS      5
#define POLL_MS          2000
#define SAVE_MS          1000
#define RETRY_MS         5000
#define ROWS_OVER_MAX    5000  /* laid over a snapshot; past it a whole one is built */
#define BUILD_MAX_MS     30000 /* the longest time without one */

#define SQL_POLL                                                                                   \
    "SELECT s.x::text, pg_postmaster_start_time()::text, c.tbl, c.key, p.xid::text FROM "          \
    "(SELECT pg_snapshot_xmin(pg_current_snapshot()) AS x) s CROSS JOIN core.change_purged p "     \
    "LEFT JOIN core.change_log c ON "                                                              \
    "c.xid >= $1::xid8 AND c.xid < s.x ORDER BY c.seq LIMIT " POLL_ROWS
#define SQL_BTIS                                                                                   \
    "SELECT decode(k.id, 'hex'), " BTI_COLUMNS " FROM unnest($1::text[]) AS k(id) "                \
    "LEFT JOIN core.bti b ON b.bti_id = decode(k.id, 'hex')"
#define SQL_ACCOUNTS "SELECT line_id FROM core.line WHERE account_id = ANY($1::bigint[])"
#define SQL_LINES                                                                                  \
    "SELECT k.id, " LINE_COLUMNS " FROM unnest($1::bigint[]) AS k(id) LEFT JOIN core.line l ON "   \
    "l.line_id = k.id LEFT JOIN core.account a ON a.account_id = l.account_id" LINE_TABLES

/* Routes before trunks: a trunk that a route names is then there when the trunks are read. */
enum round_step {
    ROUND_BTIS,
    ROUND_ACCOUNTS,
    ROUND_LINES,
    ROUND_ROUTES,
    ROUND_TRUNKS,
    ROUND_RULES,
    ROUND_END
};

struct changes {
    struct store *s;
    struct pg *pg;
    struct loop_timer debounce, poll, build_soon, save_soon, reap, silence;
    struct keys waiting, round;
    enum round_step step;
    struct patch *plan; /* routes, trunks and rules that are being read; they count when all are */
    struct purge purge;
    bool fetching, polling, closing;
    uint64_t horizon;
    char server[64];      /* when it started: another text is another server */
    struct recent recent; /* the table names what a NOTIFY brought once more */
    struct held *root;    /* the last whole snapshot */
    struct patch *over;   /* rows that were read since */
    bool unshown;         /* rows that no published snapshot has */
    uint64_t over_since_ms, load_order, build_pause_ms;
    struct load *load;
    bool want_load, load_over;
    struct job *builder, *saver;
    struct {
        struct patch *patch;
        struct held *base;
        struct snapshot *made;
        struct losses lost;
        enum err e;
        bool whole;
        uint64_t us, order; /* of the rows that it contains */
        char why[160];
    } build;
    uint64_t not_before_ms; /* after a failure */
    struct held *saving;
    enum err save_result;
    bool unsaved;
};

static void go_on(struct changes *c);

/* ---- keys --------------------------------------------------------------------------------------
 */
static void key_add(struct changes *c, struct view table, struct view key)
{
    if (!keys_add(&c->waiting, table, key)) {
        LOG(LV_INFO, "snapshot.many_changes", KV("limit", KEYS_MAX));
        keys_clear(&c->waiting);
        c->want_load = true;
    }
}

/* ---- reading rows ------------------------------------------------------------------------------
 */
static void silence_check(struct changes *c);
static void round_step(struct changes *c);

static void round_over(struct changes *c, enum err e)
{
    bool moved = e == E_OK && c->round.horizon != 0;

    c->fetching = false;
    silence_check(c);
    if (e == E_OK) {
        for (size_t i = 0; i < c->round.heard.n; i++) {
            recent_add(&c->recent, c->round.heard.v[i]);
        }
        if (c->round.horizon != 0) {
            c->horizon = c->round.horizon;
            c->over->horizon = c->horizon;
        }
    } else if (e == E_NOMEM) {
        c->want_load = true;
    }
    keys_clear(&c->round); /* after a failure the table names them again: the horizon stayed */
    go_on(c);
    if (moved && !c->unshown) {
        atomic_store(&c->s->h_seq, c->horizon); /* not before it is shown */
    }
}

static void take_row(struct changes *c, struct patch *p)
{
    if (c->step == ROUND_BTIS) {
        const struct patch_bti *b = &p->btis[p->n_btis - 1];
        if (b->gone || b->row.revoked) {
            store_lost_rights(c->s, b->row.bti_id);
        }
    } else if (c->step == ROUND_LINES) {
        const struct patch_line *l = &p->lines[p->n_lines - 1];
        if (l->gone || l->row.barred) {
            store_lost_line(c->s, l->row.line_id);
        }
    }
}

static enum err take_plan(struct changes *c, const struct pg_result *r)
{
    enum err e = E_OK;

    if (c->step == ROUND_ROUTES) {
        patch_free(c->plan);
        c->plan = NULL;
        TRY(patch_new(&c->plan));
    }
    for (size_t i = 0; i < pg_rows(r); i++) {
        TRY(c->step == ROUND_ROUTES   ? load_route_row(c->plan, r, i)
            : c->step == ROUND_TRUNKS ? load_trunk_row(c->plan, r, i)
                                      : load_rule_row(c->plan, r, i));
    }
    if (c->step == ROUND_RULES) {
        TRY(patch_copy_plan(c->plan, c->over));
        c->unshown = true;
        patch_free(c->plan);
        c->plan = NULL;
    }
out:
    return e;
}

static enum err take_rows(struct changes *c, const struct pg_result *r)
{
    struct patch *p = c->over;
    enum err e = E_OK;

    if (patch_is_empty(p)) {
        c->over_since_ms = loop_now_ms(c->s->l);
    }
    if (c->step >= ROUND_ROUTES) {
        return take_plan(c, r);
    }
    c->unshown = c->unshown || c->step != ROUND_ACCOUNTS;
    for (size_t i = 0; e == E_OK && i < pg_rows(r); i++) {
        size_t before = p->n_lines + p->n_btis;
        switch (c->step) {
        case ROUND_BTIS:
            e = load_bti_row(p, r, i);
            break;
        case ROUND_LINES:
            e = load_line_row(p, r, i);
            break;
        case ROUND_ACCOUNTS:
            e = keys_add_id(&c->round.lines, pg_u64(r, i, 0)) ? E_OK : FAIL(E_NOMEM);
            break;
        case ROUND_ROUTES:
        case ROUND_TRUNKS:
        case ROUND_RULES:
        case ROUND_END:
            break;
        }
        if (e == E_OK && p->n_lines + p->n_btis > before) {
            take_row(c, p);
        }
    }
    return e;
}

static void on_rows(void *arg, enum err e, const struct pg_result *r)
{
    struct changes *c = arg;

    if (e != E_OK && e != E_IO) {
        LOG(LV_ERROR, "snapshot.read_failed", KV("sqlstate", pg_sqlstate(r)),
            KV("text", pg_message(r)));
    }
    if (e == E_OK) {
        e = take_rows(c, r);
    }
    if (e == E_OK) {
        c->step++;
        round_step(c);
    } else {
        round_over(c, e);
    }
}

static void ask(struct changes *c, const char *sql, char *list)
{
    const struct pg_param p = PG_TEXT(view_of(list));
    enum err e = list != NULL ? pg_query(c->pg, sql, &p, 1, on_rows, c) : FAIL(E_NOMEM);

    mem_free(list);
    if (e != E_OK) {
        round_over(c, e);
    }
}

static void round_step(struct changes *c)
{
    enum err e = E_OK;

    silence_check(c);
    if (c->step == ROUND_BTIS && c->round.btis.n == 0) {
        c->step++;
    }
    if (c->step == ROUND_ACCOUNTS && c->round.accounts.n == 0) {
        c->step++;
    }
    if (c->step == ROUND_LINES && c->round.lines.n == 0) {
        c->step++;
    }
    if (c->step == ROUND_ROUTES && !c->round.plan) {
        c->step = ROUND_END;
    }
    switch (c->step) {
    case ROUND_BTIS:
        ask(c, SQL_BTIS, keys_btis_text(&c->round.btis));
        return;
    case ROUND_ACCOUNTS:
        ask(c, SQL_ACCOUNTS, keys_ids_text(&c->round.accounts));
        return;
    case ROUND_LINES:
        ask(c, SQL_LINES, keys_ids_text(&c->round.lines));
        return;
    case ROUND_ROUTES:
    case ROUND_TRUNKS:
    case ROUND_RULES:
        e = pg_query(c->pg,
                     c->step == ROUND_ROUTES   ? SQL_ROUTES
                     : c->step == ROUND_TRUNKS ? SQL_TRUNKS
                                               : SQL_RULES,
                     NULL, 0, on_rows, c);
        if (e != E_OK) {
            round_over(c, e);
        }
        return;
    case ROUND_END:
        break;
    }
    round_over(c, E_OK);
}

static void round_start(struct changes *c)
{
    struct keys spare = c->round;

    c->round = c->waiting;
    c->waiting = spare;
    keys_clear(&c->waiting);
    keys_unique(&c->round);
    c->step = ROUND_BTIS;
    c->fetching = true;
    round_step(c);
}

/* ---- the numbered table ------------------------------------------------------------------------
 */
static void check_server(struct changes *c, struct view started)
{
    char text[sizeof c->server];

    if (view_to_cstr(started, text, sizeof text) != E_OK) {
        return;
    }
    if (c->server[0] != 0 && strcmp(c->server, text) != 0) {
        LOG(LV_INFO, "snapshot.server_changed", KV("started", (const char *)text));
        c->want_load = true;
    }
    memcpy(c->server, text, sizeof text);
}

static void on_poll(void *arg, enum err e, const struct pg_result *r)
{
    struct changes *c = arg;
    uint64_t horizon = 0;

    c->polling = false;
    silence_check(c);
    if (e != E_OK) {
        if (e != E_IO) {
            LOG(LV_ERROR, "snapshot.poll_failed", KV("sqlstate", pg_sqlstate(r)),
                KV("text", pg_message(r)));
        }
        return;
    }
    horizon = pg_u64(r, 0, 0);
    check_server(c, pg_text(r, 0, 1));
    if (horizon < c->horizon || pg_rows(r) > KEYS_MAX || c->horizon <= pg_u64(r, 0, 4)) {
        c->want_load = true; /* another database, too much for keys, or we were away too long */
    } else {
        for (size_t i = 0; i < pg_rows(r); i++) {
            if (!pg_is_null(r, i, 2) &&
                !recent_take(&c->recent,
                             recent_hash(&c->recent, pg_text(r, i, 2), pg_text(r, i, 3)))) {
                key_add(c, pg_text(r, i, 2), pg_text(r, i, 3));
            }
        }
        c->waiting.horizon = horizon;
        if (keys_empty(&c->waiting)) {
            c->horizon = horizon;
            atomic_store(&c->s->h_seq, horizon);
        }
    }
    go_on(c);
}

static void poll_now(struct changes *c)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRIu64, c->horizon);
    const struct pg_param p = PG_TEXT(view_from(text, (size_t)n));

    if (c->polling || c->fetching || c->horizon == 0 || c->load != NULL) {
        return;
    }
    c->polling = true; /* before: a connection that breaks at once answers from inside */
    silence_check(c);
    if (pg_query(c->pg, SQL_POLL, &p, 1, on_poll, c) != E_OK) {
        c->polling = false;
        silence_check(c);
    }
}

static void on_poll_timer(void *arg)
{
    struct changes *c = arg;

    if (pg_is_up(c->pg)) {
        poll_now(c);
        purge_if_due(&c->purge, c->s->l, c->pg);
    }
    IGNORE(loop_timer_start(c->s->l, &c->poll, POLL_MS, on_poll_timer, c), "its place is free");
}

/* ---- building and saving -----------------------------------------------------------------------
 */
/* Takes the caller's hold over. */
static void new_root(struct changes *c, struct held *h)
{
    if (c->root != NULL) {
        store_unhold(c->s, c->root);
    }
    c->root = h;
}

/* Rows that a whole snapshot has now. */
static enum err forget_rows(struct changes *c, uint64_t order)
{
    struct patch *rest = NULL;
    enum err e = patch_copy(c->over, order, &rest);

    if (e == E_OK) {
        patch_free(c->over);
        c->over = rest;
        c->over->horizon = c->horizon;
        c->over_since_ms = loop_now_ms(c->s->l);
    }
    return e;
}

/* What was read lies over the last whole snapshot at once, whatever that one's size. */
static enum err show(struct changes *c)
{
    struct snapshot *made = NULL;
    struct held *h = NULL;
    char why[160];
    enum err e = patch_overlay(c->root->snap, c->over, &made, why, sizeof why);

    c->unshown = false;
    if (e == E_OK) {
        e = store_wrap(c->s, made, c->root, &h);
    }
    if (e == E_OK) {
        store_publish(c->s, h, true);
        store_unhold(c->s, h);
    } else {
        LOG(e == E_EXISTS ? LV_INFO : LV_ERROR, "snapshot.overlay_failed", KV_ERR(e),
            KV("why", (const char *)why));
        c->over_since_ms = 0; /* a whole one, now */
    }
    return e;
}

static void build_work(void *arg)
{
    struct changes *c = arg;
    uint64_t from = clock_mono_ms(clock_system());

    c->build.e = patch_build(c->build.base->snap, c->build.patch, c->build.whole, &c->build.made,
                             &c->build.lost, c->build.why, sizeof c->build.why);
    c->build.us = (clock_mono_ms(clock_system()) - from) * 1000;
}

static void tell_losses(struct changes *c)
{
    for (size_t i = 0; i < c->build.lost.n_btis; i++) {
        store_lost_rights(c->s, c->build.lost.btis[i]);
    }
    for (size_t i = 0; i < c->build.lost.n_lines; i++) {
        store_lost_line(c->s, c->build.lost.lines[i]);
    }
}

/* Rows that came meanwhile lie over the new one from its first moment: nobody's right that ended
 * comes back, not even shortly. */
static enum err build_good(struct changes *c)
{
    struct store *s = c->s;
    struct held *h = NULL;
    enum err e = store_wrap(s, c->build.made, NULL, &h);

    TRY(e);
    new_root(c, h);
    TRY(forget_rows(c, c->build.order));
    if (patch_is_empty(c->over) || show(c) != E_OK) {
        store_publish(s, c->root, true);
    }
    tell_losses(c);
    c->unsaved = true;
    c->build_pause_ms = c->build.us / 1000 * 20; /* at most a twentieth of one processor */
    store_count(s, SM_REBUILDS, 1);
    metric_observe_us(s->cfg.metrics, s->cfg.metrics_slot, s->meter[SM_BUILD_TIME], c->build.us);
out:
    return e;
}

static void build_done(void *arg)
{
    struct changes *c = arg;
    enum err e = c->build.e;

    if (e == E_OK) {
        e = build_good(c);
    }
    if (e != E_OK) {
        LOG(LV_ERROR, "snapshot.build_failed", KV_ERR(e), KV("why", (const char *)c->build.why));
        c->want_load = true;
        c->not_before_ms = loop_now_ms(c->s->l) + RETRY_MS;
    }
    store_unhold(c->s, c->build.base);
    losses_fini(&c->build.lost);
    patch_free(c->build.patch);
    c->build.patch = NULL;
    c->build.made = NULL;
    go_on(c);
}

static void build_start(struct changes *c, struct patch *p, bool whole, uint64_t order)
{
    c->build.patch = p;
    c->build.whole = whole;
    c->build.order = order;
    c->build.made = NULL;
    c->build.base = store_hold_this(c->s, c->root);
    job_run(c->builder, build_work, build_done, c);
}

/* When the next whole snapshot is due; a failure waits. */
static uint64_t build_due_ms(const struct changes *c)
{
    uint64_t pause = c->build_pause_ms < BUILD_MAX_MS ? c->build_pause_ms : BUILD_MAX_MS;
    uint64_t due =
        patch_rows(c->over) > ROWS_OVER_MAX || c->over_since_ms == 0 ? 0 : c->over_since_ms + pause;

    return due > c->not_before_ms ? due : c->not_before_ms;
}

static void build_if_due(struct changes *c)
{
    struct patch *copy = NULL;

    if (patch_is_empty(c->over) || c->load != NULL || c->fetching || job_busy(c->builder) ||
        loop_now_ms(c->s->l) < build_due_ms(c)) {
        return;
    }
    if (patch_copy(c->over, 0, &copy) == E_OK) {
        build_start(c, copy, false, c->over->order);
    } else {
        c->not_before_ms = loop_now_ms(c->s->l) + RETRY_MS;
    }
}

static void save_work(void *arg)
{
    struct changes *c = arg;

    c->save_result = snapshot_save(c->saving->snap, c->s->cfg.snapshot_path);
}

static void save_done(void *arg)
{
    struct changes *c = arg;

    store_unhold(c->s, c->saving);
    c->saving = NULL;
    if (c->save_result != E_OK) {
        LOG(LV_ERROR, "snapshot.save_failed", KV("file", c->s->cfg.snapshot_path),
            KV_ERR(c->save_result));
        c->unsaved = true;
    }
    go_on(c);
}

static void on_timer(void *arg)
{
    go_on(arg);
}

static void save_if_due(struct changes *c)
{
    if (!c->unsaved || job_busy(c->saver) || loop_timer_active(&c->save_soon)) {
        return;
    }
    c->unsaved = false;
    c->saving = store_hold_this(c->s, c->root);
    job_run(c->saver, save_work, save_done, c);
    IGNORE(loop_timer_start(c->s->l, &c->save_soon, SAVE_MS, on_timer, c), "then the next change");
}

/* ---- reading everything ------------------------------------------------------------------------
 */
static void on_reap(void *arg)
{
    struct changes *c = arg;

    load_free(c->load);
    c->load = NULL;
    c->load_over = false;
    go_on(c);
}

static void on_loaded(struct store *s, enum err e, struct patch *all)
{
    struct changes *c = s->changes;

    c->load_over = true;
    if (e == E_OK) {
        store_count(s, SM_LOADS, 1);
        c->horizon = all->horizon;
        atomic_store(&s->h_seq, c->horizon);
        build_start(c, all, true, c->load_order);
    } else {
        LOG(LV_WARN, "snapshot.load_retry", KV_ERR(e), KV("after_ms", RETRY_MS));
        c->want_load = true;
        c->not_before_ms = loop_now_ms(s->l) + RETRY_MS;
    }
    if (loop_timer_start(s->l, &c->reap, 0, on_reap, c) != E_OK) {
        LOG(LV_ERROR, "snapshot.no_timer", KV_ERR(E_NOMEM));
    }
}

static void load_if_wanted(struct changes *c)
{
    if (!c->want_load || c->load != NULL || job_busy(c->builder) || !pg_is_up(c->pg) ||
        loop_now_ms(c->s->l) < c->not_before_ms) {
        return;
    }
    c->want_load = false;
    c->load_order = c->over->order; /* what is read from now on may be newer than the load */
    if (load_start(c->s, on_loaded, &c->load) != E_OK) {
        c->want_load = true;
        c->not_before_ms = loop_now_ms(c->s->l) + RETRY_MS;
    }
}

/* Everything that may be done now, is. */
static void go_on(struct changes *c)
{
    uint64_t now = loop_now_ms(c->s->l), due = 0;

    if (c->closing) {
        return;
    }
    if (c->unshown) {
        IGNORE(show(c), "then a whole one is built");
    }
    if (!c->fetching && !keys_empty(&c->waiting) && pg_is_up(c->pg)) {
        round_start(c);
    }
    load_if_wanted(c);
    build_if_due(c);
    save_if_due(c);
    due = c->want_load ? c->not_before_ms : !patch_is_empty(c->over) ? build_due_ms(c) : 0;
    if (due > now) {
        IGNORE(loop_timer_start(c->s->l, &c->build_soon, due - now, on_timer, c),
               "the next change does it");
    }
}

/* ---- the connection ----------------------------------------------------------------------------
 */
static void on_notify(void *arg, struct view channel, struct view payload)
{
    struct changes *c = arg;
    size_t colon = 0;

    (void)channel;
    if (!view_find(payload, ':', &colon)) {
        return;
    }
    struct view table = view_sub(payload, 0, colon);
    struct view key = view_sub(payload, colon + 1, payload.n);
    key_add(c, table, key);
    if (!keys_add_id(&c->waiting.heard, recent_hash(&c->recent, table, key))) {
        c->waiting.heard.n = 0; /* then they are read twice */
    }
    if (!loop_timer_active(&c->debounce)) {
        IGNORE(loop_timer_start(c->s->l, &c->debounce, DEBOUNCE_MS, on_timer, c),
               "the poll finds it");
    }
}

static void on_up(void *arg, bool up)
{
    struct changes *c = arg;

    atomic_store(&c->s->h_pg, up);
    store_gauge(c->s, SM_PG_UP, up);
    c->recent.n = 0;
    if (!up) {
        return;
    }
    if (c->horizon == 0) {
        c->want_load = true;
    } else {
        poll_now(c);
    }
    go_on(c);
}

static enum err open_pg(struct changes *c)
{
    static const char *const channels[] = {"hg_change", NULL};
    const struct pg_cfg pg = {.conninfo = c->s->cfg.conninfo,
                              .listen = channels,
                              .max_queue = 16,
                              .statement_timeout_ms = STATEMENT_MAX_MS,
                              .on_up = on_up,
                              .on_notify = on_notify,
                              .arg = c};

    return pg_open(c->s->l, &pg, &c->pg);
}

/* A server that went silent, with the connection still standing. */
static void on_silence(void *arg)
{
    struct changes *c = arg;

    LOG(LV_WARN, "postgres.silent", KV("after_ms", SILENT_MAX_MS));
    atomic_store(&c->s->h_pg, false);
    store_gauge(c->s, SM_PG_UP, 0);
    pg_close(c->pg); /* what is under way gets E_IO here */
    c->pg = NULL;
    if (open_pg(c) != E_OK) {
        bug_abort("no memory for a connection", __FILE__, __LINE__);
    }
}

static void silence_check(struct changes *c)
{
    loop_timer_stop(c->s->l, &c->silence);
    if (c->fetching || c->polling) {
        IGNORE(loop_timer_start(c->s->l, &c->silence, SILENT_MAX_MS, on_silence, c),
               "then the kernel has to find out");
    }
}

enum err changes_new(struct store *s, struct changes **out)
{
    struct changes *c = mem_zalloc(sizeof *c);
    enum err e = c != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    c->s = s;
    TRY(crypto_random(c->recent.hash_key, sizeof c->recent.hash_key));
    TRY(patch_new(&c->over));
    TRY(job_new(s->l, &c->builder));
    TRY(job_new(s->l, &c->saver));
    new_root(c, store_hold(s));
    *out = c;
    c = NULL;
out:
    changes_free(c);
    return e;
}

enum err changes_open(struct changes *c)
{
    enum err e = loop_timer_start(c->s->l, &c->poll, POLL_MS, on_poll_timer, c);

    return e == E_OK ? open_pg(c) : e;
}

void changes_free(struct changes *c)
{
    if (c == NULL) {
        return;
    }
    c->closing = true;
    load_free(c->load);
    pg_close(c->pg);
    job_free(c->builder);
    job_free(c->saver);
    loop_timer_stop(c->s->l, &c->debounce);
    loop_timer_stop(c->s->l, &c->poll);
    loop_timer_stop(c->s->l, &c->build_soon);
    loop_timer_stop(c->s->l, &c->save_soon);
    loop_timer_stop(c->s->l, &c->reap);
    loop_timer_stop(c->s->l, &c->silence);
    if (c->root != NULL) {
        store_unhold(c->s, c->root);
    }
    if (c->build.patch != NULL) {
        store_unhold(c->s, c->build.base);
    }
    if (c->saving != NULL) {
        store_unhold(c->s, c->saving);
    }
    snapshot_free(c->build.made);
    patch_free(c->build.patch);
    patch_free(c->over);
    patch_free(c->plan);
    losses_fini(&c->build.lost);
    keys_fini(&c->waiting);
    keys_fini(&c->round);
    mem_free(c);
}

bool changes_up(const struct changes *c)
{
    return pg_is_up(c->pg);
}

void changes_look(struct changes *c)
{
    if (changes_up(c)) {
        poll_now(c);
    }
}

uint64_t changes_seq(const struct changes *c)
{
    return c->horizon;
}

bool changes_bti_allowed(const struct changes *c, const uint8_t bti_id[16])
{
    const struct patch_bti *p = c->unshown ? patch_find_bti(c->over, bti_id) : NULL;
    const struct bti_row *row = NULL;

    if (p != NULL) {
        return !p->gone && !p->row.revoked;
    }
    row = snapshot_bti(c->s->current->snap, bti_id);
    return row == NULL || !row->revoked;
}
