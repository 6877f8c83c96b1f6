/* Keeping the snapshot current. A NOTIFY names a key: its rows are read at once, and who lost
 * rights by them is put out at once; the new snapshot follows when it is built. The numbered table
 * is read every two seconds, so that nothing is missed while a connection was away. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "gc/store_snapshot_int.h"

#define POLL_ROWS        "20001" /* one more than KEYS_MAX */
#define STATEMENT_MAX_MS 5000
#define SILENT_MAX_MS    8000 /* an answer that takes longer: the connection is dead */
#define DEBOUNCE_MS      5
#define POLL_MS          2000

#define SQL_POLL                                                                                   \
    "SELECT s.x::text, pg_postmaster_start_time()::text, c.tbl, c.key, p.xid::text FROM "          \
    "(SELECT pg_snapshot_xmin(pg_current_snapshot()) AS x) s CROSS JOIN core.change_purged p "     \
    "LEFT JOIN core.change_log c ON "                                                              \
    "c.xid >= $1::xid8 AND c.xid < s.x ORDER BY c.seq LIMIT " POLL_ROWS

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
    changes_silence_check(c);
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
    changes_go_on(c);
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
    changes_silence_check(c);
    if (pg_query(c->pg, SQL_POLL, &p, 1, on_poll, c) != E_OK) {
        c->polling = false;
        changes_silence_check(c);
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

/* ---- what comes next ----------------------------------------------------------------------------
 */
/* Everything that may be done now, is. */
void changes_go_on(struct changes *c)
{
    uint64_t now = loop_now_ms(c->s->l), due = 0;

    if (c->closing) {
        return;
    }
    if (c->unshown) {
        IGNORE(changes_show(c), "then a whole one is built");
    }
    if (!c->fetching && !keys_empty(&c->waiting) && pg_is_up(c->pg)) {
        changes_round(c);
    }
    changes_load(c);
    changes_build(c);
    changes_save(c);
    due = c->want_load ? c->not_before_ms : !patch_is_empty(c->over) ? changes_build_due_ms(c) : 0;
    if (due > now) {
        IGNORE(loop_timer_start(c->s->l, &c->build_soon, due - now, changes_on_timer, c),
               "the next change does it");
    }
}

void changes_on_timer(void *arg)
{
    changes_go_on(arg);
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
        IGNORE(loop_timer_start(c->s->l, &c->debounce, DEBOUNCE_MS, changes_on_timer, c),
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
    changes_go_on(c);
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

void changes_silence_check(struct changes *c)
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
    changes_new_root(c, store_hold(s));
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
