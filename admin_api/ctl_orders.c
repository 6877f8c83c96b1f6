/* Work orders (seed, step 307): the number is made here, shown once, and stored as a keyed hash
 * only. */
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl.h"
#include "base/crypto.h"

#define ORDER_DIGITS 12 /* 10^12 possibilities against three tries and a lock-out */

static int read_key(const struct ctl *c, struct secret *out)
{
    uint8_t b[33];
    size_t n = 0;
    enum err e = secret_file_read(c->work_order_key, false, b, sizeof b, &n);

    if (e == E_OK && n == 32) {
        e = secret_set(out, b, n);
    } else if (e == E_OK) {
        e = FAIL(E_RANGE);
    }
    wipe(b, sizeof b);
    return e == E_OK ? CTL_OK
                     : ctl_fail(CTL_BROKEN, "work-order key %s: %s (32 octets, mode 0600)",
                                c->work_order_key, err_text(e));
}

/* Each digit from its own octet; octets that would bias it are drawn again. */
static enum err draw_digits(char out[ORDER_DIGITS + 1])
{
    enum err e = E_CRYPTO;
    uint8_t b = 0;

    for (size_t i = 0; i < ORDER_DIGITS;) {
        TRY(crypto_random(&b, 1));
        if (b < 250) {
            out[i++] = (char)('0' + b % 10);
        }
    }
    out[ORDER_DIGITS] = 0;
    e = E_OK;
out:
    return e;
}

static int store(struct ctl *c, const char *line, const char *hours, const char *digits,
                 const struct secret *key)
{
    uint8_t digest[SHA256_BYTES];
    struct pg_result *r = NULL;
    char id[24] = "";
    int rc = CTL_OK;

    if (hmac_sha256(key, view_of(digits), digest) != E_OK) {
        return ctl_fail(CTL_BROKEN, "cannot hash the work order");
    }
    rc =
        ctl_query(c,
                  "INSERT INTO prov.work_order (digest, hint, line_id, expires_at) VALUES ($1, $2, "
                  "$3, now() + make_interval(hours => $4::int)) RETURNING work_order_id",
                  (const struct pg_param[]){PG_BYTES(view_from(digest, sizeof digest)),
                                            PG_TEXT(view_of(digits + ORDER_DIGITS - 2)),
                                            PG_TEXT(view_of(line)), PG_TEXT(view_of(hours))},
                  4, &r);
    if (rc == CTL_OK && view_to_cstr(pg_text(r, 0, 0), id, sizeof id) == E_OK) {
        ctl_say(c, (const char *const[]){"work_order", digits, "id", id, "line", line, NULL});
    }
    pg_result_free(r);
    return rc;
}

int ctl_order_new(struct ctl *c, struct ctl_args *a)
{
    const char *hours_text = ctl_option(a, "--hours");
    char line[24], hours[24] = "168", digits[ORDER_DIGITS + 1] = "";
    struct secret key = {.n = 0};
    int rc = a->n == 1 ? ctl_id(a->v[0], "LINE", line)
                       : ctl_fail(CTL_USAGE, "usage: headgatectl workorder new LINE [--hours N]");

    if (rc == CTL_OK && hours_text != NULL) {
        rc = ctl_id(hours_text, "--hours", hours);
    }
    if (rc == CTL_OK && strlen(hours) > 5) {
        rc = ctl_fail(CTL_USAGE, "--hours is at most 99999");
    }
    if (rc == CTL_OK) {
        rc = read_key(c, &key);
    }
    if (rc == CTL_OK && draw_digits(digits) != E_OK) {
        rc = ctl_fail(CTL_BROKEN, "no randomness");
    }
    if (rc == CTL_OK) {
        rc = store(c, line, hours, digits, &key);
    }
    secret_wipe(&key);
    wipe(digits, sizeof digits);
    return rc;
}

int ctl_order_list(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *r = NULL;
    int rc = a->n == 0 ? CTL_OK : ctl_fail(CTL_USAGE, "usage: headgatectl workorder list");

    if (rc == CTL_OK) {
        rc = ctl_query(
            c,
            "SELECT work_order_id, '**********' || hint, line_id, CASE WHEN cancelled_at IS NOT "
            "NULL THEN 'cancelled' WHEN spent_at IS NOT NULL THEN 'spent' WHEN expires_at < now() "
            "THEN 'expired' ELSE 'open' END, to_char(expires_at AT TIME ZONE 'UTC', "
            "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), coalesce(encode(spent_by, 'hex'), '') FROM "
            "prov.work_order ORDER BY 1",
            NULL, 0, &r);
    }
    if (rc == CTL_OK) {
        rc = ctl_show(
            c, r, (const char *const[]){"id", "number", "line", "state", "expires", "bti", NULL});
    }
    pg_result_free(r);
    return rc;
}

int ctl_order_cancel(struct ctl *c, struct ctl_args *a)
{
    struct pg_result *r = NULL;
    char id[24];
    int rc = a->n == 1 ? ctl_id(a->v[0], "ID", id)
                       : ctl_fail(CTL_USAGE, "usage: headgatectl workorder cancel ID");

    if (rc == CTL_OK) {
        rc = ctl_query(
            c,
            "UPDATE prov.work_order SET cancelled_at = now() WHERE work_order_id = $1 AND "
            "spent_at IS NULL AND cancelled_at IS NULL",
            (const struct pg_param[]){PG_TEXT(view_of(id))}, 1, &r);
    }
    if (rc == CTL_OK && pg_affected(r) == 0) {
        rc = ctl_fail(CTL_REFUSED, "no such open work order");
    }
    pg_result_free(r);
    return rc;
}
