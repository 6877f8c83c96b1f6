#include "admin_api/checkpoint.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/ec_sign.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/pg.h"

enum { LOOK_MAX_MS = 1000, STATEMENT_MAX_MS = 15000, HASH_CHARS = 2 * SHA256_BYTES, AT_CHARS = 27 };

struct head { /* a row of the log */
    uint64_t seq;
    char hash[HASH_CHARS + 1];
};

struct checkpoints {
    struct ec_key *key;
    char key_id[CHECKPOINT_KEY_ID_CHARS + 1], public_key[CHECKPOINT_PEM_MAX];
    char *conninfo;
    uint64_t rows, every_ms, look_ms;
    pthread_t thread; /* the rest is its own */
    struct loop *l;
    struct loop_wake *end;
    struct loop_timer timer;
    struct pg *pg;
    struct head next, last; /* being written; the last one that this process signed */
    bool busy, broken;
};

/* The log's last row; how far the last checkpoint is behind it, in rows and in time; and whether
 * the row that we signed last is still there. */
static const char SQL_LOOK[] =
    "SELECT coalesce(a.seq, 0), encode(a.hash, 'hex'), coalesce(c.seq, 0), "
    "coalesce(floor(extract(epoch FROM clock_timestamp() - c.at) * 1000)::bigint, "
    "9223372036854775807), $1::bigint = 0 OR EXISTS (SELECT FROM core.audit x WHERE x.seq = "
    "$1::bigint AND x.hash = decode($2, 'hex')) FROM (SELECT) one LEFT JOIN (SELECT seq, hash FROM "
    "core.audit ORDER BY seq DESC LIMIT 1) a ON true LEFT JOIN (SELECT seq, at FROM "
    "core.audit_checkpoint ORDER BY seq DESC LIMIT 1) c ON true";
static const char SQL_WRITE[] =
    "INSERT INTO core.audit_checkpoint (seq, hash, at, key_id, signature) VALUES ($1::bigint, "
    "decode($2, 'hex'), $3::timestamptz, $4, $5) ON CONFLICT (seq) DO NOTHING";

size_t checkpoint_text(char out[CHECKPOINT_TEXT_MAX], uint64_t seq, const char *hash,
                       const char *at)
{
    int n = snprintf(out, CHECKPOINT_TEXT_MAX, "headgate audit checkpoint\n%" PRIu64 "\n%s\n%s\n",
                     seq, hash, at);

    BUG_ON(n < 0 || n >= CHECKPOINT_TEXT_MAX);
    return (size_t)n;
}

static void time_text(char out[AT_CHARS + 1], uint64_t us)
{
    time_t s = (time_t)(us / 1000000);
    struct tm t;
    char text[24] = "1970-01-01T00:00:00";

    if (gmtime_r(&s, &t) != NULL) {
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &t);
    }
    snprintf(out, AT_CHARS + 1, "%.19s.%06uZ", text, (unsigned)(us % 1000000));
}

/* ---- signing -----------------------------------------------------------------------------------
 */
static void on_written(void *arg, enum err e, const struct pg_result *r)
{
    struct checkpoints *c = arg;

    c->busy = false;
    if (e != E_OK) {
        LOG(LV_ERROR, "audit.no_checkpoint", KV_ERR(e), KV("text", pg_message(r)));
        return;
    }
    c->last = c->next;
    if (pg_affected(r) ==
        1) { /* the journal of this machine is a place out of the database's reach */
        LOG(LV_INFO, "audit.checkpoint", KV("seq", c->last.seq), KV("hash", c->last.hash),
            KV("key_id", c->key_id));
    }
}

static enum err sign_and_write(struct checkpoints *c)
{
    char text[CHECKPOINT_TEXT_MAX], at[AT_CHARS + 1], seq[24];
    uint8_t signature[EC_SIGNATURE_BYTES];
    enum err e = E_OK;

    time_text(at, clock_wall_us(clock_system()));
    snprintf(seq, sizeof seq, "%" PRIu64, c->next.seq);
    TRY(ec_sign(c->key, view_from(text, checkpoint_text(text, c->next.seq, c->next.hash, at)),
                signature));
    const struct pg_param params[] = {PG_TEXT(view_of(seq)), PG_TEXT(view_of(c->next.hash)),
                                      PG_TEXT(view_of(at)), PG_TEXT(view_of(c->key_id)),
                                      PG_BYTES(view_from(signature, sizeof signature))};
    TRY(pg_query(c->pg, SQL_WRITE, params, 5, on_written, c));
out:
    return e;
}

static void on_look(void *arg, enum err e, const struct pg_result *r)
{
    struct checkpoints *c = arg;
    uint64_t seq = pg_u64(r, 0, 0), before = pg_u64(r, 0, 2), age_ms = pg_u64(r, 0, 3);

    c->busy = false;
    if (e != E_OK || pg_rows(r) != 1) {
        return; /* away: base/pg.c says so */
    }
    if (!pg_bool(r, 0, 4)) {
        if (!c->broken) {
            LOG(LV_ERROR, "audit.broken", KV("seq", c->last.seq), KV("hash", c->last.hash));
        }
        c->broken = true;
        return;
    }
    c->broken = false;
    if (seq <= before || (seq - before < c->rows && age_ms < c->every_ms)) {
        return;
    }
    c->next.seq = seq;
    if (view_to_cstr(pg_text(r, 0, 1), c->next.hash, sizeof c->next.hash) == E_OK) {
        e = sign_and_write(c);
        c->busy = e == E_OK;
    }
    if (e != E_OK) {
        LOG(LV_ERROR, "audit.no_checkpoint", KV_ERR(e), KV("seq", seq));
    }
}

static void look(void *arg)
{
    struct checkpoints *c = arg;
    char seq[24];

    if (loop_timer_start(c->l, &c->timer, c->look_ms, look, c) != E_OK) {
        LOG(LV_ERROR, "audit.no_checkpoint", KV("text", "no memory for a timer"));
    }
    if (!c->busy && pg_is_up(c->pg)) {
        snprintf(seq, sizeof seq, "%" PRIu64, c->last.seq);
        const struct pg_param params[] = {PG_TEXT(view_of(seq)), PG_TEXT(view_of(c->last.hash))};
        c->busy = pg_query(c->pg, SQL_LOOK, params, 2, on_look, c) == E_OK;
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */
static void on_end(void *arg)
{
    loop_stop(((struct checkpoints *)arg)->l);
}

static void *run(void *arg)
{
    loop_run(((struct checkpoints *)arg)->l);
    return NULL;
}

static void parts_free(struct checkpoints *c)
{
    if (c == NULL) {
        return;
    }
    if (c->l != NULL) {
        loop_timer_stop(c->l, &c->timer);
    }
    pg_close(c->pg);
    if (c->end != NULL) {
        loop_wake_free(c->end);
    }
    if (c->l != NULL) {
        loop_free(c->l);
    }
    ec_key_free(c->key);
    mem_free(c->conninfo);
    mem_free(c);
}

static enum err take_key(struct checkpoints *c, const char *path, char *why, size_t why_bytes)
{
    uint8_t id[SHA256_BYTES];
    char hex[HASH_CHARS + 1];
    enum err e = ec_key_load(path, &c->key);

    if (e != E_OK) {
        snprintf(why, why_bytes, "%s: %s", path,
                 e == E_DENIED  ? "others than its owner may read it"
                 : e == E_PARSE ? "holds no P-256 key in PEM"
                                : err_text(e));
        return e;
    }
    e = ec_key_public(c->key, c->public_key, sizeof c->public_key, id);
    if (e == E_OK) {
        hex_put(id, sizeof id, hex);
        memcpy(c->key_id, hex, CHECKPOINT_KEY_ID_CHARS);
    }
    return e;
}

static enum err start(struct checkpoints *c)
{
    const struct pg_cfg cfg = {.conninfo = c->conninfo,
                               .max_queue = 4,
                               .statement_timeout_ms = STATEMENT_MAX_MS,
                               .arg = c};
    sigset_t all, before;
    enum err e = loop_new(clock_system(), &c->l);

    TRY(e);
    TRY(loop_wake_new(c->l, on_end, c, &c->end));
    TRY(pg_open(c->l, &cfg, &c->pg));
    TRY(loop_timer_start(c->l, &c->timer, c->look_ms, look, c));
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    e = pthread_create(&c->thread, NULL, run, c) == 0 ? E_OK : FAIL(E_NOMEM);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
out:
    return e;
}

enum err checkpoints_open(const struct checkpoints_cfg *cfg, struct checkpoints **out, char *why,
                          size_t why_bytes)
{
    struct checkpoints *c = mem_zalloc(sizeof *c);
    enum err e = c != NULL ? E_OK : FAIL(E_NOMEM);

    snprintf(why, why_bytes, "out of memory");
    TRY(e);
    BUG_ON(cfg->rows == 0 || cfg->every_ms == 0);
    c->rows = cfg->rows;
    c->every_ms = cfg->every_ms;
    c->look_ms = cfg->every_ms < LOOK_MAX_MS ? cfg->every_ms : LOOK_MAX_MS;
    c->conninfo = mem_strdup(cfg->conninfo);
    TRY(c->conninfo != NULL ? E_OK : FAIL(E_NOMEM));
    TRY(take_key(c, cfg->key, why, why_bytes));
    TRY(start(c));
    *out = c;
    c = NULL;
out:
    parts_free(c);
    return e;
}

void checkpoints_close(struct checkpoints *c)
{
    if (c != NULL) {
        loop_wake_send(c->end);
        pthread_join(c->thread, NULL);
        parts_free(c);
    }
}

const char *checkpoints_key_id(const struct checkpoints *c)
{
    return c->key_id;
}

const char *checkpoints_public_key(const struct checkpoints *c)
{
    return c->public_key;
}
