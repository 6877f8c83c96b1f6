/* Snapshot: rows in plain arrays, one text pool, open-addressing indexes of 32-bit row numbers.
 * Every key is looked at as octets, so that one index serves all tables. */
#include "routing/snapshot_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "routing/plan_check.h"

#define ROWS_MAX (1u << 26) /* of one table */
#define NONE     SNAPSHOT_NONE

/* ---- indexes ---- */

static struct view key_of(const struct snapshot *s, enum table t, size_t row)
{
    switch (t) {
    case LINES:
        return view_from(&s->lines[row].line_id, sizeof s->lines[row].line_id);
    case NUMBERS:
        return s->numbers[row].number;
    case BTIS:
        return view_from(s->btis[row].bti_id, sizeof s->btis[row].bti_id);
    case NEXT_HOPS:
    case EMERGENCIES:
        return s->routes[row].prefix;
    case TRUNKS:
        return view_from(&s->trunks[row].trunk_id, sizeof s->trunks[row].trunk_id);
    case TRUNK_NAMES:
        return s->trunks[row].name;
    case RULES:
        return s->rules[row].prefix;
    case CREDENTIALS:
        return view_from(s->credentials[row].username.p, s->credentials[row].username.n + 1);
    case TABLES:
        break;
    }
    BUG_ON(true);
}

static uint32_t *slot_of(const struct snapshot *s, enum table t, struct view key)
{
    const struct index *x = &s->index[t];
    size_t at = (size_t)siphash64(s->hash_key, key) & x->mask;
    while (x->slots[at] != 0 && !view_eq(key_of(s, t, x->slots[at] - 1), key)) {
        at = (at + 1) & x->mask;
    }
    return &x->slots[at];
}

size_t snapshot_find(const struct snapshot *s, enum table t, struct view key)
{
    uint32_t row = *slot_of(s, t, key);
    return row == 0 ? NONE : row - 1;
}

bool snapshot_add(struct snapshot *s, enum table t, size_t row)
{
    uint32_t *slot = slot_of(s, t, key_of(s, t, row));
    if (*slot != 0) {
        return false;
    }
    *slot = (uint32_t)(row + 1);
    return true;
}

static enum err index_init(struct index *x, size_t rows)
{
    size_t n = 8;
    while (n < 2 * rows) {
        n *= 2;
    }
    x->slots = mem_zalloc_array(n, sizeof *x->slots);
    x->mask = n - 1;
    return x->slots ? E_OK : FAIL(E_NOMEM);
}

/* ---- texts ---- */

struct view snapshot_keep(struct snapshot *s, struct view v)
{
    BUG_ON(v.n > s->text_max - s->text_n);
    char *to = s->text + s->text_n;
    if (v.n > 0) {
        memcpy(to, v.p, v.n);
    }
    s->text_n += v.n;
    return view_from(to, v.n);
}

/* Octets of the UTF-8 character at p; 0: none, or a control character. */
static size_t utf8_char(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } shapes[] = {{0xe0, 0xc0, 0xa0}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    if (p[0] < 0x80) {
        return p[0] >= 0x20 && p[0] != 0x7f;
    }
    for (size_t i = 0; i < 3; i++) {
        if ((p[0] & shapes[i].mask) != shapes[i].lead) {
            continue;
        }
        size_t octets = i + 2;
        uint32_t c = p[0] & (unsigned char)~shapes[i].mask;
        for (size_t k = 1; k < octets; k++) {
            if (k >= n || (p[k] & 0xc0) != 0x80) {
                return 0;
            }
            c = c << 6 | (p[k] & 0x3f);
        }
        bool bad = c < shapes[i].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff);
        return bad ? 0 : octets;
    }
    return 0;
}

/* A name for people: no call may depend on it, so a strange one is cleaned and never refused. */
struct view snapshot_keep_name(struct snapshot *s, struct view v)
{
    char clean[SNAPSHOT_NAME_MAX];
    size_t n = 0;
    for (size_t at = 0; at < v.n;) {
        size_t octets = utf8_char((const unsigned char *)v.p + at, v.n - at);
        if (octets > sizeof clean - n) {
            break;
        }
        memcpy(clean + n, v.p + at, octets);
        n += octets;
        at += octets ? octets : 1;
    }
    return snapshot_keep(s, view_from(clean, n));
}

static size_t pool_bytes(const struct snapshot_input *in)
{
    size_t n = 1;
    for (size_t i = 0; i < in->n_lines; i++) {
        n += SNAPSHOT_NUMBER_MAX;
        n +=
            in->lines[i].display.n < SNAPSHOT_NAME_MAX ? in->lines[i].display.n : SNAPSHOT_NAME_MAX;
        for (size_t k = 0; k < FORWARDS; k++) {
            n += in->lines[i].forward[k].n > 0 ? SNAPSHOT_NUMBER_MAX : 0;
        }
        n += in->lines[i].priority.n;
    }
    n += in->n_numbers * SNAPSHOT_NUMBER_MAX;
    return n + snapshot_plan_text(in);
}

/* ---- rows ---- */

static enum err refuse(const struct snapshot_making *b, enum err e, const char *table, size_t row,
                       uint64_t line_id, const char *what)
{
    if (b->why && b->why_bytes > 0) {
        (void)snprintf(b->why, b->why_bytes, "%s row %zu (line %" PRIu64 "): %s", table, row,
                       line_id, what);
    }
    return FAIL(e);
}

static enum err take_lines(const struct snapshot_making *b)
{
    struct snapshot *s = b->s;
    for (size_t i = 0; i < b->in->n_lines; i++) {
        const struct line *l = &b->in->lines[i];
        if (l->line_id == 0) {
            return refuse(b, E_PARSE, "line", i, 0, "line_id: zero");
        }
        if (l->level > 1) {
            return refuse(b, E_PARSE, "line", i, l->line_id, "level: neither 0 nor 1");
        }
        s->lines[i] = *l;
        s->lines[i].display = snapshot_keep_name(s, l->display);
        s->lines[i].number = VIEW("");
        snapshot_take_service(s, &s->lines[i]);
        if (!snapshot_add(s, LINES, i)) {
            return refuse(b, E_PARSE, "line", i, l->line_id, "line_id: twice");
        }
    }
    s->n_lines = b->in->n_lines;
    return E_OK;
}

static enum err take_numbers(const struct snapshot_making *b)
{
    struct snapshot *s = b->s;
    for (size_t i = 0; i < b->in->n_numbers; i++) {
        const struct number_row *n = &b->in->numbers[i];
        if (!plan_e164(n->number)) {
            return refuse(b, E_PARSE, "number", i, n->line_id, "number: not E.164");
        }
        if (!snapshot_line(s, n->line_id)) {
            return refuse(b, E_PARSE, "number", i, n->line_id, "line_id: no such line");
        }
        s->numbers[i] = (struct number_row){snapshot_keep(s, n->number), n->line_id};
        if (!snapshot_add(s, NUMBERS, i)) {
            return refuse(b, E_EXISTS, "number", i, n->line_id, "number: twice");
        }
    }
    s->n_numbers = b->in->n_numbers;
    return E_OK;
}

/* A primary number is a number too: it shares the text of its row, or gets the row it lacks. */
static enum err take_primary_numbers(const struct snapshot_making *b)
{
    struct snapshot *s = b->s;
    for (size_t i = 0; i < b->in->n_lines; i++) {
        const struct line *l = &b->in->lines[i];
        if (l->number.n == 0) {
            continue;
        }
        if (!plan_e164(l->number)) {
            return refuse(b, E_PARSE, "line", i, l->line_id, "number: not E.164");
        }
        uint32_t *slot = slot_of(s, NUMBERS, l->number);
        if (*slot == 0) {
            s->numbers[s->n_numbers++] =
                (struct number_row){snapshot_keep(s, l->number), l->line_id};
            *slot = (uint32_t)s->n_numbers;
        }
        size_t row = *slot - 1;
        if (s->numbers[row].line_id != l->line_id) {
            return refuse(b, E_EXISTS, "line", i, l->line_id, "number: belongs to another line");
        }
        s->lines[i].number = s->numbers[row].number;
    }
    return E_OK;
}

static enum err take_btis(const struct snapshot_making *b)
{
    static const uint8_t none[16];
    struct snapshot *s = b->s;
    for (size_t i = 0; i < b->in->n_btis; i++) {
        const struct bti_row *x = &b->in->btis[i];
        if (memcmp(x->bti_id, none, sizeof none) == 0) {
            return refuse(b, E_PARSE, "bti", i, x->line_id, "bti_id: zero");
        }
        if (!snapshot_line(s, x->line_id)) {
            return refuse(b, E_PARSE, "bti", i, x->line_id, "line_id: no such line");
        }
        s->btis[i] = *x;
        if (!snapshot_add(s, BTIS, i)) {
            return refuse(b, E_PARSE, "bti", i, x->line_id, "bti_id: twice");
        }
    }
    s->n_btis = b->in->n_btis;
    return E_OK;
}

/* ---- building ---- */

static void *rows(size_t n, size_t size)
{
    return mem_zalloc_array(n ? n : 1, size);
}

static enum err reserve(struct snapshot *s, const struct snapshot_input *in)
{
    const size_t n[TABLES] = {
        [LINES] = in->n_lines,
        [NUMBERS] = in->n_numbers + in->n_lines,
        [BTIS] = in->n_btis,
        [NEXT_HOPS] = in->n_routes,
        [EMERGENCIES] = in->n_routes,
        [TRUNKS] = in->n_trunks,
        [TRUNK_NAMES] = in->n_trunks,
        [RULES] = in->n_rules,
        [CREDENTIALS] = in->n_credentials,
    };
    s->lines = rows(n[LINES], sizeof *s->lines);
    s->numbers = rows(n[NUMBERS], sizeof *s->numbers);
    s->btis = rows(n[BTIS], sizeof *s->btis);
    s->routes = rows(in->n_routes, sizeof *s->routes);
    s->trunks = rows(in->n_trunks, sizeof *s->trunks);
    s->rules = rows(in->n_rules, sizeof *s->rules);
    s->credentials = rows(in->n_credentials, sizeof *s->credentials);
    s->modes = rows(in->n_modes, sizeof *s->modes);
    s->text_max = pool_bytes(in);
    s->text = mem_zalloc(s->text_max);
    if (!s->lines || !s->numbers || !s->btis || !s->routes || !s->trunks || !s->rules ||
        !s->credentials || !s->modes || !s->text) {
        return FAIL(E_NOMEM);
    }
    for (size_t t = 0; t < TABLES; t++) {
        enum err e = index_init(&s->index[t], n[t]);
        if (e != E_OK) {
            return e;
        }
    }
    return E_OK;
}

static enum err take_rows(const struct snapshot_making *b)
{
    enum err e = E_OK;
    TRY(take_lines(b));
    TRY(take_numbers(b));
    TRY(take_primary_numbers(b));
    TRY(take_btis(b));
    snapshot_take_plan(b->s, b->in);
    snapshot_take_credentials(b->s, b->in);
out:
    return e;
}

static enum err begin(struct snapshot_making *b)
{
    enum err e = E_OK;
    const struct snapshot_input *in = b->in;
    if (in->n_lines > ROWS_MAX || in->n_numbers > ROWS_MAX || in->n_btis > ROWS_MAX ||
        in->n_routes > ROWS_MAX || in->n_trunks > ROWS_MAX || in->n_rules > ROWS_MAX ||
        in->n_credentials > ROWS_MAX || in->n_modes > ROWS_MAX) {
        return refuse(b, E_PARSE, "table", 0, 0, "too many rows");
    }
    b->s = mem_zalloc(sizeof *b->s);
    if (!b->s) {
        return FAIL(E_NOMEM);
    }
    b->s->change_seq = in->change_seq;
    TRY(crypto_random(b->s->hash_key, sizeof b->s->hash_key));
    TRY(reserve(b->s, in));
out:
    return e;
}

enum err snapshot_build(const struct snapshot_input *in, struct snapshot **out, char *why,
                        size_t why_bytes)
{
    enum err e = E_OK;
    struct snapshot_making b = {NULL, in, why, why_bytes};
    TRY(begin(&b));
    TRY(take_rows(&b));
    *out = b.s;
    b.s = NULL;
out:
    snapshot_free(b.s);
    return e;
}

/* ---- overlays ---- */

static int line_order(const void *va, const void *vb)
{
    const uint64_t *a = va;
    const uint64_t *b = vb;
    return (*a > *b) - (*a < *b);
}

static int bti_order(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

bool snapshot_masks_line(const struct snapshot *s, uint64_t line_id)
{
    return s->n_masked_lines > 0 && bsearch(&line_id, s->masked_lines, s->n_masked_lines,
                                            sizeof *s->masked_lines, line_order) != NULL;
}

static bool masks_bti(const struct snapshot *s, const uint8_t bti_id[16])
{
    return s->n_masked_btis > 0 && bsearch(bti_id, s->masked_btis, s->n_masked_btis,
                                           sizeof *s->masked_btis, bti_order) != NULL;
}

static enum err take_masks(struct snapshot *s, const struct snapshot_delta *d)
{
    s->masked_lines = rows(d->n_masked_lines, sizeof *s->masked_lines);
    s->masked_btis = rows(d->n_masked_btis, sizeof *s->masked_btis);
    if (!s->masked_lines || !s->masked_btis) {
        return FAIL(E_NOMEM);
    }
    for (size_t i = 0; i < d->n_masked_lines; i++) {
        s->masked_lines[i] = d->masked_lines[i];
        s->lines_in_all -= snapshot_line(s->under, d->masked_lines[i]) != NULL;
    }
    for (size_t i = 0; i < d->n_masked_btis; i++) {
        memcpy(s->masked_btis[i], d->masked_btis + 16 * i, sizeof s->masked_btis[i]);
    }
    s->n_masked_lines = d->n_masked_lines;
    s->n_masked_btis = d->n_masked_btis;
    return E_OK;
}

static enum err check_numbers(const struct snapshot_making *b)
{
    const struct snapshot *s = b->s;
    for (size_t i = 0; i < s->n_numbers; i++) {
        size_t row = snapshot_find(s->under, NUMBERS, s->numbers[i].number);
        if (row != NONE && !snapshot_masks_line(s, s->under->numbers[row].line_id)) {
            return refuse(b, E_EXISTS, "number", i, s->numbers[i].line_id,
                          "number: belongs to another line below");
        }
    }
    return E_OK;
}

static enum err check_credentials(const struct snapshot_making *b)
{
    const struct snapshot *s = b->s;
    for (size_t i = 0; i < s->n_credentials; i++) {
        size_t row = snapshot_find(s->under, CREDENTIALS, key_of(s, CREDENTIALS, i));
        if (row != NONE && !snapshot_masks_line(s, s->under->credentials[row].line_id)) {
            return refuse(b, E_EXISTS, "credential", i, s->credentials[i].line_id,
                          "username: belongs to another line below");
        }
    }
    return E_OK;
}

enum err snapshot_overlay(const struct snapshot *base, const struct snapshot_delta *d,
                          struct snapshot **out, char *why, size_t why_bytes)
{
    enum err e = E_OK;
    struct snapshot_making b = {NULL, &d->rows, why, why_bytes};
    BUG_ON(base->under != NULL);
    TRY(begin(&b));
    b.s->under = base;
    b.s->has_plan = d->has_plan;
    b.s->lines_in_all = base->n_lines;
    TRY(take_masks(b.s, d));
    TRY(take_rows(&b));
    TRY(check_numbers(&b));
    TRY(check_credentials(&b));
    b.s->lines_in_all += b.s->n_lines;
    *out = b.s;
    b.s = NULL;
out:
    snapshot_free(b.s);
    return e;
}

void snapshot_free(struct snapshot *s)
{
    if (!s) {
        return;
    }
    for (size_t t = 0; t < TABLES; t++) {
        mem_free(s->index[t].slots);
    }
    mem_free(s->lines);
    mem_free(s->numbers);
    mem_free(s->btis);
    mem_free(s->routes);
    mem_free(s->trunks);
    mem_free(s->rules);
    mem_free(s->modes);
    mem_free(s->credentials);
    mem_free(s->text);
    mem_free(s->masked_lines);
    mem_free(s->masked_btis);
    mem_free(s);
}

/* ---- reading ---- */

uint64_t snapshot_change_seq(const struct snapshot *s)
{
    return s->change_seq;
}

uint64_t snapshot_id(const struct snapshot *s)
{
    return siphash64(s->hash_key, VIEW("id"));
}

size_t snapshot_lines(const struct snapshot *s)
{
    return s->under ? s->lines_in_all : s->n_lines;
}

const struct line *snapshot_line_at(const struct snapshot *s, size_t i)
{
    BUG_ON(s->under || i >= s->n_lines);
    return &s->lines[i];
}

void snapshot_parts(const struct snapshot *s, struct snapshot_input *out)
{
    BUG_ON(s->under);
    *out = (struct snapshot_input){
        .change_seq = s->change_seq,
        .lines = s->lines,
        .n_lines = s->n_lines,
        .numbers = s->numbers,
        .n_numbers = s->n_numbers,
        .btis = s->btis,
        .n_btis = s->n_btis,
        .routes = s->routes,
        .n_routes = s->n_routes,
        .trunks = s->trunks,
        .n_trunks = s->n_trunks,
        .credentials = s->credentials,
        .n_credentials = s->n_credentials,
        .rules = s->rules,
        .n_rules = s->n_rules,
        .modes = s->modes,
        .n_modes = s->n_modes,
    };
}

const struct line *snapshot_line(const struct snapshot *s, uint64_t line_id)
{
    size_t row = snapshot_find(s, LINES, view_from(&line_id, sizeof line_id));
    if (row == NONE && s->under && !snapshot_masks_line(s, line_id)) {
        return snapshot_line(s->under, line_id);
    }
    return row == NONE ? NULL : &s->lines[row];
}

/* 0: nobody's */
static uint64_t owner_of(const struct snapshot *s, struct view e164)
{
    size_t row = snapshot_find(s, NUMBERS, e164);
    if (row == NONE && s->under) {
        uint64_t below = owner_of(s->under, e164);
        return snapshot_masks_line(s, below) ? 0 : below;
    }
    return row == NONE ? 0 : s->numbers[row].line_id;
}

const struct line *snapshot_line_of_number(const struct snapshot *s, struct view e164)
{
    uint64_t line_id = owner_of(s, e164);
    return line_id == 0 ? NULL : snapshot_line(s, line_id);
}

bool snapshot_owns_number(const struct snapshot *s, uint64_t line_id, struct view e164)
{
    return line_id != 0 && owner_of(s, e164) == line_id;
}

const struct bti_row *snapshot_bti(const struct snapshot *s, const uint8_t bti_id[16])
{
    size_t row = snapshot_find(s, BTIS, view_from(bti_id, 16));
    if (row == NONE && s->under && !masks_bti(s, bti_id)) {
        return snapshot_bti(s->under, bti_id);
    }
    return row == NONE ? NULL : &s->btis[row];
}
