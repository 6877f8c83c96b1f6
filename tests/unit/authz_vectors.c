/* Vectors of the second implementation: BTI-MAC, its header, the replay window, the hand-over blob.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "authz/bti_mac.h"
#include "authz/digest.h"
#include "authz/replay.h"
#include "authz/session_blob.h"
#include "tests/unit/vectors.h"

static struct vectors v;

/* The value of the message's only BTI-MAC header, as the wire has it; false: none, or two. */
static bool header_of(struct view msg, struct view *out_value, bool *out_scheme)
{
    static const char *const names[] = {
        "authorization: ", "proxy-authorization: ", "authentication-info: "};
    size_t found = 0;
    for (size_t at = 0; at + 2 <= msg.n; at++) {
        struct view line = view_sub(msg, at + 2, msg.n);
        size_t end = 0;
        if (memcmp(msg.p + at, "\r\n\r\n", msg.n - at < 4 ? 0 : 4) == 0 && msg.n - at >= 4) {
            break;
        }
        for (size_t i = 0; msg.p[at] == '\r' && i < 3; i++) {
            if (view_starts_nocase(line, view_of(names[i]))) {
                line = view_sub(line, strlen(names[i]), line.n);
                assert_true(view_find(line, '\r', &end));
                *out_value = view_sub(line, 0, end);
                *out_scheme = i != 2;
                found++;
            }
        }
    }
    return found == 1;
}

static bool verifies(const struct hmac_key *k, struct view msg)
{
    struct bti_mac m;
    struct view value;
    bool scheme = false;
    return header_of(msg, &value, &scheme) && bti_mac_parse(value, scheme, &m) == E_OK &&
           bti_mac_verify(k, msg, m.digits) == E_OK;
}

static void sealed_as_the_vector(const struct hmac_key *k, struct view msg)
{
    char text[2048];
    char head[BTI_MAC_VALUE_MAX];
    struct view value = {0};
    struct bti_mac m;
    bool scheme = false;
    const uint8_t *kid = vector_fixed(&v, v.in, "kid", BTI_KID_BYTES);
    uint64_t seq = vector_u64(&v, v.in, "seq");
    assert_true(msg.n <= sizeof text);
    memcpy(text, msg.p, msg.n);
    struct view raw = view_from(text, msg.n);
    assert_true(header_of(raw, &value, &scheme));
    assert_true(!scheme || bti_mac_is(value));
    assert_true(view_eq(value, view_from(head, bti_mac_format(scheme, kid, seq, head))));
    assert_int_equal(bti_mac_parse(value, scheme, &m), E_OK);
    assert_int_equal(bti_mac_fill(k, text, msg.n, (size_t)(m.digits.p - text)), E_OK);
    vector_same(&v, "message", text, msg.n);
    assert_true(verifies(k, raw));
    for (size_t i = 0; i < msg.n; i++) {
        text[i] ^= 4;
        assert_false(verifies(k, raw));
        text[i] ^= 4;
    }
}

static void bti_mac(void **state)
{
    (void)state;
    vectors_load(&v, "bti_mac");
    VECTORS_EACH(&v)
    {
        struct secret s;
        struct hmac_key *k = NULL;
        struct view msg = vector_octets(&v, v.in, "message");
        vector_secret(&v, v.in, "key", &s);
        assert_int_equal(hmac_key_new(&s, &k), E_OK);
        if (json_object_get(v.in, "seq")) {
            sealed_as_the_vector(k, msg);
        } else if (verifies(k, msg) != json_is_true(vector_get(&v, v.out, "valid"))) {
            fail_msg("%s: taken the other way", v.name);
        }
        hmac_key_free(k);
    }
    vectors_free(&v);
}

static void header(void **state)
{
    (void)state;
    vectors_load(&v, "bti_mac_header");
    VECTORS_EACH(&v)
    {
        struct bti_mac m;
        struct view value = view_of(vector_text(&v, v.in, "value"));
        bool scheme = json_is_true(vector_get(&v, v.in, "with_scheme"));
        bool good = json_object_get(v.out, "malformed") == NULL;
        char hex[BTI_MAC_VALUE_MAX];
        if ((bti_mac_parse(value, scheme, &m) == E_OK) != good) {
            fail_msg("%s: taken the other way", v.name);
        }
        if (good) {
            vector_same(&v, "kid", m.kid, sizeof m.kid);
            assert_true(m.seq == vector_u64(&v, v.out, "seq"));
            assert_int_equal(view_to_cstr(m.digits, hex, sizeof hex), E_OK);
            assert_string_equal(hex, vector_text(&v, v.out, "mac"));
            size_t n = bti_mac_format(scheme, m.kid, m.seq, hex);
            assert_int_equal(n, view_trim(value).n);
            assert_memory_equal(hex, view_trim(value).p, n - BTI_MAC_DIGITS);
        }
    }
    vectors_free(&v);
}

static void replay(void **state)
{
    (void)state;
    static const char *const words[] = {
        [REPLAY_FRESH] = "fresh", [REPLAY_SEEN] = "seen", [REPLAY_TOO_OLD] = "old"};
    vectors_load(&v, "replay");
    VECTORS_EACH(&v)
    {
        struct replay r = {0};
        json_t *seqs = vector_get(&v, v.in, "seqs");
        json_t *want = vector_get(&v, v.out, "verdicts");
        assert_int_equal(json_array_size(seqs), json_array_size(want));
        for (size_t i = 0; i < json_array_size(seqs); i++) {
            uint64_t seq = 0;
            struct view text = view_of(json_string_value(json_array_get(seqs, i)));
            assert_int_equal(view_to_u64(text, UINT64_MAX, &seq), E_OK);
            const char *got = words[replay_check(&r, seq)];
            if (strcmp(got, json_string_value(json_array_get(want, i))) != 0) {
                fail_msg("%s: number %zu is %s", v.name, i, got);
            }
            if (strcmp(got, "fresh") == 0) {
                replay_mark(&r, seq);
            }
        }
    }
    vectors_free(&v);
}

/* The record of in; keys in the order of the blob. */
static void record_of(struct session_record *r)
{
    memcpy(r->kid, vector_fixed(&v, v.in, "kid", BTI_KID_BYTES), BTI_KID_BYTES);
    memcpy(r->bti_id, vector_fixed(&v, v.in, "bti_id", BTI_ID_BYTES), BTI_ID_BYTES);
    r->line_id = vector_u64(&v, v.in, "line_id");
    r->created_us = vector_u64(&v, v.in, "created_us");
    r->expires_us = vector_u64(&v, v.in, "expires_us");
    vector_secret(&v, v.in, "session_mac_up", &r->keys.mac_up);
    vector_secret(&v, v.in, "session_mac_down", &r->keys.mac_down);
    vector_secret(&v, v.in, "session_enc_up", &r->keys.enc_up);
    vector_secret(&v, v.in, "session_enc_down", &r->keys.enc_down);
    vector_secret(&v, v.in, "session_tls_psk", &r->keys.tls_psk);
    vector_secret(&v, v.in, "session_digest", &r->keys.digest);
}

static void same_record(const struct session_record *a, const struct session_record *b)
{
    assert_memory_equal(a->kid, b->kid, BTI_KID_BYTES);
    assert_memory_equal(a->bti_id, b->bti_id, BTI_ID_BYTES);
    assert_true(a->line_id == b->line_id);
    assert_true(a->created_us == b->created_us && a->expires_us == b->expires_us);
    assert_true(secret_eq(&a->keys.mac_up, &b->keys.mac_up));
    assert_true(secret_eq(&a->keys.mac_down, &b->keys.mac_down));
    assert_true(secret_eq(&a->keys.enc_up, &b->keys.enc_up));
    assert_true(secret_eq(&a->keys.enc_down, &b->keys.enc_down));
    assert_true(secret_eq(&a->keys.tls_psk, &b->keys.tls_psk));
    assert_true(secret_eq(&a->keys.digest, &b->keys.digest));
}

/* The nonce is the sealer's own: its blob is opened with the vector's AAD and compared inside. */
static void blob(void **state)
{
    (void)state;
    vectors_load(&v, "session_blob");
    VECTORS_EACH(&v)
    {
        struct session_record want = {0};
        struct session_record got = {0};
        struct secret key;
        uint8_t b[SESSION_BLOB_MAX];
        uint8_t plain[SESSION_BLOB_MAX];
        size_t n = 0;
        struct view given = vector_octets(&v, v.out, "blob");
        struct view aad = vector_octets(&v, v.out, "aad");
        record_of(&want);
        vector_secret(&v, v.in, "cluster_key", &key);
        assert_int_equal(session_blob_open(&key, want.kid, given, &got), E_OK);
        same_record(&got, &want);
        assert_int_equal(session_blob_seal(&key, &want, b, sizeof b, &n), E_OK);
        assert_int_equal(n, given.n);
        assert_int_equal(b[0], 1);
        assert_int_equal(gcm_open(&key, b + 1, aad, view_from(b + 13, n - 13), plain), E_OK);
        vector_same(&v, "plain", plain, n - 13 - GCM_TAG_BYTES);
        memcpy(b, given.p, given.n);
        for (size_t i = 0; i < n; i++) {
            b[i] ^= 1;
            assert_int_not_equal(session_blob_open(&key, want.kid, view_from(b, n), &got), E_OK);
            b[i] ^= 1;
        }
        want.kid[0] ^= 1;
        assert_int_equal(session_blob_open(&key, want.kid, given, &got), E_AUTH);
    }
    vectors_free(&v);
}

static void digest(void **state)
{
    (void)state;
    vectors_load(&v, "digest");
    VECTORS_EACH(&v)
    {
        const char *qop = vector_text(&v, v.in, "qop");
        struct digest_auth a = {
            .nonce = view_of(vector_text(&v, v.in, "nonce")),
            .uri = view_of(vector_text(&v, v.in, "uri")),
            .cnonce = view_of(vector_text(&v, v.in, "cnonce")),
            .nc_text = view_of(vector_text(&v, v.in, "nc")),
            .hash = strcmp(vector_text(&v, v.in, "algorithm"), "MD5") == 0 ? HASH_MD5 : HASH_SHA256,
            .qop = strcmp(qop, "auth") == 0 ? DIGEST_AUTH : DIGEST_AUTH_INT};
        struct digest_request r = {view_of(vector_text(&v, v.in, "method")),
                                   vector_octets(&v, v.in, "body")};
        struct secret key, ha1 = {0};
        char password[DIGEST_PASSWORD_BYTES], response[DIGEST_HEX_MAX];
        vector_secret(&v, v.in, "session_digest", &key);
        assert_int_equal(digest_session_password(&key, password), E_OK);
        assert_string_equal(password, vector_text(&v, v.out, "password"));
        assert_int_equal(digest_ha1(a.hash, view_of(vector_text(&v, v.in, "kid")),
                                    view_of(vector_text(&v, v.in, "realm")), view_of(password),
                                    &ha1),
                         E_OK);
        vector_same_secret(&v, "ha1", &ha1);
        assert_int_equal(digest_response(&a, &ha1, &r, response), E_OK);
        assert_string_equal(response, vector_text(&v, v.out, "response"));
    }
    vectors_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bti_mac), cmocka_unit_test(header), cmocka_unit_test(replay),
        cmocka_unit_test(blob),    cmocka_unit_test(digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
