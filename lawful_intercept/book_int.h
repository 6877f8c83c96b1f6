/* lawful_intercept/book_int.h - what book.c and book_form.c share. */
#ifndef LAWFUL_INTERCEPT_BOOK_INT_H
#define LAWFUL_INTERCEPT_BOOK_INT_H

#include "lawful_intercept/book.h"

const char *li_text(const json_t *o, const char *name); /* "": absent */
uint64_t li_number(const json_t *o, const char *name);  /* 0: absent, or below 1 */
bool li_type_read(const char *text, enum li_type *out);
bool li_target_read(const json_t *target, struct li_entry *out);
bool li_place_read(const json_t *o, struct li_place *out);

#endif
