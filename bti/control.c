/* Frames over TCP. */
#include "bti/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/secret.h"

enum { OUT_MAX = 2 * WIRE_FRAME_MAX };

struct control {
    struct loop *loop;
    control_fn *fn;
    void *arg;
    int fd;
    struct loop_io *io;
    struct loop_timer quiet;
    uint64_t quiet_ms;
    bool open, freed, busy; /* busy: a callback runs, so that freeing waits for its end */
    size_t in_n, out_n;
    uint8_t in[WIRE_FRAME_MAX], out[OUT_MAX];
};

static void destroy(struct control *c)
{
    loop_timer_stop(c->loop, &c->quiet);
    loop_io_stop(c->io);
    if (c->fd >= 0) {
        close(c->fd);
    }
    wipe(c, sizeof *c);
    mem_free(c);
}

static void stop(struct control *c)
{
    loop_timer_stop(c->loop, &c->quiet);
    loop_io_stop(c->io);
    c->io = NULL;
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
}

/* True when the control is still there afterwards. */
static bool tell(struct control *c, enum control_event ev, struct view frame, enum err why)
{
    bool outer = !c->busy;

    c->busy = true;
    c->fn(c->arg, ev, frame, why);
    if (!outer) {
        return !c->freed;
    }
    c->busy = false;
    if (c->freed) {
        destroy(c);
        return false;
    }
    return true;
}

static void lost(struct control *c, enum err why)
{
    stop(c);
    tell(c, CONTROL_LOST, VIEW(""), why);
}

static void on_quiet(void *arg)
{
    lost(arg, FAIL(E_TIMEOUT));
}

void control_patience(struct control *c, uint64_t quiet_ms)
{
    c->quiet_ms = quiet_ms;
    if (c->fd >= 0 && loop_timer_start(c->loop, &c->quiet, quiet_ms, on_quiet, c) != E_OK) {
        c->quiet_ms = 0; /* out of memory: the process has other limits */
    }
}

static enum err flush(struct control *c)
{
    size_t sent = 0;

    while (c->open && sent < c->out_n) {
        ssize_t n = send(c->fd, c->out + sent, c->out_n - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        }
        if (n <= 0) {
            return FAIL(E_IO);
        }
        sent += (size_t)n;
    }
    memmove(c->out, c->out + sent, c->out_n - sent);
    c->out_n -= sent;
    if (c->io != NULL) {
        loop_io_events(c->io, LOOP_READ | (c->out_n > 0 || !c->open ? (unsigned)LOOP_WRITE : 0u));
    }
    return E_OK;
}

/* False when the control is gone. */
static bool deliver(struct control *c)
{
    size_t n = 0;
    enum err e = E_OK;

    while (c->fd >= 0 && (e = wire_cut(view_from(c->in, c->in_n), &n)) == E_OK) {
        control_patience(c, c->quiet_ms);
        if (!tell(c, CONTROL_FRAME, view_from(c->in, n), E_OK)) {
            return false;
        }
        memmove(c->in, c->in + n, c->in_n - n);
        wipe(c->in + (c->in_n - n), n);
        c->in_n -= n;
    }
    if (c->fd >= 0 && e != E_STATE) {
        lost(c, FAIL(E_PARSE));
        return false;
    }
    return c->fd >= 0;
}

static void take(struct control *c)
{
    ssize_t n = 0;

    do {
        n = recv(c->fd, c->in + c->in_n, sizeof c->in - c->in_n, 0);
        if (n > 0) {
            c->in_n += (size_t)n;
            if (!deliver(c)) {
                return;
            }
        }
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n == 0) {
        lost(c, FAIL(E_STATE));
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        lost(c, FAIL(E_IO));
    }
}

static bool connected(struct control *c)
{
    int trouble = 0;
    socklen_t n = sizeof trouble;

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &trouble, &n) != 0 || trouble != 0) {
        lost(c, FAIL(E_IO));
        return false;
    }
    c->open = true;
    control_patience(c, c->quiet_ms);
    return tell(c, CONTROL_OPEN, VIEW(""), E_OK) && c->fd >= 0;
}

static void on_io(void *arg, int fd, unsigned events)
{
    struct control *c = arg;

    (void)fd;
    if (!c->open && (events & LOOP_WRITE) != 0 && !connected(c)) {
        return;
    }
    if ((events & LOOP_WRITE) != 0 && flush(c) != E_OK) {
        lost(c, FAIL(E_IO));
        return;
    }
    if (c->open && (events & LOOP_READ) != 0) {
        take(c);
    }
}

enum err control_open(struct loop *l, const struct net_addr *to, const struct net_addr *from,
                      uint64_t quiet_ms, control_fn *fn, void *arg, struct control **out)
{
    struct control *c = mem_zalloc(sizeof *c);
    struct net_addr any_port = *from;
    enum err e = c != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    any_port.port = 0;
    *c = (struct control){.loop = l, .fn = fn, .arg = arg, .fd = -1, .quiet_ms = quiet_ms};
    TRY(net_tcp_connect(to, &any_port, &c->fd));
    TRY(loop_io_start(l, c->fd, LOOP_READ | LOOP_WRITE, on_io, c, &c->io));
    TRY(loop_timer_start(l, &c->quiet, quiet_ms, on_quiet, c));
    *out = c;
    c = NULL;
out:
    if (c != NULL) {
        destroy(c);
    }
    return e;
}

enum err control_send(struct control *c, struct view octets)
{
    if (c->fd < 0) {
        return FAIL(E_IO);
    }
    if (octets.n > sizeof c->out - c->out_n) {
        return FAIL(E_FULL);
    }
    memcpy(c->out + c->out_n, octets.p, octets.n);
    c->out_n += octets.n;
    return flush(c);
}

void control_free(struct control *c)
{
    if (c == NULL) {
        return;
    }
    if (c->busy) {
        stop(c);
        c->freed = true;
        return;
    }
    destroy(c);
}
