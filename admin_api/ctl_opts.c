#include "admin_api/ctl_opts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *take(struct opts *o, const char *name)
{
    const char *v = o->rc == CTL_OK ? ctl_option(o->a, name) : NULL;

    o->taken += v != NULL;
    return v;
}

void opt_text(struct opts *o, const char *name, struct view *to)
{
    const char *v = take(o, name);

    if (v != NULL) {
        *to = view_of(v);
    }
}

void opt_number(struct opts *o, const char *name, uint32_t max, uint32_t *to)
{
    const char *v = take(o, name);
    uint64_t n = 0;

    if (v == NULL) {
        return;
    }
    if (view_to_u64(view_of(v), max, &n) != E_OK) {
        o->rc =
            ctl_fail(CTL_USAGE, "%s takes a number of 0 to %" PRIu32 ", not '%s'", name, max, v);
        return;
    }
    *to = (uint32_t)n;
}

void opt_choice(struct opts *o, const char *name, const char *const *words, unsigned *to)
{
    const char *v = take(o, name);
    char all[160] = "";

    if (v == NULL) {
        return;
    }
    for (unsigned i = 0; words[i] != NULL; i++) {
        size_t n = strlen(all);
        if (strcmp(v, words[i]) == 0) {
            *to = i;
            return;
        }
        (void)snprintf(all + n, sizeof all - n, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    o->rc = ctl_fail(CTL_USAGE, "%s takes one of %s, not '%s'", name, all, v);
}

void opt_yes(struct opts *o, const char *name, bool *to)
{
    unsigned is = *to;

    opt_choice(o, name, (const char *const[]){"no", "yes", NULL}, &is);
    *to = is != 0;
}

json_t *opt_list(const char *text)
{
    json_t *list = json_array();

    if (strcmp(text, "none") == 0) {
        return list;
    }
    for (size_t n = 0; *text != 0; text += n) {
        text += strspn(text, ", ");
        n = strcspn(text, ", ");
        if (n > 0 && json_array_append_new(list, json_stringn(text, n)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *take_value(struct opts *o, const struct opt_field *f)
{
    struct view text = VIEW("");
    uint32_t number = 0;
    unsigned choice = 0;
    bool yes = false;

    switch (f->kind) {
    case OPT_NUMBER:
        opt_number(o, f->option, f->max, &number);
        return json_integer(number);
    case OPT_YES:
        opt_yes(o, f->option, &yes);
        return json_boolean(yes);
    case OPT_CHOICE:
        opt_choice(o, f->option, f->words, &choice);
        return json_string(f->words[choice]);
    case OPT_TEXT:
    case OPT_NULLABLE:
    case OPT_LIST:
        break;
    }
    opt_text(o, f->option, &text);
    if (f->kind == OPT_LIST) {
        return opt_list(text.p);
    }
    return f->kind == OPT_NULLABLE && (text.n == 0 || view_eq(text, VIEW("off")))
               ? json_null()
               : json_stringn(text.p, text.n);
}

void opt_body(struct opts *o, const struct opt_field *fields, json_t *body)
{
    for (const struct opt_field *f = fields; o->rc == CTL_OK && f->option != NULL; f++) {
        unsigned before = o->taken;
        json_t *value = take_value(o, f);
        if (o->taken == before || o->rc != CTL_OK) {
            json_decref(value);
        } else if (json_object_set_new(body, f->member, value) != 0) {
            o->rc = ctl_fail(CTL_USAGE, "%s: no text in UTF-8", f->option);
        }
    }
}

void opt_end(struct opts *o, int n, const char *usage)
{
    for (int i = 0; o->rc == CTL_OK && i < o->a->n; i++) {
        if (strncmp(o->a->v[i], "--", 2) == 0) {
            o->rc = ctl_fail(CTL_USAGE,
                             "no option '%s' here, or it lacks its value; usage: "
                             "headgatectl %s",
                             o->a->v[i], usage);
        }
    }
    if (o->rc == CTL_OK && o->a->n != n) {
        o->rc = ctl_fail(CTL_USAGE, "usage: headgatectl %s", usage);
    }
}
