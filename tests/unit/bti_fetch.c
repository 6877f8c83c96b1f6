/* Sessions over real sockets, from a provisioning server's own state machine: fail-over, a stale
 * counter, revocation, silence; and the control channel's limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "bti/control.h"
#include "bti/fetch.h"
#include "provisioning/session_ps.h"

#define NOW 1700000000000000ull

static struct {
    char dir[64], root_pem[96], ps_pem[96], other_pem[96], store[96];
    struct p256_key root_key, ps_key, user;
    struct pki_chain chain;
    struct clock_fake clock;
    struct loop *loop;
    struct pki_root *root;
    struct store *s;
} t;

enum kind { SERVES, REVOKED, BARRED, SILENT, CLOSES, BABBLES, BUSY };

struct server { /* takes one connection after the other */
    enum kind kind;
    int fd, conn;
    struct net_addr at;
    struct loop_io *io, *conn_io;
    struct session_ps *ps;
    uint64_t last_counter;
    unsigned asked;
    uint8_t in[WIRE_FRAME_MAX];
    size_t n;
    struct enrol_out out;
    struct session_keys keys;
};

static int setup(void **state)
{
    struct pki_subject ca = {"root", NULL, NOW - 1000000, 100};
    struct pki_subject ps = {"ps", "ps.example", NOW - 1000000, 3};
    struct p256_key other;
    (void)state;
    strcpy(t.dir, "/tmp/btifetchXXXXXX");
    assert_non_null(mkdtemp(t.dir));
    snprintf(t.root_pem, sizeof t.root_pem, "%s/root.pem", t.dir);
    snprintf(t.ps_pem, sizeof t.ps_pem, "%s/ps.pem", t.dir);
    snprintf(t.other_pem, sizeof t.other_pem, "%s/other.pem", t.dir);
    snprintf(t.store, sizeof t.store, "%s/store", t.dir);
    assert_int_equal(p256_generate(&t.root_key), E_OK);
    assert_int_equal(p256_generate(&t.ps_key), E_OK);
    assert_int_equal(p256_generate(&t.user), E_OK);
    assert_int_equal(p256_generate(&other), E_OK);
    assert_int_equal(pki_make_root(&ca, &t.root_key, t.root_pem), E_OK);
    assert_int_equal(pki_make_root(&ca, &other, t.other_pem), E_OK);
    assert_int_equal(pki_issue(t.root_pem, &t.root_key, &ps, PKI_PS, t.ps_key.pub, t.ps_pem), E_OK);
    assert_int_equal(pki_chain_load(t.ps_pem, &t.chain), E_OK);
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"root.pem", "ps.pem", "other.pem", "store", "store.lock"};
    char name[128];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(name, sizeof name, "%s/%s", t.dir, names[i]);
        unlink(name);
    }
    return rmdir(t.dir);
}

static int begin(void **state)
{
    (void)state;
    clock_fake_init(&t.clock, NOW);
    assert_int_equal(loop_new(&t.clock.clock, &t.loop), E_OK);
    assert_int_equal(pki_root_load(t.root_pem, &t.root), E_OK);
    assert_int_equal(store_new(t.store, NULL, &t.s), E_OK);
    struct store_data *d = &t.s->d;
    d->kind = KEY_P256;
    d->k_u = t.user;
    struct secret *parts[] = {&d->ltk.enc_up, &d->ltk.mac_up, &d->ltk.enc_down, &d->ltk.mac_down};
    for (size_t i = 0; i < 4; i++) {
        parts[i]->n = 16;
        memset(parts[i]->b, 'a' + (int)i, 16);
    }
    d->ack.gates = (struct enrol_texts){1, {"127.0.0.1:5060"}};
    strcpy(d->domain, "x.test");
    strcpy(d->root, "root");
    d->root_n = 4;
    assert_int_equal(store_save(t.s), E_OK);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    store_free(t.s);
    pki_root_free(t.root);
    loop_free(t.loop);
    return 0;
}

/* ---- a provisioning server ---- */
static void hang_up(struct server *v)
{
    loop_io_stop(v->conn_io);
    v->conn_io = NULL;
    if (v->conn >= 0) {
        close(v->conn);
    }
    v->conn = -1;
    session_ps_free(v->ps);
    v->ps = NULL;
    v->n = 0;
}

static void decide(struct server *v)
{
    struct session_row row = {.known = true,
                              .revoked = v->kind == REVOKED,
                              .barred = v->kind == BARRED,
                              .last_counter = v->last_counter};
    struct session_grant grant = {.lifetime_s = 100, .now_us = NOW};
    uint16_t code = 0;
    memcpy(row.key.pub, t.user.pub, sizeof row.key.pub);
    row.key.kind = KEY_P256;
    row.ltk = t.s->d.ltk;
    memcpy(grant.kid, "kidkidkidkidkid1", 16);
    grant.gates = (struct enrol_texts){2, {"127.0.0.7:5060", "127.0.0.8:5060"}};
    if (v->kind == BUSY) {
        assert_int_equal(session_ps_refuse(v->ps, CODE_BUSY, &v->out), E_OK);
        return;
    }
    assert_int_equal(session_ps_decide(v->ps, &row, &grant, &code, &v->keys, &v->out), E_OK);
}

static void on_conn(void *arg, int fd, unsigned events)
{
    struct server *v = arg;
    size_t n = 0;
    (void)events;
    ssize_t got = recv(fd, v->in + v->n, sizeof v->in - v->n, 0);
    if (got <= 0) {
        hang_up(v);
        return;
    }
    v->n += (size_t)got;
    if (v->kind == SILENT || wire_cut(view_from(v->in, v->n), &n) != E_OK) {
        return;
    }
    if (v->kind == CLOSES || v->kind == BABBLES) {
        if (v->kind == BABBLES) {
            assert_int_equal(send(fd, "HTTP/1.1 400 Bad Request\r\n", 26, 0), 26);
        }
        hang_up(v);
        return;
    }
    assert_int_equal(session_ps_feed(v->ps, view_from(v->in, n), &v->out), E_OK);
    v->n = 0;
    if (v->out.event == SPS_REQUEST) {
        decide(v);
    }
    if (v->out.n > 0) {
        assert_int_equal(send(fd, v->out.b, v->out.n, 0), (ssize_t)v->out.n);
    }
    if (v->out.ended) {
        hang_up(v);
    }
}

static void on_listen(void *arg, int fd, unsigned events)
{
    struct server *v = arg;
    static struct enrol_ps_cfg cfg;
    (void)events;
    cfg = (struct enrol_ps_cfg){.chain = &t.chain, .key = &t.ps_key};
    hang_up(v);
    v->conn = accept(fd, NULL, NULL);
    assert_true(v->conn >= 0);
    v->asked++;
    assert_int_equal(session_ps_new(&cfg, &v->ps), E_OK);
    assert_int_equal(loop_io_start(t.loop, v->conn, LOOP_READ, on_conn, v, &v->conn_io), E_OK);
}

static void serve(struct server *v, enum kind kind, const char *ip)
{
    struct net_addr a;
    memset(v, 0, sizeof *v);
    v->kind = kind;
    v->conn = -1;
    assert_int_equal(net_parse(view_of(ip), 0, &a), E_OK);
    a.port = 0;
    assert_int_equal(net_tcp_listen(&a, false, 8, &v->fd), E_OK);
    assert_int_equal(net_local(v->fd, &v->at), E_OK);
    assert_int_equal(loop_io_start(t.loop, v->fd, LOOP_READ, on_listen, v, &v->io), E_OK);
    struct enrol_texts *all = &t.s->d.ack.servers;
    net_text(&v->at, all->v[all->n++]);
    assert_int_equal(store_save(t.s), E_OK);
}

static void stop(struct server *v)
{
    hang_up(v);
    loop_io_stop(v->io);
    close(v->fd);
    session_keys_wipe(&v->keys);
}

/* ---- the one who asks ---- */
struct asked {
    bool done;
    struct session *s;
    enum bti_exit code;
    char why[256];
};

static void on_done(void *arg, struct session *s, enum bti_exit code, const char *why)
{
    struct asked *a = arg;
    assert_false(a->done); /* once */
    a->done = true;
    a->s = s;
    a->code = code;
    snprintf(a->why, sizeof a->why, "%s", why);
}

static struct asked ask(const struct pki_root *root, const char *local)
{
    struct asked a = {.done = false};
    struct fetch_cfg cfg = {.store = t.s, .root = root, .done = on_done, .arg = &a};
    struct fetch *f = NULL;
    assert_int_equal(net_parse_ip(view_of(local), &cfg.local), E_OK);
    assert_int_equal(fetch_start(t.loop, &cfg, &f), E_OK);
    assert_false(a.done);
    for (int i = 0; i < 6000 && !a.done; i++) {
        loop_run_once(t.loop, false);
        if (i % 200 == 199) { /* nothing moves any more: time does */
            loop_advance(t.loop, &t.clock, 1000);
        }
    }
    assert_true(a.done);
    fetch_cancel(f);
    assert_int_equal(loop_timers(t.loop), 0);
    return a;
}

static void granted(void **state)
{
    struct server v;
    (void)state;
    serve(&v, SERVES, "127.0.0.1:0");
    struct asked a = ask(t.root, "127.0.0.5");
    assert_non_null(a.s);
    assert_memory_equal(a.s->kid, "kidkidkidkidkid1", 16);
    assert_true(secret_eq(&a.s->keys.mac_up, &v.keys.mac_up));
    assert_true(secret_eq(&a.s->keys.tls_psk, &v.keys.tls_psk));
    assert_int_equal(a.s->next_seq, 1);
    assert_string_equal(a.s->gates.v[1], "127.0.0.8:5060");
    assert_true(a.s->expires_us >= NOW + 100000000 && a.s->expires_us < NOW + 110000000);
    session_free(a.s);
    stop(&v);
}

static void symmetric_key_signs_nothing(void **state)
{
    struct server v;
    (void)state;
    t.s->d.kind = KEY_SYMMETRIC;
    t.s->d.shared.n = 64;
    assert_int_equal(store_save(t.s), E_OK);
    serve(&v, SERVES, "127.0.0.1:0");
    struct asked a = ask(t.root, "127.0.0.5");
    assert_non_null(a.s);
    assert_true(secret_eq(&a.s->keys.mac_down, &v.keys.mac_down));
    session_free(a.s);
    stop(&v);
}

static void counter_is_on_disk_first(void **state)
{
    struct server v;
    struct store *again = NULL;
    (void)state;
    serve(&v, SILENT, "127.0.0.1:0");
    struct asked a = ask(t.root, "127.0.0.5");
    assert_null(a.s);
    assert_int_equal(store_new(t.store, NULL, &again), E_OK);
    assert_int_equal(store_load(again), E_OK);
    assert_int_equal(again->d.counter, 1); /* although nothing came of it */
    store_free(again);
    stop(&v);
}

static void the_next_server(void **state)
{
    static const enum kind bad[] = {SILENT, CLOSES, BABBLES, BUSY};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct server one, two;
        t.s->d.ack.servers.n = 0;
        serve(&one, bad[i], "127.0.0.1:0");
        serve(&two, SERVES, "127.0.0.2:0");
        struct asked a = ask(t.root, "127.0.0.5");
        assert_non_null(a.s);
        assert_int_equal(one.asked, 1);
        assert_int_equal(two.asked, 1);
        session_free(a.s);
        stop(&one);
        stop(&two);
    }
    struct server gone, two;
    t.s->d.ack.servers.n = 0;
    serve(&gone, SERVES, "127.0.0.1:0");
    stop(&gone); /* connection refused */
    serve(&two, SERVES, "127.0.0.2:0");
    struct asked a = ask(t.root, "127.0.0.5");
    assert_non_null(a.s);
    session_free(a.s);
    stop(&two);
}

static void stale_is_corrected_once(void **state)
{
    struct server v;
    (void)state;
    serve(&v, SERVES, "127.0.0.1:0");
    v.last_counter = 500;
    struct asked a = ask(t.root, "127.0.0.5");
    assert_non_null(a.s);
    assert_int_equal(v.asked, 2);
    assert_int_equal(t.s->d.counter, 501);
    session_free(a.s);
    /* A clock that is an hour off. */
    v.last_counter = 501;
    clock_fake_advance(&t.clock, 3600ull * 1000000);
    loop_advance(t.loop, &t.clock, 1);
    a = ask(t.root, "127.0.0.5");
    assert_non_null(a.s);
    assert_int_equal(v.asked, 4);
    assert_true(t.s->d.ahead_us < -3500ll * 1000000 && t.s->d.ahead_us > -3700ll * 1000000);
    session_free(a.s);
    /* And it is remembered. */
    v.last_counter = t.s->d.counter;
    a = ask(t.root, "127.0.0.5");
    assert_non_null(a.s);
    assert_int_equal(v.asked, 5);
    session_free(a.s);
    /* A server that is never content is not asked for ever. */
    v.last_counter = UINT64_MAX / 4;
    a = ask(t.root, "127.0.0.5");
    if (a.s) {
        session_free(a.s);
    }
    assert_true(v.asked <= 7);
    stop(&v);
}

static void refusals(void **state)
{
    static const struct {
        enum kind kind;
        enum bti_exit code;
        unsigned second; /* whether the second server is asked */
    } rows[] = {{REVOKED, BTI_EXIT_REFUSED, 0},
                {BARRED, BTI_EXIT_DENIED, 0},
                {BUSY, BTI_EXIT_UNREACHABLE, 1},
                {SILENT, BTI_EXIT_UNREACHABLE, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct server one, two;
        t.s->d.ack.servers.n = 0;
        serve(&one, rows[i].kind, "127.0.0.1:0");
        serve(&two, rows[i].kind, "127.0.0.2:0");
        struct asked a = ask(t.root, "127.0.0.5");
        assert_null(a.s);
        assert_int_equal(a.code, rows[i].code);
        assert_int_equal(two.asked, rows[i].second);
        assert_true(strlen(a.why) > 20);
        stop(&one);
        stop(&two);
    }
}

static void an_impostor_gets_nothing(void **state)
{
    struct server v;
    struct pki_root *other = NULL;
    (void)state;
    assert_int_equal(pki_root_load(t.other_pem, &other), E_OK);
    serve(&v, SERVES, "127.0.0.1:0");
    struct asked a = ask(other, "127.0.0.5");
    assert_null(a.s);
    assert_int_equal(a.code, BTI_EXIT_CERTIFICATE);
    assert_int_equal(v.keys.mac_up.n, 0);
    pki_root_free(other);
    /* The right root, but not the server that was named. */
    strcpy(t.s->d.ps_name, "ps9.example");
    assert_int_equal(store_save(t.s), E_OK);
    a = ask(t.root, "127.0.0.5");
    assert_int_equal(a.code, BTI_EXIT_CERTIFICATE);
    stop(&v);
}

static void nobody_to_ask(void **state)
{
    (void)state;
    struct asked a = ask(t.root, "127.0.0.5");
    assert_null(a.s);
    assert_int_equal(a.code, BTI_EXIT_UNREACHABLE);
    t.s->d.ack.servers = (struct enrol_texts){1, {"ps.example:7611"}};
    assert_int_equal(store_save(t.s), E_OK);
    a = ask(t.root, "127.0.0.5");
    assert_null(a.s);
    assert_non_null(strstr(a.why, "not an address"));
}

static void cancelling(void **state)
{
    struct server v;
    struct asked a = {.done = false};
    struct fetch *f = NULL;
    (void)state;
    serve(&v, SILENT, "127.0.0.1:0");
    struct fetch_cfg cfg = {.store = t.s, .root = t.root, .done = on_done, .arg = &a};
    assert_int_equal(fetch_start(t.loop, &cfg, &f), E_OK);
    for (int i = 0; i < 20; i++) {
        loop_run_once(t.loop, false);
    }
    fetch_cancel(f);
    fetch_cancel(NULL);
    assert_false(a.done);
    assert_int_equal(loop_timers(t.loop), 0);
    stop(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(granted, begin, finish),
        cmocka_unit_test_setup_teardown(symmetric_key_signs_nothing, begin, finish),
        cmocka_unit_test_setup_teardown(counter_is_on_disk_first, begin, finish),
        cmocka_unit_test_setup_teardown(the_next_server, begin, finish),
        cmocka_unit_test_setup_teardown(stale_is_corrected_once, begin, finish),
        cmocka_unit_test_setup_teardown(refusals, begin, finish),
        cmocka_unit_test_setup_teardown(an_impostor_gets_nothing, begin, finish),
        cmocka_unit_test_setup_teardown(nobody_to_ask, begin, finish),
        cmocka_unit_test_setup_teardown(cancelling, begin, finish),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
