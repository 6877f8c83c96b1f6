/* The caller: RFC 3261 sections 9.1 and 13.2. */
#include <string.h>

#include "base/mem.h"
#include "signaling/sip_ua_int.h"
#include "signaling/sip_uri.h"

static void send_cancel(void *user, struct sip_ctxn *t)
{
    struct ua_req *r = user, *cancel = NULL;
    struct sip_call *c = r->call;
    const struct sip_msg *invite = sip_ctxn_request(t);
    char buf[SIP_MAX_BYTES];
    size_t n = 0;
    enum err e = invite != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(sip_cancel_for(invite, c->reason[0] != 0 ? c->reason : NULL, buf, sizeof buf, &n));
    TRY(ua_seal(c->ua, &c->flow, buf, &n));
    TRY(ua_start_octets(c->ua, sip_ctxn_flow(t), view_from(buf, n), NULL, NULL, &cancel));
out:
    IGNORE(e, "the INVITE ends after 64*T1 all the same, and a 2xx gets its BYE");
}

void call_send_cancel(struct sip_call *c)
{
    if (c->invite != NULL) {
        sip_ctxn_when_provisional(c->invite->txn, send_cancel);
        sip_ctxn_cancelled(c->invite->txn);
    }
}

static void on_provisional(struct sip_call *c, const struct sip_msg *m)
{
    if (c->state != CALL_CALLING || c->wants_hangup) {
        return;
    }
    if (m->to_tag.n > 0) { /* an early dialog: requests of the callee find us by it */
        IGNORE(view_to_cstr(m->to_tag, c->d.remote_tag, sizeof c->d.remote_tag),
               "the framer's bound is the same");
    }
    call_tell(c, SIP_CALL_PROGRESS, m->status, m);
}

/* Section 13.2.2.4: other branches of a fork answered too. One call is enough. */
static void on_fork(struct sip_call *c, const struct sip_msg *m)
{
    struct dialog d = {.local_cseq = c->d.local_cseq};
    uint64_t tag = ua_hash(c->ua, m->to_tag);
    bool is_known = false;

    for (unsigned i = 0; i < c->n_forks; i++) {
        is_known = is_known || c->fork[i] == tag;
    }
    d.local_party = mem_strdup(c->d.local_party);
    if (d.local_party != NULL && dialog_of_response(&d, m) == E_OK) {
        IGNORE(dialog_send_ack(c, &d), "the 2xx comes again");
        if (!is_known && c->n_forks < UA_FORKS && dialog_send_bye(c, &d, NULL, true) == E_OK) {
            c->fork[c->n_forks++] = tag;
        }
    }
    dialog_fini(&d);
}

/* A 2xx that names no way back is acknowledged by the way of the INVITE, and ended. Without memory
 * for its dialog the call is over too; a later copy of the 2xx then gets ACK and BYE. */
static void on_first_2xx(struct sip_call *c, const struct sip_msg *m)
{
    enum err e = dialog_of_response(&c->d, m);

    if (e == E_NOMEM) {
        call_end(c, SIP_CALL_REJECTED, 503, NULL);
        return;
    }
    c->has_dialog = true;
    IGNORE(dialog_send_ack(c, &c->d), "the 2xx comes again");
    if (c->state == CALL_DEAD) {
        IGNORE(dialog_send_bye(c, &c->d, NULL, true), "the peer finds out: its requests get 481");
    } else if (e != E_OK || c->wants_hangup || c->has_timed_out) {
        call_say_bye(c);
    } else {
        c->state = CALL_UP;
        call_tell(c, SIP_CALL_ANSWERED, m->status, m);
    }
}

static void on_2xx(struct sip_call *c, const struct sip_msg *m)
{
    if (!c->has_dialog) {
        on_first_2xx(c, m);
    } else if (view_eq(m->to_tag, view_of(c->d.remote_tag))) {
        IGNORE(dialog_send_ack(c, &c->d), "the 2xx comes again"); /* also after the end */
    } else {
        on_fork(c, m);
    }
}

static void on_invite_event(struct ua_req *r, enum txn_event ev, const struct sip_msg *m)
{
    struct sip_call *c = r->call;

    switch (ev) {
    case TXN_RESPONSE:
        if (m->status < 200) {
            on_provisional(c, m);
        } else if (m->status < 300) {
            on_2xx(c, m);
        } else if (c->has_timed_out) {
            call_end(c, SIP_CALL_REJECTED, 408, NULL);
        } else {
            call_end(c, SIP_CALL_REJECTED, m->status, m);
        }
        break;
    case TXN_TIMEOUT:
        call_end(c, SIP_CALL_REJECTED, 408, NULL);
        break;
    case TXN_TRANSPORT:
        call_end(c, SIP_CALL_REJECTED, 503, NULL);
        break;
    case TXN_TIMER_C: /* rings for ever */
        c->has_timed_out = true;
        call_send_cancel(c);
        break;
    }
}

/* The parties of a new call, kept in its dialog. */
static enum err name_parties(struct sip_call *c, const char *uri)
{
    char text[2 * SIP_MAX_URI];
    struct sip_text t = {.p = text, .max = sizeof text};
    struct sip_uri parsed;
    enum err e = sip_uri_parse(view_of(uri), &parsed);

    TRY(e);
    TRY(view_to_cstr(view_of(uri), c->d.target, sizeof c->d.target));
    sip_text_add(&t, "<sip:%s@%s>;tag=%s", c->ua->user, c->ua->domain, c->local_tag);
    c->d.local_party = t.bad ? NULL : mem_strdup(text);
    t.n = 0;
    sip_text_add(&t, "<%s>", uri);
    c->d.remote_party = t.bad ? NULL : mem_strdup(text);
    c->d.routes = mem_strdup("");
    if (c->d.local_party == NULL || c->d.remote_party == NULL || c->d.routes == NULL) {
        TRY(FAIL(t.bad ? E_RANGE : E_NOMEM));
    }
    TRY(ua_tag(c->call_id));
    TRY(ua_tag(c->call_id + UA_TAG_MAX - 1)); /* as long as two tags */
out:
    return e;
}

static enum err send_invite(struct sip_call *c, struct view sdp, struct view extra)
{
    char lines[UA_EXTRA_MAX * 2];
    struct sip_text t = {.p = lines, .max = sizeof lines};
    struct ua_head h = {.method = "INVITE",
                        .uri = view_of(c->d.target),
                        .from = view_of(c->d.local_party),
                        .to = view_of(c->d.remote_party),
                        .call_id = view_of(c->call_id),
                        .cseq = c->invite_cseq,
                        .with_contact = true,
                        .type = VIEW("application/sdp"),
                        .body = sdp};

    sip_text_view(&t, VIEW(UA_ALLOW UA_ACCEPT));
    sip_text_view(&t, extra);
    if (t.bad || (extra.n > 0 && (extra.n < 2 || extra.p[extra.n - 1] != '\n' ||
                                  memmem(extra.p, extra.n, "\r\n\r\n", 4) != NULL))) {
        return FAIL(E_RANGE);
    }
    h.extra = view_from(lines, t.n);
    return ua_start(c->ua, &c->flow, &h, c, on_invite_event, &c->invite);
}

enum err sip_call_start(struct sip_ua *ua, const struct sip_flow *to, const char *uri,
                        struct view sdp, struct view extra, void *data, struct sip_call **out)
{
    struct sip_call *c = NULL;
    enum err e = ua->n_calls < ua->cfg.max_calls ? E_OK : FAIL(E_FULL);

    TRY(e);
    TRY(call_new(ua, to, &c));
    c->state = CALL_CALLING;
    c->data = data;
    c->invite_cseq = c->d.local_cseq = 1;
    TRY(name_parties(c, uri));
    TRY(call_keep_sdp(c, sdp));
    TRY(send_invite(c, sdp, extra));
    call_enter(c);
    *out = c;
    c = NULL; /* moved */
out:
    call_free(c);
    return e;
}
