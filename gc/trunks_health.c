/* Whether the addresses of trunks answer: OPTIONS by worker 0. Without a transaction: a question
 * that is lost is asked again, so one that comes back is seen at once. */
#include <stdio.h>
#include <string.h>

#include "gc/context.h"
#include "gc/trunks_int.h"

static void tell(const struct trunk_state *s, const struct trunk_place *p, bool is_down)
{
    char address[NET_TEXT_MAX];

    net_text(&p->where.address, address);
    LOG(is_down ? LV_ERROR : LV_INFO, is_down ? "trunk.down" : "trunk.up",
        KV("trunk", (const char *)s->name), KV("proto", sip_proto_name(p->where.proto)),
        KV("address", (const char *)address));
}

static void set_down(struct trunk_state *s, struct trunk_place *p, bool is_down)
{
    bool was = p->is_down;

    trunks_lock(s->t);
    p->is_down = is_down;
    trunks_unlock(s->t);
    if (was != is_down) {
        tell(s, p, is_down);
    }
}

static void missed(struct trunk_state *s, struct trunk_place *p)
{
    trunks_lock(s->t);
    p->missed++;
    trunks_unlock(s->t);
    if (p->missed >= TRUNK_MISSES) {
        set_down(s, p, true);
    }
}

enum { PING_COPIES = 3 }; /* over UDP, one each second */

/* Any answer shows that somebody is there; 503 that it wants no calls. */
void trunks_answer(struct leg *leg, unsigned status)
{
    struct trunk_state *s = leg->trunk;
    struct trunk_place *p = leg->place;

    if (status < 200) {
        return;
    }
    leg_abandon(leg);
    trunks_lock(s->t);
    p->missed = 0;
    p->suspect_until_ms = 0;
    p->last_answer_us = worker_now_us(s->t->w);
    trunks_unlock(s->t);
    set_down(s, p, status == 503);
}

void trunks_ping_gone(struct leg *leg)
{
    if (leg->place != NULL && leg->place->ping.leg == leg) {
        leg->place->ping.leg = NULL;
    }
}

void trunk_place_stop(struct trunk_place *p)
{
    if (p->ping.leg != NULL) {
        leg_abandon(p->ping.leg);
    }
}

void trunk_health_stop(struct trunk_state *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        trunk_place_stop(&s->place[i]);
    }
}

static enum err send_ping(struct trunk_state *s, struct trunk_place *p)
{
    struct worker *w = s->t->w;
    char uri[TRUNK_URI_MAX];
    size_t n = 0;

    trunk_host_uri(view_of(s->host), s->ask.port, uri);
    n = options_write(w, &p->ping.flow, uri, p->ping.leg->branch, p->ping.call_id);
    BUG_ON(n == 0);
    p->ping.sent++;
    return worker_send(w, &p->ping.flow, view_from(w->out, n));
}

static enum err ping(struct trunk_state *s, struct trunk_place *p)
{
    struct worker *w = s->t->w;
    struct target t = {.who = {.kind = PARTY_GATEWAY, .trunk = s->trunk_id, .ip = p->where.address},
                       .flow = {.proto = p->where.proto, .remote = p->where.address}};
    enum err e = own_call_id(w, p->ping.call_id);

    TRY(e);
    TRY(trunk_reach(w, &t));
    p->ping.flow = t.flow;
    p->ping.leg = leg_new(w, LEG_TRUNK, &t.who, NULL);
    if (p->ping.leg == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    p->ping.sent = 0;
    p->ping.leg->trunk = s;
    p->ping.leg->place = p;
    e = send_ping(s, p);
out:
    return e;
}

/* Any worker says so. */
static bool is_suspect(const struct trunk_state *s, const struct trunk_place *p, uint64_t now_ms)
{
    bool suspect = false;

    trunks_lock(s->t);
    suspect = p->suspect_until_ms > now_ms;
    trunks_unlock(s->t);
    return suspect;
}

static void tick_place(struct trunk_state *s, struct trunk_place *p, uint64_t now_ms)
{
    struct trunk_ping *q = &p->ping;

    if (now_ms < q->due_ms && (q->leg != NULL || !is_suspect(s, p, now_ms))) {
        if (q->leg != NULL && p->where.proto == SIP_UDP && q->sent < PING_COPIES) {
            IGNORE(send_ping(s, p), "the next second sends it again");
        }
        return;
    }
    if (q->leg != NULL) { /* no answer in a whole interval */
        leg_abandon(q->leg);
        missed(s, p);
    }
    q->due_ms = now_ms + (uint64_t)s->ping_s * 1000;
    if (ping(s, p) != E_OK && q->leg == NULL) {
        missed(s, p);
    }
}

void trunk_health_tick(struct trunk_state *s, uint64_t now_ms)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (s->ping_s != 0) {
            tick_place(s, &s->place[i], now_ms);
        } else if (s->place[i].is_down) {
            set_down(s, &s->place[i], false);
        }
    }
}
