/* Towards a trunk: its addresses as targets, connections to it, and numbers as it wants them. */
#include <stdio.h>
#include <string.h>

#include "gc/call.h"
#include "gc/displace.h"
#include "gc/emergency_mode.h"
#include "gc/trunks.h"
#include "routing/route.h"

enum { ADDRESSES_MAX = 4 /* of one trunk for one call */ };

const struct trunk *trunk_row(struct worker *w, uint64_t trunk_id)
{
    const struct snapshot *snap = trunk_id != 0 ? worker_snapshot(w) : NULL;

    return snap != NULL ? snapshot_trunk(snap, trunk_id) : NULL;
}

void trunk_host_uri(struct view host, uint16_t port, char out[TRUNK_URI_MAX])
{
    struct net_addr ip;
    bool is_v6 = net_parse_ip(host, &ip) == E_OK && ip.family == 6 && host.p[0] != '[';
    char port_text[8] = "";

    if (port != 0) {
        snprintf(port_text, sizeof port_text, ":%u", port);
    }
    snprintf(out, TRUNK_URI_MAX, "sip:%s%.*s%s%s", is_v6 ? "[" : "", (int)host.n, host.p,
             is_v6 ? "]" : "", port_text);
}

/* ---- numbers -----------------------------------------------------------------------------------
 */
bool number_uri(char out[LOCATION_URI_MAX], const char *number, const char *host)
{
    struct sip_text t = {.p = out, .max = LOCATION_URI_MAX - 1};

    sip_text_add(&t, "sip:");
    for (; *number != 0; number++) {
        sip_text_add(&t, *number == '#' ? "%%23" : "%c", *number);
    }
    sip_text_add(&t, "@%s;user=phone", host);
    out[t.bad ? 0 : t.n] = 0;
    return !t.bad;
}

/* "Display" <sip:+12125550101@domain>: the number in the trunk's form. */
void trunk_present(const struct worker *w, const struct trunk *t, const char *asserted,
                   char out[ASSERTED_MAX])
{
    const char *number = t != NULL ? strstr(asserted, "<sip:+") : NULL, *end = NULL;
    char text[ROUTE_NUMBER_MAX];

    number = number != NULL ? number + 5 : NULL;
    end = number != NULL ? strchr(number, '@') : NULL;
    if (end == NULL) {
        snprintf(out, ASSERTED_MAX, "%s", asserted);
        return;
    }
    route_caller_for(t, &w->plan->dialplan, view_from(number, (size_t)(end - number)), text);
    snprintf(out, ASSERTED_MAX, "%.*s%s%s", (int)(number - asserted), asserted, text, end);
}

void trunk_asserted(struct worker *w, const struct forwarding *f, char out[ASSERTED_MAX])
{
    const struct trunk *t = trunk_row(w, f->to->who.trunk);
    bool has = f->asserted != NULL && f->asserted[0] != 0;
    bool passes = sip_header(f->m, SIP_H_P_ASSERTED_IDENTITY, 0) != NULL &&
                  f->from.kind == PARTY_GATEWAY && !f->from.is_doubted;
    char own[ASSERTED_MAX];

    snprintf(out, ASSERTED_MAX, "%s", has ? f->asserted : "");
    if (t == NULL) {
        return;
    }
    if (has) {
        trunk_present(w, t, f->asserted, out);
    } else if (!passes && !f->keeps_keys && t->default_number.n > 0) {
        snprintf(own, sizeof own, "<sip:%.*s@%.80s>", (int)t->default_number.n, t->default_number.p,
                 w->set->domain);
        trunk_present(w, t, own, out);
    }
}

/* ---- targets -----------------------------------------------------------------------------------
 */
static bool fill(const struct trunk_ask *ask, const struct trunk_address *a, struct target *t)
{
    const struct trunk *row = ask->trunk;
    char host[TRUNK_URI_MAX];

    *t = (struct target){.who = trunk_party(row, &a->where.address),
                         .flow = {.proto = a->where.proto, .remote = a->where.address},
                         .is_down = a->is_down,
                         .route_id = ask->route_id,
                         .route_channels = ask->route_channels};
    if (ask->number == NULL) {
        return true; /* the Request-URI stays */
    }
    trunk_host_uri(row->host, row->port, host);
    if (number_uri(t->uri, ask->number, host + 4)) {
        return true;
    }
    net_text(&a->where.address, host); /* for a very long name its address will do */
    return number_uri(t->uri, ask->number, host);
}

unsigned trunk_targets(struct worker *w, const struct trunk_ask *ask, struct target *out,
                       unsigned max)
{
    struct trunk_addresses all;
    unsigned n = 0, used = 0;

    if (ask->trunk->disabled && !ask->is_emergency) {
        return 0;
    }
    trunks_addresses(w->ws->trunks, ask->trunk->trunk_id, worker_draw(w), loop_now_ms(w->loop),
                     &all);
    /* One that is down may still be the last hope of an emergency call. */
    n = ask->is_emergency ? all.n : all.n_usable;
    n = n < ADDRESSES_MAX ? n : ADDRESSES_MAX;
    n = n < max ? n : max;
    for (unsigned i = 0; i < n; i++) {
        used += fill(ask, &all.a[i], &out[used]);
    }
    return used;
}

enum err trunk_reach(struct worker *w, struct target *t)
{
    const struct trunk *row = trunk_row(w, t->who.trunk);
    struct tls_names names = {.n = 0};
    enum err e = E_OK;

    if (t->flow.proto != SIP_TLS) {
        return worker_reach(w, t->flow.proto, &t->flow.remote, &t->flow);
    }
    if (row == NULL) {
        return FAIL(E_NOTFOUND);
    }
    TRY(tls_names_add(&names, row->tls_name.n > 0 ? row->tls_name : row->host));
    e = worker_reach_named(w, &t->flow.remote, &names, &t->flow);
out:
    return e;
}

/* ---- channels ----------------------------------------------------------------------------------
 */
static void tell_full(const struct call *c, const struct trunk *row, uint64_t route, enum err e)
{
    LOG(LV_WARN, "trunk.full", KV("call", (const char *)c->id),
        KV("trunk", row != NULL ? row->name : VIEW("")), KV("route", route),
        KV("limit", e == E_DENIED ? "rate" : "channels"));
}

struct trunk_room trunk_room_of(const struct call *c, const struct trunk *row,
                                uint32_t route_channels)
{
    struct trunk_room room = {.route_channels = route_channels};

    if (row != NULL) {
        room.channels = row->max_channels;
        room.cps = row->max_cps;
        room.is_shared = emergency_mode_share(c, row, &room.routine_most);
    }
    return room;
}

enum err trunk_enter(struct call *c, const struct target *t)
{
    struct workers *ws = c->w->ws;
    struct trunk_use use = {t->who.trunk, t->route_id, c->is_routine};
    const struct trunk *row = trunk_row(c->w, t->who.trunk);
    struct trunk_room room = trunk_room_of(c, row, t->route_channels);
    enum err e = E_OK;

    room.always = c->is_emergency;
    displace_keeps(c, &use, &room);

    if (use.trunk == c->way_out.trunk && use.route == c->way_out.route) {
        return E_OK;
    }
    trunks_give(ws->trunks, &c->way_out);
    if (use.trunk == 0 && use.route == 0) {
        call_show_trunks(c);
        return E_OK;
    }
    e = trunks_take(ws->trunks, &use, &room, loop_now_ms(c->w->loop));
    if (e != E_OK) {
        tell_full(c, row, t->route_id, e);
        return e;
    }
    c->way_out = use;
    displace_use(c, &use);
    call_show_trunks(c);
    return E_OK;
}

enum err trunk_admit(struct call *c, bool always)
{
    const struct trunk *row = trunk_row(c->w, c->caller.who.trunk);
    struct trunk_use use = {.trunk = row != NULL ? row->trunk_id : 0, .is_routine = c->is_routine};
    struct trunk_room room = trunk_room_of(c, row, 0);
    enum err e = E_OK;

    if (row == NULL) {
        return E_OK;
    }
    room.always = always;
    displace_keeps(c, &use, &room);
    e = trunks_take(c->w->ws->trunks, &use, &room, loop_now_ms(c->w->loop));
    if (e != E_OK) {
        tell_full(c, row, 0, e);
        return e;
    }
    c->way_in = use;
    displace_use(c, &use);
    call_show_trunks(c);
    return E_OK;
}

enum err trunk_pass(struct worker *w, const struct party *who)
{
    const struct trunk *row = trunk_row(w, who->trunk);
    struct trunk_use use = {.trunk = row != NULL ? row->trunk_id : 0};
    struct trunk_room room = {.cps = row != NULL ? row->max_cps : 0, .only_rate = true};
    enum err e = E_OK;

    if (row == NULL || row->max_cps == 0) {
        return E_OK;
    }
    e = trunks_take(w->ws->trunks, &use, &room, loop_now_ms(w->loop));
    if (e == E_DENIED) {
        LOG(LV_WARN, "trunk.full", KV("trunk", row->name), KV("limit", "rate"));
    }
    return e;
}

void trunk_leave(struct call *c)
{
    trunks_give(c->w->ws->trunks, &c->way_out);
    trunks_give(c->w->ws->trunks, &c->way_in);
}

void trunk_failed(struct worker *w, const struct party *who, const struct net_addr *address)
{
    if (who->trunk != 0) {
        trunks_suspect(w->ws->trunks, who->trunk, address, loop_now_ms(w->loop));
    }
}
