/* admin_api/admin_settings.h - configuration of headgate-admin, as read once and (what SIGHUP may
 * change) read again.
 *
 * Shape      admin_fields is the table of base/conf.h; admin_settings_check() turns texts into
 * addresses and names the value that makes no sense. SIGHUP takes over log.level and the files of
 * tls.*; all else needs a restart, and a reload that would change it says so in the log.
 * Ownership  texts live in the struct conf.
 * Threads    made in main; read by all. */
#ifndef ADMIN_API_ADMIN_SETTINGS_H
#define ADMIN_API_ADMIN_SETTINGS_H

#include "base/conf.h"
#include "base/httpd.h"
#include "base/net.h"

#define ADMIN_GATES_MAX 16

struct admin_settings {
    const char *log_level; /* empty: as on the command line */
    const char *listen, *socket, *socket_group;
    const char
        *local_group; /* Unix users who may ask as the administrator whose os_user they are */
    const char *tls_certificate, *tls_key, *tls_client_ca, *tls_client_crl; /* paths; empty: none */
    const char *health_listen;
    const char *conninfo, *trace_conninfo;
    uint64_t pool; /* database connections */
    uint64_t stale_ms;
    struct conf_list gate_sockets;
    const char *redis_address, *redis_user, *redis_password;
    const char *command_key, *work_order_key, *audit_key; /* paths; empty: none */
    uint64_t checkpoint_rows, checkpoint_every_ms;
    uint64_t max_connections, per_source, max_body, requests_per_second;
    uint64_t read_ms, idle_ms, drain_ms;
};

extern const struct conf_field admin_fields[];
extern const size_t admin_fields_n;

struct admin_plan {         /* the texts, understood */
    struct net_addr listen; /* family 0: none */
    struct net_addr health;
};

/* E_PARSE with `why` ("admin.listen: ... is not ip:port"). */
MUST_CHECK enum err admin_settings_check(const struct admin_settings *s, struct admin_plan *out,
                                         char *why, size_t why_bytes);
struct httpd_tls admin_tls(const struct admin_settings *s); /* its texts are those of s */
/* SIGHUP: what it takes over, from `fresh`; restart() for each other setting that differs. */
void admin_reload(const struct admin_settings *running, const struct admin_settings *fresh,
                  struct admin_settings *out, void (*restart)(void *arg, const char *name),
                  void *arg);

#endif
