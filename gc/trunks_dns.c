/* Where the trunks are: asked in the background by worker 0, and again when the answer gets old. */
#include <string.h>

#include "gc/trunks_int.h"

static void told(const struct trunk_state *s, enum err e, bool was_stale, enum err before)
{
    const char *name = s->name;

    if (e == E_OK && was_stale) {
        LOG(LV_INFO, "trunk.dns_back", KV("trunk", name));
    } else if (e == E_NOTFOUND && before != e) {
        LOG(LV_ERROR, "trunk.no_address", KV("trunk", name), KV("host", (const char *)s->host));
    } else if (e != E_OK && e != E_NOTFOUND && !was_stale) {
        LOG(LV_ERROR, "trunk.dns_stale", KV("trunk", name), KV("host", (const char *)s->host),
            KV("addresses", s->n), KV_ERR(e));
    }
}

static const struct trunk_place *known(const struct trunk_state *s, const struct sip_place *p)
{
    for (unsigned i = 0; i < s->n; i++) {
        const struct sip_place *q = &s->place[i].where;
        if (q->proto == p->proto && net_eq(&q->address, &p->address)) {
            return &s->place[i];
        }
    }
    return NULL;
}

/* What is known of an address outlives the answer that named it. A question that is out does not:
 * its leg points at the place. */
static void take_places(struct trunk_state *s, const struct sip_places *p)
{
    struct trunk_place next[LOCATE_MAX];

    memset(next, 0, sizeof next);
    trunk_health_stop(s);
    for (unsigned i = 0; i < p->n; i++) {
        const struct trunk_place *old = known(s, &p->p[i]);
        if (old != NULL) {
            next[i] = *old;
        }
        next[i].where = p->p[i];
    }
    trunks_lock(s->t);
    memcpy(s->place, next, sizeof s->place);
    s->n = p->n;
    trunks_unlock(s->t);
}

static void on_places(void *arg, enum err e, const struct sip_places *p)
{
    struct trunk_state *s = arg;
    uint64_t now_ms = loop_now_ms(s->t->w->loop);
    bool is_word = p != NULL && (e == E_OK || e == E_NOTFOUND), was_stale = s->is_stale;
    enum err before = s->resolved;

    s->locate = NULL;
    s->is_asking = false;
    s->resolve_ms = now_ms + (is_word ? (uint64_t)p->ttl_s * 1000 : TRUNK_RETRY_MS);
    if (is_word) {
        take_places(s, p);
    }
    trunks_lock(s->t);
    s->is_stale = !is_word;
    s->resolved = e;
    trunks_unlock(s->t);
    told(s, e, was_stale, before);
}

static enum err no_dns(void *dns, struct view name, enum dns_type type, dns_fn *fn, void *arg,
                       struct dns_query **out)
{
    (void)dns;
    (void)name;
    (void)type;
    (void)fn;
    (void)arg;
    *out = NULL;
    return FAIL(E_IO);
}

static enum err ask(struct trunk_state *s)
{
    struct trunks *t = s->t;
    const struct worker_seams *seam = &t->w->ws->seam;
    struct sip_locate_ask what = s->ask;

    what.host = view_of(s->host);
    if (seam->dns != NULL) {
        return sip_locate(seam->dns, seam->arg, &what, on_places, s, &s->locate);
    }
    return sip_locate(t->dns != NULL ? sip_locate_by_dns : no_dns, t->dns, &what, on_places, s,
                      &s->locate);
}

void trunk_resolve(struct trunk_state *s, uint64_t now_ms)
{
    enum err e = E_OK;

    if (s->is_asking || now_ms < s->resolve_ms || s->host[0] == 0) {
        return;
    }
    s->is_asking = true;
    e = ask(s);
    if (e != E_OK) {
        on_places(s, e, NULL);
    }
}

void trunk_resolve_stop(struct trunk_state *s)
{
    sip_locate_cancel(s->locate);
    s->locate = NULL;
    s->is_asking = false;
}
