/* TLS with certificates, beside the PSK of sessions, on one context. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/tls.h"
#include "tests/unit/certs.h"

#define KID "00112233445566778899aabbccddeeff"

static struct {
    char dir[64];
    struct cert ca, rogue;
} t;

static const char *file(const char *name)
{
    static char paths[8][128];
    static unsigned at;
    char *path = paths[at++ % 8];

    snprintf(path, sizeof paths[0], "%s/%s", t.dir, name);
    return path;
}

static int open_files(void **state)
{
    (void)state;
    snprintf(t.dir, sizeof t.dir, "/tmp/hg_tls_cert_XXXXXX");
    assert_non_null(mkdtemp(t.dir));
    t.ca = cert_make(&(struct cert_spec){.cn = "CA", .is_ca = true});
    t.rogue = cert_make(&(struct cert_spec){.cn = "CA", .is_ca = true}); /* the same name */
    cert_write(&t.ca, file("ca.pem"), NULL);
    return 0;
}

static int remove_files(void **state)
{
    static const char *const all[] = {"ca.pem", "c.pem", "k.pem", "x.pem"};

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        (void)unlink(file(all[i]));
    }
    cert_free(&t.ca);
    cert_free(&t.rogue);
    return rmdir(t.dir);
}

static struct tls_cred *cred_load(const struct tls_files *f)
{
    struct tls_cred *c = NULL;
    char why[TLS_WHY_MAX] = "";
    enum err e = tls_cred_load(f, &c, why);

    if (e != E_OK) {
        print_error("%s\n", why);
    }
    assert_int_equal(e, E_OK);
    return c;
}

/* spec NULL: no certificate. */
static struct tls_cred *cred_of(const struct cert_spec *spec, bool with_ca)
{
    struct tls_files f = {.ca = with_ca ? file("ca.pem") : NULL};

    if (spec != NULL) {
        struct cert c = cert_make(spec);
        f.certificate = file("c.pem");
        f.key = file("k.pem");
        cert_write(&c, f.certificate, f.key);
        cert_free(&c);
    }
    return cred_load(&f);
}

static enum err lookup(void *arg, struct view identity, struct secret *out_psk)
{
    (void)arg;
    if (!view_eq(identity, VIEW(KID))) {
        return FAIL(E_NOTFOUND);
    }
    *out_psk = (struct secret){.n = 32};
    memset(out_psk->b, 7, 32);
    return E_OK;
}

static struct tls_ctx *server_ctx(const struct cert_spec *spec, bool with_ca)
{
    struct tls_cred *cred = cred_of(spec, with_ca);
    struct tls_ctx *c = NULL;

    assert_int_equal(tls_server_ctx(lookup, NULL, &c), E_OK);
    assert_int_equal(tls_ctx_certify(c, cred), E_OK);
    tls_cred_free(cred); /* contexts need it no longer */
    return c;
}

static struct tls_ctx *client_ctx(const struct cert_spec *spec)
{
    struct tls_cred *cred = cred_of(spec, true);
    struct tls_ctx *c = NULL;

    assert_int_equal(tls_client_ctx(&c), E_OK);
    assert_int_equal(tls_ctx_certify(c, cred), E_OK);
    tls_cred_free(cred);
    return c;
}

static struct tls_names wanted(const char *a, const char *b)
{
    struct tls_names n = {.n = 0};

    assert_int_equal(tls_names_add(&n, view_of(a)), E_OK);
    if (b != NULL) {
        assert_int_equal(tls_names_add(&n, view_of(b)), E_OK);
    }
    return n;
}

static enum err carry(struct tls_conn *from, struct tls_conn *to, bool *moved)
{
    char wire[16384];
    enum err e = E_OK;
    size_t n = 0;

    do {
        assert_int_equal(tls_drain(from, wire, sizeof wire, &n), E_OK);
        *moved = *moved || n > 0;
        e = n > 0 ? tls_feed(to, view_from(wire, n)) : e;
    } while (n > 0 && e == E_OK);
    return e;
}

struct ends {
    enum err s, c;
};

static struct ends settle(struct tls_conn *s, struct tls_conn *c)
{
    struct ends r = {E_OK, E_OK};
    bool moved = true;

    for (int i = 0; moved && i < 20; i++) {
        enum err e = E_OK;
        moved = false;
        e = carry(c, s, &moved);
        r.s = r.s == E_OK ? e : r.s;
        e = carry(s, c, &moved);
        r.c = r.c == E_OK ? e : r.c;
    }
    return r;
}

/* ---- both ends are ours ---------------------------------------------------------------------- */
static void servers_prove_their_name(void **state)
{
    const struct {
        struct cert_spec spec;
        const char *want[2];
        bool good;
    } rows[] = {
        {{.san = "DNS:gate.example", .issuer = &t.ca}, {"gate.example", NULL}, true},
        {{.san = "URI:sip:gate.example", .issuer = &t.ca}, {"gate.example", NULL}, true},
        {{.san = "DNS:gate.example", .issuer = &t.ca, .rsa_bits = 2048},
         {"gate.example", NULL},
         true},
        {{.san = "DNS:gate.example", .issuer = &t.ca}, {"a.example", "GATE.example"}, true},
        {{.cn = "gate.example", .issuer = &t.ca}, {"gate.example", NULL}, true},
        {{.san = "DNS:gate.example", .issuer = &t.ca, .eku = "serverAuth"}, {"gate.example"}, true},
        {{.san = "DNS:gate.example", .issuer = &t.ca, .eku = "clientAuth"},
         {"gate.example"},
         false},
        {{.san = "DNS:gate.example", .issuer = &t.ca}, {"other.example", NULL}, false},
        {{.san = "DNS:gate.example", .issuer = &t.ca}, {"x.gate.example", "example"}, false},
        {{.san = "DNS:*.example", .issuer = &t.ca}, {"gate.example", NULL}, false},
        {{.san = "DNS:a.example", .cn = "gate.example", .issuer = &t.ca}, {"gate.example"}, false},
        {{.san = "DNS:gate.example", .issuer = &t.rogue}, {"gate.example", NULL}, false},
        {{.san = "DNS:gate.example"}, {"gate.example", NULL}, false}, /* signed by itself */
        {{.san = "DNS:gate.example", .issuer = &t.ca, .from_s = -200, .to_s = -100},
         {"gate.example", NULL},
         false},
        {{.san = "DNS:gate.example", .issuer = &t.ca, .from_s = 1000}, {"gate.example"}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tls_ctx *sc = server_ctx(&rows[i].spec, true), *cc = client_ctx(NULL);
        struct tls_names want = wanted(rows[i].want[0], rows[i].want[1]), got = {.n = 0};
        struct tls_conn *s = NULL, *c = NULL;
        struct ends r;
        assert_int_equal(tls_accept(sc, &s), E_OK);
        assert_int_equal(tls_connect_named(cc, &want, &c), E_OK);
        assert_true(tls_is_wanted(c, &want));
        r = settle(s, c);
        assert_int_equal(tls_is_open(c), rows[i].good);
        assert_int_equal(r.c, rows[i].good ? E_OK : E_AUTH);
        if (rows[i].good) {
            assert_int_equal(r.s, E_OK);
            assert_true(tls_is_open(s));
            assert_int_equal(tls_peer_names(c, &got), E_OK);
            assert_int_equal(got.n, 1);
            assert_int_equal(tls_identity(s).n, 0);
            assert_int_equal(tls_peer_names(s, &got), E_NOTFOUND); /* it asked, none came */
        } else {
            assert_int_equal(tls_write(c, VIEW("x")), E_AUTH);
            assert_int_equal(tls_peer_names(c, &got), E_NOTFOUND);
        }
        tls_conn_free(s);
        tls_conn_free(c);
        tls_ctx_free(sc);
        tls_ctx_free(cc);
    }
}

static void clients_prove_their_name_or_stay_away(void **state)
{
    const struct {
        struct cert_spec spec;
        bool good;
    } rows[] = {
        {{.san = "DNS:peer.example", .issuer = &t.ca}, true},
        {{.san = "DNS:peer.example", .issuer = &t.ca, .rsa_bits = 2048}, true},
        {{.san = "DNS:peer.example", .issuer = &t.ca, .eku = "clientAuth"}, true},
        {{.san = "DNS:peer.example", .issuer = &t.ca, .eku = "serverAuth"}, false},
        {{.san = "DNS:peer.example", .issuer = &t.rogue}, false},
        {{.san = "DNS:peer.example"}, false},
        {{.san = "DNS:peer.example", .issuer = &t.ca, .from_s = -200, .to_s = -100}, false},
    };
    const struct cert_spec gate = {.san = "DNS:gate.example", .issuer = &t.ca};
    struct tls_names want = wanted("gate.example", NULL), got;

    (void)state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        bool asks = i % 2 == 0; /* without authorities a server does not ask */
        struct tls_ctx *sc = server_ctx(&gate, asks), *cc = client_ctx(&rows[i / 2].spec);
        struct tls_conn *s = NULL, *c = NULL;
        struct ends r;
        assert_int_equal(tls_accept(sc, &s), E_OK);
        assert_int_equal(tls_connect_named(cc, &want, &c), E_OK);
        r = settle(s, c);
        assert_int_equal(r.s, rows[i / 2].good || !asks ? E_OK : E_AUTH);
        assert_int_equal(tls_is_open(s), rows[i / 2].good || !asks);
        got.n = 0;
        assert_int_equal(tls_peer_names(s, &got), rows[i / 2].good && asks ? E_OK : E_NOTFOUND);
        assert_int_equal(got.n, rows[i / 2].good && asks);
        if (got.n > 0) {
            assert_string_equal(got.v[0], "peer.example");
        }
        tls_conn_free(s);
        tls_conn_free(c);
        tls_ctx_free(sc);
        tls_ctx_free(cc);
    }
}

static void sessions_and_certificates_on_one_context(void **state)
{
    const struct cert_spec gate = {.san = "DNS:gate.example", .issuer = &t.ca};
    struct tls_ctx *sc = server_ctx(&gate, true), *cc = NULL, *named = client_ctx(NULL);
    struct secret psk = {.n = 32};
    static const struct {
        const char *kid;
        uint8_t key;
        bool good;
    } rows[] = {{KID, 7, true}, {KID, 8, false}, {"ffeeddccbbaa99887766554433221100", 7, false}};

    (void)state;
    assert_int_equal(tls_client_ctx(&cc), E_OK);
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        struct tls_conn *s = NULL, *c = NULL;
        struct tls_names got;
        struct ends r;
        memset(psk.b, rows[i / 2].key, 32);
        assert_int_equal(tls_accept(sc, &s), E_OK);
        /* A client with authorities too holds on to its PSK. */
        assert_int_equal(tls_connect(i % 2 ? named : cc, view_of(rows[i / 2].kid), &psk, &c), E_OK);
        r = settle(s, c);
        assert_int_equal(r.s, rows[i / 2].good ? E_OK : E_AUTH);
        assert_int_equal(r.c, rows[i / 2].good ? E_OK : E_AUTH);
        assert_int_equal(tls_is_open(s), rows[i / 2].good);
        assert_int_equal(tls_identity(s).n, rows[i / 2].good ? 32 : 0);
        assert_int_equal(tls_peer_names(s, &got), E_NOTFOUND);
        tls_conn_free(s);
        tls_conn_free(c);
    }
    tls_ctx_free(sc);
    tls_ctx_free(cc);
    tls_ctx_free(named);
}

/* ---- other people's clients ------------------------------------------------------------------ */
static SSL *other_client(SSL_CTX *c)
{
    SSL *s = SSL_new(c);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    assert_true(s != NULL && in != NULL && out != NULL);
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(s, in, out);
    SSL_set_connect_state(s);
    return s;
}

static enum err shake_with(SSL *other, struct tls_conn *s)
{
    char buf[16384];
    enum err e = E_OK;

    for (int i = 0; i < 8 && e == E_OK; i++) {
        size_t n = 0;
        int m = 0;
        (void)SSL_do_handshake(other);
        m = BIO_read(SSL_get_wbio(other), buf, sizeof buf);
        e = tls_feed(s, view_from(buf, m > 0 ? (size_t)m : 0));
        assert_int_equal(tls_drain(s, buf, sizeof buf, &n), E_OK);
        if (n > 0) {
            assert_int_equal(BIO_write(SSL_get_rbio(other), buf, (int)n), n);
        }
    }
    return e;
}

static void versions_and_suites(void **state)
{
    static const struct {
        int min, max;
        const char *suites12; /* NULL: the library's */
        bool good;
    } rows[] = {
        {TLS1_3_VERSION, TLS1_3_VERSION, NULL, true},
        {TLS1_2_VERSION, TLS1_2_VERSION, NULL, true},
        {TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", true},
        {TLS1_2_VERSION, TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384", false}, /* CBC */
        {TLS1_2_VERSION, TLS1_2_VERSION, "AES128-SHA", false}, /* no forward secrecy */
        {TLS1_VERSION, TLS1_1_VERSION, "ALL:@SECLEVEL=0", false},
    };
    const struct cert_spec gate = {.san = "DNS:gate.example", .issuer = &t.ca};
    struct tls_ctx *sc = server_ctx(&gate, true);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        SSL_CTX *c = SSL_CTX_new(TLS_client_method());
        struct tls_conn *s = NULL;
        SSL *other = NULL;
        SSL_CTX_set_min_proto_version(c, rows[i].min);
        SSL_CTX_set_max_proto_version(c, rows[i].max);
        if (rows[i].suites12 != NULL) {
            assert_int_equal(SSL_CTX_set_cipher_list(c, rows[i].suites12), 1);
        }
        other = other_client(c);
        assert_int_equal(tls_accept(sc, &s), E_OK);
        assert_int_equal(shake_with(other, s), rows[i].good ? E_OK : E_AUTH);
        assert_int_equal(tls_is_open(s), rows[i].good);
        if (rows[i].good) {
            assert_int_equal(SSL_version(other), rows[i].max);
            assert_int_equal(SSL_SESSION_has_ticket(SSL_get_session(other)), 0);
            assert_null(SSL_get_current_compression(other));
            assert_int_equal(SSL_get_session(other) != NULL && SSL_session_reused(other), 0);
        }
        SSL_free(other);
        SSL_CTX_free(c);
        tls_conn_free(s);
    }
    tls_ctx_free(sc);
}

/* A PSK identity that is no kid, as of another server's ticket: the certificate answers. */
static int foreign_psk(SSL *s, const EVP_MD *md, const unsigned char **id, size_t *n,
                       SSL_SESSION **out)
{
    static const unsigned char suite[2] = {0x13, 0x01}, key[32] = {1};
    SSL_SESSION *x = SSL_SESSION_new();

    (void)md;
    assert_int_equal(SSL_SESSION_set1_master_key(x, key, sizeof key), 1);
    assert_int_equal(SSL_SESSION_set_cipher(x, SSL_CIPHER_find(s, suite)), 1);
    assert_int_equal(SSL_SESSION_set_protocol_version(x, TLS1_3_VERSION), 1);
    *id = (const unsigned char *)"a ticket";
    *n = 8;
    *out = x;
    return 1;
}

static void renegotiation_and_foreign_tickets(void **state)
{
    const struct cert_spec gate = {.san = "DNS:gate.example", .issuer = &t.ca};
    struct tls_ctx *sc = server_ctx(&gate, true);
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    struct tls_conn *s = NULL;
    SSL *other = NULL;
    char buf[4096];
    size_t n = 0;
    int m = 0;

    (void)state;
    SSL_CTX_set_psk_use_session_callback(c, foreign_psk);
    other = other_client(c);
    assert_int_equal(tls_accept(sc, &s), E_OK);
    assert_int_equal(shake_with(other, s), E_OK);
    assert_true(tls_is_open(s));
    assert_int_equal(tls_identity(s).n, 0);
    SSL_free(other);
    tls_conn_free(s);
    SSL_CTX_set_psk_use_session_callback(c, NULL);
    SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION);
    other = other_client(c);
    assert_int_equal(tls_accept(sc, &s), E_OK);
    assert_int_equal(shake_with(other, s), E_OK);
    assert_int_equal(SSL_renegotiate(other), 1);
    (void)SSL_do_handshake(other);
    m = BIO_read(SSL_get_wbio(other), buf, sizeof buf);
    assert_true(m > 0);
    assert_int_equal(tls_feed(s, view_from(buf, (size_t)m)), E_OK);
    IGNORE(tls_read(s, buf, sizeof buf, &n), "the alert no_renegotiation is the answer");
    assert_int_equal(n, 0);
    assert_int_equal(tls_drain(s, buf, sizeof buf, &n), E_OK);
    assert_true(n > 0 && n < 64); /* no ServerHello, no certificate */
    assert_int_equal(buf[0], 21);
    SSL_free(other);
    SSL_CTX_free(c);
    tls_conn_free(s);
    tls_ctx_free(sc);
}

/* ---- files and contexts ---------------------------------------------------------------------- */
static void bad(const char *certificate, const char *key, const char *ca, enum err want,
                const char *says)
{
    struct tls_files f = {certificate, key, ca};
    struct tls_cred *c = NULL;
    char why[TLS_WHY_MAX] = "";

    assert_int_equal(tls_cred_load(&f, &c, why), want);
    assert_null(c);
    assert_non_null(strstr(why, says));
}

static void text_to(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_true(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void files_that_are_wrong(void **state)
{
    const char *c = file("c.pem"), *k = file("k.pem"), *x = file("x.pem"), *ca = file("ca.pem");
    struct cert one = cert_make(&(struct cert_spec){.cn = "a.example", .issuer = &t.ca});
    struct cert weak = cert_make(&(struct cert_spec){.cn = "a.example", .rsa_bits = 1024});

    (void)state;
    cert_write(&one, c, k);
    bad(c, NULL, NULL, E_RANGE, "no key");
    bad(NULL, k, ca, E_RANGE, "no certificate");
    bad("/nonexistent/c.pem", k, NULL, E_NOTFOUND, "/nonexistent/c.pem");
    bad(c, "/nonexistent/k.pem", NULL, E_NOTFOUND, "/nonexistent/k.pem");
    bad(c, k, "/nonexistent/ca.pem", E_NOTFOUND, "/nonexistent/ca.pem");
    bad(k, k, NULL, E_PARSE, "k.pem: holds no certificate");
    text_to(x, "");
    assert_int_equal(chmod(x, 0600), 0);
    bad(x, k, NULL, E_PARSE, "x.pem");
    bad(c, x, NULL, E_PARSE, "x.pem: holds no private key");
    bad(c, k, c, E_RANGE, "c.pem: certificate 1 cannot be used"); /* no authority */
    text_to(x, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    bad(x, k, NULL, E_PARSE, "x.pem");
    cert_write(&weak, NULL, x);
    bad(c, x, NULL, E_RANGE, "x.pem: is not the key of");
    assert_int_equal(chmod(k, 0640), 0);
    bad(c, k, NULL, E_DENIED, "k.pem: others may read it");
    cert_write(&weak, c, k);
    bad(c, k, NULL, E_CRYPTO, "c.pem: too weak");
    cert_free(&one);
    cert_free(&weak);
}

static void a_chain_is_sent_and_its_end_is_known(void **state)
{
    struct cert middle = cert_make(
        &(struct cert_spec){.cn = "middle", .is_ca = true, .issuer = &t.ca, .to_s = 1800});
    struct cert leaf = cert_make(&(struct cert_spec){.san = "DNS:gate.example", .issuer = &middle});
    struct tls_files f = {file("c.pem"), file("k.pem"), file("ca.pem")};
    BIO *out = NULL;
    struct tls_cred *cred = NULL;
    struct tls_ctx *sc = NULL, *cc = client_ctx(NULL);
    struct tls_conn *s = NULL, *c = NULL;
    struct tls_names want = wanted("gate.example", NULL);
    uint64_t now = (uint64_t)time(NULL) * 1000000u, end = 0;

    (void)state;
    cert_write(&leaf, f.certificate, f.key);
    out = BIO_new_file(f.certificate, "a");
    assert_int_equal(PEM_write_bio_X509(out, middle.x), 1);
    BIO_free(out);
    cred = cred_load(&f);
    assert_true(tls_cred_has_certificate(cred) && tls_cred_has_ca(cred));
    end = tls_cred_expires_us(cred); /* the first of the two */
    assert_true(end > now + 1700u * 1000000u && end <= now + 1801u * 1000000u);
    assert_int_equal(tls_server_ctx(lookup, NULL, &sc), E_OK);
    assert_int_equal(tls_ctx_certify(sc, cred), E_OK);
    tls_cred_free(cred);
    assert_int_equal(tls_accept(sc, &s), E_OK);
    assert_int_equal(tls_connect_named(cc, &want, &c), E_OK);
    assert_int_equal(settle(s, c).c, E_OK);
    assert_true(tls_is_open(c) && tls_is_open(s));
    tls_conn_free(s);
    tls_conn_free(c);
    tls_ctx_free(sc);
    tls_ctx_free(cc);
    cert_free(&middle);
    cert_free(&leaf);
}

static void contexts_are_held(void **state)
{
    const struct cert_spec gate = {.san = "DNS:gate.example", .issuer = &t.ca};
    struct tls_ctx *sc = server_ctx(&gate, false), *cc = NULL;
    struct tls_cred *none = cred_of(NULL, false), *own = cred_of(&gate, false);
    struct tls_names want = wanted("gate.example", NULL), empty = {.n = 0};
    struct tls_conn *s = NULL, *c = NULL;

    (void)state;
    assert_ptr_equal(tls_ctx_hold(sc), sc);
    tls_ctx_free(sc); /* one hold is left */
    assert_int_equal(tls_accept(sc, &s), E_OK);
    tls_conn_free(s);
    tls_ctx_free(sc);
    assert_null(tls_ctx_hold(NULL));
    assert_int_equal(tls_server_ctx(lookup, NULL, &sc), E_OK);
    assert_int_equal(tls_ctx_certify(sc, none), E_STATE);
    assert_int_equal(tls_client_ctx(&cc), E_OK);
    assert_int_equal(tls_ctx_certify(cc, own), E_STATE);
    assert_int_equal(tls_connect_named(cc, &want, &c), E_STATE);
    assert_int_equal(tls_connect_named(cc, &empty, &c), E_RANGE);
    assert_false(tls_is_wanted(NULL, &want));
    assert_int_equal(tls_cred_expires_us(none), 0);
    tls_ctx_free(sc);
    tls_ctx_free(cc);
    tls_cred_free(none);
    tls_cred_free(own);
    tls_cred_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_prove_their_name),
        cmocka_unit_test(clients_prove_their_name_or_stay_away),
        cmocka_unit_test(sessions_and_certificates_on_one_context),
        cmocka_unit_test(versions_and_suites),
        cmocka_unit_test(renegotiation_and_foreign_tickets),
        cmocka_unit_test(files_that_are_wrong),
        cmocka_unit_test(a_chain_is_sent_and_its_end_is_known),
        cmocka_unit_test(contexts_are_held),
    };
    return cmocka_run_group_tests(tests, open_files, remove_files);
}
