/* SDP of a voice call. */
#include "bti/media_sdp.h"

#include <inttypes.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "signaling/sip_edit.h"

/* Best first. */
static const enum srtp_suite suites[MEDIA_SUITES] = {SRTP_AEAD_AES_256_GCM,
                                                     SRTP_AES_CM_128_HMAC_SHA1_80};

enum { KEY_TEXT = 4 * ((SECRET_MAX + 2) / 3) + 1 };

static enum err key_get(struct view text, enum srtp_suite s, struct secret *out)
{
    uint8_t b[SECRET_MAX];
    size_t n = srtp_key_bytes(s);
    enum err e = base64_get(text, b, n);

    if (e == E_OK) {
        e = secret_set(out, b, n);
    }
    wipe(b, sizeof b);
    return e;
}

/* ---- writing -----------------------------------------------------------------------------------
 */
enum err media_offer_keys(struct media_offer *o)
{
    enum err e = E_OK;

    for (size_t i = 0; i < MEDIA_SUITES; i++) {
        TRY(secret_random(&o->key[i], srtp_key_bytes(suites[i])));
    }
out:
    return e;
}

static void put_crypto(struct sip_text *t, uint32_t tag, enum srtp_suite s, const struct secret *k)
{
    char text[KEY_TEXT];

    base64_put(k->b, k->n, text);
    sip_text_add(t, "a=crypto:%" PRIu32 " %s inline:%s\r\n", tag, srtp_suite_name(s), text);
    wipe(text, sizeof text);
}

static void put_session(struct sip_text *t, const struct media_offer *o)
{
    char ip[NET_TEXT_MAX];

    net_ip_text(&o->rtp, ip);
    sip_text_add(t, "v=0\r\no=bti %" PRIu64 " %" PRIu64 " IN IP%u %s\r\ns=-\r\n", o->id, o->version,
                 (unsigned)o->rtp.family, ip);
    sip_text_add(t, "c=IN IP%u %s\r\nt=0 0\r\n", (unsigned)o->rtp.family, ip);
}

static void put_voice(struct sip_text *t, const struct media_offer *o)
{
    sip_text_add(t, "m=audio %u %s 0", (unsigned)o->rtp.port, o->secure ? "RTP/SAVP" : "RTP/AVP");
    if (o->event_type != 0) {
        sip_text_add(t, " %u", o->event_type);
    }
    sip_text_add(t, "\r\na=rtpmap:0 PCMU/8000\r\n");
    if (o->event_type != 0) {
        sip_text_add(t, "a=rtpmap:%u telephone-event/8000\r\na=fmtp:%u 0-15\r\n", o->event_type,
                     o->event_type);
    }
    sip_text_add(t, "a=ptime:20\r\n");
}

enum err media_offer_write(const struct media_offer *o, char *dst, size_t max, size_t *out_n)
{
    struct sip_text t = {.p = dst, .max = max};

    put_session(&t, o);
    put_voice(&t, o);
    for (uint32_t i = 0; o->secure && i < MEDIA_SUITES; i++) {
        put_crypto(&t, i + 1, suites[i], &o->key[i]);
    }
    sip_text_add(&t, "a=sendrecv\r\n");
    *out_n = t.n;
    return t.bad ? FAIL(E_RANGE) : E_OK;
}

/* ---- reading -----------------------------------------------------------------------------------
 */
static bool has_pcmu(const struct sdp_media *m)
{
    for (unsigned i = 0; i < m->n_formats; i++) {
        if (view_eq(m->format[i], VIEW("0"))) {
            return true;
        }
    }
    return false;
}

static bool is_voice(const struct sdp_media *m)
{
    return view_eq(m->kind, VIEW("audio")) && m->port != 0 && has_pcmu(m);
}

static bool is_secure(const struct sdp_media *m)
{
    return view_eq(m->proto, VIEW("RTP/SAVP"));
}

static void choose_common(const struct sdp_media *m, struct media_choice *c)
{
    c->remote = m->address;
    c->event_type = m->event_format;
    c->may_send = m->direction == SDP_SENDRECV || m->direction == SDP_RECVONLY;
}

static enum err parse(struct view text, struct sdp **out)
{
    struct sdp *s = mem_zalloc(sizeof *s);
    const char *why = "";
    enum err e = s != NULL ? sdp_parse(text, s, &why) : FAIL(E_NOMEM);

    if (e != E_OK) {
        mem_free(s);
        return e == E_NOMEM ? e : FAIL(E_PARSE);
    }
    *out = s;
    return E_OK;
}

static enum err answered_crypto(const struct media_offer *o, const struct sdp_media *m,
                                struct media_choice *c)
{
    const struct sdp_crypto *k = &m->crypto[0];
    enum srtp_suite s = SRTP_AEAD_AES_256_GCM;
    enum err e = E_OK;

    if (m->n_crypto != 1 || k->tag == 0 || k->tag > MEDIA_SUITES ||
        srtp_suite_of(k->suite, &s) != E_OK || suites[k->tag - 1] != s) {
        return FAIL(E_DENIED);
    }
    TRY(key_get(k->key_base64, s, &c->receive));
    c->send = o->key[k->tag - 1];
    c->suite = s;
    c->tag = k->tag;
    c->secure = true;
out:
    return e;
}

enum err media_answer_read(const struct media_offer *o, struct view text, struct media_choice *out)
{
    struct media_choice c = {.event_type = -1};
    struct sdp *s = NULL;
    enum err e = parse(text, &s);

    TRY(e);
    if (s->n_media != 1 || !is_voice(&s->media[0])) { /* we offered one line */
        TRY(FAIL(E_NOTFOUND));
    }
    if (is_secure(&s->media[0]) != o->secure ||
        (!o->secure && !view_eq(s->media[0].proto, VIEW("RTP/AVP")))) {
        TRY(FAIL(E_DENIED));
    }
    choose_common(&s->media[0], &c);
    if (o->secure) {
        TRY(answered_crypto(o, &s->media[0], &c));
    }
    *out = c;
out:
    media_choice_wipe(&c);
    mem_free(s);
    return e;
}

/* The first of the other's suites that we know: it lists them by preference. */
static bool pick_crypto(const struct sdp_media *m, struct media_choice *c)
{
    for (unsigned i = 0; i < m->n_crypto; i++) {
        if (srtp_suite_of(m->crypto[i].suite, &c->suite) == E_OK &&
            key_get(m->crypto[i].key_base64, c->suite, &c->receive) == E_OK) {
            c->tag = m->crypto[i].tag;
            c->secure = true;
            return true;
        }
    }
    return false;
}

static bool pick(const struct sdp_media *m, bool allow_keys, struct media_choice *c)
{
    if (!is_voice(m)) {
        return false;
    }
    if (is_secure(m)) {
        return allow_keys && pick_crypto(m, c);
    }
    return view_eq(m->proto, VIEW("RTP/AVP"));
}

static void put_refused(struct sip_text *t, const struct sdp_media *m)
{
    sip_text_add(t, "m=");
    sip_text_view(t, m->kind);
    sip_text_add(t, " 0 ");
    sip_text_view(t, m->proto);
    for (unsigned i = 0; i < m->n_formats; i++) {
        sip_text_add(t, " ");
        sip_text_view(t, m->format[i]);
    }
    sip_text_add(t, "\r\n");
}

static void put_answer_line(struct sip_text *t, const struct media_offer *o,
                            const struct sdp_media *m, const struct media_choice *c)
{
    static const char *const direction[] = {[SDP_SENDRECV] = "sendrecv",
                                            [SDP_SENDONLY] = "recvonly",
                                            [SDP_RECVONLY] = "sendonly",
                                            [SDP_INACTIVE] = "inactive"};

    put_voice(t, o);
    if (c->secure) {
        put_crypto(t, c->tag, c->suite, &c->send);
    }
    sip_text_add(t, "a=%s\r\n", direction[m->direction]);
}

enum err media_offer_answer(struct media_offer *o, struct view text, bool allow_keys,
                            struct media_choice *out, char *dst, size_t max, size_t *out_n)
{
    struct sip_text t = {.p = dst, .max = max};
    struct media_choice c = {.event_type = -1};
    struct sdp *s = NULL;
    bool chosen = false;
    enum err e = parse(text, &s);

    TRY(e);
    put_session(&t, o);
    for (unsigned i = 0; i < s->n_media; i++) {
        const struct sdp_media *m = &s->media[i];
        if (chosen || !pick(m, allow_keys, &c)) {
            put_refused(&t, m);
            continue;
        }
        chosen = true;
        choose_common(m, &c);
        o->secure = c.secure;
        o->event_type = c.event_type > 0 ? (unsigned)c.event_type : 0;
        if (c.secure) {
            TRY(secret_random(&c.send, srtp_key_bytes(c.suite)));
        }
        put_answer_line(&t, o, m, &c);
    }
    if (!chosen || t.bad) {
        TRY(FAIL(chosen ? E_RANGE : E_NOTFOUND));
    }
    *out_n = t.n;
    *out = c;
out:
    media_choice_wipe(&c);
    mem_free(s);
    return e;
}

enum err media_modified(struct view text, struct net_addr *out_remote, bool *out_may_send)
{
    struct sdp *s = NULL;
    const struct sdp_media *m = NULL;
    enum err e = parse(text, &s);

    TRY(e);
    m = sdp_find(s, VIEW("audio"));
    if (m == NULL || m->port == 0) {
        TRY(FAIL(E_NOTFOUND));
    }
    *out_remote = m->address;
    *out_may_send = m->direction == SDP_SENDRECV || m->direction == SDP_RECVONLY;
out:
    mem_free(s);
    return e;
}

void media_choice_wipe(struct media_choice *c)
{
    secret_wipe(&c->send);
    secret_wipe(&c->receive);
}
