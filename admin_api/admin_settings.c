/* Configuration of headgate-admin: the table, and what its texts mean. */
#include "admin_api/admin_settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define AT(member) offsetof(struct admin_settings, member)

const struct conf_field admin_fields[] = {
    {"log.level", CONF_TEXT, AT(log_level), "", 0, 0,
     "error, warn, info or debug; empty: as on the command line; taken over by SIGHUP"},
    {"admin.listen", CONF_TEXT, AT(listen), "127.0.0.1:8443", 0, 0,
     "ip:port of the API; without tls.certificate a loopback address; empty: the socket alone"},
    {"admin.socket", CONF_PATH, AT(socket), "/run/headgate/admin.sock", 0, 0,
     "Unix socket of the API; empty: none"},
    {"admin.socket_group", CONF_TEXT, AT(socket_group), "", 0, 0,
     "members of this group may connect to the socket; empty: only our own user and root"},
    {"admin.local_group", CONF_TEXT, AT(local_group), "", 0, 0,
     "members of this group may ask over the socket as the administrator whose os_user they are; "
     "empty: all whom an administrator's os_user names"},
    {"tls.certificate", CONF_PATH, AT(tls_certificate), "", 0, 0,
     "PEM, ours and then its chain; empty: no TLS; read again by SIGHUP, as are the other tls.*"},
    {"tls.key", CONF_PATH, AT(tls_key), "", 0, 0, "PEM, mode 0600: its private key"},
    {"tls.client_ca", CONF_PATH, AT(tls_client_ca), "", 0, 0,
     "PEM: authorities of administrators' certificates; empty: nobody is known by a certificate"},
    {"tls.client_crl", CONF_PATH, AT(tls_client_crl), "", 0, 0,
     "PEM: their revocation lists; when one has run out, no certificate counts; empty: none are "
     "looked at"},
    {"health.listen", CONF_TEXT, AT(health_listen), "127.0.0.1:9072", 0, 0,
     "/livez /readyz /metrics, loopback only"},
    {"database.conninfo", CONF_TEXT, AT(conninfo), "dbname=headgate user=hg_api", 0, 0,
     "PostgreSQL, libpq keywords; Unix socket or numeric address"},
    {"database.trace_conninfo", CONF_TEXT, AT(trace_conninfo), "dbname=headgate user=hg_trace", 0,
     0, "the same database, as the role that alone reads traces"},
    {"database.pool", CONF_UINT, AT(pool), "8", 1, 128, "connections to it"},
    {"database.stale", CONF_MS, AT(stale_ms), "1h", 1000, 86400000,
     "how long administrators are known while the database is away"},
    {"gates.sockets", CONF_LIST, AT(gate_sockets), "/run/headgate/control.sock", 0, ADMIN_GATES_MAX,
     "control sockets of the gate controllers of this machine"},
    {"redis.address", CONF_TEXT, AT(redis_address), "", 0, 0,
     "unix:/path or numeric address:port, for gate controllers of other machines; empty: none"},
    {"redis.user", CONF_TEXT, AT(redis_user), "", 0, 0, "empty: none"},
    {"redis.password", CONF_TEXT, AT(redis_password), "", 0, 0, "empty: none; use ${file:...}"},
    {"keys.command", CONF_PATH, AT(command_key), "", 0, 0,
     "32 octets, mode 0600: seals commands to gate controllers of other machines; empty: none"},
    {"keys.work_order", CONF_PATH, AT(work_order_key), "work_order.key", 0, 0,
     "32 octets, mode 0600: keyed hash of work orders, shared with headgate-prov"},
    {"keys.audit", CONF_PATH, AT(audit_key), "", 0, 0,
     "PEM, mode 0600: P-256 key that signs checkpoints of the audit log; empty: none are signed"},
    {"audit.checkpoint_rows", CONF_UINT, AT(checkpoint_rows), "1000", 1, 1000000,
     "rows of the audit log after which a checkpoint is signed"},
    {"audit.checkpoint_every", CONF_MS, AT(checkpoint_every_ms), "5m", 100, 86400000,
     "and after which time, when there are rows that none covers"},
    {"limits.connections", CONF_UINT, AT(max_connections), "128", 1, 512,
     "to admin.listen at a time; further ones are told 503"},
    {"limits.per_source", CONF_UINT, AT(per_source), "16", 1, 512, "of these, of one IP address"},
    {"limits.body", CONF_UINT, AT(max_body), "262144", 1024, 16777216, "octets of a request body"},
    {"limits.requests_per_second", CONF_UINT, AT(requests_per_second), "50", 1, 100000,
     "of one administrator; bursts of four times that"},
    {"limits.read_time", CONF_MS, AT(read_ms), "10s", 100, 600000,
     "in which a request must have come, and an answer must move on"},
    {"limits.idle", CONF_MS, AT(idle_ms), "60s", 100, 3600000, "between two requests"},
    {"limits.drain", CONF_MS, AT(drain_ms), "30s", 0, 600000, "time to finish after SIGTERM"},
};
const size_t admin_fields_n = sizeof admin_fields / sizeof admin_fields[0];

struct complaint {
    char *why;
    size_t bytes;
};

__attribute__((format(printf, 2, 3))) static enum err complain(const struct complaint *c,
                                                               const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(c->why, c->bytes, fmt, args);
    va_end(args);
    return FAIL(E_PARSE);
}

static bool is_given(const char *text)
{
    return text[0] != 0;
}

static enum err check_tls(const struct admin_settings *s, const struct complaint *c)
{
    if (is_given(s->tls_certificate) != is_given(s->tls_key)) {
        return complain(c, "tls.%s: goes with tls.%s", is_given(s->tls_key) ? "key" : "certificate",
                        is_given(s->tls_key) ? "certificate" : "key");
    }
    if (is_given(s->tls_client_ca) && !is_given(s->tls_certificate)) {
        return complain(c, "tls.client_ca: needs tls.certificate");
    }
    if (is_given(s->tls_client_crl) && !is_given(s->tls_client_ca)) {
        return complain(c, "tls.client_crl: needs tls.client_ca");
    }
    return E_OK;
}

static enum err check_listen(const struct admin_settings *s, struct admin_plan *p,
                             const struct complaint *c)
{
    if (!is_given(s->listen) && !is_given(s->socket)) {
        return complain(c, "admin.listen: is empty, as is admin.socket");
    }
    if (is_given(s->listen) && net_parse(view_of(s->listen), 8443, &p->listen) != E_OK) {
        return complain(c, "admin.listen: '%s' is not ip:port", s->listen);
    }
    if (is_given(s->listen) && !is_given(s->tls_certificate) && !net_is_loopback(&p->listen)) {
        return complain(c, "admin.listen: %s is no loopback address, and needs tls.certificate",
                        s->listen);
    }
    if (net_parse(view_of(s->health_listen), 9072, &p->health) != E_OK) {
        return complain(c, "health.listen: '%s' is not ip:port", s->health_listen);
    }
    if (!net_is_loopback(&p->health)) {
        return complain(c, "health.listen: %s is not a loopback address", s->health_listen);
    }
    return E_OK;
}

static enum err check_redis(const struct admin_settings *s, const struct complaint *c)
{
    struct net_addr a;

    if (!is_given(s->redis_address)) {
        return E_OK;
    }
    if (strncmp(s->redis_address, "unix:/", 6) != 0 &&
        net_parse(view_of(s->redis_address), 6379, &a) != E_OK) {
        return complain(c, "redis.address: '%s' is neither unix:/path nor a numeric address",
                        s->redis_address);
    }
    if (!is_given(s->command_key)) {
        return complain(c, "redis.address: needs keys.command");
    }
    if (is_given(s->redis_user) && !is_given(s->redis_password)) {
        return complain(c, "redis.user: needs redis.password");
    }
    return E_OK;
}

enum err admin_settings_check(const struct admin_settings *s, struct admin_plan *out, char *why,
                              size_t why_bytes)
{
    const struct complaint c = {why, why_bytes};
    struct admin_plan p = {.listen = {.family = 0}};
    enum log_level level = LV_INFO;
    enum err e = E_OK;

    if (is_given(s->log_level) && log_level_parse(view_of(s->log_level), &level) != E_OK) {
        return complain(&c, "log.level: '%s' is not error, warn, info or debug", s->log_level);
    }
    if (!is_given(s->conninfo)) {
        return complain(&c, "database.conninfo: is empty");
    }
    TRY(check_tls(s, &c));
    TRY(check_listen(s, &p, &c));
    TRY(check_redis(s, &c));
    *out = p;
out:
    return e;
}

struct httpd_tls admin_tls(const struct admin_settings *s)
{
    return (struct httpd_tls){.certificate = s->tls_certificate,
                              .key = s->tls_key,
                              .client_ca = s->tls_client_ca,
                              .client_crl = s->tls_client_crl};
}

/* ---- reloading ---------------------------------------------------------------------------------
 */
static bool same_texts(const struct conf_list *a, const struct conf_list *b)
{
    bool same = a->n == b->n;

    for (size_t i = 0; same && i < a->n; i++) {
        same = strcmp(a->v[i], b->v[i]) == 0;
    }
    return same;
}

static bool same_value(const struct conf_field *f, const struct admin_settings *a,
                       const struct admin_settings *b)
{
    const void *pa = (const uint8_t *)a + f->offset, *pb = (const uint8_t *)b + f->offset;

    if (f->type == CONF_LIST) {
        return same_texts(pa, pb);
    }
    if (f->type == CONF_TEXT || f->type == CONF_PATH) {
        return strcmp(*(const char *const *)pa, *(const char *const *)pb) == 0;
    }
    return memcmp(pa, pb, f->type == CONF_BOOL ? sizeof(bool) : sizeof(uint64_t)) == 0;
}

void admin_reload(const struct admin_settings *running, const struct admin_settings *fresh,
                  struct admin_settings *out, void (*restart)(void *arg, const char *name),
                  void *arg)
{
    *out = *running;
    out->log_level = fresh->log_level;
    out->tls_certificate = fresh->tls_certificate;
    out->tls_key = fresh->tls_key;
    out->tls_client_ca = fresh->tls_client_ca;
    out->tls_client_crl = fresh->tls_client_crl;
    for (size_t i = 0; i < admin_fields_n; i++) {
        const struct conf_field *f = &admin_fields[i];
        bool is_taken = strcmp(f->name, "log.level") == 0 || strncmp(f->name, "tls.", 4) == 0;
        if (!is_taken && !same_value(f, running, fresh)) {
            restart(arg, f->name);
        }
    }
}
