#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <pthread.h>

#include "base/mem.h"
#include "routing/location.h"

static struct binding reg(uint64_t line, const char *contact, uint32_t cseq, uint64_t expires_ms)
{
    struct binding b = {.line_id = line,
                        .kid = {1, 2, 3},
                        .bti_id = {(uint8_t)line, 9},
                        .call_id = "reg-1",
                        .cseq = cseq,
                        .expires_ms = expires_ms,
                        .expires_us = 1000 * expires_ms,
                        .proto = 2,
                        .remote = {4, 5061, {127, 0, 0, 9}},
                        .local = {4, 5060, {127, 0, 0, 1}},
                        .worker = 3,
                        .conn = line + 100,
                        .has_kid = true};
    (void)snprintf(b.contact, sizeof b.contact, "%s", contact);
    return b;
}

static struct location *table(size_t max)
{
    struct location *l = NULL;
    assert_int_equal(location_new(max, &l), E_OK);
    return l;
}

static enum err put(struct location *l, struct binding b)
{
    return location_put(l, &b);
}

static void gives_back_what_was_put(void **state)
{
    (void)state;
    struct location *l = table(10);
    struct binding b = reg(7, "sip:7@127.0.0.9:5061", 1, 1000);
    struct binding got[LOCATION_MAX_CONTACTS];
    b.via_node = (struct net_addr){4, 5070, {127, 0, 0, 2}};
    assert_int_equal(location_put(l, &b), E_OK);
    assert_int_equal(location_find(l, 7, 999, got, 8), 1);
    assert_int_equal(got[0].line_id, 7);
    assert_memory_equal(got[0].kid, b.kid, 16);
    assert_memory_equal(got[0].bti_id, b.bti_id, 16);
    assert_string_equal(got[0].contact, b.contact);
    assert_string_equal(got[0].call_id, b.call_id);
    assert_int_equal(got[0].cseq, 1);
    assert_true(got[0].expires_ms == 1000 && got[0].expires_us == 1000000);
    assert_int_equal(got[0].proto, 2);
    assert_true(net_eq(&got[0].remote, &b.remote) && net_eq(&got[0].local, &b.local));
    assert_true(net_eq(&got[0].via_node, &b.via_node));
    assert_true(got[0].worker == 3 && got[0].conn == 107 && got[0].has_kid);
    assert_int_equal(location_find(l, 8, 999, got, 8), 0);
    assert_int_equal(location_find(l, 7, 999, got, 0), 0);
    location_free(l);
}

static void longest_texts_fit(void **state)
{
    (void)state;
    struct location *l = table(10);
    struct binding b = reg(1, "x", 1, 1000);
    struct binding got;
    memset(b.contact, 'c', sizeof b.contact);
    assert_int_equal(location_put(l, &b), E_RANGE); /* no NUL */
    b.contact[LOCATION_URI_MAX - 1] = 0;
    memset(b.call_id, 'i', sizeof b.call_id);
    assert_int_equal(location_put(l, &b), E_RANGE);
    b.call_id[sizeof b.call_id - 1] = 0;
    assert_int_equal(location_put(l, &b), E_OK);
    assert_int_equal(location_find(l, 1, 0, &got, 1), 1);
    assert_string_equal(got.contact, b.contact);
    assert_string_equal(got.call_id, b.call_id);
    b.contact[0] = 0;
    assert_int_equal(location_put(l, &b), E_RANGE);
    assert_int_equal(location_count(l), 1);
    location_free(l);
}

static void order_of_registers(void **state)
{
    (void)state;
    struct location *l = table(10);
    struct binding got[2];
    struct binding other = reg(1, "sip:a@h", 1, 9000);
    assert_int_equal(put(l, reg(1, "sip:a@h", 5, 1000)), E_OK);
    assert_int_equal(put(l, reg(1, "sip:a@h", 5, 2000)), E_STATE); /* the same again */
    assert_int_equal(put(l, reg(1, "sip:a@h", 4, 2000)), E_STATE); /* overtaken */
    assert_int_equal(location_find(l, 1, 0, got, 2), 1);
    assert_true(got[0].expires_ms == 1000);
    assert_int_equal(put(l, reg(1, "sip:a@h", 6, 3000)), E_OK);
    assert_int_equal(location_find(l, 1, 0, got, 2), 1);
    assert_true(got[0].expires_ms == 3000 && got[0].cseq == 6);
    (void)snprintf(other.call_id, sizeof other.call_id, "reg-2"); /* rebooted: counts anew */
    assert_int_equal(location_put(l, &other), E_OK);
    assert_int_equal(location_find(l, 1, 0, got, 2), 1);
    assert_true(got[0].cseq == 1 && got[0].expires_ms == 9000);
    assert_int_equal(location_count(l), 1);
    location_free(l);
}

static void newest_first(void **state)
{
    (void)state;
    struct location *l = table(20);
    struct binding got[8];
    assert_int_equal(put(l, reg(1, "sip:a@h", 1, 1000)), E_OK);
    assert_int_equal(put(l, reg(1, "sip:b@h", 2, 1000)), E_OK);
    assert_int_equal(put(l, reg(2, "sip:x@h", 2, 1000)), E_OK);
    assert_int_equal(put(l, reg(1, "sip:c@h", 3, 1000)), E_OK);
    assert_int_equal(put(l, reg(1, "sip:a@h", 4, 1000)), E_OK); /* refreshed: newest */
    assert_int_equal(location_find(l, 1, 0, got, 8), 3);
    assert_string_equal(got[0].contact, "sip:a@h");
    assert_string_equal(got[1].contact, "sip:c@h");
    assert_string_equal(got[2].contact, "sip:b@h");
    assert_int_equal(location_find(l, 1, 0, got, 2), 2);
    assert_string_equal(got[1].contact, "sip:c@h");
    location_free(l);
}

static void limits(void **state)
{
    (void)state;
    struct location *l = table(10);
    char contact[32];
    for (int i = 0; i < LOCATION_MAX_CONTACTS + 1; i++) {
        (void)snprintf(contact, sizeof contact, "sip:%d@h", i);
        assert_int_equal(put(l, reg(1, contact, 1, 1000)),
                         i < LOCATION_MAX_CONTACTS ? E_OK : E_FULL);
    }
    assert_int_equal(put(l, reg(1, "sip:3@h", 2, 1000)), E_OK); /* refreshing goes on */
    assert_int_equal(put(l, reg(2, "sip:a@h", 1, 1000)), E_OK);
    assert_int_equal(put(l, reg(3, "sip:a@h", 1, 1000)), E_OK);
    assert_int_equal(put(l, reg(4, "sip:a@h", 1, 1000)), E_FULL); /* 10 in all */
    assert_int_equal(location_count(l), 10);
    assert_int_equal(location_remove(l, 2, VIEW("sip:a@h")), E_OK);
    assert_int_equal(put(l, reg(4, "sip:a@h", 1, 1000)), E_OK);
    location_free(l);
    assert_int_equal(location_new(0, &l), E_RANGE);
}

static void removing(void **state)
{
    (void)state;
    struct location *l = table(100);
    struct binding got[8];
    const uint8_t bti[16] = {5, 9};
    const uint8_t none[16] = {0};
    struct binding b = reg(6, "sip:other-line@h", 1, 1000);
    assert_int_equal(put(l, reg(5, "sip:a@h", 1, 1000)), E_OK);
    assert_int_equal(put(l, reg(5, "sip:b@h", 1, 1000)), E_OK);
    memcpy(b.bti_id, bti, 16);
    assert_int_equal(location_put(l, &b), E_OK);
    b = reg(7, "sip:a@h", 1, 1000);
    memcpy(b.bti_id, none, 16);
    assert_int_equal(location_put(l, &b), E_OK);
    assert_int_equal(location_remove(l, 5, VIEW("sip:c@h")), E_NOTFOUND);
    assert_int_equal(location_remove(l, 9, VIEW("sip:a@h")), E_NOTFOUND);
    assert_int_equal(location_remove_bti(l, none), 0); /* "no BTI" is nobody */
    assert_int_equal(location_remove_bti(l, bti), 3);
    assert_int_equal(location_remove_bti(l, bti), 0);
    assert_int_equal(location_count(l), 1);
    assert_int_equal(put(l, reg(5, "sip:a@h", 1, 1000)), E_OK);
    assert_int_equal(put(l, reg(5, "sip:b@h", 1, 1000)), E_OK);
    assert_int_equal(location_remove_line(l, 5), 2);
    assert_int_equal(location_remove_line(l, 5), 0);
    assert_int_equal(location_find(l, 5, 0, got, 8), 0);
    assert_int_equal(location_find(l, 7, 0, got, 8), 1);
    location_free(l);
}

static void dead_connections(void **state)
{
    (void)state;
    struct location *l = table(100);
    struct binding a = reg(1, "sip:a@h", 1, 1000);
    struct binding b = reg(2, "sip:b@h", 1, 1000);
    struct binding udp = reg(3, "sip:c@h", 1, 1000);
    struct binding remote = reg(4, "sip:d@h", 1, 1000);
    a.conn = b.conn = remote.conn = 77;
    udp.conn = 0;
    remote.via_node = (struct net_addr){4, 5070, {127, 0, 0, 2}};
    assert_int_equal(location_put(l, &a), E_OK);
    assert_int_equal(location_put(l, &b), E_OK);
    assert_int_equal(location_put(l, &udp), E_OK);
    assert_int_equal(location_put(l, &remote), E_OK);
    assert_int_equal(location_remove_conn(l, 4, 77), 0); /* another worker's 77 */
    assert_int_equal(location_remove_conn(l, 3, 0), 0);  /* no connection */
    a.conn = 78;                                         /* came back on a new one */
    a.cseq = 2;
    assert_int_equal(location_put(l, &a), E_OK);
    assert_int_equal(location_remove_conn(l, 3, 77), 1);
    assert_int_equal(location_remove_conn(l, 3, 78), 1);
    assert_int_equal(location_count(l), 2); /* UDP, and the other node's */
    for (uint16_t w = 0; w < 90; w++) {     /* one number, many workers */
        struct binding c = reg(100u + w, "sip:e@h", 1, 1000);
        c.worker = w;
        c.conn = 77;
        assert_int_equal(location_put(l, &c), E_OK);
    }
    for (uint16_t w = 0; w < 90; w++) {
        assert_int_equal(location_remove_conn(l, w, 77), 1);
    }
    location_free(l);
}

static void expiry(void **state)
{
    (void)state;
    struct location *l = table(5000);
    struct binding got[8];
    char contact[32];
    assert_int_equal(put(l, reg(1, "sip:a@h", 1, 1000)), E_OK);
    assert_int_equal(put(l, reg(1, "sip:b@h", 1, 2000)), E_OK);
    assert_int_equal(location_find(l, 1, 999, got, 8), 2);
    assert_int_equal(location_find(l, 1, 1000, got, 8), 1); /* expired, not swept yet */
    assert_string_equal(got[0].contact, "sip:b@h");
    assert_int_equal(location_expire(l, 999), 0);
    assert_int_equal(location_expire(l, 1000), 1);
    assert_int_equal(location_expire(l, 2000), 1);
    assert_int_equal(location_count(l), 0);
    /* put after its time has been swept */
    assert_int_equal(location_expire(l, 100000), 0);
    assert_int_equal(put(l, reg(1, "sip:late@h", 1, 50)), E_OK);
    assert_int_equal(location_find(l, 1, 100000, got, 8), 0);
    assert_int_equal(location_expire(l, 100000), 1);
    /* lifetimes of minutes to months, swept at every half a minute: each goes at its time */
    for (uint32_t i = 0; i < 2000; i++) {
        (void)snprintf(contact, sizeof contact, "sip:%u@h", i);
        assert_int_equal(put(l, reg(i, contact, 1, 200000 + (uint64_t)i * i * 1000)), E_OK);
    }
    uint32_t left = 2000;
    for (uint64_t now = 100000; left > 0; now += 30000) {
        left -= (uint32_t)location_expire(l, now);
        uint32_t want = 0;
        while (want < 2000 && 200000 + (uint64_t)want * want * 1000 <= now) {
            want++;
        }
        assert_int_equal(2000 - left, want);
        assert_int_equal(location_count(l), left);
    }
    location_free(l);
}

static void expiry_after_a_long_gap(void **state)
{
    (void)state;
    struct location *l = table(100);
    assert_int_equal(put(l, reg(1, "sip:a@h", 1, 10000)), E_OK);
    assert_int_equal(put(l, reg(2, "sip:a@h", 1, UINT64_MAX)), E_OK);
    assert_int_equal(location_expire(l, 1ull << 40), 1);
    assert_int_equal(location_expire(l, 5), 0); /* time never goes back; nothing breaks */
    assert_int_equal(put(l, reg(3, "sip:a@h", 1, 10)), E_OK);
    assert_int_equal(location_expire(l, 10), 1);
    assert_int_equal(location_count(l), 1);
    location_free(l);
}

struct seen {
    size_t n;
    uint64_t sum;
};

static void note(void *arg, const struct binding *b)
{
    struct seen *s = arg;
    s->n++;
    s->sum += b->line_id;
    assert_string_equal(b->contact, "sip:a@h");
}

static void walking(void **state)
{
    (void)state;
    struct location *l = table(2000);
    struct seen s = {0};
    location_each(l, note, &s);
    assert_int_equal(s.n, 0);
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_int_equal(put(l, reg(i, "sip:a@h", 1, 1000)), E_OK);
    }
    location_each(l, note, &s);
    assert_int_equal(s.n, 1000);
    assert_true(s.sum == 500500);
    location_free(l);
}

static void out_of_memory(void **state)
{
    (void)state;
    size_t before = mem_live();
    for (long nth = 0;; nth++) {
        struct location *l = NULL;
        mem_fail_at(nth);
        enum err e = location_new(10, &l);
        if (e == E_OK) {
            e = put(l, reg(1, "sip:a@h", 1, 1000));
            assert_int_equal(location_count(l), e == E_OK);
            location_free(l);
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

#define ROUNDS 3000

struct thread {
    pthread_t id;
    struct location *l;
    uint32_t n;
};

static void *hammer(void *arg)
{
    struct thread *t = arg;
    struct binding got[8];
    struct seen s = {0};
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct binding b = reg(i % 50, "sip:a@h", 1, i);
        (void)snprintf(b.call_id, sizeof b.call_id, "%u-%u", t->n, i);
        b.worker = (uint16_t)t->n;
        enum err e = location_put(t->l, &b);
        assert_true(e == E_OK || e == E_FULL);
        size_t n = location_find(t->l, i % 50, 0, got, 8);
        assert_true(n <= 1);
        if (i % 7 == 0) {
            (void)location_remove_conn(t->l, (uint16_t)t->n, b.conn);
        } else if (i % 11 == 0) {
            (void)location_expire(t->l, i);
        } else if (i % 13 == 0) {
            (void)location_remove_bti(t->l, b.bti_id);
        } else if (i % 101 == 0) {
            location_each(t->l, note, &s);
        }
    }
    return NULL;
}

static void many_threads(void **state)
{
    (void)state;
    struct thread t[4];
    struct location *l = table(40);
    for (uint32_t i = 0; i < 4; i++) {
        t[i] = (struct thread){.l = l, .n = i};
        assert_int_equal(pthread_create(&t[i].id, NULL, hammer, &t[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i].id, NULL);
    }
    struct seen s = {0};
    location_each(l, note, &s);
    assert_int_equal(location_count(l), s.n);
    assert_true(s.n <= 40);
    (void)location_expire(l, UINT64_MAX);
    assert_int_equal(location_count(l), 0);
    location_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_what_was_put),
        cmocka_unit_test(longest_texts_fit),
        cmocka_unit_test(order_of_registers),
        cmocka_unit_test(newest_first),
        cmocka_unit_test(limits),
        cmocka_unit_test(removing),
        cmocka_unit_test(dead_connections),
        cmocka_unit_test(expiry),
        cmocka_unit_test(expiry_after_a_long_gap),
        cmocka_unit_test(walking),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
