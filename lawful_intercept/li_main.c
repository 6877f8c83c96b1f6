/* headgate-li: start, signals, health, orderly end. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/health.h"
#include "base/httpd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/pki.h"
#include "base/proc.h"
#include "base/tls.h"
#include "lawful_intercept/li_api.h"

enum { LOG_PER_SECOND = 100, LOG_BURST = 200, WHY_BYTES = 512, METRICS_BYTES = 4096 };

struct intercept {
    struct proc_cli cli;
    struct li_settings set;
    struct li_plan plan;
    struct conf *conf;
    struct loop *loop;
    struct metrics *metrics;
    struct li_store *store;
    struct tls_ctx *tls;
    struct li *li;
    struct ec_key *record_key;
    struct li_api api;
    struct httpd *httpd;
    struct health *health;
};

/* ---- health ------------------------------------------------------------------------------------
 */
static bool on_ready(void *arg, char *json, size_t json_bytes)
{
    struct intercept *i = arg;
    struct li_counts c;

    li_counts_of(i->li, &c);
    snprintf(json, json_bytes,
             "{\"ready\":true,\"degraded\":%s,\"tap\":\"%s\",\"postgres\":\"%s\"}\n",
             c.tap_up && c.store_up && c.places_down == 0 ? "false" : "true",
             c.tap_up ? "up" : "down", c.store_up ? "up" : "down");
    return true;
}

struct shown {
    const char *name, *type, *help;
    uint64_t value;
};

static size_t more_metrics(void *arg, char *dst, size_t dst_bytes)
{
    struct intercept *me = arg;
    struct li_counts c;
    size_t n = 0;

    li_counts_of(me->li, &c);
    const struct shown all[] = {
        {"headgate_li_tap_records_total", "counter", "records read from the tap", c.records},
        {"headgate_li_tap_lost_total", "counter", "records that were overwritten unread", c.lost},
        {"headgate_li_enrolment_keys_bad_total", "counter",
         "611 calls whose media keys did not open", c.bad_keys},
        {"headgate_li_calls", "gauge", "live calls that are followed", c.calls},
        {"headgate_li_orders_active", "gauge", "orders in force", c.orders_active},
        {"headgate_li_spooled_total", "counter", "records for agencies", c.spooled},
        {"headgate_li_sent_records", "gauge", "records sent by the deliveries that are open",
         c.sent},
        {"headgate_li_spool_lost_records", "gauge", "records that a full spool let go",
         c.spool_lost},
        {"headgate_li_waiting_seconds", "gauge",
         "age of the oldest record that no agency's TCP has confirmed", c.waiting_ms / 1000},
        {"headgate_li_deliveries", "gauge", "cases and places", c.places},
        {"headgate_li_deliveries_down", "gauge", "those without a connection", c.places_down},
        {"headgate_li_tap_up", "gauge", "1: the tap is there", c.tap_up},
        {"headgate_li_postgres_up", "gauge", "1: connected", c.store_up}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int more =
            snprintf(n < dst_bytes ? dst + n : NULL, n < dst_bytes ? dst_bytes - n : 0,
                     "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", all[i].name, all[i].help, all[i].name,
                     all[i].type, all[i].name, (unsigned long long)all[i].value);
        n += more > 0 ? (size_t)more : 0;
    }
    return n;
}

/* ---- signals -----------------------------------------------------------------------------------
 */
static struct httpd_tls files_of(const struct li_settings *s)
{
    return (struct httpd_tls){s->tls_certificate, s->tls_key, s->tls_client_ca, s->tls_client_crl};
}

static void on_hup(void *arg)
{
    struct intercept *i = arg;
    const struct httpd_tls tls = files_of(&i->set);
    char why[WHY_BYTES] = "";

    if (httpd_reload(i->httpd, &tls, why, sizeof why) != E_OK) {
        LOG(LV_ERROR, "li.reload_failed", KV("why", (const char *)why));
        return;
    }
    LOG(LV_INFO, "li.reloaded", KV("certificate", i->set.tls_certificate));
}

static void on_term(void *arg)
{
    struct intercept *i = arg;

    proc_notify("STOPPING=1");
    loop_stop(i->loop);
}

/* ---- start -------------------------------------------------------------------------------------
 */
static enum err read_key(const char *path, struct secret *out)
{
    uint8_t b[32];
    size_t n = 0;
    enum err e = secret_file_read(path, false, b, sizeof b, &n);

    if (e == E_OK) {
        e = n == sizeof b ? secret_set(out, b, n) : FAIL(E_RANGE);
    }
    wipe(b, sizeof b);
    if (e != E_OK) {
        LOG(LV_ERROR, "li.key", KV("file", path), KV_ERR(e));
    }
    return e;
}

/* What agencies see of us, and whom of them we believe. */
static enum err open_tls(struct intercept *i)
{
    const struct tls_files files = {i->set.agencies_certificate, i->set.agencies_key,
                                    i->set.agencies_ca};
    struct tls_cred *cred = NULL;
    char why[TLS_WHY_MAX] = "";
    enum err e = E_OK;

    if (i->set.agencies_certificate[0] == 0) {
        return E_OK;
    }
    TRY(tls_cred_load(&files, &cred, why));
    TRY(tls_client_ctx(&i->tls));
    TRY(tls_ctx_certify(i->tls, cred));
out:
    if (e != E_OK) {
        LOG(LV_ERROR, "li.tls", KV("why", (const char *)why), KV_ERR(e));
    }
    tls_cred_free(cred);
    return e;
}

static enum err read_enrolment_keys(const struct conf_list *files, struct p256_key *out)
{
    for (size_t i = 0; i < files->n; i++) {
        enum err e = pki_key_load(files->v[i], &out[i]);
        if (e != E_OK) {
            LOG(LV_ERROR, "li.key", KV("file", files->v[i]), KV_ERR(e));
            return e;
        }
    }
    return E_OK;
}

static enum err open_li(struct intercept *i)
{
    struct secret key = {{0}, 0};
    struct p256_key opening[LI_ENROLMENT_KEYS_MAX] = {{.d = {.n = 0}}};
    const struct li_store_cfg store = {i->set.conninfo, i->set.copy, &key};
    struct li_cfg cfg = {.element = i->set.element,
                         .tap = i->set.tap,
                         .tap_enrolments = i->set.tap_enrolments,
                         .spool = i->set.spool,
                         .position = i->set.position,
                         .directory = i->set.directory,
                         .key = &key,
                         .enrolment_keys = opening,
                         .n_enrolment_keys = i->set.enrolment_keys.n,
                         .spool_bytes = i->set.spool_bytes,
                         .warn_ms = i->set.warn_ms,
                         .late_ms = i->set.late_ms};
    enum err e = read_key(i->set.key, &key);

    TRY(e);
    TRY(read_enrolment_keys(&i->set.enrolment_keys, opening));
    TRY(li_store_open(&store, &i->store));
    cfg.store = i->store;
    cfg.tls = i->tls;
    TRY(li_open(&cfg, &i->li));
    if (i->set.record_key[0] != 0) {
        TRY(ec_key_load(i->set.record_key, &i->record_key));
    }
    i->api = (struct li_api){i->li, i->store, &i->plan, i->record_key};
out:
    wipe(opening, sizeof opening);
    secret_wipe(&key);
    return e;
}

static enum err open_httpd(struct intercept *i)
{
    const struct httpd_cfg cfg = {.listen = i->plan.listen,
                                  .socket = i->set.socket,
                                  .socket_group = i->set.socket_group,
                                  .tls = files_of(&i->set),
                                  .max_connections = 32,
                                  .per_source = 8,
                                  .max_body = 64 * 1024,
                                  .read_ms = 10000,
                                  .idle_ms = 60000,
                                  .handler = li_api_handle,
                                  .arg = &i->api};
    char why[WHY_BYTES] = "";
    enum err e = httpd_open(&cfg, &i->httpd, why, sizeof why);

    if (e != E_OK) {
        LOG(LV_ERROR, "li.listen", KV("why", (const char *)why), KV_ERR(e));
    }
    return e;
}

static enum err intercept_open(struct intercept *i)
{
    enum err e = loop_new(clock_system(), &i->loop);

    TRY(e);
    TRY(metrics_new(1, &i->metrics));
    TRY(open_tls(i));
    TRY(open_li(i));
    TRY(open_httpd(i));
    metrics_more(i->metrics, more_metrics, i);
    TRY(health_open(i->loop, &i->plan.health, i->metrics, on_ready, i, &i->health));
out:
    return e;
}

static void intercept_close(struct intercept *i)
{
    health_close(i->health);
    httpd_close(i->httpd, 1000);
    li_close(i->li, (unsigned)i->set.linger_ms);
    li_store_close(i->store);
    ec_key_free(i->record_key);
    tls_ctx_free(i->tls);
    metrics_free(i->metrics);
    loop_free(i->loop);
    conf_free(i->conf);
}

static enum err run(struct intercept *i)
{
    struct loop_signal *term = NULL, *quit = NULL, *hup = NULL;
    enum err e = E_OK;

    TRY(loop_signal_start(i->loop, SIGTERM, on_term, i, &term));
    TRY(loop_signal_start(i->loop, SIGINT, on_term, i, &quit));
    TRY(loop_signal_start(i->loop, SIGHUP, on_hup, i, &hup));
    proc_signals(true);
    proc_notify("READY=1");
    LOG(LV_INFO, "li.start", KV("element", i->set.element), KV("version", HEADGATE_VERSION));
    loop_run(i->loop);
    proc_ending();
    LOG(LV_INFO, "li.stop", KV("element", i->set.element));
out:
    loop_signal_stop(term);
    loop_signal_stop(quit);
    loop_signal_stop(hup);
    return e;
}

/* Exits itself when the configuration makes no sense, or when only that was asked. */
static void configure(struct intercept *i)
{
    struct proc_cli load = i->cli;
    const char *file = i->cli.config != NULL ? i->cli.config : "(defaults)";
    enum log_level level = i->cli.level;
    char why[WHY_BYTES];

    load.check = false; /* our own check comes first */
    i->conf = proc_conf(&load, li_fields, li_fields_n, &i->set);
    if (li_settings_check(&i->set, &i->plan, why, sizeof why) != E_OK) {
        fprintf(stderr, "%s: %s\n", file, why);
        exit(EX_CONFIG);
    }
    if (i->set.log_level[0] != 0 && log_level_parse(view_of(i->set.log_level), &level) != E_OK) {
        fprintf(stderr, "%s: log.level: '%s': error, warn, info or debug\n", file,
                i->set.log_level);
        exit(EX_CONFIG);
    }
    if (i->cli.check) {
        printf("%s: ok\n", file);
        exit(EX_OK);
    }
    log_set_level(level);
}

int main(int argc, char **argv)
{
    struct intercept *i = NULL;
    enum err e = E_OK;

    proc_harden();
    proc_signals(false);
    li_json_init();
    i = mem_zalloc(sizeof *i);
    if (i == NULL) {
        return EX_OSERR;
    }
    proc_cli(argc, argv, "headgate-li", "orders of courts, and their delivery to agencies",
             &i->cli);
    configure(i);
    log_limit(LOG_PER_SECOND, LOG_BURST);
    e = intercept_open(i);
    if (e == E_OK) {
        e = run(i);
    } else {
        LOG(LV_ERROR, "li.start_failed", KV_ERR(e), KV("where", err_where()));
    }
    intercept_close(i);
    mem_free(i);
    return e == E_OK ? EX_OK : EX_CONFIG;
}
