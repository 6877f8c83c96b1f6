#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "authz/sealed.h"

#define CONTEXT VIEW("gw1\0alice")

static void keys(struct secret *cluster, struct secret *key, struct secret *plain)
{
    *cluster = (struct secret){.n = 32, .b = {1, 2, 3}};
    *key = *plain = (struct secret){.n = 0};
    assert_int_equal(sealed_key(cluster, key), E_OK);
    assert_int_equal(secret_set(plain, "correct horse", 13), E_OK);
}

static void round_trip(void **state)
{
    struct secret cluster, key, plain, got = {0}, again = {0};
    uint8_t a[SEALED_MAX], b[SEALED_MAX];
    size_t an = 0, bn = 0;
    (void)state;
    keys(&cluster, &key, &plain);
    assert_int_equal(sealed_key(&cluster, &again), E_OK);
    assert_true(secret_eq(&key, &again));
    assert_int_equal(sealed_make(&key, SEALED_TRUNK, CONTEXT, &plain, a, &an), E_OK);
    assert_int_equal(sealed_make(&key, SEALED_TRUNK, CONTEXT, &plain, b, &bn), E_OK);
    assert_int_equal(an, SEALED_EXTRA + 13);
    assert_memory_not_equal(a, b, an); /* a nonce of its own */
    assert_null(memmem(a, an, "correct", 7));
    assert_int_equal(sealed_open(&key, SEALED_TRUNK, CONTEXT, view_from(a, an), &got), E_OK);
    assert_true(secret_eq(&got, &plain));
}

static void opens_nowhere_else(void **state)
{
    struct secret cluster, key, other = {0}, plain, got = {0};
    uint8_t a[SEALED_MAX];
    size_t n = 0;
    (void)state;
    keys(&cluster, &key, &plain);
    assert_int_equal(sealed_make(&key, SEALED_TRUNK, CONTEXT, &plain, a, &n), E_OK);
    cluster.b[31] ^= 1;
    assert_int_equal(sealed_key(&cluster, &other), E_OK);
    assert_int_equal(sealed_open(&other, SEALED_TRUNK, CONTEXT, view_from(a, n), &got), E_AUTH);
    assert_int_equal(sealed_open(&key, SEALED_CREDENTIAL, CONTEXT, view_from(a, n), &got), E_AUTH);
    assert_int_equal(sealed_open(&key, SEALED_TRUNK, VIEW("gw1\0alicf"), view_from(a, n), &got),
                     E_AUTH);
    for (size_t i = 1; i < n; i++) {
        a[i] ^= 1;
        assert_int_equal(sealed_open(&key, SEALED_TRUNK, CONTEXT, view_from(a, n), &got), E_AUTH);
        a[i] ^= 1;
    }
    a[0] = 2;
    assert_int_equal(sealed_open(&key, SEALED_TRUNK, CONTEXT, view_from(a, n), &got), E_PARSE);
    a[0] = 1;
    for (size_t i = 0; i < n; i++) {
        assert_int_not_equal(sealed_open(&key, SEALED_TRUNK, CONTEXT, view_from(a, i), &got), E_OK);
    }
    assert_int_equal(got.n, 0);
}

static void limits(void **state)
{
    static const char long_text[SEALED_CONTEXT_MAX + 1];
    struct secret cluster, key, plain, got = {0};
    uint8_t a[SEALED_MAX], big[SEALED_MAX + 1] = {1};
    size_t n = 0;
    (void)state;
    keys(&cluster, &key, &plain);
    assert_int_equal(
        sealed_make(&key, SEALED_TRUNK, view_from(long_text, sizeof long_text), &plain, a, &n),
        E_RANGE);
    assert_int_equal(sealed_make(&key, VIEW(""), CONTEXT, &plain, a, &n), E_RANGE);
    assert_int_equal(sealed_open(&key, SEALED_TRUNK, CONTEXT, view_from(big, sizeof big), &got),
                     E_PARSE);
    plain.n = 0;
    assert_int_equal(sealed_make(&key, SEALED_TRUNK, CONTEXT, &plain, a, &n), E_RANGE);
    plain.n = SECRET_MAX;
    assert_int_equal(sealed_make(&key, SEALED_TRUNK, CONTEXT, &plain, a, &n), E_OK);
    assert_int_equal(sealed_open(&key, SEALED_TRUNK, CONTEXT, view_from(a, n), &got), E_OK);
    assert_int_equal(got.n, SECRET_MAX);
    cluster.n = 16;
    assert_int_equal(sealed_key(&cluster, &key), E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(opens_nowhere_else),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
