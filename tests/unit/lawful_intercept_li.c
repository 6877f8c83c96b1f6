/* headgate-li as a whole, without its process: taps that several threads write to, spools, an
 * agency on loopback; no database, so orders come from the sealed copy. For ThreadSanitizer. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lawful_intercept/cdc.h"
#include "lawful_intercept/li.h"
#include "lawful_intercept/tap.h"
#include "lawful_intercept/tap_keys.h"

enum { WRITERS = 3, CALLS = 20, ENROLMENTS = 10, WAIT_MS = 60000, LINE = 7, OTHER = 8 };
#define NOWHERE "host=/nonexistent dbname=none"
#define SDP     "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/SAVP 0\r\n"
#define KEY     "0123456789abcdef0123456789abcdef"

struct agency { /* what it got; its thread writes, others read the counts */
    int listener;
    pthread_t thread;
    _Atomic bool stopping;
    _Atomic unsigned released, opened; /* calls that are over; contents with keys */
    char over[256][32];                /* CallIds: a record may come twice */
    char got[1 << 20];
    size_t n;
};

struct world {
    char folder[64];
    struct agency *agency;
    struct tap *tap, *enrolments;
    struct p256_key key;
    struct secret intercept;
    struct li_store *store;
    struct li *li;
};

static void path_in(const struct world *w, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", w->folder, name);
}

/* ---- the agency --------------------------------------------------------------------------------
 */
static void note(struct agency *a, const struct cdc_message *m)
{
    unsigned n = atomic_load(&a->released);
    char id[32];

    if (m->kind == CDC_CCOPEN && memmem(m->subject.p, m->subject.n, "inline:", 7) != NULL) {
        atomic_fetch_add(&a->opened, 1);
    }
    if (m->kind != CDC_RELEASE) {
        return;
    }
    snprintf(id, sizeof id, "%.*s", (int)m->call.sequence.n, m->call.sequence.p);
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(a->over[i], id) == 0) {
            return;
        }
    }
    memcpy(a->over[n % 256], id, sizeof id);
    atomic_store(&a->released, n + 1);
}

static void take(struct agency *a)
{
    struct cdc_message m;
    char why[128];
    size_t used = 0, n = 0;

    while (cdc_read(view_from(a->got + used, a->n - used), &m, &n, why, sizeof why) == E_OK) {
        note(a, &m);
        used += n;
    }
    memmove(a->got, a->got + used, a->n - used);
    a->n -= used;
}

static void *run_agency(void *arg)
{
    struct agency *a = arg;
    int fd = -1;

    while (!atomic_load(&a->stopping)) {
        struct pollfd p = {.fd = fd >= 0 ? fd : a->listener, .events = POLLIN};
        ssize_t some = 0;
        if (poll(&p, 1, 50) != 1) {
            continue;
        }
        if (fd < 0) {
            fd = accept(a->listener, NULL, NULL);
            a->n = 0;
            continue;
        }
        some = recv(fd, a->got + a->n, sizeof a->got - a->n, 0);
        if (some <= 0) {
            close(fd);
            fd = -1;
            continue;
        }
        a->n += (size_t)some;
        take(a);
    }
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

/* ---- life --------------------------------------------------------------------------------------
 */
/* What headgate-li would have written when its database was there: li_store.h. */
static void write_copy(const struct world *w, uint16_t port)
{
    char path[128], text[2000];
    uint8_t sealed[2200] = {1};
    struct secret prk, key;
    size_t n = (size_t)snprintf(
        text, sizeof text,
        "[{\"kind\":\"agency\",\"item\":{\"agency\":1,\"name\":\"blue\",\"version\":4,\"cdc\":"
        "{\"address\":\"127.0.0.1:%u\",\"plain\":true}}},"
        "{\"kind\":\"order\",\"item\":{\"order\":1,\"agency\":1,\"state\":\"active\",\"xid\":"
        "\"000102030405060708090a0b0c0d0e0f\",\"type\":\"content\",\"case_id\":\"CASE-1\","
        "\"starts_at\":\"2020-01-01T00:00:00Z\",\"ends_at\":\"2090-01-01T00:00:00Z\","
        "\"target\":{\"line\":%d}}}]",
        (unsigned)port, LINE);
    FILE *f = NULL;

    assert_int_equal(
        hkdf_extract(VIEW("headgate li v1"), view_from(w->intercept.b, w->intercept.n), &prk),
        E_OK);
    assert_int_equal(hkdf_expand(&prk, VIEW("headgate li item v1"), 32, &key), E_OK);
    assert_int_equal(
        gcm_seal(&key, sealed + 1, VIEW("copy"), view_from(text, n), sealed + 1 + GCM_NONCE_BYTES),
        E_OK);
    path_in(w, "orders", path);
    f = fopen(path, "wb");
    assert_non_null(f);
    n += 1 + GCM_NONCE_BYTES + GCM_TAG_BYTES;
    assert_int_equal(fwrite(sealed, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void open_tap(const struct world *w, const char *name, unsigned rings, struct tap **out)
{
    char path[128];

    path_in(w, name, path);
    assert_int_equal(tap_open(path, "", rings, 2 * TAP_RING_MIN, out), E_OK);
}

static void open_li(struct world *w)
{
    char copy[128], tap[128], enrolments[128], spool[128], position[128];
    struct li_store_cfg store = {NOWHERE, copy, &w->intercept};
    struct li_cfg cfg = {.element = "GC1",
                         .tap = tap,
                         .tap_enrolments = enrolments,
                         .spool = spool,
                         .position = position,
                         .directory = "",
                         .key = &w->intercept,
                         .enrolment_keys = &w->key,
                         .n_enrolment_keys = 1,
                         .warn_ms = 4000,
                         .late_ms = 8000};

    path_in(w, "orders", copy);
    path_in(w, "tap", tap);
    path_in(w, "enrolments", enrolments);
    path_in(w, "spool", spool);
    path_in(w, "position", position);
    assert_int_equal(li_store_open(&store, &w->store), E_OK);
    cfg.store = w->store;
    assert_int_equal(li_open(&cfg, &w->li), E_OK);
}

static void close_li(struct world *w)
{
    li_close(w->li, 1000);
    li_store_close(w->store);
    w->li = NULL;
    w->store = NULL;
}

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct net_addr any = {4, 0, {127, 0, 0, 1}}, at;

    w->agency = calloc(1, sizeof *w->agency);
    snprintf(w->folder, sizeof w->folder, "/tmp/headgate-li.XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    assert_int_equal(secret_set(&w->intercept, KEY, 32), E_OK);
    assert_int_equal(p256_generate(&w->key), E_OK);
    assert_int_equal(net_tcp_listen(&any, false, 8, &w->agency->listener), E_OK);
    assert_int_equal(net_local(w->agency->listener, &at), E_OK);
    write_copy(w, at.port);
    open_tap(w, "tap", WRITERS, &w->tap);
    open_tap(w, "enrolments", 1, &w->enrolments);
    assert_int_equal(pthread_create(&w->agency->thread, NULL, run_agency, w->agency), 0);
    *state = w;
    return 0;
}

static int leave_world(void **state)
{
    struct world *w = *state;
    char command[100];

    close_li(w);
    atomic_store(&w->agency->stopping, true);
    pthread_join(w->agency->thread, NULL);
    close(w->agency->listener);
    tap_close(w->tap);
    tap_close(w->enrolments);
    snprintf(command, sizeof command, "rm -r %s", w->folder);
    assert_int_equal(system(command), 0);
    free(w->agency);
    free(w);
    return 0;
}

/* ---- calls -------------------------------------------------------------------------------------
 */
static void put(struct tap_ring *ring, struct tap_record r)
{
    r.at_us = clock_wall_us(clock_system());
    r.remote = (struct net_addr){4, 5060, {192, 0, 2, 7}};
    tap_write(ring, &r);
}

static void message(struct tap_ring *ring, const char *id, enum tap_kind kind, uint64_t line,
                    const char *start)
{
    char octets[1000];

    snprintf(octets, sizeof octets,
             "%s\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n"
             "To: <sip:611@h>;tag=2\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\n"
             "Content-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n" SDP,
             start, id, strlen(SDP));
    put(ring, (struct tap_record){.kind = kind,
                                  .party = line != 0 ? TAP_LINE : TAP_STRANGER,
                                  .is_proven = line != 0,
                                  .line = line,
                                  .text = {view_of(id), view_of(octets)}});
}

/* line 0: of a stranger, at headgate-prov. */
static void call(struct tap_ring *ring, const char *id, uint64_t line)
{
    enum tap_party party = line != 0 ? TAP_LINE : TAP_STRANGER;

    put(ring, (struct tap_record){.kind = TAP_CALL_BEGIN,
                                  .party = party,
                                  .is_proven = line != 0,
                                  .line = line,
                                  .text = {view_of(id), view_of(id), VIEW(""), VIEW("611")}});
    message(ring, id, TAP_MESSAGE_IN, line, "INVITE sip:611@h SIP/2.0");
    put(ring, (struct tap_record){.kind = TAP_CALL_ROUTE,
                                  .party = TAP_SERVER,
                                  .text = {view_of(id), VIEW("611"), VIEW("ps1")}});
    message(ring, id, TAP_MESSAGE_OUT, line, "SIP/2.0 200 OK");
}

static void end(struct tap_ring *ring, const char *id)
{
    put(ring, (struct tap_record){
                  .kind = TAP_CALL_END, .status = 200, .text = {view_of(id), VIEW("caller")}});
}

struct writer {
    struct tap_ring *ring;
    unsigned from, calls;
};

static void *write_calls(void *arg)
{
    const struct writer *v = arg;
    char id[20];

    for (unsigned i = 0; i < v->calls; i++) {
        snprintf(id, sizeof id, "%016x", v->from + i);
        call(v->ring, id, i % 4 == 3 ? OTHER : LINE);
        end(v->ring, id);
    }
    return NULL;
}

static void enrol(const struct world *w, unsigned number)
{
    struct tap_ring *ring = tap_ring_of(w->enrolments, 0);
    uint8_t keys[TAP_KEYS_BYTES], sealed[TAP_SEALED_BYTES];
    char id[20];

    snprintf(id, sizeof id, "e%015x", number);
    memset(keys, 'k', sizeof keys);
    assert_int_equal(tap_keys_seal(w->key.pub, view_of(id), view_of(id), keys, sealed), E_OK);
    call(ring, id, 0);
    put(ring, (struct tap_record){.kind = TAP_ENROLMENT,
                                  .party = TAP_SERVER,
                                  .line = number % 2 == 0 ? LINE : OTHER,
                                  .text = {view_of(id), view_of(id), VIEW("enrolled"),
                                           view_from(sealed, sizeof sealed), VIEW("+12125550107"),
                                           VIEW("ab")}});
    end(ring, id);
}

/* Meanwhile others look, as metrics and officers do. */
static void wait_for(const struct world *w, unsigned released)
{
    struct li_counts c;

    for (unsigned i = 0; i < WAIT_MS / 20 && atomic_load(&w->agency->released) < released; i++) {
        enum err e = E_OK;
        json_decref(li_state(w->li));
        json_decref(li_show(w->li, LI_ITEM_ORDER, 0, &e));
        li_counts_of(w->li, &c);
        assert_int_equal(c.lost + c.bad_keys, 0);
        poll(NULL, 0, 20);
    }
    assert_int_equal(atomic_load(&w->agency->released), released);
}

static void every_thread_is_heard_and_none_is_in_the_way(void **state)
{
    struct world *w = *state;
    pthread_t thread[WRITERS];
    struct writer v[WRITERS];
    unsigned released = WRITERS * CALLS / 4 * 3 + ENROLMENTS / 2;

    open_li(w);
    for (unsigned i = 0; i < WRITERS; i++) {
        v[i] = (struct writer){tap_ring_of(w->tap, i), i * 1000, CALLS};
        assert_int_equal(pthread_create(&thread[i], NULL, write_calls, &v[i]), 0);
    }
    for (unsigned i = 0; i < ENROLMENTS; i++) {
        enrol(w, i);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(thread[i], NULL);
    }
    wait_for(w, released);
    /* Every content of the enrolments came with its keys, and no other has any. */
    assert_int_equal(atomic_load(&w->agency->opened), ENROLMENTS / 2);
    /* headgate-prov is started again; headgate is not. */
    tap_close(w->enrolments);
    open_tap(w, "enrolments", 1, &w->enrolments);
    enrol(w, 100);
    v[0] = (struct writer){tap_ring_of(w->tap, 0), 5000, 1};
    write_calls(&v[0]);
    wait_for(w, released + 2);
}

/* What each tap had when headgate-li was away is read when it is back, and once. */
static void both_taps_go_on_where_they_were(void **state)
{
    struct world *w = *state;
    struct writer v = {tap_ring_of(w->tap, 1), 0, 2};
    struct li_counts c;

    open_li(w);
    write_calls(&v);
    enrol(w, 0);
    wait_for(w, 3);
    close_li(w);
    v.from = 10;
    write_calls(&v);
    enrol(w, 2);
    open_li(w);
    wait_for(w, 6);
    li_counts_of(w->li, &c);
    assert_int_equal(c.records, 2 * 5 + 6); /* no record of before counted again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_thread_is_heard_and_none_is_in_the_way, make_world,
                                        leave_world),
        cmocka_unit_test_setup_teardown(both_taps_go_on_where_they_were, make_world, leave_world)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
