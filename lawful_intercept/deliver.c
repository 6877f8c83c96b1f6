/* Delivery of one spool: see deliver.h. */
#include "lawful_intercept/deliver.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lawful_intercept/deliver_window.h"
#include "lawful_intercept/x2.h"

enum {
    CONNECT_MS = 5000,
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 5000,
    LOOK_MS = 10, /* at what TCP confirmed; doubles while it confirms nothing */
    LOOK_MAX_MS = 500,
    SETTLE_LOOK_MS = 1000,

    OUT_ENOUGH = 32 * 1024, /* for the wire at a time */
    OUT_MAX = OUT_ENOUGH + SPOOL_RECORD_MAX + 32 * 1024,
    OUT_STEP = 16 * 1024, /* it grows by: most deliveries are quiet most of the time */
    IN_ROOM = 8192,
    TALK_MAX = 64 * 1024, /* octets that a peer may say without being asked */
    TALK_EACH = 4096,     /* and for each keepalive */
    KEEPALIVE_DEFAULT_MS = 30000
};

struct li_delivery {
    struct li_delivery_cfg cfg;
    char name[128];
    pthread_t thread;
    int wake;
    _Atomic bool stopping, over;
    _Atomic uint64_t stop_at_ms;
    pthread_mutex_t lock; /* facts */
    struct li_delivery_facts facts;
    /* the thread's own */
    int fd;
    struct tls_conn *tls;
    bool is_open; /* connected, and secured */
    uint64_t deadline_ms, backoff_ms, opened_ms, look_ms, settle_at_ms;
    uint8_t *out; /* for the wire */
    size_t out_bytes, out_n, out_at;
    uint64_t queued; /* octets of this connection, for the wire */
    struct li_window window;
    uint64_t held;  /* number: confirmed on good connections */
    uint64_t taken; /* number of the last record that was taken from the spool */
    bool has_more;  /* the spool was not read to its end */
    char in[IN_ROOM];
    size_t in_n;
    uint64_t heard;   /* octets that the peer said */
    const char *rude; /* what is wrong with them; NULL: nothing */
    uint64_t keepalive_at_ms, answer_due_ms, keepalive_end; /* end: octets queued behind it */
    uint32_t keepalive;
    /* the oldest record that waits, when it was not taken yet: looked for once */
    uint64_t known_number, known_lost, known_us;
    uint8_t *record;
};

static uint64_t now_ms(void)
{
    return clock_mono_ms(clock_system());
}

/* ---- facts -------------------------------------------------------------------------------------
 */
static void set_state(struct li_delivery *d, bool up, const char *why)
{
    bool changed = false;

    pthread_mutex_lock(&d->lock);
    changed = d->facts.is_up != up || d->facts.changed_us == 0;
    if (changed) {
        d->facts.is_up = up;
        d->facts.changed_us = clock_wall_us(clock_system());
        d->facts.connections += up;
    }
    if (why != NULL) {
        snprintf(d->facts.why, sizeof d->facts.why, "%s", why);
    }
    pthread_mutex_unlock(&d->lock);
    if (changed && up) {
        LOG(LV_INFO, "delivery.up", KV("to", (const char *)d->name));
    } else if (changed) {
        LOG(LV_WARN, "delivery.down", KV("to", (const char *)d->name),
            KV("why", why != NULL ? why : ""));
    }
}

/* No data goes to who cannot prove to be the agency, and somebody must look at why. Said once,
 * until it is mended. */
static void set_refused(struct li_delivery *d, bool is_refused, const char *why)
{
    bool is_news = false;

    pthread_mutex_lock(&d->lock);
    is_news = is_refused && !d->facts.is_refused;
    d->facts.is_refused = is_refused;
    pthread_mutex_unlock(&d->lock);
    if (is_news) {
        LOG(LV_ERROR, "delivery.certificate", KV("to", (const char *)d->name), KV("why", why));
    }
}

void li_delivery_facts_of(struct li_delivery *d, struct li_delivery_facts *out)
{
    pthread_mutex_lock(&d->lock);
    *out = d->facts;
    pthread_mutex_unlock(&d->lock);
}

/* ---- the connection ----------------------------------------------------------------------------
 */
/* A good connection: what is confirmed on it stays so. Whom TLS 1.3 refuses hears it when he is
 * open already, and has sent. */
static bool is_steady(const struct li_delivery *d)
{
    return d->is_open && now_ms() >= d->opened_ms + d->cfg.steady_ms;
}

static void disconnect(struct li_delivery *d, const char *why)
{
    /* Who takes a connection and drops it again is asked ever less often. */
    if (is_steady(d)) {
        d->backoff_ms = BACKOFF_MS;
        d->held = d->window.confirmed;
    }
    d->window.confirmed = d->held;
    if (d->fd >= 0) {
        close(d->fd);
    }
    tls_conn_free(d->tls);
    d->fd = -1;
    d->tls = NULL;
    d->is_open = false;
    d->out_n = d->out_at = d->in_n = 0;
    d->queued = d->heard = d->keepalive_end = 0;
    d->rude = NULL;
    d->has_more = true;
    d->answer_due_ms = 0;
    li_window_clear(&d->window);
    spool_rewind(d->cfg.spool);
    d->taken = 0;
    d->deadline_ms = now_ms() + d->backoff_ms;
    d->backoff_ms = d->backoff_ms * 2 < BACKOFF_MAX_MS ? d->backoff_ms * 2 : BACKOFF_MAX_MS;
    set_state(d, false, why);
}

/* TLS gave up: why, in words, and an alarm when it was a certificate. */
static void disconnect_tls(struct li_delivery *d)
{
    static const char *const words[] = {
        [TLS_FAULT_NONE] = "TLS failed",
        [TLS_FAULT_OTHER] = "TLS failed",
        [TLS_FAULT_THEIRS] = "the peer's certificate is not the agency's",
        [TLS_FAULT_OURS] = "the peer does not take our certificate"};
    enum tls_fault fault = tls_fault_of(d->tls);

    if (fault == TLS_FAULT_THEIRS || fault == TLS_FAULT_OURS) {
        set_refused(d, true, words[fault]);
    }
    disconnect(d, words[fault]);
}

static void watch_peer(int fd)
{
    int on = 1, idle = 10, interval = 5, count = 3;
    unsigned silent_ms = 30000;

    /* Each of them only makes a dead peer known sooner. */
    IGNORE(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0 ? E_OK : E_IO, "so be it");
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) == 0 ? E_OK : E_IO, "");
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval) == 0 ? E_OK
                                                                                       : E_IO,
           "");
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count) == 0 ? E_OK : E_IO, "");
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof silent_ms) == 0 ? E_OK
                                                                                            : E_IO,
           "");
    IGNORE(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 ? E_OK : E_IO, "");
}

static void begin_connecting(struct li_delivery *d)
{
    const struct net_addr *from = d->cfg.from.family != 0 ? &d->cfg.from : NULL;

    if (net_tcp_connect(&d->cfg.to, from, &d->fd) != E_OK) {
        d->fd = -1;
        disconnect(d, "cannot connect");
        return;
    }
    watch_peer(d->fd);
    d->deadline_ms = now_ms() + CONNECT_MS;
    if (d->cfg.tls != NULL && tls_connect_named(d->cfg.tls, &d->cfg.names, &d->tls) != E_OK) {
        disconnect(d, "TLS cannot begin");
    }
}

static void opened(struct li_delivery *d)
{
    d->is_open = true;
    d->opened_ms = d->keepalive_at_ms = now_ms();
    d->look_ms = LOOK_MS;
    set_state(d, true, NULL);
}

/* ---- out ---------------------------------------------------------------------------------------
 */
/* Room for n more. */
static bool make_out(struct li_delivery *d, size_t n)
{
    size_t bytes = d->out_n + n + OUT_STEP - (d->out_n + n) % OUT_STEP;
    uint8_t *more = NULL;

    if (d->out_n + n <= d->out_bytes) {
        return true;
    }
    bytes = bytes < OUT_MAX ? bytes : OUT_MAX;
    more = d->out_n + n <= OUT_MAX ? mem_zalloc(bytes) : NULL;
    if (more == NULL) {
        return false;
    }
    if (d->out_n > 0) {
        memcpy(more, d->out, d->out_n);
    }
    mem_free(d->out);
    d->out = more;
    d->out_bytes = bytes;
    return true;
}

/* Into the buffer for the wire, through TLS when there is one. False: the connection is of no use.
 */
static bool queue(struct li_delivery *d, const void *octets, size_t n)
{
    if (d->tls == NULL) {
        if (!make_out(d, n)) {
            return false;
        }
        memcpy(d->out + d->out_n, octets, n);
        d->out_n += n;
        d->queued += n;
        return true;
    }
    return tls_write(d->tls, view_from(octets, n)) == E_OK;
}

/* What TLS has for the wire. */
static bool drain_tls(struct li_delivery *d)
{
    size_t n = 0;

    do {
        if (d->tls == NULL || d->out_n == OUT_MAX) {
            return true;
        }
        if (!make_out(d, 1) ||
            tls_drain(d->tls, d->out + d->out_n, d->out_bytes - d->out_n, &n) != E_OK) {
            return false;
        }
        d->out_n += n;
        d->queued += n;
    } while (n > 0);
    return true;
}

static bool queue_keepalive(struct li_delivery *d)
{
    struct x2_pdu p = {.type = X2_KEEPALIVE, .has_sequence = true, .sequence = ++d->keepalive};
    uint8_t octets[64];
    size_t n = 0;

    d->keepalive_at_ms = now_ms() + d->cfg.keepalive_ms;
    d->answer_due_ms = now_ms() + d->cfg.keepalive_ms;
    if (x2_write(&p, octets, sizeof octets, &n) != E_OK || !queue(d, octets, n) || !drain_tls(d)) {
        return false;
    }
    d->keepalive_end = d->queued;
    return true;
}

static bool queue_record(struct li_delivery *d, size_t n)
{
    uint8_t length[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

    return (d->cfg.protocol != LI_CDC_COUNTED || queue(d, length, sizeof length)) &&
           queue(d, d->record, n);
}

static void note_sent(struct li_delivery *d, uint64_t number, uint64_t at_us, uint64_t begin)
{
    li_window_sent(&d->window, number, at_us, begin, d->queued);
    d->taken = number;
    d->look_ms = LOOK_MS;
    pthread_mutex_lock(&d->lock);
    d->facts.sent++;
    pthread_mutex_unlock(&d->lock);
}

/* More records, as long as not enough waits for the wire. */
static bool take_these(struct li_delivery *d)
{
    d->has_more = true;
    while (d->out_n - d->out_at < OUT_ENOUGH) {
        uint64_t number = 0, at_us = 0, begin = d->queued;
        size_t n = 0;
        enum err e = E_OK;
        if (d->out_at > 0) {
            memmove(d->out, d->out + d->out_at, d->out_n - d->out_at);
            d->out_n -= d->out_at;
            d->out_at = 0;
        }
        e = spool_next(d->cfg.spool, d->record, SPOOL_RECORD_MAX, &n, &number, &at_us);
        if (e == E_NOTFOUND || e == E_NOMEM) {
            d->has_more = false;
            break;
        }
        if (e != E_OK) {
            LOG(LV_ERROR, "delivery.record_damaged", KV("to", (const char *)d->name), KV_ERR(e));
            continue;
        }
        if (!queue_record(d, n) || !drain_tls(d)) {
            return false;
        }
        wipe(d->record, n);
        note_sent(d, number, at_us, begin);
    }
    return true;
}

static bool take_records(struct li_delivery *d)
{
    struct spool_facts facts;
    bool good = false;

    spool_facts_of(d->cfg.spool, &facts);
    if (facts.read + 1 >= facts.next) {
        d->has_more = false;
        return true;
    }
    d->record = mem_zalloc(SPOOL_RECORD_MAX);
    if (d->record == NULL) {
        d->has_more = false; /* the next time that it looks */
        return true;
    }
    good = take_these(d);
    mem_free(d->record);
    d->record = NULL;
    return good;
}

static bool flush(struct li_delivery *d)
{
    while (d->out_at < d->out_n) {
        ssize_t n = send(d->fd, d->out + d->out_at, d->out_n - d->out_at, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return true;
        }
        if (n <= 0) {
            return false;
        }
        d->out_at += (size_t)n;
    }
    d->out_n = d->out_at = 0;
    return true;
}

/* ---- what was delivered ------------------------------------------------------------------------
 */
static void settle(struct li_delivery *d)
{
    uint64_t now = now_ms(), acked = 0, settled = 0;
    int waiting = 0;

    if (!d->is_open || ioctl(d->fd, SIOCOUTQ, &waiting) != 0) {
        return;
    }
    acked = d->queued - (d->out_n - d->out_at) - (uint64_t)(waiting > 0 ? waiting : 0);
    if (acked == d->window.acked) {
        d->look_ms = d->look_ms * 2 < LOOK_MAX_MS ? d->look_ms * 2 : LOOK_MAX_MS;
    } else {
        d->look_ms = LOOK_MS;
    }
    li_window_acked(&d->window, acked, now);
    if (is_steady(d)) {
        d->held = d->window.confirmed;
        spool_confirmed(d->cfg.spool, d->held);
    }
    if (now < d->settle_at_ms) {
        return;
    }
    d->settle_at_ms =
        now + (d->window.settle_ms < SETTLE_LOOK_MS ? d->window.settle_ms : SETTLE_LOOK_MS);
    settled = li_window_settle(&d->window, now);
    if (settled != 0) {
        IGNORE(spool_done(d->cfg.spool, settled), "then it goes twice after a restart");
    }
}

/* When the oldest record happened that the peer never had; 0: none waits. */
static uint64_t oldest_of(struct li_delivery *d)
{
    uint64_t oldest = li_window_oldest(&d->window), next = d->window.confirmed + 1;
    struct spool_facts f;

    if (oldest != 0 || (d->is_open && d->taken >= d->window.confirmed)) {
        return oldest; /* what is in the spool beside it is about to be taken */
    }
    spool_facts_of(d->cfg.spool, &f);
    if (f.next <= next) {
        return 0;
    }
    if (d->known_number != next || d->known_lost != f.lost || d->known_us == 0) {
        d->known_number = next;
        d->known_lost = f.lost;
        d->known_us = spool_time(d->cfg.spool, next);
    }
    return d->known_us;
}

static void tell(struct li_delivery *d)
{
    uint64_t oldest = oldest_of(d);

    pthread_mutex_lock(&d->lock);
    d->facts.oldest_us = oldest;
    d->facts.confirmed = d->window.confirmed;
    pthread_mutex_unlock(&d->lock);
}

/* ---- in ----------------------------------------------------------------------------------------
 */
/* What the peer says: answers to keepalives; of call data nothing is expected, and ignored. */
static bool take_input(struct li_delivery *d)
{
    char why[LI_WHY_MAX];
    size_t used = 0;

    if (d->heard > TALK_MAX + (uint64_t)TALK_EACH * d->keepalive) {
        d->rude = "the peer says more than it has to";
        return false;
    }
    if (d->cfg.protocol != LI_X2) {
        d->in_n = 0;
        return true;
    }
    while (d->in_n > 0) {
        struct x2_pdu p;
        enum err e = x2_read(view_from(d->in, d->in_n), &p, &used, why, sizeof why);
        if (e == E_RANGE && d->in_n < IN_ROOM) {
            return true;
        }
        if (e != E_OK || p.type == X2_DATA) {
            d->rude = e != E_OK ? "the peer does not speak X2" : "the peer sends data";
            return false;
        }
        if (p.type == X2_KEEPALIVE_ACK && p.has_sequence && p.sequence == d->keepalive) {
            d->answer_due_ms = 0;
            li_window_answered(&d->window, d->keepalive_end);
        }
        memmove(d->in, d->in + used, d->in_n - used);
        d->in_n -= used;
    }
    return true;
}

static bool read_tls(struct li_delivery *d, const char *octets, size_t n)
{
    size_t got = 0;

    if (tls_feed(d->tls, view_from(octets, n)) != E_OK) {
        IGNORE(drain_tls(d) && flush(d) ? E_OK : E_IO, "the alert that says why");
        return false;
    }
    if (!d->is_open && tls_is_open(d->tls)) {
        opened(d);
    }
    do {
        if (tls_read(d->tls, d->in + d->in_n, IN_ROOM - d->in_n, &got) != E_OK) {
            return false;
        }
        d->in_n += got;
        d->heard += got;
        if (!take_input(d)) {
            return false;
        }
    } while (got > 0);
    return drain_tls(d);
}

static bool read_peer(struct li_delivery *d)
{
    char octets[4096];
    ssize_t n = recv(d->fd, octets, sizeof octets, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (n <= 0) {
        return false;
    }
    if (d->tls != NULL) {
        return read_tls(d, octets, (size_t)n);
    }
    if ((size_t)n > IN_ROOM - d->in_n) {
        return false;
    }
    memcpy(d->in + d->in_n, octets, (size_t)n);
    d->in_n += (size_t)n;
    d->heard += (size_t)n;
    return take_input(d);
}

/* ---- the thread --------------------------------------------------------------------------------
 */
/* The socket became writable for the first time: it is connected, or it is not. */
static void connected(struct li_delivery *d)
{
    int failed = 0;
    socklen_t bytes = sizeof failed;

    if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &failed, &bytes) != 0 || failed != 0) {
        disconnect(d, "nobody answers there");
        return;
    }
    if (d->tls == NULL) {
        opened(d);
    } else if (!drain_tls(d)) {
        disconnect(d, "TLS failed");
    }
}

static bool wants_write(const struct li_delivery *d)
{
    return d->out_at < d->out_n || (!d->is_open && (d->tls == NULL || d->queued == 0));
}

/* How long, ms: not at all while there is more to send and the wire takes it; else until something
 * is due. What comes meanwhile wakes. */
static int patience_of(const struct li_delivery *d)
{
    uint64_t now = now_ms(), due = now + 1000;

    if (!d->is_open) {
        due = d->deadline_ms;
    } else if (d->has_more && d->out_at == d->out_n) {
        return 0;
    } else {
        if (d->window.acked < d->queued && now + d->look_ms < due) {
            due = now + d->look_ms;
        }
        if (d->cfg.protocol == LI_X2) {
            uint64_t then = d->answer_due_ms != 0 ? d->answer_due_ms : d->keepalive_at_ms;
            due = then < due ? then : due;
        }
    }
    if (atomic_load(&d->stopping) && due > now + LOOK_MS) {
        due = now + LOOK_MS;
    }
    return due > now ? (int)(due - now) : 0;
}

/* A peer that does not read is not listened to: what its requests make would pile up here. */
static bool may_listen(const struct li_delivery *d)
{
    return d->out_n - d->out_at < OUT_ENOUGH + SPOOL_RECORD_MAX;
}

static void wait_for_something(struct li_delivery *d)
{
    struct pollfd p[2] = {{.fd = d->wake, .events = POLLIN}, {.fd = d->fd, .events = POLLIN}};
    uint64_t count = 0;

    p[1].events =
        (short)((may_listen(d) ? POLLIN : 0) | (d->fd >= 0 && wants_write(d) ? POLLOUT : 0));
    if (poll(p, d->fd >= 0 ? 2 : 1, patience_of(d)) < 0 && errno != EINTR) {
        return;
    }
    if ((p[0].revents & POLLIN) != 0) {
        IGNORE(read(d->wake, &count, sizeof count) > 0 ? E_OK : E_IO, "it only wakes");
    }
    if (d->fd < 0) {
        return;
    }
    if (!d->is_open && d->queued == 0 && (p[1].revents & (POLLOUT | POLLERR | POLLHUP)) != 0) {
        connected(d);
    }
    if (d->fd >= 0 && (p[1].revents & (POLLIN | POLLERR | POLLHUP)) != 0 && !read_peer(d)) {
        if (d->tls != NULL && tls_fault_of(d->tls) != TLS_FAULT_NONE) {
            disconnect_tls(d);
        } else {
            disconnect(d, d->rude != NULL ? d->rude : "the peer closed");
        }
    }
}

static void check_times(struct li_delivery *d)
{
    uint64_t now = now_ms();

    if (!d->is_open) {
        if (now >= d->deadline_ms && d->fd < 0) {
            begin_connecting(d);
        } else if (now >= d->deadline_ms) {
            disconnect(d, "no connection in time");
        }
        return;
    }
    if (is_steady(d)) {
        set_refused(d, false, NULL);
    }
    if (d->cfg.protocol == LI_X2) {
        if (d->answer_due_ms != 0 && now >= d->answer_due_ms) {
            disconnect(d, "no answer to a keepalive");
        } else if (now >= d->keepalive_at_ms && d->answer_due_ms == 0 && !queue_keepalive(d)) {
            disconnect(d, "TLS failed");
        }
    }
}

static bool is_over(struct li_delivery *d)
{
    struct spool_facts f;

    if (!atomic_load(&d->stopping)) {
        return false;
    }
    spool_facts_of(d->cfg.spool, &f);
    return now_ms() >= atomic_load(&d->stop_at_ms) || f.done + 1 >= f.next ||
           (d->is_open && d->window.acked == d->queued && d->taken + 1 == f.next);
}

static void *run(void *arg)
{
    struct li_delivery *d = arg;

    while (!is_over(d)) {
        check_times(d);
        wait_for_something(d);
        if (d->fd >= 0 && d->is_open && !take_records(d)) {
            disconnect(d, "TLS failed");
        }
        if (d->fd >= 0 && d->queued > 0 && !flush(d)) {
            disconnect(d, "the peer closed");
        }
        if (d->fd >= 0) {
            settle(d);
        }
        tell(d);
    }
    disconnect(d, "stopped");
    atomic_store(&d->over, true);
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------
 */
static void delivery_free(struct li_delivery *d)
{
    if (d->wake >= 0) {
        close(d->wake);
    }
    tls_ctx_free(d->cfg.tls);
    mem_free(d->out);
    pthread_mutex_destroy(&d->lock);
    mem_free(d);
}

enum err li_delivery_start(const struct li_delivery_cfg *cfg, struct li_delivery **out)
{
    struct li_delivery *d = NULL;
    struct spool_facts facts;
    enum err e = E_OK;

    if (cfg->tls == NULL && !net_is_loopback(&cfg->to)) {
        return FAIL(E_DENIED);
    }
    d = mem_zalloc(sizeof *d);
    if (d == NULL) {
        return FAIL(E_NOMEM);
    }
    d->cfg = *cfg;
    d->cfg.tls = tls_ctx_hold(cfg->tls);
    d->window = (struct li_window){
        .resend_bytes = cfg->resend_bytes != 0 ? cfg->resend_bytes : LI_RESEND_BYTES,
        .settle_ms = cfg->settle_ms != 0 ? cfg->settle_ms : LI_SETTLE_MS,
        .settle_late_ms = cfg->settle_late_ms != 0 ? cfg->settle_late_ms : LI_SETTLE_LATE_MS};
    d->cfg.keepalive_ms = cfg->keepalive_ms != 0 ? cfg->keepalive_ms : KEEPALIVE_DEFAULT_MS;
    snprintf(d->name, sizeof d->name, "%s", cfg->name);
    pthread_mutex_init(&d->lock, NULL);
    spool_facts_of(cfg->spool, &facts);
    d->held = d->window.confirmed = facts.done;
    d->cfg.steady_ms = cfg->steady_ms != 0 ? cfg->steady_ms : LI_STEADY_MS;
    d->fd = -1;
    d->backoff_ms = BACKOFF_MS;
    d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->wake < 0 || pthread_create(&d->thread, NULL, run, d) != 0) {
        TRY(FAIL(E_NOMEM));
    }
    *out = d;
    d = NULL;
out:
    if (d != NULL) {
        delivery_free(d);
    }
    return e;
}

void li_delivery_wake(struct li_delivery *d)
{
    uint64_t one = 1;

    IGNORE(write(d->wake, &one, sizeof one) > 0 ? E_OK : E_IO, "a full counter wakes as well");
}

void li_delivery_ask_stop(struct li_delivery *d, unsigned linger_ms)
{
    if (!atomic_load(&d->stopping)) {
        atomic_store(&d->stop_at_ms, now_ms() + linger_ms);
        atomic_store(&d->stopping, true);
        li_delivery_wake(d);
    }
}

bool li_delivery_is_over(const struct li_delivery *d)
{
    return atomic_load(&d->over);
}

void li_delivery_stop(struct li_delivery *d, unsigned linger_ms)
{
    if (d == NULL) {
        return;
    }
    li_delivery_ask_stop(d, linger_ms);
    pthread_join(d->thread, NULL);
    delivery_free(d);
}
