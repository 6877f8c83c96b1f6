/* gc/settings.h - configuration of headgate, as read once and (what SIGHUP may change) read again.
 *
 * Shape      gc_fields is the table of base/conf.h; gc_settings_check() turns texts into addresses
 * and the dial plan and names the value that makes no sense. SIGHUP takes over what gc_reload()
 * lists; everything else needs a restart, and a reload that would change it says so in the log.
 * Ownership  texts live in the struct conf; a struct gc_plan points into it.
 * Threads    made in main; read by all. */
#ifndef GC_SETTINGS_H
#define GC_SETTINGS_H

#include "base/conf.h"
#include "gc/priority.h"
#include "gc/stir_net.h"
#include "routing/dialplan.h"
#include "signaling/sip_flow.h"

#define GC_LISTEN_MAX    16
#define GC_PS_MAX        16
#define GC_EMERGENCY_MAX 8
#define GC_TRUSTED_MAX   64
#define GC_DNS_MAX       8
#define GC_NODE_NAME_MAX 16

struct gc_settings {
    const char *node_name, *domain;
    const char *log_level; /* empty: as on the command line */
    uint64_t workers;      /* 0: one for each processor */
    struct conf_list sip_listen;
    const char *health_listen;
    const char *control_socket, *control_group; /* group: may use the socket; empty: none */
    const char *conninfo;
    const char *redis_address, *redis_user, *redis_password;
    const char *snapshot_path, *spill_path;
    const char *cluster_key, *command_key;          /* paths; command_key empty: none */
    const char *tls_certificate, *tls_key, *tls_ca; /* paths; empty: none */
    struct conf_list ps_servers;                    /* "udp:ip:port" */
    uint64_t ps_ping_ms, ps_dead_after;             /* missed pings */
    struct conf_list emergency_next_hops; /* "sip:ip:port[;transport=tcp]", tried in this order */
    struct conf_list emergency_codes, trusted_peers; /* trusted: IP addresses of gateways, PSAPs */
    struct conf_list dns_servers;
    const char *stir_key, *stir_certificate_url;         /* ours; empty: calls are not signed */
    const char *stir_anchors, *stir_crls, *stir_tls_ca;  /* paths; empty: none, none, system's */
    struct conf_list stir_fetch_ports, stir_fetch_allow; /* ports; networks */
    uint64_t stir_wait_ms, stir_fetch_timeout_ms;
    uint64_t stir_cache, stir_cache_max_s; /* certificates of others; seconds */
    const char *provisioning_code;
    const char *country_code, *national_prefix, *international_prefix, *area;
    uint64_t national_digits;
    bool digest_md5;                                       /* offered and taken beside SHA-256 */
    uint64_t nonce_life_ms;                                /* of Digest challenges */
    uint64_t max_nonces;                                   /* in use at a time, node */
    uint64_t guesses_per_source, guesses_per_username;     /* wrong Digest answers a minute */
    uint64_t max_sessions, max_registrations;              /* node */
    uint64_t max_calls, max_transactions, max_connections; /* worker */
    uint64_t max_connections_per_source;
    uint64_t unproven_per_source, unproven_total; /* 611 SETUPs a minute without proof */
    uint64_t challenge_per_source; /* 401/407/400 answers a second to one source; past it silence */
    uint64_t calls_per_line;       /* live at a time */
    uint64_t max_usages, usages_per_line; /* dialogs of SUBSCRIBE and REFER: worker, line */
    uint64_t max_last_calls;              /* lines whose last calls are remembered: node */
    uint64_t max_parked;                  /* requests that wait for another thread: worker */
    bool priority_enabled;
    struct conf_list priority_namespaces, priority_preempts;
    const char *priority_order; /* empty: built-in */
    bool priority_hides_reason;
    uint64_t ring_s; /* how long phones of one preference ring before those of the next */
    uint64_t session_expires_s, session_min_s; /* RFC 4028; 0: no session timers of ours */
    uint64_t expires_min_s, expires_default_s, expires_max_s;
    uint64_t t1_ms, timer_c_ms;
    uint64_t trace_bytes, trace_calls; /* of each worker */
    const char *tap_file, *tap_group;
    uint64_t tap_bytes; /* of each worker */
    uint64_t drain_ms;
    const char *hep_collector, *hep_key; /* empty: none */
    uint64_t hep_agent;
};

extern const struct conf_field gc_fields[];
extern const size_t gc_fields_n;

struct gc_listen {
    enum sip_proto proto;
    struct net_addr address;
};

struct gc_next_hop {
    char uri[256];        /* as it goes into a Request-URI's place in messages to it: for the log */
    enum sip_proto proto; /* UDP or TCP */
    struct net_addr address;
};

struct gc_plan { /* the texts, understood */
    struct stir_rules stir;
    unsigned n_listen;
    struct gc_listen listen[GC_LISTEN_MAX];
    unsigned n_ps;
    struct gc_next_hop ps[GC_PS_MAX];
    unsigned n_emergency;
    struct gc_next_hop emergency[GC_EMERGENCY_MAX];
    unsigned n_trusted;
    struct net_addr trusted[GC_TRUSTED_MAX]; /* port 0: any */
    unsigned n_dns;
    struct net_addr dns[GC_DNS_MAX];
    struct dialplan dialplan;
    struct net_addr hep; /* family 0: none */
    struct priority_plan priority;
    struct net_addr health, own; /* own: the first listener's address, shown to other nodes */
};

/* E_PARSE with `why` ("sip.listen: tls:... is not an address"). */
MUST_CHECK enum err gc_settings_check(const struct gc_settings *s, struct gc_plan *out, char *why,
                                      size_t why_bytes);
/* "sip:192.0.2.9:5060;transport=tcp", or "udp:192.0.2.9:5060" -> next hop. */
MUST_CHECK enum err gc_next_hop_parse(struct view text, struct gc_next_hop *out);
/* SIGHUP: out is `running` with what SIGHUP may change taken from `fresh`; restart() is called for
 * each other setting that differs. The texts of out belong to the conf of either: both must stay.
 * out may not be one of the two. */
void gc_reload(const struct gc_settings *running, const struct gc_settings *fresh,
               struct gc_settings *out, void (*restart)(void *arg, const char *name), void *arg);

#endif
