/* Digest credentials of standard phones, by username. What proves them is sealed by a running gate
 * controller, under a key that neither the database nor this program has. */
#include <stdio.h>
#include <string.h>

#include "admin_api/gates.h"
#include "admin_api/res_subscribers.h"
#include "base/crypto.h"
#include "base/secret.h"

enum {
    PASSWORD_MIN = 8,
    PASSWORD_MAX = SECRET_MAX,
    MADE_LETTERS = 20,
    SEALED_MAX = 256,
    SEAL_WAIT_MS = 3000
};

#define CREATED_AT JSON_TIME("min(k.created_at)")
/* A username has a row for each algorithm, all of one line. */
#define CREDENTIAL                                                                                 \
    "jsonb_build_object('username', k.username, 'line_id', min(k.line_id), 'number', (SELECT "     \
    "n.number FROM core.number n WHERE n.line_id = min(k.line_id) AND n.is_primary), "             \
    "'algorithms', jsonb_agg(k.algorithm ORDER BY k.algorithm DESC), 'disabled', "                 \
    "bool_and(k.disabled), 'created_at', " CREATED_AT ")"
#define CREDENTIAL_BY_NAME                                                                         \
    "SELECT " CREDENTIAL " FROM core.credential k WHERE k.username = $1 GROUP BY k.username"

struct sealed {
    size_t n;
    uint8_t b[SEALED_MAX];
};

void res_list_credentials(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {res_param(r, "line_id"), res_param(r, "disabled")};

    api_list(r, a,
             "SELECT " CREDENTIAL ", k.username FROM core.credential k WHERE ($1::text IS NULL OR "
             "k.username > $1::text) AND ($3::bigint IS NULL OR k.line_id = $3::bigint) GROUP BY "
             "k.username HAVING $4::boolean IS NULL OR bool_and(k.disabled) = $4::boolean ORDER "
             "BY k.username LIMIT $2::bigint",
             p, 2);
}

void res_get_credential(struct api_request *r, struct api_answer *a)
{
    const struct pg_param username = res_param(r, "username");

    if (r->for_update && !res_do(r, a,
                                 "SELECT credential_id FROM core.credential WHERE username = $1 "
                                 "ORDER BY credential_id FOR UPDATE",
                                 &username, 1, NULL)) {
        return;
    }
    api_get(r, a, CREDENTIAL_BY_NAME, &username, 1);
}

/* ---- a new one ---- */

/* 20 letters of 32: 100 bits, without those that look alike. */
static enum err make_password(char out[PASSWORD_MAX + 1])
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    uint8_t random[MADE_LETTERS];
    enum err e = crypto_random(random, sizeof random);
    _Static_assert(sizeof letters == 33, "32 letters");

    for (int i = 0; e == E_OK && i < MADE_LETTERS; i++) {
        out[i] = letters[random[i] % 32];
    }
    out[MADE_LETTERS] = 0;
    wipe(random, sizeof random);
    return e;
}

/* Octets, not characters, are what the seal has room for. */
static bool take_password(struct view given, struct api_answer *a, char out[PASSWORD_MAX + 1])
{
    bool is_plain = true;

    for (size_t i = 0; i < given.n; i++) {
        is_plain = is_plain && (unsigned char)given.p[i] >= ' ' && given.p[i] != 0x7F;
    }
    if (!is_plain || given.n < PASSWORD_MIN || given.n > PASSWORD_MAX) {
        api_problem(a, 422, "invalid", "/password",
                    "%d to %d octets of UTF-8 without control characters", PASSWORD_MIN,
                    PASSWORD_MAX);
        return false;
    }
    memcpy(out, given.p, given.n);
    out[given.n] = 0;
    return true;
}

/* 32 hex digits name a BTI's session; a username is of one line. */
static bool check_username(struct api_request *r, struct api_answer *a)
{
    const struct pg_param username = api_text_param(r->body, "username");
    uint8_t kid[16];
    char line[RES_INT_TEXT];

    if (hex_get(username.v, kid, sizeof kid) == E_OK) {
        api_problem(a, 422, "invalid", "/username", "32 hex digits name a BTI's session");
        return false;
    }
    if (!res_ask(r, a, "SELECT line_id FROM core.credential WHERE username = $1 LIMIT 1", &username,
                 1, NULL, line, sizeof line)) {
        return false;
    }
    if (line[0] != 0) {
        api_problem(a, 409, "exists", "/username", "the username exists, on line %s", line);
    }
    return line[0] == 0;
}

static bool read_sealed(const json_t *answer, struct sealed *out, char realm[256])
{
    struct view hex = api_text(answer, "sealed");

    out->n = hex.n / 2;
    return out->n > 0 && out->n <= sizeof out->b && hex_get(hex, out->b, out->n) == E_OK &&
           view_to_cstr(api_text(answer, "realm"), realm, 256) == E_OK;
}

/* jansson frees its texts as they are. */
static void forget_password(const json_t *body)
{
    const json_t *v = json_object_get(body, "password");

    if (json_is_string(v)) {
        wipe((void *)(uintptr_t)json_string_value(v), json_string_length(v));
    }
}

static bool seal(struct api_request *r, struct api_answer *a, const char *algorithm,
                 const char *password, struct sealed *out, char realm[256])
{
    struct view username = api_text(r->body, "username");
    json_t *ask = json_pack("{s:s,s:s%,s:s,s:s}", "op", "seal_credential", "username", username.p,
                            username.n, "algorithm", algorithm, "password", password);
    struct gate_answer got = {.answer = NULL};
    enum err e = gates_ask(r->gates, NULL, ask, SEAL_WAIT_MS, &got);
    bool good = e == E_OK && got.e == E_OK && read_sealed(got.answer, out, realm);

    forget_password(ask);
    json_decref(ask);
    if (!good) {
        a->retry_after_s = 5;
        api_problem(a, 503, "no-gate", "",
                    "no gate controller could seal the credential: one must run");
    }
    json_decref(got.answer);
    return good;
}

static void store(struct api_request *r, struct api_answer *a, const struct sealed sealed[2],
                  const char *realm, const char *made)
{
    static const char *const pointers[] = {"credential_line_id_fkey",
                                           "/line_id",
                                           "credential_username_algorithm_key",
                                           "/username",
                                           "credential_username_check",
                                           "/username",
                                           NULL};
    char line[RES_INT_TEXT], username[65];
    struct pg_param p[] = {api_text_param(r->body, "username"), res_int(r->body, "line_id", line),
                           PG_NULL, PG_NULL, res_bool(r->body, "disabled")};

    for (size_t i = 0; i < 2; i++) {
        if (sealed[i].n > 0) {
            p[2 + i] = PG_BYTES(view_from(sealed[i].b, sealed[i].n));
        }
    }
    if (!res_lock_line(r, a, p[1], "/line_id") ||
        !res_do(r, a,
                "INSERT INTO core.credential (line_id, username, algorithm, ha1_sealed, disabled) "
                "SELECT $2::bigint, $1::text, t, s, coalesce($5::boolean, false) FROM (VALUES "
                "('SHA-256', $3::bytea), ('MD5', $4::bytea)) AS v (t, s) WHERE s IS NOT NULL",
                p, 5, pointers)) {
        return;
    }
    IGNORE(view_to_cstr(p[0].v, username, sizeof username), "the schema bounds it");
    api_get(r, a, CREDENTIAL_BY_NAME, p, 1);
    res_created(a, "credentials", username);
    if (!api_failed(a)) {
        json_object_set_new(a->body, "realm", json_string(realm));
        if (made != NULL) {
            json_object_set_new(a->body, "password", json_string(made));
        }
    }
}

void res_create_credential(struct api_request *r, struct api_answer *a)
{
    static const char *const names[2] = {"SHA-256", "MD5"};
    const json_t *algorithms = json_object_get(r->body, "algorithms");
    const json_t *given = json_object_get(r->body, "password");
    struct sealed sealed[2] = {{.n = 0}, {.n = 0}};
    char password[PASSWORD_MAX + 1] = "", realm[256] = "";
    size_t i = 0;
    json_t *one = NULL;
    bool want[2] = {algorithms == NULL, false};

    json_array_foreach(algorithms, i, one)
    {
        want[strcmp(json_string_value(one), names[1]) == 0] = true;
    }
    if (given != NULL ? !take_password(api_text(r->body, "password"), a, password)
                      : make_password(password) != E_OK) {
        if (given == NULL) {
            api_problem(a, 503, "unavailable", "", "no randomness for a password");
        }
    } else if (check_username(r, a) &&
               (!want[0] || seal(r, a, names[0], password, &sealed[0], realm)) &&
               (!want[1] || seal(r, a, names[1], password, &sealed[1], realm))) {
        store(r, a, sealed, realm, given == NULL ? password : NULL);
    }
    forget_password(r->body);
    wipe(password, sizeof password);
}

/* ---- one that is there ---- */

void res_update_credential(struct api_request *r, struct api_answer *a)
{
    const struct pg_param p[] = {
        res_param(r, "username"),
        PG_TEXT(api_bool(r->merged, "disabled", false) ? VIEW("true") : VIEW("false"))};

    if (res_do(r, a,
               "UPDATE core.credential SET disabled = $2::boolean WHERE username = $1 AND "
               "disabled <> $2::boolean",
               p, 2, NULL)) {
        api_get(r, a, CREDENTIAL_BY_NAME, p, 1);
    }
}

void res_delete_credential(struct api_request *r, struct api_answer *a)
{
    const struct pg_param username = res_param(r, "username");

    if (res_do(r, a, "DELETE FROM core.credential WHERE username = $1", &username, 1, NULL)) {
        a->status = 204;
    }
}
