/* Resource-Priority by RFC 4412: grammar, entitlement, and the orders that it allows and forbids.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "gc/priority.h"

static const char all[] = "dsn, drsn, q735, ets, wps, esnet";

static enum err plan(const char *spaces, const char *order, struct priority_plan *p, char why[160])
{
    struct priority_texts t = {.namespaces = view_of(spaces), .order = view_of(order)};

    why[0] = 0;
    return priority_plan_read(&t, p, why, 160);
}

static struct priority_plan full(void)
{
    struct priority_plan p;
    char why[160];

    assert_int_equal(plan(all, "", &p, why), E_OK);
    return p;
}

static struct priority_ask ask(const struct priority_plan *p, const char *list)
{
    struct priority_ask a;

    assert_int_equal(priority_read(p, view_of(list), &a), E_OK);
    return a;
}

static void the_grammar(void **state)
{
    static const char *const bad[] = {"",
                                      "ets",
                                      ".0",
                                      "ets.",
                                      "ets.0,",
                                      ",ets.0",
                                      "ets.0,,x.1",
                                      "ets.0 x.1",
                                      "ets.0;x",
                                      "ets.0.0",
                                      "ets..0",
                                      "e\"ts.0",
                                      "ets.0,ets.1",
                                      "ETS.0, ets.0",
                                      "foo.1, FOO.2",
                                      "dsn.flash,dsn.routine",
                                      "<ets.0>",
                                      "ets.\t0"};
    struct priority_plan p = full();
    struct priority_ask a;
    char many[400] = "a.1";

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(&a, 0x5a, sizeof a);
        assert_int_equal(priority_read(&p, view_of(bad[i]), &a), E_PARSE);
        assert_int_equal(a.rank, 0x5a5a5a5a); /* written on success only */
    }
    for (int i = 1; i <= PRIORITY_VALUES_MAX; i++) {
        char one[8] = {',', (char)('a' + i % 26), (char)('a' + i / 26), '.', '1', 0};
        assert_int_equal(priority_read(&p, view_of(many), &a), E_OK);
        memcpy(many + strlen(many), one, sizeof one - 2);
    }
    assert_int_equal(priority_read(&p, view_of(many), &a), E_PARSE);
}

static void what_is_asked(void **state)
{
    struct priority_plan p = full();
    struct priority_ask a = ask(&p, "DSN.Flash");

    (void)state;
    assert_true(a.is_present && a.is_known && a.preempts && !a.is_foreign);
    assert_string_equal(a.value, "dsn.flash");
    assert_int_equal(a.rank, priority_rank(&p, VIEW("dsn.flash")));
    a = ask(&p, "ets.1"); /* it queues */
    assert_true(a.is_known && !a.preempts);
    a = ask(&p, "wps.3 , dsn.flash");
    assert_string_equal(a.value, "dsn.flash");
    a = ask(&p, "dsn.flash,wps.3"); /* the order of values means nothing */
    assert_string_equal(a.value, "dsn.flash");
    a = ask(&p, "wps.0,dsn.routine"); /* the higher one, though it queues */
    assert_string_equal(a.value, "wps.0");
    assert_false(a.preempts);
    a = ask(&p, "ets.0,q735.0"); /* equals: who preempts */
    assert_string_equal(a.value, "q735.0");
    a = ask(&p, "x-1!%*_+`'~.2, foo.9"); /* unknown ones are no matter */
    assert_true(a.is_present && !a.is_known && !a.is_foreign && a.rank == 0);
    assert_string_equal(a.value, "");
    a = ask(&p, "foo.9, ets.2");
    assert_true(a.is_known);
    a = ask(&p, "ets.9"); /* a value that its namespace does not have */
    assert_true(!a.is_known && a.is_foreign);
}

static void each_namespace_rises(void **state)
{
    static const char *const rising[][6] = {
        {"dsn.routine", "dsn.priority", "dsn.immediate", "dsn.flash", "dsn.flash-override"},
        {"drsn.routine", "drsn.priority", "drsn.immediate", "drsn.flash", "drsn.flash-override",
         "drsn.flash-override-override"},
        {"q735.4", "q735.3", "q735.2", "q735.1", "q735.0"},
        {"ets.4", "ets.3", "ets.2", "ets.1", "ets.0"},
        {"wps.4", "wps.3", "wps.2", "wps.1", "wps.0"},
        {"esnet.0", "esnet.1", "esnet.2", "esnet.3", "esnet.4"}};
    struct priority_plan p = full();

    (void)state;
    for (size_t i = 0; i < sizeof rising / sizeof rising[0]; i++) {
        unsigned last = 0; /* all are more than no priority at all */
        for (size_t k = 0; k < 6 && rising[i][k] != NULL; k++) {
            unsigned rank = priority_rank(&p, view_of(rising[i][k]));
            assert_true(rank > last);
            last = rank;
        }
    }
    assert_int_equal(priority_rank(&p, VIEW("foo.1")), 0);
    assert_int_equal(priority_rank(&p, VIEW("ets")), 0);
}

/* RFC 4412 section 10.3: it displaces its equal, and defends itself as flash-override only. */
static void the_highest_of_drsn(void **state)
{
    struct priority_plan p = full();
    struct priority_ask a = ask(&p, "drsn.flash-override-override");

    (void)state;
    assert_true(a.rank > a.defends);
    assert_int_equal(a.defends, priority_rank(&p, VIEW("drsn.flash-override")));
    a = ask(&p, "drsn.flash-override");
    assert_int_equal(a.rank, a.defends);
}

/* RFC 4412 section 8.2 with Foo.1..3 as ets.2..0 and Bar.A..C as q735.2..0, lowest first. */
static void valid_orders(void **state)
{
    static const char *const good[] = {
        "q735.2 q735.1 q735.0 ets.2 ets.1 ets.0", "q735.2 ets.2 q735.1 ets.1 q735.0 ets.0",
        "q735.2 q735.1 ets.2 ets.1 ets.0 q735.0", "ets.2 ets.1=q735.2 ets.0=q735.1 q735.0",
        "ets.2 ets.1 ets.0 q735.0"};
    struct priority_plan p;
    char why[160];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(plan("ets q735", good[i], &p, why), E_OK);
        assert_true(priority_rank(&p, VIEW("ets.0")) > priority_rank(&p, VIEW("ets.2")));
    }
    assert_int_equal(priority_rank(&p, VIEW("q735.2")), 0); /* the last one ignores it */
    assert_false(ask(&p, "q735.2").is_known);
    assert_int_equal(plan("ets q735", good[3], &p, why), E_OK);
    assert_int_equal(priority_rank(&p, VIEW("ets.1")), priority_rank(&p, VIEW("q735.2")));
}

/* RFC 4412 section 8.3: MUST NOT be configurable. */
static void invalid_orders(void **state)
{
    static const char *const bad[][2] = {
        {"q735.1 q735.2 q735.0 ets.2 ets.1 ets.0", "q735.1"},
        {"q735.0 ets.2 q735.1 ets.1 q735.2 ets.0", "q735."},
        {"q735.1 q735.2 ets.1 ets.0 ets.2 q735.0", ""},
        {"ets.1 q735.2=ets.0 q735.1=ets.2 q735.0", "ets."},
        {"ets.2=ets.1 q735.0", "ets.1"}, /* equals of one namespace */
        {"ets.2 ets.1 ets.1 q735.0", "twice"},
        {"ets.2 foo.1 q735.0", "foo.1"},
        {"ets.2 ets.9 q735.0", "ets.9"},
        {"ets.2 ets q735.0", "ets:"},
        {"ets.2 wps.1 q735.0", "wps.1: its namespace is not in use"},
        {"ets.2 ets.1", "q735: none of its values"}};
    struct priority_plan p;
    char why[160];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(plan("ets q735", bad[i][0], &p, why), E_PARSE);
        assert_non_null(strstr(why, bad[i][1]));
        assert_true(why[0] != 0);
    }
    assert_int_equal(plan("ets, foo", "", &p, why), E_PARSE);
    assert_non_null(strstr(why, "foo"));
}

static void preempting_by_policy(void **state)
{
    struct priority_texts t = {.namespaces = VIEW("ets wps"), .preempting = VIEW("ets")};
    struct priority_plan p;
    char why[160];

    (void)state;
    assert_int_equal(priority_plan_read(&t, &p, why, sizeof why), E_OK);
    assert_true(ask(&p, "ets.0").preempts);
    assert_false(ask(&p, "wps.0").preempts);
    assert_true(ask(&p, "dsn.flash").is_foreign); /* registered, and not in use here */
    t.preempting = VIEW("esnet");
    assert_int_equal(priority_plan_read(&t, &p, why, sizeof why), E_PARSE);
}

static void who_may(void **state)
{
    static const struct {
        const char *entitled, *list;
        bool may;
    } rows[] = {{"", "ets.4", false},
                {"ets.1", "ets.1", true},
                {"ets.1", "ETS.4", true},
                {"ets.1", "ets.0", false},
                {"ets.1", "wps.4", false},
                {"ets.1 dsn.flash", "dsn.immediate, ets.2", true},
                {"ets.1 dsn.flash", "dsn.flash-override, ets.2", false},
                {"ets.1 dsn.flash", "wps.4, ets.2", false}, /* also what is not the highest */
                {"ets.1", "foo.1", true},                   /* nothing that counts here */
                {"foo.1 x ets.1", "ets.1", true},
                {"dsn.bogus", "dsn.routine", false}};
    struct priority_plan p = full();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct priority_ask a = ask(&p, rows[i].list);
        assert_int_equal(priority_may(&p, view_of(rows[i].entitled), &a), rows[i].may);
    }
}

static void what_is_accepted(void **state)
{
    struct priority_plan p;
    char text[PRIORITY_TEXT_MAX], why[160];

    (void)state;
    assert_int_equal(plan("ets", "", &p, why), E_OK);
    assert_int_equal(priority_accept(&p, text, sizeof text), 33);
    assert_string_equal(text, "ets.0, ets.1, ets.2, ets.3, ets.4");
    assert_int_equal(priority_accept(&p, text, 33), 0);
    p = full();
    assert_true(priority_accept(&p, text, sizeof text) > 0);
    assert_non_null(strstr(text, "drsn.flash-override-override"));
    p.is_on = false;
    assert_int_equal(priority_accept(&p, text, sizeof text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_grammar),          cmocka_unit_test(what_is_asked),
        cmocka_unit_test(each_namespace_rises), cmocka_unit_test(the_highest_of_drsn),
        cmocka_unit_test(valid_orders),         cmocka_unit_test(invalid_orders),
        cmocka_unit_test(preempting_by_policy), cmocka_unit_test(who_may),
        cmocka_unit_test(what_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
