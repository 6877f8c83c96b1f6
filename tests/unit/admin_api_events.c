/* Event streams over a gate that is made up: order, filters, coming back, limits, the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin_api/events.h"
#include "base/clock.h"

#define WAIT_MS 15000

static struct {
    char top[32], path[64];
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    bool stop;
    unsigned happened; /* events of the gate, numbered from 1 */
    unsigned start;    /* of the gate's process */
    struct gates *gates;
    struct events *events;
} t;

/* ---- the gate ----------------------------------------------------------------------------------
 */
static void answer(const char *line, char *out, size_t bytes)
{
    const char *number = strstr(line, "\"number\":");
    unsigned since = number != NULL ? (unsigned)strtoul(number + 9, NULL, 10) : t.happened;
    size_t n = 0;
    if (strstr(line, "status") != NULL) {
        snprintf(out, bytes, "{\"ok\":true,\"node\":\"gc1\"}\n");
        return;
    }
    n += (size_t)snprintf(out, bytes,
                          "{\"ok\":true,\"start\":\"s%u\",\"last\":%u,\"lost\":0,\"more\":false,"
                          "\"events\":[",
                          t.start, t.happened);
    for (unsigned i = since + 1; i <= t.happened; i++) {
        n += (size_t)snprintf(out + n, bytes - n,
                              "%s{\"event\":\"started\",\"at\":\"2026-11-24T14:00:00.000Z\","
                              "\"id\":\"call%u\",\"caller\":\"+1212555%04u\",\"called\":\"x\","
                              "\"state\":\"trying\",\"trunk_out\":\"%s\",\"caller_line\":%u}",
                              i > since + 1 ? "," : "", i, i, i % 2 == 0 ? "even" : "", i);
    }
    snprintf(out + n, bytes - n, "]}\n");
}

static void *serve(void *arg)
{
    (void)arg;
    for (;;) {
        char line[4096] = "", out[65536];
        struct pollfd p = {.fd = t.fd, .events = POLLIN};
        int fd = poll(&p, 1, 20) > 0 ? accept(t.fd, NULL, NULL) : -1;
        pthread_mutex_lock(&t.lock);
        bool stop = t.stop;
        pthread_mutex_unlock(&t.lock);
        if (fd >= 0 && read(fd, line, sizeof line - 1) > 0) {
            pthread_mutex_lock(&t.lock);
            answer(line, out, sizeof out);
            pthread_mutex_unlock(&t.lock);
            assert_int_equal(write(fd, out, strlen(out)), strlen(out));
        }
        if (fd >= 0) {
            close(fd);
        }
        if (stop) {
            return NULL;
        }
    }
}

static void happens(unsigned n)
{
    pthread_mutex_lock(&t.lock);
    t.happened += n;
    pthread_mutex_unlock(&t.lock);
}

/* ---- streams -----------------------------------------------------------------------------------
 */
static struct event_stream *join(const struct events_filter *f, const char *last_id)
{
    struct event_stream *s = NULL;
    assert_int_equal(events_join(t.events, "anna", f, view_of(last_id), &s), E_OK);
    return s;
}

/* Reads on until the text is there; all that was said. */
static void read_until(struct event_stream *s, const char *text, char *said, size_t bytes)
{
    uint64_t end = clock_mono_ms(clock_system()) + WAIT_MS;
    size_t n = 0;
    said[0] = 0;
    while (strstr(said, text) == NULL) {
        ssize_t got = event_stream_pull(s, said + n, n + 8 < bytes ? 7 : 0); /* in small pieces */
        assert_true(got >= 0);
        n += (size_t)got;
        said[n] = 0;
        if (clock_mono_ms(clock_system()) > end) {
            fail_msg("no %s in %s", text, said);
        }
    }
}

static void last_id_of(const char *said, char id[64])
{
    const char *at = said, *next = NULL;
    while ((next = strstr(at + 1, "id: ")) != NULL) {
        at = next;
    }
    assert_int_equal(sscanf(at, "id: %63s", id), 1);
}

static const struct events_filter ALL = {.line = 0};

static void in_order_and_on(void **state)
{
    struct event_stream *s = NULL;
    char said[8192], id[64], want[80];
    (void)state;
    happens(3); /* before anybody listened: not told */
    s = join(&ALL, "");
    happens(2);
    read_until(s, "call5", said, sizeof said);
    assert_non_null(strstr(said, "retry: "));
    assert_null(strstr(said, "call3"));
    assert_true(strstr(said, "call4") < strstr(said, "call5"));
    assert_non_null(strstr(said, "\nevent: started\ndata: {"));
    read_until(s, "\n\n", said, sizeof said); /* the end of that event */
    event_stream_done(s);
    s = join(&ALL, "");
    happens(1);
    read_until(s, "call6", said, sizeof said);
    last_id_of(said, id);
    event_stream_done(s);
    happens(2); /* nobody listens */
    s = join(&ALL, id);
    read_until(s, "call8", said, sizeof said);
    assert_non_null(strstr(said, "call7"));
    assert_null(strstr(said, "call6"));
    assert_null(strstr(said, "lost"));
    event_stream_done(s);
    snprintf(want, sizeof want, "%.17s99999", id);
    s = join(&ALL, want); /* never was */
    read_until(s, "event: lost", said, sizeof said);
    event_stream_done(s);
    s = join(&ALL, "nonsense");
    read_until(s, "event: lost", said, sizeof said);
    event_stream_done(s);
}

static void filters(void **state)
{
    const struct events_filter by_trunk = {.trunk = "even"}, by_line = {.line = t.happened + 3},
                               elsewhere = {.node = "gc9"}, by_number = {.number = "+12125550001"};
    struct event_stream *trunk = join(&by_trunk, ""), *line = join(&by_line, ""),
                        *node = join(&elsewhere, ""), *number = join(&by_number, "");
    char said[8192], want[32];
    char room[1024];
    ssize_t n = 0;
    (void)state;
    snprintf(want, sizeof want, "call%u", t.happened + 3);
    happens(4);
    read_until(line, want, said, sizeof said);
    read_until(trunk, "\"trunk_out\":\"even\"", said, sizeof said);
    assert_null(strstr(said, "\"trunk_out\":null"));
    n = event_stream_pull(node, room, sizeof room); /* the greeting */
    assert_true(n > 0);
    assert_int_equal(event_stream_pull(node, room, sizeof room), 0);
    assert_true(event_stream_pull(number, room, sizeof room) > 0);
    assert_int_equal(event_stream_pull(number, room, sizeof room), 0);
    event_stream_done(trunk);
    event_stream_done(line);
    event_stream_done(node);
    event_stream_done(number);
}

static void another_start_of_the_gate(void **state)
{
    struct event_stream *s = join(&ALL, "");
    char said[8192];
    (void)state;
    pthread_mutex_lock(&t.lock);
    t.start++;
    t.happened = 1;
    pthread_mutex_unlock(&t.lock);
    read_until(s, "event: lost", said, sizeof said);
    event_stream_done(s);
}

static void limits(void **state)
{
    struct event_stream *s[EVENTS_STREAMS_OF_ONE], *more = NULL;
    (void)state;
    for (size_t i = 0; i < EVENTS_STREAMS_OF_ONE; i++) {
        s[i] = join(&ALL, "");
    }
    assert_int_equal(events_join(t.events, "anna", &ALL, VIEW(""), &more), E_FULL);
    assert_int_equal(events_join(t.events, "ben", &ALL, VIEW(""), &more), E_OK);
    event_stream_done(more);
    event_stream_done(s[0]);
    s[0] = join(&ALL, "");
    for (size_t i = 0; i < EVENTS_STREAMS_OF_ONE; i++) {
        event_stream_done(s[i]);
    }
}

static void the_end(void **state)
{
    struct event_stream *s = join(&ALL, ""), *late = NULL;
    char room[1024];
    (void)state;
    assert_true(event_stream_pull(s, room, sizeof room) > 0);
    events_end(t.events);
    assert_true(event_stream_pull(s, room, sizeof room) < 0);
    assert_int_equal(events_join(t.events, "anna", &ALL, VIEW(""), &late), E_STATE);
    event_stream_done(s);
}

/* ---- both ends ---------------------------------------------------------------------------------
 */
static int setup(void **state)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    const char *sockets[] = {t.path, NULL};
    struct gates_cfg cfg = {.sockets = sockets, .redis = "", .command_key = ""};
    char why[256];
    (void)state;
    strcpy(t.top, "/tmp/eventsXXXXXX");
    assert_non_null(mkdtemp(t.top));
    snprintf(t.path, sizeof t.path, "%s/gc1.sock", t.top);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", t.path);
    t.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(t.fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(t.fd, 8), 0);
    pthread_mutex_init(&t.lock, NULL);
    assert_int_equal(pthread_create(&t.thread, NULL, serve, NULL), 0);
    assert_int_equal(gates_open(&cfg, &t.gates, why, sizeof why), E_OK);
    return events_open(t.gates, &t.events) == E_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    events_close(t.events);
    events_close(NULL);
    gates_close(t.gates);
    pthread_mutex_lock(&t.lock);
    t.stop = true;
    pthread_mutex_unlock(&t.lock);
    pthread_join(t.thread, NULL);
    close(t.fd);
    unlink(t.path);
    return rmdir(t.top);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_and_on),
        cmocka_unit_test(filters),
        cmocka_unit_test(another_start_of_the_gate),
        cmocka_unit_test(limits),
        cmocka_unit_test(the_end),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
