#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "routing/dialplan.h"

struct row {
    const char *dialled;
    enum dial_class class;
    const char *e164;
};

static struct dialplan north_america(void)
{
    return (struct dialplan){
        .provisioning = VIEW("611"),
        .emergency = {VIEW("911"), VIEW("112")},
        .n_emergency = 2,
        .country_code = VIEW("1"),
        .national_prefix = VIEW("1"),
        .international_prefix = VIEW("011"),
        .area = VIEW("212"),
        .national_digits = 10,
    };
}

static void check(const struct dialplan *p, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct dialled d = dialplan_classify(p, view_of(rows[i].dialled));
        if (d.class != rows[i].class || strcmp(d.e164, rows[i].e164) != 0) {
            fail_msg("\"%s\": class %d \"%s\", not class %d \"%s\"", rows[i].dialled, (int)d.class,
                     d.e164, (int)rows[i].class, rows[i].e164);
        }
    }
}

#define CHECK(plan, ...)                                                                           \
    check(plan, (const struct row[]){__VA_ARGS__},                                                 \
          sizeof((const struct row[]){__VA_ARGS__}) / sizeof(struct row))

static void codes(void **state)
{
    (void)state;
    struct dialplan p = north_america();
    CHECK(&p, {"611", DIAL_PROVISIONING, "611"}, {"911", DIAL_EMERGENCY, "911"},
          {"112", DIAL_EMERGENCY, "112"}, {"9111", DIAL_INVALID, "9111"},
          {"91", DIAL_INVALID, "91"}, {"+911", DIAL_INVALID, "+911"},
          {"6110", DIAL_INVALID, "6110"}, {"61", DIAL_INVALID, "61"}, {"411", DIAL_INVALID, "411"},
          {"911 ", DIAL_INVALID, ""}, {"0", DIAL_INVALID, "0"});
}

static void emergency_urns(void **state)
{
    (void)state;
    struct dialplan p = north_america();
    CHECK(&p, {"urn:service:sos", DIAL_EMERGENCY, "urn:service:sos"},
          {"urn:service:sos.police", DIAL_EMERGENCY, "urn:service:sos.police"},
          {"urn:service:sos.ecall.manual", DIAL_EMERGENCY, "urn:service:sos.ecall.manual"},
          {"urn:service:sos.animal-control", DIAL_EMERGENCY, "urn:service:sos.animal-control"},
          {"URN:Service:SOS.Fire", DIAL_EMERGENCY, "urn:service:sos.fire"},
          {"service:sos.police", DIAL_EMERGENCY, "urn:service:sos.police"},
          {"urn:service:sos.", DIAL_EMERGENCY, "urn:service:sos"},
          {"urn:service:sos..x", DIAL_EMERGENCY, "urn:service:sos"},
          {"urn:service:sos.a\r\nb", DIAL_EMERGENCY, "urn:service:sos"},
          {"urn:service:sos.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", DIAL_EMERGENCY,
           "urn:service:sos.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
          {"urn:service:sos.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", DIAL_EMERGENCY,
           "urn:service:sos"},
          {"urn:service:sosx", DIAL_INVALID, ""}, {"urn:service:so", DIAL_INVALID, ""},
          {"urn:service:counseling", DIAL_INVALID, ""}, {"urn:", DIAL_INVALID, ""},
          {"sos", DIAL_INVALID, ""});
}

static void subscribers(void **state)
{
    (void)state;
    struct dialplan p = north_america();
    CHECK(&p, {"5550101", DIAL_SUBSCRIBER, "+12125550101"},
          {"2125550101", DIAL_SUBSCRIBER, "+12125550101"},
          {"12125550101", DIAL_SUBSCRIBER, "+12125550101"},
          {"+12125550101", DIAL_SUBSCRIBER, "+12125550101"},
          {"01112125550101", DIAL_SUBSCRIBER, "+12125550101"},
          {"011442079460000", DIAL_SUBSCRIBER, "+442079460000"},
          {"+442079460000", DIAL_SUBSCRIBER, "+442079460000"},
          {"+4912345", DIAL_SUBSCRIBER, "+4912345"},
          {"+491234567890123", DIAL_SUBSCRIBER, "+491234567890123"},
          {"011491234567890123", DIAL_SUBSCRIBER, "+491234567890123"});
}

static void refused(void **state)
{
    (void)state;
    struct dialplan p = north_america();
    CHECK(
        &p, {"", DIAL_INVALID, ""}, {"+", DIAL_INVALID, "+"},
        {"++12125550101", DIAL_INVALID, "++12125550101"},
        {"+0442079460000", DIAL_INVALID, "+0442079460000"}, {"+491234", DIAL_INVALID, "+491234"},
        {"+4912345678901234", DIAL_INVALID, "+4912345678901234"},
        {"0114912345678901234", DIAL_INVALID, "0114912345678901234"}, {"011", DIAL_INVALID, "011"},
        {"0111234", DIAL_INVALID, "0111234"}, {"+1212555010", DIAL_INVALID, "+1212555010"},
        {"+121255501011", DIAL_INVALID, "+121255501011"},
        {"121255501011", DIAL_INVALID, "121255501011"}, {"1212555010", DIAL_INVALID, "1212555010"},
        {"0212555010", DIAL_INVALID, "0212555010"}, {"11125550101", DIAL_INVALID, "11125550101"},
        {"10125550101", DIAL_INVALID, "10125550101"}, {"0550101", DIAL_INVALID, "0550101"},
        {"1550101", DIAL_INVALID, "1550101"}, {"555010", DIAL_INVALID, "555010"},
        {"55501012", DIAL_INVALID, "55501012"}, {"*67", DIAL_INVALID, "*67"},
        {"#31#2125550101", DIAL_INVALID, "#31#2125550101"}, {"alice", DIAL_INVALID, ""},
        {"555O101", DIAL_INVALID, ""}, {"212 555 0101", DIAL_INVALID, ""},
        {"2125550101;x=y", DIAL_INVALID, ""}, {"+1212555010\n1", DIAL_INVALID, ""},
        {"\xd9\xa1\xd9\xa2\xd9\xa3", DIAL_INVALID, ""}, {"-1", DIAL_INVALID, ""});
}

static void hostile_octets_and_lengths(void **state)
{
    (void)state;
    struct dialplan p = north_america();
    char text[1024];
    memset(text, '9', sizeof text);
    for (size_t n = 16; n <= sizeof text; n++) {
        struct dialled d = dialplan_classify(&p, view_from(text, n));
        assert_int_equal(d.class, DIAL_INVALID);
        assert_true(strlen(d.e164) == (n < DIAL_E164_MAX ? n : 0));
    }
    /* every octet at every place of a good number: a digit or no number */
    for (size_t at = 0; at < 12; at++) {
        for (int c = 0; c < 256; c++) {
            memcpy(text, "+12125550101", 12);
            text[at] = (char)c;
            struct dialled d = dialplan_classify(&p, view_from(text, 12));
            bool digit = c >= '0' && c <= '9';
            if (d.class == DIAL_SUBSCRIBER) {
                assert_true(at == 0 ? c == '+' : digit);
                assert_memory_equal(d.e164, text, 12);
            } else {
                assert_int_equal(d.class, DIAL_INVALID);
                assert_true(at <= 2 || !digit);
            }
        }
    }
    assert_int_equal(dialplan_classify(&p, view_from("911\0", 4)).class, DIAL_INVALID);
}

static void without_area_or_emergency(void **state)
{
    (void)state;
    struct dialplan p = north_america();
    p.area = VIEW("");
    p.n_emergency = 0;
    p.provisioning = VIEW("");
    CHECK(&p, {"5550101", DIAL_INVALID, "5550101"}, {"911", DIAL_INVALID, "911"},
          {"611", DIAL_INVALID, "611"}, {"urn:service:sos", DIAL_EMERGENCY, "urn:service:sos"});
    p.n_emergency = 1000; /* a wrong count reads no further than the table */
    p.emergency[0] = p.emergency[1] = VIEW("");
    CHECK(&p, {"911", DIAL_INVALID, "911"});
}

static void another_country(void **state)
{
    (void)state;
    const struct dialplan uk = {
        .emergency = {VIEW("999"), VIEW("112")},
        .n_emergency = 2,
        .country_code = VIEW("44"),
        .national_prefix = VIEW("0"),
        .international_prefix = VIEW("00"),
        .area = VIEW("20"),
        .national_digits = 10,
    };
    CHECK(&uk, {"999", DIAL_EMERGENCY, "999"}, {"79460000", DIAL_SUBSCRIBER, "+442079460000"},
          {"02079460000", DIAL_SUBSCRIBER, "+442079460000"},
          {"2079460000", DIAL_SUBSCRIBER, "+442079460000"},
          {"0012125550101", DIAL_SUBSCRIBER, "+12125550101"},
          {"00442079460000", DIAL_SUBSCRIBER, "+442079460000"},
          {"+4402079460000", DIAL_INVALID, "+4402079460000"},
          {"09460000", DIAL_INVALID, "09460000"});
    const struct dialplan open = {.international_prefix = VIEW("00")};
    CHECK(&open, {"+442079460000", DIAL_SUBSCRIBER, "+442079460000"},
          {"00442079460000", DIAL_SUBSCRIBER, "+442079460000"},
          {"2079460000", DIAL_INVALID, "2079460000"});
}

static void contexts(void **state)
{
    (void)state;
    const struct dialplan p = north_america();
    const struct {
        struct view digits, context;
        const char *want; /* NULL: E_NOTFOUND */
    } cases[] = {
        {VIEW("2125550101"), VIEW(""), "2125550101"},
        {VIEW("2125550101"), VIEW("+1"), "+12125550101"},
        {VIEW("5550101"), VIEW("+1212"), "+12125550101"},
        {VIEW("5550101"), VIEW("+1-(212)"), "+12125550101"},
        {VIEW("12125550101"), VIEW("+1"), "12125550101"}, /* our plan knows it */
        {VIEW("5550101"), VIEW("+1"), "5550101"},
        {VIEW("*72"), VIEW("+1"), "*72"},
        {VIEW("2079460000"), VIEW("+44"), "+442079460000"},
        {VIEW("79460000"), VIEW("+44"), "+4479460000"}, /* what is a number there, we cannot know */
        {VIEW("1234567890123456"), VIEW("+44"), NULL},
        {VIEW("*72"), VIEW("+44"), NULL},
        {VIEW("+442079460000"), VIEW("+1"), "+442079460000"},
        {VIEW("7042"), VIEW("Home.Example"), "7042"},
        {VIEW("7042"), VIEW("other.example"), NULL},
        {VIEW("+442079460000"), VIEW("other.example"), "+442079460000"},
        {VIEW("911"), VIEW("other.example"), "911"}, /* wherever it counts */
        {VIEW("112"), VIEW("+44"), "112"},
        {VIEW("611"), VIEW("+44"), "611"},
        {VIEW("*67911"), VIEW(""), "911"},
        {VIEW("*82112"), VIEW("other.example"), "112"},
        {VIEW("*67611"), VIEW(""), "*67611"},
        {VIEW("*679115550101"), VIEW(""), "*679115550101"},
        {VIEW("*72911"), VIEW(""), "*72911"},
        {VIEW("5550101"), VIEW("+"), NULL},
        {VIEW("5550101"), VIEW("+1x"), "5550101"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char keys[64] = "";
        enum err e = dialplan_keys(&p, cases[i].digits, cases[i].context, VIEW("home.example"),
                                   keys, sizeof keys);
        if (e != (cases[i].want ? E_OK : E_NOTFOUND) ||
            (cases[i].want && strcmp(keys, cases[i].want) != 0)) {
            fail_msg("case %zu: %s \"%s\"", i, err_name(e), keys);
        }
    }
    char small[4];
    assert_int_equal(
        dialplan_keys(&p, VIEW("7042"), VIEW(""), VIEW("home.example"), small, sizeof small),
        E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes),
        cmocka_unit_test(emergency_urns),
        cmocka_unit_test(subscribers),
        cmocka_unit_test(refused),
        cmocka_unit_test(hostile_octets_and_lengths),
        cmocka_unit_test(without_area_or_emergency),
        cmocka_unit_test(another_country),
        cmocka_unit_test(contexts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
