/* REGISTER (RFC 3261 section 10.3): only with proof, only for numbers of the proven line, and each
 * binding held to the connection and session by which it came. */
#include <stdio.h>
#include <string.h>

#include "gc/context.h"
#include "gc/tapping.h"

struct wish { /* one Contact */
    char uri[LOCATION_URI_MAX];
    uint64_t expires_s; /* 0: remove */
    uint16_t q;         /* thousandths */
};

struct registration {
    const struct inbound *in;
    const struct line *line;
    char call_id[128];
    bool is_star;
    unsigned n;
    struct wish wish[LOCATION_MAX_CONTACTS];
    unsigned status; /* why not */
    const char *reason;
};

static bool no(struct registration *r, unsigned status, const char *reason)
{
    r->status = status;
    r->reason = reason;
    return false;
}

/* ---- what is asked -----------------------------------------------------------------------------
 */
/* What the operator issued has no end of its own. */
static uint64_t session_left_s(struct worker *w, const struct party *who)
{
    struct session *s = NULL;
    uint64_t now = worker_now_us(w), end = 0;

    if (who->kind == PARTY_PHONE && who->credential != 0) {
        return UINT64_MAX;
    }
    if (session_hold(w->ws->cfg.sessions, who->kid, now, &s) == E_OK) {
        end = session_expires_us(s);
        session_release(s);
    }
    return end > now ? (end - now) / 1000000 : 0;
}

/* A binding is worth nothing without its session: it ends with it at the latest. */
static bool grant(struct worker *w, struct registration *r, uint64_t asked, uint64_t *out)
{
    const struct gc_settings *set = w->set;
    uint64_t left = session_left_s(w, &r->in->proof.who);

    if (asked > 0 && asked < set->expires_min_s) {
        return no(r, 423, NULL);
    }
    asked = asked < set->expires_max_s ? asked : set->expires_max_s;
    *out = asked < left ? asked : left;
    return true;
}

/* qvalue of RFC 3261 section 25.1: 0, 1, or up to three places behind the point. 1 when absent. */
static bool read_q(struct view params, uint16_t *out)
{
    struct view text;
    uint64_t thousandths = 0;
    size_t point = 0;

    *out = 1000;
    if (!sip_param(params, VIEW("q"), &text)) {
        return true;
    }
    if (text.n == 0 || text.n > 5 || (text.p[0] != '0' && text.p[0] != '1') ||
        (view_find(text, '.', &point) ? point != 1 : text.n != 1)) {
        return false;
    }
    for (size_t i = 0; i < 4; i++) {
        size_t at = i == 0 ? 0 : i + 1;
        if (at < text.n && !is_digit((unsigned char)text.p[at])) {
            return false;
        }
        thousandths = thousandths * 10 + (at < text.n ? (uint64_t)(text.p[at] - '0') : 0);
    }
    *out = (uint16_t)thousandths;
    return thousandths <= 1000;
}

static bool read_contact(struct worker *w, struct registration *r, struct view element,
                         uint64_t fallback_s)
{
    struct sip_name_addr a;
    struct view text;
    struct wish *wish = &r->wish[r->n];
    uint64_t asked = fallback_s;

    if (sip_name_addr_parse(element, &a) != E_OK) {
        return no(r, 400, "Bad Contact");
    }
    if (a.is_star) {
        r->is_star = true;
        return true;
    }
    if (r->n == LOCATION_MAX_CONTACTS) {
        return no(r, 403, "Too many contacts");
    }
    if ((a.uri.scheme != SIP_SCHEME_SIP && a.uri.scheme != SIP_SCHEME_SIPS) ||
        a.uri.headers.n > 0 || view_to_cstr(a.uri_text, wish->uri, sizeof wish->uri) != E_OK) {
        return no(r, 400, "Contact cannot be used");
    }
    if (!read_q(a.params, &wish->q)) {
        return no(r, 400, "Bad q of Contact");
    }
    if (sip_param(a.params, VIEW("expires"), &text) &&
        view_to_u64(text, UINT32_MAX, &asked) != E_OK) {
        asked = fallback_s;
    }
    r->n++;
    return grant(w, r, asked, &wish->expires_s);
}

static bool read_contacts(struct worker *w, struct registration *r)
{
    const struct sip_msg *m = r->in->m;
    struct view expires = sip_header_value(m, SIP_H_EXPIRES);
    const struct sip_hdr *h = sip_header(m, SIP_H_CONTACT, 0);
    uint64_t fallback = w->set->expires_default_s, total = 0;

    if (expires.n > 0 && view_to_u64(expires, UINT32_MAX, &fallback) != E_OK) {
        return no(r, 400, "Bad Expires");
    }
    for (; h != NULL; h = sip_header(m, SIP_H_CONTACT, sip_header_index(m, h) + 1)) {
        struct sip_list l = sip_list_over(h->value);
        struct view element;
        while (sip_list_next(&l, &element)) {
            total++;
            if (!read_contact(w, r, element, fallback)) {
                return false;
            }
        }
    }
    if (r->is_star && (total != 1 || expires.n == 0 || fallback != 0)) {
        return no(r, 400, "Contact * stands alone, with Expires 0");
    }
    return true;
}

static bool read_to(struct worker *w, struct registration *r)
{
    const struct snapshot *snap = worker_snapshot(w);
    struct sip_name_addr to;
    struct sip_uri uri;
    struct dialled d;

    if (snap == NULL) {
        return no(r, 503, NULL);
    }
    if (sip_uri_parse(r->in->m->uri, &uri) != E_OK || !worker_is_us(w, &uri)) {
        return no(r, 403, "Not the registrar of that domain");
    }
    r->line = snapshot_line(snap, r->in->proof.who.line);
    if (r->line == NULL) {
        return no(r, 403, NULL);
    }
    if (sip_name_addr_parse(sip_header_value(r->in->m, SIP_H_TO), &to) != E_OK) {
        return no(r, 400, "To is not a SIP URI"); /* RFC 3261 section 10.3 step 3 */
    }
    d = dialled_of(w, to.uri_text);
    if (d.class != DIAL_SUBSCRIBER ||
        (to.uri.scheme != SIP_SCHEME_TEL && !worker_is_us(w, &to.uri)) ||
        !snapshot_owns_number(snap, r->line->line_id, view_of(d.e164))) {
        return no(r, 403, "To is not a number of this line");
    }
    return true;
}

/* ---- doing it ----------------------------------------------------------------------------------
 */
static void mirror(struct worker *w, const struct binding *b, bool removed)
{
    const struct workers *ws = w->ws;

    if (ws->seam.mirror != NULL) {
        ws->seam.mirror(ws->seam.arg, b, removed);
    } else if (ws->store != NULL) {
        store_mirror_binding(ws->store, w->index, b, removed);
    }
}

static struct binding binding_for(struct worker *w, const struct registration *r,
                                  const struct wish *wish)
{
    const struct sip_flow *f = &r->in->flow;
    struct binding b = {.line_id = r->line->line_id,
                        .cseq = r->in->m->cseq,
                        .expires_ms = loop_now_ms(w->loop) + wish->expires_s * 1000,
                        .expires_us = worker_now_us(w) + wish->expires_s * 1000000,
                        .proto = (uint8_t)f->proto,
                        .remote = f->remote,
                        .local = f->local,
                        .worker = f->worker,
                        .conn = f->conn,
                        .has_kid = f->has_kid,
                        .is_phone = r->in->proof.who.kind == PARTY_PHONE,
                        .credential = r->in->proof.who.credential,
                        .algorithm = r->in->proof.who.algorithm,
                        .q = wish->q};

    memcpy(b.username, r->in->proof.who.username, sizeof b.username);
    memcpy(b.kid, r->in->proof.who.kid, sizeof b.kid);
    memcpy(b.bti_id, r->in->proof.who.bti, sizeof b.bti_id);
    memcpy(b.contact, wish->uri, sizeof b.contact);
    memcpy(b.call_id, r->call_id, sizeof b.call_id);
    return b;
}

/* Step 7: an older request than the one that made the binding changes nothing. */
static bool is_stale(const struct registration *r, const struct binding *b)
{
    return strcmp(b->call_id, r->call_id) == 0 && r->in->m->cseq <= b->cseq;
}

static bool remove_some(struct worker *w, struct registration *r, const char *contact_or_null)
{
    struct binding have[LOCATION_MAX_CONTACTS];
    size_t n = location_find(w->ws->cfg.location, r->line->line_id, loop_now_ms(w->loop), have,
                             LOCATION_MAX_CONTACTS);

    for (size_t i = 0; i < n; i++) {
        if (contact_or_null != NULL && strcmp(have[i].contact, contact_or_null) != 0) {
            continue;
        }
        if (is_stale(r, &have[i])) {
            return no(r, 500, "CSeq out of order");
        }
        if (location_remove(w->ws->cfg.location, r->line->line_id, view_of(have[i].contact)) ==
            E_OK) {
            mirror(w, &have[i], true);
        }
    }
    return true;
}

static bool apply(struct worker *w, struct registration *r)
{
    if (r->is_star) {
        return remove_some(w, r, NULL);
    }
    for (unsigned i = 0; i < r->n; i++) {
        struct binding b = binding_for(w, r, &r->wish[i]);
        enum err e = E_OK;
        if (r->wish[i].expires_s == 0) {
            if (!remove_some(w, r, r->wish[i].uri)) {
                return false;
            }
            continue;
        }
        e = location_put(w->ws->cfg.location, &b);
        if (e != E_OK) {
            return e == E_STATE ? no(r, 500, "CSeq out of order") : no(r, 503, NULL);
        }
        mirror(w, &b, false);
    }
    return true;
}

/* ---- answers -----------------------------------------------------------------------------------
 */
static void confirm(struct worker *w, const struct registration *r)
{
    struct binding have[LOCATION_MAX_CONTACTS];
    uint64_t now = loop_now_ms(w->loop);
    size_t n =
        location_find(w->ws->cfg.location, r->line->line_id, now, have, LOCATION_MAX_CONTACTS);
    char text[LOCATION_MAX_CONTACTS * (LOCATION_URI_MAX + 64)];
    struct sip_text t = {.p = text, .max = sizeof text};

    for (size_t i = 0; i < n; i++) {
        uint64_t left = have[i].expires_ms > now ? (have[i].expires_ms - now) / 1000 : 0;
        sip_text_add(&t, "Contact: <%s>;expires=%llu", have[i].contact, (unsigned long long)left);
        if (have[i].q < 1000) {
            sip_text_add(&t, ";q=0.%03u", have[i].q);
        }
        sip_text_add(&t, "\r\n");
    }
    meter(w, METER_REG_OK);
    LOG(LV_INFO, "register.ok", KV("line", r->line->line_id), KV("contacts", n),
        KV("proto", sip_proto_name(r->in->flow.proto)));
    answer(w, r->in, 200, NULL, t.bad ? VIEW("") : view_from(text, t.n));
}

static void refuse(struct worker *w, const struct registration *r)
{
    char extra[64] = "";

    if (r->status == 423) {
        snprintf(extra, sizeof extra, "Min-Expires: %llu\r\n",
                 (unsigned long long)w->set->expires_min_s);
    } else if (r->status == 503) {
        snprintf(extra, sizeof extra, "Retry-After: %d\r\n", RETRY_AFTER_S);
    }
    meter(w, METER_REG_REFUSED);
    LOG(LV_INFO, "register.refused", KV("status", r->status), KV("line", r->in->proof.who.line),
        KV("reason", r->reason != NULL ? r->reason : sip_reason(r->status)));
    answer(w, r->in, r->status, r->reason, view_of(extra));
}

void register_in(struct worker *w, const struct inbound *in)
{
    struct registration r = {.in = in};

    if (in->proof.class != PROOF_PROVEN) {
        challenge(w, in);
        return;
    }
    tapped_in(w, NULL, in);
    if (!check_extensions(w, in, SIP_H_REQUIRE)) {
        return;
    }
    if (view_to_cstr(in->m->call_id, r.call_id, sizeof r.call_id) != E_OK) {
        snprintf(r.call_id, sizeof r.call_id, "hash %016llx",
                 (unsigned long long)worker_hash(w, in->m->call_id));
    }
    if (read_to(w, &r) && read_contacts(w, &r) && apply(w, &r)) {
        confirm(w, &r);
    } else {
        refuse(w, &r);
    }
}

/* ---- lost credentials --------------------------------------------------------------------------
 */
enum { SWEEP_PARTS = 8, LOST_MAX = 64 };

struct lost {
    struct worker *w;
    unsigned n;
    struct binding v[LOST_MAX];
};

static void collect_lost(void *arg, const struct binding *b)
{
    struct lost *l = arg;
    struct target t = target_of_binding(b);

    if (l->n < LOST_MAX && b->via_node.family == 0 && !phone_is_good(l->w, &t.who)) {
        l->v[l->n++] = *b;
    }
}

/* False: there may be more. */
static bool sweep_part(struct worker *w, unsigned part)
{
    struct lost l = {.w = w};

    location_each_phone(w->ws->cfg.location, part, collect_lost, &l);
    for (unsigned i = 0; i < l.n; i++) {
        if (location_remove(w->ws->cfg.location, l.v[i].line_id, view_of(l.v[i].contact)) != E_OK) {
            continue;
        }
        LOG(LV_INFO, "register.revoked", KV("line", l.v[i].line_id),
            KV("username", (const char *)l.v[i].username));
        mirror(w, &l.v[i], true);
    }
    return l.n < LOST_MAX;
}

/* A part at a time, so that no tick takes long. */
void registrar_sweep(struct worker *w)
{
    uint64_t generation = w->ws->store != NULL ? store_generation(w->ws->store) : 0;
    const struct snapshot *snap = worker_snapshot(w);

    if (snap == NULL) {
        return;
    }
    if (w->ws->store == NULL) { /* a test's */
        generation = snapshot_change_seq(snap);
    }
    if (generation != w->swept) {
        w->swept = generation;
        w->sweep_left = w->index == 0 ? LOCATION_PARTS : 0;
        calls_end_lost_phones(w);
    }
    for (unsigned i = 0; i < SWEEP_PARTS && w->sweep_left > 0; i++) {
        w->sweep_left -= sweep_part(w, w->sweep_left - 1);
    }
}

/* ---- lost connections --------------------------------------------------------------------------
 */
void registrar_conn_closed(struct worker *w, const struct sip_flow *flow)
{
    struct binding gone[LOST_MAX];
    size_t n = location_find_conn(w->ws->cfg.location, flow->worker, flow->conn, gone, LOST_MAX);

    for (size_t i = 0; i < n; i++) { /* of many phones behind one connection some just expire */
        mirror(w, &gone[i], true);
    }
    (void)location_remove_conn(w->ws->cfg.location, flow->worker, flow->conn);
}
