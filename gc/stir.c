/* STIR: files, fetched certificates, and the door between the two. */
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/mem.h"
#include "gc/park.h"
#include "gc/stir_int.h"

enum { WHY_MAX = 200, ORIGID_KEY = 32 };

static const char fetches_help[] = "Certificates of signers fetched, by what came of it";

/* ---- files -------------------------------------------------------------------------------------
 */
void stir_let_go(struct stir_live *l)
{
    if (l != NULL && atomic_fetch_sub(&l->holds, 1) == 1) {
        ec_key_free(l->key);
        stir_anchors_free(l->anchors);
        mem_free(l);
    }
}

struct stir_live *stir_hold(struct stir *s)
{
    struct stir_live *l = NULL;

    BUG_ON(pthread_mutex_lock(&s->lock) != 0);
    l = s->live;
    (void)atomic_fetch_add(&l->holds, 1);
    BUG_ON(pthread_mutex_unlock(&s->lock) != 0);
    return l;
}

static enum err load(const struct gc_settings *set, const struct gc_plan *plan, bool is_reload,
                     struct stir_live **out)
{
    struct stir_live *l = mem_zalloc(sizeof *l);
    char why[WHY_MAX] = "";
    enum err e = l != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    atomic_init(&l->holds, 1);
    l->rules = plan->stir;
    l->cache_max_s = set->stir_cache_max_s;
    TRY(view_to_cstr(view_of(set->stir_certificate_url), l->url, sizeof l->url));
    if (set->stir_key[0] != 0) {
        snprintf(why, sizeof why, "stir.key %.150s", set->stir_key);
        TRY(ec_key_load(set->stir_key, &l->key));
    }
    if (set->stir_anchors[0] != 0) {
        TRY(stir_anchors_load(set->stir_anchors, set->stir_crls, &l->anchors, why, sizeof why));
    }
    *out = l;
    l = NULL; /* moved */
out:
    if (e != E_OK && is_reload) {
        LOG(LV_ERROR, "stir.reload_failed", KV("why", (const char *)why), KV_ERR(e));
    } else if (e != E_OK) {
        LOG(LV_ERROR, "stir.load_failed", KV("why", (const char *)why), KV_ERR(e));
    }
    stir_let_go(l);
    return e;
}

/* ---- what was fetched --------------------------------------------------------------------------
 */
static uint64_t wall_s(const struct stir *s)
{
    return clock_wall_us(s->cfg.clock) / 1000000;
}

/* A minute at least, so that a server cannot make us ask with each call. */
static uint64_t life_ms(const struct stir *s, const struct stir_live *l,
                        const struct stir_fetched *f, const struct stir_cert *cert)
{
    uint64_t life = f->has_max_age ? f->max_age_s * 1000 : STIR_USUAL_MS, now = wall_s(s);
    uint64_t from = 0, until = 0;

    stir_cert_times(cert, &from, &until);
    life = life < l->cache_max_s * 1000 ? life : l->cache_max_s * 1000;
    life = life > STIR_MIN_MS ? life : STIR_MIN_MS;
    return until <= now ? 0 : life < (until - now) * 1000 ? life : (until - now) * 1000;
}

void stir_fetched(void *stir, const struct stir_fetched *f)
{
    struct stir *s = stir;
    struct stir_live *l = stir_hold(s);
    struct stir_cert *cert = NULL;
    const char *why = NULL;
    enum err e = E_STATE;

    metric_add(s->cfg.metrics, s->cfg.slot, s->fetches + f->result, 1);
    metric_observe_us(s->cfg.metrics, s->cfg.slot, s->fetch_time, f->took_us);
    if (f->result == STIR_FETCH_OK && l->anchors != NULL) {
        e = stir_cert_read(f->body, l->anchors, wall_s(s), &cert, &why);
    }
    if (e == E_OK) {
        LOG(LV_INFO, "stir.certificate", KV("url", f->url), KV("took_us", f->took_us));
    } else {
        LOG(LV_WARN, "stir.no_certificate", KV("url", f->url),
            KV("result", stir_fetch_names[f->result]), KV("why", why != NULL ? why : ""),
            KV("took_us", f->took_us));
    }
    stir_cache_done(s->cache, f->url, f->result, cert, why,
                    cert != NULL ? life_ms(s, l, f, cert) : 0, clock_mono_ms(s->cfg.clock));
    stir_let_go(l);
}

static bool ask(void *stir, const char *url)
{
    struct stir *s = stir;
    bool is_taken =
        s->fetcher != NULL ? stir_fetcher_ask(s->fetcher, url) : s->cfg.ask(s->cfg.arg, url);

    if (!is_taken) {
        LOG(LV_WARN, "stir.no_certificate", KV("url", url),
            KV("result", stir_fetch_names[STIR_FETCH_FULL]), KV("why", ""));
    }
    return is_taken;
}

static void wake(void *stir, const struct stir_waiter *to)
{
    (void)stir;
    park_answer(to->workers, to->worker, to->ticket, "", 1);
}

/* ---- life --------------------------------------------------------------------------------------
 */
static void declare(struct stir *s)
{
    static const char *const labels[STIR_FETCH_RESULTS] = {
        "result=\"ok\"",      "result=\"refused\"",     "result=\"answer\"", "result=\"tls\"",
        "result=\"timeout\"", "result=\"unreachable\"", "result=\"full\""};

    for (unsigned i = 0; i < STIR_FETCH_RESULTS; i++) {
        unsigned id = metric_declare(s->cfg.metrics, METRIC_COUNTER, "headgate_stir_fetches_total",
                                     labels[i], fetches_help);
        s->fetches = i == 0 ? id : s->fetches;
    }
    s->fetch_time = metric_declare(s->cfg.metrics, METRIC_HISTOGRAM, "headgate_stir_fetch_seconds",
                                   NULL, "From the question to the certificate, or to its failure");
}

/* The same on all nodes of the cluster, and after a restart. */
static enum err make_origid_key(struct stir *s, const struct secret *cluster_key)
{
    enum err e = E_OK;

    s->origid = secret_alloc(sizeof *s->origid);
    if (s->origid == NULL) {
        return FAIL(E_NOMEM);
    }
    if (cluster_key == NULL) {
        return secret_random(s->origid, ORIGID_KEY);
    }
    TRY(hkdf_expand(cluster_key, VIEW("headgate stir origid"), ORIGID_KEY, s->origid));
out:
    return e;
}

enum err stir_open(const struct stir_cfg *cfg, struct stir **out)
{
    struct stir *s = mem_zalloc(sizeof *s);
    struct stir_cache_cfg cache = {
        .entries = (size_t)cfg->set->stir_cache, .ask = ask, .wake = wake, .arg = s};
    enum err e = s != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    s->cfg = *cfg;
    s->cfg.set = NULL;
    s->cfg.plan = NULL;
    s->cfg.cluster_key = NULL;
    BUG_ON(pthread_mutex_init(&s->lock, NULL) != 0);
    declare(s);
    TRY(make_origid_key(s, cfg->cluster_key));
    TRY(load(cfg->set, cfg->plan, false, &s->live));
    TRY(stir_cache_new(&cache, &s->cache));
    TRY(stir_replay_new(STIR_REPLAY_ENTRIES, STIR_REPLAY_S, &s->replay));
    if (cfg->ask == NULL) {
        TRY(stir_fetcher_start(&cfg->plan->stir, stir_fetched, s, &s->fetcher));
    }
    *out = s;
    s = NULL; /* moved */
out:
    stir_close(s);
    return e;
}

enum err stir_reload(struct stir *s, const struct gc_settings *set, const struct gc_plan *plan)
{
    struct stir_live *fresh = NULL, *old = NULL;
    enum err e = load(set, plan, true, &fresh);

    if (e != E_OK) {
        return e;
    }
    if (s->fetcher != NULL) {
        stir_fetcher_set(s->fetcher, &plan->stir);
    }
    BUG_ON(pthread_mutex_lock(&s->lock) != 0);
    old = s->live;
    s->live = fresh;
    BUG_ON(pthread_mutex_unlock(&s->lock) != 0);
    stir_let_go(old);
    stir_cache_clear(s->cache);
    return E_OK;
}

void stir_close(struct stir *s)
{
    if (s == NULL) {
        return;
    }
    stir_fetcher_stop(s->fetcher);
    stir_cache_free(s->cache);
    stir_replay_free(s->replay);
    stir_let_go(s->live);
    secret_release(s->origid, sizeof *s->origid);
    pthread_mutex_destroy(&s->lock);
    mem_free(s);
}

bool stir_number_of_uri(struct worker *w, struct view uri, char out[PASSPORT_TN_MAX])
{
    struct dialled d = dialled_of(w, uri);
    char digits[SIP_MAX_URI + 8];
    struct sip_uri u;

    if (d.class == DIAL_SUBSCRIBER) {
        return passport_canonical_tn(view_of(d.e164), out);
    }
    return sip_uri_parse(uri, &u) == E_OK && sip_uri_digits(&u, digits, sizeof digits) == E_OK &&
           passport_canonical_tn(view_of(digits), out);
}

bool stir_number_of(struct worker *w, struct view name_addr, char out[PASSPORT_TN_MAX])
{
    struct sip_name_addr a;

    return sip_name_addr_parse(name_addr, &a) == E_OK && !a.is_star &&
           stir_number_of_uri(w, a.uri_text, out);
}
