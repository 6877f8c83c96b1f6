#include "media/session.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "media/dtmf.h"
#include "media/g711.h"
#include "media/rfc4733.h"

enum {
    FRAME_MS = 20,
    RX_BURST = 32,
    PCM_MAX = 960,
    INBAND_MAX = 8,
    LATE_MAX_MS = 5 * FRAME_MS,
    QUEUED_MAX = 4096
};

struct media {
    struct loop *loop;
    struct media_cfg cfg;
    struct media_stats stats;
    int fd;
    struct net_addr local, remote;
    bool learned, running;
    struct loop_io *io;
    struct loop_timer tick;
    uint64_t next_ms;
    struct srtp_way *send, *receive; /* NULL: plain RTP */
    struct rtp_header head;          /* of the next packet */
    struct event_sender event;
    struct event_receiver heard;
    struct dtmf_det tones;
};

/* ---- sending ----------------------------------------------------------------------------------
 */
static void send_packet(struct media *m, const struct rtp_header *h, const uint8_t *body, size_t n)
{
    _Alignas(4) uint8_t packet[RTP_HEAD_BYTES + RTP_FRAME + SRTP_TRAILER_MAX];
    struct sockaddr_storage to;
    socklen_t to_bytes = net_to_sockaddr(&m->remote, &to);
    size_t bytes = RTP_HEAD_BYTES + n;

    rtp_build(h, packet);
    memcpy(packet + RTP_HEAD_BYTES, body, n);
    m->head.seq++;
    if (m->remote.port == 0) {
        return; /* not learned yet: time goes on */
    }
    if ((m->send != NULL && srtp_seal(m->send, packet, &bytes, sizeof packet) != E_OK) ||
        sendto(m->fd, packet, bytes, MSG_NOSIGNAL, (struct sockaddr *)&to, to_bytes) < 0) {
        m->stats.send_failed++;
        return;
    }
    m->stats.sent++;
}

static void send_event(struct media *m)
{
    uint8_t body[EVENT_PAYLOAD_BYTES];
    struct event_payload p;
    struct rtp_header h = m->head;

    if (event_tick(&m->event, &p, &h.marker)) {
        event_build(&p, body);
        h.type = m->cfg.event_type;
        h.timestamp = m->event.timestamp;
        send_packet(m, &h, body, sizeof body);
        wipe(body, sizeof body);
    }
}

static void send_voice(struct media *m)
{
    int16_t pcm[RTP_FRAME];
    uint8_t body[RTP_FRAME];

    if (m->cfg.source != NULL && m->cfg.source(m->cfg.arg, pcm)) {
        ulaw_encode(pcm, RTP_FRAME, body);
    } else {
        memset(body, ULAW_SILENCE, sizeof body);
    }
    send_packet(m, &m->head, body, sizeof body);
    m->head.marker = false;
}

static void send_frame(struct media *m)
{
    if (m->event.active) {
        send_event(m);
    } else {
        send_voice(m);
    }
    m->head.timestamp += RTP_FRAME;
}

static void on_tick(void *arg)
{
    struct media *m = arg;
    uint64_t now = loop_now_ms(m->loop);

    if (now > m->next_ms + LATE_MAX_MS) {
        m->next_ms = now; /* the process was stopped: no burst to catch up */
    }
    while (m->running && m->next_ms <= now) {
        m->next_ms += FRAME_MS;
        send_frame(m);
    }
    if (m->running && loop_timer_start(m->loop, &m->tick, m->next_ms - now, on_tick, m) != E_OK) {
        m->running = false;
        m->stats.send_failed++;
    }
}

/* ---- receiving --------------------------------------------------------------------------------
 */
static void hear_digit(struct media *m, char digit)
{
    if (m->cfg.digit != NULL) {
        m->cfg.digit(m->cfg.arg, digit);
    }
}

static void take_voice(struct media *m, struct view body)
{
    int16_t pcm[PCM_MAX];
    char found[INBAND_MAX];
    size_t n = 0;

    if (body.n == 0 || body.n > PCM_MAX) {
        m->stats.bad_format++;
        return;
    }
    ulaw_decode((const uint8_t *)body.p, body.n, pcm);
    if (m->cfg.sink != NULL) {
        m->cfg.sink(m->cfg.arg, pcm, body.n);
    }
    if (m->cfg.inband && !m->heard.heard) {
        n = dtmf_det_feed(&m->tones, pcm, body.n, found, sizeof found);
        for (size_t i = 0; i < n; i++) {
            hear_digit(m, found[i]);
        }
        wipe(found, sizeof found);
    }
    wipe(pcm, sizeof pcm);
}

static void take_event(struct media *m, const struct rtp_header *h, struct view body)
{
    struct event_payload p;
    char digit = 0;
    enum err e = event_parse(body, &p);

    if (e == E_PARSE) {
        m->stats.bad_format++;
    } else if (e == E_OK && event_receive(&m->heard, h->ssrc, h->timestamp, &p, &digit)) {
        hear_digit(m, digit);
    }
}

/* Decrypts in place and reads the header; counts what is wrong. */
static bool verify(struct media *m, uint8_t *packet, size_t *n, struct rtp_header *h,
                   struct view *body)
{
    enum err e = m->receive != NULL ? srtp_open(m->receive, packet, n) : E_OK;

    if (e == E_OK) {
        e = rtp_parse(view_from(packet, *n), h, body);
    }
    m->stats.bad_auth += e == E_AUTH;
    m->stats.bad_replay += e == E_REPLAY;
    m->stats.bad_format += e != E_OK && e != E_AUTH && e != E_REPLAY;
    return e == E_OK;
}

static void take_packet(struct media *m, uint8_t *packet, size_t n, const struct net_addr *from)
{
    struct rtp_header h;
    struct view body = {0};

    if (!net_ip_eq(from, &m->remote) || (m->learned && from->port != m->remote.port)) {
        m->stats.bad_source++;
        return;
    }
    if (!verify(m, packet, &n, &h, &body)) {
        return;
    }
    m->stats.received++;
    m->stats.from = *from;
    m->remote = *from;
    m->learned = true;
    if (h.type == RTP_PCMU) {
        take_voice(m, body);
    } else if (h.type == m->cfg.event_type) {
        take_event(m, &h, body);
    } else {
        m->stats.bad_format++;
    }
}

static void on_readable(void *arg, int fd, unsigned events)
{
    struct media *m = arg;
    _Alignas(4) uint8_t packet[RTP_PACKET_MAX];

    (void)events;
    for (int i = 0; i < RX_BURST && m->running; i++) {
        struct sockaddr_storage sa;
        socklen_t sa_bytes = sizeof sa;
        struct net_addr from;
        ssize_t n = recvfrom(fd, packet, sizeof packet, MSG_DONTWAIT | MSG_TRUNC,
                             (struct sockaddr *)&sa, &sa_bytes);
        if (n < 0) {
            break;
        }
        if ((size_t)n > sizeof packet ||
            net_from_sockaddr((const struct sockaddr *)&sa, &from) != E_OK) {
            m->stats.bad_format++;
            continue;
        }
        take_packet(m, packet, (size_t)n, &from);
    }
    wipe(packet, sizeof packet);
}

/* ---- life -------------------------------------------------------------------------------------
 */
static enum err bind_socket(struct media *m)
{
    struct net_addr a = m->cfg.local;
    uint32_t pairs = 0, first = (m->cfg.port_min + 1u) & ~1u; /* even, and not below the range */
    uint16_t random = 0;
    enum err e = E_FULL;

    if (m->cfg.port_min == 0) {
        return net_udp_bind(&a, false, &m->fd);
    }
    pairs = m->cfg.port_max >= first ? (m->cfg.port_max - first) / 2u + 1 : 0;
    TRY(crypto_random(&random, sizeof random));
    e = FAIL(E_FULL);
    for (uint32_t i = 0; i < pairs && e != E_OK; i++) {
        a.port = (uint16_t)(first + 2 * ((random + i) % pairs));
        e = net_udp_bind(&a, false, &m->fd) == E_OK ? E_OK : FAIL(E_FULL);
    }
out:
    return e;
}

static enum err first_header(struct media *m)
{
    struct rtp_header h = {.type = RTP_PCMU, .marker = true};
    enum err e = E_OK;

    TRY(crypto_random(&h.seq, sizeof h.seq));
    TRY(crypto_random(&h.timestamp, sizeof h.timestamp));
    TRY(crypto_random(&h.ssrc, sizeof h.ssrc));
    h.seq &= 0x7fff; /* RFC 3711 section 3.3.1: far from the roll-over at the start */
    m->head = h;
out:
    return e;
}

enum err media_open(struct loop *l, const struct media_cfg *cfg, struct media **out)
{
    struct media *m = mem_zalloc(sizeof *m);
    enum err e = E_OK;

    if (m == NULL) {
        return FAIL(E_NOMEM);
    }
    m->loop = l;
    m->cfg = *cfg;
    m->fd = -1;
    if (m->cfg.event_type == 0) {
        m->cfg.event_type = RTP_EVENT;
    }
    TRY(first_header(m));
    TRY(bind_socket(m));
    TRY(net_local(m->fd, &m->local));
    *out = m;
    return E_OK;
out:
    media_close(m);
    return e;
}

void media_close(struct media *m)
{
    if (m == NULL) {
        return;
    }
    media_stop(m);
    if (m->fd >= 0) {
        close(m->fd);
    }
    srtp_way_free(m->send);
    srtp_way_free(m->receive);
    wipe(m, sizeof *m); /* the last digits are in event and tones */
    mem_free(m);
}

struct net_addr media_local(const struct media *m)
{
    return m->local;
}

void media_set_remote(struct media *m, const struct net_addr *remote)
{
    m->remote = *remote;
    m->learned = false;
}

void media_set_event_type(struct media *m, uint8_t event_type)
{
    m->cfg.event_type = event_type == 0 ? RTP_EVENT : event_type & 0x7f;
}

enum err media_secure(struct media *m, enum srtp_suite s, const struct secret *send,
                      const struct secret *receive)
{
    struct srtp_way *tx = NULL, *rx = NULL;
    enum err e = E_OK;

    if (m->running) {
        return FAIL(E_STATE);
    }
    TRY(srtp_way_new(s, SRTP_SEND, send, &tx));
    TRY(srtp_way_new(s, SRTP_RECEIVE, receive, &rx));
    srtp_way_free(m->send);
    srtp_way_free(m->receive);
    m->send = tx;
    m->receive = rx;
    return E_OK;
out:
    srtp_way_free(tx);
    return e;
}

bool media_is_secure(const struct media *m)
{
    return m->send != NULL;
}

/* What arrived while nobody listened is not taken: old voice, keys pressed during a hold. */
static void drop_queued(struct media *m)
{
    char octet;

    for (int i = 0; i < QUEUED_MAX && recv(m->fd, &octet, 1, MSG_DONTWAIT) >= 0; i++) {
    }
}

enum err media_start(struct media *m)
{
    enum err e = E_OK;

    if (m->remote.family == 0) {
        return FAIL(E_STATE);
    }
    if (m->running) {
        return E_OK;
    }
    drop_queued(m);
    TRY(loop_io_start(m->loop, m->fd, LOOP_READ, on_readable, m, &m->io));
    e = loop_timer_start(m->loop, &m->tick, 0, on_tick, m);
    if (e != E_OK) {
        loop_io_stop(m->io);
        m->io = NULL;
        goto out;
    }
    m->next_ms = loop_now_ms(m->loop);
    m->head.marker = true; /* RFC 3551 section 4.1: first packet of a talk spurt */
    m->running = true;
out:
    return e;
}

void media_stop(struct media *m)
{
    m->running = false;
    loop_timer_stop(m->loop, &m->tick);
    loop_io_stop(m->io);
    m->io = NULL;
}

enum err media_send_digit(struct media *m, char digit, uint32_t hold_ms)
{
    return event_start(&m->event, digit, m->head.timestamp, hold_ms);
}

bool media_digit_busy(const struct media *m)
{
    return m->event.active;
}

const struct media_stats *media_stats(const struct media *m)
{
    return &m->stats;
}
