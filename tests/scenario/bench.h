/* tests/scenario/bench.h - one real worker on fake time, with a wire made of arrays: phones that
 * hold session keys, peers that hold none, and everything the worker sends kept for inspection. */
#ifndef TESTS_SCENARIO_BENCH_H
#define TESTS_SCENARIO_BENCH_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "authz/bti_mac.h"
#include "authz/sealed.h"
#include "base/mem.h"
#include "gc/context.h"
#include "gc/stir_service.h"
#include "signaling/sip_osip.h"

#define DOMAIN "headgate.test"
#define ALICE  "+12125550101"
#define BOB    "+12125550102"
#define CAROL  "+12125550103" /* barred */

enum { CREDENTIALS = 5 }; /* alice with both algorithms, bob; gone is disabled, a line of bob's */
enum { SENT_MAX = 512, TEXT_MAX = 9000, CDR_MAX = 64, MIRROR_MAX = 64 };

struct sent {
    struct sip_flow to;
    size_t n;
    bool taken;
    char octets[TEXT_MAX];
};

struct phone { /* a BTI */
    const char *number;
    uint64_t line;
    uint8_t kid[BTI_KID_BYTES], bti[BTI_ID_BYTES];
    uint64_t seq, top; /* sent; highest seen */
    struct secret up, down;
    struct sip_flow flow;
    char contact[96];
};

struct bench {
    struct clock_fake clock;
    struct gc_settings set;
    struct gc_plan plan;
    struct conf *conf;
    struct sessions *sessions;
    struct location *location;
    struct metrics *metrics;
    struct snapshot *snap;
    struct workers *ws;
    struct worker *w;
    unsigned n_sent;
    enum err (*send_hook)(struct bench *b, const struct sip_flow *to); /* NULL: all is well */
    struct sent sent[SENT_MAX];
    unsigned n_cdr;
    struct cdr cdr[CDR_MAX];
    unsigned n_mirror, n_mirror_removed;
    struct phone alice, bob, bob2;
    struct secret cluster_key;
    bool has_credentials[CREDENTIALS]; /* in the snapshot; bench_lines() again after a change */
    unsigned unique;
    bool keep_pings;
    sip_locate_query_fn *dns;              /* set by tune(); NULL: there is none */
    struct stir *(*stir)(struct bench *b); /* set by tune(): makes it; NULL: there is none */
    struct stir *made;
    size_t live;
};

/* ---- the worker's surroundings -----------------------------------------------------------------
 */
static inline const struct snapshot *bench_snapshot(void *arg)
{
    return ((struct bench *)arg)->snap;
}

static inline enum err bench_send(void *arg, const struct sip_flow *to, struct view octets)
{
    struct bench *b = arg;
    struct sent *s = NULL;
    if (b->send_hook != NULL) {
        enum err e = b->send_hook(b, to);
        if (e != E_OK) {
            return e;
        }
    }
    if (!b->keep_pings && to->remote.port == 5070 && view_starts(octets, VIEW("OPTIONS "))) {
        return E_OK;
    }
    assert_true(b->n_sent < SENT_MAX && octets.n < TEXT_MAX);
    s = &b->sent[b->n_sent++];
    *s = (struct sent){.to = *to, .n = octets.n};
    memcpy(s->octets, octets.p, octets.n);
    return E_OK;
}

static inline bool bench_cdr(void *arg, const struct cdr *c)
{
    struct bench *b = arg;
    assert_true(b->n_cdr < CDR_MAX);
    b->cdr[b->n_cdr++] = *c;
    return true;
}

static inline void bench_mirror(void *arg, const struct binding *x, bool removed)
{
    struct bench *b = arg;
    (void)x;
    b->n_mirror += !removed;
    b->n_mirror_removed += removed;
}

static inline struct net_addr addr(const char *text)
{
    struct net_addr a;
    assert_int_equal(net_parse(view_of(text), 5060, &a), E_OK);
    return a;
}

static inline struct sip_flow udp(const char *from)
{
    return (struct sip_flow){
        .proto = SIP_UDP, .remote = addr(from), .local = addr("127.0.9.1:5060")};
}

/* HA1 of "user" with the password "secret of user", sealed as headgate seals. */
static inline struct credential credential_make(const struct bench *b, uint64_t id, uint64_t line,
                                                const char *user, enum digest_algorithm algorithm,
                                                uint8_t sealed[SEALED_MAX])
{
    struct secret key = {0}, ha1 = {0};
    char password[64], context[128];
    size_t n = 0;
    int context_n = snprintf(context, sizeof context, "%s%c" DOMAIN "%c%s", user, 0, 0,
                             algorithm == DIGEST_MD5 ? "MD5" : "SHA-256");
    snprintf(password, sizeof password, "secret of %s", user);
    assert_int_equal(sealed_key(&b->cluster_key, &key), E_OK);
    assert_int_equal(digest_ha1(algorithm == DIGEST_MD5 ? HASH_MD5 : HASH_SHA256, view_of(user),
                                VIEW(DOMAIN), view_of(password), &ha1),
                     E_OK);
    assert_int_equal(sealed_make(&key, SEALED_CREDENTIAL, view_from(context, (size_t)context_n),
                                 &ha1, sealed, &n),
                     E_OK);
    return (struct credential){.credential_id = id,
                               .line_id = line,
                               .username = view_of(user),
                               .algorithm = algorithm,
                               .ha1_sealed = view_from(sealed, n),
                               .disabled = strcmp(user, "gone") == 0};
}

static inline size_t bench_credentials(const struct bench *b, struct credential out[CREDENTIALS],
                                       uint8_t sealed[CREDENTIALS][SEALED_MAX])
{
    static const struct {
        const char *user;
        uint64_t line;
        enum digest_algorithm algorithm;
    } rows[CREDENTIALS] = {{"alice", 1, DIGEST_SHA256},
                           {"alice", 1, DIGEST_MD5},
                           {"bob", 2, DIGEST_SHA256},
                           {"gone", 2, DIGEST_SHA256},
                           {BOB, 2, DIGEST_MD5}};
    size_t n = 0;
    for (unsigned i = 0; i < CREDENTIALS; i++) {
        if (b->has_credentials[i]) {
            out[n++] =
                credential_make(b, i + 1, rows[i].line, rows[i].user, rows[i].algorithm, sealed[i]);
        }
    }
    return n;
}

static inline void bench_lines(struct bench *b)
{
    struct credential credentials[CREDENTIALS];
    uint8_t sealed[CREDENTIALS][SEALED_MAX];
    static const struct line lines[] = {
        {.line_id = 1,
         .account_id = 1,
         .number = {ALICE, 12},
         .display = {"Alice \"A\"", 9},
         .barred = false,
         .services = LINE_CALLER_ID},
        {.line_id = 2,
         .account_id = 2,
         .number = {BOB, 12},
         .display = {"Bob", 3},
         .barred = false,
         .services = LINE_CALLER_ID},
        {.line_id = 3,
         .account_id = 3,
         .number = {CAROL, 12},
         .display = {"Carol", 5},
         .barred = true,
         .services = LINE_CALLER_ID},
    };
    static const struct number_row numbers[] = {
        {{ALICE, 12}, 1}, {{BOB, 12}, 2}, {{CAROL, 12}, 3}, {{"+12125550111", 12}, 1}};
    static const struct route routes[] = {{.prefix = {"+44", 3},
                                           .priority = 10,
                                           .next_hop = {"sip:127.0.9.8:5060", 18},
                                           .name = {"uk", 2}},
                                          {.prefix = {"+44", 3},
                                           .priority = 20,
                                           .next_hop = {"sip:127.0.9.7:5060", 18},
                                           .name = {"uk2", 3}}};
    struct snapshot_input in = {.lines = lines,
                                .n_lines = 3,
                                .numbers = numbers,
                                .n_numbers = 4,
                                .routes = routes,
                                .n_routes = 2,
                                .credentials = credentials,
                                .n_credentials = bench_credentials(b, credentials, sealed),
                                .change_seq = ++b->unique};
    char why[128] = "";
    enum err e = snapshot_build(&in, &b->snap, why, sizeof why);
    if (e != E_OK) {
        fail_msg("snapshot: %s", why);
    }
}

static inline void phone_make(struct bench *b, struct phone *p, const char *number, uint64_t line,
                              const char *address, uint8_t id)
{
    struct session_record r = {.line_id = line,
                               .created_us = b->clock.wall_us,
                               .expires_us = b->clock.wall_us + 86400000000u};
    uint8_t key[32];
    memset(p, 0, sizeof *p);
    p->number = number;
    p->line = line;
    memset(p->kid, id, sizeof p->kid);
    memset(p->bti, id ^ 0x80, sizeof p->bti);
    memcpy(r.kid, p->kid, sizeof r.kid);
    memcpy(r.bti_id, p->bti, sizeof r.bti_id);
    memset(key, id, sizeof key);
    assert_int_equal(secret_set(&r.keys.mac_up, key, 32), E_OK);
    key[0] ^= 1;
    assert_int_equal(secret_set(&r.keys.mac_down, key, 32), E_OK);
    key[0] ^= 2;
    assert_int_equal(secret_set(&r.keys.tls_psk, key, 32), E_OK);
    r.keys.enc_up = r.keys.enc_down = r.keys.digest = r.keys.tls_psk;
    p->up = r.keys.mac_up;
    p->down = r.keys.mac_down;
    p->flow = udp(address);
    snprintf(p->contact, sizeof p->contact, "sip:%s@%s", number, address);
    assert_int_equal(sessions_put(b->sessions, &r), E_OK);
}

static const char *const bench_trusted[] = {"127.0.9.9", "127.0.9.8"};
static const char *const bench_ps[] = {"udp:127.0.9.2:5070", "udp:127.0.9.3:5070"};
static const char *const bench_hops[] = {"sip:127.0.9.9:5060", "sip:127.0.9.5:5060"};

static inline void bench_settings(struct bench *b)
{
    char why[256] = "";
    assert_int_equal(conf_load(NULL, gc_fields, gc_fields_n, &b->set, why, sizeof why, &b->conf),
                     E_OK);
    b->set.domain = DOMAIN;
    b->set.trusted_peers = (struct conf_list){2, bench_trusted};
    b->set.ps_servers = (struct conf_list){2, bench_ps};
    b->set.emergency_next_hops = (struct conf_list){2, bench_hops};
    b->set.trace_bytes = 1 << 20;
    b->set.trace_calls = 64;
    b->set.max_sessions = b->set.max_registrations = 64;
    b->set.area = "212";
    if (gc_settings_check(&b->set, &b->plan, why, sizeof why) != E_OK) {
        fail_msg("settings: %s", why);
    }
    b->plan.n_listen = 2;
    b->plan.listen[0] = (struct gc_listen){SIP_UDP, addr("127.0.9.1:5060")};
    b->plan.listen[1] = (struct gc_listen){SIP_TLS, addr("127.0.9.1:5061")};
    b->plan.own = addr("127.0.9.1:5060");
}

static inline void bench_open(struct bench *b, void (*tune)(struct bench *b))
{
    struct worker_seams seam = {.snapshot = bench_snapshot,
                                .send = bench_send,
                                .cdr = bench_cdr,
                                .mirror = bench_mirror,
                                .arg = b};
    struct workers_cfg cfg = {
        .set = &b->set, .plan = &b->plan, .cluster_key = &b->cluster_key, .n = 1};
    memset(b, 0, offsetof(struct bench, sent)); /* of what was sent, n_sent says what counts */
    memset(&b->n_cdr, 0, sizeof *b - offsetof(struct bench, n_cdr));
    b->cluster_key = (struct secret){.n = 32, .b = {1, 2, 3}};
    memset(b->has_credentials, 1, sizeof b->has_credentials);
    b->live = mem_live();
    assert_int_equal(sip_osip_init(), E_OK);
    clock_fake_init(&b->clock, 1700000000000000u);
    bench_settings(b);
    if (tune != NULL) {
        tune(b);
    }
    seam.dns = b->dns;
    assert_int_equal(sessions_new(64, &b->sessions), E_OK);
    assert_int_equal(location_new(64, &b->location), E_OK);
    assert_int_equal(metrics_new(1, &b->metrics), E_OK);
    bench_lines(b);
    phone_make(b, &b->alice, ALICE, 1, "127.0.9.11:5062", 0x11);
    phone_make(b, &b->bob, BOB, 2, "127.0.9.12:5063", 0x22);
    phone_make(b, &b->bob2, BOB, 2, "127.0.9.13:5064", 0x33);
    cfg.sessions = b->sessions;
    cfg.location = b->location;
    cfg.metrics = b->metrics;
    cfg.clock = &b->clock.clock;
    cfg.stir = b->made = b->stir != NULL ? b->stir(b) : NULL;
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    assert_int_equal(workers_new_with(&cfg, &seam, &b->ws), E_OK);
    b->w = b->ws->w[0];
}

static inline void bench_close(struct bench *b)
{
    stir_close(b->made);
    workers_free(b->ws);
    snapshot_free(b->snap);
    metrics_free(b->metrics);
    location_free(b->location);
    sessions_free(b->sessions);
    conf_free(b->conf);
    assert_int_equal(mem_live(), b->live);
}

static inline void pass_ms(struct bench *b, uint64_t ms)
{
    loop_advance(b->w->loop, &b->clock, ms);
}

static inline int64_t counted(struct bench *b, enum meter which)
{
    return metric_sum(b->metrics, b->ws->meter_base + which);
}

/* ---- what comes in -----------------------------------------------------------------------------
 */
static inline void feed_view(struct bench *b, const struct sip_flow *flow, struct view raw)
{
    struct sip_rx rx = {.raw = raw, .is_datagram = flow->proto == SIP_UDP, .flow = *flow};
    worker_rx(b->w, &rx);
    loop_run_once(b->w->loop, false); /* ends the turn */
}

static inline void feed(struct bench *b, const struct sip_flow *flow, const char *text)
{
    feed_view(b, flow, view_of(text));
}

/* Adds the MAC header before the first header. */
static inline size_t phone_seal(struct phone *p, char *text, size_t n, size_t max, const char *name)
{
    char value[BTI_MAC_VALUE_MAX], line[256];
    struct hmac_key key;
    bool scheme = strcmp(name, "Authentication-Info") != 0;
    size_t at = (size_t)(strstr(text, "\r\n") - text) + 2;
    size_t value_n = bti_mac_format(scheme, p->kid, ++p->seq, value);
    size_t line_n = (size_t)snprintf(line, sizeof line, "%s: %s\r\n", name, value);
    assert_true(n + line_n < max);
    memmove(text + at + line_n, text + at, n - at + 1);
    memcpy(text + at, line, line_n);
    assert_int_equal(hmac_key_set(&key, &p->up), E_OK);
    assert_int_equal(
        bti_mac_fill(&key, text, n + line_n, at + strlen(name) + 2 + value_n - BTI_MAC_DIGITS),
        E_OK);
    return n + line_n;
}

static inline const char *proof_name(const char *text)
{
    return strncmp(text, "SIP/2.0 ", 8) == 0    ? "Authentication-Info"
           : strncmp(text, "REGISTER ", 9) == 0 ? "Authorization"
                                                : "Proxy-Authorization";
}

static inline void phone_send(struct bench *b, struct phone *p, const char *text)
{
    char buf[TEXT_MAX];
    size_t n = strlen(text);
    assert_true(n < sizeof buf);
    memcpy(buf, text, n + 1);
    n = phone_seal(p, buf, n, sizeof buf, proof_name(buf));
    feed_view(b, &p->flow, view_from(buf, n));
}

static const char sdp_plain[] = "v=0\r\no=- 1 1 IN IP4 127.0.9.11\r\ns=-\r\n"
                                "c=IN IP4 127.0.9.11\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
static const char sdp_keys[] =
    "v=0\r\no=- 1 1 IN IP4 127.0.9.11\r\ns=-\r\nc=IN IP4 127.0.9.11\r\nt=0 0\r\n"
    "m=audio 4000 RTP/SAVP 0\r\n"
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";

struct request {                          /* a request to write */
    const char *method, *uri, *from, *to; /* URIs */
    const char *from_tag, *to_tag, *call_id, *branch;
    const char *via; /* ip:port */
    const char *contact, *extra, *body;
    unsigned cseq;
};

static inline const char *write_request_text(const struct request *r, char *out, size_t max)
{
    const char *body = r->body != NULL ? r->body : "";
    int n = snprintf(out, max,
                     "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=%s\r\nMax-Forwards: 70\r\n"
                     "From: <%s>;tag=%s\r\nTo: <%s>%s%s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n"
                     "Contact: <%s>\r\n%s%sContent-Length: %zu\r\n\r\n%s",
                     r->method, r->uri, r->via, r->branch, r->from, r->from_tag, r->to,
                     r->to_tag != NULL ? ";tag=" : "", r->to_tag != NULL ? r->to_tag : "",
                     r->call_id, r->cseq, r->method, r->contact, r->extra != NULL ? r->extra : "",
                     body[0] != 0 ? "Content-Type: application/sdp\r\n" : "", strlen(body), body);
    assert_true(n > 0 && (size_t)n < max);
    return out;
}

/* ---- what goes out -----------------------------------------------------------------------------
 */
struct got {
    struct sip_msg m;
    struct sip_flow to;
    char octets[TEXT_MAX];
};

static inline struct sent *find_sent(struct bench *b, const struct net_addr *to, const char *start)
{
    for (unsigned i = 0; i < b->n_sent; i++) {
        struct sent *s = &b->sent[i];
        if (!s->taken && net_eq(&s->to.remote, to) &&
            view_starts(view_from(s->octets, s->n), view_of(start))) {
            return s;
        }
    }
    return NULL;
}

/* Takes the first message to that address that begins so; false when there is none. */
static inline bool take(struct bench *b, const struct net_addr *to, const char *start,
                        struct got *out)
{
    struct sent *s = find_sent(b, to, start);
    const char *why = "";
    if (s == NULL) {
        memset(&out->m, 0, sizeof out->m);
        return false;
    }
    s->taken = true;
    memcpy(out->octets, s->octets, s->n);
    out->to = s->to;
    assert_int_equal(sip_frame(view_from(out->octets, s->n), s->to.proto == SIP_UDP, &out->m, &why),
                     E_OK);
    return true;
}

/* The same, and the MAC must hold and be a new one. */
static inline void expect(struct bench *b, struct phone *p, const char *start, struct got *out)
{
    struct bti_mac mac;
    struct hmac_key key;
    struct view value;
    if (!take(b, &p->flow.remote, start, out)) {
        fail_msg("nothing like '%s' was sent to %s", start, p->number);
    }
    value = sip_header_value(&out->m,
                             out->m.is_request ? SIP_H_AUTHORIZATION : SIP_H_AUTHENTICATION_INFO);
    assert_int_equal(bti_mac_parse(value, out->m.is_request, &mac), E_OK);
    assert_memory_equal(mac.kid, p->kid, sizeof mac.kid);
    assert_int_equal(hmac_key_set(&key, &p->down), E_OK);
    assert_int_equal(bti_mac_verify(&key, out->m.raw, mac.digits), E_OK);
    assert_true(mac.seq > p->top);
    p->top = mac.seq;
}

static inline void expect_peer(struct bench *b, const char *to, const char *start, struct got *out)
{
    struct net_addr a = addr(to);
    if (!take(b, &a, start, out)) {
        fail_msg("nothing like '%s' was sent to %s", start, to);
    }
    assert_null(sip_header(&out->m, SIP_H_AUTHORIZATION, 0));
    assert_null(sip_header(&out->m, SIP_H_PROXY_AUTHORIZATION, 0));
    assert_null(sip_header(&out->m, SIP_H_AUTHENTICATION_INFO, 0));
}

static inline unsigned count_to(struct bench *b, const struct net_addr *to, const char *start)
{
    unsigned n = 0;
    for (unsigned i = 0; i < b->n_sent; i++) {
        n += net_eq(&b->sent[i].to.remote, to) &&
             view_starts(view_from(b->sent[i].octets, b->sent[i].n), view_of(start));
    }
    return n;
}

static inline void forget_sent(struct bench *b)
{
    b->n_sent = 0;
}

static inline bool holds(const struct sip_msg *m, const char *text)
{
    return memmem(m->raw.p, m->raw.n, text, strlen(text)) != NULL;
}

/* ---- answering ---------------------------------------------------------------------------------
 */
static inline const char *write_answer_text(const struct got *request, unsigned status,
                                            const char *tag, const char *contact, const char *body,
                                            char *out, size_t max)
{
    char extra[LOCATION_URI_MAX + 400] = "";
    size_t n = 0;
    if (contact != NULL) {
        snprintf(extra, sizeof extra, "Contact: <%s>\r\n", contact);
    }
    assert_int_equal(sip_response(&request->m, status, NULL, view_of(tag), NULL, 0, view_of(extra),
                                  VIEW("application/sdp"), view_of(body), out, max - 1, &n),
                     E_OK);
    out[n] = 0;
    return out;
}

static inline void phone_answer(struct bench *b, struct phone *p, const struct got *request,
                                unsigned status, const char *tag, const char *body)
{
    char text[TEXT_MAX];
    phone_send(b, p,
               write_answer_text(request, status, tag, status < 300 ? p->contact : NULL,
                                 body != NULL ? body : "", text, sizeof text));
}

static inline void peer_answer(struct bench *b, const char *peer, const struct got *request,
                               unsigned status, const char *tag)
{
    char text[TEXT_MAX], contact[96];
    struct sip_flow flow = udp(peer);
    snprintf(contact, sizeof contact, "sip:peer@%s", peer);
    feed(b, &flow,
         write_answer_text(request, status, tag, status < 300 ? contact : NULL, "", text,
                           sizeof text));
}

/* ---- ordinary doings ---------------------------------------------------------------------------
 */
static inline void phone_register(struct bench *b, struct phone *p)
{
    char text[TEXT_MAX], call_id[64], branch[64], uri[64], extra[32], via[NET_TEXT_MAX];
    struct got got;
    net_text(&p->flow.remote, via);
    snprintf(call_id, sizeof call_id, "reg-%u", ++b->unique);
    snprintf(branch, sizeof branch, "z9hG4bKreg%u", b->unique);
    snprintf(uri, sizeof uri, "sip:%s@" DOMAIN, p->number);
    snprintf(extra, sizeof extra, "Expires: 600\r\n");
    phone_send(b, p,
               write_request_text(&(struct request){.method = "REGISTER",
                                                    .uri = "sip:" DOMAIN,
                                                    .from = uri,
                                                    .to = uri,
                                                    .from_tag = "rt",
                                                    .call_id = call_id,
                                                    .branch = branch,
                                                    .via = via,
                                                    .contact = p->contact,
                                                    .extra = extra,
                                                    .cseq = 1},
                                  text, sizeof text));
    expect(b, p, "SIP/2.0 200", &got);
}

static inline struct request invite_of(struct bench *b, struct phone *p, const char *uri,
                                       char keep[3][96])
{
    net_text(&p->flow.remote, keep[0]);
    snprintf(keep[1], 96, "call-%u", ++b->unique);
    snprintf(keep[2], 96, "z9hG4bKcall%u", b->unique);
    return (struct request){.method = "INVITE",
                            .uri = uri,
                            .from = p->line == 1 ? "sip:" ALICE "@" DOMAIN : "sip:" BOB "@" DOMAIN,
                            .to = uri,
                            .from_tag = "ft",
                            .call_id = keep[1],
                            .branch = keep[2],
                            .via = keep[0],
                            .contact = p->contact,
                            .body = sdp_plain,
                            .cseq = 1};
}

#endif
