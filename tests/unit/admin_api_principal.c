/* Who may what: the permission table, tokens, failures of a source, and what a flood leaves in the
 * audit log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "admin_api/principal_int.h"

static struct permissions role(const char *name)
{
    struct permissions p = {{0}};

    assert_true(role_builtin(view_of(name), &p));
    return p;
}

static bool has(const char *name, const char *permission)
{
    struct permissions p = role(name);
    unsigned id = 0;

    assert_true(permission_find(view_of(permission), &id));
    return permissions_have(&p, id);
}

static bool ends(const char *text, const char *with)
{
    size_t n = strlen(text), m = strlen(with);

    return n > m && strcmp(text + n - m, with) == 0;
}

/* ---- rules ---- */
static void names_are_found_and_bounded(void **state)
{
    unsigned id = 99;
    (void)state;

    for (unsigned i = 0; permission_name(i) != NULL; i++) {
        assert_true(permission_find(view_of(permission_name(i)), &id));
        assert_int_equal(id, i);
    }
    assert_false(permission_find(VIEW("calls"), &id));
    assert_false(permission_find(VIEW(""), &id));
    assert_false(permission_find(VIEW("calls.read "), &id));
    assert_null(permission_name(PERMISSION_COUNT));
    assert_null(role_builtin_name(7));
    assert_null(role_builtin_help(7));
    assert_false(role_builtin(VIEW("root"), NULL));
}

static void auditor_reads_everything_and_changes_nothing(void **state)
{
    struct permissions auditor = role("auditor"), viewer = role("viewer");
    (void)state;

    for (unsigned i = 0; permission_name(i) != NULL; i++) {
        const char *name = permission_name(i);
        bool reads = ends(name, ".read");
        bool hidden = strcmp(name, "ladders.read") == 0 || strcmp(name, "cdrs.read") == 0 ||
                      strcmp(name, "traces.read") == 0 || strcmp(name, "audit.read") == 0 ||
                      strcmp(name, "admins.read") == 0;
        assert_int_equal(permissions_have(&auditor, i), reads || strcmp(name, "cdrs.export") == 0);
        assert_int_equal(permissions_have(&viewer, i), reads && !hidden);
    }
}

static void dangerous_rights_are_few_peoples(void **state)
{
    static const struct {
        const char *permission, *roles;
    } who[] = {
        {"preempt", "emergency"},
        {"emergency.declare", "emergency"},
        {"admins.write", "security"},
        {"tokens.write", "security"},
        {"policies.write", "security"},
        {"traces.read", "auditor"},
        {"routes.write", "operator"},
        {"calls.end", "operator emergency"},
        {"changes.decide", "operator emergency security"},
        {"audit.read", "security auditor"},
        {"cdrs.export", "operator auditor"},
        {"credentials.write", "support provisioner"},
        {"orders.write", "provisioner"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof who / sizeof *who; i++) {
        for (unsigned r = 0; role_builtin_name(r) != NULL; r++) {
            const char *name = role_builtin_name(r);
            if (has(name, who[i].permission) != (strstr(who[i].roles, name) != NULL)) {
                fail_msg("%s and %s", name, who[i].permission);
            }
        }
    }
}

static void roles_join_and_custom_ones_add(void **state)
{
    struct permissions p = {{0}}, wanted = {{0}};
    bool security = true;
    (void)state;

    roles_read(VIEW("viewer  my-role"), VIEW("preempt of.tomorrow"), &p, &security);
    assert_false(security);
    wanted = role("viewer");
    permissions_add(&wanted, PERMISSION_PREEMPT);
    permissions_add(&wanted, PERMISSION_SELF);
    assert_memory_equal(&p, &wanted, sizeof p);
    roles_read(VIEW(""), VIEW(""), &p, &security);
    wanted = (struct permissions){{0}};
    permissions_add(&wanted, PERMISSION_SELF);
    assert_memory_equal(&p, &wanted, sizeof p);
    roles_read(VIEW("auditor security"), VIEW(""), &p, &security);
    assert_true(security);
    wanted = role("auditor");
    assert_true(permissions_cover(&p, &wanted));
    assert_false(permissions_cover(&wanted, &p));
    permissions_cut(&p, &wanted);
    assert_memory_equal(&p, &wanted, sizeof p);
}

/* ---- tokens ---- */
static void a_token_has_one_form(void **state)
{
    char text[TOKEN_CHARS + 1], other[TOKEN_CHARS + 1], bad[TOKEN_CHARS + 2];
    uint8_t hash[SHA256_BYTES], again[SHA256_BYTES];
    (void)state;

    assert_int_equal(token_new(text, hash), E_OK);
    assert_int_equal(token_new(other, again), E_OK);
    assert_string_not_equal(text, other);
    assert_int_equal(strlen(text), TOKEN_CHARS);
    assert_memory_equal(text, "hga_", 4);
    assert_int_equal(token_hash(view_of(text), again), E_OK);
    assert_memory_equal(hash, again, sizeof hash);
    for (size_t i = 0; i < TOKEN_CHARS; i++) { /* no octet but those of the alphabet */
        memcpy(bad, text, sizeof text);
        bad[i] = i % 2 ? '=' : (char)0;
        assert_int_equal(token_hash(view_from(bad, TOKEN_CHARS), again), E_PARSE);
    }
    assert_int_equal(token_hash(view_from(text, TOKEN_CHARS - 1), again), E_PARSE);
    snprintf(bad, sizeof bad, "%sA", text);
    assert_int_equal(token_hash(view_of(bad), again), E_PARSE);
    assert_int_equal(token_hash(VIEW(""), again), E_PARSE);
}

/* ---- failures of a source ---- */
static void a_source_has_so_many_failures(void **state)
{
    struct source_limits *s = NULL;
    uint64_t now = 1000000;
    (void)state;

    assert_int_equal(source_limits_new(&s), E_OK);
    for (int i = 0; i < SOURCE_FAILURES; i++) {
        assert_false(source_failed(s, VIEW("192.0.2.1"), now));
    }
    assert_true(source_failed(s, VIEW("192.0.2.1"), now));
    assert_false(source_failed(s, VIEW("192.0.2.2"), now));
    now += SOURCE_REFILL_MS - 1;
    assert_true(source_failed(s, VIEW("192.0.2.1"), now));
    now += 1;
    assert_false(source_failed(s, VIEW("192.0.2.1"), now));
    assert_true(source_failed(s, VIEW("192.0.2.1"), now));
    now += (uint64_t)SOURCE_REFILL_MS * SOURCE_FAILURES * 2;
    for (int i = 0; i < SOURCE_FAILURES; i++) {
        assert_false(source_failed(s, VIEW("192.0.2.1"), now));
    }
    assert_true(source_failed(s, VIEW("192.0.2.1"), now));
    source_limits_free(s);
}

/* More sources than there are rows: some share, none is without a limit. */
static void many_sources_share(void **state)
{
    struct source_limits *s = NULL;
    unsigned refused = 0;
    char name[32];
    (void)state;

    assert_int_equal(source_limits_new(&s), E_OK);
    for (unsigned i = 0; i < 20 * SOURCES_MAX; i++) {
        snprintf(name, sizeof name, "source %u", i);
        refused += source_failed(s, view_of(name), 5000);
    }
    assert_true(refused > 10 * SOURCES_MAX);
    source_limits_free(s);
}

/* ---- what a flood leaves ---- */
static struct note note_of(const char *person, const char *object)
{
    struct note n = {.person = ""};

    snprintf(n.person, sizeof n.person, "%s", person);
    snprintf(n.object, sizeof n.object, "%s", object);
    snprintf(n.why, sizeof n.why, "why");
    return n;
}

static unsigned drain(struct notes *n, uint64_t now, uint64_t *sum)
{
    struct note out;
    uint64_t times = 0;
    unsigned rows = 0;

    while (notes_due(n, now, &out, &times)) {
        notes_written(n, true);
        *sum += times;
        rows++;
    }
    return rows;
}

static void the_first_is_told_and_the_rest_counted(void **state)
{
    struct notes *n = NULL;
    struct note a = note_of("anna", "operation x"), out;
    uint64_t now = 1000000, sum = 0, times = 0;
    (void)state;

    assert_int_equal(notes_new(&n), E_OK);
    assert_false(notes_due(n, now, &out, &times));
    assert_true(notes_add(n, &a, now));
    assert_false(notes_add(n, &a, now + 1)); /* before the row is written */
    assert_true(notes_due(n, now, &out, &times));
    assert_string_equal(out.object, "operation x");
    assert_int_equal(times, 1);
    assert_false(notes_add(n, &a, now + 2)); /* while it is written */
    assert_false(notes_due(n, now + 2, &out, &times));
    notes_written(n, false); /* the database was away: due again, the others still counted */
    assert_true(notes_due(n, now + 3, &out, &times));
    assert_int_equal(times, 1);
    notes_written(n, true);
    assert_int_equal(drain(n, now + NOTE_WINDOW_MS - 1, &sum), 0);
    assert_int_equal(drain(n, now + NOTE_WINDOW_MS, &sum), 1);
    assert_int_equal(sum, 2);
    assert_int_equal(drain(n, now + 10 * NOTE_WINDOW_MS, &sum), 0);
    assert_true(notes_add(n, &a, now + 10 * NOTE_WINDOW_MS)); /* a new minute */
    sum = 0;
    assert_int_equal(drain(n, now + 10 * NOTE_WINDOW_MS, &sum), 1);
    notes_free(n);
}

static void a_quiet_minute_leaves_nothing(void **state)
{
    struct notes *n = NULL;
    struct note a = note_of("anna", "operation x");
    uint64_t now = 1000000, sum = 0;
    (void)state;

    assert_int_equal(notes_new(&n), E_OK);
    for (int i = 0; i < 5; i++) {
        assert_true(notes_add(n, &a, now));
        assert_int_equal(drain(n, now, &sum), 1);
        now += NOTE_WINDOW_MS;
    }
    assert_int_equal(sum, 5);
    notes_free(n);
}

static void a_flood_of_many_kinds_is_bounded(void **state)
{
    enum { FLOOD = 100000 };
    struct notes *n = NULL;
    uint64_t now = 1000000, sum = 0;
    unsigned rows = 0;
    char object[32];
    (void)state;

    assert_int_equal(notes_new(&n), E_OK);
    for (unsigned i = 0; i < FLOOD; i++) {
        snprintf(object, sizeof object, "sign-in from %u", i);
        struct note a = note_of("", object);
        (void)notes_add(n, &a, now);
        rows += drain(n, now, &sum);
    }
    assert_true(rows <= NOTES_MAX + 1);
    notes_flush(n);
    rows += drain(n, now, &sum);
    assert_true(rows <= 2 * (NOTES_MAX + 1));
    assert_int_equal(sum, FLOOD); /* nothing goes uncounted */
    notes_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found_and_bounded),
        cmocka_unit_test(auditor_reads_everything_and_changes_nothing),
        cmocka_unit_test(dangerous_rights_are_few_peoples),
        cmocka_unit_test(roles_join_and_custom_ones_add),
        cmocka_unit_test(a_token_has_one_form),
        cmocka_unit_test(a_source_has_so_many_failures),
        cmocka_unit_test(many_sources_share),
        cmocka_unit_test(the_first_is_told_and_the_rest_counted),
        cmocka_unit_test(a_quiet_minute_leaves_nothing),
        cmocka_unit_test(a_flood_of_many_kinds_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
