#include "base/stir_tn.h"

#include <string.h>

#include "base/mem.h"

enum {
    DER_SEQUENCE = 0x30,
    DER_INTEGER = 0x02,
    DER_IA5 = 0x16,
    DER_EXPLICIT = 0xa0, /* context-specific, constructed */
    TN_DIGITS_MAX = 15
};

/* ---- DER ---- */

/* The contents of the next element, which has to have that tag: definite lengths, in the shortest
 * form. */
static bool take(struct view *in, unsigned tag, struct view *out)
{
    const uint8_t *p = (const uint8_t *)in->p;
    size_t head = 2, n = 0;
    if (in->n < 2 || p[0] != tag) {
        return false;
    }
    n = p[1];
    if (n >= 0x80) {
        size_t more = n & 0x7f;
        if (more < 1 || more > 3 || in->n < 2 + more || p[2] == 0) {
            return false;
        }
        n = 0;
        for (size_t i = 0; i < more; i++) {
            n = n << 8 | p[2 + i];
        }
        head += more;
        if (n < 0x80) {
            return false;
        }
    }
    if (n > in->n - head) {
        return false;
    }
    *out = view_from(p + head, n);
    *in = view_from(p + head + n, in->n - head - n);
    return true;
}

/* A positive INTEGER of at most 8 octets. */
static bool take_count(struct view *in, uint64_t *out)
{
    struct view v = {0};
    uint64_t n = 0;
    if (!take(in, DER_INTEGER, &v) || v.n == 0 || v.n > 8 || (uint8_t)v.p[0] >= 0x80 ||
        (v.n > 1 && v.p[0] == 0 && (uint8_t)v.p[1] < 0x80)) {
        return false;
    }
    for (size_t i = 0; i < v.n; i++) {
        n = n << 8 | (uint8_t)v.p[i];
    }
    *out = n;
    return true;
}

/* ---- entries ---- */

static bool is_tn(struct view v, const char *keys)
{
    for (size_t i = 0; i < v.n; i++) {
        if (!v.p[i] || !strchr(keys, v.p[i])) {
            return false;
        }
    }
    return v.n > 0 && v.n <= TN_DIGITS_MAX;
}

static bool is_code(struct view v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] <= ' ' || v.p[i] > '~') {
            return false;
        }
    }
    return v.n > 0 && v.n < STIR_TN_TEXT_MAX;
}

static uint64_t number_of(struct view digits)
{
    uint64_t n = 0;
    for (size_t i = 0; i < digits.n; i++) { /* 15 at most */
        n = n * 10 + (uint64_t)(digits.p[i] - '0');
    }
    return n;
}

/* A range may not grow longer than its first number. */
static bool range_good(struct view first, uint64_t count)
{
    uint64_t end = 1;
    for (size_t i = 0; i < first.n; i++) {
        end *= 10;
    }
    return count >= 2 && count <= end - number_of(first);
}

static bool entry_of(enum stir_tn_kind kind, struct view text, uint64_t count, struct stir_tn *out)
{
    bool good = kind == STIR_SPC   ? is_code(text)
                : kind == STIR_ONE ? is_tn(text, "0123456789#*")
                                   : is_tn(text, "0123456789") && range_good(text, count);
    if (good) {
        *out = (struct stir_tn){.kind = kind, .count = kind == STIR_RANGE ? count : 0};
        memcpy(out->text, text.p, text.n);
    }
    return good;
}

/* One TNEntry; its tag is EXPLICIT. */
static bool take_entry(struct view *in, struct stir_tn *out)
{
    struct view inside = {0}, range = {0}, text = {0};
    uint64_t count = 0;
    unsigned tag = in->n > 0 ? (uint8_t)in->p[0] : 0;
    if (tag < DER_EXPLICIT || tag > DER_EXPLICIT + STIR_ONE || !take(in, tag, &inside)) {
        return false;
    }
    enum stir_tn_kind kind = (enum stir_tn_kind)(tag - DER_EXPLICIT);
    if (kind != STIR_RANGE) {
        return take(&inside, DER_IA5, &text) && inside.n == 0 && entry_of(kind, text, 0, out);
    }
    /* The range may be extended behind its count. */
    return take(&inside, DER_SEQUENCE, &range) && inside.n == 0 && take(&range, DER_IA5, &text) &&
           take_count(&range, &count) && entry_of(kind, text, count, out);
}

enum err stir_tn_read(struct view der, size_t max, struct stir_tn_list *out)
{
    struct stir_tn_list l = {0};
    struct stir_tn one;
    struct view all = {0};
    if (!take(&der, DER_SEQUENCE, &all) || der.n != 0 || all.n == 0) {
        return FAIL(E_PARSE);
    }
    for (struct view left = all; left.n > 0; l.n++) {
        if (!take_entry(&left, &one)) {
            return FAIL(E_PARSE);
        }
    }
    if (l.n > max) {
        return FAIL(E_RANGE);
    }
    l.v = mem_zalloc_array(l.n, sizeof *l.v);
    if (!l.v) {
        return FAIL(E_NOMEM);
    }
    for (size_t i = 0; i < l.n; i++) {
        bool again = take_entry(&all, &l.v[i]);
        BUG_ON(!again);
    }
    *out = l;
    return E_OK;
}

void stir_tn_free(struct stir_tn_list *l)
{
    mem_free(l->v);
    *l = (struct stir_tn_list){0};
}

/* Whether the numbers from tn on, count of them, are all in that entry. */
static bool entry_has(const struct stir_tn *e, struct view tn, uint64_t count)
{
    struct view first = view_of(e->text);
    if (e->kind != STIR_RANGE) {
        return e->kind == STIR_SPC || (count == 1 && view_eq(first, tn));
    }
    if (first.n != tn.n || !is_tn(tn, "0123456789")) {
        return false;
    }
    uint64_t at = number_of(tn), from = number_of(first);
    return at >= from && at - from < e->count && count <= e->count - (at - from);
}

static bool list_has(const struct stir_tn_list *l, struct view tn, uint64_t count)
{
    for (size_t i = 0; i < l->n; i++) {
        if (entry_has(&l->v[i], tn, count)) {
            return true;
        }
    }
    return false;
}

bool stir_tn_has(const struct stir_tn_list *l, struct view tn)
{
    return tn.n > 0 && list_has(l, tn, 1);
}

static bool has_code(const struct stir_tn_list *l, const char *code)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].kind == STIR_SPC && strcmp(l->v[i].text, code) == 0) {
            return true;
        }
    }
    return false;
}

bool stir_tn_holds(const struct stir_tn_list *outer, const struct stir_tn_list *inner)
{
    for (size_t i = 0; i < inner->n; i++) {
        const struct stir_tn *e = &inner->v[i];
        bool held = e->kind == STIR_SPC
                        ? has_code(outer, e->text)
                        : list_has(outer, view_of(e->text), e->kind == STIR_RANGE ? e->count : 1);
        if (!held) {
            return false;
        }
    }
    return true;
}

/* ---- issuing ---- */

static size_t wrap(uint8_t *at, unsigned tag, size_t n)
{
    memmove(at + 2, at, n);
    at[0] = (uint8_t)tag;
    at[1] = (uint8_t)n;
    return n + 2;
}

size_t stir_tn_write(const struct stir_tn *one, uint8_t dst[64])
{
    struct stir_tn same;
    size_t n = strnlen(one->text, sizeof one->text);
    unsigned octets = 8;
    if (!entry_of(one->kind, view_from(one->text, n), one->count, &same)) {
        return 0;
    }
    memcpy(dst, one->text, n);
    n = wrap(dst, DER_IA5, n);
    if (one->kind == STIR_RANGE) {
        while (octets > 1 && one->count >> (8 * octets - 9) == 0) { /* no leading zeros */
            octets--;
        }
        for (unsigned i = 0; i < octets; i++) {
            dst[n + i] = (uint8_t)(one->count >> (8 * (octets - 1 - i)));
        }
        n += wrap(dst + n, DER_INTEGER, octets);
        n = wrap(dst, DER_SEQUENCE, n);
    }
    n = wrap(dst, DER_EXPLICIT + (unsigned)one->kind, n);
    return wrap(dst, DER_SEQUENCE, n);
}
