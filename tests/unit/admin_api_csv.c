/* CSV: quotes as RFC 4180 has them, nothing that a spreadsheet would run, and limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "admin_api/csv.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void fields(void **state)
{
    (void)state;
    const struct {
        struct view in;
        const char *out;
    } cases[] = {
        {VIEW(""), ""},
        {VIEW("abc"), "abc"},
        {VIEW("a b"), "a b"},
        {VIEW("a,b"), "\"a,b\""},
        {VIEW("a\"b"), "\"a\"\"b\""},
        {VIEW("\""), "\"\"\"\""},
        {VIEW("a\r\nb"), "\"a\r\nb\""},
        {VIEW("a\nb"), "\"a\nb\""},
        {VIEW("=1+1"), "'=1+1"},
        {VIEW("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0"},
        {VIEW("  =1+1"), "'  =1+1"},
        {VIEW("@SUM(1,2)"), "\"'@SUM(1,2)\""},
        {VIEW("+A1"), "'+A1"},
        {VIEW("-A1"), "'-A1"},
        {VIEW("+1+1"), "'+1+1"},
        {VIEW("+"), "'+"},
        {VIEW("-"), "'-"},
        {VIEW("\tx"), "'\tx"},
        {VIEW("\rx"), "\"'\rx\""},
        {VIEW("+12125550101"), "+12125550101"},
        {VIEW("-3.5"), "-3.5"},
        {VIEW("-3.5.1"), "'-3.5.1"},
        {VIEW("12.25"), "12.25"},
        {VIEW("a=b"), "a=b"},
        {VIEW("J\xc3\xbcrgen"), "J\xc3\xbcrgen"},
    };
    char dst[64];

    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t n = 0;
        assert_int_equal(csv_field(cases[i].in, true, dst, sizeof dst, &n), E_OK);
        assert_int_equal(n, strlen(cases[i].out));
        assert_memory_equal(dst, cases[i].out, n);
    }
}

static void rows(void **state)
{
    (void)state;
    char dst[16];
    size_t n = 0;

    assert_int_equal(csv_field(VIEW("a"), true, dst, sizeof dst, &n), E_OK);
    assert_int_equal(csv_field(VIEW(""), false, dst, sizeof dst, &n), E_OK);
    assert_int_equal(csv_field(VIEW("b,"), false, dst, sizeof dst, &n), E_OK);
    assert_int_equal(csv_end(dst, sizeof dst, &n), E_OK);
    assert_int_equal(n, 9);
    assert_memory_equal(dst, "a,,\"b,\"\r\n", n);
}

/* Whatever does not fit leaves the row as it was. */
static void no_room(void **state)
{
    (void)state;
    const struct view v = VIEW("=\"a\",b");
    char dst[16];

    for (size_t room = 0; room < 12; room++) { /* ,"'=""a"",b" are 12 octets */
        size_t n = 0;
        assert_int_equal(csv_field(v, false, dst, room, &n), E_RANGE);
        assert_int_equal(n, 0);
    }
    size_t n = 0;
    assert_int_equal(csv_field(v, false, dst, 12, &n), E_OK);
    assert_int_equal(n, 12);
    n = 1;
    assert_int_equal(csv_end(dst, 2, &n), E_RANGE);
    assert_int_equal(n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(rows),
        cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
