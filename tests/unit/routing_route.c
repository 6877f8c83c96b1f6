#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/log.h"
#include "routing/route.h"

#define N(a)   (sizeof(a) / sizeof *(a))
#define MONDAY 1704067200ull /* 2024-01-01 00:00 UTC */
#define HOUR   3600ull

static const struct dialplan US = {
    .provisioning = {"611", 3},
    .emergency = {{"911", 3}, {"112", 3}},
    .n_emergency = 2,
    .country_code = {"1", 1},
    .national_prefix = {"1", 1},
    .international_prefix = {"011", 3},
    .area = {"212", 3},
    .national_digits = 10,
};

static const struct line LINES[] = {{.line_id = 11, .number = {"+12125550101", 12}}};

/* name and more; prefix, priority, trunk and more; name, prefix and more */
#define TRUNK(id, ...)                                                                             \
    {                                                                                              \
        .trunk_id = id, .host = VIEW("192.0.2.1"), .name = __VA_ARGS__                             \
    }
#define ROUTE(text, to, prio, ...)                                                                 \
    {                                                                                              \
        .name = VIEW(text), .prefix = VIEW(to), .priority = prio, .route_id = __LINE__,            \
        .trunk_id = __VA_ARGS__                                                                    \
    }
#define RULE(text, ...)                                                                            \
    {                                                                                              \
        .name = VIEW(text), .prefix = __VA_ARGS__                                                  \
    }

struct world {
    struct snapshot *snap;
    struct route_query q;
    struct route_decision d;
};

static void world_up(struct world *w, const struct snapshot_input *in)
{
    char why[200] = "";
    *w = (struct world){.snap = NULL};
    if (snapshot_build(in, &w->snap, why, sizeof why) != E_OK) {
        fail_msg("%s", why);
    }
    assert_int_equal(snapshot_left_out(w->snap), 0);
    w->q = (struct route_query){.snap = w->snap, .plan = &US, .now_s = MONDAY, .explain = true};
}

static void world_down(struct world *w)
{
    snapshot_free(w->snap);
}

static enum route_outcome decide(struct world *w, const char *keys)
{
    w->q.keys = view_of(keys);
    memset(&w->d, 0xa5, sizeof w->d); /* whatever was there before */
    route_decide(&w->q, &w->d);
    assert_true(w->d.n_steps <= ROUTE_STEPS_MAX && w->d.n_targets <= ROUTE_TARGETS_MAX);
    return w->d.outcome;
}

/* "route:called route:called" */
static const char *chosen(const struct world *w)
{
    static char text[1024];
    text[0] = 0;
    for (unsigned i = 0; i < w->d.n_targets; i++) {
        const struct route_target *t = &w->d.targets[i];
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof text - n, "%s%.*s:%s", i > 0 ? " " : "",
                       (int)t->route->name.n, t->route->name.p, t->called);
    }
    return text;
}

static void expect(struct world *w, const char *keys, enum route_outcome want, const char *targets)
{
    enum route_outcome got = decide(w, keys);
    if (got != want || strcmp(chosen(w), targets) != 0) {
        for (unsigned i = 0; i < w->d.n_steps; i++) {
            print_message("  %s\n", w->d.steps[i]);
        }
        fail_msg("%s: %s [%s], not %s [%s]", keys, route_outcome_name(got), chosen(w),
                 route_outcome_name(want), targets);
    }
}

static bool says(const struct world *w, const char *text)
{
    for (unsigned i = 0; i < w->d.n_steps; i++) {
        if (strstr(w->d.steps[i], text)) {
            return true;
        }
    }
    return false;
}

#define SAYS(w, text)                                                                              \
    do {                                                                                           \
        if (!says(w, text)) {                                                                      \
            for (unsigned i_ = 0; i_ < (w)->d.n_steps; i_++) {                                     \
                print_message("  %s\n", (w)->d.steps[i_]);                                         \
            }                                                                                      \
            fail_msg("not said: %s", text);                                                        \
        }                                                                                          \
    } while (0)

#define INPUT(...)                                                                                 \
    {                                                                                              \
        .lines = LINES, .n_lines = N(LINES), __VA_ARGS__                                           \
    }
#define ALL(field, array) .field = array, .n_##field = N(array)

/* ---- the order of routes ---- */

static void prefixes_and_priorities(void **state)
{
    (void)state;
    const struct trunk trunks[] = {TRUNK(1, VIEW("a")), TRUNK(2, VIEW("b")),
                                   TRUNK(3, VIEW("off"), .disabled = true)};
    const struct route routes[] = {
        ROUTE("default", "+", 100, 2),
        ROUTE("us-2", "+1", 20, 2),
        ROUTE("us-1", "+1", 10, 1),
        ROUTE("ny", "+1212", 50, 3),
        ROUTE("plain", "+44", 50, 0, .next_hop = VIEW("sip:192.0.2.7:5060")),
    };
    const struct snapshot_input in = INPUT(ALL(trunks, trunks), ALL(routes, routes));
    struct world w;
    world_up(&w, &in);
    expect(&w, "2135550199", ROUTED_TARGETS,
           "us-1:+12135550199 us-2:+12135550199 default:+12135550199");
    /* the longest prefix is unusable: shorter ones take over */
    expect(&w, "+12125550199", ROUTED_TARGETS,
           "us-1:+12125550199 us-2:+12125550199 default:+12125550199");
    SAYS(&w, "route ny (prefix +1212): not now, its trunk is disabled");
    SAYS(&w, "choice 1: route us-1 (prefix +1, priority 10), trunk a, called as +12125550199");
    expect(&w, "011442079460000", ROUTED_TARGETS, "plain:+442079460000 default:+442079460000");
    assert_null(w.d.targets[0].trunk);
    assert_ptr_equal(w.d.targets[1].trunk, snapshot_trunk(w.snap, 2));
    expect(&w, "5550101", ROUTED_LINE, "");
    assert_true(w.d.line_id == 11);
    SAYS(&w, "+12125550101 belongs to line 11");
    SAYS(&w, "decision: line");
    w.q.explain = false;
    expect(&w, "2135550199", ROUTED_TARGETS,
           "us-1:+12135550199 us-2:+12135550199 default:+12135550199");
    assert_int_equal(w.d.n_steps, 0);
    world_down(&w);
}

static void nothing_there(void **state)
{
    (void)state;
    const struct trunk trunks[] = {TRUNK(3, VIEW("off"), .disabled = true)};
    const struct route routes[] = {ROUTE("only", "+44", 1, 3)};
    const struct snapshot_input in = INPUT(ALL(trunks, trunks), ALL(routes, routes));
    struct world w;
    world_up(&w, &in);
    expect(&w, "+442079460000", ROUTED_UNUSABLE, "");
    expect(&w, "+12135550199", ROUTED_NOWHERE, "");
    SAYS(&w, "no route has a prefix of +12135550199");
    expect(&w, "*72", ROUTED_INVALID, "");
    expect(&w, "alice", ROUTED_INVALID, "");
    expect(&w, "", ROUTED_INVALID, "");
    w.q.snap = NULL;
    expect(&w, "+442079460000", ROUTED_UNUSABLE, "");
    expect(&w, "911", ROUTED_EMERGENCY, "");
    expect(&w, "611", ROUTED_PROVISIONING, "");
    world_down(&w);
}

struct draws {
    uint32_t v[8];
    uint32_t below[8];
    unsigned n;
    const char *down; /* name of a trunk */
};

static uint32_t draw(void *arg, uint32_t below)
{
    struct draws *d = arg;
    assert_true(d->n < N(d->v));
    d->below[d->n] = below;
    return d->v[d->n++];
}

static void weights(void **state)
{
    (void)state;
    const struct trunk trunks[] = {TRUNK(1, VIEW("a"))};
    const struct route routes[] = {
        ROUTE("w1", "+44", 5, 1, .weight = 1), ROUTE("w6", "+44", 5, 1, .weight = 6),
        ROUTE("w0", "+44", 5, 1, .weight = 0), ROUTE("later", "+44", 6, 1, .weight = 60000)};
    const struct snapshot_input in = INPUT(ALL(trunks, trunks), ALL(routes, routes));
    struct world w;
    world_up(&w, &in);
    struct draws d = {.v = {0, 0}};
    w.q.draw = draw;
    w.q.arg = &d;
    /* by name: w0 (counts 1), w1, w6: sum 8 */
    expect(&w, "+442079460000", ROUTED_TARGETS,
           "w0:+442079460000 w1:+442079460000 w6:+442079460000 later:+442079460000");
    assert_true(d.n == 2 && d.below[0] == 8 && d.below[1] == 7);
    d = (struct draws){.v = {2, 1}}; /* w6 from 2 on; then w1 */
    expect(&w, "+442079460000", ROUTED_TARGETS,
           "w6:+442079460000 w1:+442079460000 w0:+442079460000 later:+442079460000");
    assert_true(d.n == 2 && d.below[0] == 8 && d.below[1] == 2);
    d = (struct draws){.v = {1, 6}};
    expect(&w, "+442079460000", ROUTED_TARGETS,
           "w1:+442079460000 w6:+442079460000 w0:+442079460000 later:+442079460000");
    w.q.draw = NULL; /* the heaviest first */
    expect(&w, "+442079460000", ROUTED_TARGETS,
           "w6:+442079460000 w0:+442079460000 w1:+442079460000 later:+442079460000");
    SAYS(&w, "3 routes with prefix +44 and priority 5: ordered by weight");
    world_down(&w);
}

static const char *usable(void *arg, const struct route *r, const struct trunk *t)
{
    const struct draws *d = arg;
    (void)r;
    return t && d->down && view_eq(t->name, view_of(d->down)) ? "its trunk does not answer" : NULL;
}

static void health(void **state)
{
    (void)state;
    const struct trunk trunks[] = {TRUNK(1, VIEW("a")), TRUNK(2, VIEW("b"))};
    const struct route routes[] = {ROUTE("first", "+44", 1, 1), ROUTE("second", "+44", 2, 2)};
    const struct snapshot_input in = INPUT(ALL(trunks, trunks), ALL(routes, routes));
    struct draws d = {.down = "a"};
    struct world w;
    world_up(&w, &in);
    w.q.usable = usable;
    w.q.arg = &d;
    expect(&w, "+442079460000", ROUTED_TARGETS, "second:+442079460000");
    SAYS(&w, "route first (prefix +44): not now, its trunk does not answer");
    d.down = NULL;
    expect(&w, "+442079460000", ROUTED_TARGETS, "first:+442079460000 second:+442079460000");
    world_down(&w);
}

static void more_routes_than_targets(void **state)
{
    (void)state;
    const struct trunk trunks[] = {TRUNK(1, VIEW("a"), .disabled = true), TRUNK(2, VIEW("b"))};
    struct route routes[40];
    char names[40][8];
    for (unsigned i = 0; i < N(routes); i++) {
        (void)snprintf(names[i], sizeof names[i], "r%02u", i);
        routes[i] = (struct route){.name = view_of(names[i]),
                                   .prefix = VIEW("+44"),
                                   .priority = i,
                                   .trunk_id = i < 20 ? 1 : 2};
    }
    const struct snapshot_input in = INPUT(ALL(trunks, trunks), ALL(routes, routes));
    struct world w;
    world_up(&w, &in);
    assert_int_equal(decide(&w, "+442079460000"), ROUTED_TARGETS);
    assert_int_equal(w.d.n_targets, ROUTE_TARGETS_MAX);
    assert_true(view_eq(w.d.targets[0].route->name, VIEW("r20")));
    assert_true(w.d.n_steps == ROUTE_STEPS_MAX && w.d.steps_cut);
    world_down(&w);
}

/* ---- hours ---- */

static void hours(void **state)
{
    (void)state;
    const struct {
        struct route_time t;
        uint64_t at;
        bool want;
    } cases[] = {
        {{0}, MONDAY, true},
        {{.days = 1}, MONDAY, true},
        {{.days = 1}, MONDAY + 24 * HOUR - 1, true},
        {{.days = 1}, MONDAY + 24 * HOUR, false},
        {{.days = 1}, MONDAY - 1, false},
        {{.days = 64}, MONDAY - 1, true}, /* Sunday */
        {{.from_min = 480, .to_min = 1080}, MONDAY + 8 * HOUR - 1, false},
        {{.from_min = 480, .to_min = 1080}, MONDAY + 8 * HOUR, true},
        {{.from_min = 480, .to_min = 1080}, MONDAY + 18 * HOUR - 1, true},
        {{.from_min = 480, .to_min = 1080}, MONDAY + 18 * HOUR, false},
        {{.days = 31, .from_min = 480, .to_min = 1080}, MONDAY + 5 * 24 * HOUR + 9 * HOUR, false},
        /* across midnight: the night of Monday, until Tuesday six */
        {{.days = 1, .from_min = 1320, .to_min = 360}, MONDAY + 22 * HOUR, true},
        {{.days = 1, .from_min = 1320, .to_min = 360}, MONDAY + 30 * HOUR - 1, true},
        {{.days = 1, .from_min = 1320, .to_min = 360}, MONDAY + 30 * HOUR, false},
        {{.days = 1, .from_min = 1320, .to_min = 360}, MONDAY + 5 * HOUR, false},
        {{.days = 1, .from_min = 1320, .to_min = 360}, MONDAY + 46 * HOUR, false},
        {{.days = 64, .from_min = 1320, .to_min = 360}, MONDAY + 5 * HOUR, true},
        /* the clock of the place */
        {{.days = 1, .utc_offset_min = -300}, MONDAY + 5 * HOUR - 1, false},
        {{.days = 1, .utc_offset_min = -300}, MONDAY + 5 * HOUR, true},
        {{.days = 1, .utc_offset_min = 60}, MONDAY - HOUR, true},
        {{.days = 8, .utc_offset_min = -840}, 0, false}, /* before everything */
        {{.days = 8}, 0, true},                          /* Thursday, 1 January 1970 */
    };
    for (size_t i = 0; i < N(cases); i++) {
        if (route_time_matches(&cases[i].t, cases[i].at) != cases[i].want) {
            fail_msg("case %zu", i);
        }
    }
    const struct trunk trunks[] = {TRUNK(1, VIEW("a"))};
    const struct route routes[] = {
        ROUTE("day", "+44", 1, 1, .when = {.from_min = 480, .to_min = 1080}),
        ROUTE("night", "+44", 1, 1, .when = {.from_min = 1080, .to_min = 480})};
    const struct snapshot_input in = INPUT(ALL(trunks, trunks), ALL(routes, routes));
    struct world w;
    world_up(&w, &in);
    w.q.now_s = MONDAY + 12 * HOUR;
    expect(&w, "+442079460000", ROUTED_TARGETS, "day:+442079460000");
    SAYS(&w, "route night (prefix +44): not now, it is not its time");
    w.q.now_s = MONDAY + 20 * HOUR;
    expect(&w, "+442079460000", ROUTED_TARGETS, "night:+442079460000");
    world_down(&w);
}

/* ---- dial rules ---- */

static void rules(void **state)
{
    (void)state;
    const struct trunk trunks[] = {TRUNK(1, VIEW("a"))};
    const struct route routes[] = {ROUTE("all", "+", 1, 1), ROUTE("features", "*", 1, 1),
                                   ROUTE("desk", "80", 1, 1)};
    const struct dial_rule rows[] = {
        RULE("outside", VIEW("9"), .strip = 1, .min_digits = 8, .max_digits = 12),
        RULE("uk", VIEW("0"), .strip = 1, .add = VIEW("+44"), .min_digits = 10, .max_digits = 11),
        RULE("uk-later", VIEW("0"), .strip = 1, .add = VIEW("+33"), .min_digits = 10,
             .max_digits = 11, .rank = 200),
        RULE("premium", VIEW("+1900"), .blocked = true),
        RULE("helpline", VIEW("+19005550111")), /* longer: an exception that changes nothing */
        RULE("desks", VIEW("8"), .is_feature = true, .min_digits = 4, .max_digits = 4),
        RULE("paris", VIEW("+331"), .strip = 4, .add = VIEW("+441")),
        RULE("gone", VIEW("7"), .strip = 16),
        RULE("hello", VIEW("5"), .strip = 1, .add = VIEW("611"), .min_digits = 1, .max_digits = 1),
    };
    const struct snapshot_input in =
        INPUT(ALL(trunks, trunks), ALL(routes, routes), ALL(rules, rows));
    struct world w;
    world_up(&w, &in);
    expect(&w, "912135550199", ROUTED_TARGETS, "all:+12135550199");
    SAYS(&w, "dial rule outside (prefix 9): strip 1, add \"\": 12135550199");
    assert_true(view_eq(w.d.rule->name, VIEW("outside")));
    expect(&w, "95550101", ROUTED_LINE, "");
    expect(&w, "02079460000", ROUTED_TARGETS, "all:+442079460000");
    expect(&w, "2135550199", ROUTED_TARGETS, "all:+12135550199");
    assert_null(w.d.rule);
    /* blocked however it is dialled */
    const char *const premium[] = {"+19005550199", "19005550199", "919005550199"};
    for (size_t i = 0; i < N(premium); i++) {
        expect(&w, premium[i], ROUTED_BLOCKED, "");
        SAYS(&w, "dial rule premium (prefix +1900): blocks +19005550199");
    }
    expect(&w, "919005550111", ROUTED_TARGETS, "all:+19005550111");
    expect(&w, "8012", ROUTED_TARGETS, "desk:8012");
    assert_true(w.d.is_feature);
    expect(&w, "80123", ROUTED_INVALID, ""); /* the rule wants four keys */
    SAYS(&w, "dial rule desks (prefix 8): 5 keys, it wants 4 to 4");
    expect(&w, "011331234567890", ROUTED_TARGETS, "all:+441234567890");
    expect(&w, "7654321", ROUTED_INVALID, "");
    SAYS(&w, "dial rule gone (prefix 7): leaves no number of 7654321");
    expect(&w, "5", ROUTED_INVALID, ""); /* no rule leads to 611 */
    SAYS(&w, "no rule leads to the provisioning number");
    /* rules are for lines: what a trunk sends is no key sequence of a customer */
    w.q.from_trunk = true;
    expect(&w, "912135550199", ROUTED_INVALID, "");
    world_down(&w);
}

static void feature_codes(void **state)
{
    (void)state;
    const struct trunk trunks[] = {
        TRUNK(1, VIEW("features"), .form = NUMBER_BARE, .strip = 1, .add = VIEW("7"))};
    const struct route routes[] = {ROUTE("forward", "*72", 1, 1), ROUTE("hide", "#31#", 1, 1),
                                   ROUTE("star", "*", 1, 1), ROUTE("directory", "411", 1, 1)};
    const struct snapshot_input in = INPUT(ALL(trunks, trunks), ALL(routes, routes));
    struct world w;
    world_up(&w, &in);
    expect(&w, "*72", ROUTED_TARGETS, "forward:*72 star:*72"); /* keys stay as they are */
    expect(&w, "*7212125550199", ROUTED_TARGETS, "forward:*7212125550199 star:*7212125550199");
    expect(&w, "#31#12125550199", ROUTED_TARGETS, "hide:#31#12125550199");
    expect(&w, "*69", ROUTED_TARGETS, "star:*69");
    expect(&w, "411", ROUTED_TARGETS, "directory:411");
    SAYS(&w, "built-in dial plan: 411 stays as it is");
    expect(&w, "41155512", ROUTED_INVALID, "");   /* no number, and not 411 */
    expect(&w, "4115551212", ROUTED_NOWHERE, ""); /* a number in area 411 */
    expect(&w, "#32", ROUTED_INVALID, "");
    world_down(&w);
}

/* ---- emergency ---- */

static void emergency(void **state)
{
    (void)state;
    const struct trunk trunks[] = {
        TRUNK(1, VIEW("psap"), .form = NUMBER_NATIONAL, .add = VIEW("9")), TRUNK(2, VIEW("esrp")),
        TRUNK(3, VIEW("thief"))};
    const struct route routes[] = {
        ROUTE("psap", "911", 1, 1, .kind = ROUTE_EMERGENCY),
        ROUTE("night", "911", 2, 1, .kind = ROUTE_EMERGENCY,
              .when = {.from_min = 1320, .to_min = 360}),
        ROUTE("esrp", "urn:service:sos", 1, 2, .kind = ROUTE_EMERGENCY),
        ROUTE("steal-1", "911", 1, 3),
        ROUTE("steal-2", "+", 1, 3),
        ROUTE("steal-3", "611", 1, 3),
        ROUTE("steal-4", "urn:service:sos", 1, 3),
    };
    const struct dial_rule rows[] = {
        RULE("block-all", VIEW(""), .blocked = true),
        RULE("block-9", VIEW("9"), .blocked = true),
        RULE("rewrite", VIEW("911"), .strip = 3, .add = VIEW("+12135550199")),
        RULE("steal-611", VIEW("611"), .is_feature = true),
        RULE("outside", VIEW("99"), .strip = 1, .min_digits = 4, .max_digits = 4),
    };
    const struct snapshot_input in =
        INPUT(ALL(trunks, trunks), ALL(routes, routes), ALL(rules, rows));
    struct draws down = {.down = "psap"};
    struct world w;
    world_up(&w, &in);
    w.q.now_s = MONDAY + 12 * HOUR;
    expect(&w, "911", ROUTED_EMERGENCY, "psap:911 esrp:911 night:911"); /* not its time: last */
    SAYS(&w, "emergency call (911): no rule, limit or transit applies");
    assert_null(w.d.rule);
    expect(&w, "112", ROUTED_EMERGENCY, "esrp:112 psap:112 night:112"); /* the other codes' too */
    expect(&w, "urn:service:sos.police", ROUTED_EMERGENCY,
           "esrp:urn:service:sos.police psap:urn:service:sos.police night:urn:service:sos.police");
    expect(&w, "611", ROUTED_PROVISIONING, "");
    w.q.usable = usable;
    w.q.arg = &down;
    expect(&w, "911", ROUTED_EMERGENCY, "esrp:911 psap:911 night:911"); /* down: last, and tried */
    w.q.from_trunk = true; /* nothing asks whether it may transit */
    expect(&w, "911", ROUTED_EMERGENCY, "esrp:911 psap:911 night:911");
    w.q.from_trunk = false;
    expect(&w, "9911", ROUTED_EMERGENCY, "esrp:911 psap:911 night:911"); /* a rule may lead there */
    expect(&w, "2135550199", ROUTED_BLOCKED, "");
    world_down(&w);
}

/* ---- trunks as callers ---- */

static void transit(void **state)
{
    (void)state;
    const struct trunk trunks[] = {TRUNK(1, VIEW("carrier"), .may_transit = true),
                                   TRUNK(2, VIEW("pbx")), TRUNK(3, VIEW("gw"))};
    const struct route routes[] = {ROUTE("back", "+44", 1, 1), ROUTE("on", "+44", 2, 3)};
    const struct snapshot_input in = INPUT(ALL(trunks, trunks), ALL(routes, routes));
    struct world w;
    world_up(&w, &in);
    w.q.from_trunk = true;
    w.q.from = snapshot_trunk(w.snap, 1);
    expect(&w, "+442079460000", ROUTED_TARGETS, "on:+442079460000");
    SAYS(&w, "route back (prefix +44): not now, the call comes from its trunk");
    expect(&w, "+12125550101", ROUTED_LINE, "");
    w.q.from = snapshot_trunk(w.snap, 2);
    expect(&w, "+442079460000", ROUTED_NO_TRANSIT, "");
    expect(&w, "+12125550101", ROUTED_LINE, "");
    w.q.from = NULL; /* a gateway of the configuration */
    expect(&w, "+442079460000", ROUTED_NO_TRANSIT, "");
    world_down(&w);
}

/* ---- numbers for trunks ---- */

static void numbers(void **state)
{
    (void)state;
    const struct {
        struct trunk t;
        const char *number, *called, *caller;
    } cases[] = {
        {{.form = NUMBER_E164}, "+12135550199", "+12135550199", "+12135550199"},
        {{.form = NUMBER_BARE}, "+12135550199", "12135550199", "12135550199"},
        {{.form = NUMBER_NATIONAL}, "+12135550199", "2135550199", "2135550199"},
        {{.form = NUMBER_NATIONAL}, "+442079460000", "011442079460000", "011442079460000"},
        {{.form = NUMBER_NATIONAL, .strip = 3, .add = VIEW("9")},
         "+12135550199",
         "95550199",
         "2135550199"},
        {{.form = NUMBER_E164, .strip = 1, .add = VIEW("00")},
         "+442079460000",
         "00442079460000",
         "+442079460000"},
        {{.form = NUMBER_BARE, .strip = 15}, "+12135550199", "", "12135550199"},
        {{.form = NUMBER_BARE, .strip = 11, .add = VIEW("9")}, "+12135550199", "", "12135550199"},
        {{.form = NUMBER_BARE, .add = VIEW("9")}, "*72", "*72", "*72"},
        {{.form = NUMBER_BARE, .default_number = VIEW("+12125550100")}, "", "", "12125550100"},
        {{.form = NUMBER_BARE}, "", "", ""},
    };
    char out[ROUTE_NUMBER_MAX];
    for (size_t i = 0; i < N(cases); i++) {
        struct view number = view_of(cases[i].number);
        bool ok = route_called_for(&cases[i].t, &US, number, out);
        if (strcmp(out, cases[i].called) != 0 || ok != (out[0] != 0)) {
            fail_msg("case %zu: called \"%s\"", i, out);
        }
        route_caller_for(&cases[i].t, &US, number, out);
        if (strcmp(out, cases[i].caller) != 0) {
            fail_msg("case %zu: caller \"%s\"", i, out);
        }
    }
    char longest[200];
    memset(longest, '1', sizeof longest);
    assert_false(route_called_for(NULL, &US, view_from(longest, sizeof longest), out));
    assert_string_equal(out, "");
    assert_true(route_called_for(NULL, &US, VIEW("+12135550199"), out));
    assert_string_equal(out, "+12135550199");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_and_priorities),
        cmocka_unit_test(nothing_there),
        cmocka_unit_test(weights),
        cmocka_unit_test(health),
        cmocka_unit_test(more_routes_than_targets),
        cmocka_unit_test(hours),
        cmocka_unit_test(rules),
        cmocka_unit_test(feature_codes),
        cmocka_unit_test(emergency),
        cmocka_unit_test(transit),
        cmocka_unit_test(numbers),
    };
    log_init("test", LV_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
