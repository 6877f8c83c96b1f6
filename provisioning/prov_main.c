/* headgate-prov: the provisioning server. Seed steps 301-310 and later sessions. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "base/mem.h"
#include "base/proc.h"
#include "provisioning/prov.h"

enum { HEARTBEAT_MS = 1000, PG_QUEUE = 1024, REDIS_QUEUE = 4096 };

static const struct {
    const char *name, *labels, *help;
} METERS[] = {
#define METER_ROW(id, name, labels, help) {name, labels, help},
    PROV_METERS(METER_ROW)
#undef METER_ROW
};

/* ---- shared services ---------------------------------------------------------------------------
 */
void prov_count(struct prov *p, enum prov_meter m, int64_t by)
{
    metric_add(p->metrics, 0, p->meter[m], by);
}

bool prov_ready(const struct prov *p)
{
    return !p->draining && pg_is_up(p->pg);
}

static void on_reap(void *arg)
{
    struct prov *p = arg;

    control_reap(p);
    voice_reap(p);
    prov_check_drained(p);
}

void prov_reap_soon(struct prov *p)
{
    IGNORE(loop_timer_start(p->loop, &p->reaper, 0, on_reap, p), "the next one reaps this too");
}

/* ---- gate controllers' heartbeats --------------------------------------------------------------
 */
static void on_alive(void *arg, enum err e, const struct redis_reply *r)
{
    struct prov *p = arg;

    for (unsigned i = 0; i < p->gates.n; i++) {
        p->gates.gate[i].live = e == E_OK && i < redis_count(r) && !redis_is_nil(redis_at(r, i));
    }
}

static void on_heartbeat(void *arg)
{
    struct prov *p = arg;
    char key[GATES_MAX][GATE_NAME_MAX + sizeof "hg:node:"];
    struct view argv[GATES_MAX + 1] = {VIEW("MGET")};

    for (unsigned i = 0; i < p->gates.n; i++) {
        snprintf(key[i], sizeof key[i], "hg:node:%s", p->gates.gate[i].name);
        argv[i + 1] = view_of(key[i]);
    }
    if (redis_cmd(p->redis, argv, p->gates.n + 1, on_alive, p) != E_OK) {
        for (unsigned i = 0; i < p->gates.n; i++) {
            p->gates.gate[i].live = false; /* nobody known: all configured ones are told */
        }
    }
    IGNORE(loop_timer_start(p->loop, &p->heartbeat, HEARTBEAT_MS, on_heartbeat, p),
           "heap room was there before");
}

/* ---- SIP ---------------------------------------------------------------------------------------
 */
/* Answered without state: a ping must not cost a transaction, nor find one when we are full. */
static void answer_ping(struct prov *p, const struct sip_msg *m, const struct sip_rx *rx)
{
    char buf[SIP_MAX_BYTES], ip[NET_TEXT_MAX];
    size_t n = 0;

    net_ip_text(&rx->flow.remote, ip);
    if (sip_response(m, prov_ready(p) ? 200 : 503, NULL, view_of(p->to_tag), ip,
                     rx->flow.remote.port, VIEW(""), VIEW(""), VIEW(""), buf, sizeof buf,
                     &n) == E_OK) {
        IGNORE(sip_transport_send(p->sip, &rx->flow, view_from(buf, n)), "it asks again");
    }
}

/* What arrives for a call that is known, and what leaves of it. */
static void tap_rx(struct prov *p, const struct sip_msg *m)
{
    const struct voice *v = p->tap != NULL && m != NULL ? voice_of(p, m->call_id) : NULL;

    if (v != NULL) {
        tapped_in(p, voice_tapped(v), m->raw);
    }
}

static enum err tap_tx(void *arg, const struct sip_flow *to, char *buf, size_t buf_bytes, size_t *n)
{
    struct prov *p = arg;
    struct sip_msg *m = p->tap != NULL ? mem_zalloc(sizeof *m) : NULL;
    const struct voice *v = NULL;
    const char *why = "";

    (void)to;
    (void)buf_bytes;
    if (m != NULL && sip_frame(view_from(buf, *n), true, m, &why) == E_OK) {
        v = voice_of(p, m->call_id);
        if (v != NULL) {
            tapped_out(p, voice_tapped(v), view_from(buf, *n));
        }
    }
    mem_free(m);
    return E_OK;
}

static void on_sip(void *arg, const struct sip_rx *rx)
{
    struct prov *p = arg;
    struct sip_msg *m = NULL;
    const char *why = "";

    if (!gates_has_ip(&p->gates, &rx->flow.remote)) {
        prov_count(p, PM_SIP_SOURCE, 1);
        return;
    }
    m = mem_zalloc(sizeof *m);
    if (m != NULL && sip_frame(rx->raw, rx->is_datagram, m, &why) == E_OK && m->is_request &&
        m->method == SIP_M_OPTIONS) {
        answer_ping(p, m, rx);
    } else {
        tap_rx(p, m);
        sip_ua_rx(p->ua, rx);
    }
    mem_free(m);
}

static void on_sip_closed(void *arg, const struct sip_flow *flow, enum err why)
{
    const struct prov *p = arg;

    (void)why;
    sip_ua_flow_lost(p->ua, flow);
}

static enum err open_sip(struct prov *p)
{
    const struct sip_transport_cfg transport = {
        .on_rx = on_sip, .on_closed = on_sip_closed, .arg = p};
    const struct sip_ua_cfg ua = {.user = "611",
                                  .domain = p->set.node_domain,
                                  .user_agent = "headgate-prov/" HEADGATE_VERSION,
                                  .max_calls = (unsigned)p->set.max_calls,
                                  .seal = tap_tx,
                                  .on_call = voice_on_call,
                                  .arg = p};
    uint8_t tag[8];
    enum err e = E_OK;

    TRY(crypto_random(tag, sizeof tag));
    hex_put(tag, sizeof tag, p->to_tag);
    TRY(sip_transport_new(p->loop, &transport, &p->sip));
    TRY(sip_ua_new(p->loop, p->sip, &ua, &p->ua));
    for (size_t i = 0; i < p->set.sip_listen.n; i++) {
        enum sip_proto proto = SIP_UDP;
        struct net_addr a, bound;
        char text[NET_TEXT_MAX];
        TRY(sip_listen_parse(view_of(p->set.sip_listen.v[i]), &proto, &a));
        TRY(sip_transport_listen(p->sip, proto, &a, &bound));
        net_text(&bound, text);
        LOG(LV_INFO, "prov.listen", KV("proto", sip_proto_name(proto)),
            KV("address", (const char *)text));
    }
out:
    return e;
}

/* ---- health ------------------------------------------------------------------------------------
 */
static bool on_ready(void *arg, char *json, size_t json_bytes)
{
    const struct prov *p = arg;
    bool pg = pg_is_up(p->pg), redis = redis_is_up(p->redis);

    snprintf(json, json_bytes, "{\"postgres\":\"%s\",\"redis\":\"%s\",\"draining\":%s}",
             pg ? "up" : "down", redis ? "up" : "down", p->draining ? "true" : "false");
    return pg && redis && !p->draining;
}

/* ---- signals -----------------------------------------------------------------------------------
 */
void prov_check_drained(struct prov *p)
{
    if (p->draining && p->conns == NULL && p->voices == NULL) {
        loop_stop(p->loop);
    }
}

static void on_drained(void *arg)
{
    struct prov *p = arg;

    loop_stop(p->loop);
}

static void on_term(void *arg)
{
    struct prov *p = arg;

    if (p->draining) {
        loop_stop(p->loop); /* asked twice: at once */
        return;
    }
    LOG(LV_INFO, "prov.drain", KV("limit_ms", p->set.drain_ms));
    proc_notify("STOPPING=1");
    p->draining = true;
    loop_io_events(p->control_io, 0);
    if (loop_timer_start(p->loop, &p->drain, p->set.drain_ms, on_drained, p) != E_OK) {
        loop_stop(p->loop);
    }
    prov_check_drained(p);
}

/* Certificates are short-lived: a new pair is taken without losing a call; a bad one changes
 * nothing. */
static void on_hup(void *arg)
{
    struct prov *p = arg;
    struct prov_identity *fresh = NULL;

    if (prov_identity_load(p->set.certificate, p->set.private_key, &fresh) == E_OK) {
        prov_identity_unref(p->identity);
        p->identity = fresh;
        LOG(LV_INFO, "prov.reloaded", KV("certificate", p->set.certificate));
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */
static enum err read_settings(struct prov *p)
{
    const char *bad = "";
    enum err e = gates_read(&p->set.controllers, &p->gates, &bad);

    if (e != E_OK) {
        LOG(LV_ERROR, "prov.config", KV("setting", "gates.controllers"), KV("value", bad),
            KV_ERR(e));
        return e;
    }
    if (p->set.rtp_port_min != 0 && p->set.rtp_port_max < p->set.rtp_port_min) {
        LOG(LV_ERROR, "prov.config", KV("setting", "rtp.port_max"), KV_ERR(E_RANGE));
        return FAIL(E_RANGE);
    }
    TRY(net_parse_ip(view_of(p->set.rtp_address), &p->rtp_address));
    TRY(prov_keys_load(&p->set, p->keys));
    TRY(prov_identity_load(p->set.certificate, p->set.private_key, &p->identity));
    TRY(prompts_load(p->set.prompts_dir, &p->prompts));
out:
    return e;
}

static enum err open_stores(struct prov *p)
{
    const struct pg_cfg pg = {.conninfo = p->set.database_conninfo,
                              .max_queue = PG_QUEUE,
                              .statement_timeout_ms = 5000,
                              .arg = p};
    const struct redis_cfg redis = {
        .address = p->set.redis_address,
        .user = p->set.redis_user[0] != 0 ? p->set.redis_user : NULL,
        .password = p->set.redis_password[0] != 0 ? p->set.redis_password : NULL,
        .max_queue = REDIS_QUEUE,
        .arg = p};
    enum err e = E_OK;

    TRY(pg_open(p->loop, &pg, &p->pg));
    TRY(redis_open(p->loop, &redis, &p->redis));
    TRY(loop_timer_start(p->loop, &p->heartbeat, HEARTBEAT_MS, on_heartbeat, p));
out:
    return e;
}

static enum err declare_meters(struct prov *p)
{
    enum err e = metrics_new(1, &p->metrics);

    for (unsigned i = 0; e == E_OK && i < PM_COUNT; i++) {
        enum metric_kind kind = i == PM_HALF_OPEN || i == PM_CALLS ? METRIC_GAUGE : METRIC_COUNTER;
        p->meter[i] =
            metric_declare(p->metrics, kind, METERS[i].name, METERS[i].labels, METERS[i].help);
    }
    return e;
}

static enum err prov_open(struct prov *p)
{
    const struct lockout_cfg lock = {.free_tries = (unsigned)p->set.tries,
                                     .first_ms = p->set.lockout_ms,
                                     .max_ms = p->set.lockout_max_ms};
    struct net_addr health;
    char control[NET_TEXT_MAX];
    enum err e = E_NOMEM;

    p->control_fd = -1;
    p->keys = secret_alloc(sizeof *p->keys);
    p->out = secret_alloc(sizeof *p->out);
    if (p->keys == NULL || p->out == NULL) {
        return FAIL(E_NOMEM);
    }
    TRY(read_settings(p));
    TRY(declare_meters(p));
    TRY(lockout_new(&lock, &p->lockout));
    TRY(loop_new(clock_system(), &p->loop));
    TRY(open_stores(p));
    TRY(tapped_open(p));
    TRY(control_open(p));
    TRY(open_sip(p));
    TRY(net_parse(view_of(p->set.health_listen), 9071, &health));
    TRY(health_open(p->loop, &health, p->metrics, on_ready, p, &p->health));
    net_text(&p->control_address, control);
    LOG(LV_INFO, "prov.start", KV("node", p->set.node_name), KV("control", (const char *)control),
        KV("version", HEADGATE_VERSION));
out:
    return e;
}

static void end_calls(struct prov *p)
{
    for (struct voice *v = p->voices, *next = NULL; v != NULL; v = next) {
        next = voice_next(v);
        voice_end(v, false);
    }
}

static void prov_close(struct prov *p)
{
    if (p->loop != NULL) {
        health_close(p->health);
        control_close(p);
        end_calls(p);
        loop_run_once(p->loop, false); /* what is queued leaves */
        if (p->pg != NULL) {
            pg_close(p->pg);
        }
        if (p->redis != NULL) {
            redis_close(p->redis);
        }
        control_reap(p);
        voice_reap(p);
        if (p->ua != NULL) {
            sip_ua_free(p->ua);
        }
        if (p->sip != NULL) {
            sip_transport_free(p->sip);
        }
        loop_timer_stop(p->loop, &p->reaper);
        loop_timer_stop(p->loop, &p->heartbeat);
        loop_timer_stop(p->loop, &p->drain);
        tapped_close(p);
        loop_free(p->loop);
    }
    lockout_free(p->lockout);
    metrics_free(p->metrics);
    prompts_free(&p->prompts);
    prov_identity_unref(p->identity);
    secret_release(p->keys, sizeof *p->keys);
    secret_release(p->out, sizeof *p->out);
}

static enum err run(struct prov *p)
{
    struct loop_signal *term = NULL, *quit = NULL, *hup = NULL;
    enum err e = E_OK;

    TRY(loop_signal_start(p->loop, SIGTERM, on_term, p, &term));
    TRY(loop_signal_start(p->loop, SIGINT, on_term, p, &quit));
    TRY(loop_signal_start(p->loop, SIGHUP, on_hup, p, &hup));
    proc_notify("READY=1");
    loop_run(p->loop);
    proc_ending();
    LOG(LV_INFO, "prov.stop", KV("node", p->set.node_name));
out:
    loop_signal_stop(term);
    loop_signal_stop(quit);
    loop_signal_stop(hup);
    return e;
}

int main(int argc, char **argv)
{
    struct proc_cli cli;
    struct prov *p = NULL;
    struct conf *conf = NULL;
    enum err e = E_OK;

    proc_harden();
    proc_cli(argc, argv, "headgate-prov",
             "the provisioning server: enrols BTIs, makes session keys", &cli);
    p = mem_zalloc(sizeof *p);
    if (p == NULL) {
        return EX_OSERR;
    }
    conf = proc_conf(&cli, prov_fields, prov_fields_n, &p->set);
    log_limit(100, 200);
    e = prov_open(p);
    if (e == E_OK) {
        e = run(p);
    } else {
        LOG(LV_ERROR, "prov.start_failed", KV_ERR(e), KV("where", err_where()));
    }
    prov_close(p);
    mem_free(p);
    conf_free(conf);
    return e == E_OK ? 0 : EX_CONFIG;
}
