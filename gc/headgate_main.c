/* headgate: the gate controller. Start, signals, health, orderly end. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/health.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "gc/call_events.h"
#include "gc/certs.h"
#include "gc/control.h"
#include "gc/emergency_mode.h"
#include "gc/hep.h"
#include "gc/park.h"
#include "gc/stir_service.h"
#include "gc/worker.h"
#include "lawful_intercept/tap.h"
#include "signaling/sip_osip.h"

#define WORKERS_MAX    64
#define CLUSTER_BYTES  32
#define DRAIN_LOOK_MS  100
#define LAST_WORDS_MS  500 /* for the BYEs of a drain that took too long */
#define LOG_PER_SECOND 100
#define LOG_BURST      200
#define WHY_BYTES      512

struct gate {
    struct proc_cli cli;
    struct gc_settings set; /* at the start */
    struct gc_settings now; /* in force; its texts belong to conf or to the workers' newest */
    struct gc_plan plan;
    struct conf *conf;
    struct certs certs;
    unsigned n_workers;
    struct loop *loop;
    struct metrics *metrics;
    struct sessions *sessions;
    struct location *location;
    struct tap *tap;
    struct stir *stir;
    struct hep *hep; /* NULL: no collector */
    struct call_events *events;
    struct workers *workers;
    bool workers_run;
    struct store *store;
    struct control *control;
    struct health *health;
    struct loop_timer drain_look, drain_limit;
    bool draining;
};

/* ---- health ------------------------------------------------------------------------------------
 */
/* As many as there is room for; the strictest matter most, and there is one as a rule. */
static void put_modes(const struct gate *g, char *dst, size_t dst_bytes)
{
    struct mode_shown v[EMERGENCY_MODES_MAX];
    size_t n = emergency_modes_view(g->workers, v, EMERGENCY_MODES_MAX), at = 0;

    dst[0] = 0;
    for (size_t i = 0; i < n; i++) {
        char one[128], when[32] = "";
        time_t ends = (time_t)(v[i].ends_us / 1000000);
        struct tm tm;
        if (gmtime_r(&ends, &tm) != NULL) {
            strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
        }
        int more = snprintf(
            one, sizeof one, "%s{\"id\":%llu,\"scope\":\"%s\",\"share\":%u,\"ends_at\":\"%s\"}",
            i > 0 ? "," : "", (unsigned long long)v[i].id, v[i].scope, v[i].share, when);
        if (more < 0 || (size_t)more >= dst_bytes - at) {
            return;
        }
        memcpy(dst + at, one, (size_t)more + 1);
        at += (size_t)more;
    }
}

static bool on_ready(void *arg, char *json, size_t json_bytes)
{
    const struct gate *g = arg;
    struct store_health h;
    struct ps_state ps[GC_PS_MAX];
    size_t n = workers_ps(g->workers, ps, GC_PS_MAX), healthy = 0;
    bool ready = false;
    char modes[400];

    put_modes(g, modes, sizeof modes);
    store_health(g->store, &h);
    for (size_t i = 0; i < n; i++) {
        healthy += ps[i].healthy;
    }
    ready = h.have_snapshot && !g->draining;
    snprintf(json, json_bytes,
             "{\"ready\":%s,\"degraded\":%s,\"draining\":%s,\"snapshot\":\"%s\","
             "\"postgres\":\"%s\",\"redis\":\"%s\",\"provisioning\":\"%s\","
             "\"provisioning_healthy\":%zu,\"provisioning_servers\":%zu,"
             "\"cdr_spilled\":%llu,\"cdr_lost\":%llu,\"emergency_modes\":[%s]}\n",
             ready ? "true" : "false",
             ready && (!h.postgres_up || !h.redis_up || healthy == 0) ? "true" : "false",
             g->draining ? "true" : "false", h.have_snapshot ? "present" : "missing",
             h.postgres_up ? "up" : "down", h.redis_up ? "up" : "down", healthy > 0 ? "up" : "down",
             healthy, n, (unsigned long long)h.cdr_spilled, (unsigned long long)h.cdr_lost, modes);
    return ready;
}

/* ---- signals -----------------------------------------------------------------------------------
 */
static enum log_level level_of(const struct gate *g, const struct gc_settings *set)
{
    enum log_level level = g->cli.level;

    if (set->log_level[0] != 0) {
        IGNORE(log_level_parse(view_of(set->log_level), &level), "it was checked");
    }
    return level;
}

static void needs_restart(void *arg, const char *name)
{
    (void)arg;
    LOG(LV_WARN, "gc.reload_needs_restart", KV("setting", name));
}

/* What merged asks for, with its certificates. conf is moved on E_OK. */
static enum err put_in_force(struct gate *g, const struct gc_settings *merged, struct conf *conf,
                             char why[WHY_BYTES])
{
    struct gc_plan plan;
    struct tls_cred *fresh = NULL;
    enum err e = gc_settings_check(merged, &plan, why, WHY_BYTES);

    TRY(e);
    if (certs_read(&g->certs, merged, &fresh) != E_OK) {
        fresh = NULL; /* it was said; the old ones stay, and all else goes on */
    }
    IGNORE(stir_reload(g->stir, merged, &plan),
           "it was said; the old files stay, and all else goes on");
    e = workers_reload(g->workers, merged, &plan, conf, fresh != NULL ? fresh : g->certs.cred);
    if (e != E_OK) {
        snprintf(why, WHY_BYTES, "sip.listen, or no memory: %s", err_text(e));
        TRY(e);
    }
    g->now = *merged;
    if (fresh != NULL) {
        certs_use(&g->certs, fresh);
        fresh = NULL; /* moved */
    }
out:
    tls_cred_free(fresh);
    return e;
}

/* A file that is wrong changes nothing. */
static void on_hup(void *arg)
{
    struct gate *g = arg;
    struct gc_settings fresh = {.workers = 0}, merged;
    struct conf *conf = NULL;
    char why[WHY_BYTES];
    enum err e = E_OK;

    proc_notify("RELOADING=1");
    e = conf_load(g->cli.config, gc_fields, gc_fields_n, &fresh, why, sizeof why, &conf);
    if (e == E_OK) {
        gc_reload(&g->now, &fresh, &merged, needs_restart, NULL);
        e = put_in_force(g, &merged, conf, why);
    }
    if (e == E_OK) {
        log_set_level(level_of(g, &g->now));
        LOG(LV_INFO, "gc.reloaded", KV("file", g->cli.config != NULL ? g->cli.config : ""));
    } else {
        LOG(LV_ERROR, "gc.reload_failed", KV("why", (const char *)why), KV_ERR(e));
        conf_free(conf);
    }
    proc_notify("READY=1");
}

static void on_last_words(void *arg)
{
    struct gate *g = arg;

    loop_stop(g->loop);
}

/* Calls that are still up hear of the end: their phones would hold on to them otherwise. */
static void on_drain_limit(void *arg)
{
    struct gate *g = arg;

    LOG(LV_WARN, "gc.drain_limit", KV("calls", workers_calls(g->workers)));
    loop_timer_stop(g->loop, &g->drain_look);
    workers_end_calls(g->workers);
    if (loop_timer_start(g->loop, &g->drain_limit, LAST_WORDS_MS, on_last_words, g) != E_OK) {
        loop_stop(g->loop);
    }
}

static void on_drain_look(void *arg)
{
    struct gate *g = arg;

    if (workers_calls(g->workers) == 0 ||
        loop_timer_start(g->loop, &g->drain_look, DRAIN_LOOK_MS, on_drain_look, g) != E_OK) {
        loop_stop(g->loop);
    }
}

static void on_term(void *arg)
{
    struct gate *g = arg;

    if (g->draining) { /* asked twice: at once */
        LOG(LV_WARN, "gc.stop_at_once", KV("calls", workers_calls(g->workers)));
        loop_stop(g->loop);
        return;
    }
    g->draining = true;
    proc_notify("STOPPING=1");
    LOG(LV_INFO, "gc.drain", KV("calls", workers_calls(g->workers)),
        KV("limit_ms", g->now.drain_ms));
    workers_drain(g->workers);
    store_drain(g->store);
    if (loop_timer_start(g->loop, &g->drain_limit, g->now.drain_ms, on_drain_limit, g) != E_OK ||
        loop_timer_start(g->loop, &g->drain_look, DRAIN_LOOK_MS, on_drain_look, g) != E_OK) {
        loop_stop(g->loop);
    }
}

/* ---- start -------------------------------------------------------------------------------------
 */
static void on_revoked(void *arg, const uint8_t kid[BTI_KID_BYTES])
{
    struct gate *g = arg;

    workers_close_kid(g->workers, kid);
}

static void on_line_answer(void *arg, const struct line_answer *a)
{
    struct gate *g = arg;

    park_answer(g->workers, a->worker, a->ticket, a, sizeof *a);
}

static enum err read_key(const char *setting, const char *path, struct secret *out)
{
    uint8_t b[CLUSTER_BYTES + 1];
    size_t n = 0;
    enum err e = secret_file_read(path, false, b, sizeof b, &n);

    if (e == E_OK && n != CLUSTER_BYTES) {
        e = FAIL(E_RANGE);
    }
    if (e == E_OK) {
        e = secret_set(out, b, n);
    }
    wipe(b, sizeof b);
    if (e != E_OK) {
        LOG(LV_ERROR, "gc.key", KV("setting", setting), KV("file", path), KV_ERR(e));
    }
    return e;
}

static const char *or_null(const char *text)
{
    return text[0] != 0 ? text : NULL;
}

/* Without a snapshot we go on: 611 and emergency calls need none. */
static enum err start_store(struct gate *g, const struct secret *cluster_key)
{
    struct store_cfg cfg = {.node = g->set.node_name,
                            .conninfo = g->set.conninfo,
                            .redis = g->set.redis_address,
                            .redis_user = or_null(g->set.redis_user),
                            .redis_password = or_null(g->set.redis_password),
                            .snapshot_path = g->set.snapshot_path,
                            .spill_path = g->set.spill_path,
                            .sip_address = g->plan.own,
                            .workers = g->n_workers,
                            .sessions = g->sessions,
                            .location = g->location,
                            .metrics = g->metrics,
                            .metrics_slot = g->n_workers,
                            .on_revoked = on_revoked,
                            .on_line_answer = on_line_answer,
                            .arg = g};
    enum err e = E_OK;

    cfg.cluster_key = *cluster_key;
    e = store_start(&cfg, &g->store);
    secret_wipe(&cfg.cluster_key);
    return e == E_TIMEOUT ? E_OK : e;
}

static enum err start_hep(struct gate *g)
{
    const struct hep_cfg cfg = {.collector = g->plan.hep,
                                .agent = (uint32_t)g->set.hep_agent,
                                .node = g->set.node_name,
                                .key = g->set.hep_key,
                                .workers = g->n_workers,
                                .metrics = g->metrics,
                                .slot = g->n_workers + 3};
    enum err e = cfg.collector.family != 0 ? hep_open(&cfg, &g->hep) : E_OK;

    if (e != E_OK) {
        LOG(LV_ERROR, "gc.hep", KV("collector", g->set.hep_collector), KV_ERR(e));
    }
    return e;
}

static enum err open_tap(struct gate *g)
{
    enum err e = E_OK;

    if (g->set.tap_file[0] == 0) {
        return E_OK;
    }
    e = tap_open(g->set.tap_file, g->set.tap_group, g->n_workers, (size_t)g->set.tap_bytes,
                 &g->tap);
    if (e != E_OK) {
        LOG(LV_ERROR, "gc.tap", KV("file", g->set.tap_file), KV_ERR(e));
    }
    return e;
}

static enum err start_workers(struct gate *g)
{
    struct secret cluster_key = {0};
    const struct stir_cfg stir = {.set = &g->set,
                                  .plan = &g->plan,
                                  .cluster_key = &cluster_key,
                                  .metrics = g->metrics,
                                  .slot = g->n_workers + 2,
                                  .clock = clock_system()};
    struct workers_cfg cfg = {.set = &g->set,
                              .plan = &g->plan,
                              .cred = g->certs.cred,
                              .sessions = g->sessions,
                              .location = g->location,
                              .metrics = g->metrics,
                              .cluster_key = &cluster_key,
                              .events = g->events,
                              .n = g->n_workers,
                              .clock = clock_system()};
    enum err e = read_key("keys.cluster", g->set.cluster_key, &cluster_key);

    TRY(e);
    TRY(stir_open(&stir, &g->stir));
    cfg.stir = g->stir;
    TRY(start_hep(g));
    cfg.hep = g->hep;
    TRY(open_tap(g));
    cfg.tap = g->tap;
    TRY(workers_new(&cfg, &g->workers));
    TRY(start_store(g, &cluster_key));
    TRY(workers_start(g->workers, g->store));
    g->workers_run = true;
out:
    secret_wipe(&cluster_key);
    return e;
}

static const char *route_usable(void *arg, const struct route *r, const struct trunk *t)
{
    return workers_obstacle(arg, r, t);
}

static enum err start_control(struct gate *g)
{
    struct secret command_key = {0};
    const struct control_cfg cfg = {.path = g->set.control_socket,
                                    .group = g->set.control_group,
                                    .node = g->set.node_name,
                                    .n_workers = g->n_workers,
                                    .workers = g->workers,
                                    .store = g->store,
                                    .location = g->location,
                                    .dialplan = &g->plan.dialplan,
                                    .domain = g->set.domain,
                                    .route_usable = route_usable,
                                    .route_arg = g->workers,
                                    .events = g->events,
                                    .certs = &g->certs,
                                    .command_key = &command_key,
                                    .redis = g->set.redis_address,
                                    .redis_user = g->set.redis_user,
                                    .redis_password = g->set.redis_password};
    enum err e = g->set.command_key[0] != 0
                     ? read_key("keys.command", g->set.command_key, &command_key)
                     : E_OK;

    if (e != E_OK) {
        return e; /* it was said */
    }
    e = control_start(&cfg, &g->control);
    secret_wipe(&command_key);
    if (e != E_OK) {
        LOG(LV_ERROR, "gc.control", KV("socket", g->set.control_socket), KV_ERR(e));
    }
    return e;
}

static unsigned count_workers(const struct gate *g)
{
    long n = g->set.workers != 0 ? (long)g->set.workers : sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

static enum err gate_open(struct gate *g)
{
    enum err e = E_OK;

    g->n_workers = count_workers(g);
    e = control_probe(g->set.control_socket); /* SO_REUSEPORT would let two of us share calls */
    if (e != E_OK) {
        LOG(LV_ERROR, "gc.control", KV("socket", g->set.control_socket), KV_ERR(e));
        return e;
    }
    TRY(sip_osip_init());
    TRY(loop_new(clock_system(), &g->loop));
    TRY(metrics_new(g->n_workers + 4, &g->metrics)); /* and the store, main, STIR, HEP */
    TRY(certs_open(&g->certs, g->loop, g->metrics, g->n_workers + 1, &g->set));
    TRY(sessions_new((size_t)g->set.max_sessions, &g->sessions));
    TRY(location_new((size_t)g->set.max_registrations, &g->location));
    TRY(call_events_new(0, &g->events));
    TRY(start_workers(g));
    TRY(start_control(g));
    e = health_open(g->loop, &g->plan.health, g->metrics, on_ready, g, &g->health);
    if (e != E_OK) {
        LOG(LV_ERROR, "gc.health", KV("address", g->set.health_listen), KV_ERR(e));
    }
out:
    return e;
}

/* Calls end first, then their records leave. */
static void gate_close(struct gate *g)
{
    health_close(g->health);
    control_stop(g->control);
    if (g->workers_run) {
        workers_stop(g->workers);
    }
    store_stop(g->store);
    stir_close(g->stir); /* its thread answers workers */
    if (g->workers != NULL) {
        workers_free(g->workers);
    }
    hep_close(g->hep); /* the last BYEs too */
    tap_close(g->tap);
    call_events_free(g->events);
    certs_close(&g->certs);
    location_free(g->location);
    sessions_free(g->sessions);
    metrics_free(g->metrics);
    if (g->loop != NULL) {
        loop_timer_stop(g->loop, &g->drain_look);
        loop_timer_stop(g->loop, &g->drain_limit);
        loop_free(g->loop);
    }
    conf_free(g->conf);
}

static enum err run(struct gate *g)
{
    struct loop_signal *term = NULL, *quit = NULL, *hup = NULL;
    enum err e = E_OK;

    TRY(loop_signal_start(g->loop, SIGTERM, on_term, g, &term));
    TRY(loop_signal_start(g->loop, SIGINT, on_term, g, &quit));
    TRY(loop_signal_start(g->loop, SIGHUP, on_hup, g, &hup));
    proc_signals(true);
    proc_notify("READY=1");
    LOG(LV_INFO, "gc.start", KV("node", g->set.node_name), KV("workers", g->n_workers),
        KV("version", HEADGATE_VERSION));
    loop_run(g->loop);
    proc_ending();
    LOG(LV_INFO, "gc.stop", KV("node", g->set.node_name), KV("calls", workers_calls(g->workers)));
out:
    loop_signal_stop(term);
    loop_signal_stop(quit);
    loop_signal_stop(hup);
    return e;
}

static void block_signals(void)
{
    proc_signals(false);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of write(), not our end */
}

/* Exits itself when the configuration makes no sense, or when only that was asked. */
static void configure(struct gate *g)
{
    struct proc_cli load = g->cli;
    char why[WHY_BYTES];

    load.check = false; /* our own check comes first */
    g->conf = proc_conf(&load, gc_fields, gc_fields_n, &g->set);
    g->now = g->set;
    if (gc_settings_check(&g->set, &g->plan, why, sizeof why) != E_OK) {
        fprintf(stderr, "%s: %s\n", g->cli.config != NULL ? g->cli.config : "(defaults)", why);
        exit(EX_CONFIG);
    }
    if (g->cli.check) {
        printf("%s: ok\n", g->cli.config != NULL ? g->cli.config : "defaults");
        exit(EX_OK);
    }
    log_set_level(level_of(g, &g->set));
}

int main(int argc, char **argv)
{
    struct gate *g = NULL;
    enum err e = E_OK;

    proc_harden();
    block_signals();
    g = mem_zalloc(sizeof *g);
    if (g == NULL) {
        return EX_OSERR;
    }
    proc_cli(argc, argv, "headgate", "gate controller and SIP signaling proxy", &g->cli);
    configure(g);
    log_limit(LOG_PER_SECOND, LOG_BURST);
    e = gate_open(g);
    if (e == E_OK) {
        e = run(g);
    } else {
        LOG(LV_ERROR, "gc.start_failed", KV_ERR(e), KV("where", err_where()));
    }
    gate_close(g);
    mem_free(g);
    return e == E_OK ? EX_OK : EX_CONFIG;
}
