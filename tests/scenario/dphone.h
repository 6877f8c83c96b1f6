/* tests/scenario/dphone.h - standard phones without a BTI: Digest credentials, a call between two.
 */
#ifndef TESTS_SCENARIO_DPHONE_H
#define TESTS_SCENARIO_DPHONE_H

#include "authz/digest.h"
#include "tests/scenario/bench.h"

struct dphone { /* a phone without a BTI */
    const char *user, *password, *number;
    struct sip_flow flow;
    char contact[96];
    char nonce[NONCE_TEXT_MAX]; /* of the last challenge */
    uint32_t nc;
    enum hash_kind hash;
    enum digest_qop qop;
};

static inline struct dphone dphone(const char *user, const char *password, const char *number,
                                   const char *address)
{
    struct dphone d = {.user = user,
                       .password = password,
                       .number = number,
                       .flow = udp(address),
                       .hash = HASH_SHA256,
                       .qop = DIGEST_AUTH};
    snprintf(d.contact, sizeof d.contact, "sip:%s@%s", user, address);
    return d;
}

static inline struct dphone alice_phone(void)
{
    return dphone("alice", "secret of alice", ALICE, "127.0.9.21:5071");
}

static inline struct dphone bob_phone(void)
{
    return dphone("bob", "secret of bob", BOB, "127.0.9.22:5072");
}

/* ---- what a phone does -------------------------------------------------------------------------
 */
static const char *algorithm_name(const struct dphone *d)
{
    return d->hash == HASH_MD5 ? "MD5" : "SHA-256";
}

/* Takes the challenge and its nonce. */
static inline void take_challenge(struct bench *b, struct dphone *d, const char *status,
                                  bool is_stale)
{
    struct got got;
    char start[48];
    const char *at = NULL;
    if (!take(b, &d->flow.remote, status, &got)) {
        fail_msg("no %s to %s", status, d->user);
    }
    snprintf(start, sizeof start, "Authenticate: Digest realm=\"" DOMAIN "\", ");
    at = memmem(got.octets, got.m.raw.n, start, strlen(start));
    assert_non_null(at);
    assert_memory_equal(at + strlen(start), "nonce=\"", 7);
    memcpy(d->nonce, at + strlen(start) + 7, NONCE_TEXT_MAX - 1);
    d->nonce[NONCE_TEXT_MAX - 1] = 0;
    d->nc = 0;
    assert_int_equal(holds(&got.m, ", stale=true\r\n"), is_stale);
}

static inline void credentials(const struct dphone *d, const struct request *r,
                               const char *digest_uri, char *out, size_t max)
{
    char nc[9], response[DIGEST_HEX_MAX];
    struct secret ha1 = {0};
    struct digest_auth a = {.nonce = view_of(d->nonce),
                            .uri = view_of(digest_uri),
                            .cnonce = VIEW("0a4f113b"),
                            .nc_text = {nc, 8},
                            .hash = d->hash,
                            .qop = d->qop};
    const struct digest_request q = {view_of(r->method), view_of(r->body)};
    snprintf(nc, sizeof nc, "%08x", d->nc);
    assert_int_equal(
        digest_ha1(d->hash, view_of(d->user), VIEW(DOMAIN), view_of(d->password), &ha1), E_OK);
    assert_int_equal(digest_response(&a, &ha1, &q, response), E_OK);
    snprintf(out, max,
             "%s: Digest username=\"%s\", realm=\"" DOMAIN "\", nonce=\"%s\", uri=\"%s\", "
             "response=\"%s\", algorithm=%s, cnonce=\"0a4f113b\"%s%s%s%s\r\n",
             strcmp(r->method, "REGISTER") == 0 ? "Authorization" : "Proxy-Authorization", d->user,
             d->nonce, digest_uri, response, algorithm_name(d),
             d->qop != DIGEST_NO_QOP ? ", qop=" : "",
             d->qop == DIGEST_AUTH_INT ? "auth-int"
             : d->qop == DIGEST_AUTH   ? "auth"
                                       : "",
             d->qop != DIGEST_NO_QOP ? ", nc=" : "", d->qop != DIGEST_NO_QOP ? nc : "");
}

/* Sends with credentials under the next nonce count. */
static inline void send_proven(struct bench *b, struct dphone *d, struct request *r)
{
    char text[TEXT_MAX], extra[1024];
    const char *mine = r->extra;
    int n = 0;
    d->nc++;
    credentials(d, r, r->uri, extra, sizeof extra);
    n = (int)strlen(extra);
    snprintf(extra + n, sizeof extra - (size_t)n, "%s", mine != NULL ? mine : "");
    r->extra = extra;
    feed(b, &d->flow, write_request_text(r, text, sizeof text));
    r->extra = mine;
}

static inline void send_plain(struct bench *b, const struct dphone *d, const struct request *r)
{
    char text[TEXT_MAX];
    feed(b, &d->flow, write_request_text(r, text, sizeof text));
}

struct words { /* what a request points to */
    char via[NET_TEXT_MAX], call_id[48], branch[48], aor[96];
};

static inline struct request request_of(struct bench *b, const struct dphone *d, const char *method,
                                        const char *uri, struct words *k)
{
    net_text(&d->flow.remote, k->via);
    snprintf(k->call_id, sizeof k->call_id, "d-%u", ++b->unique);
    snprintf(k->branch, sizeof k->branch, "z9hG4bKd%u", b->unique);
    snprintf(k->aor, sizeof k->aor, "sip:%s@" DOMAIN, d->number);
    return (struct request){.method = method,
                            .uri = uri,
                            .from = k->aor,
                            .to = strcmp(method, "REGISTER") == 0 ? k->aor : uri,
                            .from_tag = "ft",
                            .call_id = k->call_id,
                            .branch = k->branch,
                            .via = k->via,
                            .contact = d->contact,
                            .cseq = 1};
}

static inline void next_try(struct bench *b, struct request *r, struct words *k)
{
    snprintf(k->branch, sizeof k->branch, "z9hG4bKd%u", ++b->unique);
    r->cseq++;
}

/* The whole of it: challenge, proof. Leaves the answer to be taken. */
static inline void send_request(struct bench *b, struct dphone *d, struct request *r,
                                struct words *k)
{
    send_plain(b, d, r);
    take_challenge(b, d, strcmp(r->method, "REGISTER") == 0 ? "SIP/2.0 401" : "SIP/2.0 407", false);
    next_try(b, r, k);
    send_proven(b, d, r);
}

static inline void enter(struct bench *b, struct dphone *d)
{
    struct words k;
    struct request r = request_of(b, d, "REGISTER", "sip:" DOMAIN, &k);
    struct got got;
    send_request(b, d, &r, &k);
    if (!take(b, &d->flow.remote, "SIP/2.0 200", &got)) {
        fail_msg("%s is not registered", d->user);
    }
    assert_true(holds(&got.m, d->contact));
}

static inline void must_take(struct bench *b, const struct dphone *d, const char *start,
                             struct got *got)
{
    if (!take(b, &d->flow.remote, start, got)) {
        fail_msg("nothing like '%s' was sent to %s", start, d->user);
    }
}

static inline void answer_it(struct bench *b, const struct dphone *d, const struct got *request,
                             unsigned status, const char *tag)
{
    char text[TEXT_MAX];
    feed(b, &d->flow,
         write_answer_text(request, status, tag, status < 300 ? d->contact : NULL,
                           status == 200 ? sdp_plain : "", text, sizeof text));
}

/* alice calls bob; both sides' first messages are left in `at_bob`. */
static inline struct request begin_call(struct bench *b, struct dphone *a, struct words *k)
{
    struct request r = request_of(b, a, "INVITE", "sip:" BOB "@" DOMAIN, k);
    struct got got;
    r.body = sdp_plain;
    send_request(b, a, &r, k);
    must_take(b, a, "SIP/2.0 100", &got);
    return r;
}

#endif
