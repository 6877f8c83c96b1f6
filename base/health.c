#include "base/health.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define CLIENTS_MAX   32
#define HEAD_MAX      2048
#define ANSWER_MAX    262144
#define CLIENT_MAX_MS 5000
#define PAUSE_MS      1000 /* without descriptors: accept() would fail at once again and again */

struct client {
    struct health *h;
    int fd; /* -1: free */
    struct loop_io *io;
    struct loop_timer timer;
    char head[HEAD_MAX];
    size_t n;
    char *answer;
    size_t answer_n, sent;
};

struct health {
    struct loop *l;
    int fd;
    struct loop_io *io;
    struct net_addr address;
    const struct metrics *m;
    health_ready_fn *ready;
    void *arg;
    struct loop_timer pause;
    struct client c[CLIENTS_MAX];
};

static void drop(struct client *c)
{
    loop_timer_stop(c->h->l, &c->timer);
    loop_io_stop(c->io);
    if (c->fd >= 0) {
        close(c->fd);
    }
    mem_free(c->answer);
    *c = (struct client){.h = c->h, .fd = -1};
}

static void on_timeout(void *arg)
{
    drop(arg);
}

static void answer(struct client *c, const char *status, const char *type, const char *body)
{
    size_t room = strlen(body) + 256;

    c->answer = mem_zalloc(room);
    if (c->answer == NULL) {
        return;
    }
    c->answer_n = (size_t)snprintf(c->answer, room,
                                   "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                                   "Connection: close\r\nCache-Control: no-store\r\n\r\n%s",
                                   status, type, strlen(body), body);
}

static void answer_metrics(struct client *c)
{
    size_t need = metrics_render(c->h->m, NULL, 0);
    char *text = need < ANSWER_MAX ? mem_zalloc(need + 4096) : NULL;

    if (text == NULL) {
        answer(c, "500 Internal Server Error", "text/plain", "no memory\n");
        return;
    }
    metrics_render(c->h->m, text, need + 4096);
    answer(c, "200 OK", "text/plain; version=0.0.4", text);
    mem_free(text);
}

static void respond(struct client *c)
{
    struct view head = view_from(c->head, c->n);
    char json[1024] = "{}";

    if (!view_starts(head, VIEW("GET "))) {
        answer(c, "405 Method Not Allowed\r\nAllow: GET", "text/plain", "GET only\n");
    } else if (view_starts(head, VIEW("GET /livez HTTP/1."))) {
        answer(c, "200 OK", "application/json", "{\"live\":true}\n");
    } else if (view_starts(head, VIEW("GET /readyz HTTP/1."))) {
        bool ready = c->h->ready(c->h->arg, json, sizeof json);
        answer(c, ready ? "200 OK" : "503 Service Unavailable", "application/json", json);
    } else if (view_starts(head, VIEW("GET /metrics HTTP/1."))) {
        answer_metrics(c);
    } else {
        answer(c, "404 Not Found", "text/plain", "/livez, /readyz, /metrics\n");
    }
}

static bool not_now(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* True when the answer is there. False: more is needed, or the client is gone. */
static bool read_head(struct client *c, int fd)
{
    ssize_t n = read(fd, c->head + c->n, sizeof c->head - c->n);

    if (not_now(n)) {
        return false;
    }
    if (n <= 0) {
        drop(c);
        return false;
    }
    c->n += (size_t)n;
    if (memmem(c->head, c->n, "\r\n\r\n", 4) != NULL) {
        respond(c);
    } else if (c->n == sizeof c->head) {
        answer(c, "431 Request Header Fields Too Large", "text/plain", "2 KiB at most\n");
    } else {
        return false;
    }
    if (c->answer == NULL) {
        drop(c);
        return false;
    }
    loop_io_events(c->io, LOOP_WRITE);
    return true;
}

static void on_client(void *arg, int fd, unsigned events)
{
    struct client *c = arg;
    ssize_t n = 0;

    (void)events;
    if (c->answer == NULL && !read_head(c, fd)) {
        return;
    }
    n = send(fd, c->answer + c->sent, c->answer_n - c->sent, MSG_NOSIGNAL);
    c->sent += n > 0 ? (size_t)n : 0;
    if ((n < 0 && !not_now(n)) || c->sent == c->answer_n) {
        drop(c);
    }
}

static void on_pause_end(void *arg)
{
    struct health *h = arg;

    loop_io_events(h->io, LOOP_READ);
}

static void on_accept(void *arg, int fd, unsigned events)
{
    struct health *h = arg;
    struct client *c = NULL;
    int client_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (client_fd < 0) {
        if ((errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) &&
            loop_timer_start(h->l, &h->pause, PAUSE_MS, on_pause_end, h) == E_OK) {
            loop_io_events(h->io, 0);
        }
        return;
    }
    for (size_t i = 0; i < CLIENTS_MAX && c == NULL; i++) {
        c = h->c[i].fd < 0 ? &h->c[i] : NULL;
    }
    if (c == NULL) {
        close(client_fd);
        return;
    }
    c->fd = client_fd;
    if (loop_io_start(h->l, client_fd, LOOP_READ, on_client, c, &c->io) != E_OK ||
        loop_timer_start(h->l, &c->timer, CLIENT_MAX_MS, on_timeout, c) != E_OK) {
        drop(c);
    }
}

enum err health_open(struct loop *l, const struct net_addr *listen, const struct metrics *m,
                     health_ready_fn *ready, void *arg, struct health **out)
{
    enum err e = E_DENIED;
    struct health *h = NULL;

    if (!net_is_loopback(listen)) {
        return FAIL(E_DENIED);
    }
    h = mem_zalloc(sizeof *h);
    if (h == NULL) {
        return FAIL(E_NOMEM);
    }
    *h = (struct health){.l = l, .fd = -1, .m = m, .ready = ready, .arg = arg};
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        h->c[i] = (struct client){.h = h, .fd = -1};
    }
    TRY(net_tcp_listen(listen, false, 32, &h->fd));
    TRY(net_local(h->fd, &h->address));
    TRY(loop_io_start(l, h->fd, LOOP_READ, on_accept, h, &h->io));
    *out = h;
    h = NULL;
out:
    health_close(h);
    return e;
}

void health_close(struct health *h)
{
    if (h == NULL) {
        return;
    }
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        if (h->c[i].fd >= 0) {
            drop(&h->c[i]);
        }
    }
    loop_timer_stop(h->l, &h->pause);
    loop_io_stop(h->io);
    if (h->fd >= 0) {
        close(h->fd);
    }
    mem_free(h);
}

struct net_addr health_address(const struct health *h)
{
    return h->address;
}
