#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "lawful_intercept/cdc.h"
#include "tests/unit/cdc_samples.h"

#define AT_US CDC_SAMPLE_AT_US

static enum err write_it(const struct cdc_message *m, char *dst, size_t dst_bytes, size_t *n,
                         char why[128])
{
    why[0] = 0;
    return cdc_write(m, dst, dst_bytes, n, why, 128);
}

static void is_octet_for_octet_what_the_module_says(void **state)
{
    (void)state;
    struct cdc_message m = cdc_sample(3, CDC_ORIGINATION);
    char out[512], hex[1025], why[128];
    size_t n = 0;

    m.calling = cdc_sample_anna;
    m.called = cdc_sample_bob;
    m.user_input = VIEW("5551212");
    m.carrier = VIEW("0288");
    m.case_id = VIEW("CASE-0001");
    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_OK);
    hex_put(out, n, hex);
    assert_int_equal(n, 125);
    assert_string_equal(hex, "307b800103a176a574"                         /* version, Origination */
                             "8009434153452d303030318103474331"           /* case, element */
                             "821332303233313131343232313332302e3132335a" /* time */
                             "a316800d333930393939373430302c343281053030474331" /* call */
                             "a419860735353530313030"                   /* calling: number, */
                             "8a0831302e312e312e35910435303630"         /* address, port */
                             "a509860735353531323132860735353531323132" /* called, userinput */
                             "8800890430323838");                       /* reserved, carrier */
}

static void explicit_choices_keep_their_own_tag(void **state)
{
    (void)state;
    struct cdc_message m = cdc_sample(4, CDC_CCCLOSE);
    char out[256], why[128];
    size_t n = 0;

    m.content.both = VIEW("0000BEEF");
    m.flow = CDC_BOTH;
    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_OK);
    assert_memory_equal(out + n - 15,
                        "\xA3\x0A\x80\x08"
                        "0000BEEF"
                        "\x84\x01\x03",
                        15);
    m.content = (struct cdc_content){.transmit = VIEW("00000001"), .receive = VIEW("00000002")};
    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_OK);
    assert_memory_equal(out + n - 27,
                        "\xA3\x16\xA1\x14\x80\x08"
                        "00000001"
                        "\x81\x08"
                        "00000002"
                        "\x84\x01\x03",
                        27);
}

static void every_message_reads_as_it_was_written(void **state)
{
    (void)state;
    static char out[CDC_MAX], again[CDC_MAX];
    char why[128];
    unsigned kinds = 0;

    for (uint32_t version = 3; version <= 4; version++) {
        for (unsigned kind = 0; kind < 32; kind++) {
            struct cdc_message m = cdc_sample_full(version, (enum cdc_kind)kind), back;
            size_t n = 0, read = 0, n_again = 0;
            if (!cdc_has(version, (enum cdc_kind)kind)) {
                assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_RANGE);
                continue;
            }
            kinds++;
            assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_OK);
            assert_int_equal(cdc_read(view_from(out, n), &back, &read, why, sizeof why), E_OK);
            assert_int_equal(read, n);
            assert_int_equal(back.at_us, AT_US);
            assert_int_equal(back.version, version);
            assert_int_equal(write_it(&back, again, sizeof again, &n_again, why), E_OK);
            assert_int_equal(n_again, n);
            assert_memory_equal(out, again, n);
        }
    }
    assert_int_equal(kinds, 12 + 14);
}

static void no_part_of_a_message_is_one(void **state)
{
    (void)state;
    static char out[CDC_MAX];
    struct cdc_message m = cdc_sample_full(4, CDC_CONFERENCE_CHANGE), back;
    char why[128];
    size_t n = 0, read = 0;

    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_OK);
    for (size_t i = 0; i < n; i++) {
        char *exact = malloc(i + 1); /* so that a read past its end is seen */
        memcpy(exact, out, i);
        assert_int_equal(cdc_read(view_from(exact, i), &back, &read, why, sizeof why), E_RANGE);
        free(exact);
    }
}

/* Any one octet altered: refused, or read as something that can be written again. */
static void altered_octets_are_no_danger(void **state)
{
    (void)state;
    static char out[CDC_MAX], again[CDC_MAX];
    char why[128];

    for (unsigned kind = 1; kind <= 20; kind++) {
        struct cdc_message m = cdc_sample_full(4, (enum cdc_kind)kind), back;
        size_t n = 0, read = 0, n_again = 0;
        if (!cdc_has(4, (enum cdc_kind)kind)) {
            continue;
        }
        assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_OK);
        for (size_t i = 0; i < n; i++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                char *exact = malloc(n);
                memcpy(exact, out, n);
                exact[i] = (char)((unsigned char)exact[i] ^ (1u << bit));
                if (cdc_read(view_from(exact, n), &back, &read, why, sizeof why) == E_OK) {
                    assert_true(read <= n);
                    IGNORE(write_it(&back, again, sizeof again, &n_again, why),
                           "values of later versions are read and not written");
                }
                free(exact);
            }
        }
    }
}

struct refusal {
    const char *hex; /* behind the common head */
    enum cdc_kind kind;
    const char *why;
};

static void faults_are_named(void **state)
{
    (void)state;
    static const struct refusal rows[] = {
        {"", CDC_RELEASE, "Release lacks call"},
        {"a409800141810142", CDC_RELEASE, "ends behind"},
        {"a406800141810142", CDC_RELEASE, "Release lacks call"},
        {"a306800141810142a4008000", CDC_ORIGINATION, "out of its order"},
        {"a306800141810142a400860131", CDC_ORIGINATION, "lacks reserved"},
        {"a306800141810142a4008601318701318800", CDC_ORIGINATION, "exactly one of its choices"},
        {"a306800141810142a4008800", CDC_ORIGINATION, "exactly one of its choices"},
        {"850830303030424545468401"
         "03",
         CDC_CCCLOSE, "out of its order"},
        {"8308303030304245454684"
         "0103",
         CDC_CCCLOSE, "form of another type"},
        {"a302a000840103", CDC_CCCLOSE, "form of another type"},
        {"a300840103", CDC_CCCLOSE, "exactly one of its choices"},
        {"a306a004800131"
         "0100840103",
         CDC_CCCLOSE, "form of another type"},
        {"a308a006800131810132840103", CDC_CCCLOSE, "form of another type"},
        {"a30aa108800131810132", CDC_CCCLOSE, "ends behind"},
        {"a308a106800131810132", CDC_CCCLOSE, "lacks flow"},
        {"a30a80083030303042454546"
         "8400",
         CDC_CCCLOSE, "no number"},
        {"a3068001418101428401"
         "00",
         CDC_DIALED_DIGITS, "octets"},
        {"a306800141810142a400", CDC_SUBJECT_SIGNAL, "is empty"},
        {"a306800141810142", CDC_NETWORK_SIGNAL, "lacks signaledToPartyId"},
    };
    char why[128];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static const char head[] = "\x80\x01"
                                   "C"
                                   "\x81\x01"
                                   "E"
                                   "\x82\x13"
                                   "20231114221320.123Z";
        uint8_t pdu[256] = {0x30, 0, 0x80, 1, 4, 0xA1, 0, 0, 0};
        size_t hex_n = strlen(rows[i].hex), n = 9, read = 0;
        struct cdc_message m;
        memcpy(pdu + n, head, sizeof head - 1);
        n += sizeof head - 1;
        assert_int_equal(hex_get(view_of(rows[i].hex), pdu + n, hex_n / 2), E_OK);
        n += hex_n / 2;
        pdu[1] = (uint8_t)(n - 2);
        pdu[6] = (uint8_t)(n - 7);
        pdu[7] = (uint8_t)(0xA0 | (unsigned)rows[i].kind);
        pdu[8] = (uint8_t)(n - 9);
        assert_int_equal(cdc_read(view_from(pdu, n), &m, &read, why, sizeof why), E_PARSE);
        if (strstr(why, rows[i].why) == NULL) {
            fail_msg("row %zu: %s", i, why);
        }
    }
}

static void the_writer_refuses_what_the_module_does(void **state)
{
    (void)state;
    char out[1024], why[128], longer[200];
    size_t n = 0;
    struct cdc_message m = cdc_sample_full(4, CDC_ORIGINATION);

    memset(longer, 'x', sizeof longer);
    m.case_id = view_from(longer, 26);
    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_RANGE);
    assert_string_equal(why, "case_id is too long");
    m = cdc_sample_full(4, CDC_ORIGINATION);
    m.element = VIEW("");
    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_RANGE);
    assert_string_equal(why, "element is missing");
    m = cdc_sample_full(4, CDC_ORIGINATION);
    m.calling.generic_name = VIEW("Ren\xC3\xA9");
    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_RANGE);
    assert_string_equal(why, "generic_name has octets that it must not have");
    m = cdc_sample_full(4, CDC_ORIGINATION);
    m.translation_input = VIEW("611");
    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_RANGE);
    assert_string_equal(why, "Origination has more than one of its choices");
    m = cdc_sample_full(4, CDC_TERMINATION_ATTEMPT);
    m.redirected.times = 101;
    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_RANGE);
    m = cdc_sample_full(4, CDC_CCOPEN);
    m.n_open = 0;
    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_RANGE);
    assert_string_equal(why, "ccOpenTime is missing");
    m = cdc_sample_full(4, CDC_CCOPEN);
    m.subject = VIEW("v=0\r\n\xC0\x80");
    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_RANGE);
    m = cdc_sample_full(4, CDC_RELEASE);
    assert_int_equal(write_it(&m, out, 40, &n, why), E_RANGE);
    assert_string_equal(why, "the message does not fit");
    m = cdc_sample_full(5, CDC_RELEASE);
    assert_int_equal(write_it(&m, out, sizeof out, &n, why), E_RANGE);
}

/* What a later version adds behind the fields that we know is skipped; a stream is taken apart. */
static void later_fields_are_skipped_and_streams_taken_apart(void **state)
{
    (void)state;
    static const uint8_t later[] = {
        0x30, 0x37, 0x80, 1,   4,   0xA1, 0x2E, 0xA8, 0x2C, 0x80, 1,   'C',  0x81, 1,   'E',
        0x82, 0x13, '2',  '0', '2', '3',  '1',  '1',  '1',  '4',  '2', '2',  '1',  '3', '2',
        '0',  '.',  '1',  '2', '3', 'Z',  0xA3, 6,    0x80, 1,    'A', 0x81, 1,    'B', 0x9E,
        7,    'u',  'n',  'k', 'n', 'o',  'w',  'n',  0x82, 2,    'x', 'x'};
    uint8_t twice[2 * sizeof later];
    struct cdc_message m;
    char why[128];
    size_t n = 0;

    memcpy(twice, later, sizeof later);
    memcpy(twice + sizeof later, later, sizeof later);
    assert_int_equal(cdc_read(view_from(twice, sizeof twice), &m, &n, why, sizeof why), E_OK);
    assert_int_equal(n, sizeof later);
    assert_true(m.kind == CDC_RELEASE && view_eq(m.call.sequence, VIEW("A")));
    assert_int_equal(cdc_read(view_from(twice + n, sizeof later), &m, &n, why, sizeof why), E_OK);
}

static void names_become_visible_strings(void **state)
{
    (void)state;
    char b[9];

    assert_true(view_eq(cdc_visible(VIEW("Ren\xC3\xA9 \x01x"), 8, b), VIEW("Ren? ?x")));
    assert_true(view_eq(cdc_visible(VIEW("0123456789"), 8, b), VIEW("01234567")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_octet_for_octet_what_the_module_says),
        cmocka_unit_test(explicit_choices_keep_their_own_tag),
        cmocka_unit_test(every_message_reads_as_it_was_written),
        cmocka_unit_test(no_part_of_a_message_is_one),
        cmocka_unit_test(altered_octets_are_no_danger),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(the_writer_refuses_what_the_module_does),
        cmocka_unit_test(later_fields_are_skipped_and_streams_taken_apart),
        cmocka_unit_test(names_become_visible_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
