/* The parts of the store that need neither PostgreSQL nor Redis: changed rows over an old snapshot,
 * sealed messages between nodes, keys. The rest is a system test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "gc/store_int.h"

static char why[160];

static void add_line(struct patch *p, uint64_t id, const char *number, const char *second,
                     bool barred)
{
    const struct line l = {
        .line_id = id, .account_id = 1, .number = view_of(number), .barred = barred};
    assert_int_equal(patch_add_line(p, &l, false), E_OK);
    if (number[0] != 0) {
        assert_int_equal(patch_add_number(p, id, view_of(number)), E_OK);
    }
    if (second != NULL) {
        assert_int_equal(patch_add_number(p, id, view_of(second)), E_OK);
    }
}

static void lose_line(struct patch *p, uint64_t id)
{
    const struct line l = {.line_id = id};
    assert_int_equal(patch_add_line(p, &l, true), E_OK);
}

static struct bti_row bti_row(uint8_t id, uint64_t line, bool revoked)
{
    struct bti_row b = {.line_id = line, .revoked = revoked};
    memset(b.bti_id, id, sizeof b.bti_id);
    return b;
}

static void add_bti(struct patch *p, uint8_t id, uint64_t line, bool revoked, bool gone)
{
    const struct bti_row b = bti_row(id, line, revoked);
    assert_int_equal(patch_add_bti(p, &b, gone), E_OK);
}

static void add_route(struct patch *p, const char *prefix, const char *next_hop)
{
    const struct route r = {.prefix = view_of(prefix),
                            .kind = ROUTE_NEXT_HOP,
                            .priority = 1,
                            .next_hop = view_of(next_hop),
                            .name = view_of(next_hop)};
    assert_int_equal(patch_add_route(p, &r), E_OK);
}

static struct patch *patch(void)
{
    struct patch *p = NULL;
    assert_int_equal(patch_new(&p), E_OK);
    return p;
}

static struct snapshot *build(const struct snapshot *base, struct patch *p, bool whole,
                              struct losses *lost)
{
    struct snapshot *s = NULL;
    struct losses none = {.n_lines = 0};
    enum err e = patch_build(base, p, whole, &s, lost != NULL ? lost : &none, why, sizeof why);
    if (e != E_OK) {
        fail_msg("%s: %s", err_name(e), why);
    }
    losses_fini(&none);
    patch_free(p);
    return s;
}

static struct snapshot *base_snapshot(void)
{
    struct patch *p = patch();
    p->horizon = 100;
    add_line(p, 1, "+12125550101", NULL, false);
    add_line(p, 2, "+12125550102", "+12125550192", false);
    add_line(p, 3, "", NULL, false);
    add_bti(p, 0xb1, 1, false, false);
    add_bti(p, 0xb2, 2, true, false);
    add_route(p, "+44", "sip:192.0.2.1:5060");
    return build(NULL, p, true, NULL);
}

static uint64_t line_of(const struct snapshot *s, const char *number)
{
    const struct line *l = snapshot_line_of_number(s, view_of(number));
    return l != NULL ? l->line_id : 0;
}

static const struct bti_row *bti(const struct snapshot *s, uint8_t id)
{
    const struct bti_row b = bti_row(id, 0, false);
    return snapshot_bti(s, b.bti_id);
}

static size_t routes(const struct snapshot *s, const char *digits)
{
    const struct route *r[4];
    return snapshot_routes(s, ROUTE_NEXT_HOP, view_of(digits), r, 4);
}

static void everything_at_once(void **state)
{
    (void)state;
    struct snapshot *s = base_snapshot();
    assert_true(snapshot_change_seq(s) == 100);
    assert_int_equal(snapshot_lines(s), 3);
    assert_true(line_of(s, "+12125550192") == 2);
    assert_true(bti(s, 0xb2)->revoked);
    assert_int_equal(routes(s, "+441"), 1);
    snapshot_free(s);
}

static void what_did_not_change_stays(void **state)
{
    (void)state;
    struct snapshot *old = base_snapshot();
    struct patch *p = patch();
    add_line(p, 1, "+12125550111", NULL, true);
    struct snapshot *s = build(old, p, false, NULL);
    snapshot_free(old);
    assert_int_equal(snapshot_lines(s), 3);
    assert_true(line_of(s, "+12125550101") == 0 && line_of(s, "+12125550111") == 1);
    assert_true(snapshot_line(s, 1)->barred);
    assert_true(line_of(s, "+12125550102") == 2 && line_of(s, "+12125550192") == 2);
    assert_true(view_eq(snapshot_line(s, 2)->number, VIEW("+12125550102")));
    assert_false(bti(s, 0xb1)->revoked);
    assert_int_equal(routes(s, "+441"), 1);
    assert_true(snapshot_change_seq(s) == 100);
    snapshot_free(s);
}

static void the_latest_reading_counts(void **state)
{
    (void)state;
    struct snapshot *old = base_snapshot();
    struct patch *p = patch();
    p->horizon = 105;
    add_line(p, 2, "+12125550120", "+12125550121", true);
    add_bti(p, 0xb1, 1, true, false);
    lose_line(p, 3);
    add_line(p, 2, "+12125550122", NULL, false);
    add_line(p, 3, "+12125550103", NULL, false);
    add_bti(p, 0xb1, 1, false, false);
    assert_false(patch_find_bti(p, bti_row(0xb1, 0, false).bti_id)->row.revoked);
    assert_null(patch_find_bti(p, bti_row(0xbf, 0, false).bti_id));
    struct snapshot *s = build(old, p, false, NULL);
    snapshot_free(old);
    assert_true(line_of(s, "+12125550120") == 0 && line_of(s, "+12125550121") == 0);
    assert_true(line_of(s, "+12125550102") == 0 && line_of(s, "+12125550192") == 0);
    assert_true(line_of(s, "+12125550122") == 2 && line_of(s, "+12125550103") == 3);
    assert_false(snapshot_line(s, 2)->barred);
    assert_false(bti(s, 0xb1)->revoked);
    assert_true(snapshot_change_seq(s) == 105);
    snapshot_free(s);
}

static void a_line_that_went_takes_its_rows_along(void **state)
{
    (void)state;
    struct snapshot *old = base_snapshot();
    struct patch *p = patch();
    lose_line(p, 2);
    add_bti(p, 0xb3, 9, false, false); /* of a line that nobody knows yet */
    struct snapshot *s = build(old, p, false, NULL);
    snapshot_free(old);
    assert_null(snapshot_line(s, 2));
    assert_null(bti(s, 0xb2));
    assert_null(bti(s, 0xb3));
    assert_true(line_of(s, "+12125550192") == 0);
    assert_non_null(bti(s, 0xb1));
    snapshot_free(s);
}

/* Only the line that has the number now was read again. */
static void a_number_that_moved_leaves_its_old_line(void **state)
{
    (void)state;
    struct snapshot *old = base_snapshot();
    struct patch *p = patch();
    add_line(p, 3, "+12125550101", "+12125550192", false);
    struct snapshot *s = build(old, p, false, NULL);
    snapshot_free(old);
    assert_true(line_of(s, "+12125550101") == 3 && line_of(s, "+12125550192") == 3);
    assert_int_equal(snapshot_line(s, 1)->number.n, 0);
    assert_true(line_of(s, "+12125550102") == 2);
    snapshot_free(s);
    /* both were read, at different moments: the later one has it */
    old = base_snapshot();
    p = patch();
    add_line(p, 1, "+12125550150", NULL, false);
    add_line(p, 3, "+12125550150", NULL, false);
    s = build(old, p, false, NULL);
    snapshot_free(old);
    assert_true(line_of(s, "+12125550150") == 3);
    assert_int_equal(snapshot_line(s, 1)->number.n, 0);
    snapshot_free(s);
}

static void routes_are_replaced_and_bad_ones_left_out(void **state)
{
    (void)state;
    struct snapshot *old = base_snapshot();
    struct patch *p = patch();
    assert_true(patch_is_empty(p));
    patch_plan(p);
    assert_false(patch_is_empty(p));
    add_route(p, "+49", "sip:192.0.2.2;transport=tcp");
    add_route(p, "+33", "sip:host.example");
    add_route(p, "+39", "sip:192.0.2.2;maddr=192.0.2.3");
    struct snapshot *s = build(old, p, false, NULL);
    assert_int_equal(routes(s, "+441") + routes(s, "+331") + routes(s, "+391"), 0);
    assert_int_equal(routes(s, "+491"), 1);
    snapshot_free(s);
    p = patch();
    patch_plan(p); /* none is left */
    s = build(old, p, false, NULL);
    assert_int_equal(routes(s, "+441"), 0);
    snapshot_free(s);
    snapshot_free(old);
}

/* ---- credentials and what operators type ---- */

static struct snapshot *overlay(const struct snapshot *base, struct patch *p)
{
    struct snapshot *s = NULL;
    enum err e = patch_overlay(base, p, &s, why, sizeof why);
    if (e != E_OK) {
        fail_msg("%s: %s", err_name(e), why);
    }
    return s;
}

static void add_credential(struct patch *p, uint64_t id, uint64_t line, const char *name)
{
    const struct credential c = {.credential_id = id,
                                 .line_id = line,
                                 .username = view_of(name),
                                 .ha1_sealed = VIEW("0123456789abcdef")};
    assert_int_equal(patch_add_credential(p, &c), E_OK);
}

static uint64_t credential(const struct snapshot *s, const char *name)
{
    const struct credential *c = snapshot_credential(s, view_of(name), DIGEST_SHA256);
    return c != NULL ? c->credential_id : 0;
}

static struct snapshot *with_credentials(void)
{
    struct patch *p = patch();
    add_line(p, 1, "+12125550101", NULL, false);
    add_credential(p, 10, 1, "alice");
    add_credential(p, 11, 1, "alice-2");
    add_line(p, 2, "+12125550102", NULL, false);
    add_credential(p, 20, 2, "bob");
    return build(NULL, p, true, NULL);
}

/* They come with their line, and go when the latest reading has none. */
static void service_records_are_those_of_the_latest_reading(void **state)
{
    (void)state;
    struct line l = {.line_id = 1,
                     .account_id = 1,
                     .services = LINE_CALLER_ID | LINE_PRIVATE,
                     .forward = {[FORWARD_BUSY] = VIEW("+12125550109")},
                     .no_answer_s = 30};
    struct snapshot *old = base_snapshot(), *s = NULL;
    struct patch *p = patch(), *copy = NULL;
    assert_int_equal(patch_add_line(p, &l, false), E_OK);
    l.services = LINE_REJECTS_ANONYMOUS;
    l.forward[FORWARD_BUSY] = VIEW("");
    l.forward[FORWARD_ALWAYS] = VIEW("+12125550108");
    assert_int_equal(patch_add_line(p, &l, false), E_OK);
    assert_int_equal(patch_copy(p, 0, &copy), E_OK);
    s = overlay(old, copy);
    for (int whole = 0; whole < 2; whole++) {
        const struct line *now = snapshot_line(s, 1);
        assert_int_equal(now->services, LINE_REJECTS_ANONYMOUS);
        assert_true(view_eq(now->forward[FORWARD_ALWAYS], VIEW("+12125550108")));
        assert_true(now->forward[FORWARD_BUSY].n == 0 && now->no_answer_s == 30);
        assert_int_equal(snapshot_line(s, 2)->services, 0);
        snapshot_free(s);
        s = whole == 0 ? build(old, p, false, NULL) : NULL;
    }
    patch_free(copy);
    snapshot_free(old);
}

static void credentials_are_those_of_the_latest_reading(void **state)
{
    (void)state;
    struct snapshot *old = with_credentials(), *s = NULL;
    struct patch *p = patch(), *copy = NULL;
    assert_true(credential(old, "alice") == 10 && credential(old, "bob") == 20);
    add_line(p, 1, "+12125550101", NULL, false);
    add_credential(p, 12, 1, "early");
    uint64_t order = p->order;
    add_line(p, 1, "+12125550101", NULL, false);
    add_credential(p, 11, 1, "alice-2");
    add_credential(p, 13, 1, "alice-3");
    assert_int_equal(patch_copy(p, order, &copy), E_OK);
    s = overlay(old, copy);
    for (int whole = 0; whole < 2; whole++) {
        assert_true(credential(s, "alice") == 0 && credential(s, "early") == 0);
        assert_true(credential(s, "alice-2") == 11 && credential(s, "alice-3") == 13);
        assert_true(credential(s, "bob") == 20);
        snapshot_free(s);
        s = whole == 0 ? build(old, p, false, NULL) : NULL;
    }
    patch_free(copy);
    p = patch();
    lose_line(p, 2);
    s = overlay(old, p);
    assert_true(credential(s, "bob") == 0 && credential(s, "alice") == 10);
    snapshot_free(s);
    patch_free(p);
    p = patch(); /* a name that moved to a line, of which alone we heard */
    add_line(p, 2, "+12125550102", NULL, false);
    add_credential(p, 21, 2, "alice");
    assert_int_equal(patch_overlay(old, p, &s, why, sizeof why), E_EXISTS);
    s = build(old, p, false, NULL);
    assert_true(credential(s, "alice") == 21 && credential(s, "alice-2") == 11);
    assert_true(credential(s, "bob") == 0);
    snapshot_free(s);
    snapshot_free(old);
}

static void trunks_routes_and_rules_come_together(void **state)
{
    (void)state;
    const struct trunk t = {.trunk_id = 5, .name = VIEW("gw"), .host = VIEW("gw.example.net")};
    const struct route r = {
        .name = VIEW("r"), .prefix = VIEW("+49"), .kind = ROUTE_NEXT_HOP, .trunk_id = 5};
    const struct dial_rule d = {.name = VIEW("d"), .prefix = VIEW("9"), .strip = 1};
    const struct dial_rule *rule[2];
    const struct emergency_mode mode = {.mode_id = 3, .share = 10, .reason = VIEW("flood")};
    struct snapshot *old = base_snapshot();
    struct patch *p = patch(), *q = patch();
    patch_plan(p);
    assert_int_equal(patch_add_mode(p, &mode), E_OK);
    assert_int_equal(patch_add_trunk(p, &t), E_OK);
    assert_int_equal(patch_add_route(p, &r), E_OK);
    assert_int_equal(patch_add_rule(p, &d), E_OK);
    assert_int_equal(patch_copy_plan(p, q), E_OK);
    assert_int_equal(patch_rows(q), 4);
    patch_free(p);
    struct snapshot *s = overlay(old, q);
    assert_int_equal(snapshot_modes(s), 1);
    assert_true(view_eq(snapshot_mode_at(s, 0)->reason, VIEW("flood")));
    assert_true(view_eq(snapshot_trunk(s, 5)->host, VIEW("gw.example.net")));
    assert_int_equal(routes(s, "+491"), 1);
    assert_int_equal(routes(s, "+441"), 0);
    assert_int_equal(snapshot_rules(s, VIEW("912"), rule, 2), 1);
    snapshot_free(s);
    s = build(old, q, false, NULL);
    p = patch();
    add_line(p, 3, "", NULL, true);
    struct snapshot *t2 = build(s, p, false, NULL); /* another change leaves them alone */
    assert_true(snapshot_line(t2, 3)->barred && snapshot_trunks(t2) == 1);
    assert_int_equal(snapshot_modes(t2), 1);
    assert_int_equal(routes(t2, "+491"), 1);
    assert_int_equal(snapshot_rules(t2, VIEW("912"), rule, 2), 1);
    snapshot_free(t2);
    snapshot_free(s);
    snapshot_free(old);
}

static bool has_bti(const struct losses *l, uint8_t id)
{
    for (size_t i = 0; i < l->n_btis; i++) {
        if (l->btis[i][0] == id) {
            return true;
        }
    }
    return false;
}

static void who_lost_rights_between_two_snapshots(void **state)
{
    (void)state;
    struct snapshot *old = base_snapshot();
    struct losses lost = {.n_lines = 0};
    struct patch *p = patch();
    add_line(p, 1, "+12125550101", NULL, true); /* barred; line 2 and its BTI went, 3 stays */
    add_line(p, 3, "", NULL, false);
    add_line(p, 4, "", NULL, true);
    add_bti(p, 0xb1, 1, true, false);
    add_bti(p, 0xb4, 4, true, false); /* revoked before we ever knew it */
    add_bti(p, 0xb5, 4, false, false);
    struct snapshot *s = build(old, p, true, &lost);
    assert_int_equal(lost.n_btis, 3);
    assert_true(has_bti(&lost, 0xb1) && has_bti(&lost, 0xb2) && has_bti(&lost, 0xb4));
    assert_int_equal(lost.n_lines, 3);
    snapshot_free(s);
    losses_fini(&lost);
    /* the same rows again: nobody loses anything */
    p = patch();
    add_line(p, 1, "+12125550101", NULL, false);
    add_line(p, 2, "+12125550102", NULL, false);
    add_line(p, 3, "", NULL, false);
    add_bti(p, 0xb1, 1, false, false);
    add_bti(p, 0xb2, 2, true, false);
    s = build(old, p, true, &lost);
    assert_int_equal(lost.n_btis + lost.n_lines, 0);
    losses_fini(&lost);
    snapshot_free(s);
    snapshot_free(old);
}

static void changed_rows_lie_over_what_is_below(void **state)
{
    (void)state;
    struct snapshot *old = base_snapshot();
    struct patch *p = patch();
    add_line(p, 1, "+12125550111", NULL, true);
    lose_line(p, 2);
    add_line(p, 4, "+12125550104", NULL, false);
    add_bti(p, 0xb1, 1, true, false);
    add_bti(p, 0xb4, 3, false, false); /* its line is below */
    add_bti(p, 0xb5, 2, false, false); /* its line is gone */
    add_bti(p, 0xb2, 0, false, true);
    p->horizon = 107;
    struct snapshot *s = overlay(old, p);
    assert_true(snapshot_change_seq(s) == 107);
    assert_int_equal(snapshot_lines(s), 3);
    assert_true(snapshot_line(s, 1)->barred);
    assert_true(line_of(s, "+12125550101") == 0 && line_of(s, "+12125550111") == 1);
    assert_false(snapshot_owns_number(s, 1, VIEW("+12125550101")));
    assert_true(snapshot_owns_number(s, 1, VIEW("+12125550111")));
    assert_null(snapshot_line(s, 2));
    assert_true(line_of(s, "+12125550102") == 0 && line_of(s, "+12125550192") == 0);
    assert_false(snapshot_owns_number(s, 2, VIEW("+12125550102")));
    assert_false(snapshot_owns_number(s, 0, VIEW("+19995550102")));
    assert_non_null(snapshot_line(s, 3));
    assert_true(line_of(s, "+12125550104") == 4);
    assert_true(bti(s, 0xb1)->revoked);
    assert_true(bti(s, 0xb4)->line_id == 3);
    assert_null(bti(s, 0xb5));
    assert_null(bti(s, 0xb2));
    assert_int_equal(routes(s, "+441"), 1); /* those below */
    snapshot_free(s);
    patch_plan(p);
    add_route(p, "+49", "sip:192.0.2.2");
    s = overlay(old, p); /* the same patch once more, with more in it */
    assert_int_equal(routes(s, "+441"), 0);
    assert_int_equal(routes(s, "+491"), 1);
    assert_true(snapshot_line(s, 1)->barred);
    snapshot_free(s);
    patch_free(p);
    snapshot_free(old);
}

static void a_number_taken_from_a_line_below_needs_a_whole_one(void **state)
{
    (void)state;
    struct snapshot *old = base_snapshot(), *s = NULL;
    struct patch *p = patch();
    add_line(p, 3, "+12125550101", NULL, false); /* line 1 was not read again */
    assert_int_equal(patch_overlay(old, p, &s, why, sizeof why), E_EXISTS);
    s = build(old, p, false, NULL);
    assert_true(line_of(s, "+12125550101") == 3);
    snapshot_free(s);
    snapshot_free(old);
}

static void rows_after_a_copy_remain(void **state)
{
    (void)state;
    struct patch *p = patch(), *all = NULL, *rest = NULL;
    struct snapshot *old = base_snapshot();
    add_line(p, 1, "+12125550111", NULL, false);
    add_bti(p, 0xb1, 1, true, false);
    uint64_t order = p->order;
    assert_int_equal(patch_copy(p, 0, &all), E_OK);
    assert_int_equal(patch_rows(all), 3);
    add_line(p, 1, "+12125550112", "+12125550113", false);
    patch_plan(p);
    add_route(p, "+49", "sip:192.0.2.2");
    assert_int_equal(patch_copy(p, order, &rest), E_OK);
    patch_free(p);
    assert_int_equal(patch_rows(rest), 4);
    assert_null(patch_find_bti(rest, bti_row(0xb1, 0, false).bti_id));
    struct snapshot *root = build(old, all, false, NULL);
    snapshot_free(old);
    struct snapshot *s = overlay(root, rest);
    assert_true(bti(s, 0xb1)->revoked);
    assert_true(line_of(s, "+12125550111") == 0 && line_of(s, "+12125550113") == 1);
    assert_int_equal(routes(s, "+491"), 1);
    uint64_t last = rest->order;
    assert_int_equal(patch_copy(rest, last, &p), E_OK);
    assert_true(patch_is_empty(p));
    assert_true(p->order == last); /* orders go on rising */
    patch_free(p);
    patch_free(rest);
    snapshot_free(s);
    snapshot_free(root);
}

enum { MODEL_LINES = 40 };

struct model {
    int owner[MODEL_LINES]; /* number i belongs to line owner[i]; 0: to none */
    bool there[MODEL_LINES + 1], barred[MODEL_LINES + 1], revoked[MODEL_LINES + 1];
};

static void model_number(int i, char text[24])
{
    snprintf(text, 24, "+1212555%04d", i);
}

/* As the database would answer for that line. */
static void model_read(const struct model *m, struct patch *p, int line)
{
    char text[24];
    if (!m->there[line]) {
        lose_line(p, (uint64_t)line);
        return;
    }
    const struct line row = {.line_id = (uint64_t)line, .account_id = 1, .barred = m->barred[line]};
    assert_int_equal(patch_add_line(p, &row, false), E_OK);
    for (int i = 0; i < MODEL_LINES; i++) {
        model_number(i, text);
        if (m->owner[i] == line) {
            assert_int_equal(patch_add_number(p, (uint64_t)line, view_of(text)), E_OK);
        }
    }
    add_bti(p, (uint8_t)line, (uint64_t)line, m->revoked[line], false);
}

static void model_change(struct model *m, struct patch *p, uint32_t x)
{
    int line = (int)(x >> 8) % MODEL_LINES + 1, number = (int)(x >> 16) % MODEL_LINES;
    int before = m->owner[number];
    m->there[line] = (x >> 28) != 0;
    m->barred[line] = (x >> 27 & 1) != 0;
    m->revoked[line] = (x >> 26 & 1) != 0;
    for (int i = 0; i < MODEL_LINES; i++) {
        m->owner[i] = m->owner[i] == line && !m->there[line] ? 0 : m->owner[i];
    }
    if (m->there[line]) {
        m->owner[number] = line;
        if (before != 0 && before != line) {
            model_read(m, p, before); /* the trigger names both */
        }
    }
    model_read(m, p, line);
}

static void model_check(const struct model *m, const struct snapshot *s)
{
    size_t lines = 0;
    char text[24];
    for (int i = 0; i < MODEL_LINES; i++) {
        const struct line *l = snapshot_line(s, (uint64_t)i + 1);
        model_number(i, text);
        assert_true(line_of(s, text) == (uint64_t)m->owner[i]);
        assert_int_equal(l != NULL, m->there[i + 1]);
        if (l != NULL) {
            assert_int_equal(l->barred, m->barred[i + 1]);
            assert_int_equal(bti(s, (uint8_t)(i + 1))->revoked, m->revoked[i + 1]);
        }
        lines += m->there[i + 1];
    }
    assert_int_equal(snapshot_lines(s), lines);
}

/* Random changes, laid over or built in as the store does it, compared with a plain table. */
static void agrees_with_a_plain_table(void **state)
{
    (void)state;
    static struct model m;
    struct snapshot *root = build(NULL, patch(), true, NULL);
    struct patch *over = patch(), *copy = NULL;
    uint32_t x = 5;
    for (int turn = 0; turn < 600; turn++) {
        for (int change = 0; change < 3; change++) {
            x = x * 1664525u + 1013904223u;
            model_change(&m, over, x);
        }
        struct snapshot *s = overlay(root, over);
        model_check(&m, s);
        snapshot_free(s);
        if (turn % 17 == 0) { /* a whole one, while a change comes in */
            uint64_t order = over->order;
            struct patch *rest = NULL;
            assert_int_equal(patch_copy(over, 0, &copy), E_OK);
            x = x * 1664525u + 1013904223u;
            model_change(&m, over, x);
            s = build(root, copy, false, NULL);
            snapshot_free(root);
            root = s;
            assert_int_equal(patch_copy(over, order, &rest), E_OK);
            patch_free(over);
            over = rest;
            s = overlay(root, over);
            model_check(&m, s);
            snapshot_free(s);
        }
    }
    patch_free(over);
    snapshot_free(root);
}

static void no_memory_at_any_place(void **state)
{
    (void)state;
    struct snapshot *old = base_snapshot();
    size_t live = mem_live();
    bool done = false;
    for (long nth = 0; !done; nth++) {
        struct losses lost = {.n_lines = 0};
        struct snapshot *s = NULL;
        struct patch *p = patch();
        add_line(p, 1, "+12125550101", NULL, true);
        add_line(p, 2, "+12125550102", NULL, false);
        add_bti(p, 0xb1, 1, true, false);
        mem_fail_at(nth);
        enum err e = patch_build(old, p, true, &s, &lost, why, sizeof why);
        done = !mem_failed();
        mem_fail_at(-1);
        assert_int_equal(e, done ? E_OK : E_NOMEM);
        assert_true(done == (s != NULL));
        snapshot_free(s);
        losses_fini(&lost);
        patch_free(p);
        assert_int_equal(mem_live(), live);
    }
    done = false;
    for (long nth = 0; !done; nth++) {
        struct snapshot *s = NULL;
        struct patch *p = patch(), *copy = NULL;
        add_line(p, 1, "+12125550101", NULL, true);
        add_bti(p, 0xb1, 1, true, false);
        mem_fail_at(nth);
        enum err e = patch_copy(p, 0, &copy);
        if (e == E_OK) {
            e = patch_overlay(old, copy, &s, why, sizeof why);
        }
        done = !mem_failed();
        mem_fail_at(-1);
        assert_int_equal(e, done ? E_OK : E_NOMEM);
        snapshot_free(s);
        patch_free(copy);
        patch_free(p);
        assert_int_equal(mem_live(), live);
    }
    snapshot_free(old);
}

/* ---- keys ---- */

static void keys_are_gathered(void **state)
{
    (void)state;
    struct keys k = {.plan = false};
    assert_true(keys_empty(&k));
    assert_true(keys_add(&k, VIEW("line"), VIEW("7")));
    assert_true(keys_add(&k, VIEW("number"), VIEW("3")));
    assert_true(keys_add(&k, VIEW("credential"), VIEW("3")));
    assert_true(keys_add(&k, VIEW("line"), VIEW("7")));
    assert_true(keys_add(&k, VIEW("line_service"), VIEW("9")));
    assert_true(keys_add(&k, VIEW("account"), VIEW("5")));
    assert_true(keys_add(&k, VIEW("bti"), VIEW("000102030405060708090a0b0c0d0e0f")));
    assert_true(keys_add(&k, VIEW("bti"), VIEW("000102030405060708090a0b0c0d0e0f")));
    assert_true(keys_add(&k, VIEW("line"), VIEW("x")));
    assert_true(keys_add(&k, VIEW("line"), VIEW("18446744073709551615"))); /* no bigint */
    assert_true(keys_add(&k, VIEW("bti"), VIEW("00")));
    assert_true(keys_add(&k, VIEW("prompt"), VIEW("1")));
    assert_false(k.plan);
    assert_true(keys_add(&k, VIEW("route"), VIEW("*")));
    assert_true(k.plan);
    k.plan = false;
    assert_true(keys_add(&k, VIEW("trunk"), VIEW("*")) && k.plan);
    k.plan = false;
    assert_true(keys_add(&k, VIEW("dial_rule"), VIEW("*")) && k.plan);
    keys_unique(&k);
    char *ids = keys_ids_text(&k.lines), *btis = keys_btis_text(&k.btis);
    assert_string_equal(ids, "{3,7,9}");
    assert_string_equal(btis, "{000102030405060708090a0b0c0d0e0f}");
    mem_free(ids);
    mem_free(btis);
    keys_clear(&k);
    assert_true(keys_empty(&k));
    for (uint64_t i = 0; i < KEYS_MAX; i++) {
        assert_true(keys_add_id(&k.lines, UINT64_MAX - i));
    }
    assert_false(keys_add_id(&k.lines, 1));
    ids = keys_ids_text(&k.lines);
    assert_non_null(ids);
    mem_free(ids);
    keys_fini(&k);
}

/* ---- sealed messages between nodes ---- */

static struct mirror *mirror(uint8_t key_octet)
{
    struct secret key = {.n = 32};
    struct mirror *m = NULL;
    memset(key.b, key_octet, 32);
    assert_int_equal(mirror_new(&key, "gc1", &m), E_OK);
    return m;
}

static void a_seal_holds(void **state)
{
    (void)state;
    struct mirror *a = mirror(1), *b = mirror(1), *stranger = mirror(2);
    uint8_t sealed[256], again[256], plain[256];
    size_t n = 0, again_n = 0, plain_n = 0;
    const struct view reg = VIEW("reg"), place = VIEW("7:00ff"), text = VIEW("hello");
    assert_int_equal(mirror_seal(a, reg, place, text, sealed, sizeof sealed, &n), E_OK);
    assert_int_equal(n, text.n + MIRROR_SEAL_EXTRA);
    assert_int_equal(mirror_seal(a, reg, place, text, again, sizeof again, &again_n), E_OK);
    assert_memory_not_equal(sealed, again, n); /* no nonce twice */
    assert_int_equal(
        mirror_open(b, reg, place, view_from(sealed, n), plain, sizeof plain, &plain_n), E_OK);
    assert_memory_equal(plain, "hello", 5);
    assert_int_equal(
        mirror_open(a, reg, place, view_from(sealed, n), plain, sizeof plain, &plain_n), E_OK);
    assert_int_equal(
        mirror_open(stranger, reg, place, view_from(sealed, n), plain, sizeof plain, &plain_n),
        E_AUTH);
    assert_int_equal(
        mirror_open(b, reg, VIEW("8:00ff"), view_from(sealed, n), plain, sizeof plain, &plain_n),
        E_AUTH);
    assert_int_equal(
        mirror_open(b, VIEW("mark"), place, view_from(sealed, n), plain, sizeof plain, &plain_n),
        E_AUTH);
    for (size_t i = 0; i < n; i++) {
        sealed[i] ^= 1;
        assert_int_not_equal(
            mirror_open(b, reg, place, view_from(sealed, n), plain, sizeof plain, &plain_n), E_OK);
        sealed[i] ^= 1;
        assert_int_not_equal(
            mirror_open(b, reg, place, view_from(sealed, i), plain, sizeof plain, &plain_n), E_OK);
    }
    assert_int_equal(mirror_open(b, reg, place, view_from(sealed, n), plain, 4, &plain_n), E_PARSE);
    assert_int_equal(mirror_seal(a, reg, place, text, sealed, n - 1, &n), E_RANGE);
    mirror_free(a);
    mirror_free(b);
    mirror_free(stranger);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct mirror_binding b = {.node = "gc1", .removed = true}, got;
    struct mirror_marks m = {.node = "gc2", .sent = 1, .seen = UINT64_MAX}, marks;
    uint8_t octets[MIRROR_TEXT_MAX];
    b.b = (struct binding){.line_id = 5,
                           .cseq = 77,
                           .expires_us = 123456789,
                           .proto = 2,
                           .has_kid = true,
                           .contact = "sip:bti@192.0.2.1",
                           .call_id = "c@d"};
    assert_int_equal(net_parse(VIEW("192.0.2.7:5060"), 0, &b.sip_address), E_OK);
    assert_int_equal(net_parse(VIEW("[2001:db8::1]:1234"), 0, &b.b.remote), E_OK);
    assert_int_equal(net_parse(VIEW("[2001:db8::2]:5060"), 0, &b.b.local), E_OK);
    memset(b.b.kid, 1, 16);
    memset(b.b.bti_id, 2, 16);
    size_t n = mirror_binding_write(&b, octets);
    assert_int_equal(mirror_binding_read(view_from(octets, n), &got), E_OK);
    assert_string_equal(got.node, "gc1");
    assert_true(got.removed && got.b.has_kid);
    assert_string_equal(got.b.contact, b.b.contact);
    assert_string_equal(got.b.call_id, b.b.call_id);
    assert_true(got.b.line_id == 5 && got.b.cseq == 77 && got.b.expires_us == 123456789);
    assert_true(net_eq(&got.b.remote, &b.b.remote));
    assert_true(net_eq(&got.b.local, &b.b.local));
    assert_true(net_eq(&got.b.via_node, &b.sip_address));
    assert_memory_equal(got.b.bti_id, b.b.bti_id, 16);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(mirror_binding_read(view_from(octets, i), &got), E_PARSE);
    }
    octets[n] = 0;
    assert_int_equal(mirror_binding_read(view_from(octets, n + 1), &got), E_PARSE);
    n = mirror_marks_write(&m, octets);
    assert_int_equal(mirror_marks_read(view_from(octets, n), &marks), E_OK);
    assert_true(marks.sent == 1 && marks.seen == UINT64_MAX);
    assert_string_equal(marks.node, "gc2");
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(mirror_marks_read(view_from(octets, i), &marks), E_PARSE);
    }
    /* a full registration fits: texts of every length that a binding can hold */
    memset(b.b.contact, 'c', sizeof b.b.contact - 1);
    memset(b.b.call_id, 'd', sizeof b.b.call_id - 1);
    memset(b.node, 'n', sizeof b.node - 1);
    assert_true(mirror_binding_write(&b, octets) < MIRROR_TEXT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_at_once),
        cmocka_unit_test(what_did_not_change_stays),
        cmocka_unit_test(the_latest_reading_counts),
        cmocka_unit_test(a_line_that_went_takes_its_rows_along),
        cmocka_unit_test(a_number_that_moved_leaves_its_old_line),
        cmocka_unit_test(routes_are_replaced_and_bad_ones_left_out),
        cmocka_unit_test(credentials_are_those_of_the_latest_reading),
        cmocka_unit_test(service_records_are_those_of_the_latest_reading),
        cmocka_unit_test(trunks_routes_and_rules_come_together),
        cmocka_unit_test(who_lost_rights_between_two_snapshots),
        cmocka_unit_test(changed_rows_lie_over_what_is_below),
        cmocka_unit_test(a_number_taken_from_a_line_below_needs_a_whole_one),
        cmocka_unit_test(rows_after_a_copy_remain),
        cmocka_unit_test(agrees_with_a_plain_table),
        cmocka_unit_test(no_memory_at_any_place),
        cmocka_unit_test(keys_are_gathered),
        cmocka_unit_test(a_seal_holds),
        cmocka_unit_test(what_is_written_is_read),
    };
    log_init("gc_store", LV_ERROR);
    log_set_fd(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
