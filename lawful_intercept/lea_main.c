/* headgate-lea: stands for an agency's collection function in demos and tests. Takes call data and
 * X2, shows each message in a line of words (or JSON), keeps the octets.
 *
 * Nothing that it is sent can hurt it but to end its connection. One thread: a few connections. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/net.h"
#include "base/proc.h"
#include "base/tls.h"
#include "lawful_intercept/cdc.h"
#include "lawful_intercept/x2.h"

enum { PEERS_MAX = 32, ROOM = 256 * 1024, PLAIN_ROOM = 17 * 1024, WHY_BYTES = 160 };

enum channel { CHANNEL_CDC, CHANNEL_X2, CHANNELS };
static const char *const channel_names[CHANNELS] = {"cdc", "x2"};

struct peer {
    int fd; /* -1: free */
    enum channel channel;
    struct tls_conn *tls;
    bool is_known; /* it proved itself, or nobody asks */
    char *in;
    size_t n;
};

struct lea {
    struct net_addr listen[CHANNELS];
    int listener[CHANNELS]; /* -1: none */
    struct tls_ctx *tls;    /* NULL: plain */
    const char *folder;     /* NULL: nothing is kept */
    bool json;
    struct peer peer[PEERS_MAX];
    FILE *kept[CHANNELS];
};

static volatile sig_atomic_t ended;

static void on_end(int number)
{
    (void)number;
    ended = 1;
}

/* ---- in words ----------------------------------------------------------------------------------
 */
static void time_text(uint64_t us, char out[32])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    size_t n = 0;

    out[0] = 0;
    if (gmtime_r(&seconds, &tm) != NULL) {
        n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(us / 1000 % 1000));
    }
}

static struct view name_of(const struct cdc_party *p)
{
    const struct view all[] = {p->dn, p->user_provided, p->generic_digits, p->ip_address,
                               p->trunk_id};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].n > 0) {
            return all[i];
        }
    }
    return VIEW("");
}

/* The key of the first a=crypto line of a session description. */
static struct view key_of(struct view sdp)
{
    const char *p = sdp.n > 0 ? memmem(sdp.p, sdp.n, "inline:", 7) : NULL;
    size_t n = 0;

    if (p == NULL) {
        return VIEW("");
    }
    p += 7;
    while (p + n < sdp.p + sdp.n && p[n] != '\r' && p[n] != '\n' && p[n] != '|' && p[n] != ' ') {
        n++;
    }
    return view_from(p, n);
}

struct fact {
    const char *name;
    struct view value;
};

enum { FACTS_MAX = 16 };

static size_t facts_of(const struct cdc_message *m, struct fact out[FACTS_MAX])
{
    const struct fact all[] = {{"calling", name_of(&m->calling)},
                               {"called", name_of(&m->called)},
                               {"dialled", m->user_input},
                               {"answering", name_of(&m->answering)},
                               {"redirected_to", name_of(&m->redirected_to)},
                               {"redirected_from", name_of(&m->redirected_from)},
                               {"last_redirecting", name_of(&m->redirected.last)},
                               {"original_called", name_of(&m->redirected.original)},
                               {"service", m->service},
                               {"signal", m->signal.other},
                               {"signal_dialled", m->signal.dialed},
                               {"digits", m->digits},
                               {"content", m->content.both},
                               {"subject_key", key_of(m->subject)},
                               {"associate_key", key_of(m->associate)}};
    size_t n = 0;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].value.n > 0) {
            out[n++] = all[i];
        }
    }
    return n;
}

static void put_text(json_t *o, const char *name, struct view v)
{
    json_t *text = json_stringn(v.p != NULL ? v.p : "", v.n); /* visible strings and UTF-8 alone */

    IGNORE(json_object_set_new(o, name, text != NULL ? text : json_string("?")) == 0 ? E_OK
                                                                                     : E_NOMEM,
           "then the field is not shown");
}

static void say_json(json_t *o)
{
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

    if (text != NULL) {
        puts(text);
    }
    mem_free(text);
    json_decref(o);
}

/* CCOpen names the calls of a content; of ours each has one. */
static struct view call_of(const struct cdc_message *m)
{
    return m->n_open > 0 ? m->open[0].sequence : m->call.sequence;
}

static void show_call_data(const struct lea *l, const struct cdc_message *m)
{
    struct fact facts[FACTS_MAX];
    size_t n = facts_of(m, facts);
    char at[32];

    time_text(m->at_us, at);
    if (l->json) {
        json_t *o = json_pack("{s:s,s:s,s:s,s:i,s:i,s:i}", "channel", "cdc", "kind",
                              cdc_kind_name(m->kind), "at", at, "version", (int)m->version,
                              "audible", (int)m->audible, "alerting", (int)m->alerting);
        if (o != NULL) {
            put_text(o, "case", m->case_id);
            put_text(o, "element", m->element);
            put_text(o, "call", call_of(m));
            put_text(o, "subject_sdp", m->subject);
            put_text(o, "associate_sdp", m->associate);
            for (size_t i = 0; i < n; i++) {
                put_text(o, facts[i].name, facts[i].value);
            }
        }
        say_json(o);
        return;
    }
    printf("%s  %.*s  %-20s", at, (int)m->case_id.n, m->case_id.p, cdc_kind_name(m->kind));
    for (size_t i = 0; i < n; i++) {
        printf(" %s=%.*s", facts[i].name, (int)facts[i].value.n, facts[i].value.p);
    }
    printf("  (call %.*s)\n", (int)call_of(m).n, call_of(m).p);
}

static void show_signaling(const struct lea *l, const struct x2_pdu *p)
{
    char at[32], xid[2 * X2_XID + 1];
    size_t end = 0;
    struct view line =
        view_find(p->payload, '\r', &end) ? view_sub(p->payload, 0, end) : p->payload;

    time_text(p->at_us, at);
    hex_put(p->xid, sizeof p->xid, xid);
    if (l->json) {
        json_t *o = json_pack("{s:s,s:s,s:s,s:i,s:I,s:I}", "channel", "x2", "xid", xid, "at", at,
                              "direction", (int)p->direction, "sequence", (json_int_t)p->sequence,
                              "correlation", (json_int_t)(p->correlation & INT64_MAX));
        if (o != NULL) {
            put_text(o, "sip", p->payload);
            put_text(o, "target", p->target);
        }
        say_json(o);
        return;
    }
    printf("%s  %.8s  %s %.*s\n", at, xid,
           p->direction == X2_FROM_TARGET ? "from the target:" : "to the target:  ",
           line.n < 200 ? (int)line.n : 200, line.p);
}

/* ---- messages ----------------------------------------------------------------------------------
 */
static void keep(const struct lea *l, enum channel channel, const void *octets, size_t n)
{
    if (l->kept[channel] != NULL &&
        (fwrite(octets, 1, n, l->kept[channel]) != n || fflush(l->kept[channel]) != 0)) {
        fprintf(stderr, "headgate-lea: %s: cannot be written\n", channel_names[channel]);
    }
}

/* False: the connection is to end. */
static bool say_plain(struct peer *p, const void *octets, size_t n)
{
    char wire[4096];
    size_t out = 0;

    if (p->tls == NULL) {
        return send(p->fd, octets, n, MSG_NOSIGNAL) == (ssize_t)n;
    }
    if (tls_write(p->tls, view_from(octets, n)) != E_OK) {
        return false;
    }
    while (tls_drain(p->tls, wire, sizeof wire, &out) == E_OK && out > 0) {
        if (send(p->fd, wire, out, MSG_NOSIGNAL) != (ssize_t)out) {
            return false;
        }
    }
    return true;
}

static bool answer_keepalive(struct peer *p, const struct x2_pdu *ask)
{
    struct x2_pdu ack = {.version = ask->version,
                         .type = X2_KEEPALIVE_ACK,
                         .has_sequence = ask->has_sequence,
                         .sequence = ask->sequence};
    uint8_t octets[64];
    size_t n = 0;

    return x2_write(&ack, octets, sizeof octets, &n) == E_OK && say_plain(p, octets, n);
}

static enum err take_one(const struct lea *l, struct peer *p, size_t *used, char *why)
{
    struct view octets = view_from(p->in, p->n);
    struct cdc_message m;
    struct x2_pdu pdu;
    enum err e = E_OK;

    if (p->channel == CHANNEL_CDC) {
        e = cdc_read(octets, &m, used, why, WHY_BYTES);
        if (e == E_OK) {
            show_call_data(l, &m);
            keep(l, CHANNEL_CDC, p->in, *used);
        }
        return e;
    }
    e = x2_read(octets, &pdu, used, why, WHY_BYTES);
    if (e == E_OK && pdu.type == X2_KEEPALIVE) {
        return answer_keepalive(p, &pdu) ? E_OK : E_IO;
    }
    if (e == E_OK && pdu.type == X2_DATA) {
        show_signaling(l, &pdu);
        keep(l, CHANNEL_X2, p->in, *used);
    }
    return e;
}

static bool take_all(const struct lea *l, struct peer *p)
{
    char why[WHY_BYTES] = "";

    while (p->n > 0) {
        size_t used = 0;
        enum err e = take_one(l, p, &used, why);
        if (e == E_RANGE) {
            break; /* the rest of it comes */
        }
        if (e != E_OK) {
            fprintf(stderr, "headgate-lea: %s: %s\n", channel_names[p->channel], why);
            return false;
        }
        memmove(p->in, p->in + used, p->n - used);
        p->n -= used;
    }
    fflush(stdout);
    return p->n < ROOM;
}

/* ---- connections -------------------------------------------------------------------------------
 */
static void drop(struct peer *p)
{
    close(p->fd);
    tls_conn_free(p->tls);
    p->fd = -1;
    p->tls = NULL;
    p->n = 0;
    p->is_known = false;
}

/* Mutual TLS: who shows no certificate that we believe says nothing here. */
static bool is_known(struct peer *p)
{
    struct tls_names names;

    if (!p->is_known && tls_is_open(p->tls)) {
        if (tls_peer_names(p->tls, &names) != E_OK) {
            fprintf(stderr, "headgate-lea: a peer without a certificate\n");
            return false;
        }
        p->is_known = true;
    }
    return true;
}

static bool take_tls(const struct lea *l, struct peer *p, const char *wire, size_t n)
{
    size_t some = 0;

    if (tls_feed(p->tls, view_from(wire, n)) != E_OK || !is_known(p)) {
        return false;
    }
    do {
        if (ROOM - p->n == 0 || tls_read(p->tls, p->in + p->n, ROOM - p->n, &some) != E_OK) {
            return false;
        }
        p->n += some;
        if (some > 0 && !take_all(l, p)) {
            return false;
        }
    } while (some > 0);
    return true;
}

static void on_readable(const struct lea *l, struct peer *p)
{
    char wire[PLAIN_ROOM];
    ssize_t n = recv(p->fd, wire, sizeof wire, 0);
    bool good = n > 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (good && p->tls != NULL) {
        char out[8192];
        size_t some = 0;
        good = take_tls(l, p, wire, (size_t)n);
        while (tls_drain(p->tls, out, sizeof out, &some) == E_OK && some > 0) {
            good = send(p->fd, out, some, MSG_NOSIGNAL) == (ssize_t)some && good;
        }
    } else if (good) {
        good = (size_t)n <= ROOM - p->n;
        if (good) {
            memcpy(p->in + p->n, wire, (size_t)n);
            p->n += (size_t)n;
            good = take_all(l, p);
        }
    }
    if (!good) {
        drop(p);
    }
}

static void on_accept(struct lea *l, enum channel channel)
{
    int fd = accept4(l->listener[channel], NULL, NULL, SOCK_CLOEXEC);
    struct peer *p = NULL;

    for (size_t i = 0; i < PEERS_MAX; i++) {
        p = p == NULL && l->peer[i].fd < 0 ? &l->peer[i] : p;
    }
    if (fd < 0) {
        return;
    }
    if (p == NULL || (p->in == NULL && (p->in = mem_zalloc(ROOM)) == NULL)) {
        close(fd);
        return;
    }
    p->fd = fd;
    p->channel = channel;
    p->is_known = l->tls == NULL;
    if (l->tls != NULL && tls_accept(l->tls, &p->tls) != E_OK) {
        drop(p);
    }
}

static void run(struct lea *l)
{
    while (ended == 0) {
        struct pollfd p[CHANNELS + PEERS_MAX];
        for (size_t i = 0; i < CHANNELS; i++) {
            p[i] = (struct pollfd){.fd = l->listener[i], .events = POLLIN};
        }
        for (size_t i = 0; i < PEERS_MAX; i++) {
            p[CHANNELS + i] = (struct pollfd){.fd = l->peer[i].fd, .events = POLLIN};
        }
        if (poll(p, CHANNELS + PEERS_MAX, 500) <= 0) {
            continue;
        }
        for (size_t i = 0; i < PEERS_MAX; i++) {
            if (l->peer[i].fd >= 0 && p[CHANNELS + i].revents != 0) {
                on_readable(l, &l->peer[i]);
            }
        }
        for (size_t i = 0; i < CHANNELS; i++) {
            if ((p[i].revents & POLLIN) != 0) {
                on_accept(l, (enum channel)i);
            }
        }
    }
}

/* ---- start -------------------------------------------------------------------------------------
 */
static enum err no_psk(void *arg, struct view identity, struct secret *out)
{
    (void)arg;
    (void)identity;
    (void)out;
    return FAIL(E_NOTFOUND);
}

static enum err open_tls(struct lea *l, const struct tls_files *files)
{
    struct tls_cred *cred = NULL;
    char why[TLS_WHY_MAX] = "";
    enum err e = E_OK;

    if (files->certificate == NULL) {
        return E_OK;
    }
    TRY(tls_cred_load(files, &cred, why));
    TRY(tls_server_ctx(no_psk, NULL, &l->tls));
    TRY(tls_ctx_certify(l->tls, cred));
out:
    if (e != E_OK) {
        fprintf(stderr, "headgate-lea: %s\n", why[0] != 0 ? why : err_text(e));
    }
    tls_cred_free(cred);
    return e;
}

static enum err open_files(struct lea *l)
{
    char path[512];

    if (l->folder == NULL) {
        return E_OK;
    }
    if (mkdir(l->folder, 0700) != 0 && errno != EEXIST) {
        return FAIL(E_IO);
    }
    for (size_t i = 0; i < CHANNELS; i++) {
        snprintf(path, sizeof path, "%s/%s.%s", l->folder, channel_names[i],
                 i == CHANNEL_CDC ? "ber" : "pdu");
        l->kept[i] = fopen(path, "ab");
        if (l->kept[i] == NULL) {
            return FAIL(E_IO);
        }
    }
    return E_OK;
}

static enum err open_listeners(struct lea *l)
{
    enum err e = E_OK;

    for (size_t i = 0; i < CHANNELS; i++) {
        struct net_addr at;
        char text[NET_TEXT_MAX];
        if (l->listen[i].family == 0) {
            continue;
        }
        TRY(net_tcp_listen(&l->listen[i], false, 16, &l->listener[i]));
        TRY(net_local(l->listener[i], &at));
        net_text(&at, text);
        fprintf(stderr, "headgate-lea: %s at %s\n", channel_names[i], text);
    }
out:
    return e;
}

static void usage(void)
{
    puts(
        "usage: headgate-lea [--cdc IP:PORT] [--x2 IP:PORT] [--folder DIR] [--json]\n"
        "                    [--certificate FILE --key FILE --ca FILE]\n"
        "Takes call data (PCESP) and X2 (TS 103 221-2) as an agency does: mutual TLS, or plain on\n"
        "loopback addresses; shows each message, keeps the octets in DIR/cdc.ber and DIR/x2.pdu.\n"
        "example: headgate-lea --cdc 127.0.0.1:9900 --json");
}

static bool read_address(const char *text, struct net_addr *out)
{
    if (net_parse(view_of(text), 0, out) == E_OK && out->family != 0) {
        return true;
    }
    fprintf(stderr, "headgate-lea: '%s' is no address with a port\n", text);
    return false;
}

static int read_options(struct lea *l, struct tls_files *files, int argc, char **argv)
{
    static const struct option all[] = {
        {"cdc", required_argument, NULL, 'd'},         {"x2", required_argument, NULL, 'x'},
        {"folder", required_argument, NULL, 'f'},      {"json", no_argument, NULL, 'j'},
        {"certificate", required_argument, NULL, 'c'}, {"key", required_argument, NULL, 'k'},
        {"ca", required_argument, NULL, 'a'},          {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},           {NULL, 0, NULL, 0}};
    int c = 0;

    while ((c = getopt_long(argc, argv, "", all, NULL)) != -1) {
        switch (c) {
        case 'd':
        case 'x':
            if (!read_address(optarg, &l->listen[c == 'd' ? CHANNEL_CDC : CHANNEL_X2])) {
                return EX_USAGE;
            }
            break;
        case 'f':
            l->folder = optarg;
            break;
        case 'j':
            l->json = true;
            break;
        case 'c':
            files->certificate = optarg;
            break;
        case 'k':
            files->key = optarg;
            break;
        case 'a':
            files->ca = optarg;
            break;
        case 'h':
            usage();
            exit(EX_OK);
        case 'v':
            puts("headgate-lea " HEADGATE_VERSION);
            exit(EX_OK);
        default:
            return EX_USAGE;
        }
    }
    if (optind != argc || (l->listen[0].family == 0 && l->listen[1].family == 0)) {
        usage();
        return EX_USAGE;
    }
    for (size_t i = 0; i < CHANNELS && files->certificate == NULL; i++) {
        if (l->listen[i].family != 0 && !net_is_loopback(&l->listen[i])) {
            fputs("headgate-lea: without a certificate loopback addresses alone\n", stderr);
            return EX_USAGE;
        }
    }
    return EX_OK;
}

static void *take(size_t n)
{
    return mem_zalloc(n != 0 ? n : 1);
}

int main(int argc, char **argv)
{
    struct lea *l = NULL;
    struct tls_files files = {NULL, NULL, NULL};
    struct sigaction end = {.sa_handler = on_end};
    int rc = EX_OK;

    proc_harden();
    json_set_alloc_funcs(take, mem_free);
    l = mem_zalloc(sizeof *l);
    if (l == NULL) {
        return EX_OSERR;
    }
    for (size_t i = 0; i < PEERS_MAX; i++) {
        l->peer[i].fd = -1;
    }
    l->listener[CHANNEL_CDC] = l->listener[CHANNEL_X2] = -1;
    rc = read_options(l, &files, argc, argv);
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    if (rc == EX_OK &&
        (open_tls(l, &files) != E_OK || open_files(l) != E_OK || open_listeners(l) != E_OK)) {
        fputs("headgate-lea: cannot start\n", stderr);
        rc = EX_CANTCREAT;
    }
    if (rc == EX_OK) {
        run(l);
    }
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (l->peer[i].fd >= 0) {
            drop(&l->peer[i]);
        }
        mem_free(l->peer[i].in);
    }
    for (size_t i = 0; i < CHANNELS; i++) {
        if (l->listener[i] >= 0) {
            close(l->listener[i]);
        }
        if (l->kept[i] != NULL) {
            fclose(l->kept[i]);
        }
    }
    tls_ctx_free(l->tls);
    mem_free(l);
    return rc;
}
