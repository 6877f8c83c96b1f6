/* Certificates of the gate controller: reading them, and watching for their end. */
#include "gc/certs.h"

#include <stdatomic.h>

#include "base/log.h"

#define SECOND_US 1000000u
#define DAY_US    (86400ull * SECOND_US)
#define WARN_US   (14 * DAY_US)
#define WATCH_MS  60000

static enum err load(const struct gc_settings *set, struct tls_cred **out, bool is_reload)
{
    const struct tls_files files = {set->tls_certificate, set->tls_key, set->tls_ca};
    char why[TLS_WHY_MAX] = "";
    enum err e = tls_cred_load(&files, out, why);

    if (e != E_OK && is_reload) {
        LOG(LV_ERROR, "tls.reload_failed", KV("why", (const char *)why), KV_ERR(e));
    } else if (e != E_OK) {
        LOG(LV_ERROR, "tls.load_failed", KV("why", (const char *)why), KV_ERR(e));
    }
    return e;
}

/* Seconds that are left; below 0: it is over. */
static int64_t left_us(const struct certs *c, const struct tls_cred *cred)
{
    return (int64_t)tls_cred_expires_us(cred) - (int64_t)loop_wall_us(c->loop);
}

static void warn(struct certs *c, int64_t left)
{
    uint64_t now = loop_wall_us(c->loop);

    if (left >= (int64_t)WARN_US || (c->warned_us != 0 && now - c->warned_us < DAY_US)) {
        return;
    }
    c->warned_us = now;
    if (left <= 0) {
        LOG(LV_ERROR, "tls.certificate_expired",
            KV("hours_ago", (uint64_t)(-left) / SECOND_US / 3600));
    } else {
        LOG(LV_WARN, "tls.certificate_expiring",
            KV("hours_left", (uint64_t)left / SECOND_US / 3600));
    }
}

static void look(struct certs *c)
{
    int64_t left = 0;

    if (tls_cred_has_certificate(c->cred)) {
        left = left_us(c, c->cred);
        warn(c, left);
    }
    atomic_store(&c->expires_us, tls_cred_expires_us(c->cred));
    metric_set(c->metrics, c->slot, c->gauge, left / SECOND_US);
}

uint64_t certs_expire_us(const struct certs *c)
{
    return atomic_load(&c->expires_us);
}

static void on_watch(void *arg)
{
    struct certs *c = arg;

    look(c);
    IGNORE(loop_timer_start(c->loop, &c->watch, WATCH_MS, on_watch, c),
           "the heap has room: this timer was in it");
}

enum err certs_open(struct certs *c, struct loop *l, struct metrics *m, unsigned slot,
                    const struct gc_settings *set)
{
    enum err e = E_OK;

    c->loop = l;
    c->metrics = m;
    c->slot = slot;
    c->gauge = metric_declare(m, METRIC_GAUGE, "headgate_tls_certificate_expiry_seconds", NULL,
                              "Until our certificate for TLS ends; 0 without one");
    TRY(load(set, &c->cred, false));
    look(c);
    TRY(loop_timer_start(l, &c->watch, WATCH_MS, on_watch, c));
out:
    return e;
}

enum err certs_read(const struct certs *c, const struct gc_settings *set, struct tls_cred **out)
{
    struct tls_cred *fresh = NULL;
    enum err e = load(set, &fresh, true);

    if (e == E_OK && tls_cred_has_certificate(fresh) && left_us(c, fresh) <= 0) {
        LOG(LV_ERROR, "tls.reload_failed", KV("why", "the certificate has expired"),
            KV("file", set->tls_certificate));
        tls_cred_free(fresh);
        return FAIL(E_DENIED);
    }
    if (e == E_OK) {
        *out = fresh;
    }
    return e;
}

void certs_use(struct certs *c, struct tls_cred *fresh)
{
    tls_cred_free(c->cred);
    c->cred = fresh;
    c->warned_us = 0;
    look(c);
}

void certs_close(struct certs *c)
{
    if (c->loop != NULL) {
        loop_timer_stop(c->loop, &c->watch);
    }
    tls_cred_free(c->cred);
    c->cred = NULL;
}
