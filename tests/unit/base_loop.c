/* The loop: timers against a plain list, callbacks that change what is running, wake-ups from other
 * threads, signals, descriptors. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/loop.h"
#include "base/mem.h"

static struct {
    struct clock_fake clock;
    struct loop *l;
    size_t live;
} t;

static int setup(void **state)
{
    (void)state;
    t.live = mem_live();
    clock_fake_init(&t.clock, 1700000000000000);
    return loop_new(&t.clock.clock, &t.l) == E_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(t.l);
    loop_free(NULL);
    return mem_live() == t.live ? 0 : -1;
}

/* ---- timers ---------------------------------------------------------------------------------- */
struct thing {
    struct loop_timer timer;
    char name;
    uint64_t fired_ms;
    struct thing *starts, *stops;
    uint64_t after_ms;
};

static char said[256];

static void on_thing(void *arg)
{
    struct thing *x = arg;
    size_t n = strlen(said);
    assert_false(loop_timer_active(&x->timer));
    assert_true(n + 1 < sizeof said);
    said[n] = x->name;
    said[n + 1] = 0;
    x->fired_ms = loop_now_ms(t.l);
    if (x->stops != NULL) {
        loop_timer_stop(t.l, &x->stops->timer);
    }
    if (x->starts != NULL) {
        struct thing *y = x->starts;
        x->starts = NULL;
        assert_int_equal(loop_timer_start(t.l, &y->timer, x->after_ms, on_thing, y), E_OK);
    }
}

static void start(struct thing *x, uint64_t after_ms)
{
    assert_int_equal(loop_timer_start(t.l, &x->timer, after_ms, on_thing, x), E_OK);
}

static void order_of_due_then_of_starting(void **state)
{
    (void)state;
    struct thing x[5] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}, {.name = 'e'}};
    uint64_t now = loop_now_ms(t.l);
    said[0] = 0;
    start(&x[0], 20);
    start(&x[1], 10);
    start(&x[2], 20);
    start(&x[3], 10);
    start(&x[4], 0);
    start(&x[1], 10); /* again: behind d now */
    assert_int_equal(loop_timers(t.l), 5);
    assert_string_equal(said, "");
    loop_advance(t.l, &t.clock, 9);
    assert_string_equal(said, "e");
    loop_advance(t.l, &t.clock, 11);
    assert_string_equal(said, "edbac");
    assert_true(x[3].fired_ms == now + 10 && x[0].fired_ms == now + 20 && x[4].fired_ms == now);
    assert_int_equal(loop_timers(t.l), 0);
    loop_timer_stop(t.l, &x[0].timer); /* stopped already */
    assert_int_equal(loop_now_ms(t.l), now + 20);
    assert_true(loop_wall_us(t.l) == 1700000000020000);
    assert_ptr_equal(loop_clock(t.l), &t.clock.clock);
}

static void changed_from_a_callback(void **state)
{
    (void)state;
    struct thing a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
    said[0] = 0;
    a.stops = &b; /* due in the same turn: must not fire any more */
    start(&a, 5);
    start(&b, 5);
    start(&c, 5);
    loop_advance(t.l, &t.clock, 5);
    assert_string_equal(said, "ac");
    said[0] = 0;
    a.stops = NULL;
    a.starts = &a; /* itself, at once: in the next turn, not for ever in this one */
    a.after_ms = 0;
    start(&a, 0);
    start(&b, 0);
    loop_run_once(t.l, false);
    assert_string_equal(said, "ab");
    loop_run_once(t.l, false);
    assert_string_equal(said, "aba");
    said[0] = 0;
    a.starts = &b; /* another one that is due now is put off */
    a.after_ms = 7;
    start(&a, 3);
    start(&b, 3);
    loop_advance(t.l, &t.clock, 9);
    assert_string_equal(said, "a");
    loop_advance(t.l, &t.clock, 1);
    assert_string_equal(said, "ab");
    assert_int_equal(loop_timers(t.l), 0);
}

static void never_is_far(void **state)
{
    (void)state;
    struct thing a = {.name = 'a'};
    said[0] = 0;
    start(&a, UINT64_MAX);
    loop_advance(t.l, &t.clock, 86400000);
    assert_string_equal(said, "");
    loop_timer_stop(t.l, &a.timer);
    assert_int_equal(loop_timers(t.l), 0);
}

#define MANY 500
static struct thing many[MANY];
static uint64_t due[MANY], started[MANY], newest, last_due, last_started;
static size_t fired;

static void on_many(void *arg)
{
    struct thing *x = arg;
    size_t i = (size_t)(x - many);
    assert_true(due[i] == loop_now_ms(t.l));
    assert_true(due[i] > last_due || (due[i] == last_due && started[i] > last_started));
    last_due = due[i];
    last_started = started[i];
    due[i] = 0;
    fired++;
}

/* Random starts, restarts and stops; what fires must be what a plain list says. */
static void agrees_with_a_plain_list(void **state)
{
    (void)state;
    uint32_t x = 7;
    size_t wanted = 0;
    for (int step = 0; step < 20000; step++) {
        x = x * 1664525u + 1013904223u;
        size_t i = (x >> 8) % MANY;
        uint64_t after = 1 + (x >> 20) % 300;
        if (x >> 30 == 0) {
            loop_timer_stop(t.l, &many[i].timer);
            due[i] = 0;
        } else if (x >> 30 < 3) {
            assert_int_equal(loop_timer_start(t.l, &many[i].timer, after, on_many, &many[i]), E_OK);
            due[i] = loop_now_ms(t.l) + after;
            started[i] = newest++;
        } else {
            uint64_t to = loop_now_ms(t.l) + after % 4;
            for (size_t k = 0; k < MANY; k++) {
                wanted += due[k] != 0 && due[k] <= to;
            }
            loop_advance(t.l, &t.clock, after % 4);
            assert_int_equal(fired, wanted);
        }
        size_t running = 0;
        for (size_t k = 0; k < MANY; k++) {
            assert_int_equal(loop_timer_active(&many[k].timer), due[k] != 0);
            running += due[k] != 0;
        }
        assert_int_equal(loop_timers(t.l), running);
    }
    assert_true(fired > 1000);
    for (size_t i = 0; i < MANY; i++) {
        loop_timer_stop(t.l, &many[i].timer);
    }
}

static void heap_that_cannot_grow(void **state)
{
    (void)state;
    struct loop *l = NULL;
    struct thing x = {.name = 'x'};
    mem_fail_at(0);
    assert_int_equal(loop_new(&t.clock.clock, &l), E_NOMEM);
    mem_fail_at(-1);
    assert_int_equal(loop_new(&t.clock.clock, &l), E_OK);
    mem_fail_at(0);
    assert_int_equal(loop_timer_start(l, &x.timer, 1, on_thing, &x), E_NOMEM);
    assert_false(loop_timer_active(&x.timer));
    mem_fail_at(-1);
    assert_int_equal(loop_timer_start(l, &x.timer, 1, on_thing, &x), E_OK);
    mem_fail_at(0); /* a restart needs nothing */
    assert_int_equal(loop_timer_start(l, &x.timer, 2, on_thing, &x), E_OK);
    mem_fail_at(-1);
    loop_timer_stop(l, &x.timer);
    loop_free(l);
}

/* ---- descriptors ----------------------------------------------------------------------------- */
struct pipe_end {
    int fd[2];
    struct loop_io *io;
    struct pipe_end *frees;
    unsigned calls, events;
};

static void on_pipe(void *arg, int fd, unsigned events)
{
    struct pipe_end *p = arg;
    char c = 0;
    assert_int_equal(fd, p->fd[0]);
    p->calls++;
    p->events = events;
    assert_int_equal(read(fd, &c, 1), 1);
    if (p->frees != NULL) {
        loop_io_stop(p->frees->io);
        p->frees->io = NULL;
        p->frees = NULL;
    }
}

static void descriptors(void **state)
{
    (void)state;
    struct pipe_end a = {0}, b = {0};
    assert_int_equal(pipe(a.fd) + pipe(b.fd), 0);
    assert_int_equal(loop_io_start(t.l, a.fd[0], LOOP_READ, on_pipe, &a, &a.io), E_OK);
    assert_int_equal(loop_io_start(t.l, b.fd[0], 0, on_pipe, &b, &b.io), E_OK);
    assert_int_equal(write(a.fd[1], "xyz", 3) + write(b.fd[1], "xyz", 3), 6);
    loop_run_once(t.l, true);
    assert_true(a.calls == 1 && a.events == LOOP_READ && b.calls == 0); /* b began paused */
    loop_io_events(b.io, LOOP_READ);
    loop_io_events(b.io, LOOP_READ);
    loop_io_events(a.io, 0);
    loop_run_once(t.l, true);
    assert_true(a.calls == 1 && b.calls == 1);
    loop_io_events(a.io, LOOP_READ);
    a.frees = &b; /* both are ready: whoever is first ends the other */
    b.frees = &a;
    loop_run_once(t.l, true);
    assert_int_equal(a.calls + b.calls, 3);
    struct pipe_end *left = a.io != NULL ? &a : &b;
    left->frees = left; /* and itself */
    loop_run_once(t.l, true);
    assert_int_equal(a.calls + b.calls, 4);
    assert_true(a.io == NULL && b.io == NULL);
    loop_io_stop(NULL);
    loop_run_once(t.l, false);
    assert_int_equal(a.calls + b.calls, 4);
    for (int i = 0; i < 2; i++) {
        close(a.fd[i]);
        close(b.fd[i]);
    }
}

/* ---- other threads --------------------------------------------------------------------------- */
struct bell {
    struct loop_wake *wake;
    unsigned rung, until;
    bool frees;
};

static void on_ring(void *arg)
{
    struct bell *b = arg;
    if (++b->rung == b->until) {
        loop_stop(t.l);
    }
    if (b->frees) {
        loop_wake_free(b->wake);
        b->wake = NULL;
    }
}

static void *ring(void *arg)
{
    loop_wake_send(((struct bell *)arg)->wake);
    return NULL;
}

static void wakes_from_a_thread(void **state)
{
    (void)state;
    struct bell b = {.until = 1};
    pthread_t thread;
    assert_int_equal(loop_wake_new(t.l, on_ring, &b, &b.wake), E_OK);
    assert_int_equal(pthread_create(&thread, NULL, ring, &b), 0);
    loop_run(t.l); /* only the bell can end it */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(b.rung, 1);
    b.until = 0;
    loop_run_once(t.l, false); /* what loop_stop() left behind */
    for (int i = 0; i < 1000; i++) {
        loop_wake_send(b.wake);
    }
    loop_run_once(t.l, true);
    assert_int_equal(b.rung, 2); /* many are one */
    b.frees = true;
    loop_wake_send(b.wake);
    loop_run_once(t.l, true);
    assert_int_equal(b.rung, 3);
    assert_null(b.wake);
    loop_wake_free(NULL);
}

static void *stop(void *arg)
{
    loop_stop(arg);
    return NULL;
}

static void stop_is_sticky(void **state)
{
    (void)state;
    struct bell b = {0};
    pthread_t thread;
    loop_stop(t.l);
    loop_run(t.l); /* returns at once */
    assert_int_equal(pthread_create(&thread, NULL, stop, t.l), 0);
    loop_run(t.l); /* and this waits for the thread, although nothing is watched */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(loop_wake_new(t.l, on_ring, &b, &b.wake), E_OK);
    b.until = 1;
    loop_wake_send(b.wake);
    loop_run(t.l);
    assert_int_equal(b.rung, 1);
    loop_wake_free(b.wake);
    loop_run_once(t.l, false);
}

static void on_signal(void *arg)
{
    struct loop_signal **s = arg;
    loop_signal_stop(*s);
    *s = NULL;
    loop_stop(t.l);
}

static void signals(void **state)
{
    (void)state;
    struct loop_signal *s = NULL;
    assert_int_equal(loop_signal_start(t.l, SIGUSR1, on_signal, &s, &s), E_OK);
    assert_int_equal(raise(SIGUSR1), 0);
    loop_run(t.l);
    assert_null(s);
    loop_signal_stop(NULL);
    loop_run_once(t.l, false);
}

static void no_memory_for_handles(void **state)
{
    (void)state;
    struct loop_io *io = NULL;
    struct loop_wake *w = NULL;
    struct loop_signal *s = NULL;
    mem_fail_at(0);
    assert_int_equal(loop_io_start(t.l, 0, LOOP_READ, on_pipe, NULL, &io), E_NOMEM);
    mem_fail_at(0);
    assert_int_equal(loop_wake_new(t.l, on_ring, NULL, &w), E_NOMEM);
    mem_fail_at(0);
    assert_int_equal(loop_signal_start(t.l, SIGUSR2, on_signal, NULL, &s), E_NOMEM);
    mem_fail_at(-1);
    assert_true(io == NULL && w == NULL && s == NULL);
}

/* With the real clock: a timer ends a wait, neither early nor never. */
static void real_time(void **state)
{
    (void)state;
    struct loop *fake = t.l;
    struct thing x = {.name = 'x'};
    const struct clock *c = clock_system();
    assert_int_equal(loop_new(c, &t.l), E_OK);
    uint64_t before = c->mono_us(c->arg);
    said[0] = 0;
    start(&x, 15);
    while (said[0] == 0) {
        loop_run_once(t.l, true);
    }
    uint64_t took = c->mono_us(c->arg) - before;
    assert_in_range(took, 14000, 5000000);
    assert_true(c->wall_us(c->arg) > 1700000000000000);
    loop_free(t.l);
    t.l = fake;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_of_due_then_of_starting),
        cmocka_unit_test(changed_from_a_callback),
        cmocka_unit_test(never_is_far),
        cmocka_unit_test(agrees_with_a_plain_list),
        cmocka_unit_test(heap_that_cannot_grow),
        cmocka_unit_test(descriptors),
        cmocka_unit_test(wakes_from_a_thread),
        cmocka_unit_test(stop_is_sticky),
        cmocka_unit_test(signals),
        cmocka_unit_test(no_memory_for_handles),
        cmocka_unit_test(real_time),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
