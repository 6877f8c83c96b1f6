/* Frames and rows of fields: what is cut, what is refused, with which error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "provisioning/lockout.h"
#include "provisioning/wire.h"

static void frames_are_cut(void **state)
{
    (void)state;
    const struct {
        const char *octets;
        size_t n;
        enum err e;
        size_t cut;
    } rows[] = {
        {"", 0, E_STATE, 0},
        {"\x01", 1, E_STATE, 0},
        {"\x02", 1, E_PARSE, 0},
        {"\x01\x01\x40", 3, E_STATE, 0},
        {"\x01\x01\x40\x00", 4, E_STATE, 0},
        {"\x01\x01\x40\x01", 4, E_RANGE, 0},
        {"\x01\x01\xff\xff", 4, E_RANGE, 0},
        {"\x01\x01\x00\x00", 4, E_OK, 4},
        {"\x01\x01\x00\x02xy\x01", 7, E_OK, 6},
        {"\x01\x01\x00\x02x", 5, E_STATE, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = 0;
        assert_int_equal(wire_cut(view_from(rows[i].octets, rows[i].n), &n), rows[i].e);
        assert_int_equal(n, rows[i].cut);
    }
}

/* Reads CODE(70, 2 octets), then TEXT(71) when it is there, then the end. */
static enum err read_row(struct view body)
{
    uint64_t code = 0;
    struct view text;
    enum err e = E_OK;
    TRY(wire_get_u(&body, WF_CODE, 2, &code));
    if (wire_next_is(body, WF_TEXT)) {
        TRY(wire_get(&body, WF_TEXT, 0, 4, &text));
    }
    TRY(wire_finish(body));
out:
    return e;
}

#define CODE  "\x80\x46\x00\x02\x00\x01"
#define TEXT  "\x80\x47\x00\x02no"
#define LOW   "\x00\x0f\x00\x01x" /* unknown, not critical: 15, 72, 73 */
#define HIGH  "\x00\x48\x00\x01x"
#define HIGH2 "\x00\x49\x00\x00"

static void rows_of_fields(void **state)
{
    (void)state;
#define ROW(text, e)                                                                               \
    {                                                                                              \
        text, sizeof text - 1, e                                                                   \
    }
    const struct {
        const char *octets;
        size_t n;
        enum err e;
    } rows[] = {
        ROW(CODE, E_OK),
        ROW(CODE TEXT, E_OK),
        ROW(LOW CODE TEXT HIGH HIGH2, E_OK),
        /* order: repeated, descending, known or not, critical or not */
        ROW(CODE CODE, E_PARSE),
        ROW(TEXT CODE, E_PARSE),
        ROW(CODE TEXT TEXT, E_PARSE),
        ROW(CODE HIGH HIGH, E_PARSE),
        ROW(CODE HIGH2 HIGH, E_PARSE),
        ROW(HIGH CODE, E_PARSE),
        ROW(CODE LOW, E_PARSE),
        ROW(CODE HIGH TEXT, E_PARSE),
        ROW(LOW LOW CODE, E_PARSE),
        /* the critical bit */
        ROW("\x00\x46\x00\x02\x00\x01", E_PARSE),
        ROW(CODE "\x80\x48\x00\x00", E_DENIED),
        ROW("\x80\x0f\x00\x00" CODE, E_DENIED),
        ROW(CODE "\x80\x5b\x00\x00", E_PARSE), /* known, but not here */
        ROW("\x81\x46\x00\x00", E_DENIED),     /* 326 is not 70 */
        /* lengths */
        ROW("", E_PARSE),
        ROW("\x80\x46\x00\x01\x01", E_PARSE),
        ROW("\x80\x46\x00\x03\x00\x00\x01", E_PARSE),
        ROW("\x80\x46\x00\x02\x00", E_PARSE),
        ROW("\x80\x46\x00", E_PARSE),
        ROW(CODE "\x80", E_PARSE),
        ROW(CODE "\x80\x47\x00", E_PARSE),
        ROW(CODE "\x80\x47\x00\x05hello", E_PARSE),
        ROW(CODE "\x80\x47\xff\xff", E_PARSE),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum err e = read_row(view_from(rows[i].octets, rows[i].n));
        if (e != rows[i].e) {
            fail_msg("row %zu: %s", i, err_name(e));
        }
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    uint8_t buf[32];
    struct wire_out w;
    struct view body;
    uint8_t type = 0;
    wire_begin(&w, buf, sizeof buf, WIRE_ERROR);
    wire_put_u(&w, WF_CODE, 0x0102, 2);
    wire_put(&w, WF_TEXT, "abc", 3);
    assert_int_equal(wire_end(&w), E_OK);
    assert_int_equal(w.n, 4 + 6 + 7);
    assert_memory_equal(buf,
                        "\x01\x08\x00\x0d\x80\x46\x00\x02\x01\x02\x80\x47\x00\x03"
                        "abc",
                        17);
    assert_int_equal(wire_open(view_from(buf, w.n), &type, &body), E_OK);
    assert_int_equal(type, WIRE_ERROR);
    assert_int_equal(read_row(body), E_OK);
    assert_int_equal(wire_open(view_from(buf, w.n - 1), &type, &body), E_PARSE);
    wire_put(&w, WF_SIGNATURE, buf, 12);
    assert_int_equal(wire_end(&w), E_RANGE);
}

static void sources_that_share_a_lock(void **state)
{
    (void)state;
    const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct net_addr x, y;
        assert_int_equal(net_parse_ip(view_of(rows[i].a), &x), E_OK);
        assert_int_equal(net_parse_ip(view_of(rows[i].b), &y), E_OK);
        assert_int_equal(view_eq(lockout_source(&x), lockout_source(&y)), rows[i].same);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_cut),
        cmocka_unit_test(rows_of_fields),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(sources_that_share_a_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
