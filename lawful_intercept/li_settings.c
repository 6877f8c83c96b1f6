#include "lawful_intercept/li_settings.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/view.h"
#include "lawful_intercept/li.h"
#include "lawful_intercept/order.h"

#define AT(member) offsetof(struct li_settings, member)

const struct conf_field li_fields[] = {
    {"log.level", CONF_TEXT, AT(log_level), "", 0, 0,
     "error, warn, info or debug; empty: as on the command line"},
    {"node.element", CONF_TEXT, AT(element), "", 0, 0,
     "our name in call data (accessingElementId), 1 to 15 visible characters"},
    {"api.listen", CONF_TEXT, AT(listen), "127.0.0.1:8444", 0, 0,
     "ip:port of the officers' API; without tls.certificate a loopback address; empty: the socket "
     "alone"},
    {"api.socket", CONF_PATH, AT(socket), "/run/headgate-li/li.sock", 0, 0,
     "Unix socket of the API; empty: none"},
    {"api.socket_group", CONF_TEXT, AT(socket_group), "", 0, 0,
     "members of this group may connect to it; empty: only our own user and root"},
    {"api.officers", CONF_LIST, AT(officers), "", 0, LI_OFFICERS_MAX,
     "who may ask: NAME=certificate:COMMON-NAME, NAME=uid:NUMBER"},
    {"tls.certificate", CONF_PATH, AT(tls_certificate), "", 0, 0,
     "PEM, of the officers' API; empty: no TLS"},
    {"tls.key", CONF_PATH, AT(tls_key), "", 0, 0, "PEM, mode 0600: its private key"},
    {"tls.client_ca", CONF_PATH, AT(tls_client_ca), "", 0, 0,
     "PEM: the authority of officers' certificates; its own, and nobody else's"},
    {"tls.client_crl", CONF_PATH, AT(tls_client_crl), "", 0, 0,
     "PEM: its revocation list; empty: none"},
    {"agencies.certificate", CONF_PATH, AT(agencies_certificate), "", 0, 0,
     "PEM: what agencies know us by; empty: none, then only plain places on this machine"},
    {"agencies.key", CONF_PATH, AT(agencies_key), "", 0, 0, "PEM, mode 0600: its private key"},
    {"agencies.ca", CONF_PATH, AT(agencies_ca), "", 0, 0, "PEM: authorities of the agencies"},
    {"health.listen", CONF_TEXT, AT(health_listen), "127.0.0.1:9073", 0, 0,
     "/livez /readyz /metrics, loopback only"},
    {"database.conninfo", CONF_TEXT, AT(conninfo), "dbname=headgate_li user=hg_li", 0, 0,
     "PostgreSQL: agencies, orders and the officers' log, sealed"},
    {"database.directory", CONF_TEXT, AT(directory), "dbname=headgate user=hg_li", 0, 0,
     "the subscribers' database: which line a number or a BTI belongs to"},
    {"tap.file", CONF_PATH, AT(tap), "/run/headgate/tap", 0, 0, "tap.file of headgate"},
    {"tap.enrolments", CONF_PATH, AT(tap_enrolments), "", 0, 0,
     "tap.file of headgate-prov on this machine; empty: there is none"},
    {"state.spool", CONF_PATH, AT(spool), "/var/lib/headgate-li/spool", 0, 0,
     "folder of what is to be delivered, sealed"},
    {"state.position", CONF_PATH, AT(position), "/var/lib/headgate-li/position", 0, 0,
     "file: how far the tap was read"},
    {"state.copy", CONF_PATH, AT(copy), "/var/lib/headgate-li/orders", 0, 0,
     "file: agencies and orders, sealed, for a start without the database"},
    {"state.spool_bytes", CONF_UINT, AT(spool_bytes), "0", 0, 0,
     "of one case to one place; past it the oldest records go, counted; 0: what the disk has"},
    {"keys.intercept", CONF_PATH, AT(key), "", 0, 0,
     "32 octets, mode 0600: seals orders and spools; all headgate-li of a cluster share it"},
    {"keys.enrolment", CONF_LIST, AT(enrolment_keys), "", 0, LI_ENROLMENT_KEYS_MAX,
     "PEM files, mode 0600, newest first: open the media keys of 611 calls; the public half of the "
     "first is tap.key of headgate-prov"},
    {"keys.record", CONF_PATH, AT(record_key), "", 0, 0,
     "PEM, mode 0600: P-256 key that signs certified records; empty: there are none"},
    {"delivery.warn", CONF_MS, AT(warn_ms), "4s", 100, 3600000,
     "alarm when a record waits for so long"},
    {"delivery.late", CONF_MS, AT(late_ms), "8s", 100, 3600000,
     "the same, as an error: what the law allows is over"},
    {"delivery.linger", CONF_MS, AT(linger_ms), "2s", 0, 60000,
     "time at the end to send what waits; the rest stays in the spool"},
};
const size_t li_fields_n = sizeof li_fields / sizeof li_fields[0];

static enum err read_officer(const char *text, struct li_officer *out)
{
    struct li_officer o = {.has_uid = false};
    size_t equals = 0;
    struct view v = view_of(text), who, how;
    uint64_t uid = 0;
    enum err e = E_OK;

    if (!view_find(v, '=', &equals) || equals == 0) {
        return FAIL(E_PARSE);
    }
    who = view_sub(v, 0, equals);
    how = view_sub(v, equals + 1, v.n);
    TRY(view_to_cstr(who, o.name, sizeof o.name));
    if (view_starts(how, VIEW("certificate:"))) {
        TRY(view_to_cstr(view_sub(how, 12, how.n), o.certificate, sizeof o.certificate));
        e = o.certificate[0] != 0 ? E_OK : FAIL(E_PARSE);
    } else if (view_starts(how, VIEW("uid:"))) {
        TRY(view_to_u64(view_sub(how, 4, how.n), UINT32_MAX - 1, &uid));
        o.uid = (uid_t)uid;
        o.has_uid = true;
    } else {
        e = FAIL(E_PARSE);
    }
    *out = o;
out:
    return e;
}

enum err li_settings_check(const struct li_settings *s, struct li_plan *out, char *why,
                           size_t why_bytes)
{
    struct li_plan p = {.n_officers = 0};
    size_t n = strlen(s->element);

    if (n == 0 || n >= LI_ELEMENT_MAX ||
        strspn(s->element, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "abcdefghijklmnopqrstuvwxyz"
                           "0123456789-_.") != n) {
        snprintf(why, why_bytes, "node.element: 1 to %d letters, digits, '-', '_', '.'",
                 LI_ELEMENT_MAX - 1);
        return FAIL(E_PARSE);
    }
    if (s->key[0] == 0) {
        snprintf(why, why_bytes, "keys.intercept: is missing");
        return FAIL(E_PARSE);
    }
    if ((s->tap_enrolments[0] != 0) != (s->enrolment_keys.n > 0)) {
        snprintf(why, why_bytes, "tap.enrolments: goes with keys.enrolment");
        return FAIL(E_PARSE);
    }
    if (s->listen[0] != 0 && net_parse(view_of(s->listen), 8444, &p.listen) != E_OK) {
        snprintf(why, why_bytes, "api.listen: '%s' is no address", s->listen);
        return FAIL(E_PARSE);
    }
    if (net_parse(view_of(s->health_listen), 9073, &p.health) != E_OK ||
        !net_is_loopback(&p.health)) {
        snprintf(why, why_bytes, "health.listen: '%s' is no loopback address", s->health_listen);
        return FAIL(E_PARSE);
    }
    for (size_t i = 0; i < s->officers.n; i++) {
        if (read_officer(s->officers.v[i], &p.officer[p.n_officers++]) != E_OK) {
            snprintf(why, why_bytes,
                     "api.officers: '%s': NAME=certificate:COMMON-NAME or NAME=uid:NUMBER",
                     s->officers.v[i]);
            return FAIL(E_PARSE);
        }
    }
    *out = p;
    return E_OK;
}
