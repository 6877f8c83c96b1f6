/* The control channel's connections (TCP): bounded in number, in octets and in time. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "provisioning/hello.h"
#include "provisioning/prov.h"

enum { IN_FIRST = 1024, BACKLOG = 1024, ACCEPT_BURST = 16, LINGER_MS = 2000 };

static void on_event(void *arg, int fd, unsigned events);

/* ---- ending ------------------------------------------------------------------------------------
 */
static void leave_call(struct conn *c)
{
    struct voice *v = c->voice;

    c->voice = NULL;
    voice_detach(v);
    voice_end(v, false);
}

static void close_now(struct conn *c)
{
    if (c->dead) {
        return;
    }
    c->dead = true;
    loop_timer_stop(c->prov->loop, &c->timer);
    loop_io_stop(c->io);
    c->io = NULL;
    close(c->fd);
    conn_proved(c);
    job_forget(c);
    if (c->voice != NULL) {
        leave_call(c);
    }
    prov_reap_soon(c->prov);
}

static void conn_free(struct conn *c)
{
    tapped_enrolment(c->prov, &c->tapped, "refused", 0, NULL, NULL);
    enrol_ps_free(c->enrol);
    session_ps_free(c->session);
    prov_identity_unref(c->identity);
    if (c->in != NULL) {
        wipe(c->in, c->in_max);
    }
    mem_free(c->in);
    mem_free(c->out);
    wipe(c, sizeof *c);
    mem_free(c);
}

void control_reap(struct prov *p)
{
    struct conn **at = &p->conns;

    while (*at != NULL) {
        struct conn *c = *at;
        if (c->dead) {
            *at = c->next;
            conn_free(c);
        } else {
            at = &c->next;
        }
    }
}

static void on_timeout(void *arg)
{
    struct conn *c = arg;

    if (c->lingering) {
        close_now(c);
    } else if (c->enrol != NULL) {
        enrolment_refuse(c, CODE_TIMEOUT, PM_GIVEN_UP);
    } else {
        close_now(c);
    }
}

void conn_deadline(struct conn *c, uint64_t ms)
{
    if (!c->dead && loop_timer_start(c->prov->loop, &c->timer, ms, on_timeout, c) != E_OK) {
        close_now(c);
    }
}

void conn_proved(struct conn *c)
{
    if (c->half_open) {
        c->half_open = false;
        prov_count(c->prov, PM_HALF_OPEN, -1);
    }
}

/* Nothing is read while a query is under way: the peer must wait. */
void conn_events(struct conn *c)
{
    unsigned read = c->job == NULL || c->lingering ? LOOP_READ : 0;

    if (!c->dead) {
        loop_io_events(c->io, read | (c->out_n > 0 ? LOOP_WRITE : 0));
    }
}

/* ---- sending -----------------------------------------------------------------------------------
 */
/* Closing at once could reset the connection under an unread last frame: end our side, and wait a
 * little for the peer's. */
static void linger(struct conn *c)
{
    c->in_n = 0;
    if (shutdown(c->fd, SHUT_WR) != 0) {
        close_now(c);
        return;
    }
    conn_events(c);
    conn_deadline(c, LINGER_MS);
}

static void flush(struct conn *c)
{
    while (c->out_sent < c->out_n) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_n - c->out_sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            conn_events(c);
            return;
        }
        if (n <= 0) {
            close_now(c);
            return;
        }
        c->out_sent += (size_t)n;
    }
    mem_free(c->out);
    c->out = NULL;
    c->out_n = c->out_sent = 0;
    conn_events(c);
    if (c->lingering) {
        linger(c);
    }
}

void conn_send(struct conn *c, struct view octets)
{
    uint8_t *grown = NULL;

    if (c->dead || octets.n == 0) {
        return;
    }
    if (c->out_n + octets.n > 2 * WIRE_FRAME_MAX) { /* the protocol takes turns: never honest */
        close_now(c);
        return;
    }
    grown = mem_resize(c->out, c->out_n + octets.n);
    if (grown == NULL) {
        close_now(c);
        return;
    }
    c->out = grown;
    memcpy(c->out + c->out_n, octets.p, octets.n);
    c->out_n += octets.n;
    flush(c);
}

void conn_end(struct conn *c)
{
    if (c->dead || c->lingering) {
        return;
    }
    c->lingering = true;
    job_forget(c);
    if (c->voice != NULL) {
        leave_call(c);
    }
    conn_deadline(c, LINGER_MS);
    if (!c->dead && c->out_n == 0) {
        linger(c);
    }
}

void conn_flush_out(struct conn *c)
{
    struct enrol_out *out = c->prov->out;
    bool ended = out->ended;

    conn_send(c, view_from(out->b, out->n));
    wipe(out->b, out->n);
    out->n = 0;
    if (ended) {
        conn_end(c);
    }
}

/* ---- receiving ---------------------------------------------------------------------------------
 */
static enum err choose_machine(struct conn *c, struct view frame)
{
    struct prov *p = c->prov;
    enum wire_mode mode = WIRE_MODE_ENROL;
    struct enrol_ps_cfg cfg = {.chain = &p->identity->chain, .key = &p->identity->key};
    enum err e = E_OK;

    if (hello_mode(frame, &mode) != E_OK) {
        mode = WIRE_MODE_ENROL; /* that machine answers what is no YO with the right error */
    }
    if (mode == WIRE_MODE_SESSION) {
        TRY(session_ps_new(&cfg, &c->session));
    } else {
        TRY(enrol_ps_new(&cfg, &c->enrol));
    }
    c->identity = prov_identity_ref(p->identity);
out:
    return e;
}

static void take_frame(struct conn *c, struct view frame)
{
    if (c->enrol == NULL && c->session == NULL && choose_machine(c, frame) != E_OK) {
        close_now(c);
        return;
    }
    if (c->half_open) {
        conn_deadline(c, c->prov->set.control_step_ms);
    }
    if (c->enrol != NULL) {
        enrolment_frame(c, frame);
    } else {
        session_frame(c, frame);
    }
}

static void refuse_stream(struct conn *c, enum err e)
{
    enum wire_code code = e == E_RANGE ? CODE_TOO_LONG : CODE_MALFORMED;
    struct prov *p = c->prov;

    if (c->session != NULL) {
        prov_count(p, PM_S_REFUSED, 1);
        if (session_ps_refuse(c->session, code, p->out) != E_OK) {
            close_now(c);
            return;
        }
        conn_flush_out(c);
        return;
    }
    if (c->enrol == NULL && choose_machine(c, VIEW("")) != E_OK) {
        close_now(c);
        return;
    }
    enrolment_refuse(c, code, PM_REFUSED);
}

/* Hands on every whole frame that has come, one at a time: not while a query is under way. */
static void take_frames(struct conn *c)
{
    while (!c->dead && !c->lingering && c->job == NULL) {
        size_t n = 0;
        enum err e = wire_cut(view_from(c->in, c->in_n), &n);
        if (e == E_STATE) {
            break;
        }
        if (e != E_OK) {
            refuse_stream(c, e);
            break;
        }
        take_frame(c, view_from(c->in, n));
        if (c->dead || c->lingering) {
            break;
        }
        memmove(c->in, c->in + n, c->in_n - n);
        c->in_n -= n;
    }
    conn_events(c);
}

void conn_resume(struct conn *c)
{
    take_frames(c);
}

/* Room grows with what really came, never with what a head announces. */
static bool make_room(struct conn *c)
{
    size_t max = c->in_max == 0 ? IN_FIRST : c->in_max * 2;
    uint8_t *grown = NULL;

    if (c->in_n < c->in_max) {
        return true;
    }
    max = max > WIRE_FRAME_MAX ? WIRE_FRAME_MAX : max;
    if (max == c->in_max) {
        return false; /* a whole frame always fits: wire_cut() has refused before */
    }
    grown = mem_resize(c->in, max);
    if (grown == NULL) {
        return false;
    }
    c->in = grown;
    c->in_max = max;
    return true;
}

static void on_readable(struct conn *c)
{
    uint8_t waste[512];
    ssize_t n = 0;

    if (c->lingering) {
        n = recv(c->fd, waste, sizeof waste, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            close_now(c);
        }
        return;
    }
    if (!make_room(c)) {
        close_now(c);
        return;
    }
    n = recv(c->fd, c->in + c->in_n, c->in_max - c->in_n, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        if (c->enrol != NULL) {
            prov_count(c->prov, PM_GIVEN_UP, 1);
        }
        close_now(c);
        return;
    }
    c->in_n += (size_t)n;
    take_frames(c);
}

static void on_event(void *arg, int fd, unsigned events)
{
    struct conn *c = arg;

    (void)fd;
    if ((events & LOOP_WRITE) != 0 && c->out_n > 0) {
        flush(c);
    }
    if ((events & LOOP_READ) != 0 && !c->dead && (c->job == NULL || c->lingering)) {
        on_readable(c);
    }
}

/* ---- accepting ---------------------------------------------------------------------------------
 */
static bool has_room(const struct prov *p, const struct net_addr *from)
{
    uint64_t all = 0, same = 0;

    for (const struct conn *c = p->conns; c != NULL; c = c->next) {
        if (!c->dead && (c->half_open || c->lingering)) {
            all++;
            same += net_ip_eq(&c->peer, from);
        }
    }
    return all < p->set.control_max_half_open && same < p->set.control_per_source;
}

static enum err conn_new(struct prov *p, int fd, const struct net_addr *from)
{
    struct conn *c = mem_zalloc(sizeof *c);
    enum err e = E_OK;

    if (c == NULL) {
        return FAIL(E_NOMEM);
    }
    *c = (struct conn){.prov = p,
                       .fd = fd,
                       .peer = *from,
                       .half_open = true,
                       .tries_left = (unsigned)p->set.tries};
    TRY(loop_io_start(p->loop, fd, LOOP_READ, on_event, c, &c->io));
    c->next = p->conns;
    p->conns = c;
    prov_count(p, PM_TAKEN, 1);
    prov_count(p, PM_HALF_OPEN, 1);
    conn_deadline(c, p->set.control_step_ms);
    return E_OK;
out:
    mem_free(c);
    return e;
}

static void on_accept(void *arg, int fd, unsigned events)
{
    struct prov *p = arg;

    (void)events;
    for (int i = 0; i < ACCEPT_BURST; i++) {
        struct sockaddr_storage sa;
        socklen_t sa_bytes = sizeof sa;
        struct net_addr from;
        int peer = accept4(fd, (struct sockaddr *)&sa, &sa_bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (peer < 0) {
            return;
        }
        if (net_from_sockaddr((const struct sockaddr *)&sa, &from) != E_OK || !has_room(p, &from) ||
            conn_new(p, peer, &from) != E_OK) {
            prov_count(p, PM_TURNED_AWAY, 1);
            close(peer);
        }
    }
}

enum err control_open(struct prov *p)
{
    struct net_addr a;
    enum err e = E_OK;

    TRY(net_parse(view_of(p->set.control_listen), 7611, &a));
    TRY(net_tcp_listen(&a, false, BACKLOG, &p->control_fd));
    TRY(net_local(p->control_fd, &p->control_address));
    TRY(loop_io_start(p->loop, p->control_fd, LOOP_READ, on_accept, p, &p->control_io));
out:
    return e;
}

void control_close(struct prov *p)
{
    loop_io_stop(p->control_io);
    p->control_io = NULL;
    if (p->control_fd >= 0) {
        close(p->control_fd);
        p->control_fd = -1;
    }
    for (struct conn *c = p->conns; c != NULL; c = c->next) {
        close_now(c);
    }
}
