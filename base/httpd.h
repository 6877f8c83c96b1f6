/* base/httpd.h - an HTTP/1.1 server: TLS, Unix socket, who the peer is, bounds. The only door to
 * libmicrohttpd (and, for the peer's certificate, to GnuTLS) is httpd*.c.
 *
 * Model      a thread for each connection, at most max_connections of them and per_source of one
 * address; the Unix socket's count apart, so that a flood from the network keeps no local operator
 * out. A handler may block (database). Requests are read and judged by httpd_head.c before
 * libmicrohttpd gets to see them (httpd_int.h says how): its own reading is too lenient. TLS 1.3
 * and 1.2; a client certificate is asked for when there is a CA, and only one that verifies makes
 * PEER_CERTIFICATE: none and a bad one make PEER_NOBODY, which is for the handler to refuse.
 * Refused    before the handler, with 400 and the connection closed: Host, Content-Length,
 * Transfer-Encoding, Authorization, If-Match, Idempotency-Key or Content-Type twice (RFC 9112
 * section 11.2), a bare CR or LF; Content-Length beside Transfer-Encoding; any transfer coding but
 * chunked; no Host; a target that is not origin-form; %00, %2F, controls, "." and ".." segments in
 * the path; octets above 0x7E in the head. 413: a body past max_body; 414/431: a head past 16 KiB;
 * 408 and closed: a head or body that does not come within read_ms; 503 with Retry-After and
 * closed: past max_connections. Answers to these are application/problem+json too. Ownership  a
 * request and what it points to live until the handler returns. Errors     E_IO with `why`:
 * address, file, certificate. Threads    open, reload, close: one thread. The handler runs on many.
 */
#ifndef BASE_HTTPD_H
#define BASE_HTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/net.h"
#include "base/view.h"

struct httpd;
struct httpd_exchange; /* one request and its answer */

enum httpd_peer_kind { PEER_NOBODY, PEER_UNIX, PEER_CERTIFICATE };

#define HTTPD_NAME_MAX 256
struct httpd_peer {
    enum httpd_peer_kind kind;
    bool is_tls;
    uid_t uid; /* PEER_UNIX: SO_PEERCRED */
    gid_t gid;
    pid_t pid;
    char name[HTTPD_NAME_MAX]; /* PEER_CERTIFICATE: its one CN, or its first DNS or e-mail name */
    struct net_addr address;   /* family 0: Unix */
};

struct httpd_request {
    struct view method, path; /* path: as sent, percent-encoded, without query */
    struct view query;        /* as sent, without '?'; empty: none */
    struct view body;
    const char *request_id; /* X-Request-Id when it is 1 to 64 of A-Za-z0-9._-, else one of ours */
    const struct httpd_peer *peer;
    struct httpd_exchange *x;
};

/* A header of the request, case-insensitive; empty when absent. */
struct view httpd_header(const struct httpd_request *r, const char *name);

/* Answers; exactly one of these for each request. X-Request-Id, Date, Cache-Control: no-store and
 * the security headers are added. headers: alternating names and values, NULL-terminated, or NULL.
 */
void httpd_answer(const struct httpd_request *r, unsigned status, const char *content_type,
                  const char *const *headers, struct view body);
/* A body without known end. pull writes up to max octets; blocks for at most a second; 0: nothing
 * yet (it is called again), HTTPD_PULL_END: that was all, HTTPD_PULL_FAILED: it was not, and the
 * peer must see that (the connection is closed without the last chunk). done is called exactly
 * once, whatever happens. */
enum { HTTPD_PULL_END = -1, HTTPD_PULL_FAILED = -2 };
typedef ssize_t httpd_pull_fn(void *arg, char *to, size_t max);
void httpd_stream(const struct httpd_request *r, unsigned status, const char *content_type,
                  const char *const *headers, httpd_pull_fn *pull, void (*done)(void *arg),
                  void *arg);

/* The answer's status, once there is one; else 0. */
unsigned httpd_status(const struct httpd_request *r);

typedef void httpd_handler(void *arg, const struct httpd_request *r);

struct httpd_tls {
    const char *certificate, *key; /* PEM files */
    const char *client_ca;         /* NULL or "": no client certificates */
    const char *client_crl;        /* NULL or "": none */
};

struct httpd_cfg {
    struct net_addr listen;    /* family 0: none */
    const char *socket;        /* Unix; NULL or "": none */
    const char *socket_group;  /* "" : only our own user and root can connect */
    struct httpd_tls tls;      /* certificate NULL or "": plain, for loopback addresses only */
    unsigned max_connections;  /* 128 */
    unsigned per_source;       /* 16; Unix: 64 in all */
    size_t max_body;           /* 256 KiB */
    unsigned read_ms, idle_ms; /* 10 s for head and body, 60 s between requests */
    httpd_handler *handler;
    void *arg;
};

MUST_CHECK enum err httpd_open(const struct httpd_cfg *cfg, struct httpd **out, char *why,
                               size_t why_bytes);
/* New files of certificates from now on, for new connections; on failure the old ones stay. */
MUST_CHECK enum err httpd_reload(struct httpd *h, const struct httpd_tls *tls, char *why,
                                 size_t why_bytes);
/* From now on: no new connection, each ends after the request under way, event streams
 * (text/event-stream) end; other streams go on, since their end would look like that of the data.
 */
void httpd_drain(struct httpd *h);
/* Drains for drain_ms at most, then cuts and closes: a stream that is cut shows that it is. NULL is
 * fine. */
void httpd_close(struct httpd *h, unsigned drain_ms);
struct net_addr httpd_address(const struct httpd *h); /* the real port when 0 was asked */
unsigned httpd_connections(const struct httpd *h);

#endif
