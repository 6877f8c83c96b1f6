#include "provisioning/settings.h"

#include <string.h>

#include "base/log.h"

#define AT(member) offsetof(struct prov_settings, member)

enum { KEY_FILE_BYTES = 32 };

const struct conf_field prov_fields[] = {
    {"node.name", CONF_TEXT, AT(node_name), "ps1", 0, 0, "name of this provisioning server"},
    {"node.domain", CONF_TEXT, AT(node_domain), "headgate.example", 0, 0, "SIP domain"},
    {"sip.listen", CONF_LIST, AT(sip_listen), "udp:127.0.0.1:5070", 1, 8,
     "where gate controllers reach us: udp: or tcp:"},
    {"control.listen", CONF_TEXT, AT(control_listen), "127.0.0.1:7611", 0, 0,
     "control channel, TCP"},
    {"control.servers", CONF_LIST, AT(control_servers), "", 0, 4,
     "control addresses that BTIs are told for later sessions; default: control.listen"},
    {"control.max_half_open", CONF_UINT, AT(control_max_half_open), "256", 1, 65536,
     "connections that have proved nothing, in all"},
    {"control.per_source", CONF_UINT, AT(control_per_source), "8", 1, 4096,
     "the same from one IP address"},
    {"control.step", CONF_MS, AT(control_step_ms), "10s", 100, 600000,
     "longest time without progress"},
    {"control.voice", CONF_MS, AT(control_voice_ms), "120s", 1000, 3600000,
     "longest voice phase of an enrolment"},
    {"rtp.address", CONF_TEXT, AT(rtp_address), "127.0.0.1", 0, 0, "IP address of the voice"},
    {"rtp.port_min", CONF_UINT, AT(rtp_port_min), "0", 0, 65534, "lowest RTP port; 0: any"},
    {"rtp.port_max", CONF_UINT, AT(rtp_port_max), "0", 0, 65535, "highest RTP port; 0: any"},
    {"health.listen", CONF_TEXT, AT(health_listen), "127.0.0.1:9071", 0, 0,
     "/livez /readyz /metrics, loopback only"},
    {"database.conninfo", CONF_TEXT, AT(database_conninfo), "dbname=headgate user=hg_prov", 0, 0,
     "PostgreSQL, libpq keywords"},
    {"redis.address", CONF_TEXT, AT(redis_address), "127.0.0.1:6379", 0, 0,
     "unix:/path or numeric address:port"},
    {"redis.user", CONF_TEXT, AT(redis_user), "", 0, 0, "empty: none"},
    {"redis.password", CONF_TEXT, AT(redis_password), "", 0, 0, "empty: none; use ${file:...}"},
    {"keys.certificate", CONF_PATH, AT(certificate), "ps.pem", 0, 0, "PEM chain, leaf first"},
    {"keys.private_key", CONF_PATH, AT(private_key), "ps.key", 0, 0, "K_PS, mode 0600"},
    {"keys.kek", CONF_PATH, AT(kek), "kek.key", 0, 0,
     "32 octets, mode 0600: seals long-term keys in the database"},
    {"keys.work_order", CONF_PATH, AT(work_order), "work_order.key", 0, 0,
     "32 octets, mode 0600: keyed hash of work orders"},
    {"keys.cluster", CONF_PATH, AT(cluster), "cluster.key", 0, 0,
     "32 octets, mode 0600: seals session keys for gate controllers"},
    {"gates.controllers", CONF_LIST, AT(controllers), "gc1=udp:127.0.0.1:5060", 1, 32,
     "name=udp:ip:port[,tcp:ip:port][,tls:ip:port]; BTIs are told the first address"},
    {"tap.file", CONF_PATH, AT(tap_file), "", 0, 0,
     "where all 611 calls are written for headgate-li to choose from; on a tmpfs, such as "
     "/run/headgate-prov/tap; empty: nowhere"},
    {"tap.group", CONF_TEXT, AT(tap_group), "", 0, 0,
     "group that may read it: of headgate-li; empty: only our own user"},
    {"tap.bytes", CONF_UINT, AT(tap_bytes), "4194304", 262144, 1073741824,
     "of it; a power of two: what headgate-li may lag behind"},
    {"tap.key", CONF_PATH, AT(tap_key), "", 0, 0,
     "PEM: public half of headgate-li's keys.enrolment, to which the media keys of 611 calls are "
     "sealed; goes with tap.file"},
    {"prompts.dir", CONF_PATH, AT(prompts_dir), "/usr/local/share/headgate/prompts", 0, 0,
     "enter, wrong, accepted, goodbye, locked .ulaw"},
    {"session.lifetime", CONF_MS, AT(session_lifetime_ms), "24h", 1000, 604800000,
     "of session keys; whole seconds"},
    {"limits.max_calls", CONF_UINT, AT(max_calls), "64", 1, 10000, "611 calls at a time"},
    {"limits.tries", CONF_UINT, AT(tries), "3", 1, 10, "work orders that one call may try"},
    {"limits.lockout", CONF_MS, AT(lockout_ms), "30s", 100, 86400000,
     "first lock-out; doubles with each further wrong try"},
    {"limits.lockout_max", CONF_MS, AT(lockout_max_ms), "1h", 100, 86400000, "longest lock-out"},
    {"limits.drain", CONF_MS, AT(drain_ms), "30s", 0, 600000, "time to finish after SIGTERM"},
};
const size_t prov_fields_n = sizeof prov_fields / sizeof prov_fields[0];

/* Whether certificate and key belong together, found at start-up and not by the first BTI. The
 * subject's point stands uncompressed in the DER. */
static bool holds_point(struct view der, const uint8_t point[P256_POINT_BYTES])
{
    for (size_t i = 0; der.n >= P256_POINT_BYTES && i <= der.n - P256_POINT_BYTES; i++) {
        if (memcmp(der.p + i, point, P256_POINT_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

enum err prov_identity_load(const char *certificate, const char *key, struct prov_identity **out)
{
    struct prov_identity *i = secret_alloc(sizeof *i);
    enum err e = E_OK;
    const char *file = certificate;

    if (i == NULL) {
        return FAIL(E_NOMEM);
    }
    i->refs = 1;
    TRY(pki_chain_load(certificate, &i->chain));
    file = key;
    TRY(pki_key_load(key, &i->key));
    if (!holds_point(i->chain.der[0], i->key.pub)) {
        e = FAIL(E_AUTH);
        goto out;
    }
    *out = i;
    return E_OK;
out:
    LOG(LV_ERROR, "prov.key_file", KV("file", file), KV_ERR(e));
    secret_release(i, sizeof *i);
    return e;
}

struct prov_identity *prov_identity_ref(struct prov_identity *i)
{
    i->refs++;
    return i;
}

void prov_identity_unref(struct prov_identity *i)
{
    if (i != NULL && --i->refs == 0) {
        secret_release(i, sizeof *i);
    }
}

static enum err load_one(const char *path, struct secret *out)
{
    uint8_t b[KEY_FILE_BYTES + 1];
    size_t n = 0;
    enum err e = secret_file_read(path, false, b, sizeof b, &n);

    if (e == E_OK && n != KEY_FILE_BYTES) {
        e = FAIL(E_RANGE);
    }
    if (e == E_OK) {
        e = secret_set(out, b, n);
    }
    wipe(b, sizeof b);
    if (e != E_OK) {
        LOG(LV_ERROR, "prov.key_file", KV("file", path), KV_ERR(e));
    }
    return e;
}

enum err prov_keys_load(const struct prov_settings *s, struct prov_keys *out)
{
    enum err e = E_OK;

    TRY(load_one(s->kek, &out->kek));
    TRY(load_one(s->work_order, &out->work_order));
    TRY(load_one(s->cluster, &out->cluster));
out:
    return e;
}
