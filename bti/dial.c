/* One outgoing call. */
#include "bti/dial.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bti/leg.h"
#include "bti/phone.h"

enum { SILENT_GATE_MS = 5000, RING_MS = 180000, HANGUP_MS = 3000, BACK_MS = 1000, TRIES = 8 };

struct dial {
    const struct options *o;
    const struct say *say;
    struct loop *loop;
    struct phone *phone;
    struct sip_call *call;
    struct leg *leg;
    struct loop_timer timer, hangup_timer, back_timer;
    struct loop_signal *on_int, *on_term;
    char uri[NUMBER_MAX + STORE_NAME_MAX + 8];
    uint64_t answered_ms;
    unsigned tries, gates_tried;
    bool patient, renewed, ringing, answered, ending, interrupted, done;
    enum bti_exit code, end_code; /* end_code: once the hanging up is through */
};

static bool is_emergency(const char *number)
{
    bool is_coded = strncmp(number, "*67", 3) == 0 || strncmp(number, "*82", 3) == 0;

    number += is_coded ? 3 : 0;
    return strcmp(number, "911") == 0 || strcmp(number, "112") == 0;
}

/* ---- the end -----------------------------------------------------------------------------------
 */
static void leave(struct dial *d, enum bti_exit code)
{
    if (d->done) {
        return;
    }
    d->done = true;
    d->code = code;
    leg_free(d->leg);
    d->leg = NULL;
    loop_stop(d->loop);
}

static void on_hangup_timer(void *arg)
{
    struct dial *d = arg;

    leave(d, d->end_code); /* the other side does not answer */
}

static void hang_up(struct dial *d, enum bti_exit code)
{
    if (d->ending || d->done) {
        return;
    }
    d->ending = true;
    d->end_code = code;
    loop_timer_stop(d->loop, &d->timer);
    if (d->call == NULL) {
        leave(d, code);
        return;
    }
    if (loop_timer_start(d->loop, &d->hangup_timer, HANGUP_MS, on_hangup_timer, d) != E_OK) {
        leave(d, BTI_EXIT_FAILED);
        return;
    }
    sip_call_hangup(d->call, NULL);
}

static void on_signal(void *arg)
{
    struct dial *d = arg;

    if (d->interrupted) { /* the second time: now */
        leave(d, BTI_EXIT_GAVE_UP);
        return;
    }
    d->interrupted = true;
    hang_up(d, d->answered ? BTI_EXIT_OK : BTI_EXIT_GAVE_UP);
}

static void fail(struct dial *d, enum bti_exit code, const char *what)
{
    if (!d->done) {
        leave(d, (enum bti_exit)say_failed(d->say, code, "%s: %s", d->o->number, what));
    }
}

/* ---- starting ----------------------------------------------------------------------------------
 */
static void on_silent_gate(void *arg);

static void start(struct dial *d)
{
    char gate[NET_TEXT_MAX];
    enum err e = E_OK;

    leg_free(d->leg);
    d->leg = NULL;
    d->tries++;
    e = leg_new(d->loop, d->o, d->say, &d->phone->local, 1, &d->leg);
    if (e != E_OK) {
        fail(d, BTI_EXIT_FAILED, "the voice cannot be set up here");
        return;
    }
    TRY(leg_offer(d->leg, phone_keys_allowed(d->phone)));
    phone_gate_text(d->phone, gate);
    say_event(d->say, "calling",
              FACTS(fact_text("number", d->o->number), fact_text("gate", gate),
                    fact_text("transport", sip_proto_name(d->phone->proto)),
                    fact_flag("proven", !d->phone->unproven)),
              "calling %s through %s over %s%s", d->o->number, gate,
              sip_proto_name(d->phone->proto), d->phone->unproven ? ", without proof" : "");
    TRY(sip_call_start(d->phone->ua, &d->phone->flow, d->uri, leg_sdp(d->leg), VIEW(""), d,
                       &d->call));
    TRY(loop_timer_start(d->loop, &d->timer, SILENT_GATE_MS, on_silent_gate, d));
out:
    if (e != E_OK) {
        fail(d, e == E_NOTFOUND || e == E_IO ? BTI_EXIT_UNREACHABLE : BTI_EXIT_FAILED, err_text(e));
    }
}

static void on_ready(void *arg)
{
    struct dial *d = arg;

    if (d->call != NULL) {
        phone_retire(d->phone); /* the call goes on under the new session or connection */
    } else if (!d->done && !d->ending) {
        start(d);
    }
}

/* An emergency call goes out even when nobody can vouch for the caller. */
static bool try_unproven(struct dial *d)
{
    if (!is_emergency(d->o->number) || d->phone->unproven || d->ending) {
        return false;
    }
    d->gates_tried = 0;
    say_warn(d->say,
             "nobody can vouch for this BTI now: the emergency call goes out without proof");
    phone_go_unproven(d->phone);
    return true;
}

static void on_failed(void *arg, enum bti_exit code, const char *why)
{
    struct dial *d = arg;

    if (d->done || (d->answered && d->call != NULL)) {
        return; /* a call that is up needs nobody */
    }
    if (try_unproven(d)) {
        return;
    }
    if (code == BTI_EXIT_UNREACHABLE && (d->phone->session != NULL || d->phone->unproven) &&
        d->gates_tried++ < TRIES && phone_next_gate(d->phone)) {
        phone_go(d->phone);
        return;
    }
    fail(d, code, why);
}

/* True when the call is tried once more some other way. */
static bool again(struct dial *d, const struct sip_msg *m)
{
    struct phone *p = d->phone;
    bool refused_us = p->challenged || (m == NULL && p->lost_why == E_AUTH);
    bool full = m != NULL && m->status == 503 && p->cfg.is_emergency;

    if (d->ending || d->tries >= TRIES) {
        return false;
    }
    if ((p->unproven && m == NULL) || full) {
        bool next = phone_next_gate(p);
        if (next) {
            phone_go(p);
        }
        return next;
    }
    if (p->unproven) {
        return false;
    }
    if (refused_us && !d->renewed) {
        d->renewed = phone_new_session(p);
        return true;
    }
    if (refused_us) {
        return try_unproven(d);
    }
    if (m == NULL && phone_next_gate(p)) {
        phone_go(p);
        return true;
    }
    return m == NULL && try_unproven(d);
}

static void on_ring_end(void *arg)
{
    struct dial *d = arg;

    say_warn(d->say, "%s: nobody answers", d->o->number);
    hang_up(d, BTI_EXIT_NOT_TAKEN);
}

static void wait_more(struct dial *d, uint64_t ms, loop_fn *fn)
{
    if (loop_timer_start(d->loop, &d->timer, ms, fn, d) != E_OK) {
        hang_up(d, BTI_EXIT_FAILED);
    }
}

/* The gate controller said nothing at all: perhaps the other one lives. */
static void on_silent_gate(void *arg)
{
    struct dial *d = arg;
    struct sip_call *c = d->call;

    if (d->phone->heard || c == NULL || d->answered) {
        wait_more(d, RING_MS, on_ring_end);
        return;
    }
    if (!d->patient && !phone_has_next_gate(d->phone)) {
        d->patient = true;
        wait_more(d, SILENT_GATE_MS, on_silent_gate);
        return;
    }
    d->patient = false;
    sip_call_set_data(c, NULL);
    d->call = NULL;
    sip_call_hangup(c, NULL);
    if (!again(d, NULL)) {
        fail(d, BTI_EXIT_UNREACHABLE, "the gate controller does not answer");
    }
}

/* ---- the call ----------------------------------------------------------------------------------
 */
static void on_duration(void *arg)
{
    hang_up(arg, BTI_EXIT_OK);
}

static void answered(struct dial *d, const struct sip_msg *m)
{
    enum err e = E_OK;

    if (d->answered || d->ending) { /* ending: the answer and our CANCEL have crossed */
        return;
    }
    loop_timer_stop(d->loop, &d->timer);
    e = leg_take_answer(d->leg, m->body);
    if (e != E_OK) {
        say_warn(d->say, "the answer cannot be used: %s",
                 e == E_DENIED ? "not the protection of voice that was offered" : err_text(e));
        hang_up(d, BTI_EXIT_NOT_TAKEN);
        return;
    }
    d->answered = true;
    d->answered_ms = loop_now_ms(d->loop);
    say_event(
        d->say, "answered",
        FACTS(fact_view("call_id", sip_call_id(d->call)), fact_flag("secured", d->leg->secure)),
        "%s answered, the voice is %s", d->o->number,
        d->leg->secure ? "encrypted" : "not encrypted");
    if (d->o->duration_s > 0 &&
        loop_timer_start(d->loop, &d->timer, d->o->duration_s * 1000ull, on_duration, d) != E_OK) {
        hang_up(d, BTI_EXIT_FAILED);
    }
}

static void rejected(struct dial *d, unsigned status, const struct sip_msg *m)
{
    enum bti_exit code = phone_status_exit(status);
    char text[160];

    d->call = NULL;
    loop_timer_stop(d->loop, &d->timer);
    if (d->ending) {
        leave(d, d->end_code);
        return;
    }
    if (again(d, m)) {
        return;
    }
    if (m == NULL) {
        code = BTI_EXIT_UNREACHABLE;
        snprintf(text, sizeof text, "the gate controller cannot be reached");
    } else {
        say_event(
            d->say, "rejected",
            FACTS(fact_number("status", status), fact_text("text", phone_status_text(status))),
            "%s: %s", d->o->number, phone_status_text(status));
        snprintf(text, sizeof text, "%s (SIP %u)", phone_status_text(status), status);
    }
    fail(d, code, text);
}

static void ended(struct dial *d, const struct sip_msg *m)
{
    uint64_t ms = d->answered ? loop_now_ms(d->loop) - d->answered_ms : 0;

    d->call = NULL;
    leg_free(d->leg);
    d->leg = NULL;
    say_event(d->say, "ended",
              FACTS(fact_text("by", m != NULL ? "peer" : "us"), fact_number("duration_ms", ms)),
              "the call ended after %llu.%llu s%s", (unsigned long long)(ms / 1000),
              (unsigned long long)(ms % 1000 / 100), m != NULL ? ", the other side hung up" : "");
    leave(d, d->ending ? d->end_code : d->answered ? BTI_EXIT_OK : BTI_EXIT_NOT_TAKEN);
}

static void on_call(void *arg, struct sip_call *c, enum sip_call_event ev, unsigned status,
                    const struct sip_msg *m)
{
    struct dial *d = arg;

    if (ev == SIP_CALL_INCOMING) { /* this process only calls */
        IGNORE(sip_call_reject(c, 486), "the caller's own timer ends it");
        return;
    }
    if (sip_call_data(c) != d || d->done) {
        return;
    }
    switch (ev) {
    case SIP_CALL_PROGRESS:
        if (!d->ringing && status == 180) {
            d->ringing = true;
            say_event(d->say, "ringing", FACTS(fact_number("status", status)), "it rings");
        }
        break;
    case SIP_CALL_ANSWERED:
        answered(d, m);
        break;
    case SIP_CALL_REJECTED:
        rejected(d, status, m);
        break;
    case SIP_CALL_ENDED:
    case SIP_CALL_CANCELLED:
        ended(d, m);
        break;
    case SIP_CALL_MODIFIED:
        leg_modify(d->leg, m->body);
        break;
    case SIP_CALL_INCOMING:
    case SIP_CALL_INFO:
        break;
    }
}

static void on_back_timer(void *arg)
{
    struct dial *d = arg;

    if (d->call != NULL && !d->phone->going) {
        phone_go(d->phone);
    }
}

/* While it rings the user agent reports it; a call that is up goes on and needs a way for its BYE.
 */
static void on_lost(void *arg)
{
    struct dial *d = arg;

    if (!d->answered || d->done) {
        return;
    }
    if (!d->ending) {
        say_warn(d->say, "the connection to the gate controller is lost; the voice goes on");
    }
    IGNORE(loop_timer_start(d->loop, &d->back_timer, BACK_MS, on_back_timer, d),
           "then the call ends without a BYE");
}

static enum err watch_signals(struct dial *d)
{
    enum err e = loop_signal_start(d->loop, SIGINT, on_signal, d, &d->on_int);

    return e == E_OK ? loop_signal_start(d->loop, SIGTERM, on_signal, d, &d->on_term) : e;
}

int dial_run(const struct options *o, const struct say *say)
{
    struct dial d = {.o = o, .say = say, .code = BTI_EXIT_FAILED};
    struct phone_cfg cfg = {.o = o,
                            .say = say,
                            .max_calls = 4,
                            .is_emergency = is_emergency(o->number),
                            .on_ready = on_ready,
                            .on_failed = on_failed,
                            .on_lost = on_lost,
                            .on_call = on_call,
                            .arg = &d};
    enum err e = loop_new(clock_system(), &d.loop);

    TRY(e);
    TRY(watch_signals(&d));
    TRY(phone_new(d.loop, &cfg, &d.phone, &d.code));
    snprintf(d.uri, sizeof d.uri, "sip:%s@%s", o->number, d.phone->domain);
    phone_go(d.phone);
    loop_run(d.loop);
    loop_run_once(d.loop, false); /* what was sent last still goes out */
out:
    if (d.loop != NULL) {
        loop_timer_stop(d.loop, &d.timer);
        loop_timer_stop(d.loop, &d.hangup_timer);
        loop_timer_stop(d.loop, &d.back_timer);
        leg_free(d.leg);
        phone_free(d.phone);
        loop_signal_stop(d.on_int);
        loop_signal_stop(d.on_term);
        loop_free(d.loop);
    }
    return (int)d.code;
}
