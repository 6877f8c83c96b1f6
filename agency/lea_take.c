/* Takes call data and X2 from carriers. Nothing that it is sent can hurt it but to end its own
 * connection: what is in the wrong form, too long, or does not take our answers ends it; who does
 * not prove himself within seconds goes, first of all when room is short. One thread, no waits. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "agency/lea.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/tls.h"

enum { PEERS_MAX = 1000, ROOM_FIRST = 8 * 1024, PLAIN_ROOM = 17 * 1024, STRANGER_MS = 10000 };
enum { PAUSE_MS = 1000, POLL_MS = 500 };

struct peer {
    int fd; /* -1: free */
    enum lea_channel channel;
    struct tls_conn *tls;
    bool is_known; /* it proved itself, or nobody asks */
    uint64_t since_ms;
    char *in;
    size_t n, room;
};

struct taker {
    const struct lea_take *cfg;
    int listener[LEA_CHANNELS]; /* -1: none */
    uint64_t listen_again_ms;   /* no file descriptor was free */
    struct tls_ctx *tls;        /* NULL: plain */
    struct ladder *ladder;
    FILE *kept[LEA_CHANNELS];
    struct peer peer[PEERS_MAX];
};

static volatile sig_atomic_t ended;

static void on_end(int number)
{
    (void)number;
    ended = 1;
}

/* ---- messages ----------------------------------------------------------------------------------
 */
static void keep(const struct taker *t, const struct lea_message *m)
{
    FILE *f = t->kept[m->channel];

    if (f != NULL && (fwrite(m->octets.p, 1, m->octets.n, f) != m->octets.n || fflush(f) != 0)) {
        fprintf(stderr, "headgate-lea: %s: cannot be written\n", lea_channel_name(m->channel));
    }
}

/* False: the connection is to end, also when the peer does not take what we say. */
static bool send_tls(const struct peer *p)
{
    char wire[8192];
    size_t n = 0;
    enum err e = E_OK;

    while ((e = tls_drain(p->tls, wire, sizeof wire, &n)) == E_OK && n > 0) {
        if (send(p->fd, wire, n, MSG_NOSIGNAL) != (ssize_t)n) {
            return false;
        }
    }
    return e == E_OK;
}

static bool say(struct peer *p, const void *octets, size_t n)
{
    if (p->tls == NULL) {
        return send(p->fd, octets, n, MSG_NOSIGNAL) == (ssize_t)n;
    }
    return tls_write(p->tls, view_from(octets, n)) == E_OK && send_tls(p);
}

static bool answer_keepalive(struct peer *p, const struct x2_pdu *ask)
{
    struct x2_pdu ack = {.version = ask->version,
                         .type = X2_KEEPALIVE_ACK,
                         .has_sequence = ask->has_sequence,
                         .sequence = ask->sequence};
    uint8_t octets[64];
    size_t n = 0;

    return x2_write(&ack, octets, sizeof octets, &n) == E_OK && say(p, octets, n);
}

static bool take_one(const struct taker *t, struct peer *p, const struct lea_message *m)
{
    if (m->channel == LEA_X2 && m->x2.type == X2_KEEPALIVE) {
        return answer_keepalive(p, &m->x2);
    }
    if (m->channel == LEA_CDC || m->x2.type == X2_DATA) {
        ladder_live(t->ladder, m);
        keep(t, m);
    }
    return true;
}

static bool take_all(const struct taker *t, struct peer *p)
{
    size_t used = 0;
    bool good = true;

    while (good && used < p->n) {
        struct lea_message m;
        char why[LEA_WHY] = "";
        enum err e = lea_read(p->channel, view_from(p->in + used, p->n - used), &m, why);
        if (e == E_RANGE) {
            break; /* the rest of it comes */
        }
        if (e != E_OK) {
            fprintf(stderr, "headgate-lea: %s: %s\n", lea_channel_name(p->channel), why);
            return false;
        }
        good = take_one(t, p, &m);
        used += m.octets.n;
    }
    memmove(p->in, p->in + used, p->n - used);
    p->n -= used;
    fflush(stdout);
    return good;
}

/* ---- connections -------------------------------------------------------------------------------
 */
static void drop(struct peer *p)
{
    close(p->fd);
    tls_conn_free(p->tls);
    mem_free(p->in);
    *p = (struct peer){.fd = -1};
}

/* Room for more of one message; false: it is longer than any. */
static bool make_room(struct peer *p)
{
    size_t room = p->room != 0 ? 2 * p->room : ROOM_FIRST;
    char *in = NULL;

    if (p->n < p->room) {
        return true;
    }
    in = room <= LEA_MESSAGE_MAX ? mem_resize(p->in, room) : NULL;
    if (in == NULL) {
        return false;
    }
    p->in = in;
    p->room = room;
    return true;
}

static bool take_plain(const struct taker *t, struct peer *p, struct view octets)
{
    while (octets.n > 0) {
        size_t n = 0;
        if (!make_room(p)) {
            return false;
        }
        n = octets.n < p->room - p->n ? octets.n : p->room - p->n;
        memcpy(p->in + p->n, octets.p, n);
        p->n += n;
        octets = view_sub(octets, n, octets.n);
        if (!take_all(t, p)) {
            return false;
        }
    }
    return true;
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

static bool take_tls(const struct taker *t, struct peer *p, struct view wire)
{
    char plain[PLAIN_ROOM];
    size_t n = 0;
    bool good = tls_feed(p->tls, wire) == E_OK;

    good = send_tls(p) && good && is_known(p);
    while (good) {
        good = tls_read(p->tls, plain, sizeof plain, &n) == E_OK;
        if (n == 0 || !good) {
            break;
        }
        good = take_plain(t, p, view_from(plain, n));
    }
    return good;
}

static void on_readable(const struct taker *t, struct peer *p)
{
    char wire[PLAIN_ROOM];
    ssize_t n = recv(p->fd, wire, sizeof wire, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0 || !(p->tls != NULL ? take_tls(t, p, view_from(wire, (size_t)n))
                                   : take_plain(t, p, view_from(wire, (size_t)n)))) {
        drop(p);
    }
}

/* A free place; else that of whoever has been a stranger for longest. NULL: all are known. */
static struct peer *take_place(struct taker *t)
{
    struct peer *oldest = NULL;

    for (size_t i = 0; i < PEERS_MAX; i++) {
        struct peer *p = &t->peer[i];
        if (p->fd < 0) {
            return p;
        }
        if (!p->is_known && (oldest == NULL || p->since_ms < oldest->since_ms)) {
            oldest = p;
        }
    }
    if (oldest != NULL) {
        drop(oldest);
    }
    return oldest;
}

static void on_accept(struct taker *t, enum lea_channel channel, uint64_t now_ms)
{
    int fd = accept4(t->listener[channel], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct peer *p = fd >= 0 ? take_place(t) : NULL;

    if (fd < 0) {
        t->listen_again_ms = errno == EMFILE || errno == ENFILE ? now_ms + PAUSE_MS : 0;
        return;
    }
    if (p == NULL) {
        close(fd);
        return;
    }
    *p =
        (struct peer){.fd = fd, .channel = channel, .is_known = t->tls == NULL, .since_ms = now_ms};
    if (t->tls != NULL && tls_accept(t->tls, &p->tls) != E_OK) {
        drop(p);
    }
}

static void drop_strangers(struct taker *t, uint64_t now_ms)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        struct peer *p = &t->peer[i];
        if (p->fd >= 0 && !p->is_known && now_ms - p->since_ms > STRANGER_MS) {
            drop(p);
        }
    }
}

static void run(struct taker *t)
{
    static struct pollfd p[LEA_CHANNELS + PEERS_MAX];

    while (ended == 0) {
        uint64_t now_ms = clock_mono_ms(clock_system());
        bool listens = now_ms >= t->listen_again_ms;
        for (size_t i = 0; i < LEA_CHANNELS; i++) {
            p[i] = (struct pollfd){.fd = listens ? t->listener[i] : -1, .events = POLLIN};
        }
        for (size_t i = 0; i < PEERS_MAX; i++) {
            p[LEA_CHANNELS + i] = (struct pollfd){.fd = t->peer[i].fd, .events = POLLIN};
        }
        drop_strangers(t, now_ms);
        if (poll(p, LEA_CHANNELS + PEERS_MAX, POLL_MS) <= 0) {
            continue;
        }
        for (size_t i = 0; i < PEERS_MAX; i++) {
            if (t->peer[i].fd >= 0 && p[LEA_CHANNELS + i].fd == t->peer[i].fd &&
                p[LEA_CHANNELS + i].revents != 0) {
                on_readable(t, &t->peer[i]);
            }
        }
        for (size_t i = 0; i < LEA_CHANNELS; i++) {
            if ((p[i].revents & POLLIN) != 0) {
                on_accept(t, (enum lea_channel)i, now_ms);
            }
        }
    }
}

/* ---- start and end -----------------------------------------------------------------------------
 */
static enum err no_psk(void *arg, struct view identity, struct secret *out)
{
    (void)arg;
    (void)identity;
    (void)out;
    return FAIL(E_NOTFOUND);
}

static enum err open_tls(struct taker *t)
{
    struct tls_cred *cred = NULL;
    char why[TLS_WHY_MAX] = "";
    enum err e = E_OK;

    if (t->cfg->files.certificate == NULL) {
        return E_OK;
    }
    TRY(tls_cred_load(&t->cfg->files, &cred, why));
    TRY(tls_server_ctx(no_psk, NULL, &t->tls));
    TRY(tls_ctx_certify(t->tls, cred));
out:
    if (e != E_OK) {
        fprintf(stderr, "headgate-lea: %s\n", why[0] != 0 ? why : err_text(e));
    }
    tls_cred_free(cred);
    return e;
}

static enum err open_files(struct taker *t)
{
    char path[1024];

    if (t->cfg->folder == NULL) {
        return E_OK;
    }
    if (mkdir(t->cfg->folder, 0700) != 0 && errno != EEXIST) {
        fprintf(stderr, "headgate-lea: %s: %s\n", t->cfg->folder, strerror(errno));
        return FAIL(E_IO);
    }
    for (size_t i = 0; i < LEA_CHANNELS; i++) {
        if (lea_kept_mend(t->cfg->folder, (enum lea_channel)i) != E_OK) {
            return FAIL(E_IO);
        }
        lea_kept_path(t->cfg->folder, (enum lea_channel)i, path, sizeof path);
        t->kept[i] = fopen(path, "abe");
        if (t->kept[i] == NULL) {
            fprintf(stderr, "headgate-lea: %s: %s\n", path, strerror(errno));
            return FAIL(E_IO);
        }
        setvbuf(t->kept[i], NULL, _IONBF, 0); /* each message in one write */
    }
    return E_OK;
}

static enum err open_listeners(struct taker *t)
{
    enum err e = E_OK;

    for (size_t i = 0; i < LEA_CHANNELS; i++) {
        struct net_addr at;
        char text[NET_TEXT_MAX];
        if (t->cfg->listen[i].family == 0) {
            continue;
        }
        net_text(&t->cfg->listen[i], text);
        e = net_tcp_listen(&t->cfg->listen[i], false, 128, &t->listener[i]);
        if (e != E_OK) {
            fprintf(stderr, "headgate-lea: %s: %s\n", text, strerror(errno));
            return e;
        }
        TRY(net_local(t->listener[i], &at));
        net_text(&at, text);
        fprintf(stderr, "headgate-lea: %s at %s\n", lea_channel_name((enum lea_channel)i), text);
    }
out:
    return e;
}

static void use_all_descriptors(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static void taker_free(struct taker *t)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (t->peer[i].fd >= 0) {
            drop(&t->peer[i]);
        }
    }
    for (size_t i = 0; i < LEA_CHANNELS; i++) {
        if (t->listener[i] >= 0) {
            close(t->listener[i]);
        }
        if (t->kept[i] != NULL) {
            fclose(t->kept[i]);
        }
    }
    tls_ctx_free(t->tls);
    ladder_free(t->ladder);
    mem_free(t);
}

int lea_take(const struct lea_take *cfg)
{
    struct sigaction end = {.sa_handler = on_end};
    struct taker *t = mem_zalloc(sizeof *t);
    int rc = EX_OK;

    if (t == NULL) {
        return EX_OSERR;
    }
    t->cfg = cfg;
    t->listener[LEA_CDC] = t->listener[LEA_X2] = -1;
    for (size_t i = 0; i < PEERS_MAX; i++) {
        t->peer[i].fd = -1;
    }
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    use_all_descriptors();
    if (ladder_new(cfg->json, &t->ladder) != E_OK || open_tls(t) != E_OK || open_files(t) != E_OK ||
        open_listeners(t) != E_OK) {
        fputs("headgate-lea: cannot start\n", stderr);
        rc = EX_CANTCREAT;
    } else {
        run(t);
    }
    taker_free(t);
    return rc;
}
