/* What the user agent sends: building, sealing, requests outside calls, plain answers. */
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "signaling/sip_ua_int.h"
#include "signaling/sip_uri.h"

/* ---- building ----------------------------------------------------------------------------------
 */
enum err ua_tag(char out[UA_TAG_MAX])
{
    uint8_t random[(UA_TAG_MAX - 1) / 2];
    enum err e = crypto_random(random, sizeof random);

    if (e == E_OK) {
        hex_put(random, sizeof random, out);
    }
    return e;
}

static const char *lower_proto(enum sip_proto p)
{
    static const char *const names[] = {"udp", "tcp", "tls"};

    return names[p];
}

/* Our side of the flow as others shall see it. */
static void put_hostport(const struct sip_ua *ua, const struct sip_flow *flow, struct sip_text *t)
{
    char text[NET_TEXT_MAX];

    if (ua->contact_ip != NULL) {
        bool is_bare6 = strchr(ua->contact_ip, ':') != NULL && ua->contact_ip[0] != '[';
        sip_text_add(t, is_bare6 ? "[%s]:%u" : "%s:%u", ua->contact_ip, flow->local.port);
    } else if (flow->local.family != 0) {
        net_text(&flow->local, text);
        sip_text_add(t, "%s", text);
    } else {
        sip_text_add(t, "%s", ua->domain);
    }
}

/* sip: with transport=tls, never sips: that would promise TLS on every hop to the callee. */
void ua_put_contact(const struct sip_ua *ua, const struct sip_flow *flow, struct sip_text *t)
{
    sip_text_add(t, "Contact: <sip:%s@", ua->user);
    put_hostport(ua, flow, t);
    sip_text_add(t, ";transport=%s>", lower_proto(flow->proto));
}

enum err ua_seal(const struct sip_ua *ua, const struct sip_flow *to, char *buf, size_t *n)
{
    return ua->cfg.seal != NULL ? ua->cfg.seal(ua->cfg.arg, to, buf, SIP_MAX_BYTES, n) : E_OK;
}

static void put_field(struct sip_text *t, const char *name, struct view value)
{
    sip_text_add(t, "%s: ", name);
    sip_text_view(t, value);
    sip_text_add(t, "\r\n");
}

static void put_body(struct sip_text *t, struct view type, struct view body)
{
    if (body.n > 0) {
        put_field(t, "Content-Type", type);
    }
    sip_text_add(t, "Content-Length: %zu\r\n\r\n", body.n);
    sip_text_view(t, body);
}

enum err ua_build(const struct sip_ua *ua, const struct sip_flow *to, const struct ua_head *h,
                  char buf[SIP_MAX_BYTES], size_t *out_n)
{
    struct sip_text t = {.p = buf, .max = SIP_MAX_BYTES};
    char branch[SIP_BRANCH_MAX];
    enum err e = sip_branch(branch);

    TRY(e);
    sip_text_add(&t, "%s ", h->method);
    sip_text_view(&t, h->uri);
    sip_text_add(&t, " SIP/2.0\r\nVia: SIP/2.0/%s ", sip_proto_name(to->proto));
    put_hostport(ua, to, &t);
    sip_text_add(&t, ";rport;branch=%s\r\nMax-Forwards: 70\r\n", branch);
    sip_text_view(&t, h->routes);
    put_field(&t, "From", h->from);
    put_field(&t, "To", h->to);
    put_field(&t, "Call-ID", h->call_id);
    sip_text_add(&t, "CSeq: %u %s\r\n", h->cseq, h->method);
    if (h->with_contact) {
        ua_put_contact(ua, to, &t);
        sip_text_add(&t, "\r\n");
    }
    sip_text_view(&t, h->extra);
    sip_text_add(&t, "User-Agent: %s\r\n", ua->agent);
    put_body(&t, h->type, h->body);
    if (t.bad) {
        TRY(FAIL(E_RANGE));
    }
    *out_n = t.n;
    TRY(ua_seal(ua, to, buf, out_n));
out:
    return e;
}

/* ---- requests out ------------------------------------------------------------------------------
 */
static void on_client(void *user, struct sip_ctxn *t, enum txn_event ev, const struct sip_msg *m,
                      const struct sip_flow *from)
{
    struct ua_req *r = user;

    (void)t;
    (void)from;
    if (r->fn != NULL) {
        r->fn(r, ev, m);
    }
}

enum err ua_start_octets(struct sip_ua *ua, const struct sip_flow *to, struct view octets,
                         struct sip_call *call, ua_req_fn *fn, struct ua_req **out)
{
    struct ua_req *r = mem_zalloc(sizeof *r);
    struct sip_ctxn_cfg cfg = {
        .to = *to, .octets = octets, .timer_c = true, .fn = on_client, .user = r};
    enum err e = r != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    r->ua = ua;
    r->call = call;
    r->fn = fn;
    TRY(sip_ctxn_new(ua->layer, &cfg, &r->txn));
    if (call != NULL) {
        call->refs++;
    }
    *out = r;
    r = NULL; /* moved */
out:
    mem_free(r);
    return e;
}

enum err ua_start(struct sip_ua *ua, const struct sip_flow *to, const struct ua_head *h,
                  struct sip_call *call, ua_req_fn *fn, struct ua_req **out)
{
    char buf[SIP_MAX_BYTES];
    size_t n = 0;
    enum err e = ua_build(ua, to, h, buf, &n);

    return e == E_OK ? ua_start_octets(ua, to, view_from(buf, n), call, fn, out) : e;
}

static void on_reply(struct ua_req *r, enum txn_event ev, const struct sip_msg *m)
{
    sip_reply_fn *done = r->done;
    bool is_final = ev != TXN_RESPONSE || m->status >= 200;

    if (done == NULL || !is_final || ev == TXN_TIMER_C) {
        return;
    }
    r->done = NULL;
    done(r->arg, ev == TXN_RESPONSE ? m->status : ev == TXN_TIMEOUT ? 408 : 503, m);
}

/* The user's header lines: whole lines, or nothing. */
static bool is_lines(struct view v)
{
    return v.n == 0 || (v.n > 2 && memcmp(v.p + v.n - 2, "\r\n", 2) == 0 &&
                        memmem(v.p, v.n, "\r\n\r\n", 4) == NULL && v.p[0] != '\r');
}

static enum err put_own_party(const struct sip_ua *ua, struct sip_text *t)
{
    sip_text_add(t, "<sip:%s@%s>", ua->user, ua->domain);
    return t->bad ? FAIL(E_RANGE) : E_OK;
}

static enum err start_outside(struct sip_ua *ua, const struct sip_flow *to, struct ua_head *h,
                              const char *tag, sip_reply_fn *done, void *arg)
{
    char party[UA_EXTRA_MAX];
    struct sip_text t = {.p = party, .max = sizeof party};
    struct ua_req *r = NULL;
    enum err e = put_own_party(ua, &t);

    TRY(e);
    sip_text_add(&t, ";tag=%s", tag);
    if (t.bad || !is_lines(h->extra)) {
        TRY(FAIL(E_RANGE));
    }
    h->from = view_from(party, t.n);
    TRY(ua_start(ua, to, h, NULL, on_reply, &r));
    r->done = done;
    r->arg = arg;
out:
    return e;
}

enum err sip_ua_register(struct sip_ua *ua, const struct sip_flow *to, uint32_t expires_s,
                         sip_reply_fn *done, void *arg)
{
    char uri[UA_EXTRA_MAX / 2], aor[UA_EXTRA_MAX], extra[32];
    struct sip_text t = {.p = uri, .max = sizeof uri}, a = {.p = aor, .max = sizeof aor};
    struct ua_head h = {.method = "REGISTER",
                        .call_id = view_of(ua->register_id),
                        .cseq = ++ua->register_cseq,
                        .with_contact = true};
    enum err e = put_own_party(ua, &a);

    TRY(e);
    sip_text_add(&t, "sip:%s", ua->domain);
    h.uri = view_from(uri, t.bad ? 0 : t.n);
    h.to = view_from(aor, a.n);
    snprintf(extra, sizeof extra, "Expires: %u\r\n", expires_s);
    h.extra = view_of(extra);
    TRY(start_outside(ua, to, &h, ua->register_tag, done, arg));
    sip_ua_adopt_flow(ua, to);
out:
    return e;
}

/* Those that need more than one transaction, or have a function of their own. */
static bool is_plain_method(const char *method)
{
    static const enum sip_method others[] = {SIP_M_INVITE, SIP_M_ACK, SIP_M_BYE, SIP_M_CANCEL,
                                             SIP_M_PRACK};
    enum sip_method m = sip_method_of(view_of(method));

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (m == others[i]) {
            return false;
        }
    }
    return true;
}

enum err sip_ua_request(struct sip_ua *ua, const struct sip_flow *to, const char *method,
                        const char *uri, struct view extra, struct view content_type,
                        struct view body, sip_reply_fn *done, void *arg)
{
    char party[SIP_MAX_URI + 3], tag[UA_TAG_MAX], id[2 * UA_TAG_MAX];
    struct sip_uri parsed;
    int n = snprintf(party, sizeof party, "<%s>", uri);
    struct ua_head h = {.method = method,
                        .uri = view_of(uri),
                        .to = view_of(party),
                        .cseq = 1,
                        .with_contact = sip_method_of(view_of(method)) == SIP_M_OPTIONS,
                        .extra = extra,
                        .type = content_type,
                        .body = body};
    enum err e = E_OK;

    if (!is_plain_method(method) || n < 0 || (size_t)n >= sizeof party) {
        TRY(FAIL(E_RANGE));
    }
    TRY(sip_uri_parse(h.uri, &parsed));
    TRY(ua_tag(tag));
    TRY(ua_tag(id));
    TRY(ua_tag(id + UA_TAG_MAX - 1)); /* twice as long as a tag */
    h.call_id = view_of(id);
    TRY(start_outside(ua, to, &h, tag, done, arg));
out:
    return e;
}

/* ---- responses out -----------------------------------------------------------------------------
 */
enum err ua_response(const struct sip_ua *ua, const struct sip_msg *m, const struct sip_flow *to,
                     const struct ua_answer *a, char buf[SIP_MAX_BYTES], size_t *out_n)
{
    char ip[NET_TEXT_MAX], lines[UA_EXTRA_MAX];
    struct sip_text t = {.p = lines, .max = sizeof lines};

    net_ip_text(&to->remote, ip);
    sip_text_view(&t, a->extra);
    sip_text_add(&t, "Server: %s\r\n", ua->agent);
    if (t.bad) {
        return FAIL(E_RANGE);
    }
    return sip_response(m, a->status, NULL, a->to_tag, ip, to->remote.port, view_from(lines, t.n),
                        a->type, a->body, buf, SIP_MAX_BYTES, out_n);
}

void ua_answer(const struct sip_ua *ua, struct sip_stxn *t, const struct sip_msg *m,
               const struct sip_flow *to, const struct ua_answer *a)
{
    char buf[SIP_MAX_BYTES];
    size_t n = 0;
    enum err e = ua_response(ua, m, to, a, buf, &n);

    if (e == E_OK) {
        e = ua_seal(ua, to, buf, &n);
    }
    if (e == E_OK && t != NULL) {
        IGNORE(sip_stxn_respond(t, a->status, view_from(buf, n)), "kept for the next copy");
    } else if (e == E_OK) {
        IGNORE(sip_transport_send(ua->transport, to, view_from(buf, n)), "asked for again");
    } else if (t != NULL && a->status >= 200) {
        sip_stxn_abandon(t);
    }
}

void ua_answer_status(const struct sip_ua *ua, struct sip_stxn *t, const struct sip_msg *m,
                      const struct sip_flow *to, unsigned status)
{
    char tag[UA_TAG_MAX] = "";
    struct ua_answer a = {.status = status, .extra = VIEW("")};

    IGNORE(ua_tag(tag), "without random there is no tag: RFC 3261 allows that only to a proxy");
    a.to_tag = view_of(tag);
    if (status == 405 || status == 501) {
        a.extra = VIEW(UA_ALLOW);
    } else if (status == 415) {
        a.extra = VIEW(UA_ACCEPT "Accept-Encoding: identity\r\n");
    } else if (status == 503 || status == 500) {
        a.extra = VIEW("Retry-After: 5\r\n");
    } else if (status == 200 && m->method == SIP_M_OPTIONS) {
        a.extra = VIEW(UA_ALLOW UA_ACCEPT "Supported:\r\n");
    }
    ua_answer(ua, t, m, to, &a);
}

void ua_answer_420(const struct sip_ua *ua, struct sip_stxn *t, const struct sip_msg *m,
                   const struct sip_flow *to)
{
    char tag[UA_TAG_MAX] = "", lines[UA_EXTRA_MAX / 2];
    struct sip_text x = {.p = lines, .max = sizeof lines};
    struct ua_answer a = {.status = 420};

    IGNORE(ua_tag(tag), "as for every refusal");
    for (const struct sip_hdr *h = sip_header(m, SIP_H_REQUIRE, 0); h != NULL;
         h = sip_header(m, SIP_H_REQUIRE, sip_header_index(m, h) + 1)) {
        struct sip_list l = sip_list_over(h->value);
        struct view option, token;
        while (sip_list_next(&l, &option)) {
            struct cursor c = cursor_over(option);
            if (cur_token(&c, 64, &token) == E_OK && cur_done(&c)) {
                put_field(&x, "Unsupported", token);
            }
        }
    }
    a.to_tag = view_of(tag);
    a.extra = view_from(lines, x.bad ? 0 : x.n);
    ua_answer(ua, t, m, to, &a);
}
