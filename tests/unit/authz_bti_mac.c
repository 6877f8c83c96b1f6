#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "authz/bti_mac.h"

#define KID "00112233445566778899aabbccddeeff"
#define MAC "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const uint8_t kid_octets[BTI_KID_BYTES] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                                  0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

static void right_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool scheme;
        uint64_t seq;
    } rows[] = {
        {"BTI-MAC kid=" KID ", seq=1, mac=" MAC, true, 1},
        {"kid=" KID ", seq=1, mac=" MAC, false, 1},
        {" \tBTI-MAC kid=" KID ", seq=10, mac=" MAC " \t", true, 10},
        {"kid=" KID ", seq=18446744073709551615, mac=" MAC, false, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bti_mac m;
        assert_int_equal(bti_mac_parse(view_of(rows[i].text), rows[i].scheme, &m), E_OK);
        assert_true(m.seq == rows[i].seq);
        assert_memory_equal(m.kid, kid_octets, sizeof kid_octets);
        assert_ptr_equal(m.digits.p, strstr(rows[i].text, MAC)); /* inside the text */
        assert_true(view_eq(m.digits, VIEW(MAC)));
    }
}

static void wrong_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err want;
    } rows[] = {
        {"", E_PARSE},
        {"BTI-MAC", E_PARSE},
        {"BTI-MAC ", E_PARSE},
        {"kid=" KID ", seq=1, mac=" MAC, E_PARSE},
        {"bti-mac kid=" KID ", seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC  kid=" KID ", seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC\tkid=" KID ", seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC KID=" KID ", seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid =" KID ", seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=\"" KID "\", seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=00112233445566778899AABBCCDDEEFF, seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=00112233445566778899aabbccddeef, seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=00112233445566778899aabbccddeeff0, seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=0x112233445566778899aabbccddeeff, seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=, seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ",seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ",  seq=1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", seq=, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", seq=0, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", seq=01, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", seq=+1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", seq=-1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", seq= 1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", seq=1 , mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", seq=0x1, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", seq=1a, mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", seq=18446744073709551616, mac=" MAC, E_RANGE},
        {"BTI-MAC kid=" KID ", seq=99999999999999999999999999, mac=" MAC, E_RANGE},
        {"BTI-MAC kid=" KID ", seq=1, mac=", E_PARSE},
        {"BTI-MAC kid=" KID ", seq=1,mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", seq=1, mac=" MAC "0", E_PARSE},
        {"BTI-MAC kid=" KID ", seq=1, mac=" MAC ", x=y", E_PARSE},
        {"BTI-MAC kid=" KID ", seq=1, mac=" MAC ",", E_PARSE},
        {"BTI-MAC kid=" KID ", seq=1, mac=" MAC "\r\n", E_PARSE},
        {"BTI-MAC kid=" KID ", seq=1, mac=\"" MAC "\"", E_PARSE},
        {"BTI-MAC kid=" KID ", seq=1, mac=0123456789ABCDEF0123456789abcdef"
         "0123456789abcdef0123456789abcdef",
         E_PARSE},
        {"BTI-MAC kid=" KID ", mac=" MAC ", seq=1", E_PARSE},
        {"BTI-MAC seq=1, kid=" KID ", mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", mac=" MAC, E_PARSE},
        {"BTI-MAC kid=" KID ", kid=" KID ", seq=1, mac=" MAC, E_PARSE},
        {"Digest username=\"a\", realm=\"b\"", E_PARSE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bti_mac m;
        memset(&m, 0x5a, sizeof m);
        const struct bti_mac before = m;
        enum err e = bti_mac_parse(view_of(rows[i].text), true, &m);
        if (e != rows[i].want) {
            fail_msg("\"%s\": %s", rows[i].text, err_name(e));
        }
        assert_memory_equal(&m, &before, sizeof m);
    }
    struct bti_mac m;
    assert_int_equal(bti_mac_parse(VIEW("BTI-MAC kid=" KID ", seq=1, mac=" MAC), false, &m),
                     E_PARSE); /* Authentication-Info has no scheme */
}

/* The one right spelling: another octet anywhere is refused or changes what it says. */
static void one_spelling(void **state)
{
    (void)state;
    static const char good[] = "BTI-MAC kid=" KID ", seq=1234567, mac=" MAC;
    char text[sizeof good];
    struct bti_mac was;
    assert_int_equal(bti_mac_parse(view_of(good), true, &was), E_OK);
    for (size_t i = 0; i < sizeof good - 1; i++) {
        for (int c = 0; c < 256; c++) {
            struct bti_mac m;
            memcpy(text, good, sizeof good);
            text[i] = (char)c;
            if (text[i] != good[i] &&
                bti_mac_parse(view_from(text, sizeof good - 1), true, &m) == E_OK) {
                assert_true(m.seq != was.seq || memcmp(m.kid, was.kid, sizeof m.kid) != 0 ||
                            !view_eq(m.digits, was.digits));
            }
        }
        struct bti_mac m; /* and cut short it is nothing */
        assert_int_equal(bti_mac_parse(view_from(good, i), true, &m), E_PARSE);
    }
}

static void which_scheme(void **state)
{
    (void)state;
    assert_true(bti_mac_is(VIEW("BTI-MAC kid=")));
    assert_false(bti_mac_is(VIEW("BTI-MAC")));
    assert_false(bti_mac_is(VIEW("BTI-MACX kid=")));
    assert_false(bti_mac_is(VIEW("Digest BTI-MAC kid=")));
    assert_false(bti_mac_is(VIEW("")));
}

static void formats_what_it_parses(void **state)
{
    (void)state;
    char out[BTI_MAC_VALUE_MAX];
    for (int scheme = 0; scheme < 2; scheme++) {
        struct bti_mac m;
        size_t n = bti_mac_format(scheme, kid_octets, UINT64_MAX, out);
        assert_int_equal(n, strlen(out));
        assert_int_equal(bti_mac_parse(view_from(out, n), scheme, &m), E_OK);
        assert_true(m.seq == UINT64_MAX);
        assert_memory_equal(m.kid, kid_octets, sizeof kid_octets);
        assert_ptr_equal(m.digits.p, out + n - BTI_MAC_DIGITS);
        for (size_t i = 0; i < BTI_MAC_DIGITS; i++) {
            assert_int_equal(m.digits.p[i], '0');
        }
    }
    assert_true(view_starts(view_of(out), VIEW("BTI-MAC kid=" KID ", seq=1844")));
}

struct message {
    char text[400];
    size_t n, at;
    struct hmac_key key;
};

static struct message message(void)
{
    struct message m = {.at = 0};
    struct secret s = {.n = 32, .b = {1}};
    char value[BTI_MAC_VALUE_MAX];
    (void)bti_mac_format(true, kid_octets, 42, value);
    int n = snprintf(m.text, sizeof m.text,
                     "INVITE sip:611@x SIP/2.0\r\nProxy-Authorization: %s\r\n\r\nbody", value);
    m.n = (size_t)n;
    m.at = (size_t)(strstr(m.text, "mac=") - m.text) + 4;
    assert_int_equal(hmac_key_set(&m.key, &s), E_OK);
    assert_int_equal(bti_mac_fill(&m.key, m.text, m.n, m.at), E_OK);
    return m;
}

static enum err verify(const struct message *m, size_t at)
{
    return bti_mac_verify(&m->key, view_from(m->text, m->n),
                          view_from(m->text + at, BTI_MAC_DIGITS));
}

static void every_octet_of_the_message(void **state)
{
    (void)state;
    struct message m = message();
    assert_int_equal(verify(&m, m.at), E_OK);
    for (size_t i = 0; i < m.n; i++) {
        char was = m.text[i];
        bool digit = i >= m.at && i < m.at + BTI_MAC_DIGITS;
        for (int c = 0; c < 256; c++) {
            m.text[i] = (char)c;
            bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            enum err want = m.text[i] == was ? E_OK : digit && !hex ? E_PARSE : E_AUTH;
            assert_int_equal(verify(&m, m.at), want);
        }
        m.text[i] = was;
    }
    m.n--; /* cut and grown */
    assert_int_equal(verify(&m, m.at), E_AUTH);
    m.n += 2;
    assert_int_equal(verify(&m, m.at), E_AUTH);
}

static void another_key(void **state)
{
    (void)state;
    struct message m = message();
    struct secret s = {.n = 32, .b = {1}};
    for (size_t i = 0; i < 32; i++) {
        s.b[i] ^= 0x40;
        assert_int_equal(hmac_key_set(&m.key, &s), E_OK);
        assert_int_equal(verify(&m, m.at), E_AUTH);
        s.b[i] ^= 0x40;
    }
    assert_int_equal(hmac_key_set(&m.key, &s), E_OK);
    assert_int_equal(verify(&m, m.at), E_OK);
}

/* The digits must lie inside: neighbours in memory, and a view of another length, do not. */
static void digits_inside(void **state)
{
    (void)state;
    struct message m = message();
    char around[BTI_MAC_DIGITS * 3];
    memset(around, '0', sizeof around);
    struct view inner = view_from(around + BTI_MAC_DIGITS, BTI_MAC_DIGITS);
    for (size_t at = 0; at <= 2 * BTI_MAC_DIGITS; at++) {
        struct view digits = view_from(around + at, BTI_MAC_DIGITS);
        assert_int_equal(bti_mac_verify(&m.key, inner, digits),
                         at == BTI_MAC_DIGITS ? E_AUTH : E_PARSE);
    }
    struct view raw = view_from(m.text, m.n);
    assert_int_equal(bti_mac_verify(&m.key, raw, view_from(m.text + m.at, 63)), E_PARSE);
    assert_int_equal(bti_mac_verify(&m.key, raw, view_from(m.text + m.at, 0)), E_PARSE);
    assert_int_equal(bti_mac_verify(&m.key, raw, VIEW(MAC)), E_PARSE);
    assert_int_equal(bti_mac_verify(&m.key, view_from(m.text + m.at, 63),
                                    view_from(m.text + m.at, BTI_MAC_DIGITS)),
                     E_PARSE);
}

static void fill_stays_inside(void **state)
{
    (void)state;
    struct message m = message();
    const struct message before = m;
    assert_int_equal(bti_mac_fill(&m.key, m.text, m.n, m.n - BTI_MAC_DIGITS + 1), E_RANGE);
    assert_int_equal(bti_mac_fill(&m.key, m.text, m.n, SIZE_MAX), E_RANGE);
    assert_int_equal(bti_mac_fill(&m.key, m.text, BTI_MAC_DIGITS - 1, 0), E_RANGE);
    assert_memory_equal(m.text, before.text, sizeof m.text);
    assert_int_equal(bti_mac_fill(&m.key, m.text, m.n, m.n - BTI_MAC_DIGITS), E_OK);
    assert_int_equal(verify(&m, m.n - BTI_MAC_DIGITS), E_OK); /* at the very end */
}

/* What stood at the place of the digits does not matter: they count as zeros. */
static void digits_count_as_zeros(void **state)
{
    (void)state;
    struct message m = message();
    char zeros[sizeof m.text];
    uint8_t mac[SHA256_BYTES];
    char hex[BTI_MAC_DIGITS + 1];
    memcpy(zeros, m.text, m.n);
    memset(zeros + m.at, '0', BTI_MAC_DIGITS);
    struct secret s = {.n = 32, .b = {1}};
    assert_int_equal(hmac_sha256(&s, view_from(zeros, m.n), mac), E_OK);
    hex_put(mac, sizeof mac, hex);
    assert_memory_equal(m.text + m.at, hex, BTI_MAC_DIGITS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_spellings),
        cmocka_unit_test(wrong_spellings),
        cmocka_unit_test(one_spelling),
        cmocka_unit_test(which_scheme),
        cmocka_unit_test(formats_what_it_parses),
        cmocka_unit_test(every_octet_of_the_message),
        cmocka_unit_test(another_key),
        cmocka_unit_test(digits_inside),
        cmocka_unit_test(fill_stays_inside),
        cmocka_unit_test(digits_count_as_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
