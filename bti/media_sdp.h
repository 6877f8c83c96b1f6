/* bti/media_sdp.h - the SDP of one voice call: writing offers and answers, reading the other's
 * (RFC 3264, RFC 4568). Keys of a=crypto are base64 (RFC 4648 section 4). Pure but for randomness.
 */
#ifndef BTI_MEDIA_SDP_H
#define BTI_MEDIA_SDP_H

#include "media/srtp.h"
#include "signaling/sdp.h"

#define MEDIA_SDP_MAX 2048
#define MEDIA_SUITES  2

struct media_offer { /* what we offered, or answer with */
    struct net_addr rtp;
    uint64_t id, version;
    unsigned event_type;
    bool secure;                     /* RTP/SAVP with keys */
    struct secret key[MEDIA_SUITES]; /* ours, for each suite offered */
};
struct media_choice { /* what was agreed */
    struct net_addr remote;
    int event_type; /* -1: no telephone events */
    bool secure, may_send;
    enum srtp_suite suite;
    uint32_t tag;
    struct secret send, receive; /* wipe */
};

MUST_CHECK enum err media_offer_keys(struct media_offer *o);
/* SDP text; E_RANGE. */
MUST_CHECK enum err media_offer_write(const struct media_offer *o, char *dst, size_t max,
                                      size_t *out_n);
/* The answer to what we offered. E_PARSE: no SDP; E_NOTFOUND: no voice in common; E_DENIED: not the
 * security that was offered. */
MUST_CHECK enum err media_answer_read(const struct media_offer *o, struct view sdp,
                                      struct media_choice *out);
/* An offer of the other side, and our answer. allow_keys: this transport may carry media keys.
 * E_NOTFOUND: nothing that we can do (488). o->rtp, id and version are given; o->key gets ours. */
MUST_CHECK enum err media_offer_answer(struct media_offer *o, struct view sdp, bool allow_keys,
                                       struct media_choice *out, char *dst, size_t max,
                                       size_t *out_n);
/* Only where to and whether: for a later offer in the dialog. */
MUST_CHECK enum err media_modified(struct view sdp, struct net_addr *out_remote,
                                   bool *out_may_send);
void media_choice_wipe(struct media_choice *c);

#endif
