/* A delivery against a collection function on loopback: real sockets, real TLS, real time. */
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/clock.h"
#include "lawful_intercept/deliver.h"
#include "lawful_intercept/x2.h"
#include "tests/unit/certs.h"

enum { WAIT_MS = 20000 };

struct world {
    char folder[80];
    struct spool *spool;
    int listener;
    struct net_addr at;
    struct li_delivery *d;
    unsigned steady_ms;
    char got[200000];
    size_t n;
};

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct secret key;
    struct spool_cfg cfg = {.name = "case", .key = &key};
    struct net_addr any = {4, 0, {127, 0, 0, 1}};

    snprintf(w->folder, sizeof w->folder, "/tmp/headgate-deliver.XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    cfg.folder = w->folder;
    assert_int_equal(secret_set(&key, "0123456789abcdef0123456789abcdef", 32), E_OK);
    assert_int_equal(spool_open(&cfg, &w->spool), E_OK);
    assert_int_equal(net_tcp_listen(&any, false, 8, &w->listener), E_OK);
    assert_int_equal(net_local(w->listener, &w->at), E_OK);
    *state = w;
    return 0;
}

static int leave_world(void **state)
{
    struct world *w = *state;
    char command[120];

    li_delivery_stop(w->d, 0);
    spool_close(w->spool);
    close(w->listener);
    snprintf(command, sizeof command, "rm -r %s", w->folder);
    assert_int_equal(system(command), 0);
    free(w);
    return 0;
}

static void start(struct world *w, enum li_protocol protocol, struct tls_ctx *tls)
{
    struct li_delivery_cfg cfg = {.name = "case 1",
                                  .protocol = protocol,
                                  .to = w->at,
                                  .tls = tls,
                                  .spool = w->spool,
                                  .resend_bytes = 1000,
                                  .settle_ms = 1,
                                  .steady_ms = w->steady_ms,
                                  .keepalive_ms = 300};

    if (tls != NULL) {
        assert_int_equal(tls_names_add(&cfg.names, VIEW("cf.example")), E_OK);
    }
    assert_int_equal(li_delivery_start(&cfg, &w->d), E_OK);
}

static void put_at(struct world *w, uint64_t at_us, const char *text)
{
    uint64_t number = 0;

    assert_int_equal(spool_put(w->spool, at_us, view_of(text), &number), E_OK);
    if (w->d != NULL) {
        li_delivery_wake(w->d);
    }
}

static void put(struct world *w, const char *text)
{
    put_at(w, 1, text);
}

static void breathe(void)
{
    IGNORE(poll(NULL, 0, 10) == 0 ? E_OK : E_IO, "a breath between two looks");
}

#define WAIT_UNTIL(condition)                                                                      \
    for (unsigned looks = 0; !(condition); looks++) {                                              \
        assert_true(looks < WAIT_MS / 10);                                                         \
        breathe();                                                                                 \
    }

static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, ms) == 1;
}

static int accept_one(const struct world *w)
{
    int fd = -1;

    assert_true(readable(w->listener, WAIT_MS));
    fd = accept(w->listener, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

/* Octets until there are n. */
static void read_octets(struct world *w, int fd, size_t n)
{
    w->n = 0;
    while (w->n < n) {
        ssize_t some = 0;
        assert_true(readable(fd, WAIT_MS));
        some = recv(fd, w->got + w->n, n - w->n, 0);
        assert_true(some > 0);
        w->n += (size_t)some;
    }
}

static struct li_delivery_facts facts(const struct world *w)
{
    struct li_delivery_facts f;

    li_delivery_facts_of(w->d, &f);
    return f;
}

static void records_arrive_in_order(void **state)
{
    struct world *w = *state;
    int fd = -1;

    put(w, "one ");
    put(w, "two ");
    start(w, LI_CDC_STREAM, NULL);
    fd = accept_one(w);
    put(w, "three");
    read_octets(w, fd, 13);
    assert_memory_equal(w->got, "one two three", 13);
    assert_true(facts(w).is_up && facts(w).connections == 1);
    close(fd);
}

/* What waited for an agency is sent in one go, not a record each time that the thread looks. */
static void what_waited_goes_at_once(void **state)
{
    struct world *w = *state;
    unsigned reads = 0;
    int fd = -1;

    for (unsigned i = 0; i < 1000; i++) {
        put(w, "0123456789");
    }
    start(w, LI_CDC_STREAM, NULL);
    fd = accept_one(w);
    for (w->n = 0; w->n < 10000; reads++) {
        ssize_t some = 0;
        assert_true(readable(fd, WAIT_MS));
        some = recv(fd, w->got + w->n, sizeof w->got - w->n, 0);
        assert_true(some > 0);
        w->n += (size_t)some;
    }
    assert_true(reads < 500);
    close(fd);
}

static void lengths_stand_before_records(void **state)
{
    struct world *w = *state;
    int fd = -1;

    put(w, "one");
    start(w, LI_CDC_COUNTED, NULL);
    fd = accept_one(w);
    read_octets(w, fd, 7);
    assert_memory_equal(w->got, "\0\0\0\3one", 7);
    close(fd);
}

/* What may not have been stored there goes again, nothing of it out of order. */
static void after_a_break_it_goes_again(void **state)
{
    struct world *w = *state;
    int fd = -1;

    put(w, "one ");
    start(w, LI_CDC_STREAM, NULL);
    fd = accept_one(w);
    read_octets(w, fd, 4);
    close(fd);
    put(w, "two ");
    fd = accept_one(w);
    read_octets(w, fd, 8);
    assert_memory_equal(w->got, "one two ", 8);
    close(fd);
}

static void what_lies_far_behind_is_done(void **state)
{
    struct world *w = *state;
    struct spool_facts f;
    int fd = -1, waited = 0;

    start(w, LI_CDC_STREAM, NULL);
    fd = accept_one(w);
    for (unsigned i = 0; i < 100; i++) {
        put(w, "0123456789012345678901234567890123456789"); /* 40 octets, 25 of them for a window */
    }
    read_octets(w, fd, 4000);
    do {
        spool_facts_of(w->spool, &f);
        assert_true(++waited < WAIT_MS);
        IGNORE(poll(NULL, 0, 1) == 0 ? E_OK : E_IO, "a breath between two looks");
    } while (f.done < 75);
    assert_int_equal(f.done, 75);
    close(fd);
    fd = accept_one(w);
    read_octets(w, fd, 1000);
    assert_false(readable(fd, 0) && recv(fd, w->got, 1, MSG_PEEK) > 0);
    close(fd);
}

static void x2_keepalives_are_answered_or_it_ends(void **state)
{
    struct world *w = *state;
    struct x2_pdu p, ack = {.type = X2_KEEPALIVE_ACK, .has_sequence = true};
    char why[128], octets[64];
    size_t used = 0, n = 0;
    int fd = -1, next = -1;

    start(w, LI_X2, NULL);
    fd = accept_one(w);
    for (uint32_t i = 1; i <= 3; i++) {
        read_octets(w, fd, 48);
        assert_int_equal(x2_read(view_from(w->got, 48), &p, &used, why, sizeof why), E_OK);
        assert_true(p.type == X2_KEEPALIVE && p.sequence == i);
        ack.sequence = i;
        assert_int_equal(x2_write(&ack, octets, sizeof octets, &n), E_OK);
        assert_int_equal(send(fd, octets, n, 0), n);
    }
    read_octets(w, fd, 48); /* and this one is not answered */
    next = accept_one(w);
    assert_int_equal(recv(fd, octets, 1, 0), 0);
    assert_string_equal(facts(w).why, "no answer to a keepalive");
    close(fd);
    close(next);
}

static void a_peer_that_talks_is_dropped(void **state)
{
    struct world *w = *state;
    int fd = -1, next = -1;
    char octets[100] = "GET / HTTP/1.1\r\n\r\n is no answer to a keepalive by any means";

    start(w, LI_X2, NULL);
    fd = accept_one(w);
    assert_int_equal(send(fd, octets, sizeof octets, 0), sizeof octets);
    next = accept_one(w);
    close(fd);
    close(next);
}

/* There is a connection, and the peer does not read: that waits, and so does what comes later. */
static void what_a_peer_does_not_read_waits(void **state)
{
    struct world *w = *state;
    char octets[10000];
    uint64_t number = 0, first = 0;
    int fd = -1, small = 4096;

    memset(octets, 'x', sizeof octets);
    assert_int_equal(setsockopt(w->listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    start(w, LI_CDC_STREAM, NULL);
    fd = accept_one(w);
    /* what both kernels take is bounded: at some record it stops */
    for (unsigned i = 1; i <= 1200; i++) {
        assert_int_equal(spool_put(w->spool, i, view_from(octets, sizeof octets), &number), E_OK);
    }
    li_delivery_wake(w->d);
    WAIT_UNTIL(facts(w).oldest_us > 0);
    for (unsigned still = 0; still < 50; still++) { /* until it moves no more */
        uint64_t now = facts(w).oldest_us;
        still = now == first ? still : 0;
        first = now;
        breathe();
    }
    assert_true(facts(w).is_up && first < 1200 && facts(w).confirmed < 1200);
    for (size_t n = 0; n < 1200 * sizeof octets;) {
        ssize_t some = 0;
        assert_true(readable(fd, WAIT_MS));
        some = recv(fd, w->got, sizeof w->got, 0);
        assert_true(some > 0);
        n += (size_t)some;
    }
    WAIT_UNTIL(facts(w).oldest_us == 0 && facts(w).confirmed == 1200);
    close(fd);
}

/* A break, and nothing new: what goes again was there already, and nobody needs to be alarmed. */
static void what_goes_again_does_not_wait(void **state)
{
    struct world *w = *state;
    int fd = -1;

    w->steady_ms = 1;
    put(w, "one ");
    start(w, LI_CDC_STREAM, NULL);
    fd = accept_one(w);
    read_octets(w, fd, 4);
    WAIT_UNTIL(facts(w).confirmed == 1);
    breathe(); /* longer than steady_ms */
    close(w->listener);
    close(fd);
    WAIT_UNTIL(!facts(w).is_up);
    assert_int_equal(facts(w).oldest_us, 0);
    put_at(w, 77, "two ");
    WAIT_UNTIL(facts(w).oldest_us == 77);
    assert_int_equal(net_tcp_listen(&w->at, false, 8, &w->listener), E_OK);
    fd = accept_one(w);
    read_octets(w, fd, 8);
    assert_memory_equal(w->got, "one two ", 8);
    WAIT_UNTIL(facts(w).oldest_us == 0);
    close(fd);
}

/* Who drops a connection at once may not have read what his kernel took. */
static void what_a_bad_connection_took_waits_again(void **state)
{
    struct world *w = *state;
    int fd = -1;

    put_at(w, 77, "one ");
    start(w, LI_CDC_STREAM, NULL);
    fd = accept_one(w);
    WAIT_UNTIL(facts(w).confirmed == 1);
    assert_int_equal(facts(w).oldest_us, 0);
    close(w->listener);
    close(fd);
    WAIT_UNTIL(facts(w).oldest_us == 77);
    assert_int_equal(net_tcp_listen(&w->at, false, 8, &w->listener), E_OK);
    fd = accept_one(w);
    read_octets(w, fd, 4);
    WAIT_UNTIL(facts(w).oldest_us == 0);
    close(fd);
}

/* Who takes connections and drops them is tried less and less often. */
static void fast_reconnects_slow_down(void **state)
{
    struct world *w = *state;
    uint64_t before = 0, took = 0;

    put(w, "x");
    start(w, LI_CDC_STREAM, NULL);
    for (unsigned i = 0; i < 5; i++) {
        close(accept_one(w));
        took = clock_mono_ms(clock_system()) - before;
        before = clock_mono_ms(clock_system());
        assert_true(i == 0 || took + 20 >= 100u << (i - 1)); /* 100, 200, 400, 800 ms */
    }
    assert_true(facts(w).connections <= 5);
}

static void who_talks_without_end_is_dropped(void **state)
{
    struct world *w = *state;
    char octets[4096] = "";
    int fd = -1, next = -1;
    size_t said = 0;

    start(w, LI_CDC_STREAM, NULL);
    fd = accept_one(w);
    while (send(fd, octets, sizeof octets, MSG_NOSIGNAL) > 0) {
        said += sizeof octets;
        assert_true(said < 100 << 20);
    }
    next = accept_one(w);
    assert_string_equal(facts(w).why, "the peer says more than it has to");
    close(fd);
    close(next);
}

static void many_end_together(void **state)
{
    struct world *w = *state;
    int fd = -1;

    put(w, "x");
    start(w, LI_CDC_STREAM, NULL);
    fd = accept_one(w);
    read_octets(w, fd, 1);
    li_delivery_ask_stop(w->d, 20000);
    WAIT_UNTIL(li_delivery_is_over(w->d)); /* nothing is left to send: not 20 s */
    close(fd);
}

static void plain_leaves_no_machine(void **state)
{
    struct world *w = *state;
    struct li_delivery_cfg cfg = {.name = "x", .to = {4, 9, {192, 0, 2, 1}}, .spool = w->spool};
    struct li_delivery *d = NULL;

    assert_int_equal(li_delivery_start(&cfg, &d), E_DENIED);
}

/* ---- TLS ---------------------------------------------------------------------------------------
 */
static enum err no_psk(void *arg, struct view identity, struct secret *out)
{
    (void)arg;
    (void)identity;
    (void)out;
    return FAIL(E_NOTFOUND);
}

static struct tls_ctx *context(struct world *w, const struct cert *ca, const char *cn, bool server)
{
    struct cert c = cert_make(&(struct cert_spec){
        .cn = cn, .san = server ? "DNS:cf.example" : "DNS:li.example", .issuer = ca});
    char ca_path[100], cert_path[100], key_path[100], why[TLS_WHY_MAX];
    struct tls_files files = {cert_path, key_path, ca_path};
    struct tls_cred *cred = NULL;
    struct tls_ctx *ctx = NULL;

    snprintf(ca_path, sizeof ca_path, "%s/ca", w->folder);
    snprintf(cert_path, sizeof cert_path, "%s/c", w->folder);
    snprintf(key_path, sizeof key_path, "%s/k", w->folder);
    cert_write(&c, cert_path, key_path);
    cert_free(&c);
    assert_int_equal(tls_cred_load(&files, &cred, why), E_OK);
    assert_int_equal(server ? tls_server_ctx(no_psk, NULL, &ctx) : tls_client_ctx(&ctx), E_OK);
    assert_int_equal(tls_ctx_certify(ctx, cred), E_OK);
    tls_cred_free(cred);
    return ctx;
}

/* The peer's end of one connection, until it has n octets of plain text or TLS fails. */
static enum err serve(struct world *w, int fd, struct tls_conn *s, size_t n)
{
    enum err e = E_OK;

    w->n = 0;
    while (e == E_OK && w->n < n) {
        char wire[20000];
        size_t some = 0;
        ssize_t got = 0;
        assert_true(readable(fd, WAIT_MS));
        got = recv(fd, wire, sizeof wire, 0);
        if (got <= 0) {
            return E_IO;
        }
        e = tls_feed(s, view_from(wire, (size_t)got));
        while (tls_drain(s, wire, sizeof wire, &some) == E_OK && some > 0) {
            assert_int_equal(send(fd, wire, some, MSG_NOSIGNAL), some);
        }
        while (e == E_OK && tls_read(s, w->got + w->n, sizeof w->got - w->n, &some) == E_OK &&
               some > 0) {
            w->n += some;
        }
    }
    return e;
}

static void over_mutual_tls(void **state)
{
    struct world *w = *state;
    struct cert ca = cert_make(&(struct cert_spec){.cn = "CA", .is_ca = true});
    char ca_path[100];
    struct tls_ctx *client = NULL, *server = NULL;
    struct tls_conn *s = NULL;
    struct tls_names names;
    int fd = -1;

    snprintf(ca_path, sizeof ca_path, "%s/ca", w->folder);
    cert_write(&ca, ca_path, NULL);
    client = context(w, &ca, "li", false);
    server = context(w, &ca, "cf", true);
    for (unsigned i = 0; i < 1000; i++) {
        put(w, "0123456789012345678901234567890123456789012345678901234567890123456789"
               "012345678901234567890123456789");
    }
    start(w, LI_CDC_STREAM, client);
    fd = accept_one(w);
    assert_int_equal(tls_accept(server, &s), E_OK);
    assert_int_equal(serve(w, fd, s, 100000), E_OK);
    assert_int_equal(w->n, 100000);
    assert_memory_equal(w->got + 99900, "0123456789", 10);
    assert_int_equal(tls_peer_names(s, &names), E_OK);
    assert_true(tls_names_have(&names, VIEW("li.example")));
    tls_conn_free(s);
    close(fd);
    tls_ctx_free(client);
    tls_ctx_free(server);
    cert_free(&ca);
}

/* The agency does not take our certificate: TLS 1.3 says so when we are open already. */
static void an_agency_that_refuses_us_is_an_alarm(void **state)
{
    struct world *w = *state;
    struct cert ca = cert_make(&(struct cert_spec){.cn = "CA", .is_ca = true});
    struct cert rogue = cert_make(&(struct cert_spec){.cn = "CA", .is_ca = true});
    char ca_path[100];
    struct tls_ctx *client = NULL, *server = NULL;
    struct tls_conn *s = NULL;
    int fd = -1;

    snprintf(ca_path, sizeof ca_path, "%s/ca", w->folder);
    cert_write(&ca, ca_path, NULL);
    client = context(w, &rogue, "li", false);
    server = context(w, &ca, "cf", true);
    put(w, "secret");
    start(w, LI_CDC_STREAM, client);
    fd = accept_one(w);
    assert_int_equal(tls_accept(server, &s), E_OK);
    assert_true(serve(w, fd, s, 1) != E_OK);
    assert_int_equal(w->n, 0);
    WAIT_UNTIL(facts(w).is_refused && facts(w).oldest_us == 1);
    assert_string_equal(facts(w).why, "the peer does not take our certificate");
    tls_conn_free(s);
    close(fd);
    tls_ctx_free(client);
    tls_ctx_free(server);
    cert_free(&ca);
    cert_free(&rogue);
}

static void a_wrong_certificate_gets_nothing(void **state)
{
    struct world *w = *state;
    struct cert ca = cert_make(&(struct cert_spec){.cn = "CA", .is_ca = true});
    struct cert rogue = cert_make(&(struct cert_spec){.cn = "CA", .is_ca = true});
    char ca_path[100];
    struct tls_ctx *client = NULL, *server = NULL;
    struct tls_conn *s = NULL;
    int fd = -1, next = -1;

    snprintf(ca_path, sizeof ca_path, "%s/ca", w->folder);
    cert_write(&ca, ca_path, NULL);
    client = context(w, &ca, "li", false);
    server = context(w, &rogue, "cf", true);
    put(w, "secret");
    start(w, LI_CDC_STREAM, client);
    fd = accept_one(w);
    assert_int_equal(tls_accept(server, &s), E_OK);
    assert_true(serve(w, fd, s, 1) != E_OK);
    assert_int_equal(w->n, 0);
    next = accept_one(w); /* it tries again, later */
    assert_false(facts(w).is_up);
    assert_true(facts(w).is_refused && facts(w).oldest_us == 1);
    assert_string_equal(facts(w).why, "the peer's certificate is not the agency's");
    tls_conn_free(s);
    close(fd);
    close(next);
    tls_ctx_free(client);
    tls_ctx_free(server);
    cert_free(&ca);
    cert_free(&rogue);
}

int main(void)
{
#define IN_WORLD(f) cmocka_unit_test_setup_teardown(f, make_world, leave_world)
    const struct CMUnitTest tests[] = {
        IN_WORLD(records_arrive_in_order),
        IN_WORLD(what_waited_goes_at_once),
        IN_WORLD(lengths_stand_before_records),
        IN_WORLD(after_a_break_it_goes_again),
        IN_WORLD(what_lies_far_behind_is_done),
        IN_WORLD(x2_keepalives_are_answered_or_it_ends),
        IN_WORLD(a_peer_that_talks_is_dropped),
        IN_WORLD(what_a_peer_does_not_read_waits),
        IN_WORLD(what_goes_again_does_not_wait),
        IN_WORLD(what_a_bad_connection_took_waits_again),
        IN_WORLD(fast_reconnects_slow_down),
        IN_WORLD(who_talks_without_end_is_dropped),
        IN_WORLD(many_end_together),
        IN_WORLD(plain_leaves_no_machine),
        IN_WORLD(over_mutual_tls),
        IN_WORLD(a_wrong_certificate_gets_nothing),
        IN_WORLD(an_agency_that_refuses_us_is_an_alarm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
