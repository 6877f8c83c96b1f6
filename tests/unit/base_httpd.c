#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/httpd.h"

enum { PATIENCE_MS = 15000, BIG = 3 << 20 };

/* What the handler does is named by the path. */
struct world {
    struct httpd *h;
    char folder[64], socket[96];
    _Atomic unsigned handled, pulled, ended;
    _Atomic bool waiting, go_on;
    struct httpd_peer peer; /* of the last request */
};

static ssize_t pull_some(void *arg, char *to, size_t max)
{
    struct world *w = arg;
    unsigned n = atomic_fetch_add(&w->pulled, 1);

    assert_true(max >= 8);
    if (n % 2 == 1) {
        return 0; /* nothing yet */
    }
    return n < 6 ? (memcpy(to, "piece\n", 6), 6) : -1;
}

static ssize_t pull_for_ever(void *arg, char *to, size_t max)
{
    struct world *w = arg;

    (void)max;
    if (atomic_fetch_add(&w->pulled, 1) == 0) {
        memcpy(to, "data: 1\n\n", 9);
        return 9;
    }
    poll(NULL, 0, 5); /* as a handler waits for what happens */
    return 0;
}

static void on_done(void *arg)
{
    struct world *w = arg;

    atomic_fetch_add(&w->ended, 1);
}

static void handle(void *arg, const struct httpd_request *r)
{
    static const char *const extra[] = {"ETag", "\"7\"", "Cache-Control", "max-age=1", NULL};
    struct world *w = arg;

    w->peer = *r->peer;
    if (view_eq(r->path, VIEW("/silent"))) {
        atomic_fetch_add(&w->handled, 1);
        return;
    }
    if (view_eq(r->path, VIEW("/wait"))) {
        atomic_store(&w->waiting, true);
        for (int i = 0; i < PATIENCE_MS / 5 && !atomic_load(&w->go_on); i++) {
            poll(NULL, 0, 5);
        }
    }
    if (view_eq(r->path, VIEW("/some"))) {
        httpd_stream(r, 200, "text/csv", NULL, pull_some, on_done, w);
    } else if (view_eq(r->path, VIEW("/endless"))) {
        httpd_stream(r, 200, "text/csv", NULL, pull_for_ever, on_done, w);
    } else if (view_eq(r->path, VIEW("/events"))) {
        httpd_stream(r, 200, "text/event-stream", NULL, pull_for_ever, on_done, w);
    } else if (view_eq(r->path, VIEW("/big"))) {
        char *big = calloc(1, BIG);
        memset(big, 'b', BIG);
        httpd_answer(r, 200, "text/plain", NULL, view_from(big, BIG));
        free(big);
    } else if (view_eq(r->path, VIEW("/none"))) {
        httpd_answer(r, 204, NULL, NULL, VIEW(""));
    } else if (view_eq(r->path, VIEW("/header"))) {
        httpd_answer(r, 200, "text/plain", extra, httpd_header(r, "x-thing"));
    } else {
        httpd_answer(r, 200, "text/plain", NULL, r->body.n > 0 ? r->body : r->path);
    }
    atomic_fetch_add(&w->handled, 1);
}

static void world_open(struct world *w, struct httpd_cfg cfg)
{
    char why[200] = "";

    memset(w, 0, sizeof *w);
    snprintf(w->folder, sizeof w->folder, "/tmp/headgate.httpd.XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->socket, sizeof w->socket, "%s/admin.sock", w->folder);
    assert_int_equal(net_parse(VIEW("127.0.0.1:0"), 0, &cfg.listen), E_OK);
    cfg.socket = w->socket;
    cfg.handler = handle;
    cfg.arg = w;
    assert_int_equal(httpd_open(&cfg, &w->h, why, sizeof why), E_OK);
}

static void world_close(struct world *w)
{
    httpd_close(w->h, 0);
    assert_int_not_equal(access(w->socket, F_OK), 0);
    assert_int_equal(rmdir(w->folder), 0);
}

/* ---- a client ----------------------------------------------------------------------------------
 */
static int dial(const struct world *w)
{
    struct net_addr a = httpd_address(w->h);
    struct sockaddr_storage sa;
    socklen_t n = net_to_sockaddr(&a, &sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&sa, n), 0);
    return fd;
}

static int dial_unix(const struct world *w)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", w->socket);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static size_t hear(int fd, char *to, size_t max)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n = 0;

    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    n = recv(fd, to, max, 0);
    return n > 0 ? (size_t)n : 0;
}

static const char *hear_until(int fd, char *to, size_t max, const char *mark)
{
    size_t n = 0;

    to[0] = 0;
    while (strstr(to, mark) == NULL) {
        size_t got = hear(fd, to + n, max - 1 - n);
        if (got == 0) {
            fail_msg("ended before %s: %s", mark, to);
        }
        n += got;
        to[n] = 0;
    }
    return to;
}

/* All until the other end closes. */
static size_t hear_all(int fd, char *to, size_t max)
{
    size_t n = 0, got = 0;

    while (n + 1 < max && (got = hear(fd, to + n, max - 1 - n)) > 0) {
        n += got;
    }
    to[n] = 0;
    close(fd);
    return n;
}

static void await(const _Atomic unsigned *what, unsigned least)
{
    for (int i = 0; i < PATIENCE_MS / 5 && atomic_load(what) < least; i++) {
        poll(NULL, 0, 5);
    }
    assert_true(atomic_load(what) >= least);
}

static void await_connections(const struct world *w, unsigned n)
{
    for (int i = 0; i < PATIENCE_MS / 5 && httpd_connections(w->h) != n; i++) {
        poll(NULL, 0, 5);
    }
    assert_int_equal(httpd_connections(w->h), n);
}

#define END " HTTP/1.1\r\nHost: x\r\n"

/* ---- tests -------------------------------------------------------------------------------------
 */
static void test_answers(void **state)
{
    (void)state;
    struct world w;
    char got[4096];
    int fd = -1;

    world_open(&w, (struct httpd_cfg){0});
    fd = dial(&w);
    say(fd, "GET /a%20b?c=d" END "X-Request-Id: mine-1\r\n\r\n");
    hear_until(fd, got, sizeof got, "\r\n\r\n/a%20b");
    assert_true(strncmp(got, "HTTP/1.1 200 ", 13) == 0);
    for (size_t i = 0; i < 6; i++) {
        static const char *const there[] = {"\r\nDate: ",
                                            "\r\nX-Request-Id: mine-1\r\n",
                                            "\r\nCache-Control: no-store\r\n",
                                            "\r\nX-Content-Type-Options: nosniff\r\n",
                                            "\r\nContent-Type: text/plain\r\n",
                                            "\r\nContent-Security-Policy: default-src 'none'"};
        assert_non_null(strstr(got, there[i]));
    }
    assert_null(strstr(got, "Strict-Transport-Security"));
    say(fd, "GET /header" END "X-Request-Id: not ours\r\nX-Thing: 7\r\n\r\n"); /* goes on */
    hear_until(fd, got, sizeof got, "\r\n\r\n7");
    assert_null(strstr(got, "not ours"));
    assert_non_null(strstr(got, "\r\nCache-Control: max-age=1\r\n"));
    assert_null(strstr(got, "no-store"));
    assert_non_null(strstr(got, "\r\nETag: \"7\"\r\n"));
    say(fd, "HEAD /x" END "\r\n");
    hear_until(fd, got, sizeof got, "\r\n\r\n");
    assert_non_null(strstr(got, "\r\nContent-Length: 2\r\n"));
    say(fd, "DELETE /none" END "\r\n");
    hear_until(fd, got, sizeof got, "\r\n\r\n");
    assert_true(strncmp(got, "HTTP/1.1 204 ", 13) == 0);
    say(fd, "GET /silent" END "Connection: close\r\n\r\n");
    hear_all(fd, got, sizeof got);
    assert_true(strncmp(got, "HTTP/1.1 500 ", 13) == 0);
    assert_int_equal(atomic_load(&w.handled), 5);
    assert_int_equal(w.peer.kind, PEER_NOBODY);
    assert_true(net_is_loopback(&w.peer.address));
    world_close(&w);
}

static void test_bodies(void **state)
{
    (void)state;
    struct world w;
    char got[4096], *big = malloc(BIG + 4096);
    int fd = -1;

    world_open(&w, (struct httpd_cfg){.max_body = 100});
    fd = dial(&w);
    say(fd, "POST /x" END "Content-Length: 5\r\n\r\nhel");
    say(fd, "loGET /next" END "\r\n"); /* two in one go: answered in order */
    hear_until(fd, got, sizeof got, "\r\n\r\n/next");
    assert_non_null(strstr(got, "\r\n\r\nhello"));
    say(fd, "POST /x" END "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    hear_until(fd, got, sizeof got, "\r\n\r\nonetwo");
    say(fd, "POST /x" END "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    hear_until(fd, got, sizeof got, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "ok");
    hear_until(fd, got, sizeof got, "\r\n\r\nok");
    say(fd, "POST /x" END "Transfer-Encoding: chunked\r\n\r\n64\r\n");
    for (int i = 0; i < 10; i++) {
        say(fd, "0123456789");
    }
    say(fd, "\r\n1\r\nx\r\n0\r\n\r\n");
    hear_all(fd, got, sizeof got);
    assert_true(strncmp(got, "HTTP/1.1 413 ", 13) == 0);
    fd = dial(&w);
    say(fd, "POST /x" END "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n");
    hear_all(fd, got, sizeof got);
    assert_true(strncmp(got, "HTTP/1.1 413 ", 13) == 0);
    assert_non_null(strstr(got, "application/problem+json"));
    fd = dial(&w);
    say(fd, "GET /big HTTP/1.0\r\nHost: x\r\n\r\n");
    assert_true(hear_all(fd, big, BIG + 4096) > BIG);
    assert_true(memcmp(strstr(big, "\r\n\r\n") + 4, "bbbb", 4) == 0);
    free(big);
    world_close(&w);
}

/* What follows a refused head is never taken for a request. */
static void test_refused_and_closed(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "POST /x" END "Content-Length: 0\r\nContent-Length: 30\r\n\r\n",
        "POST /x" END "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /x" END "Transfer-Encoding: chunked\r\n\r\n0\n\r\n",
        "GET /x" END "Host: y\r\n\r\n",
        "GET /x HTTP/1.1\r\n\r\n",
        "GET /x HTTP/1.1\nHost: x\n\n",
        "GET /a%00" END "\r\n",
        "GET http://x/" END "\r\n",
    };
    struct world w;

    world_open(&w, (struct httpd_cfg){0});
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        char got[4096];
        int fd = dial(&w);
        say(fd, heads[i]);
        send(fd, "GET /smuggled" END "\r\n", 34, MSG_NOSIGNAL);
        hear_all(fd, got, sizeof got);
        assert_true(strncmp(got, "HTTP/1.1 400 ", 13) == 0);
        assert_non_null(strstr(got, "\r\nConnection: close\r\n"));
        assert_non_null(strstr(got, "\r\nContent-Type: application/problem+json\r\n"));
        assert_null(strstr(got + 1, "HTTP/1.1 "));
    }
    assert_int_equal(atomic_load(&w.handled), 0);
    world_close(&w);
}

static void test_stalled(void **state)
{
    (void)state;
    static const char *const begun[] = {"G", "GET /x HTTP/1.1\r\nHost: x\r\n",
                                        "POST /x" END "Content-Length: 5\r\n\r\nab",
                                        "POST /x" END "Transfer-Encoding: chunked\r\n\r\n5\r\nab"};
    struct world w;
    char got[4096];
    int fd = -1;

    world_open(&w, (struct httpd_cfg){.read_ms = 150, .idle_ms = 150});
    for (size_t i = 0; i < sizeof begun / sizeof begun[0]; i++) {
        fd = dial(&w);
        say(fd, begun[i]);
        hear_all(fd, got, sizeof got);
        assert_true(strncmp(got, "HTTP/1.1 408 ", 13) == 0);
    }
    fd = dial(&w); /* who says nothing is told nothing */
    assert_int_equal(hear_all(fd, got, sizeof got), 0);
    fd = dial(&w);
    say(fd, "GET /x" END "\r\n");
    hear_until(fd, got, sizeof got, "\r\n\r\n/x");
    assert_int_equal(hear_all(fd, got, sizeof got), 0);
    await_connections(&w, 0);
    world_close(&w);
}

static void test_too_many(void **state)
{
    (void)state;
    struct world w;
    char got[4096];
    int fd[3];

    world_open(&w, (struct httpd_cfg){.max_connections = 8, .per_source = 2});
    for (int i = 0; i < 3; i++) {
        fd[i] = dial(&w);
        say(fd[i], "GET /x" END "\r\n");
        if (i < 2) {
            hear_until(fd[i], got, sizeof got, "\r\n\r\n/x");
        }
    }
    hear_all(fd[2], got, sizeof got);
    assert_true(strncmp(got, "HTTP/1.1 503 ", 13) == 0);
    assert_non_null(strstr(got, "\r\nRetry-After: "));
    fd[2] = dial_unix(&w); /* the local operator still gets in */
    say(fd[2], "GET /x" END "\r\n");
    hear_until(fd[2], got, sizeof got, "\r\n\r\n/x");
    assert_int_equal(w.peer.kind, PEER_UNIX);
    assert_int_equal(w.peer.uid, getuid());
    assert_int_equal(w.peer.pid, getpid());
    close(fd[0]);
    await_connections(&w, 2);
    fd[0] = dial(&w);
    say(fd[0], "GET /y" END "\r\n");
    hear_until(fd[0], got, sizeof got, "\r\n\r\n/y");
    for (int i = 0; i < 3; i++) {
        close(fd[i]);
    }
    world_close(&w);
}

static void test_streams(void **state)
{
    (void)state;
    struct world w;
    char got[4096];
    int fd = -1;

    world_open(&w, (struct httpd_cfg){0});
    fd = dial(&w);
    say(fd, "GET /some" END "\r\n");
    hear_until(fd, got, sizeof got, "\r\n0\r\n\r\n");
    assert_non_null(strstr(got, "\r\nTransfer-Encoding: chunked\r\n"));
    await(&w.ended, 1);
    atomic_store(&w.pulled, 0);
    say(fd, "GET /events" END "\r\n");
    hear_until(fd, got, sizeof got, "data: 1\n\n"); /* at once, not when a block is full */
    assert_int_equal(atomic_load(&w.ended), 1);
    close(fd);
    await(&w.ended, 2);
    fd = dial(&w);
    say(fd, "HEAD /events" END "Connection: close\r\n\r\n");
    hear_all(fd, got, sizeof got);
    assert_true(strncmp(got, "HTTP/1.1 200 ", 13) == 0);
    await(&w.ended, 3);
    world_close(&w);
}

static void *closer(void *arg)
{
    struct world *w = arg;

    httpd_close(w->h, PATIENCE_MS);
    return NULL;
}

static void test_drain(void **state)
{
    (void)state;
    struct world w;
    char got[4096];
    int idle = -1, events = -1, under_way = -1;
    pthread_t thread;

    world_open(&w, (struct httpd_cfg){0});
    idle = dial(&w);
    say(idle, "GET /x" END "\r\n");
    hear_until(idle, got, sizeof got, "\r\n\r\n/x");
    events = dial(&w);
    say(events, "GET /events" END "\r\n");
    hear_until(events, got, sizeof got, "data: 1\n\n");
    under_way = dial(&w);
    say(under_way, "GET /wait" END "\r\n");
    for (int i = 0; i < PATIENCE_MS / 5 && !atomic_load(&w.waiting); i++) {
        poll(NULL, 0, 5);
    }
    assert_int_equal(pthread_create(&thread, NULL, closer, &w), 0);
    assert_int_equal(hear_all(idle, got, sizeof got), 0);
    hear_all(events, got, sizeof got);
    assert_string_equal(got, "0\r\n\r\n"); /* a whole end */
    await(&w.ended, 1);
    atomic_store(&w.go_on, true);
    hear_all(under_way, got, sizeof got);
    assert_non_null(strstr(got, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(got, "\r\n\r\n/wait"));
    pthread_join(thread, NULL);
    assert_int_equal(rmdir(w.folder), 0);
}

/* An export that is cut must not look whole. */
static void test_cut(void **state)
{
    (void)state;
    struct world w;
    char got[4096];
    int fd = -1;

    world_open(&w, (struct httpd_cfg){0});
    fd = dial(&w);
    say(fd, "GET /endless" END "\r\n");
    hear_until(fd, got, sizeof got, "data: 1\n\n");
    httpd_close(w.h, 1);
    hear_all(fd, got, sizeof got);
    assert_null(strstr(got, "0\r\n\r\n"));
    assert_int_equal(atomic_load(&w.ended), 1);
    assert_int_equal(rmdir(w.folder), 0);
}

static void test_refused_settings(void **state)
{
    (void)state;
    struct world w;
    struct httpd *h = NULL;
    char why[200] = "";
    struct httpd_cfg cfg = {.handler = handle};
    struct stat st;

    world_open(&w, (struct httpd_cfg){0});
    assert_int_equal(stat(w.socket, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    cfg.socket = w.socket;
    assert_int_equal(httpd_open(&cfg, &h, why, sizeof why), E_IO);
    assert_non_null(strstr(why, "in use"));
    cfg.socket = "/nowhere/at/all.sock";
    assert_int_equal(httpd_open(&cfg, &h, why, sizeof why), E_IO);
    cfg.socket_group = "no-such-group";
    assert_int_equal(httpd_open(&cfg, &h, why, sizeof why), E_IO);
    assert_non_null(strstr(why, "no-such-group"));
    cfg.socket = NULL;
    assert_int_equal(net_parse(VIEW("0.0.0.0:0"), 0, &cfg.listen), E_OK);
    assert_int_equal(httpd_open(&cfg, &h, why, sizeof why), E_DENIED);
    assert_non_null(strstr(why, "loopback"));
    cfg.tls.certificate = "/nowhere.pem";
    cfg.tls.key = "/nowhere.key";
    assert_int_equal(httpd_open(&cfg, &h, why, sizeof why), E_IO);
    assert_non_null(strstr(why, "/nowhere.pem"));
    cfg.tls.certificate = NULL;
    cfg.listen = httpd_address(w.h); /* taken */
    assert_int_equal(httpd_open(&cfg, &h, why, sizeof why), E_IO);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_refused_and_closed),
        cmocka_unit_test(test_stalled),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_refused_settings),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
