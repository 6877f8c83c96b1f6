/* The user agent: messages in, flows, life. */
#include "signaling/sip_ua.h"

#include "base/crypto.h"
#include "base/mem.h"
#include "signaling/sip_ua_int.h"
#include "signaling/sip_uri.h"

enum { BUCKETS_MIN = 16, BUCKETS_MAX = 4096, SPARE_TRANSACTIONS = 64, TRANSACTIONS_A_CALL = 16 };

uint64_t ua_hash(const struct sip_ua *ua, struct view v)
{
    return siphash64(ua->key, v);
}

/* ---- requests in -------------------------------------------------------------------------------
 */
static bool is_sdp(const struct sip_msg *m)
{
    struct view type = sip_header_value(m, SIP_H_CONTENT_TYPE);
    struct view encoding = sip_header_value(m, SIP_H_CONTENT_ENCODING);
    size_t at = 0;

    if (view_find(type, ';', &at)) {
        type = view_trim(view_sub(type, 0, at));
    }
    return view_eq_nocase(type, VIEW("application/sdp")) &&
           (encoding.n == 0 || view_eq_nocase(encoding, VIEW("identity")));
}

unsigned ua_refuse_body(const struct sip_ua *ua, struct sip_stxn *t, const struct sip_msg *m,
                        const struct sip_flow *to)
{
    if (m->body.n == 0 || is_sdp(m)) {
        return 0;
    }
    ua_answer_status(ua, t, m, to, 415);
    return 415;
}

/* RFC 3261 section 8.2: method, Request-URI, extensions. 0, or the refusal. */
static unsigned inspect(const struct sip_msg *m)
{
    struct sip_uri uri;
    enum err e = sip_uri_parse(m->uri, &uri);

    if (e != E_OK) {
        return e == E_NOTFOUND ? 416 : 400;
    }
    if (uri.scheme == SIP_SCHEME_URN) {
        return 416;
    }
    return sip_header(m, SIP_H_REQUIRE, 0) != NULL ? 420 : 0;
}

static unsigned ask_user(const struct sip_ua *ua, const struct sip_msg *m,
                         const struct sip_flow *from)
{
    unsigned status = m->method == SIP_M_OTHER ? 501 : 405;

    if (ua->cfg.on_request != NULL) {
        status = ua->cfg.on_request(ua->cfg.arg, m, from);
        status = status >= 200 && status <= 699 ? status : 500;
    }
    return status;
}

/* Outside dialogs. */
static unsigned status_outside(const struct sip_ua *ua, const struct sip_msg *m,
                               const struct sip_flow *from)
{
    switch ((int)m->method) {
    case SIP_M_OPTIONS:
        return 200;
    case SIP_M_BYE:
    case SIP_M_INFO:
    case SIP_M_UPDATE:
    case SIP_M_PRACK:
        return 481;
    default:
        return ask_user(ua, m, from);
    }
}

static void handle(struct sip_ua *ua, const struct sip_msg *m, const struct sip_flow *from,
                   struct sip_stxn *t, struct ua_invite *i)
{
    struct sip_call *c = m->to_tag.n > 0 ? call_find(ua, m) : NULL;
    unsigned refuse = inspect(m);

    if (refuse == 420) {
        ua_answer_420(ua, t, m, from);
    } else if (refuse != 0) {
        ua_answer_status(ua, t, m, from, refuse);
    } else if (c != NULL) {
        call_request(c, t, i, m, from);
    } else if (m->to_tag.n > 0) {
        ua_answer_status(ua, t, m, from, 481);
    } else if (i == NULL) {
        ua_answer_status(ua, t, m, from, status_outside(ua, m, from));
    } else if (call_is_merged(ua, m)) {
        ua_answer_status(ua, t, m, from, 482);
    } else if (ua->n_calls >= ua->cfg.max_calls) {
        ua_answer_status(ua, t, m, from, 486);
    } else if (ua_refuse_body(ua, t, m, from) == 0) {
        call_incoming(ua, i, m, from);
    }
}

static void on_new(struct sip_ua *ua, const struct sip_msg *m, const struct sip_flow *from,
                   uint64_t fingerprint)
{
    struct ua_invite *i = NULL;
    struct sip_stxn *t = NULL;
    enum err e = E_OK;

    if (m->method == SIP_M_ACK) {
        struct sip_call *c = call_find(ua, m);
        if (c != NULL) {
            call_ack(c, m);
        }
        return;
    }
    if (m->method == SIP_M_INVITE) {
        i = mem_zalloc(sizeof *i);
        e = i != NULL ? E_OK : FAIL(E_NOMEM);
    }
    if (e == E_OK) {
        e = sip_stxn_new(ua->layer, m, from, fingerprint, i, &t);
    }
    if (e != E_OK) {
        mem_free(i);
        ua_answer_status(ua, NULL, m, from, 503);
        return;
    }
    if (i != NULL) {
        i->txn = t;
    }
    handle(ua, m, from, t, i);
}

/* Without memory for its transaction a CANCEL still does its work: it ends something. */
static void on_cancel(struct sip_ua *ua, const struct sip_msg *m, const struct sip_flow *from,
                      uint64_t fingerprint, struct sip_stxn *invite)
{
    const struct ua_invite *i = invite != NULL ? sip_stxn_user(invite) : NULL;
    struct sip_call *c = i != NULL ? i->call : NULL;
    struct sip_stxn *t = NULL;
    struct ua_answer a = {.status = 200};

    if (sip_stxn_new(ua->layer, m, from, fingerprint, NULL, &t) != E_OK) {
        t = NULL;
    }
    if (invite == NULL) {
        ua_answer_status(ua, t, m, from, 481);
    } else if (c == NULL) {
        ua_answer_status(ua, t, m, from, 200);
    } else {
        a.to_tag = view_of(c->local_tag);
        ua_answer(ua, t, m, from, &a);
        if (!sip_stxn_is_final(invite)) {
            call_cancel(c, m);
        }
    }
}

static void on_request(struct sip_ua *ua, const struct sip_msg *m, const struct sip_flow *from,
                       bool is_repeat)
{
    uint64_t fingerprint = sip_fingerprint(ua->layer, m->raw);
    struct sip_stxn *invite = NULL;
    enum txn_verdict v = TXN_ABSORBED;

    if (sip_txn_request(ua->layer, m, from, fingerprint, is_repeat, &v, &invite) != E_OK) {
        return; /* a replay is not answered */
    }
    switch (v) {
    case TXN_ABSORBED:
        break;
    case TXN_NEW:
        on_new(ua, m, from, fingerprint);
        break;
    case TXN_CANCEL:
        on_cancel(ua, m, from, fingerprint, invite);
        break;
    }
}

/* Section 8.1.3.3: a response with a second Via value was not meant for us. */
static bool is_for_us(const struct sip_msg *m)
{
    const struct sip_hdr *h = sip_header(m, SIP_H_VIA, 0);
    struct sip_list l = sip_list_over(h->value);
    struct view value;

    return sip_list_next(&l, &value) && !sip_list_next(&l, &value) &&
           sip_header(m, SIP_H_VIA, sip_header_index(m, h) + 1) == NULL;
}

void sip_ua_rx(struct sip_ua *ua, const struct sip_rx *rx)
{
    struct sip_msg m;
    char plain[SIP_MAX_BYTES];
    const char *why = "";
    bool is_repeat = false;

    if (sip_frame(rx->raw, rx->is_datagram, &m, &why) != E_OK) {
        /* Whose messages must prove themselves gets no answer to one that cannot be read. */
        if (ua->cfg.check == NULL && m.can_answer && m.method != SIP_M_ACK) {
            ua_answer_status(ua, NULL, &m, &rx->flow, m.refuse_status);
        }
        return;
    }
    if (ua->cfg.check != NULL && ua->cfg.check(ua->cfg.arg, &rx->flow, &m, &is_repeat) != E_OK) {
        return;
    }
    if (m.is_odd && sip_frame_plain(&m, rx->is_datagram, plain, &m) != E_OK) {
        return;
    }
    if (m.is_request) {
        on_request(ua, &m, &rx->flow, is_repeat);
    } else if (is_for_us(&m)) {
        IGNORE(sip_txn_response(ua->layer, &m, &rx->flow, sip_fingerprint(ua->layer, m.raw),
                                is_repeat),
               "RFC 6026 8.9: what matches no transaction is dropped; a replay too");
    }
}

/* ---- flows -------------------------------------------------------------------------------------
 */
static bool is_same_stream(const struct sip_flow *a, const struct sip_flow *b)
{
    return a->proto != SIP_UDP && a->proto == b->proto && a->conn == b->conn &&
           a->worker == b->worker;
}

void sip_ua_flow_lost(struct sip_ua *ua, const struct sip_flow *flow)
{
    sip_txn_flow_lost(ua->layer, flow);
    for (size_t i = 0; i < ua->buckets; i++) {
        for (struct sip_call *c = ua->bucket[i]; c != NULL; c = c->next) {
            if (is_same_stream(&c->flow, flow)) {
                call_flow_lost(c);
            }
        }
    }
}

void sip_ua_adopt_flow(struct sip_ua *ua, const struct sip_flow *flow)
{
    for (size_t i = 0; i < ua->buckets; i++) {
        for (struct sip_call *c = ua->bucket[i]; c != NULL; c = c->next) {
            if (c->is_flow_lost) {
                c->flow = *flow;
                c->is_flow_lost = false;
            }
        }
    }
}

/* ---- the layer's callbacks ---------------------------------------------------------------------
 */
static enum err on_send(void *arg, const struct sip_flow *to, struct view octets)
{
    const struct sip_ua *ua = arg;

    return sip_transport_send(ua->transport, to, octets);
}

static enum err on_seal(void *arg, void *client_user, const struct sip_flow *to, char *buf,
                        size_t buf_bytes, size_t *n)
{
    const struct sip_ua *ua = arg;

    (void)client_user;
    BUG_ON(buf_bytes < SIP_MAX_BYTES);
    return ua_seal(ua, to, buf, n);
}

static void on_server_gone(void *arg, void *user)
{
    struct ua_invite *i = user;

    (void)arg;
    if (i != NULL && i->call != NULL) {
        if (i->call->incoming == i) {
            i->call->incoming = NULL;
        }
        call_release(i->call);
    }
    mem_free(i);
}

static void on_client_gone(void *arg, void *user)
{
    struct ua_req *r = user;

    (void)arg;
    if (r->call != NULL) {
        if (r->call->invite == r) {
            r->call->invite = NULL;
        }
        call_release(r->call);
    }
    mem_free(r);
}

/* ---- life --------------------------------------------------------------------------------------
 */
static enum err copy_texts(struct sip_ua *ua, const struct sip_ua_cfg *cfg)
{
    ua->user = mem_strdup(cfg->user);
    ua->domain = mem_strdup(cfg->domain);
    ua->agent = mem_strdup(cfg->user_agent);
    if (cfg->contact_ip_or_null != NULL) {
        ua->contact_ip = mem_strdup(cfg->contact_ip_or_null);
    }
    if (ua->user == NULL || ua->domain == NULL || ua->agent == NULL ||
        (cfg->contact_ip_or_null != NULL && ua->contact_ip == NULL)) {
        return FAIL(E_NOMEM);
    }
    return E_OK;
}

static void on_turn_end(void *arg)
{
    call_reap(arg);
}

static enum err open_layer(struct sip_ua *ua, uint32_t t1_ms)
{
    static const struct sip_txn_ops ops = {
        .send = on_send, .seal = on_seal, .stxn_gone = on_server_gone, .ctxn_gone = on_client_gone};
    struct sip_txn_cfg cfg = {.t1_ms = t1_ms};

    cfg.max_transactions = ua->cfg.max_calls * TRANSACTIONS_A_CALL + SPARE_TRANSACTIONS;
    return sip_txn_layer_new(ua->loop, &cfg, &ops, ua, &ua->layer);
}

enum err sip_ua_new(struct loop *l, struct sip_transport *t, const struct sip_ua_cfg *cfg,
                    struct sip_ua **out)
{
    struct sip_ua *ua = mem_zalloc(sizeof *ua);
    enum err e = ua != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    ua->loop = l;
    ua->transport = t;
    ua->cfg = *cfg;
    ua->cfg.t1_ms = cfg->t1_ms != 0 ? cfg->t1_ms : UA_T1_MS;
    ua->buckets = BUCKETS_MIN;
    while (ua->buckets < cfg->max_calls && ua->buckets < BUCKETS_MAX) {
        ua->buckets *= 2;
    }
    TRY(copy_texts(ua, cfg));
    TRY(crypto_random(ua->key, sizeof ua->key));
    TRY(ua_tag(ua->register_tag));
    TRY(ua_tag(ua->register_id));
    TRY(ua_tag(ua->register_id + UA_TAG_MAX - 1));
    ua->bucket = mem_zalloc_array(ua->buckets, sizeof(struct sip_call *));
    if (ua->bucket == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    /* Before the layer's own, so that it runs behind it and sees what that let go. */
    loop_hook_add(l, &ua->turn_end, on_turn_end, ua);
    TRY(open_layer(ua, ua->cfg.t1_ms));
    *out = ua;
    ua = NULL; /* moved */
out:
    sip_ua_free(ua);
    return e;
}

void sip_ua_free(struct sip_ua *ua)
{
    if (ua == NULL) {
        return;
    }
    sip_txn_layer_free(ua->layer);
    for (size_t i = 0; ua->bucket != NULL && i < ua->buckets; i++) {
        for (struct sip_call *c = ua->bucket[i], *next = NULL; c != NULL; c = next) {
            next = c->next;
            call_free(c);
        }
    }
    loop_hook_remove(ua->loop, &ua->turn_end);
    mem_free(ua->bucket);
    mem_free(ua->user);
    mem_free(ua->domain);
    mem_free(ua->agent);
    mem_free(ua->contact_ip);
    mem_free(ua);
}

void sip_ua_set_user(struct sip_ua *ua, const char *user)
{
    char *copy = mem_strdup(user);

    if (copy != NULL) { /* else the old one goes on: the registrar refuses it, and that is seen */
        mem_free(ua->user);
        ua->user = copy;
    }
}

size_t sip_ua_calls(const struct sip_ua *ua)
{
    return ua->n_calls;
}
