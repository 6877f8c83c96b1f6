#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "lawful_intercept/x2.h"

static const char invite[] = "INVITE sip:5551212@gc.example.net SIP/2.0\r\n\r\n";

static struct x2_pdu data_pdu(void)
{
    struct x2_pdu p = {.type = X2_DATA,
                       .format = X2_FORMAT_SIP,
                       .direction = X2_FROM_TARGET,
                       .xid = {0x7f, 0x0e, 0x3c, 0x0a, 0x4b, 0x1d, 0x4c, 0x2e, 0x9a, 0x5b, 0x11,
                               0x22, 0x33, 0x44, 0x55, 0x66},
                       .correlation = 0x42,
                       .has_sequence = true,
                       .has_time = true,
                       .sequence = 7,
                       .at_us = 1700000000123456ull,
                       .from = {4, 5060, {10, 1, 1, 5}},
                       .to = {4, 5060, {10, 1, 1, 1}},
                       .target = VIEW("<sipUri>sip:5550100@gc.example.net</sipUri>"),
                       .payload = VIEW("x")};
    p.payload = view_of(invite);
    return p;
}

static void is_octet_for_octet_what_the_standard_says(void **state)
{
    (void)state;
    static const uint8_t head[] = {
        0x00, 0x05, 0x00, 0x01, 0,    0,    0,    0x84, 0,    0,    0,    0x2D, 0x00, 0x09,
        0x00, 0x03, 0x7f, 0x0e, 0x3c, 0x0a, 0x4b, 0x1d, 0x4c, 0x2e, 0x9a, 0x5b, 0x11, 0x22,
        0x33, 0x44, 0x55, 0x66, 0,    0,    0,    0,    0,    0,    0,    0x42, 0,    8,
        0,    4,    0,    0,    0,    7,    0,    9,    0,    8,    0x65, 0x53, 0xF1, 0x00,
        0x07, 0x5B, 0xCA, 0x00, 0,    10,   0,    4,    10,   1,    1,    5,    0,    14,
        0,    2,    0x13, 0xC4, 0,    11,   0,    4,    10,   1,    1,    1,    0,    15,
        0,    2,    0x13, 0xC4, 0,    17,   0,    43};
    struct x2_pdu p = data_pdu();
    char out[512];
    size_t n = 0;

    assert_int_equal(x2_write(&p, out, sizeof out, &n), E_OK);
    assert_int_equal(n, sizeof head + 43 + sizeof invite - 1);
    assert_memory_equal(out, head, 7);
    assert_int_equal((unsigned char)out[7], sizeof head + 43);
    assert_memory_equal(out + 8, head + 8, 3);
    assert_int_equal((unsigned char)out[11], sizeof invite - 1);
    assert_memory_equal(out + 12, head + 12, sizeof head - 12);
    assert_memory_equal(out + sizeof head, p.target.p, 43);
    assert_memory_equal(out + sizeof head + 43, invite, sizeof invite - 1);
}

static void reads_what_was_written(void **state)
{
    (void)state;
    struct x2_pdu p = data_pdu(), back;
    char out[512], why[100];
    size_t n = 0, used = 0;

    p.to = (struct net_addr){6, 5061, {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
    assert_int_equal(x2_write(&p, out, sizeof out, &n), E_OK);
    assert_int_equal(x2_read(view_from(out, n), &back, &used, why, sizeof why), E_OK);
    assert_int_equal(used, n);
    assert_true(back.type == X2_DATA && back.sequence == 7 && back.at_us == p.at_us);
    assert_true(net_eq(&back.from, &p.from) && net_eq(&back.to, &p.to));
    assert_true(view_eq(back.target, p.target) && view_eq(back.payload, p.payload));
    assert_memory_equal(back.xid, p.xid, sizeof p.xid);
    assert_int_equal(back.correlation, 0x42);
    for (size_t i = 0; i < n; i++) {
        char *exact = malloc(i + 1);
        memcpy(exact, out, i);
        assert_int_equal(x2_read(view_from(exact, i), &back, &used, why, sizeof why), E_RANGE);
        free(exact);
    }
}

static void a_keepalive_and_its_answer(void **state)
{
    (void)state;
    static const uint8_t ack[] = {0, 5, 0, 4, 0, 0, 0, 0x30, 0, 0, 0, 0, 0, 0, 0, 0,
                                  0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0, 0, 0, 0, 0,
                                  0, 0, 0, 0, 0, 0, 0, 0,    0, 8, 0, 4, 0, 0, 0, 7};
    struct x2_pdu p = {.type = X2_KEEPALIVE_ACK, .has_sequence = true, .sequence = 7}, back;
    char out[64], why[100];
    size_t n = 0, used = 0;

    assert_int_equal(x2_write(&p, out, sizeof out, &n), E_OK);
    assert_int_equal(n, sizeof ack);
    assert_memory_equal(out, ack, sizeof ack);
    assert_int_equal(x2_read(view_from(ack, sizeof ack), &back, &used, why, sizeof why), E_OK);
    assert_true(back.type == X2_KEEPALIVE_ACK && back.sequence == 7);
}

static void what_makes_no_sense_is_named(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t octet;
        const char *why;
    } rows[] = {{0, 9, "no version"},
                {3, 9, "no such PDU type"},
                {4, 1, "a head"},
                {7, 39, "a head"},
                {7, 41, "half an attribute"},
                {8, 1, "a payload"},
                {40, 0xFF, "makes no sense"},
                {43, 5, "makes no sense"},
                {43, 200, "ends behind"}};
    struct x2_pdu p = data_pdu(), back;
    char out[512], why[100];
    size_t n = 0, used = 0;

    assert_int_equal(x2_write(&p, out, sizeof out, &n), E_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *exact = malloc(n);
        memcpy(exact, out, n);
        exact[rows[i].at] = (char)rows[i].octet;
        assert_int_equal(x2_read(view_from(exact, n), &back, &used, why, sizeof why), E_PARSE);
        assert_non_null(strstr(why, rows[i].why));
        free(exact);
    }
    assert_int_equal(x2_write(&p, out, 100, &n), E_RANGE);
    p.payload.n = X2_PAYLOAD_MAX + 1;
    assert_int_equal(x2_write(&p, out, sizeof out, &n), E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_octet_for_octet_what_the_standard_says),
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(a_keepalive_and_its_answer),
        cmocka_unit_test(what_makes_no_sense_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
