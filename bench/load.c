/* load: an open-loop SIP call generator, caller and callee in one process, UDP on loopback. With
 * sessions every message carries a BTI-MAC and every message that arrives is verified; with
 * --digest requests carry Digest credentials; with --plain nothing proves anything.
 *
 *   load --gc IP:PORT --local IP --domain D (--sessions | --digest | --plain) FILE --calls N
 *        --rate R [--ring MS] [--hold MS] [--give-up MS] [--no-hangup] [--uas-port PORT]
 *
 * FILE: a line for each party (bench/load_proof.h), odd lines callers, even lines callees. Prints
 * one JSON object. Bounded: N calls, each given up 40 s (--give-up) after its start. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/mem.h"
#include "base/net.h"
#include "bench/load_proof.h"

enum {
    MESSAGE_MAX = PARTY_MESSAGE_MAX,
    BATCH = 64,
    CALL_LIFE_MS = 40000,
    CHALLENGES_MAX = 3,
    T1_MS = 500,
    SAMPLES_MAX = 2000000
};

static const char SDP[] =
    "v=0\r\no=load 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

enum stage { NEW, INVITED, TALKING, ENDING, DONE, FAILED };

struct call {
    struct load *load;
    size_t index;
    enum stage stage;
    bool answered_acked, heard; /* callee: ACK came; caller: a response came */
    unsigned tries, challenges;
    unsigned cseq; /* of its last request but ACK */
    uint64_t started_us;
    struct loop_timer timer, life, callee_timer;
    char *again; /* the INVITE or BYE as sent, for retransmission */
    size_t again_n;
    char *invite; /* callee: the INVITE as it came */
    size_t invite_n;
    char to_tag[64], target[256], routes[1024];
};

struct load {
    struct loop *loop;
    struct net_addr gc, local;
    const char *domain, *sessions;
    enum proof_scheme scheme;
    bool no_hangup;
    uint64_t calls, rate, ring_ms, hold_ms, life_ms, uas_port;
    int uac, uas;
    struct net_addr uac_at, uas_at;
    struct party *party;
    size_t n_party;
    size_t registered;
    uint64_t challenged;
    struct call *call;
    uint64_t started, finished, ok, failed, retransmitted, bad_mac, unexpected, begun_us, placed_us,
        ended_us;
    uint32_t run;
    uint64_t *sample;
    size_t n_samples;
    struct loop_timer pace;
};

static void die(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static void must(enum err e, const char *what)
{
    if (e != E_OK) {
        fprintf(stderr, "load: %s: %s (%s)\n", what, err_text(e), err_where());
        exit(1);
    }
}

static uint64_t now_us(const struct load *l)
{
    const struct clock *c = loop_clock(l->loop);

    return c->mono_us(c->arg);
}

/* ---- messages out ---- */
static void transmit(struct load *l, int fd, const char *b, size_t n)
{
    struct sockaddr_storage to;
    socklen_t to_n = net_to_sockaddr(&l->gc, &to);

    if (sendto(fd, b, n, 0, (const struct sockaddr *)&to, to_n) < 0) {
        l->unexpected++;
    }
}

static struct party *caller_of(struct load *l, size_t call)
{
    return &l->party[call % (l->n_party / 2) * 2];
}
static struct party *callee_of(struct load *l, size_t call)
{
    return &l->party[call % (l->n_party / 2) * 2 + 1];
}

/* ---- caller ---- */
static void finish(struct call *c, bool good)
{
    struct load *l = c->load;

    if (c->stage == DONE || c->stage == FAILED) {
        return;
    }
    c->stage = good ? DONE : FAILED;
    good ? l->ok++ : l->failed++;
    loop_timer_stop(l->loop, &c->timer);
    loop_timer_stop(l->loop, &c->life);
    loop_timer_stop(l->loop, &c->callee_timer);
    mem_free(c->again);
    mem_free(c->invite);
    c->again = c->invite = NULL;
    if (++l->finished == l->calls) {
        l->ended_us = now_us(l);
        loop_stop(l->loop);
    }
}

static void on_life(void *arg)
{
    finish(arg, false);
}

static void keep(struct call *c, const char *b, size_t n)
{
    mem_free(c->again);
    c->again = mem_zalloc(n);
    if (c->again == NULL) {
        die("out of memory");
    }
    memcpy(c->again, b, n);
    c->again_n = n;
    c->tries = 0;
    c->heard = false;
}

static void on_retransmit(void *arg)
{
    struct call *c = arg;
    struct load *l = c->load;

    if (c->heard || ++c->tries > 6) {
        return;
    }
    l->retransmitted++;
    transmit(l, l->uac, c->again, c->again_n);
    must(loop_timer_start(l->loop, &c->timer, T1_MS << c->tries, on_retransmit, c), "timer");
}

static void send_kept(struct call *c, char *b, size_t n)
{
    keep(c, b, n);
    transmit(c->load, c->load->uac, b, n);
    must(loop_timer_start(c->load->loop, &c->timer, T1_MS, on_retransmit, c), "timer");
}

/* Branches: the CSeq number, and "a" for an ACK that is a transaction of its own. */
static size_t head_of(struct call *c, const char *method, const char *uri, const char *branch,
                      char *b)
{
    struct load *l = c->load;
    const struct party *from = caller_of(l, c->index), *to = callee_of(l, c->index);
    char at[NET_TEXT_MAX];

    net_text(&l->uac_at, at);
    return (size_t)snprintf(
        b, MESSAGE_MAX,
        "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bK%08" PRIx32
        "%zx.%u%s\r\nMax-Forwards: 70\r\nFrom: <sip:%s@%s>;tag=f%zx\r\nTo: <sip:%s@%s>%s%s\r\n"
        "Call-ID: %08" PRIx32 "-%zu@load\r\nCSeq: %u %s\r\n",
        method, uri, at, l->run, c->index, c->cseq, branch, from->number, l->domain, c->index,
        to->number, l->domain, c->to_tag[0] != 0 ? ";tag=" : "", c->to_tag, l->run, c->index,
        c->cseq, method);
}

static void callee_uri(const struct call *c, char uri[128])
{
    snprintf(uri, 128, "sip:%s@%s", callee_of(c->load, c->index)->number, c->load->domain);
}

static void invite(struct call *c)
{
    struct load *l = c->load;
    char b[MESSAGE_MAX], uri[128], at[NET_TEXT_MAX];
    size_t n = 0;

    net_text(&l->uac_at, at);
    callee_uri(c, uri);
    c->cseq++;
    n = head_of(c, "INVITE", uri, "", b);
    n += (size_t)snprintf(
        b + n, sizeof b - n,
        "Contact: <sip:%s@%s>\r\nContent-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n%s",
        caller_of(l, c->index)->number, at, sizeof SDP - 1, SDP);
    n = party_prove(caller_of(l, c->index), false, "INVITE", uri, b, n);
    c->stage = INVITED;
    c->started_us = now_us(l); /* of the INVITE that is accepted: a challenge is not its time */
    must(loop_timer_start(l->loop, &c->life, l->life_ms, on_life, c), "timer");
    send_kept(c, b, n);
}

static void in_dialog(struct call *c, const char *method, bool kept)
{
    char b[MESSAGE_MAX];
    size_t n = head_of(c, method, c->target, kept ? "" : "a", b);

    n += (size_t)snprintf(b + n, sizeof b - n, "%sContent-Length: 0\r\n\r\n", c->routes);
    n = party_prove(caller_of(c->load, c->index), false, method, c->target, b, n);
    if (kept) {
        send_kept(c, b, n);
    } else {
        transmit(c->load, c->load->uac, b, n);
    }
}

static void on_hangup(void *arg)
{
    struct call *c = arg;

    c->stage = ENDING;
    c->cseq++;
    in_dialog(c, "BYE", true);
}

/* The hop's own ACK for a 407 (RFC 3261 section 17.1.1.3). */
static void ack_challenge(struct call *c, const struct sip_msg *m)
{
    char b[MESSAGE_MAX], uri[128];
    size_t n = 0;

    callee_uri(c, uri);
    must(view_to_cstr(m->to_tag, c->to_tag, sizeof c->to_tag), "To tag");
    n = head_of(c, "ACK", uri, "", b);
    n += (size_t)snprintf(b + n, sizeof b - n, "Content-Length: 0\r\n\r\n");
    c->to_tag[0] = 0;
    transmit(c->load, c->load->uac, b, n);
}

/* A 401 or 407 that a new nonce answers: the request goes out once more. */
static bool challenged(struct call *c, const struct sip_msg *m)
{
    struct load *l = c->load;

    if (m->cseq != c->cseq || c->challenges >= CHALLENGES_MAX ||
        !party_challenged(caller_of(l, c->index), m)) {
        return false;
    }
    c->challenges++;
    l->challenged++;
    if (c->stage == INVITED) {
        ack_challenge(c, m);
        invite(c);
    } else {
        on_hangup(c);
    }
    return true;
}

/* Remote target and route set of the 200 (RFC 3261 section 12.1.2): Record-Route in reverse order.
 */
static void take_dialog(struct call *c, const struct sip_msg *m)
{
    struct view contact = sip_header_value(m, SIP_H_CONTACT), all[16], one = {0};
    size_t n = 0, at = 0, from = 0, to = 0;

    must(view_to_cstr(m->to_tag, c->to_tag, sizeof c->to_tag), "To tag");
    if (view_find(contact, '<', &from) && view_find(contact, '>', &to)) {
        contact = view_sub(contact, from + 1, to - from - 1);
    }
    must(view_to_cstr(contact, c->target, sizeof c->target), "Contact");
    for (const struct sip_hdr *h = sip_header(m, SIP_H_RECORD_ROUTE, 0); h != NULL;
         h = sip_header(m, SIP_H_RECORD_ROUTE, sip_header_index(m, h) + 1)) {
        struct sip_list list = sip_list_over(h->value);
        while (n < 16 && sip_list_next(&list, &one)) {
            all[n++] = one;
        }
    }
    c->routes[0] = 0;
    while (n > 0) {
        n--;
        at += (size_t)snprintf(c->routes + at, sizeof c->routes - at, "Route: %.*s\r\n",
                               (int)all[n].n, all[n].p);
    }
}

static void caller_response(struct call *c, const struct sip_msg *m)
{
    struct load *l = c->load;

    if (m->cseq != c->cseq && m->method != SIP_M_INVITE) {
        return;
    }
    c->heard = true;
    if (m->status >= 300 && (c->stage == INVITED || c->stage == ENDING) && challenged(c, m)) {
        return;
    }
    if (m->method == SIP_M_INVITE && m->status == 180 && c->stage == INVITED &&
        l->n_samples < SAMPLES_MAX) {
        l->sample[l->n_samples++] = now_us(l) - c->started_us;
    } else if (m->method == SIP_M_INVITE && m->status >= 200 && m->status < 300) {
        if (c->stage == INVITED) {
            take_dialog(c, m);
            c->stage = TALKING;
            if (l->no_hangup) {
                in_dialog(c, "ACK", false);
                finish(c, true);
                return;
            }
            must(loop_timer_start(l->loop, &c->timer, l->hold_ms, on_hangup, c), "timer");
        }
        if (c->stage == TALKING) {
            in_dialog(c, "ACK", false);
        }
    } else if (m->method == SIP_M_BYE && m->status >= 200 && c->stage == ENDING) {
        finish(c, m->status == 200);
    } else if (m->method == SIP_M_INVITE && m->status >= 300 && c->stage == INVITED &&
               m->cseq == c->cseq) {
        if (l->failed < 3) {
            fprintf(stderr, "load: call %zu: %u %.*s\n", c->index, m->status, (int)m->reason.n,
                    m->reason.p);
        }
        finish(c, false);
    }
}

/* ---- callee ---- */
static void copy_lines(const struct sip_msg *m, enum sip_hdr_id id, char *b, size_t *n)
{
    for (const struct sip_hdr *h = sip_header(m, id, 0); h != NULL;
         h = sip_header(m, id, sip_header_index(m, h) + 1)) {
        memcpy(b + *n, h->line.p, h->line.n);
        *n += h->line.n;
    }
}

static void respond(struct load *l, struct party *p, const struct sip_msg *m, const char *status,
                    bool sdp)
{
    char b[2 * MESSAGE_MAX], at[NET_TEXT_MAX];
    size_t n = (size_t)snprintf(b, sizeof b, "SIP/2.0 %s\r\n", status);
    struct view to = sip_header_value(m, SIP_H_TO);

    if (m->head.n > MESSAGE_MAX / 2) {
        die("a request outgrew the response buffer");
    }
    net_text(&l->uas_at, at);
    copy_lines(m, SIP_H_VIA, b, &n);
    copy_lines(m, SIP_H_RECORD_ROUTE, b, &n);
    copy_lines(m, SIP_H_FROM, b, &n);
    n += (size_t)snprintf(b + n, sizeof b - n, "To: %.*s%s\r\n", (int)to.n, to.p,
                          m->to_tag.n == 0 ? ";tag=t1" : "");
    copy_lines(m, SIP_H_CALL_ID, b, &n);
    copy_lines(m, SIP_H_CSEQ, b, &n);
    n += (size_t)snprintf(b + n, sizeof b - n,
                          "Contact: <sip:%s@%s>\r\n%sContent-Length: %zu\r\n\r\n%s", p->number, at,
                          sdp ? "Content-Type: application/sdp\r\n" : "", sdp ? sizeof SDP - 1 : 0,
                          sdp ? SDP : "");
    n = party_prove_response(p, b, n);
    transmit(l, l->uas, b, n);
}

static void on_answer(void *arg)
{
    struct call *c = arg;
    struct load *l = c->load;
    struct sip_msg m;
    const char *why = NULL;

    if (c->answered_acked || c->invite == NULL) {
        return;
    }
    must(sip_frame(view_from(c->invite, c->invite_n), true, &m, &why), "own copy");
    respond(l, callee_of(l, c->index), &m, "200 OK", true);
    must(loop_timer_start(l->loop, &c->callee_timer, T1_MS, on_answer, c), "timer");
}

static void callee_request(struct call *c, const struct sip_msg *m)
{
    struct load *l = c->load;
    struct party *p = callee_of(l, c->index);

    if (m->method == SIP_M_INVITE && c->invite == NULL && c->stage == INVITED) {
        c->invite = mem_zalloc(m->raw.n);
        if (c->invite == NULL) {
            die("out of memory");
        }
        memcpy(c->invite, m->raw.p, m->raw.n);
        c->invite_n = m->raw.n;
        respond(l, p, m, "180 Ringing", false);
        must(loop_timer_start(l->loop, &c->callee_timer, l->ring_ms, on_answer, c), "timer");
    } else if (m->method == SIP_M_ACK) {
        c->answered_acked = true;
    } else if (m->method == SIP_M_BYE) {
        respond(l, p, m, "200 OK", false);
    }
}

/* ---- messages in ---- */
/* "<run>-<index>@load"; registrations are "<run>-r<index>@load". */
static bool call_index(struct load *l, struct view id, bool *is_register, uint64_t *out)
{
    char prefix[16];
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "%08" PRIx32 "-", l->run), at = 0;

    if (!view_starts(id, view_from(prefix, n)) || !view_find(id, '@', &at)) {
        return false;
    }
    *is_register = id.p[n] == 'r';
    n += *is_register ? 1 : 0;
    return view_to_u64(view_sub(id, n, at - n), l->calls + l->n_party, out) == E_OK;
}

static void register_one(struct load *l, size_t i)
{
    char b[MESSAGE_MAX], uri[128], at[NET_TEXT_MAX];
    struct party *p = &l->party[i];
    size_t n = 0;

    net_text(&l->uas_at, at);
    snprintf(uri, sizeof uri, "sip:%s", l->domain);
    p->register_cseq++;
    n = (size_t)snprintf(
        b, sizeof b,
        "REGISTER %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bKr%08" PRIx32 "%zx.%u\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:%s@%s>;tag=r\r\nTo: <sip:%s@%s>\r\n"
        "Call-ID: %08" PRIx32 "-r%zu@load\r\nCSeq: %u REGISTER\r\nContact: <sip:%s@%s>\r\n"
        "Expires: 3600\r\nContent-Length: 0\r\n\r\n",
        uri, at, l->run, i, p->register_cseq, p->number, l->domain, p->number, l->domain, l->run, i,
        p->register_cseq, p->number, at);
    n = party_prove(p, true, "REGISTER", uri, b, n);
    transmit(l, l->uas, b, n);
}

static void one_message(struct load *l, struct view raw)
{
    struct sip_msg m;
    const char *why = NULL;
    bool is_register = false;
    uint64_t i = 0;
    struct party *p = NULL;

    if (sip_frame(raw, true, &m, &why) != E_OK || !call_index(l, m.call_id, &is_register, &i) ||
        i >= (is_register ? l->n_party : l->calls)) {
        l->unexpected++;
        return;
    }
    p = is_register ? &l->party[i] : m.is_request ? callee_of(l, i) : caller_of(l, i);
    if (!party_verify(p, &m)) {
        if (l->bad_mac++ < 3) {
            fprintf(stderr, "load: not sealed: %.*s\n", (int)(raw.n < 300 ? raw.n : 300), raw.p);
        }
        return;
    }
    if (is_register) {
        if (m.status == 200 && !p->is_registered) {
            p->is_registered = true;
            l->registered++;
        } else if (party_challenged(p, &m)) {
            register_one(l, i);
        }
        return;
    }
    if (l->call[i].stage == DONE || l->call[i].stage == FAILED) {
        if (m.is_request && m.method == SIP_M_BYE) {
            respond(l, p, &m, "200 OK", false);
        }
        return;
    }
    m.is_request ? callee_request(&l->call[i], &m) : caller_response(&l->call[i], &m);
}

static void on_socket(void *arg, int fd, unsigned events)
{
    struct load *l = arg;
    static char b[BATCH][SIP_MAX_BYTES];
    struct mmsghdr h[BATCH] = {0};
    struct iovec v[BATCH];
    int n = 0;

    (void)events;
    for (int i = 0; i < BATCH; i++) {
        v[i] = (struct iovec){b[i], sizeof b[i]};
        h[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    }
    n = recvmmsg(fd, h, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        one_message(l, view_from(b[i], h[i].msg_len));
    }
}

/* ---- set-up ---- */
/* Callees are registered; with Digest callers are too, for the nonce that they get by it. */
static void register_all(struct load *l)
{
    size_t first = l->scheme == PROOF_DIGEST ? 0 : 1, step = first == 0 ? 1 : 2;
    size_t want = l->n_party / step;
    uint64_t end = now_us(l) + 20000000;

    while (l->registered < want) {
        for (size_t i = first; i < l->n_party; i += step) {
            if (!l->party[i].is_registered) {
                register_one(l, i);
            }
            if (i % 64 < step) {
                loop_run_once(l->loop, false);
            }
        }
        for (uint64_t stop = now_us(l) + T1_MS * 1000; now_us(l) < stop && l->registered < want;) {
            loop_run_once(l->loop, false);
        }
        if (now_us(l) > end) {
            die("callees could not be registered");
        }
    }
}

static void on_pace(void *arg)
{
    struct load *l = arg;
    uint64_t due = (now_us(l) - l->begun_us) * l->rate / 1000000 + 1;

    while (l->started < l->calls && l->started < due) {
        struct call *c = &l->call[l->started];
        *c = (struct call){.load = l, .index = l->started++};
        invite(c);
    }
    l->placed_us = now_us(l);
    if (l->started < l->calls) {
        must(loop_timer_start(l->loop, &l->pace, 1, on_pace, l), "timer");
    }
}

static void load_parties(struct load *l)
{
    FILE *f = fopen(l->sessions, "r");
    struct party p;
    size_t room = 0;

    if (f == NULL) {
        die("cannot read the parties");
    }
    while (party_read(f, l->scheme, l->domain, clock_wall_us(clock_system()), &p)) {
        if (l->n_party == room) {
            room = room == 0 ? 64 : room * 2;
            l->party = mem_resize(l->party, room * sizeof *l->party);
            if (l->party == NULL) {
                die("out of memory");
            }
        }
        l->party[l->n_party++] = p;
    }
    fclose(f);
    if (l->n_party < 2 || l->n_party % 2 != 0) {
        die("parties come in pairs, one at least");
    }
}

static void open_socket(struct load *l, uint64_t port, int *fd, struct net_addr *at)
{
    struct loop_io *io = NULL;
    int room = 4 << 20;
    struct net_addr a = l->local;

    a.port = (uint16_t)port;
    must(net_udp_bind(&a, false, fd), "bind");
    setsockopt(*fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(*fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    must(net_local(*fd, at), "local address");
    must(loop_io_start(l->loop, *fd, LOOP_READ, on_socket, l, &io), "watch");
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void options(struct load *l, int argc, char **argv)
{
    static const struct option o[] = {{"gc", 1, 0, 'g'},        {"local", 1, 0, 'l'},
                                      {"domain", 1, 0, 'd'},    {"sessions", 1, 0, 's'},
                                      {"digest", 1, 0, 'a'},    {"plain", 1, 0, 'p'},
                                      {"calls", 1, 0, 'c'},     {"rate", 1, 0, 'r'},
                                      {"ring", 1, 0, 'i'},      {"hold", 1, 0, 'h'},
                                      {"no-hangup", 0, 0, 'n'}, {"give-up", 1, 0, 't'},
                                      {"uas-port", 1, 0, 'u'},  {0}};
    for (int c; (c = getopt_long(argc, argv, "", o, NULL)) != -1;) {
        struct view v = view_of(optarg);
        switch (c) {
        case 'g':
            must(net_parse(v, 5060, &l->gc), "--gc");
            break;
        case 'l':
            must(net_parse_ip(v, &l->local), "--local");
            break;
        case 'd':
            l->domain = optarg;
            break;
        case 's':
        case 'a':
        case 'p':
            l->sessions = optarg;
            l->scheme = c == 's' ? PROOF_BTI_MAC : c == 'a' ? PROOF_DIGEST : PROOF_NONE;
            break;
        case 'c':
            must(view_to_u64(v, 1000000, &l->calls), "--calls");
            break;
        case 'r':
            must(view_to_u64(v, 100000, &l->rate), "--rate");
            break;
        case 'i':
            must(view_to_u64(v, 10000, &l->ring_ms), "--ring");
            break;
        case 'h':
            must(view_to_u64(v, 30000, &l->hold_ms), "--hold");
            break;
        case 't':
            must(view_to_u64(v, 60000, &l->life_ms), "--give-up");
            break;
        case 'u':
            must(view_to_u64(v, 65535, &l->uas_port), "--uas-port");
            break;
        case 'n':
            l->no_hangup = true;
            break;
        default:
            exit(64);
        }
    }
    if (l->gc.family == 0 || l->local.family == 0 || l->domain == NULL || l->sessions == NULL ||
        l->calls == 0 || l->rate == 0 || !net_is_loopback(&l->gc) || !net_is_loopback(&l->local)) {
        die("--gc, --local (both loopback), --domain, parties, --calls and --rate "
            "are needed");
    }
}

int main(int argc, char **argv)
{
    static struct load l = {.ring_ms = 20, .hold_ms = 200, .life_ms = 40000};
    size_t n = 0;

    options(&l, argc, argv);
    must(loop_new(clock_system(), &l.loop), "loop");
    must(crypto_random(&l.run, sizeof l.run), "random");
    load_parties(&l);
    l.call = mem_zalloc_array(l.calls, sizeof *l.call);
    l.sample = mem_zalloc_array(l.calls, sizeof *l.sample);
    if (l.call == NULL || l.sample == NULL) {
        die("out of memory");
    }
    open_socket(&l, 0, &l.uac, &l.uac_at);
    open_socket(&l, l.uas_port, &l.uas, &l.uas_at);
    if (l.scheme != PROOF_NONE) {
        register_all(&l);
    }
    l.begun_us = now_us(&l);
    on_pace(&l);
    loop_run(l.loop);
    qsort(l.sample, l.n_samples, sizeof *l.sample, by_size);
    n = l.n_samples;
    printf("{\"calls\": %" PRIu64 ", \"ok\": %" PRIu64 ", \"failed\": %" PRIu64
           ", \"retransmitted\": %" PRIu64 ", \"challenged\": %" PRIu64 ", \"bad_mac\": %" PRIu64
           ", \"unexpected\": %" PRIu64
           ", \"placed_seconds\": %.3f, \"seconds\": %.3f, \"p50_us\": %" PRIu64
           ", \"p99_us\": %" PRIu64 ", \"uas_port\": %u}\n",
           l.calls, l.ok, l.failed, l.retransmitted, l.challenged, l.bad_mac, l.unexpected,
           (double)(l.placed_us - l.begun_us) / 1e6, (double)(l.ended_us - l.begun_us) / 1e6,
           n > 0 ? l.sample[n / 2] : 0, n > 0 ? l.sample[n * 99 / 100] : 0,
           (unsigned)l.uas_at.port);
    return l.failed == 0 ? 0 : 1;
}
