/* Provisioning servers: which of them answer, and which one gets a 611 call. Worker 0 asks each by
 * OPTIONS; all workers read what it found. */
#include <stdio.h>
#include <string.h>

#include "gc/context.h"

/* ---- choosing ----------------------------------------------------------------------------------
 */
/* Rendezvous: each call has its own order of the servers, and one that fails only moves its own. */
static uint64_t score(const struct worker *w, struct view call_id, unsigned server)
{
    char text[SIP_MAX_CALL_ID + 16];
    int n = snprintf(text, sizeof text, "%u %.*s", server, (int)call_id.n, call_id.p);

    BUG_ON(n < 0 || (size_t)n >= sizeof text);
    return worker_hash(w, view_from(text, (size_t)n));
}

unsigned pool_targets(struct worker *w, struct view call_id, struct target *out, unsigned max)
{
    const struct gc_plan *plan = w->plan;
    uint64_t scores[GC_PS_MAX];
    unsigned order[GC_PS_MAX], n = 0;

    for (unsigned i = 0; i < plan->n_ps; i++) {
        uint64_t mine = score(w, call_id, i);
        unsigned at = n;
        if (!atomic_load_explicit(&w->ws->ps[i].healthy, memory_order_relaxed)) {
            continue;
        }
        for (; at > 0 && scores[at - 1] < mine; at--) {
            scores[at] = scores[at - 1];
            order[at] = order[at - 1];
        }
        scores[at] = mine;
        order[at] = i;
        n++;
    }
    n = n < max ? n : max;
    for (unsigned i = 0; i < n; i++) {
        const struct gc_next_hop *hop = &plan->ps[order[i]];
        out[i] = (struct target){.who = {.kind = PARTY_PS, .ip = hop->address},
                                 .flow = {.proto = hop->proto, .remote = hop->address}};
    }
    return n;
}

/* ---- asking ------------------------------------------------------------------------------------
 */
static void set_health(struct worker *w, unsigned i, bool healthy)
{
    struct ps_health *h = &w->ws->ps[i];

    if (atomic_exchange_explicit(&h->healthy, healthy, memory_order_relaxed) != healthy) {
        LOG(healthy ? LV_INFO : LV_ERROR, healthy ? "ps.up" : "ps.down",
            KV("server", (const char *)w->plan->ps[i].uri));
        meter_by(w, METER_PS_HEALTHY, healthy ? 1 : -1);
    }
}

static void missed(struct worker *w, unsigned i)
{
    struct ps_health *h = &w->ws->ps[i];
    uint32_t n = atomic_fetch_add_explicit(&h->missed, 1, memory_order_relaxed) + 1;

    if (n >= w->set->ps_dead_after) {
        set_health(w, i, false);
    }
}

void pool_answer(struct leg *leg, unsigned status)
{
    struct worker *w = leg->w;
    unsigned i = leg->ping;
    struct ps_health *h = &w->ws->ps[i];

    if (status < 200) {
        return;
    }
    leg_abandon(leg);
    atomic_store_explicit(&h->missed, 0, memory_order_relaxed);
    atomic_store_explicit(&h->last_answer_us, worker_now_us(w), memory_order_relaxed);
    set_health(w, i, status != 503); /* 503: it drains */
}

/* The answer must come back to this worker, so the Call-ID must be one that it owns. */
enum err own_call_id(const struct worker *w, char out[OWN_CALL_ID])
{
    uint8_t random[16];
    enum err e = E_OK;

    for (;;) {
        TRY(crypto_random(random, sizeof random));
        hex_put(random, sizeof random, out);
        if (worker_hash(w, view_of(out)) % w->ws->n == w->index) {
            break;
        }
    }
out:
    return e;
}

size_t options_write(struct worker *w, const struct sip_flow *flow, const char *uri,
                     const char *branch, const char *call_id)
{
    struct sip_text text = {.p = w->out, .max = sizeof w->out};
    struct net_addr own = worker_address(w, flow);
    char from[NET_TEXT_MAX];

    net_text(&own, from);
    sip_text_add(&text,
                 "OPTIONS %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=%s;rport\r\n"
                 "Max-Forwards: 70\r\nFrom: <sip:%s>;tag=%.8s\r\nTo: <%s>\r\n"
                 "Call-ID: %s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
                 uri, sip_proto_name(flow->proto), from, branch, from, call_id, uri, call_id);
    return text.bad ? 0 : text.n;
}

/* Without a transaction: a question that is lost is asked again at the next interval, so a server
 * that comes back is seen at once, and a dead one costs one datagram for each interval. */
static enum err ping(struct worker *w, unsigned i)
{
    const struct gc_next_hop *hop = &w->plan->ps[i];
    struct target t = {.who = {.kind = PARTY_PS, .ip = hop->address}};
    char call_id[OWN_CALL_ID], uri[NET_TEXT_MAX + 8], to[NET_TEXT_MAX];
    size_t n = 0;
    enum err e = own_call_id(w, call_id);

    TRY(e);
    TRY(worker_reach(w, hop->proto, &hop->address, &t.flow));
    w->ping[i] = leg_new(w, LEG_PING, &t.who, NULL);
    if (w->ping[i] == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    w->ping[i]->ping = i;
    net_text(&t.flow.remote, to);
    snprintf(uri, sizeof uri, "sip:%s", to);
    n = options_write(w, &t.flow, uri, w->ping[i]->branch, call_id);
    BUG_ON(n == 0);
    e = worker_send(w, &t.flow, view_from(w->out, n));
out:
    return e;
}

void pool_tick(struct worker *w)
{
    for (unsigned i = 0; i < w->plan->n_ps; i++) {
        if (w->ping[i] != NULL) { /* no answer in a whole interval */
            leg_abandon(w->ping[i]);
            missed(w, i);
        }
        IGNORE(ping(w, i), "no answer will come, and that is counted");
    }
}

void pool_free(struct worker *w)
{
    for (unsigned i = 0; i < GC_PS_MAX; i++) {
        if (w->ping[i] != NULL) {
            leg_abandon(w->ping[i]);
        }
    }
}

/* What is known of a server stays with it; a new one counts as down until it answers. The others
 * see the same within a tick: until then one call may ask a server that is down, and goes on to the
 * next. */
void pool_changed(struct worker *w, const struct gc_plan *old)
{
    struct ps_health *all = w->ws->ps;
    struct {
        bool healthy;
        uint64_t last_answer_us;
        uint32_t missed;
    } was[GC_PS_MAX];
    int64_t healthy = 0;

    for (unsigned i = 0; i < GC_PS_MAX; i++) {
        was[i].healthy = atomic_load_explicit(&all[i].healthy, memory_order_relaxed);
        was[i].last_answer_us = atomic_load_explicit(&all[i].last_answer_us, memory_order_relaxed);
        was[i].missed = atomic_load_explicit(&all[i].missed, memory_order_relaxed);
        healthy -= was[i].healthy;
    }
    pool_free(w); /* questions under way belong to the old list */
    for (unsigned i = 0; i < GC_PS_MAX; i++) {
        unsigned k = 0;
        while (i < w->plan->n_ps && k < old->n_ps &&
               strcmp(old->ps[k].uri, w->plan->ps[i].uri) != 0) {
            k++;
        }
        bool is_known = i < w->plan->n_ps && k < old->n_ps;
        atomic_store_explicit(&all[i].healthy, is_known && was[k].healthy, memory_order_relaxed);
        atomic_store_explicit(&all[i].last_answer_us, is_known ? was[k].last_answer_us : 0,
                              memory_order_relaxed);
        atomic_store_explicit(&all[i].missed, is_known ? was[k].missed : 0, memory_order_relaxed);
        healthy += is_known && was[k].healthy;
    }
    meter_by(w, METER_PS_HEALTHY, healthy);
    pool_tick(w); /* new ones are asked at once */
}
