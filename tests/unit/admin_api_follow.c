/* The table of principals against a real server with the real schema: it is followed, refusals
 * reach the audit log, and many ask while it is exchanged. */
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "admin_api/principal_int.h"
#include "base/log.h"

#define SQL_MAX (512 * 1024)

enum { ASKERS = 4, CHANGES = 20 };

static struct {
    char top[32], dir[48], conninfo[128];
    struct pg_sync *owner;
    struct principals *p;
    char token[TOKEN_CHARS + 1];
    const char *request;
    _Atomic bool stop;
} t = {.request = "r-1"};

static __thread const char *header; /* Authorization of the request at hand */

struct view httpd_header(const struct httpd_request *r, const char *name)
{
    (void)r;
    return strcmp(name, "Authorization") == 0 ? view_of(header) : VIEW("");
}

static int devstack(const char *command)
{
    char line[200];
    snprintf(line, sizeof line, "tools/devstack %s %s", command, t.dir);
    return system(line);
}

/* As the owner of the database. */
static void sql(const char *text)
{
    char why[300] = "";
    if (pg_sync_script(t.owner, text, why, sizeof why) != E_OK) {
        fail_msg("%s", why);
    }
}

static uint64_t number(const char *query)
{
    struct pg_result *r = NULL;
    assert_int_equal(pg_sync_query(t.owner, query, NULL, 0, &r), E_OK);
    uint64_t n = pg_u64(r, 0, 0);
    pg_result_free(r);
    return n;
}

static void schema(void)
{
    glob_t files;
    char *text = calloc(1, SQL_MAX);
    assert_non_null(text);
    sql("CREATE ROLE hg_gc LOGIN; CREATE ROLE hg_prov LOGIN; CREATE ROLE hg_admin LOGIN; "
        "CREATE ROLE hg_li LOGIN; CREATE ROLE hg_trace LOGIN; CREATE ROLE hg_api LOGIN");
    assert_int_equal(glob("migrations/*.sql", 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        FILE *f = fopen(files.gl_pathv[i], "r");
        assert_non_null(f);
        text[fread(text, 1, SQL_MAX - 1, f)] = 0;
        fclose(f);
        sql(text);
    }
    globfree(&files);
    free(text);
}

static int setup(void **state)
{
    char why[200];
    (void)state;
    strcpy(t.top, "/tmp/foXXXXXX");
    if (mkdtemp(t.top) == NULL || chmod(t.top, 0711) != 0) {
        return -1;
    }
    snprintf(t.dir, sizeof t.dir, "%s/x", t.top);
    if (mkdir(t.dir, 0711) != 0 || devstack("start") != 0) {
        return -1;
    }
    snprintf(t.conninfo, sizeof t.conninfo, "host=%s/run user=headgate dbname=headgate", t.dir);
    if (pg_sync_open(t.conninfo, &t.owner, why, sizeof why) != E_OK) {
        return -1;
    }
    schema();
    snprintf(t.conninfo, sizeof t.conninfo, "host=%s/run user=hg_api dbname=headgate", t.dir);
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    return 0;
}

static int teardown(void **state)
{
    char line[80];
    (void)state;
    pg_sync_close(t.owner);
    int rc = devstack("stop");
    snprintf(line, sizeof line, "rm -rf %s", t.top);
    return rc == 0 ? system(line) : rc;
}

static enum err ask(const char *authorization, struct httpd_peer peer, struct principal *out)
{
    const struct httpd_request r = {.request_id = t.request, .peer = &peer};
    header = authorization;
    return principals_who(t.p, &r, out);
}

static enum err ask_token(struct principal *out)
{
    char text[80];
    snprintf(text, sizeof text, "Bearer %s", t.token);
    return ask(text, (struct httpd_peer){.kind = PEER_NOBODY}, out);
}

/* Administrator anna with roles, and a token. */
static void anna(const char *roles)
{
    char text[600], hex[2 * SHA256_BYTES + 1];
    uint8_t hash[SHA256_BYTES];
    assert_int_equal(token_new(t.token, hash), E_OK);
    hex_put(hash, sizeof hash, hex);
    snprintf(text, sizeof text,
             "DELETE FROM core.administrator; INSERT INTO core.administrator (name, roles, "
             "certificate) VALUES ('anna', '{%s}', 'anna.example'); INSERT INTO core.token "
             "(admin_id, hash, prefix, expires_at) SELECT admin_id, '\\x%s', '%.10s', now() + "
             "interval '1 day' FROM core.administrator",
             roles, hex, t.token);
    sql(text);
    principals_follow(t.p);
}

static void open_all(void)
{
    const struct principals_cfg cfg = {
        .conninfo = t.conninfo, .stale_ms = 3600000, .local_group = ""};
    assert_int_equal(principals_open(&cfg, &t.p), E_OK);
}

static void changes_are_followed(void **state)
{
    struct principal who = {.how = ""};
    const struct httpd_peer by_name = {.kind = PEER_CERTIFICATE, .name = "anna.example"};
    (void)state;

    open_all();
    anna("viewer");
    assert_int_equal(ask_token(&who), E_OK);
    assert_string_equal(who.name, "anna");
    assert_string_equal(who.how, "token");
    assert_true(principal_may(&who, PERMISSION_CALLS_READ));
    assert_false(principal_may(&who, PERMISSION_AUDIT_READ));
    assert_int_equal(ask("", by_name, &who), E_OK);
    assert_string_equal(who.how, "certificate");
    sql("UPDATE core.administrator SET roles = '{auditor}'");
    principals_follow(t.p);
    assert_int_equal(ask_token(&who), E_OK);
    assert_true(principal_may(&who, PERMISSION_AUDIT_READ));
    sql("UPDATE core.token SET scopes = '{calls.read,preempt}'");
    principals_follow(t.p);
    assert_int_equal(ask_token(&who), E_OK);
    assert_true(principal_may(&who, PERMISSION_CALLS_READ));
    assert_true(principal_may(&who, PERMISSION_SELF));
    assert_false(principal_may(&who, PERMISSION_PREEMPT));
    sql("UPDATE core.administrator SET disabled = true");
    principals_follow(t.p);
    assert_int_equal(ask_token(&who), E_AUTH);
    assert_int_equal(ask("", by_name, &who), E_AUTH);
    principals_close(t.p);
    assert_int_equal(number("SELECT count(*) FROM core.token WHERE last_used_at IS NOT NULL"), 1);
}

/* What was refused is in the log when the process ends, in few rows, and nothing went uncounted. */
static void refusals_reach_the_log(void **state)
{
    struct principal who = {.how = ""};
    const struct httpd_peer nobody = {.kind = PEER_NOBODY,
                                      .address = {.family = 4, .ip = {192, 0, 2, 7}}};
    const struct httpd_request r = {.request_id = "r-2", .peer = &nobody};
    unsigned locked = 0;
    (void)state;

    t.request = "r-2";
    open_all();
    anna("viewer");
    assert_int_equal(ask_token(&who), E_OK);
    for (unsigned i = 0; i < 50; i++) {
        struct principal none = {.how = ""};
        enum err e = ask("Bearer hga_nonsense", nobody, &none);
        assert_true(e == E_AUTH || e == E_DENIED);
        locked += e == E_DENIED;
        principals_refused(t.p, &r, &who, "createThing", "this takes the permission x");
    }
    assert_true(locked >= 50 - SOURCE_FAILURES - 1);
    principals_close(t.p);
    assert_int_equal(number("SELECT sum((after ->> 'times')::int) FROM core.audit WHERE action = "
                            "'refuse' AND object = 'sign-in from 192.0.2.7'"),
                     50);
    assert_int_equal(number("SELECT sum((after ->> 'times')::int) FROM core.audit WHERE action = "
                            "'refuse' AND object = 'operation createThing' AND person = 'anna'"),
                     50);
    assert_true(
        number("SELECT count(*) FROM core.audit WHERE action = 'refuse' AND request = 'r-2'") <= 4);
}

static void *asker(void *arg)
{
    unsigned *known = arg;
    struct principal who = {.how = ""};

    while (!atomic_load(&t.stop)) {
        *known += ask_token(&who) == E_OK;
    }
    return NULL;
}

static void many_ask_while_it_is_exchanged(void **state)
{
    pthread_t threads[ASKERS];
    unsigned known[ASKERS] = {0};
    (void)state;

    open_all();
    anna("viewer");
    atomic_store(&t.stop, false);
    for (unsigned i = 0; i < ASKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, asker, &known[i]), 0);
    }
    for (unsigned i = 0; i < CHANGES; i++) {
        sql(i % 2 ? "UPDATE core.administrator SET roles = '{viewer}'"
                  : "UPDATE core.administrator SET roles = '{auditor,operator}'");
        principals_follow(t.p);
    }
    atomic_store(&t.stop, true);
    for (unsigned i = 0; i < ASKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(known[i] > 0);
    }
    principals_close(t.p);
}

static void without_a_database_it_says_so(void **state)
{
    struct principal who = {.how = ""};
    const struct principals_cfg cfg = {
        .conninfo = "host=/nonexistent dbname=x", .stale_ms = 1000, .local_group = ""};
    const struct httpd_peer root = {.kind = PEER_UNIX, .uid = geteuid()};
    struct principals_cfg bad = cfg;
    (void)state;

    assert_int_equal(principals_open(&cfg, &t.p), E_OK);
    assert_int_equal(ask_token(&who), E_STATE);
    assert_int_equal(ask("", root, &who), E_OK); /* could do all of it without us */
    assert_true(who.grants_all);
    principals_close(t.p);
    bad.conninfo = "nonsense";
    assert_int_equal(principals_open(&bad, &t.p), E_PARSE);
    principals_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_followed),
        cmocka_unit_test(refusals_reach_the_log),
        cmocka_unit_test(many_ask_while_it_is_exchanged),
        cmocka_unit_test(without_a_database_it_says_so),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
