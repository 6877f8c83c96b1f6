/* Rings of the workers, and the thread that empties them towards the collector. */
#include "gc/hep.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/laes.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "gc/trace.h"

enum { LENGTH_BYTES = 8, LINE_BYTES = 64 /* of a cache: two threads do not share one */ };

/* Octets written and read since the start; modulo the size they are places. Each record: its
 * length, the packet, the message, rounded up to 8. */
struct ring {
    _Atomic size_t head; /* the worker's */
    char apart[LINE_BYTES];
    _Atomic size_t tail; /* the thread's */
    uint8_t octets[HEP_RING_BYTES];
};

struct hep {
    struct hep_cfg cfg;
    char node[HEP_NODE_MAX + 1], key[HEP_KEY_MAX + 1];
    unsigned sent, failed; /* ids of metrics */
    int fd, stop_fd;
    pthread_t thread;
    struct ring *ring; /* of each worker */
    uint8_t record[sizeof(struct hep_packet) + HEP_MESSAGE_MAX];
    uint8_t datagram[HEP_MESSAGE_MAX + HEP_EXTRA_MAX];
};

/* ---- the ring ----------------------------------------------------------------------------------
 */
static size_t rounded(size_t n)
{
    return (n + LENGTH_BYTES - 1) / LENGTH_BYTES * LENGTH_BYTES;
}

static void copy_in(struct ring *r, size_t at, const void *p, size_t n)
{
    size_t place = at % HEP_RING_BYTES;
    size_t first = n < HEP_RING_BYTES - place ? n : HEP_RING_BYTES - place;

    memcpy(r->octets + place, p, first);
    memcpy(r->octets, (const uint8_t *)p + first, n - first);
}

static void copy_out(const struct ring *r, size_t at, void *p, size_t n)
{
    size_t place = at % HEP_RING_BYTES;
    size_t first = n < HEP_RING_BYTES - place ? n : HEP_RING_BYTES - place;

    memcpy(p, r->octets + place, first);
    memcpy((uint8_t *)p + first, r->octets, n - first);
}

bool hep_put(struct hep *h, unsigned worker, const struct hep_packet *p, struct view octets)
{
    struct ring *r = NULL;
    uint64_t total = 0;
    size_t head = 0;

    if (h == NULL) {
        return true;
    }
    r = &h->ring[worker];
    octets = view_sub(octets, 0, HEP_MESSAGE_MAX);
    total = sizeof *p + octets.n;
    head = atomic_load_explicit(&r->head, memory_order_relaxed);
    if (head - atomic_load_explicit(&r->tail, memory_order_acquire) + LENGTH_BYTES +
            rounded(total) >
        HEP_RING_BYTES) {
        return false;
    }
    copy_in(r, head, &total, LENGTH_BYTES);
    copy_in(r, head + LENGTH_BYTES, p, sizeof *p);
    copy_in(r, head + LENGTH_BYTES + sizeof *p, octets.p, octets.n);
    atomic_store_explicit(&r->head, head + LENGTH_BYTES + rounded(total), memory_order_release);
    return true;
}

/* Octets of the record; 0: empty. */
static size_t take(struct ring *r, uint8_t *to, size_t max)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint64_t total = 0;

    if (tail == atomic_load_explicit(&r->head, memory_order_acquire)) {
        return 0;
    }
    copy_out(r, tail, &total, LENGTH_BYTES);
    BUG_ON(total > max);
    copy_out(r, tail + LENGTH_BYTES, to, total);
    atomic_store_explicit(&r->tail, tail + LENGTH_BYTES + rounded(total), memory_order_release);
    return total;
}

/* ---- the thread --------------------------------------------------------------------------------
 */
static void send_one(struct hep *h, size_t n)
{
    struct hep_packet p;
    char *octets = (char *)h->record + sizeof p;
    size_t octets_n = n - sizeof p, bytes = 0;
    ssize_t sent = -1;

    memcpy(&p, h->record, sizeof p);
    octets_n = laes_cut(octets, octets_n);
    trace_hide_keys(octets, octets_n);
    bytes = hep_encode(&h->cfg, &p, view_from(octets, octets_n), h->datagram, sizeof h->datagram);
    if (bytes > 0) {
        sent = send(h->fd, h->datagram, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == ECONNREFUSED) { /* what became of the one before */
            sent = send(h->fd, h->datagram, bytes, MSG_NOSIGNAL);
        }
    }
    metric_add(h->cfg.metrics, h->cfg.slot, sent < 0 ? h->failed : h->sent, 1);
}

static void empty_rings(struct hep *h)
{
    for (unsigned i = 0; i < h->cfg.workers; i++) {
        /* What was there at the beginning: a busy worker must not keep us from the others. */
        struct ring *r = &h->ring[i];
        size_t until = atomic_load_explicit(&r->head, memory_order_acquire), n = 0;
        while (atomic_load_explicit(&r->tail, memory_order_relaxed) != until &&
               (n = take(r, h->record, sizeof h->record)) > 0) {
            send_one(h, n);
        }
    }
}

static void *run(void *arg)
{
    struct hep *h = arg;
    struct pollfd stop = {.fd = h->stop_fd, .events = POLLIN};

    while (poll(&stop, 1, HEP_TURN_MS) <= 0) {
        empty_rings(h);
    }
    empty_rings(h);
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------
 */
static enum err open_socket(struct hep *h)
{
    struct sockaddr_storage sa;
    socklen_t bytes = net_to_sockaddr(&h->cfg.collector, &sa);

    h->fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (h->fd < 0 || connect(h->fd, (const struct sockaddr *)&sa, bytes) != 0) {
        return FAIL(E_IO);
    }
    return E_OK;
}

static void hep_free(struct hep *h)
{
    mem_free(h->ring);
    if (h->fd >= 0) {
        close(h->fd);
    }
    if (h->stop_fd >= 0) {
        close(h->stop_fd);
    }
    wipe(h, sizeof *h);
    mem_free(h);
}

enum err hep_open(const struct hep_cfg *cfg, struct hep **out)
{
    struct hep *h = mem_zalloc(sizeof *h);
    enum err e = h != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    h->cfg = *cfg;
    h->fd = -1;
    h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    TRY(view_to_cstr(view_of(cfg->node), h->node, sizeof h->node));
    TRY(view_to_cstr(view_of(cfg->key), h->key, sizeof h->key));
    h->cfg.node = h->node;
    h->cfg.key = h->key;
    h->ring = mem_zalloc_array(cfg->workers, sizeof *h->ring);
    TRY(h->ring == NULL || h->stop_fd < 0 ? FAIL(E_NOMEM) : E_OK);
    TRY(open_socket(h));
    h->sent = metric_declare(cfg->metrics, METRIC_COUNTER, "headgate_hep_sent_total", NULL,
                             "SIP messages that left for the collector");
    h->failed = metric_declare(cfg->metrics, METRIC_COUNTER, "headgate_hep_send_failures_total",
                               NULL, "SIP messages that could not leave for the collector");
    if (pthread_create(&h->thread, NULL, run, h) != 0) {
        TRY(FAIL(E_NOMEM));
    }
    (void)pthread_setname_np(h->thread, "hep");
    *out = h;
    h = NULL;
out:
    if (h != NULL) {
        hep_free(h);
    }
    return e;
}

void hep_close(struct hep *h)
{
    if (h != NULL) {
        (void)eventfd_write(h->stop_fd, 1);
        pthread_join(h->thread, NULL);
        hep_free(h);
    }
}
