/* The health listener over real loopback sockets: paths, bad requests, slow and too many clients.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/health.h"
#include "base/mem.h"

static struct {
    struct clock_fake clock;
    struct loop *l;
    struct metrics *m;
    struct health *h;
    bool ready;
    const char *json;
    size_t live;
} t;

static bool ready(void *arg, char *json, size_t n)
{
    assert_ptr_equal(arg, &t);
    snprintf(json, n, "%s", t.json);
    return t.ready;
}

static int setup(void **state)
{
    (void)state;
    struct net_addr a = {.family = 4, .ip = {127, 0, 0, 1}};
    t.live = mem_live();
    clock_fake_init(&t.clock, 0);
    assert_int_equal(loop_new(&t.clock.clock, &t.l), E_OK);
    assert_int_equal(metrics_new(1, &t.m), E_OK);
    (void)metric_declare(t.m, METRIC_COUNTER, "unit_things_total", NULL, "Things");
    assert_int_equal(health_open(t.l, &a, t.m, ready, &t, &t.h), E_OK);
    t.ready = true;
    t.json = "{\"postgres\":\"up\"}\n";
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    health_close(t.h);
    health_close(NULL);
    assert_int_equal(loop_timers(t.l), 0);
    loop_free(t.l);
    metrics_free(t.m);
    assert_int_equal(mem_live(), t.live);
    return 0;
}

static void turns(int n)
{
    for (int i = 0; i < n; i++) {
        loop_run_once(t.l, false);
    }
}

static int dial(void)
{
    struct net_addr a = health_address(t.h);
    struct sockaddr_storage sa;
    socklen_t n = net_to_sockaddr(&a, &sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0 && a.port != 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, n), 0);
    return fd;
}

static void say(int fd, struct view v)
{
    assert_int_equal(send(fd, v.p, v.n, MSG_NOSIGNAL), v.n);
}

/* Everything until the server closes; -1 while it is open. */
static ssize_t heard(int fd, char *dst, size_t max)
{
    size_t n = 0;
    for (;;) {
        ssize_t got = recv(fd, dst + n, max - 1 - n, MSG_DONTWAIT);
        if (got <= 0) {
            dst[n] = 0;
            return got == 0 ? (ssize_t)n : -1;
        }
        n += (size_t)got;
    }
}

static void ask(struct view request, char *dst, size_t max)
{
    int fd = dial();
    turns(2);
    say(fd, request);
    turns(3);
    assert_true(heard(fd, dst, max) >= 0);
    close(fd);
}

static void requests(void **state)
{
    (void)state;
    const struct {
        const char *request;
        bool ready;
        const char *status, *has;
    } rows[] = {
        {"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", false, "200 OK", "{\"live\":true}"},
        {"GET /livez HTTP/1.0\r\n\r\n", true, "200 OK", "\r\nConnection: close\r\n"},
        {"GET /readyz HTTP/1.1\r\n\r\n", true, "200 OK", "\r\n\r\n{\"postgres\":\"up\"}\n"},
        {"GET /readyz HTTP/1.1\r\n\r\n", false, "503 Service Unavailable", "\"postgres\""},
        {"GET /metrics HTTP/1.1\r\n\r\n", true, "200 OK", "\nunit_things_total 0\n"},
        {"GET / HTTP/1.1\r\n\r\n", true, "404 Not Found", "/livez"},
        {"GET /livez\r\n\r\n", true, "404 Not Found", ""},
        {"GET /livezz HTTP/1.1\r\n\r\n", true, "404 Not Found", ""},
        {"GET /../livez HTTP/1.1\r\n\r\n", true, "404 Not Found", ""},
        {"get /livez HTTP/1.1\r\n\r\n", true, "405 Method Not Allowed", "\r\nAllow: GET\r\n"},
        {"POST /livez HTTP/1.1\r\n\r\n", true, "405 Method Not Allowed", ""},
        {"\r\n\r\n", true, "405 Method Not Allowed", ""},
        {"\x16\x03\x01 TLS \r\n\r\n", true, "405 Method Not Allowed", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char a[4096], want[64];
        unsigned length = 0;
        t.ready = rows[i].ready;
        ask(view_of(rows[i].request), a, sizeof a);
        snprintf(want, sizeof want, "HTTP/1.1 %s\r\n", rows[i].status);
        const char *body = strstr(a, "\r\n\r\n"), *cl = strstr(a, "Content-Length: ");
        if (strncmp(a, want, strlen(want)) != 0 || strstr(a, rows[i].has) == NULL || body == NULL ||
            cl == NULL || sscanf(cl, "Content-Length: %u", &length) != 1 ||
            length != strlen(body + 4)) {
            fail_msg("row %zu: %s", i, a);
        }
    }
    t.ready = true;
}

static void in_pieces(void **state)
{
    (void)state;
    static const char text[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    char a[4096];
    int fd = dial();
    turns(2);
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        assert_int_equal(heard(fd, a, sizeof a), -1);
        say(fd, view_from(text + i, 1));
        turns(2);
    }
    assert_true(heard(fd, a, sizeof a) > 0);
    assert_memory_equal(a, "HTTP/1.1 200", 12);
    close(fd);
}

static void long_heads(void **state)
{
    (void)state;
    char head[2049], a[4096];
    memset(head, 'x', sizeof head);
    memcpy(head, "GET /livez HTTP/1.1\r\n", 21);
    memcpy(head + 2044, "\r\n\r\n", 4);
    ask(view_from(head, 2048), a, sizeof a);
    assert_memory_equal(a, "HTTP/1.1 200", 12);
    memset(head + 2044, 'x', 5);
    ask(view_from(head, 2048), a, sizeof a);
    assert_memory_equal(a, "HTTP/1.1 431", 12);
}

static void slow_clients_go_after_five_seconds(void **state)
{
    (void)state;
    char a[64];
    int quiet = dial(), slow = dial();
    turns(2);
    for (int i = 0; i < 4; i++) { /* an octet a second does not help */
        say(slow, VIEW("G"));
        loop_advance(t.l, &t.clock, 1000);
    }
    loop_advance(t.l, &t.clock, 999);
    assert_int_equal(heard(quiet, a, sizeof a), -1);
    assert_int_equal(heard(slow, a, sizeof a), -1);
    loop_advance(t.l, &t.clock, 1);
    assert_int_equal(heard(quiet, a, sizeof a), 0);
    assert_int_equal(heard(slow, a, sizeof a), 0);
    close(quiet);
    close(slow);
}

static void clients_that_leave(void **state)
{
    (void)state;
    for (int i = 0; i < 70; i++) { /* more than there are places */
        int fd = dial();
        turns(2);
        if (i % 2 == 0) {
            say(fd, VIEW("GET /metrics HTTP/1.1\r\n\r\n"));
        }
        close(fd);
        turns(3);
    }
    char a[4096];
    ask(VIEW("GET /livez HTTP/1.1\r\n\r\n"), a, sizeof a);
    assert_memory_equal(a, "HTTP/1.1 200", 12);
}

static void thirty_two_at_a_time(void **state)
{
    (void)state;
    int fd[33];
    char a[4096];
    for (int i = 0; i < 33; i++) {
        fd[i] = dial();
        turns(2);
        assert_int_equal(heard(fd[i], a, sizeof a), i < 32 ? -1 : 0);
    }
    close(fd[0]);
    turns(2);
    ask(VIEW("GET /livez HTTP/1.1\r\n\r\n"), a, sizeof a);
    assert_memory_equal(a, "HTTP/1.1 200", 12);
    for (int i = 1; i < 33; i++) {
        close(fd[i]);
    }
    turns(2);
}

/* No descriptor left: the listener rests, instead of trying again in every turn. */
static void no_descriptors(void **state)
{
    (void)state;
    struct rlimit old, none;
    char a[4096];
    int fd = dial(), lowest = dup(fd);
    assert_int_equal(close(lowest), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    turns(2);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    say(fd, VIEW("GET /livez HTTP/1.1\r\n\r\n"));
    assert_int_equal(loop_timers(t.l), 1);
    turns(5);
    assert_int_equal(heard(fd, a, sizeof a), -1);
    loop_advance(t.l, &t.clock, 1000);
    turns(3);
    assert_true(heard(fd, a, sizeof a) > 0);
    close(fd);
}

static void loopback_only(void **state)
{
    (void)state;
    const char *const refused[] = {"0.0.0.0:0",       "192.0.2.1:0",       "[::]:0",
                                   "[2001:db8::1]:0", "126.255.255.255:0", "128.0.0.1:0"};
    struct health *h = NULL;
    struct net_addr a;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_int_equal(net_parse(view_of(refused[i]), 0, &a), E_OK);
        assert_int_equal(health_open(t.l, &a, t.m, ready, &t, &h), E_DENIED);
    }
    a = health_address(t.h); /* taken already */
    assert_int_equal(health_open(t.l, &a, t.m, ready, &t, &h), E_IO);
    assert_null(h);
}

static void closes_with_clients(void **state)
{
    (void)state;
    struct net_addr a = {.family = 4, .ip = {127, 0, 0, 1}};
    char text[64];
    int fd = dial();
    turns(2);
    say(fd, VIEW("GET"));
    turns(1);
    health_close(t.h);
    assert_int_equal(heard(fd, text, sizeof text), 0);
    close(fd);
    assert_int_equal(loop_timers(t.l), 0);
    assert_int_equal(health_open(t.l, &a, t.m, ready, &t, &t.h), E_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(in_pieces),
        cmocka_unit_test(long_heads),
        cmocka_unit_test(slow_clients_go_after_five_seconds),
        cmocka_unit_test(clients_that_leave),
        cmocka_unit_test(thirty_two_at_a_time),
        cmocka_unit_test(no_descriptors),
        cmocka_unit_test(loopback_only),
        cmocka_unit_test(closes_with_clients),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
