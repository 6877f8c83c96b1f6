/* Commands between machines: sealing, what is refused, each once; vectors of the second
 * implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "gc/command.h"
#include "tests/unit/vectors.h"

#define ASK   VIEW("ask")
#define NODE  VIEW("gc1")
#define PLAIN VIEW("{\"op\":\"status\"}")
#define NOW   1700000000000000ull
#define LIFE  (COMMAND_LIFE_S * 1000000ull)

static const struct command_head HEAD = {.id = {1, 2, 3}, .at_us = NOW};

static struct secret a_key(uint8_t fill)
{
    struct secret key = {.n = COMMAND_KEY_BYTES};

    memset(key.b, fill, key.n);
    return key;
}

static void vectors(void **state)
{
    static struct vectors v;
    (void)state;
    vectors_load(&v, "command");
    VECTORS_EACH(&v)
    {
        struct command_head head = {.at_us = 0};
        struct secret key = {0};
        struct view direction = view_of(vector_text(&v, v.in, "direction"));
        struct view node = view_of(vector_text(&v, v.in, "node"));
        struct view sealed = vector_octets(&v, v.out, "sealed");
        struct view plain = vector_octets(&v, v.in, "plain");
        uint8_t got[512];
        size_t n = 0;
        vector_secret(&v, v.in, "command_key", &key);
        assert_int_equal(command_open(&key, direction, node, sealed, &head, got, sizeof got, &n),
                         E_OK);
        assert_memory_equal(head.id, vector_fixed(&v, v.in, "id", COMMAND_ID_BYTES),
                            COMMAND_ID_BYTES);
        assert_int_equal(head.at_us, vector_u64(&v, v.in, "at_us"));
        assert_true(view_eq(view_from(got, n), plain));
    }
    vectors_free(&v);
}

static void opens_nowhere_else(void **state)
{
    struct secret key = a_key(7), other = a_key(8), bare = a_key(7);
    struct command_head head = {.at_us = 0};
    uint8_t a[256], b[256], got[256];
    size_t n = 0, m = 0, plain_n = 0;
    (void)state;
    assert_int_equal(command_seal(&key, ASK, NODE, &HEAD, PLAIN, a, sizeof a, &n), E_OK);
    assert_int_equal(command_seal(&key, ASK, NODE, &HEAD, PLAIN, b, sizeof b, &m), E_OK);
    assert_int_equal(n, PLAIN.n + COMMAND_SEAL_EXTRA);
    assert_memory_not_equal(a, b, n); /* a key of its own for each */
    assert_null(memmem(a, n, "status", 6));
    assert_int_equal(command_open(&key, ASK, NODE, view_from(a, n), &head, got, 256, &plain_n),
                     E_OK);
    assert_true(view_eq(view_from(got, plain_n), PLAIN));
    assert_memory_equal(head.id, HEAD.id, sizeof head.id);
    assert_int_equal(command_open(&other, ASK, NODE, view_from(a, n), &head, got, 256, &plain_n),
                     E_AUTH);
    assert_int_equal(
        command_open(&key, VIEW("answer"), NODE, view_from(a, n), &head, got, 256, &plain_n),
        E_AUTH);
    assert_int_equal(
        command_open(&key, ASK, VIEW("gc2"), view_from(a, n), &head, got, 256, &plain_n), E_AUTH);
    for (size_t i = 0; i < n; i++) {
        a[i] ^= 1;
        assert_int_equal(command_open(&key, ASK, NODE, view_from(a, n), &head, got, 256, &plain_n),
                         i == 0 ? E_PARSE : E_AUTH);
        a[i] ^= 1;
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_not_equal(
            command_open(&key, ASK, NODE, view_from(a, i), &head, got, 256, &plain_n), E_OK);
    }
    bare.n = 16;
    assert_int_equal(command_open(&bare, ASK, NODE, view_from(a, n), &head, got, 256, &plain_n),
                     E_RANGE);
}

static void limits(void **state)
{
    static uint8_t big[COMMAND_NAME_MAX + 1];
    struct secret key = a_key(7);
    struct command_head head;
    uint8_t a[256], got[256];
    size_t n = 0, plain_n = 0;
    (void)state;
    memset(big, 'n', sizeof big);
    assert_int_equal(command_seal(&key, ASK, NODE, &HEAD, PLAIN, a, PLAIN.n, &n), E_RANGE);
    assert_int_equal(command_seal(&key, ASK, NODE, &HEAD, PLAIN, a, 3, &n), E_RANGE);
    assert_int_equal(
        command_seal(&key, ASK, view_from(big, sizeof big), &HEAD, PLAIN, a, sizeof a, &n),
        E_RANGE);
    assert_int_equal(command_seal(&key, ASK, VIEW(""), &HEAD, PLAIN, a, sizeof a, &n), E_RANGE);
    assert_int_equal(command_seal(&key, ASK, VIEW("a\0b"), &HEAD, PLAIN, a, sizeof a, &n), E_RANGE);
    assert_int_equal(command_seal(&key, ASK, NODE, &HEAD, PLAIN, a, sizeof a, &n), E_OK);
    assert_int_equal(
        command_open(&key, ASK, NODE, view_from(a, n), &head, got, PLAIN.n - 1, &plain_n), E_RANGE);
}

/* ---- each once ---------------------------------------------------------------------------------
 */
static struct command_head head_of(uint32_t number, uint64_t at_us)
{
    struct command_head h = {.at_us = at_us};

    memcpy(h.id, &number, sizeof number);
    return h;
}

static void each_once(void **state)
{
    struct command_guard *g = NULL;
    struct command_head h = head_of(1, NOW), other = head_of(2, NOW);
    (void)state;
    assert_int_equal(command_guard_new(NOW - 1, &g), E_OK);
    assert_int_equal(command_fresh(g, &h, NOW + 5), E_OK);
    assert_int_equal(command_fresh(g, &h, NOW + 5), E_REPLAY);
    assert_int_equal(command_fresh(g, &other, NOW + LIFE), E_OK);
    assert_int_equal(command_fresh(g, &h, NOW + LIFE), E_REPLAY);
    command_guard_free(g);
}

static void only_now(void **state)
{
    struct command_guard *g = NULL;
    struct command_head h = head_of(1, NOW);
    (void)state;
    assert_int_equal(command_guard_new(NOW, &g), E_OK);
    assert_int_equal(command_fresh(g, &h, NOW + LIFE + 1), E_REPLAY);
    h.at_us = NOW - 1; /* the process before may have obeyed it */
    assert_int_equal(command_fresh(g, &h, NOW), E_REPLAY);
    h.at_us = NOW + LIFE + 1;
    assert_int_equal(command_fresh(g, &h, NOW), E_REPLAY);
    h.at_us = UINT64_MAX;
    assert_int_equal(command_fresh(g, &h, NOW), E_REPLAY);
    h.at_us = NOW + LIFE;
    assert_int_equal(command_fresh(g, &h, NOW), E_OK);
    assert_int_equal(command_fresh(g, &h, NOW + 2 * LIFE), E_REPLAY);
    command_guard_free(g);
}

/* More than can be remembered are dropped, never obeyed twice; later there is room again. */
static void too_many(void **state)
{
    struct command_guard *g = NULL;
    struct command_head h;
    (void)state;
    assert_int_equal(command_guard_new(NOW, &g), E_OK);
    for (uint32_t i = 0; i < COMMAND_SEEN_MAX; i++) {
        h = head_of(i + 1, NOW);
        assert_int_equal(command_fresh(g, &h, NOW), E_OK);
    }
    h = head_of(COMMAND_SEEN_MAX + 1, NOW);
    assert_int_equal(command_fresh(g, &h, NOW), E_FULL);
    h = head_of(1, NOW);
    assert_int_equal(command_fresh(g, &h, NOW), E_REPLAY);
    h = head_of(COMMAND_SEEN_MAX + 2, NOW + LIFE + 1);
    assert_int_equal(command_fresh(g, &h, NOW + LIFE + 1), E_OK);
    assert_int_equal(command_fresh(g, &h, NOW + LIFE + 1), E_REPLAY);
    command_guard_free(g);
}

static void no_memory(void **state)
{
    struct command_guard *g = NULL;
    (void)state;
    mem_fail_at(0);
    assert_int_equal(command_guard_new(NOW, &g), E_NOMEM);
    mem_fail_at(-1);
    command_guard_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),   cmocka_unit_test(opens_nowhere_else),
        cmocka_unit_test(limits),    cmocka_unit_test(each_once),
        cmocka_unit_test(only_now),  cmocka_unit_test(too_many),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
