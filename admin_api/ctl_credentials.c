/* Digest credentials of standard phones. What proves them is sealed by the running gate controller,
 * under a key that neither the database nor this program has. */
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl.h"
#include "base/crypto.h"

enum { PASSWORD_MIN = 8, PASSWORD_MAX = SECRET_MAX, MADE_LETTERS = 20, USERNAME_LETTERS = 64 };

#define USAGE_ADD                                                                                  \
    "usage: headgatectl credential add USERNAME LINE [--algorithm sha-256|md5|both] "              \
    "[--password-file FILE]"

/* 20 letters of 32: 100 bits, without those that look alike. */
static int make_password(char out[PASSWORD_MAX + 2])
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    uint8_t random[MADE_LETTERS];
    _Static_assert(sizeof letters == 33, "32 letters");

    if (crypto_random(random, sizeof random) != E_OK) {
        return ctl_fail(CTL_BROKEN, "no randomness");
    }
    for (int i = 0; i < MADE_LETTERS; i++) {
        out[i] = letters[random[i] % 32];
    }
    out[MADE_LETTERS] = 0;
    wipe(random, sizeof random);
    return CTL_OK;
}

/* The file's first line and nothing behind it. */
static int read_password(const char *path, char out[PASSWORD_MAX + 2])
{
    size_t n = 0;
    enum err e = secret_file_read(path, false, out, PASSWORD_MAX + 1, &n);

    if (e != E_OK && e != E_RANGE) {
        return ctl_fail(CTL_USAGE, "%s: %s", path,
                        e == E_DENIED ? "only its owner may read a password (chmod 600)"
                                      : err_text(e));
    }
    n -= e == E_OK && n > 0 && out[n - 1] == '\n';
    if (e == E_RANGE || n < PASSWORD_MIN || n > PASSWORD_MAX || memchr(out, 0, n) != NULL ||
        memchr(out, '\n', n) != NULL) {
        return ctl_fail(CTL_USAGE, "%s: one line of %d to %d octets", path, PASSWORD_MIN,
                        PASSWORD_MAX);
    }
    out[n] = 0;
    return CTL_OK;
}

/* What the database demands, and no name of a session. */
static int check_username(const char *text)
{
    uint8_t kid[16];
    struct view v = view_of(text);

    for (size_t i = 0; i < v.n; i++) {
        char x = v.p[i];
        bool plain = (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') || (x >= '0' && x <= '9');
        if (!plain && strchr("._~+-", x) == NULL) {
            return ctl_fail(CTL_USAGE, "USERNAME: letters, digits and . _ ~ + - only");
        }
    }
    if (v.n == 0 || v.n > USERNAME_LETTERS) {
        return ctl_fail(CTL_USAGE, "USERNAME: 1 to %d characters", USERNAME_LETTERS);
    }
    return hex_get(v, kid, sizeof kid) == E_OK
               ? ctl_fail(CTL_USAGE, "USERNAME: 32 hex digits name a BTI's session")
               : CTL_OK;
}

static int store(struct ctl *c, const char *username, const char *line, bool want[2],
                 const struct ctl_sealed sealed[2])
{
    return ctl_query(
        c,
        "INSERT INTO core.credential (line_id, username, algorithm, ha1_sealed) SELECT $1, $2, a, "
        "s FROM (VALUES ('SHA-256', $3::bytea), ('MD5', $4::bytea)) AS v (a, s) WHERE s IS NOT "
        "NULL",
        (const struct pg_param[]){PG_TEXT(view_of(line)), PG_TEXT(view_of(username)),
                                  want[0] ? PG_BYTES(view_from(sealed[0].b, sealed[0].n)) : PG_NULL,
                                  want[1] ? PG_BYTES(view_from(sealed[1].b, sealed[1].n))
                                          : PG_NULL},
        4, NULL);
}

static int add(struct ctl *c, const char *username, const char *line, bool want[2],
               const char *password, bool is_made)
{
    static const char *const names[2] = {"SHA-256", "MD5"};
    struct ctl_sealed sealed[2] = {{.n = 0}, {.n = 0}};
    const char *algorithm = want[0] && want[1] ? "SHA-256, MD5" : names[want[0] ? 0 : 1];
    int rc = CTL_OK;

    for (int i = 0; i < 2 && rc == CTL_OK; i++) {
        rc = want[i] ? ctl_seal_credential(c, username, names[i], password, &sealed[i]) : CTL_OK;
    }
    if (rc == CTL_OK) {
        rc = store(c, username, line, want, sealed);
    }
    if (rc == CTL_OK) {
        ctl_say(c, (const char *const[]){"username", username, "realm",
                                         sealed[want[0] ? 0 : 1].realm, "algorithm", algorithm,
                                         is_made ? "password" : NULL, password, NULL});
    }
    return rc;
}

int ctl_credential_add(struct ctl *c, struct ctl_args *a)
{
    const char *algorithm = ctl_option(a, "--algorithm"), *file = ctl_option(a, "--password-file");
    char password[PASSWORD_MAX + 2] = "", line[24];
    bool want[2] = {true, false};
    int rc = a->n == 2 ? check_username(a->v[0]) : ctl_fail(CTL_USAGE, USAGE_ADD);

    if (rc == CTL_OK && algorithm != NULL) {
        want[0] = strcmp(algorithm, "sha-256") == 0 || strcmp(algorithm, "both") == 0;
        want[1] = strcmp(algorithm, "md5") == 0 || strcmp(algorithm, "both") == 0;
        rc = want[0] || want[1] ? CTL_OK : ctl_fail(CTL_USAGE, USAGE_ADD);
    }
    if (rc == CTL_OK) {
        rc = ctl_id(a->v[1], "LINE", line);
    }
    if (rc == CTL_OK) {
        rc = file != NULL ? read_password(file, password) : make_password(password);
    }
    if (rc == CTL_OK) {
        rc = add(c, a->v[0], line, want, password, file == NULL);
    }
    wipe(password, sizeof password);
    return rc;
}

int ctl_credential_list(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *r = NULL;
    int rc = a->n == 0 ? CTL_OK : ctl_fail(CTL_USAGE, "usage: headgatectl credential list");

    if (rc == CTL_OK) {
        rc = ctl_query(c,
                       "SELECT k.username, k.line_id, coalesce(n.number, ''), k.algorithm, "
                       "k.disabled, to_char(k.created_at AT TIME ZONE 'UTC', "
                       "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM core.credential k LEFT JOIN "
                       "core.number n ON n.line_id = k.line_id AND n.is_primary ORDER BY "
                       "k.username, k.algorithm DESC",
                       NULL, 0, &r);
    }
    if (rc == CTL_OK) {
        rc = ctl_show(c, r,
                      (const char *const[]){"username", "line", "number", "algorithm", "disabled",
                                            "created", NULL});
    }
    pg_result_free(r);
    return rc;
}

static int change(struct ctl *c, struct ctl_args *a, const char *word, const char *sql)
{
    struct pg_result *r = NULL;
    int rc =
        a->n == 1 ? CTL_OK : ctl_fail(CTL_USAGE, "usage: headgatectl credential %s USERNAME", word);

    if (rc == CTL_OK) {
        rc = ctl_query(c, sql, (const struct pg_param[]){PG_TEXT(view_of(a->v[0]))}, 1, &r);
    }
    if (rc == CTL_OK && pg_affected(r) == 0) {
        rc = ctl_fail(CTL_REFUSED, "no such credential");
    }
    pg_result_free(r);
    return rc;
}

int ctl_credential_disable(struct ctl *c, struct ctl_args *a)
{
    return change(c, a, "disable",
                  "UPDATE core.credential SET disabled = true WHERE username = $1");
}

int ctl_credential_enable(struct ctl *c, struct ctl_args *a)
{
    return change(c, a, "enable",
                  "UPDATE core.credential SET disabled = false WHERE username = $1");
}

int ctl_credential_remove(struct ctl *c, struct ctl_args *a)
{
    return change(c, a, "remove", "DELETE FROM core.credential WHERE username = $1");
}
