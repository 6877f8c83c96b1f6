/* base/tls.h - TLS over octet buffers, so that it never touches a socket and never blocks.
 *
 * PSK        TLS 1.3 with an external PSK (RFC 8446 section 4.2.11, psk_dhe_ke),
 * TLS_AES_128_GCM_SHA256 (the PSK's hash is SHA-256). The identity is the session's kid as 32
 * lower-case hex characters.
 * Certificate  a context that was certified also does TLS 1.2 and 1.3 with certificates: ECDHE and
 * AEAD suites only. A server takes whichever of the two the ClientHello offers: with the identity
 * of a session the PSK, and nothing else will do. It asks clients for a certificate when it has
 * authorities to verify one; none is fine, a wrong one ends the handshake. A client verifies the
 * server's chain and name (RFC 5922, base/tls_names.h).
 * Both       groups X25519, P-256; no tickets, no resumption, no early data, no renegotiation, no
 * compression. Shape      feed what came from the wire with tls_feed(), read plain
 * text with tls_read(), write plain text with tls_write(), then take what must go to the wire with
 * tls_drain(). Errors     E_AUTH: handshake failed (unknown identity, wrong key, alert); the
 * connection must close. Threads    a context is shared read-only; a connection belongs to one
 * thread. The lookup callback runs on the connection's thread. A handshake with a
 * certificate costs the server one signature and one key agreement: run `openssl speed ecdsap256
 * rsa2048 ecdhx25519` for what that is on a machine; RSA 2048 is over ten times P-256. */
#ifndef BASE_TLS_H
#define BASE_TLS_H

#include "base/secret.h"
#include "base/tls_cred.h"
#include "base/tls_names.h"

struct tls_ctx;
struct tls_conn;

/* Fills out_psk (32 octets) for identity; E_NOTFOUND when unknown (the handshake then fails with an
 * alert that says no more than that). */
typedef enum err tls_psk_fn(void *arg, struct view identity, struct secret *out_psk);

MUST_CHECK enum err tls_server_ctx(tls_psk_fn *psk, void *arg, struct tls_ctx **out);
MUST_CHECK enum err tls_client_ctx(struct tls_ctx **out);
/* Before its first connection: certificates too, as c has them. E_STATE: a server without our
 * certificate, or a client without authorities; E_CRYPTO. */
MUST_CHECK enum err tls_ctx_certify(struct tls_ctx *c, const struct tls_cred *cred);
/* Contexts are counted, and may be held by several threads. */
struct tls_ctx *tls_ctx_hold(struct tls_ctx *c); /* NULL is fine */
void tls_ctx_free(struct tls_ctx *c);            /* lets go; connections may outlive it */

MUST_CHECK enum err tls_accept(struct tls_ctx *c, struct tls_conn **out);
MUST_CHECK enum err tls_connect(struct tls_ctx *c, struct view identity, const struct secret *psk,
                                struct tls_conn **out);
/* The server must prove one of `names`; the first goes out as SNI. E_RANGE: no names; E_STATE: the
 * context is not certified. */
MUST_CHECK enum err tls_connect_named(struct tls_ctx *c, const struct tls_names *names,
                                      struct tls_conn **out);
/* Whether t was made by tls_connect_named() for just these; NULL: no. */
bool tls_is_wanted(const struct tls_conn *t, const struct tls_names *names);
void tls_conn_free(struct tls_conn *t);
MUST_CHECK enum err tls_feed(struct tls_conn *t, struct view wire); /* runs the handshake on */
bool tls_is_open(const struct tls_conn *t);                         /* handshake complete */
/* Why it failed (E_AUTH): the peer's certificate is not what we want; the peer said in an alert
 * that it does not want ours (RFC 8446 section 6.2; with TLS 1.3 a client may hear that after it
 * was open); something else. */
enum tls_fault { TLS_FAULT_NONE, TLS_FAULT_OTHER, TLS_FAULT_THEIRS, TLS_FAULT_OURS };
enum tls_fault tls_fault_of(const struct tls_conn *t);
struct view tls_identity(const struct tls_conn *t); /* server: the kid; empty before, and without */
/* What the peer's verified certificate says; E_NOTFOUND: it showed none, or is not open. */
MUST_CHECK enum err tls_peer_names(const struct tls_conn *t, struct tls_names *out);
/* Plain text; *out_n 0: none now. E_STATE: peer closed. */
MUST_CHECK enum err tls_read(struct tls_conn *t, void *dst, size_t max, size_t *out_n);
MUST_CHECK enum err tls_write(struct tls_conn *t, struct view plain); /* E_STATE before open */
/* Octets for the wire; *out_n 0: none. */
MUST_CHECK enum err tls_drain(struct tls_conn *t, void *dst, size_t max, size_t *out_n);
void tls_close(struct tls_conn *t); /* queues close_notify */

#endif
