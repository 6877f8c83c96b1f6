#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "base/tls.h"

#define KID  "00112233445566778899aabbccddeeff"
#define KID2 "ffeeddccbbaa99887766554433221100"

/* Two ends and the wire between them, with a hand on it. */
struct pair {
    struct tls_ctx *sc, *cc;
    struct tls_conn *s, *c;
    struct secret key; /* what the server knows of KID */
    unsigned lookups, revoke_after;
};

static enum err lookup(void *arg, struct view identity, struct secret *out_psk)
{
    struct pair *p = arg;

    p->lookups++;
    if (!view_eq(identity, VIEW(KID)) || (p->revoke_after != 0 && p->lookups > p->revoke_after)) {
        return FAIL(E_NOTFOUND);
    }
    *out_psk = p->key;
    return E_OK;
}

static void pair_init(struct pair *p, const char *identity, uint8_t client_key)
{
    struct secret k = {.n = 32};

    *p = (struct pair){.key = {.n = 32}};
    memset(p->key.b, 7, 32);
    memset(k.b, client_key, 32);
    assert_int_equal(tls_server_ctx(lookup, p, &p->sc), E_OK);
    assert_int_equal(tls_client_ctx(&p->cc), E_OK);
    assert_int_equal(tls_accept(p->sc, &p->s), E_OK);
    assert_int_equal(tls_connect(p->cc, view_of(identity), &k, &p->c), E_OK);
}

static void pair_fini(struct pair *p)
{
    tls_conn_free(p->c);
    tls_conn_free(p->s);
    tls_ctx_free(p->cc);
    tls_ctx_free(p->sc);
}

static size_t drain_all(struct tls_conn *t, char *dst, size_t room)
{
    size_t all = 0, n = 0;

    do {
        assert_int_equal(tls_drain(t, dst + all, room - all, &n), E_OK);
        all += n;
    } while (n > 0);
    return all;
}

static enum err carry(struct tls_conn *from, struct tls_conn *to, size_t piece, bool *moved)
{
    static char wire[400000];
    size_t n = drain_all(from, wire, sizeof wire);
    enum err e = E_OK;

    *moved = *moved || n > 0;
    for (size_t at = 0; at < n && e == E_OK; at += piece) {
        e = tls_feed(to, view_sub(view_from(wire, n), at, piece));
    }
    return e;
}

/* Until nothing moves; the first failure of each end. */
static void settle(struct pair *p, size_t piece, enum err *s, enum err *c)
{
    bool moved = true;

    *s = *c = E_OK;
    for (int i = 0; moved && i < 20; i++) {
        enum err e = E_OK;
        moved = false;
        e = carry(p->c, p->s, piece, &moved);
        *s = *s == E_OK ? e : *s;
        e = carry(p->s, p->c, piece, &moved);
        *c = *c == E_OK ? e : *c;
    }
}

static void open_pair(struct pair *p, size_t piece)
{
    enum err s = E_STATE, c = E_STATE;

    pair_init(p, KID, 7);
    settle(p, piece, &s, &c);
    assert_int_equal(s, E_OK);
    assert_int_equal(c, E_OK);
    assert_true(tls_is_open(p->s) && tls_is_open(p->c));
}

static void handshake_and_identity(void **state)
{
    static const size_t pieces[] = {100000, 1, 7, 64};

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct pair p;
        char buf[64];
        size_t n = 1;
        pair_init(&p, KID, 7);
        assert_int_equal(tls_identity(p.s).n, 0);
        assert_false(tls_is_open(p.s));
        assert_int_equal(tls_write(p.s, VIEW("x")), E_STATE);
        assert_int_equal(tls_write(p.c, VIEW("x")), E_STATE);
        assert_int_equal(tls_read(p.c, buf, sizeof buf, &n), E_OK);
        assert_int_equal(n, 0);
        pair_fini(&p);
        open_pair(&p, pieces[i]);
        assert_true(view_eq(tls_identity(p.s), VIEW(KID)));
        assert_int_equal(tls_identity(p.c).n, 0);
        assert_int_equal(tls_read(p.s, buf, sizeof buf, &n), E_OK);
        assert_int_equal(n, 0);
        pair_fini(&p);
    }
}

static void data_both_ways(void **state)
{
    static char big[200000], back[200000];
    struct pair p;

    (void)state;
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (char)(i * 31 + i / 251);
    }
    open_pair(&p, 100000);
    for (int way = 0; way < 2; way++) {
        struct tls_conn *from = way == 0 ? p.c : p.s, *to = way == 0 ? p.s : p.c;
        bool moved = false;
        size_t all = 0, n = 0;
        assert_int_equal(tls_write(from, view_from(big, sizeof big)), E_OK);
        assert_int_equal(tls_write(from, VIEW("")), E_OK);
        assert_int_equal(carry(from, to, 1000, &moved), E_OK);
        do {
            assert_int_equal(tls_read(to, back + all, sizeof back - all, &n), E_OK);
            all += n;
        } while (n > 0);
        assert_int_equal(all, sizeof big);
        assert_memory_equal(big, back, sizeof big);
        memset(back, 0, sizeof back);
    }
    pair_fini(&p);
}

/* The octets that the peer of a failed handshake gets: nothing but an alert. */
static size_t alert_of(const char *identity, uint8_t key, char *out, size_t room)
{
    struct pair p;
    bool moved = false;
    size_t n = 0;

    pair_init(&p, identity, key);
    assert_int_equal(carry(p.c, p.s, 100000, &moved), E_AUTH);
    assert_false(tls_is_open(p.s));
    assert_int_equal(tls_identity(p.s).n, 0);
    n = drain_all(p.s, out, room);
    assert_true(n > 0);
    assert_int_equal(tls_feed(p.c, view_from(out, n)), E_AUTH);
    assert_false(tls_is_open(p.c));
    /* And both stay failed. */
    assert_int_equal(tls_feed(p.c, VIEW("")), E_AUTH);
    assert_int_equal(tls_feed(p.s, VIEW("x")), E_AUTH);
    assert_int_equal(tls_write(p.s, VIEW("x")), E_AUTH);
    pair_fini(&p);
    return n;
}

static void wrong_key_and_unknown_identity_look_the_same(void **state)
{
    char wrong[512], unknown[512];
    size_t n = alert_of(KID, 8, wrong, sizeof wrong);
    size_t m = alert_of(KID2, 7, unknown, sizeof unknown);

    (void)state;
    assert_int_equal(n, m);
    assert_memory_equal(wrong, unknown, n);
    assert_int_equal(wrong[0], 21); /* an alert record */
}

static void revoked_while_the_handshake_ran(void **state)
{
    struct pair p;
    enum err s = E_OK, c = E_OK;

    (void)state;
    pair_init(&p, KID, 7);
    p.revoke_after = 1;
    settle(&p, 100000, &s, &c);
    assert_int_equal(s, E_AUTH);
    assert_false(tls_is_open(p.s));
    assert_int_equal(p.lookups, 2);
    pair_fini(&p);
}

static void client_arguments(void **state)
{
    static const char *const bad[] = {"", "0011", KID "0", "00112233445566778899AABBCCDDEEFF",
                                      "00112233445566778899aabbccddeefg"};
    struct tls_ctx *cc = NULL;
    struct tls_conn *t = NULL;
    struct secret k = {.n = 32};

    (void)state;
    assert_int_equal(tls_client_ctx(&cc), E_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(tls_connect(cc, view_of(bad[i]), &k, &t), E_RANGE);
    }
    k.n = 31;
    assert_int_equal(tls_connect(cc, VIEW(KID), &k, &t), E_RANGE);
    assert_null(t);
    tls_ctx_free(cc);
}

static void closes(void **state)
{
    struct pair p;
    char buf[64];
    size_t n = 0;
    bool moved = false;

    (void)state;
    open_pair(&p, 100000);
    tls_ctx_free(p.sc); /* a connection may outlive its context */
    p.sc = NULL;
    assert_int_equal(tls_write(p.c, VIEW("last words")), E_OK);
    tls_close(p.c);
    tls_close(p.c);
    assert_int_equal(tls_write(p.c, VIEW("more")), E_STATE);
    assert_int_equal(carry(p.c, p.s, 100000, &moved), E_OK);
    assert_int_equal(tls_read(p.s, buf, sizeof buf, &n), E_OK);
    assert_true(view_eq(view_from(buf, n), VIEW("last words")));
    assert_int_equal(tls_read(p.s, buf, sizeof buf, &n), E_STATE);
    /* The other half still works. */
    assert_int_equal(tls_write(p.s, VIEW("answer")), E_OK);
    assert_int_equal(carry(p.s, p.c, 100000, &moved), E_OK);
    assert_int_equal(tls_read(p.c, buf, sizeof buf, &n), E_OK);
    assert_true(view_eq(view_from(buf, n), VIEW("answer")));
    tls_close(p.s);
    assert_int_equal(carry(p.s, p.c, 100000, &moved), E_OK);
    assert_int_equal(tls_read(p.c, buf, sizeof buf, &n), E_STATE);
    pair_fini(&p);
}

/* Every octet of the first flight changed, and cut at every place: never open, never a crash. A cut
 * alone is no failure: more may come. */
static void hostile_first_flight(void **state)
{
    char hello[2048], out[2048];
    struct pair p;
    size_t n = 0, opened = 0;

    (void)state;
    pair_init(&p, KID, 7);
    n = drain_all(p.c, hello, sizeof hello);
    assert_true(n > 100);
    for (size_t i = 0; i < n; i++) {
        struct tls_conn *s = NULL;
        enum err e = E_OK;
        hello[i] ^= 0x41;
        assert_int_equal(tls_accept(p.sc, &s), E_OK);
        e = tls_feed(s, view_from(hello, n));
        opened += tls_is_open(s);
        assert_true(e == E_OK || e == E_AUTH);
        (void)drain_all(s, out, sizeof out);
        tls_conn_free(s);
        hello[i] ^= 0x41;
        assert_int_equal(tls_accept(p.sc, &s), E_OK);
        assert_int_equal(tls_feed(s, view_from(hello, i)), E_OK);
        assert_int_equal(drain_all(s, out, sizeof out), 0);
        tls_conn_free(s);
    }
    assert_int_equal(opened, 0);
    pair_fini(&p);
}

static void changed_records_are_refused(void **state)
{
    char wire[2048], got[256];

    (void)state;
    for (size_t i = 0; i < 40; i++) {
        struct pair p;
        size_t n = 0, m = 0;
        enum err e = E_OK;
        open_pair(&p, 100000);
        assert_int_equal(tls_write(p.c, VIEW("REGISTER sip:example SIP/2.0")), E_OK);
        n = drain_all(p.c, wire, sizeof wire);
        assert_true(i < n);
        wire[i] ^= 1;
        assert_int_equal(tls_feed(p.s, view_from(wire, n)), E_OK);
        e = tls_read(p.s, got, sizeof got, &m);
        /* A longer length waits for octets that do not come; all else is an alert. */
        assert_true(e == E_AUTH || (e == E_OK && m == 0 && (i == 3 || i == 4)));
        if (e == E_AUTH) {
            assert_int_equal(tls_read(p.s, got, sizeof got, &m), E_AUTH);
            assert_int_equal(tls_feed(p.s, VIEW("")), E_AUTH);
            assert_true(drain_all(p.s, wire, sizeof wire) > 0);
        }
        pair_fini(&p);
    }
}

static void garbage(void **state)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n\r\n",
                                        "INVITE sip:611@x SIP/2.0\r\n\r\n", "\x80\x2e\x01\x03\x01",
                                        "\x16\x03\x01\xff\xff\x01"};
    char out[256];
    struct pair p;
    uint32_t x = 5;

    (void)state;
    pair_init(&p, KID, 7);
    for (size_t i = 0; i < 200; i++) {
        struct tls_conn *s = NULL;
        char noise[600];
        for (size_t k = 0; k < sizeof noise; k++) {
            x = x * 1664525u + 1013904223u;
            noise[k] = (char)(x >> 24);
        }
        if (i < sizeof texts / sizeof texts[0]) {
            memcpy(noise, texts[i], strlen(texts[i]));
        }
        noise[5] = i % 2 == 0 ? noise[5] : 1;
        assert_int_equal(tls_accept(p.sc, &s), E_OK);
        IGNORE(tls_feed(s, view_from(noise, sizeof noise)), "either answer is fine");
        assert_false(tls_is_open(s));
        (void)drain_all(s, out, sizeof out);
        tls_conn_free(s);
    }
    pair_fini(&p);
}

/* ---- other people's clients and servers ------------------------------------------------------ */
static enum err shake_with(SSL *other, struct tls_conn *t, unsigned char *out_last)
{
    char buf[8192] = "";
    enum err e = E_OK;

    for (int i = 0; i < 6 && e == E_OK; i++) {
        size_t n = 0;
        (void)SSL_do_handshake(other);
        int m = BIO_read(SSL_get_wbio(other), buf, sizeof buf);
        e = tls_feed(t, view_from(buf, m > 0 ? (size_t)m : 0));
        n = drain_all(t, buf, sizeof buf);
        if (n > 0) {
            *out_last = (unsigned char)buf[n - 1];
            assert_int_equal(BIO_write(SSL_get_rbio(other), buf, (int)n), n);
        }
    }
    return e;
}

static SSL *other_end(SSL_CTX *c)
{
    SSL *s = SSL_new(c);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    assert_true(s != NULL && in != NULL && out != NULL);
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(s, in, out);
    return s;
}

static int other_psk(SSL *s, const EVP_MD *md, const unsigned char **id, size_t *n,
                     SSL_SESSION **out)
{
    static const unsigned char suites[2][2] = {{0x13, 0x01}, {0x13, 0x02}};
    const int *suite = SSL_get_app_data(s);
    unsigned char key[32];
    SSL_SESSION *x = SSL_SESSION_new();

    (void)md;
    memset(key, 7, sizeof key);
    assert_int_equal(SSL_SESSION_set1_master_key(x, key, sizeof key), 1);
    assert_int_equal(SSL_SESSION_set_cipher(x, SSL_CIPHER_find(s, suites[*suite])), 1);
    assert_int_equal(SSL_SESSION_set_protocol_version(x, TLS1_3_VERSION), 1);
    *id = (const unsigned char *)KID;
    *n = 32;
    *out = x;
    return 1;
}

static void only_tls13_with_psk_and_dhe(void **state)
{
    static const struct {
        int version, suite;
        bool psk, no_dhe;
        bool good;
        unsigned char alert; /* what the client is told */
    } rows[] = {
        {TLS1_3_VERSION, 0, true, false, true, 0},    /* another OpenSSL client, done right */
        {TLS1_3_VERSION, 0, false, false, false, 40}, /* no PSK: would need a certificate */
        {TLS1_2_VERSION, 0, true, false, false, 70},  /* old version */
        {TLS1_3_VERSION, 1, true, false, false, 50},  /* the PSK's hash is another */
        {TLS1_3_VERSION, 0, true, true, false, 40},   /* psk_ke: no forward secrecy */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pair p;
        SSL_CTX *c = SSL_CTX_new(TLS_client_method());
        SSL *s = NULL;
        int suite = rows[i].suite;
        unsigned char last = 0;
        char groups[] = "ffdhe2048"; /* one that we do not have */
        pair_init(&p, KID, 7);
        SSL_CTX_set_max_proto_version(c, rows[i].version);
        if (rows[i].psk && rows[i].version == TLS1_3_VERSION) {
            SSL_CTX_set_psk_use_session_callback(c, other_psk);
        }
        if (rows[i].no_dhe) {
            SSL_CTX_set_options(c, SSL_OP_ALLOW_NO_DHE_KEX);
            assert_int_equal(SSL_CTX_set1_groups_list(c, groups), 1);
        }
        s = other_end(c);
        SSL_set_app_data(s, &suite);
        SSL_set_connect_state(s);
        assert_int_equal(shake_with(s, p.s, &last), rows[i].good ? E_OK : E_AUTH);
        assert_int_equal(last * !rows[i].good, rows[i].alert);
        assert_int_equal(tls_is_open(p.s), rows[i].good);
        if (rows[i].good) {
            assert_string_equal(SSL_get_cipher_name(s), "TLS_AES_128_GCM_SHA256");
            assert_int_equal(SSL_SESSION_has_ticket(SSL_get_session(s)), 0);
            assert_null(SSL_get1_peer_certificate(s));
        }
        SSL_free(s);
        SSL_CTX_free(c);
        pair_fini(&p);
    }
}

/* A server without our key but with a certificate is refused. */
static void certificates_do_not_count(void **state)
{
    struct pair p;
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    SSL *s = NULL;
    unsigned char last = 0;

    (void)state;
    pair_init(&p, KID, 7);
    assert_true(key != NULL && x != NULL);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(c, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(c, key), 1);
    s = other_end(c);
    SSL_set_accept_state(s);
    assert_int_equal(shake_with(s, p.c, &last), E_AUTH);
    assert_false(tls_is_open(p.c));
    SSL_free(s);
    SSL_CTX_free(c);
    X509_free(x);
    EVP_PKEY_free(key);
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_and_identity),
        cmocka_unit_test(data_both_ways),
        cmocka_unit_test(wrong_key_and_unknown_identity_look_the_same),
        cmocka_unit_test(revoked_while_the_handshake_ran),
        cmocka_unit_test(client_arguments),
        cmocka_unit_test(closes),
        cmocka_unit_test(hostile_first_flight),
        cmocka_unit_test(changed_records_are_refused),
        cmocka_unit_test(garbage),
        cmocka_unit_test(only_tls13_with_psk_and_dhe),
        cmocka_unit_test(certificates_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
