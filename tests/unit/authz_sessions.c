#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "authz/sessions.h"
#include "base/mem.h"

#define EXPIRES 1000000000u

static struct session_record record(uint32_t n, uint8_t bti)
{
    struct session_record r = {.line_id = 100 + n, .created_us = 1, .expires_us = EXPIRES};
    struct secret *keys[6] = {&r.keys.mac_up,   &r.keys.mac_down, &r.keys.enc_up,
                              &r.keys.enc_down, &r.keys.tls_psk,  &r.keys.digest};
    memcpy(r.kid, &n, sizeof n);
    r.bti_id[0] = bti;
    for (uint8_t i = 0; i < 6; i++) {
        keys[i]->n = 32;
        memset(keys[i]->b, (int)(16 * i + n % 16), 32);
    }
    return r;
}

static struct sessions *table(size_t max)
{
    struct sessions *s = NULL;
    assert_int_equal(sessions_new(max, &s), E_OK);
    return s;
}

static enum err put(struct sessions *s, struct session_record r)
{
    return sessions_put(s, &r);
}

static struct session *hold(struct sessions *s, uint32_t n)
{
    struct session *x = NULL;
    struct session_record r = record(n, 0);
    assert_int_equal(session_hold(s, r.kid, 5, &x), E_OK);
    return x;
}

/* A message as the BTI of record n sends it. */
struct message {
    char text[300];
    size_t n, digits_at;
    struct bti_mac mac;
};

static void message_text(struct message *m, const uint8_t kid[BTI_KID_BYTES], uint64_t seq)
{
    static const char start[] = "INVITE sip:611@x SIP/2.0\r\nProxy-Authorization: ";
    char value[BTI_MAC_VALUE_MAX];
    size_t n = bti_mac_format(true, kid, seq, value);
    memcpy(m->text, start, sizeof start - 1);
    memcpy(m->text + sizeof start - 1, value, n);
    memcpy(m->text + sizeof start - 1 + n, "\r\n\r\n", 4);
    m->n = sizeof start - 1 + n + 4;
    m->digits_at = sizeof start - 1 + n - BTI_MAC_DIGITS;
    assert_int_equal(bti_mac_parse(view_from(m->text + sizeof start - 1, n), true, &m->mac), E_OK);
}

static void message_up(struct message *m, uint32_t n, uint64_t seq)
{
    struct session_record r = record(n, 0);
    struct hmac_key k;
    message_text(m, r.kid, seq);
    assert_int_equal(hmac_key_set(&k, &r.keys.mac_up), E_OK);
    assert_int_equal(bti_mac_fill(&k, m->text, m->n, m->digits_at), E_OK);
}

static bool repeat(struct session *x, uint32_t n, uint64_t seq)
{
    struct message m;
    bool again = false;
    message_up(&m, n, seq);
    assert_int_equal(session_verify(x, view_from(m.text, m.n), &m.mac, &again), E_OK);
    return again;
}

static void holding(void **state)
{
    (void)state;
    struct sessions *s = table(10);
    struct session_record r = record(1, 7);
    struct session *x = NULL;
    struct secret psk = {0};
    assert_int_equal(session_hold(s, r.kid, 0, &x), E_NOTFOUND);
    assert_int_equal(sessions_put(s, &r), E_OK);
    assert_int_equal(sessions_count(s), 1);
    assert_int_equal(session_hold(s, r.kid, EXPIRES, &x), E_NOTFOUND); /* just over */
    assert_null(x);
    assert_int_equal(session_hold(s, r.kid, EXPIRES - 1, &x), E_OK);
    assert_true(session_line(x) == 101 && session_expires_us(x) == EXPIRES);
    assert_memory_equal(session_bti(x), r.bti_id, 16);
    assert_memory_equal(session_kid(x), r.kid, 16);
    assert_int_equal(session_psk(x, &psk), E_OK);
    assert_true(secret_eq(&psk, &r.keys.tls_psk));
    sessions_drop(s, r.kid);
    assert_int_equal(sessions_count(s), 0);
    struct session *none = NULL;
    assert_int_equal(session_hold(s, r.kid, 0, &none), E_NOTFOUND);
    assert_false(repeat(x, 1, 1)); /* dropped, but held: its keys are still there */
    session_release(x);
    sessions_drop(s, r.kid); /* unknown: nothing happens */
    sessions_free(s);
}

static void keys_of_a_wrong_size(void **state)
{
    (void)state;
    struct sessions *s = table(10);
    struct session_record r = record(1, 7);
    struct secret *used[3] = {&r.keys.mac_up, &r.keys.mac_down, &r.keys.tls_psk};
    for (size_t i = 0; i < 3; i++) {
        used[i]->n = 31;
        assert_int_equal(sessions_put(s, &r), E_RANGE);
        used[i]->n = 0;
        assert_int_equal(sessions_put(s, &r), E_RANGE);
        used[i]->n = 32;
    }
    assert_int_equal(sessions_count(s), 0);
    sessions_free(s);
    assert_int_equal(sessions_new(0, &s), E_RANGE);
}

static void verifying(void **state)
{
    (void)state;
    struct sessions *s = table(10);
    struct message m;
    bool again = true;
    assert_int_equal(put(s, record(1, 7)), E_OK);
    assert_int_equal(put(s, record(2, 7)), E_OK);
    struct session *x = hold(s, 1);
    struct session *y = hold(s, 2);
    message_up(&m, 1, 5);
    struct view raw = view_from(m.text, m.n);
    for (size_t i = 0; i < m.n; i++) { /* any octet changed: refused, and 5 stays unused */
        m.text[i] ^= 1;
        again = true;
        assert_int_not_equal(session_verify(x, raw, &m.mac, &again), E_OK);
        assert_true(again); /* untouched */
        m.text[i] ^= 1;
    }
    assert_int_equal(session_verify(y, raw, &m.mac, &again), E_AUTH); /* another session's */
    struct bti_mac other = m.mac;
    other.kid[3] ^= 1;
    assert_int_equal(session_verify(x, raw, &other, &again), E_AUTH);
    assert_int_equal(session_verify(x, raw, &m.mac, &again), E_OK);
    assert_false(again);
    assert_int_equal(session_verify(x, raw, &m.mac, &again), E_OK);
    assert_true(again);
    m.text[0] ^= 1; /* seen, and forged: the MAC decides first */
    assert_int_equal(session_verify(x, raw, &m.mac, &again), E_AUTH);
    assert_false(repeat(x, 1, 5000));
    assert_true(repeat(x, 1, 5000 - REPLAY_WINDOW));
    assert_false(repeat(x, 1, 5001 - REPLAY_WINDOW));
    assert_false(repeat(y, 2, 5)); /* windows are separate */
    session_release(x);
    session_release(y);
    sessions_free(s);
}

static void sending(void **state)
{
    (void)state;
    struct sessions *s = table(10);
    struct session_record r = record(1, 7);
    struct message m;
    struct hmac_key down;
    assert_int_equal(sessions_put(s, &r), E_OK);
    struct session *x = hold(s, 1);
    assert_true(session_next_seq(x) == 1);
    assert_true(session_next_seq(x) == 2);
    message_text(&m, r.kid, 3);
    assert_int_equal(session_fill(x, m.text, m.n, m.digits_at), E_OK);
    assert_int_equal(hmac_key_set(&down, &r.keys.mac_down), E_OK);
    assert_int_equal(bti_mac_verify(&down, view_from(m.text, m.n), m.mac.digits), E_OK);
    assert_int_equal(session_fill(x, m.text, m.n, m.n - BTI_MAC_DIGITS + 1), E_RANGE);
    session_release(x);
    sessions_free(s);
}

static void replacement_keeps_window_and_counter(void **state)
{
    (void)state;
    struct sessions *s = table(1);
    struct session_record r = record(1, 7);
    assert_int_equal(sessions_put(s, &r), E_OK);
    struct session *old = hold(s, 1);
    assert_false(repeat(old, 1, 9));
    assert_true(session_next_seq(old) == 1);
    r.line_id = 555;
    r.expires_us = 2 * (uint64_t)EXPIRES;
    r.bti_id[0] = 8;
    assert_int_equal(sessions_put(s, &r), E_OK); /* a full table can still replace */
    assert_int_equal(sessions_count(s), 1);
    struct session *new = hold(s, 1);
    assert_true(session_line(new) == 555 && session_line(old) == 101);
    assert_true(session_expires_us(new) == 2 * (uint64_t)EXPIRES);
    assert_true(repeat(new, 1, 9));
    assert_true(session_next_seq(new) == 2);
    assert_false(repeat(old, 1, 10)); /* one window, whoever looks */
    assert_true(repeat(new, 1, 10));
    session_release(old);
    assert_true(repeat(new, 1, 10));
    session_release(new);
    const uint8_t was[16] = {7};
    const uint8_t is[16] = {8};
    assert_int_equal(sessions_drop_bti(s, was, NULL, NULL), 0);
    assert_int_equal(sessions_drop_bti(s, is, NULL, NULL), 1);
    assert_int_equal(sessions_put(s, &r), E_OK); /* after a drop it is a new session */
    new = hold(s, 1);
    assert_false(repeat(new, 1, 9));
    session_release(new);
    sessions_free(s);
}

static void full(void **state)
{
    (void)state;
    struct sessions *s = table(3);
    struct session_record r = record(1, 7);
    struct session *x = NULL;
    r.expires_us = 2000000;
    assert_int_equal(sessions_put(s, &r), E_OK);
    r = record(2, 7);
    r.expires_us = 3000000;
    assert_int_equal(sessions_put(s, &r), E_OK);
    assert_int_equal(put(s, record(3, 7)), E_OK);
    assert_int_equal(put(s, record(4, 7)), E_FULL); /* nothing is known to have expired */
    assert_int_equal(sessions_count(s), 3);
    assert_int_equal(session_hold(s, record(3, 7).kid, 2000000, &x), E_OK); /* tells the time */
    session_release(x);
    assert_int_equal(put(s, record(4, 7)), E_OK); /* 1 made room */
    assert_int_equal(put(s, record(5, 7)), E_FULL);
    assert_int_equal(session_hold(s, record(2, 7).kid, 2000001, &x), E_OK);
    session_release(x);
    assert_int_equal(sessions_expire(s, 3000000), 1);
    assert_int_equal(put(s, record(5, 7)), E_OK);
    assert_int_equal(sessions_count(s), 3);
    sessions_free(s);
}

static void expiry(void **state)
{
    (void)state;
    struct sessions *s = table(2000);
    const uint64_t minute = 60000000;
    for (uint32_t i = 0; i < 1000; i++) { /* up to a month and a half */
        struct session_record r = record(i, 7);
        r.expires_us = 1000 * minute + (uint64_t)i * i * minute / 15;
        assert_int_equal(sessions_put(s, &r), E_OK);
    }
    size_t left = 1000;
    for (uint64_t now = 900 * minute; left > 0; now += 7 * minute) {
        left -= sessions_expire(s, now);
        uint64_t want = 0;
        while (want < 1000 && 1000 * minute + want * want * minute / 15 <= now) {
            want++;
        }
        assert_int_equal(1000 - left, want);
        assert_int_equal(sessions_count(s), left);
    }
    /* the wall clock went back: what is put then expires at its time */
    struct session_record r = record(1, 7);
    r.expires_us = 500 * minute;
    assert_int_equal(sessions_put(s, &r), E_OK);
    assert_int_equal(sessions_expire(s, 499 * minute), 0);
    assert_int_equal(sessions_expire(s, 500 * minute), 1);
    sessions_free(s);
}

struct gone {
    struct sessions *s;
    size_t n;
    uint32_t sum;
};

static void note(void *arg, const uint8_t kid[BTI_KID_BYTES])
{
    struct gone *g = arg;
    struct session *x = NULL;
    uint32_t n;
    memcpy(&n, kid, sizeof n);
    g->n++;
    g->sum += n;
    assert_int_equal(session_hold(g->s, kid, 5, &x), E_NOTFOUND); /* under no lock */
}

static void revocation(void **state)
{
    (void)state;
    struct sessions *s = table(100);
    struct gone g = {.s = s};
    const uint8_t bti[16] = {7};
    for (uint32_t i = 1; i <= 40; i++) {
        assert_int_equal(put(s, record(i, i % 4 == 0 ? 7 : 6)), E_OK);
    }
    assert_int_equal(sessions_drop_bti(s, bti, note, &g), 10);
    assert_int_equal(g.n, 10);
    assert_int_equal(g.sum, 220);
    assert_int_equal(sessions_count(s), 30);
    assert_int_equal(sessions_drop_bti(s, bti, note, &g), 0);
    sessions_free(s);
}

static void fail_over(void **state)
{
    (void)state;
    struct sessions *s = table(10);
    uint64_t sent = 0;
    uint64_t seen = 0;
    assert_int_equal(put(s, record(1, 7)), E_OK);
    struct session *x = hold(s, 1);
    assert_true(session_next_seq(x) == 1);
    assert_false(repeat(x, 1, 40));
    session_marks(x, &sent, &seen);
    assert_true(sent == 1 && seen == 40);
    session_restore(x, 1000, 2000);
    session_marks(x, &sent, &seen);
    assert_true(sent == 1000 && seen == 2000);
    assert_true(session_next_seq(x) == 1001);
    assert_true(repeat(x, 1, 2000));
    assert_true(repeat(x, 1, 1999));
    assert_false(repeat(x, 1, 2001));
    session_restore(x, 5, 5); /* older marks take nothing back */
    assert_true(session_next_seq(x) == 1002);
    assert_true(repeat(x, 1, 2001));
    session_release(x);
    sessions_free(s);
}

/* Two nodes hold one session and neither has told the other of what it sent: the later one begins
 * above. */
static void first_number_is_the_age(void **state)
{
    (void)state;
    const uint64_t made = 1000000000;
    struct session *first = NULL, *second = NULL;
    struct session_record r = record(1, 7);
    struct sessions *a = table(10), *b = table(10);
    r.created_us = made;
    r.expires_us = made + 3600000000u;
    assert_int_equal(put(a, r), E_OK);
    assert_int_equal(put(b, r), E_OK);
    assert_int_equal(session_hold(a, r.kid, made - 50000, &first), E_OK); /* its clock is behind */
    assert_true(session_next_seq(first) == 1);
    assert_int_equal(session_hold(b, r.kid, made + 40000, &second), E_OK);
    assert_true(session_next_seq(second) == 41);
    assert_true(session_next_seq(second) == 42);
    session_release(first);
    assert_int_equal(session_hold(a, r.kid, made + 9000000, &first), E_OK);
    assert_true(session_next_seq(first) ==
                2); /* no gap in use: late copies stay within the window */
    session_release(first);
    session_release(second);
    sessions_free(a);
    sessions_free(b);
}

static void slots_are_used_again(void **state)
{
    (void)state;
    struct sessions *s = table(5000);
    for (int round = 0; round < 3; round++) { /* several chunks of key memory */
        for (uint32_t i = 0; i < 3000; i++) {
            assert_int_equal(put(s, record(i, 7)), E_OK);
        }
        for (uint32_t i = 0; i < 3000; i += 97) {
            struct session *x = hold(s, i);
            assert_false(repeat(x, i, 1));
            session_release(x);
        }
        for (uint32_t i = 0; i < 3000; i++) {
            sessions_drop(s, record(i, 7).kid);
        }
    }
    assert_int_equal(sessions_count(s), 0);
    sessions_free(s);
}

static void out_of_memory(void **state)
{
    (void)state;
    size_t before = mem_live();
    for (long nth = 0;; nth++) {
        struct sessions *s = NULL;
        mem_fail_at(nth);
        enum err e = sessions_new(10, &s);
        if (e == E_OK) {
            e = put(s, record(1, 7));
            assert_int_equal(sessions_count(s), e == E_OK);
            sessions_free(s);
        }
        bool failed = mem_failed();
        mem_fail_at(-1);
        assert_int_equal(mem_live(), before);
        assert_int_equal(e, failed ? E_NOMEM : E_OK);
        if (!failed) {
            break;
        }
    }
}

/* ---- threads ---- */

#define THREADS 4
#define SEQS    2000
#define SENT    (THREADS * SEQS * 10)

struct shared {
    struct sessions *s;
    pthread_barrier_t start;
    atomic_uint fresh[SEQS + 1];
    atomic_uint sent[SENT + 1];
};

/* Every thread shows every number: each must be fresh for exactly one of them. */
static void *verify_all(void *arg)
{
    struct shared *h = arg;
    struct message m;
    pthread_barrier_wait(&h->start);
    for (uint64_t seq = 1; seq <= SEQS; seq++) {
        struct session *x = hold(h->s, 1);
        bool again = true;
        message_up(&m, 1, seq);
        assert_int_equal(session_verify(x, view_from(m.text, m.n), &m.mac, &again), E_OK);
        atomic_fetch_add(&h->fresh[seq], !again);
        for (int i = 0; i < 10; i++) { /* in a row, so that threads do meet */
            uint64_t sent = session_next_seq(x);
            assert_in_range(sent, 1, SENT);
            atomic_fetch_add(&h->sent[sent], 1);
        }
        assert_int_equal(session_fill(x, m.text, m.n, m.digits_at), E_OK);
        session_release(x);
    }
    return NULL;
}

/* Meanwhile the session is replaced, and others come and go. */
static void *churn(void *arg)
{
    struct shared *h = arg;
    pthread_barrier_wait(&h->start);
    for (uint32_t i = 0; i < 1500; i++) {
        const uint8_t bti[16] = {9};
        uint64_t sent = 0;
        uint64_t seen = 0;
        assert_int_equal(put(h->s, record(1, 7)), E_OK);
        enum err e = put(h->s, record(2 + i % 60, 9));
        assert_true(e == E_OK || e == E_FULL);
        struct session *x = hold(h->s, 1);
        session_marks(x, &sent, &seen);
        session_restore(x, sent, 0);
        session_release(x);
        if (i % 3 == 0) {
            sessions_drop(h->s, record(2 + i % 50, 9).kid);
        } else if (i % 31 == 0) {
            (void)sessions_drop_bti(h->s, bti, NULL, NULL);
        } else if (i % 7 == 0) {
            (void)sessions_expire(h->s, 5);
        }
        assert_true(sessions_count(h->s) <= 51);
    }
    return NULL;
}

static void one_number_is_fresh_once(void **state)
{
    (void)state;
    pthread_t t[THREADS + 1];
    struct shared *h = calloc(1, sizeof *h);
    h->s = table(50);
    assert_int_equal(put(h->s, record(1, 7)), E_OK);
    assert_int_equal(pthread_barrier_init(&h->start, NULL, THREADS + 1), 0);
    for (int i = 0; i <= THREADS; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, i < THREADS ? verify_all : churn, h), 0);
    }
    for (int i = 0; i <= THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    for (size_t seq = 1; seq <= SEQS; seq++) {
        assert_int_equal(h->fresh[seq], 1);
    }
    for (size_t n = 1; n <= SENT; n++) {
        assert_int_equal(h->sent[n], 1);
    }
    pthread_barrier_destroy(&h->start);
    sessions_free(h->s);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holding),
        cmocka_unit_test(keys_of_a_wrong_size),
        cmocka_unit_test(verifying),
        cmocka_unit_test(sending),
        cmocka_unit_test(replacement_keeps_window_and_counter),
        cmocka_unit_test(full),
        cmocka_unit_test(expiry),
        cmocka_unit_test(revocation),
        cmocka_unit_test(fail_over),
        cmocka_unit_test(first_number_is_the_age),
        cmocka_unit_test(slots_are_used_again),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(one_number_is_fresh_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
