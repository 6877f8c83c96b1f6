/* An exchange: a request that is beyond doubt, through libmicrohttpd and the handler, and its
 * answer out to the peer. One thread does all of it: MHD_run() never waits, and what it writes into
 * the pair of sockets is carried on between its turns. */
#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/httpd_int.h"
#include "base/mem.h"

enum {
    MEMORY_BYTES = 65536,
    BLOCK_BYTES = 16384,
    REQUEST_BYTES = HTTP_LINE_MAX + 512,
    IDLE_TURNS = 1000
};

struct httpd_exchange {
    struct conn *c;
    struct httpd_request r;
    struct MHD_Connection *mhd;
    bool began, answered, completed, broken;
    unsigned status;
    httpd_pull_fn *pull;
    void (*done)(void *arg);
    void *arg;
    bool is_events; /* a stream without end of its own */
};

/* ---- from the pair to the peer -----------------------------------------------------------------
 */
/* All that is there now. False: the peer is gone or takes nothing. *moved: anything went. */
static bool carry(struct conn *c, bool *moved, bool *ended)
{
    char buf[BLOCK_BYTES];

    for (;;) {
        ssize_t n = recv(c->pair_fd, buf, sizeof buf, MSG_DONTWAIT);
        if (n == 0) {
            *ended = true;
            return true;
        }
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        *moved = true;
        if (conn_write(c, buf, (size_t)n) != IO_OK) {
            return false;
        }
    }
}

/* ---- answers -----------------------------------------------------------------------------------
 */
static bool is_given_by(const char *const *headers, const char *name)
{
    for (size_t i = 0; headers != NULL && headers[i] != NULL; i += 2) {
        if (view_eq_nocase(view_of(headers[i]), view_of(name))) {
            return true;
        }
    }
    return false;
}

static void add_headers(const struct httpd_request *r, struct MHD_Response *to,
                        const char *content_type, const char *const *headers)
{
    static const char *const ours[][2] = {
        {"Cache-Control", "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"}};

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (!is_given_by(headers, ours[i][0])) {
            MHD_add_response_header(to, ours[i][0], ours[i][1]);
        }
    }
    if (r->peer->is_tls) {
        MHD_add_response_header(to, "Strict-Transport-Security", "max-age=31536000");
    }
    if (content_type != NULL) {
        MHD_add_response_header(to, "Content-Type", content_type);
    }
    MHD_add_response_header(to, "X-Request-Id", r->request_id);
    for (size_t i = 0; headers != NULL && headers[i] != NULL; i += 2) {
        MHD_add_response_header(to, headers[i], headers[i + 1]);
    }
    if (atomic_load(&r->x->c->h->stopping)) {
        MHD_add_response_header(to, "Connection", "close");
    }
}

static void queue(const struct httpd_request *r, unsigned status, const char *content_type,
                  const char *const *headers, struct MHD_Response *answer)
{
    struct httpd_exchange *x = r->x;

    x->answered = true;
    x->status = status;
    if (answer == NULL) {
        x->broken = true;
        return;
    }
    add_headers(r, answer, content_type, headers);
    x->broken = MHD_queue_response(x->mhd, status, answer) != MHD_YES;
    MHD_destroy_response(answer);
}

void httpd_answer(const struct httpd_request *r, unsigned status, const char *content_type,
                  const char *const *headers, struct view body)
{
    struct MHD_Response *answer = NULL;

    BUG_ON(r->x->answered);
    answer =
        MHD_create_response_from_buffer(body.n, (void *)(uintptr_t)body.p, MHD_RESPMEM_MUST_COPY);
    queue(r, status, content_type, headers, answer);
}

/* What was written before goes out first: pull may wait. */
static ssize_t on_pull(void *arg, uint64_t at, char *to, size_t max)
{
    struct httpd_exchange *x = arg;
    struct conn *c = x->c;

    (void)at;
    for (;;) {
        bool moved = false, ended = false;
        ssize_t n = 0;
        if (!carry(c, &moved, &ended) || conn_is_gone(c) || atomic_load(&c->h->cut)) {
            x->broken = true;
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
        if (x->is_events && atomic_load(&c->h->stopping)) {
            return MHD_CONTENT_READER_END_OF_STREAM;
        }
        n = x->pull(x->arg, to, max);
        if (n == HTTPD_PULL_FAILED) {
            x->broken = true;
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
        if (n != 0) {
            return n < 0 ? MHD_CONTENT_READER_END_OF_STREAM : n;
        }
    }
}

void httpd_stream(const struct httpd_request *r, unsigned status, const char *content_type,
                  const char *const *headers, httpd_pull_fn *pull, void (*done)(void *arg),
                  void *arg)
{
    struct httpd_exchange *x = r->x;

    BUG_ON(x->answered);
    x->pull = pull;
    x->done = done;
    x->arg = arg;
    x->is_events = view_starts_nocase(view_of(content_type), VIEW("text/event-stream"));
    queue(r, status, content_type, headers,
          MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_pull, x, NULL));
}

unsigned httpd_status(const struct httpd_request *r)
{
    return r->x->status;
}

struct view httpd_header(const struct httpd_request *r, const char *name)
{
    return http_head_field(&r->x->c->head, view_of(name));
}

/* ---- libmicrohttpd's side ----------------------------------------------------------------------
 */
/* Two readings of the same request must agree. */
static bool same_request(const struct httpd_request *r, const char *method, const char *url)
{
    return view_eq(r->method, view_of(method)) && view_eq(r->path, view_of(url));
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_n, void **state)
{
    struct conn *c = arg;
    struct httpd_exchange *x = c->x;

    (void)version;
    (void)body;
    (void)state;
    if (x == NULL || *body_n != 0 || !same_request(&x->r, method, url)) {
        return MHD_NO;
    }
    if (!x->began) { /* the head; the next call is for the answer */
        x->began = true;
        *state = x;
        return MHD_YES;
    }
    if (!x->answered) {
        x->mhd = mhd;
        c->h->cfg.handler(c->h->cfg.arg, &x->r);
        if (!x->answered) {
            httpd_answer(&x->r, 500, NULL, NULL, VIEW(""));
        }
    }
    return x->broken ? MHD_NO : MHD_YES;
}

static void on_completed(void *arg, struct MHD_Connection *mhd, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct conn *c = arg;

    (void)mhd;
    (void)state;
    if (c->x != NULL) {
        c->x->completed = true;
        c->x->broken |= why != MHD_REQUEST_TERMINATED_COMPLETED_OK;
    }
}

/* The path stays as it was sent. */
static size_t unescape_nothing(void *arg, struct MHD_Connection *mhd, char *text)
{
    (void)arg;
    (void)mhd;
    return strlen(text);
}

static bool start(struct conn *c)
{
    const struct sockaddr_un nowhere = {.sun_family = AF_UNIX};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
        return false;
    }
    c->mhd =
        MHD_start_daemon(MHD_USE_NO_LISTEN_SOCKET | MHD_USE_EPOLL, 0, NULL, NULL, on_request, c,
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, c, MHD_OPTION_UNESCAPE_CALLBACK,
                         unescape_nothing, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                         (size_t)MEMORY_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (c->mhd == NULL) {
        close(pair[0]);
        close(pair[1]);
        return false;
    }
    c->pair_fd = pair[0];
    /* It owns the other end, also when it fails. */
    if (MHD_add_connection(c->mhd, pair[1], (const struct sockaddr *)&nowhere,
                           sizeof nowhere.sun_family) != MHD_YES) {
        conn_mhd_close(c);
        return false;
    }
    return true;
}

void conn_mhd_close(struct conn *c)
{
    if (c->mhd != NULL) {
        MHD_stop_daemon(c->mhd);
        c->mhd = NULL;
        close(c->pair_fd);
    }
}

/* The request as libmicrohttpd gets it: nothing that it could misread, and no secret. */
static bool hand_over(struct conn *c)
{
    char text[REQUEST_BYTES];
    int n =
        snprintf(text, sizeof text, "%.*s %.*s HTTP/1.%u\r\nHost: headgate\r\n%s\r\n",
                 (int)c->head.method.n, c->head.method.p, (int)c->head.target.n, c->head.target.p,
                 c->head.minor, c->head.closes ? "Connection: close\r\n" : "");

    return n > 0 && (size_t)n < sizeof text &&
           send(c->pair_fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) == n;
}

/* Turns until the answer is out. */
static bool drive(struct conn *c, bool *ended)
{
    struct httpd_exchange *x = c->x;
    unsigned idle = 0;

    while (!x->completed && !x->broken && idle < IDLE_TURNS) {
        struct pollfd p = {.fd = c->pair_fd, .events = POLLIN};
        bool moved = false;
        MHD_run(c->mhd);
        if (!carry(c, &moved, ended)) {
            return false;
        }
        idle = moved ? 0 : idle + 1;
        if (!moved && !x->completed) {
            poll(&p, 1, 10);
        }
    }
    MHD_run(c->mhd); /* it closes its end when this was the last request */
    return carry(c, &(bool){false}, ended) && x->completed && !x->broken;
}

bool conn_exchange(struct conn *c)
{
    struct httpd_exchange x = {.c = c,
                               .r = {.method = c->head.method,
                                     .path = c->head.path,
                                     .query = c->head.query,
                                     .body = {c->body, c->body_n},
                                     .request_id = c->request_id,
                                     .peer = &c->peer}};
    bool ended = false, good = false;

    x.r.x = &x;
    c->x = &x;
    good = (c->mhd != NULL || start(c)) && hand_over(c) && drive(c, &ended);
    if (!good || ended) {
        conn_mhd_close(c); /* nothing of this exchange is called any more */
    }
    c->x = NULL;
    if (x.done != NULL) {
        x.done(x.arg);
    }
    return good && !ended && !c->head.closes;
}
