/* media/session.h - one voice stream pair (RTP or SRTP, PCMU + telephone-event) on a UDP socket.
 *
 * Time       each 20 ms one frame of 160 samples is asked from `source` and sent (a telephone event
 *            under way takes its place). Received frames go to `sink` in the order of arrival.
 * Sources    packets from an IP address other than the remote's are counted and dropped. The port
 *            is learned from the first packet that verifies (plain RTP: parses): symmetric RTP, RFC
 *            4961; after that it is fixed until media_set_remote().
 * Digits     RFC 4733 events; in-band tones too when .inband, until the first event comes, so that
 *            a peer that sends both is heard once.
 * Ownership  callbacks may call anything here but media_close() from `source`, `sink`, `digit`.
 * Threads    the loop's. */
#ifndef MEDIA_SESSION_H
#define MEDIA_SESSION_H

#include "base/loop.h"
#include "base/net.h"
#include "media/rtp.h"
#include "media/srtp.h"

struct media;

struct media_cfg {
    struct net_addr local;       /* address to bind; its port when port_min is 0 (0 = any) */
    uint16_t port_min, port_max; /* 0: no range. Even ports only; E_FULL when none is free */
    uint8_t event_type;          /* telephone-event payload type; 0: RTP_EVENT */
    bool inband;                 /* also detect tones in the received voice */
    /* Fills 160 samples; false: nothing to play (silence is sent). NULL: silence. */
    bool (*source)(void *arg, int16_t pcm[RTP_FRAME]);
    void (*sink)(void *arg, const int16_t *pcm, size_t n); /* 1..960 samples; NULL: dropped */
    void (*digit)(void *arg, char digit);                  /* NULL: not listened for */
    void *arg;
};

struct media_stats {
    uint64_t sent, received;
    uint64_t bad_source; /* another IP or, once learned, another port */
    uint64_t bad_auth;   /* SRTP did not verify */
    uint64_t bad_replay; /* SRTP packet seen before */
    uint64_t bad_format; /* no RTP, or a payload type that was not agreed */
    uint64_t send_failed;
    struct net_addr from; /* where the last good packet came from; family 0 = none yet */
};

/* Binds; nothing is sent or taken until media_start(). */
MUST_CHECK enum err media_open(struct loop *l, const struct media_cfg *cfg, struct media **out);
void media_close(struct media *m);                  /* NULL is fine; wipes keys */
struct net_addr media_local(const struct media *m); /* real port; for SDP */
void media_set_remote(struct media *m, const struct net_addr *remote); /* from SDP; port 0: learn */
void media_set_event_type(struct media *m, uint8_t event_type);        /* 0: RTP_EVENT */
/* Before media_start(). key||salt per direction as srtp_way_new(). */
MUST_CHECK enum err media_secure(struct media *m, enum srtp_suite s, const struct secret *send,
                                 const struct secret *receive);
bool media_is_secure(const struct media *m);
/* E_STATE: no remote. Calling again after media_stop() goes on (hold and resume). */
MUST_CHECK enum err media_start(struct media *m);
void media_stop(struct media *m);
/* E_STATE: one is being sent; E_RANGE: no digit. hold_ms 40..5000. */
MUST_CHECK enum err media_send_digit(struct media *m, char digit, uint32_t hold_ms);
bool media_digit_busy(const struct media *m);
const struct media_stats *media_stats(const struct media *m);

#endif
