/* The server: listeners, who may come in, the end. */
#include "base/httpd.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/httpd_int.h"
#include "base/log.h"
#include "base/mem.h"

enum { BACKLOG = 128, REST_MS = 50, LOOK_MS = 10 };

__attribute__((format(printf, 4, 5))) static enum err say(char *why, size_t why_bytes, enum err e,
                                                          const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, why_bytes, fmt, args);
    va_end(args);
    return FAIL(e);
}

/* ---- credentials in use ------------------------------------------------------------------------
 */
struct httpd_cred *httpd_cred_take(struct httpd *h)
{
    struct httpd_cred *c = NULL;

    pthread_mutex_lock(&h->lock);
    c = h->cred;
    if (c != NULL) {
        c->refs++;
    }
    pthread_mutex_unlock(&h->lock);
    return c;
}

void httpd_cred_give(struct httpd *h, struct httpd_cred *c)
{
    bool last = false;

    pthread_mutex_lock(&h->lock);
    last = --c->refs == 0;
    pthread_mutex_unlock(&h->lock);
    if (last) {
        httpd_cred_free(c);
    }
}

enum err httpd_reload(struct httpd *h, const struct httpd_tls *tls, char *why, size_t why_bytes)
{
    struct httpd_cred *fresh = NULL, *old = NULL;
    enum err e = E_OK;

    if (h->cred == NULL) {
        return E_OK; /* plain it stays: that is a matter of a restart */
    }
    TRY(httpd_cred_new(tls, &fresh, why, why_bytes));
    pthread_mutex_lock(&h->lock);
    old = h->cred;
    h->cred = fresh;
    pthread_mutex_unlock(&h->lock);
    httpd_cred_give(h, old);
out:
    return e;
}

/* ---- places ------------------------------------------------------------------------------------
 */
/* Threads that have ended are joined, and their places free again. wait: for all. */
static void reap(struct httpd *h, bool wait)
{
    for (size_t i = 0; i < h->n_slots; i++) {
        struct slot *s = &h->slots[i];
        bool is_done = false;
        pthread_mutex_lock(&h->lock);
        is_done = s->use != SLOT_FREE && (s->is_done || wait);
        pthread_mutex_unlock(&h->lock);
        if (is_done) {
            pthread_join(s->thread, NULL);
            pthread_mutex_lock(&h->lock);
            s->use = SLOT_FREE;
            pthread_mutex_unlock(&h->lock);
        }
    }
}

static size_t count(const struct httpd *h, enum slot_use use, const struct net_addr *source)
{
    size_t n = 0;

    for (size_t i = 0; i < h->n_slots; i++) {
        const struct slot *s = &h->slots[i];
        n += s->use == use && !s->is_done && (source == NULL || net_ip_eq(&s->source, source));
    }
    return n;
}

/* Under the lock. */
static enum slot_use place_for(const struct httpd *h, bool is_unix, const struct net_addr *source)
{
    bool room = is_unix ? count(h, SLOT_UNIX, NULL) < HTTPD_UNIX_MAX
                        : count(h, SLOT_TCP, NULL) < h->cfg.max_connections &&
                              count(h, SLOT_TCP, source) < h->cfg.per_source;

    if (room) {
        return is_unix ? SLOT_UNIX : SLOT_TCP;
    }
    return count(h, SLOT_OVERFLOW, NULL) < HTTPD_OVERFLOW_MAX ? SLOT_OVERFLOW : SLOT_FREE;
}

static struct slot *take_slot(struct httpd *h, int fd, bool is_unix, const struct net_addr *source)
{
    struct slot *s = NULL;
    enum slot_use use = SLOT_FREE;

    pthread_mutex_lock(&h->lock);
    use = place_for(h, is_unix, source);
    for (size_t i = 0; use != SLOT_FREE && i < h->n_slots && s == NULL; i++) {
        if (h->slots[i].use == SLOT_FREE) {
            s = &h->slots[i];
            *s = (struct slot){.h = h, .use = use, .fd = fd, .is_unix = is_unix, .source = *source};
        }
    }
    pthread_mutex_unlock(&h->lock);
    return s;
}

static void admit(struct httpd *h, int listener, bool is_unix)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t bytes = sizeof sa;
    struct net_addr source = {.family = 0};
    struct slot *s = NULL;
    int fd = accept4(listener, (struct sockaddr *)&sa, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            LOG(LV_WARN, "httpd.accept", KV("why", (const char *)strerrordesc_np(errno)));
            poll(NULL, 0, REST_MS); /* it would be ready again at once */
        }
        return;
    }
    if (!is_unix && net_from_sockaddr((const struct sockaddr *)&sa, &source) != E_OK) {
        close(fd);
        return;
    }
    reap(h, false);
    s = take_slot(h, fd, is_unix, &source);
    if (s == NULL) {
        close(fd);
        return;
    }
    if (pthread_create(&s->thread, NULL, httpd_conn_run, s) != 0) {
        LOG(LV_WARN, "httpd.accept", KV("why", "no thread"));
        pthread_mutex_lock(&h->lock);
        s->use = SLOT_FREE;
        pthread_mutex_unlock(&h->lock);
        close(fd);
    }
}

static void *accept_run(void *arg)
{
    struct httpd *h = arg;

    while (!atomic_load(&h->stopping)) {
        struct pollfd p[3] = {{.fd = h->tcp_fd, .events = POLLIN},
                              {.fd = h->unix_fd, .events = POLLIN},
                              {.fd = h->stop_fd, .events = POLLIN}};
        if (poll(p, 3, -1) <= 0 || p[2].revents != 0) {
            continue;
        }
        if (p[0].revents != 0) {
            admit(h, h->tcp_fd, false);
        }
        if (p[1].revents != 0) {
            admit(h, h->unix_fd, true);
        }
    }
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------
 */
static enum err open_tcp(struct httpd *h, char *why, size_t why_bytes)
{
    char text[NET_TEXT_MAX];
    const struct httpd_tls *tls = &h->cfg.tls;
    enum err e = E_OK;

    if (h->cfg.listen.family == 0) {
        return E_OK;
    }
    net_text(&h->cfg.listen, text);
    if (tls->certificate != NULL && tls->certificate[0] != 0) {
        TRY(httpd_cred_new(tls, &h->cred, why, why_bytes));
    } else if (!net_is_loopback(&h->cfg.listen)) {
        return say(why, why_bytes, E_DENIED, "%s: without TLS only a loopback address", text);
    }
    e = net_tcp_listen(&h->cfg.listen, false, BACKLOG, &h->tcp_fd);
    if (e != E_OK) {
        return say(why, why_bytes, E_IO, "%s: %s", text, strerrordesc_np(errno));
    }
    TRY(net_local(h->tcp_fd, &h->bound));
out:
    return e;
}

static void set_defaults(struct httpd_cfg *c)
{
    c->max_connections = c->max_connections != 0 ? c->max_connections : 128;
    c->per_source = c->per_source != 0 ? c->per_source : 16;
    c->max_body = c->max_body != 0 ? c->max_body : 256 * 1024;
    c->read_ms = c->read_ms != 0 ? c->read_ms : 10000;
    c->idle_ms = c->idle_ms != 0 ? c->idle_ms : 60000;
}

static void httpd_free(struct httpd *h)
{
    if (h->tcp_fd >= 0) {
        close(h->tcp_fd);
    }
    httpd_unix_close(h);
    if (h->stop_fd >= 0) {
        close(h->stop_fd);
    }
    httpd_cred_free(h->cred);
    pthread_mutex_destroy(&h->lock);
    mem_free(h->slots);
    mem_free(h);
}

enum err httpd_open(const struct httpd_cfg *cfg, struct httpd **out, char *why, size_t why_bytes)
{
    struct httpd *h = mem_zalloc(sizeof *h);
    enum err e = E_OK;

    snprintf(why, why_bytes, "%s", err_text(E_NOMEM));
    if (h == NULL) {
        return FAIL(E_NOMEM);
    }
    h->cfg = *cfg;
    h->tcp_fd = -1;
    h->unix_fd = -1;
    set_defaults(&h->cfg);
    pthread_mutex_init(&h->lock, NULL);
    h->n_slots = (size_t)h->cfg.max_connections + HTTPD_UNIX_MAX + HTTPD_OVERFLOW_MAX;
    h->slots = mem_zalloc_array(h->n_slots, sizeof *h->slots);
    h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->slots == NULL || h->stop_fd < 0) {
        TRY(FAIL(E_NOMEM));
    }
    TRY(open_tcp(h, why, why_bytes));
    TRY(httpd_unix_listen(h, why, why_bytes));
    h->cfg.tls = (struct httpd_tls){0}; /* the caller's texts */
    h->cfg.socket = NULL;
    h->cfg.socket_group = NULL;
    if (pthread_create(&h->acceptor, NULL, accept_run, h) != 0) {
        TRY(FAIL(E_NOMEM));
    }
    h->accepts = true;
    *out = h;
    h = NULL;
out:
    if (h != NULL) {
        httpd_free(h);
    }
    return e;
}

void httpd_drain(struct httpd *h)
{
    if (h->accepts) {
        atomic_store(&h->stopping, true);
        eventfd_write(h->stop_fd, 1);
        pthread_join(h->acceptor, NULL);
        h->accepts = false;
        if (h->tcp_fd >= 0) {
            close(h->tcp_fd);
        }
        h->tcp_fd = -1;
        httpd_unix_close(h);
    }
}

static void cut(struct httpd *h)
{
    atomic_store(&h->cut, true);
    pthread_mutex_lock(&h->lock);
    for (size_t i = 0; i < h->n_slots; i++) {
        if (h->slots[i].use != SLOT_FREE && h->slots[i].fd >= 0) {
            shutdown(h->slots[i].fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&h->lock);
}

void httpd_close(struct httpd *h, unsigned drain_ms)
{
    uint64_t until = httpd_now_ms() + drain_ms;

    if (h == NULL) {
        return;
    }
    httpd_drain(h);
    while (httpd_connections(h) > 0 && httpd_now_ms() < until) {
        poll(NULL, 0, LOOK_MS);
    }
    cut(h);
    reap(h, true);
    httpd_free(h);
}

struct net_addr httpd_address(const struct httpd *h)
{
    return h->bound;
}

unsigned httpd_connections(const struct httpd *h)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&h->lock;
    size_t n = 0;

    pthread_mutex_lock(lock);
    n = count(h, SLOT_TCP, NULL) + count(h, SLOT_UNIX, NULL) + count(h, SLOT_OVERFLOW, NULL);
    pthread_mutex_unlock(lock);
    return (unsigned)n;
}
