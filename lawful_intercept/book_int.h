/* lawful_intercept/book_int.h - what book.c, book_form.c and book_agency.c share. */
#ifndef LAWFUL_INTERCEPT_BOOK_INT_H
#define LAWFUL_INTERCEPT_BOOK_INT_H

#include "lawful_intercept/book.h"

const char *li_text(const json_t *o, const char *name); /* "": absent */
uint64_t li_number(const json_t *o, const char *name);  /* 0: absent, or below 1 */
bool li_type_read(const char *text, enum li_type *out);
bool li_target_read(const json_t *target, struct li_entry *out);
bool li_place_read(const json_t *o, struct li_place *out);

/* Forms: what is wrong is collected as {"pointer","detail"}. */
struct li_text_field {
    const char *name;
    size_t min, max; /* octets; min 0: it may be absent */
    bool is_visible; /* goes into call data: a VisibleString */
    const char *what;
};
__attribute__((format(printf, 3, 4))) void li_form_wrong(json_t *errors, const char *pointer,
                                                         const char *fmt, ...);
void li_form_text(const json_t *form, const struct li_text_field *f, json_t *errors);
/* Only these members (names end with NULL) are known; at: the pointer of the object itself. */
void li_form_known(const json_t *form, const char *const *names, const char *at, json_t *errors);

#endif
