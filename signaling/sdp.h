/* signaling/sdp.h - SDP (RFC 8866) by our own bounded reader; RFC 4568 a=crypto; RFC 4145 a=setup.
 * Limits: 4 KiB, 8 media, 16 formats a media, 8 crypto lines. Views point into the text. Pure. */
#ifndef SIGNALING_SDP_H
#define SIGNALING_SDP_H

#include "base/net.h"
#include "base/view.h"

#define SDP_MAX_MEDIA   8
#define SDP_MAX_FORMATS 16
#define SDP_MAX_CRYPTO  8
#define SDP_MAX_BYTES   4096

struct sdp_crypto { /* RFC 4568 section 9.1 */
    uint32_t tag;
    struct view suite;      /* "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM" (RFC 7714) */
    struct view key_base64; /* after "inline:", before any '|' */
};

struct sdp_media {
    struct view kind;  /* "audio", "application" */
    uint16_t port;     /* 0: refused */
    struct view proto; /* "RTP/AVP", "RTP/SAVP", "TCP" */
    unsigned n_formats;
    struct view format[SDP_MAX_FORMATS];
    struct net_addr address; /* c= of the media, else of the session, with the port */
    enum { SDP_SENDRECV, SDP_SENDONLY, SDP_RECVONLY, SDP_INACTIVE } direction;
    int event_format; /* payload type of telephone-event/8000, -1 none */
    unsigned n_crypto;
    struct sdp_crypto crypto[SDP_MAX_CRYPTO];
    struct view setup;      /* "active", "passive", "actpass"; empty when absent */
    struct view connection; /* "new", "existing" */
};

struct sdp {
    struct view origin_username;
    uint64_t session_id, session_version;
    unsigned n_media;
    struct sdp_media media[SDP_MAX_MEDIA];
};

/* why: literal naming the line. */
MUST_CHECK enum err sdp_parse(struct view text, struct sdp *out, const char **why);
const struct sdp_media *sdp_find(const struct sdp *s, struct view kind);

#endif
