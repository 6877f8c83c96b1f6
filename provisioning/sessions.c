/* Later sessions (seed: "in future sessions ..."): keys for the gate controllers, without a user.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "provisioning/prov.h"

#define US_A_MS 1000ull

/* A request that was granted, on its way through PostgreSQL and Redis: the answer leaves last. */
struct grant {
    struct prov *prov;
    struct session_record record;
    uint64_t counter;
    uint32_t lifetime_s;
    char counter_text[24];
    uint8_t blob[BTI_KID_BYTES + SESSION_BLOB_MAX]; /* as published: kid first */
    size_t blob_n;
    size_t answer_n;
    uint8_t answer[WIRE_FRAME_MAX];
};

static void end_busy(struct conn *c)
{
    prov_count(c->prov, PM_S_UNAVAILABLE, 1);
    if (session_ps_refuse(c->session, CODE_BUSY, c->prov->out) == E_OK) {
        conn_flush_out(c);
    }
    conn_end(c);
}

/* ---- Redis -------------------------------------------------------------------------------------
 */
/* While Redis answers, the conn is found again by its grant: it may have gone. */
struct handover {
    struct job job; /* conn link only: forgotten with the conn as any job */
    struct grant grant;
};

static void handover_free(struct handover *h)
{
    session_record_wipe(&h->grant.record);
    wipe(h, sizeof *h);
    mem_free(h);
}

static void finish(struct handover *h, enum err e)
{
    struct conn *c = h->job.conn;
    struct prov *p = h->job.prov;

    if (c != NULL) {
        c->job = NULL;
    }
    if (e != E_OK) {
        LOG(LV_WARN, "session.handover_failed", KV_ERR(e));
        prov_count(p, PM_S_UNAVAILABLE, 1);
    } else {
        char id[2 * BTI_ID_BYTES + 1], kid[2 * BTI_KID_BYTES + 1];
        hex_put(h->grant.record.bti_id, BTI_ID_BYTES, id);
        hex_put(h->grant.record.kid, BTI_KID_BYTES, kid);
        LOG(LV_INFO, "session.granted", KV("bti", (const char *)id), KV("kid", (const char *)kid),
            KV("line", h->grant.record.line_id));
        prov_count(p, PM_S_OK, 1);
    }
    if (c != NULL) {
        if (e == E_OK) {
            conn_send(c, view_from(h->grant.answer, h->grant.answer_n));
        }
        conn_end(c);
    }
    handover_free(h);
}

static void on_published(void *arg, enum err e, const struct redis_reply *r)
{
    (void)r;
    finish(arg, e);
}

static void on_stored(void *arg, enum err e, const struct redis_reply *r)
{
    struct handover *h = arg;
    const struct view argv[] = {VIEW("PUBLISH"), VIEW(SESSION_REDIS_CHANNEL),
                                view_from(h->grant.blob, h->grant.blob_n)};

    (void)r;
    if (e == E_OK) {
        e = redis_cmd(h->job.prov->redis, argv, 3, on_published, h);
    }
    if (e != E_OK) {
        finish(h, e);
    }
}

static void hand_over(struct conn *c, const struct grant *g)
{
    struct handover *h = mem_zalloc(sizeof *h);
    char key[sizeof SESSION_REDIS_PREFIX + (size_t)2 * BTI_KID_BYTES], seconds[24];
    enum err e = E_OK;

    if (h == NULL) {
        prov_count(c->prov, PM_S_UNAVAILABLE, 1);
        conn_end(c);
        return;
    }
    h->grant = *g;
    h->job = (struct job){.prov = c->prov, .conn = c};
    c->job = &h->job;
    memcpy(key, SESSION_REDIS_PREFIX, sizeof SESSION_REDIS_PREFIX - 1);
    hex_put(g->record.kid, BTI_KID_BYTES, key + sizeof SESSION_REDIS_PREFIX - 1);
    snprintf(seconds, sizeof seconds, "%u", (unsigned)g->lifetime_s);
    const struct view argv[] = {VIEW("SET"), view_of(key),
                                view_from(g->blob + BTI_KID_BYTES, g->blob_n - BTI_KID_BYTES),
                                VIEW("EX"), view_of(seconds)};
    e = redis_cmd(c->prov->redis, argv, sizeof argv / sizeof argv[0], on_stored, h);
    if (e != E_OK) {
        finish(h, e);
    }
}

/* ---- PostgreSQL --------------------------------------------------------------------------------
 */
static void on_counter(struct prov *p, struct conn *c, void *extra, enum err e,
                       const struct pg_result *r)
{
    const struct grant *g = extra;

    if (c == NULL) {
        return;
    }
    if (e == E_OK && pg_rows(r) == 1) {
        hand_over(c, g);
        return;
    }
    /* The answer that was made is void; the BTI, hearing none, asks again with a new counter. */
    prov_count(p, e == E_OK ? PM_S_STALE : PM_S_UNAVAILABLE, 1);
    conn_end(c);
}

static void store_counter(struct conn *c, struct grant *g)
{
    const struct pg_param params[] = {PG_BYTES(view_from(g->record.bti_id, BTI_ID_BYTES)),
                                      PG_TEXT(view_of(g->counter_text))};

    if (job_query(c, SQL_SESSION_COUNTER, params, 2, on_counter, g, sizeof *g) != E_OK) {
        prov_count(c->prov, PM_S_UNAVAILABLE, 1);
        conn_end(c);
    }
}

static enum err make_grant(struct conn *c, const struct session_keys *keys, uint64_t line,
                           const struct session_grant *said, struct grant *g)
{
    struct prov *p = c->prov;
    size_t n = 0;
    enum err e = E_OK;

    g->prov = p;
    g->counter = session_ps_counter(c->session);
    g->lifetime_s = said->lifetime_s;
    snprintf(g->counter_text, sizeof g->counter_text, "%llu", (unsigned long long)g->counter);
    g->record.line_id = line;
    g->record.created_us = said->now_us;
    g->record.expires_us = said->now_us + said->lifetime_s * 1000ull * US_A_MS;
    g->record.keys = *keys;
    memcpy(g->record.kid, said->kid, BTI_KID_BYTES);
    memcpy(g->record.bti_id, session_ps_bti(c->session), BTI_ID_BYTES);
    memcpy(g->blob, said->kid, BTI_KID_BYTES);
    TRY(session_blob_seal(&p->keys->cluster, &g->record, g->blob + BTI_KID_BYTES,
                          sizeof g->blob - BTI_KID_BYTES, &n));
    g->blob_n = BTI_KID_BYTES + n;
    g->answer_n = p->out->n;
    memcpy(g->answer, p->out->b, p->out->n);
out:
    return e;
}

static void count_refusal(struct conn *c, uint16_t code)
{
    char ip[NET_TEXT_MAX];

    net_ip_text(&c->peer, ip);
    LOG(LV_INFO, "session.refused", KV("source", (const char *)ip),
        KV("outcome", wire_code_text(code)));
    prov_count(c->prov,
               code == CODE_REVOKED  ? PM_S_REVOKED
               : code == CODE_BARRED ? PM_S_BARRED
               : code == CODE_STALE  ? PM_S_STALE
                                     : PM_S_UNKNOWN,
               1);
}

static void decide(struct conn *c, const struct session_row *row, uint64_t line)
{
    struct prov *p = c->prov;
    struct grant *g = mem_zalloc(sizeof *g);
    struct session_grant said = {.now_us = loop_wall_us(p->loop)};
    struct session_keys keys = {.mac_up = {.n = 0}};
    uint16_t code = CODE_INTERNAL;
    enum err e = g != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    said.lifetime_s = (uint32_t)(p->set.session_lifetime_ms / 1000);
    gates_assign(&p->gates, session_ps_bti(c->session), &said.gates);
    TRY(crypto_random(said.kid, sizeof said.kid));
    TRY(session_ps_decide(c->session, row, &said, &code, &keys, p->out));
    if (code != CODE_OK) {
        count_refusal(c, code);
        conn_flush_out(c);
    } else {
        TRY(make_grant(c, &keys, line, &said, g));
        store_counter(c, g);
        g = NULL;
    }
out:
    session_keys_wipe(&keys);
    wipe(p->out->b, p->out->n);
    p->out->n = 0;
    if (g != NULL) {
        wipe(g, sizeof *g);
        mem_free(g);
    }
    if (e != E_OK) {
        LOG(LV_ERROR, "session.failed", KV_ERR(e), KV("where", err_where()));
        prov_count(p, PM_S_UNAVAILABLE, 1);
        conn_end(c);
    }
}

static void on_row(struct prov *p, struct conn *c, void *extra, enum err e,
                   const struct pg_result *r)
{
    struct session_row row = {.known = false};
    uint64_t line = 0;

    (void)extra;
    if (c == NULL) {
        return;
    }
    if (e == E_OK) {
        e = session_row_read(&p->keys->kek, session_ps_bti(c->session), r, &row, &line);
    }
    if (e != E_OK || !redis_is_up(p->redis)) {
        if (e != E_OK) {
            LOG(LV_ERROR, "session.row", KV_ERR(e), KV("where", err_where()));
        }
        end_busy(c);
    } else {
        decide(c, &row, line);
    }
    wipe(&row, sizeof row);
}

static void look_up(struct conn *c)
{
    const struct pg_param id = PG_BYTES(view_from(session_ps_bti(c->session), BTI_ID_BYTES));

    if (!redis_is_up(c->prov->redis) || c->prov->draining ||
        job_query(c, SQL_SESSION_ROW, &id, 1, on_row, NULL, 0) != E_OK) {
        end_busy(c);
    }
}

void session_frame(struct conn *c, struct view frame)
{
    struct prov *p = c->prov;
    enum err e = session_ps_feed(c->session, frame, p->out);

    if (e != E_OK) {
        LOG(LV_ERROR, "session.failed", KV_ERR(e), KV("where", err_where()));
        conn_end(c);
        return;
    }
    if (p->out->event == SPS_REQUEST) {
        look_up(c);
        return;
    }
    if (p->out->event == SPS_REFUSED) {
        prov_count(p, PM_S_REFUSED, 1);
    }
    conn_flush_out(c);
}
