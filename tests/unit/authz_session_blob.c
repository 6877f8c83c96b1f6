#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "authz/session_blob.h"

struct sealed {
    struct secret key;
    struct session_record record;
    uint8_t blob[SESSION_BLOB_MAX];
    size_t n;
};

static struct secret *key_at(struct session_record *r, size_t i)
{
    struct secret *keys[6] = {&r->keys.mac_up,   &r->keys.mac_down, &r->keys.enc_up,
                              &r->keys.enc_down, &r->keys.tls_psk,  &r->keys.digest};
    return keys[i];
}

static struct sealed seal(void)
{
    struct sealed s = {.key = {.n = 32, .b = {1, 2, 3}},
                       .record = {.kid = {9, 8, 7},
                                  .bti_id = {5, 4},
                                  .line_id = 0x0102030405060708,
                                  .created_us = 0x1112131415161718,
                                  .expires_us = UINT64_MAX}};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(secret_random(key_at(&s.record, i), 32), E_OK);
    }
    assert_int_equal(session_blob_seal(&s.key, &s.record, s.blob, sizeof s.blob, &s.n), E_OK);
    return s;
}

static enum err open_blob(const struct sealed *s, size_t n, struct session_record *out)
{
    return session_blob_open(&s->key, s->record.kid, view_from(s->blob, n), out);
}

static void roundtrip(void **state)
{
    (void)state;
    struct sealed s = seal();
    struct session_record r;
    assert_int_equal(open_blob(&s, s.n, &r), E_OK);
    assert_memory_equal(r.kid, s.record.kid, 16);
    assert_memory_equal(r.bti_id, s.record.bti_id, 16);
    assert_true(r.line_id == s.record.line_id && r.created_us == s.record.created_us &&
                r.expires_us == UINT64_MAX);
    for (size_t i = 0; i < 6; i++) {
        assert_true(secret_eq(key_at(&r, i), key_at(&s.record, i)));
        for (size_t k = 0; k < i; k++) {
            assert_false(secret_eq(key_at(&r, i), key_at(&r, k)));
        }
    }
    session_record_wipe(&r);
    static const struct session_record zero;
    assert_memory_equal(&r, &zero, sizeof r);
}

/* Nothing of the keys, nor of who they belong to, is readable; twice the same looks different. */
static void reveals_nothing(void **state)
{
    (void)state;
    struct sealed s = seal();
    uint8_t again[SESSION_BLOB_MAX];
    size_t n = 0;
    for (size_t i = 0; i < 6; i++) {
        assert_null(memmem(s.blob, s.n, key_at(&s.record, i)->b, 8));
    }
    assert_null(memmem(s.blob, s.n, s.record.bti_id, 16));
    assert_int_equal(session_blob_seal(&s.key, &s.record, again, sizeof again, &n), E_OK);
    assert_int_equal(n, s.n);
    assert_memory_not_equal(again + 1, s.blob + 1, 12); /* nonce */
    assert_memory_not_equal(again + 13, s.blob + 13, n - 13);
}

static void every_octet_counts(void **state)
{
    (void)state;
    struct sealed s = seal();
    struct session_record r;
    memset(&r, 0x5a, sizeof r);
    const struct session_record before = r;
    for (size_t i = 0; i < s.n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            s.blob[i] ^= (uint8_t)(1 << bit);
            assert_int_equal(open_blob(&s, s.n, &r), i == 0 ? E_PARSE : E_AUTH);
            s.blob[i] ^= (uint8_t)(1 << bit);
        }
    }
    for (size_t n = 0; n <= sizeof s.blob; n++) {
        if (n != s.n) {
            assert_int_equal(open_blob(&s, n, &r), E_PARSE);
        }
    }
    assert_memory_equal(&r, &before, sizeof r); /* outputs only on E_OK */
}

static void bound_to_kid_and_key(void **state)
{
    (void)state;
    struct sealed s = seal();
    struct session_record r;
    for (size_t i = 0; i < BTI_KID_BYTES; i++) {
        s.record.kid[i] ^= 0x80;
        assert_int_equal(open_blob(&s, s.n, &r), E_AUTH);
        s.record.kid[i] ^= 0x80;
    }
    for (size_t i = 0; i < 32; i++) {
        s.key.b[i] ^= 0x01;
        assert_int_equal(open_blob(&s, s.n, &r), E_AUTH);
        s.key.b[i] ^= 0x01;
    }
    assert_int_equal(open_blob(&s, s.n, &r), E_OK);
}

static void sizes(void **state)
{
    (void)state;
    struct sealed s = seal();
    struct session_record r;
    uint8_t small[SESSION_BLOB_MAX];
    size_t n = 77;
    static const size_t key_sizes[] = {0, 16, 31, 33, 64};
    assert_int_equal(session_blob_seal(&s.key, &s.record, small, s.n - 1, &n), E_RANGE);
    for (size_t k = 0; k < 5; k++) { /* AES-128 would open too: a short cluster key is refused */
        s.key.n = key_sizes[k];
        assert_int_equal(session_blob_seal(&s.key, &s.record, small, sizeof small, &n), E_RANGE);
        assert_int_equal(open_blob(&s, s.n, &r), E_RANGE);
    }
    s.key.n = 32;
    for (size_t i = 0; i < 6; i++) {
        for (size_t k = 0; k < 5; k++) {
            key_at(&s.record, i)->n = key_sizes[k];
            assert_int_equal(session_blob_seal(&s.key, &s.record, small, sizeof small, &n),
                             E_RANGE);
        }
        key_at(&s.record, i)->n = 32;
    }
    assert_int_equal(n, 77);
    assert_int_equal(session_blob_seal(&s.key, &s.record, small, s.n, &n), E_OK);
    assert_int_equal(n, s.n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roundtrip),
        cmocka_unit_test(reveals_nothing),
        cmocka_unit_test(every_octet_counts),
        cmocka_unit_test(bound_to_kid_and_key),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
