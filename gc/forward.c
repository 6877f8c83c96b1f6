/* What changes on the way to the next hop: Via, routes, hops left, identity, proof. All else passes
 * as it stands. */
#include <stdio.h>
#include <string.h>

#include "gc/boundary.h"
#include "gc/session_timer.h"
#include "gc/worker_int.h"

enum { LOOP_HEX = 16, BRANCH_RANDOM = 27 /* "z9hG4bK" and 20 characters */ };

/* ---- branches and loops ------------------------------------------------------------------------
 */
static void loop_add(struct sip_text *t, const struct sip_msg *m, enum sip_hdr_id id)
{
    for (const struct sip_hdr *h = sip_header(m, id, 0); h != NULL;
         h = sip_header(m, id, sip_header_index(m, h) + 1)) {
        sip_text_view(t, h->value);
        sip_text_add(t, "\n");
    }
}

/* RFC 3261 section 16.6 step 8: what decides the way of a request, the method excepted. */
static void loop_part(const struct worker *w, const struct sip_msg *m, char out[LOOP_HEX + 1])
{
    char text[SIP_MAX_BYTES];
    struct sip_text t = {.p = text, .max = sizeof text};

    sip_text_view(&t, m->uri);
    sip_text_add(&t, "\n%u\n", m->cseq);
    sip_text_view(&t, m->call_id);
    sip_text_add(&t, "\n");
    sip_text_view(&t, m->from_tag);
    sip_text_add(&t, "\n");
    sip_text_view(&t, m->to_tag);
    sip_text_add(&t, "\n");
    loop_add(&t, m, SIP_H_ROUTE);
    loop_add(&t, m, SIP_H_PROXY_REQUIRE);
    snprintf(out, LOOP_HEX + 1, "%016llx",
             (unsigned long long)worker_hash(w, view_from(text, t.n)));
}

enum err branch_new(struct worker *w, const struct sip_msg *m, char out[SIP_BRANCH_MAX])
{
    enum err e = sip_branch(out);

    if (e == E_OK) {
        BUG_ON(strlen(out) != BRANCH_RANDOM);
        out[BRANCH_RANDOM] = '.';
        loop_part(w, m, out + BRANCH_RANDOM + 1);
    }
    return e;
}

/* The loop part is a keyed hash, so a branch that ends in it is one of ours. */
bool is_loop(const struct worker *w, const struct sip_msg *m)
{
    char mine[LOOP_HEX + 1];
    const struct sip_hdr *h = sip_header(m, SIP_H_VIA, 0);

    loop_part(w, m, mine);
    for (; h != NULL; h = sip_header(m, SIP_H_VIA, sip_header_index(m, h) + 1)) {
        struct sip_list l = sip_list_over(h->value);
        struct view via, branch;
        size_t semi = 0;
        while (sip_list_next(&l, &via)) {
            if (view_find(via, ';', &semi) &&
                sip_param(view_sub(via, semi + 1, via.n), VIEW("branch"), &branch) &&
                branch.n == BRANCH_RANDOM + 1 + LOOP_HEX &&
                view_eq(view_sub(branch, BRANCH_RANDOM + 1, LOOP_HEX), view_of(mine))) {
                return true;
            }
        }
    }
    return false;
}

/* ---- keys for media (RFC 4568) -----------------------------------------------------------------
 */
static bool is_key_line(struct view line)
{
    return view_starts(line, VIEW("a=crypto:")) || view_starts(line, VIEW("k=")) ||
           view_starts(line, VIEW("a=key-mgmt:"));
}

static struct view next_line(struct view *rest)
{
    size_t at = 0;
    struct view line = *rest;

    if (view_find(*rest, '\n', &at)) {
        line = view_sub(*rest, 0, at + 1);
    }
    *rest = view_sub(*rest, line.n, rest->n);
    return line;
}

static bool may_hold_sdp(const struct sip_msg *m)
{
    struct view type = sip_header_value(m, SIP_H_CONTENT_TYPE);

    return view_starts_nocase(type, VIEW("application/sdp")) ||
           view_starts_nocase(type, VIEW("multipart/"));
}

bool has_media_keys(const struct sip_msg *m)
{
    struct view rest = may_hold_sdp(m) ? m->body : VIEW("");

    while (rest.n > 0) {
        if (is_key_line(next_line(&rest))) {
            return true;
        }
    }
    return false;
}

bool may_carry_keys(const struct sip_flow *from, const struct sip_flow *to)
{
    return from->proto == SIP_TLS && to->proto == SIP_TLS;
}

/* Of the body as it stands by now. buf must live until the edit is rendered. */
static void remove_keys(struct sip_edit *e, const struct sip_msg *m, char buf[SIP_MAX_BYTES])
{
    struct sip_text t = {.p = buf, .max = SIP_MAX_BYTES};
    struct view rest = e->has_body ? e->body : m->body;

    while (rest.n > 0) {
        struct view line = next_line(&rest);
        if (!is_key_line(line)) {
            sip_text_view(&t, line);
        }
    }
    sip_edit_body(e, VIEW(""), view_from(buf, t.n));
}

/* ---- headers -----------------------------------------------------------------------------------
 */
/* RFC 5630 section 3.1.3: what is asked for by sips stays so, and says it all. */
static bool is_sips(const struct sip_msg *m)
{
    return view_starts_nocase(m->uri, VIEW("sips:"));
}

static const char *transport_param(enum sip_proto p, bool is_sips)
{
    return is_sips ? "" : p == SIP_UDP ? "" : p == SIP_TCP ? ";transport=tcp" : ";transport=tls";
}

/* Two entries when the two sides reach us differently (RFC 5658): each side then routes by its own.
 */
static void record_route(struct worker *w, struct sip_edit *e, const struct forwarding *f)
{
    struct net_addr in = worker_address(w, &f->from_flow), out = worker_address(w, &f->to->flow);
    const char *scheme = is_sips(f->m) ? "sips" : "sip";
    const char *out_param = transport_param(f->to->flow.proto, is_sips(f->m));
    char in_text[NET_TEXT_MAX], out_text[NET_TEXT_MAX];

    net_text(&in, in_text);
    net_text(&out, out_text);
    if (f->from_flow.proto == f->to->flow.proto && net_eq(&in, &out)) {
        sip_edit_insert(e, SIP_H_RECORD_ROUTE, "Record-Route: <%s:%s@%s%s;lr>", scheme,
                        f->record_route, out_text, out_param);
        return;
    }
    sip_edit_insert(e, SIP_H_RECORD_ROUTE, "Record-Route: <%s:%s@%s%s;lr>, <%s:%s@%s%s;lr>", scheme,
                    f->record_route, out_text, out_param, scheme, f->record_route, in_text,
                    transport_param(f->from_flow.proto, is_sips(f->m)));
}

static void add_via(struct worker *w, struct sip_edit *e, const struct forwarding *f)
{
    struct net_addr own = worker_address(w, &f->to->flow);
    char text[NET_TEXT_MAX], ip[NET_TEXT_MAX];

    net_text(&own, text);
    sip_edit_insert(e, SIP_H_VIA, "Via: SIP/2.0/%s %s;branch=%s;rport",
                    sip_proto_name(f->to->flow.proto), text, f->branch);
    net_ip_text(&f->from_flow.remote, ip);
    sip_edit_via_source(e, ip, f->from_flow.remote.port);
}

/* `text` must live until the edit is rendered. */
static enum err count_hop(struct sip_edit *e, const struct sip_msg *m, char text[16])
{
    const struct sip_hdr *h = sip_header(m, SIP_H_MAX_FORWARDS, 0);
    uint64_t left = 0;

    if (h == NULL) {
        sip_edit_insert(e, SIP_H_FROM, "Max-Forwards: 70");
        return E_OK;
    }
    if (view_to_u64(h->value, 255, &left) != E_OK || left == 0) {
        return FAIL(E_DENIED);
    }
    snprintf(text, 16, "%u", (unsigned)(left - 1 < 70 ? left - 1 : 70));
    sip_edit_value(e, h, view_of(text));
    return E_OK;
}

static void add_breadth(struct sip_edit *e, const struct sip_msg *m, unsigned breadth,
                        char text[16])
{
    const struct sip_hdr *h = sip_header(m, SIP_H_MAX_BREADTH, 0);

    snprintf(text, 16, "%u", breadth);
    if (h != NULL) {
        sip_edit_value(e, h, view_of(text));
    } else {
        sip_edit_insert(e, SIP_H_FROM, "Max-Breadth: %s", text);
    }
}

/* Who answers an emergency call is told who calls, private or not, when nobody else can hear it
 * (RFC 6881 SP-33.4). */
static bool tells_psap(const struct forwarding *f)
{
    return f->keeps_keys && f->to->who.is_certified && f->to->flow.proto == SIP_TLS;
}

/* maddr that names us has done its work (RFC 3261 section 16.4). `text` must live until the edit is
 * rendered. */
static void drop_own_maddr(const struct worker *w, struct sip_edit *e, const struct sip_msg *m,
                           char text[SIP_MAX_URI])
{
    struct sip_text t = {.p = text, .max = SIP_MAX_URI};
    struct sip_param_item p;
    struct sip_uri u;
    struct view rest, maddr;

    if (sip_uri_parse(m->uri, &u) != E_OK || !sip_param(u.params, VIEW("maddr"), &maddr) ||
        !worker_is_us(w, &u)) {
        return;
    }
    rest = u.params;
    sip_text_view(&t, view_sub(m->uri, 0, (size_t)(u.params.p - m->uri.p) - 1));
    while (sip_param_next(&rest, &p)) {
        if (!view_eq_nocase(p.name, VIEW("maddr"))) {
            sip_text_add(&t, ";%.*s%s%.*s", (int)p.name.n, p.name.p, p.has_value ? "=" : "",
                         (int)p.value.n, p.value.p);
        }
    }
    if (!t.bad) {
        sip_edit_uri(e, view_from(text, t.n));
    }
}

enum { NAME_ROOM = ASSERTED_MAX + SIP_MAX_TAG + 8 };

/* Of From or To: another name-addr and the tag; other parameters say something of whom we do not
 * name. room lives until the edit is rendered. */
static enum err put_name(struct sip_edit *e, enum sip_hdr_id id, const char *addr,
                         char room[NAME_ROOM])
{
    struct view value = sip_header_value(e->m, id);
    struct view tag = id == SIP_H_FROM ? e->m->from_tag : e->m->to_tag;
    struct sip_text t = {.p = room, .max = NAME_ROOM};
    struct sip_name_addr a;
    enum err err = addr != NULL ? sip_name_addr_parse(value, &a) : E_STATE;

    if (addr == NULL) {
        return E_OK;
    }
    if (err != E_OK && err != E_NOTFOUND) { /* an unknown scheme is read as well */
        return err;
    }
    sip_text_add(&t, "%s", addr);
    if (tag.n > 0) {
        sip_text_add(&t, ";tag=");
        sip_text_view(&t, tag);
    }
    sip_edit_part(e, value, view_from(room, t.n));
    return t.bad ? FAIL(E_RANGE) : E_OK;
}

/* What we vouch for takes the place of what others said. */
static void put_asserted(struct sip_edit *e, const char *asserted)
{
    sip_edit_remove_all(e, SIP_H_P_ASSERTED_IDENTITY);
    sip_edit_insert(e, SIP_H_FROM, "P-Asserted-Identity: %s", asserted);
}

/* Where a message has such lines already: History-Info ends with ours, Diversion begins with ours
 * (RFC 7044, RFC 5806: oldest first, latest first), and of P-DCS-Redirect there is one. */
static void add_extra(struct sip_edit *e, const struct sip_msg *m, const char *line)
{
    enum sip_hdr_id before = SIP_H_FROM;

    if (view_starts(view_of(line), VIEW("History-Info:"))) {
        before = SIP_H_OTHER;
    } else if (view_starts(view_of(line), VIEW("Diversion:")) &&
               sip_header(m, SIP_H_DIVERSION, 0) != NULL) {
        before = SIP_H_DIVERSION;
    } else if (view_starts(view_of(line), VIEW("P-DCS-Redirect:"))) {
        for (unsigned i = 0; i < m->n_headers; i++) {
            if (view_eq_nocase(m->h[i].name, VIEW("P-DCS-Redirect"))) {
                sip_edit_remove(e, &m->h[i]);
            }
        }
    }
    sip_edit_insert(e, before, "%s", line);
}

/* Nothing else of the sender's names it to the receiver (RFC 3323 section 5.1). */
static void hide_sender(struct sip_edit *e, const char *contact)
{
    const struct sip_msg *m = e->m;
    bool had = sip_header(m, SIP_H_CONTACT, 0) != NULL;

    sip_edit_remove_all(e, SIP_H_CONTACT);
    sip_edit_remove_all(e, SIP_H_CALL_INFO);
    for (unsigned i = 0; i < m->n_headers; i++) {
        if (view_eq_nocase(m->h[i].name, VIEW("Reply-To")) ||
            view_eq_nocase(m->h[i].name, VIEW("Organization"))) {
            sip_edit_remove(e, &m->h[i]);
        }
    }
    if (had) {
        sip_edit_insert(e, SIP_H_FROM, "Contact: <%s>", contact);
    }
}

/* What is decided about the caller's privacy. */
static void edit_privacy(struct sip_edit *e, const struct forwarding *f)
{
    if (f->contact != NULL) {
        hide_sender(e, f->contact);
    }
    if (f->is_private) {
        sip_edit_remove_all(e, SIP_H_PRIVACY);
        sip_edit_insert(e, SIP_H_FROM, "Privacy: id");
    }
    if (f->shows_none) {
        sip_edit_remove_all(e, SIP_H_P_ASSERTED_IDENTITY);
    }
}

/* RFC 8224 section 6.1 step 3: a request that is signed says when. */
static void put_date(struct sip_edit *e, const char *date)
{
    const struct sip_hdr *h = sip_header(e->m, SIP_H_DATE, 0);

    if (h != NULL) {
        sip_edit_value(e, h, view_of(date));
    } else {
        sip_edit_insert(e, SIP_H_FROM, "Date: %s", date);
    }
}

static void edit_request(struct worker *w, struct sip_edit *e, const struct forwarding *f,
                         char uri[SIP_MAX_URI], char room[SIP_MAX_BYTES])
{
    char asserted[ASSERTED_MAX];

    if (f->to->uri[0] != 0) {
        sip_edit_uri(e, view_of(f->to->uri));
    } else {
        drop_own_maddr(w, e, f->m, uri);
    }
    add_via(w, e, f);
    boundary_edit(w, e, &f->from, &f->to->who, tells_psap(f), room);
    sip_edit_remove_all(e, SIP_H_ROUTE); /* we route: nobody steers a request through us */
    if (f->to->route[0] != 0) {
        sip_edit_insert(e, SIP_H_FROM, "Route: %s", f->to->route);
    }
    if (!boundary_is_peer(&f->from)) {
        sip_edit_remove_all(e, SIP_H_RECORD_ROUTE); /* nobody stands behind a BTI */
    }
    if (f->timer != NULL) {
        session_timer_edit_request(e, f->m, f->timer);
    }
    if (f->record_route != NULL) {
        record_route(w, e, f);
    }
    edit_privacy(e, f);
    trunk_asserted(w, f, asserted);
    if (asserted[0] != 0 && !f->shows_none &&
        (boundary_is_inside(&f->to->who) || tells_psap(f) || !boundary_wants(f->m, VIEW("id")))) {
        put_asserted(e, asserted);
    }
    if (f->credentials != NULL) {
        sip_edit_insert(e, SIP_H_FROM, "%s", f->credentials);
    }
    if (f->drops_identity) {
        sip_edit_remove_all(e, SIP_H_IDENTITY);
    }
    if (f->date != NULL) {
        put_date(e, f->date);
    }
    for (unsigned i = 0; i < f->n_extra; i++) {
        add_extra(e, f->m, f->extra[i]);
    }
}

enum err forward_request(struct worker *w, const struct forwarding *f, size_t *out_n)
{
    struct sip_edit *e = &w->edit;
    char hops[16], breadth[16], uri[SIP_MAX_URI], body[SIP_MAX_BYTES], room[SIP_MAX_BYTES];
    char name[2][NAME_ROOM];
    enum err err = E_OK;
    size_t n = 0;

    sip_edit_begin(e, f->m);
    err = count_hop(e, f->m, hops);
    err = err == E_OK ? put_name(e, SIP_H_FROM, f->from_addr, name[0]) : err;
    err = err == E_OK ? put_name(e, SIP_H_TO, f->to_addr, name[1]) : err;
    if (err != E_OK) {
        return err;
    }
    edit_request(w, e, f, uri, room);
    if (f->breadth != 0) {
        add_breadth(e, f->m, f->breadth, breadth);
    }
    if (!f->keeps_keys && !may_carry_keys(&f->from_flow, &f->to->flow) && has_media_keys(f->m)) {
        meter(w, METER_KEYS_REMOVED);
        remove_keys(e, f->m, body);
    }
    err = sip_edit_render(e, w->out, sizeof w->out - SEAL_ROOM, &n);
    err = err == E_OK ? seal(w, &f->to->who, w->out, sizeof w->out, &n) : err;
    if (err == E_OK) {
        *out_n = n;
    }
    return err;
}

static void add_challenges(struct sip_edit *e, const struct challenges *more)
{
    for (unsigned i = 0; more != NULL && i < more->n; i++) {
        sip_edit_insert(e, SIP_H_OTHER, "%s: %s",
                        more->c[i].id == SIP_H_WWW_AUTHENTICATE ? "WWW-Authenticate"
                                                                : "Proxy-Authenticate",
                        more->c[i].value);
    }
}

/* RFC 3261 section 8.2.6.2: From and To of a response are those of the request that its receiver
 * sent, and a tag of who answers. to: room that lives until the edit is rendered. */
static void restore_names(struct sip_edit *e, const struct sip_msg *request, char to[SIP_MAX_BYTES])
{
    struct sip_text t = {.p = to, .max = SIP_MAX_BYTES};
    const struct sip_msg *m = e->m;

    sip_text_view(&t, sip_header_value(request, SIP_H_TO));
    if (request->to_tag.n == 0 && m->to_tag.n > 0) {
        sip_text_add(&t, ";tag=%.*s", (int)m->to_tag.n, m->to_tag.p);
    }
    sip_edit_value(e, sip_header(m, SIP_H_FROM, 0), sip_header_value(request, SIP_H_FROM));
    sip_edit_value(e, sip_header(m, SIP_H_TO, 0), view_from(to, t.n));
}

/* 401 and 407 of a BTI would ask the caller for credentials that are none of its business; their
 * challenges go like other claims. */
enum err forward_response(struct worker *w, const struct passing *p, size_t *out_n)
{
    struct sip_edit *e = &w->edit;
    const struct sip_msg *m = p->m;
    char body[SIP_MAX_BYTES], to_value[SIP_MAX_BYTES], room[SIP_MAX_BYTES];
    const struct sip_hdr *via = sip_header(m, SIP_H_VIA, 0);
    enum err err = E_OK;
    size_t n = 0;

    sip_edit_begin(e, m);
    sip_edit_remove_top_value(e, via);
    boundary_edit(w, e, p->from, p->to, false, room);
    if (p->request != NULL) {
        restore_names(e, p->request, to_value);
    }
    if (p->asserted != NULL && p->asserted[0] != 0 && boundary_is_inside(p->to)) {
        put_asserted(e, p->asserted);
    }
    if (p->contact != NULL) {
        hide_sender(e, p->contact);
    }
    add_challenges(e, p->more);
    if (p->session_s != 0) {
        session_timer_edit_answer(e, p->session_s);
    }
    if (!p->keeps_keys && !may_carry_keys(p->from_flow, p->to_flow) && has_media_keys(m)) {
        meter(w, METER_KEYS_REMOVED);
        remove_keys(e, m, body);
    }
    err = sip_edit_render(e, w->out, sizeof w->out - SEAL_ROOM, &n);
    err = err == E_OK ? seal_any(w, p->to, w->out, sizeof w->out, &n) : err;
    if (err == E_OK) {
        *out_n = n;
    }
    return err;
}
