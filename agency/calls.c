/* A table in order of appearance, searched from its end: what is told is mostly of the last ones.
 */
#include "agency/calls.h"

#include <string.h>

#include "base/mem.h"

struct call {
    struct calls_entry entry;
    char content[21]; /* the last one */
    uint64_t number;  /* behind the comma; upper half of X2's correlation */
};

struct calls {
    struct call *all;
    size_t n, room;
};

enum err calls_new(struct calls **out)
{
    struct calls *c = mem_zalloc(sizeof *c);

    if (c == NULL) {
        return FAIL(E_NOMEM);
    }
    *out = c;
    return E_OK;
}

void calls_free(struct calls *c)
{
    if (c != NULL) {
        mem_free(c->all);
        mem_free(c);
    }
}

const struct calls_entry *calls_at(const struct calls *c, unsigned number)
{
    return number > 0 && number <= c->n ? &c->all[number - 1].entry : NULL;
}

struct view calls_id(const struct cdc_message *m)
{
    return m->n_open > 0 ? m->open[0].sequence : m->call.sequence;
}

static struct call *add(struct calls *c)
{
    if (c->n == CALLS_MAX) {
        return NULL;
    }
    if (c->all == NULL || c->n == c->room) {
        size_t room = c->room != 0 ? 2 * c->room : 64;
        struct call *all = mem_resize(c->all, room * sizeof *all);
        if (all == NULL) {
            return NULL;
        }
        c->all = all;
        c->room = room;
    }
    c->all[c->n] = (struct call){0};
    return &c->all[c->n++];
}

static void set_text(char *dst, size_t max, struct view v)
{
    size_t n = v.n < max ? v.n : max - 1;

    memcpy(dst, v.n > 0 ? v.p : "", n);
    dst[n] = 0;
}

/* The decimal number behind the comma; 0: no such form. */
static uint64_t number_of(struct view sequence)
{
    size_t comma = 0;
    uint64_t n = 0;

    if (!view_find(sequence, ',', &comma) ||
        view_to_u64(view_sub(sequence, comma + 1, sequence.n), UINT32_MAX, &n) != E_OK) {
        return 0;
    }
    return n;
}

static struct call *find_sequence(struct calls *c, struct view sequence)
{
    uint64_t number = number_of(sequence);

    for (size_t i = c->n; i > 0; i--) {
        struct call *call = &c->all[i - 1];
        if (view_eq(view_of(call->entry.sequence), sequence)) {
            return call;
        }
        if (number != 0 && call->number == number && call->entry.sequence[0] == 0) {
            return call; /* X2 was faster */
        }
    }
    return NULL;
}

static unsigned place(const struct calls *c, const struct call *call)
{
    return call != NULL ? (unsigned)(call - c->all) + 1 : 0;
}

static void say(bool *out, bool value)
{
    if (out != NULL) {
        *out = value;
    }
}

static unsigned by_content(const struct calls *c, struct view content)
{
    for (size_t i = c->n; i > 0; i--) {
        if (view_eq(view_of(c->all[i - 1].content), content)) {
            return (unsigned)i;
        }
    }
    return 0;
}

unsigned calls_of_call_data(struct calls *c, const struct cdc_message *m, bool *out_is_new)
{
    struct view id = view_sub(calls_id(m), 0, CALLS_ID - 1);
    struct call *call = NULL;

    say(out_is_new, false);
    if (id.n == 0) {
        return m->content.both.n > 0 ? by_content(c, m->content.both) : 0;
    }
    call = find_sequence(c, id);
    if (call == NULL) {
        call = add(c);
        say(out_is_new, call != NULL);
    }
    if (call != NULL) {
        set_text(call->entry.sequence, sizeof call->entry.sequence, id);
        call->number = number_of(id);
        call->entry.ended |= m->kind == CDC_RELEASE;
        if (m->content.both.n > 0) {
            set_text(call->content, sizeof call->content, m->content.both);
        }
    }
    return place(c, call);
}

unsigned calls_of_signaling(struct calls *c, const struct x2_pdu *p, bool *out_is_new)
{
    uint64_t number = p->correlation >> 32;
    struct call *call = NULL;

    say(out_is_new, false);
    if (number == 0) {
        return 0;
    }
    for (size_t i = c->n; i > 0 && call == NULL; i--) {
        call = c->all[i - 1].number == number ? &c->all[i - 1] : NULL;
    }
    if (call == NULL) {
        call = add(c);
        say(out_is_new, call != NULL);
    }
    if (call != NULL) {
        call->number = number;
    }
    return place(c, call);
}
