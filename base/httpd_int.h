/* base/httpd_int.h - inside of httpd*.c.
 *
 * A connection has a thread (httpd_conn.c), which reads requests itself, strictly (httpd_head.c),
 * because libmicrohttpd takes two Content-Lengths, two Hosts, bare LFs and more. What is beyond
 * doubt is written anew, as a head without body, into a pair of sockets whose other end is a
 * connection of libmicrohttpd that the same thread drives (httpd_mhd.c): it calls the handler and
 * writes the answer, which goes from the pair to the peer, through TLS or not (httpd_io.c). */
#ifndef BASE_HTTPD_INT_H
#define BASE_HTTPD_INT_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/httpd.h"
#include "base/httpd_head.h"

enum {
    HTTPD_UNIX_MAX = 64,    /* connections of the Unix socket, beside max_connections */
    HTTPD_OVERFLOW_MAX = 8, /* connections that are only told that there are too many */
    HTTPD_PEER_CHAIN_MAX = 8,
    HTTPD_REQUEST_ID_MAX = 64
};

/* ---- credentials: httpd_tls.c ------------------------------------------------------------------
 */
struct httpd_cred {
    unsigned refs; /* under the lock of struct httpd */
    gnutls_certificate_credentials_t x;
    gnutls_priority_t priority;
    bool asks;          /* for a certificate of the peer */
    time_t lists_until; /* the first revocation list has run out; 0: none, or never */
};
MUST_CHECK enum err httpd_cred_new(const struct httpd_tls *files, struct httpd_cred **out,
                                   char *why, size_t why_bytes);
void httpd_cred_free(struct httpd_cred *c);

struct httpd_chain { /* what the peer showed */
    unsigned n;
    gnutls_x509_crt_t crt[HTTPD_PEER_CHAIN_MAX];
};
/* n 0: none, or not to be read. */
void httpd_chain_of(gnutls_session_t tls, struct httpd_chain *out);
void httpd_chain_free(struct httpd_chain *c);
/* Whether the credentials' authorities stand for it now, for a client, and its name. */
bool httpd_chain_name(const struct httpd_chain *c, const struct httpd_cred *cred,
                      char name[HTTPD_NAME_MAX]);

/* ---- the server: httpd.c -----------------------------------------------------------------------
 */
enum slot_use { SLOT_FREE, SLOT_TCP, SLOT_UNIX, SLOT_OVERFLOW };
struct slot { /* all under the lock, but thread */
    struct httpd *h;
    enum slot_use use;
    bool is_done; /* the thread has ended, or is about to: to be joined */
    pthread_t thread;
    int fd;
    bool is_unix;
    struct net_addr source;
};

struct httpd {
    struct httpd_cfg cfg;
    char path[108]; /* of the Unix socket; empty: none */
    dev_t device;
    ino_t inode;
    pthread_mutex_t lock;
    struct httpd_cred *cred; /* NULL: plain */
    pthread_t acceptor;
    bool accepts;
    int tcp_fd, unix_fd;
    int stop_fd;                /* readable once the end has begun */
    _Atomic bool stopping, cut; /* cut: nothing is waited for any more */
    struct net_addr bound;
    size_t n_slots;
    struct slot *slots;
};

MUST_CHECK enum err httpd_unix_listen(struct httpd *h, char *why, size_t why_bytes);
void httpd_unix_close(struct httpd *h);
struct httpd_cred *httpd_cred_take(struct httpd *h); /* the newest; to be given back */
void httpd_cred_give(struct httpd *h, struct httpd_cred *c);

/* ---- a connection: httpd_conn.c, httpd_io.c ----------------------------------------------------
 */
enum io { IO_OK, IO_END, IO_LATE, IO_STOP, IO_BROKEN };
struct MHD_Daemon;

struct conn {
    struct httpd *h;
    struct slot *slot;
    int fd;
    struct httpd_peer peer;
    struct httpd_cred *cred;
    gnutls_session_t tls;
    struct httpd_chain chain;
    uint64_t deadline_ms; /* of reading the request */
    struct http_head head;
    char *body;
    size_t body_n;
    char request_id[HTTPD_REQUEST_ID_MAX + 1];
    struct MHD_Daemon *mhd;
    int pair_fd;
    struct httpd_exchange *x; /* under way */
    size_t n;
    char in[HTTP_HEAD_MAX];
};

uint64_t httpd_now_ms(void);
enum io conn_handshake(struct conn *c);
/* 1..max octets. stops: the end of the server ends the wait. */
enum io conn_read(struct conn *c, void *to, size_t max, size_t *n, bool stops);
/* All of them; IO_LATE when the peer takes nothing for read_ms. */
enum io conn_write(struct conn *c, const void *p, size_t n);
bool conn_is_gone(const struct conn *c); /* the peer has closed its side */
/* Says goodbye so that what was written arrives although more was sent to us. */
void conn_linger(struct conn *c);

void *httpd_conn_run(void *slot);

/* ---- libmicrohttpd: httpd_mhd.c ----------------------------------------------------------------
 */
/* The request of c->head and c->body through the handler, and its answer to the peer. False: the
 * connection has ended. */
bool conn_exchange(struct conn *c);
void conn_mhd_close(struct conn *c);

#endif
