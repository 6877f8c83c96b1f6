/* The callee, and requests inside a call: RFC 3261 sections 9.2, 13.3, 14.2, 15.1.2; RFC 3311. */
#include <string.h>

#include "base/mem.h"
#include "signaling/sip_ua_int.h"

/* ---- callee: responses -------------------------------------------------------------------------
 */
static enum err read_request(const struct sip_call *c, struct sip_msg *out)
{
    const char *why = "";

    if (c->incoming == NULL || c->request == NULL) {
        return FAIL(E_STATE);
    }
    return sip_frame(view_from(c->request, c->request_n), true, out, &why);
}

/* Contact in what makes or changes a dialog. */
static enum err build(const struct sip_call *c, const struct sip_msg *m, unsigned status,
                      struct view sdp, char buf[SIP_MAX_BYTES], size_t *n)
{
    char lines[UA_EXTRA_MAX / 2];
    struct sip_text t = {.p = lines, .max = sizeof lines};
    struct ua_answer a = {.status = status,
                          .to_tag = view_of(c->local_tag),
                          .type = VIEW("application/sdp"),
                          .body = sdp};

    if (status < 300) {
        ua_put_contact(c->ua, &c->flow, &t);
        sip_text_add(&t, "\r\n" UA_ALLOW);
    }
    if (status >= 600 && c->reason[0] != 0) {
        sip_text_add(&t, "Reason: %s\r\n", c->reason);
    }
    if (status >= 300 && c->retry_after_s != 0) {
        sip_text_add(&t, "Retry-After: %llu\r\n", (unsigned long long)c->retry_after_s);
    }
    if (t.bad) {
        return FAIL(E_RANGE);
    }
    a.extra = view_from(lines, t.n);
    return ua_response(c->ua, m, &c->flow, &a, buf, n);
}

/* A refusal of the call's INVITE. Whatever fails: the transaction ends. */
void call_refuse(struct sip_call *c, unsigned status)
{
    char buf[SIP_MAX_BYTES];
    struct sip_msg m;
    size_t n = 0;
    enum err e = read_request(c, &m);

    TRY(e);
    TRY(build(c, &m, status, VIEW(""), buf, &n));
    TRY(ua_seal(c->ua, &c->flow, buf, &n));
    IGNORE(sip_stxn_respond(c->incoming->txn, status, view_from(buf, n)), "repeated by timer G");
out:
    if (e != E_OK && c->incoming != NULL) {
        sip_stxn_abandon(c->incoming->txn);
    }
}

static void send_trying(struct sip_call *c, const struct sip_msg *m)
{
    struct ua_answer a = {.status = 100};

    ua_answer(c->ua, c->incoming->txn, m, &c->flow, &a);
}

enum err sip_call_progress(struct sip_call *c, unsigned status, struct view sdp_or_empty)
{
    char buf[SIP_MAX_BYTES];
    struct sip_msg m;
    size_t n = 0;
    enum err e = c->state == CALL_RINGING && status > 100 && status < 200 ? E_OK : FAIL(E_STATE);

    TRY(e);
    TRY(read_request(c, &m));
    TRY(build(c, &m, status, sdp_or_empty, buf, &n));
    TRY(ua_seal(c->ua, &c->flow, buf, &n));
    TRY(call_keep_sdp(c, sdp_or_empty));
    c->has_responded = true;
    TRY(sip_stxn_respond(c->incoming->txn, status, view_from(buf, n)));
out:
    return e;
}

/* ---- callee: the 2xx and its ACK (section 13.3.1.4) --------------------------------------------
 */
static void send_ok(struct sip_call *c)
{
    char buf[SIP_MAX_BYTES];
    size_t n = c->ok_n;

    memcpy(buf, c->ok, n);
    if (c->incoming != NULL && ua_seal(c->ua, &c->flow, buf, &n) == E_OK) {
        IGNORE(sip_stxn_respond(c->incoming->txn, 200, view_from(buf, n)), "sent again below");
    }
}

static void on_ok_timer(void *arg)
{
    struct sip_call *c = arg;
    uint64_t now = loop_now_ms(c->ua->loop), left = c->ok_end_ms - now;

    if (now >= c->ok_end_ms) {
        call_say_bye(c); /* never acknowledged */
        return;
    }
    c->ok_gap_ms = c->ok_gap_ms * 2 < UA_T2_MS ? c->ok_gap_ms * 2 : UA_T2_MS;
    if (loop_timer_start(c->ua->loop, &c->timer, c->ok_gap_ms < left ? c->ok_gap_ms : left,
                         on_ok_timer, c) != E_OK) {
        call_say_bye(c);
        return;
    }
    send_ok(c);
}

/* Takes a built 2xx as the one that waits for its ACK, and sends it. */
static enum err begin_ok(struct sip_call *c, const char *buf, size_t n, uint32_t cseq)
{
    char *ok = mem_zalloc(n);
    enum err e = ok != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    c->ok_gap_ms = c->ua->cfg.t1_ms;
    c->ok_end_ms = loop_now_ms(c->ua->loop) + 64 * (uint64_t)c->ua->cfg.t1_ms;
    TRY(loop_timer_start(c->ua->loop, &c->timer, c->ok_gap_ms, on_ok_timer, c));
    memcpy(ok, buf, n);
    mem_free(c->ok);
    c->ok = ok;
    c->ok_n = n;
    c->ok_cseq = cseq;
    ok = NULL; /* moved */
    send_ok(c);
out:
    mem_free(ok);
    return e;
}

enum err sip_call_answer(struct sip_call *c, struct view sdp)
{
    char buf[SIP_MAX_BYTES];
    struct sip_msg m;
    size_t n = 0;
    enum err e = c->state == CALL_RINGING ? E_OK : FAIL(E_STATE);

    TRY(e);
    TRY(read_request(c, &m));
    TRY(call_keep_sdp(c, sdp));
    TRY(build(c, &m, 200, sdp, buf, &n));
    TRY(begin_ok(c, buf, n, m.cseq));
    c->state = CALL_UP;
    c->has_responded = true;
    call_drop_request(c);
out:
    return e;
}

void call_ack(struct sip_call *c, const struct sip_msg *m)
{
    bool is_first = c->ok != NULL && !c->has_dialog;

    if (c->ok == NULL || m->cseq != c->ok_cseq) {
        return;
    }
    call_drop_ok(c);
    c->has_dialog = true;
    if (c->wants_hangup) {
        call_say_bye(c);
    } else if (is_first) {
        call_tell(c, SIP_CALL_ANSWERED, 200, m);
    }
}

enum err sip_call_reject_for(struct sip_call *c, unsigned status, uint64_t seconds)
{
    c->retry_after_s = seconds;
    return sip_call_reject(c, status);
}

enum err sip_call_reject(struct sip_call *c, unsigned status)
{
    if (c->state != CALL_RINGING || status < 300 || status > 699) {
        return FAIL(E_STATE);
    }
    call_refuse(c, status);
    call_bury(c);
    return E_OK;
}

/* ---- requests in -------------------------------------------------------------------------------
 */
static enum err accept_invite(struct sip_call *c, struct ua_invite *i, const struct sip_msg *m)
{
    enum err e = view_to_cstr(m->call_id, c->call_id, sizeof c->call_id);

    TRY(e);
    TRY(dialog_of_request(&c->d, m, c->local_tag));
    c->request = mem_zalloc(m->raw.n);
    if (c->request == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    memcpy(c->request, m->raw.p, m->raw.n);
    c->request_n = m->raw.n;
    c->state = CALL_RINGING;
    c->incoming = i;
    i->call = c;
    c->refs++;
out:
    return e;
}

void call_incoming(struct sip_ua *ua, struct ua_invite *i, const struct sip_msg *m,
                   const struct sip_flow *from)
{
    struct sip_call *c = NULL;
    enum err e = call_new(ua, from, &c);

    if (e == E_OK) {
        e = accept_invite(c, i, m);
    }
    if (e != E_OK) {
        call_free(c);
        ua_answer_status(ua, i->txn, m, from, e == E_PARSE || e == E_RANGE ? 400 : 503);
        return;
    }
    call_enter(c);
    call_tell(c, SIP_CALL_INCOMING, 0, m);
    if (c->state == CALL_RINGING && !c->has_responded) {
        send_trying(c, m);
    }
}

void call_cancel(struct sip_call *c, const struct sip_msg *m)
{
    if (c->state == CALL_RINGING) {
        call_refuse(c, 487);
        call_end(c, SIP_CALL_CANCELLED, 487, m);
    }
}

static void on_bye(struct sip_call *c, struct sip_stxn *t, const struct sip_msg *m,
                   const struct sip_flow *from)
{
    if (c->state == CALL_CALLING) { /* a callee has no business to, before its answer */
        ua_answer_status(c->ua, t, m, from, 481);
        return;
    }
    ua_answer_status(c->ua, t, m, from, 200);
    if (c->state == CALL_RINGING) {
        call_refuse(c, 487);
        call_end(c, SIP_CALL_CANCELLED, 487, m);
    } else {
        call_end(c, SIP_CALL_ENDED, 200, m);
    }
}

/* Section 14.2 and RFC 3311 section 5.2: 0, or why an offer cannot be taken now. */
static unsigned glare(const struct sip_call *c)
{
    switch (c->state) {
    case CALL_CALLING:
        return 491; /* our own offer is not answered */
    case CALL_RINGING:
        return 500; /* theirs is not */
    case CALL_UP:
        return c->ok != NULL ? 491 : 0;
    case CALL_ENDING:
    case CALL_DEAD:
        break;
    }
    return 481;
}

/* Our SDP again, fitted to the offer; its refusal otherwise. */
static unsigned answer_again(struct sip_call *c, const struct sip_msg *m, char *sdp, size_t max,
                             size_t *n)
{
    enum err e = ua_sdp_again(view_from(c->sdp, c->sdp_n), m->body, &c->sdp_shape, &c->sdp_changes,
                              sdp, max, n);

    switch ((int)e) {
    case E_OK:
        return 0;
    case E_PARSE:
    case E_RANGE:
        return 400;
    case E_NOTFOUND:
        return 488;
    default:
        return 500;
    }
}

static void on_reinvite(struct sip_call *c, struct ua_invite *i, const struct sip_msg *m,
                        const struct sip_flow *from)
{
    char sdp[SIP_MAX_BYTES / 2], buf[SIP_MAX_BYTES];
    size_t sdp_n = 0, n = 0;
    unsigned refusal = glare(c);

    if (refusal == 0 && ua_refuse_body(c->ua, i->txn, m, from) != 0) {
        return;
    }
    if (refusal == 0) {
        refusal = answer_again(c, m, sdp, sizeof sdp, &sdp_n);
    }
    if (refusal != 0) {
        ua_answer_status(c->ua, i->txn, m, from, refusal);
        return;
    }
    c->flow = *from;
    c->is_flow_lost = false;
    c->incoming = i;
    i->call = c;
    c->refs++;
    if (build(c, m, 200, view_from(sdp, sdp_n), buf, &n) != E_OK ||
        begin_ok(c, buf, n, m->cseq) != E_OK) {
        ua_answer_status(c->ua, i->txn, m, from, 500);
        return;
    }
    dialog_refresh(&c->d, m);
    call_tell(c, SIP_CALL_MODIFIED, 200, m);
}

static void on_update(struct sip_call *c, struct sip_stxn *t, const struct sip_msg *m,
                      const struct sip_flow *from)
{
    char sdp[SIP_MAX_BYTES / 2], lines[UA_EXTRA_MAX / 2];
    struct sip_text x = {.p = lines, .max = sizeof lines};
    struct ua_answer a = {.status = 200, .type = VIEW("application/sdp")};
    size_t sdp_n = 0;
    unsigned refusal = m->body.n > 0 || c->state == CALL_ENDING ? glare(c) : 0;

    if (refusal == 0 && ua_refuse_body(c->ua, t, m, from) != 0) {
        return;
    }
    if (refusal == 0 && m->body.n > 0) {
        refusal = answer_again(c, m, sdp, sizeof sdp, &sdp_n);
    }
    if (refusal != 0) {
        ua_answer_status(c->ua, t, m, from, refusal);
        return;
    }
    ua_put_contact(c->ua, from, &x);
    sip_text_add(&x, "\r\n");
    a.extra = view_from(lines, x.bad ? 0 : x.n);
    a.body = view_from(sdp, sdp_n);
    ua_answer(c->ua, t, m, from, &a);
    dialog_refresh(&c->d, m);
    if (m->body.n > 0) {
        call_tell(c, SIP_CALL_MODIFIED, 200, m);
    }
}

static void on_info(struct sip_call *c, struct sip_stxn *t, const struct sip_msg *m,
                    const struct sip_flow *from)
{
    ua_answer_status(c->ua, t, m, from, c->state == CALL_ENDING ? 481 : 200);
    if (c->state != CALL_ENDING) {
        call_tell(c, SIP_CALL_INFO, 200, m);
    }
}

void call_request(struct sip_call *c, struct sip_stxn *t, struct ua_invite *i,
                  const struct sip_msg *m, const struct sip_flow *from)
{
    if (c->d.has_remote_cseq && m->cseq <= c->d.remote_cseq) { /* section 12.2.2 */
        ua_answer_status(c->ua, t, m, from, 500);
        return;
    }
    c->d.remote_cseq = m->cseq;
    c->d.has_remote_cseq = true;
    switch ((int)m->method) {
    case SIP_M_INVITE:
        on_reinvite(c, i, m, from);
        break;
    case SIP_M_BYE:
        on_bye(c, t, m, from);
        break;
    case SIP_M_UPDATE:
        on_update(c, t, m, from);
        break;
    case SIP_M_INFO:
        on_info(c, t, m, from);
        break;
    case SIP_M_OPTIONS:
        ua_answer_status(c->ua, t, m, from, 200);
        break;
    default:
        ua_answer_status(c->ua, t, m, from, m->method == SIP_M_OTHER ? 501 : 405);
        break;
    }
}

void call_flow_lost(struct sip_call *c)
{
    c->is_flow_lost = true;
    if (c->state == CALL_RINGING) { /* nobody can be answered */
        if (c->incoming != NULL) {
            sip_stxn_abandon(c->incoming->txn);
        }
        call_end(c, SIP_CALL_CANCELLED, 503, NULL);
    }
}
