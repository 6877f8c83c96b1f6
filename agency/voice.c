/* Calls with two sides; a side has the keys by which it speaks, and its sound so far. */
#include "agency/voice.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "media/g711.h"
#include "media/rfc4733.h"
#include "media/rtp.h"
#include "media/srtp.h"
#include "media/wav.h"
#include "signaling/sdp.h"

enum { CALLS = 1000, KEYS = 32, MARGIN_US = 2000000, LEAP = 8000, PACKET_MAX = 2048 };
enum { SAMPLES_MAX = 8000 * 3600 * 2, FRAME_MAX = 1500 };

struct key { /* a way to speak */
    struct net_addr to, from;
    struct srtp_way *way; /* NULL: unencrypted */
    struct secret secret;
    int event_type; /* -1: no digits */
    uint64_t since_us;
};

struct side {
    char *sdp; /* as it was told last */
    size_t sdp_n;
    struct key key[KEYS];
    size_t n_keys;
    int16_t *pcm;
    size_t n, room;
    bool is_placed; /* the stream that is heard: its first time stamp, and where that lies */
    uint32_t ssrc, timestamp;
    int64_t at;
    struct event_receiver events;
    size_t n_digits;
    struct voice_report report;
};

struct call {
    unsigned number;
    char case_id[26], sequence[26], content[21];
    uint64_t ended_us, first_us; /* 0: goes on; nothing heard yet */
    struct side side[VOICE_SIDES];
};

struct voice {
    struct call *call[CALLS];
    size_t n;
    uint8_t packet[PACKET_MAX] __attribute__((aligned(8)));
};

enum err voice_new(struct voice **out)
{
    struct voice *v = mem_zalloc(sizeof *v);

    if (v == NULL) {
        return FAIL(E_NOMEM);
    }
    *out = v;
    return E_OK;
}

static void key_fini(struct key *k)
{
    srtp_way_free(k->way);
    secret_wipe(&k->secret);
}

static void side_fini(struct side *s)
{
    for (size_t i = 0; i < s->n_keys; i++) {
        key_fini(&s->key[i]);
    }
    if (s->sdp != NULL) {
        wipe(s->sdp, s->sdp_n);
    }
    mem_free(s->sdp);
    mem_free(s->pcm);
}

void voice_free(struct voice *v)
{
    for (size_t i = 0; v != NULL && i < v->n; i++) {
        side_fini(&v->call[i]->side[VOICE_SUBJECT]);
        side_fini(&v->call[i]->side[VOICE_OTHER]);
        mem_free(v->call[i]);
    }
    if (v != NULL) {
        wipe(v->packet, sizeof v->packet);
    }
    mem_free(v);
}

/* ---- keys --------------------------------------------------------------------------------------
 */
static void set_text(char *dst, size_t max, struct view v)
{
    size_t n = v.n < max ? v.n : max - 1;

    memcpy(dst, v.n > 0 ? v.p : "", n);
    dst[n] = 0;
}

static bool has_key(const struct side *s, const struct key *k)
{
    for (size_t i = 0; i < s->n_keys; i++) {
        const struct key *old = &s->key[i];
        if (net_eq(&old->to, &k->to) && net_eq(&old->from, &k->from) &&
            secret_eq(&old->secret, &k->secret)) {
            return true;
        }
    }
    return false;
}

static void add_key(struct side *s, const struct key *k)
{
    if (s->n_keys == KEYS) {
        key_fini(&s->key[0]);
        memmove(&s->key[0], &s->key[1], (KEYS - 1) * sizeof s->key[0]);
        s->n_keys--;
    }
    s->key[s->n_keys++] = *k;
    s->report.keys++;
}

/* One crypto line of who speaks. What we cannot open is passed over. */
static enum err add_secret(struct side *s, struct key *k, const struct sdp_crypto *crypto)
{
    enum srtp_suite suite = SRTP_AEAD_AES_256_GCM;
    uint8_t octets[SECRET_MAX];
    enum err e = E_OK;

    if (srtp_suite_of(crypto->suite, &suite) != E_OK ||
        base64_get(crypto->key_base64, octets, srtp_key_bytes(suite)) != E_OK) {
        return E_OK;
    }
    TRY(secret_set(&k->secret, octets, srtp_key_bytes(suite)));
    if (!has_key(s, k)) {
        TRY(srtp_way_new(suite, SRTP_RECEIVE, &k->secret, &k->way));
        add_key(s, k);
        k->way = NULL;
    }
out:
    secret_wipe(&k->secret);
    wipe(octets, sizeof octets);
    return e;
}

static const struct sdp_media *voice_of(struct view text, struct sdp *s)
{
    const char *why = NULL;
    const struct sdp_media *m = NULL;

    if (sdp_parse(text, s, &why) == E_OK) {
        m = sdp_find(s, VIEW("audio"));
    }
    return m != NULL && m->port != 0 ? m : NULL;
}

/* Who speaks so, and hears there. */
static enum err add_keys(struct side *s, struct view own, struct view other, uint64_t at_us)
{
    struct sdp speaks, hears;
    const struct sdp_media *from = voice_of(own, &speaks), *to = voice_of(other, &hears);
    struct key k = {.event_type = -1, .since_us = at_us};
    enum err e = E_OK;

    if (from == NULL) {
        return E_OK;
    }
    k.from = from->address;
    k.to = to != NULL ? to->address : k.to;
    k.event_type = to != NULL && to->event_format >= 0 ? to->event_format : from->event_format;
    for (unsigned i = 0; i < from->n_crypto; i++) {
        TRY(add_secret(s, &k, &from->crypto[i]));
    }
    if (from->n_crypto == 0 && view_eq_nocase(from->proto, VIEW("RTP/AVP")) && !has_key(s, &k)) {
        add_key(s, &k);
    }
out:
    return e;
}

static enum err keep_description(struct side *s, struct view text)
{
    char *copy = text.n > 0 ? mem_zalloc(text.n) : NULL;

    if (text.n == 0) {
        return E_OK;
    }
    if (copy == NULL) {
        return FAIL(E_NOMEM);
    }
    memcpy(copy, text.p, text.n);
    if (s->sdp != NULL) {
        wipe(s->sdp, s->sdp_n);
    }
    mem_free(s->sdp);
    s->sdp = copy;
    s->sdp_n = text.n;
    return E_OK;
}

/* ---- calls -------------------------------------------------------------------------------------
 */
static struct call *find(const struct voice *v, unsigned number, struct view case_id)
{
    for (size_t i = v->n; i > 0; i--) {
        struct call *call = v->call[i - 1];
        if (call->number == number && view_eq(view_of(call->case_id), case_id)) {
            return call;
        }
    }
    return NULL;
}

static enum err take_call(struct voice *v, unsigned number, const struct cdc_message *m,
                          struct call **out)
{
    struct call *call = find(v, number, m->case_id);

    if (call == NULL) {
        if (v->n == CALLS) {
            return FAIL(E_FULL);
        }
        call = mem_zalloc(sizeof *call);
        if (call == NULL) {
            return FAIL(E_NOMEM);
        }
        call->number = number;
        set_text(call->case_id, sizeof call->case_id, m->case_id);
        set_text(call->sequence, sizeof call->sequence,
                 m->n_open > 0 ? m->open[0].sequence : m->call.sequence);
        v->call[v->n++] = call;
    }
    *out = call;
    return E_OK;
}

enum err voice_tell(struct voice *v, unsigned number, const struct cdc_message *m)
{
    struct call *call = NULL;
    struct side *subject = NULL, *other = NULL;
    enum err e = E_OK;

    if (m->kind == CDC_CCCLOSE || m->kind == CDC_RELEASE) {
        call = find(v, number, m->case_id);
        if (call != NULL) {
            call->ended_us = m->at_us;
        }
        return E_OK;
    }
    if (m->subject.n == 0 && m->associate.n == 0) {
        return E_OK;
    }
    TRY(take_call(v, number, m, &call));
    subject = &call->side[VOICE_SUBJECT];
    other = &call->side[VOICE_OTHER];
    TRY(keep_description(subject, m->subject));
    TRY(keep_description(other, m->associate));
    TRY(add_keys(subject, view_from(subject->sdp, subject->sdp_n),
                 view_from(other->sdp, other->sdp_n), m->at_us));
    TRY(add_keys(other, view_from(other->sdp, other->sdp_n),
                 view_from(subject->sdp, subject->sdp_n), m->at_us));
out:
    return e;
}

/* ---- sound -------------------------------------------------------------------------------------
 */
static enum err make_room(struct side *s, size_t n)
{
    size_t room = s->room != 0 ? s->room : 8192;
    int16_t *pcm = NULL;

    while (room < n) {
        room *= 2;
    }
    if (room == s->room) {
        return E_OK;
    }
    pcm = mem_resize(s->pcm, room * sizeof *pcm);
    if (pcm == NULL) {
        return FAIL(E_NOMEM);
    }
    memset(pcm + s->room, 0, (room - s->room) * sizeof *pcm);
    s->pcm = pcm;
    s->room = room;
    return E_OK;
}

/* Where this frame lies: by the stream's own clock, unless that leaps. */
static int64_t place_of(struct call *call, struct side *s, const struct rtp_header *h,
                        uint64_t at_us)
{
    int64_t by_capture = 0, by_stream = 0;

    if (call->first_us == 0) {
        call->first_us = at_us;
    }
    by_capture = ((int64_t)at_us - (int64_t)call->first_us) * 8 / 1000;
    if (s->is_placed && s->ssrc == h->ssrc) {
        by_stream = s->at + (int32_t)(h->timestamp - s->timestamp);
        if (by_stream - by_capture <= LEAP && by_capture - by_stream <= LEAP) {
            return by_stream;
        }
    }
    s->is_placed = true;
    s->ssrc = h->ssrc;
    s->timestamp = h->timestamp;
    s->at = by_capture;
    return by_capture;
}

static enum err add_frame(struct call *call, struct side *s, const struct rtp_header *h,
                          struct view payload, uint64_t at_us)
{
    int64_t at = place_of(call, s, h, at_us);
    enum err e = E_OK;

    if (at < 0 || payload.n > FRAME_MAX || at > SAMPLES_MAX - (int64_t)payload.n) {
        s->report.cut++;
        return E_OK;
    }
    TRY(make_room(s, (size_t)at + payload.n));
    ulaw_decode((const uint8_t *)payload.p, payload.n, s->pcm + at);
    if ((size_t)at + payload.n > s->n) {
        s->n = (size_t)at + payload.n;
    }
out:
    return e;
}

static void add_digit(struct side *s, const struct rtp_header *h, struct view payload)
{
    struct event_payload event;
    char digit = 0;

    if (event_parse(payload, &event) == E_OK &&
        event_receive(&s->events, h->ssrc, h->timestamp, &event, &digit) &&
        s->n_digits < VOICE_DIGITS - 1) {
        s->report.digits[s->n_digits++] = digit;
    }
}

/* *n octets at packet are plain RTP of that side now. */
static enum err take_rtp(struct call *call, struct side *s, const struct key *k,
                         const struct capture_datagram *d, struct view packet)
{
    struct rtp_header h;
    struct view payload;
    enum err e = E_OK;

    if (rtp_parse(packet, &h, &payload) != E_OK) {
        return E_OK;
    }
    if (h.type == RTP_PCMU) {
        TRY(add_frame(call, s, &h, payload, d->at_us));
    } else if ((int)h.type == k->event_type) {
        add_digit(s, &h, payload);
    } else {
        s->report.no_pcmu++;
        return E_OK;
    }
    s->report.packets++;
out:
    return e;
}

/* ---- packets -----------------------------------------------------------------------------------
 */
static bool goes_by(const struct key *k, const struct capture_datagram *d)
{
    return net_eq(&k->to, &d->to) || net_eq(&k->from, &d->from);
}

static bool is_its_time(const struct call *call, const struct key *k, uint64_t at_us)
{
    return at_us + MARGIN_US >= k->since_us &&
           (call->ended_us == 0 || at_us <= call->ended_us + MARGIN_US);
}

/* RTCP beside RTP on one port (RFC 5761 section 4). */
static bool is_rtcp(struct view v)
{
    return v.n >= 2 && (uint8_t)v.p[1] >= 192 && (uint8_t)v.p[1] <= 223;
}

/* *used: it was of this side. The newest key first. */
static enum err try_side(struct voice *v, struct call *call, struct side *s,
                         const struct capture_datagram *d, bool *used)
{
    enum err last = E_OK;

    for (size_t i = s->n_keys; i > 0; i--) {
        struct key *k = &s->key[i - 1];
        size_t n = d->payload.n;
        if (!goes_by(k, d) || (k->way == NULL && !is_its_time(call, k, d->at_us))) {
            continue;
        }
        memcpy(v->packet, d->payload.p, n);
        last = k->way != NULL ? srtp_open(k->way, v->packet, &n) : E_OK;
        if (last == E_OK) {
            *used = true;
            return take_rtp(call, s, k, d, view_from(v->packet, n));
        }
        if (last == E_REPLAY) {
            break;
        }
    }
    s->report.not_opened += last == E_AUTH;
    s->report.again += last == E_REPLAY;
    *used = last == E_REPLAY;
    return last == E_NOMEM ? last : E_OK;
}

enum err voice_hear(struct voice *v, const struct capture_datagram *d)
{
    enum err e = E_OK;

    if (d->payload.n < RTP_HEAD_BYTES || d->payload.n > PACKET_MAX || is_rtcp(d->payload)) {
        return E_OK;
    }
    for (size_t i = 0; i < v->n; i++) {
        bool used = false;
        for (size_t k = 0; k < VOICE_SIDES && !used; k++) {
            TRY(try_side(v, v->call[i], &v->call[i]->side[k], d, &used));
        }
    }
out:
    return e;
}

/* ---- files -------------------------------------------------------------------------------------
 */
/* A case id is whatever the officers wrote: letters, digits, '-' and '_' alone go into a name. */
static void name_part(const struct voice_report *r, unsigned part, char out[VOICE_NAME])
{
    static const char *const sides[] = {[VOICE_SUBJECT] = "subject", [VOICE_OTHER] = "other"};
    size_t n = (size_t)snprintf(out, VOICE_NAME, "call-%u-", r->call);

    for (const char *p = r->case_id; *p != 0; p++) {
        bool plain = (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= 'a' && *p <= 'z') || *p == '-' || *p == '_';
        out[n++] = plain ? *p : '_';
    }
    n += (size_t)snprintf(out + n, VOICE_NAME - n, "-%s", sides[r->side]);
    if (part > 1) {
        n += (size_t)snprintf(out + n, VOICE_NAME - n, "-%u", part);
    }
    snprintf(out + n, VOICE_NAME - n, ".wav");
}

static enum err write_part(const char *folder, const char *name, const int16_t *pcm, size_t n)
{
    char path[1024];
    struct wav_out w;
    enum err e = E_OK;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
        return FAIL(E_RANGE);
    }
    TRY(wav_begin(path, &w));
    e = wav_add(&w, pcm, n);
    if (wav_end(&w) != E_OK && e == E_OK) {
        e = FAIL(E_IO);
    }
out:
    return e;
}

static enum err write_side(const char *folder, struct side *s)
{
    char name[VOICE_NAME];
    enum err e = E_OK;

    for (size_t at = 0; at < s->n && e == E_OK; at += WAV_MAX_SAMPLES) {
        size_t n = s->n - at < WAV_MAX_SAMPLES ? s->n - at : WAV_MAX_SAMPLES;
        name_part(&s->report, s->report.files + 1, name);
        e = write_part(folder, name, s->pcm + at, n);
        if (e == E_OK && s->report.files++ == 0) {
            memcpy(s->report.file, name, sizeof name);
        }
    }
    return e;
}

enum err voice_write(struct voice *v, const char *folder,
                     void (*said)(void *arg, const struct voice_report *r), void *arg)
{
    enum err e = E_OK;

    for (size_t i = 0; i < v->n; i++) {
        struct call *call = v->call[i];
        for (unsigned k = 0; k < VOICE_SIDES; k++) {
            struct side *s = &call->side[k];
            enum err one = E_OK;
            s->report.call = call->number;
            s->report.side = (enum voice_side)k;
            s->report.samples = s->n;
            memcpy(s->report.case_id, call->case_id, sizeof call->case_id);
            memcpy(s->report.sequence, call->sequence, sizeof call->sequence);
            one = write_side(folder, s);
            e = e == E_OK ? one : e;
            said(arg, &s->report);
        }
    }
    return e;
}
