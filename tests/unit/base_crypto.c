/* Published known answers for every primitive, and what each must refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/crypto.h"
#include "base/mem.h"

static size_t hex(const char *text, void *out)
{
    size_t n = strlen(text) / 2;
    assert_int_equal(hex_get(view_of(text), out, n), E_OK);
    return n;
}

static void key(const char *text, struct secret *out)
{
    uint8_t b[SECRET_MAX];
    assert_int_equal(secret_set(out, b, hex(text, b)), E_OK);
}

static void same(const void *got, const char *want)
{
    uint8_t w[256];
    assert_memory_equal(got, w, hex(want, w));
}

/* FIPS 180-4 examples */
static void sha_256(void **state)
{
    (void)state;
    const struct {
        const char *text, *digest;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    uint8_t got[SHA256_BYTES], peeked[SHA256_BYTES];
    struct sha256_ctx *c = NULL;
    for (size_t i = 0; i < 3; i++) {
        struct view v = view_of(rows[i].text);
        assert_int_equal(sha256(v, got), E_OK);
        same(got, rows[i].digest);
        assert_int_equal(sha256_new(&c), E_OK);
        for (size_t k = 0; k < v.n; k++) { /* in pieces, looked at in between */
            assert_int_equal(sha256_peek(c, peeked), E_OK);
            assert_memory_not_equal(peeked, got, sizeof got);
            assert_int_equal(sha256_add(c, view_sub(v, k, 1)), E_OK);
        }
        assert_int_equal(sha256_add(c, view_from(NULL, 0)), E_OK);
        assert_int_equal(sha256_peek(c, peeked), E_OK);
        assert_memory_equal(peeked, got, sizeof got);
        sha256_free(c);
    }
    static const char a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    assert_int_equal(sha256_new(&c), E_OK);
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(sha256_add(c, view_of(a)), E_OK);
    }
    assert_int_equal(sha256_peek(c, got), E_OK);
    same(got, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    sha256_free(c);
    sha256_free(NULL);
    mem_fail_at(0);
    assert_int_equal(sha256_new(&c), E_NOMEM);
    mem_fail_at(-1);
}

/* RFC 5869 A.2 (its first 64 octets) and A.3 */
static void hkdf(void **state)
{
    (void)state;
    uint8_t ikm[80], salt[80], info[80];
    struct secret prk, okm;
    for (size_t i = 0; i < 80; i++) {
        ikm[i] = (uint8_t)i;
        salt[i] = (uint8_t)(0x60 + i);
        info[i] = (uint8_t)(0xb0 + i);
    }
    assert_int_equal(hkdf_extract(view_from(salt, 80), view_from(ikm, 80), &prk), E_OK);
    same(prk.b, "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244");
    assert_int_equal(hkdf_expand(&prk, view_from(info, 80), 64, &okm), E_OK);
    assert_int_equal(okm.n, 64);
    same(okm.b, "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
                "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71");
    memset(ikm, 0x0b, 22);
    assert_int_equal(hkdf_extract(VIEW(""), view_from(ikm, 22), &prk), E_OK);
    same(prk.b, "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
    assert_int_equal(hkdf_expand(&prk, VIEW(""), 42, &okm), E_OK);
    same(okm.b, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
                "9d201395faa4b61a96c8");
    assert_int_equal(okm.b[42], 0);
}

/* RFC 7914 section 12 */
static void scrypt(void **state)
{
    (void)state;
    struct secret k = {0};
    assert_int_equal(
        crypto_passphrase_key(VIEW("pleaseletmein"), VIEW("SodiumChloride"), 14, 64, &k), E_OK);
    assert_int_equal(k.n, 64);
    same(k.b, "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
              "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887");
    struct secret was = k;
    assert_int_equal(crypto_passphrase_key(VIEW("x"), VIEW("y"), 9, 32, &k), E_RANGE);
    assert_int_equal(crypto_passphrase_key(VIEW("x"), VIEW("y"), 21, 32, &k), E_RANGE);
    assert_int_equal(crypto_passphrase_key(VIEW("x"), VIEW("y"), 64 + 14, 32, &k), E_RANGE);
    assert_int_equal(crypto_passphrase_key(VIEW(""), VIEW("y"), 10, 32, &k), E_RANGE);
    assert_int_equal(crypto_passphrase_key(VIEW("x"), VIEW("y"), 10, 65, &k), E_RANGE);
    assert_int_equal(crypto_passphrase_key(VIEW("x"), VIEW("y"), 10, 0, &k), E_RANGE);
    assert_memory_equal(&k, &was, sizeof k);
}

/* SP 800-38D's proposal document, cases 1, 4, 16 */
#define K128 "feffe9928665731c6d6a8f9467308308"
#define PT                                                                                         \
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6" \
    "b525b16aedf5aa0de657ba637b39"
#define AAD   "feedfacedeadbeeffeedfacedeadbeefabaddad2"
#define NONCE "cafebabefacedbaddecaf888"

static const struct {
    const char *key, *nonce, *aad, *pt, *ct;
} GCM[] = {
    {"00000000000000000000000000000000", "000000000000000000000000", "", "",
     "58e2fccefa7e3061367f1d57a4e7455a"},
    {K128, NONCE, AAD, PT,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84"
     "aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47"},
    {K128 K128, NONCE, AAD, PT,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b105682"
     "8838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"},
};

static void gcm(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof GCM / sizeof *GCM; i++) {
        struct secret k = {0};
        uint8_t nonce[12], aad[64], pt[64], got[96], back[64];
        key(GCM[i].key, &k);
        (void)hex(GCM[i].nonce, nonce);
        struct view a = view_from(aad, hex(GCM[i].aad, aad)), p = view_from(pt, hex(GCM[i].pt, pt));
        assert_int_equal(gcm_seal(&k, nonce, a, p, got), E_OK);
        same(got, GCM[i].ct);
        struct view c = view_from(got, p.n + GCM_TAG_BYTES);
        assert_int_equal(gcm_open(&k, nonce, a, c, back), E_OK);
        assert_memory_equal(back, pt, p.n);
        for (size_t at = 0; at < c.n; at++) { /* no octet may change; nothing leaks when one does */
            got[at] ^= 0x10;
            memset(back, 0x5a, sizeof back);
            assert_int_equal(gcm_open(&k, nonce, a, c, back), E_AUTH);
            for (size_t z = 0; z < p.n; z++) {
                assert_int_equal(back[z], 0);
            }
            got[at] ^= 0x10;
        }
        for (size_t n = 0; n < c.n; n++) {
            assert_int_equal(gcm_open(&k, nonce, a, view_sub(c, 0, n), back), E_AUTH);
        }
        assert_int_equal(gcm_open(&k, nonce, VIEW("x"), c, back), E_AUTH);
        nonce[11] ^= 1;
        assert_int_equal(gcm_open(&k, nonce, a, c, back), E_AUTH);
        k.n = 24; /* AES-192 is not ours */
        assert_int_equal(gcm_open(&k, nonce, a, c, back), E_RANGE);
        assert_int_equal(gcm_seal(&k, nonce, a, p, got), E_RANGE);
    }
}

/* RFC 6979 A.2.5, SHA-256, "sample"; n is the order of the group */
#define D "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"
#define Q                                                                                          \
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"                           \
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
#define R     "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
#define S     "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
#define NEG_S "0834e36ad29a83bf2bc9385e491d6099c8fdf9d1ed67aa7ea5f51f93782857a9" /* n - s */
#define ORDER "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
#define ZERO  "0000000000000000000000000000000000000000000000000000000000000000"
#define ONES  "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

static void ecdsa(void **state)
{
    (void)state;
    const struct {
        const char *sig;
        enum err e;
    } rows[] = {
        {R S, E_OK},       {R NEG_S, E_OK}, /* FIPS 186-5 knows no low s: a signature is no
                                               identifier of a message */
        {S R, E_AUTH},     {ZERO S, E_AUTH},  {R ZERO, E_AUTH},    {ZERO ZERO, E_AUTH},
        {ORDER S, E_AUTH}, {R ORDER, E_AUTH}, {ONES ONES, E_AUTH},
    };
    struct secret d = {0};
    struct p256_key k;
    uint8_t pub[P256_POINT_BYTES], sig[P256_SIG_BYTES], mine[P256_SIG_BYTES];
    key(D, &d);
    (void)hex(Q, pub);
    assert_int_equal(p256_from_private(&d, &k), E_OK);
    assert_memory_equal(k.pub, pub, sizeof pub);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        (void)hex(rows[i].sig, sig);
        assert_int_equal(p256_verify(pub, VIEW("sample"), sig), rows[i].e);
    }
    (void)hex(R S, sig);
    assert_int_equal(p256_verify(pub, VIEW("sampl"), sig), E_AUTH);
    for (size_t i = 0; i < sizeof sig; i++) {
        sig[i] ^= 1;
        assert_int_equal(p256_verify(pub, VIEW("sample"), sig), E_AUTH);
        sig[i] ^= 1;
    }
    for (int i = 0; i < 50; i++) { /* short r and s are padded */
        assert_int_equal(p256_sign(&d, view_from(&i, sizeof i), mine), E_OK);
        assert_int_equal(p256_verify(pub, view_from(&i, sizeof i), mine), E_OK);
    }
    assert_int_equal(p256_sign(&d, view_from(NULL, 0), mine), E_OK);
    assert_int_equal(p256_verify(pub, VIEW(""), mine), E_OK);
    pub[1] ^= 1;
    assert_int_equal(p256_verify(pub, VIEW("sample"), sig), E_PARSE);
}

/* NIST CAVP, KAS ECC CDH primitive, P-256, count 0 */
static void ecdh(void **state)
{
    (void)state;
    struct secret d = {0}, x = {0};
    uint8_t peer[P256_POINT_BYTES];
    struct p256_key a, b;
    struct secret s, r;
    key("7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534", &d);
    (void)hex("04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287"
              "db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
              peer);
    assert_int_equal(p256_ecdh(&d, peer, &x), E_OK);
    assert_int_equal(x.n, 32);
    same(x.b, "46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b");
    assert_int_equal(p256_generate(&a), E_OK);
    assert_int_equal(p256_generate(&b), E_OK);
    assert_int_equal(p256_ecdh(&a.d, b.pub, &s), E_OK);
    assert_int_equal(p256_ecdh(&b.d, a.pub, &r), E_OK);
    assert_true(secret_eq(&s, &r) && !secret_eq(&s, &x));
}

static void points_that_are_none(void **state)
{
    (void)state;
#define B_ROOT                                                                                     \
    "66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4" /* y where x = 0 */
#define FIELD "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
    const struct {
        const char *point;
        enum err e;
    } rows[] = {
        {Q, E_OK},
        {"04" ZERO B_ROOT, E_OK},
        {"04" FIELD B_ROOT, E_PARSE}, /* the same x, written another way */
        {"04" ZERO ZERO, E_PARSE},
        {"04" ONES ONES, E_PARSE},
        {"00" ZERO ZERO, E_PARSE},
        {"02" ZERO B_ROOT, E_PARSE},
        {"06" ZERO B_ROOT, E_PARSE}, /* hybrid form */
        {"07" ZERO B_ROOT, E_PARSE},
        {"05" ZERO B_ROOT, E_PARSE},
    };
    struct secret d = {0}, x = {.n = 3};
    uint8_t p[P256_POINT_BYTES], sig[P256_SIG_BYTES] = {1};
    key(D, &d);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        (void)hex(rows[i].point, p);
        x.n = 3;
        assert_int_equal(p256_check_point(p), rows[i].e);
        assert_int_equal(p256_ecdh(&d, p, &x), rows[i].e);
        assert_int_equal(x.n, rows[i].e == E_OK ? 32 : 3);
        assert_int_equal(p256_verify(p, VIEW("x"), sig), rows[i].e == E_OK ? E_AUTH : E_PARSE);
    }
    (void)hex(Q, p);
    for (size_t i = 1; i < sizeof p; i++) { /* half of all x have no y: never this y */
        p[i] ^= 1;
        assert_int_equal(p256_check_point(p), E_PARSE);
        p[i] ^= 1;
    }
}

static void scalars_that_are_none(void **state)
{
    (void)state;
    const char *const rows[] = {ZERO, ORDER, ONES};
    struct p256_key k, unset;
    struct secret d = {0};
    uint8_t sig[P256_SIG_BYTES];
    memset(&k, 0x5a, sizeof k);
    unset = k;
    for (size_t i = 0; i < 3; i++) {
        key(rows[i], &d);
        assert_int_equal(p256_from_private(&d, &k), E_RANGE);
        assert_int_equal(p256_sign(&d, VIEW("x"), sig), E_RANGE);
    }
    key(D, &d);
    d.n = 31;
    assert_true(p256_from_private(&d, &k) != E_OK);
    assert_memory_equal(&k, &unset, sizeof k);
}

/* The vectors of its authors: key 00..0f, input 00, 01, ... */
static void siphash(void **state)
{
    (void)state;
    static const uint64_t want[] = {
        0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a,
        0x85676696d7fb7e2d, 0xcf2794e0277187b7, 0x18765564cd99a68d,
        0xcbc9466e58fee3ce, 0xab0200f58b01d137, 0x93f5f5799a932462,
    };
    uint8_t k[16], in[64];
    for (size_t i = 0; i < 64; i++) {
        in[i] = (uint8_t)i;
        k[i % 16] = (uint8_t)(i % 16);
    }
    for (size_t n = 0; n < sizeof want / sizeof *want; n++) {
        assert_true(siphash64(k, view_from(in, n)) == want[n]);
    }
    assert_true(siphash64(k, view_from(in, 15)) == 0xa129ca6149be45e5);
    assert_true(siphash64(k, view_from(in, 63)) == 0x958a324ceb064572);
    assert_true(siphash64(k, view_from(NULL, 0)) == want[0]);
    k[15] ^= 1;
    assert_true(siphash64(k, view_from(in, 8)) != want[8]);
}

static void randomness(void **state)
{
    (void)state;
    uint8_t a[32] = {0}, b[32] = {0};
    assert_int_equal(crypto_random(a, sizeof a), E_OK);
    assert_int_equal(crypto_random(b, sizeof b), E_OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(crypto_random(a, (size_t)INT32_MAX + 1), E_CRYPTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha_256),
        cmocka_unit_test(hkdf),
        cmocka_unit_test(scrypt),
        cmocka_unit_test(gcm),
        cmocka_unit_test(ecdsa),
        cmocka_unit_test(ecdh),
        cmocka_unit_test(points_that_are_none),
        cmocka_unit_test(scalars_that_are_none),
        cmocka_unit_test(siphash),
        cmocka_unit_test(randomness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
