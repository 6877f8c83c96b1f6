#include "base/tls.h"

#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/net.h"
#include "base/tls_int.h"

#define KID_HEX     32 /* characters of an identity */
#define PSK_BYTES   32
#define CHAIN_DEPTH 5
#define CHAIN_BYTES 32768 /* of a peer's certificates in all */
#define SUITES_13   "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SUITES_12                                                                                  \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

struct tls_ctx {
    atomic_uint holds;
    SSL_CTX *ssl;
    bool is_server, is_certified;
    tls_psk_fn *psk;
    void *arg;
};

enum phase { PHASE_HANDSHAKE, PHASE_OPEN, PHASE_FAILED };

struct tls_conn {
    SSL *ssl;
    BIO *in, *out; /* belong to ssl */
    enum phase phase;
    enum tls_fault fault;
    bool is_server, is_certified, is_known, by_psk, we_closed;
    tls_psk_fn *psk; /* copies: a connection may outlive its context */
    void *arg;
    SSL_SESSION *offer;       /* client: the external PSK, until the handshake ended */
    struct tls_names *wanted; /* client with certificates: whom the server must be */
    char identity[KID_HEX + 1];
};

/* ---- the key exchange ------------------------------------------------------------------------ */
static bool is_kid(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (!is_digit((unsigned char)v.p[i]) && (v.p[i] < 'a' || v.p[i] > 'f')) {
            return false;
        }
    }
    return v.n == KID_HEX;
}

/* An external PSK in the shape OpenSSL wants it: a session of TLS 1.3 with our one suite. */
static SSL_SESSION *psk_session(SSL *ssl, const struct secret *psk)
{
    static const unsigned char aes_128_gcm_sha256[2] = {0x13, 0x01};
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
    SSL_SESSION *s = SSL_SESSION_new();

    if (s == NULL || cipher == NULL || SSL_SESSION_set1_master_key(s, psk->b, psk->n) != 1 ||
        SSL_SESSION_set_cipher(s, cipher) != 1 ||
        SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION) != 1) {
        SSL_SESSION_free(s);
        return NULL;
    }
    return s;
}

/* Unknown identities get a random key, so that the peer sees the same alert as for a wrong one and
 * cannot ask which sessions exist. What is no kid at all (a ticket of somebody else's) goes on with
 * certificates, where there are any. */
static int find_psk(SSL *ssl, const unsigned char *id, size_t n, SSL_SESSION **out)
{
    struct tls_conn *t = SSL_get_app_data(ssl);
    struct view identity = view_from(id, n);
    struct secret psk = {0};

    *out = NULL;
    if (t->is_certified && !is_kid(identity)) {
        return 1;
    }
    t->is_known = is_kid(identity) && t->psk(t->arg, identity, &psk) == E_OK && psk.n == PSK_BYTES;
    if (t->is_known) {
        memcpy(t->identity, id, n);
    } else {
        secret_wipe(&psk);
        if (secret_random(&psk, PSK_BYTES) != E_OK) {
            return 0;
        }
    }
    *out = psk_session(ssl, &psk);
    secret_wipe(&psk);
    return *out != NULL;
}

static int use_psk(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *n,
                   SSL_SESSION **out)
{
    struct tls_conn *t = SSL_get_app_data(ssl);

    *out = NULL;
    if (t->wanted != NULL) {
        return 1;
    }
    if (t->offer == NULL || (md != NULL && EVP_MD_get_type(md) != NID_sha256)) {
        return 0;
    }
    SSL_SESSION_up_ref(t->offer);
    *out = t->offer;
    *id = (const unsigned char *)t->identity;
    *n = KID_HEX;
    return 1;
}

/* ---- contexts -------------------------------------------------------------------------------- */
static bool set_up(SSL_CTX *c)
{
    char groups[] = "X25519:P-256"; /* the macro wants it writable */

    SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS); /* most connections idle most of the time */
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    return SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256") == 1 &&
           SSL_CTX_set1_groups_list(c, groups) == 1 && SSL_CTX_set_num_tickets(c, 0) == 1 &&
           SSL_CTX_set_max_early_data(c, 0) == 1;
}

/* psk NULL: a client's. */
static enum err ctx_new(tls_psk_fn *psk, void *arg, struct tls_ctx **out)
{
    struct tls_ctx *c = mem_zalloc(sizeof *c);

    if (c == NULL) {
        return FAIL(E_NOMEM);
    }
    atomic_init(&c->holds, 1);
    c->is_server = psk != NULL;
    c->psk = psk;
    c->arg = arg;
    ERR_clear_error();
    c->ssl = SSL_CTX_new(c->is_server ? TLS_server_method() : TLS_client_method());
    if (c->ssl == NULL || !set_up(c->ssl)) {
        ERR_clear_error();
        tls_ctx_free(c);
        return FAIL(E_CRYPTO);
    }
    if (c->is_server) {
        SSL_CTX_set_psk_find_session_callback(c->ssl, find_psk);
    } else {
        SSL_CTX_set_psk_use_session_callback(c->ssl, use_psk);
        /* A server that passes our PSK over and shows a certificate meets an empty trust store. */
        SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
    }
    *out = c;
    return E_OK;
}

enum err tls_server_ctx(tls_psk_fn *psk, void *arg, struct tls_ctx **out)
{
    BUG_ON(psk == NULL);
    return ctx_new(psk, arg, out);
}

enum err tls_client_ctx(struct tls_ctx **out)
{
    return ctx_new(NULL, NULL, out);
}

enum err tls_ctx_certify(struct tls_ctx *c, const struct tls_cred *cred)
{
    if (c->is_server ? !tls_cred_has_certificate(cred) : !tls_cred_has_ca(cred)) {
        return FAIL(E_STATE);
    }
    ERR_clear_error();
    if (!tls_cred_apply(cred, c->ssl, c->is_server) ||
        SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(c->ssl, SUITES_13) != 1 ||
        SSL_CTX_set_cipher_list(c->ssl, SUITES_12) != 1 ||
        /* Without one the library refuses PSKs where it asks for certificates. */
        (c->is_server &&
         SSL_CTX_set_session_id_context(c->ssl, (const unsigned char *)"headgate", 8) != 1)) {
        ERR_clear_error();
        return FAIL(E_CRYPTO);
    }
    /* Ours first: the PSK of a session needs the hash of our first suite. */
    SSL_CTX_set_options(c->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_max_cert_list(c->ssl, CHAIN_BYTES);
    if (tls_cred_has_ca(cred)) {
        SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_verify_depth(c->ssl, CHAIN_DEPTH);
    }
    c->is_certified = true;
    return E_OK;
}

struct tls_ctx *tls_ctx_hold(struct tls_ctx *c)
{
    if (c != NULL) {
        (void)atomic_fetch_add(&c->holds, 1);
    }
    return c;
}

void tls_ctx_free(struct tls_ctx *c)
{
    if (c != NULL && atomic_fetch_sub(&c->holds, 1) == 1) {
        SSL_CTX_free(c->ssl);
        mem_free(c);
    }
}

/* ---- connections ----------------------------------------------------------------------------- */
static struct tls_conn *conn_new(struct tls_ctx *c)
{
    struct tls_conn *t = mem_zalloc(sizeof *t);

    if (t == NULL) {
        return NULL;
    }
    t->is_server = c->is_server;
    t->is_certified = c->is_certified;
    t->psk = c->psk;
    t->arg = c->arg;
    ERR_clear_error();
    t->ssl = SSL_new(c->ssl);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (t->ssl == NULL || t->in == NULL || t->out == NULL) {
        BIO_free(t->in);
        BIO_free(t->out);
        SSL_free(t->ssl);
        mem_free(t);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_mem_eof_return(t->in, -1); /* empty means "later", not the end */
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_app_data(t->ssl, t);
    return t;
}

static void drop_offer(struct tls_conn *t)
{
    SSL_SESSION_free(t->offer); /* wipes the key */
    t->offer = NULL;
}

/* What the library says of a handshake that ended: its own verdict, or the peer's alert. */
static enum tls_fault fault_of(unsigned long error)
{
    static const int ours[] = {
        SSL_AD_BAD_CERTIFICATE,     SSL_AD_UNSUPPORTED_CERTIFICATE, SSL_AD_CERTIFICATE_REVOKED,
        SSL_AD_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_UNKNOWN,     SSL_AD_UNKNOWN_CA,
        SSL_AD_ACCESS_DENIED,       SSL_AD_DECRYPT_ERROR,           TLS13_AD_CERTIFICATE_REQUIRED};
    int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;

    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        return TLS_FAULT_THEIRS;
    }
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (reason == SSL_AD_REASON_OFFSET + ours[i]) {
            return TLS_FAULT_OURS;
        }
    }
    return TLS_FAULT_OTHER;
}

static enum err failed(struct tls_conn *t)
{
    t->phase = PHASE_FAILED;
    if (t->fault == TLS_FAULT_NONE) {
        t->fault = fault_of(ERR_peek_last_error());
    }
    drop_offer(t);
    ERR_clear_error();
    return FAIL(E_AUTH);
}

/* The key is asked for once more, because it may have been revoked while the handshake ran. */
static bool psk_holds(const struct tls_conn *t)
{
    struct secret psk = {0};
    bool holds = SSL_version(t->ssl) == TLS1_3_VERSION;

    if (holds && t->is_server) {
        holds = t->is_known && t->psk(t->arg, view_from(t->identity, KID_HEX), &psk) == E_OK;
        secret_wipe(&psk);
    }
    return holds;
}

static X509 *peer_certificate(const struct tls_conn *t)
{
    return SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE &&
                   SSL_get_verify_result(t->ssl) == X509_V_OK
               ? SSL_get0_peer_certificate(t->ssl)
               : NULL;
}

/* der, OPENSSL_free() it; empty: none. */
static struct view peer_der(const struct tls_conn *t)
{
    X509 *x = peer_certificate(t);
    unsigned char *der = NULL;
    int n = x != NULL ? i2d_X509(x, &der) : 0;

    return n > 0 ? view_from(der, (size_t)n) : VIEW("");
}

static bool certificate_holds(const struct tls_conn *t)
{
    struct view der = {0};
    bool holds = t->is_certified;

    if (holds && !t->is_server) {
        der = peer_der(t);
        holds = t->wanted != NULL && der.n > 0 && tls_names_match(der, t->wanted);
        if (der.n > 0) {
            OPENSSL_free((void *)(uintptr_t)der.p);
        }
    }
    return holds;
}

/* The end of a handshake. By construction only the PSK, or certificates where there are any, can
 * have led here; an open connection with anything else would be our worst bug, so it is looked at
 * again. A resumed session is the PSK: there is no other resumption. */
static enum err opened(struct tls_conn *t)
{
    t->by_psk = SSL_session_reused(t->ssl) == 1;
    if (!(t->by_psk ? psk_holds(t) : t->offer == NULL && certificate_holds(t))) {
        t->fault = t->by_psk ? TLS_FAULT_OTHER : TLS_FAULT_THEIRS;
        return failed(t);
    }
    drop_offer(t);
    t->phase = PHASE_OPEN;
    return E_OK;
}

static enum err handshake(struct tls_conn *t)
{
    int r = 0;

    ERR_clear_error();
    r = SSL_do_handshake(t->ssl);
    if (r == 1) {
        return opened(t);
    }
    if (SSL_get_error(t->ssl, r) != SSL_ERROR_WANT_READ) {
        return failed(t);
    }
    return E_OK;
}

enum err tls_accept(struct tls_ctx *c, struct tls_conn **out)
{
    struct tls_conn *t = NULL;

    BUG_ON(!c->is_server);
    t = conn_new(c);
    if (t == NULL) {
        return FAIL(E_NOMEM);
    }
    SSL_set_accept_state(t->ssl);
    *out = t;
    return E_OK;
}

enum err tls_connect(struct tls_ctx *c, struct view identity, const struct secret *psk,
                     struct tls_conn **out)
{
    enum err e = E_STATE;
    struct tls_conn *t = NULL;

    BUG_ON(c->is_server);
    if (!is_kid(identity) || psk->n != PSK_BYTES) {
        return FAIL(E_RANGE);
    }
    t = conn_new(c);
    if (t == NULL) {
        return FAIL(E_NOMEM);
    }
    memcpy(t->identity, identity.p, KID_HEX);
    t->offer = psk_session(t->ssl, psk);
    if (t->offer == NULL) {
        TRY(FAIL(E_CRYPTO));
    }
    SSL_set_connect_state(t->ssl);
    TRY(handshake(t)); /* makes the ClientHello */
    *out = t;
    t = NULL; /* moved */
out:
    tls_conn_free(t);
    return e;
}

enum err tls_connect_named(struct tls_ctx *c, const struct tls_names *names, struct tls_conn **out)
{
    struct tls_conn *t = NULL;
    struct net_addr ip;
    enum err e = E_OK;

    BUG_ON(c->is_server);
    if (names->n == 0 || !c->is_certified) {
        return FAIL(names->n == 0 ? E_RANGE : E_STATE);
    }
    t = conn_new(c);
    if (t == NULL) {
        return FAIL(E_NOMEM);
    }
    t->wanted = mem_zalloc(sizeof *t->wanted);
    if (t->wanted == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    *t->wanted = *names;
    /* RFC 6066 section 3: no addresses. */
    if (net_parse_ip(view_of(names->v[0]), &ip) != E_OK &&
        SSL_set_tlsext_host_name(t->ssl, (char *)(uintptr_t)names->v[0]) != 1) {
        TRY(FAIL(E_CRYPTO));
    }
    SSL_set_connect_state(t->ssl);
    TRY(handshake(t)); /* makes the ClientHello */
    *out = t;
    t = NULL; /* moved */
out:
    tls_conn_free(t);
    return e;
}

bool tls_is_wanted(const struct tls_conn *t, const struct tls_names *names)
{
    bool same = t != NULL && t->wanted != NULL && t->wanted->n == names->n;

    for (unsigned i = 0; same && i < names->n; i++) {
        same = view_eq_nocase(view_of(t->wanted->v[i]), view_of(names->v[i]));
    }
    return same;
}

void tls_conn_free(struct tls_conn *t)
{
    if (t != NULL) {
        mem_free(t->wanted);
        drop_offer(t);
        SSL_free(t->ssl);
        mem_free(t);
    }
}

enum err tls_feed(struct tls_conn *t, struct view wire)
{
    size_t n = 0;

    if (t->phase == PHASE_FAILED) {
        return FAIL(E_AUTH);
    }
    if (wire.n > 0 && (BIO_write_ex(t->in, wire.p, wire.n, &n) != 1 || n != wire.n)) {
        ERR_clear_error();
        return FAIL(E_NOMEM);
    }
    return t->phase == PHASE_HANDSHAKE ? handshake(t) : E_OK;
}

bool tls_is_open(const struct tls_conn *t)
{
    return t->phase == PHASE_OPEN;
}

enum tls_fault tls_fault_of(const struct tls_conn *t)
{
    return t->fault;
}

struct view tls_identity(const struct tls_conn *t)
{
    return t->is_server && t->by_psk && t->phase == PHASE_OPEN ? view_from(t->identity, KID_HEX)
                                                               : VIEW("");
}

enum err tls_peer_names(const struct tls_conn *t, struct tls_names *out)
{
    struct view der = t->phase == PHASE_OPEN && !t->by_psk ? peer_der(t) : VIEW("");
    enum err e = E_NOTFOUND;

    if (der.n == 0) {
        return FAIL(E_NOTFOUND);
    }
    e = tls_names_of(der, out);
    OPENSSL_free((void *)(uintptr_t)der.p);
    return e;
}

enum err tls_read(struct tls_conn *t, void *dst, size_t max, size_t *out_n)
{
    size_t n = 0;

    if (t->phase == PHASE_FAILED) {
        return FAIL(E_AUTH);
    }
    if (t->phase == PHASE_OPEN && max > 0) {
        ERR_clear_error();
        if (SSL_read_ex(t->ssl, dst, max, &n) != 1) {
            int why = SSL_get_error(t->ssl, 0);
            if (why == SSL_ERROR_ZERO_RETURN) {
                return FAIL(E_STATE);
            }
            if (why != SSL_ERROR_WANT_READ) {
                return failed(t);
            }
            n = 0;
        }
    }
    *out_n = n;
    return E_OK;
}

enum err tls_write(struct tls_conn *t, struct view plain)
{
    size_t n = 0;

    if (t->phase != PHASE_OPEN || t->we_closed) {
        return FAIL(t->phase == PHASE_FAILED ? E_AUTH : E_STATE);
    }
    ERR_clear_error();
    if (plain.n > 0 && (SSL_write_ex(t->ssl, plain.p, plain.n, &n) != 1 || n != plain.n)) {
        IGNORE(failed(t), "a write into memory fails only when the library does");
        return FAIL(E_CRYPTO);
    }
    return E_OK;
}

enum err tls_drain(struct tls_conn *t, void *dst, size_t max, size_t *out_n)
{
    size_t n = 0;

    if (max > 0 && BIO_ctrl_pending(t->out) > 0 && BIO_read_ex(t->out, dst, max, &n) != 1) {
        ERR_clear_error();
        return FAIL(E_CRYPTO);
    }
    *out_n = n;
    return E_OK;
}

void tls_close(struct tls_conn *t)
{
    if (t->phase == PHASE_OPEN && !t->we_closed) {
        t->we_closed = true;
        ERR_clear_error();
        (void)SSL_shutdown(t->ssl); /* 0: our half is queued; the other half comes or does not */
        ERR_clear_error();
    }
}
