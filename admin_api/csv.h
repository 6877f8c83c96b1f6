/* admin_api/csv.h - one row of CSV (RFC 4180), safe to open in a spreadsheet.
 *
 * Shape      fields separated by commas, rows ended by CR LF; a field with a comma, a quote, CR or
 * LF stands in quotes, and a quote in it twice.
 * Formulas   a field that begins (after blanks) with = + - @ TAB or CR gets an apostrophe in front,
 * because spreadsheets run it; but "+" and digits alone, and a plain number, are what they are:
 * they can only be a number there. Threads    any. */
#ifndef ADMIN_API_CSV_H
#define ADMIN_API_CSV_H

#include <stddef.h>

#include "base/err.h"
#include "base/view.h"

/* Puts the field behind dst[*n], with a comma before it unless it is the first of its row. E_RANGE:
 * no room; then *n is as it was. */
MUST_CHECK enum err csv_field(struct view field, bool first, char *dst, size_t dst_bytes,
                              size_t *n);
MUST_CHECK enum err csv_end(char *dst, size_t dst_bytes, size_t *n);

#endif
