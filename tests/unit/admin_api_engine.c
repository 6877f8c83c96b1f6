/* The way of a request through the engine, with a document, handlers and a server of this test's
 * own, and a real database: what is refused where, transactions, If-Match, pages, keys. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "admin_api/api_int.h"
#include "base/log.h"
#include "base/mem.h"

static struct {
    char top[32], dir[48], conninfo[128];
    struct api *api;
    struct pg_sync *db;
    unsigned effects, refusals;
    char refused[300]; /* the last one */
    bool away;         /* the principals' table is too old */
} t;

/* ---- the document ---------------------------------------------------------------------------- */
#define JSON(...) #__VA_ARGS__
/* clang-format off */
static const char DOCUMENT[] = JSON({
  "openapi": "3.1.0", "info": {"title": "t"},
  "paths": {
    "/free": {"get": {"operationId": "free", "x-permission": "self", "x-database": "none", "responses": {},
      "parameters": [{"name": "n", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 7}},
                     {"name": "b", "in": "query", "schema": {"type": "boolean"}},
                     {"name": "s", "in": "query", "schema": {"type": "string", "maxLength": 5}}]}},
    "/things": {
      "get": {"operationId": "listThings", "x-permission": "routes.read", "x-database": "read", "responses": {},
        "parameters": [{"$ref": "#/components/parameters/Limit"}, {"$ref": "#/components/parameters/Cursor"},
                       {"name": "like", "in": "query", "schema": {"type": "string"}}]},
      "post": {"operationId": "createThing", "x-permission": "routes.write", "x-database": "write",
        "x-idempotent": true, "responses": {},
        "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}}},
    "/things/{id}": {
      "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer", "minimum": 1}}],
      "get": {"operationId": "getThing", "x-permission": "routes.read", "x-database": "read", "x-etag": true, "responses": {}},
      "patch": {"operationId": "updateThing", "x-permission": "routes.write", "x-database": "write", "responses": {},
        "requestBody": {"required": true, "content": {"application/merge-patch+json": {"schema": {"$ref": "#/components/schemas/Thing"}}}}},
      "delete": {"operationId": "deleteThing", "x-permission": "routes.write", "x-database": "write", "responses": {}}},
    "/things/first": {"get": {"operationId": "firstThing", "x-permission": "routes.read", "x-database": "none", "responses": {}}},
    "/things/{id}/kick": {"post": {"operationId": "kickThing", "x-permission": "routes.write", "x-database": "write",
      "x-effect": true, "x-idempotent": true, "responses": {},
      "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}]}},
    "/sql": {"post": {"operationId": "sql", "x-permission": "routes.write", "x-database": "write", "responses": {},
      "requestBody": {"required": true, "content": {"application/json": {"schema": {"type": "object"}}}}}}
  },
  "components": {
    "parameters": {
      "Limit": {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}},
      "Cursor": {"name": "cursor", "in": "query", "schema": {"type": "string"}}},
    "schemas": {"Thing": {"type": "object", "additionalProperties": false, "required": ["id", "name"], "properties": {
      "id": {"type": "integer", "readOnly": true}, "name": {"type": "string", "maxLength": 20}, "note": {"type": ["string", "null"]}}}}
  }
});
/* clang-format on */

struct view api_document(void)
{
    return view_from(DOCUMENT, sizeof DOCUMENT - 1);
}

/* ---- handlers -------------------------------------------------------------------------------- */
static void no_database(struct api_request *r, struct api_answer *a)
{
    const char *b = api_param(r, "b"), *s = api_param(r, "s");
    assert_null(r->db);
    a->body = json_pack("{s:I, s:s, s:s}", "n", (json_int_t)api_param_u64(r, "n"), "b",
                        b != NULL ? b : "", "s", s != NULL ? s : "");
}

static void list_things(struct api_request *r, struct api_answer *a)
{
    const char *like = api_param(r, "like");
    api_list(r, a,
             "SELECT jsonb_build_object('id', id, 'name', name), id FROM thing WHERE "
             "($1::bigint IS NULL OR id > $1::bigint) AND name LIKE coalesce($3, '%') ORDER BY id "
             "LIMIT $2",
             (const struct pg_param[]){like != NULL ? PG_TEXT(view_of(like)) : PG_NULL}, 1);
}

static const char *const POINTERS[] = {"thing_name_key", "/name", "thing_name_check", "/name",
                                       NULL};

static void create_thing(struct api_request *r, struct api_answer *a)
{
    struct pg_result *res = NULL;
    if (api_query(r, a,
                  "INSERT INTO thing (name, note) VALUES ($1, $2) RETURNING "
                  "jsonb_build_object('id', id, 'name', name, 'note', note), id",
                  (const struct pg_param[]){api_text_param(r->body, "name"),
                                            api_text_param(r->body, "note")},
                  2, POINTERS, &res) == E_OK) {
        a->status = 201;
        a->body = api_row_json(a, res, 0, 0);
        snprintf(a->location, sizeof a->location, API_BASE "/things/%llu",
                 (unsigned long long)pg_u64(res, 0, 1));
        pg_result_free(res);
    }
}

static void get_thing(struct api_request *r, struct api_answer *a)
{
    api_get(
        r, a,
        r->for_update
            ? "SELECT jsonb_build_object('id', id, 'name', name, 'note', note) FROM thing WHERE "
              "id = $1 FOR UPDATE"
            : "SELECT jsonb_build_object('id', id, 'name', name, 'note', note) FROM thing WHERE "
              "id = $1",
        (const struct pg_param[]){PG_TEXT(view_of(api_param(r, "id")))}, 1);
}

static void update_thing(struct api_request *r, struct api_answer *a)
{
    assert_non_null(r->current);
    api_get(
        r, a,
        "UPDATE thing SET name = $2, note = $3 WHERE id = $1 RETURNING jsonb_build_object('id', "
        "id, 'name', name, 'note', note)",
        (const struct pg_param[]){PG_TEXT(view_of(api_param(r, "id"))),
                                  api_text_param(r->merged, "name"),
                                  api_text_param(r->merged, "note")},
        3);
}

static void delete_thing(struct api_request *r, struct api_answer *a)
{
    IGNORE(api_query(r, a, "DELETE FROM thing WHERE id = $1",
                     (const struct pg_param[]){PG_TEXT(view_of(api_param(r, "id")))}, 1, NULL,
                     NULL),
           "the answer says it");
}

static void kick_thing(struct api_request *r, struct api_answer *a)
{
    if (api_query(r, a, "UPDATE thing SET note = 'kicked' WHERE id = $1",
                  (const struct pg_param[]){PG_TEXT(view_of(api_param(r, "id")))}, 1, NULL,
                  NULL) == E_OK &&
        api_commit(r, a)) {
        assert_null(r->db);
        t.effects++;
        a->body = json_pack("{s:i}", "effects", (int)t.effects);
    }
}

/* Statements of the body, in order, then the status of the body. */
static void any_sql(struct api_request *r, struct api_answer *a)
{
    size_t i = 0;
    const json_t *v = NULL;
    json_array_foreach(json_object_get(r->body, "do"), i, v)
    {
        if (api_query(r, a, json_string_value(v), NULL, 0, POINTERS, NULL) != E_OK) {
            return;
        }
    }
    a->status = (unsigned)api_int(r->body, "status", 204);
    if (a->status >= 400) {
        api_problem(a, a->status, "conflict", "/x", "no");
    }
}

static const struct api_bind BINDS[] = {
    {"free", no_database},
    {"listThings", list_things},
    {"createThing", create_thing},
    {"getThing", get_thing},
    {"updateThing", update_thing},
    {"deleteThing", delete_thing},
    {"firstThing", no_database},
    {"kickThing", kick_thing},
    {"sql", any_sql},
    {NULL, NULL},
};
const struct api_bind *const api_tables[] = {BINDS, NULL};

/* ---- who, and the server --------------------------------------------------------------------- */
struct wire {
    char header[4][2][200];
    unsigned status;
    char type[64], body[4096], location[256], etag[64], link[512], allow[64], retry[16], www[64];
};
static _Thread_local struct wire wire;

enum err principals_who(struct principals *p, const struct httpd_request *r, struct principal *out)
{
    struct view token = httpd_header(r, "Authorization");
    unsigned permission = 0;
    (void)p;
    if (t.away) {
        return FAIL(E_STATE);
    }
    if (token.n == 0) {
        return FAIL(E_AUTH);
    }
    memset(out, 0, sizeof *out);
    assert_int_equal(view_to_cstr(token, out->name, sizeof out->name), E_OK);
    assert_true(permission_find(VIEW("self"), &permission));
    permissions_add(&out->may, permission);
    assert_true(permission_find(VIEW("routes.read"), &permission));
    permissions_add(&out->may, permission);
    assert_true(permission_find(VIEW("routes.write"), &permission));
    if (!view_eq(token, VIEW("reader"))) {
        permissions_add(&out->may, permission);
    }
    out->how = "token";
    return E_OK;
}

void principals_refused(struct principals *p, const struct httpd_request *r,
                        const struct principal *who, const char *operation, const char *why)
{
    (void)p;
    (void)r;
    snprintf(t.refused, sizeof t.refused, "%s %s %s", who->name, operation, why);
    t.refusals++;
}

struct view httpd_header(const struct httpd_request *r, const char *name)
{
    (void)r;
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(wire.header[i][0], name) == 0) {
            return view_of(wire.header[i][1]);
        }
    }
    return VIEW("");
}

void httpd_answer(const struct httpd_request *r, unsigned status, const char *content_type,
                  const char *const *headers, struct view body)
{
    (void)r;
    wire.status = status;
    snprintf(wire.type, sizeof wire.type, "%s", content_type != NULL ? content_type : "");
    snprintf(wire.body, sizeof wire.body, "%.*s", (int)body.n, body.p);
    for (size_t i = 0; headers != NULL && headers[i] != NULL; i += 2) {
        struct {
            const char *name;
            char *to;
            size_t max;
        } rows[] = {{"Location", wire.location, sizeof wire.location},
                    {"ETag", wire.etag, sizeof wire.etag},
                    {"Link", wire.link, sizeof wire.link},
                    {"Allow", wire.allow, sizeof wire.allow},
                    {"Retry-After", wire.retry, sizeof wire.retry},
                    {"WWW-Authenticate", wire.www, sizeof wire.www}};
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
            if (strcmp(rows[k].name, headers[i]) == 0) {
                snprintf(rows[k].to, rows[k].max, "%s", headers[i + 1]);
            }
        }
    }
}

void httpd_stream(const struct httpd_request *r, unsigned status, const char *content_type,
                  const char *const *headers, httpd_pull_fn *pull, void (*done)(void *arg),
                  void *arg)
{
    (void)pull;
    httpd_answer(r, status, content_type, headers, VIEW(""));
    done(arg);
}

/* "METHOD path?query", headers as name and value, body. */
static unsigned ask(const char *what, const char *const *headers, const char *body)
{
    struct httpd_peer peer = {.kind = PEER_UNIX};
    struct view v = view_of(what), method, path, query = VIEW("");
    size_t at = 0;
    memset(&wire, 0, sizeof wire);
    assert_true(view_find(v, ' ', &at));
    method = view_sub(v, 0, at);
    path = view_sub(v, at + 1, v.n);
    if (view_find(path, '?', &at)) {
        query = view_sub(path, at + 1, path.n);
        path = view_sub(path, 0, at);
    }
    for (size_t i = 0; headers != NULL && headers[2 * i] != NULL; i++) {
        snprintf(wire.header[i][0], 200, "%s", headers[2 * i]);
        snprintf(wire.header[i][1], 200, "%s", headers[2 * i + 1]);
    }
    struct httpd_request r = {.method = method,
                              .path = path,
                              .query = query,
                              .body = view_of(body),
                              .request_id = "r1",
                              .peer = &peer};
    api_handle(t.api, &r);
    return wire.status;
}

#define ANNA      "Authorization", "anna"
#define JSON_TYPE "Content-Type", "application/json"
#define MERGE     "Content-Type", "application/merge-patch+json"
#define H(...)    ((const char *const[]){__VA_ARGS__, NULL})

static void expect(unsigned status, const char *part)
{
    if (wire.status != status || strstr(wire.body, part) == NULL) {
        fail_msg("%u %s, not %u with %s", wire.status, wire.body, status, part);
    }
    if (status >= 400) {
        assert_string_equal(wire.type, "application/problem+json");
        assert_non_null(strstr(wire.body, "\"request_id\":\"r1\""));
    }
}

/* ---- setup ----------------------------------------------------------------------------------- */
static int devstack(const char *command)
{
    char line[200];
    snprintf(line, sizeof line, "tools/devstack %s %s", command, t.dir);
    return system(line);
}

static const char SCHEMA[] =
    "CREATE TABLE thing (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL "
    "UNIQUE CHECK (name <> 'bad'), note text);"
    "CREATE TABLE part (thing bigint REFERENCES thing);"
    "CREATE SCHEMA core;"
    "CREATE TABLE core.idempotency (principal text, key text, operation text NOT NULL, "
    "request_hash bytea, status smallint, location text NOT NULL DEFAULT '', answer text, "
    "at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (principal, key));"
    "CREATE FUNCTION core.purge_idempotency() RETURNS bigint LANGUAGE sql AS $$ WITH d AS (DELETE "
    "FROM core.idempotency WHERE at < now() - interval '1 day' RETURNING 1) SELECT count(*) FROM d "
    "$$;"
    "CREATE FUNCTION say(state text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
    "'words of ours' USING ERRCODE = state; END $$;"
    "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name = 'late' THEN "
    "RAISE EXCEPTION 'too late' USING ERRCODE = 'object_not_in_prerequisite_state'; END IF; "
    "RETURN NULL; END $$;"
    "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON thing DEFERRABLE INITIALLY DEFERRED FOR EACH "
    "ROW EXECUTE FUNCTION late();"
    "CREATE FUNCTION two() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name LIKE 'two%' "
    "THEN "
    "PERFORM set_config('headgate.proposed', concat_ws(' ', "
    "nullif(current_setting('headgate.proposed', true), ''), 41), false); RETURN NULL; END IF; "
    "NEW.note := coalesce(NEW.note, current_setting('headgate.person', true) || ' ' || "
    "current_setting('headgate.request', true) || ' ' || current_setting('headgate.propose', "
    "true)); RETURN "
    "NEW; END $$;"
    "CREATE TRIGGER two BEFORE INSERT ON thing FOR EACH ROW EXECUTE FUNCTION two();";

static int setup(void **state)
{
    char why[256] = "";
    (void)state;
    strcpy(t.top, "/tmp/apXXXXXX");
    if (mkdtemp(t.top) == NULL || chmod(t.top, 0711) != 0) {
        return -1;
    }
    snprintf(t.dir, sizeof t.dir, "%s/x", t.top);
    if (mkdir(t.dir, 0711) != 0 || devstack("start") != 0) {
        return -1;
    }
    snprintf(t.conninfo, sizeof t.conninfo, "host=%s/run user=headgate dbname=headgate", t.dir);
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    struct api_cfg cfg = {.conninfo = t.conninfo, .pool = 3, .requests_per_second = 1000};
    if (pg_sync_open(t.conninfo, &t.db, why, sizeof why) != E_OK ||
        pg_sync_script(t.db, SCHEMA, why, sizeof why) != E_OK ||
        api_new(&cfg, &t.api, why, sizeof why) != E_OK) {
        fprintf(stderr, "# %s\n", why);
        return -1;
    }
    return 0;
}

static int teardown(void **state)
{
    char line[80];
    (void)state;
    api_free(t.api);
    pg_sync_close(t.db);
    int rc = devstack("stop");
    snprintf(line, sizeof line, "rm -rf %s", t.top);
    return rc == 0 ? system(line) : rc;
}

static void clear(void)
{
    char why[256];
    assert_int_equal(pg_sync_script(t.db, "TRUNCATE thing, part, core.idempotency RESTART IDENTITY",
                                    why, sizeof why),
                     E_OK);
    t.effects = 0;
}

static uint64_t number(const char *sql)
{
    struct pg_result *r = NULL;
    assert_int_equal(pg_sync_query(t.db, sql, NULL, 0, &r), E_OK);
    uint64_t n = pg_u64(r, 0, 0);
    pg_result_free(r);
    return n;
}

/* ---- tests ----------------------------------------------------------------------------------- */
static void refused_before_any_handler(void **state)
{
    (void)state;
    ask("GET /api/v1/free", NULL, "");
    expect(401, "problems/unauthorized");
    assert_string_equal(wire.www, "Bearer realm=\"headgate\"");
    t.away = true;
    ask("GET /api/v1/free", H(ANNA), "");
    t.away = false;
    expect(503, "problems/unavailable");
    assert_string_equal(wire.retry, "2");
    ask("GET /api/v1/nothing", H(ANNA), "");
    expect(404, "problems/not-found");
    ask("GET /api/v1/things/", H(ANNA), "");
    expect(404, "problems/not-found");
    ask("GET /free", H(ANNA), "");
    expect(404, "problems/not-found");
    ask("DELETE /api/v1/things", H(ANNA), "");
    expect(405, "problems/method-not-allowed");
    assert_string_equal(wire.allow, "GET, HEAD, POST");
    ask("POST /api/v1/things", H("Authorization", "reader"), "{}");
    expect(403, "routes.write");
    assert_int_equal(t.refusals, 1);
    assert_string_equal(t.refused, "reader createThing this takes the permission routes.write");
    ask("GET /api/v1/things/x1", H(ANNA), "");
    expect(404, "id is no value of its kind");
    ask("GET /api/v1/things/0", H(ANNA), "");
    expect(404, "id is less than 1");
}

static void parameters(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        unsigned status;
        const char *part;
    } rows[] = {
        {"", 200, "{\"n\":7,\"b\":\"\",\"s\":\"\"}"},
        {"n=3&b=true&s=a%2fb", 200, "{\"n\":3,\"b\":\"true\",\"s\":\"a/b\"}"},
        {"&&s=+1&", 200, "\"s\":\"+1\""},
        {"%73=x", 200, "\"s\":\"x\""},
        {"s=", 200, "\"s\":\"\""},
        {"n=0", 400, "{\"parameter\":\"n\",\"detail\":\"is less than 1\"}"},
        {"n=x", 400, "is no value of its kind"},
        {"n=", 400, "is no value of its kind"},
        {"n=+1", 400, "is no value of its kind"},
        {"n=99999999999999999999", 400, "is no value of its kind"},
        {"b=yes", 400, "is no value of its kind"},
        {"s=abcdef", 400, "is longer than 5 characters"},
        {"s=%0a", 400, "is not well encoded"},
        {"s=%zz", 400, "is not well encoded"},
        {"s=%4", 400, "is not well encoded"},
        {"s=%c3%28", 400, "is no value of its kind"},
        {"n=1&n=1", 400, "is given twice"},
        {"m=1", 400, "there is no such parameter"},
        {"%ff=1", 400, "there is no such parameter"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char what[128];
        snprintf(what, sizeof what, "GET /api/v1/free?%s", rows[i].query);
        ask(what, H(ANNA), "");
        expect(rows[i].status, rows[i].part);
    }
    ask("HEAD /api/v1/free", H(ANNA), "");
    expect(200, "\"n\":7");
    ask("GET /api/v1/things/first", H(ANNA), ""); /* and not {id} */
    expect(200, "");
    ask("GET /api/v1/free", H(ANNA), "{}");
    expect(400, "no body is taken here");
}

static void bodies(void **state)
{
    (void)state;
    clear();
    ask("POST /api/v1/things", H(ANNA, JSON_TYPE), "");
    expect(400, "there is no body");
    ask("POST /api/v1/things", H(ANNA), "{}");
    expect(415, "must be application/json");
    ask("POST /api/v1/things", H(ANNA, MERGE), "{}");
    expect(415, "must be application/json");
    ask("POST /api/v1/things", H(ANNA, JSON_TYPE, "Content-Encoding", "gzip"), "{}");
    expect(415, "no content coding");
    ask("POST /api/v1/things", H(ANNA, JSON_TYPE), "{");
    expect(400, "problems/bad-json");
    ask("POST /api/v1/things", H(ANNA, JSON_TYPE), "{\"name\":1,\"id\":7,\"x\":1}");
    expect(422, "{\"pointer\":\"/name\",\"detail\":\"must be a text\"},{\"pointer\":\"/id\","
                "\"detail\":\"is set by the server\"},{\"pointer\":\"/x\"");
    ask("POST /api/v1/things", H(ANNA, "Content-Type", "Application/JSON ; charset=utf-8"),
        "{\"name\":\"a\"}");
    expect(201, "{\"id\":1,\"name\":\"a\",\"note\":\"anna r1 on\"}");
    assert_string_equal(wire.location, "/api/v1/things/1");
    assert_string_equal(wire.type, "application/json");
}

static void what_the_database_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        unsigned status;
        const char *part;
    } rows[] = {
        {"INSERT INTO thing (name) VALUES ('a')", 409,
         "{\"pointer\":\"/name\",\"detail\":\"it exist"},
        {"INSERT INTO thing (name) VALUES ('bad')", 422, "{\"pointer\":\"/name\""},
        {"INSERT INTO thing (name) VALUES (NULL)", 422, "a field is required"},
        {"INSERT INTO part VALUES (77)", 422, "there is no such thing"},
        {"DELETE FROM thing WHERE name = 'a'", 409, "problems/in-use"},
        {"SELECT 'x'::bigint", 422, "problems/invalid"},
        {"SELECT say('42501')", 403, "words of ours"},
        {"SELECT say('P0001')", 422, "words of ours"},
        {"SELECT say('P0002')", 404, "words of ours"},
        {"SELECT say('55000')", 409, "words of ours"},
        {"SELECT say('23505')", 409, "words of ours"},
        {"SELECT say('40001')", 503, "problems/unavailable"},
        {"SELECT say('XX000')", 500, "problems/internal"},
        {"SELECT pg_read_file('/etc/none')", 500, "problems/internal"},
        {"SELECT * FROM nowhere", 500, "problems/internal"},
        {"nonsense", 500, "problems/internal"},
    };
    unsigned before = t.refusals;
    clear();
    ask("POST /api/v1/sql", H(ANNA, JSON_TYPE),
        "{\"do\":[\"INSERT INTO thing (name) VALUES ('a')\",\"INSERT INTO part VALUES (1)\"]}");
    expect(204, "");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"do\":[\"INSERT INTO thing (name) VALUES ('b')\",\"%s\"]}",
                 rows[i].sql);
        ask("POST /api/v1/sql", H(ANNA, JSON_TYPE), body);
        expect(rows[i].status, rows[i].part);
        assert_null(strstr(wire.body, "thing_name")); /* nothing of SQL shows */
        assert_null(strstr(wire.body, "nowhere"));
        assert_int_equal(number("SELECT count(*) FROM thing"), 1); /* and nothing is half done */
    }
    assert_int_equal(t.refusals, before + 1); /* a refusal of the database is one too */
    assert_non_null(strstr(t.refused, "words of ours"));
    ask("POST /api/v1/sql", H(ANNA, JSON_TYPE),
        "{\"do\":[\"INSERT INTO thing (name) VALUES ('b')\"],\"status\":409}");
    expect(409, "{\"pointer\":\"/x\",\"detail\":\"no\"}");
    assert_int_equal(number("SELECT count(*) FROM thing"), 1);
    ask("POST /api/v1/sql", H(ANNA, JSON_TYPE),
        "{\"do\":[\"INSERT INTO thing (name) VALUES ('late')\"]}");
    expect(409, "too late"); /* at COMMIT */
    assert_int_equal(number("SELECT count(*) FROM thing"), 1);
}

static void pages(void **state)
{
    (void)state;
    char next[600], what[800];
    const char *from = NULL;
    clear();
    ask("GET /api/v1/things", H(ANNA), "");
    expect(200, "{\"items\":[],\"next\":null}");
    (void)number(
        "INSERT INTO thing (name) SELECT 'n' || g FROM generate_series(1, 5) g RETURNING 1");
    ask("GET /api/v1/things?limit=2&like=n%25", H(ANNA), "");
    expect(200, "\"n1\"");
    from = strstr(wire.body, "\"next\":\"");
    assert_non_null(from);
    snprintf(next, sizeof next, "%.*s", (int)strcspn(from + 8, "\""), from + 8);
    assert_non_null(strstr(wire.link, "</api/v1/things?limit=2&like=n%25&cursor="));
    assert_non_null(strstr(wire.link, next));
    assert_non_null(strstr(wire.link, ">; rel=\"next\""));
    snprintf(what, sizeof what, "GET /api/v1/things?like=n%%25&limit=3&cursor=%s", next);
    ask(what, H(ANNA), "");
    expect(200,
           "{\"items\":[{\"id\":3,\"name\":\"n3\"},{\"id\":4,\"name\":\"n4\"},{\"id\":5,\"name\":"
           "\"n5\"}],\"next\":null}");
    assert_string_equal(wire.link, "");
    /* of another filter, altered, cut */
    snprintf(what, sizeof what, "GET /api/v1/things?cursor=%s", next);
    ask(what, H(ANNA), "");
    expect(400, "\"parameter\":\"cursor\"");
    next[0] = next[0] == 'a' ? 'b' : 'a';
    snprintf(what, sizeof what, "GET /api/v1/things?like=n%%25&cursor=%s", next);
    ask(what, H(ANNA), "");
    expect(400, "\"parameter\":\"cursor\"");
    ask("GET /api/v1/things?cursor=00", H(ANNA), "");
    expect(400, "\"parameter\":\"cursor\"");
}

static void tags_and_patches(void **state)
{
    (void)state;
    char etag[64];
    clear();
    ask("POST /api/v1/things", H(ANNA, JSON_TYPE), "{\"name\":\"a\",\"note\":\"x\"}");
    ask("GET /api/v1/things/1", H(ANNA), "");
    expect(200, "{\"id\":1,\"name\":\"a\",\"note\":\"x\"}");
    snprintf(etag, sizeof etag, "%s", wire.etag);
    assert_int_equal(strlen(etag), 34);
    ask("GET /api/v1/things/1", H(ANNA, "If-None-Match", etag), "");
    expect(304, "");
    assert_string_equal(wire.body, "");
    ask("PATCH /api/v1/things/1", H(ANNA, MERGE), "{\"note\":null}");
    expect(428, "problems/precondition-required");
    ask("PATCH /api/v1/things/1", H(ANNA, MERGE, "If-Match", "\"other\""), "{\"note\":null}");
    expect(412, "problems/precondition-failed");
    ask("PATCH /api/v1/things/9", H(ANNA, MERGE, "If-Match", "*"), "{\"note\":null}");
    expect(404, "problems/not-found");
    ask("PATCH /api/v1/things/1", H(ANNA, MERGE, "If-Match", etag), "{\"name\":null}");
    expect(422, "\"pointer\":\"/name\"");
    ask("PATCH /api/v1/things/1", H(ANNA, MERGE, "If-Match", etag), "[]");
    expect(422, "must be an object");
    ask("PATCH /api/v1/things/1", H(ANNA, MERGE, "If-Match", etag), "{\"note\":null}");
    expect(200, "{\"id\":1,\"name\":\"a\",\"note\":null}");
    assert_string_not_equal(wire.etag, etag);
    assert_int_equal(strlen(wire.etag), 34);
    ask("DELETE /api/v1/things/1", H(ANNA, "If-Match", etag), "");
    expect(412, "problems/precondition-failed");
    ask("DELETE /api/v1/things/1", H(ANNA), "");
    expect(428, "");
    ask("DELETE /api/v1/things/1", H(ANNA, "If-Match", "*"), "");
    expect(204, "");
    assert_string_equal(wire.body, "");
    ask("GET /api/v1/things/1", H(ANNA), "");
    expect(404, "");
}

static void keys(void **state)
{
    (void)state;
    const char *const *key = H(ANNA, JSON_TYPE, "Idempotency-Key", "k1");
    clear();
    for (int i = 0; i < 3; i++) {
        ask("POST /api/v1/things", key, "{\"name\":\"a\"}");
        expect(201, "{\"id\":1,\"name\":\"a\"");
        assert_string_equal(wire.location, "/api/v1/things/1");
    }
    assert_int_equal(number("SELECT count(*) FROM thing"), 1);
    ask("POST /api/v1/things", key, "{\"name\":\"b\"}");
    expect(422, "problems/key-reused");
    ask("POST /api/v1/things", H("Authorization", "bert", JSON_TYPE, "Idempotency-Key", "k1"),
        "{\"name\":\"b\"}");
    expect(201, "\"b\""); /* keys are everybody's own */
    ask("POST /api/v1/things", H(ANNA, JSON_TYPE, "Idempotency-Key", "k2"), "{\"name\":\"b\"}");
    expect(409, "problems/exists");
    (void)number("DELETE FROM thing WHERE name = 'b' RETURNING 1");
    ask("POST /api/v1/things", H(ANNA, JSON_TYPE, "Idempotency-Key", "k2"), "{\"name\":\"b\"}");
    expect(201, "\"b\""); /* a refusal leaves no trace */
    ask("POST /api/v1/things", H(ANNA, JSON_TYPE, "Idempotency-Key", "a b"), "{\"name\":\"c\"}");
    expect(400, "visible characters");
    (void)number("UPDATE core.idempotency SET at = now() - interval '25 hours' RETURNING 1");
    ask("POST /api/v1/things", key, "{\"name\":\"c\"}");
    expect(201, "\"c\"");           /* after a day it is a new one */
    for (int i = 0; i < 256; i++) { /* and one of those that follow clears the others away */
        char name[16], body[64];
        snprintf(name, sizeof name, "p%d", i);
        snprintf(body, sizeof body, "{\"name\":\"%s\"}", name);
        ask("POST /api/v1/things", H(ANNA, JSON_TYPE, "Idempotency-Key", name), body);
        expect(201, name);
    }
    assert_int_equal(number("SELECT count(*) FROM core.idempotency"), 257);
}

static void *race(void *arg)
{
    char body[64];
    (void)arg;
    for (int i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof key, "r%d", i);
        snprintf(body, sizeof body, "{\"name\":\"r%d\"}", i);
        ask("POST /api/v1/things", H(ANNA, JSON_TYPE, "Idempotency-Key", key), body);
        if (wire.status != 201 && wire.status != 409) {
            return wire.body;
        }
    }
    return NULL;
}

static void the_same_key_at_the_same_time(void **state)
{
    (void)state;
    pthread_t thread[4];
    clear();
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, race, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *bad = NULL;
        pthread_join(thread[i], &bad);
        assert_null(bad);
    }
    assert_int_equal(number("SELECT count(*) FROM thing"), 20);
    assert_int_equal(number("SELECT count(*) FROM core.idempotency WHERE status = 201"), 20);
}

static void effects(void **state)
{
    (void)state;
    const char *const *key = H(ANNA, "Idempotency-Key", "k1");
    clear();
    ask("POST /api/v1/things", H(ANNA, JSON_TYPE), "{\"name\":\"a\"}");
    for (int i = 0; i < 2; i++) {
        ask("POST /api/v1/things/1/kick", key, "");
        expect(200, "{\"effects\":1}");
    }
    assert_int_equal(t.effects, 1);
    ask("POST /api/v1/things/1/kick", H(ANNA), "");
    expect(200, "{\"effects\":2}");
    (void)number("UPDATE core.idempotency SET status = NULL RETURNING 1");
    ask("POST /api/v1/things/1/kick", key, "");
    expect(409, "problems/under-way");
    assert_int_equal(t.effects, 2);
}

static void proposals(void **state)
{
    (void)state;
    const char *const *key = H(ANNA, JSON_TYPE, "Idempotency-Key", "k1");
    clear();
    for (int i = 0; i < 2; i++) {
        ask("POST /api/v1/things", key, "{\"name\":\"two\"}");
        expect(202, "{\"state\":\"proposed\",\"changes\":[41]}");
        assert_string_equal(wire.type, "application/json");
        assert_string_equal(wire.location, "/api/v1/changes/41");
    }
    assert_int_equal(number("SELECT count(*) FROM thing"), 0);
    ask("POST /api/v1/sql", H(ANNA, JSON_TYPE),
        "{\"do\":[\"INSERT INTO thing (name) VALUES ('one')\",\"INSERT INTO thing (name) VALUES "
        "('two1'), ('two2')\"]}");
    expect(202, "\"changes\":[41,41]");
    assert_int_equal(number("SELECT count(*) FROM thing"), 1);
    ask("POST /api/v1/things", H(ANNA, JSON_TYPE), "{\"name\":\"three\"}");
    expect(201, "three"); /* the connection has forgotten it */
}

static void the_database_goes_and_comes_back(void **state)
{
    (void)state;
    clear();
    (void)number("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                 "application_name = 'headgate-admin'");
    ask("POST /api/v1/things", H(ANNA, JSON_TYPE), "{\"name\":\"a\"}");
    expect(201, "\"a\"");
    ask("POST /api/v1/sql", H(ANNA, JSON_TYPE),
        "{\"do\":[\"SELECT pg_terminate_backend(pg_backend_pid())\"]}");
    expect(503, "problems/unavailable");
    assert_string_equal(wire.retry, "2");
    ask("GET /api/v1/things/1", H(ANNA), "");
    expect(200, "\"a\"");
}

static void a_document_that_is_wrong(void **state)
{
    (void)state;
    static const struct api_bind one[] = {{"a", no_database}, {NULL, NULL}};
    static const struct api_bind *const tables[] = {one, NULL};
#define OP(id, more)                                                                               \
    "{\"get\":{\"operationId\":\"" id "\",\"x-permission\":\"self\",\"x-database\":\"none\"" more  \
    "}}"
    static const struct {
        const char *paths, *why;
    } rows[] = {
        {"{\"/a\":" OP("a", "") "}", ""},
        {"{}", "handler a has no operation"},
        {"{\"/a\":" OP("a", "") ",\"/b\":" OP("b", "") "}", "operation b has no handler"},
        {"{\"/a\":" OP("a", "") ",\"/b\":" OP("a", "") "}", "two operations a"},
        {"{\"/a/{x}\":" OP("a", "") "}", "a: {x} of its path is no parameter"},
        {"{\"a\":" OP("a", "") "}", "path a does not begin with /"},
        {"{\"/a//b\":" OP("a", "") "}", "path /a//b: an empty segment, or too many"},
        {"{\"/a\":{\"get\":{\"operationId\":\"a\",\"x-database\":\"none\"}}}",
         "a: x-permission \"\" is none"},
        {"{\"/a\":{\"get\":{\"operationId\":\"a\",\"x-permission\":\"self\"}}}",
         "a: x-database \"\" is not none, read or write"},
        {"{\"/a\":{\"get\":{\"x-permission\":\"self\"}}}", "GET /a: no operationId"},
        {"{\"/a\":" OP("a", ",\"parameters\":[{\"name\":\"p\",\"in\":\"path\",\"schema\":{}}]") "}",
         "a: a path parameter that its path lacks"},
        {"{\"/a\":" OP("a",
                       ",\"parameters\":[{\"name\":\"p\",\"in\":\"query\",\"schema\":{\"type\":"
                       "\"x\"}}]") "}",
         "a: parameter p: unknown type \"x\""},
        {"{\"/a\":" OP("a", ",\"parameters\":[{\"$ref\":\"#/components/parameters/N\"}]") "}",
         "a: a parameter's $ref leads nowhere"},
        {"{\"/a\":" OP("a", ",\"requestBody\":{\"content\":{}}") "}",
         "a: requestBody: a schema is no object"},
        {"{\"/a\":" OP("a", ",\"x-idempotent\":true") "}",
         "a: x-idempotent needs x-database: write"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[1024], why[256] = "";
        struct api_doc *d = NULL;
        snprintf(text, sizeof text, "{\"paths\":%s}", rows[i].paths);
        enum err e = api_doc_load(view_of(text), tables, &d, why, sizeof why);
        assert_true((e == E_OK) == (rows[i].why[0] == 0));
        assert_string_equal(why, rows[i].why);
        if (e == E_OK) {
            api_doc_free(d);
        }
    }
}

static void too_many_requests(void **state)
{
    (void)state;
    struct api *usual = t.api;
    char why[256];
    struct api_cfg cfg = {.conninfo = t.conninfo, .pool = 1, .requests_per_second = 1};
    unsigned status = 0;
    assert_int_equal(api_new(&cfg, &t.api, why, sizeof why), E_OK);
    for (int i = 0; i < 8 && status != 429; i++) {
        status = ask("GET /api/v1/free", H(ANNA), "");
    }
    expect(429, "problems/rate-limited");
    assert_string_equal(wire.retry, "1");
    ask("GET /api/v1/free", H("Authorization", "bert"), "");
    expect(200, "");
    api_free(t.api);
    t.api = usual;
}

static void operations_are_listed(void **state)
{
    (void)state;
    assert_non_null(api_openapi(t.api));
    for (size_t i = 0; i < sizeof BINDS / sizeof *BINDS - 1; i++) {
        assert_non_null(api_doc_op(t.api->doc, i));
    }
    assert_null(api_doc_op(t.api->doc, sizeof BINDS / sizeof *BINDS - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_before_any_handler),
        cmocka_unit_test(parameters),
        cmocka_unit_test(bodies),
        cmocka_unit_test(what_the_database_refuses),
        cmocka_unit_test(pages),
        cmocka_unit_test(tags_and_patches),
        cmocka_unit_test(keys),
        cmocka_unit_test(the_same_key_at_the_same_time),
        cmocka_unit_test(effects),
        cmocka_unit_test(proposals),
        cmocka_unit_test(the_database_goes_and_comes_back),
        cmocka_unit_test(a_document_that_is_wrong),
        cmocka_unit_test(too_many_requests),
        cmocka_unit_test(operations_are_listed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
