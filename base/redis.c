#include "base/redis.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/net.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
#define PING_MS        1000
#define CONNECT_MAX_MS 3000 /* until a link is ready */
#define MISSES_MAX     3
#define ARGS_MAX       32

/* One connection with its hooks into our loop. */
struct link {
    struct redis *r;
    bool is_subscriber;
    redisAsyncContext *ac;
    struct loop_io *io;
    unsigned wanted; /* LOOP_READ | LOOP_WRITE */
    struct loop_timer retry, ping;
    uint64_t backoff_ms;
    bool ready; /* a PONG has come; subscriptions acknowledged */
    unsigned misses, subscribed;
};

struct redis {
    struct loop *l;
    struct redis_cfg cfg;
    struct link cmd, sub;
    unsigned waiting;
    bool up, closing;
};

struct pending {
    struct redis *r;
    redis_fn *fn;
    void *arg;
};

static void connect_link(void *arg);

/* ---- hiredis hooks --------------------------------------------------------------------------- */
static void on_ready(void *arg, int fd, unsigned events)
{
    struct link *k = arg;

    (void)fd;
    if ((events & LOOP_READ) != 0 && k->ac != NULL) {
        redisAsyncHandleRead(k->ac);
    }
    if ((events & LOOP_WRITE) != 0 && k->ac != NULL && k->io != NULL &&
        (k->wanted & LOOP_WRITE) != 0) {
        redisAsyncHandleWrite(k->ac);
    }
}

static void want(struct link *k, unsigned set, unsigned clear)
{
    k->wanted = (k->wanted | set) & ~clear;
    if (k->io != NULL) {
        loop_io_events(k->io, k->wanted);
    }
}

static void add_read(void *p)
{
    want(p, LOOP_READ, 0);
}
static void del_read(void *p)
{
    want(p, 0, LOOP_READ);
}
static void add_write(void *p)
{
    want(p, LOOP_WRITE, 0);
}
static void del_write(void *p)
{
    want(p, 0, LOOP_WRITE);
}
static void cleanup(void *p)
{
    struct link *k = p;

    loop_io_stop(k->io);
    k->io = NULL;
    k->wanted = 0;
}

/* ---- state ----------------------------------------------------------------------------------- */
static void report(struct redis *r)
{
    bool up = r->cmd.ready && (r->cfg.channels == NULL || r->sub.ready);

    if (up != r->up && !r->closing) {
        r->up = up;
        if (up) {
            LOG(LV_INFO, "redis.up", KV("address", r->cfg.address));
        } else {
            LOG(LV_WARN, "redis.down", KV("address", r->cfg.address));
        }
        if (r->cfg.on_up != NULL) {
            r->cfg.on_up(r->cfg.arg, up);
        }
    }
}

static void lost(struct link *k)
{
    k->ac = NULL;
    k->ready = false;
    k->subscribed = 0;
    k->misses = 0;
    loop_timer_stop(k->r->l, &k->ping);
    if (!k->r->closing) {
        if (loop_timer_start(k->r->l, &k->retry, k->backoff_ms, connect_link, k) != E_OK) {
            LOG(LV_ERROR, "redis.no_timer", KV("address", k->r->cfg.address));
        }
        k->backoff_ms = k->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : k->backoff_ms * 2;
    }
    report(k->r);
}

static void now_ready(struct link *k)
{
    k->ready = true;
    k->backoff_ms = BACKOFF_MIN_MS; /* not before: a server may take connections and end them */
    if (k->is_subscriber) {
        loop_timer_stop(k->r->l, &k->ping);
    }
    report(k->r);
}

/* A server that still loads its data, or wants another password, answers with an error. */
static void on_pong(redisAsyncContext *ac, void *reply, void *arg)
{
    struct link *k = arg;
    const redisReply *m = reply;

    (void)ac;
    if (m == NULL) {
        return;
    }
    k->misses = 0;
    if (m->type == REDIS_REPLY_STATUS && !k->ready) {
        now_ready(k);
    } else if (m->type == REDIS_REPLY_ERROR) {
        k->ready = false;
        LOG(LV_WARN, "redis.error", KV("text", view_from(m->str, m->len)));
        report(k->r);
    }
}

static void on_auth(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *m = reply;

    (void)arg;
    if (m != NULL && m->type == REDIS_REPLY_ERROR) {
        LOG(LV_ERROR, "redis.error", KV("text", view_from(m->str, m->len)));
        redisAsyncDisconnect(ac); /* and again later: the password may be put right over there */
    }
}

/* Runs the pending callbacks with NULL; lost() comes through on_disconnect when it had been
 * connected. */
static void drop_link(struct link *k)
{
    if (k->ac != NULL) {
        redisAsyncFree(k->ac);
        if (k->ac != NULL) {
            lost(k);
        }
    }
}

static void on_ping_timer(void *arg)
{
    struct link *k = arg;

    if (k->ac == NULL) {
        return;
    }
    if (k->misses >= MISSES_MAX) {
        LOG(LV_WARN, "redis.silent", KV("address", k->r->cfg.address), KV("missed", k->misses));
        drop_link(&k->r->sub); /* the command link watches for both */
        drop_link(k);
        return;
    }
    k->misses++;
    redisAsyncCommand(k->ac, on_pong, k, "PING");
    if (loop_timer_start(k->r->l, &k->ping, PING_MS, on_ping_timer, k) != E_OK) {
        LOG(LV_ERROR, "redis.no_timer", KV("address", k->r->cfg.address));
    }
}

static void on_message(redisAsyncContext *ac, void *reply, void *arg)
{
    struct link *k = arg;
    const redisReply *m = reply;

    (void)ac;
    if (m == NULL || m->type != REDIS_REPLY_ARRAY || m->elements != 3 ||
        m->element[0]->type != REDIS_REPLY_STRING) {
        return;
    }
    if (strcmp(m->element[0]->str, "subscribe") == 0) {
        unsigned all = 0;
        while (k->r->cfg.channels[all] != NULL) {
            all++;
        }
        if (++k->subscribed >= all && !k->ready) {
            now_ready(k);
        }
    } else if (strcmp(m->element[0]->str, "message") == 0 &&
               m->element[2]->type == REDIS_REPLY_STRING && k->r->cfg.on_message != NULL) {
        k->r->cfg.on_message(k->r->cfg.arg, view_from(m->element[1]->str, m->element[1]->len),
                             view_from(m->element[2]->str, m->element[2]->len));
    }
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct link *k = ac->data;

    if (status != REDIS_OK) {
        lost(k); /* hiredis frees the context after this */
        return;
    }
    if (k->r->cfg.password != NULL) {
        redisAsyncCommand(k->ac, on_auth, k, "AUTH %s %s",
                          k->r->cfg.user != NULL ? k->r->cfg.user : "default", k->r->cfg.password);
    }
    if (k->is_subscriber) {
        for (size_t i = 0; k->r->cfg.channels[i] != NULL; i++) {
            redisAsyncCommand(k->ac, on_message, k, "SUBSCRIBE %s", k->r->cfg.channels[i]);
        }
    } else {
        redisAsyncCommand(k->ac, on_pong, k, "PING");
        if (loop_timer_start(k->r->l, &k->ping, PING_MS, on_ping_timer, k) != E_OK) {
            LOG(LV_ERROR, "redis.no_timer", KV("address", k->r->cfg.address));
        }
    }
}

static void on_connect_limit(void *arg)
{
    struct link *k = arg;

    LOG(LV_WARN, "redis.silent", KV("address", k->r->cfg.address), KV("missed", k->misses));
    drop_link(k);
}

/* The subscriber cannot PING (hiredis 0.14): over TCP the kernel asks instead. */
static void keep_alive(int fd)
{
    const int on = 1, idle = 2, every = 1, times = 3;

    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    (void)status;
    lost(ac->data);
}

static redisAsyncContext *dial(const char *address)
{
    struct net_addr a;
    char ip[NET_TEXT_MAX];

    if (strncmp(address, "unix:", 5) == 0) {
        return redisAsyncConnectUnix(address + 5);
    }
    if (net_parse(view_of(address), 6379, &a) != E_OK) {
        return NULL;
    }
    net_ip_text(&a, ip);
    return redisAsyncConnect(ip, a.port);
}

static void connect_link(void *arg)
{
    struct link *k = arg;
    redisAsyncContext *ac = dial(k->r->cfg.address);

    if (ac == NULL || ac->err != 0 ||
        loop_io_start(k->r->l, ac->c.fd, 0, on_ready, k, &k->io) != E_OK) {
        if (ac != NULL) {
            redisAsyncFree(ac);
        }
        lost(k);
        return;
    }
    ac->data = k;
    ac->ev.data = k;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = cleanup;
    k->ac = ac;
    if (strncmp(k->r->cfg.address, "unix:", 5) != 0) {
        keep_alive(ac->c.fd);
    }
    if (loop_timer_start(k->r->l, &k->ping, CONNECT_MAX_MS, on_connect_limit, k) != E_OK) {
        LOG(LV_ERROR, "redis.no_timer", KV("address", k->r->cfg.address));
    }
    redisAsyncSetConnectCallback(ac, on_connect);
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
}

enum err redis_open(struct loop *l, const struct redis_cfg *cfg, struct redis **out)
{
    struct redis *r = NULL;
    struct net_addr a;

    if (strncmp(cfg->address, "unix:", 5) != 0 &&
        net_parse(view_of(cfg->address), 6379, &a) != E_OK) {
        return FAIL(E_PARSE);
    }
    r = mem_zalloc(sizeof *r);
    if (r == NULL) {
        return FAIL(E_NOMEM);
    }
    r->l = l;
    r->cfg = *cfg;
    r->cmd = (struct link){.r = r, .backoff_ms = BACKOFF_MIN_MS};
    r->sub = (struct link){.r = r, .backoff_ms = BACKOFF_MIN_MS, .is_subscriber = true};
    connect_link(&r->cmd);
    if (cfg->channels != NULL) {
        connect_link(&r->sub);
    }
    *out = r;
    return E_OK;
}

static void close_link(struct link *k)
{
    loop_timer_stop(k->r->l, &k->retry);
    loop_timer_stop(k->r->l, &k->ping);
    if (k->ac != NULL) {
        redisAsyncContext *ac = k->ac;
        k->ac = NULL;
        redisAsyncFree(ac);
    }
}

void redis_close(struct redis *r)
{
    if (r != NULL) {
        r->closing = true;
        close_link(&r->cmd);
        close_link(&r->sub);
        mem_free(r);
    }
}

bool redis_is_up(const struct redis *r)
{
    return r->up;
}

static void on_reply(redisAsyncContext *ac, void *reply, void *arg)
{
    struct pending *p = arg;
    const redisReply *m = reply;
    enum err e = m == NULL ? E_IO : m->type == REDIS_REPLY_ERROR ? E_STATE : E_OK;

    (void)ac;
    p->r->waiting--;
    if (m != NULL && m->type == REDIS_REPLY_ERROR) {
        LOG(LV_WARN, "redis.error", KV("text", view_from(m->str, m->len)));
    }
    if (p->fn != NULL) {
        p->fn(p->arg, e, (const struct redis_reply *)m);
    }
    mem_free(p);
}

enum err redis_cmd(struct redis *r, const struct view *argv, size_t argc, redis_fn *fn, void *arg)
{
    const char *v[ARGS_MAX];
    size_t n[ARGS_MAX];
    struct pending *p = NULL;

    if (r->cmd.ac == NULL || !r->cmd.ready) {
        return FAIL(E_STATE);
    }
    if (argc == 0 || argc > ARGS_MAX) {
        return FAIL(E_RANGE);
    }
    if (r->cfg.max_queue != 0 && r->waiting >= r->cfg.max_queue) {
        return FAIL(E_FULL);
    }
    p = mem_zalloc(sizeof *p);
    if (p == NULL) {
        return FAIL(E_NOMEM);
    }
    *p = (struct pending){r, fn, arg};
    for (size_t i = 0; i < argc; i++) {
        v[i] = argv[i].p;
        n[i] = argv[i].n;
    }
    if (redisAsyncCommandArgv(r->cmd.ac, on_reply, p, (int)argc, v, n) != REDIS_OK) {
        mem_free(p);
        return FAIL(E_STATE);
    }
    r->waiting++;
    return E_OK;
}

/* A redis_reply is hiredis' own, seen through this door only. */
static const redisReply *inner(const struct redis_reply *r)
{
    return (const redisReply *)r;
}

bool redis_is_nil(const struct redis_reply *r)
{
    return r == NULL || inner(r)->type == REDIS_REPLY_NIL;
}

int64_t redis_int(const struct redis_reply *r)
{
    return r != NULL && inner(r)->type == REDIS_REPLY_INTEGER ? inner(r)->integer : 0;
}

struct view redis_text(const struct redis_reply *r)
{
    if (r == NULL ||
        (inner(r)->type != REDIS_REPLY_STRING && inner(r)->type != REDIS_REPLY_STATUS &&
         inner(r)->type != REDIS_REPLY_ERROR)) {
        return VIEW("");
    }
    return view_from(inner(r)->str, inner(r)->len);
}

size_t redis_count(const struct redis_reply *r)
{
    return r != NULL && inner(r)->type == REDIS_REPLY_ARRAY ? inner(r)->elements : 0;
}

const struct redis_reply *redis_at(const struct redis_reply *r, size_t i)
{
    return i < redis_count(r) ? (const struct redis_reply *)inner(r)->element[i] : NULL;
}
