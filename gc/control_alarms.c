/* What is wrong now: from what the node knows anyway. Nothing here is remembered, so that an alarm
 * goes when its cause does. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gc/certs.h"
#include "gc/control_int.h"
#include "gc/trunks.h"
#include "gc/worker.h"
#include "routing/snapshot.h"

#define TRUNKS_MAX   1000
#define EXPIRING_US  (14ull * 86400 * 1000000)
#define HOUR_US      3600000000ull
#define TEXT_MAX     160
#define SEVERITY_BAD "critical" /* calls or records are lost now */
#define SEVERITY_ILL "major"    /* one more fault and they are */
#define SEVERITY_ODD "minor"    /* somebody should look */

/* object: of what kind alarm; empty: the node itself. */
static void add(json_t *rows, const char *name, const char *severity, const char *object,
                const char *text)
{
    json_t *o = json_object();

    control_put(o, "alarm", json_string(name));
    control_put(o, "severity", json_string(severity));
    control_put(o, "object", control_cstr(object));
    control_put(o, "text", control_cstr(text));
    control_add(rows, o);
}

static void add_count(json_t *rows, const char *name, const char *severity, uint64_t n,
                      const char *what)
{
    char text[TEXT_MAX];

    if (n > 0) {
        snprintf(text, sizeof text, "%llu %s", (unsigned long long)n, what);
        add(rows, name, severity, "", text);
    }
}

/* ---- the store ---------------------------------------------------------------------------------
 */
static void store_alarms(const struct control_ask *a, json_t *rows)
{
    struct store_health h;
    size_t left_out = snapshot_left_out(store_snapshot(a->cfg->store));

    store_quiescent(a->cfg->store, a->cfg->n_workers);
    store_health(a->cfg->store, &h);
    if (!h.have_snapshot) {
        add(rows, "no_snapshot", SEVERITY_BAD, "",
            "no lines and routes are known: only emergency calls and provisioning go through");
    }
    if (!h.postgres_up) {
        add(rows, "postgres_down", SEVERITY_ILL, "",
            "the database is away: calls go on, changes wait, records are spilled");
    }
    if (!h.redis_up) {
        add(rows, "redis_down", SEVERITY_ILL, "",
            "Redis is away: calls go on, new sessions and other nodes are not heard of");
    }
    add_count(rows, "records_lost", SEVERITY_BAD, h.cdr_lost,
              "call records were lost since the start");
    add_count(rows, "records_spilled", SEVERITY_ODD, h.cdr_spilled,
              "call records wait in the spill file");
    add_count(rows, "rows_left_out", SEVERITY_ODD, left_out,
              "trunks, routes, dial rules or credentials make no sense and are left out");
}

/* ---- servers and trunks ------------------------------------------------------------------------
 */
static void provisioning_alarms(const struct control_ask *a, json_t *rows)
{
    struct ps_state all[GC_PS_MAX];
    size_t n = workers_ps(a->cfg->workers, all, GC_PS_MAX), healthy = 0;

    for (size_t i = 0; i < n; i++) {
        healthy += all[i].healthy;
    }
    for (size_t i = 0; i < n; i++) {
        if (!all[i].healthy) {
            add(rows, "provisioning_down", healthy > 0 ? SEVERITY_ODD : SEVERITY_ILL, all[i].uri,
                "this provisioning server does not answer");
        }
    }
}

static void trunk_alarm(const struct trunk_view *v, json_t *rows)
{
    char text[TEXT_MAX];
    unsigned down = 0;

    for (unsigned i = 0; i < v->n; i++) {
        down += v->a[i].is_down;
    }
    if (v->n > 0 && down == v->n) {
        add(rows, "trunk_down", SEVERITY_BAD, v->name, "none of its addresses answers");
    } else if (down > 0) {
        snprintf(text, sizeof text, "%u of its %u addresses do not answer", down, v->n);
        add(rows, "trunk_degraded", SEVERITY_ODD, v->name, text);
    }
    if (v->n == 0 && v->resolved == E_NOTFOUND) {
        add(rows, "trunk_no_address", SEVERITY_BAD, v->name, "DNS knows no address of it");
    } else if (v->is_stale) {
        add(rows, "trunk_dns_stale", SEVERITY_ODD, v->name,
            "DNS is away: its addresses are those known before");
    }
}

static void trunk_alarms(const struct control_ask *a, json_t *rows)
{
    struct trunk_view *all = mem_zalloc_array(TRUNKS_MAX, sizeof *all);
    size_t n = all != NULL ? workers_trunks(a->cfg->workers, all, TRUNKS_MAX) : 0;

    for (size_t i = 0; i < n; i++) {
        if (all[i].is_known) {
            trunk_alarm(&all[i], rows);
        }
    }
    mem_free(all);
}

/* ---- certificate -------------------------------------------------------------------------------
 */
static void certificate_alarm(const struct control_ask *a, json_t *rows)
{
    uint64_t now = clock_wall_us(clock_system());
    uint64_t ends = a->cfg->certs != NULL ? certs_expire_us(a->cfg->certs) : 0;
    char text[TEXT_MAX];

    if (ends != 0 && ends <= now) {
        add(rows, "certificate_expired", SEVERITY_ILL, "tls.certificate",
            "the certificate is over: peers refuse TLS with it");
    } else if (ends != 0 && ends - now < EXPIRING_US) {
        snprintf(text, sizeof text, "the certificate ends in %llu hours",
                 (unsigned long long)((ends - now) / HOUR_US));
        add(rows, "certificate_expiring", SEVERITY_ODD, "tls.certificate", text);
    }
}

/* ---- emergency modes ---------------------------------------------------------------------------
 */
static void mode_alarms(const struct control_ask *a, json_t *rows)
{
    json_t *modes = control_emergency_modes(a->cfg), *m = NULL;
    char object[40], text[2 * TEXT_MAX];
    size_t i = 0;

    json_array_foreach(modes, i, m)
    {
        snprintf(object, sizeof object, "emergency mode %lld",
                 (long long)json_integer_value(json_object_get(m, "id")));
        snprintf(text, sizeof text, "in force until %.30s: %.200s",
                 json_string_value(json_object_get(m, "ends_at")),
                 json_string_value(json_object_get(m, "reason")));
        add(rows, "emergency_mode", SEVERITY_ODD, object, text);
    }
    json_decref(modes);
}

void control_op_alarms(struct control_ask *a, json_t *answer)
{
    json_t *rows = json_array();

    control_put(answer, "alarms", rows);
    store_alarms(a, rows);
    provisioning_alarms(a, rows);
    trunk_alarms(a, rows);
    certificate_alarm(a, rows);
    mode_alarms(a, rows);
}
