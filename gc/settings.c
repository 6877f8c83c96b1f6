/* Configuration of headgate: the table, and what its texts mean. */
#include "gc/settings.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gc/hep.h"
#include "signaling/sip_uri.h"

#define AT(member) offsetof(struct gc_settings, member)

const struct conf_field gc_fields[] = {
    {"node.name", CONF_TEXT, AT(node_name), "gc1", 0, 0,
     "name of this gate controller, unique in the cluster: 1 to 16 of A-Z a-z 0-9 . _ -"},
    {"node.domain", CONF_TEXT, AT(domain), "headgate.example", 0, 0, "SIP domain"},
    {"node.workers", CONF_UINT, AT(workers), "0", 0, 64,
     "threads that carry calls; 0: one for each processor"},
    {"log.level", CONF_TEXT, AT(log_level), "", 0, 0,
     "error, warn, info or debug; empty: as on the command line; taken over by SIGHUP"},
    {"sip.listen", CONF_LIST, AT(sip_listen), "udp:127.0.0.1:5060, tcp:127.0.0.1:5060", 1,
     GC_LISTEN_MAX, "udp:, tcp: or tls: and ip:port; the first is what other nodes are told"},
    {"sip.t1", CONF_MS, AT(t1_ms), "500ms", 10, 4000, "RFC 3261 T1: estimate of the round trip"},
    {"sip.timer_c", CONF_MS, AT(timer_c_ms), "180s", 1000, 600000,
     "RFC 3261 Timer C: longest ringing"},
    {"health.listen", CONF_TEXT, AT(health_listen), "127.0.0.1:9070", 0, 0,
     "/livez /readyz /metrics, loopback only"},
    {"control.socket", CONF_PATH, AT(control_socket), "/run/headgate/control.sock", 0, 0,
     "what headgatectl talks to"},
    {"control.group", CONF_TEXT, AT(control_group), "", 0, 0,
     "members of this group may use the control socket; empty: only our own user and root"},
    {"database.conninfo", CONF_TEXT, AT(conninfo), "dbname=headgate user=hg_gc", 0, 0,
     "PostgreSQL, libpq keywords; Unix socket or numeric address"},
    {"redis.address", CONF_TEXT, AT(redis_address), "127.0.0.1:6379", 0, 0,
     "unix:/path or numeric address:port"},
    {"redis.user", CONF_TEXT, AT(redis_user), "", 0, 0, "empty: none"},
    {"redis.password", CONF_TEXT, AT(redis_password), "", 0, 0, "empty: none; use ${file:...}"},
    {"state.snapshot", CONF_PATH, AT(snapshot_path), "/var/lib/headgate/snapshot", 0, 0,
     "lines, numbers and routes for a start without PostgreSQL"},
    {"state.spill", CONF_PATH, AT(spill_path), "/var/lib/headgate/cdr.spill", 0, 0,
     "call records that PostgreSQL could not take yet"},
    {"keys.cluster", CONF_PATH, AT(cluster_key), "cluster.key", 0, 0,
     "32 octets, mode 0600: opens session keys that headgate-prov sealed"},
    {"keys.command", CONF_PATH, AT(command_key), "", 0, 0,
     "32 octets, mode 0600, the same as headgate-admin has: it may ask this node through Redis; "
     "empty: by the control socket alone"},
    {"tls.certificate", CONF_PATH, AT(tls_certificate), "", 0, 0,
     "PEM, ours and then its chain, for tls: listeners; empty: sessions' keys only; read again by "
     "SIGHUP, as are tls.key and tls.ca"},
    {"tls.key", CONF_PATH, AT(tls_key), "", 0, 0, "PEM, mode 0600: its private key"},
    {"tls.ca", CONF_PATH, AT(tls_ca), "", 0, 0,
     "PEM: authorities that certificates of peers must lead to; empty: peers are not asked for "
     "one"},
    {"provisioning.servers", CONF_LIST, AT(ps_servers), "udp:127.0.0.1:5070", 1, GC_PS_MAX,
     "udp:ip:port or tcp:ip:port of the provisioning servers"},
    {"provisioning.ping", CONF_MS, AT(ps_ping_ms), "1s", 100, 60000,
     "time between OPTIONS to each of them"},
    {"provisioning.dead_after", CONF_UINT, AT(ps_dead_after), "3", 1, 100,
     "missed answers until a server gets no more calls"},
    {"provisioning.code", CONF_TEXT, AT(provisioning_code), "611", 0, 0,
     "dialled digits that reach a provisioning server"},
    {"emergency.next_hops", CONF_LIST, AT(emergency_next_hops), "", 0, GC_EMERGENCY_MAX,
     "sip:ip:port[;transport=tcp], tried in this order when the database has no route"},
    {"emergency.codes", CONF_LIST, AT(emergency_codes), "911, 112", 1, GC_EMERGENCY_MAX,
     "dialled digits that are emergency calls"},
    {"peers.trusted", CONF_LIST, AT(trusted_peers), "", 0, GC_TRUSTED_MAX,
     "IP addresses of gateways and PSAPs that need no MAC"},
    {"hep.collector", CONF_TEXT, AT(hep_collector), "", 0, 0,
     "ip:port that gets a copy of every SIP message as HEPv3 over UDP, unencrypted, keys removed: "
     "on this machine or a network that nobody else reads; empty: none"},
    {"hep.agent", CONF_UINT, AT(hep_agent), "1", 0, UINT32_MAX, "capture id of this node"},
    {"hep.key", CONF_TEXT, AT(hep_key), "", 0, 0,
     "what the collector wants to see, 255 characters at most; empty: nothing; use ${file:...}"},
    {"digest.md5", CONF_BOOL, AT(digest_md5), "false", 0, 0,
     "offer MD5 to phones that cannot SHA-256, and take it; it can be guessed far faster"},
    {"digest.nonce_life", CONF_MS, AT(nonce_life_ms), "300s", 10000, 3600000,
     "how long a phone may use a challenge"},
    {"dns.servers", CONF_LIST, AT(dns_servers), "", 0, GC_DNS_MAX,
     "ip or ip:port of the servers that know the hosts of trunks; empty: those of "
     "/etc/resolv.conf"},
    {"stir.key", CONF_PATH, AT(stir_key), "", 0, 0,
     "PEM, mode 0600: P-256 key that signs the caller's number of calls to trunks with stir_sign; "
     "empty: none are signed; stir.* but stir.cache is taken over by SIGHUP"},
    {"stir.certificate_url", CONF_TEXT, AT(stir_certificate_url), "", 0, 0,
     "https URL where others find the certificate of stir.key, 200 characters at most"},
    {"stir.anchors", CONF_PATH, AT(stir_anchors), "", 0, 0,
     "PEM: authorities that certificates of signers must lead to; empty: nobody's signature "
     "counts"},
    {"stir.crls", CONF_PATH, AT(stir_crls), "", 0, 0,
     "PEM: their revocation lists; empty: none are looked at"},
    {"stir.wait", CONF_MS, AT(stir_wait_ms), "300ms", 0, 5000,
     "how long a call waits for a certificate that is not known yet; then it goes on unchecked"},
    {"stir.fetch_timeout", CONF_MS, AT(stir_fetch_timeout_ms), "2s", 100, 30000,
     "for one certificate"},
    {"stir.fetch_ports", CONF_LIST, AT(stir_fetch_ports), "443", 1, STIR_PORTS_MAX,
     "ports that certificates may be fetched from"},
    {"stir.fetch_allow", CONF_LIST, AT(stir_fetch_allow), "", 0, STIR_NETS_MAX,
     "networks (192.0.2.0/24) that may be asked though they are private or loopback: laboratories"},
    {"stir.tls_ca", CONF_PATH, AT(stir_tls_ca), "", 0, 0,
     "PEM: authorities of the https servers; empty: those of the system"},
    {"stir.cache", CONF_UINT, AT(stir_cache), "1024", 16, 100000,
     "certificates of others that are kept"},
    {"stir.cache_max", CONF_UINT, AT(stir_cache_max_s), "86400", 60, 604800,
     "seconds that one is kept at most, whatever its server says"},
    {"dialing.country_code", CONF_TEXT, AT(country_code), "1", 0, 0, "without +"},
    {"dialing.national_prefix", CONF_TEXT, AT(national_prefix), "1", 0, 0,
     "dialled before a national number; may be empty"},
    {"dialing.international_prefix", CONF_TEXT, AT(international_prefix), "011", 0, 0,
     "dialled before a country code"},
    {"dialing.area", CONF_TEXT, AT(area), "", 0, 0,
     "put before numbers that are dialled without an area code; empty: none"},
    {"dialing.national_digits", CONF_UINT, AT(national_digits), "10", 4, 14,
     "length of a national number"},
    {"priority.enabled", CONF_BOOL, AT(priority_enabled), "true", 0, 0,
     "Resource-Priority (RFC 4412) counts; priority.* is taken over by SIGHUP"},
    {"priority.namespaces", CONF_LIST, AT(priority_namespaces), "dsn, drsn, q735, ets, wps, esnet",
     1, PRIORITY_NAMESPACES, "those that are known here"},
    {"priority.preempts", CONF_LIST, AT(priority_preempts), "", 0, PRIORITY_NAMESPACES,
     "namespaces that take the place of other calls though they are made for queues (ets, wps, "
     "esnet); dsn, drsn and q735 always do"},
    {"priority.order", CONF_TEXT, AT(priority_order), "", 0, 0,
     "r-values of all namespaces, lowest first, by spaces, equals joined by =; those left out are "
     "not known; empty: equal levels of the namespaces are equal"},
    {"priority.hides_reason", CONF_BOOL, AT(priority_hides_reason), "false", 0, 0,
     "lines that are preempted are not told how (RFC 4411: cause 3)"},
    {"registration.expires_min", CONF_UINT, AT(expires_min_s), "60", 1, 86400,
     "seconds; shorter ones are refused with 423"},
    {"registration.expires_default", CONF_UINT, AT(expires_default_s), "600", 1, 604800,
     "seconds, when a REGISTER names none"},
    {"registration.expires_max", CONF_UINT, AT(expires_max_s), "3600", 1, 604800,
     "seconds; longer ones are shortened"},
    {"calls.ring", CONF_UINT, AT(ring_s), "20", 1, 600,
     "seconds that a line's phones of one preference (q) ring before those of the next do"},
    {"calls.session_expires", CONF_UINT, AT(session_expires_s), "1800", 0, 86400,
     "seconds after which a call must be refreshed (RFC 4028), 90 at least; 0: not asked for"},
    {"calls.session_min", CONF_UINT, AT(session_min_s), "90", 90, 86400,
     "seconds; shorter refresh intervals are refused with 422"},
    {"limits.sessions", CONF_UINT, AT(max_sessions), "200000", 16, 10000000, "of this node"},
    {"limits.registrations", CONF_UINT, AT(max_registrations), "200000", 16, 10000000,
     "of this node"},
    {"limits.calls", CONF_UINT, AT(max_calls), "20000", 1, 1000000, "live, of each worker"},
    {"limits.transactions", CONF_UINT, AT(max_transactions), "100000", 16, 10000000,
     "of each worker"},
    {"limits.connections", CONF_UINT, AT(max_connections), "10000", 4, 1000000, "of each worker"},
    {"limits.connections_per_source", CONF_UINT, AT(max_connections_per_source), "64", 1, 1000000,
     "of one IP address at each worker"},
    {"limits.unproven_per_source", CONF_UINT, AT(unproven_per_source), "20", 1, 1000000,
     "611 calls a minute without proof from one IP address"},
    {"limits.unproven_total", CONF_UINT, AT(unproven_total), "1200", 1, 10000000,
     "the same in all"},
    {"limits.challenge_per_source", CONF_UINT, AT(challenge_per_source), "20", 1, 1000000,
     "refusals a second to one IP address; past it silence"},
    {"limits.guesses_per_source", CONF_UINT, AT(guesses_per_source), "30", 1, 100000,
     "wrong Digest answers a minute from one IP address; past it none is looked at"},
    {"limits.guesses_per_username", CONF_UINT, AT(guesses_per_username), "10", 1, 100000,
     "the same for one username, but from where it is registered"},
    {"limits.nonces", CONF_UINT, AT(max_nonces), "65536", 64, 10000000,
     "Digest challenges in use, of this node; past it the oldest must be asked for anew"},
    {"limits.calls_per_line", CONF_UINT, AT(calls_per_line), "4", 1, 10000, "live at a time"},
    {"limits.subscriptions", CONF_UINT, AT(max_usages), "20000", 0, 1000000,
     "dialogs made by SUBSCRIBE and REFER, of each worker"},
    {"limits.subscriptions_per_line", CONF_UINT, AT(usages_per_line), "16", 0, 10000,
     "such dialogs that one line began"},
    {"limits.parked", CONF_UINT, AT(max_parked), "1000", 1, 1000000,
     "requests that wait for the database or a certificate, of each worker; taken over by "
     "SIGHUP"},
    {"limits.last_calls", CONF_UINT, AT(max_last_calls), "20000", 16, 10000000,
     "lines whose last incoming calls this node remembers for *57 and *69; the database has all"},
    {"limits.drain", CONF_MS, AT(drain_ms), "30s", 0, 3600000,
     "time for calls to end after SIGTERM; taken over by SIGHUP"},
    {"trace.bytes", CONF_UINT, AT(trace_bytes), "16777216", 65536, 4294967296,
     "memory of each worker for the messages of calls"},
    {"trace.calls", CONF_UINT, AT(trace_calls), "4096", 16, 65000,
     "call records of each worker, live and ended"},
    {"tap.file", CONF_PATH, AT(tap_file), "", 0, 0,
     "where all signaling is written for headgate-li to choose from; on a tmpfs, such as "
     "/run/headgate/tap; empty: nowhere"},
    {"tap.group", CONF_TEXT, AT(tap_group), "", 0, 0,
     "group that headgate-li runs in: it may read that file; empty: our own user alone"},
    {"tap.bytes", CONF_UINT, AT(tap_bytes), "16777216", 262144, 1073741824,
     "of each worker, a power of two: what headgate-li may lag behind before it misses anything"},
};
const size_t gc_fields_n = sizeof gc_fields / sizeof gc_fields[0];

struct complaint {
    char *text;
    size_t bytes;
};

#define COMPLAIN(c, ...) (snprintf((c)->text, (c)->bytes, __VA_ARGS__), FAIL(E_PARSE))

/* ---- next hops ---------------------------------------------------------------------------------
 */
static bool is_wildcard(const struct net_addr *a)
{
    static const uint8_t zero[16];

    return memcmp(a->ip, zero, sizeof zero) == 0;
}

static enum err hop_from_sip(struct view text, struct gc_next_hop *h)
{
    struct sip_uri u;
    struct view transport = {0};
    enum err e = sip_uri_parse(text, &u);

    TRY(e);
    if (u.scheme != SIP_SCHEME_SIP || u.user.n != 0 || u.password.n != 0 || u.headers.n != 0) {
        return FAIL(E_PARSE);
    }
    if (u.params.n != 0 && !sip_param(u.params, VIEW("transport"), &transport)) {
        return FAIL(E_PARSE);
    }
    if (transport.n == 0 || view_eq_nocase(transport, VIEW("udp"))) {
        h->proto = SIP_UDP;
    } else if (view_eq_nocase(transport, VIEW("tcp"))) {
        h->proto = SIP_TCP;
    } else {
        return FAIL(E_PARSE);
    }
    TRY(net_parse_ip(u.host, &h->address));
    h->address.port = u.port != 0 ? u.port : 5060;
out:
    return e == E_OK ? E_OK : FAIL(E_PARSE);
}

enum err gc_next_hop_parse(struct view text, struct gc_next_hop *out)
{
    struct gc_next_hop h = {.uri = ""};
    char address[NET_TEXT_MAX];
    enum err e = E_OK;

    if (view_starts_nocase(text, VIEW("sip:"))) {
        TRY(hop_from_sip(text, &h));
    } else {
        TRY(sip_listen_parse(text, &h.proto, &h.address));
    }
    if (h.proto == SIP_TLS || h.address.port == 0 || is_wildcard(&h.address)) {
        return FAIL(E_PARSE);
    }
    net_text(&h.address, address);
    snprintf(h.uri, sizeof h.uri, "sip:%s%s", address, h.proto == SIP_TCP ? ";transport=tcp" : "");
    *out = h;
out:
    return e == E_OK ? E_OK : FAIL(E_PARSE);
}

static enum err read_hops(const char *setting, const struct conf_list *list,
                          struct gc_next_hop *hops, unsigned max, unsigned *n,
                          const struct complaint *c)
{
    for (size_t i = 0; i < list->n; i++) {
        if (*n == max) {
            return COMPLAIN(c, "%s: at most %u", setting, max);
        }
        if (gc_next_hop_parse(view_of(list->v[i]), &hops[*n]) != E_OK) {
            return COMPLAIN(c, "%s: '%s' is not udp:ip:port, tcp:ip:port or sip:ip:port", setting,
                            list->v[i]);
        }
        (*n)++;
    }
    return E_OK;
}

/* ---- the other lists ---------------------------------------------------------------------------
 */
static bool same_listener(const struct gc_listen *a, const struct gc_listen *b)
{
    bool stream_a = a->proto != SIP_UDP, stream_b = b->proto != SIP_UDP;

    return stream_a == stream_b && a->address.port != 0 && net_eq(&a->address, &b->address);
}

static enum err read_listeners(const struct gc_settings *s, struct gc_plan *p,
                               const struct complaint *c)
{
    if (s->sip_listen.n == 0 || s->sip_listen.n > GC_LISTEN_MAX) {
        return COMPLAIN(c, "sip.listen: 1 to %d addresses", GC_LISTEN_MAX);
    }
    for (size_t i = 0; i < s->sip_listen.n; i++) {
        struct gc_listen *l = &p->listen[i];
        const char *text = s->sip_listen.v[i];
        if (sip_listen_parse(view_of(text), &l->proto, &l->address) != E_OK) {
            return COMPLAIN(c, "sip.listen: %s is not udp:, tcp: or tls: and ip:port", text);
        }
        /* The address stands in Via and Record-Route: peers must be able to answer there. */
        if (is_wildcard(&l->address)) {
            return COMPLAIN(c, "sip.listen: %s: name an address that peers can reach", text);
        }
        for (size_t k = 0; k < i; k++) {
            if (same_listener(&p->listen[k], l)) {
                return COMPLAIN(c, "sip.listen: %s is there twice", text);
            }
        }
        p->n_listen++;
    }
    p->own = p->listen[0].address;
    return E_OK;
}

static enum err read_trusted(const struct gc_settings *s, struct gc_plan *p,
                             const struct complaint *c)
{
    if (s->trusted_peers.n > GC_TRUSTED_MAX) {
        return COMPLAIN(c, "peers.trusted: at most %d", GC_TRUSTED_MAX);
    }
    for (size_t i = 0; i < s->trusted_peers.n; i++) {
        const char *text = s->trusted_peers.v[i];
        if (net_parse_ip(view_of(text), &p->trusted[i]) != E_OK || is_wildcard(&p->trusted[i])) {
            return COMPLAIN(c, "peers.trusted: '%s' is not an IP address", text);
        }
        p->trusted[i].port = 0;
        p->n_trusted++;
    }
    return E_OK;
}

static enum err read_dns(const struct gc_settings *s, struct gc_plan *p, const struct complaint *c)
{
    if (s->dns_servers.n > GC_DNS_MAX) {
        return COMPLAIN(c, "dns.servers: at most %d", GC_DNS_MAX);
    }
    for (size_t i = 0; i < s->dns_servers.n; i++) {
        const char *text = s->dns_servers.v[i];
        if (net_parse(view_of(text), 53, &p->dns[i]) != E_OK || is_wildcard(&p->dns[i])) {
            return COMPLAIN(c, "dns.servers: '%s' is not ip or ip:port", text);
        }
        p->n_dns++;
    }
    return E_OK;
}

/* ---- certificates of signers ------------------------------------------------------------------
 */
static enum err read_stir_nets(const struct gc_settings *s, struct stir_rules *r,
                               const struct complaint *c)
{
    uint64_t port = 0;

    for (size_t i = 0; i < s->stir_fetch_ports.n; i++) {
        const char *text = s->stir_fetch_ports.v[i];
        if (r->n_ports == STIR_PORTS_MAX || view_to_u64(view_of(text), 65535, &port) != E_OK ||
            port == 0) {
            return COMPLAIN(c, "stir.fetch_ports: '%s': 1 to %d ports", text, STIR_PORTS_MAX);
        }
        r->ports[r->n_ports++] = (uint16_t)port;
    }
    for (size_t i = 0; i < s->stir_fetch_allow.n; i++) {
        const char *text = s->stir_fetch_allow.v[i];
        if (r->n_nets == STIR_NETS_MAX ||
            stir_net_parse(view_of(text), &r->nets[r->n_nets]) != E_OK) {
            return COMPLAIN(c, "stir.fetch_allow: '%s': at most %d networks like 192.0.2.0/24",
                            text, STIR_NETS_MAX);
        }
        r->n_nets++;
    }
    return E_OK;
}

static enum err read_stir(const struct gc_settings *s, struct stir_rules *r,
                          const struct complaint *c)
{
    struct stir_rules any = {.n_ports = 1, .ports = {STIR_HTTPS_PORT}};
    const char *why = "", *url = s->stir_certificate_url;
    enum err e = E_OK;

    r->timeout_ms = (unsigned)s->stir_fetch_timeout_ms;
    TRY(read_stir_nets(s, r, c));
    if (view_to_cstr(view_of(s->stir_tls_ca), r->ca, sizeof r->ca) != E_OK) {
        return COMPLAIN(c, "stir.tls_ca: longer than %d characters", STIR_PATH_MAX - 1);
    }
    if ((s->stir_key[0] == 0) != (url[0] == 0)) {
        return COMPLAIN(c, "stir.%s: goes with stir.%s", url[0] != 0 ? "certificate_url" : "key",
                        url[0] != 0 ? "key" : "certificate_url");
    }
    if (strlen(url) > STIR_OWN_URL_MAX) {
        return COMPLAIN(c, "stir.certificate_url: longer than %d characters", STIR_OWN_URL_MAX);
    }
    memcpy(any.ports + 1, r->ports, (STIR_PORTS_MAX - 1) * sizeof r->ports[0]);
    any.n_ports += r->n_ports < STIR_PORTS_MAX ? r->n_ports : STIR_PORTS_MAX - 1;
    if (url[0] != 0 && !stir_url_ok(&any, view_of(url), &why)) {
        return COMPLAIN(c, "stir.certificate_url: %s", why);
    }
out:
    return e;
}

/* ---- the dial plan -----------------------------------------------------------------------------
 */
static enum err digits(const char *setting, const char *text, size_t min, size_t max,
                       struct view *out, const struct complaint *c)
{
    struct view v = view_of(text);

    for (size_t i = 0; i < v.n; i++) {
        if (!is_digit((unsigned char)v.p[i])) {
            return COMPLAIN(c, "%s: '%s' is not digits only", setting, text);
        }
    }
    if (v.n < min || v.n > max) {
        return COMPLAIN(c, "%s: %zu to %zu digits", setting, min, max);
    }
    *out = v;
    return E_OK;
}

static enum err read_dialplan(const struct gc_settings *s, struct dialplan *d,
                              const struct complaint *c)
{
    enum err e = E_OK;
    const size_t most = sizeof d->emergency / sizeof d->emergency[0];

    TRY(digits("provisioning.code", s->provisioning_code, 2, 8, &d->provisioning, c));
    if (s->emergency_codes.n == 0 || s->emergency_codes.n > most) {
        return COMPLAIN(c, "emergency.codes: 1 to %zu", most);
    }
    for (size_t i = 0; i < s->emergency_codes.n; i++) {
        struct view *code = &d->emergency[d->n_emergency];
        TRY(digits("emergency.codes", s->emergency_codes.v[i], 2, 8, code, c));
        if (view_eq(*code, d->provisioning)) {
            return COMPLAIN(c, "emergency.codes: %s is provisioning.code", s->provisioning_code);
        }
        d->n_emergency++;
    }
    TRY(digits("dialing.country_code", s->country_code, 1, 3, &d->country_code, c));
    TRY(digits("dialing.national_prefix", s->national_prefix, 0, 4, &d->national_prefix, c));
    TRY(digits("dialing.international_prefix", s->international_prefix, 1, 6,
               &d->international_prefix, c));
    TRY(digits("dialing.area", s->area, 0, 9, &d->area, c));
    d->national_digits = (unsigned)s->national_digits;
    if (d->country_code.n + d->national_digits > 15) {
        return COMPLAIN(c, "dialing.national_digits: with the country code over 15 digits");
    }
    if (d->area.n >= d->national_digits) {
        return COMPLAIN(c, "dialing.area: as long as a whole national number");
    }
out:
    return e;
}

/* ---- priority ----------------------------------------------------------------------------------
 */
static enum err join(const char *setting, const struct conf_list *list, char *dst, size_t dst_bytes,
                     const struct complaint *c)
{
    size_t n = 0;

    dst[0] = 0;
    for (size_t i = 0; i < list->n; i++) {
        int more = snprintf(dst + n, dst_bytes - n, "%s ", list->v[i]);
        if (more < 0 || (size_t)more >= dst_bytes - n) {
            return COMPLAIN(c, "%s: too long", setting);
        }
        n += (size_t)more;
    }
    return E_OK;
}

static enum err read_priority(const struct gc_settings *s, struct priority_plan *p,
                              const struct complaint *c)
{
    char namespaces[128], preempts[128], why[160];
    struct priority_texts t = {.order = view_of(s->priority_order)};
    enum err e =
        join("priority.namespaces", &s->priority_namespaces, namespaces, sizeof namespaces, c);

    if (e == E_OK) {
        e = join("priority.preempts", &s->priority_preempts, preempts, sizeof preempts, c);
    }
    if (e != E_OK) {
        return e;
    }
    t.namespaces = view_of(namespaces);
    t.preempting = view_of(preempts);
    if (priority_plan_read(&t, p, why, sizeof why) != E_OK) {
        return COMPLAIN(c, "priority: %s", why);
    }
    p->is_on = s->priority_enabled;
    return E_OK;
}

/* ---- names and relations -----------------------------------------------------------------------
 */
static bool is_name(const char *text, size_t max, const char *also)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && strchr(also, c) == NULL) {
            return false;
        }
    }
    return n > 0 && n <= max;
}

static enum err check_names(const struct gc_settings *s, const struct complaint *c)
{
    enum log_level level = LV_INFO;

    if (!is_name(s->node_name, GC_NODE_NAME_MAX, "._-")) {
        return COMPLAIN(c, "node.name: 1 to %d of A-Z a-z 0-9 . _ -", GC_NODE_NAME_MAX);
    }
    if (!is_name(s->domain, 200, ".-") || s->domain[0] == '.' || s->domain[0] == '-') {
        return COMPLAIN(c, "node.domain: '%s' is not a host name", s->domain);
    }
    if (s->log_level[0] != 0 && log_level_parse(view_of(s->log_level), &level) != E_OK) {
        return COMPLAIN(c, "log.level: '%s' is not error, warn, info or debug", s->log_level);
    }
    if (s->conninfo[0] == 0) {
        return COMPLAIN(c, "database.conninfo: is empty");
    }
    if (s->redis_user[0] != 0 && s->redis_password[0] == 0) {
        return COMPLAIN(c, "redis.user: needs redis.password");
    }
    return E_OK;
}

static enum err check_redis(const struct gc_settings *s, const struct complaint *c)
{
    struct net_addr a;

    if (strncmp(s->redis_address, "unix:/", 6) != 0 &&
        net_parse(view_of(s->redis_address), 6379, &a) != E_OK) {
        return COMPLAIN(c, "redis.address: '%s' is neither unix:/path nor a numeric address",
                        s->redis_address);
    }
    return E_OK;
}

static enum err check_health(const struct gc_settings *s, struct gc_plan *p,
                             const struct complaint *c)
{
    if (net_parse(view_of(s->health_listen), 9070, &p->health) != E_OK) {
        return COMPLAIN(c, "health.listen: '%s' is not ip:port", s->health_listen);
    }
    if (!net_is_loopback(&p->health)) {
        return COMPLAIN(c, "health.listen: %s is not a loopback address", s->health_listen);
    }
    return E_OK;
}

static enum err check_hep(const struct gc_settings *s, struct gc_plan *p, const struct complaint *c)
{
    if (s->hep_collector[0] != 0 &&
        (net_parse(view_of(s->hep_collector), 9060, &p->hep) != E_OK || p->hep.port == 0)) {
        return COMPLAIN(c, "hep.collector: '%s' is not ip:port", s->hep_collector);
    }
    if (strlen(s->hep_key) > HEP_KEY_MAX) {
        return COMPLAIN(c, "hep.key: more than %d characters", HEP_KEY_MAX);
    }
    return E_OK;
}

static enum err check_relations(const struct gc_settings *s, const struct complaint *c)
{
    if (s->expires_default_s < s->expires_min_s || s->expires_default_s > s->expires_max_s) {
        return COMPLAIN(c, "registration.expires_default: not within expires_min and expires_max");
    }
    if (s->session_expires_s != 0 && s->session_expires_s < s->session_min_s) {
        return COMPLAIN(c, "calls.session_expires: below calls.session_min");
    }
    if ((s->tls_certificate[0] == 0) != (s->tls_key[0] == 0)) {
        return COMPLAIN(c, "tls.%s: goes with tls.%s", s->tls_key[0] != 0 ? "key" : "certificate",
                        s->tls_key[0] != 0 ? "certificate" : "key");
    }
    if (strcmp(s->snapshot_path, s->spill_path) == 0) {
        return COMPLAIN(c, "state.spill: is the same file as state.snapshot");
    }
    if ((s->tap_bytes & (s->tap_bytes - 1)) != 0) {
        return COMPLAIN(c, "tap.bytes: no power of two");
    }
    return E_OK;
}

enum err gc_settings_check(const struct gc_settings *s, struct gc_plan *out, char *why,
                           size_t why_bytes)
{
    const struct complaint c = {why, why_bytes};
    struct gc_plan p = {.n_listen = 0};
    enum err e = E_OK;

    TRY(check_names(s, &c));
    TRY(check_redis(s, &c));
    TRY(check_relations(s, &c));
    TRY(check_health(s, &p, &c));
    TRY(check_hep(s, &p, &c));
    TRY(read_listeners(s, &p, &c));
    TRY(read_hops("provisioning.servers", &s->ps_servers, p.ps, GC_PS_MAX, &p.n_ps, &c));
    TRY(read_hops("emergency.next_hops", &s->emergency_next_hops, p.emergency, GC_EMERGENCY_MAX,
                  &p.n_emergency, &c));
    TRY(read_trusted(s, &p, &c));
    TRY(read_dns(s, &p, &c));
    TRY(read_stir(s, &p.stir, &c));
    TRY(read_dialplan(s, &p.dialplan, &c));
    TRY(read_priority(s, &p.priority, &c));
    *out = p;
out:
    return e;
}

/* ---- reloading ---------------------------------------------------------------------------------
 */
static const void *place(const struct gc_settings *s, const struct conf_field *f)
{
    return (const uint8_t *)s + f->offset;
}

static bool same_texts(const struct conf_list *a, const struct conf_list *b)
{
    bool same = a->n == b->n;

    for (size_t i = 0; same && i < a->n; i++) {
        same = strcmp(a->v[i], b->v[i]) == 0;
    }
    return same;
}

static bool same_value(const struct conf_field *f, const struct gc_settings *a,
                       const struct gc_settings *b)
{
    struct conf_list la, lb;
    const char *ta = NULL, *tb = NULL;

    switch (f->type) {
    case CONF_TEXT:
    case CONF_PATH:
        memcpy(&ta, place(a, f), sizeof ta);
        memcpy(&tb, place(b, f), sizeof tb);
        return strcmp(ta, tb) == 0;
    case CONF_LIST:
        memcpy(&la, place(a, f), sizeof la);
        memcpy(&lb, place(b, f), sizeof lb);
        return same_texts(&la, &lb);
    case CONF_UINT:
    case CONF_MS:
        return memcmp(place(a, f), place(b, f), sizeof(uint64_t)) == 0;
    case CONF_BOOL:
        return memcmp(place(a, f), place(b, f), sizeof(bool)) == 0;
    }
    return true;
}

/* Of each name that begins so. */
static bool is_reloaded(const char *name)
{
    static const char *const taken[] = {"log.level",
                                        "sip.listen",
                                        "tls.",
                                        "stir.key",
                                        "stir.certificate_url",
                                        "stir.anchors",
                                        "stir.crls",
                                        "stir.wait",
                                        "stir.fetch_",
                                        "stir.tls_ca",
                                        "stir.cache_max",
                                        "provisioning.servers",
                                        "peers.trusted",
                                        "emergency.next_hops",
                                        "limits.calls",
                                        "limits.calls_per_line",
                                        "limits.subscriptions",
                                        "limits.subscriptions_per_line",
                                        "limits.parked",
                                        "limits.drain",
                                        "limits.unproven_",
                                        "limits.challenge_per_source",
                                        "limits.guesses_per_",
                                        "priority.",
                                        "digest.md5",
                                        "limits.connections_per_source"};

    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        size_t n = strlen(taken[i]);
        bool is_prefix = taken[i][n - 1] == '.' || taken[i][n - 1] == '_';
        if (is_prefix ? strncmp(name, taken[i], n) == 0 : strcmp(name, taken[i]) == 0) {
            return true;
        }
    }
    return false;
}

static size_t size_of(enum conf_type type)
{
    switch (type) {
    case CONF_TEXT:
    case CONF_PATH:
        return sizeof(const char *);
    case CONF_LIST:
        return sizeof(struct conf_list);
    case CONF_UINT:
    case CONF_MS:
        return sizeof(uint64_t);
    case CONF_BOOL:
        return sizeof(bool);
    }
    return 0;
}

void gc_reload(const struct gc_settings *running, const struct gc_settings *fresh,
               struct gc_settings *out, void (*restart)(void *arg, const char *name), void *arg)
{
    *out = *running;
    for (size_t i = 0; i < gc_fields_n; i++) {
        const struct conf_field *f = &gc_fields[i];
        if (is_reloaded(f->name)) {
            memcpy((char *)out + f->offset, place(fresh, f), size_of(f->type));
        } else if (!same_value(f, running, fresh)) {
            restart(arg, f->name);
        }
    }
}
