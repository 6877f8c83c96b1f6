/* A connection: one request after the other is read strictly, handed on, answered. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/httpd_int.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"

enum { OVERFLOW_MS = 1000, BODY_FIRST = 4096, REQUEST_ID_OURS = 8 };

/* ---- refusals before the handler ---------------------------------------------------------------
 */
static const struct {
    unsigned status;
    const char *phrase, *type, *more;
} REFUSALS[] = {
    {400, "Bad Request", "bad-request", ""},
    {408, "Request Timeout", "timeout", ""},
    {413, "Content Too Large", "too-large", ""},
    {414, "URI Too Long", "too-large", ""},
    {417, "Expectation Failed", "bad-request", ""},
    {431, "Request Header Fields Too Large", "too-large", ""},
    {503, "Service Unavailable", "unavailable", "Retry-After: 1\r\n"},
    {505, "HTTP Version Not Supported", "bad-request", ""},
};

static void http_date(char to[32])
{
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(to, 32, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static void refuse(struct conn *c, unsigned status, const char *why)
{
    char text[1536], body[512], date[32], from[NET_TEXT_MAX] = "unix";
    size_t i = 0;
    int n = 0;

    while (i + 1 < sizeof REFUSALS / sizeof REFUSALS[0] && REFUSALS[i].status != status) {
        i++;
    }
    if (!c->slot->is_unix) {
        net_ip_text(&c->peer.address, from);
    }
    LOG(LV_INFO, "httpd.refused", KV("status", status), KV("why", why),
        KV("source", (const char *)from));
    http_date(date);
    snprintf(body, sizeof body,
             "{\"type\":\"https://headgate.invalid/problems/%s\",\"title\":\"%s\",\"status\":%u,"
             "\"detail\":\"%s\",\"request_id\":\"%s\"}\n",
             REFUSALS[i].type, REFUSALS[i].phrase, status, why, c->request_id);
    n = snprintf(text, sizeof text,
                 "HTTP/1.1 %u %s\r\nDate: %s\r\nContent-Type: application/problem+json\r\n"
                 "Content-Length: %zu\r\nCache-Control: no-store\r\nX-Request-Id: %s\r\n"
                 "X-Content-Type-Options: nosniff\r\n%sConnection: close\r\n\r\n%s",
                 status, REFUSALS[i].phrase, date, strlen(body), c->request_id, REFUSALS[i].more,
                 view_eq(c->head.method, VIEW("HEAD")) ? "" : body);
    if (conn_write(c, text, (size_t)n) == IO_OK) {
        conn_linger(c);
    }
}

/* ---- reading a request -------------------------------------------------------------------------
 */
static void new_request_id(struct conn *c)
{
    uint8_t b[REQUEST_ID_OURS];

    if (crypto_random(b, sizeof b) != E_OK) {
        memset(b, 0, sizeof b);
    }
    hex_put(b, sizeof b, c->request_id);
}

static void take_request_id(struct conn *c)
{
    struct view given = http_head_field(&c->head, VIEW("X-Request-Id"));

    if (given.n == 0 || given.n > HTTPD_REQUEST_ID_MAX) {
        return;
    }
    for (size_t i = 0; i < given.n; i++) {
        char ch = given.p[i];
        bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
        if (!letter && !is_digit((unsigned char)ch) && ch != '.' && ch != '_' && ch != '-') {
            return;
        }
    }
    memcpy(c->request_id, given.p, given.n);
    c->request_id[given.n] = 0;
}

/* False: it was refused, or the connection is of no more use. */
static bool said_late(struct conn *c, enum io io, bool began)
{
    if (io == IO_LATE && began) {
        refuse(c, 408, "the request did not come in time");
    }
    return false;
}

/* The first octets may take their time between requests; from then on all of it has read_ms. */
static bool read_head(struct conn *c, bool is_first, size_t *head_n)
{
    const char *why = "";
    size_t at = 0;
    unsigned status = 0;

    c->head = (struct http_head){.minor = 1};
    new_request_id(c);
    if (!is_first) {
        c->deadline_ms = httpd_now_ms() + (c->n == 0 ? c->h->cfg.idle_ms : c->h->cfg.read_ms);
    }
    while (*head_n == 0) {
        size_t n = 0;
        if (c->n == 0) {
            enum io io = conn_read(c, c->in, sizeof c->in, &n, true);
            if (io != IO_OK) {
                return false; /* nobody asked anything */
            }
            c->deadline_ms = is_first ? c->deadline_ms : httpd_now_ms() + c->h->cfg.read_ms;
        } else if (at > 0) {
            enum io io = conn_read(c, c->in + c->n, sizeof c->in - c->n, &n, false);
            if (io != IO_OK) {
                return said_late(c, io, true);
            }
        }
        c->n += n;
        status = http_head_end(view_from(c->in, c->n), &at, head_n, &why);
        if (status == 0 && *head_n > 0) {
            status = http_head_read(view_from(c->in, *head_n), &c->head, &why);
        }
        if (status != 0) {
            refuse(c, status, why);
            return false;
        }
    }
    take_request_id(c);
    return true;
}

static bool body_room(struct conn *c, size_t *room, size_t more)
{
    size_t want = *room > 0 ? *room : BODY_FIRST;
    char *bigger = NULL;

    if (more <= *room - c->body_n) {
        return true;
    }
    while (want - c->body_n < more) {
        want *= 2;
    }
    bigger = mem_zalloc(want); /* never a realloc: what is left behind could hold a password */
    if (bigger == NULL) {
        return false;
    }
    if (c->body != NULL) {
        memcpy(bigger, c->body, c->body_n);
        wipe(c->body, c->body_n);
        mem_free(c->body);
    }
    c->body = bigger;
    *room = want;
    return true;
}

/* Octets that have come are at `in`; what belongs to the body leaves it. */
static unsigned take_body(struct conn *c, struct http_chunked *chunks, size_t *room, bool *whole,
                          const char **why)
{
    size_t used = 0, all = 0;
    unsigned status = 0;

    *whole = !c->head.is_chunked && c->body_n == c->head.length;
    while (status == 0 && !*whole && all < c->n) {
        struct view data = view_from(c->in + all, c->n - all);
        if (c->head.is_chunked) {
            status = http_chunked_read(chunks, data, &used, &data, why);
        } else {
            data = view_sub(data, 0, (size_t)c->head.length - c->body_n);
            used = data.n;
        }
        if (status == 0 && data.n > c->h->cfg.max_body - c->body_n) {
            *why = "the body is too large";
            status = 413;
        } else if (status == 0 && data.n > 0 && !body_room(c, room, data.n)) {
            *why = "no memory for the body";
            status = 503;
        } else if (status == 0 && data.n > 0) {
            memcpy(c->body + c->body_n, data.p, data.n);
            c->body_n += data.n;
        }
        all += used;
        *whole = c->head.is_chunked ? chunks->is_done : c->body_n == c->head.length;
    }
    memmove(c->in, c->in + all, c->n - all);
    c->n -= all;
    return status;
}

static void drop_body(struct conn *c)
{
    if (c->body != NULL) {
        wipe(c->body, c->body_n);
        mem_free(c->body);
    }
    c->body = NULL;
    c->body_n = 0;
}

/* The head's octets must stay while its views are used: the body is read behind it. */
static bool read_body(struct conn *c)
{
    struct http_chunked chunks = {0};
    const char *why = "the body is too large";
    size_t room = 0;
    bool whole = false;
    unsigned status = c->head.length > c->h->cfg.max_body ? 413 : 0;

    if (status == 0 && c->head.expects && c->n == 0 && (c->head.is_chunked || c->head.length > 0) &&
        conn_write(c, "HTTP/1.1 100 Continue\r\n\r\n", 25) != IO_OK) {
        return false;
    }
    while (status == 0) {
        size_t n = 0;
        enum io io = IO_OK;
        status = take_body(c, &chunks, &room, &whole, &why);
        if (status != 0 || whole) {
            break;
        }
        io = conn_read(c, c->in, sizeof c->in, &n, false);
        if (io != IO_OK) {
            return said_late(c, io, true);
        }
        c->n = n;
    }
    if (status != 0) {
        refuse(c, status, why);
    }
    return status == 0;
}

/* ---- life --------------------------------------------------------------------------------------
 */
/* Before each request: certificates may have run out, or been revoked, since the last one. */
static void look_at_peer(struct conn *c)
{
    struct httpd_cred *newest = NULL;
    bool known = false;

    if (c->tls == NULL) {
        return;
    }
    newest = httpd_cred_take(c->h);
    known = httpd_chain_name(&c->chain, newest, c->peer.name);
    c->peer.kind = known ? PEER_CERTIFICATE : PEER_NOBODY;
    if (!known) {
        c->peer.name[0] = 0;
    }
    httpd_cred_give(c->h, c->cred);
    c->cred = newest;
}

static bool open_conn(struct conn *c)
{
    struct ucred u = {.pid = 0};
    socklen_t bytes = sizeof u;
    unsigned ms = c->slot->use == SLOT_OVERFLOW ? OVERFLOW_MS : c->h->cfg.read_ms;

    c->deadline_ms = httpd_now_ms() + ms;
    if (c->slot->is_unix) {
        if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &u, &bytes) != 0) {
            return false;
        }
        c->peer = (struct httpd_peer){.kind = PEER_UNIX, .uid = u.uid, .gid = u.gid, .pid = u.pid};
        return true;
    }
    c->peer = (struct httpd_peer){.kind = PEER_NOBODY, .address = c->slot->source};
    c->cred = httpd_cred_take(c->h);
    if (c->cred == NULL) {
        return true;
    }
    c->peer.is_tls = true;
    return conn_handshake(c) == IO_OK;
}

/* Requests one after the other, until one of both ends it. */
static void serve(struct conn *c)
{
    char head[HTTP_HEAD_MAX]; /* this request's, while `in` goes on */
    bool good = true;

    for (bool is_first = true; good; is_first = false) {
        size_t head_n = 0;
        const char *why = "";
        good = read_head(c, is_first, &head_n);
        if (good && c->slot->use == SLOT_OVERFLOW) {
            refuse(c, 503, "too many connections");
            good = false;
        }
        if (!good) {
            break;
        }
        memcpy(head, c->in, head_n);
        memmove(c->in, c->in + head_n, c->n - head_n);
        c->n -= head_n;
        BUG_ON(http_head_read(view_from(head, head_n), &c->head, &why) != 0);
        look_at_peer(c);
        good = read_body(c) && conn_exchange(c) && !atomic_load(&c->h->stopping);
        drop_body(c);
        wipe(head, head_n);
    }
    wipe(head, sizeof head);
}

static void close_conn(struct conn *c)
{
    conn_mhd_close(c);
    drop_body(c);
    if (c->tls != NULL) {
        gnutls_bye(c->tls, GNUTLS_SHUT_WR);
        gnutls_deinit(c->tls);
    }
    httpd_chain_free(&c->chain);
    if (c->cred != NULL) {
        httpd_cred_give(c->h, c->cred);
    }
    wipe(c, sizeof *c);
    mem_free(c);
}

void *httpd_conn_run(void *arg)
{
    struct slot *s = arg;
    struct httpd *h = s->h;
    struct conn *c = mem_zalloc(sizeof *c);
    int fd = s->fd;

    if (c != NULL) {
        c->h = h;
        c->slot = s;
        c->fd = fd;
        c->pair_fd = -1;
        if (open_conn(c)) {
            serve(c);
        }
        close_conn(c);
    }
    pthread_mutex_lock(&h->lock);
    s->fd = -1;
    s->is_done = true;
    pthread_mutex_unlock(&h->lock);
    close(fd);
    return NULL;
}
