/* Client transactions: RFC 3261 sections 17.1.1 to 17.1.4, 9.1, RFC 6026. */
#include <string.h>

#include "base/mem.h"
#include "signaling/sip_edit.h"
#include "signaling/sip_txn_int.h"

enum { TIMER_D_LEAST_MS = 32000 };

/* Section 17.1.3: branch of the top Via, and the method of CSeq. */
static struct txn_id identity(const struct sip_txn_layer *l, const struct sip_msg *m)
{
    struct txn_key k;

    k.n = 0;
    txn_key_add(&k, m->via.branch, false);
    txn_key_add(&k, m->method_text, false);
    return txn_key_id(l, &k);
}

static uint64_t conn_hash(const struct sip_flow *f)
{
    return (f->conn ^ (uint64_t)f->worker << 48) * 0x9e3779b97f4a7c15u >> 16;
}

static struct sip_ctxn *of_conn(struct txn_link *link)
{
    return (struct sip_ctxn *)(void *)((char *)link - offsetof(struct sip_ctxn, by_conn));
}

static void tell(struct sip_ctxn *c, enum txn_event ev, const struct sip_msg *m,
                 const struct sip_flow *from)
{
    if (c->fn != NULL) {
        c->t.layer->depth++;
        c->fn(c->t.user, c, ev, m, from);
        c->t.layer->depth--;
    }
}

/* ---- requests out ------------------------------------------------------------------------------
 */
static void begin_calling(struct sip_ctxn *c)
{
    const struct sip_txn_layer *l = c->t.layer;
    uint64_t now = loop_now_ms(l->loop);

    c->t.state = c->t.is_invite ? TXN_CALLING : TXN_TRYING;
    c->t.end_ms = now + 64 * l->t1_ms; /* timer B or F */
    c->timer_c_due_ms = now + l->timer_c_ms;
    if (!c->t.is_reliable) {
        c->t.gap_ms = l->t1_ms; /* timer A or E */
        c->t.again_ms = now + l->t1_ms;
    }
}

static enum err make(struct sip_txn_layer *l, const struct sip_ctxn_cfg *cfg,
                     const struct sip_msg *m, struct sip_ctxn **out)
{
    bool is_invite = m->method == SIP_M_INVITE;
    struct sip_ctxn *c = mem_zalloc(sizeof *c + (is_invite ? 0 : cfg->octets.n));

    if (c != NULL) {
        c->octets = is_invite ? mem_zalloc(cfg->octets.n) : c->tail;
    }
    if (c == NULL || c->octets == NULL) {
        mem_free(c);
        return FAIL(E_NOMEM);
    }
    c->t = (struct txn){.layer = l,
                        .flow = cfg->to,
                        .user = cfg->user,
                        .is_invite = is_invite,
                        .is_reliable = cfg->to.proto != SIP_UDP};
    c->self = c;
    c->fn = cfg->fn;
    c->with_timer_c = cfg->timer_c && c->t.is_invite;
    c->n = cfg->octets.n;
    memcpy(c->octets, cfg->octets.p, cfg->octets.n);
    begin_calling(c);
    *out = c;
    return E_OK;
}

/* Undoes what sip_ctxn_new() did before anybody knew of it: no ctxn_gone. */
static void unmake(struct sip_ctxn *c)
{
    if (c != NULL) {
        struct sip_txn_layer *l = c->t.layer;
        loop_timer_stop(l->loop, &c->t.timer);
        txn_table_drop(&l->client, &c->t.by_id);
        ctxn_unlink(c);
        ctxn_free(c);
    }
}

enum err sip_ctxn_new(struct sip_txn_layer *l, const struct sip_ctxn_cfg *cfg,
                      struct sip_ctxn **out)
{
    struct sip_msg m;
    struct txn_id id;
    struct sip_ctxn *c = NULL;
    const char *why = "";
    enum err e = sip_frame(cfg->octets, cfg->to.proto == SIP_UDP, &m, &why);

    TRY(e);
    if (!m.is_request || m.method == SIP_M_ACK || m.via.branch.n == 0) {
        TRY(FAIL(E_PARSE)); /* an ACK for a 2xx has no transaction, the other one is made here */
    }
    id = identity(l, &m);
    if (txn_find(&l->client, &id) != NULL) {
        TRY(FAIL(E_EXISTS));
    }
    TRY(make(l, cfg, &m, &c));
    TRY(txn_begin(&c->t, &l->client, &id));
    if (c->t.is_reliable) {
        txn_table_put(&l->by_conn, &c->by_conn, conn_hash(&c->t.flow));
    }
    TRY(txn_send(&c->t, view_from(c->octets, c->n)));
    *out = c;
    c = NULL; /* moved */
out:
    unmake(c);
    return e;
}

void ctxn_unlink(struct sip_ctxn *c)
{
    txn_table_drop(&c->t.layer->by_conn, &c->by_conn);
}

static void forget_request(struct sip_ctxn *c)
{
    mem_free(c->framed);
    mem_free(c->octets != c->tail ? c->octets : NULL);
    c->framed = NULL;
    c->octets = NULL;
    c->n = 0;
}

void ctxn_free(struct sip_ctxn *c)
{
    mem_free(c->ack);
    forget_request(c);
    mem_free(c);
}

/* ---- endings -----------------------------------------------------------------------------------
 */
/* Dead before the callback: whatever the user calls in it finds the end settled. */
static void end_with(struct sip_ctxn *c, enum txn_event ev)
{
    txn_bury(&c->t);
    tell(c, ev, NULL, &c->t.flow);
}

static bool is_waiting(const struct sip_ctxn *c)
{
    return !c->t.is_dead &&
           (c->t.state == TXN_CALLING || c->t.state == TXN_TRYING || c->t.state == TXN_PROCEEDING);
}

void ctxn_on_end(struct sip_ctxn *c) /* B, C, D, F, K, M, or the end of a cancelled INVITE */
{
    bool by_timer_c = c->t.is_invite && c->t.state == TXN_PROCEEDING && !c->is_cancelled;

    if (by_timer_c) {
        /* Asked again later, should the user do nothing now: no transaction lives for ever. */
        c->t.end_ms = txn_now(&c->t) + c->t.layer->timer_c_ms;
        txn_arm(&c->t);
        tell(c, TXN_TIMER_C, NULL, &c->t.flow);
    } else if (is_waiting(c)) {
        end_with(c, TXN_TIMEOUT);
    } else {
        txn_bury(&c->t);
    }
}

void ctxn_on_again(struct sip_ctxn *c) /* A: doubles; E: doubles up to T2, in Proceeding T2 */
{
    uint64_t t2 = c->t.layer->t2_ms;

    c->t.gap_ms *= 2;
    if (!c->t.is_invite && (c->t.gap_ms > t2 || c->t.state == TXN_PROCEEDING)) {
        c->t.gap_ms = t2;
    }
    c->t.again_ms = txn_now(&c->t) + c->t.gap_ms;
    txn_arm(&c->t);
    if (txn_send(&c->t, view_from(c->octets, c->n)) != E_OK) {
        end_with(c, TXN_TRANSPORT);
    }
}

/* ---- responses in ------------------------------------------------------------------------------
 */
static void send_ack(struct sip_ctxn *c)
{
    if (c->ack != NULL) {
        IGNORE(txn_send(&c->t, view_from(c->ack, c->ack_n)), "asked for again by the next copy");
    }
}

/* Section 17.1.1.3. Kept as it was sealed: a later copy of the response gets the same octets. */
static enum err make_ack(struct sip_ctxn *c, const struct sip_msg *response)
{
    const struct sip_txn_layer *l = c->t.layer;
    char buf[SIP_MAX_BYTES];
    size_t n = 0;
    const struct sip_msg *invite = sip_ctxn_request(c);
    enum err e = invite != NULL ? E_OK : E_NOMEM;

    TRY(e);
    TRY(sip_ack_for(invite, response, buf, sizeof buf, &n));
    if (l->ops.seal != NULL) {
        TRY(l->ops.seal(l->arg, c->t.user, &c->t.flow, buf, sizeof buf, &n));
    }
    c->ack = mem_zalloc(n);
    if (c->ack == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    memcpy(c->ack, buf, n);
    c->ack_n = n;
out:
    return e;
}

static void acknowledge(struct sip_ctxn *c, const struct sip_msg *response)
{
    if (c->ack == NULL) {
        IGNORE(make_ack(c, response), "the response is repeated until an ACK can be made");
    }
    send_ack(c);
}

static void complete(struct sip_ctxn *c, const struct sip_msg *m)
{
    uint64_t now = txn_now(&c->t), t1 = c->t.layer->t1_ms;
    uint64_t timer_d = 64 * t1 > TIMER_D_LEAST_MS ? 64 * t1 : TIMER_D_LEAST_MS;

    c->t.state = TXN_COMPLETED;
    c->t.again_ms = 0;
    c->t.end_ms = now + (c->t.is_invite ? timer_d : c->t.layer->t4_ms); /* timer D or K */
    if (c->t.is_reliable) {
        txn_bury(&c->t);
    } else {
        txn_arm(&c->t);
    }
    if (c->t.is_invite) {
        acknowledge(c, m); /* before the user acts on it */
    }
}

static void become_accepted(struct sip_ctxn *c)
{
    if (c->t.state != TXN_ACCEPTED) {
        c->t.state = TXN_ACCEPTED;
        c->t.again_ms = 0;
        c->t.end_ms = txn_now(&c->t) + 64 * c->t.layer->t1_ms; /* timer M */
        txn_arm(&c->t);
        forget_request(c); /* neither sent again, nor cancelled, nor acknowledged here */
    }
}

static uint64_t cancel_ms(const struct sip_ctxn *c)
{
    return txn_now(&c->t) + 64 * c->t.layer->t1_ms;
}

static void proceed(struct sip_ctxn *c, unsigned status)
{
    bool is_first = c->t.state != TXN_PROCEEDING;

    c->t.state = TXN_PROCEEDING;
    if (!c->t.is_invite) {
        return; /* E and F go on */
    }
    if (status > 100) {
        c->timer_c_due_ms = txn_now(&c->t) + c->t.layer->timer_c_ms;
    }
    c->t.again_ms = 0;
    if (!c->is_cancelled) {
        c->t.end_ms = c->with_timer_c ? c->timer_c_due_ms : 0;
    } else if (is_first) {
        c->t.end_ms = cancel_ms(c);
    }
    txn_arm(&c->t);
    if (c->on_provisional != NULL) {
        void (*fn)(void *, struct sip_ctxn *) = c->on_provisional;
        c->on_provisional = NULL;
        c->t.layer->depth++;
        fn(c->t.user, c);
        c->t.layer->depth--;
    }
}

/* What comes too late for the state is dropped, and its copies are no retransmissions. */
static bool is_of_state(const struct sip_ctxn *c, unsigned status)
{
    if (c->t.state == TXN_ACCEPTED) {
        return status >= 200 && status < 300;
    }
    return c->t.state != TXN_COMPLETED || status >= (c->t.is_invite ? 300 : 200);
}

/* Whether it goes up to the user. */
static bool step(struct sip_ctxn *c, const struct sip_msg *m, uint64_t fingerprint)
{
    bool is_2xx = m->status >= 200 && m->status < 300;

    if (!is_of_state(c, m->status)) {
        return false;
    }
    c->has_last = true;
    c->last_fingerprint = fingerprint;
    if (c->t.state == TXN_ACCEPTED) {
        return true;
    }
    if (c->t.state == TXN_COMPLETED) {
        if (c->t.is_invite) {
            acknowledge(c, m);
        }
        return false;
    }
    if (m->status < 200) {
        proceed(c, m->status);
        return m->status > 100;
    }
    if (c->t.is_invite && is_2xx) {
        become_accepted(c);
    } else {
        complete(c, m);
    }
    return true;
}

/* The same octets once more: they can ask for nothing but the ACK. */
static bool step_repeat(struct sip_ctxn *c, const struct sip_msg *m)
{
    if (m->status >= 300 && c->t.state == TXN_COMPLETED && c->t.is_invite) {
        acknowledge(c, m);
    }
    return c->t.state == TXN_ACCEPTED && m->status >= 200 && m->status < 300;
}

enum err sip_txn_response(struct sip_txn_layer *l, const struct sip_msg *m,
                          const struct sip_flow *from, uint64_t fingerprint, bool is_repeat)
{
    struct txn_id id = identity(l, m);
    struct sip_ctxn *c = (struct sip_ctxn *)txn_find(&l->client, &id);
    bool goes_up = false;

    BUG_ON(m->is_request);
    if (c == NULL) {
        return FAIL(E_NOTFOUND);
    }
    if (is_repeat && !(c->has_last && c->last_fingerprint == fingerprint)) {
        return FAIL(E_REPLAY);
    }
    goes_up = is_repeat ? step_repeat(c, m) : step(c, m, fingerprint);
    if (goes_up) {
        tell(c, TXN_RESPONSE, m, from);
    }
    return E_OK;
}

/* ---- the user's side ---------------------------------------------------------------------------
 */
const struct sip_msg *sip_ctxn_request(const struct sip_ctxn *t)
{
    struct sip_ctxn *c = t->self;
    const char *why = "";

    if (c->framed == NULL && c->octets != NULL) {
        c->framed = mem_zalloc(sizeof *c->framed);
        if (c->framed != NULL) {
            BUG_ON(sip_frame(view_from(c->octets, c->n), !c->t.is_reliable, c->framed, &why) !=
                   E_OK); /* it was framed when it came */
        }
    }
    return c->framed;
}

const struct sip_flow *sip_ctxn_flow(const struct sip_ctxn *c)
{
    return &c->t.flow;
}

void sip_ctxn_when_provisional(struct sip_ctxn *c, void (*fn)(void *user, struct sip_ctxn *t))
{
    if (c->t.is_dead) {
        return;
    }
    if (c->t.state == TXN_PROCEEDING) {
        fn(c->t.user, c);
    } else {
        c->on_provisional = fn;
    }
}

void sip_ctxn_cancelled(struct sip_ctxn *c)
{
    if (c->is_cancelled || !c->t.is_invite || !is_waiting(c)) {
        return;
    }
    c->is_cancelled = true;
    if (c->t.state == TXN_PROCEEDING) { /* before that timer B runs */
        c->t.end_ms = cancel_ms(c);
        txn_arm(&c->t);
    }
}

void sip_ctxn_orphan(struct sip_ctxn *c)
{
    c->fn = NULL;
    c->on_provisional = NULL;
    sip_ctxn_cancelled(c); /* nobody is left who would end it */
}

/* ---- lost connections --------------------------------------------------------------------------
 */
static bool is_on(const struct sip_ctxn *c, const struct sip_flow *flow)
{
    const struct sip_flow *mine = &c->t.flow;

    return mine->proto == flow->proto && mine->conn == flow->conn && mine->worker == flow->worker;
}

static struct sip_ctxn *next_on(const struct sip_txn_layer *l, const struct sip_flow *flow)
{
    struct txn_link *link = txn_table_first(&l->by_conn, conn_hash(flow));

    while (link != NULL && !(is_on(of_conn(link), flow) && is_waiting(of_conn(link)))) {
        link = link->next;
    }
    return link != NULL ? of_conn(link) : NULL;
}

/* Streams only: a datagram has nothing to lose. All are dead before the first callback runs, so
 * what a callback starts is not swept with them. */
void sip_txn_flow_lost(struct sip_txn_layer *l, const struct sip_flow *flow)
{
    struct sip_ctxn *c = NULL, *lost = NULL;

    while ((c = next_on(l, flow)) != NULL) {
        txn_bury(&c->t);
        c->next_lost = lost;
        lost = c;
    }
    for (c = lost; c != NULL; c = c->next_lost) {
        tell(c, TXN_TRANSPORT, NULL, &c->t.flow);
    }
}
