#include "admin_api/work_order.h"

#include "base/secret.h"

enum { KEY_BYTES = 32 };

static enum err read_key(const char *path, struct secret *out)
{
    uint8_t b[KEY_BYTES + 1];
    size_t n = 0;
    enum err e = secret_file_read(path, false, b, sizeof b, &n);

    if (e == E_OK && n != KEY_BYTES) {
        e = FAIL(E_RANGE);
    }
    if (e == E_OK) {
        e = secret_set(out, b, n);
    }
    wipe(b, sizeof b);
    return e;
}

/* Each digit from its own octet; octets that would bias it are drawn again. */
static enum err draw_digits(char out[WORK_ORDER_DIGITS + 1])
{
    enum err e = E_CRYPTO;
    uint8_t b = 0;

    for (size_t i = 0; i < WORK_ORDER_DIGITS;) {
        TRY(crypto_random(&b, 1));
        if (b < 250) {
            out[i++] = (char)('0' + b % 10);
        }
    }
    out[WORK_ORDER_DIGITS] = 0;
    e = E_OK;
out:
    return e;
}

enum err work_order_make(const char *key_file, struct work_order *out)
{
    enum err e = E_CRYPTO;
    struct secret key = {.n = 0};
    struct work_order w = {.digits = ""};

    TRY(read_key(key_file, &key));
    TRY(draw_digits(w.digits));
    TRY(hmac_sha256(&key, view_of(w.digits), w.digest));
    *out = w;
out:
    secret_wipe(&key);
    wipe(&w, sizeof w);
    return e;
}

const char *work_order_hint(const struct work_order *w)
{
    return w->digits + WORK_ORDER_DIGITS - WORK_ORDER_HINT;
}
