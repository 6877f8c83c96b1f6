/* Server transactions: RFC 3261 sections 17.2.1 to 17.2.3, RFC 6026, RFC 4320. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "signaling/sip_txn_int.h"

enum { TAIL_SLACK = 192, TAIL_MAX = 2048 };

/* ---- matching (section 17.2.3) -----------------------------------------------------------------
 */
static bool is_old_branch(const struct sip_msg *m)
{
    struct view cookie = VIEW("z9hG4bK"); /* alone it tells nothing apart (RFC 4475 3.2.1) */

    return m->via.branch.n <= cookie.n || !view_starts_nocase(m->via.branch, cookie);
}

/* to_tag counts for RFC 2543 branches only. */
static struct txn_id identity(const struct sip_txn_layer *l, const struct sip_msg *m,
                              struct view method, struct view to_tag)
{
    struct txn_key k;
    char number[16];

    k.n = 0;
    snprintf(number, sizeof number, is_old_branch(m) ? "old %u" : "%u",
             is_old_branch(m) ? m->cseq : m->via.port);
    txn_key_add(&k, view_of(number), false);
    txn_key_add(&k, method, false);
    if (is_old_branch(m)) {
        txn_key_add(&k, m->call_id, false);
        txn_key_add(&k, m->from_tag, false);
        txn_key_add(&k, to_tag, false);
        txn_key_add_hash(l, &k, m->uri);
        txn_key_add_hash(l, &k, m->via.first_value);
    } else {
        txn_key_add(&k, m->via.branch, false);
        txn_key_add(&k, m->via.host, true);
    }
    return txn_key_id(l, &k);
}

static struct sip_stxn *find(const struct sip_txn_layer *l, const struct sip_msg *m,
                             struct view method)
{
    struct txn_id id = identity(l, m, method, m->to_tag);

    return (struct sip_stxn *)txn_find(&l->server, &id);
}

static struct view kept(const struct sip_stxn *s)
{
    return view_from(s->big != NULL ? s->big : s->tail, s->kept_n);
}

static bool was_answered_with(const struct sip_stxn *s, struct view to_tag)
{
    struct sip_msg response;
    const char *why = "";

    return s->kept_n > 0 && sip_frame(kept(s), true, &response, &why) == E_OK &&
           view_eq(response.to_tag, to_tag);
}

/* With an old branch the To tag of an ACK is that of our response: inside a dialog the INVITE had
 * the same one, outside it had none. */
static struct sip_stxn *find_for_ack(const struct sip_txn_layer *l, const struct sip_msg *ack)
{
    struct sip_stxn *s = find(l, ack, VIEW("INVITE"));

    if (s == NULL && is_old_branch(ack)) {
        struct txn_id id = identity(l, ack, VIEW("INVITE"), VIEW(""));
        s = (struct sip_stxn *)txn_find(&l->server, &id);
    }
    return s != NULL && s->is_old && !was_answered_with(s, ack->to_tag) ? NULL : s;
}

/* ---- requests in -------------------------------------------------------------------------------
 */
static void send_again(const struct sip_stxn *s)
{
    if (s->kept_n > 0) {
        IGNORE(txn_send(&s->t, kept(s)),
               "RFC 6026 8.8: the state stays; the peer asks again or gives up");
    }
}

static enum err on_repeat(const struct sip_stxn *s, uint64_t fingerprint, bool is_repeat)
{
    if (is_repeat && fingerprint != s->fingerprint) {
        return FAIL(E_REPLAY);
    }
    send_again(s);
    return E_OK;
}

/* Only the ACK of a non-2xx belongs to the INVITE's transaction; another one is the user's. */
static enum err on_ack(struct sip_stxn *s, uint64_t fingerprint, bool is_repeat,
                       enum txn_verdict *out)
{
    bool confirms = s != NULL && s->t.state == TXN_COMPLETED;

    if (is_repeat &&
        !(s != NULL && s->t.state == TXN_CONFIRMED && s->ack_fingerprint == fingerprint)) {
        return FAIL(E_REPLAY);
    }
    if (s == NULL || s->t.state == TXN_ACCEPTED) {
        *out = TXN_NEW;
        return E_OK;
    }
    *out = TXN_ABSORBED; /* in Proceeding: answers nothing, means nothing */
    if (confirms) {
        s->ack_fingerprint = fingerprint;
        s->t.state = TXN_CONFIRMED;
        s->t.again_ms = 0;
        s->t.end_ms = txn_now(&s->t) + s->t.layer->t4_ms; /* timer I */
        if (s->t.is_reliable) {
            txn_bury(&s->t);
        } else {
            txn_arm(&s->t);
        }
    }
    return E_OK;
}

enum err sip_txn_request(struct sip_txn_layer *l, const struct sip_msg *m,
                         const struct sip_flow *from, uint64_t fingerprint, bool is_repeat,
                         enum txn_verdict *out, struct sip_stxn **out_invite)
{
    struct sip_stxn *s = NULL;
    enum err e = E_OK;

    (void)from; /* answers go where the first copy came from, never where a later one did */
    if (m->method == SIP_M_ACK) {
        return on_ack(find_for_ack(l, m), fingerprint, is_repeat, out);
    }
    s = find(l, m, m->method_text);
    if (s != NULL) {
        TRY(on_repeat(s, fingerprint, is_repeat));
        *out = TXN_ABSORBED;
    } else if (is_repeat) {
        e = FAIL(E_REPLAY);
    } else if (m->method == SIP_M_CANCEL) {
        *out_invite = find(l, m, VIEW("INVITE"));
        *out = TXN_CANCEL;
    } else {
        *out = TXN_NEW;
    }
out:
    return e;
}

/* The client's timer E has reached T2 when the intervals T1, 2 T1, 4 T1 ... below T2 have passed.
 */
static uint64_t quiet_ms(const struct sip_txn_layer *l)
{
    uint64_t sum = 0;

    for (uint64_t gap = l->t1_ms; gap < l->t2_ms; gap *= 2) {
        sum += gap;
    }
    return sum;
}

/* Room for the responses: a response is the head of its request with little added. It stands behind
 * the struct, so that most transactions are one block; but not for an INVITE, which lives for 64*T1
 * after a 2xx that is not kept. */
static size_t room_for(const struct sip_msg *m)
{
    size_t n = m->head.n + TAIL_SLACK;

    return n < TAIL_MAX ? n : TAIL_MAX;
}

enum err sip_stxn_new(struct sip_txn_layer *l, const struct sip_msg *m, const struct sip_flow *from,
                      uint64_t fingerprint, void *user, struct sip_stxn **out)
{
    struct txn_id id = identity(l, m, m->method_text, m->to_tag);
    size_t tail = m->method == SIP_M_INVITE ? 0 : room_for(m);
    struct sip_stxn *s = NULL;
    enum err e = E_OK;

    BUG_ON(!m->is_request || m->method == SIP_M_ACK);
    if (l->max_transactions != 0 && l->server.n >= l->max_transactions) {
        return FAIL(E_FULL);
    }
    s = mem_zalloc(sizeof *s + tail);
    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    s->t = (struct txn){.layer = l,
                        .flow = *from,
                        .user = user,
                        .state = TXN_TRYING,
                        .is_server = true,
                        .is_invite = m->method == SIP_M_INVITE,
                        .is_reliable = from->proto != SIP_UDP};
    s->fingerprint = fingerprint;
    s->born_ms = loop_now_ms(l->loop);
    s->is_old = is_old_branch(m);
    s->tail_max = tail;
    s->big_least = s->t.is_invite ? room_for(m) : 0;
    if (!s->t.is_invite) {
        s->t.end_ms = s->born_ms + 64 * l->t1_ms; /* RFC 4320 4.2: then nobody waits any more */
        s->t.again_ms = l->ops.stxn_slow != NULL ? s->born_ms + quiet_ms(l) : 0;
    }
    e = txn_begin(&s->t, &l->server, &id);
    if (e != E_OK) {
        mem_free(s);
        return e;
    }
    *out = s;
    return E_OK;
}

/* ---- responses out -----------------------------------------------------------------------------
 */
/* RFC 4320 section 4: only 100 as provisional and only late, and never 408. */
static enum err check_rfc4320(const struct sip_stxn *s, unsigned status)
{
    const struct sip_txn_layer *l = s->t.layer;

    if (s->t.is_invite || (status >= 200 && status != 408)) {
        return E_OK;
    }
    if (status != 100 || (!s->t.is_reliable && txn_now(&s->t) < s->born_ms + quiet_ms(l))) {
        return FAIL(E_DENIED);
    }
    return E_OK;
}

static void drop_kept(struct sip_stxn *s)
{
    mem_free(s->big);
    s->big = NULL;
    s->kept_n = 0;
}

static enum err keep(struct sip_stxn *s, struct view octets)
{
    if (octets.n > (s->big != NULL ? s->big_max : s->tail_max)) {
        size_t room = octets.n > s->big_least ? octets.n : s->big_least;
        char *big = mem_zalloc(room);
        drop_kept(s);
        if (big == NULL) {
            return FAIL(E_NOMEM);
        }
        s->big = big;
        s->big_max = room;
    }
    memcpy(s->big != NULL ? s->big : s->tail, octets.p, octets.n);
    s->kept_n = octets.n;
    return E_OK;
}

static enum err respond_2xx_to_invite(struct sip_stxn *s, struct view octets)
{
    if (!s->is_final) {
        s->is_final = true;
        drop_kept(s);
        s->t.state = TXN_ACCEPTED;
        s->t.end_ms = txn_now(&s->t) + 64 * s->t.layer->t1_ms; /* timer L */
        txn_arm(&s->t);
    }
    return txn_send(&s->t, octets);
}

static void complete(struct sip_stxn *s)
{
    uint64_t now = txn_now(&s->t), t1 = s->t.layer->t1_ms;

    s->is_final = true;
    s->t.state = TXN_COMPLETED;
    s->t.end_ms = now + 64 * t1; /* timer H or J */
    s->t.again_ms = 0;
    if (s->t.is_invite && !s->t.is_reliable) {
        s->t.gap_ms = t1; /* timer G */
        s->t.again_ms = now + t1;
    }
    if (!s->t.is_invite && s->t.is_reliable) {
        txn_bury(&s->t); /* timer J is zero */
    } else {
        txn_arm(&s->t);
    }
}

enum err sip_stxn_respond(struct sip_stxn *s, unsigned status, struct view octets)
{
    enum err e = E_OK;

    BUG_ON(status < 100 || status > 699);
    if (s->t.is_dead) {
        return FAIL(E_STATE);
    }
    if (s->t.is_invite && status >= 200 && status < 300) {
        return respond_2xx_to_invite(s, octets);
    }
    if (s->is_final) {
        return FAIL(E_STATE);
    }
    TRY(check_rfc4320(s, status));
    e = keep(s, octets);
    if (status < 200) {
        TRY(e);
        s->t.state = TXN_PROCEEDING;
    } else {
        complete(s); /* without memory it is sent this once: no state may wait for ever */
    }
    e = txn_send(&s->t, octets); /* told to the user; the state stays (RFC 6026 8.8) */
out:
    return e;
}

void sip_stxn_abandon(struct sip_stxn *s)
{
    txn_bury(&s->t);
}

/* ---- timers ------------------------------------------------------------------------------------
 */
static void on_slow(struct sip_stxn *s)
{
    const struct sip_txn_layer *l = s->t.layer;

    s->t.again_ms = 0;
    txn_arm(&s->t);
    if (s->t.state == TXN_TRYING && s->t.user != NULL) {
        l->ops.stxn_slow(l->arg, s->t.user);
    }
}

void stxn_on_again(struct sip_stxn *s) /* G; or RFC 4320's 100 */
{
    uint64_t t2 = s->t.layer->t2_ms;

    if (!s->t.is_invite) {
        on_slow(s);
        return;
    }
    s->t.gap_ms = s->t.gap_ms * 2 < t2 ? s->t.gap_ms * 2 : t2;
    s->t.again_ms = txn_now(&s->t) + s->t.gap_ms;
    txn_arm(&s->t);
    send_again(s);
}

void stxn_on_end(struct sip_stxn *s) /* H, I, J, L; or nobody answered a non-INVITE */
{
    const struct sip_txn_layer *l = s->t.layer;
    bool unacknowledged = s->t.is_invite && s->t.state == TXN_COMPLETED;

    txn_bury(&s->t);
    if (unacknowledged && l->ops.stxn_timeout != NULL) {
        l->ops.stxn_timeout(l->arg, s->t.user);
    }
}

void stxn_free(struct sip_stxn *s)
{
    drop_kept(s);
    mem_free(s);
}

void *sip_stxn_user(const struct sip_stxn *s)
{
    return s->t.user;
}

bool sip_stxn_is_final(const struct sip_stxn *s)
{
    return s->is_final;
}

const struct sip_flow *sip_stxn_flow(const struct sip_stxn *s)
{
    return &s->t.flow;
}
