/* What a line asks of the database by feature codes: its own service record, traces, its last call.
 * A connection of its own, so that a batch of call records holds nobody up. Questions are few (a
 * person pressed keys): a lock, no ring. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gc/store_int.h"

#define ASKS_MAX         256 /* open at a time */
#define STATEMENT_MAX_MS 2000

struct asked { /* on its way to the database */
    struct asks *of;
    struct line_ask ask;
    struct asked *next;
};

struct asks {
    struct store *s;
    struct pg *pg;
    struct loop_wake *wake;
    pthread_mutex_t lock; /* first, last, open */
    struct asked *first, *last;
    unsigned open;
    bool closing;
};

static const char *const SETTINGS[] = {
    [LINE_SET_REJECTS_ANONYMOUS] = "rejects_anonymous",
    [LINE_SET_FORWARD_ALWAYS] = "forward_always",
    [LINE_SET_FORWARD_BUSY] = "forward_busy",
    [LINE_SET_FORWARD_NO_ANSWER] = "forward_no_answer",
};

/* ---- the worker's side -------------------------------------------------------------------------
 */
/* Octets from the network: what is not printable ASCII would make the server refuse the text. */
static void clean(char *text, size_t max)
{
    text[max - 1] = 0;
    for (size_t i = 0; text[i] != 0; i++) {
        text[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    }
}

enum err asks_push(struct asks *k, const struct line_ask *ask)
{
    struct asked *a = NULL;
    enum err e = E_OK;

    BUG_ON(ask->kind > LINE_ASK_LAST_CALL || ask->setting > LINE_SET_FORWARD_NO_ANSWER);
    a = mem_zalloc(sizeof *a);
    if (a == NULL) {
        return FAIL(E_NOMEM);
    }
    a->of = k;
    a->ask = *ask;
    clean(a->ask.value, sizeof a->ask.value);
    clean(a->ask.known.caller, sizeof a->ask.known.caller);
    clean(a->ask.known.called, sizeof a->ask.known.called);
    clean(a->ask.known.call_id, sizeof a->ask.known.call_id);
    pthread_mutex_lock(&k->lock);
    if (k->open >= ASKS_MAX) {
        e = FAIL(E_FULL);
    } else {
        k->open++;
        *(k->last != NULL ? &k->last->next : &k->first) = a;
        k->last = a;
    }
    pthread_mutex_unlock(&k->lock);
    if (e == E_OK) {
        loop_wake_send(k->wake);
    } else {
        mem_free(a);
    }
    return e;
}

/* ---- answers -----------------------------------------------------------------------------------
 */
/* Refused for what it asked, or nobody there to ask? A connection that broke half way leaves it
 * open whether the change was made: the subscriber is told that it was not, and asks again. */
static enum err kind_of(enum err e)
{
    return e == E_OK || e == E_NOTFOUND                     ? e
           : e == E_DENIED || e == E_EXISTS || e == E_RANGE ? FAIL(E_DENIED)
                                                            : FAIL(E_IO);
}

static void answer(struct asked *a, enum err e, const struct last_call *last)
{
    struct asks *k = a->of;
    struct line_answer out = {.worker = a->ask.worker, .ticket = a->ask.ticket, .e = kind_of(e)};

    if (last != NULL) {
        out.last = *last;
    }
    pthread_mutex_lock(&k->lock);
    k->open--;
    pthread_mutex_unlock(&k->lock);
    mem_free(a);
    if (!k->closing && k->s->cfg.on_line_answer != NULL) {
        k->s->cfg.on_line_answer(k->s->cfg.arg, &out);
    }
}

static void read_last(const struct pg_result *r, struct last_call *out)
{
    *out = (struct last_call){.started_us = pg_u64(r, 0, 0), .is_private = pg_bool(r, 0, 4)};
    if (view_to_cstr(pg_text(r, 0, 1), out->caller, sizeof out->caller) != E_OK ||
        view_to_cstr(pg_text(r, 0, 2), out->called, sizeof out->called) != E_OK ||
        view_to_cstr(pg_text(r, 0, 3), out->call_id, sizeof out->call_id) != E_OK) {
        *out = (struct last_call){.started_us = 0}; /* no record of ours is that long */
    }
}

static void on_rows(void *arg, enum err e, const struct pg_result *r)
{
    struct asked *a = arg;
    struct last_call last = a->ask.known, stored = {.started_us = 0};

    if (e != E_OK && e != E_IO) {
        LOG(LV_WARN, "line.ask_refused", KV("line", a->ask.line_id), KV("kind", (int)a->ask.kind),
            KV("sqlstate", pg_sqlstate(r)), KV("text", pg_message(r)));
    }
    if (e != E_OK || a->ask.kind == LINE_ASK_SET) {
        answer(a, e, NULL);
        return;
    }
    if (a->ask.kind == LINE_ASK_TRACE) {
        answer(a, pg_rows(r) == 1 && pg_bool(r, 0, 0) ? E_OK : FAIL(E_NOTFOUND), NULL);
        return;
    }
    if (pg_rows(r) == 1) {
        read_last(r, &stored);
    }
    if (stored.started_us > last.started_us) {
        last = stored;
    }
    answer(a, last.started_us != 0 ? E_OK : FAIL(E_NOTFOUND), &last);
}

/* ---- questions ---------------------------------------------------------------------------------
 */
static enum err query(struct asks *k, struct asked *a)
{
    const struct line_ask *q = &a->ask;
    const struct last_call *c = &q->known;
    char line[24], us[24];
    struct pg_param p[7] = {
        PG_TEXT(view_from(line, (size_t)snprintf(line, sizeof line, "%" PRIu64, q->line_id)))};

    switch (q->kind) {
    case LINE_ASK_SET:
        p[1] = PG_TEXT(view_of(SETTINGS[q->setting]));
        p[2] = q->value[0] != 0 ? PG_TEXT(view_of(q->value)) : PG_NULL;
        return pg_query(k->pg, "SELECT core.set_line_service($1, $2, $3)", p, 3, on_rows, a);
    case LINE_ASK_TRACE:
        p[1] = PG_TEXT(view_of(k->s->cfg.node));
        p[2] = PG_TEXT(view_from(us, (size_t)snprintf(us, sizeof us, "%" PRIu64, c->started_us)));
        p[3] = PG_TEXT(view_of(c->caller));
        p[4] = PG_TEXT(view_of(c->called));
        p[5] = PG_TEXT(view_of(c->call_id));
        p[6] = PG_TEXT(c->is_private ? VIEW("t") : VIEW("f"));
        return pg_query(k->pg, "SELECT trace.note_last_call($1, $2, $3, $4, $5, $6, $7)", p, 7,
                        on_rows, a);
    case LINE_ASK_LAST_CALL:
        return pg_query(
            k->pg,
            "SELECT (extract(epoch FROM started_at) * 1000000)::bigint, caller, called, "
            "call_id, private FROM core.last_call($1)",
            p, 1, on_rows, a);
    }
    BUG_ON(true);
}

static struct asked *take(struct asks *k)
{
    struct asked *a = NULL;

    pthread_mutex_lock(&k->lock);
    a = k->first;
    if (a != NULL) {
        k->first = a->next;
        k->last = k->first != NULL ? k->last : NULL;
    }
    pthread_mutex_unlock(&k->lock);
    return a;
}

static void on_wake(void *arg)
{
    struct asks *k = arg;
    struct asked *a = NULL;

    while ((a = take(k)) != NULL) {
        enum err e = query(k, a);
        if (e != E_OK) {
            answer(a, e, NULL);
        }
    }
}

/* What a subscriber is told is done is on the server's disk, whatever the server's own default. */
static void on_up(void *arg, bool up)
{
    struct asks *k = arg;

    if (up) {
        IGNORE(pg_query(k->pg, "SET synchronous_commit = on", NULL, 0, NULL, NULL),
               "a connection that breaks now is told as such");
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */
enum err asks_new(struct store *s, struct asks **out)
{
    struct asks *k = mem_zalloc(sizeof *k);
    enum err e = k != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    k->s = s;
    BUG_ON(pthread_mutex_init(&k->lock, NULL) != 0);
    TRY(loop_wake_new(s->l, on_wake, k, &k->wake));
    *out = k;
    k = NULL;
out:
    asks_free(k);
    return e;
}

enum err asks_open(struct asks *k)
{
    const struct pg_cfg pg = {.conninfo = k->s->cfg.conninfo,
                              .max_queue = ASKS_MAX,
                              .statement_timeout_ms = STATEMENT_MAX_MS,
                              .on_up = on_up,
                              .arg = k};

    return pg_open(k->s->l, &pg, &k->pg);
}

void asks_free(struct asks *k)
{
    struct asked *a = NULL;

    if (k == NULL) {
        return;
    }
    k->closing = true; /* nobody waits for an answer any more */
    pg_close(k->pg);
    while ((a = take(k)) != NULL) {
        mem_free(a);
    }
    loop_wake_free(k->wake);
    pthread_mutex_destroy(&k->lock);
    mem_free(k);
}
