#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/crypto.h"
#include "base/mem.h"

/* RFC 4231 section 4, cases 1, 2, 3, 4; RFC 5869 A.1 */
static const struct {
    const char *key, *data, *mac; /* hex */
} vectors[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
     "dddddddddddddddddddd",
     "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    {"0102030405060708090a0b0c0d0e0f10111213141516171819",
     "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
     "cdcdcdcdcdcdcdcdcdcd",
     "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
};

static size_t octets(const char *hex, uint8_t *out, size_t max)
{
    size_t n = strlen(hex) / 2;
    assert_true(n <= max);
    assert_int_equal(hex_get(view_of(hex), out, n), E_OK);
    return n;
}

static void published_vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct secret key = {0};
        struct hmac_key k;
        uint8_t data[64];
        uint8_t want[SHA256_BYTES];
        uint8_t got[SHA256_BYTES];
        key.n = octets(vectors[i].key, key.b, sizeof key.b);
        size_t n = octets(vectors[i].data, data, sizeof data);
        (void)octets(vectors[i].mac, want, sizeof want);
        assert_int_equal(hmac_sha256(&key, view_from(data, n), got), E_OK);
        assert_memory_equal(got, want, sizeof want);
        assert_int_equal(hmac_key_set(&k, &key), E_OK);
        for (size_t cut = 0; cut <= n; cut++) { /* in any two parts, again and again */
            struct view parts[2] = {view_from(data, cut), view_from(data + cut, n - cut)};
            assert_int_equal(hmac_parts(&k, parts, 2, got), E_OK);
            assert_memory_equal(got, want, sizeof want);
        }
    }
}

static void hkdf_vector(void **state)
{
    (void)state;
    uint8_t ikm[22];
    uint8_t salt[13];
    uint8_t info[10];
    uint8_t okm[42];
    struct secret prk = {0};
    struct secret out = {0};
    memset(ikm, 0x0b, sizeof ikm);
    (void)octets("000102030405060708090a0b0c", salt, sizeof salt);
    (void)octets("f0f1f2f3f4f5f6f7f8f9", info, sizeof info);
    (void)octets("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
                 "34007208d5b887185865",
                 okm, sizeof okm);
    assert_int_equal(hkdf_extract(view_from(salt, sizeof salt), view_from(ikm, sizeof ikm), &prk),
                     E_OK);
    assert_int_equal(hkdf_expand(&prk, view_from(info, sizeof info), sizeof okm, &out), E_OK);
    assert_int_equal(out.n, sizeof okm);
    assert_memory_equal(out.b, okm, sizeof okm);
    assert_int_equal(hkdf_expand(&prk, VIEW(""), 0, &out), E_RANGE);
    assert_int_equal(hkdf_expand(&prk, VIEW(""), SECRET_MAX + 1, &out), E_RANGE);
}

/* A salt longer than a block is hashed first; no salt equals a block of zeros. */
static void long_and_empty_salt(void **state)
{
    (void)state;
    uint8_t salt[100];
    uint8_t digest[SHA256_BYTES];
    static const uint8_t zeros[SHA256_BYTES];
    struct secret a = {0};
    struct secret b = {0};
    memset(salt, 7, sizeof salt);
    assert_int_equal(sha256(view_from(salt, sizeof salt), digest), E_OK);
    assert_int_equal(hkdf_extract(view_from(salt, sizeof salt), VIEW("x"), &a), E_OK);
    assert_int_equal(hkdf_extract(view_from(digest, sizeof digest), VIEW("x"), &b), E_OK);
    assert_true(secret_eq(&a, &b));
    assert_int_equal(hkdf_extract(view_from(NULL, 0), VIEW("x"), &a), E_OK);
    assert_int_equal(hkdf_extract(view_from(zeros, sizeof zeros), VIEW("x"), &b), E_OK);
    assert_true(secret_eq(&a, &b));
}

static void heap_object(void **state)
{
    (void)state;
    struct secret key = {.n = 32};
    struct hmac_key *k = NULL;
    uint8_t a[SHA256_BYTES];
    uint8_t b[SHA256_BYTES];
    const struct view nothing = {NULL, 0};
    size_t before = mem_live();
    mem_fail_at(0);
    assert_int_equal(hmac_key_new(&key, &k), E_NOMEM);
    mem_fail_at(-1);
    assert_int_equal(hmac_key_new(&key, &k), E_OK);
    assert_int_equal(hmac_parts(k, NULL, 0, a), E_OK);
    assert_int_equal(hmac_parts(k, &nothing, 1, b), E_OK);
    assert_memory_equal(a, b, sizeof a);
    hmac_key_free(k);
    hmac_key_free(NULL);
    assert_int_equal(mem_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(hkdf_vector),
        cmocka_unit_test(long_and_empty_salt),
        cmocka_unit_test(heap_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
