#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "gc/queue.h"

enum { BYTES = 65536 };

static bool push(struct queue *q, const char *a, const char *b)
{
    struct view parts[2] = {view_of(a), view_of(b)};
    return queue_push(q, parts, 2);
}

static void in_order_and_whole(void **state)
{
    struct queue *q = NULL;
    char out[QUEUE_RECORD_MAX], text[QUEUE_RECORD_MAX];
    size_t live = mem_live();
    (void)state;
    assert_int_equal(queue_new(BYTES, &q), E_OK);
    assert_int_equal(queue_pop(q, out), 0);
    assert_true(push(q, "one", ""));
    assert_true(push(q, "two ", "parts"));
    assert_int_equal(queue_pop(q, out), 3);
    assert_memory_equal(out, "one", 3);
    assert_int_equal(queue_pop(q, out), 9);
    assert_memory_equal(out, "two parts", 9);
    for (size_t n = 1; n < 3000; n++) { /* every size, round and round the ring */
        struct view v = {text, n};
        memset(text, (int)(n & 0xff), n);
        assert_true(queue_push(q, &v, 1));
        assert_int_equal(queue_pop(q, out), n);
        assert_memory_equal(out, text, n);
    }
    assert_int_equal(queue_pop(q, out), 0);
    queue_free(q);
    assert_int_equal(mem_live(), live);
}

static void full_is_full_and_recovers(void **state)
{
    struct queue *q = NULL;
    char out[QUEUE_RECORD_MAX], text[4096];
    struct view v = {text, sizeof text};
    unsigned n = 0;
    (void)state;
    memset(text, 7, sizeof text);
    assert_int_equal(queue_new(BYTES, &q), E_OK);
    while (queue_push(q, &v, 1)) {
        n++;
    }
    assert_int_equal(n, BYTES / (4096 + 8));
    assert_int_equal(queue_pop(q, out), 4096);
    assert_true(queue_push(q, &v, 1));
    assert_false(queue_push(q, &v, 1));
    while (n-- > 0) {
        assert_int_equal(queue_pop(q, out), 4096);
        assert_memory_equal(out, text, 4096);
    }
    assert_int_equal(queue_pop(q, out), 0);
    queue_free(q);
}

enum { WRITERS = 3, EACH = 20000 };

struct writer {
    struct queue *q;
    uint8_t id;
    pthread_t thread;
};

static void *write_all(void *arg)
{
    struct writer *w = arg;
    for (uint32_t i = 0; i < EACH; i++) {
        uint8_t record[64] = {w->id};
        struct view v = {(const char *)record, 5 + i % 50};
        memcpy(record + 1, &i, sizeof i);
        while (!queue_push(w->q, &v, 1)) {
        }
    }
    return NULL;
}

static void many_writers(void **state)
{
    struct queue *q = NULL;
    struct writer w[WRITERS];
    uint32_t next[WRITERS] = {0};
    uint8_t out[QUEUE_RECORD_MAX];
    (void)state;
    assert_int_equal(queue_new(BYTES, &q), E_OK);
    for (uint8_t i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.q = q, .id = i};
        assert_int_equal(pthread_create(&w[i].thread, NULL, write_all, &w[i]), 0);
    }
    for (unsigned got = 0; got < WRITERS * EACH;) {
        size_t n = queue_pop(q, out);
        uint32_t i = 0;
        if (n == 0) {
            continue;
        }
        memcpy(&i, out + 1, sizeof i);
        assert_int_equal(i, next[out[0]]); /* each writer's own order */
        assert_int_equal(n, 5 + i % 50);
        next[out[0]]++;
        got++;
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(w[i].thread, NULL), 0);
    }
    queue_free(q);
}

static void no_memory(void **state)
{
    struct queue *q = NULL;
    size_t live = mem_live();
    (void)state;
    for (long i = 0; i < 2; i++) {
        mem_fail_at(i);
        assert_int_equal(queue_new(BYTES, &q), E_NOMEM);
        assert_int_equal(mem_live(), live);
    }
    mem_fail_at(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_and_whole),
        cmocka_unit_test(full_is_full_and_recovers),
        cmocka_unit_test(many_writers),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
