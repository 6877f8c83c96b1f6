/* What is told of calls goes into the spools. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "lawful_intercept/li_int.h"
#include "lawful_intercept/x2.h"

enum { OCTETS_MAX = CDC_MAX };

static void put(struct li *l, struct li_place_run *p, uint64_t at_us, size_t n)
{
    uint64_t number = 0;
    enum err e = spool_put(p->spool, at_us, view_from(l->octets, n), &number);

    if (e != E_OK) {
        if (!p->is_refused) { /* said once; how many: spool.lost */
            LOG(LV_ERROR, "spool.refused", KV("order", p->order), KV("channel", p->channel_name),
                KV_ERR(e));
        }
        p->is_refused = true;
        return;
    }
    p->is_refused = false;
    p->is_dirty = p->has_news = true;
    l->counts.spooled++;
}

static void on_call_data(void *arg, const struct li_order *o, const struct cdc_message *m)
{
    struct li *l = arg;
    struct li_place_run *p = li_place_of(l, o->id, LI_CHANNEL_CDC);
    char why[128];
    size_t n = 0;

    if (p == NULL) {
        return;
    }
    if (cdc_write(m, l->octets, OCTETS_MAX, &n, why, sizeof why) != E_OK) {
        LOG(LV_ERROR, "call_data.refused", KV("order", o->id), KV("kind", cdc_kind_name(m->kind)),
            KV("why", (const char *)why));
        return;
    }
    put(l, p, m->at_us, n);
}

static struct view target_of(const struct li_order *o, char *dst, size_t dst_bytes)
{
    int n = o->number[0] != 0
                ? snprintf(dst, dst_bytes, "<e164Number>%s</e164Number>", o->number + 1)
            : o->uri[0] != 0 ? snprintf(dst, dst_bytes, "<sipUri>sip:%s</sipUri>", o->uri)
                             : snprintf(dst, dst_bytes, "<sipUri>sip:line-%llu</sipUri>",
                                        (unsigned long long)o->line);

    return n > 0 && (size_t)n < dst_bytes ? view_from(dst, (size_t)n) : VIEW("");
}

static void on_signaling(void *arg, const struct li_order *o, enum li_direction direction,
                         uint64_t correlation, const struct tap_record *r, struct view octets)
{
    struct li *l = arg;
    struct li_place_run *place = li_place_of(l, o->id, LI_CHANNEL_X2);
    bool from = direction == LI_FROM_SUBJECT;
    struct x2_pdu p = {.type = X2_DATA,
                       .format = X2_FORMAT_SIP,
                       .direction = from ? X2_FROM_TARGET : X2_TO_TARGET,
                       .correlation = correlation,
                       .has_sequence = true,
                       .has_time = true,
                       .at_us = r->at_us,
                       .from = from ? r->remote : r->local,
                       .to = from ? r->local : r->remote,
                       .payload = octets};
    char target[LI_URI_MAX + 40];
    size_t n = 0;

    if (place == NULL) {
        return;
    }
    memcpy(p.xid, o->xid, sizeof p.xid);
    p.sequence = place->sequence++;
    p.target = target_of(o, target, sizeof target);
    if (x2_write(&p, l->octets, OCTETS_MAX, &n) != E_OK) {
        LOG(LV_ERROR, "x2.refused", KV("order", o->id), KV("octets", octets.n));
        return;
    }
    put(l, place, r->at_us, n);
}

struct li_sink li_sink_of(struct li *l)
{
    return (struct li_sink){on_call_data, on_signaling, l};
}
