/* The first steps of a message: limiter of its source, framer, owner of its Call-ID, hand-over. */
#include <string.h>

#include "gc/context.h"

static const enum meter rx_meter[] = {
    [SIP_UDP] = METER_RX_UDP, [SIP_TCP] = METER_RX_TCP, [SIP_TLS] = METER_RX_TLS};

/* "INVITE sip:911@..." as far as a first look can tell: such a message passes the limiter of a
 * flooded source. */
static bool looks_urgent(const struct worker *w, struct view raw)
{
    size_t end = 0;
    struct view uri = view_sub(raw, sizeof "INVITE " - 1, SIP_MAX_URI);

    return view_starts(raw, VIEW("INVITE ")) && view_find(uri, ' ', &end) &&
           dialled_of(w, view_sub(uri, 0, end)).class == DIAL_EMERGENCY;
}

static bool passes_limiter(struct worker *w, const struct sip_rx *rx)
{
    struct party peer;

    if (!rx->is_datagram || is_peer_flow(w, &rx->flow, &peer) ||
        limits_take(w->ws->limits, LIMIT_DATAGRAM, &rx->flow.remote, loop_now_ms(w->loop)) ||
        looks_urgent(w, rx->raw)) {
        return true;
    }
    meter(w, METER_SOURCE_LIMITED);
    return false;
}

static void hand_over(struct worker *w, struct worker *to, const struct sip_rx *rx)
{
    struct record head = {.kind = RECORD_MESSAGE, .is_datagram = rx->is_datagram, .flow = rx->flow};

    meter(w, worker_post(to, &head, rx->raw) ? METER_HANDED_OVER : METER_QUEUE_FULL);
}

static bool is_keep_alive(struct view raw)
{
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] != '\r' && raw.p[i] != '\n' && raw.p[i] != 0) {
            return false;
        }
    }
    return raw.n <= 4;
}

/* w->framed, which is this worker's. */
static void framed_in(struct worker *w, const struct sip_flow *flow, uint64_t at_us)
{
    struct inbound in = {.m = &w->framed, .flow = *flow, .at_us = at_us};
    uint64_t proven_us = 0;

    in.fingerprint = sip_fingerprint(w->txns, w->framed.raw);
    authenticate(w, &w->framed, flow, &in.proof);
    proven_us = meter_lap(w, METER_STAGE_PROOF, at_us);
    w->sent_us = 0;
    if (w->framed.is_odd &&
        sip_frame_plain(&w->framed, flow->proto == SIP_UDP, w->plain, &w->framed) != E_OK) {
        return;
    }
    if (w->framed.is_request) {
        request_in(w, &in);
    } else {
        response_in(w, &in);
    }
    (void)meter_lap(w, METER_STAGE_DECISION, proven_us + w->sent_us);
}

void worker_rx(struct worker *w, const struct sip_rx *rx)
{
    const char *why = "";
    struct worker *owner = NULL;
    uint64_t at_us = 0;

    if (rx->is_datagram && is_keep_alive(rx->raw)) {
        return;
    }
    meter(w, rx_meter[rx->flow.proto]);
    if (!passes_limiter(w, rx)) {
        return;
    }
    at_us = worker_mono_us(w);
    if (sip_frame(rx->raw, rx->is_datagram, &w->framed, &why) != E_OK) {
        meter(w, METER_MALFORMED);
        LOG(LV_DEBUG, "sip.malformed", KV("why", why));
        answer_malformed(w, rx, &w->framed, why != NULL ? why : "Bad Request");
        return;
    }
    at_us = meter_lap(w, METER_STAGE_FRAME, at_us);
    worker_show(w, &rx->flow, false, rx->raw);
    owner = w->ws->w[worker_hash(w, w->framed.call_id) % w->ws->n];
    if (owner == w) {
        framed_in(w, &rx->flow, at_us);
    } else {
        hand_over(w, owner, rx);
    }
}

void worker_rx_own(struct worker *w, const struct sip_flow *flow, struct view raw, bool is_datagram)
{
    const char *why = "";

    if (sip_frame(raw, is_datagram, &w->framed, &why) == E_OK) { /* as it was where it came in */
        framed_in(w, flow, worker_mono_us(w));
    }
}
