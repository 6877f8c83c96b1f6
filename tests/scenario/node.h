/* tests/scenario/node.h - two workers with real sockets and threads, somebody who asks them things,
 * and as much of a store as they need. */
#ifndef TESTS_SCENARIO_NODE_H
#define TESTS_SCENARIO_NODE_H

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "gc/store_int.h"
#include "tests/scenario/bench.h"

enum { EACH = 40, WAIT_MS = 5000 };

struct node {
    struct conf *conf;
    struct gc_settings set;
    struct gc_plan plan;
    struct sessions *sessions;
    struct location *location;
    struct metrics *metrics;
    struct workers *ws;
};

static inline void node_open(struct node *n, struct store *store)
{
    char why[128] = "";
    struct workers_cfg cfg = {.set = &n->set, .plan = &n->plan, .n = 2, .clock = clock_system()};
    memset(n, 0, sizeof *n);
    assert_int_equal(sip_osip_init(), E_OK);
    assert_int_equal(conf_load(NULL, gc_fields, gc_fields_n, &n->set, why, sizeof why, &n->conf),
                     E_OK);
    assert_int_equal(gc_settings_check(&n->set, &n->plan, why, sizeof why), E_OK);
    n->set.challenge_per_source = 100000;
    n->set.trace_bytes = 1 << 20;
    n->plan.n_ps = 0;
    n->plan.n_listen = 2;
    n->plan.listen[0] = (struct gc_listen){SIP_UDP, addr("127.0.9.101:5060")};
    n->plan.listen[0].address.port = 0;
    n->plan.listen[1] = (struct gc_listen){SIP_TCP, n->plan.listen[0].address};
    assert_int_equal(sessions_new(64, &n->sessions), E_OK);
    assert_int_equal(location_new(64, &n->location), E_OK);
    assert_int_equal(metrics_new(2, &n->metrics), E_OK);
    cfg.sessions = n->sessions;
    cfg.location = n->location;
    cfg.metrics = n->metrics;
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    assert_int_equal(workers_new(&cfg, &n->ws), E_OK);
    assert_int_equal(workers_start(n->ws, store), E_OK);
}

static inline void node_close(struct node *n)
{
    workers_free(n->ws);
    metrics_free(n->metrics);
    location_free(n->location);
    sessions_free(n->sessions);
    conf_free(n->conf);
}

static inline int dial(const struct node *n, unsigned listener, int type)
{
    struct sockaddr_storage to;
    socklen_t len = net_to_sockaddr(&n->ws->live->own[listener].address, &to);
    int fd = socket(to.ss_family, type, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, len), 0);
    return fd;
}

static inline size_t options(char *out, size_t max, const char *proto, unsigned i)
{
    return (size_t)snprintf(
        out, max,
        "OPTIONS sip:headgate.example SIP/2.0\r\nVia: SIP/2.0/%s 127.0.9.11:5060;rport;"
        "branch=z9hG4bKo%u\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
        "Call-ID: %s-%u\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        proto, i, proto, i);
}

/* How many answers come; `want` at most. */
static inline unsigned count_answers(int fd, unsigned want)
{
    char buf[16384];
    size_t n = 0;
    unsigned seen = 0;
    while (seen < want) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t got = poll(&p, 1, WAIT_MS) == 1 ? recv(fd, buf + n, sizeof buf - n, 0) : 0;
        const char *hit = NULL;
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
        while ((hit = memmem(buf, n, "\r\n\r\n", 4)) != NULL) { /* none has a body */
            size_t used = (size_t)(hit - buf) + 4;
            assert_memory_equal(buf, "SIP/2.0 200", 11);
            memmove(buf, buf + used, n - used);
            n -= used;
            seen++;
        }
    }
    return seen;
}

static inline void ask_all(const struct node *n, unsigned listener, int type, const char *proto)
{
    char text[1024];
    int fd = dial(n, listener, type);
    for (unsigned i = 0; i < EACH; i++) {
        size_t len = options(text, sizeof text, proto, i);
        assert_int_equal(send(fd, text, len, 0), (ssize_t)len);
    }
    assert_int_equal(count_answers(fd, EACH), EACH);
    close(fd);
}

/* As much of a store as pins a snapshot. */
static inline void store_open(struct store *s)
{
    const struct snapshot_input nothing = {.n_lines = 0};
    struct snapshot *snap = NULL;
    char why[128];
    memset(s, 0, sizeof *s);
    assert_int_equal(pthread_mutex_init(&s->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&s->changed, NULL), 0);
    s->cfg.workers = 2;
    assert_int_equal(metrics_new(1, &s->cfg.metrics), E_OK);
    for (unsigned i = 0; i < SM_COUNT; i++) {
        s->meter[i] = metric_declare(s->cfg.metrics, METRIC_GAUGE, "test_store", "", "A gauge.");
    }
    assert_int_equal(snapshot_build(&nothing, &snap, why, sizeof why), E_OK);
    assert_int_equal(store_wrap(s, snap, NULL, &s->current), E_OK);
    s->current->refs = 0;
}

/* Whoever used it has ended. */
static inline void store_close(struct store *s)
{
    for (struct held *h = s->garbage; h != NULL;) {
        struct held *next = h->next;
        snapshot_free(h->snap);
        mem_free(h);
        h = next;
    }
    snapshot_free(s->current->snap);
    mem_free(s->current);
    metrics_free(s->cfg.metrics);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
}

#endif
