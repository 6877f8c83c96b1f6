/* lawful_intercept/li_settings.h - configuration of headgate-li. */
#ifndef LAWFUL_INTERCEPT_LI_SETTINGS_H
#define LAWFUL_INTERCEPT_LI_SETTINGS_H

#include <sys/types.h>

#include "base/conf.h"
#include "base/net.h"

enum { LI_OFFICERS_MAX = 64, LI_OFFICER_MAX = 128 };

struct li_settings {
    const char *log_level, *element, *listen, *socket, *socket_group;
    const char *tls_certificate, *tls_key, *tls_client_ca, *tls_client_crl;
    const char *agencies_certificate, *agencies_key, *agencies_ca;
    const char *health_listen, *conninfo, *directory, *tap, *tap_enrolments, *spool, *position,
        *copy;
    const char *key, *record_key;
    struct conf_list officers, enrolment_keys;
    uint64_t spool_bytes, warn_ms, late_ms, linger_ms;
};

struct li_officer { /* "anna=certificate:NAME", "anna=uid:1001" */
    char name[LI_OFFICER_MAX], certificate[LI_OFFICER_MAX];
    uid_t uid;
    bool has_uid;
};

struct li_plan {
    struct net_addr listen, health;
    struct li_officer officer[LI_OFFICERS_MAX];
    size_t n_officers;
};

extern const struct conf_field li_fields[];
extern const size_t li_fields_n;

MUST_CHECK enum err li_settings_check(const struct li_settings *s, struct li_plan *out, char *why,
                                      size_t why_bytes);

#endif
