/* The configuration in force: how another one takes its place while calls go on. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/mem.h"
#include "gc/context.h"

/* ---- life ------------------------------------------------------------------------------------ */
enum err live_new(const struct gc_settings *set, const struct gc_plan *plan, struct gc_live **out)
{
    struct gc_live *l = mem_zalloc(sizeof *l);

    if (l == NULL) {
        return FAIL(E_NOMEM);
    }
    atomic_init(&l->holds, 1);
    atomic_init(&l->next, NULL);
    l->set = *set;
    l->plan = *plan;
    *out = l;
    return E_OK;
}

struct gc_live *live_hold(struct gc_live *l)
{
    (void)atomic_fetch_add(&l->holds, 1);
    return l;
}

static void close_sockets(struct gc_live *l, unsigned workers)
{
    for (unsigned i = 0; l->fd != NULL && i < workers * GC_LISTEN_MAX; i++) {
        if (l->fd[i] >= 0) {
            close(l->fd[i]);
        }
    }
    mem_free(l->fd);
    l->fd = NULL;
}

void live_free(struct gc_live *l)
{
    while (l != NULL && atomic_fetch_sub(&l->holds, 1) == 1) {
        struct gc_live *next = atomic_load(&l->next);
        close_sockets(l, l->n_workers);
        tls_ctx_free(l->tls_server);
        tls_ctx_free(l->tls_client);
        conf_free(l->conf);
        mem_free(l);
        l = next; /* its hold on it */
    }
}

/* ---- certificates ---------------------------------------------------------------------------- */
/* Always a server context, so that a tls: listener may come later. */
enum err live_tls(struct workers *ws, struct gc_live *l, const struct tls_cred *cred)
{
    enum err e = tls_server_ctx(worker_find_psk, ws, &l->tls_server);

    TRY(e);
    if (cred != NULL && tls_cred_has_certificate(cred)) {
        TRY(tls_ctx_certify(l->tls_server, cred));
    }
    if (cred != NULL && tls_cred_has_ca(cred)) {
        TRY(tls_client_ctx(&l->tls_client));
        TRY(tls_ctx_certify(l->tls_client, cred));
    }
out:
    return e;
}

/* ---- listeners ------------------------------------------------------------------------------- */
static const struct gc_listen *find_listener(const struct gc_listen *all, unsigned n,
                                             const struct gc_listen *which)
{
    for (unsigned i = 0; i < n; i++) {
        if (all[i].proto == which->proto && net_eq(&all[i].address, &which->address)) {
            return &all[i];
        }
    }
    return NULL;
}

/* A socket for each worker. */
static enum err open_listener(const struct workers *ws, struct gc_live *l, unsigned at)
{
    const struct gc_listen *wish = &l->plan.listen[at];
    struct net_addr bound = wish->address;
    char text[NET_TEXT_MAX];
    enum err e = E_OK;

    for (unsigned i = 0; e == E_OK && i < ws->n; i++) {
        struct net_addr a = bound; /* the port that the first of them got */
        e = sip_transport_socket(wish->proto, &a, ws->n > 1, &l->fd[i * GC_LISTEN_MAX + at],
                                 &bound);
    }
    net_text(&bound, text);
    if (e == E_OK) {
        l->own[at] = (struct gc_listen){wish->proto, bound};
        LOG(LV_INFO, "listen.opened", KV("proto", sip_proto_name(wish->proto)),
            KV("address", (const char *)text));
    } else {
        LOG(LV_ERROR, "listen.failed", KV("proto", sip_proto_name(wish->proto)),
            KV("address", (const char *)text), KV_ERR(e));
    }
    return e;
}

static enum err open_listeners(const struct workers *ws, const struct gc_live *old,
                               struct gc_live *l)
{
    enum err e = E_OK;

    l->n_workers = ws->n;
    l->fd = mem_zalloc_array((size_t)ws->n * GC_LISTEN_MAX, sizeof *l->fd);
    if (l->fd == NULL) {
        return FAIL(E_NOMEM);
    }
    for (unsigned i = 0; i < ws->n * GC_LISTEN_MAX; i++) {
        l->fd[i] = -1;
    }
    for (unsigned i = 0; i < l->plan.n_listen; i++) {
        const struct gc_listen *wish = &l->plan.listen[i];
        const struct gc_listen *was = find_listener(old->plan.listen, old->plan.n_listen, wish);
        if (was != NULL) {
            l->own[i] = old->own[was - old->plan.listen];
        } else {
            TRY(open_listener(ws, l, i));
        }
        l->n_own = i + 1;
    }
out:
    return e;
}

static void retire(struct gc_live *l, const struct gc_listen *gone)
{
    if (find_listener(l->retired, l->n_retired, gone) != NULL) {
        return;
    }
    if (l->n_retired == GC_LISTEN_MAX) { /* the oldest is forgotten */
        memmove(l->retired, l->retired + 1, sizeof l->retired - sizeof l->retired[0]);
        l->n_retired--;
    }
    l->retired[l->n_retired++] = *gone;
}

/* Calls that began by way of a listener that is gone still name us by it. */
static void retire_listeners(const struct gc_live *old, struct gc_live *l)
{
    char text[NET_TEXT_MAX];

    l->n_retired = old->n_retired;
    memcpy(l->retired, old->retired, sizeof l->retired);
    for (unsigned i = 0; i < old->n_own; i++) {
        if (find_listener(l->own, l->n_own, &old->own[i]) == NULL) {
            retire(l, &old->own[i]);
            net_text(&old->own[i].address, text);
            LOG(LV_INFO, "listen.closed", KV("proto", sip_proto_name(old->own[i].proto)),
                KV("address", (const char *)text));
        }
    }
}

/* ---- main's side ----------------------------------------------------------------------------- */
struct limits_cfg limits_of(const struct gc_settings *set)
{
    return (struct limits_cfg){.answer_per_second = set->challenge_per_source,
                               .unproven_per_minute = set->unproven_per_source,
                               .unproven_total_per_minute = set->unproven_total,
                               .calls_per_line = set->calls_per_line,
                               .usages_per_line = set->usages_per_line,
                               .guesses_per_source = set->guesses_per_source,
                               .guesses_per_username = set->guesses_per_username};
}

/* Workers come by at their next tick. */
static void publish(struct workers *ws, struct gc_live *fresh)
{
    struct gc_live *old = ws->live;

    BUG_ON(pthread_mutex_lock(&ws->live_lock) != 0);
    atomic_fetch_add(&ws->reloads, 1);
    atomic_store(&old->next, live_hold(fresh));
    ws->live = fresh;
    BUG_ON(pthread_mutex_unlock(&ws->live_lock) != 0);
    live_free(old);
}

enum err workers_reload(struct workers *w, const struct gc_settings *set,
                        const struct gc_plan *plan, struct conf *conf, const struct tls_cred *cred)
{
    const struct limits_cfg limits = limits_of(set);
    struct gc_live *l = NULL;
    enum err e = live_new(set, plan, &l);

    TRY(e);
    TRY(live_tls(w, l, cred));
    TRY(open_listeners(w, w->live, l));
    retire_listeners(w->live, l);
    limits_set(w->limits, &limits);
    l->conf = conf;
    publish(w, l);
    return E_OK;
out:
    live_free(l);
    return e;
}

/* ---- a worker's side ------------------------------------------------------------------------- */
static void take_listeners(struct worker *w, const struct gc_live *old, struct gc_live *fresh)
{
    enum err e = E_OK;

    for (unsigned i = 0; i < fresh->n_own; i++) {
        int *fd = &fresh->fd[w->index * GC_LISTEN_MAX + i];
        if (*fd >= 0) {
            e = sip_transport_adopt(w->transport, fresh->own[i].proto, *fd);
            if (e == E_OK) {
                *fd = -1; /* moved */
            } else {
                LOG(LV_ERROR, "listen.failed", KV("proto", sip_proto_name(fresh->own[i].proto)),
                    KV_ERR(e));
            }
        }
    }
    for (unsigned i = 0; i < old->n_own; i++) {
        if (find_listener(fresh->own, fresh->n_own, &old->own[i]) == NULL) {
            IGNORE(sip_transport_unlisten(w->transport, old->own[i].proto, &old->own[i].address),
                   "it was never opened here, and that was logged");
        }
    }
}

/* Nothing of the old one is in use: no callback of this worker is under way but the tick. */
static void follow_to(struct worker *w, struct gc_live *fresh)
{
    struct gc_live *old = w->live;

    w->live = live_hold(fresh);
    w->set = &fresh->set;
    w->plan = &fresh->plan;
    if (w->transport != NULL) {
        sip_transport_set_tls(w->transport, fresh->tls_server, fresh->tls_client);
        sip_transport_set_per_source(w->transport, (unsigned)fresh->set.max_connections_per_source);
        take_listeners(w, old, fresh);
    }
    if (w->index == 0) {
        pool_changed(w, &old->plan);
    }
    live_free(old);
}

void worker_follow(struct worker *w)
{
    struct gc_live *next = NULL;

    while ((next = atomic_load(&w->live->next)) != NULL) {
        follow_to(w, next);
        atomic_fetch_add(&w->reloads, 1);
    }
}
