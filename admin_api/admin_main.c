/* headgate-admin: the HTTP API. Start, signals, health, orderly end. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "admin_api/admin_settings.h"
#include "admin_api/api.h"
#include "admin_api/checkpoint.h"
#include "admin_api/events.h"
#include "admin_api/gates.h"
#include "base/health.h"
#include "base/httpd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/proc.h"

enum { DRAIN_LOOK_MS = 50, LOG_PER_SECOND = 100, LOG_BURST = 200, WHY_BYTES = 512, CLASSES = 5 };

struct admin {
    struct proc_cli cli;
    struct admin_settings set; /* at the start */
    struct admin_settings now; /* in force; its texts belong to conf or newest */
    struct admin_plan plan;
    struct conf *conf, *newest; /* newest: of the last SIGHUP; NULL: none */
    struct loop *loop;
    struct metrics *metrics;
    unsigned requests[CLASSES], seconds; /* ids of metrics */
    struct principals *principals;
    struct gates *gates;
    struct events *events;
    struct checkpoints *checkpoints; /* NULL: no keys.audit */
    struct api *api;
    struct httpd *httpd;
    struct health *health;
    struct loop_timer drain_look, drain_limit;
    bool draining;
};

/* ---- requests ----------------------------------------------------------------------------------
 */
static void on_request(void *arg, const struct httpd_request *r)
{
    const struct admin *a = arg;
    uint64_t began = clock_system()->mono_us(NULL);
    unsigned status = 0;

    api_handle(a->api, r);
    status = httpd_status(r) / 100;
    metric_add(a->metrics, 0, a->requests[status >= 1 && status <= CLASSES ? status - 1 : 4], 1);
    metric_observe_us(a->metrics, 0, a->seconds, clock_system()->mono_us(NULL) - began);
}

/* ---- health ------------------------------------------------------------------------------------
 */
static bool on_ready(void *arg, char *json, size_t json_bytes)
{
    const struct admin *a = arg;
    bool up = false, knows = false, ready = false;

    principals_health(a->principals, &up, &knows);
    ready = knows && !a->draining;
    snprintf(
        json, json_bytes,
        "{\"ready\":%s,\"degraded\":%s,\"draining\":%s,\"postgres\":\"%s\",\"connections\":%u}\n",
        ready ? "true" : "false", ready && !up ? "true" : "false", a->draining ? "true" : "false",
        up ? "up" : "down", httpd_connections(a->httpd));
    return ready;
}

static size_t more_metrics(void *arg, char *dst, size_t dst_bytes)
{
    static const char name[] = "headgate_admin_connections";
    const struct admin *a = arg;
    int n =
        snprintf(dst, dst_bytes, "# HELP %s connections to the API now\n# TYPE %s gauge\n%s %u\n",
                 name, name, name, httpd_connections(a->httpd));

    return n > 0 ? (size_t)n : 0;
}

static enum err declare_metrics(struct admin *a)
{
    static const char *const classes[CLASSES] = {"class=\"1xx\"", "class=\"2xx\"", "class=\"3xx\"",
                                                 "class=\"4xx\"", "class=\"5xx\""};
    enum err e = metrics_new(1, &a->metrics);

    if (e == E_OK) {
        for (unsigned i = 0; i < CLASSES; i++) {
            a->requests[i] =
                metric_declare(a->metrics, METRIC_COUNTER, "headgate_admin_requests_total",
                               classes[i], "requests that reached the API, by class of the answer");
        }
        a->seconds = metric_declare(a->metrics, METRIC_HISTOGRAM, "headgate_admin_request_seconds",
                                    NULL, "time from a whole request to its answer, streams aside");
    }
    return e;
}

/* ---- signals -----------------------------------------------------------------------------------
 */
static enum log_level level_of(const struct admin *a, const struct admin_settings *set)
{
    enum log_level level = a->cli.level;

    if (set->log_level[0] != 0) {
        IGNORE(log_level_parse(view_of(set->log_level), &level), "it was checked");
    }
    return level;
}

static void needs_restart(void *arg, const char *name)
{
    (void)arg;
    LOG(LV_WARN, "admin.reload_needs_restart", KV("setting", name));
}

/* A file that is wrong changes nothing; connections go on. */
static void on_hup(void *arg)
{
    struct admin *a = arg;
    struct admin_settings fresh = {.listen = NULL}, merged;
    struct admin_plan plan;
    struct httpd_tls tls;
    struct conf *conf = NULL;
    char why[WHY_BYTES];
    enum err e = E_OK;

    proc_notify("RELOADING=1");
    TRY(conf_load(a->cli.config, admin_fields, admin_fields_n, &fresh, why, sizeof why, &conf));
    TRY(admin_settings_check(&fresh, &plan, why, sizeof why));
    admin_reload(&a->now, &fresh, &merged, needs_restart, NULL);
    tls = admin_tls(&merged);
    TRY(httpd_reload(a->httpd, &tls, why, sizeof why));
    a->now = merged;
    conf_free(a->newest); /* nothing of it is in use any more */
    a->newest = conf;
    conf = NULL;
    log_set_level(level_of(a, &a->now));
    LOG(LV_INFO, "admin.reloaded", KV("file", a->cli.config != NULL ? a->cli.config : ""));
out:
    if (e != E_OK) {
        LOG(LV_ERROR, "admin.reload_failed", KV("why", (const char *)why), KV_ERR(e));
    }
    conf_free(conf);
    proc_notify("READY=1");
}

static void on_drain_limit(void *arg)
{
    struct admin *a = arg;

    LOG(LV_WARN, "admin.drain_limit", KV("connections", httpd_connections(a->httpd)));
    loop_stop(a->loop);
}

static void on_drain_look(void *arg)
{
    struct admin *a = arg;

    if (httpd_connections(a->httpd) == 0 ||
        loop_timer_start(a->loop, &a->drain_look, DRAIN_LOOK_MS, on_drain_look, a) != E_OK) {
        loop_stop(a->loop);
    }
}

static void on_term(void *arg)
{
    struct admin *a = arg;

    if (a->draining) { /* asked twice: at once */
        loop_stop(a->loop);
        return;
    }
    a->draining = true;
    proc_notify("STOPPING=1");
    LOG(LV_INFO, "admin.drain", KV("connections", httpd_connections(a->httpd)),
        KV("limit_ms", a->now.drain_ms));
    events_end(a->events);
    httpd_drain(a->httpd);
    if (loop_timer_start(a->loop, &a->drain_limit, a->now.drain_ms, on_drain_limit, a) != E_OK ||
        loop_timer_start(a->loop, &a->drain_look, 0, on_drain_look, a) != E_OK) {
        loop_stop(a->loop);
    }
}

/* ---- start -------------------------------------------------------------------------------------
 */
static enum err open_httpd(struct admin *a)
{
    const struct httpd_cfg cfg = {.listen = a->plan.listen,
                                  .socket = a->set.socket,
                                  .socket_group = a->set.socket_group,
                                  .tls = admin_tls(&a->set),
                                  .max_connections = (unsigned)a->set.max_connections,
                                  .per_source = (unsigned)a->set.per_source,
                                  .max_body = (size_t)a->set.max_body,
                                  .read_ms = (unsigned)a->set.read_ms,
                                  .idle_ms = (unsigned)a->set.idle_ms,
                                  .handler = on_request,
                                  .arg = a};
    char why[WHY_BYTES];
    enum err e = httpd_open(&cfg, &a->httpd, why, sizeof why);

    if (e != E_OK) {
        LOG(LV_ERROR, "admin.listen", KV("why", (const char *)why), KV_ERR(e));
    }
    return e;
}

static enum err open_gates(struct admin *a, char *why, size_t why_bytes)
{
    const char *sockets[ADMIN_GATES_MAX + 1] = {NULL};
    const struct gates_cfg cfg = {.sockets = sockets,
                                  .redis = a->set.redis_address,
                                  .redis_user = a->set.redis_user,
                                  .redis_password = a->set.redis_password,
                                  .command_key = a->set.command_key};

    for (size_t i = 0; i < a->set.gate_sockets.n; i++) {
        sockets[i] = a->set.gate_sockets.v[i];
    }
    return gates_open(&cfg, &a->gates, why, why_bytes);
}

/* What answers requests; none of it needs the database or a gate controller to be there. */
static enum err open_services(struct admin *a)
{
    const struct principals_cfg who = {.conninfo = a->set.conninfo,
                                       .stale_ms = (unsigned)a->set.stale_ms,
                                       .local_group = a->set.local_group};
    const struct checkpoints_cfg signs = {.conninfo = a->set.conninfo,
                                          .key = a->set.audit_key,
                                          .rows = a->set.checkpoint_rows,
                                          .every_ms = a->set.checkpoint_every_ms};
    struct api_cfg cfg = {.conninfo = a->set.conninfo,
                          .trace_conninfo = a->set.trace_conninfo,
                          .pool = (unsigned)a->set.pool,
                          .requests_per_second = (unsigned)a->set.requests_per_second,
                          .work_order_key = a->set.work_order_key};
    char why[WHY_BYTES] = "";
    enum err e = E_OK;

    TRY(principals_open(&who, &a->principals));
    TRY(open_gates(a, why, sizeof why));
    TRY(events_open(a->gates, &a->events));
    if (a->set.audit_key[0] != 0) {
        TRY(checkpoints_open(&signs, &a->checkpoints, why, sizeof why));
    }
    cfg.principals = a->principals;
    cfg.gates = a->gates;
    cfg.events = a->events;
    cfg.checkpoints = a->checkpoints;
    TRY(api_new(&cfg, &a->api, why, sizeof why));
out:
    if (e != E_OK) {
        LOG(LV_ERROR, "admin.services", KV("why", (const char *)why), KV_ERR(e));
    }
    return e;
}

static enum err admin_open(struct admin *a)
{
    enum err e = E_OK;

    TRY(loop_new(clock_system(), &a->loop));
    TRY(declare_metrics(a));
    TRY(open_services(a));
    TRY(open_httpd(a));
    metrics_more(a->metrics, more_metrics, a);
    e = health_open(a->loop, &a->plan.health, a->metrics, on_ready, a, &a->health);
    if (e != E_OK) {
        LOG(LV_ERROR, "admin.health", KV("address", a->set.health_listen), KV_ERR(e));
    }
out:
    return e;
}

/* Requests end first, then what they use. */
static void admin_close(struct admin *a)
{
    health_close(a->health);
    httpd_close(a->httpd, 0);
    if (a->api != NULL) {
        api_free(a->api);
    }
    checkpoints_close(a->checkpoints);
    events_close(a->events);
    if (a->gates != NULL) {
        gates_close(a->gates);
    }
    if (a->principals != NULL) {
        principals_close(a->principals);
    }
    metrics_free(a->metrics);
    if (a->loop != NULL) {
        loop_timer_stop(a->loop, &a->drain_look);
        loop_timer_stop(a->loop, &a->drain_limit);
        loop_free(a->loop);
    }
    conf_free(a->newest);
    conf_free(a->conf);
}

static void say_started(const struct admin *a)
{
    struct net_addr bound = httpd_address(a->httpd);
    char address[NET_TEXT_MAX] = "";

    if (bound.family != 0) {
        net_text(&bound, address);
    }
    LOG(LV_INFO, "admin.start", KV("address", (const char *)address), KV("socket", a->set.socket),
        KV("version", HEADGATE_VERSION));
}

static enum err run(struct admin *a)
{
    struct loop_signal *term = NULL, *quit = NULL, *hup = NULL;
    enum err e = E_OK;

    TRY(loop_signal_start(a->loop, SIGTERM, on_term, a, &term));
    TRY(loop_signal_start(a->loop, SIGINT, on_term, a, &quit));
    TRY(loop_signal_start(a->loop, SIGHUP, on_hup, a, &hup));
    proc_signals(true);
    proc_notify("READY=1");
    say_started(a);
    loop_run(a->loop);
    proc_ending();
    LOG(LV_INFO, "admin.stop", KV("connections", httpd_connections(a->httpd)));
out:
    loop_signal_stop(term);
    loop_signal_stop(quit);
    loop_signal_stop(hup);
    return e;
}

/* Exits itself when the configuration makes no sense, or when only that was asked. */
static void configure(struct admin *a)
{
    struct proc_cli load = a->cli;
    const char *file = a->cli.config != NULL ? a->cli.config : "(defaults)";
    char why[WHY_BYTES];

    load.check = false; /* our own check comes first */
    a->conf = proc_conf(&load, admin_fields, admin_fields_n, &a->set);
    a->now = a->set;
    if (admin_settings_check(&a->set, &a->plan, why, sizeof why) != E_OK) {
        fprintf(stderr, "%s: %s\n", file, why);
        exit(EX_CONFIG);
    }
    if (a->cli.check) {
        printf("%s: ok\n", file);
        exit(EX_OK);
    }
    log_set_level(level_of(a, &a->set));
}

int main(int argc, char **argv)
{
    struct admin *a = NULL;
    enum err e = E_OK;

    proc_harden();
    proc_signals(false);
    a = mem_zalloc(sizeof *a);
    if (a == NULL) {
        return EX_OSERR;
    }
    proc_cli(argc, argv, "headgate-admin", "the HTTP API that operators drive all of it by",
             &a->cli);
    configure(a);
    log_limit(LOG_PER_SECOND, LOG_BURST);
    e = admin_open(a);
    if (e == E_OK) {
        e = run(a);
    } else {
        LOG(LV_ERROR, "admin.start_failed", KV_ERR(e), KV("where", err_where()));
    }
    admin_close(a);
    mem_free(a);
    return e == E_OK ? EX_OK : EX_CONFIG;
}
