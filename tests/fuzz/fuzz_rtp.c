/* Everything that reads media octets. The first octet picks: 0 RTP header and telephone event, 1
 * and 2 SRTP of either suite with a key that is always the same, 3 a sealed packet that is altered,
 * 4 a WAVE file, 5 the tone detector. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "media/dtmf.h"
#include "media/g711.h"
#include "media/rfc4733.h"
#include "media/rtp.h"
#include "media/srtp.h"
#include "media/wav.h"

static void inside(struct view v, struct view whole)
{
    BUG_ON(v.n > whole.n || v.p < whole.p || v.p + v.n > whole.p + whole.n);
}

static void rtp(struct view packet)
{
    struct rtp_header h, again;
    struct view body = {0}, rest;
    struct event_payload p;
    struct event_receiver r = {0};
    uint8_t head[RTP_HEAD_BYTES], built[EVENT_PAYLOAD_BYTES];
    char digit = 0;

    if (rtp_parse(packet, &h, &body) != E_OK) {
        return;
    }
    inside(body, packet);
    rtp_build(&h, head);
    BUG_ON(rtp_parse(view_from(head, sizeof head), &again, &rest) != E_OK || rest.n != 0);
    BUG_ON(h.seq != again.seq || h.ssrc != again.ssrc || h.type != again.type ||
           h.timestamp != again.timestamp || h.marker != again.marker);
    if (event_parse(body, &p) == E_OK) {
        event_build(&p, built);
        built[1] |= (uint8_t)body.p[1] & 0x40; /* the reserved bit is not kept */
        BUG_ON(memcmp(built, body.p, sizeof built) != 0);
        BUG_ON(!event_receive(&r, h.ssrc, h.timestamp, &p, &digit) || digit == 0);
        BUG_ON(event_of_digit(digit) != p.event);
        BUG_ON(event_receive(&r, h.ssrc, h.timestamp, &p, &digit));
    }
}

static struct srtp_way *way(enum srtp_suite s, enum srtp_use use)
{
    struct secret k = {.n = srtp_key_bytes(s)};
    struct srtp_way *w = NULL;

    memset(k.b, 7, k.n);
    BUG_ON(srtp_way_new(s, use, &k, &w) != E_OK);
    return w;
}

/* Packets behind their two octets of length; nothing verifies, but everything is read. */
static void srtp(enum srtp_suite s, struct view data)
{
    struct srtp_way *w = way(s, SRTP_RECEIVE);

    while (data.n >= 2) {
        size_t n = ((size_t)(uint8_t)data.p[0] << 8 | (uint8_t)data.p[1]) % (RTP_PACKET_MAX + 1);
        struct view p = view_sub(data, 2, n);
        uint8_t *packet =
            malloc(p.n > 0 ? p.n : 1); /* its own place, so that one too far is seen */
        BUG_ON(packet == NULL);
        memcpy(packet, p.p, p.n);
        n = p.n;
        BUG_ON(srtp_open(w, packet, &n) == E_OK || n != p.n);
        free(packet);
        data = view_sub(data, 2 + p.n, data.n);
    }
    srtp_way_free(w);
}

static void altered(struct view data)
{
    enum srtp_suite s =
        data.n > 0 && data.p[0] % 2 != 0 ? SRTP_AES_CM_128_HMAC_SHA1_80 : SRTP_AEAD_AES_256_GCM;
    struct srtp_way *tx = way(s, SRTP_SEND), *rx = way(s, SRTP_RECEIVE);
    struct rtp_header h = {.seq = 9, .ssrc = 1};
    _Alignas(4) uint8_t packet[512], was[512];
    size_t n = RTP_HEAD_BYTES + 160, at = 0, m = 0;

    rtp_build(&h, packet);
    memset(packet + RTP_HEAD_BYTES, 'v', 160);
    BUG_ON(srtp_seal(tx, packet, &n, sizeof packet) != E_OK);
    memcpy(was, packet, n);
    for (size_t i = 1; i + 1 < data.n; i += 2) {
        at = (at + (uint8_t)data.p[i]) % n;
        packet[at] ^= (uint8_t)data.p[i + 1];
    }
    bool same = memcmp(was, packet, n) == 0;
    m = n;
    BUG_ON((srtp_open(rx, packet, &m) == E_OK) != same);
    m = n;
    BUG_ON(srtp_open(rx, was, &m) != (same ? E_REPLAY : E_OK)); /* the good one is taken once */
    srtp_way_free(tx);
    srtp_way_free(rx);
}

static void wave(struct view file)
{
    struct wav w = {0};
    size_t live = mem_live();

    if (wav_parse(file, &w) == E_OK) {
        BUG_ON(w.n > WAV_MAX_SAMPLES || w.n > file.n);
        volatile int16_t last = w.n > 0 ? w.pcm[w.n - 1] : 0;
        (void)last;
        wav_free(&w);
    }
    BUG_ON(mem_live() != live);
}

static void tones(struct view u)
{
    struct dtmf_det d = {0};
    int16_t pcm[160];
    char found[4];

    while (u.n > 0) {
        size_t n = u.n < 160 ? u.n : 160;
        ulaw_decode((const uint8_t *)u.p, n, pcm);
        size_t k = dtmf_det_feed(&d, pcm, n, found, sizeof found);
        BUG_ON(k > sizeof found);
        for (size_t i = 0; i < k; i++) {
            BUG_ON(event_of_digit(found[i]) < 0);
        }
        u = view_sub(u, n, u.n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = view_from(data + 1, size > 0 ? size - 1 : 0);

    if (size == 0) {
        return 0;
    }
    switch (data[0] % 6) {
    case 0:
        rtp(rest);
        break;
    case 1:
        srtp(SRTP_AEAD_AES_256_GCM, rest);
        break;
    case 2:
        srtp(SRTP_AES_CM_128_HMAC_SHA1_80, rest);
        break;
    case 3:
        altered(rest);
        break;
    case 4:
        wave(rest);
        break;
    default:
        tones(rest);
        break;
    }
    return 0;
}
