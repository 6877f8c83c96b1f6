/* Octets from and to the peer, with limits of time, through TLS or not. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/httpd_int.h"

enum { LINGER_MS = 500, LINGER_BYTES = 262144 };

uint64_t httpd_now_ms(void)
{
    return clock_mono_ms(clock_system());
}

static enum io wait_for(const struct conn *c, short events, uint64_t until_ms, bool stops)
{
    struct pollfd p[2] = {{.fd = c->fd, .events = events},
                          {.fd = stops ? c->h->stop_fd : -1, .events = POLLIN}};

    for (;;) {
        uint64_t now = httpd_now_ms();
        int n = 0;
        if (now >= until_ms) {
            return IO_LATE;
        }
        n = poll(p, 2, (int)(until_ms - now < 60000 ? until_ms - now : 60000));
        if (n < 0 && errno != EINTR) {
            return IO_BROKEN;
        }
        if (n > 0 && p[0].revents != 0) {
            return IO_OK;
        }
        if (n > 0 && p[1].revents != 0) {
            return IO_STOP;
        }
    }
}

static bool is_later(int rc)
{
    return rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED;
}

static short direction(const struct conn *c)
{
    return gnutls_record_get_direction(c->tls) == 1 ? POLLOUT : POLLIN;
}

enum io conn_handshake(struct conn *c)
{
    enum io io = IO_OK;
    int rc = 0;

    if (gnutls_init(&c->tls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0) {
        return IO_BROKEN;
    }
    if (gnutls_priority_set(c->tls, c->cred->priority) < 0 ||
        gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, c->cred->x) < 0) {
        return IO_BROKEN;
    }
    if (c->cred->asks) {
        gnutls_certificate_server_set_request(c->tls, GNUTLS_CERT_REQUEST);
    }
    gnutls_transport_set_int(c->tls, c->fd);
    while (io == IO_OK) {
        rc = gnutls_handshake(c->tls);
        if (rc == GNUTLS_E_SUCCESS) {
            httpd_chain_of(c->tls, &c->chain);
            return IO_OK;
        }
        if (gnutls_error_is_fatal(rc)) {
            gnutls_alert_send_appropriate(c->tls, rc);
            return IO_BROKEN;
        }
        if (is_later(rc)) {
            io = wait_for(c, direction(c), c->deadline_ms, true);
        }
    }
    return io;
}

/* One try: octets, 0 at the end, -1 nothing now, -2 broken. */
static ssize_t try_read(struct conn *c, void *to, size_t max)
{
    ssize_t n = 0;

    if (c->tls == NULL) {
        n = recv(c->fd, to, max, 0);
        return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? -1 : -2;
    }
    n = gnutls_record_recv(c->tls, to, max);
    if (n == GNUTLS_E_PREMATURE_TERMINATION) {
        return 0;
    }
    /* Warnings are read over; a new handshake is not wanted. */
    return n >= 0 ? n : is_later((int)n) || n == GNUTLS_E_WARNING_ALERT_RECEIVED ? -1 : -2;
}

enum io conn_read(struct conn *c, void *to, size_t max, size_t *n, bool stops)
{
    for (;;) {
        ssize_t got = try_read(c, to, max);
        enum io io = IO_OK;
        if (got > 0) {
            *n = (size_t)got;
            return IO_OK;
        }
        if (got == 0 || got == -2) {
            return got == 0 ? IO_END : IO_BROKEN;
        }
        io = wait_for(c, c->tls != NULL ? direction(c) : POLLIN, c->deadline_ms, stops);
        if (io != IO_OK) {
            return io;
        }
    }
}

enum io conn_write(struct conn *c, const void *p, size_t n)
{
    const char *at = p;

    while (n > 0) {
        ssize_t sent =
            c->tls == NULL ? send(c->fd, at, n, MSG_NOSIGNAL) : gnutls_record_send(c->tls, at, n);
        bool later = c->tls == NULL ? sent < 0 && (errno == EAGAIN || errno == EINTR)
                                    : sent < 0 && is_later((int)sent);
        if (sent > 0) {
            at += sent;
            n -= (size_t)sent;
        } else if (!later) {
            return IO_BROKEN;
        } else if (atomic_load(&c->h->cut)) {
            return IO_STOP;
        } else {
            enum io io = wait_for(c, POLLOUT, httpd_now_ms() + c->h->cfg.read_ms, false);
            if (io != IO_OK) {
                return io;
            }
        }
    }
    return IO_OK;
}

bool conn_is_gone(const struct conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

void conn_linger(struct conn *c)
{
    char sink[4096];
    size_t left = LINGER_BYTES;
    uint64_t until = httpd_now_ms() + LINGER_MS;

    if (c->tls != NULL) {
        gnutls_bye(c->tls, GNUTLS_SHUT_WR);
    }
    shutdown(c->fd, SHUT_WR);
    while (left > 0 && wait_for(c, POLLIN, until, true) == IO_OK) {
        ssize_t n = recv(c->fd, sink, sizeof sink, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return;
        }
        left -= n > 0 && (size_t)n < left ? (size_t)n : n > 0 ? left : 0;
    }
}
