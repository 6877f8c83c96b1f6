#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "authz/nonces.h"

#define START    1700000000000u
#define LIFETIME 300000u

static struct nonces *made(uint8_t key, size_t max)
{
    struct secret cluster = {.n = 32, .b = {key}};
    struct nonces_cfg cfg = {
        .cluster_key = &cluster, .lifetime_ms = LIFETIME, .started_ms = START, .max = max};
    struct nonces *n = NULL;
    assert_int_equal(nonces_new(&cfg, &n), E_OK);
    return n;
}

static void known_again_in_the_cluster(void **state)
{
    struct nonces *a = made(1, 64), *b = made(1, 64), *other = made(2, 64);
    char nonce[NONCE_TEXT_MAX], second[NONCE_TEXT_MAX];
    struct view v = {nonce, NONCE_TEXT_MAX - 1};
    (void)state;
    assert_int_equal(nonce_make(a, START + 1, nonce), E_OK);
    assert_int_equal(nonce_make(a, START + 1, second), E_OK);
    assert_string_not_equal(nonce, second);
    assert_int_equal(strlen(nonce), v.n);
    assert_int_equal(nonce_check(a, v, START + 2), E_OK);
    assert_int_equal(nonce_check(b, v, START + 2), E_OK);
    assert_int_equal(nonce_check(other, v, START + 2), E_AUTH);
    for (size_t i = 0; i < v.n; i++) { /* no digit can be another one */
        char keep = nonce[i];
        nonce[i] = keep == '0' ? '1' : '0';
        assert_int_equal(nonce_check(a, v, START + 2), E_AUTH);
        nonce[i] = keep;
    }
    assert_int_equal(nonce_check(a, VIEW(""), START + 2), E_AUTH);
    assert_int_equal(nonce_check(a, VIEW("0123"), START + 2), E_AUTH);
    nonces_free(a);
    nonces_free(b);
    nonces_free(other);
}

static void bounded_in_time(void **state)
{
    struct nonces *n = made(1, 64);
    char nonce[NONCE_TEXT_MAX];
    struct view v = {nonce, NONCE_TEXT_MAX - 1};
    (void)state;
    assert_int_equal(nonce_make(n, START + 1, nonce), E_OK);
    assert_int_equal(nonce_check(n, v, START + LIFETIME), E_OK);
    assert_int_equal(nonce_check(n, v, START + 1 + LIFETIME), E_REPLAY);
    assert_int_equal(nonce_check(n, v, START + 1 - 30000), E_OK);     /* a clock that is behind */
    assert_int_equal(nonce_check(n, v, START + 1 - 30001), E_REPLAY); /* too far */
    nonces_free(n);
}

static void counts_once(void **state)
{
    static const struct {
        uint32_t nc;
        enum nonce_use use;
    } rows[] = {{1, NONCE_FRESH},  {1, NONCE_SEEN},    {3, NONCE_FRESH},  {2, NONCE_FRESH},
                {2, NONCE_SEEN},   {3, NONCE_SEEN},    {66, NONCE_FRESH}, {3, NONCE_SEEN},
                {4, NONCE_FRESH},  {2, NONCE_SEEN},    {66, NONCE_SEEN},  {1000, NONCE_FRESH},
                {900, NONCE_SEEN}, {937, NONCE_FRESH}, {936, NONCE_SEEN}, {UINT32_MAX, NONCE_FRESH},
                {1000, NONCE_SEEN}};
    struct nonces *n = made(1, 64);
    char nonce[NONCE_TEXT_MAX], other[NONCE_TEXT_MAX];
    (void)state;
    assert_int_equal(nonce_make(n, START + 1, nonce), E_OK);
    assert_int_equal(nonce_make(n, START + 1, other), E_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(nonce_take(n, view_of(nonce), rows[i].nc, START + 5), rows[i].use);
    }
    assert_int_equal(nonce_take(n, view_of(other), 1, START + 5), NONCE_FRESH);
    assert_int_equal(nonce_take(n, VIEW("abc"), 1, START + 5), NONCE_STALE);
    nonces_free(n);
}

/* Whoever comes back after its place was taken is told to ask again: never is a count good twice.
 */
static void never_twice_when_full(void **state)
{
    enum { MANY = 200 };
    static char nonce[MANY][NONCE_TEXT_MAX];
    struct nonces *n = made(1, 16);
    unsigned fresh = 0, stale = 0;
    char old[NONCE_TEXT_MAX];
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(nonce_make(n, START + 1 + i, nonce[i]), E_OK);
        assert_int_equal(nonce_take(n, view_of(nonce[i]), 1, START + 1 + i), NONCE_FRESH);
    }
    for (unsigned i = 0; i < MANY; i++) {
        enum nonce_use use = nonce_take(n, view_of(nonce[i]), 1, START + MANY);
        assert_int_not_equal(use, NONCE_FRESH);
        stale += use == NONCE_STALE;
        fresh += nonce_take(n, view_of(nonce[i]), 2, START + MANY) == NONCE_FRESH;
    }
    assert_true(stale >= MANY - 24 && fresh == MANY - stale && fresh >= 16);
    /* what was issued before this node started: its counts are forgotten */
    assert_int_equal(nonce_make(n, START - 1, old), E_OK);
    assert_int_equal(nonce_check(n, view_of(old), START + 1), E_OK);
    assert_int_equal(nonce_take(n, view_of(old), 1, START + 1), NONCE_STALE);
    /* the dead make room, and a full table takes what is new */
    assert_int_equal(nonce_make(n, START + 2 * LIFETIME, old), E_OK);
    assert_int_equal(nonce_take(n, view_of(old), 1, START + 2 * LIFETIME), NONCE_FRESH);
    nonces_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_again_in_the_cluster),
        cmocka_unit_test(bounded_in_time),
        cmocka_unit_test(counts_once),
        cmocka_unit_test(never_twice_when_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
