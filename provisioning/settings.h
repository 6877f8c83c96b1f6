/* provisioning/settings.h - configuration and key files of headgate-prov.
 *
 * Gates      gates.controllers is a list; each entry names one gate controller and how to reach it:
 *                "gc1=udp:192.0.2.1:5060,tcp:192.0.2.1:5060,tls:192.0.2.1:5061"
 *            The first address is what BTIs are told; the IP addresses of all of them are the only
 *            sources from which SIP is taken.
 * Keys       every key file must be mode 0600; kek, work_order and cluster hold exactly 32 octets.
 * Threads    one. */
#ifndef PROVISIONING_SETTINGS_H
#define PROVISIONING_SETTINGS_H

#include "base/conf.h"
#include "base/pki.h"

struct prov_settings {
    const char *node_name, *node_domain;
    struct conf_list sip_listen;
    const char *control_listen;
    struct conf_list control_servers; /* told to BTIs; empty: the listening address */
    uint64_t control_max_half_open, control_per_source;
    uint64_t control_step_ms, control_voice_ms;
    const char *rtp_address;
    uint64_t rtp_port_min, rtp_port_max;
    const char *health_listen;
    const char *database_conninfo;
    const char *redis_address, *redis_user, *redis_password;
    const char *certificate, *private_key, *kek, *work_order, *cluster;
    struct conf_list controllers;
    const char *tap_file, *tap_group, *tap_key;
    uint64_t tap_bytes;
    const char *prompts_dir;
    uint64_t session_lifetime_ms;
    uint64_t max_calls, tries, lockout_ms, lockout_max_ms, drain_ms;
};

extern const struct conf_field prov_fields[];
extern const size_t prov_fields_n;

/* K_PS and its certificate: replaced as a whole on SIGHUP while older connections keep theirs. */
struct prov_identity {
    unsigned refs;
    struct pki_chain chain;
    struct p256_key key;
};
/* E_AUTH: the key is not the certificate's. One reference. */
MUST_CHECK enum err prov_identity_load(const char *certificate, const char *key,
                                       struct prov_identity **out);
struct prov_identity *prov_identity_ref(struct prov_identity *i);
void prov_identity_unref(struct prov_identity *i); /* NULL is fine; the last one wipes */

struct prov_keys { /* lives in secret_alloc() memory */
    struct secret kek, work_order, cluster;
};
/* Logs which file is at fault. */
MUST_CHECK enum err prov_keys_load(const struct prov_settings *s, struct prov_keys *out);

#endif
