/* Several control sockets asked at the same time. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin_api/gates_int.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gc/command.h"

enum { ROOM_FIRST = 16384, TURN_MS = 50 };

static void over(struct gate_socket_ask *a, enum err e)
{
    if (a->fd >= 0) {
        close(a->fd);
        a->fd = -1;
    }
    if (e != E_OK) {
        mem_free(a->answer);
        a->answer = NULL;
        a->answer_n = 0;
    }
    a->e = e;
}

/* Its backlog may be full: then the next turn tries again. */
static void dial(struct gate_socket_ask *a)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    if (view_to_cstr(view_of(a->path), sa.sun_path, sizeof sa.sun_path) != E_OK) {
        over(a, E_IO);
        return;
    }
    a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->fd < 0) {
        over(a, E_IO);
    } else if (connect(a->fd, (const struct sockaddr *)&sa, sizeof sa) != 0) {
        bool again = errno == EAGAIN;
        over(a, again ? E_STATE : E_IO);
    }
}

static void send_some(struct gate_socket_ask *a)
{
    ssize_t n = send(a->fd, a->request.p + a->sent, a->request.n - a->sent, MSG_NOSIGNAL);

    if (n >= 0) {
        a->sent += (size_t)n;
    } else if (errno != EAGAIN && errno != EINTR) {
        over(a, E_IO);
    }
}

static bool has_room(struct gate_socket_ask *a)
{
    size_t more = a->room == 0 ? ROOM_FIRST : a->room * 2;
    char *grown = NULL;

    if (a->answer_n < a->room) {
        return true;
    }
    grown = more <= 2 * (size_t)ANSWER_MAX ? mem_resize(a->answer, more) : NULL;
    if (grown == NULL) {
        return false;
    }
    a->answer = grown;
    a->room = more;
    return true;
}

/* The other end closes behind its line. */
static void read_some(struct gate_socket_ask *a)
{
    ssize_t n = 0;

    if (!has_room(a)) {
        over(a, E_IO);
        return;
    }
    n = read(a->fd, a->answer + a->answer_n, a->room - a->answer_n);
    if (n > 0) {
        a->answer_n += (size_t)n;
    } else if (n == 0) {
        over(a, a->answer_n > 0 && a->answer[a->answer_n - 1] == '\n' ? E_OK : E_IO);
    } else if (errno != EAGAIN && errno != EINTR) {
        over(a, E_IO);
    }
}

static void step(struct gate_socket_ask *a, short events)
{
    if (events == 0) {
        return;
    }
    if (a->sent < a->request.n) {
        send_some(a);
    } else {
        read_some(a);
    }
}

static bool turn(struct gate_socket_ask *a, size_t n, int wait_ms)
{
    struct pollfd p[GATES_SOCKETS_MAX];
    bool open = false;

    for (size_t i = 0; i < n; i++) {
        if (a[i].e == E_STATE && a[i].fd < 0) {
            dial(&a[i]);
        }
        open = open || a[i].e == E_STATE;
        p[i] =
            (struct pollfd){.fd = a[i].fd, .events = a[i].sent < a[i].request.n ? POLLOUT : POLLIN};
    }
    if (!open || poll(p, (nfds_t)n, wait_ms) <= 0) {
        return open;
    }
    for (size_t i = 0; i < n; i++) {
        if (a[i].e == E_STATE && a[i].fd >= 0) {
            step(&a[i], p[i].revents);
        }
    }
    return true;
}

void gate_sockets_run(struct gate_socket_ask *a, size_t n, uint64_t deadline_ms)
{
    uint64_t now = clock_mono_ms(clock_system());

    BUG_ON(n > GATES_SOCKETS_MAX);
    for (size_t i = 0; i < n; i++) {
        a[i].e = E_STATE;
        a[i].fd = -1;
        a[i].sent = a[i].room = a[i].answer_n = 0;
        a[i].answer = NULL;
    }
    while (now < deadline_ms) {
        uint64_t left = deadline_ms - now;
        if (!turn(a, n, (int)(left < TURN_MS ? left : TURN_MS))) {
            return;
        }
        now = clock_mono_ms(clock_system());
    }
    for (size_t i = 0; i < n; i++) {
        if (a[i].e == E_STATE) {
            over(&a[i], E_IO);
        }
    }
}
