/* Enrolment with a provisioning server. */
#include "bti/enroll.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/proc.h"
#include "bti/audio.h"
#include "bti/candidate.h"
#include "bti/control.h"
#include "bti/here.h"
#include "bti/order.h"
#include "bti/typist.h"
#include "signaling/sdp.h"
#include "signaling/sip_ua.h"

enum {
    SETUP_MS = 15000,    /* INVITE to SETUP_ACK */
    FRAME_MS = 12000,    /* for each answer on the control channel */
    VOICE_MS = 125000,   /* PROOF to the verdict */
    HANGUP_MS = 2000,    /* for the BYE */
    GOODBYE_MS = 6000,   /* with --record: to hear the last prompt */
    PROMPT_POLL_MS = 50, /* until the first voice arrives */
    PROMPT_WAIT_MS = 2000,
    SDP_MAX = 1024
};

struct enroll {
    struct options *o;
    const struct say *say;
    struct loop *loop;
    struct loop_signal *on_int, *on_term;
    struct store *store;
    struct pki_root *root;
    struct net_addr local, ps;
    struct sip_transport *transport;
    struct sip_ua *ua;
    struct sip_flow flow;
    struct sip_call *call;
    struct media *media;
    struct audio audio;
    struct typist typist;
    struct order order;
    struct control *control;
    struct enrol_bti *machine;
    struct enrol_out *out;
    struct loop_timer timer, prompt;
    uint64_t prompt_since_ms;
    bool audio_ready, answered, secured, typing, accepted, sent_key, enrolled, ending, done;
    unsigned frames;
    enum bti_exit code;
    int lock; /* -1: none */
    char call_id[SIP_MAX_CALL_ID + 1];
    char sdp[SDP_MAX];
    size_t sdp_n;
};

/* ---- the end -----------------------------------------------------------------------------------
 */
static void leave(void *arg)
{
    struct enroll *x = arg;

    if (!x->done) {
        x->done = true;
        loop_stop(x->loop);
    }
}

/* Ends the call, then the loop. The first reason stays. */
static void wind_up(struct enroll *x, enum bti_exit code)
{
    struct sip_call *call = x->call;

    if (x->ending) {
        return;
    }
    x->ending = true;
    x->code = code;
    typist_stop(&x->typist);
    loop_timer_stop(x->loop, &x->prompt);
    control_free(x->control);
    x->control = NULL;
    if (call == NULL || loop_timer_start(x->loop, &x->timer, HANGUP_MS, leave, x) != E_OK) {
        leave(x);
        return;
    }
    sip_call_hangup(call, NULL);
}

static void fail(struct enroll *x, enum bti_exit code, const char *what)
{
    if (!x->ending) {
        wind_up(x, (enum bti_exit)say_failed(x->say, code, "%s", what));
    }
}

static void broken(struct enroll *x, enum err e)
{
    if (!x->ending) {
        wind_up(x, (enum bti_exit)say_failed(x->say, BTI_EXIT_FAILED, "%s (%s)", err_text(e),
                                             err_where()));
    }
}

static void on_signal(void *arg)
{
    struct enroll *x = arg;

    if (x->ending) {
        leave(x);
        return;
    }
    fail(x, BTI_EXIT_GAVE_UP,
         x->sent_key ? "interrupted; run it again with the same work order to finish"
                     : "interrupted, nothing was stored");
}

static void on_deadline(void *arg)
{
    struct enroll *x = arg;

    if (x->enrolled) {
        wind_up(x, BTI_EXIT_OK);
    } else {
        fail(x, BTI_EXIT_UNREACHABLE, "no answer in time");
    }
}

static void deadline(struct enroll *x, uint64_t ms)
{
    enum err e = loop_timer_start(x->loop, &x->timer, ms, on_deadline, x);

    if (e != E_OK) {
        broken(x, e);
    }
}

static void step(const struct enroll *x, const char *event, unsigned number, const char *text)
{
    say_event(x->say, event, FACTS(fact_number("step", number), fact_text("text", text)), "%u %s",
              number, text);
}

/* ---- 306-309: voice ----------------------------------------------------------------------------
 */
static bool on_source(void *arg, int16_t pcm[RTP_FRAME])
{
    struct enroll *x = arg;

    return typist_fill(&x->typist, pcm);
}

static void on_sink(void *arg, const int16_t *pcm, size_t n)
{
    struct enroll *x = arg;

    audio_hear(&x->audio, pcm, n);
}

static void typed(void *arg)
{
    const struct enroll *x = arg;

    say_event(x->say, "digits",
              FACTS(fact_number("step", 309), fact_flag("inband", x->o->digits_inband)),
              "309 authorization information sent over the secured voice path");
}

static void on_order(void *arg)
{
    struct enroll *x = arg;
    struct view digits = view_from(x->order.digits, x->order.n);
    enum err e = E_OK;

    if (x->ending) {
        return;
    }
    step(x, "keyed", 308, "authorization information keyed in");
    e = typist_start(&x->typist, x->loop, x->media, x->o->digits_inband, digits, 300, typed, x);
    order_spent(&x->order);
    if (e != E_OK) {
        broken(x, e);
    }
}

static void ask_order(struct enroll *x)
{
    enum err e = order_want(&x->order, x->loop, on_order, x);

    if (e == E_NOTFOUND) {
        fail(x, BTI_EXIT_REFUSED, "the work order was not accepted");
    } else if (e != E_OK) {
        broken(x, e);
    }
}

/* The provisioning server listens once it speaks: its first packet says so. */
static void on_prompt(void *arg)
{
    struct enroll *x = arg;
    const struct media_stats *s = media_stats(x->media);
    uint64_t waited = loop_now_ms(x->loop) - x->prompt_since_ms;
    enum err e = E_OK;

    if (s->received == 0 && waited < PROMPT_WAIT_MS) {
        e = loop_timer_start(x->loop, &x->prompt, PROMPT_POLL_MS, on_prompt, x);
        if (e != E_OK) {
            broken(x, e);
        }
        return;
    }
    step(x, "prompt", 307,
         s->received > 0 ? "the provisioning server asks for authorization information"
                         : "no prompt is heard, the work order is sent all the same");
    ask_order(x);
}

static enum err join(const struct secret *key, const struct secret *salt, struct secret *out)
{
    uint8_t both[2 * SECRET_MAX];
    enum err e = E_OK;

    memcpy(both, key->b, key->n);
    memcpy(both + key->n, salt->b, salt->n);
    e = secret_set(out, both, key->n + salt->n);
    wipe(both, sizeof both);
    return e;
}

static enum err secure(struct enroll *x)
{
    struct audio_keys k = {.up_key = {.n = 0}};
    struct secret send = {.n = 0}, receive = {.n = 0};
    enum err e = E_OK;

    TRY(enrol_bti_audio(x->machine, &k));
    TRY(join(&k.up_key, &k.up_salt, &send));
    TRY(join(&k.down_key, &k.down_salt, &receive));
    TRY(media_secure(x->media, SRTP_AEAD_AES_256_GCM, &send, &receive));
    TRY(media_start(x->media));
    x->secured = true;
out:
    audio_keys_wipe(&k);
    secret_wipe(&send);
    secret_wipe(&receive);
    return e;
}

/* Both have come, in whatever order: the proof on the control channel and the 200 OK. */
static void maybe_voice(struct enroll *x)
{
    enum err e = E_OK;

    if (!x->audio_ready || !x->answered || x->secured || x->ending) {
        return;
    }
    TRY(secure(x));
    step(x, "voice", 306, "voice connection secured with AK (AEAD_AES_256_GCM)");
    x->prompt_since_ms = loop_now_ms(x->loop);
    TRY(loop_timer_start(x->loop, &x->prompt, PROMPT_POLL_MS, on_prompt, x));
    deadline(x, VOICE_MS);
    control_patience(x->control, VOICE_MS);
out:
    if (e != E_OK) {
        broken(x, e);
    }
}

/* ---- 302-305, 310: control channel -------------------------------------------------------------
 */
static enum err send_out(struct enroll *x)
{
    enum err e = E_OK;

    if (x->out->n > 0) {
        e = control_send(x->control, view_from(x->out->b, x->out->n));
        wipe(x->out->b, x->out->n);
        x->out->n = 0;
    }
    return e;
}

/* Step 310. The key is stored before it leaves. */
static void send_user_key(struct enroll *x)
{
    struct store_data *d = &x->store->d;
    enum err e = store_save_pending(x->store);

    if (e != E_OK) {
        fail(x, BTI_EXIT_FAILED, "the new key cannot be stored, so it was not sent");
        return;
    }
    TRY(d->kind == KEY_P256 ? enrol_bti_user_key(x->machine, &d->k_u, x->out)
                            : enrol_bti_user_secret(x->machine, &d->shared, x->out));
    TRY(send_out(x));
    x->sent_key = true;
    control_patience(x->control, FRAME_MS);
    deadline(x, FRAME_MS + 1000);
    step(x, "user_key", 310,
         d->kind == KEY_P256 ? "N1, N2 and the user's public key K_U+ sent under SK, with proof"
                             : "N1, N2 and the user's symmetric key K_U sent under SK");
out:
    if (e != E_OK) {
        broken(x, e);
    }
}

static void on_verdict(struct enroll *x)
{
    uint8_t left = 0;
    enum wire_verdict v = enrol_bti_verdict(x->machine, &left);

    say_event(x->say, "verdict",
              FACTS(fact_number("step", 309), fact_flag("accepted", v == VERDICT_ACCEPTED),
                    fact_number("tries_left", left)),
              v == VERDICT_ACCEPTED ? "309 accepted"
              : v == VERDICT_WRONG  ? "309 not accepted, %u tries left"
                                    : "309 not accepted, locked",
              (unsigned)left);
    if (v == VERDICT_ACCEPTED) {
        x->accepted = true;
        send_user_key(x);
    } else if (v == VERDICT_WRONG) {
        ask_order(x);
    } else {
        fail(x, BTI_EXIT_REFUSED,
             "too many wrong tries: this address or work order is locked for a while");
    }
}

static void on_done(struct enroll *x)
{
    const struct enrol_ack *ack = enrol_bti_result(x->machine);
    char id[2 * BTI_ID_BYTES + 1];
    const char *number = ack->numbers.n > 0 ? ack->numbers.v[0] : "";
    enum err e = candidate_keep(x->store, x->o, x->machine, &x->ps);

    if (e != E_OK) {
        fail(
            x, BTI_EXIT_FAILED,
            "enrolled, but the key store cannot be written; run it again with the same work order");
        return;
    }
    hex_put(ack->bti_id, BTI_ID_BYTES, id);
    x->enrolled = true;
    say_event(x->say, "enrolled",
              FACTS(fact_number("step", 310), fact_text("bti_id", id), fact_text("number", number),
                    fact_text("gate", ack->gates.v[0]), fact_text("store", x->o->store)),
              "310 acknowledged: enrolled as %s, number %s, gate controller %s", id,
              number[0] != 0 ? number : "(none)", ack->gates.v[0]);
    if (x->o->record != NULL && x->call != NULL) {
        control_free(x->control);
        x->control = NULL;
        deadline(x, GOODBYE_MS);
    } else {
        wind_up(x, BTI_EXIT_OK);
    }
}

static void on_refused(struct enroll *x)
{
    const char *text = "";
    uint16_t code = enrol_bti_refusal(x->machine, &text);
    enum bti_exit leave_with = BTI_EXIT_UNREACHABLE;

    if (code == CODE_CERTIFICATE) {
        leave_with = BTI_EXIT_CERTIFICATE;
        wind_up(x, (enum bti_exit)say_failed(x->say, leave_with,
                                             "the provisioning server is not trusted, nothing was "
                                             "sent to it: %s",
                                             text));
        return;
    }
    if (code == CODE_LOCKED || code == CODE_REVOKED || code == CODE_UNKNOWN) {
        leave_with = BTI_EXIT_REFUSED;
    }
    if (code == CODE_REVOKED || code == CODE_UNKNOWN) {
        store_forget_pending(x->store); /* that key will never be bound to this order */
    }
    if (!x->ending) {
        wind_up(x, (enum bti_exit)say_failed(x->say, leave_with, "enrolment refused: %s%s", text,
                                             leave_with == BTI_EXIT_REFUSED ? ""
                                                                            : "; it can be run "
                                                                              "again"));
    }
}

static void tell_keys_sent(const struct enroll *x)
{
    char text[320];

    snprintf(text, sizeof text,
             "certificate of the provisioning server%s%s verified to the pinned root",
             x->o->ps_name != NULL ? " " : "", x->o->ps_name != NULL ? x->o->ps_name : "");
    step(x, "certificate", 303, text);
    step(x, "keys", 304, "SK, AK, N0 sent under K, info under SK, K under K_PS+");
}

static void on_frame(struct enroll *x, struct view frame)
{
    bool is_offer = x->frames++ == 0;
    enum err e = enrol_bti_feed(x->machine, frame, x->out);
    int event = x->out->event;

    TRY(e);
    TRY(send_out(x));
    switch (event) {
    case BTI_NONE:
        if (is_offer) {
            tell_keys_sent(x);
        }
        break;
    case BTI_AUDIO_READY:
        step(x, "proof", 305, "the provisioning server proved that it has SK: N0 came back");
        x->audio_ready = true;
        maybe_voice(x);
        break;
    case BTI_AUTH_RESULT:
        on_verdict(x);
        break;
    case BTI_DONE:
        on_done(x);
        break;
    default:
        on_refused(x);
        break;
    }
out:
    if (e != E_OK) {
        broken(x, e);
    }
}

static void yo(struct enroll *x)
{
    struct enrol_bti_cfg cfg = {.root = x->root,
                                .ps_name = x->o->ps_name,
                                .now_us = loop_wall_us(x->loop),
                                .call_id = x->call_id,
                                .only_256 = x->o->only_256};
    enum err e = E_OK;

    memcpy(cfg.info.mac, x->store->d.mac, sizeof cfg.info.mac);
    cfg.info.ip_bytes = x->local.family == 6 ? 16 : 4;
    memcpy(cfg.info.ip, x->local.ip, cfg.info.ip_bytes);
    snprintf(cfg.info.model, sizeof cfg.info.model, "Headgate software BTI");
    snprintf(cfg.info.software, sizeof cfg.info.software, "%s", HEADGATE_VERSION);
    TRY(enrol_bti_new(&cfg, &x->machine));
    TRY(enrol_bti_start(x->machine, x->out));
    TRY(send_out(x));
    step(x, "yo", 302, "yo!");
out:
    if (e != E_OK) {
        broken(x, e);
    }
}

static void on_control(void *arg, enum control_event ev, struct view frame, enum err why)
{
    struct enroll *x = arg;
    bool late = x->sent_key && !x->enrolled;

    if (ev == CONTROL_FRAME) {
        on_frame(x, frame);
    } else if (ev == CONTROL_OPEN) {
        yo(x);
    } else if (!x->ending && !x->enrolled) {
        wind_up(x, (enum bti_exit)say_failed(
                       x->say, BTI_EXIT_UNREACHABLE, "the control channel %s%s",
                       why == E_TIMEOUT ? "gave no answer in time"
                       : why == E_STATE ? "was closed by the provisioning server"
                       : why == E_PARSE ? "brought something that is no frame"
                                        : "cannot be connected or broke",
                       late ? "; run it again with the same work order to finish" : ""));
    }
}

/* ---- 301: the call -----------------------------------------------------------------------------
 */
static void setup_ack(struct enroll *x, const struct sip_msg *m)
{
    struct sdp *s = mem_zalloc(sizeof *s);
    const struct sdp_media *voice = NULL, *control = NULL;
    const char *why = "";
    char ip[NET_TEXT_MAX];
    enum err e = s != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    e = sdp_parse(m->body, s, &why);
    voice = e == E_OK ? sdp_find(s, VIEW("audio")) : NULL;
    control = e == E_OK ? sdp_find(s, VIEW("application")) : NULL;
    if (voice == NULL || control == NULL || voice->port == 0 || control->port == 0) {
        fail(x, BTI_EXIT_UNREACHABLE, "the answer names no provisioning server");
        mem_free(s);
        return;
    }
    x->ps = control->address;
    media_set_remote(x->media, &voice->address);
    if (voice->event_format > 0) {
        media_set_event_type(x->media, (uint8_t)voice->event_format);
    }
    net_ip_text(&x->ps, ip);
    say_event(x->say, "setup_ack", FACTS(fact_number("step", 301), fact_text("ps", ip)),
              "301 SETUP_ACK: provisioning server %s", ip);
    TRY(view_to_cstr(sip_call_id(x->call), x->call_id, sizeof x->call_id));
    TRY(control_open(x->loop, &x->ps, &x->local, FRAME_MS, on_control, x, &x->control));
    deadline(x, 3ull * FRAME_MS);
out:
    mem_free(s);
    if (e != E_OK) {
        fail(x, BTI_EXIT_UNREACHABLE,
             "the provisioning server's control channel cannot be reached");
    }
}

static void rejected(struct enroll *x, unsigned status, const struct sip_msg *m)
{
    const char *what = "the call to 611 was refused";
    enum bti_exit code = BTI_EXIT_UNREACHABLE;
    char locked[96];
    uint64_t s = 0;

    if (m == NULL) {
        what = "the gate controller cannot be reached";
    } else if (status == 480) {
        code = BTI_EXIT_REFUSED;
        what = "too many wrong tries from this address: locked for a while";
        if (view_to_u64(sip_header_value(m, SIP_H_RETRY_AFTER), UINT32_MAX, &s) == E_OK) {
            snprintf(locked, sizeof locked,
                     "too many wrong tries from this address: locked for %llu s",
                     (unsigned long long)s);
            what = locked;
        }
    } else if (status == 403) {
        what =
            "the provisioning server sees another address than this one: is there a NAT between?";
    } else if (status == 503 || status == 486) {
        what = "no provisioning server can serve now, try again later";
    }
    if (!x->ending) {
        wind_up(x, (enum bti_exit)say_failed(x->say, code, "%s (SIP %u)", what, status));
    }
}

static void call_over(struct enroll *x, enum sip_call_event ev, unsigned status,
                      const struct sip_msg *m)
{
    x->call = NULL;
    if (x->ending) {
        leave(x);
    } else if (x->enrolled) {
        wind_up(x, BTI_EXIT_OK);
    } else if (ev == SIP_CALL_REJECTED && !x->answered && x->control == NULL) {
        rejected(x, status, m);
    } else if (!x->accepted) {
        /* The control channel says why, if it still speaks. */
        deadline(x, HANGUP_MS);
    }
}

static void on_call(void *arg, struct sip_call *c, enum sip_call_event ev, unsigned status,
                    const struct sip_msg *m)
{
    struct enroll *x = arg;

    if (ev == SIP_CALL_INCOMING) {
        IGNORE(sip_call_reject(c, 480), "the caller's own timer ends it");
        return;
    }
    if (c != x->call) {
        return;
    }
    switch (ev) {
    case SIP_CALL_PROGRESS:
        if (status == 183 && m->body.n > 0 && x->control == NULL && !x->ending) {
            setup_ack(x, m);
        }
        break;
    case SIP_CALL_ANSWERED:
        x->answered = true;
        maybe_voice(x);
        break;
    case SIP_CALL_REJECTED:
    case SIP_CALL_CANCELLED:
    case SIP_CALL_ENDED:
        call_over(x, ev, status, m);
        break;
    case SIP_CALL_INCOMING:
    case SIP_CALL_MODIFIED:
    case SIP_CALL_INFO:
        break;
    }
}

static void on_rx(void *arg, const struct sip_rx *rx)
{
    struct enroll *x = arg;

    sip_ua_rx(x->ua, rx);
}

static void on_closed(void *arg, const struct sip_flow *flow, enum err why)
{
    struct enroll *x = arg;

    (void)why;
    sip_ua_flow_lost(x->ua, flow);
}

static enum err open_sip(struct enroll *x)
{
    struct sip_transport_cfg tc = {.max_connections = 4,
                                   .on_rx = on_rx,
                                   .on_closed = on_closed,
                                   .connect_from = x->local,
                                   .arg = x};
    struct sip_ua_cfg uc = {.user = "anonymous",
                            .domain = x->o->domain,
                            .user_agent = "bti/" HEADGATE_VERSION,
                            .max_calls = 1,
                            .on_call = on_call,
                            .arg = x};
    struct media_cfg mc = {
        .local = x->local, .event_type = RTP_EVENT, .source = on_source, .sink = on_sink, .arg = x};
    const char *bad = x->o->record;
    enum err e = E_OK;

    TRY(sip_transport_new(x->loop, &tc, &x->transport));
    if (x->o->transport == SIP_UDP) {
        TRY(sip_transport_listen(x->transport, SIP_UDP, &x->local, NULL));
    }
    TRY(sip_ua_new(x->loop, x->transport, &uc, &x->ua));
    TRY(sip_transport_connect(x->transport, x->o->transport, &x->o->gc[0], NULL, VIEW(""), NULL,
                              &x->flow));
    TRY(media_open(x->loop, &mc, &x->media));
    TRY(audio_open(&x->audio, AUDIO_SILENCE, NULL, x->o->record, &bad));
    TRY(candidate_offer(media_local(x->media), loop_wall_us(x->loop) / 1000, x->sdp, sizeof x->sdp,
                        &x->sdp_n));
out:
    return e;
}

static enum err dial_611(struct enroll *x)
{
    char uri[STORE_NAME_MAX + 16], gc[NET_TEXT_MAX];
    enum err e = E_OK;

    snprintf(uri, sizeof uri, "sip:611@%s", x->o->domain);
    net_text(&x->o->gc[0], gc);
    say_event(x->say, "setup", FACTS(fact_number("step", 301), fact_text("gate", gc)),
              "301 SETUP to 611 through the gate controller %s, without authentication", gc);
    TRY(sip_call_start(x->ua, &x->flow, uri, view_from(x->sdp, x->sdp_n), VIEW(""), NULL,
                       &x->call));
    deadline(x, SETUP_MS);
out:
    return e;
}

/* ---- the whole ---------------------------------------------------------------------------------
 */
static enum err prepare(struct enroll *x)
{
    enum err e = E_OK;

    x->code = BTI_EXIT_FAILED;
    x->out = secret_alloc(sizeof *x->out);
    TRY(x->out != NULL ? E_OK : FAIL(E_NOMEM));
    e = candidate_store(x->o, x->say, &x->store, &x->lock);
    if (e != E_OK) {
        x->code = BTI_EXIT_NO_STORE;
        goto out;
    }
    e = order_open(&x->order, x->o, x->say);
    if (e != E_OK) {
        x->code = BTI_EXIT_USAGE;
        goto out;
    }
    x->local = x->o->local;
    if (x->local.family == 0 && here_address(&x->o->gc[0], &x->local) != E_OK) {
        x->code = (enum bti_exit)say_failed(x->say, BTI_EXIT_UNREACHABLE,
                                            "there is no way to the gate controller from here");
        return FAIL(E_IO);
    }
    TRY(candidate_key(x->store, x->o, x->say, &x->local));
    TRY(candidate_root(x->store, x->o, x->say, &x->root));
out:
    return e;
}

static void clean_up(struct enroll *x)
{
    if (x->loop != NULL) {
        loop_timer_stop(x->loop, &x->timer);
        loop_timer_stop(x->loop, &x->prompt);
        typist_stop(&x->typist);
        order_free(&x->order);
        control_free(x->control);
        if (x->ua != NULL) {
            sip_ua_free(x->ua);
        }
        if (x->transport != NULL) {
            sip_transport_free(x->transport);
        }
        media_close(x->media);
        loop_signal_stop(x->on_int);
        loop_signal_stop(x->on_term);
        loop_free(x->loop);
    }
    if (audio_close(&x->audio) != E_OK) {
        say_warn(x->say, "the recording %s is not complete", x->o->record);
    }
    enrol_bti_free(x->machine);
    secret_release(x->out, sizeof *x->out);
    pki_root_free(x->root);
    store_free(x->store);
    if (x->lock >= 0) {
        close(x->lock);
    }
}

int enroll_run(struct options *o, const struct say *say)
{
    struct enroll x = {.o = o, .say = say, .lock = -1};
    enum err e = prepare(&x);

    if (e != E_OK) {
        goto out;
    }
    TRY(loop_new(clock_system(), &x.loop));
    TRY(loop_signal_start(x.loop, SIGINT, on_signal, &x, &x.on_int));
    TRY(loop_signal_start(x.loop, SIGTERM, on_signal, &x, &x.on_term));
    e = open_sip(&x);
    if (e != E_OK) {
        char text[NET_TEXT_MAX];
        net_ip_text(&x.local, text);
        say_failed(say, BTI_EXIT_FAILED, "cannot use the local address %s: %s", text, err_text(e));
        goto out;
    }
    TRY(dial_611(&x));
    loop_run(x.loop);
    loop_run_once(x.loop, false); /* what was sent last still goes out */
out:
    clean_up(&x);
    wipe(o->digits, sizeof o->digits);
    return (int)x.code;
}
