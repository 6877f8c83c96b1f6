/* media/rtp.h - the RTP fixed header (RFC 3550 section 5.1). Pure.
 * A CSRC list, a header extension and padding are skipped within bounds and believed in nothing. */
#ifndef MEDIA_RTP_H
#define MEDIA_RTP_H

#include "base/view.h"

#define RTP_HEAD_BYTES   12
#define RTP_PACKET_MAX   1500
#define RTP_PCMU         0   /* payload type, RFC 3551 */
#define RTP_EVENT        101 /* payload type that we offer for telephone-event */
#define RTP_FRAME        160 /* samples in 20 ms at 8 kHz */
#define RTP_SAMPLES_A_MS 8

struct rtp_header {
    bool marker;
    uint8_t type; /* 0..127 */
    uint16_t seq;
    uint32_t timestamp, ssrc;
};

void rtp_build(const struct rtp_header *h, uint8_t out[RTP_HEAD_BYTES]);
/* *out_payload points into the packet. E_PARSE: short, not version 2, lengths beyond the end. */
MUST_CHECK enum err rtp_parse(struct view packet, struct rtp_header *out, struct view *out_payload);

#endif
