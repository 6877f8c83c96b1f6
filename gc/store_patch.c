/* Old snapshot + rows that were read again -> new snapshot, and who lost rights by it. One pass
 * over the old rows; runs on a thread of its own. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gc/store_int.h"

enum err patch_new(struct patch **out)
{
    struct patch *p = mem_zalloc(sizeof *p);

    if (p == NULL) {
        return FAIL(E_NOMEM);
    }
    arena_init(&p->text, 0);
    *out = p;
    return E_OK;
}

void patch_free(struct patch *p)
{
    if (p != NULL) {
        arena_fini(&p->text);
        mem_free(p->lines);
        mem_free(p->numbers);
        mem_free(p->btis);
        mem_free(p->credentials);
        mem_free(p->trunks);
        mem_free(p->routes);
        mem_free(p->rules);
        mem_free(p->modes);
        mem_free(p);
    }
}

bool patch_is_empty(const struct patch *p)
{
    return p->n_lines == 0 && p->n_btis == 0 && !p->has_plan;
}

/* ---- adding rows -------------------------------------------------------------------------------
 */
void *patch_grown(void *rows, size_t n, size_t *max, size_t size)
{
    void *more = rows;

    if (n == *max) {
        size_t room = *max == 0 ? 64 : *max * 2;
        more = mem_resize(rows, room * size);
        *max = more != NULL ? room : *max;
    }
    return more;
}

enum err patch_keep(struct patch *p, struct view v, struct view *out)
{
    *out = v.n > 0 ? arena_dup(&p->text, v) : VIEW("");
    return out->p != NULL ? E_OK : FAIL(E_NOMEM);
}

enum err patch_add_line(struct patch *p, const struct line *l, bool gone)
{
    struct patch_line *rows = patch_grown(p->lines, p->n_lines, &p->max_lines, sizeof *rows);
    struct patch_line row = {.row = *l, .gone = gone, .order = ++p->order};
    enum err e = rows != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    p->lines = rows;
    TRY(patch_keep(p, l->number, &row.row.number));
    TRY(patch_keep(p, l->display, &row.row.display));
    for (size_t i = 0; i < FORWARDS; i++) {
        TRY(patch_keep(p, l->forward[i], &row.row.forward[i]));
    }
    TRY(patch_keep(p, l->priority, &row.row.priority));
    p->lines[p->n_lines++] = row;
out:
    return e;
}

/* Of the line that was added last. */
enum err patch_add_number(struct patch *p, uint64_t line_id, struct view number)
{
    struct patch_number *rows =
        patch_grown(p->numbers, p->n_numbers, &p->max_numbers, sizeof *rows);
    struct patch_number row = {.row = {.line_id = line_id}, .order = p->order};
    enum err e = rows != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    p->numbers = rows;
    TRY(patch_keep(p, number, &row.row.number));
    p->numbers[p->n_numbers++] = row;
out:
    return e;
}

enum err patch_add_bti(struct patch *p, const struct bti_row *b, bool gone)
{
    struct patch_bti *rows = patch_grown(p->btis, p->n_btis, &p->max_btis, sizeof *rows);

    if (rows == NULL) {
        return FAIL(E_NOMEM);
    }
    p->btis = rows;
    p->btis[p->n_btis++] = (struct patch_bti){.row = *b, .gone = gone, .order = ++p->order};
    return E_OK;
}

/* ---- looking up: newest first, patches that wait are short -------------------------------------
 */
const struct patch_bti *patch_find_bti(const struct patch *p, const uint8_t bti_id[16])
{
    const struct patch_bti *best = NULL;

    for (size_t i = 0; i < p->n_btis; i++) {
        const struct patch_bti *b = &p->btis[i];
        if (memcmp(b->row.bti_id, bti_id, 16) == 0 && (best == NULL || b->order > best->order)) {
            best = b;
        }
    }
    return best;
}

size_t patch_rows(const struct patch *p)
{
    return p->n_lines + p->n_numbers + p->n_btis + p->n_credentials + p->n_trunks + p->n_routes +
           p->n_rules + p->n_modes;
}

static enum err copy_rows(const struct patch *p, uint64_t order, struct patch *c)
{
    enum err e = E_OK;

    for (size_t i = 0; i < p->n_lines; i++) {
        if (p->lines[i].order > order) {
            TRY(patch_add_line(c, &p->lines[i].row, p->lines[i].gone));
            c->lines[c->n_lines - 1].order = p->lines[i].order;
        }
    }
    for (size_t i = 0; i < p->n_numbers; i++) {
        if (p->numbers[i].order > order) {
            TRY(patch_add_number(c, p->numbers[i].row.line_id, p->numbers[i].row.number));
            c->numbers[c->n_numbers - 1].order = p->numbers[i].order;
        }
    }
    for (size_t i = 0; i < p->n_btis; i++) {
        if (p->btis[i].order > order) {
            TRY(patch_add_bti(c, &p->btis[i].row, p->btis[i].gone));
            c->btis[c->n_btis - 1].order = p->btis[i].order;
        }
    }
    TRY(patch_copy_credentials(p, order, c));
    if (p->has_plan && p->plan_order > order) {
        TRY(patch_copy_plan(p, c));
        c->plan_order = p->plan_order;
    }
out:
    return e;
}

enum err patch_copy(const struct patch *p, uint64_t order, struct patch **out)
{
    struct patch *c = NULL;
    enum err e = patch_new(&c);

    TRY(e);
    TRY(copy_rows(p, order, c));
    c->order = p->order;
    c->horizon = p->horizon;
    *out = c;
    c = NULL;
out:
    patch_free(c);
    return e;
}

/* ---- sorting: by key, of one key only the latest stays -----------------------------------------
 */
static int by_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int line_order(const void *va, const void *vb)
{
    const struct patch_line *a = va, *b = vb;
    int d = by_u64(a->row.line_id, b->row.line_id);

    return d != 0 ? d : by_u64(b->order, a->order);
}

static int bti_order(const void *va, const void *vb)
{
    const struct patch_bti *a = va, *b = vb;
    int d = memcmp(a->row.bti_id, b->row.bti_id, sizeof a->row.bti_id);

    return d != 0 ? d : by_u64(b->order, a->order);
}

static int number_order(const void *va, const void *vb)
{
    const struct patch_number *a = va, *b = vb;
    size_t least = a->row.number.n < b->row.number.n ? a->row.number.n : b->row.number.n;
    int d = least > 0 ? memcmp(a->row.number.p, b->row.number.p, least) : 0;

    if (d == 0) {
        d = by_u64(a->row.number.n, b->row.number.n);
    }
    return d != 0 ? d : by_u64(b->order, a->order);
}

const struct patch_line *patch_line_of(const struct patch *p, uint64_t line_id)
{
    size_t from = 0, to = p->n_lines;

    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (p->lines[mid].row.line_id < line_id) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from < p->n_lines && p->lines[from].row.line_id == line_id ? &p->lines[from] : NULL;
}

static const struct patch_bti *bti_of(const struct patch *p, const uint8_t bti_id[16])
{
    struct patch_bti key = {.order = UINT64_MAX}; /* before every reading of that BTI */
    size_t from = 0, to = p->n_btis;

    memcpy(key.row.bti_id, bti_id, sizeof key.row.bti_id);
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (bti_order(&p->btis[mid], &key) < 0) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from < p->n_btis && memcmp(p->btis[from].row.bti_id, bti_id, 16) == 0 ? &p->btis[from]
                                                                                 : NULL;
}

static const struct patch_number *number_of(const struct patch *p, struct view number)
{
    const struct patch_number key = {.row = {.number = number}, .order = UINT64_MAX};
    size_t from = 0, to = p->n_numbers;

    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (number_order(&p->numbers[mid], &key) < 0) {
            from = mid + 1;
        } else {
            to = mid;
        }
    }
    return from < p->n_numbers && view_eq(p->numbers[from].row.number, number) ? &p->numbers[from]
                                                                               : NULL;
}

static void keep_latest(struct patch *p)
{
    size_t n = 0;

    if (p->n_lines > 0) {
        qsort(p->lines, p->n_lines, sizeof *p->lines, line_order);
    }
    for (size_t i = 0; i < p->n_lines; i++) {
        if (i == 0 || p->lines[i].row.line_id != p->lines[i - 1].row.line_id) {
            p->lines[n++] = p->lines[i];
        }
    }
    p->n_lines = n;
    if (p->n_btis > 0) {
        qsort(p->btis, p->n_btis, sizeof *p->btis, bti_order);
    }
    n = 0;
    for (size_t i = 0; i < p->n_btis; i++) {
        if (i == 0 || memcmp(p->btis[i].row.bti_id, p->btis[i - 1].row.bti_id, 16) != 0) {
            p->btis[n++] = p->btis[i];
        }
    }
    p->n_btis = n;
}

/* Numbers of an older reading of their line go; a number that moved belongs to the later line. */
static void keep_latest_numbers(struct patch *p)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n_numbers; i++) {
        const struct patch_line *l = patch_line_of(p, p->numbers[i].row.line_id);
        if (l != NULL && !l->gone && l->order == p->numbers[i].order) {
            p->numbers[n++] = p->numbers[i];
        }
    }
    p->n_numbers = n;
    if (n > 0) {
        qsort(p->numbers, n, sizeof *p->numbers, number_order);
    }
    n = 0;
    for (size_t i = 0; i < p->n_numbers; i++) {
        if (i == 0 || !view_eq(p->numbers[i].row.number, p->numbers[i - 1].row.number)) {
            p->numbers[n++] = p->numbers[i];
        }
    }
    p->n_numbers = n;
}

/* ---- merging -----------------------------------------------------------------------------------
 */
struct merge {
    const struct snapshot *base;
    struct patch *p;
    struct snapshot_input old;
    struct line *lines;
    struct number_row *numbers;
    struct bti_row *btis;
    struct credential *credentials;
    size_t n_lines, n_numbers, n_btis, n_credentials;
};

static bool line_is_there(const struct merge *m, uint64_t line_id)
{
    const struct patch_line *l = patch_line_of(m->p, line_id);

    return l != NULL ? !l->gone : m->base != NULL && snapshot_line(m->base, line_id) != NULL;
}

/* A primary number may have gone to another line, which was read later. */
static void put_line(struct merge *m, const struct line *l)
{
    const struct patch_number *n = number_of(m->p, l->number);

    m->lines[m->n_lines] = *l;
    if (n != NULL && n->row.line_id != l->line_id) {
        m->lines[m->n_lines].number = VIEW("");
    }
    m->n_lines++;
}

static void merge_lines(struct merge *m)
{
    for (size_t i = 0; i < m->old.n_lines; i++) {
        if (patch_line_of(m->p, m->old.lines[i].line_id) == NULL) {
            put_line(m, &m->old.lines[i]);
        }
    }
    for (size_t i = 0; i < m->p->n_lines; i++) {
        if (!m->p->lines[i].gone) {
            put_line(m, &m->p->lines[i].row);
        }
    }
}

static void merge_numbers(struct merge *m)
{
    for (size_t i = 0; i < m->old.n_numbers; i++) {
        const struct number_row *n = &m->old.numbers[i];
        if (patch_line_of(m->p, n->line_id) == NULL && number_of(m->p, n->number) == NULL) {
            m->numbers[m->n_numbers++] = *n;
        }
    }
    for (size_t i = 0; i < m->p->n_numbers; i++) {
        m->numbers[m->n_numbers++] = m->p->numbers[i].row;
    }
}

/* A BTI whose line is not known yet comes again with its line. */
static void merge_btis(struct merge *m)
{
    for (size_t i = 0; i < m->old.n_btis; i++) {
        const struct bti_row *b = &m->old.btis[i];
        if (bti_of(m->p, b->bti_id) == NULL && line_is_there(m, b->line_id)) {
            m->btis[m->n_btis++] = *b;
        }
    }
    for (size_t i = 0; i < m->p->n_btis; i++) {
        const struct patch_bti *b = &m->p->btis[i];
        if (!b->gone && line_is_there(m, b->row.line_id)) {
            m->btis[m->n_btis++] = b->row;
        }
    }
}

static void merge_credentials(struct merge *m)
{
    for (size_t i = 0; i < m->old.n_credentials; i++) {
        const struct credential *c = &m->old.credentials[i];
        if (patch_line_of(m->p, c->line_id) == NULL && !patch_has_username(m->p, c)) {
            m->credentials[m->n_credentials++] = *c;
        }
    }
    for (size_t i = 0; i < m->p->n_credentials; i++) {
        m->credentials[m->n_credentials++] = m->p->credentials[i].row;
    }
}

static enum err merge_room(struct merge *m)
{
    const size_t n[4] = {m->old.n_lines + m->p->n_lines, m->old.n_numbers + m->p->n_numbers,
                         m->old.n_btis + m->p->n_btis, m->old.n_credentials + m->p->n_credentials};

    m->lines = mem_zalloc_array(n[0] + 1, sizeof *m->lines);
    m->numbers = mem_zalloc_array(n[1] + 1, sizeof *m->numbers);
    m->btis = mem_zalloc_array(n[2] + 1, sizeof *m->btis);
    m->credentials = mem_zalloc_array(n[3] + 1, sizeof *m->credentials);
    return m->lines != NULL && m->numbers != NULL && m->btis != NULL && m->credentials != NULL
               ? E_OK
               : FAIL(E_NOMEM);
}

static enum err merge_all(struct merge *m)
{
    enum err e = E_OK;

    keep_latest(m->p);
    keep_latest_numbers(m->p);
    patch_latest_credentials(m->p);
    TRY(merge_room(m));
    merge_lines(m);
    merge_numbers(m);
    merge_btis(m);
    merge_credentials(m);
out:
    return e;
}

static void merge_free(struct merge *m)
{
    mem_free(m->lines);
    mem_free(m->numbers);
    mem_free(m->btis);
    mem_free(m->credentials);
}

/* ---- losses ------------------------------------------------------------------------------------
 */
void losses_fini(struct losses *l)
{
    mem_free(l->lines);
    mem_free(l->btis);
    *l = (struct losses){.n_lines = 0};
}

static enum err lose_line(struct losses *l, uint64_t line_id)
{
    uint64_t *rows = patch_grown(l->lines, l->n_lines, &l->max_lines, sizeof *rows);

    if (rows == NULL) {
        return FAIL(E_NOMEM);
    }
    l->lines = rows;
    l->lines[l->n_lines++] = line_id;
    return E_OK;
}

static enum err lose_bti(struct losses *l, const uint8_t bti_id[16])
{
    uint8_t(*rows)[16] = patch_grown(l->btis, l->n_btis, &l->max_btis, sizeof *rows);

    if (rows == NULL) {
        return FAIL(E_NOMEM);
    }
    l->btis = rows;
    memcpy(l->btis[l->n_btis++], bti_id, 16);
    return E_OK;
}

static enum err losses_of_new(const struct snapshot *base, const struct snapshot_input *now,
                              struct losses *lost)
{
    enum err e = E_OK;

    for (size_t i = 0; i < now->n_btis; i++) {
        const struct bti_row *b = &now->btis[i];
        const struct bti_row *was =
            b->revoked && base != NULL ? snapshot_bti(base, b->bti_id) : NULL;
        if (b->revoked && (was == NULL || !was->revoked)) {
            TRY(lose_bti(lost, b->bti_id));
        }
    }
    for (size_t i = 0; i < now->n_lines; i++) {
        const struct line *l = &now->lines[i];
        const struct line *was = l->barred && base != NULL ? snapshot_line(base, l->line_id) : NULL;
        if (l->barred && (was == NULL || !was->barred)) {
            TRY(lose_line(lost, l->line_id));
        }
    }
out:
    return e;
}

static enum err losses_of_old(const struct snapshot *base, const struct snapshot *now,
                              struct losses *lost)
{
    struct snapshot_input old;
    enum err e = E_OK;

    snapshot_parts(base, &old);
    for (size_t i = 0; i < old.n_btis; i++) {
        if (snapshot_bti(now, old.btis[i].bti_id) == NULL) {
            TRY(lose_bti(lost, old.btis[i].bti_id));
        }
    }
    for (size_t i = 0; i < old.n_lines; i++) {
        if (snapshot_line(now, old.lines[i].line_id) == NULL) {
            TRY(lose_line(lost, old.lines[i].line_id));
        }
    }
out:
    return e;
}

/* ---- the results -------------------------------------------------------------------------------
 */
static enum err overlay_masks(const struct patch *p, uint64_t **lines, uint8_t **btis)
{
    *lines = mem_zalloc_array(p->n_lines + 1, sizeof **lines);
    *btis = mem_zalloc_array(p->n_btis + 1, 16);
    if (*lines == NULL || *btis == NULL) {
        return FAIL(E_NOMEM);
    }
    for (size_t i = 0; i < p->n_lines; i++) {
        (*lines)[i] = p->lines[i].row.line_id;
    }
    for (size_t i = 0; i < p->n_btis; i++) {
        memcpy(*btis + 16 * i, p->btis[i].row.bti_id, 16);
    }
    return E_OK;
}

static struct snapshot_input rows_of(const struct merge *m)
{
    return (struct snapshot_input){.lines = m->lines,
                                   .n_lines = m->n_lines,
                                   .numbers = m->numbers,
                                   .n_numbers = m->n_numbers,
                                   .btis = m->btis,
                                   .n_btis = m->n_btis,
                                   .credentials = m->credentials,
                                   .n_credentials = m->n_credentials};
}

static void set_plan(struct snapshot_input *in, const struct patch *p)
{
    in->trunks = p->trunks;
    in->n_trunks = p->n_trunks;
    in->routes = p->routes;
    in->n_routes = p->n_routes;
    in->rules = p->rules;
    in->n_rules = p->n_rules;
    in->modes = p->modes;
    in->n_modes = p->n_modes;
}

enum err patch_overlay(const struct snapshot *base, struct patch *p, struct snapshot **out,
                       char *why, size_t why_bytes)
{
    struct merge m = {.base = base, .p = p}; /* old stays empty: only the changed rows are put */
    struct snapshot_delta d;
    uint64_t *lines = NULL;
    uint8_t *btis = NULL;
    enum err e = E_OK;

    snprintf(why, why_bytes, "out of memory");
    TRY(merge_all(&m));
    TRY(overlay_masks(p, &lines, &btis));
    d = (struct snapshot_delta){.rows = rows_of(&m),
                                .has_plan = p->has_plan,
                                .masked_lines = lines,
                                .n_masked_lines = p->n_lines,
                                .masked_btis = btis,
                                .n_masked_btis = p->n_btis};
    d.rows.change_seq = p->horizon != 0 ? p->horizon : snapshot_change_seq(base);
    if (p->has_plan) {
        set_plan(&d.rows, p);
    }
    TRY(snapshot_overlay(base, &d, out, why, why_bytes));
out:
    mem_free(lines);
    mem_free(btis);
    merge_free(&m);
    return e;
}

enum err patch_build(const struct snapshot *base, struct patch *p, bool whole,
                     struct snapshot **out, struct losses *lost, char *why, size_t why_bytes)
{
    struct merge m = {.base = whole ? NULL : base, .p = p};
    struct snapshot_input in, now;
    struct snapshot *made = NULL;
    enum err e = E_OK;

    snprintf(why, why_bytes, "out of memory");
    if (m.base != NULL) {
        snapshot_parts(m.base, &m.old);
    }
    TRY(merge_all(&m));
    in = rows_of(&m);
    in.change_seq = p->horizon != 0 ? p->horizon : m.old.change_seq;
    if (p->has_plan || whole) {
        set_plan(&in, p);
    } else {
        in.trunks = m.old.trunks;
        in.n_trunks = m.old.n_trunks;
        in.routes = m.old.routes;
        in.n_routes = m.old.n_routes;
        in.rules = m.old.rules;
        in.n_rules = m.old.n_rules;
        in.modes = m.old.modes;
        in.n_modes = m.old.n_modes;
    }
    TRY(snapshot_build(&in, &made, why, why_bytes));
    if (whole) { /* what a change took away was seen to when its rows came */
        snapshot_parts(made, &now);
        TRY(losses_of_new(base, &now, lost));
        if (base != NULL) {
            TRY(losses_of_old(base, made, lost));
        }
    }
    *out = made;
    made = NULL;
out:
    snapshot_free(made);
    merge_free(&m);
    return e;
}
