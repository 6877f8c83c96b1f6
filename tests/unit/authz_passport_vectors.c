/* Vectors of the second implementation (tests/vectors/identity): the tokens that we make of the
 * same claims, and what we read and refuse of texts that are a little wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/crypto.h"
#include "tests/unit/passports.h"
#include "tests/unit/vectors.h"

static struct vectors v;
static struct passport_keys k;

static int setup(void **state)
{
    (void)state;
    passport_keys_load(&k);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    passport_keys_free(&k);
    return 0;
}

static enum passport_type type_of(const char *text)
{
    static const char *const names[] = {"base", "shaken", "div", "other"};
    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) == 0) {
            return (enum passport_type)i;
        }
    }
    fail_msg("%s: type %s", v.name, text);
    return PASSPORT_OTHER;
}

static void party_of(json_t *o, struct passport_party *p)
{
    const char *tn = json_string_value(json_object_get(o, "tn"));
    const char *uri = json_string_value(json_object_get(o, "uri"));
    assert_true((tn != NULL) != (uri != NULL));
    snprintf(p->tn, sizeof p->tn, "%s", tn ? tn : "");
    snprintf(p->uri, sizeof p->uri, "%s", uri ? uri : "");
}

static struct passport claims_of(json_t *o)
{
    struct passport p = {.type = type_of(vector_text(&v, o, "type")),
                         .iat = vector_u64(&v, o, "iat")};
    json_t *dest = vector_get(&v, o, "dest");
    snprintf(p.x5u, sizeof p.x5u, "%s", vector_text(&v, o, "x5u"));
    party_of(vector_get(&v, o, "orig"), &p.orig);
    p.n_dest = (unsigned)json_array_size(dest);
    assert_true(p.n_dest <= PASSPORT_DEST_MAX);
    for (unsigned i = 0; i < p.n_dest; i++) {
        party_of(json_array_get(dest, i), &p.dest[i]);
    }
    if (p.type == PASSPORT_SHAKEN) {
        p.attest = vector_text(&v, o, "attest")[0];
        snprintf(p.origid, sizeof p.origid, "%s", vector_text(&v, o, "origid"));
    } else if (p.type == PASSPORT_DIV) {
        party_of(vector_get(&v, o, "div"), &p.div);
    }
    return p;
}

static void same_claims(const struct passport *got, const struct passport *want)
{
    assert_int_equal(got->type, want->type);
    assert_int_equal(got->iat, want->iat);
    assert_string_equal(got->x5u, want->x5u);
    assert_true(passport_same_party(&got->orig, &want->orig));
    assert_true(passport_same_party(&got->div, &want->div));
    assert_int_equal(got->n_dest, want->n_dest);
    for (unsigned i = 0; i < got->n_dest; i++) {
        assert_true(passport_same_party(&got->dest[i], &want->dest[i]));
    }
    assert_int_equal(got->attest, want->attest);
    assert_string_equal(got->origid, want->origid);
}

/* The public half of the vector's private key. */
static struct ec_public *public_of(struct view d)
{
    struct secret s = {.n = 0};
    struct p256_key key;
    uint8_t der[91] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                       0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                       0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    const unsigned char *at = der;
    char pem[512];
    struct ec_public *out = NULL;
    assert_int_equal(secret_set(&s, d.p, d.n), E_OK);
    assert_int_equal(p256_from_private(&s, &key), E_OK);
    memcpy(der + 26, key.pub, sizeof key.pub);
    EVP_PKEY *public = d2i_PUBKEY(NULL, &at, sizeof der);
    BIO *b = BIO_new(BIO_s_mem());
    assert_true(public && PEM_write_bio_PUBKEY(b, public));
    int n = BIO_read(b, pem, sizeof pem);
    assert_int_equal(ec_public_read(view_from(pem, (size_t)n), &out), E_OK);
    BIO_free(b);
    EVP_PKEY_free(public);
    return out;
}

static void made(void **state)
{
    size_t n = 0;
    (void)state;
    vectors_load(&v, "identity/made");
    VECTORS_EACH(&v)
    {
        struct passport want = claims_of(v.in), theirs, ours;
        const char *their_token = vector_text(&v, v.out, "token");
        char token[PASSPORT_MAX + 1];
        const char *why = NULL;
        struct ec_public *key = public_of(vector_octets(&v, v.in, "d"));
        assert_int_equal(passport_read(view_of(their_token), &theirs, &why), E_OK);
        assert_int_equal(passport_verify(&theirs, key), E_OK);
        assert_int_equal(passport_verify(&theirs, k.public), E_AUTH);
        /* What we make of the same claims is the same, up to the signature. */
        assert_int_equal(passport_make(&want, k.key, token, sizeof token), E_OK);
        assert_int_equal(passport_read(view_of(token), &ours, &why), E_OK);
        assert_true(view_eq(ours.signing_input, theirs.signing_input));
        same_claims(&ours, &theirs);
        ec_public_free(key);
        n++;
    }
    vectors_free(&v);
    assert_true(n >= 13);
}

static void read_or_refused(void **state)
{
    static const uint8_t zeros[64];
    char token[8192];
    size_t n_read = 0, n_refused = 0;
    (void)state;
    vectors_load(&v, "identity/read");
    VECTORS_EACH(&v)
    {
        struct passport p;
        const char *why = "";
        bool ok = vector_u64(&v, v.out, "ok") == 1;
        size_t n = base64url_put(vector_octets(&v, v.in, "header"), token);
        token[n++] = '.';
        n += base64url_put(vector_octets(&v, v.in, "payload"), token + n);
        token[n++] = '.';
        n += base64url_put(view_from(zeros, sizeof zeros), token + n);
        enum err e = passport_read(view_from(token, n), &p, &why);
        if ((e == E_OK) != ok) {
            fail_msg("%s: %s %s, the other says %d", v.name, err_name(e), why, ok);
        }
        if (ok) {
            struct passport want = claims_of(v.out);
            same_claims(&p, &want);
            n_read++;
        } else {
            n_refused++;
        }
    }
    vectors_free(&v);
    assert_true(n_read >= 40 && n_refused >= 300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made),
        cmocka_unit_test(read_or_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
