/* admin_api/ctl_opts.h - options of commands that write a row with many columns. Each function
 * takes "--name VALUE" out of the arguments when it is there, checks it, and leaves *to as it was
 * otherwise; the first complaint is printed and stays in rc. One thread. */
#ifndef ADMIN_API_CTL_OPTS_H
#define ADMIN_API_CTL_OPTS_H

#include <jansson.h>

#include "admin_api/ctl.h"

struct opts {
    struct ctl_args *a;
    int rc;
    unsigned taken; /* how many there were */
};

void opt_text(struct opts *o, const char *name, struct view *to);
void opt_number(struct opts *o, const char *name, uint32_t max, uint32_t *to);
void opt_yes(struct opts *o, const char *name, bool *to); /* yes or no */
/* words: NULL-terminated; *to gets the index. */
void opt_choice(struct opts *o, const char *name, const char *const *words, unsigned *to);
/* Options that are members of a JSON body, by a table that ends with a NULL option. */
enum opt_kind {
    OPT_TEXT,
    OPT_NULLABLE, /* "" or off: null */
    OPT_NUMBER,
    OPT_YES,
    OPT_CHOICE,
    OPT_LIST, /* commas or blanks between; none: [] */
};
struct opt_field {
    const char *option, *member;
    enum opt_kind kind;
    uint32_t max;             /* of a number */
    const char *const *words; /* of a choice */
};
void opt_body(struct opts *o, const struct opt_field *fields, json_t *body);
json_t *opt_list(const char *text); /* as OPT_LIST; NULL: no UTF-8 */
/* After all others: exactly n arguments are left, and none looks like an option. */
void opt_end(struct opts *o, int n, const char *usage);

#endif
