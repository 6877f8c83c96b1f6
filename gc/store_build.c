/* Making whole snapshots: of the last one and the rows over it, or of everything; and the file. */
#include "gc/store_snapshot_int.h"

#define SAVE_MS       1000
#define RETRY_MS      5000
#define ROWS_OVER_MAX 5000  /* laid over a snapshot; past it a whole one is built */
#define BUILD_MAX_MS  30000 /* the longest time without one */

/* Takes the caller's hold over. */
void changes_new_root(struct changes *c, struct held *h)
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
enum err changes_show(struct changes *c)
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
    changes_new_root(c, h);
    TRY(forget_rows(c, c->build.order));
    if (patch_is_empty(c->over) || changes_show(c) != E_OK) {
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
    changes_go_on(c);
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
uint64_t changes_build_due_ms(const struct changes *c)
{
    uint64_t pause = c->build_pause_ms < BUILD_MAX_MS ? c->build_pause_ms : BUILD_MAX_MS;
    uint64_t due =
        patch_rows(c->over) > ROWS_OVER_MAX || c->over_since_ms == 0 ? 0 : c->over_since_ms + pause;

    return due > c->not_before_ms ? due : c->not_before_ms;
}

void changes_build(struct changes *c)
{
    struct patch *copy = NULL;

    if (patch_is_empty(c->over) || c->load != NULL || c->fetching || job_busy(c->builder) ||
        loop_now_ms(c->s->l) < changes_build_due_ms(c)) {
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
    changes_go_on(c);
}

void changes_save(struct changes *c)
{
    if (!c->unsaved || job_busy(c->saver) || loop_timer_active(&c->save_soon)) {
        return;
    }
    c->unsaved = false;
    c->saving = store_hold_this(c->s, c->root);
    job_run(c->saver, save_work, save_done, c);
    IGNORE(loop_timer_start(c->s->l, &c->save_soon, SAVE_MS, changes_on_timer, c),
           "then the next change");
}

/* ---- reading everything ------------------------------------------------------------------------
 */
static void on_reap(void *arg)
{
    struct changes *c = arg;

    load_free(c->load);
    c->load = NULL;
    c->load_over = false;
    changes_go_on(c);
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

void changes_load(struct changes *c)
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
