/* Registered, waiting for calls and taking them. */
#include "bti/listen.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "bti/here.h"
#include "bti/leg.h"
#include "bti/phone.h"
#include "signaling/sip_uri.h"

enum {
    CALLS_MAX = 8,
    BACKOFF_MIN_MS = 1000,
    BACKOFF_MAX_MS = 60000,
    NEW_SESSION_GAP_MS = 10000,
    BARRED_MS = 900000,
    HANGUP_MS = 2000,
    CONNECTION_BACK_MS = 500
};

struct listen {
    const struct options *o;
    const struct say *say;
    struct loop *loop;
    struct phone *phone;
    struct loop_timer timer; /* next REGISTER, or next try */
    struct loop_timer end_timer;
    struct loop_signal *on_int, *on_term;
    struct ring *rings;
    unsigned expires_s;   /* asked for: the registrar may want more */
    unsigned calls_taken; /* since the start */
    unsigned failures;    /* in a row */
    uint64_t asked_ms; /* when a new session was last asked for because we were refused; 0 never */
    bool registered, registering, ending, done;
    enum bti_exit code;
};

struct ring { /* one call */
    struct listen *l;
    struct ring *next;
    struct sip_call *call;
    struct leg *leg;
    struct loop_timer timer; /* answer, then hang up after --duration */
    uint64_t answered_ms;
    bool answered, ending;
    char call_id[SIP_MAX_CALL_ID + 1];
};

static void go(void *arg);
static void end(struct listen *l, enum bti_exit code);
static void on_ready(void *arg);

/* ---- registration ------------------------------------------------------------------------------
 */
static void later(struct listen *l, uint64_t ms)
{
    if (!l->ending && loop_timer_start(l->loop, &l->timer, ms, go, l) != E_OK) {
        end(l, BTI_EXIT_FAILED);
    }
}

/* 1 s, doubling to 60 s, each somewhere in its upper half. */
static void back_off(struct listen *l)
{
    uint64_t ms = BACKOFF_MAX_MS;

    if (l->failures < 6) {
        ms = (uint64_t)BACKOFF_MIN_MS << l->failures;
    }
    l->failures++;
    later(l, ms / 2 + here_jitter(ms / 2 + 1));
}

static void failed(struct listen *l, unsigned status, const char *what)
{
    char gate[NET_TEXT_MAX];

    l->registered = false;
    phone_gate_text(l->phone, gate);
    say_event(
        l->say, "register_failed",
        FACTS(fact_number("status", status), fact_text("gate", gate), fact_text("text", what)),
        "not registered at %s: %s", gate, what);
}

/* Seconds that the registrar granted: of our Contact, else Expires, else what we asked. */
static uint64_t granted_s(const struct sip_msg *m, unsigned asked)
{
    struct sip_list list = sip_list_over(sip_header_value(m, SIP_H_CONTACT));
    struct view element, value;
    struct sip_name_addr a;
    uint64_t s = asked, least = 0;

    if (view_to_u64(sip_header_value(m, SIP_H_EXPIRES), 86400, &s) != E_OK || s == 0) {
        s = asked;
    }
    while (sip_list_next(&list, &element)) { /* several of ours: the one that ends first */
        if (sip_name_addr_parse(element, &a) == E_OK &&
            sip_param(a.params, VIEW("expires"), &value) &&
            view_to_u64(value, 86400, &least) == E_OK && least > 0 && least < s) {
            s = least;
        }
    }
    return s;
}

static void registered(struct listen *l, const struct sip_msg *m)
{
    uint64_t s = granted_s(m, l->expires_s), ms = s * 1000;
    char gate[NET_TEXT_MAX];
    bool is_new = !l->registered;

    l->registered = true;
    l->failures = 0;
    phone_retire(l->phone);
    if (is_new) {
        phone_gate_text(l->phone, gate);
        say_event(l->say, "registered",
                  FACTS(fact_text("gate", gate), fact_text("number", l->phone->number),
                        fact_text("transport", sip_proto_name(l->phone->proto)),
                        fact_number("expires", s)),
                  "registered at %s over %s: %s can be called", gate,
                  sip_proto_name(l->phone->proto), l->phone->number);
    }
    later(l, ms / 2 + here_jitter(ms / 4)); /* well before the end */
}

static void refused(struct listen *l, unsigned status)
{
    uint64_t now = loop_now_ms(l->loop);

    if ((status == 401 || status == 407) &&
        (l->asked_ms == 0 || now - l->asked_ms >= NEW_SESSION_GAP_MS)) {
        if (phone_new_session(l->phone)) {
            l->asked_ms = now;
            failed(l, status, "our session is not accepted");
        }
        return;
    }
    failed(l, status, phone_status_text(status));
    if (status >= 500 && status < 600) {
        phone_next_gate(l->phone);
    }
    back_off(l);
}

/* 423: RFC 3261 section 10.2.8. */
static bool too_brief(struct listen *l, unsigned status, const struct sip_msg *m)
{
    uint64_t least = 0;

    if (status != 423 ||
        view_to_u64(sip_header_value(m, SIP_H_MIN_EXPIRES), 86400, &least) != E_OK ||
        least <= l->expires_s) {
        return false;
    }
    l->expires_s = (unsigned)least;
    on_ready(l);
    return true;
}

static void on_reply(void *arg, unsigned status, const struct sip_msg *m)
{
    struct listen *l = arg;

    l->registering = false;
    if (l->ending) {
        end(l, l->code);
    } else if (m != NULL && status >= 200 && status < 300) {
        registered(l, m);
    } else if (m != NULL) {
        if (!too_brief(l, status, m)) {
            refused(l, status);
        }
    } else if (l->phone->lost_why == E_AUTH) {
        refused(l, 401); /* TLS did not take the session */
    } else {
        failed(l, status, "the gate controller does not answer");
        phone_next_gate(l->phone);
        back_off(l);
    }
}

static void on_ready(void *arg)
{
    struct listen *l = arg;
    enum err e = E_OK;

    if (l->ending || l->registering) {
        return;
    }
    loop_timer_stop(l->loop, &l->timer);
    l->registering = true;
    e = sip_ua_register(l->phone->ua, &l->phone->flow, l->expires_s, on_reply, l);
    if (e != E_OK) {
        l->registering = false;
        failed(l, 503, err_text(e));
        l->phone->has_flow = false;
        back_off(l);
    }
}

static void on_failed(void *arg, enum bti_exit code, const char *why)
{
    struct listen *l = arg;

    if (l->ending) {
        return;
    }
    if (code == BTI_EXIT_REFUSED || code == BTI_EXIT_CERTIFICATE || code == BTI_EXIT_NO_STORE) {
        end(l, (enum bti_exit)say_failed(l->say, code, "%s", why));
        return;
    }
    failed(l, 503, why);
    if (code == BTI_EXIT_DENIED) { /* barred: that lasts */
        later(l, BARRED_MS);
    } else {
        phone_next_gate(l->phone);
        back_off(l);
    }
}

static void on_lost(void *arg)
{
    struct listen *l = arg;

    if (l->ending || l->registering || l->phone->going) {
        return; /* on_reply or on_ready sees to it */
    }
    failed(l, 503, "the connection is lost");
    later(l, here_jitter(CONNECTION_BACK_MS));
}

static void go(void *arg)
{
    struct listen *l = arg;

    if (!l->ending && !l->registering && !l->phone->going) {
        phone_go(l->phone);
    }
}

/* ---- ending ------------------------------------------------------------------------------------
 */
static void end(struct listen *l, enum bti_exit code)
{
    if (!l->done) {
        l->done = true;
        l->code = code;
        loop_stop(l->loop);
    }
}

static void on_end_timer(void *arg)
{
    struct listen *l = arg;

    end(l, l->code);
}

/* Hangs up, and takes the registration back. */
static void wind_up(struct listen *l, enum bti_exit code)
{
    if (l->ending) {
        end(l, code);
        return;
    }
    l->ending = true;
    l->code = code;
    loop_timer_stop(l->loop, &l->timer);
    for (struct ring *r = l->rings, *next = NULL; r != NULL; r = next) {
        next = r->next; /* hanging up may end it at once */
        if (!r->ending) {
            r->ending = true;
            sip_call_hangup(r->call, NULL);
        }
    }
    if (loop_timer_start(l->loop, &l->end_timer, HANGUP_MS, on_end_timer, l) != E_OK ||
        !l->registered || l->registering || !l->phone->has_flow ||
        sip_ua_register(l->phone->ua, &l->phone->flow, 0, on_reply, l) != E_OK) {
        if (l->rings == NULL) {
            end(l, code);
        }
    }
}

static void on_signal(void *arg)
{
    wind_up(arg, BTI_EXIT_OK);
}

/* ---- calls -------------------------------------------------------------------------------------
 */
static void forget(struct ring *r)
{
    struct listen *l = r->l;
    struct ring **at = &l->rings;

    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    loop_timer_stop(l->loop, &r->timer);
    leg_free(r->leg);
    mem_free(r);
}

static void ring_over(struct ring *r, const char *how)
{
    struct listen *l = r->l;
    uint64_t ms = r->answered ? loop_now_ms(l->loop) - r->answered_ms : 0;

    leg_free(r->leg); /* the media figures come before the end */
    r->leg = NULL;
    say_event(l->say, "ended",
              FACTS(fact_text("call_id", r->call_id), fact_text("by", how),
                    fact_number("duration_ms", ms)),
              "the call ended after %llu.%llu s (%s)", (unsigned long long)(ms / 1000),
              (unsigned long long)(ms % 1000 / 100), how);
    forget(r);
    if (l->o->max_calls > 0 && l->calls_taken >= l->o->max_calls && l->rings == NULL &&
        !l->ending) {
        wind_up(l, BTI_EXIT_OK);
    }
}

static void on_duration(void *arg)
{
    struct ring *r = arg;

    if (!r->ending) {
        r->ending = true;
        sip_call_hangup(r->call, NULL);
    }
}

static void reject(struct ring *r, unsigned status, const char *how)
{
    struct sip_call *c = r->call;

    sip_call_set_data(c, NULL);
    IGNORE(sip_call_reject(c, status), "the caller's own timer ends it");
    ring_over(r, how);
}

static void answer(void *arg)
{
    struct ring *r = arg;
    enum err e = E_OK;

    if (r->l->o->reject != 0) {
        reject(r, r->l->o->reject, "rejected");
        return;
    }
    TRY(leg_start(r->leg));
    TRY(sip_call_answer(r->call, leg_sdp(r->leg)));
    r->answered_ms = loop_now_ms(r->l->loop);
    if (r->l->o->duration_s > 0 &&
        loop_timer_start(r->l->loop, &r->timer, r->l->o->duration_s * 1000ull, on_duration, r) !=
            E_OK) {
        on_duration(r);
    }
out:
    if (e != E_OK) {
        say_warn(r->l->say, "the call cannot be answered: %s", err_text(e));
        reject(r, 500, "error");
    }
}

static void tell_incoming(const struct ring *r, const struct sip_msg *m)
{
    struct view who = sip_header_value(m, SIP_H_P_ASSERTED_IDENTITY), one = {0};
    struct sip_list list = sip_list_over(who.n > 0 ? who : sip_header_value(m, SIP_H_FROM));
    struct sip_name_addr a = {.params = {0}};
    struct view number, params = {0}, verstat = {0};
    char from[128], checked[40] = "";
    size_t semi = 0;

    if (!sip_list_next(&list, &one) || sip_name_addr_parse(one, &a) != E_OK) {
        a.uri.user = VIEW("anonymous");
    }
    number = a.uri.user;
    if (view_find(a.uri.user, ';', &semi)) { /* parameters of the number (RFC 3966 section 5.1) */
        number = view_sub(a.uri.user, 0, semi);
        params = view_sub(a.uri.user, semi + 1, a.uri.user.n);
    }
    if (view_to_cstr(number, from, sizeof from) != E_OK) {
        memcpy(from, "anonymous", sizeof "anonymous");
    }
    if (sip_param(params, VIEW("verstat"), &verstat)) {
        IGNORE(view_to_cstr(verstat, checked, sizeof checked), "a longer one is none that we know");
    }
    say_event(r->l->say, "incoming",
              FACTS(fact_text("from", from), fact_text("verstat", checked),
                    fact_text("call_id", r->call_id), fact_flag("secured", r->leg->offer.secure)),
              "%s calls%s%s", from, checked[0] != 0 ? ", " : "", checked);
}

static enum err set_up(struct ring *r, const struct sip_msg *m)
{
    struct listen *l = r->l;
    struct net_addr local = sip_call_local(r->call);
    enum err e = E_OK;

    TRY(view_to_cstr(sip_call_id(r->call), r->call_id, sizeof r->call_id));
    TRY(leg_new(l->loop, l->o, l->say, local.family != 0 ? &local : &l->phone->local,
                l->calls_taken + 1, &r->leg));
    TRY(leg_take_offer(r->leg, m->body, phone_keys_allowed(l->phone)));
    TRY(loop_timer_start(l->loop, &r->timer, l->o->answer_after_ms, answer, r));
out:
    return e;
}

static unsigned status_of(enum err e)
{
    return e == E_NOTFOUND ? 488 : e == E_PARSE ? 400 : 500;
}

static void incoming(struct listen *l, struct sip_call *c, const struct sip_msg *m)
{
    struct ring *r = mem_zalloc(sizeof *r);
    enum err e = E_OK;

    if (r == NULL || l->ending || (l->o->max_calls > 0 && l->calls_taken >= l->o->max_calls)) {
        mem_free(r);
        IGNORE(sip_call_reject(c, r == NULL ? 500 : 480), "the caller's own timer ends it");
        return;
    }
    *r = (struct ring){.l = l, .call = c, .next = l->rings};
    l->rings = r;
    e = set_up(r, m);
    if (e != E_OK) {
        say_warn(l->say, "a call cannot be taken: %s",
                 e == E_NOTFOUND ? "no kind of voice that we can or may do" : err_text(e));
        sip_call_set_data(c, NULL);
        IGNORE(sip_call_reject(c, status_of(e)), "the caller's own timer ends it");
        forget(r);
        return;
    }
    l->calls_taken++;
    sip_call_set_data(c, r);
    tell_incoming(r, m);
    if (l->o->reject == 0) {
        IGNORE(sip_call_progress(c, 180, VIEW("")), "ringing is a courtesy");
    }
}

static void answered(struct ring *r)
{
    if (!r->answered) {
        r->answered = true;
        say_event(r->l->say, "answered",
                  FACTS(fact_text("call_id", r->call_id), fact_flag("secured", r->leg->secure)),
                  "answered, the voice is %s", r->leg->secure ? "encrypted" : "not encrypted");
    }
}

static void on_call(void *arg, struct sip_call *c, enum sip_call_event ev, unsigned status,
                    const struct sip_msg *m)
{
    struct ring *r = sip_call_data(c);

    (void)status;
    if (ev == SIP_CALL_INCOMING) {
        incoming(arg, c, m);
        return;
    }
    if (r == NULL) {
        return;
    }
    switch (ev) {
    case SIP_CALL_ANSWERED:
        answered(r);
        break;
    case SIP_CALL_CANCELLED:
        ring_over(r, "cancelled");
        break;
    case SIP_CALL_ENDED:
    case SIP_CALL_REJECTED:
        ring_over(r, m != NULL ? "peer" : "us");
        break;
    case SIP_CALL_MODIFIED:
        leg_modify(r->leg, m->body);
        break;
    case SIP_CALL_INCOMING:
    case SIP_CALL_PROGRESS:
    case SIP_CALL_INFO:
        break;
    }
}

static enum err watch_signals(struct listen *l)
{
    enum err e = loop_signal_start(l->loop, SIGINT, on_signal, l, &l->on_int);

    return e == E_OK ? loop_signal_start(l->loop, SIGTERM, on_signal, l, &l->on_term) : e;
}

static void clean_up(struct listen *l)
{
    if (l->loop == NULL) {
        return;
    }
    while (l->rings != NULL) {
        forget(l->rings);
    }
    loop_timer_stop(l->loop, &l->timer);
    loop_timer_stop(l->loop, &l->end_timer);
    phone_free(l->phone);
    loop_signal_stop(l->on_int);
    loop_signal_stop(l->on_term);
    loop_free(l->loop);
}

int listen_run(const struct options *o, const struct say *say)
{
    struct listen l = {.o = o, .say = say, .code = BTI_EXIT_FAILED, .expires_s = o->expires_s};
    struct phone_cfg cfg = {.o = o,
                            .say = say,
                            .max_calls = CALLS_MAX,
                            .on_ready = on_ready,
                            .on_failed = on_failed,
                            .on_lost = on_lost,
                            .on_call = on_call,
                            .arg = &l};
    enum err e = loop_new(clock_system(), &l.loop);

    TRY(e);
    TRY(watch_signals(&l));
    TRY(phone_new(l.loop, &cfg, &l.phone, &l.code));
    phone_go(l.phone);
    loop_run(l.loop);
    loop_run_once(l.loop, false); /* what was sent last still goes out */
out:
    clean_up(&l);
    return (int)l.code;
}
