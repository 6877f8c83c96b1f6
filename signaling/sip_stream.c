/* A TCP or TLS connection of the transport: framing, limits of time and memory, its end. */
#include "signaling/sip_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "signaling/sip_msg.h"

#define IN_BYTES     (SIP_MAX_BYTES + 4)
#define WIRE_BYTES   16384
#define READS_A_TURN 4     /* then the other descriptors have their turn */
#define HALF_MS      32000 /* 64 * T1: by then the transactions of a closed peer have ended */
#define UNACKED_MS   32000

/* ---- queues ---------------------------------------------------------------------------------- */
static struct view queued(const struct stream_queue *q)
{
    return q->p != NULL ? view_from(q->p + q->at, q->n - q->at) : VIEW("");
}

static void queue_free(struct stream_queue *q)
{
    mem_free(q->p);
    *q = (struct stream_queue){0};
}

static void queue_took(struct stream_queue *q, size_t n)
{
    q->at += n;
    if (q->at == q->n) {
        queue_free(q);
    }
}

static enum err queue_add(struct stream_queue *q, struct view v)
{
    size_t held = q->n - q->at, room = q->room == 0 ? 2048 : q->room;
    char *p = NULL;

    if (v.n == 0) {
        return E_OK;
    }
    if (held + v.n > STREAM_OUT_MAX) {
        return FAIL(E_FULL);
    }
    if (q->at > 0) {
        memmove(q->p, q->p + q->at, held);
        q->at = 0;
        q->n = held;
    }
    while (room < held + v.n) {
        room *= 2;
    }
    if (room != q->room) {
        p = mem_resize(q->p, room);
        if (p == NULL) {
            return FAIL(E_NOMEM);
        }
        q->p = p;
        q->room = room;
    }
    memcpy(q->p + q->n, v.p, v.n);
    q->n += v.n;
    return E_OK;
}

/* ---- time ------------------------------------------------------------------------------------ */
static uint64_t due_ms(const struct sip_stream *s)
{
    if (s->state == STREAM_HALF) {
        return s->since_ms + HALF_MS;
    }
    if (s->state != STREAM_OPEN || s->is_partial || !s->is_known) {
        return s->since_ms + s->env->first_message_ms;
    }
    return s->active_ms + s->env->idle_ms;
}

static void on_alarm(void *arg);

/* The alarm may ring early (it then looks again), never late: moving it for each message would cost
 * more than it is worth. */
static void arm(struct sip_stream *s)
{
    uint64_t now = loop_now_ms(s->env->loop), due = due_ms(s);

    if (s->state == STREAM_DEAD || (loop_timer_active(&s->alarm) && s->alarm.due_ms <= due)) {
        return;
    }
    if (loop_timer_start(s->env->loop, &s->alarm, due > now ? due - now : 0, on_alarm, s) != E_OK) {
        sip_stream_close(s, E_NOMEM);
    }
}

static void on_alarm(void *arg)
{
    struct sip_stream *s = arg;

    if (loop_now_ms(s->env->loop) >= due_ms(s)) {
        sip_stream_close(s, E_TIMEOUT);
    } else {
        arm(s);
    }
}

static void enter(struct sip_stream *s, enum stream_state state)
{
    s->state = state;
    s->since_ms = s->active_ms = loop_now_ms(s->env->loop);
    arm(s);
}

/* ---- out ------------------------------------------------------------------------------------- */
/* Sends what the kernel takes of v; *out_n octets. */
static enum err push(const struct sip_stream *s, struct view v, size_t *out_n)
{
    size_t at = 0;

    while (at < v.n) {
        ssize_t n = send(s->fd, v.p + at, v.n - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            at += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno != EINTR) {
            return FAIL(E_IO);
        }
    }
    *out_n = at;
    return E_OK;
}

static void want(struct sip_stream *s)
{
    unsigned events = 0;

    if (s->state == STREAM_DEAD) {
        return;
    }
    events |= s->state == STREAM_HANDSHAKE || s->state == STREAM_OPEN ? LOOP_READ : 0u;
    events |= s->state == STREAM_CONNECTING || s->out.n > 0 ? LOOP_WRITE : 0u;
    loop_io_events(s->io, events);
}

static enum err to_wire(struct sip_stream *s, struct view v)
{
    enum err e = E_OK;
    size_t n = 0;

    if (s->out.n == 0 && s->state != STREAM_CONNECTING) {
        TRY(push(s, v, &n));
    }
    TRY(queue_add(&s->out, view_sub(v, n, v.n)));
out:
    return e;
}

/* Records that TLS made, from its buffer to the wire. */
static enum err tls_to_wire(struct sip_stream *s)
{
    char wire[WIRE_BYTES];
    enum err e = E_OK;
    size_t n = 0;

    do {
        TRY(tls_drain(s->tls, wire, sizeof wire, &n));
        TRY(to_wire(s, view_from(wire, n)));
    } while (n > 0);
out:
    return e;
}

static enum err send_plain(struct sip_stream *s, struct view v)
{
    enum err e = E_OK;

    if (s->tls == NULL) {
        return to_wire(s, v);
    }
    if (!tls_is_open(s->tls)) {
        return queue_add(&s->plain, v);
    }
    if (s->out.n - s->out.at + v.n > STREAM_OUT_MAX) {
        return FAIL(E_FULL); /* before the work of encryption */
    }
    TRY(tls_write(s->tls, v));
    TRY(tls_to_wire(s));
out:
    return e;
}

/* After the peer closed its half there is nothing to stay for but what it is owed. */
static void leave_if_done(struct sip_stream *s)
{
    if (s->state == STREAM_HALF && s->owed == 0 && s->out.n == 0) {
        sip_stream_close(s, E_STATE);
    }
}

static bool is_final_response(struct view v)
{
    return view_starts(v, VIEW("SIP/2.0 ")) && v.n > 8 && v.p[8] != '1';
}

enum err sip_stream_send(struct sip_stream *s, struct view octets)
{
    enum err e = E_STATE;

    BUG_ON(s->state == STREAM_DEAD);
    TRY(send_plain(s, octets));
    s->active_ms = loop_now_ms(s->env->loop);
    if (s->owed > 0 && is_final_response(octets)) {
        s->owed--;
    }
    want(s);
    leave_if_done(s);
    return E_OK;
out:
    sip_stream_close(s, e);
    return e;
}

static void flush(struct sip_stream *s)
{
    size_t n = 0;

    if (push(s, queued(&s->out), &n) != E_OK) {
        sip_stream_close(s, E_IO);
        return;
    }
    queue_took(&s->out, n);
    want(s);
    leave_if_done(s);
}

/* ---- in -------------------------------------------------------------------------------------- */
static void deliver(struct sip_stream *s, struct view raw)
{
    s->is_known = true;
    s->active_ms = loop_now_ms(s->env->loop);
    s->is_partial = false; /* what follows is another message with a time of its own */
    if (!view_starts(raw, VIEW("SIP/2.0 ")) && !view_starts(raw, VIEW("ACK "))) {
        s->owed++;
    }
    s->env->stats->rx_messages++;
    s->env->on_message(s->env->arg, s, raw);
}

static void pong(struct sip_stream *s)
{
    s->env->stats->rx_keepalive++;
    s->active_ms = loop_now_ms(s->env->loop);
    IGNORE(sip_stream_send(s, VIEW("\r\n")), "it closes on failure");
}

/* How many octets of what has arrived are done with. A lone CRLF waits, it may become a ping; but
 * to a client it is the answer to one. */
static size_t take_messages(struct sip_stream *s)
{
    size_t at = 0;

    while (at < s->in_n && s->state != STREAM_DEAD) {
        struct view rest = view_from(s->in + at, s->in_n - at);
        size_t skip = 0, bytes = 0;
        bool is_ping = false;
        enum err e = sip_stream_cut(rest, &skip, &bytes, &is_ping);
        if (is_ping) {
            pong(s);
        }
        at += skip;
        if (e == E_OK && s->state != STREAM_DEAD) {
            deliver(s, view_sub(rest, skip, bytes));
            at += bytes;
            continue;
        }
        if (e != E_OK && e != E_STATE) {
            sip_stream_close(s, e);
        } else if (s->is_client && view_eq(view_sub(rest, skip, rest.n), VIEW("\r\n"))) {
            at += 2;
        }
        break;
    }
    return at;
}

/* CRLFs between messages are no begun message: they may wait as long as they like. */
static bool is_begun(struct view rest)
{
    return rest.n > 0 && !view_starts(VIEW("\r\n\r"), rest);
}

static void process(struct sip_stream *s)
{
    size_t done = take_messages(s);
    bool begun = false;

    if (s->state == STREAM_DEAD) {
        return;
    }
    if (done > 0) {
        memmove(s->in, s->in + done, s->in_n - done);
        s->in_n -= done;
    }
    if (s->in_n == IN_BYTES) { /* the cutter has bounds of its own; ours do not rest on them */
        sip_stream_close(s, E_RANGE);
        return;
    }
    begun = is_begun(view_from(s->in, s->in_n));
    if (begun && !s->is_partial && s->is_known) {
        s->since_ms = loop_now_ms(s->env->loop);
    }
    s->is_partial = begun;
    arm(s);
}

static void peer_closed(struct sip_stream *s)
{
    if (s->state != STREAM_OPEN) {
        sip_stream_close(s, E_IO);
        return;
    }
    enter(s, STREAM_HALF);
    want(s);
    leave_if_done(s);
}

static void tls_failed(struct sip_stream *s, enum err why)
{
    IGNORE(tls_to_wire(s), "the alert is a courtesy");
    sip_stream_close(s, why);
}

/* What the peer proved: a session, the names of a certificate, or nothing. */
static enum err learn_peer(struct sip_stream *s)
{
    struct view kid = tls_identity(s->tls);
    struct tls_names names;
    enum err e = E_OK;

    if (kid.n > 0) {
        TRY(hex_get(kid, s->flow.kid, sizeof s->flow.kid));
        s->flow.has_kid = true;
    } else if (s->env->peers != NULL && tls_peer_names(s->tls, &names) == E_OK) {
        TRY(sip_peers_add(s->env->peers, &names, &s->flow.peer));
    }
out:
    return e;
}

/* The handshake is done: who is it, and out with what has waited. */
static void tls_opened(struct sip_stream *s)
{
    enum err e = learn_peer(s);

    TRY(e);
    s->env->stats->connected += s->is_client;
    enter(s, STREAM_OPEN);
    TRY(tls_write(s->tls, queued(&s->plain)));
    queue_free(&s->plain);
out:
    if (e != E_OK) {
        sip_stream_close(s, e);
    }
}

static void tls_take(struct sip_stream *s, struct view wire)
{
    size_t n = 0;
    enum err e = tls_feed(s->tls, wire);

    if (e != E_OK) {
        tls_failed(s, e);
        return;
    }
    if (s->state == STREAM_HANDSHAKE && tls_is_open(s->tls)) {
        tls_opened(s);
    }
    while (s->state == STREAM_OPEN) {
        e = tls_read(s->tls, s->in + s->in_n, IN_BYTES - s->in_n, &n);
        if (e == E_STATE) {
            peer_closed(s);
            break;
        }
        if (e != E_OK) {
            tls_failed(s, e);
            return;
        }
        if (n == 0) {
            break;
        }
        s->in_n += n;
        process(s);
    }
    if (s->state != STREAM_DEAD && (e = tls_to_wire(s)) != E_OK) {
        sip_stream_close(s, e);
    }
}

/* One read; false: nothing more for now. */
static bool read_once(struct sip_stream *s)
{
    char wire[WIRE_BYTES];
    char *dst = s->tls != NULL ? wire : s->in + s->in_n;
    size_t room = s->tls != NULL ? sizeof wire : IN_BYTES - s->in_n;
    ssize_t n = recv(s->fd, dst, room, MSG_DONTWAIT);

    if (n < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            sip_stream_close(s, E_IO);
        }
        return false;
    }
    if (n == 0) {
        peer_closed(s);
        return false;
    }
    if (s->tls != NULL) {
        tls_take(s, view_from(wire, (size_t)n));
    } else {
        s->in_n += (size_t)n;
        process(s);
    }
    return (size_t)n == room;
}

static void receive(struct sip_stream *s)
{
    if (s->in == NULL && (s->in = mem_zalloc(IN_BYTES)) == NULL) {
        sip_stream_close(s, E_NOMEM);
        return;
    }
    for (int i = 0; i < READS_A_TURN; i++) {
        if (!read_once(s) || (s->state != STREAM_OPEN && s->state != STREAM_HANDSHAKE)) {
            break;
        }
    }
    if (s->in_n == 0 && s->state != STREAM_DEAD) {
        mem_free(s->in); /* idle connections hold no buffers */
        s->in = NULL;
    }
    want(s);
}

/* ---- life ------------------------------------------------------------------------------------ */
static void connected(struct sip_stream *s)
{
    int code = 0;
    socklen_t n = sizeof code;
    enum err e = E_OK;

    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &code, &n) != 0 || code != 0) {
        sip_stream_close(s, E_IO);
        return;
    }
    if (s->tls != NULL) {
        s->state = STREAM_HANDSHAKE; /* the same deadline */
        e = tls_to_wire(s);
    } else {
        s->env->stats->connected++;
        enter(s, STREAM_OPEN);
    }
    if (e != E_OK) {
        sip_stream_close(s, e);
    } else if (s->state != STREAM_DEAD) {
        flush(s);
    }
}

static void on_io(void *arg, int fd, unsigned events)
{
    struct sip_stream *s = arg;

    (void)fd;
    if (s->state == STREAM_CONNECTING) {
        connected(s);
        return;
    }
    if ((events & LOOP_WRITE) != 0 && s->out.n > 0) {
        flush(s);
    }
    if ((events & LOOP_READ) != 0 && (s->state == STREAM_OPEN || s->state == STREAM_HANDSHAKE)) {
        receive(s);
    }
}

static enum err start(struct sip_stream *s, enum stream_state state)
{
    enum err e = E_IO;
    int one = 1, unacked = UNACKED_MS;

    /* A peer that vanished, or whose window stays shut, must not look alive for ever. */
    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked, sizeof unacked);
    (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    s->flow.proto = s->tls != NULL ? SIP_TLS : SIP_TCP;
    TRY(net_local(s->fd, &s->flow.local));
    TRY(loop_io_start(s->env->loop, s->fd, state == STREAM_CONNECTING ? LOOP_WRITE : LOOP_READ,
                      on_io, s, &s->io));
    s->state = state;
    s->since_ms = s->active_ms = loop_now_ms(s->env->loop);
    TRY(loop_timer_start(s->env->loop, &s->alarm, s->env->first_message_ms, on_alarm, s));
out:
    return e;
}

enum err sip_stream_accept(const struct sip_stream_env *env, int fd, const struct net_addr *remote,
                           struct tls_ctx *tls, struct sip_stream **out)
{
    enum err e = E_NOMEM;
    struct sip_stream *s = mem_zalloc(sizeof *s);

    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    s->env = env;
    s->fd = fd;
    s->flow.remote = *remote;
    if (tls != NULL) {
        TRY(tls_accept(tls, &s->tls));
    }
    TRY(start(s, tls != NULL ? STREAM_HANDSHAKE : STREAM_OPEN));
    *out = s;
    s = NULL; /* moved */
out:
    if (s != NULL) {
        s->fd = -1; /* stays the caller's */
        sip_stream_free(s);
    }
    return e;
}

/* A stream that has its TLS, if any, goes out; frees it on failure. */
static enum err go_out(struct sip_stream *s, struct sip_stream **out)
{
    const struct net_addr *from = &s->env->connect_from;
    enum err e = E_OK;

    TRY(net_tcp_connect(&s->flow.remote, from->family == s->flow.remote.family ? from : NULL,
                        &s->fd));
    TRY(start(s, STREAM_CONNECTING));
    *out = s;
    return E_OK;
out:
    sip_stream_free(s);
    return e;
}

static struct sip_stream *client_new(const struct sip_stream_env *env,
                                     const struct net_addr *remote)
{
    struct sip_stream *s = mem_zalloc(sizeof *s);

    if (s != NULL) {
        s->env = env;
        s->fd = -1;
        s->is_client = true;
        s->flow.remote = *remote;
    }
    return s;
}

enum err sip_stream_connect(const struct sip_stream_env *env, const struct net_addr *remote,
                            struct tls_ctx *tls, struct view identity, const struct secret *psk,
                            struct sip_stream **out)
{
    enum err e = E_NOMEM;
    struct sip_stream *s = client_new(env, remote);

    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    if (tls != NULL) {
        TRY(tls_connect(tls, identity, psk, &s->tls));
        TRY(hex_get(identity, s->flow.kid, sizeof s->flow.kid));
        s->flow.has_kid = true;
    }
    return go_out(s, out);
out:
    sip_stream_free(s);
    return e;
}

enum err sip_stream_connect_named(const struct sip_stream_env *env, const struct net_addr *remote,
                                  struct tls_ctx *tls, const struct tls_names *names,
                                  struct sip_stream **out)
{
    enum err e = E_NOMEM;
    struct sip_stream *s = client_new(env, remote);

    if (s == NULL) {
        return FAIL(E_NOMEM);
    }
    TRY(tls_connect_named(tls, names, &s->tls));
    return go_out(s, out);
out:
    sip_stream_free(s);
    return e;
}

/* Says goodbye when that costs nothing, and lets go of the descriptor. */
static void shut(struct sip_stream *s)
{
    if (s->tls != NULL && s->fd >= 0 && s->out.n == 0 && tls_is_open(s->tls)) {
        tls_close(s->tls);
        IGNORE(tls_to_wire(s), "close_notify is a courtesy");
    }
    loop_timer_stop(s->env->loop, &s->alarm);
    loop_io_stop(s->io);
    s->io = NULL;
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
}

void sip_stream_close(struct sip_stream *s, enum err why)
{
    char remote[NET_TEXT_MAX];

    if (s->state == STREAM_DEAD) {
        return;
    }
    shut(s);
    s->state = STREAM_DEAD;
    s->why = why;
    s->env->stats->closed[why]++;
    net_text(&s->flow.remote, remote);
    LOG(LV_DEBUG, "transport.closed", KV("remote", (const char *)remote),
        KV("proto", sip_proto_name(s->flow.proto)), KV_ERR(why));
    s->env->on_dead(s->env->arg, s);
}

void sip_stream_free(struct sip_stream *s)
{
    if (s != NULL) {
        shut(s);
        if (s->flow.peer != 0) {
            sip_peers_remove(s->env->peers, s->flow.peer);
        }
        tls_conn_free(s->tls);
        queue_free(&s->out);
        queue_free(&s->plain);
        mem_free(s->in);
        mem_free(s);
    }
}
