/* The thread that keeps the table of principals current, writes refusals to the audit log, and
 * tells the database which tokens are in use. */
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/principal_int.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    TICK_MS = 1000,
    RELOAD_MS = 60000, /* even when nobody says that something changed */
    END_MS = 2000,
    STATEMENT_MAX_MS = 15000,
    QUEUE_MAX = 16,
    USED_AT_ONCE = 256
};

static const char *const CHANNELS[] = {"hg_principals", NULL};

static void load(struct principals *p);

static uint64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

/* ---- the table ---------------------------------------------------------------------------------
 */
static void set_fresh(struct principals *p, bool fresh)
{
    pthread_mutex_lock(&p->lock);
    if (!fresh && p->is_fresh) {
        p->fresh_ms = now_ms();
    }
    p->is_fresh = fresh;
    pthread_mutex_unlock(&p->lock);
}

/* Marks of use, before they are forgotten with their table. */
static void tell_used(struct principals *p, struct principal_table *t)
{
    uint64_t ids[USED_AT_ONCE];
    char list[USED_AT_ONCE * 21 + 3] = "{";
    size_t n = 0, at = 1;

    n = t != NULL ? principal_tokens_used(t, ids, USED_AT_ONCE) : 0;
    for (size_t i = 0; i < n; i++) {
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%" PRIu64, i > 0 ? "," : "", ids[i]);
    }
    if (n > 0) {
        snprintf(list + at, sizeof list - at, "}");
        const struct pg_param param = PG_TEXT(view_of(list));
        IGNORE(pg_query(p->pg,
                        "UPDATE core.token SET last_used_at = date_trunc('hour', now()) WHERE "
                        "token_id = ANY ($1::bigint[]) AND last_used_at IS DISTINCT FROM "
                        "date_trunc('hour', now())",
                        &param, 1, NULL, NULL),
               "the hour of its use is for people; the next one tells it");
    }
}

static void exchange(struct principals *p, struct principal_table *fresh)
{
    struct principal_table *old = NULL;

    pthread_rwlock_wrlock(&p->table_lock);
    old = p->table;
    p->table = fresh;
    pthread_rwlock_unlock(&p->table_lock);
    tell_used(p, old);
    principal_table_free(old);
}

static void on_table(void *arg, enum err e, const struct pg_result *r)
{
    struct principals *p = arg;
    struct principal_table *t = NULL;

    p->loading = false;
    if (e == E_OK) {
        e = principal_table_read(r, &t);
    }
    if (e == E_OK) {
        exchange(p, t);
        set_fresh(p, true);
    } else {
        LOG(LV_ERROR, "admin.principals", KV_ERR(e), KV("text", pg_message(r)));
        set_fresh(p, false);
    }
    pthread_mutex_lock(&p->lock);
    p->answered = e == E_OK ? p->loading_for : p->answered;
    pthread_cond_broadcast(&p->turned);
    pthread_mutex_unlock(&p->lock);
    if (e == E_OK && p->again) {
        load(p);
    }
}

static void load(struct principals *p)
{
    if (p->loading || !pg_is_up(p->pg)) {
        p->again = true;
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->loading_for = p->asked;
    pthread_mutex_unlock(&p->lock);
    p->loading = true;
    p->again = false;
    p->reload_ms = now_ms() + RELOAD_MS;
    if (pg_query(p->pg, principal_table_sql, NULL, 0, on_table, p) != E_OK) {
        p->loading = false;
        p->again = true;
    }
}

static void on_notify(void *arg, struct view channel, struct view payload)
{
    (void)channel;
    (void)payload;
    load(arg);
}

/* ---- refusals ----------------------------------------------------------------------------------
 */
static json_t *detail_of(const struct note *n, uint64_t times)
{
    json_t *o = json_object();

    json_object_set_new(o, "why", json_string(n->why));
    json_object_set_new(o, "how", json_string(n->how));
    json_object_set_new(o, "source", json_string(n->source));
    json_object_set_new(o, "times", json_integer((json_int_t)times));
    if (n->token_id != 0) {
        json_object_set_new(o, "token_id", json_integer((json_int_t)n->token_id));
    }
    return o;
}

static void write_next(struct principals *p);

/* What the database will never take is not asked again; the log line was written. */
static void on_noted(void *arg, enum err e, const struct pg_result *r)
{
    struct principals *p = arg;
    bool is_done = e == E_OK || e == E_DENIED || e == E_RANGE || e == E_EXISTS;

    p->writing = false;
    if (e != E_OK) {
        LOG(LV_ERROR, "admin.refusal_lost", KV_ERR(e), KV("text", pg_message(r)),
            KV("again", (int)!is_done));
    }
    pthread_mutex_lock(&p->lock);
    notes_written(p->notes, is_done);
    pthread_mutex_unlock(&p->lock);
    if (is_done) {
        write_next(p);
    }
}

static bool write_one(struct principals *p, const struct note *n, uint64_t times)
{
    json_t *o = detail_of(n, times);
    char *detail = json_dumps(o, JSON_COMPACT);
    bool sent = false;

    if (detail != NULL) {
        const struct pg_param params[] = {PG_TEXT(view_of(n->person)), PG_TEXT(view_of(n->request)),
                                          PG_TEXT(view_of(n->object)), PG_TEXT(view_of(detail))};
        sent = pg_query(p->pg, "SELECT core.note_refusal($1, $2, $3, $4::jsonb)", params, 4,
                        on_noted, p) == E_OK;
    }
    free(detail); /* jansson allocated it */
    json_decref(o);
    return sent;
}

static void write_next(struct principals *p)
{
    struct note n;
    uint64_t times = 0;
    bool due = false, closing = false;

    if (p->writing) {
        return;
    }
    pthread_mutex_lock(&p->lock);
    due = pg_is_up(p->pg) && notes_due(p->notes, now_ms(), &n, &times);
    closing = p->closing;
    pthread_mutex_unlock(&p->lock);
    if (!due) {
        if (closing) {
            loop_stop(p->l);
        }
        return;
    }
    LOG(LV_WARN, "admin.refused", KV("person", n.person), KV("object", n.object), KV("why", n.why),
        KV("source", n.source), KV("request", n.request), KV("times", times));
    p->writing = write_one(p, &n, times);
    if (!p->writing) {
        pthread_mutex_lock(&p->lock);
        notes_written(p->notes, false);
        pthread_mutex_unlock(&p->lock);
    }
}

/* ---- each second -------------------------------------------------------------------------------
 */
static void on_tick(void *arg)
{
    struct principals *p = arg;

    if (loop_timer_start(p->l, &p->tick, TICK_MS, on_tick, p) != E_OK) {
        LOG(LV_ERROR, "admin.principals", KV("text", "no memory for a timer"));
    }
    if (!pg_is_up(p->pg)) {
        return;
    }
    if (p->again || now_ms() >= p->reload_ms) {
        load(p);
    }
    tell_used(p, p->table); /* this thread alone exchanges it */
    write_next(p);
}

static void on_up(void *arg, bool up)
{
    struct principals *p = arg;

    pthread_mutex_lock(&p->lock);
    p->is_up = up;
    pthread_mutex_unlock(&p->lock);
    if (up) {
        load(p);
        write_next(p);
    } else {
        set_fresh(p, false);
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */
static void on_end(void *arg)
{
    loop_stop(((struct principals *)arg)->l);
}

static void on_wake(void *arg)
{
    struct principals *p = arg;
    bool closing = false, wanted = false;

    pthread_mutex_lock(&p->lock);
    closing = p->closing;
    wanted = p->asked > p->answered;
    if (closing) {
        notes_flush(p->notes);
    }
    pthread_mutex_unlock(&p->lock);
    if (closing && !loop_timer_active(&p->end) &&
        loop_timer_start(p->l, &p->end, END_MS, on_end, p) != E_OK) {
        loop_stop(p->l);
    }
    if (wanted && !closing) {
        load(p);
    }
    write_next(p);
}

static void *run(void *arg)
{
    loop_run(((struct principals *)arg)->l);
    return NULL;
}

static void free_parts(struct principals *p)
{
    if (p->l != NULL) {
        loop_timer_stop(p->l, &p->tick);
        loop_timer_stop(p->l, &p->end);
    }
    pg_close(p->pg);
    if (p->wake != NULL) {
        loop_wake_free(p->wake);
    }
    if (p->l != NULL) {
        loop_free(p->l);
    }
    p->pg = NULL;
    p->wake = NULL;
    p->l = NULL;
}

enum err follow_start(struct principals *p)
{
    const struct pg_cfg cfg = {.conninfo = p->conninfo,
                               .listen = CHANNELS,
                               .max_queue = QUEUE_MAX,
                               .statement_timeout_ms = STATEMENT_MAX_MS,
                               .on_up = on_up,
                               .on_notify = on_notify,
                               .arg = p};
    sigset_t all, before;
    enum err e = loop_new(clock_system(), &p->l);

    TRY(e);
    TRY(loop_wake_new(p->l, on_wake, p, &p->wake));
    TRY(pg_open(p->l, &cfg, &p->pg));
    TRY(loop_timer_start(p->l, &p->tick, TICK_MS, on_tick, p));
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    e = pthread_create(&p->thread, NULL, run, p) == 0 ? E_OK : FAIL(E_NOMEM);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
out:
    if (e != E_OK) {
        free_parts(p);
    }
    return e;
}

void follow_stop(struct principals *p)
{
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->turned);
    pthread_mutex_unlock(&p->lock);
    loop_wake_send(p->wake);
    pthread_join(p->thread, NULL);
    free_parts(p);
}
