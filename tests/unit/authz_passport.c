/* Tokens that are made, read and verified; those that RFCs print. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "tests/unit/passports.h"

static struct passport_keys k, other;

static int setup(void **state)
{
    (void)state;
    passport_keys_load(&k);
    passport_keys_load(&other);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    passport_keys_free(&k);
    passport_keys_free(&other);
    return mem_live() == 0 ? 0 : -1;
}

static struct passport shaken(void)
{
    return (struct passport){
        .type = PASSPORT_SHAKEN,
        .x5u = "https://certs.example.net/sp.pem",
        .orig.tn = "12155550101",
        .n_dest = 1,
        .dest = {{.tn = "12155550102"}},
        .iat = 1700000000,
        .attest = 'A',
        .origid = "123e4567-e89b-12d3-a456-426655440000",
    };
}

static const char *made(const struct passport *p)
{
    static char token[PASSPORT_MAX + 1];
    assert_int_equal(passport_make(p, k.key, token, sizeof token), E_OK);
    return token;
}

/* The two JSON texts of a token. */
static void texts(const char *token, char header[4096], char payload[4096])
{
    struct cursor c = cursor_over(view_of(token));
    struct view part = {0};
    size_t n = 0;
    assert_int_equal(cur_until(&c, '.', &part), E_OK);
    assert_true(base64url_get(part, header, 4095, &n));
    header[n] = '\0';
    assert_int_equal(cur_until(&c, '.', &part), E_OK);
    assert_true(base64url_get(part, payload, 4095, &n));
    payload[n] = '\0';
}

static void the_octets_of_a_token(void **state)
{
    char header[4096], payload[4096];
    struct passport p = shaken();
    (void)state;
    texts(made(&p), header, payload);
    assert_string_equal(header,
                        "{\"alg\":\"ES256\",\"ppt\":\"shaken\",\"typ\":\"passport\",\"x5u\":"
                        "\"https://certs.example.net/sp.pem\"}");
    assert_string_equal(payload,
                        "{\"attest\":\"A\",\"dest\":{\"tn\":[\"12155550102\"]},\"iat\":1700000000,"
                        "\"orig\":{\"tn\":\"12155550101\"},\"origid\":"
                        "\"123e4567-e89b-12d3-a456-426655440000\"}");
    p.type = PASSPORT_DIV;
    p.div = (struct passport_party){.tn = "12155550103"};
    texts(made(&p), header, payload);
    assert_string_equal(header, "{\"alg\":\"ES256\",\"ppt\":\"div\",\"typ\":\"passport\",\"x5u\":"
                                "\"https://certs.example.net/sp.pem\"}");
    assert_string_equal(payload, "{\"dest\":{\"tn\":[\"12155550102\"]},\"div\":{\"tn\":"
                                 "\"12155550103\"},\"iat\":1700000000,\"orig\":{\"tn\":"
                                 "\"12155550101\"}}");
    p.type = PASSPORT_BASE;
    p.orig = (struct passport_party){.uri = "sip:alice@example.com"};
    p.n_dest = 5;
    p.dest[1] = (struct passport_party){.uri = "sip:bob@example.com"};
    p.dest[2] = (struct passport_party){.tn = "12155550100"};
    p.dest[3] = (struct passport_party){.uri = "sip:alan@example.com"};
    p.dest[4] = (struct passport_party){.tn = "*69"};
    texts(made(&p), header, payload);
    assert_string_equal(header, "{\"alg\":\"ES256\",\"typ\":\"passport\",\"x5u\":"
                                "\"https://certs.example.net/sp.pem\"}");
    assert_string_equal(payload,
                        "{\"dest\":{\"tn\":[\"*69\",\"12155550100\",\"12155550102\"],\"uri\":["
                        "\"sip:alan@example.com\",\"sip:bob@example.com\"]},\"iat\":1700000000,"
                        "\"orig\":{\"uri\":\"sip:alice@example.com\"}}");
    p.n_dest = 1;
    p.dest[0] = p.dest[1];
    texts(made(&p), header, payload);
    assert_string_equal(payload, "{\"dest\":{\"uri\":[\"sip:bob@example.com\"]},\"iat\":1700000000,"
                                 "\"orig\":{\"uri\":\"sip:alice@example.com\"}}");
}

static void what_is_made_is_read(void **state)
{
    static const enum passport_type types[] = {PASSPORT_BASE, PASSPORT_SHAKEN, PASSPORT_DIV};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct passport p = shaken(), q;
        const char *why = NULL;
        p.type = types[i];
        p.div = (struct passport_party){.uri = "sip:a@b.example"};
        const char *token = made(&p);
        assert_int_equal(passport_read(view_of(token), &q, &why), E_OK);
        assert_int_equal(q.type, p.type);
        assert_string_equal(q.ppt, passport_ppt(p.type));
        assert_string_equal(q.x5u, p.x5u);
        assert_string_equal(q.orig.tn, p.orig.tn);
        assert_int_equal(q.n_dest, 1);
        assert_string_equal(q.dest[0].tn, p.dest[0].tn);
        assert_int_equal(q.iat, p.iat);
        assert_int_equal(q.attest, p.type == PASSPORT_SHAKEN ? 'A' : 0);
        assert_string_equal(q.origid, p.type == PASSPORT_SHAKEN ? p.origid : "");
        assert_string_equal(q.div.uri, p.type == PASSPORT_DIV ? p.div.uri : "");
        assert_ptr_equal(q.signing_input.p, token);
        assert_int_equal(passport_verify(&q, k.public), E_OK);
        assert_int_equal(passport_verify(&q, other.public), E_AUTH);
    }
}

static void one_octet_changes_it(void **state)
{
    struct passport p = shaken(), q;
    char token[PASSPORT_MAX + 1];
    size_t n = 0, read = 0;
    (void)state;
    assert_int_equal(passport_make(&p, k.key, token, sizeof token), E_OK);
    n = strlen(token);
    for (size_t i = 0; i < n; i++) {
        const char *why = NULL;
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        if (passport_read(view_from(token, n), &q, &why) == E_OK) {
            read++;
            assert_int_equal(passport_verify(&q, k.public), E_AUTH);
        } else {
            assert_non_null(why);
        }
        token[i] = was;
    }
    assert_true(read > 86 - 2); /* the signature's, and more */
}

static void swapped_halves(void **state)
{
    struct passport p = shaken(), q;
    const char *why = NULL;
    uint8_t half[32];
    (void)state;
    assert_int_equal(passport_read(view_of(made(&p)), &q, &why), E_OK);
    memcpy(half, q.signature, 32);
    memcpy(q.signature, q.signature + 32, 32);
    memcpy(q.signature + 32, half, 32);
    assert_int_equal(passport_verify(&q, k.public), E_AUTH);
    memset(q.signature, 0, 64);
    assert_int_equal(passport_verify(&q, k.public), E_AUTH);
    memset(q.signature, 0xff, 64);
    assert_int_equal(passport_verify(&q, k.public), E_AUTH);
}

static void claims_that_make_no_token(void **state)
{
    char out[PASSPORT_MAX + 1] = "as it was";
    struct passport good = shaken();
    struct passport p[16];
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < sizeof p / sizeof *p; i++) {
        p[i] = good;
    }
    p[n++].n_dest = 0;
    p[n++].n_dest = PASSPORT_DEST_MAX + 1;
    p[n++].attest = 'D';
    p[n++].attest = 0;
    p[n++].origid[3] = 'x';
    p[n++].origid[35] = 0;
    p[n++].type = PASSPORT_OTHER;
    strcpy(p[n++].orig.tn, "+12155550101");
    strcpy(p[n++].orig.uri, "sip:both@example.com");
    p[n++].orig.tn[0] = 0;
    p[n].orig.tn[0] = 0;
    strcpy(p[n++].orig.uri, "sip:quote\"@example.com");
    p[n].dest[0].tn[0] = 0;
    strcpy(p[n++].dest[0].uri, "no uri");
    strcpy(p[n++].x5u, "http://certs.example.net/sp.pem");
    strcpy(p[n++].x5u, "https://certs.example.net/sp>.pem");
    p[n++].type = PASSPORT_DIV; /* without div */
    p[n++].iat = UINT64_MAX;
    assert_int_equal(n, sizeof p / sizeof *p);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(passport_make(&p[i], k.key, out, sizeof out), E_STATE);
        assert_string_equal(out, "as it was");
    }
}

static void room_for_a_token(void **state)
{
    struct passport p = shaken();
    char out[PASSPORT_MAX + 1];
    size_t n = strlen(made(&p));
    (void)state;
    assert_int_equal(passport_make(&p, k.key, out, n), E_RANGE);
    assert_int_equal(passport_make(&p, k.key, out, n + 1), E_OK);
    assert_int_equal(strlen(out), n);
    p.n_dest = PASSPORT_DEST_MAX;
    for (unsigned i = 0; i < p.n_dest; i++) {
        memset(p.dest[i].uri, 'a', sizeof p.dest[i].uri - 1);
        memcpy(p.dest[i].uri, "sip:", 4);
        p.dest[i].tn[0] = 0;
    }
    assert_int_equal(passport_make(&p, k.key, out, sizeof out), E_RANGE);
}

/* ---- as RFCs print them ---- */

static struct ec_public *data_key(const char *name)
{
    char pem[1024];
    struct ec_public *key = NULL;
    assert_int_equal(ec_public_read(passport_data(name, pem, sizeof pem), &key), E_OK);
    return key;
}

/* The signature alone, whatever the claims say. */
static enum err jws_verify(struct view token, const struct ec_public *key)
{
    uint8_t signature[64];
    size_t n = 0;
    struct view part = view_sub(token, token.n - 86, 86);
    assert_true(token.p[token.n - 87] == '.');
    assert_true(base64url_get(part, signature, sizeof signature, &n) && n == 64);
    return ec_verify(key, view_sub(token, 0, token.n - 87), signature);
}

static void rfc8225(void **state)
{
    char text[1024];
    struct passport p;
    const char *why = NULL;
    struct ec_public *key = data_key("rfc8225_a.2.public.pem");
    struct view token = passport_data("rfc8225_7.1.token", text, sizeof text);
    (void)state;
    /* Signed well, but with the time as a text: section 5.1.1 wants a number. */
    assert_int_equal(jws_verify(token, key), E_OK);
    assert_int_equal(passport_read(token, &p, &why), E_PARSE);
    assert_string_equal(why, "a whole number is expected");
    /* The one of appendix A reads well; its signature is not of the key that is printed with it. */
    token = passport_data("rfc8225_appendix_a.token", text, sizeof text);
    assert_int_equal(passport_read(token, &p, &why), E_OK);
    assert_int_equal(p.type, PASSPORT_BASE);
    assert_int_equal(p.iat, 1471375418);
    assert_string_equal(p.orig.tn, "12155551212");
    assert_string_equal(p.dest[0].uri, "sip:alice@example.com");
    assert_int_equal(passport_verify(&p, key), E_AUTH);
    ec_public_free(key);
}

static void rfc8946(void **state)
{
    char text[3][1024];
    struct passport base, div, div_o;
    const char *why = NULL;
    struct ec_public *key = data_key("rfc8946_a.public.pem");
    struct view token = passport_data("rfc8946_div-o.token", text[2], sizeof text[2]);
    (void)state;
    assert_int_equal(
        passport_read(passport_data("rfc8946_base.token", text[0], sizeof text[0]), &base, &why),
        E_OK);
    assert_int_equal(passport_verify(&base, key), E_OK);
    assert_int_equal(
        passport_read(passport_data("rfc8946_div.token", text[1], sizeof text[1]), &div, &why),
        E_OK);
    assert_int_equal(div.type, PASSPORT_DIV);
    assert_int_equal(passport_verify(&div, key), E_OK);
    /* Its dest is no array, as RFC 8225 section 5.2.1 wants. */
    assert_int_equal(jws_verify(token, key), E_OK);
    assert_int_equal(passport_read(token, &div_o, &why), E_PARSE);
    assert_string_equal(why, "a JSON array is expected");
    /* 121555551213 in the signed div has a digit too many: no chain. With the number that was
     * meant it is one. */
    assert_string_equal(div.div.tn, "121555551213");
    assert_false(passport_continues(&div, &base, 1));
    strcpy(div.div.tn, "12155551213");
    assert_true(passport_continues(&div, &base, 1));
    ec_public_free(key);
}

static void rfc8443(void **state)
{
    char text[1024];
    struct passport p;
    const char *why = NULL;
    (void)state;
    assert_int_equal(passport_read(passport_data("rfc8443_4.1.token", text, sizeof text), &p, &why),
                     E_PARSE);
    assert_string_equal(why, "a JSON text is expected"); /* [ for a name */
}

static void chains(void **state)
{
    struct passport p[3] = {shaken(), shaken(), shaken()};
    struct passport div = shaken();
    (void)state;
    strcpy(p[0].orig.tn, "12155550109");
    p[1].n_dest = 2;
    strcpy(p[1].dest[1].tn, "12155550107");
    div.type = PASSPORT_DIV;
    div.dest[0] = (struct passport_party){.tn = "12155550108"};
    div.div = (struct passport_party){.tn = "12155550107"};
    assert_true(passport_continues(&div, p, 3));
    assert_false(passport_continues(&div, p, 1)); /* another's orig */
    assert_false(passport_continues(&div, p, 0));
    div.type = PASSPORT_SHAKEN;
    assert_false(passport_continues(&div, p, 3));
    div.type = PASSPORT_DIV;
    div.div = (struct passport_party){.uri = "sip:12155550107@example.com"};
    assert_false(passport_continues(&div, p, 3));
}

static void numbers(void **state)
{
    static const struct {
        const char *text, *canonical; /* NULL: none */
    } rows[] = {
        {"+1 (212) 555-0101", "12125550101"},
        {"12125550101", "12125550101"},
        {"2125550101", "2125550101"},
        {" +1.212.555.0101\t", "12125550101"},
        {"911", "911"},
        {"*69", "*69"},
        {"#31#", "#31#"},
        {"1234567890123456789", "1234567890123456789"},
        {"12345678901234567890", NULL},
        {"", NULL},
        {"+", NULL},
        {"1+2", NULL},
        {"alice", NULL},
        {"bob1", NULL},
        {"12125550101;ext=5", NULL},
        {"1%32", NULL},
        {"\xd9\xa1", NULL}, /* a digit, but an Arabic one */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[PASSPORT_TN_MAX] = "same";
        bool ok = passport_canonical_tn(view_of(rows[i].text), out);
        assert_int_equal(ok, rows[i].canonical != NULL);
        assert_string_equal(out, ok ? rows[i].canonical : "same");
    }
    char out[PASSPORT_TN_MAX];
    assert_false(passport_canonical_tn(view_from("1\0002", 3), out));
}

/* ---- keys ---- */

static void keys(void **state)
{
    struct passport_keys p384 = {0};
    struct ec_key *key = NULL;
    struct ec_public *public = NULL;
    (void)state;
    passport_keys_make(&p384, "P-384");
    assert_int_equal(ec_key_load(p384.path, &key), E_PARSE);
    assert_int_equal(ec_public_read(view_of(p384.public_pem), &public), E_PARSE);
    passport_keys_free(&p384);
    assert_int_equal(chmod(k.path, 0640), 0);
    assert_int_equal(ec_key_load(k.path, &key), E_DENIED);
    assert_int_equal(chmod(k.path, 0600), 0);
    assert_int_equal(ec_key_load("/nowhere/key.pem", &key), E_NOTFOUND);
    assert_int_equal(ec_public_read(view_of(""), &public), E_PARSE);
    assert_int_equal(ec_public_read(VIEW("-----BEGIN PUBLIC KEY-----\nAAAA\n"), &public), E_PARSE);
    mem_fail_at(0);
    assert_int_equal(ec_key_load(k.path, &key), E_NOMEM);
    mem_fail_at(0);
    assert_int_equal(ec_public_read(view_of(k.public_pem), &public), E_NOMEM);
    mem_fail_at(-1);
    assert_null(key);
    assert_null(public);
}

static void *sign_and_verify(void *bad)
{
    uint8_t signature[EC_SIGNATURE_BYTES];
    for (int i = 0; i < 50; i++) {
        if (ec_sign(k.key, VIEW("octets"), signature) != E_OK ||
            ec_verify(k.public, VIEW("octets"), signature) != E_OK ||
            ec_verify(other.public, VIEW("octets"), signature) != E_AUTH) {
            *(bool *)bad = true;
        }
    }
    return NULL;
}

static void one_key_in_many_threads(void **state)
{
    pthread_t thread[4];
    bool bad[4] = {false};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, sign_and_verify, &bad[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_false(bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_octets_of_a_token),
        cmocka_unit_test(what_is_made_is_read),
        cmocka_unit_test(one_octet_changes_it),
        cmocka_unit_test(swapped_halves),
        cmocka_unit_test(claims_that_make_no_token),
        cmocka_unit_test(room_for_a_token),
        cmocka_unit_test(rfc8225),
        cmocka_unit_test(rfc8946),
        cmocka_unit_test(rfc8443),
        cmocka_unit_test(chains),
        cmocka_unit_test(numbers),
        cmocka_unit_test(keys),
        cmocka_unit_test(one_key_in_many_threads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
