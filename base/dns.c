/* The resolver library in our loop: its descriptors, its timeouts, its memory. */
#include "base/dns.h"

#include <ares.h>
#include <stdio.h>
#include <string.h>

#include "base/hlist.h"
#include "base/mem.h"

enum { TIMEOUT_MS = 2000, TRIES = 2, QUERIES_MAX = 256, SOCKETS_MAX = 64, CLASS_IN = 1, PORT = 53 };

static const int codes[] = {[DNS_A] = 1, [DNS_AAAA] = 28, [DNS_SRV] = 33, [DNS_NAPTR] = 35};

struct watched {
    int fd; /* valid with io */
    struct loop_io *io;
};

struct dns {
    struct loop *l;
    ares_channel channel;
    struct loop_timer timer;
    struct watched w[SOCKETS_MAX];
    unsigned max_queries;
    size_t pending;
    bool is_ending;
    struct hlink *queries;
};

struct dns_query {
    struct hlink in_dns;
    struct dns *d;
    enum dns_type type;
    dns_fn *fn; /* NULL: forgotten */
    void *arg;
    bool is_asking; /* inside ares_query(): an answer now would come too early */
    bool is_early;
    int early_status;
    struct loop_timer later;
};

/* ---- memory ------------------------------------------------------------------------------------
 */
static void *take(size_t n)
{
    return mem_zalloc(n != 0 ? n : 1);
}

static void *resize(void *p, size_t n)
{
    return mem_resize(p, n != 0 ? n : 1);
}

/* ---- descriptors and time ----------------------------------------------------------------------
 */
static void rearm(struct dns *d);

static void on_ready(void *arg, int fd, unsigned events)
{
    struct dns *d = arg;

    ares_process_fd(d->channel, (events & LOOP_READ) != 0 ? fd : ARES_SOCKET_BAD,
                    (events & LOOP_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
    rearm(d);
}

static void on_time(void *arg)
{
    struct dns *d = arg;

    ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(d);
}

static void rearm(struct dns *d)
{
    struct timeval tv, *next = ares_timeout(d->channel, NULL, &tv);
    uint64_t ms = 0;

    if (next == NULL) {
        loop_timer_stop(d->l, &d->timer);
        return;
    }
    ms = (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1;
    IGNORE(loop_timer_start(d->l, &d->timer, ms, on_time, d),
           "then the next answer or question starts it");
}

static struct watched *watched_of(struct dns *d, int fd)
{
    struct watched *free_one = NULL;

    for (unsigned i = 0; i < SOCKETS_MAX; i++) {
        if (d->w[i].io != NULL && d->w[i].fd == fd) {
            return &d->w[i];
        }
        free_one = d->w[i].io == NULL ? &d->w[i] : free_one;
    }
    return free_one;
}

/* A socket that finds no place is not read: its question ends by its timeout. */
static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns *d = arg;
    struct watched *w = watched_of(d, fd);
    unsigned events = (readable ? LOOP_READ : 0u) | (writable ? LOOP_WRITE : 0u);

    if (w == NULL) {
        return;
    }
    if (events == 0) {
        loop_io_stop(w->io);
        w->io = NULL;
    } else if (w->io != NULL) {
        loop_io_events(w->io, events);
    } else {
        w->fd = fd;
        IGNORE(loop_io_start(d->l, fd, events, on_ready, d, &w->io), "as above");
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */
static enum err set_servers(struct dns *d, const struct dns_cfg *cfg)
{
    struct ares_addr_port_node nodes[DNS_SERVERS_MAX];

    if (cfg->n_servers > DNS_SERVERS_MAX) {
        return FAIL(E_RANGE);
    }
    memset(nodes, 0, sizeof nodes);
    for (unsigned i = 0; i < cfg->n_servers; i++) {
        const struct net_addr *a = &cfg->servers[i];
        nodes[i].next = i + 1 < cfg->n_servers ? &nodes[i + 1] : NULL;
        nodes[i].family = a->family == 6 ? AF_INET6 : AF_INET;
        memcpy(&nodes[i].addr, a->ip, a->family == 6 ? 16 : 4);
        nodes[i].udp_port = nodes[i].tcp_port = a->port != 0 ? a->port : PORT;
    }
    return cfg->n_servers == 0 || ares_set_servers_ports(d->channel, nodes) == ARES_SUCCESS
               ? E_OK
               : FAIL(E_NOMEM);
}

static enum err open_channel(struct dns *d, const struct dns_cfg *cfg)
{
    char lookups[] = "b";
    struct ares_options o = {.timeout = (int)(cfg->timeout_ms != 0 ? cfg->timeout_ms : TIMEOUT_MS),
                             .tries = (int)(cfg->tries != 0 ? cfg->tries : TRIES),
                             .sock_state_cb = on_socket,
                             .sock_state_cb_data = d,
                             .lookups = lookups};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS;
    int rc = ares_library_init_mem(ARES_LIB_INIT_ALL, take, mem_free, resize);

    if (rc == ARES_SUCCESS) {
        rc = ares_init_options(&d->channel, &o, mask);
        if (rc != ARES_SUCCESS) {
            d->channel = NULL;
            ares_library_cleanup();
        }
    }
    if (rc != ARES_SUCCESS) {
        return rc == ARES_ENOMEM ? FAIL(E_NOMEM) : FAIL(E_IO);
    }
    return set_servers(d, cfg);
}

enum err dns_new(struct loop *l, const struct dns_cfg *cfg, struct dns **out)
{
    struct dns *d = mem_zalloc(sizeof *d);
    enum err e = d != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    d->l = l;
    d->max_queries = cfg->max_queries != 0 ? cfg->max_queries : QUERIES_MAX;
    TRY(open_channel(d, cfg));
    *out = d;
    d = NULL; /* moved */
out:
    dns_free(d);
    return e;
}

static void query_free(struct dns_query *q)
{
    loop_timer_stop(q->d->l, &q->later);
    hlist_drop(&q->in_dns);
    q->d->pending--;
    mem_free(q);
}

void dns_free(struct dns *d)
{
    if (d == NULL) {
        return;
    }
    d->is_ending = true;
    if (d->channel != NULL) {
        ares_destroy(d->channel); /* ends every question by its callback */
        ares_library_cleanup();
    }
    while (d->queries != NULL) { /* those that were to be answered later */
        query_free(HLIST_OF(d->queries, struct dns_query, in_dns));
    }
    for (unsigned i = 0; i < SOCKETS_MAX; i++) {
        loop_io_stop(d->w[i].io);
    }
    loop_timer_stop(d->l, &d->timer);
    mem_free(d);
}

size_t dns_pending(const struct dns *d)
{
    return d->pending;
}

/* ---- questions ---------------------------------------------------------------------------------
 */
static enum err err_of(int status)
{
    switch (status) {
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
        return FAIL(E_TIMEOUT);
    case ARES_ENOMEM:
        return FAIL(E_NOMEM);
    case ARES_EBADRESP:
    case ARES_EFORMERR:
        return FAIL(E_PARSE);
    default:
        return FAIL(E_IO);
    }
}

static void tell(struct dns_query *q, enum err e, const struct dns_answer *a)
{
    dns_fn *fn = q->fn;
    void *arg = q->arg;

    query_free(q);
    if (fn != NULL) {
        fn(arg, e, a);
    }
}

static void on_later(void *arg)
{
    struct dns_query *q = arg;

    tell(q, err_of(q->early_status), NULL);
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *p, int n)
{
    struct dns_query *q = arg;
    struct dns_answer a;
    enum err e = E_IO;

    (void)timeouts;
    if (q->is_asking) { /* it could not even be sent */
        q->is_early = true;
        q->early_status = status;
        return;
    }
    if (q->d->is_ending || q->fn == NULL) {
        query_free(q);
        return;
    }
    if (p == NULL || n <= 0 ||
        (status != ARES_SUCCESS && status != ARES_ENODATA && status != ARES_ENOTFOUND)) {
        tell(q, err_of(status), NULL);
        return;
    }
    e = dns_read(p, (size_t)n, q->type, &a);
    tell(q, e, e == E_OK || e == E_NOTFOUND ? &a : NULL);
}

enum err dns_query(struct dns *d, struct view name, enum dns_type type, dns_fn *fn, void *arg,
                   struct dns_query **out_or_null)
{
    struct dns_query *q = NULL;
    char text[DNS_NAME_MAX];
    enum err e = dns_name_ok(name) ? view_to_cstr(name, text, sizeof text) : FAIL(E_PARSE);

    TRY(e);
    if (d->pending >= d->max_queries) {
        return FAIL(E_FULL);
    }
    q = mem_zalloc(sizeof *q);
    if (q == NULL) {
        return FAIL(E_NOMEM);
    }
    *q = (struct dns_query){.d = d, .type = type, .fn = fn, .arg = arg, .is_asking = true};
    hlist_push(&d->queries, &q->in_dns);
    d->pending++;
    ares_query(d->channel, text, CLASS_IN, codes[type], on_answer, q);
    q->is_asking = false;
    rearm(d);
    if (q->is_early) {
        e = loop_timer_start(d->l, &q->later, 0, on_later, q);
        if (e != E_OK) {
            query_free(q);
            return e;
        }
    }
    if (out_or_null != NULL) {
        *out_or_null = q;
    }
out:
    return e;
}

void dns_forget(struct dns_query *q)
{
    if (q != NULL) {
        q->fn = NULL;
    }
}
