#include "media/rtp.h"

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

void rtp_build(const struct rtp_header *h, uint8_t out[RTP_HEAD_BYTES])
{
    out[0] = 0x80; /* version 2, no padding, no extension, no CSRC */
    out[1] = (uint8_t)((h->marker ? 0x80 : 0) | (h->type & 0x7f));
    out[2] = (uint8_t)(h->seq >> 8);
    out[3] = (uint8_t)h->seq;
    put32(out + 4, h->timestamp);
    put32(out + 8, h->ssrc);
}

/* Where the payload begins, behind CSRC list and header extension; 0: beyond the end. */
static size_t payload_start(const uint8_t *p, size_t n)
{
    size_t at = RTP_HEAD_BYTES + 4 * (size_t)(p[0] & 0x0f);

    if ((p[0] & 0x10) != 0) {
        if (at + 4 > n) {
            return 0;
        }
        at += 4 + 4 * ((size_t)p[at + 2] << 8 | p[at + 3]);
    }
    return at <= n ? at : 0;
}

enum err rtp_parse(struct view packet, struct rtp_header *out, struct view *out_payload)
{
    const uint8_t *p = (const uint8_t *)packet.p;
    size_t at = 0, padding = 0;

    if (packet.n < RTP_HEAD_BYTES || (p[0] & 0xc0) != 0x80) {
        return FAIL(E_PARSE);
    }
    at = payload_start(p, packet.n);
    if (at == 0) {
        return FAIL(E_PARSE);
    }
    if ((p[0] & 0x20) != 0) {
        padding = p[packet.n - 1];
        if (padding == 0 || padding > packet.n - at) {
            return FAIL(E_PARSE);
        }
    }
    *out = (struct rtp_header){.marker = (p[1] & 0x80) != 0,
                               .type = p[1] & 0x7f,
                               .seq = (uint16_t)(p[2] << 8 | p[3]),
                               .timestamp = get32(p + 4),
                               .ssrc = get32(p + 8)};
    *out_payload = view_from(p + at, packet.n - at - padding);
    return E_OK;
}
