/* One turn of a worker: what its sockets, its queue and its clock bring. */
#include <string.h>

#include "gc/call.h"
#include "gc/emergency_mode.h"
#include "gc/park.h"
#include "gc/trunks.h"

enum { RECORDS_A_TURN = 256, TICKS_A_SECOND = 1000 / TICK_MS };

/* ---- in ----------------------------------------------------------------------------------------
 */
void worker_on_rx(void *arg, const struct sip_rx *rx)
{
    worker_rx(arg, rx);
}

static void flow_lost(struct worker *w, const struct sip_flow *flow)
{
    sip_txn_flow_lost(w->txns, flow);
}

void worker_on_closed(void *arg, const struct sip_flow *flow, enum err why)
{
    struct worker *w = arg;
    struct record head = {.kind = RECORD_CLOSED, .origin = w->index, .flow = *flow};

    LOG(LV_DEBUG, "connection.closed", KV("proto", sip_proto_name(flow->proto)), KV_ERR(why));
    flow_lost(w, flow);
    registrar_conn_closed(w, flow);
    for (unsigned i = 0; i < w->ws->n; i++) {
        if (i != w->index && !worker_post(w->ws->w[i], &head, VIEW(""))) {
            meter(w, METER_QUEUE_FULL); /* then its transactions end by their timers */
        }
    }
}

static void send_for_other(struct worker *w, const struct record *r, struct view octets)
{
    struct record back = {.kind = RECORD_CLOSED, .origin = w->index, .flow = r->flow};

    if (sip_transport_send(w->transport, &r->flow, octets) != E_OK) {
        meter(w, METER_TX_FAILED);
        if (!worker_post(w->ws->w[r->origin], &back, VIEW(""))) {
            meter(w, METER_QUEUE_FULL);
        }
    }
}

static void end_call(struct worker *w, struct view text)
{
    char copy[CONTROL_TEXT_MAX];
    size_t cut = 0;
    struct call *c = NULL;

    if (!view_find(text, 0, &cut) || text.n >= sizeof copy) {
        return;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    c = call_by_id(w, view_sub(text, 0, cut));
    if (c != NULL) {
        LOG(LV_INFO, "call.end_asked", KV("call", (const char *)c->id), KV("call_id", c->call_id));
        call_terminate(c, "gate", copy + cut + 1);
    }
}

struct of_kid { /* bindings of a session, copied out under the table's lock */
    const uint8_t *kid;
    unsigned n;
    struct binding found[LOCATION_MAX_CONTACTS];
};

static void collect(void *arg, const struct binding *b)
{
    struct of_kid *k = arg;

    if (k->n < LOCATION_MAX_CONTACTS && memcmp(b->kid, k->kid, sizeof b->kid) == 0) {
        k->found[k->n++] = *b;
    }
}

static void close_kid(struct worker *w, const uint8_t kid[BTI_KID_BYTES])
{
    struct of_kid k = {.kid = kid};

    calls_end_kid(w, kid);
    if (w->transport != NULL) {
        sip_transport_close_kid(w->transport, kid);
    }
    if (w->index != 0) {
        return;
    }
    location_each(w->ws->cfg.location, collect, &k);
    for (unsigned i = 0; i < k.n; i++) {
        IGNORE(
            location_remove(w->ws->cfg.location, k.found[i].line_id, view_of(k.found[i].contact)),
            "gone already: as wished");
    }
}

static void take_record(struct worker *w, const struct record *r, struct view octets)
{
    switch (r->kind) {
    case RECORD_MESSAGE:
        worker_rx_own(w, &r->flow, octets, r->is_datagram);
        break;
    case RECORD_SEND:
        send_for_other(w, r, octets);
        break;
    case RECORD_CLOSED:
        flow_lost(w, &r->flow);
        break;
    case RECORD_END_CALL:
        end_call(w, octets);
        break;
    case RECORD_END_ALL:
        calls_end_all(w);
        break;
    case RECORD_CLOSE_KID:
        close_kid(w, r->flow.kid);
        break;
    case RECORD_PARK:
        park_take(w, octets);
        break;
    case RECORD_PREEMPT:
        preempt_take(w, octets);
        break;
    }
}

void worker_on_wake(void *arg)
{
    struct worker *w = arg;
    struct record head;
    size_t n = 0;

    for (unsigned i = 0; i < RECORDS_A_TURN; i++) {
        n = queue_pop(w->queue, w->record);
        if (n == 0) {
            return;
        }
        BUG_ON(n < sizeof head);
        memcpy(&head, w->record, sizeof head);
        take_record(w, &head, view_from(w->record + sizeof head, n - sizeof head));
    }
    loop_wake_send(w->wake); /* the sockets get their turn in between */
}

/* ---- time --------------------------------------------------------------------------------------
 */
static void show(struct worker *w, enum meter which, size_t value)
{
    metric_set(w->ws->cfg.metrics, w->index, w->ws->meter_base + which, (int64_t)value);
}

static void each_tick(struct worker *w)
{
    show(w, METER_TRANSACTIONS, sip_txn_count(w->txns));
    show(w, METER_SUBSCRIPTIONS, w->n_usages);
    show(w, METER_CONNECTIONS, w->transport != NULL ? sip_transport_connections(w->transport) : 0);
    if (w->index == 0) {
        trunks_follow(w);
    }
}

static void each_second(struct worker *w)
{
    const struct workers_cfg *cfg = &w->ws->cfg;

    if (w->index == 0) {
        (void)location_expire(cfg->location, loop_now_ms(w->loop));
        (void)sessions_expire(cfg->sessions, worker_now_us(w));
        trunks_tick(w);
        emergency_modes_tick(w);
    }
}

void worker_on_ping(void *arg)
{
    struct worker *w = arg;

    pool_tick(w);
    IGNORE(loop_timer_start(w->loop, &w->ping_timer, w->set->ps_ping_ms, worker_on_ping, w),
           "the heap has room: this timer was in it");
}

/* No callback of ours is under way: whatever snapshot was in use is not any more. */
void worker_let_go(struct worker *w)
{
    w->snap = NULL;
    if (w->ws->store != NULL) {
        store_quiescent(w->ws->store, w->index);
        atomic_store(&w->follows, store_generation(w->ws->store));
    }
}

void worker_on_tick(void *arg)
{
    struct worker *w = arg;

    worker_let_go(w);
    registrar_sweep(w); /* before anything else looks at a snapshot */
    worker_follow(w);
    each_tick(w);
    if (++w->ticks % TICKS_A_SECOND == 0) {
        each_second(w);
    }
    IGNORE(loop_timer_start(w->loop, &w->tick, TICK_MS, worker_on_tick, w),
           "the heap has room: this timer was in it");
}
