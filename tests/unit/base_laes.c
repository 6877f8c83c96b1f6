/* What others say of interception stands in no copy of a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/laes.h"
#include "base/mem.h"

#define TO "\r\nTo: <sip:b@h>\r\n"

static void what_goes(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"INVITE x SIP/2.0" TO "P-DCS-LAES: 192.0.2.1:5;content=192.0.2.1:6\r\nl: 0\r\n\r\n",
         "INVITE x SIP/2.0" TO "l: 0\r\n\r\n"},
        {"INVITE x SIP/2.0\r\np-dcs-laes \t:\r\n 192.0.2.1:5;\r\n\tkey=1\r\nl: 0\r\n\r\n",
         "INVITE x SIP/2.0\r\nl: 0\r\n\r\n"},
        {"INVITE x SIP/2.0" TO "P-DCS-LAES: 1\r\nDCS-Laes: 2\r\nP-DCS-LAES:3\r\n\r\n",
         "INVITE x SIP/2.0" TO "\r\n"},
        {"INVITE x SIP/2.0\nP-DCS-LAES: 1\nTo: b\n\n", "INVITE x SIP/2.0\nTo: b\n\n"},
        {"P-DCS-LAES: cut off", ""},
        {"Contact: <sip:b@h?P-DCS-LAES=1%3A5&Replaces=a>\r\n", "Contact: <sip:b@h?Replaces=a>\r\n"},
        {"Contact: <sip:b@h?a=b&p%2Ddcs%2dLAES=1&Replaces=a>\r\n",
         "Contact: <sip:b@h?a=b&Replaces=a>\r\n"},
        {"Refer-To: <sip:b@h?a=b&P-DCS-LAES=1>;x\r\n", "Refer-To: <sip:b@h?a=b>;x\r\n"},
        {"Refer-To: sip:b@h?P-DCS-LAES=1\r\n", "Refer-To: sip:b@h\r\n"},
        {"INVITE sip:b@h?P-DCS-LAES=1 SIP/2.0\r\n", "INVITE sip:b@h SIP/2.0\r\n"},
        {"NOTIFY x SIP/2.0\r\nP-DCS-LAES: 1\r\nl: 44\r\n\r\nINVITE y SIP/2.0\r\nP-DCS-LAES: "
         "secret\r\n",
         "NOTIFY x SIP/2.0\r\nl: 44\r\n\r\nINVITE y SIP/2.0\r\nP-DCS-LAES********\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        size_t n = strlen(rows[i].in), want = strlen(rows[i].out);
        memcpy(text, rows[i].in, n);
        n = laes_cut(text, n);
        if (i + 1 == sizeof rows / sizeof rows[0]) { /* a body keeps its length */
            assert_int_equal(n, strlen(rows[i].in) - strlen("P-DCS-LAES: 1\r\n"));
            assert_null(memmem(text, n, "secret", 6));
        } else {
            assert_int_equal(n, want);
        }
        assert_memory_equal(text, rows[i].out, want);
    }
}

static void what_stays(void **state)
{
    static const char *const rows[] = {"",
                                       "laes",
                                       "LAES: 1\r\n",
                                       "To: P-DCS-LAES: 1\r\n",
                                       "X-P-DCS-LAES: 1\r\n",
                                       "P-DCS-LAESE: 1\r\n",
                                       "P-DCS-LAES\r\n: 1\r\n",
                                       "Contact: <sip:b@h;P-DCS-LAES=1>\r\n",
                                       "Contact: <sip:b@h?P-DCS-LAES>\r\n",
                                       "Subject: laeslaeslaes LAE\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        size_t n = strlen(rows[i]);
        memcpy(text, rows[i], n);
        assert_int_equal(laes_cut(text, n), n);
        assert_memory_equal(text, rows[i], n);
    }
}

/* Cut anywhere, and with any octet somewhere: it stays within its octets (sanitizers look on). */
static void any_octets(void **state)
{
    static const char text[] =
        "INVITE sip:b@h?a=1&P%2dDCS-LAES=1&b SIP/2.0\r\nP-DCS-LAES :\r\n 1\r\n"
        "Dcs-Laes:2\r\n\r\nP-DCS-LAES: 3";
    (void)state;
    for (size_t n = 0; n < sizeof text; n++) {
        for (unsigned i = 0; i < 256; i += 3) {
            char *copy = mem_zalloc(n + 1);
            assert_non_null(copy);
            memcpy(copy, text, n);
            copy[n] = 0;
            if (n > 0) {
                copy[(i * 7 + n) % n] = (char)i;
            }
            assert_true(laes_cut(copy, n) <= n);
            mem_free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes),
        cmocka_unit_test(what_stays),
        cmocka_unit_test(any_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
