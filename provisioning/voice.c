/* The 611 call: seed steps 301 (SETUP, SETUP_ACK), 306-309. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "media/session.h"
#include "provisioning/prov.h"
#include "signaling/sdp.h"
#include "signaling/sip_uri.h"

enum { SDP_MAX = 2048, AFTER_PROMPT_MS = 300, SLACK_MS = 10000 };

struct voice {
    struct prov *prov;
    struct voice *next;
    struct sip_call *call; /* NULL: ended */
    struct conn *conn;     /* NULL: not yet, or no more */
    char call_id[ENROL_TEXT_BYTES];
    struct net_addr source; /* the BTI's address as the gate controller saw it */
    struct net_addr audio;  /* as its SDP says */
    struct media *media;
    struct player player;
    struct loop_timer timer;
    bool attached, secured, answered, ending, dead;
    bool too_long;
    struct tapped_call tapped;
    unsigned status;    /* of the final response */
    const char *end_by; /* NULL: us */
    size_t n_digits;
    char digits[ORDER_DIGITS_MAX];
    size_t sdp_n;
    char sdp[SDP_MAX];
};

/* ---- ending ------------------------------------------------------------------------------------
 */
static void bury(struct voice *v)
{
    const struct media_stats *s = NULL;

    if (v->dead) {
        return;
    }
    v->dead = true;
    tapped_end(v->prov, &v->tapped, v->status, v->end_by != NULL ? v->end_by : "server");
    loop_timer_stop(v->prov->loop, &v->timer);
    if (v->media != NULL) {
        media_stop(v->media);
        s = media_stats(v->media);
        prov_count(v->prov, PM_SRTP_BAD, (int64_t)(s->bad_auth + s->bad_replay));
        prov_count(v->prov, PM_RTP_SOURCE, (int64_t)s->bad_source);
    }
    wipe(v->digits, sizeof v->digits);
    prov_count(v->prov, PM_CALLS, -1);
    prov_reap_soon(v->prov);
}

static void hang_up(struct voice *v)
{
    struct sip_call *call = v->call;

    v->call = NULL;
    if (call != NULL) {
        sip_call_set_data(call, NULL);
        sip_call_hangup(call, NULL);
    }
    bury(v);
}

/* The peer ended the call: an enrolment that still needs it has lost its user. */
static void lost(struct voice *v)
{
    struct conn *c = v->conn;

    v->call = NULL;
    v->conn = NULL;
    v->end_by = "caller";
    bury(v);
    if (c != NULL) {
        c->voice = NULL;
        if (!c->accepted) {
            enrolment_refuse(c, CODE_CALL, PM_GIVEN_UP);
        }
    }
}

static void on_timer(void *arg)
{
    struct voice *v = arg;
    struct conn *c = v->conn;

    if (c != NULL && !v->ending) {
        enrolment_refuse(c, CODE_TIMEOUT, PM_GIVEN_UP);
    }
    hang_up(v);
}

static void deadline(struct voice *v, uint64_t ms)
{
    if (!v->dead && loop_timer_start(v->prov->loop, &v->timer, ms, on_timer, v) != E_OK) {
        hang_up(v);
    }
}

void voice_reap(struct prov *p)
{
    struct voice **at = &p->voices;

    while (*at != NULL) {
        struct voice *v = *at;
        if (v->dead) {
            *at = v->next;
            media_close(v->media);
            wipe(v, sizeof *v);
            mem_free(v);
        } else {
            at = &v->next;
        }
    }
}

void voice_end(struct voice *v, bool after_prompts)
{
    if (v->dead) {
        return;
    }
    v->ending = true;
    if (!after_prompts || !v->answered) {
        hang_up(v);
    } else if (v->player.n == 0) {
        deadline(v, AFTER_PROMPT_MS);
    } else {
        deadline(v, v->prov->set.control_step_ms + SLACK_MS); /* the prompts end it before */
    }
}

void voice_say(struct voice *v, enum prompt which)
{
    if (!v->dead && v->answered) {
        player_add(&v->player, which);
    }
}

/* ---- voice and digits --------------------------------------------------------------------------
 */
static bool play(void *arg, int16_t pcm[RTP_FRAME])
{
    struct voice *v = arg;
    bool more = player_fill(&v->player, &v->prov->prompts, pcm);

    if (more && v->player.n == 0 && v->ending) {
        deadline(v, AFTER_PROMPT_MS);
    }
    return more;
}

static void clear_digits(struct voice *v)
{
    wipe(v->digits, sizeof v->digits);
    v->n_digits = 0;
    v->too_long = false;
}

static void submit(struct voice *v)
{
    char digits[ORDER_DIGITS_MAX];
    size_t n = v->n_digits;
    bool usable = n > 0 && !v->too_long && v->conn != NULL;

    memcpy(digits, v->digits, sizeof digits);
    clear_digits(v);
    if (usable) {
        enrolment_digits(v->conn, view_from(digits, n));
    } else if (v->conn != NULL && n > 0) {
        /* Longer than any number that was ever given out: counts as a wrong one. */
        enrolment_digits(v->conn, VIEW("too long"));
    }
    wipe(digits, sizeof digits);
}

static void on_digit(void *arg, char digit)
{
    struct voice *v = arg;

    if (v->dead || v->ending) {
        return;
    }
    player_clear(&v->player); /* whoever types has heard enough */
    if (digit == '*') {
        clear_digits(v);
    } else if (digit == '#') {
        submit(v);
    } else if (is_digit((unsigned char)digit)) {
        if (v->n_digits < sizeof v->digits) {
            v->digits[v->n_digits++] = digit;
        } else {
            v->too_long = true;
        }
    }
}

/* ---- SETUP, SETUP_ACK --------------------------------------------------------------------------
 */
/* The Via under the gate controller's own: into that one it wrote where the request really came
 * from. What stands further down is the sender's word. */
static struct view via_below_top(const struct sip_msg *m)
{
    struct view one = {0}, last = {0};
    const struct sip_hdr *h = NULL;
    unsigned n = 0;

    for (unsigned i = 0; (h = sip_header(m, SIP_H_VIA, i)) != NULL;
         i = sip_header_index(m, h) + 1) {
        struct sip_list l = sip_list_over(h->value);
        while (n < 2 && sip_list_next(&l, &one)) {
            last = one;
            n++;
        }
    }
    return last;
}

static enum err bti_source(const struct sip_msg *m, struct net_addr *out)
{
    struct view via = via_below_top(m), value = {0};
    struct net_addr a;
    size_t at = 0;
    enum err e = E_OK;

    if (view_find(via, ';', &at) &&
        sip_param(view_sub(via, at + 1, via.n), VIEW("received"), &value) && value.n > 0) {
        return net_parse_ip(value, out);
    }
    via = view_sub(via, 0, view_find(via, ';', &at) ? at : via.n);
    if (!view_find(via, ' ', &at)) {
        return FAIL(E_PARSE);
    }
    TRY(net_parse(view_trim(view_sub(via, at, via.n)), 5060, &a)); /* sent-by is an address */
    *out = a;
out:
    return e;
}

static void put_address(struct sip_text *t, const struct net_addr *a)
{
    char ip[NET_TEXT_MAX];

    net_ip_text(a, ip);
    sip_text_add(t, "c=IN IP%u %s\r\n", (unsigned)a->family, ip);
}

static void put_audio(struct sip_text *t, const struct sdp_media *offered,
                      const struct net_addr *rtp)
{
    unsigned event = offered->event_format >= 0 ? (unsigned)offered->event_format : 0;

    sip_text_add(t, "m=audio %u RTP/SAVP 0", (unsigned)rtp->port);
    if (event != 0) {
        sip_text_add(t, " %u", event);
    }
    sip_text_add(t, "\r\n");
    put_address(t, rtp);
    sip_text_add(t, "a=rtpmap:0 PCMU/8000\r\n");
    if (event != 0) {
        sip_text_add(t, "a=rtpmap:%u telephone-event/8000\r\na=fmtp:%u 0-15\r\n", event, event);
    }
    sip_text_add(t, "a=ptime:20\r\na=sendrecv\r\n");
}

static void put_refused(struct sip_text *t, const struct sdp_media *m)
{
    sip_text_add(t, "m=%.*s 0 %.*s", (int)m->kind.n, m->kind.p, (int)m->proto.n, m->proto.p);
    for (unsigned i = 0; i < m->n_formats; i++) {
        sip_text_add(t, " %.*s", (int)m->format[i].n, m->format[i].p);
    }
    sip_text_add(t, "\r\n");
}

static void put_control(struct sip_text *t, const struct sdp_media *m, const struct net_addr *a)
{
    sip_text_add(t, "m=%.*s %u TCP", (int)m->kind.n, m->kind.p, (unsigned)a->port);
    for (unsigned i = 0; i < m->n_formats; i++) {
        sip_text_add(t, " %.*s", (int)m->format[i].n, m->format[i].p);
    }
    sip_text_add(t, "\r\n");
    put_address(t, a);
    sip_text_add(t, "a=setup:passive\r\na=connection:new\r\n");
}

static bool is_audio(const struct sdp_media *m)
{
    bool pcmu = false;

    for (unsigned i = 0; i < m->n_formats; i++) {
        pcmu = pcmu || view_eq(m->format[i], VIEW("0"));
    }
    return view_eq(m->kind, VIEW("audio")) && view_eq(m->proto, VIEW("RTP/SAVP")) && m->port != 0 &&
           pcmu;
}

static bool is_control(const struct sdp_media *m)
{
    return view_eq(m->kind, VIEW("application")) && view_eq(m->proto, VIEW("TCP")) && m->port != 0;
}

/* RFC 3264 section 6: the same media lines in the same order. E_NOTFOUND: the voice or the control
 * channel is not offered. */
static enum err write_answer(struct voice *v, const struct sdp *offer)
{
    struct sip_text t = {.p = v->sdp, .max = sizeof v->sdp};
    struct net_addr rtp = media_local(v->media);
    bool audio = false, control = false;
    uint64_t id = loop_wall_us(v->prov->loop);
    char ip[NET_TEXT_MAX];

    net_ip_text(&rtp, ip);
    sip_text_add(&t, "v=0\r\no=headgate-prov %llu 1 IN IP%u %s\r\ns=-\r\n", (unsigned long long)id,
                 (unsigned)rtp.family, ip);
    put_address(&t, &rtp);
    sip_text_add(&t, "t=0 0\r\n");
    for (unsigned i = 0; i < offer->n_media; i++) {
        const struct sdp_media *m = &offer->media[i];
        if (!audio && is_audio(m)) {
            audio = true;
            put_audio(&t, m, &rtp);
            v->audio = m->address;
            media_set_event_type(v->media, m->event_format > 0 ? (uint8_t)m->event_format : 127);
        } else if (!control && is_control(m)) {
            control = true;
            put_control(&t, m, &v->prov->control_address);
        } else {
            put_refused(&t, m);
        }
    }
    if (!audio || !control) {
        return FAIL(E_NOTFOUND);
    }
    v->sdp_n = t.n;
    return t.bad ? FAIL(E_RANGE) : E_OK;
}

static enum err open_media(struct voice *v)
{
    const struct prov *p = v->prov;
    struct media_cfg cfg = {.local = p->rtp_address,
                            .port_min = (uint16_t)p->set.rtp_port_min,
                            .port_max = (uint16_t)p->set.rtp_port_max,
                            .inband = true,
                            .source = play,
                            .digit = on_digit,
                            .arg = v};

    return media_open(p->loop, &cfg, &v->media);
}

static enum err set_up(struct voice *v, const struct sip_msg *m)
{
    struct sdp *offer = mem_zalloc(sizeof *offer);
    const char *why = "";
    enum err e = offer != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    TRY(view_to_cstr(sip_call_id(v->call), v->call_id, sizeof v->call_id));
    TRY(bti_source(m, &v->source));
    TRY(sdp_parse(m->body, offer, &why));
    TRY(open_media(v));
    TRY(write_answer(v, offer));
    if (!net_ip_eq(&v->source, &v->audio)) {
        e = FAIL(E_DENIED);
    }
out:
    mem_free(offer);
    return e;
}

static unsigned status_of(enum err e)
{
    switch ((int)e) {
    case E_DENIED:
        return 403;
    case E_NOTFOUND:
        return 488;
    case E_PARSE:
    case E_RANGE:
        return 400;
    default:
        return 503;
    }
}

/* retry_after_s 0: nothing is said of it. */
static void reject(struct voice *v, unsigned status, uint64_t retry_after_s)
{
    struct sip_call *call = v->call;

    v->call = NULL;
    v->status = status;
    sip_call_set_data(call, NULL);
    IGNORE(sip_call_reject_for(call, status, retry_after_s), "the caller's own timer ends it");
    bury(v);
}

/* How long its source is still locked; 0: it is not. */
static uint64_t locked_s(struct voice *v)
{
    struct prov *p = v->prov;

    return (lockout_left(p->lockout, lockout_source(&v->source), loop_now_ms(p->loop)) + 999) /
           1000;
}

static void incoming(struct prov *p, struct sip_call *call, const struct sip_msg *m)
{
    struct voice *v = mem_zalloc(sizeof *v);
    struct net_addr local;
    char ip[NET_TEXT_MAX];
    enum err e = E_OK;

    if (v == NULL || !prov_ready(p)) {
        mem_free(v);
        prov_count(p, PM_UNAVAILABLE, 1);
        IGNORE(sip_call_reject(call, 503), "the caller's own timer ends it");
        return;
    }
    *v = (struct voice){.prov = p, .call = call, .next = p->voices};
    p->voices = v;
    prov_count(p, PM_CALLS, 1);
    sip_call_set_data(call, v);
    e = set_up(v, m);
    local = sip_call_local(call);
    tapped_begin(p, m, &v->source, &local, &v->tapped);
    net_ip_text(&v->source, ip);
    LOG(LV_INFO, "enrol.setup", KV("call_id", sip_call_id(call)), KV("source", (const char *)ip),
        KV_ERR(e));
    if (e != E_OK) {
        prov_count(p, e == E_DENIED ? PM_ADDRESS : PM_REFUSED, 1);
        reject(v, status_of(e), 0);
    } else if (locked_s(v) > 0) {
        prov_count(p, PM_LOCKED, 1);
        reject(v, 480, locked_s(v));
    } else if (sip_call_progress(call, 183, view_from(v->sdp, v->sdp_n)) != E_OK) {
        reject(v, 500, 0);
    } else {
        deadline(v, 2 * p->set.control_step_ms);
    }
}

static void answered(struct voice *v)
{
    if (v->answered || !v->secured) {
        return;
    }
    v->answered = true;
    if (media_start(v->media) != E_OK) {
        hang_up(v);
        return;
    }
    player_add(&v->player, PROMPT_ENTER);
}

void voice_on_call(void *arg, struct sip_call *call, enum sip_call_event ev, unsigned status,
                   const struct sip_msg *m)
{
    struct voice *v = sip_call_data(call);

    (void)status;
    if (ev == SIP_CALL_INCOMING) {
        incoming(arg, call, m);
    } else if (v == NULL || v->dead) {
        return;
    } else if (ev == SIP_CALL_ANSWERED) {
        answered(v);
    } else if (ev == SIP_CALL_CANCELLED || ev == SIP_CALL_ENDED || ev == SIP_CALL_REJECTED) {
        lost(v);
    }
}

struct voice *voice_next(const struct voice *v)
{
    return v->next;
}

/* ---- for the control channel -------------------------------------------------------------------
 */
struct voice *voice_of(struct prov *p, struct view call_id)
{
    for (struct voice *v = p->voices; v != NULL; v = v->next) {
        if (!v->dead && view_eq(view_of(v->call_id), call_id)) {
            return v;
        }
    }
    return NULL;
}

struct voice *voice_find(struct prov *p, const char *call_id)
{
    return voice_of(p, view_of(call_id));
}

const struct tapped_call *voice_tapped(const struct voice *v)
{
    return &v->tapped;
}

enum err voice_attach(struct voice *v, struct conn *c)
{
    if (!net_ip_eq(&v->source, &c->peer)) {
        return FAIL(E_DENIED);
    }
    if (v->attached) {
        return FAIL(E_EXISTS);
    }
    v->attached = true;
    v->conn = c;
    return E_OK;
}

void voice_detach(struct voice *v)
{
    v->conn = NULL;
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

enum err voice_secure(struct voice *v, const struct audio_keys *k)
{
    struct secret send = {.n = 0}, receive = {.n = 0};
    enum err e = E_OK;

    TRY(join(&k->down_key, &k->down_salt, &send));
    TRY(join(&k->up_key, &k->up_salt, &receive));
    TRY(media_secure(v->media, SRTP_AEAD_AES_256_GCM, &send, &receive));
    media_set_remote(v->media, &v->audio);
    v->secured = true;
    v->status = 200;
    TRY(sip_call_answer(v->call, view_from(v->sdp, v->sdp_n)));
    deadline(v, v->prov->set.control_voice_ms + SLACK_MS);
out:
    secret_wipe(&send);
    secret_wipe(&receive);
    return e;
}
