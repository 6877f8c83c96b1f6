#include "provisioning/orders.h"

#include <stdio.h>
#include <string.h>

#define AAD_LTK "headgate ltk v1"
#define AAD_K_U "headgate k_u v1"

enum { KEPT_VERSION = 1, PLAIN_BYTES = 64, LTK_PART = 16 };

enum err order_digest(const struct secret *work_order_key, struct view digits,
                      uint8_t out[SHA256_BYTES])
{
    return hmac_sha256(work_order_key, digits, out);
}

/* ---- keys at rest ------------------------------------------------------------------------------
 */
static struct view aad_of(const char *label, const uint8_t bti_id[BTI_ID_BYTES], char *buf)
{
    size_t n = strlen(label);

    memcpy(buf, label, n);
    memcpy(buf + n, bti_id, BTI_ID_BYTES);
    return view_from(buf, n + BTI_ID_BYTES);
}

static enum err seal(const struct secret *kek, const char *label,
                     const uint8_t bti_id[BTI_ID_BYTES], const uint8_t plain[PLAIN_BYTES],
                     uint8_t out[SEALED_BYTES])
{
    char aad[64];
    enum err e = E_OK;

    out[0] = KEPT_VERSION;
    TRY(crypto_random(out + 1, GCM_NONCE_BYTES));
    TRY(gcm_seal(kek, out + 1, aad_of(label, bti_id, aad), view_from(plain, PLAIN_BYTES),
                 out + 1 + GCM_NONCE_BYTES));
out:
    return e;
}

static enum err unseal(const struct secret *kek, const char *label,
                       const uint8_t bti_id[BTI_ID_BYTES], const uint8_t *kept, size_t n,
                       uint8_t out[PLAIN_BYTES])
{
    char aad[64];

    if (n != SEALED_BYTES || kept[0] != KEPT_VERSION) {
        return FAIL(E_AUTH);
    }
    return gcm_open(kek, kept + 1, aad_of(label, bti_id, aad),
                    view_from(kept + 1 + GCM_NONCE_BYTES, n - 1 - GCM_NONCE_BYTES), out);
}

static enum err seal_ltk(const struct secret *kek, const uint8_t bti_id[BTI_ID_BYTES],
                         const struct ltk *ltk, uint8_t out[SEALED_BYTES])
{
    const struct secret *part[] = {&ltk->enc_up, &ltk->mac_up, &ltk->enc_down, &ltk->mac_down};
    uint8_t plain[PLAIN_BYTES];
    enum err e = E_OK;

    for (size_t i = 0; i < 4; i++) {
        if (part[i]->n != LTK_PART) {
            wipe(plain, sizeof plain);
            return FAIL(E_RANGE);
        }
        memcpy(plain + i * LTK_PART, part[i]->b, LTK_PART);
    }
    e = seal(kek, AAD_LTK, bti_id, plain, out);
    wipe(plain, sizeof plain);
    return e;
}

static enum err open_ltk(const struct secret *kek, const uint8_t bti_id[BTI_ID_BYTES],
                         const uint8_t *kept, size_t n, struct ltk *out)
{
    struct secret *part[] = {&out->enc_up, &out->mac_up, &out->enc_down, &out->mac_down};
    uint8_t plain[PLAIN_BYTES];
    enum err e = unseal(kek, AAD_LTK, bti_id, kept, n, plain);

    for (size_t i = 0; i < 4 && e == E_OK; i++) {
        e = secret_set(part[i], plain + i * LTK_PART, LTK_PART);
    }
    wipe(plain, sizeof plain);
    return e;
}

/* ---- enrolment ---------------------------------------------------------------------------------
 */
/* The database takes UTF-8 only, and people read it: anything else than printable ASCII is '?'. */
static void printable(const char *from, char *to, size_t max)
{
    size_t i = 0;

    for (; i + 1 < max && from[i] != 0; i++) {
        to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
    }
    to[i] = 0;
}

static struct view key_octets(const struct user_key *u)
{
    return u->kind == KEY_P256 ? view_from(u->pub, sizeof u->pub)
                               : view_from(u->shared.b, u->shared.n);
}

static enum err name_bti(const struct secret *key, struct enrol_params *q, const struct user_key *u)
{
    uint8_t both[SHA256_BYTES];
    const struct view of_id[] = {VIEW("bti_id"), view_from(q->digest, sizeof q->digest),
                                 view_from(q->mark, sizeof q->mark)};
    const struct view of_mark[] = {VIEW("k_u"), key_octets(u)};
    struct hmac_key *h = NULL;
    enum err e = E_OK;

    TRY(hmac_key_new(key, &h));
    TRY(hmac_parts(h, of_mark, 2, q->mark));
    TRY(hmac_parts(h, of_id, 3, both));
    memcpy(q->bti_id, both, BTI_ID_BYTES);
out:
    hmac_key_free(h);
    return e;
}

static void bind_params(struct enrol_params *q)
{
    q->p[0] = PG_BYTES(view_from(q->digest, sizeof q->digest));
    q->p[1] = PG_BYTES(view_from(q->bti_id, sizeof q->bti_id));
    q->p[2] = PG_TEXT(view_of(q->kind));
    q->p[3] = PG_BYTES(view_from(q->k_u, q->k_u_n));
    q->p[4] = PG_BYTES(view_from(q->mark, sizeof q->mark));
    q->p[5] = PG_BYTES(view_from(q->ltk, sizeof q->ltk));
    q->p[6] = PG_TEXT(view_of(q->mac));
    q->p[7] = PG_TEXT(view_of(q->model));
    q->p[8] = PG_TEXT(view_of(q->software));
}

enum err enrol_params(const struct secret *work_order_key, const struct secret *kek,
                      const uint8_t digest[SHA256_BYTES], const struct user_key *u,
                      const struct ltk *ltk, const struct bti_info *info, struct enrol_params *out)
{
    struct enrol_params *q = out;
    enum err e = E_OK;

    memset(q, 0, sizeof *q);
    memcpy(q->digest, digest, SHA256_BYTES);
    TRY(name_bti(work_order_key, q, u));
    if (u->kind == KEY_P256) {
        memcpy(q->k_u, u->pub, sizeof u->pub);
        q->k_u_n = sizeof u->pub;
    } else {
        TRY(seal(kek, AAD_K_U, q->bti_id, u->shared.b, q->k_u));
        q->k_u_n = SEALED_BYTES;
    }
    TRY(seal_ltk(kek, q->bti_id, ltk, q->ltk));
    snprintf(q->kind, sizeof q->kind, "%d", u->kind == KEY_P256 ? 1 : 2);
    snprintf(q->mac, sizeof q->mac, "%02x:%02x:%02x:%02x:%02x:%02x", info->mac[0], info->mac[1],
             info->mac[2], info->mac[3], info->mac[4], info->mac[5]);
    printable(info->model, q->model, sizeof q->model);
    printable(info->software, q->software, sizeof q->software);
    bind_params(q);
out:
    return e;
}

static void split_numbers(struct view list, struct enrol_texts *out)
{
    struct cursor c = cursor_over(list);
    struct view one = {0};

    out->n = 0;
    while (out->n < ENROL_TEXTS_MAX && !cur_done(&c)) {
        if (cur_until(&c, ',', &one) != E_OK) {
            one = cur_rest(&c);
            c = cursor_over(view_of(NULL));
        }
        if (view_to_cstr(one, out->v[out->n], ENROL_TEXT_BYTES) == E_OK) {
            out->n++;
        }
    }
}

enum err enrol_result(const struct pg_result *r, enum enrol_outcome *out,
                      struct enrol_texts *out_numbers)
{
    static const char *const names[] = {"enrolled", "again", "unknown", "cancelled",
                                        "expired",  "spent", "revoked"};

    if (r == NULL || pg_rows(r) != 1) {
        return FAIL(E_PARSE);
    }
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (view_eq(pg_text(r, 0, 0), view_of(names[i]))) {
            *out = (enum enrol_outcome)i;
            split_numbers(pg_text(r, 0, 2), out_numbers);
            return E_OK;
        }
    }
    return FAIL(E_PARSE);
}

/* ---- sessions ----------------------------------------------------------------------------------
 */
enum { COL_KIND, COL_K_U, COL_LTK, COL_COUNTER, COL_REVOKED, COL_LINE, COL_BARRED };

static enum err read_user_key(const struct secret *kek, const uint8_t bti_id[BTI_ID_BYTES],
                              const struct pg_result *r, struct user_key *out)
{
    uint8_t kept[SEALED_BYTES], plain[PLAIN_BYTES];
    size_t n = 0;
    enum err e = E_OK;

    TRY(pg_octets(r, 0, COL_K_U, kept, sizeof kept, &n));
    if (pg_u64(r, 0, COL_KIND) == KEY_P256 && n == P256_POINT_BYTES) {
        out->kind = KEY_P256;
        memcpy(out->pub, kept, n);
    } else {
        out->kind = KEY_SYMMETRIC;
        TRY(unseal(kek, AAD_K_U, bti_id, kept, n, plain));
        TRY(secret_set(&out->shared, plain, sizeof plain));
    }
out:
    wipe(plain, sizeof plain);
    return e;
}

enum err session_row_read(const struct secret *kek, const uint8_t bti_id[BTI_ID_BYTES],
                          const struct pg_result *r, struct session_row *out, uint64_t *out_line)
{
    struct session_row row = {.known = false};
    uint8_t kept[SEALED_BYTES];
    size_t n = 0;
    enum err e = E_OK;

    if (pg_rows(r) == 1) {
        row.known = true;
        row.revoked = pg_bool(r, 0, COL_REVOKED);
        row.barred = pg_bool(r, 0, COL_BARRED);
        row.last_counter = pg_u64(r, 0, COL_COUNTER);
        TRY(read_user_key(kek, bti_id, r, &row.key));
        TRY(pg_octets(r, 0, COL_LTK, kept, sizeof kept, &n));
        TRY(open_ltk(kek, bti_id, kept, n, &row.ltk));
        *out_line = pg_u64(r, 0, COL_LINE);
    }
    *out = row;
out:
    wipe(&row, sizeof row);
    return e;
}
